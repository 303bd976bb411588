"""Files are written whole or not at all, by whatever stops the writing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hpsearch.atomic_write import write_atomically
from hpsearch.errors import HpsearchError, StorageLostError


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_file_is_written_whole_with_the_mode_of_any_other(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", "λ\n".encode())
    finally:
        os.umask(before)
    assert (tmp_path / "file").read_bytes() == "λ\n".encode()
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_stops_the_writing_leaves_the_file_that_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    def stop(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise error

    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(error):
        write_atomically(tmp_path / "file", stop)
    assert (tmp_path / "file").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_pipe_that_nobody_reads_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HpsearchError, match="is a pipe that nobody reads"):
        write_atomically(tmp_path / "pipe", b"")


def test_what_a_process_already_has_open_is_written_to(tmp_path: Path) -> None:
    """``/dev/stdout``, and a shell's ``>(command)``, are links to what no path leads to."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as read, os.fdopen(writer, "wb"):
        write_atomically(Path(f"/dev/fd/{writer}"), b"through")
        assert read.read(7) == b"through"


def test_a_link_to_itself_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    with pytest.raises(HpsearchError, match="too many levels of symbolic links"):
        write_atomically(tmp_path / "one", b"")
    assert (tmp_path / "one").is_symlink()


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "no" / "file"
    with pytest.raises(HpsearchError) as caught:
        write_atomically(path, b"")
    assert str(caught.value) == f"{path}: must be a file that can be written, but no such file or directory."
    with pytest.raises(StorageLostError):
        write_atomically(path, b"", StorageLostError)


def test_a_file_that_is_replaced_keeps_its_mode_and_a_link_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    write_atomically(tmp_path / "link", b"after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"after"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(tmp_path / "pipe", b"through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize("name", [".", "/", "a\0b", "no/file"])
def test_what_cannot_be_a_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(HpsearchError, match="must be a file that can be written, but ") as caught:
        write_atomically(tmp_path / name, b"")
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_the_longest_name_that_a_file_can_have_is_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("n" * 255), b"long")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"long"]
