"""The commands."""

from __future__ import annotations

import json
import re
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from hpsearch import api
from hpsearch.cli import completion, display, stored_studies, study_files, terminal
from hpsearch.cli.options import File, Json, Set, Storage, Study, by_class, study_of
from hpsearch.cli.process import duration, has_screen, usable_cores
from hpsearch.errors import MOST_SHOWN, cut, printable
from hpsearch.limits import MOST_REPEATS, MOST_TRIALS, MOST_WORKERS
from hpsearch.numbers import plural
from hpsearch.reporting import progress

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.definition.study import StudyDefinition


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


app = typer.Typer(
    name="hpsearch",
    cls=WholeSentences,
    help="Tune a small neural network by K-fold cross-validation; see the trials; export and retrain the best.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


FILES = "--format csv"  # what shows a table whole


class Format(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


Cost = Annotated[
    str | None,
    typer.Option(
        metavar="CLASS=RATIO",
        help="Of two classes: missing this one costs so many times as much as a false prediction of it; the threshold "
        "follows from the study's out-of-fold predictions.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_WORKERS,
        envvar="HPSEARCH_WORKERS",
        help="Processes that train; by default the cores, at most in_flight.",
    ),
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file instead of the terminal.")]
TableFormat = Annotated[
    Format | None, typer.Option("--format", help="By default what the output file's name ends in, or table.")
]


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


def _definition(file: Path, overrides: list[str] | None) -> StudyDefinition:
    from hpsearch.definition.study import StudyDefinition

    return StudyDefinition.from_file(file, overrides or ())


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


app.command(cls=study_files.ExampleLast)(study_files.init)


@app.command()
def run(
    file: File,
    trials: Annotated[
        int | None, typer.Option(min=1, max=MOST_TRIALS, help="Trials in all, instead of the file's number.")
    ] = None,
    workers: Workers = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after 90s, 10m or 2h; run again to go on.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Train on the workers of a Dask scheduler, as tcp://host:8786."),
    ] = None,
    allow_mixed: Annotated[
        bool, typer.Option("--allow-mixed", help="Also on machines whose last bits differ; their trials are marked.")
    ] = False,
    fresh: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Run it anew, as a study of this name.", show_default=False),
    ] = None,
    from_study: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STUDY",
            help="Begin with what was best in an earlier study of the same space, or in all of a storage (its URL).",
            show_default=False,
        ),
    ] = None,
    storage: Storage = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Run a study, or go on with it where it stopped."""
    seconds = None if timeout is None else duration(timeout)
    definition = _definition(file, set_)
    if trials is not None:
        definition = definition.with_trials(trials)
    if fresh is not None:
        definition = definition.with_name(fresh)
    with progress.shown_progress(definition, quiet=as_json) as on_progress:
        result = api.run(
            definition,
            storage=storage,
            workers=workers or usable_cores(),
            timeout=seconds,
            scheduler=scheduler,
            allow_mixed=allow_mixed,
            fresh=fresh,
            from_study=from_study,
            watch=on_progress,
            notice=display.findings,
            expect=None if as_json else lambda needed: terminal.say_aside(str(needed)),
        )
    table = result.trials
    told = int((table["state"] != "RUNNING").sum())
    if told < on_progress.trials and not as_json:
        terminal.say_aside(
            f"stopped after {timeout}: {told} of {plural(on_progress.trials, 'trial is', 'trials are')} done. "
            "Run it again to go on" + (f", with --set study.name={fresh} in the place of --fresh." if fresh else ".")
        )
    complete = bool((table["state"] == "COMPLETE").any())
    if as_json:
        from hpsearch.results.tables import records

        _print_json({**(result.best.summary() if complete else {"study": result.name}), "trials": records(table)})
    if not complete:
        display.nothing_complete(table, definition.name)
        raise typer.Exit(1)
    if as_json:
        return
    best = result.best
    display.trials(table, definition, most=10)
    terminal.say("")
    display.best(best)
    from hpsearch.storage.database import shown_url

    where = f" --storage '{shown_url(storage)}'" if storage else ""
    if definition.search.costs:
        front = api.load_trials(definition.name, storage, front=True)
        terminal.say(f"\nThe front, {len(front)} of the trials: hpsearch trials {definition.name}{where} --front")
    terminal.say(f"\nNext: hpsearch best {definition.name}{where} -o best.toml && hpsearch retrain best.toml -o model")


@app.command()
def check(file: File, workers: Workers = None, set_: Set = None, as_json: Json = False) -> None:
    """Validate a study file, load its data, make its splits, look for leaks, estimate its time; run no trial."""
    from dataclasses import asdict

    from hpsearch.data.audit import refusal
    from hpsearch.definition.study import as_key
    from hpsearch.errors import DataError, Setting
    from hpsearch.search.objective import prepare
    from hpsearch.search.time_needed import time_needed

    definition = _definition(file, set_)
    with progress.shown_if_slow(quiet=as_json) as doing:
        doing(progress.PREPARING)
        prepared = prepare(definition)
        facts, allow = prepared.facts(), definition.validation.allow
        doing(progress.LEAKS)
        findings = prepared.audit()
        error = refusal(findings, allow)
        doing(progress.TIMING)
        needed = None if error is not None else time_needed(prepared, workers or usable_cores())
    if as_json:
        found = {"findings": [asdict(finding) for finding in findings], "time_needed": needed and asdict(needed)}
        _print_json({**facts, "column_types": prepared.columns(), **found})
    else:
        display.facts(facts)
        display.findings(findings, notes=True)
    if error is not None:
        names = sorted({f.name for f in findings if f.level == "error" and f.name not in allow})
        overrule = ("To overrule: ", Setting("allow", names), ".")
        raise (error if as_json else DataError(got=f"{file} is not fit to run as it is", do=overrule)).worded(as_key)
    if not as_json:
        terminal.say(f"{file} is fit to run. {needed}")


@app.command()
def cv(file: File, set_: Set = None, as_json: Json = False) -> None:
    """Cross-validate the train section of a study file as it stands, without a search."""
    from dataclasses import asdict

    from hpsearch.validation.score import as_plain

    outcome = api.cross_validate(_definition(file, set_))
    if as_json:
        facts = {
            key: value for key, value in as_plain(outcome).items() if key not in ("curve", "rows", "folds", "ensemble")
        }
        _print_json(
            {
                **facts,
                "folds": [fold.row() for fold in outcome.folds],
                "estimate": outcome.estimate and asdict(outcome.estimate),
            }
        )
    elif outcome.value is not None:
        display.cross_validation(outcome)
    if outcome.value is None:
        terminal.complain(f"The configuration diverged: {outcome.reason}. Lower [train] learning_rate.")
        raise typer.Exit(1)


@app.command()
def studies(storage: Storage = None, kind: TableFormat = None, output: Output = None, as_json: Json = False) -> None:
    """List the studies of a storage."""
    if _for_people(kind, output, as_json):
        from hpsearch.results.views import studies_view

        table = studies_view(api.storage_url(storage))
        damaged = table["damage"].dropna().tolist()
        terminal.table(table[table["damage"].isna()], FILES)
        if damaged:
            terminal.say("\nThese cannot be used:")
        for damage in damaged:
            terminal.say(f"  {damage}")
        if len(table):
            terminal.say(
                "\nThe best value and trial are the search's; finals may choose another: `hpsearch best STUDY`."
            )
    else:
        _emit(api.load_studies(storage), kind, output, as_json)


@app.command()
def trials(
    study: Study,
    front: Annotated[
        bool,
        typer.Option("--front", help="Only trials than which none is better and as small, or smaller and as good."),
    ] = False,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show a study's trials, one row each."""
    if _for_people(kind, output, as_json):
        from hpsearch.results.views import trials_view

        with api.open_study(study_of(study, set_), storage) as stored:
            terminal.table(trials_view(stored, front), FILES)
    else:
        _emit(api.load_trials(study_of(study, set_), storage, front=front), kind, output, as_json)


@app.command()
def folds(
    study: Study,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show a study's folds, one row a complete trial and fold."""
    if _for_people(kind, output, as_json):
        from hpsearch.results.views import folds_view

        with api.open_study(study_of(study, set_), storage) as stored:
            terminal.table(folds_view(stored), FILES)
    else:
        _emit(api.load_folds(study_of(study, set_), storage), kind, output, as_json)


@app.command()
def curves(
    study: Study,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show a study's learning curves, one row a trial, checkpoint and fold."""
    if _for_people(kind, output, as_json):
        from hpsearch.results.views import curves_view

        with api.open_study(study_of(study, set_), storage) as stored:
            terminal.table(curves_view(stored), FILES)
    else:
        _emit(api.load_curves(study_of(study, set_), storage), kind, output, as_json)


@app.command()
def finals(
    study: Study,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show a study's finals: its best trials on fresh splits, one row a finalist and repeat."""
    if _for_people(kind, output, as_json):
        from hpsearch.results.views import finals_view

        with api.open_study(study_of(study, set_), storage) as stored:
            terminal.table(finals_view(stored), FILES)
    else:
        _emit(api.load_finals(study_of(study, set_), storage), kind, output, as_json)


@app.command()
def metrics(
    study: Study,
    trial: Annotated[int | None, typer.Option(min=0, help="A complete trial; by default the best.")] = None,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show every metric of a trial's out-of-fold predictions, one row each fold and one of all of them."""
    if _for_people(kind, output, as_json):
        from hpsearch.results.views import metrics_view

        with api.open_study(study_of(study, set_), storage) as stored:
            terminal.table(metrics_view(stored, trial), FILES)
    else:
        _emit(api.load_metrics(study_of(study, set_), storage, trial), kind, output, as_json)


def _for_people(kind: Format | None, output: Path | None, as_json: bool) -> bool:
    """Whether a table is to be read, and not stored or handed on."""
    return output is None and not as_json and kind in (None, Format.table)


@app.command()
def importance(
    study: Study,
    repeats: Annotated[
        int, typer.Option(min=1, max=MOST_REPEATS, help="Times that a column's values are dealt to the rows anew.")
    ] = 10,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Of the deals, instead of the study's.")
    ] = None,
    storage: Storage = None,
    kind: TableFormat = None,
    output: Output = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show how much each column of the table matters to what is shipped: out-of-fold permutation importance."""
    from hpsearch.search.time_needed import SOON, in_words

    def expect(seconds: float) -> None:
        if seconds >= SOON and not as_json:
            terminal.say_aside(f"Training the networks of {study} again; this takes about {in_words(seconds)}.")

    found = api.column_importance(study_of(study, set_), storage, repeats=repeats, seed=seed, expect=expect)
    if output is None and kind in (None, Format.table) and not as_json:
        terminal.say_aside(found.caption)
    _emit(found.frame, kind, output, as_json)


def _emit(frame: pd.DataFrame, kind: Format | None, output: Path | None, as_json: bool) -> None:
    from hpsearch.errors import HpsearchError
    from hpsearch.results import tables

    if as_json and kind not in (None, Format.json):
        raise HpsearchError("--json and --format must agree", f"the latter is {kind.value}")
    chosen = Format.json if as_json else kind
    if output is not None:
        if chosen is Format.table:
            raise HpsearchError("A file must be csv, json or parquet", "--format is table")
        tables.write(frame, output, chosen and chosen.value)
    elif chosen is Format.parquet:
        raise HpsearchError("Parquet must go to a file", do="Name one with -o.")
    elif chosen in (None, Format.table):
        terminal.table(frame, FILES)
    else:
        typer.echo(tables.render(frame, chosen.value), nl=False)


@app.command()
def best(
    study: Study,
    storage: Storage = None,
    rule: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            autocompletion=completion.rules,
            help="finals: what they chose; lowest value of the search (or highest, if that is better); or one-se: the "
            "smallest within a standard error of that.",
        ),
    ] = "finals",
    at_most: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Among the trials whose networks have at most N parameters."),
    ] = None,
    output: Output = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no earlier export.")] = False,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show a study's best configuration and what its score means; with -o, export it as a complete study file."""
    found = api.load_best(study_of(study, set_), storage, rule, at_most=at_most)
    if output is not None:
        from hpsearch.results.best_study import export

        export(found, output, force)
    if as_json:
        _print_json(found.summary())
    else:
        display.best(found)
        if output is not None:
            terminal.say(f"\nWritten to {output}.")


@app.command()
def confirm(
    study: Study,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials.")] = 5,
    repeats: Annotated[
        int, typer.Option(min=1, max=MOST_REPEATS, help="Times that the rows are dealt into folds anew.")
    ] = 3,
    storage: Storage = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Train the best few trials again on fresh splits and seeds: which of them are really different?"""
    from hpsearch.validation.score import as_plain

    found = api.confirm(study_of(study, set_), top=top, repeats=repeats, storage=storage)
    if as_json:
        _print_json(as_plain(found))
    else:
        display.confirmed(found)


_COMPARED = "A study, by its name or its file; a trial, as STUDY:NUMBER; or a folder that `retrain` saved."


@app.command()
def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help=_COMPARED, show_default=False, autocompletion=completion.studies)
    ],
    second: Annotated[
        str, typer.Argument(metavar="B", help="Likewise.", show_default=False, autocompletion=completion.studies)
    ],
    metric: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="What to compare by; by default what both search for.", show_default=False),
    ] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Compare two studies, two trials, or a study and a saved model on the same rows: which is better, how surely?

    A model that no study of the storage ships is compared on the hold-out, which is then scored once more.
    """
    found = api.compare(first, second, metric=metric, storage=storage)
    if as_json:
        _print_json(found.summary())
    else:
        display.compared(found)


@app.command()
def nested(
    file: File,
    outer: Annotated[
        int, typer.Option(min=2, max=MOST_REPEATS, help="Outer splits; the whole search runs inside each.")
    ] = 5,
    workers: Workers = None,
    storage: Storage = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Nested cross-validation: what searching and retraining as a whole lose on new rows."""
    from hpsearch.validation.score import as_plain

    definition = _definition(file, set_)
    with progress.shown_progress(definition, quiet=as_json) as on_progress:
        found = api.nested(
            definition,
            outer=outer,
            storage=storage,
            workers=workers or usable_cores(),
            watch=on_progress,
            notice=display.findings,
            begin=on_progress.begin,
        )
    if as_json:
        _print_json({"study": definition.name, **as_plain(found), "chosen": found.chosen})
    else:
        display.nested(found, definition.name)


@app.command()
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
    bundle = api.retrain(_definition(file, set_), storage, output, members=members)
    bundle.save(output, force)
    if as_json:
        # What `evaluate` reads again may be of thousands of rows.
        _print_json({"model": str(output), **{k: v for k, v in bundle.about.items() if k != "evaluation"}})
    else:
        display.retrained(bundle, output)


@app.command()
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
    _emit(predicted, kind, output, as_json)


@app.command()
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
        _print_json({"model": str(model), **found.summary()})
    else:
        from hpsearch.cli import display_evaluated

        display_evaluated.evaluated(found, model)


@app.command()
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
        _print_json(asdict(found))
    else:
        display.exported(found, data)


@app.command(name="export-mlflow")
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
        _print_json(asdict(found))
    else:
        terminal.say(f"Written to {found.tracking_uri}, experiment {found.experiment!r}: the run {found.run}")
        terminal.say(f"with {plural(found.trials, 'run of a trial', 'runs of trials')}. The model: {found.model_uri}")


@app.command()
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


@app.command()
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


app.command()(stored_studies.copy)
app.command()(stored_studies.rename)
app.command()(stored_studies.delete)
app.command()(study_files.schema)
