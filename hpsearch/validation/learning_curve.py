"""What a configuration would lose if it had trained on all rows, from what it loses when it trains on fewer.

Cross-validation judges networks that trained on K - 1 of K folds. What is shipped trains on all K. So the chosen
configuration is trained once more with a further fold left out, K - 2 of K, and the curve through the two points is
extrapolated to all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import Array, Floats, IntArray
from hpsearch.data.dataset import Dataset
from hpsearch.data.preprocess import column_without_values
from hpsearch.data.splits import Split
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import CrossValidation, EnsembleCurve, RowResults, cross_validate
from hpsearch.validation.lanes import architecture_of
from hpsearch.validation.metric import Metric
from hpsearch.validation.out_of_fold import OutOfFoldEnsemble

FEWEST_FOLDS = 3  # so that a fold is left to train on


@dataclass(frozen=True)
class Pairs:
    """Splits that leave out two folds each, both of which they validate.

    Attributes:
        splits: the first fold's validation rows stand before the second's.
        turns: (M,), of each validation position, how far the other fold left out is from the row's own, from 1 to
            K - 1. Networks of one turn, one a repeat, are averaged.
    """

    splits: tuple[Split, ...]
    turns: IntArray

    @classmethod
    def of(cls, splits: Sequence[Split], data: Dataset, furthest: int = 1) -> Pairs | None:
        """Those of K-fold splits.

        None where the splits are not folds, are fewer than ``FEWEST_FOLDS``, or leave a pair to train on no row of some
        class, or no value of some column.

        Args:
            splits: of any number of repeats, one repeat after the other.
            data: the rows.
            furthest: how far apart the two folds of a pair are at most. Each fold with the next, 1, tells as much about
                the curve as all pairs do, for half the time (K = 5).
        """
        counts = np.ones(data.rows, bool) if data.weights is None else data.weights > 0
        pairs, turns = [], []
        for _, dealt in groupby(splits, key=lambda split: split.repeat):
            folds = list(dealt)
            count, number = len(folds), 0
            if count < FEWEST_FOLDS or not _are_folds(folds):
                return None
            known = set()
            for turn in range(1, furthest + 1):
                for place, first in enumerate(folds):
                    second = folds[(place + turn) % count]
                    if frozenset((first.fold, second.fold)) in known:
                        continue
                    known.add(frozenset((first.fold, second.fold)))
                    training = np.setdiff1d(first.training, second.validation, assume_unique=True)
                    counted = data.labels[training[counts[training]]]
                    if not len(counted) or len(np.unique(counted)) < len(data.class_names):
                        return None
                    if column_without_values(data.columns, data.features, training, data.weights) is not None:
                        return None
                    validation = np.concatenate([first.validation, second.validation])
                    pairs.append(Split(first.repeat, number, training, validation))
                    turns.append(np.repeat([turn, count - turn], [len(first.validation), len(second.validation)]))
                    number += 1
        return cls(tuple(pairs), np.concatenate(turns))


def _are_folds(splits: Sequence[Split]) -> bool:
    """Whether the validation rows are disjoint, and each split trains on those of all others."""
    validated = np.sort(np.concatenate([split.validation for split in splits]))
    return bool((np.diff(validated) > 0).all()) and all(
        np.isin(np.setdiff1d(validated, split.validation, assume_unique=True), split.training).all() for split in splits
    )


class Point(NamedTuple):
    """One point of a learning curve: so many training rows, and what networks that had them lose."""

    rows: float
    loss: float


def reach(fewer: float, more: float, rows: float, start: float | None = None) -> float:
    """How far a learning curve a + b/n is extrapolated, in units of the step that was measured.

    (1/start - 1/rows) / (1/fewer - 1/more): measured is the step from ``fewer`` to ``more`` training rows, extrapolated
    from ``start``, ``more`` if None, to ``rows``. With K equal folds, of which K - 2, K - 1 and K are trained on, it is
    (K - 2)/K. Losses fall about as fast as 1/n near their end, where a model has few parameters for its rows (Cortes et
    al. 1994, "Learning curves: asymptotic values and rate of convergence", who fit a + b/n^α; two points cannot tell
    α).
    """
    return (1 / (start or more) - 1 / rows) / (1 / fewer - 1 / more)


@dataclass(frozen=True)
class LearningCurve:
    """Two points of it: out-of-fold ensembles of networks that trained on fewer and on more rows.

    Attributes:
        more: (1, M, …), what the metric is computed from, of networks that trained on K - 1 folds.
        fewer: (S, M, …), of networks that trained on K - 2 folds, S ensembles of them.
        reach: see the function of that name; at most 1.

    ``more`` is what chose configuration and epoch, ``fewer`` trained with fresh seeds, so the step between them holds
    some luck, and the extrapolation goes rather too far: at most by ``reach`` times what that choice is corrected for,
    which was 1 to 4 % of the score on the studies that this was chosen with.
    """

    more: NDArray[Any]
    fewer: NDArray[Any]
    reach: float


def with_fewer_rows(
    data: Dataset,
    pairs: Pairs,
    config: Config,
    study_seed: int,
    evaluate_every: int,
    objective: str,
    report: Callable[[int, float], None] = lambda epoch, mean: None,
) -> CrossValidation:
    """Cross-validate a configuration with a further fold left out, up to its last epoch.

    Args:
        data: the rows.
        pairs: their splits.
        config: with the epochs of the chosen checkpoint.
        study_seed: what initial weights and batch order follow from.
        evaluate_every: epochs between checkpoints, of which the last one counts.
        objective: of ``METRICS``.
        report: told every checkpoint's epoch and the mean objective of single networks.

    Returns:
        Of the last epoch. Its ``ensemble`` and ``rows`` hold one out-of-fold ensemble a turn in the place of one a
        checkpoint; the predictions are the mean of theirs.
    """

    def reported(epoch: int, mean: float) -> bool:
        report(epoch, mean)
        return False

    found = cross_validate(
        data,
        pairs.splits,
        config,
        study_seed,
        evaluate_every=evaluate_every,
        rule="last",
        objective=objective,
        should_stop=reported,
        stops=False,
        keep_losses=False,
    )
    if found.rows is None:
        return found
    predictions = found.rows.predictions
    head = architecture_of(config, data.features.shape[1], len(data.class_names)).head
    ends = np.cumsum([len(split.validation) for split in pairs.splits])[:-1]
    ensembles, averages = [], []
    for turn in np.unique(pairs.turns):
        there = pairs.turns == turn
        of_each = zip(pairs.splits, np.split(there, ends), strict=True)
        splits = [replace(split, validation=split.validation[of]) for split, of in of_each]
        ensembles.append(OutOfFoldEnsemble(data, splits, head, found.metric))
        ensembles[-1].add(predictions[there])
        averages.append(ensembles[-1].average(predictions[there]))
    losses = np.concatenate([ensemble.row_losses for ensemble in ensembles]).astype(predictions.dtype)
    values = None if objective == "loss" else np.concatenate([ensemble.row_values for ensemble in ensembles])
    curve = EnsembleCurve(
        objective=[ensemble.objective[0] for ensemble in ensembles],
        loss=[ensemble.loss[0] for ensemble in ensembles],
        score_name=found.score_name,
    )
    rows = RowResults(losses, np.mean(averages, axis=0).astype(predictions.dtype), values)
    return replace(found, rows=rows, ensemble=curve)


def on_all_rows(value: Array, more: Array, fewer: Array, reach: float, metric: Metric) -> Floats:
    """Scores of networks that trained on K - 1 folds, as they would be if these had trained on all rows.

    Args:
        value: the scores.
        more: of the learning curve, the point of K - 1 folds; of the shape of ``value``.
        fewer: likewise, that of K - 2 folds.
        reach: from the function of that name.
        metric: of the scores.

    What is extrapolated is the distance d from a perfect score, 0 for a loss and 1 for what is to be maximised:
    d / (1 + reach · (d₂ - d₁)/d₁), d₁ and d₂ those of more and of fewer rows. For a small step that is
    d - reach · (d₂ - d₁); a large one takes no score beyond the perfect one.
    """
    perfect = 0.0 if metric.direction == "minimize" else 1.0
    far, further = metric.sign * (more - perfect), metric.sign * (fewer - perfect)
    step = np.divide(further - far, far, out=np.zeros_like(far), where=far > 0)
    extrapolated: Floats = perfect + (value - perfect) / (1 + reach * step)
    return extrapolated
