"""The dashboard in a real browser: what it shows, that it is live, and that nothing can be changed by it."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL

import hpsearch
from hpsearch.reporting.dashboard import DRAWN, annotate
from hpsearch.reporting.figures import FIGURES
from hpsearch.reporting.view import View
from hpsearch.storage.database import close, open_storage

CHROMIUM = shutil.which("chromium")
# No sandbox as root; nothing that calls home.
FLAGS = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
FLAGS += ["disable-component-update", "disable-sync"]
LOAD_MS = 30_000


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The address that a dashboard prints which runs as a user starts it, without a slash at its end."""
    command = [sys.executable, "-u", "-m", "hpsearch", "dashboard", "--port", "0", "--no-open", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stdout.read()
        yield found[0].rstrip("/")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page whose console must stay without errors, and which must ask nothing of another host."""
    page = browser.new_page()
    errors: list[str] = []
    asked: set[str] = set()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.add(request.url.split("/")[2].rpartition(":")[0]))
    page.on("dialog", lambda dialog: (errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    yield page
    page.close()
    assert errors == []
    assert asked <= {"127.0.0.1"}


def digest(path: str = "hpsearch.db") -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.campaign
def test_the_studies_the_trials_and_the_notes_are_shown(small: Path, page: Any) -> None:
    best = hpsearch.run(small).best
    before = digest()
    with served() as address:
        page.goto(address)
        page.get_by_role("link", name="small").click(timeout=LOAD_MS)
        page.get_by_text(best.belief().splitlines()[0]).wait_for()
        page.get_by_role("link", name="charts").click(timeout=LOAD_MS)
        for name in DRAWN:
            page.get_by_text(FIGURES[name].title).first.wait_for(timeout=LOAD_MS)
        assert page.locator("text.ytitle", has_text="mean validation loss").count()
        page.goto(f"{address}/dashboard/studies/1/trials?numbers={best.result.number}")
        page.get_by_text(f"Mean {best.result.value:.4f} over 3 splits at epoch {best.result.best_epoch}.").wait_for()
        page.get_by_text("16 Trials").wait_for()
        pruned = next(n for n, state in enumerate(hpsearch.load_trials("small")["state"]) if state == "PRUNED")
        page.goto(f"{address}/dashboard/studies/1/trials?numbers={pruned}")
        page.get_by_text(re.compile(r"PRUNED: pruned at epoch \d+")).wait_for()
        page.goto(f"{address}/dashboard/studies/1/note")
        for text in (
            "search score",
            "corrected score",
            "not opened",
            f"Best configuration: trial {best.result.number}",
        ):
            page.get_by_text(text, exact=True).wait_for()
    assert digest() == before, "looking must write nothing"


@pytest.mark.campaign
def test_a_trial_appears_soon_after_its_end(small: Path, page: Any) -> None:
    hpsearch.run(small, trials=2)
    with served() as address:
        page.goto(f"{address}/dashboard/studies/1/trials")
        page.get_by_text("2 Trials").wait_for(timeout=LOAD_MS)
        hpsearch.run(small, trials=3)
        page.get_by_text("3 Trials").wait_for(timeout=15_000)
        page.goto(f"{address}/dashboard/studies/1/trials?numbers=2")
        page.get_by_text(re.compile(r"over 3 splits at epoch|pruned at epoch|became")).first.wait_for(timeout=15_000)
        page.goto("about:blank")  # a page asks again and again, also a server that has just ended


CONTROLS = "button, [role=button], [role=switch], [role=checkbox], input[type=checkbox], input[type=radio]"
PAGES = ("", "/analytics", "/trials?numbers=0", "/smartSelection", "/note")  # optuna-dashboard's, of a study


@pytest.mark.campaign
def test_nothing_is_offered_that_is_refused(small: Path, page: Any) -> None:
    """Whatever can be clicked on optuna-dashboard's pages is: nothing asks to write, and no page breaks."""
    hpsearch.run(small, trials=5)
    with pytest.raises(KeyboardInterrupt):  # which leaves trials that run, as far as anybody can see
        hpsearch.run(small, fresh="halted", watch=_interrupt)
    running = hpsearch.load_trials("halted").query("state == 'RUNNING'")["number"].iloc[0]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    with served() as address:
        pages = [f"/dashboard/studies/1{name}" for name in PAGES]
        pages += [f"/dashboard/studies/2/trials?numbers={running}", "/dashboard/compare-studies?ids=1,2"]
        for name in pages:
            page.goto(address + name)
            page.locator("main").first.wait_for(timeout=LOAD_MS)
            page.wait_for_timeout(2000)
            there = page.url
            for number in range(page.locator(CONTROLS).count()):
                control = page.locator(CONTROLS).nth(number)
                if not control.is_visible() or not control.is_enabled():
                    continue
                control.dispatch_event("click")
                page.wait_for_timeout(100)
                for word in ("Save", "Delete", "Create", "Rename", "Fail Trial", "Upload"):
                    assert not page.get_by_role("button", name=word, exact=True).locator("visible=true").count(), name
                page.keyboard.press("Escape")
                if page.url != there:
                    page.goto(there)
                    page.wait_for_timeout(500)
            assert page.locator("main").first.inner_text().strip(), f"{name} is blank"
    assert set(asked) == {"GET"}


def _interrupt(progress: Any) -> None:
    if len(progress.results) >= 2:
        raise KeyboardInterrupt


@pytest.mark.campaign
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_the_window(small: Path, page: Any, width: int) -> None:
    hpsearch.run(small, trials=5)
    page.set_viewport_size({"width": width, "height": 800})
    with served() as address:
        for name in ("/", "/studies/1", "/studies/1/trials", *(f"/dashboard/studies/1{name}" for name in PAGES)):
            page.goto(address + name)
            page.wait_for_timeout(2500)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert page.get_by_text("small").locator("visible=true").count(), name


@pytest.mark.campaign
def test_a_page_is_kept_up_to_date_and_stays_where_it_is(small: Path, page: Any) -> None:
    hpsearch.run(small, trials=2)
    page.set_viewport_size({"width": 390, "height": 150})
    with served() as address:
        page.goto(address)
        page.get_by_text("2 of 2").wait_for(timeout=LOAD_MS)
        page.mouse.wheel(0, 60)
        page.wait_for_function("scrollY > 0")
        scrolled = page.evaluate("scrollY")
        hpsearch.run(small, trials=3)
        page.get_by_text("3 of 3").wait_for(timeout=15_000)
        assert page.evaluate("scrollY") == scrolled
        page.goto(f"{address}/studies/1")
        hpsearch.run(small, trials=5)
        page.get_by_text("2 more trials have ended.").wait_for(timeout=15_000)
        page.get_by_role("link", name="Show", exact=True).click()
        page.get_by_text("5 trials:").first.wait_for(timeout=LOAD_MS)
        page.goto(f"{address}/dashboard/studies/1")
        page.get_by_title("Return to the top page").click(timeout=LOAD_MS)
        page.get_by_role("heading", name="Studies").wait_for()
        page.goto("about:blank")  # a list of a server that is gone would say so


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>|`x`[a](javascript:alert(3))"


@pytest.mark.campaign
def test_names_from_the_data_are_shown_and_never_run(small: Path, page: Any) -> None:
    cell = '"' + HOSTILE.replace('"', '""') + '"'
    rows = "".join(f"{i % 7},{i % 5 + i / 100},{cell if i % 2 else 'b'}\n" for i in range(60))
    Path("rows.csv").write_text(f"{cell},y,kind\n{rows}")
    Path("h.toml").write_text(
        '[study]\nname = "hostile"\n[data]\nsource = "csv"\npath = "rows.csv"\ntarget = "kind"\n'
        f"drop = ['{HOSTILE}']\n[train]\nepochs = 2\n"
    )
    hpsearch.run("h.toml")
    with served() as address:
        page.goto(f"{address}/dashboard/studies/1/note")
        page.get_by_text("corrected score", exact=True).wait_for(timeout=LOAD_MS)
        page.get_by_text("no rows were held out", exact=True).wait_for()
        page.get_by_text("<script>alert(1)</script>").first.wait_for()
        page.goto(f"{address}/dashboard/studies/1")
        page.wait_for_timeout(1000)


def test_nothing_can_be_changed_and_no_one_else_s_page_is_answered(small: Path) -> None:
    hpsearch.run(small, trials=2)
    before = digest()
    with served() as address:

        def status(path: str, **request: Any) -> int:
            try:
                return int(urllib.request.urlopen(urllib.request.Request(address + path, **request)).status)
            except urllib.error.HTTPError as error:
                error.close()
                return error.code

        assert status("/api/studies") == 200
        assert status("/api/studies/1") == 200
        for method, path in (
            ("DELETE", "/api/studies/1"),
            ("POST", "/api/studies"),
            ("POST", "/api/studies/1/rename"),
            ("PUT", "/api/studies/1/note"),
            ("POST", "/api/trials/1/tell"),
        ):
            assert status(path, method=method, data=b"{}", headers={"Content-Type": "application/json"}) == 403
        assert status("/api/studies", headers={"Host": "evil.example"}) == 403
    assert digest() == before
    assert hpsearch.load_studies()["study"].tolist() == ["small"]


def test_on_another_address_the_token_is_needed(small: Path) -> None:
    hpsearch.run(small, trials=1)
    with served("--host", "0.0.0.0", "--name", "127.0.0.1") as address:
        port, token = re.search(r":(\d+)/\?token=([\w-]{32})$", address).groups()  # type: ignore[union-attr]
        site = f"http://127.0.0.1:{port}/api/studies"
        with urllib.request.urlopen(f"{site}?token={token}") as answer:
            assert answer.status == 200
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        with urllib.request.urlopen(urllib.request.Request(site, headers={"Cookie": cookie})) as answer:
            assert answer.status == 200
        for url in (site, f"{site}?token=x"):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(url)


def test_notes_are_made_only_for_trials_that_ended_since_and_cost_little(small: Path) -> None:
    """Looking twice makes nothing anew, and a storage's own writes are refused."""
    hpsearch.run(small, trials=4)
    calls: list[int] = []

    def counted(view: View, study: Any, before: int) -> None:
        calls.append(before)
        annotate(view, study, before)

    storage = open_storage("sqlite:///hpsearch.db")
    try:
        view = View(storage, counted)
        assert not any("note_ver" in key for key in view.get_all_studies()[0].system_attrs), "nobody asked yet"
        view.look(1)
        first, notes = view.get_all_studies()[0].system_attrs, dict(view.notes(1))
        view.look(1)
        assert view.get_all_studies()[0].system_attrs == first
        assert calls == [0]
        assert view.notes(1) == notes
        assert len(notes) == 4
        hpsearch.run(small, trials=6)
        for known in view._annotations.values():
            known.due = time.monotonic()
        view.look(1)
        assert calls == [0, 4]
        writes: list[Callable[[], Any]] = [
            lambda: view.delete_study(1),
            lambda: view.create_new_study([], "x"),
            lambda: view.set_study_user_attr(1, "a", 1),
            lambda: view.set_trial_user_attr(1, "a", 1),
        ]
        for write in writes:
            with pytest.raises(PermissionError):
                write()
    finally:
        close(storage)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the small study."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    study = hpsearch.run(folder / "small.toml", storage=f"sqlite:///{folder}/hpsearch.db")
    hpsearch.report(study, folder / "report.html")
    return folder / "report.html"


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.campaign)])
def test_a_report_opens_from_the_disk_and_fits_the_window(report: Path, browser: Any, width: int) -> None:
    """Nothing is fetched, nothing fails, and nobody has to scroll sideways; figures are drawn."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    errors: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    page.locator("svg.main-svg").first.wait_for(timeout=LOAD_MS)
    assert page.locator("svg.main-svg").count() > 5
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
    assert errors == []
    assert {url.partition(":")[0] for url in asked} == {"file"}
