"""A drafted study file is valid, explained, as large as its rows allow, and true."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from hpsearch.data.dataset import Task
from hpsearch.definition.draft import checked_name, draft, study_name
from hpsearch.definition.draft_text import LINE
from hpsearch.definition.schema import study_schema
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, DefinitionError
from hpsearch.search.objective import prepare


def drafted(frame: pd.DataFrame, target: str = "y") -> tuple[str, dict[str, Any]]:
    """The text for these rows, in the working directory, and its tables."""
    frame.to_csv("rows.csv", index=False)
    text = draft(Path("rows.csv"), target, "rows.csv", "rows.toml").text
    return text, tomllib.loads(text)


def points(rows: int, classes: int = 3, inputs: int = 3) -> pd.DataFrame:
    draw = np.random.default_rng(rows)
    frame = pd.DataFrame(draw.normal(size=(rows, inputs)).round(6), columns=[f"x{i}" for i in range(inputs)])
    return frame.assign(y=[f"c{i % classes}" for i in range(rows)])


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("rows", [6, 9, 20, 49, 50, 400, 3_000])
def test_rows_of_any_number_get_a_study_that_can_be_prepared(rows: int) -> None:
    text, raw = drafted(points(rows))
    prepared = prepare(StudyDefinition.from_mapping(raw, Path.cwd()))
    assert (prepared.held_out is not None) == (rows >= 50) == ("holdout" in raw)
    assert Draft202012Validator(study_schema()).is_valid(raw)
    for section in ("[holdout]", "[validation]", "[train]", "[space]", "[search]"):
        assert f"\n{section}" in text or f"\n# {section}" in text
    assert all(len(line) <= LINE for line in text.splitlines())


@pytest.mark.parametrize(
    ("counts", "why"), [((20, 20), "these are few"), ((300, *[3] * 9), "some class has too few for that")]
)
def test_why_no_rows_are_held_out_is_true(counts: tuple[int, ...], why: str) -> None:
    frame = points(sum(counts), 1).assign(y=np.repeat([f"c{i}" for i in range(len(counts))], counts))
    text, raw = drafted(frame)
    assert "holdout" not in raw
    assert f"# fraction = 0.2 # rows to set aside and score once; {why}, so all" in text


@pytest.mark.parametrize("counts", [(90, 8, 2), (60, 3), (200, 4, 4), (5, 5), (3, 3, 2)])
def test_rare_classes_get_splits_that_hold_them_all(counts: tuple[int, ...]) -> None:
    frame = points(sum(counts), 1).assign(y=np.repeat([f"c{i}" for i in range(len(counts))], counts))
    _, raw = drafted(frame.assign(y=frame["y"] + "!" if len(counts) == 2 else frame["y"]))
    prepare(StudyDefinition.from_mapping(raw, Path.cwd()))
    assert raw["validation"]["n_splits"] in (2, 3, 5)


def test_a_class_of_one_row_is_refused_with_its_name() -> None:
    with pytest.raises(
        DataError, match=r"of the 4 classes of 'y' 1 has one, as 'odd'.*\[data\] rare_classes = \"other\""
    ):
        drafted(points(12).assign(y=lambda table: table["y"].where(table.index != 4, "odd")))


def test_few_rows_of_a_class_of_their_own_are_left_out_and_said() -> None:
    frame = points(80).assign(
        y=lambda table: table["y"].where(~table.index.isin([4, 9]), table.index.map("odd{}".format))
    )
    text, raw = drafted(frame)
    assert (raw["data"]["rare_classes"], raw["data"]["smallest_class"]) == ("drop", 2)
    assert "# 2 of the classes have one row, too few to learn and to validate: odd4, odd9." in text
    prepared = prepare(StudyDefinition.from_mapping(raw, Path.cwd()))
    assert prepared.held_out is not None
    assert prepared.search.rows + prepared.held_out.rows == 78
    assert prepared.search.class_names == ("c0", "c1", "c2")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_task_that_is_given_is_taken(task: Task) -> None:
    frame = points(80).assign(y=[i % 4 for i in range(80)])
    frame.to_csv("rows.csv", index=False)
    raw = tomllib.loads(draft(Path("rows.csv"), "y", "rows.csv", "rows.toml", task=task).text)
    assert prepare(StudyDefinition.from_mapping(raw, Path.cwd())).search.task == task


def test_a_task_that_the_target_does_not_fit_is_refused() -> None:
    points(80).to_csv("rows.csv", index=False)
    with pytest.raises(DataError, match="row 2, column 'y': must be a finite number to be predicted as one"):
        draft(Path("rows.csv"), "y", "rows.csv", "rows.toml", task="regression")
    points(80).assign(y=np.arange(80) / 7).to_csv("rows.csv", index=False)
    with pytest.raises(DataError, match="the target must be classes, but holds fractions"):
        draft(Path("rows.csv"), "y", "rows.csv", "rows.toml", task="classification")


def test_a_few_texts_among_numbers_are_taken_for_no_value_and_said() -> None:
    frame = points(60)
    frame["x1"] = [str(value) if row not in (15, 40) else "12a" for row, value in enumerate(frame["x1"])]
    text, raw = drafted(frame)
    assert raw["data"]["missing"] == ["12a"]
    said = " ".join(text.replace("\n# ", " ").split())
    assert "texts, taken for no value: x1 in row 17 must be a finite number, but is '12a', while 58 of 60" in said
    (column,) = [c for c in prepare(StudyDefinition.from_mapping(raw, Path.cwd())).columns() if c["name"] == "x1"]
    assert (column["kind"], column["missing"] > 0) == ("numeric", True)


def test_a_text_that_is_a_category_elsewhere_stays_one() -> None:
    frame = points(60).assign(grade=["low" if row % 2 else "high" for row in range(60)])
    frame["x1"] = [str(value) if row else "low" for row, value in enumerate(frame["x1"])]
    text, raw = drafted(frame)
    assert "missing" not in raw["data"]
    assert raw["data"]["drop"] == ["x1"]
    assert 'missing = ["low"]' in text


@pytest.mark.campaign
def test_the_budget_follows_the_rows() -> None:
    raws = [drafted(points(rows))[1] for rows in (60, 900, 2_000, 12_000)]
    works = [raw["train"]["epochs"] * raw["search"]["trials"] for raw in raws]
    assert works == sorted(works, reverse=True)
    sizes = [raw["train"]["batch_size"] for raw in raws]
    assert sizes == ["full", "full", 64, 128]
    widest = [raw["space"]["neurons"]["int"][1] for raw in raws]
    assert widest == sorted(widest)
    assert drafted(points(900, inputs=300))[1]["train"]["epochs"] < raws[1]["train"]["epochs"]


def test_a_quantity_is_said_to_be_one() -> None:
    text, raw = drafted(points(80).assign(y=lambda table: table["x0"] * 3.5 + table["x1"] ** 2))
    assert raw["data"]["task"] == "regression"
    assert raw["train"]["loss"] == "squared_error"
    assert raw["validation"]["splitter"] == "kfold"
    assert "class_weight" not in raw["train"]
    prepared = prepare(StudyDefinition.from_mapping(raw, Path.cwd()))
    assert prepared.search.task == "regression"
    assert not prepared.audit()
    with_dropout = tomllib.loads(text.replace("# dropout", "dropout"))
    assert "dropout" in StudyDefinition.from_mapping(with_dropout, Path.cwd()).space.dimensions


def test_two_classes_have_one_output() -> None:
    _, raw = drafted(points(80, classes=2))
    assert StudyDefinition.from_mapping(raw, Path.cwd()).loss == "binary_cross_entropy"
    assert "task" not in raw["data"]
    assert raw["train"]["loss"] == "binary_cross_entropy"
    assert "loss" not in drafted(points(80))[1]["train"]


def test_what_is_left_out_is_dropped_and_the_reason_said() -> None:
    frame = points(60).assign(id=range(60), note=[f"n{i}" for i in range(60)], empty=None)
    text, raw = drafted(frame[["id", "x0", "note", "empty", "x1", "y"]])
    assert raw["data"]["drop"] == ["id", "note", "empty"]
    assert "#   id     left out: it counts the rows, from 0 to 59\n" in text
    assert "#   note   left out: it names its row: it holds another text in each of 60 rows\n" in text
    assert "#   empty  left out: it must have a value in some row, but is empty in all 60\n" in text
    prepared = prepare(StudyDefinition.from_mapping(raw, Path.cwd()))
    assert not [finding for finding in prepared.audit() if finding.name == "identifier"]


def test_numbers_that_may_name_something_are_asked_about() -> None:
    text, raw = drafted(points(60).assign(userId=[row // 3 for row in range(60)], x0=range(0, 120, 2)))
    assert "drop" not in raw["data"]
    assert "#   userId  numeric, 0 to 19, 20 different whole numbers: do they name something? Then drop them\n" in text
    assert text.count("name something?") == 1


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    frame = points(80)
    frame.loc[[3, 50], "y"] = None
    text, raw = drafted(frame)
    assert raw["data"]["drop_missing_target"] is True
    assert "drop_missing_target = true # rows without a target are left out: 2 of 80\n" in text
    assert "for rows.csv: 78 rows,\n" in text
    prepared = prepare(StudyDefinition.from_mapping(raw, Path.cwd()))
    assert [finding.name for finding in prepared.audit()] == ["missing-target"]
    assert "drop_missing_target" not in drafted(points(80))[1]["data"]


def test_how_a_file_is_written_stands_in_the_draft() -> None:
    frame = points(80).assign(x0=lambda table: [f"{x:.2f} %" for x in table["x0"]])
    _, plain = drafted(points(80).assign(x0=lambda table: table["x0"].round(2)))
    frame["x0"] = frame["x0"].str.replace(".", ",")
    frame.to_csv("rows.csv", sep=";", decimal=",", encoding="utf-16")
    raw = tomllib.loads(draft(Path("rows.csv"), "y", "rows.csv", "rows.toml").text)
    ways = {"separator": ";", "decimal": ",", "units": ["%"]}
    assert raw["data"] == {**plain["data"], **ways, "drop": ["index"]}
    there = prepare(StudyDefinition.from_mapping(raw, Path.cwd()))
    points(80).assign(x0=lambda table: table["x0"].round(2)).to_csv("rows.csv", index=False)
    expected = prepare(StudyDefinition.from_mapping(plain, Path.cwd()))
    assert there.data_fingerprint == expected.data_fingerprint
    assert there.definition.identity() == expected.definition.identity() | {"data.drop": ["index"]}
    assert there.facts()["index"].startswith("'index', the first column")


def test_columns_that_say_how_to_split_are_pointed_out_and_work_when_uncommented() -> None:
    draw = np.random.default_rng(0)
    frame = points(300).assign(
        patient_id=[f"p{i}" for i in draw.integers(0, 90, 300)],
        visit_date=[f"2026-{i % 12 + 1:02d}-{i % 28 + 1:02d}" for i in range(300)],
        y=draw.choice(["a", "b", "c"], 300),
    )
    text, raw = drafted(frame)
    assert (raw["data"]["drop"], raw["data"]["date"]) == (["patient_id"], ["visit_date"])
    for key, name, splitter in (("group", "patient_id", "stratified-group"), ("time", "visit_date", "timeseries")):
        assert f'# {key} = "{name}"' in text
        assert splitter in text
        changed = text.replace(f'# {key} = "{name}"', f'{key} = "{name}"').replace('"stratified" #', f'"{splitter}" #')
        tables = tomllib.loads(changed)
        tables["data"]["drop"] = [dropped for dropped in tables["data"]["drop"] if dropped != name]
        prepare(StudyDefinition.from_mapping(tables, Path.cwd()))


def test_names_and_classes_of_any_characters_make_a_valid_file() -> None:
    odd = ['a"b', "line\nbreak", "tab\t", "back\\slash", "ümlaut 🌱", "#hash", "del\x7f", "x'y", "]", "ctl\x01"]
    frame = points(60, inputs=10)
    frame.columns = pd.Index([*odd, "the target\n[data]"])
    frame["the target\n[data]"] = [f'c"{i % 3}\n# {"long" * 50}' for i in range(60)]
    frame["=\nid"] = range(60)
    frame["mostly"] = [str(i % 7) if i > 4 else f"\x01?{i}" for i in range(60)]
    frame.to_csv("rows.csv", index=False)
    text = draft(Path("rows.csv"), "the target\n[data]", "so\nme.csv", "a\nb.toml").text
    data = tomllib.loads(text)["data"]
    assert (data["target"], data["drop"], data["path"]) == ("the target\n[data]", ["=\nid", "mostly"], "so\nme.csv")
    assert all(len(line) <= 3 * LINE for line in text.splitlines())
    loaded = StudyDefinition.from_mapping({**tomllib.loads(text), "data": {**data, "path": "rows.csv"}}, Path.cwd())
    assert prepare(loaded).search.columns.names == tuple(odd)


def test_many_columns_are_not_all_listed() -> None:
    text, _ = drafted(points(60, inputs=100))
    assert len(text.splitlines()) < 100
    assert "#   and 60 more like these\n" in text


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("flowers.csv", "flowers"),
        ("a/My rows (2).csv", "My-rows-2"),
        ("Größe.parquet", "Groe"),
        ("文.csv", "study"),
        (f"{'x' * 200}.csv", "x" * 100),
    ],
)
def test_a_study_is_called_like_its_file_as_far_as_it_may(file: str, name: str) -> None:
    assert study_name(Path(file)) == name == checked_name(name)


def test_a_name_that_a_study_cannot_have_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"^name must match"):
        checked_name("two words")
