"""How a CSV file is written: what stands between its values, its encoding, and how its numbers look."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal

from hpsearch.errors import DefinitionError, Part, Setting, quoted

Decimal = Literal[".", ","]
Thousands = Literal[".", ",", " ", "'"]
# Those of text in which a line ends with the bytes 10 or 13, and nothing else has these bytes.
Encoding = Literal[
    "utf-8", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "mac-roman", "big5", "euc-kr", "gb18030", "shift-jis"
]  # fmt: skip
SEPARATORS = (",", ";", "\t", "|")  # that are looked for
SIGNS = ("€", "$", "£", "¥", "%")  # likewise, beside numbers
_MARKS = {" ": " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}", "'": "'\N{RIGHT SINGLE QUOTATION MARK}"}
_UNIT = re.compile(r"[^\s\d+-](?:[^\d+-]{0,18}[^\s\d+-])?")


@dataclass(frozen=True)
class CsvFormat:
    """How a CSV file is written.

    Attributes:
        separator: the character between the values of a row.
        decimal: what stands before the decimals of a number.
        thousands: what stands between its groups of three digits, or nothing does; a space is any blank, an apostrophe
            also a typographic one. Groups must be whole: 1.23 is no number if this is a point.
        units: what may stand before or behind a number, and changes nothing: 12 % is 12.
        encoding: of the text, unless a byte-order mark says what it is.

    Raises:
        DefinitionError: a separator that is no character, marks that cannot be told apart, a unit that is none.
    """

    separator: str = ","
    decimal: Decimal = "."
    thousands: Thousands | None = None
    units: tuple[str, ...] = ()
    encoding: Encoding = "utf-8"

    def __post_init__(self) -> None:
        if len(self.separator) != 1 or self.separator.isalnum() or self.separator in '"\r\n\0':
            must = "must be one character, no letter, digit or quote"
            raise DefinitionError(must, f"is {quoted(self.separator)}", where=Setting("separator"))
        if self.thousands == self.decimal:
            other = "," if self.decimal == "." else "."
            do = ("Is it ", Setting("decimal", other), "?")
            raise DefinitionError(
                "must not be the decimal mark", f"is {quoted(self.thousands)} too", do, Setting("thousands")
            )
        for unit in self.units:
            if not _UNIT.fullmatch(unit):
                must = "must be signs or words without digits and without blanks around them"
                raise DefinitionError(must, f"one is {quoted(unit)}", where=Setting("units"))

    @cached_property
    def plain(self) -> bool:
        """Whether numbers are as Python writes them."""
        return self.decimal == "." and self.thousands is None and not self.units

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        unit = "|".join(map(re.escape, sorted(self.units, key=len, reverse=True))) or r"(?!)"
        whole = r"\d*"
        if self.thousands is not None:
            whole = rf"[1-9]\d{{0,2}}(?:[{_MARKS.get(self.thousands, self.thousands)}]\d{{3}})+|{whole}"
        return re.compile(
            rf"(?P<sign>[+-]?)(?:(?P<before>{unit})\s*)?(?P<inner>[+-]?)(?P<whole>{whole})"
            rf"(?:[{self.decimal}](?P<part>\d*))?(?P<power>[eE][+-]?\d+)?(?:\s*(?P<behind>{unit}))?"
        )

    def parse(self, text: str) -> tuple[str, str] | None:
        """A number as Python writes it, and its unit, empty if it has none; None if the text is no number.

        Args:
            text: without blanks around it.
        """
        found = self._pattern.fullmatch(text)
        if found is None:
            return None
        sign, before, inner, whole, part, power, behind = found.groups(default="")
        if not (whole or part) or (sign and inner) or (before and behind):
            return None
        digits = whole if whole.isdecimal() else "".join(filter(str.isdecimal, whole))
        return f"{sign or inner}{digits}{f'.{part}' if part else ''}{power}", before or behind

    def at_once(self, cells: Sequence[str]) -> Sequence[str] | None:
        """Cells that are numbers if Python takes them for numbers now; None if each must be looked at by itself."""
        if self.decimal == "." and self.thousands is None:
            return cells
        if self.thousands is None and "." not in "".join(cells):
            return [cell.replace(",", ".") for cell in cells]
        return None

    def changes(self) -> dict[str, Any]:
        """What is not as in a plain CSV file, by its key, in values that JSON has."""
        changed = {name: value for name, value in asdict(self).items() if value != _DEFAULTS[name]}
        return {name: [*value] if name == "units" else value for name, value in changed.items()}


_DEFAULTS = {field.name: field.default for field in fields(CsvFormat)}
KEYS = tuple(_DEFAULTS)
SETTABLE = (*KEYS, "rare_classes")  # keys of [data] that init takes, of those that it writes

# In what ways a number can be written: what stands before decimals, and what between thousands.
Way = tuple[Decimal, Thousands | None]
_DECIMALS: tuple[Decimal, ...] = (".", ",")
_THOUSANDS: tuple[Thousands | None, ...] = (None, ".", ",", " ", "'")
WAYS: dict[Way, CsvFormat] = {
    (decimal, mark): CsvFormat(decimal=decimal, thousands=mark, units=SIGNS)
    for decimal in _DECIMALS
    for mark in _THOUSANDS
    if mark != decimal
}


def ways_of(text: str, ways: Iterable[Way] = tuple(WAYS)) -> dict[Way, str]:
    """The ways in which a text is a number, with its unit.

    Args:
        text: without blanks around it.
        ways: among which; those without thousands come first.
    """
    found: dict[Way, str] = {}
    for decimal, mark in ways:
        if (unit := found.get((decimal, None))) is not None:  # what has no groups may be written with any
            found[decimal, mark] = unit
        elif parsed := WAYS[decimal, mark].parse(text):
            found[decimal, mark] = parsed[1]
    return found


def numbers_if(texts: Collection[str]) -> tuple[Part, ...]:
    """What must be said of a file for these texts to be numbers; nothing if they are, or cannot be."""
    ways, units = set(WAYS) if texts else set[Way](), set[str]()
    for text in texts:
        found = ways_of(text)
        ways &= found.keys()
        units |= set(found.values()) - {""}
    if (".", None) in ways and not units:
        return ()
    marked = any("." in text or "," in text for text in texts)
    said: list[Part] = []
    for decimal in _DECIMALS if marked else _DECIMALS[:1]:
        marks = [mark for mark in _THOUSANDS if (decimal, mark) in ways]
        if marks:
            changes = CsvFormat(decimal=decimal, thousands=marks[0], units=tuple(sorted(units))).changes()
            for i, (key, value) in enumerate(changes.items()):
                said += [" and " if i else " or " if said else "", Setting(key, value)]
    return tuple(said)
