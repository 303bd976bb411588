"""A table of labelled rows: checked once, frozen, and known by its fingerprint."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

from hpsearch.data.dataset import Dataset
from hpsearch.errors import DataError

FEATURES = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.5], [0.0, -1.0, 1e-3]]
TARGETS = ["b", "a", "b", "c"]


def table(features: Any = FEATURES, targets: Any = TARGETS, **names: Any) -> Dataset:
    return Dataset.of(features, targets, **names)


def test_a_dataset_cannot_be_changed() -> None:
    data = table()
    for array in (data.features, data.labels, data.take(np.array([0, 1])).features):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(FrozenInstanceError):
        data.features = data.features  # type: ignore[misc]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_dataset_shares_nothing_with_what_it_was_made_of(dtype: Any) -> None:
    features, targets = np.array(FEATURES, dtype), np.array([1, 0, 1, 2])
    data = table(features, targets)
    before = data.features.copy(), data.labels.copy()
    features += 1
    targets += 1
    np.testing.assert_array_equal(data.features, before[0])
    np.testing.assert_array_equal(data.labels, before[1])


@pytest.mark.parametrize(
    ("given", "kept"), [(np.float32, np.float32), (np.float64, np.float64), (np.int64, np.float64), (bool, np.float64)]
)
def test_features_keep_single_precision_and_become_double_otherwise(given: Any, kept: Any) -> None:
    features = np.array([[0, 1], [1, 0], [1, 1], [0, 0]], given)
    data = table(features)
    assert data.features.dtype == kept
    np.testing.assert_array_equal(data.features, features)


@pytest.mark.parametrize(
    ("targets", "names", "labels"),
    [
        ([10, 9, -1, 9], ("-1", "9", "10"), [2, 1, 0, 1]),
        ([2.0, 1.0, 2.0, 2.0], ("1", "2"), [1, 0, 1, 1]),
        (["b", "a", "b", "c"], ("a", "b", "c"), [1, 0, 1, 2]),
        ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
        (np.array(["b", "a", "b", "c"], object), ("a", "b", "c"), [1, 0, 1, 2]),
        ([[1], [0], [1], [1]], ("0", "1"), [1, 0, 1, 1]),
        ([[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], ("0", "1", "2"), [1, 0, 1, 2]),
        ([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], ("0", "1"), [1, 0, 1, 1]),
    ],
    ids=["integers", "whole floats", "text", "booleans", "objects", "one column", "one-hot", "one-hot floats"],
)
def test_labels_are_places_in_the_sorted_classes(targets: Any, names: tuple[str, ...], labels: list[int]) -> None:
    data = table(targets=targets)
    assert (data.class_names, data.labels.tolist()) == (names, labels)


def test_names_are_as_given_or_numbered() -> None:
    assert table().feature_names == ("x1", "x2", "x3")
    data = table(feature_names=["u", "v", "w"], class_names=["A", "B", "C"], target_name="kind")
    assert (data.feature_names, data.class_names, data.target_name) == (("u", "v", "w"), ("A", "B", "C"), "kind")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("column", range(3))
def test_a_value_that_is_not_finite_is_refused_naming_its_row_and_column(value: float, row: int, column: int) -> None:
    features = np.array(FEATURES)
    features[row, column] = value
    with pytest.raises(DataError, match=rf"row {row}, column '{'uvw'[column]}' is {value}\."):
        table(features, feature_names=["u", "v", "w"])


@pytest.mark.parametrize(
    ("features", "targets", "words"),
    [
        ([1.0, 2.0, 3.0, 4.0], TARGETS, "rows and columns"),
        ([[[1.0]]] * 4, TARGETS, "rows and columns"),
        (np.zeros((0, 3)), [], "rows and columns"),
        (np.zeros((4, 0)), TARGETS, "rows and columns"),
        ([["x"]] * 4, TARGETS, "must be numbers"),
        ([[1.0], [2.0, 3.0]], ["a", "b"], "must be numbers"),
        (FEATURES, ["a", "b"], "4 rows"),
        (FEATURES, 3, "4 rows"),
        (FEATURES, ["a"] * 4, "two classes, but every target is 'a'"),
        (FEATURES, [0.5, 1, 0, 1], "whole numbers"),
        (FEATURES, [np.nan, 1, 0, 1], "nan"),
        (FEATURES, [None, "a", "b", "a"], "missing"),
        (FEATURES, [[1, 1], [1, 0], [0, 1], [0, 1]], "one-hot"),
        (FEATURES, [[0, 0], [1, 0], [0, 1], [0, 1]], "one-hot"),
        (FEATURES, [[2, 0], [1, 0], [0, 1], [0, 1]], "one-hot"),
    ],
    ids=str,
)
def test_what_is_no_table_of_labelled_rows_is_refused(features: Any, targets: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        table(features, targets)
    assert "\n" not in str(caught.value)


def test_as_many_names_as_columns_are_needed() -> None:
    with pytest.raises(DataError, match="3 features need as many names, but got 2"):
        table(feature_names=["u", "v"])


# --- the fingerprint


def variants() -> dict[str, Dataset]:
    """Every way to be another table by a hair."""
    data, features = table(), np.array(FEATURES)
    several: dict[str, Dataset] = {}
    for row, column in np.ndindex(features.shape):
        changed = features.copy()
        changed[row, column] = np.nextafter(changed[row, column], np.inf)
        several[f"value {row}, {column}"] = table(changed)
    for row in range(4):
        several[f"label {row}"] = table(targets=[*TARGETS[:row], "d", *TARGETS[row + 1 :]])
    several["two labels swapped"] = table(targets=["a", "b", "b", "c"])
    several["rows in another order"] = data.take(np.array([1, 0, 2, 3]))
    several["columns in another order"] = table(features[:, ::-1])
    several["a row less"] = data.take(np.array([0, 1, 2]))
    several["another shape of the same bytes"] = Dataset(
        features.reshape(4, 3)[:, :].reshape(2, 6), data.labels, data.feature_names, data.class_names
    )
    several["single precision"] = table(features.astype(np.float32))
    several["a feature's name"] = table(feature_names=["x1", "x2", "x"])
    several["names that run together"] = table(feature_names=["x1x", "2", "x3"])
    several["a class's name"] = replace(data, class_names=("a", "b", "x"))
    several["the target's name"] = table(target_name="kind")
    return several


@pytest.mark.parametrize("name", variants())
def test_the_fingerprint_changes_with_everything(name: str) -> None:
    several = {"the table": table(), **variants()}
    same = [other for other in several if several[other].fingerprint == several[name].fingerprint]
    assert same == [name]


@pytest.mark.parametrize(
    "features",
    [FEATURES, np.array(FEATURES), np.asfortranarray(FEATURES), np.repeat(FEATURES, 2, axis=1)[:, ::2]],
    ids=["lists", "array", "columns first", "strided"],
)
def test_the_fingerprint_does_not_change_with_how_the_same_table_is_held(features: Any) -> None:
    other = table(features, np.array(TARGETS, object))
    assert other.fingerprint == table().fingerprint
    assert other.take(np.arange(4)).fingerprint == table().fingerprint
