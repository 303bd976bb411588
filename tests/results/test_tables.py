"""The tables: documented columns and types, written and read back without loss."""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import read_exactly

import hpsearch
from hpsearch.errors import HpsearchError
from hpsearch.results import tables


@pytest.fixture
def study(small: Path) -> hpsearch.StudyResult:
    return hpsearch.run(small, trials=12)


def test_the_columns_and_types_are_those_documented(study: hpsearch.StudyResult) -> None:
    documented: dict[str, str] = {}
    for names, kind in re.findall(r"^([a-z_, ]+?)  +(int64|str|float64|Int64|bool)\b", tables.__doc__ or "", re.M):
        documented |= dict.fromkeys(names.split(", "), kind)
    for frame in (study.trials, study.folds, study.curves, study.finals):
        for name, kind in frame.dtypes.items():
            if name in documented:
                assert str(kind) == documented.pop(str(name)) or str(name) in ("training_loss", "trial", "fold")
    assert set(documented) <= {
        "trial",
        "repeat",
        "fold",
        "training_loss",
        "validation_loss",
        "accuracy",
        "objective",
        "r2",
    }


def test_the_types_do_not_depend_on_what_became_of_the_trials(small: Path) -> None:
    full = hpsearch.run(small, trials=12)
    (small.parent / "one.toml").write_text(small.read_text().replace('"small"', '"one"'))
    one = hpsearch.run(small.parent / "one.toml", trials=1)
    for table in ("trials", "folds", "curves"):
        assert getattr(full, table).dtypes.tolist() == getattr(one, table).dtypes.tolist()


def test_hyperparameters_that_a_trial_did_not_have_are_missing(study: hpsearch.StudyResult) -> None:
    trials = study.trials
    assert (trials["layer2.neurons"].isna() == (trials["hidden_layers"] == 1)).all()
    assert (trials["momentum"].isna() == (trials["optimizer"] != "sgd")).all()


def test_the_parameter_count_is_that_of_the_layers(study: hpsearch.StudyResult) -> None:
    for trial in study.trials.itertuples(index=False):
        row = dict(zip(study.trials.columns, trial, strict=True))
        widths = [2, row["layer1.neurons"], *([] if row["hidden_layers"] == 1 else [row["layer2.neurons"]]), 3]
        assert row["parameters"] == sum((a + 1) * b for a, b in pairwise(widths))


def test_folds_have_every_search_row_once_for_validation(study: hpsearch.StudyResult) -> None:
    for _, folds in study.folds.groupby("trial"):
        assert folds["validation_rows"].sum() == 45  # 60 rows less a quarter held out
        assert (folds["training_rows"] + folds["validation_rows"] == 45).all()


def test_only_complete_trials_have_a_value(study: hpsearch.StudyResult) -> None:
    trials = study.trials
    assert (trials["value"].notna() == (trials["state"] == "COMPLETE")).all()
    assert (trials["reason"].notna() == (trials["state"] != "COMPLETE")).all()


@pytest.mark.parametrize("name", ["trials", "folds", "curves"])
def test_csv_json_and_parquet_read_back_without_loss(study: hpsearch.StudyResult, tmp_path: Path, name: str) -> None:
    frame = getattr(study, name)
    tables.write(frame, tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame, check_exact=True)
    kinds = {column: str(kind) for column, kind in frame.dtypes.items()}
    tables.write(frame, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(read_exactly(tmp_path / "t.csv", kinds), frame, check_exact=True)
    tables.write(frame, tmp_path / "t.json")
    rows = json.loads((tmp_path / "t.json").read_text())
    assert list(rows[0]) == list(frame.columns)
    for column in frame.columns:
        of_json = pd.Series([row[column] for row in rows], dtype=kinds[column], name=column)
        pd.testing.assert_series_equal(of_json, frame[column], check_exact=True)


def test_an_unfinished_trial_is_a_row_without_outcome(small: Path) -> None:
    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hpsearch.run(small, watch=stop)
    trials = hpsearch.load_trials("small")
    assert trials["state"].tolist() == ["RUNNING"] * 3
    assert trials["value"].isna().all()
    assert len(hpsearch.load_folds("small")) == len(hpsearch.load_curves("small")) == 0


def test_studies_lists_what_a_storage_holds(study: hpsearch.StudyResult) -> None:
    row = hpsearch.load_studies().iloc[0]
    counts = study.trials["state"].value_counts()
    assert (row["study"], row["source"], row["trials"]) == ("small", "nnfs:spiral", 12)
    assert (row["complete"], row["pruned"]) == (counts["COMPLETE"], counts.get("PRUNED", 0))
    assert row["best_value"] == np.nanmin(study.trials["value"])


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.table"])
def test_an_unknown_kind_of_file_is_refused_and_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(HpsearchError, match="csv, json, parquet"):
        tables.write(pd.DataFrame({"a": [1]}), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_rendered_csv_is_what_is_written(study: hpsearch.StudyResult, tmp_path: Path) -> None:
    tables.write(study.trials, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == tables.render(study.trials, "csv")
    assert len(pd.read_csv(io.StringIO(tables.render(study.trials, "csv")))) == 12


def test_a_file_that_cannot_be_written_is_a_clear_error(study: hpsearch.StudyResult, tmp_path: Path) -> None:
    with pytest.raises(HpsearchError, match="must be a file that can be written"):
        tables.write(study.trials, tmp_path / "absent" / "t.csv")
