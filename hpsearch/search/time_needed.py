"""How long a study will take, about, from a few epochs of a few configurations of its own space.

What a trial costs follows from its configuration: a part for each step, and one for each multiplication
(:func:`~hpsearch.search.baselines.seconds_of_training`). How fast this machine does both is measured, on the study's own
rows, with configurations from the cheapest to the dearest of many that are spread over the space. Where an epoch takes
long, on a part of the rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from hpsearch.arrays import Floats
from hpsearch.data.splits import Split
from hpsearch.definition.study import StudyDefinition
from hpsearch.search.baselines import seconds_of_baselines, seconds_of_training
from hpsearch.search.objective import Prepared
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import cross_validate
from hpsearch.validation.lanes import architecture_of

CONFIGURATIONS = 64  # spread over the space
MEASURED = 3  # of them
LEAST_ROWS = 256  # of a split that are trained on to measure
SECONDS = 1.0  # for measuring
# What a trial takes beside its training, and a study beside its trials: proposals, storage; imports, corrected score.
_OF_A_TRIAL, _OF_A_STUDY = 0.03, 2.0
# Of their epochs, what trials take on average where a pruner stops some, as measured on the shipped studies.
_NOT_PRUNED = 0.6
_HIGH = 0.9  # of the space's costs, the quantile that a search may settle at


@dataclass(frozen=True)
class TimeNeeded:
    """How long a study will take on this machine, if nothing else keeps it busy.

    Attributes:
        about: seconds.
        at_most: seconds, if no trial ends early and the search settles at dear configurations.
        workers: processes that train.
        trials: that are still to be told.
        epochs: of a trial, at most.
        splits: networks of a trial.
        finalists: that are trained again, of which one more with fewer rows.
    """

    about: float
    at_most: float
    workers: int
    trials: int
    epochs: int
    splits: int
    finalists: int

    def __str__(self) -> str:
        about, unit = _rounded(self.about)
        most, most_unit = _rounded(max(self.at_most, self.about))
        by = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        upper = (
            f", at most {most}{'' if most_unit == unit else f' {most_unit}'}"
            if (most, most_unit) != (about, unit)
            else ""
        )
        trials = "1 trial" if self.trials == 1 else f"{self.trials} trials"
        what = f"{trials} of up to {self.epochs} epochs on {self.splits} splits"
        then = f", then the finals of {self.finalists}" if self.finalists else ""
        return f"About {about} {unit} with {by}{upper}: {what}{then}."


def _rounded(seconds: float) -> tuple[str, str]:
    """A number of seconds, minutes or hours of one or two digits, and its unit."""
    for unit, size in (("seconds", 1.0), ("minutes", 60.0), ("hours", 3600.0), ("days", 86400.0)):
        if seconds < 90 * size or unit == "days":
            break
        if unit == "hours" and seconds < 48 * size:
            break
    number = seconds / size
    step = 10 ** math.floor(math.log10(max(number, 1.0))) / (1 if number < 10 else 2)
    return f"{max(1, round(round(number / step) * step))}", unit


def time_needed(prepared: Prepared, workers: int = 1, told: int = 0, seconds: float = SECONDS) -> TimeNeeded:
    """Measure how long a study will take.

    Args:
        prepared: the study with its rows.
        workers: processes of this machine that train.
        told: trials that need no training any more.
        seconds: that the measuring takes at most, about.
    """
    definition = prepared.definition
    space = _Costs.measured(prepared, seconds)
    trials, epochs = max(0, definition.limit - told), definition.most_epochs
    workers = max(1, min(workers, trials or 1, definition.search.in_flight))

    def study(of_trial: float, of_final: float, share: float) -> float:
        search = trials * (share * of_trial + space.setup + _OF_A_TRIAL) / workers
        total = max(search, share * of_trial if trials else 0.0)
        if definition.finalists:
            final, rounds = of_final, math.ceil(definition.finalists / workers)
            total += (rounds + (definition.retrain.members > 1)) * (final + space.setup)
        return total + seconds_of_baselines(prepared, trials * share * of_trial) + _OF_A_STUDY

    stops = definition.build_pruner() is not None
    mean, high = float(np.mean(space.trials)), float(np.quantile(space.trials, _HIGH))
    return TimeNeeded(
        study(mean, float(np.mean(space.finals)), _NOT_PRUNED if stops else 1.0),
        study(max(mean, high), float(np.quantile(space.finals, _HIGH)), 1.0),
        workers,
        trials,
        epochs,
        len(prepared.splits),
        min(definition.finalists, definition.limit),
    )


@dataclass(frozen=True)
class _Costs:
    """Seconds of training, of configurations spread over the space: of a whole trial, of a finalist; and what a trial
    takes before its first epoch."""

    trials: Floats
    finals: Floats
    setup: float

    @classmethod
    def measured(cls, prepared: Prepared, seconds: float) -> _Costs:
        definition = prepared.definition
        configs = [definition.config(chosen) for chosen in _spread(definition)]
        parameters = [_parameters(prepared, config) for config in configs]
        finals = [split for split in prepared.splits if not split.repeat] * definition.search.finalist_repeats

        def computed(splits: Sequence[Split]) -> Floats:
            pairs = zip(configs, parameters, strict=True)
            return np.array([seconds_of_training(c.epochs, splits, c.batch_size, size) for c, size in pairs])

        costs = computed(prepared.splits)
        order = np.argsort(costs, kind="stable")
        # Each stands for as much of the whole cost as the others do.
        shares = np.cumsum(costs[order]) / costs.sum()
        places = np.unique(np.searchsorted(shares, (np.arange(MEASURED) + 0.5) / MEASURED))
        chosen = order[np.minimum(places, len(order) - 1)]
        found = [_measure(prepared, configs[at], parameters[at], seconds / len(chosen)) for at in chosen]
        # How much slower than computed, between those measured along the cost of an epoch.
        an_epoch = costs / [config.epochs for config in configs]
        ratios = np.interp(np.log(an_epoch), np.log(an_epoch[chosen]), [ratio for ratio, _ in found])
        return cls(costs * ratios, computed(finals) * ratios, min(setup for _, setup in found))


def _spread(definition: StudyDefinition) -> list[Mapping[str, Any]]:
    """Hyperparameters spread over the space: of each dimension, one value in each of as many parts (a Latin square)."""
    space, draw = definition.space, np.random.default_rng(0)
    count = CONFIGURATIONS if space.dimensions else 1
    units = {name: (draw.permutation(count) + 0.5) / count for name in space.names}
    found: list[Mapping[str, Any]] = []
    for number in range(count):
        chosen: dict[str, Any] = {}
        for name in space.names:
            if space.exists(name, chosen, definition.train):
                chosen[name] = space.dimensions[name].at(float(units[name][number]))
        found.append(chosen)
    return found


def _parameters(prepared: Prepared, config: Config) -> int:
    data = prepared.search
    return architecture_of(config, data.features.shape[1], len(data.class_names)).network.size


def _measure(prepared: Prepared, config: Config, parameters: int, seconds: float) -> tuple[float, float]:
    """How many times slower than computed a configuration trains, and what comes before its first epoch."""
    definition = prepared.definition
    every = min(definition.evaluate_every, config.epochs)
    splits: Sequence[Split] = prepared.splits
    scalings = prepared.scalings[config.scaling]
    size = 0 if isinstance(config.batch_size, str) else config.batch_size
    whole = seconds_of_training(every, splits, config.batch_size, parameters)
    if whole > seconds / 3:
        part = seconds / 3 / whole
        splits = [_part(split, part, max(LEAST_ROWS, 2 * size)) for split in splits]
        whole = seconds_of_training(every, splits, config.batch_size, parameters)
        every = max(1, min(every, round(every * seconds / 3 / whole)))
    epochs, clock = [0], [time.perf_counter()]

    def stop(epoch: int, mean: float) -> bool:
        epochs.append(epoch)
        clock.append(time.perf_counter())
        return clock[-1] - clock[1] > seconds  # before the first, compiled kernels may have been loaded

    # No training diverges at such a rate.
    slow = config.replaced({"learning_rate": min(config.learning_rate, 1e-4)})
    with threadpool_limits(1), np.errstate(all="ignore"):
        cross_validate(
            prepared.search, splits, slow, definition.seed, scalings=scalings, evaluate_every=every, should_stop=stop
        )
    computed = seconds_of_training(1, splits, config.batch_size, parameters)
    if len(epochs) > 2:
        an_epoch = (clock[-1] - clock[1]) / (epochs[-1] - epochs[1])
        setup = max(0.0, clock[1] - clock[0] - an_epoch * epochs[1])
    else:
        an_epoch, setup = (clock[-1] - clock[0]) / max(1, epochs[-1]), 0.0
    return an_epoch / computed, setup


def _part(split: Split, part: float, least: int) -> Split:
    """A split of fewer rows, spread over its own."""

    def some(rows: Any) -> Any:
        count = min(len(rows), max(least, round(part * len(rows))))
        return rows[np.linspace(0, len(rows) - 1, count).astype(np.intp)]

    return replace(split, training=some(split.training), validation=some(split.validation))
