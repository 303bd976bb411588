"""Figures of the search: what was tried, and what was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hpsearch.errors import HpsearchError
from hpsearch.markup import counted
from hpsearch.numbers import digits, plural
from hpsearch.reporting.figures.study_figure import StudyFigure
from hpsearch.reporting.figures.style import (
    BEST,
    COMPLETE,
    CORRECTED,
    FAILED,
    PRUNED,
    STAR,
    axis,
    faint,
    figure,
    joined,
)
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import METRICS, objective_metric
from hpsearch.validation.selection import Corrected


def objective(facts: pd.DataFrame) -> Metric:
    """What a table of facts shows of the objective: of a mean of squares its root."""
    return objective_metric(facts.attrs["objective"], facts.attrs["loss"]).headline


def in_headline(frame: pd.DataFrame, columns: Sequence[str], metric: Metric) -> pd.DataFrame:
    """A table with columns of values of a metric as headlines show them, in the unit of what is predicted."""
    shown = {name: [metric.in_headline(value) for value in frame[name].tolist()] for name in columns}
    return frame.assign(**shown) if metric.root is not None else frame


def loss_metric(study: Snapshot) -> Metric:
    """What training and validation losses are."""
    return objective_metric("loss", study.definition.loss)


def of_objective(study: Snapshot, facts: pd.DataFrame) -> pd.DataFrame:
    """Facts that know their study's objective, its loss, and the trial that is shipped."""
    facts.attrs |= {"objective": study.definition.search.objective, "loss": study.definition.loss}
    facts.attrs |= {"chosen": study.chosen}
    return facts


def foremost(facts: pd.DataFrame) -> str:
    """What the trial with the best value of the search is called, which the finals need not have chosen."""
    return "lowest" if objective(facts).direction == "minimize" else "highest"


def called(facts: pd.DataFrame, number: int) -> str:
    """A trial, and what it is if it is chosen, or the first of the search."""
    return f"Trial {number}, {'chosen' if number == facts.attrs['chosen'] else f'the {foremost(facts)} of the search'},"


def loss_name(facts: pd.DataFrame) -> str:
    """What headlines call a loss: RMSE where it is a mean of squares."""
    metric = objective_metric("loss", facts.attrs["loss"])
    return "loss" if metric.root is None else metric.root.title


def loss_label(what: str, facts: pd.DataFrame) -> str:
    """What heads an axis of losses of this kind; ``what`` has the place of their name in it."""
    metric = objective_metric("loss", facts.attrs["loss"]).headline
    return _with_unit(what.format(loss_name(facts)), metric)


def label(metric: Metric) -> str:
    """What heads an axis of the objective's means, which way is better included."""
    which = "lower" if metric.direction == "minimize" else "higher"
    return _with_unit(mean_of(metric), metric, f"{which} is better")


def mean_of(metric: Metric) -> str:
    """What a mean over splits is called; that of a root is the root of the mean."""
    return metric.title if metric is METRICS["rmse"] else f"mean {metric.title}"


def _with_unit(what: str, metric: Metric, more: str = "") -> str:
    """The unit, and what else there is to say, has a line of its own: an axis is no longer than its figure is high."""
    notes = ", ".join(filter(None, (metric.unit, more)))
    return f"{what}<br>({notes})" if notes else what


@dataclass(frozen=True)
class HistoryFacts:
    """``trials``: number, state, value (of pruned ones the last mean), best_so_far; the corrected score, and whose."""

    trials: pd.DataFrame
    corrected: Corrected | None
    about: str | None


class History(StudyFigure[HistoryFacts]):
    title = "Every trial, and the best so far"
    how = (
        "Each dot is a configuration, in the order it was tried; the star is the chosen one. The orange line is the "
        "best value found up to then: where it stays flat for long, more trials would bring little. Pruned trials are "
        "drawn where they were stopped. The best of many noisy dots is lucky: the green line is the corrected score, "
        "without the luck and of what is shipped, with its 95 % interval."
    )

    def facts(self, study: Snapshot) -> HistoryFacts:
        best = study.complete[0]
        rows = [
            (result.number, result.state, result.value if result.value is not None else _last(result.intermediate))
            for result in study.results
        ]
        frame = pd.DataFrame(rows, columns=["number", "state", "value"]).astype({"value": "float64"})
        values = study.metric.sign * frame["value"].where(frame["state"] == "COMPLETE")
        frame["best_so_far"] = study.metric.sign * values.cummin().ffill()
        assert best.value == frame["best_so_far"].iloc[-1]
        fixed, metric = study.best.corrected, study.metric
        frame = in_headline(frame, ["value", "best_so_far"], metric)
        if fixed is not None:
            value, low, high = (metric.in_headline(one) for one in (fixed.value, fixed.low, fixed.high))
            fixed = replace(fixed, value=value, low=low, high=high)
        return HistoryFacts(of_objective(study, frame), fixed, study.best.about)

    def say(self, facts: HistoryFacts) -> str:
        trials = facts.trials
        metric, complete = objective(trials), trials[trials["state"] == "COMPLETE"]
        best = complete.iloc[(metric.sign * complete["value"]).argmin()]
        fixed = facts.corrected
        chosen = trials.attrs["chosen"]
        other = "" if chosen == best["number"] else f"; the finals chose trial {chosen}"
        return (
            f"{counted(trials['state'].tolist())}. The {foremost(trials)} {mean_of(metric)} is "
            f"{digits(best['value'], 4)}, of trial {best['number']}{other}"
            + (f". The corrected score, of {facts.about}, is {digits(fixed.value, 4)}." if fixed else ".")
        )

    def draw(self, facts: HistoryFacts) -> go.Figure:
        trials, fixed = facts.trials, facts.corrected
        last = int(trials["number"].max())
        complete, pruned = (trials[trials["state"] == state] for state in ("COMPLETE", "PRUNED"))
        failed = trials[trials["state"] == "FAIL"]
        known = trials.loc[trials["state"] != "FAIL", "value"].tolist() + ([fixed.low, fixed.high] if fixed else [])
        across = {"title": {"text": "trial"}, "range": [-1, last + 1]} | ({"dtick": 1} if last < 8 else {})
        drawn = figure(400, xaxis=across, yaxis=axis(label(objective(trials)), known))
        if fixed is not None:
            ends, hover = [-1, last + 1], {"hoverinfo": "skip"}
            drawn.add_scatter(x=ends, y=[fixed.low] * 2, mode="lines", line_width=0, showlegend=False, **hover)
            band = {"fill": "tonexty", "fillcolor": faint(CORRECTED, 0.16), "name": "its 95 % interval"}
            drawn.add_scatter(x=ends, y=[fixed.high] * 2, mode="lines", line_width=0, **band, **hover)
            line = {"color": CORRECTED, "width": 1.5, "dash": "dash"}
            name = f"corrected score {digits(fixed.value, 4)}"
            drawn.add_scatter(x=ends, y=[fixed.value] * 2, mode="lines", line=line, name=name, **hover)
        told = "trial %{x}<br>%{y:,.5~r}<extra></extra>"
        dots: dict[str, Any] = {"mode": "markers", "hovertemplate": told}
        drawn.add_scatter(
            **dots,
            x=pruned["number"],
            y=pruned["value"],
            name="pruned",
            marker={"color": PRUNED, "size": 7, "symbol": "circle-open", "line_width": 1.5},
        )
        drawn.add_scatter(
            **dots,
            x=complete["number"],
            y=complete["value"],
            name="complete",
            marker={"color": COMPLETE, "size": 7, "opacity": 0.85},
        )
        if len(failed):
            sign = objective(trials).sign
            top = sign * max(sign * value for value in known if np.isfinite(value))
            drawn.add_scatter(
                x=failed["number"],
                y=[top] * len(failed),
                mode="markers",
                name="failed (no value)",
                marker={"color": FAILED, "size": 8, "symbol": "x"},
                hovertemplate="trial %{x} failed<extra></extra>",
            )
        steps = trials.dropna(subset=["best_so_far"])
        drawn.add_scatter(
            x=steps["number"],
            y=steps["best_so_far"],
            mode="lines",
            name="best so far",
            line={"color": BEST, "width": 2.5, "shape": "hv"},
            hovertemplate="best up to trial %{x}<br>%{y:,.5~r}<extra></extra>",
        )
        shipped = trials[trials["number"] == trials.attrs["chosen"]]
        drawn.add_scatter(**dots, x=shipped["number"], y=shipped["value"], name="chosen", marker=STAR)
        return drawn


def _last(values: list[float]) -> float:
    return values[-1] if values else float("nan")


class PruningFigure(StudyFigure[pd.DataFrame]):
    """Facts: trial, state, epoch, value, chosen (whether it is that trial's); and how many trials patience ended."""

    title = "Pruning as it happened"
    how = (
        "Every line is a trial's mean over the splits as it trained. Grey lines end, at a ring, where the trial was "
        "pruned: at that epoch it was worse than the pruner tolerates beside earlier trials. If grey lines end where "
        "they still improve steeply and close to the others, pruning may be too eager."
    )

    def facts(self, study: Snapshot) -> pd.DataFrame:
        chosen = study.chosen
        rows = [
            (result.number, result.state, epoch, mean, result.number == chosen)
            for result in study.results
            for epoch, mean in zip(result.epochs, result.intermediate, strict=True)
            if np.isfinite(mean)
        ]
        if not rows:
            raise HpsearchError(got="No trial had a finite value at any checkpoint")
        facts = pd.DataFrame(rows, columns=["trial", "state", "epoch", "value", "chosen"])
        params = [trial.params for trial in study.stored.trials()]
        facts.attrs["by_patience"] = study.definition.search.patience is not None and sum(
            result.state == "COMPLETE" and result.epochs[-1] < study.definition.config(params[result.number]).epochs
            for result in study.results
        )
        return of_objective(study, in_headline(facts, ["value"], study.metric))

    def say(self, facts: pd.DataFrame) -> str:
        lasts = facts.groupby("trial").last()
        pruned = lasts[lasts["state"] == "PRUNED"]["epoch"]
        early = facts.attrs["by_patience"]
        of_patience = f" Patience ended {early} of the complete ones." if early else ""
        if pruned.empty:
            return f"No trial was pruned; the longest ran for {plural(facts['epoch'].max(), 'epoch')}.{of_patience}"
        return (
            f"{len(pruned)} of {plural(len(lasts), 'trial')} {'was' if len(pruned) == 1 else 'were'} pruned, half of "
            f"them by epoch {int(pruned.median())} of at most {facts['epoch'].max()}.{of_patience}"
        )

    def draw(self, facts: pd.DataFrame) -> go.Figure:
        last = int(facts["epoch"].max())
        across = {"title": {"text": "epoch"}, "range": [0, 1.02 * last]}
        drawn = figure(400, xaxis=across, yaxis=axis(label(objective(facts)), facts["value"]))
        looks: dict[str, tuple[str, dict[str, Any]]] = {
            "PRUNED": ("pruned", {"color": faint(PRUNED, 0.6), "width": 1.2}),
            "FAIL": ("failed", {"color": faint(FAILED, 0.7), "width": 1}),
            "COMPLETE": ("complete", {"color": faint(COMPLETE, 0.4), "width": 1.2}),
        }
        for state, (name, line) in looks.items():
            some = facts[(facts["state"] == state) & ~facts["chosen"]]
            if len(some):
                _curves(drawn, some, name, line)
        ends = facts[facts["state"] == "PRUNED"].groupby("trial").last().reset_index()
        if len(ends):
            drawn.add_scatter(
                x=ends["epoch"],
                y=ends["value"],
                mode="markers",
                showlegend=False,
                marker={"color": PRUNED, "size": 6, "symbol": "circle-open"},
                customdata=ends["trial"],
                hovertemplate="trial %{customdata} pruned at epoch %{x}<br>%{y:,.5~r}<extra></extra>",
            )
        if facts["chosen"].any():
            _curves(drawn, facts[facts["chosen"]], "chosen", {"color": BEST, "width": 2.5})
        return drawn


def _curves(drawn: go.Figure, some: pd.DataFrame, name: str, line: dict[str, Any]) -> None:
    """All of a kind as one line with gaps: hundreds of lines of their own would be slow."""
    each = [group for _, group in some.groupby("trial")]
    drawn.add_scatter(
        x=joined(group["epoch"].tolist() for group in each),
        y=joined(group["value"].tolist() for group in each),
        customdata=joined(group["trial"].tolist() for group in each),
        mode="lines",
        name=name,
        line=line,
        hovertemplate="trial %{customdata}, epoch %{x}<br>%{y:,.5~r}<extra></extra>",
    )
