"""Every metric by its name: its definition by scikit-learn, and what of it is kept for resampling.

Shapes and words are those of :mod:`hpsearch.validation.metric`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hpsearch.data.dataset import Task
from hpsearch.nn.losses import CLIP
from hpsearch.validation.metric import (
    AdditiveMetric,
    Array,
    Floats,
    Labels,
    MacroMetric,
    Metric,
    RankingMetric,
    SquaredErrorMetric,
    errors,
    predicted,
    ranked,
    squared_errors,
)

# --- what is computed from probabilities


def _normalised(probabilities: Array) -> Floats:
    """In float64, rows that sum to 1 in that type too: scikit-learn warns about float32 rows otherwise."""
    exact = probabilities.astype(np.float64)
    normalised: Floats = exact / exact.sum(axis=1, keepdims=True)
    return normalised


def _of_true_class(labels: Labels, probabilities: Array) -> Array:
    true: Array = probabilities[np.arange(len(labels)), labels]
    return true


def _correct(labels: Labels, probabilities: Array) -> Array:
    correct: Array = predicted(probabilities) == labels
    return correct.astype(np.uint8)


def _clipped_loss(labels: Labels, probabilities: Array) -> Floats:
    # Clipped in the probabilities' own type and only then made float64, as the trainer does: the same bits.
    true = np.clip(_of_true_class(labels, probabilities), CLIP, 1 - CLIP)
    losses: Floats = -np.log(true.astype(np.float64))
    return losses


def _kept_clipped_loss(labels: Labels, probabilities: Array) -> Array:
    return _clipped_loss(labels, probabilities).astype(np.float32)


def _kept_log_loss(labels: Labels, probabilities: Array) -> Array:
    smallest = np.finfo(np.float64).eps  # scikit-learn's own limit
    true = np.clip(_of_true_class(labels, _normalised(probabilities)), smallest, 1 - smallest)
    losses: Array = -np.log(true)
    return losses.astype(np.float32)


def _kept_squares(labels: Labels, probabilities: Array) -> Array:
    errors = _normalised(probabilities)
    errors[np.arange(len(labels)), labels] -= 1
    squares: Array = (errors**2).sum(axis=1)
    return squares.astype(np.float32)


# Errors are kept in float64: in float32 the square of one of 1e-23 is 0, and that of one of 1e20 infinite.
def _kept_absolute_errors(targets: Labels, predictions: Array) -> Array:
    return np.abs(errors(targets, predictions))


def _root_of_mean(squared_error: Floats, variance: Floats) -> Floats:
    root: Floats = np.sqrt(squared_error)
    return root


def _share_explained(squared_error: Floats, variance: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        share: Floats = np.where(variance > 0, 1 - squared_error / variance, np.nan)
    return share


def _recall(true_positives: Floats, predicted: Floats, actual: Floats) -> Floats:
    return true_positives / actual


def _f1(true_positives: Floats, predicted: Floats, actual: Floats) -> Floats:
    return 2 * true_positives / (predicted + actual)


# --- scorers: the definitions


def _score_accuracy(labels: Labels, probabilities: Array, classes: int, weights: Array | None) -> float:
    """The share of rows whose class was predicted, 0 … 1."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, predicted(probabilities), sample_weight=weights))


def _score_balanced_accuracy(labels: Labels, probabilities: Array, classes: int, weights: Array | None) -> float:
    """The mean over classes of the recall, true positives / actual, 0 … 1; 1 / C for a constant prediction.

    Brodersen, Ong, Stephan & Buhmann (2010), for two classes.
    """
    from sklearn.metrics import balanced_accuracy_score

    return float(balanced_accuracy_score(labels, predicted(probabilities), sample_weight=weights))


def _score_brier(labels: Labels, probabilities: Array, classes: int, weights: Array | None) -> float:
    """The mean over rows of Σ (p - y)² over all C classes, y one-hot, 0 … 2.

    Brier's own definition (1950), for two classes too, where many, and scikit-learn unless told, take the half of it.
    """
    from sklearn.metrics import brier_score_loss

    every, normalised = np.arange(classes), _normalised(probabilities)
    return float(brier_score_loss(labels, normalised, sample_weight=weights, labels=every, scale_by_half=False))


def _score_log_loss(labels: Labels, probabilities: Array, classes: int, weights: Array | None) -> float:
    """The mean over rows of -log p(true class) (Good 1952), p kept 2.2e-16 from 0 and 1: 0 … 36.0."""
    from sklearn.metrics import log_loss

    return float(log_loss(labels, _normalised(probabilities), sample_weight=weights, labels=np.arange(classes)))


def _score_loss(labels: Labels, probabilities: Array, classes: int, weights: Array | None) -> float:
    """The trainer's data loss: as log loss, but p is kept 1e-7 from 0 and 1, as in training: 0 … 16.1."""
    return float(np.average(_clipped_loss(labels, probabilities), weights=weights))


def _score_macro_f1(labels: Labels, probabilities: Array, classes: int, weights: Array | None) -> float:
    """The mean over classes of F1 = 2 · true positives / (predicted + actual), 0 … 1.

    F1 is the harmonic mean of precision and recall (van Rijsbergen 1979). Of the two things called macro F1 this is the
    mean of the F1, not the F1 of the mean precision and recall (Opitz & Burst 2019).
    """
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predicted(probabilities), average="macro", sample_weight=weights))


def _score_roc_auc(labels: Labels, probabilities: Array, classes: int, weights: Array | None) -> float:
    """The area under the ROC curve, 0 … 1, 1/2 by chance.

    Two classes: the probability that a row of the second class is given a higher probability of it than a row of the
    first, ties counting one half (Hanley & McNeil 1982). More: the unweighted mean over classes of that class's area
    against all other rows, which is scikit-learn's one-vs-rest with ``average="macro"``. (Provost & Domingos 2000
    weigh the classes by their rows; Hand & Till 2001 take the mean over pairs of classes, one-vs-one.)

    Probabilities are compared in float32, where those within 3e-8 of 1 are all 1, and tie.
    """
    from sklearn.metrics import roc_auc_score

    scores, every = ranked(probabilities), np.arange(classes)
    if classes == 2:
        return float(roc_auc_score(labels, scores[:, 0], sample_weight=weights))
    return float(roc_auc_score(labels, scores, multi_class="ovr", average="macro", labels=every, sample_weight=weights))


def _score_mse(targets: Labels, predictions: Array, classes: int, weights: Array | None) -> float:
    """The mean over rows of (prediction - target)²."""
    from sklearn.metrics import mean_squared_error

    return float(mean_squared_error(targets, predictions[:, 0], sample_weight=weights))


def _score_rmse(targets: Labels, predictions: Array, classes: int, weights: Array | None) -> float:
    """The square root of the mean squared error: an error in the target's own unit."""
    return math.sqrt(_score_mse(targets, predictions, classes, weights))


def _score_mae(targets: Labels, predictions: Array, classes: int, weights: Array | None) -> float:
    """The mean over rows of |prediction - target|."""
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(targets, predictions[:, 0], sample_weight=weights))


def _score_r2(targets: Labels, predictions: Array, classes: int, weights: Array | None) -> float:
    """The coefficient of determination: 1 - mean squared error / variance of these rows' targets.

    1 is perfect, 0 what their own mean would have, and below 0 worse than that.
    """
    from sklearn.metrics import r2_score

    return float(r2_score(targets, predictions[:, 0], sample_weight=weights))


# Of what it is the mean, in the unit of what is predicted.
_SQUARED, _OWN = "squared units of the target", "units of the target"

METRICS: dict[str, Metric] = {
    "accuracy": AdditiveMetric(title="accuracy", direction="maximize", scorer=_score_accuracy, of_rows=_correct),
    "balanced_accuracy": MacroMetric(
        title="balanced accuracy", direction="maximize", scorer=_score_balanced_accuracy, of_class=_recall
    ),
    "brier": AdditiveMetric(title="Brier score", direction="minimize", scorer=_score_brier, of_rows=_kept_squares),
    "log_loss": AdditiveMetric(
        title="log loss", direction="minimize", unit="nats", scorer=_score_log_loss, of_rows=_kept_log_loss
    ),
    "loss": AdditiveMetric(
        title="validation loss", direction="minimize", unit="nats", scorer=_score_loss, of_rows=_kept_clipped_loss
    ),
    "macro_f1": MacroMetric(title="macro F1", direction="maximize", scorer=_score_macro_f1, of_class=_f1),
    "mae": AdditiveMetric(
        title="mean absolute error",
        direction="minimize",
        unit=_OWN,
        scorer=_score_mae,
        of_rows=_kept_absolute_errors,
        task="regression",
    ),
    "mse": AdditiveMetric(
        title="mean squared error",
        direction="minimize",
        unit=_SQUARED,
        scorer=_score_mse,
        of_rows=squared_errors,
        task="regression",
    ),
    "r2": SquaredErrorMetric(
        title="R²",
        direction="maximize",
        scorer=_score_r2,
        of_means=_share_explained,
        of_variance=True,
        task="regression",
        lowest=-math.inf,
    ),
    "rmse": SquaredErrorMetric(
        title="root mean squared error",
        direction="minimize",
        unit=_OWN,
        scorer=_score_rmse,
        of_means=_root_of_mean,
        of_variance=False,
        task="regression",
    ),
    "roc_auc": RankingMetric(title="ROC AUC", direction="maximize", scorer=_score_roc_auc),
}

# What the objective "loss" is, by the loss that the networks are trained with.
_LOSSES: dict[str, Metric] = {
    "absolute_error": replace(METRICS["mae"], title="validation loss"),
    "binary_cross_entropy": METRICS["loss"],
    "cross_entropy": METRICS["loss"],
    "squared_error": replace(METRICS["mse"], title="validation loss"),
}
# The number that stands beside the loss, for people.
BESIDE: dict[Task, str] = {"classification": "accuracy", "regression": "r2"}


def objective_metric(objective: str, loss: str) -> Metric:
    """The metric that an objective is, for networks trained with a loss of :data:`hpsearch.nn.losses.LOSSES`."""
    return _LOSSES[loss] if objective == "loss" else METRICS[objective]


def metrics_of(loss: str) -> dict[str, Metric]:
    """Every metric, by name, that predictions of networks trained with this loss have."""
    task = _LOSSES[loss].task
    return {
        name: objective_metric(name, loss) for name, metric in METRICS.items() if name == "loss" or metric.task == task
    }
