"""How far each number that hpsearch prints is from the truth: the tables that stand in tests/README.md.

    python honesty.py run RESULTS [--cases NAME …] [--seeds FIRST COUNT] [--also WHAT …] [--workers N]
    python honesty.py report RESULTS

A study is what a user of the command line does: rows in a CSV file, the study file that `init` writes for them, `run`,
`best`, `retrain`, all at their defaults. Two things are changed: the hold-out is left out, as 20,000 rows more are
drawn to tell the true loss of what is shipped, and groups are named where there are some. A study's rows and its own
randomness follow from its seed. RESULTS is a file of JSON lines, one a study, which a later run goes on with.

* naive: the lowest mean validation loss of the search, with Nadeau & Bengio's interval, not meant for a winner.
* out of fold: the finals' out-of-fold ensemble as it is, the lowest of its checkpoints.
* before: that corrected for the choice in the finals alone, as it was before there was a learning curve.
* corrected: what `best` shows.
* nested, and rivals (rivals.py): where they were asked for.

The truth is the mean loss of what `retrain` ships; for an estimate that is about one network, of one network. For
numbers it is the squared distance to what is expected, plus the variance of the noise, which is known.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import rivals
import tomlkit
from honesty_cases import CASES, Case, Rows
from threadpoolctl import threadpool_limits

from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import SplitOptions, make_splits
from hpsearch.definition.draft import draft
from hpsearch.definition.study import StudyDefinition
from hpsearch.model.bundle import Bundle
from hpsearch.model.retrain import fit_prepared
from hpsearch.results.best import Best, find_best
from hpsearch.results.nested import nested
from hpsearch.search.finals import finals
from hpsearch.search.objective import Prepared, prepare
from hpsearch.search.run import executor_for, owned, search
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.validation.estimates import estimate
from hpsearch.validation.selection import corrected

FRESH_ROWS = 20_000
FIRST_SEED, STUDIES = 10_000, 400  # the methods were chosen with studies of seeds below
STAGES, MORE_TRIALS = (10, 60), 300
REPEATS = 10  # of the folds, for Bates et al.
ALSO = ("nested", "rivals", "more-trials")
Record = dict[str, Any]


def as_frame(rows: Rows) -> pd.DataFrame:
    """As a user has them: classes by name."""
    names = [f"x{place + 1}" for place in range(rows.features.shape[1])]
    frame = pd.DataFrame(rows.features, columns=names)
    if rows.groups is not None:
        frame["group"] = rows.groups
    return frame.assign(y=rows.target if rows.expected is not None else np.array(["a", "b", "c"])[rows.target])


def define(case: Case, seed: int, folder: Path) -> StudyDefinition:
    """The study file that `init` writes for the rows of this seed, which lie in the folder from then on."""
    path = folder / "rows.csv"
    frame = as_frame(case.draw(np.random.default_rng([seed, 0]), case.rows))
    frame.to_csv(path, index=False)
    raw: Record = tomlkit.parse(draft(path, "y", path.name, "study.toml", "honesty").text).unwrap()
    raw["study"]["seed"] = seed
    raw.pop("holdout", None)
    if "group" in frame:
        raw["data"]["group"] = "group"
        raw["data"].pop("drop", None)
        raw["validation"]["splitter"] = "group"
    return StudyDefinition.from_mapping(raw, folder)


@dataclass(frozen=True)
class Truth:
    """Rows that no study has seen."""

    case: Case
    seed: int

    @cached_property
    def rows(self) -> Rows:
        return self.case.draw(np.random.default_rng([self.seed, 1]), FRESH_ROWS)

    def loss(self, model: Bundle) -> float:
        """A model's mean loss on new rows."""
        rows = self.rows
        if rows.expected is not None:
            distance = model.predictions(rows.features)[:, 0] - rows.expected
            return float(np.mean(distance**2)) + self.case.noise
        names = tuple(f"x{place + 1}" for place in range(rows.features.shape[1]))
        data = Dataset(rows.features, rows.target.astype(np.intp), names, tuple(model.class_names))
        return float(model.row_losses(data).mean())


@dataclass(frozen=True)
class Study:
    """A study that was run to so many trials."""

    prepared: Prepared
    stored: StoredStudy
    truth: Truth

    def best(self, rule: str = "finals") -> Best:
        return find_best(self.stored, rule)

    def shipped(self, best: Best, members: int | None = None) -> float:
        """The true loss of what `retrain` ships of a choice, or of so many networks."""
        definition = self.prepared.definition
        prepared = self.prepared
        if members is not None:
            prepared = replace(prepared, definition=definition.with_members(members))
        return self.truth.loss(fit_prepared(prepared, best.config))

    def first(self) -> float:
        """The true loss of an ensemble of the first trial's configuration, at its own best checkpoint."""
        trial = self.stored.trials()[0]
        epoch = stored_result(trial).best_epoch
        config = self.prepared.definition.config(trial.params).replaced({"epochs": epoch})
        return self.truth.loss(fit_prepared(self.prepared, config))


def studies(case: Case, seed: int, folder: Path, stages: Sequence[int]) -> Iterator[Study]:
    """The study of a seed, run to so many trials, one number after the other."""
    definition, url, truth = define(case, seed, folder), f"sqlite:///{folder / 'study.db'}", Truth(case, seed)
    for count in stages:
        prepared = prepare(definition.with_trials(count))
        with executor_for() as executor, owned(prepared, url, prepared.audit()) as stored:
            search(prepared, stored, executor)
            yield Study(prepared, stored, truth)


def measure(name: str, seed: int, also: Sequence[str]) -> Record:
    """The numbers of a study, and the truth."""
    record: Record = {"case": name, "seed": seed, "also": list(also)}
    stages = (*STAGES, MORE_TRIALS) if "more-trials" in also else STAGES
    with threadpool_limits(1), TemporaryDirectory() as folder:
        for study in studies(CASES[name], seed, Path(folder), stages):
            trials = study.prepared.definition.limit
            best = study.best()
            record |= {f"truth_{trials}": study.shipped(best), f"search_{trials}": study.shipped(study.best("lowest"))}
            if trials == STAGES[-1]:
                record |= numbers(study, best) | {"truth_first": study.first()}
                if "rivals" in also:
                    record |= of_rivals(study, best)
                if "nested" in also:
                    record |= of_nested(study, Path(folder))
    return record


def numbers(study: Study, best: Best) -> Record:
    """What the study says."""
    definition, stored = study.prepared.definition, study.stored
    fixed, final, lowest = best.corrected, best.final, study.best("lowest").result
    assert fixed is not None
    assert final is not None
    columns = (
        [fold[column] for fold in lowest.folds] for column in ("validation_loss", "training_rows", "validation_rows")
    )
    naive = estimate(*columns)
    files, evaluated = stored.final_row_results, finals(stored, definition)
    rows = (files.of(result).of_objective for result in evaluated if result.ensemble is not None)
    before = corrected(rows, files.layout(), definition.metric, 0, stored.attributes["n_splits"])
    return {
        "naive": [naive.mean, naive.low, naive.high],
        "out_of_fold": final.value,
        "before": [before.value, before.low, before.high, before.bound],
        "corrected": [fixed.value, fixed.low, fixed.high, fixed.bound],
        "of_splits": fixed.of_splits,
        "one_network": study.shipped(best, members=1),
    }


def of_nested(study: Study, folder: Path) -> Record:
    found = nested(study.prepared, 5, f"sqlite:///{folder / 'nested.db'}")
    assert found.shipped is not None
    assert found.on_all_rows is not None
    return {
        "nested": [found.shipped.mean, found.shipped.low, found.shipped.high],
        "nested_alone": [found.on_all_rows.mean, found.on_all_rows.low, found.on_all_rows.high],
        "nested_of_splits": [found.loss.mean, found.loss.low, found.loss.high],
        "nested_searches": [[split.corrected, split.loss, split.validation_rows] for split in found.splits],
    }


def of_rivals(study: Study, best: Best) -> Record:
    """Other intervals for the same study. Each is about one network: of the configuration that the finals chose, or,
    from the rows of the search, of the search's lowest."""
    definition, stored, data = study.prepared.definition, study.stored, study.prepared.search
    kind, seed, final = definition.validation.splitter, definition.seed, best.final
    assert final is not None
    files, layout = stored.row_results, stored.row_results.layout()
    assert layout.units is not None
    results = [stored_result(trial) for trial in stored.trials()]
    complete = [result for result in results if result.value is not None]
    losses = [files.of(result).losses for result in complete]
    at_best = [of[result.epochs.index(result.best_epoch)] for of, result in zip(losses, complete, strict=True)]
    single = final.final.intermediate[final.final.epochs.index(final.epoch)]
    repeated = make_splits(data, kind, SplitOptions(repeats=REPEATS), seed)
    low, high = rivals.conservative_z(data, best.config, SplitOptions(), seed, single, splitter=kind)
    return {
        "bbc": [*rivals.bbc_percentiles(np.concatenate(losses), layout.units, seed)],
        "tilting": [None, None, None, rivals.tilted_bound(np.stack(at_best), layout.units, seed)],
        "conservative_z": [single, low, high],
        "bates": [*rivals.nested_cv(data, best.config, repeated, seed)],
        "one_of_search": study.shipped(study.best("lowest"), members=1),
    }


# ---------------------------------------------------------------- results


def run(path: Path, cases: Sequence[str], seeds: Sequence[int], also: Sequence[str], workers: int) -> None:
    """Measure what is not in the file yet, seed by seed, so that at any time all cases have about as many studies."""
    known = {(record["case"], record["seed"]) for record in read(path) if set(also) <= set(record["also"])}
    wanted = [(name, seed) for seed in seeds for name in cases if (name, seed) not in known]
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        path.open("a", encoding="utf-8") as file,
    ):
        for number, record in enumerate(pool.map(partial(_measure, also=also), wanted), start=1):
            file.write(json.dumps(record) + "\n")
            file.flush()
            print(f"{number}/{len(wanted)} {record['case']} {record['seed']}", file=sys.stderr, flush=True)


def _measure(study: tuple[str, int], also: Sequence[str]) -> Record:
    return measure(*study, also)


def read(path: Path) -> list[Record]:
    """One record a study: of several the one that measured most."""
    if not path.exists():
        return []
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    records.sort(key=lambda record: len(record["also"]))
    return [*{(record["case"], record["seed"]): record for record in records}.values()]


# Of each estimate its title, its key, and the key of the truth.
SHIPPED = f"truth_{STAGES[-1]}"
ESTIMATES = {
    "naive": ("the search score", "naive", SHIPPED),
    "out of fold": ("the finals' ensemble", "out_of_fold", SHIPPED),
    "before": ("corrected for the finals alone", "before", SHIPPED),
    "corrected": ("**corrected score**", "corrected", SHIPPED),
    "nested, its networks": ("nested, for the rows of a split", "nested_of_splits", SHIPPED),
    "nested alone": ("nested, without the study's own score", "nested_alone", SHIPPED),
    "nested": ("**nested**", "nested", SHIPPED),
    "bbc": ("BBC-CV", "bbc", "one_of_search"),
    "conservative z": ("conservative z", "conservative_z", "one_network"),
    "bates": ("Bates et al.", "bates", "one_network"),
    "tilting": ("bootstrap tilting", "tilting", "one_of_search"),
}
OWN = ("naive", "out of fold", "before", "corrected")


def errors(records: Sequence[Record], key: str, truth: str) -> np.ndarray:
    """Of each study that has the estimate, how far it is above the truth."""
    return np.array([_value(record[key]) - record[truth] for record in records if key in record])


def _value(estimate: Any) -> float:
    return float(estimate[0] if isinstance(estimate, list) else estimate)


def cell(records: Sequence[Record], key: str, truth: str) -> str:
    """Bias with its standard error; how often the interval holds the truth; its mean width, that of before being 1; how
    often the truth is below the one-sided bound."""
    having = [record for record in records if record.get(key) is not None]
    if len(having) < 2:
        return "–"
    parts = []
    values = [record[key] for record in having]
    if not isinstance(values[0], list) or values[0][0] is not None:
        off = errors(having, key, truth)
        parts.append(f"{off.mean():+.3g} ± {off.std(ddof=1) / len(off) ** 0.5:.2g}".replace("-", "−"))
    if isinstance(values[0], list) and values[0][1] is not None:
        held = np.mean([value[1] <= record[truth] <= value[2] for value, record in zip(values, having, strict=True)])
        width = np.mean([v[2] - v[1] for v in values]) / np.mean([r["before"][2] - r["before"][1] for r in having])
        parts.append(f"{held:.1%}; {width:.2f}")
    if isinstance(values[0], list) and len(values[0]) > 3:
        below = np.mean([record[truth] <= value[3] for value, record in zip(values, having, strict=True)])
        parts.append(f"{below:.1%}")
    return "; ".join(parts)


def overtuning(records: Sequence[Record]) -> pd.DataFrame:
    """What more trials did to what is shipped, with finals / without, in studies that went on to ``MORE_TRIALS``."""
    last, rows = STAGES[-1], {}
    for name, case in CASES.items():
        mine = [record for record in records if record["case"] == name]
        longer = [record for record in mine if f"truth_{MORE_TRIALS}" in record]
        if not mine:
            continue

        def share(of: Sequence[Record], later: int, earlier: str) -> str:
            return " / ".join(
                f"{np.mean([r[f'{kind}_{later}'] > r[earlier.format(kind)] for r in of]):.0%}" if of else "–"
                for kind in ("truth", "search")
            )

        row = {"studies": f"{len(mine)}, {len(longer)}", "trial 0": f"{np.mean([r['truth_first'] for r in mine]):.4g}"}
        for trials in (*STAGES, MORE_TRIALS):
            of = longer if trials == MORE_TRIALS else mine
            means = [np.mean([r[f"{kind}_{trials}"] for r in of]) for kind in ("truth", "search") if of]
            row[f"{trials} trials"] = " / ".join(f"{mean:.4g}" for mean in means) or "–"
        row[f"worse at {last} than trial 0"] = share(mine, last, "truth_first")
        row[f"worse at {last} than at {STAGES[0]}"] = share(mine, last, f"{{}}_{STAGES[0]}")
        row[f"worse at {MORE_TRIALS} than at {last}"] = share(longer, MORE_TRIALS, f"{{}}_{last}")
        rows[case.title] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def report(records: Sequence[Record]) -> str:
    """All tables in Markdown: hpsearch's own numbers, nested ones and rivals, and overtuning."""
    parts = []
    for titles in (OWN, [title for title in ESTIMATES if title not in OWN]):
        rows = {}
        for name, case in CASES.items():
            mine = [record for record in records if record["case"] == name]
            cells = {ESTIMATES[title][0]: cell(mine, *ESTIMATES[title][1:]) for title in titles}
            if any(text != "–" for text in cells.values()):
                count = max(sum(ESTIMATES[title][1] in record for record in mine) for title in titles)
                rows[f"{case.title} ({count})"] = cells
        if rows:
            parts.append(markdown(pd.DataFrame.from_dict(rows, orient="index"), "case (studies)"))
    return "\n\n".join([*parts, markdown(overtuning(records), "mean true loss")])


def markdown(frame: pd.DataFrame, corner: str) -> str:
    lines = [f"| {corner} | {' | '.join(frame.columns)} |", "|---|" + "---|" * len(frame.columns)]
    lines += [f"| {name} | {' | '.join(row)} |" for name, row in zip(frame.index, frame.to_numpy(), strict=True)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("results", type=Path, help="a file of JSON lines")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES], metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--seeds", nargs=2, type=int, default=(FIRST_SEED, STUDIES), metavar=("FIRST", "COUNT"))
    parser.add_argument("--also", nargs="+", choices=ALSO, default=[], metavar="WHAT", help=", ".join(ALSO))
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    first, count = chosen.seeds
    if chosen.what == "run":
        run(chosen.results, chosen.cases, range(first, first + count), chosen.also, chosen.workers)
    print(report(read(chosen.results)))


if __name__ == "__main__":
    main()
