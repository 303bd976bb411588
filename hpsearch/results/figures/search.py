"""Figures of the search: what was tried, and what was stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hpsearch.errors import HpsearchError
from hpsearch.results.figures.kind import Kind
from hpsearch.results.figures.style import (
    BEST,
    COMPLETE,
    CORRECTED,
    FAILED,
    PRUNED,
    axis,
    faint,
    figure,
    joined,
)
from hpsearch.results.markup import counted, number
from hpsearch.results.snapshot import Snapshot
from hpsearch.validation.selection import Corrected

LOSS = "mean validation loss (nats)"


@dataclass(frozen=True)
class HistoryFacts:
    """``trials``: number, state, value (of pruned ones the last mean loss), best_so_far; the corrected score."""

    trials: pd.DataFrame
    corrected: Corrected | None


class History(Kind[HistoryFacts]):
    title = "Every trial, and the best so far"
    how = (
        "Each dot is a configuration, in the order it was tried; lower is better. The orange line is the lowest loss "
        "found up to then: where it stays flat for long, more trials would bring little. Pruned trials are drawn where "
        "they were stopped. The lowest of many noisy dots is lucky: the green line is what is left of it without the "
        "luck, with its 95 % interval."
    )

    def facts(self, study: Snapshot) -> HistoryFacts:
        best = study.complete[0]
        rows = [
            (result.number, result.state, result.value if result.value is not None else _last(result.intermediate))
            for result in study.results
        ]
        frame = pd.DataFrame(rows, columns=["number", "state", "value"]).astype({"value": "float64"})
        frame["best_so_far"] = frame["value"].where(frame["state"] == "COMPLETE").cummin().ffill()
        assert best.value == frame["best_so_far"].iloc[-1]
        return HistoryFacts(frame, study.best.corrected)

    def say(self, facts: HistoryFacts) -> str:
        trials = facts.trials
        complete = trials[trials["state"] == "COMPLETE"]
        best = complete.sort_values(["value", "number"]).iloc[0]
        fixed = facts.corrected
        return (
            f"{counted(trials['state'].tolist())}. The lowest mean validation loss is {number(best['value'])}, of "
            f"trial {best['number']}" + (f"; corrected for the choice it is {number(fixed.value)}." if fixed else ".")
        )

    def draw(self, facts: HistoryFacts) -> go.Figure:
        trials, fixed = facts.trials, facts.corrected
        last = int(trials["number"].max())
        complete, pruned = (trials[trials["state"] == state] for state in ("COMPLETE", "PRUNED"))
        failed = trials[trials["state"] == "FAIL"]
        known = trials.loc[trials["state"] != "FAIL", "value"].tolist() + ([fixed.low, fixed.high] if fixed else [])
        across = {"title": {"text": "trial"}, "range": [-1, last + 1]} | ({"dtick": 1} if last < 8 else {})
        drawn = figure(400, xaxis=across, yaxis=axis(LOSS, known))
        if fixed is not None:
            ends, hover = [-1, last + 1], {"hoverinfo": "skip"}
            drawn.add_scatter(x=ends, y=[fixed.low] * 2, mode="lines", line_width=0, showlegend=False, **hover)
            band = {"fill": "tonexty", "fillcolor": faint(CORRECTED, 0.16), "name": "its 95 % interval"}
            drawn.add_scatter(x=ends, y=[fixed.high] * 2, mode="lines", line_width=0, **band, **hover)
            line = {"color": CORRECTED, "width": 1.5, "dash": "dash"}
            name = f"corrected score {number(fixed.value)}"
            drawn.add_scatter(x=ends, y=[fixed.value] * 2, mode="lines", line=line, name=name, **hover)
        told = "trial %{x}<br>%{y:.4f}<extra></extra>"
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
            top = max(value for value in known if np.isfinite(value))
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
            hovertemplate="best up to trial %{x}<br>%{y:.4f}<extra></extra>",
        )
        return drawn


def _last(values: list[float]) -> float:
    return values[-1] if values else float("nan")


class Pruning(Kind[pd.DataFrame]):
    """Facts: trial, state, epoch, value, best (whether it is the best trial's)."""

    title = "Pruning as it happened"
    how = (
        "Every line is a trial's mean validation loss as it trained. Grey lines end, at a ring, where the trial was "
        "pruned: at that epoch it was worse than the pruner tolerates beside earlier trials. If grey lines end where "
        "they still fall steeply and close to the others, pruning may be too eager."
    )

    def facts(self, study: Snapshot) -> pd.DataFrame:
        values = [(result.value, result.number) for result in study.results if result.value is not None]
        best = min(values, default=(None, None))[1]
        rows = [
            (result.number, result.state, epoch, mean, result.number == best)
            for result in study.results
            for epoch, mean in zip(result.epochs, result.intermediate, strict=True)
            if np.isfinite(mean)
        ]
        if not rows:
            raise HpsearchError("No trial had a finite loss at any checkpoint.")
        return pd.DataFrame(rows, columns=["trial", "state", "epoch", "value", "best"])

    def say(self, facts: pd.DataFrame) -> str:
        lasts = facts.groupby("trial").last()
        pruned = lasts[lasts["state"] == "PRUNED"]["epoch"]
        if pruned.empty:
            return f"No trial was pruned; the longest ran for {facts['epoch'].max()} epochs."
        return (
            f"{len(pruned)} of {len(lasts)} trials were pruned, half of them by epoch {int(pruned.median())} of at "
            f"most {facts['epoch'].max()}."
        )

    def draw(self, facts: pd.DataFrame) -> go.Figure:
        last = int(facts["epoch"].max())
        across = {"title": {"text": "epoch"}, "range": [0, 1.02 * last]}
        drawn = figure(400, xaxis=across, yaxis=axis(LOSS, facts["value"]))
        looks: dict[str, tuple[str, dict[str, Any]]] = {
            "PRUNED": ("pruned", {"color": faint(PRUNED, 0.6), "width": 1.2}),
            "FAIL": ("failed", {"color": faint(FAILED, 0.7), "width": 1}),
            "COMPLETE": ("complete", {"color": faint(COMPLETE, 0.4), "width": 1.2}),
        }
        for state, (name, line) in looks.items():
            some = facts[(facts["state"] == state) & ~facts["best"]]
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
                hovertemplate="trial %{customdata} pruned at epoch %{x}<br>%{y:.4f}<extra></extra>",
            )
        if facts["best"].any():
            _curves(drawn, facts[facts["best"]], "best", {"color": BEST, "width": 2.5})
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
        hovertemplate="trial %{customdata}, epoch %{x}<br>%{y:.4f}<extra></extra>",
    )
