"""What pydantic found wrong, as an error with fields: which setting, what must hold, what was got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError

from hpsearch.definition.registered import Registered
from hpsearch.errors import DefinitionError, HpsearchError, Setting, did_you_mean

_TYPES = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "an integer",
    "list_type": "a list",
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


def first_problem(error: ValidationError, model: type[BaseModel]) -> DefinitionError:
    """The first problem, and how many more there are.

    A check that fails says so by an error of ours: ``DefinitionError("must be odd", f"is {value}")``, of a check of a
    whole table with the key as its ``where``. One without ``must`` is a sentence of its own, about the table.

    Args:
        error: what pydantic raised.
        model: what was being built. Its settings are called by their keys; by ``section.key`` if it has sections.
    """
    problems = [(problem, _Place.of(problem["loc"], model)) for problem in error.errors()]
    problem, place = problems[0]
    found = _fields(problem, place)
    if not place.keys:  # of the whole: it says itself which setting is meant
        return found
    keys = [*place.keys, *(part.name for part in found.where if isinstance(part, Setting))]
    if not found.must or problem["type"] == "extra_forbidden":
        keys = keys[:-1]
    name = " ".join(filter(None, [".".join(keys[:2]), *keys[2:]]))
    found.where = (Setting(name),) if name else ()
    others = len({other.keys for _, other in problems}) - 1  # several of one key are what each kind of it says
    if others:
        said = found.do if isinstance(found.do, tuple) else (found.do,)
        found.do = (*said, f"{' ' if found.do else ''}({others} more after this.)")
    return found


def _fields(problem: Any, place: _Place) -> DefinitionError:
    kind, got, context = problem["type"], f"is {problem['input']!r}", problem.get("ctx", {})
    error = context.get("error")
    if isinstance(error, HpsearchError):
        return DefinitionError(error.must, error.got, error.do, error.where)
    if kind == "extra_forbidden":
        valid = [field.alias or name for name, field in place.owner.model_fields.items()]
        return DefinitionError(f"has no key {place.keys[-1]!r}", do=did_you_mean(place.keys[-1], valid))
    if kind == "missing":
        return DefinitionError("is missing")
    if kind == "string_pattern_mismatch":
        return DefinitionError(f"must match {context['pattern']}", got)
    if kind == "literal_error":
        return DefinitionError(f"must be {context['expected']}", got)
    if kind in _BOUNDS:
        word, limit = _BOUNDS[kind]
        return DefinitionError(f"must be {word} {context[limit]}", got)
    return DefinitionError(f"must be {_TYPES[kind]}" if kind in _TYPES else problem["msg"], got)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, if it holds one, maybe."""
    models = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    return next((kind for kind in models if issubclass(kind, BaseModel)), None)


def _bare(annotation: Any) -> Any:
    """A type without what ``Annotated`` says of it, which pydantic takes away since 2.11."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


@dataclass(frozen=True)
class _Place:
    """Where a problem is.

    Attributes:
        keys: the keys to it, and of a table that is chosen by its name that name.
        owner: the model that has the last key.
    """

    keys: tuple[str, ...]
    owner: type[BaseModel]

    @classmethod
    def of(cls, loc: Sequence[int | str], model: type[BaseModel]) -> _Place:
        keys: tuple[str, ...] = ()
        owner, kind, union = model, _model_of(model), None
        for part in map(str, loc):
            if union is not None:  # the tag of its member
                kind = union.kinds[part]
                keys += (f"{union.names(kind)[0]!r}:",) if union.short else ()
                union = None
                continue
            if kind is None:  # within a value
                break
            keys += (part,)
            if issubclass(kind, RootModel):
                values = get_args(_bare(kind.model_fields["root"].annotation))[1:]
                kind = _model_of(*values)
                continue
            owner = kind
            found = {field.alias or name: field for name, field in owner.model_fields.items()}.get(part)
            kind = _model_of(found.annotation) if found else None
            union = next((mark for mark in found.metadata if isinstance(mark, Registered)), None) if found else None
        return cls(keys, owner)
