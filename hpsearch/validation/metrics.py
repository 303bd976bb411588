"""Metrics of predictions: on some rows by scikit-learn, and on many resamples of those rows at once.

Shapes: n rows, C classes, T checkpoints (of one trial or of many), R resamples. Of a classification

- ``labels`` (n,): integers 0 … C - 1.
- ``probabilities`` (n, C): finite, at least 0, rows that sum to 1 up to the rounding of their own number type.

Of a regression, where C is 0,

- ``labels`` (n,): the quantity, in its own unit.
- ``probabilities`` (n, 1): what was predicted for it, likewise.

And of both

- ``weights``: at least 0 and finite; (n,) in :meth:`Metric.score`, (R, n) in :meth:`Metric.resampled`. A row of weight
  2 counts as two rows, a row of weight 0 as none. A bootstrap's weights are multiplicities, times the rows' own weights
  where they have some.

The predicted class is the most probable one, of equally probable ones the first.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Task
from hpsearch.nn.losses import CLIP

Array = NDArray[Any]
Floats = NDArray[np.float64]
Labels = NDArray[Any]
Direction = Literal["minimize", "maximize"]
# (labels, probabilities, classes, weights or None) to the metric, where it is defined.
Scorer = Callable[[Labels, Array, int, Array | None], float]

# Resampling goes in blocks of so many weights, kept values and answers: 8 MiB each in float64.
_BLOCK = 2**20


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """What predictions are worth, as one number.

    Attributes:
        title: for displays.
        direction: which way is better.
        unit: of the number, "" if it has none.
        scorer: the metric on rows for which it is defined.
        task: what it is of.
        lowest: the least value that it can have.
        needs_every_class: whether it is defined only for rows of all C classes together.
    """

    title: str
    direction: Direction
    unit: str = ""
    scorer: Scorer
    task: Task = "classification"
    lowest: float = 0.0
    needs_every_class: ClassVar[bool] = False

    @property
    def sign(self) -> int:
        """What to multiply values with so that lower is better, wherever two are compared: 1 or -1."""
        return 1 if self.direction == "minimize" else -1

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1, the better the higher."""
        return self.direction == "maximize" and self.lowest == 0

    def bounded(self, low: float, high: float) -> tuple[float, float]:
        """An interval without the values that the metric cannot have; what is to be maximised is at most 1."""
        return max(self.lowest, low), high if self.direction == "minimize" else min(1.0, high)

    def undefined(self, labels: Labels, class_names: Sequence[object], weights: Array | None = None) -> str | None:
        """What rows with these labels lack for the metric, such as "no row of class 'b'"; None if nothing.

        It ends a sentence of the caller's, who knows which rows they are. A row of weight 0 is none.
        """
        counted = labels if weights is None else labels[weights > 0]
        if not len(counted):
            return "no row"
        if self.needs_every_class:
            present = np.bincount(counted, minlength=len(class_names)) > 0
            return None if present.all() else f"no row of class {class_names[int(present.argmin())]!r}"
        return self._lacking(counted)

    @abstractmethod
    def _lacking(self, labels: Labels) -> str | None:
        """What rows with these labels, of all classes where that matters, lack for the metric."""

    def score(self, labels: Labels, probabilities: Array, classes: int, weights: Array | None = None) -> float:
        """The metric on these rows; nan where it is :meth:`undefined`."""
        if self.undefined(labels, range(classes), weights):
            return float("nan")
        return float(self.scorer(labels, probabilities, classes, weights))

    @abstractmethod
    def row_values(self, labels: Labels, probabilities: Array) -> Array:
        """What must be kept of each row at a checkpoint to compute the metric on any resample: (n, …), few bytes."""

    def resampled(self, values: Array, labels: Labels, classes: int, weights: Array) -> Floats:
        """The metric of T checkpoints on R resamples: (R, T), nan where a resample leaves it :meth:`undefined`.

        Args:
            values: the :meth:`row_values` of every checkpoint, (T, n, …).
            labels: of the rows, (n,).
            classes: C.
            weights: of each row in each resample, (R, n), of any number type.

        It equals :meth:`score` with these weights, to the rounding of what is kept. The memory used beyond arguments
        and answer is bounded: some blocks of 8 MiB, or some numbers a row if that is more.
        """
        answer = np.empty((len(weights), len(values)))
        size = max(1, _BLOCK // max(len(labels), math.isqrt(_BLOCK)))
        for first in range(0, len(weights), size):
            some = weights[first : first + size].astype(np.float64)
            for start in range(0, len(values), size):
                # 0 / 0 is what a resample without the rows needed gives, and its nan is the answer.
                with np.errstate(invalid="ignore"):
                    block = self._resampled(values[start : start + size], labels, classes, some)
                answer[first : first + size, start : start + size] = block
        return answer

    @abstractmethod
    def _resampled(self, values: Array, labels: Labels, classes: int, weights: Floats) -> Floats:
        """:meth:`resampled` for a block of checkpoints and a block of resamples."""


@dataclass(frozen=True, kw_only=True)
class AdditiveMetric(Metric):
    """The mean over rows of a quantity of each row; defined wherever there is a row.

    Attributes:
        of_rows: (labels, probabilities) to the quantity of each row, (n,), in the type that it is kept in.
    """

    of_rows: Callable[[Labels, Array], Array]

    def _lacking(self, labels: Labels) -> str | None:
        return None

    def row_values(self, labels: Labels, probabilities: Array) -> Array:
        return self.of_rows(labels, probabilities)

    def _resampled(self, values: Array, labels: Labels, classes: int, weights: Floats) -> Floats:
        sums: Floats = weights @ values.astype(np.float64).T
        sums /= weights.sum(axis=1, keepdims=True)
        return sums


@dataclass(frozen=True, kw_only=True)
class MacroMetric(Metric):
    """The unweighted mean over all C classes of a score of each, from predicted labels alone (macro average).

    It is undefined for rows that lack a class: what the score of such a class is, or over which classes the mean is to
    go instead, is a convention, with which the metric would jump from fold to fold (Forman & Scholz 2010,
    "Apples-to-Apples in Cross-Validation Studies").

    Attributes:
        of_class: (true positives, predicted, actual) of one class, weights of rows, to its score.
    """

    of_class: Callable[[Floats, Floats, Floats], Floats]
    needs_every_class: ClassVar[bool] = True

    def _lacking(self, labels: Labels) -> str | None:
        return None

    def row_values(self, labels: Labels, probabilities: Array) -> Array:
        """The predicted label, in the smallest type that holds every label."""
        return _predicted(probabilities).astype(np.min_scalar_type(probabilities.shape[1] - 1))

    def _resampled(self, values: Array, labels: Labels, classes: int, weights: Floats) -> Floats:
        total = np.zeros((len(weights), len(values)))
        for label in range(classes):
            own, predicted = labels == label, (values == label).astype(np.float64)
            own_weights = weights[:, own]
            actual = own_weights.sum(axis=1, keepdims=True)
            scores = self.of_class(own_weights @ predicted[:, own].T, weights @ predicted.T, actual)
            total += np.where(actual > 0, scores, np.nan)
        return total / classes


@dataclass(frozen=True, kw_only=True)
class RankingMetric(Metric):
    """The area under the ROC curve, of each class against the rest; undefined for rows that lack a class."""

    needs_every_class: ClassVar[bool] = True

    def _lacking(self, labels: Labels) -> str | None:
        return None

    def row_values(self, labels: Labels, probabilities: Array) -> Array:
        """The probabilities of the classes that are told from the rest, (n, 1) for two classes, else (n, C)."""
        return _ranked(probabilities)

    def _resampled(self, values: Array, labels: Labels, classes: int, weights: Floats) -> Floats:
        by_row = np.ascontiguousarray(weights.T)  # (n, R): a row's weights move together, which is cheap
        total = np.zeros((len(values), len(weights)))
        scored = range(classes)[-values.shape[2] :]
        for column, label in enumerate(scored):
            own = labels == label
            positives, negatives = by_row[own], by_row[~own]
            pairs = positives.sum(axis=0) * negatives.sum(axis=0)
            below = np.zeros((len(negatives) + 1, len(weights)))  # [k]: the weight of the k lowest negatives
            for checkpoint, scores in enumerate(values[:, :, column]):
                order = np.argsort(scores[~own])
                np.cumsum(negatives[order], axis=0, out=below[1:])
                lowest = scores[~own][order]
                # Negatives below each positive, and those with the ties: their mean counts every tie one half.
                less, not_more = (np.searchsorted(lowest, scores[own], side) for side in ("left", "right"))
                won = np.einsum("ir,ir->r", positives, below[less] + below[not_more]) / 2
                total[checkpoint] += won / pairs
        return total.T / len(scored)  # of a class without rows, or with all of them, it is 0 / 0


@dataclass(frozen=True, kw_only=True)
class SquaredErrorMetric(Metric):
    """What is computed from the mean squared error of a quantity and its variance, both over the same rows.

    Attributes:
        of_means: (mean squared error, variance), both (R, T) or alike, to the metric.
        of_variance: whether it is undefined where all rows have the same target.
    """

    of_means: Callable[[Floats, Floats], Floats]
    of_variance: bool

    def _lacking(self, labels: Labels) -> str | None:
        return "one and the same target" if self.of_variance and np.ptp(labels) == 0 else None

    def row_values(self, labels: Labels, probabilities: Array) -> Array:
        """The squared error."""
        return _kept_squared_errors(labels, probabilities)

    def _resampled(self, values: Array, labels: Labels, classes: int, weights: Floats) -> Floats:
        counts = weights.sum(axis=1, keepdims=True)
        centred = labels - labels.mean()  # a mean far from 0 would leave no digits for the variance
        means, squares = ((weights @ column)[:, np.newaxis] / counts for column in (centred, centred**2))
        variance = squares - means**2
        # What is left of rounding where all targets of a resample are alike is none.
        variance = np.where(variance > 1e-12 * squares, variance, 0.0)
        return self.of_means(weights @ values.astype(np.float64).T / counts, variance)


# --- what is computed from probabilities


def _normalised(probabilities: Array) -> Floats:
    """In float64, rows that sum to 1 in that type too: scikit-learn warns about float32 rows otherwise."""
    exact = probabilities.astype(np.float64)
    normalised: Floats = exact / exact.sum(axis=1, keepdims=True)
    return normalised


def _predicted(probabilities: Array) -> Labels:
    labels: Labels = probabilities.argmax(axis=1)
    return labels


def _ranked(probabilities: Array) -> Array:
    # Not normalised: that would break ties between rows. In float32 from the start, for the same ties in every place.
    return probabilities[:, 1 if probabilities.shape[1] == 2 else 0 :].astype(np.float32)


def _of_true_class(labels: Labels, probabilities: Array) -> Array:
    true: Array = probabilities[np.arange(len(labels)), labels]
    return true


def _correct(labels: Labels, probabilities: Array) -> Array:
    correct: Array = _predicted(probabilities) == labels
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


def _errors(targets: Labels, predictions: Array) -> Floats:
    errors: Floats = predictions[:, 0].astype(np.float64) - targets
    return errors


# Errors are kept in float64: in float32 the square of one of 1e-23 is 0, and that of one of 1e20 infinite.
def _kept_squared_errors(targets: Labels, predictions: Array) -> Array:
    squares: Array = _errors(targets, predictions) ** 2
    return squares


def _kept_absolute_errors(targets: Labels, predictions: Array) -> Array:
    return np.abs(_errors(targets, predictions))


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

    return float(accuracy_score(labels, _predicted(probabilities), sample_weight=weights))


def _score_balanced_accuracy(labels: Labels, probabilities: Array, classes: int, weights: Array | None) -> float:
    """The mean over classes of the recall, true positives / actual, 0 … 1; 1 / C for a constant prediction.

    Brodersen, Ong, Stephan & Buhmann (2010), for two classes.
    """
    from sklearn.metrics import balanced_accuracy_score

    return float(balanced_accuracy_score(labels, _predicted(probabilities), sample_weight=weights))


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

    return float(f1_score(labels, _predicted(probabilities), average="macro", sample_weight=weights))


def _score_roc_auc(labels: Labels, probabilities: Array, classes: int, weights: Array | None) -> float:
    """The area under the ROC curve, 0 … 1, 1/2 by chance.

    Two classes: the probability that a row of the second class is given a higher probability of it than a row of the
    first, ties counting one half (Hanley & McNeil 1982). More: the unweighted mean over classes of that class's area
    against all other rows, which is scikit-learn's one-vs-rest with ``average="macro"``. (Provost & Domingos 2000
    weigh the classes by their rows; Hand & Till 2001 take the mean over pairs of classes, one-vs-one.)

    Probabilities are compared in float32, where those within 3e-8 of 1 are all 1, and tie.
    """
    from sklearn.metrics import roc_auc_score

    scores, every = _ranked(probabilities), np.arange(classes)
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
        of_rows=_kept_squared_errors,
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


def readable(value: float) -> str:
    """A loss or a score for reading: four decimals, or five digits where that would show too many or none."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e3 else f"{value:.5g}"


def objective_metric(objective: str, loss: str) -> Metric:
    """The metric that an objective is, for networks trained with a loss of :data:`hpsearch.nn.losses.LOSSES`."""
    return _LOSSES[loss] if objective == "loss" else METRICS[objective]


def metrics_of(loss: str) -> dict[str, Metric]:
    """Every metric, by name, that predictions of networks trained with this loss have."""
    task = _LOSSES[loss].task
    return {
        name: objective_metric(name, loss) for name, metric in METRICS.items() if name == "loss" or metric.task == task
    }
