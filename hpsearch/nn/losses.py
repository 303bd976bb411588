"""Softmax with categorical cross-entropy as one head, over lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpsearch.nn.network import FloatArray, IntArray

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
    # Features-first: max and sum over the few classes run along contiguous rows. Reductions called as such save the
    # methods' way there, some 2 µs of the 10 that a small batch takes.
    logits -= np.maximum.reduce(logits, axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= np.add.reduce(logits, axis=1, keepdims=True)


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
    np.subtract(probabilities, targets, out=probabilities)
    np.multiply(probabilities, row_weights, out=probabilities)


def weighted_mean(row_losses: NDArray[np.float64], row_weights: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over each lane's rows: (L, B) and weights (L, B) that sum to 1 in each lane, to (L,)."""
    # Padding has weight 0, but 0 · nan is nan: a lane that diverged is nan as a whole, which is what we want to see.
    mean: NDArray[np.float64] = (row_losses * row_weights.astype(np.float64)).sum(axis=1)
    return mean
