"""An exported graph predicts as the model does, wherever it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from conftest import TOP, Outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from random_bundles import MIXED, random_bundle, random_raws

import hpsearch as package
from hpsearch import Bundle, BundleError, ExportError, HpsearchError
from hpsearch.data.columns import KINDS, Column, Raw
from hpsearch.model.export import MADE_ROWS, check, made_rows
from hpsearch.model.onnx import OnnxModel, to_onnx
from hpsearch.model.predict_file import predict_file
from hpsearch.model.study_rows import study_rows
from hpsearch.nn.layers import ACTIVATIONS
from hpsearch.nn.losses import LOSSES
from hpsearch.search.objective import prepare

Mixed = Callable[..., pd.DataFrame]
Call = Callable[..., Outcome]


def compare(bundle: Bundle, raws: Sequence[Raw]) -> float:
    """The largest difference from the saved model, straight from onnxruntime; classes must be the same."""
    session = onnxruntime.InferenceSession(to_onnx(bundle).SerializeToString())
    columns = {}
    for raw in raws:
        if raw.kind == "categorical":
            columns[raw.name] = np.array([["" if i < 0 else raw.categories[i]] for i in raw.values], object)
        else:
            columns[raw.name] = raw.values.reshape(-1, 1)
    *labels, predictions = session.run(None, columns)
    features, _ = bundle.plan.expand(raws)
    expected = bundle.predictions(features)
    assert predictions.shape == expected.shape
    assert predictions.dtype == expected.dtype
    if bundle.class_names:
        best = np.sort(expected, axis=1)[:, -2:]
        clear = best[:, 1] - best[:, 0] > 1e-5
        assert clear.mean() > 0.99, "nothing would be compared"
        assert (labels[0] == np.array(bundle.class_names)[expected.argmax(axis=1)])[clear].all()
    return float(np.abs(predictions - expected).max() / bundle.target_scale)


# Of the largest difference: a few last bits, well within what is promised.
BITS = {"float32": 5e-6, "float64": 1e-13}


@pytest.mark.parametrize(
    ("members", "offset", "spread"),
    [(1, 40.0, 12.0), (1, 1e6, 1.0), (1, -1e9, 1e-2), (1, 0.0, 1e-8), (5, 40.0, 12.0)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_kind_of_network_predicts_every_row_alike(
    members: int, activation: str, loss: str, dtype: str, offset: float, spread: float
) -> None:
    bundle = random_bundle(loss, activation, dtype, seed=1, offset=offset, spread=spread, members=members)
    assert compare(bundle, random_raws(bundle, 2000, seed=2)) < BITS[dtype]


@pytest.mark.parametrize(("offset", "spread"), [(40.0, 12.0), (0.0, 1.0), (-3.0, 1.0), (0.0, 1e-8)])
@pytest.mark.parametrize("power", [-4.0, -1.0, -1e-9, 0.0, 0.3, 1.7, 2.0, 2.0 + 1e-12, 5.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transformed_columns_are_predicted_alike(dtype: str, power: float, offset: float, spread: float) -> None:
    bundle = random_bundle(dtype=dtype, seed=1, offset=offset, spread=spread, power=power)
    assert compare(bundle, random_raws(bundle, 2000, seed=2)) < {"float32": 5e-6, "float64": 1e-9}[dtype]
    exported = OnnxModel(to_onnx(bundle).SerializeToString())
    assert check(bundle, exported, made_rows(bundle, 200)) < 5e-6


@pytest.mark.parametrize("power", [-30.0, 0.5, 30.0])
def test_transformed_columns_far_outside_are_predicted_alike(power: float) -> None:
    bundle = random_bundle(seed=1, offset=0.0, power=power)
    far = [-1.7e308, -1e30, -1e4, -1e-300, 0.0, 1e-300, 1e4, 1e30, 1.7e308]
    raws = [
        Raw(raw.name, raw.kind, np.array(far) if raw.kind == "numeric" else raw.values, raw.categories)
        for raw in random_raws(bundle, len(far))
    ]
    assert compare(bundle, raws) < 5e-6


def test_single_precision_inputs_would_not_do() -> None:
    """The reason for doubles: around a million, singles are 0.06 apart."""
    bundle = random_bundle(offset=1e6, spread=1.0)
    raws = random_raws(bundle, 2000)
    cast = [raw if raw.kind != "numeric" else replace(raw, values=raw.values.astype(np.float32)) for raw in raws]
    predictions = [bundle.predictions(bundle.plan.expand(rows)[0]) for rows in (raws, cast)]
    assert np.abs(predictions[0] - predictions[1]).max() > 1e-3


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


@st.composite
def tables(draw: st.DrawFn) -> list[Column]:
    columns = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=6, unique=True)):
        kind = draw(st.sampled_from(KINDS))
        words = draw(st.lists(NAMES.filter(lambda word: word != "missing"), min_size=1, max_size=5, unique=True))
        # A name of its own before the "=", so that no two features have one name.
        categories = tuple(words) if kind in ("categorical", "ordered") else ()
        clock = kind == "date" and draw(st.booleans())
        encoding = draw(st.sampled_from([{}, {"frequent": 2}, {"targets": 1}, {"targets": 3}]))
        column = Column(f"{len(columns)}{name}", kind, draw(st.booleans()), categories, clock=clock)
        columns.append(replace(column, **encoding) if kind == "categorical" else column)
    return columns


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_every_table_is_predicted_alike(data: st.DataObject) -> None:
    bundle = random_bundle(
        data.draw(st.sampled_from(sorted(LOSSES))),
        data.draw(st.sampled_from(sorted(ACTIVATIONS))),
        data.draw(st.sampled_from(["float32", "float64"])),
        data.draw(tables()),
        seed=data.draw(st.integers(0, 1000)),
        neurons=tuple(data.draw(st.lists(st.integers(1, 9), max_size=3))),
        members=data.draw(st.integers(1, 4)),
        offset=data.draw(st.floats(-1e9, 1e9)),
        spread=data.draw(st.floats(1e-3, 1e6)),
    )
    exported = OnnxModel(to_onnx(bundle).SerializeToString())
    assert check(bundle, exported, random_raws(bundle, 200)) < 5e-6
    assert check(bundle, exported, made_rows(bundle, 200)) < 5e-6


def test_columns_may_be_called_like_outputs_and_inner_values() -> None:
    names = ["label", "label_", "probabilities", "prediction", "N", "Concat 0", "constant 0", "IsNaN 1", "a/b:c d", "="]
    for loss, outputs in {
        "cross_entropy": ["label__", "probabilities_"],
        "squared_error": ["prediction_"],
    }.items():
        bundle = random_bundle(loss, columns=[Column(name, indicator=i % 2 == 0) for i, name in enumerate(names)])
        assert compare(bundle, random_raws(bundle, 100)) < 5e-6
        model = to_onnx(bundle)
        assert [value.name for value in model.graph.input] == names
        assert [value.name for value in model.graph.output] == outputs


def test_missing_values_and_unseen_categories_mean_what_they_mean_to_the_model() -> None:
    """Against features written down by hand, not against the plan's own expansion."""
    bundle = random_bundle(dtype="float64")
    session = onnxruntime.InferenceSession(to_onnx(bundle).SerializeToString())
    fill = dict(zip(bundle.plan.feature_names, bundle.scaling.fill, strict=True))  # type: ignore[arg-type]
    rows: dict[str, list[Any]] = {
        "age": [30.0, np.nan],
        "port": ["東京", ""],
        "weight": [50.0, np.nan],
        "member": [1.0, np.nan],
        "sex": ["never seen", ""],
        "paid": [0.0, np.nan],
    }
    features = np.zeros((2, len(bundle.plan.feature_names)))
    place = {name: i for i, name in enumerate(bundle.plan.feature_names)}
    for name in ("age", "weight", "member", "paid"):
        features[:, place[name]] = rows[name][0], fill[name]
    features[0, place["port=東京"]] = 1
    for name in ("age=missing", "port=missing", "member=missing"):
        features[1, place[name]] = 1
    types = {"port": object, "sex": object}
    columns = {name: np.array(values, types.get(name, np.float64))[:, np.newaxis] for name, values in rows.items()}
    _, predictions = session.run(None, columns)
    np.testing.assert_allclose(predictions, bundle.predictions(features), atol=1e-12)


def test_no_row_one_row_and_many_go_through_the_same_graph() -> None:
    bundle = random_bundle(dtype="float64")
    exported, raws = OnnxModel(to_onnx(bundle).SerializeToString()), random_raws(bundle, 5000)
    labels, predictions = exported.predict(raws)
    assert labels is not None
    for part in (slice(0, 0), slice(7, 8), slice(100, 103)):
        some, given_predictions = exported.predict([replace(raw, values=raw.values[part]) for raw in raws])
        np.testing.assert_array_equal(some, labels[part])
        np.testing.assert_allclose(given_predictions, predictions[part], atol=1e-14)


def test_the_graph_says_what_it_is_and_needs_no_new_runtime() -> None:
    bundle = random_bundle()
    model = to_onnx(bundle)
    assert to_onnx(bundle).SerializeToString() == model.SerializeToString()
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 13, "ai.onnx.ml": 1}
    assert model.ir_version == 7
    says = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(says["classes"]) == list(bundle.class_names)
    assert json.loads(says["preprocessing"]) == bundle.preprocessing
    assert says["arrays_sha256"] == bundle.arrays_sha256
    assert says["study"] == "none"
    described = OnnxModel(model.SerializeToString())
    assert [(one["name"], one["type"]) for one in described.inputs] == [
        (column.name, "string" if column.kind == "categorical" else "double") for column in MIXED
    ]
    assert described.outputs == [
        {"name": "label", "type": "string", "shape": ["N"]},
        {"name": "probabilities", "type": "float", "shape": ["N", 3]},
    ]


@pytest.mark.parametrize(
    ("columns", "classes"),
    [([Column("")], "ab"), ([Column("a\0b")], "ab"), ([Column("a")], ["a\0", "b"])],
)
def test_names_that_no_graph_can_have_are_refused(columns: list[Column], classes: Sequence[str]) -> None:
    with pytest.raises(BundleError, match="must be text without NUL"):
        to_onnx(random_bundle(columns=columns, classes=classes))


# --- the check before it is written


def test_another_model_does_not_pass_the_check() -> None:
    bundle = random_bundle()
    raws = made_rows(bundle, 500)
    nearly = replace(bundle, parameters=bundle.parameters + np.float32(1e-3))
    turned = replace(bundle, class_names=bundle.class_names[::-1])
    for other in (random_bundle(seed=1), nearly, turned):
        with pytest.raises(ExportError, match=r"row \d+ differs by"):
            check(bundle, OnnxModel(to_onnx(other).SerializeToString()), raws)


def test_rows_made_for_the_check_reach_every_category_missing_value_and_unit() -> None:
    bundle = random_bundle()
    raws = {raw.name: raw for raw in made_rows(bundle, MADE_ROWS)}
    for column in bundle.plan.columns:
        raw = raws[column.name]
        assert 0.05 < raw.missing.mean() < 0.15
        if column.kind == "categorical":
            assert set(raw.values) == set(range(-1, len(column.categories) + 1))
            assert set(raw.categories) > set(column.categories)
    features, notices = bundle.plan.expand(list(raws.values()))
    assert len([line for line in notices if "training had not" in line]) == 2
    assert np.nanstd(bundle.scaling.apply(features), axis=0).min() > 0


def study(folder: Path, source: dict[str, Any], **train: Any) -> package.StudyDefinition:
    raw = {
        "study": {"name": "exported", "seed": 5},
        "data": source,
        "holdout": {"fraction": 0.25},
        "train": {"epochs": 30, "neurons": [8, 5], **train},
    }
    return package.StudyDefinition.from_mapping(raw, folder)


REAL: dict[str, tuple[dict[str, Any], int, dict[str, Any]]] = {
    "flowers": ({"source": "csv", "path": "flowers.csv", "target": "species"}, 180, {"activation": "tanh"}),
    "diabetes": ({"source": "sklearn:diabetes"}, 442, {}),
    "breast cancer": ({"source": "sklearn:breast_cancer"}, 569, {"loss": "binary_cross_entropy"}),
    "digits": ({"source": "sklearn:digits"}, 1797, {"scaling": "minmax"}),
    "wine, not scaled": ({"source": "sklearn:wine"}, 178, {"scaling": "none", "dtype": "float64"}),
    "wine, transformed": ({"source": "sklearn:wine"}, 178, {"scaling": "power"}),
    "digits, transformed": ({"source": "sklearn:digits"}, 1797, {"scaling": "power"}),
    "diabetes, transformed": ({"source": "sklearn:diabetes"}, 442, {"scaling": "power", "dtype": "float64"}),
    "spiral": ({"source": "nnfs:spiral"}, 300, {"activation": "leaky_relu"}),
    "sine": ({"source": "nnfs:sine", "samples": 200}, 200, {"loss": "absolute_error"}),
}


@pytest.mark.parametrize("name", REAL)
def test_a_retrained_model_is_checked_on_every_row_of_its_study(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, rows, train = REAL[name]
    monkeypatch.chdir(tmp_path)
    definition = study(TOP / "studies", source, **train)
    package.retrain(definition, folder="model").save("model")
    done = package.export("model")
    assert (done.file, done.rows, done.checked_on, done.not_study) == ("model.onnx", rows, "study", None)
    assert done.largest_difference < 1e-5
    # And again without our own check.
    bundle, prepared = Bundle.load("model"), prepare(definition)
    assert prepared.held_out is not None
    features = np.concatenate([prepared.search.features, prepared.held_out.features])
    exported = OnnxModel(Path("model.onnx").read_bytes())
    _, predictions = exported.predict(bundle.plan.raws(features))
    assert np.abs(predictions - bundle.predictions(features)).max() <= 1e-5 * bundle.target_scale


@pytest.fixture(params=["standard", "power"])
def mixed_model(tmp_path: Path, mixed: Mixed, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A model of all kinds of columns, beside the rows that it was trained on."""
    monkeypatch.chdir(tmp_path)
    mixed().to_csv("rows.csv", index=False)
    source = {"source": "csv", "path": "rows.csv", "target": "kind", "missing": ["?"]}
    package.retrain(study(tmp_path, source, scaling=request.param), folder="model").save("model")
    return tmp_path / "model"


ELSEWHERE = """
import json, sys

class OnlyTheRuntime:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ALLOWED or top in sys.stdlib_module_names:
            return None
        raise ImportError(f"{name} is not installed here")

ALLOWED = {"numpy", "onnxruntime"}
sys.meta_path.insert(0, OnlyTheRuntime())
import numpy as np
import onnxruntime

for absent in ("hpsearch", "pandas", "onnx"):
    try:
        __import__(absent)
    except ImportError:
        continue
    raise SystemExit(f"{absent} is there")

session = onnxruntime.InferenceSession("model.onnx")
with open("columns.json", encoding="utf-8") as file:
    columns = json.load(file)
rows = {
    one.name: np.array(columns[one.name], object if one.type == "tensor(string)" else np.float64)[:, np.newaxis]
    for one in session.get_inputs()
}
label, probabilities = session.run(["label", "probabilities"], rows)
print(json.dumps([label.tolist(), probabilities.tolist()]))
"""


def test_it_runs_where_there_is_nothing_but_the_runtime(mixed_model: Path, mixed: Mixed) -> None:
    package.export(mixed_model, "model.onnx")
    frame = mixed(200, 1)
    frame.loc[[3, 5], "port"] = ["Paris", "Wien"]
    frame.loc[[7, 8], "weight"] = None
    frame.to_csv("new.csv", index=False)
    texts = ("port", "sex")
    columns = {
        name: frame[name].fillna("").tolist() if name in texts else frame[name].astype("float64").tolist()
        for name in frame.columns.drop("kind")
    }
    Path("columns.json").write_text(json.dumps(columns), encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", "-c", ELSEWHERE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    labels, probabilities = json.loads(done.stdout)
    expected = predict_file(Bundle.load(mixed_model), Path("new.csv"), notice=lambda line: None)
    assert labels == expected["class"].tolist()
    np.testing.assert_allclose(probabilities, expected.drop(columns="class"), atol=1e-5)


def test_the_columns_of_a_dataset_are_those_that_its_features_were_made_of(mixed_model: Path) -> None:
    bundle = Bundle.load(mixed_model)
    definition = study(mixed_model.parent, {"source": "csv", "path": "rows.csv", "target": "kind", "missing": ["?"]})
    features = prepare(definition).search.features
    again, notices = bundle.plan.expand(bundle.plan.raws(features))
    np.testing.assert_array_equal(again, features)
    assert not notices


# --- which rows it is checked on


def test_rows_that_are_not_the_study_s_any_more_are_not_called_so(mixed_model: Path) -> None:
    assert package.export(mixed_model).checked_on == "study"
    rows = Path("rows.csv").read_text()
    Path("rows.csv").write_text(rows.replace("Oslo", "Rome", 1))
    changed = package.export(mixed_model, force=True)
    assert (changed.checked_on, changed.rows) == ("made", MADE_ROWS)
    assert "are others" in (changed.not_study or "")
    Path("rows.csv").unlink()
    assert "there is no file" in (package.export(mixed_model, force=True).not_study or "")
    Path("again").mkdir()
    Path("again/rows.csv").write_text(rows)
    Path("again/study.toml").write_text(
        '[study]\nname = "exported"\nseed = 5\n[data]\nsource = "csv"\npath = "rows.csv"\ntarget = "kind"\n'
        'missing = ["?"]\n[holdout]\nfraction = 0.25\n'
    )
    assert package.export(mixed_model, data="again/study.toml", force=True).checked_on == "study"
    named = package.export(mixed_model, data="again/rows.csv", force=True)
    assert (named.checked_on, named.rows) == ("file", 120)


HARM: dict[str, tuple[dict[str, Any], str]] = {
    "Python code": ({"source": "python:harm:load"}, "is not run because a model says so"),
    "a pipe": ({"source": "csv", "path": "pipe", "target": "kind"}, "there is no file 'pipe'"),
    "endless rows": ({"source": "nnfs:spiral", "samples": 10**12}, "samples must be at most"),
    "no source": ({"source": 3}, "[data] source must be text"),
    "a path that is none": ({"source": "csv", "path": "a\0b", "target": "kind"}, "there is no file"),
    "an endless path": ({"source": "csv", "path": "a" * 10**5, "target": "kind"}, "there is no file"),
}


@pytest.mark.parametrize("case", HARM)
def test_what_a_model_says_of_its_rows_does_no_harm(case: str, mixed_model: Path) -> None:
    source, message = HARM[case]
    bundle = Bundle.load(mixed_model)
    about = {**bundle.about, "rows": {"study": {"name": "x"}, "data": source}}
    replace(bundle, about=about).save("hostile")
    Path("hostile/harm.py").write_text("open('harm', 'w')\n\ndef load():\n    return [[0.0], [1.0]], [0, 1]\n")
    os.mkfifo("hostile/pipe")
    done = package.export("hostile")
    assert done.checked_on == "made"
    assert message in (done.not_study or "")
    assert not Path("harm").exists()


def test_a_model_whose_rows_are_made_by_a_module_is_checked_by_its_study_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("making.py").write_text(
        "from sklearn.datasets import load_iris\n\ndef load():\n    return load_iris(return_X_y=True)\n"
    )
    Path("study.toml").write_text(
        '[study]\nname = "made"\n[data]\nsource = "python:making:load"\n[train]\nepochs = 5\n', encoding="utf-8"
    )
    package.retrain("study.toml", folder="model").save("model")
    assert package.export("model").checked_on == "made"
    done = package.export("model", data="study.toml", force=True)
    assert (done.checked_on, done.rows) == ("study", 150)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_model_may_say_anything_of_its_rows(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """It is never more than a reason not to look at them."""
    table = {"source": "sklearn:iris"}
    rows: Any = {"study": {"name": "x", "seed": 1}, "data": table, "holdout": {"fraction": 0.2}, "validation": {}}
    anything = st.recursive(
        st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=5) | st.floats(0, 1),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
        max_leaves=3,
    )
    section = data.draw(st.sampled_from([*rows, "train", "search", "space", "origin", "other"]))
    key = data.draw(st.sampled_from(["source", "seed", "splitter", "n_splits", "repeats", "fraction", "epochs", "x"]))
    value = data.draw(anything)
    rows = (
        {**rows, section: value}
        if data.draw(st.booleans())
        else {**rows, section: {**rows.get(section, {}), key: value}}
    )
    bundle = random_bundle()
    with pytest.raises(HpsearchError):
        study_rows(replace(bundle, about={"rows": rows}), tmp_path_factory.getbasetemp())


# --- the command


def test_the_command_writes_once_and_says_what_it_checked(mixed_model: Path, hpsearch: Call) -> None:
    done = hpsearch("export", "model", "--format", "onnx")
    assert done.status == 0, done.err
    assert "Checked on all 120 rows of the study's data: the same classes, probabilities within " in done.out
    assert done.out.splitlines()[-1] == "Written to model.onnx."
    assert [line.split()[:3] for line in done.out.splitlines()[1:7]] == [
        ["input", column.name, "string" if column.kind == "categorical" else "double"]
        for column in Bundle.load("model").plan.columns
    ]
    written = Path("model.onnx").read_bytes()
    again = hpsearch("export", "model")
    assert (again.status, again.out) == (2, "")
    assert "model.onnx: must not exist yet, but does. Name another, or replace it with --force." in again.err
    Path("model.onnx").write_bytes(b"mine")
    assert hpsearch("export", "model", "--force").status == 0
    assert Path("model.onnx").read_bytes() == written
    assert sorted(path.name for path in Path("model").iterdir()) == ["model.json", "model.safetensors"]


def test_rows_of_a_file_that_do_not_fit_are_refused_and_nothing_is_written(mixed_model: Path, hpsearch: Call) -> None:
    Path("few.csv").write_text("age,port\n3,Oslo\n")
    before = sorted(Path().rglob("*"))
    for arguments, message in (
        (["--data", "few.csv"], "must have a column 'member', but has not"),
        (["--data", "absent.csv"], "absent.csv: must be a readable CSV file"),
        (["-o", "model"], "model: must be a file that can be written, but is a directory."),
        (["-o", "absent/model.onnx"], "absent/model.onnx: must be a file that can be written"),
    ):
        done = hpsearch("export", "model", *arguments)
        assert (done.status, done.out) == (2, "")
        assert message in done.err
        assert done.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_a_graph_that_predicts_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hpsearch: Call
) -> None:
    """In single precision sums of huge numbers depend on their order: no two programs predict alike."""
    monkeypatch.chdir(tmp_path)
    bundle = random_bundle("squared_error", neurons=(64, 64))
    replace(bundle, parameters=bundle.parameters * np.float32(100)).save("model")
    done = hpsearch("export", "model")
    assert done.status == 1
    assert "must predict every row within 1e-05" in done.err
    assert "Nothing was written" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
