"""The search space: which hyperparameters the search chooses, from what, and when they exist at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from hpsearch.definition.problems import first_problem
from hpsearch.errors import DefinitionError, did_you_mean
from hpsearch.nn.layers import ACTIVATIONS
from hpsearch.nn.optimizers import OPTIMIZERS
from hpsearch.validation.config import PER_HIDDEN_LAYER, PER_LAYER, SHARED, Config, used_by

if TYPE_CHECKING:
    from optuna.trial import Trial

# The most configurations that a grid may have.
MOST_POINTS = 100_000
_ABSENT = object()
# What decides whether others exist is chosen before them.
_FIRST = ("hidden_layers", "optimizer", "activation")
# What a network without hidden layers has not.
_OF_HIDDEN_LAYERS = (*PER_HIDDEN_LAYER, "activation", "leaky_slope")
_LAYER = re.compile(r"layer([1-9]\d*)")


def _low_and_high(value: Any) -> Any:
    if value is not None and (not isinstance(value, list | tuple) or len(value) != 2):
        raise PydanticCustomError("bad_ends", "{text}", {"text": f"must be [low, high], but is {value!r}."})
    return value if value is None else tuple(value)


def _choices(value: Any) -> Any:
    plain = isinstance(value, list | tuple) and all(isinstance(item, bool | int | float | str) for item in value)
    if value is not None and (not plain or any(isinstance(item, float) and not isfinite(item) for item in value)):
        text = f"must be a list of finite numbers, text, true or false, but is {value!r}."
        raise PydanticCustomError("bad_choice", "{text}", {"text": text})
    return value if value is None else tuple(value)


def _divides(step: float, low: float, high: float) -> bool:
    """As Optuna sees it, which otherwise warns at every proposal and lowers the high end."""
    try:
        return (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)) == 0
    except InvalidOperation:  # more steps than can be counted
        return False


class Dimension(BaseModel):
    """The range of one hyperparameter: exactly one of ``int``, ``float`` or ``choice``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True, allow_inf_nan=False)

    int_: Annotated[tuple[int, int] | None, BeforeValidator(_low_and_high)] = Field(None, alias="int")
    float_: Annotated[tuple[float, float] | None, BeforeValidator(_low_and_high)] = Field(None, alias="float")
    choice: Annotated[tuple[bool | int | float | str, ...] | None, BeforeValidator(_choices)] = None
    log: bool = False
    step: float | int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kinds: list[tuple[Any, ...]] = [k for k in (self.int_, self.float_, self.choice) if k is not None]
        problem = None
        if len(kinds) != 1:
            problem = "must have exactly one of int = [low, high], float = [low, high] or choice = [...]"
        elif self.choice is not None:
            if not self.choice or len(set(self.choice)) < len(self.choice):
                problem = "must offer at least one choice, and none of them twice"
            elif self.log or self.step is not None:
                problem = "must have neither log nor step beside choice"
        elif kinds[0][0] > kinds[0][1]:
            problem = f"must have its low end first, but is {list(kinds[0])}"
        elif self.log and (kinds[0][0] <= 0 or self.step is not None):
            problem = "must have a low end above 0 and no step where log = true"
        elif self.int_ is not None and self.step is not None and self.step != int(self.step):
            problem = f"must have a whole step, but it is {self.step}"
        elif self.step is not None and not _divides(self.step, *kinds[0]):
            problem = f"must have a step that divides its range, but {self.step} does not divide {list(kinds[0])}"
        if problem:
            raise PydanticCustomError("bad_range", "{text}", {"text": f"{problem}."})
        return self

    @property
    def extremes(self) -> tuple[Any, ...]:
        """The ends of a range, or every choice: what must be valid for all to be."""
        return self.int_ or self.float_ or self.choice or ()

    @property
    def _ends(self) -> tuple[float, float]:
        ends = self.int_ or self.float_
        assert ends is not None  # a choice has none
        return ends

    def describe(self) -> str:
        """As ``8 to 256 (log)``, or the choices."""
        if self.choice is not None:
            return " or ".join(map(str, self.choice))
        notes = (["log"] if self.log else []) + ([f"steps of {self.step}"] if self.step else [])
        return " to ".join(map(str, self.extremes)) + (f" ({', '.join(notes)})" if notes else "")

    @property
    def dtype(self) -> str:
        """The pandas dtype of its column."""
        if self.int_ is not None:
            return "Int64"
        kinds = {type(value) for value in self.extremes}
        if kinds == {int}:
            return "Int64"
        return "float64" if kinds <= {int, float} else "str"

    def at(self, unit: float) -> Any:
        """The value at ``unit`` of the way through the range, 0 ≤ ``unit`` < 1; every step and choice is as wide."""
        if self.choice is not None:
            return self.choice[int(unit * len(self.choice))]
        low, high = self._ends
        step = self.step or (1 if self.int_ is not None else None)
        if self.log:
            # Whole numbers get the width that they have on the logarithmic axis, each half a step either way.
            half = 0.5 if self.int_ is not None else 0.0
            value = float(np.exp(np.log(low - half) + unit * (np.log(high + half) - np.log(low - half))))
            return min(max(round(value), int(low)), int(high)) if self.int_ is not None else min(max(value, low), high)
        if step is None:
            return low + unit * (high - low)
        value = low + step * int(unit * (int((high - low) / step + 1e-9) + 1))
        return int(value) if self.int_ is not None else value

    def contains(self, value: Any) -> bool:
        """Whether the search could choose ``value``."""
        if self.choice is not None:
            return any(value == choice and type(value) is type(choice) for choice in self.choice)
        low, high = self._ends
        if not isinstance(value, int if self.int_ is not None else int | float) or isinstance(value, bool):
            return False
        steps = (value - low) / self.step if self.step else 0.0
        return bool(low <= value <= high and abs(steps - round(steps)) < 1e-9)

    def all(self) -> tuple[Any, ...] | None:
        """Every value, if they can be counted; None for a range of floats without step, or one on a log scale."""
        if self.choice is not None:
            return self.choice
        low, high = self._ends
        if self.log or (self.float_ is not None and self.step is None):
            return None
        step = self.step or 1
        values = tuple(low + step * i for i in range(int((high - low) / step + 1e-9) + 1))
        return tuple(map(int, values)) if self.int_ is not None else values

    def suggest(self, trial: Trial, name: str) -> Any:
        """Let ``trial`` choose a value."""
        if self.int_ is not None:
            return trial.suggest_int(name, *self.int_, log=self.log, step=int(self.step or 1))
        if self.float_ is not None:
            return trial.suggest_float(name, *self.float_, log=self.log, step=self.step)
        return trial.suggest_categorical(name, self.choice or ())


@dataclass(frozen=True)
class Space:
    """Dimensions by hyperparameter name, as ``learning_rate`` or, for one layer, ``layer2.neurons``."""

    dimensions: Mapping[str, Dimension]

    @classmethod
    def parse(cls, raw: Mapping[str, Any], train: Config) -> Space:
        """From ``[space]`` of a study file and the configuration that it overrides.

        Raises:
            DefinitionError: an unknown name, a malformed range, values out of bounds, a setting that no chosen
                optimizer or activation has, a layer that never exists.
        """
        flat: dict[str, Any] = {}
        for name, value in raw.items():
            if _LAYER.fullmatch(name) and isinstance(value, Mapping) and not _is_dimension(value):
                flat |= {f"{name}.{key}": inner for key, inner in value.items()}
            else:
                flat[name] = value
        for name in flat:
            _check_name(*split_name(name))
        space = cls({name: _parse_dimension(name, value) for name, value in flat.items()})
        space._check(train)
        return space

    def _check(self, train: Config) -> None:
        optimizers = self._possible("optimizer", train) & set(OPTIMIZERS)
        activations = self._possible("activation", train) & set(ACTIVATIONS)
        for name, dimension in self.dimensions.items():
            key = split_name(name)[1]
            if not used_by(key, optimizers, activations):
                raise DefinitionError(
                    f"[space] {name} must belong to a chosen optimizer or activation, but none of "
                    f"{', '.join(sorted(optimizers | activations))} has it. Leave it out."
                )
            for value in dimension.extremes:
                _check_value(name, key, value)
        for key in sorted(train.model_fields_set - set(self.dimensions)):
            if not used_by(key, optimizers, activations):
                raise DefinitionError(
                    f"[train] {key} must belong to a chosen optimizer or activation, but none of "
                    f"{', '.join(sorted(optimizers | activations))} has it. Leave it out."
                )
        self._check_layers(train)

    def _check_layers(self, train: Config) -> None:
        """Every depth that the search can choose must give a valid configuration."""
        searched = self.dimensions.get("hidden_layers")
        if searched is not None:
            for key in PER_LAYER:
                # Without hidden layers no neurons are chosen, and the list would stay.
                replaced = key in self.dimensions and (key not in _OF_HIDDEN_LAYERS or min(searched.extremes) > 0)
                if not replaced and isinstance(getattr(train, key), tuple):
                    raise DefinitionError(
                        f"[train] {key} must be one number for all layers where [space] searches hidden_layers, "
                        f"but is {list(getattr(train, key))}."
                    )
        deepest = max(searched.extremes) if searched is not None else train.depth
        for name in self.dimensions:
            layer, key = split_name(name)
            if not _exists(layer or 1, key, deepest):
                where = "[space]" if layer is None else f"[space.layer{layer}]"
                raise DefinitionError(
                    f"{where} {key} must be of a layer that can exist, but there are at most {deepest} "
                    "hidden layers" + ("." if key in _OF_HIDDEN_LAYERS else ", and the output layer.")
                )

        own = {split_name(name)[0] for name in self.dimensions if split_name(name)[1] == "neurons"}
        if "neurons" in self.dimensions and own >= set(range(1, deepest + 1)):
            raise DefinitionError(
                "[space] neurons must be of a layer that has none of its own, but every layer has. Leave it out."
            )

    def _possible(self, name: str, train: Config) -> set[Any]:
        return set(self.dimensions[name].extremes if name in self.dimensions else [getattr(train, name)])

    @property
    def names(self) -> tuple[str, ...]:
        """The order in which the search chooses."""
        return tuple(sorted(self.dimensions, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST)))

    def largest(self, name: str, train: Config) -> Any:
        """The largest value that a hyperparameter can take."""
        return max(self._possible(name, train))

    def suggest(self, trial: Trial, train: Config) -> dict[str, Any]:
        """Let ``trial`` choose a value for every hyperparameter that exists, given those chosen before it."""
        chosen: dict[str, Any] = {}
        for name in self.names:
            if self.exists(name, chosen, train):
                chosen[name] = self.dimensions[name].suggest(trial, name)
        return chosen

    def exists(self, name: str, chosen: Mapping[str, Any], train: Config) -> bool:
        """Whether a hyperparameter exists, given those chosen before it."""
        layer, key = split_name(name)
        so_far = {plain: chosen.get(plain, getattr(train, plain)) for plain in _FIRST}
        depth = chosen.get("hidden_layers", train.depth)
        used = used_by(key, [so_far["optimizer"]], [so_far["activation"]])
        return used and _exists(layer or 1, key, depth)

    def check_chosen(self, chosen: Mapping[str, Any], train: Config) -> None:
        """Refuse values that the search could not have chosen.

        Raises:
            DefinitionError: an unknown name, or a value outside its range.
        """
        for name, value in chosen.items():
            if name not in self.dimensions:
                raise DefinitionError(
                    f"[search] enqueue: {name!r} is not searched. {did_you_mean(name, self.dimensions)}"
                )
            if not self.dimensions[name].contains(value):
                raise DefinitionError(
                    f"[search] enqueue: {name} must be in its range, {self.dimensions[name].describe()}, "
                    f"but is {value!r}."
                )

    def grid(self, train: Config) -> list[dict[str, Any]]:
        """Every configuration of a space of choices and steps, in order.

        Raises:
            DefinitionError: a dimension without steps, or more than ``MOST_POINTS`` configurations.
        """
        points: list[dict[str, Any]] = [{}]
        for name in self.names:
            values = self.dimensions[name].all()
            if values is None:
                raise DefinitionError(
                    f"[space] {name} must be a choice, an int, or a float with a step, and without log, to be put on a "
                    "grid. Use choice = [...] with the values to try."
                )
            points = [
                {**point, **({name: value} if value is not _ABSENT else {})}
                for point in points
                for value in (values if self.exists(name, point, train) else (_ABSENT,))
            ]
            if len(points) > MOST_POINTS:
                raise DefinitionError(
                    f"[space] must have at most {MOST_POINTS} configurations for a grid, but has more."
                )
        return points


def configure(train: Config, chosen: Mapping[str, Any]) -> Config:
    """The configuration of a trial: ``train`` with the values chosen by the search."""
    plain = {name: value for name, value in chosen.items() if split_name(name)[0] is None}
    config = train.replaced({"hidden_layers": train.depth, **plain})
    lists: dict[str, list[Any]] = {}
    for name, value in chosen.items():
        layer, key = split_name(name)
        if layer is not None:
            lists.setdefault(key, list(config.by_layer(key)))[layer - 1] = value
    return config.replaced(lists) if lists else config


def split_name(name: str) -> tuple[int | None, str]:
    """``layer2.neurons`` to (2, ``neurons``); any other name to (None, name)."""
    prefix, dot, key = name.partition(".")
    match = _LAYER.fullmatch(prefix)
    return (int(match[1]), key) if dot and match else (None, name)


def _exists(layer: int, key: str, depth: int) -> bool:
    """Whether layer ``layer``, from 1, has a setting: hidden layers all, the output layer its lambdas."""
    return layer <= depth + (key not in _OF_HIDDEN_LAYERS)


def _is_dimension(value: Mapping[str, Any]) -> bool:
    return bool({"int", "float", "choice"} & set(value))


def _parse_dimension(name: str, value: Any) -> Dimension:
    try:
        return Dimension.model_validate(value)
    except ValidationError as error:
        raise DefinitionError(f"[space] {first_problem(error, Dimension, prefix=name)}") from error


def _check_name(layer: int | None, key: str) -> None:
    valid: Iterable[str] = PER_LAYER if layer is not None else set(Config.model_fields) - set(SHARED)
    if key not in valid:
        where = "[space]" if layer is None else f"[space.layer{layer}]"
        raise DefinitionError(f"{where} has no hyperparameter {key!r}. {did_you_mean(key, valid)}")


def _check_value(name: str, key: str, value: Any) -> None:
    try:
        Config.model_validate({key: value})
    except ValidationError as error:
        raise DefinitionError(f"[space] {first_problem(error, Config, rename={key: name})}") from error
