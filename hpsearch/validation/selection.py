"""What the best of many candidates is without the luck of having been the best: chosen on some rows, seen on others.

The lowest of n noisy means is too low, the more so the more candidates there are and the fewer rows. What of it is luck
can be told without training anything again, from what every candidate predicted for every validation row.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import Floats, IntArray
from hpsearch.validation.estimates import LEVEL, interval_of_metric, least_variance_of_share
from hpsearch.validation.layout import Layout
from hpsearch.validation.learning_curve import LearningCurve, on_all_rows
from hpsearch.validation.metric import AdditiveMetric, Metric, RankingMetric

PARTS = 5  # that the units are dealt into; the choice for each is made on the others
DEALS = 40  # of the units into parts: more change the estimate by less than a fiftieth of its interval
RESAMPLES = 500  # of the variance, whose root is then known to 3 %
FEWEST_UNITS = 2 * PARTS
MOST_UNITS = 2000
MOST_WORK = 5 * 10**7  # rows × classes × candidates of a metric that is no mean over rows: a minute or two


@dataclass(frozen=True)
class Corrected:
    """The best of many candidates, corrected for having been chosen; see :func:`corrected`.

    Attributes:
        value: the estimate.
        low, high: its interval at ``LEVEL``.
        trials: that could be chosen.
        candidates: trials × checkpoints that could be chosen.
        units: independent rows, groups, or clusters of copies.
        bound: at ``LEVEL`` it is no worse than this: one end of the interval at 2 · ``LEVEL`` - 1.
        more_rows: how much of the value is a learning curve's, extrapolated to all rows; None if it is about networks
            that trained on the rows of a split.
        equal_shares: how much of it allows for folds with the same shares of the classes.
        standard_error: that the interval is made of.
    """

    value: float
    low: float
    high: float
    trials: int
    candidates: int
    units: int
    bound: float | None = None
    more_rows: float | None = None
    equal_shares: float = 0.0
    standard_error: float | None = None

    @property
    def of_splits(self) -> float:
        """The estimate for networks that trained on the rows of a split."""
        return self.value - (self.more_rows or 0.0)

    @property
    def on_these_splits(self) -> float:
        """The same as these splits would judge others, whose scores do not allow for equal shares."""
        return self.of_splits - self.equal_shares


def corrected(
    candidates: Iterable[NDArray[Any]],
    layout: Layout,
    metric: Metric,
    seed: int,
    folds: int | None = None,
    curve: LearningCurve | None = None,
    optimism: float = 0.0,
    equal_shares: float = 0.0,
) -> Corrected:
    """What the networks of the chosen candidate score on new rows, on average over the splits.

    Args:
        candidates: one trial after the other, each what the metric keeps of every validation row, (T, M, …), at the T
            checkpoints that could be chosen.
        layout: of the M positions; it must have at least ``FEWEST_UNITS`` units.
        metric: the objective.
        seed: of the resamples.
        folds: the J of the interval, for what is not laid out by split; the layout's splits if None.
        curve: of the chosen candidate: what is estimated is then the score of networks that train on all rows.
        optimism: by how much the candidates' scores are too good for other reasons, at least 0.
        equal_shares: likewise because all folds have the same shares of the classes.

    **The estimate.** The units of independence are dealt at random into five parts. For each part the choice (trial and
    checkpoint together, by the study's own mean over splits) is made again on the other four, and what the chosen
    candidate predicted for the rows of the part is set down. From these predictions, none of which was looked at by
    its own choice, the objective is computed; the estimate is the mean of that over ``DEALS`` deals. Choosing on rows
    and looking at others is the idea of BBC-CV (Tsamardinos, Greasidou & Borboudakis 2018, "Bootstrapping the
    out-of-sample predictions for efficient and accurate cross-validation", Machine Learning 107), which chooses on a
    bootstrap sample and looks at the rows out of it. Ours differs because a mean over a bootstrap sample has twice the
    variance of one over all rows, its own and the sample's: the choice is as poor as one made on half the rows, and
    where candidates really differ the estimate is too pessimistic, by up to a half of what it corrects. On four fifths
    of the rows the variance is 5/4, and the rest of the pessimism is within the noise (tests/benchmarks/honesty.py).

    **The interval** claims to hold the mean true score of the chosen candidate's networks, one a split: what
    cross-validation estimates; with a learning curve that of networks that train on all rows. Its variance is
    (2 - 1/J) s²/U + c/2:

    1. s²/U is that of a mean over U units, for a choice that is made already; with a learning curve, of the
       extrapolated mean, both of whose points are resampled with it. It grows by (1 - 1/J) s²/U because a row
       is validated by one of J networks and trains the others, which correlates the errors of the splits: Nadeau &
       Bengio's (2003) heuristic correlation, validation rows over all rows, which is 1/J for J folds; of fewer rows it
       is less, and the interval is then a little too wide. Without that part the interval of an easy
       study, where hardly anything depends on the choice, would hold the truth in 87 % of all cases instead of 95 %.
    2. c is of the choice, from BBC's bootstrap: each resample draws U of U units with replacement, chooses, and takes
       the mean of the chosen candidate over the units not drawn. A unit is left out with probability q = (1 - 1/U)^U,
       so such a mean is over about qU of the U units, without replacement, and for a given candidate its variance is
       s²/U · (1 - q)/q. (For many units that is e - 1 times too much; BBC's own percentiles are 1.31 times too wide.)
       The variance of the left-out means times q/(1 - q) is therefore s²/U and c together. Of c half is counted, since
       the resamples choose by means of twice the variance.

    ``optimism`` and ``equal_shares`` count as known. For what is to be minimised the interval is
    :func:`~hpsearch.validation.estimates.interval_of_loss`, else Student's.

    Raises:
        ValueError: fewer than ``FEWEST_UNITS`` units, or a layout without units.
    """
    again = chosen_again(
        ((values, values) for values in candidates),
        layout,
        metric,
        metric,
        seed,
        curve,
        metric.sign * (optimism + equal_shares),
    )
    of_rows, of_choice = again.variances()
    if metric.is_share:
        of_rows = max(of_rows, least_variance_of_share(again.value, again.units))
    value, count = again.value, again.units
    error = math.sqrt((2 - 1 / (folds or again.splits)) * of_rows + of_choice / 2)
    low, high = interval_of_metric(value, error, count, metric)
    bound = interval_of_metric(value, error, count, metric, 2 * LEVEL - 1)[1 if metric.direction == "minimize" else 0]
    shares = metric.sign * equal_shares
    return Corrected(value, low, high, again.trials, again.candidates, count, bound, again.more_rows, shares, error)


@dataclass(frozen=True)
class ChosenAgain:
    """A choice that was made again and again: on some units, and on resamples of them, and seen on others.

    Attributes:
        value: the score of what was chosen without a row's part, on the rows of that part; the mean over deals.
        of_rows: (RESAMPLES,) the same on resamples of the rows; with a learning curve, extrapolated to all rows.
        of_splits: (RESAMPLES,) the same, not extrapolated.
        elsewhere: (RESAMPLES,) what was chosen on a resample, on the units that it has not; nan where there is none.
        units, splits, trials, candidates: see :class:`Corrected`; of one seed and one number of units, all resamples
            are the same.
        more_rows: see there.
    """

    value: float
    of_rows: Floats
    of_splits: Floats
    elsewhere: Floats
    units: int
    splits: int
    trials: int
    candidates: int
    more_rows: float | None

    def minus(self, other: ChosenAgain) -> ChosenAgain:
        """The difference of two choices that were made again on the same units with the same seed."""
        known = self.more_rows is not None and other.more_rows is not None
        return ChosenAgain(
            self.value - other.value,
            self.of_rows - other.of_rows,
            self.of_splits - other.of_splits,
            self.elsewhere - other.elsewhere,
            self.units,
            max(self.splits, other.splits),
            self.trials + other.trials,
            self.candidates + other.candidates,
            (self.more_rows or 0.0) - (other.more_rows or 0.0) if known else None,
        )

    def variances(self) -> tuple[float, float]:
        """Of a choice that is made already, s²/U, and of the choice, c: see :func:`corrected`."""
        q = (1 - 1 / self.units) ** self.units
        rows_and_choice = float(np.nanvar(self.elsewhere, ddof=1)) * q / (1 - q)
        of_choice = max(0.0, rows_and_choice - float(np.nanvar(self.of_splits, ddof=1)))
        return float(np.nanvar(self.of_rows, ddof=1)), of_choice


def chosen_again(
    candidates: Iterable[tuple[NDArray[Any], NDArray[Any]]],
    layout: Layout,
    chosen_by: Metric,
    judged_by: Metric,
    seed: int,
    curve: LearningCurve | None = None,
    shift: float = 0.0,
) -> ChosenAgain:
    """Make a choice again on parts and on resamples of the units, as :func:`corrected` explains.

    Args:
        candidates: one trial after the other, what is chosen by and what is judged, (T, M, …) each.
        layout: of the M positions.
        chosen_by: the metric of the former, the study's objective.
        judged_by: that of the latter.
        seed: of the resamples.
        curve: of the chosen candidate, in what ``judged_by`` is computed from.
        shift: added to the value.

    Raises:
        ValueError: fewer than ``FEWEST_UNITS`` units, or a layout without units.
    """
    if layout.units is None:
        raise ValueError("A correction needs independent units.")
    counted = layout.counted()  # a row of weight 0 is none
    weighted, layout = layout.weights is not None, layout.take(counted)
    assert layout.units is not None
    units = _bounded(layout.units, seed)
    count = int(units.max()) + 1
    if count < FEWEST_UNITS:
        raise ValueError(f"A correction needs at least {FEWEST_UNITS} units, but there are {count}.")
    deals, drawn = _drawn(count, seed)
    others = (deals[:, np.newaxis] != np.arange(PARTS)[:, np.newaxis]).reshape(-1, count)  # (deals × parts, units)

    choosing = _rows_of(layout, units, chosen_by)
    rows = choosing if judged_by is chosen_by else _rows_of(layout, units, judged_by)

    def table_of(of: _Rows, values: NDArray[Any]) -> NDArray[Any]:
        return of.table(values[:, counted] if weighted else values)

    lowest, elsewhere = np.full(RESAMPLES, np.inf), np.full(RESAMPLES, np.nan)
    lowest_of_others, picked = np.full(len(others), np.inf), np.empty(0)
    trials = considered = 0
    for chosen_values, values in candidates:
        by = table_of(choosing, chosen_values)
        table = by if rows is choosing else table_of(rows, values)
        scores = chosen_by.sign * choosing.score(by, drawn)
        better, place = _improved(scores, lowest)
        elsewhere[better] = rows.pooled(table, drawn[better] == 0)[np.arange(better.sum()), place]
        scores = chosen_by.sign * choosing.score(by, others)
        better, place = _improved(scores, lowest_of_others)
        if not trials:
            picked = np.repeat(table[:1], len(others), axis=0)  # where the others lack a class, nothing is better
        picked[better] = table[place]
        trials, considered = trials + 1, considered + len(values)

    # Of every deal and row, what was picked without the row's part.
    numbers = np.arange(DEALS)[:, np.newaxis] * PARTS + deals[:, rows.units]
    composed = picked[numbers, np.arange(len(rows.units))]
    once = np.ones((1, count), np.int64)
    value = float(np.mean(rows.score(composed, once))) + shift
    if judged_by.direction == "maximize":
        value = min(1.0, value)  # but for rounding
    scores = rows.score(composed, drawn).mean(axis=1)
    of_rows, more_rows = scores, None
    if curve is not None:
        more, fewer = table_of(rows, curve.more), table_of(rows, curve.fewer)
        extrapolated = [
            on_all_rows(
                at, rows.score(more, weights)[:, 0], rows.score(fewer, weights).mean(axis=1), curve.reach, judged_by
            )
            for at, weights in ((np.array([value]), once), (scores, drawn))
        ]
        more_rows = float(extrapolated[0][0]) - value
        value, of_rows = value + more_rows, extrapolated[1]
    return ChosenAgain(value, of_rows, scores, elsewhere, count, rows.splits, trials, considered, more_rows)


def resampled_scores(values: NDArray[Any], layout: Layout, metric: Metric, seed: int) -> Floats:
    """The scores of T candidates, (T, M, …), on the resamples of :func:`chosen_again`: (RESAMPLES, T)."""
    counted = layout.counted()
    weighted, layout = layout.weights is not None, layout.take(counted)
    assert layout.units is not None
    rows = _rows_of(layout, _bounded(layout.units, seed), metric)
    drawn = _drawn(int(rows.units.max()) + 1, seed)[1]
    return rows.score(rows.table(values[:, counted] if weighted else values), drawn)


def _drawn(count: int, seed: int) -> tuple[IntArray, IntArray]:
    """The part of each unit in each deal, (DEALS, count), and how often each is drawn, (RESAMPLES, count)."""
    draw = np.random.default_rng(seed)
    deals = np.stack([draw.permutation(count) % PARTS for _ in range(DEALS)])
    return deals, draw.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)


def _rows_of(layout: Layout, units: IntArray, metric: Metric) -> _Rows:
    return _Units(layout, units, metric) if isinstance(metric, AdditiveMetric) else _Positions(layout, units, metric)


def _improved(scores: Floats, lowest: Floats) -> tuple[NDArray[np.bool_], IntArray]:
    """Which rows of ``scores`` (R, T) have a lower one than ``lowest`` (R,), which is brought up to date, and where."""
    scores = np.where(np.isnan(scores), np.inf, scores)  # a resample that lacks a class cannot judge
    place = scores.argmin(axis=1)
    score = scores[np.arange(len(scores)), place]
    better = score < lowest
    lowest[better] = score[better]
    return better, place[better]


class _Rows(ABC):
    """What is resampled: the places that a candidate's values are kept at, and the unit that each belongs to.

    Weights of units, (R, U), come from a resample; values, (T, places, …), from T candidates; scores are (R, T).
    """

    units: IntArray
    splits: int

    @abstractmethod
    def table(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values at the layout's positions, (T, M, …), to values at the places."""

    @abstractmethod
    def score(self, values: NDArray[Any], weights: NDArray[Any]) -> Floats:
        """The objective, as the study computes it."""

    @abstractmethod
    def pooled(self, values: NDArray[Any], weights: NDArray[Any]) -> Floats:
        """The metric over all rows together, for weights that leave few in each split."""


class _Units(_Rows):
    """For means over rows: a place is a unit, since sums over a unit's rows are all that is needed."""

    def __init__(self, layout: Layout, units: IntArray, metric: AdditiveMetric) -> None:
        self._metric, self._shares = metric, layout.shares
        self._order = np.argsort(units, kind="stable")
        self._of_unit = np.bincount(units, layout.shares)
        self._starts = np.searchsorted(units[self._order], np.arange(len(self._of_unit)))
        self.units, self.splits = np.arange(len(self._of_unit)), int(layout.splits.max()) + 1

    def table(self, values: NDArray[Any]) -> NDArray[Any]:
        sums = np.add.reduceat((values * self._shares)[:, self._order], self._starts, axis=1)
        means: NDArray[Any] = sums / self._of_unit
        return means

    def score(self, values: NDArray[Any], weights: NDArray[Any]) -> Floats:
        return self._metric.resampled(values, np.zeros_like(self.units), 1, weights * self._of_unit)

    def pooled(self, values: NDArray[Any], weights: NDArray[Any]) -> Floats:
        return self.score(values, weights)


class _Positions(_Rows):
    """For metrics of all rows of a split together: a place is a validation row's result."""

    def __init__(self, layout: Layout, units: IntArray, metric: Metric) -> None:
        self._metric, self._labels, self._classes = metric, layout.labels, layout.classes
        self.units, self.splits, self._weights = units, int(layout.splits.max()) + 1, layout.weights
        self._of_split = [np.flatnonzero(layout.splits == split) for split in range(self.splits)]

    def table(self, values: NDArray[Any]) -> NDArray[Any]:
        if not isinstance(self._metric, RankingMetric):
            return values
        # Of a split's rows only the order counts, and what is set down of several candidates must be comparable: a
        # probability of one network is not the same as that of another.
        ranks = np.empty(values.shape, np.float32)
        for places in self._of_split:
            weights = np.ones(len(places)) if self._weights is None else self._weights[places]
            for at in np.ndindex(len(values), *values.shape[2:]):
                ranks[at[0], places, *at[1:]] = _ranks(values[at[0], places, *at[1:]], weights)
        return ranks

    def score(self, values: NDArray[Any], weights: NDArray[Any]) -> Floats:
        scores = np.stack([self._of_places(values, weights, places) for places in self._of_split])
        defined = np.isfinite(scores)
        with np.errstate(invalid="ignore"):  # nan where no split is left that has all classes
            mean: Floats = np.where(defined, scores, 0).sum(axis=0) / defined.sum(axis=0)
        return mean

    def pooled(self, values: NDArray[Any], weights: NDArray[Any]) -> Floats:
        return self._of_places(values, weights, np.arange(len(self.units)))

    def _of_places(self, values: NDArray[Any], weights: NDArray[Any], places: IntArray) -> Floats:
        at = weights[:, self.units[places]]
        if self._weights is not None:
            at = at * self._weights[places]
        return self._metric.resampled(values[:, places], self._labels[places], self._classes, at)


def _ranks(values: NDArray[Any], weights: Floats) -> Floats:
    """The share of the weights below each value, with half of those that tie with it."""
    order = np.argsort(values, kind="stable")
    ordered, below = values[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    first, end = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    ranks: Floats = (below[first] + below[end]) / (2 * below[-1])
    return ranks


def _bounded(units: IntArray, seed: int) -> IntArray:
    """Units numbered from 0, merged at random into at most ``MOST_UNITS``: several independent units are one as well.

    Of means over rows, time and memory then do not grow with the rows, with which the luck of the choice fades."""
    numbers: IntArray = np.unique(units, return_inverse=True)[1]
    count = int(numbers.max()) + 1
    if count > MOST_UNITS:
        numbers = np.random.default_rng(seed).permutation(count)[numbers] % MOST_UNITS
    return numbers
