"""What becomes of a trial. Plain values: worker processes need neither a database nor what opens one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hpsearch.numbers import rounded
from hpsearch.validation.score import Scored

if TYPE_CHECKING:
    from hpsearch.validation.cross_validate import EnsembleCurve, RowResults
    from hpsearch.validation.metric import Metric

TrialState = Literal["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
# Keys of a study's identity: the probes of the machine that began it. Studies stored before do not have the second.
MACHINE, FUNCTIONS = "machine.probe", "machine.functions"


@dataclass(frozen=True, repr=False)
class TrialResult(Scored):
    """What became of a trial.

    Attributes:
        number: the trial's, from 0.
        state: ``COMPLETE``, ``PRUNED`` or ``FAIL``.
        value: the objective value, where complete.
        parameters: weights and biases of one network.
        seconds: what its training took; not part of any comparison.
        score, best_epoch: at the chosen checkpoint, where complete.
        reason: why it did not complete.
        epochs: of every checkpoint.
        intermediate: the mean over splits of the objective there.
        training_loss, validation_loss: of every checkpoint, one value a split.
        folds: one table row a split, where complete.
        pruner_attributes: what the pruner noted with this trial.
        machine: the probe of the machine that trained it, where that is not the study's.
        rows: the per-row results, where complete: stored in a file of its own, and here only until then.
        same_as: the earlier trial of the same configuration whose curve this one was given instead of a training.
        ensemble: of a finalist, its out-of-fold ensemble.
    """

    number: int
    state: TrialState
    value: float | None
    parameters: int
    seconds: float
    best_epoch: int | None = None
    reason: str | None = None
    epochs: list[int] = field(default_factory=list)
    intermediate: list[float] = field(default_factory=list)
    training_loss: list[list[float]] = field(default_factory=list)
    validation_loss: list[list[float]] = field(default_factory=list)
    folds: list[dict[str, Any]] = field(default_factory=list)
    pruner_attributes: dict[str, Any] = field(default_factory=dict)
    same_as: int | None = None
    machine: str | None = None
    rows: RowResults | None = field(default=None, repr=False, compare=False)
    ensemble: EnsembleCurve | None = None

    def __repr__(self) -> str:
        value = self.reason if self.value is None else rounded(self.value)
        return f"<trial {self.number}: {'failed' if self.state == 'FAIL' else self.state.lower()}, {value}>"

    @property
    def ensemble_value(self) -> float | None:
        """The ensemble's objective at its chosen checkpoint."""
        if self.ensemble is None or self.best_epoch is None:
            return None
        return self.ensemble.objective[self.epochs.index(self.best_epoch)]


def ranked(results: Iterable[TrialResult | None], metric: Metric) -> list[TrialResult]:
    """The complete trials, from the one with the best value of this objective on, the earlier one among equals."""
    complete = [(result.value, result) for result in results if result is not None and result.value is not None]
    complete.sort(key=lambda pair: (metric.sign * pair[0], pair[1].number))
    return [result for _, result in complete]


def best_result(results: Iterable[TrialResult | None], metric: Metric) -> TrialResult | None:
    """The complete trial with the best value of this objective; None if none is complete."""
    return next(iter(ranked(results, metric)), None)


def one_se_result(results: Iterable[TrialResult], metric: Metric) -> TrialResult | None:
    """The complete trial with the fewest parameters among those within one standard error of the best.

    The standard error is the best trial's, over its splits (the one-standard-error rule: Breiman, Friedman, Olshen &
    Stone 1984, "Classification and Regression Trees"); of equally small ones the better. None if none is complete.
    """
    complete = ranked(results, metric)
    if not complete:
        return None
    best, error = complete[0], standard_error(complete[0])
    within = [result for result in complete if minimised(result, metric) <= minimised(best, metric) + (error or 0)]
    return min(within, key=lambda result: result.parameters)  # of equals the first, which is the better


def front(results: Iterable[TrialResult | None], metric: Metric) -> list[TrialResult]:
    """The complete trials than which no other is better in the objective and as small, or smaller and as good; the
    smallest networks first, of equal ones all."""
    found: list[TrialResult] = []
    for result in sorted(ranked(results, metric), key=lambda result: result.parameters):
        last = found[-1] if found else None
        equal = last is not None and (result.parameters, result.value) == (last.parameters, last.value)
        if last is None or equal or minimised(result, metric) < minimised(last, metric):
            found.append(result)
    return found


def minimised(result: TrialResult, metric: Metric) -> float:
    """A complete trial's value, negated where higher is better."""
    assert result.value is not None
    return metric.sign * result.value


def standard_error(result: TrialResult) -> float | None:
    """Of a complete trial's value, over its splits; None with fewer than two."""
    values = [fold_value(fold) for fold in result.folds]
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return math.sqrt(variance / len(values))


def fold_value(fold: Mapping[str, Any]) -> float:
    """The objective on a split, from its row of the folds table, which has it by itself where it is not the loss."""
    value: float = fold.get("objective", fold["validation_loss"])
    return value
