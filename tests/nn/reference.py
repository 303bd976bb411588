"""A plain network in float64, the textbook way: one network, rows first, a layer object at a time.

Written from the formulas (Kinsley & Kukiela 2020, and the papers that each optimizer names) and not from the package:
nothing here knows lanes, padding, flat buffers or arrays written in place. Tests compare the package with it.
An activation, a loss or an optimizer that the package registers needs its formula here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Each activation and its derivative, both functions of (z, leaky slope).
ACTIVATIONS: dict[str, tuple[Callable[[Array, float], Array], Callable[[Array, float], Array]]] = {
    "leaky_relu": (lambda z, slope: np.where(z > 0, z, slope * z), lambda z, slope: np.where(z > 0, 1.0, slope)),
    "relu": (lambda z, slope: np.where(z > 0, z, 0.0), lambda z, slope: np.where(z > 0, 1.0, 0.0)),
    "tanh": (lambda z, slope: np.sinh(z) / np.cosh(z), lambda z, slope: 1 / np.cosh(z) ** 2),
}


def sgd(w: Array, g: Array, memory: dict[str, Array], rate: float, t: int, momentum: float = 0.0) -> Array:
    memory["momentums"] = momentum * memory["momentums"] - rate * g
    return w + memory["momentums"]


def adagrad(w: Array, g: Array, memory: dict[str, Array], rate: float, t: int, epsilon: float = 1e-7) -> Array:
    memory["caches"] = memory["caches"] + g**2
    return w - rate * g / (np.sqrt(memory["caches"]) + epsilon)


def rmsprop(
    w: Array, g: Array, memory: dict[str, Array], rate: float, t: int, rho: float = 0.9, epsilon: float = 1e-7
) -> Array:
    memory["caches"] = rho * memory["caches"] + (1 - rho) * g**2
    return w - rate * g / (np.sqrt(memory["caches"]) + epsilon)


def adam(
    w: Array,
    g: Array,
    memory: dict[str, Array],
    rate: float,
    t: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-7,
) -> Array:
    memory["momentums"] = beta1 * memory["momentums"] + (1 - beta1) * g
    memory["caches"] = beta2 * memory["caches"] + (1 - beta2) * g**2
    momentums_corrected = memory["momentums"] / (1 - beta1 ** (t + 1))
    caches_corrected = memory["caches"] / (1 - beta2 ** (t + 1))
    return w - rate * momentums_corrected / (np.sqrt(caches_corrected) + epsilon)


# Each optimizer's rule, and what it remembers of each parameter, in the order of the package's state.
OPTIMIZERS: dict[str, tuple[Callable[..., Array], tuple[str, ...]]] = {
    "adagrad": (adagrad, ("caches",)),
    "adam": (adam, ("momentums", "caches")),
    "rmsprop": (rmsprop, ("caches",)),
    "sgd": (sgd, ("momentums",)),
}


def softmax(logits: Array) -> Array:
    """(rows, classes) to probabilities."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def sigmoid(z: Array) -> Array:
    return np.exp(z) / (1 + np.exp(z))


def _of_true(probabilities: Array, labels: NDArray[Any]) -> Array:
    return -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1 - 1e-7))


def _of_the_second(probability: Array, labels: NDArray[Any]) -> Array:
    return -np.log(np.clip(np.where(labels == 1, probability[:, 0], 1 - probability[:, 0]), 1e-7, 1 - 1e-7))


def _less_one_hot(probabilities: Array, labels: NDArray[Any]) -> Array:
    return probabilities - np.eye(probabilities.shape[1])[labels]


# Each loss: (outputs to what is compared with targets, that and targets to each row's loss, and to its slope in the
# outputs).
LOSSES: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Any], Array], Callable[[Array, Any], Array]]] = {
    "absolute_error": (lambda y: y, lambda y, t: np.abs(y[:, 0] - t), lambda y, t: np.where(y > t[:, None], 1.0, -1.0)),
    "binary_cross_entropy": (sigmoid, _of_the_second, lambda p, t: p - t[:, None]),
    "cross_entropy": (softmax, _of_true, _less_one_hot),
    "squared_error": (lambda y: y, lambda y, t: (y[:, 0] - t) ** 2, lambda y, t: 2 * (y - t[:, None])),
}


@dataclass
class Layer:
    """Weights (fan_in, fan_out) and biases (fan_out,), with their own lambdas and their own memory."""

    weights: Array
    biases: Array
    weight_l1: float = 0.0
    weight_l2: float = 0.0
    bias_l1: float = 0.0
    bias_l2: float = 0.0
    weight_memory: dict[str, Array] = field(default_factory=dict)
    bias_memory: dict[str, Array] = field(default_factory=dict)

    def penalty(self) -> float:
        return float(
            self.weight_l1 * np.sum(np.abs(self.weights))
            + self.weight_l2 * np.sum(self.weights**2)
            + self.bias_l1 * np.sum(np.abs(self.biases))
            + self.bias_l2 * np.sum(self.biases**2)
        )

    def gradients(self, inputs: Array, slope: Array) -> tuple[Array, Array]:
        """Gradients in the weights and biases, from the gradient in the outputs; penalties included."""
        of_weights = inputs.T @ slope
        of_weights += self.weight_l1 * np.where(self.weights >= 0, 1, -1) + 2 * self.weight_l2 * self.weights
        of_biases = slope.sum(axis=0)
        of_biases += self.bias_l1 * np.where(self.biases >= 0, 1, -1) + 2 * self.bias_l2 * self.biases
        return of_weights, of_biases


@dataclass
class Reference:
    """A network with its optimizer; ``step`` trains it on one batch."""

    layers: Sequence[Layer]
    activation: str = "relu"
    leaky_slope: float = 0.01
    optimizer: str = "sgd"
    settings: dict[str, Any] = field(default_factory=dict)
    learning_rate: float = 0.1
    decay: float = 0.0
    updates: int = 0
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        for layer in self.layers:
            for name in OPTIMIZERS[self.optimizer][1]:
                layer.weight_memory.setdefault(name, np.zeros_like(layer.weights))
                layer.bias_memory.setdefault(name, np.zeros_like(layer.biases))

    def forward(self, features: Array) -> tuple[list[Array], list[Array]]:
        """What each layer sees, and what it predictions before the activation; the last prediction is the logits."""
        function = ACTIVATIONS[self.activation][0]
        inputs, sums = [features], []
        for layer in self.layers:
            sums.append(inputs[-1] @ layer.weights + layer.biases)
            inputs.append(function(sums[-1], self.leaky_slope))
        return inputs[:-1], sums

    def probabilities(self, features: Array) -> Array:
        return softmax(self.forward(features)[1][-1])

    def data_loss(self, features: Array, labels: NDArray[Any]) -> float:
        prediction, of_rows, _ = LOSSES[self.loss]
        return float(np.mean(of_rows(prediction(self.forward(features)[1][-1]), labels)))

    def penalty(self) -> float:
        return sum(layer.penalty() for layer in self.layers)

    def gradients(self, features: Array, labels: NDArray[Any]) -> list[tuple[Array, Array]]:
        """Gradients of the total loss, layer by layer."""
        derivative, (answered, _, sloping) = ACTIVATIONS[self.activation][1], LOSSES[self.loss]
        inputs, sums = self.forward(features)
        slope = sloping(answered(sums[-1]), labels) / len(labels)
        prediction = []
        for number in reversed(range(len(self.layers))):
            if number < len(self.layers) - 1:
                slope = (slope @ self.layers[number + 1].weights.T) * derivative(sums[number], self.leaky_slope)
            prediction.append(self.layers[number].gradients(inputs[number], slope))
        return prediction[::-1]

    def step(self, features: Array, labels: NDArray[Any]) -> None:
        """One update."""
        rule, t = OPTIMIZERS[self.optimizer][0], self.updates
        rate = self.learning_rate / (1 + self.decay * t)
        for layer, (of_weights, of_biases) in zip(self.layers, self.gradients(features, labels), strict=True):
            layer.weights = rule(layer.weights, of_weights, layer.weight_memory, rate, t, **self.settings)
            layer.biases = rule(layer.biases, of_biases, layer.bias_memory, rate, t, **self.settings)
        self.updates += 1

    def flat(self) -> Array:
        """All parameters in one row, layer by layer, weights before biases."""
        return np.concatenate([part for layer in self.layers for part in (layer.weights.ravel(), layer.biases)])

    def flat_memory(self, name: str) -> Array:
        """All memories of one name, in the order of :meth:`flat`."""
        memories = [part for layer in self.layers for part in (layer.weight_memory[name], layer.bias_memory[name])]
        return np.concatenate([memory.ravel() for memory in memories])
