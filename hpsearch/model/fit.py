"""The one way to train networks for good: for what is saved, for the estimators, and wherever one is looked at.

What is fitted is an ensemble: members of one configuration, trained as lanes of one call, whose predictions are
averaged. All members see all rows, as in the deep ensembles of Lakshminarayanan, Pritzel & Blundell (2017); they differ
in everything random. By the convexity of the losses the average loses no more than the members do on average (Krogh &
Vedelsby 1995 for the squared error). One member is a single network, and member 0 of an ensemble has its bits.

It is the search's own pipeline on all rows given. Whatever is learnt from rows is learnt from the training rows by
their weights: a row of weight 2 counts as two rows and one of weight 0 as none in the features' scaling, in what fills
missing values, in a regression target's scaling, and in the training loss. Class weights count in the training
loss alone. Initial weights, the order of mini-batches and dropout come from streams that no trial draws from, member m
of a study's seed from the streams of repeat m.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from hpsearch.numbers import plural
from hpsearch.target_transform import TargetTransform
from hpsearch.threads import one_thread
from hpsearch.validation.config import Config
from hpsearch.validation.lanes import (
    architecture_of,
    fit_scalings,
    lane_data,
    make_trainer,
    training_weights,
    validation_weights,
)

MOST_NEW_SEEDS = 2  # that a member may be given, one after the other, because it diverged


@dataclass
class ResumableEnsemble:
    """Members in training, one lane each, and all it takes to go on with them.

    Attributes:
        architecture: shape, activation, number type.
        optimizer: its name.
        seed: of initial weights, batches and dropout.
        scaling: of the features, learnt from the rows that it began with.
        parameters: (M, P), trained in place.
        target_centre, target_scale: (1,), of a regression target, learnt likewise; None for classes.
        target_transform: of it, likewise; None if it has none.
        batches, dropout: of each member, where the order of mini-batches comes from, and what dropout drops.
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
    batches: list[np.random.Generator]
    dropout: list[np.random.Generator]
    descent: Descent = field(default_factory=Descent)

    @classmethod
    def initial(cls, config: Config, data: Dataset, seed: int, repeats: Sequence[int]) -> ResumableEnsemble:
        """Members before their first update, to be trained on these rows.

        Args:
            config: what to train.
            data: the rows.
            seed: of all that is random.
            repeats: of the seed's streams, one a member.
        """
        rows = [np.arange(data.rows)]
        (scaling,) = fit_scalings(data, rows, config.scaling, True, seed)  # new rows may lack any value
        lanes = lane_data(data, [scaling], rows, config.target_scaling)
        architecture = architecture_of(config, data.features.shape[1], len(data.class_names))
        weights, batches, dropout = (
            [seeds.generator(seed, f"retrain-{what}", repeat) for repeat in repeats]
            for what in ("weights", "batches", "dropout")
        )
        parameters = initial_parameters(architecture.network, config.init, weights, architecture.dtype)
        target = lanes.target_centre, lanes.target_scale, lanes.target_transform
        return cls(architecture, config.optimizer, seed, scaling, parameters, *target, batches, dropout)

    @property
    def members(self) -> int:
        """M."""
        return len(self.parameters)

    def lanes(self, data: Dataset, new: bool = True) -> LaneData:
        """Rows as the members see them, scaled as those that they began with, which these are unless they are new."""
        scaling = self.scaling.of_new_rows() if new else self.scaling
        lane = lane_data(data, [scaling], [np.arange(data.rows)])
        target = {name: getattr(self, name) for name in ("target_centre", "target_scale", "target_transform")}
        return replace(lane, **target).repeated(self.members)

    def train(self, config: Config, data: Dataset, evaluate_every: int | None = None) -> Iterator[Checkpoint]:
        """Train on these rows for the epochs of ``config``, from where the members are, or until all have diverged.

        Trained for k epochs and then for m more on the same rows, they have the bits of k + m epochs. Where categories
        are encoded they must be the rows that the members began with.

        Args:
            config: of the same network and optimizer.
            data: to train on, all rows of it.
            evaluate_every: epochs between checkpoints; ``config``'s own if None.
        """
        rows = [np.arange(data.rows)] * self.members
        weights = training_weights(config, data, rows)
        trainer = make_trainer(
            config, self.lanes(data, new=False), rows, evaluate_every or config.checkpoint_epochs, weights
        )
        with one_thread():
            for checkpoint in trainer.run(self.parameters, self.batches, self.dropout, self.descent):
                yield checkpoint
                if checkpoint.diverged.all():
                    return

    def bundle(self, data: Dataset, about: dict[str, Any]) -> Bundle:
        """The members as they are now, for rows of the columns and classes of these."""
        parameters, names = self.parameters.copy(), (data.class_names, data.target_name)
        scaling = self.scaling.of_new_rows()
        bundle = Bundle(self.architecture, parameters, scaling, data.columns, *names, about)
        if self.target_centre is None or self.target_scale is None:
            return bundle
        centre, scale = float(self.target_centre[0]), float(self.target_scale[0])
        return replace(bundle, target_centre=centre, target_scale=scale, target_transform=self.target_transform)


@dataclass(frozen=True)
class EarlyStopping:
    """When to stop before the last epoch.

    Attributes:
        validation_fraction: of the rows, set aside to validate on: above 0, below 1; see :func:`set_aside`.
        patience: checkpoints in a row without an improvement of the validation loss, after which training ends.
        tolerance: what an improvement is more than.
    """

    validation_fraction: float
    patience: int
    tolerance: float


@dataclass(frozen=True)
class Fit:
    """A trained ensemble and how its training went.

    Attributes:
        ensemble: at its last checkpoint; with early stopping at the one where the validation loss of its averaged
            predictions is lowest.
        checkpoints: of the training.
        validation_losses: of the averaged predictions, at each of them; empty without early stopping.
        trained_again: how often a member was given another seed because it had diverged.
    """

    ensemble: ResumableEnsemble
    checkpoints: list[Checkpoint] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    trained_again: int = 0

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """(M,): members whose loss was not a finite number at some checkpoint."""
        lost: NDArray[np.bool_] = np.any([point.diverged for point in self.checkpoints], axis=0)
        return lost


def fit(
    config: Config,
    data: Dataset,
    seed: int,
    *,
    members: int = 1,
    evaluate_every: int | None = None,
    early_stopping: EarlyStopping | None = None,
) -> Fit:
    """Train an ensemble on these rows from initial weights to the end.

    Where members diverge, they are given the next seeds that none has had, and all are trained anew, twice at most: the
    others get the bits that they had.

    Args:
        config: what to train.
        data: to train on, all rows of it but those that ``early_stopping`` sets aside.
        seed: of all that is random.
        members: M.
        evaluate_every: epochs between checkpoints; ``config``'s own if None.
        early_stopping: by default all epochs are done.

    Raises:
        DataError: class weights or a loss that are not for these rows; rows that cannot be set aside.
        DefinitionError: a loss of the other task.
        DivergedError: a member whose loss is no longer finite, whatever its seed.
    """
    repeats, unused, again = list(range(members)), members, 0
    while True:
        done = _fit_once(config, data, seed, repeats, evaluate_every, early_stopping)
        if not done.diverged.any():
            return replace(done, trained_again=unused - members)
        if again == MOST_NEW_SEEDS:
            raise diverged_error(config, done.checkpoints, 1 + again)
        again += 1
        for member in np.flatnonzero(done.diverged):
            repeats[member], unused = unused, unused + 1


def diverged_error(config: Config, checkpoints: Sequence[Checkpoint], seeds_tried: int = 1) -> DivergedError:
    """What to say of a training that diverged.

    Args:
        config: what was trained.
        checkpoints: of the training, one of them with a member that diverged.
        seeds_tried: how many, one after the other, each with this end.
    """
    first = next(point for point in checkpoints if point.diverged.any())
    lost, members = np.flatnonzero(first.diverged), len(first.diverged)
    whose = "it" if members == 1 else f"that of {len(lost)} of {plural(members, 'network')}"
    tried = "" if seeds_tried == 1 else f", with {seeds_tried} seeds in turn"
    return DivergedError(
        "The training must keep a finite loss",
        f"{whose} became {first.total_loss[lost[0]]} by epoch {first.epoch}{tried}",
        ("Lower ", Setting("learning_rate"), f", now {config.learning_rate:.3g}."),
    )


def _fit_once(
    config: Config,
    data: Dataset,
    seed: int,
    repeats: Sequence[int],
    evaluate_every: int | None,
    early_stopping: EarlyStopping | None,
) -> Fit:
    """Members of these repeats of the seed's streams, some of which may have diverged."""
    if early_stopping is not None:
        return _fit_until_no_better(config, data, seed, repeats, evaluate_every, early_stopping)
    ensemble = ResumableEnsemble.initial(config, data, seed, repeats)
    return Fit(ensemble, list(ensemble.train(config, data, evaluate_every)))


def _fit_until_no_better(
    config: Config,
    data: Dataset,
    seed: int,
    repeats: Sequence[int],
    evaluate_every: int | None,
    stopping: EarlyStopping,
) -> Fit:
    """Likewise; a member that diverges ends it at once, since there is no average to validate."""
    training, validation = map(data.take, set_aside(data, stopping.validation_fraction, seed))
    ensemble = ResumableEnsemble.initial(config, training, seed, repeats)
    members = ensemble.members
    rows = [np.arange(validation.rows)] * members
    padded = PaddedRows.pad(rows, validation.rows, validation_weights(validation, members))
    evaluator = Evaluator(ensemble.architecture, ensemble.lanes(validation), padded)
    result, best, to_beat, since = Fit(ensemble), ensemble.parameters.copy(), np.inf, 0
    for checkpoint in ensemble.train(config, training, evaluate_every):
        result.checkpoints.append(checkpoint)
        if checkpoint.diverged.any():
            return result
        loss = evaluator.loss_of_average(ensemble.parameters)
        if loss < min(result.validation_losses, default=np.inf):
            best[:] = ensemble.parameters
        result.validation_losses.append(loss)
        to_beat, since = (loss, 0) if loss < to_beat - stopping.tolerance else (to_beat, since + 1)
        if since >= stopping.patience:
            break
    # The optimizer is further than the parameters: it begins anew.
    ensemble.parameters[:], ensemble.descent = best, Descent()
    return result


def set_aside(data: Dataset, fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(rows to train on, rows to validate on), in ascending order; the same share of each class.

    Where there are too few rows for that (a class of one, or fewer rows to validate on than classes), they are drawn at
    random, and of each class one is trained on as long as there are others to validate on.

    Raises:
        DataError: no row would be left to train on.
    """
    from sklearn.model_selection import train_test_split

    draw, count = seeds.integer_seed(seed, "holdout"), math.ceil(fraction * data.rows)
    if count >= data.rows:
        raise DataError(
            ("must leave a row to train on beside ", Setting("validation_fraction", fraction)),
            f"of n_samples = {data.rows} it leaves none",  # the words that scikit-learn's checks look for
            where=Setting("early_stopping"),
        )
    counts = np.unique(data.labels, return_counts=True)[1] if data.class_names else np.empty(0, np.intp)
    if len(counts) and (counts.min() < 2 or min(count, data.rows - count) < len(counts)):
        dealt = np.random.default_rng(draw).permutation(data.rows)
        kept = dealt[np.unique(data.labels[dealt], return_index=True)[1]]
        dealt = np.concatenate([dealt[~np.isin(dealt, kept)], kept])
        return np.sort(dealt[count:]), np.sort(dealt[:count])
    stratify = data.labels if len(counts) else None
    training, validation = train_test_split(
        np.arange(data.rows), test_size=fraction, stratify=stratify, random_state=draw
    )
    return np.sort(training), np.sort(validation)
