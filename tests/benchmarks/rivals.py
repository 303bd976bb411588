"""Intervals from the literature, which our own estimate is measured beside, in the same studies.

Two are made from the losses of all candidates, and know that one was chosen: :func:`bbc_percentiles`,
:func:`tilted_bound`. Three are about one configuration, and do not know how it was chosen: :func:`corrected_t`,
:func:`conservative_z`, :func:`nested_cv`. The latter two train more networks, in lock-step.

All are about a mean loss over rows, and none is cut off at 0, as none is in its paper. What we add to the papers is
which rows are independent: units are drawn, halved and counted, not rows
(:func:`hpsearch.data.units.independent_units`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp, softmax
from scipy.stats import norm, rankdata

from hpsearch import seeds
from hpsearch.arrays import Floats, IntArray
from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import Split, SplitOptions, make_splits
from hpsearch.data.units import independent_units
from hpsearch.errors import DataError
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import CrossValidation, cross_validate
from hpsearch.validation.estimates import LEVEL, estimate
from hpsearch.validation.learning_curve import Pairs

QUANTILE = float(norm.ppf((1 + LEVEL) / 2))  # of a two-sided interval
DEALS = 100  # of the units into halves, before data whose halves cannot be split is refused


def corrected_t(values: Sequence[float], splits: Sequence[Split]) -> tuple[float, float, float]:
    """The corrected resampled t interval of Nadeau & Bengio (2003), "Inference for the Generalization Error", Machine
    Learning 52, equation 9: :func:`hpsearch.validation.estimates.estimate`, which says where ours differs.

    Args:
        values: (J,) the mean loss of each split's validation rows.
        splits: the J splits, at least two.

    Returns:
        The mean, and the interval at ``LEVEL``.
    """
    found = estimate(values, [len(s.training) for s in splits], [len(s.validation) for s in splits])
    if found.low is None or found.high is None:
        raise ValueError("An interval needs at least two splits.")
    return found.mean, found.low, found.high


def conservative_z(
    data: Dataset,
    config: Config,
    options: SplitOptions,
    seed: int,
    value: float,
    halvings: int = 10,
    splitter: str = "kfold",
) -> tuple[float, float]:
    """The conservative Z interval of Nadeau & Bengio (2003), sections 3 and 4, around an estimate of the mean loss.

    The data is halved at random M times. The two halves of a halving share no rows, so their estimates μ and μ' are
    independent, and (μ - μ')²/2 estimates the variance of what half the rows tell, without bias. Its mean over the
    halvings is σ², which is too large for all rows: the interval ``value`` ± z σ is conservative.

    Ours differs: within a half, theirs are 15 random splits that validate as many rows as splits of all rows do; ours
    is the study's own cross-validation, whose folds are half as large. And we halve units, not rows.

    Args:
        data: the rows.
        config: what is estimated, with the epochs of the chosen checkpoint.
        options: how all rows were split for ``value``, and the halves are.
        seed: of the halvings and the networks.
        value: the estimate from all rows.
        halvings: M.
        splitter: of ``SPLITTERS``.

    Raises:
        DataError: see :func:`halved`.
        ArithmeticError: a network diverges.
    """
    halves = halved(data, splitter, options, seed, halvings)
    folds = _train(data, [split for half in halves for split in half], config, seed).folds
    sums = np.bincount([fold.repeat for fold in folds], [fold.validation_loss for fold in folds])
    means = (sums / [len(half) for half in halves]).reshape(halvings, 2)
    error = math.sqrt(float(np.mean((means[:, 0] - means[:, 1]) ** 2)) / 2)
    return value - QUANTILE * error, value + QUANTILE * error


def halved(
    data: Dataset, splitter: str, options: SplitOptions, seed: int, halvings: int
) -> tuple[tuple[Split, ...], ...]:
    """The splits within each of 2 · ``halvings`` halves of the data, the two of a halving one after the other.

    Of an odd number of units one is left out. Units are dealt again where a half cannot be split, as it lacks a class.

    Raises:
        DataError: the last of ``DEALS`` deals cannot be split either.
    """
    draw, units = np.random.default_rng(seed), independent_units(data)
    count = int(units.max()) + 1

    def halve(number: int) -> list[tuple[Split, ...]]:
        order, sides = draw.permutation(count), []
        for side, chosen in enumerate(np.split(order[: count // 2 * 2], 2)):
            rows, half = np.flatnonzero(np.isin(units, chosen)), 2 * number + side
            dealt = make_splits(data.take(rows), splitter, options, seeds.keyed_seed(seed, half))
            # As a repeat of its own, each half begins with other weights.
            sides.append(tuple(Split(half, at, rows[s.training], rows[s.validation]) for at, s in enumerate(dealt)))
        return sides

    found: list[tuple[Split, ...]] = []
    for number in range(halvings):
        for deal in range(DEALS):
            try:
                found += halve(number)
                break
            except DataError:
                if deal == DEALS - 1:
                    raise
    return tuple(found)


def bbc_percentiles(losses: Floats, units: IntArray, seed: int, resamples: int = 1000) -> tuple[float, float, float]:
    """BBC-CV of Tsamardinos, Greasidou & Borboudakis (2018), "Bootstrapping the out-of-sample predictions for efficient
    and accurate cross-validation", Machine Learning 107, with its percentile interval.

    Each resample draws as many units as there are, with replacement, chooses the candidate with the lowest mean loss on
    them, and takes its mean loss on the units that were not drawn. The estimate is the mean of these; the interval
    reaches from their 2.5th to their 97.5th percentile. Ours differs in that it draws units, not rows. How our own
    estimate differs from this one is told at :func:`hpsearch.validation.selection.corrected`.

    Args:
        losses: (C, n) of every candidate, one a row.
        units: (n,) which rows belong together.
        seed: of the resamples.
        resamples: how many.

    Returns:
        The estimate, and the interval.
    """
    sums, sizes = _by_unit(losses, units)
    drawn = _resamples(len(sizes), seed, resamples)
    drawn = drawn[(drawn == 0).any(axis=1)]  # where every unit was drawn, none is left to look at
    chosen = ((drawn @ sums.T) / (drawn @ sizes)[:, np.newaxis]).argmin(axis=1)
    left = drawn == 0
    values = (left * sums[chosen]).sum(axis=1) / (left @ sizes)
    low, high = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(values.mean()), float(low), float(high)


def tilted_bound(losses: Floats, units: IntArray, seed: int, level: float = LEVEL, resamples: int = 10_000) -> float:
    """An upper bound for the mean loss of that candidate whose mean is the lowest on these rows.

    It is the multiplicity-adjusted bootstrap tilting of Rink & Brannath (2025), "Post-selection confidence bounds for
    prediction performance", Machine Learning 114 (arXiv 2210.13206), who bound from below what is to be maximised. If
    the chosen candidate's true mean were θ, how often would its observed mean be this low? θ is raised until that is as
    rare as a choice among so many demands.

    1. The rows are resampled B times. Of each candidate's B means each is ranked, the lowest highest, over B + 1.
    2. c is the quantile, at ``level``, of the maximum of the ranks over candidates. Of one candidate it is ``level``,
       of C independent ones the C-th root of it, as Šidák has it; of candidates that are alike it is in between.
    3. Rows tilted by τ have weights p ∝ exp(τ x), x the influence of each on the chosen candidate's mean; θ is the mean
       with these weights. How probable a mean below the observed one is, if rows are drawn with p, is told from the
       same resamples, each counted by its likelihood ratio, the product of (n p)^(times drawn).
    4. The bound is θ at the τ where that probability is 1 - c.

    Ours differs in step 3, where theirs divides by the sum of the likelihood ratios, and ours by B, what the sum is on
    average. The sum hangs on the few resamples far above the observed mean, the more so the more candidates; ours needs
    only those below, whose ratios are small, and falls with τ without steps, so that there is one root. Also, units are
    drawn and tilted, not rows, and x is of a ratio where they differ in size.

    Its promise is for many rows. Of exponential losses of 100 rows, it held for the best of 30 independent candidates
    in 0.90 of 1,000 simulations, and in 0.93 to 0.94 where their losses shared a half or more.

    Args:
        losses: (C, n) of every candidate that could be chosen, one a row.
        units: (n,) which rows belong together.
        seed: of the resamples.
        level: how often the bound is to hold.
        resamples: B.

    Returns:
        The bound; infinite where the chosen candidate loses the same on every row, which tells none.
    """
    sums, sizes = _by_unit(losses, units)
    count, drawn = len(sizes), _resamples(len(sizes), seed, resamples)
    means = (drawn @ sums.T) / (drawn @ sizes)[:, np.newaxis]
    observed = sums.sum(axis=1) / sizes.sum()
    chosen = int(observed.argmin())
    highest = rankdata(-means, method="max", axis=0).max(axis=1) / (resamples + 1)
    rare = 1 - float(np.quantile(highest, level, method="inverted_cdf"))
    influence = (sums[chosen] - observed[chosen] * sizes) / sizes.mean()
    if np.allclose(influence, 0, atol=1e-9 * abs(observed[chosen])):
        return math.inf
    influence /= influence.std() * math.sqrt(count)  # a tilt of 1 then moves the mean by about a standard error
    below = drawn[means[:, chosen] < observed[chosen]] @ influence

    def excess(tilt: float) -> float:
        ratios = np.exp(tilt * below - count * (logsumexp(tilt * influence) - math.log(count)))
        return float(ratios.sum()) / resamples - rare

    furthest = 1.0
    while excess(furthest) > 0:
        furthest *= 2
    weights = softmax((brentq(excess, 0, furthest) if excess(0) > 0 else 0) * influence)
    return float(weights @ sums[chosen] / (weights @ sizes))


def nested_cv(data: Dataset, config: Config, splits: Sequence[Split], seed: int) -> tuple[float, float, float]:
    """The interval of Bates, Hastie & Tibshirani (2024), "Cross-validation: what does it estimate and how well does it
    do it?", Journal of the American Statistical Association 119, Algorithm 1, for a given configuration.

    Unlike what else is called nested cross-validation, it chooses nothing. What is computed, and where ours differs, is
    told at :func:`nested_interval`. The networks that leave out one fold train in one call, all others in another.

    Args:
        data: the rows.
        config: what is estimated, with the epochs of the chosen checkpoint.
        splits: of K folds, 3 to 5, in R repeats, one after the other. R should be large, 10 at least: a - b is noisy.
        seed: what initial weights and batch order follow from.

    Returns:
        The estimate of what a network that trained on all rows loses on average, and the interval at ``LEVEL``.

    Raises:
        ValueError: the splits are not such folds, or a fold has fewer than two units.
        ArithmeticError: a network diverges.
    """
    pairs, count = Pairs.of(splits, data, furthest=2), len({split.fold for split in splits})
    repeats = len(splits) // count
    if pairs is None or len(pairs.splits) != repeats * count * (count - 1) // 2:
        raise ValueError("The splits must be of 3 to 5 folds.")
    losses, folds = np.full((repeats, count, data.rows), np.nan), np.zeros((repeats, data.rows), np.intp)
    for number, split in enumerate(splits):
        folds[number // count, split.validation] = number % count
    one_left_out = np.zeros(sum(len(split.validation) for split in splits), np.intp)
    calls = [(splits, one_left_out, seed), (pairs.splits, pairs.turns, seeds.keyed_seed(seed, "pairs"))]
    for trained, turns, own_seed in calls:
        lengths = [len(split.validation) for split in trained]
        repeat = np.repeat(np.arange(len(trained)) * repeats // len(trained), lengths)
        rows = _train(data, trained, config, own_seed).rows
        assert rows is not None
        losses[repeat, turns, np.concatenate([split.validation for split in trained])] = rows.losses[0]
    if np.isnan(losses).any():
        raise ValueError("Every repeat must validate every row.")
    return nested_interval(losses, folds, independent_units(data), data.weights)


def nested_interval(
    losses: Floats, folds: IntArray, units: IntArray, weights: Floats | None = None
) -> tuple[float, float, float]:
    """What :func:`nested_cv` makes of the losses.

    Args:
        losses: (R, K, n) by repeat and row: at 0 by the network that left out the row's own fold, at t by the one that
            left out its own and the t-th after it, counted round.
        folds: (R, n) from 0, the fold of each row.
        units: (n,) which rows belong together.
        weights: (n,) how many rows each counts as; one if None.

    For each repeat and fold, a is the squared difference of two means: of the other folds' rows, by the networks that
    left out this fold and the row's own; and of this fold's rows, by the network that left out this fold. b is the
    squared standard error of the latter. The mean of a - b estimates the squared error of cross-validation of K - 1
    folds; times (K - 1)/K, of all rows. Its root is kept between the naive standard error, of losses as if they were
    independent, and √K times that.

    With e the mean loss where two folds are left out and e₁ where one is, the estimate is e less its bias
    (1 + (K - 2)/K)(e - e₁), which is e₁ - (K - 2)/K (e - e₁). The authors' R package raises (K - 2)/K to 1.5 and has e₁
    from other splits; ours is as in the paper. Ours differs in that means are over rows by weight, and standard errors
    over units: those of ratios, as in :func:`hpsearch.validation.estimates.mean_of_rows`.
    """
    repeats, count, rows = losses.shape
    counts, terms = np.ones(rows) if weights is None else weights, []
    for repeat in range(repeats):
        for fold in range(count):
            own, others = (np.flatnonzero(there) for there in (folds[repeat] == fold, folds[repeat] != fold))
            inside = losses[repeat, 0, own]
            outside = losses[repeat, (fold - folds[repeat, others]) % count, others]
            difference = np.average(outside, weights=counts[others]) - np.average(inside, weights=counts[own])
            terms.append(difference**2 - _squared_error(inside[np.newaxis], units[own], counts[own]))
    inner = losses[:, 1:].reshape(-1, rows)
    naive = math.sqrt(_squared_error(inner, units, counts))
    error = math.sqrt(max(0.0, float(np.mean(terms))) * (count - 1) / count)
    error = min(max(error, naive), math.sqrt(count) * naive)
    two_out, one_out = (float(np.average(of.mean(axis=0), weights=counts)) for of in (inner, losses[:, 0]))
    value = two_out - (1 + (count - 2) / count) * (two_out - one_out)
    return value, value - QUANTILE * error, value + QUANTILE * error


def _squared_error(losses: Floats, units: IntArray, counts: Floats) -> float:
    """The squared standard error of a mean over n rows, its variance from S losses of each, (S, n)."""
    mean = np.average(losses.mean(axis=0), weights=counts)
    sums, _ = _by_unit(counts * (losses - mean), units)
    if sums.shape[1] < 2:
        raise ValueError("Each fold must hold at least two units.")
    return float((sums**2).sum() / len(sums) * sums.size / (sums.size - 1)) / float(counts.sum()) ** 2


def _train(data: Dataset, splits: Sequence[Split], config: Config, seed: int) -> CrossValidation:
    """Cross-validation, all networks in lock-step, judged after the last epoch."""
    found = cross_validate(data, splits, config, seed, evaluate_every=config.epochs, rule="last")
    if found.outcome != "complete":
        raise ArithmeticError(found.reason)
    return found


def _by_unit(values: Floats, units: IntArray) -> tuple[Floats, Floats]:
    """Of values (C, n) the sums over each unit's rows, (C, U), and the units' numbers of rows, (U,)."""
    _, numbers, sizes = np.unique(units, return_inverse=True, return_counts=True)
    order = np.argsort(numbers, kind="stable")
    starts = np.cumsum(sizes) - sizes
    return np.add.reduceat(np.asarray(values, np.float64)[:, order], starts, axis=1), sizes.astype(np.float64)


def _resamples(units: int, seed: int, count: int) -> Floats:
    """(count, U), how often each unit is drawn; as many are drawn as there are units."""
    draw = np.random.default_rng(seed)
    return draw.multinomial(units, np.full(units, 1 / units), size=count).astype(np.float64)
