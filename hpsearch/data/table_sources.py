"""Files of rows as sources: which column is the target, what the others are, which are left out."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from hpsearch.data.cells import Types
from hpsearch.data.columns import KINDS, Impute, Kind, Plan
from hpsearch.data.csv_file import read_csv
from hpsearch.data.dataset import Dataset, Task
from hpsearch.data.parquet_file import read_parquet
from hpsearch.data.source import Source
from hpsearch.data.table_file import Table, Wanted, check_values
from hpsearch.data.units import first_of_each
from hpsearch.errors import DataError, DefinitionError

Names = Annotated[tuple[str, ...], Field(strict=False)]


class TableFile(Source):
    """A file of rows with one target column, features, and columns that say how to split."""

    path: Annotated[str, Field(description="the file, relative to the study file")]
    target: Annotated[str, Field(description="the column to predict")]
    task: Annotated[Task, Field(description="what the target is: classes, or a quantity")] = "classification"
    features: Annotated[
        Names | None, Field(description="the columns to predict from; all that are left if not given")
    ] = None
    drop: Annotated[Names, Field(description="columns to leave out")] = ()
    group: Annotated[str | None, Field(description="column that is equal for rows that belong together")] = None
    time: Annotated[str | None, Field(description="column of numbers or ISO dates that orders the rows")] = None
    fold: Annotated[str | None, Field(description="column of the fold that each row validates; -1: none")] = None
    weight: Annotated[str | None, Field(description="column of how many rows each row counts as")] = None
    numeric: Annotated[Names, Field(description="columns that hold numbers, whatever they look like")] = ()
    categorical: Annotated[Names, Field(description="columns that hold categories, whatever they look like")] = ()
    boolean: Annotated[Names, Field(description="columns that hold booleans, whatever they look like")] = ()
    missing: Annotated[Names, Field(description="texts that mean no value, beside NA, N/A, NaN, null, None")] = ()
    impute: Annotated[Impute, Field(description="what fills a missing number")] = "median"
    duplicates: Annotated[
        Literal["drop", "keep"],
        Field(description="whether of rows that agree in all features and the target only the first is taken"),
    ] = "keep"

    @model_validator(mode="after")
    def _one_use_each(self) -> Self:
        must = got = ""
        uses = [*self._texts, *self.drop]
        for names in ([*uses, *(self.features or ())], [*uses, *self._said]):
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                must, got = "must use each column once", f"{twice[0]!r} is named twice"
        if self.features is not None and self.drop:
            must, got = "must have either features or drop", "has both: what is no feature is left out"
        elif self.features is not None and (strange := set(self._said) - set(self.features)):
            must, got = "must give kinds of features only", f"{min(strange)!r} is none"
        if must:
            raise DefinitionError(must, got)
        return self

    @property
    def _said(self) -> list[str]:  # columns whose kind is
        return [*self.numeric, *self.categorical, *self.boolean]

    @property
    def _marks(self) -> tuple[str, ...]:
        return tuple(name for name in (self.group, self.time, self.fold, self.weight) if name is not None)

    @property
    def _texts(self) -> tuple[str, ...]:
        return (self.target, *self._marks)

    @property
    def predicts(self) -> Task:
        return self.task

    @property
    def redrawable(self) -> bool:
        return False

    @property
    def not_features(self) -> tuple[str, ...] | None:
        return None if self.features is not None else (*self.drop, *self._marks)

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        return {**self.model_dump(exclude_defaults=True), "path": os.path.relpath(folder / self.path, to)}

    @abstractmethod
    def read(self, path: Path, wanted: Wanted) -> Table:
        """The columns that are wanted.

        Raises:
            DataError: a file or columns that are not as they must be.
        """

    def load(self, folder: Path, seed: int) -> Dataset:
        kinds: dict[str, Kind] = {name: kind for kind in KINDS for name in getattr(self, kind)}
        types = Types(kinds, self.missing)
        origin = str(folder / self.path)
        quantity = self.target if self.task == "regression" else None
        wanted = Wanted(self._texts, self.features, self.drop, self.drop, types=types, quantity=quantity)
        table = self.read(folder / self.path, wanted)
        if not table.columns:
            raise DataError(f"{origin}: must have a column to predict from beside {', '.join(self._texts)}.")
        try:
            plan = Plan.declare(table.columns, self.impute, self.missing)
        except DataError as error:
            raise DataError(f"{origin}: {error}") from error
        texts = table.texts
        check_values(origin, len(texts[self.target]), len(plan.feature_names), "features")
        data = Dataset.of(
            plan.expand(table.columns)[0],
            _as_labels(texts[self.target], origin)
            if self.task == "classification"
            else np.array([float(text) for text in texts[self.target]]),
            target_name=self.target,
            plan=plan,
            origin=origin,
            task=self.task,
        )
        marks = {"group": self.group, "time": self.time, "fold": self.fold, "weight": self.weight}
        data = with_marks(data, texts, origin, **marks)
        return data if self.duplicates == "keep" else data.take(first_of_each(data))


class Csv(TableFile):
    """A CSV file in UTF-8 with a header line; what its columns are is inferred from all of their cells."""

    def read(self, path: Path, wanted: Wanted) -> Table:
        return read_csv(path, wanted)


class Parquet(TableFile):
    """A Parquet file, which says itself what its columns are (extra ``parquet``)."""

    def read(self, path: Path, wanted: Wanted) -> Table:
        return read_parquet(path, wanted)


def with_marks(
    data: Dataset,
    texts: Mapping[str, list[str]],
    origin: str,
    *,
    group: str | None = None,
    time: str | None = None,
    fold: str | None = None,
    weight: str | None = None,
) -> Dataset:
    """The rows with what else is known of them: the names of four columns among ``texts``, where there are such.

    Raises:
        DataError: a time that is none, a fold that is none, a weight that is none.
    """
    return replace(
        data,
        groups=None if group is None else np.unique(texts[group], return_inverse=True)[1],
        times=None if time is None else _as_times(texts[time], time, origin),
        folds=None if fold is None else _as_folds(texts[fold], fold, origin),
        weights=None if weight is None else _as_weights(texts[weight], weight, origin),
    )


def _as_labels(texts: list[str], origin: str) -> np.ndarray[Any, Any]:
    """Labels without blanks around them; written as whole numbers they sort as numbers, anything else as text."""
    labels = [text.strip() for text in texts]
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        return np.array(labels)
    if not all(number.is_integer() for number in numbers):
        raise DataError(
            f"{origin}: the target must be classes, but holds fractions: a quantity cannot be classified. "
            'To predict it as one: [data] task = "regression".'
        )
    whole = all(label == str(int(number)) for label, number in zip(labels, numbers, strict=True))
    return np.array([int(label) for label in labels]) if whole else np.array(labels)


def _as_times(texts: list[str], column: str, origin: str) -> np.ndarray[Any, Any]:
    """Numbers, or dates and times in the ISO format as seconds."""
    for parse in (float, lambda text: datetime.fromisoformat(text).timestamp()):
        with suppress(ValueError):
            times = np.array([parse(text.strip()) for text in texts], np.float64)
            if np.isfinite(times).all():
                return times
    raise DataError(
        f"{origin}, column {column!r}: must hold a number or a date like 2026-03-31 or 2026-03-31T09:30 in every row, "
        "of the same kind."
    )


def _as_folds(texts: list[str], column: str, origin: str) -> np.ndarray[Any, Any]:
    try:
        folds = np.array([int(text) for text in texts], np.intp)
    except ValueError:
        folds = np.array([-2])
    if folds.min() < -1 or len(set(folds.tolist()) - {-1}) < 1:
        raise DataError(
            f"{origin}, column {column!r}: must hold the number of a fold, from 0, or -1 for a row that only trains."
        )
    return folds


def _as_weights(texts: list[str], column: str, origin: str) -> np.ndarray[Any, Any]:
    for row, text in enumerate(texts):
        with suppress(ValueError):
            if 0 <= float(text) < np.inf:
                continue
        raise DataError(
            f"{origin}, column {column!r}: must hold weights, finite numbers of at least 0, but row {row} of the data "
            f"has {text!r}. Correct it or leave the row out."
        )
    weights = np.array([float(text) for text in texts])
    if not weights.any():
        raise DataError(
            f"{origin}, column {column!r}: must hold a weight above 0, but all are 0. Choose another column."
        )
    return weights
