"""The best configuration, exported as a study file that stands on its own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

import hpsearch
from hpsearch.errors import HpsearchError
from hpsearch.results.best import find_best
from hpsearch.results.best_study import export
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.validation.config import Config, used_by

URL = "sqlite:///hpsearch.db"


def test_the_best_is_the_complete_trial_with_the_lowest_value(small: Path) -> None:
    result = hpsearch.run(small)
    trials, best = result.trials, result.best
    lowest = trials.loc[trials["value"].idxmin()]
    assert best.result.number == lowest["number"]
    assert best.result.value == lowest["value"]
    assert best.config.epochs == lowest["best_epoch"]
    assert best.config.learning_rate == lowest["learning_rate"]
    assert best.config.by_layer("neurons")[0] == lowest["layer1.neurons"]


@pytest.mark.parametrize("shipped", ["small", "flowers", "wine"])
def test_the_exported_file_gives_the_trial_s_own_numbers_again(small: Path, shipped: str) -> None:
    """Common random numbers: cross-validating the export repeats the best trial bit for bit."""
    file = small if shipped == "small" else Path(__file__).parents[2] / "studies" / f"{shipped}.toml"
    best = hpsearch.run(file, trials=4).best
    export(best, Path("best.toml"))
    again = hpsearch.cross_validate("best.toml")
    assert again.value == best.result.value
    assert again.accuracy == best.result.accuracy
    assert again.best_epoch == best.result.best_epoch
    assert [fold.validation_loss for fold in again.folds] == [f["validation_loss"] for f in best.result.folds]


def test_the_export_is_complete_and_says_where_each_value_came_from(small: Path) -> None:
    best = hpsearch.run(small, trials=6).best
    export(best, Path("best.toml"))
    text = Path("best.toml").read_text()
    raw = tomllib.loads(text)
    assert raw["data"] == {"source": "nnfs:spiral", "samples": 20, "classes": 3}
    assert raw["holdout"] == {"fraction": 0.25}
    assert raw["validation"]["n_splits"] == 3
    assert "space" not in raw
    used = {name for name in Config.model_fields if used_by(name, [best.config.optimizer], [best.config.activation])}
    used -= {"class_weight", "loss"}  # neither is set, and TOML has no word for that
    used -= {"target_scaling"}  # of classes
    assert set(raw["train"]) == used
    for name in used:
        line = next(line for line in text.splitlines() if line.startswith(f"{name} ="))
        assert "#" in line
    assert f"learning_rate = {best.config.learning_rate} # searched: trial {best.result.number}" in text
    assert best.corrected is not None
    assert raw["origin"] == {
        "study": "small",
        "trial": best.result.number,
        "trials": 6,
        "objective": "loss",
        "objective_value": best.result.value,
        "accuracy": best.result.accuracy,
        "configuration": best.config.fingerprint,
        "data_fingerprint": best.data_fingerprint,
        "rule": "lowest",
        "corrected_value": best.corrected.value,
        "corrected_low": best.corrected.low,
        "corrected_high": best.corrected.high,
        "corrected_is_about": "these networks, one a split",
    }


def test_an_exported_file_runs_as_a_study_of_its_own(small: Path) -> None:
    best = hpsearch.run(small, trials=4).best
    export(best, Path("best.toml"))
    trials = hpsearch.run("best.toml").trials
    assert trials["value"].tolist() == [best.result.value]


def test_a_path_in_the_export_is_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = Path(__file__).parents[2] / "studies" / "flowers.toml"
    best = hpsearch.run(study, trials=2).best
    (tmp_path / "deep").mkdir()
    export(best, tmp_path / "deep" / "best.toml")
    assert np.isfinite(hpsearch.cross_validate(tmp_path / "deep" / "best.toml").value or np.nan)


def test_without_a_complete_trial_there_is_no_best(small: Path) -> None:
    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hpsearch.run(small, watch=stop)
    with StoredStudy.open(URL, "small") as stored, pytest.raises(HpsearchError, match="must have a complete trial"):
        find_best(stored)


# ---------------------------------------------------------------- what the numbers mean


def test_the_corrected_score_is_above_the_lowest_and_inside_its_interval(small: Path) -> None:
    best = hpsearch.run(small, trials=40).best
    assert best.corrected is not None
    assert best.result.value is not None
    complete = (hpsearch.load_trials("small")["state"] == "COMPLETE").sum()
    assert (best.corrected.trials, best.corrected.units) == (complete, 45)
    assert best.result.value < best.corrected.value * (1 + 1e-6)  # losses of rows are kept in float32
    assert best.corrected.low < best.corrected.value < best.corrected.high
    assert hpsearch.load_best("small").corrected == best.corrected


def test_time_series_have_no_corrected_score_and_say_why(small: Path) -> None:
    rows = "".join(f"{i % 7},{i % 5},{i},{'ab'[i % 2]}\n" for i in range(60))
    Path("rows.csv").write_text("x,y,day,kind\n" + rows)
    data = {"source": "csv", "path": "rows.csv", "target": "kind", "time": "day"}
    validation = {"splitter": "timeseries", "allow": ["duplicates"]}
    raw = {**tomllib.loads(small.read_text()), "data": data, "validation": validation}
    best = hpsearch.run(hpsearch.StudyDefinition.from_mapping(raw, small.parent), trials=3).best
    assert best.corrected is None
    assert best.uncorrected == "rows that follow each other in time cannot be drawn independently"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["search.trials=1", "validation.checkpoint=last"], "nothing was chosen: there is one candidate"),
        (
            ["data.samples=4", "holdout.fraction=0.3", "validation.splitter=stratified", "validation.n_splits=2"],
            "that takes at least 10",
        ),
    ],
)
def test_where_nothing_can_be_corrected_the_reason_is_given(small: Path, overrides: list[str], reason: str) -> None:
    best = hpsearch.run(hpsearch.StudyDefinition.from_file(small, ["search.trials=2", *overrides])).best
    assert best.corrected is None
    assert str(best.uncorrected).startswith(reason)


def test_one_standard_error_buys_the_smallest_network(small: Path) -> None:
    """Against the tables: the standard error of the best trial's folds, and the trials within it."""
    result = hpsearch.run(small, trials=40)
    trials, folds, lowest = result.trials, result.folds, result.best.result
    error = folds.loc[folds["trial"] == lowest.number, "validation_loss"].sem()
    within = trials[trials["value"] <= trials["value"].min() + error]
    assert len(within) > 1
    found = hpsearch.load_best("small", rule="one-se")
    assert found.result.parameters == within["parameters"].min()
    smallest = within[within["parameters"] == within["parameters"].min()]
    assert found.result.number == smallest.sort_values(["value", "number"])["number"].iloc[0]
    assert found.rule == "one-se"


def test_a_rule_that_is_unknown_or_cannot_be_is_refused(small: Path) -> None:
    definition = hpsearch.StudyDefinition.from_file(
        small, ["validation.splitter=shuffle", "validation.n_splits=1", "search.trials=2"]
    )
    hpsearch.run(definition)
    with pytest.raises(HpsearchError, match=r"'one-se2'.*Did you mean 'one-se'"):
        hpsearch.load_best("small", rule="one-se2")
    with pytest.raises(HpsearchError, match="needs a standard error over splits, but 'small' has a single split"):
        hpsearch.load_best("small", rule="one-se")
