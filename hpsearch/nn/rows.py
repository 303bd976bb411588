"""Which rows each lane sees, and how they reach the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.nn.losses import class_labels, one_hot
from hpsearch.nn.network import FloatArray, IntArray


@dataclass(frozen=True)
class LaneData:
    """Rows shared by all lanes; each lane sees them through its own centre and scale.

    Attributes:
        features: (N, inputs), shared: no lane has a copy.
        targets: (N,) integer labels, or (N, C) one-hot rows; not modified.
        classes: C.
        centre: (L, inputs), subtracted from a row's features.
        scale: (L, inputs), divides what remains.
    """

    features: NDArray[Any]
    targets: NDArray[Any]
    classes: int
    centre: NDArray[Any]
    scale: NDArray[Any]

    @property
    def lanes(self) -> int:
        return len(self.centre)

    @cached_property
    def labels(self) -> IntArray:
        """(N,) integer labels."""
        return class_labels(self.targets, self.classes)

    def gather(self, rows: IntArray, inputs: FloatArray, targets: FloatArray) -> None:
        """Write ``rows`` (L, B) to ``inputs`` (L, B, inputs + 1) but for its ones, and to ``targets`` (L, C, B)."""
        with np.errstate(all="ignore"):  # a feature beyond float32 becomes inf, and its lane diverges
            for lane, chosen in enumerate(rows):
                centred = self.features[chosen] - self.centre[lane]
                np.divide(centred, self.scale[lane], out=inputs[lane, :, :-1])
        one_hot(self.labels[rows], self.classes, out=targets)


@dataclass(frozen=True)
class PaddedRows:
    """One row set a lane, padded to one length: ``index`` (L, B), of which the first ``counts`` (L,) are real.

    Padding repeats a lane's first row, with weight 0. The length is the caller's to fix, for all lanes there are and
    not only those present: then a lane's bits do not depend on its company.
    """

    index: IntArray
    counts: IntArray

    @classmethod
    def pad(cls, row_sets: Sequence[IntArray], length: int) -> PaddedRows:
        """Pad row sets to ``length``.

        Raises:
            ValueError: a row set that is longer, or empty.
        """
        if not 0 < min(map(len, row_sets)) <= max(map(len, row_sets)) <= length:
            raise ValueError(f"Every lane must have 1 to {length} rows, but they have {[*map(len, row_sets)]}.")
        index = np.stack([np.concatenate([rows, np.full(length - len(rows), rows[0])]) for rows in row_sets])
        return cls(index, np.array([len(rows) for rows in row_sets]))

    @property
    def weights(self) -> NDArray[np.float64]:
        """(L, B): each row's share in its lane's mean; they sum to 1, and padding has 0."""
        real = np.arange(self.index.shape[1]) < self.counts[:, np.newaxis]
        return real / self.counts[:, np.newaxis].astype(np.float64)


@dataclass(frozen=True)
class Batching:
    """How an epoch is cut: ``steps`` batches of at most ``rows`` rows.

    Each lane's rows are dealt into ``steps`` batches whose sizes differ by at most one.
    """

    steps: int
    rows: int

    @classmethod
    def of(cls, most_rows: int, batch_size: int | None) -> Batching:
        """For lanes of at most ``most_rows`` rows and batches of about ``batch_size``; None is full batch."""
        steps = 1 if batch_size is None else -(-most_rows // batch_size)
        return cls(steps, -(-most_rows // steps))

    def epochs(
        self, training: PaddedRows, generators: Sequence[np.random.Generator]
    ) -> Iterator[tuple[IntArray, NDArray[np.float64]]]:
        """Endless epochs of (rows, weights), both (steps, L, ``rows``); a lane's order is drawn from its generator.

        Raises:
            ValueError: a lane with fewer rows than steps, which would leave a batch empty; or with more than fit.
        """
        if training.counts.min() < self.steps:
            raise ValueError(f"A lane has {training.counts.min()} rows, too few for {self.steps} batches.")
        if training.counts.max() > self.steps * self.rows:
            raise ValueError(f"A lane has {training.counts.max()} rows, too many for {self.steps} × {self.rows}.")
        bounds = training.counts[:, np.newaxis] * np.arange(self.steps + 1) // self.steps  # (L, steps + 1)
        sizes = np.diff(bounds)
        real = np.arange(self.rows) < sizes[:, :, np.newaxis]  # (L, steps, rows)
        places = np.where(real, bounds[:, :-1, np.newaxis] + np.arange(self.rows), 0)
        weights = np.ascontiguousarray((real / sizes[:, :, np.newaxis]).swapaxes(0, 1))
        order = training.index.copy()
        while True:
            if self.steps > 1:  # the order within a full batch changes nothing but rounding
                for lane, draw in enumerate(generators):
                    count = training.counts[lane]
                    order[lane, :count] = draw.permutation(training.index[lane, :count])
            yield np.stack([order[lane][places[lane]] for lane in range(len(order))], axis=1), weights
