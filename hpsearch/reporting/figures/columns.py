"""Figures of the table's columns: which of them the networks need, and what they make of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, ClassVar

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hpsearch.arrays import Floats
from hpsearch.numbers import digits, rounded
from hpsearch.reporting.figures.study_figure import StudyFigure
from hpsearch.reporting.figures.style import ALONE, CLASSES, COMPLETE, PRUNED, SHAPES, between, faint, figure, plain
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.results.inspection import STRONGEST, Importance
from hpsearch.validation.inspection import Effect

_SHOWN = 20  # columns with a bar
_SPREAD = 3  # classes whose spreads do not hide each other
_NAME = 24  # characters of a column's name beside an axis
_TITLE, _MOST = 22, 44  # characters of a line of the title beside a panel, and of all of them


class Columns(StudyFigure[Importance]):
    """Facts: the columns with their importances, the most important first, and what the numbers are."""

    title = "Which columns matter"
    how = (
        "How much worse the objective becomes where the values of one column are dealt to the rows anew, so that it "
        "says nothing any more (permutation importance); the whiskers are intervals at 95 %. Grey bars may be chance. "
        "Columns that say the same stand in for each other: each alone may look unimportant. It is about what these "
        "networks use, not about causes. `hpsearch importance` prints all columns."
    )

    def facts(self, study: Snapshot) -> Importance:
        return study.importance

    def say(self, facts: Importance) -> str:
        columns = facts.columns
        top = [
            f"{one.column} {_number(one.value)}" + ("" if one.low is None else f" ({_between(one.low, one.high)})")
            for one in columns[:3]
        ]
        text = f"The most important: {', '.join(top)}. "
        if columns[0].low is not None:
            sure = sum(one.low is not None and one.low > 0 for one in columns)
            text += f"Of {len(columns)} columns {sure} {'has' if sure == 1 else 'have'} an interval above 0. "
        if len(columns) > _SHOWN:
            text += f"The first {_SHOWN} are shown. "
        return f"{text}{facts.judged}"

    def draw(self, facts: Importance) -> go.Figure:
        shown = facts.columns[:_SHOWN]
        change = "decrease" if facts.metric.direction == "maximize" else "increase"
        drawn = figure(
            110 + 26 * len(shown),
            # On a phone the axis is short.
            xaxis={
                "title": {"text": "<br>".join(wrap(f"{change} of the {facts.title}", 24))},
                "zeroline": True,
                "zerolinecolor": PRUNED,
            },
            yaxis={"autorange": "reversed", "showgrid": False, "ticks": "", "type": "category"},
            margin={"t": 10},
        )
        sure = [one for one in shown if one.low is not None and one.high is not None]  # all of them, or none
        whiskers = {
            "array": [one.high - one.value for one in sure if one.high is not None],
            "arrayminus": [one.value - one.low for one in sure if one.low is not None],
            "thickness": 1.5,
            "width": 4,
            "color": PRUNED,
        }
        # Names that are cut may be alike, and an axis has one place for each name.
        names = _distinct([plain(one.column, _NAME) for one in shown])
        drawn.add_bar(
            x=[one.value for one in shown],
            y=names,
            orientation="h",
            marker_color=[COMPLETE if one.low is None or one.low > 0 else PRUNED for one in shown],
            error_x=whiskers if sure else None,
            customdata=["" if one.low is None else f", {_between(one.low, one.high)}" for one in shown],
            hovertemplate="%{y}: %{x:,.3~r}%{customdata}<extra></extra>",
        )
        return drawn


def _number(value: float | None) -> str:
    """Three digits, of large numbers all before the point."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else digits(value, 3)


def _between(low: float | None, high: float | None) -> str:
    return f"{_number(low)} to {_number(high)}"


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, those that stood before with a number behind them."""
    counts: dict[str, int] = {}
    found = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        found.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return found


@dataclass(frozen=True)
class EffectsFacts:
    """What is predicted on average for each value of some columns.

    Attributes:
        effects: the most important column's first.
        outputs: what is drawn of what is predicted: (its place, its name, its colour, its marker).
        title: of the axis that they share.
        judged: which rows were predicted, by which networks.
    """

    effects: tuple[Effect, ...]
    outputs: tuple[tuple[int, str, str, str], ...]
    title: str
    judged: str


class Effects(StudyFigure[EffectsFacts]):
    title = "What the most important columns do"
    how = (
        "What is predicted on average if all rows had this value of the column and were else as they are (partial "
        "dependence). The dots stand at quantiles of the column, so they crowd where its values do; of categories the "
        "most frequent come first. The bands and whiskers run from the lowest to the highest of the networks, all of "
        "them moved to one mean. Where two columns go together, some of these rows are such as there are none."
    )
    wide: ClassVar[bool] = True

    def facts(self, study: Snapshot) -> EffectsFacts:
        importance = study.importance
        names = [one.column for one in importance.columns[:STRONGEST]]
        effects = tuple(study.inspection.effects(names))
        classes = study.data.class_names
        if not classes:
            outputs, title = [(0, study.target_name, COMPLETE, "circle")], f"mean prediction of {study.target_name}"
        elif len(classes) == 2:
            outputs, title = [(1, classes[1], COMPLETE, "circle")], f"mean probability of {classes[1]}"
        else:
            # Of many classes those that the columns move most.
            moved = np.max([np.ptp(effect.mean, axis=0) for effect in effects], axis=0)
            most = sorted(np.argsort(-moved, kind="stable")[: len(CLASSES)].tolist())
            colours = zip(most, CLASSES, SHAPES, strict=False)
            outputs, title = [(place, classes[place], colour, shape) for place, colour, shape in colours], ""
            title = "mean probability" if len(most) == len(classes) else f"mean probability of {len(most)} classes"
        return EffectsFacts(effects, tuple(outputs), title, importance.judged)

    def say(self, facts: EffectsFacts) -> str:
        effect = facts.effects[0]
        place, name = max(
            ((place, name) for place, name, *_ in facts.outputs), key=lambda one: np.ptp(effect.mean[:, one[0]])
        )
        curve = effect.mean[:, place]
        low, high = int(curve.argmin()), int(curve.argmax())
        what = facts.title if len(facts.outputs) == 1 else f"mean probability of {name}"
        return (
            f"{effect.column} moves the {what} most: from {_number(float(curve[low]))} at {_value(effect, low)} to "
            f"{_number(float(curve[high]))} at {_value(effect, high)}. {facts.judged}"
        )

    def draw(self, facts: EffectsFacts) -> go.Figure:
        effects = facts.effects
        columns = min(3, len(effects))
        rows = -(-len(effects) // columns)
        height = 60 + 270 * rows
        drawn = make_subplots(
            rows=rows,
            cols=columns,
            shared_yaxes="all",
            horizontal_spacing=0.04,
            vertical_spacing=0.4 * 270 / height if rows > 1 else 0,
        )
        for place, effect in enumerate(effects):
            at = {"row": place // columns + 1, "col": place % columns + 1}
            for number, output in enumerate(facts.outputs):
                self._add(drawn, effect, output, facts, number, at, place == 0)
            if effect.on_grid and effect.values[-1] is None:
                top = max(effect.high[-1, place] for place, *_ in facts.outputs)
                above = {"yanchor": "bottom", "xanchor": "right", "xshift": 16, "yshift": 6}
                drawn.add_annotation(x=_beyond(effect), y=top, text="missing", **above, **at)
            drawn.update_xaxes(**_across(effect), title_text=plain(effect.column, _NAME), **at)
            if at["col"] == 1:
                # A panel is no higher than a few words are long, and on paper lower.
                lines = wrap(facts.title if len(facts.title) <= _MOST else f"{facts.title[: _MOST - 1]}…", _TITLE)
                drawn.update_yaxes(title_text="<br>".join(map(plain, lines)), **at)
        return drawn.update_layout(template=ALONE, height=height, bargap=0.35)

    def _add(
        self,
        drawn: go.Figure,
        effect: Effect,
        output: tuple[int, str, str, str],
        facts: EffectsFacts,
        number: int,
        at: dict[str, int],
        first: bool,
    ) -> None:
        """The curve or the bars of one class, or of the prediction."""
        place, name, colour, shape = output
        alone, few = len(facts.outputs) == 1, len(facts.outputs) <= _SPREAD
        mean, low, high = (values[:, place] for values in (effect.mean, effect.low, effect.high))
        whose = "" if alone else f"{plain(name)}: "
        of_class = {
            "name": plain(name),
            "legendgroup": f"class {place}",
            "showlegend": first and not alone,
            "hovertemplate": f"{whose}%{{customdata}}: %{{y:,.3~r}}<extra></extra>",
        }
        told = [plain(_value(effect, point)) for point in range(len(mean))]
        x = _places(effect)
        if not effect.on_grid and few:
            # A bar that begins at what is predicted on average shows which way a value moves it.
            base = float(np.average(mean, weights=effect.shares)) if alone and any(effect.shares) else 0.0
            drawn.add_bar(
                x=x,
                y=mean - base,
                base=base,
                marker_color=faint(colour, 0.75),
                customdata=[f"{value}: {_number(float(of))}" for value, of in zip(told, mean, strict=True)],
                error_y=_whiskers(mean, low, high),
                **{**of_class, "hovertemplate": f"{whose}%{{customdata}}<extra></extra>"},
                **at,
            )
            return
        line = slice(0, len(x) - (effect.values[-1] is None)) if effect.on_grid else slice(0, 0)
        if few and effect.on_grid:
            drawn.add_scatter(
                **between(x[line], low[line].tolist(), high[line].tolist(), colour), legendgroup=f"class {place}", **at
            )
        marker = {"color": colour, "size": 5 if effect.on_grid else 8, "symbol": shape}
        if effect.on_grid:
            drawn.add_scatter(
                x=x[line],
                y=mean[line],
                mode="lines+markers",
                line={"color": colour, "width": 2 if few else 1.5},
                marker=marker,
                customdata=told[line],
                **of_class,
                **at,
            )
        rest = slice(line.stop, None)
        if len(x[rest]):
            drawn.add_scatter(
                x=x[rest],
                y=mean[rest],
                mode="markers",
                marker={**marker, "size": 8},
                error_y=_whiskers(mean[rest], low[rest], high[rest]) if few else None,
                customdata=told[rest],
                **{**of_class, "showlegend": of_class["showlegend"] and not effect.on_grid},
                **at,
            )


def _whiskers(mean: Floats, low: Floats, high: Floats) -> dict[str, Any]:
    return {"array": high - mean, "arrayminus": mean - low, "thickness": 1.5, "width": 4, "color": PRUNED}


def _value(effect: Effect, point: int) -> str:
    value = effect.values[point]
    return "missing" if value is None else rounded(value)


def _places(effect: Effect) -> list[Any]:
    """Where the values stand on the axis: numbers and dates of a grid themselves, all others side by side."""
    if not effect.on_grid:
        return [_value(effect, point) for point in range(len(effect.values))]
    return [_beyond(effect) if value is None else value for value in effect.values]


def _beyond(effect: Effect) -> Any:
    """Where a missing value stands beside a grid: to the right of all."""
    first, last = effect.values[0], effect.values[-2]
    if isinstance(first, str) and isinstance(last, str):
        end = np.datetime64(last)
        return str(end + (end - np.datetime64(first)) // 10)
    assert isinstance(first, float)
    assert isinstance(last, float)
    return last + (last - first) / 10


def _across(effect: Effect) -> dict[str, Any]:
    """The axis of a panel."""
    if effect.on_grid:
        return {}
    names = [plain(_value(effect, point), 14) for point in range(len(effect.values))]
    return {"type": "category", "tickmode": "array", "tickvals": _places(effect), "ticktext": names}
