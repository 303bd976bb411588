"""How rows are dealt from a seed: NumPy alone, to the row as scikit-learn's splitters of the same seed deal them.

Importing any part of scikit-learn takes longer than all else that the start of a search needs. Its splitters by groups
are rarer, and stay its own (:mod:`hpsearch.data.splits`). A seed of None leaves rows in their order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from hpsearch.arrays import IntArray

Pair = tuple[IntArray, IntArray]  # (training rows, validation rows)


def k_folds(rows: int, n_splits: int, seed: int | None) -> Iterator[Pair]:
    """``KFold``: K runs of rows, the first ones longer by one where they do not come out even."""
    order, folds = np.arange(rows), np.empty(rows, np.intp)
    if seed is not None:
        np.random.RandomState(seed).shuffle(order)
    folds[order] = np.sort(np.arange(rows) % n_splits)
    return _by_fold(folds, n_splits)


def stratified_folds(labels: IntArray, n_splits: int, seed: int | None) -> Iterator[Pair]:
    """``StratifiedKFold``: each fold has every class's share of the rows, to within one row.

    The classes, in the order of their first rows, stand one after the other and are dealt to the folds in turn; which
    of its rows a class gives to which fold is drawn.
    """
    _, first, of_row = np.unique(labels, return_index=True, return_inverse=True)
    classes = np.argsort(np.argsort(first))[of_row]
    ordered, draw = np.sort(classes), np.random.RandomState(seed)
    folds = np.empty(len(labels), np.intp)
    for one in range(len(first)):
        dealt = np.sort(np.flatnonzero(ordered == one) % n_splits)
        if seed is not None:
            draw.shuffle(dealt)
        folds[classes == one] = dealt
    return _by_fold(folds, n_splits)


def given_folds(folds: IntArray) -> Iterator[Pair]:
    """``PredefinedSplit``: each row validates the fold that it names; -1 only trains."""
    for fold in np.unique(folds[folds != -1]):
        yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)


def in_time(rows: int, n_splits: int, gap: int) -> Iterator[Pair]:
    """``TimeSeriesSplit``: the last parts validate, each with all rows that end ``gap`` rows before it."""
    size = rows // (n_splits + 1)
    for start in range(rows - n_splits * size, rows, size):
        yield np.arange(start - gap), np.arange(start, start + size)


def random_parts(rows: int, n_splits: int, fraction: float, seed: int | None) -> Iterator[Pair]:
    """``ShuffleSplit``: a share of the rows, drawn anew each time, validates.

    Raises:
        ValueError: no row is left to train on.
    """
    count, draw = _count(rows, fraction), np.random.RandomState(seed)
    for _ in range(n_splits):
        order = draw.permutation(rows)
        yield order[count:], order[:count]


def stratified_part(labels: IntArray, fraction: float, seed: int) -> Pair:
    """``train_test_split`` with ``stratify``: a share of the rows, and of every class's, to within one row.

    Raises:
        ValueError: a class has one row; or there are fewer rows on a side than classes.
    """
    count, draw = _count(len(labels), fraction), np.random.RandomState(seed)
    _, of_row, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if sizes.min() < 2:
        raise ValueError("a class has a single row, and each side needs one of it")
    if min(count, len(labels) - count) < len(sizes):
        raise ValueError(f"each side needs at least {len(sizes)} rows, one of every class")
    training = _shares(sizes, len(labels) - count, draw)
    validation = _shares(sizes - training, count, draw)
    kept: list[IntArray] = []
    given: list[IntArray] = []
    for one, (keep, give) in enumerate(zip(training, validation, strict=True)):
        dealt = np.flatnonzero(of_row == one)[draw.permutation(sizes[one])]
        kept.append(dealt[:keep])
        given.append(dealt[keep : keep + give])
    return np.concatenate(kept), np.concatenate(given)


def _shares(sizes: IntArray, count: int, draw: np.random.RandomState) -> IntArray:
    """How many of ``count`` rows each class gives: its share rounded down, and one more for the greatest remainders."""
    exact = sizes / sizes.sum() * count
    shares: IntArray = np.floor(exact).astype(np.intp)
    remainders, missing = exact - shares, count - int(shares.sum())
    for remainder in np.unique(remainders)[::-1]:
        if missing <= 0:
            break
        alike = np.flatnonzero(remainders == remainder)
        chosen = draw.choice(alike, size=min(len(alike), missing), replace=False)  # drawn even if all are taken
        shares[chosen] += 1
        missing -= len(chosen)
    return shares


def _count(rows: int, fraction: float) -> int:
    """The rows that validate."""
    count = math.ceil(fraction * rows)
    if count >= rows:
        raise ValueError(f"no row is left to train on beside {count}")
    return count


def _by_fold(folds: IntArray, n_splits: int) -> Iterator[Pair]:
    for fold in range(n_splits):
        yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
