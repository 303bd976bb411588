"""The hold-out is scored once; a second time is recorded, wherever it is done, and said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

import hpsearch
from hpsearch.api import open_study
from hpsearch.data.units import independent_units
from hpsearch.model.bundle import Bundle
from hpsearch.model.retrain import retrain
from hpsearch.results.best_study import export
from hpsearch.search.objective import prepare
from hpsearch.storage.stored_study import SCORINGS
from hpsearch.validation.metrics import METRICS


@pytest.fixture
def exported(small: Path) -> Path:
    export(hpsearch.run(small, trials=6).best, small.parent / "best.toml")
    return small.parent / "best.toml"


def test_the_first_scoring_is_recorded_in_the_study_and_in_the_model(exported: Path, tmp_path: Path) -> None:
    assert hpsearch.load_best("small").scorings == 0
    model = hpsearch.retrain(exported)
    assert (model.about["scorings"], model.about["not_recorded"]) == (1, None)
    assert hpsearch.load_best("small").scorings == 1
    with open_study("small") as stored:
        assert stored.attributes[SCORINGS] == [{"configuration": hpsearch.load_best("small").config.fingerprint}]


def test_a_model_can_be_fitted_without_a_look_at_the_hold_out(exported: Path) -> None:
    definition = hpsearch.StudyDefinition.from_file(exported)
    model = retrain(definition, "sqlite:///hpsearch.db", score_holdout=False)
    assert (model.about["holdout"], hpsearch.load_best("small").scorings) == (None, 0)
    rows, scored = np.zeros((3, 2)), hpsearch.retrain(exported)
    np.testing.assert_array_equal(model.probabilities(rows), scored.probabilities(rows))
    assert model.about["holdout_fingerprint"] == scored.about["holdout_fingerprint"]


def test_a_second_scoring_is_counted_by_the_study(exported: Path) -> None:
    assert [hpsearch.retrain(exported).about["scorings"] for _ in range(3)] == [1, 2, 3]
    other = hpsearch.StudyDefinition.from_file(exported, ["train.learning_rate=0.5"])
    assert hpsearch.retrain(other).about["scorings"] == 4, "another configuration looks at the same rows"


def test_a_second_scoring_is_counted_by_the_model_where_the_storage_is_out_of_reach(exported: Path) -> None:
    Path("hpsearch.db").rename("elsewhere.db")
    first = hpsearch.retrain(exported, folder="model")
    assert first.about["scorings"] == 1
    assert "hpsearch.db" in first.about["not_recorded"]
    first.save("model")
    second = hpsearch.retrain(exported, folder="model")
    assert second.about["scorings"] == 2
    raw = dict(hpsearch.StudyDefinition.from_file(exported).raw)
    del raw["origin"]
    other_rows = hpsearch.StudyDefinition.from_mapping({**raw, "holdout": {"fraction": 0.4}}, exported.parent)
    assert hpsearch.retrain(other_rows, folder="model").about["scorings"] == 1


def test_a_storage_that_cannot_be_written_keeps_no_one_from_retraining(exported: Path) -> None:
    Path("hpsearch.db").write_bytes(b"no database")
    assert hpsearch.retrain(exported).about["not_recorded"]


def test_the_hold_out_s_loss_has_an_interval_over_its_rows(exported: Path) -> None:
    """Around its mean, and for many rows Student's."""
    model = hpsearch.retrain(exported)
    prepared = prepare(hpsearch.StudyDefinition.from_file(exported))
    held = prepared.held_out
    assert held is not None
    losses, accuracy = model.row_losses(held), model.measure(held, METRICS["accuracy"])
    score = model.about["holdout"]
    assert score["loss"] == pytest.approx(losses.mean())
    assert score["accuracy"] == accuracy
    assert 0 < score["low"] < score["loss"] < score["high"]
    assert len(np.unique(independent_units(held))) == held.rows
    half = t.ppf(0.975, held.rows - 1) * losses.std(ddof=1) / np.sqrt(held.rows)
    assert (score["high"] - score["low"]) / 2 == pytest.approx(half, rel=0.05)


@pytest.mark.parametrize("command", ["once", "twice"])
def test_the_command_line_says_what_to_believe(exported: Path, hpsearch: Callable[..., Any], command: str) -> None:
    shown = hpsearch("best", "small").out
    assert "hold-out         not opened" in shown
    assert "Believe the corrected score" in shown
    done = hpsearch("retrain", "best.toml", "-o", "model")
    assert done.out.splitlines()[-2:] == ["Believe the hold-out: no choice was made with it.", "Saved in model."]
    for number in ("search score (6 trials)", "corrected score", "hold-out"):
        assert any(line.startswith(number) for line in done.out.splitlines())
    if command == "twice":
        again = hpsearch("retrain", "best.toml", "-o", "model", "--force")
        assert "The hold-out was scored 2 times: it is no longer untouched." in again.out
        assert Bundle.load("model").about["scorings"] == 2
        assert "scored 2 times\n" in hpsearch("best", "small").out


def test_a_model_shows_how_its_networks_learnt(tmp_path: Path) -> None:
    definition = hpsearch.StudyDefinition.from_mapping(
        {
            "study": {"name": "shown", "seed": 1},
            "data": {"source": "sklearn:wine"},
            "train": {"epochs": 12, "evaluate_every": 3, "neurons": 4},
            "retrain": {"members": 2},
        }
    )
    bundle = hpsearch.retrain(definition)
    curve = bundle.about["learning_curve"]
    assert curve["epochs"] == [3, 6, 9, 12]
    assert len(curve["training_loss"]) == 4
    assert curve["training_loss"][-1] < curve["training_loss"][0]
    bundle.save(tmp_path / "model")
    for one in (bundle, hpsearch.Bundle.load(tmp_path / "model")):
        assert "Learning curve of the networks: mean loss of their training" in one._repr_html_()
        assert "<polyline" in one._repr_html_()
