"""Whole studies with one strategy and another: how soon is a good configuration found, and how good is what is shipped?

    python searches.py run FILE [--tables NAME …] [--seeds FIRST COUNT] [--strategies NAME …]
    python searches.py report FILE

What curves.py replays is run here: studies of 60 trials with their finals, in this process. Without a strategy (`none`)
all trials are trained to the end, and the sampler begins by itself. The target is a complete trial within 1 %, or 5 %,
of the best of that study; time is CPU seconds of the search, its imports not among them; with two workers, what they
would take for the same trials. The true loss is that of the ensemble that `retrain` ships.

FILE has a line a study and is appended to; what is there is not run again.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import honesty
import numpy as np
import pandas as pd
import replays
from curves import SOURCES
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from hpsearch.definition.wording import as_toml
from hpsearch.model.retrain import fit_prepared
from hpsearch.results.best import find_best
from hpsearch.search.coordinator import Progress
from hpsearch.search.executors import InProcessExecutor
from hpsearch.search.run import owned, search
from hpsearch.storage.trial_result import TrialResult

TABLES = ("hard-spiral", "blobs", "friedman", "groups", "fgl", "Hitters", "penguins", "Carseats")


def _portfolio(size: int) -> dict[str, Any]:
    return {"name": "portfolio", "size": size}


_ALONE: dict[str, Any] = {"pruner": "none", "initial_design": "sampler", "patience": 1.0}
STRATEGIES: dict[str, dict[str, Any]] = {
    "none": _ALONE,
    **{name: {**_ALONE, "pruner": name} for name in ("median", "percentile", "successive_halving", "hyperband")},
    "patience": {**_ALONE, "patience": 0.25},
    **{f"portfolio of {size}": {**_ALONE, "initial_design": _portfolio(size)} for size in (6, 15)},
    **{
        f"portfolio of {size}, patience": {**_ALONE, "initial_design": _portfolio(size), "patience": 0.25}
        for size in (6, 15)
    },
    "portfolio of 15, patience, median from 25 %": {"initial_design": _portfolio(15), "patience": 0.25},  # as drafted
    **{
        f"portfolio of {size}, patience, median": {
            "pruner": "median",
            "initial_design": _portfolio(size),
            "patience": 0.25,
        }
        for size in (6, 15)
    },
}


def studied(table: str, seed: int, strategy: str) -> dict[str, Any]:
    """What is kept of one study."""
    settings = {"trials": replays.TRIALS, **STRATEGIES[strategy]}
    overrides = [f"search.{key}={as_toml(value)}" for key, value in settings.items()]
    with TemporaryDirectory() as folder, threadpool_limits(1):
        prepared, true_loss = SOURCES[table].of_seed(Path(folder), seed, overrides)
        told, results = list[float](), list[TrialResult]()

        def note(progress: Progress) -> None:
            results.extend(progress.results[len(results) :])
            told.extend([time.process_time()] * (len(results) - len(told)))

        with owned(prepared, f"sqlite:///{folder}/hpsearch.db", ()) as stored:
            began = time.process_time()
            search(prepared, stored, InProcessExecutor(), on_progress=note)
            best = find_best(stored)
            sign = 1 if best.definition.metric.direction == "minimize" else -1
        return {
            "table": table,
            "seed": seed,
            "strategy": strategy,
            "seconds": np.diff([began, *told]).tolist(),
            "values": [None if result.value is None else sign * result.value for result in results],
            "states": [result.state for result in results],
            "truth": true_loss(fit_prepared(prepared, best.config)),
        }


def run(file: Path, tables: Sequence[str], seeds: range, strategies: Sequence[str]) -> None:
    """Run what is not in the file yet."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    there = {(of["table"], of["seed"], of["strategy"]) for of in map(json.loads, lines)}
    for seed in seeds:
        for table in tables:
            for strategy in strategies:
                if (table, seed, strategy) in there:
                    continue
                line = json.dumps(studied(table, seed, strategy))
                with file.open("a", encoding="utf-8") as out:
                    out.write(line + "\n")
            print(f"{table}, seed {seed}", file=sys.stderr, flush=True)


def to_target(found: dict[str, Any], target: float, workers: int) -> float:
    """Seconds until a complete trial is as good as the target; infinite if none is."""
    free, soonest = [0.0] * workers, np.inf
    for seconds, value, state in zip(found["seconds"], found["values"], found["states"], strict=True):
        end = heapq.heappop(free) + seconds
        heapq.heappush(free, end)
        if state == "COMPLETE" and value <= target:
            soonest = min(soonest, end)
    return soonest


def report(studies: Sequence[dict[str, Any]], within: float) -> pd.DataFrame:
    """A row a strategy: ratios as replays.py has them, and the true loss beside that without a strategy, paired."""
    plain = {(of["table"], of["seed"]): of for of in studies if of["strategy"] == "none"}
    rows = []
    for found in studies:
        without = plain.get((found["table"], found["seed"]))
        if without is None:
            continue
        done = [
            value
            for value, state in zip(without["values"], without["states"], strict=True)
            if state == "COMPLETE" and value is not None
        ]
        target = min(done) + within * abs(min(done))
        row = {"table": found["table"], "strategy": found["strategy"], "seed": found["seed"]}
        for workers in replays.WORKERS:
            row[f"none_{workers}"] = to_target(without, target, workers)
            row[f"time_{workers}"] = to_target(found, target, workers)
            row[f"total_{workers}"] = sum(without["seconds"]) / sum(found["seconds"])
        rows.append({**row, "truth": found["truth"] / without["truth"] - 1})
    summary = replays.summary(pd.DataFrame(rows))
    # With the same seeds in all tables, also over studies.
    for name, of in pd.DataFrame(rows).groupby("strategy"):
        truth = 100 * of["truth"]
        half = float(student.ppf(0.975, len(truth) - 1) * truth.std() / len(truth) ** 0.5) if len(truth) > 1 else np.nan
        summary.loc[str(name), ["studies", "mean truth %", "± of studies"]] = len(truth), truth.mean(), half
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=[*SOURCES], metavar="NAME")
    parser.add_argument("--seeds", nargs=2, type=int, default=(1000, 20), metavar=("FIRST", "COUNT"))
    parser.add_argument("--strategies", nargs="+", default=[*STRATEGIES], choices=[*STRATEGIES], metavar="NAME")
    given = parser.parse_args()
    if given.what == "run":
        first, count = given.seeds
        run(given.file, given.tables, range(first, first + count), given.strategies)
        return
    studies = [json.loads(line) for line in given.file.read_text(encoding="utf-8").splitlines()]
    for within in (0.01, 0.05):
        print(honesty.markdown(report(studies, within).map("{:.3g}".format), f"within {within:.0%}"), end="\n\n")


if __name__ == "__main__":
    main()
