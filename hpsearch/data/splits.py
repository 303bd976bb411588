"""The hold-out and the splits: scikit-learn's splitters, seeded from the study, with the checks it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch import seeds
from hpsearch.data.dataset import Dataset
from hpsearch.errors import DataError

IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Split ``fold`` of repeat ``repeat``, both from 0: it trains on all rows but those of fold ``fold``."""

    repeat: int
    fold: int
    training: IntArray
    validation: IntArray


def _kfold(n_splits: int, seed: int | None) -> Any:
    from sklearn.model_selection import KFold

    return KFold(n_splits, shuffle=seed is not None, random_state=seed)


def _stratified(n_splits: int, seed: int | None) -> Any:
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(n_splits, shuffle=seed is not None, random_state=seed)


# From (n_splits, seed; None for rows as they come) to a scikit-learn splitter.
SPLITTERS: dict[str, Callable[[int, int | None], Any]] = {"kfold": _kfold, "stratified": _stratified}


def make_splits(
    data: Dataset, splitter: str, n_splits: int, repeats: int, shuffle: bool, study_seed: int
) -> tuple[Split, ...]:
    """Every split of every repeat, rows in ascending order.

    Raises:
        DataError: more folds than rows; with ``stratified`` a class with fewer rows than folds; a split whose training
            rows lack a class.
    """
    if n_splits > data.rows:
        raise DataError(
            f"[validation] n_splits must be at most the number of rows, {data.rows}, but is {n_splits}. "
            "Use fewer folds or more rows."
        )
    counts = np.bincount(data.labels, minlength=len(data.class_names))
    if splitter == "stratified" and counts.min() < n_splits:
        raise DataError(
            f"[validation] stratified splits need at least n_splits = {n_splits} rows of every class, but class "
            f'{data.class_names[counts.argmin()]!r} has {counts.min()}. Use fewer folds or splitter = "kfold".'
        )
    splits = []
    for repeat in range(repeats):
        seed = seeds.integer_seed(study_seed, "splits", repeat) if shuffle else None
        folds = SPLITTERS[splitter](n_splits, seed).split(data.features, data.labels)
        splits += [Split(repeat, fold, *rows) for fold, rows in enumerate(folds)]
    for split in splits:
        _check_classes(data, split.training, f"split {split.fold} (repeat {split.repeat})")
    return tuple(splits)


def _check_classes(data: Dataset, training: IntArray, where: str) -> None:
    present = np.bincount(data.labels[training], minlength=len(data.class_names)) > 0
    for absent in np.flatnonzero(~present)[:1]:
        raise DataError(
            f"The training rows of {where} must hold every class, but have no row of class "
            f'{data.class_names[absent]!r}. Set [validation] shuffle = true or splitter = "stratified", '
            "or add rows of that class."
        )


def hold_out(data: Dataset, fraction: float, stratify: bool, study_seed: int) -> tuple[Dataset, Dataset]:
    """(rows to search with, rows held out), drawn from the study's seed and kept in their order.

    Raises:
        DataError: a side without rows, or the search rows without one of the classes.
    """
    from sklearn.model_selection import train_test_split

    seed = seeds.integer_seed(study_seed, "holdout")
    try:
        search, held = train_test_split(
            np.arange(data.rows),
            test_size=fraction,
            random_state=seed,
            stratify=data.labels if stratify else None,
        )
    except ValueError as error:
        raise DataError(f"[holdout] fraction = {fraction} does not fit these {data.rows} rows: {error}") from error
    _check_classes(data, search, "the search, after the hold-out was set aside,")
    return data.take(np.sort(search)), data.take(np.sort(held))
