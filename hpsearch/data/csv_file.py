"""CSV files: read strictly, every refusal naming file, row and column. How they are written is said, not guessed."""

from __future__ import annotations

import csv
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from itertools import chain, count, islice
from pathlib import Path

from hpsearch.data.cells import Cells, Filled, Types
from hpsearch.data.columns import column_error
from hpsearch.data.csv_format import SEPARATORS, CsvFormat
from hpsearch.data.table_file import (
    MOST_BYTES,
    MOST_CHARACTERS,
    MOST_COLUMNS,
    STDIN,
    Table,
    Wanted,
    check_columns,
    check_lengths,
    check_size,
    check_uncompressed,
    check_values,
    reading,
)
from hpsearch.data.unpack import UNPACKING_ERRORS, unpacked
from hpsearch.errors import DataError, Setting, Text, located, one_line, quoted
from hpsearch.numbers import plural
from hpsearch.regular_file import open_regular

BLOCK_ROWS = 1024  # taken to columns at a time
INDEX = "index"  # what a first column without a name is called
MOST_LINE_BYTES = 2**24  # far more than any row needs, and far less than memory
MOST_SEPARATORS = 2**20  # in a row, in quotes or not: each may begin a cell, which takes many times its memory

# How other files of rows begin.
_OTHERS = {
    "a JSON file": re.compile(rb'\s*(\[\s*)?\{\s*"'),
    "a Feather file": re.compile(rb"ARROW1|FEA1"),
    "a pickled object": re.compile(rb"\x80[\x02-\x05]"),
}
_UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_csv(path: Path, wanted: Wanted) -> Table:
    """Read a CSV file with a header line, written as ``wanted.types.csv`` says (a byte-order mark is skipped).

    Raises:
        DataError: a file that cannot be read, is compressed, too large or of another encoding; a header or a row that
            is not as it must be; a cell that is not what its column is. Rows are counted as an editor counts lines.
    """
    with opened(path) as file:
        return _read(file, wanted)


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """The bytes of a CSV file, unpacked if it is compressed; errors, also while it is read, name it."""
    with (
        reading(path, "CSV", UNPACKING_ERRORS),
        open(0, "rb", closefd=False) if path == STDIN else open_regular(path) as packed,
    ):
        check_size(os.fstat(packed.fileno()).st_size)
        file = unpacked(packed)
        head = file.peek(16)[:16]
        check_uncompressed(head)
        if head.startswith(b"PAR1"):
            raise DataError(
                "must be a CSV file",
                "is a Parquet file",
                ("Name it .parquet, or in a study file set ", Setting("source", "parquet"), "."),
            )
        for what, begins in _OTHERS.items():
            if begins.match(head):
                raise DataError("must be a CSV or Parquet file", f"is {what}", "Save its rows as one.")
        yield file


def _read(file: BufferedReader, wanted: Wanted) -> Table:
    rows = rows_of(file, wanted.types.csv)
    with separated(file, wanted.types):
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
    read, without, width, of_rows = 0, 0, len(header), array("q")
    target = header.index(wanted.target) if wanted.target is not None else 0
    while block := list(islice(filled, BLOCK_ROWS)):
        if any(len(cells) != width for _, cells in block):
            block = list(_fitted(block, first, width))
        if wanted.drop_missing_target:
            labelled = [row for row in block if wanted.has_target(row[1][target])]
            without, block = without + len(block) - len(labelled), labelled
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
    wanted.require_targets(read, without)
    if not read:
        raise DataError("must have rows below its header", "has none")
    return Table.of(
        wanted,
        header,
        {name: cells.finish for name, cells in features.items()},
        {name: cells.finish for name, cells in texts.items()},
        of_rows,
        index=None if first[0].strip() else header[0],
        without_target=without,
    )


@contextmanager
def separated(file: BufferedReader, types: Types) -> Iterator[None]:
    """A header that is not what is wanted may be separated otherwise: then that is what is wrong."""
    line, used = _first_line(file, types.csv), types.csv.separator
    try:
        yield
    except DataError as error:
        unquoted = re.sub(r'"[^"]*("|$)', "", line)
        likely = max(SEPARATORS, key=unquoted.count)
        likely = likely if likely in unquoted else " "
        if used in unquoted or likely not in unquoted:
            raise
        do: Text = ("Say so: ", Setting("separator", likely), ".")
        if types.told:
            do = "Write it as the rows that the model was trained on were written."
        raise DataError(
            f"must be separated by {quoted(used)}", f"its header has {quoted(likely)} and no {quoted(used)}", do
        ) from error


def _first_line(file: BufferedReader, csv_format: CsvFormat) -> str:
    """The header, or as much of it as is at hand without reading."""
    head = file.peek()
    encoding = "utf-16" if head[:2] in UTF16_MARKS else csv_format.encoding
    return head.decode(encoding, "replace").partition("\n")[0]


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
            got = f"column {more + 1} has none, and {quoted(cells[more])} in it"
            raise DataError("every column must have a name", got, where=f"row {number}")
        if len(cells) < width or more is not None:
            must, names_row = (
                f"must have {plural(width, 'value')} like the header",
                "Does the first of them name the row? ",
            )
            do = f"{names_row}Then it needs a name in the header." if len(cells) == width + 1 else ""
            raise DataError(must, f"has {len(cells)}", do, f"row {number}")
        yield number, cells[:width]


def rows_of(file: BufferedReader, csv_format: CsvFormat) -> Iterator[tuple[int, list[str]]]:
    """Rows of cells, the header first, with the number of their last line.

    Raises:
        DataError: a row that is none or of too many columns, a line that is too long or of another encoding, a file
            that is too large.
    """
    separators = 0  # of the row that is being read, of whatever number of lines

    def counted() -> Iterator[str]:
        nonlocal separators
        for number, line in enumerate(_lines(file, csv_format.encoding), start=1):
            separators += line.count(csv_format.separator)
            if separators > MOST_SEPARATORS:
                with located(f"row {number}"):
                    check_columns(separators + 1)
            yield line

    lines = csv.reader(counted(), strict=True, delimiter=csv_format.separator)
    try:
        for cells in lines:
            separators = 0
            if len(cells) > MOST_COLUMNS:
                if any(map(str.strip, cells[MOST_COLUMNS:])):
                    with located(f"row {lines.line_num}"):
                        check_columns(len(cells))
                del cells[MOST_COLUMNS:]  # empty cells behind the last column
            yield lines.line_num, cells
    except csv.Error as error:
        do = "Is a quote left open?"  # or does one stand within a cell: csv takes anything else
        raise DataError("must be a row of a CSV file", str(error), do, where=f"row {lines.line_num}") from error


def _lines(file: BufferedReader, encoding: str) -> Iterator[str]:
    """Lines of text, each with its end."""
    if file.peek(2)[:2] in UTF16_MARKS:
        yield from _lines_of_utf16(file)
        return
    number = total = 0
    rest = b""  # of a line that goes on: more is read at once if only carriage returns end lines
    while (read := file.readline(MOST_LINE_BYTES)) or rest:
        line = rest + read
        total += len(read)
        if total > MOST_BYTES:  # a pipe does not say beforehand how much it has
            check_size(total)
        if number == 0 and line.startswith(_UTF8_MARK):
            line, encoding = line.removeprefix(_UTF8_MARK), "utf-8"
        ended = line.splitlines(keepends=True)  # a lone carriage return ends a line too
        rest = ended.pop() if len(read) == MOST_LINE_BYTES and not read.endswith(b"\n") else b""
        for one in ended:
            number += 1
            if len(one) >= MOST_LINE_BYTES:
                raise _too_long(number)
            try:
                yield one.decode(encoding)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"must be text in {encoding.upper()}",
                    f"byte {error.start + 1} of the row is 0x{one[error.start]:02x}",
                    (
                        "Save the file as UTF-8, or say how it is saved: ",
                        Setting("encoding", "cp1252"),
                        ", or another.",
                    ),
                    where=f"row {number}",
                ) from error
        if len(rest) >= MOST_LINE_BYTES:
            raise _too_long(number + 1)


def _lines_of_utf16(file: BufferedReader) -> Iterator[str]:
    """Lines of text in UTF-16, whose byte-order mark says which."""
    number = total = 0
    with TextIOWrapper(file, "utf-16", newline="") as text:
        try:
            while line := text.readline(MOST_LINE_BYTES):
                number += 1
                total += 2 * len(line)
                if total > MOST_BYTES:
                    check_size(total)
                if len(line) == MOST_LINE_BYTES:
                    raise _too_long(number)
                yield line
        except UnicodeError as error:
            raise DataError(
                "must be text in UTF-16", one_line(error), "Save it as UTF-8.", where=f"row {number + 1}"
            ) from error


def _too_long(number: int) -> DataError:
    must = f"must be a line of at most {MOST_LINE_BYTES / 2**20:g} MiB"
    return DataError(must, "is longer", "Is it a CSV file?", where=f"row {number}")
