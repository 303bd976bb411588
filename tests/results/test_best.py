"""The best configuration, exported as a study file that stands on its own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

import hpsearch
from hpsearch.errors import HpsearchError
from hpsearch.results.best import export, find_best
from hpsearch.study.storage import StoredStudy
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
    assert set(raw["train"]) == used
    for name in used:
        line = next(line for line in text.splitlines() if line.startswith(f"{name} ="))
        assert "#" in line
    assert f"learning_rate = {best.config.learning_rate} # searched: trial {best.result.number}" in text
    assert raw["origin"] == {
        "study": "small",
        "trial": best.result.number,
        "trials": 6,
        "objective_value": best.result.value,
        "accuracy": best.result.accuracy,
        "configuration": best.config.fingerprint,
        "data_fingerprint": best.data_fingerprint,
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
    with pytest.raises(HpsearchError, match="must have a complete trial"):
        find_best(StoredStudy.open(URL, "small"))
