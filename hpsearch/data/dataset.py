"""A table of labelled rows, checked once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpsearch.arrays import IntArray
from hpsearch.data.columns import Plan
from hpsearch.data.given import GivenSplits, Preprocessing
from hpsearch.data.matrix import blocks, let_go, table_of
from hpsearch.errors import DataError, Setting, quoted
from hpsearch.numbers import plural

# What is predicted: one of some classes, or a number, the regression target.
Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Dataset:
    """Labelled rows, frozen.

    Attributes:
        features: (N, D) floating point, read-only; finite, but for nan where ``plan`` says that values are missing.
        labels: (N,) integers into ``class_names``, or floats, the regression targets; read-only.
        feature_names: D names.
        class_names: the classes as text, in the order of their probabilities; empty of a regression.
        target_name: what the target is called.
        groups: (N,) integers, equal for rows that belong together; None if rows are independent.
        times: (N,) floats that order the rows in time; None if their order means nothing.
        folds: (N,) integers, the fold that each row validates, -1 for rows that only train; None if folds are dealt.
        weights: (N,) floats, how many rows each row counts as, at least 0, not all 0; None if each counts as one.
        plan: what the features are made of; None if each is a column of numbers without missing values.
        index: the column, feature or not, that has no name in the file and is called so; None if there is none.
        without_target: how many rows there were besides, left out as they have no target.
        given_splits: how these rows are split, if whoever gave them said so.
        preprocessing: what makes the features that networks see, learnt from the training rows of each split; then
            ``features`` only tell rows apart. None if networks see ``features``.
    """

    features: NDArray[Any]
    labels: NDArray[Any]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    target_name: str = "target"
    groups: IntArray | None = None
    times: NDArray[np.float64] | None = None
    folds: IntArray | None = None
    weights: NDArray[np.float64] | None = None
    plan: Plan | None = None
    index: str | None = None
    without_target: int = 0
    given_splits: GivenSplits | None = None
    preprocessing: Preprocessing | None = None

    def __post_init__(self) -> None:
        for array in (self.features, self.labels, *self.metadata.values()):
            array.setflags(write=False)
        if self.weights is not None and not self.weights.any():
            raise DataError(
                f"of {plural(self.rows, 'row')} some must have a weight above 0", "none has", "Correct the data."
            )

    @classmethod
    def of(
        cls,
        features: ArrayLike,
        targets: ArrayLike,
        *,
        feature_names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        target_name: str = "target",
        plan: Plan | None = None,
        task: Task = "classification",
        own: bool = False,
    ) -> Dataset:
        """A dataset from whatever arrays a source has.

        Args:
            features: (N, D) numbers; float32 stays float32, all else becomes float64.
            targets: (N,) labels of any kind, integers, text or booleans; or (N, C) one-hot rows; of a regression (N,)
                or (N, 1) numbers.
            feature_names: D names; ``x1 … xD`` if not given.
            class_names: the name of label 0, 1, …; otherwise the labels found, in order.
            target_name: what the target is called.
            plan: what the features are made of, if they are not numbers without missing values.
            task: whether the targets are classes or numbers.
            own: the features are a table that nobody else will change, C-contiguous and of their number type: they are
                not copied.

        Raises:
            DataError: wrong shapes, a value that is not a finite number, fewer than two classes or different targets.
        """
        try:
            given = np.asarray(features)
            dtype = np.float32 if given.dtype == np.float32 else np.float64
            if own:
                table = given
            elif given.ndim == 2:
                table = table_of(given.shape, dtype, lambda part: given[part])
            else:
                table = np.array(given, dtype)
        except (TypeError, ValueError) as error:
            raise DataError("features must be numbers", str(error)) from error
        if table.ndim != 2 or 0 in table.shape:
            raise DataError("features must be a table of rows and columns", f"have shape {table.shape}")
        if plan is not None:
            feature_names = plan.feature_names
        names = tuple(feature_names) if feature_names is not None else tuple(f"x{i + 1}" for i in range(table.shape[1]))
        if len(names) != table.shape[1]:
            raise DataError(
                f"{plural(table.shape[1], 'feature needs a name', 'features need as many names')}", f"got {len(names)}"
            )
        for part in blocks(*table.shape):
            some = table[part]
            for row, column in np.argwhere(~np.isfinite(some) if plan is None else np.isinf(some))[:1]:
                raise DataError(
                    "every value must be a finite number",
                    f"row {part.start + row}, column {quoted(names[column])} is {some[row, column]}",
                    "Fill or leave out such rows.",
                )
        let_go(table)  # before labels are sorted
        try:
            given_targets = np.asarray(targets)
        except ValueError as error:
            raise DataError("targets must be one label a row", str(error)) from error
        labels: NDArray[Any]
        if task == "classification":
            labels, found = _encode(given_targets)
        else:
            labels, found = _regression_targets(given_targets), ()
        if labels.shape != (len(table),):
            raise DataError(
                plural(len(table), "row needs a target", "rows need as many targets"),
                f"targets have shape {labels.shape}",
            )
        if task == "regression":
            if np.ptp(labels) == 0:
                raise DataError("a regression needs different targets", f"every target is {labels[0]}")
            return cls(table, labels, names, (), target_name, plan=plan)
        if len(found) < 2:
            raise DataError("a classifier needs at least two classes", f"every target is {quoted(found[0])}")
        classes = tuple(class_names) if class_names is not None else found
        return cls(table, labels, names, classes, target_name, plan=plan)

    @property
    def task(self) -> Task:
        """What is predicted."""
        return "classification" if self.class_names else "regression"

    @property
    def rows(self) -> int:
        return len(self.features)

    @cached_property
    def columns(self) -> Plan:
        """What the features are made of."""
        return self.plan or Plan.numeric(self.feature_names)

    @property
    def metadata(self) -> dict[str, NDArray[Any]]:
        """What is known of rows beside features and labels: ``groups``, ``times``, ``folds``, ``weights``."""
        metadata = {name: getattr(self, name) for name in ("groups", "times", "folds", "weights")}
        return {name: values for name, values in metadata.items() if values is not None}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, types and every byte of the rows and labels."""
        names = [self.feature_names, self.class_names, self.target_name]
        head = [*names, self.features.shape, str(self.features.dtype)]
        digest = hashlib.sha256(json.dumps(head).encode())
        digest.update(np.ascontiguousarray(self.features).data)
        let_go(self.features)  # those held out are not needed any more
        digest.update(self.labels.astype(np.int64 if self.class_names else np.float64).data)
        for name, values in self.metadata.items():
            digest.update(name.encode())
            digest.update(values.astype(np.float64).data)
        if not self.columns.plain:  # then the features' bytes and names do not say all
            digest.update(json.dumps(self.columns.to_plain()).encode())
        return digest.hexdigest()

    def take(self, rows: IntArray) -> Dataset:
        """The same table with the given rows only."""
        assert self.given_splits is None  # they are about all rows
        assert self.preprocessing is None
        metadata: dict[str, Any] = {name: values[rows] for name, values in self.metadata.items()}
        shape = len(rows), self.features.shape[1]
        features = table_of(shape, self.features.dtype, lambda part: self.features[rows[part]])
        return replace(self, features=features, labels=self.labels[rows], **metadata)

    def read_by(self, plan: Plan) -> Dataset:
        """The same rows as a plan of the same columns reads new ones, see :meth:`Plan.expand`; for that nan may stand
        in columns without missing values."""
        if plan == self.columns:
            return self
        features, _ = plan.expand(self.columns.raws(self.features))
        return replace(self, features=features, feature_names=plan.feature_names, plan=plan)


def _regression_targets(targets: NDArray[Any]) -> NDArray[np.float64]:
    """One finite number a row."""
    must = "targets of a regression must be numbers"
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.dtype.kind in "cmM":  # of complex numbers, dates and durations NumPy would make some number
        raise DataError(must, f"are {targets.dtype}")
    try:
        numbers = np.asarray(targets, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(must, str(error)) from error
    for row in np.flatnonzero(~np.isfinite(numbers))[:1]:
        raise DataError("every target must be a finite number", f"that of row {row} is {numbers.flat[row]}")
    return numbers.copy()


def _encode(targets: NDArray[Any]) -> tuple[IntArray, tuple[str, ...]]:
    """Labels 0 … C - 1 in the order of the sorted classes, and the classes as text."""
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim == 2:
        if not np.all((targets == 0) | (targets == 1)) or not np.all(targets.sum(axis=1) == 1):
            raise DataError(f"targets with {plural(targets.shape[1], 'column')} must be one-hot", "some rows are not")
        targets = targets.argmax(axis=1)
    if targets.dtype.kind == "f":
        if not np.all(np.isfinite(targets)) or not np.array_equal(targets, np.round(targets)):
            raise DataError(
                "targets must be class labels (whole numbers or text)",
                "are fractions or nan",
                ("To predict them as numbers: ", Setting("task", "regression"), "."),
            )
        targets = targets.astype(np.int64)
    elif targets.dtype.kind == "O":
        if any(label is None or label != label for label in targets):
            raise DataError("every row must have a target", "some are missing")
        targets = targets.astype(str)
    classes, labels = np.unique(targets, return_inverse=True)
    return labels.astype(np.intp), tuple(str(name) for name in classes)
