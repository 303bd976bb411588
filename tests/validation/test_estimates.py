"""How sure a mean over splits is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from hpsearch.validation.estimates import estimate


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_is_students_widened_for_training_rows_that_overlap(seed: int) -> None:
    """Without overlap, n₂/n₁ → 0, it is Student's; the factor by which it is wider is √(1 + J·n₂/n₁)."""
    values = np.random.default_rng(seed).normal(0.5, 0.1, 10).tolist()
    student = ttest_1samp(values, 0).confidence_interval(0.95)
    plain = estimate(values, [10**12] * 10, [1] * 10)
    assert (plain.low, plain.high) == pytest.approx((student.low, student.high), rel=1e-9)
    folds = estimate(values, [90] * 10, [10] * 10)
    assert folds.low is not None
    assert folds.high is not None
    assert (folds.high - folds.low) / (student.high - student.low) == pytest.approx((1 + 10 / 9) ** 0.5)
    assert (folds.low + folds.high) / 2 == pytest.approx(folds.mean)
    assert folds.standard_error == pytest.approx(np.std(values, ddof=1) / 10**0.5)


def test_random_splits_drawn_again_and_again_are_covered_about_as_often_as_promised() -> None:
    """Where the correction is derived: means of 15 random splits of 100 rows, the model a mean of its training rows."""
    draw, covered, studies = np.random.default_rng(0), 0, 600
    for _ in range(studies):
        rows, losses = draw.standard_normal(100), []
        for _ in range(15):
            order = draw.permutation(100)
            losses.append(float(np.mean((rows[order[90:]] - rows[order[:90]].mean()) ** 2)))
        found = estimate(losses, [90] * 15, [10] * 15)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 1 + 1 / 90 <= found.high
    # An interval at 95 %; three standard errors of the count are 2.7 %, and the heuristic itself may be off as much.
    assert 0.9 < covered / studies < 0.995


def test_a_single_split_has_no_standard_error() -> None:
    single = estimate([0.5], [80], [20])
    assert (single.mean, single.splits) == (0.5, 1)
    assert single.standard_error is single.low is single.high is None
