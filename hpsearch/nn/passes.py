"""Forward and backward passes of a whole network over lanes, in arrays allocated once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import FloatArray, IntArray
from hpsearch.nn.layers import ACTIVATIONS, Dropout, dense_backward, dense_forward
from hpsearch.nn.losses import LOSSES, Loss, weighted_mean
from hpsearch.nn.network import NetworkShape
from hpsearch.nn.rows import LaneData, PaddedRows

_FLOAT32 = np.dtype(np.float32)
# Rows evaluated at once: bounds the memory of an evaluation, whatever the size of the data.
EVALUATION_ROWS = 512
# Rows to evaluate of at most this much memory a lane are gathered once and kept, not at each checkpoint. (With a limit
# on all lanes together, a lane's bits would depend on its company: products of rows in another order may differ.)
KEPT_BYTES = 2 * 2**20


@dataclass(frozen=True)
class Architecture:
    """What a network computes: its shape, its activation, its number type, and the loss that its outputs are for.

    Raises:
        ValueError: a slope for which the larger of z and slope · z is not the leaky ReLU.
    """

    network: NetworkShape
    activation: str = "relu"
    leaky_slope: float = 0.01
    dtype: np.dtype[Any] = _FLOAT32
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        if not 0 <= self.leaky_slope < 1:
            raise ValueError(f"leaky_slope must be at least 0 and below 1, but is {self.leaky_slope}.")

    @property
    def head(self) -> Loss:
        """What the outputs mean."""
        return LOSSES[self.loss]

    def matrices(self, flat: FloatArray) -> list[FloatArray]:
        """Views of ``flat`` (L, P), one (L, fan_in + 1, fan_out) a dense layer."""
        return [block.matrix(flat) for block in self.network.layers]


class ForwardPass:
    """The values of every layer for a batch of ``rows`` rows in each of ``lanes`` lanes.

    Args:
        architecture: the networks'.
        lanes: L.
        rows: B.
        dropout: the rate of each hidden layer; none drops anything if empty.
        generators: one a lane, for what is dropped.

    Attributes:
        rows: the batch, (L, B, inputs + 1), its last column ones; to be filled before :meth:`run`, or see :meth:`see`.
        targets: the targets of its rows, (L, A, B); to be filled by whoever needs them.
        inputs: what each dense layer sees, (L, fan_in + 1, B), a last row of ones included.
        outputs: of each hidden layer, (L, width, B): the inputs of the next but for what was dropped.
        activations: one a hidden layer.
        dropouts: one a hidden layer; None where it drops nothing.
    """

    def __init__(
        self,
        architecture: Architecture,
        lanes: int,
        rows: int,
        dropout: Sequence[float] = (),
        generators: Sequence[np.random.Generator] = (),
    ) -> None:
        network, dtype, self.head = architecture.network, architecture.dtype, architecture.head
        kind = ACTIVATIONS[architecture.activation]
        shapes = [(lanes, width + 1, rows) for width in network.neurons]
        rates = dropout or [0.0] * len(shapes)
        self.rows = np.ones((lanes, rows, network.inputs + 1), dtype)
        self.targets = np.zeros((lanes, self.head.predictions_per_output * network.outputs, rows), dtype)
        # Rows-first in memory, seen features-first: the matrix product takes either, and gathering whole rows is cheap.
        self.inputs = [self.rows.swapaxes(1, 2)]
        # The derivative of an activation is that of its outputs, before anything was dropped.
        outputs = [np.ones(shape, dtype) for shape in shapes]
        self.inputs += [np.ones_like(of) if rate else of for of, rate in zip(outputs, rates, strict=True)]
        self.outputs = [of[:, :-1] for of in outputs]
        self.activations = [kind(of, architecture.leaky_slope) for of in outputs]
        self.dropouts = [
            Dropout(of.shape, dtype, rate, generators) if rate else None
            for of, rate in zip(self.outputs, rates, strict=True)
        ]
        self._last = np.empty((lanes, network.outputs, rows), dtype)

    def see(self, inputs: FloatArray, targets: FloatArray) -> None:
        """Look at a batch where it is, (L, inputs + 1, B) with a last row of ones, instead of at ``rows``."""
        self.inputs[0], self.targets = inputs, targets

    def run(self, matrices: Sequence[FloatArray], sums: FloatArray | None = None) -> FloatArray:
        """The predictions (L, A, B), in an array that the next run may overwrite.

        Args:
            matrices: of the dense layers.
            sums: what the first of them gives, (L, width, B), where that is known: then the batch is not looked at.
        """
        for number, activation in enumerate(self.activations):
            values, dropout = self.outputs[number], self.dropouts[number]
            self._dense(matrices, number, values, sums)
            activation.forward()
            if dropout is not None:
                dropout.draw()
                dropout.forward(values, out=self.inputs[number + 1][:, :-1])
        self._dense(matrices, len(self.activations), self._last, sums)
        return self.head.predict(self._last)

    def _dense(
        self, matrices: Sequence[FloatArray], number: int, out: FloatArray, sums: FloatArray | None = None
    ) -> None:
        """What one dense layer gives."""
        if sums is not None and number == 0:
            np.copyto(out, sums)
        else:
            dense_forward(matrices[number], self.inputs[number], out=out)

    def first_sums(self, matrices: Sequence[FloatArray]) -> FloatArray:
        """What the first dense layer gives of the batch, (L, width, B), before its activation."""
        sums: FloatArray = np.empty_like(self.outputs[0] if self.outputs else self._last)
        self._dense(matrices, 0, sums)
        return sums


class BackwardPass:
    """Gradients of the data loss in every parameter, for what a :class:`ForwardPass` just computed."""

    def __init__(self, forward: ForwardPass) -> None:
        self._forward = forward
        self._grads = [np.empty_like(values[:, :-1]) for values in forward.inputs[1:]]

    def run(
        self,
        matrices: Sequence[FloatArray],
        grad_matrices: Sequence[FloatArray],
        predictions: FloatArray,
        row_weights: FloatArray,
    ) -> None:
        """Write ``grad_matrices``; ``predictions`` (L, A, B) is overwritten; ``row_weights`` is (L, 1, B)."""
        forward = self._forward
        grad = forward.head.gradient(predictions, forward.targets, row_weights)
        for number in reversed(range(len(matrices))):
            below = self._grads[number - 1] if number else None
            dense_backward(matrices[number], forward.inputs[number], grad, grad_matrices[number], below)
            if below is not None:
                if (dropout := forward.dropouts[number - 1]) is not None:
                    dropout.backward(below)
                forward.activations[number - 1].backward(below)
                grad = below


@dataclass(frozen=True)
class Evaluation:
    """A network's predictions on padded rows: ``row_losses`` (L, B), ``predictions`` (L, A, B), ``loss`` (L,).

    Losses of classes are in nats. A regression's are in the target's own unit, which is squared in
    its squared error.
    """

    row_losses: NDArray[np.float64]
    predictions: FloatArray
    loss: NDArray[np.float64]


class Evaluator:
    """Evaluates parameters on fixed rows of each lane, any number of times."""

    def __init__(self, architecture: Architecture, data: LaneData, rows: PaddedRows) -> None:
        self._architecture, self._data, self._weights = architecture, data, rows.weights
        starts = range(0, rows.index.shape[1], EVALUATION_ROWS)
        self._chunks = [np.ascontiguousarray(rows.index[:, start : start + EVALUATION_ROWS]) for start in starts]
        self._passes = {chunk.shape[1]: ForwardPass(architecture, data.lanes, chunk.shape[1]) for chunk in self._chunks}
        of_a_lane = rows.index.shape[1] * (data.inputs + 1 + data.predictions) * architecture.dtype.itemsize
        self._gathered: list[tuple[FloatArray, FloatArray]] = []
        if of_a_lane <= KEPT_BYTES:  # gathered once, in the order that matrix products like best
            for chunk in self._chunks:
                forward = self._gather(chunk)
                self._gathered.append((forward.inputs[0].copy(order="C"), forward.targets.copy()))

    def _gather(self, chunk: IntArray) -> ForwardPass:
        forward = self._passes[chunk.shape[1]]
        self._data.gather(chunk, forward.rows, forward.targets)
        return forward

    def evaluate(self, params: FloatArray) -> Evaluation:
        """Losses and predictions of parameters (L, P)."""
        losses, predictions = [], []
        for prediction, targets in self._predictions(params):
            losses.append(self._losses(prediction, targets))
            predictions.append(prediction.copy())
        row_losses = np.concatenate(losses, axis=1)
        return Evaluation(row_losses, np.concatenate(predictions, axis=2), weighted_mean(row_losses, self._weights))

    def loss(self, params: FloatArray) -> NDArray[np.float64]:
        """The mean losses (L,) alone, without keeping every row's predictions."""
        row_losses = np.concatenate([self._losses(*chunk) for chunk in self._predictions(params)], axis=1)
        return weighted_mean(row_losses, self._weights)

    def loss_of_average(self, params: FloatArray) -> float:
        """The mean loss of the lanes' averaged predictions, for lanes that have the same rows."""
        losses = []
        for predictions, targets in self._predictions(params):
            losses.append(self._losses(averaged(predictions)[np.newaxis], targets[:1]))
        return float(weighted_mean(np.concatenate(losses, axis=1), self._weights[:1])[0])

    def sums(self, params: FloatArray) -> FloatArray:
        """What the first dense layers of parameters (L, P) give of all rows, (L, width, B), for :meth:`changed`."""
        matrices = self._architecture.matrices(params)
        return np.concatenate([forward.first_sums(matrices) for forward, _ in self._batches()], axis=2)

    def changed(self, params: FloatArray, sums: FloatArray, places: slice, changes: FloatArray) -> FloatArray:
        """The predictions (L, A, B) of parameters (L, P) where some features of the rows are others.

        It costs what these features and the layers after the first take, however many features there are. Without a
        change they have the bits of :meth:`evaluate`.

        Args:
            params: of the networks.
            sums: what :meth:`sums` gives of them.
            places: of W features.
            changes: (L, W, B), what is added to each of them, as the networks see it.
        """
        matrices, predictions = self._architecture.matrices(params), []
        weights = matrices[0][:, places].swapaxes(1, 2)
        for number, chunk in enumerate(self._chunks):
            part = slice(number * EVALUATION_ROWS, number * EVALUATION_ROWS + chunk.shape[1])
            with np.errstate(all="ignore"):
                moved = sums[:, :, part] + weights @ changes[:, :, part]
                predicted = self._passes[chunk.shape[1]].run(matrices, moved)
                predictions.append(self._data.in_own_unit(predicted, predicted, chunk)[0].copy())
        return np.concatenate(predictions, axis=2)

    def _losses(self, predictions: FloatArray, targets: FloatArray) -> NDArray[np.float64]:
        """The data loss of each row, (L, B)."""
        with np.errstate(all="ignore"):  # as below
            return self._architecture.head.of_rows(predictions, targets)

    def _predictions(self, params: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        """(predictions, targets) of one chunk of rows after another; the next one overwrites the former."""
        matrices = self._architecture.matrices(params)
        for forward, chunk in self._batches():
            # A lane that diverged computes with inf and nan; it is reported, not warned about.
            with np.errstate(all="ignore"):
                prediction = forward.run(matrices)
                prediction, targets = self._data.in_own_unit(prediction, forward.targets, chunk)
            yield prediction, targets

    def _batches(self) -> Iterator[tuple[ForwardPass, IntArray]]:
        """One chunk of rows after another, and a pass that looks at it; the next one overwrites the former."""
        for number, chunk in enumerate(self._chunks):
            if self._gathered:
                forward = self._passes[chunk.shape[1]]
                forward.see(*self._gathered[number])
            else:
                forward = self._gather(chunk)
            yield forward, chunk


def predict(architecture: Architecture, params: FloatArray, inputs: NDArray[Any]) -> FloatArray:
    """What networks, parameters (L, P), predict for ``inputs`` (N, inputs): (L, N, A), scaled in a regression."""
    matrices, chunks = architecture.matrices(params), []
    with np.errstate(all="ignore"):
        for start in range(0, max(1, len(inputs)), EVALUATION_ROWS):
            rows = inputs[start : start + EVALUATION_ROWS]
            forward = ForwardPass(architecture, 1, len(rows))
            forward.rows[0, :, :-1] = rows
            # One network after the other: all of them see the same rows, and their values need no more memory.
            of_lanes = [
                forward.run([matrix[lane : lane + 1] for matrix in matrices])[0].T.copy() for lane in range(len(params))
            ]
            chunks.append(np.stack(of_lanes))
    return np.concatenate(chunks, axis=1)


def averaged(predictions: FloatArray) -> FloatArray:
    """The mean over networks of what they predict: (L, …) to (…).

    Added up one after the other, so that the bits of a row do not depend on how many rows there are, and one network's
    are its own.
    """
    total: FloatArray = predictions[0].copy()
    with np.errstate(all="ignore"):  # networks that diverged predict inf and nan
        for of_one in predictions[1:]:
            total += of_one
        total /= len(predictions)
    return total
