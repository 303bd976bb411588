"""Dropout: what is dropped, in training only, and that its gradient knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scenes import record, scene

from hpsearch.nn.layers import ACTIVATIONS, Dropout
from hpsearch.nn.losses import LOSSES
from hpsearch.nn.passes import BackwardPass, Evaluator, ForwardPass
from hpsearch.nn.rows import PaddedRows

pytestmark = pytest.mark.usefixtures("each_kernels")

each_seed = pytest.mark.parametrize("seed", range(3))
SHAPE = (3, 40, 211)


def generators(seed: int, lanes: int = 3) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, lane]) for lane in range(lanes)]


def dropped(rate: float, seed: int, dtype: Any = np.float64, shape: tuple[int, ...] = SHAPE) -> Any:
    layer, out = Dropout(shape, np.dtype(dtype), rate, generators(seed, shape[0])), np.empty(shape, dtype)
    layer.draw()
    layer.forward(np.ones(shape, dtype), out)
    return out


@each_seed
@pytest.mark.parametrize("rate", [0.01, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_share_that_is_dropped_is_the_rate_and_the_mean_stays(rate: float, seed: int, dtype: Any) -> None:
    factors = dropped(rate, seed, dtype)
    kept = factors > 0
    assert factors.dtype == dtype
    # Five standard deviations of a share of 25,320 independent draws.
    assert abs((~kept).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / factors.size)
    # The rate is rounded to 1/65536, and the factor is that of the rounded rate.
    np.testing.assert_allclose(factors[kept], 1 / (1 - rate), rtol=1e-3)
    assert len(np.unique(factors)) == 2


@each_seed
def test_each_value_of_each_lane_and_each_draw_is_dropped_on_its_own(seed: int) -> None:
    first = dropped(0.5, seed) > 0
    flat = first.reshape(3, -1).astype(float)
    pairs = [(flat[0], flat[1]), (flat[1], flat[2]), (flat[0, 1:], flat[0, :-1]), (flat[0, 4:], flat[0, :-4])]
    for one, other in pairs:
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(len(one))
    layer, draws = Dropout(SHAPE, np.dtype(np.float64), 0.5, generators(seed)), []
    for _ in range(2):
        layer.draw()
        out = np.empty(SHAPE)
        layer.forward(np.ones(SHAPE), out)
        draws.append(out > 0)
    assert np.array_equal(draws[0], first)
    assert 0.45 < (draws[0] == draws[1]).mean() < 0.55


def test_a_lanes_draws_depend_on_its_own_generator_alone() -> None:
    together = dropped(0.3, 0, np.float32)
    for lane in range(3):
        out = np.empty((1, *SHAPE[1:]), np.float32)
        layer = Dropout(out.shape, out.dtype, 0.3, generators(0)[lane : lane + 1])
        layer.draw()
        layer.forward(np.ones_like(out), out)
        assert out[0].tobytes() == together[lane].tobytes()


@each_seed
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_that_of_the_network_without_what_was_dropped(loss: str, activation: str, seed: int) -> None:
    """Checked by central differences of the loss, with the same values dropped each time."""
    one = scene(
        lanes=2, neurons=(7, 5), samples=7, activation=activation, leaky_slope=0.3, strengths=[0, 0], seed=seed,
        loss=loss, dropout=(0.4, 0.2), epochs=1,
    )  # fmt: skip
    trainer, params = one.trainer, one.params + 0.3 * np.random.default_rng(seed).standard_normal(one.params.shape)
    index = trainer.training.index
    weights = trainer.training.weights[:, np.newaxis]

    def loss_of(params: Any) -> tuple[float, ForwardPass, Any]:
        forward = ForwardPass(trainer.architecture, 2, index.shape[1], trainer.dropout, generators(seed, 2))
        trainer.data.gather(index, forward.rows, forward.targets)
        predictions = forward.run(trainer.architecture.matrices(params))
        losses = trainer.architecture.head.of_rows(predictions, forward.targets)
        return float((losses * weights[:, 0]).sum()), forward, predictions

    _, forward, predictions = loss_of(params)
    grads = np.empty_like(params)
    matrices = trainer.architecture.matrices
    BackwardPass(forward).run(matrices(params), matrices(grads), predictions, weights)
    draw, step, checked = np.random.default_rng([seed, 1]), 1e-6, 0
    for place in draw.permutation(params.size)[:40]:
        at = np.unravel_index(place, params.shape)
        values = []
        for sign in (1, -1):
            moved = params.copy()
            moved[at] += sign * step
            values.append(loss_of(moved)[0])
        slopes = [(values[0] - loss_of(params)[0]) / step, (loss_of(params)[0] - values[1]) / step]
        if abs(slopes[0] - slopes[1]) > 1e-4:  # a kink of the activation or of the absolute error lies in between
            continue
        checked += 1
        # Differences of values near 1 over 1e-6 are known to 1e-9 or so; the rest is the second derivative.
        assert grads[at] == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-7)
    assert checked > 20


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_is_dropped_where_a_network_is_evaluated(dtype: Any) -> None:
    one = scene(neurons=(9,), dropout=(0.5,), dtype=dtype, epochs=4, evaluate_every=2)
    params, points = one.run()
    evaluator = Evaluator(one.trainer.architecture, one.trainer.data, one.trainer.training)
    assert points[-1].training_loss.tobytes() == evaluator.loss(params).tobytes()
    _, more_often = one.change(evaluate_every=1).run()
    assert [p.training_loss.tobytes() for p in more_often[1::2]] == [p.training_loss.tobytes() for p in points]


def test_a_rate_of_0_draws_nothing_and_changes_nothing() -> None:
    plain, off = scene(neurons=(9, 4)), scene(neurons=(9, 4), dropout=(0.0, 0.0))
    assert plain.run()[0].tobytes() == off.run()[0].tobytes()
    assert plain.run()[0].tobytes() != scene(neurons=(9, 4), dropout=(0.0, 0.5)).run()[0].tobytes()


def test_a_lane_without_anything_dropped_learns_as_the_average_of_many_that_drop() -> None:
    """Inverted dropout keeps the mean: of a linear layer's first gradient exactly, in expectation."""
    lanes = 400
    one = scene(
        lanes=lanes, neurons=(6,), activation="leaky_relu", leaky_slope=0.999999, counts=[48] * lanes,
        rates=[0.1] * lanes, decays=[0.0] * lanes, strengths=[0] * lanes, dropout=(0.3,), epochs=1,
        loss="squared_error",
    )  # fmt: skip
    same = one.trainer.training.index[0]
    rows = PaddedRows(np.tile(same, (lanes, 1)), one.trainer.training.counts)
    data = one.trainer.data
    columns = {name: np.repeat(getattr(data, name)[:1], lanes, axis=0) for name in ("centre", "scale")}
    columns |= {name: np.repeat(getattr(data, name)[:1], lanes) for name in ("target_centre", "target_scale")}
    alike = replace(
        one.change(training=rows, data=replace(data, **columns)), params=np.tile(one.params[:1], (lanes, 1))
    )
    predictions = []
    for scene_ in (alike, alike.change(dropout=())):
        (step,) = record(scene_)
        predictions.append(step.grads[:, -1])  # in the bias of the output: the mean error, linear in what is dropped
    spread = predictions[0].std() / np.sqrt(lanes)
    assert spread > 0
    assert abs(predictions[0].mean() - predictions[1][0]) < 5 * spread
