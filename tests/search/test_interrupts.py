"""Signals to the command line: the first ends it gracefully, the second at once, and a lost terminal not at all."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
from conftest import SMALL
from test_coordinator import assert_same, at, tables

import hpsearch
from hpsearch.cli.streams import Stream
from hpsearch.temporary import PART

LONG = 120  # seconds: for a machine that is busy, never waited for else
ENDED = "hpsearch: interrupted. Nothing that was finished is lost."
ENDING = "hpsearch: ending; a second Ctrl-C or signal ends it at once."


def program(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    """The command in a process group and session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "hpsearch", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,  # type: ignore[call-overload]
    )


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Kill what is left of a process group in the end."""
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until_it_says(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        if text in line:
            return
        seen.append(line)
    raise AssertionError(f"{text!r} was never printed, but {''.join(seen)}")


def of(process: subprocess.Popen[str], count: int) -> list[psutil.Process]:
    """Its processes, once there are so many."""
    while True:
        assert process.poll() is None
        found = psutil.Process(process.pid).children(recursive=True)
        if len(found) >= count:
            return found
        time.sleep(0.02)


def assert_gone(processes: Sequence[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=LONG)
    assert not alive


def assert_clean(process: subprocess.Popen[str], status: int = 130) -> str:
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == status, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    return said


def temporary(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tmp").mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(tmp_path / "tmp")}


def slow(path: Path) -> Path:
    """A study whose trials take long."""
    text = SMALL.replace("epochs = 40", "epochs = 5000").replace("trials = 16", "trials = 6")
    path.write_text(text.replace("evaluate_every = 8", "evaluate_every = 1000"), encoding="utf-8")
    return path


BLOCKED = """
import sqlite3, sys
from hpsearch.cli.interrupts import interrupts
interrupts()
connection = sqlite3.connect("locked.db", timeout=600)
while True:  # a first signal may come before SQLite waits
    try:
        print("waiting", flush=True)
        connection.execute("BEGIN IMMEDIATE")
    except KeyboardInterrupt:
        pass
"""


def test_a_second_signal_ends_what_no_first_one_can_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that waits for a lock lets no handler of Python run."""
    monkeypatch.chdir(tmp_path)
    holder = sqlite3.connect("locked.db")
    holder.execute("BEGIN EXCLUSIVE")
    blocked = subprocess.Popen(
        [sys.executable, "-c", BLOCKED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with ended(blocked):
        assert blocked.stdout is not None
        assert blocked.stdout.readline() == "waiting\n"
        blocked.send_signal(signal.SIGINT)
        blocked.send_signal(signal.SIGTERM)
        said = assert_clean(blocked)
        assert said.splitlines()[-1] == "hpsearch: ended at once. Nothing that was finished is lost."
    holder.close()


def test_a_reader_that_left_ends_a_command_without_a_word_and_a_full_disk_with_one(tmp_path: Path) -> None:
    """A pipe that nobody reads, as after ``| head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    word = "hpsearch: standard output must be writable, but no space left on device.\n"
    for output, said in ((writing, ""), (full, word)):
        command = [sys.executable, "-m", "hpsearch", "schema"]
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
        os.close(output)
        assert (done.returncode, done.stderr) == (1, said)


@pytest.fixture
def finished(small: Path) -> Path:
    hpsearch.run(small, trials=2)
    return small


@pytest.mark.campaign
def test_what_reads_slowly_loses_nothing() -> None:
    """Where a program that started this one has made the other end of its pipe wait for nobody."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    stream, text, read = Stream(writer, must_be_written=False), os.urandom(300_000), bytearray()

    def read_all() -> None:
        while len(read) < len(text):
            time.sleep(0.01)
            read.extend(os.read(reader, 65_536))

    slow = threading.Thread(target=read_all)
    slow.start()
    stream.write(text)
    slow.join(timeout=60)
    os.close(reader)
    os.close(writer)
    assert bytes(read) == text


def test_closed_streams_are_no_place_for_what_is_printed(finished: Path) -> None:
    """A database that is opened while standard output is closed would get its number, and what is printed."""
    before = Path("hpsearch.db").read_bytes()
    command = f"exec {sys.executable} -m hpsearch trials small >&- 2>&- <&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 0
    assert Path("hpsearch.db").read_bytes() == before


# ---------------------------------------------------------------- the campaign

STATES = {
    "while the search runs": ("run", "1/6", ()),
    "while the finals run": (
        "run",
        "comparing the best",
        ("train.epochs=4000", "search.trials=2", "search.finalists=2", "search.finalist_repeats=100"),
    ),
    "while it is nested": ("nested", "1/6", ()),
}


@pytest.mark.campaign
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("state", STATES)
def test_every_signal_ends_a_search_with_130_and_leaves_nothing(
    small: Path, state: str, workers: int, number: signal.Signals
) -> None:
    slow(small)
    command, said, overrides = STATES[state]
    settings = [part for override in overrides for part in ("--set", override)]
    environment = temporary(small.parent)
    with ended(program(command, small, "--workers", str(workers), *settings, env=environment)) as process:
        wait_until_it_says(process, said)
        children = of(process, 0 if workers == 1 else 2 + workers)
        os.killpg(process.pid, number)  # as a terminal does
        assert assert_clean(process).splitlines()[-2:] == [ENDING, ENDED]
        assert_gone(children)
    assert not [*(small.parent / "tmp").iterdir()]
    assert not [*Path("/dev/shm").glob(f"sem.loky-{process.pid}-*")]


@pytest.mark.campaign
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_and_the_study_goes_on_later(small: Path, number: signal.Signals) -> None:
    (small.with_name("through.toml")).write_text(SMALL, encoding="utf-8")
    hpsearch.run(small.with_name("through.toml"), storage=at(small.parent, "through"))
    storage = at(small.parent, "cut")
    environment = temporary(small.parent)
    for workers in (1, 2):
        command = ["run", small, "--workers", str(workers), "--storage", storage]
        with ended(program(*command, env=environment)) as process:
            wait_until_it_says(process, "running 16 trials")
            children = of(process, 0 if workers == 1 else 4)
            os.killpg(process.pid, number)
            os.killpg(process.pid, number)
            assert_clean(process)
            assert_gone(children)
    hpsearch.run(small, storage=storage)
    assert_same(tables(storage), tables(at(small.parent, "through")))


@pytest.mark.campaign
@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("to", ["owner", "group"])
def test_after_a_kill_no_process_stays_and_the_next_run_removes_the_files(small: Path, to: str, early: bool) -> None:
    """As soon as there are workers, which still import what they need; or when they train."""
    slow(small)
    environment = temporary(small.parent)
    with ended(program("run", small, "--workers", "2", env=environment)) as process:
        if not early:
            wait_until_it_says(process, "1/6")
        children = of(process, 4)
        (os.kill if to == "owner" else os.killpg)(process.pid, signal.SIGKILL)
        process.communicate(timeout=LONG)
        assert_gone(children)
    left = [*(small.parent / "tmp").iterdir()]
    assert left
    with ended(program("run", small, "--workers", "1", env=environment)) as another:
        wait_until_it_says(another, "/6")
        assert not [path for path in left if path.exists()]
        assert not [*Path("/dev/shm").glob(f"sem.loky-{process.pid}-*")]


@pytest.mark.campaign
def test_a_stopped_worker_ends_with_its_owner(small: Path) -> None:
    slow(small)
    with ended(program("run", small, "--workers", "2")) as process:
        wait_until_it_says(process, "1/6")
        children = of(process, 4)
        for child in children:
            if "loky.backend.popen" in " ".join(child.cmdline()):
                child.suspend()
        process.kill()
        process.communicate(timeout=LONG)
        assert_gone(children)


@pytest.mark.campaign
def test_under_nohup_a_run_goes_on(small: Path) -> None:
    slow(small)
    command = ["nohup", sys.executable, "-m", "hpsearch", "run", str(small), "--workers", "2"]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with ended(subprocess.Popen(command, start_new_session=True, **options)) as process:  # type: ignore[call-overload]
        wait_until_it_says(process, "1/6")
        os.killpg(process.pid, signal.SIGHUP)
        wait_until_it_says(process, "2/6")
        process.send_signal(signal.SIGTERM)
        assert_clean(process)


@pytest.mark.campaign
def test_a_run_that_is_stopped_and_continued_finds_the_same(small: Path) -> None:
    hpsearch.run(small, storage=at(small.parent, "through"))
    with ended(program("run", small, "--workers", "2", "--storage", at(small.parent, "cut"))) as process:
        wait_until_it_says(process, "2/16")
        os.killpg(process.pid, signal.SIGSTOP)
        owner = psutil.Process(process.pid)
        while owner.status() != psutil.STATUS_STOPPED:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGCONT)
        assert_clean(process, 0)
    assert_same(tables(at(small.parent, "cut")), tables(at(small.parent, "through")))


@pytest.mark.campaign
def test_a_run_goes_on_when_its_terminal_is_gone_and_no_signal_came(small: Path) -> None:
    """As with ``disown``: what is written to the terminal is an input/output error."""
    hpsearch.run(small, storage=at(small.parent, "through"))
    storage = at(small.parent, "cut")
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "hpsearch", "run", str(small), "--workers", "2", "--storage", storage]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True)
    os.close(follower)
    seen = b""
    while b"/16" not in seen:
        seen += os.read(leader, 65536)
    os.close(leader)
    assert process.wait(LONG) in (0, 1)  # whether the terminal took the last line before it was gone
    assert_same(tables(storage), tables(at(small.parent, "through")))


@pytest.mark.campaign
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_the_dashboard_ends_by_every_signal(finished: Path, number: signal.Signals) -> None:
    with ended(program("dashboard", "--port", "0", env={**os.environ, "PYTHONUNBUFFERED": "1"})) as process:
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert address
        with urllib.request.urlopen(address[0], timeout=LONG) as page:
            assert page.status == 200
        process.send_signal(number)
        assert assert_clean(process, 0).strip() == ENDING
    with socket.create_server(("127.0.0.1", int(address[1]))):
        pass  # the port is free


@pytest.mark.campaign
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["retrain", "check", "cv"])
def test_commands_that_train_or_read_end_by_every_signal(small: Path, command: str, number: signal.Signals) -> None:
    """``check`` while it reads a table of fifty million values; the others while they train for hours."""
    if command == "check":
        rows = pd.DataFrame({f"x{column}": range(500_000) for column in range(40)})
        rows.assign(y=rows["x0"] % 3).to_csv(small.with_name("rows.csv"), index=False)
        small.write_text(
            '[study]\nname = "read"\n[data]\nsource = "csv"\npath = "rows.csv"\ntarget = "y"\n[train]\nepochs = 2\n'
        )
    else:
        small.write_text(slow(small).read_text().partition("[space]")[0], encoding="utf-8")
    settings = [] if command == "check" else ["--set", "train.epochs=200000"]
    with ended(program(command, small, *settings, env=temporary(small.parent))) as process:
        running = psutil.Process(process.pid)
        while process.poll() is None and running.cpu_times().user < 4:  # it has imported what it needs
            time.sleep(0.02)
        process.send_signal(number)
        assert assert_clean(process).splitlines()[-2:] == [ENDING, ENDED]
    assert not [*(small.parent / "tmp").iterdir()]
    assert not [*small.parent.glob(".*")]


@pytest.mark.campaign
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("command", ["report", "best", "export"])
def test_a_signal_while_a_file_is_written_leaves_the_old_one_or_the_new(
    finished: Path, command: str, number: signal.Signals
) -> None:
    """Sent as soon as a part of it lies there; whatever that leaves, the next run removes."""
    arguments = [command, "small", "-o", "out.html", "--force"]
    if command == "export":
        hpsearch.run(finished, trials=2).retrain().save("model")
        arguments = ["export", "model", "-o", "out.html", "--format", "onnx", "--force"]
    subprocess.run([sys.executable, "-m", "hpsearch", *arguments], check=True, stdout=subprocess.DEVNULL)
    size = Path("out.html").stat().st_size
    for _ in range(3):
        Path("out.html").write_bytes(b"old")
        with ended(program(*arguments)) as process:
            while process.poll() is None and not [*Path().glob(f".*{PART}")]:
                time.sleep(0.0005)
            if process.poll() is None:
                process.send_signal(number)
            process.communicate(timeout=LONG)
        found = Path("out.html").read_bytes()
        assert found == b"old" or abs(len(found) - size) < 200, "but for the times that it names"
    subprocess.run([sys.executable, "-m", "hpsearch", *arguments], check=True, stdout=subprocess.DEVNULL)
    assert not [*Path().glob(f".*{PART}")]
