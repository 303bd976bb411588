"""How far each number that hpsearch prints is from the truth: the tables that stand in tests/README.md.

    python honesty.py run RESULTS [--cases NAME …] [--seeds FIRST COUNT] [--workers N] [--also rivals nested overtuning]
    python honesty.py report RESULTS

A study is what a user of the command line does: rows in a CSV file, the study file that `init` writes for them, `run`,
`best`, `retrain`, all at their defaults. Two things are changed: the hold-out is left out, as 20,000 rows more are
drawn to tell the true loss of what is shipped, and groups are named where there are some. Every study has a seed, which
its rows and its own randomness follow from. RESULTS is a file of JSON lines, one a study, which a later run goes on
with.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import tomlkit
from honesty_cases import CASES, Case, Rows

from hpsearch.data.dataset import Dataset
from hpsearch.definition.draft import draft
from hpsearch.definition.study import StudyDefinition
from hpsearch.model.bundle import Bundle
from hpsearch.model.retrain import fit_prepared
from hpsearch.results.best import Best, find_best
from hpsearch.search.objective import Prepared, prepare
from hpsearch.search.run import executor_for, owned, search
from hpsearch.storage.stored_study import StoredStudy

FRESH_ROWS = 20_000
FIRST_SEED = 10_000  # the methods were chosen with studies of seeds below
STUDIES = 400


def frame(rows: Rows) -> pd.DataFrame:
    """As a user has them: classes by name."""
    names = [f"x{place + 1}" for place in range(rows.features.shape[1])]
    table = pd.DataFrame(rows.features, columns=names)
    if rows.groups is not None:
        table["group"] = rows.groups
    classes = rows.target.dtype.kind == "i"
    return table.assign(y=np.array(["a", "b", "c"])[rows.target] if classes else rows.target)


def definition(case: Case, seed: int, folder: Path) -> StudyDefinition:
    """The study file that `init` writes for the rows of this seed, which lie in the folder from then on."""
    path = folder / "rows.csv"
    table = frame(case.draw(np.random.default_rng([seed, 0]), case.rows))
    table.to_csv(path, index=False)
    text = draft(path, "y", path.name, "study.toml", "honesty").text
    raw: dict[str, Any] = tomlkit.parse(text).unwrap()
    raw["study"]["seed"] = seed
    raw.pop("holdout", None)
    if "group" in table:
        raw["data"] |= {"group": "group"}
        raw["data"].pop("drop", None)
        raw["validation"]["splitter"] = "group"
    return StudyDefinition.from_mapping(raw, folder)


def fresh(case: Case, seed: int, data: Dataset) -> Dataset:
    """Rows that no study has seen, as a dataset of the study's kind."""
    rows = case.draw(np.random.default_rng([seed, 1]), FRESH_ROWS)
    names, target = data.class_names, rows.target
    labels = target.astype(data.labels.dtype)
    if names and names != ("a", "b", "c")[: len(names)]:
        raise ValueError(f"the classes are {names}")
    return replace(data, features=rows.features.astype(data.features.dtype), labels=labels, groups=None)


@dataclass(frozen=True)
class Study:
    """A study that was run."""

    prepared: Prepared
    stored: StoredStudy
    best: Best
    fresh: Dataset

    def shipped(self, best: Best | None = None, members: int | None = None) -> Bundle:
        """What `retrain` ships; of another choice, or with another number of networks."""
        best = best or self.best
        prepared = self.prepared
        if members is not None:
            prepared = replace(prepared, definition=prepared.definition.with_members(members))
        return fit_prepared(prepared, best.config)

    def truth(self, model: Bundle) -> float:
        """Its mean loss on fresh rows."""
        return float(model.row_losses(self.fresh).mean())


def studies(case: Case, seed: int, trials: Sequence[int | None] = (None,)) -> Iterator[Study]:
    """The study of a seed, run to so many trials, one number after the other."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        begun, url = definition(case, seed, folder), f"sqlite:///{folder / 'study.db'}"
        new: Dataset | None = None
        for count in trials:
            prepared = prepare(begun if count is None else begun.with_trials(count))
            new = new or fresh(case, seed, prepared.search)
            with executor_for() as executor, owned(prepared, url, prepared.audit()) as stored:
                search(prepared, stored, executor)
                yield Study(prepared, stored, find_best(stored), new)
