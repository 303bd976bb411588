"""Numbers and tables for reading: small pieces of HTML, all text in them escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from hpsearch.numbers import plural, rounded


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
        f'<th scope="col"{_right(right)}>{text(name)}</th>' for name, right in zip(heads, numeric, strict=True)
    )
    # A first column of names needs no head beside each of them.
    names = [
        f' data-head="{text(name)}"' if stacks and (place or numeric[0]) else "" for place, name in enumerate(heads)
    ]
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{_right(right)}{name}>{text(value)}</td>" for (value, right), name in zip(row, names, strict=True)
        )
        + "</tr>"
        for row in cells
    )
    name, look = text(caption), ' class="hidden"' if hidden else ""
    return (
        f"<table{' class=stacks' if stacks else ''}><caption{look}>{name}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _right(right: bool) -> str:
    return ' class="right"' if right else ""
