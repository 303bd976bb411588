"""Temporary files and folders, each held by a lock that the system gives back when their process ends, however it does.

That lock alone tells what a killed process has left: its age would not, and its number may be another's by now. Two
kinds: folders in the system's temporary folder, and what lies beside a file or a folder until it takes its place.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

PART = ".hpsearch-part"  # ends the name of what lies beside its target
OLD = "old"  # in a folder beside its target: what was at the target, while another takes its place
_TEMPORARY = re.compile(rf"hpsearch-(\d+)-\w+{re.escape(PART)}")
_ATTEMPTS = 3  # at an item of our own; where none can be locked, there are no locks, and nothing is ever taken for left
_SEMAPHORES = Path("/dev/shm")  # where Linux keeps those that have names


class TemporaryFolder:
    """A folder in the system's temporary folder: ``hpsearch-PID-….hpsearch-part``.

    It is removed when :meth:`remove` is called, when nothing refers to it any more, or when the interpreter ends. Those
    of processes that were killed are removed when the next one is made.

    Attributes:
        path: where it is.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self) -> None:
        remove_left()
        self.path, held = _made(lambda: Path(tempfile.mkdtemp(PART, f"hpsearch-{os.getpid()}-")))
        self._finalizer = weakref.finalize(self, _discard, self.path, held, os.getpid())

    def remove(self) -> None:
        """Remove it with all that is in it; what cannot be removed stays."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()


def remove_left() -> None:
    """Remove what processes that are no more have left in the temporary folder."""
    with suppress(OSError):  # there is none
        for path in Path(tempfile.gettempdir()).glob(f"hpsearch-*-*{PART}"):
            if (named := _TEMPORARY.fullmatch(path.name)) and (held := _claimed(path)) is not None:
                if _semaphores_are_gone(int(named[1])):
                    _discard(path, held, os.getpid())
                else:  # it tells whose they are: a later run removes both
                    os.close(held)


def _semaphores_are_gone(process: int) -> bool:
    """Remove those of a dead process's pool of workers, which stay where loky's tracker was killed too.

    Returns:
        Whether there are none left. They stay where a process of that number is there, be it one that has ended and
        waits for its parent, or another one.
    """
    paths = [*_SEMAPHORES.glob(f"sem.loky-{process}-*")]
    if not paths:
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        for path in paths:
            with suppress(OSError):
                path.unlink()
        return True
    except OSError:  # it is another user's
        return False
    return False


@contextmanager
def beside(target: Path, folder: bool = False) -> Iterator[Path]:
    """A new file, or folder, beside a target, to be given the target's name; what is left of it is removed.

    What killed processes left in that place is removed before, once in the life of a process.

    Args:
        target: the file or folder to be; its folder must exist.
        folder: make a folder. What it has under the name ``OLD`` when the process is killed is put back.

    Raises:
        OSError: it cannot be made.
    """
    _tidy(target.parent.absolute())

    def make() -> Path:
        name = target.name if folder else target.name[:40]  # a name has at most 255 bytes
        path = target.with_name(f".{name}.{secrets.token_hex(4)}{PART}")
        path.mkdir(0o700) if folder else path.open("xb").close()
        return path

    path, held = _made(make)
    try:
        yield path
    finally:
        _discard(path, held, os.getpid())


@lru_cache(maxsize=256)
def _tidy(folder: Path) -> None:
    remove_left_beside(folder)


def remove_left_beside(folder: Path) -> None:
    """Remove what processes that are no more have left in a folder beside their targets."""
    with suppress(OSError):
        for path in folder.glob(f".*{PART}"):
            if (held := _claimed(path)) is not None:
                with suppress(OSError):
                    target = path.with_name(path.name[1:].removesuffix(PART).rpartition(".")[0])
                    if (path / OLD).exists() and not target.exists():
                        (path / OLD).rename(target)
                _discard(path, held, os.getpid())


def _made(make: Callable[[], Path]) -> tuple[Path, int | None]:
    """What was made and its lock. (Another process may take it for left, before it is locked, and remove it.)"""
    for _ in range(_ATTEMPTS):
        path = make()
        if (held := _claimed(path)) is not None:
            return path, held
        _discard(path, None, os.getpid())
    return make(), None


def _claimed(path: Path) -> int | None:
    """The lock of a file or folder of ours, as a file descriptor; None where a living process has it."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        # No link is followed, and no pipe waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        if found.st_uid == os.geteuid() and os.path.samestat(found, path.lstat()):
            return descriptor
    os.close(descriptor)
    return None


def _discard(path: Path, held: int | None, process: int) -> None:
    """Remove a file or folder, and let its lock go; a forked child leaves both to its parent."""
    if os.getpid() != process:
        return
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    if held is not None:
        os.close(held)
