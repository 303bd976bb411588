"""The commands, in the order in which the help lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from hpsearch.cli import models, reports, searches, stored_studies, study_files, tables
from hpsearch.cli.group import WholeSentences

app = typer.Typer(
    name="hpsearch",
    cls=WholeSentences,
    help="Tune a small neural network by K-fold cross-validation; see the trials; export and retrain the best.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"hpsearch {installed('hpsearch')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


COMMANDS = (
    study_files.init,
    searches.run,
    searches.check,
    searches.cv,
    tables.studies,
    tables.trials,
    tables.folds,
    tables.curves,
    tables.finals,
    tables.metrics,
    tables.importance,
    searches.best,
    searches.confirm,
    searches.compare,
    searches.nested,
    models.retrain,
    models.predict,
    models.evaluate,
    models.export,
    models.export_mlflow,
    reports.report,
    reports.dashboard,
    stored_studies.copy,
    stored_studies.rename,
    stored_studies.delete,
    study_files.schema,
)
for command in COMMANDS:
    app.command(cls=study_files.ExampleLast if command is study_files.init else None)(command)
