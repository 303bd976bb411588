"""What a network costs beside what it loses: further objectives of a search, all of which it makes small."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """A further objective.

    Attributes:
        field: of a trial's result, that has it.
        title: as people read it.
        scaled: as a sampler sees it: of what spans orders of magnitude, its logarithm. Which trials are better than
            others in all objectives does not depend on that.
    """

    field: str
    title: str
    scaled: Callable[[float], float]


COSTS: dict[str, Cost] = {"parameters": Cost("parameters", "parameters", math.log)}
