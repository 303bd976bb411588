"""Hostile tables: whatever a command is given, it ends in success or in one line, and soon."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import hostile_tables
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Outcome

from hpsearch.data import parquet_file, table_file
from hpsearch.data.audit import CHECKS, MOST_TRIED, Audited
from hpsearch.data.columns import Plan, Raw
from hpsearch.data.csv_file import read_csv
from hpsearch.data.dataset import Dataset
from hpsearch.data.parquet_file import read_parquet
from hpsearch.data.splits import SplitOptions, make_splits
from hpsearch.data.survey import survey
from hpsearch.data.table_file import Wanted
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, HpsearchError
from hpsearch.model.bundle import Bundle
from hpsearch.regular_file import open_regular

Call = Callable[..., Outcome]

STUDY = """
[study]
name = "rows"
seed = 1
[data]
source = "{kind}"
path = "rows.{kind}"
target = "y"
[validation]
n_splits = 2
[train]
neurons = 4
epochs = 3
[search]
trials = 1
finalists = 0
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPSEARCH_STORAGE", raising=False)
    monkeypatch.setenv("HPSEARCH_WORKERS", "1")
    return tmp_path


def succeeds(hpsearch: Call, *arguments: str) -> bool:
    """Whether a command ends in success, and not in one line."""
    done = hpsearch(*arguments)
    assert done.status in (0, 1, 2), done
    assert done.status != 2 or done.err.strip().count("\n") == 0, done.err
    return done.status == 0


def try_all(hpsearch: Call, kind: str, commands: bool) -> None:
    """Every command that reads rows, on the file ``rows.KIND``."""
    if not succeeds(hpsearch, "init", f"rows.{kind}", "--target", "y", "--force"):
        Path("rows.toml").write_text(STUDY.format(kind=kind))
    short = "--set", "train.epochs=4", "--set", "search.finalist_repeats=1", "--set", "retrain.members=1"
    if not succeeds(hpsearch, "check", "rows.toml", *short) or not commands:
        return
    trials = "--trials", "2" if "[space]" in Path("rows.toml").read_text() else "1"
    if succeeds(hpsearch, "run", "rows.toml", *trials, *short):
        best = succeeds(hpsearch, "best", "rows.toml", "-o", "best.toml")
        if best and succeeds(hpsearch, "retrain", "best.toml", "--members", "1"):
            for command in ("predict", "evaluate"):
                succeeds(hpsearch, command, "model", f"rows.{kind}")


@pytest.mark.parametrize(("kind", "seed"), [("csv", 7), ("parquet", 3)])
def test_a_hostile_table_ends_in_success_or_in_one_line(kind: str, seed: int, folder: Path, hpsearch: Call) -> None:
    getattr(hostile_tables, kind)(Path(f"rows.{kind}"), np.random.default_rng(seed))
    try_all(hpsearch, kind, commands=False)


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("seed", range(10, 160))
def test_hundreds_of_hostile_tables(kind: str, seed: int, folder: Path, hpsearch: Call) -> None:
    getattr(hostile_tables, kind)(Path(f"rows.{kind}"), np.random.default_rng(seed))
    try_all(hpsearch, kind, commands=True)


@pytest.mark.campaign
@pytest.mark.parametrize("column", hostile_tables.COLUMNS)
def test_every_kind_of_column_beside_an_ordinary_one(column: str, folder: Path, hpsearch: Call) -> None:
    hostile_tables.parquet(Path("rows.parquet"), np.random.default_rng(1), column, "normal")
    try_all(hpsearch, "parquet", commands=True)


# --- files that are none


def places(folder: Path) -> dict[str, str]:
    """Paths of what is no regular file, and what the system or we say of it."""
    os.mkfifo(folder / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    before = os.getcwd()
    os.chdir(folder)  # a socket's path is short
    listening.bind("socket")
    os.chdir(before)
    listening.close()
    (folder / "folder").mkdir()
    for link, of in {"loop": "loop", "dangling": "nothing", "to-pipe": "pipe", "to-zero": "/dev/zero"}.items():
        (folder / link).symlink_to(of)
    return {
        "pipe": "is a pipe, not a regular file",
        "to-pipe": "is a pipe, not a regular file",
        "socket": "is a socket, not a regular file",
        "to-zero": "is a device, not a regular file",
        "/dev/zero": "is a device, not a regular file",
        "folder": "[Ii]s a directory",
        "loop": "levels of symbolic links",
        "dangling": "[Nn]o such file",
        "x" * 5000: "[Nn]ame too long",
        "a\0b": "no file can have such a name",
    }


DOORS: dict[str, Callable[[Path], object]] = {
    "CSV": lambda path: read_csv(path, Wanted(("y",))),
    "Parquet": lambda path: read_parquet(path, Wanted(("y",))),
    "a survey": lambda path: survey(path, "y"),
    "a study": lambda path: StudyDefinition.from_file(path),
    "a model": lambda path: Bundle.load(path),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_what_is_no_regular_file_is_refused_at_once_at_every_door(folder: Path, hpsearch: Call) -> None:
    for path, said in places(folder).items():
        with pytest.raises(OSError, match=said):
            open_regular(path)
        for door, pass_through in DOORS.items():
            with pytest.raises(HpsearchError, match="a saved model" if door == "a model" else said):
                pass_through(Path(path))
        if path in ("pipe", "loop"):
            for command in (("init", path, "--target", "y", "-o", "new.toml"), ("check", path)):
                done = hpsearch(*command)
                assert done.status == 2, (command, done)
                assert said in done.err, (command, done)
                assert done.err.count("\n") == 1, (command, done)


# --- files that unfold


def test_a_parquet_file_that_repeats_its_values_is_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_file, "MOST_IN_MEMORY", 2**10)
    rows, path = 2**20, tmp_path / "rows.parquet"
    one = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array([1.5]))
    pq.write_table(pa.table({"x": one, "y": one}), path, compression="zstd")
    with pytest.raises(DataError, match=r"must have at most 100 values a byte, but has 1,048,576 rows of 2 columns"):
        read_parquet(path, Wanted(("y",)))


@pytest.mark.parametrize("encoding", ["dictionary", "DELTA_BYTE_ARRAY"])
def test_text_that_unfolds_to_more_than_a_file_may_have_is_refused(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (table_file, parquet_file):
        monkeypatch.setattr(module, "MOST_BYTES", 2**20)
    path, own = tmp_path / "rows.parquet", {}
    if encoding != "dictionary":
        own = {"use_dictionary": False, "column_encoding": {"x": encoding, "y": "PLAIN"}}
    table = pa.table({"x": ["0." + "0" * 9000 + "1"] * 2000, "y": ["a", "b"] * 1000})
    pq.write_table(table, path, compression="zstd", **own)
    assert path.stat().st_size < 2**20
    with pytest.raises(DataError, match=r"column 'x': must have at most \S+ GiB"):
        read_parquet(path, Wanted(("y",)))
    pq.write_table(table.slice(0, 100), path, **own)
    assert len(read_parquet(path, Wanted(("y",))).columns[0].values) == 100


# --- numbers and dates out of range


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_numbers_whose_squares_overflow_are_refused_with_row_and_column(
    kind: str, folder: Path, hpsearch: Call
) -> None:
    values = [*np.linspace(0, 1, 40), 1e308, -1e150]
    table = pa.table({"x": values, "z": np.arange(42) % 5 / 7, "y": ["a", "b"] * 21})
    if kind == "parquet":
        pq.write_table(table, "rows.parquet")
    else:
        table.to_pandas().to_csv("rows.csv", index=False)
    Path("rows.toml").write_text(STUDY.format(kind=kind))
    row = 41 if kind == "parquet" else 42
    done = hpsearch("check", "rows.toml")
    assert f"row {row}, column 'x': must be a number between -1e+100 and 1e+100, but is 1e+308." in done.err
    surveyed = survey(Path(f"rows.{kind}"), "y")
    assert [raw.name for raw in surveyed.columns] == ["z"]
    assert "a number between" in surveyed.left_out["x"].why


def test_decimals_are_read_as_numbers(tmp_path: Path) -> None:
    from decimal import Decimal

    for kind in (pa.decimal128(12, 3), pa.decimal256(50, 3)):
        values = [Decimal("1.500"), Decimal("-20.125"), None, Decimal(7)]
        pq.write_table(pa.table({"x": pa.array(values, kind), "y": [1, 2, 3, 4]}), tmp_path / "rows.parquet")
        read = read_parquet(tmp_path / "rows.parquet", Wanted(("y",)))
        np.testing.assert_array_equal(read.columns[0].values, [1.5, -20.125, np.nan, 7])


# --- the audit's time


def trees(data: Dataset, audited: Audited) -> list[str]:
    """The columns by which a tree alone tells the classes apart, tried one by one."""
    from sklearn.metrics import recall_score
    from sklearn.tree import DecisionTreeClassifier

    found = []
    truth = np.concatenate([data.labels[split.validation] for split in audited.splits])
    for name, place in data.columns.places.items():
        one = data.features[:, place]
        tree = DecisionTreeClassifier(max_leaf_nodes=max(2 * len(data.class_names), one.shape[1] + 1), random_state=0)
        fits = (
            tree.fit(one[split.training], data.labels[split.training]).predict(one[split.validation])
            for split in audited.splits
        )
        if recall_score(truth, np.concatenate([*fits]), average="macro") >= 0.99:
            found.append(name)
    return found


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(1, 20))])
def test_a_column_that_is_ruled_out_without_a_tree_could_not_have_told_the_classes_apart(seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows, classes = 150, int(draw.integers(2, 4))
    labels = draw.permutation(np.arange(rows) % classes)
    raws = []
    for place, noise in enumerate([0, 0.01, 0.05, 0.2, 1, 5]):
        numbers = labels + noise * draw.normal(size=rows)
        numbers[draw.random(rows) < 0.02 * (place % 2)] = np.nan
        codes = np.where(draw.random(rows) < noise / 4, draw.integers(0, classes, rows), labels) * 2 + place % 2
        raws.append(Raw(f"n{place}", "numeric", numbers))
        raws.append(Raw(f"c{place}", "categorical", codes, tuple(f"k{code}" for code in range(2 * classes + 1))))
    plan = Plan.declare(raws)
    data = Dataset.of(plan.expand(raws)[0], labels, plan=plan)
    audited = Audited(data, None, make_splits(data, "stratified", SplitOptions(n_splits=3), seed), "stratified")
    told = [finding.what.split("'")[1] for finding in CHECKS["single-feature"](audited)]
    assert told == trees(data, audited)
    assert 0 < len(told) <= len(audited.likely) < len(raws)


def test_of_many_columns_the_likeliest_are_tried_and_the_audit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpsearch.data.audit.MOST_TRIED", 3)
    assert MOST_TRIED > 3
    draw, labels = np.random.default_rng(0), np.arange(30) % 2  # so few rows that no column is ruled out
    features = draw.normal(size=(30, 12))
    features[:, 7] = labels
    data = Dataset.of(features, labels)
    audited = Audited(data, None, make_splits(data, "stratified", SplitOptions(n_splits=3), 0), "stratified")
    warning, note = CHECKS["single-feature"](audited)
    assert "'x8' alone" in warning.what
    assert note.level == "note"
    assert "the likeliest 3 were tried" in note.what
