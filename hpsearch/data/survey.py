"""What a file of rows holds, found out by the code that loads it, so that a study file can be written for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hpsearch.data.audit import names_rows
from hpsearch.data.cells import is_number
from hpsearch.data.columns import Plan, Raw
from hpsearch.data.table_file import Table, Wanted
from hpsearch.data.table_reader import format_of, read_table
from hpsearch.errors import DataError, Setting, listed, located

# More different whole numbers than this are regression targets; classes are seldom so many, or numbered without names.
MOST_NUMBERED_CLASSES = 20
_OFTEN_TARGETS = ("target", "label", "class", "y", "outcome", "species", "category", "diagnosis", "survived", "price")


@dataclass(frozen=True)
class LeftOut:
    """Why a column is left out.

    Attributes:
        why: as ``must have a value in some row, but is empty in all 60``.
        value: the text that, if it means no value, would let it in; None if there is no such text.
    """

    why: str
    value: str | None = None

    @classmethod
    def of(cls, error: DataError) -> LeftOut:
        """From the loader's refusal."""
        settings = [part for part in error.do if isinstance(part, Setting)] if isinstance(error.do, tuple) else []
        value = next((setting.value[0] for setting in settings if setting.name == "missing"), None)
        return cls(" ".join(f"{error.must}, but {error.got}".split()), value)


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

    def without_values(self) -> Surveyed:
        """The same, without the columns' values, which take as much memory as the rows."""
        return replace(self, columns=tuple(replace(raw, values=np.empty(0)) for raw in self.columns))


def survey(path: Path, target: str | None) -> Surveyed:
    """Read a file of rows and find out what its columns are.

    Args:
        path: a CSV file, or a Parquet file by its ending.
        target: the column to predict.

    Raises:
        DataError: no target, or one that is not there or not filled; a file that cannot be read; no column to predict
            from.
    """
    if target is None:
        names = read_table(path, Wanted(features=())).names
        raise DataError(
            "the column to predict must be named",
            "is not",
            (f"It has {listed([*map(repr, names)], 20)}. For example: ", Setting("target", likely_target(names)), "."),
            where=str(path),
        )
    table = read_table(path, Wanted((target,), lenient=True))
    with located(str(path)):
        return _surveyed(table, format_of(path), target)


def _surveyed(table: Table, source: str, target: str) -> Surveyed:
    labels = [text.strip() for text in table.texts[target]]
    left_out = {name: LeftOut.of(error) for name, error in table.refused.items()}
    if table.columns:
        Plan.declare(table.columns)  # refuses features of one name
        for raw in table.columns:
            if raw.kind != "categorical" and names_rows(raw.values):
                left_out[raw.name] = LeftOut(f"has another whole number in each of {len(labels)} rows")
    columns = tuple(raw for raw in table.columns if raw.name not in left_out)
    if not columns:
        first = "".join(f": {name!r} {found.why}" for name, found in [*left_out.items()][:1])
        raise DataError(f"must have a column to predict from beside {target!r}", f"has none{first}")
    numbers = regression_targets(labels)
    return Surveyed(
        source=source,
        target=target,
        rows=len(labels),
        classes=Counter(labels) if numbers is None else None,
        low=min(numbers or [0.0]),
        high=max(numbers or [0.0]),
        columns=columns,
        plan=Plan.declare(columns),
        left_out={name: left_out[name] for name in table.names if name in left_out},
    )


def regression_targets(labels: Sequence[str]) -> list[float] | None:
    """A target's numbers, if they are rather regression targets than the names of classes; None if classes.

    Regression targets have fractions, or more than :data:`MOST_NUMBERED_CLASSES` different whole numbers, or so many
    different ones that most come once.
    """
    if not all(map(is_number, labels)):
        return None
    numbers = [float(label) for label in labels]
    different = len(set(numbers))
    fractions = not all(number.is_integer() for number in numbers)
    seldom_twice = different > 2 and 2 * different > len(numbers)
    return numbers if fractions or different > MOST_NUMBERED_CLASSES or seldom_twice else None


def likely_target(names: Sequence[str]) -> str:
    """The column that looks most like what is to be predicted: one that is often called so, or the last."""
    usual = {name.strip().lower(): name for name in reversed(names)}
    return next((usual[name] for name in _OFTEN_TARGETS if name in usual), names[-1])
