"""Runs studies through bad days: ``python tests/simulation/simulate.py --schedules 10000``.

A schedule is a study and a list of faults, both drawn from one seed. The study is run, with the faults, as often as it
takes, and once more without; then everything that is stored must be as if nothing had happened, to the byte. On the way
nothing that was told may be lost, and whoever reads sees a whole study. A schedule that fails is shrunk: faults are
left out for as long as it still fails. ``--seed N`` replays one schedule.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import optuna
from world import KINDS, Evaluated, Failed, Fault, Killed, SimulatedExecutor, World, inhabited

from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import HpsearchError, StudyOwnedError
from hpsearch.search.coordinator import Progress
from hpsearch.search.executors import TrialExecutor
from hpsearch.search.objective import Prepared, TrialTask, evaluate, prepare
from hpsearch.search.run import owned, search
from hpsearch.storage.quiet import quiet

NAME = "s"
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
}
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

    def evaluated(self, task: TrialTask) -> Evaluated:
        """What ``evaluate`` makes of a task, evaluated once."""
        key = repr(task)
        if key not in self._known:
            messages: list[tuple[int, float]] = []
            result = evaluate(self.prepared, task, lambda epoch, mean: messages.append((epoch, mean)))
            dies = task.number == POISONED.get(self.name)
            self._known[key] = Evaluated(replace(result, seconds=0.0), messages, dies)
        return self._known[key]

    @property
    def straight(self) -> Stored:
        """What is stored after a run in which nothing fails."""
        return self._straight[0]

    @property
    def operations(self) -> int:
        """How many operations that takes."""
        return self._straight[1]

    @cached_property
    def _straight(self) -> tuple[Stored, int]:
        with disk() as folder:
            world = World(folder, [], random.Random(0))
            with inhabited(world):
                run_once(self, world, SimulatedExecutor(world, self.evaluated, None))
            return stored(self, folder), world.step


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
            return search(prepared, stored, executor, on_progress=on_progress, timeout=timeout)
        finally:
            world.owner = False


@contextmanager
def disk() -> Iterator[Path]:
    """The folder of this process's disk, with an empty storage; in memory where the machine has one there."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    folder = place / f"hpsearch-simulation-{os.getpid()}"  # always of one name, by which the world knows its engine
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier process of this number that was killed
    folder.mkdir()
    try:
        (folder / "db").write_bytes(_template())
        yield folder
    finally:
        shutil.rmtree(folder)


@cache
def _template() -> bytes:
    """A storage without a study: making its tables takes longer than a run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db"
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        storage.remove_session()
        storage.engine.dispose()
        return path.read_bytes()


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
            raise Failed(f"trial {one['number']} is {one} instead of {other}")
    # Runs that asked for fewer trials had finalists of their own, whose results stay; and they store their number.
    finals = expected.study.get("finals", {})
    mine = {**found.study, "finals": {number: found.study.get("finals", {}).get(number) for number in finals}}
    theirs = {**expected.study, "finals": finals}
    if mine != theirs:
        keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
        raise Failed("; ".join(f"{key} is {mine.get(key)} instead of {theirs.get(key)}" for key in keys))
    if found.files.get("fewer") != expected.files.get("fewer"):
        raise Failed("the file of the finalist with fewer rows differs")


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
            raise Failed(f"trial {number} is {trial} instead of {should}")
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
    """A study, its faults, and the seed of what else is random in it."""

    study: str
    faults: tuple[Fault, ...]
    seed: int

    @classmethod
    def drawn(cls, seed: int) -> Schedule:
        draw = random.Random(seed)
        study = draw.choice(list(STUDIES))
        # Anywhere in the run; or soon after another, where what follows a failure fails too.
        steps: list[int] = []
        for _ in range(draw.choice([1, 1, 2, 2, 3, 4, 6])):
            anywhere = not steps or draw.random() < 0.6
            steps.append(draw.randrange(subject(study).operations) if anywhere else steps[-1] + draw.randrange(30))
        faults = sorted(Fault(step, draw.choice(list(KINDS))) for step in steps)
        return cls(study, tuple(faults), draw.getrandbits(32))

    def run(self) -> World:
        """Run it to its end and check all.

        Raises:
            Failed: what was found, and was not to be.
        """
        of, draw = subject(self.study), random.Random(self.seed)
        expected = of.straight
        with disk() as folder:
            acknowledged = [0, 0]

            def look() -> None:
                found = stored(of, folder)
                check_prefix(found, expected)
                _check_acknowledged(found, acknowledged)

            def intrude() -> None:
                _second_owner(of, world)

            world = World(folder, sorted(self.faults), draw, look, intrude)
            with inhabited(world):
                for run in range(MOST_RUNS):
                    last = run > 2 * len(self.faults)
                    if last:
                        world.faults.clear()
                    if self._run(of, world, draw, acknowledged, last):
                        break
                    world.begin_run()
                    look()
                else:
                    raise Failed("it does not come to its end")
            with world.outside():
                check_whole(stored(of, folder), expected)
            return world

    def _run(self, of: Subject, world: World, draw: random.Random, acknowledged: list[int], last: bool) -> bool:
        """One process; returns whether it came to the end of the whole study."""
        trials = None if last or draw.random() < 0.8 else draw.randint(1, of.prepared.definition.trials)
        timeout = None if last or draw.random() < 0.7 else 10 ** draw.uniform(-1, 2)
        capacity = draw.choice([1, 2, 3, None])

        def told(progress: Progress) -> None:
            acknowledged[:] = [max(*pair) for pair in zip(acknowledged, _counts(progress), strict=True)]

        try:
            executor = SimulatedExecutor(world, of.evaluated, capacity)
            with quiet():
                return run_once(of, world, executor, timeout, trials, told) and trials is None
        except (HpsearchError, Killed, KeyboardInterrupt):
            return False

    def shrunk(self) -> Schedule:
        """A schedule that fails too and has no fault to spare."""
        schedule = self
        shorter = True
        while shorter:
            shorter = False
            for place in range(len(schedule.faults)):
                less = Schedule(self.study, schedule.faults[:place] + schedule.faults[place + 1 :], self.seed)
                if less.failure() is not None:
                    schedule, shorter = less, True
                    break
        return schedule

    def failure(self) -> str | None:
        """Why it fails; None if it does not."""
        try:
            self.run()
        except Failed as failed:
            return str(failed)
        except Exception as error:  # a bug of the product, or of the simulation
            return "".join(traceback.format_exception(error)[-3:])
        return None


def _counts(progress: Progress) -> tuple[int, int]:
    return len(progress.results), len(progress.finals)


def _check_acknowledged(found: Stored, acknowledged: Sequence[int]) -> None:
    told = sum(trial["state"] != "RUNNING" for trial in found.trials)
    if told < acknowledged[0]:
        raise Failed(f"{acknowledged[0]} trials were told and {told} are stored")
    if len(found.study.get("finals", {})) < acknowledged[1]:
        raise Failed(f"{acknowledged[1]} finalists were told and {found.study.get('finals')} are stored")


def _second_owner(of: Subject, world: World) -> None:
    """Another process wants to run the study while this one does."""
    try:
        with owned(of.prepared, url(world.folder), []):
            if world.owner:
                raise Failed("two processes own the study")
    except HpsearchError as error:
        if world.owner and not isinstance(error, StudyOwnedError):
            raise Failed(f"a second owner was told {error}") from error


# ---------------------------------------------------------------- many


def simulate(first: int, count: int, stop_at: int = 3) -> tuple[list[tuple[int, str]], Counter[str]]:
    """Run schedules ``first`` to ``first + count - 1``; returns those that failed, and the faults that happened."""
    failures, happened = [], Counter[str]()
    for seed in range(first, first + count):
        schedule = Schedule.drawn(seed)
        why = schedule.failure()
        if why is not None:
            failures.append((seed, why))
            if len(failures) == stop_at:
                break
        happened[schedule.study] += 1
        happened.update(fault.kind for fault in schedule.faults)
    return failures, happened


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--seed", type=int, help="replay this one, and shrink it if it fails")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    given = parser.parse_args()
    if given.seed is not None:
        schedule = Schedule.drawn(given.seed)
        why = schedule.failure()
        print(schedule)
        if why is None:
            print("passes")
            return
        shrunk = schedule.shrunk()
        print(f"fails: {why}\nshrunk to {shrunk}\nfails: {shrunk.failure()}")
        sys.exit(1)
    begun = time.perf_counter()
    chunk = 50
    starts = range(given.first, given.first + given.schedules, chunk)
    failures: list[tuple[int, str]] = []
    happened = Counter[str]()
    with ProcessPoolExecutor(given.workers) as pool:
        for failed, counts in pool.map(simulate, starts, [chunk] * len(starts)):
            failures += failed
            happened += counts
    print(f"{given.schedules} schedules in {time.perf_counter() - begun:.0f} s")
    for name, count in happened.most_common():
        print(f"{count:7}  {name}")
    for seed, why in failures:
        print(f"seed {seed} fails: {why}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
