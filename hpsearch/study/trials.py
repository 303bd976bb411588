"""What becomes of a trial. Plain values: worker processes need neither a database nor what opens one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from hpsearch.validation.cross_validate import RowResults

State = Literal["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
MACHINE = "machine.probe"  # of a study's identity


@dataclass(frozen=True)
class TrialResult:
    """What became of a trial.

    Attributes:
        number: the trial's, from 0.
        state: ``COMPLETE``, ``PRUNED`` or ``FAIL``.
        value: the objective value, where complete.
        parameters: weights and biases of one network.
        seconds: what its training took; not part of any comparison.
        accuracy, best_epoch: at the chosen checkpoint, where complete.
        reason: why it did not complete.
        epochs: of every checkpoint.
        intermediate: the mean validation loss there.
        training_loss, validation_loss: of every checkpoint, one value a split.
        folds: one table row a split, where complete.
        pruner_marks: what the pruner noted with this trial.
        machine: the probe of the machine that trained it, where that is not the study's.
        rows: what became of every validation row, where complete: kept in a file of its own, and here only until then.
        same_as: the earlier trial of the same configuration whose curve this one was given instead of a training.
    """

    number: int
    state: State
    value: float | None
    parameters: int
    seconds: float
    accuracy: float | None = None
    best_epoch: int | None = None
    reason: str | None = None
    epochs: list[int] = field(default_factory=list)
    intermediate: list[float] = field(default_factory=list)
    training_loss: list[list[float]] = field(default_factory=list)
    validation_loss: list[list[float]] = field(default_factory=list)
    folds: list[dict[str, Any]] = field(default_factory=list)
    pruner_marks: dict[str, Any] = field(default_factory=dict)
    same_as: int | None = None
    machine: str | None = None
    rows: RowResults | None = field(default=None, repr=False, compare=False)


def best_of(results: Iterable[TrialResult | None]) -> TrialResult | None:
    """The complete trial with the lowest objective value, the earliest among equals; None if none is complete."""
    complete = [result for result in results if result is not None and result.value is not None]
    return min(complete, key=lambda result: (result.value, result.number), default=None)


def one_se_of(results: Iterable[TrialResult]) -> TrialResult | None:
    """The complete trial with the fewest parameters among those within one standard error of the best.

    The standard error is the best trial's, over its splits (the one-standard-error rule: Breiman, Friedman, Olshen &
    Stone 1984, "Classification and Regression Trees"); of equally small ones the better. None if none is complete.
    """
    complete = [result for result in results if result.value is not None]
    best = best_of(complete)
    if best is None or best.value is None:
        return None
    most = best.value + (standard_error(best) or 0)
    within = [result for result in complete if result.value is not None and result.value <= most]
    return min(within, key=lambda result: (result.parameters, result.value, result.number))


def standard_error(result: TrialResult) -> float | None:
    """Of a complete trial's value, over its splits; None with fewer than two."""
    losses = [fold["validation_loss"] for fold in result.folds]
    if len(losses) < 2:
        return None
    mean = sum(losses) / len(losses)
    variance = sum((loss - mean) ** 2 for loss in losses) / (len(losses) - 1)
    return math.sqrt(variance / len(losses))
