"""Compressed CSV files: read as what is in them, within the limits of plain ones; traps are refused."""

from __future__ import annotations

import gzip
import io
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpsearch.data import csv_file, table_file, unpack
from hpsearch.data.dataset import Dataset
from hpsearch.data.sources import SOURCES
from hpsearch.data.survey import survey
from hpsearch.errors import DataError

Mixed = Callable[..., pd.DataFrame]


def load(path: Path, **options: Any) -> Dataset:
    source = SOURCES["csv"].model_validate({"source": "csv", "path": path.name, "target": "kind", **options})
    return source.load(path.parent, 0)


def refusal(path: Path) -> str:
    lines = []
    for read in (load, lambda path: survey(path, "kind")):
        with pytest.raises(DataError) as refused:
            read(path)
        lines.append(str(refused.value))
    assert len(set(lines)) == 1, "init and run refuse in the same words"
    assert "\n" not in lines[0]
    assert lines[0].startswith(str(path))
    return lines[0].removeprefix(str(path))


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip in two parts": lambda content: gzip.compress(content[:777]) + gzip.compress(content[777:]),
    "zip": lambda content: zipped({"rows.csv": content}),
    "zip that stores": lambda content: zipped({"rows.csv": content}, zipfile.ZIP_STORED),
    "zip with a folder": lambda content: zipped({"a/": b"", "a/rows.csv": content}),
    "zip of a Mac": lambda content: zipped({"rows.csv": content, "__MACOSX/._rows.csv": b"\0\5\x16\7"}),
    "zip with a path": lambda content: zipped({"../../../etc/rows.csv": content}),
    "zip behind other bytes": lambda content: zipped({"rows.csv": content}) + b"",
}


@pytest.mark.parametrize("packer", PACKERS)
def test_a_compressed_file_is_read_as_what_is_in_it(packer: str, tmp_path: Path, mixed: Mixed) -> None:
    path = tmp_path / "rows.csv"
    mixed().to_csv(path, index=False)
    expected = load(path).fingerprint
    content = path.read_bytes()
    path.write_bytes(PACKERS[packer](content))
    before = sorted(tmp_path.rglob("*"))
    assert load(path).fingerprint == expected
    assert survey(path, "kind").csv.changes() == {}
    assert sorted(tmp_path.rglob("*")) == before, "nothing is unpacked to disk"
    for encoding, said in (("utf-16", {}), ("cp1252", {"encoding": "cp1252"}), ("utf-8-sig", {})):
        other = content.decode().replace("Åbo", "Åbö").encode(encoding)
        path.write_bytes(PACKERS[packer](other))
        assert survey(path, "kind").csv.changes() == said
        assert "port=Åbö" in load(path, **said).feature_names


@pytest.mark.parametrize("compression", ["gzip", "zip"])
def test_what_pandas_compresses_is_read(compression: str, tmp_path: Path, mixed: Mixed) -> None:
    mixed().to_csv(tmp_path / "rows.csv", index=False)
    path = tmp_path / f"rows.csv.{'gz' if compression == 'gzip' else 'zip'}"
    mixed().to_csv(path, index=False)
    assert load(path).fingerprint == load(tmp_path / "rows.csv").fingerprint


def test_a_compressed_file_comes_from_the_standard_input_too(tmp_path: Path) -> None:
    def read(content: bytes) -> table_file.Table:
        ours, (reads, writes) = os.dup(0), os.pipe()
        try:
            os.write(writes, content)  # a pipe holds far more
            os.close(writes)
            os.dup2(reads, 0)
            return csv_file.read_csv(Path("-"), table_file.Wanted())
        finally:
            os.dup2(ours, 0)
            os.close(ours)
            os.close(reads)

    content = b"x,kind\n1,a\n2,b\n"
    assert read(gzip.compress(content)).columns[0].values.tolist() == [1, 2]
    with pytest.raises(DataError, match=r"must be a file on disk if it is a zip file, .* unzip -p FILE"):
        read(zipped({"rows.csv": content}))


# --- traps


@pytest.mark.parametrize("packer", ["gzip", "zip"])
def test_a_small_file_that_unpacks_to_a_large_one_is_refused_without_holding_it(
    packer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (table_file, csv_file):
        monkeypatch.setattr(module, "MOST_BYTES", 2**17)
    path = tmp_path / "rows.csv"
    path.write_bytes(PACKERS[packer](b"x,kind\n" + b"1,a\n" * 2**22))
    assert path.stat().st_size < 2**17
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"must have at most \S+ GiB"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23  # half of what is in it
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packer", ["gzip", "zip"])
def test_a_bomb_without_a_line_end_is_refused(packer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MOST_LINE_BYTES", 2**16)
    path = tmp_path / "rows.csv"
    path.write_bytes(PACKERS[packer](b"x" * 2**20))
    assert ", row 1: must be a line of at most 0.0625 MiB, but is longer." in refusal(path)


CONTENT = b"x,kind\n1,a\n2,b\n"
SHEET = zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"})
OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SAVE = 'Save its sheet as "CSV UTF-8" in the spreadsheet program, and name that file.'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped({}), ": must hold one file and nothing else, but is a zip file of no file."),
        (zipped({"a.csv": CONTENT, "b.csv": CONTENT}), ": must hold one file and nothing else, but is a zip file of 2"),
        (zipped({"a/": b""}), ": must hold one file and nothing else, but is a zip file of no file."),
        (zipped({"a.zip": zipped({"a.csv": CONTENT})}), ": must not be compressed, but is a zip file. Unpack it fir"),
        (gzip.compress(gzip.compress(CONTENT)), ": must not be compressed, but is a gzip file. Unpack it first."),
        (gzip.compress(zipped({"a.csv": CONTENT})), ": must not be compressed, but is a zip file. Unpack it first."),
        (zipped({"a.csv": CONTENT}, zipfile.ZIP_LZMA), ": must be packed by the usual method, but is a zip file by "),
        (zipped({"a.csv": CONTENT}, zipfile.ZIP_BZIP2), ": must be packed by the usual method, but is a zip file by "),
        (zipped({"a.csv": b""}), ": must begin with a header line, but is empty."),
        (gzip.compress(b""), ": must begin with a header line, but is empty."),
        (gzip.compress(CONTENT)[:-9], ": must be a readable CSV file, but "),
        (SHEET, f": must be a CSV or Parquet file, but is an Excel file (.xlsx). {SAVE}"),
        (OLE2 + bytes(600), f": must be a CSV or Parquet file, but is an Excel file (.xls). {SAVE}"),
        (zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet", "content.xml": b"<x/>"}),
         f": must be a CSV or Parquet file, but is an OpenDocument spreadsheet (.ods). {SAVE}"),
    ],
    ids=range(14),
)  # fmt: skip
def test_an_archive_that_is_no_table_is_refused_with_what_to_do(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    assert refusal(path).startswith(words)


@pytest.mark.parametrize(
    ("bit", "words"),
    [(0, "must not be encrypted, but is a zip file with a password"), (5, "must be a readable zip"), (6, "must be ")],
)
def test_an_archive_that_says_it_is_encrypted_or_patched_is_refused(bit: int, words: str, tmp_path: Path) -> None:
    content = bytearray(zipped({"a.csv": CONTENT}))
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + offset] |= 1 << bit
    (tmp_path / "rows.csv").write_bytes(content)
    assert words in refusal(tmp_path / "rows.csv")


def test_an_archive_with_an_endless_list_of_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "MOST_LISTED", 2**17)
    path = tmp_path / "rows.csv"
    path.write_bytes(zipped({f"{i:060}": b"" for i in range(2000)}, zipfile.ZIP_STORED))
    assert "must have a list of files of at most 0.125 MiB" in refusal(path)


@pytest.mark.parametrize("packer", ["gzip", "zip"])
def test_a_damaged_archive_is_read_or_refused_and_nothing_else(packer: str, tmp_path: Path, mixed: Mixed) -> None:
    path = tmp_path / "rows.csv"
    mixed().to_csv(path, index=False)
    draw, raw, lines = np.random.default_rng(0), PACKERS[packer](path.read_bytes()), list[str]()
    for _ in range(150):
        damaged = np.frombuffer(raw, np.uint8).copy()
        some = draw.integers(0, len(raw), 3) if draw.random() < 0.5 else -draw.integers(1, 100, 3)  # or the zip's list
        damaged[some] = draw.integers(0, 256, 3)
        path.write_bytes(damaged[: len(raw) if draw.random() < 0.8 else draw.integers(1, len(raw))].tobytes())
        try:
            load(path)
        except DataError as error:
            lines.append(str(error))
    assert len(lines) > 75
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("größe,kind\n1,Öl\n2,Gas\n", "utf-8"),
        ("größe,kind\n1,Öl\n2,Gas\n", "cp1252"),
        ("x,kind\n1,l'œuvre — 5 €\n2,„Gas“\n", "cp1252"),
        ("x,kind\n1,Москва\n2,Казань\n", ""),
        ("x,kind\n1,Łódź\n2,Αθήνα\n", ""),
        ("x,kind\n1,東京都庁\n2,大阪府庁\n", ""),
    ],
)
def test_an_encoding_is_recognised_or_refused(text: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    if encoding:
        path.write_bytes(text.encode(encoding))
        assert survey(path, "kind").csv.encoding == encoding
        assert set(survey(path, "kind").classes or ()) == {line.partition(",")[2] for line in text.splitlines()[1:]}
        return
    for other in ("cp1251", "cp1253", "shift-jis", "gb18030", "big5", "euc-kr"):
        try:
            path.write_bytes(text.encode(other))
        except UnicodeEncodeError:
            continue
        with pytest.raises(DataError, match=r"but is neither\. .*encoding='cp1251'"):
            survey(path, "kind")
        assert survey(path, "kind", csv={"encoding": other}).classes
