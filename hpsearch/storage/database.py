"""Databases: opened as they should be, their errors in one line, one transaction for all that belongs together."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

import optuna
import sqlalchemy as sa
import sqlalchemy.engine
import sqlalchemy.exc
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import StaticPool

from hpsearch.errors import MOST_TO_COPY, Setting, StorageError, StorageLostError, cut, one_line, quoted
from hpsearch.extras import require
from hpsearch.storage.quiet import quiet

_PAUSE = 0.001  # seconds between two looks whether another process still writes
BUSY_SECONDS = 30  # that a process waits for others that write, which take some milliseconds each
_MOST_CHECKED = 200_000_000  # bytes of an SQLite file whose pages are checked: a tenth of a second for 5,000 trials


@contextmanager
def clear_errors(url: str, kind: type[StorageError] = StorageError) -> Iterator[None]:
    """Whatever a database can raise, as one line that names it.

    Raises:
        StorageLostError: what SQLite calls operational: a full disk, a folder that cannot be written.
        StorageError: anything else, as ``kind``.
    """
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, sqlite3.Error) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        origin = getattr(cause, "orig", None) or cause or error
        reason = one_line(origin)
        if getattr(origin, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            raise kind(_WHOLE, reason, RESTORE, place(url)) from error
        if isinstance(origin, sqlite3.OperationalError):
            kind = StorageLostError
        raise kind("must be usable", reason, where=place(url)) from error


_WHOLE = "must be a whole database of studies"
RESTORE = "Put back a copy of it, or use another storage."
# What SQLite finds wrong with a file, or with its tables, whoever reads it and whenever.
_DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)


def shown_url(url: str) -> str:
    """A storage URL without its password."""
    try:
        return cut(make_url(url).render_as_string(hide_password=True), MOST_TO_COPY)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return quoted(url)


def place(url: str, study: str | None = None) -> tuple[str, ...]:
    """Where an error is: a storage, or a study in it."""
    return (f"storage {shown_url(url)}", *([] if study is None else [f"study {quoted(study)}"]))


def is_there(url: str) -> bool:
    """Whether there is a storage to open; of a server nobody knows before.

    Raises:
        StorageError: not a URL.
    """
    parsed = _parsed(url)
    return parsed.get_backend_name() != "sqlite" or (bool(parsed.database) and os.path.exists(str(parsed.database)))


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:  # the latter of a port or an address
        raise StorageError(
            "must be a URL like sqlite:///hpsearch.db", f"is {quoted(url)}", where=Setting("storage")
        ) from error


def open_storage(url: str, create: bool = False, owner: bool = False) -> RDBStorage:
    """Open a storage; SQLite in WAL mode, so that readers and the one writer do not wait for each other.

    Args:
        url: as SQLAlchemy has it, ``sqlite:///file.db`` or a server's.
        create: make an SQLite file that is not there yet; for an owner.
        owner: for the one owner of a study, who holds its lock and writes.

    Raises:
        MissingExtraError: a PostgreSQL URL without psycopg.
        StorageError: not a URL, or a database that cannot be opened.
    """
    parsed = _parsed(url)
    options: dict[str, Any] = {}
    owner = owner or create
    if parsed.get_backend_name() == "sqlite":
        _check_sqlite(parsed.database, url, create)
        if owner:
            _require_whole_pages(Path(str(parsed.database)), url)
        options = {"connect_args": {"timeout": BUSY_SECONDS}, "pool_events": [(_read_any_text, "connect")]}
        if owner:
            options["pool_events"].append((_use_wal, "connect"))
    elif parsed.get_backend_name() == "postgresql":
        if parsed.get_driver_name() == "psycopg":
            require("psycopg", "postgres", f"The storage {shown_url(url)}")
        # The owner's one connection holds its lock and does its writing, so they end together.
        name = f"hpsearch, process {os.getpid()} on {socket.gethostname()}"
        # Readers see one moment however many queries they make; the owner is the only one who writes what it reads.
        how = {"poolclass": StaticPool} if owner else {"isolation_level": "REPEATABLE READ"}
        options = {"connect_args": {"application_name": name[:63]}, **how}
    with quiet(), clear_errors(url), _closed_on_failure(options):
        try:
            return _connect(url if owner else _read_only(parsed), options, create)
        except ImportError as error:
            raise StorageError("must have a database driver", f"it is missing: {error}", where=place(url)) from error
        except (ValueError, TypeError) as error:  # of an option behind the question mark
            must = "must be a URL that its database understands"
            raise StorageError(must, one_line(error), where=place(url)) from error
        except _UnnotedError as error:
            raise StorageError(_WHOLE, "does not say which schema it has", RESTORE, place(url)) from error
        except RuntimeError as error:
            raise StorageError(
                "must have the schema of the installed Optuna",
                "has another",
                "Use the version of Optuna that made it, or `optuna storage upgrade`.",
                where=place(url),
            ) from error


@contextmanager
def _closed_on_failure(options: dict[str, Any]) -> Iterator[None]:
    """Close what an opening that fails has connected, which nobody else has a name for."""
    connected: list[Any] = []
    opening = True

    def note(connection: Any, record: Any) -> None:
        if opening:
            connected.append(connection)

    options["pool_events"] = [*options.get("pool_events", ()), (note, "connect")]
    try:
        yield
    except BaseException:
        for connection in connected:
            connection.close()
        raise
    finally:
        opening = False
        connected.clear()


def study_names(storage: RDBStorage, url: str) -> list[str]:
    """The studies of a storage, whoever made them."""
    with one_moment(storage, url) as connection:
        names = [name for (name,) in connection.execute(sa.select(_NAME))]
    return [name for name in names if isinstance(name, str)]


_NAME = sa.table("studies", sa.column("study_name")).c.study_name


@contextmanager
def one_moment(storage: RDBStorage, url: str) -> Iterator[sa.Connection]:
    """One moment of a database, for however many queries: between two of them others may write.

    Within a transaction of this process (:func:`one_transaction`) it is that one's moment.

    Raises:
        StorageError: a database that cannot be read.
    """
    with clear_errors(url):
        session = storage.scoped_session()
        try:
            connection = session.connection()
            # Python's sqlite3 begins no transaction before a SELECT.
            if connection.dialect.name == "sqlite" and not _driver(connection).in_transaction:
                connection.exec_driver_sql("BEGIN")
            yield connection
            session.commit()
        except BaseException:
            session.rollback()
            raise
        finally:
            session.close()


def _driver(connection: sa.Connection) -> Any:
    """SQLite's own connection."""
    return connection.connection.driver_connection


@contextmanager
def closed_on_error(storage: RDBStorage) -> Iterator[RDBStorage]:
    try:
        yield storage
    except BaseException:
        close(storage)
        raise


def close(storage: RDBStorage) -> None:
    """Give back a storage's connections, and with them its files."""
    storage.remove_session()
    storage.engine.dispose()


def _check_sqlite(database: str | None, url: str, create: bool) -> None:
    if not database or database == ":memory:":
        raise StorageError(
            "must name a file, as sqlite:///hpsearch.db does", f"is {quoted(url)}", where=Setting("storage")
        )
    path = Path(database)
    if os.path.isdir(path):  # a name may be longer than any file has
        raise StorageError("must be a file", "is a folder", "Name a file in it.", place(url))
    if not create and not os.path.exists(path):
        raise StorageError(
            f"There is no storage {cut(str(path), MOST_TO_COPY)}",
            do=("Run a study first, or give ", Setting("storage"), " the URL of another."),
        )
    if not os.path.isdir(path.parent):
        raise StorageError(
            "must be in a folder that exists", f"{cut(str(path.parent), MOST_TO_COPY)} does not", where=place(url)
        )


def _require_whole_pages(database: Path, url: str) -> None:
    """Refuse a file with damaged pages before anything is written: SQLite looks only at those that it comes across.

    Raises:
        StorageError: with what SQLite finds.
    """
    if not database.is_file() or database.stat().st_size > _MOST_CHECKED:
        return
    with clear_errors(url), closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")  # values are no pages: their readers look at them
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StorageError(_WHOLE, one_line(found), RESTORE, place(url))


def _connect(url: str, options: Mapping[str, Any], create: bool) -> RDBStorage:
    """Open a database, and make its tables if asked to; of two processes that make them at once, one tries again."""
    for seconds in (0.1, 0.3, 0.9):
        with suppress(sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
            return _opened(url, options, create)
        time.sleep(seconds)
    return _opened(url, options, create)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Make an SQLite file while no other process makes one in this folder: Optuna looks which tables are missing, and
    fails where another process makes them at the same time. One that holds the lock too long is not waited for, and
    where folders cannot be locked, all is as it would be without."""
    import fcntl

    with ExitStack() as stack:
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            for _ in range(100 * BUSY_SECONDS):
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(0.01)
        yield


def _opened(url: str, options: Mapping[str, Any], create: bool) -> RDBStorage:
    """A storage whose schema is the installed Optuna's.

    Optuna's own check executes all its migrations to find their head, 50 ms each time that a storage is opened; they
    are the same for as long as the process lives.

    Raises:
        _UnnotedError: it does not say which schema it has.
        RuntimeError: it has another schema.
    """
    global _HEAD
    parsed, version = _parsed(url), None
    may_make_file = create and parsed.get_backend_name() == "sqlite"
    with ExitStack() as stack:
        # Another process may be about to make its tables.
        with suppress(_UnnotedError) if may_make_file else nullcontext():
            version = _noted_version(url, options)
        if version is None and may_make_file:
            stack.enter_context(_alone_in(Path(str(parsed.database)).parent))
            version = _noted_version(url, options)
        if version is None and not create:
            raise StorageError("must be a database of studies", "holds none", where=place(url))
        storage = RDBStorage(
            url, engine_kwargs=dict(options), skip_compatibility_check=True, skip_table_creation=version is not None
        )
    _HEAD = _HEAD or storage.get_head_version()
    if version not in (None, _HEAD):
        raise RuntimeError
    return storage


def _noted_version(url: str, options: Mapping[str, Any]) -> str | None:
    """The schema that a database says it has; None of one whose tables are still to be made.

    Asked before Optuna opens it, which makes what it finds missing. Optuna notes the schema last: an empty database, or
    one whose maker was killed, has none, nor any study.

    Raises:
        _UnnotedError: it has studies and no schema, or says two things.
    """
    engine = sqlalchemy.engine.create_engine(url, **options)
    try:
        with engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
            noted = [
                list(connection.execute(sa.select(sa.table(table, sa.column(column)).c[column])).scalars())
                if table in tables
                else []
                for table, column in _NOTED
            ]
            studies = "studies" in tables and connection.execute(sa.select(sa.exists(_NAME))).scalar()
    finally:
        engine.dispose()
    versions, libraries = noted
    if len(versions) == len(libraries) == 1:
        return str(versions[0])
    if studies or versions:
        raise _UnnotedError
    return None


class _UnnotedError(RuntimeError):
    """A database does not say which schema it has: it is damaged, or another process is making it."""


# Where Optuna notes which schema a database has, and that of which library: one row each.
_NOTED = (("alembic_version", "version_num"), ("version_info", "library_version"))
_HEAD: str | None = None  # the schema of the installed Optuna, once it is known


def _read_only(url: URL) -> str:
    """For readers: a folder that cannot be written can still be read, as it is now."""
    database = Path(str(url.database))
    if url.get_backend_name() != "sqlite" or (os.access(database, os.W_OK) and os.access(database.parent, os.W_OK)):
        return url.render_as_string(hide_password=False)
    query = {"mode": "ro", "immutable": "1", "uri": "true"}
    return URL.create("sqlite", database=f"file:{quote(str(database))}", query=query).render_as_string()


def _read_any_text(connection: Any, _record: Any) -> None:
    """Text that is no UTF-8 is read, and refused where it is used: sqlite3 would refuse all that is read with it."""
    connection.text_factory = _text


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _use_wal(connection: Any, _record: Any) -> None:
    # With WAL, synchronous = NORMAL loses nothing when a process dies, and saves a disk flush a commit.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def one_transaction(storage: RDBStorage) -> Iterator[None]:
    """Make every call on ``storage`` inside part of one database transaction. For a single-threaded owner.

    What it reads stays true until it ends: no other process writes to an SQLite file meanwhile. (SQLite would otherwise
    begin at the first statement that writes, and Python's module only then.) A server lets others write, and what is
    read to be changed must be locked (:func:`lock_study`).
    """
    is_sqlite = storage.engine.dialect.name == "sqlite"
    # What another process changed while the lock was waited for is read then; a reader's moment would be refused.
    of_now = {} if is_sqlite else {"isolation_level": "READ COMMITTED"}
    with storage.engine.connect().execution_options(**of_now) as connection, connection.begin():
        if is_sqlite:
            _begin_to_write(connection)
        storage.scoped_session.remove()
        storage.scoped_session.configure(bind=connection)
        try:
            yield
        finally:
            storage.scoped_session.remove()
            storage.scoped_session.configure(bind=storage.engine)


def _begin_to_write(connection: sa.Connection) -> None:
    """Begin as soon as no other process writes to an SQLite file. SQLite waits up to a tenth of a second between two
    looks: of four studies in one file that took a tenth of the time."""
    driver = _driver(connection)
    (milliseconds,) = driver.execute("PRAGMA busy_timeout").fetchone()
    until = time.monotonic() + milliseconds / 1000
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                break
            except sqlalchemy.exc.OperationalError as error:
                is_busy = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() >= until:
                    raise
            time.sleep(_PAUSE)
    finally:
        driver.execute(f"PRAGMA busy_timeout = {milliseconds}")


def lock_study(storage: RDBStorage, study_id: int) -> None:
    """Keep other processes that call this from the study until the transaction ends, in which this must be called.

    It is the row that Optuna locks too; SQLite has no locks of rows, and leaves this out.
    """
    studies = sa.table("studies", sa.column("study_id"))
    rows = sa.select(studies.c.study_id).where(studies.c.study_id == study_id).with_for_update()
    storage.scoped_session().execute(rows)


def replace_rows(
    storage: RDBStorage, table: str, trial_id: int, key: str, rows: Sequence[Mapping[str, Any]], whole: bool = False
) -> None:
    """Write a trial's rows of one of Optuna's tables, inside a transaction: in place of those with the same ``key``, or
    of all that the trial has there, if they are the ``whole``.

    Optuna's own setters write one row at a time and look each up before: for a trial's 20 intermediate values and 8
    attributes this saves 20 of some 30 ms. The tables are read off the database, and a contract test compares what is
    written with what Optuna's own setters write.
    """
    if not rows and not whole:
        return
    session = storage.scoped_session()
    known = _TABLES.setdefault(storage.engine, sa.MetaData())
    # Read through this very connection: a server's has to itself what it is in the middle of.
    columns = known.tables.get(table)
    if columns is None:
        columns = sa.Table(table, known, autoload_with=session.connection(), resolve_fks=False)
    of_trial = sa.delete(columns).where(columns.c.trial_id == trial_id)
    session.execute(of_trial if whole else of_trial.where(columns.c[key].in_([row[key] for row in rows])))
    if rows:
        session.execute(sa.insert(columns), [{"trial_id": trial_id, **row} for row in rows])
    session.commit()


_TABLES: WeakKeyDictionary[sa.Engine, sa.MetaData] = WeakKeyDictionary()
