"""The commands that show tables, in the terminal or as files."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch import api
from hpsearch.cli import terminal
from hpsearch.cli.options import Json, Output, Set, Storage, Study, study_of
from hpsearch.limits import MOST_REPEATS

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.storage.stored_study import StoredStudy

FILES = "--format csv"  # what shows a table whole


class Format(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


TableFormat = Annotated[
    Format | None, typer.Option("--format", help="By default what the output file's name ends in, or table.")
]


def for_people(kind: Format | None, output: Path | None, as_json: bool) -> bool:
    """Whether a table is to be read, and not stored or handed on."""
    return output is None and not as_json and kind in (None, Format.table)


def emit(frame: pd.DataFrame, kind: Format | None, output: Path | None, as_json: bool) -> None:
    """Print a table, or write it to a file, in the format that the options name.

    Raises:
        HpsearchError: they contradict each other; a file that cannot be written.
    """
    from hpsearch.errors import HpsearchError
    from hpsearch.results import tables

    if as_json and kind not in (None, Format.json):
        raise HpsearchError("--json and --format must agree", f"the latter is {kind.value}")
    chosen = Format.json if as_json else kind
    if output is not None:
        if chosen is Format.table:
            raise HpsearchError("A file must be csv, json or parquet", "--format is table")
        tables.write(frame, output, chosen and chosen.value)
    elif chosen is Format.parquet:
        raise HpsearchError("Parquet must go to a file", do="Name one with -o.")
    elif chosen in (None, Format.table):
        terminal.table(frame, FILES)
    else:
        typer.echo(tables.render(frame, chosen.value), nl=False)


def _show(
    study: str,
    storage: str | None,
    view: Callable[[StoredStudy], pd.DataFrame],
    load: Callable[..., pd.DataFrame],
    kind: Format | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """One of a stored study's tables: arranged for people by ``view``, or whole, as ``load(study, storage)`` has it."""
    if for_people(kind, output, as_json):
        with api.open_study(study, storage) as stored:
            terminal.table(view(stored), FILES)
    else:
        emit(load(study, storage), kind, output, as_json)


def studies(storage: Storage = None, kind: TableFormat = None, output: Output = None, as_json: Json = False) -> None:
    """List the studies of a storage."""
    if for_people(kind, output, as_json):
        from hpsearch.results.views import studies_view

        table = studies_view(api.storage_url(storage))
        damaged = table["damage"].dropna().tolist()
        terminal.table(table[table["damage"].isna()], FILES)
        if damaged:
            terminal.say("\nThese cannot be used:")
        for damage in damaged:
            terminal.say(f"  {damage}")
        if len(table):
            terminal.say(
                "\nThe best value and trial are the search's; finals may choose another: `hpsearch best STUDY`."
            )
    else:
        emit(api.load_studies(storage), kind, output, as_json)


def trials(
    study: Study,
    front: Annotated[
        bool,
        typer.Option("--front", help="Only trials than which none is better and as small, or smaller and as good."),
    ] = False,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show a study's trials, one row each."""
    from hpsearch.results.views import trials_view

    view, load = partial(trials_view, front_only=front), partial(api.load_trials, front=front)
    _show(study_of(study, set_), storage, view, load, kind, output, as_json)


def folds(
    study: Study,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show a study's folds, one row a complete trial and fold."""
    from hpsearch.results.views import folds_view

    _show(study_of(study, set_), storage, folds_view, api.load_folds, kind, output, as_json)


def curves(
    study: Study,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show a study's learning curves, one row a trial, checkpoint and fold."""
    from hpsearch.results.views import curves_view

    _show(study_of(study, set_), storage, curves_view, api.load_curves, kind, output, as_json)


def finals(
    study: Study,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show a study's finals: its best trials on fresh splits, one row a finalist and repeat."""
    from hpsearch.results.views import finals_view

    _show(study_of(study, set_), storage, finals_view, api.load_finals, kind, output, as_json)


def metrics(
    study: Study,
    trial: Annotated[int | None, typer.Option(min=0, help="A complete trial; by default the best.")] = None,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show every metric of a trial's out-of-fold predictions, one row each fold and one of all of them."""
    from hpsearch.results.views import metrics_view

    view, load = partial(metrics_view, trial=trial), partial(api.load_metrics, trial=trial)
    _show(study_of(study, set_), storage, view, load, kind, output, as_json)


def importance(
    study: Study,
    repeats: Annotated[
        int, typer.Option(min=1, max=MOST_REPEATS, help="Times that a column's values are dealt to the rows anew.")
    ] = 10,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Of the deals, instead of the study's.")
    ] = None,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show how much each column of the table matters to what is shipped: out-of-fold permutation importance."""
    from hpsearch.search.time_needed import SOON, in_words

    def expect(seconds: float) -> None:
        if seconds >= SOON and not as_json:
            terminal.say_aside(f"Training the networks of {study} again; this takes about {in_words(seconds)}.")

    found = api.column_importance(study_of(study, set_), storage, repeats=repeats, seed=seed, expect=expect)
    if output is None and kind in (None, Format.table) and not as_json:
        terminal.say_aside(found.caption)
    emit(found.frame, kind, output, as_json)
