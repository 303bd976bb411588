"""One contract for every registered optimizer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray
from scenes import Scene, assert_same_bits, record, scene

from hpsearch.nn.optimizers import OPTIMIZER_SETTINGS, OPTIMIZERS, SGD, decayed

pytestmark = pytest.mark.usefixtures("each_kernels")

# A value of each setting that is not its default. A new setting needs one.
OTHER_VALUE = {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3, "momentum": 0.9, "rho": 0.6}
# Learning rates at which a spiral is learnt in some hundred steps; 0.02 for who is not named.
RATES = {"sgd": 0.5, "adagrad": 0.1}
CASES: list[tuple[str, dict[str, Any]]] = [
    case
    for name in OPTIMIZERS
    for case in [(name, {}), *((name, {key: OTHER_VALUE[key]}) for key in sorted(OPTIMIZER_SETTINGS[name]))]
]
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
each_case = pytest.mark.parametrize(("name", "settings"), CASES, ids=lambda value: str(value))
each_batching = pytest.mark.parametrize("batch_size", [None, 10], ids=["full batch", "mini-batches"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def training(name: str, settings: dict[str, Any] | None = None, **changes: Any) -> Scene:
    return scene(optimizer=OPTIMIZERS[name](**(settings or {})), rates=RATES.get(name, 0.02), **changes)


def largest(array: NDArray[np.floating[Any]]) -> float:
    return float(np.abs(array).max())


# --- what an optimizer is for


@each_optimizer
@pytest.mark.parametrize("seed", range(3))
def test_finds_the_minimum_of_a_convex_quadratic(name: str, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rates = np.array([[1.0], [0.3], [0.1], [0.03]])
    params, minimum = draw.uniform(-1, 1, (4, 5)), draw.uniform(-1, 1, (4, 5))
    curvature = draw.uniform(0.5, 1.5, (4, 5))
    optimizer = OPTIMIZERS[name]()
    state = optimizer.init(params)
    with np.errstate(over="ignore", invalid="ignore"):  # a learning rate may be too high
        for step in range(2000):
            rate = decayed(rates, np.float64(0.05), step)
            optimizer.update(params, curvature * (params - minimum), rate, step, state)
    # At the end a step is at most 1 % of the learning rate, so even one of constant length ends this near.
    assert np.nanmin(np.abs(params - minimum).max(axis=1)) < 1e-3


@each_optimizer
@pytest.mark.parametrize("seed", range(3))
def test_separates_what_is_linearly_separable(name: str, seed: int) -> None:
    rates = [3.0, 1.0, 0.3, 0.1]
    one = scene(lanes=4, neurons=(), rates=rates, optimizer=OPTIMIZERS[name](), strengths=[0] * 4, seed=seed)
    data = one.trainer.data
    features = np.array([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])[data.labels]
    features += np.random.default_rng(seed).uniform(-0.5, 0.5, features.shape)
    _, checkpoints = one.change(data=replace(data, features=features), epochs=500, evaluate_every=500).run()
    assert np.nanmin(checkpoints[-1].training_loss) < 0.01


# --- the formulas


def test_every_registered_optimizer_has_an_independent_reference() -> None:
    assert set(OPTIMIZERS) == set(reference.OPTIMIZERS)


@each_batching
@each_case
def test_each_update_equals_the_reference_from_the_same_state(
    name: str, settings: dict[str, Any], batch_size: int | None
) -> None:
    one = training(name, settings, batch_size=batch_size, strengths=[0, 1, 3], epochs=200 if batch_size is None else 40)
    steps, batches = record(one), list(one.batches())
    assert len(steps) == len(batches) == 200
    for t, (step, rows) in enumerate(zip(steps, batches, strict=True)):
        for lane in range(3):
            plain = one.reference(lane, step.before, step.state_before, updates=t, **settings)
            plain.step(*one.rows(lane, rows[lane]))
            change = largest(plain.flat() - step.before[lane])
            assert change > 1e-4  # a run that has come to rest would prove nothing
            assert largest(plain.flat() - step.after[lane]) <= 1e-12 * change, (t, lane)
            for key, ours in zip(reference.OPTIMIZERS[name][1], step.state_after, strict=False):
                theirs = plain.flat_memory(key)
                assert largest(theirs - ours[lane]) <= 1e-12 * largest(theirs), (t, lane, key)


@each_batching
@each_optimizer
@pytest.mark.parametrize("seed", range(3))
def test_a_whole_trajectory_equals_the_reference(name: str, batch_size: int | None, seed: int) -> None:
    """To 1e-10, or where rounding alone moves the reference further, to 100 times as far as it does.

    A gradient near 0 is divided by its own size plus ε = 1e-7: there an optimizer with a cache enlarges the rounding
    of the sum over rows up to 10 million times. How much, the reference says itself, trained on the same rows in
    another order. SGD has no such division and gets no such allowance.
    """
    epochs = 100 if batch_size is None else 20
    one = training(name, batch_size=batch_size, strengths=[1, 3], lanes=2, seed=seed, epochs=epochs)
    ours, _ = one.run()
    batches = list(one.batches())
    for lane in range(2):

        def trained(order: np.random.Generator | None, lane: int = lane) -> NDArray[np.float64]:
            plain = one.reference(lane)
            for rows in batches:
                plain.step(*one.rows(lane, rows[lane] if order is None else order.permutation(rows[lane])))
            return plain.flat()

        plain = trained(None)
        moved = max(largest(trained(np.random.default_rng(k)) - plain) for k in range(3))
        assert moved < 1e-6  # beyond, the comparison would say little
        allowed = 1e-10 if name == "sgd" else max(1e-10, 100 * moved)
        assert largest(ours[lane] - plain) <= allowed
        assert largest(plain - one.params[lane]) > 0.1  # it went somewhere


@pytest.mark.parametrize(("name", "setting"), [(n, key) for n in OPTIMIZERS for key in sorted(OPTIMIZER_SETTINGS[n])])
def test_each_setting_matters(name: str, setting: str) -> None:
    other, _ = training(name, {setting: OTHER_VALUE[setting]}).run()
    default, _ = training(name).run()
    assert np.all(np.abs(other - default).max(axis=1) > 1e-4)


@each_optimizer
def test_the_step_is_proportional_to_the_learning_rate_of_its_own_lane(name: str) -> None:
    params = np.random.default_rng(0).standard_normal((3, 5))
    moved = np.repeat(params[:1], 3, axis=0)
    grads = np.repeat(params[1:2], 3, axis=0)
    before = moved.copy()
    optimizer = OPTIMIZERS[name]()
    optimizer.update(moved, grads, np.array([[0.0], [0.25], [0.5]]), 0, optimizer.init(moved))
    assert np.array_equal(moved[0], before[0])
    # 1e-14: the difference of numbers near 1 that were rounded once.
    np.testing.assert_allclose(moved[2] - before[2], 2 * (moved[1] - before[1]), rtol=0, atol=1e-14)
    assert largest(moved[2] - before[2]) > 1e-3


@each_dtype
@each_batching
def test_momentum_may_differ_by_lane(dtype: Any, batch_size: int | None) -> None:
    column = np.array([[0.0], [0.5], [0.9]])
    one = scene(optimizer=SGD(column.astype(dtype)), rates=0.2, batch_size=batch_size, dtype=dtype)
    for lane, momentum in enumerate(column[:, 0]):
        assert_same_bits(one.lane(lane), one, lane)
        number = one.lane(lane).change(optimizer=SGD(float(momentum)))
        assert_same_bits(number, one, lane)
    if dtype is np.float64:
        params, _ = one.run()
        for lane, momentum in enumerate(column[:, 0]):
            plain = one.reference(lane, momentum=momentum)
            for rows in one.batches():
                plain.step(*one.rows(lane, rows[lane]))
            # 10 to 50 updates of numbers near 1: some roundings of 1e-16 each.
            assert largest(plain.flat() - params[lane]) < 1e-12


# --- lanes


@each_dtype
@each_batching
@each_optimizer
def test_a_lane_alone_or_among_others_has_the_same_bits(name: str, batch_size: int | None, dtype: Any) -> None:
    one = training(name, batch_size=batch_size, dtype=dtype, lanes=4, length=50, epochs=25, evaluate_every=10)
    for lane in range(4):
        assert_same_bits(one.lane(lane), one, lane)


@each_dtype
@each_batching
@each_optimizer
def test_lanes_that_diverge_leave_the_others_bits_alone(name: str, batch_size: int | None, dtype: Any) -> None:
    huge = {np.float32: 1e30, np.float64: 1e300}[dtype]
    one = scene(
        optimizer=OPTIMIZERS[name](),
        lanes=4,
        rates=[huge, RATES.get(name, 0.02), huge, RATES.get(name, 0.01)],
        batch_size=batch_size,
        dtype=dtype,
        length=50,
        epochs=12,
        evaluate_every=4,
    )
    _, checkpoints = one.run()
    assert [list(point.diverged) for point in checkpoints] == [[True, False, True, False]] * 3
    for lane in (1, 3):
        assert_same_bits(one.lane(lane), one, lane)
