"""Rows that belong together are one unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.dataset import Dataset
from hpsearch.data.units import first_of_each, independent_units


def dataset(features: list[list[float]], labels: list[int], groups: list[int] | None = None) -> Dataset:
    data = Dataset.of(np.array(features), np.array(labels))
    return data if groups is None else replace(data, groups=np.array(groups))


def test_rows_that_differ_are_units_of_their_own() -> None:
    assert independent_units(dataset([[1.0], [2.0], [3.0]], [0, 1, 0])).tolist() == [0, 1, 2]


def test_copies_are_one_unit_and_rows_that_agree_but_for_the_target_are_not() -> None:
    units = independent_units(dataset([[0.0], [-0.0], [0.0], [1.0]], [0, 0, 1, 1]))
    assert units.tolist() == [0, 0, 1, 2]


def test_a_copy_in_another_group_joins_the_two_groups() -> None:
    features = [[1.0], [2.0], [2.0], [3.0], [4.0]]
    units = independent_units(dataset(features, [0, 1, 1, 0, 1], groups=[7, 7, 3, 3, 5]))
    assert units.tolist() == [0, 0, 0, 0, 1]


@pytest.mark.filterwarnings("error")
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 1)), min_size=2, max_size=30))
def test_units_are_what_a_search_from_row_to_row_reaches(rows: list[tuple[int, int, int]]) -> None:
    """Against a plain flood fill over rows that share a group or are copies."""
    if len({label for *_, label in rows}) < 2:
        return
    values, groups, labels = (list(column) for column in zip(*rows, strict=True))
    units = independent_units(dataset([[float(v)] for v in values], labels, groups))
    reached = [-1] * len(rows)
    for start in range(len(rows)):
        frontier = [start] if reached[start] < 0 else []
        while frontier:
            row = frontier.pop()
            if reached[row] >= 0:
                continue
            reached[row] = start
            frontier += [
                other
                for other in range(len(rows))
                if groups[other] == groups[row] or (values[other], labels[other]) == (values[row], labels[row])
            ]
    assert np.array_equal(units[:, np.newaxis] == units, np.equal.outer(reached, reached))
    assert set(units.tolist()) == set(range(units.max() + 1))


@given(st.lists(st.tuples(st.sampled_from([-0.0, 0.0, 1.0, 2.0]), st.integers(0, 1)), min_size=2))
def test_the_first_of_each_is_what_pandas_keeps(rows: list[tuple[float, int]]) -> None:
    rows = [*rows, (3.0, 0), (3.0, 1)]  # two classes
    expected = pd.DataFrame(rows).drop_duplicates().index
    data = dataset([[x] for x, _ in rows], [label for _, label in rows])
    np.testing.assert_array_equal(first_of_each(data), expected)
