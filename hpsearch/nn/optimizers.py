"""Optimizers on flat (L, P) arrays: ``init(params) -> state`` and ``update(...)`` in place.

``step`` is t, the number of updates done before this one, from 0. The learning rate of a step,
``learning_rate / (1 + decay · t)``, is the trainer's business. ``grads`` is scratch after an update.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import FloatArray
from hpsearch.nn import kernels

State = tuple[FloatArray, ...]
_SCHEDULED = 256  # learning rates computed at once


def decayed(
    learning_rate: NDArray[np.float64], decay: NDArray[np.float64], step: int | NDArray[np.intp]
) -> NDArray[np.float64]:
    """The learning rate of update ``step`` (from 0): inverse-time decay, (L, 1) columns in float64.

    For several updates at once, ``step`` is (S, 1, 1) and the answer (S, L, 1).
    """
    return learning_rate / (1 + decay * step)


def schedule(
    learning_rate: NDArray[np.float64], decay: NDArray[np.float64], dtype: np.dtype[Any], first: int = 0
) -> Iterator[FloatArray]:
    """The learning rates of all updates from ``first`` on, one column after the other, as ``dtype``: (L, 1), or (1, 1)
    if all lanes have the same, which is half the time of a column in every product."""
    if np.ptp(learning_rate) == np.ptp(decay) == 0:
        learning_rate, decay = learning_rate[:1], decay[:1]
    # Some hundred at a time: one by one they would cost 3 µs an update, as much as three passes over a small network.
    for start in count(first, _SCHEDULED):
        steps = np.arange(start, start + _SCHEDULED)[:, np.newaxis, np.newaxis]
        yield from decayed(learning_rate, decay, steps).astype(dtype)


class Optimizer(ABC):
    """One update rule. Instances are frozen; what changes is in the state."""

    @abstractmethod
    def init(self, params: FloatArray) -> State:
        """The state before the first update of ``params`` (L, P)."""

    @abstractmethod
    def update(self, params: FloatArray, grads: FloatArray, learning_rate: FloatArray, step: int, state: State) -> None:
        """Update ``params`` and ``state`` in place from ``grads``, all (L, P).

        ``learning_rate`` is (L, 1), or (1, 1) where all lanes have the same.
        """


@dataclass(frozen=True, eq=False)  # a column of momenta has no single truth value
class SGD(Optimizer):
    """Gradient descent with momentum (Polyak 1964): v ← momentum·v - lr·g; w ← w + v."""

    momentum: float | FloatArray = 0.0  # a number, or (L, 1)

    def init(self, params: FloatArray) -> State:
        return (np.zeros_like(params),)

    def update(self, params: FloatArray, grads: FloatArray, learning_rate: FloatArray, step: int, state: State) -> None:
        (velocity,) = state
        np.multiply(velocity, np.asarray(self.momentum, velocity.dtype), out=velocity)
        np.multiply(grads, learning_rate, out=grads)
        np.subtract(velocity, grads, out=velocity)
        np.add(params, velocity, out=params)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Duchi, Hazan & Singer (2011): c ← c + g²; w ← w - lr·g / (√c + ε)."""

    epsilon: float = 1e-7

    def init(self, params: FloatArray) -> State:
        return np.zeros_like(params), np.empty_like(params)

    def update(self, params: FloatArray, grads: FloatArray, learning_rate: FloatArray, step: int, state: State) -> None:
        cache, scratch = state
        np.multiply(grads, grads, out=scratch)
        np.add(cache, scratch, out=cache)
        _root_scaled_step(params, grads, learning_rate, cache, self.epsilon, scratch)


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """Tieleman & Hinton (2012): c ← ρ·c + (1 - ρ)·g²; w ← w - lr·g / (√c + ε)."""

    rho: float = 0.9
    epsilon: float = 1e-7

    def init(self, params: FloatArray) -> State:
        return np.zeros_like(params), np.empty_like(params)

    def update(self, params: FloatArray, grads: FloatArray, learning_rate: FloatArray, step: int, state: State) -> None:
        cache, scratch = state
        np.multiply(grads, grads, out=scratch)
        np.multiply(scratch, 1 - self.rho, out=scratch)
        np.multiply(cache, self.rho, out=cache)
        np.add(cache, scratch, out=cache)
        _root_scaled_step(params, grads, learning_rate, cache, self.epsilon, scratch)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Kingma & Ba (2015), algorithm 1, with ε = 1e-7 outside the root of the corrected cache.

    m ← β₁·m + (1 - β₁)·g; c ← β₂·c + (1 - β₂)·g²; w ← w - lr·m̂ / (√ĉ + ε), where m̂ = m / (1 - β₁^(t+1)) and
    ĉ = c / (1 - β₂^(t+1)).
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-7

    def init(self, params: FloatArray) -> State:
        return np.zeros_like(params), np.zeros_like(params), np.empty_like(params)

    def update(self, params: FloatArray, grads: FloatArray, learning_rate: FloatArray, step: int, state: State) -> None:
        mean, cache, scratch = state
        # lr · m̂ / (√ĉ + ε) with both corrections taken out of the arrays, which saves two passes over them:
        # √ĉ = √c / r with r = √(1 - β₂^(t+1)), so it is (lr · r / (1 - β₁^(t+1))) · m / (√c + ε·r).
        root = (1 - self.beta2 ** (step + 1)) ** 0.5
        factor = root / (1 - self.beta1 ** (step + 1))
        kernels.active().adam(
            params, grads, mean, cache, scratch, learning_rate, self.beta1, self.beta2, self.epsilon * root, factor
        )


def _root_scaled_step(
    params: FloatArray,
    direction: FloatArray,
    learning_rate: FloatArray,
    cache: FloatArray,
    epsilon: float,
    scratch: FloatArray,
) -> None:
    """w ← w - lr · direction / (√cache + ε); ``scratch`` is overwritten."""
    np.sqrt(cache, out=scratch)
    np.add(scratch, epsilon, out=scratch)
    np.divide(direction, scratch, out=scratch)
    np.multiply(scratch, learning_rate, out=scratch)
    np.subtract(params, scratch, out=params)


OPTIMIZERS: dict[str, type[Optimizer]] = {"adagrad": Adagrad, "adam": Adam, "rmsprop": RMSProp, "sgd": SGD}
# The settings of each optimizer, read off its fields.
OPTIMIZER_SETTINGS: dict[str, frozenset[str]] = {
    name: frozenset(field.name for field in fields(kind))  # type: ignore[arg-type]
    for name, kind in OPTIMIZERS.items()
}
