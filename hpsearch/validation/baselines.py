"""Baselines: what simple models predict for the validation rows of the same splits, without a search.

A network that does not beat them is not worth its trouble. Each sees the rows as a network does: features filled and
scaled by what was learnt from the training rows of a split, and the weights of the training loss. All else is
scikit-learn's default.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpsearch.arrays import Array, Floats, IntArray
from hpsearch.data.dataset import Dataset, Task
from hpsearch.data.preprocess import Scaling
from hpsearch.data.splits import Split
from hpsearch.validation.config import Config
from hpsearch.validation.lanes import fit_scalings, training_weights

# What a fit takes, in seconds of one core, as measured; it decides by the size of the data, so that a study has the
# same baselines on every machine.
_SECONDS_OF_A_LINEAR_FIT = 0.015
_SECONDS_OF_A_LINEAR_CELL = 5e-8
_TREES, _LEAVES, _LEAST_LEAF = 100, 31, 20
_SECONDS_OF_A_TREE, _SECONDS_OF_A_LEAF, _SECONDS_OF_A_HISTOGRAM, _SECONDS_OF_A_TREE_CELL = 1e-3, 1.5e-4, 1e-5, 2e-8


@dataclass(frozen=True)
class Rows:
    """The training rows of a split, those that count, and its validation rows.

    Attributes:
        features: (n, D) of the training rows, finite.
        targets: (n,) classes from 0, or the regression target in its own unit.
        weights: (n,) above 0, of the training loss.
        own: (n,) at least 0, the rows' own weights, with which a score counts them.
        new: (m, D), features of the validation rows.
        classes: C; 0 in a regression.
        loss: the name of what the study's training descends.
    """

    features: Floats
    targets: Array
    weights: Floats
    own: Floats
    new: Floats
    classes: int
    loss: str


@dataclass(frozen=True)
class Baseline:
    """A model without a search.

    Attributes:
        titles: what it is called, by the study's loss; that of its task where the loss has none of its own.
        predict: (rows) to predictions of the validation rows: (m, C) probabilities, or (m, 1).
        seconds: (rows, features, classes) to what one fit takes on one core, about.
        sees_features: whether it looks at features at all.
    """

    titles: Mapping[str, str]
    predict: Callable[[Rows], Floats]
    seconds: Callable[[int, int, int], float]
    sees_features: bool = True

    def title(self, task: Task, loss: str) -> str:
        """What it is called where networks are trained with this loss."""
        return self.titles.get(loss, self.titles[task])


def _constant(rows: Rows) -> Floats:
    """The one prediction for all rows that loses least on the training rows, as a score counts them."""
    if rows.classes:
        shares = np.bincount(rows.targets, rows.own, rows.classes) / rows.own.sum()
        return np.tile(shares, (len(rows.new), 1))
    if rows.loss == "absolute_error":
        order = np.argsort(rows.targets, kind="stable")
        up_to = np.cumsum(rows.own[order])
        middle = rows.targets[order][np.searchsorted(up_to, up_to[-1] / 2)]
    else:
        middle = np.average(rows.targets, weights=rows.own)
    return np.full((len(rows.new), 1), middle, np.float64)


def _linear(rows: Rows) -> Floats:
    from sklearn.linear_model import LogisticRegression, Ridge

    return _fitted(LogisticRegression(max_iter=1000) if rows.classes else Ridge(), rows)


def _trees(rows: Rows) -> Floats:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if rows.classes:
        return _fitted(HistGradientBoostingClassifier(random_state=0), rows)
    loss = "absolute_error" if rows.loss == "absolute_error" else "squared_error"
    return _fitted(HistGradientBoostingRegressor(loss=loss, random_state=0), rows)


def _fitted(model: object, rows: Rows) -> Floats:
    """What one of scikit-learn's models predicts for the validation rows.

    A class without training rows gets the share that one more row of it would have (Laplace), not 0: of a new class
    nothing is known.
    """
    there = np.unique(rows.targets) if rows.classes else np.empty(0)
    if rows.classes and len(there) == 1:
        return _constant(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a solver that has not converged: such as it is, it is a baseline
        fitted = model.fit(rows.features, rows.targets, sample_weight=rows.weights)  # type: ignore[attr-defined]
        if not rows.classes:
            return np.asarray(fitted.predict(rows.new), np.float64)[:, np.newaxis]
        probabilities = np.full((len(rows.new), rows.classes), 1 / (len(rows.targets) + rows.classes))
        probabilities[:, there] = fitted.predict_proba(rows.new)
    normalised: Floats = probabilities / probabilities.sum(axis=1, keepdims=True)
    return normalised


def _linear_seconds(rows: int, features: int, classes: int) -> float:
    return _SECONDS_OF_A_LINEAR_FIT + _SECONDS_OF_A_LINEAR_CELL * rows * features * max(1, classes)


def _trees_seconds(rows: int, features: int, classes: int) -> float:
    leaves = min(_LEAVES, max(1, rows // _LEAST_LEAF))
    a_tree = _SECONDS_OF_A_TREE + leaves * (_SECONDS_OF_A_LEAF + _SECONDS_OF_A_HISTOGRAM * features)
    a_tree += _SECONDS_OF_A_TREE_CELL * rows * features
    return _TREES * (classes if classes > 2 else 1) * a_tree


# From the simplest on.
BASELINES: dict[str, Baseline] = {
    "constant": Baseline(
        {"classification": "class shares", "regression": "mean", "absolute_error": "median"},
        _constant,
        lambda rows, features, classes: 0.0,
        sees_features=False,
    ),
    "linear": Baseline(
        {"classification": "logistic regression", "regression": "ridge regression"}, _linear, _linear_seconds
    ),
    "trees": Baseline(
        {"classification": "gradient-boosted trees", "regression": "gradient-boosted trees"}, _trees, _trees_seconds
    ),
}


def predict_out_of_fold(
    baseline: Baseline,
    data: Dataset,
    splits: Sequence[Split],
    config: Config,
    between: Callable[[], None] = lambda: None,
    study_seed: int = 0,
) -> Array:
    """What a baseline predicts for the validation rows of each split, fitted on its training rows alone.

    Args:
        baseline: one of ``BASELINES``.
        data: the rows.
        splits: of them.
        config: of the networks: its scaling and loss. Where it scales nothing the features are standardised all the
            same, since a penalty needs features of like size.
        between: called before each fit; what it raises ends the fits.
        study_seed: of what training rows are encoded by, see :func:`fit_scalings`.

    Returns:
        (M, C) probabilities or (M, 1), the validation rows of split 0 first; float32 for classes, as those of networks
        are stored.

    Raises:
        ValueError, ArithmeticError: a model that cannot be fitted to these rows.
    """
    training = [split.training for split in splits]
    weights = training_weights(config, data, training)
    own = np.ones(data.rows) if data.weights is None else data.weights
    scaling = "standard" if config.scaling == "none" else config.scaling
    scalings: Sequence[Scaling | None] = [None] * len(splits)
    if baseline.sees_features:
        scalings = fit_scalings(data, training, scaling, study_seed=study_seed)

    def features(rows: IntArray, scaling: Scaling | None) -> Floats:
        if scaling is None:
            return np.empty((len(rows), 0))
        seen: Floats = scaling.apply(data.features[rows], rows).astype(np.float64)
        return seen

    parts = []
    for lane, (split, of_lane) in enumerate(zip(splits, scalings, strict=True)):
        between()
        of_loss = own if weights is None else weights[lane]
        counted = split.training[of_loss[split.training] > 0]
        rows = Rows(
            features(counted, of_lane),
            data.labels[counted],
            of_loss[counted],
            own[counted],
            features(split.validation, of_lane),
            len(data.class_names),
            config.loss_name(data.task),
        )
        parts.append(baseline.predict(rows))
    predictions = np.concatenate(parts)
    if not np.isfinite(predictions).all():
        raise ArithmeticError("A baseline's predictions are not finite.")
    return predictions.astype(np.float32) if data.task == "classification" else predictions
