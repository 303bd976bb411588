"""How a regression target is scaled: what scikit-learn does, learnt by weights, and a way back from anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler

from hpsearch.data.target_scaling import (
    LAMBDAS,
    TARGET_SCALINGS,
    FittedTarget,
    fit_target,
    from_plain,
    require_scalable,
    to_plain,
)
from hpsearch.errors import DataError
from hpsearch.target_transform import TargetTransform, in_own_unit

Array = NDArray[np.float64]
TRANSFORMED = sorted(name for name, scaling in TARGET_SCALINGS.items() if scaling.transform is not None)

each_scaling = pytest.mark.parametrize("name", sorted(TARGET_SCALINGS))
each_transform = pytest.mark.parametrize("name", TRANSFORMED)
several_seeds = pytest.mark.parametrize("seed", range(3))


def targets_of(seed: int, count: int = 80) -> Array:
    """Somewhat skewed, above 0, far from 1."""
    return 500 * (3 + np.random.default_rng(seed).normal(size=count).clip(-2.5)) ** 1.5


def scaled(fitted: FittedTarget, targets: Array) -> Array:
    """As the network sees them."""
    seen = targets if fitted.transform is None else fitted.transform.forward(targets[np.newaxis])[0]
    return (seen - fitted.centre) / fitted.scale


def predicted(fitted: FittedTarget, outputs: Array) -> Array:
    """In the targets' own unit."""
    centre, scale = np.array([fitted.centre]), np.array([fitted.scale])
    return in_own_unit(outputs[np.newaxis], centre, scale, fitted.transform)[0]


def theirs(name: str) -> Any:
    """The same of scikit-learn."""
    steps: dict[str, tuple[Any, ...]] = {
        "log": (FunctionTransformer(np.log, np.exp), StandardScaler()),
        "power": (StandardScaler(), PowerTransformer()),
        "standard": (StandardScaler(),),
    }
    return make_pipeline(*steps[name])


@each_scaling
@several_seeds
def test_a_target_is_scaled_and_comes_back_as_in_scikit_learn(name: str, seed: int) -> None:
    targets = targets_of(seed)
    fitted, reference = fit_target(name, targets), theirs(name).fit(targets[:, np.newaxis])
    if name == "power":
        (power,) = reference[-1].lambdas_
        assert LAMBDAS[0] < power < LAMBDAS[1], "another one would not be taken"
    # Lambdas by two minimisers; the likelihood is flat there.
    np.testing.assert_allclose(scaled(fitted, targets), reference.transform(targets[:, np.newaxis])[:, 0], rtol=1e-6)
    np.testing.assert_allclose(predicted(fitted, scaled(fitted, targets)), targets, rtol=1e-12)
    outputs = np.linspace(-2, 2, 31)
    back = reference.inverse_transform(outputs[:, np.newaxis])[:, 0]
    np.testing.assert_allclose(predicted(fitted, outputs), back, rtol=1e-6)


@each_scaling
@several_seeds
def test_a_regression_on_the_scaled_target_is_a_transformed_target_regressor(name: str, seed: int) -> None:
    targets, draw = targets_of(seed), np.random.default_rng([seed, 1])
    features = np.stack([np.sqrt(targets) + draw.normal(0, 9, len(targets)), draw.normal(size=len(targets))], axis=1)
    fitted = fit_target(name, targets)
    linear = LinearRegression().fit(features, scaled(fitted, targets))
    regressor = TransformedTargetRegressor(LinearRegression(), transformer=theirs(name)).fit(features, targets)
    ours = predicted(fitted, linear.predict(features))
    np.testing.assert_allclose(ours, regressor.predict(features), rtol=1e-6)


@each_scaling
@several_seeds
def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_is_none(name: str, seed: int) -> None:
    targets = targets_of(seed)
    counts = np.random.default_rng(seed).integers(0, 3, len(targets))
    targets[counts == 0] *= 1e3
    weighted, repeated = fit_target(name, targets, counts.astype(float)), fit_target(name, targets.repeat(counts))
    assert (weighted.centre, weighted.scale) == pytest.approx((repeated.centre, repeated.scale), rel=1e-6)
    if weighted.transform is not None:
        assert repeated.transform is not None
        found, expected = to_plain(weighted.transform), to_plain(repeated.transform)
        assert found.pop("scaling") == expected.pop("scaling")
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["power", "standard"])
def test_another_unit_and_another_origin_are_only_that(name: str) -> None:
    targets = targets_of(0)
    expected = scaled(fit_target(name, targets), targets)
    for unit, origin in ((1e-6, 0.0), (1e6, 0.0), (1.0, 1e6), (1e-3, -1.0)):
        moved = origin + unit * targets
        np.testing.assert_allclose(scaled(fit_target(name, moved), moved), expected, rtol=0, atol=1e-5)


def test_the_unit_of_a_logarithm_is_nothing_but_the_unit() -> None:
    targets = targets_of(0)
    fitted, other = fit_target("log", targets), fit_target("log", 1e-6 * targets)
    np.testing.assert_allclose(scaled(other, 1e-6 * targets), scaled(fitted, targets), rtol=1e-9)
    outputs = np.linspace(-9, 9, 31)
    np.testing.assert_allclose(predicted(other, outputs), 1e-6 * predicted(fitted, outputs), rtol=1e-9, atol=1e-300)


ANY = st.lists(st.floats(-1e100, 1e100) | st.floats(-3, 3), min_size=1, max_size=9)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.sampled_from(TRANSFORMED), ANY, st.sampled_from([np.float32, np.float64]))
def test_every_finite_output_has_a_finite_prediction_near_the_training_targets(
    name: str, given_targets: list[float], dtype: Any
) -> None:
    targets = np.array(given_targets)
    if name == "log":
        targets = np.abs(targets) + 1e-100
    fitted, most = fit_target(name, targets), float(np.finfo(dtype).max)
    outputs = np.concatenate([np.linspace(-50, 50, 101), [1e9, 1e30, most]]).astype(dtype)
    outputs = np.sort(np.concatenate([outputs, -outputs]))
    predictions = predicted(fitted, outputs)
    width = np.ptp(targets)
    assert np.isfinite(predictions).all()
    assert predictions.min() >= targets.min() - width
    assert predictions.max() <= targets.max() + width
    assert (np.diff(predictions) >= -1e-9 * width).all()
    if name == "log":
        assert predictions.min() > 0


@each_scaling
def test_what_a_network_that_diverged_predicts_is_no_number(name: str) -> None:
    fitted = fit_target(name, targets_of(0))
    with np.errstate(all="raise"):
        predictions = predicted(fitted, np.array([np.inf, -np.inf, np.nan, 0.0]))
    assert np.isfinite(predictions).tolist() == [False, False, False, True]


@each_scaling
@pytest.mark.parametrize("same", [0.1, 1e6 + 1 / 3, 7.0])
def test_targets_that_are_all_alike_are_predicted_as_they_are(name: str, same: float) -> None:
    fitted = fit_target(name, np.full(5, same))
    assert fitted.scale == 1.0
    assert predicted(fitted, np.array([0.0])) == pytest.approx(same, rel=1e-12)


@several_seeds
def test_a_power_is_one_that_reaches_every_number(seed: int) -> None:
    """The most likely lambda of a long tail is below 0: there the way back has an end, and 0 is taken instead."""
    tail = np.exp(np.random.default_rng(seed).normal(size=200))
    assert PowerTransformer().fit(StandardScaler().fit_transform(tail[:, np.newaxis])).lambdas_[0] < 0
    for targets, expected in ((tail, LAMBDAS[0]), (-tail, LAMBDAS[1])):
        transform = fit_target("power", targets).transform
        assert transform is not None
        assert to_plain(transform)["power"] == expected


@each_transform
def test_lanes_are_stacked_and_taken_apart(name: str) -> None:
    one, other = (fit_target(name, targets_of(seed)).transform for seed in (0, 1))
    assert one is not None
    assert other is not None
    both, targets = type(one).stack([one, other]), targets_of(2)[np.newaxis]
    assert both.forward(targets).tobytes() == one.forward(targets).tobytes() + other.forward(targets).tobytes()
    assert to_plain(both.each(lambda values: values[:1])) == to_plain(one)
    assert to_plain(both.each(lambda values: values[1:])) == to_plain(other)


@each_transform
def test_a_transform_is_told_in_plain_values_and_read_again(name: str) -> None:
    transform = fit_target(name, targets_of(0)).transform
    assert transform is not None
    plain = to_plain(transform)
    again = from_plain(plain)
    assert isinstance(again, TargetTransform)
    assert to_plain(again) == plain
    for wrong in ({**plain, "mean": 1.0, "more": 0.0}, {"scaling": "standard"}, {"scaling": name}):
        with pytest.raises(ValueError, match="are not those of"):
            from_plain(wrong)


@pytest.mark.parametrize("least", [0.0, -0.0, -3.0])
def test_a_logarithm_needs_targets_above_0(least: float) -> None:
    targets = np.array([1.0, least, 2.0])
    for refuse in (lambda: fit_target("log", targets), lambda: require_scalable("log", targets)):
        with pytest.raises(DataError) as caught:
            refuse()
        said = f"target_scaling='log' needs targets that are all above 0, but one is {least:g}. "
        assert str(caught.value) == said + "Use target_scaling='power', which takes any number."
    for name in ("power", "standard"):
        require_scalable(name, targets)
        assert np.isfinite(scaled(fit_target(name, targets), targets)).all()
