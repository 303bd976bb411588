"""A study's baselines: computed once when it ends, beside what is shipped, and never in the way of a search."""

from __future__ import annotations

import html
import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FINALS, SMALL, Outcome

import hpsearch
from hpsearch import load_best
from hpsearch.data.units import independent_units
from hpsearch.errors import StorageError
from hpsearch.reporting.notes import escaped, study_note
from hpsearch.results.best import BASELINES_TITLE
from hpsearch.search.baselines import compare, shipped_predictions
from hpsearch.search.objective import prepare
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.validation.baselines import BASELINES, predict_out_of_fold
from hpsearch.validation.estimates import mean_of_rows
from hpsearch.validation.metrics import METRICS

URL = "sqlite:///hpsearch.db"


@pytest.fixture
def with_finals(small: Path) -> Path:
    small.write_text(SMALL.replace("finalists = 0", FINALS))
    return small


def attributes(name: str = "small") -> dict[str, Any]:
    with StoredStudy.open(URL, name) as stored:
        return stored.attributes


def test_what_is_shipped_is_compared_with_every_baseline(with_finals: Path) -> None:
    best = hpsearch.run(with_finals, trials=6).best
    comparison = best.comparison
    assert comparison is not None
    assert comparison.of_ensemble
    assert best.corrected is not None
    assert comparison.value == best.corrected.of_splits  # baselines train on the rows of a split too
    assert (comparison.trial, comparison.rows, comparison.units) == (best.result.number, 45, best.corrected.units)
    assert [one.name for one in comparison.baselines] == list(BASELINES)
    shares, linear, trees = comparison.baselines
    assert trees.missing is not None
    assert trees.value is None
    for one in (shares, linear):
        assert one.value is not None
        assert one.difference == pytest.approx(comparison.value - one.value)
    assert [row[0] for row in best.baselines()] == ["ensemble", *(one.title for one in comparison.baselines)]
    assert "45 rows" in (best.against() or "")
    assert best.summary()["baselines"]["compared"][0]["name"] == "constant"


@pytest.mark.parametrize("objective", [pytest.param("loss", marks=pytest.mark.campaign), "accuracy", "roc_auc"])
def test_a_single_network_is_compared_on_the_same_splits(small: Path, objective: str) -> None:
    """Of a mean over rows, by the house's own standard error of the rows' differences."""
    raw = tomllib.loads(SMALL)
    raw["search"]["objective"] = objective
    raw["validation"] |= {"splitter": "stratified", "repeats": 2}
    definition = hpsearch.StudyDefinition.from_mapping(raw)
    hpsearch.run(definition, trials=3)
    prepared = prepare(definition)
    with StoredStudy.open(URL, "small") as stored:
        best = hpsearch.load_best("small").result
        shipped = shipped_predictions(stored, best, None)
        with pytest.raises(StorageError, match=r"must be complete to have per-row results"):
            shipped_predictions(stored, replace(best, best_epoch=None), None)
        found = compare(prepared, shipped, stored.trials()[best.number].params, 3)
    assert found.value == pytest.approx(best.value, rel=1e-6)
    assert not found.of_ensemble
    splits, data = [split for split in prepared.splits if split.repeat == 0], prepared.search
    metric = METRICS[objective]
    for one in found.baselines:
        predictions = predict_out_of_fold(BASELINES[one.name], data, splits, hpsearch.load_best("small").config)
        parts = np.split(predictions, np.cumsum([len(split.validation) for split in splits])[:-1])
        scores = [
            metric.score(data.labels[split.validation], part, 3) for split, part in zip(splits, parts, strict=True)
        ]
        assert one.value == pytest.approx(np.mean(scores), rel=1e-5)
        assert one.half is not None
        if objective == "loss":
            rows = np.concatenate([split.validation for split in splits])
            theirs = np.empty(data.rows)
            theirs[rows] = metric.row_values(data.labels[rows], predictions)
            own = shipped.scores(shipped.epoch)
            ours = np.bincount(own.layout.rows, own.values) / 2
            sure = mean_of_rows(10 + ours - theirs, independent_units(data), networks=3)
            assert sure.standard_error is not None
            assert one.half == pytest.approx(
                2.0154 * sure.standard_error, rel=0.06
            )  # Student's, 44 degrees; the split's own mean


def test_it_is_computed_once_and_again_when_trials_are_added(with_finals: Path) -> None:
    hpsearch.run(with_finals, trials=4)
    first = attributes()["baselines"]
    assert first["told"] == 4
    hpsearch.run(with_finals, trials=4)
    assert attributes()["baselines"] == first
    hpsearch.run(with_finals, trials=6)
    raised = attributes()["baselines"]
    Path("hpsearch.db").unlink()
    hpsearch.run(with_finals, trials=6)
    assert attributes()["baselines"] == raised


def test_a_study_without_them_says_nothing_of_them_until_it_is_run_again(with_finals: Path) -> None:
    hpsearch.run(with_finals, trials=4)
    known = attributes()["baselines"]
    with StoredStudy.open(URL, "small") as stored:
        stored.refresh({"baselines": None})
    best = hpsearch.load_best("small")
    assert best.comparison is None
    assert best.baselines() == []
    assert best.against() is None
    assert best.summary()["baselines"] is None
    hpsearch.run(with_finals, trials=4)
    assert attributes()["baselines"] == known


def test_another_rule_ships_another_trial_of_which_nothing_is_known(with_finals: Path) -> None:
    hpsearch.run(with_finals, trials=6)
    assert hpsearch.load_best("small", rule="lowest").comparison is None


def test_the_identity_and_the_tables_are_those_without_them(small: Path) -> None:
    study = hpsearch.run(small, trials=4)
    identity = attributes()["identity"]
    assert not [key for key in identity if "baseline" in key]
    with StoredStudy.open(URL, "small") as stored:
        stored.refresh({"baselines": None})
    table = study.trials.drop(columns="seconds")
    again = hpsearch.load_trials("small").drop(columns="seconds")
    assert table.equals(again)


def test_time_that_is_up_leaves_them_out_and_loses_nothing(small: Path) -> None:
    hpsearch.run(small, trials=3)
    with StoredStudy.open(URL, "small") as stored:
        stored.refresh({"baselines": None})
    study = hpsearch.run(small, trials=3, timeout=0.0)
    assert attributes()["baselines"] is None
    assert study.best.corrected is not None
    assert len(study.trials) == 3


def test_rows_in_time_are_compared_without_a_verdict(small: Path) -> None:
    lines = ["day,x,y"]
    draw = np.random.default_rng(0)
    for day in range(60):
        x = draw.normal()
        lines.append(f"{day},{x:.3f},{3 * x + draw.normal():.3f}")
    Path("days.csv").write_text("\n".join(lines) + "\n")
    raw = tomllib.loads(SMALL)
    raw["data"] = {"source": "csv", "path": "days.csv", "target": "y", "task": "regression", "time": "day"}
    raw["validation"] = {"splitter": "timeseries", "n_splits": 3}
    raw.pop("holdout")
    best = hpsearch.run(hpsearch.StudyDefinition.from_mapping(raw), trials=3).best
    comparison = best.comparison
    assert comparison is not None
    assert comparison.units is None
    assert [one.title for one in comparison.baselines[:2]] == ["mean", "ridge regression"]
    assert all(one.half is None for one in comparison.baselines)
    assert best.against() == "How sure these differences are cannot be told."


def test_they_are_shown_wherever_a_study_is(
    with_finals: Path, hpsearch: Callable[..., Outcome], tmp_path: Path
) -> None:
    """And a network that learnt nothing is told, with what to do."""
    raw = with_finals.read_text().replace("epochs = 40", "epochs = 1").replace("[1e-3, 1.0]", "[1e-5, 1e-4]")
    raw = raw.replace("n_splits = 3", 'n_splits = 3\nsplitter = "stratified"')
    with_finals.write_text(raw.replace("evaluate_every = 8", 'init = "nnfs"').replace('"sgd"]', '"adagrad"]'))
    with_finals.write_text(with_finals.read_text().replace("momentum = { float = [0.0, 0.9] }", ""))
    ran, shown = hpsearch("run", with_finals, "--trials", "6"), hpsearch("best", "small")
    assert (ran.status, shown.status) == (0, 0)
    best = load_best("small")
    against, (finding,) = best.against(), best.diagnoses
    assert against is not None
    assert finding.name == "baseline"
    for out in (ran.out, shown.out):
        lines = [" ".join(line.split()) for line in out.splitlines()]
        assert BASELINES_TITLE + ":" in lines
        assert all(" ".join(row) in lines for row in best.baselines())
        assert against in lines
        assert f"- {finding}" in lines
    assert json.loads(hpsearch("best", "small", "--json").out)["findings"] == [asdict(finding)]
    assert hpsearch("report", "small", "-o", tmp_path / "report.html").status == 0
    with StoredStudy.open(URL, "small") as stored:
        note = study_note(stored, best)
    for page in ((tmp_path / "report.html").read_text(), best._repr_html_()):
        assert all(f"<td>{html.escape(cell)}</td>" in page for row in best.baselines() for cell in row)
        assert html.escape(against) in page
        assert html.escape(str(finding)) in page
    assert escaped(against) in note
    assert escaped(str(finding)) in note
    assert f"## {BASELINES_TITLE}" in note


def test_an_estimator_s_search_has_none() -> None:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(60, 2))
    search = hpsearch.KFoldSearchCV(
        hpsearch.MLPClassifier(4, epochs=10), {"learning_rate": {"float": [0.01, 0.1]}}, n_trials=2, random_state=0
    )
    search.fit(features, features[:, 0] > 0)
    assert search.best_params_
