"""Which columns may tell the classes apart alone: the others are ruled out without a tree, as fast as they are sorted.

A tree of few leaves that is right on nearly all rows must be so for rows that follow each other along the column. Where
neighbours of different classes are many, it cannot be, wherever it has its thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import IntArray
from hpsearch.data.columns import Column
from hpsearch.data.dataset import Dataset

_LARGEST = np.finfo(np.float32).max


def single_precision(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values as scikit-learn's trees take them; what is too large for that becomes the largest."""
    return np.asarray(np.clip(values, -_LARGEST, _LARGEST), np.float32)


def leaves_for(data: Dataset, width: int) -> int:
    """The leaves of a tree that tells classes apart by one column of so many features.

    As many thresholds as it takes to tell the classes apart along one axis, and no more to learn rows by heart. (Of
    categories one takes as many as there are.)
    """
    return max(2 * len(data.class_names), width + 1)


def columns_that_may_tell(data: Dataset, row_sets: Sequence[IntArray], least: float) -> list[str]:
    """The columns by which trees may be right with a balanced accuracy of ``least``, the likeliest first.

    Args:
        data: the rows.
        row_sets: those that a tree each is to be right about, together.
        least: the balanced accuracy.
    """
    everything, ends = np.concatenate(row_sets), np.cumsum([len(rows) for rows in row_sets])[:-1]
    labels = data.labels[everything]
    counts = np.bincount(labels, minlength=len(data.class_names))
    costs = np.divide(1, counts * np.count_nonzero(counts), out=np.zeros(len(counts)), where=counts > 0)
    of_each, found = np.split(labels, ends), []
    for column in data.columns.columns:
        place = data.columns.places[column.name]
        values, ordered = _on_one_axis(column, data.features[everything, place])
        if values is None:
            found.append((0.0, column.name))
            continue
        thresholds = leaves_for(data, place.stop - place.start) - 1 if ordered else None
        parts = zip(np.split(values, ends), of_each, strict=True)
        if sum(_least_loss(*part, costs, thresholds) for part in parts) <= 1 - least + 1e-9:
            found.append((_least_loss(values, labels, costs, thresholds), column.name))
    return [name for _, name in sorted(found, key=lambda one: one[0])]


def _on_one_axis(column: Column, block: NDArray[Any]) -> tuple[NDArray[Any] | None, bool]:
    """Values (n,) that are equal where all of a column's features (n, width) are, and whether thresholds cut them in
    their order; None of a column whose features are several functions of its value."""
    if column.kind == "date":
        return None, False
    if column.kind == "categorical" and column.encoding is None:
        return block @ np.arange(1, block.shape[1] + 1), False
    return single_precision(block[:, 0]), True


def _least_loss(values: NDArray[Any], labels: IntArray, costs: NDArray[np.float64], thresholds: int | None) -> float:
    """What is lost at least by whoever predicts one class for rows of one value, and changes it so often.

    Args:
        values: (n,), nan where missing.
        labels: (n,).
        costs: (C,), of a row of each class that is not told.
        thresholds: between neighbouring values; None if each value may have any class.
    """
    found, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    shape = len(counts), len(costs)
    weights = np.bincount(places * shape[1] + labels, minlength=shape[0] * shape[1]).reshape(shape) * costs
    lost = float(weights.sum() - weights.max(axis=1).sum())
    if thresholds is None:
        return lost
    classes, alone = weights.argmax(axis=1), (counts == 1) & ~np.isnan(found)  # a missing one may go to either side
    # Neighbours of different classes: one of them is lost, or a threshold is between them. Every second pair is one of
    # rows that no other pair has.
    differ = (classes[1:] != classes[:-1]) & alone[1:] & alone[:-1]
    of_pairs = np.where(differ, np.minimum(costs[classes[1:]], costs[classes[:-1]]), 0)
    pairs = max(float(of_pairs[::2].sum()), float(of_pairs[1::2].sum()))
    return lost + max(0.0, pairs - thresholds * float(costs.max()))
