"""Opens files that a user names: a regular file behind whatever links, or an error at once.

A pipe that nobody writes to would have its reader wait for ever, a device may never end, and to open one may do
something to it. Standard input is no file, and has no need of this.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_OTHERS = {
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file to read its bytes.

    Raises:
        OSError: it is none, or cannot be opened; a path that no file can have.
    """
    try:
        _require_regular(os.stat(path).st_mode)  # before it is opened, and again in case it was exchanged
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file can have such a name") from error
    try:
        _require_regular(os.fstat(file.fileno()).st_mode)
    except OSError:
        file.close()
        raise
    return file


def _require_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        what = next((name for is_one, name in _OTHERS.items() if is_one(mode)), "something else")
        raise OSError(errno.EINVAL, f"is {what}, not a regular file")


def real_path(path: str | Path) -> Path:
    """A path without links, as far as there are files; a loop of links stays, which ``Path.resolve`` ends on."""
    return Path(os.path.realpath(path))


def is_same_file(one: Path, other: Path) -> bool:
    """Whether both paths are of one file that is there."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # of a file that is not there, or a path that no file can have
        return False
