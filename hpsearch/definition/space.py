"""The search space: which hyperparameters the search chooses, from what, and when they exist at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, ConfigDict, RootModel, ValidationError

from hpsearch.definition.dimension import Dimension
from hpsearch.definition.problems import first_problem
from hpsearch.errors import DefinitionError, Setting, cut, did_you_mean, quoted
from hpsearch.nn.layers import ACTIVATIONS
from hpsearch.nn.optimizers import OPTIMIZERS
from hpsearch.validation.config import PER_HIDDEN_LAYER, PER_LAYER, SHARED, Config, used_by

if TYPE_CHECKING:
    from optuna.trial import Trial

    from hpsearch.definition.network_sizes import NetworkSizes

# The most configurations that a grid may have.
MOST_POINTS = 100_000
SEARCHABLE = tuple(name for name in Config.model_fields if name not in SHARED)
_ABSENT = object()
# What decides whether others exist is chosen before them.
_FIRST = ("hidden_layers", "optimizer", "activation")
# What a network without hidden layers has not.
_OF_HIDDEN_LAYERS = (*PER_HIDDEN_LAYER, "activation", "leaky_slope")
_LAYER = re.compile(r"layer([1-9]\d{0,5})")  # as many layers as there can never be


def _by_name(raw: Any) -> Any:
    """``[space]`` with the ranges of ``[space.layer2]`` as ``layer2.neurons`` among the others."""
    if not isinstance(raw, Mapping):
        return raw
    flat: dict[str, Any] = {}
    for name, value in raw.items():
        if _LAYER.fullmatch(name) and isinstance(value, Mapping) and not _is_dimension(value):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    for name in flat:
        layer, key = split_name(name)
        valid = PER_LAYER if layer is not None else SEARCHABLE
        if key not in valid:
            where = () if layer is None else Setting(f"layer{layer}")
            raise DefinitionError(f"has no hyperparameter {quoted(key)}", do=did_you_mean(key, valid), where=where)
    return flat


class Space(RootModel[Annotated[dict[str, Dimension], BeforeValidator(_by_name)]]):
    """``[space]``: ranges by hyperparameter, as ``learning_rate`` or, for one layer, ``layer2.neurons``."""

    model_config = ConfigDict(frozen=True, strict=True)

    @property
    def dimensions(self) -> Mapping[str, Dimension]:
        return self.root

    def check(self, train: Config) -> None:
        """Refuse what does not go with the configuration that the search overrides.

        Raises:
            DefinitionError: values out of bounds, a setting that no chosen optimizer or activation has, a layer that
                never exists.
        """
        optimizers = self._possible("optimizer", train) & set(OPTIMIZERS)
        activations = self._possible("activation", train) & set(ACTIVATIONS)
        searched = {f"space.{name}": split_name(name)[1] for name in self.dimensions}
        fixed = {f"train.{name}": name for name in sorted(train.model_fields_set - set(self.dimensions))}
        for name, key in {**searched, **fixed}.items():
            if not used_by(key, optimizers, activations):
                raise DefinitionError(
                    "must belong to a chosen optimizer or activation",
                    f"none of {', '.join(sorted(optimizers | activations))} has it",
                    "Leave it out.",
                    where=Setting(name),
                )
        for name, dimension in self.dimensions.items():
            for value in dimension.extremes:
                _check_value(name, value)
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
                        ("must be one number for all layers where ", Setting("space"), " searches hidden_layers"),
                        f"is {quoted(list(getattr(train, key)))}",
                        where=Setting(f"train.{key}"),
                    )
        deepest = max(searched.extremes) if searched is not None else train.depth
        for name in self.dimensions:
            layer, key = split_name(name)
            if not _exists(layer or 1, key, deepest):
                output = "" if key in _OF_HIDDEN_LAYERS else ", and the output layer"
                raise DefinitionError(
                    "must be of a layer that can exist",
                    f"there are at most {deepest} hidden layers{output}",
                    where=Setting(f"space.{name}"),
                )
        own = {split_name(name)[0] for name in self.dimensions if split_name(name)[1] == "neurons"}
        if "neurons" in self.dimensions and own >= set(range(1, deepest + 1)):
            raise DefinitionError(
                "must be of a layer that has none of its own",
                "every layer has",
                "Leave it out.",
                Setting("space.neurons"),
            )

    def _possible(self, name: str, train: Config) -> set[Any]:
        return set(self.dimensions[name].extremes if name in self.dimensions else [getattr(train, name)])

    @property
    def names(self) -> tuple[str, ...]:
        """The order in which the search chooses."""
        return tuple(sorted(self.dimensions, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST)))

    @property
    def deciding(self) -> tuple[str, ...]:
        """Those of them that decide whether others exist."""
        return tuple(name for name in _FIRST if name in self.dimensions)

    def largest(self, name: str, train: Config) -> Any:
        """The largest value that a hyperparameter can take."""
        return max(self._possible(name, train))

    def suggest(self, trial: Trial, train: Config, sizes: NetworkSizes | None = None) -> dict[str, Any]:
        """Let ``trial`` choose a value for every hyperparameter that exists, given those chosen before it.

        Args:
            trial: Optuna's.
            train: what the search overrides.
            sizes: what keeps the networks small enough, if anything: some values may not be those of ``trial``.
        """
        return self.choose(lambda name: self.dimensions[name].suggest(trial, name), train, sizes)

    def choose(
        self, value_of: Callable[[str], Any], train: Config, sizes: NetworkSizes | None = None
    ) -> dict[str, Any]:
        """The same, each value from ``value_of``, which is asked for those that exist, in order."""
        chosen: dict[str, Any] = {}
        for name in self.names:
            if self.exists(name, chosen, train):
                value = value_of(name)
                chosen[name] = sizes.depth(value) if sizes is not None and name == "hidden_layers" else value
        return chosen if sizes is None else sizes.narrowed(chosen)

    def exists(self, name: str, chosen: Mapping[str, Any], train: Config) -> bool:
        """Whether a hyperparameter exists, given those chosen before it."""
        layer, key = split_name(name)
        so_far = {plain: chosen.get(plain, getattr(train, plain)) for plain in _FIRST}
        depth = chosen.get("hidden_layers", train.depth)
        used = used_by(key, [so_far["optimizer"]], [so_far["activation"]])
        return used and _exists(layer or 1, key, depth)

    def check_chosen(self, chosen: Mapping[str, Any]) -> None:
        """Refuse values that the search could not have chosen.

        Raises:
            DefinitionError: an unknown name, or a value outside its range.
        """
        for name, value in chosen.items():
            if name not in self.dimensions:
                known = did_you_mean(name, self.dimensions)
                raise DefinitionError("is not searched", do=known, where=Setting(f"search.enqueue: {quoted(name)}"))
            if not self.dimensions[name].contains(value):
                must = f"must be in its range, {cut(self.dimensions[name].describe())}"
                raise DefinitionError(must, f"is {quoted(value)}", where=Setting(f"search.enqueue: {name}"))

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
                    "must be a choice, an int, or a float with a step, and without log, to be put on a grid",
                    do="List the values to try as its choice.",
                    where=Setting(f"space.{name}"),
                )
            some = tuple(islice(values, MOST_POINTS + 1))  # a range may have more than memory has room for
            grown = (
                {**point, **({name: value} if value is not _ABSENT else {})}
                for point in points
                for value in (some if self.exists(name, point, train) else (_ABSENT,))
            )
            points = [*islice(grown, MOST_POINTS + 1)]
            if len(points) > MOST_POINTS:
                must = f"must have at most {MOST_POINTS:,} configurations for a grid"
                raise DefinitionError(must, "has more", where=Setting("space"))
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


def _check_value(name: str, value: Any) -> None:
    """Refuse a value that ``[train]`` could not have."""
    try:
        Config.model_validate({split_name(name)[1]: value})
    except ValidationError as error:
        problem = first_problem(error, Config)
        problem.where = (Setting(f"space.{name}" if problem.must else "space"),)
        raise problem from error
