"""Runs studies through bad days: ``python tests/simulation/simulate.py --schedules 10000``.

A schedule is a study, the disk on which a killed process left it, and a list of faults, drawn from one seed. The study
is run, with the faults, as often as it takes, and once more without; then everything that is stored must be as if
nothing had happened, to the byte. On the way nothing that was told may be lost, and whoever reads sees a whole study.
``--seed N`` replays one schedule; if it fails, faults are left out for as long as it still does. Which faults there
are: :data:`world.KINDS`, and tests/README.md.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import optuna
from planted import PLANTED
from workers import Evaluated, SimulatedExecutor, on_dask
from world import KINDS, Failed, Fault, Killed, World, database_bytes, inhabited

import hpsearch.search.baselines
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import HpsearchError, StudyOwnedError
from hpsearch.search.baselines import Comparison, Shipped, compare
from hpsearch.search.coordinator import Progress
from hpsearch.search.executors import TrialExecutor
from hpsearch.search.objective import Prepared, TrialTask, evaluate, prepare
from hpsearch.search.run import owned, search
from hpsearch.storage.quiet import quiet

NAME = "s"
DASK = "dask"  # in the place of the number of tasks that an executor takes at a time
OPENING = 60  # operations, about, until a process has its first task
WATCHED = 0.05  # of the schedules: somebody looks after each change
CHUNK = 500  # schedules of a process, one after the other
SHORTER = 15  # of the last disks of a run of fewer trials, which has chosen, scored and compared with what it had
SLOW = 30  # times as long as usual waits a process on a slow machine
MOST_RUNS = 40  # of one schedule: its faults are fewer, and each ends at most one run
_BASE: Mapping[str, Any] = {
    "study": {"name": NAME, "seed": 1},
    "data": {"source": "nnfs:spiral", "samples": 3},
    "validation": {"n_splits": 2},
    "train": {"epochs": 8, "evaluate_every": 2, "neurons": 4},
    "space": {"learning_rate": {"float": [1e-3, 1.0], "log": True}},
}
_FEW = {"optimizer": {"choice": ["adam", "sgd"]}, "neurons": {"choice": [2, 4]}}
_FINALS = {"finalists": 2, "finalist_repeats": 1}
_MEDIAN = {"name": "median", "n_startup_trials": 1}
# Studies that differ in what their coordinator has to do.
STUDIES: Mapping[str, Mapping[str, Any]] = {
    "random, pruned, with finals and a corrected score": {
        "data": {"source": "nnfs:spiral", "samples": 8},
        "validation": {"n_splits": 3},
        "search": {"trials": 4, "in_flight": 2, "sampler": "random", "pruner": _MEDIAN, **_FINALS},
    },
    "tpe, duplicates": {
        "space": _FEW,
        "search": {
            "trials": 6,
            "in_flight": 3,
            "sampler": {"name": "tpe", "n_startup_trials": 2},
            "pruner": "none",
            "finalists": 1,
            "finalist_repeats": 1,
        },
    },
    "stopped, patient": {
        "search": {
            "trials": 9,
            "in_flight": 2,
            "stop": 2,
            "sampler": "random",
            "pruner": "successive_halving",
            "patience": 0.5,
            "finalists": 0,
        }
    },
    "stateful sampler": {
        "space": {
            "learning_rate": {"float": [1e-3, 1.0], "log": True},
            "momentum": {"float": [0.0, 0.9]},
        },
        "train": {**_BASE["train"], "optimizer": "sgd"},
        "search": {"trials": 5, "in_flight": 1, "sampler": "cmaes", "pruner": "none", **_FINALS},
    },
    "a diverging trial": {
        "train": {**_BASE["train"], "optimizer": "sgd"},
        "space": {"learning_rate": {"float": [1e-3, 1e30], "log": True}},
        "search": {"trials": 4, "in_flight": 4, "sampler": "random", "pruner": "hyperband", **_FINALS},
    },
    "a trial that kills its worker": {
        "search": {"trials": 4, "in_flight": 2, "sampler": "random", "pruner": _MEDIAN, **_FINALS}
    },
    "several objectives, no folds": {
        "validation": {"splitter": "shuffle", "n_splits": 2},
        "space": _FEW,
        "search": {
            "trials": 4,
            "in_flight": 2,
            "objectives": ["loss", "parameters"],
            "sampler": {"name": "tpe", "n_startup_trials": 2},
            "pruner": "none",
            **_FINALS,
        },
    },
}
OF_WORKERS = ("worker dies", "scheduler gone", "scheduler anew", "clock jumps")
POISONED = {"a trial that kills its worker": 1}  # the number of that trial


# ---------------------------------------------------------------- what is run


@dataclass(frozen=True)
class Subject:
    """A study to be run, and what comes of it where nothing fails."""

    name: str

    @cached_property
    def prepared(self) -> Prepared:
        return prepare(StudyDefinition.from_mapping({**_BASE, **STUDIES[self.name]}))

    @cached_property
    def _known(self) -> dict[str, Evaluated]:
        return {}

    @cached_property
    def _compared(self) -> dict[tuple[int, int, bool, int], tuple[Comparison, int]]:
        return {}

    def evaluated(self, task: TrialTask) -> Evaluated:
        """What ``evaluate`` makes of a task, evaluated once."""
        key = repr(task)
        if key not in self._known:
            messages: list[tuple[int, float]] = []
            result = evaluate(self.prepared, task, lambda epoch, mean: messages.append((epoch, mean)))
            dies = task.number == POISONED.get(self.name)
            self._known[key] = Evaluated(replace(result, seconds=0.0), messages, dies)
        return self._known[key]

    def compared(
        self,
        prepared: Prepared,
        shipped: Shipped,
        chosen: Mapping[str, Any],
        told: int,
        limit: float,
        check_clock: Callable[[], None],
    ) -> Comparison:
        """What ``compare`` makes of what is shipped, fitted once."""
        key = shipped.trial, shipped.epoch, shipped.of_ensemble, told
        if key not in self._compared:
            fits: list[None] = []
            found = compare(prepared, shipped, chosen, told, limit, lambda: fits.append(None))
            self._compared[key] = found, len(fits)
        found, n_fits = self._compared[key]
        for _ in range(n_fits):
            check_clock()
        return found

    @property
    def straight(self) -> Stored:
        """What is stored after a run in which nothing fails."""
        return self._straight[0]

    @property
    def disks(self) -> Sequence[Disk]:
        """What a process leaves that is killed in such a run, before each commit and each new file, and at its end."""
        return self._straight[1]

    @cached_property
    def shorter(self) -> Sequence[Disk]:
        """The same at the end of runs of fewer trials."""
        return self._straight[2]

    @cached_property
    def _straight(self) -> tuple[Stored, Sequence[Disk], Sequence[Disk]]:
        found, disks = self._run_through(None)
        fewer = sorted({2, self.prepared.limit - 1})
        return found, disks, [each for trials in fewer for each in self._run_through(trials)[1][-SHORTER:]]

    def _run_through(self, trials: int | None) -> tuple[Stored, Sequence[Disk]]:
        with disk() as folder:
            disks = [Disk.of(folder, 0)]
            world = World(folder, [], random.Random(0))
            world.changed = lambda: disks.append(Disk.of(folder, world.step))
            with inhabited(world), SimulatedExecutor(world, self.evaluated, None) as executor:
                run_once(self, world, executor, trials=trials)
            return stored(self, folder), disks


@dataclass(frozen=True)
class Disk:
    """What a disk holds, and after how many operations."""

    step: int
    database: bytes
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, folder: Path, step: int) -> Disk:
        return cls(step, database_bytes(folder), _files(folder))

    def write(self, folder: Path) -> None:
        (folder / "db").write_bytes(self.database)
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _files(folder: Path) -> dict[str, bytes]:
    """All files beside the database."""
    paths = sorted(path for path in (folder / "db.rows").rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@cache
def subject(name: str) -> Subject:
    return Subject(name)


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/db"


def run_once(
    of: Subject,
    world: World,
    executor: TrialExecutor,
    timeout: float | None = None,
    trials: int | None = None,
    told: Callable[[Progress], None] = lambda progress: None,
) -> bool:
    """Run a study as ``hpsearch.run`` does; returns whether it came to its end."""
    prepared = of.prepared
    if trials is not None:
        prepared = copy(prepared)  # which keeps the splits of the finals, where ``replace`` would deal them anew
        object.__setattr__(prepared, "definition", prepared.definition.with_trials(trials))

    def on_progress(progress: Progress) -> None:
        world.owner = True
        told(progress)
        world.operation("progress")

    with executor, owned(prepared, url(world.folder), []) as stored:
        try:
            with patch.object(hpsearch.search.baselines, "compare", of.compared):
                return search(prepared, stored, executor, on_progress=on_progress, timeout=timeout, baselines=True)
        finally:
            world.owner = False


@contextmanager
def disk(holds: Disk | None = None) -> Iterator[Path]:
    """The folder of this process's disk, with an empty storage or another content; in memory where the machine has one
    there."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    folder = place / f"hpsearch-simulation-{os.getpid()}"  # always of one name, by which the world knows its engine
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier process of this number that was killed
    folder.mkdir()
    try:
        (holds or _empty()).write(folder)
        yield folder
    finally:
        shutil.rmtree(folder)


@cache
def _empty() -> Disk:
    """A storage without a study: making its tables takes longer than a run."""
    with tempfile.TemporaryDirectory() as folder:
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/db")
        storage.remove_session()
        storage.engine.dispose()
        return Disk.of(Path(folder), 0)


# ---------------------------------------------------------------- what is stored


@dataclass(frozen=True)
class Stored:
    """All that a study left: rows of its database but for times and keys, and the bytes of its files.

    Attributes:
        trials: one a trial, told or running.
        study: its attributes.
        files: of the per-row results of what was told.
    """

    trials: Sequence[Mapping[str, Any]]
    study: Mapping[str, Any]
    files: Mapping[str, bytes]


def stored(of: Subject, folder: Path) -> Stored:
    """What lies in a folder, read by other means than those of the product, as far as it is whole.

    Raises:
        Failed: what was told has no per-row results, or a database that is damaged.
    """
    database = sqlite3.connect(f"file:{folder}/db?mode=ro", uri=True)
    try:
        if database.execute("pragma integrity_check").fetchone() != ("ok",):
            raise Failed("the database is damaged")
        trials = _trials(database)
        rows = database.execute("select key, value_json from study_user_attributes").fetchall()
        study = {key: json.loads(value) for key, value in rows}
    finally:
        database.close()
    files = {}
    rows_of = folder / "db.rows" / f"study-{NAME}"
    for trial in trials:
        if trial["state"] == "COMPLETE" and "same_as" not in trial["attributes"]:
            files[f"trial-{trial['number']}"] = _bytes(rows_of / f"trial-{trial['number']}.npz")
    for number, final in study.get("finals", {}).items():
        if final["state"] == "COMPLETE":
            files[f"final-{number}"] = _bytes(rows_of / "finals" / f"trial-{number}.npz")
    fewer = study.get("fewer_rows")
    if fewer is not None and fewer["state"] == "COMPLETE":
        files["fewer"] = _bytes(rows_of / "finals" / "fewer" / f"trial-{fewer['trial']}.npz")
    if files:
        files["layout"] = _bytes(rows_of / "layout.npz")
    return Stored(trials, study, files)


def digest(folder: Path) -> bytes:
    """Of all that a process which begins can find, but for times."""
    found = hashlib.blake2b(repr(_files(folder)).encode())
    with closing(sqlite3.connect(folder / "db")) as database:
        if not _COLUMNS:
            for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
                columns = database.execute(f"pragma table_info({table})").fetchall()
                is_named = table in ("studies", "trials")  # by the keys of other tables
                names = [name for _, name, kind, _, _, key in columns if kind != "DATETIME" and (is_named or not key)]
                _COLUMNS[table] = ", ".join(names) or "count(*)"
        for table, names in _COLUMNS.items():
            found.update(repr(sorted(database.execute(f"select {names} from {table}"), key=repr)).encode())
    return found.digest()


_COLUMNS: dict[str, str] = {}  # of each table, those that are neither times nor keys that nothing names


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failed(f"what was told has no {path.name}") from error


_TABLES = {
    "parameters": ("trial_params", "param_name, param_value, distribution_json"),
    "intermediate": ("trial_intermediate_values", "step, intermediate_value, intermediate_value_type"),
    "attributes": ("trial_user_attributes", "key, value_json"),
    "system": ("trial_system_attributes", "key, value_json"),
    "values": ("trial_values", "objective, value, value_type"),
}


def _trials(database: sqlite3.Connection) -> list[dict[str, Any]]:
    found = database.execute("select trial_id, number, state from trials order by number").fetchall()
    trials = {trial_id: {"number": number, "state": state} for trial_id, number, state in found}
    for name, (table, columns) in _TABLES.items():
        for trial in trials.values():
            trial[name] = {}
        for trial_id, key, *values in database.execute(f"select trial_id, {columns} from {table} order by 1, 2"):
            trials[trial_id][name][key] = values
    for trial in trials.values():
        if "reason" in trial["attributes"]:  # how a worker's death is called is a matter of who runs it
            trial["attributes"]["reason"] = [re.sub(", the last time: .*", "", trial["attributes"]["reason"][0])]
    return list(trials.values())


def check_whole(found: Stored, expected: Stored) -> None:
    """Everything there, once, as if nothing had happened.

    Raises:
        Failed: with the first difference.
    """
    check_prefix(found, expected)
    if len(found.trials) != len(expected.trials):
        raise Failed(f"there are {len(found.trials)} trials instead of {len(expected.trials)}")
    for one, other in zip(found.trials, expected.trials, strict=True):
        if one != other:
            raise Failed(f"trial {one['number']}: {difference(one, other)}")
    # Runs that asked for fewer trials had finalists of their own, whose results stay; and they store their number.
    finals = expected.study.get("finals", {})
    mine = {**found.study, "finals": {number: found.study.get("finals", {}).get(number) for number in finals}}
    theirs = {**expected.study, "finals": finals}
    if mine != theirs:
        raise Failed(f"the study: {difference(mine, theirs)}")
    if found.files.get("fewer") != expected.files.get("fewer"):
        raise Failed("the file of the finalist with fewer rows differs")


def difference(found: Any, expected: Any) -> str:
    """Where two plain values differ, and how."""
    if not isinstance(found, Mapping) or not isinstance(expected, Mapping):
        return f"{found!r} instead of {expected!r}"
    keys = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
    return "; ".join(f"{key}: {difference(found.get(key), expected.get(key))}" for key in keys)


def check_prefix(found: Stored, expected: Stored) -> None:
    """What is stored at any moment: told trials as they will be, in order; then running ones.

    Raises:
        Failed: with what is not so.
    """
    running = False
    for number, trial in enumerate(found.trials):
        if trial["number"] != number:
            raise Failed(f"trial {trial['number']} stands where {number} should")
        if number >= len(expected.trials):
            raise Failed(f"trial {number} should not be")
        should = expected.trials[number]
        if trial["state"] == "RUNNING":
            running = True
            for name in ("parameters", "system"):
                if trial[name] != should[name]:
                    raise Failed(f"trial {number} was proposed as {trial[name]} instead of {should[name]}")
        elif running:
            raise Failed(f"trial {number} was told before an earlier one")
        elif trial != should:
            raise Failed(f"trial {number}: {difference(trial, should)}")
    told = [trial for trial in found.trials if trial["state"] != "RUNNING"]
    for name, content in expected.files.items():
        if name != "fewer" and found.files.get(name, content) != content:
            raise Failed(f"the file of {name} differs")
    for number in found.study.get("finals", {}):
        if int(number) >= len(told):
            raise Failed(f"trial {number} is a finalist that was not told")


# ---------------------------------------------------------------- a schedule


@dataclass(frozen=True)
class Schedule:
    """A study, the disk on which it is found, its faults, and the seed of what else is random.

    Attributes:
        study: its name.
        begun: where in ``disks`` of the subject, followed by ``shorter``: an empty one, or what a process has left.
        faults: in their order.
        dask: how likely it is that a process has its workers from Dask.
        seed: of what else is random.
    """

    study: str
    begun: int
    faults: tuple[Fault, ...]
    dask: float
    seed: int

    @classmethod
    def drawn(cls, seed: int) -> Schedule:
        draw = random.Random(seed)
        study = draw.choice(list(STUDIES))
        disks, shorter = subject(study).disks, subject(study).shorter
        # Some are about workers only, which have most to do at first: their faults would be rare among all others.
        of_workers = draw.random() < 0.15
        kinds, dask = (OF_WORKERS, 0.7) if of_workers else (tuple(KINDS), 0.2)
        first = draw.random()
        if first < (0.3 if of_workers else 0.1):
            begun = 0
        elif first < 0.25 and not of_workers:
            begun = len(disks) + draw.randrange(len(shorter))
        else:
            begun = draw.randrange(len(disks) // 2 if of_workers else len(disks))
        left = max(0, disks[-1].step - [*disks, *shorter][begun].step) + OPENING
        # Anywhere in what is left, or soon; or soon after another, where what follows a failure fails too. Sometimes
        # the same again and again.
        again = draw.random() < (0.25 if of_workers else 0.05)
        kinds, most = ((draw.choice(kinds),), OPENING // 3) if again else (kinds, OPENING)
        steps: list[int] = []
        for _ in range(draw.choice([3, 4, 5] if again else [1, 1, 2, 2, 3, 4])):
            anywhere = draw.random() < (0.3 if not steps else 0.0 if again else 0.4)
            soon = draw.randrange(2 * OPENING) if not steps else steps[-1] + draw.randrange(most)
            steps.append(draw.randrange(left) if anywhere else soon)
        faults = sorted(Fault(step, draw.choice(kinds)) for step in steps)
        if draw.random() < (0.2 if of_workers else 0.8):  # what the faults leave behind is found in another process
            kind = draw.choice(["kill", "kill at a commit", "kill at a file"])
            faults.append(Fault(faults[-1].step + draw.randrange(OPENING), kind))
        return cls(study, begun, tuple(faults), dask, draw.getrandbits(32))

    def outcome(self, known: set[bytes] | None = None) -> Outcome:
        """Run it to its end and check all.

        Args:
            known: disks from which a process in which nothing fails has come to the right end, to which this schedule's
                are added: from one of those it need not be run again.
        """
        of = subject(self.study)
        with disk([*of.disks, *of.shorter][self.begun]) as folder:
            world = World(folder, sorted(self.faults), random.Random(self.seed))
            world.note(f"{self.study!r}, as a process left it, disk {self.begun} of those in a run")
            try:
                self._play(world, known)
            except Failed as failed:
                return Outcome(world, str(failed))
            except Exception as error:  # a bug of the product, or of the simulation
                return Outcome(world, "".join(traceback.format_exception(error)[-3:]))
            return Outcome(world)

    def failure(self) -> str | None:
        """Why it fails; None if it does not."""
        return self.outcome().failure

    def _play(self, world: World, known: set[bytes] | None) -> None:
        """
        Raises:
            Failed: what was found, and was not to be.
        """
        of, folder, said = subject(self.study), world.folder, Said()

        def look() -> None:
            found = stored(of, folder)
            check_prefix(found, of.straight)
            said.check(of, found, asked=world.owner)

        world.look, world.intrude = look, lambda: _second_owners(of, world)
        if world.draw.random() < WATCHED:
            world.changed = world.looked_at
        before = None
        with inhabited(world):
            for run in range(MOST_RUNS):
                last = run > 2 * len(self.faults)
                if last:
                    world.faults.clear()
                if known is not None and not world.faults:
                    before = digest(folder)
                    if before in known:
                        world.note("a process in which nothing fails has come to the right end from there")
                        return
                if self._run(of, world, said, last):
                    break
                world.begin_run()
                if world.forgotten:
                    said.forget()
                    world.forgotten = False
                look()
            else:
                raise Failed("it does not come to its end")
        check_whole(stored(of, folder), of.straight)
        if known is not None and before is not None:
            known.add(before)

    def _run(self, of: Subject, world: World, said: Said, last: bool) -> bool:
        """One process; returns whether it came to the end of the whole study."""
        draw = world.draw
        trials = None if last or draw.random() < 0.9 else draw.randint(1, of.prepared.definition.trials)
        timeout = None if last or draw.random() < 0.85 else 10 ** draw.uniform(-1, 2)
        capacity = DASK if draw.random() < self.dask else draw.choice([1, 2, 3, None])
        world.pace = draw.choice([1, 1, 1, SLOW])
        said.wanted = trials
        world.note(
            f"a process begins: trials {trials or 'all'}, timeout {timeout}, tasks at a time {capacity or 'all'}"
        )

        def told(progress: Progress) -> None:
            said.hear(progress)
            world.note(f"    {len(progress.results)} trials told, {len(progress.finals)} finalists")

        def evaluated(task: TrialTask) -> Evaluated:
            said.check_task(task)
            return of.evaluated(task)

        try:
            with quiet(), ExitStack() as stack:
                if capacity == DASK:
                    executor = stack.enter_context(on_dask(world, evaluated))
                else:
                    executor = SimulatedExecutor(world, evaluated, capacity)
                ended = run_once(of, world, executor, timeout, trials, told)
            world.note("it came to its end" if ended else "its time is up")
            return ended and trials is None and timeout is None  # what ends in time may leave baselines to the next
        except (HpsearchError, Killed, KeyboardInterrupt) as error:
            world.note(f"it ends: {type(error).__name__} {error}")
            return False

    def shrunk(self) -> Schedule:
        """A schedule that fails too and has no fault to spare."""
        schedule = self
        shorter = True
        while shorter:
            shorter = False
            for place in range(len(schedule.faults)):
                less = replace(schedule, faults=schedule.faults[:place] + schedule.faults[place + 1 :])
                if less.failure() is not None:
                    schedule, shorter = less, True
                    break
        return schedule


@dataclass(frozen=True)
class Outcome:
    """What became of a schedule.

    Attributes:
        world: it all happened in.
        failure: what was found, and was not to be; None if nothing was.
    """

    world: World
    failure: str | None = None


@dataclass
class Said:
    """What people were told of a study, and are not to be told again, or to miss.

    Attributes:
        trials: how many were told.
        finals: the finalists that were.
        wanted: how many trials this process was asked for; None for all.
    """

    trials: int = 0
    finals: set[int] = field(default_factory=set)
    wanted: int | None = None

    def forget(self) -> None:
        """The power was cut, and what was told may be lost."""
        self.trials = 0
        self.finals.clear()

    def hear(self, progress: Progress) -> None:
        self.trials = max(self.trials, len(progress.results))
        self.finals.update(final.number for final in progress.finals)

    def check_task(self, task: TrialTask) -> None:
        """
        Raises:
            Failed: what was told is evaluated again.
        """
        if task.final_epochs is None and task.number < self.trials:
            raise Failed(f"trial {task.number} was told and is evaluated again")
        if task.final_epochs is not None and not task.fewer_rows and task.number in self.finals:
            raise Failed(f"finalist {task.number} was told and is evaluated again")

    def check(self, of: Subject, found: Stored, asked: bool) -> None:
        """
        Args:
            of: the study.
            found: what is stored of it.
            asked: whether a process runs it, and has asked its first trials.

        Raises:
            Failed: what was told is not stored; a trial was told, and not in the same moment the next one asked.
        """
        told = sum(trial["state"] != "RUNNING" for trial in found.trials)
        if told < self.trials:
            raise Failed(f"{self.trials} trials were told and {told} are stored")
        if not self.finals <= {int(number) for number in found.study.get("finals", {})}:
            raise Failed(f"finalists {self.finals} were told and {[*found.study.get('finals', {})]} are stored")
        search = of.prepared.definition.search
        if asked and search.stop is None:
            least = min(told + search.in_flight, self.wanted or of.prepared.limit)
            if len(found.trials) < least:
                raise Failed(f"{told} trials are told and {len(found.trials)} asked, not {least}")


def _second_owners(of: Subject, world: World) -> None:
    """Two other processes want to run the study while this one does."""
    for _ in range(2):
        try:
            with owned(of.prepared, url(world.folder), []):
                if world.owner and world.returns is None:
                    raise Failed("two processes own the study")
        except HpsearchError as error:
            if world.owner and world.returns is None and not isinstance(error, StudyOwnedError):
                raise Failed(f"a second owner was told {error}") from error


# ---------------------------------------------------------------- many


def simulate(first: int, count: int, stop_at: int = 3) -> tuple[list[tuple[int, str]], Counter[str]]:
    """Run schedules ``first`` to ``first + count - 1``; returns those that failed, and the faults that happened."""
    failures, happened, known = [], Counter[str](), set[bytes]()
    with _seldom_collected():
        for seed in range(first, first + count):
            schedule = Schedule.drawn(seed)
            outcome = schedule.outcome(known)
            happened[schedule.study] += 1
            happened.update(fault.kind for fault in outcome.world.happened)
            if outcome.failure is not None:
                failures.append((seed, outcome.failure))
                if len(failures) == stop_at:
                    break
    return failures, happened


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Python looks for garbage less often: a tenth of a schedule's time."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def replay(seed: int) -> bool:
    """Run one schedule again, shrink it if it fails, and say what happened; returns whether it passed."""
    schedule = Schedule.drawn(seed)
    if schedule.failure() is None:
        print(f"{schedule}\npasses")
        return True
    shrunk = schedule.shrunk()
    outcome = shrunk.outcome()
    print(f"{schedule}\nfails, and so does\n{shrunk}\n")
    print(*outcome.world.journal, outcome.failure, sep="\n")
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--seed", type=int, help="replay this one, and shrink it if it fails")
    parser.add_argument("--planted", choices=sorted(PLANTED), help="with this bug in the product")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    given = parser.parse_args()
    for name in STUDIES:
        _ = subject(name).straight  # as it should be
    with nullcontext() if given.planted is None else PLANTED[given.planted]():
        passes = many(given.first, given.schedules, given.workers) if given.seed is None else replay(given.seed)
    sys.exit(not passes)


def many(first: int, count: int, workers: int) -> bool:
    """Run schedules on several processes, and say what came of them; returns whether all passed."""
    begun = time.perf_counter()
    starts = range(first, first + count, CHUNK)
    counts = [min(CHUNK, first + count - start) for start in starts]
    failures: list[tuple[int, str]] = []
    happened = Counter[str]()
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        for start, (failed, of_part) in zip(starts, pool.map(simulate, starts, counts), strict=True):
            failures += failed
            happened += of_part
            print(f"from seed {start}: {len(failed)} failed", file=sys.stderr)
    print(f"{count} schedules in {time.perf_counter() - begun:.0f} s")
    for name, times in happened.most_common():
        print(f"{times:7}  {name}")
    for seed, why in failures:
        print(f"seed {seed} fails: {why}")
    return not failures


if __name__ == "__main__":
    main()
