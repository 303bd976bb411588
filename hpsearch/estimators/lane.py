"""One lane of the core: a single network, trained to its end, until it no longer improves, or a while longer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hpsearch import seeds
from hpsearch.arrays import FloatArray
from hpsearch.data.dataset import Dataset
from hpsearch.data.preprocess import Scaling
from hpsearch.errors import DataError, DefinitionError, DivergedError
from hpsearch.model.bundle import Bundle
from hpsearch.nn.network import initial_parameters
from hpsearch.nn.passes import Architecture, Evaluator
from hpsearch.nn.rows import LaneData, PaddedRows
from hpsearch.nn.trainer import Checkpoint, Descent, Trainer
from hpsearch.validation.config import Config
from hpsearch.validation.lanes import (
    architecture_of,
    fit_scalings,
    lane_data,
    make_trainer,
    training_weights,
    validation_weights,
)

IntArray = NDArray[np.intp]


@dataclass
class Lane:
    """A network in training, and all it takes to go on with it.

    Attributes:
        architecture: shape, activation, number type.
        optimizer: its name.
        seed: that it began with.
        scaling: learnt from the rows that it began with, by their weights.
        params: (1, P), trained in place.
        target_centre, target_scale: (1,), of a quantity, learnt likewise; None for classes.
        batches, dropping: where the order of mini-batches comes from, and what dropout drops.
        descent: the updates done and the optimizer's state.
    """

    architecture: Architecture
    optimizer: str
    seed: int
    scaling: Scaling
    params: FloatArray
    target_centre: NDArray[np.float64] | None
    target_scale: NDArray[np.float64] | None
    batches: np.random.Generator
    dropping: np.random.Generator
    descent: Descent = field(default_factory=Descent)

    @classmethod
    def begin(cls, config: Config, data: Dataset, rows: IntArray, seed: int) -> Lane:
        """A network before its first update, from the streams that the retraining of a study of this seed draws from.

        What it computes on these rows is bit for bit what :func:`hpsearch.model.retrain.fit` does, if none is weighted.
        """
        (scaling,) = fit_scalings(data, [rows], config.scaling, fill_all=True, weighted=True)
        architecture = architecture_of(config, data.features.shape[1], len(data.class_names))
        seen = lane_data(data, [scaling], [rows])
        centre, scale = seen.target_centre, seen.target_scale
        if centre is not None and data.weights is not None:
            centre, scale = _weighted_spread(data.labels[rows], data.weights[rows])
        weights, batches, dropping = (
            seeds.generator(seed, f"retrain-{what}") for what in ("weights", "batches", "dropout")
        )
        params = initial_parameters(architecture.network, config.init, [weights], architecture.dtype)
        return cls(architecture, config.optimizer, seed, scaling, params, centre, scale, batches, dropping)

    def see(self, data: Dataset, rows: IntArray) -> LaneData:
        """Rows as the network sees them, scaled as those that it began with."""
        seen = lane_data(data, [self.scaling], [rows])
        return replace(seen, target_centre=self.target_centre, target_scale=self.target_scale)

    def train(self, config: Config, data: Dataset, rows: IntArray) -> Iterator[Checkpoint]:
        """Train on some rows for the epochs of ``config``, from where the lane is.

        Raises:
            DefinitionError: a configuration of another network or optimizer than the lane's.
            DivergedError: a loss that is no longer finite.
        """
        counts = training_weights(config, data, [rows])
        trainer = make_trainer(config, self.see(data, rows), [rows], config.checkpoint_epochs, counts)
        self._require_same(trainer, config)
        with threadpool_limits(1):
            for checkpoint in trainer.resume(self.params, [self.batches], [self.dropping], self.descent):
                if checkpoint.diverged.any():
                    raise DivergedError(
                        f"The training must keep a finite loss, but it became {checkpoint.total_loss[0]} by epoch "
                        f"{checkpoint.epoch}. Lower learning_rate, now {config.learning_rate:.3g}."
                    )
                yield checkpoint

    def _require_same(self, trainer: Trainer, config: Config) -> None:
        now, before = (trainer.architecture, config.optimizer), (self.architecture, self.optimizer)
        if now != before:
            raise DefinitionError(
                f"partial_fit must go on with the network and the optimizer that it began with, {before}, but they are "
                f"now {now}. Set them back, or begin anew with fit."
            )

    def bundle(self, data: Dataset, about: dict[str, Any]) -> Bundle:
        """The network as it is now."""
        params, names = self.params.copy(), (data.class_names, data.target_name)
        bundle = Bundle(self.architecture, params, self.scaling, data.columns, *names, about)
        if self.target_centre is None or self.target_scale is None:
            return bundle
        return replace(bundle, target_centre=float(self.target_centre[0]), target_scale=float(self.target_scale[0]))


def _weighted_spread(
    targets: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (1,) of a quantity, 1 where all targets are alike; a row of weight 2 is two rows."""
    mean = np.average(targets, weights=weights)
    spread = np.sqrt(np.average((targets - mean) ** 2, weights=weights)) if np.ptp(targets) > 0 else 1.0
    return np.array([mean]), np.array([spread])


@dataclass
class History:
    """What happened at the checkpoints of a training.

    Attributes:
        epochs: done at each.
        total_loss: data loss + penalty on the training rows.
        validation_loss: on the rows carved out for early stopping; empty without.
    """

    epochs: list[int] = field(default_factory=list)
    total_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)

    def add(self, checkpoint: Checkpoint) -> None:
        self.epochs.append(checkpoint.epoch)
        self.total_loss.append(float(checkpoint.total_loss[0]))


def train_until_no_better(
    lane: Lane, config: Config, data: Dataset, training: IntArray, validation: IntArray, patience: int, tol: float
) -> History:
    """Train a lane until its validation loss is no longer improved; it is left as it was at the best checkpoint.

    Args:
        lane: before its first update.
        config: ``epochs`` are the most.
        data: of which it sees ``training``.
        training: rows to train on.
        validation: rows to look at, at every checkpoint.
        patience: checkpoints in a row without an improvement, after which it ends.
        tol: what an improvement is more than.
    """
    rows = PaddedRows.pad([validation], len(validation), validation_weights(data, 1))
    evaluator = Evaluator(lane.architecture, lane.see(data, training), rows)
    history, best, mark, since = History(), lane.params.copy(), np.inf, 0
    for checkpoint in lane.train(config, data, training):
        history.add(checkpoint)
        loss = float(evaluator.loss(lane.params)[0])
        if loss < min(history.validation_loss, default=np.inf):
            best[:] = lane.params
        history.validation_loss.append(loss)
        mark, since = (loss, 0) if loss < mark - tol else (mark, since + 1)
        if since >= patience:
            break
    lane.params[:], lane.descent = best, Descent()  # the optimizer is further than the parameters: it begins anew
    return history


def carve(data: Dataset, fraction: float, seed: int) -> tuple[IntArray, IntArray]:
    """(rows to train on, rows to validate on), in ascending order, drawn from the study's seed; the same share of each
    class.

    Raises:
        DataError: a side that lacks rows, or rows of a class.
    """
    from sklearn.model_selection import train_test_split

    try:
        training, validation = train_test_split(
            np.arange(data.rows),
            test_size=fraction,
            stratify=data.labels if data.class_names else None,
            random_state=seeds.integer_seed(seed, "holdout"),
        )
    except ValueError as error:
        raise DataError(
            f"early_stopping must be able to set aside validation_fraction = {fraction!r} of {data.rows} rows, some of "
            f"every class on both sides, but: {error}"
        ) from error
    return np.sort(training), np.sort(validation)
