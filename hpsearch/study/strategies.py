"""Samplers propose, pruners stop: Optuna's own classes, with the options that a study file may set."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hpsearch.seeds import keyed_seed

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


class Strategy(BaseModel):
    """Options of a sampler or pruner. A study file gives its name alone, or a table with ``name`` and options."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str


class Sampler(Strategy, ABC):
    @abstractmethod
    def build(self, seed: int) -> BaseSampler:
        """Optuna's sampler, freshly seeded (32 bits)."""


class TPE(Sampler):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), multivariate, layers that exist together jointly."""

    n_startup_trials: Annotated[int, Field(ge=1, description="random trials before the first model")] = 10
    n_ei_candidates: Annotated[int, Field(ge=1, description="candidates drawn for each proposal")] = 24

    def build(self, seed: int) -> BaseSampler:
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        with warnings.catch_warnings():
            # `group` is marked experimental: it may change in another version, and versions are part of a study.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(
                seed=seed,
                n_startup_trials=self.n_startup_trials,
                n_ei_candidates=self.n_ei_candidates,
                multivariate=True,
                group=True,
                constant_liar=True,
            )


class Random(Sampler):
    """Independent random search (Bergstra & Bengio 2012)."""

    def build(self, seed: int) -> BaseSampler:
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)


class Pruner(Strategy, ABC):
    @abstractmethod
    def build(self) -> BasePruner:
        """Optuna's pruner; its steps are epochs."""


class Median(Pruner):
    """Stops a trial whose best mean validation loss so far is worse than the median of earlier trials' there."""

    n_startup_trials: Annotated[int, Field(ge=0, description="complete trials before the first may be pruned")] = 5
    n_warmup_steps: Annotated[int, Field(ge=0, description="epochs before a trial may be pruned")] = 0
    n_min_trials: Annotated[int, Field(ge=1, description="trials with a value at an epoch before it counts")] = 1

    def build(self) -> BasePruner:
        from optuna.pruners import MedianPruner

        return MedianPruner(self.n_startup_trials, self.n_warmup_steps, n_min_trials=self.n_min_trials)


class NoPruner(Pruner):
    """Every trial runs to its last epoch."""

    def build(self) -> BasePruner:
        from optuna.pruners import NopPruner

        return NopPruner()


SAMPLERS: dict[str, type[Sampler]] = {"random": Random, "tpe": TPE}
PRUNERS: dict[str, type[Pruner]] = {"median": Median, "none": NoPruner}


def keyed(sampler: Sampler, study_seed: int, trial_number: int) -> BaseSampler:
    """A sampler whose every draw is seeded by (study seed, trial number, hyperparameter).

    So what a trial is proposed does not depend on which proposals this process made before: a study continued by
    another process, or for other trials first, proposes the same.
    """
    from optuna.samplers import BaseSampler

    class Keyed(BaseSampler):
        def __init__(self) -> None:
            self._joint = self._fresh("<joint>")  # one object: its space and its sample belong together

        def _fresh(self, name: str) -> BaseSampler:
            return sampler.build(keyed_seed(study_seed, trial_number, name))

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return self._joint.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return self._joint.sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return self._fresh(param_name).sample_independent(study, trial, param_name, param_distribution)

    return Keyed()
