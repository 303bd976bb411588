"""The best few trials of a study once more, on splits and seeds that no choice was made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from hpsearch import seeds
from hpsearch.data.splits import SPLITTERS
from hpsearch.definition.study import as_key
from hpsearch.errors import DataError, HpsearchError, located
from hpsearch.markup import table
from hpsearch.search.correction import definition_of
from hpsearch.search.finals import best_of_each
from hpsearch.search.objective import fresh_splits, prepare
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.threads import one_thread
from hpsearch.validation.cross_validate import CrossValidation, cross_validate
from hpsearch.validation.estimates import LEVEL, Estimate, estimate, student
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import METRICS, objective_metric, shown
from hpsearch.validation.score import Scored


@dataclass(frozen=True)
class Confirmed(Scored):
    """A trial on fresh splits.

    Attributes:
        trial: its number.
        searched: its objective value in the search.
        parameters: weights and biases of one network.
        loss: the mean validation loss over the fresh splits, with Nadeau & Bengio's interval; None if it diverged.
        score: likewise, its mean.
        objective: likewise the study's objective, by which trials are compared.
    """

    trial: int
    searched: float
    parameters: int
    loss: Estimate | None
    objective: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """Two trials on the same fresh splits.

    Attributes:
        better, worse: trial numbers, by their means.
        difference: how much better, lower or higher, the better one's mean objective is.
        low, high: the interval of the difference at 95 %, for this pair by itself.
        p: of no difference, adjusted for all pairs that were compared (Holm 1979).
        distinguishable: whether ``p`` is below 5 %.
    """

    better: int
    worse: int
    difference: float
    low: float
    high: float
    p: float
    distinguishable: bool


@dataclass(frozen=True)
class Confirmation:
    """The best few trials, compared on fresh splits: ``trials`` from the best to the worst there.

    ``loss_name`` is which loss the study's networks are trained with.

    Fresh splits and initial weights take away the luck that a trial had with the search's. The rows are the same, so
    the luck of the rows, which all its networks share, stays.
    """

    study: str
    objective: str
    splits: int
    repeats: int
    trials: tuple[Confirmed, ...]
    comparisons: tuple[Comparison, ...]
    loss_name: str = "cross_entropy"

    @property
    def metric(self) -> Metric:
        """The study's objective."""
        return objective_metric(self.objective, self.loss_name)

    def __repr__(self) -> str:
        metric = self.metric
        trials = [
            f"trial {one.trial} {'diverged' if one.objective is None else shown(one.objective.mean, metric)}"
            for one in self.trials
        ]
        title = metric.headline.title
        return f"Confirmation of {self.study!r} on {self.splits} fresh splits, {title}: {', '.join(trials)}"

    def _repr_html_(self) -> str:
        better = {pair.worse: pair for pair in self.comparisons if pair.better == self.trials[0].trial}
        rows, metric = [], self.metric
        for one in self.trials:
            sure, pair = one.objective, better.get(one.trial)
            span = ""
            if sure is not None and sure.low is not None:
                span = f"{shown(sure.low, metric)} to {shown(sure.high or 0, metric)}"
            verdict = "" if pair is None else "yes" if pair.distinguishable else "no"
            values = [value and metric.in_headline(value) for value in (one.searched, sure and sure.mean)]
            rows.append([one.trial, one.parameters, *values, span, pair and pair.p, verdict])
        heads = ["trial", "parameters", "search", "fresh splits", "95 % interval", "p", "worse than the first"]
        caption = f"Trials of {self.study!r} on {self.splits} fresh splits, {metric.headline.title}"
        return table(heads, rows, caption)


@located(wording=as_key)
def confirm(
    stored: StoredStudy, top: int = 5, repeats: int = 3, on_done: Callable[[int, int], None] | None = None
) -> Confirmation:
    """Cross-validate the best trials again, for as many epochs as their chosen checkpoints had.

    Args:
        stored: the study.
        top: how many trials, of different configurations.
        repeats: times that the rows are dealt into folds.
        on_done: told after each trial how many are done, of how many.

    Two trials are compared by their difference on each of the J splits: a t-test with Nadeau & Bengio's (2003)
    correction for overlapping training rows, which Bouckaert & Frank (2004), "Evaluating the replicability of
    significance tests for comparing learning algorithms", found to be the one to use with repeated folds. Rows held out
    are never used.

    Raises:
        HpsearchError: no complete trial, splits that cannot be dealt anew, ``top`` or ``repeats`` below 1.
        DataError: rows that are no longer those of the study; fresh splits on which the objective is undefined.
    """
    if min(top, repeats) < 1:
        raise HpsearchError("top and repeats must be at least 1", f"are {top} and {repeats}")
    definition = definition_of(stored)
    validation, kind = definition.validation, SPLITTERS[definition.validation.splitter]
    if not kind.shuffles:
        raise HpsearchError(
            "Confirming needs splits that can be dealt anew",
            f"those of splitter {validation.splitter!r} are always the same",
            "Believe the hold-out, or `hpsearch nested`.",
        )
    trials = [trial for trial in stored.trials() if trial.state.is_finished()]
    results = [stored_result(trial) for trial in trials]
    metric = definition.metric
    chosen = best_of_each(definition, results, [trial.params for trial in trials], top)
    if not chosen:
        raise HpsearchError(f"The study {stored.name!r} must have a complete trial to confirm", "has none")
    prepared = prepare(definition)
    if prepared.search.fingerprint != stored.attributes["identity"]["data.fingerprint"]:
        raise DataError(f"The rows must be those that {stored.name!r} searched with", "are others", "Restore the data.")
    seed = seeds.integer_seed(definition.seed, "confirm")
    splits = fresh_splits(definition, prepared.search, "confirm", repeats, shuffle=True)
    outcomes: dict[int, CrossValidation] = {}
    for result in chosen:
        config = definition.config(trials[result.number].params).replaced({"epochs": result.best_epoch})
        with one_thread():
            outcomes[result.number] = cross_validate(
                prepared.search, splits, config, seed, rule="last", objective=definition.search.objective
            )
        if on_done is not None:
            on_done(len(outcomes), len(chosen))
    confirmed = [
        Confirmed(
            trial=result.number,
            searched=float(result.value or 0),
            parameters=result.parameters,
            loss=outcome.estimate_of_loss,
            objective=outcome.estimate,
            score=outcome.score,
            score_name=outcome.score_name,
        )
        for result, outcome in zip(chosen, outcomes.values(), strict=True)
    ]
    confirmed.sort(
        key=lambda one: (one.objective is None, one.objective and metric.sign * one.objective.mean, one.trial)
    )
    finished = [one.trial for one in confirmed if one.objective is not None]
    comparisons = _compare({number: outcomes[number] for number in finished}) if len(splits) > 1 else ()
    objective = definition.search.objective
    return Confirmation(stored.name, objective, len(splits), repeats, tuple(confirmed), comparisons, definition.loss)


def _compare(outcomes: dict[int, CrossValidation]) -> tuple[Comparison, ...]:
    """All pairs, the better one first."""
    found: list[tuple[int, int, Estimate, float]] = []
    for better, worse in combinations(outcomes, 2):
        difference, p = _paired(outcomes[better], outcomes[worse])
        found.append((better, worse, difference, p))
    adjusted = holm([p for *_, p in found])
    return tuple(
        Comparison(better, worse, sure.mean, float(sure.low or 0), float(sure.high or 0), p, bool(p < 1 - LEVEL))
        for (better, worse, sure, _), p in zip(found, adjusted, strict=True)
    )


def _paired(better: CrossValidation, worse: CrossValidation) -> tuple[Estimate, float]:
    """The mean difference over the splits, and the two-sided p-value of no difference."""
    from scipy.special import stdtr

    def column(outcome: CrossValidation, name: str) -> Any:
        return [getattr(fold, name) for fold in outcome.folds]

    differences = METRICS[better.objective].sign * np.subtract(column(worse, "value"), column(better, "value"))
    sure = estimate(differences.tolist(), column(better, "training_rows"), column(better, "validation_rows"))
    error = (float(sure.high or 0) - sure.mean) / student(LEVEL, sure.splits - 1)
    if error == 0:
        return sure, float(sure.mean == 0)
    return sure, float(2 * stdtr(sure.splits - 1, -abs(sure.mean) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted so that the chance of any false rejection among them stays what it was for one (Holm 1979)."""
    order, count, most = np.argsort(p_values, kind="stable"), len(p_values), 0.0
    adjusted = [0.0] * count
    for place, number in enumerate(order):
        most = max(most, min(1.0, (count - place) * p_values[number]))
        adjusted[number] = most
    return adjusted
