"""What the command line does, from Python."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.arguments import checked, require_kind
from hpsearch.errors import HpsearchError, Setting, as_argument, located, quoted
from hpsearch.numbers import plural

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import pandas as pd

    from hpsearch.data.audit import Finding
    from hpsearch.data.dataset import Task
    from hpsearch.definition.study import StudyDefinition
    from hpsearch.model.bundle import Bundle
    from hpsearch.model.evaluate import Evaluated
    from hpsearch.model.export import Exported
    from hpsearch.reporting.mlflow_runs import ExportedRuns
    from hpsearch.reporting.snapshot import Snapshot
    from hpsearch.results.best import Best
    from hpsearch.results.choice import Asked
    from hpsearch.results.confirm import Confirmation
    from hpsearch.results.inspection import Importance
    from hpsearch.results.nested import Nested
    from hpsearch.results.verdict import Compared
    from hpsearch.search.coordinator import Progress
    from hpsearch.search.time_needed import TimeNeeded
    from hpsearch.storage.stored_study import StoredStudy
    from hpsearch.validation.cross_validate import CrossValidation

DEFAULT_STORAGE = "sqlite:///hpsearch.db"
_STORED = "a study's name, its file, or what run returned"


def storage_url(given: str | None = None) -> str:
    """The storage to use: the one given, or ``HPSEARCH_STORAGE``, or ``hpsearch.db`` in the working directory."""
    return given or os.environ.get("HPSEARCH_STORAGE") or DEFAULT_STORAGE


def open_study(study: str | Path | StudyResult, storage: str | None = None, owner: bool = False) -> StoredStudy:
    """A stored study, what ``run`` returned, or by its name or by its file, as it is at this moment; ``owner`` is for
    who then takes its lock and writes."""
    from hpsearch.storage.database import closed_on_error
    from hpsearch.storage.stored_study import StoredStudy

    if isinstance(study, StudyResult):
        stored = StoredStudy.open(study.storage, study.name, owner, study.rows)
    else:
        require_kind("study", study, _STORED, str, Path)
        stored = StoredStudy.open(storage_url(storage), study_name(study), owner)
    if owner:
        return stored
    with closed_on_error(stored.storage):
        return stored.at_one_moment()


def study_name(study: str | Path, overrides: Sequence[str] = ()) -> str:
    """The name of a study that is given by its name or by its file.

    Args:
        study: either.
        overrides: keys of the file, as ``study.name=other``.

    Raises:
        DefinitionError: a file that defines no study.
        HpsearchError: a name with overrides.
    """
    text = str(study)
    if isinstance(study, str) and not text.endswith(".toml") and os.sep not in text:
        if overrides:
            raise HpsearchError(
                "must go with a study's file",
                f"{quoted(text)} is a name, which has no keys",
                "Leave it out.",
                Setting("overrides"),
            )
        return text
    from hpsearch.definition.study import StudyDefinition

    return StudyDefinition.from_file(study, overrides).name


@dataclass(frozen=True)
class StudyResult:
    """A stored study's tables and its best configuration; read anew at each access.

    >>> import hpsearch
    >>> study = hpsearch.run("studies/wine.toml", trials=3)
    >>> study.trials[["number", "state"]].values.tolist()
    [[0, 'COMPLETE'], [1, 'COMPLETE'], [2, 'COMPLETE']]
    >>> len(study.folds)  # three trials, five folds dealt three times
    45
    >>> study.best.config.epochs == study.best.result.best_epoch
    True
    >>> model = study.retrain()  # the best configuration, on all rows that are not held out
    >>> sorted(model.about["holdout"])
    ['accuracy', 'high', 'loss', 'low', 'rows']

    Attributes:
        name: the study's.
        storage: the URL of where it is kept.
        rows: the DataFrame that it was run on; None where its source says where the rows are.
    """

    name: str
    storage: str
    rows: pd.DataFrame | None = field(default=None, repr=False, compare=False)

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial."""
        return load_trials(self)

    @property
    def folds(self) -> pd.DataFrame:
        """One row a complete trial and fold."""
        return load_folds(self)

    @property
    def curves(self) -> pd.DataFrame:
        """One row a trial, checkpoint and fold."""
        return load_curves(self)

    @property
    def finals(self) -> pd.DataFrame:
        """One row a finalist and repeat."""
        return load_finals(self)

    @property
    def metrics(self) -> pd.DataFrame:
        """Every metric of the best trial's predictions, one row a fold and one of all of them."""
        return load_metrics(self)

    @property
    def importance(self) -> pd.DataFrame:
        """How much each column of the table matters to what is shipped, the most important first."""
        return load_importance(self)

    @property
    def best(self) -> Best:
        """What the finals chose, or the complete trial with the best objective value."""
        return load_best(self)

    def best_at_most(self, parameters: int) -> Best:
        """The best among the trials whose networks have at most so many parameters.

        Raises:
            HpsearchError: no complete trial is so small.
        """
        return load_best(self, at_most=parameters)

    def retrain(self, rule: str = "finals", members: int | None = None, progress: bool = False) -> Bundle:
        """Fit the best configuration on all rows that are not held out, and score the hold-out.

        It is what ``hpsearch best -o best.toml`` and ``hpsearch retrain best.toml`` do: the scoring is recorded.

        Args:
            rule: by which the best is chosen, of :data:`hpsearch.results.best.RULES`.
            members: networks whose predictions are averaged; those of the study file's ``[retrain]`` if None.
            progress: show that it goes on, on a terminal or in a notebook.

        Raises:
            HpsearchError: no trial is complete; data that cannot be used, or are no longer the study's.
            DivergedError: a training that diverges with every seed.
        """
        from hpsearch.results.best_study import exported

        best = load_best(self, rule=rule)
        return retrain(exported(best), self.storage, members=members, progress=progress)

    def __repr__(self) -> str:
        from hpsearch.reporting.shown_study import in_a_line

        return in_a_line(self.name, self.storage)

    def _repr_html_(self) -> str:
        from hpsearch.reporting.shown_study import as_html

        return as_html(self.name, self.storage)


@checked
def init(
    rows: pd.DataFrame | str | Path,
    target: str | None = None,
    *,
    name: str | None = None,
    task: Task | None = None,
    overrides: Sequence[str] = (),
) -> StudyDefinition:
    """Draft a study for a table of rows, as ``hpsearch init`` does: what its columns are, splits, space and budget.

    Nothing is written. The definition's ``text`` is the study file, with its comments; ``save`` writes it. A warning
    says which columns, rows or values it leaves out, and why.

    >>> import pandas as pd
    >>> flowers = pd.read_csv("studies/flowers.csv")
    >>> definition = init(flowers, target="species", overrides=["train.epochs=40"])
    >>> definition.name, definition.train.epochs, definition.validation.splitter
    ('species', 40, 'stratified')
    >>> run(definition, trials=2).best.complete
    2

    Args:
        rows: a DataFrame, whose index is not looked at; or a CSV or Parquet file.
        target: its column to predict.
        name: the study's; by default the file's, or the target's of a DataFrame.
        task: what the target is, ``"classification"`` or ``"regression"``, if its values do not say.
        overrides: keys of the study file, as ``train.epochs=200``.

    Raises:
        DataError: rows that cannot be used; no such column.
        DefinitionError: a name, a key or a value that cannot be.
    """
    from hpsearch.definition.drafted import drafted

    return drafted(rows, target, name, task, overrides, stacklevel=4)


@checked
def run(
    study: str | Path | StudyDefinition | pd.DataFrame,
    target: str | None = None,
    *,
    name: str | None = None,
    overrides: Sequence[str] = (),
    trials: int | None = None,
    storage: str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    timeout: float | None = None,
    scheduler: str | None = None,
    allow_mixed: bool = False,
    reuse: bool = True,
    fresh: str | None = None,
    from_study: str | Path | None = None,
    progress: bool = False,
    watch: Callable[[Progress], None] | None = None,
    notice: Callable[[Sequence[Finding]], None] | None = None,
    expect: Callable[[TimeNeeded], None] | None = None,
) -> StudyResult:
    """Run a study, or go on with it where it stopped. The tables do not depend on who does the work.

    >>> study = run("studies/wine.toml", trials=3)
    >>> float(study.trials["value"].min()) == study.best.result.value
    True
    >>> run("studies/wine.toml", trials=3, workers=2).name  # nothing is left to do: it comes back at once
    'wine'

    With a DataFrame and its target the study is the one that :func:`init` drafts: ``run(frame, target="species")`` is
    ``run(init(frame, target="species"))``. The rows are not stored: to go on, run it with the same DataFrame.

    Args:
        study: a study file, a definition, or rows as :func:`init` takes them.
        target: of rows, the column to predict.
        name: of rows, what the study is called; by default as its target, or its file. See ``fresh`` for others.
        overrides: keys of the study file, as ``train.epochs=200``.
        trials: how many there shall be in all; the file's number if None.
        storage: a URL; see :func:`storage_url`.
        workers: local processes that train; 1 trains in this one.
        executor: any ``concurrent.futures`` executor of this machine to train on instead; it is left running.
        timeout: seconds after which the study stops, to be gone on with later.
        scheduler: the address of a Dask scheduler whose workers train instead (extra ``distributed``).
        allow_mixed: go on, and train, on machines whose last bits are not those of the study's.
        reuse: train two trials of one configuration once.
        fresh: run it anew, as a study of this name, which no study of the storage has.
        from_study: an earlier study that searches the same hyperparameters, by its name or its file, or the URL of a
            storage for all of its studies: what was best there comes first. It is part of the study from then on.
        progress: show a bar, on a terminal or in a notebook; elsewhere a line a trial, on stderr.
        watch: told the progress after every trial, and about once a second.
        notice: told before trial 0 what the leakage audit found and does not stop the study.
        expect: told before the first trial how long the study will take, about, if that is more than some seconds and
            it runs on this machine's ``workers``. Without it nothing is measured.

    Raises:
        DataError: rows or splits that leak, unless ``[validation] allow`` says so; nothing was trained then.
        HpsearchError: a definition, data or storage that cannot be used; nothing was trained then.
        StorageLostError: the storage failed in mid-run; what was told before is still there.
    """
    from hpsearch.reporting.progress import shown_progress
    from hpsearch.search.objective import prepare
    from hpsearch.search.run import audited, executor_for, owned, search

    definition = _given(study, target, name, overrides)
    if trials is not None:
        definition = definition.with_trials(int(trials))
    url = storage_url(storage)
    if fresh is not None:
        definition = definition.with_name(fresh)
    if from_study is not None:
        from hpsearch.search.transfer import begun_with

        earlier = str(from_study)
        definition = begun_with(definition, url, earlier if "://" in earlier else study_name(from_study))
    in_flight = definition.search.in_flight
    with (
        executor_for(min(workers, in_flight), executor, scheduler, allow_mixed) as trainers,
        shown_progress(definition, quiet=not progress) as bar,
    ):
        prepared = prepare(definition)
        findings = audited(prepared)
        with (
            located(wording=_as_argument_of_run),
            owned(prepared, url, findings, allow_mixed, new=fresh is not None) as stored,
        ):
            if notice is not None and not stored.trials():
                notice(findings)
            if expect is not None and executor is None and scheduler is None:
                from hpsearch.search.time_needed import time_of_run

                told = sum(trial.state.is_finished() for trial in stored.trials())
                if (needed := time_of_run(prepared, workers, told)) is not None:
                    expect(needed)
            search(
                prepared, stored, trainers, on_progress=_both(bar, watch), timeout=timeout, reuse=reuse, baselines=True
            )
    rows = definition.given_rows
    return StudyResult(definition.name, url, None if rows is None else rows.frame)


def _both(one: Callable[[Progress], None], other: Callable[[Progress], None] | None) -> Callable[[Progress], None]:
    """Tells the progress to both, if there is another."""
    if other is None:
        return one
    also = other

    def tell(progress: Progress) -> None:
        one(progress)
        also(progress)

    return tell


def _as_argument_of_run(setting: Setting) -> str:
    from hpsearch.definition.study import as_key

    return as_argument(replace(setting, name="fresh")) if setting.name == "study.name" else as_key(setting)


def _given(
    study: str | Path | StudyDefinition | pd.DataFrame,
    target: str | None,
    name: str | None,
    overrides: Sequence[str],
) -> StudyDefinition:
    """The definition that was given, read or drafted.

    Raises:
        HpsearchError: a target or a name of what is no table of rows; a definition or rows that cannot be used.
    """
    from hpsearch.definition.study import StudyDefinition

    if isinstance(study, StudyDefinition):
        given = study.with_overrides(overrides) if overrides else study
    elif isinstance(study, str | Path) and (
        Path(study).suffix == ".toml" or (target is None and Path(study).suffix not in (".csv", ".parquet"))
    ):
        given = StudyDefinition.from_file(study, overrides)
    else:
        from hpsearch.definition.drafted import drafted

        return drafted(study, target, name, overrides=overrides, stacklevel=5)
    rows = "give rows: a DataFrame, a CSV or a Parquet file."
    got = "there is a study, which has one"
    if target is not None:
        raise HpsearchError("must go with rows", got, f"Leave it out, or {rows}", Setting("target"))
    if name is not None:
        other = ("To run the study under another name: ", Setting("fresh", name), f". Else {rows}")
        raise HpsearchError("must go with rows", got, other, Setting("name"))
    return given


def _definition(study: str | Path | StudyDefinition) -> StudyDefinition:
    from hpsearch.definition.study import StudyDefinition

    if isinstance(study, StudyDefinition):
        return study
    require_kind("study", study, "a study file or a StudyDefinition", str, Path)
    return StudyDefinition.from_file(study)


@checked
def nested(
    study: str | Path | StudyDefinition,
    *,
    outer: int = 5,
    storage: str | None = None,
    workers: int = 1,
    progress: bool = False,
    watch: Callable[[Progress], None] | None = None,
    notice: Callable[[Sequence[Finding]], None] | None = None,
    begin: Callable[[str], None] | None = None,
) -> Nested:
    """Nested cross-validation: the whole search inside each outer split, scored on its validation rows.

    The study itself is run first, unless it is stored already: what it ships is estimated by both. Each search is a
    stored study of its own, so a nested cross-validation that was interrupted goes on where it stopped. Rows held out
    are never used.

    >>> settings = ["study.name='short'", "search.trials=2", "train.epochs=40"]
    >>> definition = StudyDefinition.from_file("studies/wine.toml", settings)
    >>> found = nested(definition, outer=2)
    >>> [split.study for split in found.splits]
    ['short.outer-1-of-2', 'short.outer-2-of-2']
    >>> found.loss.low < found.loss.mean < found.loss.high
    True

    Args:
        study: a study file, or a definition.
        outer: outer splits, by the study's splitter.
        storage: as in :func:`run`, and so are the next four.
        workers: processes that train.
        progress: show a bar.
        watch: told the progress.
        notice: told what the leakage audit found.
        begin: told the name of each search before it begins.

    Raises:
        HpsearchError: a definition, data or storage that cannot be used; a search without a complete trial.
    """
    from hpsearch.reporting.progress import shown_progress
    from hpsearch.results.nested import nested as estimate
    from hpsearch.search.objective import prepare
    from hpsearch.search.run import audited

    definition = _definition(study)
    prepared = prepare(definition)
    findings = audited(prepared)
    if notice is not None:
        notice(findings)
    workers = min(workers, definition.search.in_flight)
    with shown_progress(definition, quiet=not progress) as bar:

        def on_begin(name: str) -> None:
            bar.begin(name)
            if begin is not None:
                begin(name)

        on_progress = _both(bar, watch)
        return estimate(prepared, outer, storage_url(storage), workers, on_begin=on_begin, on_progress=on_progress)


@checked
def confirm(
    study: str | Path | StudyResult,
    *,
    top: int = 5,
    repeats: int = 3,
    storage: str | None = None,
    progress: bool = False,
) -> Confirmation:
    """The best trials of a stored study again on fresh splits and seeds, and which of them are really different.

    >>> study = run("studies/wine.toml", trials=3)
    >>> found = confirm("wine", top=2, repeats=1)
    >>> len(found.trials), len(found.comparisons)
    (2, 1)

    Args:
        study: a stored study, by its name or by its file.
        top: how many trials.
        repeats: times that the rows are dealt into folds.
        storage: where it is kept.
        progress: show a bar, on a terminal or in a notebook.

    Raises:
        HpsearchError: no such study, no complete trial, splits that cannot be dealt anew.
    """
    from hpsearch.reporting.progress import shown_steps
    from hpsearch.results.confirm import confirm as compare

    with open_study(study, storage) as stored, shown_steps("confirming", quiet=not progress) as on_done:
        return compare(stored, top, repeats, on_done)


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
        require_kind(name, one, f"{_STORED}, or a model or its folder", str, Path, StudyResult, Bundle)
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


@checked
def cross_validate(study: str | Path | StudyDefinition) -> CrossValidation:
    """Cross-validate ``[train]`` of a study as it stands: no search, nothing stored.

    >>> outcome = cross_validate(StudyDefinition.from_file("studies/wine.toml", ["train.epochs=40"]))
    >>> outcome.outcome, len(outcome.folds)
    ('complete', 15)
    >>> outcome.estimate.low < outcome.value < outcome.estimate.high
    True

    Raises:
        HpsearchError: a definition or data that cannot be used.
    """
    from hpsearch.search.objective import prepare
    from hpsearch.threads import one_thread
    from hpsearch.validation.cross_validate import cross_validate as validate

    definition = _definition(study)
    prepared = prepare(definition)
    with one_thread():
        return validate(
            prepared.search,
            prepared.splits,
            definition.train,
            definition.seed,
            scalings=prepared.scalings[definition.train.scaling],
            rule=definition.validation.checkpoint,
            objective=definition.search.objective,
        )


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
def retrain(
    study: str | Path | StudyDefinition,
    storage: str | None = None,
    folder: str | Path | None = None,
    *,
    members: int | None = None,
    progress: bool = False,
) -> Bundle:
    """Fit ``[train]`` on all rows that are not held out and score the hold-out; see :mod:`hpsearch.model.retrain`.

    >>> model = retrain(StudyDefinition.from_file("studies/tutorial-a.toml", ["train.epochs=200"]))
    >>> model.probabilities([[0.0, 0.5]]).shape
    (1, 3)

    Args:
        study: a study file without a search space, such as an export of ``best``, or a definition.
        storage: where the study is kept that the configuration came from: each scoring of its hold-out is recorded.
        folder: where the model will be saved.
        members: networks whose predictions are averaged; those of the study's ``[retrain]`` if None.
        progress: show that it goes on, on a terminal or in a notebook.

    Raises:
        HpsearchError: a definition or data that cannot be used.
        DivergedError: a training that diverges with every seed.
    """
    from hpsearch.model.retrain import retrain as fit_and_score
    from hpsearch.reporting.progress import shown_steps

    definition = _definition(study)
    if members is not None:
        definition = definition.with_members(int(members))
    count = definition.retrain.members
    with shown_steps(f"retraining as {plural(count, 'network')}", quiet=not progress) as on_done:
        model = fit_and_score(definition, storage_url(storage), None if folder is None else Path(folder))
        on_done(1, 1)
    return model


def _loaded(model: str | Path | Bundle) -> Bundle:
    from hpsearch.model.bundle import Bundle

    if isinstance(model, Bundle):
        return model
    require_kind("model", model, "a Bundle, or the folder that one was saved in", str, Path)
    return Bundle.load(model)


@checked
def evaluate(
    model: str | Path | Bundle,
    rows: str | Path | pd.DataFrame,
    *,
    cost: Mapping[str, float] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Evaluated:
    """Score a saved model on labelled rows, beside what it was expected to score; see :mod:`hpsearch.model.evaluate`.

    >>> definition = StudyDefinition.from_file("studies/flowers.toml", ["train.epochs=40"])
    >>> run(definition, trials=2).retrain().save("flowers-model", force=True)
    >>> found = evaluate("flowers-model", "studies/flowers.csv")
    >>> found.rows, sorted(found.metrics)[:2]
    (180, ['accuracy', 'balanced_accuracy'])
    >>> found.metrics["accuracy"].low < found.metrics["accuracy"].value
    True

    Args:
        model: a folder that a bundle was saved in, or a bundle.
        rows: a CSV or Parquet file, or a DataFrame, with the model's columns and its target.
        cost: of two classes, ``{"yes": 10}``: missing a "yes" costs 10 times a false "yes". What threshold that makes
            is chosen on out-of-fold predictions of the study, and judged on these rows.
        notice: told a line on each thing that training did not meet; by default it is a warning.

    Raises:
        HpsearchError: no such model; rows that do not fit it, or of which none has a target; a cost of other than two
            classes, or with a model that has no out-of-fold predictions.
    """
    from hpsearch.data.frame_table import require_frame
    from hpsearch.model.evaluate import evaluate as score

    table = Path(rows) if isinstance(rows, str | Path) else require_frame(rows)
    return score(_loaded(model), table, notice or warnings.warn, cost=cost)


@checked
def export(
    model: str | Path,
    path: str | Path | None = None,
    *,
    format: str = "onnx",
    data: str | Path | None = None,
    force: bool = False,
) -> Exported:
    """Write a saved model in another format, checked on every row of the study's data; see :mod:`hpsearch.model.onnx`.

    >>> model = retrain(StudyDefinition.from_file("studies/tutorial-a.toml", ["train.epochs=200"]), folder="tutorial")
    >>> model.save("tutorial", force=True)
    >>> found = export("tutorial", force=True)
    >>> found.rows, found.largest_difference <= 1e-5  # held-out rows included
    (600, True)

    Args:
        model: a folder that a bundle was saved in.
        path: the file; by default the folder's name with the format's ending, in the working directory.
        format: one of :data:`hpsearch.model.export.EXPORTS`.
        data: a CSV or Parquet file to check it on instead, or the study file, where the model no longer finds its rows.
        force: replace a file that is there.

    Raises:
        HpsearchError: no such model or format, rows that do not fit it, a file that is there, packages that are not.
        ExportError: a prediction that is not the model's; nothing is written.
    """
    from hpsearch.model.export import export as write

    require_kind("model", model, "the folder that a model was saved in", str, Path)
    rows = None if data is None else Path(data)
    return write(Path(model), None if path is None else Path(path), format, rows, force)


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

    require_kind("study", study, _STORED, str, Path, StudyResult)
    given = None if model is None else _loaded(model)
    require_mlflow()
    with open_study(study, storage) as stored:
        best = find_best(stored)  # what can be refused without MLflow is, before it makes a database
        if given is not None:
            require_model_of(stored, given, str(model) if isinstance(model, str | Path) else "model")
        require_new(stored, tracking_uri, experiment)
        if given is None:
            given = fit(exported(best), stored.url, score_holdout=False)
        return export_runs(stored, given, tracking_uri, experiment)


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
def load_studies(storage: str | None = None) -> pd.DataFrame:
    """One row a study of a storage; its columns are described in :mod:`hpsearch.results.tables`.

    >>> study = run("studies/wine.toml", trials=3)
    >>> load_studies().query("study == 'wine'")["complete"].tolist()
    [3]
    """
    from hpsearch.results.tables import studies_table

    return studies_table(storage_url(storage))


@checked
def rename_study(study: str | Path, name: str, storage: str | None = None) -> None:
    """Give a stored study another name, which is then to stand in its file too.

    >>> study = run("studies/wine.toml", trials=3, fresh="first")
    >>> rename_study("first", "second")
    >>> "second" in set(load_studies()["study"]), "first" in set(load_studies()["study"])
    (True, False)

    Args:
        study: its name, or its file.
        name: the new one, which no study of the storage has.
        storage: as in :func:`run`.

    Raises:
        HpsearchError: a name that is taken or that no study may have; a study that a process runs, or whose brackets
            follow from its name (hyperband); a storage that cannot be written.
    """
    from hpsearch.search.correction import definition_of
    from hpsearch.storage.manage import rename

    with open_study(study, storage, owner=True) as stored:
        definition = definition_of(stored)
        if definition.search.pruner.name == "hyperband":
            raise HpsearchError(
                f"the study {stored.name!r} must keep its name",
                "its pruner is hyperband, whose brackets follow from the name",
                "Run it anew under another name.",
            )
        renamed = definition.with_name(name).attributes()["definition"]
        identity = {**stored.attributes["identity"], "study.name": name}
        rename(stored, name, {"definition": renamed, "identity": identity})


@checked
def delete_study(study: str | Path, storage: str | None = None) -> None:
    """Delete a stored study with its per-row results. There is no way back.

    >>> study = run("studies/wine.toml", trials=3, fresh="third")
    >>> delete_study("third")
    >>> "third" in set(load_studies()["study"])
    False

    Args:
        study: its name, or its file.
        storage: as in :func:`run`.

    Raises:
        HpsearchError: there is no such study, or a process runs it; a storage that cannot be written.
    """
    from hpsearch.storage.manage import delete
    from hpsearch.storage.stored_study import StoredStudy

    with StoredStudy.found(storage_url(storage), study_name(study), owner=True) as stored:
        delete(stored)


@checked
def copy_study(
    study: str | Path,
    name: str,
    output: Path | str | None = None,
    storage: str | None = None,
    *,
    overrides: Sequence[str] = (),
    force: bool = False,
) -> StudyDefinition:
    """A stored study's file once more, under another name and with other settings; none of its trials.

    >>> study = run("studies/wine.toml", trials=3)
    >>> copied = copy_study("wine", "longer", overrides=["train.epochs=200"])
    >>> copied.name, copied.train.epochs
    ('longer', 200)

    Args:
        study: its name, or its file.
        name: of the copy.
        output: the file to write; none is written if None.
        storage: as in :func:`run`.
        overrides: keys of the file, as ``train.epochs=200``.
        force: replace a file that is there.

    Raises:
        HpsearchError: no such study; settings that it cannot have; rows that no other file can name; a file that cannot
            be written, or is there.
    """
    from hpsearch.atomic_write import require_replaceable, write_atomically
    from hpsearch.data.frame_source import Frame, gone
    from hpsearch.definition.study import StudyDefinition, as_key
    from hpsearch.definition.study_file import study_file
    from hpsearch.search.correction import definition_of

    with open_study(study, storage) as stored:
        original = definition_of(stored)
    copied = original.with_name(name).with_overrides(overrides)
    if output is None:
        return copied
    if isinstance(copied.data, Frame):
        raise gone("Copy it without a file, and give the copy its rows: with_rows.").worded(as_key)
    path = Path(output)
    require_replaceable(path, force)
    text = study_file(copied, path.parent.resolve(), f"Copied from the study {original.name!r}.")
    write_atomically(path, text.encode())
    return StudyDefinition.from_file(path)
