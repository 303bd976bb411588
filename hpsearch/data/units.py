"""Which rows belong together: the units that a sample of rows is drawn by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import IntArray
from hpsearch.data.dataset import Dataset

DEALINGS = 10  # of the values of each column, to see how many rows repeat each other by chance
# Repeated rows below this share are worth a word; from it on they carry the result, unless the columns have so few
# values that rows of independent columns would repeat each other about as often.
MANY = 0.05


def row_keys(features: NDArray[Any]) -> list[bytes]:
    """One key a row of (N, D), equal for equal rows; -0 is 0."""
    return [row.tobytes() for row in np.ascontiguousarray(features + 0.0)]


def labelled_keys(data: Dataset) -> list[bytes]:
    """One key a row, equal for rows that agree in all features and in the target; -0 is 0 here too."""
    return [key + label.tobytes() for key, label in zip(row_keys(data.features), data.labels + 0, strict=True)]


def keys_by_chance(data: Dataset) -> Iterator[list[bytes]]:
    """Keys of as many rows with the same values in each column, which are dealt to the rows at random."""
    draw = np.random.default_rng(0)
    for _ in range(DEALINGS):
        features = np.empty_like(data.features)
        for place in data.columns.places.values():
            features[:, place] = data.features[draw.permutation(data.rows), place]
        yield labelled_keys(replace(data, features=features))


def most_by_chance(shares: Iterable[float]) -> float:
    """What shares of repeated rows by chance hardly ever exceed: three standard deviations above their mean."""
    found = list(shares)
    return min(1.0, float(np.mean(found) + 3 * np.std(found, ddof=1)))


def keys_of_unlike_targets(data: Dataset) -> list[bytes]:
    """Keys that are equal for rows that agree in all features and not in the target; else each row's own."""
    keys, labels = row_keys(data.features), data.labels
    found: dict[bytes, set[float]] = {}
    for key, label in zip(keys, labels.tolist(), strict=True):
        found.setdefault(key, set()).add(label)
    return [key if len(found[key]) > 1 else str(row).encode() for row, key in enumerate(keys)]


def first_of_each(data: Dataset) -> IntArray:
    """The rows, in their order, that repeat no earlier one in all features and the target."""
    return np.unique(_numbered(labelled_keys(data)), return_index=True)[1]


def independent_units(data: Dataset) -> IntArray:
    """The unit of each row, (N,), numbered from 0: rows of one group, and rows that repeat each other, are one unit.

    Rows of different units may be taken as drawn independently; rows of one unit come and go together. Where the
    columns have so few values that rows repeat each other about as often by chance, a row is no copy of its equals: it
    was drawn again.
    """
    keys = labelled_keys(data)
    duplicates = np.arange(data.rows) if _are_chance(data, keys) else _numbered(keys)
    if data.groups is None:
        return duplicates
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = np.unique(data.groups, return_inverse=True)[1]
    # A graph of groups and clusters of duplicates, with an edge a row: what hangs together is one unit.
    count, shape = groups.max() + 1, groups.max() + duplicates.max() + 2
    edges = coo_array((np.ones(data.rows), (groups, count + duplicates)), shape=(shape, shape))
    return _numbered(connected_components(edges, directed=False)[1][groups].tolist())


def _are_chance(data: Dataset, keys: Sequence[bytes]) -> bool:
    """Whether many rows repeat each other, and not many more than by chance."""
    share = _repeated_share(keys)
    return share >= MANY and share - most_by_chance(map(_repeated_share, keys_by_chance(data))) < MANY


def _repeated_share(keys: Sequence[bytes]) -> float:
    """The share of the rows that have an equal."""
    return sum(count for count in Counter(keys).values() if count > 1) / len(keys)


def _numbered(keys: Sequence[Any]) -> IntArray:
    """Equal numbers for equal keys, in the order of their first rows."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)
