"""Splits and the hold-out: scikit-learn's own, with every row where it belongs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    train_test_split,
)

from hpsearch.data.dataset import Dataset
from hpsearch.data.sources import source_class
from hpsearch.data.splits import SPLITTERS, Split, SplitOptions, hold_out, make_splits
from hpsearch.errors import DataError
from hpsearch.seeds import integer_seed

SKLEARN: dict[str, Any] = {"kfold": KFold, "stratified": StratifiedKFold}

# Those that deal independent rows into folds; the contract further down is for all.
splitters = pytest.mark.parametrize("splitter", SKLEARN)
seeds = pytest.mark.parametrize("seed", [0, 7, 12345])


def table(rows: int = 93, classes: int = 3, seed: int = 0) -> Dataset:
    """Rows numbered in their first column, classes of unequal sizes in random order."""
    draw = np.random.default_rng(seed)
    labels = np.concatenate([np.repeat(np.arange(classes), 15), draw.integers(0, classes - 1, rows - 15 * classes)])
    return Dataset.of(np.stack([np.arange(rows), draw.standard_normal(rows)], axis=1), draw.permutation(labels))


def splits(
    data: Dataset, splitter: str, n_splits: int = 5, repeats: int = 1, shuffle: bool = True, seed: int = 0
) -> Any:
    return make_splits(data, splitter, SplitOptions(n_splits, repeats, shuffle), seed)


def as_lists(several: tuple[Split, ...]) -> list[tuple[int, int, list[int], list[int]]]:
    return [(s.repeat, s.fold, s.training.tolist(), s.validation.tolist()) for s in several]


# --- splits


@splitters
@seeds
@pytest.mark.parametrize("n_splits", [2, 5, 6])
def test_splits_are_scikit_learns_under_a_seed_of_their_own_for_each_repeat(
    splitter: str, seed: int, n_splits: int
) -> None:
    data = table(seed=seed)
    expected = []
    for repeat in range(3):
        folds = SKLEARN[splitter](n_splits, shuffle=True, random_state=integer_seed(seed, "splits", repeat))
        for fold, (training, validation) in enumerate(folds.split(data.features, data.labels)):
            expected.append((repeat, fold, training.tolist(), validation.tolist()))
    assert as_lists(splits(data, splitter, n_splits, repeats=3, seed=seed)) == expected


@splitters
def test_unshuffled_splits_are_scikit_learns(splitter: str) -> None:
    data = table()
    folds = SKLEARN[splitter](5).split(data.features, data.labels)
    expected = [(0, fold, *(rows.tolist() for rows in pair)) for fold, pair in enumerate(folds)]
    assert as_lists(splits(data, splitter, shuffle=False)) == expected


@splitters
@seeds
@pytest.mark.parametrize(("n_splits", "repeats"), [(2, 1), (5, 3)])
def test_each_repeat_validates_every_row_once_and_trains_on_all_others(
    splitter: str, seed: int, n_splits: int, repeats: int
) -> None:
    data = table(seed=seed)
    several = splits(data, splitter, n_splits, repeats, seed=seed)
    assert [(s.repeat, s.fold) for s in several] == [(r, f) for r in range(repeats) for f in range(n_splits)]
    everything = list(range(data.rows))
    for split in several:
        assert sorted([*split.training, *split.validation]) == everything
        assert set(data.labels[split.training]) == set(data.labels)
        for rows in (split.training, split.validation):
            assert np.all(np.diff(rows) > 0)
    for repeat in range(repeats):
        of_repeat = [split.validation for split in several if split.repeat == repeat]
        assert sorted(np.concatenate(of_repeat)) == everything
        sizes = [len(rows) for rows in of_repeat]
        # Stratified folds may differ by one row a class.
        assert max(sizes) - min(sizes) <= (1 if splitter == "kfold" else len(data.class_names))


@seeds
@pytest.mark.parametrize("n_splits", [2, 5])
def test_stratified_folds_share_out_every_class_evenly(seed: int, n_splits: int) -> None:
    data = table(seed=seed)
    counts = np.stack(
        [np.bincount(data.labels[s.validation], minlength=3) for s in splits(data, "stratified", n_splits)]
    )
    assert np.all(np.ptp(counts, axis=0) <= 1)


@splitters
@seeds
def test_splits_follow_the_seed_alone_and_every_repeat_has_its_own(splitter: str, seed: int) -> None:
    data = table()
    first = as_lists(splits(data, splitter, repeats=4, seed=seed))
    assert first == as_lists(splits(data, splitter, repeats=4, seed=seed))
    assert first[:10] == as_lists(splits(data, splitter, repeats=2, seed=seed))
    other = as_lists(splits(data, splitter, repeats=4, seed=seed + 1))
    dealt = [
        str([validation for repeat, _, _, validation in one if repeat == r]) for one in (first, other) for r in range(4)
    ]
    assert len(set(dealt)) == 8


def test_splits_do_not_look_at_the_features() -> None:
    data = table()
    other = Dataset.of(data.features * -3, data.labels)
    for splitter in SKLEARN:
        assert as_lists(splits(data, splitter)) == as_lists(splits(other, splitter))


def test_unshuffled_splits_of_sorted_rows_are_refused_naming_split_class_and_what_to_do() -> None:
    spiral = source_class("nnfs:spiral").model_validate({"source": "nnfs:spiral"}).load(Path(), 0)
    with pytest.raises(DataError, match=r"split 0 .*class '0'.*shuffle=True.*splitter='stratified'") as caught:
        splits(spiral, "kfold", n_splits=3, shuffle=False)
    assert "\n" not in str(caught.value)
    assert len(splits(spiral, "kfold", n_splits=3)) == len(splits(spiral, "stratified", n_splits=3, shuffle=False)) == 3
    mixed = Dataset.of(np.arange(30)[:, np.newaxis], ["a", "b"] * 10 + ["c"] * 10)
    with pytest.raises(DataError, match=r"split 2 .*class 'c'"):
        splits(mixed, "kfold", n_splits=3, shuffle=False)


@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_one_row_cannot_be_trained_on_by_every_split(seed: int) -> None:
    data = Dataset.of(np.arange(20)[:, np.newaxis], [0, 1] * 9 + [0, 2])
    folds = KFold(5, shuffle=True, random_state=integer_seed(seed, "splits")).split(data.features)
    fold = next(fold for fold, (_, validation) in enumerate(folds) if 19 in validation)
    with pytest.raises(DataError, match=f"split {fold} .*class '2'"):
        splits(data, "kfold", seed=seed)


@splitters
def test_more_folds_than_rows_are_refused(splitter: str) -> None:
    data = Dataset.of(np.arange(6)[:, np.newaxis], [0, 1] * 3)
    with pytest.raises(DataError, match=r"^n_splits must be at most the number of rows, 6, but is 7\."):
        splits(data, splitter, n_splits=7)
    assert len(splits(data, "kfold", n_splits=6)) == 6


def test_stratified_splits_need_as_many_rows_of_every_class_as_folds() -> None:
    data = Dataset.of(np.arange(20)[:, np.newaxis], ["a"] * 16 + ["b"] * 4)
    with pytest.raises(DataError, match=r"^splitter='stratified' .* folds, 5, .*class 'b' has 4\."):
        splits(data, "stratified")
    assert len(splits(data, "stratified", n_splits=4)) == 4


# --- every splitter


def marked(seed: int = 0, rows: int = 120) -> Dataset:
    """Rows with groups of unlike sizes, times in no order, and folds of their own; each class in each part."""
    draw = np.random.default_rng(seed)
    data = Dataset.of(np.arange(rows)[:, np.newaxis], np.arange(rows) % 3)
    groups = draw.permutation(np.repeat(np.arange(24), 5))
    folds = draw.permutation(np.arange(rows) % 5) - 1
    return replace(data, groups=groups, times=draw.permutation(rows).astype(float), folds=folds)


def expected_of(data: Dataset, splitter: str, seed: int) -> list[tuple[list[int], list[int]]]:
    """Scikit-learn's own answer, called in the plainest way."""
    draw = integer_seed(seed, "splits", 0)
    x, y, order = data.features, data.labels, np.arange(data.rows)
    if splitter == "timeseries":
        order = np.argsort(data.times)
        pairs = TimeSeriesSplit(4, gap=3).split(x)
    elif splitter == "predefined":
        pairs = PredefinedSplit(data.folds).split()
    elif splitter == "shuffle":
        pairs = ShuffleSplit(4, test_size=0.3, random_state=draw).split(x)
    else:
        kinds = {**SKLEARN, "group": GroupKFold, "stratified-group": StratifiedGroupKFold}
        groups = data.groups if "group" in splitter else None
        pairs = kinds[splitter](4, shuffle=True, random_state=draw).split(x, y, groups)
    return [(sorted(order[a].tolist()), sorted(order[b].tolist())) for a, b in pairs]


every_splitter = pytest.mark.parametrize("splitter", SPLITTERS)
DEALING = SplitOptions(4, gap=3, fraction=0.3)


@every_splitter
@seeds
def test_every_splitter_is_scikit_learns_and_keeps_its_sides_apart(splitter: str, seed: int) -> None:
    data = marked(seed)
    several = make_splits(data, splitter, DEALING, seed)
    assert [(s.training.tolist(), s.validation.tolist()) for s in several] == expected_of(data, splitter, seed)
    for split in several:
        assert not set(split.training) & set(split.validation)
        assert set(data.labels[split.training]) == set(data.labels)


@every_splitter
def test_a_splitter_without_the_column_it_needs_is_refused_naming_it(splitter: str) -> None:
    data = Dataset.of(np.arange(30)[:, np.newaxis], [0, 1, 2] * 10)
    column = {"groups": "group", "times": "time", "folds": "fold", None: None}[SPLITTERS[splitter].needs]
    if column is None:
        assert make_splits(data, splitter, SplitOptions(3), 0)
    else:
        with pytest.raises(DataError, match=f"{splitter}.*names no {column} column. Add {column}="):
            make_splits(data, splitter, SplitOptions(3), 0)


@seeds
@pytest.mark.parametrize("splitter", ["group", "stratified-group"])
def test_a_group_is_on_one_side_of_every_split_and_of_the_hold_out(splitter: str, seed: int) -> None:
    data = marked(seed)
    groups = data.groups
    assert groups is not None
    for split in make_splits(data, splitter, SplitOptions(5, repeats=2), seed):
        assert not set(groups[split.training]) & set(groups[split.validation])
    search, held = hold_out(data, 0.25, splitter, seed)
    assert not set(search.groups.tolist()) & set(held.groups.tolist())  # type: ignore[union-attr]
    assert search.rows + held.rows == data.rows
    assert 0 < held.rows < search.rows


@seeds
def test_time_runs_forward_with_a_gap_and_the_hold_out_is_last(seed: int) -> None:
    data = marked(seed)
    search, held = hold_out(data, 0.2, "timeseries", seed)
    assert search.times is not None
    assert held.times is not None
    assert search.times.max() < held.times.min()
    assert held.rows == 24
    for split in make_splits(search, "timeseries", SplitOptions(4, gap=3), seed):
        last, first = search.times[split.training].max(), search.times[split.validation].min()
        assert last < first
        assert ((search.times > last) & (search.times < first)).sum() == 3
    with pytest.raises(DataError, match="gap must leave rows to train on"):
        make_splits(search, "timeseries", SplitOptions(4, gap=90), seed)


def test_groups_fewer_than_folds_are_refused() -> None:
    with pytest.raises(DataError, match="at most the number of groups, 24, but is 25"):
        make_splits(marked(), "group", SplitOptions(25), 0)


def test_marks_go_with_their_rows_and_are_part_of_the_fingerprint() -> None:
    data, rows = marked(), np.array([5, 3, 99])
    taken = data.take(rows)
    for name, values in data.metadata.items():
        assert getattr(taken, name).tolist() == values[rows].tolist()
        assert replace(data, **{name: None}).fingerprint != data.fingerprint
        assert replace(data, **{name: values[::-1].copy()}).fingerprint != data.fingerprint


# --- the hold-out


@seeds
@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_the_hold_out_is_scikit_learns_and_every_row_is_on_one_side(seed: int, stratify: bool, fraction: float) -> None:
    data = table(seed=seed)
    search, held = hold_out(data, fraction, "stratified" if stratify else "kfold", seed)
    ids = [part.features[:, 0].astype(int) for part in (search, held)]
    assert sorted(np.concatenate(ids)) == list(range(data.rows))
    expected = train_test_split(
        np.arange(data.rows),
        test_size=fraction,
        random_state=integer_seed(seed, "holdout"),
        stratify=data.labels if stratify else None,
    )
    for part, rows, theirs in zip((search, held), ids, expected, strict=True):
        assert rows.tolist() == sorted(theirs)
        np.testing.assert_array_equal(part.features, data.features[rows])
        np.testing.assert_array_equal(part.labels, data.labels[rows])
        assert (part.class_names, part.feature_names) == (data.class_names, data.feature_names)
    if stratify:
        shares = np.bincount(held.labels, minlength=3) - len(held.labels) * np.bincount(data.labels) / data.rows
        assert np.all(np.abs(shares) <= 1)


def test_the_hold_out_follows_the_seed() -> None:
    data = table()
    held = [hold_out(data, 0.3, "kfold", seed)[1].fingerprint for seed in (0, 1, 2, 0)]
    assert held[0] == held[3]
    assert len(set(held)) == 3


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("fraction", [0.99, 0.9])
def test_a_hold_out_that_leaves_nothing_to_search_with_is_refused(stratify: bool, fraction: float) -> None:
    data = Dataset.of(np.arange(10)[:, np.newaxis], [0, 1] * 5)
    with pytest.raises(DataError) as caught:
        hold_out(data, fraction, "stratified" if stratify else "kfold", 0)
    assert "\n" not in str(caught.value)


def test_a_hold_out_that_takes_a_whole_class_is_refused_naming_it() -> None:
    data = Dataset.of(np.arange(10)[:, np.newaxis], ["a"] * 9 + ["b"])
    for seed in range(20):
        rows = train_test_split(np.arange(10), test_size=0.3, random_state=integer_seed(seed, "holdout"))
        if 9 in rows[1]:
            with pytest.raises(DataError, match=r"search.*class 'b'"):
                hold_out(data, 0.3, "kfold", seed)
        else:
            hold_out(data, 0.3, "kfold", seed)


@pytest.mark.parametrize("rows", [2, 50, 144])
def test_a_fraction_that_leaves_no_row_to_train_on_is_refused(rows: int) -> None:
    targets = np.arange(float(rows))  # of classes, every one must be trained on
    data = Dataset.of(np.arange(2.0 * rows).reshape(rows, 2), targets, task="regression")
    most = (rows - 1) / rows
    (split,) = make_splits(data, "shuffle", SplitOptions(1, fraction=most), 0)
    assert (len(split.training), len(split.validation)) == (1, rows - 1)
    with pytest.raises(DataError, match=f"^fraction must leave a row to train on of {rows}, but is 0.9999"):
        make_splits(data, "shuffle", SplitOptions(1, fraction=0.9999), 0)
