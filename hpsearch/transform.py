"""The one function that turns features into what a network sees; the core and saved models both apply it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def transform(
    features: NDArray[Any],
    centre: NDArray[Any],
    scale: NDArray[Any],
    fill: NDArray[Any] | None = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """x ← (x - centre) / scale, feature by feature, after ``fill`` stood in for nan.

    Args:
        features: (…, D), nan where a value is missing.
        centre: (D,), as the next two.
        scale: not 0.
        fill: None where no value can be missing.
        out: (…, D) to write to, in its own number type.

    Returns:
        (…, D): ``out``, or a new array.
    """
    if fill is not None:
        features = np.where(np.isnan(features), fill, features)
    transformed: NDArray[Any] = np.divide(features - centre, scale, out=out)
    return transformed
