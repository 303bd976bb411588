"""What arguments of public functions must be: checked before anything else is done with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from hpsearch.errors import DefinitionError, Setting, quoted
from hpsearch.limits import MOST_REPEATS, MOST_SECONDS, MOST_WORKERS

_P = ParamSpec("_P")
_R = TypeVar("_R")


def checked(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The same function, which refuses an argument that the table below has no room for.

    What is not in the table, the function itself must refuse.

    Raises:
        DefinitionError: such an argument. None is refused where it is not the default.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        signature = inspect.signature(function)
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # of names and their number, of which Python's own message says more
            return function(*args, **kwargs)
        for name, value in given.items():
            if name in _RULES and (value is not None or signature.parameters[name].default is not None):
                must, holds = _RULES[name]
                if not holds(value):
                    raise refused(name, must, value)
        return function(*args, **kwargs)

    return call


def require_kind(name: str, value: object, must: str, *kinds: type) -> None:
    """Refuse an argument of another type.

    Raises:
        DefinitionError: it is of none of these.
    """
    if not isinstance(value, kinds):
        raise refused(name, must, value)


def refused(name: str, must: str, value: object) -> DefinitionError:
    """The error of an argument that is something else."""
    plain = isinstance(value, str | int | float | Path | None)
    text = quoted(value) if plain else f"of type {type(value).__name__}"
    return DefinitionError(f"must be {must}", f"is {text}", where=Setting(name))


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_duration(value: Any) -> bool:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and bool(0 <= value <= MOST_SECONDS)  # not nan


def _whole(least: int, most: int) -> tuple[str, Callable[[Any], bool]]:
    return f"a whole number from {least} to {most:,}", lambda value: _is_whole(value) and least <= value <= most


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_BOOLEAN = "True or False", lambda value: isinstance(value, bool)
_FUNCTION = "a function", callable
_PATH = "text or a Path", lambda value: isinstance(value, str | Path)
_TEXT = "text", _is_text
_WHOLE = "a whole number, of at most 18 digits", lambda value: _is_whole(value) and abs(value) < 10**18

# What an argument must be, by its name: one name means the same in all functions. Which numbers a function can do with
# is its own to say.
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "allow_mixed": _BOOLEAN,
    "at_most": _WHOLE,
    "begin": _FUNCTION,
    "cost": (
        'one class and a number, as {"yes": 10}',
        lambda value: isinstance(value, Mapping) and all(isinstance(number, Real) for number in value.values()),
    ),
    "data": _PATH,
    "executor": ("an executor of concurrent.futures", lambda value: callable(getattr(value, "submit", None))),
    "expect": _FUNCTION,
    "experiment": _TEXT,
    "folder": _PATH,
    "force": _BOOLEAN,
    "format": _TEXT,
    "fresh": _TEXT,
    "from_study": _PATH,
    "front": _BOOLEAN,
    "importance": _BOOLEAN,
    "members": _WHOLE,
    "metric": _TEXT,
    "name": _TEXT,
    "notice": _FUNCTION,
    "outer": _whole(2, MOST_REPEATS),
    "output": _PATH,
    "overrides": (
        "a list of texts",
        lambda value: isinstance(value, list | tuple) and all(map(_is_text, value)),
    ),
    "path": _PATH,
    "progress": _BOOLEAN,
    "repeats": ("a whole number of at most 1,000", lambda value: _is_whole(value) and value <= MOST_REPEATS),
    "reuse": _BOOLEAN,
    "rule": _TEXT,
    "scheduler": _TEXT,
    "seed": _WHOLE,
    "storage": _TEXT,
    "target": _TEXT,
    "task": _TEXT,
    "timeout": (f"a number of seconds from 0 to {MOST_SECONDS:,}", _is_duration),
    "top": _WHOLE,
    "tracking_uri": _TEXT,
    "trial": _WHOLE,
    "trials": _WHOLE,
    "watch": _FUNCTION,
    "workers": _whole(1, MOST_WORKERS),
}
