"""How fast hpsearch is beside what a user would otherwise pick. Prints tables; fails nothing.

    python tests/benchmarks/speed.py [core] [studies] [program] [--json speed.json]

Every ratio is measured in one run, in turns, as the median of several repetitions, with one BLAS thread on one core
(two for the one row that is about two workers). PyTorch and JAX are compared where they are installed (extra
``bench``). Textbook loop: the plain program of tests/benchmarks/textbook.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

# Before NumPy, PyTorch and JAX are imported, which is why they are imported late: afterwards it is too late.
for name in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{name}_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="core, studies, program; by default all")
    parser.add_argument("--works", default="ABCDE", help="which works of the core")
    parser.add_argument("--repetitions", type=int, default=7, help="of each measurement of the core")
    parser.add_argument("--studies", type=int, default=3, help="repetitions of whole studies")
    parser.add_argument("--seeds", type=int, default=10, help="of the time to a target")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    arguments = parser.parse_args()
    parts = arguments.parts or ["core", "studies", "program"]
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])

    report: dict[str, Any] = {"date": date.today().isoformat(), **machine()}
    print(f"{report['date']}, {report['processor']}, one core; {', '.join(report['versions'])}\n", flush=True)
    if "core" in parts:
        from fold_step import measure

        report["core"] = measure(arguments.works, arguments.repetitions)
        keep(report, arguments.json)
        print_core(report["core"])
    if "program" in parts:
        import program

        report["program"] = program.measure()
        keep(report, arguments.json)
        print_program(report["program"])
    if "studies" in parts:
        import studies

        report["studies"] = studies.measure(arguments.studies, range(1, 1 + arguments.seeds), cores)
        keep(report, arguments.json)
        print_studies(report["studies"])


def keep(report: dict[str, Any], file: Path | None) -> None:
    """Write what was measured so far."""
    if file is not None:
        file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What was measured on, and with."""
    processor = platform.processor() or "unknown processor"
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        processor = names[0] if names else processor
    versions = []
    for package in ("hpsearch", "numpy", "numba", "optuna", "scikit-learn", "torch", "jax"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    return {"processor": processor, "python": platform.python_version(), "versions": versions}


def print_core(rows: list[dict[str, Any]]) -> None:
    titles = list(dict.fromkeys(row["peer"] for row in rows))
    print("µs a fold-step (times ours)")
    print(f"| work | {' | '.join(titles)} | ours of sgemm's peak |")
    print("|---|" + "---|" * (len(titles) + 1))
    for key in dict.fromkeys(row["work"] for row in rows):
        of_work = {row["peer"]: row for row in rows if row["work"] == key}
        cells = [
            f"{row['microseconds']:.3g}" + (f" ({row['ratio']:.2f} ×)" if number else "")
            for number, row in enumerate(of_work[title] for title in titles)
        ]
        ours = of_work[titles[0]]
        share = f"{ours['gflops'] / ours['peak_gflops']:.0%} of {ours['peak_gflops']:.0f} GFLOP/s"
        print(f"| {key} {ours['title']} | {' | '.join(cells)} | {share} |", flush=True)
    print()


def print_studies(report: dict[str, Any]) -> None:
    from studies import gains

    print("F, the whole study: seconds of the process (times ours)")
    for name, seconds in report["F"]["seconds"].items():
        print(f"| {name} | {seconds:.1f} | {report['F']['ratio'][name]:.2f} × |")
    print("\nG, pruning and 2 workers: how many times sooner within 2 % of F's best, by seed (0: never)")
    for starting, name in ((True, "whole processes"), (False, "without imports and opening the storage")):
        of_seeds = gains(report["G"], starting)
        print(
            f"| {name} | {' '.join(f'{gain:.2f}' for gain in of_seeds)} | median {median(of_seeds):.2f} |", flush=True
        )
    print()


def print_program(report: dict[str, Any]) -> None:
    for part, values in report.items():
        print(f"{part}: {json.dumps(values, ensure_ascii=False)}", flush=True)
    print()


if __name__ == "__main__":
    main()
