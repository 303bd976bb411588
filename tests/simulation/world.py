"""A machine whose every operation may fail: its disk, its database, its workers and its clock, driven by one schedule.

What the search does is real: coordinator, finals, supervisor, storage, an SQLite file on a disk. Below it, each
statement, commit, write of a file, submission to a worker, wait and look at the clock is an *operation*. The world
counts them, and a schedule says which fault happens at the first operation from a given count on that can have it. So a
schedule is a short list of pairs, which replays exactly and can be shrunk by leaving pairs out.

A process that is killed does nothing more: once it is dead, each further operation raises, those of ``finally`` blocks
too, until the world is revived.
"""

from __future__ import annotations

import errno
import io
import os
import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import optuna.storages._rdb.storage
import sqlalchemy
from sqlalchemy.engine.default import DefaultDialect

import hpsearch.search.coordinator
import hpsearch.search.finals
import hpsearch.search.supervisor
import hpsearch.storage.database

MOST_OPERATIONS = 20_000  # of a schedule; the longest takes some thousand
MOST_LOST = 4  # commits, when the power is cut
MOST_DEATHS = 2  # of workers in a run by a fault: three of one task alone are blamed on the task, rightly


class Failed(Exception):
    """Something was lost, or is not as it would have been."""


class Killed(BaseException):
    """The process is dead. Nothing may catch this but the simulation."""


@dataclass(frozen=True)
class Kind:
    """A fault.

    Attributes:
        at: the operations that can have it.
        does: what happens then.
    """

    at: frozenset[str]
    does: Callable[[World, str], None]


@dataclass(frozen=True, order=True)
class Fault:
    """A fault of a schedule: it happens at the first operation from number ``step`` on that can have it."""

    step: int
    kind: str

    def __repr__(self) -> str:
        return f"Fault({self.step}, {self.kind!r})"


@dataclass
class World:
    """One machine for one schedule.

    Attributes:
        folder: the disk.
        faults: of the schedule that are to come, in their order.
        draw: what is random in the schedule beside its faults: which workers finish when, and what they repeat.
        look: what a reader does.
        intrude: what a second owner does.
        changed: called after each commit and each new file.
        workers: who evaluates tasks in this run.
        step: operations so far.
        clock: of this machine, in seconds; it may jump, and back too.
        dead: whether the process was killed.
        deaths: of workers in this run.
        pace: how much longer than usual this run waits: on a slow machine values of running trials are stored.
        owner: whether the process holds the study's lock, as far as it said.
        lost: what is gone for the rest of this run, the database or the scheduler.
        returns: what the database will be when this process has ended, where it will not be what it is then.
        forgotten: whether that is of a moment before some of what was said.
        happened: the faults that did.
        journal: what happened, for people.
    """

    folder: Path
    faults: list[Fault]
    draw: random.Random
    look: Callable[[], None] = lambda: None
    intrude: Callable[[], None] = lambda: None
    changed: Callable[[], None] = lambda: None
    workers: Any = None
    step: int = 0
    clock: float = 0.0
    dead: bool = False
    deaths: int = 0
    pace: float = 1.0
    owner: bool = False
    lost: str = ""
    returns: bytes | None = None
    forgotten: bool = False
    happened: list[Fault] = field(default_factory=list)
    journal: list[str] = field(default_factory=list)
    _past: list[bytes] = field(default_factory=list)  # the database after its last commits, the latest last
    _inside: bool = False

    def operation(self, name: str) -> None:
        """Take one more operation, and with it the faults that are due."""
        if self._inside:
            return
        if self.dead:
            raise Killed
        self.step += 1
        if self.step > MOST_OPERATIONS:
            self._inside = True  # whatever it does now, it ends
            raise Failed("it hangs")
        if self.lost == "database" and name in ("statement", "commit"):
            raise sqlite3.OperationalError("unable to open database file")
        if self.lost == "scheduler" and name in _SCHEDULER:
            self.workers.lose(True)
        for fault in self.faults:
            if fault.step > self.step:
                return
            if name in KINDS[fault.kind].at:
                self.faults.remove(fault)
                self.happened.append(Fault(self.step, fault.kind))
                self.note(f"{fault.kind}, at operation {self.step}, {name!r}")
                KINDS[fault.kind].does(self, name)
                return

    def note(self, text: str) -> None:
        """Write into the journal."""
        self.journal.append(text)

    def die(self) -> None:
        self.dead = True
        raise Killed

    def looked_at(self) -> None:
        """A reader comes."""
        if self.returns is None:  # else there is nothing to look at
            with self.outside():
                self.look()

    def committed(self) -> None:
        """Remember what the database holds, where it may come back later."""
        if self._inside:
            return
        self.changed()
        if any(fault.kind == "power cut" for fault in self.faults):
            self._past = [*self._past[1 - MOST_LOST :], database_bytes(self.folder)]

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Look at the world as another process that no fault reaches."""
        before, self._inside = self._inside, True
        try:
            yield
        finally:
            self._inside = before

    def begin_run(self) -> None:
        """A new process, and all that had failed works again."""
        for engine in _ENGINES.values():
            engine.dispose()
        while _CONNECTIONS:
            _CONNECTIONS.pop().close()  # a process's connections die with it
        self.dead, self.deaths, self.lost, self.owner = False, 0, "", False
        if self.returns is not None:
            with self.outside():
                for name in ("db-wal", "db-shm"):
                    (self.folder / name).unlink(missing_ok=True)
                (self.folder / "db").write_bytes(self.returns)
            self.returns = None

    # ------------------------------------------------------------ the clock

    def monotonic(self) -> float:
        self.operation("clock")
        return self.clock

    def wait(self, futures: Any, timeout: float, return_when: str) -> None:
        """As ``concurrent.futures.wait``: workers go on meanwhile."""
        self.operation("wait")
        self.clock += self.pace * timeout * self.draw.random()
        self.workers.go_on()

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    # ------------------------------------------------------------ the disk

    def holds(self, path: object) -> bool:
        return str(path).startswith(str(self.folder))

    def open(self, path: Path, mode: str) -> io.BufferedWriter:
        self.operation("open")
        return io.BufferedWriter(_File(self, str(path), mode.replace("b", "")), 512)


class _File(io.FileIO):
    """A file that is written in parts, each of which may be the last."""

    def __init__(self, world: World, path: str, mode: str) -> None:
        super().__init__(path, mode)
        self._world = world

    def write(self, content: Any) -> int:
        self._world.operation("write")
        return super().write(content)

    def close(self) -> None:
        super().close()


def _raise(error: Callable[[], BaseException]) -> Callable[[World, str], None]:
    def does(world: World, name: str) -> None:
        raise error()

    return does


def _kill(world: World, name: str) -> None:
    world.die()


def _cut_power(world: World, name: str) -> None:
    if world._past:  # the last commits had not reached the disk, and files had
        world.returns, world.forgotten = world.draw.choice(world._past), True
    world.die()


def _lose_database(world: World, name: str) -> None:
    world.lost = "database"
    raise sqlite3.OperationalError("unable to open database file")


def _delete_database(world: World, name: str) -> None:
    """Somebody deletes it, and puts it back when the process has ended."""
    if world.returns is None:
        world.returns = database_bytes(world.folder)
        for path in world.folder.glob("db*"):
            if path.is_file() and path.suffix != ".lock":
                os.remove(path)


def _lose_scheduler(world: World, name: str) -> None:
    world.workers.lose(name in _SCHEDULER)


def _begin_scheduler_anew(world: World, name: str) -> None:
    world.workers.begin_anew()


def _kill_worker(world: World, name: str) -> None:
    if world.deaths < MOST_DEATHS:
        world.deaths += 1
        world.workers.die()


def _jump(world: World, name: str) -> None:
    world.clock += world.draw.choice([1, 1, -1]) * 10 ** world.draw.uniform(-1, 3)


def _look(world: World, name: str) -> None:
    world.looked_at()


def _intrude(world: World, name: str) -> None:
    with world.outside():
        world.intrude()


_DATABASE = frozenset(["statement", "commit"])
_DISK = frozenset(["write", "replace"])
_SCHEDULER = frozenset(["submit", "restart", "connect", "scatter", "inquire"])
_WORKERS = frozenset(["submit", "poll", "answer"])
_ANY = _DATABASE | _DISK | _WORKERS | _SCHEDULER | {"open", "wait", "committed", "replaced", "progress"}
_CHANGES = frozenset(["committed", "replaced"])  # in between, whoever looks sees the same
KINDS: Mapping[str, Kind] = {
    "kill": Kind(_ANY, _kill),
    "kill at a commit": Kind(frozenset(["commit", "committed"]), _kill),
    "kill at a file": Kind(_DISK | {"replaced"}, _kill),
    "interrupt": Kind(_ANY, _raise(KeyboardInterrupt)),
    "commit refused": Kind(frozenset(["commit"]), _raise(lambda: sqlite3.OperationalError("database is locked"))),
    "commit's answer lost": Kind(frozenset(["committed"]), _raise(lambda: sqlite3.OperationalError("disk I/O error"))),
    "database full": Kind(
        frozenset(["statement"]), _raise(lambda: sqlite3.OperationalError("database or disk is full"))
    ),
    "database gone": Kind(_DATABASE, _lose_database),
    "database deleted": Kind(frozenset(["wait"]), _delete_database),
    "power cut": Kind(_CHANGES | {"commit"}, _cut_power),
    "disk full": Kind(_DISK, _raise(lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))),
    "worker dies": Kind(_WORKERS, _kill_worker),
    "scheduler gone": Kind(_SCHEDULER | {"answer"}, _lose_scheduler),
    "scheduler anew": Kind(frozenset(["answer"]), _begin_scheduler_anew),
    "clock jumps": Kind(frozenset(["clock"]), _jump),
    "a reader": Kind(_CHANGES | {"progress"}, _look),
    "a second owner": Kind(_ANY, _intrude),
}


def database_bytes(folder: Path) -> bytes:
    """What the database holds now, as the file that it would be if its log were part of it."""
    with closing(sqlite3.connect(folder / "db")) as database:
        return database.serialize()


_ENGINES: dict[tuple[str, bool], sqlalchemy.Engine] = {}
_CONNECTIONS: list[Any] = []  # that were made since the last process began


@contextmanager
def inhabited(world: World) -> Iterator[None]:
    """Have every operation of this process on the world's folder, workers and clock go through the world."""
    real_open, real_unlink, real_replace, real_commit = Path.open, Path.unlink, os.replace, DefaultDialect.do_commit

    def open_path(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if mode == "wb" and world.holds(path) and not world._inside:
            return world.open(path, mode)
        return real_open(path, mode, *args, **options)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if world.dead and not world._inside and world.holds(path):
            raise Killed
        real_unlink(path, missing_ok)

    def replace(source: Any, target: Any, **options: Any) -> None:
        if not world.holds(target):
            return real_replace(source, target, **options)
        world.operation("replace")
        real_replace(source, target, **options)
        world.changed()
        return world.operation("replaced")

    def commit(dialect: Any, connection: Any) -> None:
        world.operation("commit")
        real_commit(dialect, connection)
        world.committed()
        world.operation("committed")

    def statement(connection: Any, cursor: Any, text: str, *_: Any) -> None:
        world.operation("statement")

    clock = SimpleNamespace(monotonic=world.monotonic, sleep=world.sleep)
    real_engine = sqlalchemy.engine.create_engine

    def create_engine(url: Any, **options: Any) -> sqlalchemy.Engine:
        # One engine a process and a kind of user: its connections are new each time, and its SQL is compiled once,
        # which is half of the time of a run.
        key = str(url), "pool_events" in options
        if key not in _ENGINES:
            options["connect_args"] = {"timeout": 0}  # who would wait for a lock waits for itself: all is one thread
            _ENGINES[key] = real_engine(url, **options)
            sqlalchemy.event.listen(_ENGINES[key], "connect", lambda made, record: _CONNECTIONS.append(made))
        return _ENGINES[key]

    event = sqlalchemy.engine.Engine, "before_cursor_execute", statement
    sqlalchemy.event.listen(*event)
    try:
        with (
            patch.object(Path, "open", open_path),
            patch.object(Path, "unlink", unlink),
            patch.object(os, "replace", replace),
            patch.object(sqlalchemy.engine, "create_engine", create_engine),
            patch.object(DefaultDialect, "do_commit", commit),
            patch.object(hpsearch.search.supervisor, "time", clock),
            patch.object(hpsearch.search.coordinator, "time", clock),
            patch.object(hpsearch.search.finals, "time", clock),
            patch.object(hpsearch.search.supervisor, "wait", world.wait),
            patch.object(hpsearch.storage.database, "time", clock),
            patch.object(optuna.storages._rdb.storage, "time", clock),
            patch.object(optuna.storages._rdb.storage, "random", world.draw),  # how long it waits
        ):
            yield
    finally:
        sqlalchemy.event.remove(*event)
        world.begin_run()
