"""A curve in characters goes where its numbers go."""

from __future__ import annotations

import pytest

from hpsearch.cli.curve import curve, fits


def dots(lines: list[str]) -> list[int]:
    """The line, from the top, of the topmost star in each column."""
    cells = [line.partition("|")[2] for line in lines[:-1]]
    width = max(map(len, cells))
    rows = [[line.ljust(width)[column] for line in cells] for column in range(width)]
    return [row.index("*") for row in rows]


def test_a_falling_line_falls_evenly_from_the_first_line_to_the_last() -> None:
    tops = dots(curve([0, 10], [1.0, 0.0], width=21, height=5, plain=True))
    assert tops[0] == 0
    assert tops[-1] == 4
    assert tops == sorted(tops)
    assert tops[10] == 2


def test_the_ends_of_both_axes_are_written() -> None:
    *lines, below = curve([50, 100, 1000], [0.84, 0.6, 0.499], width=30, height=4)
    assert len(lines) == 4
    assert lines[0].startswith(" 0.84 │")
    assert lines[-1].startswith("0.499 │")
    assert below.split() == ["50", "1000"]
    assert {len(line) for line in [*lines, below]} <= set(range(8, 38))


@pytest.mark.parametrize("y", [[1.0], [2.0, 2.0, 2.0], [1e-9, 1e9], [3.0, -3.0]])
@pytest.mark.parametrize("plain", [True, False])
def test_any_finite_numbers_can_be_drawn(y: list[float], plain: bool) -> None:
    lines = curve(range(1, len(y) + 1), y, width=10, height=3, plain=plain)
    assert len(lines) == 4
    drawn = "".join(line.partition("|" if plain else "│")[2] for line in lines)
    assert drawn.strip()
    assert fits("ascii") is False
    assert "".join(lines).isascii() == plain


def test_nothing_gives_nothing() -> None:
    assert curve([], []) == []


@pytest.mark.parametrize(("encoding", "can"), [("utf-8", True), ("latin-1", False), (None, False), ("no-such", False)])
def test_dots_need_an_encoding_that_has_them(encoding: str | None, can: bool) -> None:
    assert fits(encoding) is can
