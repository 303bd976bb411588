"""Columns of many categories: what stands for a category is scikit-learn's, and learnt from training rows alone."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from hpsearch import seeds
from hpsearch.data.columns import Plan, Raw
from hpsearch.data.dataset import Dataset
from hpsearch.data.encodings import ENCODINGS, FOLDS, fit_encodings
from hpsearch.data.frames import expand_frame
from hpsearch.data.preprocess import SCALINGS, fit_scaling
from hpsearch.data.sources import source_class
from hpsearch.data.splits import SplitOptions, hold_out, make_splits
from hpsearch.definition.draft import draft
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError
from hpsearch.model.bundle import Bundle
from hpsearch.model.fit import fit
from hpsearch.search.objective import prepare
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import cross_validate
from hpsearch.validation.lanes import fit_scalings, lane_data

TASKS = {"regression": 0, "two classes": 2, "four classes": 4}
tasks = pytest.mark.parametrize("task", TASKS)
encodings = pytest.mark.parametrize("encoding", sorted(ENCODINGS))


def dataset(
    task: str, encoding: str, count: int = 200, categories: int = 30, seed: int = 0, most: int = 5, missing: bool = True
) -> Dataset:
    """A column of categories of very different frequencies, some missing, and one of numbers."""
    draw, classes = np.random.default_rng(seed), TASKS[task]
    codes = np.minimum(draw.geometric(0.12, count) - 1, categories - 1)
    effect = draw.normal(size=categories)[codes] + draw.normal(size=count)
    codes = np.where(missing & (draw.random(count) < 0.1), -1, codes)
    raws = [
        Raw("city", "categorical", codes, tuple(f"c{place:03}" for place in range(categories))),
        Raw("x", "numeric", draw.normal(size=count)),
    ]
    plan = Plan.declare(raws).encoded({"city": encoding}, most, classes if classes > 2 else 1)
    if not classes:
        return Dataset.of(plan.expand(raws)[0], effect, plan=plan, task="regression")
    labels = np.digitize(effect, np.quantile(effect, np.arange(1, classes) / classes))
    return Dataset.of(plan.expand(raws)[0], labels, plan=plan)


def kind_of(data: Dataset) -> str:
    return {0: "continuous", 2: "binary"}.get(len(data.class_names), "multiclass")


def codes_of(data: Dataset) -> np.ndarray:
    return data.features[:, :1].astype(int)


# --- against scikit-learn


@tasks
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), count=st.integers(30, 200), categories=st.integers(1, 60))
def test_what_stands_for_a_category_is_scikit_learns(task: str, seed: int, count: int, categories: int) -> None:
    data = dataset(task, "target", count, categories, seed)
    rows = np.sort(np.random.default_rng(seed).permutation(count)[: 3 * count // 4])
    if len(np.unique(data.labels[rows])) < len(data.class_names):
        return
    (found,) = fit_encodings(data, rows, seed)
    reference = TargetEncoder(target_type=kind_of(data)).fit(codes_of(data)[rows], data.labels[rows])
    wanted = reference.transform(codes_of(data))
    others = np.setdiff1d(np.arange(count), rows)
    codes = data.features[:, 0]
    np.testing.assert_allclose(found.look_up(codes, None), wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.look_up(codes[others], others), wanted[others], rtol=1e-12, atol=1e-12)
    # Of what no training row has nothing is known but the mean of all.
    unknown = np.array([len(data.columns.columns[0].categories) + 1.0])
    np.testing.assert_allclose(found.look_up(unknown, None)[0], reference.target_mean_, rtol=1e-12)


@tasks
def test_a_training_row_is_encoded_by_the_others(task: str) -> None:
    """As in ``fit_transform``: fold by fold, by what the other folds say."""
    data, rows = dataset(task, "target"), np.arange(0, 200, 1)[::2]
    (found,) = fit_encodings(data, rows, 7)
    X, y = codes_of(data)[rows], data.labels[rows]
    splitter = (StratifiedKFold if data.class_names else KFold)(FOLDS, shuffle=True, random_state=7)
    wanted = np.empty((len(rows), found.tables.shape[2]))
    for others, fold in splitter.split(X, y):
        encoder = TargetEncoder(target_type=kind_of(data)).fit(X[others], y[others])
        wanted[fold] = encoder.transform(X[fold])
    np.testing.assert_allclose(found.look_up(X[:, 0], rows), wanted, rtol=1e-12, atol=1e-12)
    assert not np.allclose(found.look_up(X[:, 0], rows), found.look_up(X[:, 0], None))


def test_groups_stay_together_where_training_rows_are_encoded() -> None:
    data = dataset("regression", "target")
    data = replace(data, groups=np.arange(200) // 8)
    rows = np.arange(160)
    (found,) = fit_encodings(data, rows, 7)
    assert found.folds is not None
    for fold, (_, validation) in enumerate(
        GroupKFold(FOLDS, shuffle=True, random_state=7).split(rows, rows, data.groups[rows])  # type: ignore[index]
    ):
        assert (found.folds[validation] == fold).all()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), count=st.integers(20, 150), categories=st.integers(1, 40), most=st.integers(1, 20))
def test_the_most_frequent_have_features_of_their_own(seed: int, count: int, categories: int, most: int) -> None:
    """As ``OneHotEncoder`` has it where categories are infrequent, up to the order of its columns."""
    data = dataset("regression", "frequent", count, categories, seed, most, missing=False)
    rows = np.arange(count // 2)
    (found,) = fit_encodings(data, rows, 0)
    ours = found.look_up(data.features[:, 0], None)
    codes, counts = np.unique(codes_of(data)[rows], return_counts=True)
    assert (ours.sum(axis=1) <= 1).all()
    reference = OneHotEncoder(max_categories=most + 1, handle_unknown="infrequent_if_exist", sparse_output=False)
    theirs = reference.fit(codes_of(data)[rows]).transform(codes_of(data))
    if len(codes) == most + 1:  # a single other is no other to them
        theirs = theirs[:, theirs.any(axis=0)]
    tied = np.sort(counts)[::-1]
    if len(codes) > most and tied[most - 1] == tied[most]:
        # Which of equally frequent ones comes first is not defined: as many rows are others.
        assert ours[: len(rows), -1].sum() == len(rows) - tied[:most].sum()
        return
    used = ours[:, ours.any(axis=0)]
    unseen = ~np.isin(codes_of(data)[:, 0], codes)
    if len(codes) == most + 1:
        used, theirs = used[~unseen], theirs[~unseen]
        used, theirs = used[:, used.any(axis=0)], theirs[:, theirs.any(axis=0)]
    theirs = theirs[:, theirs.any(axis=0)]
    assert sorted(map(tuple, used.T.tolist())) == sorted(map(tuple, theirs.T.tolist()))


@tasks
@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000))
def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_is_none(task: str, seed: int) -> None:
    """For new rows; the folds of the training rows are dealt anew where there are more of them."""
    for encoding in ENCODINGS:
        data = dataset(task, encoding, seed=seed)
        counts = np.random.default_rng(seed).integers(0, 4, data.rows)
        weighted = replace(data, weights=counts.astype(float))
        (found,) = fit_encodings(weighted, np.arange(data.rows), 0)
        (wanted,) = fit_encodings(data, np.arange(data.rows).repeat(counts), 0)
        np.testing.assert_allclose(found.tables[-1], wanted.tables[-1], rtol=1e-9, atol=1e-12)


@tasks
def test_equal_weights_change_nothing(task: str) -> None:
    data = dataset(task, "target")
    one, two = (fit_encodings(of, np.arange(150), 3)[0] for of in (data, replace(data, weights=np.ones(data.rows))))
    np.testing.assert_allclose(one.tables, two.tables, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(one.folds, two.folds)


# --- no leak


@tasks
@encodings
def test_nothing_of_a_validation_row_shapes_an_encoding(task: str, encoding: str) -> None:
    data = dataset(task, encoding)
    rows, others = np.arange(150), np.arange(150, 200)
    labels, features = data.labels.copy(), data.features.copy()
    labels[others] = data.labels[others[::-1]] if data.class_names else 1e9
    features[others, 0] = 3
    for changed in (replace(data, labels=labels), replace(data, features=features)):
        for one, two in zip(fit_encodings(data, rows, 5), fit_encodings(changed, rows, 5), strict=True):
            assert one.tables.tobytes() == two.tables.tobytes()
            np.testing.assert_array_equal(one.folds, two.folds)


def test_no_target_is_a_part_of_what_its_own_row_sees() -> None:
    data, rows = dataset("regression", "target"), np.arange(150)
    (before,) = fit_encodings(data, rows, 5)
    for row in (0, 17, 149):
        labels = data.labels.copy()
        labels[row] += 100
        (after,) = fit_encodings(replace(data, labels=labels), rows, 5)
        seen = [of.look_up(data.features[[row], 0], np.array([row])) for of in (before, after)]
        assert seen[0].tobytes() == seen[1].tobytes()
        assert before.tables[-1].tobytes() != after.tables[-1].tobytes()


# --- lanes, scalings and what is shipped


@tasks
@encodings
@pytest.mark.parametrize("scaling", sorted(SCALINGS))
def test_lanes_see_training_and_validation_rows_as_their_encodings_give_them(
    scaling: str, encoding: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(task, encoding)
    row_sets = [np.arange(0, 150), np.arange(50, 200)]
    scalings = fit_scalings(data, row_sets, scaling, study_seed=3)
    seed = seeds.integer_seed(3, "encoding")
    rows = np.tile(np.arange(data.rows), (2, 1))
    for most in (2**30, 0):  # kept once scaled, or scaled anew in each batch
        monkeypatch.setattr("hpsearch.nn.rows.SCALED_BYTES", most)
        monkeypatch.setattr("hpsearch.nn.rows.TRANSFORMED_BYTES", most)
        lanes = lane_data(data, scalings, row_sets)
        inputs = np.ones((2, data.rows, data.features.shape[1] + 1))
        lanes.gather(rows, inputs, np.empty((2, max(1, len(data.class_names)), data.rows)))
        for lane, training in enumerate(row_sets):
            (wanted,) = fit_encodings(data, training, seed)
            looked_up = wanted.look_up(data.features[:, 0], np.arange(data.rows))
            encoded = data.features.copy()
            encoded[:, : looked_up.shape[1]] = looked_up
            # The same numbers as a plain table, which the scaling cannot tell from others.
            kinds = [kind == "numeric" for kind in data.columns.feature_kinds]
            plain = fit_scaling(scaling, encoded[:, kinds], training)
            seen = inputs[lane, :, :-1]
            np.testing.assert_allclose(seen[:, kinds], plain.apply(encoded[:, kinds]), rtol=1e-9, atol=1e-9)
            flags = ~np.array(kinds)
            np.testing.assert_array_equal(seen[:, flags], encoded[:, flags])
            scaled = scalings[lane].apply(data.features, np.arange(data.rows))
            np.testing.assert_array_equal(seen, scaled)


@tasks
@encodings
def test_a_seed_has_its_bits_and_another_has_others(task: str, encoding: str) -> None:
    data, config = dataset(task, encoding), Config(neurons=8, epochs=4, batch_size=16)
    splits = make_splits(data, "kfold", SplitOptions(3), 1)
    together = cross_validate(data, splits, config, 1)
    again = cross_validate(data, splits, config, 1)
    other = cross_validate(data, splits, config, 2)
    assert together.curve == again.curve
    assert together.curve != other.curve


@tasks
@encodings
@pytest.mark.parametrize("members", [1, 3])
def test_a_saved_model_predicts_new_rows_as_its_encodings_say(
    members: int, encoding: str, task: str, tmp_path: Path
) -> None:
    data = dataset(task, encoding)
    done = fit(Config(neurons=8, epochs=3, scaling="standard"), data, 5, members=members)
    bundle = done.ensemble.bundle(data, {})
    bundle.save(tmp_path / "model")
    loaded = Bundle.load(tmp_path / "model")
    frame = pd.DataFrame({"city": ["c000", "c003", None, "nowhere"], "x": [0.0, 1.0, 2.0, 3.0]})
    with pytest.warns(UserWarning, match="a category that training had not"):
        predicted = bundle.predict(frame)
    with pytest.warns(UserWarning, match="a category that training had not"):
        np.testing.assert_array_equal(loaded.predict(frame), predicted)
    assert loaded.plan == bundle.plan
    np.testing.assert_array_equal(loaded.predictions(data.features), bundle.predictions(data.features))
    (encoding_,) = fit_encodings(data, np.arange(data.rows), seeds.integer_seed(5, "encoding"))
    assert loaded.scaling.encodings[0].tables[-1].tolist() == encoding_.tables[-1].tolist()
    assert loaded.scaling.encodings[0].folds is None
    assert json.loads(json.dumps(loaded.preprocessing))[0]["encoding"] == encoding


def test_what_is_fitted_trains_on_rows_encoded_by_the_others() -> None:
    data = dataset("regression", "target")
    ensemble = fit(Config(neurons=8, epochs=1), data, 5).ensemble
    trained, new = (ensemble.lanes(data, new=new)._scaled_rows(np.dtype(np.float64)) for new in (False, True))
    assert trained is not None
    assert new is not None
    assert not np.allclose(trained[0, :, 0], new[0, :, 0])


@encodings
def test_a_hold_out_is_read_as_new_rows_are(encoding: str) -> None:
    data = dataset("two classes", encoding, 400, 60)
    searched, held_out = hold_out(data, 0.3, "kfold", 0)
    known = set(searched.features[:, 0].tolist())
    count = len(searched.columns.columns[0].categories)
    assert known <= {*map(float, range(count + 1))}
    assert count + 1.0 in held_out.features[:, 0]
    again = searched.columns.expand(searched.columns.raws(searched.features))[0]
    np.testing.assert_array_equal(again, searched.features)


# --- in files

CITY = {"encode": {"city": "target"}}


def load(folder: Path, frame: pd.DataFrame, kind: str = "csv", **options: Any) -> Dataset:
    path = folder / f"rows.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    return (
        source_class(kind).model_validate({"source": kind, "path": path.name, "target": "y", **options}).load(folder, 0)
    )


def cities(count: int = 600, different: int = 120) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    city = draw.integers(0, different, count)
    y = np.array(["a", "b", "c"])[(city + draw.integers(0, 2, count)) % 3]
    return pd.DataFrame({"city": [f"town {place}" for place in city], "x": draw.normal(size=count), "y": y})


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_of_many_categories_is_read(kind: str, tmp_path: Path) -> None:
    frame = cities()
    with pytest.raises(DataError, match=r"must have few categories, at most 50.*encode=\{'city': 'target'\}"):
        load(tmp_path, frame, kind)
    data = load(tmp_path, frame, kind, **CITY)
    assert data.feature_names == ("city=target 1", "city=target 2", "city=target 3", "x")
    names = np.array([*data.columns.columns[0].categories])
    assert names[data.features[:, 0].astype(int)].tolist() == frame["city"].tolist()
    frequent = load(tmp_path, frame, kind, encode={"city": "frequent"}, most_categories=4)
    assert frequent.feature_names[:5] == (*(f"city=frequent {place}" for place in range(1, 5)), "city=other")
    two = load(tmp_path, frame.assign(y=frame["y"].replace("c", "a")), kind, **CITY)
    assert two.feature_names == ("city=target", "x")
    features, notices = expand_frame(data.columns, frame.drop(columns="y").assign(city="nowhere"))
    assert (features[:, 0] == len(names) + 1).all()
    assert notices[0].endswith("('nowhere'), taken as one of which nothing is known.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encode": {"city": "mean"}}, "Unknown encoding 'mean'"),
        ({"encode": {"town": "target"}}, "must have a column 'town', but has not"),
        ({"encode": {"city": "target"}, "categorical": ["city"]}, "'city' is named twice"),
        ({"encode": {"city": "target"}, "drop": ["city"]}, "'city' is named twice"),
        ({"encode": {"city": "target"}, "most_categories": 9}, "must go with a column that is .frequent."),
        ({"encode": {"city": "frequent"}, "most_categories": 0}, "greater than or equal to 1"),
    ],
)
def test_encodings_that_cannot_be_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, cities(), **options)


def test_init_encodes_columns_of_many_categories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cities().assign(city_id=cities()["city"]).to_csv("rows.csv", index=False)
    text = draft(Path("rows.csv"), "y", "rows.csv", "rows.toml").text
    raw = tomllib.loads(text)
    assert raw["data"]["encode"] == {"city": "target"}
    assert raw["data"]["drop"] == ["city_id"]
    assert "left out: it names what its row belongs to" in text
    prepared = prepare(StudyDefinition.from_mapping(raw, tmp_path))
    seed = seeds.integer_seed(0, "encoding")
    for split, scaling in zip(prepared.splits, prepared.scalings["standard"], strict=True):
        (wanted,) = fit_encodings(prepared.search, split.training, seed)
        assert scaling.encodings[0].tables.tobytes() == wanted.tables.tobytes()
