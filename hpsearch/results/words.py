"""What the numbers of a study mean, in words: for the terminal, the dashboard, reports and notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.markup import counted, table, text
from hpsearch.results.best import Best
from hpsearch.validation.metrics import METRICS, readable

if TYPE_CHECKING:
    import pandas as pd


def scores(best: Best) -> list[tuple[str, str, str]]:
    """The numbers: name, value, what it is."""
    fixed, splits = best.corrected, len(best.result.folds)
    over = f"over {splits} splits" if splits > 1 else "on a single split"
    search = ("search score", readable(best.result.value or 0.0), f"{over}; {best.choice}")
    if fixed is None:
        middle = ("corrected score", "none", f"{best.uncorrected}")
    else:
        whose = "" if best.rule == "lowest" else ", of the best trial"
        interval = f"95 % interval {readable(fixed.low)} to {readable(fixed.high)}{whose}"
        middle = ("corrected score", readable(fixed.value), interval)
    return [search, middle, ("hold-out", *_hold_out(best))]


def _hold_out(best: Best) -> tuple[str, str]:
    if not best.has_holdout:
        return "none", "no rows were held out"
    if not best.scorings:
        return "not opened", "retrain scores it, once"
    return "opened", f"scored {'once' if best.scorings == 1 else f'{best.scorings} times'}, by retrain"


def belief(best: Best) -> str:
    """The one sentence on what to believe."""
    fixed = best.corrected
    if best.has_holdout and best.scorings == 1:
        return "Believe the hold-out's score that retrain printed: no choice was made with it."
    if best.has_holdout and best.scorings > 1 and fixed is None:
        return f"The hold-out was scored {best.scorings} times: it is no longer untouched."
    if fixed is not None:
        metric = best.definition.metric
        whose = "these" if best.rule == "lowest" else "the best trial's"
        verb = "lose" if best.definition.search.objective == "loss" else f"have a mean {metric.title} of"
        unit = f" {metric.unit}" if metric.unit else ""
        value, low, high = map(readable, (fixed.value, fixed.low, fixed.high))
        return (
            f"Believe the corrected score: on new rows {whose} networks {verb} about {value}{unit}, with 95 % "
            f"confidence between {low} and {high}."
        )
    if best.has_holdout and not best.scorings:
        return "Do not believe the search score, which is optimistic: retrain the best, which scores the hold-out once."
    return "Do not believe the search score, which is optimistic: hpsearch nested estimates it without the luck."


def beside(name: str, value: float | None) -> str:
    """The number that stands beside the loss, with what separates it from the next; nothing where there is none."""
    return "" if value is None else f"{METRICS[name].title} {value:.3f}, "


def settings_table(best: Best) -> str:
    """The configuration and where each value came from."""
    rows = [(name, _setting(value), origin) for name, (value, origin) in best.settings().items()]
    return table(["hyperparameter", "value", "where from"], rows, "The best configuration", hidden=True)


def _setting(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_setting, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def best_html(best: Best) -> str:
    """The best configuration for a notebook."""
    result = best.result
    head = (
        f"<p><b>Best configuration of {text(best.definition.name)}</b>: trial {result.number} of {best.trials}, "
        f"{beside(*best.beside)}{result.parameters:,} parameters, epoch {result.best_epoch}</p>"
    )
    lines = "".join(f"<li>{text(name)}: <b>{text(value)}</b> ({text(note)})</li>" for name, value, note in scores(best))
    return f"{head}<ul>{lines}</ul><p>{text(belief(best))}</p>{settings_table(best)}"


def study_html(name: str, trials: pd.DataFrame, best: Best | None) -> str:
    """A study for a notebook: how its trials ended, and the best."""
    head = f"<p><b>Study {text(name)}</b>, {text(counted(trials['state'].tolist()))}</p>"
    return head + (best_html(best) if best is not None else "<p>No trial is complete.</p>")
