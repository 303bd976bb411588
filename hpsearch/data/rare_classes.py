"""Classes of too few rows to be learnt and validated: what becomes of their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import replace

import numpy as np

from hpsearch.data.table_file import Table
from hpsearch.errors import DataError, Setting, Text, quoted
from hpsearch.numbers import plural

OTHER = "other"  # the class that they become together

# From the labels and the rare classes among them to new labels, of which None leaves its row out.
RARE_CLASSES: dict[str, Callable[[Sequence[str], Set[str]], list[str | None]]] = {
    "drop": lambda labels, rare: [None if label in rare else label for label in labels],
    "keep": lambda labels, rare: [*labels],
    "other": lambda labels, rare: [OTHER if label in rare else label for label in labels],
}


def _check_other(labels: Sequence[str], rare: Set[str], smallest: int) -> None:
    """Refuse to make a class of them that is there already, or is rare itself."""
    count = sum(label in rare for label in labels)
    drop: Text = ("Leave their rows out: ", Setting("rare_classes", "drop"), ".")
    if rare and OTHER in labels:
        raise DataError(f"must have no class {quoted(OTHER)} where rare classes become it", "has one", drop)
    if 0 < count < smallest:
        must = f"must have at least {plural(smallest, 'row')} of rare classes where they become one"
        raise DataError(must, f"has {count}", drop)


def without_rare_classes(table: Table, target: str, how: str, smallest: int) -> Table:
    """The rows with what becomes of those of rare classes.

    Args:
        table: what was read.
        target: its column of labels.
        how: one of :data:`RARE_CLASSES`.
        smallest: classes of fewer rows are rare.
    """
    labels = [text.strip() for text in table.texts[target]]
    rare = {label for label, count in Counter(labels).items() if count < smallest}
    if how == "other":
        _check_other(labels, rare, smallest)
    changed = RARE_CLASSES[how](labels, rare)
    if changed == labels:
        return table
    rows = np.array([row for row, label in enumerate(changed) if label is not None], np.intp)
    texts = {name: [cells[row] for row in rows.tolist()] for name, cells in table.texts.items()}
    texts[target] = [label for label in changed if label is not None]
    columns = table.columns if len(rows) == len(labels) else [raw.take(rows) for raw in table.columns]
    return replace(table, columns=columns, texts=texts)
