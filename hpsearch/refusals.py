"""What pydantic found wrong with a value, in the words of our errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hpsearch.errors import DefinitionError, HpsearchError, did_you_mean, quoted

_KINDS = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "an integer",
    "list_type": "a list",
    "mapping_type": "a table",
    "model_type": "a table",
    "string_type": "text",
    "tuple_type": "a list",
    "too_long": "shorter",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}
_LENGTHS = {"too_long": ("at most", "max_length"), "too_short": ("at least", "min_length")}


def refusal(problem: Any, key: str, valid: Iterable[str], kinds: Mapping[str, str] = {}) -> DefinitionError:
    """One problem of pydantic's as an error; where it is, the caller says.

    Args:
        problem: one of ``ValidationError.errors()``.
        key: the key that has the value.
        valid: the keys that there are.
        kinds: what a value must be by pydantic's name of the problem, where the caller's user has another word for it.
    """
    kind, got, context = problem["type"], f"is {quoted(problem['input'])}", problem.get("ctx", {})
    error = context.get("error")
    if isinstance(error, HpsearchError):
        return DefinitionError(error.must, error.got, error.do, error.where)
    if kind == "extra_forbidden":
        return DefinitionError(f"has no key {quoted(key)}", do=did_you_mean(key, valid))
    if kind == "missing":
        return DefinitionError("is missing")
    if kind == "string_pattern_mismatch":
        return DefinitionError(f"must match {context['pattern']}", got)
    if kind == "literal_error":
        return DefinitionError(f"must be {context['expected']}", got)
    if kind in _LENGTHS and context.get("actual_length") is not None:
        word, limit = _LENGTHS[kind]
        return DefinitionError(f"must have {word} {number(context[limit])}", f"has {context['actual_length']:,}")
    if kind in _BOUNDS:
        word, limit = _BOUNDS[kind]
        return DefinitionError(f"must be {word} {number(context[limit])}", got)
    words = {**_KINDS, **kinds}
    return DefinitionError(f"must be {words[kind]}" if kind in words else problem["msg"], got)


def number(limit: float) -> str:
    """A bound as a person reads it: 10,000, 0.999, 1e+30."""
    return f"{int(limit):,}" if float(limit).is_integer() and abs(limit) < 10**19 else repr(limit)
