"""The commands that make, use and hand on models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpsearch import api
from hpsearch.cli import display, terminal
from hpsearch.cli.options import Cost, File, Json, Output, Set, Storage, Study, by_class, definition_of, study_of
from hpsearch.cli.tables import TableFormat, emit
from hpsearch.numbers import plural
from hpsearch.reporting import progress


def retrain(
    file: File,
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to save the model in.")] = Path("model"),
    force: Annotated[bool, typer.Option("--force", help="Replace a saved model that is there.")] = False,
    members: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Networks whose predictions are averaged, instead of the file's number; 1 is one network.",
        ),
    ] = None,
    storage: Storage = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Fit a configuration on all rows that are not held out, score the hold-out once, save the model."""
    from hpsearch.model.bundle import require_free

    require_free(output, force)
    bundle = api.retrain(definition_of(file, set_), storage, output, members=members)
    bundle.save(output, force)
    if as_json:
        # What `evaluate` reads again may be of thousands of rows.
        terminal.say_json({"model": str(output), **{k: v for k, v in bundle.about.items() if k != "evaluation"}})
    else:
        display.retrained(bundle, output)


def predict(
    model: Annotated[Path, typer.Argument(help="A folder that `retrain` saved.", show_default=False)],
    rows: Annotated[
        Path,
        typer.Argument(
            help="A CSV or .parquet file with the model's feature columns; - reads CSV from the standard input.",
            show_default=False,
        ),
    ],
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Begin with this column of the file, such as an identifier; repeatable."),
    ] = None,
    spread: Annotated[
        bool, typer.Option("--spread", help="Add how far the model's networks disagree, a standard deviation.")
    ] = False,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS=PROBABILITY", help="Of two classes: predict this one where it is at least so probable."
        ),
    ] = None,
    cost: Cost = None,
    kind: TableFormat = None,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Predict the class of each row of a file, with the probability of every class."""
    from hpsearch.errors import HpsearchError
    from hpsearch.model.bundle import Bundle
    from hpsearch.model.predict_file import predict_file
    from hpsearch.regular_file import is_same_file

    if output is not None and is_same_file(output, rows):
        raise HpsearchError("must not be the file of the rows", "is", "Name another.", where=str(output))
    decided = {"threshold": by_class(threshold, "threshold", "yes=0.1"), "cost": by_class(cost, "cost", "yes=10")}
    bundle = Bundle.load(model)
    with progress.shown_if_slow() as doing:
        doing("reading and predicting the rows")
        predicted = predict_file(bundle, rows, terminal.say_aside, spread=spread, keep=keep or (), **decided)
    emit(predicted, kind, output, as_json)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder that `retrain` saved.", show_default=False)],
    rows: Annotated[
        Path,
        typer.Argument(
            help="A CSV or .parquet file with the model's feature columns and its target; - reads CSV from the "
            "standard input.",
            show_default=False,
        ),
    ],
    cost: Cost = None,
    as_json: Json = False,
) -> None:
    """Score a saved model on labelled rows, beside what it was expected to score; nothing is stored."""
    with progress.shown_if_slow() as doing:
        doing("reading and scoring the rows")
        found = api.evaluate(model, rows, cost=by_class(cost, "cost", "yes=10"), notice=terminal.say_aside)
    if as_json:
        terminal.say_json({"model": str(model), **found.summary()})
    else:
        from hpsearch.cli import display_evaluated

        display_evaluated.evaluated(found, model)


def export(
    model: Annotated[Path, typer.Argument(help="A folder that `retrain` saved.", show_default=False)],
    kind: Annotated[str, typer.Option("--format", metavar="FORMAT", help="What to write: onnx.")] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The file to write; by default DIR.onnx in the working directory.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="ROWS",
            help="What to check it on: a CSV or .parquet file, or a study file; by default the study's rows.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a saved model in a format of others, once it predicts every row of the data as the model does."""
    from dataclasses import asdict

    found = api.export(model, output, format=kind, data=data, force=force)
    if as_json:
        terminal.say_json(asdict(found))
    else:
        display.exported(found, data)


def export_mlflow(
    study: Study,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A model of the study that `retrain` saved; by default its best is fitted, and no hold-out scored.",
            show_default=False,
        ),
    ] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Of a server or database, as http://host:5000 or sqlite:///mlflow.db; by default MLflow's own choice.",
            show_default=False,
        ),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(metavar="NAME", help="By default the study's name.", show_default=False)
    ] = None,
    storage: Storage = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Write a study to MLflow: a run for it, with tables, report and model, and one for each trial."""
    from dataclasses import asdict

    where = {"tracking_uri": tracking_uri, "experiment": experiment}
    found = api.export_mlflow(study_of(study, set_), model, storage=storage, **where)
    if as_json:
        terminal.say_json(asdict(found))
    else:
        terminal.say(f"Written to {found.tracking_uri}, experiment {found.experiment!r}: the run {found.run}")
        terminal.say(f"with {plural(found.trials, 'run of a trial', 'runs of trials')}. The model: {found.model_uri}")
