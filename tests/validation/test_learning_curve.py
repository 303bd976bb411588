"""A further fold left out: which rows train, what is averaged, and how far the curve is drawn on."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from test_validation_selection import layout

from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import SplitOptions, make_splits
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import cross_validate
from hpsearch.validation.learning_curve import LearningCurve, Pairs, on_all_rows, reach, with_fewer_rows
from hpsearch.validation.metrics import METRICS
from hpsearch.validation.selection import corrected

LOSS, ACCURACY, R2 = METRICS["loss"], METRICS["accuracy"], METRICS["r2"]


def rows(seed: int, count: int = 40, classes: int = 2) -> Dataset:
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes if classes else draw.normal(100, 5, count)
    features = draw.normal(size=(count, 3)) + (labels[:, np.newaxis] if classes else 0)
    return Dataset(features, labels, ("a", "b", "c"), tuple("xyz"[:classes]))


@pytest.mark.parametrize("folds", [3, 4, 5, 7])
@pytest.mark.parametrize("furthest", [1, 2])
@pytest.mark.parametrize("seed", range(2))
def test_each_pair_trains_on_what_both_leave_and_each_turn_validates_every_row_once_a_repeat(
    folds: int, furthest: int, seed: int
) -> None:
    data = rows(seed, 43)
    splits = make_splits(data, "kfold", SplitOptions(folds, repeats=2), seed)
    pairs = Pairs.of(splits, data, furthest)
    assert pairs is not None
    assert len({(pair.repeat, pair.fold) for pair in pairs.splits}) == len(pairs.splits)
    found = set()
    for pair in pairs.splits:
        assert len(np.unique(np.concatenate([pair.training, pair.validation]))) == 43
        assert len(pair.training) + len(pair.validation) == 43
        parts = [s.fold for s in splits if s.repeat == pair.repeat and np.isin(s.validation, pair.validation).all()]
        assert len(parts) == 2
        found.add((pair.repeat, *parts))
    distances = {
        (b - a) % folds for a, b in permutations(range(folds), 2) if min((b - a) % folds, (a - b) % folds) <= furthest
    }
    assert len(found) == len(pairs.splits) == 2 * folds * len(distances) / 2
    assert set(pairs.turns.tolist()) == distances
    validated = np.concatenate([pair.validation for pair in pairs.splits])
    for turn in distances:
        assert np.array_equal(np.bincount(validated[pairs.turns == turn]), np.full(43, 2))


def test_splits_that_are_no_folds_or_leave_nothing_have_no_second_point() -> None:
    data = rows(0)
    timed = replace(data, times=np.arange(40.0))
    for splitter, of, options in (
        ("shuffle", data, SplitOptions(4)),
        ("timeseries", timed, SplitOptions(4)),
        ("kfold", data, SplitOptions(2)),
    ):
        assert Pairs.of(make_splits(of, splitter, options, 0), of) is None
    few = replace(data, labels=np.array([1, 1] + [0] * 38))  # its two rows of a class are left out together
    assert Pairs.of(make_splits(few, "kfold", SplitOptions(40, shuffle=False), 0), few) is None
    unweighted = replace(data, weights=np.array([1.0] * 2 + [0.0] * 38))
    assert Pairs.of(make_splits(unweighted, "kfold", SplitOptions(40, shuffle=False), 0), unweighted) is None


@pytest.mark.parametrize("objective", ["loss", "accuracy"])
@pytest.mark.parametrize("seed", range(2))
def test_networks_of_one_turn_are_averaged_over_the_repeats(objective: str, seed: int) -> None:
    data, config = rows(seed, 30), Config(neurons=4, epochs=6, learning_rate=0.1, dtype="float64")
    splits = make_splits(data, "kfold", SplitOptions(3, repeats=2), seed)
    pairs = Pairs.of(splits, data)
    assert pairs is not None
    told: list[tuple[int, float]] = []
    found = with_fewer_rows(data, pairs, config, seed, 3, objective, lambda *news: told.append(news))
    assert found.rows is not None
    assert found.ensemble is not None
    assert [epoch for epoch, _ in told] == [3, 6]
    assert told[-1] == (6, found.value)
    sums = np.zeros((3, 30, 2))  # by turn, row and class
    for number, pair in enumerate(pairs.splits):  # one lane at a time has the bits of all together
        alone = cross_validate(data, [pair], config, seed, evaluate_every=6, rule="last")
        assert alone.rows is not None
        turns = pairs.turns[sum(len(p.validation) for p in pairs.splits[:number]) :][: len(pair.validation)]
        sums[turns, pair.validation] += alone.rows.predictions
    averages = sums[1:] / 2
    own = averages[:, np.arange(30), data.labels]
    assert found.rows.losses == pytest.approx(-np.log(own), rel=1e-5)
    assert found.ensemble.loss == pytest.approx(-np.log(own).mean(axis=1), rel=1e-6)
    assert found.rows.predictions == pytest.approx(averages.mean(axis=0), rel=1e-6)
    right = averages.argmax(axis=2) == data.labels
    if objective == "accuracy":
        assert found.ensemble.objective == pytest.approx(right.mean(axis=1))
        assert found.rows.values is not None
        assert np.array_equal(found.rows.values, right)
    else:
        assert found.rows.values is None


def test_a_training_that_diverges_has_no_rows() -> None:
    data = rows(0, 30, classes=0)
    pairs = Pairs.of(make_splits(data, "kfold", SplitOptions(3), 0), data)
    assert pairs is not None
    wild = Config(optimizer="sgd", learning_rate=1e6, epochs=30, neurons=4)
    with np.errstate(all="ignore"):
        found = with_fewer_rows(data, pairs, wild, 0, 10, "loss")
    assert (found.outcome, found.rows, found.ensemble) == ("diverged", None, None)


def on(value: float, more: float, fewer: float, how_far: float, metric: Any) -> float:
    return float(on_all_rows(np.array([value]), np.array([more]), np.array([fewer]), how_far, metric)[0])


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_a_short_step_follows_a_curve_of_1_over_n(folds: int) -> None:
    def loss(of: int) -> float:
        return 1 + 1e-4 * folds / of

    how_far = reach(folds - 2, folds - 1, folds)
    assert how_far == pytest.approx((folds - 2) / folds)
    assert on(loss(folds - 1), loss(folds - 1), loss(folds - 2), how_far, LOSS) == pytest.approx(loss(folds), abs=1e-7)
    accuracy = [0.5 - 1e-4 * folds / of for of in (folds - 2, folds - 1, folds)]
    assert on(accuracy[1], accuracy[1], accuracy[0], how_far, ACCURACY) == pytest.approx(accuracy[2], abs=1e-7)


@pytest.mark.parametrize(("metric", "perfect"), [(LOSS, 0.0), (ACCURACY, 1.0), (R2, 1.0)])
def test_a_long_step_takes_no_score_beyond_the_perfect_one(metric: Any, perfect: float) -> None:
    for further in (1e-3, 0.1, 1.0, 100.0):
        got = metric.sign * (
            on(perfect + metric.sign * 0.01, *(perfect + metric.sign * d for d in (0.01, further)), 0.6, metric)
            - perfect
        )
        assert got > 0
        assert (got < 0.01) == (further > 0.01)
    assert on(perfect, perfect, perfect + metric.sign, 0.6, metric) == perfect  # already there
    assert on(perfect + metric.sign * 0.2, *[perfect + metric.sign * 0.1] * 2, 0.6, metric) == pytest.approx(
        perfect + metric.sign * 0.2
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_corrected_score_is_drawn_on_and_its_interval_knows_both_points(seed: int) -> None:
    draw = np.random.default_rng(seed)
    losses = draw.exponential(1.0, (2, 3, 60))
    more, fewer = losses[0, :1], losses[0, :1] + draw.exponential(0.4, (4, 60))
    curve = LearningCurve(more, fewer, 0.6)
    plain = corrected(losses, layout(60), LOSS, seed, optimism=0.05)
    found = corrected(losses, layout(60), LOSS, seed, curve=curve, optimism=0.05)
    assert plain.value == pytest.approx(corrected(losses, layout(60), LOSS, seed).value + 0.05)
    assert found.of_splits == pytest.approx(plain.value)
    assert found.value == pytest.approx(on(plain.value, more.mean(), fewer.mean(), 0.6, LOSS))
    assert found.more_rows is not None
    assert found.more_rows < 0
    for score in (plain, found):
        assert score.bound is not None
        assert score.low < score.value < score.bound < score.high
    # Rows that lose by training on fewer rows alone make the interval wider, as far as it is drawn on.
    uneven = LearningCurve(more, more + np.where(np.arange(60) < 3, 20 * 0.4, 0.0), 0.6)
    other = corrected(losses, layout(60), LOSS, seed, curve=uneven, optimism=0.05)
    assert other.value == pytest.approx(found.value, rel=0.1)
    assert other.high - other.low > 1.1 * (found.high - found.low)


def test_what_is_maximised_has_its_bound_below() -> None:
    right = np.random.default_rng(0).random((1, 2, 50)) < 0.8
    found = corrected(list(right), layout(50), ACCURACY, 0)
    assert found.bound is not None
    assert found.low < found.bound < found.value
