"""What a comparison finds: the difference of two sides, its interval, and the sentence that says it.

How the interval is made, and why so, stands in :mod:`hpsearch.results.compare`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from hpsearch.arrays import Floats, IntArray
from hpsearch.markup import table, text
from hpsearch.numbers import plural, readable, rounded
from hpsearch.results.choice import SEED, Chosen
from hpsearch.validation.estimates import LEVEL
from hpsearch.validation.metric import AdditiveMetric, Metric
from hpsearch.validation.paired import Scores
from hpsearch.validation.selection import FEWEST_UNITS, MOST_WORK, ChosenAgain, resampled_scores

ALIKE_ROWS = 0.02  # training rows that differ by less than this share are as many

Verdict = Literal["better", "worse", "alike"]


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


def compared(
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


def turned(of: Compared) -> Compared:
    """The same with the two in the other order."""
    low, high = (None if end is None else -end for end in (of.high, of.low))
    words: dict[Verdict | None, Verdict | None] = {"better": "worse", "worse": "better"}
    verdict = words.get(of.verdict, of.verdict)
    return replace(of, first=of.second, second=of.first, difference=-of.difference, low=low, high=high, verdict=verdict)


def score_of(side: Chosen, metric: Metric, at: IntArray) -> float:
    """The score of the chosen candidate on some positions."""
    scores = side.scores(metric)
    some = Scores(scores.values[at], scores.layout.take(at))
    return some.whole(metric, side.layout.classes)


def training_rows(sides: tuple[Chosen, Chosen], metric: Metric) -> tuple[bool, list[str]]:
    """Whether both are extrapolated to all rows, and what to say of rows that they trained on."""
    of_first, of_second = (side.training_rows for side in sides)
    if abs(of_first - of_second) <= ALIKE_ROWS * max(of_first, of_second):
        return False, []
    trained = f"trained on {of_first:,.0f} and {of_second:,.0f} rows a split"
    if all(side.selection.curve is not None and metric is side.definition.metric for side in sides):
        return True, [f"Their networks {trained}: both are extrapolated to all rows."]
    return False, [f"Their networks {trained}, which favours those that had more."]


def missing_interval(sides: tuple[Chosen, Chosen], places: list[IntArray], metric: Metric) -> str | None:
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


def variance_of_difference(
    sides: tuple[Chosen, Chosen], places: list[IntArray], again: list[ChosenAgain], both: ChosenAgain, metric: Metric
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


def factor_of_any_pair_of(sides: tuple[Chosen, Chosen], places: list[IntArray], metric: Metric) -> float:
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
