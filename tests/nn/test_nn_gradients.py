"""Every gradient is the derivative of its value: central differences in float64, and the plain reference network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray
from scenes import QUANTITIES, Scene, record, scene, seen_by
from sklearn.preprocessing import PowerTransformer

from hpsearch.nn.layers import ACTIVATIONS, Activation, dense_backward, dense_forward
from hpsearch.nn.losses import LOSSES, cross_entropy, head_gradient, one_hot, softmax, weighted_mean
from hpsearch.nn.network import NetworkShape
from hpsearch.nn.passes import Architecture, BackwardPass, Evaluator, ForwardPass
from hpsearch.nn.penalties import Penalties
from hpsearch.nn.rows import PaddedRows
from hpsearch.target_transform import PowerTransform

pytestmark = pytest.mark.usefixtures("each_kernels")

Array = NDArray[np.float64]

# A central difference of values near 1 errs by the rounding 1e-16 / STEP and by STEP² / 6 times a third derivative:
# both are near 1e-11. TOLERANCE leaves two to three digits for third derivatives and for the length of sums.
STEP, TOLERANCE = 1e-5, 1e-8

each_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
each_seed = pytest.mark.parametrize("seed", range(3))


def central_difference(function: Callable[[Array], float], at: Array) -> Array:
    """The gradient of ``function`` at ``at``, entry by entry; ``at`` is left as it was."""
    gradient = np.empty_like(at)
    for place in np.ndindex(at.shape):
        kept = at[place]
        at[place] = kept + STEP
        above = function(at)
        at[place] = kept - STEP
        gradient[place] = (above - function(at)) / (2 * STEP)
        at[place] = kept
    return gradient


def without_kinks(activation: str, neurons: tuple[int, ...], seed: int, loss: str = "cross_entropy") -> Scene:
    """A scene with biases, some penalties, some padding, and no pre-activation near 0, where ReLU has no derivative;
    nor an prediction near its target, where the absolute error has none."""
    for attempt in count(1000 * seed):
        one = scene(
            lanes=2,
            neurons=neurons,
            samples=8,
            length=24,
            activation=activation,
            leaky_slope=0.3,
            strengths=[0, 20],
            epochs=1,
            seed=attempt,
            loss=loss,
        )
        params = 0.6 * np.random.default_rng([attempt, 3]).standard_normal(one.params.shape)
        one = replace(one, params=params)
        seen = [one.rows(lane, one.training_rows(lane)) for lane in range(2)]
        sums = [one.reference(lane).forward(features)[1] for lane, (features, _) in enumerate(seen)]
        if loss == "absolute_error":
            errors = [values.pop() - targets[:, None] for values, (_, targets) in zip(sums, seen, strict=True)]
            sums = [[*values, off] for values, off in zip(sums, errors, strict=True)]
        else:
            sums = [values[:-1] for values in sums]
        # A parameter moved by 1e-5 moves a pre-activation by some 1e-5 times weights and inputs, all below 10.
        if all(np.abs(values).min() > 1e-3 for lane in sums for values in lane) and np.abs(params).min() > 1e-3:
            return one
    raise AssertionError


@each_seed
@pytest.mark.parametrize("neurons", [(), (5,), (4, 3)], ids=str)
@each_activation
@pytest.mark.parametrize("loss", LOSSES)
def test_a_networks_gradient_is_the_derivative_of_its_total_loss(
    loss: str, activation: str, neurons: tuple[int, ...], seed: int
) -> None:
    one = without_kinks(activation, neurons, seed, loss)
    (step,) = record(one)
    size = one.params.shape[1]
    for lane in range(2):
        alone = one.lane(lane).trainer
        # All perturbed networks at once, a lane each.
        moved = one.params[lane] + STEP * np.concatenate([np.eye(size), -np.eye(size)])
        rows = [np.repeat(array, 2 * size, axis=0) for array in (alone.training.index, alone.training.counts)]
        data = seen_by(alone.data, lambda column: np.repeat(column, 2 * size, axis=0))
        # What training descends is the loss of the scaled quantity.
        total = Evaluator(alone.architecture, data, PaddedRows(*rows)).evaluate(moved).loss / one.unit(lane)
        total += alone.penalties.value(moved)
        difference = (total[:size] - total[size:]) / (2 * STEP)
        assert np.abs(difference).max() > 0.01
        np.testing.assert_allclose(step.grads[lane], difference, rtol=0, atol=TOLERANCE)


@each_seed
@each_activation
@pytest.mark.parametrize("loss", LOSSES)
def test_a_networks_gradient_is_that_of_the_reference(loss: str, activation: str, seed: int) -> None:
    one = scene(activation=activation, leaky_slope=0.3, neurons=(7, 5, 4), length=60, epochs=1, seed=seed, loss=loss)
    (step,) = record(one)
    for lane in range(3):
        gradients = one.reference(lane).gradients(*one.rows(lane, one.training_rows(lane)))
        plain = np.concatenate([part.ravel() for layer in gradients for part in layer])
        # Sums of some 50 rows in another order: some roundings of 1e-16 of numbers below 1.
        np.testing.assert_allclose(step.grads[lane], plain, rtol=0, atol=1e-14)


@each_seed
@pytest.mark.parametrize("loss", QUANTITIES)
@pytest.mark.parametrize("target", ["log", "power"])
def test_what_training_descends_is_the_loss_of_the_transformed_target(target: str, loss: str, seed: int) -> None:
    """The gradient is that of the reference on targets transformed by NumPy and SciPy, and the derivative of its loss;
    what is reported is the loss in the target's own unit, of predictions that have come back."""
    one = scene(activation="tanh", neurons=(5,), loss=loss, target=target, epochs=1, seed=seed)
    one = replace(one, params=one.params + 0.01)  # no bias at 0, where L1 has no derivative
    (step,) = record(one)
    errors = {"absolute_error": np.abs, "squared_error": np.square}[loss]
    for lane in range(3):
        index = one.training_rows(lane)
        features, targets = one.rows(lane, index)
        plain = one.reference(lane)
        gradients = plain.gradients(features, targets)
        flat = np.concatenate([part.ravel() for layer in gradients for part in layer])
        np.testing.assert_allclose(step.grads[lane], flat, rtol=0, atol=1e-13)

        def total(params: Array, lane: int = lane, features: Array = features, targets: Array = targets) -> float:
            moved = one.reference(lane, params=np.broadcast_to(params, one.params.shape))
            return moved.data_loss(features, targets) + moved.penalty()

        if loss == "squared_error":  # elsewhere a target may lie within a step of its prediction
            difference = central_difference(total, one.params[lane].copy())
            np.testing.assert_allclose(step.grads[lane], difference, rtol=0, atol=TOLERANCE)
        data, mine = one.trainer.data, Evaluator(one.trainer.architecture, one.trainer.data, one.trainer.training)
        transform, reported = data.target_transform, mine.evaluate(one.params)
        outputs = plain.forward(features)[1][-1][:, 0]
        outputs = outputs * np.array(data.target_scale)[lane] + np.array(data.target_centre)[lane]
        if isinstance(transform, PowerTransform):
            theirs = PowerTransformer(standardize=False).fit(outputs[:, np.newaxis])
            theirs.lambdas_ = transform.power[[lane]]
            back = theirs.inverse_transform(outputs[:, np.newaxis])[:, 0]
            back = transform.mean[lane] + transform.deviation[lane] * back
        else:
            back = np.exp(outputs)
        assert transform is not None
        back = np.clip(back, transform.low[lane], transform.high[lane])
        np.testing.assert_allclose(reported.predictions[lane, 0, : len(index)], back, rtol=1e-12)
        assert reported.loss[lane] == pytest.approx(errors(back - data.targets[index]).mean(), rel=1e-10)


# --- activations alone


def applied(activation: str, points: NDArray[Any], slope: float) -> tuple[Activation, NDArray[Any]]:
    """An activation and its outputs for ``points`` (L, width, B)."""
    outputs = np.ones((len(points), points.shape[1] + 1, points.shape[2]), points.dtype)
    outputs[:, :-1] = points
    kind = ACTIVATIONS[activation](outputs, slope)
    kind.forward()
    assert (outputs[:, -1] == 1).all()
    return kind, outputs[:, :-1]


@each_seed
@each_activation
@pytest.mark.parametrize("slope", [0.0, 0.01, 0.5, 1.0])
def test_an_activations_derivative_is_that_of_its_function(activation: str, seed: int, slope: float) -> None:
    draw = np.random.default_rng(seed)
    shape = (2, 5, 30)
    points = draw.uniform(0.01, 3, shape) * draw.choice([-1, 1], shape)
    above, below = (applied(activation, points + step, slope)[1] for step in (STEP, -STEP))
    grad = draw.standard_normal(shape)
    expected = grad * (above - below) / (2 * STEP)
    applied(activation, points, slope)[0].backward(grad)
    np.testing.assert_allclose(grad, expected, rtol=0, atol=TOLERANCE)


@each_activation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("slope", [0.0, 0.01, 0.5, 1.0])
def test_an_activation_equals_the_reference_also_at_0(activation: str, dtype: Any, slope: float) -> None:
    points = np.concatenate([[0.0, -0.0], np.linspace(-4, 4, 31)]).astype(dtype)[np.newaxis, :, np.newaxis]
    function, derivative = reference.ACTIVATIONS[activation]
    grad = np.full_like(points, 3)
    kind, outputs = applied(activation, points, slope)
    kind.backward(grad)
    wide = points.astype(np.float64)
    # Four roundings of values up to 4 (and 1 - tanh² loses no more than that in absolute terms).
    rounding = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(outputs, function(wide, slope), rtol=0, atol=rounding)
    np.testing.assert_allclose(grad, 3 * derivative(wide, slope), rtol=0, atol=3 * rounding)


@each_activation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_activation_takes_large_inputs_without_nan_or_warning(activation: str, dtype: Any) -> None:
    values = np.array([-1e30, -1e4, 1e4, 1e30], dtype)[np.newaxis, :, np.newaxis]
    grad = np.ones_like(values)
    with np.errstate(over="raise", invalid="raise"):
        kind, outputs = applied(activation, values, 0.01)
        kind.backward(grad)
    assert np.isfinite(outputs).all()
    assert np.isfinite(grad).all()
    assert np.abs(grad).max() <= 1


def test_every_registered_activation_has_an_independent_reference() -> None:
    assert set(ACTIVATIONS) == set(reference.ACTIVATIONS)


# --- the other parts alone


@each_seed
@pytest.mark.parametrize(("fan_in", "fan_out", "rows"), [(3, 4, 5), (1, 1, 1), (6, 1, 2), (1, 5, 3)])
def test_a_dense_layers_gradients_are_its_derivatives(seed: int, fan_in: int, fan_out: int, rows: int) -> None:
    draw = np.random.default_rng(seed)
    matrix, inputs = draw.standard_normal((2, fan_in + 1, fan_out)), draw.standard_normal((2, fan_in + 1, rows))
    inputs[:, -1] = 1
    grad_out = draw.standard_normal((2, fan_out, rows))

    def weighed(_: Array) -> float:
        out = np.empty_like(grad_out)
        dense_forward(matrix, inputs, out)
        return float((out * grad_out).sum())

    grad_matrix, grad_inputs = np.empty_like(matrix), np.empty_like(inputs[:, :-1])
    dense_backward(matrix, inputs, grad_out, grad_matrix, grad_inputs)
    np.testing.assert_allclose(grad_matrix, central_difference(weighed, matrix), rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(grad_inputs, central_difference(weighed, inputs[:, :-1]), rtol=0, atol=TOLERANCE)
    first_layer = np.empty_like(matrix)
    dense_backward(matrix, inputs, grad_out, first_layer, None)
    assert np.array_equal(first_layer, grad_matrix)


@each_seed
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_the_heads_gradient_is_the_derivative_of_the_mean_loss(seed: int, classes: int) -> None:
    draw = np.random.default_rng(seed)
    logits = 2 * draw.standard_normal((2, classes, 6))
    labels, weights = draw.integers(0, classes, (2, 6)), draw.dirichlet(np.ones(6), 2)
    weights[1] = [0.25, 0.25, 0.25, 0.25, 0, 0]
    targets = np.empty_like(logits)
    one_hot(labels, classes, targets)

    def loss(values: Array) -> float:
        probabilities = values.copy()
        softmax(probabilities)
        return float(weighted_mean(cross_entropy(probabilities, targets), weights).sum())

    expected = central_difference(loss, logits)
    softmax(logits)
    head_gradient(logits, targets, weights[:, np.newaxis])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)
    assert np.all(logits[1, :, 4:] == 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_that_is_certainly_wrong_still_pulls(dtype: Any) -> None:
    logits = np.array([1000.0, 0.0, 0.0], dtype).reshape(1, 3, 1)
    targets = np.array([0.0, 1.0, 0.0], dtype).reshape(1, 3, 1)
    softmax(logits)
    head_gradient(logits, targets, np.ones((1, 1, 1), dtype))
    assert logits.ravel().tolist() == [1, -1, 0]


@each_seed
def test_a_penaltys_gradient_is_the_derivative_of_its_value(seed: int) -> None:
    draw = np.random.default_rng(seed)
    params = draw.uniform(0.01, 2, (3, 7)) * draw.choice([-1, 1], (3, 7))
    one = Penalties(draw.uniform(0, 0.1, (3, 7)), draw.uniform(0, 0.1, (3, 7)))
    before = draw.standard_normal((3, 7))
    grads = before.copy()
    one.add_gradient(params, grads, np.empty_like(params))
    expected = central_difference(lambda at: float(one.value(at).sum()), params)
    np.testing.assert_allclose(grads - before, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_l1_gradient_at_0_is_plus_lambda(zero: float, dtype: Any) -> None:
    l1 = np.array([[0.5, 0.25, 0.125, 0.0]], dtype)
    grads = np.zeros_like(l1)
    Penalties(l1, np.zeros_like(l1)).add_gradient(np.full_like(l1, zero), grads, np.empty_like(l1))
    assert np.array_equal(grads, l1)


# --- padding


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_activation
@each_seed
def test_rows_of_weight_0_contribute_nothing(activation: str, dtype: Any, seed: int) -> None:
    draw = np.random.default_rng(seed)
    architecture = Architecture(NetworkShape(3, (6, 5), 4), activation, dtype=np.dtype(dtype))
    params = draw.standard_normal((2, architecture.network.size)).astype(dtype)
    rows, labels = draw.standard_normal((2, 9, 3)), draw.integers(0, 4, (2, 9))
    weights = np.where(np.arange(9) < [[7], [4]], [[1 / 7], [1 / 4]], 0.0)

    def gradient_and_loss(rows: Array, labels: NDArray[np.intp]) -> tuple[Array, Array]:
        forward, grads = ForwardPass(architecture, 2, 9), np.empty_like(params)
        forward.rows[:, :, :-1] = rows
        one_hot(labels, 4, forward.targets)
        probabilities = forward.run(architecture.matrices(params))
        loss = weighted_mean(cross_entropy(probabilities, forward.targets), weights)
        shares = weights[:, np.newaxis].astype(dtype)
        BackwardPass(forward).run(architecture.matrices(params), architecture.matrices(grads), probabilities, shares)
        return grads, loss

    grads, loss = gradient_and_loss(rows, labels)
    padding = weights == 0
    other_rows, other_labels = rows.copy(), labels.copy()
    other_rows[padding], other_labels[padding] = 100 * draw.standard_normal((padding.sum(), 3)), 3
    assert not np.array_equal(other_rows, rows)
    other_grads, other_loss = gradient_and_loss(other_rows, other_labels)
    assert other_grads.tobytes() == grads.tobytes()
    assert other_loss.tobytes() == loss.tobytes()
    changed_grads, changed_loss = gradient_and_loss(rows + 1, labels)  # rows of other weights do contribute
    assert not np.array_equal(changed_grads, grads)
    assert not np.array_equal(changed_loss, loss)
