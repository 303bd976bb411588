"""What the cells of a column are: told by a study file or a model, or inferred."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.columns import Kind, Raw
from hpsearch.errors import DataError

# Cells that hold no value, however they are written in small and capital letters.
MISSING = ("", "na", "n/a", "nan", "none", "null")
BOOLEANS = {"false": 0.0, "no": 0.0, "true": 1.0, "yes": 1.0}
DIGITS = {"0": 0.0, "1": 1.0}  # taken as booleans where a column is said to be one
# More inferred categories are likely names, codes or free text; each is an input of the network.
MOST_CATEGORIES = 50
# More of a column that is said to be categorical would make a network whose first layer is all of it.
MOST_SET_CATEGORIES = 1000
FEWEST_ROWS = 20  # to tell a column of names from a few categories


@dataclass(frozen=True)
class Types:
    """How cells are understood.

    Attributes:
        kinds: of columns, where it is said; those of others are inferred.
        missing: texts that mean no value beside :data:`MISSING`; a number does so however it is written.
        told: all kinds are a model's: any number of categories will do, and a column may be all missing.
    """

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    told: bool = False

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset([*MISSING, *(word.strip().lower() for word in self.missing)])

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The numbers that mean no value."""
        return tuple(float(word) for word in self.missing if is_number(word))

    def is_missing(self, text: str) -> bool:
        """Whether a cell without blanks around it means no value."""
        return text.lower() in self._words or bool(self.numbers and is_number(text) and float(text) in self.numbers)


def place(origin: str, row: int, column: str) -> str:
    """How errors name a cell."""
    return f"{origin}, row {row}, column {column!r}"


def is_number(text: str) -> bool:
    """Whether text is a finite number, as people write it: Python would take 2026_11 for one too."""
    try:
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False


class Cells:
    """The cells of one column, taken block by block.

    Both readings that are possible, as numbers and as categories, are kept until one is impossible: no text is, so that
    a column of numbers takes no more than 8 bytes a row.

    Args:
        name: the column's.
        types: how cells are understood.
        origin: how to name the source in errors.
        kind: the column's, if ``types`` does not say and it is not to be inferred.
    """

    def __init__(self, name: str, types: Types, origin: str, kind: Kind | None = None) -> None:
        self._name, self._types, self._origin = name, types, origin
        self._kind = types.kinds.get(name, kind)
        self._said = name in types.kinds
        self._numbers: list[NDArray[np.float64]] | None = [] if self._kind in (None, "numeric") else None
        self._codes: array[int] | None = None if self._kind == "numeric" else array("q")
        self._code_of: dict[str, int] = {}  # of cells as they are written
        self._categories: dict[str, int] = {}
        self._most = math.inf if types.told else MOST_SET_CATEGORIES if self._said else MOST_CATEGORIES
        self._rows = self._missing = self._others = 0
        self._first_other = (0, "")

    def add(self, cells: Sequence[str], rows: Sequence[int]) -> None:
        """Take the next cells, and the numbers of their rows for errors.

        Raises:
            DataError: a cell that is not of the kind that the column is said to be.
        """
        self._rows += len(cells)
        if self._numbers is not None:
            self._numbers.append(self._parse(cells, rows))
        if self._codes is not None:
            self._encode(cells, rows)

    def _parse(self, cells: Sequence[str], rows: Sequence[int]) -> NDArray[np.float64]:
        try:
            values = np.array([*map(float, cells)])
        except ValueError:
            pass
        else:
            if np.isfinite(values).all() and "_" not in "".join(cells):
                missing = np.isin(values, self._types.numbers)
                self._missing += int(np.count_nonzero(missing))
                values[missing] = math.nan
                return values
        return np.array([self._number(cell.strip(), row) for cell, row in zip(cells, rows, strict=True)])

    def _number(self, text: str, row: int) -> float:
        if self._types.is_missing(text):
            self._missing += 1
        elif is_number(text):
            return float(text)
        else:
            if self._kind == "numeric":
                raise DataError(
                    f"{place(self._origin, row, self._name)}: must be a finite number, but is {text!r}. "
                    "Correct it or leave the row out."
                )
            if not self._others:
                self._first_other = row, text
            self._others += 1
        return math.nan

    def _encode(self, cells: Sequence[str], rows: Sequence[int]) -> None:
        assert self._codes is not None
        for cell, row in zip(cells, rows, strict=True):
            code = self._code_of.get(cell)
            if code is None:
                code = self._code_of[cell] = self._new_code(cell.strip(), row)
                if len(self._categories) > self._most:
                    self._codes = None
                    self._code_of.clear()
                    return
            self._codes.append(code)

    def _new_code(self, text: str, row: int) -> int:
        if self._types.is_missing(text):
            return -1
        if self._kind == "boolean" and text.lower() not in {**BOOLEANS, **DIGITS}:
            raise DataError(
                f"{place(self._origin, row, self._name)}: must be true, false, yes, no, 1 or 0, but is {text!r}. "
                "Correct it or leave the row out."
            )
        return self._categories.setdefault(text, len(self._categories))

    def finish(self) -> Raw:
        """The column.

        Raises:
            DataError: no value at all; numbers and text mixed; too many categories.
        """
        kind = self._kind or self._infer()
        if kind == "numeric":
            assert self._numbers is not None
            raw = Raw(self._name, kind, np.concatenate(self._numbers))
        else:
            if self._codes is None:
                raise self._too_many(f"has more than {self._most}")
            codes = np.array(self._codes, np.intp)
            if kind == "boolean":
                values = {**BOOLEANS, **DIGITS}
                meaning = np.array([*(values[text.lower()] for text in self._categories), math.nan])
                raw = Raw(self._name, kind, meaning[codes])
            else:
                present = np.count_nonzero(codes >= 0)
                if not self._said and present >= FEWEST_ROWS and 2 * len(self._categories) > present:
                    raise self._too_many(f"has {len(self._categories)} in {present} rows")
                raw = Raw(self._name, kind, codes, tuple(self._categories))
        return some_value(raw, self._types, self._origin)

    def _infer(self) -> Kind:
        present = self._rows - self._missing
        if not self._others:  # among them those without any value
            return "numeric"
        if self._codes is not None and all(text.lower() in BOOLEANS for text in self._categories):
            return "boolean"
        if 2 * self._others <= present:
            row, text = self._first_other
            raise DataError(
                f"{place(self._origin, row, self._name)}: must be a finite number, but is {text!r}, while "
                f"{present - self._others} of {present} values of the column are numbers. Correct it, or say that it "
                f'means no value ([data] missing = ["{text}"]) or that the column is categorical ([data] categorical = '
                f'["{self._name}"]).'
            )
        return "categorical"

    def _too_many(self, got: str) -> DataError:
        name = self._name
        insist = "" if self._said else f', or insist (up to {MOST_SET_CATEGORIES}): [data] categorical = ["{name}"]'
        return DataError(
            f"{self._origin}, column {name!r}: must have few categories, at most {self._most} and each in several rows"
            f', but {got}. Leave it out: [data] drop = ["{name}"]{insist}.'
        )


def some_value(raw: Raw, types: Types, origin: str) -> Raw:
    """The column, if it has a value somewhere or ``types`` are a model's.

    Raises:
        DataError: it has none.
    """
    if not types.told and raw.missing.all():
        raise DataError(
            f"{origin}, column {raw.name!r}: must have a value in some row, but is empty in all {len(raw.values)}. "
            f'Leave it out: [data] drop = ["{raw.name}"].'
        )
    return raw
