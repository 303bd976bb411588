"""One clear line from a pydantic error: what must hold, what was got, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from hpsearch.errors import Setting, did_you_mean

_TYPES = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "an integer",
    "model_type": "a table",
    "string_type": "text",
    "tuple_type": "a list",
    "too_long": "shorter",
}


def train_key(setting: Setting) -> str:
    """How a study file writes a setting of ``[train]``."""
    return f"[train] {setting.name}" + (f" = {setting.value!r}" if setting.has_value else "")


def first_problem(
    error: ValidationError, model: type[BaseModel], prefix: str = "", rename: Mapping[str, str] | None = None
) -> str:
    """The first problem as ``key must be …, but is …``, and how many more there are.

    Args:
        error: what pydantic raised.
        model: what was being built: its fields are the valid names.
        prefix: what stands before the key.
        rename: other names for keys.
    """
    problems = error.errors()
    problem = problems[0]
    place = [str(part) for part in problem["loc"] if isinstance(part, int) or str(part).isidentifier()]
    key = (rename or {}).get(place[0], place[0]) if place else ""
    name = " ".join(part for part in (prefix, key) if part)
    others = len({other["loc"][:1] for other in problems}) - 1  # several of one key are what each kind of it says
    more = f" ({others} more after this.)" if others else ""
    if problem["type"] == "extra_forbidden":
        valid = [field.alias or field_name for field_name, field in model.model_fields.items()]
        return f"{prefix} has no key {key!r}. {did_you_mean(key, valid)}".lstrip() + more
    return _sentence(name, problem) + more


def _sentence(name: str, problem: Any) -> str:
    kind, got, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "missing":
        return f"{name} is missing."
    if kind == "string_pattern_mismatch":
        return f"{name} must match {context['pattern']}, but is {got!r}."
    if kind == "literal_error":
        return f"{name} must be {context['expected']}, but is {got!r}."
    bounds = {"greater_than_equal": ("at least", "ge"), "greater_than": ("above", "gt"),
              "less_than_equal": ("at most", "le"), "less_than": ("below", "lt")}  # fmt: skip
    if kind in bounds:
        word, limit = bounds[kind]
        return f"{name} must be {word} {context[limit]}, but is {got!r}."
    if kind in _TYPES:
        return f"{name} must be {_TYPES[kind]}, but is {got!r}."
    if "must" in context:
        return f"{name} {context['must']}, but {context['got']}.".lstrip()
    text = str(context.get("text", problem["msg"]))
    return f"{name} {text}" if text.startswith(("must", "has")) and name else text
