"""Tables of a study file that are of one kind or another, as one of their keys says: sources, samplers, pruners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from hpsearch.errors import DefinitionError, did_you_mean, quoted


class Section(BaseModel):
    """A table of a study file. Frozen; checked at construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, eq=False, repr=False)  # a registry has no hash
class Registered:
    """For a field that holds a table of one of a registry's kinds: a union whose members one key tells apart.

    Attributes:
        registry: the kinds by name.
        key: the key that has the name.
        read: the table that a study file's value means; raises DefinitionError if it means none.
        kind_of: the kind of a name; raises DefinitionError if there is none.
        patterns: of names that stand for many others, what those look like.
        unlisted: kinds that the JSON schema does not show.
        short: whether the name alone will do.
    """

    registry: Mapping[str, type[BaseModel]]
    key: str
    read: Callable[[Any], Mapping[str, Any]]
    kind_of: Callable[[str], type[BaseModel]]
    patterns: Mapping[str, str] = field(default_factory=dict)
    unlisted: tuple[type[BaseModel], ...] = ()
    short: bool = False

    def __repr__(self) -> str:  # in signatures
        return f"Registered({self.key!r})"

    @property
    def kinds(self) -> dict[str, type[BaseModel]]:
        """The members of the union by their tags."""
        return {kind.__name__: kind for kind in (*self.registry.values(), *self.unlisted)}

    def names(self, kind: type[BaseModel]) -> list[str]:
        """What the registry calls a kind."""
        return [name for name, registered in self.registry.items() if registered is kind]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(given: Any) -> Mapping[str, Any]:
            table = self.read(given)
            self.kind_of(table[self.key])
            return table

        def tag(table: Any) -> str:  # of what is read, or of a member that is written
            return (type(table) if isinstance(table, BaseModel) else self.kind_of(table[self.key])).__name__

        members: dict[Any, CoreSchema] = {name: handler.generate_schema(kind) for name, kind in self.kinds.items()}
        union = core_schema.tagged_union_schema(members, tag)
        return core_schema.no_info_before_validator_function(read, union)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The members, and in each of them the names that its key may have."""
        members = []
        for kind in dict.fromkeys(self.registry.values()):
            member, names = handler.resolve_ref_schema(handler(kind.__pydantic_core_schema__)), self.names(kind)
            pattern = self.patterns.get(names[0])
            own = {"pattern": pattern} if pattern else {"const": names[0]} if self.short else {"enum": names}
            properties = member["properties"]
            members.append({**member, "properties": {**properties, self.key: {**properties[self.key], **own}}})
        return {"anyOf": [{"enum": [*self.registry]}, *members]} if self.short else {"oneOf": members}


def by_name(registry: Mapping[str, type[BaseModel]], what: str) -> Registered:
    """For a table whose ``name`` is one of the registry's, with options; or that name alone."""

    def read(given: Any) -> Mapping[str, Any]:
        table = {"name": given} if isinstance(given, str) else given
        if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
            raise DefinitionError("must be a name, alone or as 'name' with its options", f"is {quoted(given)}")
        return table

    def kind_of(name: str) -> type[BaseModel]:
        if name not in registry:
            raise DefinitionError(got=f"Unknown {what} {quoted(name)}", do=did_you_mean(name, registry))
        return registry[name]

    return Registered(registry, "name", read, kind_of, short=True)
