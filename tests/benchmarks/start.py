"""How soon commands start: whole processes, beside the bare import of the packages that each cannot do without.

``python start.py`` prints the table of tests/README.md: seconds of the processor (user and system) and of the clock,
medians of nine runs of everyone in turns. Bytecode is there and the disk is warm: each ran once before.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

TIMED = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
seconds, used = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, seconds]))
"""
# Until the first trial reports its first checkpoint.
FIRST_TRIAL = """
import os, tempfile, hpsearch, hpsearch.cli.app
folder = tempfile.mkdtemp(dir=".")
hpsearch.run("rows.toml", storage=f"sqlite:///{folder}/first.db", watch=lambda progress: os._exit(0))
"""
# A worker process by itself, whose owner has imported everything before; what is printed is the worker's.
WORKER = """
import json, resource, time
from hpsearch.search.executors import local_pool, warm_up
begun = time.perf_counter()
pool, stop = local_pool(1)
pool.submit(warm_up).result()
seconds = time.perf_counter() - begun
stop()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, seconds]))
"""

OPENED = "import optuna; optuna.storages.RDBStorage('sqlite:///hpsearch.db')"
LINE = "import numpy, pydantic, typer"
SPLITS = "import sklearn.model_selection, sklearn.preprocessing, sklearn.tree, scipy.optimize"
HPSEARCH = [sys.executable, "-m", "hpsearch"]
# What is measured, and the bare import beside it.
CASES: dict[str, tuple[list[str], str]] = {
    "`best`": ([*HPSEARCH, "best", "rows"], f"{LINE}, rich.table, scipy.special; {OPENED}"),
    "`trials`": ([*HPSEARCH, "trials", "rows"], f"{LINE}, pandas; {OPENED}"),
    "`studies`": ([*HPSEARCH, "studies"], f"{LINE}, pandas; {OPENED}"),
    "`check`": ([*HPSEARCH, "check", "rows.toml"], f"{LINE}, rich.table, optuna; {SPLITS}"),
    "`report`": (
        [*HPSEARCH, "report", "rows"],
        f"{LINE}, pandas, scipy.special, plotly.graph_objects, plotly.subplots; {OPENED}",
    ),
    "first trial of `run`": ([sys.executable, "-c", FIRST_TRIAL], f"{LINE}; {OPENED}; {SPLITS}"),
    "a worker": ([sys.executable, "-c", WORKER], "import numpy, pydantic, optuna, loky"),
}


def measured(names: Iterable[str] = CASES, repetitions: int = 9) -> dict[str, list[tuple[float, float]]]:
    """Of each case and of the bare import beside it the medians of seconds of the processor and of the clock."""
    # One that is told to leave no bytecode would compile everything each time.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:

        def output(command: list[str]) -> str:
            done = subprocess.run(command, capture_output=True, check=True, cwd=folder, env=environment, text=True)
            return done.stdout

        def seconds(command: list[str]) -> tuple[float, float]:
            command = command if WORKER in command else [sys.executable, "-c", TIMED, *command]
            processor, clock = json.loads(output(command))
            return processor, clock

        write_rows(Path(folder) / "rows.csv")
        output([*HPSEARCH, "init", "rows.csv", "--target", "kind"])
        output([*HPSEARCH, "run", "rows.toml", "--trials", "8", "--workers", "1"])
        commands = [each for name in names for each in (CASES[name][0], [sys.executable, "-c", CASES[name][1]])]
        for command in commands:
            seconds(command)
        rounds = [[seconds(command) for command in commands] for _ in range(repetitions)]
    medians = [tuple(map(statistics.median, zip(*times, strict=True))) for times in zip(*rounds, strict=True)]
    return {name: [*medians[2 * place : 2 * place + 2]] for place, name in enumerate(names)}


def write_rows(path: Path) -> None:
    """As many rows as there are penguins, two numbers of which say something about the kind."""
    import numpy as np

    draw = np.random.default_rng(0)
    kinds = draw.choice(["a", "b", "c"], 344)
    numbers = draw.normal(size=(344, 4)) + np.stack([kinds == "a", kinds == "b", 0 * draw.random(344), kinds == "c"], 1)
    lines = [",".join([*(f"{number:.4f}" for number in row), kind]) for row, kind in zip(numbers, kinds, strict=True)]
    path.write_text("\n".join(["w,x,y,z,kind", *lines]), encoding="utf-8")


def table(found: dict[str, list[tuple[float, float]]]) -> str:
    lines = ["| | processor | clock | bare import: processor | clock |", "|---|---|---|---|---|"]
    for name, pair in found.items():
        lines.append(f"| {name} | {' | '.join(f'{seconds:.2f}' for times in pair for seconds in times)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(measured()))
