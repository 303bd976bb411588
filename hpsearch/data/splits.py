"""The hold-out and the splits: dealt as scikit-learn deals, seeded from the study, with the checks it leaves out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hpsearch import seeds
from hpsearch.arrays import IntArray
from hpsearch.data import dealing
from hpsearch.data.dataset import Dataset
from hpsearch.data.dealing import Pair
from hpsearch.errors import DataError, Setting


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
        deal: pairs of training rows and validation rows, from the data, the options and a seed, which is None for rows
            as they come.
        needs: what it splits by beside rows and labels, an attribute of :class:`Dataset`.
        fewest: the least ``n_splits``.
        shuffles: whether a seed changes anything, so that repeats differ.
        stratifies: whether it deals an equal share of every class to each fold.
    """

    deal: Callable[[Dataset, SplitOptions, int | None], Iterator[Pair]]
    needs: Literal["groups", "times", "folds"] | None = None
    fewest: int = 2
    shuffles: bool = True
    stratifies: bool = False


def _by_groups(name: str) -> Callable[[Dataset, SplitOptions, int | None], Iterator[Pair]]:
    """A splitter of scikit-learn's that keeps groups together."""

    def deal(data: Dataset, options: SplitOptions, seed: int | None) -> Iterator[Pair]:
        import sklearn.model_selection

        splitter = getattr(sklearn.model_selection, name)(options.n_splits, shuffle=seed is not None, random_state=seed)
        pairs: Iterator[Pair] = splitter.split(data.features, data.labels, data.groups)
        return pairs

    return deal


def _as_given(data: Dataset, options: SplitOptions, seed: int | None) -> Iterator[Pair]:
    assert data.folds is not None  # checked before
    return dealing.given_folds(data.folds)


SPLITTERS: dict[str, Splitter] = {
    "group": Splitter(_by_groups("GroupKFold"), needs="groups"),
    "kfold": Splitter(lambda data, options, seed: dealing.k_folds(data.rows, options.n_splits, seed)),
    "predefined": Splitter(_as_given, needs="folds", fewest=1, shuffles=False),
    "shuffle": Splitter(
        lambda data, options, seed: dealing.random_parts(data.rows, options.n_splits, options.fraction, seed), fewest=1
    ),
    "stratified": Splitter(
        lambda data, options, seed: dealing.stratified_folds(data.labels, options.n_splits, seed), stratifies=True
    ),
    "stratified-group": Splitter(_by_groups("StratifiedGroupKFold"), needs="groups", stratifies=True),
    "timeseries": Splitter(
        lambda data, options, seed: dealing.in_time(data.rows, options.n_splits, options.gap),
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
        data: the rows.
        splitter: of ``SPLITTERS``.
        options: how rows are dealt.
        study_seed: what it is dealt from.
        check: raises a :class:`DataError` for splits of a repeat that cannot be used for more reasons than those below.
        deals: how often a repeat is dealt, from one seed after the other, before what cannot be used is refused.

    Raises:
        DataError: rows that do not say what the splitter splits by; more folds than rows or groups; with ``stratified``
            a class with fewer rows than folds; a split whose training rows lack a class.
    """
    kind = SPLITTERS[splitter]
    _check_rows(data, splitter, options)
    # Rows in time, if time is what they are split by: scikit-learn takes them as they come.
    order = np.argsort(data.times, kind="stable") if kind.needs == "times" and data.times is not None else None
    dealt = options.shuffle and kind.shuffles

    def deal(repeat: int, number: int) -> list[Split]:
        seed, splits = seeds.integer_seed(study_seed, "splits", repeat, number) if dealt else None, []
        for fold, pair in enumerate(kind.deal(data, options, seed)):
            training, validation = (np.sort(rows if order is None else order[rows]) for rows in pair)
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
    if kind.needs == "folds":
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
            f"must leave rows to train on before each of {n_splits} validation parts of {data.rows} rows",
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
            ("needs at least ", Setting("n_splits", n_splits), " rows of every class"),
            f"class {data.class_names[counts.argmin()]!r} has {counts.min()}",
            "Use fewer folds or a splitter that is not stratified.",
            where=Setting("splitter", splitter),
        )


def _check_classes(data: Dataset, training: IntArray, of: str) -> None:
    if data.task == "regression":
        return
    present = np.bincount(data.labels[training], minlength=len(data.class_names)) > 0
    for absent in np.flatnonzero(~present)[:1]:
        raise DataError(
            f"the training rows of {of} must hold every class",
            f"have no row of class {data.class_names[absent]!r}",
            ("Set ", Setting("shuffle", True), " or ", Setting("splitter", "stratified"), ", or add rows of it."),
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
    seed, kind = seeds.integer_seed(study_seed, "holdout"), SPLITTERS[splitter]
    try:
        if kind.needs == "times" and data.times is not None:
            count = math.ceil(fraction * data.rows)
            if count >= data.rows:
                raise ValueError("no row is left to search with")
            order = np.argsort(data.times, kind="stable")
            search, held = order[:-count], order[-count:]
        elif kind.needs == "groups" and data.groups is not None:
            from sklearn.model_selection import GroupShuffleSplit

            halves = GroupShuffleSplit(1, test_size=fraction, random_state=seed)
            search, held = next(halves.split(np.arange(data.rows), groups=data.groups))
        elif splitter == "stratified":
            search, held = dealing.stratified_part(data.labels, fraction, seed)
        else:
            search, held = next(dealing.random_parts(data.rows, 1, fraction, seed))
    except ValueError as error:
        raise DataError(
            f"must fit these {data.rows} rows",
            f"it does not: {str(error).rstrip('.')}",
            where=Setting("holdout_fraction", fraction),
        ) from error
    _check_classes(data, search, "the search, after the hold-out was set aside,")
    searched, held_out = data.take(np.sort(search)), data.take(np.sort(held))
    plan = data.columns.declared_on(searched.features)
    return searched.read_by(plan), held_out.read_by(plan)
