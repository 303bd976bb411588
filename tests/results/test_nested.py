"""Nested cross-validation: each search sees its outer training rows and nothing else."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hpsearch
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, HpsearchError
from hpsearch.results.nested import outer_studies
from hpsearch.search.objective import prepare


def test_outer_splits_cover_the_rows_to_search_with_and_no_row_held_out(small: Path) -> None:
    prepared = prepare(StudyDefinition.from_file(small))
    assert prepared.held_out is not None
    pairs = list(outer_studies(prepared, 4))
    assert sorted(np.concatenate([split.validation for split, _ in pairs])) == list(range(prepared.search.rows))
    held = {row.tobytes() for row in prepared.held_out.features}
    for split, inner in pairs:
        assert inner.held_out is None
        assert np.array_equal(inner.search.features, prepared.search.features[split.training])
        assert not {row.tobytes() for row in inner.search.features} & held - {np.zeros(2).tobytes()}
        assert not set(split.training) & set(split.validation)
        assert inner.definition.train == prepared.definition.train


def test_each_outer_result_is_its_stored_study_s_best_retrained_and_scored(small: Path) -> None:
    definition = StudyDefinition.from_file(small, ["search.trials=5"])
    found = hpsearch.nested(definition, outer=3)
    assert hpsearch.load_studies()["study"].tolist() == ["small", *(f"small.outer-{k}-of-3" for k in (1, 2, 3))]
    prepared = prepare(definition)
    losses = []
    for (split, inner), result in zip(outer_studies(prepared, 3), found.splits, strict=True):
        best = hpsearch.load_best(result.study)
        assert (result.trial, result.searched) == (best.result.number, best.result.value)
        assert result.chosen["epochs"] == best.result.best_epoch
        from hpsearch.model.retrain import fit_prepared

        model = fit_prepared(inner, best.config)
        predictions = model.probabilities(prepared.search.features[split.validation])
        true = predictions[np.arange(len(predictions)), prepared.search.labels[split.validation]]
        losses.append(-np.log(np.clip(true, 1e-7, 1 - 1e-7)))
        assert result.loss == pytest.approx(losses[-1].mean(), rel=1e-5)
    assert found.loss.mean == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)
    assert found.loss.low is not None
    assert found.loss.high is not None
    assert 0 < found.loss.low < found.loss.mean < found.loss.high
    assert set(found.chosen) >= {"learning_rate", "optimizer", "epochs"}
    assert all(len(values) == 3 for values in found.chosen.values())


@pytest.mark.campaign
def test_what_was_interrupted_goes_on_and_gives_the_same(small: Path) -> None:
    definition = StudyDefinition.from_file(small, ["search.trials=4"])
    through = hpsearch.nested(definition, outer=2, storage="sqlite:///a.db")
    begun: list[str] = []

    def stop_at_the_second_split(name: str) -> None:
        begun.append(name)
        if len(begun) == 3:  # the study itself, then the second outer split
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hpsearch.nested(definition, outer=2, storage="sqlite:///b.db", begin=stop_at_the_second_split)
    assert hpsearch.nested(definition, outer=2, storage="sqlite:///b.db") == through
    assert hpsearch.nested(definition, outer=2, storage="sqlite:///c.db", workers=2) == through
    first, other = (hpsearch.load_trials("small.outer-1-of-2", f"sqlite:///{name}.db") for name in "ab")
    pd.testing.assert_frame_equal(first.drop(columns="seconds"), other.drop(columns="seconds"))


def wine(trials: int) -> dict[str, Any]:
    """A short study whose finals have ensembles."""
    return {
        "study": {"name": "wine", "seed": 3},
        "data": {"source": "sklearn:wine"},
        "validation": {"splitter": "stratified", "n_splits": 3},
        "train": {"epochs": 20, "evaluate_every": 5, "neurons": 4},
        "space": {"learning_rate": {"float": [1e-3, 0.1], "log": True}},
        "search": {"trials": trials, "finalists": 2, "finalist_repeats": 2},
        "retrain": {"members": 2},
    }


def test_the_score_of_a_longer_search_is_not_that_of_these_searches(tmp_path: Path) -> None:
    definition, storage = StudyDefinition.from_mapping(wine(2)), f"sqlite:///{tmp_path / 'studies.db'}"
    hpsearch.run(definition.with_trials(3), storage=storage)
    found = hpsearch.nested(definition, outer=3, storage=storage)
    assert found.on_all_rows is not None
    assert (found.corrected, found.shipped) == (None, found.on_all_rows)


def test_a_search_without_a_complete_trial_says_so(small: Path) -> None:
    definition = StudyDefinition.from_file(small)
    raw = {**definition.raw, "space": {}, "search": {}, "train": {"learning_rate": 1e30, "optimizer": "sgd"}}
    with pytest.raises(HpsearchError, match=r"'small' must have a complete trial"):
        hpsearch.nested(StudyDefinition.from_mapping(raw, small.parent), outer=2)


def test_rows_in_time_have_no_interval_and_one_fold_is_refused(small: Path) -> None:
    rows = "".join(f"{i % 7 + i / 100},{i % 5},{i},{'ab'[i % 2]},{-1 if i < 40 else 0}\n" for i in range(60))
    Path("rows.csv").write_text("x,y,day,kind,fold\n" + rows)
    data = {"source": "csv", "path": "rows.csv", "target": "kind", "time": "day", "drop": ["fold"]}
    raw = {**tomllib.loads(small.read_text()), "data": data, "validation": {"splitter": "timeseries", "n_splits": 2}}
    raw = {**raw, "search": {"trials": 1}}
    found = hpsearch.nested(StudyDefinition.from_mapping(raw, small.parent), outer=2)
    assert (found.loss.low, found.loss.standard_error) == (None, None)
    assert found.loss.mean > 0
    folds = {"source": "csv", "path": "rows.csv", "target": "kind", "fold": "fold", "drop": ["day"]}
    one = {**raw, "data": folds, "validation": {"splitter": "predefined"}, "holdout": {}}
    with pytest.raises(DataError, match="needs at least two folds"):
        hpsearch.nested(StudyDefinition.from_mapping(one, small.parent))


@pytest.mark.campaign
def test_what_all_rows_would_train_is_extrapolated_along_the_searches_own_learning_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = wine(3)
    definition = StudyDefinition.from_mapping(raw)
    found = hpsearch.nested(definition, outer=3)
    few, many = [], []
    for split in found.splits:
        with hpsearch.api.open_study(split.study, "sqlite:///hpsearch.db") as stored:
            final, fewer = stored.finals()[split.trial], stored.fewer_rows()
        assert final.ensemble is not None
        assert fewer is not None
        assert fewer.ensemble is not None
        assert fewer.best_epoch == split.chosen["epochs"]
        few.append(np.mean(fewer.ensemble.loss))
        many.append(final.ensemble.loss[final.epochs.index(split.chosen["epochs"])])
    # An outer split trains on 2/3 of the rows, its searches on 2/3 and 1/3 of those: in units of 1/rows, the curve's
    # step is from 9/2 to 9/4, and from 3/2 to 1 it is 2/9 of that.
    ratio = 1 / (1 + 2 / 9 * (np.mean(few) / np.mean(many) - 1))
    assert found.on_all_rows is not None
    within = 2 / 178  # what equal shares of three classes give away at most
    assert found.loss.mean * ratio < found.on_all_rows.mean < (found.loss.mean + within) * ratio * 1.01

    # What is shipped is judged by the study's own corrected score too: the mean, and the wider of the two intervals.
    whole = hpsearch.load_best("wine").corrected
    assert whole is not None
    assert whole.value == found.corrected
    shipped, alone = found.shipped, found.on_all_rows
    assert shipped is not None
    assert shipped.mean == pytest.approx((alone.mean + whole.value) / 2)
    assert shipped.standard_error == max(alone.standard_error or 0, whole.standard_error or 0)
    assert shipped.low is not None
    assert shipped.high is not None
    assert shipped.low < shipped.mean < shipped.high
    by_accuracy = {
        **raw,
        "study": {"name": "accuracy", "seed": 3},
        "search": {**raw["search"], "objective": "accuracy"},
    }
    other = hpsearch.nested(StudyDefinition.from_mapping(by_accuracy), outer=3)
    assert other.corrected is None  # an accuracy is no loss
    assert other.shipped == other.on_all_rows
    without = {**raw, "study": {"name": "without", "seed": 3}, "search": {"trials": 2, "finalists": 0}}
    bare = hpsearch.nested(StudyDefinition.from_mapping(without), outer=3)
    assert (bare.shipped, bare.on_all_rows, bare.corrected) == (None, None, None)
