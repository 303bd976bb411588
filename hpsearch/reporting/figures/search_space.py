"""Figures of the search space: which hyperparameters mattered, and what values were good."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hpsearch.definition.dimension import Dimension
from hpsearch.errors import HpsearchError
from hpsearch.numbers import digits, plural, rounded
from hpsearch.reporting.figures.search import foremost, in_headline, mean_of, objective, of_objective
from hpsearch.reporting.figures.study_figure import StudyFigure
from hpsearch.reporting.figures.style import (
    ALONE,
    BEST,
    COMPLETE,
    CORRECTED,
    PRUNED,
    STAR,
    WIDE,
    axis,
    faint,
    figure,
    joined,
    plain,
)
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.storage.quiet import quiet

_FEWEST = 10  # complete trials to tell which hyperparameters matter
_NONE = -0.12  # where an axis is crossed by trials that have no value on it
_LEVEL = 6  # axes whose names fit side by side
_LEVELS = 3  # that names stand on, at most
_FEW = 8  # whole numbers that each get a tick
_GOOD = 5  # of them are called good, or a tenth if that is more


class Importance(StudyFigure[pd.DataFrame]):
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
        values = {tuple(trial.values or ()) for trial in complete}
        if len(complete) < _FEWEST or len(values) == 1:
            raise HpsearchError(
                f"Importances need at least {_FEWEST} complete trials with different values",
                f"there are {len(values)}",
            )
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that few trials have a hyperparameter: the words say so
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=max(0.1, _GOOD / len(complete)))
            found = optuna.importance.get_param_importances(_apart(study, complete), evaluator=evaluator)
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


def _apart(study: Snapshot, trials: Sequence[optuna.trial.FrozenTrial]) -> optuna.Study:
    """The study with these trials' values and hyperparameters, as they were read: Optuna would read them again."""
    memory, stored = optuna.storages.InMemoryStorage(), study.stored
    number = memory.create_new_study(stored.storage.get_study_directions(stored.study_id), stored.name)
    for trial in trials:
        bare = copy.copy(trial)
        bare.user_attrs, bare.system_attrs, bare.intermediate_values = {}, {}, {}
        memory.create_new_trial(number, bare)
    return optuna.load_study(study_name=stored.name, storage=memory)


def _require_space(study: Snapshot) -> Mapping[str, Dimension]:
    dimensions = study.definition.space.dimensions
    if not dimensions:
        raise HpsearchError(got="Nothing was searched: the study has no [space]")
    return dimensions


@dataclass(frozen=True)
class SpaceFacts:
    """``trials``: number, value and the hyperparameters of complete trials; the searched ranges in their order."""

    trials: pd.DataFrame
    dimensions: Mapping[str, Dimension]

    def choices(self, name: str) -> list[str]:
        """Of a dimension of choices, as text; empty for a range."""
        return [str(choice) for choice in self.dimensions[name].choice or ()]


@dataclass(frozen=True)
class PanelFacts(SpaceFacts):
    """Of a figure with a panel a hyperparameter."""

    def parts(self, most: int) -> list[PanelFacts]:
        """The same in parts of at most so many hyperparameters."""
        names = list(self.dimensions)
        some = [names[first : first + most] for first in range(0, len(names), most)]
        return [replace(self, dimensions={name: self.dimensions[name] for name in part}) for part in some]


def _of_space(study: Snapshot) -> tuple[pd.DataFrame, Mapping[str, Dimension]]:
    """The complete trials, best first, and what was searched."""
    dimensions = _require_space(study)
    numbers = [result.number for result in study.complete]
    frame = study.trials.set_index("number").loc[numbers, ["value", *dimensions]].reset_index()
    return of_objective(study, in_headline(frame, ["value"], study.metric)), dimensions


def _best_of(facts: SpaceFacts) -> str:
    """What is chosen, and the first of the search, if that is another."""
    trials = facts.trials

    def has(place: int) -> str:
        one = trials.iloc[place]
        return ", ".join(f"{name} {rounded(one[name])}" for name in facts.dimensions if not pd.isna(one[name]))

    if len(trials) == 1:
        return f"The one complete trial has {has(0)}."
    numbers, among = trials["number"].tolist(), plural(len(trials), "complete trial")
    chosen = numbers.index(trials.attrs["chosen"])
    if chosen == 0:
        return f"Trial {numbers[0]}, chosen and the {foremost(trials)} of {among}, has {has(0)}."
    return (
        f"Trial {numbers[chosen]}, chosen by the finals, has {has(chosen)}. "
        f"Trial {numbers[0]}, the {foremost(trials)} of {among} in the search, has {has(0)}."
    )


class Slices(StudyFigure[PanelFacts]):
    title = "The objective against each hyperparameter"
    how = (
        "The same complete trials in every panel, each against another hyperparameter; the star is the chosen one. A "
        "clear slope or valley says where good values lie; a flat cloud, that the value hardly matters. If the best "
        "trials crowd at an edge, widen that range."
    )
    wide: ClassVar[bool] = True

    def facts(self, study: Snapshot) -> PanelFacts:
        return PanelFacts(*_of_space(study))

    def say(self, facts: PanelFacts) -> str:
        return _best_of(facts)

    def draw(self, facts: PanelFacts) -> go.Figure:
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
            shipped = some["number"] == facts.trials.attrs["chosen"]
            for is_shipped in (False, True):
                chosen = (shipped == is_shipped).tolist()
                drawn.add_scatter(
                    x=[value for value, keep in zip(x, chosen, strict=True) if keep],
                    y=some.loc[chosen, "value"],
                    mode="markers",
                    marker=STAR if is_shipped else {"color": COMPLETE, "size": 6, "opacity": 0.65},
                    customdata=[(trial, plain(value)) for trial, value in some.loc[chosen, ["number", name]].values],
                    hovertemplate="trial %{customdata[0]}: %{customdata[1]}<br>%{y:,.5~r}<extra></extra>",
                    showlegend=False,
                    row=row,
                    col=column,
                )
            drawn.update_xaxes(**across, row=row, col=column)
            title = {"text": mean_of(objective(facts.trials))} if column == 1 else None
            drawn.update_yaxes(**{**losses, "title": title}, row=row, col=column)
        return drawn.update_layout(template=ALONE, height=height)


class Parallel(StudyFigure[SpaceFacts]):
    title = "Configurations side by side"
    how = (
        "Each line is a complete trial and crosses every axis at its value; the last axis is what the search "
        "was for; the dashed line is the chosen one. Follow the orange lines, the best tenth: where they pass through "
        "the same part of an axis, the good configurations agree; where they spread, they do not care. A line "
        "that dips below an axis does not have that hyperparameter."
    )
    wide: ClassVar[bool] = True

    def facts(self, study: Snapshot) -> SpaceFacts:
        return SpaceFacts(*_of_space(study))

    def say(self, facts: SpaceFacts) -> str:
        return _best_of(facts)

    def draw(self, facts: SpaceFacts) -> go.Figure:
        trials, names = facts.trials, [*facts.dimensions, "value"]
        ends = (float(trials["value"].min()), float(trials["value"].max()))
        levels = min(_LEVELS, -(-len(names) // _LEVEL))
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
                write = rounded if dimension else _score
                values, ticks = trials[name], [(low, write(low)), (high, write(high))]
            places[name] = _height(values.astype("float64").to_numpy(), low, high, log)
            for at, text in ticks:
                y = float(_height(np.array([at]), low, high, log)[0])
                notes.append({"x": column, "y": y, "text": text, "xanchor": "left", "yanchor": "bottom", "xshift": 4})
            if pd.isna(values).any():
                notes.append({"x": column, "y": _NONE, "text": "none", "xanchor": "left", "yanchor": "top"})
            label = objective(trials).title if name == "value" else plain(name)
            # Names of many axes stand on several levels, or they would run into each other.
            level = 1.1 + 0.1 * (column % levels)
            notes.append({"x": column, "y": level, "text": f"<b>{label}</b>", "xanchor": "center", "yanchor": "bottom"})
        lines = np.stack([places[name] for name in names], axis=1)
        axes = [
            {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": {"color": PRUNED, "width": 1.5}}
            for at in range(len(names))
        ]
        off = {"showgrid": False, "showticklabels": False, "showline": False, "ticks": "", "fixedrange": True}
        drawn = figure(
            380,
            xaxis={**off, "range": [-0.5, len(names) - 0.5]},
            yaxis={**off, "range": [-0.2, 1.1 + 0.11 * levels]},
            shapes=axes,
            annotations=notes,
            legend={"y": -0.02, "yanchor": "top"},
            margin={"t": 10, "l": 30, "r": 30},
        )
        good = max(1, round(len(trials) / 10))
        shipped = trials["number"].tolist().index(trials.attrs["chosen"])
        for name, some, line in (
            ("other complete trials", slice(good, None), {"color": faint(COMPLETE, 0.35), "width": 1}),
            ("best tenth" if good > 1 else foremost(trials), slice(0, good), {"color": faint(BEST, 0.9), "width": 2}),
            ("chosen", slice(shipped, shipped + 1), {"color": CORRECTED, "width": 2.5, "dash": "dash"}),
        ):
            if len(lines[some]):
                chosen = trials[some]
                told = [
                    f"trial {trial}: {digits(value, 4)}"
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


def _score(value: float) -> str:
    return digits(value, 4)


def _height(values: Any, low: float, high: float, log: bool) -> Any:
    """Where values stand on an axis from 0 to 1; below it where there is none."""
    values, low, high = (np.log(part) for part in (values, low, high)) if log else (values, low, high)
    places = np.full(len(values), 0.5) if high == low else (values - low) / (high - low)
    return np.where(np.isnan(values), _NONE, places)
