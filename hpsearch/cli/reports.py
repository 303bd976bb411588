"""The commands that make reports and serve the dashboard."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from hpsearch import api
from hpsearch.cli import terminal
from hpsearch.cli.options import Set, Storage, Study, study_of
from hpsearch.cli.process import has_screen


def report(
    study: Study,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The file to write: .html, or .pdf by an installed Chromium.")
    ] = Path("report.html"),
    storage: Storage = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no earlier report.")] = False,
    importance: Annotated[
        bool | None,
        typer.Option(
            "--importance/--no-importance",
            help="With what the columns of the table do, for which networks are trained again; by default where that "
            "takes some seconds only.",
            show_default=False,
        ),
    ] = None,
    set_: Set = None,
) -> None:
    """Write one self-contained HTML file, or a PDF, on a study: the numbers, the figures, how to repeat it."""
    api.report(study_of(study, set_), output, storage, force=force, importance=importance)
    terminal.say(f"Written to {output}.")


def dashboard(
    storage: Storage = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; on any but this machine's own, a token is needed to look.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="A port; 0 for any free one.")] = 8080,
    name: Annotated[
        list[str] | None, typer.Option(help="A further name that this machine is reached by; repeatable.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open the browser, where there is a screen.")] = True,
) -> None:
    """Serve the dashboard until Ctrl-C: the studies of a storage, live and read-only."""
    from hpsearch.reporting.dashboard import serve

    def announce(url: str) -> None:
        terminal.say(f"The dashboard is at {url} (Ctrl-C ends it).")
        if open_ and has_screen():
            webbrowser.open(url)

    serve(api.storage_url(storage), port, announce, host, tuple(name or ()))
