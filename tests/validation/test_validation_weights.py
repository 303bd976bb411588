"""Weights of rows and of classes: a row of weight w is w rows, and a class weight is a matter of training alone."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from hpsearch.api import open_study
from hpsearch.data.dataset import Dataset
from hpsearch.data.preprocess import SCALINGS
from hpsearch.data.sources import Bundled
from hpsearch.data.splits import Split, SplitOptions, make_splits
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, StudyChangedError
from hpsearch.model.retrain import fit_prepared
from hpsearch.nn.rows import Batching, PaddedRows
from hpsearch.search.objective import prepare
from hpsearch.storage.stored_results import stored_result
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import cross_validate
from hpsearch.validation.estimates import mean_of_rows
from hpsearch.validation.lanes import training_weights
from hpsearch.validation.layout import Layout
from hpsearch.validation.metrics import METRICS
from hpsearch.validation.selection import corrected

BASE = Config(
    neurons=5,
    learning_rate=0.05,
    epochs=12,
    evaluate_every=3,
    init="he",
    dtype="float64",
    scaling="standard",
    weight_l2=1e-3,
)


def clouds(rows: int = 60, classes: int = 3, seed: int = 0) -> Dataset:
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.arange(rows) % classes)
    centres = np.stack([np.cos(labels), np.sin(labels), labels], axis=1)
    return Dataset.of(centres + draw.standard_normal((rows, 3)), labels, class_names=[f"c{i}" for i in range(classes)])


def halves(rows: int) -> tuple[Split, Split]:
    every = np.arange(rows)
    return Split(0, 0, every[::2], every[1::2]), Split(0, 1, every[1::2], every[::2])


def repeated(data: Dataset, splits: tuple[Split, ...], times: NDArray[np.intp]) -> tuple[Dataset, tuple[Split, ...]]:
    """The same rows, each so many times, and the same splits of them."""
    rows = np.repeat(np.arange(data.rows), times)

    def places(of: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.flatnonzero(np.isin(rows, of))

    both = tuple(replace(s, training=places(s.training), validation=places(s.validation)) for s in splits)
    return data.take(rows), both


@pytest.mark.parametrize("objective", METRICS)
def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_is_none(objective: str) -> None:
    data, times = clouds(), np.random.default_rng(1).integers(0, 4, 60)
    splits = halves(60)
    weighted = cross_validate(replace(data, weights=times.astype(float)), splits, BASE, 7, objective=objective)
    plain = cross_validate(*repeated(data, splits, times), BASE, 7, objective=objective)
    # What an objective is computed from is kept in float32.
    for name, error in (("training_loss", 1e-9), ("validation_loss", 1e-9), ("objective", 1e-6)):
        np.testing.assert_allclose(getattr(weighted.curve, name), getattr(plain.curve, name), rtol=error)
    assert weighted.best_epoch == plain.best_epoch
    for one, other in zip(weighted.folds, plain.folds, strict=True):
        assert one.accuracy == pytest.approx(other.accuracy, rel=1e-12)
        assert one.value == pytest.approx(other.value, rel=1e-6)
    unweighted = cross_validate(data, splits, BASE, 7, objective=objective)
    assert unweighted.value != pytest.approx(weighted.value, rel=1e-3)


@pytest.mark.parametrize("batch_size", ["full", 7, 1])
def test_equal_weights_are_none(batch_size: Any) -> None:
    data, config = clouds(), BASE.replaced({"batch_size": batch_size})
    one = cross_validate(data, halves(60), config, 7)
    other = cross_validate(replace(data, weights=np.full(60, 3.0)), halves(60), config, 7)
    np.testing.assert_allclose(one.curve.validation_loss, other.curve.validation_loss, rtol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_batch_in_which_nothing_counts_teaches_nothing(batch_size: int) -> None:
    """Three rows count; most batches have none of them, and all numbers stay finite."""
    data = clouds()
    weights = np.zeros(60)
    weights[[0, 1, 2, 3, 4, 5]] = 1.0
    config = BASE.replaced({"batch_size": batch_size, "optimizer": "sgd", "weight_l2": 0.0})
    result = cross_validate(replace(data, weights=weights), halves(60), config, 7)
    assert result.outcome == "complete"
    assert np.isfinite(result.curve.training_loss).all()
    assert result.curve.training_loss[-1] < result.curve.training_loss[0]


def test_in_mini_batches_each_row_takes_its_weight_along_and_a_batch_is_a_weighted_mean() -> None:
    draw = np.random.default_rng(3)
    sets = [draw.permutation(40)[:count] for count in (23, 20)]
    of_data = draw.integers(0, 3, (2, 40)).astype(float)
    training, batching = PaddedRows.pad(sets, 25, of_data), Batching.of(25, 6)
    generators = [np.random.default_rng([0, lane]) for lane in range(2)]
    plain = batching.epochs(PaddedRows.pad(sets, 25), [np.random.default_rng([0, lane]) for lane in range(2)])
    for (rows, shares), (same, alike) in islice(zip(batching.epochs(training, generators), plain, strict=True), 4):
        assert np.array_equal(rows, same), "weights change no order"
        for lane in range(2):
            for batch, own, real in zip(rows[:, lane], shares[:, lane], alike[:, lane] > 0, strict=True):
                counts = np.where(real, of_data[lane, batch], 0)
                assert own == pytest.approx(counts / (counts.sum() or 1), abs=1e-15)


def test_the_training_descends_the_weighted_loss() -> None:
    """The first update of plain gradient descent, against central differences of the weighted mean of the losses."""
    draw = np.random.default_rng(5)
    data = replace(clouds(20), weights=draw.uniform(0.1, 3, 20))
    config = BASE.replaced(
        {"optimizer": "sgd", "learning_rate": 1.0, "epochs": 1, "evaluate_every": 1, "neurons": 3, "activation": "tanh",
         "class_weight": {"c0": 2.0, "c2": 0.5}, "weight_l2": 0.0}
    )  # fmt: skip
    from hpsearch import seeds
    from hpsearch.nn.network import initial_parameters
    from hpsearch.nn.passes import predict
    from hpsearch.validation.lanes import fit_scalings, lane_data, make_trainer

    rows = np.arange(20)
    weights = training_weights(config, data, [rows])
    assert weights is not None
    assert data.weights is not None
    np.testing.assert_allclose(weights[0], data.weights * np.array([2.0, 1.0, 0.5])[data.labels])
    trainer = make_trainer(config, lane_data(data, fit_scalings(data, [rows], "none"), [rows]), [rows], 1, weights)
    params = initial_parameters(
        trainer.architecture.network, "he", [seeds.generator(0, "weights", 0, 0)], np.dtype(float)
    )

    def loss(at: NDArray[np.float64]) -> float:
        predictions = predict(trainer.architecture, at[np.newaxis], data.features)[0]
        return float(np.average(-np.log(predictions[rows, data.labels]), weights=weights[0]))

    before = params[0].copy()
    moves = 1e-5 * np.eye(len(before))
    slope = [(loss(before + move) - loss(before - move)) / 2e-5 for move in moves]
    (checkpoint,) = trainer.run(params, [np.random.default_rng(0)])
    np.testing.assert_allclose(before - params[0], slope, atol=1e-8)
    assert checkpoint.training_loss[0] == pytest.approx(loss(params[0]))


# ---------------------------------------------------------------- class weights


@pytest.mark.parametrize("seed", range(5))
def test_balanced_is_scikit_learn_s_of_the_training_rows_of_each_split(seed: int) -> None:
    draw = np.random.default_rng(seed)
    data = replace(clouds(), labels=draw.choice(3, 60, p=[0.6, 0.3, 0.1]))
    sets = [draw.permutation(60)[:40] for _ in range(3)]
    weights = training_weights(BASE.replaced({"class_weight": "balanced"}), data, sets)
    assert weights is not None
    for lane, rows in enumerate(sets):
        there = np.unique(data.labels[rows])
        theirs = compute_class_weight("balanced", classes=there, y=data.labels[rows])
        assert weights[lane, rows] == pytest.approx(theirs[np.searchsorted(there, data.labels[rows])])
    assert training_weights(BASE, data, sets) is None


def test_class_weights_change_the_training_and_not_how_it_is_judged() -> None:
    data, splits = clouds(), halves(60)
    found = cross_validate(data, splits, BASE.replaced({"class_weight": {"c1": 5.0}}), 7)
    assert found.rows is not None
    layout = Layout.of(data, splits, "kfold")
    assert found.rows.losses @ layout.shares == pytest.approx(found.curve.means, rel=1e-6)
    plain = cross_validate(data, splits, BASE, 7)
    of_class = layout.labels == 1
    assert plain.rows is not None
    assert found.rows.losses[-1, of_class].mean() < plain.rows.losses[-1, of_class].mean()
    config = BASE.replaced({"scaling": "none"})  # which is learnt from all rows, whatever their class counts
    only = cross_validate(data, splits, config.replaced({"class_weight": {"c0": 0.0}}), 7)
    without = [replace(s, training=s.training[data.labels[s.training] != 0]) for s in splits]
    np.testing.assert_allclose(
        only.curve.validation_loss, cross_validate(data, without, config, 7).curve.validation_loss
    )


def test_classes_that_there_are_not_and_rows_that_all_count_nothing_are_refused() -> None:
    data = clouds()
    with pytest.raises(DataError, match=r"^class_weight must name classes .* 'c9' is none.*c0, c1, c2"):
        cross_validate(data, halves(60), BASE.replaced({"class_weight": {"c9": 1.0}}), 7)
    with pytest.raises(DataError, match="Some training row must have a weight above 0, but of split 0 none has"):
        cross_validate(data, halves(60), BASE.replaced({"class_weight": {"c0": 0, "c1": 0, "c2": 0}}), 7)


# ---------------------------------------------------------------- what the numbers mean


@pytest.mark.parametrize("name", METRICS)
def test_the_correction_takes_a_weight_for_copies_that_go_together(name: str) -> None:
    metric, draw = METRICS[name], np.random.default_rng(2)
    times = draw.integers(0, 3, 90)
    labels, splits = np.arange(90) % 3, np.arange(90) // 3 % 2
    where = Layout(np.arange(90), splits, labels, np.arange(90), times.astype(float))
    copies = np.repeat(np.arange(90), times)
    apart = Layout(copies, splits[copies], labels[copies], copies)
    kept = [metric.row_values(labels, draw.dirichlet(np.ones(3), 90).astype(np.float32)) for _ in range(20)]
    one = corrected([np.stack(kept[:10]), np.stack(kept[10:])], where, metric, 0)
    other = corrected([np.stack(kept[:10])[:, copies], np.stack(kept[10:])[:, copies]], apart, metric, 0)
    assert one.units == other.units == (times > 0).sum()
    for part in ("value", "low", "high"):
        assert getattr(one, part) == pytest.approx(getattr(other, part), rel=1e-6)


def test_a_mean_of_rows_takes_a_weight_for_copies_that_go_together() -> None:
    draw = np.random.default_rng(4)
    losses, times = draw.exponential(1, 50), draw.integers(0, 4, 50)
    rows = np.repeat(np.arange(50), times)
    one = mean_of_rows(losses, None, 3, times.astype(float))
    other = mean_of_rows(losses[rows], np.unique(rows, return_inverse=True)[1], 3)
    for part in ("mean", "standard_error", "low", "high", "splits"):
        assert getattr(one, part) == pytest.approx(getattr(other, part))


# ---------------------------------------------------------------- from a study file


def test_rows_without_weights_have_the_fingerprint_that_they_had() -> None:
    data = Bundled(source="sklearn:iris").load(Path(), 0)
    assert data.fingerprint == "4dc5941029e43ad03388fa2d1a1b2a7471cc4f0b57164eefcd26023b03444194"
    assert replace(data, weights=np.ones(150)).fingerprint != data.fingerprint
    for file in (Path(__file__).parents[2] / "studies").glob("*.toml"):
        keys = set(StudyDefinition.from_file(file).identity())
        assert not keys & {"data.weight", "train.class_weight", "search.objective"}


def weighted_study(small: Path, weights: list[Any], **train: Any) -> StudyDefinition:
    draw = np.random.default_rng(0)
    rows = [f"{draw.normal() + i % 3:.4f},{draw.normal():.4f},{w},{'abc'[i % 3]}" for i, w in enumerate(weights)]
    Path("rows.csv").write_text("x,y,count,kind\n" + "\n".join(rows) + "\n", encoding="utf-8")
    raw = tomllib.loads(small.read_text())
    raw["data"] = {"source": "csv", "path": "rows.csv", "target": "kind", "weight": "count"}
    raw["train"] |= train
    raw["search"] |= {"trials": 5, "objective": "accuracy"}
    raw["validation"]["splitter"] = "stratified"
    return StudyDefinition.from_mapping(raw, small.parent)


def test_a_study_with_weights_that_scaled_its_rows_as_they_are_is_another(small: Path) -> None:
    import hpsearch as package

    unweighted, weighted = StudyDefinition.from_file(small), weighted_study(small, [1, 2, 3] * 30)
    assert "scaling.weighted" not in prepare(unweighted).identity()
    assert prepare(weighted).identity()["scaling.weighted"] is True
    package.run(weighted, trials=1)
    with open_study("small") as stored:
        before = {key: value for key, value in stored.attributes["identity"].items() if key != "scaling.weighted"}
        stored.refresh({"identity": before})
    with pytest.raises(StudyChangedError, match=r"scaling\.weighted was not set and is True"):
        package.run(weighted)


def test_a_study_with_weights_end_to_end(small: Path, hpsearch: Callable[..., Any]) -> None:
    import hpsearch as package

    definition = weighted_study(small, [0.5, 1, 2, 0, 3] * 18, class_weight={"b": 2.0})
    prepared = prepare(definition)
    data = prepared.search
    assert data.feature_names == ("x", "y")
    assert data.weights is not None
    package.run(definition, trials=2)
    package.run(definition)
    with ThreadPoolExecutor(2) as pool:
        package.run(definition, storage="sqlite:///b.db", executor=pool)
    columns = ["number", "state", "value"]
    assert package.load_trials("small")[columns].equals(package.load_trials("small", "sqlite:///b.db")[columns])
    best = package.load_best("small")
    assert best.corrected is not None
    with open_study("small") as stored:
        layout = stored.row_results.layout()
        for trial in stored.trials():
            result = stored_result(trial)
            if result.value is not None:
                rows = stored.row_results.of(result)
                right = rows.of_objective[result.epochs.index(result.best_epoch or 0)]
                assert right @ layout.shares == pytest.approx(result.value)
                parts = [layout.splits == split for split in range(3)]
                by_split = [np.average(right[p], weights=data.weights[layout.rows[p]]) for p in parts]
                assert np.mean(by_split) == pytest.approx(result.value)
    table = package.load_metrics("small")
    assert table["accuracy"].iloc[:3].mean() == pytest.approx(best.result.value)
    hpsearch("best", "small", "-o", "best.toml")
    assert tomllib.loads(Path("best.toml").read_text())["train"]["class_weight"] == {"b": 2.0}
    assert json.loads(hpsearch("cv", "best.toml", "--json").out)["value"] == best.result.value
    about = json.loads(hpsearch("retrain", "best.toml", "-o", "model", "--json").out)
    held_out = prepared.held_out
    assert held_out is not None
    losses = fit_prepared(prepared, best.config).row_losses(held_out)
    assert about["holdout"]["loss"] == pytest.approx(np.average(losses, weights=held_out.weights))
    assert package.confirm("small", top=2, repeats=1).trials
    assert len(package.nested(definition, outer=2).splits) == 2
    assert hpsearch("predict", "model", "rows.csv").status == 0


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_junk_of_weight_zero_changes_no_trial_of_a_study_file(scaling: str, seed: int, tmp_path: Path) -> None:
    draw = np.random.default_rng(seed)
    x, z, fold = draw.normal(size=40), draw.normal(size=40), np.arange(40) % 2
    rows = pd.DataFrame({"x": x, "z": z, "y": x + 0.1 * z, "count": draw.integers(1, 3, 40), "fold": fold})
    rows.loc[draw.permutation(40)[:6], "z"] = np.nan
    junk = pd.DataFrame({"x": [1e6, -3e6], "z": [4e5, np.nan], "y": [1e7, -1e8], "count": 0, "fold": [0, 1]})
    values = []
    for table in (rows, pd.concat([rows, junk])):
        table.to_csv(tmp_path / "rows.csv", index=False)
        raw = {
            "study": {"name": "junk", "seed": seed},
            "data": {"source": "csv", "path": "rows.csv", "target": "y", "task": "regression"},
            "validation": {"splitter": "predefined"},
            "train": {"neurons": 4, "epochs": 8, "init": "he", "dtype": "float64", "learning_rate": 0.05},
        }
        raw["data"] |= {"weight": "count", "fold": "fold"}
        raw["train"] |= {"scaling": scaling, "target_scaling": "power"}
        prepared = prepare(StudyDefinition.from_mapping(raw, tmp_path))
        result = cross_validate(prepared.search, prepared.splits, prepared.definition.train, seed)
        values.append((result.value, result.score))
        values[-1] += (fit_prepared(prepared, prepared.definition.train).score(prepared.search)["r2"],)
    assert values[1] == pytest.approx(values[0], rel=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            [1, 2, -1] * 20,
            "column 'count': must hold weights, finite numbers of at least 0, but row 2 of the data has '-1'",
        ),
        ([1, 2, "inf"] * 20, "row 2 of the data has 'inf'"),
        ([1, 2, "much"] * 20, "row 2 of the data has 'much'"),
        ([0] * 60, "column 'count': must hold a weight above 0, but all are 0"),
    ],
)
def test_weights_that_are_none_are_refused(small: Path, weights: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(weighted_study(small, weights))


def test_a_split_whose_validation_rows_count_nothing_is_refused(small: Path) -> None:
    definition = weighted_study(small, [1.0] * 60)
    data = definition.data.load(small.parent, 0)
    splits = make_splits(data, "kfold", SplitOptions(3), 0)
    from hpsearch.search.objective import require_defined

    weights = np.ones(60)
    weights[splits[1].validation] = 0
    with pytest.raises(DataError, match="those of fold 1 have no row"):
        require_defined(definition, replace(data, weights=weights), splits)


def test_a_function_may_give_weights(small: Path) -> None:
    Path("giver.py").write_text(
        "import numpy as np\ndef load():\n"
        "    x = np.arange(60.0).reshape(30, 2)\n    return x, np.arange(30) % 2, {'weight': np.arange(30) / 7}\n"
    )
    raw = {"study": {"name": "f"}, "data": {"source": "python:giver:load"}}
    data = StudyDefinition.from_mapping(raw, small.parent).data.load(small.parent, 0)
    assert data.weights is not None
    assert data.weights.tolist() == (np.arange(30) / 7).tolist()
