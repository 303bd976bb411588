"""The hold-out and the splits: scikit-learn's splitters, seeded from the study, with the checks it leaves out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hpsearch import seeds
from hpsearch.arrays import IntArray
from hpsearch.data.dataset import Dataset
from hpsearch.data.matrix import index_type, let_go
from hpsearch.errors import DataError, Setting, quoted
from hpsearch.numbers import plural


@dataclass(frozen=True)
class Split:
    """Split ``fold`` of repeat ``repeat``, both from 0: it trains on all rows but those of fold ``fold``."""

    repeat: int
    fold: int
    training: IntArray
    validation: IntArray


@dataclass(frozen=True)
class SplitOptions:
    """How rows are dealt.

    Attributes:
        n_splits: folds; of ``shuffle`` the number of draws.
        repeats: times that all rows are dealt.
        shuffle: deal rows (or groups) in random order.
        gap: of ``timeseries``: rows left out between the training rows and the validation rows.
        fraction: of ``shuffle``: share of the rows that validates.
    """

    n_splits: int = 5
    repeats: int = 1
    shuffle: bool = True
    gap: int = 0
    fraction: float = 0.2


@dataclass(frozen=True)
class Splitter:
    """One way to split rows.

    Attributes:
        make: from the options and a seed (None for rows as they come) to a splitter of scikit-learn's; None if the rows
            say themselves where they belong.
        needs: what it splits by beside rows and labels, an attribute of :class:`Dataset`.
        fewest: the least ``n_splits``.
        shuffles: whether a seed changes anything, so that repeats differ.
        stratifies: whether it deals an equal share of every class to each fold.
    """

    make: Callable[[SplitOptions, int | None], Any] | None
    needs: Literal["groups", "times", "folds"] | None = None
    fewest: int = 2
    shuffles: bool = True
    stratifies: bool = False


def _k_folds(name: str) -> Callable[[SplitOptions, int | None], Any]:
    return lambda options, seed: _sklearn(name)(options.n_splits, shuffle=seed is not None, random_state=seed)


def _sklearn(name: str) -> Any:
    import sklearn.model_selection

    return getattr(sklearn.model_selection, name)


SPLITTERS: dict[str, Splitter] = {
    "group": Splitter(_k_folds("GroupKFold"), needs="groups"),
    "kfold": Splitter(_k_folds("KFold")),
    "predefined": Splitter(None, needs="folds", fewest=1, shuffles=False),
    "shuffle": Splitter(
        lambda options, seed: _sklearn("ShuffleSplit")(options.n_splits, test_size=options.fraction, random_state=seed),
        fewest=1,
    ),
    "stratified": Splitter(_k_folds("StratifiedKFold"), stratifies=True),
    "stratified-group": Splitter(_k_folds("StratifiedGroupKFold"), needs="groups", stratifies=True),
    "timeseries": Splitter(
        lambda options, seed: _sklearn("TimeSeriesSplit")(options.n_splits, gap=options.gap),
        needs="times",
        shuffles=False,
    ),
}


def make_splits(
    data: Dataset,
    splitter: str,
    options: SplitOptions,
    study_seed: int,
    check: Callable[[Sequence[Split]], None] = lambda splits: None,
    deals: int = 1,
) -> tuple[Split, ...]:
    """Every split of every repeat, rows in ascending order.

    Args:
        data: the rows; how they are split, if they say so.
        splitter: of ``SPLITTERS``.
        options: how rows are dealt.
        study_seed: what it is dealt from.
        check: raises a :class:`DataError` for splits of a repeat that cannot be used for more reasons than those below.
        deals: how often a repeat is dealt, from one seed after the other, before what cannot be used is refused.

    Raises:
        DataError: rows that do not say what the splitter splits by; more folds than rows or groups; with ``stratified``
            a class with fewer rows than folds; a split whose training rows lack a class.
    """
    kind, given = SPLITTERS[splitter], data.given_splits
    if given is None:
        _check_rows(data, splitter, options)
    # Rows in time, if time is what they are split by: scikit-learn takes them as they come.
    in_time = given is None and kind.needs == "times" and data.times is not None
    order = np.argsort(data.times, kind="stable") if in_time and data.times is not None else None
    shuffles = kind.shuffles if given is None else given.shuffles
    dealt, kept_type = options.shuffle and shuffles, index_type(*data.features.shape)

    def deal(repeat: int, number: int) -> list[Split]:
        seed, splits = seeds.integer_seed(study_seed, "splits", repeat, number) if dealt else None, []
        for fold, pair in enumerate(_folds(data, kind, options, seed)):
            training, validation = (np.sort(rows if order is None else order[rows]).astype(kept_type) for rows in pair)
            _check_classes(data, training, f"split {fold} (repeat {repeat})")
            splits.append(Split(repeat, fold, training, validation))
        check(splits)
        return splits

    splits: list[Split] = []
    for repeat in range(options.repeats):
        for number in range(deals if dealt else 1):
            try:
                splits += deal(repeat, number)
                break
            except DataError:
                if number == deals - 1 or not dealt:
                    raise
    if not splits:
        raise DataError(
            "must give some rows the fold that they validate",
            "every row only trains (-1)",
            "Nested cross-validation needs at least two folds.",
            where=Setting("fold"),
        )
    return tuple(splits)


def _folds(
    data: Dataset, kind: Splitter, options: SplitOptions, seed: int | None
) -> Iterator[tuple[IntArray, IntArray]]:
    if data.given_splits is not None:
        yield from data.given_splits.split(seed)
    elif kind.make is None:
        yield from _sklearn("PredefinedSplit")(data.folds).split()
    else:
        groups = data.groups if kind.needs == "groups" else None  # the others warn that they do not look at them
        yield from kind.make(options, seed).split(data.features, data.labels, groups)


# What to do about a class of too few rows.
_OF_RARE_CLASSES = (
    "leave out or join the classes of few rows",
    (" (of a file: ", Setting("rare_classes", "drop"), " or ", Setting("rare_classes", "other"), ")"),
    ", or add rows of them.",
)
# The settings that name the column of what a splitter needs.
_COLUMNS = {"groups": "group", "times": "time", "folds": "fold"}


def _check_rows(data: Dataset, splitter: str, options: SplitOptions) -> None:
    kind, n_splits = SPLITTERS[splitter], options.n_splits
    if kind.needs is not None and kind.needs not in data.metadata:
        column = _COLUMNS[kind.needs]
        raise DataError(
            f"needs rows with a {column}",
            f"the data names no {column} column",
            ("Add ", Setting(column, "..."), ", or use another splitter."),
            where=Setting("splitter", splitter),
        )
    if kind.make is None:
        return
    if n_splits > data.rows:
        raise DataError(
            f"must be at most the number of rows, {data.rows}",
            f"is {n_splits}",
            "Use fewer folds or more rows.",
            where=Setting("n_splits"),
        )
    if data.groups is not None and kind.needs == "groups" and n_splits > len(groups := np.unique(data.groups)):
        raise DataError(
            f"must be at most the number of groups, {len(groups)}",
            f"is {n_splits}",
            "Use fewer folds.",
            where=Setting("n_splits"),
        )
    if kind.needs == "times" and options.gap >= data.rows - n_splits * (data.rows // (n_splits + 1)):
        raise DataError(
            f"must leave rows to train on before each of {n_splits} validation parts of {plural(data.rows, 'row')}",
            f"is {options.gap}",
            "Use a smaller gap or fewer splits.",
            where=Setting("gap"),
        )
    if splitter == "shuffle" and math.ceil(options.fraction * data.rows) >= data.rows:
        raise DataError(
            f"must leave a row to train on of {data.rows}",
            f"is {options.fraction}",
            "Use a smaller fraction.",
            where=Setting("fraction"),
        )
    if not kind.stratifies:
        return
    counts = np.bincount(data.labels, minlength=len(data.class_names))
    if counts.min() < n_splits:
        raise DataError(
            f"needs at least as many rows of every class as there are folds, {n_splits}",
            f"class {quoted(data.class_names[counts.argmin()])} has {counts.min()}",
            ("Use fewer folds or a splitter that is not stratified, or ", *_OF_RARE_CLASSES),
            where=Setting("splitter", splitter),
        )


def _check_classes(data: Dataset, training: IntArray, of: str) -> None:
    if data.task == "regression":
        return
    present = np.bincount(data.labels[training], minlength=len(data.class_names)) > 0
    for absent in np.flatnonzero(~present)[:1]:
        raise DataError(
            f"the training rows of {of} must hold every class",
            f"have no row of class {quoted(data.class_names[absent])}",
            (
                *("Set ", Setting("shuffle", True), " or ", Setting("splitter", "stratified"), ", or "),
                *_OF_RARE_CLASSES,
            ),
        )


def hold_out(data: Dataset, fraction: float, splitter: str, study_seed: int) -> tuple[Dataset, Dataset]:
    """(rows to search with, rows held out), kept in their order.

    Categories and indicators of missing values are those of the rows to search with. The others are read as new rows
    are, or they would shape what is trained.

    The rule is the splitter's: the last rows in time, whole groups, an equal share of every class; otherwise rows drawn
    at random from the study's seed.

    Raises:
        DataError: a side without rows; the search rows without one of the classes, or without a value of a column.
    """
    seed, kind, everything = seeds.integer_seed(study_seed, "holdout"), SPLITTERS[splitter], np.arange(data.rows)
    stratify = data.labels if splitter == "stratified" else None
    if stratify is not None and (counts := np.bincount(stratify)).min() < 2:
        raise DataError(
            "needs at least 2 rows of every class where rows are stratified",
            f"class {quoted(data.class_names[counts.argmin()])} has one",
            ("Use another splitter, or ", *_OF_RARE_CLASSES),
            Setting("holdout_fraction", fraction),
        )
    try:
        if kind.needs == "times" and data.times is not None:
            count = math.ceil(fraction * data.rows)
            if count >= data.rows:
                raise ValueError("no row is left to search with")
            order = np.argsort(data.times, kind="stable")
            search, held = order[:-count], order[-count:]
        elif kind.needs == "groups" and data.groups is not None:
            halves = _sklearn("GroupShuffleSplit")(1, test_size=fraction, random_state=seed)
            search, held = next(halves.split(everything, groups=data.groups))
        else:
            search, held = _sklearn("train_test_split")(
                everything, test_size=fraction, random_state=seed, stratify=stratify
            )
    except ValueError as error:
        raise DataError(
            f"must fit these {data.rows} rows",
            f"it does not: {str(error).rstrip('.')}",
            where=Setting("holdout_fraction", fraction),
        ) from error
    _check_classes(data, search, "the search, after the hold-out was set aside,")
    searched, held_out = data.take(np.sort(search)), data.take(np.sort(held))
    let_go(data.features)
    plan = data.columns.declared_on(searched.features)
    return searched.read_by(plan), held_out.read_by(plan)
