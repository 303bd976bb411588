"""CSV files: read strictly, every refusal naming file, row and column."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError, did_you_mean


def read_csv(
    path: Path, text_columns: Sequence[str], required: Sequence[str], may_be_empty: Sequence[str] = ()
) -> tuple[NDArray[np.float64], list[str], dict[str, list[str]]]:
    """Read a CSV file with a header line.

    Args:
        path: the file, UTF-8 (a byte-order mark is skipped).
        text_columns: columns kept as text if they exist; all others must hold finite numbers.
        required: columns that must be there; those among the text columns must have text in every row.
        may_be_empty: those of them that need not.

    Returns:
        (values (N, D), the D names of their columns, the text columns by name).

    Raises:
        DataError: a file that cannot be read, a missing or double header, a ragged row, a value that is no finite
            number. Rows are counted as an editor counts lines.
    """
    values: list[list[float]] = []
    texts: list[list[str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            _check_header(path, header, required)
            text_places = [i for i, name in enumerate(header) if name in text_columns]
            filled = [
                number
                for number, i in enumerate(text_places)
                if header[i] in required and header[i] not in may_be_empty
            ]
            places = [i for i in range(len(header)) if i not in text_places]
            for cells in lines:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}, row {lines.line_num}: must have {len(header)} values like the header, "
                        f"but has {len(cells)}."
                    )
                try:
                    values.append([float(cells[i]) for i in places])
                except ValueError:
                    _refuse_cell(path, lines.line_num, header, cells, places)
                if not all(map(math.isfinite, values[-1])):
                    _refuse_cell(path, lines.line_num, header, cells, places)
                texts.append([cells[i] for i in text_places])
                for empty in [number for number in filled if not texts[-1][number].strip()][:1]:
                    raise DataError(
                        f"{path}, row {lines.line_num}, column {header[text_places[empty]]!r}: must not be empty. "
                        "Fill it in or leave the row out."
                    )
    except DataError:
        raise
    except (OSError, ValueError, csv.Error) as error:  # among the second: bytes that are not UTF-8, NUL in the path
        raise DataError(f"{path}: must be a readable CSV file in UTF-8, but {_reason(error)}.") from error
    if not values:
        raise DataError(f"{path}: must have rows below its header, but has none.")
    columns = {header[place]: [row[i] for row in texts] for i, place in enumerate(text_places)}
    return np.array(values, dtype=np.float64).reshape(len(values), -1), [header[i] for i in places], columns


def _check_header(path: Path, header: list[str], required: Sequence[str]) -> None:
    if not header:
        raise DataError(f"{path}: must begin with a header line, but is empty.")
    for i, name in enumerate(header):
        if not name.strip():
            raise DataError(f"{path}, row 1: every column must have a name, but column {i + 1} has none.")
        if name in header[:i]:
            raise DataError(f"{path}, row 1: column names must differ, but {name!r} stands twice.")
    for name in required:
        if name not in header:
            raise DataError(f"{path}: must have a column {name!r}, but has not. {did_you_mean(name, header)}")


def _refuse_cell(path: Path, line: int, header: list[str], cells: list[str], places: list[int]) -> None:
    for i in places:
        try:
            finite = math.isfinite(float(cells[i]))
        except ValueError:
            finite = False
        if not finite:
            got = repr(cells[i]) if cells[i].strip() else "empty"
            raise DataError(
                f"{path}, row {line}, column {header[i]!r}: must be a finite number, but is {got}. "
                "Fill it in or leave the row out."
            )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error)
