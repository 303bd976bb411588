"""A setting that an error speaks of, as a study file writes it."""

from __future__ import annotations

import tomllib
from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel

from hpsearch.data.sources import SOURCES
from hpsearch.definition.sections import HoldoutSection, SearchSection, StudySection, ValidationSection
from hpsearch.definition.study import as_key
from hpsearch.errors import Setting
from hpsearch.validation.config import Config

SECTIONS: dict[str, list[type[BaseModel]]] = {
    "study": [StudySection],
    "data": list(SOURCES.values()),
    "holdout": [HoldoutSection],
    "validation": [ValidationSection],
    "train": [Config],
    "search": [SearchSection],
}
KEYS = {(section, key) for section, models in SECTIONS.items() for model in models for key in model.model_fields}


@pytest.mark.parametrize(("section", "key"), sorted(KEYS))
def test_a_key_is_written_with_its_section_whether_its_name_says_it_or_not(section: str, key: str) -> None:
    assert as_key(Setting(f"{section}.{key}")) == f"[{section}] {key}"
    if key != "fraction":
        assert as_key(Setting(key)) == f"[{section}] {key}"


def test_no_two_sections_have_a_key_but_fraction() -> None:
    assert [key for key, count in Counter(key for _, key in KEYS).items() if count > 1] == ["fraction"]
    assert as_key(Setting("holdout_fraction")) == "[holdout] fraction"
    assert as_key(Setting("fraction")) == "[validation] fraction"


@pytest.mark.parametrize("value", [["x", 'a"b'], "regression", True, 3, 0.25, [1, 2]])
def test_a_value_is_written_as_toml(value: Any) -> None:
    section, text = as_key(Setting("data.drop", value)).split("] ", 1)
    assert section == "[data"
    assert tomllib.loads(text) == {"drop": value}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("space.layer2.neurons", "[space.layer2] neurons"),
        ("space.layer2", "[space.layer2]"),
        ("space.learning_rate", "[space] learning_rate"),
        ("validation", "[validation]"),
        ("storage", "storage"),
    ],
)
def test_layers_have_tables_sections_are_themselves_and_other_settings_are_arguments(name: str, text: str) -> None:
    assert as_key(Setting(name)) == text


def test_a_setting_that_is_no_key_is_written_as_python_has_it() -> None:
    assert as_key(Setting("force", True)) == "force=True"
