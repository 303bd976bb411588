"""Whole studies, each in a process of its own, in turns: F, all trials on one core; G, time to the same target."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from study_f import WHO

WITHIN = 1.02  # of F's best value is the target of G


def measure(repetitions: int, seeds: Sequence[int], cores: Sequence[int]) -> dict[str, Any]:
    """F over everyone who is installed, and G over the seeds, on the first and on the first two of the cores."""
    compared = [who for who, (_, package, _) in WHO.items() if find_spec(package) and who != "hpsearch-fast"]
    runs: dict[str, list[dict[str, Any]]] = {who: [] for who in compared}
    for seed in seeds[:repetitions]:
        for who in compared:
            runs[who].append(study(who, seed, cores[:1]))
    seconds = {WHO[who][0]: statistics.median(run["seconds"] for run in runs[who]) for who in compared}
    ratios = [
        {WHO[who][0]: runs[who][turn]["seconds"] / runs["hpsearch"][turn]["seconds"] for who in compared}
        for turn in range(repetitions)
    ]
    whole = {
        "seconds": seconds,
        "ratio": {name: statistics.median(turn[name] for turn in ratios) for name in seconds},
        "best": {WHO[who][0]: [run["best"] for run in runs[who]] for who in compared},
    }
    return {"F": whole, "G": [to_target(seed, cores) for seed in seeds]}


def to_target(seed: int, cores: Sequence[int]) -> dict[str, Any]:
    """Seconds until a trial ends within 2 % of F's best, by F itself and with pruning and two workers; None: missed."""
    full, fast = study("hpsearch", seed, cores[:1]), study("hpsearch-fast", seed, cores[:2])
    target = WITHIN * full["best"]
    times = {"F": reached(full, target), "G": reached(fast, target)}
    return {"seed": seed, "target": target, **times, "F started": full["started"], "G started": fast["started"]}


def reached(run: dict[str, Any], target: float) -> float | None:
    return next((seconds for seconds, value in run["ends"] if value is not None and value <= target), None)


def gains(rows: Sequence[dict[str, Any]], starting: bool) -> list[float]:
    """How many times sooner G reaches its target, by seed, with or without what both need to start; 0 for a miss."""
    return [
        0.0
        if row["G"] is None
        else (row["F"] - (not starting) * row["F started"]) / (row["G"] - (not starting) * row["G started"])
        for row in rows
    ]


def study(who: str, seed: int, cores: Sequence[int]) -> dict[str, Any]:
    """What ``study_f.py`` prints, run on these cores alone."""
    file = Path(__file__).parent / "study_f.py"
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # a child has its parent's
    try:
        done = subprocess.run([sys.executable, str(file), who, str(seed)], capture_output=True, text=True, check=True)
    finally:
        os.sched_setaffinity(0, mine)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
