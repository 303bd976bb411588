"""Types of arrays, as annotations name them, and what NumPy lacks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FloatArray = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]
IntArray = NDArray[np.intp]


def ranks(values: Array) -> Floats:
    """(n,), from 1; equal values share the mean of theirs."""
    ordered = np.sort(values)
    found: Floats = (ordered.searchsorted(values) + ordered.searchsorted(values, "right") + 1) / 2
    return found
