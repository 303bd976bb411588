"""The luck of the choice: taken away where there is some, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hpsearch.validation.layout import Layout
from hpsearch.validation.metrics import METRICS
from hpsearch.validation.selection import DEALS, MOST_UNITS, PARTS, Corrected, corrected

LOSS = METRICS["loss"]


def layout(rows: int, splits: int = 5, units: np.ndarray[Any, Any] | None = None, classes: int = 2) -> Layout:
    """Row r in split r mod ``splits``, every class in turn within a split."""
    order = np.argsort(np.arange(rows) % splits, kind="stable")
    labels = (order // splits) % classes
    return Layout(order, order % splits, labels, (np.arange(rows) if units is None else units)[order])


def of_losses(losses: Sequence[np.ndarray[Any, Any]], where: Layout, seed: int = 0) -> Corrected:
    return corrected(losses, where, LOSS, seed)


def by_hand(losses: np.ndarray[Any, Any], where: Layout, seed: int) -> float:
    """The estimate for candidates (J, M) of one row a unit and splits of one size, row by row."""
    assert where.units is not None
    count, draw = len(where.units), np.random.default_rng(seed)
    total = []
    for _ in range(DEALS):
        part = draw.permutation(count) % PARTS
        seen = np.empty(count)
        for number in range(PARTS):
            inside = [place for place in range(count) if part[where.units[place]] != number]
            best = min(range(len(losses)), key=lambda j: (sum(losses[j][place] for place in inside), j))
            for place in set(range(count)) - set(inside):
                seen[place] = losses[best][place]
        total.append(seen.mean())
    return float(np.mean(total))


@pytest.mark.parametrize("seed", range(3))
def test_the_estimate_is_the_mean_over_rows_of_candidates_chosen_without_them(seed: int) -> None:
    losses = np.random.default_rng(seed).exponential(1.0, (6, 2, 40))  # 6 trials of 2 checkpoints
    found = of_losses(list(losses), layout(40), seed)
    assert found.value == pytest.approx(by_hand(losses.reshape(12, 40), layout(40), seed), rel=1e-12)
    assert (found.trials, found.candidates, found.units) == (6, 12, 40)


def test_without_a_choice_nothing_is_corrected() -> None:
    """One candidate, however often it is offered, keeps its mean."""
    losses = np.random.default_rng(0).exponential(1.0, (1, 30))
    for offered in ([losses], [losses, losses, losses]):
        found = of_losses(offered, layout(30))
        assert found.value == pytest.approx(losses.mean(), rel=1e-12)
        assert found.low < found.value < found.high


def test_a_candidate_that_is_better_on_every_row_keeps_its_mean() -> None:
    draw = np.random.default_rng(1)
    good = draw.exponential(1.0, (1, 50))
    others = [good + draw.uniform(0.01, 1.0, good.shape) for _ in range(20)]
    assert of_losses([*others, good], layout(50)).value == pytest.approx(good.mean(), rel=1e-12)


@pytest.mark.parametrize("checkpoints", [pytest.param(1, marks=pytest.mark.campaign), 20])
def test_the_best_of_equals_is_no_better_than_they_are(checkpoints: int) -> None:
    """All candidates have the true mean 1: the lowest mean is far below it, the corrected one is not, and the interval
    holds it about as often as it claims, though no oftener than certain."""
    draw, naive, values, held, studies = np.random.default_rng(2), [], [], 0, 150
    for seed in range(studies):
        common = draw.exponential(1.0, 60)  # candidates agree about which rows are hard
        trials = 40 // checkpoints
        losses = [0.5 * common + 0.5 * draw.exponential(1.0, (checkpoints, 60)) for _ in range(trials)]
        found = of_losses(losses, layout(60), seed)
        naive.append(min(trial.mean(axis=1).min() for trial in losses))
        values.append(found.value)
        held += found.low <= 1 <= found.high
    error = np.std(values) / np.sqrt(studies)
    assert np.mean(naive) < 1 - 10 * error
    assert abs(np.mean(values) - 1) < 3 * error
    assert held / studies > 0.92


def test_units_move_together() -> None:
    """Every row twice, as one unit: the same numbers as once. As units of their own they would look like more rows."""
    draw = np.random.default_rng(3)
    once = [draw.exponential(1.0, (3, 40)) for _ in range(5)]
    twice = [np.concatenate([losses, losses], axis=1) for losses in once]
    one, again = layout(40), layout(40)
    assert one.units is not None
    assert again.units is not None
    doubled = Layout(
        np.tile(one.rows, 2), np.tile(one.splits, 2), np.tile(one.labels, 2), np.concatenate([one.units, again.units])
    )
    first, second = of_losses(once, one), of_losses(twice, doubled)
    for name in ("value", "low", "high", "units"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=1e-9)
    apart = Layout(doubled.rows, doubled.splits, doubled.labels, np.arange(80))
    assert of_losses(twice, apart).high - of_losses(twice, apart).low < 0.9 * (first.high - first.low)


def test_rows_of_a_small_split_weigh_as_much_as_the_study_gives_them() -> None:
    """The study's value is a mean over splits: with splits of 10 and 30 rows, a row of the first counts thrice."""
    splits = np.repeat([0, 1], [10, 30])
    where = Layout(np.arange(40), splits, np.zeros(40, np.intp), np.arange(40))
    losses = np.random.default_rng(4).exponential(1.0, (1, 40))
    expected = (losses[0, :10].mean() + losses[0, 10:].mean()) / 2
    assert of_losses([losses], where).value == pytest.approx(expected, rel=1e-12)


def test_many_rows_cost_no_more_than_some_and_say_the_same() -> None:
    rows = 20 * MOST_UNITS
    losses = np.random.default_rng(5).exponential(1.0, (4, rows)).astype(np.float32)
    found = of_losses([losses], layout(rows))
    assert found.units == MOST_UNITS
    assert found.value == pytest.approx(losses.mean(axis=1).min(), abs=4 / np.sqrt(rows))
    half = 1.96 * np.sqrt(1 + 0.8) / np.sqrt(rows)  # exponential rows have variance 1; 0.8 for five networks
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_metric_can_be_corrected(name: str, classes: int) -> None:
    """One candidate keeps its mean over splits; the best of many random ones falls back to what chance gives."""
    metric, where, draw = METRICS[name], layout(90, 3, classes=classes), np.random.default_rng(6)

    def kept(count: int) -> np.ndarray[Any, Any]:
        predictions = draw.dirichlet(np.ones(classes), (count, 90)).astype(np.float32)
        return np.stack([metric.row_values(where.labels, one) for one in predictions])

    one = kept(1)
    by_split = [
        metric.resampled(
            one[:, where.splits == s], where.labels[where.splits == s], classes, np.ones((1, (where.splits == s).sum()))
        )[0, 0]
        for s in range(3)
    ]
    assert corrected([one], where, metric, 0).value == pytest.approx(np.mean(by_split), rel=1e-6)
    many = [kept(5) for _ in range(12)]
    found = corrected(many, where, metric, 0)
    everyone = np.concatenate([_scores(metric, trial, where, classes) for trial in many])
    luckiest = everyone.min() if metric.direction == "minimize" else everyone.max()
    assert abs(found.value - everyone.mean()) < 0.6 * abs(luckiest - everyone.mean())
    assert found.low <= everyone.mean() <= found.high


def _scores(metric: Any, values: np.ndarray[Any, Any], where: Layout, classes: int) -> np.ndarray[Any, Any]:
    parts = [where.splits == s for s in range(3)]
    return np.mean(
        [metric.resampled(values[:, p], where.labels[p], classes, np.ones((1, p.sum())))[0] for p in parts], axis=0
    )


def test_what_cannot_be_corrected_is_refused() -> None:
    losses = np.ones((1, 40))
    with pytest.raises(ValueError, match="at least 10 units, but there are 9"):
        of_losses([losses[:, :9]], layout(9, 3))
    with pytest.raises(ValueError, match="independent units"):
        of_losses([losses], Layout(np.arange(40), np.zeros(40, np.intp), np.zeros(40, np.intp)))


def test_answers_that_were_all_right_do_not_prove_that_all_will_be() -> None:
    found = corrected([np.ones((2, 30), np.uint8)], layout(30), METRICS["accuracy"], 0)
    assert found.value == pytest.approx(1)
    assert 0.75 < found.low < 0.95  # 30 of 30: the exact interval begins at 0.88
    assert found.high == 1


def test_candidates_whose_probabilities_are_not_comparable_are_ranked_by_themselves() -> None:
    """Ten candidates of one true AUC; moving all probabilities of one changes no AUC, and so no correction."""
    metric, where, draw = METRICS["roc_auc"], layout(100, 5), np.random.default_rng(7)
    scores = [draw.standard_normal((2, 100)) + 1.2 * where.labels for _ in range(10)]

    def kept(move: float) -> list[np.ndarray[Any, Any]]:
        moves = move * np.random.default_rng(8).standard_normal(10)
        squashed = [1 / (1 + np.exp(-(one + by))) for one, by in zip(scores, moves, strict=True)]
        return [np.asarray(one, np.float32)[:, :, np.newaxis] for one in squashed]

    still, moved = (corrected(kept(move), where, metric, 0) for move in (0.0, 2.0))
    assert moved.value == pytest.approx(still.value, abs=1e-3)  # but for ties that float32 makes
