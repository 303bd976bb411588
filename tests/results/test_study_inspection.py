"""What the columns of a stored study do: by the networks that it ships the configuration of, and no others."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Outcome

import hpsearch as package
from hpsearch.api import open_study
from hpsearch.results.inspection import Inspection
from hpsearch.search.finals import choose, finals

STUDY = """
[study]
name = "{name}"
seed = 3

[data]
source = "csv"
path = "rows.csv"
target = "{target}"
{task}

[holdout]
fraction = 0.2

[validation]
n_splits = 3
{repeats}

[train]
epochs = 12
evaluate_every = 3
batch_size = 16
neurons = 6
init = "he"

[space]
learning_rate = {{ float = [1e-2, 1e-1], log = true }}

[search]
trials = 3
{finals}
objective = "{objective}"

[retrain]
members = {members}
"""
FINALS, NONE = "finalists = 2\nfinalist_repeats = 2", "finalists = 0"


def written(folder: Path, name: str, target: str = "kind", finals: str = FINALS, **keys: object) -> Path:
    """A study file on the table of :func:`folder`."""
    task = 'task = "regression"\ndrop = ["kind"]' if target == "size" else 'drop = ["size"]'
    keys = {"repeats": "", "objective": "loss", "members": 3} | keys
    path = folder / f"{name}.toml"
    path.write_text(STUDY.format(name=name, target=target, task=task, finals=finals, **keys), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in which one column decides and one is noise."""
    made, draw = tmp_path_factory.mktemp("studies"), np.random.default_rng(0)
    x, port = draw.normal(size=120).round(3), draw.choice(["Oslo", "Rome", ""], 120)
    frame = pd.DataFrame({"x": x, "port": port, "noise": draw.normal(size=120).round(3)})
    size = (500 + 40 * x + 20 * (port == "Rome") + draw.normal(0, 5, 120)).round(2)
    frame.assign(size=size, kind=np.where(x + draw.normal(0, 0.3, 120) > 0, "yes", "no")).to_csv(
        made / "rows.csv", index=False
    )
    return made


STUDIES: dict[str, dict[str, object]] = {
    "classes": {},
    "numbers": {"target": "size"},
    "of single networks": {"objective": "accuracy", "finals": NONE, "members": 1, "repeats": "repeats = 2"},
}


@pytest.fixture(scope="module")
def studies(folder: Path) -> dict[str, package.StudyResult]:
    url = f"sqlite:///{folder / 'studies.db'}"
    return {
        name: package.run(written(folder, name.replace(" ", "-"), **keys), storage=url)  # type: ignore[arg-type]
        for name, keys in STUDIES.items()
    }


@pytest.mark.parametrize("name", STUDIES)
def test_the_networks_predict_what_was_stored_to_the_bit(studies: dict[str, package.StudyResult], name: str) -> None:
    study = studies[name]
    with open_study(study.name, study.storage) as stored:
        definition = study.best.definition
        choice = choose(finals(stored, definition), definition, definition.retrain.members > 1)
        if choice is None:
            known, layout = stored.row_results.of(study.best.result), stored.row_results.layout()
        else:
            known, layout = stored.final_row_results.of(choice.final), stored.final_row_results.layout()
        inspected = Inspection(stored).inspected
        np.testing.assert_array_equal(
            inspected.predictions.astype(known.predictions.dtype, copy=False), known.predictions
        )
        np.testing.assert_array_equal(inspected.layout.rows, layout.rows)
        np.testing.assert_array_equal(inspected.layout.splits, layout.splits)
        assert (choice is None) == (name == "of single networks")
        found = Inspection(stored).importance(2)
        value = study.best.result.value if choice is None else choice.value
        assert found.value == pytest.approx(np.sqrt(value) if name == "numbers" else value, rel=1e-6)
        assert found.rows == found.of_rows == 96  # none is held out


@pytest.mark.parametrize("name", STUDIES)
def test_a_column_that_decides_matters_and_noise_does_not(studies: dict[str, package.StudyResult], name: str) -> None:
    frame = studies[name].importance
    assert {str(kind) for kind in frame.dtypes} == {"str", "float64"}
    assert frame["column"].iloc[0] == "x"
    assert frame["importance"].is_monotonic_decreasing
    assert (frame["low"] <= frame["importance"]).all()
    by_name = frame.set_index("column")
    assert by_name.loc["x", "low"] > 0
    assert by_name.loc["noise", "low"] <= 0 <= by_name.loc["noise", "high"]
    assert by_name["kind"].to_dict() == {"x": "numeric", "noise": "numeric", "port": "categorical"}


def test_the_command_prints_the_table_that_python_has(
    studies: dict[str, package.StudyResult], hpsearch: Callable[..., Outcome], tmp_path: Path
) -> None:
    study = studies["classes"]
    where = ("classes", "--storage", study.storage)
    frame = package.load_importance("classes", study.storage)
    pd.testing.assert_frame_equal(frame, study.importance)
    shown = hpsearch("importance", *where)
    assert shown.out.splitlines()[0].split() == ["column", "kind", "importance", "low", "high"]
    assert "Importance: the increase of the validation loss (nats)" in shown.err
    csv = hpsearch("importance", *where, "--format", "csv")
    assert csv.err == ""
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(csv.out)), frame, rtol=1e-12)
    assert json.loads(hpsearch("importance", *where, "--json").out) == frame.to_dict("records")
    assert hpsearch("importance", *where, "-o", tmp_path / "table.csv").status == 0
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == csv.out
    other = hpsearch("importance", *where, "--format", "csv", "--seed", "1").out
    assert other != csv.out == hpsearch("importance", *where, "--format", "csv", "--seed", "3").out  # the study's own
    assert hpsearch("importance", *where, "--format", "csv", "--repeats", "2").out != csv.out
    assert hpsearch("importance", *where, "--repeats", "0").status == 2


def test_without_its_rows_the_command_refuses_and_the_report_goes_on(
    folder: Path, hpsearch: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_bytes((folder / "rows.csv").read_bytes())
    study = package.run(written(tmp_path, "moved", finals=NONE), trials=1, storage=f"sqlite:///{tmp_path / 'moved.db'}")
    where, page = ("moved", "--storage", study.storage), tmp_path / "report.html"
    assert hpsearch("report", *where, "-o", page, "--no-importance").status == 0
    assert "What the columns do" not in page.read_text(encoding="utf-8")
    rows = (folder / "rows.csv").read_text(encoding="utf-8")
    for text in (None, rows.replace("Oslo", "Bern")):
        (tmp_path / "rows.csv").unlink(missing_ok=True)
        if text is not None:
            (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
        refused = hpsearch("importance", *where)
        assert (refused.status, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert hpsearch("report", *where, "-o", page).status == 0
    told = page.read_text(encoding="utf-8")
    assert "What the columns do" in told
    assert "Which columns matter; What the most important columns do. The rows must be those that" in told
    assert 'id="figure-columns"' not in told
    assert 'id="figure-history"' in told


def test_a_study_without_a_complete_trial_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes((folder / "rows.csv").read_bytes())
    path = written(tmp_path, "fails")
    path.write_text(path.read_text(encoding="utf-8").replace("[1e-2, 1e-1]", "[1e29, 1e30]"), encoding="utf-8")
    study = package.run(path, storage=f"sqlite:///{tmp_path / 'fails.db'}")
    with pytest.raises(package.HpsearchError, match=r"must have a complete trial .* has none among 3"):
        _ = study.importance
