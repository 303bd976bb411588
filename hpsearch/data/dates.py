"""Dates and times of day as days since 1970-01-01, how they are written, and what a calendar says of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

EPOCH = datetime(1970, 1, 1)
# Days from there to the ends of the calendar, in any time zone: no program writes dates beyond.
FIRST, LAST = (float((end - EPOCH) // timedelta(days=1)) for end in (datetime(1, 1, 3), datetime(9999, 12, 29)))
# Beside ISO, what can be read one way only; each with a time of day behind it or without.
_CLEAR = ("%Y/%m/%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S")
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ].+)?")
# Day and month, in whichever order, and year; one of two digits may come first.
_UNCLEAR = re.compile(
    r"\d{1,2}(?P<mark>[/.-])\d{1,2}(?P=mark)(?P<year>\d{4}|\d\d)(?P<clock> \d{1,2}:\d\d(?P<seconds>:\d\d)?)?"
)

# What a calendar says of a day, beside its number: by name, of days (N,) without nan.
PARTS = ("year", "month", "day of week", "hour")


@lru_cache(maxsize=2**16)  # dates repeat
def parse(text: str, form: str = "") -> float | None:
    """Days since 1970-01-01, with the time of day as a fraction; a time with an offset from UTC is taken in UTC.

    Args:
        text: without blanks around it.
        form: how it is written, as ``strptime`` has it; if empty, ISO or any other that can be read one way only.

    Returns:
        None if it is no date of that form.
    """
    if form:
        with suppress(ValueError, OverflowError):  # the second of an offset at either end of the calendar
            return _days(datetime.strptime(text, form))
        return None
    if _ISO.fullmatch(text):
        with suppress(ValueError, OverflowError):  # the second of an offset at either end of the calendar
            return _days(datetime.fromisoformat(text))
        return None
    if not text[:1].isalnum() or not text[-1:].isdigit():
        return None
    for date in _CLEAR:
        for clock in _CLOCKS:
            with suppress(ValueError):
                return _days(datetime.strptime(text, date + clock))
    return None


def _days(moment: datetime) -> float:
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return (moment - EPOCH) / timedelta(days=1)


def forms_of(texts: Sequence[str]) -> list[str] | None:
    """The forms that may be meant if all of these texts are dates; None if they are none.

    The empty form is that of dates that can be read one way only. There are two where no day is above 12, unless all
    days are the same either way, and up to three where the year has two digits.
    """
    if not texts:
        return None
    if all(parse(text) is not None for text in texts):
        return [""]
    found = [_UNCLEAR.fullmatch(text) for text in texts]
    first = found[0]
    if first is None:
        return None
    mark, clock = first["mark"], (first["clock"] and " %H:%M") or ""
    clock += ":%S" if first["seconds"] else ""
    orders = ("dmY", "mdY") if len(first["year"]) == 4 else ("dmy", "mdy", "ymd")
    forms = [mark.join(f"%{part}" for part in order) + clock for order in orders]
    forms = [form for form in forms if all(parse(text, form) is not None for text in texts)]
    return (forms if any(readings(text, forms) for text in texts) else forms[:1]) or None


def readings(text: str, forms: Sequence[str]) -> list[float]:
    """The days that a date may mean, in these forms, if there are several."""
    days = list(dict.fromkeys(day for form in forms if (day := parse(text, form)) is not None))
    return days if len(days) > 1 else []


def is_form(form: str) -> bool:
    """Whether ``strptime`` reads with this form what ``strftime`` writes with it, to the day."""
    if not re.search("%[Yy]", form):  # Python 3.13 warns of such a form
        return False
    day = datetime(2023, 11, 25, 13, 45, 50)
    with suppress(ValueError, re.error):  # the second of a form that has a part twice
        return datetime.strptime(day.strftime(form), form).date() == day.date()
    return False


def days_of(values: NDArray[Any]) -> NDArray[np.float64]:
    """Days since 1970-01-01, nan where missing, of NumPy's dates and times (N,)."""
    moments = values.astype("datetime64[us]")
    days = moments.astype(np.int64) / 86_400e6
    return np.where(np.isnat(moments), np.nan, days)


def calendar(days: NDArray[Any], clock: bool) -> NDArray[np.float64]:
    """What becomes of days (N,): themselves, the year, the month (1 to 12), the day of the week (0 is Monday), and with
    ``clock`` the hours since midnight, with their fractions: (N, 4 or 5), nan where missing."""
    missing = np.isnan(days)
    given = np.where(missing, 0.0, days).astype(np.float64)
    whole = np.floor(given)
    dates = whole.astype(np.int64).astype("datetime64[D]")
    months = dates.astype("datetime64[M]").astype(np.int64)
    parts = [given, 1970 + months // 12, 1 + months % 12, (whole + 3) % 7, *([24 * (given - whole)] if clock else [])]
    table = np.stack(parts, axis=1).astype(np.float64)
    table[missing] = np.nan
    return table
