"""Forward and backward passes of a whole network over lanes, in arrays allocated once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.nn.layers import ACTIVATIONS, dense_backward, dense_forward
from hpsearch.nn.losses import cross_entropy, head_gradient, softmax, weighted_mean
from hpsearch.nn.network import FloatArray, IntArray, Network
from hpsearch.nn.rows import LaneData, PaddedRows

_FLOAT32 = np.dtype(np.float32)
# Rows evaluated at once: bounds the memory of an evaluation, whatever the size of the data.
EVALUATION_ROWS = 512
# Rows to evaluate of at most this much memory a lane are gathered once and kept, not at each checkpoint. (With a limit
# on all lanes together, a lane's bits would depend on its company: products of rows in another order may differ.)
KEPT_BYTES = 2 * 2**20


@dataclass(frozen=True)
class Architecture:
    """What a network computes: its shape, its activation and its number type.

    Raises:
        ValueError: a slope for which the larger of z and slope · z is not the leaky ReLU.
    """

    network: Network
    activation: str = "relu"
    leaky_slope: float = 0.01
    dtype: np.dtype[Any] = _FLOAT32

    def __post_init__(self) -> None:
        if not 0 <= self.leaky_slope < 1:
            raise ValueError(f"leaky_slope must be at least 0 and below 1, but is {self.leaky_slope}.")

    def matrices(self, flat: FloatArray) -> list[FloatArray]:
        """Views of ``flat`` (L, P), one (L, fan_in + 1, fan_out) a dense layer."""
        return [block.matrix(flat) for block in self.network.layers]


class ForwardPass:
    """The values of every layer for a batch of ``rows`` rows in each of ``lanes`` lanes.

    Attributes:
        rows: the batch, (L, B, inputs + 1), its last column ones; to be filled before :meth:`run`, or see :meth:`see`.
        targets: one-hot, (L, C, B); to be filled by whoever needs them.
        inputs: what each dense layer sees, (L, fan_in + 1, B), a last row of ones included.
        activations: one a hidden layer.
    """

    def __init__(self, architecture: Architecture, lanes: int, rows: int) -> None:
        network, dtype = architecture.network, architecture.dtype
        kind = ACTIVATIONS[architecture.activation]
        self.rows = np.ones((lanes, rows, network.inputs + 1), dtype)
        self.targets = np.zeros((lanes, network.classes, rows), dtype)
        # Rows-first in memory, seen features-first: the matrix product takes either, and gathering whole rows is cheap.
        self.inputs = [self.rows.swapaxes(1, 2)]
        self.inputs += [np.ones((lanes, width + 1, rows), dtype) for width in network.neurons]
        self.activations = [kind((lanes, width, rows), dtype, architecture.leaky_slope) for width in network.neurons]
        self._logits = np.empty((lanes, network.classes, rows), dtype)

    def see(self, inputs: FloatArray, targets: FloatArray) -> None:
        """Look at a batch where it is, (L, inputs + 1, B) with a last row of ones, instead of at ``rows``."""
        self.inputs[0], self.targets = inputs, targets

    def run(self, matrices: Sequence[FloatArray]) -> FloatArray:
        """The classes' probabilities (L, C, B), in an array that the next run overwrites."""
        for number, activation in enumerate(self.activations):
            values = self.inputs[number + 1][:, :-1]
            dense_forward(matrices[number], self.inputs[number], out=values)
            activation.forward(values)
        dense_forward(matrices[-1], self.inputs[-1], out=self._logits)
        softmax(self._logits)
        return self._logits


class BackwardPass:
    """Gradients of the data loss in every parameter, for what a :class:`ForwardPass` just computed."""

    def __init__(self, forward: ForwardPass) -> None:
        self._forward = forward
        self._grads = [np.empty_like(values[:, :-1]) for values in forward.inputs[1:]]

    def run(
        self,
        matrices: Sequence[FloatArray],
        grad_matrices: Sequence[FloatArray],
        probabilities: FloatArray,
        row_weights: FloatArray,
    ) -> None:
        """Write ``grad_matrices``; ``probabilities`` (L, C, B) is overwritten; ``row_weights`` is (L, 1, B)."""
        forward, grad = self._forward, probabilities
        head_gradient(grad, forward.targets, row_weights)
        for number in reversed(range(len(matrices))):
            below = self._grads[number - 1] if number else None
            dense_backward(matrices[number], forward.inputs[number], grad, grad_matrices[number], below)
            if below is not None:
                forward.activations[number - 1].backward(forward.inputs[number][:, :-1], below)
                grad = below


@dataclass(frozen=True)
class Evaluation:
    """A network's answers on padded rows: ``row_losses`` (L, B) in nats, ``probabilities`` (L, C, B), ``loss`` (L,)."""

    row_losses: NDArray[np.float64]
    probabilities: FloatArray
    loss: NDArray[np.float64]


class Evaluator:
    """Evaluates parameters on fixed rows of each lane, any number of times."""

    def __init__(self, architecture: Architecture, data: LaneData, rows: PaddedRows) -> None:
        self._architecture, self._data, self._weights = architecture, data, rows.weights
        starts = range(0, rows.index.shape[1], EVALUATION_ROWS)
        self._chunks = [rows.index[:, start : start + EVALUATION_ROWS] for start in starts]
        self._passes = {chunk.shape[1]: ForwardPass(architecture, data.lanes, chunk.shape[1]) for chunk in self._chunks}
        of_a_lane = rows.index.shape[1] * (data.features.shape[1] + 1 + data.classes) * architecture.dtype.itemsize
        self._kept: list[tuple[FloatArray, FloatArray]] = []
        if of_a_lane <= KEPT_BYTES:  # gathered once, in the order that matrix products like best
            for chunk in self._chunks:
                forward = self._gather(chunk)
                self._kept.append((forward.inputs[0].copy(order="C"), forward.targets.copy()))

    def _gather(self, chunk: IntArray) -> ForwardPass:
        forward = self._passes[chunk.shape[1]]
        self._data.gather(chunk, forward.rows, forward.targets)
        return forward

    def evaluate(self, params: FloatArray) -> Evaluation:
        """Losses and probabilities of parameters (L, P)."""
        losses, probabilities = [], []
        for answer, of_rows in self._answers(params):
            losses.append(of_rows)
            probabilities.append(answer.copy())
        row_losses = np.concatenate(losses, axis=1)
        return Evaluation(row_losses, np.concatenate(probabilities, axis=2), weighted_mean(row_losses, self._weights))

    def loss(self, params: FloatArray) -> NDArray[np.float64]:
        """The mean losses (L,) alone, without keeping every row's probabilities."""
        row_losses = np.concatenate([of_rows for _, of_rows in self._answers(params)], axis=1)
        return weighted_mean(row_losses, self._weights)

    def _answers(self, params: FloatArray) -> Iterator[tuple[FloatArray, NDArray[np.float64]]]:
        """(probabilities, row losses) of one chunk of rows after another; the next one overwrites the former."""
        matrices = self._architecture.matrices(params)
        for number, chunk in enumerate(self._chunks):
            if self._kept:
                forward = self._passes[chunk.shape[1]]
                forward.see(*self._kept[number])
            else:
                forward = self._gather(chunk)
            # A lane that diverged computes with inf and nan; it is reported, not warned about.
            with np.errstate(all="ignore"):
                answer = forward.run(matrices)
                losses = cross_entropy(answer, forward.targets)
            yield answer, losses


def predict(architecture: Architecture, params: FloatArray, inputs: NDArray[Any]) -> FloatArray:
    """The probabilities (N, C) that one network, parameters (1, P), gives to rows ``inputs`` (N, inputs)."""
    matrices = architecture.matrices(params)
    answers = np.empty((len(inputs), architecture.network.classes), architecture.dtype)
    with np.errstate(all="ignore"):
        for start in range(0, len(inputs), EVALUATION_ROWS):
            rows = inputs[start : start + EVALUATION_ROWS]
            forward = ForwardPass(architecture, 1, len(rows))
            forward.rows[0, :, :-1] = rows
            answers[start : start + len(rows)] = forward.run(matrices)[0].T
    return answers
