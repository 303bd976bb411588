"""The command that holds all others: what it says of them, and of a wrong call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from hpsearch.errors import MOST_SHOWN, cut, printable


class WholeSentences(TyperGroup):
    """Lists the commands with all that their help says, where typer would cut it at the end of a line."""

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        for command in self.commands.values():
            command.short_help = command.help
        super().format_commands(ctx, formatter)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        with _in_one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        with _in_one_line(ctx):
            return super().invoke(ctx)


@contextmanager
def _in_one_line(context: typer.Context) -> Iterator[None]:
    """What typer finds wrong with a call, as an error of ours: its own takes four lines, and repeats what was given.

    Raises:
        HpsearchError: instead of typer's.
    """
    try:
        yield
    except TyperException as error:
        from pydantic import ValidationError

        from hpsearch.errors import HpsearchError, Setting
        from hpsearch.refusals import refusal

        called = (getattr(error, "ctx", None) or context).command_path
        do, cause, of = f"See `{called} --help`.", error.__cause__, getattr(error, "param", None)
        if isinstance(cause, ValidationError) and (problem := cause.errors()[0])["type"] != "value_error":
            wrong = refusal(problem, "", (), _NUMBERS)
            raise HpsearchError(wrong.must, wrong.got, do, Setting(str(getattr(of, "name", "")))) from error
        said = printable(" ".join(error.format_message().split())).replace("Value error, ", "")
        said = re.sub(rf"\S{{{MOST_SHOWN + 1},}}", lambda found: cut(found[0]), said)
        wrong_word, did_you, mean = said.partition(" Did you mean ")
        raise HpsearchError(wrong_word.removesuffix("."), do=f"{did_you}{mean} {do}".strip()) from error


_NUMBERS = {
    **dict.fromkeys(("int_parsing", "int_parsing_size", "int_from_float"), "an integer"),
    **dict.fromkeys(("float_parsing", "finite_number"), "a finite number"),
}
