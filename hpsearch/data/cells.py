"""What the cells of a column are: told by a study file or a model, or inferred."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hpsearch.data import dates
from hpsearch.data.columns import Kind, Plan, Raw, column_error
from hpsearch.data.csv_format import CsvFormat, numbers_if
from hpsearch.errors import DataError, Setting, Text, listed, quoted
from hpsearch.numbers import plural

# Cells that hold no value, however they are written in small and capital letters.
MISSING = ("", "na", "n/a", "nan", "none", "null")
# What programs write for no value, and nobody for anything else: MySQL, spreadsheets in English and German, pandas.
# They mean none if that is said: such categories always were ones.
OF_PROGRAMS = ("\\N", "#N/A", "#NV", "<NA>")
BOOLEANS = {"false": 0.0, "no": 0.0, "true": 1.0, "yes": 1.0}
DIGITS = {"0": 0.0, "1": 1.0}  # taken as booleans where a column is said to be one
# More inferred categories are likely names, codes or free text; each is an input of the network.
MOST_CATEGORIES = 50
# More of a column that is said to be categorical would make a network whose first layer is all of it.
MOST_SET_CATEGORIES = 1000
# More of a column that is encoded would make a table as large as many rows.
MOST_ENCODED_CATEGORIES = 50_000
# More of them are not kept while it is found out what columns are.
MOST_SURVEYED_CATEGORIES = 200_000
FEWEST_ROWS = 20  # to tell a column of names from a few categories
MOST_ODD = 3  # different values among numbers that are none and may all mean no value


@dataclass(frozen=True)
class Types:
    """How cells are understood.

    Attributes:
        kinds: of columns, where it is said; those of others are inferred.
        missing: texts that mean no value beside :data:`MISSING`; a number does so however it is written.
        orders: of ordered columns, their categories in order.
        encoded: categorical columns that may have many categories.
        forms: of dates in text, how they are written where that is said; see :func:`hpsearch.data.dates.parse`.
        told: all kinds are a model's: any number of categories will do, and a column may be all missing.
        surveyed: it is yet to be found out what columns are good for: many categories are no reason to refuse one.
        csv: how cells are written.
    """

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    told: bool = False
    surveyed: bool = False
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    forms: Mapping[str, str] = field(default_factory=dict)
    encoded: Collection[str] = ()
    csv: CsvFormat = field(default_factory=CsvFormat)

    @classmethod
    def of(cls, plan: Plan, csv: CsvFormat | None = None) -> Types:
        """Those of a model; ``csv`` is how its cells are written, if they are cells."""
        orders = {column.name: column.categories for column in plan.columns if column.kind == "ordered"}
        forms = {column.name: column.form for column in plan.columns if column.form}
        kinds = {column.name: column.kind for column in plan.columns}
        return cls(kinds, plan.missing, told=True, orders=orders, forms=forms, csv=csv or CsvFormat())

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset([*MISSING, *(word.strip().lower() for word in self.missing)])

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The numbers that mean no value."""
        return tuple(float(found[0]) for word in self.missing if (found := self.parse(word.strip())))

    def no_categories(self, texts: Sequence[str]) -> list[str]:
        """Those of some texts that no cell could have as its category."""
        return [text for text in texts if text != text.strip() or self.is_missing(text)]

    def is_missing(self, text: str) -> bool:
        """Whether a cell without blanks around it means no value."""
        if text.lower() in self._words:
            return True
        return bool(self.numbers and (found := self.parse(text)) and float(found[0]) in self.numbers)

    def is_empty(self, text: str, number: bool = False) -> bool:
        """Whether a cell without blanks around it, of a column that must hold text, or a number, holds none: a class
        may be None."""
        return self.is_missing(text) and (number or text.lower() != "none")

    def parse(self, text: str) -> tuple[str, str] | None:
        """A finite number as Python writes it, and its unit; None if a cell without blanks around it is none."""
        if self.csv.plain:
            return (text, "") if is_number(text) else None
        found = self.csv.parse(text)
        return found if found and is_number(found[0]) else None

    def plain(self, cell: str) -> str:
        """A cell with its number, if it is one, as Python writes it."""
        return cell if self.csv.plain or not (found := self.parse(cell.strip())) else found[0]


def is_number(text: str) -> bool:
    """Whether text is a finite number, as people write it: Python would take 2026_11 for one too."""
    try:
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False


NUMBER, CORRECT = "must be a finite number", "Correct it or leave the row out."
# Squares of larger ones, and sums of them, would be infinite.
LARGEST = 1e100


def too_large(name: str, value: object, row: int) -> DataError:
    """Of a number of a column that no mean and deviation can be taken of."""
    return column_error(name, f"must be a number between {-LARGEST:g} and {LARGEST:g}", f"is {value!s}", CORRECT, row)


def require_moderate(values: NDArray[np.floating], what: str) -> None:
    """Refuse an array of numbers, missing ones among them or not, of which no mean and deviation can be taken.

    Args:
        values: of any shape.
        what: they are.

    Raises:
        DataError: one is too large.
    """
    # But for nan; and float32 cannot be compared with our bound.
    largest = float(max(np.fmax.reduce(values, axis=None), -np.fmin.reduce(values, axis=None)))
    if largest > LARGEST:
        raise DataError(f"{what} must be between {-LARGEST:g} and {LARGEST:g}", f"one is {largest:g} from 0", CORRECT)


class _Units:
    """The units of a column's numbers, which must all have the same or none: numbers of several are not comparable."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[int, str]] = {}  # of each unit, its first row and cell

    def add(self, unit: str, row: int, cell: str) -> None:
        """Take that of a number."""
        if unit not in self._first:
            self._first[unit] = row, cell

    def check(self, name: str) -> None:
        """Refuse numbers of several.

        Raises:
            DataError: with the first of another.
        """
        if len(self._first) > 1:
            (_, (first, known)), (_, (row, cell)), *_ = self._first.items()
            got = f"is {quoted(cell)}, and {quoted(known)} in row {first}"
            raise column_error(name, "must have the same unit in every row, or none", got, CORRECT, row)


class Cells:
    """The cells of a column that becomes features, taken block by block.

    Both readings that are possible, as numbers and as categories, are kept until one is impossible: no text is, so that
    a column of numbers takes no more than 8 bytes a row.

    Args:
        name: the column's.
        types: how cells are understood.
        kind: the column's, if ``types`` does not say and it is not to be inferred.
    """

    def __init__(self, name: str, types: Types, kind: Kind | None = None) -> None:
        self._name, self._types = name, types
        self._kind = types.kinds.get(name, kind)
        self._said = name in types.kinds
        self._numbers: list[NDArray[np.float64]] | None = [] if self._kind in (None, "numeric") else None
        self._days: list[NDArray[np.float64]] = []
        self._codes: array[int] | None = None if self._kind in ("date", "numeric") else array("q")
        self._order = types.orders.get(name, ())
        self._form = types.forms.get(name, "")
        self._code_of: dict[str, int] = {}  # of cells as they are written
        self._categories: dict[str, int] = {}
        self._most = math.inf if types.told else MOST_SET_CATEGORIES if self._said else MOST_CATEGORIES
        if types.surveyed:
            self._most = MOST_SURVEYED_CATEGORIES
        elif name in types.encoded:
            self._most = MOST_ENCODED_CATEGORIES
        self._rows = self._missing = self._others = 0
        self._odd: dict[str, int] = {}  # texts among numbers, a few of them, with their first rows
        self._units = _Units()
        self._too_large: DataError | None = None  # of the first such number, if they are numbers

    def add(self, cells: Sequence[str], rows: Sequence[int]) -> None:
        """Take the next cells, and the numbers of their rows for errors.

        Raises:
            DataError: a cell that is not of the kind that the column is said to be.
        """
        self._rows += len(cells)
        if self._numbers is not None:
            numbers = self._parse(cells, rows)
            self._numbers.append(numbers)
            if self._too_large is None and np.abs(numbers).max(initial=0, where=~np.isnan(numbers)) > LARGEST:
                place = int((np.abs(numbers) > LARGEST).argmax())
                self._too_large = too_large(self._name, numbers[place], rows[place])
        if self._kind == "date":
            self._days.append(np.array([self._day(cell.strip(), row) for cell, row in zip(cells, rows, strict=True)]))
        if self._codes is not None:
            self._encode(cells, rows)

    def _day(self, text: str, row: int) -> float:
        if self._types.is_missing(text):
            return math.nan
        day = dates.parse(text, self._form)
        if day is None:
            raise self._no_date(text, row)
        return day

    def _no_date(self, text: str, row: int) -> DataError:
        if self._form:
            must, do = f"must be a date of the form {self._form}", CORRECT
            return column_error(self._name, must, f"is {quoted(text)}", do, row)
        must = "must be a date that can be read one way only, like 2026-03-31, 2026-03-31T09:30 or 31 Mar 2026"
        forms = dates.forms_of([text])
        if not forms:
            return column_error(self._name, must, f"is {quoted(text)}", CORRECT, row)
        settings = [part for form in forms for part in (" or ", Setting("date_format", {self._name: form}))][1:]
        return column_error(self._name, must, f"is {quoted(text)}", ("Say which is meant: ", *settings, "."), row)

    def _parse(self, cells: Sequence[str], rows: Sequence[int]) -> NDArray[np.float64]:
        try:
            plain = self._types.csv.at_once(cells)
            values = np.array([*map(float, plain)]) if plain is not None else None
        except ValueError:
            values = None
        if values is not None and np.isfinite(values).all() and "_" not in "".join(cells):
            missing = np.isin(values, self._types.numbers)
            self._missing += int(np.count_nonzero(missing))
            values[missing] = math.nan
            if self._types.csv.units and not missing.all():
                first = int(missing.argmin())
                self._units.add("", rows[first], cells[first])
            return values
        return np.array([self._number(cell.strip(), row) for cell, row in zip(cells, rows, strict=True)])

    def _number(self, text: str, row: int) -> float:
        if self._types.is_missing(text):
            self._missing += 1
        elif found := self._types.parse(text):
            self._units.add(found[1], row, text)
            return float(found[0])
        else:
            if self._kind == "numeric":
                raise column_error(self._name, NUMBER, f"is {quoted(text)}", CORRECT, row)
            if len(self._odd) <= MOST_ODD:
                self._odd.setdefault(text, row)
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
            raise column_error(self._name, "must be true, false, yes, no, 1 or 0", f"is {quoted(text)}", CORRECT, row)
        if self._order and text not in self._order:
            must = f"must be one of {listed([*map(quoted, self._order)], 20)}"
            means = "Correct it, put it in its place in ", Setting("order"), ", or say that it means no value: "
            raise column_error(self._name, must, f"is {quoted(text)}", (*means, Setting("missing", [text]), "."), row)
        return self._categories.setdefault(text, len(self._categories))

    def finish(self) -> Raw:
        """The column.

        Raises:
            DataError: no value at all; numbers and text mixed; too many categories.
        """
        kind = self._kind or self._infer()
        if kind == "numeric":
            assert self._numbers is not None
            self._units.check(self._name)
            if self._too_large is not None:
                raise self._too_large
            raw = Raw(self._name, kind, np.concatenate(self._numbers))
            self._numbers.clear()  # the column holds them now, and other columns are to come
        elif kind == "date":
            raw = Raw(self._name, kind, np.concatenate(self._days), form=self._form)
            self._days.clear()
        else:
            if self._codes is None:
                raise self._too_many(f"has more than {self._most}")
            codes = np.array(self._codes, np.intp)
            if kind == "boolean":
                values = {**BOOLEANS, **DIGITS}
                meaning = np.array([*(values[text.lower()] for text in self._categories), math.nan])
                raw = Raw(self._name, kind, meaning[codes])
            elif kind == "ordered":
                positions = np.array([*map(self._order.index, self._categories), math.nan])
                raw = Raw(self._name, kind, positions[codes], self._order)
            else:
                present = np.count_nonzero(codes >= 0)
                inferred = not self._said and not self._types.surveyed
                if inferred and present >= FEWEST_ROWS and 2 * len(self._categories) > present:
                    raise self._too_many(f"has {len(self._categories)} in {plural(int(present), 'row')}")
                raw = Raw(self._name, kind, codes, tuple(self._categories))
        return some_value(raw, self._types)

    def _infer(self) -> Kind:
        present = self._rows - self._missing
        if not self._others:  # among them those without any value
            return "numeric"
        if self._codes is not None and all(text.lower() in BOOLEANS for text in self._categories):
            return "boolean"
        if 2 * self._others <= present:
            raise self._mixed(present)
        return "categorical"

    def _mixed(self, present: int) -> DataError:
        """Of a few values among numbers that are none."""
        (text, row), *others = self._odd.items()
        and_others = (
            f" (and elsewhere {listed([quoted(other) for other, _ in others], MOST_ODD - 1)})" if others else ""
        )
        numbers = f"{present - self._others} of {present} values of the column are numbers"
        got = f"is {quoted(text)}{and_others}, while {numbers}"
        written = numbers_if([*self._odd])
        how = ((") or how numbers are written (", *written),) if written else ()
        categorical = ("say that the column is categorical (", Setting("categorical", [self._name]), *how, ").")
        if len(self._odd) > MOST_ODD:
            return column_error(self._name, NUMBER, got, ("Correct them, or ", *categorical), row)
        missing = Setting("missing", [*self._odd])
        means = f"Correct {'them' if others else 'it'}, or say what means no value (", missing, "), or "
        return column_error(self._name, NUMBER, got, (*means, *categorical), row)

    def _too_many(self, got: str) -> DataError:
        leave_out = ("Leave it out", (": ", Setting("drop", [self._name])))
        if not self._said and dates.forms_of([*self._categories]):
            drop = (": ", Setting("drop", [self._name]))
            say = "Say so: ", Setting("date", [self._name]), ", or leave it out", drop, "."
            return column_error(self._name, "must be said to hold dates", "is not", say)
        insist = (
            *(", encode them: ", Setting("encode", {self._name: "target"})),
            *(f", or insist (up to {MOST_SET_CATEGORIES}): ", Setting("categorical", [self._name])),
        )
        must = f"must have few categories, at most {self._most} and each in several rows"
        written = numbers_if(self._categories)
        numbers = ((" If they are numbers, say how they are written: ", *written, "."),) if written else ()
        return column_error(self._name, must, got, (*leave_out, *(() if self._said else insist), ".", *numbers))


def some_value(raw: Raw, types: Types) -> Raw:
    """The column, if it has a value somewhere or ``types`` are a model's.

    Raises:
        DataError: it has none.
    """
    if not types.told and raw.missing.all():
        do = ("Leave it out", (": ", Setting("drop", [raw.name])), ".")
        raise column_error(raw.name, "must have a value in some row", f"is empty in all {len(raw.values)}", do)
    return raw


class Filled:
    """The cells of a column that must hold text in every row, taken block by block: a target, or row metadata.

    Those that are numbers are given as Python writes them, however the file does.

    Args:
        name: the column's.
        types: how cells are understood.
        numbers: whether each must be a number, to be predicted as one.
        checked: whether each must be text; else all is taken as it is.
        target: whether it is the target, without which a row may be left out.
    """

    def __init__(
        self, name: str, types: Types, numbers: bool = False, checked: bool = True, target: bool = False
    ) -> None:
        self._name, self._types, self._numbers, self._checked = name, types, numbers, checked
        self._cells: list[str] = []
        self._target = target
        self._known: dict[str, str] = {}  # of cells that were met, what is kept: texts that repeat are held once
        self._units = _Units()

    def add(self, cells: Sequence[str], rows: Sequence[int]) -> None:
        """Take the next cells, and the numbers of their rows for errors.

        Raises:
            DataError: a cell that is empty, or no number though it must be.
        """
        known = self._known
        for cell, row in zip(cells, rows, strict=True):
            if cell not in known:
                known[cell] = self._new(cell, row) if self._checked else cell
        self._cells += [known[cell] for cell in cells]

    def _new(self, cell: str, row: int) -> str:
        """A cell that was not met before, checked, with its number, if it is one, as Python writes it."""
        text = cell.strip()
        if self._types.is_empty(text):
            got = f"means no value ({quoted(cell)})" if text else "is empty"
            do: Text = "Fill it in or leave the row out."
            if self._target:
                do = ("Fill it in, or leave all such rows out: ", Setting("drop_missing_target", True), ".")
            raise column_error(self._name, "must not be empty", got, do, row)
        if self._numbers and (found := self._types.parse(text)):
            self._units.add(found[1], row, text)
            if abs(float(found[0])) > LARGEST:
                raise too_large(self._name, float(found[0]), row)
        elif self._numbers:
            classify = Setting("task", "classification")
            do = ("Correct it, leave the row out, or predict classes: ", classify, ".")
            raise column_error(self._name, f"{NUMBER} to be predicted as one", f"is {quoted(cell)}", do, row)
        return self._types.plain(cell)

    def finish(self) -> list[str]:
        """All cells.

        Raises:
            DataError: numbers of several units, if they must be numbers.
        """
        self._units.check(self._name)
        return self._cells
