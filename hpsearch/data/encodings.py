"""Columns of many categories: what stands for each category, learnt from the training rows of a split.

Features hold the number of a row's category; what the network sees instead is looked up, lane by lane.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import IntArray
from hpsearch.data.columns import Column
from hpsearch.data.dataset import Dataset
from hpsearch.transform import Encoding

FOLDS = 5  # of the training rows, each encoded by what the others say


@dataclass(frozen=True)
class Learnt:
    """What an encoding is learnt from: rows of some categories, their targets, and what they count.

    Attributes:
        column: the column's.
        codes: (n,) the number of each row's category, see :meth:`hpsearch.data.columns.Column.codes`.
        targets: (n, T), of a regression, of the second of two classes, or one-hot of several.
        weights: (n,) above 0; None if all count alike.
        folds: of the rows: those that are encoded, by what they are encoded with.
    """

    column: Column
    codes: IntArray
    targets: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    folds: Callable[[], Iterator[tuple[IntArray, IntArray]]]

    def only(self, rows: IntArray) -> Learnt:
        """Some of the rows."""
        weights = None if self.weights is None else self.weights[rows]
        return Learnt(self.column, self.codes[rows], self.targets[rows], weights, self.folds)


def _frequent(learnt: Learnt) -> tuple[NDArray[np.uint8], IntArray | None]:
    """One 0/1 feature for each of the most frequent categories, and one for all others, unseen ones included.

    Where all training rows have one of the most frequent, a category that is none of them is all zeros: nothing was
    learnt of others.
    """
    column, unknown = learnt.column, len(learnt.column.categories) + 1
    counts = np.bincount(learnt.codes, learnt.weights, unknown + 1)[: unknown - 1]
    order = np.lexsort((np.arange(len(counts)), -counts))  # of equally frequent ones the first by name
    most = order[: column.frequent][counts[order[: column.frequent]] > 0]
    table = np.zeros((1, unknown + 1, column.width), np.uint8)
    table[0, most, np.arange(len(most))] = 1
    if np.count_nonzero(counts) > len(most):
        others = np.ones(unknown + 1, bool)
        others[[*most, unknown - 1]] = False  # a missing value has its own feature
        table[0, others, -1] = 1
    return table, None


def _target(learnt: Learnt) -> tuple[NDArray[np.float64], IntArray | None]:
    """The mean target of a category, drawn towards the mean of all; of several classes the share of each.

    It is scikit-learn's ``TargetEncoder``, whose shrinkage is an empirical Bayes estimate (Micci-Barreca 2001). The
    training rows themselves are encoded in :data:`FOLDS` folds, each by the means of the other rows: a row's own target
    is no part of what stands for its category. A category that no training row has is encoded as the mean of all.
    """
    tables, folds = [], np.full(len(learnt.codes), FOLDS)
    for fold, (others, rows) in enumerate(learnt.folds()):
        tables.append(_means(learnt.only(others)))
        folds[rows] = fold
    folds[folds == FOLDS] = len(tables)
    return np.stack([*tables, _means(learnt)]), folds


def _means(learnt: Learnt) -> NDArray[np.float64]:
    """(K + 2, T), by the number of a category."""
    from sklearn.preprocessing import TargetEncoder

    count = len(learnt.column.categories) + 2
    found = np.zeros((count, learnt.targets.shape[1]))
    labels = learnt.targets.argmax(axis=1)
    if learnt.weights is None and len(present := np.unique(labels)) > 2:
        # One fit for all classes, for the same numbers: of two hundred classes a hundredth of the time.
        encoder = TargetEncoder(target_type="multiclass").fit(learnt.codes[:, np.newaxis], labels)
        found[:, present] = encoder.target_mean_
        found[np.ix_(encoder.categories_[0], present)] = np.stack(encoder.encodings_, axis=1)
        return found  # a class that no row has has no share of any category
    for place, target in enumerate(learnt.targets.T):
        if learnt.weights is not None:
            found[:, place] = _weighted_means(learnt.codes, target, learnt.weights, count)
            continue
        encoder = TargetEncoder(target_type="continuous").fit(learnt.codes[:, np.newaxis], target)
        found[:, place] = encoder.target_mean_
        found[encoder.categories_[0], place] = encoder.encodings_[0]
    return found


def _weighted_means(
    codes: IntArray, target: NDArray[np.float64], weights: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """What ``TargetEncoder`` learns of rows (n,) that stand there so many times, (count,)."""
    mean = float(np.average(target, weights=weights))
    variance = float(np.average((target - mean) ** 2, weights=weights))
    counts = np.bincount(codes, weights, count)
    there = np.maximum(counts, np.finfo(float).tiny)
    means = np.bincount(codes, weights * target, count) / there
    within = np.bincount(codes, weights * (target - means[codes]) ** 2, count) / there
    trust = variance * counts / np.maximum(variance * counts + within, np.finfo(float).tiny)
    return np.where(counts > 0, trust * means + (1 - trust) * mean, mean)


# What is learnt: tables (F + 1, K + 2, T) and folds (n,), see :class:`hpsearch.transform.Encoding`.
ENCODINGS: dict[str, Callable[[Learnt], tuple[NDArray[np.float64] | NDArray[np.uint8], IntArray | None]]] = {
    "frequent": _frequent,
    "target": _target,
}


def fit_encodings(data: Dataset, rows: IntArray, seed: int) -> tuple[Encoding, ...]:
    """What stands for the categories of each encoded column, learnt from these rows and no others.

    Args:
        data: the rows.
        rows: to learn from.
        seed: of the folds that training rows are encoded in.
    """
    if not (columns := [column for column in data.columns.columns if column.encoding is not None]):
        return ()
    weights = None if data.weights is None else data.weights[rows]
    if weights is not None:
        rows, weights = rows[weights > 0], weights[weights > 0]
    targets = _targets(data)[rows]
    encodings = []
    for column in columns:
        first = data.columns.places[column.name].start
        codes = data.features[rows, first].astype(np.intp)
        learnt = Learnt(column, codes, targets, weights, lambda: _folds(data, rows, seed))
        assert column.encoding is not None
        tables, of_rows = ENCODINGS[column.encoding](learnt)
        folds = None
        if of_rows is not None:
            folds = np.full(data.rows, len(tables) - 1, np.uint8)
            folds[rows] = of_rows
        encodings.append(Encoding(first, tables, folds))
    return tuple(encodings)


def _targets(data: Dataset) -> NDArray[np.float64]:
    if data.task == "classification" and len(data.class_names) > 2:
        return np.asarray(np.eye(len(data.class_names))[data.labels])
    # Of two classes the labels are 0 and 1.
    return np.asarray(data.labels, np.float64)[:, np.newaxis]


def _folds(data: Dataset, rows: IntArray, seed: int) -> Iterator[tuple[IntArray, IntArray]]:
    """(places of the rows that the others are encoded with, places of those that are encoded), none for a single row.

    Groups stay together; of classes each fold has its share.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    groups, labels = None if data.groups is None else data.groups[rows], data.labels[rows]
    most = len(rows) if groups is None else len(np.unique(groups))
    stratified = data.task == "classification"
    if stratified:
        most = min(most, int(np.bincount(labels).max()))
    if most < 2:
        return
    kinds = (KFold, GroupKFold), (StratifiedKFold, StratifiedGroupKFold)
    splitter = kinds[stratified][groups is not None](min(FOLDS, most), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class with fewer rows than folds
        yield from splitter.split(rows[:, np.newaxis], labels, groups)
