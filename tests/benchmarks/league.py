"""What each tool ships, on locked rows: the table that stands in tests/README.md.

    python tests/benchmarks/league.py run RESULTS [--tables NAME …] [--splits N …] [--tools NAME …]
    python tests/benchmarks/league.py report RESULTS [--tables NAME …] [--splits N …] [--tools NAME …]

A quarter of each table's rows is locked, three times over, with the classes' shares kept. A tool is given the other
rows and one core. It does all that it takes to predict (search, choose, fit), in a process of its own, and never sees
a locked target. The tools take turns on each problem (a table and a split); scikit-learn's MLP is given as many seconds
as ours took on it, imports included.

Probabilities are kept from log(0) only, at 1e-15, the same for all.

RESULTS is a file of JSON lines, outside the repository: each result is added as soon as it is there, and what is there
is not measured again, so a run that was stopped goes on. What is to be measured anew, as ours after a change, is taken
out of the file first. Given its seed each result is deterministic, but for the MLP, whose trials are as many as its
seconds allow. A result tells the machine's load when it began and when it ended: well above 1, its seconds and the
MLP's number of trials are not to be trusted.

Tables and tools are those of league_tables.py and league_tools.py. Those whose packages (extra ``bench``; RealMLP:
pytabkit) are missing are left out, and this is said.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from league_tables import TABLES, Table
from league_tools import DONE, PREDICTIONS, TOOLS, Problem, Tool, loss
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

SPLITS = (0, 1, 2)
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}
LOCKED_SHARE = 0.25
OURS = "ours"
PROBLEM = ["table", "split"]


def run(results: Path, tables: Sequence[str], splits: Sequence[int], tools: Sequence[str]) -> None:
    """Add what is missing to the results."""
    tables, tools = installed("tables", TABLES, tables), installed("tools", TOOLS, tools)
    known = {key_of(record): record for record in read(results)}
    for table in tables:
        frame = TABLES[table].load()
        for split in splits:
            locked = locked_rows(frame[TABLES[table].target], TABLES[table].classifies, split)
            for tool in tools:
                if (table, split, tool) in known:
                    continue
                budget: float | None = None
                if TOOLS[tool].timed:
                    if (table, split, OURS) not in known:
                        print(f"{table} {split} {tool}: left out, as the seconds of {OURS} are not known yet")
                        continue
                    budget = known[table, split, OURS]["seconds"]
                record: dict[str, Any] = {"table": table, "split": split, "tool": tool}
                record |= measure(tool, TABLES[table], frame, locked, split, budget)
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                if "error" not in record:
                    known[table, split, tool] = record
                print(f"{table} {split} {tool}: {said(record)}", flush=True)


def installed(what: str, registry: dict[str, Any], names: Sequence[str]) -> list[str]:
    """The tables or tools whose package is there, in the registry's order; the others are said."""
    chosen = [name for name in registry if name in names]
    for name in chosen:
        if not registry[name].is_installed:
            print(f"left out of the {what}: {name}, as {registry[name].package} is not installed")
    return [name for name in chosen if registry[name].is_installed]


def locked_rows(target: pd.Series, classifies: bool, split: int) -> NDArray[np.intp]:
    """The places of a quarter of the rows, with the classes' shares where it is classes."""
    share = {"test_size": LOCKED_SHARE, "random_state": split, "stratify": target if classifies else None}
    _, locked = train_test_split(np.arange(len(target)), **share)
    return np.sort(locked)


def measure(
    tool: str, table: Table, frame: pd.DataFrame, locked: NDArray[np.intp], seed: int, budget: float | None
) -> dict[str, Any]:
    """One tool on one problem: its losses, and the seconds of its process; or the error that ended it."""
    command = [sys.executable, str(Path(__file__).with_name("league_tools.py")), tool]
    before = os.getloadavg()[0]
    with TemporaryDirectory() as name:
        folder = Path(name)
        problem = Problem.lay(folder, frame, table.target, locked, table.classifies, seed)
        began, clock = time.time(), time.perf_counter()
        problem.save(None if budget is None else began + budget)
        done = subprocess.run([*command, name], env=os.environ | ONE_THREAD, capture_output=True, text=True)
        seconds = time.perf_counter() - clock
        facts = {
            "rows": [len(frame) - len(locked), len(locked)],
            "seconds": seconds,
            "load": [before, os.getloadavg()[0]],
            "date": date.today().isoformat(),
            "versions": versions(TOOLS[tool]),
        }
        if done.returncode:
            return {"error": (done.stderr.strip().splitlines() or ["no word"])[-1], **facts}
        told = json.loads((folder / DONE).read_text(encoding="utf-8"))
        predictions = np.load(folder / PREDICTIONS)
    target = frame[table.target].iloc[locked]
    labels = target.astype(str).to_numpy() if problem.classes else target.to_numpy(dtype=np.float64)
    return {
        **scores(predictions, labels, problem.classes),
        **facts,
        "imports": told["started"] - began,
        "details": told["details"],
    }


def scores(predictions: NDArray[np.float64], labels: NDArray[Any], classes: tuple[str, ...] | None) -> dict[str, float]:
    """The loss (log loss or RMSE), and the score: accuracy or R²."""
    if classes is None:
        score = 1.0 - np.mean((predictions - labels) ** 2) / np.var(labels)
    else:
        score = np.mean(np.array(classes)[predictions.argmax(axis=1)] == labels)
    return {"loss": loss(predictions, labels, classes), "score": float(score)}


def versions(tool: Tool) -> dict[str, str]:
    packages = ("numpy", "scikit-learn", tool.package.replace("sklearn", "scikit-learn"))
    return {package: version(package) for package in packages}


def key_of(record: dict[str, Any]) -> tuple[str, int, str]:
    return record["table"], record["split"], record["tool"]


def said(record: dict[str, Any]) -> str:
    if "error" in record:
        return f"failed after {record['seconds']:.1f} s: {record['error']}"
    score = "accuracy or R²"
    return f"loss {record['loss']:.4g}, {score} {record['score']:.3f}, {record['seconds']:.1f} s"


def read(results: Path) -> list[dict[str, Any]]:
    """The results that count: the last of each tool on each problem; a failed one is none."""
    if not results.exists():
        return []
    records = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    return [*{key_of(record): record for record in records if "error" not in record}.values()]


def per_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Losses, averaged over the splits, with accuracy or R² in brackets: a row a table, a column a tool."""
    means = frame.groupby(["table", "tool"])[["loss", "score"]].mean()
    cells = means.apply(lambda row: f"{row['loss']:.4g} ({row['score']:.3f})", axis=1).unstack()
    return cells.reindex(index=[*filter(set(frame["table"]).__contains__, TABLES)], columns=order(frame)).fillna("–")


def standings(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a tool.

    The mean rank and the seconds are over the problems that all of these tools have solved. The rest compares ours
    with one rival on all problems that both have solved: how often ours has the lower loss, and ratios of losses, ours
    by the rival's.
    """
    losses = frame.pivot(index=PROBLEM, columns="tool", values="loss")[order(frame)]
    common = losses.dropna()
    seconds = frame.pivot(index=PROBLEM, columns="tool", values="seconds").loc[common.index]
    imports = frame.pivot(index=PROBLEM, columns="tool", values="imports").loc[common.index]
    rows = {}
    for tool in losses:
        row: dict[str, Any] = {
            "mean rank": f"{common.rank(axis=1)[tool].mean():.2f}",
            "seconds": f"{seconds[tool].sum():,.0f}",
            "without imports": f"{(seconds - imports)[tool].sum():,.0f}",
        }
        if OURS in losses and tool != OURS:
            both = losses[[OURS, tool]].dropna()
            ratios = both[OURS] / both[tool]
            worst = " ".join(map(str, ratios.index[ratios.argmax()]))
            row |= {
                "ours ahead": f"{(ratios < 1).sum()} of {len(ratios)}",
                "worse by over 10 %": f"{(ratios > 1.1).sum()}",
                "mean ratio": f"{np.exp(np.log(ratios).mean()):.3f}",
                "worst ratio": f"{ratios.max():.2f} ({worst})",
            }
        rows[TOOLS[tool].title] = row
    return pd.DataFrame.from_dict(rows, orient="index").fillna("–")


def order(frame: pd.DataFrame) -> list[str]:
    return [tool for tool in TOOLS if tool in set(frame["tool"])]


def report(records: Iterable[dict[str, Any]]) -> str:
    """Both tables in Markdown; those of the first for classification and regression apart."""
    frame = pd.DataFrame(records)
    classifies = frame["table"].map(lambda table: TABLES[table].classifies)
    parts = []
    for title, chosen in (("log loss (accuracy)", frame[classifies]), ("RMSE (R²)", frame[~classifies])):
        if len(chosen):
            parts.append(markdown(per_table(chosen).rename(columns=lambda tool: TOOLS[tool].title), title))
    solved = frame.groupby(PROBLEM)["tool"].nunique()
    problems = f"{(solved == frame['tool'].nunique()).sum()} problems solved by all tools, {len(solved)} by any"
    return "\n\n".join([*parts, markdown(standings(frame), problems)])


def markdown(frame: pd.DataFrame, corner: str) -> str:
    lines = [f"| {corner} | {' | '.join(frame.columns)} |", "|---|" + "---|" * len(frame.columns)]
    lines += [f"| {name} | {' | '.join(row)} |" for name, row in zip(frame.index, frame.to_numpy(), strict=True)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("results", type=Path, help="a file of JSON lines")
    parser.add_argument(
        "--tables", nargs="+", choices=TABLES, default=[*TABLES], metavar="NAME", help=", ".join(TABLES)
    )
    parser.add_argument("--splits", nargs="+", type=int, default=[*SPLITS], metavar="N", help="seeds of the splits")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=[*TOOLS], metavar="NAME", help=", ".join(TOOLS))
    chosen = parser.parse_args()
    if chosen.what == "run":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])  # child processes have it too
        run(chosen.results, chosen.tables, chosen.splits, chosen.tools)
        return
    records = [
        record
        for record in read(chosen.results)
        if record["table"] in chosen.tables and record["split"] in chosen.splits and record["tool"] in chosen.tools
    ]
    if not records:
        parser.error(f"{chosen.results} has no result of these tables, splits and tools")
    print(report(records))


if __name__ == "__main__":
    main()
