"""A search over a pipeline: what is learnt before the network is learnt anew from the training rows of each split."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import hpsearch
from hpsearch.estimators.pipelines import told_apart

X, Y = load_iris(return_X_y=True)
FAST: dict[str, Any] = {"neurons": 4, "epochs": 6, "batch_size": 30, "weight_l2": 0.0}
RATE = {"mlpclassifier__learning_rate": [0.01, 0.1]}
CV = StratifiedKFold(3, shuffle=True, random_state=4)
FEW: dict[str, Any] = {"n_trials": 2, "cv": CV, "random_state": 5, "finalists": 1, "finalist_repeats": 1, "members": 2}


class Recorder(TransformerMixin, BaseEstimator):
    """Remembers the rows of every fit, by the first column."""

    fits: ClassVar[list[set[float]]] = []

    def fit(self, X: Any, y: Any = None) -> Recorder:
        self.n_features_in_ = X.shape[1]
        self.fits.append(set(np.asarray(X)[:, 0].tolist()))
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(X)[:, 1:]


class Twice(TransformerMixin, BaseEstimator):
    """Makes other numbers of the rows that it is fitted to."""

    def fit(self, X: Any, y: Any = None) -> Twice:
        self.n_features_in_ = X.shape[1]
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        self.fit(X, y)
        return 2 * X

    def transform(self, X: Any) -> Any:
        return 3 * X


def network(**parameters: Any) -> hpsearch.MLPClassifier:
    return hpsearch.MLPClassifier(**{**FAST, **parameters})


def search(estimator: Any, space: Any = RATE, **parameters: Any) -> hpsearch.KFoldSearchCV:
    return hpsearch.KFoldSearchCV(estimator, space, **{**FEW, **parameters})


def table() -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Numbers, some missing, and a category that some training rows lack."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=90), "b": draw.normal(size=90), "city": draw.choice(["x", "y"], 90)})
    frame.loc[7, "city"] = "rare"
    kinds = np.where(frame["b"] + (frame["city"] == "x") > 0.4, "yes", "no")
    frame.loc[::9, "a"] = np.nan
    return frame, kinds


def pipeline(**of_network: Any) -> Pipeline:
    from sklearn.impute import SimpleImputer

    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    cities = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    steps = make_column_transformer((numbers, ["a", "b"]), (cities, ["city"]))
    return make_pipeline(steps, network(**of_network))


def test_steps_are_fitted_to_training_rows_and_nothing_else() -> None:
    """Those of each split, of each fresh split and of what two folds leave, and at the end to all rows."""
    numbered = np.column_stack([np.arange(150.0), X])
    Recorder.fits.clear()
    space = {"mlpclassifier__scaling": ["none", "standard"], "mlpclassifier__learning_rate": [0.01, 0.1]}
    search(make_pipeline(Recorder(), network()), space, n_trials=3).fit(numbered, Y)
    of_search = [set(training.tolist()) for training, _ in CV.split(numbered, Y)]
    assert Recorder.fits[:3] == of_search, "once a split, whatever is searched"
    fresh, fewer, all_rows = Recorder.fits[3:6], Recorder.fits[6:9], Recorder.fits[9:]
    assert {len(rows) for rows in fresh} == {100}
    assert not any(rows in of_search for rows in fresh)
    assert {len(rows) for rows in fewer} == {50}
    assert all(any(rows < of for of in fresh) for rows in fewer)
    assert all_rows == [set(range(150))]


def test_a_split_scores_what_its_own_steps_make_of_the_rows() -> None:
    """Each split against a search without a pipeline, on rows that steps of this split's training rows made."""
    frame, kinds = table()
    fixed = {"mlpclassifier__learning_rate": [0.05]}
    options: dict[str, Any] = {"n_trials": 1, "finalists": 0, "refit": False}
    found = search(pipeline(scaling="none"), fixed, **options).fit(frame, kinds)
    widths = set()
    for split, (training, _) in enumerate(CV.split(frame, kinds)):
        steps = clone(pipeline()[:-1]).fit(frame.iloc[training])
        made = steps.transform(frame)
        widths.add(made.shape[1])
        if made.shape[1] == 6:  # the rare city; where it is missing, an input is always 0
            plain = search(network(scaling="none"), {"learning_rate": [0.05]}, **options).fit(made, kinds)
            name = f"split{split}_test_score"
            assert found.cv_results_[name] == plain.cv_results_[name]
    assert widths == {5, 6}


def test_rows_that_train_are_what_fit_transform_makes_of_them() -> None:
    """As in the fit of a pipeline."""
    training, validation = next(CV.split(X, Y))
    made = np.where(np.isin(np.arange(150), training)[:, np.newaxis], 2 * X, 3 * X)
    options: dict[str, Any] = {"n_trials": 1, "finalists": 0, "refit": False, "cv": [(training, validation)]}
    found = search(make_pipeline(Twice(), network()), RATE, **options).fit(X, Y)
    plain = search(network(), {"learning_rate": [0.01, 0.1]}, **options).fit(made, Y)
    assert found.best_score_ == plain.best_score_


def test_a_limit_of_parameters_holds_of_what_is_refitted_to_all_rows() -> None:
    """With the rare city, of which the split's training rows have none, they have one more input."""
    frame, kinds = table()
    rows = np.arange(90)
    options: dict[str, Any] = {"cv": [(rows[30:], rows[:30])], "finalists": 0, "members": 1, "n_trials": 1}
    space = {"mlpclassifier__neurons": {"int": [1, 8]}}
    found = search(pipeline(), space, max_parameters=66, enqueue=[{"neurons": 8}], **options).fit(frame, kinds)
    assert found.best_params_["mlpclassifier__neurons"] == 7
    assert found.trials_["parameters"].tolist() == [5 * 7 + 7 + 7 * 2 + 2]
    assert found.best_estimator_[-1].bundle_.architecture.network.size == 6 * 7 + 7 + 7 * 2 + 2 <= 66


@pytest.fixture(scope="module")
def fitted() -> hpsearch.KFoldSearchCV:
    return search(pipeline(), {**RATE, "layer1": {"neurons": [3, 5]}, "mlpclassifier__activation": ["tanh"]}).fit(
        *table()
    )


def test_the_best_pipeline_is_refitted_and_predicts(fitted: hpsearch.KFoldSearchCV) -> None:
    frame, kinds = table()
    best = fitted.best_estimator_
    assert isinstance(best, Pipeline)
    assert {*fitted.best_params_} == {
        f"mlpclassifier__{name}" for name in ("activation", "epochs", "hidden_layers", "learning_rate", "neurons")
    }
    again = clone(pipeline()).set_params(**fitted.best_params_, mlpclassifier__members=2)
    again.set_params(mlpclassifier__random_state=5, mlpclassifier__dtype="float64").fit(frame, kinds)
    np.testing.assert_array_equal(again.predict_proba(frame), fitted.predict_proba(frame))
    assert fitted.predict(frame).tolist() == best.predict(frame).tolist()
    assert fitted.score(frame, kinds) == best.score(frame, kinds) > 0.6
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert fitted.feature_names_in_.tolist() == ["a", "b", "city"]
    assert "param_mlpclassifier__learning_rate" in fitted.cv_results_
    assert fitted.cv_results_["params"][fitted.best_index_] == fitted.best_params_
    assert fitted.corrected_score_.low < fitted.corrected_score_.value < fitted.corrected_score_.high


@pytest.mark.campaign
def test_searches_within_an_outer_cross_validation_are_as_scikit_learn_has_them() -> None:
    frame, kinds = table()
    options: dict[str, Any] = {"cv": 3, "finalists": 0}
    scores = cross_val_score(search(pipeline(), **options), frame, kinds, cv=CV)
    for score, (training, validation) in zip(scores, CV.split(frame, kinds), strict=True):
        one = search(pipeline(), **options).fit(frame.iloc[training], kinds[training])
        assert score == one.score(frame.iloc[validation], kinds[validation])


@pytest.mark.campaign
def test_names_with_and_without_the_step_say_the_same_and_one_is_set_from_outside() -> None:
    whole = search(make_pipeline(PCA(2), network()), finalists=0).fit(X, Y)
    short = search(make_pipeline(PCA(2), network()), {"learning_rate": [0.01, 0.1]}, finalists=0).fit(X, Y)
    assert whole.best_params_ == short.best_params_
    assert whole.predict_proba(X).tobytes() == short.predict_proba(X).tobytes()
    other = clone(whole).set_params(estimator__pca__n_components=3, estimator__mlpclassifier__neurons=7).fit(X, Y)
    assert other.best_estimator_[-1].coefs_[0].shape == (2, 3, 7)


@pytest.mark.campaign
def test_rows_may_be_of_any_kind_that_the_first_step_takes() -> None:
    texts = [f"{'good' if kind else 'bad'} word{place % 7}" for place, kind in enumerate(Y > 0)]
    dense = FunctionTransformer(lambda counts: counts.toarray(), accept_sparse=True)
    found = search(make_pipeline(CountVectorizer(), dense, network()), finalists=0).fit(texts, Y > 0)
    assert found.score(texts, Y > 0) > 0.9
    assert not hasattr(found, "n_features_in_")
    sparse = search(make_pipeline(dense, network()), finalists=0).fit(csr_matrix(X), Y)
    plain = search(make_pipeline("passthrough", network()), finalists=0).fit(X, Y)
    np.testing.assert_array_equal(sparse.predict_proba(csr_matrix(X)), plain.predict_proba(X))


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame({"a": [1.0, 1.0, 2.0, np.nan, np.nan], "b": ["x", "x", "x", None, None]}),
        np.array([[1.0, 0], [1, -0.0], [1, 2], [3, 3], [3, 3]]),
        np.array([["a", 1], ["a", 1], ["b", 1], ["c", 2], ["c", 2]], object),
        ["a", "a", "b", "c", "c"],
        [["a"], ["a"], [], ["c"], ["c"]],
        csr_matrix([[0, 1], [0, 1], [1, 0], [2, 2], [2, 2]]),
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_rows_of_any_kind_are_told_apart(rows: Any) -> None:
    numbers, names = told_apart(rows)
    assert numbers.shape == (5, len(names))
    alike = (numbers[:, np.newaxis] == numbers).all(axis=2)
    np.testing.assert_array_equal(alike, np.equal.outer([0, 0, 1, 2, 2], [0, 0, 1, 2, 2]))


def test_copies_of_rows_are_warned_of_and_columns_are_not_judged() -> None:
    few, kinds = np.repeat(np.arange(50.0)[:, np.newaxis], 3, axis=0), np.repeat(np.arange(50) % 2, 3)
    with pytest.warns(UserWarning, match=r"occur again exactly .* belong together a group and cv=GroupKFold\(\)\.$"):
        found = search(make_pipeline(StandardScaler(), network()), finalists=0, refit=False).fit(few, kinds)
    assert {finding.name for finding in found.findings_} == {"duplicates"}


@pytest.mark.campaign
@pytest.mark.parametrize(("given", "trained"), [(np.float32, "float32"), (np.float64, "float64")])
def test_what_is_searched_is_what_is_refitted_whatever_type_the_steps_make(given: Any, trained: str) -> None:
    widened = FunctionTransformer(lambda rows: rows.astype(np.float64))
    found = search(make_pipeline(widened, network()), finalists=0).fit(X.astype(given), Y)
    assert found.best_estimator_[-1].bundle_.architecture.dtype.name == trained


@pytest.mark.campaign
def test_weights_are_for_the_network_and_a_row_of_weight_zero_is_none() -> None:
    numbered = np.column_stack([np.arange(150.0), X])
    weights = np.where(np.arange(150) % 5, 1.0 + np.arange(150) % 2, 0.0)
    there = weights > 0
    rows = [(training, validation) for training, validation in CV.split(X[there], Y[there])]
    places = np.flatnonzero(there)
    Recorder.fits.clear()
    steps = make_pipeline(Recorder(), network())
    listed = [(places[training], places[validation]) for training, validation in rows]
    found = search(steps, cv=listed, finalists=0).fit(numbered, Y, sample_weight=weights)
    assert not any(0.0 in rows for rows in Recorder.fits)
    few = search(steps, cv=rows, finalists=0).fit(numbered[there], Y[there], sample_weight=weights[there])
    assert found.cv_results_["mean_test_score"].tolist() == few.cv_results_["mean_test_score"].tolist()
    assert found.predict_proba(numbered).tobytes() == few.predict_proba(numbered).tobytes()
    alike = search(steps, cv=rows, finalists=0).fit(numbered[there], Y[there])
    assert found.best_score_ != alike.best_score_


@pytest.mark.campaign
def test_workers_have_the_steps_of_the_callers_module_and_change_nothing() -> None:
    steps = make_pipeline(FunctionTransformer(lambda rows: rows * 2), PCA(3, random_state=0), network())
    one = search(steps, cv=CV, n_trials=4).fit(X, Y)
    two = search(steps, cv=CV, n_trials=4, n_jobs=2).fit(X, Y)
    pd.testing.assert_frame_equal(one.trials_.drop(columns="seconds"), two.trials_.drop(columns="seconds"))
    assert one.corrected_score_ == two.corrected_score_
    assert one.predict_proba(X).tobytes() == two.predict_proba(X).tobytes()


def test_a_regressor_s_steps_are_fitted_in_each_split_too() -> None:
    rows, targets = load_diabetes(return_X_y=True)
    steps = make_pipeline(PCA(4, random_state=0), hpsearch.MLPRegressor(**FAST))
    found = hpsearch.KFoldSearchCV(steps, {"mlpregressor__learning_rate": [0.01, 0.1]}, **(FEW | {"cv": 3}))
    assert found.fit(rows, targets).score(rows, targets) > 0.2
    assert found.n_splits_ == 3


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (make_pipeline(OneHotEncoder(handle_unknown="ignore"), network()), "estimator must have steps that make dense"),
        (make_pipeline(StandardScaler(), network(columns={})), "estimator must have mlpclassifier__columns=None"),
        (make_pipeline(network(), StandardScaler()), "estimator must be an hpsearch.MLPClassifier or MLPRegressor, or"),
    ],
    ids=str,
)
def test_a_pipeline_that_cannot_be_searched_is_refused_in_one_line(steps: Pipeline, said: str) -> None:
    with pytest.raises(hpsearch.HpsearchError) as caught:
        search(steps).fit(X.round(), Y)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_steps_whose_numbers_are_not_finite_are_refused_as_scikit_learn_does() -> None:
    infinite = FunctionTransformer(lambda rows: np.full(rows.shape, np.inf))
    with pytest.raises(ValueError, match=r"contains infinity"):
        search(make_pipeline(infinite, network())).fit(X, Y)
