"""Parquet files, by pyarrow: the types of the columns are the file's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpsearch.data.columns import Raw
from hpsearch.data.table_file import (
    Table,
    Wanted,
    check_filled,
    check_length,
    check_quantity,
    check_size,
    check_uncompressed,
    check_values,
    reason,
)
from hpsearch.data.typed import as_text, boolean_column, numeric_column, text_column
from hpsearch.errors import DataError
from hpsearch.extras import require


def read_parquet(path: Path, wanted: Wanted) -> Table:
    """Read a Parquet file. Rows are counted from 1.

    Raises:
        MissingExtraError: pyarrow is missing.
        DataError: a file that cannot be read or is too large; columns that are not as they must be, or hold what is
            neither a number nor a boolean nor text: lists, structures, binary data; dates, but for the ``time`` column.
    """
    require("pyarrow", "parquet", f"The Parquet file {path}")
    import pyarrow
    import pyarrow.parquet

    try:
        check_size(str(path), path.stat().st_size)
        with path.open("rb") as raw:
            check_uncompressed(str(path), raw.read(16))
        # Text that repeats is held once, from the start: a few bytes of a file may stand for gigabytes.
        text = [field.name for field in pyarrow.parquet.read_schema(path) if _is_text(field.type)]
        with pyarrow.parquet.ParquetFile(path, read_dictionary=text) as file:
            return _read(str(path), file, wanted)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if isinstance(error, DataError):
            raise
        why = " ".join(reason(error).split()).rstrip(".")
        raise DataError(f"{path}: must be a readable Parquet file, but {why}.") from error


def _is_text(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _read(origin: str, file: Any, wanted: Wanted) -> Table:
    names, count = file.schema_arrow.names, file.metadata.num_rows
    features = wanted.among(names, origin)
    if not count:
        raise DataError(f"{origin}: must have rows, but has none.")
    check_values(origin, count, len(names))
    rows = range(1, count + 1)

    def maker(name: str) -> Callable[[], Raw]:
        return lambda: _feature(origin, name, _values(origin, file, name), wanted, rows)

    columns = wanted.made({name: maker(name) for name in features})
    texts = {}
    for name in wanted.texts:
        texts[name] = _texts(origin, name, _values(origin, file, name), rows)
        check_filled(origin, name, texts[name], rows, wanted.types)
        if name == wanted.quantity:
            check_quantity(origin, name, texts[name], rows)
    return Table(columns, texts)


def _values(origin: str, file: Any, name: str) -> Any:
    """A column as one array."""
    import pyarrow

    column = file.read([name]).column(name)
    kind = column.type
    dictionary = pyarrow.types.is_dictionary(kind)
    single = kind.value_type if dictionary else kind
    if pyarrow.types.is_nested(single) or pyarrow.types.is_binary(single) or pyarrow.types.is_large_binary(single):
        raise DataError(
            f"{origin}, column {name!r}: must hold one number, boolean, text or date a row, but holds {kind}. Leave "
            f'it out: [data] drop = ["{name}"].'
        )
    column.validate(full=True)  # a damaged file may have places beyond a dictionary's end
    return (column.unify_dictionaries() if dictionary else column).combine_chunks()


def _feature(origin: str, name: str, values: Any, wanted: Wanted, rows: Sequence[int]) -> Raw:
    import pyarrow

    kind, types = values.type, wanted.types
    if pyarrow.types.is_boolean(kind):
        numbers = values.cast(pyarrow.uint8()).cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
        return boolean_column(name, numbers, types, origin, rows)
    if pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_decimal(kind):
        numbers = values.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False)
        return numeric_column(name, numbers, types, origin, rows)
    if pyarrow.types.is_dictionary(kind) or _is_text(kind):
        return text_column(name, _texts(origin, name, values, rows), "categorical", types, origin, rows)
    if pyarrow.types.is_null(kind):
        return numeric_column(name, [float("nan")] * len(rows), types, origin, rows)
    raise DataError(
        f"{origin}, column {name!r}: must hold numbers, booleans or text, but holds {kind}. Leave it out "
        f'([data] drop = ["{name}"]), or if it orders the rows: [data] time = "{name}".'
    )


def _texts(origin: str, name: str, values: Any, rows: Sequence[int]) -> list[str]:
    import pyarrow

    if pyarrow.types.is_dictionary(values.type):
        known = [as_text(value) for value in values.dictionary.to_pylist()]
        texts = [*("" if code is None else known[code] for code in values.indices.to_pylist())]
    elif pyarrow.types.is_timestamp(values.type):
        # datetime has microseconds at best.
        micro = values.cast(pyarrow.timestamp("us", values.type.tz), safe=False).to_pylist()
        texts = ["" if moment is None else moment.isoformat() for moment in micro]
    else:
        texts = [as_text(value) for value in values.to_pylist()]
    for row, text in zip(rows, texts, strict=True):
        check_length(origin, row, [text], [name])
    return texts
