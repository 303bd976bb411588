"""How numbers are written for people: one function for each purpose, for the terminal, reports, notes and notebooks."""

from __future__ import annotations

import math
from decimal import Decimal

# Beyond, nobody counts the zeros: then with an exponent.
_SMALLEST, _LARGEST = 1e-15, 1e15


def digits(value: float, most: int) -> str:
    """A number with at most so many significant digits and no exponent: 12,340,000, 0.000012."""
    if value == 0 or not math.isfinite(value) or not _SMALLEST <= abs(value) < _LARGEST:
        return f"{value:.{most}g}"
    return f"{Decimal(f'{value:.{most - 1}e}').normalize():,f}"


def readable(value: float) -> str:
    """A loss or a score: four decimals, or five digits where that would show too many or none."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 999.99995 else digits(value, 5)


def score_text(value: float) -> str:
    """An accuracy, R² or another score whose best is 1: three decimals."""
    return f"{value:.3f}"


def rounded(value: object) -> str:
    """A value in a table: a fraction with four digits, a tiny one with an exponent; anything else as it is."""
    if not isinstance(value, float):
        return str(value)
    return digits(value, 4) if abs(value) >= 1e-4 else f"{value:.4g}"


def setting_text(value: object) -> str:
    """The value of a hyperparameter: a fraction with six digits, a list with its values so."""
    if isinstance(value, list):
        return f"[{', '.join(map(setting_text, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count and what is counted: 1 trial, 0 trials, 1,200 rows.

    Args:
        count: how many.
        one: what one is called, its verb included where there is one: ``row has``.
        many: what others are called; ``one`` with an s if None.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def times(count: int) -> str:
    """How often: once, 2 times."""
    return "once" if count == 1 else plural(count, "time")
