"""What a metric of predictions is: on some rows, and on many resamples of those rows at once.

Shapes: n rows, C classes, T checkpoints (of one trial or of many), R resamples. Of a classification

- ``labels`` (n,): integers 0 … C - 1.
- ``predictions`` (n, C): probabilities, finite, at least 0, rows that sum to 1 up to the rounding of their own number
  type.

Of a regression, where C is 0,

- ``labels`` (n,): the regression target, in its own unit.
- ``predictions`` (n, 1): likewise.

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
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import Array, Floats
from hpsearch.data.dataset import Task
from hpsearch.errors import quoted
from hpsearch.nn.losses import LOSSES

Labels = NDArray[Any]
Direction = Literal["minimize", "maximize"]
# The means of each checkpoint's rows under each resample's weights: (T, n) and (R, n) to (R, T).
Means = Callable[[Array, Floats], Floats]

# Resampling goes in blocks of so many weights, row values and metrics: 8 MiB each in float64.
_BLOCK = 2**20


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """What predictions are worth, as one number.

    Attributes:
        title: for displays.
        direction: which way is better.
        unit: of the number, "" if it has none.
        stored: the number type that is enough of each row's value for resampling; None for the type it is computed in.
        task: what it is of.
        lowest: the least value that it can have.
        needs_every_class: whether it is defined only for rows of all C classes together.
        root: of a mean of squares, its square root, in the target's own unit: what headlines show instead.
    """

    title: str
    direction: Direction
    unit: str = ""
    stored: type[np.generic] | None = None
    task: Task = "classification"
    lowest: float = 0.0
    root: Metric | None = None
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

    @property
    def headline(self) -> Metric:
        """What people are shown first: this metric, or its root."""
        return self.root or self

    @property
    def title_of_mean(self) -> str:
        """What headlines call a mean of it over splits."""
        return f"mean {self.title}" if self.root is None else self.root.title

    def in_headline(self, value: float) -> float:
        """A value of this metric as one of its headline."""
        return value if self.root is None else math.sqrt(value)

    def undefined(self, labels: Labels, class_names: Sequence[object], weights: Array | None = None) -> str | None:
        """What rows with these labels lack for the metric, such as "no row of class 'b'"; None if nothing.

        It ends a sentence of the caller's, who knows which rows they are. A row of weight 0 is none.
        """
        counted = labels if weights is None else labels[weights > 0]
        if not len(counted):
            return "no row"
        if self.needs_every_class:
            present = np.bincount(counted, minlength=len(class_names)) > 0
            return None if present.all() else f"no row of class {quoted(class_names[int(present.argmin())])}"
        return self._lacking(counted)

    @abstractmethod
    def _lacking(self, labels: Labels) -> str | None:
        """What rows with these labels, of all classes where that matters, lack for the metric."""

    def score(self, labels: Labels, predictions: Array, classes: int, weights: Array | None = None) -> float:
        """The metric on these rows; nan where it is :meth:`undefined`."""
        if self.undefined(labels, range(classes), weights):
            return float("nan")
        values, once = self._row_values(labels, predictions), np.ones(len(labels)) if weights is None else weights
        return float(self._resampled(values[np.newaxis], labels, classes, once[np.newaxis], _pairwise_means).item())

    def row_values(self, labels: Labels, predictions: Array) -> Array:
        """What must be stored of each row at a checkpoint to compute the metric on any resample: (n, …), few bytes."""
        values = self._row_values(labels, predictions)
        return values if self.stored is None else values.astype(self.stored)

    @abstractmethod
    def _row_values(self, labels: Labels, predictions: Array) -> Array:
        """:meth:`row_values` with all their digits."""

    def resampled(self, values: Array, labels: Labels, classes: int, weights: Array) -> Floats:
        """The metric of T checkpoints on R resamples: (R, T), nan where a resample leaves it :meth:`undefined`.

        Args:
            values: the :meth:`row_values` of every checkpoint, (T, n, …).
            labels: of the rows, (n,).
            classes: C.
            weights: of each row in each resample, (R, n), of any number type.

        It equals :meth:`score` with these weights, to the rounding of what is stored. The memory used beyond arguments
        and result is bounded: some blocks of 8 MiB, or some numbers a row if that is more.
        """
        result = np.empty((len(weights), len(values)))
        size = max(1, _BLOCK // max(len(labels), math.isqrt(_BLOCK)))
        for first in range(0, len(weights), size):
            some = weights[first : first + size].astype(np.float64)
            for start in range(0, len(values), size):
                # 0 / 0 is what a resample without the rows needed gives, and its nan is the result.
                with np.errstate(invalid="ignore"):
                    block = self._resampled(values[start : start + size], labels, classes, some, _means)
                result[first : first + size, start : start + size] = block
        return result

    @abstractmethod
    def _resampled(self, values: Array, labels: Labels, classes: int, weights: Floats, means: Means) -> Floats:
        """:meth:`resampled` for a block of checkpoints and a block of resamples: what the metric is."""


def _means(values: Array, weights: Floats) -> Floats:
    """Of many at once, by a matrix product."""
    sums: Floats = weights @ values.astype(np.float64).T
    sums /= weights.sum(axis=1, keepdims=True)
    return sums


def _pairwise_means(values: Array, weights: Floats) -> Floats:
    """Of one resample, (1, n): by NumPy's pairwise sums, as scikit-learn does, to the same bits."""
    return np.asarray(np.average(values, axis=1, weights=weights[0]))[np.newaxis]


@dataclass(frozen=True, kw_only=True)
class AdditiveMetric(Metric):
    """The mean over rows of a number of each row; defined wherever there is a row.

    Attributes:
        of_rows: (labels, predictions) to the number of each row, (n,).
    """

    of_rows: Callable[[Labels, Array], Array]

    def _lacking(self, labels: Labels) -> str | None:
        return None

    def _row_values(self, labels: Labels, predictions: Array) -> Array:
        return self.of_rows(labels, predictions)

    def _resampled(self, values: Array, labels: Labels, classes: int, weights: Floats, means: Means) -> Floats:
        return means(values, weights)


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

    def _row_values(self, labels: Labels, predictions: Array) -> Array:
        """The predicted label, in the smallest type that holds every label."""
        return predicted(predictions).astype(np.min_scalar_type(predictions.shape[1] - 1))

    def _resampled(self, values: Array, labels: Labels, classes: int, weights: Floats, means: Means) -> Floats:
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
    """The area under the ROC curve, of each class against the rest; undefined for rows that lack a class.

    Two classes: the probability that a row of the second class is given a higher probability of it than a row of the
    first, ties counting one half (Hanley & McNeil 1982). More: the unweighted mean over classes of that class's area
    against all other rows, which is scikit-learn's one-vs-rest with ``average="macro"``. (Provost & Domingos 2000
    weigh the classes by their rows; Hand & Till 2001 take the mean over pairs of classes, one-vs-one.)
    """

    needs_every_class: ClassVar[bool] = True

    def _lacking(self, labels: Labels) -> str | None:
        return None

    def _row_values(self, labels: Labels, predictions: Array) -> Array:
        """The probabilities of the classes that are told from the rest, (n, 1) for two classes, else (n, C).

        In float32, where those within 3e-8 of 1 are all 1, and tie: wherever they are compared, the same ties. They are
        not normalised, which would break ties between rows.
        """
        return predictions[:, 1 if predictions.shape[1] == 2 else 0 :].astype(np.float32)

    def _resampled(self, values: Array, labels: Labels, classes: int, weights: Floats, means: Means) -> Floats:
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
    """What is computed from the mean squared error of a regression and its targets' variance, over the same rows.

    Attributes:
        of_means: (mean squared error, variance), both (R, T) or alike, to the metric.
        of_variance: whether it is undefined where all rows have the same target.
    """

    of_means: Callable[[Floats, Floats], Floats]
    of_variance: bool

    def _lacking(self, labels: Labels) -> str | None:
        return "one and the same target" if self.of_variance and np.ptp(labels) == 0 else None

    def _row_values(self, labels: Labels, predictions: Array) -> Array:
        return squared_errors(labels, predictions)

    def _resampled(self, values: Array, labels: Labels, classes: int, weights: Floats, means: Means) -> Floats:
        counts = weights.sum(axis=1, keepdims=True)
        # A mean far from 0 would leave no digits for the variance: that of the rows that count, whatever others hold.
        counting = weights.any(axis=0)
        centred = labels - (labels[counting].mean() if counting.any() else 0.0)
        mean, squares = ((weights @ column)[:, np.newaxis] / counts for column in (centred, centred**2))
        variance = squares - mean**2
        # What is left of rounding where all targets of a resample are alike is none.
        variance = np.where(variance > 1e-12 * squares, variance, 0.0)
        return self.of_means(means(values, weights), variance)


def predicted(probabilities: Array) -> Labels:
    """The most probable class of each row, (n,); of equally probable ones the first."""
    labels: Labels = probabilities.argmax(axis=1)
    return labels


def squared_errors(labels: Labels, predictions: Array) -> Array:
    """Of each row, (n,), the loss ``squared_error``."""
    return LOSSES["squared_error"].of_labels(labels, predictions)
