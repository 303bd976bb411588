"""``cv``, as scikit-learn's searches take it, in the terms of a study."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from hpsearch.arrays import IntArray
from hpsearch.data.given import GivenSplits
from hpsearch.errors import DataError, DefinitionError, Setting, one_line, quoted
from hpsearch.numbers import plural

# scikit-learn's splitters that a study deals with its own seed: what they are called there.
NAMES: dict[type[Any], str] = {
    StratifiedGroupKFold: "stratified-group",
    GroupKFold: "group",
    StratifiedKFold: "stratified",
    KFold: "kfold",
}
_REPEATED: dict[type[Any], str] = {RepeatedKFold: "kfold", RepeatedStratifiedKFold: "stratified"}
_MUST = (
    "must be an integer of at least 2, a splitter of scikit-learn, or (training rows, validation rows) of each split"
)

Pairs = Sequence[tuple[IntArray, IntArray]]


class OfSplitter(GivenSplits):
    """Splits that a splitter of scikit-learn's deals; others where it takes a ``random_state``.

    It is asked once for those without a seed: it may deal others each time, and processes must agree.
    """

    def __init__(self, splitter: Any, X: Any, y: NDArray[Any], groups: Any) -> None:
        self._splitter, self._rows = splitter, (X, y, groups)
        self.shuffles = hasattr(splitter, "random_state") and bool(getattr(splitter, "shuffle", True))
        self._own: Pairs | None = None

    def split(self, seed: int | None) -> Pairs:
        if seed is not None:
            splitter = copy.copy(self._splitter)
            splitter.random_state = seed
            return self._dealt(splitter)
        if self._own is None:
            self._own = self._dealt(self._splitter)
        return self._own

    def _dealt(self, splitter: Any) -> Pairs:
        count = len(self._rows[1])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of rare classes the search has warned
                pairs = list(splitter.split(*self._rows))
        except ValueError as error:
            raise DataError("must split these rows", f"it says: {one_line(error)}", where=Setting("cv")) from error
        return [_checked(pair, number, count) for number, pair in enumerate(pairs)]


class Listed(GivenSplits):
    """Splits that are listed."""

    shuffles = False

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs

    def split(self, seed: int | None) -> Pairs:
        return self._pairs


def validation_of(
    cv: Any, X: Any, y: NDArray[Any], groups: Any, *, classes: bool, counting: NDArray[np.bool_] | None
) -> tuple[dict[str, Any], GivenSplits | None]:
    """How a study splits the rows: keys of ``[validation]``, and splits that it has no words for.

    An integer deals as many folds, stratified of classes, and a splitter that shuffles without a ``random_state`` of
    its own deals, from the study's seed. Any other splitter, and splits that are listed, are taken as they are.

    Args:
        cv: what was given.
        X: the rows that count.
        y: their targets, as they were given.
        groups: theirs, or None.
        classes: whether the targets are classes.
        counting: which of all rows that were given they are; None if all count.

    Raises:
        DefinitionError: no such thing.
        DataError: splits that cannot be of these rows.
    """
    cv = 5 if cv is None else cv
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        cv = _of_integer(int(cv), y, classes)
    if isinstance(cv, bool | str):
        raise DefinitionError(_MUST, f"is {quoted(cv)}", where=Setting("cv"))
    if not hasattr(cv, "split"):
        return {"splitter": "predefined"}, Listed(_listed(cv, len(y), counting))
    if classes and type(cv) in (StratifiedKFold, RepeatedStratifiedKFold) and (rarest := _rarest(y)) < _folds(cv):
        warnings.warn(
            f"The rarest class has {plural(rarest, 'row')}, fewer than the {_folds(cv)} folds: some validate none of "
            "it.",
            UserWarning,
            stacklevel=4,
        )
    elif (said := _in_words(cv)) is not None:
        return said, None
    name = next((name for kind, name in NAMES.items() if isinstance(cv, kind)), "predefined")
    name = "timeseries" if isinstance(cv, TimeSeriesSplit) else name
    of_folds = {"n_splits": int(cv.n_splits)} if name != "predefined" else {}
    own_seed = getattr(cv, "random_state", None) is not None
    return {"splitter": name, **of_folds, "shuffle": not own_seed}, OfSplitter(cv, X, y, groups)


def _of_integer(folds: int, y: NDArray[Any], classes: bool) -> Any:
    if folds < 2:
        raise DefinitionError(_MUST, f"is {quoted(folds)}", where=Setting("cv"))
    if folds > len(y):
        raise DataError(f"must be at most the number of rows, {len(y)}", f"is {quoted(folds)}", where=Setting("cv"))
    return (StratifiedKFold if classes else KFold)(folds, shuffle=True)


def _rarest(y: NDArray[Any]) -> int:
    return int(np.unique(y, return_counts=True)[1].min())


def _folds(cv: Any) -> int:
    return int(cv.cvargs["n_splits"] if hasattr(cv, "cvargs") else cv.n_splits)


def _in_words(cv: Any) -> dict[str, Any] | None:
    """Keys of ``[validation]`` that split rows as this splitter does; None if there are none.

    Splits of a seed that is the splitter's own are not the study's.
    """
    kind = type(cv)
    if kind in NAMES and not (cv.shuffle and cv.random_state is not None):
        return {"splitter": NAMES[kind], "n_splits": int(cv.n_splits), "shuffle": bool(cv.shuffle)}
    if kind in _REPEATED and cv.random_state is None:
        return {"splitter": _REPEATED[kind], "n_splits": _folds(cv), "repeats": int(cv.n_repeats)}
    if kind is ShuffleSplit and cv.random_state is None and cv.train_size is None:
        fraction = 0.1 if cv.test_size is None else cv.test_size
        if isinstance(fraction, float):
            return {"splitter": "shuffle", "n_splits": int(cv.n_splits), "fraction": fraction}
    if kind is TimeSeriesSplit and cv.max_train_size is None and cv.test_size is None:
        return {"splitter": "timeseries", "n_splits": int(cv.n_splits), "gap": int(cv.gap)}
    return None


def _listed(cv: Any, count: int, counting: NDArray[np.bool_] | None) -> Pairs:
    """The splits that are listed, of the rows that count."""
    if not isinstance(cv, Iterable):
        raise DefinitionError(_MUST, f"is {quoted(cv)}", where=Setting("cv"))
    places = np.arange(count)
    if counting is not None:
        places = np.where(counting, np.cumsum(counting) - 1, -1)
    pairs = []
    for number, pair in enumerate(cv):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise DefinitionError(_MUST, f"split {number} is {quoted(pair)}", where=Setting("cv"))
        pairs.append(_checked(pair, number, count, places))
    if not pairs:
        raise DefinitionError(_MUST, "lists no split", where=Setting("cv"))
    return pairs


def _checked(pair: Sequence[Any], number: int, count: int, places: IntArray | None = None) -> tuple[IntArray, IntArray]:
    """One split as two sets of rows, apart from each other."""
    places = np.arange(count) if places is None else places
    training, validation = (
        _side(rows, f"{what} rows", number, places) for what, rows in zip(("training", "validation"), pair, strict=True)
    )
    if both := np.intersect1d(training, validation).tolist():
        must = f"must have other training rows than validation rows in split {number}"
        raise DataError(must, plural(len(both), "row is both", "rows are both"), where=Setting("cv"))
    return training, validation


def _side(rows: Any, what: str, number: int, places: IntArray) -> IntArray:
    """The training rows or the validation rows of a split, those of them that count."""
    try:
        chosen = places[np.asarray(rows) if np.size(rows) else np.empty(0, np.intp)]
    except (IndexError, TypeError, ValueError) as error:
        must = f"must have the places of {what} in split {number}"
        raise DataError(must, f"it says: {one_line(error)}", where=Setting("cv")) from error
    chosen = chosen[chosen >= 0].astype(np.intp)
    if chosen.ndim != 1 or not len(chosen) or len(np.unique(chosen)) < len(chosen):
        got = "some stand twice" if chosen.size else "there are none"
        raise DataError(f"must have {what} in split {number}, each once", got, where=Setting("cv"))
    return chosen
