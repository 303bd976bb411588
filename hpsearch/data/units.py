"""Which rows belong together: the units that a sample of rows is drawn by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import IntArray
from hpsearch.data.dataset import Dataset

DEALINGS = 10  # of the values of each column, to see how many rows repeat each other by chance
# Repeated rows below this share are worth a word; from it on they carry the result, unless the columns have so few
# values that rows of independent columns would repeat each other about as often.
MANY = 0.05


Keys = NDArray[np.uint64]  # (N, 2): 128 bits a row


def row_keys(columns: Iterable[NDArray[Any]], rows: int) -> Keys:
    """One key a row of a table, from its columns (N,): equal for equal rows; -0 is 0, and nan is nan.

    Both halves are sums over columns of mixed bits, by the finaliser of SplitMix64 (Steele, Lea & Flood 2014, "Fast
    splittable pseudorandom number generators"). That two rows of a million which differ have one key has a probability
    below 1e-26.
    """
    keys = np.zeros((2, rows), np.uint64)
    for number, column in enumerate(columns):
        values = np.asarray(column + 0)
        if values.dtype.kind == "f":
            values[np.isnan(values)] = np.nan  # there are several
        bits = values.view(f"u{values.itemsize}").astype(np.uint64)
        for half, key in enumerate(keys):
            key += _mixed(bits + np.uint64((_GAMMA * (2 * number + half + 1)) % 2**64))
    return np.ascontiguousarray(keys.T)


_GAMMA = 0x9E3779B97F4A7C15


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Other bits, each of which depends on all of these; written over them."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits ^= bits >> np.uint64(shift)
        bits *= np.uint64(factor)
    bits ^= bits >> np.uint64(31)
    return bits


def labelled_keys(data: Dataset) -> Keys:
    """One key a row, equal for rows that agree in all features and in the target."""
    return row_keys([*data.features.T, data.labels], data.rows)


def keys_by_chance(*tables: Dataset) -> Iterator[Keys]:
    """Keys of as many rows with the same values in each column, which are dealt to the rows of all tables at random."""
    first, rows = tables[0], sum(data.rows for data in tables)
    draw, labels = np.random.default_rng(0), np.concatenate([data.labels for data in tables])
    for _ in range(DEALINGS):

        def dealt() -> Iterator[NDArray[Any]]:
            for place in first.columns.places.values():
                order = draw.permutation(rows)
                yield from np.concatenate([data.features[:, place] for data in tables])[order].T

        yield row_keys(chain(dealt(), [labels]), rows)


def most_by_chance(shares: Iterable[float]) -> float:
    """What shares of repeated rows by chance hardly ever exceed: three standard deviations above their mean."""
    found = list(shares)
    return min(1.0, float(np.mean(found) + 3 * np.std(found, ddof=1)))


def numbers_of_unlike_targets(data: Dataset) -> IntArray:
    """Numbers that are equal for rows that agree in all features and not in the target; else each row's own."""
    numbers = numbered(row_keys(data.features.T, data.rows))
    _, labels = np.unique(data.labels, return_inverse=True)
    pairs = np.unique(numbers * (labels.max() + 1) + labels) // (labels.max() + 1)
    unlike = np.bincount(pairs)[numbers] > 1
    return np.where(unlike, numbers, numbers.max() + 1 + np.arange(data.rows))


def first_of_each(data: Dataset) -> IntArray:
    """The rows, in their order, that repeat no earlier one in all features and the target."""
    return np.unique(numbered(labelled_keys(data)), return_index=True)[1]


def independent_units(data: Dataset) -> IntArray:
    """The unit of each row, (N,), numbered from 0: rows of one group, and rows that repeat each other, are one unit.

    Rows of different units may be taken as drawn independently; rows of one unit come and go together. Where the
    columns have so few values that rows repeat each other about as often by chance, a row is no copy of its equals: it
    was drawn again.
    """
    duplicates = numbered(labelled_keys(data))
    if _are_chance(data, duplicates):
        duplicates = np.arange(data.rows)
    if data.groups is None:
        return duplicates
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = np.unique(data.groups, return_inverse=True)[1]
    # A graph of groups and clusters of duplicates, with an edge a row: what hangs together is one unit.
    count, shape = groups.max() + 1, groups.max() + duplicates.max() + 2
    edges = coo_array((np.ones(data.rows), (groups, count + duplicates)), shape=(shape, shape))
    return numbered(connected_components(edges, directed=False)[1][groups])


def _are_chance(data: Dataset, numbers: IntArray) -> bool:
    """Whether many rows repeat each other, and not many more than by chance; those of equal numbers do."""
    share = _repeated_share(numbers)
    by_chance = (_repeated_share(numbered(keys)) for keys in keys_by_chance(data))
    return share >= MANY and share - most_by_chance(by_chance) < MANY


def _repeated_share(numbers: IntArray) -> float:
    """The share of the rows that have an equal."""
    counts = np.bincount(numbers)
    return int(counts[counts > 1].sum()) / len(numbers)


def numbered(keys: NDArray[Any]) -> IntArray:
    """Equal numbers for equal keys, (N,) or (N, parts), in the order of their first rows."""
    parts = np.atleast_2d(keys.T)
    order = np.lexsort(parts)  # stable: of equal keys the first comes first
    begins = np.ones(len(keys), bool)
    begins[1:] = (np.diff(parts[:, order], axis=1) != 0).any(axis=0)
    first = order[begins]
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    numbers = np.empty(len(keys), np.intp)
    numbers[order] = rank[np.cumsum(begins) - 1]
    return numbers
