"""A study file for a table of rows: inferred from them, explained in comments, with a budget of minutes."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from hpsearch.data.audit import CHECKS, Audited
from hpsearch.data.dataset import Dataset, Task
from hpsearch.data.frame_source import FrameRows
from hpsearch.data.frame_table import PLACE
from hpsearch.data.sources import source_class
from hpsearch.data.splits import SplitOptions, hold_out, make_splits
from hpsearch.data.survey import Surveyed, survey, survey_frame
from hpsearch.data.table_sources import Csv
from hpsearch.data.units import first_of_each
from hpsearch.definition.draft_text import (
    FEWEST_HELD_OUT_FROM,
    SEED,
    Budget,
    SplitPlan,
    Titles,
    described,
    left_out_because,
    write,
)
from hpsearch.definition.problems import first_problem
from hpsearch.definition.sections import StudySection
from hpsearch.definition.study import as_key
from hpsearch.errors import DataError, Setting, listed, located, quoted
from hpsearch.numbers import plural

MOST_SINGLE = 0.05  # of the rows, that are left out as no other is of their class
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
        duplicates: how many rows it leaves out, as they repeat another.
        single: classes of one row each.
        rare_classes: what becomes of these: ``drop``, or ``other``.
    """

    text: str
    found: Surveyed
    duplicates: int
    single: tuple[str, ...] = ()
    rare_classes: str = "drop"

    @property
    def left_out(self) -> dict[str, list[str]]:
        """What of the table is not used as it stands, and why: sentences, by the key of ``[data]`` that says it."""
        found, lines = self.found, defaultdict[str, list[str]](list)
        for name, why in found.left_out.items():
            lines["drop"].append(f"Left out: {quoted(name)}, which {left_out_because(name, why)}.")
        for name, odd in found.odd.items():
            where = f", first in {odd.where}" if odd.where else ""
            lines["missing"].append(
                f"Taken for no value: {listed([*map(quoted, odd.values)])} in {quoted(name)}{where}."
            )
        if self.single:
            become = "Left out" if self.rare_classes == "drop" else "Made one class, other"
            rows = f"the rows of {listed([*map(quoted, self.single)])}, classes of one row each"
            lines["rare_classes"].append(f"{become}: {rows}.")
        if found.without_target:
            of_all = f"{found.without_target} of {found.rows + found.without_target}"
            lines["drop_missing_target"].append(f"Left out: rows without a target, {of_all}.")
        if self.duplicates:
            rows = f"{self.duplicates} of the rows, which repeat another in all features and the target"
            lines["duplicates"].append(f"Left out: {rows}.")
        return lines


def draft(
    rows: Path,
    target: str | None,
    path: str,
    file_name: str,
    name: str | None = None,
    task: Task | None = None,
    given: Mapping[str, Any] | None = None,
) -> Draft:
    """Write a study file for a table of rows.

    Args:
        rows: a CSV or Parquet file.
        target: its column to predict.
        path: that file as the study file is to name it.
        file_name: the study file's, for the commands in its comments.
        name: the study's; made from the rows' if None.
        task: what the target is; found out if None.
        given: keys of ``[data]``: ``rare_classes``, which is to become of classes of one row; and how a CSV file is
            written, as far as that is not to be found out.

    Raises:
        DataError: rows that cannot be used.
        DefinitionError: a name that a study cannot have.
    """
    name = study_name(rows) if name is None else checked_name(name)
    csv = _checked(given or {})
    rare_classes = csv.pop("rare_classes", None)
    found = survey(rows, target, task, csv)
    where = {"path": str(rows)}
    return _drafted(found, where, str(rows), rare_classes, name, Titles(rows.name, path, file_name))


def draft_frame(
    rows: FrameRows,
    target: str | None,
    name: str | None = None,
    task: Task | None = None,
    given: Mapping[str, Any] | None = None,
) -> Draft:
    """The same for a DataFrame.

    Args:
        rows: the DataFrame.
        target: its column to predict.
        name: the study's; made from the target's if None.
        task: what the target is; found out if None.
        given: keys of ``[data]``, of which ``rare_classes`` may be there.

    Raises:
        DataError: rows that cannot be used.
        DefinitionError: a name that a study cannot have.
    """
    rare_classes = _checked(given or {}).get("rare_classes")
    assert rows.frame is not None
    found = survey_frame(rows.frame, target, task)
    name = plain_name(found.target) if name is None else checked_name(name)
    return _drafted(found, {"rows": rows}, PLACE, rare_classes, name, Titles("a DataFrame"))


def _drafted(
    found: Surveyed, where: Mapping[str, Any], place: str, rare_classes: str | None, name: str, titles: Titles
) -> Draft:
    """The study file for what was found.

    Args:
        found: what the rows were taken for.
        where: keys of ``[data]`` by which they are loaded once more.
        place: how errors call them.
        rare_classes: what is to become of classes of one row; None if that is not said.
        name: the study's.
        titles: how the file calls the rows and itself.
    """
    used, found = described(found), found.without_values()  # the rows are to be loaded once more
    plan = _split_plan(found, where, place, rare_classes)
    budget = _budget(plan.rows, len(found.plan.feature_names))
    text = write(found, used, plan, budget, name, titles)
    return Draft(text, found, plan.duplicates, plan.single, plan.rare_classes)


def study_name(rows: Path) -> str:
    """A name that a study may have, from a file's."""
    return plain_name(Path(rows.stem).stem if rows.suffix.lower() in (".gz", ".zip") else rows.stem)


def plain_name(text: str) -> str:
    """A name that a study may have, from any text."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-")[:100] or "study"


def checked_name(name: str) -> str:
    """The name, if a study may have it.

    Raises:
        DefinitionError: it may not.
    """
    try:
        return StudySection(name=name).name
    except ValidationError as error:
        raise first_problem(error, StudySection) from error


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of ``[data]``, if they may be so.

    Raises:
        DefinitionError: it may not.
    """
    try:
        source = Csv.model_validate({"source": "csv", "path": "", "target": "", **given})
    except ValidationError as error:
        raise first_problem(error, Csv) from error
    return {key: getattr(source, key) for key in given}


def _split_plan(found: Surveyed, where: Mapping[str, Any], place: str, rare_classes: str | None) -> SplitPlan:
    """How to hold out and to split: the first of the more usual ways that these rows allow, and that ``run`` does."""
    options: dict[str, Any] = {"source": found.source, **where, "target": found.target, "task": found.task}
    options |= {"drop": [*found.left_out], **found.said, **found.csv.changes()}
    if found.without_target:
        options["drop_missing_target"] = True
    single, rare_classes = _single_rows(found, rare_classes), rare_classes or "drop"
    if single:
        options |= {"rare_classes": rare_classes, "smallest_class": 2}
    data = source_class(found.source).model_validate(options).load(Path(), SEED)
    with located(place):
        plan, leaks = _first_way(data)
    plan = replace(plan, single=single, rare_classes=rare_classes)
    if not leaks:
        return plan
    different = data.take(first_of_each(data))
    duplicates = data.rows - different.rows
    with located(place, f"without its {plural(duplicates, 'row that repeats', 'rows that repeat')} another"):
        plan, _ = _first_way(different)
    return replace(plan, rows=different.rows, duplicates=duplicates, single=single, rare_classes=rare_classes)


def _single_rows(found: Surveyed, rare_classes: str | None) -> tuple[str, ...]:
    """Classes of a single row each that are taken as rare: all if that is said; else if they are few rows, and there
    are other classes."""
    classes = found.classes or {}
    single = tuple(name for name, count in classes.items() if count == 1)
    if rare_classes is not None:
        return single if rare_classes != "keep" else ()
    few = len(single) <= MOST_SINGLE * found.rows and len(classes) - len(single) >= 2
    return single if few else ()


def _first_way(data: Dataset) -> tuple[SplitPlan, bool]:
    """The first way that these rows allow, and whether ``run`` refuses what then stands on both sides."""
    splitters: tuple[str, ...] = ("stratified", "kfold")
    splits: tuple[int, ...] = (5, 3, 2)
    if data.task == "regression":
        if data.rows < 4:
            raise DataError("must have at least 4 rows to be split", f"has {data.rows}", "Add rows.")
        splitters, splits = ("kfold",), (min(5, data.rows // 2),)
    else:
        single = [name for name, count in zip(data.class_names, np.bincount(data.labels), strict=True) if count == 1]
        if single:
            some_have = plural(len(single), "has", "have")
            raise DataError(
                "the target must hold numbers, or classes with at least 2 rows each",
                f"of the {plural(len(data.class_names), 'class', 'classes')} of {quoted(data.target_name)} "
                f"{some_have} one, as {quoted(single[0])}",
                (
                    "Leave such rows out (",
                    *(Setting("rare_classes", "drop"), "), make them one class (", Setting("rare_classes", "other")),
                    "), or name another target.",
                ),
            ).worded(as_key)
    some = 0.2 if data.rows >= FEWEST_HELD_OUT_FROM else None
    refusals: list[DataError] = []
    for n_splits, fraction, splitter in product(splits, dict.fromkeys((some, None)), splitters):
        try:
            search, held_out = (data, None) if fraction is None else hold_out(data, fraction, splitter, SEED)
            audited = Audited(search, held_out, make_splits(search, splitter, SplitOptions(n_splits), SEED), splitter)
        except DataError as error:
            refusals.append(error)
            continue
        leaks = any(finding.level == "error" for check in _REFUSING for finding in CHECKS[check](audited))
        return SplitPlan(fraction, splitter, n_splits, data.rows), leaks
    raise refusals[0].worded(as_key)


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
        hidden_layers=(0, 2),
        learning_rate=("1e-3", "1e-1") if batch_size is None else ("3e-4", "3e-2"),
    )
