"""The report: one file that fetches nothing, runs nothing but its own, and says what the study's tables say."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from stored import CLASS, COLUMN, make

import hpsearch
from hpsearch.reporting.figures import FIGURES

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """A page's elements, its text by element, and whether every element is closed in its order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
            self.text.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.text[self._open[-1]][-1] += data

    def count(self, tag: str) -> int:
        return Counter(name for name, _ in self.elements)[tag]

    def visible(self) -> str:
        parts = [text for tag, texts in self.text.items() if tag not in ("script", "style") for text in texts]
        return re.sub(r"\s+", " ", " ".join(parts))

    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text["script"][0])
        return found


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, hpsearch.StudyResult]:
    return make(tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def pages(studies: dict[str, hpsearch.StudyResult], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("reports")
    for name, study in studies.items():
        hpsearch.report(study, folder / f"{name}.html")
    assert len(list(folder.iterdir())) == len(studies)
    return {name: (folder / f"{name}.html").read_text(encoding="utf-8") for name in studies}


KINDS = ("full", "failing", "names", "fixed", "single", "one", "none")


@pytest.mark.parametrize("name", KINDS)
def test_a_report_is_one_small_whole_page_that_fetches_nothing(pages: dict[str, str], name: str) -> None:
    page = Page(pages[name])
    assert len(pages[name].encode()) < 6_000_000
    assert page.count("link") == page.count("img") == page.count("iframe") == 0
    for _, attributes in page.elements:
        assert "src" not in attributes
        assert not any(key.startswith("on") for key in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert "@import" not in page.text["style"][0]
    assert "url(" not in page.text["style"][0]
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'; ")
    for script in page.text.get("script", [])[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in str(policy)


@pytest.mark.parametrize("name", KINDS)
def test_a_report_has_landmarks_and_every_figure_its_words(pages: dict[str, str], name: str) -> None:
    page = Page(pages[name])
    for tag in ("title", "h1", "header", "main", "footer", "nav"):
        assert page.count(tag) == 1
    assert ("html", {"lang": "en"}) in page.elements
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for key in ("aria-labelledby", "aria-describedby", "href"):
            if key in attributes:
                assert str(attributes[key]).removeprefix("#") in ids
    drawn = {str(one)[len("figure-") :] for one in ids if str(one).startswith("figure-")}
    assert page.count("figure") == page.count("figcaption") == len(drawn)
    if drawn:
        assert set(page.data()["figures"]) == drawn
        visible = page.visible()
        for kind in drawn:
            assert FIGURES[kind].title in visible
    assert "test row" not in page.visible()


def test_a_full_report_has_every_figure(pages: dict[str, str]) -> None:
    assert set(Page(pages["full"]).data()["figures"]) == {name for name, kind in FIGURES.items() if name != "agreement"}


def test_a_report_of_a_quantity_says_so_and_has_its_figures(pages: dict[str, str]) -> None:
    page = Page(pages["quantity"])
    assert set(page.data()["figures"]) == set(FIGURES) - {"regions", "confusion", "calibration"}
    visible = page.visible()
    assert "Losses are in squared units of the target, without penalty." in visible
    assert "a regression target (<img" in visible
    assert "R²" in visible
    assert "accuracy" not in visible
    assert "nats" not in visible


def test_names_in_the_data_are_text(pages: dict[str, str]) -> None:
    """The page has the elements that it has for any other study, and the names stand in it as they are."""
    page = Page(pages["names"])
    assert page.count("script") == 3
    assert COLUMN not in pages["names"]
    assert "<b>other" not in pages["names"]
    assert "</script><script>" not in pages["names"].replace("</script>\n<script>", "")
    assert "alert('class')" not in pages["names"].partition('<script type="application/json"')[0]
    ticks = page.data()["figures"]["confusion"]["layout"]["xaxis"]["ticktext"]
    assert all("<" not in tick for tick in ticks)
    assert f"takes {CLASS} for" in page.visible() or f"for {CLASS}" in page.visible()


def test_the_numbers_at_the_top_are_those_of_the_tables(
    pages: dict[str, str], studies: dict[str, hpsearch.StudyResult]
) -> None:
    best, visible = studies["full"].best, Page(pages["full"]).visible()
    assert best.corrected is not None
    for value in (best.result.value, best.corrected.value, best.corrected.low, best.corrected.high):
        assert f"{value:.4f}" in visible
    assert "not opened" in visible
    assert "Believe the corrected score" in visible
    assert visible.count("searched: trial") == len(studies["full"].best.chosen)
    folds = studies["full"].folds
    for loss in folds.loc[folds["trial"] == best.result.number, "validation_loss"]:
        assert f"{loss:.4g}" in visible
    with hpsearch.api.open_study("full", studies["full"].storage) as stored:
        identity = stored.attributes["identity"]
    for key, value in identity.items():
        if key.startswith("version."):
            assert f"{key.removeprefix('version.')} {value}" in visible
    assert identity["data.fingerprint"] in visible


def test_where_there_were_finals_their_number_is_the_one_to_believe(
    pages: dict[str, str], studies: dict[str, hpsearch.StudyResult]
) -> None:
    best, visible = studies["names"].best, Page(pages["names"]).visible()
    assert best.corrected is not None
    for value in (best.corrected.value, best.corrected.low, best.corrected.high):
        assert f"{value:.4f}" in visible
    assert "Believe the corrected score" in visible
    assert "The finals: the best 2 of the search again, on 2 fresh repeats of the splits" in visible
    assert "<div class=believe><dt>corrected score</dt>" in pages["names"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fixed", "Nothing was searched: the study has no [space]."),
        ("one", "1 trial: 1 complete"),
        ("single", "on a single split"),
        ("none", "No trial is complete, so there is no best configuration. Most often: the "),
        ("names", "Decision regions need two numeric inputs"),
    ],
)
def test_a_report_says_what_a_study_lacks(pages: dict[str, str], name: str, said: str) -> None:
    assert said in Page(pages[name]).visible()
    assert name == "none" or "nan" not in Page(pages[name]).visible().split()  # whose trials failed because of one


def test_the_bytes_follow_from_the_study(studies: dict[str, hpsearch.StudyResult], tmp_path: Path) -> None:
    """In processes whose hashes differ, too."""
    hpsearch.report(studies["full"], tmp_path / "one.html")
    command = [sys.executable, "-m", "hpsearch", "report", "full", "--storage", studies["full"].storage, "-o"]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([*command, tmp_path / "two.html"], check=True, env=environment, capture_output=True)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_without_the_data_and_without_kept_files_the_rest_is_reported(
    studies: dict[str, hpsearch.StudyResult], tmp_path: Path
) -> None:
    database = Path(studies["names"].storage.removeprefix("sqlite:///"))
    shutil.copy(database, tmp_path / "copy.db")  # and not what is kept beside it
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    with hpsearch.api.open_study("names", url) as stored:
        stored.refresh({"folder": str(tmp_path)})  # where there are no rows
    hpsearch.report("names", tmp_path / "report.html", url)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "The data could not be loaded again, so it was not audited here: " in page.visible()
    assert "must be kept with the storage, but is not there" in page.visible()
    of_rows = {"regions", "confusion", "calibration", "agreement", "columns", "effects"}
    assert set(page.data()["figures"]) == set(FIGURES) - of_rows


def test_the_hold_out_s_state_is_told(studies: dict[str, hpsearch.StudyResult], tmp_path: Path) -> None:
    database = Path(studies["full"].storage.removeprefix("sqlite:///"))
    shutil.copy(database, tmp_path / "copy.db")
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    seen = []
    for _ in range(3):
        hpsearch.report("full", tmp_path / "report.html", url)
        seen.append(Page((tmp_path / "report.html").read_text(encoding="utf-8")).visible())
        with hpsearch.api.open_study("full", url) as stored:
            stored.record_scoring({"configuration": "a"})
    assert "retrain scores it, once" in seen[0]
    assert "Believe the hold-out's score" in seen[1]
    assert "scored once" in seen[1]
    assert "scored 2 times" in seen[2]
    assert "Believe the corrected score" in seen[2]


def test_the_command_writes_a_file_and_says_so(small: Path, hpsearch: Callable[..., Outcome]) -> None:
    assert hpsearch("run", small, "--trials", "3").status == 0
    outcome = hpsearch("report", small)
    assert (outcome.status, outcome.out, outcome.err) == (0, "Written to report.html.\n", "")
    first = Path("report.html").read_bytes()
    assert hpsearch("report", "small", "-o", "again.html").status == 0
    assert Path("again.html").read_bytes() == first
    other = Path("other.HTM")
    other.write_text("<p>not ours</p>")
    before = sorted(Path().iterdir())
    for arguments, message in (
        (("absent",), "There is no study 'absent'"),
        (("small", "-o", "wine.png"), "wine.png: the name of a report must end in .html or .pdf, but ends in .png."),
        (("small", "-o", "wine.1"), "but ends in .1. Name it wine.html, or wine.pdf."),
        (("small", "-o", "no/report.html"), "no/report.html: must be a file that can be written"),
        (("small", "-o", "."), "must be a file that can be written"),
        (
            ("small", "-o", "other.HTM"),
            "must not exist yet or be an earlier report, but is neither. Name another, or replace it",
        ),
    ):
        outcome = hpsearch("report", *arguments)
        assert outcome.status == 2
        assert message in outcome.err
        assert outcome.err.count("\n") == 1
    assert sorted(Path().iterdir()) == before
    assert hpsearch("report", "small", "-o", other, "--force").status == 0
    assert other.read_bytes() == first


def test_a_study_without_a_trial_that_ended_is_refused(small: Path, hpsearch: Callable[..., Outcome]) -> None:
    import hpsearch as package

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        package.run(small, watch=stop)
    outcome = hpsearch("report", "small")
    assert outcome.status == 2
    assert "'small' must have a trial that ended to report, but has none. Run it first." in outcome.err
    assert not Path("report.html").exists()


# ---------------------------------------------------------------- notebooks


@pytest.mark.parametrize("name", KINDS)
def test_results_show_themselves_in_a_notebook(studies: dict[str, hpsearch.StudyResult], name: str) -> None:
    shown = studies[name]._repr_html_()
    page = Page(shown)
    assert f"Study {name}" in page.visible()
    assert page.count("script") == 0
    if name == "none":
        assert "No trial is complete." in page.visible()
        return
    best = studies[name].best
    assert best._repr_html_() in shown
    assert f"{best.result.value:.4f}" in page.visible()
    assert len(shown) < 10_000
