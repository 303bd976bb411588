"""Tables of rows as sources: which column is the target, what the others are, which are left out."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hpsearch.arrays import IntArray
from hpsearch.data.column_keys import ColumnKeys, Names, repeated
from hpsearch.data.csv_format import CsvFormat, Decimal, Encoding, Thousands
from hpsearch.data.dataset import Dataset, Task
from hpsearch.data.dates import parse
from hpsearch.data.rare_classes import RARE_CLASSES, without_rare_classes
from hpsearch.data.source import Source
from hpsearch.data.table_file import Table, Wanted, check_values
from hpsearch.data.table_reader import read_table
from hpsearch.data.units import first_of_each
from hpsearch.errors import DataError, DefinitionError, Setting, located, quoted
from hpsearch.limits import MOST_ROWS
from hpsearch.numbers import plural
from hpsearch.one_of import one_of

_RARE = Setting("rare_classes")


class InFile(Source):
    """Rows in a file."""

    path: Annotated[str, Field(description="the file, relative to the study file")]


class ColumnRoles(Source):
    """A table of rows, and what its columns are for."""

    redrawable: ClassVar[bool] = False

    target: Annotated[str, Field(description="the column to predict")]
    task: Annotated[Task, Field(description="what the target is: classes, or a regression target")] = "classification"
    features: Annotated[
        Names | None, Field(description="the columns to predict from; all that are left if not given")
    ] = None
    drop: Annotated[Names, Field(description="columns to leave out")] = ()
    group: Annotated[str | None, Field(description="column that is equal for rows that belong together")] = None
    time: Annotated[str | None, Field(description="column of numbers or ISO dates that orders the rows")] = None
    fold: Annotated[str | None, Field(description="column of the fold that each row validates; -1: none")] = None
    weight: Annotated[str | None, Field(description="column of how many rows each row counts as")] = None


class LabelledTable(ColumnKeys, ColumnRoles):
    """A table of rows with one target column, features, and columns that say how to split."""

    duplicates: Annotated[
        Literal["drop", "keep"],
        Field(description="whether of rows that agree in all features and the target only the first is taken"),
    ] = "keep"
    rare_classes: Annotated[
        str,
        one_of(RARE_CLASSES, "way to take rare classes"),
        Field(description="what becomes of rows whose class has few: left out, or of one class `other`"),
    ] = "keep"
    smallest_class: Annotated[
        int, Field(ge=2, le=MOST_ROWS, description="of rare_classes: a class of fewer rows is rare; 10 if not given")
    ] = 10

    drop_missing_target: Annotated[
        bool, Field(description="whether rows without a target are left out; they are refused if not")
    ] = False

    @model_validator(mode="after")
    def _one_use_each(self) -> Self:
        must = got = ""
        uses = [*self._texts, *self.drop]
        if self.time in self.date:
            uses.remove(self.time)
        for names in ([*uses, *(self.features or ())], [*uses, *self.said]):
            if twice := repeated(names):
                must, got = "must use each column once", f"{quoted(twice[0])} is named twice"
        if self.features is not None and self.drop:
            must, got = "must have either features or drop", "has both: what is no feature is left out"
        elif self.features is not None and (strange := set(self.said) - set(self.features)):
            must, got = "must give kinds of features only", f"{quoted(min(strange))} is none"
        self.check_kinds(self.time)
        if self.task == "regression" and self.rare_classes != "keep":
            raise DefinitionError("must go with classes", "a regression target is predicted", where=_RARE)
        if "smallest_class" in self.model_fields_set and self.rare_classes == "keep":
            must = "must say what becomes of classes of fewer rows than smallest_class"
            raise DefinitionError(must, "does not", 'Use "drop" or "other".', _RARE)
        if must:
            raise DefinitionError(must, got)
        return self

    @property
    def _metadata(self) -> dict[str, str]:
        """The columns that say how to split and to weigh, by what they say."""
        return {kind: column for kind in METADATA if (column := getattr(self, kind)) is not None}

    @property
    def _texts(self) -> tuple[str, ...]:
        return (self.target, *self._metadata.values())

    @property
    @abstractmethod
    def csv(self) -> CsvFormat:
        """How its text is written: a plain CSV file's if it has none."""

    @property
    def predicts(self) -> Task:
        return self.task

    @property
    def not_features(self) -> tuple[str, ...] | None:
        if self.features is not None:
            return None
        return (*self.drop, *(name for name in self._metadata.values() if name not in self.date))

    @abstractmethod
    def _read(self, folder: Path, wanted: Wanted) -> tuple[Table, str]:
        """The table, and how errors call it."""

    def load(self, folder: Path, seed: int) -> Dataset:
        wanted = Wanted(
            self._texts,
            self.features,
            ignored=self.drop,
            required=self.drop,
            types=replace(self.types, csv=self.csv),
            regression_target=self.target if self.task == "regression" else None,
            target=self.target,
            drop_missing_target=self.drop_missing_target,
        )
        table, place = self._read(folder, wanted)
        with located(place):
            return self._dataset(table)

    def _dataset(self, table: Table) -> Dataset:
        if not table.columns:
            raise DataError(f"must have a column to predict from beside {', '.join(self._texts)}")
        table = without_rare_classes(table, self.target, self.rare_classes, self.smallest_class)
        if not table.texts[self.target]:
            few = f"none of its classes has {plural(self.smallest_class, 'row')}"
            raise DataError("must leave some row", few, "Use a smaller smallest_class.", _RARE)
        targets = table.texts[self.target]
        classes = len({text.strip() for text in targets}) if self.task == "classification" else 0
        plan = self.plan(table.columns, classes)
        check_values(len(targets), len(plan.feature_names), "features")
        features, _ = plan.expand(table.columns)
        table.columns.clear()  # before anybody looks at the rows: of a large table one copy is enough
        data = Dataset.of(
            features,
            _as_labels(targets) if self.task == "classification" else np.array([*map(float, targets)]),
            target_name=self.target,
            plan=plan,
            task=self.task,
            own=True,
        )
        texts = dict(table.texts)
        if self.time is not None and (form := self.date_format.get(self.time)):
            texts[self.time] = _numbered_days(texts[self.time], form)
        data = with_metadata(data, texts, self._metadata)
        data = replace(data, index=table.index, without_target=table.without_target)
        return data if self.duplicates == "keep" else data.take(first_of_each(data))


class TableFile(LabelledTable, InFile):
    """A file of labelled rows."""

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        return {**self.model_dump(exclude_defaults=True), "path": os.path.relpath(folder / self.path, to)}

    def _read(self, folder: Path, wanted: Wanted) -> tuple[Table, str]:
        path = folder / self.path
        return read_table(path, wanted, self.source), str(path)


class Csv(TableFile):
    """A CSV file with a header line; what its columns are is inferred from all of their cells."""

    separator: Annotated[str, Field(description="the character between the values of a row")] = ","
    decimal: Annotated[Decimal, Field(description="what stands before the decimals of a number")] = "."
    thousands: Annotated[
        Thousands | None, Field(description="what stands between the groups of three digits of a number")
    ] = None
    units: Annotated[
        Names, Field(description="signs before or behind numbers, such as € and %, that are left out")
    ] = ()
    encoding: Annotated[Encoding, Field(description="of the text; UTF-16 needs a byte-order mark instead")] = "utf-8"

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        _ = self.csv
        return self

    @property
    def csv(self) -> CsvFormat:
        return CsvFormat(self.separator, self.decimal, self.thousands, self.units, self.encoding)


class Parquet(TableFile):
    """A Parquet file, which says itself what its columns are (extra ``parquet``)."""

    csv: ClassVar[CsvFormat] = CsvFormat()


def _as_labels(texts: list[str]) -> np.ndarray[Any, Any]:
    """Labels without blanks around them; written as whole numbers they sort as numbers, anything else as text."""
    labels = [text.strip() for text in texts]
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        return np.array(labels)
    if not all(number.is_integer() for number in numbers):
        raise DataError(
            "the target must be classes",
            "holds fractions",
            ("To predict them as numbers: ", Setting("task", "regression"), "."),
        )
    whole = all(label == str(int(number)) for label, number in zip(labels, numbers, strict=True))
    return np.array([int(label) for label in labels]) if whole else np.array(labels)


def _numbered_days(texts: list[str], form: str) -> list[str]:
    """Dates of this form as the numbers of their days, which are times too; what is none stays as it is."""
    days = [parse(text.strip(), form) for text in texts]
    return [text if day is None else str(day) for text, day in zip(texts, days, strict=True)]


def as_groups(texts: list[str]) -> IntArray:
    """Groups numbered in the order of their texts: those that are numbers, too, or a file and an array of the same rows
    would be dealt into other folds."""
    return np.unique(texts, return_inverse=True)[1]


def _as_times(texts: list[str]) -> NDArray[np.float64]:
    """Numbers, dates and times in the ISO format as seconds, or others that can be read one way only as days."""
    for read in (float, lambda text: datetime.fromisoformat(text).timestamp(), parse):
        with suppress(ValueError):
            times = np.array([read(text.strip()) for text in texts], np.float64)
            if np.isfinite(times).all():
                return times
    raise DataError("must hold a number or a date like 2026-03-31 or 2026-03-31T09:30 in every row, of the same kind")


def _as_folds(texts: list[str]) -> IntArray:
    try:
        folds = np.array([int(text) for text in texts], np.intp)
    except ValueError:
        folds = np.array([-2])
    if folds.min() < -1 or len(set(folds.tolist()) - {-1}) < 1:
        raise DataError("must hold the number of a fold, from 0, or -1 for a row that only trains")
    return folds


def _as_weights(texts: list[str]) -> NDArray[np.float64]:
    for row, text in enumerate(texts):
        with suppress(ValueError):
            if 0 <= float(text) < np.inf:
                continue
        raise DataError(
            "must hold weights, finite numbers of at least 0",
            f"row {row} of the data has {quoted(text)}",
            "Correct it or leave the row out.",
        )
    weights = np.array([float(text) for text in texts])
    if not weights.any():
        raise DataError("must hold a weight above 0", "all are 0", "Choose another column.")
    return weights


# What may be known of rows beside features and target: the dataset's attribute, and how it is read from text.
METADATA: dict[str, tuple[str, Callable[[list[str]], NDArray[Any]]]] = {
    "group": ("groups", as_groups),
    "time": ("times", _as_times),
    "fold": ("folds", _as_folds),
    "weight": ("weights", _as_weights),
}


def with_metadata(data: Dataset, texts: Mapping[str, list[str]], columns: Mapping[str, str]) -> Dataset:
    """The rows with what else is known of them.

    Args:
        data: the rows.
        texts: columns of text.
        columns: names of those among them that say something of :data:`METADATA`, by what they say.

    Raises:
        DataError: a time that is none, a fold that is none, a weight that is none.
    """
    metadata: dict[str, Any] = {}
    for kind, column in columns.items():
        name, parse = METADATA[kind]
        with located(f"column {quoted(column)}"):
            metadata[name] = parse(texts[column])
    return replace(data, **metadata)
