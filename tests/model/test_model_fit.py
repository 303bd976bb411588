"""One way to train for good: the pipeline that the search scored, wherever it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpsearch
from hpsearch.data.dataset import Dataset, Task
from hpsearch.model.fit import fit
from hpsearch.model.retrain import fit_prepared
from hpsearch.search.objective import Prepared, divide
from hpsearch.validation.lanes import lane_data

TRAIN: dict[str, Any] = {"neurons": 5, "epochs": 12, "learning_rate": 0.03, "dtype": "float64", "init": "he"}
TRAIN |= {"batch_size": "full", "weight_l2": 0.0}  # an estimator's own defaults are others

each_task = pytest.mark.parametrize("task", ["classification", "regression"])
each_scaling = pytest.mark.parametrize("scaling", ["standard", "minmax", "power"])


def weighted_rows(task: Task, least: int = 0) -> Dataset:
    """60 rows of integer weights from ``least`` on; three numbers, the last of them far from 0."""
    draw = np.random.default_rng(4)
    features = draw.standard_normal((60, 3)) * [1, 10, 1e3] + [0, 1, 1e5]
    labels = np.arange(60) % 3 if task == "classification" else features @ [3.0, 0.1, 1e-3] + draw.standard_normal(60)
    return replace(Dataset.of(features, labels, task=task), weights=draw.integers(least, 4, 60).astype(float))


def study(data: Dataset, scaling: str) -> Prepared:
    raw = {"study": {"name": "x", "seed": 3}, "data": {"source": "memory", "task": data.task}}
    raw |= {"train": {**TRAIN, "scaling": scaling}, "validation": {"n_splits": 3, "splitter": "kfold"}}
    return divide(hpsearch.StudyDefinition.from_mapping(raw, Path()), data, None)


@each_task
@each_scaling
def test_what_a_split_of_the_search_learns_is_what_a_fit_of_its_training_rows_learns(scaling: str, task: Task) -> None:
    """Scaling, and a target's centre and scale: so what is scored is what is refitted, weights or none."""
    data = weighted_rows(task)
    for rows in (data, replace(data, weights=None)):
        prepared = study(rows, scaling)
        training = [split.training for split in prepared.splits]
        lanes = lane_data(rows, prepared.scalings[scaling], training)
        for lane, split in enumerate(prepared.splits):
            ensemble = fit(prepared.definition.train, rows.take(split.training), 3).ensemble
            assert ensemble.scaling.centre.tobytes() == lanes.centre[lane].tobytes()
            assert ensemble.scaling.scale.tobytes() == lanes.scale[lane].tobytes()
            assert (ensemble.scaling.lambdas is None) == (lanes.lambdas is None) == (scaling != "power")
            if ensemble.scaling.lambdas is not None and lanes.lambdas is not None:
                assert ensemble.scaling.lambdas.tobytes() == lanes.lambdas[lane].tobytes()
            for name in ("target_centre", "target_scale"):
                ours, theirs = getattr(ensemble, name), getattr(lanes, name)
                assert (ours is None) == (theirs is None) == (task == "classification")
                assert ours is None or ours.tobytes() == theirs[lane].tobytes()


@each_task
@each_scaling
def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_is_none(scaling: str, task: Task) -> None:
    data = weighted_rows(task)
    assert data.weights is not None
    repeated = replace(data, weights=None).take(np.arange(60).repeat(data.weights.astype(int)))
    one, other = (
        fit_prepared(study(rows, scaling), study(rows, scaling).definition.train) for rows in (data, repeated)
    )
    close = 1e-5 if scaling == "power" else 1e-7  # lambda is where a likelihood is flat
    np.testing.assert_allclose(one.predictions(data.features), other.predictions(data.features), rtol=close)
    assert one.about["training"]["loss"] == pytest.approx(other.about["training"]["loss"], rel=close)


@each_task
@each_scaling
def test_weighted_rows_give_an_estimator_and_a_study_the_same_bits(scaling: str, task: Task) -> None:
    data = weighted_rows(task, least=1)
    prepared = study(data, scaling)
    bundle = fit_prepared(prepared, prepared.definition.train)
    kind = hpsearch.MLPClassifier if task == "classification" else hpsearch.MLPRegressor
    fitted = kind(**TRAIN, scaling=scaling, members=8, random_state=3).fit(
        data.features, data.labels, sample_weight=data.weights
    )
    for ours, theirs in zip(fitted.bundle_.arrays().values(), bundle.arrays().values(), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert fitted.bundle_.target_centre == bundle.target_centre
    assert fitted.bundle_.target_scale == bundle.target_scale
