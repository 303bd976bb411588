"""L1 and L2: what is penalised, with which lambda, and where it is reported."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scenes import Lambdas, Scene, penalties, scene

from hpsearch.nn.network import NetworkShape
from hpsearch.nn.passes import Evaluator

pytestmark = pytest.mark.usefixtures("each_kernels")

NETWORK = NetworkShape(3, (4, 2), 3)
NONE = [0.0, 0.0, 0.0]


def only(kind: str, values: list[float]) -> Lambdas:
    return Lambdas(**{**dict.fromkeys(("weight_l1", "bias_l1", "weight_l2", "bias_l2"), NONE), kind: values})


def standing(**changes: Any) -> Scene:
    """A training whose parameters do not move, with parameters that are nowhere 0."""
    one = scene(rates=[0.0, 0.0, 0.0], epochs=1, **changes)
    one.params[:] = np.random.default_rng(5).standard_normal(one.params.shape)
    return one


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("kind", ["weight_l1", "bias_l1", "weight_l2", "bias_l2"])
def test_each_lambda_penalises_its_own_parameters_and_no_others(kind: str, layer: int, seed: int) -> None:
    params = np.random.default_rng(seed).standard_normal((1, NETWORK.size))
    of_layer = NONE.copy()
    of_layer[layer - 1] = 0.125
    one = penalties(NETWORK, [only(kind, of_layer)])
    name = f"layer{layer}.weights" if kind.startswith("weight") else f"layer{layer}.biases"
    numbers = NETWORK.named(params)[name].ravel().tolist()
    powers = [abs(w) if kind.endswith("l1") else w * w for w in numbers]
    np.testing.assert_allclose(one.value(params), 0.125 * math.fsum(powers), rtol=1e-14)  # a sum of at most 20
    grads = np.zeros_like(params)
    one.add_gradient(params, grads, np.empty_like(params))
    touched = np.zeros_like(params)
    NETWORK.named(touched)[name][:] = 1
    assert np.array_equal(grads != 0, touched == 1)


def test_penalties_of_several_lambdas_add_up() -> None:
    params = np.random.default_rng(0).standard_normal((1, NETWORK.size))
    values = iter(np.random.default_rng(1).uniform(size=(4, 3)).tolist())
    kinds = {kind: next(values) for kind in ("weight_l1", "bias_l1", "weight_l2", "bias_l2")}
    apart = math.fsum(penalties(NETWORK, [only(kind, values)]).value(params)[0] for kind, values in kinds.items())
    np.testing.assert_allclose(penalties(NETWORK, [Lambdas(**kinds)]).value(params), apart, rtol=1e-13)


def test_lambdas_must_be_one_a_layer() -> None:
    with pytest.raises(ValueError, match=r"shorter|layer"):
        penalties(NETWORK, [Lambdas([0.1, 0.1], NONE, NONE, NONE)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_lanes_penalty_is_its_own(dtype: Any) -> None:
    params = np.random.default_rng(0).standard_normal((3, NETWORK.size)).astype(dtype)
    lanes = [Lambdas.of(3, strength) for strength in (0, 1, 5)]
    together = penalties(NETWORK, lanes, dtype).value(params)
    assert together.dtype == np.float64
    assert together[0] == 0
    assert together[1] > 0
    for lane, lambdas in enumerate(lanes):
        alone = penalties(NETWORK, [lambdas], dtype).value(params[lane : lane + 1])
        assert alone.tobytes() == together[lane].tobytes()


@pytest.mark.parametrize("l2", [0.5, 5e-4, 1e-7])
def test_a_net_with_only_l2_reports_lambda_times_the_sum_of_squares(l2: float) -> None:
    """A well-known tutorial version multiplies this term by the L1 lambda, and so reports 0."""
    one = standing()
    lambdas = [Lambdas(NONE, NONE, [l2] * 3, [l2] * 3)] * 3
    (point,) = one.change(penalties=penalties(one.trainer.architecture.network, lambdas)).run()[1]
    expected = [l2 * math.fsum(w * w for w in lane) for lane in one.params.tolist()]
    assert min(expected) > 0
    np.testing.assert_allclose(point.penalty, expected, rtol=1e-13)


def test_data_loss_penalty_and_total_loss_are_reported_apart() -> None:
    heavy, none = standing(strengths=[100, 200, 300]), standing(strengths=[0, 0, 0])
    (with_penalty,), (without,) = heavy.run()[1], none.run()[1]
    assert with_penalty.training_loss.tobytes() == without.training_loss.tobytes()
    assert without.penalty.tolist() == [0, 0, 0]
    assert without.total_loss.tobytes() == without.training_loss.tobytes()
    assert with_penalty.penalty.min() > 0.1
    assert np.array_equal(with_penalty.total_loss, with_penalty.training_loss + with_penalty.penalty)
    for lane in range(3):
        plain = heavy.reference(lane)
        # Sums of some 100 numbers in another order.
        np.testing.assert_allclose(with_penalty.penalty[lane], plain.penalty(), rtol=1e-13)
        data_loss = plain.data_loss(*heavy.rows(lane, heavy.training_rows(lane)))
        np.testing.assert_allclose(with_penalty.training_loss[lane], data_loss, rtol=1e-13)


def test_the_validation_loss_contains_no_penalty() -> None:
    one = scene(strengths=[50, 100, 150], epochs=20)
    params, _ = one.run()
    trainer = one.trainer
    loss = Evaluator(trainer.architecture, trainer.data, trainer.training).evaluate(params).loss
    for lane in range(3):
        plain = one.reference(lane, params)
        assert plain.penalty() > 0.01
        data_loss = plain.data_loss(*one.rows(lane, one.training_rows(lane)))
        np.testing.assert_allclose(loss[lane], data_loss, rtol=1e-13)


@pytest.mark.parametrize("kind", ["weight_l1", "weight_l2"])
def test_a_penalty_shrinks_what_it_penalises(kind: str) -> None:
    one = scene(epochs=200, evaluate_every=200, lanes=4, counts=[48] * 4, rates=[0.1] * 4, decays=[0] * 4)
    one.params[:] = one.params[0]
    one.trainer.training.index[:] = one.trainer.training.index[0]
    centre, scale = one.trainer.data.centre, one.trainer.data.scale
    centre[:], scale[:] = centre[0], scale[0]
    lambdas = [only(kind, [strength] * 3) for strength in (0, 1e-3, 1e-2, 1e-1)]
    params, _ = one.change(penalties=penalties(one.trainer.architecture.network, lambdas)).run()
    sizes = np.abs(params).sum(axis=1)
    assert np.all(np.diff(sizes) < 0)
