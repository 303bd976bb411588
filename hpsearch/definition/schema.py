"""The JSON schema of a study file, made from what checks one: editors complete and check with it.

A schema cannot say all that a definition checks (that a low end comes before a high one, what goes together): whatever
a definition accepts it accepts, and most of what it accepts a definition does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from hpsearch.data.sources import SOURCES
from hpsearch.definition.sections import HoldoutSection, OriginSection, SearchSection, StudySection, ValidationSection
from hpsearch.definition.strategies import PRUNERS, SAMPLERS, Strategy
from hpsearch.validation.config import PER_LAYER, SHARED, Config

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "A study file of hpsearch"
# The file's name beside study files, as their first line has it.
FILE_NAME = "hpsearch.schema.json"
FIRST_LINE = f"#:schema ./{FILE_NAME}"

Schema = dict[str, Any]

SEARCHABLE = tuple(name for name in Config.model_fields if name not in SHARED)
_LAYER = "layer[1-9][0-9]*"

_SECTIONS = {
    "study": "What the study is called, and its seed.",
    "data": "Where the rows come from.",
    "holdout": "Rows set aside before anything else and scored once, by retrain.",
    "validation": "How the rows that are not held out are split.",
    "train": "What every trial shares, and what cv and retrain use.",
    "space": "What the search chooses, and from what; it overrides [train] by name.",
    "search": "What is searched for, how many trials, who proposes and stops them.",
    "origin": "Where an exported configuration came from; written by best.",
}
_SOURCES = {"nnfs": "Generated rows.", "sklearn": "Rows that come with scikit-learn."}
_OPTIONS = {
    "log": {"type": "boolean", "default": False, "description": "on a logarithmic axis; the low end is above 0"},
    "step": {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "from value to value; it divides the range",
    },
}


def study_schema() -> Schema:
    """The JSON schema (draft 2020-12) of a study file, in plain values."""
    train = _model(Config)
    sections = {
        "study": _model(StudySection),
        "data": _data(),
        "holdout": _model(HoldoutSection),
        "validation": _model(ValidationSection),
        "train": train,
        "space": _space(train["properties"]),
        "search": _search(train["properties"]),
        "origin": _model(OriginSection),
    }
    described = {name: {"description": _SECTIONS[name], **section} for name, section in sections.items()}
    head = {"$schema": DIALECT, "title": TITLE}
    return {**head, **_table(described, required=["study", "data"]), "$defs": _OPTIONS}


def schema_text() -> str:
    """The schema as a file holds it."""
    return json.dumps(_whole(study_schema()), indent=2, ensure_ascii=False) + "\n"


def _whole(value: Any) -> Any:
    """Whole numbers without a point: versions of pydantic differ in how they write the bounds of fractions."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value


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

    def nullable_schema(self, schema: Any) -> Schema:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> Schema:
        made = super().default_schema(schema)
        return {key: value for key, value in made.items() if key != "default" or value is not None}


def _model(kind: type[BaseModel]) -> Schema:
    made = kind.model_json_schema(schema_generator=_Plain)
    return {key: value for key, value in made.items() if key not in ("title", "description")}


def _table(properties: Mapping[str, Any], required: list[str] | None = None, **more: Any) -> Schema:
    needed = {"required": required} if required else {}
    return {"type": "object", "properties": dict(properties), **needed, "additionalProperties": False, **more}


def _about(kind: type[BaseModel]) -> str:
    """The first paragraph of a class's docstring."""
    text = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    return text.replace("``", "")


def _data() -> Schema:
    """One alternative a class of sources, told apart by ``source``."""
    names: dict[type[BaseModel], list[str]] = {}
    for name, source in sorted(SOURCES.items()):
        names.setdefault(source, []).append(name)
    alternatives = []
    for kind, of_kind in names.items():
        made = _model(kind)
        # What a name stands for is the user's to fill in.
        own = {"pattern": "^python:[^:]+:[^:]+$"} if of_kind[0].startswith("python:") else {"enum": of_kind}
        made["properties"]["source"] |= own
        about = _SOURCES.get(of_kind[0].partition(":")[0]) or _about(kind)
        alternatives.append({"description": about, **made})
    return {"type": "object", "required": ["source"], "oneOf": alternatives}


def _search(hyperparameters: Mapping[str, Schema]) -> Schema:
    made = _model(SearchSection)
    properties = made["properties"]
    properties["sampler"] = {"default": "tpe", **_strategy(SAMPLERS, "what proposes trials")}
    properties["pruner"] = {"default": "median", **_strategy(PRUNERS, "what stops trials early")}
    known = {
        name: {
            "description": hyperparameters[name].get("description", ""),
            "$ref": f"{_dimension_at(name)}/properties/choice/items",
        }
        for name in SEARCHABLE
    }
    of_layers = {rf"^{_LAYER}\.{name}$": known[name] for name in PER_LAYER}
    properties["enqueue"]["items"] = _table(known, patternProperties=of_layers)
    return made


def _strategy(registry: Mapping[str, type[Strategy]], what: str) -> Schema:
    tables = []
    for name, kind in sorted(registry.items()):
        made = _model(kind)
        made["properties"]["name"] = {"const": name, "description": _about(kind)}
        tables.append(made)
    return {
        "description": f"{what}: a name, or a table of it and its options",
        "anyOf": [{"enum": sorted(registry)}, *tables],
    }


def _space(hyperparameters: Mapping[str, Schema]) -> Schema:
    of_layers = {name: {"$ref": _dimension_at(name)} for name in PER_LAYER}
    layer = _table(of_layers, description="the values of one layer; layer1 is the first hidden one")
    flat = {rf"^{_LAYER}\.{name}$": reference for name, reference in of_layers.items()}
    searched = {name: _dimension(hyperparameters[name]) for name in SEARCHABLE}
    return _table(searched, patternProperties={f"^{_LAYER}$": layer, **flat})


def _dimension_at(name: str) -> str:
    return f"#/properties/space/properties/{name}"


def _dimension(hyperparameter: Schema) -> Schema:
    """A range or choices of a hyperparameter, whose values are those that ``[train]`` may have."""
    value = _single(hyperparameter)
    parts = {part.get("type"): part for part in _alternatives(value)}
    number = parts.get("number") or parts.get("integer")
    ranges = {}
    for kind, words, possible in (
        ("int", "[lowest, highest], whole numbers", number),
        ("float", "[lowest, highest]", parts.get("number")),
    ):
        if possible is not None:
            end = {**possible, "type": "integer" if kind == "int" else "number"}
            ranges[kind] = {"description": words, "type": "array", "items": end, "minItems": 2, "maxItems": 2}
    options = {name: {"$ref": f"#/$defs/{name}"} for name in _OPTIONS} if ranges else {}
    choice = {"type": "array", "items": value, "minItems": 1, "uniqueItems": True, "description": "the values to try"}
    kinds = {**ranges, "choice": choice}
    one = [{"required": [kind]} for kind in kinds]
    return _table({**kinds, **options}, description=hyperparameter.get("description", ""), oneOf=one)


def _alternatives(schema: Schema) -> list[Schema]:
    alternatives: list[Schema] = schema.get("anyOf", [schema])
    return alternatives


def _single(hyperparameter: Schema) -> Schema:
    """One value of a hyperparameter, where ``[train]`` takes a list of one a layer, too."""
    about = {"description", "default"}
    parts = [part for part in _alternatives(hyperparameter) if part.get("type") not in ("array", "object")]
    plain = [{key: value for key, value in part.items() if key not in about} for part in parts]
    return plain[0] if len(plain) == 1 else {"anyOf": plain}
