"""What the numbers mean: how sure a mean over splits, or over rows, is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import IntArray

if TYPE_CHECKING:
    from hpsearch.validation.metric import Metric

LEVEL = 0.95  # of every interval


@dataclass(frozen=True)
class Estimate:
    """The mean of a number over splits, for a configuration that was not selected by it.

    Attributes:
        mean: over the splits.
        standard_error: s / √J, as if the J splits were independent, which they are not: their training rows overlap.
        low, high: Nadeau & Bengio's corrected interval at ``LEVEL``.
        splits: J.

    With a single split there is no telling: ``standard_error``, ``low`` and ``high`` are None.
    """

    mean: float
    standard_error: float | None
    low: float | None
    high: float | None
    splits: int


def estimate(values: Sequence[float], training_rows: Sequence[int], validation_rows: Sequence[int]) -> Estimate:
    """The mean over splits and how sure it is.

    Args:
        values: one a split, such as its validation loss in nats.
        training_rows: how many rows each split trained on.
        validation_rows: how many rows each split validated on.

    The interval is mean ± t · s · √(1/J + n₂/n₁) with J - 1 degrees of freedom, s the standard deviation over the J
    splits, n₁ training and n₂ validation rows: Nadeau & Bengio (2003), "Inference for the Generalization Error",
    equation 9. They derive it for random splits drawn again and again; for K folds it is a heuristic (Bouckaert & Frank
    2004), and Bengio & Grandvalet (2004) show that no unbiased one exists. Where splits differ in size, ours takes the
    mean of n₂/n₁ over the splits.
    """
    splits, mean = len(values), float(np.mean(values))
    if splits < 2:
        return Estimate(mean, None, None, None, splits)
    deviation = float(np.std(values, ddof=1))
    ratio = float(np.mean(np.asarray(validation_rows) / np.asarray(training_rows)))
    half = student(LEVEL, splits - 1) * deviation * math.sqrt(1 / splits + ratio)
    return Estimate(mean, deviation / math.sqrt(splits), mean - half, mean + half, splits)


def mean_of_rows(
    losses: NDArray[Any],
    units: IntArray | None = None,
    networks: int = 1,
    weights: NDArray[np.float64] | None = None,
    independent: bool = True,
) -> Estimate:
    """The mean loss of networks on rows that they were not trained on and not chosen by, and how sure it is.

    Args:
        losses: (N,), one a row.
        units: (N,) which rows are to be taken as one, such as groups; each row is its own if None.
        networks: J, how many the rows are divided among; the rows of one are among those that trained the others.
        weights: (N,) how many rows each counts as; one if None.
        independent: whether the units are; of rows that follow each other in time there is no telling how sure.

    The standard error is s / √U over the U units. A mean over units of unequal size is a ratio, whose s is that of the
    units' sums of differences from the mean (Cochran 1977, "Sampling Techniques", section 9A). With J networks, whose
    errors are correlated because they share training rows, s² is multiplied by 2 - 1/J: Nadeau & Bengio's (2003)
    heuristic correlation of 1/J. The interval is :func:`interval_of_loss`, for what these networks lose on new rows.
    """
    if weights is not None:
        there = np.flatnonzero(weights)  # a row of weight 0 is none
        losses, units, weights = losses[there], None if units is None else units[there], weights[there]
        units = None if units is None else np.unique(units, return_inverse=True)[1]
    counts = np.ones(len(losses)) if weights is None else weights
    mean = float(np.average(losses, weights=weights))
    sums = np.bincount(np.arange(len(losses)) if units is None else units, counts * (losses - mean))
    count = len(sums)
    if count < 2 or not independent:
        return Estimate(mean, None, None, None, count)
    shared = 2 - 1 / networks
    error = math.sqrt(shared * count / (count - 1) * float((sums**2).sum())) / float(counts.sum())
    return Estimate(mean, error, *interval_of_loss(mean, error, count), count)


def interval_of_loss(mean: float, error: float, units: int, level: float = LEVEL) -> tuple[float, float]:
    """The interval at a level of a mean loss with this standard error over so many units.

    Losses are positive and skewed, and so are the errors of their means, less and less the more rows there are. The
    interval is Student's with ``units`` - 1 degrees of freedom for the cube root of the mean, whose distribution is
    nearly symmetrical (Wilson & Hilferty 1931, by the delta method); it never goes below 0.
    """
    if mean <= 0:
        return mean, mean
    root, half = mean ** (1 / 3), student(level, units - 1) * error / (3 * mean ** (2 / 3))
    return max(0.0, root - half) ** 3, (root + half) ** 3


def interval_of_metric(
    value: float, error: float, units: int, metric: Metric, level: float = LEVEL
) -> tuple[float, float]:
    """The interval at a level of a metric with this standard error over so many units.

    For what is to be minimised it is :func:`interval_of_loss`, else Student's, without values that cannot be.
    """
    if metric.direction == "minimize":
        return interval_of_loss(value, error, units, level)
    half = student(level, units - 1) * error
    return metric.bounded(value - half, value + half)


def least_variance_of_share(share: float, units: int) -> float:
    """What the variance of a share of so many units is at least taken to be.

    Rows that were all answered right do not prove that all will be (Agresti & Coull 1998).
    """
    share = (units * share + 2) / (units + 4)
    return share * (1 - share) / units


def student(level: float, freedom: int) -> float:
    """How many standard errors Student's interval at a level reaches to each side, with so many degrees of freedom."""
    from scipy.special import stdtrit  # scipy.stats.t.ppf is the same function, and takes a second to import

    return float(stdtrit(freedom, (1 + level) / 2))
