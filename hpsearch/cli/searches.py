"""The commands that check, run and judge studies."""

from __future__ import annotations

from typing import Annotated

import typer

from hpsearch import api
from hpsearch.cli import completion, display, terminal
from hpsearch.cli.options import File, Json, Output, Set, Storage, Study, Workers, definition_of, study_of
from hpsearch.cli.process import duration, usable_cores
from hpsearch.limits import MOST_REPEATS, MOST_TRIALS
from hpsearch.numbers import plural
from hpsearch.reporting import progress


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
    definition = definition_of(file, set_)
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

        terminal.say_json({**(result.best.summary() if complete else {"study": result.name}), "trials": records(table)})
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


def check(file: File, workers: Workers = None, set_: Set = None, as_json: Json = False) -> None:
    """Validate a study file, load its data, make its splits, look for leaks, estimate its time; run no trial."""
    from dataclasses import asdict

    from hpsearch.data.audit import refusal
    from hpsearch.definition.study import as_key
    from hpsearch.errors import DataError, Setting
    from hpsearch.search.objective import prepare
    from hpsearch.search.time_needed import time_needed

    definition = definition_of(file, set_)
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
        terminal.say_json({**facts, "column_types": prepared.columns(), **found})
    else:
        display.facts(facts)
        display.findings(findings, notes=True)
    if error is not None:
        names = sorted({f.name for f in findings if f.level == "error" and f.name not in allow})
        overrule = ("To overrule: ", Setting("allow", names), ".")
        raise (error if as_json else DataError(got=f"{file} is not fit to run as it is", do=overrule)).worded(as_key)
    if not as_json:
        terminal.say(f"{file} is fit to run. {needed}")


def cv(file: File, set_: Set = None, as_json: Json = False) -> None:
    """Cross-validate the train section of a study file as it stands, without a search."""
    from dataclasses import asdict

    from hpsearch.validation.score import as_plain

    outcome = api.cross_validate(definition_of(file, set_))
    if as_json:
        facts = {
            key: value for key, value in as_plain(outcome).items() if key not in ("curve", "rows", "folds", "ensemble")
        }
        terminal.say_json(
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
        terminal.say_json(found.summary())
    else:
        display.best(found)
        if output is not None:
            terminal.say(f"\nWritten to {output}.")


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
        terminal.say_json(as_plain(found))
    else:
        display.confirmed(found)


_COMPARED = "A study, by its name or its file; a trial, as STUDY:NUMBER; or a folder that `retrain` saved."


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
        terminal.say_json(found.summary())
    else:
        display.compared(found)


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

    definition = definition_of(file, set_)
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
        terminal.say_json({"study": definition.name, **as_plain(found), "chosen": found.chosen})
    else:
        display.nested(found, definition.name)
