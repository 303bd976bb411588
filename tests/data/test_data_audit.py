"""The leakage audit: each leak, planted, is found and named; clean data is left alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.audit import CHECKS, Finding, _known, _repeated, audit, names_rows, refusal
from hpsearch.data.columns import Plan, Raw
from hpsearch.data.dataset import Dataset
from hpsearch.data.sources import source_class
from hpsearch.data.splits import Split, SplitOptions, hold_out, make_splits
from hpsearch.data.units import labelled_keys, numbered, numbers_of_unlike_targets


def clean(seed: int = 0, rows: int = 200) -> Dataset:
    """Two classes that four normal features tell apart fairly well."""
    draw = np.random.default_rng(seed)
    features = draw.standard_normal((rows, 4))
    labels = (features.sum(axis=1) + draw.standard_normal(rows) > 0).astype(int)
    return Dataset.of(features, labels, feature_names=["a", "b", "c", "d"])


def with_column(data: Dataset, values: np.ndarray, name: str = "planted") -> Dataset:
    features = np.column_stack([data.features, values])
    return replace(data, features=features, feature_names=(*data.feature_names, name))


def found(data: Dataset, splitter: str = "kfold", held_out: Dataset | None = None, seed: int = 0) -> list[Finding]:
    return audit(data, held_out, make_splits(data, splitter, SplitOptions(), seed), splitter)


def names(findings: list[Finding]) -> set[tuple[str, str]]:
    for finding in findings:
        assert "\n" not in str(finding)
    return {(finding.name, finding.level) for finding in findings}


# --- clean data


@pytest.mark.parametrize("source", ["nnfs:spiral", "sklearn:digits", "sklearn:wine"])
@pytest.mark.parametrize("seed", range(3))
def test_clean_data_is_left_alone(source: str, seed: int) -> None:
    data = source_class(source).model_validate({"source": source}).load(Path(), seed)
    for splitter in ("kfold", "stratified"):
        search, held = hold_out(data, 0.2, splitter, seed)
        findings = found(search, splitter, held, seed)
        # Digits has pixels that are always white: worth a note, and no more.
        assert names(findings) == ({("constant", "note")} if source == "sklearn:digits" else set())
    assert found(clean(seed)) == []


@pytest.mark.parametrize("seed", range(3))
def test_iris_has_one_row_twice_and_is_clean_without_it(seed: int) -> None:
    iris = source_class("sklearn:iris").model_validate({"source": "sklearn:iris"}).load(Path(), 0)
    twin = np.flatnonzero((iris.features == iris.features[101]).all(axis=1))
    assert twin.tolist() == [101, 142]
    splits = make_splits(iris, "kfold", SplitOptions(), seed)
    apart = any({101, 142} & set(s.validation) and not {101, 142} <= set(s.validation) for s in splits)
    findings = audit(iris, None, splits, "kfold")
    assert names(findings) == ({("duplicates", "warning")} if apart else set())
    if apart:
        assert "rows 101, 142" in findings[0].what
    assert found(iris.take(np.delete(np.arange(150), 142)), seed=seed) == []


# --- planted leaks


@pytest.mark.parametrize(("copies", "level"), [(2, "warning"), (40, "error")])
def test_rows_that_occur_again_across_the_sides_are_found(copies: int, level: str) -> None:
    data = clean()
    again = data.take(np.concatenate([np.arange(200), np.arange(copies)]))
    findings = found(again)
    assert names(findings) == {("duplicates", level)}
    assert "occur again exactly" in findings[0].what
    # Kept together, they are no leak.
    together = replace(again, groups=np.concatenate([np.arange(200), np.arange(copies)]))
    assert found(together, "group") == []


def test_rows_that_differ_in_the_target_alone_are_found() -> None:
    data = clean()
    again = data.take(np.concatenate([np.arange(200), np.arange(20)]))
    labels = again.labels.copy()
    labels[200:] = 1 - labels[200:]
    findings = found(replace(again, labels=labels))
    assert names(findings) == {("duplicates", "warning")}
    assert "in all but the target" in findings[0].what


def test_groups_on_both_sides_are_found() -> None:
    data = replace(clean(), groups=np.arange(200) // 10)
    assert names(found(data)) == {("groups", "error")}
    assert found(data, "group") == []


def test_time_running_backwards_is_found() -> None:
    data = replace(clean(), times=np.arange(200.0))
    assert names(found(data)) == {("time", "error")}
    assert found(data, "timeseries") == []
    # 5 splits of 200 rows begin to validate at row 35: rows 34 and 35 now share their moment.
    tied = replace(data, times=np.maximum(data.times, 35.0) if data.times is not None else None)
    assert names(found(tied, "timeseries")) == {("time", "warning")}


@pytest.mark.parametrize("seed", range(3))
def test_a_feature_that_is_the_target_in_disguise_is_found(seed: int) -> None:
    data = clean(seed)
    disguised = with_column(data, data.labels * 3.5 + np.random.default_rng(seed).uniform(0, 0.5, 200))
    findings = found(disguised, seed=seed)
    assert names(findings) == {("single-feature", "warning")}
    assert "'planted'" in findings[0].what


@pytest.mark.parametrize("order", ["ascending", "shuffled"])
def test_a_column_that_names_its_rows_is_found(order: str) -> None:
    numbers = np.arange(1000, 1200) if order == "ascending" else np.random.default_rng(0).permutation(200)
    assert names(found(with_column(clean(), numbers))) == {("identifier", "warning")}
    sparse = np.random.default_rng(0).choice(10**6, 200, replace=False)  # such as amounts of money
    assert found(with_column(clean(), sparse)) == []


@pytest.mark.parametrize(("copies", "level"), [(1, "warning"), (10, "error")])
def test_held_out_rows_among_those_to_search_with_are_found(copies: int, level: str) -> None:
    data = clean()
    search, held = data.take(np.arange(150)), data.take(np.concatenate([np.arange(copies), np.arange(150, 200)]))
    assert names(found(search, held_out=held)) == {("hold-out", level)}
    assert found(search, held_out=data.take(np.arange(150, 200))) == []


def test_columns_of_one_value_are_one_note_which_stops_nothing() -> None:
    digits = source_class("sklearn:digits").model_validate({"source": "sklearn:digits"}).load(Path(), 0)
    (note,) = found(digits)
    constant = [repr(name) for name, values in zip(digits.feature_names, digits.features.T, strict=True)
                if np.unique(values).size == 1]  # fmt: skip
    assert len(constant) == 3
    assert f"3 columns have one value in all rows: {', '.join(constant)}." in str(note)
    assert refusal([note], []) is None


def test_a_column_of_categories_that_together_give_the_target_away_is_found() -> None:
    """None of its one-hot features does alone."""
    data, labels = clean(), np.arange(200) % 3
    raws = [Raw("x", "numeric", data.features[:, 0]), Raw("planted", "categorical", labels, ("u", "v", "w"))]
    plan = Plan.declare(raws)
    leaking = Dataset.of(plan.expand(raws)[0], labels, plan=plan)
    assert names(found(leaking)) == {("single-feature", "warning")}
    assert "'planted'" in found(leaking)[0].what


@pytest.mark.parametrize(
    ("categories", "keys"),
    [
        (("1,5", "12,25", "3"), ["decimal=','"]),
        (("1.234,5", "3", "7"), ["decimal=',' and thousands='.'"]),
        (("1,234", "5,678", "9"), ["thousands=','", "decimal=','"]),
        (("1 234", "5", "9"), ["thousands=' '"]),
        (("5 %", "-3.5 %", "0 %"), ["units=['%']"]),
        (("€1,50", "€ 20", "€3"), ["decimal=',' and units=['€']"]),
        (("1.5", "2", "3"), []),
        (("1,5", "2", "low"), []),
        (("1.5", "2,5", "3"), []),
        (("31.12.2025", "1.1.2026", "3.4.2026"), []),
    ],
    ids=str,
)
def test_numbers_that_are_taken_for_categories_are_found(categories: tuple[str, ...], keys: list[str]) -> None:
    data = clean()
    codes = np.random.default_rng(1).integers(0, 3, 200)
    raws = [Raw("x", "numeric", data.features[:, 0]), Raw("planted", "categorical", codes, categories)]
    plan = Plan.declare(raws)
    findings = found(Dataset.of(plan.expand(raws)[0], data.labels, plan=plan))
    assert names(findings) == ({("numbers-as-text", "warning")} if keys else set())
    assert all(key in str(finding) for key in keys for finding in findings)


def test_rows_that_were_left_out_without_a_target_are_said() -> None:
    assert names(found(replace(clean(), without_target=3))) == {("missing-target", "warning")}
    for count, said in ((1, "1 row without a target is left out."), (3, "3 rows without a target are left out.")):
        assert [finding.what for finding in found(replace(clean(), without_target=count))] == [said]


def test_each_check_has_a_leak_that_it_finds_here() -> None:
    assert set(CHECKS) == {
        *("constant", "duplicates", "groups", "hold-out", "identifier", "missing-target", "numbers-as-text"),
        *("single-feature", "time"),
    }


# --- rows that repeat each other by chance


def of_few_values(seed: int, rows: int, columns: int, values: int) -> Dataset:
    draw = np.random.default_rng(seed)
    return Dataset.of(draw.integers(0, values, (rows, columns)).astype(float), draw.integers(0, 2, rows))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("columns", "values"), [(1, 5), (3, 3), (4, 5), (2, 12)])
def test_rows_of_few_values_are_warned_of_and_not_refused(columns: int, values: int, seed: int) -> None:
    search, held = hold_out(of_few_values(seed, 400, columns, values), 0.2, "kfold", seed)
    findings = found(search, held_out=held, seed=seed)
    assert names(findings) == {("duplicates", "warning"), ("hold-out", "warning")}
    assert any("so few values" in finding.why for finding in findings if finding.name == "duplicates")


@pytest.mark.parametrize("seed", range(5))
def test_copies_among_rows_of_few_values_are_refused(seed: int) -> None:
    """Every row comes twice; by chance half of so many would repeat another."""
    data = of_few_values(seed, 300, 4, 5)
    again = data.take(np.repeat(np.arange(300), 2))
    search, held = hold_out(again, 0.2, "kfold", seed)
    assert {("duplicates", "error"), ("hold-out", "error")} <= names(found(search, held_out=held, seed=seed))


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_class_that_was_drawn_again_and_again_is_refused(seed: int) -> None:
    data = clean(seed)
    narrow = Dataset.of(data.features[:, :2], data.labels)
    rare = np.flatnonzero(narrow.labels == 1)[:10]
    oversampled = narrow.take(np.concatenate([np.flatnonzero(narrow.labels == 0), np.repeat(rare, 10)]))
    assert ("duplicates", "error") in names(found(oversampled, seed=seed))


def test_the_features_of_a_category_are_dealt_together() -> None:
    """Dealt one by one, the 0/1 features of 100 categories would hardly ever make a row again."""
    codes, labels = np.arange(600) % 100, np.arange(600) // 100 % 2
    raws = [Raw("place", "categorical", codes, tuple(f"p{i:02}" for i in range(100)))]
    plan = Plan.declare(raws)
    data = Dataset.of(plan.expand(raws)[0], labels, plan=plan)
    assert ("duplicates", "error") not in names(found(data))


# --- what stops a study


def test_errors_stop_a_study_unless_they_are_allowed_by_name() -> None:
    data = replace(clean(), groups=np.arange(200) // 10, times=np.arange(200.0))
    findings = found(data)
    assert names(findings) == {("groups", "error"), ("time", "error")}
    reason = refusal(findings, [])
    assert str(reason).endswith("(1 more: hpsearch check.)")
    assert "allow=['groups']" in str(reason)
    assert "allow=['time']" in str(refusal(findings, ["groups"]))
    assert refusal(findings, ["groups", "time"]) is None
    assert refusal([replace(finding, level="warning") for finding in findings], []) is None


VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.0, 0.1, 1e300])
ROWS = st.lists(st.tuples(VALUES, VALUES, st.integers(0, 1)), min_size=4, max_size=40)


@given(ROWS, st.randoms(use_true_random=False), st.booleans())
def test_repeated_rows_are_those_that_a_comparison_of_all_pairs_finds(
    rows: list[tuple[float, float, int]], draw: Random, narrow: bool
) -> None:
    """Rows of tuples, compared by ==, for which -0 is 0 too."""
    rows = [*rows, (7.0, 7.0, 0), (7.0, 8.0, 1)]  # two classes
    places = draw.sample(range(len(rows)), len(rows))
    splits = [
        Split(0, fold, np.array(sorted({*places} - {*places[fold::2]})), np.array(places[fold::2])) for fold in (0, 1)
    ]
    table = np.array(rows)[:, :2]
    if narrow:
        table = np.minimum(table, 3e38).astype(np.float32)
        rows = [(*map(float, features), label) for features, (*_, label) in zip(table, rows, strict=True)]
    data = Dataset.of(table, np.array([label for *_, label in rows]))

    exact = {row for s in splits for row in s.validation for other in s.training if rows[row] == rows[other]}
    assert _repeated(splits, numbered(labelled_keys(data))) == (sorted(exact), len(rows))

    def unlike(row: int) -> bool:
        return any(other[:2] == rows[row][:2] and other[2] != rows[row][2] for other in rows)

    alike = {
        row
        for s in splits
        for row in s.validation
        for other in s.training
        if rows[row][:2] == rows[other][:2] and unlike(row)
    }
    assert _repeated(splits, numbers_of_unlike_targets(data)) == (sorted(alike), len(rows))

    first = draw.randrange(1, len(rows))
    known = [row - first for row in range(first, len(rows)) if rows[row] in rows[:first]]
    assert _known(labelled_keys(data), first) == known


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1), st.integers(1, 3))
def test_numbers_are_of_equal_keys_in_the_order_of_their_first_rows(values: list[int], parts: int) -> None:
    keys = np.array([[value // 3**part for part in range(parts)] for value in values])
    numbers: dict[tuple[int, ...], int] = {}
    expected = [numbers.setdefault(tuple(key), len(numbers)) for key in keys.tolist()]
    assert numbered(keys if parts > 1 else keys[:, 0]).tolist() == expected


@given(st.lists(st.integers(-50, 50), min_size=20, max_size=60), st.sampled_from([None, 0.5, np.nan]))
def test_a_column_names_rows_as_a_plain_look_at_it_says(numbers: list[int], odd: float | None) -> None:
    values = [float(number) for number in numbers]
    if odd is not None:
        values[-1] = odd
    steps = [after - before for before, after in pairwise(values)]
    expected = (
        all(value.is_integer() for value in values)
        and len(set(values)) == len(values)
        and (
            all(step > 0 for step in steps)
            or all(step < 0 for step in steps)
            or max(values) - min(values) < 2 * len(values)
        )
    )
    assert names_rows(np.array(values)) == expected
