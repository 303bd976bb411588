"""Runs a study in a process of its own that dies on the way: imported by a fork server, so that it starts at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import sklearn.model_selection
import sklearn.preprocessing  # noqa: F401  (what a run imports is imported by the server, once)
import sqlalchemy
from sqlalchemy.engine.default import DefaultDialect

import hpsearch
import hpsearch.results.tables
import hpsearch.search.coordinator
import hpsearch.search.executors
import hpsearch.search.proposer
import hpsearch.storage.lock
import hpsearch.storage.stored_study

SERVER = multiprocessing.get_context("forkserver")
# What a run imports is imported by the server, once. (It does not find modules of the tests.)
SERVER.set_forkserver_preload(
    [
        "hpsearch.api",
        "hpsearch.results.tables",
        "hpsearch.search.coordinator",
        "hpsearch.storage.lock",
        "nnfs.datasets",
        "sklearn.model_selection",
        "sklearn.preprocessing",
    ]
)

CHANGES = ("INSERT", "UPDATE", "DELETE", "CREATE")


def run(study: str, storage: str, workers: int) -> None:
    """Run a study in a process group of its own."""
    os.setsid()
    hpsearch.run(study, storage=storage, workers=workers)


def run_and_stay(study: str, storage: str, workers: int, told: int, flag: str) -> None:
    """Run a study until so many trials are told, make the file ``flag``, and stay its owner until killed."""

    def watch(progress: hpsearch.search.coordinator.Progress) -> None:
        if len(progress.results) >= told:
            Path(flag).touch()
            time.sleep(600)

    hpsearch.run(study, storage=storage, workers=workers, watch=watch)


def record_scorings(storage: str, process: int, count: int, begin: Any, known: Any) -> None:
    """Record so many looks at a hold-out as fast as they go, and say how often it had been looked at before each."""
    with hpsearch.storage.stored_study.StoredStudy.open(storage, "small") as stored:
        begin.wait(60)
        for number in range(count):
            known.put(stored.record_scoring({"configuration": f"{process}, {number}"}))


@contextmanager
def owner(study: Path, storage: str, workers: int = 1, told: int = 2) -> Iterator[BaseProcess]:
    """A process that runs a study and stays its owner when so many trials are told; killed in the end."""
    flag = study.with_name("told")
    process = SERVER.Process(target=run_and_stay, args=(str(study), storage, workers, told, str(flag)))
    process.start()
    try:
        while not flag.exists():
            assert process.is_alive()
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.join()


def run_until_write(study: str, storage: str, write: int, when: str) -> None:
    """Run a study and be killed ``before`` or ``after`` its ``write``-th statement or commit that changes something."""
    writes = 0

    def count(at: str) -> None:
        nonlocal writes
        if at == "before":
            writes += 1
        if writes == write and at == when:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.lstrip()[:6].upper() in CHANGES:
            count("before")

    def after(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.lstrip()[:6].upper() in CHANGES:
            count("after")

    real_commit = DefaultDialect.do_commit

    def commit(self: Any, connection: Any) -> None:
        count("before")
        real_commit(self, connection)
        count("after")

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", before)
    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "after_cursor_execute", after)
    DefaultDialect.do_commit = commit  # type: ignore[method-assign]
    hpsearch.run(study, storage=storage)
