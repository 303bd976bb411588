"""What a search chooses from, as scikit-learn's searches have it and as a study file has it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hpsearch.errors import DefinitionError, Setting, did_you_mean, quoted
from hpsearch.estimators.arguments import plain

_LAYER = re.compile(r"layer[1-9]\d*")
_RANGES = ("int", "float", "choice")
_MUST = (
    "must be a list of choices, a range such as {'float': [0.001, 0.1], 'log': True}, "
    "or randint, uniform or loguniform of scipy.stats"
)


def ranges(space: Any, prefix: str = "") -> dict[str, Any]:
    """A space as ``[space]`` of a study file has it.

    Args:
        space: by parameter a list of choices, a distribution of scipy's, or a range of a study file; those of one layer
            under its name.
        prefix: what parameters may begin with: the name of the network's step.

    Raises:
        DefinitionError: anything else.
    """
    if not isinstance(space, Mapping):
        must = "must be a dict of choices, distributions or ranges by parameter"
        raise DefinitionError(must, f"is {quoted(space)}", where=Setting("space"))
    found: dict[str, Any] = {}
    for given, value in by_own_name(space, prefix, "space").items():
        if _LAYER.fullmatch(given) and isinstance(value, Mapping) and not set(_RANGES) & set(value):
            found[given] = {key: _range(f"{given}.{key}", of_layer) for key, of_layer in value.items()}
        else:
            found[given] = _range(given, value)
    return found


def by_own_name(given: Mapping[Any, Any], prefix: str, where: str) -> dict[str, Any]:
    """Values by the network's own parameters, without the name of its step.

    Raises:
        DefinitionError: a parameter of another step, or one that stands twice.
    """
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = str(key).removeprefix(prefix)
        if "__" in name:
            must = f"must be of parameters of the network{f', as {prefix}neurons' if prefix else ''}"
            raise DefinitionError(must, f"{quoted(key)} is none", where=Setting(where))
        if name in found:
            raise DefinitionError("must name each parameter once", f"{quoted(name)} stands twice", where=Setting(where))
        found[name] = value
    return found


def _range(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        known = {*_RANGES, "log", "step"}
        for key in value:
            if key not in known:
                raise DefinitionError(
                    f"has no key {quoted(key)}", do=did_you_mean(key, known), where=Setting(f"space.{name}")
                )
        return dict(plain(value))
    if isinstance(value, list | tuple | np.ndarray):
        return {"choice": plain(value)}
    if (found := _of_distribution(value)) is not None:
        return found
    frozen = getattr(getattr(value, "dist", None), "name", None)
    got = f"is {quoted(value)}" if frozen is None else f"is {frozen}, with {_arguments(value)}"
    raise DefinitionError(_MUST, got, where=Setting(f"space.{name}"))


def _of_distribution(value: Any) -> dict[str, Any] | None:
    """The range that a frozen distribution of scipy's draws from as the search does; None if there is none."""
    name = getattr(getattr(value, "dist", None), "name", None)
    if name not in ("randint", "uniform", "loguniform", "reciprocal"):
        return None
    low, high = (end.item() if isinstance(end, np.generic) else end for end in value.support())
    if name == "randint":
        return {"int": [int(low), int(high)]}
    if name == "uniform":
        return {"float": [low, high]}
    # Moved by loc, its logarithm is not uniform any more.
    is_log = low > 0 and math.isclose(float(value.median()), math.sqrt(low * high), rel_tol=1e-9)
    return {"float": [low, high], "log": True} if is_log else None


def _arguments(value: Any) -> str:
    given = [*map(quoted, plain(value.args)), *(f"{key}={quoted(plain(item))}" for key, item in value.kwds.items())]
    return ", ".join(given) or "no arguments"
