"""What a file of rows holds, found out by the code that loads it, so that a study file can be written for it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpsearch.data.audit import identifiers
from hpsearch.data.cells import is_number
from hpsearch.data.columns import Plan, Raw
from hpsearch.data.sources import SOURCES
from hpsearch.data.table_file import Survey, Wanted
from hpsearch.data.table_sources import TableFile
from hpsearch.errors import DataError

# More different whole numbers than this are a quantity; classes are seldom so many, or numbered without names.
MOST_NUMBERED_CLASSES = 20
_OFTEN_TARGETS = ("target", "label", "class", "y", "outcome", "species", "category", "diagnosis", "survived", "price")


@dataclass(frozen=True)
class Surveyed:
    """What was found.

    Attributes:
        source: what ``[data] source`` calls such a file.
        target: the column to predict.
        rows: how many there are.
        classes: rows of each class, in the order of the target's first rows; None if the target is a quantity.
        low: the least of a quantity.
        high: the most of a quantity.
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
    left_out: Mapping[str, str]


def survey(path: Path, target: str | None) -> Surveyed:
    """Read a file of rows and find out what its columns are.

    Args:
        path: a CSV file, or a Parquet file by its ending.
        target: the column to predict.

    Raises:
        DataError: no target, or one that is not there or not filled; a file that cannot be read; no column to predict
            from.
    """
    source = "parquet" if path.suffix.lower() == ".parquet" else "csv"
    seen = Survey()

    def read(texts: tuple[str, ...], features: tuple[str, ...] | None) -> tuple[tuple[Raw, ...], dict[str, list[str]]]:
        file = SOURCES[source].model_validate({"source": source, "path": str(path), "target": target or ""})
        assert isinstance(file, TableFile)
        table = file.read(path, Wanted(texts, features, survey=seen))
        return table.columns, table.texts

    if target is None:
        read((), ())
        raise DataError(
            f"{path}: the column to predict must be named, but is not. It has {_listed(seen.names)}. For example: "
            f"--target {_shell(likely_target(seen.names))}."
        )
    columns, texts = read((target,), None)
    left_out = {name: _why(error) for name, error in seen.refused.items()}
    numbered: list[str] = []
    if columns:
        try:
            plan = Plan.declare(columns)
            numbered = identifiers(plan.expand(columns)[0], plan)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    left_out |= {name: f"has another whole number in each of {len(texts[target])} rows" for name in numbered}
    columns = tuple(raw for raw in columns if raw.name not in left_out)
    if not columns:
        first = f": {next(iter(left_out))!r} {next(iter(left_out.values()))}" if left_out else ""
        raise DataError(f"{path}: must have a column to predict from beside {target!r}, but has none{first}.")
    labels = [text.strip() for text in texts[target]]
    numbers = quantity(labels)
    return Surveyed(
        source=source,
        target=target,
        rows=len(labels),
        classes=Counter(labels) if numbers is None else None,
        low=min(numbers or [0.0]),
        high=max(numbers or [0.0]),
        columns=columns,
        plan=Plan.declare(columns),
        left_out={name: left_out[name] for name in seen.names if name in left_out},
    )


def quantity(labels: Sequence[str]) -> list[float] | None:
    """A target's numbers, if they are rather a quantity than the names of classes; None if classes.

    A quantity has fractions, or more than :data:`MOST_NUMBERED_CLASSES` different whole numbers, or so many different
    ones that most come once.
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


def _why(error: DataError) -> str:
    """The loader's words on a column, without its name and the advice to leave it out."""
    found = re.search(r"column .*?: (must .*?, but .*?)(?:\. [A-Z]|: |\.$|$)", str(error), re.DOTALL)
    missing = re.search(r"\[data\] (missing = \[.*?\])", str(error))
    keep = f" (if that means no value: {missing[1]}, and not in drop)" if missing else ""
    return " ".join(f"{found[1] if found else error}{keep}".split())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _shell(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]+", name) else f'"{name}"'
