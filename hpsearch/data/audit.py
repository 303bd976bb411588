"""The leakage audit: what lets a validation row be known before it is predicted, found in the rows themselves.

Each check looks at the rows, the hold-out and the splits, trains no network, and yields findings: what, where, why it
matters and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import IntArray
from hpsearch.data.csv_format import numbers_if
from hpsearch.data.dataset import Dataset
from hpsearch.data.matrix import MOST_IN_MEMORY
from hpsearch.data.single_columns import columns_that_may_tell, leaves_for, single_precision
from hpsearch.data.splits import SPLITTERS, Split
from hpsearch.data.units import (
    MANY,
    Keys,
    keys_by_chance,
    labelled_keys,
    most_by_chance,
    numbered,
    numbers_of_unlike_targets,
)
from hpsearch.errors import DataError, Setting, Text, Wording, as_argument, listed, quoted, worded
from hpsearch.numbers import plural

# Rows that agree in all but the target are no leak while they are this few: points on a grid may meet by chance.
FEW = 0.02
# A feature that alone is right this often, on rows that it was not looked at with, is likely the target in disguise.
NEARLY_PERFECT = 0.99
SAMPLED_ROWS = 5000  # of the check of single features
MOST_TRIED = 500  # columns of that check: each takes a tree for every split
FEWEST_AUDITED = 20  # to tell an identifier from a coincidence


@dataclass(frozen=True)
class Finding:
    """One thing that the audit found.

    Attributes:
        name: of the check.
        level: ``error`` stops a run, unless it is allowed by name; ``warning`` does not; a ``note`` asks for nothing.
        what: what was found and where, with rows (from 0) or columns.
        why: why it matters.
        do: what to do, which may name settings.
    """

    name: str
    level: Literal["error", "warning", "note"]
    what: str
    why: str
    do: Text

    def worded(self, wording: Wording) -> Finding:
        """The same finding, of a caller that knows how its user writes settings."""
        return replace(self, do=worded(self.do, wording))

    def __str__(self) -> str:
        return f"{self.what} {self.why} {worded(self.do, as_argument)}"


@dataclass(frozen=True)
class Audited:
    """What is looked at."""

    data: Dataset
    held_out: Dataset | None
    splits: Sequence[Split]
    splitter: str

    @cached_property
    def sampled(self) -> list[tuple[IntArray, IntArray]]:
        """Training and validation rows of the splits of one repeat, of large ones the first."""
        once = (split for split in self.splits if split.repeat == 0)
        return [(split.training[:SAMPLED_ROWS], split.validation[:SAMPLED_ROWS]) for split in once]

    @cached_property
    def likely(self) -> list[str]:
        """The columns that may tell the classes apart alone, the likeliest first."""
        return columns_that_may_tell(self.data, [validation for _, validation in self.sampled], NEARLY_PERFECT)


def _duplicates(audited: Audited) -> Iterator[Finding]:
    """Rows of a validation part that stand in its training rows too."""
    data, splits = audited.data, audited.splits
    exact, count = _repeated(splits, numbered(labelled_keys(data)))
    what = (
        f"{len(exact)} of {count} validation rows ({len(exact) / count:.1%}) occur again exactly among the training "
        f"rows of their split: rows {listed(exact)}."
    )

    def by_chance() -> Iterator[int]:
        return (len(_repeated(splits, numbered(keys))[0]) for keys in keys_by_chance(data))

    yield from _of_duplicates("duplicates", what, len(exact), count, by_chance)
    alike, count = _repeated(splits, numbers_of_unlike_targets(data))
    if len(alike) / count > FEW:
        yield Finding(
            "duplicates",
            "warning",
            f"{len(alike)} of {count} validation rows ({len(alike) / count:.1%}) occur again in all but the target "
            f"among the training rows of their split: rows {listed(alike)}.",
            _REMEMBERED,
            ("If such rows belong together, give them a group and ", Setting("splitter", "group"), "."),
        )


_REMEMBERED = "A network may remember them, which new rows do not allow."


def _of_duplicates(
    name: str, what: str, known: int, count: int, by_chance: Callable[[], Iterator[int]]
) -> Iterator[Finding]:
    """The finding on rows that are known before they are predicted, if there are any.

    Args:
        name: of the check.
        what: was found.
        known: how many there are.
        count: how many are predicted.
        by_chance: how many there would be if the columns had nothing to do with each other, in several drawings.
    """
    many = known / count >= MANY
    chance = most_by_chance(number / count for number in by_chance()) if known and many else 0.0
    if known and many and known / count - chance < MANY:
        why = f"The columns have so few values that up to {chance:.1%} would by chance, if they were independent: new "
        why += "rows will repeat known ones too."
        yield Finding(name, "warning", what, why, "If some rows are duplicates all the same, keep one of each.")
    elif known:
        do: Text = (
            *(
                "Keep one of each",
                (" (of a file: ", Setting("duplicates", "drop"), ")"),
                ", or give rows that belong together a group and ",
            ),
            *(Setting("splitter", "group"), "."),
        )
        yield Finding(name, "error" if many else "warning", what, _REMEMBERED, do)


def _repeated(splits: Sequence[Split], numbers: IntArray) -> tuple[list[int], int]:
    """The validation rows that stand among the training rows of a split of theirs, and how many are validated; rows of
    equal numbers are equal."""
    repeated, validated = np.zeros((2, len(numbers)), bool)
    for split in splits:
        known = np.zeros(numbers.max() + 1, bool)
        known[numbers[split.training]] = True
        repeated[split.validation] |= known[numbers[split.validation]]
        validated[split.validation] = True
    return np.flatnonzero(repeated).tolist(), int(np.count_nonzero(validated))


def _groups(audited: Audited) -> Iterator[Finding]:
    """Rows of one group on both sides of a split."""
    groups = audited.data.groups
    if groups is None:
        return
    for split in audited.splits:
        both = np.intersect1d(groups[split.training], groups[split.validation])
        if both.size:
            rows = split.validation[np.isin(groups[split.validation], both)].tolist()
            yield Finding(
                "groups",
                "error",
                f"{plural(len(both), 'group stands', 'groups stand')} on both sides of split {split.fold} (repeat "
                f"{split.repeat}): rows {listed(rows)} validate what their own group trained.",
                "Rows of a group are alike, so the loss says how well known groups are predicted, not new ones.",
                ("Use ", Setting("splitter", "group"), " or ", Setting("splitter", "stratified-group"), "."),
            )
            return


def _time(audited: Audited) -> Iterator[Finding]:
    """Validation rows that are not later than all training rows of their split."""
    times = audited.data.times
    if times is None:
        return
    for split in audited.splits:
        last = times[split.training].max()
        early = split.validation[times[split.validation] <= last].tolist()
        if early:
            ordered = SPLITTERS[audited.splitter].needs == "times"
            yield Finding(
                "time",
                "warning" if ordered else "error",
                f"{len(early)} of {len(split.validation)} validation rows of split {split.fold} (repeat "
                f"{split.repeat}) are not later than its last training row: rows {listed(early)}.",
                "The network is then trained on the future of what it predicts.",
                "Use a gap, so that rows of one moment stay on one side."
                if ordered
                else (
                    "Use ",
                    Setting("splitter", "timeseries"),
                    ", or leave the time column out if time means nothing here.",
                ),
            )
            return


def _single_features(audited: Audited) -> Iterator[Finding]:
    """Features that alone predict the target almost perfectly."""
    classes, data = audited.data.task == "classification", audited.data
    for name, how in _tell_classes(audited) if classes else _order_rows(data):
        yield Finding(
            "single-feature",
            "warning",
            f"The column {quoted(name)} alone {how}.",
            "Such a column is often made from the target, or known only after it.",
            ("If it will not be known when predictions are made, leave it out", (": ", Setting("drop")), "."),
        )
    do: Text = ("Leave out columns", (" (", Setting("drop"), ")"), " that are not needed, and more is looked at.")
    if classes and len(audited.likely) > MOST_TRIED:
        what = f"Of {len(audited.likely):,} columns that may predict the target alone, the likeliest {MOST_TRIED} were"
        yield Finding("single-feature", "note", f"{what} tried.", "To try more would take too long.", do)
    if not classes and (looked_at := len(_ranked(data))) < data.rows:
        what = f"Whether a column orders the rows as the target does was looked at in {looked_at:,} of {data.rows:,}"
        yield Finding("single-feature", "note", f"{what} rows.", "All would take too long.", do)


def _ranked(data: Dataset) -> IntArray:
    """The rows whose order is looked at: all, but of a large table some, evenly spaced."""
    count = min(data.rows, max(SAMPLED_ROWS, MOST_IN_MEMORY // data.features.shape[1]))
    return np.asarray(np.arange(count) * data.rows // count, np.intp)


def _order_rows(data: Dataset) -> Iterator[tuple[str, str]]:
    """Columns that order the rows as a regression target does: the same, in whatever unit or on whatever scale."""
    from scipy.stats import rankdata

    rows = _ranked(data)
    labels = data.labels[rows]
    all_ranks = rankdata(labels)
    for name, place in data.columns.places.items():
        values = data.features[rows, place.start]
        there = ~np.isnan(values)
        targets = labels[there]
        if there.sum() < FEWEST_AUDITED or place.stop - place.start > 2 or _is_constant(values[there], targets):
            continue
        ranks = all_ranks if there.all() else rankdata(targets)
        agreement = abs(float(np.corrcoef(rankdata(values[there]), ranks)[0, 1]))
        if agreement >= NEARLY_PERFECT:
            yield name, f"orders the rows as the target does: their ranks correlate with {agreement:.3f}"


def _is_constant(*columns: NDArray[Any]) -> bool:
    """Whether one of some columns has the same value in all rows."""
    return any(column.min() == column.max() for column in columns)


def _tell_classes(audited: Audited) -> Iterator[tuple[str, str]]:
    """Columns that alone tell the classes apart, out of fold."""
    from sklearn.metrics import recall_score
    from sklearn.tree import DecisionTreeClassifier

    data, pairs = audited.data, audited.sampled
    truth = np.concatenate([data.labels[validation] for _, validation in pairs])
    tried = {*audited.likely[:MOST_TRIED]}
    for name in (name for name in data.columns.places if name in tried):
        one = single_precision(data.features[:, data.columns.places[name]])
        tree = DecisionTreeClassifier(max_leaf_nodes=leaves_for(data, one.shape[1]), random_state=0)
        predictions = np.concatenate(
            [tree.fit(one[training], data.labels[training]).predict(one[validation]) for training, validation in pairs]
        )
        # The balanced accuracy is the mean recall of the classes that are there.
        score = recall_score(truth, predictions, average="macro", labels=np.unique(truth), zero_division=0)
        if score >= NEARLY_PERFECT:
            yield name, f"predicts the target with a balanced accuracy of {score:.3f}, out of fold"


def _identifiers(audited: Audited) -> Iterator[Finding]:
    """Whole numbers that never repeat and follow the rows or fill a range: names of rows, no properties."""
    data = audited.data
    kinds = {column.name: column.kind for column in data.columns.columns}
    for name, place in data.columns.places.items():
        if kinds[name] != "date" and names_rows(data.features[:, place.start]):
            yield Finding(
                "identifier",
                "warning",
                f"The column {quoted(name)} holds another whole number in each of {data.rows} rows.",
                "A number that names its row can only be learnt by heart, or tells in which order rows were kept.",
                ("Leave it out", (": ", Setting("drop")), "."),
            )


def names_rows(values: NDArray[Any]) -> bool:
    """Whether a column (N,) holds another whole number in each row, which follow the rows or fill a range."""
    rows = len(values)
    if rows < FEWEST_AUDITED or not _are_whole(values[:FEWEST_AUDITED]) or not _are_whole(values):
        return False
    numbers = np.asarray(values, np.float64)
    if np.unique(numbers).size < rows:
        return False
    steps = np.diff(numbers)
    return bool((steps > 0).all() or (steps < 0).all() or np.ptp(numbers) < 2 * rows)


def _are_whole(values: NDArray[Any]) -> bool:
    return np.array_equal(values, np.round(values))


def _hold_out(audited: Audited) -> Iterator[Finding]:
    """Held-out rows that the search trains on too."""
    data, held_out = audited.data, audited.held_out
    if held_out is None:
        return
    rows, count = _known(np.concatenate([labelled_keys(data), labelled_keys(held_out)]), data.rows), held_out.rows
    what = (
        f"{len(rows)} of {count} held-out rows ({len(rows) / count:.1%}) stand among the rows to search with: of the "
        f"held-out, rows {listed(rows)}."
    )

    def by_chance() -> Iterator[int]:
        return (len(_known(keys, data.rows)) for keys in keys_by_chance(data, held_out))

    yield from _of_duplicates("hold-out", what, len(rows), count, by_chance)


def _known(keys: Keys, searched: int) -> list[int]:
    """The places of held-out rows that are searched with; of all keys those of the rows to search with come first."""
    numbers = numbered(keys)
    known = np.zeros(numbers.max() + 1, bool)
    known[numbers[:searched]] = True
    return np.flatnonzero(known[numbers[searched:]]).tolist()


def _constant(audited: Audited) -> Iterator[Finding]:
    """Columns of one value."""
    features = audited.data.features
    lowest, highest = (fold(features, axis=0) for fold in (np.min, np.max))  # nan where a value is missing
    same = lowest == highest
    columns = [repr(name) for name, place in audited.data.columns.places.items() if same[place].all()]
    if columns:
        yield Finding(
            "constant",
            "note",
            f"{plural(len(columns), 'column has', 'columns have')} one value in all rows: {listed(columns)}.",
            "They tell rows apart no more than a bias does, and are not scaled.",
            ((Setting("drop"), " leaves them out of a file."),),
        )


def _numbers_as_text(audited: Audited) -> Iterator[Finding]:
    """Columns whose categories are all numbers, if those of the file are written otherwise than is said."""
    for column in audited.data.columns.columns:
        if settings := numbers_if(column.categories):
            yield Finding(
                "numbers-as-text",
                "warning",
                f"The column {quoted(column.name)} is categorical, and all of "
                f"{plural(len(column.categories), 'category', 'categories')} may be numbers, as "
                f"{quoted(column.categories[0])}.",
                "Categories are learnt one by one: that one number is larger than another is lost.",
                (("If they are numbers, say how they are written: ", *settings, "."),),
            )


def _missing_target(audited: Audited) -> Iterator[Finding]:
    """Rows that were left out as they have no target."""
    without = audited.data.without_target
    if without:
        yield Finding(
            "missing-target",
            "warning",
            f"{plural(without, 'row without a target is', 'rows without a target are')} left out.",
            "If new rows include some like these, the scores are not about them.",
            "Find out why they have none.",
        )


_ORDER = ("error", "warning", "note")

CHECKS: dict[str, Callable[[Audited], Iterator[Finding]]] = {
    "constant": _constant,
    "duplicates": _duplicates,
    "groups": _groups,
    "hold-out": _hold_out,
    "identifier": _identifiers,
    "missing-target": _missing_target,
    "numbers-as-text": _numbers_as_text,
    "single-feature": _single_features,
    "time": _time,
}


def refusal(findings: Sequence[Finding], allow: Collection[str]) -> DataError | None:
    """Why a study with these findings must not run; None if it may.

    Args:
        findings: of its audit.
        allow: names of checks whose errors are overruled.
    """
    errors = [finding for finding in findings if finding.level == "error" and finding.name not in allow]
    if not errors:
        return None
    first, more = errors[0], f" ({len(errors) - 1} more: hpsearch check.)" if len(errors) > 1 else ""
    do = first.do if isinstance(first.do, tuple) else (first.do,)
    overrule = (" To run it as it is: ", Setting("allow", [first.name]), f".{more}")
    return DataError(got=f"{first.what} {first.why}", do=(*do, *overrule))


def audit(data: Dataset, held_out: Dataset | None, splits: Sequence[Split], splitter: str) -> list[Finding]:
    """All findings, errors first, notes last."""
    audited = Audited(data, held_out, splits, splitter)
    found = [finding for check in CHECKS.values() for finding in check(audited)]
    return sorted(found, key=lambda finding: _ORDER.index(finding.level))
