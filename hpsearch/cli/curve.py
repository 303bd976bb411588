"""A curve drawn in characters."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.numbers import digits

# Braille patterns: each character is two dots wide and four high; the bit of each dot (Unicode 15, block 2800).
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def curve(x: Sequence[float], y: Sequence[float], width: int = 48, height: int = 6, plain: bool = False) -> list[str]:
    """Lines of text that show y over x.

    Args:
        x: ascending.
        y: one finite number each.
        width: characters of the curve, beside its labels.
        height: lines of the curve.
        plain: draw with asterisks, for terminals without Unicode.
    """
    if not y:
        return []
    low, high = min(y), max(y)
    across, down = (1, 1) if plain else (2, 4)
    columns, rows = width * across, height * down
    dots = [[False] * columns for _ in range(rows)]
    previous = None
    for column in range(columns):
        value = _at(x, y, x[0] + (x[-1] - x[0]) * column / max(1, columns - 1))
        share = (high - value) / (high - low) if high > low else 0.5
        row = round(share * (rows - 1))
        first, last = sorted((row, row if previous is None else previous + (row > previous) - (row < previous)))
        for filled in range(first, last + 1):  # steep parts stay connected
            dots[filled][column] = True
        previous = row
    labels = [digits(high, 4), *[""] * (height - 2), digits(low, 4)] if height > 1 else [digits(low, 4)]
    margin = max(map(len, labels))
    lines = []
    for line in range(height):
        cells = "".join(_cell(dots, line * down, column * across, plain) for column in range(width))
        lines.append(f"{labels[line]:>{margin}} {'|' if plain else '│'}{cells}".rstrip())
    ends = f"{x[0]:g}", f"{x[-1]:g}"
    lines.append(" " * (margin + 2) + ends[0] + ends[1].rjust(width - len(ends[0])))
    return lines


def _at(x: Sequence[float], y: Sequence[float], place: float) -> float:
    """y at a place, between its neighbours."""
    for i in range(1, len(x)):
        if place <= x[i]:
            span = x[i] - x[i - 1]
            share = 1.0 if span == 0 else (place - x[i - 1]) / span
            return y[i - 1] + (y[i] - y[i - 1]) * share
    return y[-1]


def _cell(dots: list[list[bool]], row: int, column: int, plain: bool) -> str:
    if plain:
        return "*" if dots[row][column] else " "
    bits = sum(_BITS[i][j] for i in range(4) for j in range(2) if dots[row + i][column + j])
    return chr(0x2800 + bits) if bits else " "


def fits(encoding: str | None) -> bool:
    """Whether a stream of this encoding can show the dots."""
    try:
        "│⠿".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
