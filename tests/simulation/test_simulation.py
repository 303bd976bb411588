"""Bad days by the thousand: what is stored in the end is as if nothing had happened."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from planted import PLANTED
from simulate import STUDIES, Schedule, digest, disk, run_once, simulate, stored, subject
from workers import SimulatedExecutor
from world import KINDS, Fault, Killed, World, inhabited

from hpsearch.search.executors import InProcessExecutor

# A killed process leaves archives half written and connections open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SCRIPT = str(Path(__file__).with_name("simulate.py"))
PLAIN, CAMPAIGN = 1_000, 10_000


@pytest.fixture(autouse=True)
def _loose_ends() -> Iterator[None]:
    """What killed processes left is collected in the test that killed them, not in another."""
    yield
    gc.collect()


def assert_none_fails(first: int, count: int) -> Counter[str]:
    failures, happened = simulate(first, count)
    assert not failures, "\n".join(f"simulate.py --seed {seed}: {why}" for seed, why in failures)
    return happened


def test_no_schedule_of_faults_changes_anything() -> None:
    happened = assert_none_fails(0, PLAIN)
    assert {*STUDIES} | {*KINDS} <= {*happened}


@pytest.mark.campaign
def test_many_more_do_not_either() -> None:
    command = [sys.executable, SCRIPT, "--schedules", str(CAMPAIGN), "--first", str(PLAIN)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{CAMPAIGN} schedules in ")
    assert all(f"  {kind}\n" in done.stdout for kind in KINDS)


@pytest.mark.parametrize("name", STUDIES)
def test_a_simulated_run_without_a_fault_is_a_run(name: str) -> None:
    """The workers are simulated, and what they find is not."""
    if name == "a trial that kills its worker":
        pytest.skip("it would kill this process")
    with disk() as folder:
        world = World(folder, [], random.Random(0))
        run_once(subject(name), world, InProcessExecutor())
        found = stored(subject(name), folder)
    expected = subject(name).straight
    assert found.files == expected.files
    assert [*map(untimed, found.trials)] == [*map(untimed, expected.trials)]


def untimed(trial: Mapping[str, Any]) -> dict[str, Any]:
    return {**trial, "attributes": {**trial["attributes"], "seconds": None}}


@pytest.mark.parametrize("seed", [*range(0, 120, 6), 70, 85])  # of some Optuna tries again
def test_a_schedule_replays_exactly(seed: int) -> None:
    schedule = Schedule.drawn(seed)
    assert Schedule.drawn(seed) == schedule
    first, again = schedule.outcome().world, schedule.outcome().world
    assert (first.journal, first.step, first.clock) == (again.journal, again.step, again.clock)


@pytest.mark.parametrize("begun", [5, 20])
def test_a_schedule_begins_with_what_a_killed_process_left(begun: int) -> None:
    of = subject("a diverging trial")
    with disk() as folder:
        world, left = World(folder, [], random.Random(0)), iter(reversed(range(begun)))

        def die_of_the_last() -> None:
            if not next(left):
                world.die()

        world.changed = die_of_the_last
        with inhabited(world), suppress(Killed):
            run_once(of, world, SimulatedExecutor(world, of.evaluated, None))
        found = digest(folder)
    with disk(of.disks[begun]) as folder:
        assert digest(folder) == found


@pytest.mark.campaign
def test_a_failing_seed_is_replayed_and_told_step_by_step() -> None:
    name = "a trial is told before its rows are kept"
    for study in STUDIES:
        _ = subject(study).straight  # as it should be
    with PLANTED[name]():
        failures, _ = simulate(0, PLAIN, stop_at=1)
    command = [sys.executable, SCRIPT, "--planted", name, "--seed", str(failures[0][0])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert [line.startswith("Schedule(") for line in lines[:3]] == [True, False, True]
    assert any("a process begins" in line for line in lines)
    assert lines[-1].startswith("what was told has no trial-")


@pytest.mark.parametrize("name", KINDS)
def test_every_fault_happens_wherever_it_can(name: str) -> None:
    with disk() as folder:
        for operation in KINDS[name].at:
            world = World(folder, [Fault(3, name)], random.Random(0))
            for _ in range(2):
                world.operation(operation)
            with suppress(BaseException):  # a killed process is one
                world.operation(operation)
            assert world.happened == [Fault(3, name)]


@pytest.mark.campaign
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found_and_shrunk_to_what_it_takes(name: str) -> None:
    for study in STUDIES:
        _ = subject(study).straight  # as it should be
    with PLANTED[name]():
        failures, _ = simulate(0, PLAIN, stop_at=1)
        assert failures
        schedule = Schedule.drawn(failures[0][0])
        shrunk = schedule.shrunk()
        assert shrunk.failure() is not None
        assert len(shrunk.faults) <= len(schedule.faults)
    assert schedule.failure() is None
