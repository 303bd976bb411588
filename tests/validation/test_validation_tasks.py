"""Cross-validation of a regression and of two classes with one output: every number is that of a plain network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, mean_squared_error, r2_score
from sklearn.preprocessing import StandardScaler

from hpsearch import seeds
from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import Split, SplitOptions, make_splits
from hpsearch.errors import DataError, DefinitionError
from hpsearch.nn.network import NetworkShape, initial_parameters
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import CrossValidation, cross_validate
from hpsearch.validation.lanes import fit_scalings, lane_data
from hpsearch.validation.layout import Layout
from hpsearch.validation.metrics import METRICS, metrics_of, objective_metric
from hpsearch.validation.selection import corrected

Array = NDArray[Any]
BASE = Config(neurons=5, activation="tanh", learning_rate=0.05, epochs=12, evaluate_every=3, init="he", dtype="float64")
SEED = 7
# What a loss is of scikit-learn's, and what becomes of it where the target's unit is multiplied by a.
OF_QUANTITIES: dict[str, Any] = {"absolute_error": mean_absolute_error, "squared_error": mean_squared_error}
POWER = {"absolute_error": 1, "squared_error": 2}

several_seeds = pytest.mark.parametrize("seed", range(3))
batchings = pytest.mark.parametrize("batch_size", ["full", 8])
each_loss = pytest.mark.parametrize("loss", OF_QUANTITIES)
each_number_type = pytest.mark.parametrize("dtype", ["float32", "float64"])


def quantity(rows: int = 46, seed: int = 0, unit: float = 30.0, centre: float = 150.0) -> Dataset:
    """A curved function of two of three features, with noise."""
    draw = np.random.default_rng(seed)
    features = draw.normal(0, 2, (rows, 3))
    targets = np.sin(features[:, 0]) + 0.5 * features[:, 1] + draw.normal(0, 0.3, rows)
    return Dataset.of(features, centre + unit * targets, task="regression")


def two_classes(rows: int = 46, seed: int = 0) -> Dataset:
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.arange(rows) % 2)
    return Dataset.of(draw.normal(0, 1, (rows, 3)) + labels[:, np.newaxis], labels)


DATA = {"absolute_error": quantity, "binary_cross_entropy": two_classes, "squared_error": quantity}
each_head = pytest.mark.parametrize("head", DATA)


def splits_of(data: Dataset, n_splits: int = 3, repeats: int = 1) -> tuple[Split, ...]:
    return make_splits(data, "kfold", SplitOptions(n_splits, repeats), SEED)


def validate(data: Dataset, splits: Sequence[Split] | None = None, **settings: Any) -> CrossValidation:
    options = {name: settings.pop(name) for name in ("rule", "objective", "should_stop") if name in settings}
    seed = settings.pop("seed", SEED)
    return cross_validate(data, splits or splits_of(data), BASE.replaced(settings), seed, **options)


# --- a plain network in float64, one row set, no lanes: written from the formulas


def answers_of(weights: Sequence[tuple[Array, Array]], features: Array) -> tuple[list[Array], Array]:
    """What each layer sees, and the last one's outputs, for tanh networks."""
    seen = [features]
    for matrix, biases in weights[:-1]:
        seen.append(np.tanh(seen[-1] @ matrix + biases))
    matrix, biases = weights[-1]
    return seen, seen[-1] @ matrix + biases


def slope_of(head: str, outputs: Array, targets: Array) -> Array:
    """The gradient of the mean loss in the outputs (n, 1)."""
    errors = outputs[:, 0] - targets
    of = {
        "squared_error": 2 * errors,
        "absolute_error": np.where(errors > 0, 1.0, np.where(errors < 0, -1.0, 0.0)),
        "binary_cross_entropy": expit(outputs[:, 0]) - targets,
    }
    return (of[head] / len(targets))[:, np.newaxis]


def trained_alone(data: Dataset, split: Split, head: str, config: Config) -> list[list[tuple[Array, Array]]]:
    """Full-batch gradient descent on one split; the weights at every checkpoint. Penalties are L2 of the weights."""
    network = NetworkShape(3, config.by_layer("neurons"), 1)
    draw = seeds.generator(SEED, "weights", split.repeat, split.fold)
    flat = initial_parameters(network, config.init, [draw], np.dtype(np.float64))
    named = {name: values[0].copy() for name, values in network.named(flat).items()}
    depth = len(network.neurons) + 1
    weights = [(named[f"layer{n}.weights"], named[f"layer{n}.biases"]) for n in range(1, depth + 1)]
    features, targets = scaled(data, split)
    lambdas, points = config.by_layer("weight_l2"), []
    for epoch in range(1, config.epochs + 1):
        seen, outputs = answers_of(weights, features[split.training])
        slope, after = slope_of(head, outputs, targets[split.training]), []
        for number in reversed(range(depth)):
            matrix, biases = weights[number]
            gradient = seen[number].T @ slope + 2 * lambdas[number] * matrix
            after.append((matrix - config.learning_rate * gradient, biases - config.learning_rate * slope.sum(axis=0)))
            slope = (slope @ matrix.T) * (1 - seen[number] ** 2)
        weights = after[::-1]
        if epoch % 3 == 0:
            points.append(weights)
    return points


def scaled(data: Dataset, split: Split) -> tuple[Array, Array]:
    """Features and targets as scikit-learn scales them, fitted on the training rows."""
    features = StandardScaler().fit(data.features[split.training]).transform(data.features)
    if data.task == "classification":
        return features, data.labels.astype(float)
    column = data.labels[:, np.newaxis]
    return features, StandardScaler().fit(column[split.training]).transform(column)[:, 0]


def in_own_unit(data: Dataset, split: Split, outputs: Array) -> Array:
    return StandardScaler().fit(data.labels[split.training][:, np.newaxis]).inverse_transform(outputs)[:, 0]


@each_head
@pytest.mark.parametrize("neurons", [[5], [6, 4], []])
def test_every_number_is_that_of_a_plain_network_trained_on_the_split_alone(head: str, neurons: list[int]) -> None:
    """Losses in the target's own unit; the penalty in the loss's, so that the two add up to what training descends."""
    data = DATA[head](rows=47)  # folds of 16, 16 and 15 rows
    splits, lambdas = splits_of(data, repeats=2), [2e-2, 1e-3, 3e-3][: len(neurons) + 1]
    settings = {"neurons": neurons, "optimizer": "sgd", "learning_rate": 0.1, "loss": head, "weight_l2": lambdas}
    ours = validate(data, splits, rule="last", **settings)
    config = BASE.replaced(settings)
    # Sums over padded rows in another order; a dozen updates do not enlarge what that rounds.
    close = {"rtol": 1e-9, "atol": 1e-12}
    assert ours.rows is not None
    ends = np.cumsum([len(split.validation) for split in splits])
    for lane, split in enumerate(splits):
        points = trained_alone(data, split, head, config)
        features, _ = scaled(data, split)
        kept = ours.rows.predictions[ends[lane] - len(split.validation) : ends[lane]]
        for number, weights in enumerate(points):
            outputs = answers_of(weights, features)[1]
            for rows, curve in (
                (split.training, ours.curve.training_loss),
                (split.validation, ours.curve.validation_loss),
            ):
                if head in OF_QUANTITIES:
                    theirs = OF_QUANTITIES[head](data.labels[rows], in_own_unit(data, split, outputs[rows]))
                else:
                    theirs = log_loss(data.labels[rows], expit(outputs[rows, 0]))
                np.testing.assert_allclose(curve[number][lane], theirs, **close)
        fold, validated = ours.folds[lane], data.labels[split.validation]
        unit = np.std(data.labels[split.training]) ** POWER[head] if head in OF_QUANTITIES else 1.0
        penalty = sum(of * np.sum(matrix**2) for of, (matrix, _) in zip(lambdas, points[-1], strict=True))
        np.testing.assert_allclose(fold.penalty, unit * penalty, **close)
        outputs = answers_of(points[-1], features[split.validation])[1]
        if head in OF_QUANTITIES:
            np.testing.assert_allclose(kept[:, 0], in_own_unit(data, split, outputs), rtol=1e-9)
            assert fold.r2 == pytest.approx(r2_score(validated, kept[:, 0]), rel=1e-9)
            assert fold.accuracy is None
        else:
            # Kept in float32.
            np.testing.assert_allclose(kept, softmax(np.hstack([0 * outputs, outputs]), axis=1), rtol=1e-6)
            assert fold.accuracy == accuracy_score(validated, outputs[:, 0] > 0)
            assert fold.r2 is None
    name, value = ours.score_name, ours.score
    assert name == ("r2" if head in OF_QUANTITIES else "accuracy")
    assert value == pytest.approx(np.mean([getattr(fold, name) for fold in ours.folds]), rel=1e-14)


# --- a regression target


@each_loss
@batchings
@each_number_type
def test_validation_losses_are_scikit_learns_of_the_kept_answers(loss: str, batch_size: Any, dtype: str) -> None:
    data = quantity(rows=47)
    splits = splits_of(data, repeats=2)
    result = validate(data, splits, loss=loss, batch_size=batch_size, dtype=dtype)
    assert result.rows is not None
    assert result.rows.predictions.dtype == np.float64
    assert result.rows.predictions.shape == (2 * 47, 1)
    ends = np.cumsum([len(split.validation) for split in splits])
    for fold, split, end in zip(result.folds, splits, ends, strict=True):
        predictions = result.rows.predictions[end - len(split.validation) : end, 0]
        # The same predictions, in float64 both: the order of the sum.
        theirs = OF_QUANTITIES[loss](data.labels[split.validation], predictions)
        assert fold.validation_loss == pytest.approx(theirs, rel=1e-12)
        assert fold.r2 == pytest.approx(r2_score(data.labels[split.validation], predictions), rel=1e-10)
    assert result.value == pytest.approx(np.mean([fold.validation_loss for fold in result.folds]), rel=1e-14)


@each_loss
@pytest.mark.parametrize("objective", ["mae", "mse", "r2", "rmse"])
def test_any_metric_can_be_the_objective(loss: str, objective: str) -> None:
    data = quantity()
    splits, metric = splits_of(data), METRICS[objective]
    result = validate(data, splits, loss=loss, objective=objective)
    plain = validate(data, splits, loss=loss)
    assert result.curve.validation_loss == plain.curve.validation_loss
    assert result.rows is not None
    ends = np.cumsum([len(split.validation) for split in splits])
    for fold, split, end in zip(result.folds, splits, ends, strict=True):
        predictions = result.rows.predictions[end - len(split.validation) : end]
        assert fold.value == pytest.approx(metric.score(data.labels[split.validation], predictions, 0), rel=1e-10)
    better = max if metric.direction == "maximize" else min
    assert result.value == better(result.curve.means)
    # Training descends the loss; which of its checkpoints is chosen is the objective's.
    assert result.best_epoch == result.curve.epochs[result.curve.means.index(result.value)]
    if POWER[loss] == 2 and objective == "mse":
        assert result.value == pytest.approx(plain.value, rel=1e-12)


@each_loss
@batchings
@several_seeds
def test_the_targets_of_validation_rows_reach_no_training(loss: str, batch_size: Any, seed: int) -> None:
    """Not through the centre and the scale either: the training curve and what is answered are the same bits."""
    data, draw = quantity(seed=seed), np.random.default_rng(seed)
    for split in splits_of(data):
        before = validate(data, [split], loss=loss, batch_size=batch_size, rule="last")
        targets = data.labels.copy()
        targets[split.validation] = draw.normal(-1e4, 1e3, len(split.validation))
        after = validate(replace(data, labels=targets), [split], loss=loss, batch_size=batch_size, rule="last")
        assert after.curve.training_loss == before.curve.training_loss
        assert after.folds[0].penalty == before.folds[0].penalty
        assert before.rows is not None
        assert after.rows is not None
        assert np.array_equal(after.rows.predictions, before.rows.predictions)
        assert after.value != before.value


def test_centre_and_scale_are_scikit_learns_of_each_lanes_training_rows() -> None:
    data = quantity()
    training = [split.training for split in splits_of(data)]
    lanes = lane_data(data, fit_scalings(data, training, "standard"), training)
    theirs = [StandardScaler().fit(data.labels[rows][:, np.newaxis]) for rows in training]
    np.testing.assert_allclose(lanes.target_centre, [one.mean_.item() for one in theirs], rtol=1e-14)
    np.testing.assert_allclose(lanes.target_scale, [one.scale_.item() for one in theirs], rtol=1e-14)


@pytest.mark.parametrize("same", [0.1, 1e6 + 1 / 3, 0.0, -7.0])
def test_training_targets_that_are_all_alike_stay_in_their_own_unit(same: float) -> None:
    """As StandardScaler leaves them, also where their mean is rounded and so is not quite theirs."""
    data = quantity(rows=30)
    split = splits_of(data)[0]
    targets = data.labels.copy()
    targets[split.training] = same
    data = replace(data, labels=targets)
    lanes = lane_data(data, fit_scalings(data, [split.training], "standard"), [split.training])
    theirs = StandardScaler().fit(targets[split.training][:, np.newaxis])
    assert lanes.target_scale is not None
    assert lanes.target_scale.tolist() == theirs.scale_.tolist() == [1.0]
    result = validate(data, [split])
    assert result.outcome == "complete"


@each_loss
@batchings
@pytest.mark.parametrize(("factor", "shift"), [(1000.0, -3.0), (-0.02, 1e3), (1e-21, 0.0), (1e21, 1e22)])
def test_another_unit_of_the_target_multiplies_its_losses_and_changes_nothing_else(
    loss: str, batch_size: Any, factor: float, shift: float
) -> None:
    """t → a·t + b, in float64."""
    data = quantity()
    moved = replace(data, labels=factor * data.labels + shift)
    # The weights drawn do not change their sign, so a negative factor is compared with the negated target.
    compared = replace(data, labels=-data.labels) if factor < 0 else data
    settings = {"loss": loss, "batch_size": batch_size, "weight_l2": 1e-3, "rule": "last"}
    before, after = validate(compared, **settings), validate(moved, **settings)
    unit = abs(factor) ** POWER[loss]
    # What is left of a target beside b has fewer digits, and a scaled target is rounded at 1e-16 · |t| / spread: here
    # 1e-13 for 1e3 beside a spread of 0.6; adam's division by small roots enlarges that, and |y - t| has a kink.
    close = {"rtol": 1e-7}
    for one, other in zip(after.folds, before.folds, strict=True):
        assert one.r2 == pytest.approx(other.r2, rel=1e-7, abs=1e-9)
        for name in ("training_loss", "validation_loss", "penalty"):
            np.testing.assert_allclose(getattr(one, name), unit * getattr(other, name), **close)
    np.testing.assert_allclose(after.curve.training_loss, unit * np.array(before.curve.training_loss), **close)
    np.testing.assert_allclose(after.curve.validation_loss, unit * np.array(before.curve.validation_loss), **close)
    assert before.rows is not None
    assert after.rows is not None
    np.testing.assert_allclose(after.rows.losses.mean(), unit * before.rows.losses.mean(), **close)


@pytest.mark.parametrize("unit", [1e-25, 1e25])
def test_r2_is_no_better_in_a_very_small_unit_and_no_worse_in_a_very_large_one(unit: float) -> None:
    data = quantity(unit=1.0, centre=0.0)
    plain = validate(data, objective="r2")
    other = validate(replace(data, labels=unit * data.labels), objective="r2")
    assert other.value == pytest.approx(plain.value, rel=1e-9)
    assert other.best_epoch == plain.best_epoch


@several_seeds
def test_learning_explains_what_can_be_explained(seed: int) -> None:
    data = quantity(rows=300, seed=seed, centre=1e5)
    for loss in OF_QUANTITIES:
        result = validate(data, loss=loss, neurons=32, epochs=150, evaluate_every=10, dtype="float32")
        assert result.r2 is not None
        assert result.r2 > 0.8


# --- what follows from answers


def layout_and_candidates(name: str, data: Dataset, configs: Sequence[dict[str, Any]]) -> tuple[Layout, list[Array]]:
    splits = splits_of(data, 4)
    results = [validate(data, splits, objective=name, **settings) for settings in configs]
    layout = Layout.of(data, splits, "kfold")
    return layout, [result.rows.of_objective for result in results if result.rows is not None]


CANDIDATES = [{"learning_rate": rate, "neurons": n} for rate in (0.003, 0.05) for n in (2, 9)]


@pytest.mark.parametrize("name", metrics_of("squared_error"))
@several_seeds
def test_the_best_of_several_can_be_corrected_for_having_been_chosen(name: str, seed: int) -> None:
    data, metric = quantity(rows=60, seed=seed), objective_metric(name, "squared_error")
    layout, candidates = layout_and_candidates(name, data, CANDIDATES)
    assert layout.classes == 0
    found = corrected(candidates, layout, metric, seed)
    assert found.low < found.value < found.high
    assert (found.trials, found.candidates, found.units) == (4, 16, 60)
    means = [
        np.mean(
            [
                metric.resampled(values[:, layout.splits == split], layout.labels[layout.splits == split], 0, ones)[0]
                for split in range(4)
                for ones in [np.ones((1, int((layout.splits == split).sum())))]
            ],
            axis=0,
        )
        for values in candidates
    ]
    best = metric.sign * np.min(metric.sign * np.array(means))
    # What was chosen without a row cannot do better on all rows than what was chosen with them.
    assert metric.sign * found.value >= metric.sign * best - 1e-9 * abs(best)
    if metric.direction == "minimize":
        assert found.low >= 0
    else:
        assert found.high <= 1
    assert corrected(candidates, layout, metric, seed) == found


@several_seeds
def test_a_corrected_r2_may_be_below_0(seed: int) -> None:
    """Of noise nothing can be explained, and the interval does not end at 0 for that."""
    draw = np.random.default_rng(seed)
    data = Dataset.of(draw.normal(size=(60, 3)), draw.normal(size=60), task="regression")
    layout, candidates = layout_and_candidates("r2", data, [{"neurons": 30, "epochs": 60, "evaluate_every": 60}])
    found = corrected([candidates[0]], layout, METRICS["r2"], 0)
    assert found.value < 0
    assert found.low < found.value < found.high
    # One candidate, however often it is offered, keeps its mean.
    assert corrected(candidates * 3, layout, METRICS["r2"], 0).value == pytest.approx(found.value, rel=1e-12)


def test_a_factor_of_the_target_is_one_of_its_corrected_loss() -> None:
    data = quantity(rows=60)
    scores = []
    for factor in (1.0, 1024.0):  # exact in binary
        of = replace(data, labels=factor * data.labels)
        layout, candidates = layout_and_candidates("mae", of, CANDIDATES)
        scores.append(corrected(candidates, layout, METRICS["mae"], 0))
    for part in ("value", "low", "high"):
        # The training's own rounding.
        assert getattr(scores[1], part) == pytest.approx(1024 * getattr(scores[0], part), rel=1e-9)


@each_loss
@pytest.mark.parametrize("objective", ["loss", "r2", "rmse"])
def test_the_estimate_is_the_mean_over_the_splits_with_an_interval(loss: str, objective: str) -> None:
    result = validate(quantity(), loss=loss, objective=objective)
    sure, of_loss = result.estimate, result.estimate_of_loss
    assert sure is not None
    assert of_loss is not None
    assert sure.mean == pytest.approx(result.value, rel=1e-14)
    assert of_loss.mean == pytest.approx(np.mean([fold.validation_loss for fold in result.folds]), rel=1e-14)
    for one in (sure, of_loss):
        assert one.low is not None
        assert one.high is not None
        assert one.low < one.mean < one.high
    assert of_loss.low is not None
    assert of_loss.low >= 0
    if objective == "r2":
        assert sure.high is not None
        assert sure.high <= 1


@each_head
def test_a_pruned_trial_says_when_and_where_it_stood(head: str) -> None:
    result = validate(DATA[head](), loss=head, should_stop=lambda epoch, mean: epoch >= 6)
    assert (result.outcome, result.value, result.r2, result.accuracy) == ("pruned", None, None, None)
    assert result.reason == f"pruned at epoch 6, mean validation loss {result.curve.means[-1]:.4g}"
    if head in OF_QUANTITIES:
        result = validate(DATA[head](), loss=head, objective="r2", should_stop=lambda epoch, mean: epoch >= 6)
        assert str(result.reason).startswith("pruned at epoch 6, mean R² ")
    assert result.estimate is None


@each_head
@each_number_type
def test_a_diverging_training_names_fold_epoch_and_settings(head: str, dtype: str) -> None:
    """Absolute errors have gradients of at most 1, so it takes a learning rate that no configuration may have."""
    tame, data = BASE.replaced({"loss": head, "optimizer": "sgd", "activation": "relu", "dtype": dtype}), DATA[head]()
    result = cross_validate(data, splits_of(data), tame.model_copy(update={"learning_rate": 1e308}), SEED)
    assert (result.outcome, result.value, result.rows) == ("diverged", None, None)
    if head in OF_QUANTITIES:
        assert "fold 0 " in str(result.reason)
        assert "epoch 3 " in str(result.reason)
        assert "learning_rate=1e+308" in str(result.reason)


# --- weights


@each_head
@batchings
def test_a_row_of_weight_2_counts_as_two_and_one_of_weight_0_as_none(head: str, batch_size: Any) -> None:
    """In validation, with the very same networks: weights of the training rows are all 1."""
    data = DATA[head](rows=40)
    training, validation = np.arange(24), np.arange(24, 40)
    again = np.array([24, 30, 31])
    left_out = np.array([25, 39])
    weights = np.ones(40)
    weights[again], weights[left_out] = 2, 0
    weighted = validate(
        replace(data, weights=weights), [Split(0, 0, training, validation)], loss=head, batch_size=batch_size
    )
    repeated = np.sort(np.concatenate([np.setdiff1d(validation, left_out), again]))
    plain = validate(data, [Split(0, 0, training, repeated)], loss=head, batch_size=batch_size)
    # Shares of weights and shares of rows are rounded for themselves, as are sums in another order.
    np.testing.assert_allclose(weighted.curve.training_loss, plain.curve.training_loss, rtol=1e-12)
    np.testing.assert_allclose(weighted.curve.validation_loss, plain.curve.validation_loss, rtol=1e-12)
    assert weighted.score_name == plain.score_name
    assert weighted.score == pytest.approx(plain.score, rel=1e-12)


@each_loss
def test_weights_of_training_rows_are_those_of_scikit_learns_mean(loss: str) -> None:
    """The training loss counts them, whatever the centre and the scale are learnt from."""
    data = quantity(rows=40)
    weights = np.random.default_rng(0).gamma(1, size=40)
    split = Split(0, 0, np.arange(30), np.arange(30, 40))
    everything = Split(0, 0, np.arange(30), np.arange(30))  # to be told what is answered to the training rows
    of = replace(data, weights=weights)
    result, seen = (validate(of, [one], loss=loss, rule="last") for one in (split, everything))
    assert seen.rows is not None
    assert result.curve.training_loss == seen.curve.training_loss
    theirs = OF_QUANTITIES[loss](data.labels[:30], seen.rows.predictions[:, 0], sample_weight=weights[:30])
    assert result.folds[0].training_loss == pytest.approx(theirs, rel=1e-12)


def test_a_split_whose_targets_are_all_the_same_has_a_loss_and_no_r2() -> None:
    data = quantity(rows=30)
    targets = data.labels.copy()
    targets[20:] = 5.0
    data = replace(data, labels=targets)
    splits = [Split(0, 0, np.arange(10, 30), np.arange(10)), Split(0, 1, np.arange(20), np.arange(20, 30))]
    result = validate(data, splits)
    assert result.outcome == "complete"
    assert [fold.r2 is None for fold in result.folds] == [False, True]
    assert result.r2 is None
    assert "r2" not in result.folds[1].row()


# --- two classes with one output


@batchings
@several_seeds
@each_number_type
def test_two_probabilities_are_a_softmax_of_0_and_the_output(batch_size: Any, seed: int, dtype: str) -> None:
    data = two_classes(seed=seed)
    splits = splits_of(data)
    result = validate(data, splits, loss="binary_cross_entropy", batch_size=batch_size, dtype=dtype)
    assert result.parameters == (3 + 1) * 5 + (5 + 1) * 1
    assert result.rows is not None
    p = result.rows.predictions
    assert p.dtype == np.float32
    assert p.shape == (46, 2)
    # Each of the two is rounded for itself.
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=2e-7)
    layout = Layout.of(data, splits, "kfold")
    labels, counts = layout.labels, np.bincount(layout.splits)
    losses = -np.log(p[np.arange(46), labels].astype(float))
    kept = result.rows.losses[result.curve.epochs.index(result.best_epoch)]
    np.testing.assert_allclose(losses, kept, rtol=1e-5, atol=1e-6)
    assert result.accuracy == pytest.approx(np.mean([
        accuracy_score(labels[layout.splits == s], p[layout.splits == s].argmax(axis=1)) for s in range(len(counts))
    ]))  # fmt: skip
    z = np.log(p[:, 1].astype(float) / p[:, 0])
    np.testing.assert_allclose(p, softmax(np.stack([0 * z, z], axis=1), axis=1), rtol=1e-6)


@pytest.mark.parametrize("objective", metrics_of("binary_cross_entropy"))
def test_every_metric_of_classes_is_one_of_two_classes_with_one_output(objective: str) -> None:
    data = two_classes()
    result = validate(data, loss="binary_cross_entropy", objective=objective)
    plain = validate(data, objective=objective)
    assert result.metric == plain.metric
    assert float(result.value or 0) >= 0
    assert result.parameters == plain.parameters - 6


# --- what goes together


def test_a_loss_of_the_other_task_is_refused() -> None:
    for data, losses in ((two_classes(), OF_QUANTITIES), (quantity(), ("cross_entropy", "binary_cross_entropy"))):
        for loss in losses:
            with pytest.raises(DefinitionError, match=rf"^loss must be for .* but is '{loss}'\. Choose one of"):
                validate(data, loss=loss)
    with pytest.raises(DefinitionError, match=r"^class_weight must go with classes"):
        validate(quantity(), class_weight="balanced")


def test_one_output_for_three_classes_is_refused() -> None:
    draw = np.random.default_rng(0)
    data = Dataset.of(draw.normal(size=(30, 3)), np.arange(30) % 3)
    with pytest.raises(DataError, match="two classes to tell apart, but there are 3") as caught:
        validate(data, loss="binary_cross_entropy")
    assert "\n" not in str(caught.value)


# --- dropout

RATES = [0.3, [0.5, 0.0], [0.0, 0.2]]
WIDE = {"neurons": [8, 8], "epochs": 12}
each_rate = pytest.mark.parametrize("rate", RATES, ids=str)
of_all = pytest.mark.parametrize("head", [*DATA, "cross_entropy"])


def rows_for(head: str) -> Dataset:
    return DATA.get(head, two_classes)()


@of_all
@batchings
@each_number_type
def test_without_dropout_the_bits_are_those_without_the_key(head: str, batch_size: Any, dtype: str) -> None:
    settings = {"loss": head, "batch_size": batch_size, "dtype": dtype, **WIDE}
    plain = validate(rows_for(head), **settings)
    for nothing in (0.0, [0.0, 0.0]):
        result = validate(rows_for(head), dropout=nothing, **settings)
        assert astuple(result.curve) == astuple(plain.curve)
        assert result.folds == plain.folds


@of_all
@each_rate
@batchings
@each_number_type
def test_a_split_drops_the_same_alone_and_among_others(head: str, rate: Any, batch_size: Any, dtype: str) -> None:
    data = DATA.get(head, two_classes)(rows=48)
    splits = splits_of(data, repeats=2)
    settings = {"loss": head, "batch_size": batch_size, "dtype": dtype, "dropout": rate, "rule": "last", **WIDE}
    together = validate(data, splits, **settings)
    for lane in (0, 4):
        alone = validate(data, [splits[lane]], **settings)
        assert alone.folds == (together.folds[lane],)
        assert alone.curve.validation_loss == [[of[lane]] for of in together.curve.validation_loss]


@of_all
@each_rate
@batchings
def test_looking_more_often_changes_nothing(head: str, rate: Any, batch_size: Any) -> None:
    """An evaluation drops nothing and draws nothing."""
    settings = {"loss": head, "batch_size": batch_size, "dropout": rate, "rule": "last", **WIDE}
    once, often = (validate(rows_for(head), evaluate_every=every, **settings) for every in (12, 1))
    assert once.curve.epochs == [12]
    assert often.curve.epochs == list(range(1, 13))
    assert often.folds == once.folds


@of_all
def test_what_an_evaluation_answers_is_the_whole_networks(head: str) -> None:
    """With a standstill of learning, dropout changes no loss: it is not there where losses are taken."""
    still = {"loss": head, "learning_rate": 1e-30, **WIDE}
    one, other = (validate(rows_for(head), dropout=rate, **still) for rate in (0.0, 0.9))
    assert one.curve.validation_loss == other.curve.validation_loss
    assert one.curve.training_loss == other.curve.training_loss


@of_all
def test_every_seed_split_and_rate_drops_something_else(head: str) -> None:
    data = rows_for(head)
    split = splits_of(data)[0]
    lanes = [replace(split, repeat=repeat, fold=fold) for repeat in range(2) for fold in range(2)]
    losses = [
        loss
        for seed in (1, 2)
        for rate in (0.0, 0.2, 0.5)
        for loss in validate(data, lanes, loss=head, dropout=rate, seed=seed, rule="last", **WIDE).curve.training_loss[
            -1
        ]
    ]
    assert len(set(losses)) == len(losses)


@several_seeds
def test_dropout_keeps_a_large_network_from_learning_noise_by_heart(seed: int) -> None:
    draw = np.random.default_rng(seed)
    data = Dataset.of(draw.normal(size=(60, 5)), draw.normal(size=60), task="regression")
    settings = {"neurons": 64, "epochs": 100, "evaluate_every": 100}
    plain, dropped = (validate(data, dropout=rate, **settings) for rate in (0.0, 0.5))
    for one, other in zip(plain.folds, dropped.folds, strict=True):
        assert one.training_loss < other.training_loss
