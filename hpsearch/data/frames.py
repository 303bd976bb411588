"""Columns whose values have types already, as pandas holds them: those of Parquet files and of tables from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.cells import CORRECT, LARGEST, NUMBER, Cells, Types, some_value, too_large
from hpsearch.data.columns import Kind, Plan, Raw, column_error
from hpsearch.data.dates import FIRST, LAST, days_of
from hpsearch.errors import DataError, did_you_mean, quoted


def as_text(value: Any) -> str:
    """How a CSV file would show a value: nothing for a missing one, whole numbers without a point."""
    if value is None or value != value:
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def as_texts(values: Any) -> list[str]:
    """How a CSV file would show the values of a series."""
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        categories = [*as_texts(values.cat.categories), ""]  # the last for -1, the missing
        return [categories[code] for code in values.cat.codes.tolist()]
    there = values.notna().tolist()
    return [as_text(value) if known else "" for value, known in zip(values.tolist(), there, strict=True)]


def series_column(name: str, values: Any, types: Types, rows: Sequence[int]) -> Raw:
    """A column from a series: of the kind that ``types`` say, else that of its values' type, else inferred.

    Raises:
        DataError: neither numbers nor booleans nor text; an infinite value; no value at all; what
            :class:`hpsearch.data.cells.Cells` refuses in text.
    """
    import pandas as pd

    dtype = values.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype) and types.kinds.get(name, "date") == "date":
        # In UTC, if they know how far they are from it.
        days = days_of(values.to_numpy("datetime64[us]"))
        for row in np.flatnonzero((days < FIRST) | (days > LAST))[:1]:
            raise out_of_calendar(name, rows[row])
        return some_value(Raw(name, "date", days), types)
    text = isinstance(dtype, pd.CategoricalDtype | pd.StringDtype)
    kind: Kind | None = "categorical" if text else None
    if not text and pd.api.types.is_bool_dtype(dtype):
        kind = "boolean"
    elif not text and pd.api.types.is_numeric_dtype(dtype) and dtype.kind != "c":
        kind = "numeric"
    elif not text and dtype.kind != "O":
        do = "Leave it out, or make a number of it."
        raise column_error(name, "must hold numbers, booleans, categories or dates", f"holds {dtype}", do)
    if kind in ("boolean", "numeric"):
        numbers = np.array(values.to_numpy(np.float64, na_value=np.nan))
        told = types.kinds.get(name, kind)
        if told in ("numeric", kind):
            for row in np.flatnonzero(np.isinf(numbers))[:1]:
                raise column_error(name, NUMBER, f"is {numbers[row]}", CORRECT, rows[row])
            for row in np.flatnonzero(np.abs(numbers) > LARGEST)[:1]:
                raise too_large(name, numbers[row], rows[row])
            if kind == "numeric":
                numbers[np.isin(numbers, types.numbers)] = np.nan
            return some_value(Raw(name, told, numbers), types)
        if kind == "numeric":
            values = pd.Series(numbers)
    cells = Cells(name, types, kind)
    cells.add(as_texts(values), rows)
    return cells.finish()


def out_of_calendar(name: str, row: int | None = None) -> DataError:
    """Of a column of dates one of which no calendar has."""
    do = "Correct it or leave the row out."
    return column_error(name, "must be a date of the years 1 to 9999", "is none", do, row)


def has_plain_numbers(frame: Any) -> bool:
    """Whether a pandas table holds nothing but numbers, and none is missing."""
    import pandas as pd

    numeric, boolean = pd.api.types.is_numeric_dtype, pd.api.types.is_bool_dtype
    numbers = all(numeric(dtype) and not boolean(dtype) for dtype in frame.dtypes)
    return numbers and not frame.isna().to_numpy().any()


def frame_columns(frame: Any, types: Types) -> list[Raw]:
    """The columns of a pandas table, its rows counted from 0. Categories that pandas has in an order are ordered.

    Raises:
        DataError: as :func:`series_column`.
    """
    rows = range(len(frame))
    for name, dtype in zip(map(str, frame.columns), frame.dtypes, strict=True):
        types = ordered_as(name, dtype, types)
    return [series_column(str(name), frame.iloc[:, i], types, rows) for i, name in enumerate(frame.columns)]


def ordered_as(name: str, dtype: Any, types: Types) -> Types:
    """The same, with a column's order if its type has one that can be and nothing else is said of it."""
    import pandas as pd

    if name in types.kinds or not isinstance(dtype, pd.CategoricalDtype) or not dtype.ordered:
        return types
    order = tuple(as_texts(dtype.categories))
    if len(order) < 2 or types.no_categories(order):
        return types
    return replace(types, kinds={**types.kinds, name: "ordered"}, orders={**types.orders, name: order})


def expand_frame(plan: Plan, frame: Any) -> tuple[NDArray[np.float64], list[str]]:
    """The features of a pandas table's rows, and what the plan did not foresee; columns are taken by name.

    Raises:
        DataError: a column is missing, or a value is not of its kind.
    """
    for name in plan.names:
        if name not in frame.columns:
            raise DataError(f"must have a column {quoted(name)}", "has not", did_you_mean(name, frame.columns))
    frame = frame[list(plan.names)]
    if frame.shape[1] > len(plan.names):
        raise DataError("must have each column once", "has one of them twice")
    return plan.expand(frame_columns(frame, Types.of(plan)))
