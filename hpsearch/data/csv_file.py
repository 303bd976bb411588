"""CSV files: read strictly, every refusal naming file, row and column."""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Iterator, Sequence
from io import BufferedReader
from itertools import chain, count, islice
from pathlib import Path

from hpsearch.data.cells import Cells, Filled
from hpsearch.data.columns import column_error
from hpsearch.data.table_file import (
    MOST_BYTES,
    MOST_CHARACTERS,
    STDIN,
    Table,
    Wanted,
    check_lengths,
    check_size,
    check_uncompressed,
    check_values,
    reading,
)
from hpsearch.errors import DataError, Setting

BLOCK_ROWS = 1024  # taken to columns at a time
INDEX = "index"  # what a first column without a name is called
MOST_LINE_BYTES = 2**24  # far more than any row needs, and far less than memory

_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read_csv(path: Path, wanted: Wanted) -> Table:
    """Read a CSV file with a header line, in UTF-8 (a byte-order mark is skipped).

    Raises:
        DataError: a file that cannot be read, is compressed, too large or not UTF-8; a header or a row that is not as
            it must be; a cell that is not what its column is. Rows are counted as an editor counts lines.
    """
    with reading(path, "CSV"), open(0, "rb", closefd=False) if path == STDIN else path.open("rb") as file:
        return _read(file, wanted)


def _read(file: BufferedReader, wanted: Wanted) -> Table:
    check_size(os.fstat(file.fileno()).st_size)
    head = file.peek(16)[:16]
    check_uncompressed(head)
    if head.startswith(b"PAR1"):
        raise DataError(
            "must be a CSV file",
            "is a Parquet file",
            ("Name it .parquet, or in a study file set ", Setting("source", "parquet"), "."),
        )
    rows = _rows(file)
    _, first = next(rows, (0, []))
    if not first:
        raise DataError("must begin with a header line", "is empty")
    header = column_names(first)
    features = {name: Cells(name, wanted.types) for name in wanted.among(header)}
    texts = {name: wanted.as_text(name) for name in wanted.texts_among(header)}
    takers: dict[str, list[Cells | Filled]] = {  # a column may be a feature and kept as text
        name: [of[name] for of in (features, texts) if name in of] for name in header
    }
    # A row without any value cannot have a target; without a target to read it is a row of missing values.
    filled = ((number, cells) for number, cells in rows if (any(cells) if wanted.texts else cells))
    read, width, of_rows = 0, len(header), array("q")
    while block := list(islice(filled, BLOCK_ROWS)):
        if any(len(cells) != width for _, cells in block):
            block = list(_fitted(block, first, width))
        if not block:
            continue
        read += len(block)
        check_values(read, width)
        numbers = [number for number, _ in block]
        of_rows.extend(numbers)
        for name, column in zip(header, zip(*(cells for _, cells in block), strict=True), strict=True):
            text = "".join(column)
            if len(text) > MOST_CHARACTERS:  # of one cell or of all
                check_lengths(name, column, numbers)
            if "\0" in text:
                row = next(number for number, cell in zip(numbers, column, strict=True) if "\0" in cell)
                raise column_error(name, "must be text", "holds a NUL byte", "Save the file as text in UTF-8.", row)
            for taker in takers[name]:
                taker.add(column, numbers)
    if not read:
        raise DataError("must have rows below its header", "has none")
    return Table.of(
        wanted,
        header,
        {name: cells.finish for name, cells in features.items()},
        {name: cells.finish for name, cells in texts.items()},
        of_rows,
        index=None if first[0].strip() else header[0],
    )


def column_names(first: Sequence[str]) -> list[str]:
    """The names of the columns, from the cells of the first line.

    A separator at the end of a line begins no column. A first column without a name is an index, as pandas and R write
    one: it is called ``index``, or ``index_2`` and so on where another column is called so.
    """
    names = list(first)
    while len(names) > 1 and not names[-1].strip():
        names.pop()
    if len(names) > 1 and not names[0].strip():
        candidates = chain([INDEX], (f"{INDEX}_{number}" for number in count(2)))
        names[0] = next(name for name in candidates if name not in names)
    return names


def _fitted(
    block: Sequence[tuple[int, list[str]]], first: Sequence[str], width: int
) -> Iterator[tuple[int, list[str]]]:
    """Rows without the empty cells behind the last column, and without lines of blanks.

    Raises:
        DataError: a row of fewer or more values than there are columns.
    """
    for number, cells in block:
        if len(cells) < width and not any(map(str.strip, cells)):
            continue
        more = next((i for i in range(len(cells) - 1, width - 1, -1) if cells[i].strip()), None)
        if more is not None and more < len(first):
            got = f"column {more + 1} has none, and {cells[more]!r} in it"
            raise DataError("every column must have a name", got, where=f"row {number}")
        if len(cells) < width or more is not None:
            must = f"must have {width} values like the header"
            raise DataError(must, f"has {len(cells)}", where=f"row {number}")
        yield number, cells[:width]


def _rows(file: BufferedReader) -> Iterator[tuple[int, list[str]]]:
    """Rows of cells with the number of their last line."""
    lines = csv.reader(_lines(file), strict=True)
    try:
        for cells in lines:
            yield lines.line_num, cells
    except csv.Error as error:
        do = "Is a quote left open?"  # or does one stand within a cell: csv takes anything else
        raise DataError("must be a row of a CSV file", str(error), do, where=f"row {lines.line_num}") from error


def _lines(file: BufferedReader) -> Iterator[str]:
    """Lines of text, each with its end."""
    number = total = 0
    while line := file.readline(MOST_LINE_BYTES):
        total += len(line)
        if total > MOST_BYTES:  # a pipe does not say beforehand how much it has
            check_size(total)
        if number == 0:
            for mark, encoding in _OTHER_MARKS.items():
                if line.startswith(mark):
                    raise DataError("must be text in UTF-8", f"is {encoding}", "Save it as UTF-8.")
            line = line.removeprefix(_UTF8_MARK)
        for one in line.splitlines(keepends=True):  # a lone carriage return ends a line too
            number += 1
            if len(one) == MOST_LINE_BYTES:
                raise DataError(
                    f"must be a line of at most {MOST_LINE_BYTES / 2**20:g} MiB",
                    "is longer",
                    "Is it a CSV file?",
                    where=f"row {number}",
                )
            try:
                yield one.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    "must be text in UTF-8",
                    f"byte {error.start + 1} of the row is 0x{one[error.start]:02x}",
                    "Save the file as UTF-8.",
                    where=f"row {number}",
                ) from error
