"""Reports as they look: in a browser, as wide as a screen and as narrow as a phone, and as a PDF."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome
from stored import variant

import hpsearch
from hpsearch.errors import HpsearchError
from hpsearch.reporting.pdf import printed, require_browser

CHROMIUM = shutil.which("chromium")
# No sandbox as root; nothing that calls home.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
LONG = "a-name-of-a-study-that-somebody-gave-without-thinking-of-how-wide-a-page-is-and-then-went-on"
FULL = 0.6  # of a page's height

# The elements that are wider than their box and have no bar to scroll by, and that of the page itself.
CUT = """() => {
  const cut = [], page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) cut.push(["page", page.scrollWidth, page.clientWidth]);
  for (const one of document.querySelectorAll("main *, header *, footer *")) {
    if (one.closest("svg, .plot, .hidden") || one.closest("thead")?.offsetWidth === 1) continue;
    const beyond = one.getBoundingClientRect().right > page.clientWidth + 1 && !one.closest(".scroll");
    const scrolls = getComputedStyle(one).overflowX === "auto" && one.matches("figure .scroll");
    if (beyond || (one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 1 && !scrolls))
      cut.push([one.tagName, one.className, one.textContent.slice(0, 40), one.scrollWidth, one.clientWidth]);
  }
  return cut;
}"""

WIDE = {
    "hidden_layers": {"int": [1, 3]},
    "optimizer": {"choice": ["adam", "rmsprop", "sgd"]},
    "learning_rate": {"float": [1e-6, 1e-1], "log": True},
    "decay": {"float": [1e-8, 1e-2], "log": True},
    "momentum": {"float": [0.0, 0.9]},
    "activation": {"choice": ["relu", "tanh", "leaky_relu"]},
    "init": {"choice": ["nnfs", "he", "glorot"]},
    "scaling": {"choice": ["standard", "minmax", "power"]},
    "layer1": {"neurons": {"int": [8, 32]}, "dropout": {"float": [0.0, 0.3]}},
    "layer2": {"neurons": {"int": [8, 32]}, "weight_l2": {"float": [1e-9, 1e-3], "log": True}},
    "layer3": {"neurons": {"int": [8, 32]}},
}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, hpsearch.StudyResult]:
    """Studies with long names, many columns, classes, splits and hyperparameters, and of large and tiny targets."""
    folder, draw = tmp_path_factory.mktemp("studies"), np.random.default_rng(0)
    features = draw.normal(size=(360, 64))
    classes = (features[:, :5] @ draw.normal(size=(5, 20))).argmax(axis=1)
    names = [f"reading_{place:02}_of_the_sensor_at_the_left_hand_side_of_the_machine" for place in range(64)]
    lines = [",".join([*names, "kind"])]
    lines += [
        ",".join([*(f"{value:.3f}" for value in row), f"a class with a rather long name, {one}".replace(",", ";")])
        for row, one in zip(features, classes, strict=True)
    ]
    (folder / "wide.csv").write_text("\n".join(lines) + "\n")
    targets = {"large": 5e8 * (1 + features[:, 0] * features[:, 1]), "tiny": 1e-9 * features[:, 0] ** 2}
    for name, target in targets.items():
        rows = [f"{x:.3f},{y:.3f},{value!r}" for (x, y), value in zip(features[:, :2], target.tolist(), strict=True)]
        (folder / f"{name}.csv").write_text("\n".join(["x,y,target", *rows]) + "\n")
    rate = {"learning_rate": {"float": [1e-3, 1e-1], "log": True}, "neurons": {"int": [4, 16]}}
    few = {"trials": 12, "sampler": "random", "pruner": "none", "finalists": 2, "finalist_repeats": 2}
    regression = {"source": "csv", "target": "target", "task": "regression"}
    raws = [
        variant(
            LONG,
            data={"source": "csv", "path": "wide.csv", "target": "kind", "rare_classes": "other"},
            validation={"n_splits": 3, "repeats": 4},
            train={"hidden_layers": 3, "epochs": 8},
            space=WIDE,
            search=few,
        ),
        *(variant(name, data={**regression, "path": f"{name}.csv"}, space=rate, search=few) for name in targets),
        variant("classes"),
    ]
    url = f"sqlite:///{folder / 'studies.db'}"
    return {
        raw["study"]["name"]: hpsearch.run(hpsearch.StudyDefinition.from_mapping(raw, folder), storage=url)
        for raw in raws
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.campaign
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_is_cut_on_any_screen(
    reported: dict[str, hpsearch.StudyResult], browser: Any, tmp_path: Path, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    for name, study in reported.items():
        hpsearch.report(study, tmp_path / "report.html", force=True)
        page.goto((tmp_path / "report.html").as_uri())
        page.wait_for_selector(".plot svg")
        assert page.evaluate(CUT) == [], name
        shown = page.locator("#part-1").bounding_box()["y"] < page.locator("#best").bounding_box()["y"]
        assert shown, "figures of the first section stand before the list of defaults"
    page.close()


@pytest.mark.campaign
def test_a_printed_report_has_full_pages(reported: dict[str, hpsearch.StudyResult], tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    pdfium = pytest.importorskip("pypdfium2")
    for name, study in reported.items():
        hpsearch.report(study, tmp_path / "report.pdf", force=True)
        printed = pdfium.PdfDocument(tmp_path / "report.pdf")
        heights = []
        for number in range(len(printed)):
            picture = np.atleast_3d(printed[number].render(scale=0.5, grayscale=True).to_numpy()).min(axis=2)
            inked = np.flatnonzero((picture < 200).any(axis=1))
            heights.append((inked[-1] - inked[0]) / (len(picture) - 2 * inked[0]))
        assert all(height >= FULL for height in heights[:-1]), (name, heights)
        text = [printed[number].get_textpage().get_text_bounded() for number in range(len(printed))]
        assert study.name.replace("-", "") in "".join(text).replace("-", "").replace("\r\n", "").replace("\ufffe", "")
        for page in text:  # no heading alone at the end of a page
            assert not page.rstrip().endswith(tuple(f"{title}" for title in TITLES)), (name, page[-200:])
        printed.close()


TITLES = (
    "Can I believe it?",
    "What the best configuration predicts",
    "What mattered",
    "How the trials learnt",
    "The best trials, and the splits of the chosen one",
    "Every hyperparameter of the chosen configuration",
    "How to repeat this",
    "The study file",
    "What the leakage audit found",
    "What the columns do",
    "Which columns matter",
    "What the most important columns do",
    "where from",  # the head of a table
)


def test_without_a_browser_that_prints_there_is_no_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", "no-such-browser")
    with pytest.raises(HpsearchError, match="needs Chrome or Chromium, but BROWSER_PATH names 'no-such-browser'"):
        printed("<p>", require_browser())
    program = tmp_path / "prints-nothing"  # what starts, and is no browser
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("BROWSER_PATH", str(program))
    with pytest.raises(HpsearchError, match=r"prints-nothing ended with status 3\. Install one"):
        printed("<p>", require_browser())
    monkeypatch.delenv("BROWSER_PATH")
    monkeypatch.setenv("PATH", str(tmp_path))
    if CHROMIUM is not None and not Path("/Applications").exists():
        with pytest.raises(HpsearchError, match="but there is none"):
            require_browser()


@pytest.mark.campaign
def test_a_pdf_is_written_by_command_and_replaced_as_a_report_only(
    small: Path, hpsearch: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    assert hpsearch("run", small, "--trials", "3").status == 0
    outcome = hpsearch("report", "small", "-o", "report.pdf")
    assert (outcome.status, outcome.out, outcome.err) == (0, "Written to report.pdf.\n", "")
    assert Path("report.pdf").read_bytes().startswith(b"%PDF-")
    assert hpsearch("report", "small", "-o", "report.pdf").status == 0  # an earlier report
    Path("other.pdf").write_bytes(b"%PDF-1.4\n")
    before = sorted(Path().iterdir())
    outcome = hpsearch("report", "small", "-o", "other.pdf")
    assert outcome.status == 2
    assert "must not exist yet or be an earlier report" in outcome.err
    assert sorted(Path().iterdir()) == before
    monkeypatch.setenv("BROWSER_PATH", "no-such-browser")
    outcome = hpsearch("report", "small", "-o", "new.pdf")
    assert outcome.status == 2
    assert outcome.err.startswith("hpsearch: A report as PDF needs Chrome or Chromium, but BROWSER_PATH names ")
    assert outcome.err.endswith("Install one, or write .html with --output.\n")
    assert outcome.err.count("\n") == 1
    assert sorted(Path().iterdir()) == before
