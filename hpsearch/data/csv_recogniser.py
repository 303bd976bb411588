"""How a CSV file is written, found out from its first rows; what cannot be told from them is refused.

A separator is one with which every row has as many values as the header. Numbers are read in every way that there is:
with decimal points or commas, and with groups of three digits or without. What all of a column's numbers can be, it may
be; a file is written in one way, so one column may tell what another is. A plain file stays one: where every value is
what Python takes it for, nothing is recognised.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from hpsearch.data.cells import OF_PROGRAMS, Types
from hpsearch.data.columns import column_error
from hpsearch.data.csv_file import UTF16_MARKS, column_names, opened, rows_of, separated
from hpsearch.data.csv_format import SEPARATORS, SIGNS, WAYS, CsvFormat, Decimal, Encoding, Thousands, Way, ways_of
from hpsearch.data.table_file import MOST_BYTES
from hpsearch.errors import DataError, Setting, located, quoted

LOOKED_AT = 20_000  # rows; what comes later must be written as they are
MOST_CELLS = 2**20  # of them, which are held in memory
SEPARATED = 100  # rows, by which a separator is told

_PLAIN: Way = (".", None)
# A plain number with a point: read with decimal points in any way, and in one more if the point may end a group.
_POINTED = re.compile(r"[+-]?(?:(?P<grouped>[1-9]\d{0,2}\.\d{3})|\d+\.\d+)(?:[eE][+-]?\d+)?")
_GROUPED: Way = (",", ".")


def recognise(path: Path, target: str | None, given: Mapping[str, Any]) -> CsvFormat:
    """How a CSV file is written.

    Args:
        path: the file.
        target: a column that it must have; None if that is not known.
        given: what is said of it, by the attributes of :class:`hpsearch.data.csv_format.CsvFormat`.

    Raises:
        DataError: a file that cannot be read; one that can be read in two ways.
    """
    found = CsvFormat(**given)
    if "encoding" not in given:
        found = replace(found, encoding=_encoding(path))
    if "separator" not in given:
        found = replace(found, separator=_separator(path, target, found))
    with opened(path) as file:
        rows = rows_of(file, found)
        with separated(file, Types(csv=found)):
            _, first = next(rows, (0, []))
        names = column_names(first)
        most = min(LOOKED_AT, max(SEPARATED, MOST_CELLS // max(len(names), 1)))
        looked_at = islice((cells[: len(names)] for _, cells in rows if len(cells) >= len(names)), most)
        columns = dict(zip(names, map(Counter, zip(*looked_at, strict=False)), strict=False))
    with located(str(path)):
        return numbers_of(columns, found, given)


def _encoding(path: Path) -> Encoding:
    """UTF-8, or what spreadsheets in Western Europe save, if accents are as rare in the text as they are there."""
    if _is_text(path, "utf-8"):
        return "utf-8"
    if _is_text(path, "cp1252", re.compile(r"[^\0-\x7f]{4}")):
        return "cp1252"
    do = ("Save it as UTF-8, or say how it is saved: ", Setting("encoding", "cp1251"), ", or another.")
    must = "must be text in UTF-8, or as spreadsheets in Western Europe save it (CP1252)"
    raise DataError(must, "is neither", do, where=str(path))


def _is_text(path: Path, encoding: str, foreign: re.Pattern[str] | None = None) -> bool:
    """Whether a file is text in this encoding, without anything that is foreign to it; or is so by its mark."""
    decoder, total = codecs.getincrementaldecoder(encoding)(), 0
    with opened(path) as file:
        if file.peek(2)[:2] in UTF16_MARKS:
            return True
        try:
            while (chunk := file.read(2**16)) and total <= MOST_BYTES:  # one that is longer is refused when it is read
                total += len(chunk)
                text = decoder.decode(chunk)
                if foreign is not None and not text.isascii() and foreign.search(text):
                    return False
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _separator(path: Path, target: str | None, as_said: CsvFormat) -> str:
    """The separator with which the first rows have as many values as the header, and the header has the target."""
    fitting, likely = [], []
    for separator in SEPARATORS:
        with opened(path) as file:
            try:
                rows = [cells for _, cells in islice(rows_of(file, replace(as_said, separator=separator)), SEPARATED)]
            except DataError:
                continue
        names = column_names(rows[0]) if rows and rows[0] else []
        filled = [cells for cells in rows[1:] if any(map(str.strip, cells))]
        even = all(len(cells) >= len(names) and not any(cells[len(names) :]) for cells in filled)
        if len(names) > 1 and (target is None or target in names):
            likely.append(separator)
            fitting += [separator] if even else []
    fitting = fitting or likely[:1]  # its reader says which row is not as the header
    if not fitting and target is not None:
        _require_first(path, target, as_said)
    if len(fitting) > 1 and "," not in fitting:
        must = "must have one separator with which every row has as many values as the header"
        got = f"has {len(fitting)}: {' and '.join(map(quoted, fitting))}"
        raise DataError(must, got, ("Say which: ", Setting("separator", fitting[0]), "."), where=str(path))
    return "," if "," in fitting or not fitting else fitting[0]


def _require_first(path: Path, target: str, as_said: CsvFormat) -> None:
    """Refuse a file that begins with a title, above its header.

    Raises:
        DataError: the first row has one cell with text at most, and a later one has the target among others.
    """
    for separator in SEPARATORS:
        rows: list[tuple[int, list[str]]] = []
        with opened(path) as file, suppress(DataError):
            rows.extend(islice(rows_of(file, replace(as_said, separator=separator)), SEPARATED))
        row = next((row for row, cells in rows if len(cells) > 1 and target in cells), None)
        if row is not None and len([*filter(str.strip, rows[0][1])]) <= 1:
            must, got = "must begin with the line of its columns' names", f"{quoted(target)} stands in row {row}"
            raise DataError(must, got, "Remove the lines above it.", where=str(path))


@dataclass(frozen=True)
class _Numbers:
    """A column of numbers.

    Attributes:
        name: the column's.
        ways: in which all of them can be read.
        units: that stand beside them.
        marked: the first with a point or comma, which one way may take for decimals and another for thousands.
    """

    name: str
    ways: frozenset[Way]
    units: frozenset[str]
    marked: str | None

    @property
    def decimals(self) -> frozenset[Decimal]:
        return frozenset(decimal for decimal, _ in self.ways)

    def thousands(self, decimal: Decimal) -> set[Thousands | None]:
        """What may stand between groups of digits, if this stands before decimals."""
        return {mark for one, mark in self.ways if one == decimal}

    @classmethod
    def of(cls, name: str, counts: Mapping[str, int], allowed: Sequence[Way], types: Types) -> _Numbers | None:
        """From the column's cells and how often each occurs; None if too few of them are numbers of one way."""
        points = {way: "" for way in allowed if way[0] == "."}
        either = {way: "" for way in allowed if way in points or way == _GROUPED}
        ways, units, marked, numbers, others = set(allowed), set[str](), None, 0, 0
        for cell, count in counts.items():
            text = cell.strip()
            pointed = _POINTED.fullmatch(text)
            if pointed is None and types.is_missing(text):
                continue
            read = {}
            if pointed is not None:  # so are most numbers, and each way takes long
                read = either if pointed["grouped"] else points
            elif not text.isdecimal():
                read = ways_of(text, allowed)
            if not read and not text.isdecimal():
                others += count
                continue
            numbers += count
            ways &= read.keys() or set(allowed)
            units |= set(read.values()) - {""}
            if marked is None and ("." in text or "," in text):
                marked = text
        if not numbers or numbers < others or not ways:
            return None
        return cls(name, frozenset(ways), frozenset(units), marked)


def numbers_of(columns: Mapping[str, Mapping[str, int]], as_said: CsvFormat, given: Iterable[str] = ()) -> CsvFormat:
    """How the numbers of columns are written.

    Args:
        columns: their cells, and how often each occurs.
        as_said: how the file is written, as far as that is said or known.
        given: what of it is said.

    Raises:
        DataError: numbers that may be read in two ways; columns that are written in different ways.
    """
    given = set(given)
    allowed = tuple(
        (decimal, mark)
        for decimal, mark in WAYS
        if ("decimal" not in given or decimal == as_said.decimal)
        and ("thousands" not in given or (mark in (None, as_said.thousands) and decimal != as_said.thousands))
    )
    types = Types(missing=OF_PROGRAMS)
    read = (_Numbers.of(name, counts, allowed, types) for name, counts in columns.items())
    found = [numbers for numbers in read if numbers is not None]
    decimal = _decimal([numbers for numbers in found if numbers.marked is not None], as_said.separator)
    thousands = _thousands(found, decimal)
    if "thousands" in given:
        thousands = as_said.thousands
    one_way = [numbers for numbers in found if numbers.thousands(decimal) & {None, thousands}]
    signs = {unit for numbers in one_way for unit in numbers.units}
    units = as_said.units if "units" in given else tuple(sign for sign in SIGNS if sign in signs)
    return replace(as_said, decimal=decimal, thousands=thousands, units=units)


def _decimal(found: list[_Numbers], separator: str) -> Decimal:
    """What stands before decimals, of columns with points or commas in them."""
    unclear = [numbers for numbers in found if len(numbers.decimals) > 1]
    sure = {next(iter(numbers.decimals)): numbers for numbers in reversed(found) if len(numbers.decimals) == 1}
    if len(sure) == 2:
        if separator == ",":
            return "."  # such files were always read, and what is no number is text
        point, comma = sure["."], sure[","]
        do = ("Say what stands before decimals: ", Setting("decimal", ","), " or ", Setting("decimal", "."), ".")
        must = f"must be written as column {quoted(point.name)} is, which has {quoted(point.marked)}"
        raise column_error(comma.name, must, f"has {quoted(comma.marked)}", do)
    if "." in sure:
        return "."
    # Between commas, what can be a plain number always was one.
    as_ever = [numbers for numbers in unclear if _PLAIN in numbers.ways and separator == ","]
    if "," in sure and not as_ever:
        return ","
    refused = as_ever if "," in sure else [numbers for numbers in unclear if numbers not in as_ever]
    if refused:
        raise _either(refused[0])
    return "."


def _either(numbers: _Numbers) -> DataError:
    """The refusal of numbers that have decimals in one way and thousands in another."""
    mark = "," if "," in (numbers.marked or "") else "."
    do = ("Say what stands before decimals: ", Setting("decimal", ","), " or ", Setting("decimal", "."), ".")
    got = f"every value can be either, as {quoted(numbers.marked)}"
    must = f"must show whether {quoted(mark)} stands before decimals or between thousands"
    return column_error(numbers.name, must, got, do)


def _thousands(found: list[_Numbers], decimal: Decimal) -> Thousands | None:
    """What stands between groups of digits, if a column cannot be read without."""
    needed: dict[Thousands, _Numbers] = {}
    for numbers in found:
        marks = numbers.thousands(decimal)
        for mark in () if None in marks else marks:
            if mark is not None:
                needed.setdefault(mark, numbers)
    if len(needed) > 1:
        (mark, one), (other, another), *_ = needed.items()
        must = f"must have the same between thousands as column {quoted(one.name)}, which has {quoted(mark)}"
        do = ("Say what it is: ", Setting("thousands", mark), " or ", Setting("thousands", other), ".")
        raise column_error(another.name, must, f"has {quoted(other)}", do)
    return next(iter(needed), None)
