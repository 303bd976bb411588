"""One complete set of hyperparameters: the one place that names them, bounds them and says what they mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from hpsearch.data.dataset import Task
from hpsearch.data.preprocess import SCALINGS
from hpsearch.data.target_scaling import TARGET_SCALINGS
from hpsearch.errors import DefinitionError, Setting
from hpsearch.nn.layers import ACTIVATION_SETTINGS, ACTIVATIONS
from hpsearch.nn.losses import LOSSES
from hpsearch.nn.network import INITIALISATIONS
from hpsearch.nn.optimizers import OPTIMIZER_SETTINGS, OPTIMIZERS
from hpsearch.one_of import one_of

# Settings with one value a layer where they are given as a list: the former one a hidden layer, the latter one a dense
# layer, the output layer included.
PER_HIDDEN_LAYER = ("neurons", "dropout")
PER_LAYER = (*PER_HIDDEN_LAYER, "weight_l1", "weight_l2", "bias_l1", "bias_l2")
# Settings that every trial of a study shares, whatever the search space says.
SHARED = ("evaluate_every", "dtype", "class_weight", "loss")
# The loss of a task, where none is set.
TASK_LOSSES: dict[Task, str] = {"classification": "cross_entropy", "regression": "squared_error"}
# Settings that configurations and studies stored before them do not have, and what was so without them.
ADDED: dict[str, Any] = {"class_weight": None, "loss": None, "dropout": 0.0, "target_scaling": "standard"}


def _one_or_list(kind: type[int] | type[float], least: int, what: str, below: float = float("inf")) -> BeforeValidator:
    """For a number, or a list of numbers, one a layer."""

    def check(value: Any) -> Any:
        values = value if isinstance(value, list | tuple) else [value]
        for item in values:
            fits = isinstance(item, int if kind is int else int | float) and not isinstance(item, bool)
            if not fits or not least <= item < below:
                raise DefinitionError(f"must be {what}, or a list of them", f"is {value!r}")
        return tuple(kind(item) for item in values) if isinstance(value, list | tuple) else kind(value)

    return BeforeValidator(check)


def _batch_size(value: Any) -> Any:
    if value != "full" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise DefinitionError("must be an integer of at least 1 or 'full'", f"is {value!r}")
    return value


def _class_weight(value: Any) -> Any:
    if value is None or value == "balanced":
        return value
    weights = list(value.values()) if isinstance(value, dict) else [None]
    if not all(isinstance(w, int | float) and not isinstance(w, bool) and 0 <= w < float("inf") for w in weights):
        raise DefinitionError("must be 'balanced' or finite numbers of at least 0 by class", f"is {value!r}")
    return {name: float(weight) for name, weight in value.items()}


_Least1 = Annotated[int, Field(ge=1)]
_Least0 = Annotated[float, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, lt=1)]
Neurons = Annotated[_Least1 | tuple[_Least1, ...], _one_or_list(int, 1, "an integer of at least 1")]
Lambda = Annotated[_Least0 | tuple[_Least0, ...], _one_or_list(float, 0, "a finite number of at least 0")]
Rate = Annotated[_Share | tuple[_Share, ...], _one_or_list(float, 0, "a number of at least 0 and below 1", below=1)]


class Config(BaseModel):
    """Every hyperparameter, as ``[train]`` of a study file gives it. Frozen; checked at construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    neurons: Neurons = Field(64, description="neurons of the hidden layers: one number for all, or a list")
    hidden_layers: int | None = Field(
        None, ge=0, description="number of hidden layers; by default the length of the list `neurons`, or 1"
    )
    activation: Annotated[str, one_of(ACTIVATIONS, "activation")] = Field(
        "relu", description="activation of the hidden layers"
    )
    leaky_slope: float = Field(0.01, ge=0, lt=1, description="slope of leaky_relu below 0")
    dropout: Rate = Field(
        0.0, description="share of each hidden layer's values that training drops: one for all, or a list"
    )
    init: Annotated[str, one_of(INITIALISATIONS, "initialisation")] = Field(
        "nnfs", description="distribution of the initial weights; biases start at 0"
    )
    loss: Annotated[str, one_of(LOSSES, "loss")] | None = Field(
        None, description="what training descends; by default cross_entropy, or squared_error of a regression target"
    )
    optimizer: Annotated[str, one_of(OPTIMIZERS, "optimizer")] = Field("adam", description="update rule")
    learning_rate: float = Field(0.01, gt=0, description="learning rate of the first update")
    decay: float = Field(0.0, ge=0, description="learning rate of update t is learning_rate / (1 + decay * t)")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum of sgd")
    rho: float = Field(0.9, ge=0, lt=1, description="memory of rmsprop's cache")
    epsilon: float = Field(1e-7, gt=0, description="added to the root of the cache by adagrad, rmsprop and adam")
    beta1: float = Field(0.9, ge=0, lt=1, description="memory of adam's mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="memory of adam's mean squared gradient")
    weight_l1: Lambda = Field(0.0, description="lambda of the sum of |weight|: one for all layers, or a list")
    weight_l2: Lambda = Field(0.0, description="lambda of the sum of weight²: one for all layers, or a list")
    bias_l1: Lambda = Field(0.0, description="lambda of the sum of |bias|: one for all layers, or a list")
    bias_l2: Lambda = Field(0.0, description="lambda of the sum of bias²: one for all layers, or a list")
    epochs: int = Field(1000, ge=1, description="passes over the training rows, at most")
    batch_size: Annotated[_Least1 | Literal["full"], BeforeValidator(_batch_size)] = Field(
        "full", description="rows of an update"
    )
    scaling: Annotated[str, one_of(SCALINGS, "scaling")] = Field(
        "standard", description="of the features, fitted on training rows"
    )
    target_scaling: Annotated[str, one_of(TARGET_SCALINGS, "target scaling")] = Field(
        "standard", description="scaling of a regression target in training; what is reported keeps its own unit"
    )
    evaluate_every: int | None = Field(
        None, ge=1, description="epochs between checkpoints; by default a twentieth of `epochs`"
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="number type of the training")
    class_weight: Annotated[Literal["balanced"] | dict[str, _Least0] | None, BeforeValidator(_class_weight)] = Field(
        None, description="what rows of each class count in the training loss: 'balanced', or a table"
    )

    @model_validator(mode="after")
    def _lists_fit_layers(self) -> Self:
        for name in PER_LAYER:
            given, wanted = getattr(self, name), self._layers(name)
            if isinstance(given, tuple) and len(given) != wanted:
                layers = "hidden layer" if name in PER_HIDDEN_LAYER else "layer, the output layer included"
                raise DefinitionError(
                    f"must have one value a {layers}: {wanted}", f"has {len(given)}", where=Setting(name)
                )
        return self

    @property
    def depth(self) -> int:
        """The number of hidden layers."""
        if self.hidden_layers is not None:
            return self.hidden_layers
        return len(self.neurons) if isinstance(self.neurons, tuple) else 1

    def _layers(self, name: str) -> int:
        return self.depth + (name not in PER_HIDDEN_LAYER)

    def by_layer(self, name: str) -> tuple[Any, ...]:
        """The values of a setting in ``PER_LAYER``, one a layer that has it."""
        value = getattr(self, name)
        return value if isinstance(value, tuple) else (value,) * self._layers(name)

    def loss_name(self, task: Task) -> str:
        """The name of the loss for a task.

        Raises:
            DefinitionError: it is for the other one; class weights where there are no classes; a scaled target where
                there are.
        """
        name = self.loss or TASK_LOSSES[task]
        if LOSSES[name].regression != (task == "regression"):
            fitting = [key for key, loss in LOSSES.items() if loss.regression == (task == "regression")]
            what = "a regression target" if task == "regression" else "classes"
            raise DefinitionError(
                f"must be for {what}, which is what the rows have to predict",
                f"is {name!r}",
                f"Choose one of: {', '.join(fitting)}.",
                where=Setting("loss"),
            )
        if task == "regression" and self.class_weight is not None:
            raise DefinitionError(
                "must go with classes", "a regression target is predicted", "Leave it out.", Setting("class_weight")
            )
        if task == "classification" and self.target_scaling != "standard":
            raise DefinitionError(
                "must go with a regression target",
                f"is {self.target_scaling!r} where classes are predicted",
                "Leave it out.",
                Setting("target_scaling"),
            )
        return name

    @property
    def checkpoint_epochs(self) -> int:
        """Epochs between two checkpoints."""
        return self.evaluate_every or max(1, self.epochs // 20)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what this configuration computes, however it is written down."""
        layers = {name: self.by_layer(name) for name in PER_LAYER}
        values = {**self.model_dump(), **layers, "hidden_layers": self.depth, "evaluate_every": None}
        unset = {"dropout": (0.0,) * self.depth}
        for name, default in {**ADDED, **unset}.items():
            if values[name] == default:
                del values[name]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def number_type(self) -> np.dtype[Any]:
        return np.dtype(self.dtype)

    def optimizer_settings(self) -> dict[str, float]:
        """What the optimizer's constructor takes."""
        return {name: getattr(self, name) for name in sorted(OPTIMIZER_SETTINGS[self.optimizer])}

    def replaced(self, values: dict[str, Any]) -> Config:
        """The same configuration with other values, checked again."""
        return Config.model_validate({**self.model_dump(exclude_unset=True), **values})


def used_by(name: str, optimizers: Collection[str], activations: Collection[str]) -> bool:
    """Whether any of these optimizers or activations has the setting ``name``; True for settings all share."""
    by_kind = [(OPTIMIZER_SETTINGS, optimizers), (ACTIVATION_SETTINGS, activations)]
    for settings, chosen in by_kind:
        if any(name in names for names in settings.values()):
            return any(name in settings[kind] for kind in chosen)
    return True
