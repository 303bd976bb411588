"""Feature scaling, fitted by scikit-learn on the training rows of a split and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scaling:
    """x ← (x - centre) / scale, column by column; both (D,)."""

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, features: NDArray[Any]) -> NDArray[Any]:
        """Scaled features, (N, D)."""
        scaled: NDArray[Any] = (features - self.centre) / self.scale
        return scaled


def _none(features: NDArray[Any]) -> Scaling:
    return Scaling(np.zeros(features.shape[1]), np.ones(features.shape[1]))


def _standard(features: NDArray[Any]) -> Scaling:
    from sklearn.preprocessing import StandardScaler

    fitted = StandardScaler().fit(features)
    return Scaling(fitted.mean_.astype(np.float64), fitted.scale_.astype(np.float64))


def _minmax(features: NDArray[Any]) -> Scaling:
    from sklearn.preprocessing import MinMaxScaler

    fitted = MinMaxScaler().fit(features)
    scale = 1 / fitted.scale_  # scikit-learn's own word for the range, 1 where a column is constant
    return Scaling(fitted.data_min_.astype(np.float64), scale.astype(np.float64))


# What is learnt from the training rows (N, D).
SCALINGS: dict[str, Callable[[NDArray[Any]], Scaling]] = {"minmax": _minmax, "none": _none, "standard": _standard}
