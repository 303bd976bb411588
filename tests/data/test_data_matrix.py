"""A large table is what a small one is, in a file: the same bits, once in memory, and nothing left behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hpsearch
from hpsearch.data import matrix
from hpsearch.data.columns import Column, Plan, Raw
from hpsearch.data.dataset import Dataset
from hpsearch.data.matrix import blocks, file_of, let_go, table_of
from hpsearch.data.table_sources import Parquet


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every table counts as large, and the temporary folder is this one."""
    monkeypatch.setattr(matrix, "MOST_IN_MEMORY", 0)
    monkeypatch.setattr(matrix, "BLOCK_VALUES", 64)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@given(rows=st.integers(1, 300), columns=st.integers(1, 20))
def test_blocks_are_all_rows_once_and_in_their_order(rows: int, columns: int) -> None:
    parts = [*blocks(rows, columns)]
    assert np.concatenate([np.arange(rows)[part] for part in parts]).tolist() == [*range(rows)]
    assert all(part.stop <= rows for part in parts)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_table_in_a_file_is_the_table_and_goes_with_its_last_user(all_large: Path, dtype: type) -> None:
    given_ = np.random.default_rng(0).standard_normal((157, 7)).astype(dtype)
    table = table_of(given_.shape, dtype, lambda part: given_[part])
    path = file_of(table)
    assert path is not None
    np.testing.assert_array_equal(np.load(path), given_)
    let_go(table)
    np.testing.assert_array_equal(table, given_)
    assert (table.dtype, table.flags.writeable, table.flags.c_contiguous) == (dtype, False, True)
    part = table[3:9]
    assert file_of(part) is None
    del table
    gc.collect()
    np.testing.assert_array_equal(part, given_[3:9])
    assert path.exists()
    del part
    gc.collect()
    assert not path.exists()


def test_without_a_place_for_the_file_the_table_is_in_memory(all_large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(all_large / "nowhere"))
    table = table_of((50, 3), np.float64, lambda part: np.ones((part.stop - part.start, 3)))
    assert file_of(table) is None
    assert table.sum() == 150


def test_what_cannot_be_made_leaves_no_file(all_large: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        table_of((50, 3), np.float64, lambda part: np.ones((1 // (part.start - part.start), 3)))
    assert [*all_large.iterdir()] == []


@given(st.lists(st.sampled_from([0.0, -0.0, 1.5, 0.1, np.nan, 1e300, 2.0**24 + 1, -3.0]), min_size=1))
def test_narrowed_columns_keep_every_value(values: list[float]) -> None:
    raw = Raw("x", "numeric", np.array(values))
    np.testing.assert_array_equal(raw.narrowed().values.astype(np.float64), raw.values)
    codes = Raw("x", "categorical", np.arange(-1, len(values)), tuple(map(str, range(len(values) + 1))))
    narrowed = codes.narrowed().values
    np.testing.assert_array_equal(narrowed, codes.values)
    assert narrowed.itemsize <= 2


def test_features_are_in_single_precision_only_where_all_numbers_are() -> None:
    plan = Plan((Column("x", indicator=True), Column("kind", "categorical", categories=("a", "b")), Column("y")))
    x, kind, y = (
        Raw("x", "numeric", np.array([1.5, np.nan])),
        Raw("kind", "categorical", np.array([1, -1]), ("b", "a")),
        Raw("y", "numeric", np.array([0.1, 2.0])),
    )
    expected = [[1.5, 0, 1, 0, 0.1], [np.nan, 1, 0, 0, 2]]
    for raws, dtype in (((x, kind, y), np.float64), ((x.narrowed(), kind.narrowed(), y.narrowed()), np.float64)):
        features, _ = plan.expand(raws)
        np.testing.assert_array_equal(features, expected)
        assert features.dtype == dtype
    features, _ = plan.expand((x.narrowed(), kind.narrowed(), replace(y, values=np.float32([0.5, 2]))))
    assert features.dtype == np.float32


def table(rows: int, seed: int) -> pd.DataFrame:
    """Columns of all kinds, with missing values, and a target that depends on them."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({f"x{i}": draw.lognormal(size=rows).astype(np.float32) for i in range(3)})
    frame["kind"] = draw.choice(["a", "b", "c"], rows)
    frame.loc[draw.random(rows) < 0.1, ["x1", "kind"]] = None
    frame["y"] = np.where(frame["x0"] + (frame["kind"] == "a") > 1.2, "high", "low")
    return frame


def definition(folder: Path, name: str) -> hpsearch.StudyDefinition:
    return hpsearch.StudyDefinition.from_mapping(
        {
            "study": {"name": name},
            "data": {"source": "parquet", "path": str(folder / "rows.parquet"), "target": "y"},
            "holdout": {"fraction": 0.2},
            "train": {"epochs": 6, "batch_size": 32, "neurons": 8},
            "space": {"scaling": {"choice": ["standard", "power"]}, "learning_rate": {"float": [0.003, 0.03]}},
            "search": {"trials": 3, "finalists": 2, "finalist_repeats": 2},
        }
    )


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.campaign)])
def test_a_study_of_a_large_table_finds_what_it_finds_in_memory(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as single precision goes, in which batches of a large table are scaled: about 1e-7 in each of some hundred
    steps of six epochs."""
    pytest.importorskip("pyarrow")
    table(400, 1).to_parquet(tmp_path / "rows.parquet")
    storage = f"sqlite:///{tmp_path}/studies.db"
    plain = hpsearch.run(definition(tmp_path, "plain"), storage=storage)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(matrix, "MOST_IN_MEMORY", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    large = hpsearch.run(definition(tmp_path, "large"), storage=storage, workers=workers)
    for one, other in ((plain.trials, large.trials), (plain.finals, large.finals)):
        assert [*one.columns] == [*other.columns]
        for name in one.select_dtypes("number").columns.drop("seconds", errors="ignore"):
            np.testing.assert_allclose(one[name], other[name], rtol=1e-3, err_msg=name)
    assert large.best.summary()["corrected"]["value"] == pytest.approx(
        plain.best.summary()["corrected"]["value"], rel=1e-3
    )
    gc.collect()
    assert [*(tmp_path / "tmp").glob("hpsearch-*")] == []


def test_wide_rows_of_a_large_table_give_the_very_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    table(300, 2).astype({"x0": np.float64}).assign(x0=lambda frame: frame["x0"] + 1e-9).to_parquet(
        tmp_path / "rows.parquet"
    )
    storage = f"sqlite:///{tmp_path}/studies.db"
    plain = hpsearch.run(definition(tmp_path, "plain"), storage=storage)
    monkeypatch.setattr(matrix, "MOST_IN_MEMORY", 0)
    monkeypatch.setattr(matrix, "BLOCK_VALUES", 128)
    large = hpsearch.run(definition(tmp_path, "large"), storage=storage)
    for one, other in ((plain.trials, large.trials), (plain.finals, large.finals)):
        kept = [name for name in one.columns if name not in ("seconds", "study")]
        pd.testing.assert_frame_equal(one[kept], other[kept])


PEAK = """
from pathlib import Path
from hpsearch.data import audit, dataset, splits, table_sources, units
from hpsearch.data.table_reader import read_table
import pandas, pyarrow.parquet, scipy.stats, sklearn.model_selection
table_sources.Parquet(source="parquet", path="few.parquet", target="y").load(Path(), 0)
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
before = peak()
data = table_sources.Parquet(source="parquet", path="rows.parquet", target="y").load(Path(), 0)
search, held_out = splits.hold_out(data, 0.2, "kfold", 0)
assert search.features.dtype == "float32"
print((peak() - before) / (data.features.nbytes))
"""


@pytest.mark.campaign  # hundreds of megabytes
def test_a_large_table_is_read_and_divided_in_the_memory_of_little_more_than_itself(tmp_path: Path) -> None:
    """In a process of its own. Beside the table, once: a column of 100 in double precision, text and numbers of rows
    (some 4 to 16 bytes each at once, a row having 400), blocks of 8 MB. A second copy would make it 2."""
    pytest.importorskip("pyarrow")
    rows, columns = 212_000, 100
    assert matrix.is_large(4 * rows // 5, columns)  # what is left to search with too
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{i}": draw.random(rows, np.float32) for i in range(columns)})
    frame["y"] = np.where(frame["x0"] > 0.5, "high", "low")
    frame.to_parquet(tmp_path / "rows.parquet", compression=None)
    frame.head(100).to_parquet(tmp_path / "few.parquet")
    done = subprocess.run([sys.executable, "-c", PEAK], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.5


def test_rows_that_python_gives_are_copied_and_rows_of_a_file_are_not(tmp_path: Path) -> None:
    features = np.random.default_rng(0).standard_normal((40, 3))
    labels = np.arange(40) % 2
    assert not np.shares_memory(Dataset.of(features, labels).features, features)
    assert Dataset.of(features, labels, own=True).features is features
    features.setflags(write=True)
    pytest.importorskip("pyarrow")
    pd.DataFrame({"x": features[:, 0], "y": labels}).to_parquet(tmp_path / "rows.parquet")
    data = Parquet(source="parquet", path="rows.parquet", target="y").load(tmp_path, 0)
    assert data.features.dtype == np.float64
    assert not data.features.flags.writeable
