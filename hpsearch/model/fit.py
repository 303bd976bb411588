"""The one way to train a network for good: for what is saved, for the estimators, and wherever one is looked at.

It is the search's own pipeline on all rows given. Whatever is learnt from rows is learnt from the training rows by
their weights: a row of weight 2 counts as two rows and one of weight 0 as none in the features' scaling, in what fills
missing values, in a regression target's scaling, and in the training loss. Class weights count in the training
loss alone. Initial weights, the order of mini-batches and dropout come from streams that no trial draws from.
"""

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
from hpsearch.errors import DataError, DivergedError, Setting
from hpsearch.model.bundle import Bundle
from hpsearch.nn.network import initial_parameters
from hpsearch.nn.passes import Architecture, Evaluator
from hpsearch.nn.rows import LaneData, PaddedRows
from hpsearch.nn.trainer import Checkpoint, Descent
from hpsearch.target_transform import TargetTransform
from hpsearch.validation.config import Config
from hpsearch.validation.lanes import (
    architecture_of,
    fit_scalings,
    lane_data,
    make_trainer,
    training_weights,
    validation_weights,
)


@dataclass
class ResumableNetwork:
    """A network in training, one lane, and all it takes to go on with it.

    Attributes:
        architecture: shape, activation, number type.
        optimizer: its name.
        seed: of its initial weights, batches and dropout.
        scaling: of the features, learnt from the rows that it began with.
        parameters: (1, P), trained in place.
        target_centre, target_scale: (1,), of a regression target, learnt likewise; None for classes.
        target_transform: of it, likewise; None if it has none.
        batches, dropout: where the order of mini-batches comes from, and what dropout drops.
        descent: the updates done and the optimizer's state.
    """

    architecture: Architecture
    optimizer: str
    seed: int
    scaling: Scaling
    parameters: FloatArray
    target_centre: NDArray[np.float64] | None
    target_scale: NDArray[np.float64] | None
    target_transform: TargetTransform | None
    batches: np.random.Generator
    dropout: np.random.Generator
    descent: Descent = field(default_factory=Descent)

    @classmethod
    def initial(cls, config: Config, data: Dataset, seed: int) -> ResumableNetwork:
        """A network before its first update, to be trained on these rows."""
        rows = [np.arange(data.rows)]
        (scaling,) = fit_scalings(data, rows, config.scaling, fill_all=True)  # new rows may lack any value
        lanes = lane_data(data, [scaling], rows, config.target_scaling)
        architecture = architecture_of(config, data.features.shape[1], len(data.class_names))
        weights, batches, dropout = (
            seeds.generator(seed, f"retrain-{what}") for what in ("weights", "batches", "dropout")
        )
        parameters = initial_parameters(architecture.network, config.init, [weights], architecture.dtype)
        target = lanes.target_centre, lanes.target_scale, lanes.target_transform
        return cls(architecture, config.optimizer, seed, scaling, parameters, *target, batches, dropout)

    def lanes(self, data: Dataset) -> LaneData:
        """Rows as the network sees them, scaled as those that it began with."""
        lanes = lane_data(data, [self.scaling], [np.arange(data.rows)])
        return replace(
            lanes,
            target_centre=self.target_centre,
            target_scale=self.target_scale,
            target_transform=self.target_transform,
        )

    def train(self, config: Config, data: Dataset, evaluate_every: int | None = None) -> Iterator[Checkpoint]:
        """Train on these rows for the epochs of ``config``, from where the network is.

        Trained for k epochs and then for m more on the same rows, it has the bits of k + m epochs.

        Args:
            config: of the same network and optimizer.
            data: to train on, all rows of it.
            evaluate_every: epochs between checkpoints; ``config``'s own if None.

        Raises:
            DivergedError: a loss that is no longer finite.
        """
        rows = [np.arange(data.rows)]
        weights = training_weights(config, data, rows)
        trainer = make_trainer(config, self.lanes(data), rows, evaluate_every or config.checkpoint_epochs, weights)
        with threadpool_limits(1):
            for checkpoint in trainer.resume(self.parameters, [self.batches], [self.dropout], self.descent):
                if checkpoint.diverged.any():
                    raise DivergedError(
                        "The training must keep a finite loss",
                        f"it became {checkpoint.total_loss[0]} by epoch {checkpoint.epoch}",
                        ("Lower ", Setting("learning_rate"), f", now {config.learning_rate:.3g}."),
                    )
                yield checkpoint

    def bundle(self, data: Dataset, about: dict[str, Any]) -> Bundle:
        """The network as it is now, for rows of the columns and classes of these."""
        parameters, names = self.parameters.copy(), (data.class_names, data.target_name)
        bundle = Bundle(self.architecture, parameters, self.scaling, data.columns, *names, about)
        if self.target_centre is None or self.target_scale is None:
            return bundle
        centre, scale = float(self.target_centre[0]), float(self.target_scale[0])
        return replace(bundle, target_centre=centre, target_scale=scale, target_transform=self.target_transform)


@dataclass(frozen=True)
class EarlyStopping:
    """When to stop before the last epoch.

    Attributes:
        validation_fraction: of the rows, set aside to validate on: above 0, below 1; the same share of each class.
        patience: checkpoints in a row without an improvement of the validation loss, after which training ends.
        tolerance: what an improvement is more than.
    """

    validation_fraction: float
    patience: int
    tolerance: float


@dataclass(frozen=True)
class Fit:
    """A trained network and how its training went.

    Attributes:
        network: at its last checkpoint; with early stopping at the one of the lowest validation loss.
        checkpoints: of the training.
        validation_losses: at each of them; empty without early stopping.
    """

    network: ResumableNetwork
    checkpoints: list[Checkpoint]
    validation_losses: list[float] = field(default_factory=list)


def fit(
    config: Config,
    data: Dataset,
    seed: int,
    *,
    evaluate_every: int | None = None,
    early_stopping: EarlyStopping | None = None,
) -> Fit:
    """Train a network on these rows from initial weights to the end.

    Args:
        config: what to train.
        data: to train on, all rows of it but those that ``early_stopping`` sets aside.
        seed: of all that is random.
        evaluate_every: epochs between checkpoints; ``config``'s own if None.
        early_stopping: by default all epochs are done.

    Raises:
        DataError: class weights or a loss that are not for these rows; rows that cannot be set aside.
        DefinitionError: a loss of the other task.
        DivergedError: a loss that is no longer finite.
    """
    if early_stopping is not None:
        return _fit_until_no_better(config, data, seed, evaluate_every, early_stopping)
    network = ResumableNetwork.initial(config, data, seed)
    return Fit(network, list(network.train(config, data, evaluate_every)))


def _fit_until_no_better(
    config: Config, data: Dataset, seed: int, evaluate_every: int | None, stopping: EarlyStopping
) -> Fit:
    training, validation = map(data.take, set_aside(data, stopping.validation_fraction, seed))
    network = ResumableNetwork.initial(config, training, seed)
    rows = PaddedRows.pad([np.arange(validation.rows)], validation.rows, validation_weights(validation, 1))
    evaluator = Evaluator(network.architecture, network.lanes(validation), rows)
    result, best, to_beat, since = Fit(network, []), network.parameters.copy(), np.inf, 0
    for checkpoint in network.train(config, training, evaluate_every):
        loss = float(evaluator.loss(network.parameters)[0])
        if loss < min(result.validation_losses, default=np.inf):
            best[:] = network.parameters
        result.checkpoints.append(checkpoint)
        result.validation_losses.append(loss)
        to_beat, since = (loss, 0) if loss < to_beat - stopping.tolerance else (to_beat, since + 1)
        if since >= stopping.patience:
            break
    # The optimizer is further than the parameters: it begins anew.
    network.parameters[:], network.descent = best, Descent()
    return result


def set_aside(data: Dataset, fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(rows to train on, rows to validate on), in ascending order; the same share of each class.

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
            (
                "must be able to set aside ",
                Setting("validation_fraction", fraction),
                f" of {data.rows} rows, some of every class on both sides",
            ),
            f"cannot: {error}",
            where=Setting("early_stopping"),
        ) from error
    return np.sort(training), np.sort(validation)
