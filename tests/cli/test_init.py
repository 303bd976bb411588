"""Study files that write themselves, and their schema."""

from __future__ import annotations

import json
import shlex
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import TOP, Outcome
from jsonschema import Draft202012Validator

from hpsearch.definition import examples
from hpsearch.definition.schema import FILE_NAME, FIRST_LINE, schema_text
from hpsearch.definition.study import StudyDefinition
from hpsearch.search.objective import prepare

Call = Callable[..., Outcome]
STUDIES = TOP / "studies"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPSEARCH_STORAGE", raising=False)
    monkeypatch.setenv("HPSEARCH_WORKERS", "1")
    return tmp_path


def flowers() -> None:
    shutil.copy(STUDIES / "flowers.csv", "flowers.csv")


def listed() -> list[str]:
    return sorted(str(path.relative_to(Path.cwd())) for path in Path.cwd().rglob("*"))


# ---------------------------------------------------------------- for a table of rows


def test_a_table_becomes_a_study_that_runs_as_it_is(here: Path, hpsearch: Call) -> None:
    flowers()
    made = hpsearch("init", "flowers.csv", "--target", "species")
    assert (made.status, made.err) == (0, "")
    assert "Next: hpsearch check flowers.toml && hpsearch run flowers.toml" in made.out
    assert listed() == ["flowers.csv", "flowers.toml", FILE_NAME]
    text = Path("flowers.toml").read_text(encoding="utf-8")
    assert text.splitlines()[0] == FIRST_LINE
    assert set(tomllib.loads(text)) == {"study", "data", "holdout", "validation", "train", "space", "search", "retrain"}
    Draft202012Validator(json.loads(Path(FILE_NAME).read_text())).validate(tomllib.loads(text))
    assert hpsearch("check", "flowers.toml").status == 0
    assert hpsearch("run", "flowers.toml", "--trials", "3").status == 0
    assert hpsearch("best", "flowers", "-o", "best.toml").status == 0
    assert hpsearch("retrain", "best.toml").status == 0


def test_standard_input_is_no_file_that_a_study_can_name(here: Path, hpsearch: Call) -> None:
    made = hpsearch("init", "-", "--target", "y")
    assert (made.status, made.out, listed()) == (2, "", [])
    assert made.err == (
        "hpsearch: init must be given a file of rows, which the study file names, but got standard input. "
        "Save the rows to a file first.\n"
    )


def test_mixed_columns_and_parquet(here: Path, hpsearch: Call, mixed: Callable[..., pd.DataFrame]) -> None:
    rows = mixed(200).assign(kind=lambda table: np.where(table["age"] > 50, "old", table["kind"]))
    for name in ("rows.csv", "rows.parquet"):
        rows.to_csv(name, index=False) if name.endswith("csv") else rows.to_parquet(name)
        assert hpsearch("init", name, "--target", "kind", "--force").status == 0
        text = Path("rows.toml").read_text(encoding="utf-8")
        assert tomllib.loads(text)["data"]["source"] == name.rpartition(".")[2]
        assert "#   port    categorical, 3 values, " in text
        assert "#   paid    boolean\n" in text
        assert hpsearch("check", "rows.toml").status == 0


def test_the_path_is_relative_to_the_study_file(here: Path, hpsearch: Call) -> None:
    Path("data").mkdir()
    Path("studies").mkdir()
    shutil.copy(STUDIES / "flowers.csv", "data/my flowers.csv")
    assert hpsearch("init", "data/my flowers.csv", "--target", "species", "-o", "studies/a.toml").status == 0
    assert tomllib.loads(Path("studies/a.toml").read_text())["data"]["path"] == "../data/my flowers.csv"
    assert hpsearch("init", here / "data" / "my flowers.csv", "--target", "species").status == 0
    raw = tomllib.loads(Path("my-flowers.toml").read_text())
    assert (raw["data"]["path"], raw["study"]["name"]) == ("data/my flowers.csv", "my-flowers")
    for file in ("studies/a.toml", "my-flowers.toml"):
        assert hpsearch("check", file).status == 0
    assert (Path("studies") / FILE_NAME).exists()


def test_minus_prints_the_file_and_writes_none(here: Path, hpsearch: Call) -> None:
    flowers()
    printed = hpsearch("init", "flowers.csv", "--target", "species", "-o", "-", "--name", "mine")
    assert (printed.status, printed.err, listed()) == (0, "", ["flowers.csv"])
    assert tomllib.loads(printed.out)["study"]["name"] == "mine"
    assert "#:schema" not in printed.out
    Path("mine.toml").write_text(printed.out, encoding="utf-8")
    assert hpsearch("check", "mine.toml").status == 0


def test_without_a_target_the_columns_and_a_likely_one_are_named(here: Path, hpsearch: Call) -> None:
    for header, likely in (("a,b,c", "c"), ("Label,b,c", "Label"), ("a,the class,c d", "'c d'")):
        Path("rows.csv").write_text(f"{header}\n1,2,3\n", encoding="utf-8")
        outcome = hpsearch("init", "rows.csv")
        assert outcome.status == 2
        assert ", ".join(map(repr, header.split(","))) in outcome.err
        assert outcome.err.endswith(f"For example: --target {likely}.\n")
        assert listed() == ["rows.csv"]


def rows(text: str) -> list[str]:
    Path("rows.csv").write_text(text, encoding="utf-8")
    return ["init", "rows.csv", "--target", "y"]


def with_file(name: str) -> list[str]:
    flowers()
    Path(name).write_text("mine", encoding="utf-8")
    return ["init", "flowers.csv", "--target", "species"]


WRONG: dict[str, tuple[Callable[[], list[str]], str]] = {
    "nothing": (lambda: ["init"], "hpsearch init --example NAME, one of diabetes, digits, flowers, spiral"),
    "an example without a name": (
        lambda: ["init", "--example"],
        "must be followed by a name, one of diabetes, digits, flowers",
    ),
    "an unknown example": (lambda: ["init", "--example", "sprial"], "Did you mean 'spiral'?"),
    "rows and an example": (lambda: ["init", "a.csv", "--example", "spiral"], "--example must stand alone"),
    "no such rows": (lambda: ["init", "absent.csv", "--target", "y"], "absent.csv: must be a readable CSV file"),
    "no such rows, no target": (lambda: ["init", "absent.csv"], "absent.csv: must be a readable CSV file"),
    "an unknown target": (
        lambda: [flowers() or "init", "flowers.csv", "--target", "specie"],
        "Did you mean 'species'?",
    ),
    "a target without values": (
        lambda: rows("x,y\n1,\n2,NA\n"),
        "column 'y': must have a value in some row, but is empty in all 2",
    ),
    "one class": (lambda: rows("x,y\n1,a\n2,a\n"), "needs at least two classes"),
    "a class of one row": (lambda: rows("x,y\n1,a\n2,a\n3,b\n"), "of the 2 classes of 'y' 1 has one, as 'b'"),
    "a class of one row but for copies": (
        lambda: rows("v,w,x,y\n" + "1,2,3,a\n" * 20 + "".join(f"{i},{i},{i},b\n" for i in range(20))),
        "without its 19 rows that repeat another: the target must hold numbers, or classes with at least 2 rows each",
    ),
    "a target only": (lambda: rows("y\na\nb\na\nb\n"), "must have a column to predict from beside 'y'"),
    "no usable column": (lambda: rows("x,y\n,a\n,b\n,a\n,b\n"), "but has none: 'x' must have a value in some row"),
    "a ragged row": (lambda: rows("x,y\n1,a\n2\n"), "row 3: must have 2 values like the header, but has 1"),
    "a file that is there": (lambda: with_file("flowers.toml"), "flowers.toml: must not exist yet, but does"),
    "another schema": (lambda: with_file(FILE_NAME), f"{FILE_NAME}: must not exist yet or be an earlier schema"),
    "no folder": (lambda: [*with_file("x"), "-o", "no/a.toml"], "must be a file that can be written, but no such file"),
    "the rows' own file": (lambda: [*with_file("x"), "-o", "flowers.csv", "--force"], "must not be the file of rows"),
    "a name that cannot be": (lambda: [*with_file("x"), "--name", "a b"], "--name must match"),
    "an example's rows are others": (
        lambda: [Path("flowers.csv").write_text("mine") and "init", "--example", "flowers"],
        "flowers.csv: must not exist yet, but does",
    ),
    "a schema over another file": (lambda: [with_file("x") and "schema", "-o", "x"], "x: must not exist yet or be"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_clear_line_and_nothing_is_written(here: Path, hpsearch: Call, case: str) -> None:
    make, message = WRONG[case]
    arguments = make()
    before = {path: path.read_bytes() for path in here.rglob("*")}
    outcome = hpsearch(*arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""
    assert {path: path.read_bytes() for path in here.rglob("*")} == before


@pytest.mark.parametrize("become", ["drop", "other"])
def test_many_classes_of_one_row_are_refused_with_a_key_that_helps(here: Path, hpsearch: Call, become: str) -> None:
    points = [f"{i},{i * 7 % 11},{i % 2 if i < 40 else f'only{i}'}\n" for i in range(50)]
    refused = hpsearch(*rows("x,z,y\n" + "".join(points)))
    wanted = f"""--set 'data.rare_classes="{become}"'"""
    assert wanted in refused.err
    outcome = hpsearch("init", "rows.csv", "--target", "y", *shlex.split(wanted))
    assert (outcome.status, outcome.err) == (0, "")
    assert ("Left out" if become == "drop" else "Made one class, other") + ": the rows of 'only40'" in outcome.out
    raw = tomllib.loads(Path("rows.toml").read_text())
    assert (raw["data"]["rare_classes"], raw["data"]["smallest_class"]) == (become, 2)
    prepared = prepare(StudyDefinition.from_mapping(raw, here))
    assert prepared.search.class_names == (("0", "1") if become == "drop" else ("0", "1", "other"))


def test_force_replaces_and_an_earlier_schema_needs_none(here: Path, hpsearch: Call) -> None:
    arguments = with_file("flowers.toml")
    Path(FILE_NAME).write_text(json.dumps({**json.loads(schema_text()), "properties": {}}), encoding="utf-8")
    assert hpsearch(*arguments, "--force").status == 0
    assert Path(FILE_NAME).read_text(encoding="utf-8") == schema_text()
    assert hpsearch("check", "flowers.toml").status == 0


def test_a_file_that_fails_takes_those_before_it_back(here: Path, hpsearch: Call) -> None:
    flowers()
    Path("folder.toml").mkdir()
    outcome = hpsearch("init", "flowers.csv", "--target", "species", "-o", "folder.toml", "--force")
    assert outcome.status == 2
    assert listed() == ["flowers.csv", "folder.toml"]


def repeating(task: str, different: int, copies: int) -> pd.DataFrame:
    """Rows of which the last repeat the first."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(different, 3)).round(4), columns=["a", "b", "c"])
    y = frame["a"] + draw.normal(size=different)
    frame["y"] = y.round(3) if task == "regression" else np.where(y > 0, "yes", "no")
    return pd.concat([frame, frame[:copies]], ignore_index=True)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_copies_of_rows_are_left_out_and_what_is_written_runs_as_it_is(here: Path, hpsearch: Call, task: str) -> None:
    repeating(task, 100, 40).to_csv("rows.csv", index=False)
    made = hpsearch("init", "rows.csv", "--target", "y")
    assert (made.status, made.err) == (0, "")
    assert "Left out: 40 of the rows, which repeat another" in made.out
    assert "# 40 of 140 rows repeat another" in Path("rows.toml").read_text()
    facts = json.loads(hpsearch("check", "rows.toml", "--json").out)
    assert (facts["rows_to_search_with"], facts["rows_held_out"], facts["findings"]) == (80, 20, [])
    assert hpsearch("run", "rows.toml", "--trials", "2", "--set", "train.epochs=10").status == 0
    # With them all, run refuses, and says what to do.
    kept = hpsearch("run", "rows.toml", "--set", "data.duplicates=keep", "--set", "study.name=kept")
    assert kept.status == 2
    assert '[data] duplicates = "drop"' in kept.err


def test_few_copies_are_left_in(here: Path, hpsearch: Call) -> None:
    repeating("classification", 100, 1).to_csv("rows.csv", index=False)
    made = hpsearch("init", "rows.csv", "--target", "y")
    assert "Left out" not in made.out
    assert "duplicates" not in tomllib.loads(Path("rows.toml").read_text())["data"]
    assert hpsearch("check", "rows.toml").status == 0


def test_rows_of_few_values_repeat_each_other_by_chance_and_stay(here: Path, hpsearch: Call) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({name: draw.integers(0, 3, 300) for name in "abc"})
    frame["y"] = draw.choice(["yes", "no"], 300)
    frame.to_csv("rows.csv", index=False)
    assert hpsearch("init", "rows.csv", "--target", "y").status == 0
    assert "duplicates" not in tomllib.loads(Path("rows.toml").read_text())["data"]
    ran = hpsearch("run", "rows.toml", "--trials", "1", "--set", "train.epochs=5")
    assert ran.status == 0
    assert "new rows will repeat known ones too" in " ".join(ran.err.split())


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize("name", sorted(path.stem for path in STUDIES.glob("*.toml")))
def test_an_example_is_the_study_shipped_and_fit_to_run(here: Path, hpsearch: Call, name: str) -> None:
    made = hpsearch("init", "--example", name)
    assert (made.status, made.err) == (0, "")
    assert Path(f"{name}.toml").read_bytes() == (STUDIES / f"{name}.toml").read_bytes()
    assert Path(FILE_NAME).read_text(encoding="utf-8") == schema_text()
    assert hpsearch("check", f"{name}.toml").status == 0


def test_an_example_brings_its_rows_and_takes_them_where_they_are(here: Path, hpsearch: Call) -> None:
    flowers()
    Path("sub").mkdir()
    assert hpsearch("init", "--example", "flowers", "-o", "sub/f.toml", "--name", "mine").status == 0
    assert (Path("sub") / "flowers.csv").read_bytes() == (STUDIES / "flowers.csv").read_bytes()
    text, shipped = Path("sub/f.toml").read_text(), (STUDIES / "flowers.toml").read_text()
    assert text == shipped.replace('name = "flowers"', 'name = "mine"')
    assert hpsearch("init", "--example", "flowers").status == 0
    printed = hpsearch("init", "--example", "flowers", "-o", "-")
    assert f"{FIRST_LINE}\n{printed.out}" == shipped
    assert "flowers.csv" in printed.err


def test_every_study_is_an_example_and_goes_into_the_wheel() -> None:
    assert examples.names() == sorted(path.stem for path in STUDIES.glob("*.toml"))
    build: dict[str, Any] = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["force-include"] == {"studies": "hpsearch/examples"}


# ---------------------------------------------------------------- the schema


def test_schema_prints_one_json_schema_or_writes_it(here: Path, hpsearch: Call) -> None:
    assert hpsearch("schema").out == schema_text()
    for _ in range(2):  # an earlier one is replaced
        assert hpsearch("schema", "-o", "a.json").status == 0
    assert Path("a.json").read_text(encoding="utf-8") == schema_text()


def test_an_export_names_no_schema_where_there_is_none(here: Path, hpsearch: Call) -> None:
    hpsearch("init", "--example", "vertical")
    assert hpsearch("run", "vertical.toml", "--trials", "1", "--set", "train.epochs=10").status == 0
    Path("sub").mkdir()
    assert hpsearch("best", "vertical", "-o", "sub/best.toml").status == 0
    assert "#:schema" not in Path("sub/best.toml").read_text()
    Draft202012Validator(json.loads(schema_text())).validate(tomllib.loads(Path("sub/best.toml").read_text()))


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_what_is_written_for_a_quantity_and_for_two_classes_runs_as_it_is(
    here: Path, hpsearch: Call, task: str
) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"size": draw.normal(50, 10, 120), "town": draw.choice(["Oslo", "Rome", "Lima"], 120)})
    y = 3 * frame["size"] + 20 * (frame["town"] == "Rome") + draw.normal(0, 5, 120)
    frame["y"] = y.round(2) if task == "regression" else np.where(y > y.median(), "much", "little")
    frame.to_csv("rows.csv", index=False)
    assert hpsearch("init", "rows.csv", "--target", "y").status == 0
    done = hpsearch("run", "rows.toml", "--trials", "3")
    assert done.status == 0
    assert "Believe the corrected score: on new rows 8 networks averaged" in done.out
    assert ("RMSE of about" in done.out) == (task == "regression")
    assert (" units of the target" if task == "regression" else " nats") in done.out
    assert "squared units" not in done.out
    Draft202012Validator(json.loads(schema_text())).validate(tomllib.loads(Path("rows.toml").read_text()))
