"""The first configurations of a search: those that its sampler would propose, or a list that is known beforehand.

Another list would be another study: a list that is listed here does not change; a better one comes under a new name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from hpsearch.definition.registered import Section

if TYPE_CHECKING:
    from hpsearch.definition.space import Space
    from hpsearch.validation.config import Config

# Of 300 random configurations those that did best on 15 tables (the mean over tables of the root of the rank, those of
# each number of hidden layers in turn; tests/README.md, "Time to a good configuration"). Hidden layers and scaling; the
# rest is how far up the range, from 0 to 1, on the axis of the search.
_PORTFOLIO = (
    (1, "power", {"neurons": 0.11, "learning_rate": 0.61, "weight_l2": 0.77}),
    (2, "power", {"neurons": 0.82, "learning_rate": 0.26, "weight_l2": 0.81}),
    (0, "standard", {"learning_rate": 0.65, "weight_l2": 0.17}),
    (1, "power", {"neurons": 0.57, "learning_rate": 0.91, "weight_l2": 0.76}),
    (2, "power", {"neurons": 0.77, "learning_rate": 0.69, "weight_l2": 0.70}),
    (0, "standard", {"learning_rate": 0.64, "weight_l2": 0.50}),
    (1, "power", {"neurons": 0.67, "learning_rate": 0.49, "weight_l2": 0.78}),
    (2, "standard", {"neurons": 0.97, "learning_rate": 0.59, "weight_l2": 0.78}),
    (0, "standard", {"learning_rate": 0.64, "weight_l2": 0.06}),
    (1, "power", {"neurons": 0.54, "learning_rate": 0.44, "weight_l2": 0.73}),
    (2, "standard", {"neurons": 0.75, "learning_rate": 0.24, "weight_l2": 0.79}),
    (0, "standard", {"learning_rate": 0.67, "weight_l2": 0.63}),
    (1, "power", {"neurons": 0.29, "learning_rate": 0.86, "weight_l2": 0.78}),
    (2, "standard", {"neurons": 0.42, "learning_rate": 0.65, "weight_l2": 0.82}),
    (0, "standard", {"learning_rate": 0.71, "weight_l2": 0.14}),
)


class InitialDesign(Section, ABC):
    """Where a search begins."""

    name: Annotated[str, Field(description="which initial design")]

    @abstractmethod
    def configurations(self, space: Space, train: Config) -> tuple[Mapping[str, Any], ...]:
        """The first configurations, different ones; what a configuration does not say the sampler chooses."""


class BySampler(InitialDesign):
    """Where the sampler begins."""

    def configurations(self, space: Space, train: Config) -> tuple[Mapping[str, Any], ...]:
        return ()


class Portfolio(InitialDesign):
    """Configurations that did well on other tables, as places in the ranges that are searched.

    Their numbers of hidden layers are 0, 1 and 2. Those that cannot be chosen are left out; so are values that are not
    searched, or no choice.
    """

    size: Annotated[int, Field(ge=1, le=len(_PORTFOLIO), description="at most so many configurations")] = len(
        _PORTFOLIO
    )

    def configurations(self, space: Space, train: Config) -> tuple[Mapping[str, Any], ...]:
        found: list[dict[str, Any]] = []
        for depth, scaling, places in _PORTFOLIO:
            searched = space.dimensions.get("hidden_layers")
            if not (searched.contains(depth) if searched is not None else train.depth == depth):
                continue
            known: dict[str, Any] = {"hidden_layers": depth, "scaling": scaling}
            ranges = {name: space.dimensions[name] for name in places if name in space.dimensions}
            chosen = {name: value for name, value in known.items() if _can_choose(space, name, value)}
            chosen |= {name: own.at(places[name]) for name, own in ranges.items() if own.choice is None}
            if chosen and chosen not in found:
                found.append(chosen)
        return tuple(found[: self.size])


def _can_choose(space: Space, name: str, value: Any) -> bool:
    return name in space.dimensions and space.dimensions[name].contains(value)


INITIAL_DESIGNS: dict[str, type[InitialDesign]] = {"portfolio": Portfolio, "sampler": BySampler}
