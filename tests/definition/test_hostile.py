"""Whatever a study file says, it is accepted and can run, or refused in one short line that names the key."""

from __future__ import annotations

import copy
import math
import os
import random
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from hpsearch.data.sources import SOURCES
from hpsearch.definition import sections
from hpsearch.definition.schema import study_schema
from hpsearch.definition.space import SEARCHABLE
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DefinitionError, HpsearchError
from hpsearch.validation.config import Config

STUDIES = {path.name: tomllib.loads(path.read_text()) for path in sorted(Path("studies").resolve().glob("*.toml"))}
SCHEMA = study_schema()
MOST_OF_A_LINE = 1000
BASE: dict[str, Any] = {
    "study": {"name": "a"},
    "data": {"source": "nnfs:spiral", "samples": 20},
    "space": {"learning_rate": {"float": [1e-3, 1e-1], "log": True}},
}


def made(changes: dict[str, Any], base: dict[str, Any] = BASE) -> StudyDefinition:
    """The study with some keys set otherwise, ``section.key``, or a whole section."""
    raw = copy.deepcopy(base)
    for name, value in changes.items():
        section, _, key = name.partition(".")
        if key and isinstance(raw.setdefault(section, {}), dict):
            raw[section][key] = value
        elif not key:
            raw[section] = value
    definition = StudyDefinition.from_mapping(raw)
    # What a run asks of a definition before it reads a row.
    assert definition.identity()
    assert definition.attributes()
    assert definition.limit >= 1
    definition.build_pruner()
    return definition


def refusal(changes: dict[str, Any]) -> str:
    with pytest.raises(DefinitionError) as caught:
        made(changes)
    line = str(caught.value)
    assert_short(line)
    return line


def assert_short(line: str) -> None:
    assert line.isprintable()
    assert len(line) <= MOST_OF_A_LINE


# ---------------------------------------------------------------- anything anywhere

LONG = "x" * 5000
HOSTILE: list[Any] = [
    *(True, False, 0, 1, -1, 2, 0.5, 1.5, -0.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 1e-308, 5e-324),
    *(0.999999, 0.99999999, 2**31, 2**63 - 1, 2**64, 10**400, 10**4400, -(10**4400), 1000, 100_000, 999_999),
    *("", " ", "a", "full", "adam", LONG, "\n", "a\nb", "\x1b[31mred", "\u202e", "\0", "\ud800", "é" * 3000),
    *("grid", "qmc", "hyperband", "successive_halving", "balanced", "shuffle", "predefined", "log"),
    *([], {}, [[]], [{}], [1, 2], [2, 1], [0, 1e308], [1e-308, 1e308], [1.0, math.nan], [1] * 3000, [LONG] * 50),
    *({"a": 1}, {LONG: LONG}, {"a\nb": {"c": []}}, {"x": 1e-308, "y": 1e308}, b"\xff", object()),
    *({"int": [1, 2**63 - 1]}, {"int": [1, 10**400]}, {"int": [1, 5], "log": 1}, {"float": [0, 1e308]}),
    *(
        {"float": [1e-308, 1.0], "log": True},
        {"float": [0.1, 0.5], "step": 1e-300},
        {"float": [0.0, 1.0], "step": 1e-9},
    ),
    *({"choice": [*range(1, 20_000)]}, {"choice": [LONG]}, {"choice": [1e308, 1]}, {"choice": [10**4400]}),
    *({"name": "tpe", "n_ei_candidates": 2**62}, {"name": "hyperband", "reduction_factor": 2**62}, {"name": LONG}),
    *({"name": "successive_halving", "min_early_stopping_rate": 10**9}, {"name": "grid"}),
    *([{"neurons": 10**400}], [{LONG: 1}], [{}], [{"learning_rate": 10**4400}]),
]
MODELS: dict[str, list[type[BaseModel]]] = {
    "study": [sections.StudySection],
    "data": [*dict.fromkeys(SOURCES.values())],
    "holdout": [sections.HoldoutSection],
    "validation": [sections.ValidationSection],
    "train": [Config],
    "search": [sections.SearchSection],
    "retrain": [sections.RetrainSection],
    "origin": [sections.OriginSection],
}
KEYS = [
    *sorted({f"{section}.{key}" for section, kinds in MODELS.items() for kind in kinds for key in kind.model_fields}),
    *(f"space.{name}" for name in (*SEARCHABLE, "layer1.neurons", "layer99999999999999999999.neurons", "layer2")),
    *StudyDefinition.model_fields,
    *(LONG, f"study.{LONG}", "a\nb", "train.\x1b[0m", f"space.{LONG}", f"space.layer{'9' * 5000}.neurons", "data.\n"),
]


def assert_accepted_or_refused(seed: int) -> None:
    chooser = random.Random(seed)
    base = STUDIES[chooser.choice(sorted(STUDIES))]
    count = chooser.choice([1, 1, 1, 2, 3])
    changes = {chooser.choice(KEYS): chooser.choice(HOSTILE) for _ in range(count)}
    try:
        made(changes, base)
    except HpsearchError as error:
        line = str(error)
        assert_short(line)
        assert re.match(r"\[\w|There is no section \[|The section \[", line), (seed, line)


@pytest.mark.parametrize(
    "seeds", [range(60), pytest.param(range(60, 5000), marks=pytest.mark.campaign)], ids=["some", "many"]
)
def test_a_hostile_value_is_accepted_or_refused_in_one_line(seeds: range) -> None:
    for seed in seeds:
        assert_accepted_or_refused(seed)


# ---------------------------------------------------------------- bounds


def numbers(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every number of the JSON schema, and where it is."""
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number"):
            yield place, schema
        for key, inner in schema.items():
            yield from numbers(inner, f"{place}/{key}")
    elif isinstance(schema, list):
        for number, inner in enumerate(schema):
            yield from numbers(inner, f"{place}/{number}")


def test_every_whole_number_of_a_study_file_has_a_bound_that_the_schema_says() -> None:
    unbounded = [place for place, found in numbers(SCHEMA) if found["type"] == "integer" and not bounded(found)]
    assert [place for place in unbounded if "OriginSection" not in place] == []


def test_every_number_of_a_configuration_has_a_bound_that_the_schema_says() -> None:
    assert [place for place, found in numbers(SCHEMA["$defs"]["Config"]) if not bounded(found)] == []


def bounded(schema: dict[str, Any]) -> bool:
    return "maximum" in schema or "exclusiveMaximum" in schema


@pytest.mark.parametrize("name", [name for name in Config.model_fields if name not in ("leaky_slope", "dropout")])
def test_float32_tells_the_bounds_of_a_configuration_from_0_1_and_infinity(name: str) -> None:
    for _, found in numbers(SCHEMA["$defs"]["Config"]["properties"][name]):
        most, least = np.float32(found["maximum"]), np.float32(found["minimum"])
        assert np.isfinite(most)
        assert (most == 1) == (found["maximum"] == 1)
        assert (least == 0) == (found["minimum"] == 0)


WHOLE = [
    *("validation.n_splits", "validation.repeats", "train.epochs", "train.evaluate_every", "train.neurons"),
    *("train.hidden_layers", "train.batch_size", "search.trials", "search.max_parameters", "search.in_flight"),
    *("search.stop", "search.finalists", "search.finalist_repeats", "retrain.members", "data.samples", "data.classes"),
]


@pytest.mark.parametrize("key", WHOLE)
def test_a_number_without_end_is_refused_by_its_key_and_bound(key: str) -> None:
    section, name = key.split(".")
    for value, text in ((2**63 - 1, str(2**63 - 1)), (10**5000, "an integer of about 5,001 digits")):
        line = refusal({key: value})
        assert line.startswith(f"[{section}] {name} must be ")
        assert re.search(r"\d", line.partition(", but is ")[0])
        assert text in line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"validation.n_splits": 101, "validation.repeats": 100}, "[validation] must have at most 10,000 splits"),
        ({"train.neurons": [10_000, 10_000]}, "[train] neurons must give at most 100,000,000 weights"),
        ({"train.neurons": [1] * 1001}, "[train] neurons must be at most 1,000 layers"),
        ({"train.epochs": 1_000_000, "train.evaluate_every": 1}, "[train] evaluate_every must give at most 100,000"),
        ({"train.evaluate_every": 1, "space.epochs": {"int": [1, 10**6]}}, "[train] evaluate_every must give at most"),
        (
            {"space.neurons": {"int": [1, 10**6]}, "train.hidden_layers": 2},
            "[space] must choose networks of at most 100,000,000 weights and biases, but can choose some of ",
        ),
        ({"train.epochs": 10**6, "search.trials": 10**6}, "[search] must have at most 1,000,000,000,000 epochs in all"),
        ({"validation.n_splits": 10_000, "search.finalist_repeats": 11}, "[search] finalist_repeats must give at most"),
        ({"data.samples": 10**6}, "[data] samples must give at most 1,000,000 rows"),
        ({"space.decay": {"float": [0.0, 1.0], "step": 1e-300}}, "[space] decay must have at most 1,000,000 steps"),
        ({"space.decay": {"choice": [n / 1e5 for n in range(10_001)]}}, "[space] decay must offer at most 10,000"),
        (
            {"search.sampler": "grid", "space": {"neurons": {"int": [1, 10**6]}, "epochs": {"int": [1, 10**6]}}},
            "[space] must have at most 100,000 configurations for a grid",
        ),
        ({"search.enqueue": [{"learning_rate": 0.01}] * 10_001}, "[search] enqueue must have at most 10,000"),
    ],
    ids=lambda given: given[:60] if isinstance(given, str) else "",
)
def test_numbers_that_are_too_much_together_are_refused(changes: dict[str, Any], said: str) -> None:
    assert refusal(changes).startswith(said)


def test_what_is_large_and_can_be_run_is_accepted() -> None:
    made({"validation.n_splits": 150, "validation.repeats": 20, "train.epochs": 100_000, "search.trials": 1000})
    made({"train.neurons": [4096, 4096, 4096], "train.batch_size": 100_000})
    limited = made({"space.neurons": {"int": [1, 10**6]}, "train.hidden_layers": 2, "search.max_parameters": 1000})
    assert limited.sizes().largest > 10**12
    whole = {"neurons": {"int": [1, 1000]}, "learning_rate": {"choice": [0.01, 0.1]}}
    assert made({"space": whole, "search.sampler": "grid", "search.trials": 10**6}).limit == 2000


# ---------------------------------------------------------------- extremes


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("learning_rate", [1e-320, 1e-31, 1e31, 1e308]),
        ("decay", [1e7, 1e308]),
        ("weight_l1", [1e-308, 1e7, 1e308]),
        ("weight_l2", [1e-308, 1e7, 1e308]),
        ("bias_l1", [1e-45, 1e308]),
        ("bias_l2", [1e-45, 1e308]),
        ("epsilon", [1e-46, 1e308]),
        ("momentum", [0.9999999, 1 - 1e-16]),
        ("rho", [0.99999999]),
        ("beta1", [0.99999999]),
        ("beta2", [0.99999999]),
        ("dropout", [0.999999, 0.9999999]),
    ],
)
def test_an_extreme_is_refused_with_its_range_set_or_searched(name: str, values: list[float]) -> None:
    needs = {"momentum": "sgd", "rho": "rmsprop"}
    for value in values:
        optimizer = {"train.optimizer": needs.get(name, "adam")}
        must = refusal({f"train.{name}": value, **optimizer}).partition(", but is ")[0]
        assert must.startswith(f"[train] {name} must be ")
        assert re.search(r"1,000,000|1e-30|1e\+30|0\.999", must)
        for ends in ([value, 0.5], [0.5, value]):
            line = refusal({f"space.{name}": {"float": sorted(ends)}, **optimizer})
            assert line.startswith(f"[space] {name} must be ")


@pytest.mark.parametrize("weights", [{"a": 1e308}, {"a": 1e-308, "b": 1}, {"a": 1, "b": 1e13}, {"a": 10**400}])
def test_a_class_weight_that_overflows_is_refused(weights: dict[str, float]) -> None:
    line = refusal({"train.class_weight": weights})
    assert line.startswith(
        "[train] class_weight must be 'balanced', or by class 0 or a number from 1e-12 to 1e+12, but "
    )


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"[study]\nname = {'9' * 4301}\n", "an integer in it has thousands of digits"),
        (f"[study]\nname = {'[' * 5000}{']' * 5000}\n", "it has too many lists or tables inside each other"),
        (f'[study]\nname = "{LONG}"\n[data]\nsource = "sklearn:iris"\n', "must match"),
        (f"[study]\nname = 0x{'f' * 5000}\n[data]\nsource = 'sklearn:iris'\n", "an integer of about 6,021 digits"),
        (f"[study]\n{LONG} =\n", "must be valid TOML"),
        (f'[study]\nname = "a"\n[data]\nsource = "{LONG}"\n', "must name a source of rows"),
    ],
    ids=["digits", "depth", "name", "hexadecimal", "key", "source"],
)
def test_a_hostile_file_is_refused_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(DefinitionError) as caught:
        StudyDefinition.from_file(path)
    line = str(caught.value)
    assert_short(line)
    assert line.startswith(str(path))
    assert said in line


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * (2**24 + 1))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    readable = "must be a study file that can be read, but "
    for path, why in (
        (tmp_path / "pipe", f"{readable}is a pipe, not a regular file"),
        (Path("/dev/zero"), f"{readable}is a device, not a regular file"),
        (tmp_path / "large", "must have at most 4,194,304 characters, but has more"),
        (tmp_path / "loop", f"{readable}too many levels of symbolic links"),
        (tmp_path / "a\0b", f"{readable}no file can have such a name"),
        (tmp_path / LONG, f"{readable}file name too long"),
    ):
        with pytest.raises(DefinitionError) as caught:
            StudyDefinition.from_file(path)
        assert_short(str(caught.value))
        assert why in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [LONG, f"train.epochs={LONG}", f"{LONG}.x=1", f"train.epochs={'9' * 5000}", f"a.b={'[' * 5000}", "train.\x1b=1"],
    ids=["text", "value", "section", "digits", "depth", "escape"],
)
def test_a_hostile_override_is_refused_in_one_line(override: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('[study]\nname = "a"\n[data]\nsource = "nnfs:spiral"\n')
    with pytest.raises(DefinitionError) as caught:
        StudyDefinition.from_file(path, [override])
    assert_short(str(caught.value))
