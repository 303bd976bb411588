"""Regressions, and studies of two classes with one output: refused where they make no sense, else as any other."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import read_exactly
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

import hpsearch
from hpsearch.api import open_study, snapshot
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, DefinitionError, HpsearchError
from hpsearch.model.bundle import Bundle
from hpsearch.reporting.figures import FIGURES
from hpsearch.reporting.notes import study_note, trial_note
from hpsearch.results.best_study import export
from hpsearch.search.objective import prepare
from hpsearch.storage.stored_results import stored_result
from hpsearch.validation.metrics import metrics_of

TOP = Path(__file__).parents[2]

# Mini-batches, dropout by layer, median pruning, a hold-out; a second or two.
QUANTITY = """
[study]
name = "quantity"
seed = 5

[data]
source = "csv"
path = "rows.csv"
target = "price"
task = "regression"

[holdout]
fraction = 0.25

[validation]
n_splits = 3

[train]
epochs = 24
evaluate_every = 6
batch_size = 16

[space]
hidden_layers = { int = [1, 2] }
learning_rate = { float = [1e-4, 1.0], log = true }
neurons = { int = [4, 16], log = true }
dropout = { float = [0.0, 0.6] }

[search]
trials = 12
sampler = { name = "tpe", n_startup_trials = 5 }
pruner = { name = "median", n_startup_trials = 2 }
in_flight = 3
finalists = 0
"""
NEW_KEYS = ("data.duplicates", "data.task", "train.loss", "train.dropout", "train.target_scaling")


def write_rows(folder: Path) -> None:
    draw = np.random.default_rng(1)
    size, age, kind = draw.gamma(4, 25, 120), draw.uniform(0, 80, 120), draw.choice(["flat", "house"], 120)
    price = 1500 * size + 60_000 * (kind == "house") - 500 * age + draw.normal(0, 15_000, 120)
    rows = pd.DataFrame({"size": size.round(1), "age": age.round(1), "kind": kind, "price": price.round(2)})
    rows.to_csv(folder / "rows.csv", index=False)


@pytest.fixture
def quantity(small: Path) -> Path:
    """The study file, in an empty folder that is the working directory."""
    path = small.parent / "quantity.toml"
    path.write_text(QUANTITY, encoding="utf-8")
    write_rows(small.parent)
    return path


def tables(storage: str) -> list[pd.DataFrame]:
    trials = hpsearch.load_trials("quantity", storage).drop(columns=["seconds", "same_as"])
    return [trials, hpsearch.load_folds("quantity", storage), hpsearch.load_curves("quantity", storage)]


def stored_files(folder: Path, name: str) -> dict[str, bytes]:
    place = folder / f"{name}.db.rows/study-quantity"
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*.npz")}


def at(folder: Path, name: str) -> str:
    return f"sqlite:///{folder / name}.db"


def mapping(**sections: dict[str, Any]) -> dict[str, Any]:
    return {"study": {"name": "s"}, "data": {"source": "sklearn:diabetes"}, **sections}


def definition(**sections: dict[str, Any]) -> StudyDefinition:
    return StudyDefinition.from_mapping(mapping(**sections), Path())


# ---------------------------------------------------------------- definitions

CLASSES = {"source": "nnfs:spiral"}
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "loss of classes": (
        {"train": {"loss": "cross_entropy"}},
        r"\[train\] loss must be for a regr.*squared_error",
    ),
    "binary loss": ({"train": {"loss": "binary_cross_entropy"}}, r"\[train\] loss must be for a regression target"),
    "loss of a regression target": (
        {"data": CLASSES, "train": {"loss": "squared_error"}},
        r"\[train\] loss must be for classes.*cross_entropy",
    ),
    "unknown loss": ({"train": {"loss": "absolut_error"}}, r"Unknown loss 'absolut_error'.*Did you mean 'absolute_"),
    "objective of classes": (
        {"search": {"objective": "accuracy"}},
        r"\[search\] objective must be a metric of a regression, but is 'accuracy'\. Choose one of: loss, mae, mse, r2",
    ),
    "objective of a regression target": (
        {"data": CLASSES, "search": {"objective": "r2"}},
        r"\[search\] objective must be a metric of a classification, but is 'r2'\. Choose one of: accuracy",
    ),
    "stratified": (
        {"validation": {"splitter": "stratified"}},
        r'\[validation\] splitter .* Use \[validation\] splitter = "kfold"\.',
    ),
    "stratified groups": (
        {"validation": {"splitter": "stratified-group"}},
        r'\[validation\] .* Use \[validation\] splitter = "group"\.',
    ),
    "class weights": ({"train": {"class_weight": "balanced"}}, r"\[train\] class_weight must go with classes"),
    "target scaling of classes": (
        {"data": CLASSES, "train": {"target_scaling": "log"}},
        r"\[train\] target_scaling must go with a regression target, but is 'log' where classes are predicted\.",
    ),
    "target scaling of classes, searched": (
        {"data": CLASSES, "space": {"target_scaling": {"choice": ["standard", "power"]}}},
        r"\[space\] target_scaling must go with a regression target, but classes are predicted\.",
    ),
    "unknown target scaling": ({"train": {"target_scaling": "sqrt"}}, r"Unknown target scaling 'sqrt'.*standard"),
    "task of a source": ({"data": {"source": "sklearn:diabetes", "task": "regression"}}, r"\[data\] .*task"),
    "unknown task": (
        {"data": {"source": "csv", "path": "a.csv", "target": "y", "task": "ranking"}},
        r"\[data\] task .*'classification' or 'regression'",
    ),
    "fresh sine": ({"data": {"source": "nnfs:sine"}, "holdout": {"fresh": True}}, r"\[holdout\] fresh must go with"),
    "dropout of 1": ({"train": {"dropout": 1.0}}, r"\[train\] dropout must be a number from 0 to 0.999"),
    "dropout below 0": ({"train": {"dropout": -0.1}}, r"\[train\] dropout must be a number from 0 to 0.999"),
    "dropout of text": ({"train": {"dropout": "0.5"}}, r"\[train\] dropout must be a number"),
    "too many rates": (
        {"train": {"dropout": [0.1, 0.2]}},
        r"\[train\] dropout must have one value a hidden layer: 1, but has 2",
    ),
    "too few rates": (
        {"train": {"neurons": [8, 8], "dropout": [0.1]}},
        r"\[train\] dropout must have one value a hidden layer: 2, but has 1",
    ),
    "loss searched": ({"space": {"loss": {"choice": ["squared_error", "absolute_error"]}}}, r"\[space\] .*loss"),
    "dropout without hidden layers": (
        {"train": {"hidden_layers": 0}, "space": {"dropout": {"float": [0.1, 0.5]}}},
        r"\[space\] dropout must be of a layer that can exist, but there are at most 0 hidden layers",
    ),
    "dropout searched up to 1": ({"space": {"dropout": {"float": [0.0, 1.0]}}}, r"\[space\] dropout"),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_what_makes_no_sense_is_refused_in_one_clear_line(what: str) -> None:
    sections, words = CONTRADICTIONS[what]
    with pytest.raises(DefinitionError, match=words) as caught:
        definition(**sections)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


def test_dropout_is_searched_of_the_hidden_layers_there_are() -> None:
    searched = definition(space={"dropout": {"float": [0.1, 0.5]}, "hidden_layers": {"int": [0, 2]}})
    assert searched.config({"dropout": 0.3, "hidden_layers": 2}).by_layer("dropout") == (0.3, 0.3)
    assert searched.config({"dropout": 0.3, "hidden_layers": 0}).by_layer("dropout") == ()


def test_dropout_of_one_layer_can_be_searched() -> None:
    searched = definition(train={"neurons": [8, 8]}, space={"layer2": {"dropout": {"float": [0.1, 0.5]}}})
    assert searched.config({"layer2.dropout": 0.3}).by_layer("dropout") == (0.0, 0.3)


def test_one_output_for_three_classes_is_refused_before_anything_runs(small: Path) -> None:
    text = small.read_text(encoding="utf-8").replace("[train]", '[train]\nloss = "binary_cross_entropy"')
    small.write_text(text, encoding="utf-8")
    for attempt in (hpsearch.run, hpsearch.cross_validate):
        with pytest.raises(DataError, match="two classes to tell apart, but there are 3") as caught:
            attempt(small)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(f"{small}: [train] loss")
    assert not Path("hpsearch.db").exists()


def test_an_objective_that_is_undefined_on_a_split_is_refused_before_anything_runs(quantity: Path) -> None:
    rows = read_exactly("rows.csv")
    rows["part"] = np.arange(len(rows)) % 3
    rows.loc[rows["part"] == 1, "price"] = 5.0
    rows.to_csv("rows.csv", index=False)
    raw = StudyDefinition.from_file(quantity).raw
    raw = {**raw, "data": {**raw["data"], "fold": "part"}, "validation": {"splitter": "predefined"}, "holdout": {}}
    of_r2 = StudyDefinition.from_mapping({**raw, "search": {**raw["search"], "objective": "r2"}}, quantity.parent)
    with pytest.raises(DataError, match=r'objective = "r2" must be defined .* fold 1 have one and the same target'):
        hpsearch.run(of_r2)
    done = hpsearch.run(StudyDefinition.from_mapping(raw, quantity.parent), trials=2)
    assert done.trials["r2"].isna().all(), "a mean over splits of which one has none"
    assert done.folds.loc[done.folds["fold"] == 1, "r2"].isna().all()
    assert done.folds.loc[done.folds["fold"] != 1, "r2"].notna().all()
    assert done.metrics["r2"].isna().tolist() == [False, True, False, False]


# ---------------------------------------------------------------- identity


def test_studies_without_the_new_keys_are_the_same_studies_as_before() -> None:
    """A key of an identity that stored studies do not have would keep them from going on."""
    for file in (TOP / "studies").glob("*.toml"):
        if file.stem == "diabetes":  # it has them
            continue
        identity = StudyDefinition.from_file(file).identity()
        assert not set(identity) & set(NEW_KEYS), file.name


@pytest.mark.parametrize(
    ("data", "train"),
    [
        (CLASSES, {"dropout": 0.0}),
        ({"source": "csv", "path": "a.csv", "target": "y", "duplicates": "keep"}, {}),
        ({"source": "python:m:f"}, {"dropout": 0.0}),
    ],
    ids=["toy", "csv", "python"],
)
def test_defaults_spelled_out_are_defaults_left_out(data: dict[str, Any], train: dict[str, Any]) -> None:
    plain = definition(data=data)
    task = {} if data == CLASSES else {"task": "classification"}
    spelled = definition(data={**data, **task}, train=train)
    assert spelled.identity() == plain.identity()
    assert spelled.train.fingerprint == plain.train.fingerprint


def test_what_is_not_the_default_is_part_of_the_identity() -> None:
    data = {"source": "csv", "path": "a.csv", "target": "y"}
    regression = definition(data={**data, "task": "regression"})
    assert regression.identity()["data.task"] == "regression"
    assert definition(data={**data, "duplicates": "drop"}).identity()["data.duplicates"] == "drop"
    for train in ({"loss": "absolute_error"}, {"dropout": 0.1}):
        ((name, value),) = train.items()
        other = definition(train=train)
        assert other.identity()[f"train.{name}"] == value
        assert other.identity() != definition().identity()
        assert other.train.fingerprint != definition().train.fingerprint


def test_a_rate_for_all_layers_and_one_for_each_are_one_configuration() -> None:
    one, each = (
        definition(train={"neurons": [8, 4], "dropout": rate}).train.fingerprint for rate in (0.25, [0.25, 0.25])
    )
    assert one == each
    zero, zeros = (definition(train={"neurons": [8, 4], "dropout": rate}).train.fingerprint for rate in (0, [0, 0]))
    assert zero == zeros == definition(train={"neurons": [8, 4]}).train.fingerprint


@pytest.mark.parametrize("name_before", ["probabilities", "answers"])
def test_per_row_results_of_earlier_studies_are_read_as_they_were(small: Path, name_before: str) -> None:
    """Their files call the predictions otherwise."""
    run = hpsearch.run(small, trials=5)
    with open_study("small") as stored:
        before = stored.row_results.of(run.best.result)
        for file in stored.row_results.folder.glob("trial-*.npz"):
            with np.load(file) as arrays:
                old = {name.replace("predictions", name_before): array for name, array in arrays.items()}
            assert name_before in old
            np.savez(file, **old)
        after = stored.row_results.of(run.best.result)
    assert np.array_equal(after.predictions, before.predictions)
    assert np.array_equal(after.losses, before.losses)


# ---------------------------------------------------------------- a search


def test_a_study_of_a_quantity_is_the_same_however_it_was_cut_up(quantity: Path) -> None:
    """Stopped, interrupted, and ended by worker processes; of an objective that is not the loss."""
    folder, definition = quantity.parent, StudyDefinition.from_file(quantity, ['search.objective="r2"'])
    hpsearch.run(definition, storage=at(folder, "one"))
    states = set(hpsearch.load_trials("quantity", at(folder, "one"))["state"])
    assert states >= {"COMPLETE", "PRUNED"}, "or this test shows little"
    hpsearch.run(definition, storage=at(folder, "two"), trials=3)

    def stop(progress: Any) -> None:
        if len(progress.results) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hpsearch.run(definition, storage=at(folder, "two"), watch=stop)
    hpsearch.run(definition, storage=at(folder, "two"), workers=2)
    for left, right in zip(tables(at(folder, "one")), tables(at(folder, "two")), strict=True):
        pd.testing.assert_frame_equal(left, right, check_exact=True)
    assert stored_files(folder, "two") == stored_files(folder, "one")


@pytest.mark.parametrize("objective", ["loss", "r2", "rmse"])
def test_the_objective_is_the_mean_of_scikit_learn_s_metric_over_the_splits(quantity: Path, objective: str) -> None:
    definition = StudyDefinition.from_file(quantity, [f'search.objective="{objective}"', "search.trials=6"])
    metric, found = definition.metric, hpsearch.run(definition)
    targets = prepare(definition).search.labels
    with open_study("quantity") as stored:
        assert stored.storage.get_study_directions(stored.study_id)[0].name.lower() == metric.direction
        layout = stored.row_results.layout()
        results = [stored_result(trial) for trial in stored.trials()]
        complete = [result for result in results if result.value is not None]
        np.testing.assert_array_equal(layout.labels, targets[layout.rows])
        for result in complete:
            predictions = stored.row_results.of(result).predictions
            assert predictions.dtype == np.float64
            parts = [np.flatnonzero(layout.splits == split) for split in range(3)]
            scores = [metric.score(targets[layout.rows[part]], predictions[part], 0) for part in parts]
            r2 = [r2_score(targets[layout.rows[part]], predictions[part, 0]) for part in parts]
            # The same predictions in float64; of R² what is left of 1 - x.
            assert result.value == pytest.approx(np.mean(scores), rel=1e-9)
            assert result.r2 == pytest.approx(np.mean(r2), rel=1e-9)
            assert [fold["r2"] for fold in result.folds] == pytest.approx(r2, rel=1e-9)
            assert "accuracy" not in result.folds[0]
    better = max if metric.direction == "maximize" else min
    best = better(float(result.value or 0) for result in complete)
    assert found.best.result.value == best
    assert found.best.corrected is not None
    assert found.best.corrected.low < found.best.corrected.value < found.best.corrected.high
    trials = found.trials
    assert "accuracy" not in trials.columns
    assert trials.columns[:6].tolist() == ["number", "state", "value", "standard_error", "best_epoch", "r2"]
    assert trials["r2"].dtype == "float64"
    assert trials["r2"].notna().tolist() == (trials["state"] == "COMPLETE").tolist()
    assert ("objective" in found.folds.columns) == (objective != "loss")
    table = found.metrics
    assert table.columns.tolist() == ["rows_of", "repeat", "fold", "rows", *metrics_of("squared_error")]
    assert table["rows"].tolist() == [30, 30, 30, 90]
    assert table[objective].iloc[:3].mean() == pytest.approx(best, rel=1e-9)
    np.testing.assert_allclose(table["rmse"] ** 2, table["mse"], rtol=1e-12)


def test_negative_values_are_maximised_as_any_other(quantity: Path) -> None:
    """Networks that learn noise by heart have an R² far below 0, and the best is the nearest to it."""
    rows = read_exactly("rows.csv")
    rows["price"] = np.random.default_rng(0).permutation(rows["price"])
    rows.to_csv("rows.csv", index=False)
    settings = ['search.objective="r2"', "search.trials=6", 'search.pruner="none"', 'validation.checkpoint="last"']
    settings += ["space.learning_rate.float=[0.01, 0.05]", "space.neurons.int=[24, 48]"]
    settings += ["space.dropout.float=[0.0, 0.1]", "train.epochs=60", "train.evaluate_every=30"]
    found = hpsearch.run(StudyDefinition.from_file(quantity, settings))
    values = found.trials["value"].dropna()
    assert (values < 0).all()
    best = found.best
    assert best.result.value == values.max()
    assert best.corrected is not None
    assert best.corrected.value <= values.max() + 1e-9
    assert best.corrected.low < best.corrected.value < best.corrected.high <= 1
    ranked = hpsearch.load_best("quantity", rule="one-se")
    assert float(ranked.result.value or 0) <= values.max()
    assert ranked.result.parameters <= best.result.parameters


# ---------------------------------------------------------------- what the search is for


@pytest.mark.parametrize(
    ("loss", "objective", "target"),
    [
        ("squared_error", "loss", "standard"),
        ("absolute_error", "r2", "standard"),
        ("squared_error", "mae", "standard"),
        ("absolute_error", "loss", "log"),
        ("squared_error", "r2", "power"),
    ],
)
def test_the_best_is_exported_retrained_and_scored_in_the_target_s_own_unit(
    quantity: Path, hpsearch: Callable[..., Any], loss: str, objective: str, target: str
) -> None:
    import hpsearch as package

    if target == "log":
        table = read_exactly("rows.csv")
        table.assign(price=table["price"].clip(1000)).to_csv("rows.csv", index=False)
    settings = [f'search.objective="{objective}"', f'train.loss="{loss}"', "search.trials=4"]
    settings += [f'train.target_scaling="{target}"']
    best = package.run(StudyDefinition.from_file(quantity, settings)).best
    export(best, Path("best.toml"))
    exported = StudyDefinition.from_file("best.toml")
    assert exported.data.predicts == "regression"
    assert exported.loss == loss
    assert exported.origin is not None
    assert exported.origin.r2 == best.result.r2
    assert exported.origin.accuracy is None
    assert exported.train.fingerprint == best.config.fingerprint == exported.origin.configuration
    again = package.cross_validate(exported)
    assert (again.value, again.r2) == (best.result.value, best.result.r2), "the very same bits"
    model = package.retrain("best.toml")
    assert model.about["as_exported"]
    held = prepare(exported).held_out
    assert held is not None
    score, predictions = model.about["holdout"], model.predictions(held.features)[:, 0]
    theirs = mean_squared_error if loss == "squared_error" else mean_absolute_error
    # The same predictions, in float64 both.
    assert score["loss"] == pytest.approx(theirs(held.labels, predictions), rel=1e-12)
    assert score["r2"] == pytest.approx(r2_score(held.labels, predictions), rel=1e-10)
    if objective == "mae":
        assert score["mae"] == pytest.approx(mean_absolute_error(held.labels, predictions), rel=1e-12)
    assert "accuracy" not in score
    assert 0 < score["low"] < score["loss"] < score["high"]
    model.save("model")
    rows = read_exactly("rows.csv")
    raw = rows.drop(columns="price")
    np.testing.assert_array_equal(Bundle.load("model").predict(raw), model.predict(raw))
    # Rows held out are rows of the file; the sums of float32 networks come in another order there.
    nearest = np.abs(model.predict(raw) - predictions[:, np.newaxis]).min(axis=1)
    assert nearest.max() < 1e-5 * rows["price"].std()
    done = hpsearch("predict", "model", "rows.csv", "-o", "answers.csv")
    assert done.status == 0, done.err
    written = read_exactly("answers.csv")
    assert written.columns.tolist() == ["prediction"]
    np.testing.assert_array_equal(written["prediction"], model.predict(raw))
    with pytest.raises(DataError, match="predicts the regression target 'price'"):
        model.probabilities(raw)


def test_a_target_scaling_is_searched(quantity: Path) -> None:
    choice = 'space.target_scaling={ choice = ["power", "standard"] }'
    found = hpsearch.run(StudyDefinition.from_file(quantity, [choice, "search.trials=8", 'search.pruner="none"']))
    trials = found.trials
    assert set(trials["target_scaling"]) == {"power", "standard"}
    assert (
        found.best.config.target_scaling == trials.set_index("number").loc[found.best.result.number, "target_scaling"]
    )
    # In one unit all of them: their networks are about as good.
    assert trials["value"].max() < 100 * trials["value"].min()


@pytest.mark.parametrize("key", ["train.target_scaling=log", 'space.target_scaling={ choice = ["standard", "log"] }'])
def test_targets_without_a_logarithm_are_refused_before_anything_runs(quantity: Path, key: str) -> None:
    table = read_exactly("rows.csv")
    table.assign(price=table["price"] - table["price"].mean()).to_csv("rows.csv", index=False)
    for attempt in (hpsearch.run, hpsearch.cross_validate):
        with pytest.raises(DataError) as caught:
            attempt(StudyDefinition.from_file(quantity, [key]))
        line = str(caught.value)
        assert line.startswith(f'{quantity}: [train] target_scaling = "log" needs targets that are all above 0, but')
        assert line.endswith('Use [train] target_scaling = "power", which takes any number.')
    assert not Path("hpsearch.db").exists()


def test_confirm_and_nested_measure_in_the_target_s_own_unit(quantity: Path) -> None:
    settings = ['search.objective="r2"', "search.trials=4", 'search.pruner="none"']
    definition = StudyDefinition.from_file(quantity, settings)
    hpsearch.run(definition)
    confirmed = hpsearch.confirm("quantity", top=3, repeats=1)
    assert confirmed.objective == "r2"
    values = [one.objective.mean for one in confirmed.trials if one.objective is not None]
    assert values == sorted(values, reverse=True)
    assert all(one.accuracy is None for one in confirmed.trials)
    assert [one.r2 for one in confirmed.trials] == pytest.approx(values, rel=1e-12)
    assert all(pair.difference >= 0 for pair in confirmed.comparisons)
    spread = np.var(prepare(definition).search.labels)
    for one in confirmed.trials:
        assert one.loss is not None
        assert one.r2 is not None
        # 1 - R² is the loss over the variance of each split's targets, which all are about that of all.
        assert one.loss.mean == pytest.approx((1 - one.r2) * spread, rel=0.5)
    outer = hpsearch.nested(definition, outer=2)
    assert (outer.objective, outer.accuracy) == ("r2", None)
    assert outer.value == outer.r2 == pytest.approx(np.mean([split.r2 for split in outer.splits]), rel=1e-12)
    losses, counts = ([getattr(split, name) for split in outer.splits] for name in ("loss", "validation_rows"))
    assert outer.loss.mean == pytest.approx(np.average(losses, weights=counts), rel=1e-12)


def test_one_output_for_two_classes_goes_the_whole_way(small: Path, hpsearch: Callable[..., Any]) -> None:
    import hpsearch as package

    text = small.read_text(encoding="utf-8").replace("samples = 20", "samples = 30\nclasses = 2")
    text = text.replace("[train]", '[train]\nloss = "binary_cross_entropy"\ndropout = 0.1')
    small.write_text(text, encoding="utf-8")
    run = package.run(small, trials=5)
    assert "accuracy" in run.trials.columns
    assert run.metrics.columns.tolist() == ["rows_of", "repeat", "fold", "rows", *metrics_of("cross_entropy")]
    export(run.best, Path("best.toml"))
    assert package.cross_validate("best.toml").value == run.best.result.value
    model = package.retrain("best.toml")
    model.save("model")
    features = prepare(StudyDefinition.from_file("best.toml")).search.features
    shares = Bundle.load("model").probabilities(features)
    np.testing.assert_array_equal(shares, model.probabilities(features))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)  # float32
    assert set(model.predict(features)) <= {"0", "1"}
    pd.DataFrame(features, columns=["x1", "x2"]).to_csv("new.csv", index=False)
    hpsearch("predict", "model", "new.csv", "-o", "answers.csv")
    assert pd.read_csv("answers.csv").columns.tolist() == ["class", "probability_0", "probability_1"]
    for name in ("confusion", "calibration", "regions"):
        assert getattr(package.figures, name)(run).data


# ---------------------------------------------------------------- what is shown

OF_CLASSES = {"calibration", "confusion", "regions"}


@pytest.mark.parametrize("objective", [pytest.param("loss", marks=pytest.mark.campaign), "r2"])
def test_figures_report_and_notes_know_that_it_is_a_quantity(quantity: Path, objective: str) -> None:
    run = hpsearch.run(StudyDefinition.from_file(quantity, [f'search.objective="{objective}"', "search.trials=5"]))
    with snapshot(run) as shown:
        for name, kind in FIGURES.items():
            if name in {*OF_CLASSES, "importance"}:
                why = "at least 10 complete trials" if name == "importance" else "is of a classification, but"
                with pytest.raises(HpsearchError, match=why):
                    kind.facts(shown)
                continue
            facts = kind.facts(shown)
            drawn = kind.draw(facts).to_json()
            assert "nats" not in drawn
            assert "nan" not in kind.say(facts)
            assert "squared units" not in drawn
            if name in ("curves", "gap", "history"):  # an axis breaks its title
                assert ("units of the target" in drawn) == (objective == "loss" or name != "history")
    hpsearch.report(run, "report.html")
    page = Path("report.html").read_text(encoding="utf-8")
    text = page.partition('<script type="application/json"')[0]
    assert "Losses are in squared units of the target, without penalty." in text
    assert "a regression target (price)" in text
    for word in ("nats", "accuracy", "0 classes", ">None<"):
        assert word not in text
    assert "R²" in text
    with open_study("quantity") as stored:
        note = study_note(stored, run.best)
        assert "nats" not in note
        assert "accuracy" not in note
        assert (" units of the target" in note) == (objective == "loss")
        assert "squared units" not in note
        best = trial_note(run.best.result)
        assert "r2" in best
        assert "accuracy" not in best
    shown = run._repr_html_()
    assert "R²" in shown
    assert "accuracy" not in shown


@pytest.mark.parametrize("objective", ["loss", pytest.param("r2", marks=pytest.mark.campaign)])
def test_every_command_runs_and_prints_one_json_value(
    small: Path, hpsearch: Callable[..., Any], objective: str
) -> None:
    path, title = small.parent / "diabetes.toml", "RMSE" if objective == "loss" else "Mean R²"
    path.write_text(
        '[study]\nname = "d"\n[data]\nsource = "sklearn:diabetes"\n[holdout]\nfraction = 0.2\n'
        "[validation]\nn_splits = 3\n[train]\nepochs = 10\nevaluate_every = 5\n[space]\nneurons = { int = [2, 9] }\n"
        "dropout = { float = [0.0, 0.5] }\n"
        f'[search]\ntrials = 4\nobjective = "{objective}"\npruner = "none"\n'
    )

    def both(*arguments: str | Path) -> tuple[str, Any]:
        plain, other = hpsearch(*arguments), hpsearch(*arguments, "--json")
        assert plain.status == other.status == 0, plain.err + other.err
        for word in ("nats", "accuracy", "nan"):
            assert word not in plain.out, plain.out
        return plain.out, json.loads(other.out)

    out, facts = both("check", path)
    assert "152." in out
    assert facts["target"] == {"mean": 152.547, "standard_deviation": 77.3125, "lowest": 25.0, "highest": 346.0}
    assert "classes" not in facts
    out, _ = both("run", path)
    assert "complete" in out
    out, best = both("best", "d")
    assert best["objective"] == objective
    assert best["r2"] is not None
    assert "accuracy" not in best
    if objective == "loss":
        shipped = best["corrected"]
        value, low, high = (f"{math.sqrt(shipped[part]):.4f}" for part in ("value", "low", "high"))
        assert f"RMSE of about {value} units of the target, with 95 % confidence between {low} and {high}" in out
    hpsearch("best", "d", "-o", "best.toml")
    out, again = both("cv", "best.toml")
    assert again["value"] == best["value"]
    assert f"{title} {math.sqrt(best['value']) if objective == 'loss' else best['value']:.4f}" in out
    out, table = both("metrics", "d")
    assert set(metrics_of("squared_error")) < set(table[0])
    assert "R²" in hpsearch("retrain", "best.toml", "-o", "model").out
    about = json.loads(hpsearch("retrain", "best.toml", "-o", "model", "--force", "--json").out)
    assert set(about["holdout"]) >= {"rows", "loss", "r2", "low", "high"}
    _, trials = both("trials", "d")
    assert [trial["r2"] is not None for trial in trials] == [True] * 4
    _, folds = both("folds", "d")
    assert all(fold["r2"] <= 1 for fold in folds)
    _, confirmed = both("confirm", "d", "--top", "2", "--repeats", "1")
    assert all(one["r2"] <= 1 for one in confirmed["trials"])
