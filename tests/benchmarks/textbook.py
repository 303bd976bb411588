"""The textbook loop: float64, a layer object at a time, one network after the other.

What a reader of Kinsley & Kukiela, *Neural Networks from Scratch in Python* (2020), would write, in our own words and
without what only a book needs (printing, accuracies): the plain program that the lock-step core is measured against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Dense:
    """A fully connected layer with an L2 penalty on its weights."""

    def __init__(self, weights: Array, biases: Array, l2: float) -> None:
        self.weights, self.biases, self.l2 = weights.copy(), biases.copy(), l2
        self.memory = [np.zeros_like(array) for array in (weights, weights, biases, biases)]

    def forward(self, inputs: Array) -> Array:
        self.inputs = inputs
        return np.dot(inputs, self.weights) + self.biases

    def backward(self, grad: Array) -> Array:
        self.grad_weights = np.dot(self.inputs.T, grad) + 2 * self.l2 * self.weights
        self.grad_biases = np.sum(grad, axis=0)
        return np.dot(grad, self.weights.T)


class ReLU:
    def forward(self, inputs: Array) -> Array:
        self.inputs = inputs
        return np.maximum(0, inputs)

    def backward(self, grad: Array) -> Array:
        grad = grad.copy()
        grad[self.inputs <= 0] = 0
        return grad


class SoftmaxCrossEntropy:
    def forward(self, inputs: Array) -> Array:
        exponentials = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output: Array = exponentials / np.sum(exponentials, axis=1, keepdims=True)
        return self.output

    def backward(self, labels: NDArray[np.intp]) -> Array:
        grad = self.output.copy()
        grad[range(len(labels)), labels] -= 1
        return grad / len(labels)


class Adam:
    def __init__(
        self, learning_rate: float, decay: float = 0.0, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-7
    ) -> None:
        self.learning_rate, self.decay, self.beta1, self.beta2 = learning_rate, decay, beta1, beta2
        self.epsilon, self.steps = epsilon, 0

    def update(self, layers: Sequence[Dense]) -> None:
        rate = self.learning_rate / (1 + self.decay * self.steps)
        self.steps += 1
        for layer in layers:
            pairs = ((layer.weights, layer.grad_weights), (layer.biases, layer.grad_biases))
            for number, (params, grads) in enumerate(pairs):
                mean, cache = layer.memory[2 * number : 2 * number + 2]
                mean[...] = self.beta1 * mean + (1 - self.beta1) * grads
                cache[...] = self.beta2 * cache + (1 - self.beta2) * grads**2
                corrected_mean = mean / (1 - self.beta1**self.steps)
                corrected_cache = cache / (1 - self.beta2**self.steps)
                params -= rate * corrected_mean / (np.sqrt(corrected_cache) + self.epsilon)


class Textbook:
    """A classifier with ReLU between its dense layers.

    Args:
        matrices: weights above biases, (fan_in + 1, fan_out), one a dense layer; copied.
        l2: lambda of all weights.
        optimizer: of this network alone.
    """

    def __init__(self, matrices: Sequence[NDArray[Any]], l2: float, optimizer: Adam) -> None:
        wide = [np.asarray(matrix, np.float64) for matrix in matrices]
        self.dense = [Dense(matrix[:-1], matrix[-1], l2) for matrix in wide]
        self.activations = [ReLU() for _ in self.dense[1:]]
        self.head, self.optimizer = SoftmaxCrossEntropy(), optimizer

    def probabilities(self, features: Array) -> Array:
        values = features
        for number, layer in enumerate(self.dense):
            values = layer.forward(values)
            if number < len(self.activations):
                values = self.activations[number].forward(values)
        return self.head.forward(values)

    def loss(self, features: Array, labels: NDArray[np.intp]) -> float:
        """Mean cross-entropy in nats, without the penalty."""
        true = self.probabilities(features)[np.arange(len(labels)), labels]
        return float(-np.log(np.clip(true, 1e-7, 1 - 1e-7)).mean())

    def step(self, features: Array, labels: NDArray[np.intp]) -> None:
        """One update."""
        self.probabilities(features)
        grad = self.head.backward(labels)
        for number in reversed(range(len(self.dense))):
            grad = self.dense[number].backward(grad)
            if number:
                grad = self.activations[number - 1].backward(grad)
        self.optimizer.update(self.dense)

    def train(
        self,
        features: Array,
        labels: NDArray[np.intp],
        epochs: int,
        batch_size: int | None,
        draw: np.random.Generator,
    ) -> None:
        """Pass over the rows ``epochs`` times, in batches of a random order or (None) all at once."""
        for _ in range(epochs):
            if batch_size is None:
                self.step(features, labels)
                continue
            order = draw.permutation(len(labels))
            for start in range(0, len(labels), batch_size):
                batch = order[start : start + batch_size]
                self.step(features[batch], labels[batch])
