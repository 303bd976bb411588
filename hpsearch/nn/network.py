"""Layer widths, and where each weight and bias lives in one flat (L, P) parameter buffer.

=======  ======================================================================
symbol   meaning
=======  ======================================================================
L        lanes: networks trained side by side
P        parameters of one lane
B        rows of a batch (padded)
C        classes
A        predictions for a row: C probabilities, or 1 regression target
=======  ======================================================================

The block of a dense layer is a (fan_in + 1, fan_out) matrix, the weights above the biases: with a row of ones under
the layer's inputs, bias and bias gradient come out of the same matrix product as the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from hpsearch.arrays import FloatArray


@dataclass(frozen=True)
class DenseBlock:
    """Where one dense layer lives in the flat buffer."""

    start: int
    fan_in: int
    fan_out: int

    @property
    def weights(self) -> slice:
        """The columns of the flat buffer that hold the weights, row-major (fan_in, fan_out)."""
        return slice(self.start, self.start + self.fan_in * self.fan_out)

    @property
    def biases(self) -> slice:
        """The columns of the flat buffer that hold the biases, (fan_out,)."""
        return slice(self.weights.stop, self.stop)

    @property
    def stop(self) -> int:
        return self.start + (self.fan_in + 1) * self.fan_out

    def matrix(self, flat: FloatArray) -> FloatArray:
        """A view of the block in ``flat`` (L, P), as (L, fan_in + 1, fan_out)."""
        return flat[:, self.start : self.stop].reshape(len(flat), self.fan_in + 1, self.fan_out)


@dataclass(frozen=True)
class NetworkShape:
    """The shape of a fully connected network: inputs, hidden widths, outputs.

    Raises:
        ValueError: a width below 1.
    """

    inputs: int
    neurons: tuple[int, ...]
    outputs: int

    def __post_init__(self) -> None:
        if min(self.widths) < 1:
            raise ValueError(f"Every layer width must be at least 1, but they are {self.widths}.")

    @property
    def widths(self) -> tuple[int, ...]:
        return (self.inputs, *self.neurons, self.outputs)

    @cached_property
    def layers(self) -> tuple[DenseBlock, ...]:
        """One block a dense layer, the output layer last."""
        pairs = list(pairwise(self.widths))
        starts = accumulate(((fan_in + 1) * fan_out for fan_in, fan_out in pairs), initial=0)
        return tuple(DenseBlock(start, *pair) for start, pair in zip(starts, pairs, strict=False))

    @property
    def size(self) -> int:
        """P, the number of parameters of one lane."""
        return self.layers[-1].stop

    def named(self, flat: FloatArray) -> dict[str, FloatArray]:
        """Views of ``flat`` (L, P) by name: ``layer1.weights`` (L, fan_in, fan_out), ``layer1.biases`` (L, fan_out)."""
        views = {}
        for number, block in enumerate(self.layers, start=1):
            matrix = block.matrix(flat)
            views[f"layer{number}.weights"], views[f"layer{number}.biases"] = matrix[:, :-1], matrix[:, -1]
        return views


# Standard deviation of the normally distributed initial weights, from (fan_in, fan_out).
INITIALISATIONS: dict[str, Callable[[int, int], float]] = {
    # Kinsley & Kukiela, Neural Networks from Scratch (2020): 0.01 for every layer.
    "nnfs": lambda fan_in, fan_out: 0.01,
    # He et al. (2015), "Delving Deep into Rectifiers", equation 10.
    "he": lambda fan_in, fan_out: float(np.sqrt(2 / fan_in)),
    # Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks",
    # equation 12, with a normal instead of a uniform distribution.
    "glorot": lambda fan_in, fan_out: float(np.sqrt(2 / (fan_in + fan_out))),
}


def initial_parameters(
    network: NetworkShape,
    initialisation: str,
    generators: Sequence[np.random.Generator],
    dtype: np.dtype[Any],
) -> FloatArray:
    """Initial parameters (L, P), lane l drawn from ``generators[l]``; biases are 0.

    Drawn in float64 and then cast, so that float32 and float64 runs start from the same numbers.
    """
    deviation = INITIALISATIONS[initialisation]
    flat = np.zeros((len(generators), network.size), dtype)
    for lane, draw in enumerate(generators):
        for block in network.layers:
            count = block.fan_in * block.fan_out
            flat[lane, block.weights] = deviation(block.fan_in, block.fan_out) * draw.standard_normal(count)
    return flat
