"""Figures of a regression: what the best configuration predicts for rows that its networks were not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hpsearch.numbers import digits
from hpsearch.reporting.figures.study_figure import StudyFigure
from hpsearch.reporting.figures.style import BEST, COMPLETE, PRUNED, faint, figure, plain
from hpsearch.reporting.snapshot import Snapshot

_MOST = 2000  # dots: more hide each other, and make a large file


@dataclass(frozen=True)
class AgreementFacts:
    """``rows``: true, predicted, one a validation prediction; of very many an even choice. The rest is of all of them.

    Attributes:
        rows: at most some thousands.
        count: how many there are.
        within: the error that nine of ten predictions stay below.
        bias: the mean of predicted - true.
        name: of the regression target.
    """

    rows: pd.DataFrame
    count: int
    within: float
    bias: float
    name: str


class Agreement(StudyFigure[AgreementFacts]):
    title = "Predicted against true"
    task = "regression"
    how = (
        "Each dot is a validation row, predicted by the network that was not trained on it. On the dashed line the "
        "prediction is right; above it too high, below too low. Between the dotted lines lie nine of ten dots. A cloud "
        "that is flatter than the line says that high values are predicted too low and low ones too high; one that is "
        "wider at one end, that errors are larger there."
    )

    def facts(self, study: Snapshot) -> AgreementFacts:
        self.require_task(study)
        true, predicted = study.layout.labels, study.rows.predictions[:, 0]
        errors = predicted - true
        # Every so-manieth of the true values in order: their spread stays what it is.
        order = np.argsort(true, kind="stable")[:: -(-len(true) // _MOST)]
        rows = pd.DataFrame({"true": true[order], "predicted": predicted[order]})
        return AgreementFacts(
            rows, len(true), float(np.quantile(np.abs(errors), 0.9)), float(errors.mean()), study.target_name
        )

    def say(self, facts: AgreementFacts) -> str:
        lean = "too high" if facts.bias > 0 else "too low"
        return (
            f"Nine of ten of the {facts.count:,} validation predictions are off by at most {digits(facts.within, 4)}; "
            f"on average they are {digits(abs(facts.bias), 4)} {lean}."
        )

    def draw(self, facts: AgreementFacts) -> go.Figure:
        rows, name = facts.rows, plain(facts.name)
        low, high = float(rows.to_numpy().min()), float(rows.to_numpy().max())
        margin = 0.04 * ((high - low) or 1.0)
        ends = [low - margin, high + margin]
        drawn = figure(
            460,
            xaxis={"title": {"text": f"{name}, true"}, "range": ends},
            yaxis={"title": {"text": f"{name}, predicted"}, "range": ends},
        )
        drawn.add_scatter(
            x=rows["true"],
            y=rows["predicted"],
            mode="markers",
            name="validation rows",
            marker={"color": faint(COMPLETE, 0.55), "size": 7},
            hovertemplate="true %{x:,.5~r}<br>predicted %{y:,.5~r}<extra></extra>",
        )
        for off, dash, label in (
            (0.0, "dash", "right"),
            (facts.within, "dot", "nine of ten"),
            (-facts.within, "dot", ""),
        ):
            drawn.add_scatter(
                x=ends,
                y=[end + off for end in ends],
                mode="lines",
                line={"color": BEST if off == 0 else PRUNED, "dash": dash, "width": 1.5},
                name=label,
                showlegend=bool(label),
                hoverinfo="skip",
            )
        return drawn
