"""Files of rows: what is wanted from one, what is got, and how large and of what kind it may be."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hpsearch.data.cells import Types, is_number, place
from hpsearch.data.columns import Raw
from hpsearch.errors import DataError, did_you_mean

# The rows are held in memory, and trained on again and again.
MOST_BYTES = 2**30
# At 8 bytes each: 2 GiB. A small file may say that a value is repeated any number of times, or hold many categories.
MOST_VALUES = 2**28
# Each is an input of the network at least; a file with more has likely its rows and columns exchanged.
MOST_COLUMNS = 10_000
# No number, category or label is that long: likely a quote was left open. (The csv module stops at 131,072.)
MOST_CHARACTERS = 100_000

# How compressed files begin. (.xlsx is a zip archive.)
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_BZIP2_BLOCK = b"1AY&SY"  # follows "BZh" and a digit, which a header line may begin with


@dataclass
class Survey:
    """What a reading finds out about the columns of a file that nobody has described yet.

    Attributes:
        names: all of them, in the file's order.
        refused: of the features wanted, those that cannot be features, and why: they do not stop the reading.
    """

    names: list[str] = field(default_factory=list)
    refused: dict[str, DataError] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What to read.

    Attributes:
        texts: columns that must be there with text in every row: the target, and those that say how to split.
        features: columns that must be there and become features; None for all that are left.
        only: beside the features named, refuse columns that are neither texts nor ignored.
        ignored: columns that are none of these.
        required: those of the ignored that must be there nonetheless: a misspelt name is no column to leave out.
        types: how the cells of the features are understood.
        survey: where to note what the columns are, and which are refused; None to raise the first refusal.
        quantity: the one of the texts that must be a number in every row; None if none must.
    """

    texts: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    only: bool = False
    types: Types = field(default_factory=Types)
    survey: Survey | None = None
    quantity: str | None = None

    def made(self, makers: Mapping[str, Callable[[], Raw]]) -> tuple[Raw, ...]:
        """The columns that become features, each made by its function.

        Raises:
            DataError: one is refused, and there is no survey to note it.
        """
        columns = []
        for name, make in makers.items():
            try:
                columns.append(make())
            except DataError as error:
                if self.survey is None:
                    raise
                self.survey.refused[name] = error
        return tuple(columns)

    def among(self, header: Sequence[str], origin: str) -> list[str]:
        """The columns of a file that become features, in its order.

        Raises:
            DataError: a column without a name, two of one name, one that is wanted and not there; too many.
        """
        if len(header) > MOST_COLUMNS:
            raise DataError(
                f"{origin}, row 1: must have at most {MOST_COLUMNS:,} columns, but has {len(header):,}. Are rows and "
                "columns exchanged?"
            )
        seen = set()
        for i, name in enumerate(header):
            if not name.strip():
                raise DataError(f"{origin}, row 1: every column must have a name, but column {i + 1} has none.")
            if "\0" in name:
                raise DataError(
                    f"{origin}, row 1: must be text, but column {i + 1} holds a NUL byte. Save it as UTF-8."
                )
            if name in seen:
                raise DataError(f"{origin}, row 1: column names must differ, but {name!r} stands twice.")
            seen.add(name)
        if self.survey is not None:
            self.survey.names[:] = header
        for name in [*self.texts, *self.required, *(self.features or ()), *self.types.kinds]:
            if name not in seen:
                raise DataError(f"{origin}: must have a column {name!r}, but has not. {did_you_mean(name, header)}")
        others = {*self.texts, *self.ignored}
        if self.features is not None:
            features = set(self.features)
            strange = [name for name in header if name not in features | others] if self.only else []
            if strange:
                raise DataError(
                    f"{origin}: must have the model's {len(features)} columns only, but has {strange[0]!r} too. Leave "
                    "it out."
                )
            return [name for name in header if name in features]
        return [name for name in header if name not in others]


@dataclass(frozen=True)
class Table:
    """What was read: columns that become features, and the texts of others by name."""

    columns: tuple[Raw, ...]
    texts: dict[str, list[str]]


def check_size(origin: str, size: int) -> None:
    """Refuse a file that is too large."""
    if size > MOST_BYTES:
        raise DataError(
            f"{origin}: must have at most {MOST_BYTES / 2**30:g} GiB, but has {size / 2**30:.2g}. Take a sample of its "
            "rows, or give them by a function (source = 'python:module:function')."
        )


def check_values(origin: str, rows: int, columns: int, what: str = "columns") -> None:
    """Refuse rows with too many values in all."""
    if rows * columns > MOST_VALUES:
        raise DataError(
            f"{origin}: must have at most {MOST_VALUES:,} values, but has {rows:,} rows of {columns:,} {what}. Take a "
            "sample of its rows, or leave columns out."
        )


def check_uncompressed(origin: str, head: bytes) -> None:
    """Refuse a compressed file by its first bytes: a small one may unpack to any size."""
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic) and (name != "bzip2" or head[4:10] == _BZIP2_BLOCK):
            raise DataError(f"{origin}: must not be compressed, but is a {name} file. Unpack it first.")


def check_length(origin: str, row: int, cells: Sequence[str], header: Sequence[str]) -> None:
    """Refuse a row with a cell that is too long."""
    for cell, name in zip(cells, header, strict=True):
        if len(cell) > MOST_CHARACTERS:
            raise DataError(
                f"{origin}, row {row}, column {name!r}: must have at most {MOST_CHARACTERS:,} characters, but has "
                f"{len(cell):,}. Is a quote left open?"
            )


def check_filled(origin: str, name: str, cells: Sequence[str], rows: Sequence[int], types: Types) -> None:
    """Refuse a missing target, or a missing mark."""
    for cell, row in zip(cells, rows, strict=True):
        if types.is_missing(cell.strip()) and cell.strip().lower() != "none":  # a class may well be called so
            got = f"means no value ({cell!r})" if cell.strip() else "is empty"
            raise DataError(
                f"{origin}, row {row}, column {name!r}: must not be empty, but {got}. Fill it in or leave the row out."
            )


def check_quantity(origin: str, name: str, cells: Sequence[str], rows: Sequence[int]) -> None:
    """Refuse a target that is to be a quantity and is none."""
    for cell, row in zip(cells, rows, strict=True):
        if not is_number(cell.strip()):
            raise DataError(
                f"{place(origin, row, name)}: must be a finite number to be predicted as one, but is {cell!r}. "
                'Correct it, leave the row out, or predict classes: [data] task = "classification".'
            )


def reason(error: Exception) -> str:
    """An error in a few words."""
    if isinstance(error, OSError):
        return (error.strerror or os.strerror(error.errno or 0)).lower()
    return str(error)
