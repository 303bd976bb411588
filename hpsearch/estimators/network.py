"""What a classifier and a regressor share: how a network is trained, and what is known of it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from hpsearch.arrays import FloatArray
from hpsearch.data.dataset import Dataset
from hpsearch.errors import DefinitionError
from hpsearch.estimators.lane import History, Lane, carve, train_until_no_better
from hpsearch.estimators.rows import seed_of
from hpsearch.model.bundle import Bundle
from hpsearch.validation.config import Config


class Network(BaseEstimator):
    """An estimator that is one network."""

    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    random_state: Any
    bundle_: Bundle
    loss_curve_: list[float]
    n_iter_: int
    _lane: Lane

    @property
    def coefs_(self) -> list[FloatArray]:
        """The weights of each layer, (fan_in, fan_out), applied to scaled features."""
        return self._layers("weights")

    @property
    def intercepts_(self) -> list[FloatArray]:
        """The biases of each layer, (fan_out,)."""
        return self._layers("biases")

    @property
    def n_layers_(self) -> int:
        """Layers, inputs and outputs counted."""
        return len(self.bundle_.architecture.network.widths)

    @property
    def loss_(self) -> float:
        """Data loss + penalty on the training rows at the last checkpoint."""
        return self.loss_curve_[-1]

    def _layers(self, what: str) -> list[FloatArray]:
        views = self.bundle_.architecture.network.named(self.bundle_.parameters)
        return [values[0] for name, values in views.items() if name.endswith(what)]

    def _train(self, data: Dataset, config: Config) -> None:
        """From initial parameters to the end."""
        seed, rows = seed_of(self.random_state), np.arange(data.rows)
        if not self.early_stopping:
            lane, history = Lane.begin(config, data, rows, seed), History()
            for checkpoint in lane.train(config, data, rows):
                history.add(checkpoint)
        else:
            self._check_stopping()
            rows, validation = carve(data, self.validation_fraction, seed)
            lane = Lane.begin(config, data, rows, seed)
            patience, tol = self.n_iter_no_change, self.tol
            history = train_until_no_better(lane, config, data, rows, validation, patience, tol)
        scores = [-loss for loss in history.validation_loss]
        self.validation_scores_ = scores if self.early_stopping else None
        self.best_validation_score_ = max(scores) if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else min(history.total_loss)
        self.best_epoch_ = history.epochs[int(np.argmax(scores))] if self.early_stopping else history.epochs[-1]
        self.loss_curve_, self.n_iter_ = history.total_loss, history.epochs[-1]
        self._keep(lane, data, config)

    def _train_on(self, data: Dataset, config: Config) -> None:
        """One epoch more."""
        rows = np.arange(data.rows)
        lane: Lane | None = getattr(self, "_lane", None)
        if lane is None:
            lane = Lane.begin(config, data, rows, seed_of(self.random_state))
            self.loss_curve_, self.n_iter_ = [], 0
        for checkpoint in lane.train(config.replaced({"epochs": 1}), data, rows):
            self.loss_curve_ = [*self.loss_curve_, float(checkpoint.total_loss[0])]
        self.n_iter_ += 1
        self.best_loss_, self.best_epoch_ = min(self.loss_curve_), self.n_iter_
        self.validation_scores_ = self.best_validation_score_ = None
        self._keep(lane, data, config)

    def _keep(self, lane: Lane, data: Dataset, config: Config) -> None:
        about = {"hpsearch": version("hpsearch"), "seed": lane.seed, "train": config.model_dump(mode="json")}
        self._lane, self.bundle_ = lane, lane.bundle(data, about)

    def _check_stopping(self) -> None:
        must: dict[str, tuple[Callable[[Any], bool], str]] = {
            "validation_fraction": (lambda share: 0 < share < 1, "above 0 and below 1"),
            "n_iter_no_change": (lambda count: count >= 1, "at least 1"),
            "tol": (lambda least: least >= 0, "at least 0"),
        }
        for name, (holds, what) in must.items():
            value = getattr(self, name)
            if not isinstance(value, Real) or not holds(value):
                raise DefinitionError(f"{type(self).__name__}: {name} must be a number {what}, but is {value!r}.")

    def _answers(self, X: Any) -> FloatArray:
        check_is_fitted(self, "bundle_")
        rows = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], order="C")
        return self.bundle_.answers(rows)


def in_one_go(network: Network) -> bool:
    """Whether a network trains on all rows that it is given, as ``partial_fit`` must."""
    if network.early_stopping:
        raise AttributeError("partial_fit needs early_stopping=False: of a part of the rows none can be set aside.")
    return True


def assign(estimator: BaseEstimator, given: Mapping[str, Any]) -> None:
    """Keep constructor arguments under their names, which is all that scikit-learn lets a constructor do."""
    for name, value in given.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)
