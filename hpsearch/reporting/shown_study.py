"""A stored study as a notebook or a prompt shows it."""

from __future__ import annotations

from hpsearch.errors import HpsearchError
from hpsearch.markup import chart, counted, text
from hpsearch.results.best import find_best
from hpsearch.storage.database import shown_url
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult, best_result
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import shown


def in_a_line(name: str, url: str) -> str:
    """As ``<Study 'wine' in sqlite:///hpsearch.db, 60 trials: …; best search score 0.0512 (trial 51)>``."""
    where = f"Study {name!r} in {shown_url(url)}"
    try:
        with StoredStudy.open(url, name) as live:
            stored = live.at_one_moment()
            states, results = _read(stored)
            best, metric = best_result(results, stored.metric), stored.metric
    except HpsearchError as error:  # it was deleted, or its storage is gone
        return f"<{where}: {error}>"
    found = "" if best is None else f"; best search score {shown(best.value or 0, metric)} (trial {best.number})"
    return f"<{where}, {counted(states)}{found}>"


def as_html(name: str, url: str) -> str:
    """The trials, the history of the search, and the best configuration."""
    try:
        with StoredStudy.open(url, name) as live:
            stored = live.at_one_moment()
            states, results = _read(stored)
            complete = any(result.value is not None for result in results)
            best = find_best(stored)._repr_html_() if complete else "<p>No trial is complete.</p>"
            head = f"<p><b>Study {text(name)}</b>, {text(counted(states))}</p>"
            return f"{head}{_history(results, stored.metric)}{best}"
    except HpsearchError:
        return f"<p>{text(in_a_line(name, url))}</p>"


def _read(stored: StoredStudy) -> tuple[list[str], list[TrialResult]]:
    """The states of all trials, and what became of those that ended."""
    trials = stored.trials()
    ended = [stored_result(trial) for trial in trials if trial.state.is_finished()]
    return [trial.state.name for trial in trials], ended


def _history(results: list[TrialResult], metric: Metric) -> str:
    """The objective of each complete trial, and the best so far."""
    complete = [(result.number, result) for result in results if result.value is not None]
    best: list[tuple[float, float]] = []
    for number, result in complete:
        value = metric.in_headline(float(result.value or 0))
        if best:
            best.append((number, best[-1][1]))  # it is a step
        if not best or metric.sign * (value - best[-1][1]) < 0:
            best.append((number, value))
    dots = [(number, metric.in_headline(float(result.value or 0))) for number, result in complete]
    return chart(f"History of the search: {metric.title_of_mean}", {"best so far": best}, "trial", dots=dots)
