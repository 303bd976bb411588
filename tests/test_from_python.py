"""As at home in Python: studies on DataFrames, progress, log records, and what a prompt or a notebook shows."""

from __future__ import annotations

import inspect
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import hpsearch
from hpsearch.errors import HpsearchError, StudyChangedError
from hpsearch.markup import chart
from hpsearch.reporting.progress import Bar
from hpsearch.results.confirm import Confirmation
from hpsearch.search.coordinator import Progress

SHORT = ["train.epochs=12", "search.finalists=2", "search.finalist_repeats=2", "retrain.members=2"]


@pytest.fixture(scope="module")
def frame(mixed: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return mixed(90).assign(kind=lambda table: table["kind"].str.replace("once", "<i>"))


class Ran:
    """A study on a DataFrame, and what it told on the way."""

    def __init__(self, frame: pd.DataFrame, folder: Path, caplog: list[logging.LogRecord]) -> None:
        self.told: list[Progress] = []
        self.storage, self.records = f"sqlite:///{folder}/hpsearch.db", caplog
        self.study = hpsearch.run(
            frame, target="kind", overrides=SHORT, trials=3, storage=self.storage, watch=self.told.append
        )


@pytest.fixture(scope="module")
def ran(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    logger, records = logging.getLogger("hpsearch"), []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    kept = Kept()
    assert not logger.handlers  # importing sets up none
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    try:
        return Ran(frame, tmp_path_factory.mktemp("frame"), records)
    finally:
        logger.removeHandler(kept)
        logger.setLevel(logging.NOTSET)


def test_a_frame_has_the_trials_of_its_file(
    ran: Ran, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame.to_csv("kind.csv", index=False)
    of_file = hpsearch.run("kind.csv", target="kind", overrides=[*SHORT, "search.finalists=0"], trials=3)
    values = of_file.trials["value"].tolist()
    assert ran.study.trials["value"].tolist() == values
    assert of_file.rows is None
    assert ran.study.rows is frame


def test_it_goes_on_with_the_same_rows_and_no_others(ran: Ran, frame: pd.DataFrame) -> None:
    again = hpsearch.run(frame, "kind", overrides=SHORT, trials=3, storage=ran.storage)
    assert again == ran.study
    changed = frame.assign(age=frame["age"] + 1)
    for other, why in (
        (changed, r"the rows of a DataFrame of 90 rows.*not those that it was begun with\. .*fresh='NAME'\.$"),
        (frame[:-5], r"the rows of a DataFrame of 85 rows.*begun with, of a DataFrame of 90 rows and 7 columns"),
    ):
        with pytest.raises(StudyChangedError, match=why):
            hpsearch.run(other, "kind", overrides=SHORT, trials=3, storage=ran.storage)


def test_what_needs_the_rows_again_has_them(ran: Ran, frame: pd.DataFrame, tmp_path: Path) -> None:
    model = ran.study.retrain()
    predicted = model.predict(frame)
    assert set(predicted) <= set(frame["kind"])
    model.save(tmp_path / "model")
    assert hpsearch.Bundle.load(tmp_path / "model").predict(frame).tolist() == predicted.tolist()
    assert model.about["holdout"]["rows"] == 18
    frame.to_csv(tmp_path / "rows.csv", index=False)
    of_frame, of_file = hpsearch.evaluate(model, frame), hpsearch.evaluate(model, tmp_path / "rows.csv")
    assert of_frame.summary() == of_file.summary()
    assert len(hpsearch.confirm(ran.study, top=1, repeats=1).trials) == 1
    with pytest.raises(HpsearchError, match="given from Python and are kept nowhere"):
        hpsearch.confirm(ran.study.name, storage=ran.storage)


def test_a_target_goes_with_rows_only(tmp_path: Path) -> None:
    (tmp_path / "wine.toml").write_text('[study]\nname = "a"\n[data]\nsource = "sklearn:wine"\n')
    for study in (
        tmp_path / "wine.toml",
        hpsearch.StudyDefinition.from_file(tmp_path / "wine.toml", ["search.trials=1"]),
    ):
        with pytest.raises(HpsearchError, match="target must go with rows, but there is a study"):
            hpsearch.run(study, "kind")
        with pytest.raises(HpsearchError, match=r"name must go with rows, but there is a study.* fresh='b'\."):
            hpsearch.run(study, name="b")


# ---------------------------------------------------------------- progress


def test_each_trial_and_finalist_is_logged_once(ran: Ran) -> None:
    lines = [record.getMessage() for record in ran.records]
    assert {(record.name, record.levelname) for record in ran.records} == {("hpsearch.search", "INFO")}
    assert lines[0] == "study 'kind': begun, 0 of 3 trials done before"
    for number in range(3):
        assert sum(f"/3, trial {number} " in line for line in lines) == 1
    assert sum("finalist" in line for line in lines) == 2
    assert lines[-1] == "study 'kind': ended"


def test_progress_is_small_to_look_at_and_does_not_change(ran: Ran) -> None:
    assert len(ran.told[0].results) == 0  # it was told before the first trial, and stays so
    last = ran.told[-1]
    assert len(last.results) == 3
    assert "\n" not in repr(last)
    assert len(repr(last)) < 150
    assert repr(last.best) in repr(last)


def test_a_bar_says_how_far_a_run_is(ran: Ran, frame: pd.DataFrame) -> None:
    out = io.StringIO()
    console = Console(file=out, width=150)
    bar = Bar(console.print, hpsearch.init(frame, "kind"))
    for progress in ran.told:
        bar(progress)
    last = out.getvalue().splitlines()[-1]
    assert "3/3" in last
    assert "finals 2/2" in last
    assert f"(trial {ran.told[-1].best.number})" in last


def test_progress_goes_to_stderr_and_only_if_it_is_asked_for(
    ran: Ran, frame: pd.DataFrame, capfd: pytest.CaptureFixture[str]
) -> None:
    hpsearch.run(frame, "kind", overrides=SHORT, trials=3, storage=ran.storage)
    assert capfd.readouterr() == ("", "")
    hpsearch.run(frame, "kind", overrides=SHORT, trials=3, storage=ran.storage, progress=True)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "3 trials are done, none is left\n")


# ---------------------------------------------------------------- what is shown


def shown_things(ran: Ran) -> list[Any]:
    found = hpsearch.confirm(ran.study, top=2, repeats=1)
    model = ran.study.retrain(members=1)
    assert isinstance(found, Confirmation)
    definition = hpsearch.init(ran.study.rows, "kind", overrides=[*SHORT, "search.trials=2"])
    validated, evaluated = hpsearch.cross_validate(definition), hpsearch.evaluate(model, ran.study.rows)
    return [ran.study, ran.study.best, found, model, definition, validated, evaluated]


def test_results_are_a_few_lines_and_show_themselves_in_notebooks(ran: Ran) -> None:
    for thing in shown_things(ran):
        assert len(repr(thing).splitlines()) <= 10
        assert len(repr(thing)) < 800
        html = thing._repr_html_()
        assert "<script" not in html
        assert "<i>" not in html  # a class of this name, and its rows
        ElementTree.fromstring(f"<div>{html}</div>")
    for html in (ran.study._repr_html_(), ran.study.best._repr_html_()):
        assert "Learning curve" in html
    assert "History of the search" in ran.study._repr_html_()


def test_a_study_that_is_gone_still_has_a_line(tmp_path: Path) -> None:
    gone = hpsearch.StudyResult("gone", f"sqlite:///{tmp_path}/none.db")
    line = repr(gone)
    assert "gone" in line
    assert "There is no storage" in gone._repr_html_()
    assert "\n" not in line


def test_a_chart_shows_every_point_within_its_frame() -> None:
    draw = np.random.default_rng(0)
    losses = np.abs(draw.standard_cauchy(1_000))  # some far outside
    losses[3] = np.nan
    drawn = chart("<losses>", {"a & b": list(enumerate(losses.tolist()))}, "epoch", dots=[(1, 2.0)], mark=5)
    root = ElementTree.fromstring(drawn)
    svg = root.find("{http://www.w3.org/2000/svg}svg")
    assert svg is not None
    (line,) = svg.iter("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    assert 100 < len(points) <= 402
    assert all(0 < across < 460 and 0 < down < 190 for across, down in points)
    assert [across for across, _ in points] == sorted(across for across, _ in points)
    assert chart("nothing", {"a": [(1, float("nan"))]}, "x") == ""


def test_signatures_show_no_functions_as_defaults() -> None:
    for name in hpsearch.__all__:
        thing = getattr(hpsearch, name)
        if callable(thing):
            told = str(inspect.signature(thing))
            assert "lambda" not in told
            assert " at 0x" not in told
            assert "built-in" not in told
            assert "_registry" not in told
            assert "<factory>" not in told
