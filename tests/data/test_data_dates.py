"""Dates and ordered categories: what they become, and what is refused."""

from __future__ import annotations

import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.data.cells import Types
from hpsearch.data.columns import Plan
from hpsearch.data.dataset import Dataset
from hpsearch.data.dates import calendar, days_of, forms_of, is_form, parse
from hpsearch.data.frames import expand_frame, frame_columns
from hpsearch.data.preprocess import fit_scaling
from hpsearch.data.sources import source_class
from hpsearch.definition.draft import draft
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, DefinitionError
from hpsearch.search.objective import prepare

MOMENTS = st.datetimes(datetime(1000, 1, 1), datetime(2999, 12, 31))
KINDS = ("csv", "parquet")


def by_pandas(moments: list[datetime]) -> np.ndarray:
    """What pandas says of them."""
    series = pd.Series(np.array(moments, "datetime64[us]"))
    days = (series - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    hours = series.dt.hour + series.dt.minute / 60 + series.dt.second / 3600 + series.dt.microsecond / 3.6e9
    return np.stack([days, series.dt.year, series.dt.month, series.dt.day_of_week, hours], axis=1).astype(float)


@settings(max_examples=30)
@given(st.lists(MOMENTS, min_size=1, max_size=20))
def test_a_calendar_is_pandas_s(moments: list[datetime]) -> None:
    wanted = by_pandas(moments)
    found = calendar(days_of(np.array(moments, "datetime64[us]")), clock=True)
    # A day is held to some microseconds: the last of them may be of the next day.
    late = wanted[:, 4] > 24 - 1e-4
    np.testing.assert_allclose(found[~late], wanted[~late], atol=1e-6)
    assert calendar(wanted[:, 0], clock=False).shape == (len(moments), 4)


@settings(max_examples=30)
@given(MOMENTS, st.sampled_from(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d", "%d %b %Y", "%B %d, %Y", "%d-%b-%Y"]))
def test_what_can_be_read_one_way_is_read_so(moment: datetime, form: str) -> None:
    text = moment.strftime(form)
    wanted = pd.Timestamp(datetime.strptime(text, form))
    found = parse(text)
    assert found is not None
    assert timedelta(days=found) == pytest.approx(wanted - pd.Timestamp("1970-01-01"), abs=timedelta(milliseconds=1))


@settings(max_examples=30)
@given(st.lists(st.dates(), min_size=1, max_size=30), st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y"]))
def test_a_day_above_12_says_what_is_meant(days: list[Any], form: str) -> None:
    forms = forms_of([f"{day:{form}}".zfill(10) for day in days if day.year >= 1000])
    kept = [day for day in days if day.year >= 1000]
    if not kept:
        assert forms is None
        return
    assert forms is not None
    told = any(day.day > 12 for day in kept) or all(day.day == day.month for day in kept)
    assert len(forms) == (1 if told else 2)
    if any(day.day > 12 for day in kept):
        assert forms == [form]


@pytest.mark.parametrize(
    ("texts", "forms"),
    [
        (["1/30/16", "12/2/16"], ["%m/%d/%y"]),
        (["30.01.99", "02.12.99"], ["%d.%m.%y"]),
        (["30/01/16", "02/12/16"], ["%d/%m/%y", "%y/%m/%d"]),
        (["99-1-30 09:05"], ["%y-%m-%d %H:%M"]),
        (["01/02/16"], ["%d/%m/%y", "%m/%d/%y", "%y/%m/%d"]),
        (["1/30/16", "1/30/2016"], None),
        (["1/30/116"], None),
    ],
)
def test_a_year_of_two_digits_may_stand_first(texts: list[str], forms: list[str] | None) -> None:
    assert forms_of(texts) == forms


@pytest.mark.parametrize(
    "text",
    ["2024-13-01", "2024-02-30", "31/12/2024", "12", "20240331", "1.5", "May", "", "x-y", "0001-01-01T00:00+05:00"],
)
def test_what_is_no_date_or_not_clearly_one_is_none(text: str) -> None:
    assert parse(text) is None


def test_a_time_far_from_utc_is_taken_in_utc() -> None:
    assert parse("2024-03-31T00:30+02:00") == parse("2024-03-30T22:30")
    assert parse("2024-03-31T00:30Z") == parse("2024-03-31T00:30")


@pytest.mark.parametrize(
    ("form", "good"), [("%d/%m/%Y", True), ("%Y%m%d", True), ("%d/%m", False), ("", False), ("%d %d", False)]
)
def test_a_form_says_how_a_date_is_written_to_the_day(form: str, good: bool) -> None:
    assert is_form(form) == good


# --- in files


def table(count: int = 90) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    when = pd.Timestamp("2023-11-20") + pd.to_timedelta(draw.integers(0, 400, count), unit="D")
    clock = when + pd.to_timedelta(draw.integers(0, 86_400, count), unit="s")
    frame = pd.DataFrame({"when": when, "at": clock, "size": draw.choice(["S", "M", "L"], count)})
    frame["x"], frame["y"] = draw.normal(size=count).round(3), draw.choice(["a", "b", "c"], count)
    frame.loc[[3, 40], "when"], frame.loc[[7], "size"] = None, None
    return frame


def load(folder: Path, frame: pd.DataFrame, kind: str = "csv", **options: Any) -> Dataset:
    path = folder / f"rows.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    given = {"source": kind, "path": path.name, "target": "y", **options}
    return source_class(kind).model_validate(given).load(folder, 0)


DATES = {"date": ["when", "at"], "order": {"size": ["S", "M", "L"]}}


@pytest.mark.parametrize("kind", KINDS)
def test_dates_and_orders_become_numbers(kind: str, tmp_path: Path) -> None:
    frame = table()
    data = load(tmp_path, frame, kind, **DATES)
    assert data.feature_names == (
        *("when", "when=year", "when=month", "when=day of week", "when=missing"),
        *("at", "at=year", "at=month", "at=day of week", "at=hour", "size", "size=missing", "x"),
    )
    assert set(data.columns.feature_kinds) == {"numeric", "indicator"}
    found = pd.DataFrame(data.features, columns=data.feature_names)
    np.testing.assert_array_equal(found["when=year"], frame["when"].dt.year)
    np.testing.assert_array_equal(found["when=month"], frame["when"].dt.month)
    np.testing.assert_array_equal(found["when=day of week"], frame["when"].dt.day_of_week)
    np.testing.assert_allclose(found["at=hour"], frame["at"].dt.hour + frame["at"].dt.minute / 60, atol=0.02)
    np.testing.assert_array_equal(found["size"], frame["size"].map({"S": 0, "M": 1, "L": 2}))
    np.testing.assert_array_equal(found["when=missing"], frame["when"].isna())


def test_a_file_of_either_kind_and_a_table_give_the_same(tmp_path: Path) -> None:
    frame = table()
    csv, parquet = (load(tmp_path, frame, kind, **DATES) for kind in KINDS)
    assert csv.fingerprint == parquet.fingerprint
    ordered = frame.astype({"size": pd.CategoricalDtype(["S", "M", "L"], ordered=True)}).drop(columns="y")
    raws = frame_columns(ordered, Types())
    plan = Plan.declare(raws)
    assert plan == csv.columns
    np.testing.assert_array_equal(plan.expand(raws)[0], csv.features)
    again, notices = expand_frame(csv.columns, frame.drop(columns="y").astype(str).replace({"NaT": None, "nan": None}))
    np.testing.assert_array_equal(again, csv.features)
    assert notices == []


def test_a_plan_of_dates_and_orders_survives_json_and_its_features(tmp_path: Path) -> None:
    data = load(tmp_path, table(), **DATES, date_format={"when": "%Y-%m-%d"})
    plan = data.columns
    assert Plan.from_plain(plan.to_plain()) == plan
    np.testing.assert_array_equal(plan.expand(plan.raws(data.features))[0], data.features)
    whole = data.take(np.flatnonzero(np.isnan(data.features[:, 0]) == 0)[:20])
    assert not plan.declared_on(whole.features).columns[0].indicator
    midnight = load(tmp_path, table().assign(at=lambda t: t["at"].dt.floor("D")), **DATES)
    assert "at=hour" not in midnight.feature_names


@pytest.mark.parametrize("impute", ["mean", "median"])
def test_each_feature_of_a_missing_date_is_filled(impute: str, tmp_path: Path) -> None:
    data = load(tmp_path, table(), **DATES, impute=impute)
    rows = np.arange(50)
    learnt = fit_scaling("standard", data.features, rows, data.columns)
    assert learnt.fill is not None
    wanted = getattr(np, f"nan{impute}")(data.features[rows], axis=0)
    for place, name in enumerate(data.feature_names[:4]):
        assert learnt.fill[place] == pytest.approx(wanted[place]), name
    assert np.isfinite(learnt.apply(data.features)).all()
    (entry,) = [one for one in learnt.table(data.columns) if one["column"] == "when"]
    assert len(entry["fill"]) == len(entry["centre"]) == len(entry["scale"]) == 4


@pytest.mark.parametrize(
    ("cells", "options", "message"),
    [
        (["01/02/2024", "03/04/2024"], {"date": ["x"]}, r"row 2, .* is '01/02/2024'. Say which is meant: date_format="),
        (["31/12/2024", "03/04/2024"], {"date": ["x"]}, r"date_format=\{'x': '%d/%m/%Y'\}\.$"),
        (["2024-01-01", "soon"], {"date": ["x"]}, "row 3, column 'x': must be a date that can be read one way only"),
        (["01/02/24", "1"], {"date": ["x"], "date_format": {"x": "%d/%m/%y"}}, "row 3, .* of the form %d/%m/%y"),
        (
            ["S", "XL"],
            {"order": {"x": ["S", "M"]}},
            "row 3, column 'x': must be one of 'S', 'M', but is 'XL'. ",
        ),
        (["S", "M"], {"order": {"x": ["S", "M", "S"]}}, "must name each category once, but 'S' stands twice"),
        (["S", "M"], {"order": {"x": ["S"]}}, "at least 2 items"),
        (["S", "M"], {"order": {"x": ["S", "NA"]}}, "do not mean no value, but 'NA' is none"),
        (["S", "M"], {"order": {"x": ["S", "M"]}, "categorical": ["x"]}, "'x' is named twice"),
        (["1", "2"], {"date_format": {"x": "%d/%m/%Y"}}, "must be of a column of dates, but 'x' is none"),
        (["1", "2"], {"date": ["x"], "date_format": {"x": "%d/%m"}}, "must say how a date is written, to the day"),
        (["1", "2"], {"order": {"z": ["1", "2"]}}, "must have a column 'z', but has not"),
    ],
)
def test_dates_and_orders_that_cannot_be_are_refused(
    cells: list[str], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, pd.DataFrame({"x": cells, "y": ["a", "b"]}), **options)


def test_a_wrong_form_is_said_with_its_key(tmp_path: Path) -> None:
    data = {"source": "csv", "path": "r.csv", "target": "y", "date": ["a.b"], "date_format": {"a.b": "%d"}}
    with pytest.raises(DefinitionError, match=r"^\[data\] date_format a\.b must say how a date is written"):
        StudyDefinition.from_mapping({"study": {"name": "s"}, "data": data}, tmp_path)


def test_a_date_that_is_not_said_to_be_one_is_told_its_key(tmp_path: Path) -> None:
    frame = table().assign(when=pd.date_range("2024-01-01", periods=90))[["when", "y"]]
    for kind in KINDS:
        with pytest.raises(DataError, match=r"date=\['when'\]"):
            load(tmp_path, frame, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_date_may_order_the_rows_and_be_a_feature(kind: str, tmp_path: Path) -> None:
    frame = table().assign(when=lambda t: t["at"].dt.strftime("%d/%m/%Y")).drop(columns="at")
    options = {"date_format": {"when": "%d/%m/%Y"}, "time": "when"}
    alone, both = load(tmp_path, frame, kind, **options), load(tmp_path, frame, kind, date=["when"], **options)
    assert alone.times is not None
    assert both.times is not None
    assert "when" not in alone.feature_names
    np.testing.assert_array_equal(both.times, both.features[:, 0])
    np.testing.assert_array_equal(alone.times, both.times)


# --- what init writes


def test_init_writes_the_order_that_a_parquet_file_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = pd.Categorical(table()["size"], ["S", "M", "L"], ordered=True)
    odd = pd.Categorical(table()["size"].fillna("none"), ["S", "M", "L", "none"], ordered=True)
    table().assign(size=sizes, odd=odd).to_parquet("rows.parquet")
    raw = tomllib.loads(draft(Path("rows.parquet"), "y", "rows.parquet", "rows.toml").text)
    assert raw["data"]["order"] == {"size": ["S", "M", "L"]}
    prepared = prepare(StudyDefinition.from_mapping(raw, tmp_path))
    kinds = {column.name: column.kind for column in prepared.search.columns.columns}
    assert (kinds["size"], kinds["when"], kinds["x"]) == ("ordered", "date", "numeric")


@pytest.mark.parametrize("kind", KINDS)
def test_init_finds_dates_and_suggests_time(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = table().assign(us=lambda t: t["at"].dt.strftime("%m/%d/%Y"))
    frame["unclear"] = [f"0{1 + row % 9}/0{1 + row % 7}/2024" for row in range(90)]
    path = f"rows.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    text = draft(Path(path), "y", path, "rows.toml").text
    raw = tomllib.loads(text)
    assert raw["data"]["date"] == ["when", "at", "us"]
    assert raw["data"]["date_format"] == {"us": "%m/%d/%Y"}
    assert raw["data"]["drop"] == ["unclear"]
    assert '{unclear = "%d/%m/%Y"}' in text
    assert "'02/02/2024'" not in text  # which would mean the same day
    prepare(StudyDefinition.from_mapping(raw, tmp_path))
    assert '# time = "at"' in text  # when has missing values
    tables = tomllib.loads(text.replace('# time = "at"', 'time = "at"').replace('"stratified" #', '"timeseries" #'))
    prepared = prepare(StudyDefinition.from_mapping(tables, tmp_path))
    assert prepared.search.times is not None
    last = prepared.splits[-1]
    assert prepared.search.times[last.training].max() <= prepared.search.times[last.validation].min()
    tables["data"]["date"].append("unclear")
    tables["data"]["date_format"]["unclear"] = "%d/%m/%Y"
    tables["data"]["drop"].remove("unclear")
    prepare(StudyDefinition.from_mapping(tables, tmp_path))
