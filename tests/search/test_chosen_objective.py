"""[search] objective: another metric takes the validation loss's place everywhere, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import sklearn.metrics

import hpsearch
from hpsearch.api import open_study
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, DefinitionError, HpsearchError, StudyChangedError
from hpsearch.results.best_study import export
from hpsearch.search.objective import TrialTask, evaluate, prepare
from hpsearch.storage.database import close
from hpsearch.storage.quiet import quiet
from hpsearch.storage.stored_results import stored_result
from hpsearch.validation.metric import AdditiveMetric
from hpsearch.validation.metrics import METRICS, metrics_of

OF_CLASSES = metrics_of("cross_entropy")

TOP = Path(__file__).parents[2]


def at(folder: Path, name: str) -> str:
    return f"sqlite:///{folder / name}.db"


def with_objective(path: Path, name: str, *overrides: str) -> StudyDefinition:
    return StudyDefinition.from_file(path, [f"search.objective={name}", *overrides])


def everything(storage: str) -> list[pd.DataFrame]:
    trials = hpsearch.load_trials("small", storage).drop(columns=["seconds", "same_as"])
    return [trials, hpsearch.load_folds("small", storage), hpsearch.load_curves("small", storage)]


def stored_files(folder: Path, name: str) -> dict[str, bytes]:
    place = folder / f"{name}.db.rows/study-small"
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*.npz")}


@pytest.mark.parametrize(
    "name", ["roc_auc", *(pytest.param(of, marks=pytest.mark.campaign) for of in OF_CLASSES if of != "roc_auc")]
)
def test_a_study_of_any_objective_is_the_same_however_it_was_cut_up(small: Path, name: str) -> None:
    definition = with_objective(small, name, "search.trials=9")
    hpsearch.run(definition, storage=at(small.parent, "one"))
    for trials in (3, 6):
        hpsearch.run(definition, storage=at(small.parent, "two"), trials=trials)
    with ThreadPoolExecutor(2) as pool:
        hpsearch.run(definition, storage=at(small.parent, "two"), executor=pool)
    for left, right in zip(everything(at(small.parent, "one")), everything(at(small.parent, "two")), strict=True):
        pd.testing.assert_frame_equal(left, right, check_exact=True)
    assert stored_files(small.parent, "two") == stored_files(small.parent, "one")


@pytest.mark.parametrize("name", OF_CLASSES)
def test_the_objective_is_the_mean_of_scikit_learn_s_metric_over_the_splits(small: Path, name: str) -> None:
    """Value, intermediate values, best checkpoint, best trial and correction are all of the metric named."""
    metric = METRICS[name]
    definition = with_objective(small, name, "search.trials=6", 'search.pruner="none"')
    found = hpsearch.run(definition)
    labels = prepare(definition).search.labels
    better = max if metric.direction == "maximize" else min
    with open_study("small") as stored, quiet():
        assert stored.storage.get_study_directions(stored.study_id)[0].name.lower() == metric.direction
        layout = stored.row_results.layout()
        results = [stored_result(trial) for trial in stored.trials()]
        complete = [result for result in results if result.value is not None]
        for result in complete:
            probabilities = stored.row_results.of(result).predictions
            parts = [np.flatnonzero(layout.splits == split) for split in range(3)]
            scores = [metric.score(labels[layout.rows[part]], probabilities[part], 3) for part in parts]
            folds = [fold["validation_loss" if name == "loss" else "objective"] for fold in result.folds]
            assert folds == pytest.approx(scores, rel=1e-5)
            assert result.value == pytest.approx(np.mean(scores), rel=1e-5)
            assert result.value == better(result.intermediate)
            assert result.best_epoch == result.epochs[result.intermediate.index(result.value)]
    best = better(float(result.value or 0) for result in complete)
    assert found.best.result.value == best
    assert found.best.corrected is not None
    assert found.best.corrected.low <= found.best.corrected.value <= found.best.corrected.high
    assert metric.sign * found.best.corrected.value >= metric.sign * best - 1e-6
    assert hpsearch.load_studies()["best_value"].tolist() == [best]


@pytest.fixture
def mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two objectives that differ in their sign and direction alone."""
    loss = METRICS["loss"]
    assert isinstance(loss, AdditiveMetric)
    monkeypatch.setitem(METRICS, "plain", replace(loss))
    of_rows = loss.of_rows
    monkeypatch.setitem(
        METRICS, "negated", replace(loss, direction="maximize", of_rows=lambda labels, p: -of_rows(labels, p))
    )


@pytest.mark.usefixtures("mirrored")
@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        ("tpe", "median"),
        ("cmaes", "hyperband"),
        pytest.param("tpe", "successive_halving", marks=pytest.mark.campaign),
        pytest.param("tpe", "hyperband", marks=pytest.mark.campaign),
        pytest.param("cmaes", "median", marks=pytest.mark.campaign),
        pytest.param("cmaes", "successive_halving", marks=pytest.mark.campaign),
    ],
)
def test_maximising_the_negative_is_minimising(small: Path, sampler: str, pruner: str) -> None:
    """Proposals, prunings, the end of the search, the best trial, the smallest within an error, the corrected value."""
    tables, bests = [], []
    search = [f'search.pruner="{pruner}"', f'search.sampler="{sampler}"', "search.stop=9", "search.trials=18"]
    for name in ("plain", "negated"):
        hpsearch.run(with_objective(small, name, *search), storage=at(small.parent, name))
        tables.append(everything(at(small.parent, name)))
        bests.append([hpsearch.load_best("small", at(small.parent, name), rule) for rule in ("lowest", "one-se")])
    (trials, folds, curves), (other_trials, other_folds, other_curves) = tables
    pd.testing.assert_series_equal(trials["value"], -other_trials["value"])
    assert {"COMPLETE", "PRUNED"} <= set(trials["state"])
    left_out = ["value", "reason"]
    pd.testing.assert_frame_equal(trials.drop(columns=left_out), other_trials.drop(columns=left_out))
    pd.testing.assert_frame_equal(folds.drop(columns="objective"), other_folds.drop(columns="objective"))
    pd.testing.assert_frame_equal(curves, other_curves)
    for plain, negated in zip(*bests, strict=True):
        assert plain.result.number == negated.result.number
        assert plain.corrected is not None
        assert negated.corrected is not None
        assert plain.corrected.value == pytest.approx(-negated.corrected.value)
    values = trials["value"].dropna()
    assert bests[0][0].result.value == values.min() == -(bests[1][0].result.value or 0)


# ---------------------------------------------------------------- what it is refused for


def rows_with_a_rare_class(folder: Path, rare: int) -> None:
    draw = np.random.default_rng(0)
    kinds = ["a"] * 30 + ["b"] * 30 + ["rare"] * rare
    lines = [f"{draw.normal():.4f},{draw.normal():.4f},{kind}" for kind in kinds]
    (folder / "rows.csv").write_text("x,y,kind\n" + "\n".join(lines) + "\n", encoding="utf-8")


def csv_study(small: Path, name: str, **sections: Any) -> StudyDefinition:
    raw = dict(StudyDefinition.from_file(small).raw)
    raw["data"] = {"source": "csv", "path": "rows.csv", "target": "kind"}
    raw["search"] = {**raw["search"], "objective": name, "trials": 3}
    return StudyDefinition.from_mapping({**raw, **sections}, small.parent)


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].needs_every_class])
def test_an_objective_that_is_undefined_on_a_split_is_refused_before_anything_runs(small: Path, name: str) -> None:
    rows_with_a_rare_class(small.parent, 2)
    message = (
        rf'objective = "{name}" must be defined on the validation rows of each split, but those of fold \d have no row '
        r"of class 'rare'\. Use a stratified splitter, fewer folds, or another objective"
    )
    definition = csv_study(small, name, holdout={})
    for attempt in (hpsearch.run, hpsearch.cross_validate):
        with pytest.raises(DataError, match=message):
            attempt(definition)
    assert not Path("hpsearch.db").exists()
    hpsearch.run(csv_study(small, "loss", holdout={}))


def test_a_hold_out_that_leaves_it_undefined_says_so(small: Path, hpsearch: Callable[..., Any]) -> None:
    import hpsearch as package

    rows_with_a_rare_class(small.parent, 6)
    for seed in range(30):  # until no rare row is held out
        definition = csv_study(
            small,
            "roc_auc",
            study={"name": "small", "seed": seed},
            holdout={"fraction": 0.05},
            validation={"n_splits": 2},
        )
        try:
            prepared = prepare(definition)
        except DataError:
            continue
        if prepared.held_out is not None and 2 not in prepared.held_out.labels:
            break
    best = package.run(definition).best
    assert best.corrected is None
    assert best.correction.missing == "that takes at least 10 independent rows or groups of each class"
    export(best, Path("best.toml"))
    assert "undefined" in hpsearch("retrain", "best.toml", "-o", "model").out
    about = json.loads(hpsearch("retrain", "best.toml", "-o", "model", "--force", "--json").out)
    assert about["holdout"]["roc_auc"] is None
    assert 0 <= about["training"]["roc_auc"] <= 1


def test_an_unknown_objective_is_refused_with_the_nearest(small: Path) -> None:
    with pytest.raises(DefinitionError, match=r"\[search\] Unknown objective 'acuracy'.*Did you mean 'accuracy'"):
        with_objective(small, "acuracy")


def test_a_diverging_trial_fails_whatever_the_objective(small: Path) -> None:
    definition = with_objective(small, "roc_auc")
    chosen = {"hidden_layers": 1, "optimizer": "sgd", "learning_rate": 1e30, "momentum": 0.0, "layer1.neurons": 4}
    result = evaluate(prepare(definition), TrialTask(0, chosen))
    assert result.state == "FAIL"
    assert "validation loss of fold 0 became" in str(result.reason)
    assert len(result.intermediate) == len(result.epochs)


# ---------------------------------------------------------------- identity


def test_the_default_is_the_same_study_as_before_there_was_a_choice(small: Path) -> None:
    """A key of an identity that stored studies do not have would keep them from going on."""
    hpsearch.run(small, trials=3)
    with open_study("small") as stored:
        assert "search.objective" not in stored.attributes["identity"]
        folder = stored.row_results.folder
        for path in folder.glob("trial-*.npz"):
            with np.load(path) as arrays:
                assert set(arrays) == {"losses", "predictions"}
    assert "objective" not in hpsearch.load_folds("small").columns
    hpsearch.run(with_objective(small, "loss"), trials=4)
    with pytest.raises(StudyChangedError, match=r"search\.objective was 'loss' and is 'accuracy'"):
        hpsearch.run(with_objective(small, "accuracy"))
    for file in (TOP / "studies").glob("*.toml"):
        assert "search.objective" not in StudyDefinition.from_file(file).identity()


# ---------------------------------------------------------------- what is shown


@pytest.mark.parametrize(
    "name", ["accuracy", *(pytest.param(of, marks=pytest.mark.campaign) for of in ("roc_auc", "brier"))]
)
def test_every_command_names_the_objective_and_puts_the_best_first(
    small: Path, hpsearch: Callable[..., Any], name: str
) -> None:
    title = METRICS[name].title
    option = ("--set", f"search.objective={name}")
    done = hpsearch("run", small, *option, "--trials", "8")
    assert done.status == 0, done.err
    assert f"Mean {title} 0." in done.out
    best = json.loads(hpsearch("best", "small", "--json").out)
    assert best["objective"] == name
    assert f"best {best['value']:.4f} (trial {best['trial']})" in done.err.splitlines()[-1]
    listed = done.out.splitlines()[3]  # below a line of counts, an empty one and the heads
    assert int(listed.split()[0]) == best["trial"]
    hpsearch("best", "small", "-o", "best.toml")
    text = Path("best.toml").read_text()
    assert f'objective = "{name}"' in text.partition("[origin]")[2]
    assert f"# mean {title}, chosen among 8 trials" in text
    again = json.loads(hpsearch("cv", "best.toml", "--json").out)
    assert (again["objective"], again["value"]) == (name, best["value"])
    assert f"Mean {title} {best['value']:.4f}" in hpsearch("cv", "best.toml").out
    shown = hpsearch("retrain", "best.toml", "-o", "model").out
    assert f"95 % interval of the {title}" in shown
    head, *lines = shown.splitlines()[2:6]
    search = next(line for line in lines if line.startswith("search score"))
    digits = 3 if name == "accuracy" else 4
    column = head.index(title) + len(title)
    assert search[:column].endswith(f"{best['value']:.{digits}f}")
    confirmed = json.loads(hpsearch("confirm", "small", "--top", "3", "--repeats", "1", "--json").out)
    means = [one["objective"]["mean"] for one in confirmed["trials"]]
    assert means == sorted(means, reverse=METRICS[name].direction == "maximize")
    assert all(pair["difference"] >= -1e-12 for pair in confirmed["comparisons"])
    assert hpsearch("confirm", "small", "--top", "2", "--repeats", "1").status == 0
    nested = ("nested", small, "--outer", "2", *option, "--set", "search.trials=2")
    outer = json.loads(hpsearch(*nested, "--json").out)
    assert outer["objective"] == name
    assert outer["value"] == pytest.approx(np.mean([split["objective"] for split in outer["splits"]]))
    if name != "accuracy":
        line = next(line for line in hpsearch(*nested).out.splitlines() if line.startswith(f"{name} "))
        assert line.split(maxsplit=2)[1:] == [f"{outer['value']:.4f}", "mean over the outer splits"]


def test_the_metrics_table_is_scikit_learn_s_of_the_predictions(small: Path) -> None:
    run = hpsearch.run(with_objective(small, "accuracy", "validation.repeats=2", "search.trials=6"))
    table = run.metrics
    assert table.columns.tolist() == ["rows_of", "repeat", "fold", "rows", *OF_CLASSES]
    assert table["rows_of"].tolist() == ["fold"] * 6 + ["all"]
    assert table["rows"].tolist() == [15] * 6 + [90]
    assert table["accuracy"].iloc[:6].mean() == pytest.approx(run.best.result.value)
    with open_study("small") as stored:
        layout, probabilities = stored.row_results.layout(), stored.row_results.of(run.best.result).predictions
    labels, predicted = layout.labels, probabilities.argmax(axis=1)
    pooled = table.iloc[-1]
    assert pooled["macro_f1"] == sklearn.metrics.f1_score(labels, predicted, average="macro")
    assert pooled["balanced_accuracy"] == sklearn.metrics.balanced_accuracy_score(labels, predicted)
    assert pooled["roc_auc"] == pytest.approx(
        sklearn.metrics.roc_auc_score(labels, probabilities.astype(float), multi_class="ovr")
    )
    other = next(
        number for number in run.trials.query("state == 'COMPLETE'")["number"] if number != run.best.result.number
    )
    assert hpsearch.load_metrics("small", trial=int(other))["accuracy"].iloc[:6].mean() == pytest.approx(
        run.trials.set_index("number").loc[other, "value"]
    )
    with pytest.raises(HpsearchError, match="but there is no trial 99"):
        hpsearch.load_metrics("small", trial=99)


def test_a_metric_without_a_value_is_missing_from_the_table(small: Path) -> None:
    rows_with_a_rare_class(small.parent, 2)
    table = hpsearch.run(csv_study(small, "loss", holdout={})).metrics
    assert table["roc_auc"].isna().any()
    assert table["loss"].notna().all()
    assert np.isfinite(table["roc_auc"].iloc[-1])


def test_optuna_s_own_reading_of_the_storage_agrees_on_the_best(small: Path) -> None:
    best = hpsearch.run(with_objective(small, "accuracy", "search.trials=8")).best
    with quiet():
        storage = optuna.storages.RDBStorage("sqlite:///hpsearch.db")
        study = optuna.load_study(study_name="small", storage=storage)
        assert study.best_value == best.result.value
        close(storage)
