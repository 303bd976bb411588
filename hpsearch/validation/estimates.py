"""What the numbers mean: how sure a mean over splits is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # of every interval


@dataclass(frozen=True)
class Estimate:
    """The mean of a quantity over splits, for a configuration that was not selected by it.

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
    from scipy.stats import t

    deviation = float(np.std(values, ddof=1))
    ratio = float(np.mean(np.asarray(validation_rows) / np.asarray(training_rows)))
    half = float(t.ppf((1 + LEVEL) / 2, splits - 1)) * deviation * math.sqrt(1 / splits + ratio)
    return Estimate(mean, deviation / math.sqrt(splits), mean - half, mean + half, splits)
