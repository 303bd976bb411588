"""Looking after stored studies: another name, a copy, another run, the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import hpsearch as package
from hpsearch.api import open_study
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DefinitionError, HpsearchError, StorageError, StudyOwnedError, UnknownStudyError
from hpsearch.search.objective import prepare
from hpsearch.search.run import owned
from hpsearch.storage.lock import remove_lock, sole_owner

URL = "sqlite:///hpsearch.db"
CommandLine = Callable[..., Any]


def files() -> set[str]:
    """What lies beside the storage."""
    return {str(path) for path in Path().rglob("*") if path.is_file() and "hpsearch.db" in str(path)}


def named(small: Path, name: str) -> Path:
    path = small.with_name(f"{name}.toml")
    path.write_text(small.read_text().replace('name = "small"', f'name = "{name}"'))
    return path


def test_a_renamed_study_is_continued_under_its_new_name_as_if_it_had_always_had_it(small: Path) -> None:
    package.run(small, trials=4)
    before = files()
    package.rename_study("small", "other")
    assert files() == {path.replace("small", "other") for path in before}
    assert package.load_studies()["study"].tolist() == ["other"]
    assert package.load_best("other").corrected is not None  # its per-row results went along
    through = package.run(named(small, "through"), trials=8)
    renamed = package.run(named(small, "other"), trials=8)
    for one, two in ((renamed.trials, through.trials), (renamed.finals, through.finals)):
        seconds = [column for column in one if "seconds" in column]
        assert one.drop(columns=seconds).equals(two.drop(columns=seconds))
    assert renamed.best.corrected == through.best.corrected


def test_a_name_that_is_taken_or_cannot_be_is_refused_and_nothing_is_changed(small: Path) -> None:
    package.run(small, trials=1)
    package.run(small, trials=1, fresh="other")
    before, studies = files(), package.load_studies()
    for name in ("other", "small"):
        with pytest.raises(StorageError, match=f"study '{name}': must be a new name"):
            package.rename_study("small", name)
    with pytest.raises(StorageError, match="study 'other': must be a new name"):
        package.run(small, trials=1, fresh="other")
    with pytest.raises(DefinitionError, match="a b"):
        package.rename_study("small", "a b")
    with pytest.raises(UnknownStudyError, match="no study 'absent'"):
        package.rename_study("absent", "x")
    assert files() - {"hpsearch.db.other.lock"} == before - {"hpsearch.db.other.lock"}
    assert package.load_studies().equals(studies)


def test_the_brackets_of_hyperband_follow_from_the_name_which_it_therefore_keeps(small: Path) -> None:
    definition = StudyDefinition.from_file(small, ['search.pruner="hyperband"'])
    package.run(definition, trials=1)
    with pytest.raises(HpsearchError, match="must keep its name, but its pruner is hyperband"):
        package.rename_study("small", "other")


def test_a_study_that_runs_is_neither_renamed_nor_deleted(small: Path) -> None:
    package.run(small, trials=1)
    prepared = prepare(StudyDefinition.from_file(small))
    with owned(prepared, URL, ()):
        with pytest.raises(StudyOwnedError):
            package.rename_study("small", "other")
        with pytest.raises(StudyOwnedError):
            package.delete_study("small")
    assert package.load_studies()["study"].tolist() == ["small"]


def test_what_run_returned_says_which_study_and_where(small: Path) -> None:
    url = "sqlite:///elsewhere.db"
    study = package.run(small, trials=1, storage=url)
    package.rename_study(study, "renamed")
    assert package.load_studies(url)["study"].tolist() == ["renamed"]
    package.delete_study(package.StudyResult("renamed", url))
    assert package.load_studies(url).empty


def test_what_was_deleted_leaves_nothing_and_can_be_run_again(small: Path) -> None:
    first = package.run(small, trials=3).trials
    package.run(small, trials=1, fresh="other")
    package.delete_study("small")
    assert package.load_studies()["study"].tolist() == ["other"]
    assert not [path for path in files() if "small" in path]
    again = package.run(small, trials=3).trials
    assert again.drop(columns="seconds").equals(first.drop(columns="seconds"))


def test_a_kill_between_files_and_database_is_mended_by_the_same_command(small: Path) -> None:
    package.run(small, trials=2)
    rows = Path("hpsearch.db.rows")
    (rows / "study-small").rename(rows / "study-other")  # as far as a killed one came
    package.rename_study("small", "other")
    assert package.load_best("other").corrected is not None


def test_what_a_killed_renaming_moved_is_not_lost_when_the_study_went_on_in_between(small: Path) -> None:
    package.run(small, trials=2)
    rows = Path("hpsearch.db.rows")
    (rows / "study-small").rename(rows / "study-other")
    package.run(small, trials=4)  # which makes the folder anew
    package.rename_study("small", "other")
    for trial in package.load_trials("other").query("state == 'COMPLETE'")["number"]:
        assert not package.load_metrics("other", trial=int(trial)).empty
    assert not (rows / "study-small").exists()


def test_a_fresh_run_needs_no_storage_and_refuses_what_is_none(tmp_path: Path, small: Path) -> None:
    Path("empty.db").touch()
    for storage in ("sqlite:///absent.db", "sqlite:///empty.db"):
        assert package.run(small, trials=1, fresh="new", storage=storage).name == "new"
    with pytest.raises(StorageError, match="must be a URL"):
        package.run(small, trials=1, fresh="new", storage="nonsense")


def test_one_at_a_time_owns_a_study_however_often_its_lock_is_removed(small: Path) -> None:
    package.run(small, trials=1)
    inside, most, counts = [0], [0], [0, 0, 0]

    def own(thread: int) -> None:
        with open_study("small", URL, owner=True) as stored:
            while counts[thread] < 100:
                try:
                    with sole_owner(stored):
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                        time.sleep(0.0005)  # others come
                        inside[0] -= 1
                        remove_lock(stored)
                    counts[thread] += 1
                except StudyOwnedError:
                    time.sleep(0.0001)

    with ThreadPoolExecutor(len(counts)) as pool:
        list(pool.map(own, range(len(counts))))
    assert most == [1]


def test_a_copy_is_a_file_with_other_settings_and_the_rows_where_they_are(small: Path) -> None:
    rows = "\n".join(f"{i % 7},{i % 11},{'ab'[i % 2]}" for i in range(40))
    (small.parent / "rows.csv").write_text(f"u,v,w\n{rows}\n")
    data = 'source = "csv"\npath = "rows.csv"\ntarget = "w"'
    small.write_text(small.read_text().replace('source = "nnfs:spiral"\nsamples = 20', data))
    package.run(small, trials=1)
    Path("elsewhere").mkdir()
    copied = package.copy_study("small", "longer", "elsewhere/longer.toml", overrides=["train.epochs=48"])
    original = StudyDefinition.from_file(small)
    assert (copied.name, copied.train.epochs) == ("longer", 48)
    assert copied.space == original.space
    assert prepare(copied).search.fingerprint == prepare(original).search.fingerprint
    with pytest.raises(HpsearchError, match="longer"):
        package.copy_study("small", "longer", "elsewhere/longer.toml")
    with pytest.raises(DefinitionError, match="epochs"):
        package.copy_study("small", "longer", "elsewhere/new.toml", overrides=["train.epochs=-1"])
    assert [path.name for path in Path("elsewhere").iterdir()] == ["longer.toml"]


def test_the_commands(small: Path, hpsearch: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hpsearch("run", small, "--trials", "1", "--fresh", "first").status == 0
    assert hpsearch("run", small, "--trials", "1", "--fresh", "first").status == 2
    assert '[study] name = "second"' in hpsearch("rename", "first", "second").out
    assert hpsearch("copy", "second", "third", "--set", "search.trials=2").status == 0
    assert hpsearch("run", "third.toml").status == 0

    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        refused = hpsearch("delete", "second")
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "--yes must be given where nobody can be asked" in refused.err
    assert hpsearch("delete", "second", "absent", "--yes").status == 2  # all, or none
    assert package.load_studies()["study"].tolist() == ["second", "third"]
    assert hpsearch("delete", "second", "second", "third.toml", "--yes").status == 0
    assert package.load_studies().empty
