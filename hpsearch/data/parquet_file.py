"""Parquet files, by pyarrow: the types of the columns are the file's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from hpsearch.data.columns import Raw, column_error
from hpsearch.data.frames import as_text, as_texts, ordered_as, out_of_calendar, series_column
from hpsearch.data.matrix import MOST_IN_MEMORY, give_memory_back, is_large
from hpsearch.data.table_file import (
    MOST_BYTES,
    MOST_VALUES,
    Table,
    Wanted,
    check_lengths,
    check_size,
    check_uncompressed,
    check_values,
    reading,
)
from hpsearch.errors import DataError, Setting, located, one_line
from hpsearch.extras import require
from hpsearch.numbers import plural
from hpsearch.regular_file import open_regular

MOST_UNPACKED = 8 * MOST_VALUES  # bytes: numbers have eight each
# Values that stand for themselves take a bit each at least, but for those that hardly ever differ. A table of few
# values may fold them as it likes.
MOST_FOLDED = 100
FEW_ROWS = 1024  # read at once where each may be long
_STEP_BY_STEP = ("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY")


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

    with reading(path, "Parquet", (pyarrow.ArrowException,)), open_regular(path) as raw:
        check_size(os.fstat(raw.fileno()).st_size)
        check_uncompressed(raw.peek(16)[:16])
        # Text that repeats is held once, from the start: a few bytes of a file may stand for gigabytes.
        metadata = pyarrow.parquet.read_metadata(raw)
        steps = _unfolded_step_by_step(metadata, os.fstat(raw.fileno()).st_size)
        text = {field.name for field in metadata.schema.to_arrow_schema() if _is_text(field.type)}
        with pyarrow.parquet.ParquetFile(raw, metadata=metadata, read_dictionary=[*(text - steps)]) as file:
            for name in text & steps:
                _check_text(name, (batch.column(0) for batch in file.iter_batches(FEW_ROWS, columns=[name])))
            return _read(file, wanted)


def _unfolded_step_by_step(metadata: Any, size: int) -> set[str]:
    """The columns whose values may each repeat the one before, of a file that says what all others unfold to.

    Args:
        metadata: what the file says of itself.
        size: its bytes.

    Raises:
        DataError: it would unfold to far more than that.
    """
    rows, columns, unpacked, found = metadata.num_rows, metadata.num_columns, 0, set()
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(columns)):
            unpacked += chunk.total_uncompressed_size
            if any(encoding in _STEP_BY_STEP for encoding in chunk.encodings):
                found.add(chunk.path_in_schema)
    if unpacked > MOST_UNPACKED:
        raise DataError(f"must unpack to at most {MOST_UNPACKED / 2**30:g} GiB", f"unpacks to {unpacked / 2**30:.2g}")
    if rows * columns > max(MOST_IN_MEMORY, MOST_FOLDED * size):
        must = f"must have at most {MOST_FOLDED} values a byte"
        got = f"has {plural(rows, 'row')} of {columns:,} columns in {plural(size, 'byte')}"
        raise DataError(must, got, "Do its values only repeat? Take a sample of its rows.")
    return found


def _read(file: Any, wanted: Wanted) -> Table:
    import pyarrow

    schema, count = file.schema_arrow, file.metadata.num_rows  # the first is made anew each time
    names = schema.names
    features = wanted.among(names)
    if not count:
        raise DataError("must have rows", "has none")
    check_values(count, len(names))
    rows: Sequence[int] = range(1, count + 1)
    labelled = None
    if wanted.drop_missing_target and wanted.target is not None:
        labelled = [wanted.has_target(cell) for cell in _cells(wanted.target, _column(file, schema, wanted.target))]
        rows = [row for row, there in zip(rows, labelled, strict=True) if there]
        wanted.require_targets(len(rows), count - len(rows))

    def column(name: str) -> Any:
        found = _column(file, schema, name)
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


def _column(file: Any, schema: Any, name: str) -> Any:
    """A column, in chunks.

    Raises:
        DataError: it cannot be a column of rows, or its text is too long in all.
    """
    from pyarrow import types

    kind = schema.field(name).type
    single = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_nested(single) or any(is_binary(single) for is_binary in _binaries()):
        do = ("Leave it out: ", Setting("drop", [name]), ".")
        raise column_error(name, "must hold one number, boolean, text or date a row", f"holds {kind}", do)
    column = file.read([name]).column(name)
    column.validate(full=True)  # a damaged file may have places beyond a dictionary's end
    if len(column) != file.metadata.num_rows:
        raise column_error(name, f"must have {plural(file.metadata.num_rows, 'value')}", f"has {len(column):,}")
    _check_text(name, column.chunks)
    return column


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _binaries() -> tuple[Callable[[Any], bool], ...]:
    from pyarrow import types

    return types.is_binary, types.is_large_binary, types.is_fixed_size_binary


def _check_text(name: str, chunks: Iterable[Any]) -> None:
    """Refuse text that would be too long if what repeats were written out."""
    import pyarrow.compute as pc

    total = 0
    for chunk in chunks:
        is_dictionary = hasattr(chunk, "dictionary")
        if not _is_text(chunk.dictionary.type if is_dictionary else chunk.type):
            return
        lengths = pc.binary_length(chunk.dictionary if is_dictionary else chunk)
        total += pc.sum(lengths.take(chunk.indices) if is_dictionary else lengths).as_py() or 0
        if total > MOST_BYTES:
            with located(f"column {name!r}"):
                check_size(total)


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
        column = _in_microseconds(name, column)
    if pyarrow.types.is_decimal(kind):
        column = column.cast(pyarrow.float64(), safe=False)
    values = column.to_pandas(types_mapper={pyarrow.bool_(): pd.BooleanDtype()}.get)
    if isinstance(values.dtype, pd.CategoricalDtype):
        check_lengths(name, as_texts(values), rows)
    types = ordered_as(name, values.dtype, wanted.types) if wanted.types.surveyed else wanted.types
    return series_column(name, values, types, rows)


def _texts(name: str, column: Any, wanted: Wanted, rows: Sequence[int]) -> list[str]:
    cells = _cells(name, column)
    check_lengths(name, cells, rows)
    texts = wanted.as_text(name)
    texts.add(cells, rows)
    return texts.finish()


def _cells(name: str, column: Any) -> list[str]:
    """How a CSV file would show the values.

    Raises:
        DataError: values that Python has no object for.
    """
    import pyarrow

    try:
        if pyarrow.types.is_timestamp(column.type):
            moments = _in_microseconds(name, column).to_pylist()
            return ["" if moment is None else moment.isoformat() for moment in moments]
        if pyarrow.types.is_dictionary(column.type):
            return as_texts(column.to_pandas())
        return [*map(as_text, column.to_pylist())]
    except (ArithmeticError, ValueError, pyarrow.ArrowException) as error:
        if isinstance(error, DataError):
            raise
        must = f"must hold values of the type {column.type} that can be read"
        raise column_error(name, must, one_line(error), "Write them as another type.") from error


def _in_microseconds(name: str, column: Any) -> Any:
    """Dates and times as datetime has them, which has microseconds at best.

    Raises:
        DataError: one that is out of any calendar.
    """
    import pyarrow

    kind = pyarrow.timestamp("us", getattr(column.type, "tz", None))
    try:
        return column.cast(kind, safe=getattr(column.type, "unit", "") != "ns")  # nanoseconds are cut off
    except pyarrow.ArrowInvalid as error:
        raise out_of_calendar(name) from error
