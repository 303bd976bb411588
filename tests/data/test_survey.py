"""What a table holds is found out by the code that loads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.cells import OF_PROGRAMS
from hpsearch.data.sources import SOURCES
from hpsearch.data.survey import MOST_NUMBERED_CLASSES, LeftOut, likely_target, regression_targets, survey
from hpsearch.errors import DataError


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_columns_are_what_the_loader_takes_them_for(
    name: str, tmp_path: Path, mixed: Callable[..., pd.DataFrame]
) -> None:
    path = tmp_path / name
    mixed().to_csv(path, index=False) if name.endswith("csv") else mixed().to_parquet(path)
    found = survey(path, "kind")
    options = {"source": found.source, "path": str(path), "target": "kind"}
    data = SOURCES[found.source].model_validate(options).load(tmp_path, 0)
    assert found.plan == data.columns
    assert found.left_out == {}
    assert found.rows == data.rows
    assert found.classes == {name: int(np.sum(data.labels == i)) for i, name in enumerate(data.class_names)}


def refused_columns(count: int = 60) -> pd.DataFrame:
    """One good column, and one of each kind that the loader refuses or the audit warns of."""
    numbers = range(count)
    return pd.DataFrame(
        {
            "good": [i % 9 * 1.5 for i in numbers],
            "distinct": [(i * 7919) % 100_003 for i in numbers],
            "number": numbers,
            "passenger_id": [(i * 7919) % 100_003 for i in numbers],
            "note": [f"text {i}" for i in numbers],
            "story": [f"it was a long day {i}" for i in numbers],
            "town": [f"town {i % 40}" for i in numbers],
            "same": [5] * count,
            "alike": ["x"] * count,
            "nothing": [None] * count,
            "almost": [{7: "seven", 8: "low", 9: "no", 10: "yes"}.get(i, i) for i in numbers],
            "y": [("a", "b")[i % 2] for i in numbers],
        }
    )


def test_the_row_numbers_of_drawn_rows_are_left_out_and_sorted_measurements_are_not(tmp_path: Path) -> None:
    drawn = np.cumsum(np.random.default_rng(1).integers(1, 9, 60)).tolist()
    ends = f"from {drawn[0]} to {drawn[-1]}"
    why = f"numbers rows of a larger table: it is called so, and its whole numbers only increase, {ends}"
    for name, values, left_out in (
        ("rownames", drawn, True),
        ("Unnamed: 0", drawn, True),
        ("row_names", drawn, True),
        ("rownames", drawn[::-1], False),
        ("rownames", [*drawn[:-1], drawn[-2]], False),
        ("year", drawn, False),
        ("rows", drawn, False),
    ):
        path = tmp_path / "drawn.csv"
        pd.DataFrame({"x": [i % 9 for i in range(60)], name: values, "y": ["a", "b"] * 30}).to_csv(path, index=False)
        assert survey(path, "y").left_out == ({name: LeftOut(why)} if left_out else {})


def test_each_column_is_left_out_for_its_own_reason_and_the_others_load(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    refused_columns().to_csv(path, index=False)
    found = survey(path, "y")
    assert [raw.name for raw in found.columns] == ["good", "distinct"]
    assert found.left_out == {
        "number": LeftOut("counts the rows, from 0 to 59"),
        "passenger_id": LeftOut("names its row: it is called so, and holds another whole number in each of 60 rows"),
        "note": LeftOut("names its row: it holds another text in each of 60 rows"),
        "story": LeftOut("holds free text: 60 different texts of 6 words on average in 60 rows"),
        "town": LeftOut("has too many categories for its rows: 40 in 60"),
        "same": LeftOut("has one value, 5, in all 60 rows"),
        "alike": LeftOut("has one value, 'x', in all 60 rows"),
        "nothing": LeftOut("must have a value in some row, but is empty in all 60"),
        "almost": LeftOut(
            "must be a finite number, but is 'seven' (and elsewhere 'low', 'no' and 1 more), "
            "while 56 of 60 values of the column are numbers",
            where="row 9",
        ),
    }
    options: dict[str, object] = {"source": "csv", "path": str(path), "target": "y"}
    options["drop"] = [*found.left_out]
    assert SOURCES["csv"].model_validate(options).load(tmp_path, 0).rows == 60


@pytest.mark.parametrize(
    ("index", "left_out"),
    [
        (range(60), "another value in each of 60 rows"),
        (range(1, 61), "another value in each of 60 rows"),
        ([i * 7919 % 1009 for i in range(60)], "another value in each of 60 rows"),
        ([f"row {i}" for i in range(60)], "another value in each of 60 rows"),
        ([*range(30), *range(30)], "whole numbers"),
        ([0.5 * (i % 9) for i in range(60)], ""),
        ([f"group {i % 4}" for i in range(60)], ""),
    ],
    ids=["0..", "1..", "numbers", "names", "twice", "fractions", "groups"],
)
def test_a_column_without_a_name_is_left_out_if_it_counts_or_names_rows(
    index: Sequence[object], left_out: str, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"x": [i % 9 * 1.5 for i in range(60)], "y": [("a", "b")[i % 2] for i in range(60)]})
    frame.index = pd.Index(list(index))
    frame.to_csv(tmp_path / "rows.csv")
    frame.to_parquet(tmp_path / "rows.parquet")
    for name, index_name in (("rows.csv", "index"), ("rows.parquet", "__index_level_0__")):
        found = survey(tmp_path / name, "y")
        assert {raw.name for raw in found.columns} == ({"x"} if left_out else {index_name, "x"})
        assert [left_out in found.left_out[name].why for name in found.left_out] == ([True] if left_out else [])


def test_columns_of_a_parquet_file_that_cannot_be_features(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    frame = pd.DataFrame({"x": [1.0, 2.5, 4.0, 1.0], "y": list("abab")})
    frame["when"] = pd.Timestamp("2026-01-01")
    frame["how long"] = pd.Timedelta("1h")
    frame["lists"] = [[1], [2], [3], [4]]
    frame.to_parquet(path)
    found = survey(path, "y")
    assert [raw.name for raw in found.columns] == ["x"]
    assert found.left_out["when"].why == "has one value, '2026-01-01', in all 4 rows"
    assert found.left_out["how long"].why.startswith("must hold numbers, booleans or text, but holds duration")
    assert found.left_out["lists"].why.startswith("must hold one number, boolean, text or date a row, but holds list")


def test_a_file_that_cannot_be_read_is_refused_as_ever(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,a,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="row 2: must have 2 values like the header, but has 3"):
        survey(tmp_path / "a.csv", "y")


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        (["a", "b", "a"], False),
        (["0", "1", "0", "1"], False),
        (["1.0", "2.0", "1.0", "2.0"], False),
        (["1.5", "2.0", "1.5", "2.0"], True),
        (["1.5", "2.0", "many", "2.0"], False),
        ([str(i % MOST_NUMBERED_CLASSES) for i in range(200)], False),
        ([str(i % (MOST_NUMBERED_CLASSES + 1)) for i in range(210)], True),
        (["100", "120", "90", "105"], True),
        (["1", "2"], False),
        (["1", "2", "1", "2", "1", "2", "1", "2", "5"], True),
        (["1", "2", "1", "2", "1", "2", "1", "1", "1", "1", "b"], False),
        (["-3", "-3", "4", "4"], False),
        (["inf", "1.5", "1.5"], False),
    ],
)
def test_a_target_of_fractions_or_of_many_numbers_is_one_of_a_regression(labels: list[str], numbers: bool) -> None:
    found = regression_targets(labels)
    assert (found is not None) == numbers
    assert found is None or found == [float(label) for label in labels]


def test_a_regression_target_has_its_range_and_no_classes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2.5\n3,-1\n1,7\n", encoding="utf-8")
    found = survey(tmp_path / "a.csv", "y")
    assert (found.classes, found.low, found.high) == (None, -1, 7)


@pytest.mark.parametrize(
    ("names", "likely"),
    [(["a", "b"], "b"), (["Target", "b"], "Target"), (["x", "y", "z"], "y"), (["label", "target"], "target")],
)
def test_the_likely_target_is_one_often_called_so_or_the_last(names: list[str], likely: str) -> None:
    assert likely_target(names) == likely


def test_a_part_of_a_date_orders_no_rows(tmp_path: Path) -> None:
    days = pd.date_range("2025-12-01", periods=300)
    parts = {"month": days.month, "Day": days.day, "week": days.isocalendar().week.to_numpy(), "year": days.year}
    frame = pd.DataFrame({**parts, "day_of_study": range(1, 301), "y": [("a", "b")[i % 2] for i in range(300)]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    assert {*survey(tmp_path / "rows.csv", "y").times} == {"year"}
    frame["day_of_study"] += [0] * 299 + [5]  # no longer the number of the row
    frame.to_csv(tmp_path / "rows.csv", index=False)
    assert {*survey(tmp_path / "rows.csv", "y").times} == {"year", "day_of_study"}


def test_a_column_groups_rows_if_a_typical_group_has_two(tmp_path: Path) -> None:
    frame = refused_columns().assign(patient=[i // 2 for i in range(60)], visit=[i // 59 for i in range(60)])
    frame.to_csv(tmp_path / "a.csv", index=False)
    groups = survey(tmp_path / "a.csv", "y").groups
    assert groups["patient"] == 30
    assert groups["visit"] == 2
    assert not {"distinct", "note", "town", "nothing"} & {*groups}


@pytest.mark.parametrize("marker", [*OF_PROGRAMS, "?", "-", "--", ".", "k. A."])
def test_what_means_no_value_among_numbers_does_so_everywhere(marker: str, tmp_path: Path) -> None:
    """In a target of numbers too; a text that only a person could mean so, only if it is no category elsewhere."""
    rows = [(i * 0.5, f"c{i % 3}", i * 1.5) for i in range(30)]
    cells = [[str(value) for value in row] for row in rows]
    cells[3][0] = cells[4][1] = cells[5][2] = marker
    lines = [",".join(row) for row in [["a", "b", "y"], *cells]]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    found = survey(tmp_path / "rows.csv", "y")
    if marker == "k. A.":
        assert [raw.name for raw in found.columns] == ["b"]
        return
    assert found.missing == (marker,)
    assert (found.rows, found.without_target, found.task) == (29, 1, "regression")
    assert {raw.name: int(raw.missing.sum()) for raw in found.columns} == {"a": 1, "b": 1}


def test_a_class_is_no_missing_value_unless_a_program_wrote_it(tmp_path: Path) -> None:
    for marker, program in (("?", False), ("-", False), ("\\N", True), ("#N/A", True)):
        rows = "".join(f"{i * 0.5},{'ab'[i % 2] if i % 5 else marker}\n" for i in range(30))
        (tmp_path / "rows.csv").write_text(f"a,y\n{rows}", encoding="utf-8")
        found = survey(tmp_path / "rows.csv", "y")
        assert found.classes is not None
        assert (found.missing, found.without_target) == (((marker,), 6) if program else ((), 0))
        assert set(found.classes) == ({"a", "b"} if program else {"a", "b", marker})
