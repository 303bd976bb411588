"""Rows are dealt to the row as scikit-learn deals them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import (
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    train_test_split,
)

from hpsearch.data import dealing

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def classes(draw: st.DrawFn) -> np.ndarray:
    """Labels of two to five classes, some of them rare, in any order."""
    sizes = draw(st.lists(st.integers(2, 40), min_size=2, max_size=5))
    labels = np.repeat(draw(st.permutations(range(len(sizes)))), sizes)
    return np.random.default_rng(draw(SEEDS)).permutation(labels) if draw(st.booleans()) else labels


def same(ours: Iterable[dealing.Pair], theirs: Iterable[dealing.Pair]) -> None:
    for pair, other in zip(ours, theirs, strict=True):
        for rows, others in zip(pair, other, strict=True):
            assert np.sort(rows).tolist() == np.sort(others).tolist()


@given(st.integers(2, 12), st.integers(0, 60), st.none() | SEEDS)
def test_k_folds(n_splits: int, more: int, seed: int | None) -> None:
    rows = np.zeros(n_splits + more)
    theirs = KFold(n_splits, shuffle=seed is not None, random_state=seed)
    same(dealing.k_folds(len(rows), n_splits, seed), theirs.split(rows))


@given(classes(), st.data(), st.none() | SEEDS)
def test_stratified_folds(labels: np.ndarray, data: st.DataObject, seed: int | None) -> None:
    n_splits = data.draw(st.integers(2, np.bincount(labels).min()))
    theirs = StratifiedKFold(n_splits, shuffle=seed is not None, random_state=seed)
    same(dealing.stratified_folds(labels, n_splits, seed), theirs.split(labels, labels))


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=40))
def test_given_folds(folds: list[int]) -> None:
    same(dealing.given_folds(np.array(folds)), PredefinedSplit(folds).split())


@given(st.integers(1, 8), st.integers(1, 60), st.data())
def test_in_time(n_splits: int, more: int, data: st.DataObject) -> None:
    rows, n_splits = n_splits + more + 1, n_splits + 1
    gap = data.draw(st.integers(0, rows - n_splits * (rows // (n_splits + 1)) - 1))
    same(dealing.in_time(rows, n_splits, gap), TimeSeriesSplit(n_splits, gap=gap).split(np.zeros(rows)))


@given(st.integers(2, 60), st.integers(1, 5), st.floats(0.01, 0.99), SEEDS)
def test_random_parts(rows: int, n_splits: int, fraction: float, seed: int) -> None:
    theirs = ShuffleSplit(n_splits, test_size=fraction, random_state=seed)
    try:
        pairs = list(theirs.split(np.zeros(rows)))
    except ValueError:
        with pytest.raises(ValueError, match="no row is left"):
            list(dealing.random_parts(rows, n_splits, fraction, seed))
    else:
        same(dealing.random_parts(rows, n_splits, fraction, seed), pairs)


@given(classes(), st.floats(0.01, 0.99), SEEDS)
def test_stratified_part(labels: np.ndarray, fraction: float, seed: int) -> None:
    rows = np.arange(len(labels))
    try:
        pair = train_test_split(rows, test_size=fraction, random_state=seed, stratify=labels)
    except ValueError:
        with pytest.raises(ValueError, match="row"):
            dealing.stratified_part(labels, fraction, seed)
    else:
        same([dealing.stratified_part(labels, fraction, seed)], [pair])


def test_a_class_of_one_row_has_no_part_of_each_side() -> None:
    with pytest.raises(ValueError, match="a single row"):
        dealing.stratified_part(np.array([0, 0, 0, 1]), 0.5, 0)
