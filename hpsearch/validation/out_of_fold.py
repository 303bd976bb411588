"""The out-of-fold ensemble: every validated row predicted by the average of all networks that did not train on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import FloatArray, Floats, IntArray
from hpsearch.data.dataset import Dataset
from hpsearch.data.matrix import blocks
from hpsearch.data.splits import SPLITTERS, Split
from hpsearch.data.units import independent_units
from hpsearch.nn.losses import Loss
from hpsearch.validation.layout import Layout
from hpsearch.validation.metric import Metric


def validated_rows(splits: Sequence[Split]) -> IntArray:
    """The rows that some split validates, ascending, each once."""
    return np.unique(np.concatenate([split.validation for split in splits]))


def ensemble_layout(data: Dataset, splits: Sequence[Split], splitter: str) -> Layout:
    """Which row every prediction of the ensemble belongs to: all of one split, as the whole ensemble is judged."""
    rows = validated_rows(splits)
    units = None if SPLITTERS[splitter].needs == "times" else independent_units(data)[rows]
    weights = None if data.weights is None else data.weights[rows]
    return Layout(rows, np.zeros_like(rows), data.labels[rows], units, weights)


@dataclass
class OutOfFoldEnsemble:
    """What becomes of the averages of K-fold networks, one checkpoint after the other.

    With R repeats of K folds each row has R networks that never saw it; probabilities of classes are averaged, and a
    regression's predictions. For a convex loss the average of predictions loses no more than the networks do on average
    (Jensen's inequality; Krogh & Vedelsby 1995, "Neural network ensembles, cross validation, and active learning").

    Attributes:
        head: the loss.
        metric: the objective, computed over all n rows together.
        objective, loss: at each checkpoint so far: the objective, and the mean loss over rows by their weights.
        row_losses: at each checkpoint (n,), in nats or in the target's unit.
        row_values: at each checkpoint (n, …), what the objective is computed from, see :meth:`Metric.row_values`.
    """

    data: Dataset
    splits: Sequence[Split]
    head: Loss
    metric: Metric
    objective: list[float] = field(default_factory=list, init=False)
    loss: list[float] = field(default_factory=list, init=False)
    row_losses: list[Floats] = field(default_factory=list, init=False)
    row_values: list[NDArray[Any]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        validated = np.concatenate([split.validation for split in self.splits])
        self._order = np.argsort(validated, kind="stable")
        rows, self._starts, counts = np.unique(validated[self._order], return_index=True, return_counts=True)
        self._counts = counts[:, np.newaxis]
        self._labels = self.data.labels[rows]
        self._weights = None if self.data.weights is None else self.data.weights[rows]

    def average(self, predictions: FloatArray) -> Floats:
        """The ensemble's predictions (n, A) from those of all networks for their validation rows, (M, A), split by
        split."""
        rows, width = len(self._starts), predictions.shape[1]
        ends, average = np.append(self._starts, len(predictions)), np.empty((rows, width))
        for part in blocks(rows, width):
            first, last = ends[part.start], ends[part.stop]
            some = predictions[self._order[first:last]].astype(np.float64)
            np.add.reduceat(some, self._starts[part] - first, axis=0, out=average[part])
        average /= self._counts
        return average

    def add(self, predictions: FloatArray) -> float:
        """Take a checkpoint's predictions, as :meth:`average` does; returns the ensemble's objective."""
        averaged = self.average(predictions)
        losses = self.head.of_labels(self._labels, averaged)
        self.row_losses.append(losses)
        self.row_values.append(self.metric.row_values(self._labels, averaged))
        self.loss.append(float(np.average(losses, weights=self._weights)))
        self.objective.append(self.score(averaged, self.metric))
        return self.objective[-1]

    def score(self, averaged: Floats, metric: Metric) -> float:
        """A metric of the ensemble's predictions (n, A); nan where it is undefined."""
        return metric.score(self._labels, averaged, len(self.data.class_names), self._weights)
