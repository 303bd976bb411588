"""Rows that are held out shape nothing: not the inputs, not the networks, and so no trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpsearch import seeds
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError
from hpsearch.model.retrain import fit_prepared
from hpsearch.search.objective import Prepared, TrialTask, evaluate, prepare
from hpsearch.storage.trial_result import TrialResult

COLUMNS = ["age", "size", "member", "port"]
TRIALS: tuple[dict[str, Any], ...] = ({"learning_rate": 0.02}, {"learning_rate": 0.2})


def table(seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    count = 80
    size, age = draw.normal(70, 9, count), draw.normal(40, 12, count).round(3)
    member, port = draw.random(count) < 0.4, draw.choice(["Oslo", "Rome"], count)
    kind = np.where((age > 40) ^ (port == "Rome"), "yes", "no")
    # Ages and ports are missing here and there; sizes and members never are.
    age[draw.permutation(count)[:10]] = np.nan
    frame = pd.DataFrame({"age": age, "size": size, "member": pd.Series(member, dtype=object)})
    return frame.assign(port=pd.Series(port, dtype=object), kind=kind)


def definition(rows: pd.DataFrame, folder: Path, seed: int) -> StudyDefinition:
    rows.to_csv(folder / "rows.csv", index=False)
    raw = {
        "study": {"name": "held", "seed": seed},
        "data": {"source": "csv", "path": "rows.csv", "target": "kind"},
        "holdout": {"fraction": 0.25},
        "validation": {"n_splits": 2},
        "train": {"neurons": 4, "epochs": 6, "evaluate_every": 2, "init": "he"},
        "space": {"learning_rate": {"float": [0.01, 0.5], "log": True}},
        "search": {"trials": 2, "pruner": "none"},
        "retrain": {"members": 2},
    }
    return StudyDefinition.from_mapping(raw, folder)


def held_out_rows(rows: pd.DataFrame, study: Prepared) -> list[int]:
    """Which rows of the table are held out, told by their sizes, which are all different."""
    assert study.held_out is not None
    assert rows["size"].is_unique
    sizes = study.held_out.features[:, study.held_out.feature_names.index("size")]
    return [int(np.flatnonzero(rows["size"] == size)[0]) for size in sizes]


def outcomes(study: Prepared) -> list[TrialResult]:
    return [evaluate(study, TrialTask(number, chosen)) for number, chosen in enumerate(TRIALS)]


CHANGES: dict[str, tuple[str, Any]] = {
    "a new category": ("port", "Bergen"),
    "no category": ("port", None),
    "no boolean": ("member", None),
    "no number": ("age", np.nan),
    "a number that none else lacks": ("size", np.nan),
}


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("change", CHANGES)
def test_a_held_out_cell_changes_no_trial_and_is_read_as_that_of_a_new_row(
    change: str, seed: int, tmp_path: Path
) -> None:
    rows = table(seed)
    before = prepare(definition(rows, tmp_path, seed))
    held, (column, value) = held_out_rows(rows, before), CHANGES[change]
    trials, network = outcomes(before), fit_prepared(before, before.definition.config(TRIALS[0]))

    changed = rows.copy()
    changed.loc[held[2], column] = value
    after = prepare(definition(changed, tmp_path, seed))
    assert after.search.fingerprint == before.search.fingerprint
    assert [t.value for t in outcomes(after)] == [t.value for t in trials]
    same = fit_prepared(after, after.definition.config(TRIALS[0]))
    assert same.parameters.tobytes() == network.parameters.tobytes()

    # What scores them is what `predict` says of these rows.
    assert after.held_out is not None
    assert before.held_out is not None
    assert np.isfinite(same.row_losses(after.held_out)).all()
    told: list[str] = []
    by_hand = same.probabilities(changed.loc[held, COLUMNS], told.append)
    assert same.predictions(after.held_out.features).tobytes() == by_hand.tobytes()
    assert len(told) == (change != "no number"), "ages were missing among the others too"
    others = np.delete(np.arange(len(held)), 2)
    assert by_hand[others].tobytes() == network.predictions(before.held_out.features)[others].tobytes()


def test_what_only_held_out_rows_have_is_no_feature(tmp_path: Path) -> None:
    rows = table(1)
    held = held_out_rows(rows, prepare(definition(rows, tmp_path, 1)))
    rows.loc[held[:2], "port"], rows.loc[held[2:4], "member"] = "Bergen", None
    study = prepare(definition(rows, tmp_path, 1))
    assert study.held_out is not None
    names = ("age", "age=missing", "size", "member", "port=Oslo", "port=Rome")
    assert study.search.feature_names == study.held_out.feature_names == names
    without = rows.drop(index=held)
    every = definition(without, tmp_path, 1).data.load(tmp_path, 0)
    assert every.columns == study.search.columns
    np.testing.assert_array_equal(every.features, study.search.features)
    assert fit_prepared(study, study.definition.config(TRIALS[0])).plan == every.columns


@pytest.mark.parametrize(("column", "value"), [("age", 30.0), ("port", "Rome")])
def test_a_column_whose_values_are_all_held_out_is_refused(column: str, value: Any, tmp_path: Path) -> None:
    rows = table(2)
    held = held_out_rows(rows, prepare(definition(rows, tmp_path, 2)))
    rows[column] = None
    rows.loc[held[:3], column] = value
    with pytest.raises(DataError, match=rf"column '{column}': must have a value among the rows that are not held out"):
        prepare(definition(rows, tmp_path, 2))


MAKER = """
import numpy as np, pandas as pd

def load(seed):
    draw = np.random.default_rng(seed)
    number, port = draw.normal(size=30), draw.choice(["Oslo", "Rome"], 30)
    return pd.DataFrame({{"number": number, "port": port}}), (number > 0).astype(int)

def other(seed):
    frame, labels = load(seed)
    if seed != {seed}:
        frame.loc[0, "port"], frame.loc[1, "number"] = "Bergen", None
    return frame, labels
"""


def test_a_fresh_draw_is_read_as_new_rows_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("maker.py").write_text(MAKER.format(seed=seeds.integer_seed(4, "data")), encoding="utf-8")

    def read(function: str) -> Prepared:
        data, study = {"source": f"python:maker:{function}"}, {"name": "fresh", "seed": 4}
        raw = {"study": study, "data": data, "holdout": {"fresh": True}}
        return prepare(StudyDefinition.from_mapping(raw, tmp_path))

    plain, other = read("load"), read("other")
    assert plain.held_out is not None
    assert other.held_out is not None
    assert other.search.fingerprint == plain.search.fingerprint
    assert other.held_out.feature_names == ("number", "port=Oslo", "port=Rome")
    np.testing.assert_array_equal(other.held_out.features[0, 1:], 0)
    assert np.isnan(other.held_out.features[1, 0])
    np.testing.assert_array_equal(other.held_out.features[2:], plain.held_out.features[2:])
