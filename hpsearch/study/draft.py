"""A study file for a table of rows: inferred from them, explained in comments, with a budget of minutes."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from math import inf
from pathlib import Path

from pydantic import ValidationError

from hpsearch.data.audit import CHECKS, Audited, Finding
from hpsearch.data.sources import SOURCES
from hpsearch.data.splits import Dealing, hold_out, make_splits
from hpsearch.data.survey import Surveyed, survey
from hpsearch.errors import DataError, DefinitionError
from hpsearch.study.draft_text import SEED, Budget, Dealt, write
from hpsearch.study.problems import first_problem
from hpsearch.study.sections import StudySection

FEWEST_HELD_OUT_FROM = 50  # fewer rows are all needed for the search
# The checks of the audit that can refuse rows without groups and times; the others take longer, and `run` makes them.
_REFUSING = ("duplicates", "hold-out")
# Epochs and trials for so many rows of 30 inputs at most, or for as much work: minutes on two cores.
_BUDGETS = ((1_000, (400, 60)), (10_000, (100, 40)), (30_000, (30, 30)), (300_000, (10, 25)), (inf, (4, 15)))


@dataclass(frozen=True)
class Draft:
    """A study file that was written for a table of rows, not yet saved.

    Attributes:
        text: the file's.
        found: what the rows were taken for.
        findings: of the leakage audit, those that ``run`` refuses.
    """

    text: str
    found: Surveyed
    findings: tuple[Finding, ...]


def draft(rows: Path, target: str | None, path: str, file_name: str, name: str | None = None) -> Draft:
    """Write a study file for a table of rows.

    Args:
        rows: a CSV or Parquet file.
        target: its column to predict.
        path: that file as the study file is to name it.
        file_name: the study file's, for the commands in its comments.
        name: the study's; made from the rows' if None.

    Raises:
        DataError: rows that cannot be used.
        DefinitionError: a name that a study cannot have.
    """
    name = study_name(rows) if name is None else checked_name(name)
    found = survey(rows, target)
    dealt = _dealt(found, rows)
    budget = _budget(found.rows, len(found.plan.feature_names))
    text = write(found, dealt, budget, name, path, rows.name, file_name)
    return Draft(text, found, dealt.findings)


def study_name(rows: Path) -> str:
    """A name that a study may have, from a file's."""
    plain = unicodedata.normalize("NFKD", rows.stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-")[:100] or "study"


def checked_name(name: str) -> str:
    """The name, if a study may have it.

    Raises:
        DefinitionError: it may not.
    """
    try:
        return StudySection(name=name).name
    except ValidationError as error:
        raise DefinitionError(f"The study's {first_problem(error, StudySection)}") from error


def _dealt(found: Surveyed, rows: Path) -> Dealt:
    """The first way to hold out and to split, of the more usual ones, that these rows allow."""
    some = 0.2 if found.rows >= FEWEST_HELD_OUT_FROM else None
    if found.classes is None:
        if found.rows < 4:
            raise DataError(f"{rows}: must have at least 4 rows to be split, but has {found.rows}. Add rows.")
        return Dealt(some, "kfold", min(5, found.rows // 2))
    single = [name for name, count in found.classes.items() if count == 1]
    if single:
        some_have = "1 has" if len(single) == 1 else f"{len(single)} have"
        raise DataError(
            f"{rows}: the target must hold numbers, or classes with at least 2 rows each, but of the "
            f"{len(found.classes)} classes of {found.target!r} {some_have} one, as "
            f"{single[0]!r}. Leave such rows out, or name another target."
        )
    options = {"source": found.source, "path": str(rows), "target": found.target, "drop": [*found.left_out]}
    data = SOURCES[found.source].model_validate(options).load(Path(), SEED)
    ways = [
        Dealt(fraction, splitter, n_splits)
        for n_splits in (5, 3, 2)
        for fraction in dict.fromkeys((some, None))
        for splitter in ("stratified", "kfold")
    ]
    refusal: DataError | None = None
    for way in ways:
        try:
            fraction, held_out = way.fraction, None
            search = data
            if fraction is not None:
                search, held_out = hold_out(data, fraction, way.splitter, SEED)
            splits = make_splits(search, way.splitter, Dealing(way.n_splits), SEED)
        except DataError as error:
            refusal = refusal or error
            continue
        seen = Audited(search, held_out, splits, way.splitter)
        leaks = [one for check in _REFUSING for one in CHECKS[check](seen)]
        return Dealt(fraction, way.splitter, way.n_splits, tuple(one for one in leaks if one.level == "error"))
    raise DataError(f"{rows}: {refusal}")


def _budget(rows: int, inputs: int) -> Budget:
    work = rows * max(1.0, inputs / 30)
    batch_size = None if rows <= 1_000 else 64 if rows <= 10_000 else 128 if rows <= 50_000 else 256
    epochs, trials = next(budget for most, budget in _BUDGETS if work <= most)
    low = 4 if inputs < 16 else 8 if inputs < 64 else 16
    high = 32 if rows < 500 else 64 if rows < 5_000 or work > 300_000 else 128
    return Budget(
        batch_size=batch_size,
        epochs=epochs,
        trials=trials,
        neurons=(low, max(high, 2 * low)),
        hidden_layers=(0, 2) if rows < 500 else (1, 2),
        learning_rate=("1e-3", "1e-1") if batch_size is None else ("3e-4", "3e-2"),
    )
