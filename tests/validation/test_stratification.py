"""What equal shares of the classes do to a log loss: in the two extremes exactly, and on average as promised."""

from __future__ import annotations

import numpy as np
import pytest

from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import SplitOptions, make_splits
from hpsearch.validation.stratification import stratified_optimism


@pytest.mark.parametrize("counts", [(20, 20), (5, 70), (10, 20, 30), (3, 3, 3, 80)])
def test_a_model_that_knows_the_shares_alone_gains_one_over_n_for_each_and_a_perfect_one_nothing(
    counts: tuple[int, ...],
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    shares = np.tile(np.array(counts) / len(labels), (len(labels), 1))
    assert stratified_optimism(labels, shares, len(labels)) == pytest.approx((len(counts) - 1) / len(labels))
    twice = np.tile(labels, 2), np.tile(shares, (2, 1)), len(labels)  # two repeats of the folds
    assert stratified_optimism(*twice) == pytest.approx((len(counts) - 1) / len(labels))
    assert stratified_optimism(labels, np.eye(len(counts))[labels], len(labels)) == pytest.approx(0)


@pytest.mark.parametrize("seed", range(3))
def test_it_does_not_depend_on_the_order_of_the_classes(seed: int) -> None:
    draw = np.random.default_rng(seed)
    labels, predictions = np.arange(60) % 4, draw.dirichlet(np.ones(4), 60)
    order = draw.permutation(4)
    assert stratified_optimism(labels, predictions, 60) == pytest.approx(
        stratified_optimism(np.argsort(order)[labels], predictions[:, order], 60)
    )


def test_two_classes_lose_the_unexplained_share_of_the_variance() -> None:
    draw = np.random.default_rng(0)
    labels, p = draw.integers(2, size=80), draw.random(80)
    share = labels.mean()
    expected = (p * (1 - p)).mean() / (share * (1 - share)) / 80
    assert stratified_optimism(labels, np.column_stack([1 - p, p]), 80) == pytest.approx(expected)


def test_stratified_folds_are_too_good_by_that_much_and_plain_ones_are_not() -> None:
    """Of a model of the shares alone, whose truth is known exactly."""
    errors: dict[str, list[float]] = {"stratified": [], "kfold": []}
    corrections = []
    for seed in range(600):
        draw = np.random.default_rng(seed)
        labels = (draw.random(60) < 0.45).astype(np.intp)
        data = Dataset(np.zeros((60, 1)), labels, ("x",), ("a", "b"))
        for splitter, found in errors.items():
            predictions, trained = np.empty((60, 2)), []
            for split in make_splits(data, splitter, SplitOptions(10), seed):
                share = labels[split.training].mean()
                predictions[split.validation] = 1 - share, share
                trained.append(-0.45 * np.log(share) - 0.55 * np.log(1 - share))  # on new rows
            found.append(-np.log(predictions[np.arange(60), labels]).mean() - float(np.mean(trained)))
            if splitter == "stratified":
                corrections.append(stratified_optimism(labels, predictions, 60))
    error = np.std(errors["stratified"]) / np.sqrt(600)
    assert np.mean(errors["stratified"]) < -4 * error
    assert abs(np.mean(errors["stratified"]) + np.mean(corrections)) < 3 * error + 0.1 * np.mean(corrections)
    assert abs(np.mean(errors["kfold"])) < 3 * np.std(errors["kfold"]) / np.sqrt(600)
