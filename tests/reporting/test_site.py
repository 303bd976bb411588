"""The dashboard's own pages: what they say of each study is what the tables say, and no address is a dead end."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
import pytest
from stored import variant

import hpsearch
from hpsearch.reporting import dashboard, pages
from hpsearch.reporting.guard import Application
from hpsearch.reporting.overview import Overview
from hpsearch.reporting.server import listening
from hpsearch.reporting.site import Site
from hpsearch.reporting.view import View
from hpsearch.storage.database import close, open_storage
from hpsearch.storage.lock import is_owned, sole_owner
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.validation.metrics import shown

STRANGE = '<b>x & "y"</b>\' a/b?c#%41'
TWO = "two aims"


@dataclass
class Served:
    """A storage with studies of many kinds, and the pages on it."""

    url: str
    site: Site
    ids: dict[str, int]

    def get(self, path: str, method: str = "GET", **more: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body of an answer."""
        name, _, query = path.partition("?")
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": name, "QUERY_STRING": query, **more}
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")
        setup_testing_defaults(environ)
        return asked(self.site, environ)


def asked(application: Application, environ: dict[str, Any]) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of what an application answers."""
    got: list[Any] = []
    chunks = application(environ, lambda status, headers, *_: got.extend((status, dict(headers))))
    try:
        body = b"".join(chunks)
    finally:
        getattr(chunks, "close", lambda: None)()
    return int(got[0].split()[0]), got[1], body.decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("site")
    url = f"sqlite:///{folder / 'studies.db'}"

    def run(name: str, watch: Any = lambda progress: None, **search: Any) -> None:
        raw = variant(name, search={"trials": 4, "finalists": 2, "finalist_repeats": 2, **search}, train={"epochs": 16})
        hpsearch.run(hpsearch.StudyDefinition.from_mapping(raw, folder), storage=url, watch=watch)

    def after_two(progress: Any) -> None:
        if len(progress.results) >= 2:
            raise KeyboardInterrupt

    def in_the_finals(progress: Any) -> None:
        if progress.finalists:
            raise KeyboardInterrupt

    run("finished")
    run("stopped", trials=9, stop=1, sampler="random", pruner="none")
    for name, watch in (("interrupted", after_two), ("without-finals", in_the_finals)):
        with pytest.raises(KeyboardInterrupt):
            run(name, watch)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.RDBStorage(url)
    optuna.create_study(storage=storage, study_name=STRANGE).optimize(lambda trial: trial.suggest_float("x", 0, 1), 2)
    both = optuna.create_study(storage=storage, study_name=TWO, directions=["maximize", "minimize"])
    both.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), 3)
    close(storage)
    storage = open_storage(url)
    view = View(storage, dashboard.annotate)
    ids = {study.study_name: study._study_id for study in storage.get_all_studies()}
    yield Served(url, Site(Overview(storage, url), optuna_dashboard.wsgi(view), view.look, view.notes), ids)
    close(storage)


class Cells(HTMLParser):
    """The rows of a page's tables, as text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, _attributes: Any) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def listed(served: Served) -> dict[str, list[str]]:
    """The list's rows, by study."""
    return {row[0]: row for row in Cells(served.get("/list")[2]).rows[1:]}


def test_the_list_says_of_each_study_what_the_table_says(served: Served) -> None:
    rows, metric = listed(served), served.site.overview.studies()[-1].metric
    assert metric is not None
    table = hpsearch.load_studies(served.url).set_index("study")
    assert set(rows) == {*table.index, STRANGE, TWO}
    for name, study in table.iterrows():
        _, state, trials, best, corrected, last = rows[name]
        told = study["complete"] + study["pruned"] + study["failed"]
        assert trials.split()[0] == str(told)
        assert best == f"{shown(study['best_value'], metric)}lowest {metric.title_of_mean}"
        if study["corrected"] == study["corrected"]:
            low, high = (shown(study[key], metric) for key in ("corrected_low", "corrected_high"))
            assert corrected == f"{shown(study['corrected'], metric)}95 %: {low} to {high}"
        else:
            assert corrected == "–"
        assert last == "just now"
        assert state == ("finished" if name in ("finished", "stopped") else "interrupted")
    assert "2 of 4" in rows["interrupted"][2]
    assert [rows[name][1] for name in (STRANGE, TWO)] == ["of another program"] * 2


def test_the_best_of_two_objectives_is_that_of_the_first(served: Served) -> None:
    storage = optuna.storages.RDBStorage(served.url)
    values = [trial.values[0] for trial in optuna.load_study(study_name=TWO, storage=storage).trials]
    close(storage)
    assert float(listed(served)[TWO][3]) == pytest.approx(max(values), abs=1e-4)
    assert served.get(f"/studies/{served.ids[TWO]}")[0] == 200
    assert served.get(f"/api/studies/{served.ids[TWO]}")[0] == 200


def test_a_study_is_running_while_a_process_owns_it(served: Served) -> None:
    stored = StoredStudy(served.site.overview.storage, served.url, "interrupted", served.ids["interrupted"])
    with sole_owner(stored):
        assert listed(served)["interrupted"][1] == "running"
        assert listed(served)["finished"][1] == "finished"
    assert listed(served)["interrupted"][1] == "interrupted"


def test_looking_keeps_nobody_from_running_a_study(served: Served) -> None:
    stored = StoredStudy(served.site.overview.storage, served.url, "interrupted", served.ids["interrupted"])
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            is_owned(stored)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(20):
            with sole_owner(stored):
                assert is_owned(stored)
    finally:
        over.set()
        for looker in lookers:
            looker.join()


def test_the_bar_says_what_is_new_since_the_page_was_made(served: Served) -> None:
    address = f"/studies/{served.ids['finished']}"
    page = served.get(address)[2]
    found = re.search(r'data-from="([^"]+)"', page)
    assert found
    asked = found[1].replace("&amp;", "&")
    assert "news" not in served.get(asked)[2]
    assert "3 more trials have ended." in served.get(re.sub(r"version=\d+", "version=1", asked))[2]
    assert "1 more trial has ended." in served.get(re.sub(r"version=\d+", "version=3", asked))[2]
    assert "There are new results." in served.get(re.sub(r"-[0-9a-f]+$", "-00000000", asked))[2]


def test_a_study_s_page_is_its_report(served: Served) -> None:
    with StoredStudy.open(served.url, "finished") as stored:
        best = hpsearch.load_best("finished", served.url)
        assert stored.study_id == served.ids["finished"]
    page = served.get(f"/studies/{served.ids['finished']}")[2]
    for value in (best.belief().splitlines()[0], shown(best.corrected.value, best.definition.metric)):  # type: ignore[union-attr]
        assert value in page
    assert page.count('class="plot"') > 5
    assert "<code>hpsearch importance finished</code>" in page  # in the place of what would train networks


@pytest.mark.parametrize("by", ["number", "value"])
def test_all_trials_are_listed_with_their_values(served: Served, by: str) -> None:
    table = hpsearch.load_trials("finished", served.url).sort_values(by)
    page = served.get(f"/studies/{served.ids['finished']}/trials?by={by}")[2]
    head, *rows = Cells(page).rows
    assert [row[0] for row in rows] == [str(number) for number in table["number"]]
    for row, value in zip(rows, table["value"], strict=True):
        assert row[head.index("value")] == (f"{value:.4g}" if value == value else "")
    searched = [name.replace("_", " ") for name in hpsearch.load_best("finished", served.url).chosen]
    assert head[:3] == ["number", "state", "value"]
    assert re.findall(r'data-head="(.*?)"', page) == head * len(rows)  # where a row is a paragraph
    assert set(head[3 : 3 + len(searched)]) == set(searched) >= {"learning rate", "optimizer"}


def test_names_are_text(served: Served) -> None:
    for path in ("/", "/list", f"/studies/{served.ids[STRANGE]}", f"/studies/{served.ids[STRANGE]}/bar", "/<b>x"):
        status, headers, page = served.get(path)
        assert "<b>x" not in page
        if status == 200:
            assert headers["Content-Security-Policy"] == pages.POLICY


def test_no_address_is_a_dead_end(served: Served) -> None:
    one = served.ids["finished"]
    assert served.get("/dashboard")[1]["Location"] == served.get("/dashboard/")[1]["Location"] == "/"
    assert served.get(f"/dashboard/studies/{one}/trialTable")[1]["Location"] == f"/studies/{one}/trials"
    assert (
        served.get(f"/studies/{served.ids[TWO]}/trials")[1]["Location"]
        == f"/dashboard/studies/{served.ids[TWO]}/trials"
    )
    for path in ("/nothing", "/studies/99", "/studies/99999999999", "/studies/99/trials", "/dashboard/studies/99"):
        status, _, page = served.get(path)
        assert status == 404
        assert 'href="/"' in page
    for path in ("/hpsearch/../site.py", "/hpsearch/site.py", f"/studies/{one}/bar", f"/studies/{one}/bar?version=x"):
        assert served.get(path)[0] == 404
    for path in ("/", f"/studies/{one}", f"/dashboard/studies/{one}", "/nothing"):
        _, headers, body = served.get(path, "HEAD")
        assert body == ""
        assert int(headers["Content-Length"]) > 100


def test_what_a_page_refers_to_is_there(served: Served) -> None:
    one = served.ids["finished"]
    for path in ("/", f"/studies/{one}/trials", f"/dashboard/studies/{one}", "/dashboard/compare-studies"):
        for address in re.findall(r'(?:href|src|data-from)="(/[^"]*)"', served.get(path)[2]):
            status, headers, _ = served.get(address.replace("&amp;", "&"))
            assert status == 200, (path, address)
            if address.startswith("/hpsearch/"):
                assert headers["Content-Type"].startswith(pages.FILES[address.rpartition("/")[2]])


def test_optuna_dashboard_s_page_is_its_own_with_ours_in_it_under_its_own_policy(served: Served) -> None:
    path = f"/dashboard/studies/{served.ids['finished']}"
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_ACCEPT_ENCODING": ""}
    setup_testing_defaults(environ)
    _, its, own = asked(served.site.interactive, environ)
    status, headers, page = served.get(path, HTTP_IF_MODIFIED_SINCE="Fri, 01 Jan 2038 00:00:00 GMT")
    assert status == 200
    assert headers["Content-Security-Policy"] == its["Content-Security-Policy"]
    assert "unsafe-inline" not in re.findall(r"script-src[^;]*", headers["Content-Security-Policy"])[0]
    assert "/hpsearch/read_only.css" in page
    assert re.sub(r"<nav id.*?</nav>|<link rel=.*?read_only.js\"></script>", "", page) == own


def test_what_is_served_of_trials_and_studies_can_be_read(served: Served) -> None:
    """A list of hundreds of numbers in a cell would push all others off the screen."""
    study = json.loads(served.get(f"/api/studies/{served.ids['finished']}")[2])
    attributes = [one for trial in study["trials"] for one in trial["user_attrs"]] + study["user_attrs"]
    assert {"parameters", "n_splits"} <= {one["key"] for one in attributes}
    assert all(one["value"][:1] not in ("[", "{") and len(one["value"]) < 300 for one in attributes)


@pytest.mark.campaign
def test_two_hundred_who_say_nothing_and_ten_who_do_not_read_keep_nobody_out(served: Served) -> None:
    server = listening(served.site, "127.0.0.1", 0, idle_seconds=2)
    threading.Thread(target=server.run, daemon=True).start()
    place = ("127.0.0.1", server.effective_port)
    idle = [socket.create_connection(place) for _ in range(200)]
    slow = [socket.create_connection(place) for _ in range(10)]
    for one in slow:
        one.sendall(b"GET /static/bundle.js HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\n\r\n")
    try:
        with urllib.request.urlopen(f"http://{place[0]}:{place[1]}/", timeout=10) as answer:
            assert answer.status == 200
        until = time.monotonic() + 20
        while server.active_channels and time.monotonic() < until:
            time.sleep(0.2)
        assert not server.active_channels
    finally:
        for one in [*idle, *slow]:
            one.close()
        server.close()
