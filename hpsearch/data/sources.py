"""Where rows come from. One class a source, with its options as fields, and its row in ``SOURCES``."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from hpsearch.data.dataset import Dataset
from hpsearch.data.table_file import read_csv
from hpsearch.errors import DataError, DefinitionError, did_you_mean


class Source(BaseModel, ABC):
    """A source with its options, as ``[data]`` of a study file gives them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Annotated[str, Field(description="where the rows come from")]

    @property
    @abstractmethod
    def redrawable(self) -> bool:
        """Whether another seed gives other rows of the same kind."""

    @property
    @abstractmethod
    def not_features(self) -> tuple[str, ...]:
        """Columns that rows come with beside features and target: left out, or saying how to split."""

    @abstractmethod
    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        """``[data]`` of a study file in folder ``to`` that means the same as this one's in ``folder``.

        Raises:
            DataError: it can only be used from ``folder``.
        """

    @abstractmethod
    def load(self, folder: Path, seed: int) -> Dataset:
        """The rows. ``folder`` is where relative paths start; ``seed`` (32 bits) matters if :attr:`redrawable`."""


class Toy(Source):
    """``nnfs:spiral`` and ``nnfs:vertical``: generated two-dimensional classes (Kinsley & Kukiela 2020)."""

    KINDS: ClassVar = ("spiral", "vertical")

    samples: Annotated[int, Field(ge=1, description="rows of each class")] = 100
    classes: Annotated[int, Field(ge=2, description="classes")] = 3

    @property
    def redrawable(self) -> bool:
        return True

    @property
    def not_features(self) -> tuple[str, ...]:
        return ()

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        return self.model_dump()

    def load(self, folder: Path, seed: int) -> Dataset:
        import nnfs.datasets

        draw = getattr(nnfs.datasets, f"{self.source.removeprefix('nnfs:')}_data")
        # nnfs draws from NumPy's global generator: lend it one, and give it back as it was.
        before = np.random.get_state()  # noqa: NPY002
        try:
            np.random.seed(seed)  # noqa: NPY002
            features, labels = draw(self.samples, self.classes)
        finally:
            np.random.set_state(before)  # noqa: NPY002
        return Dataset.of(features, labels, target_name="class", origin=self.source)


class Bundled(Source):
    """The data sets that come with scikit-learn."""

    KINDS: ClassVar = ("breast_cancer", "digits", "iris", "wine")

    @property
    def redrawable(self) -> bool:
        return False

    @property
    def not_features(self) -> tuple[str, ...]:
        return ()

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        return self.model_dump()

    def load(self, folder: Path, seed: int) -> Dataset:
        import sklearn.datasets

        bunch = getattr(sklearn.datasets, f"load_{self.source.removeprefix('sklearn:')}")()
        return Dataset.of(
            bunch.data,
            bunch.target,
            feature_names=[str(name) for name in bunch.feature_names],
            class_names=[str(name) for name in bunch.target_names],
            target_name="class",
            origin=self.source,
        )


class Csv(Source):
    """A CSV file: numeric columns, one target column, whose labels may be text, and columns that say how to split."""

    path: Annotated[str, Field(description="the file, relative to the study file")]
    target: Annotated[str, Field(description="the column to predict")]
    drop: Annotated[tuple[str, ...], Field(strict=False, description="columns to leave out")] = ()
    group: Annotated[str | None, Field(description="column that is equal for rows that belong together")] = None
    time: Annotated[str | None, Field(description="column of numbers or ISO dates that orders the rows")] = None
    fold: Annotated[str | None, Field(description="column of the fold that each row validates; -1: none")] = None

    @model_validator(mode="after")
    def _one_use_each(self) -> Self:
        named = [name for name in (self.target, self.group, self.time, self.fold, *self.drop) if name is not None]
        for name in named:
            if named.count(name) > 1:
                text = f"must use each column once, but {name!r} is named twice."
                raise PydanticCustomError("contradiction", "{text}", {"text": text})
        return self

    @property
    def redrawable(self) -> bool:
        return False

    @property
    def not_features(self) -> tuple[str, ...]:
        marks = (self.group, self.time, self.fold)
        return (*self.drop, *(name for name in marks if name is not None))

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        return {**self.model_dump(exclude_defaults=True), "path": os.path.relpath(folder / self.path, to)}

    def load(self, folder: Path, seed: int) -> Dataset:
        path = folder / self.path
        marks = [name for name in (self.group, self.time, self.fold) if name is not None]
        needed = [self.target, *marks]
        values, names, texts = read_csv(
            path, text_columns=[*needed, *self.drop], required=[*needed, *self.drop], may_be_empty=self.drop
        )
        data = Dataset.of(
            values,
            _as_labels(texts[self.target], str(path)),
            feature_names=names,
            target_name=self.target,
            origin=str(path),
        )
        return replace(
            data,
            groups=None if self.group is None else np.unique(texts[self.group], return_inverse=True)[1],
            times=None if self.time is None else _as_times(texts[self.time], self.time, str(path)),
            folds=None if self.fold is None else _as_folds(texts[self.fold], self.fold, str(path)),
        )


def _as_labels(texts: list[str], origin: str) -> np.ndarray[Any, Any]:
    """Labels without blanks around them; written as whole numbers they sort as numbers, anything else as text."""
    labels = [text.strip() for text in texts]
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        return np.array(labels)
    if not all(number.is_integer() for number in numbers):
        raise DataError(f"{origin}: the target must be classes, but holds fractions: a quantity cannot be classified.")
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


class PythonFunction(Source):
    """``python:module:function``: a function that returns (features, targets); further keys are its arguments.

    The module is looked up beside the study file first. A function with an argument ``seed`` gets one, unless the study
    file sets it, and may then be drawn afresh for the hold-out.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @property
    def redrawable(self) -> bool:
        return "seed" not in self.options

    @property
    def not_features(self) -> tuple[str, ...]:
        return ()

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        if folder.resolve() != to.resolve():
            raise DataError(f"{self.source}: a study file must stand beside its module. Put it into {folder}.")
        return {**self.model_dump(), **self.options}

    def load(self, folder: Path, seed: int) -> Dataset:
        parts = self.source.split(":")
        if len(parts) != 3 or not all(name.isidentifier() for name in [*parts[1].split("."), parts[2]]):
            raise DefinitionError(f"[data] source must read 'python:module:function', but is {self.source!r}.")
        try:
            with _importing_beside(folder):
                answer = self._call(getattr(importlib.import_module(parts[1]), parts[2]), seed)
        except Exception as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{self.source}: must give rows, but raised {type(error).__name__}: {reason}") from error
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise DataError(f"{self.source}: must return (features, targets), but returned {type(answer).__name__}.")
        features, targets = answer
        names = getattr(features, "columns", None)
        return Dataset.of(
            features,
            targets,
            feature_names=None if names is None else [str(name) for name in names],
            target_name=str(getattr(targets, "name", None) or "target"),
            origin=self.source,
        )

    def _call(self, function: Any, seed: int) -> Any:
        options = self.options
        if "seed" not in options and "seed" in inspect.signature(function).parameters:
            options["seed"] = seed
        return function(**options)


@contextmanager
def _importing_beside(folder: Path) -> Iterator[None]:
    """Imports find the modules in ``folder`` first; afterwards all is as it was, for the next study has modules too."""
    names = {file.stem for file in folder.glob("*.py")}

    def loaded() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in names]

    hidden = {name: sys.modules.pop(name) for name in loaded()}
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in loaded():
            del sys.modules[name]
        sys.modules.update(hidden)


SOURCES: dict[str, type[Source]] = {
    "csv": Csv,
    **{f"nnfs:{kind}": Toy for kind in Toy.KINDS},
    "python:module:function": PythonFunction,
    **{f"sklearn:{kind}": Bundled for kind in Bundled.KINDS},
}


def source_class(name: str) -> type[Source]:
    """The class of a source by its name.

    Raises:
        DefinitionError: no such source.
    """
    if name.startswith("python:"):
        return PythonFunction
    if name not in SOURCES:
        raise DefinitionError(f"[data] Unknown source {name!r}. {did_you_mean(name, SOURCES)}")
    return SOURCES[name]
