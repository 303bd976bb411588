"""The one function that turns features into what a network sees; the core and saved models both apply it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_EXPONENT = 700.0  # exp of it is a double with room to be centred


def transform(
    features: NDArray[Any],
    centre: NDArray[Any],
    scale: NDArray[Any],
    fill: NDArray[Any] | None = None,
    out: NDArray[Any] | None = None,
    lambdas: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """x ← (ψ(x) - centre) / scale, feature by feature, after ``fill`` stood in for nan; see :func:`yeo_johnson`.

    Args:
        features: (…, D), nan where a value is missing.
        centre: (D,), as the next two and ``lambdas``.
        scale: not 0.
        fill: None where no value can be missing.
        out: (…, D) to write to, in its own number type.
        lambdas: of ψ, which is the identity where they are 1; None if it is of all features.

    Returns:
        (…, D): ``out``, or a new array.
    """
    if fill is not None:
        features = np.where(np.isnan(features), fill, features)
    if lambdas is not None:
        features = yeo_johnson(features, lambdas)
    transformed: NDArray[Any] = np.divide(features - centre, scale, out=out)
    return transformed


def yeo_johnson(values: NDArray[Any], lambdas: NDArray[Any]) -> NDArray[np.float64]:
    """ψ(x) = sign(x) · ((1 + |x|)^p - 1) / p, p being λ where x ≥ 0 and 2 - λ elsewhere; its limit where p is 0.

    The power transformation of Yeo & Johnson, "A new family of power transformations to improve normality or symmetry",
    Biometrika 87 (2000), equation 2.1. Features whose λ is 1 are given back bit for bit. No finite value becomes
    infinite: (1 + |x|)^p grows no further than e^700.

    Args:
        values: (…, D).
        lambdas: (D,), or whatever goes with ``values``.

    Returns:
        As ``values``, in double precision.
    """
    logs = np.log1p(np.abs(values, dtype=np.float64))
    powers = np.where(values < 0, 2 - lambdas, lambdas)
    logarithmic = powers == 0
    powers[logarithmic] = 1
    raised = np.expm1(np.minimum(powers * logs, MOST_EXPONENT)) / powers
    np.copyto(raised, logs, where=logarithmic)
    transformed: NDArray[np.float64] = np.where(lambdas == 1, values, np.copysign(raised, values))
    return transformed
