"""Figures of what the best configuration predicts, for rows that its networks were not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from hpsearch.errors import HpsearchError, StorageError
from hpsearch.numbers import plural
from hpsearch.reporting.figures.study_figure import StudyFigure
from hpsearch.reporting.figures.style import ALONE, BEST, CLASSES, COMPLETE, PRUNED, SHAPES, faint, figure, plain
from hpsearch.reporting.snapshot import Snapshot

_BINS = 10
_NAMED = 30  # classes whose names fit beside an axis
_COUNTED = 12  # classes whose counts fit in cells
_GRID = 160  # points along each side of the decision regions


@dataclass(frozen=True)
class ConfusionFacts:
    """``counts`` (true class, predicted class) over all validation predictions, and the names of the classes."""

    counts: NDArray[np.int64]
    classes: tuple[str, ...]


class Confusion(StudyFigure[ConfusionFacts]):
    title = "Which classes are mistaken for which"
    task = "classification"
    how = (
        "Rows: what the validation rows are; columns: what they were predicted to be, each by the network that was not "
        "trained on it. The diagonal is right. The darker a cell, the larger its share of its row; the numbers count "
        "predictions, one a row and repeat."
    )

    def facts(self, study: Snapshot) -> ConfusionFacts:
        self.require_task(study)
        predicted, names = study.rows.predictions.argmax(axis=1), study.class_names
        pairs = study.layout.labels * len(names) + predicted
        counts = np.bincount(pairs, minlength=len(names) ** 2).reshape(len(names), -1)
        return ConfusionFacts(counts.astype(np.int64), names)

    def say(self, facts: ConfusionFacts) -> str:
        counts, wrong = facts.counts, facts.counts - np.diag(np.diag(facts.counts))
        text = f"{int(np.trace(counts)):,} of {int(counts.sum()):,} validation predictions are right"
        if not wrong.any():
            return f"{text}."
        true, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
        names = facts.classes
        return (
            f"{text}; the most frequent mistake takes {names[true]} for {names[predicted]} "
            f"({int(wrong[true, predicted])} times)."
        )

    def draw(self, facts: ConfusionFacts) -> go.Figure:
        counts, many = facts.counts, len(facts.classes)
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        ticks: dict[str, Any] = {"showgrid": False, "showline": False, "ticks": "", "range": [-0.5, many - 0.5]}
        if many <= _NAMED:
            names = [plain(name, 16) for name in facts.classes]
            ticks |= {"tickvals": list(range(many)), "ticktext": names}
        drawn = figure(
            max(300, min(560, 130 + 46 * many)),
            xaxis={**ticks, "title": {"text": "predicted class"}},
            yaxis={**ticks, "title": {"text": "true class"}, "range": [many - 0.5, -0.5]},
            margin={"t": 10},
        )
        drawn.add_heatmap(
            z=shares,
            zmin=0,
            zmax=1,
            colorscale=[[0, faint(COMPLETE, 0.03)], [1, faint(COMPLETE, 0.65)]],
            showscale=False,
            xgap=2,
            ygap=2,
            customdata=counts,
            hovertemplate="%{customdata} predictions, %{z:.1%} of this true class<extra></extra>",
        )
        if many <= _COUNTED:
            true, predicted = np.nonzero(counts)
            drawn.add_scatter(
                x=predicted,
                y=true,
                mode="text",
                text=[f"{counts[place]:,}" for place in zip(true, predicted, strict=True)],
                hoverinfo="skip",
                showlegend=False,
            )
        return drawn


@dataclass(frozen=True)
class CalibrationFacts:
    """``bins``: low, high, count, confidence, accuracy, lowest and highest (of the accuracy: Wilson's 95 % interval);
    the expected calibration error."""

    bins: pd.DataFrame
    error: float


class Calibration(StudyFigure[CalibrationFacts]):
    title = "Does 80 % mean 80 %?"
    task = "classification"
    how = (
        "Validation predictions, gathered by how sure the network was of its answer. On the diagonal it is right as "
        "often as it claims; below it claims too much, above too little. The whiskers show how far chance alone can "
        "move a dot (95 %); the bars count predictions, and where they are short a dot means little."
    )

    def facts(self, study: Snapshot) -> CalibrationFacts:
        self.require_task(study)
        probabilities = study.rows.predictions
        sure = probabilities.max(axis=1).astype(np.float64)
        right = probabilities.argmax(axis=1) == study.layout.labels
        place = np.clip(np.ceil(sure * _BINS).astype(int) - 1, 0, _BINS - 1)
        rows = []
        for one in np.unique(place):
            some = place == one
            count, share = int(some.sum()), float(right[some].mean())
            rows.append(
                (one / _BINS, (one + 1) / _BINS, count, float(sure[some].mean()), share, *_wilson(share, count))
            )
        bins = pd.DataFrame(rows, columns=["low", "high", "count", "confidence", "accuracy", "lowest", "highest"])
        error = float(((bins["accuracy"] - bins["confidence"]).abs() * bins["count"]).sum() / bins["count"].sum())
        return CalibrationFacts(bins, error)

    def say(self, facts: CalibrationFacts) -> str:
        bins = facts.bins
        mean = {
            name: float((bins[name] * bins["count"]).sum() / bins["count"].sum()) for name in ("confidence", "accuracy")
        }
        return (
            f"On average the networks are {mean['confidence']:.1%} sure and {mean['accuracy']:.1%} right; the expected "
            f"calibration error is {facts.error:.1%}."
        )

    def draw(self, facts: CalibrationFacts) -> go.Figure:
        bins = facts.bins
        drawn = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.06)
        line = {"color": PRUNED, "dash": "dash", "width": 1.5}
        drawn.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, name="claims what it does", hoverinfo="skip")
        drawn.add_scatter(
            x=bins["confidence"],
            y=bins["accuracy"],
            mode="lines+markers",
            name="validation predictions",
            line={"color": BEST, "width": 1.5},
            marker={"size": 8},
            error_y={
                "array": bins["highest"] - bins["accuracy"],
                "arrayminus": bins["accuracy"] - bins["lowest"],
                "color": faint(BEST, 0.6),
                "thickness": 1.5,
                "width": 4,
            },
            customdata=bins["count"],
            hovertemplate="%{x:.1%} sure, %{y:.1%} right<br>%{customdata} predictions<extra></extra>",
        )
        drawn.add_bar(
            x=(bins["low"] + bins["high"]) / 2,
            y=bins["count"],
            width=0.9 / _BINS,
            marker_color=faint(COMPLETE, 0.7),
            showlegend=False,
            hovertemplate="%{y} predictions<extra></extra>",
            row=2,
            col=1,
        )
        lowest = max(0.0, float(bins["low"].min()) - 0.02)
        drawn.update_xaxes(range=[lowest, 1.02], tickformat=".0%")
        drawn.update_xaxes(title_text="how sure the network is", row=2)
        least = min(lowest, float(bins["lowest"].min()) - 0.03)
        drawn.update_yaxes(range=[least, 1.03], tickformat=".0%", title_text="how often it is right", row=1)
        drawn.update_yaxes(title_text="count", nticks=3, row=2)
        return drawn.update_layout(template=ALONE, height=460)


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's (1927) 95 % interval of a share."""
    z = 1.959963984540054
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return float(min(share, middle - half)), float(max(share, middle + half))


@dataclass(frozen=True)
class RegionsFacts:
    """What the retrained best configuration predicts on a grid, and the rows to search with.

    Attributes:
        x, y: where the grid's points lie, (G,) each.
        classes, confidence: (G, G), y first: the predicted class, and its probability.
        rows: x, y, label, and wrong: whether a row was mispredicted while it was a validation row.
        names: of the two features.
        class_names: of the classes.
        accuracy: of the retrained network on these rows, which it was trained on.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    classes: NDArray[np.int64]
    confidence: NDArray[np.float64]
    rows: pd.DataFrame
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    accuracy: float


class Regions(StudyFigure[RegionsFacts]):
    title = "What the network has learnt: its decision regions"
    task = "classification"
    how = (
        "The best configuration, retrained on all rows that are not held out. The background is the class that it "
        "predicts there, fainter where it is less sure; the dots are the rows. Crosses are rows that were mispredicted "
        "while they were validation rows. Regions that follow single rows rather than their pattern are overfitting."
    )

    def facts(self, study: Snapshot) -> RegionsFacts:
        self.require_task(study)
        plan = study.data.columns
        if len(plan.columns) != 2 or not plan.plain:
            raise HpsearchError("Decision regions need two numeric inputs without missing values")
        if len(study.data.class_names) > len(CLASSES):
            raise HpsearchError(f"Decision regions need at most {len(CLASSES)} classes to tell their colours apart")
        values, labels = np.asarray(study.data.features, np.float64), study.data.labels
        low, high = values.min(axis=0), values.max(axis=0)
        margin = np.where(high > low, 0.06 * (high - low), 1.0)
        x, y = (np.linspace(low[i] - margin[i], high[i] + margin[i], _GRID) for i in (0, 1))
        points = np.stack([axis.ravel() for axis in np.meshgrid(x, y)], axis=1).astype(study.data.features.dtype)
        predictions = study.predict(points)
        rows = pd.DataFrame({"x": values[:, 0], "y": values[:, 1], "label": labels})
        rows["wrong"] = _mispredicted(study)
        return RegionsFacts(
            x,
            y,
            predictions.argmax(axis=1).reshape(_GRID, _GRID),
            predictions.max(axis=1).reshape(_GRID, _GRID).astype(np.float64),
            rows,
            study.data.feature_names,
            study.data.class_names,
            float((study.predict(study.data.features).argmax(axis=1) == labels).mean()),
        )

    def say(self, facts: RegionsFacts) -> str:
        shares = np.bincount(facts.classes.ravel(), minlength=len(facts.class_names)) / facts.classes.size
        parts = [f"class {name} {share:.0%}" for name, share in zip(facts.class_names, shares, strict=True)]
        wrong = int(facts.rows["wrong"].sum())
        return (
            f"Of the area shown, {', '.join(parts)}. The retrained network is right on {facts.accuracy:.1%} of the "
            f"{plural(len(facts.rows), 'row')} it was trained on; {plural(wrong, 'of them was', 'of them were')} "
            "mispredicted as validation rows."
        )

    def draw(self, facts: RegionsFacts) -> go.Figure:
        across, up = (
            {"title": {"text": plain(name)}, "range": [axis[0], axis[-1]], "showgrid": False}
            for name, axis in zip(facts.names, (facts.x, facts.y), strict=True)
        )
        widths = facts.x[-1] - facts.x[0], facts.y[-1] - facts.y[0]
        if 0.5 < widths[0] / widths[1] < 2:
            up |= {"scaleanchor": "x", "constrain": "domain"}
            across |= {"constrain": "domain"}
        drawn = figure(560, xaxis=across, yaxis=up, legend={"itemsizing": "constant"})
        # Class and sureness in one small integer: each class has its own 128 steps of the colour scale.
        many = len(facts.class_names)
        sure = (facts.confidence - 1 / many) / (1 - 1 / many)
        steps = [(label, faint(CLASSES[label], alpha)) for label in range(many) for alpha in (0.06, 0.45)]
        drawn.add_heatmap(
            x=facts.x.astype(np.float32),
            y=facts.y.astype(np.float32),
            z=(128 * facts.classes + np.round(127 * sure.clip(0, 1))).astype(np.int16),
            zmin=0,
            zmax=128 * many,
            colorscale=[
                [(label + (place % 2) * 127 / 128) / many, colour] for place, (label, colour) in enumerate(steps)
            ]
            + [[1, steps[-1][1]]],
            showscale=False,
            hoverinfo="skip",
        )
        for label, name in enumerate(facts.class_names):
            for wrong in (False, True):
                some = facts.rows[(facts.rows["label"] == label) & (facts.rows["wrong"] == wrong)]
                drawn.add_scatter(
                    x=some["x"].astype(np.float32),
                    y=some["y"].astype(np.float32),
                    mode="markers",
                    name=plain(name),
                    legendgroup=f"class {label}",
                    showlegend=not wrong,
                    marker={
                        "color": CLASSES[label],
                        "size": 9 if wrong else 7,
                        "symbol": "x-thin" if wrong else SHAPES[label],
                        "line": {"width": 2.5, "color": CLASSES[label]} if wrong else {"width": 1, "color": "#ffffff"},
                    },
                    hovertemplate=f"class {plain(name)}<br>%{{x:.3g}}, %{{y:.3g}}"
                    + (", mispredicted as a validation row" if wrong else "")
                    + "<extra></extra>",
                )
        return drawn


def _mispredicted(study: Snapshot) -> NDArray[np.bool_]:
    """(N,): which rows to search with were mispredicted as validation rows, in any repeat."""
    found = np.zeros(study.data.rows, bool)
    try:
        wrong = study.rows.predictions.argmax(axis=1) != study.layout.labels
    except StorageError:  # what was kept is gone; the regions can be drawn all the same
        return found
    found[study.layout.rows[wrong]] = True
    return found
