"""Cross-validation: nothing leaks, every number can be recomputed, and the same run has the same bits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, PowerTransformer, StandardScaler

from hpsearch import seeds
from hpsearch.data.dataset import Dataset
from hpsearch.data.preprocess import SCALINGS
from hpsearch.data.splits import SPLITTERS, Split, SplitOptions, make_splits
from hpsearch.nn.network import NetworkShape, initial_parameters
from hpsearch.nn.optimizers import OPTIMIZERS
from hpsearch.nn.passes import Architecture
from hpsearch.nn.penalties import Penalties
from hpsearch.nn.rows import Batching, LaneData, PaddedRows
from hpsearch.nn.trainer import Trainer
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import CrossValidation, cross_validate
from hpsearch.validation.lanes import fit_scalings

SKLEARN: dict[str, Any] = {
    "minmax": MinMaxScaler,
    "none": FunctionTransformer,
    "power": PowerTransformer,
    "standard": StandardScaler,
}
BASE = Config(neurons=5, learning_rate=0.05, epochs=12, evaluate_every=3, init="he", dtype="float64")
STUDY_SEED = 7

several_seeds = pytest.mark.parametrize("seed", range(3))
batchings = pytest.mark.parametrize("batch_size", ["full", 8])


def clouds(rows: int = 46, seed: int = 0, classes: int = 3, noise: float = 1.0) -> Dataset:
    """Overlapping clouds of points, classes in random order."""
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.arange(rows) % classes)
    centres = 2 * np.stack([np.cos(labels), np.sin(labels), labels], axis=1)
    return Dataset.of(centres + noise * draw.standard_normal((rows, 3)), labels)


def splits_of(data: Dataset, splitter: str = "kfold", n_splits: int = 3, repeats: int = 1) -> tuple[Split, ...]:
    return make_splits(data, splitter, SplitOptions(n_splits, repeats), STUDY_SEED)


def validate(
    data: Dataset, splits: Sequence[Split] | None = None, config: Config = BASE, seed: int = STUDY_SEED, **options: Any
) -> CrossValidation:
    return cross_validate(data, splits_of(data) if splits is None else splits, config, seed, **options)


def same_but(config: Config = BASE, **settings: Any) -> Config:
    return config.replaced(settings)


# --- nothing leaks


@several_seeds
@batchings
@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("scaling", SCALINGS)
def test_no_split_sees_its_validation_rows_in_training(scaling: str, splitter: str, batch_size: Any, seed: int) -> None:
    """Other features and labels in the validation rows of a split leave its training curve as it was, bit for bit."""
    data, draw, rows = clouds(seed=seed), np.random.default_rng(seed), np.arange(46)
    data = replace(data, groups=rows // 2, times=draw.permutation(rows).astype(float), folds=rows % 3)
    splits, config = splits_of(data, splitter), same_but(scaling=scaling, batch_size=batch_size)
    before = validate(data, splits, config).curve
    for lane, split in enumerate(splits):
        features, labels = data.features.copy(), data.labels.copy()
        features[split.validation] += draw.normal(0, 5, (len(split.validation), 3))
        labels[split.validation] = (labels[split.validation] + 1) % 3
        after = validate(replace(data, features=features, labels=labels), splits, config).curve
        ours = [losses[lane] for losses in after.training_loss]
        assert ours == [losses[lane] for losses in before.training_loss]
        for other in range(len(splits)):
            if set(splits[other].training) & set(split.validation):
                assert after.training_loss[-1][other] != before.training_loss[-1][other]
        assert after.validation_loss[-1][lane] != before.validation_loss[-1][lane]


@pytest.mark.parametrize("scaling", SCALINGS)
def test_scalings_are_learnt_from_each_lanes_training_rows_alone(scaling: str) -> None:
    data = clouds()
    training = [split.training for split in splits_of(data)]
    for rows, ours in zip(training, fit_scalings(data, training, scaling), strict=True):
        theirs = SKLEARN[scaling]().fit(data.features[rows])
        np.testing.assert_allclose(ours.apply(data.features), theirs.transform(data.features), rtol=1e-12, atol=1e-12)


# --- every number can be recomputed


def penalties(config: Config, network: NetworkShape) -> Penalties:
    """One lambda a parameter, written through the network's named views."""
    flat = {norm: np.zeros((1, network.size)) for norm in ("l1", "l2")}
    for norm, (one, many) in itertools.product(flat, [("weight", "weights"), ("bias", "biases")]):
        for number, value in enumerate(config.by_layer(f"{one}_{norm}"), start=1):
            network.named(flat[norm])[f"layer{number}.{many}"][:] = value
    return Penalties(**flat)


def one_at_a_time(data: Dataset, splits: Sequence[Split], config: Config) -> list[list[dict[str, Any]]]:
    """Each split by itself, unpadded: scikit-learn's scaler and metrics, and a textbook forward pass."""
    most_rows = max(len(split.training) for split in splits)
    batching = Batching.of(most_rows, None if config.batch_size == "full" else config.batch_size)
    answer = []
    for split in splits:
        features = SKLEARN[config.scaling]().fit(data.features[split.training]).transform(data.features)
        network, rows = NetworkShape(3, config.by_layer("neurons"), 3), len(split.training)
        weights, batches = (
            seeds.generator(STUDY_SEED, stream, split.repeat, split.fold) for stream in ("weights", "batches")
        )
        params = initial_parameters(network, config.init, [weights], np.dtype(np.float64))
        trainer = Trainer(
            architecture=Architecture(network, config.activation, config.leaky_slope, np.dtype(np.float64)),
            optimizer=OPTIMIZERS[config.optimizer](**config.optimizer_settings()),
            penalties=penalties(config, network),
            learning_rate=np.array([[config.learning_rate]]),
            decay=np.array([[config.decay]]),
            data=LaneData(features, data.labels, 3, np.zeros((1, 3)), np.ones((1, 3))),
            training=PaddedRows.pad([split.training], rows),
            batching=Batching(batching.steps, -(-rows // batching.steps)),
            epochs=config.epochs,
            evaluate_every=config.checkpoint_epochs,
        )
        points = []
        for _ in trainer.run(params, [batches]):
            named = {name: array[0] for name, array in network.named(params).items()}
            values, depth = features, len(network.neurons)
            for number in range(1, depth + 1):
                values = np.tanh(values @ named[f"layer{number}.weights"] + named[f"layer{number}.biases"])
            final = values @ named[f"layer{depth + 1}.weights"] + named[f"layer{depth + 1}.biases"]
            probabilities = softmax(final, axis=1)
            of = {"training": split.training, "validation": split.validation}
            losses = {k: log_loss(data.labels[v], probabilities[v], labels=range(3)) for k, v in of.items()}
            guesses = probabilities[split.validation].argmax(axis=1)
            penalty = trainer.penalties
            losses["penalty"] = float(np.sum(penalty.l1 * np.abs(params) + penalty.l2 * params**2))
            points.append({**losses, "accuracy": accuracy_score(data.labels[split.validation], guesses)})
        answer.append(points)
    return answer


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@batchings
def test_every_loss_and_accuracy_equals_that_of_the_split_by_itself(
    scaling: str, optimizer: str, batch_size: Any
) -> None:
    data = clouds(rows=47)  # folds of 16, 16 and 15 rows
    splits = splits_of(data, repeats=2)
    config = same_but(
        neurons=[6, 4], activation="tanh", optimizer=optimizer, scaling=scaling, batch_size=batch_size, decay=0.01,
        learning_rate=0.02, weight_l1=[1e-3, 0, 2e-3], weight_l2=[0, 3e-3, 0], bias_l1=1e-3, bias_l2=[2e-3, 0, 1e-3],
    )  # fmt: skip
    ours, theirs = validate(data, splits, config), one_at_a_time(data, splits, config)
    # Padding changes the order of sums, and a division by √c + ε enlarges what that does to small gradients.
    close = {"rtol": 1e-9, "atol": 1e-12}
    for what, curve in (("training", ours.curve.training_loss), ("validation", ours.curve.validation_loss)):
        np.testing.assert_allclose(curve, np.transpose([[p[what] for p in points] for points in theirs]), **close)
    best = int(np.argmin(np.mean([[p["validation"] for p in points] for points in theirs], axis=0)))
    assert ours.best_epoch == 3 * (best + 1)
    for fold, split, points in zip(ours.folds, splits, theirs, strict=True):
        expected = points[best]
        assert (fold.repeat, fold.fold) == (split.repeat, split.fold)
        assert (fold.training_rows, fold.validation_rows) == (len(split.training), len(split.validation))
        assert fold.accuracy == pytest.approx(expected["accuracy"], rel=1e-15)
        for name, value in (("training_loss", "training"), ("validation_loss", "validation"), ("penalty", "penalty")):
            np.testing.assert_allclose(getattr(fold, name), expected[value], **close)
    assert ours.parameters == (3 + 1) * 6 + (6 + 1) * 4 + (4 + 1) * 3


@pytest.mark.parametrize("rows", [46, 47, 31])
def test_the_value_is_the_plain_mean_over_folds_whatever_their_sizes(rows: int) -> None:
    data = clouds(rows)
    result = validate(data, splits_of(data, n_splits=4))
    assert len({fold.validation_rows for fold in result.folds}) == 2
    losses = [fold.validation_loss for fold in result.folds]
    assert result.value == pytest.approx(sum(losses) / 4, rel=1e-15)
    assert result.value != pytest.approx(
        np.average(losses, weights=[f.validation_rows for f in result.folds]), rel=1e-9
    )
    assert result.accuracy == pytest.approx(sum(fold.accuracy for fold in result.folds) / 4, rel=1e-15)
    for mean, values in zip(result.curve.means, result.curve.validation_loss, strict=True):
        assert mean == pytest.approx(sum(values) / 4, rel=1e-15)


# --- which checkpoint


@several_seeds
@batchings
def test_best_is_the_checkpoint_with_the_lowest_mean_and_last_is_the_last(batch_size: Any, seed: int) -> None:
    """Noise is learnt by heart: the validation loss falls, then rises."""
    config = same_but(neurons=30, learning_rate=0.03, epochs=100, evaluate_every=5, batch_size=batch_size)
    data = clouds(seed=seed, noise=4.0)
    best, last = (validate(data, config=config, rule=rule) for rule in ("best", "last"))
    assert astuple(best.curve) == astuple(last.curve)
    means = best.curve.means
    lowest = int(np.argmin(means))
    assert lowest < len(means) - 1
    for result, place in ((best, lowest), (last, len(means) - 1)):
        assert (result.value, result.best_epoch) == (means[place], result.curve.epochs[place])
        assert [fold.validation_loss for fold in result.folds] == result.curve.validation_loss[place]
        assert [fold.training_loss for fold in result.folds] == result.curve.training_loss[place]
    assert best.folds != last.folds


def test_among_equal_checkpoints_the_earliest_is_best() -> None:
    standstill = same_but(learning_rate=1e-30)
    result = validate(clouds(), config=standstill)
    assert len(set(result.curve.means)) == 1
    assert result.best_epoch == 3
    assert validate(clouds(), config=standstill, rule="last").best_epoch == 12


def test_the_last_epoch_is_always_a_checkpoint() -> None:
    assert validate(clouds(), evaluate_every=5).curve.epochs == [5, 10, 12]
    assert validate(clouds(), evaluate_every=50).curve.epochs == [12]
    assert validate(clouds()).curve.epochs == [3, 6, 9, 12]


# --- pruning


def test_a_pruner_is_told_every_checkpoint_and_ends_the_trial_when_it_says_so() -> None:
    whole = validate(clouds())
    told: list[tuple[int, float]] = []

    def at_nine(epoch: int, mean: float) -> bool:
        told.append((epoch, mean))
        return epoch >= 9

    pruned = validate(clouds(), should_stop=at_nine)
    assert told == list(zip(whole.curve.epochs, whole.curve.means, strict=True))[:3]
    assert (pruned.outcome, pruned.value, pruned.accuracy, pruned.best_epoch, pruned.folds) == (
        "pruned",
        *[None] * 3,
        (),
    )
    assert pruned.reason is not None
    assert "epoch 9" in pruned.reason
    assert pruned.curve.epochs == [3, 6, 9]
    assert pruned.curve.training_loss == whole.curve.training_loss[:3]
    assert pruned.curve.validation_loss == whole.curve.validation_loss[:3]


def test_a_trial_that_reached_its_last_epoch_is_complete_whatever_the_pruner_says() -> None:
    whole, result = validate(clouds()), validate(clouds(), should_stop=lambda epoch, mean: epoch == 12)
    assert result == whole
    assert result.outcome == "complete"


# --- divergence


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@batchings
def test_a_diverging_configuration_ends_at_once_naming_fold_epoch_and_settings(
    optimizer: str, batch_size: Any, dtype: str
) -> None:
    tame = same_but(optimizer=optimizer, batch_size=batch_size, dtype=dtype)
    result = validate(clouds(), config=tame.model_copy(update={"learning_rate": 1e300}))  # which no study may have
    assert (result.outcome, result.value, result.folds) == ("diverged", None, ())
    assert result.curve.epochs == [3]
    for word in ("fold 0 ", "epoch 3 ", f"optimizer={optimizer!r}", "learning_rate=1e+300"):
        assert word in str(result.reason)


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("fold", [0, 1, 2])
def test_the_first_fold_that_diverges_is_the_one_named(fold: int, repeats: int) -> None:
    """A row too large for any network: every split fails but the one that does not train on it."""
    data = clouds()
    splits = splits_of(data, repeats=repeats)
    features = data.features.copy()
    features[splits[fold].validation[0]] = 1e200
    config = same_but(scaling="none", activation="leaky_relu", optimizer="sgd")
    result = validate(replace(data, features=features), splits, config)
    assert result.outcome == "diverged"
    losses = np.array([result.curve.validation_loss[-1], result.curve.training_loss[-1]])
    diverged = np.flatnonzero(~np.isfinite(losses).all(axis=0))
    assert fold not in diverged
    assert f"fold {splits[diverged[0]].fold} " in str(result.reason)
    assert ("repeat" in str(result.reason)) == (repeats > 1)
    assert f"epoch {result.curve.epochs[-1]} " in str(result.reason)


def test_a_penalty_that_is_no_finite_number_is_a_divergence_too() -> None:
    standstill = same_but(neurons=50, optimizer="sgd", learning_rate=1e-30)
    # No configuration may have so large a lambda; a penalty of parameters that grow gets there all the same.
    result = validate(clouds(), config=standstill.model_copy(update={"learning_rate": 1e-320, "weight_l1": 1e307}))
    assert result.outcome == "diverged"
    assert str(result.reason).startswith("the penalty of fold 0 became inf at epoch 3 ")


# --- the same bits


def test_a_configuration_has_the_same_bits_whatever_ran_before_it() -> None:
    data = clouds()
    first = validate(data)
    validate(data, config=same_but(neurons=9, optimizer="sgd", batch_size=8))
    np.random.default_rng(1).random(3)
    assert validate(data) == first
    assert validate(data, config=Config(**BASE.model_dump())) == first


@pytest.mark.parametrize(
    "settings",
    [{"decay": 0.1}, {"weight_l2": 0.01}, {"batch_size": 8}, *({"optimizer": name} for name in OPTIMIZERS)],
    ids=str,
)
def test_all_trials_start_from_the_same_weights(settings: dict[str, Any]) -> None:
    """Common random numbers: with no learning to speak of, other settings change nothing."""
    one, other = (validate(clouds(), config=same_but(learning_rate=1e-30, **extra)) for extra in ({}, settings))
    assert one.curve.validation_loss == other.curve.validation_loss


def test_every_fold_repeat_and_study_seed_has_weights_of_its_own() -> None:
    data = clouds()
    split = splits_of(data)[0]
    lanes = [replace(split, repeat=repeat, fold=fold) for repeat in range(3) for fold in range(3)]
    standstill = same_but(learning_rate=1e-30)
    losses = [loss for seed in (1, 2) for loss in validate(data, lanes, standstill, seed).curve.training_loss[0]]
    assert len(set(losses)) == 18


@batchings
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_split_has_the_same_bits_alone_and_among_others(batch_size: Any, dtype: str) -> None:
    data, config = clouds(rows=48), same_but(batch_size=batch_size, dtype=dtype, epochs=30)
    splits = splits_of(data, repeats=2)
    together = validate(data, splits, config, rule="last")
    for lane, split in enumerate(splits):
        alone = validate(data, [split], config, rule="last")
        assert alone.folds == (together.folds[lane],)
        assert alone.curve.validation_loss == [[losses[lane]] for losses in together.curve.validation_loss]


@batchings
def test_more_repeats_leave_the_first_ones_as_they_were(batch_size: Any) -> None:
    data, config = clouds(), same_but(batch_size=batch_size)
    once, thrice = (validate(data, splits_of(data, repeats=n), config, rule="last") for n in (1, 3))
    assert thrice.folds[:3] == once.folds
    assert [(fold.repeat, fold.fold) for fold in thrice.folds] == [(r, f) for r in range(3) for f in range(3)]
    assert len({fold.validation_loss for fold in thrice.folds}) == 9


# --- number types and batches


@pytest.mark.parametrize("scale", [1, 1e3])
@several_seeds
def test_single_and_double_precision_agree_as_far_as_single_precision_goes(seed: int, scale: float) -> None:
    data = clouds(seed=seed)
    data = replace(data, features=data.features * scale)
    narrow, wide = (validate(data, config=same_but(dtype=dtype)) for dtype in ("float32", "float64"))
    assert narrow.value != wide.value
    # 12 updates of numbers near 1, rounded at 6e-8 each time; Adam's division enlarges that in small gradients.
    np.testing.assert_allclose(narrow.curve.validation_loss, wide.curve.validation_loss, rtol=1e-3)


def test_a_batch_larger_than_the_rows_is_a_full_batch() -> None:
    full = validate(clouds())
    for size in (31, 32, 46, 10**9):  # 46 rows in three folds leave 30 or 31 to train on
        assert validate(clouds(), config=same_but(batch_size=size)) == full
    assert validate(clouds(), config=same_but(batch_size=30)) != full


@pytest.mark.parametrize("rows", [46, 47, 48, 13])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_every_batch_size_works_for_folds_of_unequal_sizes(rows: int, batch_size: int) -> None:
    data = clouds(rows)
    result = validate(data, config=same_but(batch_size=batch_size))
    assert result.outcome == "complete"
    assert result.curve.training_loss[-1] != result.curve.training_loss[0]


def test_a_network_without_hidden_layers_is_multinomial_regression() -> None:
    result = validate(clouds(), config=same_but(hidden_layers=0))
    assert (result.outcome, result.parameters) == ("complete", (3 + 1) * 3)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_learning_lowers_the_loss_below_chance(activation: str) -> None:
    config = same_but(activation=activation, epochs=150, evaluate_every=10, neurons=16)
    result = validate(clouds(rows=120, noise=0.3), config=config)
    assert result.value is not None
    assert result.value < 0.5 * np.log(3)
    assert result.accuracy is not None
    assert result.accuracy > 0.8
