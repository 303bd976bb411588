"""The lambda of Yeo and Johnson's transformation under which values are most like a normal distribution's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DOUBLE = np.finfo(np.float64)
# Transformed values whose standard deviation is a smaller share of the greatest have lost what told them apart.
LEAST_SPREAD = 1e-8


def fit_lambda(values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> float:
    """The most likely lambda of ψ, which is :func:`hpsearch.transform.yeo_johnson`; 1, the identity, if none helps.

    It maximises (λ - 1) · Σ sign(x)·ln(1 + |x|) - n/2 · ln(variance of ψ(x)), the profile log-likelihood of Yeo &
    Johnson, Biometrika 87 (2000), section 3, between the bounds and to the tolerance of scikit-learn's
    ``PowerTransformer`` (that is SciPy's ``yeojohnson_normmax``), at a tenth of its time: ln(1 + |x|) is taken once.
    With weights each row is as many rows as it counts.

    1 is the answer for values that are all alike, that are of both signs and so large that one side would overflow, or
    that the likeliest lambda would bring as near to each other as rounding is, as it does with some far from 0.

    Args:
        values: (n,), finite.
        weights: (n,), above 0; None if all count alike.
    """
    from scipy.optimize import fminbound

    if np.ptp(values) == 0:
        return 1.0
    negative = values < 0
    logs, signs = np.log1p(np.abs(values)), np.where(negative, -1.0, 1.0)
    below, above = logs[negative], logs[~negative]
    if weights is None:
        total, slope = float(len(values)), float((signs * logs).sum())
    else:
        total, slope = float(weights.sum()), float(weights @ (signs * logs))
        weights = np.concatenate([weights[negative], weights[~negative]])

    def spread(power: float) -> tuple[float, float]:
        """The variance of ψ(x), and the greatest |ψ(x)|."""
        transformed = np.concatenate([-_raised(below, 2 - power), _raised(above, power)])
        if weights is None:
            variance = transformed.var()
        else:
            variance = weights @ (transformed - weights @ transformed / total) ** 2 / total
        return float(variance), float(np.abs(transformed).max())

    def loss(power: float) -> float:
        variance, _ = spread(power)
        return total / 2 * np.log(variance) - (power - 1) * slope if variance >= _DOUBLE.tiny else np.inf

    # Values up to 20 times as large as these neither overflow nor vanish, nor do their squares.
    largest = np.log1p(min(20 * float(np.abs(values).max()), _DOUBLE.max))
    exponents = np.log([_DOUBLE.tiny / _DOUBLE.eps, _DOUBLE.max * _DOUBLE.eps]) / 2
    low, high = exponents / largest
    if not len(above):
        low, high = 2 - high, 2 - low
    elif len(below):
        low, high = max(2 - high, low), min(2 - low, high)
    if low > high:
        return 1.0
    with np.errstate(invalid="ignore"):  # it takes differences of losses, infinite ones too
        power = float(fminbound(loss, low, high, xtol=1.48e-8))
    variance, greatest = spread(power)
    return power if variance >= max(_DOUBLE.tiny, (LEAST_SPREAD * greatest) ** 2) else 1.0


def _raised(logs: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """((1 + |x|)^p - 1) / p of ln(1 + |x|)."""
    return logs if abs(power) < _DOUBLE.eps else np.expm1(power * logs) / power
