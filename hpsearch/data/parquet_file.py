"""Parquet files, by pyarrow: the types of the columns are the file's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpsearch.data.columns import Raw, column_error
from hpsearch.data.frames import as_text, as_texts, ordered_as, series_column
from hpsearch.data.matrix import give_memory_back, is_large
from hpsearch.data.table_file import (
    Table,
    Wanted,
    check_lengths,
    check_size,
    check_uncompressed,
    check_values,
    reading,
)
from hpsearch.errors import DataError, Setting
from hpsearch.extras import require


def read_parquet(path: Path, wanted: Wanted) -> Table:
    """Read a Parquet file, column by column. Rows are counted from 1.

    Raises:
        MissingExtraError: pyarrow is missing.
        DataError: a file that cannot be read or is too large; columns that are not as they must be, or hold what is
            neither a number nor a boolean nor text: lists, structures, binary data; dates, but for the ``time`` column.
    """
    require("pyarrow", "parquet", f"The Parquet file {path}")
    import pyarrow
    import pyarrow.parquet

    with reading(path, "Parquet", (pyarrow.ArrowException,)):
        check_size(path.stat().st_size)
        with path.open("rb") as raw:
            check_uncompressed(raw.read(16))
        # Text that repeats is held once, from the start: a few bytes of a file may stand for gigabytes.
        kinds = pyarrow.types
        schema = pyarrow.parquet.read_schema(path)
        text = [field.name for field in schema if kinds.is_string(field.type) or kinds.is_large_string(field.type)]
        with pyarrow.parquet.ParquetFile(path, read_dictionary=text) as file:
            return _read(file, wanted)


def _read(file: Any, wanted: Wanted) -> Table:
    import pyarrow

    names, count = file.schema_arrow.names, file.metadata.num_rows
    features = wanted.among(names)
    if not count:
        raise DataError("must have rows", "has none")
    check_values(count, len(names))
    rows: Sequence[int] = range(1, count + 1)
    labelled = None
    if wanted.drop_missing_target and wanted.target is not None:
        labelled = [wanted.has_target(cell) for cell in _cells(_column(file, wanted.target))]
        rows = [row for row, there in zip(rows, labelled, strict=True) if there]
        wanted.require_targets(len(rows), count - len(rows))

    def column(name: str) -> Any:
        found = _column(file, name)
        return found if labelled is None else found.filter(pyarrow.array(labelled))

    large = is_large(count, len(features))
    if large:
        give_memory_back()

    def feature(name: str) -> Callable[[], Raw]:
        def read() -> Raw:
            raw = _feature(name, column(name), wanted, rows)
            return raw.narrowed() if large else raw

        return read

    def texts(name: str) -> Callable[[], list[str]]:
        return lambda: _texts(name, column(name), wanted, rows)

    return Table.of(
        wanted,
        names,
        {name: feature(name) for name in features},
        {name: texts(name) for name in wanted.texts_among(names)},
        rows,
        without_target=count - len(rows),
    )


def _column(file: Any, name: str) -> Any:
    """A column, in chunks."""
    from pyarrow import types

    column = file.read([name]).column(name)
    kind = column.type
    single = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_nested(single) or types.is_binary(single) or types.is_large_binary(single):
        do = ("Leave it out: ", Setting("drop", [name]), ".")
        raise column_error(name, "must hold one number, boolean, text or date a row", f"holds {kind}", do)
    column.validate(full=True)  # a damaged file may have places beyond a dictionary's end
    return column


def _feature(name: str, column: Any, wanted: Wanted, rows: Sequence[int]) -> Raw:
    import pandas as pd
    import pyarrow

    kind = column.type
    if pyarrow.types.is_temporal(kind):
        date = pyarrow.types.is_timestamp(kind) or pyarrow.types.is_date(kind)
        if not date or not (wanted.types.surveyed or wanted.types.kinds.get(name) == "date"):
            drop, time = Setting("drop", [name]), Setting("time", name)
            say = ("Say that it holds dates: ", Setting("date", [name]), ", or leave") if date else ("Leave",)
            do = (*say, " it out (", drop, "), or if it orders the rows: ", time, ".")
            raise column_error(name, "must hold numbers, booleans or text", f"holds {kind}", do)
        column = column.cast(pyarrow.timestamp("us", getattr(kind, "tz", None)), safe=False)
    if pyarrow.types.is_decimal(kind):
        column = column.cast(pyarrow.float64(), safe=False)
    values = column.to_pandas(types_mapper={pyarrow.bool_(): pd.BooleanDtype()}.get)
    if isinstance(values.dtype, pd.CategoricalDtype):
        check_lengths(name, as_texts(values), rows)
    types = ordered_as(name, values.dtype, wanted.types) if wanted.types.surveyed else wanted.types
    return series_column(name, values, types, rows)


def _texts(name: str, column: Any, wanted: Wanted, rows: Sequence[int]) -> list[str]:
    cells = _cells(column)
    check_lengths(name, cells, rows)
    texts = wanted.as_text(name)
    texts.add(cells, rows)
    return texts.finish()


def _cells(column: Any) -> list[str]:
    """How a CSV file would show the values."""
    import pyarrow

    if pyarrow.types.is_timestamp(column.type):
        # datetime has microseconds at best.
        moments = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False).to_pylist()
        return ["" if moment is None else moment.isoformat() for moment in moments]
    if pyarrow.types.is_dictionary(column.type):
        return as_texts(column.to_pandas())
    return [*map(as_text, column.to_pylist())]
