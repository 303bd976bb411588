"""A network as an estimator: one lane of the core, and scikit-learn's manners."""

from __future__ import annotations

import doctest
import inspect
import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hpsearch
from hpsearch.data.dataset import Dataset
from hpsearch.data.target_scaling import TARGET_SCALINGS
from hpsearch.model.fit import set_aside
from hpsearch.model.retrain import fit_prepared
from hpsearch.nn.optimizers import OPTIMIZERS
from hpsearch.search.objective import divide
from hpsearch.validation.config import Config

X, Y = load_iris(return_X_y=True)
FAST: dict[str, Any] = {"neurons": 6, "epochs": 20, "learning_rate": 0.05, "random_state": 3}
FAST |= {"batch_size": "full", "weight_l2": 0.0}  # in mini-batches a row of weight two is not two rows
# An estimator's own: with those of [train], 1,000 epochs of all rows without a penalty, it overfits.
OWN_DEFAULTS = {"batch_size": 32, "epochs": 100, "learning_rate": 0.001, "weight_l2": 0.001, "dtype": None}

each_batching = pytest.mark.parametrize("batch_size", ["full", 11])
each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def network(**parameters: Any) -> hpsearch.MLPClassifier:
    return hpsearch.MLPClassifier(**{**FAST, **parameters})


def assert_same_network(one: Any, other: Any) -> None:
    assert one.bundle_.parameters.tobytes() == other.bundle_.parameters.tobytes()
    np.testing.assert_array_equal(one.bundle_.scaling.centre, other.bundle_.scaling.centre)
    np.testing.assert_array_equal(one.bundle_.scaling.scale, other.bundle_.scaling.scale)


# --- parameters


def test_the_hyperparameters_are_those_of_a_study_file_with_their_defaults() -> None:
    parameters = inspect.signature(hpsearch.MLPClassifier).parameters
    defaults = {name: field.default for name, field in Config.model_fields.items() if name != "target_scaling"}
    assert {name: parameters[name].default for name in defaults} == defaults | OWN_DEFAULTS


@pytest.mark.parametrize("seed", [0, 1])
def test_the_defaults_do_not_overfit(seed: int) -> None:
    """With 1,000 epochs of all rows without a penalty the loss was three times that of the class shares."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(400, 7))
    share = 1 / (1 + np.exp(-1.5 * features[:, 0] - features[:, 1]))
    labels = (draw.random(400) < share).astype(int)
    fitted = hpsearch.MLPClassifier(random_state=seed).fit(features[:200], labels[:200])
    ours, best, shares = (
        -np.log(np.where(labels[200:], of_ones, 1 - of_ones)).mean()
        for of_ones in (fitted.predict_proba(features[200:])[:, 1], share[200:], np.full(200, labels[:200].mean()))
    )
    assert ours < (best + shares) / 2
    targets = features[:, 0] + 0.5 * features[:, 1] + draw.normal(size=400)
    regressor = hpsearch.MLPRegressor(random_state=seed).fit(features[:200], targets[:200])
    assert regressor.score(features[200:], targets[200:]) > 0.4


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"neurons": 0}, "MLPClassifier: neurons must be an integer from 1 to 1,000,000, or a list of them, but is 0."),
        ({"learning_rate": -1.0}, "MLPClassifier: learning_rate must be at least 1e-30, but is -1.0."),
        ({"optimizer": "adm"}, "MLPClassifier: Unknown optimizer 'adm'. Choose one of: adagrad, adam, rmsprop, sgd. "),
        ({"neurons": [4, 4], "hidden_layers": 3}, "MLPClassifier: neurons must have one value a hidden layer: 3"),
        ({"class_weight": {7: 2.0}}, "class_weight must name classes of the data, but '7' is none."),
        (
            {"early_stopping": True, "validation_fraction": 1.5},
            "MLPClassifier: validation_fraction must be a number ab",
        ),
        ({"early_stopping": True, "n_iter_no_change": 0}, "MLPClassifier: n_iter_no_change must be a number at l"),
        ({"early_stopping": True, "tol": -1e-3}, "MLPClassifier: tol must be a number at least 0, but is -0.001."),
        ({"early_stopping": True, "tol": "1"}, "MLPClassifier: tol must be a number at least 0, but is '1'."),
    ],
)
def test_a_wrong_parameter_is_refused_in_one_line_when_it_is_used(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(hpsearch.HpsearchError) as caught:
        network(**parameters).fit(X, Y)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_numpys_numbers_are_numbers() -> None:
    """As a randomised search sets them."""
    given = {"neurons": np.int64(6), "learning_rate": np.float64(0.05), "epochs": np.int32(20)}
    assert_same_network(network(**given).fit(X, Y), network().fit(X, Y))
    assert_same_network(network(neurons=np.array([6, 4])).fit(X, Y), network(neurons=(6, 4)).fit(X, Y))


# --- one lane of the core


@each_batching
@each_optimizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("members", [1, 3])
def test_a_fit_has_the_bits_of_a_retrained_study(members: int, optimizer: str, batch_size: Any, dtype: str) -> None:
    train = {"neurons": [6, 4], "epochs": 20, "optimizer": optimizer, "batch_size": batch_size, "dtype": dtype}
    train |= {"learning_rate": 0.03, "decay": 1e-2, "weight_l2": 1e-3, "class_weight": "balanced", "init": "he"}
    raw = {"study": {"name": "x", "seed": 3}, "data": {"source": "memory"}, "train": train}
    definition = hpsearch.StudyDefinition.from_mapping(raw | {"retrain": {"members": members}}, Path())
    bundle = fit_prepared(divide(definition, Dataset.of(X, Y), None), definition.train)
    fitted = hpsearch.MLPClassifier(members=members, random_state=3).set_params(**train).fit(X, Y)
    assert fitted.bundle_.parameters.tobytes() == bundle.parameters.tobytes()
    assert fitted.predict_proba(X).tobytes() == bundle.predictions(X).tobytes()


@pytest.mark.parametrize(
    ("rows", "trained"),
    [
        (X, "float64"),
        (X.astype(np.float32), "float32"),
        (X.astype(np.float16), "float64"),
        (X.round().astype(int), "float64"),
        (pd.DataFrame(X.astype(np.float32)), "float32"),
        (pd.DataFrame(X), "float64"),
    ],
    ids=lambda rows: str(getattr(rows, "dtype", "")),
)
def test_the_number_type_of_the_rows_is_that_of_the_training(rows: Any, trained: str) -> None:
    """As it is in scikit-learn; a type that is set is that of any rows."""
    follows = network().fit(rows, Y)
    assert_same_network(follows, network(dtype=trained).fit(rows, Y))
    assert follows.get_params()["dtype"] is None
    assert follows.bundle_.architecture.dtype.name == trained
    assert follows.predict_proba(X).dtype.name == follows.predict_proba(rows).dtype.name == trained
    other = {"float32": "float64", "float64": "float32"}[trained]
    assert network(dtype=other).fit(rows, Y).coefs_[0].dtype.name == other


@pytest.mark.parametrize(("first", "trained"), [(np.float32, "float32"), (np.float64, "float64")])
def test_what_goes_on_goes_on_in_the_type_that_it_began_in(first: Any, trained: str) -> None:
    going = network().partial_fit(X.astype(first), Y, classes=[0, 1, 2])
    for of_rows in (np.float32, np.float64):
        going.partial_fit(X.astype(of_rows), Y)
        assert going.bundle_.architecture.dtype.name == trained


def test_a_saved_network_keeps_its_number_type(tmp_path: Path) -> None:
    for of_rows in (np.float32, np.float64):
        fitted = network().fit(X.astype(of_rows), Y)
        fitted.bundle_.save(tmp_path / fitted.bundle_.architecture.dtype.name)
        opened = hpsearch.Bundle.load(tmp_path / fitted.bundle_.architecture.dtype.name)
        assert opened.parameters.dtype == of_rows
        assert opened.predictions(X).tobytes() == fitted.predict_proba(X).tobytes()


def test_the_attributes_describe_the_network() -> None:
    fitted = network(neurons=(6, 4), evaluate_every=8, weight_l2=1e-2).fit(X, Y)
    assert [weights.shape for weights in fitted.coefs_] == [(4, 6), (6, 4), (4, 3)]
    assert [biases.shape for biases in fitted.intercepts_] == [(6,), (4,), (3,)]
    assert (fitted.n_layers_, fitted.n_iter_, fitted.best_epoch_, len(fitted.loss_curve_)) == (4, 20, 20, 3)
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    hidden = scaled
    for weights, biases in zip(fitted.coefs_[:-1], fitted.intercepts_[:-1], strict=True):
        hidden = np.maximum(hidden @ weights + biases, 0)
    logits = hidden @ fitted.coefs_[-1] + fitted.intercepts_[-1]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.predict_proba(X), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fitted.predict_log_proba(X), np.log(expected), rtol=1e-3, atol=1e-4)
    penalty = 1e-2 * sum((weights.astype(float) ** 2).sum() for weights in fitted.coefs_)
    loss = -np.log(expected[np.arange(len(Y)), Y]).mean()
    assert fitted.loss_ == fitted.loss_curve_[-1] == pytest.approx(loss + penalty, rel=1e-4)
    assert fitted.best_loss_ == min(fitted.loss_curve_)


def test_the_network_can_be_shipped(tmp_path: Path) -> None:
    fitted = network().fit(X, Y)
    fitted.bundle_.save(tmp_path / "model")
    loaded = hpsearch.Bundle.load(tmp_path / "model")
    assert loaded.probabilities(X).tobytes() == fitted.predict_proba(X).tobytes()


def test_a_training_that_diverges_says_so() -> None:
    with pytest.raises(hpsearch.DivergedError, match=r"Lower learning_rate, now 1e\+30"):
        network(learning_rate=1e30, optimizer="sgd").fit(X, Y)


# --- randomness


def test_an_integer_repeats_and_a_generator_goes_on() -> None:
    before = repr(np.random.get_state())  # noqa: NPY002
    assert_same_network(network().fit(X, Y), network().fit(X, Y))
    generator = np.random.RandomState(0)
    first, second = (network(random_state=generator).fit(X, Y) for _ in range(2))
    assert first.bundle_.parameters.tobytes() != second.bundle_.parameters.tobytes()
    again = network(random_state=np.random.RandomState(0)).fit(X, Y)
    assert_same_network(first, again)
    assert repr(np.random.get_state()) == before  # noqa: NPY002


def test_without_a_seed_it_draws_from_numpys_own_generator_as_scikit_learn_does() -> None:
    before = np.random.get_state()  # noqa: NPY002
    try:
        fitted = []
        for seed in (1, 1, 2):
            np.random.seed(seed)  # noqa: NPY002
            fitted.append(network(random_state=None).fit(X, Y))
    finally:
        np.random.set_state(before)  # noqa: NPY002
    assert_same_network(fitted[0], fitted[1])
    assert fitted[0].bundle_.parameters.tobytes() != fitted[2].bundle_.parameters.tobytes()


# --- classes and weights


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["setosa", "a very long name", "b"]),
        np.array(["x", "y", "z"], dtype=object),
        np.array([3.0, -1.0, 7.0]),
        np.array([10, 9, 100], dtype=np.int8),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_classes_may_be_anything_and_come_back_as_they_were(labels: NDArray[Any]) -> None:
    fitted = network(epochs=60).fit(X, labels[Y])
    np.testing.assert_array_equal(fitted.classes_, np.unique(labels))
    assert fitted.predict(X).dtype == labels.dtype
    assert fitted.score(X, labels[Y]) > 0.9


@pytest.mark.parametrize("labels", [np.array([5, 2, 9]), np.array(["u", "t", "v"]), np.array([0.5, 1.0, 3.0]) * 2])
def test_what_a_class_counts_is_what_its_rows_count(labels: NDArray[Any]) -> None:
    counts = [1.0, 4.0, 0.5]
    table = dict(zip(labels.tolist(), counts, strict=True))
    by_class = network(scaling="none", dtype="float64", class_weight=table).fit(X, labels[Y])
    by_row = network(scaling="none", dtype="float64").fit(X, labels[Y], sample_weight=np.array(counts)[Y])
    np.testing.assert_allclose(by_class.predict_proba(X), by_row.predict_proba(X), rtol=1e-9)
    alike = network(scaling="none", dtype="float64").fit(X, labels[Y])
    assert np.abs(by_class.predict_proba(X) - alike.predict_proba(X)).max() > 0.01


@pytest.mark.parametrize("scaling", ["standard", "minmax", "power"])
def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_is_none(scaling: str) -> None:
    counts = np.random.default_rng(0).integers(0, 3, len(Y))
    weighted = network(scaling=scaling).fit(X, Y, sample_weight=counts)
    repeated = network(scaling=scaling).fit(X.repeat(counts, axis=0), Y.repeat(counts))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-3, atol=1e-5)
    there = counts > 0
    assert_same_network(weighted, network(scaling=scaling).fit(X[there], Y[there], sample_weight=counts[there]))


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.zeros(150), "sample_weight must hold weights of at least 0, some of them above, but all are zero."),
        (np.arange(150) - 1, "sample_weight must hold weights of at least 0, some of them above, but one is -1.0."),
        (np.ones(149), "sample_weight must have one number a row, 150, but has shape (149,)."),
        (np.ones((150, 2)), "sample_weight must have one number a row, 150, but has shape (150, 2)."),
    ],
)
def test_weights_that_cannot_be_are_refused(weights: NDArray[Any], said: str) -> None:
    with pytest.raises(hpsearch.DataError) as caught:
        network().fit(X, Y, sample_weight=weights)
    assert str(caught.value) == said


def test_a_class_whose_rows_count_nothing_is_not_there() -> None:
    assert network().fit(X, Y, sample_weight=Y > 0).classes_.tolist() == [1, 2]
    with pytest.raises(hpsearch.DataError, match="all 50 that count are of one class, 2"):
        network().fit(X, Y, sample_weight=Y > 1)


# --- early stopping


@each_batching
def test_early_stopping_keeps_the_best_checkpoint_of_a_training_on_the_other_rows(batch_size: Any) -> None:
    settings = {"epochs": 400, "evaluate_every": 10, "neurons": 32, "init": "he", "batch_size": batch_size}
    stopped = network(**settings, early_stopping=True, validation_fraction=0.2, n_iter_no_change=4).fit(X, Y)
    assert stopped.best_epoch_ < stopped.n_iter_ < 400
    assert stopped.n_iter_ - stopped.best_epoch_ <= 40
    assert len(stopped.validation_scores_) == len(stopped.loss_curve_) == stopped.n_iter_ // 10
    training, validation = set_aside(Dataset.of(X, Y), 0.2, 3)
    plain = network(**{**settings, "epochs": stopped.best_epoch_}).fit(X[training], Y[training])
    assert_same_network(stopped, plain)
    loss = -np.log(plain.predict_proba(X[validation])[np.arange(len(validation)), Y[validation]]).mean()
    assert stopped.best_validation_score_ == max(stopped.validation_scores_) == pytest.approx(-loss, rel=1e-4)
    assert (stopped.best_loss_, plain.validation_scores_) == (None, None)


def test_an_improvement_below_the_tolerance_is_none() -> None:
    patient = network(epochs=100, evaluate_every=1, early_stopping=True, n_iter_no_change=3, tol=0.0).fit(X, Y)
    strict = network(epochs=100, evaluate_every=1, early_stopping=True, n_iter_no_change=3, tol=10.0).fit(X, Y)
    assert strict.n_iter_ == 4, "the first is an improvement on nothing, and then there is none"
    assert patient.n_iter_ > 4


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("counts", [(6, 6), (4, 4, 4), (10, 1, 1), (57, 2, 1), (3, 3, 2, 2, 2), (1, 1)])
def test_few_rows_can_be_carved_out_of(counts: tuple[int, ...], seed: int) -> None:
    """scikit-learn does not ask for the share of every class either, of more than two."""
    labels = np.repeat(np.arange(len(counts)), counts)
    features = np.random.default_rng(seed).normal(size=(len(labels), 3)) + labels[:, np.newaxis]
    fitted = hpsearch.MLPClassifier(4, epochs=4, early_stopping=True, random_state=seed).fit(features, labels)
    assert np.isfinite(fitted.validation_scores_).all()
    data = Dataset.of(features, labels)
    training, validation = set_aside(data, 0.1, seed)
    assert len(validation) == math.ceil(0.1 * len(labels))
    assert sorted([*training, *validation]) == list(range(len(labels)))
    assert len(labels) == 2 or set(labels[training]) == set(labels), "each class is trained on"


def test_what_is_carved_out_has_the_share_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [100, 40, 10])
    rows = Dataset.of(np.arange(150.0)[:, np.newaxis], labels)
    training, validation = set_aside(rows, 0.1, 0)
    assert np.bincount(labels[validation]).tolist() == [10, 4, 1]
    assert sorted([*training, *validation]) == list(range(150))
    with pytest.raises(hpsearch.DataError, match=r"must leave a row to train on beside .* of n_samples = 4 it leaves"):
        set_aside(rows.take(np.array([0, 1, 2, 149])), 0.9, 0)


# --- partial fit


@each_batching
@each_optimizer
def test_epoch_by_epoch_has_the_bits_of_one_fit(optimizer: str, batch_size: Any) -> None:
    settings = {"optimizer": optimizer, "batch_size": batch_size, "decay": 0.01, "weight_l1": 1e-4}
    whole = network(**settings, epochs=7).fit(X, Y)
    parts = network(**settings)
    for _ in range(7):
        parts.partial_fit(X, Y, classes=[0, 1, 2])
    assert_same_network(parts, whole)
    assert (parts.n_iter_, len(parts.loss_curve_), parts.loss_) == (7, 7, whole.loss_)
    longer = pickle.loads(pickle.dumps(network(**settings, epochs=4).fit(X, Y)))
    for _ in range(3):
        longer.partial_fit(X, Y)
    assert_same_network(longer, whole)
    assert_same_network(parts.fit(X, Y), network(**settings).fit(X, Y))


def test_a_part_may_lack_classes_and_what_it_learnt_before_stays_as_it_was() -> None:
    parts = network(scaling="none", neurons=16).partial_fit(X, Y, classes=[0, 1, 2, 3])
    before, bits = parts.bundle_, parts.bundle_.parameters.tobytes()
    for _ in range(30):
        parts.partial_fit(X[Y == 2], Y[Y == 2])
    assert parts.predict_proba(X).shape == (150, 4)
    assert (parts.predict(X) == 2).all()
    assert before.parameters.tobytes() == bits


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: network().partial_fit(X, Y), "The first call of partial_fit must be given classes"),
        (lambda: network().partial_fit(X, Y, [0, 1]), "y must hold the classes [0, 1], but holds 2."),
        (lambda: network().fit(X, Y).partial_fit(X, Y, [0, 1, 2, 3]), "classes must be those of the first call"),
        (lambda: network(class_weight="balanced").partial_fit(X, Y, [0, 1, 2]), "partial_fit must be told what each"),
        (lambda: network().fit(X, Y).set_params(neurons=9).partial_fit(X, Y), "partial_fit must go on with the net"),
        (lambda: network().fit(X, Y).set_params(optimizer="sgd").partial_fit(X, Y), "partial_fit must go on with"),
    ],
)
def test_what_partial_fit_cannot_go_on_with_is_refused(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(hpsearch.DefinitionError) as caught:
        call()
    assert str(caught.value).startswith(said)


def test_with_early_stopping_there_is_no_partial_fit() -> None:
    assert hasattr(network(), "partial_fit")
    stopped = network(early_stopping=True).fit(X, Y)
    assert not hasattr(stopped, "partial_fit")
    before = stopped.coefs_[0].copy()
    goes_on = stopped.set_params(early_stopping=False, learning_rate=1e-9).partial_fit(X, Y)
    np.testing.assert_allclose(goes_on.coefs_[0], before, atol=1e-6)
    assert goes_on.bundle_.about["seed"] == 3


# --- a regression target

ROWS, TARGETS = load_diabetes(return_X_y=True)


def regressor(**parameters: Any) -> hpsearch.MLPRegressor:
    return hpsearch.MLPRegressor(**{**FAST, **parameters})


def test_a_regressor_has_all_hyperparameters_but_class_weight() -> None:
    classifier, other = (
        {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()}
        for kind in (hpsearch.MLPClassifier, hpsearch.MLPRegressor)
    )
    assert other.pop("target_scaling") == "standard"
    assert other == {name: default for name, default in classifier.items() if name != "class_weight"}


@each_batching
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("loss", [None, "absolute_error"])
def test_a_regressor_has_the_bits_of_a_retrained_study(loss: str | None, members: int, batch_size: Any) -> None:
    train = {"neurons": [6, 4], "epochs": 20, "batch_size": batch_size, "dropout": [0.2, 0.0], "learning_rate": 0.03}
    train |= {"dtype": "float32", "weight_l2": 0.0} | ({} if loss is None else {"loss": loss})
    raw = {"study": {"name": "x", "seed": 3}, "data": {"source": "memory", "task": "regression"}, "train": train}
    definition = hpsearch.StudyDefinition.from_mapping(raw | {"retrain": {"members": members}}, Path())
    bundle = fit_prepared(divide(definition, Dataset.of(ROWS, TARGETS, task="regression"), None), definition.train)
    fitted = hpsearch.MLPRegressor(members=members, random_state=3).set_params(**train).fit(ROWS, TARGETS)
    assert fitted.bundle_.parameters.tobytes() == bundle.parameters.tobytes()
    assert fitted.predict(ROWS).tobytes() == bundle.predictions(ROWS)[:, 0].tobytes()
    if members == 1:
        assert fitted.loss_ == pytest.approx(bundle.about["training"]["loss"], rel=1e-6)
    else:
        assert fitted.loss_ > bundle.about["training"]["loss"], "the mean over members bounds what the average loses"
    assert fitted.score(ROWS, TARGETS) == pytest.approx(bundle.about["training"]["r2"], rel=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_unit_of_a_target_changes_nothing_but_the_unit(unit: float) -> None:
    """Powers of two would change no bit; these change the rounding."""
    one, other = regressor().fit(ROWS, TARGETS), regressor().fit(ROWS, TARGETS * unit + 1e3 * unit)
    np.testing.assert_allclose(other.predict(ROWS), one.predict(ROWS) * unit + 1e3 * unit, rtol=1e-4)
    np.testing.assert_allclose(other.loss_curve_, np.array(one.loss_curve_) * unit**2, rtol=1e-3)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
@pytest.mark.parametrize(("target", "origin"), [("log", 0.0), ("power", 1e3)])
def test_nor_does_that_of_a_transformed_one(target: str, origin: float, unit: float) -> None:
    """A logarithm is of targets above 0, so it has no other origin."""
    settings = {"target_scaling": target, "dtype": "float64"}
    one, other = regressor(**settings).fit(ROWS, TARGETS), regressor(**settings).fit(ROWS, (TARGETS + origin) * unit)
    np.testing.assert_allclose(other.predict(ROWS), (one.predict(ROWS) + origin) * unit, rtol=1e-4)
    np.testing.assert_allclose(other.loss_curve_, np.array(one.loss_curve_) * unit**2, rtol=1e-3)


@each_batching
@pytest.mark.parametrize("target", TARGET_SCALINGS)
def test_a_regressor_trained_epoch_by_epoch_has_the_bits_of_one_fit(target: str, batch_size: Any) -> None:
    settings = {"batch_size": batch_size, "decay": 0.01, "dropout": 0.3, "optimizer": "rmsprop"}
    settings["target_scaling"] = target
    parts = regressor(**settings)
    for _ in range(5):
        parts.partial_fit(ROWS, TARGETS)
    assert_same_network(parts, regressor(**settings, epochs=5).fit(ROWS, TARGETS))
    before = parts.bundle_
    parts.partial_fit(ROWS[:9], TARGETS[:9] + 1e3)
    errors = (parts.predict(ROWS[:9]) - TARGETS[:9] - 1e3) ** 2
    assert parts.loss_ == pytest.approx(errors.mean(), rel=1e-4)
    for name in ("target_centre", "target_scale", "target_transform"):
        assert getattr(parts.bundle_, name) == getattr(before, name)


@pytest.mark.parametrize("target", TARGET_SCALINGS)
def test_a_target_that_counts_twice_is_two(target: str) -> None:
    counts = np.random.default_rng(0).integers(0, 3, len(TARGETS))
    settings = {"dtype": "float64", "target_scaling": target}
    weighted = regressor(**settings).fit(ROWS, TARGETS, sample_weight=counts)
    repeated = regressor(**settings).fit(ROWS.repeat(counts, axis=0), TARGETS.repeat(counts))
    # Two lambdas, each the end of its own search, agree in some eight digits.
    close = 1e-5 if target == "power" else 1e-9
    np.testing.assert_allclose(weighted.predict(ROWS), repeated.predict(ROWS), rtol=close)
    assert weighted.bundle_.target_scale == pytest.approx(repeated.bundle_.target_scale, rel=close)
    if target == "standard":
        assert weighted.bundle_.target_centre == pytest.approx(TARGETS.repeat(counts).mean(), rel=1e-12)


def test_a_regressor_stops_early_at_its_best_checkpoint() -> None:
    settings = {"epochs": 400, "evaluate_every": 10, "neurons": 32, "init": "he"}
    stopped = regressor(**settings, early_stopping=True, validation_fraction=0.2, n_iter_no_change=4).fit(ROWS, TARGETS)
    assert stopped.best_epoch_ < stopped.n_iter_ < 400
    data = Dataset.of(ROWS, TARGETS, task="regression")
    training, validation = set_aside(data, 0.2, 3)
    plain = regressor(**{**settings, "epochs": stopped.best_epoch_}).fit(ROWS[training], TARGETS[training])
    assert_same_network(stopped, plain)
    errors = (plain.predict(ROWS[validation]) - TARGETS[validation]) ** 2
    assert stopped.best_validation_score_ == pytest.approx(-errors.mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (
            {"loss": "cross_entropy"},
            "loss must be for a regression target, which is what the rows have to predict",
        ),
        (
            {"target_scaling": "logg"},
            "MLPRegressor: Unknown target scaling 'logg'. Choose one of: log, power, standard. Did",
        ),
        ({"dropout": 1.0}, "MLPRegressor: dropout must be a number from 0 to 0.999, or a list of them"),
    ],
)
def test_what_is_not_for_a_quantity_is_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(hpsearch.DefinitionError) as caught:
        regressor(**parameters).fit(ROWS, TARGETS)
    assert str(caught.value).startswith(said)


def test_a_logarithm_needs_targets_above_0() -> None:
    with pytest.raises(
        hpsearch.DataError, match=r"^target_scaling='log' needs targets that are all above 0, but one is"
    ):
        regressor(target_scaling="log").fit(ROWS, TARGETS - TARGETS.mean())
    begun = regressor(target_scaling="log").partial_fit(ROWS, TARGETS)
    with pytest.raises(
        hpsearch.DataError, match=r"^target_scaling='log' needs targets that are all above 0, but one is"
    ):
        begun.partial_fit(ROWS, TARGETS - TARGETS.mean())


def test_two_classes_may_have_one_output() -> None:
    two = Y < 2
    one = network(epochs=100, loss="binary_cross_entropy", neurons=[4]).fit(X[two], Y[two])
    assert [weights.shape for weights in one.coefs_] == [(4, 4), (4, 1)]
    assert one.predict_proba(X).shape == (150, 2)
    assert one.score(X[two], Y[two]) == 1.0
    with pytest.raises(
        hpsearch.DataError, match=r"^loss=.binary_cross_entropy. must have two classes to tell apart, but"
    ):
        network(loss="binary_cross_entropy").fit(X, Y)


# --- in company


def test_it_works_in_pipelines_and_searches() -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), network(epochs=60))
    assert cross_val_score(pipeline, frame, Y, cv=3).mean() > 0.9
    grid = {"mlpclassifier__neurons": [2, (4, 4)], "mlpclassifier__learning_rate": [1e-6, 0.05]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(frame, Y)
    assert search.best_params_["mlpclassifier__learning_rate"] == 0.05
    assert search.best_estimator_[-1].feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert search.best_estimator_[-1].bundle_.plan.names == ("a", "b", "c", "d")


@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}])
def test_it_is_copied_whole(parameters: dict[str, Any], tmp_path: Path) -> None:
    fitted = network(**parameters).fit(X, Y)
    joblib.dump(fitted, tmp_path / "network.joblib")
    for copy in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "network.joblib", mmap_mode="r")):
        assert copy.predict_proba(X).tobytes() == fitted.predict_proba(X).tobytes()
    blank = clone(fitted)
    assert blank.get_params() == fitted.get_params()
    assert not hasattr(blank, "classes_")


def test_the_rows_given_stay_as_they_were() -> None:
    table, labels, weights = X.copy(), Y.copy(), np.ones(len(Y))
    weights[0] = 2
    network().fit(table, labels, sample_weight=weights)
    for array in (table, labels, weights):
        array[0] = 0  # still to be written


@pytest.mark.parametrize("name", ["KFoldSearchCV", "MLPClassifier", "MLPRegressor"])
def test_the_examples_run(name: str) -> None:
    out = io.StringIO()
    kind = getattr(hpsearch, name)
    runner = doctest.DocTestRunner()
    (test,) = doctest.DocTestFinder(recurse=False).find(kind, name, globs={})
    assert len(test.examples) >= 4
    assert runner.run(test, out=out.write).failed == 0, out.getvalue()
