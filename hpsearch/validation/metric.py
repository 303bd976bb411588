"""What a metric of predictions is: on some rows, and on many resamples of those rows at once.

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
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Task

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
        return predicted(probabilities).astype(np.min_scalar_type(probabilities.shape[1] - 1))

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
        return ranked(probabilities)

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
        return squared_errors(labels, probabilities)

    def _resampled(self, values: Array, labels: Labels, classes: int, weights: Floats) -> Floats:
        counts = weights.sum(axis=1, keepdims=True)
        centred = labels - labels.mean()  # a mean far from 0 would leave no digits for the variance
        means, squares = ((weights @ column)[:, np.newaxis] / counts for column in (centred, centred**2))
        variance = squares - means**2
        # What is left of rounding where all targets of a resample are alike is none.
        variance = np.where(variance > 1e-12 * squares, variance, 0.0)
        return self.of_means(weights @ values.astype(np.float64).T / counts, variance)


def predicted(probabilities: Array) -> Labels:
    """The most probable class of each row, (n,); of equally probable ones the first."""
    labels: Labels = probabilities.argmax(axis=1)
    return labels


def ranked(probabilities: Array) -> Array:
    """The probabilities of the classes that are told from the rest, (n, 1) for two classes, else (n, C), in float32."""
    # Not normalised: that would break ties between rows. In float32 from the start, for the same ties in every place.
    return probabilities[:, 1 if probabilities.shape[1] == 2 else 0 :].astype(np.float32)


def errors(targets: Labels, predictions: Array) -> Floats:
    """Prediction - target of each row, (n,), in float64."""
    errors: Floats = predictions[:, 0].astype(np.float64) - targets
    return errors


def squared_errors(targets: Labels, predictions: Array) -> Array:
    """Their squares."""
    squares: Array = errors(targets, predictions) ** 2
    return squares
