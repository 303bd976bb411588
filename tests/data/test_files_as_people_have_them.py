"""Files as people have them, through the commands: recognised and read as the plain table, or refused in one line."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Outcome
from files_as_people_have_them import FILES, REFERENCES, PeoplesFile, plain

from hpsearch.data.dataset import Dataset
from hpsearch.definition.draft import draft
from hpsearch.definition.study import StudyDefinition

Call = Callable[..., Outcome]
READ = [file for file in FILES if file.refused is None]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPSEARCH_STORAGE", raising=False)
    monkeypatch.setenv("HPSEARCH_WORKERS", "1")


def rows_of(path: Path) -> Dataset:
    definition = StudyDefinition.from_file(path)
    return definition.data.load(definition.folder, 0)


@cache
def expected_rows(reference: str, target: str) -> Dataset:
    with tempfile.TemporaryDirectory() as folder:
        rows, study = Path(folder) / "plain.csv", Path(folder) / "plain.toml"
        rows.write_bytes(plain(reference))
        study.write_text(draft(rows, target, "plain.csv", "plain.toml").text, encoding="utf-8")
        return rows_of(study)


def write(file: PeoplesFile) -> None:
    Path(file.name).write_bytes(file.content)
    Path("plain.csv").write_bytes(plain(file.reference))


def test_there_are_many_files_and_each_has_its_own_name() -> None:
    assert len({file.name for file in FILES}) == len(FILES) >= 30


@pytest.mark.parametrize("file", FILES, ids=str)
def test_init_writes_a_study_file_that_reads_the_same_rows_as_the_plain_table_or_refuses(
    file: PeoplesFile, hpsearch: Call
) -> None:
    write(file)
    made = hpsearch("init", file.name, "--target", file.target, "-o", "study.toml")
    if file.refused is not None:
        assert (made.status, made.out, made.err.count("\n")) == (2, "", 1)
        assert file.refused in made.err
        assert not Path("study.toml").exists()
        return
    assert (made.status, made.err) == (0, "")
    keys = tomllib.loads(Path("study.toml").read_text(encoding="utf-8"))["data"]
    known = {"source": "csv", "path": file.name, "target": file.target, **file.also}
    assert {key: value for key, value in keys.items() if key != "task"} == known
    data, expected = rows_of(Path("study.toml")), expected_rows(file.reference, file.target)
    np.testing.assert_array_equal(data.features, expected.features)
    np.testing.assert_array_equal(data.labels, expected.labels)
    assert data.feature_names == expected.feature_names
    assert data.class_names == expected.class_names
    checked = hpsearch("check", "study.toml")
    assert checked.status == 0, checked.err
    assert "study.toml is fit to run." in checked.out


def predictions(call: Call, path: str, target: str, name: str) -> tuple[pd.DataFrame, Any]:
    """Of a file's rows by a model of a tiny study of them, and the model's metrics; it is exported too."""
    few = ("--set", "search.trials=3", "--set", "train.epochs=20", "--set", "search.finalists=0")
    for command in (
        ("init", path, "--target", target, "-o", f"{name}.toml", "--name", name, "--force"),
        ("check", f"{name}.toml"),
        ("run", f"{name}.toml", *few),
        ("best", name, "-o", f"{name}-best.toml"),
        ("retrain", f"{name}-best.toml", "-o", f"{name}-model"),
        ("predict", f"{name}-model", path, "-o", f"{name}-predicted.csv"),
        ("export", f"{name}-model", "--data", path, "-o", f"{name}.onnx"),
        ("evaluate", f"{name}-model", path, "--json"),
    ):
        done = call(*command)
        assert done.status == 0, (command, done.err)
    return pd.read_csv(f"{name}-predicted.csv"), json.loads(done.out)["metrics"]


_of_plain: dict[str, tuple[pd.DataFrame, Any]] = {}


@pytest.mark.campaign
@pytest.mark.parametrize("file", READ, ids=str)
def test_a_file_goes_the_whole_way_with_the_predictions_of_the_plain_table(file: PeoplesFile, hpsearch: Call) -> None:
    runtime = pytest.importorskip("onnxruntime")
    write(file)
    if file.reference not in _of_plain:
        _of_plain[file.reference] = predictions(hpsearch, "plain.csv", file.target, "plain")
    predicted, metrics = predictions(hpsearch, file.name, file.target, "study")
    expected_predicted, expected_metrics = _of_plain[file.reference]
    assert metrics == expected_metrics
    whole = REFERENCES[file.reference]()
    predicted = predicted[: len(whole)]  # a line of separators alone is a row without values there
    there = whole[file.target].notna().to_numpy()  # rows without a target are predicted too
    pd.testing.assert_frame_equal(predicted[there].reset_index(drop=True), expected_predicted)
    session = runtime.InferenceSession("study.onnx", providers=["CPUExecutionProvider"])
    inputs = {}
    for one in session.get_inputs():
        values = whole[one.name]
        cells = values.fillna("").to_numpy(object) if "string" in one.type else values.to_numpy(np.float64)
        inputs[one.name] = cells[:, np.newaxis]
    outputs = dict(zip([one.name for one in session.get_outputs()], session.run(None, inputs), strict=True))
    found = outputs["prediction"] if "prediction" in outputs else outputs["probabilities"]
    expected = predicted.drop(columns="class", errors="ignore").to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))
