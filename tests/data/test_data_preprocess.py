"""Feature scaling equals scikit-learn's, and learns from nothing but the rows it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, PowerTransformer, StandardScaler

from hpsearch.data import preprocess
from hpsearch.data.preprocess import SCALINGS, Scaling, fit_scaling
from hpsearch.transform import yeo_johnson

SKLEARN: dict[str, Any] = {
    "minmax": MinMaxScaler,
    "none": FunctionTransformer,
    "power": PowerTransformer,
    "standard": StandardScaler,
}

scalings = pytest.mark.parametrize("name", SCALINGS)
seeds = pytest.mark.parametrize("seed", range(3))


def rows(count: int, seed: int) -> NDArray[np.float64]:
    """Columns of very different scales, some of them constant."""
    draw = np.random.default_rng(seed)
    varied = draw.normal(1, 2, (count, 4)) * [1e-6, 1, 1e3, 1e9]
    constant = np.tile([0.0, 0.1, -1e6], (count, 1))
    return np.concatenate([varied, constant], axis=1)


def fit(name: str, table: NDArray[Any]) -> Scaling:
    return fit_scaling(name, table, np.arange(len(table)))


@scalings
@seeds
def test_fitting_in_batches_is_fitting_at_once(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table, chosen = rows(500, seed), np.random.default_rng(seed).permutation(500)[:333]
    whole = fit_scaling(name, table, chosen)
    monkeypatch.setattr(preprocess, "BATCH_ROWS", 50)
    batched = fit_scaling(name, table, chosen)
    # The same sums in another order, in float64.
    np.testing.assert_allclose(batched.centre, whole.centre, rtol=1e-12)
    np.testing.assert_allclose(batched.scale, whole.scale, rtol=1e-12)


@scalings
@seeds
def test_a_row_that_counts_twice_is_two_rows(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that counts nothing is none."""
    table, counts = rows(150, seed)[:, :4], np.random.default_rng(seed).integers(0, 4, 150)
    table[counts == 0] *= 1e3
    monkeypatch.setattr(preprocess, "BATCH_ROWS", 40)
    weighted = fit_scaling(name, table, np.arange(150), weights=counts.astype(np.float64))
    repeated = fit(name, table.repeat(counts, axis=0))
    close = 1e-6 if name == "power" else 1e-12  # lambda is where a likelihood is flat
    there = table[counts > 0]
    np.testing.assert_allclose(weighted.apply(there), repeated.apply(there), rtol=close, atol=close)
    if name != "power":
        np.testing.assert_allclose(weighted.centre, repeated.centre, rtol=1e-12)
        np.testing.assert_allclose(weighted.scale, repeated.scale, rtol=1e-12)


@scalings
@seeds
def test_a_scaling_is_scikit_learns(name: str, seed: int) -> None:
    training, others = rows(200, seed), rows(50, seed + 100)
    others[:, 4:] += 0.3  # constant where it was learnt, not where it is applied
    reference, ours = SKLEARN[name]().fit(training), fit(name, training)
    for table in (training, others):
        # scikit-learn's minmax multiplies by a reciprocal and adds an offset: numbers near 1e9 to 1e6 lose some bits.
        # Its power transformation is not quite the identity where lambda is 1: the constant -1e6 loses some.
        close = 1e-9 if name == "power" else 1e-12
        np.testing.assert_allclose(ours.apply(table), reference.transform(table), rtol=1e-12, atol=close)


@scalings
@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6, 1e-300, 1e150])
def test_a_constant_column_stays_finite_and_constant(name: str, constant: float) -> None:
    scaled = fit(name, np.full((7, 1), constant)).apply(np.full((7, 1), constant))
    assert np.isfinite(scaled).all()
    assert np.ptp(scaled) == 0
    if name != "none":
        assert abs(scaled[0, 0]) <= 1e-9 * max(1, abs(constant))


@scalings
@seeds
def test_a_single_row_can_be_learnt_from(name: str, seed: int) -> None:
    assert np.isfinite(fit(name, rows(1, seed)).apply(rows(20, seed + 1))).all()


@scalings
@seeds
def test_each_row_is_scaled_by_itself(name: str, seed: int) -> None:
    scaling, table = fit(name, rows(100, seed)), rows(30, seed + 1)
    together = scaling.apply(table)
    for number in range(30):
        assert scaling.apply(table[number : number + 1]).tobytes() == together[number].tobytes()


@seeds
def test_scaled_training_rows_are_what_the_names_promise(seed: int) -> None:
    training = rows(200, seed)[:, :4]
    standard, minmax, none = (fit(name, training).apply(training) for name in ("standard", "minmax", "none"))
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(standard.std(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose([minmax.min(axis=0), minmax.max(axis=0)], [[0] * 4, [1] * 4], atol=1e-12)
    np.testing.assert_array_equal(none, training)


@scalings
def test_learning_and_applying_change_no_argument(name: str) -> None:
    table = rows(20, 0)
    table.setflags(write=False)
    before = table.copy()
    fit(name, table).apply(table)
    np.testing.assert_array_equal(table, before)


@scalings
@seeds
def test_single_precision_features_are_scaled_in_double_precision(name: str, seed: int) -> None:
    """Statistics of float32 rows agree with those of the same numbers in float64 but for float32's own rounding."""
    narrow = rows(200, seed)[:, :3].astype(np.float32)
    one, other = fit(name, narrow), fit(name, narrow.astype(np.float64))
    np.testing.assert_allclose(one.apply(narrow), other.apply(narrow), rtol=1e-5, atol=1e-5)
    assert one.centre.dtype == one.scale.dtype == np.float64


def test_of_many_rows_lambda_is_that_of_evenly_spaced_ones_and_centre_and_scale_are_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = np.random.default_rng(0).lognormal(size=(101, 2))
    chosen = np.arange(1, 101)
    whole = fit_scaling("power", features, chosen)
    monkeypatch.setattr(preprocess, "LAMBDA_ROWS", 100)
    same = fit_scaling("power", features, chosen)
    monkeypatch.setattr(preprocess, "LAMBDA_ROWS", 25)
    some = fit_scaling("power", features, chosen)
    few = fit_scaling("power", features, chosen[::4])
    assert whole.lambdas is not None
    assert few.lambdas is not None
    for part in ("centre", "scale", "lambdas"):
        np.testing.assert_array_equal(getattr(whole, part), getattr(same, part))
    np.testing.assert_array_equal(some.lambdas, few.lambdas)
    transformed = yeo_johnson(features[chosen], few.lambdas)
    np.testing.assert_allclose(some.centre, transformed.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(some.scale, transformed.std(axis=0), rtol=1e-12)
