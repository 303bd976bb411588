"""The commands that write study files and their schema."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from hpsearch.atomic_write import require_replaceable, write_atomically
from hpsearch.cli import completion, terminal
from hpsearch.data.csv_format import KEYS, SETTABLE
from hpsearch.errors import DefinitionError, HpsearchError, Setting, quoted
from hpsearch.numbers import plural
from hpsearch.regular_file import is_same_file, open_regular

if TYPE_CHECKING:
    from hpsearch.definition.draft import Draft

_STDOUT = Path("-")
Task = Literal["classification", "regression"]


class ExampleLast(TyperCommand):
    """A command whose last word may be ``--example``: the error then lists the examples."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        last = args[-1:] == ["--example"] and not ctx.resilient_parsing
        return super().parse_args(ctx, [*args, ""] if last else args)


def init(
    rows: Annotated[
        Path | None, typer.Argument(help="A CSV or .parquet file of labelled rows.", show_default=False)
    ] = None,
    target: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column to predict.")] = None,
    task: Annotated[
        Task | None, typer.Option(help="What the target is, if its values do not say.", show_default=False)
    ] = None,
    example: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Write a study file that comes with hpsearch instead.",
            autocompletion=completion.examples,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The study's name; by default the file's.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file to write, or - for the terminal; by default ROWS.toml here."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="data.KEY=VALUE",
            help=f"How a CSV file is written, where it does not show it: {', '.join(KEYS)}; or rare_classes: what "
            "becomes of classes of one row, drop or other; repeatable.",
        ),
    ] = None,
) -> None:
    """Write a study file, commented and ready to run, for a table of rows or from an example."""
    if example is not None:
        if rows is not None or target is not None or task is not None or set_:
            others = "there are rows, a --target, a --task or a --set too"
            raise HpsearchError("must stand alone", others, "Leave one out.", Setting("example"))
        _from_example(example, name, output, force)
    elif rows is None:
        ways = "hpsearch init rows.csv --target species, or hpsearch init --example NAME"
        raise HpsearchError("init must be given rows or an example", f"got neither: {ways}, one of {_example_names()}")
    else:
        _from_rows(rows, target, task, name, output, force, _given(set_ or []))


def _example_names() -> str:
    from hpsearch.definition import examples

    return ", ".join(examples.names())


def _from_example(example: str, name: str | None, output: Path | None, force: bool) -> None:
    from hpsearch.definition import examples

    if not example:
        raise HpsearchError(f"must be followed by a name, one of {_example_names()}", where=Setting("example"))
    found = examples.load(example)
    text = found.text if name is None else _renamed(found.text, name)
    if output == _STDOUT:
        typer.echo(_without_schema(text), nl=False)
        if found.rows is not None:
            terminal.say_aside(f"Its rows, {found.rows[0]}, are not written with -o -.")
        return
    path = output or Path(f"{example}.toml")
    beside = {} if found.rows is None else {path.parent / found.rows[0]: found.rows[1]}
    _write(path, text, beside, force)
    terminal.say(f"Written to {path}{_and(beside)}.\n\nNext: hpsearch run {path}")


def _renamed(text: str, name: str) -> str:
    import tomlkit

    from hpsearch.definition.draft import checked_name

    document = tomlkit.parse(text)
    document["study"]["name"] = checked_name(name)
    return tomlkit.dumps(document)


def _from_rows(
    rows: Path,
    target: str | None,
    task: Task | None,
    name: str | None,
    output: Path | None,
    force: bool,
    given: Mapping[str, Any],
) -> None:
    from hpsearch.data.table_file import STDIN
    from hpsearch.definition.draft import draft, study_name
    from hpsearch.definition.schema import FIRST_LINE
    from hpsearch.reporting.progress import READING, shown_if_slow

    if rows == STDIN:
        must = "init must be given a file of rows, which the study file names"
        raise HpsearchError(must, "got standard input", "Save the rows to a file first.")
    path = output or Path(f"{study_name(rows)}.toml")
    folder = Path() if path == _STDOUT else path.parent
    if path != _STDOUT:
        require_replaceable(path, force)
        if is_same_file(path, rows):
            raise HpsearchError("must not be the file of rows", "is", "Name another with -o.", str(path))
    relative = Path(os.path.relpath(rows, folder)).as_posix()
    with shown_if_slow() as doing:
        doing(READING)
        made = draft(rows, target, relative, "FILE" if path == _STDOUT else str(path), name, task, given)
    if path == _STDOUT:
        typer.echo(made.text, nl=False)
        return
    _write(path, f"{FIRST_LINE}\n{made.text}", {}, force)
    _say(made, path)


def _given(overrides: Sequence[str]) -> Mapping[str, Any]:
    """The keys of ``[data]`` that ``data.KEY=VALUE`` sets.

    Raises:
        DefinitionError: another key, or what is no such text.
    """
    from hpsearch.definition.study import tables

    for override in overrides:
        own = tables([override])
        if {*own} != {"data"} or not {*own["data"]} <= {*SETTABLE}:
            must = f"must read data.KEY=VALUE, with one of {', '.join(SETTABLE)}"
            raise DefinitionError(must, f"is {quoted(override)}", where=Setting("overrides"))
    given: dict[str, Any] = tables(overrides).get("data", {})
    return given


def _say(made: Draft, path: Path) -> None:
    from hpsearch.definition.wording import as_toml

    found = made.found
    task = (
        "is a regression target" if found.classes is None else f"has {plural(len(found.classes), 'class', 'classes')}"
    )
    columns = f"{plural(len(found.columns), 'column')} to predict from"
    terminal.say(f"{plural(found.rows, 'row')}; {quoted(found.target)} {task}; {columns}.")
    if changes := found.csv.changes():
        written = ", ".join(f"{key} = {as_toml(value)}" for key, value in changes.items())
        terminal.say(f"Recognised how the file is written: {written}.")
    for lines in made.left_out.values():
        for line in lines:
            terminal.say(line)
    terminal.say(f"Written to {path}.\n\nNext: hpsearch check {path} && hpsearch run {path}")


def schema(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write to this file instead of the terminal.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no earlier schema.")] = False,
) -> None:
    """Print the JSON schema of study files, by which editors complete and check them."""
    from hpsearch.definition.schema import schema_text

    if output is None:
        typer.echo(schema_text(), nl=False)
        return
    require_replaceable(output, force, "an earlier schema", _is_earlier_schema)
    write_atomically(output, schema_text().encode())
    terminal.say(f"Written to {output}.")


def _write(path: Path, text: str, beside: Mapping[Path, bytes], force: bool) -> None:
    """Write a study file, its schema and what else it needs: of those that are new, all or none.

    Raises:
        HpsearchError: a file that is there and may not be replaced, or cannot be written.
    """
    from hpsearch.definition.schema import FILE_NAME, schema_text

    schema_path = path.parent / FILE_NAME
    require_replaceable(path, force)
    require_replaceable(schema_path, force, "an earlier schema", _is_earlier_schema)
    for other, content in beside.items():
        if not (other.is_file() and other.read_bytes() == content):
            require_replaceable(other, force)
    made: list[Path] = []
    try:
        for file, content in {**beside, schema_path: schema_text().encode(), path: text.encode()}.items():
            new = not file.exists()
            write_atomically(file, content)
            made += [file] if new else []
    except BaseException:
        for file in made:
            file.unlink(missing_ok=True)
        raise


def _is_earlier_schema(path: Path) -> bool:
    from hpsearch.definition.schema import is_schema

    try:
        with open_regular(path) as file:
            return is_schema(file.read().decode())
    except (OSError, UnicodeDecodeError):
        return False


def _without_schema(text: str) -> str:
    """On a terminal no schema lies beside the file."""
    from hpsearch.definition.schema import FIRST_LINE

    return text.removeprefix(f"{FIRST_LINE}\n")


def _and(beside: Iterable[Path]) -> str:
    return "".join(f", with {path} beside it" for path in beside)
