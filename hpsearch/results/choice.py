"""What is compared: studies with the choice that they made, trials of them, saved models; and whether they can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hpsearch.arrays import Array, Floats, IntArray
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, HpsearchError, Setting, did_you_mean, quoted
from hpsearch.model.bundle import Bundle
from hpsearch.numbers import plural
from hpsearch.search.correction import (
    Selection,
    correct,
    definition_of,
    equal_shares_of,
    selection_of_finals,
    selection_of_search,
)
from hpsearch.search.finals import choose, finals
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult, fold_value
from hpsearch.validation.layout import Layout
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import METRICS, metrics_of
from hpsearch.validation.paired import Scores
from hpsearch.validation.selection import ChosenAgain, chosen_again

SEED = 0  # of the resamples: the same for both sides, whatever their studies' seeds
MOST_NAMED = 3  # settings that differ


@dataclass(frozen=True)
class Asked:
    """What is to be compared: a study, a trial of it, or a saved model.

    Attributes:
        name: as it was asked for.
        stored: the study; None for a model.
        trial: its number; None for what the study ships.
        model: the saved model.
    """

    name: str
    stored: StoredStudy | None = None
    trial: int | None = None
    model: Bundle | None = None


@dataclass(frozen=True)
class Chosen:
    """A side, with what it chose among.

    Attributes:
        asked: what was asked for.
        definition: of its study.
        selection: the choice.
        epoch: the chosen checkpoint's.
        of_ensemble: whether it was made for an ensemble.
        layout: of the per-row results.
        trials: all that ended.
    """

    asked: Asked
    definition: StudyDefinition
    selection: Selection
    trials: list[TrialResult]
    epoch: int
    of_ensemble: bool
    layout: Layout

    @property
    def about(self) -> str:
        chosen, candidates = self.selection.chosen, len(self.selection.results)
        if self.asked.trial is not None:
            return f"one network a split, at epoch {self.epoch}"
        of = plural(candidates, "finalist" if self.of_ensemble else "trial")
        trials = f"trial {chosen.number}" + (f", the best of {of}" if candidates > 1 else "")
        repeats = self.definition.search.finalist_repeats
        who = f"{repeats} networks averaged" if self.of_ensemble and repeats > 1 else "one network a split"
        return f"{who}, {trials}"

    @property
    def training_rows(self) -> float:
        return float(np.mean([fold["training_rows"] for fold in self.selection.chosen.folds]))

    @property
    def study(self) -> tuple[str, str]:
        """Which study it is of."""
        assert self.asked.stored is not None
        return self.asked.stored.url, self.asked.stored.name

    @property
    def repeats(self) -> Floats:
        """(R,), what single networks score on average in each repeat of the splits."""
        of_repeats: dict[int, list[float]] = {}
        for fold in self.selection.chosen.folds:
            of_repeats.setdefault(fold["repeat"], []).append(fold_value(fold))
        return np.array([np.mean(values) for values in of_repeats.values()])

    def tables(self, result: TrialResult, judged_by: Metric) -> tuple[Array, Array]:
        """What a candidate is chosen by and what it is judged by, (T, M, …) each."""
        rows, own = self.selection.files.of(result), self.definition.metric
        if judged_by is own:
            values = self.selection.choosable(rows.of_objective)
            return values, values
        if judged_by is metrics_of(self.definition.loss)["loss"]:
            return self.selection.choosable(rows.of_objective), self.selection.choosable(rows.losses)
        # Of other checkpoints than the chosen one there are no predictions.
        place = result.epochs.index(result.best_epoch) if result.best_epoch is not None else -1
        values = judged_by.row_values(self.layout.labels, rows.predictions)
        return rows.of_objective[place][np.newaxis], values[np.newaxis]

    def scores(self, judged_by: Metric) -> Scores:
        """The chosen candidate's rows at the chosen checkpoint."""
        return Scores(self.at_epoch(self.selection.chosen, self.epoch, judged_by), self.layout)

    def at_epoch(self, result: TrialResult, epoch: int | None, judged_by: Metric) -> Array:
        """What a candidate is judged by at a checkpoint, (M, …)."""
        assert epoch is not None  # a complete trial has one
        values = self.tables(result, judged_by)[1]
        chosen: Array = values[0] if len(values) == 1 else values[result.epochs.index(epoch)]
        return chosen

    def again(self, judged_by: Metric, at: IntArray, curve: bool) -> ChosenAgain:
        """The choice made again, on the positions ``at``."""
        selection, own = self.selection, self.definition.metric
        candidates = ((by[:, at], of[:, at]) for by, of in self._candidates(judged_by))
        extrapolated = None
        if curve and selection.curve is not None and judged_by is own:
            more, fewer = selection.curve.more[:, at], selection.curve.fewer[:, at]
            extrapolated = replace(selection.curve, more=more, fewer=fewer)
        # Of a log loss, which others are not.
        of_shares = judged_by is own or judged_by in (METRICS["loss"], METRICS["log_loss"])
        shift = equal_shares_of(selection.files, self.definition, selection.chosen) if of_shares else 0.0
        return chosen_again(candidates, self.layout.take(at), own, judged_by, SEED, extrapolated, shift)

    def _candidates(self, judged_by: Metric) -> Iterator[tuple[Array, Array]]:
        return (self.tables(result, judged_by) for result in self.selection.complete)


def chosen_of(asked: Asked) -> Chosen:
    """What a study ships, or a trial of it.

    Raises:
        HpsearchError: no complete trial, or a trial that is not.
        StorageError: the per-row results are not there.
    """
    stored = asked.stored
    assert stored is not None
    definition, trials = definition_of(stored), stored.trials()
    results = [stored_result(trial) for trial in trials if trial.state.is_finished()]
    if asked.trial is not None:
        known = {result.number: result for result in results}
        if asked.trial not in known or known[asked.trial].value is None:
            there = known.get(asked.trial)
            got = f"there is no trial {asked.trial}" if there is None else f"trial {asked.trial} is {there.state}"
            raise HpsearchError(
                f"A comparison needs complete trials of {stored.name!r}", got, "Choose one that is COMPLETE."
            )
        selection = selection_of_search(stored, definition, results, asked.trial)
        return _of(asked, definition, selection, results, selection.chosen.best_epoch, False)
    if all(result.value is None for result in results):
        raise HpsearchError(
            f"The study {stored.name!r} must have a complete trial to be compared",
            f"has none among {len(results)} that ended",
            "Run it on, or see its trials' reasons.",
        )
    evaluated = finals(stored, definition, trials)
    ensemble = definition.retrain.members > 1
    choice = choose(evaluated, definition, ensemble)
    if choice is None or not choice.of_ensemble:
        selection = selection_of_search(stored, definition, results)
        return _of(asked, definition, selection, results, selection.chosen.best_epoch, False)
    selection = selection_of_finals(stored, definition, evaluated, correct(stored, definition, results))
    return _of(asked, definition, selection, results, choice.epoch, True)


def _of(
    asked: Asked,
    definition: StudyDefinition,
    selection: Selection,
    trials: list[TrialResult],
    epoch: int | None,
    ensemble: bool,
) -> Chosen:
    assert epoch is not None  # a complete trial has one
    return Chosen(asked, definition, selection, trials, epoch, ensemble, selection.files.layout())


def metric_of_both(first: StudyDefinition, second: StudyDefinition, name: str | None) -> tuple[str, Metric]:
    """The metric to compare by, and its name.

    Raises:
        HpsearchError: there is none of that name, or of that task.
    """
    known = metrics_of(first.loss)
    if name is not None:
        if name not in known:
            raise HpsearchError(
                f"must be a metric of {first.data.predicts}",
                f"is {quoted(name)}",
                did_you_mean(name, known),
                Setting("metric"),
            )
        if name == "loss" and first.loss != second.loss:
            raise HpsearchError(
                "must be a metric that both have",
                f"the studies train on {quoted(first.loss)} and {quoted(second.loss)}",
                did_you_mean("log_loss" if "log_loss" in known else "mse", known),
                Setting("metric"),
            )
        return name, known[name]
    if first.metric is second.metric:
        return first.search.objective, first.metric
    name = "loss" if first.loss == second.loss else "log_loss" if first.data.predicts == "classification" else "mse"
    return name, known[name]


def require_same_rows(first: StoredStudy, second: StoredStudy) -> None:
    """Refuse two studies of other rows, or of another hold-out.

    Raises:
        DataError: with what differs.
    """
    ours, theirs = (study.attributes["identity"] for study in (first, second))
    what = {"data.fingerprint": "search on other rows", "holdout.fingerprint": "hold out other rows"}
    differ = [key for key in what if ours.get(key) != theirs.get(key)]
    if not differ:
        return
    keys = ["data.source", "data.path", *(key for key in ours if key.startswith(("data.", "holdout.", "study.seed")))]
    settings = [key for key in dict.fromkeys(keys) if key not in what and ours.get(key) != theirs.get(key)]
    named = [f"{key} is {quoted(ours.get(key))} and {quoted(theirs.get(key))}" for key in settings[:MOST_NAMED]]
    raise DataError(
        "Studies must have the same rows and hold-out to be compared",
        f"{first.name!r} and {second.name!r} {' and '.join(what[key] for key in differ)}: "
        + (", ".join(named) if named else "their data have changed in between"),
        "Run one of them again with the other's rows, hold-out and seed.",
    )
