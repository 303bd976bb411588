"""Samplers propose trials: their options as a study file gives them, and how each is made from Optuna's parts.

Whatever a sampler draws is a function of (study seed, trial number, hyperparameter) and of what the study it is shown
holds. So who asks, and how often, changes nothing.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from hpsearch.definition.registered import Section
from hpsearch.extras import require
from hpsearch.limits import MOST_TRIALS
from hpsearch.seeds import keyed_seed

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from hpsearch.definition.network_sizes import NetworkSizes


_Startup = Annotated[int, Field(ge=1, le=MOST_TRIALS, description="random trials before the first model")]


class Sampler(Section, ABC):
    """What proposes trials, with its options.

    Attributes:
        stateful: whether proposals depend on what earlier proposals left in the study: those are then proposed anew on
            resuming.
        finite: whether it proposes every point of the space's grid once, and then no more.
        several: whether it can search for several objectives.
    """

    stateful: ClassVar[bool] = False
    finite: ClassVar[bool] = False
    several: ClassVar[bool] = True

    name: Annotated[str, Field(description="which sampler")]

    @abstractmethod
    def for_trial(self, sizes: NetworkSizes, study_seed: int, number: int) -> BaseSampler:
        """What proposes trial ``number`` and no other.

        Args:
            sizes: the space, and how large its networks may be.
            study_seed: the study's.
            number: the trial's.

        Raises:
            MissingExtraError: a package that this sampler needs is missing.
            DefinitionError: a space that this sampler cannot search.
        """


class TPE(Sampler):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), multivariate, layers that exist together jointly."""

    n_startup_trials: _Startup = 10
    n_ei_candidates: Annotated[int, Field(ge=1, le=10_000, description="candidates drawn for each proposal")] = 24

    def for_trial(self, sizes: NetworkSizes, study_seed: int, number: int) -> BaseSampler:
        from optuna.samplers import TPESampler

        def build(seed: int) -> BaseSampler:
            return TPESampler(
                seed=seed,
                n_startup_trials=self.n_startup_trials,
                n_ei_candidates=self.n_ei_candidates,
                multivariate=True,
                group=True,
                constant_liar=True,
            )

        return _keyed(build, study_seed, number)


class Random(Sampler):
    """Independent random search (Bergstra & Bengio 2012)."""

    def for_trial(self, sizes: NetworkSizes, study_seed: int, number: int) -> BaseSampler:
        from optuna.samplers import RandomSampler

        return _keyed(lambda seed: RandomSampler(seed=seed), study_seed, number)


class QMC(Sampler):
    """Quasi-random search: trial t takes point t of one scrambled Sobol sequence (Sobol 1967, Owen 1998)."""

    def for_trial(self, sizes: NetworkSizes, study_seed: int, number: int) -> BaseSampler:
        from scipy.stats.qmc import Sobol

        space = sizes.space
        sequence = Sobol(
            max(1, len(space.names)), scramble=True, rng=np.random.default_rng(keyed_seed(study_seed, "qmc"))
        )
        point = sequence.fast_forward(number).random(1)[0] if number else sequence.random(1)[0]
        units = dict(zip(space.names, point, strict=False))
        return _placed(lambda name: space.dimensions[name].at(units[name]))


class Grid(Sampler):
    """Every configuration of a space of choices and steps, once, in an order drawn from the study's seed."""

    finite: ClassVar[bool] = True

    def for_trial(self, sizes: NetworkSizes, study_seed: int, number: int) -> BaseSampler:
        points = sizes.grid
        order = np.random.default_rng(keyed_seed(study_seed, "grid")).permutation(len(points))
        chosen: Mapping[str, Any] = points[order[number]]
        return _placed(lambda name: chosen[name])


class CmaEs(Sampler):
    """Covariance matrix adaptation (Hansen & Ostermeier 2001); conditional and categorical dimensions independently.

    Its state is rebuilt on resuming by proposing again; the promises hold as far as the package keeps its own.
    """

    stateful: ClassVar[bool] = True
    several: ClassVar[bool] = False

    n_startup_trials: Annotated[
        int, Field(ge=1, le=MOST_TRIALS, description="random trials before the first generation")
    ] = 1

    def for_trial(self, sizes: NetworkSizes, study_seed: int, number: int) -> BaseSampler:
        from optuna.samplers import CmaEsSampler, RandomSampler

        require("cmaes", "samplers", "The sampler 'cmaes'")

        def build(seed: int) -> BaseSampler:
            return CmaEsSampler(
                seed=seed,
                n_startup_trials=self.n_startup_trials,
                independent_sampler=RandomSampler(seed=seed),
                warn_independent_sampling=False,
            )

        return _keyed(build, study_seed, number)


class NSGA2(Sampler):
    """Genetic search for a front (NSGA-II, Deb et al. 2002); conditional dimensions independently.

    Generations are made of complete trials. Which were parents is rebuilt on resuming by proposing again. One of n
    inherited hyperparameters mutates on average, so a single one always does.
    """

    stateful: ClassVar[bool] = True

    population_size: Annotated[int, Field(ge=2, le=10_000, description="complete trials of a generation")] = 50

    def for_trial(self, sizes: NetworkSizes, study_seed: int, number: int) -> BaseSampler:
        from optuna.samplers import NSGAIISampler

        return _keyed(lambda seed: NSGAIISampler(seed=seed, population_size=self.population_size), study_seed, number)


class GP(Sampler):
    """Gaussian process with expected improvement, or of the hypervolume; conditional dimensions independently.

    Repeats exactly where PyTorch does: on one machine and version, with one thread.
    """

    n_startup_trials: _Startup = 10

    def for_trial(self, sizes: NetworkSizes, study_seed: int, number: int) -> BaseSampler:
        from optuna.samplers import GPSampler, RandomSampler

        require("torch", "samplers", "The sampler 'gp'")

        def build(seed: int) -> BaseSampler:
            return GPSampler(
                seed=seed,
                n_startup_trials=self.n_startup_trials,
                independent_sampler=RandomSampler(seed=seed),
                warn_independent_sampling=False,
            )

        return _keyed(build, study_seed, number)


def _keyed(build: Callable[[int], BaseSampler], study_seed: int, number: int) -> BaseSampler:
    """A sampler whose every draw is seeded by (study seed, trial number, hyperparameter).

    What a trial is proposed then does not depend on which proposals this process made before.
    """
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import BaseSampler

    def fresh(name: str) -> BaseSampler:
        with warnings.catch_warnings():
            # What is marked experimental may change in another version, and versions are part of a study.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return build(keyed_seed(study_seed, number, name))

    class Keyed(BaseSampler):
        def __init__(self) -> None:
            self._joint = fresh("<joint>")  # one object: its space and its sample belong together

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return self._joint.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return self._joint.sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return fresh(param_name).sample_independent(study, trial, param_name, param_distribution)

    return Keyed()


def _placed(value_of: Callable[[str], Any]) -> BaseSampler:
    """A sampler whose trial's place is known beforehand."""
    from optuna.samplers import BaseSampler

    class Placed(BaseSampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return value_of(param_name)

    return Placed()


SAMPLERS: dict[str, type[Sampler]] = {
    "cmaes": CmaEs,
    "gp": GP,
    "grid": Grid,
    "nsga2": NSGA2,
    "qmc": QMC,
    "random": Random,
    "tpe": TPE,
}
