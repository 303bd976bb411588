"""The lock-step loop: all lanes take every step together, as one batched program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import FloatArray
from hpsearch.nn import kernels
from hpsearch.nn.optimizers import Optimizer, State, decayed, schedule
from hpsearch.nn.passes import Architecture, BackwardPass, Evaluator, ForwardPass
from hpsearch.nn.penalties import Penalties
from hpsearch.nn.rows import Batching, Feed, LaneData, PaddedRows

CACHE_BYTES = 4 * 2**20  # of lanes trained together: a core's share of a common processor's cache


@dataclass(frozen=True)
class Checkpoint:
    """The state of the training after ``epoch`` epochs.

    Losses of classes are in nats, those of a regression in its target's unit (squared in a squared error); so is
    the penalty: that of the scaled target times the standard deviation of the training targets (squared likewise).
    Where the target is centred and scaled alone, the same factor turns the loss that the updates descend into the one
    reported. Where it is transformed too, no factor does, and this one keeps penalties of both comparable.

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
        """(L,): data loss + penalty. The updates descend it, but where a target is transformed: see above."""
        return self.training_loss + self.penalty

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """(L,): lanes whose total loss is no longer a finite number."""
        return ~np.isfinite(self.total_loss)


@dataclass
class Descent:
    """How far a training has come beside its parameters, for one that is to go on.

    Attributes:
        step: updates done.
        state: the optimizer's; None before the first update.
    """

    step: int = 0
    state: State | None = None


@dataclass(frozen=True)
class Trainer:
    """Everything that training needs but the parameters.

    The data loss of a batch is Σ w·l / Σ w over its rows, w what each counts.

    Attributes:
        architecture: shape, activation and number type, shared by all lanes.
        optimizer: shared by all lanes; its momentum may be an (L, 1) column.
        penalties: lambdas, (L, P).
        learning_rate, decay: (L, 1) float64.
        data, training: the rows and which of them each lane trains on.
        batching: steps of an epoch and rows of a step.
        epochs: passes over the training rows.
        evaluate_every: epochs between two checkpoints; the last epoch is always one.
        dropout: the rate of each hidden layer; empty if none drops anything.
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
    dropout: tuple[float, ...] = ()

    def run(
        self,
        params: FloatArray,
        generators: Sequence[np.random.Generator],
        dropping: Sequence[np.random.Generator] = (),
        descent: Descent | None = None,
    ) -> Iterator[Checkpoint]:
        """Train ``params`` (L, P) in place, stopping at each checkpoint; whoever iterates decides whether to go on.

        Trained for k epochs and then, with the same generators and ``descent``, for m more, the lanes have the bits of
        k + m epochs.

        Args:
            params: parameters, of the architecture's dtype.
            generators: one a lane, for the order of its rows in mini-batches.
            dropping: one a lane, for what dropout drops; not needed without.
            descent: where the training goes on from; it goes along. By default the training begins.
        """
        descent = Descent() if descent is None else descent
        if descent.state is None:
            descent.state = self.optimizer.init(params)
        groups = self._groups()
        if len(groups) == 1:
            yield from self._run_group(params, generators, dropping, descent)
            return
        parts = [Descent(descent.step, tuple(values[lanes] for values in descent.state)) for lanes in groups]
        runs = [
            self._only(lanes)._run_group(params[lanes], generators[lanes], dropping[lanes], part)
            for lanes, part in zip(groups, parts, strict=True)
        ]
        for points in zip(*runs, strict=True):
            descent.step = parts[0].step
            columns = ("learning_rate", "training_loss", "penalty")
            yield Checkpoint(
                points[0].epoch, *(np.concatenate([getattr(point, name) for point in points]) for name in columns)
            )

    @property
    def _unit(self) -> NDArray[np.float64]:
        """(L,): what gives the penalty the unit of the data loss, where a regression target is trained on scaled."""
        deviation = self.data.target_deviation
        return np.ones(self.data.lanes) if deviation is None else deviation**self.architecture.head.power

    def _groups(self) -> list[slice]:
        """Lanes that go from checkpoint to checkpoint together.

        A lane does not know its company, so the company may be chosen: as many lanes as find their values, gradients
        and optimizer states in the cache. On wide networks and many rows that saves a tenth of the time.
        """
        network, rows = self.architecture.network, self.batching.rows
        numbers = rows * (network.inputs + 2 * sum(network.neurons)) + 6 * network.size
        fitting = max(1, CACHE_BYTES // (numbers * self.architecture.dtype.itemsize))
        count = -(-self.data.lanes // fitting)
        bounds = [self.data.lanes * number // count for number in range(count + 1)]
        return [slice(start, stop) for start, stop in pairwise(bounds)]

    def _only(self, lanes: slice) -> Trainer:
        """Some of the lanes."""
        columns = {key: value[lanes] for key, value in vars(self.optimizer).items() if isinstance(value, np.ndarray)}
        return replace(
            self,
            optimizer=replace(self.optimizer, **columns) if columns else self.optimizer,  # type: ignore[type-var]
            penalties=Penalties(self.penalties.l1[lanes], self.penalties.l2[lanes]),
            learning_rate=self.learning_rate[lanes],
            decay=self.decay[lanes],
            data=self.data.only(lanes, self.architecture.dtype),
            training=self.training.only(lanes),
        )

    def _run_group(
        self,
        params: FloatArray,
        generators: Sequence[np.random.Generator],
        dropping: Sequence[np.random.Generator],
        descent: Descent,
    ) -> Iterator[Checkpoint]:
        """:meth:`run`, all lanes as one group, from where ``descent`` is, which has a state."""
        assert descent.state is not None
        kernels.begin(self.data.lanes * params.shape[1] * self.batching.rows * self.batching.steps * self.epochs)
        forward = ForwardPass(self.architecture, self.data.lanes, self.batching.rows, self.dropout, dropping)
        backward = BackwardPass(forward)
        evaluator = Evaluator(self.architecture, self.data, self.training)
        feed = Feed(self.data, self.training, self.batching, generators, params.dtype)
        grads, scratch = np.empty_like(params), np.empty_like(params)
        matrices, grad_matrices = self.architecture.matrices(params), self.architecture.matrices(grads)
        rates = schedule(self.learning_rate, self.decay, params.dtype, descent.step)
        for done in range(0, self.epochs, self.evaluate_every):
            until = min(done + self.evaluate_every, self.epochs)
            # A lane that diverges goes on with inf and nan until the checkpoint names it. (The errors' state must not
            # be left open across a yield: it would follow the caller.)
            with np.errstate(all="ignore"):
                for _ in range(done, until):
                    for batch in feed.epoch():
                        forward.see(batch.inputs, batch.targets)
                        predictions = forward.run(matrices)
                        backward.run(matrices, grad_matrices, predictions, batch.weights)
                        self.penalties.add_gradient(params, grads, scratch)
                        self.optimizer.update(params, grads, next(rates), descent.step, descent.state)
                        descent.step += 1
                penalty = self.penalties.value(params) * self._unit
            rate = decayed(self.learning_rate, self.decay, descent.step - 1)
            yield Checkpoint(until, rate[:, 0], evaluator.loss(params), penalty)
