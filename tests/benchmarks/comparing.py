"""How often `hpsearch compare` calls two studies different that are not: the tables that stand in tests/README.md.

    python comparing.py make FOLDER [--cases NAME …] [--seeds FIRST COUNT]
    python comparing.py report FOLDER

For each case of honesty_cases.py and each seed, rows are drawn once, and seven studies are run on them, each with a
seed of its own:

* few, few again: eight trials by TPE.
* many: forty trials by random search.
* one, one again: one and the same configuration.
* few alone, many alone: eight and forty trials that ship one network, without finals.

Few and few again, and one and one again, differ in nothing but luck: neither is better on average. Few and many differ
in how much they have searched, so the lower score of many is partly luck too. The truth is how much more what the one
ships (eight networks, trained on all rows) loses on 20,000 rows that no study has seen than what the other ships. An
interval is wrong where it does not hold the truth; a verdict is wrong where it says "better" of what is truly worse.

* naive: the difference of the two scores that the studies chose by, and the paired jackknife of it.
* compare: what `hpsearch compare` says.

FOLDER keeps the studies, one folder a case and seed, which a later `make` does not make again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from honesty import Truth, as_frame, markdown
from honesty_cases import CASES
from threadpoolctl import threadpool_limits

from hpsearch.atomic_write import write_atomically
from hpsearch.definition.study import StudyDefinition
from hpsearch.model.retrain import fit_prepared
from hpsearch.nn.losses import LOSSES
from hpsearch.results.best import find_best
from hpsearch.results.choice import Asked
from hpsearch.results.compare import compare
from hpsearch.search.baselines import shipped_predictions
from hpsearch.search.correction import definition_of
from hpsearch.search.finals import choose, finals
from hpsearch.search.objective import prepare
from hpsearch.search.run import executor_for, owned, search
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import best_result
from hpsearch.validation.paired import Scores, paired_difference

FIRST_SEED, TABLES = 30_000, 50  # a case; the method was chosen with tables of seeds below
MEMBERS, TRUTH = 8, "truth.npz"
DEFAULT_CASES = ("blobs", "three-help", "hard-spiral", "rare", "friedman", "heavy")
_SEARCHED: dict[str, Any] = {
    "neurons": {"int": [4, 48], "log": True},
    "learning_rate": {"float": [1e-3, 3e-2], "log": True},
    "weight_l2": {"float": [1e-5, 1e-1], "log": True},
}
_ONE: dict[str, Any] = {"neurons": 16, "learning_rate": 0.005, "weight_l2": 1e-3}
_ALONE: dict[str, Any] = {"finalists": 0}
STUDIES: dict[str, dict[str, Any]] = {
    "few": {"trials": 8, "sampler": "tpe"},
    "few-again": {"trials": 8, "sampler": "tpe"},
    "many": {"trials": 40, "sampler": "random"},
    "one": {"trials": 1, "enqueue": [_ONE]},
    "one-again": {"trials": 1, "enqueue": [_ONE]},
    "few-alone": {"trials": 8, "sampler": "tpe", **_ALONE},
    "many-alone": {"trials": 40, "sampler": "random", **_ALONE},
}
# What is paired, by its title; of the first two neither is better on average.
PAIRS = {
    "8 trials, 8 trials": [("few", "few-again")],
    "one configuration twice": [("one", "one-again")],
    "8 trials, 40 trials": [("few", "many"), ("few-again", "many")],
    "one configuration, 8 trials": [*product(("one", "one-again"), ("few", "few-again"))],
    "one configuration, 40 trials": [("one", "many"), ("one-again", "many")],
    "8 trials, 40 trials, one network": [("few-alone", "many-alone")],
    "one network, an ensemble": [("few-alone", "few"), ("many-alone", "many")],
}
Record = dict[str, Any]


def define(case: str, seed: int, folder: Path, name: str) -> StudyDefinition:
    """A study of the rows in the folder."""
    number = [*STUDIES].index(name)
    raw: Record = {
        "study": {"name": name, "seed": 10 * seed + number},
        "data": {"source": "csv", "path": "rows.csv", "target": "y"},
        "train": {"epochs": 60, "evaluate_every": 6, "batch_size": 32},
        "space": _SEARCHED,
        "search": {**STUDIES[name], "pruner": "none"},
        "validation": {"splitter": "kfold" if CASES[case].noise else "stratified"},
    }
    if CASES[case].noise:
        raw["data"]["task"] = "regression"
    if name.endswith("-alone"):
        raw["retrain"] = {"members": 1}
    return StudyDefinition.from_mapping(raw, folder)


def make(case: str, seed: int, folder: Path) -> None:
    """Run the studies of a table, and measure what each ships."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = as_frame(CASES[case].draw(np.random.default_rng([seed, 0]), CASES[case].rows))
    frame.to_csv(folder / "rows.csv", index=False)
    truth, url, found = Truth(CASES[case], seed), storage(folder), {}
    for name in STUDIES:
        definition = define(case, seed, folder, name)
        prepared = prepare(definition)
        with executor_for() as executor, owned(prepared, url, prepared.audit()) as stored:
            search(prepared, stored, executor)
            config, several = find_best(stored).config, definition.with_members(MEMBERS)
        model = fit_prepared(replace(prepared, definition=several), config)
        networks = model.member_predictions(truth.rows.features)
        if definition.retrain.members > 1:
            networks = networks.mean(axis=0, keepdims=True)
        found[name] = np.mean([losses(truth, of_one) for of_one in networks], axis=0).astype(np.float32)
    write_atomically(folder / TRUTH, lambda file: np.savez(file, **found))


def losses(truth: Truth, predictions: np.ndarray) -> np.ndarray:
    """Of each fresh row (n,), from predictions (n, C) or (n, 1)."""
    rows = truth.rows
    if rows.expected is not None:
        return (predictions[:, 0] - rows.expected) ** 2 + truth.case.noise
    return LOSSES["cross_entropy"].of_labels(rows.target, predictions.astype(np.float64))


def storage(folder: Path) -> str:
    return f"sqlite:///{folder / 'study.db'}"


def tables(place: Path, cases: Sequence[str]) -> Iterator[tuple[str, Path, dict[str, np.ndarray]]]:
    """Each table that has been made: its case, its folder and what the fresh rows lose by what each study ships."""
    for case in cases:
        for folder in sorted(place.glob(f"{case}.*")):
            if (folder / TRUTH).exists():
                with np.load(folder / TRUTH) as arrays:
                    yield case, folder, dict(arrays)


def make_all(place: Path, cases: Sequence[str], seeds: Sequence[int]) -> None:
    """Make what is not there yet, seed by seed, so that at any time all cases have about as many tables."""
    wanted = [(case, seed, place / f"{case}.{seed}") for seed in seeds for case in cases]
    wanted = [table for table in wanted if not (table[2] / TRUTH).exists()]
    with threadpool_limits(1):
        for number, table in enumerate(wanted, start=1):
            make(*table)
            print(f"{number}/{len(wanted)} {table[2].name}", file=sys.stderr, flush=True)


def measure(case: str, folder: Path, fresh: dict[str, np.ndarray]) -> list[Record]:
    """Of each pair of a table the truth, and what is said of it."""
    records = []
    with ExitStack() as stack:
        studies = {name: stack.enter_context(StoredStudy.open(storage(folder), name)) for name in STUDIES}
        scores = {name: chosen_scores(stored) for name, stored in studies.items()}
        for title, first, second in ((title, *pair) for title, pairs in PAIRS.items() for pair in pairs):
            more = fresh[first].astype(np.float64) - fresh[second]
            found = compare(Asked(first, studies[first]), Asked(second, studies[second]))
            classes = scores[first].layout.classes
            naive = paired_difference(scores[first], scores[second], studies[first].metric, classes)
            assert naive.half is not None
            records.append(
                {
                    "case": case,
                    "pair": title,
                    "truth": float(more.mean()),
                    "error": float(more.std(ddof=1)) / len(more) ** 0.5,
                    "level": float(fresh[first].mean()),
                    "compare": (found.difference, found.low, found.high),
                    "naive": (naive.value, naive.value - naive.half, naive.value + naive.half),
                }
            )
    return records


def chosen_scores(stored: StoredStudy) -> Scores:
    """What a study chose by, row by row."""
    definition, trials = definition_of(stored), stored.trials()
    results = [stored_result(trial) for trial in trials]
    final = choose(finals(stored, definition, trials), definition, definition.retrain.members > 1)
    best = best_result(results, definition.metric) if final is None else results[final.final.number]
    assert best is not None
    shipped = shipped_predictions(stored, best, final)
    return shipped.scores(shipped.epoch)


def tally(records: Sequence[Record], of: str) -> Record:
    """How often it is wrong."""
    value, low, high = np.array([record[of] for record in records]).T
    truth, error, level = (np.array([record[key] for record in records]) for key in ("truth", "error", "level"))
    told = (low > 0) | (high < 0)
    tie = np.abs(truth) <= 1.96 * error  # 20,000 rows cannot tell them apart
    false = told & (tie | (np.sign(value) != np.sign(truth)))
    told_apart = told[~tie & ~false].sum() / max(1, (~tie).sum())
    return {
        "pairs": f"{len(records):,}",
        "called different": f"{told.mean():.1%} ({told.sum()})",
        "of those falsely": f"{false.mean():.1%} ({false.sum()})",
        "interval misses the truth": f"{np.mean((truth < low) | (truth > high)):.1%}",
        "bias": f"{np.mean((value - truth) / level):+.1%}",
        "half width": f"{np.mean((high - low) / 2 / level):.1%}",
        "real differences told": f"{told_apart:.0%} of {(~tie).sum()}",
    }


def report(place: Path, cases: Sequence[str]) -> str:
    """What stands in tests/README.md: by pair and by case."""
    with threadpool_limits(1):
        records = [record for table in tables(place, cases) for record in measure(*table)]
    (place / "pairs.json").write_text(json.dumps(records), encoding="utf-8")
    parts = []
    for of in ("naive", "compare"):
        rows = {"all": tally(records, of)}
        for key in ("pair", "case"):
            for name in dict.fromkeys(record[key] for record in records):
                rows[name] = tally([record for record in records if record[key] == name], of)
        parts.append(f"{of}\n\n{markdown(pd.DataFrame.from_dict(rows, orient='index'), 'pairs')}")
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "report"))
    parser.add_argument("folder", type=Path, help="where the studies are kept")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*DEFAULT_CASES], metavar="NAME")
    parser.add_argument("--seeds", nargs=2, type=int, default=(FIRST_SEED, TABLES), metavar=("FIRST", "COUNT"))
    chosen = parser.parse_args()
    first, count = chosen.seeds
    if chosen.what == "make":
        make_all(chosen.folder, chosen.cases, range(first, first + count))
    else:
        print(report(chosen.folder, chosen.cases))


if __name__ == "__main__":
    main()
