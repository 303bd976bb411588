"""Metrics of a regression: each is what its definition says, in the target's unit, and undefined where it should be."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as theirs

from hpsearch.nn.losses import LOSSES
from hpsearch.validation import metric as module
from hpsearch.validation.config import TASK_LOSSES
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import METRICS, metrics_of, objective_metric
from hpsearch.validation.score import SCORE_NAMES

Array = NDArray[Any]
CHECKPOINTS, RESAMPLES, ROWS = 3, 2, 57

# The metrics of a regression target, and what the objective "loss" is with each loss that is for one.
OURS: dict[str, Metric] = {
    **{name: METRICS[name] for name in ("mae", "mse", "r2", "rmse")},
    "absolute_error": objective_metric("loss", "absolute_error"),
    "squared_error": objective_metric("loss", "squared_error"),
}
# scikit-learn's answer, asked in the plainest way
SKLEARN: dict[str, Callable[[Array, Array, Array | None], float]] = {
    "mae": lambda y, p, w: theirs.mean_absolute_error(y, p, sample_weight=w),
    "mse": lambda y, p, w: theirs.mean_squared_error(y, p, sample_weight=w),
    "r2": lambda y, p, w: theirs.r2_score(y, p, sample_weight=w),
    "rmse": lambda y, p, w: theirs.root_mean_squared_error(y, p, sample_weight=w),
}
SKLEARN |= {"absolute_error": SKLEARN["mae"], "squared_error": SKLEARN["mse"]}
SQUARED = ("mse", "squared_error")
# Sums of the same float64 numbers in another order; R² can lose digits to 1 - x.
CLOSE = {"rel": 1e-12, "abs": 1e-13}

each_metric = pytest.mark.parametrize("name", OURS)
each_number_type = pytest.mark.parametrize("dtype", [np.float32, np.float64])
several_seeds = pytest.mark.parametrize("seed", range(3))


def case(seed: int, dtype: Any = np.float64, rows: int = ROWS, offset: float = 0.0) -> tuple[Array, Array]:
    """Targets (n,) and the predictions of some checkpoints (T, n, 1), from fair to hopeless."""
    draw = np.random.default_rng(seed)
    targets = offset + draw.normal(1, 2, rows)
    errors = draw.normal(0, 1, (CHECKPOINTS, rows)) * np.array([[0.5], [1.5], [6.0]])
    return targets, (targets + errors)[..., np.newaxis].astype(dtype)


def draw_weights(seed: int, rows: int, kind: str) -> Array:
    """(R, n): a bootstrap's multiplicities, or any weights, some of them 0."""
    draw = np.random.default_rng([seed, 99])
    counts = draw.multinomial(rows, np.full(rows, 1 / rows), RESAMPLES)
    return counts if kind == "multiplicities" else (counts > 0) * draw.gamma(1, size=(RESAMPLES, rows))


def keep(name: str, targets: Array, predictions: Array) -> Array:
    """What is kept at every checkpoint, (T, n, …)."""
    return np.stack([OURS[name].row_values(targets, p) for p in predictions])


def by_definition(name: str, targets: Sequence[float], predictions: Sequence[float], weights: Sequence[float]) -> float:
    """A loop over rows, in whole numbers' arithmetic as far as floats have it."""
    total = math.fsum(weights)

    def mean(values: Sequence[float]) -> float:
        return math.fsum(w * v for w, v in zip(weights, values, strict=True)) / total

    absolute = mean([abs(p - t) for t, p in zip(targets, predictions, strict=True)])
    squared = mean([(p - t) ** 2 for t, p in zip(targets, predictions, strict=True)])
    centre = mean(targets)
    spread = mean([(t - centre) ** 2 for t in targets])
    of = {"mae": absolute, "mse": squared, "rmse": math.sqrt(squared), "r2": 1 - squared / spread}
    return {**of, "absolute_error": absolute, "squared_error": squared}[name]


# --- what they are


@each_metric
@each_number_type
@several_seeds
def test_score_and_resampled_are_the_definition(name: str, dtype: Any, seed: int) -> None:
    targets, predictions = case(seed, dtype, rows=30)
    weights, metric = draw_weights(seed, 30, "any"), OURS[name]
    ours = metric.resampled(keep(name, targets, predictions), targets, 0, weights)
    for resample, checkpoint in np.ndindex(RESAMPLES, CHECKPOINTS):
        p, w = predictions[checkpoint], weights[resample]
        expected = by_definition(name, targets.tolist(), p[:, 0].tolist(), w.tolist())
        assert metric.score(targets, p, 0, w) == pytest.approx(expected, rel=1e-12)
        assert ours[resample, checkpoint] == pytest.approx(expected, **CLOSE)


@each_metric
@several_seeds
def test_resampled_is_scikit_learns_score_of_weighted_and_of_repeated_rows(name: str, seed: int) -> None:
    targets, predictions = case(seed)
    values, metric = keep(name, targets, predictions), OURS[name]
    for kind in ("any", "multiplicities"):
        weights = draw_weights(seed, ROWS, kind)
        ours = metric.resampled(values, targets, 0, weights)
        assert ours.shape == (RESAMPLES, CHECKPOINTS)
        assert ours.dtype == np.float64
        for resample, checkpoint in np.ndindex(ours.shape):
            p, w = predictions[checkpoint], weights[resample]
            assert metric.score(targets, p, 0, w) == pytest.approx(SKLEARN[name](targets, p[:, 0], w), rel=1e-12)
            assert ours[resample, checkpoint] == pytest.approx(metric.score(targets, p, 0, w), **CLOSE)
            if kind == "multiplicities":
                rows = np.repeat(np.arange(ROWS), w)
                again = metric.score(targets[rows], p[rows], 0)
                assert again == pytest.approx(metric.score(targets, p, 0, w), rel=1e-12)
                assert ours[resample, checkpoint] == pytest.approx(again, **CLOSE)


@each_metric
@each_number_type
def test_resampled_with_unit_weights_is_the_score(name: str, dtype: Any) -> None:
    targets, predictions = case(1, dtype)
    scores = [OURS[name].score(targets, p, 0) for p in predictions]
    assert all(type(score) is float for score in scores)
    ours = OURS[name].resampled(keep(name, targets, predictions), targets, 0, np.ones((2, ROWS), np.uint8))
    assert ours[0] == pytest.approx(scores, **CLOSE)
    assert np.array_equal(ours[0], ours[1])
    assert len(set(scores)) == CHECKPOINTS


@pytest.mark.parametrize("offset", [1e6, -1e6])
@each_metric
@several_seeds
def test_a_target_far_from_0_keeps_its_digits(name: str, seed: int, offset: float) -> None:
    """Errors are taken in float64 before anything is squared or narrowed, and the variance around the mean."""
    targets, predictions = case(seed, offset=offset)
    near, near_predictions = targets - offset, predictions - offset  # exact but for the rounding of 1e6, 1e-10
    weights = draw_weights(seed, ROWS, "any")
    there = OURS[name].resampled(keep(name, targets, predictions), targets, 0, weights)
    here = OURS[name].resampled(keep(name, near, near_predictions), near, 0, weights)
    # 1e-10 in an error of about 1, here and below.
    assert there == pytest.approx(here, rel=1e-8)
    for p, q in zip(predictions, near_predictions, strict=True):
        assert OURS[name].score(targets, p, 0) == pytest.approx(OURS[name].score(near, q, 0), rel=1e-8)


@each_metric
@several_seeds
def test_another_unit_of_the_target_changes_the_unit_of_the_metric_and_nothing_else(name: str, seed: int) -> None:
    """t → 4·t + b of targets and predictions: exact in binary but for b."""
    targets, predictions = case(seed)
    before = np.array([OURS[name].score(targets, p, 0) for p in predictions])
    after = [OURS[name].score(4 * targets - 8, 4 * p - 8, 0) for p in predictions]
    factor = 1 if name == "r2" else 16 if name in SQUARED else 4
    assert after == pytest.approx(factor * before, rel=1e-12)


# --- the contract of every metric


def test_the_registry_has_them_and_says_what_they_are() -> None:
    assert {name for name in METRICS if METRICS[name].task == "regression"} == {"mae", "mse", "r2", "rmse"}
    for name, metric in OURS.items():
        assert metric.task == "regression"
        assert not metric.needs_every_class
        assert metric.direction == ("maximize" if name == "r2" else "minimize")
        assert metric.sign == (-1 if name == "r2" else 1)
        assert not metric.is_share  # R² has no lower end
        squared = "squared units of the target"
        assert metric.unit == ("" if name == "r2" else squared if name in SQUARED else "units of the target")
    assert OURS["squared_error"].title == OURS["absolute_error"].title == METRICS["loss"].title


def test_every_loss_has_its_metrics_and_the_number_beside_it() -> None:
    for loss, head in LOSSES.items():
        metrics = metrics_of(loss)
        task = "regression" if head.regression else "classification"
        assert {metric.task for metric in metrics.values()} == {task}
        assert list(metrics) == [name for name in METRICS if name in metrics], "in the registry's order"
        assert len({metric.title for metric in metrics.values()}) == len(metrics)
        assert metrics["loss"] == objective_metric("loss", loss)
        assert SCORE_NAMES[task] in metrics
        assert all(objective_metric(name, loss) == metric for name, metric in metrics.items())
    assert sorted(metrics_of("squared_error")) == sorted(["loss", "mae", "mse", "r2", "rmse"])
    assert metrics_of("binary_cross_entropy") == metrics_of("cross_entropy")
    assert {name for loss in LOSSES for name in metrics_of(loss)} == set(METRICS)
    assert SCORE_NAMES == {"classification": "accuracy", "regression": "r2"}
    assert {task: LOSSES[loss].regression for task, loss in TASK_LOSSES.items()} == {
        "classification": False,
        "regression": True,
    }


@each_metric
def test_a_metric_goes_to_another_process(name: str) -> None:
    targets, predictions = case(0)
    again = pickle.loads(pickle.dumps(OURS[name]))
    assert again == OURS[name]
    assert again.score(targets, predictions[0], 0) == OURS[name].score(targets, predictions[0], 0)


@each_metric
@several_seeds
def test_the_direction_puts_perfect_before_good_before_constant_before_wrong(name: str, seed: int) -> None:
    targets, predictions = case(seed)
    ladder = [targets, predictions[0, :, 0], np.full(ROWS, targets.mean()), 2 * targets.mean() - targets]
    scores = [OURS[name].score(targets, p[:, np.newaxis], 0) for p in ladder]
    assert scores == sorted(scores, reverse=OURS[name].direction == "maximize")
    assert len(set(scores)) == 4
    assert scores[0] == (1 if name == "r2" else 0)
    if name == "r2":  # twice the deviation has four times the variance
        assert scores[2:] == pytest.approx([0, -3], abs=1e-12)


@each_metric
def test_a_perfect_prediction_is_perfect_on_every_resample(name: str) -> None:
    targets, _ = case(0, offset=1e6)
    perfect = keep(name, targets, targets[np.newaxis, :, np.newaxis])
    ours = OURS[name].resampled(perfect, targets, 0, draw_weights(0, ROWS, "multiplicities"))
    assert (ours == (1 if name == "r2" else 0)).all()


@each_metric
def test_an_interval_has_no_values_that_the_metric_cannot_have(name: str) -> None:
    metric = OURS[name]
    assert metric.bounded(-2.0, 3.0) == ((-2.0, 1.0) if name == "r2" else (0.0, 3.0))
    assert metric.bounded(0.25, 0.5) == (0.25, 0.5)
    assert metric.lowest == (-math.inf if name == "r2" else 0)


@each_metric
def test_the_order_of_rows_means_nothing_and_no_argument_is_changed(name: str) -> None:
    targets, predictions = case(2, np.float32)
    weights, order = draw_weights(2, ROWS, "multiplicities"), np.random.default_rng(0).permutation(ROWS)
    for array in (targets, predictions, weights):
        array.setflags(write=False)
    values, metric = keep(name, targets, predictions), OURS[name]
    values.setflags(write=False)
    moved = keep(name, targets[order], predictions[:, order])
    assert np.array_equal(moved, values[:, order])
    # Sums in another order: the last bits.
    there = metric.resampled(values, targets, 0, weights)
    assert metric.resampled(moved, targets[order], 0, weights[:, order]) == pytest.approx(there, rel=1e-12)
    assert metric.score(targets[order], predictions[0][order], 0) == pytest.approx(
        metric.score(targets, predictions[0], 0), rel=1e-12
    )


@each_metric
@each_number_type
def test_one_number_is_kept_of_a_row_and_it_is_no_negative_one(name: str, dtype: Any) -> None:
    targets, predictions = case(0, dtype)
    values = OURS[name].row_values(targets, predictions[0])
    assert values.shape == (ROWS,)
    assert values.dtype.kind == "f"
    errors = np.abs(predictions[0, :, 0].astype(np.float64) - targets)
    exact = errors if name in ("mae", "absolute_error") else errors**2
    np.testing.assert_array_equal(values, exact)


@pytest.mark.parametrize("loss", ["absolute_error", "squared_error"])
def test_the_loss_of_a_row_is_the_networks_own(loss: str) -> None:
    targets, predictions = case(0)
    of_rows = LOSSES[loss].of_rows(predictions.swapaxes(1, 2), np.broadcast_to(targets, (CHECKPOINTS, 1, ROWS)))
    for p, trainers in zip(predictions, of_rows, strict=True):
        kept = OURS[loss].row_values(targets, p)
        assert np.array_equal(kept, trainers)
        assert OURS[loss].score(targets, p, 0) == pytest.approx(trainers.mean(), rel=1e-14)


@each_metric
@pytest.mark.parametrize("block", [1, ROWS * 2, ROWS * 4 + 3])
def test_blocks_of_any_size_give_the_same(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    targets, predictions = case(0)
    values, weights = keep(name, targets, predictions), draw_weights(0, ROWS, "any")
    whole = OURS[name].resampled(values, targets, 0, weights)
    monkeypatch.setattr(module, "_BLOCK", block)
    assert OURS[name].resampled(values, targets, 0, weights) == pytest.approx(whole, rel=1e-12)


# --- undefined


@each_metric
def test_no_row_at_all_leaves_every_metric_undefined(name: str) -> None:
    targets, predictions = case(0)
    metric, none = OURS[name], np.zeros(ROWS)
    empty, nothing = targets[:0], predictions[:, :0]
    assert metric.undefined(empty, ()) == metric.undefined(targets, (), none) == "no row"
    assert math.isnan(metric.score(empty, nothing[0], 0))
    assert math.isnan(metric.score(targets, predictions[0], 0, none))
    both = np.stack([none, np.ones(ROWS)])
    ours = metric.resampled(keep(name, targets, predictions), targets, 0, both)
    assert np.isnan(ours[0]).all()
    # The other resamples beside it are none the worse.
    assert ours[1] == pytest.approx([metric.score(targets, p, 0) for p in predictions], **CLOSE)


@each_metric
@pytest.mark.parametrize("same", [0.0, 0.1, -1 / 3, 1e6 + 0.1])
def test_one_and_the_same_target_leaves_r2_undefined_and_nothing_else(name: str, same: float) -> None:
    """Told before and nan after, in all three ways: no other rows, others of weight 0, none of them in a resample."""
    targets, predictions = case(0)
    alike = np.arange(ROWS) % 3 > 0
    targets = np.where(alike, same, targets)
    weights, metric = alike.astype(float), OURS[name]
    expected = "one and the same target" if name == "r2" else None
    assert metric.undefined(targets, ()) is None
    assert metric.undefined(targets[alike], ()) == metric.undefined(targets, (), weights) == expected
    kept = keep(name, targets, predictions)
    resampled = metric.resampled(kept, targets, 0, np.stack([weights, 0.3 * weights, np.ones(ROWS)]))
    scores = [
        metric.score(targets[alike], predictions[0][alike], 0),
        metric.score(targets, predictions[0], 0, weights),
        *metric.resampled(kept[:1, alike], targets[alike], 0, np.ones((1, alike.sum())))[0],
        *resampled[:2, 0],
    ]
    if expected:
        assert all(math.isnan(score) for score in scores)
    else:
        assert scores == pytest.approx([scores[0]] * 5, **CLOSE)
    assert resampled[2] == pytest.approx([metric.score(targets, p, 0) for p in predictions], **CLOSE)


def test_a_single_row_has_errors_but_no_r2() -> None:
    """(scikit-learn would warn, and warnings are errors here.)"""
    targets, predictions = np.array([2.0]), np.array([[5.0]])
    scores = {name: metric.score(targets, predictions, 0) for name, metric in OURS.items()}
    assert math.isnan(scores.pop("r2"))
    assert scores == {"mae": 3, "mse": 9, "rmse": 3, "absolute_error": 3, "squared_error": 9}
    assert OURS["r2"].undefined(targets, ()) == "one and the same target"


@each_metric
@pytest.mark.parametrize("unit", [1e-25, 1e25])
def test_a_very_small_or_large_unit_loses_nothing(name: str, unit: float) -> None:
    """Of errors of 1e-25 or 1e25 a float32 does not hold the squares."""
    targets, predictions = case(0)
    scores = np.array([OURS[name].score(targets, p, 0) for p in predictions])
    factor = 1 if name == "r2" else unit**2 if name in SQUARED else unit
    kept = keep(name, unit * targets, unit * predictions)
    ours = OURS[name].resampled(kept, unit * targets, 0, np.ones((1, ROWS)))[0]
    np.testing.assert_allclose(ours, factor * scores, rtol=1e-12)
