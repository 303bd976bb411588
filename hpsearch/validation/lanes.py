"""From a configuration to the trainer's lanes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch import seeds
from hpsearch.arrays import FloatArray, IntArray
from hpsearch.data.dataset import Dataset
from hpsearch.data.encodings import fit_encodings
from hpsearch.data.given import features_of_splits
from hpsearch.data.matrix import is_large
from hpsearch.data.preprocess import Scaling, fit_scaling
from hpsearch.data.splits import Split
from hpsearch.data.target_scaling import fit_target, require_scalable
from hpsearch.errors import DataError, Setting, did_you_mean, quoted
from hpsearch.nn.losses import LOSSES
from hpsearch.nn.network import NetworkShape, initial_parameters
from hpsearch.nn.optimizers import OPTIMIZERS
from hpsearch.nn.passes import Architecture
from hpsearch.nn.penalties import Penalties, expand_lambdas
from hpsearch.nn.rows import Batching, LaneData, PaddedRows
from hpsearch.nn.trainer import Checkpoint, Trainer
from hpsearch.validation.config import Config


def architecture_of(config: Config, inputs: int, classes: int) -> Architecture:
    """The network that a configuration describes, for data of this shape; ``classes`` is 0 in a regression.

    Raises:
        DataError: a loss that is not for so many classes.
        DefinitionError: a loss that is not for classes, or for nothing else.
    """
    loss = config.loss_name("classification" if classes else "regression")
    network = NetworkShape(inputs, config.by_layer("neurons"), LOSSES[loss].outputs(classes))
    return Architecture(network, config.activation, config.leaky_slope, config.number_type, loss)


def fit_scalings(
    data: Dataset,
    row_sets: Sequence[IntArray],
    scaling: str,
    fill_all: bool = False,
    study_seed: int = 0,
    features: Sequence[NDArray[Any]] | None = None,
) -> list[Scaling]:
    """One scaling a lane, each learnt from that lane's training rows alone, by their weights; see :func:`fit_scaling`.

    In the search as in what is fitted for good: what is scored is what is shipped.

    Args:
        data: the rows.
        row_sets: the training rows of each lane.
        scaling: its name.
        fill_all: learn what would fill a missing value of every column.
        study_seed: what the folds of :func:`hpsearch.data.encodings.fit_encodings` are dealt from.
        features: what the data's preprocessing makes of the rows in each lane, if that is known already.
    """
    if data.preprocessing is not None:
        made = features or features_of_splits(data.preprocessing, row_sets)
        return [
            replace(fit_scaling(scaling, of_lane, rows, weights=data.weights), features=of_lane)
            for of_lane, rows in zip(made, row_sets, strict=True)
        ]
    seed = seeds.integer_seed(study_seed, "encoding")
    return [
        fit_scaling(
            *(scaling, data.features, rows, data.columns, fill_all, data.weights), fit_encodings(data, rows, seed)
        )
        for rows in row_sets
    ]


def lane_data(
    data: Dataset, scalings: Sequence[Scaling], row_sets: Sequence[IntArray], target_scaling: str = "standard"
) -> LaneData:
    """The rows as the lanes see them: shared, each lane with its own scaling.

    Args:
        data: the rows.
        scalings: of the features, one a lane.
        row_sets: the training rows of each lane, which a regression target's scaling is learnt from, by their weights.
        target_scaling: its name; see :func:`hpsearch.data.target_scaling.fit_target`.

    Raises:
        DataError: targets that the scaling is not for, trained on or not.
    """
    centre, scale = (np.stack([getattr(s, part) for s in scalings]) for part in ("centre", "scale"))
    fills = [s.fill for s in scalings if s.fill is not None]
    fill = np.stack(fills) if fills and data.columns.may_miss else None
    powers = [s.lambdas for s in scalings]
    lambdas = None  # 1 is the identity
    if any(of_lane is not None for of_lane in powers):
        lambdas = np.stack([np.ones(centre.shape[1]) if of_lane is None else of_lane for of_lane in powers])
    if data.features.dtype == np.float32 and is_large(*data.features.shape):
        centre, scale, fill, lambdas = _narrowed(centre, scale, fill, lambdas)
    encodings = tuple(of_lane.encodings for of_lane in scalings) if scalings[0].encodings else None
    lanes = LaneData(
        *(data.features, data.labels, len(data.class_names), centre, scale, fill),
        lambdas=lambdas,
        encodings=encodings,
        features_by_lane=tuple(s.features for s in scalings if s.features is not None) or None,
    )
    if data.task == "classification":
        return lanes
    require_scalable(target_scaling, data.labels)
    weights = [None if data.weights is None else data.weights[rows] for rows in row_sets]
    fitted = [fit_target(target_scaling, data.labels[rows], w) for rows, w in zip(row_sets, weights, strict=True)]
    transforms = [of_lane.transform for of_lane in fitted if of_lane.transform is not None]
    return replace(
        lanes,
        target_centre=np.array([of_lane.centre for of_lane in fitted]),
        target_scale=np.array([of_lane.scale for of_lane in fitted]),
        target_transform=type(transforms[0]).stack(transforms) if transforms else None,
    )


def _narrowed(*values: NDArray[Any] | None) -> list[Any]:
    """In single precision, as the rows are, if all values are numbers there and none vanishes.

    Of many rows no lane has a scaled copy, so that each batch is scaled anew: in half the time. A rounded centre moves
    all rows of a column alike, by less than what tells its numbers apart.
    """
    with np.errstate(over="ignore", under="ignore"):
        narrow = [None if of_all is None else of_all.astype(np.float32) for of_all in values]
    kept = all(
        of_all is None or of_narrow is None or (np.isfinite(of_narrow) & ((of_narrow == 0) == (of_all == 0))).all()
        for of_all, of_narrow in zip(values, narrow, strict=True)
    )
    return narrow if kept else list(values)


def training_weights(config: Config, data: Dataset, row_sets: Sequence[IntArray]) -> NDArray[np.float64] | None:
    """What each row counts in each lane's training loss, (L, N): its weight times its class's; None if all alike.

    The rows' own weights say how many rows each stands for, in training and in validation. Class weights are a device
    of the training alone. ``balanced`` is scikit-learn's: the rows of the lane over classes × rows of the class, rows
    counting by their own weights; a class that a table leaves out counts 1.

    Raises:
        DataError: a class that there is not; a lane whose training rows all count 0.
    """
    if config.class_weight is None and data.weights is None:
        return None
    own = np.ones(data.rows) if data.weights is None else data.weights
    weights = np.tile(own, (len(row_sets), 1))
    if config.class_weight is not None:
        weights *= np.stack([_class_weights(config, data, own, rows)[data.labels] for rows in row_sets])
    for lane, rows in enumerate(row_sets):
        if not weights[lane, rows].any():
            raise DataError(
                "Some training row must have a weight above 0",
                f"of split {lane} none has",
                ("Raise ", Setting("class_weight"), ", or the rows' weights."),
            )
    return weights


def _class_weights(config: Config, data: Dataset, own: NDArray[np.float64], rows: IntArray) -> NDArray[np.float64]:
    """(C,), for a lane that trains on ``rows``."""
    weights, given = np.ones(len(data.class_names)), config.class_weight
    if given == "balanced":
        counts = np.bincount(data.labels[rows], own[rows], len(weights))
        there = counts > 0
        weights[there] = counts.sum() / (there.sum() * counts[there])
    elif given is not None:
        for name, weight in given.items():
            if name not in data.class_names:
                do = did_you_mean(name, data.class_names)
                raise DataError("must name classes of the data", f"{quoted(name)} is none", do, Setting("class_weight"))
            weights[data.class_names.index(name)] = weight
    return weights


def validation_weights(data: Dataset, lanes: int) -> NDArray[np.float64] | None:
    """What each row counts in each lane's validation, (L, N): its own weight; None if all alike."""
    return None if data.weights is None else np.broadcast_to(data.weights, (lanes, data.rows))


def make_trainer(
    config: Config,
    data: LaneData,
    training: Sequence[IntArray],
    evaluate_every: int,
    weights: NDArray[np.float64] | None = None,
    sizes: Sequence[int] | None = None,
) -> Trainer:
    """A trainer whose lanes share one configuration and differ in their training rows; see :func:`training_weights`.

    ``sizes`` are the numbers of training rows of all lanes there are, where these are not all: batches are cut for all.
    """
    architecture = architecture_of(config, data.inputs, data.classes)
    network, dtype = architecture.network, architecture.dtype
    sizes = sizes or [*map(len, training)]
    fewest_rows, most_rows = min(sizes), max(sizes)
    batch_size = None if config.batch_size == "full" else config.batch_size
    # Batches of one row: the shorter lanes have no row for the last step, so some batches of the longer ones get two.
    steps = min(Batching.of(most_rows, batch_size).steps, fewest_rows)
    lambdas = {
        norm: expand_lambdas(network, config.by_layer(f"weight_{norm}"), config.by_layer(f"bias_{norm}"), dtype)
        for norm in ("l1", "l2")
    }
    each = np.ones((data.lanes, 1))
    return Trainer(
        architecture=architecture,
        optimizer=OPTIMIZERS[config.optimizer](**config.optimizer_settings()),
        penalties=Penalties(**{norm: np.tile(values, (data.lanes, 1)) for norm, values in lambdas.items()}),
        learning_rate=config.learning_rate * each,
        decay=config.decay * each,
        data=data,
        training=PaddedRows.pad(training, most_rows, weights),
        batching=Batching(steps, -(-most_rows // steps)),
        epochs=config.epochs,
        evaluate_every=evaluate_every,
        dropout=config.by_layer("dropout") if np.any(config.by_layer("dropout")) else (),
    )


def repeats_of(splits: Sequence[Split]) -> list[slice]:
    """Those splits that are of one repeat, one repeat after the other."""
    begins = [place for place, split in enumerate(splits) if not place or split.repeat != splits[place - 1].repeat]
    return [slice(begin, end) for begin, end in zip(begins, [*begins[1:], len(splits)], strict=True)]


@dataclass(frozen=True)
class SplitTraining:
    """One network a split, before its first update.

    Attributes:
        lanes: the rows as they see them.
        trainer: of them all.
        parameters: (L, P), trained in place.
        batches, dropout: of each network, where the order of mini-batches comes from, and what dropout drops.
    """

    lanes: LaneData
    trainer: Trainer
    parameters: FloatArray
    batches: list[np.random.Generator]
    dropout: list[np.random.Generator]

    @classmethod
    def of(
        cls,
        data: Dataset,
        splits: Sequence[Split],
        config: Config,
        study_seed: int,
        scalings: Sequence[Scaling],
        evaluate_every: int,
        sizes: Sequence[int] | None = None,
    ) -> SplitTraining:
        """The networks of these splits, of a configuration.

        Args:
            data: the rows that the splits index.
            splits: the lanes, in this order.
            config: shared by all of them.
            study_seed: initial weights and batch order follow from it, the repeat and the split.
            scalings: of the features, one a split.
            evaluate_every: epochs between checkpoints.
            sizes: see :func:`make_trainer`.
        """
        row_sets = [split.training for split in splits]
        lanes = lane_data(data, scalings, row_sets, config.target_scaling)
        weights = training_weights(config, data, row_sets)
        trainer = make_trainer(config, lanes, row_sets, evaluate_every, weights, sizes)

        def streams(stream: str) -> list[np.random.Generator]:
            return [seeds.generator(study_seed, stream, split.repeat, split.fold) for split in splits]

        architecture = trainer.architecture
        parameters = initial_parameters(architecture.network, config.init, streams("weights"), architecture.dtype)
        return cls(lanes, trainer, parameters, streams("batches"), streams("dropout"))

    def run(self) -> Iterator[Checkpoint]:
        """Train, stopping at each checkpoint; whoever iterates decides whether to go on."""
        return self.trainer.run(self.parameters, self.batches, self.dropout)
