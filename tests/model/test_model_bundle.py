"""Retraining and the saved model."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from sklearn.metrics import accuracy_score, log_loss

import hpsearch
from hpsearch import seeds
from hpsearch.data.cells import Types
from hpsearch.data.columns import Raw
from hpsearch.data.frames import frame_columns
from hpsearch.errors import BundleError, DataError, DefinitionError, HpsearchError
from hpsearch.model import manifest
from hpsearch.model.evaluate import evaluate
from hpsearch.model.format import sign
from hpsearch.model.predict_file import predict_file
from hpsearch.search.objective import prepare

STUDIES = Path(__file__).parents[2] / "studies"
QUICK = ["train.epochs=30", "train.neurons=[8, 5]", "search.trials=1"]


def definition(name: str = "flowers", *overrides: str) -> hpsearch.StudyDefinition:
    """A shipped study without its space, trained briefly."""
    whole = hpsearch.StudyDefinition.from_file(STUDIES / f"{name}.toml", [*QUICK, *overrides])
    raw = {section: table for section, table in whole.raw.items() if section != "space"}
    return hpsearch.StudyDefinition.from_mapping(raw, whole.folder)


@pytest.fixture(scope="module")
def fitted() -> hpsearch.Bundle:
    return hpsearch.retrain(definition())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu"])
def test_a_saved_model_predicts_bit_for_bit_the_same(tmp_path: Path, activation: str, dtype: str) -> None:
    model = hpsearch.retrain(definition("flowers", f"train.activation={activation}", f"train.dtype={dtype}"))
    rows = np.random.default_rng(0).normal(3, 2, (5000, 4))
    model.save(tmp_path / "model")
    loaded = hpsearch.Bundle.load(tmp_path / "model")
    assert loaded.probabilities(rows).tobytes() == model.probabilities(rows).tobytes()
    assert loaded.about == model.about
    assert loaded.plan == model.plan


def test_the_scores_are_those_of_scikit_learn_on_the_hold_out(fitted: hpsearch.Bundle) -> None:
    held_out = prepare(definition()).held_out
    assert held_out is not None
    predictions = fitted.probabilities(held_out.features)
    score = fitted.about["holdout"]
    assert score["rows"] == held_out.rows == 45
    assert score["accuracy"] == accuracy_score(held_out.labels, predictions.argmax(axis=1))
    # scikit-learn normalises the float32 probabilities, which sum to 1 within 1e-6 only.
    wide = predictions.astype(np.float64)
    assert score["loss"] == pytest.approx(log_loss(held_out.labels, wide / wide.sum(axis=1, keepdims=True)), rel=1e-5)


def test_retraining_uses_no_row_that_is_held_out() -> None:
    whole = definition()
    prepared = prepare(whole)
    assert prepared.held_out is not None
    model = hpsearch.retrain(whole)
    assert model.about["training"]["rows"] == prepared.search.rows == 135
    # The scaling is learnt from those rows and no others.
    np.testing.assert_allclose(model.scaling.centre, prepared.search.features.mean(axis=0), rtol=1e-12)


def test_retraining_starts_from_weights_that_no_trial_used() -> None:
    def first_draws(stream: str, repeat: int = 0, split: int = 0) -> bytes:
        return seeds.generator(13, stream, repeat, split).standard_normal(8).tobytes()

    used = {first_draws("weights", repeat, split) for repeat in range(20) for split in range(20)}
    assert len(used) == 400
    assert not used & {first_draws("retrain-weights", member) for member in range(8)}
    # And retraining does start from there: with a learning rate of next to nothing the weights stay where they began.
    still = hpsearch.retrain(definition("flowers", "train.learning_rate=1e-30", "train.init=he", "train.dtype=float64"))
    first = still.arrays()["layer1.weights"]
    assert first.shape == (8, 4, 8)
    for member, weights in enumerate(first):
        drawn = seeds.generator(13, "retrain-weights", member).standard_normal(weights.size)
        np.testing.assert_allclose(weights.ravel(), np.sqrt(2 / 4) * drawn, rtol=1e-12)


def test_retraining_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        hpsearch.retrain(definition()).save(tmp_path / name)
    for file in (manifest.ARRAYS, manifest.REST):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_search_space_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"\[space\] must be empty to retrain"):
        hpsearch.retrain(hpsearch.StudyDefinition.from_file(STUDIES / "flowers.toml"))


def test_a_training_that_diverges_is_a_clear_error() -> None:
    with pytest.raises(HpsearchError, match="must keep a finite loss"):
        hpsearch.retrain(definition("flowers", "train.optimizer=sgd", "train.learning_rate=1e30"))


def test_an_existing_folder_is_replaced_only_by_force_and_only_if_it_is_a_model(
    tmp_path: Path, fitted: hpsearch.Bundle
) -> None:
    fitted.save(tmp_path / "model")
    before = (tmp_path / "model" / manifest.REST).stat().st_ino
    with pytest.raises(BundleError, match="must not exist yet"):
        fitted.save(tmp_path / "model")
    assert (tmp_path / "model" / manifest.REST).stat().st_ino == before
    fitted.save(tmp_path / "model", force=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    with pytest.raises(BundleError, match="must be a saved model"):
        fitted.save(tmp_path / "work", force=True)
    assert (tmp_path / "work" / "thesis.txt").read_text() == "years"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "work"]


def test_a_save_that_fails_leaves_the_old_model_and_nothing_else(
    tmp_path: Path, fitted: hpsearch.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted.save(tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BundleError, match="no space left"):
        fitted.save(tmp_path / "model", force=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_arrays_are_plain_safetensors(tmp_path: Path, fitted: hpsearch.Bundle) -> None:
    fitted.save(tmp_path / "model")
    arrays = safetensors.numpy.load_file(tmp_path / "model" / manifest.ARRAYS)
    assert {name: array.shape for name, array in arrays.items()} == {
        "layer1.weights": (8, 4, 8),
        "layer1.biases": (8, 8),
        "layer2.weights": (8, 8, 5),
        "layer2.biases": (8, 5),
        "layer3.weights": (8, 5, 3),
        "layer3.biases": (8, 3),
        "fill": (4,),
        "centre": (4,),
        "scale": (4,),
    }


def test_predictions_follow_from_the_arrays_alone(tmp_path: Path) -> None:
    """Whoever reads the two files with other tools gets the same predictions."""
    hpsearch.retrain(definition("flowers", "train.dtype=float64")).save(tmp_path / "model")
    arrays = safetensors.numpy.load_file(tmp_path / "model" / manifest.ARRAYS)
    rows = np.random.default_rng(1).normal(3, 1, (50, 4))
    values = (rows - arrays["centre"]) / arrays["scale"]
    for layer in (1, 2, 3):
        values = values @ arrays[f"layer{layer}.weights"] + arrays[f"layer{layer}.biases"][:, np.newaxis]
        values = np.maximum(values, 0) if layer < 3 else values
    expected = (np.exp(values) / np.exp(values).sum(axis=2, keepdims=True)).mean(axis=0)
    # Same sums in another order, in float64.
    np.testing.assert_allclose(hpsearch.Bundle.load(tmp_path / "model").probabilities(rows), expected, rtol=1e-11)


def damage_arrays(folder: Path) -> None:
    path = folder / manifest.ARRAYS
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))


def edit(folder: Path, **changes: object) -> None:
    """Change keys of the JSON and sign it again, as an author would."""
    path = folder / manifest.REST
    whole = {**json.loads(path.read_text()), **changes, "sha256": manifest.UNSIGNED}
    path.write_bytes(sign(json.dumps(whole).encode()))


DAMAGES = {
    "a changed byte": damage_arrays,
    "truncated arrays": lambda folder: (folder / manifest.ARRAYS).write_bytes(b"x" * 10),
    "no arrays": lambda folder: (folder / manifest.ARRAYS).unlink(),
    "no rest": lambda folder: (folder / manifest.REST).unlink(),
    "broken JSON": lambda folder: (folder / manifest.REST).write_text("{"),
    "another JSON": lambda folder: (folder / manifest.REST).write_text("[]"),
    "another version": lambda folder: edit(folder, version=99),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_refused(tmp_path: Path, fitted: hpsearch.Bundle, damage: str) -> None:
    fitted.save(tmp_path / "model")
    DAMAGES[damage](tmp_path / "model")
    with pytest.raises(BundleError):
        hpsearch.Bundle.load(tmp_path / "model")


def test_predict_takes_columns_by_name_and_ignores_the_target(tmp_path: Path, fitted: hpsearch.Bundle) -> None:
    shutil.copy(STUDIES / "flowers.csv", tmp_path / "rows.csv")
    frame = pd.read_csv(tmp_path / "rows.csv")
    frame[frame.columns[[2, 4, 0, 3, 1]]].to_csv(tmp_path / "turned.csv", index=False)
    frame.drop(columns="species").to_csv(tmp_path / "unlabelled.csv", index=False)
    predicted = predict_file(fitted, tmp_path / "rows.csv")
    for name in ("turned.csv", "unlabelled.csv"):
        pd.testing.assert_frame_equal(predict_file(fitted, tmp_path / name), predicted, check_exact=True)
    assert list(predicted.columns) == ["class", "probability_alpine", "probability_coastal", "probability_meadow"]
    probabilities = predicted.drop(columns="class")
    assert (probabilities.idxmax(axis=1) == "probability_" + predicted["class"]).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)  # float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="petal_width"), "must have a column 'petal_width'"),
        (lambda f: f.rename(columns={"petal_width": "petal_widht"}), "Did you mean 'petal_widht'"),
        (lambda f: f.assign(petal_width="wide"), "row 2, column 'petal_width': must be a finite number"),
        (lambda f: f.assign(petal_width=np.inf), "row 2, column 'petal_width': must be a finite number"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    tmp_path: Path, fitted: hpsearch.Bundle, change: object, message: str
) -> None:
    change(pd.read_csv(STUDIES / "flowers.csv")).to_csv(tmp_path / "rows.csv", index=False)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        predict_file(fitted, tmp_path / "rows.csv")


# --- rows of all kinds of columns

Mixed = Callable[..., pd.DataFrame]


def mixed_study(folder: Path, frame: pd.DataFrame, **data: Any) -> hpsearch.StudyDefinition:
    frame.to_csv(folder / "rows.csv", index=False)
    raw = {
        "study": {"name": "mixed", "seed": 1},
        "data": {"source": "csv", "path": "rows.csv", "target": "kind", **data},
        "holdout": {"fraction": 0.2},
        "train": {"epochs": 40, "neurons": [8], "dtype": "float64"},
    }
    return hpsearch.StudyDefinition.from_mapping(raw, folder)


def silent(line: str) -> None:
    raise AssertionError(line)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_saved_model_predicts_from_raw_rows(suffix: str, tmp_path: Path, mixed: Mixed) -> None:
    """From a file or a table what training gave to the features."""
    frame = mixed()
    study = mixed_study(tmp_path, frame)
    hpsearch.retrain(study).save(tmp_path / "model")
    model, path = hpsearch.Bundle.load(tmp_path / "model"), tmp_path / f"rows.{suffix}"
    data = study.data.load(tmp_path, 0)
    if suffix == "parquet":
        frame.to_parquet(path)
    predictions = predict_file(model, path, notice=silent)
    expected = model.predictions(data.features)
    np.testing.assert_array_equal(predictions.drop(columns="class"), expected)
    np.testing.assert_array_equal(model.probabilities(frame, notice=silent), expected)
    array = frame[list(model.plan.names)].astype(object).to_numpy()
    np.testing.assert_array_equal(model.probabilities(array, notice=silent), expected)
    # Rows by themselves, where nothing could be inferred from the others.
    for row in range(20):
        alone = model.probabilities(frame.iloc[[row]], notice=silent)
        np.testing.assert_allclose(alone, expected[[row]], rtol=1e-12)  # sums in another order


def test_what_training_did_not_meet_is_filled_or_all_zeros_and_said(tmp_path: Path, mixed: Mixed) -> None:
    frame = mixed()
    study = mixed_study(tmp_path, frame)
    model = hpsearch.retrain(study)
    search = prepare(study).search
    weight = np.median(search.features[:, search.feature_names.index("weight")])
    new = mixed(30, 1)
    new.loc[[3, 5], "port"] = ["Paris", "Wien"]
    new.loc[[7, 8, 9], "weight"] = None
    new.to_csv(tmp_path / "new.csv", index=False)
    lines: list[str] = []
    predictions = predict_file(model, tmp_path / "new.csv", notice=lines.append)
    assert [line.split(",")[0] for line in lines] == [
        "Column 'port': 2 rows have a category that training had not ('Paris'",
        "Column 'weight': 3 rows have no value",
    ]
    features, _ = model.plan.expand([*model_rows(model, new)])
    ports = [place for place, name in enumerate(model.plan.feature_names) if name.startswith("port=")]
    assert len(ports) == 4
    assert not features[np.ix_([3, 5], ports)].any()
    filled = new.assign(weight=new["weight"].fillna(weight))
    with pytest.warns(UserWarning, match="'Paris', 'Wien'"):
        expected = model.probabilities(filled)
    np.testing.assert_array_equal(predictions.drop(columns="class"), expected)


def model_rows(model: hpsearch.Bundle, frame: pd.DataFrame) -> list[Raw]:
    types = Types({column.name: column.kind for column in model.plan.columns}, told=True)
    return frame_columns(frame[list(model.plan.names)], types)


def test_rows_with_a_column_twice_or_of_another_width_are_refused(tmp_path: Path, mixed: Mixed) -> None:
    frame = mixed()
    model = hpsearch.retrain(mixed_study(tmp_path, frame))
    for rows, message in (
        (pd.concat([frame, frame[["age"]]], axis=1), "must have each column once"),
        (frame.drop(columns="sex"), "must have a column 'sex', but has not"),
        (np.zeros((3, 2)), r"must be a table of 6 columns, but have shape \(3, 2\)"),
        (np.zeros(6), r"must be a table of 6 columns, but have shape \(6,\)"),
    ):
        with pytest.raises(DataError, match=message):
            model.probabilities(rows)


def test_the_preprocessing_of_a_model_is_one_plain_table(tmp_path: Path, mixed: Mixed) -> None:
    model = hpsearch.retrain(mixed_study(tmp_path, mixed(), impute="mean"))
    model.save(tmp_path / "model")
    table = hpsearch.Bundle.load(tmp_path / "model").preprocessing
    assert table == model.preprocessing
    assert [row["column"] for row in table] == ["age", "port", "member", "weight", "sex", "paid"]
    assert [row["fill"] is None for row in table] == [False, True, False, False, True, False]


def test_texts_that_mean_no_value_do_so_in_predictions(tmp_path: Path, mixed: Mixed) -> None:
    frame = mixed()
    frame["age"] = frame["age"].fillna(-1)
    model = hpsearch.retrain(mixed_study(tmp_path, frame, missing=["-1"]))
    assert model.plan.columns[0].indicator
    predictions = predict_file(model, tmp_path / "rows.csv", notice=silent)
    empty = frame.assign(age=frame["age"].replace(-1, np.nan))
    np.testing.assert_array_equal(predictions.drop(columns="class"), model.probabilities(empty, notice=silent))
    np.testing.assert_array_equal(predictions.drop(columns="class"), model.probabilities(frame, notice=silent))


def test_columns_that_the_model_does_not_know_are_ignored_and_said_once(
    tmp_path: Path, fitted: hpsearch.Bundle
) -> None:
    frame = pd.read_csv(STUDIES / "flowers.csv")
    frame.assign(colour=1, smell="").to_csv(tmp_path / "rows.csv", index=False)
    frame.to_csv(tmp_path / "known.csv", index=False)
    lines: list[str] = []
    predicted = predict_file(fitted, tmp_path / "rows.csv", notice=lines.append)
    assert lines == ["Ignored, as the model does not know them: 'colour', 'smell'."]
    pd.testing.assert_frame_equal(predicted, predict_file(fitted, tmp_path / "known.csv", notice=silent))


def test_columns_of_the_file_are_kept_as_they_stand_there(tmp_path: Path, fitted: hpsearch.Bundle) -> None:
    frame = pd.read_csv(STUDIES / "flowers.csv").head(4)
    frame.assign(id=["007", "", "n/a", "x,y"]).to_csv(tmp_path / "rows.csv", index=False)
    predicted = predict_file(fitted, tmp_path / "rows.csv", notice=silent, keep=["id", "petal_width"])
    assert predicted.columns.tolist()[:3] == ["id", "petal_width", "class"]
    assert predicted["id"].tolist() == ["007", "", "n/a", "x,y"]
    assert predicted["petal_width"].astype(float).tolist() == frame["petal_width"].tolist()
    without = predict_file(fitted, tmp_path / "rows.csv", notice=lambda line: None)
    pd.testing.assert_frame_equal(predicted.drop(columns=["id", "petal_width"]), without)
    frame.assign(**{"class": 1}).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match="'class' must not be kept"):
        predict_file(fitted, tmp_path / "rows.csv", notice=silent, keep=["class"])
    with pytest.raises(DataError, match="must have a column 'absent'"):
        predict_file(fitted, tmp_path / "rows.csv", notice=silent, keep=["absent"])


def test_numbers_far_outside_the_training_rows_are_said(tmp_path: Path, fitted: hpsearch.Bundle) -> None:
    frame = pd.read_csv(STUDIES / "flowers.csv")
    low, high = fitted.about["ranges"]["petal_width"]
    assert frame["petal_width"].min() <= low < high <= frame["petal_width"].max()
    wide = high - low
    for value, far in ((high + 0.9 * wide, False), (high + 2 * wide, True), (low - 2 * wide, True)):
        frame.loc[3, "petal_width"] = value
        frame.to_csv(tmp_path / "rows.csv", index=False)
        lines: list[str] = []
        predict_file(fitted, tmp_path / "rows.csv", notice=lines.append)
        assert len(lines) == far
        assert not far or "Column 'petal_width': 1 row has a value far outside" in lines[0]
        assert not far or f"the first {value:.6g} for prediction 4" in lines[0]


def test_rows_come_from_the_standard_input_too(tmp_path: Path, fitted: hpsearch.Bundle) -> None:
    frame = pd.read_csv(STUDIES / "flowers.csv").head(20)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    ours, (reads, writes) = os.dup(0), os.pipe()
    try:
        os.write(writes, (tmp_path / "rows.csv").read_bytes())  # a pipe holds far more
        os.close(writes)
        os.dup2(reads, 0)
        predicted = predict_file(fitted, Path("-"), notice=silent)
        with pytest.raises(DataError, match="standard input: must begin with a header line"):  # it is at its end
            predict_file(fitted, Path("-"), notice=silent)
    finally:
        os.dup2(ours, 0)
        os.close(ours)
        os.close(reads)
    pd.testing.assert_frame_equal(predicted, predict_file(fitted, tmp_path / "rows.csv", notice=silent))


def test_a_saved_model_reads_files_that_are_written_as_that_of_its_study(tmp_path: Path, mixed: Mixed) -> None:
    frame = mixed()
    hpsearch.retrain(mixed_study(tmp_path, frame)).save(tmp_path / "plain")
    plain = hpsearch.Bundle.load(tmp_path / "plain")
    expected = predict_file(plain, tmp_path / "rows.csv", notice=silent)
    scores = evaluate(plain, tmp_path / "rows.csv", silent).metrics
    csv = {"separator": ";", "decimal": ",", "thousands": ".", "units": ["kg"], "encoding": "cp1252"}
    study = mixed_study(tmp_path, frame, **csv, drop=["index"])
    weights = [f"{weight} kg".replace(".", ",") for weight in frame["weight"]]
    frame.assign(weight=weights).to_csv(tmp_path / "rows.csv", sep=";", decimal=",", encoding="cp1252")
    hpsearch.retrain(study).save(tmp_path / "model")
    model = hpsearch.Bundle.load(tmp_path / "model")
    assert model.csv.changes() == csv
    assert json.loads((tmp_path / "model" / "model.json").read_text())["csv"] == csv
    assert "csv" not in json.loads((tmp_path / "plain" / "model.json").read_text())
    pd.testing.assert_frame_equal(predict_file(model, tmp_path / "rows.csv", notice=silent), expected)
    assert evaluate(model, tmp_path / "rows.csv", silent).metrics == scores
    kept = predict_file(model, tmp_path / "rows.csv", notice=silent, keep=["index", "weight"])
    assert kept["weight"].tolist() == weights
    frame.to_csv(tmp_path / "rows.csv", index=False, sep="\t")
    with pytest.raises(DataError, match=r"must be separated by ';'.* Write it as the rows that the model was trained"):
        predict_file(model, tmp_path / "rows.csv", notice=silent)


def test_where_features_are_named_other_columns_are_ignored(tmp_path: Path, mixed: Mixed) -> None:
    frame = mixed()
    model = hpsearch.retrain(mixed_study(tmp_path, frame, features=["age", "port"]))
    predictions = predict_file(model, tmp_path / "rows.csv", notice=silent)
    frame[["port", "age"]].to_csv(tmp_path / "few.csv", index=False)
    pd.testing.assert_frame_equal(
        predict_file(model, tmp_path / "few.csv", notice=silent), predictions, check_exact=True
    )


def test_a_model_of_an_earlier_version_is_refused_saying_so(tmp_path: Path, fitted: hpsearch.Bundle) -> None:
    fitted.save(tmp_path / "model")
    edit(tmp_path / "model", version=1)
    with pytest.raises(
        BundleError, match=r"of version 3 or 4, but is of version 1, which hpsearch .* wrote\. Retrain it"
    ):
        hpsearch.Bundle.load(tmp_path / "model")
