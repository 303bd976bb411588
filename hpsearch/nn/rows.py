"""Which rows each lane sees, and how they reach the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import FloatArray, IntArray
from hpsearch.nn import kernels
from hpsearch.nn.losses import class_labels
from hpsearch.target_transform import TargetTransform, in_own_unit
from hpsearch.transform import Encoding, encode, transform

# Rows that all lanes together see in this much memory are scaled once and kept, not once a batch.
SCALED_BYTES = 32 * 2**20
# Rows that are transformed before are worth more of it: a power takes ten times as long as a difference and a quotient.
TRANSFORMED_BYTES = 128 * 2**20
# Batches are gathered a block at a time: one call for many steps, and still small enough for the cache.
BLOCK_BYTES = 2**19


@dataclass(frozen=True)
class LaneData:
    """Rows shared by all lanes; each lane sees them through its own fill, centre and scale.

    Attributes:
        features: (N, inputs), shared.
        targets: (N,) integer labels, or (N, C) one-hot rows, or the regression target; not modified.
        classes: C; 0 in a regression.
        centre: (L, inputs), subtracted from a row's features.
        scale: (L, inputs), divides what remains.
        fill: (L, inputs), stands in for nan, before that; None if no feature is nan.
        target_centre, target_scale: (L,), of a regression target: a lane sees (t - centre) / scale; None for classes.
        target_transform: of L lanes, which it sees that of, instead of t; None if it sees t itself.
        alike: whether all lanes see the rows alike, as they do after :meth:`repeated`.
        lambdas: (L, inputs), of the power transformation between filling and centring; None if no lane has one.
        encodings: of each lane, what stands for categories whose numbers are features; None if there are none.
        features_by_lane: (N, inputs) of each lane, where lanes see other features than ``features``; None if none does.

    Few rows are scaled once and kept, (L, N, inputs + 1), or (1, N, inputs + 1) for lanes that see them alike; of many,
    no lane has a copy.
    """

    features: NDArray[Any]
    targets: NDArray[Any]
    classes: int
    centre: NDArray[Any]
    scale: NDArray[Any]
    fill: NDArray[Any] | None = None
    target_centre: NDArray[np.float64] | None = None
    target_scale: NDArray[np.float64] | None = None
    target_transform: TargetTransform | None = None
    lambdas: NDArray[Any] | None = None
    alike: bool = False
    encodings: tuple[tuple[Encoding, ...], ...] | None = None
    features_by_lane: tuple[NDArray[Any], ...] | None = None
    _scaled: dict[str, FloatArray] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def lanes(self) -> int:
        return len(self.centre)

    @property
    def inputs(self) -> int:
        """Features that a lane sees."""
        return int(self.centre.shape[1])

    @property
    def predictions(self) -> int:
        """A: the probabilities of C classes, or one regression target."""
        return self.classes or 1

    @cached_property
    def labels(self) -> IntArray:
        """(N,) integer labels."""
        return class_labels(self.targets, self.classes)

    def only(self, lanes: slice, dtype: np.dtype[Any]) -> LaneData:
        """Some of the lanes, which share what these lanes keep."""
        of_lanes = self._of_lanes(lambda values: values[lanes])
        of_lanes |= {} if self.encodings is None else {"encodings": self.encodings[lanes]}
        of_lanes |= {} if self.features_by_lane is None else {"features_by_lane": self.features_by_lane[lanes]}
        part = replace(self, targets=self.labels if self.classes else self.targets, **of_lanes)
        if (scaled := self._scaled_rows(dtype)) is not None:
            part._scaled[dtype.str] = scaled if self.alike else scaled[lanes]
        return part

    def repeated(self, lanes: int) -> LaneData:
        """So many lanes that see the rows as this one lane does."""
        encodings = None if self.encodings is None else self.encodings * lanes
        features = None if self.features_by_lane is None else self.features_by_lane * lanes
        of_lanes = self._of_lanes(lambda values: np.repeat(values, lanes, axis=0))
        return replace(self, alike=True, encodings=encodings, features_by_lane=features, **of_lanes)

    def _of_lanes(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> dict[str, Any]:
        """What each lane has of its own, by attribute, once ``change`` has made it that of other lanes."""
        columns = ("centre", "scale", "fill", "lambdas", "target_centre", "target_scale")
        changed = {name: change(values) for name in columns if (values := getattr(self, name)) is not None}
        return (
            changed if (form := self.target_transform) is None else {**changed, "target_transform": form.each(change)}
        )

    def gather(self, rows: IntArray, inputs: FloatArray, targets: FloatArray) -> None:
        """Write ``rows`` (S, L, B) or (L, B) to ``inputs`` (…, L, B, inputs + 1), whose last column is ones already,
        and to ``targets`` (…, L, A, B)."""
        if rows.ndim == 2:
            rows, inputs, targets = rows[np.newaxis], inputs[np.newaxis], targets[np.newaxis]
        scaled = self._scaled_rows(inputs.dtype)
        if scaled is not None:
            kernels.active().take(scaled, rows, inputs)
        else:
            for lane in range(self.lanes):
                # take copies whole rows, in two thirds of the time of an index; clip spares it a buffer.
                some = np.take(self._features_of(lane), rows[:, lane], axis=0, mode="clip")
                self._scale(some, rows[:, lane], lane, out=inputs[:, lane, :, :-1])
        if self.classes:
            kernels.active().one_hot(self._narrow_labels, rows, targets)
        else:
            targets[:, :, 0] = self._scaled_targets[np.arange(self.lanes)[:, np.newaxis], rows]

    def of(self, features: NDArray[Any], targets: NDArray[Any]) -> LaneData:
        """Other rows, seen as new ones."""
        encodings = self.encodings
        if encodings is not None:
            encodings = tuple(tuple(encoding.of_new_rows() for encoding in of_lane) for of_lane in encodings)
        return replace(self, features=features, targets=targets, encodings=encodings)

    def seen(self, places: slice, dtype: np.dtype[Any]) -> FloatArray:
        """Some features of all rows as each lane sees them, (L, N, W)."""
        features = self.features[:, places]
        seen = np.empty((self.lanes, *features.shape), dtype)
        for lane, out in enumerate(seen):
            some = () if self.encodings is None else self.encodings[lane]
            inside = [replace(e, first=e.first - places.start) for e in some if places.start <= e.first < places.stop]
            fill, lambdas = (None if values is None else values[lane, places] for values in (self.fill, self.lambdas))
            with np.errstate(all="ignore"):  # as for all features
                scaling = self.centre[lane, places], self.scale[lane, places], fill
                transform(encode(features, inside, slice(None)), *scaling, out, lambdas)
        return seen

    def in_own_unit(
        self, predictions: FloatArray, targets: FloatArray, rows: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Predictions and targets (L, A, B) of ``rows`` (L, B), a regression target in its own unit and in float64."""
        if self.target_centre is None or self.target_scale is None:
            return predictions, targets
        predicted = in_own_unit(predictions, self.target_centre, self.target_scale, self.target_transform)
        return predicted, np.asarray(self.targets, np.float64)[rows][:, np.newaxis]

    @property
    def target_deviation(self) -> NDArray[np.float64] | None:
        """(L,): the standard deviation of a regression's training targets in their own unit; None for classes."""
        return self.target_scale if self.target_transform is None else self.target_transform.deviation

    @cached_property
    def _scaled_targets(self) -> NDArray[np.float64]:
        """(L, N): the regression target as each lane sees it."""
        assert self.target_centre is not None
        assert self.target_scale is not None
        targets = self.targets
        if self.target_transform is not None:
            targets = self.target_transform.forward(targets[np.newaxis])
        scaled: NDArray[np.float64] = (targets - self.target_centre[:, np.newaxis]) / self.target_scale[:, np.newaxis]
        return scaled

    @cached_property
    def _narrow_labels(self) -> NDArray[np.unsignedinteger[Any]]:
        """A byte a label instead of eight: half the time to pick and to compare them."""
        return self.labels.astype(np.min_scalar_type(self.classes))

    def _scaled_rows(self, dtype: np.dtype[Any]) -> FloatArray | None:
        """All rows as each lane sees them, or None if that is too much to keep."""
        count, width = len(self.features), self.inputs
        shape = (1 if self.alike else self.lanes, count, width + 1)
        most = SCALED_BYTES if self.lambdas is None else TRANSFORMED_BYTES
        if math.prod(shape) * dtype.itemsize > most:
            return None
        if dtype.str not in self._scaled:
            scaled = self._scaled[dtype.str] = np.ones(shape, dtype)
            for lane in range(len(scaled)):
                self._scale(self._features_of(lane), slice(None), lane, out=scaled[lane, :, :-1])
        return self._scaled[dtype.str]

    def _features_of(self, lane: int) -> NDArray[Any]:
        return self.features if self.features_by_lane is None else self.features_by_lane[lane]

    def _scale(self, features: NDArray[Any], rows: IntArray | slice, lane: int, out: FloatArray) -> None:
        if self.encodings is not None:
            features = encode(features, self.encodings[lane], rows)
        fill, lambdas = (None if values is None else values[lane] for values in (self.fill, self.lambdas))
        with np.errstate(all="ignore"):  # a feature beyond float32 becomes inf, and its lane diverges
            transform(features, self.centre[lane], self.scale[lane], fill, out, lambdas)


@dataclass(frozen=True)
class PaddedRows:
    """One row set a lane, padded to one length: ``index`` (L, B), of which the first ``counts`` (L,) are real.

    Padding repeats a lane's first row, with weight 0. The length is the caller's to fix, for all lanes there are and
    not only those present: then a lane's bits do not depend on its company.

    ``of_data`` (L, N) is how much each row of the data counts in each lane, at least 0; None if all count alike.
    """

    index: IntArray
    counts: IntArray
    of_data: NDArray[np.float64] | None = None

    @classmethod
    def pad(cls, row_sets: Sequence[IntArray], length: int, of_data: NDArray[np.float64] | None = None) -> PaddedRows:
        """Pad row sets to ``length``.

        Raises:
            ValueError: a row set that is longer, or empty.
        """
        if not 0 < min(map(len, row_sets)) <= max(map(len, row_sets)) <= length:
            raise ValueError(f"Every lane must have 1 to {length} rows, but they have {[*map(len, row_sets)]}.")
        index = np.stack([np.concatenate([rows, np.full(length - len(rows), rows[0])]) for rows in row_sets])
        return cls(index, np.array([len(rows) for rows in row_sets]), of_data)

    def only(self, lanes: slice) -> PaddedRows:
        """Some of the lanes."""
        of_data = None if self.of_data is None else self.of_data[lanes]
        return PaddedRows(self.index[lanes], self.counts[lanes], of_data)

    def flat(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of every lane's rows (L, B, …) without the padding's, one lane after the other: (M, …)."""
        return np.concatenate([of_lane[:count] for of_lane, count in zip(values, self.counts, strict=True)])

    @property
    def weights(self) -> NDArray[np.float64]:
        """(L, B): each row's share in its lane's mean; they sum to 1, and padding has 0."""
        real = np.arange(self.index.shape[1]) < self.counts[:, np.newaxis]
        if self.of_data is not None:
            return self.shares(self.index, real)
        return real / self.counts[:, np.newaxis].astype(np.float64)

    def shares(self, rows: IntArray, real: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(…, L, B): the share by ``of_data`` of each row of a batch, ``rows`` (…, L, B), where it is ``real``.

        They sum to 1 in each batch, or to 0 in one without a row that counts: it gives no gradient.
        """
        assert self.of_data is not None
        counted = np.where(real, self.of_data[np.arange(len(self.of_data))[:, np.newaxis], rows], 0)
        sums = counted.sum(axis=-1, keepdims=True)
        shares: NDArray[np.float64] = counted / np.where(sums > 0, sums, 1)
        return shares


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
        bounds = training.counts * np.arange(self.steps + 1)[:, np.newaxis] // self.steps  # (steps + 1, L)
        sizes = np.diff(bounds, axis=0)[:, :, np.newaxis]
        real = np.arange(self.rows) < sizes  # (steps, L, rows)
        places = np.where(real, bounds[:-1, :, np.newaxis] + np.arange(self.rows), 0)
        places += training.index.shape[1] * np.arange(len(training.index))[:, np.newaxis]  # among all lanes' rows
        weights = real / sizes
        order = training.index.copy()
        while True:
            if self.steps > 1:  # the order within a full batch changes nothing but rounding
                for lane, draw in enumerate(generators):
                    count = training.counts[lane]
                    order[lane, :count] = draw.permutation(training.index[lane, :count])
            rows = order.ravel().take(places)
            yield rows, weights if training.of_data is None else training.shares(rows, real)


class Batch(NamedTuple):
    """What one update sees.

    Attributes:
        inputs: (L, inputs + 1, B), features-first with a last row of ones.
        targets: the targets of its rows, (L, A, B).
        weights: (L, 1, B), each row's share in its lane's mean.
    """

    inputs: FloatArray
    targets: FloatArray
    weights: FloatArray


class Feed:
    """The batches of a training, one epoch after the other, in arrays that the next ones overwrite."""

    def __init__(
        self,
        data: LaneData,
        training: PaddedRows,
        batching: Batching,
        generators: Sequence[np.random.Generator],
        dtype: np.dtype[Any],
    ) -> None:
        self._data, self._steps, self._alike = data, batching.steps, training.of_data is None
        self._orders = batching.epochs(training, generators)
        first, weights = next(self._orders)
        self._weights = weights[:, :, np.newaxis].astype(dtype)
        width = data.inputs + 1
        a_step = data.lanes * batching.rows * width * dtype.itemsize
        block = min(self._steps, max(1, BLOCK_BYTES // a_step))
        self._inputs = np.ones((block, data.lanes, batching.rows, width), dtype)
        self._targets = np.empty((block, data.lanes, data.predictions, batching.rows), dtype)
        self._rows: IntArray | None = first
        if self._steps == 1:  # a full batch stays as it is gathered, in the order that matrix products like best
            data.gather(first, self._inputs, self._targets)
            inputs = np.ascontiguousarray(self._inputs[0].swapaxes(1, 2))
            self._full = Batch(inputs, self._targets[0], self._weights[0])

    def epoch(self) -> Iterator[Batch]:
        """The batches of the next epoch."""
        if self._steps == 1:
            yield self._full
            return
        rows, self._rows = self._rows, None
        if rows is None:
            rows, weights = next(self._orders)
            if not self._alike:  # then a row takes its own along, wherever it comes in the epoch
                self._weights[:, :, 0] = weights
        for start in range(0, self._steps, len(self._inputs)):
            block = rows[start : start + len(self._inputs)]
            self._data.gather(block, self._inputs[: len(block)], self._targets[: len(block)])
            for number in range(len(block)):
                inputs = self._inputs[number].swapaxes(1, 2)
                yield Batch(inputs, self._targets[number], self._weights[start + number])
