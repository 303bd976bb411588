"""How many parameters the networks of a space have, and how a choice is kept below the most that they may have.

A choice of too many parameters is narrowed, not rejected: all its widths shrink by one factor, the largest with which
it fits, each down to a value of its range. So depths are chosen as often as without a limit, every configuration that
fits can be chosen and stays as it is, and a sampler learns from each of its proposals, being told what was trained. (Of
proposals drawn until one fits, most would be shallow; those that do not fit would teach nothing.) A depth at which not
even the narrowest network fits becomes the nearest at which one does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpsearch.definition.space import Space, split_name
from hpsearch.nn.network import NetworkShape
from hpsearch.validation.config import Config

_HALVINGS = 50  # of the range of factors: more than widths have digits


@dataclass(frozen=True)
class NetworkSizes:
    """How many weights and biases one network has, for each choice from a space.

    Attributes:
        space: the search space.
        train: what its choices override.
        inputs, outputs: of every network.
        most: parameters that a network may have; None if any number.
    """

    space: Space
    train: Config
    inputs: int
    outputs: int
    most: int | None = None

    def of(self, chosen: Mapping[str, Any]) -> int:
        """The parameters of one network of the configuration with these choices."""
        depth = chosen.get("hidden_layers", self.train.depth)
        return self._size([self._width(layer, chosen) for layer in range(1, depth + 1)])

    def fits(self, chosen: Mapping[str, Any]) -> bool:
        """Whether they are not too many."""
        return self.most is None or self.of(chosen) <= self.most

    @property
    def smallest(self) -> int:
        """The parameters of the smallest network that can be chosen."""
        return min(self._smallest_of_depth.values())

    @property
    def largest(self) -> int:
        """The parameters of the largest network that can be chosen, of whatever size."""
        own = self.space.dimensions
        widest = {name: max(ranged.extremes) for name, ranged in own.items() if split_name(name)[1] == "neurons"}
        deepest = {"hidden_layers": max(own["hidden_layers"].extremes)} if "hidden_layers" in own else {}
        return self.of({**widest, **deepest})

    def depth(self, depth: int) -> int:
        """The nearest number of hidden layers with which a network fits, of two the larger; there must be one."""
        fitting = [of for of, size in self._smallest_of_depth.items() if self.most is None or size <= self.most]
        return min(fitting, key=lambda of: (abs(of - depth), -of))

    def narrowed(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """These choices as they are, or with all searched widths as near to their own as one factor brings them.

        Args:
            chosen: choices whose number of hidden layers is :meth:`depth`'s.
        """
        if self.fits(chosen):
            return dict(chosen)
        widths = {name: chosen[name] for name in chosen if split_name(name)[1] == "neurons"}

        def scaled(factor: float) -> dict[str, Any]:
            return {**chosen, **{n: self.space.dimensions[n].at_most(factor * width) for n, width in widths.items()}}

        fits, too_large = 0.0, 1.0
        for _ in range(_HALVINGS):
            factor = (fits + too_large) / 2
            fits, too_large = (factor, too_large) if self.fits(scaled(factor)) else (fits, factor)
        return scaled(fits)

    @cached_property
    def grid(self) -> list[dict[str, Any]]:
        """Every configuration of the space that fits, in the order of :meth:`Space.grid`."""
        return [point for point in self.space.grid(self.train) if self.fits(point)]

    @cached_property
    def _smallest_of_depth(self) -> dict[int, int]:
        """Of each number of hidden layers, the parameters of the narrowest network."""
        searched = self.space.dimensions.get("hidden_layers")
        depths = [self.train.depth] if searched is None else searched.whole_numbers()
        narrowest = {name: min(own.extremes) for name, own in self.space.dimensions.items() if name.endswith("neurons")}
        return {depth: self.of({**narrowest, "hidden_layers": depth}) for depth in depths}

    def _width(self, layer: int, chosen: Mapping[str, Any]) -> int:
        own: int | None = chosen.get(f"layer{layer}.neurons", chosen.get("neurons"))
        if own is not None:
            return own
        set_to = self.train.neurons
        return set_to[layer - 1] if isinstance(set_to, tuple) else set_to

    def _size(self, widths: list[int]) -> int:
        return NetworkShape(self.inputs, tuple(widths), self.outputs).size
