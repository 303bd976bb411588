"""The networks of some splits once more, and what they predict for rows whose columns have other rows' values.

A cross-validation keeps what its networks predicted, not the networks. They follow from the configuration, the splits
and the seed, so they can be trained again, to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hpsearch.arrays import Array, FloatArray, IntArray
from hpsearch.data.dataset import Dataset
from hpsearch.data.matrix import is_large
from hpsearch.data.preprocess import Scaling
from hpsearch.data.splits import Split
from hpsearch.nn.passes import Architecture, Evaluator
from hpsearch.nn.rows import LaneData, PaddedRows
from hpsearch.validation.config import Config
from hpsearch.validation.lanes import SplitTraining, lane_data, repeats_of

# Of one block of features: the row (N,) that each row has the values of, to predictions (M, A).
Replaced = Callable[[IntArray], Array]


@dataclass(frozen=True)
class FoldNetworks:
    """Trained networks, one a split, and rows for which those of a split that validates them predict.

    Attributes:
        data: the rows.
        splits: the lanes.
        architecture: the networks'.
        parameters: (L, P).
        lanes: the rows as the networks see them.
    """

    data: Dataset
    splits: tuple[Split, ...]
    architecture: Architecture
    parameters: FloatArray
    lanes: LaneData

    @classmethod
    def train(
        cls,
        data: Dataset,
        splits: Sequence[Split],
        config: Config,
        study_seed: int,
        scalings: Sequence[Scaling],
    ) -> FoldNetworks:
        """Train the networks that :func:`~hpsearch.validation.cross_validate.cross_validate` has after the last epoch.

        Args:
            data: the rows that the splits index.
            splits: the lanes, in this order.
            config: shared by all lanes.
            study_seed: as there.
            scalings: what ``config.scaling`` learns from each split's training rows.
        """
        row_sets = [split.training for split in splits]
        sizes, parameters = [*map(len, row_sets)], []
        # Of many rows one repeat after the other, in a fraction of the memory.
        for part in repeats_of(splits) if is_large(*data.features.shape) else [slice(0, len(splits))]:
            networks = SplitTraining.of(data, splits[part], config, study_seed, scalings[part], config.epochs, sizes)
            for _ in networks.run():
                pass
            parameters.append(networks.parameters)
            architecture = networks.trainer.architecture
            del networks
        lanes = lane_data(data, scalings, row_sets, config.target_scaling).of(data.features, data.labels)
        return cls(data, tuple(splits), architecture, np.concatenate(parameters), lanes)

    def on(self, rows: IntArray) -> FoldNetworks:
        """The same for some of the rows, ascending, which are numbered anew."""
        if len(rows) == self.data.rows:
            return self
        data, nothing = self.data.take(rows), np.empty(0, np.intp)
        kept = (split.validation[np.isin(split.validation, rows)] for split in self.splits)
        splits = tuple(
            replace(split, training=nothing, validation=np.searchsorted(rows, validation))
            for split, validation in zip(self.splits, kept, strict=True)
        )
        return replace(self, data=data, splits=splits, lanes=self.lanes.of(data.features, data.labels))

    @cached_property
    def _padded(self) -> PaddedRows:
        """A split that validates none of these rows is given the first one, of which nobody hears."""
        row_sets = [split.validation if len(split.validation) else np.zeros(1, np.intp) for split in self.splits]
        return PaddedRows.pad(row_sets, max(map(len, row_sets)))

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self.architecture, self.lanes, self._padded)

    @cached_property
    def _sums(self) -> FloatArray:
        return self._evaluator.sums(self.parameters)

    @cached_property
    def predictions(self) -> Array:
        """What each network predicts for the rows that its split validates, (M, A), those of split 0 first."""
        return self._flat(self._evaluator.evaluate(self.parameters).predictions)

    def replaced(self, places: slice) -> Replaced:
        """The same where some features of each row are another row's, for any choice of rows.

        Args:
            places: of the features, all of one column.
        """
        seen, index = self.lanes.seen(places, self.architecture.dtype), self._padded.index
        lanes = np.arange(len(index))[:, np.newaxis]
        own = seen[lanes, index]

        def predict(rows: IntArray) -> Array:
            with np.errstate(invalid="ignore"):  # of a feature beyond its number type
                changes = (seen[lanes, rows[index]] - own).swapaxes(1, 2)
            return self._flat(self._evaluator.changed(self.parameters, self._sums, places, changes))

        return predict

    def _flat(self, predictions: FloatArray) -> Array:
        of_lanes = predictions.swapaxes(1, 2)
        counts = [len(split.validation) for split in self.splits]
        return np.concatenate([of_lane[:count] for of_lane, count in zip(of_lanes, counts, strict=True)])
