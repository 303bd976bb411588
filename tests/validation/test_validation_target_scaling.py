"""Networks trained on a transformed target: whatever is reported is of predictions in the target's own unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.preprocessing import PowerTransformer, StandardScaler

from hpsearch import seeds
from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import Split, SplitOptions, make_splits
from hpsearch.errors import DataError, DefinitionError
from hpsearch.nn.network import NetworkShape, initial_parameters
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import CrossValidation, cross_validate
from hpsearch.validation.metrics import METRICS

Array = NDArray[Any]
BASE = Config(neurons=5, activation="tanh", learning_rate=0.05, epochs=12, evaluate_every=3, init="he", dtype="float64")
SEED = 7
ERRORS: dict[str, Any] = {"absolute_error": mean_absolute_error, "squared_error": mean_squared_error}

each_loss = pytest.mark.parametrize("loss", ERRORS)
each_target = pytest.mark.parametrize("target", ["log", "power"])
several_seeds = pytest.mark.parametrize("seed", range(2))


def skewed(rows: int = 47, seed: int = 0, tail: float = 0.4) -> Dataset:
    """A target above 0 whose logarithm is a curved function of two of three features, with noise."""
    draw = np.random.default_rng(seed)
    features = draw.normal(0, 1, (rows, 3))
    logs = np.sin(2 * features[:, 0]) + 0.5 * features[:, 1] + draw.normal(0, 0.2, rows)
    return Dataset.of(features, 300 * np.exp(tail * logs), task="regression")


def splits_of(data: Dataset, repeats: int = 1) -> tuple[Split, ...]:
    return make_splits(data, "kfold", SplitOptions(3, repeats), SEED)


def validate(data: Dataset, splits: Sequence[Split] | None = None, **settings: Any) -> CrossValidation:
    options = {name: settings.pop(name) for name in ("rule", "objective") if name in settings}
    seed = settings.pop("seed", SEED)
    return cross_validate(data, splits or splits_of(data), BASE.replaced(settings), seed, **options)


class Reference:
    """The target's scaling, of NumPy and scikit-learn, with the bounds that we promise."""

    def __init__(self, target: str, training: Array) -> None:
        self.low, self.high = training.min() - np.ptp(training), training.max() + np.ptp(training)
        self.first = StandardScaler(with_mean=target == "power", with_std=target == "power").fit(
            training[:, np.newaxis]
        )
        self.power = None
        if target == "power":
            self.power = PowerTransformer(standardize=False).fit(self.first.transform(training[:, np.newaxis]))
            self.power.lambdas_ = self.power.lambdas_.clip(0, 2)
        self.last = StandardScaler().fit(self._function(training[:, np.newaxis]))

    def _function(self, targets: Array) -> Array:
        return np.log(targets) if self.power is None else self.power.transform(self.first.transform(targets))

    def scaled(self, targets: Array) -> Array:
        return np.asarray(self.last.transform(self._function(targets[:, np.newaxis])))[:, 0]

    def predicted(self, outputs: Array) -> Array:
        values = self.last.inverse_transform(outputs)
        if self.power is None:
            back = np.exp(values)
        else:
            back = self.first.inverse_transform(self.power.inverse_transform(values))
        return np.asarray(back.clip(self.low, self.high))[:, 0]


def trained_alone(data: Dataset, split: Split, loss: str, reference: Reference, rate: float, decay: float) -> Array:
    """The outputs (N, 1) of a plain network for all rows, after full-batch gradient descent on the scaled target."""
    draw = seeds.generator(SEED, "weights", split.repeat, split.fold)
    network = NetworkShape(3, (5,), 1)
    flat = initial_parameters(network, "he", [draw], np.dtype(np.float64))
    w1, b1, w2, b2 = (values[0].copy() for values in network.named(flat).values())
    seen = StandardScaler().fit(data.features[split.training]).transform(data.features)
    x, z = seen[split.training], reference.scaled(data.labels[split.training])
    for _ in range(12):
        hidden = np.tanh(x @ w1 + b1)
        errors = (hidden @ w2 + b2)[:, 0] - z
        slope = (2 * errors if loss == "squared_error" else np.sign(errors))[:, np.newaxis] / len(z)
        below = (slope @ w2.T) * (1 - hidden**2)
        w2, b2 = w2 - rate * (hidden.T @ slope + 2 * decay * w2), b2 - rate * slope.sum(axis=0)
        w1, b1 = w1 - rate * (x.T @ below + 2 * decay * w1), b1 - rate * below.sum(axis=0)
    penalty = decay * (np.sum(w1**2) + np.sum(w2**2))
    return np.append((np.tanh(seen @ w1 + b1) @ w2 + b2)[:, 0], penalty)


@each_loss
@each_target
@several_seeds
def test_every_number_is_that_of_a_plain_network_trained_on_the_split_alone(target: str, loss: str, seed: int) -> None:
    data, rate, decay = skewed(seed=seed), 0.1, 1e-2
    splits = splits_of(data, repeats=2)
    settings = {"optimizer": "sgd", "learning_rate": rate, "weight_l2": decay, "loss": loss, "target_scaling": target}
    ours = validate(data, splits, rule="last", **settings)
    assert ours.rows is not None
    ends, error = np.cumsum([len(split.validation) for split in splits]), ERRORS[loss]
    for fold, split, end in zip(ours.folds, splits, ends, strict=True):
        reference = Reference(target, data.labels[split.training])
        *outputs, penalty = trained_alone(data, split, loss, reference, rate, decay)
        predictions = reference.predicted(np.array(outputs)[:, np.newaxis])
        kept = ours.rows.predictions[end - len(split.validation) : end, 0]
        # Lambdas by two minimisers, which end where the likelihood is flat.
        close = 1e-5 if target == "power" else 1e-9
        np.testing.assert_allclose(kept, predictions[split.validation], rtol=close)
        for rows, value in ((split.training, fold.training_loss), (split.validation, fold.validation_loss)):
            assert value == pytest.approx(error(data.labels[rows], predictions[rows]), rel=10 * close)
        assert fold.validation_loss == pytest.approx(error(data.labels[split.validation], kept), rel=1e-12)
        assert fold.r2 == pytest.approx(r2_score(data.labels[split.validation], kept), rel=1e-10)
        # A penalty is told as it would be of a target that is only centred and scaled.
        unit = np.std(data.labels[split.training]) ** (2 if loss == "squared_error" else 1)
        assert fold.penalty == pytest.approx(unit * penalty, rel=10 * close)


@each_target
@pytest.mark.parametrize("objective", ["mae", "mse", "r2", "rmse"])
def test_metrics_are_of_predictions_in_the_own_unit(target: str, objective: str) -> None:
    data = skewed()
    splits = splits_of(data)
    result = validate(data, splits, objective=objective, target_scaling=target)
    assert result.rows is not None
    ends = np.cumsum([len(split.validation) for split in splits])
    for fold, split, end in zip(result.folds, splits, ends, strict=True):
        predictions = result.rows.predictions[end - len(split.validation) : end]
        expected = METRICS[objective].score(data.labels[split.validation], predictions, 0)
        assert fold.value == pytest.approx(expected, rel=1e-10)


@each_target
@pytest.mark.parametrize("batch_size", ["full", 8])
def test_the_targets_of_validation_rows_reach_no_training(target: str, batch_size: Any) -> None:
    data, draw = skewed(), np.random.default_rng(0)
    for split in splits_of(data):
        before = validate(data, [split], target_scaling=target, batch_size=batch_size, rule="last")
        targets = data.labels.copy()
        targets[split.validation] = draw.uniform(1e4, 1e6, len(split.validation))
        changed = replace(data, labels=targets)
        after = validate(changed, [split], target_scaling=target, batch_size=batch_size, rule="last")
        assert after.curve.training_loss == before.curve.training_loss
        assert before.rows is not None
        assert after.rows is not None
        assert after.rows.predictions.tobytes() == before.rows.predictions.tobytes()
        assert after.value != before.value


@each_target
def test_splits_alone_or_together_have_the_same_bits(target: str) -> None:
    data = skewed(rows=48)  # folds of 16 rows: no padding that would be another alone
    splits = splits_of(data, repeats=2)
    together = validate(data, splits, target_scaling=target, rule="last", dtype="float32", batch_size=10)
    assert together.rows is not None
    for lane, split in enumerate(splits):
        alone = validate(data, [split], target_scaling=target, rule="last", dtype="float32", batch_size=10)
        assert alone.rows is not None
        assert alone.folds == together.folds[lane : lane + 1]
        assert alone.rows.predictions.tobytes() == together.rows.predictions[16 * lane : 16 * lane + 16].tobytes()


@each_target
@each_loss
def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_is_none(loss: str, target: str) -> None:
    data = skewed()
    counts = np.random.default_rng(0).integers(0, 3, data.rows)
    repeated = np.repeat(np.arange(data.rows), counts)
    place = np.cumsum(counts) - counts
    weighted, copies = [], []
    for split in splits_of(data):
        weighted.append(split)
        rows = [
            np.concatenate([place[r] + np.arange(counts[r]) for r in side])
            for side in (split.training, split.validation)
        ]
        copies.append(replace(split, training=rows[0].astype(np.intp), validation=rows[1].astype(np.intp)))
    settings = {"loss": loss, "target_scaling": target, "rule": "last"}
    one = validate(replace(data, weights=counts.astype(float)), weighted, **settings)
    features, labels = data.features[repeated], data.labels[repeated]
    other = validate(Dataset.of(features, labels, task="regression"), copies, **settings)
    for mine, theirs in zip(one.folds, other.folds, strict=True):
        for name in ("training_loss", "validation_loss", "penalty", "r2"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=1e-5)


@several_seeds
def test_the_logarithm_helps_where_errors_are_shares(seed: int) -> None:
    """A lognormal target whose noise multiplies it: by a tenth of the error at least, from two seeds."""
    data = skewed(rows=240, seed=seed, tail=1.5)
    settings = {"neurons": 12, "epochs": 150, "evaluate_every": 10, "loss": "absolute_error", "dtype": "float32"}
    plain, logarithm = (validate(data, **settings, target_scaling=name, seed=seed) for name in ("standard", "log"))
    assert plain.value is not None
    assert logarithm.value is not None
    assert logarithm.value < 0.9 * plain.value


@each_target
def test_a_target_scaling_is_not_for_classes(target: str) -> None:
    draw = np.random.default_rng(0)
    data = Dataset.of(draw.normal(size=(30, 3)), np.arange(30) % 2)
    with pytest.raises(DefinitionError, match=r"^target_scaling must go with a regression target, but is '"):
        validate(data, target_scaling=target)


def test_a_logarithm_is_not_for_targets_that_have_none() -> None:
    data = skewed()
    labels = data.labels.copy()
    labels[3] = 0.0
    for split in splits_of(data):  # in every one of them, whether the row is trained on or not
        with pytest.raises(
            DataError, match=r"^target_scaling='log' needs targets that are all above 0, but one is 0\."
        ):
            validate(replace(data, labels=labels), [split], target_scaling="log")
    assert validate(replace(data, labels=labels), target_scaling="power").outcome == "complete"


def test_the_target_scaling_that_always_was_is_in_no_fingerprint() -> None:
    assert BASE.replaced({"target_scaling": "standard"}).fingerprint == BASE.fingerprint
    fingerprints = {BASE.replaced({"target_scaling": name}).fingerprint for name in ("log", "power", "standard")}
    assert len(fingerprints) == 3


@each_target
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_that_diverges_is_said_to(target: str, dtype: str) -> None:
    result = validate(
        skewed(), target_scaling=target, optimizer="sgd", activation="relu", learning_rate=1e30, dtype=dtype
    )
    assert result.outcome == "diverged"
