"""What stratified folds make a log loss look better than it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import Floats, IntArray


def stratified_optimism(labels: IntArray, predictions: NDArray[Any], rows: int) -> float:
    """By how much the mean log loss of stratified folds is too low, in nats: tr(V⁻¹ W) / n.

    Args:
        labels: (M,) classes from 0, each present.
        predictions: (M, C) probabilities, out of fold.
        rows: n, of which each may have been predicted several times.

    In stratified folds the training rows and the validation rows of a split have the same shares of the classes, those
    of the sample. New rows have not. So what a model has learnt of the shares is judged on the rows that it was learnt
    from, as if it was not out of fold. A parameter's share in the optimism of such a log loss is 1/n (Akaike 1974, "A
    new look at the statistical model identification"): half of it because the parameter fits the sample better than
    the truth does, half because it fits new rows worse. The classes' shares are C - 1 parameters.

    That would be (C - 1)/n for a model that knows nothing else. Folds of equal shares fix the sum of the labels, but
    not that of the residuals, which is what a model's intercepts learn from; the better the model, the less the one
    says about the other. V is the covariance of the labels (of C - 1 indicators of classes), W that of the residuals,
    from the predictions p: the means of diag(p) - ppᵀ. For two classes tr(V⁻¹ W) is mean p(1 - p) over π(1 - π): the
    share of the variance that the model does not explain, which is the squared correlation of the two sums.
    """
    count, classes = predictions.shape
    if classes == 1:
        return 0.0
    known = predictions[:, :-1].astype(np.float64)  # the last class is what the others leave
    shares = np.bincount(labels, minlength=classes)[:-1] / count
    of_labels = np.diag(shares) - np.outer(shares, shares)
    of_residuals: Floats = np.diag(known.mean(axis=0)) - known.T @ known / count
    return float(np.trace(np.linalg.solve(of_labels, of_residuals))) / rows
