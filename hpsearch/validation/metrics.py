"""Every metric by its name: what it is, and what of each row is stored for resampling.

Shapes and words are those of :mod:`hpsearch.validation.metric`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hpsearch.arrays import Array, Floats
from hpsearch.nn.losses import LOSSES
from hpsearch.numbers import readable
from hpsearch.validation.metric import (
    AdditiveMetric,
    Labels,
    MacroMetric,
    Metric,
    RankingMetric,
    SquaredErrorMetric,
    predicted,
    squared_errors,
)

# --- of each row


def _correct(labels: Labels, predictions: Array) -> Array:
    correct: Array = predicted(predictions) == labels
    return correct


def _normalised(probabilities: Array) -> Floats:
    """In float64, rows that sum to 1 in that type too."""
    exact = probabilities.astype(np.float64)
    normalised: Floats = exact / exact.sum(axis=1, keepdims=True)
    return normalised


def _squares(labels: Labels, predictions: Array) -> Array:
    errors = _normalised(predictions)
    errors[np.arange(len(labels)), labels] -= 1
    squares: Array = (errors**2).sum(axis=1)
    return squares


def _log_losses(labels: Labels, predictions: Array) -> Array:
    smallest = np.finfo(np.float64).eps  # scikit-learn's own limit
    true = _normalised(predictions)[np.arange(len(labels)), labels]
    losses: Array = -np.log(np.clip(true, smallest, 1 - smallest))
    return losses


def _cross_entropies(labels: Labels, predictions: Array) -> Array:
    return LOSSES["cross_entropy"].of_labels(labels, predictions)


def _absolute_errors(labels: Labels, predictions: Array) -> Array:
    return LOSSES["absolute_error"].of_labels(labels, predictions)


# --- of sums over rows


def _recall(true_positives: Floats, predicted: Floats, actual: Floats) -> Floats:
    return true_positives / actual


def _f1(true_positives: Floats, predicted: Floats, actual: Floats) -> Floats:
    return 2 * true_positives / (predicted + actual)


def _root_of_mean(squared_error: Floats, variance: Floats) -> Floats:
    root: Floats = np.sqrt(squared_error)
    return root


def _share_explained(squared_error: Floats, variance: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        share: Floats = np.where(variance > 0, 1 - squared_error / variance, np.nan)
    return share


# Of what it is the mean, in the unit of what is predicted.
_SQUARED, _OWN = "squared units of the target", "units of the target"

# The root mean squared error.
_ROOT = SquaredErrorMetric(
    title="RMSE",
    direction="minimize",
    unit=_OWN,
    of_means=_root_of_mean,
    of_variance=False,
    task="regression",
)

# Values of rows are stored in float32 where that is enough; not errors in the target's own unit: in float32 the square
# of one of 1e-23 is 0, and that of one of 1e20 infinite.
METRICS: dict[str, Metric] = {
    # The share of rows whose class was predicted, 0 … 1.
    "accuracy": AdditiveMetric(title="accuracy", direction="maximize", of_rows=_correct, stored=np.uint8),
    # The mean over classes of the recall, true positives / actual, 0 … 1; 1 / C for a constant prediction.
    # Brodersen, Ong, Stephan & Buhmann (2010), for two classes.
    "balanced_accuracy": MacroMetric(title="balanced accuracy", direction="maximize", of_class=_recall),
    # The mean over rows of Σ (p - y)² over all C classes, y one-hot, 0 … 2. Brier's own definition (1950), for two
    # classes too, where many, and scikit-learn unless told, take the half of it.
    "brier": AdditiveMetric(title="Brier score", direction="minimize", of_rows=_squares, stored=np.float32),
    # The mean over rows of -log p(true class) (Good 1952), p kept 2.2e-16 from 0 and 1: 0 … 36.0.
    "log_loss": AdditiveMetric(
        title="log loss", direction="minimize", unit="nats", of_rows=_log_losses, stored=np.float32
    ),
    # The trainer's data loss: as log loss, but p is kept 1e-7 from 0 and 1, as in training: 0 … 16.1.
    "loss": AdditiveMetric(
        title="validation loss", direction="minimize", unit="nats", of_rows=_cross_entropies, stored=np.float32
    ),
    # The mean over classes of F1 = 2 · true positives / (predicted + actual), 0 … 1: the harmonic mean of precision and
    # recall (van Rijsbergen 1979). Of the two things called macro F1 this is the mean of the F1, not the F1 of the mean
    # precision and recall (Opitz & Burst 2019).
    "macro_f1": MacroMetric(title="macro F1", direction="maximize", of_class=_f1),
    # The mean over rows of |prediction - target|.
    "mae": AdditiveMetric(
        title="mean absolute error", direction="minimize", unit=_OWN, of_rows=_absolute_errors, task="regression"
    ),
    # The mean over rows of (prediction - target)².
    "mse": AdditiveMetric(
        title="mean squared error",
        direction="minimize",
        unit=_SQUARED,
        of_rows=squared_errors,
        task="regression",
        root=_ROOT,
    ),
    # The coefficient of determination: 1 - mean squared error / variance of these rows' targets. 1 is perfect, 0 what
    # their own mean would have, and below 0 worse than that.
    "r2": SquaredErrorMetric(
        title="R²",
        direction="maximize",
        of_means=_share_explained,
        of_variance=True,
        task="regression",
        lowest=-math.inf,
    ),
    # The square root of the mean squared error: an error in the target's own unit.
    "rmse": _ROOT,
    # The area under the ROC curve, 0 … 1, 1/2 by chance.
    "roc_auc": RankingMetric(title="ROC AUC", direction="maximize"),
}

# What the objective "loss" is, by the loss that the networks are trained with.
_LOSSES: dict[str, Metric] = {
    "absolute_error": replace(METRICS["mae"], title="validation loss"),
    "binary_cross_entropy": METRICS["loss"],
    "cross_entropy": METRICS["loss"],
    "squared_error": replace(METRICS["mse"], title="validation loss"),
}


def objective_metric(objective: str, loss: str) -> Metric:
    """The metric that an objective is, for networks trained with a loss of :data:`hpsearch.nn.losses.LOSSES`."""
    return _LOSSES[loss] if objective == "loss" else METRICS[objective]


def shown(value: float, metric: Metric) -> str:
    """A value of a metric as headlines show it."""
    return readable(metric.in_headline(value))


def metrics_of(loss: str) -> dict[str, Metric]:
    """Every metric, by name, that predictions of networks trained with this loss have."""
    task = _LOSSES[loss].task
    return {
        name: objective_metric(name, loss) for name, metric in METRICS.items() if name == "loss" or metric.task == task
    }
