"""What all figures have in common: colours, axes, light and dark."""

from __future__ import annotations

import html
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import plotly.graph_objects as go

# Seen apart with any colour vision (after Okabe & Ito), and on white as on black.
COMPLETE, BEST, PRUNED, FAILED, CORRECTED = "#2f7fc1", "#d9660b", "#8b919a", "#c2609a", "#129a74"
STAR = {"color": BEST, "size": 13, "symbol": "star"}  # the trial that is shipped
# Of classes; their markers differ in shape too.
CLASSES = ("#2f7fc1", "#e07b16", "#129a74", "#c2609a", "#56b4e9", "#8f7a1c", "#8b5fd0", "#d1495b", "#6b7280", "#b5a000")
SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "pentagon", "bowtie", "hourglass")
WIDE = 5.0  # from this ratio of the largest to the smallest value on, an axis is logarithmic
# What stands for these colours on a dark page.
_BRIGHTER = {
    "#2f7fc1": "#62b0ee",
    "#d9660b": "#ff9a4d",
    "#8b919a": "#a8b0bb",
    "#c2609a": "#e58fc0",
    "#129a74": "#3fcf9f",
    "#e07b16": "#ffa552",
}


def _template(text: str, quiet: str, grid: str, line: str, surface: str) -> go.layout.Template:
    font = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif", "size": 13}
    axis = {
        "gridcolor": grid,
        "linecolor": line,
        "tickcolor": line,
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
        "exponentformat": "none",
        "separatethousands": True,
        "title": {"standoff": 8, "font": {"color": quiet}},
        "tickfont": {"color": quiet, "size": 12},
    }
    return go.layout.Template(
        layout={
            "font": {**font, "color": text},
            "paper_bgcolor": "rgba(0,0,0,0)" if surface == "page" else surface,
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": CLASSES,
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
            "margin": {"l": 10, "r": 12, "t": 30, "b": 10},
            "hoverlabel": {"align": "left", "font": {"size": 12}},
            "hovermode": "closest",
            "annotationdefaults": {"font": {"color": quiet, "size": 12}, "showarrow": False},
        }
    )


Mode = Literal["light", "dark"]
_LIGHT = ("#1d2530", "#4c5766", "#e4e7ec", "#9aa3af")
_DARK = ("#e8ebf0", "#aab3c0", "#2c343f", "#5b6675")
ALONE = _template(*_LIGHT, "#ffffff")
TEMPLATES: dict[Mode, go.layout.Template] = {"light": _template(*_LIGHT, "page"), "dark": _template(*_DARK, "page")}


def plain(text: object, most: int = 40) -> str:
    """Text from the data as Plotly shows it unchanged: it would take tags in it for tags."""
    shown = str(text)
    return html.escape(shown if len(shown) <= most else f"{shown[: most - 1]}…", quote=False)


def faint(colour: str, alpha: float) -> str:
    """A colour that lets what is below it through."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def between(x: Sequence[Any], low: Sequence[float], high: Sequence[float], colour: str) -> dict[str, Any]:
    """What is between two lines over the same x, as a trace of lines that shows nothing by itself."""
    return {
        "x": [*x, *x[::-1]],
        "y": [*low, *high[::-1]],
        "fill": "toself",
        "mode": "lines",
        "line": {"width": 0},
        "fillcolor": faint(colour, 0.18),
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones: 1, 2 and 5 of each decade, or fewer where there are many decades."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = math.log10(high) - math.log10(low)
    steps = range(1, 10) if decades < 0.8 else (1, 2, 5) if decades < 1.8 else (1, 3) if decades < 2.6 else (1,)
    every = max(1, round(decades / 5))
    values = [float(f"{step}e{power}") for power in range(first, last + 1, every) for step in steps]
    return [value for value in values if low <= value <= high]


def _label(value: float) -> str:
    if 1e-3 <= value < 1e9:
        return f"{value:,.0f}" if value >= 1000 else f"{value:g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def axis(title: str, values: Iterable[float], log: bool | None = None) -> dict[str, Any]:
    """An axis that holds these values; logarithmic if asked, or if they are positive and far apart."""
    known = [float(value) for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if log is None:
        log = low > 0 and high / low >= WIDE
    if not (log and low > 0):
        return {"title": {"text": title}}
    margin = max(0.02, 0.05 * (math.log10(high) - math.log10(low)))
    ends = [math.log10(low) - margin, math.log10(high) + margin]
    ticks = _ticks(10 ** ends[0], 10 ** min(ends[1], sys.float_info.max_10_exp))
    spaced: dict[str, Any] = {"title": {"text": title}, "type": "log", "range": ends}
    return {**spaced, "tickvals": ticks, "ticktext": [_label(tick) for tick in ticks]} if len(ticks) > 1 else spaced


def figure(height: int, **layout: Any) -> go.Figure:
    """An empty figure."""
    return go.Figure(layout={"template": ALONE, "height": height, **layout})


def swaps() -> list[tuple[str, str]]:
    """What to write instead of what in a figure that is drawn on a dark page."""
    hexes = list(_BRIGHTER.items())
    return hexes + [(faint(old, 0).rpartition(",")[0], faint(new, 0).rpartition(",")[0]) for old, new in hexes]


def joined(lines: Iterable[Sequence[Any]]) -> list[Any]:
    """Several lines as one, with a gap after each."""
    return [value for line in lines for value in (*line, None)]
