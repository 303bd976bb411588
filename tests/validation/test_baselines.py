"""Baselines: fitted on training rows alone, as scikit-learn fits them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import Split, SplitOptions, make_splits
from hpsearch.validation.baselines import BASELINES, predict_out_of_fold
from hpsearch.validation.config import Config
from hpsearch.validation.metrics import METRICS

SEEDS = [0, 1, 2]


def rows_of(task: str, seed: int, count: int = 90) -> Dataset:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(count, 3)) * [1, 100, 0.01] + [0, 5, 1]
    score = features[:, 0] + features[:, 1] / 100 + draw.normal(0, 0.5, count)
    if task == "regression":
        return Dataset.of(features, 50 + 10 * score, task="regression")
    return Dataset.of(features, np.digitize(score, [-0.7, 0.7]), class_names=("low", "middle", "high"))


def splits_of(data: Dataset, seed: int) -> tuple[Split, ...]:
    return make_splits(data, "kfold", SplitOptions(n_splits=3), seed)


TREES = {
    "classification": HistGradientBoostingClassifier(random_state=0),
    "regression": HistGradientBoostingRegressor(random_state=0),
}


@pytest.mark.parametrize(
    ("name", "task", "model", "seed"),
    [
        *(("linear", "classification", LogisticRegression(max_iter=1000), seed) for seed in SEEDS),
        *(("linear", "regression", Ridge(), seed) for seed in SEEDS),
        *(("trees", task, trees, SEEDS[0]) for task, trees in TREES.items()),
        *(
            pytest.param("trees", task, trees, seed, marks=pytest.mark.campaign)
            for task, trees in TREES.items()
            for seed in SEEDS[1:]
        ),
    ],
)
def test_a_model_predicts_what_scikit_learn_s_pipeline_does(name: str, task: str, model: object, seed: int) -> None:
    data = rows_of(task, seed)
    splits = splits_of(data, seed)
    pipeline = make_pipeline(StandardScaler(), model)
    expected = []
    for split in splits:
        pipeline.fit(data.features[split.training], data.labels[split.training])
        new = data.features[split.validation]
        known = pipeline.predict_proba(new) if task == "classification" else pipeline.predict(new)[:, np.newaxis]
        expected.append(known)
    found = predict_out_of_fold(BASELINES[name], data, splits, Config())
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_validation_rows_have_no_influence_and_the_same_comes_twice(name: str, task: str) -> None:
    data = rows_of(task, 5)
    splits = splits_of(data, 5)[:1]
    labels = data.labels.copy()
    labels[splits[0].validation] = labels[splits[0].validation][::-1]
    first, again, other = (
        predict_out_of_fold(BASELINES[name], rows, splits, Config())
        for rows in (data, data, replace(data, labels=labels))
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, other)
    assert first.shape == (len(splits[0].validation), 3 if task == "classification" else 1)
    if task == "classification":
        np.testing.assert_allclose(first.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error", "absolute_error"])
def test_no_constant_loses_less_on_the_training_rows(loss: str, seed: int) -> None:
    """With rows that count differently; against constants near it."""
    task = "classification" if loss == "cross_entropy" else "regression"
    draw = np.random.default_rng(seed)
    data = replace(rows_of(task, seed), weights=draw.integers(0, 4, 90).astype(np.float64))
    split = splits_of(data, seed)[0]
    metric = METRICS[{"cross_entropy": "log_loss", "squared_error": "mse", "absolute_error": "mae"}[loss]]
    own, labels = data.weights[split.training], data.labels[split.training]
    one = predict_out_of_fold(BASELINES["constant"], data, [split], Config(loss=loss))[:1].astype(np.float64)

    def lost(prediction: np.ndarray) -> float:
        return metric.score(labels, np.tile(prediction, (len(labels), 1)), len(data.class_names), own)

    for _ in range(20):
        near = one * draw.uniform(0.9, 1.1, one.shape)
        assert lost(one) <= lost(near / near.sum() if task == "classification" else near) + 1e-9


def test_a_row_of_weight_2_counts_as_two_rows_and_one_of_weight_0_as_none() -> None:
    data = rows_of("regression", 3)
    (split, *_), draw = splits_of(data, 3), np.random.default_rng(3)
    counts = draw.integers(0, 3, data.rows)
    counts[split.validation] = 1
    copies = np.repeat(np.arange(data.rows), counts)
    repeated = Dataset.of(data.features[copies], data.labels[copies], task="regression")
    validated = np.isin(copies, split.validation)
    again = Split(0, 0, np.flatnonzero(~validated), np.flatnonzero(validated))
    weighted = replace(data, weights=counts.astype(np.float64))
    for name in ("constant", "linear"):  # the trees' smallest leaf is counted in rows, whatever their weights
        found = predict_out_of_fold(BASELINES[name], weighted, [split], Config())
        np.testing.assert_allclose(found, predict_out_of_fold(BASELINES[name], repeated, [again], Config()), rtol=1e-9)


@pytest.mark.parametrize("name", ["linear", "trees"])
@pytest.mark.parametrize("present", [1, 2])
def test_a_class_without_training_rows_is_possible(name: str, present: int) -> None:
    data = rows_of("classification", 4)
    training = np.flatnonzero(data.labels < present)
    validation = np.flatnonzero(data.labels >= present)
    found = predict_out_of_fold(BASELINES[name], data, [Split(0, 0, training, validation)], Config())
    if present == 2:
        assert (found[:, 2] > 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


def test_the_weights_of_classes_are_those_of_the_networks_loss() -> None:
    data = rows_of("classification", 6)
    split = splits_of(data, 6)[0]
    scaler = StandardScaler().fit(data.features[split.training])
    model = LogisticRegression(max_iter=1000, class_weight="balanced")
    model.fit(scaler.transform(data.features[split.training]), data.labels[split.training])
    expected = model.predict_proba(scaler.transform(data.features[split.validation]))
    found = predict_out_of_fold(BASELINES["linear"], data, [split], Config(class_weight="balanced"))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_every_baseline_says_what_it_is_and_takes_longer_on_more() -> None:
    for baseline in BASELINES.values():
        assert baseline.title("classification", "cross_entropy")
        assert baseline.title("regression", "squared_error")
        sizes = [(100, 3, 2), (1000, 3, 2), (1000, 30, 2), (1000, 30, 5)]
        seconds = [baseline.seconds(*size) for size in sizes]
        assert seconds == sorted(seconds)
    assert BASELINES["constant"].title("regression", "absolute_error") == "median"
