"""Pruners stop trials early: their options as a study file gives them, and Optuna's pruner with those.

Whatever a pruner decides is a function of the study it is shown.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hpsearch.definition.registered import Section
from hpsearch.limits import MOST_EPOCHS, MOST_TRIALS

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


_Startup = Annotated[int, Field(ge=0, le=MOST_TRIALS, description="complete trials before the first may be pruned")]
_Warmup = Annotated[int, Field(ge=0, le=MOST_EPOCHS, description="epochs before a trial may be pruned")]
_Fewest = Annotated[int, Field(ge=1, le=MOST_TRIALS, description="trials with a value at an epoch before it counts")]
_Reduction = Annotated[int, Field(ge=2, le=1000, description="one in this many is promoted")]
_Bootstrap = Annotated[int, Field(ge=0, le=MOST_TRIALS, description="trials at a rung before the first promotion")]


class Pruner(Section, ABC):
    """What stops trials early, with its options."""

    name: Annotated[str, Field(description="which pruner")]

    @abstractmethod
    def build(self, least: int, most: int) -> BasePruner | None:
        """Optuna's pruner; its steps and resources are epochs. None if it never prunes.

        Args:
            least: epochs before the first checkpoint.
            most: the most epochs that a trial of the study can run.
        """


class Median(Pruner):
    """Stops a trial whose best mean objective so far is worse than the median of earlier trials' there."""

    n_startup_trials: _Startup = 5
    n_warmup_steps: _Warmup = 0
    n_min_trials: _Fewest = 1

    def build(self, least: int, most: int) -> BasePruner | None:
        from optuna.pruners import MedianPruner

        return MedianPruner(self.n_startup_trials, self.n_warmup_steps, n_min_trials=self.n_min_trials)


class Percentile(Pruner):
    """Stops a trial that is not among the best ``percentile`` per cent of earlier trials at the same epoch."""

    percentile: Annotated[float, Field(ge=0, le=100, description="per cent of trials to keep")] = 25.0
    n_startup_trials: _Startup = 5
    n_warmup_steps: _Warmup = 0
    n_min_trials: _Fewest = 1

    def build(self, least: int, most: int) -> BasePruner | None:
        from optuna.pruners import PercentilePruner

        return PercentilePruner(
            self.percentile, self.n_startup_trials, self.n_warmup_steps, n_min_trials=self.n_min_trials
        )


class SuccessiveHalving(Pruner):
    """Asynchronous successive halving (Li et al. 2020): a rung every ``reduction_factor`` times the epochs before."""

    reduction_factor: _Reduction = 4
    min_early_stopping_rate: Annotated[int, Field(ge=0, le=100, description="rungs left out at the beginning")] = 0
    bootstrap_count: _Bootstrap = 0

    def build(self, least: int, most: int) -> BasePruner | None:
        from optuna.pruners import SuccessiveHalvingPruner

        return SuccessiveHalvingPruner(least, self.reduction_factor, self.min_early_stopping_rate, self.bootstrap_count)


class Hyperband(Pruner):
    """Several successive halvings side by side (Li et al. 2018); a trial's own follows from study name and number."""

    reduction_factor: _Reduction = 3
    bootstrap_count: _Bootstrap = 0

    def build(self, least: int, most: int) -> BasePruner | None:
        from optuna.pruners import HyperbandPruner

        return HyperbandPruner(least, most, self.reduction_factor, self.bootstrap_count)


class NoPruner(Pruner):
    """Every trial runs to its last epoch."""

    def build(self, least: int, most: int) -> BasePruner | None:
        return None


PRUNERS: dict[str, type[Pruner]] = {
    "hyperband": Hyperband,
    "median": Median,
    "none": NoPruner,
    "percentile": Percentile,
    "successive_halving": SuccessiveHalving,
}
