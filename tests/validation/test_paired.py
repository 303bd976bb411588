"""The paired difference of two scores: against the paired t-test, and against repeated draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from hpsearch.validation.layout import Layout
from hpsearch.validation.metrics import METRICS
from hpsearch.validation.paired import MOST_GROUPS, Scores, paired_difference

MAE = METRICS["mae"]


def layout_of(labels: np.ndarray, units: np.ndarray | None = None, splits: np.ndarray | None = None) -> Layout:
    rows = np.arange(len(labels))
    return Layout(rows, np.zeros_like(rows) if splits is None else splits, labels, rows if units is None else units)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [12, 60, MOST_GROUPS])
def test_of_a_mean_over_rows_it_is_the_paired_t_test(seed: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    first, second = draw.gamma(2, size=(2, count))
    layout = layout_of(np.zeros(count))
    found = paired_difference(Scores(first, layout), Scores(second, layout), MAE, 0)
    low, high = ttest_rel(first, second).confidence_interval(0.95)
    assert found.value == pytest.approx((low + high) / 2)
    assert found.half == pytest.approx((high - low) / 2)
    wider = paired_difference(Scores(first, layout), Scores(second, layout), MAE, 0, networks=5)
    assert wider.half == pytest.approx(found.half * np.sqrt(1.8))


@pytest.mark.parametrize("seed", range(3))
def test_copies_of_rows_and_rows_of_no_weight_prove_nothing_more(seed: int) -> None:
    draw = np.random.default_rng(seed)
    first, second = draw.gamma(2, size=(2, 40))
    once = layout_of(np.zeros(40))
    thrice = layout_of(np.zeros(120), units=np.repeat(np.arange(40), 3))
    plain = paired_difference(Scores(first, once), Scores(second, once), MAE, 0)
    copied = paired_difference(Scores(np.repeat(first, 3), thrice), Scores(np.repeat(second, 3), thrice), MAE, 0)
    assert copied.half == pytest.approx(plain.half)
    more = replace(layout_of(np.zeros(50)), weights=np.repeat([1.0, 0.0], [40, 10]))
    junk = [np.concatenate([values, 1e6 * draw.random(10)]) for values in (first, second)]
    weighted = paired_difference(Scores(junk[0], more), Scores(junk[1], more), MAE, 0)
    assert weighted.half == pytest.approx(plain.half)
    assert weighted.value == pytest.approx(plain.value)


def test_rows_in_another_order_are_paired_by_their_units() -> None:
    draw = np.random.default_rng(8)
    first, second = draw.gamma(2, size=(2, 50))
    order = draw.permutation(50)
    there, moved = layout_of(np.zeros(50)), layout_of(np.zeros(50), units=order)
    plain = paired_difference(Scores(first, there), Scores(second, there), MAE, 0)
    other = paired_difference(Scores(first, there), Scores(second[order], moved), MAE, 0)
    assert other.half == pytest.approx(plain.half)


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "roc_auc", "log_loss"])
def test_the_interval_holds_the_true_difference_as_often_as_it_claims(name: str) -> None:
    """300 draws of 300 rows, two predictors of fixed quality; their true difference is that of very many rows."""
    metric = METRICS[name]

    def draw_scores(seed: int, count: int) -> tuple[Scores, Scores]:
        draw = np.random.default_rng(seed)
        labels = draw.integers(0, 2, count)
        truth = labels - 0.5 + draw.normal(0, 0.6, count)
        sides = []
        for noise in (0.3, 0.7):
            odds = 2 * (truth + draw.normal(0, noise, count))
            high = 1 / (1 + np.exp(-odds))
            sides.append(Scores(metric.row_values(labels, np.stack([1 - high, high], axis=1)), layout_of(labels)))
        return sides[0], sides[1]

    many = draw_scores(0, 400_000)
    true = many[0].whole(metric, 2) - many[1].whole(metric, 2)
    held = []
    for seed in range(1, 301):
        found = paired_difference(*draw_scores(seed, 300), metric, 2)
        assert found.half is not None
        held.append(abs(found.value - true) <= found.half)
    assert 0.91 <= np.mean(held) <= 0.985


def test_where_it_cannot_be_told_nothing_is_claimed() -> None:
    draw = np.random.default_rng(1)
    first, second = draw.gamma(2, size=(2, 30))
    in_time = replace(layout_of(np.zeros(30)), units=None)
    assert paired_difference(Scores(first, in_time), Scores(second, in_time), MAE, 0).half is None
    labels = np.repeat([0, 1], [29, 1])  # without the last row there is no class 1
    one = layout_of(labels)
    ranked = [Scores(values[:, np.newaxis], one) for values in (first, second)]
    assert paired_difference(ranked[0], ranked[1], METRICS["roc_auc"], 2).half is None
