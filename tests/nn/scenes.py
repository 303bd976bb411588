"""Small trainings, complete: what the tests of the core train, alone or in lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference import OPTIMIZERS as RULES
from reference import Layer, Reference
from scipy.stats import yeojohnson

from hpsearch.arrays import FloatArray
from hpsearch.nn.network import NetworkShape, initial_parameters
from hpsearch.nn.optimizers import OPTIMIZERS, SGD, Optimizer, State
from hpsearch.nn.passes import Architecture
from hpsearch.nn.penalties import Penalties, expand_lambdas
from hpsearch.nn.rows import Batching, LaneData, PaddedRows
from hpsearch.nn.trainer import Checkpoint, Trainer
from hpsearch.target_transform import LogTransform, PowerTransform, TargetTransform

CLASSES = 3
QUANTITIES = ("absolute_error", "squared_error")  # losses of a regression target


def spiral(samples: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Three interleaved arms of ``samples`` points in the plane."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), samples)
    radius = np.tile(np.linspace(0, 1, samples), CLASSES)
    angle = 2.5 * (4 * (labels + radius) + 0.2 * draw.standard_normal(len(labels)))
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1), labels


@dataclass(frozen=True)
class Lambdas:
    """One lane's lambdas, one a layer."""

    weight_l1: Sequence[float]
    bias_l1: Sequence[float]
    weight_l2: Sequence[float]
    bias_l2: Sequence[float]

    @classmethod
    def of(cls, layers: int, strength: float) -> Lambdas:
        """Lambdas all different, so that none can stand for another."""
        return cls(*([strength * base / (layer + 1) for layer in range(layers)] for base in (2e-4, 3e-4, 5e-4, 7e-4)))


def penalties(network: NetworkShape, lambdas: Sequence[Lambdas], dtype: Any = np.float64) -> Penalties:
    """The lanes' lambdas, expanded."""
    kind = np.dtype(dtype)
    return Penalties(
        np.stack([expand_lambdas(network, lane.weight_l1, lane.bias_l1, kind) for lane in lambdas]),
        np.stack([expand_lambdas(network, lane.weight_l2, lane.bias_l2, kind) for lane in lambdas]),
    )


@dataclass(frozen=True)
class Scene:
    """A training about to begin."""

    trainer: Trainer
    params: FloatArray
    seeds: tuple[tuple[int, int], ...]
    lambdas: tuple[Lambdas, ...]

    def generators(self) -> list[np.random.Generator]:
        return [np.random.default_rng(seed) for seed in self.seeds]

    def dropping(self) -> list[np.random.Generator]:
        return [np.random.default_rng([*key, 3]) for key in self.seeds]

    def start(self) -> tuple[FloatArray, Iterator[Checkpoint]]:
        """Parameters that the iterator trains in place."""
        params = self.params.copy()
        return params, self.trainer.run(params, self.generators(), self.dropping())

    def run(self) -> tuple[FloatArray, list[Checkpoint]]:
        """The trained parameters and every checkpoint on the way."""
        params, checkpoints = self.start()
        return params, list(checkpoints)

    def change(self, **changes: Any) -> Scene:
        """The same with other attributes of the trainer."""
        return replace(self, trainer=replace(self.trainer, **changes))

    def lane(self, number: int) -> Scene:
        """One lane alone: everything else, padded length included, stays."""
        one, trainer = slice(number, number + 1), self.trainer
        columns = {
            field.name: value[one]
            for field in fields(trainer.optimizer)  # type: ignore[arg-type]
            if isinstance(value := getattr(trainer.optimizer, field.name), np.ndarray)
        }
        alone = replace(
            trainer,
            optimizer=replace(trainer.optimizer, **columns),  # type: ignore[type-var]
            penalties=Penalties(trainer.penalties.l1[one], trainer.penalties.l2[one]),
            learning_rate=trainer.learning_rate[one],
            decay=trainer.decay[one],
            data=seen_by(trainer.data, lambda values: values[one]),
            training=PaddedRows(trainer.training.index[one], trainer.training.counts[one]),
        )
        return Scene(alone, self.params[one], self.seeds[one], self.lambdas[one])

    def rows(self, lane: int, index: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Features and labels, or the regression target, of some rows, as the lane sees them."""
        data = self.trainer.data
        features = (data.features[index] - data.centre[lane]) / data.scale[lane]
        if data.target_centre is None or data.target_scale is None:
            return features, data.labels[index]
        return features, (self.transformed(lane, index) - data.target_centre[lane]) / data.target_scale[lane]

    def transformed(self, lane: int, index: NDArray[np.intp]) -> NDArray[Any]:
        """The regression target of some rows, through the lane's function of it, as NumPy and SciPy have it."""
        data = self.trainer.data
        targets, transform = data.targets[index], data.target_transform
        if isinstance(transform, LogTransform):
            return np.log(targets)
        if isinstance(transform, PowerTransform):
            standard = (targets - transform.mean[lane]) / transform.deviation[lane]
            return yeojohnson(standard, transform.power[lane])
        return targets

    def unit(self, lane: int) -> float:
        """What a loss of the scaled quantity is times for one in its own unit, and a penalty for one in the loss's."""
        transform = self.trainer.data.target_transform
        scale = self.trainer.data.target_scale if transform is None else transform.deviation
        return 1.0 if scale is None else float(scale[lane]) ** (2 if "squared" in self.trainer.architecture.loss else 1)

    def training_rows(self, lane: int) -> NDArray[np.intp]:
        return self.trainer.training.index[lane, : self.trainer.training.counts[lane]]

    def batches(self) -> Iterator[list[NDArray[np.intp]]]:
        """For each update the rows of each lane, without the padding."""
        trainer = self.trainer
        epochs = trainer.batching.epochs(trainer.training, self.generators())
        for _, (rows, weights) in zip(range(trainer.epochs), epochs, strict=False):
            for batch, shares in zip(rows, weights, strict=True):
                yield [lane[share > 0] for lane, share in zip(batch, shares, strict=True)]

    def reference(
        self, lane: int, params: FloatArray | None = None, state: State = (), updates: int = 0, **settings: Any
    ) -> Reference:
        """The lane as a plain network: at the beginning, or with these parameters and this optimizer's state."""
        architecture, lambdas = self.trainer.architecture, self.lambdas[lane]
        name = next(name for name, kind in OPTIMIZERS.items() if kind is type(unwrapped(self.trainer.optimizer)))
        views = architecture.network.named(self.params if params is None else params)
        memories = {key: architecture.network.named(array) for key, array in zip(RULES[name][1], state, strict=False)}
        layers = [
            Layer(
                np.array(views[f"layer{number}.weights"][lane], np.float64),
                np.array(views[f"layer{number}.biases"][lane], np.float64),
                lambdas.weight_l1[number - 1],
                lambdas.weight_l2[number - 1],
                lambdas.bias_l1[number - 1],
                lambdas.bias_l2[number - 1],
                {key: memory[f"layer{number}.weights"][lane].copy() for key, memory in memories.items()},
                {key: memory[f"layer{number}.biases"][lane].copy() for key, memory in memories.items()},
            )
            for number in range(1, len(architecture.network.layers) + 1)
        ]
        return Reference(
            layers,
            architecture.activation,
            architecture.leaky_slope,
            name,
            settings,
            float(self.trainer.learning_rate[lane, 0]),
            float(self.trainer.decay[lane, 0]),
            updates,
            architecture.loss,
        )


def scene(
    *,
    lanes: int = 3,
    neurons: tuple[int, ...] = (8, 6),
    samples: int = 20,
    counts: Sequence[int] | None = None,
    length: int | None = None,
    batch_size: int | None = None,
    optimizer: Optimizer | None = None,
    rates: Sequence[float] | float = 0.1,
    decays: Sequence[float] | None = None,
    strengths: Sequence[float] | None = None,
    activation: str = "relu",
    leaky_slope: float = 0.01,
    initialisation: str = "he",
    dtype: Any = np.float64,
    epochs: int = 10,
    evaluate_every: int = 1,
    seed: int = 0,
    loss: str = "cross_entropy",
    dropout: tuple[float, ...] = (),
    target: str = "standard",
) -> Scene:
    """A training on spirals, whose lanes differ in all that lanes may differ in, unless told otherwise.

    A regression's target may be scaled as ``log`` or ``power`` do.
    """
    outputs = CLASSES if loss == "cross_entropy" else 1
    network, kind = NetworkShape(2, neurons, outputs), np.dtype(dtype)
    features, labels = spiral(samples, seed)
    draw = np.random.default_rng([seed, 1])
    counts = [len(labels) * 4 // 5 - 3 * lane for lane in range(lanes)] if counts is None else counts
    row_sets = [draw.permutation(len(labels))[:count] for count in counts]
    length = max(counts) if length is None else length
    seen = [features[rows] for rows in row_sets]
    centre, scale = np.stack([x.mean(axis=0) for x in seen]), np.stack([x.std(axis=0) + 0.1 for x in seen])
    if loss in QUANTITIES:  # far from 0, in a unit of its own
        targets = 300 + 20 * (features[:, 0] + labels)
        of_lanes = [targets[rows] for rows in row_sets]
        centres, scales = np.array([t.mean() for t in of_lanes]), np.array([t.std() + 0.1 for t in of_lanes])
        bounds = np.array([t.min() - 9 for t in of_lanes]), np.array([t.max() + 9 for t in of_lanes])
        transform: TargetTransform | None = None
        if target != "standard":
            powers = 0.3 * np.arange(lanes) % 2.0  # the first one logarithmic
            constants = (*bounds, scales) if target == "log" else (*bounds, scales, centres, powers)
            transform = (LogTransform if target == "log" else PowerTransform)(*constants)
            seen = [transform.forward(targets[np.newaxis])[lane, rows] for lane, rows in enumerate(row_sets)]
            centres, scales = np.array([z.mean() for z in seen]), np.array([z.std() + 0.1 for z in seen])
        data = LaneData(features, targets, 0, centre, scale, None, centres, scales, transform)
    elif loss == "binary_cross_entropy":
        data = LaneData(features, labels % 2, 2, centre, scale)
    else:
        data = LaneData(features, labels, CLASSES, centre, scale)
    strengths = range(lanes) if strengths is None else strengths
    lambdas = tuple(Lambdas.of(len(network.layers), strength) for strength in strengths)
    rates = np.multiply(rates, [1.0 - 0.2 * lane for lane in range(lanes)]) if np.ndim(rates) == 0 else rates
    decays = [1e-3 * lane for lane in range(lanes)] if decays is None else decays
    seeds = tuple((seed, lane) for lane in range(lanes))
    trainer = Trainer(
        architecture=Architecture(network, activation, leaky_slope, kind, loss),
        optimizer=optimizer or SGD(),
        penalties=penalties(network, lambdas, kind),
        learning_rate=np.array(rates, np.float64)[:, np.newaxis],
        decay=np.array(decays, np.float64)[:, np.newaxis],
        data=data,
        training=PaddedRows.pad(row_sets, length),
        batching=Batching.of(length, batch_size),
        epochs=epochs,
        evaluate_every=evaluate_every,
        dropout=dropout,
    )
    params = initial_parameters(network, initialisation, [np.random.default_rng([*key, 2]) for key in seeds], kind)
    return Scene(trainer, params, seeds, lambdas)


def seen_by(data: LaneData, lanes: Callable[[NDArray[Any]], NDArray[Any]]) -> LaneData:
    """The rows as other lanes see them, given what to do with a column of lanes."""
    names = ("centre", "scale", "fill", "target_centre", "target_scale")
    columns = {name: getattr(data, name) for name in names}
    seen = replace(data, **{name: lanes(values) for name, values in columns.items() if values is not None})
    transform = data.target_transform
    return seen if transform is None else replace(seen, target_transform=transform.each(lanes))


@dataclass(frozen=True)
class Step:
    """One update as an optimizer saw it."""

    number: int
    learning_rate: FloatArray
    before: FloatArray
    state_before: State
    grads: FloatArray
    after: FloatArray
    state_after: State


class Recorder(Optimizer):
    """Another optimizer with a witness."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner, self.steps = inner, list[Step]()

    def init(self, params: FloatArray) -> State:
        return self.inner.init(params)

    def update(self, params: FloatArray, grads: FloatArray, learning_rate: FloatArray, step: int, state: State) -> None:
        before, state_before, given = params.copy(), tuple(array.copy() for array in state), grads.copy()
        self.inner.update(params, grads, learning_rate, step, state)
        after = tuple(array.copy() for array in state)
        self.steps.append(Step(step, learning_rate.copy(), before, state_before, given, params.copy(), after))


def unwrapped(optimizer: Optimizer) -> Optimizer:
    return optimizer.inner if isinstance(optimizer, Recorder) else optimizer


def record(scene: Scene) -> list[Step]:
    """Every update of a scene's training."""
    recorder = Recorder(scene.trainer.optimizer)
    scene.change(optimizer=recorder).run()
    return recorder.steps


def assert_same_bits(one: Scene, together: Scene, lane: int) -> None:
    """A lane alone and among others: the same parameters and the same checkpoints, bit for bit."""
    (alone, alone_points), (among, among_points) = one.run(), together.run()
    assert alone[0].tobytes() == among[lane].tobytes()
    assert [point.epoch for point in alone_points] == [point.epoch for point in among_points]
    for mine, theirs in zip(alone_points, among_points, strict=True):
        for name in ("learning_rate", "training_loss", "penalty", "total_loss", "diverged"):
            assert getattr(mine, name)[0].tobytes() == getattr(theirs, name)[lane].tobytes(), name
