"""From which probability on one of two classes is predicted, and which probability that should be, given what it costs.

Errors of the two kinds seldom cost the same. Where the probabilities are right and missing a class costs r times a
false prediction of it, the class is best predicted from the probability 1 / (1 + r) on (Elkan 2001, "The foundations of
cost-sensitive learning"). Those of networks are somewhat too sure or too cautious. So they are first set right by the
study's out-of-fold predictions, which a saved model carries: σ(a + b · logit(p)) is fitted to the true classes, as
Platt does (1999, "Probabilistic outputs for support vector machines"), and the threshold is the p for which that is
1 / (1 + r). Two numbers are learnt from the rows. The threshold with the lowest cost on these very rows would follow
their noise more: with a few hundred rows it costs several per cent more on new ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import Array, Floats, IntArray
from hpsearch.errors import BundleError, DataError, Setting, did_you_mean, quoted
from hpsearch.limits import LEAST_CLASS_WEIGHT, MOST_CLASS_WEIGHT
from hpsearch.validation.estimates import Estimate, mean_of_rows

PARTS = 10  # that the rows are dealt into: for each the threshold is chosen on the others
_STEPS = 100  # of Newton's method, which takes about ten


@dataclass(frozen=True)
class Threshold:
    """One of two classes is predicted where its probability is at least so much, else the other.

    Attributes:
        class_name: the class.
        value: the probability, 0 … 1.
    """

    class_name: str
    value: float

    @classmethod
    def of(cls, class_names: Sequence[str], given: Mapping[str, float]) -> Threshold:
        """From what was asked for, as ``{"yes": 0.09}``.

        Raises:
            DataError: not two classes, another class, no probability.
        """
        name, value = _one_class(class_names, given, Setting("threshold"))
        if not 0 <= value <= 1:
            raise DataError("must be a probability, from 0 to 1", f"is {quoted(value)}", where=Setting("threshold"))
        return cls(name, float(value))

    def labels(self, class_names: Sequence[str], probabilities: Array) -> IntArray:
        """The predicted label of each row, (N,), of the probabilities of both classes, (N, 2)."""
        place = list(class_names).index(self.class_name)
        return np.where(probabilities[:, place] >= self.value, place, 1 - place)


@dataclass(frozen=True)
class Cost:
    """What the errors of two classes cost: a false prediction of the class 1, missing it ``ratio``.

    Attributes:
        class_name: the class.
        ratio: above 0.
    """

    class_name: str
    ratio: float

    @classmethod
    def of(cls, class_names: Sequence[str], given: Mapping[str, float]) -> Cost:
        """From what was asked for, as ``{"yes": 10}``.

        Raises:
            DataError: not two classes, another class, no ratio.
        """
        name, value = _one_class(class_names, given, Setting("cost"))
        if not LEAST_CLASS_WEIGHT <= value <= MOST_CLASS_WEIGHT:
            must = f"must be a number from {LEAST_CLASS_WEIGHT:g} to {MOST_CLASS_WEIGHT:g}"
            raise DataError(must, f"is {quoted(value)}", where=Setting("cost"))
        return cls(name, float(value))

    @property
    def in_theory(self) -> Threshold:
        """The best threshold where the probabilities are right."""
        return Threshold(self.class_name, 1 / (1 + self.ratio))

    def of_rows(self, probabilities: Array, own: NDArray[np.bool_], threshold: float) -> Floats:
        """What each row costs, (N,): by the probabilities of the class (N,), and whether it is the true one (N,)."""
        predicted = probabilities >= threshold
        costs: Floats = np.where(own, self.ratio * ~predicted, 1.0 * predicted)
        return costs


def _one_class(class_names: Sequence[str], given: Mapping[str, float], setting: Setting) -> tuple[str, float]:
    must = "must go with a model of two classes"
    if len(class_names) != 2:
        got = f"this one has {len(class_names)}" if class_names else "this one predicts a regression target"
        raise DataError(must, got, "Leave it out.", setting)
    if len(given) != 1:
        raise DataError("must name one class", f"names {len(given)}", where=setting)
    ((name, value),) = given.items()
    if name not in class_names:
        raise DataError(
            "must name a class of the model", f"names {quoted(name)}", did_you_mean(name, class_names), setting
        )
    return name, value


@dataclass(frozen=True)
class OutOfFold:
    """What networks predicted for rows that they did not train on, of two classes.

    Attributes:
        probabilities: (M,) of the second class.
        labels: (M,) 0 or 1.
        folds: that the networks were divided among.
        averaged: whether several networks' predictions were averaged, as those of an ensemble are.
        units: (M,) which rows are one; None where each is its own.
        weights: (M,) how many rows each counts as; None where each is one.
        independent: whether the units are: rows that follow each other in time are not.
    """

    probabilities: Floats
    labels: IntArray
    folds: int
    averaged: bool
    units: IntArray | None = None
    weights: Floats | None = None
    independent: bool = True

    @classmethod
    def of_model(cls, about: Mapping[str, Any]) -> OutOfFold:
        """What a saved model carries.

        Args:
            about: how the model came to be.

        Raises:
            BundleError: it carries none, or rows of one class.
        """
        of_rows = about.get("evaluation") or {}
        plain = of_rows.get("out_of_fold")
        if plain is None:
            raise BundleError(
                ("The model must carry out-of-fold predictions of its study for ", Setting("cost")),
                "has none",
                "Retrain what `hpsearch best STUDY -o best.toml` exports, where the study is stored, or set a "
                "threshold of your own with `hpsearch predict --threshold`.",
            )
        arrays = {
            name: None if plain[name] is None else np.array(plain[name])
            for name in ("probabilities", "labels", "units", "weights")
        }
        found = cls(**{**plain, **arrays}, independent=not of_rows["in_time"])
        if len(np.unique(found.labels if found.weights is None else found.labels[found.weights > 0])) < 2:
            raise BundleError("The out-of-fold predictions of the model must be of rows of both classes", "are not")
        return found

    def plain(self) -> dict[str, Any]:
        """As a saved model carries it."""
        return {
            "probabilities": [float(f"{value:.7g}") for value in self.probabilities.tolist()],
            "labels": self.labels.tolist(),
            "folds": self.folds,
            "averaged": self.averaged,
            "units": None if self.units is None else self.units.tolist(),
            "weights": None if self.weights is None else self.weights.tolist(),
        }

    def of_class(self, place: int) -> tuple[Floats, NDArray[np.bool_]]:
        """The probabilities of one of the classes, (M,), and whether it is the true one, (M,)."""
        return (self.probabilities if place else 1 - self.probabilities), self.labels == place


@dataclass(frozen=True)
class Chosen:
    """A threshold and what it is expected to cost a row.

    Attributes:
        name: ``chosen``, ``one half`` or ``in theory``.
        threshold: the threshold.
        expected: the cost of an out-of-fold prediction. For the chosen threshold, of rows that it was not chosen on.
    """

    name: str
    threshold: Threshold
    expected: Estimate


def choose_threshold(rows: OutOfFold, class_names: Sequence[str], cost: Cost) -> list[Chosen]:
    """The threshold for a cost, one half, and the best in theory, with what they cost out of fold.

    Args:
        rows: what it is chosen on.
        class_names: the two.
        cost: of errors.
    """
    probabilities, own = rows.of_class(list(class_names).index(cost.class_name))
    weights = np.ones(len(own)) if rows.weights is None else rows.weights
    units = np.arange(len(own)) if rows.units is None else np.unique(rows.units, return_inverse=True)[1]
    dealt = (np.random.default_rng(0).permutation(int(units.max()) + 1) % PARTS)[units]
    on_others = np.empty(len(own))
    for part in np.unique(dealt):
        others = dealt != part
        value = _best(probabilities[others], own[others], weights[others], cost)
        on_others[~others] = cost.of_rows(probabilities[~others], own[~others], value)

    def expected(costs: Floats) -> Estimate:
        return mean_cost(costs, rows.units, rows.weights, rows.independent, rows.folds)

    fixed = {"one half": Threshold(cost.class_name, 0.5), "in theory": cost.in_theory}
    best = Threshold(cost.class_name, _best(probabilities, own, weights, cost))
    return [
        Chosen("chosen", best, expected(on_others)),
        *(
            Chosen(name, threshold, expected(cost.of_rows(probabilities, own, threshold.value)))
            for name, threshold in fixed.items()
        ),
    ]


def mean_cost(
    costs: Floats, units: IntArray | None, weights: Floats | None, independent: bool, networks: int = 1
) -> Estimate:
    """The mean cost of rows as :func:`~hpsearch.validation.estimates.mean_of_rows` has it; without any error there is
    no interval, as nothing tells how far the next is."""
    found = mean_of_rows(costs, units, networks, weights, independent)
    return found if found.mean else Estimate(0.0, None, None, None, found.splits)


def _best(probabilities: Floats, own: NDArray[np.bool_], weights: Floats, cost: Cost) -> float:
    """The threshold for a cost by Platt's calibration; 0 or 1 where the probabilities tell nothing.

    Raises:
        BundleError: the calibration does not converge.
    """
    limit, sought = 1e-7, -math.log(cost.ratio)
    clipped = np.clip(probabilities, limit, 1 - limit)
    logits = np.log(clipped / (1 - clipped))
    counts = np.bincount(own.astype(np.intp), weights, minlength=2)
    # Platt's targets: where the classes lie apart, those of 0 and 1 would have no finite fit.
    targets = np.where(own, (counts[1] + 1) / (counts[1] + 2), 1 / (counts[0] + 2))
    columns = np.stack([np.ones_like(logits), logits])

    def loss(fitted: Floats) -> float:
        outputs = fitted @ columns
        return float(weights @ (np.logaddexp(0, outputs) - targets * outputs))

    fitted = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        predicted = _sigmoid(fitted @ columns)
        curvature = (columns * (weights * predicted * (1 - predicted))) @ columns.T + 1e-9 * np.eye(2)
        descent = columns @ (weights * (targets - predicted))
        step = np.linalg.solve(curvature, descent)
        gain = float(descent @ step)  # twice what the loss is above its least, once near it
        if gain < 1e-10 * weights.sum():
            fitted = fitted + step  # too little is left for the rounded loss to show it
            break
        # Where networks are too sure, a whole step goes far beyond the least loss, and the next one back.
        size = 1.0
        while loss(fitted + size * step) > loss(fitted) - 1e-4 * size * gain:
            size /= 2
        fitted = fitted + size * step
    else:
        must = "The out-of-fold predictions of the model must have a calibration"
        raise BundleError(must, f"none was found in {_STEPS} steps", "Set a threshold of your own.")
    intercept, slope = fitted.tolist()
    if slope <= 0:
        return 0.0 if counts[1] * cost.ratio > counts[0] else 1.0
    return float(_sigmoid(np.array((sought - intercept) / slope)))


def _sigmoid(values: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-np.clip(values, -500, 500)))
    return result
