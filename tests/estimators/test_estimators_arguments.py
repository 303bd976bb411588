"""What a search takes as scikit-learn's searches do: spaces, ``cv``; and what it says of what it cannot take."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hpsearch
from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import SplitOptions, make_splits
from hpsearch.definition.sections import SearchSection
from hpsearch.estimators.spaces import ranges
from hpsearch.estimators.splitting import validation_of

X, Y = load_iris(return_X_y=True)
GROUPS = np.arange(150) // 5
FAST: dict[str, Any] = {"epochs": 2, "neurons": 2, "batch_size": "full"}
RATE = {"learning_rate": [0.01, 0.1]}


# --- spaces


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["adam", "sgd"], {"choice": ["adam", "sgd"]}),
        ((1, 2.5, True), {"choice": [1, 2.5, True]}),
        (np.array([8, 16]), {"choice": [8, 16]}),
        (np.logspace(-2, 0, 3), {"choice": [0.01, 0.1, 1.0]}),
        (stats.randint(4, 65), {"int": [4, 64]}),
        (stats.randint(low=1, high=3, loc=4), {"int": [5, 6]}),
        (stats.uniform(0.5, 2), {"float": [0.5, 2.5]}),
        (stats.uniform(), {"float": [0.0, 1.0]}),
        (stats.loguniform(1e-4, 1e-1), {"float": [1e-4, 1e-1], "log": True}),
        (stats.reciprocal(a=1e-2, b=10, scale=2), {"float": [2e-2, 20.0], "log": True}),
        ({"int": np.array([4, 64]), "log": np.True_}, {"int": [4, 64], "log": True}),
        ({"float": [0, 1], "step": 0.25}, {"float": [0, 1], "step": 0.25}),
    ],
)
def test_lists_distributions_and_ranges_are_what_a_study_file_has(given: Any, meant: dict[str, Any]) -> None:
    found = ranges({"net__neurons": given, "layer2": {"neurons": given}}, "net__")
    assert found == {"neurons": meant, "layer2": {"neurons": meant}}
    assert [*map(type, found["neurons"].get("choice", []))] == [*map(type, meant.get("choice", []))]


@pytest.mark.parametrize(
    ("distribution", "meant"),
    [(stats.randint(2, 12), "int"), (stats.uniform(1, 3), "float"), (stats.loguniform(1e-3, 10), "log")],
)
def test_a_distribution_is_searched_as_it_draws(distribution: Any, meant: str) -> None:
    """Equal shares of its range have equal shares of its draws."""
    drawn = distribution.rvs(3000, random_state=0)
    of = next(iter(ranges({"neurons": distribution}).values()))
    low, high = of.get("int") or of["float"]
    width = high - low + (meant == "int")
    half = 0.5 if meant == "int" else 0.0
    places = np.log(drawn / low) / np.log(high / low) if meant == "log" else (drawn + half - low) / width
    counts = np.histogram(places, 5, (0, 1))[0]
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    "value",
    [
        *(5, None, "relu", stats.norm(0, 1), stats.norm, stats.loguniform(1e-3, 1, loc=1), stats.binom(3, 0.5)),
        *({1, 2}, iter([1, 2])),
    ],
)
def test_anything_else_is_refused_with_what_can_be_given(value: Any) -> None:
    with pytest.raises(hpsearch.DefinitionError) as caught:
        ranges({"neurons": value})
    assert "randint, uniform or loguniform of scipy.stats, but is" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.campaign
def test_distributions_and_lists_search_as_their_ranges_do() -> None:
    options: dict[str, Any] = {"n_trials": 3, "cv": 2, "random_state": 1, "finalists": 0, "refit": False}
    network = hpsearch.MLPClassifier(**FAST)
    spaces = [
        {"neurons": stats.randint(2, 9), "learning_rate": stats.loguniform(1e-3, 1), "activation": ["relu", "tanh"]},
        {
            "neurons": {"int": [2, 8]},
            "learning_rate": {"float": [1e-3, 1], "log": True},
            "activation": {"choice": ["relu", "tanh"]},
        },
    ]
    one, other = (hpsearch.KFoldSearchCV(network, space, **options).fit(X, Y) for space in spaces)
    pd.testing.assert_frame_equal(one.trials_.drop(columns="seconds"), other.trials_.drop(columns="seconds"))


# --- cv


def dealt(cv: Any, y: np.ndarray[Any, Any] = Y, groups: Any = GROUPS, counting: Any = None, seed: int = 3) -> Any:
    """(keys of [validation], the splits of a study, those of its finals)."""
    classes = y.dtype.kind != "f"
    said, given = validation_of(cv, X, y, groups, classes=classes, counting=counting)
    times = np.arange(float(len(y))) if said["splitter"] == "timeseries" else None
    data = replace(
        Dataset.of(X, y, task="classification" if classes else "regression"),
        groups=groups,
        times=times,
        given_splits=given,
    )
    options = SplitOptions(**{key: value for key, value in said.items() if key != "splitter"})
    again = options if given is None else SplitOptions(shuffle=True)
    of_search, of_finals = (make_splits(data, said["splitter"], *how) for how in ((options, seed), (again, seed + 1)))
    return said, of_search, of_finals


def pairs(splits: Any) -> list[tuple[list[int], list[int]]]:
    return [(sorted(map(int, split[0])), sorted(map(int, split[1]))) for split in splits]


class Restless:
    """A splitter of one's own, that deals other rows each time and takes no seed."""

    draw = np.random.default_rng(0)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        yield np.split(self.draw.permutation(len(y)), [100])


SHUFFLED = np.random.default_rng(0).permutation(Y)


@pytest.mark.parametrize(
    ("cv", "redealt"),
    [
        (KFold(4), False),
        (KFold(4, shuffle=True, random_state=1), True),
        (StratifiedKFold(3), False),
        (StratifiedKFold(3, shuffle=True, random_state=np.random.RandomState(0)), True),
        (GroupKFold(3), False),
        (GroupKFold(3, shuffle=True, random_state=1), True),
        (StratifiedGroupKFold(3, shuffle=True, random_state=1), True),
        (TimeSeriesSplit(3, gap=2), False),
        (TimeSeriesSplit(3, max_train_size=40), False),
        (ShuffleSplit(3, random_state=0), True),
        (StratifiedShuffleSplit(2, test_size=0.3, random_state=0), True),
        (GroupShuffleSplit(2, random_state=0), True),
        (RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), True),
        (PredefinedSplit(np.arange(150) % 3 - 1), False),
        (LeaveOneGroupOut(), False),
        (Restless(), False),
    ],
    ids=lambda value: str(value) if isinstance(value, bool) else type(value).__name__,
)
def test_a_splitter_of_scikit_learn_splits_as_it_does(cv: Any, redealt: bool) -> None:
    """And the finals' splits are others, where it can deal others."""
    state = getattr(cv, "random_state", None)
    if isinstance(state, np.random.RandomState):
        cv.random_state = np.random.RandomState(0)
    Restless.draw = np.random.default_rng(0)
    groups = GROUPS if "Group" in type(cv).__name__ else None  # others warn that they do not look at them
    expected = pairs(cv.split(X, SHUFFLED, groups))
    if isinstance(state, np.random.RandomState):
        cv.random_state = np.random.RandomState(0)
    Restless.draw = np.random.default_rng(0)
    _, splits, finals = dealt(cv, SHUFFLED, groups)
    assert pairs((split.training, split.validation) for split in splits) == expected
    assert (pairs((split.training, split.validation) for split in finals) != expected) == redealt
    assert len(finals) == len(splits)


@pytest.mark.parametrize(
    ("cv", "meant"),
    [
        (4, {"splitter": "stratified", "n_splits": 4, "shuffle": True}),
        (np.int64(3), {"splitter": "stratified", "n_splits": 3, "shuffle": True}),
        (None, {"splitter": "stratified", "n_splits": 5, "shuffle": True}),
        (KFold(3, shuffle=True), {"splitter": "kfold", "n_splits": 3, "shuffle": True}),
        (GroupKFold(3, shuffle=True), {"splitter": "group", "n_splits": 3, "shuffle": True}),
        (RepeatedStratifiedKFold(n_splits=3, n_repeats=4), {"splitter": "stratified", "n_splits": 3, "repeats": 4}),
        (ShuffleSplit(3, test_size=0.25), {"splitter": "shuffle", "n_splits": 3, "fraction": 0.25}),
    ],
    ids=str,
)
def test_what_has_no_seed_of_its_own_is_dealt_from_the_search_s(cv: Any, meant: dict[str, Any]) -> None:
    said, splits, _ = dealt(cv)
    assert said == meant
    again, others = dealt(cv)[1], dealt(cv, seed=8)[1]
    assert all(np.array_equal(one.training, other.training) for one, other in zip(splits, again, strict=True))
    assert not all(np.array_equal(one.training, other.training) for one, other in zip(splits, others, strict=True))


def test_a_number_of_folds_is_stratified_of_classes_and_not_of_numbers() -> None:
    _, splits, _ = dealt(5)
    assert all(np.bincount(Y[split.validation]).tolist() == [10, 10, 10] for split in splits)
    assert dealt(5, X[:, 0].astype(float))[0]["splitter"] == "kfold"


def test_a_class_of_fewer_rows_than_folds_is_dealt_as_far_as_it_goes_and_told_of() -> None:
    rare = np.where(np.arange(150) < 3, 9, Y)
    with pytest.warns(UserWarning, match=r"^The rarest class has 3 rows, fewer than the 5 folds: some validate none"):
        _, splits, finals = dealt(5, rare)
    for of in (splits, finals):
        assert sorted((rare[split.validation] == 9).sum() for split in of) == [0, 0, 1, 1, 1]


def test_listed_splits_are_taken_as_they_are_without_the_rows_that_do_not_count() -> None:
    listed = [(np.arange(0, 150, 2), np.arange(1, 150, 2)), (np.arange(150) % 3 > 0, np.arange(150) % 3 == 0)]
    _, splits, finals = dealt(iter(listed))
    expected = pairs((np.arange(150)[training], np.arange(150)[validation]) for training, validation in listed)
    assert pairs((split.training, split.validation) for split in splits) == expected
    assert pairs((split.training, split.validation) for split in finals) == expected
    counts = (np.arange(150) % 5 > 0) & (np.arange(150) < 147)  # nor do the last ones
    counting = np.flatnonzero(counts)
    _, given = validation_of(listed, X[counting], Y[counting], None, classes=True, counting=counts)
    assert given is not None
    for (training, validation), (all_training, all_validation) in zip(given.split(None), expected, strict=True):
        assert sorted(counting[training]) == [row for row in all_training if counts[row]]
        assert sorted(counting[validation]) == [row for row in all_validation if counts[row]]


# --- keys and words


def test_every_key_of_a_search_is_a_parameter() -> None:
    known = {*inspect.signature(hpsearch.KFoldSearchCV).parameters}
    assert {name for name in SearchSection.model_fields if name != "trials"} <= known


def test_no_signature_shows_how_it_is_made() -> None:
    for kind in (hpsearch.MLPClassifier, hpsearch.MLPRegressor, hpsearch.KFoldSearchCV):
        for name in ("__init__", "fit", "predict", "score"):
            assert "lambda" not in str(inspect.signature(getattr(kind, name)))


def search(space: Any = RATE, estimator: Any = None, **parameters: Any) -> hpsearch.KFoldSearchCV:
    network = hpsearch.MLPClassifier(**FAST) if estimator is None else estimator
    options: dict[str, Any] = {"n_trials": 2, "cv": 3, "random_state": 0, "finalists": 0, "refit": False}
    return hpsearch.KFoldSearchCV(network, space, **{**options, **parameters})


def network(**parameters: Any) -> hpsearch.MLPClassifier:
    return hpsearch.MLPClassifier(**{**FAST, **parameters})


PIPED = make_pipeline(StandardScaler(), network())
TEXTS = pd.DataFrame({"a": X[:, 0], "t": [f"x{row}" for row in range(150)], "n": ["1,5", "2,5"] * 75})
WRONG: dict[str, list[Any]] = {
    "n_trials": [0, "5", 2.5],
    "cv": [0, 1, 1.5, "stratified", True, [], [(1, 2, 3)], [([0], [0])], [([0, 1], [200])], [([], [1])], 200, KFold(3)],
    "objective": ["acc", "r2", 3],
    "checkpoint": ["first", None],
    "sampler": ["tpx", 3, {"name": "tpe", "x": 1}, {"nam": "tpe"}, {"name": "tpe", "n_startup_trials": 0}],
    "pruner": ["med", [], {"name": "median", "n_startup_trials": "x"}],
    "initial_design": ["x", 4],
    "enqueue": [3, [3], [{"x": 1}], [{"learning_rate": 5}]],
    "patience": [0, 2, "x"],
    "stop": [0, "x"],
    "max_parameters": [0, "9", 2.5, 10],
    "objectives": ["loss", [], ["loss", "size"], ["parameters"], ["loss", "accuracy"]],
    "in_flight": [0, "8"],
    "finalists": [-1, "x"],
    "finalist_repeats": [0],
    "workers": [0, 1.5, True],
    "n_jobs": [0, "x"],
    "members": [0, "x"],
    "storage": ["foo", 3, "sqlite:////nonexistent/x.db"],
    "space": [
        *([], 5, {"learning_rate": 5}, {"learning_rat": [1]}, {"neurons": []}, {"neurons": [4, 4]}, {"neurons": ["a"]}),
        *({"neurons": {"int": [4, 2]}}, {"neurons": {"int": [4]}}, {"neurons": {"ints": [4, 2]}}, {"neurons": {}}),
        *({"neurons": {"int": [4, 8], "log": 1}}, {"neurons": {"int": [4, 8], "log": True, "step": 2}}, {}),
        *({"momentum": [0.1]}, {"layer9": {"neurons": [4]}}, {"layer1": {"neuron": [4]}}, {"target_scaling": ["log"]}),
        *({"neurons": [(4, 4), 8]}, {"neurons": [4, 8], "layer1": {"neurons": [4]}}, {"mlp__neurons": [4]}),
        *({"dtype": ["float32"]}, {"neurons": {"float": [4, 8], "step": 3}}, {"learning_rate": stats.norm()}),
    ],
    "estimator": [
        *(LogisticRegression(), hpsearch.MLPClassifier, make_pipeline(StandardScaler(), LogisticRegression())),
        *(network(early_stopping=True), make_pipeline(StandardScaler(), network(columns={}))),
        *(network(epochs=0), network(activation="gelu"), network(class_weight=3), network(class_weight={"x": 1})),
        *(network(loss="squared_error"), network(dropout=1), network(weight_l2=[1, 2, 3]), network(momentum=0.9)),
        network(dtype="float16"),
    ],
}
MORE: list[Callable[[], Any]] = [
    lambda: search({"hidden_layers": [1, 2]}, network(neurons=[4])).fit(X, Y),
    lambda: search({"learning_rate": stats.uniform(0.1, 1)}, sampler="grid").fit(X, Y),
    lambda: search(sampler="grid", initial_design="portfolio").fit(X, Y),
    lambda: search(patience=0.5, checkpoint="last").fit(X, Y),
    lambda: search(stop=1, cv=ShuffleSplit(1)).fit(X, Y),
    lambda: search(n_jobs=2, workers=3).fit(X, Y),
    lambda: search(cv=GroupKFold(3)).fit(X, Y),
    lambda: search(cv=LeaveOneGroupOut()).fit(X, Y),
    lambda: search(cv=GroupKFold(5)).fit(X, Y, groups=np.arange(150) % 3),
    lambda: search(cv=ShuffleSplit(2, test_size=0.999)).fit(X, Y),
    lambda: search(objectives=["loss", "parameters"], sampler="cmaes").fit(X, Y),
    lambda: search(objectives=["loss", "parameters"], stop=3).fit(X, Y),
    lambda: search(cv=TimeSeriesSplit(3, gap=100)).fit(X, SHUFFLED),
    lambda: search(cv=KFold(5, shuffle=True)).fit(X, np.where(np.arange(150) < 1, 5, Y)),
    lambda: search(cv=StratifiedGroupKFold(3, shuffle=True)).fit(X, np.where(np.arange(150) < 2, 5, Y), GROUPS),
    lambda: search(cv=KFold(3), objective="roc_auc").fit(X[:100], Y[:100]),
    lambda: search(estimator=hpsearch.MLPRegressor(**FAST), cv=StratifiedKFold(3)).fit(X, X[:, 0]),
    lambda: search({"target_scaling": ["log"]}, hpsearch.MLPRegressor(**FAST)).fit(X, X[:, 0] - 5),
    lambda: search({"mlpclassifier__neurons": [4], "neurons": [8]}, PIPED).fit(X, Y),
    lambda: search({"standardscaler__with_mean": [True]}, PIPED).fit(X, Y),
    lambda: search({"mlpclassifier__neurons": [0]}, PIPED).fit(X, Y),
    lambda: search(estimator=network(columns={})).fit(TEXTS, Y),
    lambda: search(estimator=network(columns={"encode": {"t": "x"}})).fit(TEXTS, Y),
    lambda: search(estimator=network(columns={"encode": 3})).fit(TEXTS, Y),
    lambda: network(columns={"drop": ["a"]}).fit(TEXTS, Y),
    lambda: network(columns={}).fit(TEXTS, Y),
    lambda: network(columns={}).fit(pd.DataFrame({"a": X[:, 0], "e": np.nan}), Y),
    lambda: search({"learning_rate": [1e200, 2e200]}).fit(X, Y),
    lambda: search().fit(np.where(X > 0.5, 1e308, X), Y),
    lambda: network().fit(np.where(X > 0.5, 1e101, X), Y),
    lambda: hpsearch.MLPRegressor(**FAST).fit(X, np.where(Y > 0, 1e101, 0.5)),
]
# How a study file, and not Python, has it.
TOML = re.compile(
    r"\[(study|data|holdout|validation|train|space|search|retrain|origin)\b|\b(study|data|validation|train|search|retrain)"
    r"\.\w|study file|of a file|TOML|\btables?\b| = |hpsearch \w+|the study|\btrue where|n_splits|\bsplitter =|<object"
    r"|^fraction"
)


@pytest.mark.parametrize(
    "make",
    [
        *(lambda n=name, v=value: search(**{n: v}).fit(X, Y) for name, values in WRONG.items() for value in values),
        *MORE,
    ],
)
def test_what_cannot_be_is_refused_in_one_line_of_python(make: Callable[[], Any]) -> None:
    with pytest.raises(hpsearch.HpsearchError) as caught:
        make()
    said = str(caught.value)
    assert not TOML.search(said), said
    assert "\n" not in said


def test_a_wrong_parameter_is_named() -> None:
    for name, values in WRONG.items():
        if name == "estimator":
            continue
        for value in values:
            with pytest.raises(hpsearch.HpsearchError) as caught:
                search(**{name: value}).fit(X, Y)
            said = str(caught.value)
            others = {"space": "n_trials", "cv": "training rows", "objectives": "objective"}.get(
                name, name.replace("_", " ")
            )
            named = (name, others)
            assert any(part in said for part in named), said
