"""What many rows cost: time a row of a trial, and a whole study's memory. Prints tables; fails nothing.

    python tests/benchmarks/rows.py cost [--rows 10000 100000 1000000]       # µs a row and epoch, in CPU time
    python tests/benchmarks/rows.py make rows.parquet --rows 1000000         # a table of 100 columns and a target
    python tests/benchmarks/rows.py study rows.parquet --workers 1           # `init` and `run`: seconds and peak memory

A trial's cost is that of five folds of one configuration in mini-batches of 256, training and validation, each size in
a process of its own with one BLAS thread. A study's memory is the proportional set size (PSS) of all its processes
together, looked at four times a second, so only Linux tells it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Before NumPy is imported: afterwards it is too late.
for name in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{name}_NUM_THREADS"] = "1"

COLUMNS, FOLDS = 100, 5
SETTLED_SECONDS = 0.25  # between looks at a study's memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    cost_ = commands.add_parser("cost")
    cost_.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    cost_.add_argument("--scaling", nargs="+", default=["standard", "power"])
    cost_.add_argument("--epochs", type=int, default=2)
    cost_.add_argument("--repetitions", type=int, default=3, help="of which the least counts")
    make_ = commands.add_parser("make")
    make_.add_argument("file", type=Path)
    make_.add_argument("--rows", type=int, default=1_000_000)
    study_ = commands.add_parser("study")
    study_.add_argument("file", type=Path)
    study_.add_argument("--workers", type=int, default=1)
    study_.add_argument("--trials", type=int, default=10)
    study_.add_argument("--set", nargs="*", default=[], help="as `hpsearch run --set` has them")
    arguments = parser.parse_args()
    if arguments.command == "cost":
        print_costs(costs(arguments.rows, arguments.scaling, arguments.epochs, arguments.repetitions))
    elif arguments.command == "make":
        make(arguments.file, arguments.rows)
    else:
        print(json.dumps(study(arguments.file, arguments.workers, arguments.trials, arguments.set)), flush=True)


def table(rows: int, seed: int = 0) -> tuple[Any, Any]:
    """Single-precision features (rows, COLUMNS) and three classes that depend on them."""
    import numpy as np

    draw = np.random.default_rng(seed)
    features = draw.standard_normal((rows, COLUMNS), dtype=np.float32)
    directions = draw.standard_normal((COLUMNS, 3)).astype(np.float32) / 10
    bent = np.tanh(features[:, :20] @ draw.standard_normal((20, 3)).astype(np.float32))
    return features, (features @ directions + bent + draw.gumbel(size=(rows, 3))).argmax(axis=1)


def make(file: Path, rows: int) -> None:
    """Write a table to a Parquet file."""
    import numpy as np
    import pandas as pd

    features, labels = table(rows)
    frame = pd.DataFrame(features, columns=[f"x{number}" for number in range(COLUMNS)])
    frame["y"] = np.array(["a", "b", "c"])[labels]
    frame.to_parquet(file)


def costs(sizes: Sequence[int], scalings: Sequence[str], epochs: int, repetitions: int) -> list[dict[str, Any]]:
    """One entry a scaling and size, each measured in a process of its own."""
    found = []
    for scaling in scalings:
        for rows in sizes:
            call = f"import rows; print(rows.json.dumps(rows.cost({rows}, {scaling!r}, {epochs}, {repetitions})))"
            path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
            done = subprocess.run(
                [sys.executable, "-c", call], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, check=True
            )
            found.append(json.loads(done.stdout))
    return found


def cost(rows: int, scaling: str, epochs: int, repetitions: int) -> dict[str, Any]:
    """CPU microseconds a row and epoch of one trial, all its folds together, and a row of learning its scalings."""
    from hpsearch.data.dataset import Dataset
    from hpsearch.data.splits import SplitOptions, make_splits
    from hpsearch.validation.config import Config
    from hpsearch.validation.cross_validate import cross_validate
    from hpsearch.validation.lanes import fit_scalings

    data = Dataset.of(*table(rows))
    splits = make_splits(data, "stratified", SplitOptions(FOLDS), 0)
    begun = time.process_time()
    scalings = fit_scalings(data, [split.training for split in splits], scaling)
    learnt = time.process_time() - begun
    config = Config(neurons=32, batch_size=256, epochs=epochs, scaling=scaling, init="he")
    seconds = []
    for _ in range(repetitions):
        begun = time.process_time()
        value = cross_validate(data, splits, config, 0, scalings=scalings, evaluate_every=1).value
        seconds.append(time.process_time() - begun)
    each = 1e6 / rows
    return {
        "rows": rows,
        "scaling": scaling,
        "value": value,
        "microseconds": min(seconds) / epochs * each,
        "to_scale": learnt * each,
    }


def print_costs(found: Sequence[dict[str, Any]]) -> None:
    print("| scaling | rows | µs a row and epoch | times that of the fewest rows | µs a row to learn scalings |")
    print("|---|---|---|---|---|")
    for entry in found:
        fewest = min((one for one in found if one["scaling"] == entry["scaling"]), key=lambda one: one["rows"])
        ratio = entry["microseconds"] / fewest["microseconds"]
        print(
            f"| {entry['scaling']} | {entry['rows']:,} | {entry['microseconds']:.2f} | {ratio:.2f} "
            f"| {entry['to_scale']:.2f} |",
            flush=True,
        )


def study(file: Path, workers: int, trials: int, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Seconds and peak memory of `init` and `run` on a table, whose matrix is that of its features in float32."""
    import pyarrow.parquet

    shape = pyarrow.parquet.read_metadata(file)
    matrix = shape.num_rows * (shape.num_columns - 1) * 4
    with tempfile.TemporaryDirectory() as folder:
        hpsearch = [sys.executable, "-m", "hpsearch"]
        drafted = watched([*hpsearch, "init", str(file.resolve()), "--target", "y", "-o", "study.toml"], folder)
        overrides = [word for setting in settings for word in ("--set", setting)]
        run = [*hpsearch, "run", "study.toml", "--trials", str(trials), "--workers", str(workers), *overrides]
        ran = watched(run, folder)
    idle = watched(
        [sys.executable, "-c", "import hpsearch.results.best, hpsearch.search.run, time; time.sleep(1)"], "."
    )
    return {
        "rows": shape.num_rows,
        "matrix_megabytes": matrix / 1e6,
        "workers": workers,
        "init": drafted,
        "run": ran,
        "imports_megabytes": idle["peak_megabytes"],
        "peak_over_matrix": ran["peak_megabytes"] * 1e6 / matrix,
    }


def watched(command: Sequence[str], folder: str) -> dict[str, float]:
    """Seconds, CPU seconds and peak PSS of a command with all processes that it starts."""
    before, begun, peak = _children_seconds(), time.perf_counter(), 0
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None:
            peak = max(peak, sum(_pss(member) for member in _session(process.pid)))
            time.sleep(SETTLED_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    spent = {"seconds": time.perf_counter() - begun, "cpu_seconds": _children_seconds() - before}
    return {**spent, "peak_megabytes": peak / 1e6}


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _session(leader: int) -> list[int]:
    """The processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                of = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            except (OSError, IndexError):  # it has ended
                continue
            found += [int(entry.name)] if of == leader else []
    return found


def _pss(process: int) -> int:
    """Bytes of memory, what several processes share divided among them; 0 of one that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
