"""The command line: parse, one call, print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.errors import Setting

INTERRUPTED = 130
# Arguments of Python whose options have other names.
_OPTIONS = {"path": "-o"}


def as_option(setting: Setting) -> str:
    """How the command line writes a setting: ``--force`` for ``force=True``."""
    name = _OPTIONS.get(setting.name) or f"--{setting.name.rpartition('.')[2].replace('_', '-')}"
    return name if not setting.has_value or setting.value is True else f"{name} {setting.value}"


def main() -> None:
    """The ``hpsearch`` command. Exit status: 0 done, 2 the caller's mistake, 1 anything else, 130 interrupted."""
    from hpsearch.cli.app import app
    from hpsearch.errors import HpsearchError, as_argument

    try:
        app(prog_name="hpsearch")
    except HpsearchError as error:
        if "--debug" in sys.argv:
            raise
        if error.wording is as_argument:  # of no study file
            error.worded(as_option)
        print(f"hpsearch: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("hpsearch: interrupted. Nothing that was finished is lost.", file=sys.stderr)
        raise
