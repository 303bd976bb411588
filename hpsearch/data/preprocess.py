"""Feature scaling, fitted by scikit-learn on the training rows of a split and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH_ROWS = 1024  # of the rows that a scaling is fitted on


@dataclass(frozen=True)
class Scaling:
    """x ← (x - centre) / scale, column by column; both (D,)."""

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, features: NDArray[Any]) -> NDArray[Any]:
        """Scaled features, (N, D)."""
        scaled: NDArray[Any] = (features - self.centre) / self.scale
        return scaled


def _none(batches: Iterable[NDArray[Any]]) -> Scaling:
    width = next(iter(batches)).shape[1]
    return Scaling(np.zeros(width), np.ones(width))


def _standard(batches: Iterable[NDArray[Any]]) -> Scaling:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for batch in batches:
        scaler.partial_fit(batch)
    return Scaling(scaler.mean_.astype(np.float64), scaler.scale_.astype(np.float64))


def _minmax(batches: Iterable[NDArray[Any]]) -> Scaling:
    from sklearn.preprocessing import MinMaxScaler

    scaler = MinMaxScaler()
    for batch in batches:
        scaler.partial_fit(batch)
    scale = 1 / scaler.scale_  # scikit-learn's own word for the range, 1 where a column is constant
    return Scaling(scaler.data_min_.astype(np.float64), scale.astype(np.float64))


# What is learnt from the training rows, given in batches (n, D).
SCALINGS: dict[str, Callable[[Iterable[NDArray[Any]]], Scaling]] = {
    "minmax": _minmax,
    "none": _none,
    "standard": _standard,
}


def fit_scaling(name: str, features: NDArray[Any], rows: NDArray[np.intp]) -> Scaling:
    """What the named scaling learns from these rows of ``features`` (N, D) and no others."""
    # In batches: a copy of all training rows, in float64 inside scikit-learn, would be several times the data.
    return SCALINGS[name](features[rows[start : start + BATCH_ROWS]] for start in range(0, len(rows), BATCH_ROWS))
