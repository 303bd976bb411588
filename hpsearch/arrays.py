"""Types of arrays, as annotations name them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FloatArray = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]
IntArray = NDArray[np.intp]
