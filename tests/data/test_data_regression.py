"""Rows with a regression target to predict: what sources give and refuse, how rows are dealt, what the audit sees."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nnfs.datasets
import numpy as np
import pandas as pd
import pytest
import sklearn.datasets

from hpsearch.data.audit import Finding, audit
from hpsearch.data.columns import Plan, Raw
from hpsearch.data.dataset import Dataset
from hpsearch.data.sources import SOURCES, source_class
from hpsearch.data.splits import SPLITTERS, SplitOptions, hold_out, make_splits
from hpsearch.data.units import independent_units
from hpsearch.errors import DataError, DefinitionError, HpsearchError

FEATURES = [[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]
TARGETS = [0.5, -1.25, 3e9]

several_seeds = pytest.mark.parametrize("seed", range(3))


def of(targets: Any, features: Any = FEATURES, **options: Any) -> Dataset:
    return Dataset.of(features, targets, task="regression", **options)


def load(name: str, folder: Path = Path(), seed: int = 0, **options: Any) -> Dataset:
    return source_class(name).model_validate({"source": name, **options}).load(folder, seed)


def refusal(call: Callable[[], Any]) -> str:
    """The one line with which something is refused."""
    with pytest.raises(HpsearchError) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, DataError | DefinitionError)
    return str(caught.value)


def noisy(seed: int = 0, rows: int = 200) -> Dataset:
    """A regression target that four normal features explain half of."""
    draw = np.random.default_rng(seed)
    features = draw.standard_normal((rows, 4))
    targets = 50 + 7 * (features.sum(axis=1) + 2 * draw.standard_normal(rows))
    return of(targets, features, feature_names=["a", "b", "c", "d"])


# --- a dataset


@pytest.mark.parametrize(
    "targets",
    [
        TARGETS,
        np.array(TARGETS),
        np.array(TARGETS)[:, np.newaxis],
        pd.Series(TARGETS),
        np.array(TARGETS, object),
        [[value] for value in TARGETS],
    ],
    ids=["list", "array", "column", "series", "objects", "lists"],
)
def test_targets_of_every_shape_of_one_number_a_row(targets: Any) -> None:
    data = of(targets)
    assert data.task == "regression"
    assert data.class_names == ()
    assert data.labels.dtype == np.float64
    assert data.labels.tolist() == TARGETS
    assert not data.labels.flags.writeable
    assert data.rows == 3


@pytest.mark.parametrize("kind", [np.int8, np.uint64, np.int64, np.float16, np.float32, bool])
def test_numbers_of_every_type_are_quantities(kind: Any) -> None:
    """Whole numbers too: that they could be classes is what the task decides."""
    targets = np.array([1, 0, 1], kind)
    data = of(targets)
    assert data.labels.dtype == np.float64
    assert data.labels.tolist() == [1.0, 0.0, 1.0]
    assert data.fingerprint == of([1.0, 0.0, 1.0]).fingerprint


def test_the_given_targets_are_copied_not_frozen() -> None:
    targets = np.array(TARGETS)
    data = of(targets)
    targets[0] = 99
    assert data.labels[0] == TARGETS[0]


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([1.0, 2.0], "3 rows need as many targets, but targets have shape (2,)"),
        (np.eye(3), "3 rows need as many targets, but targets have shape (3, 3)"),
        (np.zeros((3, 1, 1)), "3 rows need as many targets, but targets have shape (3, 1, 1)"),
        ([1.0, np.nan, 2.0], "every target must be a finite number, but that of row 1 is nan"),
        ([1.0, 2.0, -np.inf], "every target must be a finite number, but that of row 2 is -inf"),
        ([2.5, 2.5, 2.5], "a regression needs different targets, but every target is 2.5"),
        (["low", "high", "low"], "targets of a regression must be numbers, but"),
        ([1.0, None, 2.0], "row 1"),
        ([1.0, pd.NA, 2.0], "targets of a regression must be numbers, but"),
        ([[1.0], [1.0, 2.0], [3.0]], "targets must be one"),
        ([1j, 2j, 3.0], "targets of a regression must be numbers, but"),
        (np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "M8[D]"), "targets of a regression must be numbers, but"),
    ],
    ids=["few", "square", "cube", "nan", "inf", "same", "text", "none", "na", "ragged", "complex", "dates"],
)
def test_other_targets_are_refused_in_one_clear_line(targets: Any, words: str) -> None:
    line = refusal(lambda: of(targets))
    assert words in line
    assert line.endswith(".")


def test_fractions_as_classes_are_refused_with_a_hint_at_the_task() -> None:
    line = refusal(lambda: Dataset.of(FEATURES, TARGETS))
    assert "must be class labels" in line
    assert "task='regression'" in line


@pytest.mark.parametrize("row", range(3))
def test_the_fingerprint_changes_with_any_bit_of_any_target(row: int) -> None:
    data = of(TARGETS)
    targets = np.array(TARGETS)
    targets[row] = np.nextafter(targets[row], np.inf)
    assert of(targets).fingerprint != data.fingerprint
    assert of(TARGETS).fingerprint == data.fingerprint
    assert of(TARGETS, target_name="other").fingerprint != data.fingerprint


def test_the_task_is_part_of_the_fingerprint() -> None:
    """The same columns of whole numbers, as classes and as a regression target."""
    assert Dataset.of(FEATURES, [0, 1, 0]).fingerprint != of([0, 1, 0]).fingerprint
    # Neither do the bytes of a regression target pass for those of classes.
    labels = np.array([0, 1, 0])
    assert Dataset.of(FEATURES, labels).fingerprint != of(labels.astype(np.int64).view(np.float64)).fingerprint


def test_some_rows_of_it_are_a_dataset_of_the_same_kind() -> None:
    part = of(TARGETS).take(np.array([2, 0]))
    assert part.task == "regression"
    assert part.labels.tolist() == [TARGETS[2], TARGETS[0]]


# --- files


def write(folder: Path, kind: str, targets: list[Any], features: list[Any] | None = None) -> None:
    table = pd.DataFrame({"x": features or [float(i) for i in range(len(targets))], "y": targets})
    if kind == "csv":
        table.to_csv(folder / "rows.csv", index=False)
    else:
        table.to_parquet(folder / "rows.parquet")


files = pytest.mark.parametrize("kind", ["csv", "parquet"])


def from_file(folder: Path, kind: str, **options: Any) -> Dataset:
    return load(kind, folder, **{"path": f"rows.{kind}", "target": "y", "task": "regression", **options})


@files
@pytest.mark.parametrize(
    "targets",
    [[0.1, 1 / 3, -2e-300, 1e99], [3, 1, 2, 3], [0, 1, 1, 0], [2**53 - 1, -7, 0, 1]],
    ids=["fractions", "whole", "binary", "large"],
)
def test_a_column_of_numbers_is_a_quantity_to_the_last_bit(tmp_path: Path, kind: str, targets: list[float]) -> None:
    write(tmp_path, kind, targets)
    data = from_file(tmp_path, kind)
    assert data.task == "regression"
    assert data.target_name == "y"
    assert data.labels.tolist() == [float(value) for value in targets]
    assert data.feature_names == ("x",)


def test_both_kinds_of_file_have_the_same_fingerprint(tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        write(tmp_path, kind, [0.1, 0.2, 0.3])
    assert from_file(tmp_path, "csv").fingerprint == from_file(tmp_path, "parquet").fingerprint
    assert from_file(tmp_path, "csv").fingerprint == of([0.1, 0.2, 0.3], [[0.0], [1.0], [2.0]], feature_names=["x"],
                                                        target_name="y").fingerprint  # fmt: skip


@pytest.mark.parametrize("text", ["1e3", " 2.5 ", "+4", ".5", "-0"])
def test_numbers_are_read_as_people_write_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.csv").write_text(f"x,y\n1,7\n2,{text}\n")
    assert from_file(tmp_path, "csv").labels.tolist() == [7.0, float(text)]


@pytest.mark.parametrize("text", ["low", "2_000", "1,5", "inf", "5 kg", "none", "0x10"])
def test_text_as_a_quantity_is_refused_with_row_and_column(tmp_path: Path, text: str) -> None:
    """The row is that of the file, whose header is the first, as in every other refusal."""
    (tmp_path / "rows.csv").write_text(f'x,y\n1,7.5\n2,8.5\n3,"{text}"\n4,low\n')
    line = refusal(lambda: from_file(tmp_path, "csv"))
    assert line.startswith(
        f"{tmp_path / 'rows.csv'}, row 4, column 'y': must be a finite number to be predicted as one"
    )
    assert f"but is {text!r}" in line
    assert "task='classification'" in line


@pytest.mark.parametrize("values", [["7.5", "8.5", "low"], [7.5, 8.5, float("inf")]], ids=["text", "inf"])
def test_a_parquet_file_s_rows_are_counted_from_1(tmp_path: Path, values: list[Any]) -> None:
    write(tmp_path, "parquet", values)
    line = refusal(lambda: from_file(tmp_path, "parquet"))
    assert f", row 3, column 'y': must be a finite number to be predicted as one, but is '{values[2]}'" in line


@files
def test_booleans_are_no_quantity(tmp_path: Path, kind: str) -> None:
    write(tmp_path, kind, [True, False, True])
    assert "column 'y': must be a finite number to be predicted as one, but is 'True'" in refusal(
        lambda: from_file(tmp_path, kind)
    )


@files
def test_a_missing_target_is_refused(tmp_path: Path, kind: str) -> None:
    write(tmp_path, kind, [0.5, None, 1.5])
    row = 3 if kind == "csv" else 2
    assert f"rows.{kind}, row {row}, column 'y': must not be empty" in refusal(lambda: from_file(tmp_path, kind))


@files
def test_one_and_the_same_target_is_refused(tmp_path: Path, kind: str) -> None:
    write(tmp_path, kind, [2.5, 2.5])
    assert "a regression needs different targets, but every target is 2.5" in refusal(lambda: from_file(tmp_path, kind))


@files
def test_fractions_as_classes_hint_at_the_task(tmp_path: Path, kind: str) -> None:
    write(tmp_path, kind, [0.5, 1.5, 2.5])
    line = refusal(lambda: from_file(tmp_path, kind, task="classification"))
    assert "task='regression'" in line
    assert refusal(lambda: load(kind, tmp_path, path=f"rows.{kind}", target="y")) == line, "the default"


@files
def test_the_task_of_a_moved_study_is_the_same(tmp_path: Path, kind: str) -> None:
    source = source_class(kind).model_validate(
        {"source": kind, "path": f"rows.{kind}", "target": "y", "task": "regression"}
    )
    (tmp_path / "other").mkdir()
    moved = source.moved(tmp_path, tmp_path / "other")
    assert moved["task"] == "regression"
    write(tmp_path, kind, [0.1, 0.2, 0.4])
    assert load(kind, tmp_path / "other", **{k: v for k, v in moved.items() if k != "source"}).task == "regression"


@files
def test_marks_go_with_a_quantity(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame({"x": [1.0, 2, 3], "y": [0.1, 0.2, 0.3], "who": ["a", "b", "a"], "n": [1, 2, 0.5]})
    (table.to_csv(tmp_path / "rows.csv", index=False), table.to_parquet(tmp_path / "rows.parquet"))
    data = from_file(tmp_path, kind, group="who", weight="n")
    assert data.groups is not None
    assert data.weights is not None
    assert data.groups.tolist() == [0, 1, 0]
    assert data.weights.tolist() == [1, 2, 0.5]


# --- functions


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Writes a module beside the study file, and returns the source's name."""
    numbers = itertools.count()

    def make(code: str) -> str:
        name = f"quantities_of_a_test_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(f"import numpy as np\nimport pandas as pd\n{code}", encoding="utf-8")
        return f"python:{name}:rows"

    yield make
    for name in [name for name in sys.modules if name.startswith("quantities_of_a_test_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "targets", ["[0.5, 1.5, -2.0]", "np.array([[0.5], [1.5], [-2.0]])", "pd.Series([0.5, 1.5, -2.0], name='y')"]
)
def test_a_function_may_give_a_quantity(tmp_path: Path, module: Callable[[str], str], targets: str) -> None:
    name = module(f"def rows():\n    return pd.DataFrame({{'x': [1.0, 2.0, 3.0]}}), {targets}\n")
    data = load(name, tmp_path, task="regression")
    assert data.task == "regression"
    assert data.labels.tolist() == [0.5, 1.5, -2.0]
    assert data.target_name == ("y" if "Series" in targets else "target")
    assert source_class(name).model_validate({"source": name, "task": "regression"}).predicts == "regression"


def test_the_task_is_no_argument_of_the_function(tmp_path: Path, module: Callable[[str], str]) -> None:
    name = module("def rows(count, seed):\n    return np.arange(count)[:, None], np.arange(count) + 0.5 + seed\n")
    data = load(name, tmp_path, seed=3, task="regression", count=4)
    assert data.labels.tolist() == [3.5, 4.5, 5.5, 6.5]
    # Without it fractions are no classes.
    assert "task='regression'" in refusal(lambda: load(name, tmp_path, count=4))
    source = source_class(name).model_validate({"source": name, "task": "regression", "count": 4})
    assert source.moved(tmp_path, tmp_path) == {"source": name, "task": "regression", "count": 4}


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ("['a', 'b', 'c']", "targets of a regression must be numbers"),
        ("[1.0, float('nan'), 2.0]", "every row must have a target, but 1 of 3 have none"),
        ("[1.0, 1.0, 1.0]", "needs different targets"),
        ("np.eye(3)", "3 rows need as many targets"),
    ],
)
def test_what_a_function_gives_is_checked(
    tmp_path: Path, module: Callable[[str], str], targets: str, words: str
) -> None:
    name = module(f"def rows():\n    return [[1.0], [2.0], [3.0]], {targets}\n")
    line = refusal(lambda: load(name, tmp_path, task="regression"))
    assert line.startswith(f"{name}: ")
    assert words in line


@pytest.mark.parametrize("name", ["csv", "parquet", "python:m:f"])
def test_an_unknown_task_is_refused(name: str) -> None:
    options = {"path": "rows.csv", "target": "y"} if name != "python:m:f" else {}
    with pytest.raises(ValueError, match="'classification' or 'regression'"):
        source_class(name).model_validate({"source": name, "task": "ranking", **options})


# --- what comes with libraries


@pytest.mark.parametrize("samples", [2, 3, 1000])
def test_the_sine_is_nnfs_s_own_and_is_one(samples: int) -> None:
    data = load("nnfs:sine", samples=samples)
    features, targets = nnfs.datasets.sine_data(samples)
    np.testing.assert_array_equal(data.features, features)
    np.testing.assert_array_equal(data.labels, targets[:, 0])
    # One period on points from 0 on; nnfs computes it so, and the bits of sin are the library's.
    np.testing.assert_allclose(data.features[:, 0], np.arange(samples) / samples, rtol=1e-15)
    np.testing.assert_allclose(data.labels, np.sin(2 * np.pi * data.features[:, 0]), rtol=1e-12, atol=1e-15)
    assert (data.feature_names, data.target_name, data.task) == (("x",), "sine", "regression")


def test_the_sine_is_the_same_for_every_seed_and_touches_no_generator() -> None:
    before = np.random.get_state()  # noqa: NPY002
    one, other = (load("nnfs:sine", seed=seed) for seed in (1, 2))
    after = np.random.get_state()  # noqa: NPY002
    assert one.fingerprint == other.fingerprint
    assert one.rows == 1000
    assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))
    assert not source_class("nnfs:sine").model_validate({"source": "nnfs:sine"}).redrawable


@pytest.mark.parametrize("options", [{"samples": 1}, {"samples": 2.5}, {"classes": 3}, {"task": "regression"}], ids=str)
def test_other_options_of_the_sine_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        load("nnfs:sine", **options)


def test_diabetes_is_scikit_learn_s() -> None:
    data, theirs = load("sklearn:diabetes"), sklearn.datasets.load_diabetes()
    np.testing.assert_array_equal(data.features, theirs.data)
    np.testing.assert_array_equal(data.labels, theirs.target)
    assert data.feature_names == tuple(theirs.feature_names)
    assert (data.target_name, data.task, data.class_names) == ("progression", "regression", ())


def test_loading_a_bundled_quantity_does_not_import_what_it_does_not_need() -> None:
    code = (
        "import sys; from hpsearch.data.sources import source_class\n"
        "source_class('nnfs:sine').model_validate({'source': 'nnfs:sine'}).load(None, 0)\n"
        "assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_says_what_it_predicts_before_it_is_read(name: str) -> None:
    options = {"path": "nowhere", "target": "y"} if name in ("csv", "parquet") else {}
    source = source_class(name).model_validate({"source": name, **options})
    assert source.predicts == ("regression" if name in ("nnfs:sine", "sklearn:diabetes") else "classification")
    if options or name.startswith("python"):
        assert source.model_copy(update={"task": "regression"}).predicts == "regression"


# --- splits and hold-out


@several_seeds
@pytest.mark.parametrize("splitter", [name for name, kind in SPLITTERS.items() if not kind.stratifies])
def test_a_quantity_is_dealt_by_every_splitter_that_needs_no_classes(splitter: str, seed: int) -> None:
    data, rows = noisy(seed), np.arange(200)
    data = replace(data, groups=rows // 4, times=rows.astype(float), folds=rows % 5)
    search, held = hold_out(data, 0.25, splitter, seed)
    assert search.rows + held.rows == 200
    assert sorted([*search.labels, *held.labels]) == sorted(data.labels)
    splits = make_splits(search, splitter, SplitOptions(), seed)
    assert len(splits) == 5
    for split in splits:
        assert not set(split.training) & set(split.validation)
    # Which rows go where has nothing to do with what they have for a target.
    other, _ = hold_out(replace(data, labels=data.labels[::-1].copy()), 0.25, splitter, seed)
    np.testing.assert_array_equal(other.features, search.features)
    again = make_splits(other, splitter, SplitOptions(), seed)
    assert all(np.array_equal(a.validation, b.validation) for a, b in zip(splits, again, strict=True))


def test_training_rows_with_one_target_are_no_reason_to_refuse_a_split() -> None:
    """Of classes every one must be trained on; of a regression target any values will do."""
    targets = np.repeat([1.0, 2.0], 5)
    data = of(targets, np.arange(10.0)[:, np.newaxis])
    splits = make_splits(data, "kfold", SplitOptions(2, shuffle=False), 0)
    assert [set(targets[split.training]) for split in splits] == [{2.0}, {1.0}]


# --- the audit


def found(data: Dataset, held_out: Dataset | None = None, seed: int = 0) -> list[Finding]:
    return audit(data, held_out, make_splits(data, "kfold", SplitOptions(), seed), "kfold")


def names(findings: list[Finding]) -> set[tuple[str, str]]:
    for finding in findings:
        assert "\n" not in str(finding)
    return {(finding.name, finding.level) for finding in findings}


def with_column(data: Dataset, values: np.ndarray[Any, Any]) -> Dataset:
    features = np.column_stack([data.features, values])
    return replace(data, features=features, feature_names=(*data.feature_names, "planted"))


@several_seeds
def test_clean_rows_are_left_alone(seed: int) -> None:
    assert names(found(noisy(seed), seed=seed)) == set()
    diabetes = load("sklearn:diabetes")
    search, held = hold_out(diabetes, 0.2, "kfold", seed)
    assert names(found(search, held, seed)) == set()


COPIES: dict[str, Callable[[Any], Any]] = {
    "the same": lambda t: t,
    "another unit": lambda t: 0.3048 * t - 1e6,
    "negative": lambda t: -t,
    "log": lambda t: np.log(t - t.min() + 1),
    "cubed": lambda t: (t - 50) ** 3,
    "rounded": lambda t: np.round(t, 1),
    "nearly": lambda t: t + 0.05 * np.std(t) * np.random.default_rng(9).standard_normal(len(t)),
}


@several_seeds
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_the_target_is_found_in_whatever_unit_and_on_whatever_scale(how: str, seed: int) -> None:
    data = noisy(seed)
    (finding,) = found(with_column(data, COPIES[how](data.labels)))
    assert (finding.name, finding.level) == ("single-feature", "warning")
    assert "'planted'" in finding.what
    assert "orders the rows as the target does" in finding.what


@several_seeds
def test_a_copy_with_gaps_is_found_too(seed: int) -> None:
    data, draw = noisy(seed), np.random.default_rng(seed)
    gaps = np.where(draw.random(200) < 0.2, np.nan, np.log(data.labels + 1e3))
    raws = [Raw("planted", "numeric", gaps), Raw("noise", "numeric", draw.standard_normal(200))]
    plan = Plan.declare(raws)
    features, _ = plan.expand(raws)
    (finding,) = found(Dataset.of(features, data.labels, plan=plan, task="regression"))
    assert finding.name == "single-feature"
    assert "'planted'" in finding.what


@several_seeds
def test_a_good_feature_is_no_copy(seed: int) -> None:
    """Half as much noise as signal, and whole numbers in a few steps."""
    data, draw = noisy(seed), np.random.default_rng(seed)
    spread = np.std(data.labels)
    good = data.labels + 0.5 * spread * draw.standard_normal(200)
    assert names(found(with_column(data, good))) == set()
    assert names(found(with_column(data, np.digitize(data.labels, [50.0]).astype(float)))) == set()


@several_seeds
def test_rows_that_repeat_each_other_are_duplicates_and_one_unit(seed: int) -> None:
    data = noisy(seed)
    twice = np.concatenate([np.arange(200), np.arange(20)])
    again = data.take(twice)
    assert names(found(again, seed=seed)) == {("duplicates", "error")}
    units = independent_units(again)
    assert len(np.unique(units)) == 200
    np.testing.assert_array_equal(units[200:], units[:20])
    # The last bit of a target makes another row of it: it agrees in all but the target.
    labels = again.labels.copy()
    labels[200:] = np.nextafter(labels[200:], np.inf)
    other = replace(again, labels=labels)
    assert len(np.unique(independent_units(other))) == 220
    assert [f.what for f in found(other, seed=seed) if "in all but the target" in f.what]
    assert names(found(other, seed=seed)) == {("duplicates", "warning")}


def test_a_target_of_minus_0_is_one_of_0() -> None:
    data = of([0.0, -0.0, 1.0, -1.0, *range(2, 42)], [[1.0], [1.0], [-0.0], [0.0], *([float(x)] for x in range(2, 42))])
    assert independent_units(data)[:4].tolist() == [0, 0, 1, 2]


@several_seeds
def test_held_out_rows_among_those_searched_with_are_found(seed: int) -> None:
    data = noisy(seed)
    search, held = data.take(np.arange(150)), data.take(np.arange(140, 200))
    assert ("hold-out", "error") in names(found(search, held, seed))
    labels = held.labels.copy()
    labels[:10] += 1
    assert names(found(search, replace(held, labels=labels), seed)) == set()


def test_units_of_groups_and_copies_hang_together() -> None:
    data = of([0.5, 0.5, *(x + 0.5 for x in range(1, 43))], [[1.0], *([float(x)] for x in range(1, 44))])
    data = replace(data, groups=np.r_[0, 1, 1, 2 + np.arange(41)])
    assert independent_units(data)[:4].tolist() == [0, 0, 0, 1]
