"""A stored study, read once: what figures and reports are made from."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, HpsearchError
from hpsearch.model.retrain import fit_prepared
from hpsearch.results.best import Best, find_best
from hpsearch.results.inspection import Importance, Inspection
from hpsearch.results.tables import trials_table
from hpsearch.search.correction import definition_of
from hpsearch.search.objective import Prepared, prepare
from hpsearch.search.time_needed import in_words
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult, ranked
from hpsearch.validation.cross_validate import RowResults
from hpsearch.validation.layout import Layout
from hpsearch.validation.metric import Metric

Predict = Callable[[NDArray[Any]], NDArray[Any]]  # features (N, D) to probabilities (N, C) or predictions (N, 1)


class Snapshot:
    """A stored study. Each part is read when it is first asked for, and not again.

    Args:
        stored: the study; it must stay open as long as this is asked for more.
        most_seconds: of one core that :attr:`inspection` may take, about.
    """

    def __init__(self, stored: StoredStudy, most_seconds: float = math.inf) -> None:
        self.stored, self._most_seconds = stored, most_seconds

    @cached_property
    def attributes(self) -> dict[str, Any]:
        return self.stored.attributes

    @cached_property
    def definition(self) -> StudyDefinition:
        return definition_of(self.stored)

    @property
    def metric(self) -> Metric:
        """The objective."""
        return self.definition.metric

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The trials table."""
        return trials_table(self.stored)

    @cached_property
    def results(self) -> list[TrialResult]:
        """Of every trial that ended, by number."""
        return [stored_result(trial) for trial in self.stored.trials() if trial.state.is_finished()]

    @cached_property
    def complete(self) -> list[TrialResult]:
        """The complete ones, best first.

        Raises:
            HpsearchError: there is none.
        """
        complete = ranked(self.results, self.metric)
        if not complete:
            raise HpsearchError(
                f"The study {self.stored.name!r} must have a complete trial for this",
                f"has none among {len(self.results)} that ended",
            )
        return complete

    @cached_property
    def best(self) -> Best:
        """The best trial.

        Raises:
            HpsearchError: none is complete.
        """
        return find_best(self.stored)

    @property
    def chosen(self) -> int | None:
        """The number of the trial that is shipped, which finals may have chosen; None if no trial is complete."""
        return self.best.result.number if any(result.value is not None for result in self.results) else None

    @cached_property
    def prepared(self) -> Prepared:
        """The data, loaded again.

        Raises:
            DataError: it is not there, or is no longer what the study searched with.
        """
        prepared = prepare(self.definition)
        if prepared.search.fingerprint != self.attributes["identity"]["data.fingerprint"]:
            raise DataError(f"The rows must be those that {self.stored.name!r} searched with", "are others")
        return prepared

    @property
    def data(self) -> Dataset:
        """The rows to search with."""
        return self.prepared.search

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Of the classes; their numbers where the data cannot be loaded."""
        try:
            return self.data.class_names
        except HpsearchError:
            return tuple(map(str, range(self.rows.predictions.shape[1])))

    @cached_property
    def target_name(self) -> str:
        """What is predicted; where the data cannot be loaded, just that."""
        try:
            return self.data.target_name
        except HpsearchError:
            return "target"

    @cached_property
    def layout(self) -> Layout:
        """Which row every validation result belongs to.

        Raises:
            StorageError: its file is not kept.
        """
        return self.stored.row_results.layout()

    @cached_property
    def rows(self) -> RowResults:
        """What became of the best trial's validation rows.

        Raises:
            HpsearchError: no complete trial, or its file is not kept.
        """
        return self.stored.row_results.of(self.best.result)

    @cached_property
    def inspection(self) -> Inspection:
        """The networks whose configuration is shipped, trained again when they are first asked.

        Raises:
            HpsearchError: no complete trial; rows that are not there, or are others; it would take too long.
        """
        found = Inspection(self.stored, self.prepared)
        if (seconds := found.seconds()) > self._most_seconds:
            raise HpsearchError(
                got=f"It would take about {in_words(seconds)}, as the networks are trained again",
                do="`hpsearch report --importance` takes that time.",
            )
        return found

    @cached_property
    def importance(self) -> Importance:
        """How much worse they predict without each column; as :attr:`inspection`."""
        return self.inspection.importance()

    @cached_property
    def predict(self) -> Predict:
        """The best configuration, retrained on all rows that are not held out."""
        return fit_prepared(self.prepared, self.best.config).predictions
