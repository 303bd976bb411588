"""The leakage audit: what lets a validation row be known before it is predicted, found in the rows themselves.

Each check looks at the rows, the hold-out and the splits, trains no network, and yields findings: what, where, why it
matters and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.columns import Plan
from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import SPLITTERS, Split
from hpsearch.data.units import labelled_keys, row_keys

# Repeated rows below this share of the validation rows are worth a word; from it on they carry the result, unless the
# columns have so few values that rows of independent columns would repeat each other about as often.
MANY = 0.05
# Rows that agree in all but the target are no leak while they are this few: points on a grid may meet by chance.
FEW = 0.02
# A feature that alone is right this often, on rows that it was not looked at with, is likely the target in disguise.
NEARLY_PERFECT = 0.99
SAMPLED_ROWS = 5000  # of the check of single features
DEALINGS = 10  # of the values of each column, to see how many rows repeat each other by chance
FEWEST_ROWS = 20  # to tell an identifier from a coincidence


@dataclass(frozen=True)
class Finding:
    """One thing that the audit found.

    Attributes:
        name: of the check, as ``[validation] allow`` takes it.
        level: ``error`` stops a run, unless it is allowed by name; ``warning`` does not; a ``note`` asks for nothing.
        what: what was found and where, with rows (from 0) or columns.
        why: why it matters.
        do: what to do.
    """

    name: str
    level: Literal["error", "warning", "note"]
    what: str
    why: str
    do: str

    def __str__(self) -> str:
        return f"{self.what} {self.why} {self.do}"


@dataclass(frozen=True)
class Audited:
    """What is looked at."""

    data: Dataset
    held_out: Dataset | None
    splits: Sequence[Split]
    splitter: str


def _named(rows: Sequence[int]) -> str:
    shown = ", ".join(str(row) for row in rows[:5])
    return f"rows {shown}" + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")


def _duplicates(seen: Audited) -> Iterator[Finding]:
    """Rows of a validation part that stand in its training rows too."""
    data = seen.data
    exact, count = _repeated(seen.splits, labelled_keys(data))
    if exact:
        share, chance = len(exact) / count, 0.0
        if share >= MANY:
            chance = _most([len(_repeated(seen.splits, keys)[0]) / count for keys in _keys_by_chance(data)])
        what = (
            f"{len(exact)} of {count} validation rows ({share:.1%}) occur again exactly among the training rows of "
            f"their split: {_named(exact)}."
        )
        yield _of_copies("duplicates", what, share, chance)
    alike, count = _repeated(seen.splits, _but_for_the_target(data))
    if len(alike) / count > FEW:
        yield Finding(
            "duplicates",
            "warning",
            f"{len(alike)} of {count} validation rows ({len(alike) / count:.1%}) occur again in all but the target "
            f"among the training rows of their split: {_named(alike)}.",
            _REMEMBERED,
            'If such rows belong together, give them a group column and splitter = "group".',
        )


_REMEMBERED = "A network may remember them, which new rows do not allow."


def _of_copies(name: str, what: str, share: float, chance: float) -> Finding:
    """The finding on rows that are seen before they are predicted, as so large a ``share`` of those predicted.

    ``chance`` is the most that there may well be if the columns have nothing to do with each other.
    """
    if share >= MANY and share - chance < MANY:
        return Finding(
            name,
            "warning",
            what,
            f"The columns have so few values that up to {chance:.1%} would by chance, if they were independent: new "
            "rows will repeat known ones too.",
            "If some rows are copies all the same, keep one of each.",
        )
    return Finding(
        name,
        "error" if share >= MANY else "warning",
        what,
        _REMEMBERED,
        'Keep one of each (of a file: [data] duplicates = "drop"), or give rows that belong together a group column '
        'and splitter = "group".',
    )


def _keys_by_chance(data: Dataset) -> Iterator[list[bytes]]:
    """Keys of as many rows with the same values in each column, which are dealt to the rows at random."""
    draw = np.random.default_rng(0)
    for _ in range(DEALINGS):
        features = np.empty_like(data.features)
        for place in data.columns.places.values():
            features[:, place] = data.features[draw.permutation(data.rows), place]
        yield labelled_keys(replace(data, features=features))


def _most(shares: Sequence[float]) -> float:
    """What shares like these hardly ever exceed: three standard deviations above their mean."""
    return min(1.0, float(np.mean(shares) + 3 * np.std(shares, ddof=1)))


def _but_for_the_target(data: Dataset) -> list[bytes]:
    """Keys that are equal for rows that agree in all features and not in the target; else each row's own."""
    keys, labels = row_keys(data.features), data.labels
    found: dict[bytes, set[float]] = {}
    for key, label in zip(keys, labels.tolist(), strict=True):
        found.setdefault(key, set()).add(label)
    return [key if len(found[key]) > 1 else str(row).encode() for row, key in enumerate(keys)]


def _repeated(splits: Sequence[Split], keys: Sequence[bytes]) -> tuple[list[int], int]:
    """The validation rows that stand among the training rows of a split of theirs, and how many are validated."""
    rows: set[int] = set()
    validated: set[int] = set()
    for split in splits:
        known = {keys[row] for row in split.training}
        rows.update(int(row) for row in split.validation if keys[row] in known)
        validated.update(split.validation.tolist())
    return sorted(rows), len(validated)


def _groups(seen: Audited) -> Iterator[Finding]:
    """Rows of one group on both sides of a split."""
    groups = seen.data.groups
    if groups is None:
        return
    for split in seen.splits:
        both = set(groups[split.training].tolist()) & set(groups[split.validation].tolist())
        if both:
            rows = [int(row) for row in split.validation if groups[row] in both]
            yield Finding(
                "groups",
                "error",
                f"{len(both)} groups stand on both sides of split {split.fold} (repeat {split.repeat}): {_named(rows)} "
                "validate what their own group trained.",
                "Rows of a group are alike, so the loss says how well known groups are predicted, not new ones.",
                'Use splitter = "group" or "stratified-group".',
            )
            return


def _time(seen: Audited) -> Iterator[Finding]:
    """Validation rows that are not later than all training rows of their split."""
    times = seen.data.times
    if times is None:
        return
    for split in seen.splits:
        last = times[split.training].max()
        early = [int(row) for row in split.validation if times[row] <= last]
        if early:
            ordered = SPLITTERS[seen.splitter].needs == "times"
            yield Finding(
                "time",
                "warning" if ordered else "error",
                f"{len(early)} of {len(split.validation)} validation rows of split {split.fold} (repeat "
                f"{split.repeat}) are not later than its last training row: {_named(early)}.",
                "The network is then trained on the future of what it predicts.",
                "Use a gap, so that rows of one moment stay on one side."
                if ordered
                else 'Use splitter = "timeseries", or leave the time column out if time means nothing here.',
            )
            return


def _single_features(seen: Audited) -> Iterator[Finding]:
    """Features that alone predict the target almost perfectly."""
    found = _tell_classes(seen) if seen.data.task == "classification" else _order_rows(seen.data)
    for name, how in found:
        yield Finding(
            "single-feature",
            "warning",
            f"The column {name!r} alone {how}.",
            "Such a column is often made from the target, or known only after it.",
            "If it will not be known when predictions are made, leave it out: [data] drop.",
        )


def _order_rows(data: Dataset) -> Iterator[tuple[str, str]]:
    """Columns that order the rows as a quantity does: copies of it, in whatever unit or on whatever scale."""
    from scipy.stats import rankdata

    for name, place in data.columns.places.items():
        values = data.features[:, place.start]
        there = ~np.isnan(values)
        if there.sum() < FEWEST_ROWS or place.stop - place.start > 2 or np.ptp(values[there]) == 0:
            continue
        targets = data.labels[there]
        if np.ptp(targets) == 0:
            continue
        agreement = abs(float(np.corrcoef(rankdata(values[there]), rankdata(targets))[0, 1]))
        if agreement >= NEARLY_PERFECT:
            yield name, f"orders the rows as the target does: their ranks correlate with {agreement:.3f}"


def _tell_classes(seen: Audited) -> Iterator[tuple[str, str]]:
    """Columns that alone tell the classes apart, out of fold."""
    from sklearn.metrics import recall_score
    from sklearn.tree import DecisionTreeClassifier

    data, splits = seen.data, [split for split in seen.splits if split.repeat == 0]
    pairs = [(split.training[:SAMPLED_ROWS], split.validation[:SAMPLED_ROWS]) for split in splits]
    truth = np.concatenate([data.labels[validation] for _, validation in pairs])
    for name, place in data.columns.places.items():
        one = data.features[:, place]
        # As many thresholds as it takes to tell the classes apart along one axis, and no more to learn rows by heart.
        # (Of categories one takes as many as there are.)
        leaves = max(2 * len(data.class_names), one.shape[1] + 1)
        tree = DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=0)
        answers = np.concatenate(
            [tree.fit(one[training], data.labels[training]).predict(one[validation]) for training, validation in pairs]
        )
        # The balanced accuracy is the mean recall of the classes that are there.
        score = recall_score(truth, answers, average="macro", labels=np.unique(truth), zero_division=0)
        if score >= NEARLY_PERFECT:
            yield name, f"predicts the target with a balanced accuracy of {score:.3f}, out of fold"


def _identifiers(seen: Audited) -> Iterator[Finding]:
    """Whole numbers that never repeat and follow the rows or fill a range: names of rows, no properties."""
    for name in identifiers(seen.data.features, seen.data.columns):
        yield Finding(
            "identifier",
            "warning",
            f"The column {name!r} holds another whole number in each of {seen.data.rows} rows.",
            "A number that names its row can only be learnt by heart, or tells in which order rows were kept.",
            "Leave it out: [data] drop.",
        )


def identifiers(features: NDArray[Any], plan: Plan) -> list[str]:
    """The names of columns that hold another whole number in each row, which follow the rows or fill a range.

    Args:
        features: (N, D), as ``plan`` gives them.
        plan: what the features are made of.
    """
    rows, found = len(features), []
    if rows < FEWEST_ROWS:
        return []
    for name, place in plan.places.items():
        values = np.asarray(features[:, place.start], np.float64)
        if not np.array_equal(values, np.round(values)) or np.unique(values).size < rows:
            continue
        steps = np.diff(values)
        if (steps > 0).all() or (steps < 0).all() or np.ptp(values) < 2 * rows:
            found.append(name)
    return found


def _hold_out(seen: Audited) -> Iterator[Finding]:
    """Held-out rows that the search sees."""
    if seen.held_out is None:
        return
    data, held_out = seen.data, seen.held_out
    rows = _known(labelled_keys(data), labelled_keys(held_out))
    if rows:
        share, chance = len(rows) / held_out.rows, 0.0
        if share >= MANY:
            features = np.concatenate([data.features, held_out.features])
            labels = np.concatenate([data.labels, held_out.labels])
            both = replace(data, features=features, labels=labels, groups=None, times=None, folds=None, weights=None)
            chance = _most(
                [len(_known(keys[: data.rows], keys[data.rows :])) / held_out.rows for keys in _keys_by_chance(both)]
            )
        what = (
            f"{len(rows)} of {held_out.rows} held-out rows ({share:.1%}) stand among the rows to search with: of the "
            f"held-out, {_named(rows)}."
        )
        yield _of_copies("hold-out", what, share, chance)


def _known(searched: Sequence[bytes], held: Sequence[bytes]) -> list[int]:
    """The places of held-out rows that are searched with."""
    known = set(searched)
    return [row for row, key in enumerate(held) if key in known]


def _constant(seen: Audited) -> Iterator[Finding]:
    """Columns of one value."""
    features = seen.data.features
    lowest, highest = (fold(features, axis=0) for fold in (np.min, np.max))  # nan where a value is missing
    same = lowest == highest
    columns = [repr(name) for name, place in seen.data.columns.places.items() if same[place].all()]
    if columns:
        shown = ", ".join(columns[:5]) + (f" and {len(columns) - 5} more" if len(columns) > 5 else "")
        yield Finding(
            "constant",
            "note",
            f"{len(columns)} {'column has' if len(columns) == 1 else 'columns have'} one value in all rows: {shown}.",
            "They tell rows apart no more than a bias does, and are not scaled.",
            "[data] drop leaves them out of a file.",
        )


_ORDER = ("error", "warning", "note")

CHECKS: dict[str, Callable[[Audited], Iterator[Finding]]] = {
    "constant": _constant,
    "duplicates": _duplicates,
    "groups": _groups,
    "hold-out": _hold_out,
    "identifier": _identifiers,
    "single-feature": _single_features,
    "time": _time,
}


def refused(findings: Sequence[Finding], allow: Collection[str]) -> str | None:
    """Why a study with these findings must not run, in one line; None if it may.

    Args:
        findings: of its audit.
        allow: names of checks whose errors are overruled.
    """
    errors = [finding for finding in findings if finding.level == "error" and finding.name not in allow]
    if not errors:
        return None
    more = f" ({len(errors) - 1} more: hpsearch check.)" if len(errors) > 1 else ""
    return f'{errors[0]} To run it as it is: [validation] allow = ["{errors[0].name}"].{more}'


def audit(data: Dataset, held_out: Dataset | None, splits: Sequence[Split], splitter: str) -> list[Finding]:
    """All findings, errors first, notes last."""
    seen = Audited(data, held_out, splits, splitter)
    found = [finding for check in CHECKS.values() for finding in check(seen)]
    return sorted(found, key=lambda finding: _ORDER.index(finding.level))
