"""Lines and tables: rich's on a terminal, plain where output is piped."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.errors import printable
from hpsearch.numbers import rounded

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table


def columns(show_header: bool = True) -> Table:
    """A table of plain columns, two spaces apart."""
    from rich.table import Table

    return Table(box=None, pad_edge=False, show_header=show_header, padding=(0, 2, 0, 0))


def draw(drawn: Table) -> None:
    """Print a table, without the spaces that rich puts at line ends; long words fold, and nothing is cut."""
    for column in drawn.columns:
        column.overflow = "fold"
    console = open_console()
    with console.capture() as captured:
        console.print(drawn)
    lines = captured.get().splitlines()
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))


def open_console(stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    # A pipe has no width: nothing is cut there.
    from rich.console import Console  # not for --help, a quarter of whose time it would take

    return Console(file=stream, highlight=False, width=None if stream.isatty() else 10_000)


def say(text: str) -> None:
    """Print lines."""
    open_console().print(_shown(text), markup=False, soft_wrap=True)


def say_json(value: Any) -> None:
    """Print a value as one JSON object."""
    print(json.dumps(value, indent=2))


def _shown(text: str) -> str:
    """Lines that do nothing to a terminal, whatever names and values of other people's they show."""
    return "\n".join(map(printable, text.split("\n")))


def say_rows(rows: Iterable[Sequence[str]]) -> None:
    """Rows of texts in plain columns, without heads."""
    drawn = columns(show_header=False)
    for row in rows:
        drawn.add_row(*map(_shown, row))
    draw(drawn)


def say_aside(text: str) -> None:
    """A line that is no result: to stderr."""
    open_console(stderr=True).print(_shown(text), markup=False, soft_wrap=True)


def complain(text: str) -> None:
    say_aside(f"hpsearch: {text}")


def _cell(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return ""
    return printable(rounded(value))


def table(frame: pd.DataFrame, otherwise: str = "") -> None:
    """A pandas table; columns with nothing in them are left out.

    On a terminal, headers fold at their underscores and long texts between words; then the last columns that do not fit
    are named and left out. Values are never cut.

    Args:
        frame: the table.
        otherwise: what shows all columns beside a wider terminal, as ``--format csv``.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    shown = [name for name in frame.columns if not frame[name].isna().all()] if len(frame) else list(frame.columns)
    cells = {name: [[_cell(value)] for value in frame[name].tolist()] for name in shown}
    heads = {name: [printable(name)] for name in shown}
    if width is not None and _width(heads, cells) > width:
        heads = {name: re.sub(r"[_.]", r"\g<0>\n", printable(name)).split("\n") for name in shown}
        most = max(20, width // 3)
        cells = {name: [_folded(cell, most) for cell in column] for name, column in cells.items()}
    left_out: list[str] = []
    while width is not None and len(heads) > 1 and _width(heads, cells) > width:
        left_out.insert(0, next(reversed(heads)))
        del heads[left_out[0]]
        # One end of an interval says nothing without the other.
        if left_out[0].endswith("high") and (low := f"{left_out[0].removesuffix('high')}low") in heads:
            left_out.insert(0, low)
            del heads[low]
    tall = max(map(len, heads.values()), default=0)
    rows = [{name: [""] * (tall - len(head)) + head for name, head in heads.items()}]
    rows += [{name: cells[name][place] for name in heads} for place in range(len(frame))]
    wide = {name: max(len(line) for row in rows for line in row[name]) for name in heads}
    texts = {name for name in heads if frame[name].dtype == "str"}
    for row in rows:
        for place in range(max(map(len, row.values()), default=0)):
            lines = {name: part[place] if place < len(part) else "" for name, part in row.items()}
            placed = (
                line.ljust(wide[name]) if name in texts else line.rjust(wide[name]) for name, line in lines.items()
            )
            sys.stdout.write("  ".join(placed).rstrip() + "\n")
    if left_out:
        wider = f"A wider terminal{otherwise and f' or {otherwise}'} shows all."
        note = f"(Left out, as they do not fit: {', '.join(left_out)}. {wider})"
        sys.stdout.write("\n".join(textwrap.wrap(note, width or 80, break_on_hyphens=False)) + "\n")


def _folded(cell: Sequence[str], most: int) -> list[str]:
    return textwrap.wrap(cell[0], most, break_on_hyphens=False) or [""]


def _width(heads: Mapping[str, list[str]], cells: Mapping[str, list[list[str]]]) -> int:
    """What a table takes with two blanks between columns."""
    lines = {name: [*head, *(line for cell in cells[name] for line in cell)] for name, head in heads.items()}
    return sum(max(map(len, some)) + 2 for some in lines.values()) - 2
