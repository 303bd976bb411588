"""What the rest of the program costs: imports, memory, growth, checkpoints, and the framework's share of a study.

``python program.py PART`` measures one part in this process and prints a JSON object; :func:`measure` runs them all,
each in a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import study_f

HERE = Path(__file__).parent


def measure() -> dict[str, Any]:
    report: dict[str, Any] = {"starting": starting()}
    for part in PARTS:
        done = subprocess.run([sys.executable, __file__, part], capture_output=True, text=True, check=True)
        report[part] = json.loads(done.stdout)
    return report


def starting(repetitions: int = 9) -> dict[str, Any]:
    """Seconds of whole commands, in turns with what they are compared with."""
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/f.db"
        path = Path(folder) / "f.toml"
        path.write_text(definition(trials=40, epochs=20), encoding="utf-8")
        command = [sys.executable, "-m", "hpsearch"]
        subprocess.run([*command, "run", path, "--storage", storage], capture_output=True, check=True)
        # Optuna imports what its storage needs when the first one is opened.
        opened = f"import pandas; from optuna.storages import RDBStorage; RDBStorage({storage!r})"
        commands = {
            "help": [*command, "--help"],
            "import typer": [sys.executable, "-c", "import typer"],
            "trials": [*command, "trials", "f", "--storage", storage],
            "import pandas, open Optuna's storage": [sys.executable, "-c", opened],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repetitions):
            for name, arguments in commands.items():
                begun = time.perf_counter()
                subprocess.run(arguments, capture_output=True, check=True, cwd=folder)
                seconds[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    names = list(medians)
    ratios = {
        f"{one} ÷ {other}": medians[one] / medians[other] for one, other in zip(names[::2], names[1::2], strict=True)
    }
    return {"seconds": medians, "ratios": ratios}


def definition(trials: int, epochs: int, pruner: str = "none") -> str:
    text = study_f.DEFINITION.replace("SEED", "7").replace("PRUNER", pruner)
    text = text.replace(f"trials = {study_f.TRIALS}", f"trials = {trials}")
    return text.replace(f"epochs = {study_f.EPOCHS}", f"epochs = {epochs}").replace(
        f"evaluate_every = {study_f.EVERY}", f"evaluate_every = {max(1, epochs // 20)}"
    )


def made_data(rows: int, columns: int) -> Any:
    """Float32 rows of a file that is memory-mapped, as worker processes have them."""
    import numpy as np

    from hpsearch.data.dataset import Dataset

    draw = np.random.default_rng(7)
    with tempfile.NamedTemporaryFile(suffix=".npy", delete=False) as file:
        features = np.lib.format.open_memmap(file.name, "w+", np.float32, (rows, columns))
        labels = np.empty(rows, np.intp)
        for start in range(0, rows, 10_000):
            part = slice(start, min(start + 10_000, rows))
            features[part] = draw.standard_normal((part.stop - part.start, columns))
            labels[part] = features[part, 0] + features[part, 1] * features[part, 2] > 0
        features.flush()
        mapped = np.load(file.name, mmap_mode="r")
        os.unlink(file.name)
    return Dataset(mapped, labels, tuple(f"x{i}" for i in range(columns)), ("0", "1"))


def validated(data: Any, folds: int = 5, repeats: int = 1, **settings: Any) -> float:
    """Seconds of a cross-validation: the least of three."""
    from hpsearch.data.splits import SplitOptions, make_splits
    from hpsearch.validation.config import Config
    from hpsearch.validation.cross_validate import cross_validate

    splits = make_splits(data, "kfold", SplitOptions(folds, repeats), 7)
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        cross_validate(data, splits, Config(**settings), 7)
        times.append(time.perf_counter() - begun)
    return min(times)


def memory() -> dict[str, Any]:
    """100,000 × 100 rows, mini-batches, 5 folds: megabytes above an idle worker's, beside those of the float32 rows."""

    def peak() -> float:
        # Of this program alone; what getrusage says may be the peak of the process that started it.
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024

    import hpsearch.search.executors  # noqa: F401

    validated(made_data(1_000, 100), epochs=2, batch_size=128)  # everything imported
    idle, rows = peak(), 100_000
    validated(made_data(rows, 100), epochs=2, batch_size=128, neurons=64)
    return {"above_idle_mb": peak() - idle, "idle_mb": idle, "rows_mb": rows * 100 * 4 / 2**20}


def growth() -> dict[str, Any]:
    """Nanoseconds a row, lane and epoch by rows and by lanes; milliseconds a trial by trials before it."""
    by_rows = {}
    for rows in (1_000, 10_000, 100_000, 1_000_000):
        data, epochs = made_data(rows, 20), max(1, 100_000 // rows)
        settings = {"batch_size": 128, "neurons": 32}
        least = validated(data, epochs=1, evaluate_every=1, **settings)
        seconds = validated(data, epochs=1 + epochs, evaluate_every=1 + epochs, **settings) - least
        by_rows[rows] = seconds / (rows * 0.8 * 5 * epochs) * 1e9
    by_lanes, data = {}, made_data(2_000, 20)
    for repeats in (1, 2, 5, 10, 20):
        # Two folds a repeat: every lane has half of the rows, whatever the number of lanes.
        settings = {"batch_size": 128, "neurons": 32}
        least = validated(data, 2, repeats, epochs=1, **settings)
        seconds = validated(data, 2, repeats, epochs=41, evaluate_every=41, **settings) - least
        by_lanes[2 * repeats] = seconds / (1_000 * 2 * repeats * 40) * 1e9
    return {"by_rows": by_rows, "by_lanes": by_lanes}


def history() -> dict[str, Any]:
    """Milliseconds a trial of 20 tiny epochs, after so many trials; Optuna's own proposals and pruning apart."""
    import optuna

    import hpsearch
    from hpsearch.search.proposer import Proposer

    apart = timed(Proposer, "propose")
    pruning = timed(optuna.trial.Trial, "should_prune")
    moments: list[tuple[int, float, float, float]] = []

    def watch(progress: Any) -> None:
        moments.append((len(progress.results), time.perf_counter(), apart[0], pruning[0]))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.toml"
        text = definition(2_040, 20, "median").replace("samples", "samples").replace("[8, 256]", "[4, 8]")
        path.write_text(text.replace('"nnfs:spiral"', '"nnfs:spiral"\nsamples = 20'), encoding="utf-8")
        hpsearch.run(path, storage=f"sqlite:///{folder}/f.db", watch=watch)
    told = {count: times for count, *times in moments}
    answer = {}
    for before in (100, 500, 1_000, 2_000):
        start, end = told[before], told[before + 40]
        wall, proposals, pruned = (1e3 * (one - other) / 40 for one, other in zip(end, start, strict=True))
        answer[before] = {"ours": wall - proposals - pruned, "proposals": proposals, "pruning": pruned}
    return answer


def checkpoints() -> dict[str, Any]:
    """What evaluating at the default interval, 20 times a training, adds to it, as a share: by epochs and work."""
    from works import WORKS

    from hpsearch.validation.cross_validate import cross_validate

    shares: dict[str, float] = {}
    for key, epochs in product("ABCD", (100, 1000)):
        work = WORKS[key]
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(3 if epochs * work.steps > 1000 else 15):
            for often, times in seconds.items():
                config = work.config(epochs).replaced({} if often else {"evaluate_every": epochs})
                begun = time.perf_counter()
                cross_validate(work.data, work.splits, config, 7)
                times.append(time.perf_counter() - begun)
        # The least of many: a difference of a few per cent drowns in what else the machine does.
        shares[f"{key}, {epochs} epochs"] = min(seconds[True]) / min(seconds[False]) - 1
    return shares


def share() -> dict[str, Any]:
    """Where the seconds of a whole study (F) go: training, Optuna's proposals, all the rest; imports apart."""
    begun = time.perf_counter()
    import nnfs.datasets  # noqa: F401
    import sklearn.model_selection
    import sklearn.preprocessing  # noqa: F401

    import hpsearch
    import hpsearch.search.coordinator
    import hpsearch.search.executors
    import hpsearch.storage.lock
    from hpsearch.search.proposer import Proposer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.toml"
        path.write_text(definition(1, 1), encoding="utf-8")
        hpsearch.run(path, storage=f"sqlite:///{folder}/f.db")  # what is imported late
        imports = time.perf_counter() - begun
        proposals = timed(Proposer, "propose")
        path = Path(folder) / "g.toml"
        path.write_text(definition(study_f.TRIALS, study_f.EPOCHS), encoding="utf-8")
        begun = time.perf_counter()
        result = hpsearch.run(path, storage=f"sqlite:///{folder}/g.db")
        seconds = time.perf_counter() - begun
        training = float(result.trials["seconds"].sum())
    rest = seconds - training - proposals[0]
    return {
        "imports": imports,
        "training": training,
        "proposals": proposals[0],
        "framework": rest,
        "share": rest / seconds,
    }


def timed(owner: Any, method: str) -> list[float]:
    """The seconds spent in a method from now on, in a list of one."""
    spent, original = [0.0], getattr(owner, method)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        try:
            return original(*arguments, **options)
        finally:
            spent[0] += time.perf_counter() - begun

    setattr(owner, method, wrapped)
    return spent


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "memory": memory,
    "growth": growth,
    "history": history,
    "checkpoints": checkpoints,
    "share": share,
}

if __name__ == "__main__":
    print(json.dumps(PARTS[sys.argv[1]]()))
