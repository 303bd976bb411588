"""The dashboard's addresses: our own pages in front, optuna-dashboard's behind them (WSGI, PEP 3333)."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from hpsearch.errors import HpsearchError
from hpsearch.reporting import pages
from hpsearch.reporting.guard import Application, Environ, StartResponse
from hpsearch.reporting.overview import Overview, Standing
from hpsearch.reporting.parts import part
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.results.views import trials_view

_TYPE = "Content-Type"
_HTML = "text/html; charset=utf-8"
# Of what a browser may ask optuna-dashboard not to send again: these pages are not as they lie on the disk.
_CONDITIONS = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_RANGE")
_OF_FILES = ("last-modified", "etag", "accept-ranges", "content-length")
_HEAD = (
    b'<link rel="icon" href="/hpsearch/icon.svg"><link rel="stylesheet" href="/hpsearch/read_only.css">'
    b'<script defer src="/hpsearch/read_only.js"></script></head>'
)


@dataclass
class Answer:
    """What is sent for a request."""

    body: str
    status: str = "200 OK"
    headers: list[tuple[str, str]] = field(
        default_factory=lambda: [(_TYPE, _HTML), ("Content-Security-Policy", pages.POLICY)]
    )


@dataclass
class _Report:
    """The page of a study as it was made last, of which version of the study, and who makes another one now."""

    page: str = ""
    version: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Site:
    """Routes requests.

    Attributes:
        overview: of the studies.
        interactive: optuna-dashboard.
        look: has what it shows of a study brought up to date, by the study's number.
        notes: of a study's trials, by the study's number and Optuna's of the trial.
    """

    overview: Overview
    interactive: Application
    look: Callable[[int], None]
    notes: Callable[[int], Mapping[int, str]]
    _reports: dict[int, _Report] = field(default_factory=dict)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").rstrip("/") or "/"
        query = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        try:
            answer = self._own(path, query)
            if answer is None:
                return self._optuna_dashboard(path, environ, start_response)
        except HpsearchError as error:
            answer = Answer(pages.message("Cannot be shown", str(error)), "503 Service Unavailable")
        body = answer.body.encode()
        start_response(answer.status, [*answer.headers, ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _own(self, path: str, query: dict[str, str]) -> Answer | None:
        """The answer to what we serve ourselves."""
        if path == "/":
            return Answer(pages.list_page(self.overview.url, self.overview.studies()))
        if path == "/list":
            return Answer(pages.study_list(self.overview.studies()))
        if path == "/dashboard":
            return _to("/")
        if path == "/favicon.ico":
            return _file("icon.svg")
        if found := re.fullmatch(r"/hpsearch/(\w+\.\w+)", path):
            return _file(found[1]) if found[1] in pages.FILES else _nowhere(path)
        if found := re.fullmatch(r"/dashboard/studies/(\d+)/trialTable", path):  # a page that optuna-dashboard dropped
            return _to(f"/studies/{found[1]}/trials")
        if found := re.fullmatch(r"/studies/(\d{1,9})(?:/(bar|trials))?", path):
            study = self.overview.study(int(found[1]))
            return _no_study(found[1]) if study is None else self._study(study, found[2], query)
        if found := re.fullmatch(r"/dashboard/studies/(\d+)(?:/.*)?", path):
            return None if self._is_there(found[1]) else _no_study(found[1])
        return None if re.match(r"/(dashboard|api|static|csv)/", path) else _nowhere(path)

    def _study(self, study: Standing, page: str | None, query: dict[str, str]) -> Answer:
        if page == "bar":
            version, here = query.get("version", ""), query.get("page")
            if here not in pages.BARRED or not re.fullmatch(r"\d{1,9}-[0-9a-f]{8}", version):
                return _nowhere(f"/studies/{study.study_id}/bar")
            return Answer(pages.bar_content(study, version, here))
        if page == "trials":
            if not study.ours:
                return _to(f"/dashboard/studies/{study.study_id}/trials")
            return Answer(pages.trials_page(study, trials_view(self.overview.stored(study)), query.get("by", "number")))
        made = self._report(study)
        # A report has its own policy, which names its scripts by their hashes.
        policy = "frame-ancestors 'none'" if study.ours and study.counts.ended else pages.POLICY
        return Answer(made, headers=[(_TYPE, _HTML), ("Content-Security-Policy", policy)])

    def _report(self, study: Standing) -> str:
        """A study's page; while a newer one is being made, which may take seconds, the one before."""
        made = self._reports.setdefault(study.study_id, _Report())
        if made.version != study.version and made.lock.acquire(blocking=made.version is None):
            try:
                if made.version != study.version:
                    stored = self.overview.stored(study)
                    made.page, made.version = pages.study_page(study, Snapshot(stored)), study.version
            finally:
                made.lock.release()
        return made.page

    def _is_there(self, number: str) -> bool:
        return len(number) < 10 and self.overview.study(int(number)) is not None

    def _optuna_dashboard(self, path: str, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Hand on, with what is asked about brought up to date, and with our links in its pages."""
        if found := re.match(r"/(?:api/studies|csv)/(\d{1,9})(?:/|$)", path):
            self.look(int(found[1]))
        of_study = re.fullmatch(r"/api/studies/(\d{1,9})", path)
        if of_study is None and not path.startswith("/dashboard/"):
            return self.interactive(environ, start_response)
        got: list[Any] = []
        asked = {name: value for name, value in environ.items() if name not in _CONDITIONS} | {"REQUEST_METHOD": "GET"}
        chunks = self.interactive(asked, lambda status, headers, *_: got.extend((status, headers)))
        try:
            body = b"".join(chunks)
        finally:
            getattr(chunks, "close", lambda: None)()
        status, headers = got
        if of_study is None:
            body = _with_links(path, body)
        elif status.startswith("200"):
            body = _with_notes(body, self.notes(int(of_study[1])))
        kept = [header for header in headers if header[0].lower() not in _OF_FILES]
        start_response(status, [*kept, ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _with_links(path: str, page: bytes) -> bytes:
    """A page of optuna-dashboard's with our links."""
    of_study = re.match(r"/dashboard/studies/(\d+)", path)
    links = pages.links_of(int(of_study[1])).encode() if of_study else b""
    return page.replace(b"</head>", _HEAD, 1).replace(b"<body>", b"<body>" + links, 1)


def _with_notes(study: bytes, notes: Mapping[int, str]) -> bytes:
    """What optuna-dashboard says of a study, with our notes of its trials."""
    content = json.loads(study)
    for trial in (*content["trials"], *content["best_trials"]):
        if (note := notes.get(trial["trial_id"])) is not None:
            trial["note"] = {"version": 1, "body": note}
    return json.dumps(content).encode()


def _to(address: str) -> Answer:
    return Answer("", "302 Found", [("Location", address)])


def _file(name: str) -> Answer:
    return Answer(part(name), headers=[(_TYPE, f"{pages.FILES[name]}; charset=utf-8")])


def _nowhere(path: str) -> Answer:
    return Answer(pages.message("Not found", f"There is no page {path}."), "404 Not Found")


def _no_study(number: str) -> Answer:
    return Answer(pages.message("Not found", f"The storage holds no study of the number {number}."), "404 Not Found")
