"""CSV files written in any way: read as they are said to be, and recognised or refused, never misread."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpsearch.data.csv_format import SEPARATORS, CsvFormat, ways_of
from hpsearch.data.csv_recogniser import numbers_of, recognise
from hpsearch.data.dataset import Dataset
from hpsearch.data.sources import SOURCES
from hpsearch.data.survey import survey
from hpsearch.errors import DataError, DefinitionError

MARKS = (None, ".", ",", " ", "'")
Table = list[list[str]]


def load(folder: Path, content: str | bytes, target: str = "y", **options: Any) -> Dataset:
    (folder / "rows.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return (
        SOURCES["csv"]
        .model_validate({"source": "csv", "path": "rows.csv", "target": target, **options})
        .load(folder, 0)
    )


def recognised(folder: Path, content: str, target: str | None = "y", **said: Any) -> CsvFormat:
    (folder / "rows.csv").write_text(content, encoding="utf-8", newline="")
    return recognise(folder / "rows.csv", target, said)


def number(text: str, csv_format: CsvFormat, unit: str = "") -> str:
    """A number as Python writes it, as this format has it."""
    whole, point, part = text.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    if csv_format.thousands:
        digits = f"{int(digits):,}".replace(",", csv_format.thousands)
    return f"{sign}{digits}{csv_format.decimal if point else ''}{part}{unit and ' '}{unit}"


def text_of(rows: Sequence[Sequence[str]], separator: str = ",", ends: str = "\n", quote_all: bool = False) -> str:
    file = io.StringIO()
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    csv.writer(file, delimiter=separator, lineterminator=ends, quoting=quoting).writerows(rows)
    return file.getvalue()


def column(texts: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(texts, min_size=6, max_size=6)


NUMBERS = st.one_of(
    st.integers(-(10**7), 10**7).map(str),
    st.decimals(-(10**6), 10**6, places=2).map(str),
    st.decimals(-(10**4), 10**4, places=3).map(str),
)
INTEGERS = st.integers(-(10**6), 10**6).map(str)
FORMATS = st.builds(
    lambda separator, decimal, thousands, units: CsvFormat(
        separator, decimal, None if thousands == decimal else thousands, units
    ),
    st.sampled_from(SEPARATORS),
    st.sampled_from(".,"),
    st.sampled_from(MARKS),
    st.sampled_from([(), ("€",), ("%",)]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    a=column(NUMBERS),
    b=column(st.one_of(INTEGERS, st.just(""))),
    texts=column(st.sampled_from(["u", "v, w", "x; y", 'z"', "t|", "1,5 b"])),
    csv_format=FORMATS,
    ends=st.sampled_from(["\n", "\r\n"]),
    quote_all=st.booleans(),
    index=st.booleans(),
)
def test_a_file_written_in_any_way_has_the_rows_of_a_plain_one_if_it_is_said_how_and_is_never_misread(
    a: list[str],
    b: list[str],
    texts: list[str],
    csv_format: CsvFormat,
    ends: str,
    quote_all: bool,
    index: bool,
    tmp_path: Path,
) -> None:
    rows = [[*row, "01"[i % 2]] for i, row in enumerate(zip([*a[:5], "0.25"], [*b[:5], "7"], texts, strict=True))]
    header = ["a", "b", "text", "y"]
    unit = next(iter(csv_format.units), "")

    def written(i: int, row: list[str]) -> list[str]:
        one, other, *rest = row
        cells = [number(one, csv_format, unit), other and number(other, csv_format), *rest]
        return [str(i), *cells] if index else cells

    expected = load(tmp_path, text_of([header, *rows]))
    named = [[*([""] if index else []), *header], *(written(i, row) for i, row in enumerate(rows))]
    content = text_of(named, csv_format.separator, ends, quote_all)
    drop = ["index"] if index else []
    assert load(tmp_path, content, drop=drop, **csv_format.changes()).fingerprint == expected.fingerprint
    # Between commas a number that Python reads is what it always was, whoever wrote it.
    if csv_format.separator == "," and (csv_format.decimal == "," or csv_format.thousands == "."):
        return
    try:
        found = recognised(tmp_path, content)
    except DataError:
        return
    assert load(tmp_path, content, drop=drop, **found.changes()).fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ("a,b,y\n1.5,u,0\n2,v,1\n", {}),
        ("a,b,y\n1.234,u,0\n2.345,v,1\n", {}),
        ("a;b;y\n1.5;u;0\n2;v;1\n", {"separator": ";"}),
        ("a;b;y\n1;u;0\n2;v;1\n", {"separator": ";"}),
        ("a\tb\ty\n1,5\tu\t0\n2\tv\t1\n", {"separator": "\t", "decimal": ","}),
        ("a|b|y\n1,5|u, v|0\n2|v|1\n", {"separator": "|", "decimal": ","}),
        ('a;b;y\n"1,5";u;0\n2;"v;w";1\n', {"separator": ";", "decimal": ","}),
        ("a;b;y\n1.234,5;u;0\n2;v;1\n", {"separator": ";", "decimal": ",", "thousands": "."}),
        ("a;b;y\n1,5;1.234;0\n2;5.678;1\n", {"separator": ";", "decimal": ",", "thousands": "."}),
        ("a;b;y\n1.5;1,234;0\n2;5,678;1\n", {"separator": ";", "thousands": ","}),
        ("a;b;y\n1 234;u;0\n2;v;1\n", {"separator": ";", "thousands": " "}),
        ("a;b;y\n1\xa0234,5;u;0\n2;v;1\n", {"separator": ";", "decimal": ",", "thousands": " "}),
        ("a;b;y\n1\u202f234,5;u;0\n2;v;1\n", {"separator": ";", "decimal": ",", "thousands": " "}),
        ("a;b;y\n1'234.5;u;0\n2;v;1\n", {"separator": ";", "thousands": "'"}),
        ("a;b;y\n1’234.5;u;0\n2;v;1\n", {"separator": ";", "thousands": "'"}),
        ('a,b,y\n"1,234.5",u,0\n2,v,1\n', {"thousands": ","}),
        ('a,b,y\n"1,5",u,0\n2,v,1\n', {"decimal": ","}),
        ('a,b,y\n"$1,234.50",u,0\n-$2,v,1\n', {"thousands": ",", "units": ["$"]}),
        ("a,b,y\n12 %,u,0\n3%,v,1\n", {"units": ["%"]}),
        ("a,b,y\n€ 12,£3.5,0\n€-3,£4,1\n", {"units": ["€", "£"]}),
        ("a;b;y\n1,5;u;0\nk. A.;v;1\n2;w;0\n", {"separator": ";", "decimal": ","}),
        ("a;b;y\n1,5E-3;u;0\n2;v;1\n", {"separator": ";", "decimal": ","}),
        # What is no number, whatever it looks like, says nothing.
        ("a,b,y\n31.12.2025,u,0\n1.1.2026,v,1\n", {}),
        ('a,b,y\n"1,5 or 6",u,0\n"2,7 or 8",v,1\n', {}),
        ("a,b,y\n192.168.0.1,u,0\n10.0.0.1,v,1\n", {}),
        ("a,b,y\n030 123 456,u,0\n040 789 123,v,1\n", {}),
        ('a,b,y\n1.5,"1,5",0\n2.5,"2,5",1\n', {}),
    ],
    ids=str,
)
def test_how_a_file_is_written_is_recognised(content: str, keys: dict[str, Any], tmp_path: Path) -> None:
    assert recognised(tmp_path, content).changes() == keys
    assert recognised(tmp_path, content, None).changes() == keys


@pytest.mark.parametrize(
    ("content", "names", "key"),
    [
        ("a;b;y\n1,234;u;0\n5,678;v;1\n", ("'a'", "'1,234'"), "decimal="),
        ("a;b;y\n1.234;u;0\n5.678;v;1\n", ("'a'", "'1.234'"), "decimal="),
        ("a\tb\ty\nu\t1,234\t0\nv\t5,678\t1\n", ("'b'", "'1,234'"), "decimal="),
        ('a,b,y\n"1,234",u,0\n"5,678",v,1\n', ("'a'", "'1,234'"), "decimal="),
        ('a,b,y\n"1,5",1.234,0\n2,5.678,1\n', ("'b'", "'1.234'"), "decimal="),
        ("a;b;y\n1.5;1,5;0\n2;2;1\n", ("'a'", "'1.5'", "'b'", "'1,5'"), "decimal="),
        ("a;b;y\n1.234,5;1 234,5;0\n2;2;1\n", ("'a'", "'b'"), "thousands="),
        ("a;b|c;d|y\n1;2|3;4|0\n", ("';'", "'|'"), "separator="),
    ],
    ids=str,
)
def test_what_can_be_read_in_two_ways_is_refused_with_an_example_and_the_key(
    content: str, names: tuple[str, ...], key: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as refused:
        recognised(tmp_path, content, "y" if "|y" not in content else None)
    line = str(refused.value)
    assert line.startswith(str(tmp_path / "rows.csv"))
    assert all(name in line for name in names)
    assert key in line


@pytest.mark.parametrize(
    ("said", "keys"),
    [
        ({"decimal": ","}, {"separator": ";", "decimal": ","}),
        ({"decimal": "."}, {"separator": ";", "thousands": ","}),
        ({"thousands": ","}, {"separator": ";", "thousands": ","}),
        ({"separator": "|"}, {"separator": "|"}),
    ],
    ids=str,
)
def test_what_is_said_is_not_looked_for(said: dict[str, Any], keys: dict[str, Any], tmp_path: Path) -> None:
    assert recognised(tmp_path, "a;b;y\n1,234;u;0\n5,678;v;1\n", **said).changes() == keys


def test_a_target_tells_which_separator_is_meant(tmp_path: Path) -> None:
    content = "a,b;y\n1,2;0\n3,4;1\n"
    assert recognised(tmp_path, content, "y").separator == ";"
    assert recognised(tmp_path, content, "b;y").separator == ","


@pytest.mark.parametrize("content", ["a;b;y\n1;u;0\n2;v;1\n", '"a";"b";"y"\n"1";"u";"0"\n'], ids=["bare", "quoted"])
def test_a_file_read_without_its_separator_names_the_key(content: str, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"must be separated by ',', but its header has ';' and no ','. Say so: separator"
    ):
        load(tmp_path, content)
    with pytest.raises(DataError, match=r"Say so: separator=' '"):
        load(tmp_path, content.replace(";", " "))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"separator": ""}, "separator must be one character"),
        ({"separator": ";;"}, "separator must be one character"),
        ({"separator": "x"}, "separator must be one character"),
        ({"thousands": "."}, "thousands must not be the decimal mark"),
        ({"decimal": ",", "thousands": ","}, "thousands must not be the decimal mark"),
        ({"units": [" €"]}, "units must be signs"),
        ({"units": ["m2"]}, "units must be signs"),
    ],
    ids=str,
)
def test_a_format_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    values = {key: tuple(value) if key == "units" else value for key, value in options.items()}
    with pytest.raises(DefinitionError, match=words):
        CsvFormat(**values)
    with pytest.raises(ValueError, match="must"):
        SOURCES["csv"].model_validate({"source": "csv", "path": "x", "target": "y", **options})


@pytest.mark.parametrize(
    ("cell", "csv_format", "plain"),
    [
        ("1.234,5", CsvFormat(decimal=",", thousands="."), "1234.5"),
        ("1234,5", CsvFormat(decimal=",", thousands="."), "1234.5"),
        ("12.34", CsvFormat(decimal=",", thousands="."), None),
        ("1.23.456", CsvFormat(decimal=",", thousands="."), None),
        ("0.123", CsvFormat(decimal=",", thousands="."), None),
        ("1.5", CsvFormat(decimal=","), None),
        (",5", CsvFormat(decimal=","), ".5"),
        ("5,", CsvFormat(decimal=","), "5"),
        (",", CsvFormat(decimal=","), None),
        ("", CsvFormat(decimal=","), None),
        ("-1 234", CsvFormat(thousands=" "), "-1234"),
        ("1e5", CsvFormat(decimal=","), "1e5"),
        ("nan", CsvFormat(decimal=","), None),
        ("-€ 5", CsvFormat(units=("€",)), "-5"),
        ("€ -5", CsvFormat(units=("€",)), "-5"),
        ("-€-5", CsvFormat(units=("€",)), None),
        ("€5€", CsvFormat(units=("€",)), None),
        ("5 kg", CsvFormat(units=("kg", "g")), "5"),
        ("5 mg", CsvFormat(units=("kg", "g")), None),
    ],
    ids=str,
)
def test_what_a_number_is(cell: str, csv_format: CsvFormat, plain: str | None) -> None:
    found = csv_format.parse(cell)
    assert (found and found[0]) == plain


def test_numbers_of_several_units_are_refused(tmp_path: Path) -> None:
    for cells in (["5 €", "6 $", "7 €"], ["5 €", "6", "7 €"], ["5", "6", "7 €"]):
        rows = text_of([["a", "y"], *([cell, "01"[i % 2]] for i, cell in enumerate(cells))])
        with pytest.raises(DataError, match=r"column 'a': must have the same unit in every row, or none, but is"):
            load(tmp_path, rows, units=["€", "$"])
        target = text_of([["a", "y"], *([str(i), cell] for i, cell in enumerate(cells))])
        with pytest.raises(DataError, match=r"column 'y': must have the same unit in every row, or none, but is"):
            load(tmp_path, target, units=["€", "$"], task="regression")
    (tmp_path / "rows.csv").write_text("a,b,y\n5 €,1,u\n6 $,3,v\n7 €,1,u\n", encoding="utf-8")
    assert survey(tmp_path / "rows.csv", "y").left_out["a"].why.startswith("must have the same unit in every row")


def test_targets_times_and_folds_are_numbers_as_features_are(tmp_path: Path) -> None:
    plain = load(tmp_path, "a,t,w,y\n1.5,1000,0.5,2000.25\n2,2000,1,3\n3,2500,2,4\n", time="t", weight="w",
                 task="regression")  # fmt: skip
    other = load(tmp_path, "a;t;w;y\n1,5;1.000;0,5;2.000,25\n2;2.000;1;3\n3;2.500;2;4\n", time="t", weight="w",
                 task="regression", separator=";", decimal=",", thousands=".")  # fmt: skip
    assert other.fingerprint == plain.fingerprint
    labels = load(tmp_path, "a;y\n1,5;1.000\n2;2.000\n", separator=";", decimal=",", thousands=".")
    assert labels.class_names == ("1000", "2000")


def test_categories_stay_as_they_are_written(tmp_path: Path) -> None:
    data = load(tmp_path, "a;y\n1,5;0\n2,5;1\n", separator=";", decimal=",", categorical=["a"])
    assert data.feature_names == ("a=1,5", "a=2,5")


def test_a_column_with_a_comma_for_decimals_names_the_key_where_it_cannot_be_read(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i % 7}5;{i % 2}\n" for i in range(60))
    with pytest.raises(DataError, match=r"If they are numbers, say how they are written: decimal=','"):
        load(tmp_path, "a;y\n" + rows, separator=";")
    data = load(tmp_path, "a;y\n" + rows, separator=";", decimal=",")
    np.testing.assert_array_equal(data.features[:, 0], [float(f"{i}.{i % 7}5") for i in range(60)])


@given(st.from_regex(r"[+-]?(\d{1,4}|[0-9]{1,4})\.(\d{3}|[0-9]{1,5})([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_a_number_with_a_point_is_unclear_just_if_it_can_be_read_in_two_ways(text: str) -> None:
    decimals = {decimal for decimal, _ in ways_of(text)}
    for said in ({}, {"decimal": "."}, {"decimal": ","}):
        as_said = CsvFormat(separator=";", **said)  # type: ignore[arg-type]
        if len(decimals) > 1 and not said:
            with pytest.raises(DataError, match="every value can be either"):
                numbers_of({"x": {text: 1}}, as_said, said)
        elif as_said.decimal in decimals:
            expected = CsvFormat(";", as_said.decimal, "." if as_said.decimal == "," else None)
            assert numbers_of({"x": {text: 1}}, as_said, said) == expected
