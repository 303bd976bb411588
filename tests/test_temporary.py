"""What a killed process leaves is removed by the next one; what a living one uses, or is another's, never is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpsearch import temporary
from hpsearch.atomic_write import write_atomically
from hpsearch.temporary import OLD, PART, TemporaryFolder, beside, remove_left, remove_left_beside

# Makes one of each kind in the working directory, and waits.
OWNER = """
import sys, tempfile
from pathlib import Path
from hpsearch.temporary import OLD, TemporaryFolder, beside
tempfile.tempdir = str(Path.cwd() / "tmp")
folder = TemporaryFolder()
(folder.path / "rows.npy").write_bytes(b"rows")
with beside(Path("report.html").absolute()) as part, beside(Path("model").absolute(), folder=True) as new:
    part.write_bytes(b"half")
    Path("model").rename(new / OLD)
    print(folder.path.name, part.name, new.name, flush=True)
    sys.stdin.read()
    (new / OLD).rename("model")
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a saved ``model``, and a temporary folder ``tmp``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_bytes(b"fitted")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


@contextmanager
def owner() -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process in the midst of its work, and the names of what it works on."""
    process = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().split()
        finally:
            process.kill()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_a_killed_process_leaves_is_removed_and_what_it_took_away_is_back(place: Path) -> None:
    (place / ".report.html.0a1b2c3d.part").touch()  # not ours
    (place / "tmp" / "hpsearch-0a1b2c3d").mkdir()
    with owner() as (process, (folder, part, new)):
        remove_left()
        remove_left_beside(place)
        assert folder in names(place / "tmp"), "its owner lives"
        assert {part, new} < names(place)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert "model" not in names(place)
    remove_left()
    remove_left_beside(place)
    assert names(place) == {"model", "tmp", ".report.html.0a1b2c3d.part"}
    assert names(place / "tmp") == {"hpsearch-0a1b2c3d"}
    assert (place / "model" / "model.json").read_bytes() == b"fitted"


def test_whoever_writes_or_makes_one_next_removes_them(place: Path) -> None:
    with owner() as (process, (folder, *parts)):
        process.kill()
        process.wait()
    with TemporaryFolder() as mine:
        assert names(place / "tmp") == {mine.path.name} != {folder}
    write_atomically(place / "other.html", b"whole")
    assert names(place) == {"model", "tmp", "other.html"}
    assert len(parts) == 2


def test_a_process_that_ends_leaves_nothing(place: Path) -> None:
    with owner() as (process, _):
        process.communicate("", timeout=60)
        assert process.returncode == 0
        assert names(place) == {"model", "tmp"}
        assert not names(place / "tmp")


def test_a_forked_child_removes_nothing_of_its_parent(place: Path) -> None:
    with TemporaryFolder() as folder, beside(place / "file") as part:
        child = os.fork()
        if child == 0:
            folder.remove()
            os._exit(0)
        os.waitpid(child, 0)
        assert folder.path.is_dir()
        assert part.is_file()
    assert not folder.path.exists()
    assert not part.exists()


def test_semaphores_are_removed_of_dead_processes_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = place / "shm"
    memory.mkdir()
    monkeypatch.setattr(temporary, "_SEMAPHORES", memory)
    with owner() as (process, _):
        process.kill()
        process.wait()
    of_the_dead, of_the_living, of_another = (
        f"sem.loky-{number}-abc" for number in (process.pid, os.getpid(), process.pid * 10)
    )
    for name in (of_the_dead, of_the_living, of_another):
        (memory / name).touch()
    left = place / "tmp" / f"hpsearch-{os.getpid()}-left{PART}"  # of an earlier process of our number
    left.mkdir()
    remove_left()
    assert names(memory) == {of_the_living, of_another}
    assert left.is_dir(), "it tells whose semaphores these are"
    (memory / of_the_living).unlink()
    remove_left()
    assert not names(place / "tmp")


def test_what_is_called_much_as_ours_is_left_alone(place: Path) -> None:
    (place / "tmp" / "hpsearch-2026-november").mkdir()
    (place / "tmp" / "hpsearch-3-notes").write_text("mine")
    remove_left()
    assert names(place / "tmp") == {"hpsearch-2026-november", "hpsearch-3-notes"}


def test_links_pipes_and_files_in_use_are_left_alone(place: Path) -> None:
    (place / f".link.0a1b2c3d{PART}").symlink_to("model")
    os.mkfifo(place / f".pipe.0a1b2c3d{PART}")
    with beside(place / "model", folder=True) as new:
        (new / OLD).mkdir()
        remove_left_beside(place)
        assert new.is_dir()
    assert (place / f".link.0a1b2c3d{PART}").is_symlink()
    assert (place / "model" / "model.json").is_file()
