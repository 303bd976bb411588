"""A search with a limit of parameters: do depths stay, and is the best as good as that of a space restricted by hand?

    python budget.py run FILE [--seeds FIRST COUNT]
    python budget.py report FILE

Each study is of 40 trials without finals and with patience. `limited` has the whole space and `max_parameters`;
`by hand` the widths up to that with which the deepest network fits; `free` neither. `rejected` are proposals of the
whole space, drawn at random until one fits, of which nothing is trained.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
from threadpoolctl import threadpool_limits

from hpsearch.definition.study import StudyDefinition
from hpsearch.search.executors import InProcessExecutor
from hpsearch.search.objective import Prepared, prepare
from hpsearch.search.run import owned, search
from hpsearch.storage.stored_results import stored_result

TABLES: dict[str, tuple[dict[str, Any], int]] = {  # and the most parameters
    "spiral": ({"source": "nnfs:spiral", "samples": 60}, 300),
    "breast cancer": ({"source": "sklearn:breast_cancer"}, 600),
    "diabetes": ({"source": "sklearn:diabetes"}, 300),
}
TRIALS, WIDEST, DEEPEST = 40, 256, 3
SAMPLERS, KINDS = ("random", "tpe"), ("free", "limited", "by hand")


def study(table: str, sampler: str, kind: str, seed: int) -> Prepared:
    """A study of the kind."""
    data, most = TABLES[table]
    raw: dict[str, Any] = {
        "study": {"name": "budget", "seed": seed},
        "data": data,
        "train": {"epochs": 200, "batch_size": 32, "init": "he"},
        "space": {
            "hidden_layers": {"int": [1, DEEPEST]},
            "neurons": {"int": [4, WIDEST], "log": True},
            "learning_rate": {"float": [1e-3, 1e-1], "log": True},
            "weight_l2": {"float": [1e-6, 1e-1], "log": True},
        },
        "search": {"trials": TRIALS, "sampler": sampler, "pruner": "none", "patience": 0.25, "finalists": 0},
    }
    if kind == "limited":
        raw["search"]["max_parameters"] = most
    found = prepare(StudyDefinition.from_mapping(raw))
    if kind != "by hand":
        return found
    widest = max(n for n in range(4, WIDEST) if found.sizes.of({"hidden_layers": DEEPEST, "neurons": n}) <= most)
    raw["space"]["neurons"]["int"] = [4, widest]
    return prepare(StudyDefinition.from_mapping(raw))


def studied(table: str, sampler: str, kind: str, seed: int) -> dict[str, Any]:
    """What is kept of one study."""
    prepared = study(table, sampler, kind, seed)
    with (
        TemporaryDirectory() as folder,
        threadpool_limits(1),
        owned(prepared, f"sqlite:///{folder}/hpsearch.db", ()) as stored,
    ):
        search(prepared, stored, InProcessExecutor())
        trials = stored.trials()
        return {
            "of": [table, sampler, kind, seed],
            "depths": [trial.params["hidden_layers"] for trial in trials],
            "parameters": [prepared.sizes.of(trial.params) for trial in trials],
            "values": [stored_result(trial).value for trial in trials],
        }


def run(file: Path, seeds: range) -> None:
    """Run what is not in the file yet."""
    there = [json.loads(line)["of"] for line in file.read_text().splitlines()] if file.exists() else []
    for seed in seeds:
        for table in TABLES:
            for sampler in SAMPLERS:
                for kind in KINDS:
                    if [table, sampler, kind, seed] not in there:
                        with file.open("a", encoding="utf-8") as out:
                            out.write(json.dumps(studied(table, sampler, kind, seed)) + "\n")
            print(f"{table}, seed {seed}", file=sys.stderr, flush=True)


def rejected(table: str, count: int) -> Iterator[int]:
    """Depths of random proposals that fit."""
    prepared = study(table, "random", "limited", 0)
    definition, sizes = prepared.definition, prepared.sizes
    drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    while count:
        chosen = definition.space.suggest(drawn.ask(), definition.train)
        if sizes.fits(chosen):
            count -= 1
            yield chosen["hidden_layers"]


def _shares(depths: list[int]) -> str:
    counts = Counter(depths)
    return " / ".join(f"{counts[depth] / len(depths):.0%}" for depth in range(1, DEEPEST + 1))


def report(file: Path) -> None:
    """Print the table."""
    found = [json.loads(line) for line in file.read_text().splitlines()]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(
        "| table, at most | sampler | space | depths 1 / 2 / 3 | parameters: 10 %, median, 90 % | best of 40 fitting |"
    )
    print("|---|---|---|---|---|---|")
    for table, (_, most) in TABLES.items():
        print(f"| {table}, {most} | random | rejected | {_shares(list(rejected(table, 400)))} | | |")
        for sampler in SAMPLERS:
            for kind in KINDS:
                of = [one for one in found if one["of"][:3] == [table, sampler, kind]]
                sizes = [size for one in of for size in one["parameters"]]
                bests = [
                    min(v for v, size in zip(one["values"], one["parameters"], strict=True) if v and size <= most)
                    for one in of
                ]
                low, middle, high = np.quantile(sizes, [0.1, 0.5, 0.9])
                error = np.std(bests, ddof=1) / np.sqrt(len(bests))
                shares = _shares([depth for one in of for depth in one["depths"]])
                best = f"{np.mean(bests):.4g} ± {error:.2g}"
                print(f"| | {sampler} | {kind} | {shares} | {low:,.0f}, {middle:,.0f}, {high:,.0f} | {best} |")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 5), metavar=("FIRST", "COUNT"))
    given = parser.parse_args()
    if given.what == "run":
        run(given.file, range(given.seeds[0], sum(given.seeds)))
    else:
        report(given.file)


if __name__ == "__main__":
    main()
