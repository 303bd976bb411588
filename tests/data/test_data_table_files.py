"""CSV and Parquet files: what their columns are taken for, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hpsearch.data import csv_file, csv_recogniser, table_file
from hpsearch.data.cells import MISSING, MOST_CATEGORIES, MOST_SET_CATEGORIES
from hpsearch.data.csv_format import CsvFormat
from hpsearch.data.dataset import Dataset
from hpsearch.data.sources import source_class
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError

Mixed = Callable[..., pd.DataFrame]
KINDS = ("csv", "parquet")


def load(folder: Path, kind: str = "csv", **options: Any) -> Dataset:
    options = {"source": kind, "path": f"rows.{kind}", "target": "kind", **options}
    return source_class(kind).model_validate(options).load(folder, 0)


def write(folder: Path, content: str | bytes, name: str = "rows.csv") -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def column(folder: Path, cells: Sequence[str], **options: Any) -> Dataset:
    """A file of one column of features."""
    write(folder, "x,kind\n" + "".join(f'"{cell}",{"ab"[i % 2]}\n' for i, cell in enumerate(cells)))
    return load(folder, **options)


def refusal(folder: Path, kind: str = "csv", **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, kind, **options)
    line = str(caught.value)
    assert "\n" not in line
    path = str(folder / f"rows.{kind}")
    assert line.startswith(path)
    return line.removeprefix(path)


def column_refusal(folder: Path, cells: Sequence[str], **options: Any) -> str:
    with pytest.raises(DataError):
        column(folder, cells, **options)
    return refusal(folder, **options)


# --- what a column is


@pytest.mark.parametrize(
    ("cells", "options", "kind", "values"),
    [
        (["1", " 2.5", "-3e2 "], {}, "numeric", [1, 2.5, -300]),
        (["1", "", "3"], {}, "numeric", [1, np.nan, 3]),
        (["1", "?", "3"], {"missing": ["?"]}, "numeric", [1, np.nan, 3]),
        (["1", "-999", "3", " -999.0"], {"missing": ["-999"]}, "numeric", [1, np.nan, 3, np.nan]),
        (["1", "-999", "3", ""], {"missing": ["-999.0"]}, "numeric", [1, np.nan, 3, np.nan]),
        (["u", "-999", "v"], {"missing": ["-999"]}, "categorical", ["u", "missing", "v"]),
        (["0", "1", "0"], {}, "numeric", [0, 1, 0]),
        (["true", "FALSE", "Yes", "no"], {}, "boolean", [1, 0, 1, 0]),
        (["yes", "n/a", "no"], {}, "boolean", [1, np.nan, 0]),
        (["0", "1", "yes", ""], {"boolean": ["x"]}, "boolean", [0, 1, 1, np.nan]),
        (["u", " v ", "u"], {}, "categorical", ["u", "v", "u"]),
        (["u", "null", "v"], {}, "categorical", ["u", "missing", "v"]),
        (["10", "9", "10"], {"categorical": ["x"]}, "categorical", ["10", "9", "10"]),
        (["true", "no"], {"categorical": ["x"]}, "categorical", ["true", "no"]),
        (["3", "A4", "B2", "B2"], {}, "categorical", ["3", "A4", "B2", "B2"]),
        (["2026_11", "2026_12"], {}, "categorical", ["2026_11", "2026_12"]),
    ],
    ids=str,
)
def test_what_a_column_is_follows_from_its_cells_or_is_said(
    cells: list[str], options: dict[str, Any], kind: str, values: list[Any], tmp_path: Path
) -> None:
    data = column(tmp_path, cells, **options)
    (declared,) = data.columns.columns
    assert declared.kind == kind
    if kind == "categorical":
        chosen = [data.feature_names[place].removeprefix("x=") for place in data.features.argmax(axis=1)]
        assert chosen == values
    else:
        np.testing.assert_array_equal(data.features[:, 0], np.array(values, float))


@pytest.mark.parametrize("word", [*MISSING, "NA", "N/A", "NaN", "None", "NULL", "  "])
def test_every_way_to_write_nothing_is_missing(word: str, tmp_path: Path) -> None:
    for cells in (["1", word, "3"], ["u", word, "v"], ["yes", word, "no"]):
        data = column(tmp_path, cells)
        assert data.columns.columns[0].indicator
        assert data.features[:, -1].tolist() == [0, 1, 0]


def test_a_few_cells_that_are_no_numbers_are_refused_with_what_to_do(tmp_path: Path) -> None:
    line = column_refusal(tmp_path, ["1", "2", "3", "low", "5", "?"])
    assert line.startswith(", row 5, column 'x': must be a finite number, but is 'low' (and elsewhere '?'), while 4 ")
    assert "missing=['low', '?']" in line
    assert "categorical=['x']" in line
    assert column(tmp_path, ["1", "2", "3", "low", "5", "?"], categorical=["x"]).features.shape == (6, 6)
    assert column(tmp_path, ["1", "2", "3", "low", "5", "?"], missing=["low", "?"]).features.shape == (6, 2)


def test_a_column_with_too_many_categories_is_refused_unless_one_insists(tmp_path: Path) -> None:
    few, many = ([f"c{i % count}" for i in range(4 * count)] for count in (MOST_CATEGORIES, MOST_CATEGORIES + 1))
    assert column(tmp_path, few).features.shape[1] == MOST_CATEGORIES
    line = column_refusal(tmp_path, many)
    assert line.startswith(", column 'x': must have few categories, at most 50 ")
    assert "drop=['x']" in line
    assert column(tmp_path, many, categorical=["x"]).features.shape[1] == MOST_CATEGORIES + 1
    names = [f"c{i}" for i in range(MOST_SET_CATEGORIES + 1)]
    assert "at most 1000" in column_refusal(tmp_path, names, categorical=["x"])


def test_a_column_of_names_is_refused(tmp_path: Path) -> None:
    assert "but has 30 in 30 rows" in column_refusal(tmp_path, [f"name {i}" for i in range(30)])


@pytest.mark.parametrize("count", [1, 5, 3000])
def test_how_many_rows_are_taken_at_a_time_does_not_matter(
    count: int, tmp_path: Path, mixed: Mixed, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed(300).to_csv(tmp_path / "rows.csv", index=False)
    expected = load(tmp_path).fingerprint
    monkeypatch.setattr(csv_file, "BLOCK_ROWS", count)
    assert load(tmp_path).fingerprint == expected


@pytest.mark.parametrize(
    ("cells", "options", "words"),
    [
        (["1", "x"], {"numeric": ["x"]}, ", row 3, column 'x': must be a finite number, but is 'x'"),
        (["yes", "2"], {"boolean": ["x"]}, ", row 3, column 'x': must be true, false, yes, no, 1 or 0, but is '2'"),
        (["", "NA"], {}, ", column 'x': must have a value in some row, but is empty in all 2"),
        (["", "NA"], {"numeric": ["x"]}, ", column 'x': must have a value in some row"),
        (["", "NA"], {"categorical": ["x"]}, ", column 'x': must have a value in some row"),
        (["missing", "NA"], {}, ", column 'x': must not have both missing values and a category called 'missing'"),
        (["1", "2"], {"categorical": ["y"]}, ": must have a column 'y', but has not. Choose one of: kind, x."),
        (["1", "2"], {"features": ["y"]}, ": must have a column 'y', but has not."),
        (["1", "2"], {"drop": ["x"]}, ": must have a column to predict from beside kind."),
    ],
    ids=str,
)
def test_columns_that_are_not_what_is_said_are_refused(
    cells: list[str], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert column_refusal(tmp_path, cells, **options).startswith(words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"numeric": ["kind"]}, "'kind' is named twice"),
        ({"numeric": ["x"], "boolean": ["x"]}, "'x' is named twice"),
        ({"features": ["x"], "group": "x"}, "'x' is named twice"),
        ({"features": ["x"], "drop": ["y"]}, "must have either features or drop, but has both"),
        ({"features": ["x"], "numeric": ["y"]}, "must give kinds of features only, but 'y' is none"),
        ({"impute": "zero"}, "'mean', 'median' or 'most-frequent', but is 'zero'"),
    ],
    ids=str,
)
def test_contradictions_are_refused_before_the_file_is_read(options: dict[str, Any], words: str) -> None:
    data = {"source": "csv", "path": "no.csv", "target": "kind", **options}
    with pytest.raises(ValueError, match=words):
        StudyDefinition.from_mapping({"study": {"name": "s"}, "data": data}, Path())


def test_named_features_are_all_that_is_read(tmp_path: Path) -> None:
    """Other columns may hold anything."""
    write(tmp_path, "note,y,x,kind\n?,1,2,a\n,3,4,b\nz,5,6,a\n")
    data = load(tmp_path, features=["x", "y"])
    assert data.feature_names == ("y", "x")
    assert data.features.tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("kind", KINDS)
def test_copies_of_rows_are_left_out_if_that_is_wished(kind: str, tmp_path: Path, mixed: Mixed) -> None:
    """What is missing twice is a copy too; columns that are no features tell no rows apart."""
    frame = mixed(40)
    twice = pd.concat([frame, frame[5:25]], ignore_index=True).assign(id=range(60), when=range(60))
    twice.to_csv(tmp_path / "rows.csv", index=False)
    twice.to_parquet(tmp_path / "rows.parquet")
    options: dict[str, Any] = {"drop": ["id"], "time": "when"}
    kept, dropped = (load(tmp_path, kind, duplicates=how, **options) for how in ("keep", "drop"))
    assert load(tmp_path, kind, **options).fingerprint == kept.fingerprint
    assert (kept.rows, dropped.rows) == (60, 40)
    assert dropped.times is not None
    assert dropped.times.tolist() == [*range(40)]
    assert dropped.columns == kept.columns
    np.testing.assert_array_equal(dropped.features, kept.features[:40])


# --- the header's ends: an index, separators at the ends of lines


@pytest.mark.parametrize("named", [False, True])
def test_the_index_that_pandas_writes_is_a_column_called_index(named: bool, tmp_path: Path, mixed: Mixed) -> None:
    """Whatever it holds; where another column is called so, it gets the next name."""
    frame = mixed(40)
    if named:
        frame = frame.rename(columns={"age": "index"})
    index = "index_2" if named else "index"
    frame.to_csv(tmp_path / "rows.csv", index=False)
    expected = load(tmp_path)
    frame.index = pd.Index([f"row {i}" for i in range(40)])
    frame.to_csv(tmp_path / "rows.csv")
    data = load(tmp_path, drop=[index])
    assert (data.fingerprint, data.index) == (expected.fingerprint, index)
    assert expected.index is None
    frame.reset_index(drop=True).to_csv(tmp_path / "rows.csv")
    feature = load(tmp_path)
    assert feature.columns.names == (index, *expected.columns.names)
    np.testing.assert_array_equal(feature.features[:, 0], range(40))


def test_a_separator_at_the_end_of_a_line_begins_no_column(tmp_path: Path, mixed: Mixed) -> None:
    mixed(40).to_csv(tmp_path / "rows.csv", index=False)
    expected, lines = load(tmp_path).fingerprint, (tmp_path / "rows.csv").read_text().splitlines()
    width = lines[0].count(",")
    for some in (lines[:1], lines[1:], lines, lines[7:9]):
        ends = [line + (",, " if line in some else "") for line in lines]
        write(tmp_path, "\n".join([*ends, "," * width, "   ", "," * (width + 2), "", ""]))
        assert load(tmp_path).fingerprint == expected


# --- Parquet


@pytest.mark.parametrize(
    "options", [{}, {"categorical": ["sex", "paid"]}, {"numeric": ["member"]}, {"missing": ["Rome", "77.09"]}], ids=str
)
def test_a_parquet_file_gives_what_the_csv_file_of_the_same_rows_gives(
    options: dict[str, Any], tmp_path: Path, mixed: Mixed
) -> None:
    frame = mixed()
    if "numeric" in options:  # where text says "True", a number has to be 1
        frame = frame.assign(member=frame["member"].astype("Int64"))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    one, other = (load(tmp_path, kind, **options) for kind in KINDS)
    assert one.columns == other.columns
    np.testing.assert_array_equal(one.features, other.features)
    assert one.fingerprint == other.fingerprint


def parquet(folder: Path, **columns: Any) -> None:
    pq.write_table(pa.table({**columns, "kind": ["a", "b", "a"]}), folder / "rows.parquet")


@pytest.mark.parametrize(
    ("values", "kind", "features"),
    [
        (pa.array([1, None, 3], pa.int8()), "numeric", [1, np.nan, 3]),
        (pa.array([1, 2, 3], pa.uint64()), "numeric", [1, 2, 3]),
        (pa.array([0.5, float("nan"), None], pa.float32()), "numeric", [0.5, np.nan, np.nan]),
        (pa.array(["1.50", "2.25", None]).cast(pa.decimal128(5, 2)), "numeric", [1.5, 2.25, np.nan]),
        (pa.array([True, None, False]), "boolean", [1, np.nan, 0]),
        (pa.array(["v", "u", "v"]), "categorical", [0, 1, 0]),
        (pa.array(["v", "u", "v"], pa.large_string()), "categorical", [0, 1, 0]),
        (pa.array(["v", "u", "v"]).dictionary_encode(), "categorical", [0, 1, 0]),
        (pa.array([5, 4, 5]).dictionary_encode(), "numeric", [5, 4, 5]),
        (pa.array(["2", "1", "2"]), "categorical", [0, 1, 0]),
    ],
    ids=str,
)
def test_a_parquet_column_is_what_its_type_says(values: Any, kind: str, features: list[float], tmp_path: Path) -> None:
    parquet(tmp_path, x=values)
    data = load(tmp_path, "parquet")
    assert data.columns.columns[0].kind == kind
    np.testing.assert_array_equal(data.features[:, 0], features)


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (pa.array([[1], [2], [3]]), {}, ", column 'x': must hold one number, boolean, text or date a row, but holds l"),
        (pa.array([{"u": 1}] * 3), {}, ", column 'x': must hold one number, boolean, text or date a row, but holds s"),
        (pa.array([b"1", b"2", b"3"]), {}, ", column 'x': must hold one number"),
        (pa.array([[1], [2], [3]]), {"group": "x"}, ", column 'x': must hold one number"),
        (pa.array([1, 2, 3], pa.timestamp("ns")), {}, ", column 'x': must hold numbers, booleans or text, but holds t"),
        (pa.array([1.0, float("inf"), 2.0]), {}, ", row 2, column 'x': must be a finite number, but is inf"),
        (pa.nulls(3), {}, ", column 'x': must have a value in some row, but is empty in all 3"),
        (pa.array(["u", None, "v"]), {"group": "x"}, ", row 2, column 'x': must not be empty"),
        (pa.array(["u", "v", "w"]), {"numeric": ["x"]}, ", row 1, column 'x': must be a finite number, but is 'u'"),
    ],
    ids=str,
)  # fmt: skip
def test_parquet_columns_that_cannot_be_used_are_refused(
    values: Any, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    parquet(tmp_path, x=values, y=[1, 2, 3])
    assert refusal(tmp_path, "parquet", **options).startswith(words)


def test_dates_of_a_parquet_file_may_order_the_rows(tmp_path: Path) -> None:
    days = np.array(["2026-03-02", "2026-03-01", "2026-03-05"], "datetime64[ns]")
    for values in (pa.array(days), pa.array(days).cast(pa.date32()), pa.array(days, pa.timestamp("ns", "UTC"))):
        parquet(tmp_path, x=[1, 2, 3], day=values)
        times = load(tmp_path, "parquet", time="day").times
        assert times is not None
        assert np.diff(times).tolist() == [-86400, 4 * 86400]


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"x": np.zeros(10**6), "kind": ["a", "b"] * (10**6 // 2)}), tmp_path / "rows.parquet")
    assert (tmp_path / "rows.parquet").stat().st_size < 100_000
    monkeypatch.setattr(table_file, "MOST_VALUES", 10**6)
    assert refusal(tmp_path, "parquet").startswith(": must have at most 1,000,000 values, but has 1,000,000 rows of 2")


@pytest.mark.parametrize(("most", "what"), [(359, "120 rows of 3 columns"), (500, "120 rows of 6 features")])
def test_rows_with_too_many_values_are_refused(
    most: int, what: str, tmp_path: Path, mixed: Mixed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the file, or those of the features that its categories become."""
    mixed()[["age", "port", "kind"]].to_csv(tmp_path / "rows.csv", index=False)
    assert load(tmp_path).features.shape == (120, 6)
    monkeypatch.setattr(table_file, "MOST_VALUES", most)
    assert what in refusal(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(kind: str, tmp_path: Path, mixed: Mixed) -> None:
    mixed().to_csv(tmp_path / "rows.csv", index=False)
    mixed().to_parquet(tmp_path / "rows.parquet")
    draw, path = np.random.default_rng(0), tmp_path / f"rows.{kind}"
    raw, lines = path.read_bytes(), list[str]()
    for _ in range(200):
        damaged = np.frombuffer(raw, np.uint8).copy()
        damaged[draw.integers(0, len(raw), 3)] = draw.integers(0, 256, 3)
        path.write_bytes(damaged[: len(raw) if draw.random() < 0.8 else draw.integers(1, len(raw))].tobytes())
        try:
            load(tmp_path, kind)
        except DataError as error:
            lines.append(str(error))
    assert len(lines) > 100
    assert not any("\n" in line for line in lines)


def test_no_parquet_is_no_parquet(tmp_path: Path) -> None:
    write(tmp_path, "x,kind\n1,a\n2,b\n", "rows.parquet")
    assert refusal(tmp_path, "parquet").startswith(": must be a readable Parquet file, but ")
    pq.write_table(
        pa.table({"x": pa.array([], pa.int8()), "kind": pa.array([], pa.string())}), tmp_path / "rows.parquet"
    )
    assert refusal(tmp_path, "parquet") == ": must have rows, but has none."
    (tmp_path / "rows.parquet").unlink()
    assert "no such file" in refusal(tmp_path, "parquet")


def test_an_address_on_the_web_is_no_file() -> None:
    with (
        pytest.raises(DataError, match=r"no such file or directory\. Download it, and name the file"),
        table_file.reading(Path("https://example.org/rows.csv"), "CSV"),
    ):
        Path("https://example.org/rows.csv").read_bytes()


# --- hostile files


@pytest.mark.parametrize(
    ("pack", "kind"),
    [*((pack, "parquet") for pack in ("gzip", "zip")), *product(("bzip2", "xz", "zstd"), KINDS)],
)
def test_a_compressed_file_that_is_not_unpacked_is_refused(pack: str, kind: str, tmp_path: Path) -> None:
    content, path = b"x,kind\n" + b"1,a\n2,b\n" * 100, tmp_path / f"rows.{kind}"
    if pack == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("rows.csv", content)
    else:
        zstd = b"\x28\xb5\x2f\xfd" + bytes(20)  # Python has none before 3.14
        packed = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
        path.write_bytes(packed[pack](content) if pack in packed else zstd)
    assert refusal(tmp_path, kind) == f": must not be compressed, but is a {pack} file. Unpack it first."


def test_a_header_may_begin_like_a_compressed_file(tmp_path: Path) -> None:
    write(tmp_path, "BZh9,kind\n1,a\n2,b\n")
    assert load(tmp_path).feature_names == ("BZh9",)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_too_many_bytes_is_refused(
    kind: str, tmp_path: Path, mixed: Mixed, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed().to_csv(tmp_path / "rows.csv", index=False)
    mixed().to_parquet(tmp_path / "rows.parquet")
    monkeypatch.setattr(table_file, "MOST_BYTES", 1000)
    assert ": must have at most " in refusal(tmp_path, kind)


def test_a_stream_with_too_many_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not say beforehand how long it is, and may never end."""
    for module in (table_file, csv_file):
        monkeypatch.setattr(module, "MOST_BYTES", 2**20)
    monkeypatch.setattr(csv_file, "MOST_LINE_BYTES", 2**21)
    ours, endless = os.dup(0), os.open("/dev/zero", os.O_RDONLY)
    try:
        os.dup2(endless, 0)
        with pytest.raises(DataError, match=r"must have at most \S+ GiB"):
            csv_file.read_csv(Path("-"), table_file.Wanted())
    finally:
        os.dup2(ours, 0)
        os.close(ours)
        os.close(endless)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_too_many_columns_is_refused(kind: str, tmp_path: Path) -> None:
    names = [f"x{i}" for i in range(table_file.MOST_COLUMNS)]
    write(tmp_path, ",".join([*names, "kind"]) + "\n")
    pq.write_table(pa.table({name: [1] for name in [*names, "kind"]}), tmp_path / "rows.parquet")
    assert refusal(tmp_path, kind).startswith(", row 1: must have at most 10,000 columns, but has 10,001.")


@pytest.mark.parametrize("line", ["," * 2**22, ',"\n",'.join(["," * 2**16] * 40)], ids=["line", "lines"])
@pytest.mark.parametrize("before", ["", "x,kind\n1,a\n"], ids=["header", "row"])
def test_a_row_of_too_many_cells_is_refused_before_they_are_made(line: str, before: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress((before + f"{line}\n" * 4).encode(), 1))
    for call in (
        lambda path: csv_file.read_csv(path, table_file.Wanted()),
        lambda path: csv_recogniser.recognise(path, None, {}),
    ):
        tracemalloc.start()
        with pytest.raises(DataError, match=r"row \d+: must have at most 10,000 columns, but has \d,\d+,\d+\."):
            call(tmp_path / "rows.csv.gz")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6 * 2**22 + 2**24


def test_empty_cells_behind_the_last_column_are_none_however_many(tmp_path: Path) -> None:
    behind = "," * (2 * table_file.MOST_COLUMNS)
    write(tmp_path, f"x,kind{behind}\n1,a{behind}\n2,b\n")
    assert load(tmp_path).features.ravel().tolist() == [1.0, 2.0]
    write(tmp_path, f"x,kind\n1,a\n2,b{behind}3\n")
    assert refusal(tmp_path).startswith(", row 3: must have at most 10,000 columns, but has 20,002.")


@pytest.mark.parametrize("most", range(10, 30))
@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_lines_of_old_macs_are_read_wherever_a_read_ends(
    end: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_file, "MOST_LINE_BYTES", most)
    rows = [(f"{i}.5", "ab"[i % 2]) for i in range(20)]
    text = end.join(["\ufeffx,kind", *map(",".join, rows)])
    (tmp_path / "rows.csv").write_bytes(text.encode())
    with csv_file.opened(tmp_path / "rows.csv") as file:
        read = [*csv_file.rows_of(file, CsvFormat())]
    assert read == [(i + 1, [*row]) for i, row in enumerate([("x", "kind"), *rows])]


@pytest.mark.parametrize("place", [0, 1])
def test_a_cell_with_too_many_characters_is_refused(place: int, tmp_path: Path) -> None:
    cells = ["1", "a"]
    cells[place] = "y" * (table_file.MOST_CHARACTERS + 1)
    write(tmp_path, f"x,kind\n1,a\n{','.join(cells)}\n2,b\n")
    name = ["x", "kind"][place]
    assert refusal(tmp_path).startswith(
        f", row 3, column {name!r}: must have at most 100,000 characters, but has 100,001"
    )
    parquet(tmp_path, x=["u", "v" * (table_file.MOST_CHARACTERS + 1), "u"])
    assert refusal(tmp_path, "parquet").startswith(", row 2, column 'x': must have at most 100,000 characters, but has")


def test_a_quote_left_open_is_refused_by_its_row(tmp_path: Path) -> None:
    write(tmp_path, 'x,kind\n1,a\n2,"b\n' + "3,c\n" * 100_000)
    line = refusal(tmp_path)
    assert ": must be a row of a CSV file, but field larger than field limit" in line
    assert line.endswith("Is a quote left open?")


def test_a_line_that_does_not_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MOST_LINE_BYTES", 1000)
    write(tmp_path, "x,kind\n1,a\n" + "1," * 1000)
    assert ", row 3: must be a line of at most " in refusal(tmp_path)


@pytest.mark.parametrize("row", [2, 3, 4])
@pytest.mark.parametrize("name", ["x", "note", "kind"])
def test_a_nul_byte_is_refused_naming_row_and_column(row: int, name: str, tmp_path: Path) -> None:
    rows = pd.DataFrame({"x": ["1", "2", "3"], "note": ["u", "v", "w"], "kind": ["a", "b", "a"]})
    rows.loc[row - 2, name] += "\0"
    write(tmp_path, "\n".join(",".join(cells) for cells in [rows.columns, *rows.to_numpy()]))
    assert refusal(tmp_path, drop=["note"]).startswith(
        f", row {row}, column {name!r}: must be text, but holds a NUL byte"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x,kind\n1,a\n2,é\n".encode("latin-1"), ", row 3: must be text in UTF-8, but byte 3 of the row is 0xe9. Save"),
        ("é,kind\n1,a\n".encode("cp1252"), ", row 1: must be text in UTF-8, but byte 1 of the row is 0xe9."),
        (b"\xff\xfe" + "x,kind\n1,a\n".encode("utf-16-le")[:-1], ", row 2: must be text in UTF-16, but "),
        (b"\xff\xfe" + "x,kind\n".encode("utf-16-le") + b"\x00\xdc\n\x00", ", row 1: must be text in UTF-16, but "),
        ("x,kind\n1,a\n".encode("utf-16-le"), ", row 1: must be text, but column 1 holds a NUL byte."),
    ],
    ids=str,
)
def test_another_encoding_is_refused_naming_row_and_byte(content: bytes, words: str, tmp_path: Path) -> None:
    write(tmp_path, content)
    assert refusal(tmp_path).startswith(words)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "gb18030", "mac-roman"])
def test_text_in_another_encoding_is_read_as_its_mark_or_the_study_file_says(encoding: str, tmp_path: Path) -> None:
    content = 'größe;kind\r\n1;Öl, €\r\n2;"Gäs\nheiß"\r\n'
    content = content if encoding != "gb18030" else content + "3;石油\r\n"
    write(tmp_path, content)
    expected = load(tmp_path, separator=";").fingerprint
    write(tmp_path, content.encode(encoding))
    said = {} if encoding.startswith("utf") else {"encoding": encoding}
    assert load(tmp_path, separator=";", **said).fingerprint == expected
    write(tmp_path, content.encode("utf-8-sig"))
    assert load(tmp_path, separator=";", encoding="cp1252").fingerprint == expected, "a mark says more than a key"


def test_a_parquet_file_is_no_csv_file(tmp_path: Path, mixed: Mixed) -> None:
    mixed().to_parquet(tmp_path / "rows.csv")
    assert "in a study file set source='parquet'" in refusal(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_target_and_one_of_one_value_are_refused(kind: str, tmp_path: Path) -> None:
    for target, words in (
        (["a", None, "b"], ", column 'kind': must not be empty"),
        (["a", "NA", "b"], ", column 'kind': must not be empty, but means no value ('NA')"),
        (["a", "a", "a"], ": a classifier needs at least two classes, but every target is 'a'."),
    ):
        frame = pd.DataFrame({"x": [1, 2, 3], "kind": pd.Series(target, dtype="str")})
        frame.to_csv(tmp_path / "rows.csv", index=False)
        frame.to_parquet(tmp_path / "rows.parquet")
        assert words in refusal(tmp_path, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_without_a_target_are_left_out_if_that_is_wished(
    kind: str, task: str, tmp_path: Path, mixed: Mixed
) -> None:
    """As if they did not stand there: a value that only they miss is not missing, a category of theirs is none."""
    frame = mixed(60)
    target = "kind" if task == "classification" else "weight"
    there = frame.assign(port="Rome", when=range(60))
    there.loc[50:, "port"] = "Nowhere"
    there.loc[7, "sex"] = None
    there.loc[[7, *range(50, 60)], target] = None
    options: dict[str, Any] = {"target": target, "task": task, "time": "when"}
    for rows in (there, there.drop(index=[7, *range(50, 60)])):
        rows.to_csv(tmp_path / "rows.csv", index=False)
        rows.to_parquet(tmp_path / "rows.parquet", index=False)
        if rows is there:
            line = refusal(tmp_path, kind, **options)
            row = 8 if kind == "parquet" else 9
            assert line.startswith(f", row {row}, column '{target}': must not be empty, but is empty.")
            assert line.endswith("leave all such rows out: drop_missing_target=True.")
            data = load(tmp_path, kind, drop_missing_target=True, **options)
            assert data.without_target == 11
            assert "port=Nowhere" not in data.feature_names
            assert "sex=missing" not in data.feature_names
        else:
            assert data.fingerprint == load(tmp_path, kind, **options).fingerprint
            assert load(tmp_path, kind, drop_missing_target=True, **options).without_target == 0
    there.assign(**{target: pd.Series([None] * 60, dtype="str")}).to_csv(tmp_path / "rows.csv", index=False)
    there.assign(**{target: pd.Series([None] * 60, dtype="str")}).to_parquet(tmp_path / "rows.parquet")
    line = refusal(tmp_path, kind, drop_missing_target=True, **options)
    assert line == f", column '{target}': must have a value in some row, but is empty in all 60."


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"]), tmp_path / "rows.parquet")
    assert refusal(tmp_path, "parquet").startswith(", row 1: column names must differ, but 'x' stands twice.")


def test_old_line_ends_are_line_ends(tmp_path: Path) -> None:
    write(tmp_path, b"x,kind\r1,a\r2,b\r")
    assert load(tmp_path).features.tolist() == [[1], [2]]


# --- rare classes

LABELS = ["a"] * 6 + ["b"] * 5 + ["c"] * 3 + ["d"] * 2 + ["e"]


def of_labels(folder: Path, **options: Any) -> Dataset:
    numbers = np.arange(len(LABELS))
    table = pd.DataFrame({"x": numbers, "port": [f"p{label}" for label in LABELS], "who": numbers // 3, "y": LABELS})
    table = table.iloc[np.random.default_rng(0).permutation(len(table))]
    table.to_csv(folder / "rows.csv", index=False)
    given = {"source": "csv", "path": "rows.csv", "target": "y", "group": "who", **options}
    return source_class("csv").model_validate(given).load(folder, 0)


@pytest.mark.parametrize("smallest", [2, 3, 4])
def test_rows_of_rare_classes_are_left_out_as_if_they_had_never_been_there(smallest: int, tmp_path: Path) -> None:
    data = of_labels(tmp_path, rare_classes="drop", smallest_class=smallest)
    table = pd.read_csv(tmp_path / "rows.csv")
    table[table.groupby("y")["x"].transform("size") >= smallest].to_csv(tmp_path / "rows.csv", index=False)
    given = {"source": "csv", "path": "rows.csv", "target": "y", "group": "who"}
    assert data.fingerprint == source_class("csv").model_validate(given).load(tmp_path, 0).fingerprint


def test_rare_classes_become_one(tmp_path: Path) -> None:
    kept, joined = of_labels(tmp_path), of_labels(tmp_path, rare_classes="other", smallest_class=4)
    assert joined.class_names == ("a", "b", "other")
    names = np.array(kept.class_names)[kept.labels]
    wanted = np.where(np.isin(names, ["a", "b"]), names, "other")
    assert np.array(joined.class_names)[joined.labels].tolist() == wanted.tolist()
    assert joined.features.tobytes() == kept.features.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rare_classes": "leave"}, "Unknown way to take rare classes 'leave'"),
        ({"smallest_class": 3}, "must say what becomes of classes of fewer rows than smallest_class"),
        ({"rare_classes": "drop", "smallest_class": 1}, "greater than or equal to 2"),
        ({"rare_classes": "drop", "task": "regression"}, "must go with classes"),
    ],
)
def test_rare_classes_that_cannot_be_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        of_labels(tmp_path, **options)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 6 + ["b"], "at least 2 rows of rare classes where they become one, but has 1"),
        (["a"] * 6 + ["other"] * 5 + ["b", "c"], "must have no class 'other' where rare classes become it"),
    ],
)
def test_rare_classes_that_cannot_become_one_are_refused(labels: list[str], message: str, tmp_path: Path) -> None:
    pd.DataFrame({"x": range(len(labels)), "y": labels}).to_csv(tmp_path / "rows.csv", index=False)
    given = {"source": "csv", "path": "rows.csv", "target": "y", "rare_classes": "other", "smallest_class": 2}
    with pytest.raises(DataError, match=message):
        source_class("csv").model_validate(given).load(tmp_path, 0)


def test_none_is_no_number_to_predict_and_may_be_a_class(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n2,None\n3,4\n", encoding="utf-8")
    given = {"source": "csv", "path": "rows.csv", "target": "y", "drop_missing_target": True}
    number = source_class("csv").model_validate({**given, "task": "regression"}).load(tmp_path, 0)
    assert (number.rows, number.without_target) == (2, 1)
    assert source_class("csv").model_validate(given).load(tmp_path, 0).class_names == ("2", "4", "None")


def test_no_row_is_left_of_rare_classes_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must leave some row, but none of its classes has 10 rows"):
        of_labels(tmp_path, rare_classes="drop")
