"""Estimators take a DataFrame's columns as a study file takes a file's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import hpsearch
from hpsearch.data.sources import source_class
from hpsearch.errors import DataError, DefinitionError
from hpsearch.search.objective import load_rows

KEYS: dict[str, Any] = {
    "order": {"size": ["S", "M", "L"]},
    "encode": {"city": "target"},
    "categorical": ["code"],
    "missing": ["?"],
    "impute": "mean",
    "date": ["when"],
}


def table(count: int = 160) -> tuple[pd.DataFrame, np.ndarray]:
    draw = np.random.default_rng(0)
    city = draw.integers(0, 60, count)
    frame = pd.DataFrame(
        {
            "city": [f"town {place}" for place in city],
            "size": draw.choice(["S", "M", "L", "?"], count),
            "code": draw.integers(1, 4, count),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 300, count), unit="D"),
            "x": np.where(draw.random(count) < 0.1, np.nan, draw.normal(size=count)),
        }
    )
    return frame, city % 7 + draw.normal(size=count)


def in_a_study(frame: pd.DataFrame, y: np.ndarray, folder: Path, task: str) -> hpsearch.StudyDefinition:
    frame.assign(y=y).to_csv(folder / "rows.csv", index=False)
    return hpsearch.StudyDefinition.from_mapping(
        {
            "study": {"name": "s", "seed": 3},
            "data": {"source": "csv", "path": "rows.csv", "target": "y", "task": task, **KEYS},
            "train": {"neurons": 8, "epochs": 5, "batch_size": 32, "learning_rate": 0.001, "weight_l2": 0.001},
            "retrain": {"members": 1},
        },
        folder,
    )


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_with_columns_an_estimator_has_the_bits_of_a_study_file(task: str, tmp_path: Path) -> None:
    frame, target = table()
    y = target if task == "regression" else np.digitize(target, [2.0, 4.0])
    kind = hpsearch.MLPRegressor if task == "regression" else hpsearch.MLPClassifier
    network = kind(8, epochs=5, random_state=3, columns=KEYS, dtype="float32").fit(frame, y)
    model = hpsearch.retrain(in_a_study(frame, y, tmp_path, task))
    assert network.bundle_.plan == model.plan
    assert network.bundle_.parameters.tobytes() == model.parameters.tobytes()
    predicted = network.predict(frame)
    assert predicted.astype(str).tolist() == model.predict(frame).astype(str).tolist()
    assert network.n_features_in_ == 5
    assert network.feature_names_in_.tolist() == [*frame.columns]


def test_a_search_takes_them_as_its_networks_do() -> None:
    frame, y = table()
    network = hpsearch.MLPRegressor(8, epochs=4, columns=KEYS)
    space = {"learning_rate": {"float": [1e-3, 1e-1], "log": True}}
    search = hpsearch.KFoldSearchCV(network, space, n_trials=2, cv=3, finalists=0, random_state=1, members=1)
    search.fit(frame, y)
    assert search.best_estimator_.bundle_.plan.columns[0].encoding == "target"
    assert search.predict(frame[::-1]).tolist() == search.predict(frame)[::-1].tolist()
    with pytest.warns(UserWarning, match="a category that training had not"):
        scores = cross_val_score(clone(network), frame, y, cv=2)
    assert np.isfinite(scores).all()


def test_rows_of_weight_zero_shape_nothing() -> None:
    frame, y = table()
    weights = np.arange(160) % 3.0
    network = hpsearch.MLPRegressor(8, epochs=3, random_state=1, columns=KEYS)
    changed = frame.assign(city=frame["city"].where(weights > 0, "gone"))
    one, two = (clone(network).fit(X, y, weights).predict(frame[weights > 0]) for X in (frame, changed))
    assert one.tobytes() == two.tobytes()


def test_dtypes_say_what_columns_are(tmp_path: Path) -> None:
    frame, y = table()
    sizes = frame["size"].replace("?", None)
    frame["size"] = pd.Categorical(sizes, ["S", "M", "L"], ordered=True)
    network = hpsearch.MLPRegressor(8, epochs=2, random_state=1, columns={"encode": {"city": "frequent"}}).fit(frame, y)
    kinds = {column.name: column.kind for column in network.bundle_.plan.columns}
    assert (kinds["size"], kinds["when"], kinds["code"]) == ("ordered", "date", "numeric")
    assert network.bundle_.plan.columns[1].indicator
    network.bundle_.save(tmp_path / "model")
    again = hpsearch.Bundle.load(tmp_path / "model")
    assert again.predict(frame).tolist() == network.predict(frame).tolist()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"encode": {"city": "targett"}},
            "^MLPRegressor, columns encode city: Unknown encoding 'targett'.* Did you mean 'target'",
        ),
        ({"numeric": "a"}, "^MLPRegressor: columns\\['numeric'\\] must be a list, but is 'a'\\.$"),
        ({"date": [1]}, "columns\\['date'\\]\\['0'\\] must be text, but is 1\\.$"),
        ({"encode": 3}, "columns\\['encode'\\] must be a dict, but is 3\\.$"),
        ({"order": {"size": ["S"]}}, "columns\\['order'\\]\\['size'\\] must have at least 2, but has 1"),
        ({"most_categories": 0}, "columns\\['most_categories'\\] must be at least 1, but is 0\\.$"),
        ({"most_categories": "a"}, "columns\\['most_categories'\\] must be an integer, but is 'a'\\.$"),
        ({"impute": "mode"}, "columns\\['impute'\\] must be 'mean', .*, but is 'mode'\\.$"),
        ({"encode": {"town": "target"}}, "must have a column 'town', but has not. Choose one of: .* when, x"),
        ({"target": "y"}, "^MLPRegressor: columns has no key 'target'\\. "),
        ({"order": {"size": ["S", "M"]}}, "column 'size': must be one of 'S', 'M', but is"),
        ({"date": ["when"], "categorical": ["when"]}, "'when' is named twice"),
        ({"date_format": {"size": "%d/%m/%Y"}}, "must be of a column of dates, but 'size' is none"),
    ],
)
def test_columns_that_cannot_be_are_refused(columns: dict[str, Any], message: str) -> None:
    frame, y = table()
    with pytest.raises((DataError, DefinitionError), match=message):
        hpsearch.MLPRegressor(8, epochs=2, columns={"encode": {"city": "target"}, **columns}).fit(frame, y)


def test_columns_that_are_no_table_are_refused() -> None:
    frame, y = table()
    must = r"^MLPRegressor: columns must be a dict of keys, as \{'categorical': \['city'\]\}, but is 3\.$"
    with pytest.raises(DataError, match=must):
        hpsearch.MLPRegressor(8, epochs=2, columns=3).fit(frame, y)


def test_columns_need_a_table_and_all_rows() -> None:
    frame, y = table()
    network = hpsearch.MLPRegressor(8, epochs=2, columns=KEYS)
    with pytest.raises(DataError, match="X must be a pandas DataFrame with columns, but is of type ndarray"):
        network.fit(frame.to_numpy(), y)
    with pytest.raises(AttributeError):
        network.partial_fit(frame, y)
    with pytest.raises(ValueError, match="feature names"):
        network.fit(frame, y).predict(frame.drop(columns="city"))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        network.fit(frame, y[:-1])


def test_a_function_says_what_its_columns_are(tmp_path: Path) -> None:
    frame, y = table()
    frame.assign(y=y).to_pickle(tmp_path / "rows.pickle")  # whose numbers every version reads as they are
    code = f"""
import pandas as pd
def load():
    table = pd.read_pickle({str(tmp_path / "rows.pickle")!r})
    return table.drop(columns="y"), table["y"], {{"columns": {KEYS!r}}}
def wrong():
    return [[1.0], [2.0]], [1, 2], {{"columns": {{}}}}
"""
    (tmp_path / "ours.py").write_text(code, encoding="utf-8")
    made = {"source": "python:ours:load", "task": "regression"}
    study = hpsearch.StudyDefinition.from_mapping({"study": {"name": "s"}, "data": made}, tmp_path)
    data, _ = load_rows(study)
    file, _ = load_rows(in_a_study(frame, y, tmp_path, "regression"))
    assert data.fingerprint == file.fingerprint
    with pytest.raises(DataError, match="must return a pandas table to say what its columns are"):
        source_class("python:ours:wrong").model_validate({**made, "source": "python:ours:wrong"}).load(tmp_path, 0)
