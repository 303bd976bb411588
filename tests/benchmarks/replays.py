"""Searches replayed on the tables of curves.py: random search of 60 trials, stopped or ordered by strategies.

An order of a table's configurations is drawn for each seed. Its first 60, trained to the end, are the search without a
strategy. The target is a complete trial within 1 % of the best of them; the time to it is CPU seconds on one worker, or
what two workers with such speeds would take, plus ``overhead`` for each configuration that is begun, which stands for
proposing and storing. With a strategy the trials are the same in the same order, if it does not say otherwise.

What is chosen in the end is the lowest complete trial, without finals. Its true loss is compared with that of the
search without a strategy.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product, zip_longest
from typing import Any

import numpy as np
import pandas as pd
from curve_strategies import (
    Asked,
    Curves,
    Floats,
    Known,
    Places,
    Planned,
    Running,
    Stopping,
    Strategy,
    never,
    stopping,
)
from scipy.stats import rankdata
from scipy.stats import t as student

from hpsearch.search.transfer import MOST
from hpsearch.storage.quiet import quiet

WITHIN = 1.01
TRIALS = 60
WORKERS = (1, 2)


@dataclass(frozen=True)
class Training:
    """One piece of work.

    Attributes:
        config: what is trained.
        at: the checkpoint to which it is.
        value: not a number if it is not complete there.
        seconds: of its checkpoints up to that, from where it goes on.
        after: it begins once so many others have ended.
        waits: at each checkpoint for all others before it.
    """

    config: int
    at: int
    value: float
    seconds: Floats
    after: int = 0
    waits: bool = False


def search(curves: Curves, order: Places, strategy: Strategy, trials: int) -> list[Training]:
    """What is trained, in the order that it begins."""
    if isinstance(strategy, Stopping):
        return _stopped(curves, order[:trials], strategy)
    return _planned(curves, order, strategy)


def _stopped(curves: Curves, configs: Places, strategy: Stopping) -> list[Training]:
    asked_at = np.flatnonzero(curves.of_study | strategy.early)
    ends, complete = np.zeros(len(configs), dtype=np.intp), np.zeros(len(configs), dtype=bool)
    notes, work = list[Any](), list[Training]()
    for number, config in enumerate(map(int, configs)):
        told = number if strategy.window == 0 else max(0, number - strategy.window + 1)
        known = Known(curves, configs[:told], ends[:told], complete[:told], notes[:told])
        asked = strategy.ask(number, known)
        end, done = _end(curves, config, asked_at, asked, strategy.patience)
        ends[number], complete[number] = end, done
        notes.append(asked.note(done))
        value = float(curves.best[config, end]) if done else np.nan
        seconds = curves.seconds[config, : end + 1]
        work.append(Training(config, end, value, seconds, 0 if strategy.window == 0 else told, strategy.window == 0))
    return work


def _end(curves: Curves, config: int, asked_at: Places, asked: Asked, patience: float) -> tuple[int, bool]:
    """The checkpoint that a trial gets to, and whether it is complete there."""
    limit = int(curves.limits(patience)[config])
    for at in map(int, asked_at[asked_at <= limit]):
        if not np.isfinite(curves.means[config, at]):
            return at, False
        if asked.stops(Running(curves, config, at)) and at < limit:  # where it is complete it is told, no more
            return at, False
    return limit, True


def _planned(curves: Curves, order: Places, strategy: Planned) -> list[Training]:
    work, done = list[Training](), dict[int, int]()
    limits = curves.limits(strategy.patience)
    for configs, at in strategy.plan(curves, order):
        before = max(0, len(work) - strategy.window + 1)
        for config in map(int, configs):
            end, so_far = min(at, int(limits[config])), done.get(config, -1) if strategy.resumes else -1
            if end == so_far:  # it was complete
                continue
            seconds = curves.seconds[config, so_far + 1 : end + 1] - (
                curves.seconds[config, so_far] if so_far >= 0 else 0
            )
            value = float(curves.best[config, end]) if end == limits[config] else np.nan
            work.append(Training(config, end, value, seconds, before))
            done[config] = end
    return work


def ends(work: Sequence[Training], workers: int, overhead: float) -> Floats:
    """When each ends: a worker that is free takes the next, as soon as those that it waits for have ended."""
    free, found, told = [0.0] * workers, np.zeros(len(work)), [0.0]
    most = max(len(piece.seconds) for piece in work)
    there, begun = np.zeros(most), set[int]()  # when all before have been at a checkpoint, or have ended
    for number, piece in enumerate(work):
        began = max(heapq.heappop(free), told[piece.after]) + overhead * (piece.config not in begun)
        begun.add(piece.config)
        if not piece.waits:
            end = began + float(piece.seconds[-1])
        else:
            # Time at checkpoint c: max over earlier b of there[b] + seconds from b to c, or the beginning's.
            seconds, slack = piece.seconds, there[: len(piece.seconds)] - piece.seconds
            if not np.isnan(piece.value):
                slack[-1] = -np.inf  # where it is complete nothing is asked
            times = np.maximum(np.maximum.accumulate(slack), began) + seconds
            end = float(times[-1])
            there[: len(times)] = np.maximum(there[: len(times)], times)
            there[len(times) :] = np.maximum(there[len(times) :], end)
        found[number] = end
        heapq.heappush(free, end)
        told.append(max(told[-1], end))
    return found


@dataclass(frozen=True)
class Outcome:
    """Of a search: seconds to the target and to the end by the number of workers, and the configuration chosen."""

    to_target: Mapping[int, float]
    total: Mapping[int, float]
    chosen: int | None


def outcome(work: Sequence[Training], target: float, overhead: float) -> Outcome:
    values = np.array([piece.value for piece in work])
    hits = values <= target
    to_target, total = {}, {}
    for workers in WORKERS:
        at = ends(work, workers, overhead)
        to_target[workers], total[workers] = float(np.min(at[hits], initial=np.inf)), float(at.max())
    best = None if np.isnan(values).all() else work[int(np.nanargmin(values))].config
    return Outcome(to_target, total, best)


def oracle(curves: Curves, order: Places, target: float, at: int, ends: bool = False) -> list[Training]:
    """Of the trials in order, each that misses the target is stopped at the checkpoint.

    With ``ends`` those that do not are complete at the first checkpoint of the study that hits it.
    """
    work = []
    for config in map(int, order):
        hits = np.flatnonzero((curves.best[config] <= target) & curves.of_study)
        place = at if not len(hits) else int(hits[0]) if ends else curves.last
        value = float(curves.best[config, place]) if len(hits) else np.nan
        work.append(Training(config, place, value, curves.seconds[config, : place + 1]))
    return work


def taught(curves: Curves, others: Sequence[Curves]) -> Curves:
    """With what other tables tell: how bad each configuration is on average, from 0 to 1 on a scale that stretches the
    good end; and an order."""
    standing = [rankdata(np.where(np.isfinite(of.value), of.value, np.inf)) / len(of.value) for of in others]
    common = min(len(of) for of in (curves.value, *standing))
    prior = np.ones(len(curves.value))
    prior[:common] = np.mean([of[:common] ** 0.5 for of in standing], axis=0)
    return replace(curves, prior=prior, portfolio=suggested(prior, curves.depth))


def suggested(prior: Floats, depth: Places) -> Places:
    """The configurations in the order that other tables suggest, those of each depth in turn."""
    turn = np.empty(len(prior))  # the place among those of the same depth
    for deep in np.unique(depth):
        same = np.flatnonzero(depth == deep)
        turn[same[np.argsort(prior[same], kind="stable")]] = np.arange(len(same))
    return np.lexsort((prior, turn))


def _in_order(curves: Curves, order: Places, strategy: Strategy) -> Places:
    """The order of the configurations with what other tables tell, if the strategy asks for it."""
    pool = order[: strategy.prior]
    if strategy.prior:
        pool = pool[suggested(curves.prior[pool], curves.depth[pool])]
    ahead = curves.portfolio[: strategy.first if isinstance(strategy, Stopping) else 0]
    mine = np.concatenate([ahead, pool, order[strategy.prior :]])
    unique: Places = mine[np.sort(np.unique(mine, return_index=True)[1])]
    return unique


def transfer(tables: Sequence[Curves], sources: int, seeds: int, trials: int = TRIALS) -> pd.DataFrame:
    """A row a table and a set of others: median trials to the target, alone and begun with what was best in the others.

    A study is ``trials`` configurations in random order, trained to the end. As in search/transfer.py, up to ``MOST``
    come first, the best of each other study in turn, of each depth in turn.

    Args:
        tables: with the same configurations in the same space.
        sources: how many others a study begins with; of all but one there is one set, of fewer each table has some.
        seeds: orders a table.
        trials: of a study.
    """
    rows, draw = [], np.random.default_rng(0)
    for table in tables:
        others = [of for of in tables if of is not table]
        if sources == 1:
            sets = [[of] for of in others]
        elif sources >= len(others):
            sets = [others]
        else:
            sets = [[others[i] for i in draw.choice(len(others), sources, replace=False)] for _ in range(6)]
        for chosen in sets:
            alone, begun = [], []
            for seed in range(seeds):
                order = np.random.default_rng([seed, 0]).permutation(len(table.value))
                best = [_best_in_turn(of, seed, place, trials) for place, of in enumerate(chosen, start=1)]
                first = [config for same_rank in zip_longest(*best) for config in same_rank if config is not None]
                ahead = np.array([*dict.fromkeys(first)][:MOST])
                mine = np.concatenate([ahead, order[~np.isin(order, ahead)]])[:trials]
                target = WITHIN * np.nanmin(table.value[order[:trials]])
                alone.append(_trials_to(table, order, target))
                begun.append(_trials_to(table, mine, target))
            rows.append(
                {
                    "table": table.name,
                    "others": ", ".join(of.name for of in chosen),
                    "alone": float(np.median(alone)),
                    "begun": float(np.median(begun)),
                    "misses": float(np.mean(np.isinf(begun))),
                }
            )
    return pd.DataFrame(rows)


def _best_in_turn(curves: Curves, seed: int, place: int, trials: int) -> list[int]:
    """The configurations of another study, from the best on, of each depth in turn."""
    order = np.random.default_rng([seed, place]).permutation(len(curves.value))[:trials]
    order = order[np.argsort(curves.value[order], kind="stable")]  # not a number comes last
    by_depth: dict[int, list[int]] = {}
    for config in order[np.isfinite(curves.value[order])]:
        by_depth.setdefault(int(curves.depth[config]), []).append(int(config))
    return [config for turn in zip_longest(*by_depth.values()) for config in turn if config is not None]


def _trials_to(curves: Curves, order: Places, target: float) -> float:
    """How many trials it takes; infinite if none hits the target."""
    hits = np.flatnonzero(curves.value[order] <= target)
    return float(hits[0] + 1) if len(hits) else np.inf


def replay(
    tables: Sequence[Curves],
    strategies: Mapping[str, Strategy],
    seeds: int,
    overheads: Sequence[float] = (0.0,),
    trials: int = TRIALS,
    said: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """A row a table, strategy, seed and overhead.

    Args:
        tables: to search.
        strategies: by name.
        seeds: orders a table.
        overheads: seconds, see above.
        trials: of a search.
        said: told of each table.
    """
    rows = []
    for curves, seed in product(tables, range(seeds)):
        order = np.random.default_rng([seed, len(curves.value)]).permutation(len(curves.value))
        target = WITHIN * np.nanmin(curves.value[order[:trials]])
        first = int(np.flatnonzero(curves.of_study)[0])
        works = {
            "oracle, first checkpoint of the study": oracle(curves, order[:trials], target, first),
            "oracle, first epochs": oracle(curves, order[:trials], target, 0),
            "oracle, first checkpoint, ends at the target": oracle(curves, order[:trials], target, first, True),
        }
        with quiet():
            for name, strategy in strategies.items():
                works[name] = search(curves, _in_order(curves, order, strategy), strategy, trials)
        plain = search(curves, order, stopping(never), trials)
        for overhead in overheads:
            without = outcome(plain, target, overhead)
            for name, work in works.items():
                found = outcome(work, target, overhead)
                rows.append({"overhead": overhead, **_row(curves, name, seed, found, without)})
        if seed == seeds - 1:
            said(curves.name)
    return pd.DataFrame(rows)


def _row(curves: Curves, name: str, seed: int, found: Outcome, without: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {"table": curves.name, "strategy": name, "seed": seed}
    for workers in WORKERS:
        row[f"none_{workers}"], row[f"time_{workers}"] = without.to_target[workers], found.to_target[workers]
        row[f"total_{workers}"] = without.total[workers] / found.total[workers]
    assert without.chosen is not None
    truth = curves.truth[without.chosen]
    row["truth"] = np.nan if found.chosen is None else curves.truth[found.chosen] / truth - 1
    return row


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a strategy, from the highest ratio with one worker on.

    Ratios are times without by times with the strategy: the geometric mean over tables of the median over seeds of the
    ratios, a miss counting 0, and of the ratio of the medians over seeds. That of the total is of the whole search.
    """
    rows = {}
    for name, of in frame.groupby("strategy", sort=False):
        row: dict[str, Any] = {}
        for workers in WORKERS:
            ratios = of[f"none_{workers}"] / of[f"time_{workers}"]
            medians = of.groupby("table")[[f"none_{workers}", f"time_{workers}"]].median()
            row[f"ratio, {workers}"] = _geometric(ratios.groupby(of["table"]).median())
            row[f"of medians, {workers}"] = _geometric(medians[f"none_{workers}"] / medians[f"time_{workers}"])
        row["total, 1"] = _geometric(of.groupby("table")["total_1"].median())
        row["misses %"] = 100 * float(np.isinf(of["time_1"]).mean())
        row["worst table's misses %"] = 100 * float(np.isinf(of["time_1"]).groupby(of["table"]).mean().max())
        truth = 100 * of.groupby("table")["truth"].mean()
        half = student.ppf(0.975, len(truth) - 1) * truth.std() / len(truth) ** 0.5
        row["true loss %"], row["±"] = float(truth.mean()), float(half)
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("ratio, 1", ascending=False)


def _geometric(ratios: pd.Series) -> float:
    return float(np.exp(np.log(ratios.clip(lower=0.01)).mean()))


def by_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The ratio of the medians, one worker, of each strategy on each table; and the time without one."""
    grouped = frame.groupby(["strategy", "table"], sort=False)[["none_1", "time_1"]].median()
    ratios = (grouped["none_1"] / grouped["time_1"]).unstack("table")
    return pd.concat([frame.groupby("table")["none_1"].median().to_frame("seconds without").T, ratios])
