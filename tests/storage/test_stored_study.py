"""The storage: what is written together, what is refused, and that readers and the writer do not wait."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from sqlalchemy.exc import OperationalError

import hpsearch
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import StorageError, UnknownStudyError
from hpsearch.search.objective import TrialTask, evaluate, prepare
from hpsearch.storage.database import close, open_storage, shown_url
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import Proposal, StoredStudy

URL = "sqlite:///hpsearch.db"


@pytest.fixture
def stored(small: Path) -> Iterator[StoredStudy]:
    definition = StudyDefinition.from_file(small)
    prepared = prepare(definition)
    attributes = {"identity": prepared.identity(), **prepared.attributes()}
    with StoredStudy.create_or_open(URL, definition.name, attributes) as stored:
        yield stored


def test_a_result_comes_back_as_it_was_told(small: Path, stored: StoredStudy) -> None:
    prepared = prepare(StudyDefinition.from_file(small))
    result = evaluate(prepared, TrialTask(0, {"learning_rate": 0.03}))
    with stored.transaction():
        stored.add(Proposal(0, {}, {}))
        stored.tell(result)
    with StoredStudy.open(URL, "small") as reread:
        assert stored_result(reread.trials()[0]) == result


def test_a_transaction_that_fails_leaves_nothing_behind(stored: StoredStudy) -> None:
    def break_off() -> None:
        with stored.transaction():
            stored.add(Proposal(0, {}, {}))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert stored.trials() == []
    with stored.transaction():
        stored.add(Proposal(0, {}, {}))
    assert [trial.number for trial in stored.trials()] == [0]


def test_a_reader_neither_blocks_nor_is_blocked_while_the_owner_writes(stored: StoredStudy) -> None:
    with stored.transaction():
        stored.add(Proposal(0, {}, {}))
        reader = sqlite3.connect("hpsearch.db", timeout=0)
        assert reader.execute("select count(*) from trials").fetchone() == (0,)
    assert reader.execute("select count(*) from trials").fetchone() == (1,)
    reader.close()


def test_sqlite_is_in_wal_mode_and_whole_after_a_study(small: Path) -> None:
    hpsearch.run(small, trials=3)
    database = sqlite3.connect("hpsearch.db")
    assert database.execute("pragma journal_mode").fetchone() == ("wal",)
    assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    database.close()


@pytest.mark.parametrize(
    "url",
    [
        *("nonsense", "sqlite://", "sqlite:///:memory:", "sqlite:///absent/folder/x.db", "http://[::1"),
        *("sqlite:///x.db?timeout=abc", "sqlite:///x.db?check_same_thread=q"),
    ],
)
def test_a_storage_that_cannot_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match="storage"):
        open_storage(url, create=True)
    assert list(tmp_path.iterdir()) == []


def test_several_may_make_a_storage_at_once(tmp_path: Path) -> None:
    begin = threading.Barrier(6)

    def make(number: int) -> str:
        begin.wait(60)
        with StoredStudy.create_or_open(f"sqlite:///{tmp_path / 'new.db'}", f"s{number}", {"definition": {}}) as made:
            return made.name

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(make, range(6))) == [f"s{number}" for number in range(6)]
    assert {path.name for path in tmp_path.iterdir()} == {"new.db"}


def test_reading_makes_no_storage(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="There is no storage"):
        open_storage(f"sqlite:///{tmp_path / 'absent.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, and longer than a header of a hundred bytes has to be " * 3)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="file is not a database"):
        open_storage(f"sqlite:///{path}", create=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("create", [False, True])
def test_the_schema_of_another_optuna_is_refused(tmp_path: Path, create: bool) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    close(open_storage(url, create=True))
    with closing(sqlite3.connect(tmp_path / "old.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'v2.4.0.a'")
    with pytest.raises(StorageError, match="must have the schema of the installed Optuna"):
        open_storage(url, create=create)


@pytest.mark.parametrize("create", [False, True])
def test_a_database_of_studies_that_does_not_say_its_schema_is_no_whole_one(tmp_path: Path, create: bool) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    storage = open_storage(url, create=True)
    storage.create_new_study([StudyDirection.MINIMIZE], "s")
    close(storage)
    with closing(sqlite3.connect(tmp_path / "old.db")) as database, database:
        database.execute("DROP TABLE alembic_version")
    before = (tmp_path / "old.db").read_bytes()
    with pytest.raises(StorageError, match="must be a whole database of studies, but does not say which schema"):
        open_storage(url, create=create)
    assert (tmp_path / "old.db").read_bytes() == before


@pytest.mark.parametrize("create", [False, True])
def test_a_folder_is_no_storage(tmp_path: Path, create: bool) -> None:
    with pytest.raises(StorageError, match="must be a file, but is a folder"):
        open_storage(f"sqlite:///{tmp_path}", create=create)
    assert not [*tmp_path.iterdir()]


def test_a_missing_database_driver_is_named_and_the_password_is_not(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as refused:
        open_storage("mysql+absentdriver://me:secret@127.0.0.1/db")
    assert "secret" not in str(refused.value)


def test_passwords_are_never_shown() -> None:
    assert shown_url("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"


def test_an_unknown_study_is_refused_with_the_nearest_name(small: Path) -> None:
    hpsearch.run(small, trials=1)
    with pytest.raises(UnknownStudyError, match="Did you mean 'small'"):
        hpsearch.load_trials("smal")


def test_a_study_of_someone_else_is_refused_and_not_listed(small: Path) -> None:
    import optuna

    from hpsearch.storage.quiet import quiet

    with quiet():
        storage = open_storage(URL, create=True)
        optuna.create_study(study_name="small", storage=storage)
        close(storage)
    with pytest.raises(UnknownStudyError, match="was not made by hpsearch"):
        hpsearch.load_trials("small")
    with pytest.raises(hpsearch.StudyChangedError, match="was not made by hpsearch"):
        hpsearch.run(small)
    assert len(hpsearch.load_studies()) == 0


def test_a_storage_that_vanishes_in_mid_run_is_a_clear_error(small: Path) -> None:
    def vanish(progress: object) -> None:
        database = sqlite3.connect("hpsearch.db")
        database.execute("drop table if exists trial_values")
        database.execute("drop table if exists trials")
        database.close()

    with pytest.raises(StorageError, match="no such table") as caught:
        hpsearch.run(small, watch=vanish)
    assert isinstance(caught.value.__cause__, OperationalError | Exception)
