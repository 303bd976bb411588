"""Numbers, tables and small curves for reading: pieces of HTML that stand alone, all text in them escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, cycle
from math import ceil, isfinite
from typing import Any

from hpsearch.numbers import digits, plural, rounded


def text(value: Any) -> str:
    """A value as text that is no markup."""
    import pandas as pd

    if value is None or (not isinstance(value, list | tuple) and pd.isna(value)):
        return ""
    return html.escape(rounded(value))


def counted(states: list[str]) -> str:
    """As ``60 trials: 44 complete, 16 pruned``."""
    words = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "unfinished"}
    parts = [f"{states.count(state)} {word}" for state, word in words.items() if state in states]
    return f"{plural(len(states), 'trial')}: {', '.join(parts)}"


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Any]], caption: str, hidden: bool = False, stacks: bool = False
) -> str:
    """A table; cells that hold numbers are aligned at the right.

    Args:
        heads: of the columns.
        rows: their cells.
        caption: what it shows.
        hidden: whether the caption is for those who cannot look only, because a heading says it too.
        stacks: whether on a narrow page each row is a paragraph, whose cells say their column's head.
    """
    cells = [[(value, isinstance(value, int | float) and not isinstance(value, bool)) for value in row] for row in rows]
    numeric = [any(row[place][1] for row in cells) for place in range(len(heads))]
    head = "".join(
        f'<th scope="col"{right_aligned(right)}>{text(name)}</th>' for name, right in zip(heads, numeric, strict=True)
    )
    # A first column of names needs no head beside each of them.
    names = [
        f' data-head="{text(name)}"' if stacks and (place or numeric[0]) else "" for place, name in enumerate(heads)
    ]
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{right_aligned(right)}{name}>{text(value)}</td>"
            for (value, right), name in zip(row, names, strict=True)
        )
        + "</tr>"
        for row in cells
    )
    name, look = text(caption), ' class="hidden"' if hidden else ""
    return (
        f"<table{' class=stacks' if stacks else ''}><caption{look}>{name}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def right_aligned(right: bool) -> str:
    """The attribute of a cell whose content stands at the right, if it does."""
    return ' class="right"' if right else ""


Point = tuple[float, float]
_LINES = ("#4c78a8", "#e45756", "#54a24b")  # on light and on dark
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 460, 190, 56, 12, 26, 34
_MOST_POINTS = 400  # of a line; a notebook is saved with what it shows


def chart(
    title: str,
    lines: Mapping[str, Sequence[Point]],
    x: str,
    *,
    dots: Sequence[Point] = (),
    mark: float | None = None,
) -> str:
    """Lines as a small SVG that stands alone; points that are no finite numbers are left out.

    Points far outside are drawn at the edge: a first loss of a thousand would hide all others.

    Args:
        title: what is shown.
        lines: points (x, y) by the names of the lines.
        x: what the horizontal axis is.
        dots: points without a line.
        mark: where a vertical line stands.

    Returns:
        Nothing where there is nothing to draw.
    """
    finite = {name: _thinned([p for p in points if isfinite(p[1])]) for name, points in lines.items()}
    loose = _thinned([p for p in dots if isfinite(p[1])])
    points = [*chain(*finite.values()), *loose]
    if not points:
        return ""
    left, right = min(p[0] for p in points), max(p[0] for p in points)
    low, high = _range(sorted(p[1] for p in points))

    def at(point: Point) -> str:
        across = (point[0] - left) / ((right - left) or 1)
        up = (min(max(point[1], low), high) - low) / ((high - low) or 1)
        place = _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)
        return f"{place[0]:.1f},{place[1]:.1f}"

    def written(where: tuple[float, float], what: object, anchor: str, colour: str = "currentColor") -> str:
        place = f'x="{where[0]}" y="{where[1]}" text-anchor="{anchor}"'
        return f'<text {place} fill="{colour}" font-size="11">{text(what)}</text>'

    floor, end = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [
        f'<path d="M{_LEFT},{_TOP}V{floor}H{end}" fill="none" stroke="currentColor" stroke-opacity="0.4"/>',
        written((_LEFT - 6, _TOP + 8), float(high), "end"),
        written((_LEFT - 6, floor), float(low), "end"),
        written((_LEFT, floor + 14), digits(left, 6), "start"),
        written((end, floor + 14), digits(right, 6), "end"),
        written(((_LEFT + end) / 2, floor + 26), x, "middle"),
    ]
    parts += [
        '<circle cx="{}" cy="{}" r="2" fill="currentColor" fill-opacity="0.5"/>'.format(*at(p).split(","))
        for p in loose
    ]
    if mark is not None and left <= mark <= right:
        place = at((mark, low)).partition(",")[0]
        parts.append(
            f'<path d="M{place},{_TOP}V{floor}" stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="3 3"/>'
        )
    place_of_name = _LEFT
    for (name, line), colour in zip(finite.items(), cycle(_LINES), strict=False):
        drawn = " ".join(map(at, line))
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(written((place_of_name, 14), name, "start", colour))
        place_of_name += 7 * len(name) + 16
    return (
        f'<figure style="margin:0.5em 0"><figcaption>{text(title)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{text(title)}" xmlns="http://www.w3.org/2000/svg" '
        f'font-family="sans-serif" style="max-width:100%">{"".join(parts)}</svg></figure>'
    )


def learning_curve(
    whose: str,
    epochs: Sequence[int],
    training: Sequence[Sequence[float]],
    validation: Sequence[Sequence[float]],
    chosen: int | None,
    root: str | None = None,
) -> str:
    """The mean losses over the splits, checkpoint by checkpoint.

    Args:
        whose: as ``trial 3``.
        epochs: of the checkpoints.
        training: of each checkpoint, one loss a split.
        validation: likewise; of what is fitted for good, nothing.
        chosen: the epoch of the chosen one.
        root: what the square root of a mean is called, where that is shown in its place.
    """
    power = 1.0 if root is None else 0.5
    lines = {
        name: [(epoch, (sum(one) / len(one)) ** power) for epoch, one in zip(epochs, losses, strict=True) if one]
        for name, losses in {"training": training, "validation": validation}.items()
    }
    where = " over the splits" if lines["validation"] else " of their training"
    lines = {name: points for name, points in lines.items() if points}
    return chart(f"Learning curve of {whose}: {root or 'mean loss'}{where}", lines, "epoch", mark=chosen)


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    step = ceil(len(points) / _MOST_POINTS) or 1
    return points[::step] if step == 1 or points[-1] in points[::step] else [*points[::step], points[-1]]


def _range(values: Sequence[float]) -> Point:
    """From the least to the greatest of sorted values, without those far from the middle one on their side."""
    least, middle, most = values[0], values[len(values) // 2], values[-1]
    high = min(most, middle + 4 * (middle - least)) if middle > least else most
    low = max(least, middle - 4 * (most - middle)) if most > middle else least
    return low, high
