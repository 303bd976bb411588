"""Studies are drafted, run and cross-validated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.api.stored import StudyResult, given_definition, open_study, storage_url, study_name
from hpsearch.arguments import checked
from hpsearch.errors import HpsearchError, Setting, as_argument, located

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import pandas as pd

    from hpsearch.data.audit import Finding
    from hpsearch.data.dataset import Task
    from hpsearch.definition.study import StudyDefinition
    from hpsearch.results.confirm import Confirmation
    from hpsearch.results.nested import Nested
    from hpsearch.search.coordinator import Progress
    from hpsearch.search.time_needed import TimeNeeded
    from hpsearch.validation.cross_validate import CrossValidation


@checked
def init(
    rows: pd.DataFrame | str | Path,
    target: str | None = None,
    *,
    name: str | None = None,
    task: Task | None = None,
    overrides: Sequence[str] = (),
) -> StudyDefinition:
    """Draft a study for a table of rows, as ``hpsearch init`` does: what its columns are, splits, space and budget.

    Nothing is written. The definition's ``text`` is the study file, with its comments; ``save`` writes it. A warning
    says which columns, rows or values it leaves out, and why.

    >>> import pandas as pd
    >>> flowers = pd.read_csv("studies/flowers.csv")
    >>> definition = init(flowers, target="species", overrides=["train.epochs=40"])
    >>> definition.name, definition.train.epochs, definition.validation.splitter
    ('species', 40, 'stratified')
    >>> run(definition, trials=2).best.complete
    2

    Args:
        rows: a DataFrame, whose index is not looked at; or a CSV or Parquet file.
        target: its column to predict.
        name: the study's; by default the file's, or the target's of a DataFrame.
        task: what the target is, ``"classification"`` or ``"regression"``, if its values do not say.
        overrides: keys of the study file, as ``train.epochs=200``.

    Raises:
        DataError: rows that cannot be used; no such column.
        DefinitionError: a name, a key or a value that cannot be.
    """
    from hpsearch.definition.drafted import drafted

    return drafted(rows, target, name, task, overrides, stacklevel=4)


@checked
def run(
    study: str | Path | StudyDefinition | pd.DataFrame,
    target: str | None = None,
    *,
    name: str | None = None,
    overrides: Sequence[str] = (),
    trials: int | None = None,
    storage: str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    timeout: float | None = None,
    scheduler: str | None = None,
    allow_mixed: bool = False,
    reuse: bool = True,
    fresh: str | None = None,
    from_study: str | Path | None = None,
    progress: bool = False,
    watch: Callable[[Progress], None] | None = None,
    notice: Callable[[Sequence[Finding]], None] | None = None,
    expect: Callable[[TimeNeeded], None] | None = None,
) -> StudyResult:
    """Run a study, or go on with it where it stopped. The tables do not depend on who does the work.

    >>> study = run("studies/wine.toml", trials=3)
    >>> float(study.trials["value"].min()) == study.best.result.value
    True
    >>> run("studies/wine.toml", trials=3, workers=2).name  # nothing is left to do: it comes back at once
    'wine'

    With a DataFrame and its target the study is the one that :func:`init` drafts: ``run(frame, target="species")`` is
    ``run(init(frame, target="species"))``. The rows are not stored: to go on, run it with the same DataFrame.

    Args:
        study: a study file, a definition, or rows as :func:`init` takes them.
        target: of rows, the column to predict.
        name: of rows, what the study is called; by default as its target, or its file. See ``fresh`` for others.
        overrides: keys of the study file, as ``train.epochs=200``.
        trials: how many there shall be in all; the file's number if None.
        storage: a URL; see :func:`storage_url`.
        workers: local processes that train; 1 trains in this one.
        executor: any ``concurrent.futures`` executor of this machine to train on instead; it is left running.
        timeout: seconds after which the study stops, to be gone on with later.
        scheduler: the address of a Dask scheduler whose workers train instead (extra ``distributed``).
        allow_mixed: go on, and train, on machines whose last bits are not those of the study's.
        reuse: train two trials of one configuration once.
        fresh: run it anew, as a study of this name, which no study of the storage has.
        from_study: an earlier study that searches the same hyperparameters, by its name or its file, or the URL of a
            storage for all of its studies: what was best there comes first. It is part of the study from then on.
        progress: show a bar, on a terminal or in a notebook; elsewhere a line a trial, on stderr.
        watch: told the progress after every trial, and about once a second.
        notice: told before trial 0 what the leakage audit found and does not stop the study.
        expect: told before the first trial how long the study will take, about, if that is more than some seconds and
            it runs on this machine's ``workers``. Without it nothing is measured.

    Raises:
        DataError: rows or splits that leak, unless ``[validation] allow`` says so; nothing was trained then.
        HpsearchError: a definition, data or storage that cannot be used; nothing was trained then.
        StorageLostError: the storage failed in mid-run; what was told before is still there.
    """
    from hpsearch.reporting.progress import shown_progress
    from hpsearch.search.objective import prepare
    from hpsearch.search.run import audited, executor_for, owned, search

    definition = _given(study, target, name, overrides)
    if trials is not None:
        definition = definition.with_trials(int(trials))
    url = storage_url(storage)
    if fresh is not None:
        definition = definition.with_name(fresh)
    if from_study is not None:
        from hpsearch.search.transfer import begun_with

        earlier = str(from_study)
        definition = begun_with(definition, url, earlier if "://" in earlier else study_name(from_study))
    in_flight = definition.search.in_flight
    with (
        executor_for(min(workers, in_flight), executor, scheduler, allow_mixed) as trainers,
        shown_progress(definition, quiet=not progress) as bar,
    ):
        prepared = prepare(definition)
        findings = audited(prepared)
        with (
            located(wording=_as_argument_of_run),
            owned(prepared, url, findings, allow_mixed, new=fresh is not None) as stored,
        ):
            if notice is not None and not stored.trials():
                notice(findings)
            if expect is not None and executor is None and scheduler is None:
                from hpsearch.search.time_needed import time_of_run

                told = sum(trial.state.is_finished() for trial in stored.trials())
                if (needed := time_of_run(prepared, workers, told)) is not None:
                    expect(needed)
            search(
                prepared, stored, trainers, on_progress=_both(bar, watch), timeout=timeout, reuse=reuse, baselines=True
            )
    rows = definition.given_rows
    return StudyResult(definition.name, url, None if rows is None else rows.frame)


def _both(one: Callable[[Progress], None], other: Callable[[Progress], None] | None) -> Callable[[Progress], None]:
    """Tells the progress to both, if there is another."""
    if other is None:
        return one
    also = other

    def tell(progress: Progress) -> None:
        one(progress)
        also(progress)

    return tell


def _as_argument_of_run(setting: Setting) -> str:
    from hpsearch.definition.study import as_key

    return as_argument(replace(setting, name="fresh")) if setting.name == "study.name" else as_key(setting)


def _given(
    study: str | Path | StudyDefinition | pd.DataFrame,
    target: str | None,
    name: str | None,
    overrides: Sequence[str],
) -> StudyDefinition:
    """The definition that was given, read or drafted.

    Raises:
        HpsearchError: a target or a name of what is no table of rows; a definition or rows that cannot be used.
    """
    from hpsearch.definition.study import StudyDefinition

    if isinstance(study, StudyDefinition):
        given = study.with_overrides(overrides) if overrides else study
    elif isinstance(study, str | Path) and (
        Path(study).suffix == ".toml" or (target is None and Path(study).suffix not in (".csv", ".parquet"))
    ):
        given = StudyDefinition.from_file(study, overrides)
    else:
        from hpsearch.definition.drafted import drafted

        return drafted(study, target, name, overrides=overrides, stacklevel=5)
    rows = "give rows: a DataFrame, a CSV or a Parquet file."
    got = "there is a study, which has one"
    if target is not None:
        raise HpsearchError("must go with rows", got, f"Leave it out, or {rows}", Setting("target"))
    if name is not None:
        other = ("To run the study under another name: ", Setting("fresh", name), f". Else {rows}")
        raise HpsearchError("must go with rows", got, other, Setting("name"))
    return given


@checked
def nested(
    study: str | Path | StudyDefinition,
    *,
    outer: int = 5,
    storage: str | None = None,
    workers: int = 1,
    progress: bool = False,
    watch: Callable[[Progress], None] | None = None,
    notice: Callable[[Sequence[Finding]], None] | None = None,
    begin: Callable[[str], None] | None = None,
) -> Nested:
    """Nested cross-validation: the whole search inside each outer split, scored on its validation rows.

    The study itself is run first, unless it is stored already: what it ships is estimated by both. Each search is a
    stored study of its own, so a nested cross-validation that was interrupted goes on where it stopped. Rows held out
    are never used.

    >>> settings = ["study.name='short'", "search.trials=2", "train.epochs=40"]
    >>> definition = StudyDefinition.from_file("studies/wine.toml", settings)
    >>> found = nested(definition, outer=2)
    >>> [split.study for split in found.splits]
    ['short.outer-1-of-2', 'short.outer-2-of-2']
    >>> found.loss.low < found.loss.mean < found.loss.high
    True

    Args:
        study: a study file, or a definition.
        outer: outer splits, by the study's splitter.
        storage: as in :func:`run`, and so are the next four.
        workers: processes that train.
        progress: show a bar.
        watch: told the progress.
        notice: told what the leakage audit found.
        begin: told the name of each search before it begins.

    Raises:
        HpsearchError: a definition, data or storage that cannot be used; a search without a complete trial.
    """
    from hpsearch.reporting.progress import shown_progress
    from hpsearch.results.nested import nested as estimate
    from hpsearch.search.objective import prepare
    from hpsearch.search.run import audited

    definition = given_definition(study)
    prepared = prepare(definition)
    findings = audited(prepared)
    if notice is not None:
        notice(findings)
    workers = min(workers, definition.search.in_flight)
    with shown_progress(definition, quiet=not progress) as bar:

        def on_begin(name: str) -> None:
            bar.begin(name)
            if begin is not None:
                begin(name)

        on_progress = _both(bar, watch)
        return estimate(prepared, outer, storage_url(storage), workers, on_begin=on_begin, on_progress=on_progress)


@checked
def confirm(
    study: str | Path | StudyResult,
    *,
    top: int = 5,
    repeats: int = 3,
    storage: str | None = None,
    progress: bool = False,
) -> Confirmation:
    """The best trials of a stored study again on fresh splits and seeds, and which of them are really different.

    >>> study = run("studies/wine.toml", trials=3)
    >>> found = confirm("wine", top=2, repeats=1)
    >>> len(found.trials), len(found.comparisons)
    (2, 1)

    Args:
        study: a stored study, by its name or by its file.
        top: how many trials.
        repeats: times that the rows are dealt into folds.
        storage: where it is kept.
        progress: show a bar, on a terminal or in a notebook.

    Raises:
        HpsearchError: no such study, no complete trial, splits that cannot be dealt anew.
    """
    from hpsearch.reporting.progress import shown_steps
    from hpsearch.results.confirm import confirm as compare

    with open_study(study, storage) as stored, shown_steps("confirming", quiet=not progress) as on_done:
        return compare(stored, top, repeats, on_done)


@checked
def cross_validate(study: str | Path | StudyDefinition) -> CrossValidation:
    """Cross-validate ``[train]`` of a study as it stands: no search, nothing stored.

    >>> outcome = cross_validate(StudyDefinition.from_file("studies/wine.toml", ["train.epochs=40"]))
    >>> outcome.outcome, len(outcome.folds)
    ('complete', 15)
    >>> outcome.estimate.low < outcome.value < outcome.estimate.high
    True

    Raises:
        HpsearchError: a definition or data that cannot be used.
    """
    from hpsearch.search.objective import prepare
    from hpsearch.threads import one_thread
    from hpsearch.validation.cross_validate import cross_validate as validate

    definition = given_definition(study)
    prepared = prepare(definition)
    with one_thread():
        return validate(
            prepared.search,
            prepared.splits,
            definition.train,
            definition.seed,
            scalings=prepared.scalings[definition.train.scaling],
            rule=definition.validation.checkpoint,
            objective=definition.search.objective,
        )
