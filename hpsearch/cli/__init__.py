"""The command line: parse, one call, print."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from hpsearch.cli.interrupts import INTERRUPTED, interrupts
from hpsearch.cli.streams import READER_GONE, open_streams

if TYPE_CHECKING:
    from hpsearch.errors import Setting, Wording


def main() -> None:
    """The ``hpsearch`` command. Exit status: 0 done, 2 the caller's mistake, 1 anything else, 130 interrupted."""
    output, signals = open_streams(), interrupts()
    if len(os.environ.get("COLUMNS", "")) > 6:  # what draws tables takes any digits for a width
        del os.environ["COLUMNS"]
    gc.set_threshold(100_000)  # imports leave many objects and no garbage, and looking for it takes a tenth of a start
    try:
        _call()
    except BaseException as error:
        with suppress(OSError):
            sys.stdout.flush()
        done = isinstance(error, SystemExit) and not error.code
        if signals.came and not done:  # what a library makes of an interrupt may be any error
            print("hpsearch: interrupted. Nothing that was finished is lost.", file=sys.stderr)
            signals.ends = True
            sys.exit(INTERRUPTED)
        if output.lost is not None and (done or isinstance(error, OSError)):
            if output.lost.errno not in READER_GONE:
                from hpsearch.errors import reason

                print(f"hpsearch: standard output must be writable, but {reason(output.lost)}.", file=sys.stderr)
            sys.exit(1)
        raise


def _call() -> None:
    from hpsearch.cli.app import app
    from hpsearch.errors import HpsearchError

    try:
        app(prog_name="hpsearch")
    except HpsearchError as error:
        if "--debug" in sys.argv:
            raise
        print(f"hpsearch: {error.text(_wording())}", file=sys.stderr)
        sys.exit(error.exit_status)


def _wording() -> Wording:
    """Settings as options of the command that was called, where it has them; others as keys of a study file."""
    import shlex

    from typer.main import get_command

    from hpsearch.cli.app import app
    from hpsearch.data.csv_format import SETTABLE
    from hpsearch.definition.study import as_key
    from hpsearch.definition.wording import as_toml

    commands = getattr(get_command(app), "commands", {})
    called = next((commands[word] for word in sys.argv[1:] if word in commands), None)
    options = {str(option.name).rstrip("_"): max(option.opts, key=len) for option in getattr(called, "params", ())}

    def worded(setting: Setting) -> str:
        if called is not None and called.name == "init" and setting.name in SETTABLE and setting.has_value:
            return f"--set {shlex.quote(f'data.{setting.name}={as_toml(setting.value)}')}"
        option = options.get("set" if setting.name == "overrides" else setting.name)
        if option is None:
            return as_key(setting)
        shown = "" if not setting.has_value or setting.value is True else f" {shlex.quote(str(setting.value))}"
        return f"{option}{shown}"

    return worded
