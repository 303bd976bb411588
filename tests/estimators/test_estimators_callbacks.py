"""scikit-learn's callbacks see a search as a task of one task a trial, and change nothing."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.datasets import load_iris

import hpsearch

pytest.importorskip("sklearn.callback")  # since scikit-learn 1.9


class Recorded:
    """A callback that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.fitted: Any = None

    def setup(self, estimator: Any, context: Any) -> None:
        self.told.append(("setup", context.task_name))

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.told.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> None:
        self.told.append(("end", context.task_name))
        self.fitted = fitted_estimator

    def teardown(self, estimator: Any, context: Any) -> None:
        self.told.append(("teardown", context.task_name))


def test_each_trial_is_a_task_of_the_search() -> None:
    X, y = load_iris(return_X_y=True)
    search = hpsearch.KFoldSearchCV(
        hpsearch.MLPClassifier(epochs=5),
        {"neurons": {"int": [4, 8]}},
        n_trials=3,
        cv=2,
        finalists=0,
        members=1,
        random_state=1,
    )
    scores = search.fit(X, y).cv_results_["mean_test_score"].tolist()
    seen = Recorded()
    search.set_callbacks(seen).fit(X, y)
    trial = [("begin", "trial"), ("end", "trial")]
    assert seen.told == [("setup", "fit"), ("begin", "fit"), *3 * trial, ("end", "fit"), ("teardown", "fit")]
    assert seen.fitted.predict(X).tolist() == search.predict(X).tolist()
    assert search.cv_results_["mean_test_score"].tolist() == scores
