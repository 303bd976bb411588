"""What every storage must do: on SQLite, and on a real PostgreSQL that these tests start on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
import sqlalchemy
from conftest import SMALL, Outcome
from faults import SERVER, owner, record_scorings, run
from optuna.trial import TrialState
from test_coordinator import assert_same, at, tables

import hpsearch as package
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import StorageLostError, StudyChangedError, StudyOwnedError, UnknownStudyError
from hpsearch.search.coordinator import Progress
from hpsearch.search.objective import prepare
from hpsearch.storage.database import one_moment
from hpsearch.storage.quiet import quiet
from hpsearch.storage.reading import read_trials
from hpsearch.storage.stored_study import SCORINGS, Proposal, StoredStudy
from hpsearch.storage.trial_result import TrialResult

PASSWORD = "correct-horse-battery"


def server_programs() -> Path | None:
    """Where PostgreSQL's own programs are."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a database of a server of our own, on loopback."""
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="hpsearch-postgres-"))
    # PostgreSQL refuses to run as root: then it runs as the user that its package made.
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    options = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    (folder / "password").write_text(PASSWORD)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **options}
    make = [programs / "initdb", "-D", data, "-U", "hp", "-A", "scram-sha-256", "--pwfile", folder / "password"]
    subprocess.run([*map(str, make), "--no-sync"], check=True, **quiet)  # type: ignore[call-overload]
    serve = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
    server = subprocess.Popen(list(map(str, serve)), **quiet)  # type: ignore[call-overload]
    url = f"postgresql+psycopg://hp:{PASSWORD}@127.0.0.1:{port}/postgres"
    try:
        engine = sqlalchemy.create_engine(url)
        for _ in range(200):
            try:
                engine.connect().close()
                break
            except sqlalchemy.exc.OperationalError:
                time.sleep(0.05)
        engine.dispose()
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, small: Path) -> Iterator[str]:
    """An empty storage of each kind."""
    if request.param == "sqlite":
        yield at(small.parent, "contract")
        return
    url = request.getfixturevalue("postgres")
    yield url
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP SCHEMA public CASCADE"))
        connection.execute(sqlalchemy.text("CREATE SCHEMA public"))
    engine.dispose()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, ...]:
    """The small study's tables."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    package.run(folder / "small.toml", storage=at(folder, "a"))
    return tables(at(folder, "a"))


def test_a_study_has_the_same_tables_in_every_storage(
    small: Path, storage: str, reference: tuple[pd.DataFrame, ...]
) -> None:
    package.run(small, storage=storage, trials=5)
    package.run(small, storage=storage)
    assert_same(tables(storage), reference)
    assert package.load_studies(storage)["trials"].tolist() == [16]


def test_a_transaction_that_fails_leaves_nothing_behind(small: Path, storage: str) -> None:
    package.run(small, storage=storage, trials=1)

    def break_off(stored: StoredStudy) -> None:
        with stored.transaction():
            stored.add(Proposal(1, {}, {}))
            raise KeyboardInterrupt

    with StoredStudy.create_or_open(storage, "small", {}) as stored:
        with pytest.raises(KeyboardInterrupt):
            break_off(stored)
        assert len(stored.trials()) == 1


def test_a_study_has_one_owner_and_its_death_sets_it_free(small: Path, storage: str) -> None:
    with owner(small, storage) as process:
        with pytest.raises(StudyOwnedError, match=f"process {process.pid} on "):
            package.run(small, storage=storage)
        assert len(package.load_trials("small", storage)) >= 4, "readers are not locked out"
    for _ in range(100):  # a database server takes a moment to see that its client is gone
        try:
            package.run(small, storage=storage, trials=1)
            break
        except StudyOwnedError:
            time.sleep(0.05)
    else:
        raise AssertionError("a dead owner still holds the study")


def test_an_owner_that_ends_sets_its_study_free_and_another_is_not_held(small: Path, storage: str) -> None:
    other = small.with_name("other.toml")
    other.write_text(SMALL.replace('"small"', '"other"'))
    told: list[int] = []

    def watch(progress: Progress) -> None:
        if not told:
            told.append(len(package.run(other, storage=storage, trials=1).trials))

    package.run(small, storage=storage, trials=2, watch=watch)
    package.run(small, storage=storage, trials=3)
    assert told == [1]


def test_looks_at_a_hold_out_by_several_processes_at_once_are_all_recorded(small: Path, storage: str) -> None:
    package.run(small, storage=storage, trials=1)
    processes, each, known = 4, 8, SERVER.Queue()
    begin = SERVER.Barrier(processes)
    running = [
        SERVER.Process(target=record_scorings, args=(storage, number, each, begin, known))
        for number in range(processes)
    ]
    for process in running:
        process.start()
    before = [known.get(timeout=60) for _ in range(processes * each)]
    for process in running:
        process.join()
    with StoredStudy.open(storage, "small") as stored:
        entries = [entry["configuration"] for entry in stored.attributes[SCORINGS]]
    assert sorted(entries) == sorted(f"{process}, {number}" for process in range(processes) for number in range(each))
    assert sorted(before) == list(range(processes * each)), "each was told of another number before"


def test_a_reader_sees_one_moment_while_a_run_writes(small: Path, storage: str) -> None:
    """What is read at once agrees, whatever is written between two of its statements."""
    package.run(small, storage=storage, trials=2)
    with StoredStudy.open(storage, "small") as reading, StoredStudy.open(storage, "small", owner=True) as writing:
        numbers = iter(range(2, 100))

        def write(connection: sqlalchemy.Connection, *rest: object) -> None:
            if connection.engine is reading.storage.engine:
                with writing.transaction():
                    writing.add(Proposal(number := next(numbers), {}, {}))
                    writing.tell(TrialResult(number, "FAIL", None, 0, 0.0, reason="planted"))
                    writing.storage.set_study_user_attr(writing.study_id, "told", number)

        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "after_cursor_execute", write)
        try:
            seen = reading.at_one_moment()
        finally:
            sqlalchemy.event.remove(sqlalchemy.engine.Engine, "after_cursor_execute", write)
        now = reading.at_one_moment()
    assert len(now.trials()) > 6, "there was a write between any two statements of the reader"
    told = seen.attributes.get("told", 1)
    assert [trial.number for trial in seen.trials()] == [*range(told + 1)]
    assert all(trial.state.is_finished() for trial in seen.trials())
    assert (seen.attributes, seen.trials()) != (now.attributes, now.trials())


@pytest.mark.campaign
def test_four_studies_at_once_in_a_new_storage_are_as_each_alone(
    small: Path, storage: str, reference: tuple[pd.DataFrame, ...]
) -> None:
    names = [f"study{number}" for number in range(4)]
    for name in names:
        (small.parent / f"{name}.toml").write_text(SMALL.replace('"small"', f'"{name}"'), encoding="utf-8")
    running = [SERVER.Process(target=run, args=(str(small.parent / f"{name}.toml"), storage, 1)) for name in names]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * 4, "none is refused"
    for name in names:
        assert_same(tables(storage, name), reference)


def test_a_changed_study_and_an_unknown_one_are_refused(small: Path, storage: str) -> None:
    package.run(small, storage=storage, trials=1)
    with pytest.raises(StudyChangedError, match=r"study\.seed was 3 and is 4"):
        package.run(package.StudyDefinition.from_file(small, ["study.seed=4"]), storage=storage)
    with pytest.raises(UnknownStudyError, match="Did you mean 'small'"):
        package.load_trials("smal", storage)


def test_a_killed_owner_leaves_a_study_that_goes_on_the_same(
    small: Path, storage: str, reference: tuple[pd.DataFrame, ...]
) -> None:
    with owner(small, storage, told=7) as process:
        pass
    assert process.exitcode == -signal.SIGKILL
    for _ in range(100):
        try:
            package.run(small, storage=storage)
            break
        except StudyOwnedError:
            time.sleep(0.05)
    assert_same(tables(storage), reference)


def test_a_server_that_goes_away_is_an_error_without_its_password(small: Path, postgres: str) -> None:
    def cut(progress: Progress) -> None:
        if len(progress.results) == 3:
            engine = sqlalchemy.create_engine(postgres)
            with engine.begin() as connection:
                connection.execute(
                    sqlalchemy.text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name LIKE 'hpsearch%' AND pid <> pg_backend_pid()"
                    )
                )
            engine.dispose()

    with pytest.raises(StorageLostError) as lost:
        package.run(small, storage=postgres, watch=cut)
    assert PASSWORD not in str(lost.value)
    assert (package.load_trials("small", postgres)["state"] != "RUNNING").sum() == 3
    assert len(package.run(small, storage=postgres).trials) == 16


def test_passwords_are_in_no_output(small: Path, postgres: str, hpsearch: Callable[..., Outcome]) -> None:
    wrong = postgres.replace(PASSWORD, "wrong-password")
    for arguments in (
        ("run", small, "--storage", postgres, "--trials", "2"),
        ("best", "small", "--storage", postgres, "--json"),
        ("trials", "absent", "--storage", postgres),
        ("trials", "small", "--storage", wrong),
        ("run", small, "--storage", wrong),
    ):
        outcome = hpsearch(*arguments)
        assert outcome.status == (0 if arguments[0] in ("best", "run") and wrong not in arguments else 2)
        for secret in (PASSWORD, "wrong-password"):
            assert secret not in outcome.out + outcome.err


def test_trials_are_read_as_optuna_itself_does(small: Path, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package.run(StudyDefinition.from_file(small).with_name("read"), storage=storage, trials=3)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        with StoredStudy.open(storage, "read", owner=True) as stored, quiet():
            study = optuna.load_study(study_name="read", storage=stored.storage)
            study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
            for value in (float("nan"), float("inf"), 0.5):
                trial = study.ask({"of": optuna.distributions.CategoricalDistribution(["a", None, 2.5])})
                trial.report(value, 1)
                stored.storage.set_trial_system_attr(trial._trial_id, "system", [value == value])
                study.tell(trial, None if value != value else value, state=None if value == value else TrialState.FAIL)
            with one_moment(stored.storage, storage) as connection:
                ours = read_trials(connection, stored.study_id)
            theirs = stored.storage.get_all_trials(stored.study_id)
            for one, other in zip(ours, theirs, strict=True):
                known, wanted = vars(one), vars(other)
                assert {**known, "intermediate_values": None} == {**wanted, "intermediate_values": None}
                assert repr(one.intermediate_values) == repr(other.intermediate_values)
            assert len(ours) == 7
            assert {trial.state.name for trial in ours} >= {"RUNNING", "COMPLETE", "FAIL"}
    finally:
        monkeypatch.undo()
        time.tzset()


def test_rows_are_written_as_optuna_itself_would(small: Path, storage: str) -> None:
    """Ours go to Optuna's tables many at a time; read back, and as rows, they must be what its own setters write."""
    values = {10: 0.5, 20: float("nan"), 30: float("inf"), 40: float("-inf"), 50: 1e-300}
    prepared = prepare(StudyDefinition.from_file(small).with_name("rows"))
    attributes = {"identity": prepared.identity(), **prepared.attributes()}
    with StoredStudy.create_or_open(storage, "rows", attributes) as stored, quiet():
        result = TrialResult(0, "COMPLETE", 0.25, 7, 1.5, score=0.5, best_epoch=10, epochs=[*values])
        result = replace(result, intermediate=[*values.values()], training_loss=[[float("nan")]] * 5)
        with stored.transaction():
            stored.add(Proposal(0, {}, {}))
            stored.report(0, {10: 9.0, 20: 9.0})  # written over
            stored.tell(result)
        study = optuna.load_study(study_name="rows", storage=stored.storage)
        by_optuna = study.ask()
        for epoch, value in values.items():
            by_optuna.report(value, epoch)
        for key, value in stored.storage.get_all_trials(stored.study_id)[0].user_attrs.items():
            by_optuna.set_user_attr(key, value)
        study.tell(by_optuna, 0.25)
        ours, theirs = stored.storage.get_all_trials(stored.study_id)
        assert repr(ours.intermediate_values) == repr(theirs.intermediate_values) == repr(values)
        assert ours.user_attrs == theirs.user_attrs
        with stored.storage.engine.connect() as connection:
            for table, columns in (
                ("trial_intermediate_values", "step, intermediate_value, intermediate_value_type"),
                ("trial_user_attributes", "key, value_json"),
            ):
                mine, other = (
                    connection.execute(
                        sqlalchemy.text(f"SELECT {columns} FROM {table} WHERE trial_id = :trial ORDER BY 1"),
                        {"trial": trial._trial_id},
                    ).all()
                    for trial in (ours, theirs)
                )
                assert mine == other
                assert len(mine) >= 5
