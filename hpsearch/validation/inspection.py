"""What a network does with each column of the table, for rows that it did not train on.

*Permutation importance* (Breiman 2001, "Random Forests"; Fisher, Rudin & Dominici 2019, "All models are wrong, but many
are useful", who call it model reliance): how much worse the objective becomes where the values of a column are dealt to
the rows anew. It is the values as they were read that are dealt, before preprocessing: all features of a column go
together, a missing value is dealt like any other.

*Partial dependence* (Friedman 2001, "Greedy function approximation"): what is predicted on average where all rows have
the same value of a column, one value after the other.

Both are about networks and the rows that they did not train on: of each row those predict whose split validates it, and
where an out-of-fold ensemble is judged, their average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpsearch.arrays import Array, Floats, IntArray
from hpsearch.data.columns import Column, Kind, Raw
from hpsearch.data.dataset import Dataset
from hpsearch.threads import one_thread
from hpsearch.validation.estimates import LEVEL, student
from hpsearch.validation.fold_networks import FoldNetworks
from hpsearch.validation.layout import Layout
from hpsearch.validation.metric import AdditiveMetric, Metric
from hpsearch.validation.out_of_fold import OutOfFoldEnsemble, ensemble_layout
from hpsearch.validation.paired import grouped, jackknife, scores_of, without_each

MOST_ROWS = 5_000  # that are predicted, of more some at random: predictions, one a row or one a row and repeat
_NUMBERS = 2**23  # of row values, computed before they are scored
# A metric that is no mean over rows takes long to score without each group of rows, for each column and deal: so there
# are fewer groups, as many as if the scores were so many fewer.
_SHARE_OF_WORK = 4
FEW = 12  # values of a column that each get their own partial dependence
POINTS = 25  # otherwise, at quantiles of the column, from the first to the last of these
FIRST, LAST = 0.02, 0.98


@dataclass(frozen=True)
class ColumnImportance:
    """How much worse the objective becomes without a column.

    Attributes:
        column: its name.
        kind: of its values.
        value: the mean over the repeats, in the objective's own unit; above 0 where it becomes worse.
        low, high: the interval at ``LEVEL``, of rows and repeats; None where it cannot be told.
    """

    column: str
    kind: Kind
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Effect:
    """The partial dependence of what is predicted on a column.

    Attributes:
        column: its name.
        kind: of its values.
        values: G of them: numbers, dates as text, or the names of categories; None for a missing one.
        shares: (G,) of each value among the rows; of a grid of quantiles 0.
        on_grid: whether the values are quantiles of the column, not all there are.
        mean: (G, A): the mean probability of each class, or the mean prediction, in the target's own unit.
        low, high: (G, A): of the networks' own means, each over the rows that it did not train on, the lowest and the
            highest, once they are all moved to the mean over the values: rows differ, and the effect is what counts.
    """

    column: str
    kind: Kind
    values: tuple[float | str | None, ...]
    shares: tuple[float, ...]
    on_grid: bool
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Inspected:
    """Networks, the rows that they are looked at with, and how they are judged.

    Attributes:
        networks: on the rows that are predicted.
        layout: of what is judged: the rows' ensembles, or the networks' own predictions.
        metric: the objective.
        of_ensemble: which of the two.
    """

    networks: FoldNetworks
    layout: Layout
    metric: Metric
    of_ensemble: bool

    @classmethod
    def of(
        cls, networks: FoldNetworks, metric: Metric, splitter: str, of_ensemble: bool, most_rows: int = MOST_ROWS
    ) -> Inspected:
        """Networks with at most so many of what is judged: of all rows that count, at random by unit."""
        splits = networks.splits
        layout = (ensemble_layout if of_ensemble else Layout.of)(networks.data, splits, splitter)
        layout = layout.take(layout.some(layout.counted(), most_rows))
        rows = np.unique(layout.rows)
        numbered = replace(layout, rows=np.searchsorted(rows, layout.rows))
        return cls(networks.on(rows), numbered, metric, of_ensemble)

    @property
    def data(self) -> Dataset:
        """The rows that are predicted."""
        return self.networks.data

    @property
    def _classes(self) -> int:
        return len(self.data.class_names)

    def _judged(self) -> Callable[[Array], Array]:
        """From the networks' predictions, split by split, to those that are judged."""
        if not self.of_ensemble:
            return lambda predictions: predictions
        head = self.networks.architecture.head
        return OutOfFoldEnsemble(self.data, self.networks.splits, head, self.metric).average

    @property
    def predictions(self) -> Array:
        """What is judged, (M, A)."""
        with one_thread():
            return self._judged()(self.networks.predictions)

    # ------------------------------------------------------------ permutation importance

    def importance(self, repeats: int, draw: np.random.Generator) -> tuple[float, list[ColumnImportance]]:
        """The objective, and how much worse it becomes without each column, the most important first.

        Args:
            repeats: how often the values are dealt, R; all columns alike.
            draw: the deals come from it.

        A mean of squares is shown as its root, in the target's own unit.

        The interval is Student's, its standard error the jackknife's over G groups of independent units, as in
        :func:`~hpsearch.validation.paired.paired_difference`. A unit that is left out is left out twice: as rows that
        are predicted, and as rows whose values others were dealt. So it covers what other rows and other deals would
        have given these networks, and with few deals a little more. It is not widened for networks that trained on
        each other's rows: measured without (tests/benchmarks/importance.py) it holds what it should.
        """
        layout, metric, columns = self.layout, self.metric, self.data.columns.columns
        judged, labels = self._judged(), self.layout.labels
        dealt = [_dealt(self.data.weights, self.data.rows, draw) for _ in range(repeats)]
        numbers, groups = self._groups(repeats)
        counts = [self._counts(rows, numbers, groups) for rows in dealt]

        def values_of(predictions: Array) -> Array:
            return metric.row_values(labels, judged(predictions))

        with one_thread():
            values = values_of(self.networks.predictions)
            base = [scores_of(values[np.newaxis], layout, metric, self._classes, of)[:, 0] for of in counts]
            base_score = self._in_headline(np.mean(base, axis=0))
            found: list[Floats] = []
            at_once = max(1, _NUMBERS // (repeats * values.size))
            for first in range(0, len(columns), at_once):
                permuted: list[list[Array]] = [[] for _ in dealt]
                for column in columns[first : first + at_once]:
                    replaced = self._replaced(column)
                    for of_deal, rows in zip(permuted, dealt, strict=True):
                        of_deal.append(values_of(replaced(rows)))
                scores = [
                    scores_of(np.stack(of_deal), layout, metric, self._classes, of)
                    for of_deal, of in zip(permuted, counts, strict=True)
                ]
                without = self._in_headline(np.mean(scores, axis=0))
                found.extend(metric.sign * (without - base_score[:, np.newaxis]).T)
        importances = [
            ColumnImportance(column.name, column.kind, float(of[0]), *self._interval(of, groups))
            for column, of in zip(columns, found, strict=True)
        ]
        return float(base_score[0]), sorted(importances, key=lambda one: -one.value)

    def _in_headline(self, scores: Floats) -> Floats:
        return scores if self.metric.root is None else np.sqrt(scores)

    def _groups(self, repeats: int) -> tuple[IntArray, int]:
        """The group of each unit, and how many there are; none where no row is independent of the others."""
        if self.layout.units is None:
            return np.empty(0, np.intp), 0
        return grouped([self.layout], self._classes, times_scored(self.metric, len(self.data.columns.columns), repeats))

    def _counts(self, dealt: IntArray, numbers: IntArray, groups: int) -> Array:
        """(G + 1, M): which positions count: first all, then those without each group, with their values or others'."""
        everything = np.ones((1, len(self.layout.rows)), bool)
        if self.layout.units is None:
            return everything
        unit_of = np.empty(self.data.rows, np.intp)
        unit_of[self.layout.rows] = self.layout.units
        own, others = (numbers[unit_of[rows]] for rows in (self.layout.rows, dealt[self.layout.rows]))
        return np.concatenate([everything, without_each(groups, own) & without_each(groups, others)])

    def _interval(self, importances: Floats, groups: int) -> tuple[float | None, float | None]:
        """Of an importance, (G + 1,): of all, and without each group."""
        if groups < 2 or not np.isfinite(importances).all():
            return None, None
        half = student(LEVEL, groups - 1) * math.sqrt(float(jackknife(importances[1:])))
        return float(importances[0]) - half, float(importances[0]) + half

    def _replaced(self, column: Column) -> Callable[[IntArray], Array]:
        return self.networks.replaced(self.data.columns.places[column.name])

    # ------------------------------------------------------------ partial dependence

    def effects(self, names: Sequence[str]) -> list[Effect]:
        """The partial dependence of the predictions on each of these columns."""
        raws = {raw.name: raw for raw in self.data.columns.raws(self.data.features)}
        columns = {column.name: column for column in self.data.columns.columns}
        with one_thread():
            return [self._effect(columns[name], raws[name]) for name in names]

    def _effect(self, column: Column, raw: Raw) -> Effect:
        judged, replaced = self._judged(), self._replaced(column)
        validated = [split.validation for split in self.networks.splits]
        ends = np.cumsum([len(rows) for rows in validated])
        weights = np.ones(self.data.rows) if self.data.weights is None else self.data.weights
        counted = weights[self.layout.rows]
        values, rows, shares, on_grid = _grid(column, raw, weights)
        mean, of_networks = [], []
        for row in rows:
            predictions = replaced(np.full(self.data.rows, row))
            mean.append(np.average(judged(predictions).astype(np.float64), axis=0, weights=counted))
            of_networks.append(
                [
                    np.average(predictions[end - len(of) : end].astype(np.float64), axis=0, weights=weights[of])
                    for of, end in zip(validated, ends, strict=True)
                    if len(of)
                ]
            )
        means, own = np.stack(mean), np.stack(of_networks, axis=1)  # (G, A), (L, G, A)
        own -= own.mean(axis=1, keepdims=True) - means.mean(axis=0)
        if self.data.class_names:
            own = own.clip(0, 1)
        return Effect(column.name, column.kind, values, shares, on_grid, means, own.min(axis=0), own.max(axis=0))


def times_scored(metric: Metric, columns: int, repeats: int) -> int:
    """How often a score is to be computed without each group, as :func:`~hpsearch.validation.paired.grouped` counts."""
    return 1 if isinstance(metric, AdditiveMetric) else -(-columns * repeats // _SHARE_OF_WORK)


def _dealt(weights: Floats | None, rows: int, draw: np.random.Generator) -> IntArray:
    """The row, (N,), whose values each row is dealt: a permutation; by weights each row comes as often as it counts."""
    if weights is None:
        return draw.permutation(rows)
    # Systematic sampling: a row of weight w of W comes ⌊N·w/W⌋ times or once more.
    ends = np.cumsum(weights) * (rows / weights.sum())
    drawn = np.searchsorted(ends, np.arange(rows) + draw.random(), side="right")
    dealt: IntArray = draw.permutation(np.minimum(drawn, rows - 1))
    return dealt


def _grid(
    column: Column, raw: Raw, weights: Floats
) -> tuple[tuple[float | str | None, ...], list[int], tuple[float, ...], bool]:
    """Values of a column, a row that has each, its share of the rows, and whether they are quantiles."""
    there = np.flatnonzero(~raw.missing)
    found, first, which = np.unique(raw.values[there], return_index=True, return_inverse=True)
    rows, counts = there[first], np.bincount(which, weights[there], len(found)) / weights.sum()
    missing = np.flatnonzero(raw.missing)
    tail = [(None, int(missing[0]), float(weights[missing].sum() / weights.sum()))] if len(missing) else []
    on_grid = len(found) > FEW and raw.kind != "categorical"
    if on_grid:
        order = there[np.argsort(raw.values[there], kind="stable")]
        places = np.linspace(FIRST, LAST, POINTS) * (len(order) - 1)
        rows = order[np.unique(np.round(places).astype(np.intp))]
        _, once = np.unique(raw.values[rows], return_index=True)
        rows = rows[once]
        counts = np.zeros(len(rows))
    elif len(found) > FEW:  # of categories the most frequent
        kept = np.sort(np.argsort(-counts, kind="stable")[:FEW])
        rows, counts = rows[kept], counts[kept]
    if raw.kind == "categorical":  # the most frequent first
        order = np.argsort(-counts, kind="stable")
        rows, counts = rows[order], counts[order]
    points = [(_shown(raw, row), int(row), float(count)) for row, count in zip(rows, counts, strict=True)]
    values, chosen, shares = zip(*(points + tail), strict=True)
    return values, list(chosen), shares, on_grid


def _shown(raw: Raw, row: Any) -> float | str:
    """A value of a column as people write it."""
    value = raw.values[row]
    if raw.kind in ("categorical", "ordered"):
        return raw.categories[int(value)]
    if raw.kind == "boolean":
        return "yes" if value else "no"
    if raw.kind == "date":
        when = str(np.datetime64(round(float(value) * 86400), "s"))
        return when.partition("T")[0] if float(value).is_integer() else when
    return float(value)
