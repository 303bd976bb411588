"""CSV files: read strictly, every refusal naming file, row and column."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from io import BufferedReader
from itertools import islice
from pathlib import Path

from hpsearch.data.cells import Cells
from hpsearch.data.table_file import (
    MOST_BYTES,
    MOST_CHARACTERS,
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
from hpsearch.errors import DataError

BLOCK_ROWS = 1024  # taken to columns at a time
MOST_LINE_BYTES = 2**24  # far more than any row needs, and far less than memory

_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read_csv(path: Path, wanted: Wanted) -> Table:
    """Read a CSV file with a header line, in UTF-8 (a byte-order mark is skipped).

    Raises:
        DataError: a file that cannot be read, is compressed, too large or not UTF-8; a header or a row that is not as
            it must be; a cell that is not what its column is. Rows are counted as an editor counts lines.
    """
    try:
        with path.open("rb") as file:
            return _read(str(path), file, wanted)
    except (OSError, ValueError) as error:  # the second: a NUL in the path
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: must be a readable CSV file, but {reason(error)}.") from error


def _read(origin: str, file: BufferedReader, wanted: Wanted) -> Table:
    check_size(origin, os.fstat(file.fileno()).st_size)
    head = file.peek(16)[:16]
    check_uncompressed(origin, head)
    if head.startswith(b"PAR1"):
        raise DataError(f'{origin}: must be a CSV file, but is a Parquet file. Use source = "parquet".')
    rows = _rows(origin, file)
    _, header = next(rows, (0, []))
    if not header:
        raise DataError(f"{origin}: must begin with a header line, but is empty.")
    features = wanted.among(header, origin)
    places = {name: i for i, name in enumerate(header)}
    columns = {places[name]: Cells(name, wanted.types, origin) for name in features}
    texts = {places[name]: list[str]() for name in wanted.texts}
    same: dict[str, str] = {}  # texts that repeat are kept once
    filled = ((number, cells) for number, cells in rows if cells)
    count = 0
    while block := list(islice(filled, BLOCK_ROWS)):
        count += len(block)
        check_values(origin, count, len(header))
        for number, cells in block:
            if len(cells) != len(header):
                raise DataError(
                    f"{origin}, row {number}: must have {len(header)} values like the header, but has {len(cells)}."
                )
            if max(map(len, cells)) > MOST_CHARACTERS:
                check_length(origin, number, cells, header)
        numbers = [number for number, _ in block]
        # By column; NUL characters are looked for here, where the column is known.
        for i, column in enumerate(zip(*(cells for _, cells in block), strict=True)):
            if "\0" in "".join(column):
                row = next(number for number, cell in zip(numbers, column, strict=True) if "\0" in cell)
                raise DataError(
                    f"{origin}, row {row}, column {header[i]!r}: must be text, but holds a NUL byte. Save the file "
                    "as text in UTF-8."
                )
            if i in columns:
                columns[i].add(column, numbers)
            elif i in texts:
                check_filled(origin, header[i], column, numbers, wanted.types)
                if header[i] == wanted.quantity:
                    check_quantity(origin, header[i], column, numbers)
                texts[i] += [same.setdefault(cell, cell) for cell in column]
    if not count:
        raise DataError(f"{origin}: must have rows below its header, but has none.")
    made = wanted.made({header[i]: column.finish for i, column in columns.items()})
    return Table(made, {header[i]: column for i, column in texts.items()})


def _rows(origin: str, file: BufferedReader) -> Iterator[tuple[int, list[str]]]:
    """Rows of cells with the number of their last line."""
    lines = csv.reader(_lines(origin, file), strict=True)
    try:
        for cells in lines:
            yield lines.line_num, cells
    except csv.Error as error:
        more = " Is a quote left open?" if "field" in str(error) or "end of data" in str(error) else ""
        raise DataError(f"{origin}, row {lines.line_num}: must be a row of a CSV file, but {error}.{more}") from error


def _lines(origin: str, file: BufferedReader) -> Iterator[str]:
    """Lines of text, each with its end."""
    number = total = 0
    while line := file.readline(MOST_LINE_BYTES):
        total += len(line)
        if total > MOST_BYTES:  # a pipe does not say beforehand how much it has
            check_size(origin, total)
        if number == 0:
            for mark, encoding in _OTHER_MARKS.items():
                if line.startswith(mark):
                    raise DataError(f"{origin}: must be text in UTF-8, but is {encoding}. Save it as UTF-8.")
            line = line.removeprefix(_UTF8_MARK)
        for one in line.splitlines(keepends=True):  # a lone carriage return ends a line too
            number += 1
            if len(one) == MOST_LINE_BYTES:
                raise DataError(
                    f"{origin}, row {number}: must be a line of at most {MOST_LINE_BYTES / 2**20:g} MiB, but is "
                    "longer. Is it a CSV file?"
                )
            try:
                yield one.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{origin}, row {number}: must be text in UTF-8, but byte {error.start + 1} of the row is "
                    f"0x{one[error.start]:02x}. Save the file as UTF-8."
                ) from error
