"""What is stored, as tables, scores, comparisons, reports and runs of MLflow."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.api.models import loaded
from hpsearch.api.stored import STORED, StudyResult, open_study, storage_url, study_name
from hpsearch.arguments import checked, require_kind
from hpsearch.errors import HpsearchError, quoted

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.model.bundle import Bundle
    from hpsearch.reporting.mlflow_runs import ExportedRuns
    from hpsearch.reporting.snapshot import Snapshot
    from hpsearch.results.best import Best
    from hpsearch.results.choice import Asked
    from hpsearch.results.inspection import Importance
    from hpsearch.results.verdict import Compared


@checked
def load_studies(storage: str | None = None) -> pd.DataFrame:
    """One row a study of a storage; its columns are described in :mod:`hpsearch.results.tables`.

    >>> study = run("studies/wine.toml", trials=3)
    >>> load_studies().query("study == 'wine'")["complete"].tolist()
    [3]

    Raises:
        StorageError: a storage that cannot be read.
    """
    from hpsearch.results.tables import studies_table

    return studies_table(storage_url(storage))


@checked
def load_trials(study: str | Path | StudyResult, storage: str | None = None, *, front: bool = False) -> pd.DataFrame:
    """The trials table of a stored study; its columns are described in :mod:`hpsearch.results.tables`.

    >>> study = run("studies/wine.toml", trials=3)
    >>> load_trials("wine")["number"].tolist()
    [0, 1, 2]
    >>> bool(load_trials("wine", front=True)["value"].is_monotonic_decreasing)
    True

    Args:
        study: a stored study, by its name or by its file.
        storage: where it is kept.
        front: only complete trials than which no other is better and as small, or smaller and as good; the smallest
            networks first.

    Raises:
        HpsearchError: no such study, or no such file.
        StorageError: a storage that cannot be read.
        DamagedStudyError: the study is not as it was stored.
    """
    from hpsearch.results.tables import trials_table

    with open_study(study, storage) as stored:
        return trials_table(stored, front)


@checked
def load_folds(study: str | Path | StudyResult, storage: str | None = None) -> pd.DataFrame:
    """The folds table of a stored study; its columns are described in :mod:`hpsearch.results.tables`.

    >>> study = run("studies/wine.toml", trials=3)
    >>> len(load_folds("wine"))  # three trials, five folds dealt three times
    45

    Args:
        study: a stored study, what ``run`` returned, or by its name or its file.
        storage: where it is kept.

    Raises:
        HpsearchError: no such study, or no such file.
        StorageError: a storage that cannot be read.
        DamagedStudyError: the study is not as it was stored.
    """
    from hpsearch.results.tables import folds_table

    with open_study(study, storage) as stored:
        return folds_table(stored)


@checked
def load_curves(study: str | Path | StudyResult, storage: str | None = None) -> pd.DataFrame:
    """The curves table of a stored study; its columns are described in :mod:`hpsearch.results.tables`.

    >>> study = run("studies/wine.toml", trials=3)
    >>> load_curves("wine").columns.tolist()
    ['trial', 'epoch', 'repeat', 'fold', 'training_loss', 'validation_loss']

    Args:
        study: a stored study, what ``run`` returned, or by its name or its file.
        storage: where it is kept.

    Raises:
        HpsearchError: no such study, or no such file.
        StorageError: a storage that cannot be read.
        DamagedStudyError: the study is not as it was stored.
    """
    from hpsearch.results.tables import curves_table

    with open_study(study, storage) as stored:
        return curves_table(stored)


@checked
def load_finals(study: str | Path | StudyResult, storage: str | None = None) -> pd.DataFrame:
    """The finals of a stored study; the table's columns are described in :mod:`hpsearch.results.tables`.

    >>> study = run("studies/wine.toml", trials=3)
    >>> found = load_finals("wine")
    >>> sorted(set(found["trial"])), found["trial"][found["chosen"]].nunique()
    ([0, 1, 2], 1)

    Args:
        study: a stored study, what ``run`` returned, or by its name or its file.
        storage: where it is kept.

    Raises:
        HpsearchError: no such study, or no such file.
        StorageError: a storage that cannot be read.
        DamagedStudyError: the study is not as it was stored.
    """
    from hpsearch.results.tables import finals_table

    with open_study(study, storage) as stored:
        return finals_table(stored)


@checked
def load_metrics(study: str | Path | StudyResult, storage: str | None = None, trial: int | None = None) -> pd.DataFrame:
    """Every metric of a trial's out-of-fold predictions, by fold and pooled; see :mod:`hpsearch.results.metrics_table`.

    >>> study = run("studies/wine.toml", trials=3)
    >>> load_metrics("wine")["rows_of"].value_counts().to_dict()
    {'fold': 15, 'all': 1}

    Args:
        study: a stored study, by its name or by its file.
        storage: where it is kept.
        trial: a complete one; the best if None.

    Raises:
        HpsearchError: no such study or trial, or one that is not complete.
    """
    from hpsearch.results.metrics_table import metrics_table

    with open_study(study, storage) as stored:
        return metrics_table(stored, trial)


@checked
def load_importance(
    study: str | Path | StudyResult, storage: str | None = None, *, repeats: int = 10, seed: int | None = None
) -> pd.DataFrame:
    """How much each column of the table matters to what is shipped; see :mod:`hpsearch.results.inspection`.

    The networks that the configuration was chosen by are trained again, which takes what they took.

    >>> study = run("studies/wine.toml", trials=3)
    >>> found = load_importance("wine")
    >>> len(found), bool((found["low"] <= found["importance"]).all())
    (13, True)

    Args:
        study: a stored study, by its name or by its file.
        storage: where it is kept.
        repeats: how often the values of each column are dealt to the rows anew.
        seed: of the deals; the study's if None.

    Raises:
        HpsearchError: no such study, no complete trial, rows that are not there or are others.
    """
    return column_importance(study, storage, repeats=repeats, seed=seed).frame


def column_importance(
    study: str | Path | StudyResult,
    storage: str | None = None,
    *,
    repeats: int = 10,
    seed: int | None = None,
    expect: Callable[[float], None] = lambda seconds: None,
) -> Importance:
    """What :func:`load_importance` makes a table of, with what the numbers are.

    ``expect`` is told before how many seconds it will take, about."""
    from hpsearch.results.inspection import Inspection

    with open_study(study, storage) as stored:
        inspection = Inspection(stored)
        expect(inspection.seconds())
        return inspection.importance(repeats, seed)


@checked
def load_best(
    study: str | Path | StudyResult, storage: str | None = None, rule: str = "finals", *, at_most: int | None = None
) -> Best:
    """The best configuration of a stored study, by a rule of :data:`hpsearch.results.best.RULES`.

    >>> study = run("studies/wine.toml", trials=3)
    >>> best = load_best("wine")
    >>> best.config.epochs == best.result.best_epoch
    True
    >>> smallest = int(study.trials["parameters"].min())
    >>> load_best("wine", at_most=smallest).result.parameters == smallest
    True

    Args:
        study: a stored study, by its name or by its file.
        storage: where it is kept.
        rule: by which it is chosen.
        at_most: among the trials whose networks have at most so many parameters; among all if None.

    Raises:
        HpsearchError: no trial is complete, or none is so small; no such rule.
    """
    from hpsearch.results.best import find_best

    with open_study(study, storage) as stored:
        return find_best(stored, rule, at_most)


@checked
def compare(
    first: str | Path | StudyResult | Bundle,
    second: str | Path | StudyResult | Bundle,
    *,
    metric: str | None = None,
    storage: str | None = None,
) -> Compared:
    """Two studies, two trials, or a study and a saved model on the same rows; see :mod:`hpsearch.results.compare`.

    >>> study = run("studies/wine.toml", trials=3)
    >>> found = compare("wine:0", "wine:1")
    >>> found.rows, found.low < found.difference < found.high
    (142, True)
    >>> print(found.sentence)
    wine:0 is better than wine:1 by 0.2... nats (95 % interval 0.1... to 0.3...).

    Args:
        first: a stored study, by its name or by its file; a trial of it, as ``wine:3``; or a bundle, or the folder that
            one was saved in. A folder whose name is that of a study too is meant where it has a separator, ``./wine``.
        second: likewise. Two must be of a kind, but for a study and a model.
        metric: of :data:`hpsearch.validation.metrics.METRICS`; what both search for if None, or the usual loss of the
            task where they search for different ones.
        storage: where the studies are kept.

    Raises:
        HpsearchError: no such study, trial, model or metric; a study or trial that is not complete.
        DataError: studies of other rows or of another hold-out; a model that trained on all rows that there are.
    """
    from hpsearch.model.bundle import Bundle
    from hpsearch.results.compare import compare as compare_rows

    for name, one in {"first": first, "second": second}.items():
        require_kind(name, one, f"{STORED}, or a model or its folder", str, Path, StudyResult, Bundle)
    with ExitStack() as stack:
        sides = [_asked(one, storage, stack) for one in (first, second)]
        return compare_rows(sides[0], sides[1], metric)


def _asked(given: str | Path | StudyResult | Bundle, storage: str | None, stack: ExitStack) -> Asked:
    """What is to be compared; a study stays open as long as the stack."""
    from hpsearch.model.bundle import Bundle
    from hpsearch.results.choice import Asked

    if isinstance(given, StudyResult):
        return Asked(given.name, stack.enter_context(open_study(given)))
    if isinstance(given, Bundle):
        return Asked(given.about.get("study") or "model", model=given)
    text = str(given)
    study, _, number = text.rpartition(":")
    if study and number.isdecimal() and len(number) < 10:
        return Asked(text, stack.enter_context(open_study(study, storage)), int(number))
    is_model = os.path.isdir(text)  # False of a name that no file can have
    if is_model and os.sep not in text:
        from hpsearch.storage.names import stored_names

        if text in stored_names(storage_url(storage)):
            raise HpsearchError(
                f"{quoted(text)} must be one thing",
                "is a study and a folder",
                f"For the folder: {os.path.join('.', text)}.",
            )
    if is_model:
        return Asked(text, model=Bundle.load(text))
    return Asked(study_name(given), stack.enter_context(open_study(given, storage)))


@contextmanager
def snapshot(
    study: str | Path | StudyResult, storage: str | None = None, most_seconds: float = math.inf
) -> Iterator[Snapshot]:
    """A stored study for figures and reports; what they train never looks at the hold-out."""
    from hpsearch.reporting.snapshot import Snapshot

    with open_study(study, storage) as stored:
        yield Snapshot(stored, most_seconds)


@checked
def report(
    study: str | Path | StudyResult,
    path: str | Path,
    storage: str | None = None,
    *,
    force: bool = False,
    importance: bool | None = None,
) -> None:
    """Write one self-contained HTML file, or a PDF, on a stored study: the numbers, the figures, how to repeat it.

    >>> study = run("studies/wine.toml", trials=3)
    >>> report(study, "wine.html")

    Args:
        study: a stored study, its name or its file.
        path: the file, .html or .pdf; an earlier report is replaced, whole or not at all. A PDF is printed by an
            installed Chrome or Chromium, or the one that the environment's ``BROWSER_PATH`` names.
        storage: where the study is kept.
        force: replace a file that is no report, too.
        importance: with what the columns of the table do, for which networks are trained again; if None, where that
            takes some seconds only.

    Raises:
        HpsearchError: no such study, no trial that ended, a file that cannot be written, no browser for a PDF.
    """
    from hpsearch.reporting.report import SECONDS, write_report

    with snapshot(study, storage, SECONDS if importance is None else math.inf) as stored:
        write_report(stored, Path(path), force, importance is not False)


@checked
def export_mlflow(
    study: str | Path | StudyResult,
    model: str | Path | Bundle | None = None,
    *,
    storage: str | None = None,
    tracking_uri: str | None = None,
    experiment: str | None = None,
) -> ExportedRuns:
    """Write a stored study to MLflow, a run for it and one a trial; see :mod:`hpsearch.reporting.mlflow_runs`.

    ``mlflow.pyfunc.load_model`` loads the model, which predicts as :meth:`Bundle.predict` does.

    >>> found = export_mlflow("wine", tracking_uri="sqlite:///mlflow.db")  # doctest: +SKIP
    >>> mlflow.pyfunc.load_model(found.model_uri).predict(rows)  # doctest: +SKIP

    Args:
        study: a stored study, its name or its file.
        model: a model of the study, or the folder that one was saved in; if None, the study's best
            configuration is fitted as ``retrain`` does, but the hold-out is not scored.
        storage: where the study is kept.
        tracking_uri: of MLflow, as ``sqlite:///mlflow.db`` or ``http://host:5000``; MLflow's own choice if None.
        experiment: its name; the study's if None.

    Raises:
        MissingExtraError: MLflow is not installed (extra ``mlflow``).
        HpsearchError: no such study; no complete trial; a study that was exported there before; a model of another.
        StorageError: MLflow cannot be reached or written.
    """
    from hpsearch.model.retrain import retrain as fit
    from hpsearch.reporting.mlflow_runs import export_runs, require_mlflow, require_model_of, require_new
    from hpsearch.results.best import find_best
    from hpsearch.results.best_study import exported

    require_kind("study", study, STORED, str, Path, StudyResult)
    given = None if model is None else loaded(model)
    require_mlflow()
    with open_study(study, storage) as stored:
        best = find_best(stored)  # what can be refused without MLflow is, before it makes a database
        if given is not None:
            require_model_of(stored, given, str(model) if isinstance(model, str | Path) else "model")
        require_new(stored, tracking_uri, experiment)
        if given is None:
            given = fit(exported(best), stored.url, score_holdout=False)
        return export_runs(stored, given, tracking_uri, experiment)
