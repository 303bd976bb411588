"""What stops trials, or orders them: strategies that are replayed on the tables of curves.py.

One that stops is a pure function of what it may know of earlier trials and of a trial so far. One that plans has
trials trained in rounds, each to some checkpoint, and goes on with some of them. None looks at what has not been
trained.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.definition.study import StudyDefinition
from hpsearch.search.pruning import PriorTrial, Pruning

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Curves:
    """A table: C configurations, each at T checkpoints.

    Attributes:
        name: its.
        epochs: (T,).
        of_study: (T,), whether the study has the checkpoint.
        means: (C, T), the mean objective; not a number where a training has diverged.
        seconds: (C, T), from the beginning; from where a training has diverged, up to there.
        value: (C,), of the complete trial; not a number if it diverged.
        truth: (C,), the true loss of what is shipped.
        depth: (C,), hidden layers; 0 where they are not searched.
        losses: (T, C, M), of each row; not numbers if it diverged.
        prior: (C,), how bad each is on other tables.
        portfolio: all configurations in the order of ``prior``, those of each depth in turn.
    """

    name: str
    epochs: Places
    of_study: NDArray[np.bool_]
    means: Floats
    seconds: Floats
    value: Floats
    truth: Floats
    depth: Places
    losses: NDArray[np.float32] = field(repr=False)
    prior: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    portfolio: Places = field(default_factory=lambda: np.empty(0, np.intp), repr=False)
    _limits: dict[float, Places] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def load(cls, folder: Path) -> Curves:
        """What `make` left in a table's folder."""
        layout = json.loads((folder / "about.json").read_text(encoding="utf-8"))["layout"]
        kept = []
        for file in sorted(folder.glob("[0-9]*.npz")):
            with np.load(file) as arrays:
                kept.append(dict(arrays))
        whole = max(kept, key=lambda of: len(of["epochs"]))
        epochs, shape = whole["epochs"], (len(kept), len(whole["epochs"]))
        means, seconds = np.full(shape, np.nan), np.zeros(shape)
        losses = np.full((shape[1], shape[0], len(layout)), np.nan, dtype=np.float32)
        for number, of in enumerate(kept):
            places = np.searchsorted(epochs, of["epochs"])
            means[number, places] = of["objective"].mean(axis=1)
            seconds[number] = np.interp(epochs, of["epochs"], of["seconds"])
            if len(of["losses"]):
                losses[:, number] = of["losses"]
        scalars = (np.array([of[name] for of in kept], dtype=np.float64) for name in ("value", "truth"))
        depth = np.array([json.loads(str(of["chosen"])).get("hidden_layers", 0) for of in kept])
        return cls(folder.name, epochs, whole["of_study"], means, seconds, *scalars, depth, losses)

    @cached_property
    def best(self) -> Floats:
        """(C, T), the lowest mean so far."""
        return np.fmin.accumulate(self.means, axis=1)

    @cached_property
    def paired(self) -> Floats:
        """(T, C, C), Student's t of how much more each configuration's rows lose than each other's."""
        answers = []
        for losses in np.where(np.isfinite(self.losses), self.losses, np.float32(1e6)):
            rows = losses - losses.mean(axis=0)  # of differences nothing is lost
            square, mean = (rows**2).sum(axis=1), rows.mean(axis=1)
            n = rows.shape[1]
            difference = mean[:, np.newaxis] - mean
            squares = square[:, np.newaxis] + square - 2 * rows @ rows.T
            variance = np.maximum(squares / n - difference**2, 1e-12) * n / (n - 1)
            answers.append(difference / np.sqrt(variance / n))
        return np.array(answers)

    @property
    def last(self) -> int:
        return len(self.epochs) - 1

    def limits(self, patience: float) -> Places:
        """(C,), where a trial with this ``[search] patience`` is complete: the study's checkpoint at which the lowest
        of them is so large a share of the epochs ago, or the last one."""
        if patience not in self._limits:
            epochs, means = self.epochs[self.of_study], self.means[:, self.of_study]
            lower = means[:, 1:] < np.fmin.accumulate(means, axis=1)[:, :-1]
            lowest = np.maximum.accumulate(np.where(lower, np.arange(1, len(epochs)), 0), axis=1)
            ends = (epochs[1:] - epochs[lowest]) / epochs[-1] >= patience
            ends[:, -1] = True
            self._limits[patience] = np.flatnonzero(self.of_study)[1 + ends.argmax(axis=1)]
        return self._limits[patience]


@dataclass(frozen=True)
class Known:
    """Earlier trials, as far as a trial may know them.

    Attributes:
        curves: the table.
        configs: (n,), their configurations.
        ends: (n,), the checkpoint that each got to.
        complete: (n,), whether it was complete there.
        notes: what was noted of each.
    """

    curves: Curves
    configs: Places
    ends: Places
    complete: NDArray[np.bool_]
    notes: Sequence[Any]

    @cached_property
    def best(self) -> Floats:
        """(n, T), the lowest mean of each so far; not a number after its end, if it was not complete."""
        later = (np.arange(self.curves.last + 1) > self.ends[:, np.newaxis]) & ~self.complete[:, np.newaxis]
        ended = np.minimum(np.arange(self.curves.last + 1), self.ends[:, np.newaxis])
        return np.where(later, np.nan, self.curves.best[self.configs[:, np.newaxis], ended])

    @cached_property
    def values(self) -> Floats:
        """(n,), not a number if it was not complete."""
        return np.where(self.complete, self.curves.best[self.configs, self.ends], np.nan)

    def at(self, checkpoint: int) -> tuple[Places, Floats]:
        """The configurations of those that got there, and the lowest mean of each by then."""
        there = np.isfinite(self.best[:, checkpoint])
        return self.configs[there], self.best[there, checkpoint]


@dataclass(frozen=True)
class Running:
    """A trial so far: its configuration, and the checkpoint that it is at."""

    curves: Curves
    config: int
    at: int

    @property
    def best(self) -> float:
        """The lowest mean so far."""
        return float(self.curves.best[self.config, self.at])

    @property
    def means(self) -> Floats:
        """At the study's checkpoints so far."""
        return self.curves.means[self.config, : self.at + 1][self.curves.of_study[: self.at + 1]]

    @property
    def share(self) -> float:
        """Of all its epochs, those done."""
        return float(self.curves.epochs[self.at] / self.curves.epochs[-1])


Stop = Callable[[Known, Running], bool]


class Asked(ABC):
    """What is asked about one trial."""

    @abstractmethod
    def stops(self, running: Running) -> bool:
        """Whether to stop the trial at one more checkpoint."""

    @abstractmethod
    def note(self, complete: bool) -> Any:
        """What later trials may know beside curves, once the trial has ended."""


@dataclass(frozen=True)
class Stopping:
    """A strategy that stops trials.

    Attributes:
        ask: for a trial's number and what it may know.
        window: trial t knows the trials up to t - window, and begins when they have ended: hpsearch's ``in_flight``. 0:
            at each checkpoint it knows what all earlier trials had there, and waits for those that are not that far.
        early: whether it is also asked at checkpoints before the study's first.
        patience: share of the epochs after which a trial is complete if none of them brought a lower mean.
        first: so many configurations of the table's portfolio come first.
        prior: so many configurations come in the order of how they do on other tables, those of each depth in turn.
    """

    ask: Callable[[int, Known], Asked]
    window: int = 8
    early: bool = False
    patience: float = 1.0
    first: int = 0
    prior: int = 0


Plan = Callable[[Curves, Places], Iterator[tuple[Sequence[int] | Places, int]]]


@dataclass(frozen=True)
class Planned:
    """A strategy that has trials trained in rounds.

    Attributes:
        plan: from a table and an order of configurations, the rounds: configurations in order, and the checkpoint to
            train them to. It is called for a round when those before have been trained, but for the last of them.
        resumes: whether training goes on from the round before; otherwise it begins anew.
        window: 1 if a round begins when all before have ended; w if the last w - 1 of single trainings may still run.
        patience, prior: as of stopping.
    """

    plan: Plan
    resumes: bool = True
    window: int = 1
    patience: float = 1.0
    prior: int = 0


Strategy = Stopping | Planned


@dataclass(frozen=True)
class _Pure(Asked):
    stop: Stop
    known: Known

    def stops(self, running: Running) -> bool:
        return self.stop(self.known, running)

    def note(self, complete: bool) -> None:
        return None


def stopping(
    stop: Stop, window: int = 8, early: bool = False, patience: float = 1.0, first: int = 0, prior: int = 0
) -> Stopping:
    return Stopping(lambda number, known: _Pure(stop, known), window, early, patience, first, prior)


# ---------------------------------------------------------------- Optuna's, as hpsearch asks them


@dataclass
class _ByOptuna(Asked):
    number: int
    pruning: Pruning
    means: dict[int, float] = field(default_factory=dict)
    value: float | None = None

    def stops(self, running: Running) -> bool:
        epoch = int(running.curves.epochs[running.at])
        self.means[epoch] = float(running.curves.means[running.config, running.at])
        self.value = running.best
        return self.pruning.should_stop(epoch, self.means[epoch])

    def note(self, complete: bool) -> PriorTrial:
        last = [*self.means.values()][-1] if self.means else np.nan
        state = "COMPLETE" if complete else "PRUNED" if np.isfinite(last) else "FAIL"
        return PriorTrial(self.number, state, self.means, self.value if complete else last, self.pruning.attributes)


def by_optuna(
    name: str, window: int = 8, warmup: float = 0.0, prior: int = 0, patience: float = 1.0, **options: Any
) -> Stopping:
    """A pruner of hpsearch's registry with its options; ``warmup`` is the share of the epochs before it may stop."""
    definitions: dict[str, StudyDefinition] = {}

    def ask(number: int, known: Known) -> Asked:
        curves = known.curves
        if curves.name not in definitions:
            epochs, every = int(curves.epochs[-1]), int(curves.epochs[curves.of_study][0])
            pruner = {"name": name, **options} | ({"n_warmup_steps": int(warmup * epochs)} if warmup else {})
            raw: dict[str, Any] = {"study": {"name": curves.name}, "data": {"source": "nnfs:spiral"}}
            raw |= {"train": {"epochs": epochs, "evaluate_every": every}, "search": {"pruner": pruner}}
            definitions[curves.name] = StudyDefinition.from_mapping(raw)
        return _ByOptuna(number, Pruning(definitions[curves.name], number, known.notes, parameters=0))

    return Stopping(ask, window, patience=patience, prior=prior)


# ---------------------------------------------------------------- that stop


def never(known: Known, running: Running) -> bool:
    return False


def not_among(share: float, fewest: int = 1, warmup: float = 0.0) -> Stop:
    """Not among the best ``share`` of at least so many known trials that got as far, by the lowest mean so far."""

    def stop(known: Known, running: Running) -> bool:
        _, others = known.at(running.at)
        late = len(others) >= fewest and running.share >= warmup
        return late and running.best > np.quantile(others, share)

    return stop


def halving(eta: float, first: float, fewest: int = 1) -> Stop:
    """Asynchronous successive halving that only stops: at each rung the best 1 / eta of all that got there go on."""

    def stop(known: Known, running: Running) -> bool:
        if running.at not in rungs(running.curves, eta, first):
            return False
        _, others = known.at(running.at)
        return len(others) >= fewest and (others < running.best).sum() >= max(1, int((len(others) + 1) / eta))

    return stop


def rungs(curves: Curves, eta: float, first: float) -> list[int]:
    """Checkpoints, a share of the epochs first and then eta times as many each, without the last."""
    wanted = first * curves.epochs[-1] * eta ** np.arange(20)
    wanted = wanted[wanted < 0.75 * curves.epochs[-1]]
    return [*dict.fromkeys(int(np.abs(curves.epochs - epoch).argmin()) for epoch in wanted)]


def racing(t: float, rank: int = 1, warmup: float = 0.0) -> Stop:
    """Its rows lose more than those of another trial at the same checkpoint did, by a paired t.

    Args:
        t: Student's, above which it stops.
        rank: of the other one among those known, by the lowest mean by then; 1 is the best.
        warmup: share of the epochs before it may stop.
    """

    def stop(known: Known, running: Running) -> bool:
        configs, others = known.at(running.at)
        if len(others) < rank or running.share < warmup:
            return False
        rival = configs[np.argpartition(others, rank - 1)[rank - 1]]
        return bool(running.curves.paired[running.at, running.config, rival] > t)

    return stop


def extrapolated(power: float | None, margin: float, fewest: int = 3) -> Stop:
    """What the curve leads to is worse than the best complete trial by more than ``margin``, as a share of it.

    Args:
        power: the mean is fitted as a + b · epoch^-power over the second half of the checkpoints so far; None: the
            slope between the last two lowest means goes on to the end.
        margin: see above.
        fewest: checkpoints before it may stop.
    """

    def stop(known: Known, running: Running) -> bool:
        curves, means = running.curves, running.means
        if not known.complete.any() or len(means) < fewest:
            return False
        epochs = curves.epochs[: running.at + 1][curves.of_study[: running.at + 1]].astype(float)
        most = float(curves.epochs[-1])
        if power is None:
            best = np.minimum.accumulate(means)
            led = best[-1] + (best[-1] - best[-2]) / (epochs[-1] - epochs[-2]) * (most - epochs[-1])
        else:
            later = slice(min(len(means) // 2, len(means) - 3), None)
            x, y = epochs[later] ** -power, means[later]
            slope = max(0.0, np.cov(x, y, bias=True)[0, 1] / x.var())
            led = y.mean() + slope * (most**-power - x.mean())
        return bool(min(led, running.best) > (1 + margin) * np.nanmin(known.values))

    return stop


def either(*stops: Stop) -> Stop:
    return lambda known, running: any(stop(known, running) for stop in stops)


def both(*stops: Stop) -> Stop:
    return lambda known, running: all(stop(known, running) for stop in stops)


# ---------------------------------------------------------------- that plan


def screening(pool: int, share: float, keep: int) -> Plan:
    """A pool is trained for a share of the epochs, and the best so many to the end, from the best on."""

    def plan(curves: Curves, order: Places) -> Iterator[tuple[Places, int]]:
        at = int(np.abs(curves.epochs - share * curves.epochs[-1]).argmin())
        yield order[:pool], at
        yield _ranked(curves, order[:pool], at)[:keep], curves.last

    return plan


def halvings(trials: int, eta: float, first: float) -> Plan:
    """Successive halving of so many at once."""

    def plan(curves: Curves, order: Places) -> Iterator[tuple[Places, int]]:
        left = order[:trials]
        for at in rungs(curves, eta, first):
            yield left, at
            left = _ranked(curves, left, at)[: math.ceil(len(left) / eta)]
        yield left, curves.last

    return plan


def promoting(trials: int, eta: float, first: float, window: int) -> Plan:
    """Asynchronous successive halving (Li et al. 2020): whoever is among the best 1 / eta of its rung goes on, from the
    highest rung down; else the next begins. When all have begun, the best of any rung go on.

    A training's result is known ``window`` trainings later.
    """

    def plan(curves: Curves, order: Places) -> Iterator[tuple[Sequence[int], int]]:
        steps = [*rungs(curves, eta, first), curves.last]
        waiting: list[list[tuple[float, int]]] = [[] for _ in steps]  # of each rung, by the lowest mean
        gone: set[tuple[int, int]] = set()  # rung and configuration that went on from there
        running: deque[tuple[int, int]] = deque()
        fresh = [int(config) for config in order[trials - 1 :: -1]]

        def told() -> None:
            rung, config = running.popleft()
            if np.isfinite(curves.means[config, steps[rung]]):
                insort(waiting[rung], (float(curves.best[config, steps[rung]]), config))

        while True:
            if len(running) >= window:
                told()
            best = []  # of each rung: its place among those that got there, as a share
            for rung, ranked in enumerate(waiting[:-1]):
                place = next((at for at, (_, config) in enumerate(ranked) if (rung, config) not in gone), None)
                if place is not None:
                    best.append(((place + 1) / max(len(ranked), eta), -rung, ranked[place][1]))
            good = [of for of in best if of[0] <= 1 / eta]
            if not good and fresh:
                step = (0, fresh.pop())
            elif best:
                _, below, config = good[-1] if good else min(best)
                gone.add((-below, config))
                step = (1 - below, config)
            elif running:
                told()
                continue
            else:
                return
            running.append(step)
            yield [step[1]], steps[step[0]]

    return plan


def _ranked(curves: Curves, configs: Places, at: int) -> Places:
    """From the lowest mean so far on; those that diverged are left out."""
    reached = configs[np.isfinite(curves.means[configs, at])]
    return reached[np.argsort(curves.best[reached, at], kind="stable")]


def _patiently(patience: float) -> str:
    return f", patience {patience:.0%}" if patience < 1 else ""


def _strategies() -> dict[str, Strategy]:
    found: dict[str, Strategy] = {"none": stopping(never)}
    for patience in (0.1, 0.25, 0.5):
        found[f"none{_patiently(patience)}"] = stopping(never, patience=patience)
    for size, patience in product((5, 10, 15, 30), (1.0, 0.25)):
        found[f"none{_patiently(patience)}, portfolio of {size}"] = stopping(never, patience=patience, first=size)
    # Optuna's, through hpsearch; Wilcoxon's and the patient pruner are not in the registry.
    for window in (8, 2):
        told = f", window {window}"
        found |= {
            f"Optuna median{told}": by_optuna("median", window),
            f"Optuna median, warm-up 25%{told}": by_optuna("median", window, 0.25),
            f"Optuna percentile 25{told}": by_optuna("percentile", window),
            f"Optuna percentile 25, warm-up 25%{told}": by_optuna("percentile", window, 0.25),
            f"Optuna hyperband{told}": by_optuna("hyperband", window),
            f"Optuna successive halving{told}": by_optuna("successive_halving", window),
        }
    found["Optuna median, window 8, patience 25%"] = by_optuna("median", 8, patience=0.25)
    found["Optuna median, warm-up 25%, window 8, patience 25%"] = by_optuna("median", 8, 0.25, patience=0.25)
    for window, patience in ((8, 1.0), (0, 1.0), (0, 0.25)):
        told = (f", window {window}" if window else ", same checkpoint") + _patiently(patience)
        for share, warmup in product((0.5, 0.25, 0.1), (0.0, 0.1, 0.25, 0.5)):
            found[f"best {share:.0%} from {warmup:.0%} on{told}"] = stopping(
                not_among(share, 4, warmup), window, patience=patience
            )
        for eta, first in product((2, 3, 4), (0.05, 0.01)):
            found[f"ASHA, stop only, η {eta} from {first:.0%}{told}"] = stopping(
                halving(eta, first), window, first < 0.05, patience
            )
        for t, rank, warmup in product((2.0, 4.0), (1, 3), (0.0, 0.25)):
            found[f"racing t > {t:g} to {rank} from {warmup:.0%} on{told}"] = stopping(
                racing(t, rank, warmup), window, patience=patience
            )
    for window, power, margin in product((8, 2), (None, 0.5, 1.0), (0.0, 0.1)):
        title = f"extrapolated, {'slope' if power is None else f'power {power}'} + {margin:.0%}, window {window}"
        found[title] = stopping(extrapolated(power, margin), window)
    for eta, first in product((2, 3, 4), (0.01, 0.05, 0.25)):
        found[f"halving of 60, η {eta} from {first:.0%}"] = Planned(halvings(60, eta, first))
    for pool, share, keep in product((60, 120), (0.01, 0.05, 0.1, 0.25), (5, 10, 20)):
        found[f"screening of {pool} at {share:.0%}, best {keep}"] = Planned(screening(pool, share, keep))
    for eta, first, window, patience in product((1.5, 2, 4), (0.01, 0.05, 0.25), (1, 2), (1.0, 0.25)):
        title = f"ASHA, promoting, η {eta} from {first:.0%}, window {window}{_patiently(patience)}"
        found[title] = Planned(promoting(60, eta, first, window), window=window, patience=patience)
    for pool in (60, 120, 300):
        told = f", prior of {pool}"
        found[f"Optuna median, window 8{told}"] = by_optuna("median", 8, prior=pool)
        for patience in (1.0, 0.25):
            found[f"none{_patiently(patience)}{told}"] = stopping(never, patience=patience, prior=pool)
        for share in (0.5, 0.25):
            title = f"best {share:.0%} from 25% on, same checkpoint, patience 25%{told}"
            found[title] = stopping(not_among(share, 4, 0.25), 0, patience=0.25, prior=pool)
    for pool, window, (eta, first) in product((60, 120, 300), (1, 2), ((2, 0.01), (2, 0.05), (2, 0.25))):
        title = f"ASHA, promoting, η {eta} from {first:.0%}, window {window}, patience 25%, prior of {pool}"
        found[title] = Planned(promoting(60, eta, first, window), True, window, 0.25, pool)
    return found


STRATEGIES = _strategies()
