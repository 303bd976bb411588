"""Figures of the search: what was tried, what was stopped, and which hyperparameters mattered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hpsearch.errors import HpsearchError
from hpsearch.results.figures.kind import Kind
from hpsearch.results.figures.style import (
    ALONE,
    BEST,
    COMPLETE,
    CORRECTED,
    FAILED,
    PRUNED,
    WIDE,
    axis,
    faint,
    figure,
    joined,
    plain,
)
from hpsearch.results.markup import counted, number
from hpsearch.results.snapshot import Snapshot
from hpsearch.study.quiet import quiet
from hpsearch.study.space import Dimension
from hpsearch.validation.selection import Corrected

LOSS = "mean validation loss (nats)"
_FEWEST = 10  # complete trials to tell which hyperparameters matter
_NONE = -0.12  # where an axis is crossed by trials that have no value on it
_LEVEL = 6  # axes whose names fit side by side
_FEW = 8  # whole numbers that each get a tick
_GOOD = 5  # of them are called good, or a tenth if that is more


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
        drawn = figure(400, xaxis={"title": {"text": "trial"}, "range": [-1, last + 1]}, yaxis=axis(LOSS, known))
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


class Importance(Kind[pd.DataFrame]):
    """Facts: hyperparameter, importance (they sum to 1), the most important first."""

    title = "Which hyperparameters mattered"
    how = (
        "How much each hyperparameter's value tells the best trials from the rest, as a share of all (PED-ANOVA). A "
        "short bar says that its value hardly mattered within the searched range; not that it would not beyond. With "
        "few trials the order is rough. One that not every trial has is judged among the trials that have it."
    )

    def facts(self, study: Snapshot) -> pd.DataFrame:
        _require_space(study)
        complete = [trial for trial in study.stored.trials() if trial.state is optuna.trial.TrialState.COMPLETE]
        if len(complete) < _FEWEST or len({trial.value for trial in complete}) == 1:
            raise HpsearchError(
                f"Importances need at least {_FEWEST} complete trials with different values, but there are "
                f"{len({trial.value for trial in complete})}."
            )
        with quiet():
            study_ = optuna.load_study(study_name=study.stored.name, storage=study.stored.storage)
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=max(0.1, _GOOD / len(complete)))
            found = optuna.importance.get_param_importances(study_, evaluator=evaluator)
        rows = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        return pd.DataFrame(rows, columns=["hyperparameter", "importance"])

    def say(self, facts: pd.DataFrame) -> str:
        parts = [f"{row.hyperparameter} {row.importance:.0%}" for row in facts.head(3).itertuples()]
        return f"The most important: {', '.join(parts)}."

    def draw(self, facts: pd.DataFrame) -> go.Figure:
        drawn = figure(
            90 + 34 * len(facts),
            xaxis={
                "title": {"text": "share of importance"},
                "tickformat": ".0%",
                "range": [0, 1.18 * facts["importance"].max()],
            },
            yaxis={"autorange": "reversed", "showgrid": False, "ticks": ""},
            margin={"t": 10},
        )
        drawn.add_bar(
            x=facts["importance"],
            y=[plain(name) for name in facts["hyperparameter"]],
            orientation="h",
            marker_color=COMPLETE,
            text=[f"{share:.0%}" for share in facts["importance"]],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
        return drawn


def _require_space(study: Snapshot) -> Mapping[str, Dimension]:
    dimensions = study.definition.space.dimensions
    if not dimensions:
        raise HpsearchError("Nothing was searched: the study has no [space].")
    return dimensions


@dataclass(frozen=True)
class SpaceFacts:
    """``trials``: number, value and the hyperparameters of complete trials; the searched ranges in their order."""

    trials: pd.DataFrame
    dimensions: Mapping[str, Dimension]

    def choices(self, name: str) -> list[str]:
        """Of a dimension of choices, as text; empty for a range."""
        return [str(choice) for choice in self.dimensions[name].choice or ()]


class _OfSpace(Kind[SpaceFacts]):
    def facts(self, study: Snapshot) -> SpaceFacts:
        dimensions = _require_space(study)
        numbers = [result.number for result in study.complete]
        frame = study.trials.set_index("number").loc[numbers, ["value", *dimensions]].reset_index()
        return SpaceFacts(frame, dimensions)

    def say(self, facts: SpaceFacts) -> str:
        best = facts.trials.iloc[0]
        values = [f"{name} {_shown(best[name])}" for name in facts.dimensions if not pd.isna(best[name])]
        return f"The best of {len(facts.trials)} complete trials has {', '.join(values)}."


def _shown(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


class Slices(_OfSpace):
    title = "The loss against each hyperparameter"
    how = (
        "The same complete trials in every panel, each against another hyperparameter; the star is the best one. A "
        "clear valley says where good values lie; a flat cloud, that the value hardly matters. If the best trials "
        "crowd at an edge, widen that range."
    )
    wide: ClassVar[bool] = True

    def draw(self, facts: SpaceFacts) -> go.Figure:
        names = list(facts.dimensions)
        columns = min(3, len(names))
        rows = -(-len(names) // columns)
        height = 60 + 230 * rows
        drawn = make_subplots(
            rows=rows,
            cols=columns,
            shared_yaxes=True,
            horizontal_spacing=0.04,
            vertical_spacing=0.3 * 230 / height if rows > 1 else 0,
        )
        losses = axis("", facts.trials["value"])
        for place, name in enumerate(names):
            row, column = place // columns + 1, place % columns + 1
            some, choices = facts.trials.dropna(subset=[name]), facts.choices(name)
            if choices:
                x: list[float] = [choices.index(str(value)) for value in some[name]]
                across = {"tickvals": list(range(len(choices))), "ticktext": [plain(choice, 14) for choice in choices]}
                across |= {"range": [-0.5, len(choices) - 0.5], "title": {"text": plain(name)}}
            else:
                dimension = facts.dimensions[name]
                x = some[name].astype("float64").tolist()
                across = axis(plain(name), dimension.extremes, dimension.log)
                if dimension.int_ and dimension.int_[1] - dimension.int_[0] < _FEW:
                    across |= {"type": "linear", "range": [dimension.int_[0] - 0.5, dimension.int_[1] + 0.5]}
                    across |= {
                        "tickvals": (few := list(range(dimension.int_[0], dimension.int_[1] + 1))),
                        "ticktext": few,
                    }
            best = some["number"] == facts.trials["number"].iloc[0]
            for is_best in (False, True):
                chosen = (best == is_best).tolist()
                drawn.add_scatter(
                    x=[value for value, keep in zip(x, chosen, strict=True) if keep],
                    y=some.loc[chosen, "value"],
                    mode="markers",
                    marker={"color": BEST, "size": 12, "symbol": "star"}
                    if is_best
                    else {"color": COMPLETE, "size": 6, "opacity": 0.65},
                    customdata=[(trial, plain(value)) for trial, value in some.loc[chosen, ["number", name]].values],
                    hovertemplate="trial %{customdata[0]}: %{customdata[1]}<br>%{y:.4f}<extra></extra>",
                    showlegend=False,
                    row=row,
                    col=column,
                )
            drawn.update_xaxes(**across, row=row, col=column)
            title = {"text": "mean validation loss"} if column == 1 else None
            drawn.update_yaxes(**{**losses, "title": title}, row=row, col=column)
        return drawn.update_layout(template=ALONE, height=height)


class Parallel(_OfSpace):
    title = "Configurations side by side"
    how = (
        "Each line is a complete trial and crosses every axis at its value; the last axis is the loss: lower is "
        "better. Follow the orange lines, the best tenth: where they pass through the same part of an axis, the good "
        "configurations agree; where they spread, they do not care. A line that dips below an axis does not have that "
        "hyperparameter."
    )
    wide: ClassVar[bool] = True

    def draw(self, facts: SpaceFacts) -> go.Figure:
        trials, names = facts.trials, [*facts.dimensions, "value"]
        ends = (float(trials["value"].min()), float(trials["value"].max()))
        places, notes = {}, []
        for column, name in enumerate(names):
            choices = [] if name == "value" else facts.choices(name)
            if choices:
                values = trials[name].map(
                    lambda value, known=choices: None if pd.isna(value) else known.index(str(value))
                )
                low, high, log = 0.0, len(choices) - 1.0, False
                ticks = [(float(place), plain(choice, 12)) for place, choice in enumerate(choices)]
            else:
                dimension = facts.dimensions.get(name)
                low, high = map(float, dimension.extremes) if dimension else ends
                log = dimension.log if dimension else low > 0 and high / low >= WIDE
                values, ticks = trials[name], [(low, number(low)), (high, number(high))]
            places[name] = _height(values.astype("float64").to_numpy(), low, high, log)
            for at, text in ticks:
                y = float(_height(np.array([at]), low, high, log)[0])
                notes.append({"x": column, "y": y, "text": text, "xanchor": "left", "yanchor": "bottom", "xshift": 4})
            if pd.isna(values).any():
                notes.append({"x": column, "y": _NONE, "text": "none", "xanchor": "left", "yanchor": "top"})
            label = "loss" if name == "value" else plain(name)
            # Names of many axes stand on two levels, or they would run into each other.
            level = 1.1 + (0.1 if len(names) > _LEVEL and column % 2 else 0)
            notes.append({"x": column, "y": level, "text": f"<b>{label}</b>", "xanchor": "center", "yanchor": "bottom"})
        lines = np.stack([places[name] for name in names], axis=1)
        axes = [
            {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": {"color": PRUNED, "width": 1.5}}
            for at in range(len(names))
        ]
        off = {"showgrid": False, "showticklabels": False, "showline": False, "ticks": ""}
        drawn = figure(
            380,
            xaxis={**off, "range": [-0.5, len(names) - 0.5]},
            yaxis={**off, "range": [-0.2, 1.32 if len(names) > _LEVEL else 1.2]},
            shapes=axes,
            annotations=notes,
            legend={"y": -0.02, "yanchor": "top"},
            margin={"t": 10},
        )
        good = max(1, round(len(trials) / 10))
        for name, some, line in (
            ("other complete trials", slice(good, None), {"color": faint(COMPLETE, 0.35), "width": 1}),
            ("best tenth" if good > 1 else "best", slice(0, good), {"color": faint(BEST, 0.9), "width": 2}),
        ):
            if len(lines[some]):
                chosen = trials[some]
                told = [
                    f"trial {trial}: {number(value)}"
                    for trial, value in zip(chosen["number"].tolist(), chosen["value"].tolist(), strict=True)
                ]
                drawn.add_scatter(
                    x=joined([list(range(len(names)))] * len(lines[some])),
                    y=joined(lines[some].tolist()),
                    text=joined([one] * len(names) for one in told),
                    mode="lines",
                    name=name,
                    line=line,
                    hovertemplate="%{text}<extra></extra>",
                )
        return drawn


def _height(values: Any, low: float, high: float, log: bool) -> Any:
    """Where values stand on an axis from 0 to 1; below it where there is none."""
    values, low, high = (np.log(part) for part in (values, low, high)) if log else (values, low, high)
    places = np.full(len(values), 0.5) if high == low else (values - low) / (high - low)
    return np.where(np.isnan(values), _NONE, places)
