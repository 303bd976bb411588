"""The whole search as an estimator: the product's own study, told as scikit-learn's searches tell theirs."""

from __future__ import annotations

import pickle
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedKFold,
    StratifiedGroupKFold,
    TimeSeriesSplit,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hpsearch
from hpsearch.estimators.arguments import config_of
from hpsearch.estimators.cv_results import greater_is_better
from hpsearch.results.best_study import export
from hpsearch.validation.metrics import METRICS
from hpsearch.validation.selection import Corrected

X, Y = load_iris(return_X_y=True)
FAST: dict[str, Any] = {"epochs": 20, "evaluate_every": 4, "batch_size": 30, "learning_rate": 0.01, "weight_l2": 0.0}
RATE = {"learning_rate": {"float": [1e-2, 1e-1], "log": True}}
SPACE = {
    "hidden_layers": {"int": [1, 2]},
    "optimizer": {"choice": ["adam", "sgd"]},
    "learning_rate": {"float": [1e-3, 1.0], "log": True},
    "momentum": {"float": [0.0, 0.9]},
    "layer1": {"neurons": {"int": [4, 16], "log": True}},
    "layer2": {"neurons": {"int": [4, 16], "log": True}},
}
FEW: dict[str, Any] = {"n_trials": 3, "cv": 3, "random_state": 5}
FAILS = 1e30  # a learning rate
# What differs between two runs of one search, and what names it.
TIMES = ["seconds"]


def search(space: Any = RATE, estimator: Any = None, **parameters: Any) -> hpsearch.KFoldSearchCV:
    network = hpsearch.MLPClassifier(**FAST) if estimator is None else estimator
    return hpsearch.KFoldSearchCV(network, space, **{**FEW, **parameters})


@pytest.fixture(scope="module")
def fitted() -> hpsearch.KFoldSearchCV:
    """A search with trials that were completed, pruned and failed."""
    space = {**SPACE, "learning_rate": {"choice": [0.01, 0.05, FAILS]}}
    pruner = {"name": "median", "n_startup_trials": 1}
    return search(space, n_trials=16, pruner=pruner, sampler="random", in_flight=2).fit(X, Y)


def same_scores(one: Any, other: Any) -> None:
    pd.testing.assert_frame_equal(one.trials_.drop(columns=TIMES), other.trials_.drop(columns=TIMES))
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"])


# --- it is the product's own study


@pytest.mark.parametrize("source", ["sklearn:iris", "sklearn:diabetes"])
def test_it_finds_what_a_study_file_finds_and_refits_what_retrain_fits(source: str, tmp_path: Path) -> None:
    rows = (X, Y) if source == "sklearn:iris" else load_diabetes(return_X_y=True)
    network = hpsearch.MLPClassifier if source == "sklearn:iris" else hpsearch.MLPRegressor
    text = f"""
    study = {{ name = "file", seed = 5 }}
    data = {{ source = "{source}" }}
    validation = {{ n_splits = 3, repeats = 2 }}
    search = {{ trials = 12, in_flight = 3, pruner = {{ name = "median", n_startup_trials = 2 }} }}
    train = {{ epochs = 20, evaluate_every = 4, batch_size = 30 }}
    """
    space = {**SPACE, "learning_rate": {"float": [1e-3, 0.05], "log": True}}
    if source == "sklearn:diabetes":
        space["target_scaling"] = {"choice": ["log", "power", "standard"]}
    raw = {**tomllib.loads(text), "space": space}
    url = f"sqlite:///{tmp_path}/studies.db"
    study = hpsearch.run(hpsearch.StudyDefinition.from_mapping(raw, tmp_path), storage=url)
    options = {"n_trials": 12, "in_flight": 3, "pruner": raw["search"]["pruner"]}
    options["cv"] = RepeatedKFold(n_splits=3, n_repeats=2)
    found = search(space, network(**FAST, dtype="float32"), **options).fit(*rows)
    pd.testing.assert_frame_equal(found.trials_.drop(columns=TIMES), study.trials.drop(columns=TIMES))
    best = study.best
    assert best.corrected is not None
    assert found.best_score_ == -(best.result.value or 0)
    ours = found.corrected_score_
    assert (ours.value, ours.low, ours.high) == (-best.corrected.value, -best.corrected.high, -best.corrected.low)
    export(best, tmp_path / "best.toml")
    model = hpsearch.retrain(tmp_path / "best.toml", storage=url)
    assert found.best_estimator_.bundle_.parameters.tobytes() == model.parameters.tobytes()
    assert found.best_estimator_.bundle_.predictions(rows[0]).tobytes() == model.predictions(rows[0]).tobytes()


def test_the_best_parameters_make_the_best_configuration(fitted: hpsearch.KFoldSearchCV) -> None:
    again = clone(fitted.estimator).set_params(**fitted.best_params_)
    table = fitted.trials_.set_index("number").loc[fitted.best_index_]
    config = config_of(again, {}, np.dtype(np.float64))
    assert config.epochs == fitted.best_params_["epochs"] <= 1.5 * table["best_epoch"] + 4
    assert config.by_layer("neurons") == tuple(
        int(table[f"layer{layer}.neurons"]) for layer in range(1, config.depth + 1)
    )
    assert (config.optimizer, config.learning_rate) == (table["optimizer"], table["learning_rate"])
    assert config == config_of(fitted.best_estimator_, {}, np.dtype(np.float64))
    assert fitted.cv_results_["params"][fitted.best_index_] == fitted.best_params_


@pytest.mark.campaign
def test_workers_change_nothing() -> None:
    same_scores(search(SPACE, n_trials=6, workers=2).fit(X, Y), search(SPACE, n_trials=6).fit(X, Y))


# --- as scikit-learn's searches have it


def test_the_results_have_the_columns_of_scikit_learns_searches(fitted: hpsearch.KFoldSearchCV) -> None:
    grid = {"epochs": [2, 3], "neurons": [4, (4, 4)]}
    theirs = GridSearchCV(hpsearch.MLPClassifier(epochs=2), grid, cv=3).fit(X, Y)
    for name, values in theirs.cv_results_.items():
        if name in ("mean_score_time", "std_score_time", "std_fit_time"):
            continue  # folds train together, and are scored on the way
        ours = fitted.cv_results_[name]
        assert (type(ours), len(ours)) == (type(values), 16)
        if not isinstance(values, list):
            assert ours.dtype.kind == values.dtype.kind or name == "param_epochs"
    attributes = {name for name in vars(theirs) if name.endswith("_")} | {"classes_"}
    assert attributes - {name for name in vars(fitted) if name.endswith("_")} == {"scorer_"}, "score is the network's"
    assert (fitted.n_splits_, fitted.n_features_in_, fitted.multimetric_) == (3, 4, False)


def test_scores_are_the_studys_and_trials_without_one_come_last(fitted: hpsearch.KFoldSearchCV) -> None:
    table = pd.DataFrame(fitted.cv_results_)
    complete = table["state"] == "COMPLETE"
    assert set(table["state"]) == {"COMPLETE", "PRUNED", "FAIL"}
    assert table["state"].tolist() == fitted.trials_["state"].tolist()
    np.testing.assert_array_equal(table["mean_test_score"], -fitted.trials_["value"])
    scores = table[[f"split{split}_test_score" for split in range(3)]].to_numpy()
    np.testing.assert_allclose(table["mean_test_score"], scores.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(table["std_test_score"], scores.std(axis=1), rtol=1e-12)
    assert not np.isnan(scores[complete]).any()
    assert np.isnan(scores[~complete]).all()
    order = table["mean_test_score"][complete].sort_values(ascending=False).index
    assert table["rank_test_score"][order].tolist() == list(range(1, complete.sum() + 1))
    assert set(table["rank_test_score"][~complete]) == {complete.sum() + 1}
    assert fitted.best_index_ == order[0]
    assert fitted.best_score_ == table["mean_test_score"].max()
    mask = fitted.cv_results_["param_momentum"].mask
    assert mask.tolist() == [params["optimizer"] != "sgd" for params in table["params"]]


@pytest.mark.parametrize(("objective", "sign"), [("accuracy", 1), ("brier", -1)])
def test_whatever_the_objective_greater_is_better(objective: str, sign: int) -> None:
    found = search(objective=objective, finalists=0).fit(X, Y)
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], sign * found.trials_["value"])
    assert found.best_score_ == found.cv_results_["mean_test_score"].max()
    assert found.corrected_score_.low < found.corrected_score_.value < found.corrected_score_.high
    assert found.corrected_score_.value * sign > 0


def test_what_it_is_follows_from_its_estimator() -> None:
    regressor = search(estimator=hpsearch.MLPRegressor())
    assert is_classifier(search())
    assert is_regressor(regressor)
    assert hasattr(search(), "predict_proba")
    assert not hasattr(regressor, "predict_proba")


def test_without_refit_there_is_nothing_to_predict_with() -> None:
    found = search(refit=False).fit(X, Y)
    assert found.best_params_.keys() == {"learning_rate", "epochs"}
    assert not hasattr(found, "best_estimator_")
    for name in ("predict", "predict_proba", "predict_log_proba", "score"):
        assert not hasattr(found, name)
    with pytest.raises(NotFittedError):
        search().predict(X)


def test_the_refitted_network_predicts(fitted: hpsearch.KFoldSearchCV) -> None:
    for name in ("predict", "predict_proba", "predict_log_proba"):
        np.testing.assert_array_equal(getattr(fitted, name)(X), getattr(fitted.best_estimator_, name)(X))
    assert fitted.score(X, Y) == fitted.best_estimator_.score(X, Y) > 0.9
    assert fitted.best_estimator_.n_iter_ == fitted.best_params_["epochs"]


def test_it_is_copied_whole(fitted: hpsearch.KFoldSearchCV, tmp_path: Path) -> None:
    joblib.dump(fitted, tmp_path / "search.joblib")
    for copy in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "search.joblib")):
        np.testing.assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))
        assert copy.best_params_ == fitted.best_params_
    assert not hasattr(clone(fitted), "cv_results_")


def test_it_works_in_a_pipeline_with_a_frame() -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), search()).fit(frame, Y)
    assert pipeline.score(frame, Y) > 0.9
    assert pipeline[-1].feature_names_in_.tolist() == ["a", "b", "c", "d"]
    pipeline.set_params(kfoldsearchcv__estimator__neurons=7).fit(frame, Y)
    assert pipeline[-1].best_estimator_.coefs_[0].shape == (8, 4, 7)


# --- a study of its own


def test_every_fit_is_a_study_of_its_own_in_the_storage(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    outer = search(storage=url)
    assert cross_val_score(outer, X, Y, cv=KFold(3, shuffle=True, random_state=0)).mean() > 0.8
    outer.fit(X, Y)
    studies = hpsearch.load_studies(url)
    assert len(studies) == 4
    assert (studies["complete"] == 3).all()
    assert studies["source"].tolist() == ["memory"] * 4
    assert outer.study_.name in studies["study"].tolist()
    pd.testing.assert_frame_equal(outer.study_.trials, outer.trials_)
    assert outer.study_.best.corrected.value == -outer.corrected_score_.value
    assert len(outer.study_.metrics) == 4, "what needs no rows can be made any time later"
    with pytest.raises(hpsearch.DataError, match="those of this study were given from Python"):
        hpsearch.confirm(outer.study_.name, storage=url)


def test_without_a_storage_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    found = search().fit(X, Y)
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]
    assert found.study_ is None
    with pytest.raises(hpsearch.HpsearchError):
        search({"learning_rate": {"choice": [FAILS, 2 * FAILS]}}, n_trials=2).fit(X, Y)
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


def test_an_outer_split_is_searched_as_if_there_were_no_other_rows() -> None:
    rows = np.random.default_rng(0).permutation(150)[:100]
    changed = X.copy()
    changed[np.setdiff1d(np.arange(150), rows)] = 1e6
    same_scores(search().fit(X[rows], Y[rows]), search().fit(changed[rows], Y[rows]))


def test_one_seed_repeats_all_and_leaves_numpys_own_generator_alone() -> None:
    before = repr(np.random.get_state())  # noqa: NPY002
    one, other, third = search().fit(X, Y), search().fit(X, Y), search(random_state=6).fit(X, Y)
    same_scores(one, other)
    assert one.predict_proba(X).tobytes() == other.predict_proba(X).tobytes()
    assert one.best_score_ != third.best_score_
    own = search(estimator=hpsearch.MLPClassifier(**FAST, random_state=1)).fit(X, Y)
    same_scores(one, own)
    assert own.best_estimator_.random_state == 1
    assert own.predict_proba(X).tobytes() != one.predict_proba(X).tobytes()
    assert repr(np.random.get_state()) == before  # noqa: NPY002


@pytest.mark.parametrize("seed", [5, pytest.param(8, marks=pytest.mark.campaign)])
def test_hyperband_repeats_itself_and_a_study_file(seed: int, tmp_path: Path) -> None:
    """Its brackets follow from the study's name."""
    url, pruner = f"sqlite:///{tmp_path}/studies.db", {"name": "hyperband", "reduction_factor": 2}
    options = {"n_trials": 12, "in_flight": 3, "pruner": pruner, "random_state": seed, "finalists": 0}
    options["estimator"], options["cv"] = hpsearch.MLPClassifier(**FAST, dtype="float32"), KFold(3, shuffle=True)
    # Some are good and some are bad, so that those of one bracket are stopped and those of another are not.
    space = {"learning_rate": {"float": [1e-9, 0.1], "log": True}}
    one, other, stored = (search(space, **options, refit=False, storage=at).fit(X, Y) for at in (None, None, url))
    same_scores(one, other)
    same_scores(one, stored)
    assert (one.trials_["state"] == "PRUNED").any()
    raw = {
        "study": {"name": "memory", "seed": seed},
        "data": {"source": "sklearn:iris"},
        "validation": {"n_splits": 3},
        "search": {"trials": 12, "in_flight": 3, "finalists": 0, "pruner": pruner},
        "train": FAST,
        "space": space,
    }
    study = hpsearch.run(hpsearch.StudyDefinition.from_mapping(raw, tmp_path), storage=url)
    pd.testing.assert_frame_equal(one.trials_.drop(columns=TIMES), study.trials.drop(columns=TIMES))


# --- rows


def test_a_row_of_weight_zero_is_none_and_weights_count_in_every_score() -> None:
    counts = np.random.default_rng(0).integers(0, 3, 150).astype(float)
    there = counts > 0
    weighted = search().fit(X, Y, sample_weight=counts)
    same_scores(weighted, search().fit(X[there], Y[there], sample_weight=counts[there]))
    alike = search().fit(X[there], Y[there])
    assert (weighted.cv_results_["mean_test_score"] != alike.cv_results_["mean_test_score"]).all()
    assert weighted.predict_proba(X).tobytes() != alike.predict_proba(X).tobytes()


def test_rows_of_a_group_stay_on_one_side() -> None:
    """Ten copies of each row: only splits that part them find that they are easy."""
    draw = np.random.default_rng(0)
    few, labels = draw.normal(size=(40, 3)).repeat(5, axis=0), draw.integers(0, 2, 40).repeat(5)
    groups = np.array([f"g{row // 5}" for row in range(200)])
    together = search(cv=GroupKFold(3, shuffle=True)).fit(few, labels, groups=groups)
    assert not [finding for finding in together.findings_ if finding.level == "error"]
    with pytest.warns(UserWarning, match="occur again exactly among the training rows of their split"):
        parted = search().fit(few, labels)
    assert parted.best_score_ > together.best_score_ + 0.2
    assert [finding.name for finding in parted.findings_ if finding.level == "error"] == ["duplicates"]


@pytest.mark.parametrize(("splitter", "cv"), [("group", GroupKFold), ("stratified-group", StratifiedGroupKFold)])
def test_groups_that_are_numbers_are_dealt_as_those_of_a_file(splitter: str, cv: Any, tmp_path: Path) -> None:
    """As text "10" comes before "2"."""
    groups = np.random.default_rng(2).integers(0, 30, 150)
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(kind=Y, group=groups)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    raw = {
        "study": {"name": "file", "seed": 5},
        "data": {"source": "csv", "path": "rows.csv", "target": "kind", "group": "group"},
        "validation": {"n_splits": 3, "splitter": splitter},
        "search": {"trials": 3, "finalists": 0},
        "train": FAST,
        "space": RATE,
    }
    study = hpsearch.run(
        hpsearch.StudyDefinition.from_mapping(raw, tmp_path), storage=f"sqlite:///{tmp_path}/studies.db"
    )
    for given in (groups, groups.astype(float), groups.astype(str)):
        network = hpsearch.MLPClassifier(**FAST, dtype="float32")
        options = {"cv": cv(3, shuffle=True), "finalists": 0, "refit": False}
        found = search(estimator=network, **options).fit(X, Y, groups=given)
        pd.testing.assert_frame_equal(found.trials_.drop(columns=TIMES), study.trials.drop(columns=TIMES))


def test_rows_in_the_order_of_time_are_validated_on_later_ones() -> None:
    found = search(cv=TimeSeriesSplit(3)).fit(X[::-1].copy(), np.tile([0, 1, 2], 50))
    assert found.n_splits_ == 3
    assert found.corrected_score_ is None, "what follows each other cannot be drawn independently"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: search(estimator=LogisticRegression()),
            "estimator must be an hpsearch.MLPClassifier or MLPRegressor, or a pipeline",
        ),
        (lambda: search(estimator=hpsearch.MLPClassifier(early_stopping=True)), "estimator must have early_stopping=F"),
        (lambda: search(estimator=hpsearch.MLPClassifier(epochs=0)), "MLPClassifier: epochs must be at least 1"),
        (
            lambda: search({"target_scaling": {"choice": ["log"]}}),
            "space['target_scaling'] must go with a regr",
        ),
        (lambda: search(cv="stratified"), "cv must be an integer of at least 2, a splitter of scikit-learn, or ("),
        (lambda: search(cv=GroupKFold(3)), "fit must be given groups with cv=GroupKFold(), but was not."),
        (lambda: search({"learning_rat": {"int": [1, 2]}}), "space has no hyperparameter 'learning_rat'. "),
        (
            lambda: search([("neurons", 3)]),
            "space must be a dict of choices, distributions or ranges by parameter, but is [('neurons', 3)].",
        ),
        (lambda: search(workers=0), "workers must be an integer from 1 to 1,000, but is 0."),
        (lambda: search(n_trials=0), "n_trials must be at least 1, but is 0."),
        (lambda: search(sampler="tpx"), "KFoldSearchCV: Unknown sampler 'tpx'. "),
        (lambda: search(cv=1000), "cv must be at most the number of rows, 150, but is 1000."),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(hpsearch.HpsearchError) as caught:
        make().fit(X, Y)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_groups_must_be_one_a_row() -> None:
    with pytest.raises(hpsearch.DataError, match="groups must have a value for each of 150 rows, but has 3"):
        search(cv=GroupKFold(3)).fit(X, Y, groups=[1, 2, 3])


def test_a_search_says_what_it_does_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    search().fit(X, Y)
    assert capsys.readouterr().out == ""
    search(verbose=1).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:20] for line in lines] == [f"{n}/3  trial {n - 1} complete"[:20] for n in (1, 2, 3)]


def test_a_corrected_score_has_the_sign_of_the_best_score() -> None:
    score = Corrected(0.5, 0.25, 1.0, 3, 9, 50, bound=0.75, more_rows=-0.125, equal_shares=0.0625)
    assert greater_is_better(score, METRICS["accuracy"]) == score
    negated = greater_is_better(score, METRICS["loss"])
    assert negated == Corrected(-0.5, -1.0, -0.25, 3, 9, 50, bound=-0.75, more_rows=0.125, equal_shares=-0.0625)
    assert greater_is_better(None, METRICS["loss"]) is None
