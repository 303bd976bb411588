"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hpsearch.errors import HpsearchError, Setting, Text, reason
from hpsearch.temporary import beside


def write_atomically(
    path: Path, content: bytes | Callable[[BinaryIO], object], failure: type[HpsearchError] = HpsearchError
) -> None:
    """Write a file under a temporary name beside it, then give it its own; a file that is there is replaced.

    A new file's mode is what the process's umask makes of 0666; a file that is replaced keeps its own. Behind a
    symbolic link the file that it names is replaced; into a device, or a pipe that somebody reads, the content is
    written as it is. What a process that is killed meanwhile leaves is removed by the next that writes there.

    Args:
        path: the file; its folder must exist.
        content: what it holds, or what writes that to an open file.
        failure: the kind of error to raise.

    Raises:
        HpsearchError: the file cannot be written, as a ``failure``.
    """
    try:
        whole = _real(path)
        if whole.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not path.is_file():
            with _opened(path) as file:
                _fill(file, content)
            return
        with beside(whole) as partial:
            with partial.open("wb") as file:
                _fill(file, content)
            if whole.exists():
                partial.chmod(stat.S_IMODE(whole.stat().st_mode))
            os.replace(partial, whole)
    except OSError as error:
        raise failure("must be a file that can be written", reason(error), where=str(path)) from error


def _real(path: Path) -> Path:
    try:
        whole = Path(os.path.realpath(path))
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from error
    if whole.is_symlink():  # to itself, by whatever way
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return whole


def _opened(path: Path) -> BinaryIO:
    """What is no file, open for writing; a pipe that nobody reads is refused, where to open it would wait for ever."""
    try:
        number = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "is a pipe that nobody reads, or a socket") from error
        raise
    os.set_blocking(number, True)
    return os.fdopen(number, "wb")


def _fill(file: BinaryIO, content: bytes | Callable[[BinaryIO], object]) -> None:
    file.write(content) if isinstance(content, bytes) else content(file)


def require_replaceable(
    path: Path,
    force: bool,
    earlier: str = "",
    is_earlier: Callable[[Path], bool] = lambda path: False,
    failure: type[HpsearchError] = HpsearchError,
) -> None:
    """Refuse to write over what somebody else has made.

    Args:
        path: the file to write.
        force: whether anything may be replaced.
        earlier: what may be replaced without, as ``an earlier report``; nothing by default.
        is_earlier: whether the file that is there is one.
        failure: the kind of error to raise.

    Raises:
        HpsearchError: the file is there and may not be replaced, as a ``failure``.
    """
    if not path.exists() or path.is_dir() or force or is_earlier(path):  # writing refuses a folder
        return
    must = f"must not exist yet or be {earlier}" if earlier else "must not exist yet"
    do: Text = ("Name another, or replace it with ", Setting("force", True), ".")
    raise failure(must, "is neither" if earlier else "does", do, where=str(path))
