"""What rows from Python may bring along: how they are split, and what is learnt from them before a network sees them.

A study file has words for what it knows; these are for what only code can say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import IntArray


class GivenSplits(ABC):
    """Splits that come with the rows.

    Attributes:
        shuffles: whether a seed deals other splits of the same kind.
    """

    shuffles: bool

    @abstractmethod
    def split(self, seed: int | None) -> Sequence[tuple[IntArray, IntArray]]:
        """(training rows, validation rows) of each split.

        Args:
            seed: to deal them from; None for those that were given.
        """


class Preprocessing(ABC):
    """What is learnt from the training rows of a split and makes the features that its network sees."""

    @abstractmethod
    def features(self, rows: IntArray) -> NDArray[Any]:
        """(N, D) finite numbers of all N rows, as what is learnt from ``rows`` makes them; D may differ by split."""


def features_of_splits(preprocessing: Preprocessing, row_sets: Sequence[IntArray]) -> list[NDArray[Any]]:
    """The features of each split, (N, D) for the largest D: where there are fewer, the last ones are 0.

    Args:
        preprocessing: what is learnt.
        row_sets: the training rows of each split.
    """
    made = [preprocessing.features(rows) for rows in row_sets]
    widest = max(features.shape[1] for features in made)
    return [np.pad(features, ((0, 0), (0, widest - features.shape[1]))) for features in made]
