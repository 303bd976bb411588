"""Columns whose values have types already: those of Parquet files and of pandas tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hpsearch.data.cells import Cells, Types, place, some_value
from hpsearch.data.columns import Kind, Plan, Raw
from hpsearch.errors import DataError, did_you_mean


def as_text(value: Any) -> str:
    """How a CSV file would show a value: nothing for a missing one, whole numbers without a point."""
    if value is None or value != value:
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def numeric_column(name: str, values: ArrayLike, types: Types, origin: str, rows: Sequence[int]) -> Raw:
    """A column of numbers, nan where missing; ``rows`` are their numbers for errors.

    Raises:
        DataError: an infinite value; no value at all; what :class:`hpsearch.data.cells.Cells` refuses if ``types``
            say that the column is of another kind.
    """
    if types.kinds.get(name, "numeric") != "numeric":
        return text_column(name, map(as_text, np.asarray(values).tolist()), "numeric", types, origin, rows)
    column = np.array(values, np.float64)
    for row in np.flatnonzero(np.isinf(column))[:1]:
        raise DataError(
            f"{place(origin, rows[row], name)}: must be a finite number, but is {column[row]}. Correct it or leave "
            "the row out."
        )
    column[np.isin(column, types.numbers)] = np.nan
    return some_value(Raw(name, "numeric", column), types, origin)


def boolean_column(name: str, values: ArrayLike, types: Types, origin: str, rows: Sequence[int]) -> Raw:
    """A column of 0 and 1, nan where missing; ``rows`` are their numbers for errors.

    Raises:
        DataError: no value at all.
    """
    kind, column = types.kinds.get(name, "boolean"), np.array(values, np.float64)
    if kind == "categorical":
        words = {0.0: "False", 1.0: "True"}
        return text_column(name, (words.get(value, "") for value in column.tolist()), kind, types, origin, rows)
    return some_value(Raw(name, kind, column), types, origin)


def text_column(
    name: str, texts: Iterable[str], kind: Kind | None, types: Types, origin: str, rows: Sequence[int]
) -> Raw:
    """A column of text, of the kind that ``types`` say, else of ``kind``, else inferred.

    Raises:
        DataError: what :class:`hpsearch.data.cells.Cells` refuses.
    """
    cells = Cells(name, types, origin, kind)
    cells.add([*texts], rows)
    return cells.finish()


def has_plain_numbers(frame: Any) -> bool:
    """Whether a pandas table holds nothing but numbers, and none is missing."""
    import pandas as pd

    numeric, boolean = pd.api.types.is_numeric_dtype, pd.api.types.is_bool_dtype
    numbers = all(numeric(dtype) and not boolean(dtype) for dtype in frame.dtypes)
    return numbers and not frame.isna().to_numpy().any()


def frame_columns(frame: Any, types: Types, origin: str) -> list[Raw]:
    """The columns of a pandas table, its rows counted from 0.

    Raises:
        DataError: a column that is neither numbers nor booleans nor text, or whose values cannot be features.
    """
    import pandas as pd

    rows, columns = range(len(frame)), []
    for name, values in zip(map(str, frame.columns), (frame.iloc[:, i] for i in range(frame.shape[1])), strict=True):
        dtype = values.dtype
        if pd.api.types.is_bool_dtype(dtype) and not isinstance(dtype, pd.CategoricalDtype):
            numbers = values.to_numpy(np.float64, na_value=np.nan)
            columns.append(boolean_column(name, numbers, types, origin, rows))
        elif pd.api.types.is_numeric_dtype(dtype) and dtype.kind != "c":
            numbers = values.to_numpy(np.float64, na_value=np.nan)
            columns.append(numeric_column(name, numbers, types, origin, rows))
        elif isinstance(dtype, pd.CategoricalDtype | pd.StringDtype) or dtype.kind == "O":
            pairs = zip(values.tolist(), values.isna().tolist(), strict=True)
            texts = ["" if missing else as_text(value) for value, missing in pairs]
            kind: Kind | None = None if not isinstance(dtype, pd.CategoricalDtype | pd.StringDtype) else "categorical"
            columns.append(text_column(name, texts, kind, types, origin, rows))
        else:
            raise DataError(
                f"{origin}, column {name!r}: must hold numbers, booleans or categories, but holds {dtype}. Leave it "
                "out, or make a number of it."
            )
    return columns


def expand_frame(plan: Plan, frame: Any, origin: str) -> tuple[np.ndarray[Any, Any], list[str]]:
    """The features of a pandas table's rows, and what the plan did not foresee; columns are taken by name.

    Raises:
        DataError: a column is missing, or a value is not of its kind.
    """
    for name in plan.names:
        if name not in frame.columns:
            raise DataError(f"{origin}: must have a column {name!r}, but has not. {did_you_mean(name, frame.columns)}")
    frame = frame[list(plan.names)]
    if frame.shape[1] > len(plan.names):
        raise DataError(f"{origin}: must have each column once, but have one of them twice.")
    types = Types({column.name: column.kind for column in plan.columns}, plan.missing, told=True)
    return plan.expand(frame_columns(frame, types, origin))
