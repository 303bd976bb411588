"""Arguments and options that several commands have."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch import api
from hpsearch.cli import completion
from hpsearch.errors import HpsearchError, Setting, quoted
from hpsearch.limits import MOST_WORKERS

if TYPE_CHECKING:
    from hpsearch.definition.study import StudyDefinition

File = Annotated[Path, typer.Argument(help="A study file (TOML).", show_default=False)]
Study = Annotated[
    str,
    typer.Argument(help="A study's name, or its file.", show_default=False, autocompletion=completion.studies),
]
Storage = Annotated[
    str | None,
    typer.Option(help=f"Where studies are kept; by default $HPSEARCH_STORAGE or {api.DEFAULT_STORAGE}."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a key of the file; repeatable.")
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file instead of the terminal.")]
Cost = Annotated[
    str | None,
    typer.Option(
        metavar="CLASS=RATIO",
        help="Of two classes: missing this one costs so many times as much as a false prediction of it; the threshold "
        "follows from the study's out-of-fold predictions.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_WORKERS,
        envvar="HPSEARCH_WORKERS",
        help="Processes that train; by default the cores, at most in_flight.",
    ),
]


def by_class(text: str | None, name: str, example: str) -> dict[str, float] | None:
    """What ``CLASS=NUMBER`` says, by class.

    Args:
        text: of the option.
        name: the option's.
        example: of what it may be.

    Raises:
        HpsearchError: it reads otherwise.
    """
    if text is None:
        return None
    of_class, _, number = text.rpartition("=")
    with suppress(ValueError):
        if of_class:
            return {of_class: float(number)}
    raise HpsearchError(f"must read CLASS=NUMBER, as in {example}", f"is {quoted(text)}", where=Setting(name))


def study_of(study: str, overrides: list[str] | None) -> str:
    """What the functions of :mod:`hpsearch.api` take: with overrides, the name that the file then has."""
    return api.study_name(study, overrides) if overrides else study


def definition_of(file: Path, overrides: list[str] | None) -> StudyDefinition:
    """The study of a file with its overrides."""
    from hpsearch.definition.study import StudyDefinition

    return StudyDefinition.from_file(file, overrides or ())
