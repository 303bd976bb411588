"""Two studies, two trials, or a study and a saved model on the same rows: which is better, and how sure is that?

Of two studies that searched on the same rows, what they ship is compared by their out-of-fold predictions, row by row.
The score of each is the best of many on these very rows, and the more a study has searched, the luckier is its score.
So the difference is not that of the two scores:

1. Both choices are made again on four fifths of the rows and looked at on the last fifth, the same fifths for both
   (:func:`~hpsearch.validation.selection.chosen_again`). The difference of what comes out has no luck of these choices.
2. Its interval is Student's. Its variance has, of the differences row by row, (2 - 1/J) s²/U and half the variance of
   the choices, c/2, as that of a corrected score has (:func:`~hpsearch.validation.selection.corrected`); both are of
   resamples that draw the same units for both sides.
3. Two studies trained their networks with different luck, and so will what they ship. What single networks score on
   average over the rows differs between the R repeats of the finals, by a variance V of each study: V/R is added.
4. Where an ensemble was chosen in the finals, its finalists were the best of a search on the same rows. How much luck
   that is lies between nothing and what the search's own corrected score says, 2 · o for an o that
   :func:`~hpsearch.search.correction.correct_shipped` adds. To subtract one study's o from the other's makes the
   difference worse, as both are noisy. So it is not added, but the variance of a number anywhere between 0 and twice
   the difference of both is: (o₁ - o₂)²/3.

That was chosen on rows of its own and measured on others (tests/benchmarks/comparing.py).

Two trials are compared likewise, one network a split; what is chosen again is the checkpoint. Whoever names two trials
has seen the table, so that the pair may be the best and the worst by luck. The interval is made for all pairs of
complete trials at once: the factor in the place of Student's is the 95 % quantile, over resamples, of the largest
studentised difference of any pair (Romano & Wolf 2005, "Exact and approximate stepdown methods for multiple hypothesis
testing", without the steps).

A saved model has trained on the study's rows. Only what it did not train on counts: the out-of-fold predictions of the
study that it was exported from, or the common hold-out. What the study itself ships is no other thing than the study.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from hpsearch.arrays import Array, Floats, IntArray
from hpsearch.data.splits import SPLITTERS
from hpsearch.data.units import independent_units
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, HpsearchError, Setting, StorageError, did_you_mean, quoted
from hpsearch.markup import table, text
from hpsearch.model.bundle import Bundle
from hpsearch.model.retrain import fit_prepared
from hpsearch.numbers import plural, readable, rounded, times
from hpsearch.results.best import find_best
from hpsearch.search.correction import (
    Selection,
    correct,
    definition_of,
    equal_shares_of,
    selection_of_finals,
    selection_of_search,
)
from hpsearch.search.finals import choose, finals
from hpsearch.search.objective import prepare
from hpsearch.storage.stored_study import StoredStudy, stored_result
from hpsearch.storage.trial_result import TrialResult, fold_value
from hpsearch.validation.estimates import LEVEL, student
from hpsearch.validation.layout import Layout
from hpsearch.validation.metric import AdditiveMetric, Metric
from hpsearch.validation.metrics import METRICS, metrics_of
from hpsearch.validation.paired import Scores, paired_difference
from hpsearch.validation.selection import FEWEST_UNITS, MOST_WORK, ChosenAgain, chosen_again, resampled_scores

SEED = 0  # of the resamples: the same for both sides, whatever their studies' seeds
MOST_NAMED = 3  # settings that differ
ALIKE_ROWS = 0.02  # training rows that differ by less than this share are as many

Verdict = Literal["better", "worse", "alike"]


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
class Side:
    """One of the two.

    Attributes:
        name: as it was asked for.
        about: what was compared.
        value: its score on the rows; of a study the one that it was chosen by, which is optimistic.
    """

    name: str
    about: str
    value: float


@dataclass(frozen=True, repr=False)
class Compared:
    """Two studies, trials or models on the same rows.

    Attributes:
        first, second: the two.
        metric: what they are compared by, of ``METRICS``.
        title, unit: of what is shown, the metric or its square root.
        higher_is_better: whether it is.
        squared: whether it is a mean of squares, whose square root is shown.
        on: ``out-of-fold predictions`` or ``hold-out``.
        rows: how many both predicted.
        units: independent rows or groups among them; None where rows follow each other in time.
        difference: the first's score minus the second's, without the luck of either choice; with it where there is no
            interval.
        low, high: its interval at 95 %; None where it cannot be told.
        verdict: of the first: ``better``, ``worse``, or ``alike`` where the rows cannot tell; None without an interval.
        missing: why there is no interval, as the end of a sentence.
        notes: what else to know, a sentence each.
    """

    first: Side
    second: Side
    metric: str
    title: str
    unit: str
    higher_is_better: bool
    squared: bool
    on: Literal["out-of-fold predictions", "hold-out"]
    rows: int
    units: int | None
    difference: float
    low: float | None
    high: float | None
    verdict: Verdict | None
    missing: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        gain, low, high = self._gain()
        first, second, unit = self.first.name, self.second.name, f" {self.unit}" if self.unit else ""
        how = f"{rounded(abs(gain))}{unit} {'better' if gain > 0 else 'worse'}" if gain else "as good"
        if low == high == 0:
            return f"{first} and {second} predict the {self.rows:,} rows alike."
        if low is None or high is None:
            return f"{first} is {how} {'than' if gain else 'as'} {second}; how sure that is cannot be told."
        between = f"95 % interval {rounded(low)} to {rounded(high)}"
        if gain < 0:  # of how much worse, as the sentence says it
            between = f"95 % interval {rounded(-high)} to {rounded(-low)}"
        if self.verdict == "alike":
            return f"The {self.rows:,} rows cannot tell {first} and {second} apart: {first} is {how}, {between}."
        if self.verdict == "worse":
            first, second, gain = second, first, -gain
        return f"{first} is better than {second} by {rounded(gain)}{unit} ({between})."

    def _gain(self) -> tuple[float, float | None, float | None]:
        """How much better the first is, as it is shown: with the ends of its interval."""
        scale = 1.0 if self.higher_is_better else -1.0
        if self.squared:
            # Of roots: a² - b² = (a - b)(a + b), and the same for the interval, near enough.
            scale /= (math.sqrt(self.first.value) + math.sqrt(self.second.value)) or 1.0
        ends = [None if end is None else scale * end for end in (self.low, self.high)]
        low, high = ends if self.higher_is_better else ends[::-1]
        return scale * self.difference, low, high

    def scores(self) -> list[tuple[str, str, str]]:
        """The two for reading: name, value, what it is."""
        return [(side.name, self._shown(side.value), side.about) for side in (self.first, self.second)]

    def _shown(self, value: float) -> str:
        return readable(math.sqrt(value) if self.squared else value)

    def __repr__(self) -> str:
        return f"<Compared: {self.sentence}>"

    def __str__(self) -> str:
        width = max(len(self.first.name), len(self.second.name))
        lines = [f"{name:<{width}}  {value}  {what}" for name, value, what in self.scores()]
        return "\n".join([f"{self.head}:", *lines, self.sentence, *self.remarks])

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{text(sentence)}</p>" for sentence in (self.sentence, *self.remarks))
        return f"{table(['', self.title, 'what'], self.scores(), self.head)}{said}"

    @property
    def head(self) -> str:
        """What is compared, and on what."""
        return f"{self.title} of {self.on}, {plural(self.rows, 'row')}"

    @property
    def remarks(self) -> list[str]:
        """What else to know, a sentence each."""
        return [*([] if self.missing is None else [f"There is no interval: {self.missing}."]), *self.notes]

    def summary(self) -> dict[str, Any]:
        """In plain values."""
        return {**asdict(self), "sentence": self.sentence, "notes": list(self.notes)}


def compare(first: Asked, second: Asked, metric: str | None = None) -> Compared:
    """Two studies, two trials, or a study and a saved model.

    Args:
        first: the one.
        second: the other.
        metric: of ``METRICS``; what both search for if None, or the usual loss of the task where they differ.

    Raises:
        HpsearchError: one and the same thing twice, or two that cannot be compared; a metric of another task.
        DataError: other rows, or another hold-out; a model that trained on all rows that there are.
        StorageError: per-row results that are not there.
    """
    if first.stored is not None and second.stored is not None:
        return _out_of_fold(first, second, metric)
    if first.stored is None and second.stored is None:
        raise HpsearchError(
            "One of the two must be a study",
            "both are saved models",
            "Use `hpsearch evaluate` with each, on rows that neither has seen.",
        )
    if first.stored is None:
        return _turned(_with_model(second, first, metric))
    return _with_model(first, second, metric)


# ---------------------------------------------------------------- out of fold


@dataclass(frozen=True)
class _Chosen:
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


def _chosen(asked: Asked) -> _Chosen:
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
) -> _Chosen:
    assert epoch is not None  # a complete trial has one
    return _Chosen(asked, definition, selection, trials, epoch, ensemble, selection.files.layout())


_LUCK = "A score that is the best of several is so partly by luck; the difference is not corrected for that."
_WITHOUT_LUCK = "A score that is the best of several is so partly by luck; the difference is corrected for that."


def _out_of_fold(first: Asked, second: Asked, metric: str | None) -> Compared:
    assert first.stored is not None
    assert second.stored is not None
    if (first.stored.url, first.stored.name, first.trial) == (second.stored.url, second.stored.name, second.trial):
        raise HpsearchError("Two must be given to be compared", f"both are {first.name!r}")
    if (first.trial is None) != (second.trial is None):
        trial = second if first.trial is None else first
        raise HpsearchError(
            "Both must be studies, or both trials",
            f"{trial.name!r} is a trial and the other a study",
            "What a study ships is another thing than a trial's networks: name a trial of it too, as STUDY:NUMBER.",
        )
    _require_same_rows(first.stored, second.stored)
    sides = (_chosen(first), _chosen(second))
    name, judged_by = _metric(sides[0].definition, sides[1].definition, metric)
    # What both predicted, and what counts.
    validated = [side.layout.rows[side.layout.counted()] for side in sides]
    rows = np.intersect1d(validated[0], validated[1])
    places = [np.flatnonzero(np.isin(side.layout.rows, rows)) for side in sides]
    if not len(rows):
        raise DataError("Both must have predicted some row", "no row was validated by both")
    values = [_score(side, judged_by, at) for side, at in zip(sides, places, strict=True)]
    units = sides[0].layout.take(places[0]).units
    count = None if units is None else len(np.unique(units))
    curve, notes = _training_rows(sides, judged_by)
    difference, half = values[0] - values[1], None
    missing = _missing(sides, places, judged_by)
    if any(side.selection.candidates > 1 for side in sides):
        notes.append(_LUCK if missing else _WITHOUT_LUCK)
    if missing is None:
        again = [side.again(judged_by, at, curve) for side, at in zip(sides, places, strict=True)]
        both = again[0].minus(again[1])
        factor, difference = student(LEVEL, both.units - 1), both.value
        if first.trial is not None:
            factor = max(factor, _factor_of_any_pair(sides, places, judged_by))
            trials = {side.study: sum(result.value is not None for result in side.trials) for side in sides}
            notes.append(f"The interval allows for their having been picked among {sum(trials.values())} trials.")
        half = factor * math.sqrt(_variance(sides, places, again, both, judged_by))
    shown_as = tuple(Side(side.asked.name, side.about, value) for side, value in zip(sides, values, strict=True))
    return _compared(
        shown_as, name, judged_by, "out-of-fold predictions", len(rows), count, difference, half, missing, notes
    )


def _compared(
    sides: tuple[Side, ...],
    name: str,
    metric: Metric,
    on: Literal["out-of-fold predictions", "hold-out"],
    rows: int,
    units: int | None,
    difference: float,
    half: float | None,
    missing: str | None,
    notes: list[str],
) -> Compared:
    low = high = verdict = None
    if half is not None:
        low, high = difference - half, difference + half
        verdict = _verdict(metric.sign * difference, half)
    first, second = sides
    return Compared(
        first,
        second,
        name,
        metric.headline.title,
        metric.headline.unit,
        metric.direction == "maximize",
        metric.root is not None,
        on,
        rows,
        units,
        difference,
        low,
        high,
        verdict,
        missing,
        tuple(notes),
    )


def _verdict(more: float, half: float) -> Verdict:
    if abs(more) <= half:
        return "alike"
    return "worse" if more > 0 else "better"


def _score(side: _Chosen, metric: Metric, at: IntArray) -> float:
    """The score of the chosen candidate on some positions."""
    scores = side.scores(metric)
    some = Scores(scores.values[at], scores.layout.take(at))
    return some.whole(metric, side.layout.classes)


def _training_rows(sides: tuple[_Chosen, _Chosen], metric: Metric) -> tuple[bool, list[str]]:
    """Whether both are extrapolated to all rows, and what to say of rows that they trained on."""
    of_first, of_second = (side.training_rows for side in sides)
    if abs(of_first - of_second) <= ALIKE_ROWS * max(of_first, of_second):
        return False, []
    trained = f"trained on {of_first:,.0f} and {of_second:,.0f} rows a split"
    if all(side.selection.curve is not None and metric is side.definition.metric for side in sides):
        return True, [f"Their networks {trained}: both are extrapolated to all rows."]
    return False, [f"Their networks {trained}, which favours those that had more."]


def _missing(sides: tuple[_Chosen, _Chosen], places: list[IntArray], metric: Metric) -> str | None:
    """Why there is no interval, as the end of a sentence."""
    layouts = [side.layout.take(at) for side, at in zip(sides, places, strict=True)]
    if any(layout.units is None for layout in layouts):
        return "rows that follow each other in time cannot be drawn independently"
    layout = layouts[0]
    assert layout.units is not None
    if len(np.unique(layout.units)) < FEWEST_UNITS:
        return f"that takes at least {FEWEST_UNITS} independent rows or groups"
    if metric.needs_every_class:
        classes = np.unique(np.stack([layout.labels, layout.units]), axis=1)[0]  # of each unit, those it has
        if np.bincount(classes).min() < FEWEST_UNITS:
            return f"that takes at least {FEWEST_UNITS} independent rows or groups of each class"
    work = sum(
        len(at) * max(1, layout.classes) * side.selection.candidates for side, at in zip(sides, places, strict=True)
    )
    if not isinstance(metric, AdditiveMetric) and work > MOST_WORK:
        return f"with {metric.title} it would take long for so many rows, classes and trials"
    return None


def _variance(
    sides: tuple[_Chosen, _Chosen], places: list[IntArray], again: list[ChosenAgain], both: ChosenAgain, metric: Metric
) -> float:
    """Of the difference: see the module."""
    folds = max(side.asked.stored.attributes["n_splits"] for side in sides if side.asked.stored is not None)
    of_rows, of_choice = both.variances()
    luck, optimism = [], []
    for side, at, of in zip(sides, places, again, strict=True):
        # Of another metric than the objective neither is known: it is as large a part of the rows' variance.
        own = side.definition.metric
        ratio = 1.0 if metric is own else _ratio(of, side.again(own, at, False))
        luck.append(ratio * side.repeats)
        optimism.append(own.sign * ratio * side.selection.optimism)
    if sides[0].study == sides[1].study:  # the same splits and seeds
        luck = [luck[0] - luck[1]]
    of_luck = sum(float(np.var(of, ddof=1)) / len(of) for of in luck if len(of) > 1)
    variance: float = (2 - 1 / folds) * of_rows + of_choice / 2 + of_luck + (optimism[0] - optimism[1]) ** 2 / 3
    return variance


def _ratio(of: ChosenAgain, own: ChosenAgain) -> float:
    """How much larger the error of a score is than that of the objective."""
    variance = float(np.nanvar(own.of_splits))
    return math.sqrt(float(np.nanvar(of.of_splits)) / variance) if variance > 0 else 1.0


def _factor_of_any_pair(sides: tuple[_Chosen, _Chosen], places: list[IntArray], metric: Metric) -> float:
    """The same for all pairs of complete trials of the studies."""
    scores = []
    for side, at in {side.study: (side, at) for side, at in zip(sides, places, strict=True)}.values():
        complete = [result for result in side.trials if result.value is not None]
        values = np.stack([side.at_epoch(result, result.best_epoch, metric)[at] for result in complete])
        scores.append(resampled_scores(values, side.layout.take(at), metric, SEED))
    return factor_of_any_pair(np.concatenate(scores, axis=1))


def factor_of_any_pair(scores: Floats) -> float:
    """How many standard errors the interval of any pair's difference reaches, for all pairs at once.

    Args:
        scores: (R, T), of T candidates on R resamples.
    """
    table = scores[np.isfinite(scores).all(axis=1)]  # a resample that lacks a class cannot judge
    table = np.unique(table - table.mean(axis=0), axis=1)  # a configuration that was tried twice is one
    largest = np.zeros(len(table))
    for number in range(1, table.shape[1]):
        differences = table[:, number:] - table[:, [number - 1]]
        errors = differences.std(axis=0, ddof=1)
        studentised = np.abs(differences[:, errors > 0]) / errors[errors > 0]
        largest = np.maximum(largest, studentised.max(axis=1, initial=0.0))
    return float(np.quantile(largest, LEVEL))


def _metric(first: StudyDefinition, second: StudyDefinition, name: str | None) -> tuple[str, Metric]:
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


def _require_same_rows(first: StoredStudy, second: StoredStudy) -> None:
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


# ---------------------------------------------------------------- a saved model


def _with_model(study: Asked, model: Asked, metric: str | None) -> Compared:
    """A study and a saved model, on what the model did not train on.

    Raises:
        DataError: there is nothing of the kind.
    """
    stored, bundle = study.stored, model.model
    assert stored is not None
    assert bundle is not None
    if study.trial is not None:
        raise HpsearchError("A saved model must be compared with a study", f"{study.name!r} is a trial")
    about, identity = bundle.about, stored.attributes["identity"]
    if about.get("data_fingerprint") != identity["data.fingerprint"]:
        raise DataError(
            f"The model {model.name!r} must have trained on the rows that {study.name!r} searched with",
            "trained on others, which may be among those held out",
            _EVALUATE,
        )
    if (exported_from := _origin(stored.url, bundle)) is not None:
        with exported_from as origin:
            if origin.name == stored.name:
                got = f"{model.name!r} is what {study.name!r} ships"
                raise HpsearchError("Two must be given to be compared", got, "`hpsearch best` shows its scores.")
            return _out_of_fold(study, Asked(model.name, origin), metric)
    held_out = identity.get("holdout.fingerprint")
    if held_out is None or about.get("holdout_fingerprint") != held_out:
        got = "there is no hold-out" if held_out is None else "has another hold-out than the study"
        raise DataError(
            f"The model {model.name!r} must be compared on rows that it did not train on",
            f"{got}, and the study that it was exported from is not in this storage, or ships another by now",
            _EVALUATE,
        )
    return _on_holdout(study, model, metric)


_EVALUATE = "Retrain the study's best and use `hpsearch evaluate` with both, on rows that neither has seen."


def _origin(url: str, bundle: Bundle) -> StoredStudy | None:
    """The study that a model was exported from, where it is in the storage and still ships that configuration."""
    origin = bundle.about.get("origin")
    if not origin or not bundle.about.get("as_exported"):
        return None
    try:
        stored = StoredStudy.open(url, origin["study"])
    except StorageError:
        return None
    with suppress(StorageError, HpsearchError):
        same = stored.attributes["identity"]["data.fingerprint"] == bundle.about["data_fingerprint"]
        if same and find_best(stored).config.fingerprint == origin["configuration"]:
            return stored
    stored.__exit__()
    return None


def _on_holdout(study: Asked, model: Asked, metric: str | None) -> Compared:
    """What the study ships is fitted, and both predict the hold-out; that it was scored is recorded."""
    stored, bundle = study.stored, model.model
    assert stored is not None
    assert bundle is not None
    best = find_best(stored)
    definition = best.definition
    name, judged_by = _metric(definition, definition, metric)
    prepared = prepare(definition)
    held_out, identity = prepared.held_out, stored.attributes["identity"]
    found = [prepared.search.fingerprint, held_out and held_out.fingerprint]
    if found != [identity["data.fingerprint"], identity["holdout.fingerprint"]]:
        raise DataError(f"The rows must be those that {stored.name!r} searched with", "are others", "Restore the data.")
    assert held_out is not None
    shipped = fit_prepared(prepared, best.config)
    earlier = stored.record_scoring({"configuration": best.config.fingerprint})
    in_time = SPLITTERS[definition.validation.splitter].needs == "times"
    units = None if in_time else independent_units(held_out)
    rows = np.arange(held_out.rows)
    layout = Layout(rows, np.zeros_like(rows), held_out.labels, units, held_out.weights)
    scores = [
        Scores(judged_by.row_values(held_out.labels, one.predictions(held_out.features)), layout)
        for one in (shipped, bundle)
    ]
    classes = len(held_out.class_names)
    sure = paired_difference(scores[0], scores[1], judged_by, classes)
    notes = [f"The hold-out was scored {times(earlier + 1)}: it is no longer untouched."] if earlier else []
    missing = None if sure.half is not None else "rows that follow each other in time cannot be drawn independently"
    count = None if units is None else len(np.unique(units[layout.counted()]))
    sides = tuple(
        Side(asked.name, _trained(fitted.members), of.whole(judged_by, classes))
        for asked, fitted, of in ((study, shipped, scores[0]), (model, bundle, scores[1]))
    )
    return _compared(
        sides, name, judged_by, "hold-out", len(layout.counted()), count, sure.value, sure.half, missing, notes
    )


def _trained(members: int) -> str:
    who = "one network" if members == 1 else f"{members} networks averaged"
    return f"{who}, trained on all rows that are not held out"


def _turned(of: Compared) -> Compared:
    """The same with the two in the other order."""
    low, high = (None if end is None else -end for end in (of.high, of.low))
    words: dict[Verdict | None, Verdict | None] = {"better": "worse", "worse": "better"}
    verdict = words.get(of.verdict, of.verdict)
    return replace(of, first=of.second, second=of.first, difference=-of.difference, low=low, high=high, verdict=verdict)
