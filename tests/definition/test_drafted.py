"""What ``hpsearch.init`` drafts in Python is what the command writes."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hpsearch
from hpsearch.definition.drafted import drafted
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, DefinitionError, HpsearchError
from hpsearch.search.objective import prepare


@pytest.fixture
def frame(mixed: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return mixed(90)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_frame_gets_the_study_of_its_file(frame: pd.DataFrame) -> None:
    frame.to_csv("rows.csv", index=False)
    ours, files = drafted(frame, "kind"), drafted("rows.csv", "kind")
    assert (ours.name, files.name) == ("kind", "rows")
    for section in ("holdout", "validation", "train", "space", "search", "retrain"):
        assert getattr(ours, section) == getattr(files, section)
    assert prepare(ours).data_fingerprint == prepare(files).data_fingerprint
    below = [definition.text.partition("[holdout]")[2] for definition in (ours, files)]
    assert below[0] == below[1] != ""


def test_overrides_take_precedence_and_comments_stay(frame: pd.DataFrame) -> None:
    overrides = ["train.epochs=7", "space.dropout={ float = [0.0, 0.5] }", "holdout.fraction=0.3", "study.name=mine"]
    ours = drafted(frame, "kind", overrides=overrides)
    assert (ours.train.epochs, ours.holdout.fraction, ours.name) == (7, 0.3, "mine")
    assert "epochs = 7 # at most: what counts is each trial's best checkpoint" in ours.text
    assert StudyDefinition.from_text(ours.text, ours.given_rows) == ours
    assert drafted(frame, "kind").with_overrides(overrides).text == ours.text
    assert tomllib.loads(ours.with_trials(3).text)["search"]["trials"] == 3


def test_a_saved_definition_is_the_same_once_it_has_its_rows_again(frame: pd.DataFrame) -> None:
    ours = drafted(frame, "kind", name="saved")
    ours.save("saved.toml")
    again = StudyDefinition.from_file("saved.toml")
    with pytest.raises(DataError, match="given from Python and are kept nowhere"):
        prepare(again)
    assert prepare(again.with_rows(frame)).identity() == prepare(ours).identity()
    with pytest.raises(HpsearchError, match=r"^saved\.toml: "):
        ours.save("saved.toml")
    ours.save("saved.toml", force=True)
    frame.to_csv("rows.csv", index=False)
    Path("elsewhere").mkdir()
    drafted("rows.csv", "kind").save("elsewhere/rows.toml")
    assert prepare(StudyDefinition.from_file("elsewhere/rows.toml")).search.rows == prepare(ours).search.rows


def test_a_definition_made_in_code_has_a_text() -> None:
    made = {
        "study": {"name": "a"},
        "data": {"source": "sklearn:iris"},
        "space": {"layer1": {"neurons": {"int": [4, 8]}}},
    }
    definition = StudyDefinition.from_mapping({**made, "search": {"trials": 2}, "train": {"hidden_layers": 1}})
    assert tomllib.loads(definition.text) == definition.raw


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"target": None}, r"the column to predict must be named.*For example: target='kind'\."),
        ({"target": "knd"}, "must have a column 'knd', but has not.*Did you mean 'kind'"),
        ({"name": "a b"}, "^name must match"),
        ({"task": "clustering"}, "task must be one of classification, regression, but is 'clustering'"),
        ({"task": "regression"}, r"must be a finite number to be predicted.*task='classification'\.$"),
        ({"overrides": "train.epochs=3"}, "overrides must be a list of texts"),
        ({"overrides": ["train.epochs"]}, "overrides must read section.key=value"),
        ({"overrides": ["train.epoch=3"]}, r"\[train\] has no key 'epoch'"),
        ({"overrides": ["data.separator=';'"]}, r"\[data\] has no key 'separator'"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(frame: pd.DataFrame, arguments: dict[str, Any], why: str) -> None:
    with pytest.raises((DataError, DefinitionError), match=why) as caught:
        drafted(frame, **{"target": "kind", **arguments})
    assert "\n" not in str(caught.value)


def test_rows_go_with_a_frame_only(frame: pd.DataFrame) -> None:
    frame.to_csv("rows.csv", index=False)
    with pytest.raises(DefinitionError, match=r"\[data\] source must be 'frame' .* but is 'csv'"):
        drafted("rows.csv", "kind").with_rows(frame)


def test_what_is_left_out_unasked_is_warned_of_where_it_is_called(frame: pd.DataFrame) -> None:
    odd = frame.assign(far=frame["weight"].where(frame.index != 3, math.inf), mixed=[1, "x"] * 45, same=1)
    with pytest.warns(UserWarning, match=r"Left out: 'far', .* is inf, in row 3.*no value: 'x' in 'mixed'") as caught:
        definition = hpsearch.init(odd, "kind")
    (warning,) = caught
    assert warning.filename == __file__
    assert "\n" not in str(warning.message)
    assert set(definition.data.drop) == {"far", "same"}
    short = ["search.trials=1", "search.finalists=0", "train.epochs=2"]
    with pytest.warns(UserWarning, match="Left out: 'far'") as caught:
        assert hpsearch.run(odd, "kind", name="mine", overrides=short).name == "mine"
    assert {warning.filename for warning in caught} == {__file__}
    hpsearch.init(odd, "kind", overrides=["data.drop=['far', 'same']", "data.missing=['x']"])  # else an error here
