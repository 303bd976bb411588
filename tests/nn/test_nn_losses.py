"""Targets, softmax and cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from numpy.typing import NDArray

from hpsearch.nn.losses import class_labels, cross_entropy, one_hot, softmax, weighted_mean

pytestmark = pytest.mark.usefixtures("each_kernels")

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LABELS = [2, 0, 1, 1, 2]


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float64, list])
@pytest.mark.parametrize("one_hot_rows", [False, True])
def test_integer_and_one_hot_targets_give_the_same_labels(kind: Any, one_hot_rows: bool) -> None:
    given = np.eye(3, dtype=int)[LABELS] if one_hot_rows else np.array(LABELS)
    labels = class_labels(given.tolist() if kind is list else given.astype(kind), 3)
    assert labels.tolist() == LABELS
    assert labels.dtype == np.intp


@pytest.mark.parametrize(
    "targets",
    [
        [0, 3],
        [-1, 0],
        [0.5, 1],
        [np.inf, 0],
        [np.nan, 0],
        1,
        [[1, 0]],
        [[1, 0, 0, 0]],
        [[1, 1, 0]],
        [[0, 0, 0]],
        [[2, 0, -1]],
        [[0.5, 0.5, 0]],
        [[np.nan, 1, 0]],
        [[[1, 0, 0]]],
    ],
    ids=str,
)
def test_targets_that_are_neither_labels_nor_one_hot_are_refused(targets: Any) -> None:
    with pytest.raises(ValueError, match="targets must"):
        class_labels(targets, 3)


@pytest.mark.parametrize(
    "given", [np.array(LABELS), np.array(LABELS, np.uint8), np.eye(3)[LABELS]], ids=["int", "uint8", "one-hot"]
)
def test_targets_are_not_modified(given: NDArray[Any]) -> None:
    before = given.copy()
    labels = class_labels(given, 3)
    targets = np.empty((1, 3, len(given)))
    one_hot(labels[np.newaxis], 3, targets)
    probabilities = np.full_like(targets, 1 / 3)
    cross_entropy(probabilities, targets)
    labels[:] = -9  # not even through the prediction
    assert np.array_equal(given, before)


@each_dtype
def test_one_hot_marks_each_rows_class_and_nothing_else(dtype: Any) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (3, 10))
    out = np.full((3, 4, 10), np.nan, dtype)
    one_hot(labels, 4, out)
    assert np.array_equal(out.swapaxes(1, 2), np.eye(4)[labels])


@each_dtype
@pytest.mark.parametrize("seed", range(3))
def test_softmax_is_scipys(seed: int, dtype: Any) -> None:
    logits = (10 * np.random.default_rng(seed).standard_normal((3, 5, 20))).astype(dtype)
    expected = scipy.special.softmax(logits.astype(np.float64), axis=1)
    softmax(logits)
    # The difference of logits up to 50 is rounded once, which its exponential repeats as a relative error.
    np.testing.assert_allclose(logits, expected, rtol=100 * np.finfo(dtype).eps)
    np.testing.assert_allclose(logits.sum(axis=1), 1, rtol=4 * np.finfo(dtype).eps)


@each_dtype
def test_softmax_takes_large_logits(dtype: Any) -> None:
    logits = np.array([[1e4, 1e4, -1e4], [-1e30, -1e30, -1e30], [0.0, 1e30, -1e30]], dtype)[:, :, np.newaxis]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        softmax(logits)
    assert logits[0].ravel().tolist() == [0.5, 0.5, 0]
    np.testing.assert_allclose(logits[1], 1 / 3, rtol=np.finfo(dtype).eps)
    assert logits[2].ravel().tolist() == [0, 1, 0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_mean_loss_of_softmax_is_scikit_learns_log_loss(classes: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    logits, labels = 2 * draw.standard_normal((2, classes, 40)), draw.integers(0, classes, (2, 40))
    expected = [
        sklearn.metrics.log_loss(of_lane, scipy.special.softmax(values.T, axis=1), labels=range(classes))
        for of_lane, values in zip(labels, logits, strict=True)
    ]
    targets = np.empty_like(logits)
    one_hot(labels, classes, targets)
    softmax(logits)
    mean = weighted_mean(cross_entropy(logits, targets), np.full((2, 40), 1 / 40))
    np.testing.assert_allclose(mean, expected, rtol=1e-13)  # sums of 40 numbers in another order


@each_dtype
def test_a_certain_mistake_costs_16_nats_and_never_more(dtype: Any) -> None:
    true = np.array([0.0, 1e-30, 1e-8, 1e-7, 2e-7, 0.5, 1.0], dtype)
    probabilities = np.stack([true, 1 - true])[np.newaxis]
    targets = np.stack([np.ones_like(true), np.zeros_like(true)])[np.newaxis]
    losses = cross_entropy(probabilities, targets)[0]
    assert losses.dtype == np.float64
    # 1e-7 and 1 - 1e-7 in float32 are off by 6e-8 at most, relatively.
    np.testing.assert_allclose(losses[:4], 16.118095651, rtol=0, atol=1e-6)
    assert losses.max() == losses[0]
    np.testing.assert_allclose(losses[4:6], [15.424948470, 0.693147181], rtol=0, atol=1e-6)
    assert 0 < losses[6] < 2e-7


def test_the_data_loss_is_the_mean_over_each_lanes_rows() -> None:
    losses = np.array([[1.0, 2.0, 6.0, 50.0], [4.0, 6.0, 70.0, 80.0]])
    weights = np.array([[1 / 3, 1 / 3, 1 / 3, 0], [0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(weighted_mean(losses, weights), [3, 5], rtol=1e-15)


@each_dtype
def test_a_row_whose_probabilities_are_nan_has_a_loss_of_nan(dtype: Any) -> None:
    probabilities, targets = np.full((1, 2, 3), 0.5, dtype), np.zeros((1, 2, 3), dtype)
    targets[0, 0] = 1
    probabilities[0, 1, 2] = np.nan  # even when another class is the true one
    losses = cross_entropy(probabilities, targets)
    assert np.isnan(losses).tolist() == [[False, False, True]]
    assert np.isnan(weighted_mean(losses, np.full((1, 3), 1 / 3))).all()
