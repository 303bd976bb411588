"""Kills, interrupts, full disks and second owners: nothing told is lost, and what is resumed is the same study."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from conftest import FINALS, commands
from conftest import SMALL as WITHOUT_FINALS
from faults import SERVER, owner, run, run_until_write
from test_coordinator import assert_same, at, tables

import hpsearch
from hpsearch.api import open_study
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import StorageLostError, StudyOwnedError
from hpsearch.search import coordinator
from hpsearch.search.coordinator import Progress
from hpsearch.search.correction import definition_of
from hpsearch.search.executors import LocalPoolExecutor, local_pool
from hpsearch.search.finals import finals
from hpsearch.search.objective import prepare
from hpsearch.search.run import owned, search
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy

SMALL = WITHOUT_FINALS.replace("finalists = 0", FINALS)
STORAGE = "sqlite:///hpsearch.db"


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, ...]:
    """The tables of the small study without finals, run straight through."""
    folder = tmp_path_factory.mktemp("through")
    (folder / "small.toml").write_text(WITHOUT_FINALS, encoding="utf-8")
    hpsearch.run(folder / "small.toml", storage=at(folder, "a"))
    return tables(at(folder, "a"))


# Small studies that differ in who proposes and who prunes.
SEARCHES = {
    "tpe, median": WITHOUT_FINALS.partition("[search]")[2].replace("finalists = 0\n", ""),
    "random, hyperband": '\ntrials = 12\nin_flight = 4\nsampler = "random"\npruner = "hyperband"\n',
    "cmaes, none": '\ntrials = 10\nin_flight = 2\nsampler = "cmaes"\npruner = "none"\n',
    "qmc, successive halving": '\ntrials = 12\nin_flight = 3\nsampler = "qmc"\npruner = "successive_halving"\n',
}


def remove(folder: Path, name: str) -> None:
    """A storage with all that lies beside it."""
    for path in folder.glob(f"{name}.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def assert_whole(storage: str, expected: tuple[pd.DataFrame, ...]) -> None:
    """Everything there, once, as if nothing had happened."""
    assert_same(tables(storage), expected)
    trials = hpsearch.load_trials("small", storage)
    assert trials["number"].tolist() == list(range(len(trials)))
    assert "RUNNING" not in set(trials["state"])
    database = sqlite3.connect(storage.removeprefix("sqlite:///"))
    assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    database.close()
    with open_study("small", storage) as stored:
        shares, results = stored.row_results.layout().shares, map(stored_result, stored.trials())
        for result in results:
            if result.state == "COMPLETE":
                rows = stored.row_results.of(result)
                assert rows.losses @ shares == pytest.approx(result.intermediate, rel=1e-6)  # stored in float32
        for final in finals(stored, definition_of(stored)):
            assert stored.final_row_results.of(final).predictions.shape == (45, 3)


def finish(path: Path, storage: str, workers: int, expected: tuple[pd.DataFrame, ...]) -> None:
    """Run on in a fresh process, to the end."""
    process = SERVER.Process(target=run, args=(str(path), storage, workers))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert_whole(storage, expected)


def survive(folder: Path, search: str, workers: int, kills: int, seed: int) -> None:
    """Kill a study's whole process group at random moments, again and again, then let it finish."""
    path, draw = folder / "small.toml", np.random.default_rng(seed)
    path.write_text(SMALL.partition("[search]")[0] + "[search]" + SEARCHES[search] + FINALS, encoding="utf-8")
    hpsearch.run(path, storage=at(folder, "through"))
    expected, storage = tables(at(folder, "through")), at(folder, "killed")
    while kills:
        process = SERVER.Process(target=run, args=(str(path), storage, workers))
        process.start()
        process.join(draw.uniform(0.02, 0.6 if workers == 1 else 4.0))
        if process.exitcode is None:
            kills -= 1
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:  # not yet a group of its own
                process.kill()
            process.join()
        else:  # it reached the end before the kill: begin another study of the same kind
            assert process.exitcode == 0
            assert_whole(storage, expected)
            remove(folder, "killed")
    finish(path, storage, 1, expected)


def test_a_kill_of_the_process_group_changes_nothing(tmp_path: Path) -> None:
    survive(tmp_path, "tpe, median", workers=2, kills=1, seed=2)


@pytest.mark.campaign
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("search", SEARCHES)
def test_a_hundred_kills_change_nothing(tmp_path: Path, search: str, workers: int) -> None:
    """Four studies, each killed 18 times in one process and 8 times with workers: 104 in all."""
    survive(tmp_path, search, workers, kills=18 if workers == 1 else 8, seed=7)


def kill_at_writes(folder: Path, when: str) -> int:
    """Kill a tiny study ``before`` or ``after`` one write after another, resuming each; returns how many it has."""
    path, storage, write = folder / "small.toml", at(folder, "cut"), 1
    path.write_text(SMALL.replace("trials = 16", "trials = 4").replace("epochs = 40", "epochs = 16"), encoding="utf-8")
    hpsearch.run(path, storage=at(folder, "through"))
    expected = tables(at(folder, "through"))
    while True:
        remove(folder, "cut")
        process = SERVER.Process(target=run_until_write, args=(str(path), storage, write, when))
        process.start()
        process.join()
        if process.exitcode == 0:
            return write
        assert process.exitcode == -signal.SIGKILL
        finish(path, storage, 1, expected)
        write += 1


@pytest.mark.campaign
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_every_write_changes_nothing(tmp_path: Path, when: str) -> None:
    assert kill_at_writes(tmp_path, when) > 80  # so many it has, a trial's values in one


# ---------------------------------------------------------------- workers


def slow(path: Path, epochs: int) -> None:
    """Make the small study's trials long and few."""
    text = path.read_text().replace("epochs = 40", f"epochs = {epochs}")
    path.write_text(text.replace("evaluate_every = 8", "evaluate_every = 40").replace("trials = 16", "trials = 6"))


def worker_processes() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):  # it died just now
            line = " ".join(process.cmdline())
            if "loky" in line and "tracker" not in line:
                found.append(process)
    return found


@pytest.mark.campaign
def test_a_worker_killed_in_mid_trial_costs_a_run_again_and_nothing_else(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "LIVE_SECONDS", 0.05)
    slow(small, 5000)  # so that two run at once for many looks, on a fast machine too
    hpsearch.run(small, storage=at(small.parent, "through"))
    killed: list[int] = []

    def watch(progress: Progress) -> None:
        if not killed and len(progress.running) == 2 and progress.results:
            victim = worker_processes()[0]
            victim.kill()
            killed.append(victim.pid)

    hpsearch.run(small, storage=at(small.parent, "killed"), workers=2, watch=watch)
    assert len(killed) == 1
    assert_whole(at(small.parent, "killed"), tables(at(small.parent, "through")))


def test_a_trial_that_kills_its_worker_every_time_is_given_up_and_the_others_are_not(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one worker, which has to start again four times: three are on their way at once all the same."""
    monkeypatch.setattr(coordinator, "LIVE_SECONDS", 0.02)
    # Trial 2 alone is slow, some hundred looks long: it cannot end between two of them, on a fast machine either.
    head, search_options = small.read_text().replace("trials = 16", "trials = 4").split("[search]")
    head = head.partition("[space]")[0].replace("epochs = 40", "epochs = 800")
    space = "[space]\nneurons = { choice = [8, 4096] }\n"
    known = "enqueue = [{ neurons = 8 }, { neurons = 8 }, { neurons = 4096 }, { neurons = 8 }]\n"
    small.write_text(f"{head}{space}[search]{search_options}{known}")
    through = hpsearch.run(small, trials=2, storage=at(small.parent, "through")).trials

    def watch(progress: Progress) -> None:
        if 2 in progress.running:
            for worker in worker_processes():
                worker.kill()

    prepared, storage = prepare(StudyDefinition.from_file(small)), at(small.parent, "killed")
    with LocalPoolExecutor(lambda: local_pool(1)) as pool, owned(prepared, storage, []) as stored:
        search(prepared, stored, pool, on_progress=watch)
    trials = hpsearch.load_trials("small", storage)
    assert trials["state"][2] == "FAIL"
    assert re.match(r"its worker died 3 times with nothing else to do, the last time: Terminated", trials["reason"][2])
    assert (trials["state"].drop(2) != "FAIL").all()
    # What was proposed and told before trial 2 is as ever.
    assert trials["value"][:2].tolist() == through["value"].tolist()


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.campaign)])
def test_a_trial_without_enough_memory_is_recorded_and_the_study_goes_on(small: Path, workers: int) -> None:
    """Networks that a study may have, of more memory than this process, and its workers, may ask for."""
    head = small.read_text().partition("[space]")[0]
    space = "[space]\nneurons = { choice = [4, 9_500] }\n"
    known = "enqueue = [{ neurons = 4 }, { neurons = 9_500 }, { neurons = 4 }]"
    small.write_text(f"{head}{space}[search]\ntrials = 3\nfinalists = 0\n{known}\n")
    definition = StudyDefinition.from_file(small, ["train.hidden_layers=2"])
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, before[1]))
    try:
        trials = hpsearch.run(definition, workers=workers, reuse=False).trials
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert trials["state"].tolist() == ["COMPLETE", "FAIL", "COMPLETE"]
    assert "Unable to allocate" in trials["reason"][1]


# ---------------------------------------------------------------- interrupts


def command(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hpsearch", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never printed")


@pytest.mark.parametrize(
    ("number", "presses"),
    [
        pytest.param(signal.SIGHUP, 3, marks=pytest.mark.campaign),
        pytest.param(signal.SIGTERM, 2, marks=pytest.mark.campaign),
        pytest.param(signal.SIGINT, 1, marks=pytest.mark.campaign),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.campaign),
        pytest.param(signal.SIGTERM, 1, marks=pytest.mark.campaign),
    ],
)
def test_an_interrupt_ends_within_five_seconds_and_leaves_no_process(
    small: Path, number: signal.Signals, presses: int
) -> None:
    slow(small, 5000)
    process = command("run", small, "--workers", "2")
    wait_for(process, "1/6")
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    begun = time.monotonic()
    for _ in range(presses):
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        time.sleep(0.05)
    process.communicate(timeout=20)
    assert time.monotonic() - begun < 5
    assert process.returncode == 130
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert (hpsearch.load_trials("small")["state"] != "RUNNING").sum() >= 1


def test_workers_end_when_their_owner_is_killed(small: Path) -> None:
    slow(small, 5000)
    with owner(small, STORAGE, workers=2) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


# ---------------------------------------------------------------- owners


def test_a_second_run_is_refused_at_once_and_readers_are_not(small: Path) -> None:
    with owner(small, STORAGE) as process:
        begun = time.monotonic()
        with pytest.raises(StudyOwnedError, match=f"process {process.pid} on {re.escape(socket.gethostname())}"):
            hpsearch.run(small)
        assert time.monotonic() - begun < 2
        assert len(hpsearch.load_trials("small")) >= 4
        other = small.with_name("other.toml")
        other.write_text(WITHOUT_FINALS.replace('"small"', '"other"'))
        assert len(hpsearch.run(other, trials=2).trials) == 2, "another study of the storage is not locked"
        assert process.is_alive(), "the first must still be running for all this to mean something"
    assert len(hpsearch.run(small, trials=1).trials) >= 4, "a dead owner holds nothing"


def test_a_forked_child_does_not_keep_its_parent_s_lock(small: Path) -> None:
    children: list[int] = []

    def watch(progress: Progress) -> None:
        if not children:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)

    try:
        hpsearch.run(small, trials=1, watch=watch)
        with Path("hpsearch.db.small.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.kill(children[0], signal.SIGKILL)
        os.waitpid(children[0], 0)


# ---------------------------------------------------------------- storage


def test_a_storage_deleted_in_mid_run_is_an_error_and_back_in_place_it_goes_on(
    small: Path, through: tuple[pd.DataFrame, ...]
) -> None:
    def hide(progress: Progress) -> None:
        if len(progress.results) == 3:
            for file in Path().glob("cut.db*"):
                if not file.name.endswith("lock"):
                    file.rename(f"hidden-{file.name}")

    with pytest.raises(StorageLostError, match="was deleted or moved"):
        hpsearch.run(small, storage="sqlite:///cut.db", watch=hide)
    assert not Path("cut.db").exists()
    for file in Path().glob("hidden-*"):
        file.rename(file.name.removeprefix("hidden-"))
    assert (hpsearch.load_trials("small", "sqlite:///cut.db")["state"] != "RUNNING").sum() == 3
    hpsearch.run(small, storage="sqlite:///cut.db")
    assert_whole("sqlite:///cut.db", through)


def test_a_storage_that_another_takes_the_place_of_in_mid_run_is_an_error(small: Path) -> None:
    """SQLite would go on writing to the file that was there before, which nobody can open any more."""
    hpsearch.run(small, trials=1, storage="sqlite:///other.db")

    told = []

    def replace(progress: Progress) -> None:
        told.append(len(progress.results))
        os.replace("other.db", "cut.db")

    with pytest.raises(StorageLostError, match="must stay where it is, but was replaced by another file"):
        hpsearch.run(small, trials=3, storage="sqlite:///cut.db", watch=replace)
    assert told == [0], "no trial may be told that is not stored"


def test_a_full_disk_is_an_error_with_status_1_and_with_room_again_it_goes_on(
    small: Path, through: tuple[pd.DataFrame, ...]
) -> None:
    """The disk is full in that the kernel lets no file of the process grow any more."""
    hpsearch.run(small, trials=1, storage="sqlite:///full.db")
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "from hpsearch.cli import main; main()\n"
    )
    arguments = ["run", str(small), "--storage", "sqlite:///full.db", "--workers", "1"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "must be usable, but " in done.stderr
    assert "Traceback" not in done.stderr
    told = (hpsearch.load_trials("small", "sqlite:///full.db")["state"] != "RUNNING").sum()
    assert 1 <= told < 16
    hpsearch.run(small, storage="sqlite:///full.db")
    assert_whole("sqlite:///full.db", through)


@pytest.mark.campaign
def test_a_folder_that_cannot_be_written_is_an_error_with_status_1_and_readers_go_on(
    small: Path, through: tuple[pd.DataFrame, ...]
) -> None:
    folder = small.parent / "kept"
    folder.mkdir()
    storage = at(folder, "study")
    hpsearch.run(small, trials=3, storage=storage)
    before = tables(storage)
    folder.chmod(0o555)
    # root may write anywhere, unless this capability is taken from it.
    bound = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-all"] if os.geteuid() == 0 else []
    runs = [["run", str(small), "--storage", url, "--workers", "1"] for url in (storage, at(folder, "new"))]
    reads = [[command, "small", "--storage", storage, "--format", "csv"] for command in ("trials", "metrics")]
    try:
        *refused, trials, metrics = commands(*runs, *reads, before=bound)
    finally:
        folder.chmod(0o755)
    for outcome in refused:
        assert outcome.status == 1, outcome.err
        *waited, said = outcome.err.splitlines()
        assert all(line.startswith("reading and checking") for line in waited)  # on a busy machine
        assert "must be" in said
    assert (trials.status, trials.out.count("\n")) == (0, 1 + 3)
    assert (metrics.status, metrics.out.count("\n")) == (0, 1 + 4)
    assert_same(tables(storage), before)
    hpsearch.run(small, storage=storage)
    assert_whole(storage, through)


def test_the_storage_is_let_go_of_when_a_run_ends(small: Path) -> None:
    def is_open() -> bool:
        return any("hpsearch.db" in file.path for file in psutil.Process().open_files())

    hpsearch.run(small, trials=1)
    assert not is_open()
    with StoredStudy.open("sqlite:///hpsearch.db", "small"):
        assert is_open()
