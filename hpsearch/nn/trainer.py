"""The lock-step loop: all lanes take every step together, as one batched program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.nn.network import FloatArray
from hpsearch.nn.optimizers import Optimizer, decayed
from hpsearch.nn.passes import Architecture, BackwardPass, Evaluator, ForwardPass
from hpsearch.nn.penalties import Penalties
from hpsearch.nn.rows import Batching, LaneData, PaddedRows


@dataclass(frozen=True)
class Checkpoint:
    """The state of the training after ``epoch`` epochs; losses in nats.

    Attributes:
        epoch: epochs done.
        learning_rate: (L,), that of the last update.
        training_loss: (L,), data loss over each lane's training rows, with the parameters as they are now.
        penalty: (L,), L1 and L2 together.
    """

    epoch: int
    learning_rate: NDArray[np.float64]
    training_loss: NDArray[np.float64]
    penalty: NDArray[np.float64]

    @property
    def total_loss(self) -> NDArray[np.float64]:
        """(L,): data loss + penalty, which is what the updates descend."""
        return self.training_loss + self.penalty

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """(L,): lanes whose total loss is no longer a finite number."""
        return ~np.isfinite(self.total_loss)


@dataclass(frozen=True)
class Trainer:
    """Everything that training needs but the parameters.

    Attributes:
        architecture: shape, activation and number type, shared by all lanes.
        optimizer: shared by all lanes; its momentum may be an (L, 1) column.
        penalties: lambdas, (L, P).
        learning_rate, decay: (L, 1) float64.
        data, training: the rows and which of them each lane trains on.
        batching: steps of an epoch and rows of a step.
        epochs: passes over the training rows.
        evaluate_every: epochs between two checkpoints; the last epoch is always one.
    """

    architecture: Architecture
    optimizer: Optimizer
    penalties: Penalties
    learning_rate: NDArray[np.float64]
    decay: NDArray[np.float64]
    data: LaneData
    training: PaddedRows
    batching: Batching
    epochs: int
    evaluate_every: int

    def run(self, params: FloatArray, generators: Sequence[np.random.Generator]) -> Iterator[Checkpoint]:
        """Train ``params`` (L, P) in place, stopping at each checkpoint; whoever iterates decides whether to go on.

        Args:
            params: initial parameters, of the architecture's dtype.
            generators: one a lane, for the order of its rows in mini-batches.
        """
        lanes = self.data.lanes
        forward = ForwardPass(self.architecture, lanes, self.batching.rows)
        backward = BackwardPass(forward)
        evaluator = Evaluator(self.architecture, self.data, self.training)
        grads, scratch = np.empty_like(params), np.empty_like(params)
        matrices, grad_matrices = self.architecture.matrices(params), self.architecture.matrices(grads)
        state = self.optimizer.init(params)
        batches = self.batching.epochs(self.training, generators)
        step, rate = 0, self.learning_rate
        for epoch in range(1, self.epochs + 1):
            # A lane that diverges goes on with inf and nan until the checkpoint names it. (The errors' state must not
            # be left open across a yield: it would follow the caller.)
            with np.errstate(all="ignore"):
                if epoch == 1 or self.batching.steps > 1:  # a full batch stays where it was gathered
                    rows, weights = next(batches)
                    row_weights = weights[:, :, np.newaxis, :].astype(params.dtype)
                for number in range(self.batching.steps):
                    if epoch == 1 or self.batching.steps > 1:
                        self.data.gather(rows[number], forward.rows, forward.targets)
                    probabilities = forward.run(matrices)
                    backward.run(matrices, grad_matrices, probabilities, row_weights[number])
                    self.penalties.add_gradient(params, grads, scratch)
                    rate = decayed(self.learning_rate, self.decay, step)
                    self.optimizer.update(params, grads, rate.astype(params.dtype), step, state)
                    step += 1
            if epoch % self.evaluate_every == 0 or epoch == self.epochs:
                training_loss = evaluator.loss(params)
                with np.errstate(all="ignore"):
                    penalty = self.penalties.value(params)
                yield Checkpoint(epoch, rate[:, 0].copy(), training_loss, penalty)
