"""The command line: parse, one call, print."""

from __future__ import annotations

import sys


def main() -> None:
    """The ``hpsearch`` command. Exit status: 0 done, 2 the caller's mistake, 1 anything else, 130 interrupted."""
    import click

    from hpsearch.cli.app import app
    from hpsearch.errors import HpsearchError

    try:
        status = app(standalone_mode=False)
    except HpsearchError as error:
        if "--debug" in sys.argv:
            raise
        print(f"hpsearch: {error}", file=sys.stderr)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        print("hpsearch: interrupted. Nothing that was finished is lost.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stderr.close()
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)
