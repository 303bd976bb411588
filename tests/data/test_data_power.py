"""The power transformation is Yeo and Johnson's, its lambda scikit-learn's, and finite numbers stay finite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import yeojohnson
from sklearn.preprocessing import PowerTransformer

from hpsearch import transform as transform_module
from hpsearch.data.columns import Column, Plan
from hpsearch.data.power import fit_lambda
from hpsearch.data.preprocess import fit_scaling
from hpsearch.transform import FURTHEST, inverse_yeo_johnson, transform, yeo_johnson

Draw = Callable[[np.random.Generator], NDArray[np.float64]]

SHAPES: dict[str, Draw] = {
    "lognormal": lambda draw: draw.lognormal(size=300),
    "negative": lambda draw: -draw.lognormal(size=300),
    "both signs": lambda draw: draw.gumbel(size=300),
    "normal": lambda draw: draw.normal(3, 5, 300),
    "counts": lambda draw: draw.poisson(2, 300).astype(float),
    "two values": lambda draw: (draw.random(300) < 0.1).astype(float),
    "an outlier": lambda draw: np.append(draw.random(299), 1e12),
    "left-skewed": lambda draw: 16 - draw.exponential(2, 300).clip(max=16),
    "small": lambda draw: draw.exponential(1e-3, 300),
}
EXTREME: dict[str, Draw] = {
    "huge": lambda draw: draw.random(300) * 1e300,
    "hugest": lambda draw: draw.random(300) * 1.7e308,
    "huge and negative": lambda draw: -draw.random(300) * 1e300,
    "huge of both signs": lambda draw: draw.normal(size=300) * 1e300,
    "large of both signs": lambda draw: draw.normal(size=300) * 1e160,
    "tiny": lambda draw: draw.random(300) * 1e-300,
    "tiny but not alike": lambda draw: draw.normal(size=300) * 1e-100,
    "all sizes": lambda draw: 10 ** draw.uniform(-300, 300, 300),
    "far from 0": lambda draw: 1e9 + draw.normal(size=300),
    "one value": lambda draw: np.full(300, 0.1),
    "a year": lambda draw: draw.integers(1950, 2021, 300).astype(float),
}
LAMBDAS = [-30.0, -1.0, -1e-9, 0.0, 1e-20, 0.3, 1.0, 1.7, 2.0, 2.0 + 1e-12, 3.0, 30.0]

each_seed = pytest.mark.parametrize("seed", range(3))


def fit_column(values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """A single column as a network sees it whose training rows it is."""
    return fit_scaling("power", values[:, np.newaxis], np.arange(len(values)), weights=weights).apply(
        values[:, np.newaxis]
    )[:, 0]


# --- the transformation


@each_seed
@pytest.mark.parametrize("power", LAMBDAS)
def test_it_is_scipys(power: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = np.concatenate([draw.normal(0, 3, 200), draw.normal(0, 1e-9, 50), [0.0, -0.0]])
    ours = yeo_johnson(values, np.array(power))
    np.testing.assert_allclose(ours, yeojohnson(values, power), rtol=1e-13)
    np.testing.assert_array_less(-1e-300, np.diff(ours[np.argsort(values)]))  # it increases


@each_seed
def test_where_lambda_is_one_not_a_bit_changes(seed: int) -> None:
    draw = np.random.default_rng(seed)
    values, lambdas = draw.normal(0, 3, (200, 4)), np.array([1.0, 0.2, 1.0, 1.0])
    ours = yeo_johnson(values, lambdas)
    assert ours[:, [0, 2, 3]].tobytes() == values[:, [0, 2, 3]].tobytes()
    assert not np.isclose(ours[:, 1], values[:, 1]).all()
    one, other = (transform(values, lambdas, 3 + lambdas, lambdas=each) for each in (lambdas, None))
    assert one[:, [0, 2, 3]].tobytes() == other[:, [0, 2, 3]].tobytes()


@each_seed
@pytest.mark.parametrize("power", [power for power in LAMBDAS if abs(power) < 10])
def test_its_inverse_leads_back(power: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(0, 3, 200)
    back = inverse_yeo_johnson(yeo_johnson(values, np.array(power)), np.array(power))
    np.testing.assert_allclose(back, values, rtol=1e-10)


@pytest.mark.parametrize("power", [-1e300, *LAMBDAS, 1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_numbers_stay_finite_however_far_outside(dtype: type, power: float) -> None:
    values = np.array([-1.7e308, -1e30, -5.0, -1e-300, 0.0, 1e-300, 5.0, 1e30, 1.7e308])[:, np.newaxis]
    assert np.isfinite(yeo_johnson(values, np.array([power]))).all()
    if power != 1:
        seen = transform(
            values, np.array([0.3]), np.array([1e-5]), lambdas=np.array([power]), out=np.empty((9, 1), dtype)
        )
        assert np.abs(seen).max() <= FURTHEST
        assert (np.diff(seen[:, 0]) >= 0).all()


@each_seed
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_of_rows_are_as_all_rows_at_once(dtype: type, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, in any shape, and each feature by its own lambda."""
    draw = np.random.default_rng(seed)
    values, lambdas = draw.gumbel(0, 3, (40, 6, 5)).astype(dtype), np.array([0.2, 1.0, -1.5, 2.0, 4.0])
    values[draw.random(values.shape) < 0.1] = np.nan
    centre, scale, fill = draw.normal(size=5), draw.uniform(0.5, 2, 5), draw.normal(size=5)
    whole = transform(values, centre, scale, fill, lambdas=lambdas)
    monkeypatch.setattr(transform_module, "BLOCK_NUMBERS", 70)
    out = np.ones((40, 6, 6), np.float64)
    transform(values, centre, scale, fill, out[..., :-1], lambdas)
    assert out[..., :-1].tobytes() == whole.tobytes()
    filled = np.where(np.isnan(values), fill, values)
    for feature in range(5):
        one = transform(
            filled[..., [feature]], *(part[[feature]] for part in (centre, scale)), None, None, lambdas[[feature]]
        )
        assert one[..., 0].tobytes() == whole[..., feature].tobytes()


# --- its lambda


@each_seed
@pytest.mark.parametrize("shape", SHAPES)
def test_lambda_is_scikit_learns(shape: str, seed: int) -> None:
    values = SHAPES[shape](np.random.default_rng(seed))
    reference = PowerTransformer().fit(values[:, np.newaxis])
    # The likelihood is flat where it is greatest: its roundings, of 1e-16, are worth 1e-8 of lambda and more.
    assert fit_lambda(values) == pytest.approx(reference.lambdas_[0], rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(fit_column(values), reference.transform(values[:, np.newaxis])[:, 0], atol=1e-5)


@each_seed
@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_that_counts_twice_is_two_rows(shape: str, seed: int) -> None:
    draw = np.random.default_rng(seed)
    values, counts = SHAPES[shape](draw), draw.integers(1, 4, 300)
    weighted, repeated = fit_lambda(values, counts.astype(float)), fit_lambda(values.repeat(counts))
    assert weighted == pytest.approx(repeated, rel=1e-5, abs=1e-5)
    assert abs(weighted - fit_lambda(values)) > 1e-4  # it makes a difference
    # In another unit of weight, the same.
    assert fit_lambda(values, 0.3 * counts) == pytest.approx(weighted, rel=1e-5, abs=1e-5)


@each_seed
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("extreme", EXTREME)
def test_training_rows_of_any_size_stay_finite_and_apart(extreme: str, weighted: bool, seed: int) -> None:
    """And without a warning."""
    draw = np.random.default_rng(seed)
    values = EXTREME[extreme](draw)
    weights = draw.uniform(0, 3, 300) if weighted else None
    seen = fit_column(values, weights)
    assert np.isfinite(seen).all()
    assert (np.diff(seen[np.argsort(values)]) >= 0).all()
    if extreme not in ("all sizes", "one value"):
        assert len(np.unique(seen)) > 0.9 * len(np.unique(values))
    if extreme not in ("tiny", "one value"):  # what is smaller than its own square's rounding stays in its own unit
        assert np.average(seen, weights=weights) == pytest.approx(0, abs=1e-6)
        assert np.sqrt(np.average(seen**2, weights=weights)) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("values", [[0.1] * 7, [3.0], [0.0, 0.0], [-1e300] * 5], ids=str)
def test_values_that_are_all_alike_are_left_alone(values: list[float]) -> None:
    assert fit_lambda(np.array(values)) == 1
    assert fit_lambda(np.array(values), np.full(len(values), 0.5)) == 1


def test_a_lambda_that_would_leave_nothing_to_tell_values_apart_is_not_taken() -> None:
    """scikit-learn's leaves half the digits here: its transformed values are 1e-9 of what they lie around apart."""
    values = 1e9 + np.random.default_rng(0).normal(size=300)
    reference = PowerTransformer(standardize=False).fit_transform(values[:, np.newaxis])
    assert reference.std() < 1e-8 * np.abs(reference).max()
    assert fit_lambda(values) == 1


# --- of the numbers among the features


@each_seed
def test_only_numbers_are_transformed(seed: int) -> None:
    draw = np.random.default_rng(seed)
    plan = Plan(
        (
            Column("size", indicator=True),
            Column("port", "categorical", categories=("a", "b")),
            Column("paid", "boolean"),
        )
    )
    table = np.column_stack([draw.lognormal(size=80), draw.random((80, 4)) < 0.4]).astype(float)
    scaling = fit_scaling("power", table, np.arange(80), plan)
    assert scaling.lambdas is not None
    assert scaling.lambdas[0] != 1
    assert scaling.lambdas[1:].tolist() == [1] * 4
    assert scaling.apply(table)[:, 1:].tobytes() == table[:, 1:].tobytes()
    entries = scaling.table(plan)
    assert [entry["lambda"] for entry in entries] == [scaling.lambdas[0], None, None]
    assert not any("lambda" in entry for entry in fit_scaling("standard", table, np.arange(80), plan).table(plan))


@each_seed
def test_missing_values_are_filled_before(seed: int) -> None:
    draw = np.random.default_rng(seed)
    plan, table = Plan((Column("size", indicator=True),), "mean"), draw.lognormal(size=(80, 2))
    missing = draw.random(80) < 0.3
    table[:, 1] = missing
    gaps = np.where(missing, np.nan, table[:, 0])
    holed = np.column_stack([gaps, table[:, 1]])
    scaling = fit_scaling("power", holed, np.arange(80), plan)
    filled = np.where(missing, np.nanmean(gaps), gaps)[:, np.newaxis]
    np.testing.assert_allclose(scaling.apply(holed)[:, [0]], PowerTransformer().fit_transform(filled), atol=1e-5)


def test_where_nothing_is_transformed_there_are_no_lambdas() -> None:
    table = np.repeat([[1.0, 2.0]], 9, axis=0)
    scaling = fit_scaling("power", table, np.arange(9))
    assert scaling.lambdas is None
    assert not scaling.apply(table).any()


@pytest.mark.parametrize("power", [-30.0, -2.0, 0.0, 0.5, 1.0, 2.0, 7.0, 40.0])
def test_in_single_precision_it_is_the_same_but_for_rounding_and_stays_finite(power: float) -> None:
    draw = np.random.default_rng(0)
    values = np.concatenate([draw.normal(size=300), draw.lognormal(size=300), [0.0, 3e38, -3e38]]).astype(np.float32)
    lambdas = np.array([power], np.float32)
    single = yeo_johnson(values, lambdas)
    assert single.dtype == np.float32
    assert np.isfinite(single).all()
    double = yeo_johnson(values.astype(np.float64), lambdas.astype(np.float64))
    within = np.abs(double) < 1e30  # beyond that it ends at e^80
    # A few roundings of 6e-8, of which those of the exponent count as often as it is large.
    np.testing.assert_allclose(single[within], double[within], rtol=1e-5, atol=1e-30)
