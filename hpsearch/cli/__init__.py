"""The command line: parse, one call, print."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """The ``hpsearch`` command. Exit status: 0 done, 2 the caller's mistake, 1 anything else, 130 interrupted."""
    from hpsearch.cli.app import app
    from hpsearch.errors import HpsearchError

    try:
        app(prog_name="hpsearch")
    except HpsearchError as error:
        if "--debug" in sys.argv:
            raise
        print(f"hpsearch: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("hpsearch: interrupted. Nothing that was finished is lost.", file=sys.stderr)
        raise
