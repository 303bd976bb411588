"""Renaming and deleting stored studies, with the files that lie beside their storage."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.orm import Session

from hpsearch.errors import StorageError, StorageLostError, reason
from hpsearch.storage.database import clear_errors, one_transaction, place, study_names
from hpsearch.storage.lock import remove_lock, sole_owner
from hpsearch.storage.stored_study import StoredStudy, name_taken


def rename(stored: StoredStudy, name: str, attributes: Mapping[str, Any]) -> None:
    """Give a study another name.

    Its per-row results go first: where that, or the process, ends in between, the same call finishes what was begun.

    Args:
        stored: the study, which no process runs.
        name: which no study of the storage has.
        attributes: those of the study in which its name stands, with the new one.

    Raises:
        StudyOwnedError: a process runs it.
        StorageError: a study has that name; a server's study whose per-row results are elsewhere.
        StorageLostError: a storage or a folder that cannot be written.
    """
    if name == stored.name:  # whose lock cannot be taken twice
        raise name_taken(stored.url, name)
    renamed = replace(stored, name=name)
    with sole_owner(stored), sole_owner(renamed):
        if name in study_names(stored.storage, stored.url):
            raise name_taken(stored.url, name)
        old, new = stored.row_results.folder, renamed.row_results.folder
        _require_row_results(stored, old, new)
        try:
            if old.is_dir():
                _move(old, new)
        except OSError as error:
            raise StorageLostError("must be a folder that can be renamed", reason(error), where=str(old)) from error
        with stored.transaction():
            table = sa.table("studies", sa.column("study_id"), sa.column("study_name"))
            named = sa.update(table).where(table.c.study_id == stored.study_id).values(study_name=name)
            stored.storage.scoped_session().execute(named)
            for key, value in attributes.items():
                stored.storage.set_study_user_attr(stored.study_id, key, value)
        remove_lock(stored)


def _require_row_results(stored: StoredStudy, old: Path, new: Path) -> None:
    """Refuse to rename a server's study from elsewhere than it was run: its files would keep the old name."""
    complete = any(trial.state is TrialState.COMPLETE for trial in stored.trials())
    if stored.file is None and complete and not old.is_dir() and not new.is_dir():
        raise StorageError(
            "must be renamed in the folder that it was run in, where its per-row results are",
            f"{old} is not there",
            where=place(stored.url, stored.name),
        )


def _move(old: Path, new: Path) -> None:
    """Give a folder another name. What is there by that name, of a study that is gone or of an earlier call that came
    no further, is kept where the folder has no file of its own."""
    for path in [path for path in new.rglob("*") if path.is_file()]:
        own = old / path.relative_to(new)
        if not own.exists():
            own.parent.mkdir(parents=True, exist_ok=True)
            path.rename(own)
    if new.is_dir():
        shutil.rmtree(new)
    old.rename(new)


# What Optuna stores of a study's trials, and of the study: the rows that others point to last.
_OF_TRIALS = ("user_attributes", "system_attributes", "params", "values", "intermediate_values", "heartbeats")
_OF_STUDIES = ("trials", "study_directions", "study_user_attributes", "study_system_attributes", "studies")


def _delete_rows(session: Session, study_id: int) -> None:
    """Delete a study, whatever is in its rows: Optuna would read them first, which damaged ones cannot be."""
    trials = sa.table("trials", sa.column("trial_id"), sa.column("study_id"))
    own = sa.select(trials.c.trial_id).where(trials.c.study_id == study_id)
    for name in _OF_TRIALS:
        table = sa.table(f"trial_{name}", sa.column("trial_id"))
        session.execute(sa.delete(table).where(table.c.trial_id.in_(own)))
    for name in _OF_STUDIES:
        table = sa.table(name, sa.column("study_id"))
        session.execute(sa.delete(table).where(table.c.study_id == study_id))
    session.commit()


def delete(stored: StoredStudy) -> None:
    """Delete a study and its per-row results.

    Raises:
        StudyOwnedError: a process runs it.
        StorageLostError: a storage or a folder that cannot be written; what of the study is left is no study.
    """
    with sole_owner(stored):
        with clear_errors(stored.url, StorageLostError), one_transaction(stored.storage):
            _delete_rows(stored.storage.scoped_session(), stored.study_id)
        folder = stored.row_results.folder
        try:
            if folder.is_dir():
                shutil.rmtree(folder)
        except OSError as error:
            raise StorageLostError("must be a folder that can be deleted", reason(error), where=str(folder)) from error
        remove_lock(stored)
