"""How sure a score of some rows is, and whether two models differ: by the rows' independent units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpsearch.arrays import Array, Floats, IntArray
from hpsearch.validation.estimates import LEVEL, student
from hpsearch.validation.layout import Layout
from hpsearch.validation.metric import Metric

MOST_GROUPS = 200  # of units, left out one at a time: the standard error is then known to a twentieth
FEWEST_GROUPS = 20
MOST_WORK = 10**8  # rows × classes × groups


@dataclass(frozen=True)
class Scores:
    """What became of some rows' predictions.

    Attributes:
        values: (M, …), what the metric is computed from, see :meth:`Metric.row_values`.
        layout: of the M positions; the metric is computed on each of its splits, and the score is their mean.
    """

    values: Array
    layout: Layout

    def score(self, metric: Metric, classes: int, counts: Array) -> Floats:
        """(R,), the score where each position counts so often, (R, M); nan where no split has what it needs."""
        return scores_of(self.values[np.newaxis], self.layout, metric, classes, counts)[:, 0]

    def whole(self, metric: Metric, classes: int) -> float:
        """The score of all rows."""
        return float(self.score(metric, classes, np.ones((1, len(self.layout.rows))))[0])


def scores_of(values: Array, layout: Layout, metric: Metric, classes: int, counts: Array) -> Floats:
    """(R, T), the scores of T models (T, M, …) where each position counts so often, (R, M), see :class:`Scores`."""
    found = []
    for split in range(int(layout.splits.max()) + 1):
        at = np.flatnonzero(layout.splits == split)
        weights = counts[:, at] if layout.weights is None else counts[:, at] * layout.weights[at]
        found.append(metric.resampled(values[:, at], layout.labels[at], classes, weights))
    scores = np.stack(found)
    defined = np.isfinite(scores)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(defined, scores, 0).sum(axis=0) / defined.sum(axis=0)
    return mean


@dataclass(frozen=True)
class Difference:
    """How far one model's score is above another's.

    Attributes:
        value: the difference of their scores on these rows.
        half: half of its interval at ``LEVEL``; None where it cannot be told.
    """

    value: float
    half: float | None


def error_of_score(of: Scores, metric: Metric, classes: int) -> tuple[float, int] | None:
    """The standard error of a score and the groups of units that it comes from: the jackknife of the next function.

    Args:
        of: predictions by a model that did not train on the rows.
        metric: of the rows' task.
        classes: C; 0 in a regression.

    Returns:
        None where there is no telling.
    """
    if of.layout.units is None:
        return None
    numbers, groups = grouped([of.layout], classes)
    if groups < 2:
        return None
    scores = of.score(metric, classes, without_each(groups, numbers[of.layout.units]))
    return (math.sqrt(jackknife(scores)), groups) if np.isfinite(scores).all() else None


def paired_difference(first: Scores, second: Scores, metric: Metric, classes: int, networks: int = 1) -> Difference:
    """The score of ``first`` minus that of ``second``, and how sure it is.

    Args:
        first: of predictions by a model that did not train on the rows.
        second: likewise, of mostly the same rows.
        metric: of the rows' task.
        classes: C; 0 in a regression.
        networks: J, how many the rows were divided among, as in
            :func:`~hpsearch.validation.estimates.mean_of_rows`: the variance is multiplied by 2 - 1/J.

    The standard error is the jackknife's over independent units, or over G = ``MOST_GROUPS`` random groups of them
    where there are more: √((G - 1)/G · Σ (dᵢ - d̄)²), dᵢ the difference of the scores without group i (Quenouille 1956;
    Tukey 1958; groups: Kott 2001, "The delete-a-group jackknife"). For a mean over rows, a group each, it is s/√n. It
    holds for every metric that is smooth in the rows' weights, as all of ours are; the interval is Student's with
    G - 1 degrees of freedom. Where rows follow each other in time, or leaving a group out leaves the metric undefined,
    there is no telling.
    """
    value = first.whole(metric, classes) - second.whole(metric, classes)
    sides = [(side, side.layout.units) for side in (first, second) if side.layout.units is not None]
    if len(sides) < 2:
        return Difference(value, None)
    numbers, groups = grouped([side.layout for side, _ in sides], classes)
    if groups < 2:
        return Difference(value, None)
    without = [side.score(metric, classes, without_each(groups, numbers[units])) for side, units in sides]
    differences = without[0] - without[1]
    if not np.isfinite(differences).all():
        return Difference(value, None)
    half = student(LEVEL, groups - 1) * math.sqrt((2 - 1 / networks) * jackknife(differences))
    return Difference(value, half)


def grouped(layouts: Sequence[Layout], classes: int, times: int = 1) -> tuple[IntArray, int]:
    """The group of each unit, -1 of one without rows that count, and how many groups there are.

    Args:
        layouts: whose rows have units.
        classes: C; 0 in a regression.
        times: how often the score without each group is computed.
    """
    units = [layout.units for layout in layouts if layout.units is not None]
    counted = [of[layout.counted()] for of, layout in zip(units, layouts, strict=True)]
    present = np.unique(np.concatenate(counted))
    groups = min(len(present), affordable_groups(max(len(layout.rows) for layout in layouts), classes, times))
    numbers = np.full(max(int(of.max()) for of in units) + 1, -1)
    if groups:
        numbers[present] = np.random.default_rng(0).permutation(len(present)) % groups
    return numbers, groups


def affordable_groups(rows: int, classes: int, times: int = 1) -> int:
    """How many groups of so many rows are left out, one at a time; see :func:`grouped`."""
    return max(FEWEST_GROUPS, min(MOST_GROUPS, MOST_WORK // (rows * max(1, classes) * times)))


def without_each(groups: int, numbers: IntArray) -> Array:
    """(G, M): which positions are left where each group is left out."""
    left: Array = numbers != np.arange(groups)[:, np.newaxis]
    return left


def jackknife(scores: Floats) -> Floats:
    """The variance of a score, (…), from the scores without each group, (G, …)."""
    groups = len(scores)
    variance: Floats = (groups - 1) / groups * ((scores - scores.mean(axis=0)) ** 2).sum(axis=0)
    return variance
