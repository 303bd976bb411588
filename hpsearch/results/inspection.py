"""What the columns of a study do for the networks whose configuration it ships.

==========  =======  ==============================================================================================
column      dtype    meaning
==========  =======  ==============================================================================================
column      str      of the table, as it was read
kind        str      of its values: boolean, categorical, date, numeric or ordered
importance  float64  how much worse the objective is where the column's values are dealt to the rows anew: the mean
                     over the repeats, in the objective's unit; RMSE for a mean squared error
low, high   float64  the interval at 95 %, of rows and repeats; missing where it cannot be told
==========  =======  ==============================================================================================

The most important column comes first. What is judged is the out-of-fold ensemble of the finals, or where a single
network is shipped, or there were no finals, each network on the rows that it did not train on. They are trained again:
:mod:`hpsearch.validation.fold_networks`. Rows held out are never used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import pandas as pd

from hpsearch import seeds
from hpsearch.errors import DataError, DivergedError, HpsearchError, Setting
from hpsearch.numbers import plural, readable, rounded, times
from hpsearch.results.tables import frame_of
from hpsearch.search.baselines import seconds_of_training
from hpsearch.search.correction import definition_of
from hpsearch.search.finals import Choice, choose, finals
from hpsearch.search.objective import Prepared, TrialTask, networks_of, prepare
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult, best_result
from hpsearch.validation.inspection import MOST_ROWS, POINTS, ColumnImportance, Effect, Inspected, times_scored
from hpsearch.validation.metric import Metric, RankingMetric
from hpsearch.validation.paired import affordable_groups

REPEATS = 10  # of the deals
STRONGEST = 5  # columns whose effects are shown
_TYPES = {"column": "str", "kind": "str", **dict.fromkeys(("importance", "low", "high"), "float64")}
# What the predictions with a column of other rows take on one core, as measured: a call, and its multiplications; and
# what ranking a row takes.
_SECONDS_OF_A_CALL, _SECONDS_OF_A_PRODUCT, _SECONDS_OF_A_RANK = 3e-4, 1.5e-10, 5e-9


@dataclass(frozen=True, repr=False)
class Importance:
    """How much worse a study's networks predict without each column.

    Attributes:
        study: its name.
        trial: whose configuration it is.
        metric: the objective, as headlines show it.
        value: the objective of the rows as they are.
        rows: that were predicted.
        of_rows: that there were to predict.
        networks: how many there are.
        of_ensemble: whether their average is judged, or each by itself.
        repeats: of the deals.
        columns: the most important first.
    """

    study: str
    trial: int
    metric: Metric
    value: float
    rows: int
    of_rows: int
    networks: int
    of_ensemble: bool
    repeats: int
    columns: tuple[ColumnImportance, ...]

    def __repr__(self) -> str:
        first = ", ".join(f"{one.column} {rounded(one.value)}" for one in self.columns[:3])
        return f"<Importance of {plural(len(self.columns), 'column')} for {self.study!r}, {self.title}: {first}>"

    @property
    def frame(self) -> pd.DataFrame:
        """As a table; see :mod:`hpsearch.results.inspection`."""
        rows = [
            {"column": one.column, "kind": one.kind, "importance": one.value, "low": one.low, "high": one.high}
            for one in self.columns
        ]
        return frame_of(rows, _TYPES)

    @property
    def caption(self) -> str:
        """What the numbers are, in a sentence or two."""
        change = "decrease" if self.metric.direction == "maximize" else "increase"
        return (
            f"Importance: the {change} of the {self.title}, {readable(self.value)} as the rows are, where a column's "
            f"values are dealt to the rows anew, {times(self.repeats)}. {self.judged} Intervals are at 95 %."
        )

    @property
    def title(self) -> str:
        """Of the objective, with its unit."""
        return f"{self.metric.title} ({self.metric.unit})" if self.metric.unit else self.metric.title

    @property
    def judged(self) -> str:
        """Which rows were predicted, and by which networks, as a sentence."""
        rows = f"{self.rows:,} rows"
        if self.rows < self.of_rows:
            rows = f"{self.rows:,} of {self.of_rows:,} rows, drawn at random"
        if not self.of_ensemble:
            return f"{rows}, each predicted by those of {self.networks} networks that did not train on it, one by one."
        return f"{rows}, each predicted by the average of those of {self.networks} networks that did not train on it."


class Inspection:
    """The networks that a study's shipped configuration had, trained again when they are first needed.

    Args:
        stored: the study.
        prepared: the same with its rows, where they have been loaded.

    Raises:
        HpsearchError: no trial is complete.
        DataError: rows that are not there, or are no longer those of the study.
    """

    def __init__(self, stored: StoredStudy, prepared: Prepared | None = None) -> None:
        self._stored, self._definition = stored, definition_of(stored)
        trials = stored.trials()
        results = [stored_result(trial) for trial in trials if trial.state.is_finished()]
        evaluated = finals(stored, self._definition, trials)
        self._final = choose(evaluated, self._definition, self._definition.retrain.members > 1)
        best = best_result(results, self._definition.metric)
        if best is None:
            raise HpsearchError(
                f"The study {stored.name!r} must have a complete trial to say what its columns do",
                f"has none among {len(results)} that ended",
            )
        if self._final is not None:
            best = next(result for result in results if result.number == self._final.final.number)
        self._best: TrialResult = best
        self._chosen = trials[best.number].params
        if prepared is None:
            prepared = prepare(self._definition)
            if prepared.search.fingerprint != stored.attributes["identity"]["data.fingerprint"]:
                raise DataError(
                    f"The rows must be those that {stored.name!r} searched with", "are others", "Restore the data."
                )
        self._prepared = prepared

    @property
    def _of_ensemble(self) -> bool:
        return self._final is not None and self._final.of_ensemble

    @property
    def _epoch(self) -> int:
        epoch = self._best.best_epoch if self._final is None else self._final.epoch
        assert epoch is not None  # it is complete
        return epoch

    def seconds(self) -> float:
        """What it takes on one core to train the networks and to tell the importances, about, by what is computed."""
        prepared = self._prepared
        splits = prepared.splits if self._final is None else prepared.final_splits
        config = self._definition.config(self._chosen)
        training = seconds_of_training(self._epoch, splits, config.batch_size, self._best.parameters)
        predicted = min(sum(len(split.validation) for split in splits), MOST_ROWS * self._networks_a_row)
        columns, classes = len(prepared.search.columns.columns), max(1, len(prepared.search.class_names))
        widths = [*config.by_layer("neurons"), classes]
        products = 20 * sum(widths) + sum(a * b for a, b in pairwise(widths))  # what an exponential takes, as 20
        calls = columns * REPEATS + STRONGEST * POINTS
        a_call = _SECONDS_OF_A_CALL + predicted * products * _SECONDS_OF_A_PRODUCT
        if isinstance(self._definition.metric, RankingMetric):  # whose rows are sorted, and counted for each group
            rows = predicted // self._networks_a_row
            groups = affordable_groups(rows, classes, times_scored(self._definition.metric, columns, REPEATS))
            a_call += rows * classes * groups * _SECONDS_OF_A_RANK
        return float(training + calls * a_call)

    @property
    def _networks_a_row(self) -> int:
        return self._definition.search.finalist_repeats if self._of_ensemble else 1

    @cached_property
    def inspected(self) -> Inspected:
        """The networks with the rows that they are looked at with.

        Raises:
            DivergedError: a training that diverges on this machine.
        """
        final: Choice | None = self._final
        epochs = None if final is None else final.epoch
        task = TrialTask(self._best.number, self._chosen, final_epochs=epochs)
        networks = networks_of(self._prepared, task, self._epoch)
        if not pd.notna(networks.parameters).all():
            raise DivergedError("The training must keep finite parameters", "it does not on this machine")
        definition = self._definition
        return Inspected.of(networks, definition.metric, definition.validation.splitter, self._of_ensemble)

    def importance(self, repeats: int = REPEATS, seed: int | None = None) -> Importance:
        """How much worse the networks predict without each column.

        Args:
            repeats: how often the values of a column are dealt, at least 1.
            seed: of the deals; the study's if None.

        Raises:
            HpsearchError: fewer repeats.
        """
        if repeats < 1:
            raise HpsearchError("must be at least 1", f"is {repeats}", where=Setting("repeats"))
        if seed is not None and seed < 0:
            raise HpsearchError("must be at least 0", f"is {seed}", where=Setting("seed"))
        inspected = self.inspected
        draw = seeds.generator(self._definition.seed if seed is None else seed, "importance")
        value, columns = inspected.importance(repeats, draw)
        splits = inspected.networks.splits
        validated = self._prepared.splits if self._final is None else self._prepared.final_splits
        of_rows = len(set().union(*(split.validation.tolist() for split in validated)))
        return Importance(
            self._stored.name,
            self._best.number,
            self._definition.metric.headline,
            value,
            inspected.data.rows,
            of_rows,
            len(splits),
            self._of_ensemble,
            repeats,
            tuple(columns),
        )

    def effects(self, columns: Sequence[str]) -> list[Effect]:
        """The partial dependence of the predictions on some of the columns."""
        return self.inspected.effects(columns)
