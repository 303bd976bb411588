"""Databases that were damaged or tampered with: what is damaged is named in one line, nothing of it is executed or
written, and whole studies beside it are as they were."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from conftest import FINALS, SMALL, Outcome
from tampering import WHOLE, Canary, tamper, tamper_schema

import hpsearch as package
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DamagedStudyError, HpsearchError, StorageError, StorageLostError, StudyOwnedError
from hpsearch.reporting.overview import Overview
from hpsearch.search.coordinator import Progress
from hpsearch.search.transfer import begun_with
from hpsearch.storage.database import close, open_storage
from hpsearch.storage.lock import is_owned, sole_owner
from hpsearch.storage.names import stored_names
from hpsearch.storage.stored_study import StoredStudy

NAME = "studies.db"
URL = f"sqlite:///{NAME}"
DAMAGED = ("hurt", "halted", "cma")
TEXT = (
    SMALL.replace("finalists = 0", FINALS)
    .replace("epochs = 40", "epochs = 16")
    .replace("trials = 16", "trials = 6")
    .replace("samples = 20", "samples = 12")
)
SETTINGS: dict[str, list[str]] = {
    WHOLE: ["search.trials=2", "search.finalists=0"],
    "hurt": [],
    "halted": ["search.finalists=0"],
    "cma": ["search.sampler={name='cmaes'}", "search.pruner={name='hyperband'}", "search.finalists=0"],
}


def definition(name: str) -> StudyDefinition:
    return StudyDefinition.from_text(TEXT, overrides=[f"study.name='{name}'", *SETTINGS[name]])


def _interrupt(progress: Progress) -> None:
    if len(progress.results) == 4:
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database of studies, of which some were interrupted, and nothing wrong."""
    pytest.importorskip("cmaes")
    folder = tmp_path_factory.mktemp("clean")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in SETTINGS:
            watch = _interrupt if name in ("halted", "cma") else None
            with suppress(KeyboardInterrupt):
                package.run(definition(name), storage=URL, watch=watch)
        with closing(sqlite3.connect(NAME)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


@pytest.fixture
def copied(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Makes a copy of it, of which the working directory is."""
    folder = tmp_path / "copy"

    def copy() -> Path:
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(clean, folder)
        monkeypatch.chdir(folder)
        return folder / NAME

    return copy


@pytest.fixture(scope="module")
def straight(clean: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The list of studies and the trials of the whole one."""
    url = f"sqlite:///{clean / NAME}"
    return package.load_studies(url), package.load_trials(WHOLE, url)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def list_of_the_dashboard() -> Any:
    storage = open_storage(URL)
    try:
        return Overview(storage, URL).studies()
    finally:
        close(storage)


def readers(name: str) -> dict[str, Callable[[], Any]]:
    """What reads a study: its trials, and all that is stored of it."""
    return {
        "trials": lambda: package.load_trials(name, URL),
        "best": lambda: repr(package.load_best(name, URL)),
    }


def others(name: str) -> dict[str, Callable[[], Any]]:
    """What else reads it, or loads its rows as well, or writes files."""
    return {
        "folds": lambda: package.load_folds(name, URL),
        "curves": lambda: package.load_curves(name, URL),
        "finals": lambda: package.load_finals(name, URL),
        "copy": lambda: package.copy_study(name, "other", storage=URL),
        "metrics": lambda: package.load_metrics(name, URL),
        "report": lambda: package.report(name, "report.html", URL, force=True, importance=False),
        "from another study": lambda: begun_with(definition(WHOLE).with_name("fresh"), URL, name),
        "compare": lambda: package.compare(name, WHOLE, storage=URL),
        "confirm": lambda: package.confirm(name, storage=URL, top=1, repeats=1),
        "importance": lambda: package.load_importance(name, URL),
    }


def outcome(done: str, what: str, call: Callable[[], Any]) -> Any:
    """What a call returns, or its error, which is one line."""
    try:
        return call()
    except HpsearchError as error:
        message = str(error)
        assert "\n" not in message, (done, what, message)
        assert len(message) < 800, (done, what, message)
        if isinstance(error, StorageError):
            assert NAME in message, (done, what, message)
        return error
    except Exception as error:
        raise AssertionError(f"{what}, where {done}") from error


def check_reading(done: str, whole: bool, straight: tuple[pd.DataFrame, pd.DataFrame], more: bool) -> None:
    database = Path(NAME)
    before = digest(database)
    listed = outcome(done, "studies", lambda: package.load_studies(URL))
    stored_names(URL)
    if whole:
        assert not isinstance(listed, Exception), (done, listed)
        expected, found = (table[table["study"] == WHOLE].reset_index(drop=True) for table in (straight[0], listed))
        pd.testing.assert_frame_equal(found, expected)
        pd.testing.assert_frame_equal(package.load_trials(WHOLE, URL), straight[1])
    outcome(done, "the dashboard's list", list_of_the_dashboard)
    for name in DAMAGED:
        calls = {**readers(name), **(others(name) if more else {})}
        errors = [outcome(done, f"{name}, {what}", call) for what, call in calls.items()]
        if not isinstance(listed, Exception) and name in set(listed.dropna(subset="damage")["study"]):
            # Not every reader looks at all, and a number may say now that a later version wrote the study.
            assert any(isinstance(error, StorageError) for error in errors), (done, name, errors)
    assert digest(database) == before, done
    assert not Path(f"{NAME}.canary").exists(), done


def check_writing(done: str, whole: bool, straight: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """What is refused writes nothing; what is not, does as ever."""
    database = Path(NAME)
    for name in DAMAGED:
        calls: dict[str, Callable[[str], Any]] = {
            "run": lambda name: package.run(definition(name), storage=URL),
            "rename": lambda name: package.rename_study(name, f"{name}-2", URL),
        }
        for what, call in calls.items():
            before = digest(database)
            error = outcome(done, f"{name}, {what}", partial(call, name))
            if isinstance(error, Exception):
                assert digest(database) == before, (done, name, what)
        for deleted in (name, f"{name}-2"):
            outcome(done, f"{deleted}, delete", partial(package.delete_study, deleted, URL))
    assert not Path(f"{NAME}.canary").exists(), done
    if whole:
        pd.testing.assert_frame_equal(package.load_trials(WHOLE, URL), straight[1])


Copied = Callable[[], Path]
Straight = tuple[pd.DataFrame, pd.DataFrame]


@pytest.mark.parametrize("seeds", [range(6), range(6, 12)])
def test_damage_is_named_and_hides_nothing_that_is_whole(copied: Copied, straight: Straight, seeds: range) -> None:
    for seed in seeds:
        done, whole = tamper(copied(), seed)
        check_reading(f"seed {seed}: {done}", whole, straight, more=False)


@pytest.mark.campaign
@pytest.mark.parametrize("seeds", [range(first, first + 25) for first in range(100, 600, 25)])
def test_no_damage_ends_in_a_traceback(copied: Copied, straight: Straight, seeds: range) -> None:
    for seed in seeds:
        done, whole = tamper(copied(), seed)
        check_reading(f"seed {seed}: {done}", whole, straight, more=seed % 5 == 0)
        check_writing(f"seed {seed}: {done}", whole, straight)


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 60), marks=pytest.mark.campaign)])
def test_a_database_of_another_schema_is_refused_and_left_alone(
    copied: Copied, straight: Straight, seeds: range
) -> None:
    """Or read as it is, where nothing that was changed means anything: which version of Optuna made it."""
    refused = 0
    for seed in seeds:
        database = copied()
        done = f"seed {seed}: {tamper_schema(database, seed)}"
        check_reading(done, False, straight, more=False)
        before = digest(database)
        if isinstance(outcome(done, "run", lambda: package.run(definition("hurt"), storage=URL)), HpsearchError):
            assert digest(database) == before, done
            refused += 1
    assert refused >= 0.9 * len(seeds)


def test_what_is_read_is_what_optuna_reads(clean: Path) -> None:
    url = f"sqlite:///{clean / NAME}"
    for name in SETTINGS:
        with StoredStudy.open(url, name) as stored:
            theirs = stored.storage.get_all_trials(stored.study_id)
            assert stored.trials() == theirs
            assert len(theirs) >= 2
            assert stored.attributes == stored.storage.get_study_user_attrs(stored.study_id)
            choices = [(trial.number, trial.params, trial.distributions) for trial in theirs]
            assert stored.choices() == choices


@pytest.mark.parametrize(("name", "key"), [("halted", "cma:optimizer:0"), ("cma", "cma:optimizer:0"), ("cma", "cma:0")])
def test_nothing_that_is_stored_is_unpickled(copied: Copied, name: str, key: str) -> None:
    database = copied()
    canary = database.with_name("canary")
    payload = pickle.dumps(Canary(canary))
    pickle.loads(payload)
    assert canary.exists(), "the canary sings where it is unpickled"
    canary.unlink()
    with closing(sqlite3.connect(database)) as connection:
        trials = connection.execute(
            "SELECT trial_id FROM trials JOIN studies USING (study_id) WHERE study_name = ?", (name,)
        )
        rows = [(trial, key, json.dumps(payload.hex())) for (trial,) in trials.fetchall()]
        connection.executemany("INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (?, ?, ?)", rows)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = digest(database)
    for call in (lambda: package.run(definition(name), storage=URL), lambda: package.load_best(name, URL)):
        with pytest.raises(DamagedStudyError) as refused:
            call()
        for part in (NAME, repr(name), repr(key), "Put back a copy"):
            assert part in str(refused.value)
    assert not canary.exists()
    assert digest(database) == before


def test_only_functions_of_the_users_own_are_called_because_a_storage_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python3").mkdir()  # as a Python's own folder may be called, and a project's
    monkeypatch.chdir(tmp_path / "python3")
    code = "import numpy as np\n\ndef load():\n    X = np.random.default_rng(0).normal(size=(40, 2))\n"
    Path("rows_of_mine.py").write_text(f"from os import system\n{code}    return X, (X[:, 0] > 0).astype(int)\n")
    text = (
        TEXT.replace("n_splits = 3", "n_splits = 2").replace("samples = 12\n", "").replace("trials = 6", "trials = 1")
    )
    text = text.replace('"nnfs:spiral"', '"python:rows_of_mine:load"')
    package.run(StudyDefinition.from_text(text), storage=URL)
    assert len(package.load_importance("small", URL)) > 0, "functions of one's own are"
    with closing(sqlite3.connect(NAME)) as connection:
        (stored,) = connection.execute(
            "SELECT value_json FROM study_user_attributes WHERE key = 'definition'"
        ).fetchone()
        for source, arguments in (
            ("python:os:system", {"command": "touch canary"}),
            ("python:posix:system", {"command": "touch canary"}),
            ("python:rows_of_mine:system", {"command": "touch canary"}),
            ("python:pandas:read_pickle", {"filepath_or_buffer": "canary.pickle"}),
        ):
            changed = {**json.loads(stored), "data": {"source": source, **arguments}}
            connection.execute(
                "UPDATE study_user_attributes SET value_json = ? WHERE key = 'definition'", (json.dumps(changed),)
            )
            connection.commit()
            Path("canary.pickle").write_bytes(pickle.dumps(Canary(tmp_path / "python3" / "canary")))
            for call in (
                lambda: package.load_importance("small", URL),
                lambda: package.confirm("small", storage=URL),
                lambda: package.StudyResult("small", URL).retrain(),
            ):
                with pytest.raises(HpsearchError, match=f"{source}: .*module"):
                    call()
            assert not Path("canary").exists(), source


def test_the_list_of_studies_says_which_is_damaged(copied: Copied, hpsearch: Callable[..., Outcome]) -> None:
    with closing(sqlite3.connect(copied())) as connection:
        connection.execute(
            "UPDATE study_user_attributes SET value_json = '[7]' WHERE key = 'identity' AND study_id IN "
            "(SELECT study_id FROM studies WHERE study_name = 'hurt')"
        )
        connection.commit()
    listed = hpsearch("studies", "--storage", URL)
    assert listed.status == 0
    rows = [line.split()[0] for line in listed.out.splitlines() if line]
    assert {WHOLE, "halted", "cma"} <= set(rows)
    assert "hurt" not in rows
    said = f"storage {URL}, study 'hurt': its attribute 'identity' must be as stored"
    assert said in listed.out
    damage = package.load_studies(URL).set_index("study")["damage"]
    assert damage["hurt"].startswith(said)
    assert damage.drop("hurt").isna().all()
    states = {study.name: study.state for study in list_of_the_dashboard()}
    assert states[WHOLE] == "finished"
    refused = hpsearch("trials", "hurt", "--storage", URL)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith(f"hpsearch: {said}")
    assert refused.err.count("\n") == 1
    assert hpsearch("delete", "hurt", "--yes", "--storage", URL).status == 0
    assert set(package.load_studies(URL)["study"]) == {WHOLE, "halted", "cma"}


def test_a_damaged_score_is_said_with_its_place_once(copied: Copied) -> None:
    with closing(sqlite3.connect(copied())) as connection:
        connection.execute("UPDATE study_user_attributes SET value_json = '{}' WHERE key = 'corrected'")
        connection.commit()
    damage = package.load_studies(URL)["damage"].dropna()
    assert len(damage) >= 1
    assert set(damage.str.count(NAME)) == {1}


def test_a_study_whose_name_is_a_path_is_not_deleted(copied: Copied, tmp_path: Path) -> None:
    with closing(sqlite3.connect(copied())) as connection:
        connection.execute("UPDATE studies SET study_name = '../../kept' WHERE study_name = 'hurt'")
        connection.commit()
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("../../kept", "halted"):
        with suppress(HpsearchError):
            package.delete_study(name, URL)
    assert kept.is_dir()
    assert package.load_studies(URL)["damage"].notna().sum() == 1


def test_a_damaged_page_is_found_before_anything_is_written(copied: Copied, straight: Straight) -> None:
    database = copied()
    with closing(sqlite3.connect(database)) as connection:
        # Of an index that readers have no use for: they go on.
        query = "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'trial_heartbeats'"
        root, size = connection.execute(query).fetchone()[0], connection.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(database.read_bytes())
    content[(root - 1) * size : root * size] = b"\xff" * size
    database.write_bytes(content)
    pd.testing.assert_frame_equal(package.load_trials(WHOLE, URL), straight[1])
    before = digest(database)
    for call in (
        lambda: package.run(definition("halted"), storage=URL),
        lambda: package.rename_study("halted", "other", URL),
        lambda: package.delete_study("halted", URL),
    ):
        with pytest.raises(StorageError, match="must be a whole database of studies") as refused:
            call()
        assert str(refused.value).count(NAME) == 1
        assert "\n" not in str(refused.value)
    assert digest(database) == before


@pytest.mark.parametrize(("stored", "error"), [("[null]", DamagedStudyError), ("true", DamagedStudyError), ("7", None)])
def test_a_format_that_is_no_number_is_damage_and_a_later_one_is_not(
    copied: Copied, stored: str, error: type[HpsearchError] | None
) -> None:
    with closing(sqlite3.connect(copied())) as connection:
        connection.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = 'format'", (stored,))
        connection.commit()
    with pytest.raises(StorageError) as refused:
        package.load_trials(WHOLE, URL)
    assert type(refused.value) is (error or StorageError)


def test_a_setting_that_another_version_allowed_is_said_to_be_perhaps_its_own(copied: Copied) -> None:
    """Bounds change from version to version: the tables need no definition, and what does says what may be so."""
    database = copied()
    with closing(sqlite3.connect(database)) as connection:
        key = "json_set(value_json, '$.train.dropout', 0.9999)"
        connection.execute(f"UPDATE study_user_attributes SET value_json = {key} WHERE key = 'definition'")
        connection.commit()
    assert len(package.load_trials(WHOLE, URL))
    with pytest.raises(DamagedStudyError) as refused:
        package.load_best(WHOLE, URL)
    assert "[train] dropout" in str(refused.value)
    assert "but is 0.9999. If another version" in str(refused.value)


def _change(key: str, change: Callable[[Any], Any]) -> None:
    """One of the attributes of the study ``whole``."""
    of = "key = ? AND study_id = (SELECT study_id FROM studies WHERE study_name = ?)"
    with closing(sqlite3.connect(NAME)) as connection:
        (text,) = connection.execute(
            f"SELECT value_json FROM study_user_attributes WHERE {of}", (key, WHOLE)
        ).fetchone()
        changed = json.dumps(change(json.loads(text)))
        connection.execute(f"UPDATE study_user_attributes SET value_json = ? WHERE {of}", (changed, key, WHOLE))
        connection.commit()


@pytest.mark.parametrize(
    ("key", "change", "all_see_it"),
    [
        ("definition", lambda value: {**value, "data": {}}, True),
        ("definition", lambda value: {name: value[name] for name in value if name != "data"}, True),
        ("hyperparameters", lambda value: {**value, "foo": "float64"}, False),
    ],
    ids=["no source", "no data", "another hyperparameter"],
)
def test_what_the_attributes_of_a_study_must_have(
    copied: Copied, key: str, change: Callable[[Any], Any], all_see_it: bool
) -> None:
    copied()
    _change(key, change)
    damage = package.load_studies(URL).set_index("study")["damage"]
    assert damage.notna()[WHOLE] == all_see_it
    assert damage.drop(WHOLE).isna().all()
    list_of_the_dashboard()
    for call in (lambda: package.load_best(WHOLE, URL), lambda: package.run(definition(WHOLE), storage=URL)):
        with pytest.raises((DamagedStudyError, package.StudyChangedError)):
            call()


def test_a_study_that_is_called_like_a_path_does_not_take_the_list_down(copied: Copied) -> None:
    with closing(sqlite3.connect(copied())) as connection:
        connection.execute("UPDATE studies SET study_name = 'a/b' WHERE study_name = ?", (WHOLE,))
        connection.commit()
    with closing(sqlite3.connect(NAME)) as connection:
        connection.execute(
            "UPDATE study_user_attributes SET value_json = json_set(value_json, '$.study.name', 'a/b')"
            " WHERE key = 'definition' AND json_extract(value_json, '$.study.name') = ?",
            (WHOLE,),
        )
        connection.commit()
    assert "that of a path" in package.load_studies(URL).set_index("study")["damage"]["a/b"]
    list_of_the_dashboard()


def test_trials_that_another_program_put_in_a_queue_are_only_in_the_way_of_a_run(
    copied: Copied, straight: Straight
) -> None:
    copied()
    storage = optuna.storages.RDBStorage(URL)
    optuna.load_study(study_name=WHOLE, storage=storage).enqueue_trial({"learning_rate": 0.5})
    close(storage)
    pd.testing.assert_frame_equal(package.load_trials(WHOLE, URL), straight[1])
    assert package.load_best(WHOLE, URL)
    with pytest.raises(StorageError, match="1 wait, which another program put in a queue"):
        package.run(definition(WHOLE), storage=URL)


# ------------------------------------------------------------ files beside the database


@pytest.fixture
def whole(copied: Copied) -> Iterator[StoredStudy]:
    copied()
    with StoredStudy.open(URL, WHOLE, owner=True) as stored:
        yield stored


def test_a_lock_that_is_no_file_is_neither_waited_for_nor_followed(whole: StoredStudy) -> None:
    lock = Path(f"{NAME}.{WHOLE}.lock")
    lock.unlink(missing_ok=True)
    precious = Path("precious")
    precious.write_text("precious")
    for make in (lambda: os.mkfifo(lock), lambda: lock.symlink_to(precious)):
        make()
        assert not is_owned(whole)
        with pytest.raises(StorageLostError, match=lock.name), sole_owner(whole):
            pass
        lock.unlink()
    assert precious.read_text() == "precious"


def test_what_a_lock_says_of_its_owner_is_one_line(whole: StoredStudy) -> None:
    lock = Path(f"{NAME}.{WHOLE}.lock")
    with sole_owner(whole):
        lock.write_bytes(b"\xff\n" * 10_000)
        with pytest.raises(StudyOwnedError) as refused, sole_owner(whole):
            pass
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def _arrays(**changed: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with np.load(path) as arrays:
            np.savez(path, **{**arrays, **changed})

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: np.savez(path, rows=np.array([object()])),
        _arrays(splits=np.array([-1, 0])),
        _arrays(splits=np.zeros(1, dtype=int)),
        _arrays(labels=np.array(["a"])),
        _arrays(units=np.full(3, np.nan)),
        _arrays(other=np.zeros(2)),
    ],
)
def test_a_damaged_layout_of_row_results_is_refused_by_its_name(
    whole: StoredStudy, change: Callable[[Path], None]
) -> None:
    path = whole.row_results.folder / "layout.npz"
    change(path)
    with pytest.raises(StorageError, match=r"layout\.npz"):
        whole.row_results.layout()
    package.load_best(WHOLE, URL)  # which then has no corrected score
