"""How long a study will take, about, from a few epochs of a few configurations of its own space.

What a trial costs follows from its configuration: a part for each step, and one for each multiplication
(:func:`~hpsearch.search.baselines.seconds_of_training`). How fast this machine does both is measured, on the study's
own rows, with configurations from the cheapest to the dearest of many that are spread over the space, and with as many
networks as the finals have. Where an epoch takes long, on a part of the rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpsearch.arrays import Floats
from hpsearch.data.splits import Split
from hpsearch.definition.network_sizes import NetworkSizes
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError
from hpsearch.numbers import plural
from hpsearch.search.baselines import seconds_of_baselines, seconds_of_training
from hpsearch.search.objective import Prepared
from hpsearch.threads import one_thread
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import cross_validate
from hpsearch.validation.lanes import architecture_of, fit_scalings

CONFIGURATIONS = 64  # spread over the space
MEASURED, MEASURED_FINALS = 3, 2  # of them, as trials and as finalists
LEAST_ROWS, LEAST_FITTED = 256, 2000  # of a split that are trained on to measure, and that a scaling learns from
SECONDS = 0.5  # for measuring
# Before a run, less, and none where the study is done soon: its first trial is not to wait.
BEFORE_A_RUN, SOON = 0.2, 10.0
# What a trial takes beside its training, and a study beside its trials: proposals, storage; imports, corrected score.
_OF_A_TRIAL, _OF_A_STUDY = 0.03, 3.0
# As measured on the shipped studies: after so many trials a pruner leaves others this share of their epochs, and a
# sampler that learns proposes networks that are so many times as dear as the space's mean. So are the finalists.
_EARLY, _NOT_PRUNED, _SETTLED = 12, 0.7, 1.6
_LEARNING = ("cmaes", "gp", "tpe")
_HIGH = 0.9  # the quantile of the space's costs that a search may settle at
_SLACK = 1.25  # of the most


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
        by = plural(self.workers, "worker")
        upper = (
            f", at most {most}{'' if most_unit == unit else f' {most_unit}'}"
            if (most, most_unit) != (about, unit)
            else ""
        )
        trials, epochs = plural(self.trials, "trial"), plural(self.epochs, "epoch")
        what = f"{trials} of up to {epochs} on {plural(self.splits, 'split')}"
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


def in_words(seconds: float) -> str:
    """As ``4 minutes``."""
    return " ".join(_rounded(seconds))


def time_needed(prepared: Prepared, workers: int = 1, told: int = 0, seconds: float = SECONDS) -> TimeNeeded:
    """Measure how long a study will take.

    Args:
        prepared: the study with its rows.
        workers: processes of this machine that train.
        told: trials that need no training any more.
        seconds: that the measuring takes, about; where compiled kernels are loaded for it, half a second more.
    """
    return _of_study(prepared, _Costs.computed(prepared).measured(prepared, seconds), workers, told)


def time_of_run(prepared: Prepared, workers: int, told: int) -> TimeNeeded | None:
    """The same with less measuring; None where nothing is left to do, or what there is to compute takes seconds."""
    costs = _Costs.computed(prepared)
    if told >= prepared.limit or _of_study(prepared, costs, workers, told).about < SOON:
        return None
    return _of_study(prepared, costs.measured(prepared, BEFORE_A_RUN), workers, told)


def _of_study(prepared: Prepared, costs: _Costs, workers: int, told: int) -> TimeNeeded:
    definition = prepared.definition
    search, trials = definition.search, max(0, prepared.limit - told)
    later = max(0, prepared.limit - max(told, _EARLY))
    workers = max(1, min(workers, trials, search.in_flight))

    def seconds(training: float, of_final: float) -> float:
        total = (training + trials * (costs.setup + _OF_A_TRIAL)) / workers
        if definition.finalists:
            rounds = math.ceil(definition.finalists / workers) + (definition.retrain.members > 1)
            # What each scaling of theirs learns from fresh splits, and once more from fewer rows.
            fits = min(definition.finalists, len(definition.scalings)) + (definition.retrain.members > 1)
            total += rounds * (of_final + costs.setup) + fits * len(_of_finals(prepared)) * costs.scaling
        return total + seconds_of_baselines(prepared, training) + _OF_A_STUDY

    mean, final = float(costs.trials.mean()), _SETTLED * float(costs.finals.mean())
    settled = mean * (_SETTLED if search.sampler.name in _LEARNING else 1.0)
    of_later = settled * (1.0 if definition.build_pruner() is None else _NOT_PRUNED)
    # The best checkpoint being anywhere alike, patience leaves a trial so much of its epochs on average.
    left = 1.0 if search.patience is None else 1 - (1 - search.patience) ** 2 / 2
    high, high_final = (float(np.quantile(of_each, _HIGH)) for of_each in (costs.trials, costs.finals))
    about = seconds(left * ((trials - later) * mean + later * of_later), final)
    return TimeNeeded(
        about,
        _SLACK * max(about, seconds((trials - later) * mean + later * max(high, settled), max(final, high_final))),
        workers,
        trials,
        definition.most_epochs,
        len(prepared.splits),
        min(definition.finalists, prepared.limit),
    )


@dataclass(frozen=True)
class _Costs:
    """Seconds of training, of configurations spread over the space.

    Attributes:
        configs: the configurations.
        trials, finals: of each as a trial, of all its epochs, and as a finalist.
        setup: of any, before the first epoch.
        scaling: of what a scaling learns from the training rows of a split.
    """

    configs: tuple[Config, ...]
    trials: Floats
    finals: Floats
    setup: float = 0.0
    scaling: float = 0.0

    @classmethod
    def computed(cls, prepared: Prepared) -> _Costs:
        """By what they have to compute."""
        configs = tuple(prepared.definition.config(chosen) for chosen in _spread(prepared.definition, prepared.sizes))

        def of_each(splits: Sequence[Split]) -> Floats:
            return np.array([_computed(prepared, config, config.epochs, splits) for config in configs])

        return cls(configs, of_each(prepared.splits), of_each(_of_finals(prepared)))

    def measured(self, prepared: Prepared, seconds: float) -> _Costs:
        """The same as this machine does it."""
        epochs = np.array([config.epochs for config in self.configs])
        trials, setup = _ratios(prepared, self.configs, self.trials / epochs, MEASURED, prepared.splits, seconds / 2)
        finals = np.ones(1)
        if prepared.definition.finalists:
            splits = _of_finals(prepared)
            finals, _ = _ratios(prepared, self.configs, self.finals / epochs, MEASURED_FINALS, splits, seconds / 2)
        scaling = _seconds_of_scaling(prepared)
        return replace(self, trials=self.trials * trials, finals=self.finals * finals, setup=setup, scaling=scaling)


def _of_finals(prepared: Prepared) -> list[Split]:
    """Splits of the size of those of the finals."""
    once = [split for split in prepared.splits if not split.repeat]
    return once * prepared.definition.search.finalist_repeats


def _ratios(
    prepared: Prepared,
    configs: Sequence[Config],
    an_epoch: Floats,
    count: int,
    splits: Sequence[Split],
    seconds: float,
) -> tuple[Floats, float]:
    """How many times slower than computed an epoch of each configuration is, and what comes before the first.

    Args:
        prepared: the study.
        configs: its configurations.
        an_epoch: of each, what is computed.
        count: of those that are measured; between them, ratios are interpolated.
        splits: of the networks.
        seconds: that the measuring takes.
    """
    order = np.argsort(an_epoch, kind="stable")
    # Each that is measured stands for as much of the whole cost as the others do.
    shares = np.cumsum(an_epoch[order]) / an_epoch.sum()
    chosen = order[np.unique(np.searchsorted(shares, (np.arange(count) + 0.5) / count))]
    found = [_measure(prepared, configs[at], splits, seconds / len(chosen)) for at in chosen]
    ratios = np.interp(np.log(an_epoch), np.log(an_epoch[chosen]), [ratio for ratio, _ in found])
    return ratios, min(setup for _, setup in found)


def _computed(prepared: Prepared, config: Config, epochs: int, splits: Sequence[Split]) -> float:
    data = prepared.search
    network = architecture_of(config, data.features.shape[1], len(data.class_names)).network
    return seconds_of_training(epochs, splits, config.batch_size, network.size)


def _spread(definition: StudyDefinition, sizes: NetworkSizes | None = None) -> list[Mapping[str, Any]]:
    """Hyperparameters spread over the space: of each dimension, one value in each of as many parts (a Latin square)."""
    space, draw = definition.space, np.random.default_rng(0)
    count = CONFIGURATIONS if space.dimensions else 1
    units = {name: (draw.permutation(count) + 0.5) / count for name in space.names}

    def spread(number: int) -> Mapping[str, Any]:
        return space.choose(lambda name: space.dimensions[name].at(float(units[name][number])), definition.train, sizes)

    return [spread(number) for number in range(count)]


def _measure(prepared: Prepared, config: Config, splits: Sequence[Split], seconds: float) -> tuple[float, float]:
    """How many times slower than computed a configuration trains, and what comes before its first epoch."""
    definition, scalings = prepared.definition, prepared.scalings[config.scaling]
    every = min(definition.evaluate_every, config.epochs)
    first = _computed(prepared, config, every, splits)
    if first > seconds / 3:
        least = max(LEAST_ROWS, 0 if isinstance(config.batch_size, str) else 2 * config.batch_size)
        splits = tuple(_part(split, seconds / 3 / first, least) for split in splits)
        first = _computed(prepared, config, every, splits)
        every = max(1, min(every, round(every * seconds / 3 / first)))
    epochs, clock = [0], [time.perf_counter()]

    def stop(epoch: int, mean: float) -> bool:
        epochs.append(epoch)
        clock.append(time.perf_counter())
        return clock[-1] - clock[1] > seconds  # before the first, compiled kernels may have been loaded

    with one_thread(), suppress(DataError):  # of a part of the rows maybe none counts
        cross_validate(
            prepared.search,
            splits,
            config.replaced({"learning_rate": min(config.learning_rate, 1e-4)}),  # at which none diverges
            definition.seed,
            scalings=[scalings[number % len(scalings)] for number in range(len(splits))],
            evaluate_every=every,
            should_stop=stop,
        )
    if len(epochs) == 1:
        return 1.0, 0.0
    of_an_epoch = _computed(prepared, config, 1, splits)
    if len(epochs) == 2:  # one checkpoint, all of the training
        return (clock[1] - clock[0]) / (epochs[1] * of_an_epoch), 0.0
    an_epoch = (clock[-1] - clock[1]) / (epochs[-1] - epochs[1])
    return an_epoch / of_an_epoch, max(0.0, clock[1] - clock[0] - an_epoch * epochs[1])


def _seconds_of_scaling(prepared: Prepared) -> float:
    """What a scaling learns from the training rows of a split, on average, from a part of them."""
    whole = prepared.splits[0]
    part = _part(whole, 0, LEAST_FITTED)
    begun = time.perf_counter()
    for name in prepared.definition.scalings:
        fit_scalings(prepared.search, [part.training], name)
    taken = time.perf_counter() - begun
    return taken / len(prepared.definition.scalings) * len(whole.training) / len(part.training)


def _part(split: Split, part: float, least: int) -> Split:
    """A split of fewer rows, spread over its own."""

    def some(rows: Any) -> Any:
        count = min(len(rows), max(least, round(part * len(rows))))
        return rows[np.linspace(0, len(rows) - 1, count).astype(np.intp)]

    return replace(split, training=some(split.training), validation=some(split.validation))
