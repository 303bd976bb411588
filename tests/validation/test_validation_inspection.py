"""What the columns do: permutation importance and partial dependence, against the definition and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.inspection import partial_dependence, permutation_importance

from hpsearch.data.columns import Plan, Raw
from hpsearch.data.dataset import Dataset, Task
from hpsearch.data.splits import Split, SplitOptions, make_splits
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import cross_validate
from hpsearch.validation.estimates import student
from hpsearch.validation.fold_networks import FoldNetworks
from hpsearch.validation.inspection import FEW, POINTS, Inspected, _dealt
from hpsearch.validation.lanes import fit_scalings
from hpsearch.validation.metrics import objective_metric

CONFIG = Config(neurons=6, learning_rate=0.03, epochs=12, init="he", batch_size=16)


def table(task: Task = "classification", rows: int = 90, seed: int = 0) -> Dataset:
    """Columns of all kinds, with missing values, one of them constant; categories as one-hot, frequent and target."""
    draw = np.random.default_rng(seed)
    number, day = draw.normal(size=rows), draw.integers(19_000, 19_900, rows).astype(float)
    gaps = np.where(draw.random(rows) < 0.2, np.nan, number)
    few, many = draw.integers(-1, 3, rows), draw.integers(0, 9, rows)
    raws = [
        Raw("number", "numeric", gaps),
        Raw("constant", "numeric", np.zeros(rows)),
        Raw("day", "date", day, form="%Y-%m-%d"),
        Raw("yes", "boolean", draw.integers(0, 2, rows).astype(float)),
        Raw("size", "ordered", draw.integers(0, 3, rows).astype(float), ("small", "middle", "large")),
        Raw("few", "categorical", few, ("a", "b", "c")),
        Raw("frequent", "categorical", many, tuple("klmnopqrs")),
        Raw("target", "categorical", draw.permutation(many), tuple("klmnopqrs")),
    ]
    plan = Plan.declare(raws).encoded({"frequent": "frequent", "target": "target"}, most=4, targets=1)
    signal = number + (few == 1) + 0.2 * many + draw.normal(0, 0.5, rows)
    targets = 30 * signal if task == "regression" else (signal > 1).astype(int)
    return Dataset.of(plan.expand(raws)[0], targets, plan=plan, task=task)


def networks_of(data: Dataset, splits: tuple[Split, ...], config: Config = CONFIG, seed: int = 5) -> FoldNetworks:
    scalings = fit_scalings(data, [split.training for split in splits], config.scaling, study_seed=seed)
    return FoldNetworks.train(data, splits, config, seed, scalings)


def inspected(
    data: Dataset,
    objective: str = "loss",
    repeats: int = 2,
    config: Config = CONFIG,
    splitter: str = "kfold",
    **more: int,
) -> Inspected:
    splits = make_splits(data, splitter, SplitOptions(3, repeats=repeats), 1)
    metric = objective_metric(objective, config.loss_name(data.task))
    return Inspected.of(networks_of(data, splits, config), metric, splitter, repeats > 1, **more)


def read_anew(data: Dataset, name: str, rows: np.ndarray) -> Dataset:
    """The same rows with another row's values of a column, from the raw columns on."""
    raws = [
        raw if raw.name != name else replace(raw, values=raw.values[rows]) for raw in data.columns.raws(data.features)
    ]
    return replace(data, features=data.columns.expand(raws)[0])


VARIANTS: dict[str, Config] = {
    "standard": CONFIG,
    "power": CONFIG.replaced({"scaling": "power"}),
    "no hidden layer": CONFIG.replaced({"hidden_layers": 0, "neurons": []}),
    "two": CONFIG.replaced({"neurons": [5, 4], "dropout": [0.2, 0.0], "dtype": "float64"}),
    "logarithm": CONFIG.replaced({"target_scaling": "power", "loss": "absolute_error"}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_networks_are_those_of_the_cross_validation(variant: str) -> None:
    data = table("regression" if variant == "logarithm" else "classification")
    splits = make_splits(data, "kfold", SplitOptions(3, repeats=2), 1)
    outcome = cross_validate(data, splits, VARIANTS[variant], 5, rule="last", by_ensemble=True, evaluate_every=5)
    assert outcome.rows is not None
    metric = objective_metric("loss", VARIANTS[variant].loss_name(data.task))
    found = Inspected.of(networks_of(data, splits, VARIANTS[variant]), metric, "kfold", True)
    np.testing.assert_array_equal(found.predictions.astype(outcome.rows.predictions.dtype), outcome.rows.predictions)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_column_is_replaced_as_it_was_read(variant: str) -> None:
    data, draw = table("regression" if variant == "logarithm" else "classification"), np.random.default_rng(3)
    networks = networks_of(data, make_splits(data, "kfold", SplitOptions(3), 1), VARIANTS[variant])
    rows = draw.permutation(data.rows)
    for name, places in data.columns.places.items():
        replaced = networks.replaced(places)
        np.testing.assert_array_equal(replaced(np.arange(data.rows)), networks.predictions)
        other = read_anew(data, name, rows)
        expected = replace(networks, lanes=networks.lanes.of(other.features, other.labels)).predictions
        np.testing.assert_allclose(replaced(rows), expected, rtol=1e-4, atol=2e-6)
        assert (name == "constant") == np.array_equal(replaced(rows), networks.predictions)


def test_some_rows_are_predicted_as_among_all() -> None:
    data = table()
    networks = networks_of(data, make_splits(data, "kfold", SplitOptions(3), 1))
    rows = np.sort(np.random.default_rng(0).choice(data.rows, 40, replace=False))
    validated = np.concatenate([split.validation for split in networks.splits])
    some = networks.on(rows)
    np.testing.assert_allclose(some.predictions, networks.predictions[np.isin(validated, rows)], rtol=1e-5)
    alone = networks.on(networks.splits[1].validation)  # the other networks predict nothing
    np.testing.assert_allclose(alone.predictions, networks.predictions[30:60], rtol=1e-5)


# ---------------------------------------------------------------- importance


@pytest.mark.parametrize("repeats", [1, 2])
def test_value_and_interval_are_those_of_the_definition(repeats: int) -> None:
    """The jackknife by hand: every pair of a row and the row whose value it was dealt, but those with a unit's rows."""
    data = table(rows=24)
    data = replace(data, groups=np.arange(24) // 2, weights=np.r_[np.ones(20), 2, 3, 2, 4])
    splits = make_splits(data, "group", SplitOptions(3, repeats=repeats), 1)
    metric = objective_metric("brier", "cross_entropy")
    found = Inspected.of(networks_of(data, splits), metric, "group", repeats > 1)
    value, columns = found.importance(4, np.random.default_rng(8))
    layout, judged = found.layout, found._judged()
    assert layout.weights is not None
    draw = np.random.default_rng(8)
    dealt = [_dealt(data.weights, data.rows, draw) for _ in range(4)]
    base = metric.row_values(layout.labels, judged(found.networks.predictions)).astype(float)

    def score(values: np.ndarray, rows: np.ndarray, without: int) -> float:
        kept = (layout.rows // 2 != without) & (rows[layout.rows] // 2 != without)
        means = []
        for split in np.unique(layout.splits):
            at = kept & (layout.splits == split)
            if layout.weights[at].sum():
                means.append(np.average(values[at], weights=layout.weights[at]))
        return float(np.mean(means))

    assert value == pytest.approx(np.mean([score(base, rows, -1) for rows in dealt]))
    for one in columns:
        replaced = found.networks.replaced(data.columns.places[one.column])
        permuted = [metric.row_values(layout.labels, judged(replaced(rows))).astype(float) for rows in dealt]
        of = [
            np.mean([score(v, rows, unit) - score(base, rows, unit) for v, rows in zip(permuted, dealt, strict=True)])
            for unit in range(-1, 12)
        ]
        error = np.sqrt(11 / 12 * ((np.array(of[1:]) - np.mean(of[1:])) ** 2).sum())
        assert one.value == pytest.approx(of[0], abs=1e-12)
        assert one.low == pytest.approx(of[0] - student(0.95, 11) * error, abs=1e-9)
        assert one.high == pytest.approx(of[0] + student(0.95, 11) * error, abs=1e-9)


class Network(ClassifierMixin, BaseEstimator):
    """A network of one split, for scikit-learn to look at; its rows are the features of a table."""

    def __init__(self, networks: FoldNetworks) -> None:
        self.networks, self.classes_ = networks, np.arange(2)

    def fit(self, X: np.ndarray, y: np.ndarray) -> Network:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        split = replace(self.networks.splits[0], validation=np.arange(len(X)))
        lanes = self.networks.lanes.of(X, np.zeros(len(X), np.intp))
        return replace(self.networks, splits=(split,), lanes=lanes).predictions.astype(float)


def one_network() -> tuple[Inspected, Network, np.ndarray, np.ndarray]:
    """A network of one split, the same for scikit-learn, and the split's validation rows with their labels."""
    draw = np.random.default_rng(2)
    features = np.column_stack([draw.normal(size=(150, 2)), draw.integers(0, 5, 150)])
    data = Dataset.of(features, (features @ [1.0, 0.3, 0.6] + draw.logistic(size=150) > 1).astype(int))
    networks = networks_of(data, make_splits(data, "shuffle", SplitOptions(1, fraction=0.4), 1))
    found = Inspected.of(networks, objective_metric("log_loss", "cross_entropy"), "shuffle", False)
    rows = np.sort(networks.splits[0].validation)
    return found, Network(networks), data.features[rows], data.labels[rows]


def test_importances_are_those_of_scikit_learn() -> None:
    found, network, features, labels = one_network()
    ours = {one.column: one for one in found.importance(40, np.random.default_rng(0))[1]}
    theirs = permutation_importance(network, features, labels, scoring="neg_log_loss", n_repeats=40, random_state=0)
    errors = np.sqrt(2 / 40) * theirs.importances_std
    for place, name in enumerate(("x1", "x2", "x3")):  # the errors are those of 40 deals, in both
        assert ours[name].value == pytest.approx(theirs.importances_mean[place], abs=5 * errors[place])
    assert theirs.importances_mean[0] > 10 * errors[0]


def test_partial_dependence_is_that_of_scikit_learn() -> None:
    found, network, features, _ = one_network()
    (effect,) = found.effects(["x3"])
    theirs = partial_dependence(network, features, [2], kind="average", method="brute", grid_resolution=100)
    assert list(effect.values) == [0.0, 1.0, 2.0, 3.0, 4.0]
    np.testing.assert_allclose(effect.mean[:, 1], theirs["average"][0], rtol=1e-5)
    np.testing.assert_allclose(effect.mean.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(effect.low, effect.mean)  # of one network there is no spread
    assert effect.shares == pytest.approx(np.bincount(features[:, 2].astype(int)) / len(features))


def decided(rows: int = 240, copied: bool = False) -> Dataset:
    """Rows of two classes that the first column decides alone; the second is noise, or a copy of the first."""
    draw = np.random.default_rng(4)
    side = draw.permutation(np.arange(rows) % 2)
    first = np.where(side == 1, 1.0, -1.0) + draw.uniform(-0.2, 0.2, rows)
    other = first + draw.normal(0, 0.01, rows) if copied else draw.normal(size=rows)
    return Dataset.of(np.column_stack([first, other, np.full(rows, 3.0)]), side, feature_names=("all", "other", "same"))


@pytest.mark.parametrize(
    ("objective", "lost"), [("accuracy", 0.5), ("roc_auc", 0.5), ("macro_f1", 0.5), ("balanced_accuracy", 0.5)]
)
def test_what_decides_everything_has_the_whole_objective_and_noise_none(objective: str, lost: float) -> None:
    found = inspected(decided(), objective, config=CONFIG.replaced({"epochs": 40}))
    value, columns = found.importance(10, np.random.default_rng(0))
    by_name = {one.column: one for one in columns}
    first, other, same = by_name["all"], by_name["other"], by_name["same"]
    assert (value, columns[0]) == (1.0, first)
    assert first.low is not None
    assert other.low is not None
    assert first.low < lost < first.high
    assert first.low > 0.35
    assert other.low <= 0 <= other.high
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_columns_that_say_the_same_share_their_importance() -> None:
    config = CONFIG.replaced({"epochs": 40})
    alone, shared = (
        inspected(decided(copied=copied), config=config).importance(5, np.random.default_rng(0))[1][0].value
        for copied in (False, True)
    )
    assert shared < alone / 2


def test_of_a_mean_of_squares_it_is_the_root() -> None:
    found = inspected(table("regression"))
    value, columns = found.importance(3, np.random.default_rng(0))
    errors = found.predictions[:, 0] - found.layout.labels
    assert value == pytest.approx(np.sqrt((errors**2).mean()))
    assert columns[0].low is not None


def test_where_rows_follow_in_time_there_is_no_interval() -> None:
    data = replace(table(), times=np.arange(90.0))
    found = inspected(data, repeats=1, splitter="timeseries")
    columns = found.importance(2, np.random.default_rng(0))[1]
    assert {(one.low, one.high) for one in columns} == {(None, None)}
    assert columns[0].value > 0


def test_of_many_rows_some_are_predicted_whole_units_of_those_that_count() -> None:
    data = replace(table(), groups=np.arange(90) // 3, weights=np.where(np.arange(90) % 6, 1.0, 0.0))
    found = inspected(data, splitter="group", most_rows=40)
    assert 30 <= found.data.rows == len(found.layout.rows) <= 40
    assert found.data.weights is not None
    assert found.data.weights.all()
    groups = found.data.groups
    assert groups is not None
    whole = np.bincount(np.arange(90)[np.arange(90) % 6 > 0] // 3, minlength=30)
    assert np.array_equal(np.bincount(groups, minlength=30)[groups], whole[groups])
    assert len(found.importance(2, np.random.default_rng(0))[1]) == 8


def test_values_are_dealt_as_often_as_their_rows_count() -> None:
    draw = np.random.default_rng(0)
    assert sorted(_dealt(None, 50, draw)) == list(range(50))
    assert sorted(_dealt(np.full(50, 0.3), 50, draw)) == list(range(50))
    weights = draw.integers(0, 4, 50).astype(float)
    counts, expected = np.bincount(_dealt(weights, 50, draw), minlength=50), 50 * weights / weights.sum()
    assert (np.abs(counts - expected) < 1).all()
    assert not counts[weights == 0].any()


# ---------------------------------------------------------------- effects


def test_effects_of_every_kind_of_column_are_means_of_what_is_predicted() -> None:
    found = inspected(table(rows=150))
    data, effects = found.data, {one.column: one for one in found.effects(found.data.columns.names)}
    assert effects["yes"].values == ("no", "yes")
    assert effects["size"].values == ("small", "middle", "large")
    assert set(effects["few"].values[:-1]) == {"a", "b", "c"}
    assert effects["few"].values[-1] is None is effects["number"].values[-1]
    assert effects["number"].on_grid
    assert len(effects["number"].values) == POINTS + 1
    assert all(isinstance(day, str) and pd.Timestamp(day).year in (2022, 2023, 2024) for day in effects["day"].values)
    assert len(effects["target"].values) == 9 <= FEW
    assert effects["target"].shares == tuple(sorted(effects["target"].shares, reverse=True))
    raws = {raw.name: raw for raw in data.columns.raws(data.features)}
    for name, effect in effects.items():
        assert effect.mean.shape == effect.low.shape == effect.high.shape == (len(effect.values), 2)
        assert (effect.low <= effect.high).all()
        assert effect.on_grid or sum(effect.shares) == pytest.approx(1)
        if name == "few":
            raw = raws[name]
            for value, mean in zip(effect.values, effect.mean, strict=True):
                code = -1 if value is None else raw.categories.index(str(value))
                row = int(np.flatnonzero(raw.values == code)[0])
                other = read_anew(data, name, np.full(data.rows, row))
                lanes = found.networks.lanes.of(other.features, other.labels)
                expected = found._judged()(replace(found.networks, lanes=lanes).predictions).mean(axis=0)
                np.testing.assert_allclose(mean, expected, rtol=1e-4)


@pytest.mark.parametrize("make", [lambda: table("regression"), table], ids=["regression", "classes"])
def test_networks_that_agree_have_no_spread(make: Callable[[], Dataset]) -> None:
    """Of a column that is constant each network has one mean: once they are moved to one, nothing is left."""
    (effect,) = inspected(make()).effects(["constant"])
    assert effect.values == (0.0,)
    np.testing.assert_allclose(effect.low, effect.high, rtol=1e-5)
