"""What a network's outputs mean and how wrong they are: output activations with their losses, over lanes.

=======  =============================================
symbol   meaning
=======  =============================================
L, B     lanes, rows of a batch
C        classes
A        predictions for a row: C probabilities, or 1 regression target
=======  =============================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpsearch.arrays import FloatArray, IntArray
from hpsearch.errors import DataError, Setting
from hpsearch.nn import kernels

# Probabilities are kept this far from 0 and 1 before the logarithm, so a certain mistake costs 16.1 nats, not infinity.
CLIP = 1e-7


def class_labels(targets: ArrayLike, classes: int) -> IntArray:
    """Integer labels (N,) from integer labels (N,) or from one-hot rows (N, C). ``targets`` is not modified.

    Raises:
        ValueError: labels outside 0 … C - 1, or rows that are not one-hot.
    """
    given = np.asarray(targets)
    if given.ndim == 2:
        if given.shape[1] != classes or not np.all((given == 0) | (given == 1)) or not np.all(given.sum(axis=1) == 1):
            raise ValueError(f"One-hot targets must have a single 1 in each row of {classes} columns.")
        places: IntArray = np.argmax(given, axis=1)
        return places
    # A comparison with nan is false, so nan is refused before the cast that has no place for it.
    if (
        given.ndim != 1
        or given.dtype.kind not in "biuf"
        or not np.all((given >= 0) & (given < classes) & (given == np.floor(given)))
    ):
        raise ValueError(f"Integer targets must be one-dimensional and lie in 0 … {classes - 1}.")
    return given.astype(np.intp)


def one_hot(labels: NDArray[np.integer[Any]], classes: int, out: FloatArray) -> None:
    """Write 1 where the class is the label and 0 elsewhere: ``labels`` (…, L, B) to ``out`` (…, L, C, B)."""
    np.equal(labels[..., np.newaxis, :], np.arange(classes, dtype=labels.dtype)[:, np.newaxis], out=out)


def softmax(logits: FloatArray) -> None:
    """Replace ``logits`` (L, C, B) by the probabilities of the classes (Bridle 1990)."""
    kernels.active().shift(logits)
    np.exp(logits, out=logits)
    kernels.active().share(logits)


def cross_entropy(probabilities: FloatArray, targets: FloatArray) -> NDArray[np.float64]:
    """Minus the logarithm of the true class's probability, in nats: (L, C, B) twice to (L, B)."""
    true = (probabilities * targets).sum(axis=1)
    losses: NDArray[np.float64] = -np.log(np.clip(true, CLIP, 1 - CLIP).astype(np.float64))
    return losses


def head_gradient(probabilities: FloatArray, targets: FloatArray, row_weights: FloatArray) -> None:
    """Replace ``probabilities`` (L, C, B) by the gradient of the data loss in the logits: (p - y) · weight.

    Args:
        probabilities: softmax of the logits, overwritten.
        targets: one-hot (L, C, B).
        row_weights: (L, 1, B), the share of each row in the mean; 0 for padding.

    Softmax and cross-entropy together have this gradient, which needs no division. Ours differs from the loss in one
    place: it ignores the clipping, so that a row that is certainly wrong still pulls.
    """
    kernels.active().error(probabilities, targets, row_weights)


def weighted_mean(row_losses: NDArray[np.float64], row_weights: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over each lane's rows: (L, B) and weights (L, B) that sum to 1 in each lane, to (L,)."""
    # Padding has weight 0, but 0 · nan is nan: a lane that diverged is nan as a whole, which is what we want to see.
    mean: NDArray[np.float64] = (row_losses * row_weights.astype(np.float64)).sum(axis=1)
    return mean


class Loss(ABC):
    """What the network's outputs mean, and the data loss that training descends; both in place where they can be.

    Predictions and targets are (L, A, B). A class is a probability there, and its target 1 or 0; a regression
    target is scaled, as the network sees it, where gradients are taken, and in its own unit where losses are reported.

    Attributes:
        regression: whether rows have one number each to predict, not a class.
        predictions_per_output: A over the network's outputs.
        power: what the loss is multiplied by where the unit of a regression target is: its scale to this power.
    """

    regression: ClassVar[bool]
    predictions_per_output: ClassVar[int] = 1
    power: ClassVar[int] = 0

    @abstractmethod
    def outputs(self, classes: int) -> int:
        """Neurons of the output layer for C classes, or for a regression target, whose ``classes`` are 0.

        Raises:
            DataError: the loss is not for so many.
        """

    @abstractmethod
    def predict(self, outputs: FloatArray) -> FloatArray:
        """Outputs of the last layer (L, outputs, B), overwritten, to predictions (L, A, B)."""

    @abstractmethod
    def gradient(self, predictions: FloatArray, targets: FloatArray, row_weights: FloatArray) -> FloatArray:
        """The gradient of the data loss in the outputs, (L, outputs, B).

        Args:
            predictions: overwritten.
            targets: (L, A, B).
            row_weights: (L, 1, B), the share of each row in the mean; 0 for padding.
        """

    @abstractmethod
    def of_rows(self, predictions: FloatArray, targets: FloatArray) -> NDArray[np.float64]:
        """The data loss of each row, (L, B)."""

    def of_labels(self, labels: NDArray[Any], predictions: FloatArray) -> NDArray[np.float64]:
        """The data loss of each row, (N,), from its class or regression target (N,) and its predictions (N, A)."""
        columns = predictions.T[np.newaxis]
        if self.regression:
            targets = np.asarray(labels, np.float64)[np.newaxis, np.newaxis]
        else:
            targets = np.empty(columns.shape, predictions.dtype)
            one_hot(labels[np.newaxis], predictions.shape[1], out=targets)
        losses: NDArray[np.float64] = self.of_rows(columns, targets)[0]
        return losses


class CrossEntropy(Loss):
    """Softmax over C outputs, minus the logarithm of the true class's probability."""

    regression = False

    def outputs(self, classes: int) -> int:
        return classes

    def predict(self, outputs: FloatArray) -> FloatArray:
        softmax(outputs)
        return outputs

    def gradient(self, predictions: FloatArray, targets: FloatArray, row_weights: FloatArray) -> FloatArray:
        head_gradient(predictions, targets, row_weights)
        return predictions

    def of_rows(self, predictions: FloatArray, targets: FloatArray) -> NDArray[np.float64]:
        return cross_entropy(predictions, targets)


class BinaryCrossEntropy(Loss):
    """One output z for two classes: p = 1 / (1 + exp(-z)) is the second one's probability (Bishop 1995, section 6.7).

    The loss is that of :class:`CrossEntropy`, minus the logarithm of the true class's probability. A softmax over two
    outputs computes the same function of their difference; it has twice the output weights, of which penalties and
    optimizers see both.
    """

    regression, predictions_per_output = False, 2

    def outputs(self, classes: int) -> int:
        if classes != 2:
            raise DataError(
                "must have two classes to tell apart",
                f"there are {classes}",
                "Use cross_entropy.",
                where=Setting("loss", "binary_cross_entropy"),
            )
        return 1

    def predict(self, outputs: FloatArray) -> FloatArray:
        # Both from the logit: 1 - p would have no digits left where p is near 1. exp(-|z|) never overflows.
        small = np.exp(-np.abs(outputs))
        likely, unlikely = 1 / (1 + small), small / (1 + small)
        positive = outputs >= 0
        return np.concatenate([np.where(positive, unlikely, likely), np.where(positive, likely, unlikely)], axis=1)

    def gradient(self, predictions: FloatArray, targets: FloatArray, row_weights: FloatArray) -> FloatArray:
        return (predictions[:, 1:] - targets[:, 1:]) * row_weights

    def of_rows(self, predictions: FloatArray, targets: FloatArray) -> NDArray[np.float64]:
        return cross_entropy(predictions, targets)


class SquaredError(Loss):
    """One linear output y for a target t: (y - t)², whose mean is the mean squared error; gradient 2·(y - t)."""

    regression, power = True, 2

    def outputs(self, classes: int) -> int:
        return 1

    def predict(self, outputs: FloatArray) -> FloatArray:
        return outputs

    def gradient(self, predictions: FloatArray, targets: FloatArray, row_weights: FloatArray) -> FloatArray:
        np.subtract(predictions, targets, out=predictions)
        np.multiply(predictions, 2 * row_weights, out=predictions)
        return predictions

    def of_rows(self, predictions: FloatArray, targets: FloatArray) -> NDArray[np.float64]:
        errors: NDArray[np.float64] = np.subtract(predictions[:, 0], targets[:, 0], dtype=np.float64)
        return errors * errors


class AbsoluteError(Loss):
    """One linear output y for a target t: |y - t|, whose mean is the mean absolute error; gradient ±1, and 0 at 0."""

    regression, power = True, 1

    def outputs(self, classes: int) -> int:
        return 1

    def predict(self, outputs: FloatArray) -> FloatArray:
        return outputs

    def gradient(self, predictions: FloatArray, targets: FloatArray, row_weights: FloatArray) -> FloatArray:
        np.subtract(predictions, targets, out=predictions)
        np.sign(predictions, out=predictions)
        np.multiply(predictions, row_weights, out=predictions)
        return predictions

    def of_rows(self, predictions: FloatArray, targets: FloatArray) -> NDArray[np.float64]:
        errors: NDArray[np.float64] = np.subtract(predictions[:, 0], targets[:, 0], dtype=np.float64)
        return np.abs(errors)


LOSSES: dict[str, Loss] = {
    "absolute_error": AbsoluteError(),
    "binary_cross_entropy": BinaryCrossEntropy(),
    "cross_entropy": CrossEntropy(),
    "squared_error": SquaredError(),
}
