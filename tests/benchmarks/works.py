"""The works that are timed: rows, splits and settings, the same for everyone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpsearch import seeds
from hpsearch.data.dataset import Dataset
from hpsearch.data.preprocess import Scaling
from hpsearch.data.sources import SOURCES
from hpsearch.data.splits import Split, SplitOptions, make_splits
from hpsearch.nn.network import NetworkShape, initial_parameters
from hpsearch.validation.config import Config
from hpsearch.validation.lanes import fit_scalings

FOLDS = 5


@dataclass(frozen=True)
class Work:
    """Five networks, one a fold, to be trained with Adam and L2 on all weights.

    Attributes:
        key, title: how tables name it.
        source: of the package, or ``made``: normal features of unlike scales, all of which matter.
        neurons: of the hidden layers.
        batch_size: None is full batch.
        inputs, classes, rows: of made data, of which four fifths are each fold's training rows.
    """

    key: str
    title: str
    source: str
    neurons: tuple[int, ...]
    batch_size: int | None = None
    inputs: int = 0
    classes: int = 2
    rows: int = 4000  # 3,200 training rows: batches of 128 and of 32 come out even
    learning_rate: float = 0.01
    l2: float = 5e-4

    @cached_property
    def data(self) -> Dataset:
        if self.source != "made":
            return SOURCES[self.source].model_validate({"source": self.source}).load(Path(), 7)
        draw = np.random.default_rng(7)
        features = draw.standard_normal((self.rows, self.inputs)) * draw.uniform(0.1, 10, self.inputs)
        directions = draw.standard_normal((self.inputs, self.classes)) / features.std(axis=0)[:, np.newaxis]
        scores = features @ directions + draw.standard_normal((self.rows, self.classes))
        return Dataset.of(features, scores.argmax(axis=1))

    @cached_property
    def splits(self) -> tuple[Split, ...]:
        splits = make_splits(self.data, "kfold", SplitOptions(FOLDS), 7)
        # Equal folds: what PyTorch and JAX batch has no padding.
        fewest = min(len(split.training) for split in splits)
        return tuple(replace(split, training=split.training[:fewest]) for split in splits)

    @cached_property
    def scalings(self) -> list[Scaling]:
        return fit_scalings(self.data, [split.training for split in self.splits], "standard")

    @cached_property
    def scaled(self) -> list[tuple[NDArray[np.float64], NDArray[np.intp]]]:
        """The training rows and labels of each fold, standardised beforehand: what every peer is given."""
        return [
            (scaling.apply(self.data.features[split.training]), self.data.labels[split.training])
            for scaling, split in zip(self.scalings, self.splits, strict=True)
        ]

    @cached_property
    def network(self) -> NetworkShape:
        return NetworkShape(self.data.features.shape[1], self.neurons, len(self.data.class_names))

    def config(self, epochs: int) -> Config:
        return Config(
            neurons=self.neurons,
            init="he",
            learning_rate=self.learning_rate,
            weight_l2=self.l2,
            epochs=epochs,
            batch_size=self.batch_size or "full",
        )

    def initial(self, dtype: type = np.float64) -> list[NDArray[np.float64]]:
        """Initial parameters of all folds: (5, fan_in + 1, fan_out), weights above biases, one a dense layer."""
        generators = [seeds.generator(7, "weights", 0, fold) for fold in range(FOLDS)]
        flat = initial_parameters(self.network, "he", generators, np.dtype(dtype))
        return [block.matrix(flat).copy() for block in self.network.layers]

    @property
    def training_rows(self) -> int:
        return max(len(split.training) for split in self.splits)

    @property
    def steps(self) -> int:
        """Updates of an epoch."""
        return 1 if self.batch_size is None else -(-self.training_rows // self.batch_size)

    @property
    def flops(self) -> int:
        """Multiplications and additions of a fold-step's matrix products."""
        rows = self.batch_size or self.training_rows
        sizes = [(block.fan_in + 1) * block.fan_out for block in self.network.layers]
        inward = sum(block.fan_in * block.fan_out for block in self.network.layers[1:])
        return 2 * rows * (2 * sum(sizes) + inward)


WORKS = {
    work.key: work
    for work in (
        Work("A", "spiral, full batch", "nnfs:spiral", (64,)),
        Work("B", "tabular, batch 128", "made", (64,), 128, inputs=30),
        Work("C", "tabular, batch 32", "made", (32,), 32, inputs=30),
        Work("D", "digits, full batch", "sklearn:digits", (128,)),
        Work("E", "deep, batch 128", "made", (128, 128), 128, inputs=64, classes=10),
    )
}
