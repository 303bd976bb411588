"""What a file of rows holds, found out by the code that loads it, so that a study file can be written for it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.cells import (
    FEWEST_ROWS,
    LARGEST,
    MOST_CATEGORIES,
    MOST_ODD,
    OF_PROGRAMS,
    Types,
    is_number,
    too_large,
)
from hpsearch.data.columns import Plan, Raw
from hpsearch.data.csv_format import CsvFormat
from hpsearch.data.csv_recogniser import recognise
from hpsearch.data.dataset import Task
from hpsearch.data.dates import EPOCH, forms_of, parse, readings
from hpsearch.data.frame_table import PLACE, read_frame
from hpsearch.data.table_file import Table, Wanted
from hpsearch.data.table_reader import format_of, read_table
from hpsearch.errors import DataError, Setting, listed, located, quoted
from hpsearch.numbers import plural

if TYPE_CHECKING:
    import pandas as pd

# More different whole numbers than this are regression targets; classes are seldom so many, or numbered without names.
MOST_NUMBERED_CLASSES = 20
MANY = "target"  # how columns of many categories are encoded
# What is taken for no value where it stands among numbers, even if it is a category elsewhere: a category of its own it
# stays, that of missing values.
NO_VALUES = (*OF_PROGRAMS, "?", "-", "--", ".")
FREE_TEXT_WORDS = 5  # a value, on average; names have fewer
_OFTEN_TARGETS = ("target", "label", "class", "y", "outcome", "species", "category", "diagnosis", "survived", "price")
_PARTS_OF_DATES = {"month": 12, "day": 31, "week": 53}  # by their names, and how far they count
_OF_PANDAS = re.compile(r"__index_level_\d+__")  # what it calls an index without a name in a Parquet file
# What R and pandas call the numbers of rows, which those that were drawn from a larger table keep.
_ROW_NUMBERS = re.compile(r"(?i)row[ ._]?(names?|numbers?|no|nr|index)|unnamed: 0")
# What columns that name their rows are called: id, customer_id, "Order No", PassengerId.
NAMES_ROWS = re.compile(r"(?i:(.*[\W_])?(id|no|nr|key|index|guid|uuid))|.*[a-z](Id|ID|No|Nr)")


@dataclass(frozen=True)
class LeftOut:
    """Why a column is left out.

    Attributes:
        why: as ``is empty in all 60 rows``.
        values: the texts that, if they mean no value, would let it in; none if there are no such texts.
        where: the first of the rows that it is about, as ``row 17``; empty if it is about them all.
        forms: of dates that can be read in several ways, those ways; see :func:`hpsearch.data.dates.parse`.
    """

    why: str
    values: tuple[str, ...] = ()
    where: str = ""
    forms: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: DataError) -> LeftOut:
        """From the loader's refusal."""
        settings = [part for part in error.do if isinstance(part, Setting)] if isinstance(error.do, tuple) else []
        values = next((setting.value for setting in settings if setting.name == "missing"), ())
        where = str(error.where[0]) if len(error.where) > 1 else ""
        return cls(" ".join(f"{error.must}, but {error.got}".split()), tuple(values), where)


@dataclass(frozen=True)
class Surveyed:
    """What was found.

    Attributes:
        source: what ``[data] source`` calls such a file.
        target: the column to predict.
        rows: how many there are.
        classes: rows of each class, in the order of the target's first rows; None of a regression.
        low: the least regression target.
        high: the largest regression target.
        columns: those that can be features, as they were read.
        plan: what these become.
        left_out: other columns, and why each is none.
        missing: texts that were taken for no value, beside those that always are.
        odd: the columns of numbers that hold them, and where.
        groups: columns whose values group the rows, at least two in a typical group, with the number of groups.
        times: columns whose values may order the rows, with the number of different ones.
        csv: how a CSV file is written; a plain one of any other file.
        without_target: how many rows there are besides, without a target.
    """

    source: str
    target: str
    rows: int
    classes: Mapping[str, int] | None
    low: float
    high: float
    columns: tuple[Raw, ...]
    plan: Plan
    left_out: Mapping[str, LeftOut]
    missing: tuple[str, ...] = ()
    odd: Mapping[str, LeftOut] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)
    times: Mapping[str, int] = field(default_factory=dict)
    csv: CsvFormat = field(default_factory=CsvFormat)
    without_target: int = 0

    @property
    def task(self) -> Task:
        """What is predicted."""
        return "regression" if self.classes is None else "classification"

    @property
    def said(self) -> dict[str, Any]:
        """The keys of ``[data]`` that say what columns are, where their values do not say it to the loader."""
        dates = [raw for raw in self.columns if raw.kind == "date"]
        said = {
            "missing": [*self.missing],
            "date": [raw.name for raw in dates],
            "date_format": {raw.name: raw.form for raw in dates if raw.form},
            "order": {raw.name: [*raw.categories] for raw in self.columns if raw.kind == "ordered"},
            "encode": dict.fromkeys((raw.name for raw in self.columns if has_many(raw)), MANY),
        }
        return {key: value for key, value in said.items() if value}

    def without_values(self) -> Surveyed:
        """The same, without the columns' values, which take as much memory as the rows."""
        return replace(self, columns=tuple(replace(raw, values=np.empty(0)) for raw in self.columns))


def survey(path: Path, target: str | None, task: Task | None = None, csv: Mapping[str, Any] | None = None) -> Surveyed:
    """Read a file of rows and find out what its columns are.

    A few texts in a column of numbers are taken for missing values, unless they are a class or category elsewhere.

    Args:
        path: a CSV file, or a Parquet file by its ending.
        target: the column to predict.
        task: what the target is; found out if None.
        csv: how a CSV file is written, as far as it is not to be found out: attributes of
            :class:`hpsearch.data.csv_format.CsvFormat`.

    Raises:
        DataError: no target, or one that is not there, not filled, or no number in a regression; a file that cannot be
            read; no column to predict from.
    """
    written = recognise(path, target, csv or {}) if format_of(path) == "csv" else CsvFormat()
    found = _survey(partial(read_table, path), str(path), format_of(path), target, task, written)
    return replace(found, csv=written)


def survey_frame(frame: pd.DataFrame, target: str | None, task: Task | None = None) -> Surveyed:
    """The same of a DataFrame.

    Raises:
        DataError: as there.
    """
    return _survey(partial(read_frame, frame), PLACE, "frame", target, task, CsvFormat())


def _survey(
    read: Callable[[Wanted], Table], place: str, source: str, target: str | None, task: Task | None, written: CsvFormat
) -> Surveyed:
    """Find out what columns are, of whatever can be read as a table."""
    if target is None:
        names = read(Wanted(features=(), types=Types(csv=written))).names
        known = listed([*map(quoted, names)], 20)
        raise DataError(
            "the column to predict must be named",
            "is not",
            (f"It has {known}. For example: ", Setting("target", likely_target(names)), "."),
            where=place,
        )
    regression_target = target if task == "regression" else None
    types = Types(surveyed=True, csv=written)
    wanted = Wanted(
        (target,),
        types=types,
        regression_target=regression_target,
        lenient=True,
        target=target,
        drop_missing_target=True,
    )
    table = read(wanted)
    odd = _odd_columns(table, target)
    missing = tuple(dict.fromkeys(text for found in odd.values() for text in found.values))
    if missing:
        table = read(replace(wanted, types=replace(types, missing=missing)))
    with located(place):
        found = _surveyed(table, source, target, task, missing)
    return replace(found, odd=odd, without_target=table.without_target)


def _odd_columns(table: Table, target: str) -> dict[str, LeftOut]:
    """The columns that would be numbers if some of their texts meant no value, or hold what programs write for none.

    Those texts mean nothing else anywhere.
    """
    labels = [label.strip() for label in table.texts[target]]
    odd_targets = _odd_targets(labels)
    meant = {text.lower() for raw in table.columns for text in raw.categories if text not in NO_VALUES}
    meant |= {label.lower() for label in labels if label not in odd_targets}
    refused = {name: LeftOut.of(error) for name, error in table.refused.items()}
    of_programs = {raw.name: tuple(text for text in raw.categories if text in OF_PROGRAMS) for raw in table.columns}
    for name, odd in {**of_programs, target: odd_targets}.items():
        if odd:
            refused[name] = LeftOut(f"holds {listed([*map(quoted, odd)])}", odd)
    return {
        name: found
        for name, found in refused.items()
        if found.values and meant.isdisjoint(text.lower() for text in found.values)
    }


def _odd_targets(labels: Sequence[str]) -> tuple[str, ...]:
    """The few texts among regression targets that are none, or those of a program's among classes."""
    numbers = [label for label in labels if is_number(label)]
    others = tuple(dict.fromkeys(label for label in labels if not is_number(label)))
    few = len(others) <= MOST_ODD and 2 * len(numbers) >= len(labels)
    if others and few and regression_targets(numbers) is not None:
        return others
    return tuple(label for label in others if label in OF_PROGRAMS)


def _surveyed(table: Table, source: str, target: str, task: Task | None, missing: tuple[str, ...]) -> Surveyed:
    labels = [text.strip() for text in table.texts[target]]
    left_out = {name: LeftOut.of(error) for name, error in table.refused.items()}
    if table.columns:
        Plan.declare(table.columns)  # refuses features of one name
    raws = [*map(_as_dates, table.columns)]
    for raw in raws:
        nameless = "has no name in the file" if raw.name == table.index else None
        if _OF_PANDAS.fullmatch(raw.name):
            nameless = "is called as pandas calls an index without a name"
        if nameless and (because := _why_index(raw, nameless)):
            left_out[raw.name] = LeftOut(because)
        elif raw.kind == "categorical" and (forms := forms_of(raw.categories)):
            text, meant = next((text, found) for text in raw.categories if (found := readings(text, forms)))
            why = f"holds dates, of which {quoted(text)} may mean {' or '.join(map(as_date, meant))}"
            left_out[raw.name] = LeftOut(why, forms=tuple(forms))
        elif because := _why_no_feature(raw):
            left_out[raw.name] = LeftOut(because)
    columns = tuple(raw for raw in raws if raw.name not in left_out)
    if not columns:
        first = "".join(f": {quoted(name)} {found.why}" for name, found in [*left_out.items()][:1])
        raise DataError(f"must have a column to predict from beside {quoted(target)}", f"has none{first}")
    numbers = regression_targets(labels)
    if task is not None:
        numbers = [*map(float, labels)] if task == "regression" else None
    for label, number in zip(labels, numbers or (), strict=numbers is not None):
        if abs(number) > LARGEST:
            raise too_large(target, label, table.rows[labels.index(label)])
    classes = Counter(labels) if numbers is None else None
    return Surveyed(
        source=source,
        target=target,
        rows=len(labels),
        classes=classes,
        low=min(numbers or [0.0]),
        high=max(numbers or [0.0]),
        columns=columns,
        plan=Plan.declare(columns, missing=missing).encoded(
            dict.fromkeys((raw.name for raw in columns if has_many(raw)), MANY), 1, len(classes) if classes else 1
        ),
        left_out={name: left_out[name] for name in table.names if name in left_out},
        missing=missing,
        groups={raw.name: count for raw in raws if (count := _groups(raw))},
        times={raw.name: len(np.unique(raw.values)) for raw in columns if _orders(raw)},
    )


def _as_dates(raw: Raw) -> Raw:
    """The column as dates, if its categories can be read as such in one way."""
    forms = forms_of(raw.categories) if raw.kind == "categorical" else None
    if forms is None or len(forms) > 1:
        return raw
    days = np.array([*(parse(text, forms[0]) for text in raw.categories), np.nan], np.float64)
    return Raw(raw.name, "date", days[raw.values], form=forms[0])


def _orders(raw: Raw) -> bool:
    """Whether a column could say in which order rows follow each other: not the day of a month, nor another part of a
    date that comes again."""
    if raw.kind not in ("date", "numeric") or raw.missing.any():
        return False
    most = next((most for part, most in _PARTS_OF_DATES.items() if part in raw.name.lower()), -math.inf)
    return raw.kind == "date" or bool(raw.values.max() > most)


def _why_no_feature(raw: Raw) -> str | None:
    """Why a column that could be read should be left out all the same; None if it should not.

    A number is not taken for a name of its row because no two rows share it: its own name must say so, or it counts the
    rows.
    """
    rows, missing = len(raw.values), raw.missing
    values = raw.values[~missing]
    present = len(values)
    if present == rows and (values == values[0]).all():
        value = raw.categories[values[0]] if raw.kind == "categorical" else f"{values[0]:g}"
        value = as_date(values[0]) if raw.kind == "date" else value
        return f"has one value, {value if is_number(value) else quoted(value, 40)}, in all {plural(rows, 'row')}"
    if raw.kind == "numeric":
        unlike = present == rows and np.array_equal(values, np.round(values)) and len(np.unique(values)) == rows
        if unlike and rows >= FEWEST_ROWS and (np.diff(values) == 1).all():
            return f"counts the rows, from {values[0]:.0f} to {values[-1]:.0f}"
        if unlike and _ROW_NUMBERS.fullmatch(raw.name) and (np.diff(values) > 0).all():
            return (
                f"numbers rows of a larger table: it is called so, and its whole numbers only increase, from "
                f"{values[0]:.0f} to {values[-1]:.0f}"
            )
        if unlike and NAMES_ROWS.fullmatch(raw.name):
            return f"names its row: it is called so, and holds another whole number in each of {rows} rows"
        return None
    if raw.kind != "categorical":
        return None
    if present < FEWEST_ROWS:
        return None
    count = len(raw.categories)
    if 2 * count > present:
        words = sum(len(text.split()) for text in raw.categories) / count
        if words >= FREE_TEXT_WORDS:
            return f"holds free text: {count} different texts of {words:.0f} words on average in {present} rows"
        if count == present:
            return f"names its row: it holds another text in each of {present} rows"
        return f"has too many categories for its rows: {count} in {present}"
    if count > MOST_CATEGORIES and NAMES_ROWS.fullmatch(raw.name):
        return f"names what its row belongs to: it is called so, and holds {count} different texts in {present} rows"
    return None


def has_many(raw: Raw) -> bool:
    """Whether a column has more categories than each should be a feature."""
    return raw.kind == "categorical" and len(raw.categories) > MOST_CATEGORIES


def as_date(days: float) -> str:
    """How a day since 1970-01-01 is written, with its time of day if it has one."""
    moment = EPOCH + timedelta(days=float(days))
    return moment.date().isoformat() if days == int(days) else moment.isoformat(" ", "minutes")


def _groups(raw: Raw) -> int:
    """How many groups a column's values make of the rows, if a typical one has two rows at least; else 0."""
    fractions = raw.kind in ("date", "numeric") and not np.array_equal(raw.values, np.round(raw.values))
    if raw.missing.any() or fractions:
        return 0
    sizes = np.unique(raw.values, return_counts=True)[1]
    return len(sizes) if np.median(sizes) >= 2 else 0


def _why_index(raw: Raw, nameless: str) -> str | None:
    """Why a column without a name is an index; None if it is none: then it is a column like others."""
    rows = len(raw.values)
    if len(np.unique(raw.values)) == rows:
        return f"{nameless}, and has another value in each of {rows} rows: an index, as pandas and R write it"
    if raw.kind == "numeric" and np.array_equal(raw.values, np.round(raw.values)):
        return f"{nameless}, and has whole numbers: an index, as pandas and R write it"
    return None


def regression_targets(labels: Sequence[str]) -> list[float] | None:
    """A target's numbers, if they are rather regression targets than the names of classes; None if classes.

    Regression targets have fractions, or more than :data:`MOST_NUMBERED_CLASSES` different whole numbers, or so many
    different ones that most come once, or one of more than two that comes once: no class could be told by a single row.
    """
    if not all(map(is_number, labels)):
        return None
    numbers = [float(label) for label in labels]
    counts = Counter(numbers)
    fractions = not all(number.is_integer() for number in numbers)
    seldom = len(counts) > 2 and (2 * len(counts) > len(numbers) or min(counts.values()) == 1)
    return numbers if fractions or len(counts) > MOST_NUMBERED_CLASSES or seldom else None


def likely_target(names: Sequence[str]) -> str:
    """The column that looks most like what is to be predicted: one that is often called so, or the last."""
    usual = {name.strip().lower(): name for name in reversed(names)}
    return next((usual[name] for name in _OFTEN_TARGETS if name in usual), names[-1])
