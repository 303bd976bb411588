"""Fields that name an entry of a registry."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function

from hpsearch.errors import DefinitionError, did_you_mean, quoted


def one_of(registry: Collection[str], what: str) -> OneOf:
    """For a text field whose values are the keys of a registry."""
    return OneOf(registry, what)


@dataclass(frozen=True, eq=False)  # a registry has no hash
class OneOf:
    """What :func:`one_of` gives: names that are checked when read, and listed in the JSON schema."""

    registry: Collection[str]
    what: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": sorted(self.registry)}

    def _check(self, value: str) -> str:
        if value not in self.registry:
            raise DefinitionError(got=f"Unknown {self.what} {quoted(value)}", do=did_you_mean(value, self.registry))
        return value
