"""Figures of the trials: how they learnt, how sure their values are, what size buys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hpsearch.errors import HpsearchError
from hpsearch.numbers import digits, plural
from hpsearch.reporting.figures.search import (
    called,
    foremost,
    in_headline,
    label,
    loss_label,
    loss_metric,
    loss_name,
    objective,
    of_objective,
)
from hpsearch.reporting.figures.study_figure import StudyFigure
from hpsearch.reporting.figures.style import (
    BEST,
    COMPLETE,
    CORRECTED,
    PRUNED,
    STAR,
    WIDE,
    axis,
    between,
    faint,
    figure,
    joined,
)
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.storage.trial_result import fold_value, front, one_se_result, standard_error

_SHOWN = 3  # learning curves
_RANKED = 40  # trials with their folds


class Curves(StudyFigure[pd.DataFrame]):
    """Facts: a row a checkpoint of the chosen trial and the best others: trial, epoch, training, validation (means over
    the splits), low and high (of the splits' validation losses), chosen (whether this is the chosen checkpoint)."""

    title = "How the best trials learnt"
    how = (
        "Solid: the validation loss, the mean over the splits; of the chosen trial the band runs from the luckiest "
        "split to the unluckiest. Dotted: the training loss. The ring is the chosen checkpoint. A validation line "
        "that turns up while the dotted one goes on falling is overfitting; one that still falls at the right edge "
        "would gain from more epochs."
    )

    def facts(self, study: Snapshot) -> pd.DataFrame:
        rows = []
        distinct = [result for result in study.complete if result.same_as is None and result.training_loss]
        distinct.sort(key=lambda result: result.number != study.chosen)  # it comes first, the others keep their order
        for result in distinct[:_SHOWN]:
            lanes = zip(result.epochs, result.training_loss, result.validation_loss, strict=True)
            for epoch, training, validation in lanes:
                spread = (float(np.mean(training)), float(np.mean(validation)), min(validation), max(validation))
                rows.append((result.number, epoch, *spread, epoch == result.best_epoch))
        if not rows:
            raise HpsearchError(got="No complete trial has its curves kept")
        columns = ["trial", "epoch", "training", "validation", "low", "high", "chosen"]
        shown = in_headline(pd.DataFrame(rows, columns=columns), columns[2:6], loss_metric(study))
        return of_objective(study, shown)

    def say(self, facts: pd.DataFrame) -> str:
        first, name = facts[facts["chosen"]].iloc[0], loss_name(facts)
        validation, low, high, training = (digits(first[part], 4) for part in ("validation", "low", "high", "training"))
        mean = "mean validation loss" if name == "loss" else f"{name} of validation rows"
        return (
            f"Trial {first['trial']} reaches its {mean} of {validation} at epoch {first['epoch']}, where its splits "
            f"lie between {low} and {high} and its training {name} is {training}."
        )

    def draw(self, facts: pd.DataFrame) -> go.Figure:
        numbers = facts["trial"].unique().tolist()
        band = facts.loc[facts["trial"] == numbers[0], ["low", "high"]]
        shown = [*facts[["training", "validation"]].to_numpy().ravel(), *band.to_numpy().ravel()]
        name = loss_name(facts)
        drawn = figure(420, xaxis={"title": {"text": "epoch"}}, yaxis=axis(loss_label("{}", facts), shown))
        for place, trial in reversed(list(enumerate(numbers))):
            one, colour = facts[facts["trial"] == trial], (BEST, COMPLETE, CORRECTED)[place]
            epochs = one["epoch"].tolist()
            width = 2.5 if place == 0 else 1.5
            if place == 0:  # more bands would hide each other
                ends = one["low"].tolist(), one["high"].tolist()
                drawn.add_scatter(**between(epochs, *ends, colour), legendgroup=f"{trial}")
            for what, dash in (("training", "dot"), ("validation", "solid")):
                drawn.add_scatter(
                    x=epochs,
                    y=one[what],
                    mode="lines",
                    line={"color": colour, "width": width, "dash": dash},
                    name=f"trial {trial}" + (", chosen" if trial == facts.attrs["chosen"] else ""),
                    legendgroup=f"{trial}",
                    legendrank=place,
                    showlegend=what == "validation",
                    hovertemplate=f"trial {trial}, epoch %{{x}}<br>{what} {name} %{{y:,.5~r}}<extra></extra>",
                )
            chosen = one[one["chosen"]]
            drawn.add_scatter(
                x=chosen["epoch"],
                y=chosen["validation"],
                mode="markers",
                marker={"color": colour, "size": 11, "symbol": "circle-open", "line_width": 2.5},
                showlegend=False,
                hoverinfo="skip",
                legendgroup=f"{trial}",
            )
        return drawn


class Folds(StudyFigure[pd.DataFrame]):
    """Facts: a row a split of the best trials: rank (from 1), trial, repeat, fold, value, mean."""

    title = "How sure the ranking is: the splits of each trial"
    how = (
        "The complete trials from the best of the search to the worst; each dot is one split, the bar their mean. "
        "Where the dots of neighbours reach far past each other's bars, their order is mostly chance: `hpsearch "
        "confirm` tells which are really different."
    )

    def facts(self, study: Snapshot) -> pd.DataFrame:
        rows = [
            (rank, result.number, fold["repeat"], fold["fold"], fold_value(fold), result.value)
            for rank, result in enumerate(study.complete[:_RANKED], 1)
            for fold in result.folds
        ]
        if not rows:
            raise HpsearchError(got="No complete trial has its splits kept")
        frame = pd.DataFrame(rows, columns=["rank", "trial", "repeat", "fold", "value", "mean"])
        return of_objective(study, in_headline(frame, ["value", "mean"], study.metric))

    def say(self, facts: pd.DataFrame) -> str:
        best = facts[facts["rank"] == 1]
        if len(best) == 1:
            return "There is a single split, so how sure a value is cannot be told."
        low, high, sign = best["value"].min(), best["value"].max(), objective(facts).sign
        number, chosen = best["trial"].iloc[0], facts.attrs["chosen"]
        text = (
            f"The splits of trial {number}, the {foremost(facts)}, lie between {digits(low, 4)} and {digits(high, 4)}"
        )
        within = sign * facts.groupby("rank")["mean"].first() <= (sign * best["value"]).max()
        if len(within) == 1:
            return f"{text}."
        other = "" if chosen == number else f" The finals chose trial {chosen}."
        return (
            f"{text}; the means of {int(within.sum())} of the {len(within)} trials shown are better than the worst of "
            f"these.{other}"
        )

    def draw(self, facts: pd.DataFrame) -> go.Figure:
        means = facts.groupby("rank").first().reset_index()
        across: dict[str, Any] = {
            "title": {"text": f"rank of the trial (1 is the {foremost(facts)})"},
            "range": [0, len(means) + 1],
        }
        across |= {"dtick": 1} if len(means) < 8 else {}
        drawn = figure(400, xaxis=across, yaxis=axis(label(objective(facts)).removeprefix("mean "), facts["value"]))
        spans = facts.groupby("rank")["value"].agg(["min", "max"])
        drawn.add_scatter(
            x=joined([rank, rank] for rank in spans.index),
            y=joined(spans.to_numpy().tolist()),
            mode="lines",
            line={"color": faint(PRUNED, 0.5), "width": 1.5},
            hoverinfo="skip",
            showlegend=False,
        )
        drawn.add_scatter(
            x=facts["rank"],
            y=facts["value"],
            mode="markers",
            name="one split",
            marker={"color": COMPLETE, "size": 5, "opacity": 0.6},
            customdata=facts[["trial", "fold", "repeat"]].values.tolist(),
            hovertemplate="trial %{customdata[0]}, fold %{customdata[1]} of repeat %{customdata[2]}<br>%{y:,.5~r}"
            "<extra></extra>",
        )
        drawn.add_scatter(
            x=means["rank"],
            y=means["mean"],
            mode="markers",
            name="their mean",
            marker={"color": BEST, "size": 12, "symbol": "line-ew", "line": {"width": 2.5, "color": BEST}},
            customdata=means["trial"],
            hovertemplate="trial %{customdata}<br>mean %{y:,.5~r}<extra></extra>",
        )
        return drawn


@dataclass(frozen=True)
class SizeFacts:
    """``trials``: number, parameters, value of complete ones, best first; the front of them, smallest first; the best
    value plus its standard error, and the trial that the one-standard-error rule takes, where there are splits enough.
    """

    trials: pd.DataFrame
    front: pd.DataFrame
    threshold: float | None
    chosen: int | None


class Size(StudyFigure[SizeFacts]):
    title = "What a larger network buys"
    how = (
        "Each dot is a complete trial: how many weights and biases it has, and its value; the star is the chosen "
        "one. The steps are the best value with at most so many parameters (`hpsearch best --at-most`). The dashed "
        "line lies one standard error from the best value of the search: trials beyond it can hardly be told from that "
        "one, so the leftmost of them, the diamond, is the small network to prefer where size matters (`hpsearch best "
        "--rule one-se`)."
    )

    def facts(self, study: Snapshot) -> SizeFacts:
        columns = ["number", "parameters", "value"]
        rows = [[getattr(result, name) for name in columns] for result in study.complete]
        error, metric = standard_error(study.complete[0]), study.metric
        values = pd.DataFrame(rows, columns=columns)
        frame = of_objective(study, in_headline(values, ["value"], metric))
        numbers = [result.number for result in front(study.complete, metric)]
        steps = frame.set_index("number").loc[numbers].reset_index()
        if error is None:
            return SizeFacts(frame, steps, None, None)
        small = one_se_result(study.complete, metric)
        threshold = metric.in_headline(float(values["value"].iloc[0]) + metric.sign * error)
        return SizeFacts(frame, steps, threshold, None if small is None else small.number)

    def say(self, facts: SizeFacts) -> str:
        first = facts.trials.iloc[0]
        text = f"{called(facts.trials, int(first['number']))} has {plural(int(first['parameters']), 'parameter')}"
        if facts.chosen is None:
            return f"{text}; with a single split there is no standard error to compare others by."
        if facts.chosen == first["number"]:
            return f"{text}, and no smaller one lies within a standard error of it.{self._shipped(facts.trials)}"
        small = facts.trials[facts.trials["number"] == facts.chosen].iloc[0]
        return (
            f"{text}; trial {facts.chosen} has {int(small['parameters']):,} and lies within a standard error of it."
            f"{self._shipped(facts.trials)}"
        )

    @staticmethod
    def _shipped(trials: pd.DataFrame) -> str:
        """The chosen trial, if it is another than the first of the search."""
        if trials.attrs["chosen"] == trials["number"].iloc[0]:
            return ""
        chosen = trials[trials["number"] == trials.attrs["chosen"]].iloc[0]
        return f" The finals chose trial {int(chosen['number'])}, with {int(chosen['parameters']):,}."

    def draw(self, facts: SizeFacts) -> go.Figure:
        trials = facts.trials
        log = trials["parameters"].max() / max(1, trials["parameters"].min()) >= 3
        across = axis("parameters (weights and biases)", trials["parameters"], log)
        if trials["parameters"].nunique() == 1:
            across["tickvals"] = [int(trials["parameters"].iloc[0])]
        drawn = figure(400, xaxis=across, yaxis=axis(label(objective(trials)), trials["value"]))
        if facts.threshold is not None:
            drawn.add_hline(facts.threshold, line={"color": PRUNED, "dash": "dash", "width": 1.5})
        if len(facts.front) > 1:
            drawn.add_scatter(
                x=facts.front["parameters"],
                y=facts.front["value"],
                mode="lines",
                line={"shape": "hv", "color": BEST, "width": 1.5},
                name="best with at most so many",
                hoverinfo="skip",
            )
        looks = _chosen_apart(trials)
        if facts.chosen is not None and facts.chosen != trials["number"].iloc[0]:
            small = trials[trials["number"] == facts.chosen]
            looks.append(
                ("smallest within one standard error", small, {"color": CORRECTED, "size": 11, "symbol": "diamond"})
            )
        return _dots(drawn, looks, "parameters", "value", "trial %{customdata}: %{x:,} parameters<br>%{y:,.5~r}")


class Gap(StudyFigure[pd.DataFrame]):
    """Facts: number, training and validation (means over the splits at the chosen checkpoint) of complete trials, best
    first."""

    title = "Training loss against validation loss"
    how = (
        "Each dot is a complete trial at its chosen checkpoint. On the diagonal a network does as well on new rows as "
        "on those it learnt from; the further above it, the more it has learnt by heart. Top right: too weak or badly "
        "trained. Top left: overfitted. The aim is the lowest dot. The star is the chosen trial."
    )

    def facts(self, study: Snapshot) -> pd.DataFrame:
        rows = [
            (result.number, *(float(np.mean([fold[f"{part}_loss"] for fold in result.folds])) for part in parts))
            for parts in [("training", "validation")]
            for result in study.complete
            if result.folds
        ]
        if not rows:
            raise HpsearchError(got="No complete trial has its splits kept")
        frame = pd.DataFrame(rows, columns=["number", "training", "validation"])
        return of_objective(study, in_headline(frame, ["training", "validation"], loss_metric(study)))

    def say(self, facts: pd.DataFrame) -> str:
        chosen = facts[facts["number"] == facts.attrs["chosen"]]
        first = (chosen if len(chosen) else facts).iloc[0]
        firsts, medians = (
            [digits(one[part], 4) for part in ("training", "validation")]
            for one in (first, facts.median(numeric_only=True))
        )
        name = loss_name(facts)
        return (
            f"{called(facts, int(first['number']))} has a training {name} of {firsts[0]} and a validation {name} of "
            f"{firsts[1]}; the median trial "
            f"{medians[0]} and {medians[1]}."
        )

    def draw(self, facts: pd.DataFrame) -> go.Figure:
        both = facts[["training", "validation"]].to_numpy()
        log = bool(both.min() > 0 and both.max() / both.min() >= WIDE)
        drawn = figure(
            420,
            xaxis=axis(loss_label("training {}", facts), both[:, 0], log),
            yaxis=axis(loss_label("validation {}", facts), both[:, 1], log),
        )
        low, high = max(both[:, 0].min(), both[:, 1].min() * 0.8), min(both[:, 0].max(), both[:, 1].max())
        if low < high:
            ends = np.geomspace(low, high, 30) if low > 0 else np.array([low, high])
            line = {"color": PRUNED, "dash": "dash", "width": 1.5}
            drawn.add_scatter(x=ends, y=ends, mode="lines", line=line, name="no gap", hoverinfo="skip")
        looks = _chosen_apart(facts)
        told = "trial %{customdata}<br>training %{x:,.5~r}<br>validation %{y:,.5~r}"
        return _dots(drawn, looks, "training", "validation", told)


Look = tuple[str, pd.DataFrame, dict[str, Any]]  # name, trials, marker


def _chosen_apart(trials: pd.DataFrame) -> list[Look]:
    """Complete trials, and the one of them that is shipped."""
    chosen = trials["number"] == trials.attrs["chosen"]
    return [
        ("complete", trials[~chosen], {"color": COMPLETE, "size": 7, "opacity": 0.75}),
        ("chosen", trials[chosen], STAR),
    ]


def _dots(drawn: go.Figure, looks: Sequence[Look], x: str, y: str, told: str) -> go.Figure:
    """Trials as dots, each kind with its own look; ``told`` is what hovering says."""
    for name, some, marker in looks:
        drawn.add_scatter(
            x=some[x],
            y=some[y],
            mode="markers",
            name=name,
            marker=marker,
            customdata=some["number"],
            hovertemplate=f"{told}<extra></extra>",
        )
    return drawn
