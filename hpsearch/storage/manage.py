"""Renaming and deleting stored studies, with the files that lie beside their storage."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from hpsearch.errors import StorageError, StorageLostError, reason
from hpsearch.storage.database import clear_errors, one_transaction, place, study_names
from hpsearch.storage.lock import remove_lock, sole_owner
from hpsearch.storage.quiet import quiet
from hpsearch.storage.stored_study import StoredStudy


def require_new(names: Collection[str], name: str, url: str) -> None:
    """Refuse a name that a study of a storage has.

    Raises:
        StorageError: one has.
    """
    if name in names:
        raise StorageError("must be a new name", "is that of a study", "Choose another.", where=place(url, name))


def rename(stored: StoredStudy, name: str, attributes: Mapping[str, Any]) -> None:
    """Give a study another name.

    Its per-row results go first: where that, or the process, ends in between, the same call finishes what was begun.

    Args:
        stored: the study, which no process runs.
        name: which no study of the storage has.
        attributes: those of the study in which its name stands, with the new one.

    Raises:
        StudyOwnedError: a process runs it.
        StorageError: a study has that name.
        StorageLostError: a storage or a folder that cannot be written.
    """
    renamed = replace(stored, name=name)
    with sole_owner(stored), sole_owner(renamed):
        require_new(study_names(stored.storage, stored.url), name, stored.url)
        old, new = stored.row_results.folder, renamed.row_results.folder
        try:
            if old.is_dir():
                if new.is_dir():  # of a study that is gone
                    shutil.rmtree(new)
                old.rename(new)
        except OSError as error:
            raise StorageLostError("must be a folder that can be renamed", reason(error), where=str(old)) from error
        with stored.transaction():
            table = sa.table("studies", sa.column("study_id"), sa.column("study_name"))
            named = sa.update(table).where(table.c.study_id == stored.study_id).values(study_name=name)
            stored.storage.scoped_session().execute(named)
            for key, value in attributes.items():
                stored.storage.set_study_user_attr(stored.study_id, key, value)
        remove_lock(stored)


def delete(stored: StoredStudy) -> None:
    """Delete a study and its per-row results.

    Raises:
        StudyOwnedError: a process runs it.
        StorageLostError: a storage or a folder that cannot be written; what of the study is left is no study.
    """
    with sole_owner(stored):
        with quiet(), clear_errors(stored.url, StorageLostError), one_transaction(stored.storage):
            stored.storage.delete_study(stored.study_id)
        folder = stored.row_results.folder
        try:
            if folder.is_dir():
                shutil.rmtree(folder)
        except OSError as error:
            raise StorageLostError("must be a folder that can be deleted", reason(error), where=str(folder)) from error
        remove_lock(stored)
