"""The lambda of Yeo and Johnson's transformation under which values are most like a normal distribution's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DOUBLE = np.finfo(np.float64)
# Transformed values whose standard deviation is a smaller share of the greatest have lost what told them apart.
LEAST_SPREAD = 1e-8
_LEAST = 1000 / _DOUBLE.max  # of the values' logarithms: the bounds of lambda are divided by them


def fit_lambda(values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> float:
    """The most likely lambda of ψ, which is :func:`hpsearch.transform.yeo_johnson`; 1, the identity, if none helps.

    It maximises (λ - 1) · Σ sign(x)·ln(1 + |x|) - n/2 · ln(variance of ψ(x)), the profile log-likelihood of Yeo &
    Johnson, Biometrika 87 (2000), section 3. Without weights that is the lambda of scikit-learn's ``PowerTransformer``,
    to the tolerance of the search for it, in a fraction of the time: ln(1 + |x|) is taken once. With weights
    each row is as many rows as it counts.

    1 is the answer for values that are all alike, that are next to 0, that are of both signs and so large that one side
    would overflow, or that the likeliest lambda would bring as near to each other as rounding is, as it does with some
    far from 0.

    Args:
        values: (n,), finite.
        weights: (n,), above 0; None if all count alike.
    """
    from scipy.optimize import fminbound

    if values.min() == values.max():
        return 1.0
    below, above = np.flatnonzero(values < 0), np.flatnonzero(values >= 0)
    logs = np.log1p(np.abs(values))
    logs_below, logs_above, signed = logs[below], logs[above], np.sign(values) * logs
    total = float(len(values) if weights is None else weights.sum())
    slope = float(signed.sum() if weights is None else weights @ signed)

    def psi(power: float) -> NDArray[np.float64]:
        if not len(below):  # as in most columns: half the time
            return _raised(logs, power)
        transformed = np.empty_like(logs)
        transformed[below], transformed[above] = -_raised(logs_below, 2 - power), _raised(logs_above, power)
        return transformed

    def variance(transformed: NDArray[np.float64]) -> float:
        if weights is None:
            # The steps of transformed.var(), with its bits, in half the time.
            deviations = transformed - np.add.reduce(transformed) / len(transformed)
            return float(np.add.reduce(deviations * deviations) / len(transformed))
        return float(weights @ (transformed - weights @ transformed / total) ** 2 / total)

    def loss(power: float) -> float:
        spread = variance(psi(power))
        return total / 2 * np.log(spread) - (power - 1) * slope if spread >= _DOUBLE.tiny else np.inf

    # Values up to 20 times as large as these neither overflow nor vanish, nor do their squares.
    largest = np.log1p(min(20 * float(np.abs(values).max()), _DOUBLE.max))
    if largest < _LEAST:
        return 1.0
    low = (np.log(_DOUBLE.tiny) - np.log(_DOUBLE.eps)) / 2 / largest
    high = (np.log(_DOUBLE.max) + np.log(_DOUBLE.eps)) / 2 / largest
    if not len(above):
        low, high = 2 - high, 2 - low
    elif len(below):
        low, high = max(2 - high, low), min(2 - low, high)
    if low > high:
        return 1.0
    with np.errstate(invalid="ignore"):  # it takes differences of losses, infinite ones too
        power = float(fminbound(loss, low, high, xtol=1.48e-8))
    found = psi(power)
    least = max(_DOUBLE.tiny, float(LEAST_SPREAD * np.abs(found).max()) ** 2)
    return power if variance(found) >= least else 1.0


def _raised(logs: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """((1 + |x|)^p - 1) / p of ln(1 + |x|)."""
    return logs if abs(power) < _DOUBLE.eps else np.expm1(power * logs) / power
