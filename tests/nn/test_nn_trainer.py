"""The lock-step loop: checkpoints, learning rates, divergence."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scenes import assert_same_bits, scene

from hpsearch.nn.losses import LOSSES
from hpsearch.nn.optimizers import OPTIMIZERS, SGD
from hpsearch.nn.passes import Evaluator
from hpsearch.nn.trainer import Checkpoint, Descent

pytestmark = pytest.mark.usefixtures("each_kernels")

each_batching = pytest.mark.parametrize("batch_size", [None, 10], ids=["full batch", "mini-batches"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
HUGE = {np.float32: 1e30, np.float64: 1e300}


@each_batching
@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [(10, 3, [3, 6, 9, 10]), (10, 5, [5, 10]), (4, 1, [1, 2, 3, 4]), (3, 10, [3]), (1, 1, [1])],
)
def test_checkpoints_come_every_evaluate_every_epochs_and_at_the_last(
    epochs: int, every: int, expected: list[int], batch_size: int | None
) -> None:
    _, points = scene(epochs=epochs, evaluate_every=every, batch_size=batch_size).run()
    assert [point.epoch for point in points] == expected


@each_batching
def test_how_often_is_evaluated_changes_nothing_else(batch_size: int | None) -> None:
    often, often_points = scene(epochs=12, evaluate_every=1, batch_size=batch_size).run()
    seldom, seldom_points = scene(epochs=12, evaluate_every=5, batch_size=batch_size).run()
    assert often.tobytes() == seldom.tobytes()
    by_epoch = {point.epoch: point for point in often_points}
    for point in seldom_points:
        assert point.total_loss.tobytes() == by_epoch[point.epoch].total_loss.tobytes()


@each_batching
def test_whoever_stops_at_a_checkpoint_has_the_parameters_of_a_shorter_run(batch_size: int | None) -> None:
    params, points = scene(epochs=12, evaluate_every=4, batch_size=batch_size).start()
    assert next(points).epoch == 4
    assert next(points).epoch == 8
    shorter, _ = scene(epochs=8, evaluate_every=4, batch_size=batch_size).run()
    assert params.tobytes() == shorter.tobytes()


@each_batching
@pytest.mark.parametrize("dropout", [(), (0.3, 0.2)], ids=["whole", "dropout"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_that_goes_on_has_the_bits_of_one_that_was_never_stopped(
    name: str, dropout: tuple[float, ...], batch_size: int | None
) -> None:
    settings: dict[str, Any] = {"optimizer": OPTIMIZERS[name](), "batch_size": batch_size, "dropout": dropout}
    whole, points = scene(**settings, epochs=300, evaluate_every=300).run()
    first, descent = scene(**settings, epochs=1), Descent()
    params, generators, dropping = first.params.copy(), first.generators(), first.dropping()
    rates = []
    for epochs in (1, 199, 100):
        trainer = scene(**settings, epochs=epochs, evaluate_every=epochs).trainer
        rates = [point.learning_rate for point in trainer.run(params, generators, dropping, descent)]
    assert params.tobytes() == whole.tobytes()
    assert rates[-1].tobytes() == points[-1].learning_rate.tobytes()


@each_batching
@pytest.mark.parametrize("loss", LOSSES)
def test_a_checkpoints_losses_are_those_of_the_parameters_at_that_moment(loss: str, batch_size: int | None) -> None:
    """Those of a regression are in the target's unit, and so is the penalty: training descends their sum."""
    one = scene(epochs=9, evaluate_every=3, batch_size=batch_size, loss=loss, rates=0.03)
    params, points = one.start()
    seen = []
    for point in points:
        trainer = one.trainer
        now = Evaluator(trainer.architecture, trainer.data, trainer.training).evaluate(params)
        assert point.training_loss.tobytes() == now.loss.tobytes()
        for lane in range(3):
            plain = one.reference(lane, params)
            data_loss, unit = plain.data_loss(*one.rows(lane, one.training_rows(lane))), one.unit(lane)
            # Sums of some 100 numbers in another order; of a target of some 300 units with one digit less for
            # each that its errors are smaller.
            np.testing.assert_allclose(point.training_loss[lane], unit * data_loss, rtol=1e-11)
            np.testing.assert_allclose(point.penalty[lane], unit * plain.penalty(), rtol=1e-12)
        seen.append(point)
    assert np.all(seen[-1].training_loss < seen[0].training_loss)


@each_batching
def test_a_second_run_gives_the_same_bits(batch_size: int | None) -> None:
    first, second = (scene(optimizer=SGD(0.9), batch_size=batch_size).run() for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes()
    one = scene(optimizer=SGD(0.9), batch_size=batch_size)
    (again, _), (and_again, _) = one.run(), one.run()  # nor does a trainer remember anything
    assert first[0].tobytes() == again.tobytes() == and_again.tobytes()


def test_the_learning_rate_reported_is_that_of_the_last_update() -> None:
    """0.02 / (1 + decay · 10,000) after 10,001 updates, and 0.02 itself after the first."""
    one = scene(
        lanes=3, neurons=(), samples=2, counts=[3] * 3, rates=[0.02] * 3, decays=[1e-5, 1e-7, 0], epochs=10_001
    ).change(evaluate_every=10_000)
    _, (before, last) = one.run()
    np.testing.assert_allclose(last.learning_rate, [0.018181818, 0.01998002, 0.02], rtol=0, atol=5e-9)
    np.testing.assert_allclose(before.learning_rate, [0.02 / 1.09999, 0.02 / 1.0009999, 0.02], rtol=1e-14)
    _, (first,) = one.change(epochs=1).run()
    assert first.learning_rate.tolist() == [0.02] * 3


def test_decay_counts_updates_and_not_epochs() -> None:
    one = scene(batch_size=10, rates=[0.1] * 3, decays=[0.0, 0.01, 1.0], epochs=6, evaluate_every=6)
    steps = one.trainer.batching.steps
    assert steps > 1
    _, (last,) = one.run()
    done = 6 * steps - 1
    np.testing.assert_allclose(last.learning_rate, [0.1, 0.1 / (1 + done / 100), 0.1 / (1 + done)], rtol=1e-14)


# --- divergence


def test_a_lane_has_diverged_when_its_total_loss_is_not_a_finite_number() -> None:
    inf, nan = np.inf, np.nan
    loss, penalty = np.array([1.0, inf, nan, 1.0, 1.0, inf]), np.array([2.0, 0.0, 0.0, inf, nan, inf])
    flags = Checkpoint(1, np.ones(6), loss, penalty).diverged
    assert flags.tolist() == [False, True, True, True, True, True]


@each_dtype
@each_batching
def test_a_diverging_lane_is_flagged_at_the_next_checkpoint_and_its_neighbours_are_not(
    batch_size: int | None, dtype: Any
) -> None:
    huge = HUGE[dtype]
    one = scene(rates=[0.1, huge, 0.05], batch_size=batch_size, dtype=dtype, epochs=30, evaluate_every=10)
    with warnings.catch_warnings(), np.errstate(all="raise"):  # nothing may reach the caller, however strict
        warnings.simplefilter("error")
        _, points = one.run()
        flags = [point.diverged.tolist() for point in points]
    assert flags == [[False, True, False]] * 3
    for lane in (0, 2):
        assert_same_bits(one.lane(lane), one, lane)
        calm = scene(rates=[0.1, 0.1, 0.05], batch_size=batch_size, dtype=dtype, epochs=30, evaluate_every=10)
        assert one.run()[0][lane].tobytes() == calm.run()[0][lane].tobytes()


def test_a_lane_may_diverge_after_good_checkpoints() -> None:
    one = scene(lanes=2, activation="leaky_relu", strengths=[0, 1e4], rates=[0.1, 0.5], epochs=600, evaluate_every=1)
    _, points = one.run()  # L2 with 2 · lr · λ > 2 multiplies a weight by more than -1 at every update
    flags = [point.diverged.tolist() for point in points]
    assert flags[0] == [False, False]
    assert flags[-1] == [False, True]
    assert sorted(flags) == flags  # and once diverged, it stays so


@pytest.mark.parametrize("state", [{"all": "raise"}, {"all": "warn"}, {"over": "print", "invalid": "ignore"}], ids=str)
def test_numpys_error_state_is_the_callers_between_checkpoints(state: dict[str, Any]) -> None:
    outside = np.geterr()
    one = scene(rates=[0.1, 1e300, 0.1], epochs=4)
    with np.errstate(**state):
        before = np.geterr()
        assert before != outside
        _, points = one.start()
        for point in points:
            assert np.geterr() == before
            assert point.diverged[1]
            assert np.geterr() == before
    assert np.geterr() == outside
    _, points = one.start()
    next(points)
    del points  # left in the middle
    assert np.geterr() == outside


# --- number types, global state


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_agrees_with_float64_over_a_short_run(name: str, seed: int) -> None:
    narrow, wide = (
        scene(optimizer=OPTIMIZERS[name](), rates=0.05, activation="tanh", strengths=[0] * 3, seed=seed, dtype=dtype)
        for dtype in (np.float32, np.float64)
    )
    (params, points), (wide_params, wide_points) = narrow.run(), wide.run()
    assert params.dtype == np.float32
    # 10 updates of numbers near 1, each rounded at 6e-8 some times; a division by √c enlarges that in small gradients.
    np.testing.assert_allclose(params, wide_params, rtol=0, atol=1e-4)
    np.testing.assert_allclose(points[-1].training_loss, wide_points[-1].training_loss, rtol=1e-5)
    assert np.abs(wide_params - wide.params).max() > 0.02


@each_batching
def test_numpys_global_random_state_is_not_touched(batch_size: int | None) -> None:
    def state() -> str:
        return repr(np.random.get_state())  # noqa: NPY002 - this is the state that must stay as it is

    before = state()
    scene(batch_size=batch_size).run()
    assert state() == before
