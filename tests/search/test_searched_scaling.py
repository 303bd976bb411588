"""Scaling is a choice like any other: what a trial finds is what its configuration gives by itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_coordinator import assert_same, at, tables

import hpsearch
from hpsearch.data.preprocess import SCALINGS

STUDY = """
[study]
name = "small"
seed = 5
[data]
source = "csv"
path = "rows.csv"
target = "kind"
{weights}
[validation]
n_splits = 3
[train]
neurons = 5
epochs = 12
batch_size = 16
init = "he"
[space]
scaling = {{ choice = {names} }}
[search]
trials = 9
sampler = "grid"
pruner = "none"
"""


@pytest.fixture(params=["", 'weight = "count"'], ids=["no weights", "weights"])
def study(request: pytest.FixtureRequest, small: Path, mixed: Callable[..., pd.DataFrame]) -> Path:
    """Columns of all kinds, some skewed, some with missing values."""
    frame, draw = mixed(), np.random.default_rng(0)
    frame["weight"] = np.exp(frame["weight"] / 9)
    if request.param:
        frame["count"] = draw.integers(0, 4, len(frame))
    frame.to_csv("rows.csv", index=False)
    text = STUDY.format(weights=request.param, names=sorted(SCALINGS))
    small.write_text(text, encoding="utf-8")
    return small


def test_each_scaling_is_tried_and_gives_what_it_gives_alone(study: Path) -> None:
    trials = hpsearch.run(study, storage=at(study.parent, "one")).trials
    assert sorted(trials["scaling"]) == sorted(SCALINGS)
    assert trials["value"].nunique() == len(SCALINGS)
    plain = study.read_text(encoding="utf-8").partition("[space]")[0]
    for name, value in zip(trials["scaling"], trials["value"], strict=True):
        study.write_text(plain.replace("[train]", f'[train]\nscaling = "{name}"'), encoding="utf-8")
        assert hpsearch.cross_validate(study).value == value


def test_two_workers_and_a_stop_give_the_same_table(study: Path) -> None:
    hpsearch.run(study, storage=at(study.parent, "one"))
    hpsearch.run(study, trials=2, storage=at(study.parent, "two"))
    with ThreadPoolExecutor(2) as pool:
        hpsearch.run(study, executor=pool, storage=at(study.parent, "two"))
    assert_same(tables(at(study.parent, "one")), tables(at(study.parent, "two")))


def test_what_is_retrained_carries_the_lambdas_of_its_columns(study: Path) -> None:
    plain = study.read_text(encoding="utf-8").partition("[space]")[0]
    study.write_text(plain.replace("[train]", '[train]\nscaling = "power"'), encoding="utf-8")
    model = hpsearch.retrain(study)
    model.save("model")
    rows = pd.read_csv("rows.csv")
    again = hpsearch.Bundle.load("model")
    assert again.probabilities(rows).tobytes() == model.probabilities(rows).tobytes()
    lambdas = {entry["column"]: entry["lambda"] for entry in again.preprocessing}
    assert [name for name, power in lambdas.items() if power is not None] == ["age", "weight"]
    # The logarithms of `weight` are normal: lambda is near 0, which is theirs.
    assert abs(lambdas["weight"]) < 0.1 < abs(lambdas["age"])
