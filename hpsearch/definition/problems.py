"""What pydantic found wrong, as an error with fields: which setting, what must hold, what was got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError

from hpsearch.definition.registered import Registered
from hpsearch.errors import DefinitionError, Setting, cut, quoted
from hpsearch.refusals import refusal


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
    name = " ".join(filter(None, [".".join(map(cut, keys[:2])), *map(cut, keys[2:])]))
    found.where = (Setting(name),) if name else ()
    others = len({other.keys for _, other in problems}) - 1  # several of one key are what each kind of it says
    if others:
        said = found.do if isinstance(found.do, tuple) else (found.do,)
        found.do = (*said, f"{' ' if found.do else ''}({others} more after this.)")
    return found


def _fields(problem: Any, place: _Place) -> DefinitionError:
    valid = [field.alias or name for name, field in place.owner.model_fields.items()]
    return refusal(problem, place.keys[-1] if place.keys else "", valid)


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
                keys += (f"{quoted(union.names(kind)[0])}:",) if union.short else ()
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
