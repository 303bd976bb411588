"""The JSON schema says what a definition checks."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, TOP
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError
from readmes import all_blocks

from hpsearch.data.sources import SOURCES
from hpsearch.data.splits import SPLITTERS
from hpsearch.definition.initial_design import INITIAL_DESIGNS
from hpsearch.definition.pruners import PRUNERS
from hpsearch.definition.samplers import SAMPLERS
from hpsearch.definition.schema import FILE_NAME, FIRST_LINE, is_schema, schema_text, study_schema
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DefinitionError, MissingExtraError
from hpsearch.validation.config import SHARED, Config

STUDIES = sorted((TOP / "studies").glob("*.toml"))
SCHEMA = study_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
BLOCKS = all_blocks("toml")


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """A small study with other values, by ``section.key``; None takes a key away."""
    raw = tomllib.loads(SMALL)
    for place, value in changes.items():
        *path, key = place.split(".")
        table = raw
        for part in path:
            table = table.setdefault(part, {})
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
    return raw


def properties(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that a schema knows, and what is said of it."""
    if isinstance(schema, list):
        for part in schema:
            yield from properties(part, place)
    elif isinstance(schema, dict):
        for name, value in schema.get("properties", {}).items():
            yield f"{place}.{name}", value
            yield from properties(value, f"{place}.{name}")
        for key, value in schema.items():
            if key != "properties":
                yield from properties(value, place)


def test_it_is_a_schema_of_its_dialect_and_says_so() -> None:
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(SCHEMA)
    assert is_schema(schema_text())
    assert not is_schema('{"title": "another"}')
    assert not is_schema("[study]")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_studies_shipped_are_valid_and_name_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    VALIDATOR.validate(tomllib.loads(text))
    assert text.splitlines()[0] == FIRST_LINE


def test_the_file_beside_the_studies_is_what_the_command_prints() -> None:
    """After a change: hpsearch schema -o studies/hpsearch.schema.json."""
    assert (TOP / "studies" / FILE_NAME).read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("name", BLOCKS)
def test_the_files_of_the_readmes_are_valid(name: str) -> None:
    VALIDATOR.validate(tomllib.loads(BLOCKS[name]))


def test_every_key_is_explained() -> None:
    found = dict(properties(SCHEMA))
    assert len(found) > 100
    for place, schema in found.items():
        while "$ref" in schema and "description" not in schema:
            schema = resolved(schema["$ref"])
        assert schema.get("description"), place


def resolved(reference: str) -> Any:
    schema: Any = SCHEMA
    for part in reference.removeprefix("#/").split("/"):
        schema = schema[part]
    return schema


def section_of(name: str) -> Any:
    section = SCHEMA["properties"][name]
    return resolved(section["$ref"]) if "$ref" in section else section


def test_the_choices_are_those_of_the_registries() -> None:
    sections = {name: section_of(name) for name in SCHEMA["properties"]}
    assert sections["validation"]["properties"]["splitter"]["enum"] == sorted(SPLITTERS)
    for key, registry in (("sampler", SAMPLERS), ("pruner", PRUNERS), ("initial_design", INITIAL_DESIGNS)):
        alone, *tables = sections["search"]["properties"][key]["anyOf"]
        assert alone["enum"] == sorted(registry)
        assert [table["properties"]["name"]["const"] for table in tables] == sorted(registry)
    assert set(sections["train"]["properties"]) == set(Config.model_fields)
    assert set(sections["space"]["properties"]) == set(Config.model_fields) - set(SHARED)
    sources = [kind["properties"]["source"] for kind in sections["data"]["oneOf"]]
    named = [name for source in sources for name in source.get("enum", ())]
    assert sorted(named) == sorted(name for name in SOURCES if not name.startswith("python:"))


RIGHT: dict[str, dict[str, Any]] = {
    "as it is": {},
    "a list of neurons": {"train.neurons": [8, 4], "space": None, "search": None},
    "a list of lambdas": {"train.weight_l2": [5e-4, 0], "space": None, "search": None},
    "whole numbers for fractions": {"train.learning_rate": 1, "train.weight_l1": 0},
    "class weights": {"train.class_weight": {"0": 1, "1": 2.5, "2": 0}},
    "balanced classes": {"train.class_weight": "balanced"},
    "a sampler and a pruner by name": {"search.sampler": "random", "search.pruner": "none"},
    "an option of a pruner": {"search.pruner": {"name": "percentile", "percentile": 40}},
    "an initial design": {"search.initial_design": "portfolio"},
    "an option of an initial design": {"search.initial_design": {"name": "portfolio", "size": 3}},
    "a grid": {
        "space": {"neurons": {"int": [4, 12], "step": 4}, "learning_rate": {"float": [0.1, 0.3], "step": 0.1}},
        "search": {"sampler": "grid", "trials": 5},
    },
    "choices of two kinds": {"space": {"batch_size": {"choice": [8, "full"]}}},
    "a whole range for a fraction": {"space": {"learning_rate": {"int": [1, 2]}}},
    "a layer by its dotted name": {"space": {"layer1.weight_l2": {"float": [0.0, 0.1]}}},
    "known values": {"search.enqueue": [{"hidden_layers": 1, "layer1.neurons": 8, "optimizer": "sgd"}]},
    "a function's own arguments": {"data": {"source": "python:rows:load", "anything": {"goes": [1]}}, "holdout": None},
    "a data set": {"data": {"source": "sklearn:wine"}},
    "a file": {
        "data": {"source": "csv", "path": "a.csv", "target": "y", "drop": ["id"], "missing": ["?"], "impute": "mean"}
    },
    "a finding overruled": {"validation.allow": ["duplicates"]},
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_a_definition_accepts_the_schema_accepts(case: str, tmp_path: Path) -> None:
    raw = changed(RIGHT[case])
    StudyDefinition.from_mapping(deepcopy(raw), tmp_path)
    VALIDATOR.validate(raw)


KEYS = [
    f"{section}.{key}"
    for section in SCHEMA["properties"]
    if section != "origin"
    for key in section_of(section).get("properties", SOURCES["csv"].model_fields)
]
VALUES = st.one_of(
    st.sampled_from(
        [True, False, 0, 1, -1, 0.5, 1.5, "", "full", "adam", "relu", "tpe", "csv", "nnfs:spiral", "a", []]
    ),
    st.sampled_from(sorted({*SPLITTERS, *SAMPLERS, *PRUNERS, *INITIAL_DESIGNS, *SOURCES})),
    st.integers(-2, 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(0, 9) | st.floats(0, 1) | st.sampled_from(["adam", "sgd", "he", "id"]), max_size=3),
    st.builds(
        lambda kind, ends, more: {kind: ends, **more},
        st.sampled_from(["int", "float", "choice"]),
        st.lists(st.integers(1, 9) | st.floats(1e-3, 1), max_size=3),
        st.sampled_from([{}, {"log": True}, {"step": 1}, {"log": 1}]),
    ),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(case=st.sampled_from(sorted(RIGHT)), key=st.sampled_from(KEYS), value=VALUES)
def test_whatever_a_definition_accepts_the_schema_accepts(case: str, key: str, value: Any) -> None:
    raw = changed(deepcopy(RIGHT[case]))
    table = raw.setdefault(key.partition(".")[0], {})
    if not isinstance(table, dict):
        return
    table[key.partition(".")[2]] = value
    try:
        StudyDefinition.from_mapping(deepcopy(raw), Path())
    except DefinitionError:
        return
    except MissingExtraError:  # refused for what is not installed here, not for what the file says
        pass
    VALIDATOR.validate(raw)


WRONG: dict[str, dict[str, Any]] = {
    "no study": {"study": None},
    "no data": {"data": None},
    "an unknown section": {"serach": {}},
    "a section that is none": {"train": 3},
    "an unknown key of each section": {"holdout.fractoin": 0.1},
    "an unknown hyperparameter": {"train.nuerons": 3},
    "an unknown option of a source": {"data.path": "rows.csv"},
    "another source's option": {"data": {"source": "csv", "path": "a.csv", "target": "y", "samples": 10}},
    "a file without its target": {"data": {"source": "csv", "path": "a.csv"}},
    "an unknown source": {"data.source": "nnfs:sprial"},
    "no source": {"data.source": None},
    "a name with a blank": {"study.name": "two words"},
    "an empty name": {"study.name": ""},
    "a seed below 0": {"study.seed": -1},
    "a seed beyond 63 bits": {"study.seed": 2**63},
    "all rows held out": {"holdout.fraction": 1},
    "an unknown splitter": {"validation.splitter": "kflod"},
    "no splits": {"validation.n_splits": 0},
    "text for a number": {"validation.n_splits": "5"},
    "a boolean for a number": {"train.epochs": True},
    "a number for a boolean": {"validation.shuffle": 1},
    "an unknown checkpoint": {"validation.checkpoint": "first"},
    "an unknown finding": {"validation.allow": ["duplicate"]},
    "no neurons": {"train.neurons": 0},
    "a list with no neurons": {"train.neurons": [8, 0]},
    "a fraction of a neuron": {"train.neurons": 8.5},
    "a lambda below 0": {"train.weight_l2": -1e-3},
    "a lambda below 0 in a list": {"train.bias_l1": [0, -1]},
    "no learning rate": {"train.learning_rate": 0},
    "momentum 1": {"train.momentum": 1.0},
    "an unknown optimizer": {"train.optimizer": "adm"},
    "a batch of nothing": {"train.batch_size": 0},
    "a batch of words": {"train.batch_size": "all"},
    "an unknown dtype": {"train.dtype": "float16"},
    "a class weight below 0": {"train.class_weight": {"a": -1}},
    "no epochs to search": {"space": {"epochs": {"int": [0, 10]}}},
    "a fraction of a neuron to search": {"space": {"neurons": {"float": [4.0, 8.0]}}},
    "an unknown choice": {"space": {"optimizer": {"choice": ["adam", "adm"]}}},
    "a choice of nothing": {"space": {"optimizer": {"choice": []}}},
    "a choice twice": {"space": {"optimizer": {"choice": ["adam", "adam"]}}},
    "a range of text": {"space": {"activation": {"int": [1, 2]}}},
    "two kinds of range": {"space": {"neurons": {"int": [4, 8], "choice": [4]}}},
    "no kind of range": {"space": {"neurons": {"log": True}}},
    "one end": {"space": {"neurons": {"int": [4]}}},
    "a value for a range": {"space": {"neurons": 8}},
    "an unknown key of a range": {"space": {"neurons": {"int": [4, 8], "base": 2}}},
    "a step of nothing": {"space": {"neurons": {"int": [4, 8], "step": 0}}},
    "a setting that cannot be searched": {"space": {"dtype": {"choice": ["float32"]}}},
    "layer 0": {"space": {"layer0": {"neurons": {"int": [4, 8]}}}},
    "a layer's optimizer": {"space": {"layer1": {"optimizer": {"choice": ["adam"]}}}},
    "no trials": {"search.trials": 0},
    "an unknown sampler": {"search.sampler": "tep"},
    "a sampler without a name": {"search.sampler": {"n_startup_trials": 3}},
    "another sampler's option": {"search.sampler": {"name": "random", "n_startup_trials": 3}},
    "a pruner's option out of range": {"search.pruner": {"name": "percentile", "percentile": 101}},
    "an initial design's option out of range": {"search.initial_design": {"name": "portfolio", "size": 0}},
    "an unknown objective": {"search.objective": "acuracy"},
    "an unknown known value": {"search.enqueue": [{"nuerons": 3}]},
    "an origin without its study": {"origin": {"trial": 3}},
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_schema_refuses_a_definition_refuses(case: str, tmp_path: Path) -> None:
    raw = changed(WRONG[case])
    with pytest.raises(ValidationError):
        VALIDATOR.validate(raw)
    with pytest.raises(DefinitionError):
        StudyDefinition.from_mapping(raw, tmp_path)


def test_the_schema_is_plain_json_and_the_same_each_time() -> None:
    assert json.loads(schema_text()) == study_schema() == SCHEMA
