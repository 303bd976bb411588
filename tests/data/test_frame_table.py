"""A DataFrame is read as a file of the same rows is, and one that cannot be is refused in one line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.dataset import Dataset
from hpsearch.data.frame_source import Frame, FrameRows
from hpsearch.data.frame_table import require_frame
from hpsearch.data.survey import survey, survey_frame
from hpsearch.data.table_sources import Csv
from hpsearch.errors import DataError


def of_frame(frame: pd.DataFrame, **options: Any) -> Dataset:
    return Frame(source="frame", rows=FrameRows.of(frame), target="kind", **options).load(Path(), 0)


def test_a_frame_and_its_csv_file_are_the_same_data(mixed: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
    frame = mixed(80)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    options: dict[str, Any] = {"drop": ["paid"], "missing": ["Rome"], "categorical": ["sex"]}
    of_file = Csv(source="csv", path="rows.csv", target="kind", **options).load(tmp_path, 0)
    assert of_frame(frame, **options).fingerprint == of_file.fingerprint
    shuffled = frame.sample(frac=1, random_state=0)  # its index says nothing
    assert of_frame(shuffled.reset_index(drop=True), **options).fingerprint == of_frame(shuffled, **options).fingerprint


def test_what_columns_are_is_found_out_as_in_a_file(mixed: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
    days = pd.date_range("2026-01-01", periods=80)
    frame = mixed(80).assign(
        day=days, one=1, number=np.arange(80.0), kind=lambda table: table["kind"].astype("category")
    )
    frame.assign(day=days.strftime("%Y-%m-%d")).to_csv(tmp_path / "rows.csv", index=False)
    ours, files = survey_frame(frame, "kind"), survey(tmp_path / "rows.csv", "kind")
    assert [(raw.name, raw.kind) for raw in ours.columns] == [(raw.name, raw.kind) for raw in files.columns]
    assert (ours.classes, ours.left_out, ours.times) == (files.classes, files.left_out, files.times)


def test_rows_without_a_target_are_left_out_if_that_is_said(mixed: Callable[..., pd.DataFrame]) -> None:
    frame = mixed(60)
    frame.loc[frame.index[:5], "kind"] = None
    with pytest.raises(DataError, match=r"the DataFrame, row 0, column 'kind': must not be empty"):
        of_frame(frame)
    data = of_frame(frame, drop_missing_target=True)
    assert (data.rows, data.without_target) == (55, 5)
    assert survey_frame(frame, "kind").without_target == 5


POINTS = pd.DataFrame({"x": [0.0, 1, 2, 3], "kind": ["a", "b", "a", "b"]})


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (POINTS["x"], r"must be a pandas DataFrame or a file of rows, but are of type pandas.Series\. It needs"),
        (POINTS.to_numpy(), r"are of type numpy.ndarray\. Name its columns"),
        ({"x": [1]}, r"are of type dict\. Give pd.DataFrame\(rows\)"),
        (None, r"are of type NoneType\.$"),
        (POINTS.iloc[:, :0], "must have columns, but has none"),
        (POINTS.set_axis([0, 1], axis=1), r"names that are text, but column 0 is called 0\. Rename them"),
        (POINTS.set_axis(["x", " "], axis=1), "names that are text, but column 1 is called ' '"),
        (POINTS.set_axis(["x", "x"], axis=1), "column names must differ, but 'x' stands twice"),
        (POINTS.set_axis([["x", "y"], ["a", "b"]], axis=1), "names of one level, but have 2"),
    ],
)
def test_what_is_no_table_of_named_columns_is_refused(rows: Any, why: str) -> None:
    with pytest.raises(DataError, match=why) as caught:
        require_frame(rows)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (POINTS.head(0), "the DataFrame: must have rows, but has none"),
        (POINTS[["kind"]], "must have a column to predict from beside kind"),
        (POINTS[["x"]], "must have a column 'kind', but has not"),
        (POINTS.set_index("kind"), r"must have a column 'kind', but has an index of that name\. Make a column of it"),
        (
            POINTS.assign(x=[[1], [2], [3], [4]]),
            "column 'x': must hold one number, boolean, text or date .* holds list",
        ),
        (POINTS.assign(x=[1.0, np.inf, 2, 3]), "row 1, column 'x': must be a finite number"),
        (POINTS.assign(x=pd.to_timedelta([1, 2, 3, 4], "s")), "column 'x': must hold numbers, booleans, categories"),
        (POINTS.assign(kind=[["a"], ["b"], ["a"], ["b"]]), "column 'kind': must hold one number"),
    ],
)
def test_rows_that_cannot_be_are_refused(frame: pd.DataFrame, why: str) -> None:
    with pytest.raises(DataError, match=why):
        of_frame(frame)


def test_rows_are_neither_copied_nor_pickled() -> None:
    rows = FrameRows.of(POINTS)
    assert deepcopy({"rows": rows})["rows"].frame is POINTS
    again = pickle.loads(pickle.dumps(rows))
    assert again.frame is None
    assert repr(again) == repr(rows) == "a DataFrame of 4 rows and 2 columns"
    with pytest.raises(DataError, match="given from Python and are kept nowhere"):
        Frame(source="frame", rows=again, target="kind").load(Path(), 0)
