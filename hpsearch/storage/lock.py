"""One live process runs a study: a lock that the operating system or the database gives back when its owner dies."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from sqlalchemy import text

from hpsearch.errors import StorageError, StorageLostError, StudyOwnedError, one_line, reason
from hpsearch.storage.database import clear_errors, place
from hpsearch.storage.stored_study import StoredStudy

_ATTEMPTS, _PAUSE = 200, 0.01  # at a lock that is held only by those who look, and the seconds between two
_MOST = 200  # characters of what names its holder
_HOLDER = text(
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) "
    "WHERE locktype = 'advisory' AND ((classid::bigint << 32) | objid::bigint) = :key"
)


@contextmanager
def sole_owner(stored: StoredStudy) -> Iterator[None]:
    """Own the study while inside.

    Raises:
        StudyOwnedError: another live process does; its number and host are named.
        StorageLostError: a folder that cannot be written.
        StorageError: a kind of database that has no lock we know.
    """
    if stored.file is not None:
        with _file_lock(stored, stored.file):
            yield
    elif stored.storage.engine.url.get_backend_name() == "postgresql":
        with _advisory_lock(stored):
            yield
    else:
        raise StorageError(
            "must be SQLite or PostgreSQL to run a study in it",
            f"is {stored.storage.engine.url.get_backend_name()}",
            "Others have no lock that ends with its owner.",
            where=place(stored.url),
        )


@contextmanager
def _file_lock(stored: StoredStudy, database: Path) -> Iterator[None]:
    """A lock on a file beside the database: never on the database, whose own locks it would break."""
    import fcntl

    path = _lock_file(stored, database)
    # A forked child would share the lock and keep it after our death.
    closed_in_children, attempts = ExitStack(), 0
    os.register_at_fork(after_in_child=closed_in_children.close)
    try:
        while True:
            try:
                file = os.fdopen(_open(path, os.O_RDWR | os.O_CREAT), "r+", encoding="utf-8", errors="replace")
            except OSError as error:
                raise StorageLostError("must be a file that can be written", reason(error), where=str(path)) from error
            closed_in_children.callback(file.close)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                attempts += 1
                if attempts < _ATTEMPTS and not _is_locked(path):  # those who look share it, for as long as that takes
                    file.close()
                    time.sleep(_PAUSE)
                    continue
                file.seek(0)
                raise _owned(stored, one_line(file.read(_MOST), _MOST) or "another process") from None
            if _is_at(path, file):
                break
            file.close()  # its owner removed it after we opened it: another process may hold one of this name
        file.truncate(0)
        file.write(_this_process())
        file.flush()
        yield
    finally:
        closed_in_children.close()


def is_owned(stored: StoredStudy) -> bool:
    """Whether a live process runs the study now; nothing is written, and nobody is kept from running it.

    Raises:
        StorageError: a database that cannot be read.
    """
    if stored.file is not None:
        return _is_locked(_lock_file(stored, stored.file))
    if stored.storage.engine.url.get_backend_name() != "postgresql":
        return False
    with clear_errors(stored.url), stored.storage.engine.connect() as connection:
        return connection.execute(_HOLDER, {"key": _advisory_key(stored)}).first() is not None


def _is_locked(path: Path) -> bool:
    import fcntl

    try:
        file = os.fdopen(_open(path, os.O_RDONLY), "rb")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _open(path: Path, flags: int) -> int:
    """Open the file at a lock's place: never what a link there names, nor a pipe, whose other end would be waited for.

    Raises:
        OSError: there is something else, or it cannot be opened.
    """
    number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "is no regular file")
    return number


def _lock_file(stored: StoredStudy, database: Path) -> Path:
    return database.with_name(f"{database.name}.{stored.name}.lock")


def _is_at(path: Path, file: IO[str]) -> bool:
    """Whether an open file is the one that has this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def remove_lock(stored: StoredStudy) -> None:
    """Remove the file of a lock that this process holds: the last that it does, of a study that is no more."""
    if stored.file is not None:
        with suppress(OSError):  # an empty file does no harm
            _lock_file(stored, stored.file).unlink()


@contextmanager
def _advisory_lock(stored: StoredStudy) -> Iterator[None]:
    """A session lock on the very connection that writes: who loses the one loses the other."""
    key = _advisory_key(stored)
    engine = stored.storage.engine
    with clear_errors(stored.url), engine.begin() as connection:
        got = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar()
        if not got:
            holder = connection.execute(_HOLDER, {"key": key}).scalar()
            raise _owned(stored, holder or "another process")
    try:
        yield
    finally:
        with clear_errors(stored.url), engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})


def _advisory_key(stored: StoredStudy) -> int:
    return int.from_bytes(hashlib.blake2b(f"hpsearch {stored.name}".encode(), digest_size=8).digest(), signed=True)


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _owned(stored: StoredStudy, owner: str) -> StudyOwnedError:
    return StudyOwnedError(
        "must be run by one process at a time",
        f"{owner} is running it",
        "Wait for it, or stop it.",
        where=place(stored.url, stored.name),
    )
