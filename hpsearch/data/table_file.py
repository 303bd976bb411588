"""Files of rows: what is wanted from one, what is got, and how large and of what kind it may be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hpsearch.data.cells import Filled, Types
from hpsearch.data.columns import Raw, column_error
from hpsearch.errors import DataError, HpsearchError, Setting, did_you_mean, located, one_line, quoted
from hpsearch.numbers import plural

# The rows are held in memory, and trained on again and again.
MOST_BYTES = 2**30
# At 8 bytes each: 2 GiB. A small file may say that a value is repeated any number of times, or hold many categories.
MOST_VALUES = 2**28
# Each is an input of the network at least; a file with more has likely its rows and columns exchanged.
MOST_COLUMNS = 10_000
# No number, category or label is that long: likely a quote was left open. (The csv module stops at 131,072.)
MOST_CHARACTERS = 100_000

STDIN = Path("-")  # standard input, in the place of a file

# How compressed files begin. (.xlsx is a zip archive.)
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_BZIP2_BLOCK = b"1AY&SY"  # follows "BZh" and a digit, which a header line may begin with


@dataclass(frozen=True)
class Wanted:
    """What to read.

    Attributes:
        texts: columns that must be there with text in every row: the target, and those that say how to split.
        features: columns that must be there and become features; None for all that are left.
        ignored: columns that are none of these.
        required: those of the ignored that must be there nonetheless: a misspelt name is no column to leave out.
        types: how the cells of the features are understood.
        regression_target: the one of the texts that must be a number in every row; None if none must.
        lenient: columns that cannot be features are left out and listed, and do not stop the reading.
        kept: columns that must be there and are taken as they are, text or not, whatever else they are.
        optional: columns that are read as the texts are, where they are there.
        target: the one of the texts that is predicted, if rows without it may be left out.
        drop_missing_target: they are.
    """

    texts: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    types: Types = field(default_factory=Types)
    regression_target: str | None = None
    lenient: bool = False
    kept: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    target: str | None = None
    drop_missing_target: bool = False

    def among(self, header: Sequence[str]) -> list[str]:
        """The columns of a file that become features, in its order.

        Raises:
            DataError: a column without a name, two of one name, one that is wanted and not there; too many.
        """
        with located("row 1"):
            _check_header(header)
        known = set(header)
        for name in [*self.texts, *self.kept, *self.required, *(self.features or ()), *self.types.kinds]:
            if name not in known:
                raise DataError(f"must have a column {quoted(name)}", "has not", did_you_mean(name, header))
        others = {*self.texts, *self.ignored} - {*self.types.kinds}  # a date may order the rows and be a feature
        if self.features is None:
            return [name for name in header if name not in others]
        features = set(self.features)
        return [name for name in header if name in features]

    def texts_among(self, header: Sequence[str]) -> list[str]:
        """The columns of a file that are read as text."""
        return [*self.texts, *self.kept, *(name for name in self.optional if name in header)]

    def as_text(self, name: str) -> Filled:
        """One of the texts, to be filled, or of those kept."""
        return Filled(name, self.types, name == self.regression_target, name not in self.kept, name == self.target)

    def has_target(self, cell: str) -> bool:
        """Whether a cell of the column that is predicted holds something to predict."""
        return not self.types.is_empty(cell.strip(), number=self.target == self.regression_target)

    def require_targets(self, rows: int, without: int) -> None:
        """Refuse a file none of whose rows has a target.

        Raises:
            DataError: it is such a file.
        """
        if without and not rows:
            raise column_error(str(self.target), "must have a value in some row", f"is empty in all {without}")


@dataclass(frozen=True)
class Table:
    """What was read.

    Attributes:
        names: of all columns of the file, in its order.
        columns: those that become features; whoever has made features of them may clear the list.
        texts: columns of text by name.
        refused: those that cannot be features, and why, if that does not stop the reading.
        rows: (N,) the number of each row, as errors name it.
        index: what the first column is called if it has no name in the file; None if it has one.
        without_target: how many rows were left out, as they have no target.
    """

    names: tuple[str, ...]
    columns: list[Raw]
    texts: Mapping[str, list[str]]
    refused: Mapping[str, DataError]
    rows: Sequence[int]
    index: str | None = None
    without_target: int = 0

    @classmethod
    def of(
        cls,
        wanted: Wanted,
        names: Sequence[str],
        features: Mapping[str, Callable[[], Raw]],
        texts: Mapping[str, Callable[[], list[str]]],
        rows: Sequence[int],
        index: str | None = None,
        without_target: int = 0,
    ) -> Table:
        """From functions that make the columns, each called once.

        Raises:
            DataError: what they raise.
        """
        columns, refused = [], {}
        for name, make in features.items():
            try:
                columns.append(make())
            except DataError as error:
                if not wanted.lenient:
                    raise
                refused[name] = error
        read = {name: make() for name, make in texts.items()}
        return cls(tuple(names), columns, read, refused, rows, index, without_target)


@contextmanager
def reading(path: Path, what: str, errors: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Errors of the system, and ``errors`` of a library, say that this is no readable file, and all name it."""
    with located("standard input" if path == STDIN else str(path)):
        try:
            yield
        except Exception as error:
            # A ValueError: a NUL in the path, or whatever a library says. (Our own are some too.)
            if isinstance(error, HpsearchError) or not isinstance(error, (OSError, ValueError, *errors)):
                raise
            do = "Download it, and name the file." if _URL.match(str(path)) else ""
            raise DataError(f"must be a readable {what} file", one_line(error), do) from error


_URL = re.compile(r"[a-z][a-z0-9+.-]+:/")


def _check_header(header: Sequence[str]) -> None:
    check_columns(len(header))
    known = set()
    for i, name in enumerate(header):
        if not name.strip():
            raise DataError("every column must have a name", f"column {i + 1} has none")
        if "\0" in name:
            raise DataError("must be text", f"column {i + 1} holds a NUL byte", "Save it as UTF-8.")
        if name in known:
            raise DataError("column names must differ", f"{quoted(name)} stands twice")
        known.add(name)


def check_size(size: int) -> None:
    """Refuse a file that is too large."""
    if size > MOST_BYTES:
        function = Setting("source", "python:module:function")
        do = ("Take a sample of its rows, or give them by a function (", function, ").")
        raise DataError(f"must have at most {MOST_BYTES / 2**30:g} GiB", f"has {size / 2**30:.2g}", do)


def check_columns(columns: int) -> None:
    """Refuse too many columns."""
    if columns > MOST_COLUMNS:
        must = f"must have at most {MOST_COLUMNS:,} columns"
        raise DataError(must, f"has {columns:,}", "Are rows and columns exchanged?")


def check_values(rows: int, columns: int, what: str = "columns") -> None:
    """Refuse rows with too many values in all."""
    if rows * columns > MOST_VALUES:
        raise DataError(
            f"must have at most {MOST_VALUES:,} values",
            f"has {plural(rows, 'row')} of {columns:,} {what}",
            "Take a sample of its rows, or leave columns out.",
        )


def check_uncompressed(head: bytes) -> None:
    """Refuse a compressed file by its first bytes: a small one may unpack to any size."""
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic) and (name != "bzip2" or head[4:10] == _BZIP2_BLOCK):
            raise DataError("must not be compressed", f"is a {name} file", "Unpack it first.")


def check_lengths(name: str, cells: Sequence[str], rows: Sequence[int]) -> None:
    """Refuse a cell that is too long."""
    if max(map(len, cells)) <= MOST_CHARACTERS:
        return
    for cell, row in zip(cells, rows, strict=True):
        if len(cell) > MOST_CHARACTERS:
            must = f"must have at most {MOST_CHARACTERS:,} characters"
            raise column_error(name, must, f"has {len(cell):,}", "Is a quote left open?", row)
