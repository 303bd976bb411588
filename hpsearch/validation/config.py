"""One complete set of hyperparameters: the one place that names them, bounds them and says what they mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from itertools import pairwise
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
from hpsearch.errors import DefinitionError, Setting, quoted
from hpsearch.limits import (
    LARGEST,
    LEAST_CLASS_WEIGHT,
    MOST_CHECKPOINTS,
    MOST_CLASS_WEIGHT,
    MOST_DROPPED,
    MOST_EPOCHS,
    MOST_LAYERS,
    MOST_NEURONS,
    MOST_OF_A_PENALTY,
    MOST_PARAMETERS,
    MOST_ROWS,
    NEAREST_TO_1,
    SMALLEST,
)
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


def _one_or_list(kind: type[int] | type[float], what: str, holds: Callable[[Any], bool]) -> BeforeValidator:
    """For a number, or a list of numbers, one a layer."""

    def check(value: Any) -> Any:
        values = value if isinstance(value, list | tuple) else [value]
        for item in values:
            fits = isinstance(item, int if kind is int else int | float) and not isinstance(item, bool)
            if not fits or not holds(item):
                raise DefinitionError(f"must be {what}, or a list of them", f"is {quoted(value)}")
        return tuple(kind(item) for item in values) if isinstance(value, list | tuple) else kind(value)

    return BeforeValidator(check)


def _batch_size(value: Any) -> Any:
    if value != "full" and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_ROWS):
        raise DefinitionError(f"must be an integer from 1 to {MOST_ROWS:,} or 'full'", f"is {quoted(value)}")
    return value


def _class_weight(value: Any) -> Any:
    if value is None or value == "balanced":
        return value
    weights = list(value.values()) if isinstance(value, dict) else [None]
    numbers = all(isinstance(weight, int | float) and not isinstance(weight, bool) for weight in weights)
    if not numbers or not all(not weight or LEAST_CLASS_WEIGHT <= weight <= MOST_CLASS_WEIGHT for weight in weights):
        must = f"must be 'balanced', or by class 0 or a number from {LEAST_CLASS_WEIGHT:g} to {MOST_CLASS_WEIGHT:g}"
        raise DefinitionError(must, f"is {quoted(value)}")
    return {name: float(weight) for name, weight in value.items()}


_Width = Annotated[int, Field(ge=1, le=MOST_NEURONS)]
_BatchRows = Annotated[int, Field(ge=1, le=MOST_ROWS)]
_Penalty = Annotated[float, Field(ge=0, le=MOST_OF_A_PENALTY)]
_Dropped = Annotated[float, Field(ge=0, le=MOST_DROPPED)]
_Counted = Annotated[float, Field(ge=0, le=MOST_CLASS_WEIGHT)]
_Share = Annotated[float, Field(ge=0, le=NEAREST_TO_1)]
Neurons = Annotated[
    _Width | tuple[_Width, ...],
    _one_or_list(int, f"an integer from 1 to {MOST_NEURONS:,}", lambda width: 1 <= width <= MOST_NEURONS),
]
Lambda = Annotated[
    _Penalty | tuple[_Penalty, ...],
    _one_or_list(
        float,
        f"0, or a number from {SMALLEST:g} to {MOST_OF_A_PENALTY:,.0f}",
        lambda penalty: penalty == 0 or SMALLEST <= penalty <= MOST_OF_A_PENALTY,
    ),
]
Rate = Annotated[
    _Dropped | tuple[_Dropped, ...],
    _one_or_list(float, f"a number from 0 to {MOST_DROPPED}", lambda rate: 0 <= rate <= MOST_DROPPED),
]


class Config(BaseModel):
    """Every hyperparameter, as ``[train]`` of a study file gives it. Frozen; checked at construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    neurons: Neurons = Field(64, description="neurons of the hidden layers: one number for all, or a list")
    hidden_layers: int | None = Field(
        None,
        ge=0,
        le=MOST_LAYERS,
        description="number of hidden layers; by default the length of the list `neurons`, or 1",
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
    learning_rate: float = Field(0.01, ge=SMALLEST, le=LARGEST, description="learning rate of the first update")
    decay: float = Field(
        0.0, ge=0, le=MOST_OF_A_PENALTY, description="learning rate of update t is learning_rate / (1 + decay * t)"
    )
    momentum: _Share = Field(0.0, description="momentum of sgd")
    rho: _Share = Field(0.9, description="memory of rmsprop's cache")
    epsilon: float = Field(
        1e-7,
        ge=SMALLEST,
        le=MOST_OF_A_PENALTY,
        description="added to the root of the cache by adagrad, rmsprop and adam",
    )
    beta1: _Share = Field(0.9, description="memory of adam's mean gradient")
    beta2: _Share = Field(0.999, description="memory of adam's mean squared gradient")
    weight_l1: Lambda = Field(0.0, description="lambda of the sum of |weight|: one for all layers, or a list")
    weight_l2: Lambda = Field(0.0, description="lambda of the sum of weight²: one for all layers, or a list")
    bias_l1: Lambda = Field(0.0, description="lambda of the sum of |bias|: one for all layers, or a list")
    bias_l2: Lambda = Field(0.0, description="lambda of the sum of bias²: one for all layers, or a list")
    epochs: int = Field(1000, ge=1, le=MOST_EPOCHS, description="passes over the training rows, at most")
    batch_size: Annotated[_BatchRows | Literal["full"], BeforeValidator(_batch_size)] = Field(
        "full", description="rows of an update"
    )
    scaling: Annotated[str, one_of(SCALINGS, "scaling")] = Field(
        "standard", description="of the features, fitted on training rows"
    )
    target_scaling: Annotated[str, one_of(TARGET_SCALINGS, "target scaling")] = Field(
        "standard", description="scaling of a regression target in training; what is reported keeps its own unit"
    )
    evaluate_every: int | None = Field(
        None,
        ge=1,
        le=MOST_EPOCHS,
        description="epochs between checkpoints; by default a twentieth of `epochs`",
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="number type of the training")
    class_weight: Annotated[Literal["balanced"] | dict[str, _Counted] | None, BeforeValidator(_class_weight)] = Field(
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

    @model_validator(mode="after")
    def _not_too_large(self) -> Self:
        if self.depth > MOST_LAYERS:
            must = f"must be at most {MOST_LAYERS:,} layers"
            raise DefinitionError(must, f"are {self.depth:,}", where=Setting("neurons"))
        widths = self.by_layer("neurons")
        parameters = sum((below + 1) * above for below, above in pairwise(widths))
        if parameters > MOST_PARAMETERS:
            raise DefinitionError(
                f"must give at most {MOST_PARAMETERS:,} weights and biases",
                f"hidden layers of {quoted(list(widths))} neurons have {parameters:,} between them",
                where=Setting("neurons"),
            )
        checkpoints = self.epochs // self.checkpoint_epochs
        if checkpoints > MOST_CHECKPOINTS:
            raise DefinitionError(
                f"must give at most {MOST_CHECKPOINTS:,} checkpoints",
                f"{self.epochs:,} epochs have {checkpoints:,}",
                where=Setting("evaluate_every"),
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
                f"is {quoted(name)}",
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
                f"is {quoted(self.target_scaling)} where classes are predicted",
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
