"""What a run shows while it goes on: a bar and the running trials on a terminal, a line a trial elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from hpsearch.cli.terminal import open_console, say_aside
from hpsearch.numbers import plural

if TYPE_CHECKING:
    from rich.live import Live

    from hpsearch.definition.study import StudyDefinition
    from hpsearch.search.coordinator import Progress
    from hpsearch.storage.trial_result import TrialResult
    from hpsearch.validation.metric import Metric

PREPARING = "reading and checking the rows, learning how to scale them"
SOON = 3.0  # seconds within which few rows are ready; a million take a minute


class ProgressDisplay(Protocol):
    """Takes a run's progress; ``trials`` is how many there shall be."""

    trials: int

    def begin(self, name: str) -> None:
        """A study of this name begins."""

    def __call__(self, progress: Progress) -> None: ...


@contextmanager
def shown_progress(definition: StudyDefinition, quiet: bool) -> Iterator[ProgressDisplay]:
    """A bar and the running trials on a terminal, a line a trial elsewhere (on stderr: stdout is for results)."""
    terminal = open_console(stderr=True)
    if quiet:
        yield Silence()
    elif not terminal.is_terminal:
        still_preparing = threading.Timer(SOON, say_aside, [PREPARING])
        still_preparing.daemon = True
        still_preparing.start()
        try:
            yield Lines(still_preparing.cancel)
        finally:
            still_preparing.cancel()
    else:
        from rich.live import Live

        with Live(console=terminal, refresh_per_second=8, transient=False) as live:
            yield Bar(live, definition)


class Silence:
    def __init__(self) -> None:
        self.trials = 0

    def begin(self, name: str) -> None:
        pass

    def __call__(self, progress: Progress) -> None:
        self.trials = progress.trials


class Lines:
    def __init__(self, on_first: Callable[[], None]) -> None:
        self.trials, self._shown, self._on_first = 0, -1, on_first
        self._finals: set[int] | None = None  # those shown; None before there are any

    def begin(self, name: str) -> None:
        self._shown, self._finals = -1, None
        say_aside(f"{name}:")

    def __call__(self, progress: Progress) -> None:
        from hpsearch.storage.trial_result import best_result
        from hpsearch.validation.metrics import shown

        self.trials, results = progress.trials, progress.results
        width = len(str(progress.trials))
        if self._shown < 0:
            self._on_first()
            done = progress.resumed
            note = f", {done} of them done before" if done else ""
            more = done < progress.trials
            all_done = f"{plural(done, 'trial is', 'trials are')} done, none is left"
            say_aside(f"running {plural(progress.trials, 'trial')}{note}" if more else all_done)
            self._shown = progress.resumed
        for done in range(self._shown + 1, len(results) + 1):
            last, best = results[done - 1], best_result(results[:done], progress.metric)
            lowest = "none yet" if best is None else f"{shown(best.value or 0, progress.metric)} (trial {best.number})"
            outcome = _outcome(last, progress.metric)
            say_aside(f"{done:>{width}}/{progress.trials}  trial {last.number} {outcome}; best {lowest}")
        self._shown = max(self._shown, len(results))
        self._show_finals(progress)

    def _show_finals(self, progress: Progress) -> None:
        if not progress.finalists:
            return
        if self._finals is None:
            self._finals = {final.number for final in progress.finals}
            if len(self._finals) < progress.finalists:
                say_aside(f"comparing the best {progress.finalists} again, on fresh splits")
        for final in progress.finals:
            if final.number not in self._finals:
                self._finals.add(final.number)
                outcome = _final_outcome(final, progress.metric)
                say_aside(f"{len(self._finals)}/{progress.finalists}  trial {final.number} {outcome}")


def _outcome(result: TrialResult, metric: Metric) -> str:
    from hpsearch.validation.metrics import shown

    if result.value is not None:
        return f"complete, {shown(result.value, metric)}"
    return f"failed: {result.reason}" if result.state == "FAIL" else str(result.reason)


def _final_outcome(final: TrialResult, metric: Metric) -> str:
    from hpsearch.validation.metrics import shown

    value = final.ensemble_value
    return f"failed: {final.reason}" if value is None else f"{shown(value, metric)} as an ensemble"


class Bar:
    def __init__(self, live: Live, definition: StudyDefinition) -> None:
        self.trials = 0
        self._live, self._definition, self._begun, self._name = live, definition, time.monotonic(), definition.name
        live.update(f"{definition.name}  {PREPARING}")

    def begin(self, name: str) -> None:
        self._name, self._begun = name, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        from hpsearch.validation.metrics import shown

        metric = progress.metric
        self.trials, done, best = progress.trials, len(progress.results), progress.best
        fresh = done - progress.resumed
        states = [result.state for result in progress.results]
        notes = [f"{states.count('PRUNED')} pruned", f"{states.count('FAIL')} failed"]
        notes.append(
            "best none yet" if best is None else f"best {shown(best.value or 0, metric)} (trial {best.number})"
        )
        if progress.finalists:
            notes.append(f"finals {len(progress.finals)}/{progress.finalists}")
        if fresh and done < progress.trials:
            left = (time.monotonic() - self._begun) / fresh * (progress.trials - done)
            minutes, seconds = divmod(round(left), 60)
            notes.append(f"{minutes}:{seconds:02} left")
        head = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=progress.trials, completed=min(done, progress.trials), width=24)
        head.add_row(self._name, bar, f"{done}/{progress.trials}", " · ".join(notes))
        running = Table.grid(padding=(0, 2))
        for number, (epoch, mean) in sorted(progress.running.items()):
            if epoch:
                running.add_row(
                    f"  trial {number}", f"epoch {epoch}/{self._definition.most_epochs}", shown(mean, metric)
                )
        self._live.update(Group(head, running) if running.row_count else head)
