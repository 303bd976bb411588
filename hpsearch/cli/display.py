"""What the commands print: rich tables on a terminal, plain lines where output is piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd
    from rich.live import Live

    from hpsearch.model.bundle import Bundle
    from hpsearch.results.best import Best
    from hpsearch.study.coordinator import Progress
    from hpsearch.study.definition import StudyDefinition
    from hpsearch.study.storage import TrialResult
    from hpsearch.validation.cross_validate import CrossValidation


def _draw(drawn: Table) -> None:
    """Print a table, without the spaces that rich puts at line ends."""
    console = _console()
    with console.capture() as captured:
        console.print(drawn)
    lines = captured.get().splitlines()
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))


def _console(stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    # A pipe has no width: nothing is cut there.
    return Console(file=stream, highlight=False, width=None if stream.isatty() else 10_000)


def say(text: str) -> None:
    _console().print(text, markup=False, soft_wrap=True)


def say_aside(text: str) -> None:
    """A line that is no result: to stderr."""
    _console(stderr=True).print(text, markup=False, soft_wrap=True)


def complain(text: str) -> None:
    say_aside(f"hpsearch: {text}")


class Watch(Protocol):
    """Takes a run's progress; ``trials`` is how many there shall be."""

    trials: int

    def __call__(self, progress: Progress) -> None: ...


@contextmanager
def progress(definition: StudyDefinition, quiet: bool) -> Iterator[Watch]:
    """A bar and the running trials on a terminal, a line a trial elsewhere (on stderr: stdout is for results)."""
    console = _console(stderr=True)
    if quiet:
        yield Silence()
    elif not console.is_terminal:
        yield Lines()
    else:
        from rich.live import Live

        with Live(console=console, refresh_per_second=8, transient=False) as live:
            yield Bar(live, definition)


class Silence:
    def __init__(self) -> None:
        self.trials = 0

    def __call__(self, progress: Progress) -> None:
        self.trials = progress.trials


class Lines:
    def __init__(self) -> None:
        self.trials, self._shown = 0, -1

    def __call__(self, progress: Progress) -> None:
        self.trials, results = progress.trials, progress.results
        width = len(str(progress.trials))
        if self._shown < 0:
            note = f", {progress.resumed} of them done before" if progress.resumed else ""
            say_aside(f"running {progress.trials} trials{note}")
            self._shown = progress.resumed
        for done in range(self._shown + 1, len(results) + 1):
            last, best = (
                results[done - 1],
                min((r for r in results[:done] if r.value is not None), key=lambda r: r.value or 0.0, default=None),
            )
            lowest = "none yet" if best is None else f"{best.value:.4f} (trial {best.number})"
            say_aside(f"{done:>{width}}/{progress.trials}  trial {last.number} {_outcome(last)}; best {lowest}")
        self._shown = max(self._shown, len(results))


def _outcome(result: TrialResult) -> str:
    if result.value is not None:
        return f"complete, {result.value:.4f}"
    return f"failed: {result.reason}" if result.state == "FAIL" else str(result.reason)


class Bar:
    def __init__(self, live: Live, definition: StudyDefinition) -> None:
        self.trials = 0
        self._live, self._definition, self._begun = live, definition, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar

        self.trials, done, best = progress.trials, len(progress.results), progress.best
        fresh = done - progress.resumed
        states = [result.state for result in progress.results]
        notes = [f"{states.count('PRUNED')} pruned", f"{states.count('FAIL')} failed"]
        notes.append("best none yet" if best is None else f"best {best.value:.4f} (trial {best.number})")
        if fresh and done < progress.trials:
            left = (time.monotonic() - self._begun) / fresh * (progress.trials - done)
            notes.append(f"{left // 60:.0f}:{left % 60:02.0f} left")
        head = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=progress.trials, completed=min(done, progress.trials), width=24)
        head.add_row(self._definition.name, bar, f"{done}/{progress.trials}", " · ".join(notes))
        running = Table.grid(padding=(0, 2))
        for number, (epoch, mean) in sorted(progress.running.items()):
            if epoch:
                running.add_row(f"  trial {number}", f"epoch {epoch}/{self._definition.most_epochs}", f"{mean:.4f}")
        self._live.update(Group(head, running) if running.row_count else head)


def _cell(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(frame: pd.DataFrame, title: str | None = None) -> None:
    """A pandas table; columns with nothing in them are left out."""
    console = _console()
    plain = not console.is_terminal
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2 if plain else 1, 0, 0))
    shown = [name for name in frame.columns if not frame[name].isna().all()] if len(frame) else list(frame.columns)
    for name in shown:
        text = frame[name].dtype == "str"
        # Where a terminal is too narrow, headers fold at their dots and underscores; numbers are never cut.
        drawn.add_column(str(name), justify="left" if text else "right", overflow="fold", no_wrap=not text)
    for row in frame[shown].astype(object).itertuples(index=False):
        drawn.add_row(*map(_cell, row))
    _draw(drawn)


def trials(frame: pd.DataFrame, most: int) -> None:
    """The best trials of a study, and how the others ended."""
    counts = frame["state"].value_counts()
    ended = ", ".join(f"{counts[state]} {state.lower()}" for state in ("COMPLETE", "PRUNED", "FAIL") if state in counts)
    complete = frame[frame["state"] == "COMPLETE"].sort_values(["value", "number"]).head(most)
    say(f"{len(frame)} trials: {ended}. The best {len(complete)}:\n")
    table(complete.drop(columns=["state", "reason", "epochs"]))


def best(found: Best) -> None:
    """The best configuration, where each value came from, and what the number means."""
    result = found.result
    say(f"Best configuration of {found.definition.name!r}: trial {result.number} of {found.trials}\n")
    drawn = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for name, (value, origin) in found.settings().items():
        drawn.add_row(name, _setting(value), origin, style=None if origin.startswith("searched") else "dim")
    _draw(drawn)
    say(
        f"\nMean validation loss {result.value:.4f}, accuracy {result.accuracy:.3f}, over {len(result.folds)} splits, "
        f"at epoch {result.best_epoch}.\n"
        f"This loss is the lowest of {found.trials} trials and therefore optimistic. "
        + ("The hold-out has not been opened: retrain scores it." if found.has_holdout else "There is no hold-out.")
    )


def _setting(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def nothing_complete(frame: pd.DataFrame, name: str) -> None:
    """Every trial failed or was pruned: say the most frequent reason."""
    reasons = frame["reason"].dropna()
    most = "" if reasons.empty else f" Most often {reasons.mode().iloc[0]}."
    complain(
        f"No trial of {name!r} is complete among {len(frame)}.{most} Lower the learning rates in [space] or [train]."
    )


def facts(values: Mapping[str, Any]) -> None:
    """Names and what they are, one a line."""
    drawn = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for name, value in values.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key}: {inner}" for key, inner in value.items()) or "nothing"
        drawn.add_row(name.replace("_", " "), str(value))
    _draw(drawn)


def cross_validation(outcome: CrossValidation) -> None:
    """One row a fold, and their mean."""
    from dataclasses import asdict

    import pandas as pd

    table(pd.DataFrame([asdict(fold) for fold in outcome.folds]))
    say(
        f"\nMean validation loss {outcome.value:.4f}, accuracy {outcome.accuracy:.3f}, at epoch {outcome.best_epoch}; "
        f"{outcome.parameters} parameters."
    )


def retrained(bundle: Bundle, folder: Path) -> None:
    """The numbers of a retrained model, side by side, and what to believe."""
    about = bundle.about
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("", "rows", "loss", "accuracy"):
        drawn.add_column(name, justify="left" if not name else "right")

    def row(name: str, rows: Any, loss: float, accuracy: float) -> None:
        drawn.add_row(name, str(rows), f"{loss:.4f}", f"{accuracy:.3f}")

    training, held_out, origin = about["training"], about["holdout"], about["origin"]
    row("training", training["rows"], training["loss"], training["accuracy"])
    if origin:
        row(f"search (lowest of {origin['trials']} trials)", "", origin["objective_value"], origin["accuracy"])
    if held_out:
        row("hold-out", held_out["rows"], held_out["loss"], held_out["accuracy"])
    say(f"Trained for {about['train']['epochs']} epochs; final learning rate {about['learning_rate_at_end']:.8g}.\n")
    _draw(drawn)
    believe = "Believe the hold-out: no choice was made with it." if held_out else "There was no hold-out to score."
    say(f"\n{believe} Saved in {folder}.")
