"""L1 and L2 penalties on weights and on biases, over lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import FloatArray
from hpsearch.nn import kernels
from hpsearch.nn.network import NetworkShape


def expand_lambdas(
    network: NetworkShape, weights: Sequence[float], biases: Sequence[float], dtype: np.dtype[Any]
) -> FloatArray:
    """One lambda a parameter, (P,), from one a layer for the weights and one a layer for the biases."""
    flat = np.zeros(network.size, dtype)
    for block, of_weights, of_biases in zip(network.layers, weights, biases, strict=True):
        flat[block.weights] = of_weights
        flat[block.biases] = of_biases
    return flat


@dataclass(frozen=True)
class Penalties:
    """λ₁·Σ|w| + λ₂·Σw², with a lambda for each parameter of each lane.

    ``l1`` and ``l2`` are (L, P). The L2 gradient passes through the optimizer like any other, so this is not the
    decoupled weight decay of Loshchilov & Hutter (2019).
    """

    l1: FloatArray
    l2: FloatArray

    @cached_property
    def any_l1(self) -> bool:
        return bool(self.l1.any())

    @cached_property
    def any_l2(self) -> bool:
        return bool(self.l2.any())

    @cached_property
    def _twice_l2(self) -> FloatArray:
        return 2 * self.l2

    def value(self, params: FloatArray) -> NDArray[np.float64]:
        """The penalty of each lane, (L,), summed in float64."""
        wide = params.astype(np.float64)
        total: NDArray[np.float64] = (self.l1 * np.abs(wide) + self.l2 * wide * wide).sum(axis=1)
        return total

    def add_gradient(self, params: FloatArray, grads: FloatArray, scratch: FloatArray) -> None:
        """Add λ₁·sign(w) (+λ₁ at 0) and 2·λ₂·w to ``grads`` (L, P)."""
        if self.any_l1:
            kernels.active().add_l1(grads, params, self.l1, scratch)
        if self.any_l2:
            kernels.active().add_l2(grads, params, self._twice_l2, scratch)
