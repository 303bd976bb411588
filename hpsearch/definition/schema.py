"""The JSON schema of a study file, made from what checks one: editors complete and check with it.

A schema cannot say all that a definition checks (that a low end comes before a high one, what goes together): whatever
a definition accepts it accepts, and most of what it accepts a definition does. It is pydantic's own, but for what is
searched: a range has the bounds that its hyperparameter has in ``[train]``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from hpsearch.definition.space import SEARCHABLE
from hpsearch.definition.study import StudyDefinition
from hpsearch.validation.config import PER_LAYER

TITLE = "A study file of hpsearch"
# The file's name beside study files, as their first line has it.
FILE_NAME = "hpsearch.schema.json"
FIRST_LINE = f"#:schema ./{FILE_NAME}"

Schema = dict[str, Any]

_LAYER = "layer[1-9][0-9]*"


def study_schema() -> Schema:
    """The JSON schema (draft 2020-12) of a study file, in plain values."""
    made = StudyDefinition.model_json_schema(schema_generator=_Plain)
    kinds, sections = made["$defs"], made["properties"]
    searched = {name: kinds["Config"]["properties"][name] for name in SEARCHABLE}
    sections["space"] = {
        "description": sections["space"]["description"],
        **_space(searched, kinds["Dimension"]["properties"]),
    }
    del kinds["Space"]
    kinds["SearchSection"]["properties"]["enqueue"]["items"] = _known(searched)
    plain: Schema = _plain({"$schema": GenerateJsonSchema.schema_dialect, "title": TITLE, **made})
    return plain


def schema_text() -> str:
    """The schema as a file holds it."""
    return json.dumps(study_schema(), indent=2, ensure_ascii=False) + "\n"


def is_schema(text: str) -> bool:
    """Whether a file's text is a schema that some version of this module made."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("title") == TITLE


class _Plain(GenerateJsonSchema):
    """Without titles, which repeat the names, and without null, which TOML has not."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: Any) -> Schema:
        return {key: value for key, value in super().model_schema(schema).items() if key != "title"}

    def nullable_schema(self, schema: Any) -> Schema:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> Schema:
        made = super().default_schema(schema)
        shown = made.get("default") is not None and not isinstance(made["default"], dict)  # a section's are its keys'
        return made if shown else {key: value for key, value in made.items() if key != "default"}


def _plain(value: Any) -> Any:
    """Descriptions of one paragraph; whole numbers without a point, as versions of pydantic differ in bounds."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if not isinstance(value, Mapping):
        return value
    made = {key: _plain(inner) for key, inner in value.items()}
    if isinstance(made.get("description"), str):
        made["description"] = " ".join(made["description"].split("\n\n")[0].replace("``", "").split())
    return made


def _table(properties: Mapping[str, Any], **more: Any) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False, **more}


def _space(searched: Mapping[str, Schema], dimension: Schema) -> Schema:
    of_layers = {name: {"$ref": _at(name)} for name in PER_LAYER}
    layer = _table(of_layers, description="the values of one layer; layer1 is the first hidden one")
    flat = {rf"^{_LAYER}\.{name}$": reference for name, reference in of_layers.items()}
    ranges = {name: _dimension(hyperparameter, dimension) for name, hyperparameter in searched.items()}
    return _table(ranges, patternProperties={f"^{_LAYER}$": layer, **flat})


def _known(searched: Mapping[str, Schema]) -> Schema:
    """Values of hyperparameters that the search begins with."""
    known = {
        name: {"description": hyperparameter["description"], "$ref": f"{_at(name)}/properties/choice/items"}
        for name, hyperparameter in searched.items()
    }
    return _table(known, patternProperties={rf"^{_LAYER}\.{name}$": known[name] for name in PER_LAYER})


def _at(name: str) -> str:
    return f"#/properties/space/properties/{name}"


def _dimension(hyperparameter: Schema, dimension: Schema) -> Schema:
    """A range or choices of a hyperparameter, whose values are those that ``[train]`` may have, one for all layers."""
    parts = [
        part for part in hyperparameter.get("anyOf", [hyperparameter]) if part.get("type") not in ("array", "object")
    ]
    plain = [{key: value for key, value in part.items() if key not in ("description", "default")} for part in parts]
    by_type = {part["type"]: part for part in plain if "type" in part}
    number = by_type.get("number", by_type.get("integer"))
    values = {"int": {**number, "type": "integer"} if number else None, "float": by_type.get("number")}
    ends: Schema = {kind: {"items": value, "minItems": 2, "maxItems": 2} for kind, value in values.items() if value}
    choice = {"items": plain[0] if len(plain) == 1 else {"anyOf": plain}, "minItems": 1, "uniqueItems": True}
    kinds = {
        kind: {"description": dimension[kind]["description"], "type": "array", **array}
        for kind, array in {**ends, "choice": choice}.items()
    }
    options = {name: {"$ref": f"#/$defs/Dimension/properties/{name}"} for name in ("log", "step") if ends}
    one = [{"required": [kind]} for kind in kinds]
    return _table({**kinds, **options}, description=hyperparameter["description"], oneOf=one)
