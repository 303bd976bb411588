"""What a classifier and a regressor share: how a network is trained, and what is known of it afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from hpsearch.arrays import FloatArray
from hpsearch.data.dataset import Dataset
from hpsearch.data.frames import expand_frame
from hpsearch.errors import DefinitionError, Setting, located, quoted
from hpsearch.estimators.arguments import config_of, members_of, require_frame, seed_of
from hpsearch.estimators.wording import wording_of
from hpsearch.model.bundle import Bundle
from hpsearch.model.fit import EarlyStopping, ResumableEnsemble, diverged_error, fit
from hpsearch.validation.config import Config
from hpsearch.validation.lanes import architecture_of


class NetworkEstimator(BaseEstimator):
    """An estimator that is one network, or the average of several."""

    members: Any
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    random_state: Any
    columns: Mapping[str, Any] | None
    bundle_: Bundle
    loss_curve_: list[float]
    n_iter_: int
    _ensemble: ResumableEnsemble

    @property
    def coefs_(self) -> list[FloatArray]:
        """The weights of each layer, (fan_in, fan_out), applied to scaled features; of M > 1 members
        (M, fan_in, fan_out)."""
        return self._layers("weights")

    @property
    def intercepts_(self) -> list[FloatArray]:
        """The biases of each layer, (fan_out,); of M > 1 members (M, fan_out)."""
        return self._layers("biases")

    @property
    def n_layers_(self) -> int:
        """Layers, inputs and outputs counted."""
        return len(self.bundle_.architecture.network.widths)

    @property
    def loss_(self) -> float:
        """Data loss + penalty on the training rows at the last checkpoint, the mean over the members."""
        return self.loss_curve_[-1]

    def _layers(self, what: str) -> list[FloatArray]:
        views = self.bundle_.architecture.network.named(self.bundle_.parameters)
        single = self.bundle_.members == 1
        return [values[0] if single else values for name, values in views.items() if name.endswith(what)]

    def _fit_network(self, data: Dataset, config: Config) -> None:
        """From initial parameters to the end."""
        members, stopping = members_of(self), self._stopping() if self.early_stopping else None
        with located(wording=wording_of()):
            done = fit(config, data, seed_of(self.random_state), members=members, early_stopping=stopping)
        epochs, scores = [point.epoch for point in done.checkpoints], [-loss for loss in done.validation_losses]
        self.loss_curve_, self.n_iter_ = [float(point.total_loss.mean()) for point in done.checkpoints], epochs[-1]
        self.validation_scores_ = scores if self.early_stopping else None
        self.best_validation_score_ = max(scores) if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else min(self.loss_curve_)
        self.best_epoch_ = epochs[int(np.argmax(scores))] if self.early_stopping else epochs[-1]
        self._set_ensemble(done.ensemble, data, config)

    def _train_one_epoch(self, data: Dataset, names_by_label: Mapping[Any, str]) -> None:
        """From where the members are, if there are any, in the number type that they have."""
        ensemble: ResumableEnsemble | None = getattr(self, "_ensemble", None)
        members = members_of(self)
        number_type = data.features.dtype if ensemble is None else ensemble.architecture.dtype
        config = config_of(self, names_by_label, number_type)
        if ensemble is None:
            ensemble = ResumableEnsemble.initial(config, data, seed_of(self.random_state), range(members))
            self.loss_curve_, self.n_iter_ = [], 0
        now = architecture_of(config, data.features.shape[1], len(data.class_names)), config.optimizer, members
        before = ensemble.architecture, ensemble.optimizer, ensemble.members
        if now != before:
            raise DefinitionError(
                f"partial_fit must go on with the network, optimizer and members that it began with, {before}",
                f"they are now {now}",
                "Set them back, or begin anew with fit.",
            )
        for checkpoint in ensemble.train(config.replaced({"epochs": 1}), data):
            if checkpoint.diverged.any():  # of the rows of earlier calls no member can be trained again
                raise diverged_error(config, [checkpoint])
            self.loss_curve_ = [*self.loss_curve_, float(checkpoint.total_loss.mean())]
        self.n_iter_ += 1
        self.best_loss_, self.best_epoch_ = min(self.loss_curve_), self.n_iter_
        self.validation_scores_ = self.best_validation_score_ = None
        self._set_ensemble(ensemble, data, config)

    def _set_ensemble(self, ensemble: ResumableEnsemble, data: Dataset, config: Config) -> None:
        about = {"hpsearch": version("hpsearch"), "seed": ensemble.seed, "train": config.model_dump(mode="json")}
        self._ensemble, self.bundle_ = ensemble, ensemble.bundle(data, about | {"members": ensemble.members})

    def _stopping(self) -> EarlyStopping:
        bounds: dict[str, tuple[Callable[[Any], bool], str]] = {
            "validation_fraction": (lambda share: 0 < share < 1, "above 0 and below 1"),
            "n_iter_no_change": (lambda count: count >= 1, "at least 1"),
            "tol": (lambda least: least >= 0, "at least 0"),
        }
        for name, (holds, what) in bounds.items():
            value = getattr(self, name)
            if not isinstance(value, Real) or not holds(value):
                where = (type(self).__name__, Setting(name))
                raise DefinitionError(f"must be a number {what}", f"is {quoted(value)}", where=where)
        return EarlyStopping(self.validation_fraction, self.n_iter_no_change, self.tol)

    def _predictions(self, X: Any) -> FloatArray:
        """Probabilities (N, C), or predictions of a regression (N, 1)."""
        check_is_fitted(self, "bundle_")
        if self.columns is not None:
            require_frame(X)
            validate_data(self, X, reset=False, skip_check_array=True)
            features, notices = expand_frame(self.bundle_.plan, X)
            for line in notices:
                warnings.warn(line, UserWarning, stacklevel=3)
            return self.bundle_.predictions(features)
        return self.bundle_.predictions(validate_data(self, X, reset=False, dtype=[np.float64, np.float32], order="C"))


def trains_on_all_rows(estimator: NetworkEstimator) -> bool:
    """Whether an estimator trains on all rows that it is given, as ``partial_fit`` must."""
    if estimator.early_stopping:
        raise AttributeError("partial_fit needs early_stopping=False: of a part of the rows none can be set aside.")
    if estimator.columns is not None:
        raise AttributeError("partial_fit needs columns=None: a part of the rows does not say what the columns are.")
    return True


def assign(estimator: BaseEstimator, given: Mapping[str, Any]) -> None:
    """Keep constructor arguments under their names, which is all that scikit-learn lets a constructor do."""
    for name, value in given.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)
