"""Which study is meant, where it is stored, and what ``run`` returns of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.arguments import require_kind
from hpsearch.errors import HpsearchError, Setting, quoted

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.definition.study import StudyDefinition
    from hpsearch.model.bundle import Bundle
    from hpsearch.results.best import Best
    from hpsearch.storage.stored_study import StoredStudy


DEFAULT_STORAGE = "sqlite:///hpsearch.db"
STORED = "a study's name, its file, or what run returned"


def storage_url(given: str | None = None) -> str:
    """The storage to use: the one given, or ``HPSEARCH_STORAGE``, or ``hpsearch.db`` in the working directory."""
    return given or os.environ.get("HPSEARCH_STORAGE") or DEFAULT_STORAGE


def open_study(study: str | Path | StudyResult, storage: str | None = None, owner: bool = False) -> StoredStudy:
    """A stored study, what ``run`` returned, or by its name or by its file, as it is at this moment; ``owner`` is for
    who then takes its lock and writes.

    Raises:
        HpsearchError: no such study, or no such file.
        StorageError: a storage that cannot be read.
        DamagedStudyError: the study is not as it was stored.
    """
    from hpsearch.storage.database import closed_on_error
    from hpsearch.storage.stored_study import StoredStudy

    rows = study.rows if isinstance(study, StudyResult) else None
    stored = StoredStudy.open(*url_and_name(study, storage), owner, rows)
    if owner:
        return stored
    with closed_on_error(stored.storage):
        return stored.at_one_moment()


def url_and_name(study: str | Path | StudyResult, storage: str | None = None) -> tuple[str, str]:
    """Where a study is stored, and its name."""
    if isinstance(study, StudyResult):
        return study.storage, study.name
    require_kind("study", study, STORED, str, Path)
    return storage_url(storage), study_name(study)


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


def given_definition(study: str | Path | StudyDefinition) -> StudyDefinition:
    from hpsearch.definition.study import StudyDefinition

    if isinstance(study, StudyDefinition):
        return study
    require_kind("study", study, "a study file or a StudyDefinition", str, Path)
    return StudyDefinition.from_file(study)


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
        from hpsearch.api.results import load_trials

        return load_trials(self)

    @property
    def folds(self) -> pd.DataFrame:
        """One row a complete trial and fold."""
        from hpsearch.api.results import load_folds

        return load_folds(self)

    @property
    def curves(self) -> pd.DataFrame:
        """One row a trial, checkpoint and fold."""
        from hpsearch.api.results import load_curves

        return load_curves(self)

    @property
    def finals(self) -> pd.DataFrame:
        """One row a finalist and repeat."""
        from hpsearch.api.results import load_finals

        return load_finals(self)

    @property
    def metrics(self) -> pd.DataFrame:
        """Every metric of the best trial's predictions, one row a fold and one of all of them."""
        from hpsearch.api.results import load_metrics

        return load_metrics(self)

    @property
    def importance(self) -> pd.DataFrame:
        """How much each column of the table matters to what is shipped, the most important first."""
        from hpsearch.api.results import load_importance

        return load_importance(self)

    @property
    def best(self) -> Best:
        """What the finals chose, or the complete trial with the best objective value."""
        from hpsearch.api.results import load_best

        return load_best(self)

    def best_at_most(self, parameters: int) -> Best:
        """The best among the trials whose networks have at most so many parameters.

        Raises:
            HpsearchError: no complete trial is so small.
        """
        from hpsearch.api.results import load_best

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
        from hpsearch.api.models import retrain
        from hpsearch.api.results import load_best
        from hpsearch.results.best_study import exported

        best = load_best(self, rule=rule)
        return retrain(exported(best), self.storage, members=members, progress=progress)

    def __repr__(self) -> str:
        from hpsearch.reporting.shown_study import in_a_line

        return in_a_line(self.name, self.storage)

    def _repr_html_(self) -> str:
        from hpsearch.reporting.shown_study import as_html

        return as_html(self.name, self.storage)
