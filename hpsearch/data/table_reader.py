"""The one way to read a file of rows, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hpsearch.data.csv_file import read_csv
from hpsearch.data.parquet_file import read_parquet
from hpsearch.data.table_file import Table, Wanted

READERS: dict[str, Callable[[Path, Wanted], Table]] = {"csv": read_csv, "parquet": read_parquet}


def format_of(path: Path) -> str:
    """The format that a file has by its ending; a CSV file may be called anything."""
    ending = path.suffix.lower().removeprefix(".")
    return ending if ending in READERS else "csv"


def read_table(path: Path, wanted: Wanted, format: str | None = None) -> Table:
    """Read a file of rows.

    Args:
        path: the file.
        wanted: what to read.
        format: one of :data:`READERS`; by the file's ending if None.

    Raises:
        DataError: a file or columns that are not as they must be.
    """
    return READERS[format or format_of(path)](path, wanted)
