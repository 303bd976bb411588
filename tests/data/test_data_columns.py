"""From the columns of a table to features: declared once, filled and scaled as scikit-learn would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, PowerTransformer, StandardScaler

from hpsearch.data.cells import Types
from hpsearch.data.columns import Column, Plan, Raw, summary
from hpsearch.data.dataset import Dataset
from hpsearch.data.frames import expand_frame, frame_columns
from hpsearch.data.preprocess import IMPUTERS, SCALINGS, fit_scaling
from hpsearch.data.source import Source
from hpsearch.data.sources import source_class
from hpsearch.errors import DataError
from hpsearch.validation.lanes import fit_scalings, lane_data

SKLEARN: dict[str, Any] = {
    "minmax": MinMaxScaler,
    "none": FunctionTransformer,
    "power": PowerTransformer,
    "standard": StandardScaler,
}
NUMERIC, BOOLEAN, CATEGORICAL = ["age", "weight"], ["member", "paid"], ["port", "sex"]
Mixed = Callable[..., pd.DataFrame]


def source(frame: pd.DataFrame, folder: Path, kind: str = "csv", **options: Any) -> Source:
    """The table as a file, and the source that reads it."""
    path = folder / f"rows.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    options = {"source": kind, "path": path.name, "target": "kind", **options}
    return source_class(kind).model_validate(options)


def load(frame: pd.DataFrame, folder: Path, kind: str = "csv", **options: Any) -> Dataset:
    return source(frame, folder, kind, **options).load(folder, 0)


def reference(scaling: str, impute: str) -> ColumnTransformer:
    """scikit-learn's own transform: numbers filled and scaled, booleans filled, categories one-hot, indicators."""
    return ColumnTransformer(
        [
            ("number", make_pipeline(SimpleImputer(strategy=IMPUTERS[impute]), SKLEARN[scaling]()), NUMERIC),
            ("boolean", SimpleImputer(strategy="most_frequent"), BOOLEAN),
            ("category", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORICAL),
            ("missing", MissingIndicator(features="all"), [*NUMERIC, *BOOLEAN]),
        ]
    )


def for_sklearn(frame: pd.DataFrame) -> pd.DataFrame:
    floats = frame[[*NUMERIC, *BOOLEAN]].astype("Float64").astype("float64")
    return floats.join(frame[CATEGORICAL].astype(object).where(frame[CATEGORICAL].notna(), None))


# Its columns by our names. scikit-learn sorts a missing category last.
SKLEARN_ORDER = [
    *["age", "weight", "member", "paid", "port=Oslo", "port=Rome", "port=Åbo", "port=missing", "sex=f", "sex=m"],
    *["age=missing", "weight=missing", "member=missing", "paid=missing"],
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("impute", IMPUTERS)
@pytest.mark.parametrize("scaling", SCALINGS)
def test_features_filled_and_scaled_are_scikit_learns(
    scaling: str, impute: str, seed: int, tmp_path: Path, mixed: Mixed
) -> None:
    frame = mixed(200, seed)
    data = load(frame, tmp_path, impute=impute)
    rows = np.sort(np.random.default_rng(seed).permutation(200)[:150])
    learnt = fit_scaling(scaling, data.features, rows, data.columns, fill_all=True)
    fitted = reference(scaling, impute).fit(for_sklearn(frame.iloc[rows]))
    new = mixed(50, seed + 100).astype({"paid": "boolean"})
    new.loc[:4, "port"] = "Paris"
    new.loc[2:6, ["weight", "paid"]] = None
    for table, features in ((frame, data.features), (new, expand_frame(data.columns, new)[0])):
        theirs = pd.DataFrame(fitted.transform(for_sklearn(table)).astype(float), columns=SKLEARN_ORDER)
        wanted = theirs[list(data.feature_names)]
        # A lambda is found to some 1e-8, where the likelihood is flat; versions of SciPy differ in how.
        close = {"rtol": 1e-5, "atol": 1e-6} if scaling == "power" else {"rtol": 1e-12, "atol": 1e-12}
        np.testing.assert_allclose(learnt.apply(features), wanted, **close)
    assert set(SKLEARN_ORDER) - set(data.feature_names) == {"weight=missing", "paid=missing"}  # nothing was missing


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("impute", IMPUTERS)
@pytest.mark.parametrize("scaling", SCALINGS)
def test_what_is_learnt_of_weighted_rows_is_what_is_learnt_of_repeated_ones(
    scaling: str, impute: str, seed: int, tmp_path: Path, mixed: Mixed
) -> None:
    """A row of weight 2 is two rows, one of weight 0 none; and the weights' unit does not matter."""
    data = load(mixed(), tmp_path, impute=impute)
    counts = np.random.default_rng(seed).integers(0, 4, data.rows)
    repeated = fit_scaling(scaling, data.features, np.arange(data.rows).repeat(counts), data.columns, fill_all=True)
    for unit in (1.0, 2.0**-20):
        weights = unit * counts
        weighted = fit_scaling(scaling, data.features, np.arange(data.rows), data.columns, True, weights)
        close = 1e-6 if scaling == "power" else 1e-12  # lambda is where a likelihood is flat
        for part in ("centre", "scale", "fill"):
            np.testing.assert_allclose(getattr(weighted, part), getattr(repeated, part), rtol=close)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_nothing_is_learnt_from_other_rows_than_those_given(scaling: str, tmp_path: Path, mixed: Mixed) -> None:
    data = load(mixed(), tmp_path)
    rows, others = np.arange(80), np.arange(80, 120)
    changed = data.features.copy()
    changed[others, data.feature_names.index("age")] = 1e9
    changed[others, data.feature_names.index("member")] = 1
    one, two = (fit_scaling(scaling, features, rows, data.columns) for features in (data.features, changed))
    assert one.fill is not None
    assert two.fill is not None
    for before, after in ((one.fill, two.fill), (one.centre, two.centre), (one.scale, two.scale)):
        assert before.tobytes() == after.tobytes()
    if scaling == "power":
        assert one.lambdas is not None
        assert two.lambdas is not None
        assert one.lambdas.tobytes() == two.lambdas.tobytes()


def test_lanes_see_the_rows_as_their_scalings_give_them(tmp_path: Path, mixed: Mixed) -> None:
    data = load(mixed(), tmp_path)
    row_sets = [np.arange(0, 80), np.arange(40, 120)]
    scalings = fit_scalings(data, row_sets, "standard")
    lanes = lane_data(data, scalings, row_sets)
    rows = np.tile(np.arange(data.rows), (2, 1))
    inputs = np.ones((2, data.rows, data.features.shape[1] + 1))
    lanes.gather(rows, inputs, np.empty((2, 2, data.rows)))
    for lane, scaling in enumerate(scalings):
        assert inputs[lane, :, :-1].tobytes() == scaling.apply(data.features).tobytes()


def test_the_fit_is_one_plain_table(tmp_path: Path, mixed: Mixed) -> None:
    frame = mixed()
    data = load(frame, tmp_path)
    table = fit_scaling("standard", data.features, np.arange(120), data.columns, fill_all=True).table(data.columns)
    assert json.loads(json.dumps(table)) == table
    by_name = {row["column"]: row for row in table}
    assert list(by_name) == ["age", "port", "member", "weight", "sex", "paid"]
    age = by_name["age"]
    assert (age["kind"], age["indicator"], age["categories"]) == ("numeric", True, [])
    assert age["fill"] == frame["age"].median()
    assert age["centre"] == pytest.approx(frame["age"].fillna(frame["age"].median()).mean())
    assert by_name["weight"]["fill"] == frame["weight"].median()
    mode = float(frame["member"].mode().iloc[0])
    learnt = {"fill": mode, "indicator": True, "centre": None, "scale": None}
    assert by_name["member"] == {"column": "member", "kind": "boolean", **learnt, "categories": []}
    assert by_name["port"]["categories"] == ["Oslo", "Rome", "Åbo"]
    assert by_name["port"]["fill"] is None


def test_a_column_without_a_value_in_the_training_rows_is_refused(tmp_path: Path, mixed: Mixed) -> None:
    data = load(mixed().assign(age=[1.0] * 5 + [None] * 115), tmp_path)
    with pytest.raises(DataError, match=r"^column 'age': must have a value among the training rows .* in all 115 of"):
        fit_scaling("standard", data.features, np.arange(5, 120), data.columns)


# --- features


def test_columns_become_features_in_their_order(tmp_path: Path, mixed: Mixed) -> None:
    frame = mixed()
    data = load(frame, tmp_path)
    ports = [f"port={port}" for port in ("Oslo", "Rome", "Åbo", "missing")]
    members = ["member", "member=missing"]
    assert data.feature_names == ("age", "age=missing", *ports, *members, "weight", "sex=f", "sex=m", "paid")
    expanded = pd.DataFrame(data.features, columns=data.feature_names)
    np.testing.assert_array_equal(expanded["age"], frame["age"])
    np.testing.assert_array_equal(expanded["age=missing"], frame["age"].isna())
    np.testing.assert_array_equal(expanded["port=Rome"], frame["port"] == "Rome")
    # A missing category is a category.
    np.testing.assert_array_equal(expanded[ports].sum(axis=1), 1)
    np.testing.assert_array_equal(expanded["member"], frame["member"].astype("Float64").astype("float64"))
    assert np.isnan(data.features).any(axis=0).sum() == 2


def test_all_that_is_not_numbers_is_part_of_the_fingerprint(tmp_path: Path, mixed: Mixed) -> None:
    frame = mixed().assign(code=np.arange(120) % 2)
    prints = [load(frame, tmp_path, **options).fingerprint
              for options in ({}, {"boolean": ["code"]}, {"impute": "mean"}, {"categorical": ["code"]})]  # fmt: skip
    assert len(set(prints)) == 4


def test_numbers_alone_are_what_they_were_as_an_array(tmp_path: Path, mixed: Mixed) -> None:
    """Same fingerprint, and nothing to fill: studies of them stay what they are."""
    frame = mixed()[["weight", "kind"]]
    data = load(frame, tmp_path)
    plain = Dataset.of(frame[["weight"]], frame["kind"], feature_names=["weight"], target_name="kind")
    assert data.fingerprint == plain.fingerprint
    assert fit_scaling("standard", data.features, np.arange(120), data.columns).fill is None


def test_a_plan_survives_json(tmp_path: Path, mixed: Mixed) -> None:
    plan = load(mixed(), tmp_path, impute="mean", missing=["-1"]).columns
    assert Plan.from_plain(json.loads(json.dumps(plan.to_plain()))) == plan


def test_what_a_plan_did_not_foresee_is_all_zeros_and_said() -> None:
    plan = Plan((Column("port", "categorical", categories=("a", "b")), Column("x"), Column("y", indicator=True)))
    features, notices = plan.expand(
        [
            Raw("port", "categorical", np.array([0, 1, 2, -1, 2]), ("b", "z", "q")),
            Raw("x", "numeric", np.array([1, np.nan, 3, 4, 5])),
            Raw("y", "numeric", np.array([1, np.nan, 3, 4, 5])),
        ]
    )
    assert plan.feature_names == ("port=a", "port=b", "x", "y", "y=missing")
    np.testing.assert_array_equal(features[:, :2], [[0, 1], [0, 0], [0, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(features[:, 2], [1, np.nan, 3, 4, 5])
    np.testing.assert_array_equal(features[:, 4], [0, 1, 0, 0, 0])
    unseen, missing, number = notices
    assert unseen.startswith("Column 'port': 3 rows have a category that training had not ('z', 'q'), ")
    assert missing.startswith("Column 'port': 1 row has no value, where training always had")
    assert number.startswith("Column 'x': 1 row has no value, where training always had")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((Column("a", "categorical", True, ("missing",)),), "'a': must not have both missing values and a category"),
        ((Column("a", "categorical", False, ("b",)), Column("a=b")), "'a=b' stands twice"),
    ],
)
def test_features_have_different_names(columns: tuple[Column, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Plan(columns)


def test_columns_are_described_in_a_line(tmp_path: Path, mixed: Mixed) -> None:
    frame = mixed()
    data = load(frame, tmp_path)
    missing = frame.isna().sum()
    assert summary(data.columns.describe(data.features)) == (
        f"2 numeric (age: {missing['age']} missing), 2 categorical (port: 3 categories, {missing['port']} missing; "
        f"sex: 2 categories), 2 boolean (member: {missing['member']} missing; paid)"
    )


# --- pandas tables


def test_a_pandas_table_is_taken_as_its_file_is(tmp_path: Path, mixed: Mixed) -> None:
    frame = mixed()
    columns = frame.drop(columns="kind")
    data = load(frame, tmp_path)
    objects = columns.astype(object).where(columns.notna(), None)
    for features in (columns, columns.astype({"port": "category"}), objects):
        raws = frame_columns(features, Types())
        plan = Plan.declare(raws)
        assert plan.columns == data.columns.columns
        np.testing.assert_array_equal(plan.expand(raws)[0], data.features)
        again, notices = expand_frame(plan, features[features.columns[::-1]])
        np.testing.assert_array_equal(again, data.features)
        assert notices == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            pd.timedelta_range("1h", periods=4),
            "'x': must hold .* or dates, but holds timedelta",
        ),
        ([1.0, np.inf, 2.0, 3.0], "row 1, column 'x': must be a finite number, but is inf"),
        ([None, None, None, None], "'x': must have a value in some row"),
        ([np.nan] * 4, "'x': must have a value in some row"),
        ([1j, 2j, 3j, 4j], "'x': must hold numbers"),
    ],
)
def test_a_pandas_column_that_cannot_be_features_is_refused(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        frame_columns(pd.DataFrame({"x": values}), Types())
