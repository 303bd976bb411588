"""What a run shows while it goes on: a bar and the running trials on a terminal or in a notebook, a line a trial
elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hpsearch.numbers import plural

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from hpsearch.definition.study import StudyDefinition
    from hpsearch.search.coordinator import Progress

Show = Callable[["RenderableType"], None]

PREPARING = "reading and checking the rows, learning how to scale them"
READING, LEAKS, TIMING = "reading and checking the rows", "looking for leaks", "estimating how long it will take"
SOON = 3.0  # seconds within which few rows are ready; a million take a minute
LASTS = 2.0  # seconds after which a command without a bar says what it is doing
REFRESHES = 8  # a second
_BAR = 24  # characters wide


class ProgressDisplay(Protocol):
    """Takes a run's progress; ``trials`` is how many there shall be."""

    trials: int

    def begin(self, name: str) -> None:
        """A study of this name begins."""

    def __call__(self, progress: Progress) -> None: ...


@contextmanager
def shown_progress(definition: StudyDefinition, quiet: bool) -> Iterator[ProgressDisplay]:
    """A bar and the running trials on a terminal or in a notebook, a line a trial elsewhere (on stderr: stdout is for
    results)."""
    if quiet:
        yield Silence()
        return
    from rich.console import Console

    terminal = Console(stderr=True, highlight=False)
    if terminal.is_jupyter:
        with _in_notebook() as show:
            yield Bar(show, definition)
    elif not terminal.is_terminal:
        still_preparing = threading.Timer(SOON, _say, [PREPARING])
        still_preparing.daemon = True
        still_preparing.start()
        try:
            yield Lines(still_preparing.cancel)
        finally:
            still_preparing.cancel()
    else:
        from rich.live import Live

        with Live(console=terminal, refresh_per_second=REFRESHES, transient=False) as live:
            yield Bar(live.update, definition)


@contextmanager
def shown_steps(doing: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told how many steps are done, of how many, on a terminal or in a notebook; a line elsewhere."""
    if quiet:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.live import Live

    terminal = Console(stderr=True, highlight=False)
    begun = time.monotonic()

    def shown(show: Show) -> Callable[[int, int], None]:
        def on_step(done: int, total: int) -> None:
            minutes, seconds = divmod(round(time.monotonic() - begun), 60)
            show(_Line(doing, done, total, f"{minutes}:{seconds:02}"))

        on_step(0, 1)
        return on_step

    if terminal.is_jupyter:
        with _in_notebook() as show:
            yield shown(show)
    elif terminal.is_terminal:
        with Live(console=terminal, refresh_per_second=REFRESHES, transient=False) as live:
            yield shown(live.update)
    else:
        _say(doing)
        yield lambda done, total: None


@contextmanager
def shown_if_slow(quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Told what is being done; on a terminal, shows that and for how long once it lasts."""
    if quiet or not sys.stderr.isatty():
        yield lambda doing: None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    begun, done = time.monotonic(), [""]

    def line() -> RenderableType:
        minutes, seconds = divmod(round(time.monotonic() - begun), 60)
        return Text(f"{done[-1]}  {minutes}:{seconds:02}", no_wrap=True, overflow="ellipsis")

    terminal = Console(stderr=True, highlight=False)
    live = Live(console=terminal, refresh_per_second=REFRESHES, transient=True, get_renderable=line)
    lasts = threading.Timer(LASTS, live.start)
    lasts.daemon = True
    lasts.start()
    try:
        yield done.append
    finally:
        lasts.cancel()
        lasts.join()
        live.stop()


@contextmanager
def _in_notebook() -> Iterator[Show]:
    """Shows one thing after the other in the same place. (rich's own ``Live`` would need ipywidgets.)"""
    from IPython.display import display

    handle: Any = None
    last: RenderableType = ""
    shown_at = 0.0

    def show(renderable: RenderableType) -> None:
        nonlocal handle, last, shown_at
        last = renderable
        if handle is None:
            handle = display(renderable, display_id=True)
        elif time.monotonic() - shown_at > 1 / REFRESHES:
            handle.update(renderable)
            shown_at = time.monotonic()

    try:
        yield show
    finally:
        if handle is not None:
            handle.update(last)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Line:
    """A name, a bar, a count and notes; these have a line of their own where they do not fit."""

    name: str
    done: int
    total: int
    notes: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        bar = ProgressBar(total=self.total, completed=min(self.done, self.total), width=_BAR)
        count = f"{self.done}/{self.total}"
        fits = len(self.name) + _BAR + len(count) + len(self.notes) + 3 <= options.max_width
        line = Table.grid(padding=(0, 1))
        line.add_column(no_wrap=True, overflow="ellipsis")
        line.add_row(self.name, bar, count, *([self.notes] if fits else []))
        yield line
        if not fits:
            yield Text(f"  {self.notes}", no_wrap=True, overflow="ellipsis")


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
        _say(f"{name}:")

    def __call__(self, progress: Progress) -> None:
        from hpsearch.search.progress import outcome
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
            _say(f"running {plural(progress.trials, 'trial')}{note}" if more else all_done)
            self._shown = progress.resumed
        for done in range(self._shown + 1, len(results) + 1):
            last, best = results[done - 1], best_result(results[:done], progress.metric)
            lowest = "none yet" if best is None else f"{shown(best.value or 0, progress.metric)} (trial {best.number})"
            said = outcome(last, progress.metric)
            _say(f"{done:>{width}}/{progress.trials}  trial {last.number} {said}; best {lowest}")
        self._shown = max(self._shown, len(results))
        self._show_finals(progress)

    def _show_finals(self, progress: Progress) -> None:
        if not progress.finalists:
            return
        if self._finals is None:
            self._finals = {final.number for final in progress.finals}
            if len(self._finals) < progress.finalists:
                best = "best trial" if progress.finalists == 1 else f"best {progress.finalists}"
                _say(f"comparing the {best} again, on fresh splits")
        from hpsearch.search.progress import final_outcome

        for final in progress.finals:
            if final.number not in self._finals:
                self._finals.add(final.number)
                said = final_outcome(final, progress.metric)
                _say(f"{len(self._finals)}/{progress.finalists}  trial {final.number} {said}")


class Bar:
    def __init__(self, show: Show, definition: StudyDefinition) -> None:
        from rich.text import Text

        self.trials = 0
        self._show, self._definition, self._begun, self._name = show, definition, time.monotonic(), definition.name
        show(Text(f"{definition.name}  {PREPARING}"))

    def begin(self, name: str) -> None:
        self._name, self._begun = name, time.monotonic()

    def __call__(self, progress: Progress) -> None:
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
        head = _Line(self._name, done, progress.trials, " · ".join(notes))
        running = Table.grid(padding=(0, 2))
        for number, (epoch, mean) in sorted(progress.running.items()):
            if epoch:
                running.add_row(
                    f"  trial {number}", f"epoch {epoch}/{self._definition.most_epochs}", shown(mean, metric)
                )
        shown_together = Table.grid()
        shown_together.add_row(head)
        if running.row_count:
            shown_together.add_row(running)
        self._show(shown_together)
