"""The out-of-fold ensemble: each row predicted by the networks that never saw it, averaged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, mean_squared_error, r2_score, roc_auc_score

from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import Split, SplitOptions, make_splits
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import cross_validate
from hpsearch.validation.out_of_fold import ensemble_layout, validated_rows

CONFIG = Config(neurons=6, learning_rate=0.05, epochs=12, evaluate_every=3, init="he", dtype="float64")
several_seeds = pytest.mark.parametrize("seed", range(3))


def rows_of(task: str, seed: int, rows: int = 46) -> Dataset:
    """Three overlapping clouds, or a bent line with noise."""
    draw = np.random.default_rng(seed)
    features = draw.standard_normal((rows, 3))
    if task == "regression":
        return Dataset.of(features, 50 + 9 * np.sin(features[:, 0]) + draw.standard_normal(rows), task="regression")
    labels = draw.permutation(np.arange(rows) % 3)
    return Dataset.of(features + labels[:, np.newaxis], labels)


def by_hand(data: Dataset, splits: tuple[Split, ...], seed: int, epochs: int) -> np.ndarray:
    """The ensemble's predictions, each repeat cross-validated by itself and every row's predictions collected."""
    of_row = defaultdict(list)
    for repeat in range(splits[-1].repeat + 1):
        alone = tuple(split for split in splits if split.repeat == repeat)
        outcome = cross_validate(data, alone, CONFIG.replaced({"epochs": epochs}), seed, rule="last")
        assert outcome.rows is not None
        validated = np.concatenate([split.validation for split in alone])
        for row, predictions in zip(validated, outcome.rows.predictions, strict=True):
            of_row[row].append(predictions)
    return np.stack([np.mean(of_row[row], axis=0) for row in sorted(of_row)])


@several_seeds
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("splitter", ["kfold", "shuffle"])
def test_it_is_the_average_of_the_networks_that_never_saw_the_row(task: str, splitter: str, seed: int) -> None:
    data = rows_of(task, seed)
    splits = make_splits(data, splitter, SplitOptions(3, repeats=3), seed)
    found = cross_validate(data, splits, CONFIG, seed, rule="last", by_ensemble=True)
    assert found.ensemble is not None
    assert found.rows is not None
    expected, rows = by_hand(data, splits, seed, 12), validated_rows(splits)
    # A repeat by itself keeps its predictions in float32 where they are probabilities.
    tolerance = 1e-6 if task == "classification" else 1e-12
    np.testing.assert_allclose(found.rows.predictions, expected, rtol=tolerance, atol=tolerance)
    labels = data.labels[rows]
    if task == "classification":
        assert found.ensemble.loss[-1] == pytest.approx(log_loss(labels, expected), rel=1e-6)
        assert found.ensemble.score == accuracy_score(labels, expected.argmax(axis=1))
    else:
        assert found.ensemble.loss[-1] == pytest.approx(mean_squared_error(labels, expected[:, 0]), rel=1e-12)
        assert found.ensemble.score == pytest.approx(r2_score(labels, expected[:, 0]), rel=1e-12)


@several_seeds
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_averaging_never_loses_more_than_its_networks_do_on_average(task: str, seed: int) -> None:
    data = rows_of(task, seed, rows=45)  # folds of one size: the mean over splits is the mean over rows
    splits = make_splits(data, "kfold", SplitOptions(3, repeats=4), seed)
    found = cross_validate(data, splits, CONFIG, seed, by_ensemble=True)
    assert found.ensemble is not None
    for ensemble, single in zip(found.ensemble.loss, found.curve.means, strict=True):
        assert ensemble < single


@several_seeds
def test_of_one_repeat_it_is_the_networks_themselves(seed: int) -> None:
    data = rows_of("classification", seed, rows=45)
    splits = make_splits(data, "kfold", SplitOptions(3), seed)
    single = cross_validate(data, splits, CONFIG, seed)
    found = cross_validate(data, splits, CONFIG, seed, by_ensemble=True)
    assert found.ensemble is not None
    np.testing.assert_allclose(found.ensemble.objective, single.curve.means, rtol=1e-12)
    assert (found.best_epoch, found.value, found.folds) == (single.best_epoch, single.value, single.folds)


@several_seeds
def test_its_objective_chooses_the_checkpoint_and_not_the_networks_mean(seed: int) -> None:
    data = rows_of("classification", seed)
    splits = make_splits(data, "kfold", SplitOptions(3, repeats=5), seed)
    config = CONFIG.replaced({"epochs": 200, "evaluate_every": 5, "neurons": 24})
    single, found = (cross_validate(data, splits, config, seed, by_ensemble=each) for each in (False, True))
    assert found.ensemble is not None
    assert found.curve == single.curve
    assert found.best_epoch == found.curve.epochs[int(np.argmin(found.ensemble.objective))]
    assert single.best_epoch == single.curve.epochs[int(np.argmin(single.curve.means))]
    assert (found.best_epoch or 0) >= (single.best_epoch or 0)  # averaging takes away what overfitting adds


@several_seeds
@pytest.mark.parametrize("objective", ["macro_f1", "roc_auc", "brier"])
def test_an_objective_of_all_rows_is_that_of_all_rows_together(objective: str, seed: int) -> None:
    data = rows_of("classification", seed, rows=60)
    splits = make_splits(data, "stratified", SplitOptions(3, repeats=2), seed)
    found = cross_validate(data, splits, CONFIG, seed, rule="last", objective=objective, by_ensemble=True)
    expected = by_hand(data, splits, seed, 12).astype(np.float64)
    expected /= expected.sum(axis=1, keepdims=True)
    labels = data.labels
    wanted = {
        "macro_f1": lambda: f1_score(labels, expected.argmax(axis=1), average="macro"),
        "roc_auc": lambda: roc_auc_score(labels, expected, multi_class="ovr"),
        "brier": lambda: np.mean(((expected - np.eye(3)[labels]) ** 2).sum(axis=1)),
    }
    assert found.ensemble is not None
    assert found.rows is not None
    assert found.ensemble.objective[-1] == pytest.approx(wanted[objective](), rel=1e-5)
    assert found.rows.values is not None
    assert found.rows.values.shape[:2] == (4, 60)


@several_seeds
def test_a_row_counts_by_its_weight(seed: int) -> None:
    data = rows_of("classification", seed)
    weights = np.random.default_rng(seed).integers(0, 3, 46).astype(float)
    data = replace(data, weights=weights)
    splits = make_splits(data, "stratified", SplitOptions(3, repeats=2), seed)
    found = cross_validate(data, splits, CONFIG, seed, rule="last", by_ensemble=True)
    assert found.ensemble is not None
    assert found.rows is not None
    assert found.ensemble.loss[-1] == pytest.approx(np.average(found.rows.losses[-1], weights=weights), rel=1e-6)
    layout = ensemble_layout(data, splits, "stratified")
    assert found.rows.losses[-1] @ layout.shares == pytest.approx(found.ensemble.loss[-1], rel=1e-6)
    assert layout.rows.tolist() == list(range(46))
