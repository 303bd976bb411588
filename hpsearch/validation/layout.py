"""Which row every validation result belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import IntArray
from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import SPLITTERS, Split
from hpsearch.data.units import independent_units


@dataclass(frozen=True)
class Layout:
    """The validation rows of all splits, one split after the other: M positions, all arrays (M,).

    Attributes:
        rows: the row of the search rows, from 0.
        splits: the split that it validates, from 0.
        labels: its class, or the regression target.
        units: which rows are drawn together, numbered from 0; None where rows follow each other in time, for then
            none is independent of the others.
        weights: how many rows it counts as; None if each counts as one.
    """

    rows: IntArray
    splits: IntArray
    labels: NDArray[Any]
    units: IntArray | None = None
    weights: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, data: Dataset, splits: Sequence[Split], splitter: str) -> Layout:
        """The layout of a study's splits."""
        rows = np.concatenate([split.validation for split in splits])
        numbers = np.repeat(np.arange(len(splits)), [len(split.validation) for split in splits])
        in_time = SPLITTERS[splitter].needs == "times"
        units = None if in_time else independent_units(data)[rows]
        return cls(rows, numbers, data.labels[rows], units, None if data.weights is None else data.weights[rows])

    @property
    def classes(self) -> int:
        """C, as far as these rows tell; 0 in a regression."""
        return 0 if self.labels.dtype.kind == "f" else int(self.labels.max()) + 1

    def counted(self) -> IntArray:
        """The positions of rows that count at all."""
        return np.arange(len(self.rows)) if self.weights is None else np.flatnonzero(self.weights)

    def some(self, places: IntArray, most: int) -> IntArray:
        """At most so many of the places, at random, in their order; units are taken whole."""
        if len(places) <= most:
            return places
        numbers = np.arange(len(places))
        if self.units is not None:
            numbers = np.unique(self.units[places], return_inverse=True)[1]
        order = np.random.default_rng(0).permutation(int(numbers.max()) + 1)
        rows_of_first = np.cumsum(np.bincount(numbers)[order])
        taken = np.zeros(len(order), bool)
        taken[order[rows_of_first <= most]] = True
        return places[taken[numbers]]

    def take(self, places: IntArray) -> Layout:
        """Some of the positions."""
        units = None if self.units is None else self.units[places]
        weights = None if self.weights is None else self.weights[places]
        return Layout(self.rows[places], self.splits[places], self.labels[places], units, weights)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(M,): each result's share in the mean over splits of the mean over a split's rows; they sum to 1."""
        counts = np.bincount(self.splits)
        if self.weights is not None:
            return self.weights / (len(counts) * np.bincount(self.splits, self.weights)[self.splits])
        return 1 / (len(counts) * counts[self.splits].astype(np.float64))
