"""The commands that look after stored studies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hpsearch import api
from hpsearch.cli import completion, terminal
from hpsearch.cli.options import Set, Storage, Study, study_of
from hpsearch.errors import HpsearchError, Setting
from hpsearch.numbers import plural

NewName = Annotated[str, typer.Argument(metavar="NAME", help="The new name.", show_default=False)]


def copy(
    study: Study,
    name: NewName,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file to write; by default NAME.toml here.", show_default=False),
    ] = None,
    storage: Storage = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    set_: Set = None,
) -> None:
    """Write a stored study's file once more, under another name and with other settings; no trial is copied."""
    path = output or Path(f"{name}.toml")
    api.copy_study(study, name, path, storage, overrides=set_ or (), force=force)
    terminal.say(f"Written to {path}.\n\nNext: hpsearch run {path}")


def rename(study: Study, name: NewName, storage: Storage = None, set_: Set = None) -> None:
    """Give a stored study another name."""
    api.rename_study(study_of(study, set_), name, storage)
    terminal.say(f'It is {name!r} now. To go on with it, let its file say so: [study] name = "{name}"')
    terminal.say(
        "What was made of it before keeps the old name: exported configurations, models, outer splits of nested."
    )


def _count(study: str, storage: str | None) -> int:
    """How many trials a study has, damaged ones too."""
    from hpsearch.storage.stored_study import StoredStudy

    with StoredStudy.found(api.storage_url(storage), study) as stored:
        return stored.count()


def delete(
    studies: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY", help="Names of studies.", show_default=False, autocompletion=completion.studies
        ),
    ],
    storage: Storage = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete stored studies with their per-row results; there is no way back."""
    # Before any is deleted all must be there.
    found = {study: _count(study, storage) for study in map(api.study_name, studies)}
    if not yes:
        if not sys.stdin.isatty():
            raise HpsearchError("must be given where nobody can be asked", "is not", where=Setting("yes"))
        listed = ", ".join(f"{study!r} ({plural(count, 'trial')})" for study, count in found.items())
        if not typer.confirm(f"Delete {listed} from {api.storage_url(storage)}?"):
            raise typer.Exit(1)
    for study in found:
        api.delete_study(study, storage)
        terminal.say(f"Deleted {study!r}.")
