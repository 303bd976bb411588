"""Dense layers, activations and dropout, forward and backward over lanes.

Values between layers are features-first, (L, features, B), with a last row of ones under every layer's inputs.
Everything works in preallocated arrays. All lanes of a call are computed by the same operations in the same order as
one lane alone, so a lane's bits do not depend on its company.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from hpsearch.arrays import FloatArray
from hpsearch.nn import kernels


def dense_forward(matrix: FloatArray, inputs: FloatArray, out: FloatArray) -> None:
    """``out`` (L, fan_out, B) = weights' transpose times ``inputs`` (L, fan_in + 1, B), biases included."""
    np.matmul(matrix.swapaxes(1, 2), inputs, out=out)


def dense_backward(
    matrix: FloatArray,
    inputs: FloatArray,
    grad_out: FloatArray,
    grad_matrix: FloatArray,
    grad_inputs: FloatArray | None,
) -> None:
    """Gradients of a dense layer.

    Args:
        matrix: weights above biases (L, fan_in + 1, fan_out).
        inputs: what the layer saw (L, fan_in + 1, B), ones in the last row.
        grad_out: gradient of the loss in the layer's outputs (L, fan_out, B).
        grad_matrix: written: gradient in ``matrix``.
        grad_inputs: written: gradient in the inputs (L, fan_in, B); None for the first layer, which has none to pass.
    """
    np.matmul(inputs, grad_out.swapaxes(1, 2), out=grad_matrix)
    if grad_inputs is not None:
        np.matmul(matrix[:, :-1], grad_out, out=grad_inputs)


class Activation(ABC):
    """An elementwise function with its derivative, both in place.

    Its derivative is computed from its *output*: the inputs are overwritten and need no memory of their own.

    Args:
        outputs: the array that it works in, (L, width + 1, B), whose last row of ones it leaves as it is.
        leaky_slope: of :class:`LeakyReLU`.
    """

    @abstractmethod
    def __init__(self, outputs: FloatArray, leaky_slope: float) -> None: ...

    @abstractmethod
    def forward(self) -> None:
        """Replace what is in ``outputs`` by the function of it."""

    @abstractmethod
    def backward(self, grad: FloatArray) -> None:
        """Multiply ``grad`` (L, width, B), in the outputs, by the derivative: it becomes the gradient in the inputs."""


class ReLU(Activation):
    """max(0, z); derivative 0 at 0. Nair & Hinton (2010)."""

    def __init__(self, outputs: FloatArray, leaky_slope: float) -> None:
        self._outputs, self._zeros = outputs, np.zeros_like(outputs)
        self._integer = np.dtype(f"int{8 * outputs.itemsize}")
        self._bits = outputs.view(self._integer)
        self._scratch = np.empty_like(self._bits[:, :-1])

    def forward(self) -> None:
        kernels.active().relu(self._outputs, self._zeros)  # of the ones too, which stay what they are

    def backward(self, grad: FloatArray) -> None:
        kernels.active().relu_gradient(self._bits, grad.view(self._integer), self._scratch)


class LeakyReLU(Activation):
    """z for z > 0, slope · z below; derivative ``slope`` at 0. Maas, Hannun & Ng (2013)."""

    def __init__(self, outputs: FloatArray, leaky_slope: float) -> None:
        self._slope, self._values = leaky_slope, outputs[:, :-1]
        self._scaled = np.empty_like(self._values)
        self._inactive = np.empty_like(self._values, bool)

    def forward(self) -> None:
        np.multiply(self._values, self._slope, out=self._scaled)
        np.maximum(self._values, self._scaled, out=self._values)

    def backward(self, grad: FloatArray) -> None:
        np.less_equal(self._values, 0, out=self._inactive)
        np.multiply(grad, self._slope, out=grad, where=self._inactive)


class Tanh(Activation):
    """tanh z; derivative 1 - tanh² z."""

    def __init__(self, outputs: FloatArray, leaky_slope: float) -> None:
        self._values = outputs[:, :-1]
        self._slope = np.empty_like(self._values)

    def forward(self) -> None:
        np.tanh(self._values, out=self._values)

    def backward(self, grad: FloatArray) -> None:
        np.multiply(self._values, self._values, out=self._slope)
        np.subtract(1, self._slope, out=self._slope)
        np.multiply(grad, self._slope, out=grad)


class Dropout:
    """Each value is 0 with probability ``rate``, and else divided by 1 - ``rate``; in training only.

    Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014), "Dropout", section 10 (multiplying in training
    instead of in use, which so needs no change). Ours draws 16 bits a value, so a rate is rounded to 1/65536; and a
    lane draws from its own generator, for its padding too, so that its bits do not depend on its company.

    Args:
        shape: (L, width, B).
        dtype: of the values.
        rate: at least 0 and below 1.
        generators: one a lane.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], rate: float, generators: Sequence[np.random.Generator]
    ) -> None:
        self._generators, self._dropped = generators, round(rate * 2**16)
        self._bits, self._factors = np.empty(shape, np.uint16), np.empty(shape, dtype)
        self._kept = 2**16 / (2**16 - self._dropped)

    def draw(self) -> None:
        """Choose anew what is dropped."""
        for bits, generator in zip(self._bits, self._generators, strict=True):
            raw = generator.bit_generator.random_raw(-(-bits.size // 4))  # 64 bits for four values
            bits[...] = raw.view(np.uint16)[: bits.size].reshape(bits.shape)
        np.greater_equal(self._bits, self._dropped, out=self._factors)
        np.multiply(self._factors, self._kept, out=self._factors)

    def forward(self, values: FloatArray, out: FloatArray) -> None:
        """``out`` = ``values`` with some of them dropped."""
        np.multiply(values, self._factors, out=out)

    def backward(self, grad: FloatArray) -> None:
        """Replace ``grad``, in the outputs, by the gradient in the inputs."""
        np.multiply(grad, self._factors, out=grad)


ACTIVATIONS: dict[str, type[Activation]] = {"leaky_relu": LeakyReLU, "relu": ReLU, "tanh": Tanh}
# The settings that only some activations have.
ACTIVATION_SETTINGS: dict[str, frozenset[str]] = {
    name: frozenset({"leaky_slope"} if kind is LeakyReLU else ()) for name, kind in ACTIVATIONS.items()
}
