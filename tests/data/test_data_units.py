"""Rows that belong together are one unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.dataset import Dataset
from hpsearch.data.units import first_of_each, independent_units, numbered, row_keys

several_seeds = pytest.mark.parametrize("seed", range(3))
OTHERS = 40  # rows of their own after those of interest


def dataset(values: list[float], labels: list[int], groups: list[int] | None = None) -> Dataset:
    """Rows with one value in six columns, which do not agree by chance, as there are many other values."""
    other = np.arange(1, OTHERS + 1) + 0.5
    data = Dataset.of(np.tile(np.r_[values, other], (6, 1)).T, np.r_[labels, np.arange(OTHERS) % 2])
    return data if groups is None else replace(data, groups=np.r_[groups, 100 + np.arange(OTHERS)])


def units_of(data: Dataset) -> list[int]:
    """Those of the rows of interest; the others are units of their own."""
    units = independent_units(data).tolist()
    assert len(set(units[-OTHERS:]) - set(units[:-OTHERS])) == OTHERS
    return units[:-OTHERS]


def test_rows_that_differ_are_units_of_their_own() -> None:
    assert units_of(dataset([1.0, 2.0, 3.0], [0, 1, 0])) == [0, 1, 2]


def test_copies_are_one_unit_and_rows_that_agree_but_for_the_target_are_not() -> None:
    assert units_of(dataset([0.0, -0.0, 0.0, 1.0], [0, 0, 1, 1])) == [0, 0, 1, 2]


def test_a_copy_in_another_group_joins_the_two_groups() -> None:
    data = dataset([1.0, 2.0, 2.0, 3.0, 4.0], [0, 1, 1, 0, 1], groups=[7, 7, 3, 3, 5])
    assert units_of(data) == [0, 0, 0, 0, 1]


@several_seeds
def test_rows_of_few_values_that_repeat_each_other_by_chance_are_drawn_again(seed: int) -> None:
    """Three questions with three answers each; the target depends on them, and so do the answers on each other."""
    draw = np.random.default_rng(seed)
    first = draw.integers(3, size=300)
    answers = np.stack([first, (first + (draw.random(300) < 0.5)) % 3, draw.integers(3, size=300)], axis=1)
    data = Dataset.of(answers.astype(float), (draw.random(300) < 0.2 + 0.2 * first).astype(int))
    assert len(first_of_each(data)) < 60
    assert len(np.unique(independent_units(data))) == 300


@several_seeds
def test_rows_of_many_values_are_no_chance(seed: int) -> None:
    """Every row twice, and a class that was drawn again until it was as large as the other."""
    draw = np.random.default_rng(seed)
    features, labels = draw.standard_normal((100, 3)), (np.arange(100) < 20).astype(int)
    data = Dataset.of(features, labels)
    assert len(np.unique(independent_units(data.take(np.tile(np.arange(100), 2))))) == 100
    again = np.r_[np.arange(100), draw.integers(20, size=60)]
    assert len(np.unique(independent_units(data.take(again)))) == 100


@pytest.mark.filterwarnings("error")
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 1)), min_size=2, max_size=30))
def test_units_are_what_a_search_from_row_to_row_reaches(rows: list[tuple[int, int, int]]) -> None:
    """Against a plain flood fill over rows that share a group or are copies."""
    if len({label for *_, label in rows}) < 2:
        return
    values, groups, labels = (list(column) for column in zip(*rows, strict=True))
    units = np.array(units_of(dataset([float(v) for v in values], labels, groups)))
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
    data = Dataset.of(np.array([[x] for x, _ in rows]), np.array([label for _, label in rows]))
    np.testing.assert_array_equal(first_of_each(data), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_missing_value_is_as_good_as_another(dtype: type) -> None:
    column = np.array([np.nan, -np.nan, 0.0, -0.0, 1.0, np.nan], dtype)
    assert numbered(row_keys([column], 6)).tolist() == [0, 0, 1, 1, 2, 0]
