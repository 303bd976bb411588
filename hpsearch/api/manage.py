"""Stored studies are renamed, copied and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.api.stored import StudyResult, open_study, url_and_name
from hpsearch.arguments import checked
from hpsearch.errors import HpsearchError
from hpsearch.regular_file import real_path

if TYPE_CHECKING:
    from hpsearch.definition.study import StudyDefinition


@checked
def rename_study(study: str | Path | StudyResult, name: str, storage: str | None = None) -> None:
    """Give a stored study another name, which is then to stand in its file too.

    >>> study = run("studies/wine.toml", trials=3, fresh="first")
    >>> rename_study("first", "second")
    >>> "second" in set(load_studies()["study"]), "first" in set(load_studies()["study"])
    (True, False)

    Args:
        study: its name, its file, or what :func:`run` returned.
        name: the new one, which no study of the storage has.
        storage: as in :func:`run`.

    Raises:
        HpsearchError: a name that is taken or that no study may have; a study that a process runs, or whose brackets
            follow from its name (hyperband); a storage that cannot be written.
    """
    from hpsearch.search.correction import definition_of
    from hpsearch.storage.manage import rename

    with open_study(study, storage, owner=True) as stored:
        definition = definition_of(stored)
        if definition.search.pruner.name == "hyperband":
            raise HpsearchError(
                f"the study {stored.name!r} must keep its name",
                "its pruner is hyperband, whose brackets follow from the name",
                "Run it anew under another name.",
            )
        renamed = definition.with_name(name).attributes()["definition"]
        identity = {**stored.attributes["identity"], "study.name": name}
        rename(stored, name, {"definition": renamed, "identity": identity})


@checked
def delete_study(study: str | Path | StudyResult, storage: str | None = None) -> None:
    """Delete a stored study with its per-row results. There is no way back.

    >>> study = run("studies/wine.toml", trials=3, fresh="third")
    >>> delete_study("third")
    >>> "third" in set(load_studies()["study"])
    False

    Args:
        study: its name, its file, or what :func:`run` returned.
        storage: as in :func:`run`.

    Raises:
        HpsearchError: there is no such study, or a process runs it; a storage that cannot be written.
    """
    from hpsearch.storage.manage import delete
    from hpsearch.storage.stored_study import StoredStudy

    with StoredStudy.found(*url_and_name(study, storage), owner=True) as stored:
        delete(stored)


@checked
def copy_study(
    study: str | Path | StudyResult,
    name: str,
    output: Path | str | None = None,
    storage: str | None = None,
    *,
    overrides: Sequence[str] = (),
    force: bool = False,
) -> StudyDefinition:
    """A stored study's file once more, under another name and with other settings; none of its trials.

    >>> study = run("studies/wine.toml", trials=3)
    >>> copied = copy_study("wine", "longer", overrides=["train.epochs=200"])
    >>> copied.name, copied.train.epochs
    ('longer', 200)

    Args:
        study: its name, its file, or what :func:`run` returned.
        name: of the copy.
        output: the file to write; none is written if None.
        storage: as in :func:`run`.
        overrides: keys of the file, as ``train.epochs=200``.
        force: replace a file that is there.

    Raises:
        HpsearchError: no such study; settings that it cannot have; rows that no other file can name; a file that cannot
            be written, or is there.
    """
    from hpsearch.atomic_write import require_replaceable, write_atomically
    from hpsearch.data.frame_source import Frame, gone
    from hpsearch.definition.study import StudyDefinition, as_key
    from hpsearch.definition.study_file import study_file
    from hpsearch.search.correction import definition_of

    with open_study(study, storage) as stored:
        original = definition_of(stored)
    copied = original.with_name(name).with_overrides(overrides)
    if output is None:
        return copied
    if isinstance(copied.data, Frame):
        raise gone("Copy it without a file, and give the copy its rows: with_rows.").worded(as_key)
    path = Path(output)
    require_replaceable(path, force)
    text = study_file(copied, real_path(path.parent), f"Copied from the study {original.name!r}.")
    write_atomically(path, text.encode())
    return StudyDefinition.from_file(path)
