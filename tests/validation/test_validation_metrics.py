"""Metrics of classes: each is what its definition says, on rows and on resamples, and undefined where it should be."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn import metrics as theirs

from hpsearch.nn.losses import CLIP, cross_entropy, one_hot
from hpsearch.validation import metric as module
from hpsearch.validation.metrics import metrics_of

METRICS = metrics_of("cross_entropy")
Array = NDArray[Any]
CHECKPOINTS, RESAMPLES = 3, 2
# What each metric keeps of a row: (the rest of the shape, number type) for C classes.
KEPT: dict[str, Callable[[int], tuple[tuple[int, ...], type]]] = {
    "accuracy": lambda classes: ((), np.uint8),
    "balanced_accuracy": lambda classes: ((), np.uint8),
    "brier": lambda classes: ((), np.float32),
    "log_loss": lambda classes: ((), np.float32),
    "loss": lambda classes: ((), np.float32),
    "macro_f1": lambda classes: ((), np.uint8),
    "roc_auc": lambda classes: ((1 if classes == 2 else classes,), np.float32),
}
# Undefined for rows without one of the classes.
OF_ALL_CLASSES = {"balanced_accuracy", "macro_f1", "roc_auc"}

each_metric = pytest.mark.parametrize("name", METRICS)
each_number_of_classes = pytest.mark.parametrize("classes", [2, 3, 4, 5])
each_number_type = pytest.mark.parametrize("dtype", [np.float32, np.float64])
several_seeds = pytest.mark.parametrize("seed", range(3))


def draw_labels(draw: np.random.Generator, rows: int, classes: int) -> Array:
    """Every class, each three times or more, in random order and unequal numbers."""
    more = draw.choice(classes, rows - 3 * classes, p=(np.arange(classes) + 1) / sum(range(classes + 1)))
    return draw.permutation(np.concatenate([np.repeat(np.arange(classes), 3), more]))


def draw_probabilities(draw: np.random.Generator, labels: Array, classes: int, dtype: Any, levels: int = 0) -> Array:
    """(n, C), better than chance; in eighths and the like, so that rows tie, with ``levels``."""
    if levels:
        counts = draw.multinomial(levels, np.full(classes, 1 / classes), len(labels))
        return (counts / levels).astype(dtype)
    logits = draw.normal(0, 1.5, (len(labels), classes)) + 1.5 * np.eye(classes)[labels]
    logits = logits.astype(dtype)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def case(seed: int, classes: int, dtype: Any = np.float64, levels: int = 0, rows: int = 57) -> tuple[Array, Array]:
    """Labels (n,) and the probabilities of some checkpoints (T, n, C)."""
    draw = np.random.default_rng([seed, classes])
    labels = draw_labels(draw, rows, classes)
    return labels, np.stack([draw_probabilities(draw, labels, classes, dtype, levels) for _ in range(CHECKPOINTS)])


def draw_weights(seed: int, labels: Array, kind: str) -> Array:
    """(R, n) with every class in each resample: a bootstrap's multiplicities, or any weights, some of them 0."""
    draw, rows, found = np.random.default_rng([seed, 99]), len(labels), []
    while len(found) < RESAMPLES:
        counts = draw.multinomial(rows, np.full(rows, 1 / rows))
        if len(np.unique(labels[counts > 0])) == labels.max() + 1:
            found.append(counts if kind == "multiplicities" else (counts > 0) * draw.gamma(1, size=rows))
    return np.stack(found)


def keep(name: str, labels: Array, probabilities: Array) -> Array:
    """The values kept of T checkpoints."""
    return np.stack([METRICS[name].row_values(labels, of_one) for of_one in probabilities])


# --- the definitions, written out


def by_definition(name: str, labels: Array, probabilities: Array, weights: Array) -> float:
    """The metric by loops over rows, classes and pairs of rows."""
    p = probabilities.astype(float)
    rows, classes = p.shape
    exact = p / p.sum(axis=1, keepdims=True)
    predicted = [max(range(classes), key=lambda c: (row[c], -c)) for row in p]

    def mean(of_row: list[float]) -> float:
        return sum(w * value for w, value in zip(weights, of_row, strict=True)) / sum(weights)

    def total(of_row: list[bool]) -> float:
        return sum(w for w, counts in zip(weights, of_row, strict=True) if counts)

    def of_class(c: int) -> tuple[float, float, float]:
        hits = [g == c == y for g, y in zip(predicted, labels, strict=True)]
        return total(hits), total([g == c for g in predicted]), total([y == c for y in labels])

    def area(c: int) -> float:
        won = pairs = 0.0
        for i, j in itertools.product(np.flatnonzero(labels == c), np.flatnonzero(labels != c)):
            won += weights[i] * weights[j] * (1 + np.sign(p[i, c] - p[j, c])) / 2
            pairs += weights[i] * weights[j]
        return won / pairs

    if name == "accuracy":
        return mean([float(g == y) for g, y in zip(predicted, labels, strict=True)])
    if name == "brier":
        return mean([sum((exact[i, c] - (c == labels[i])) ** 2 for c in range(classes)) for i in range(rows)])
    if name in ("log_loss", "loss"):
        edge = CLIP if name == "loss" else 2.0**-52
        return mean([-math.log(min(max(exact[i, labels[i]], edge), 1 - edge)) for i in range(rows)])
    if name == "roc_auc":
        return float(np.mean([area(c) for c in ([1] if classes == 2 else range(classes))]))
    counts = [of_class(c) for c in range(classes)]
    if name == "balanced_accuracy":
        return float(np.mean([hits / actual for hits, _, actual in counts]))
    precision_and_recall = [(hits / guessed if guessed else 0, hits / actual) for hits, guessed, actual in counts]
    return float(np.mean([2 * p * r / (p + r) if p + r else 0 for p, r in precision_and_recall]))


@each_metric
@each_number_of_classes
@each_number_type
@pytest.mark.parametrize("levels", [0, 8])
def test_score_and_resampled_are_the_definition(name: str, classes: int, dtype: Any, levels: int) -> None:
    labels, probabilities = case(0, classes, dtype, levels, rows=30)
    weights = draw_weights(0, labels, "any")
    values, metric = keep(name, labels, probabilities), METRICS[name]
    # In float64 the score of weights is exact; what is kept has 24 bits.
    ours = metric.resampled(values, labels, classes, weights)
    for resample, checkpoint in np.ndindex(2, 2):
        expected = by_definition(name, labels, probabilities[checkpoint], weights[resample])
        score = metric.score(labels, probabilities[checkpoint], classes, weights[resample])
        assert score == pytest.approx(expected, rel=1e-6 if name == "loss" and dtype == np.float32 else 1e-12)
        assert ours[resample, checkpoint] == pytest.approx(expected, rel=1e-6)


# --- scikit-learn's answer, asked in the plainest way

SKLEARN: dict[str, Callable[[Array, Array, Array | None], float]] = {
    "accuracy": lambda y, p, w: theirs.accuracy_score(y, p.argmax(axis=1), sample_weight=w),
    "balanced_accuracy": lambda y, p, w: theirs.recall_score(y, p.argmax(axis=1), average="macro", sample_weight=w),
    "brier": lambda y, p, w: theirs.mean_squared_error(np.eye(p.shape[1])[y], p, sample_weight=w) * p.shape[1],
    "log_loss": lambda y, p, w: theirs.log_loss(y, p, sample_weight=w),
    "loss": lambda y, p, w: theirs.log_loss(y, p, sample_weight=w),  # no probability is at the edge in these cases
    "macro_f1": lambda y, p, w: theirs.f1_score(y, p.argmax(axis=1), average="macro", sample_weight=w),
    "roc_auc": lambda y, p, w: theirs.roc_auc_score(
        y, p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr", sample_weight=w
    ),
}


@each_metric
@each_number_of_classes
@several_seeds
def test_resampled_is_scikit_learns_score_of_weighted_and_of_repeated_rows(name: str, classes: int, seed: int) -> None:
    labels, probabilities = case(seed, classes)
    values, metric = keep(name, labels, probabilities), METRICS[name]
    for kind in ("any", "multiplicities"):
        weights = draw_weights(seed, labels, kind)
        ours = metric.resampled(values, labels, classes, weights)
        assert ours.shape == (RESAMPLES, CHECKPOINTS)
        assert ours.dtype == np.float64
        for resample, checkpoint in np.ndindex(ours.shape):
            p, w = probabilities[checkpoint], weights[resample]
            assert ours[resample, checkpoint] == pytest.approx(SKLEARN[name](labels, p, w), rel=1e-6)
            assert metric.score(labels, p, classes, w) == pytest.approx(SKLEARN[name](labels, p, w), rel=1e-6)
            if kind == "multiplicities":
                rows = np.repeat(np.arange(len(labels)), w)
                assert ours[resample, checkpoint] == pytest.approx(SKLEARN[name](labels[rows], p[rows], None), rel=1e-6)


@several_seeds
@each_number_of_classes
def test_ties_count_one_half(classes: int, seed: int) -> None:
    """Against Mann & Whitney's U of mid-ranks, of scores in a few steps only and of scores that are all the same."""
    labels, probabilities = case(seed, classes, levels=4)
    probabilities[0] = 1 / classes
    values = keep("roc_auc", labels, probabilities)
    ours = METRICS["roc_auc"].resampled(values, labels, classes, np.ones((1, len(labels))))[0]
    for p, area in zip(probabilities, ours, strict=True):
        areas = []
        for c in [1] if classes == 2 else range(classes):
            own = labels == c
            u = rankdata(p[:, c])[own].sum() - own.sum() * (own.sum() + 1) / 2
            areas.append(u / (own.sum() * (~own).sum()))
        assert area == pytest.approx(np.mean(areas), rel=1e-12)
    assert ours[0] == 0.5


@pytest.mark.parametrize(
    "p",
    [
        np.array([[0.7, 0.3], [0.7 + 3e-7, 0.3]], np.float32),  # to divide by the sums would part them
        np.array([[0.7, 0.3], [0.7 - 1e-9, 0.3 + 1e-9]]),  # one and the same once kept in float32
    ],
    ids=["float32", "float64"],
)
def test_probabilities_tie_that_are_equal_in_float32(p: Array) -> None:
    labels, metric = np.array([0, 1]), METRICS["roc_auc"]
    assert metric.score(labels, p, 2) == 0.5
    assert metric.resampled(metric.row_values(labels, p)[np.newaxis], labels, 2, np.ones((1, 2))) == 0.5


def test_the_loss_is_the_trainers_own_bit_for_bit() -> None:
    for dtype in (np.float32, np.float64):
        labels, probabilities = case(0, 3, dtype)
        p = probabilities[0]
        p[0], p[1] = np.eye(3)[labels[0]], np.eye(3)[(labels[1] + 1) % 3]  # certain, and certainly wrong
        targets = np.zeros((1, 3, len(labels)), dtype)
        one_hot(labels[np.newaxis], 3, targets)
        trainers = cross_entropy(p.T[np.newaxis], targets)[0]
        assert np.array_equal(METRICS["loss"].row_values(labels, p), trainers.astype(np.float32))
        assert METRICS["loss"].score(labels, p, 3) == np.average(trainers)
        assert trainers[1] == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_the_log_loss_of_a_certain_mistake_is_finite_and_scikit_learns() -> None:
    labels, p = np.array([0, 1]), np.array([[0, 1], [0, 1]], np.float32)
    assert METRICS["log_loss"].score(labels, p, 2) == pytest.approx(52 * math.log(2) / 2)
    assert METRICS["log_loss"].row_values(labels, p) == pytest.approx([52 * math.log(2), 0], abs=1e-6)


@pytest.mark.parametrize(("classes", "uniform"), [(2, 0.5), (4, 0.75)])
def test_briers_score_is_the_sum_over_classes_for_two_classes_too(classes: int, uniform: float) -> None:
    labels = np.arange(classes)
    wrong, unsure = np.eye(classes)[(labels + 1) % classes], np.full((classes, classes), 1 / classes)
    assert METRICS["brier"].score(labels, wrong, classes) == 2
    assert METRICS["brier"].score(labels, unsure, classes) == pytest.approx(uniform)
    # The textbook's (p - y)² of two classes is one half of it.
    if classes == 2:
        p = np.array([[0.7, 0.3], [0.4, 0.6]])
        assert METRICS["brier"].score(labels, p, 2) == pytest.approx(2 * np.mean([0.3**2, 0.4**2]))


# --- the contract of every metric


def test_the_registry_is_sorted_and_fully_described() -> None:
    assert list(METRICS) == sorted(METRICS) == sorted(KEPT) == sorted(SKLEARN)
    assert len({metric.title for metric in METRICS.values()}) == len(METRICS)
    for name, metric in METRICS.items():
        assert metric.unit == ("nats" if "loss" in name else "")
        assert metric.needs_every_class == (name in OF_ALL_CLASSES)
    assert METRICS["loss"].title == "validation loss"


@each_metric
def test_a_metric_goes_to_another_process(name: str) -> None:
    assert pickle.loads(pickle.dumps(METRICS[name])) == METRICS[name]


@each_metric
@each_number_of_classes
def test_the_direction_puts_perfect_before_good_before_constant_before_wrong(name: str, classes: int) -> None:
    labels, probabilities = case(0, classes)
    shares = np.bincount(labels) / len(labels)
    ladder = [
        np.eye(classes)[labels],
        probabilities[0],
        np.tile(shares, (len(labels), 1)),
        np.eye(classes)[(labels + 1) % classes],
    ]
    scores = [METRICS[name].score(labels, p, classes) for p in ladder]
    assert scores == sorted(scores, reverse=METRICS[name].direction == "maximize")
    assert len(set(scores)) == 4
    best = 1 if METRICS[name].direction == "maximize" else 0
    assert scores[0] == pytest.approx(best, abs=1e-6)


@each_metric
@each_number_of_classes
@each_number_type
@pytest.mark.parametrize("levels", [0, 8])
def test_resampled_with_unit_weights_is_the_score(name: str, classes: int, dtype: Any, levels: int) -> None:
    labels, probabilities = case(1, classes, dtype, levels)
    scores = [METRICS[name].score(labels, p, classes) for p in probabilities]
    assert all(type(score) is float for score in scores)
    units = np.ones((2, len(labels)), np.uint8)  # of any number type
    ours = METRICS[name].resampled(keep(name, labels, probabilities), labels, classes, units)
    assert ours[0] == pytest.approx(scores, rel=1e-7)
    assert np.array_equal(ours[0], ours[1])
    assert len(set(scores)) > 1


@each_metric
@each_number_of_classes
def test_the_order_of_rows_means_nothing_and_no_argument_is_changed(name: str, classes: int) -> None:
    labels, probabilities = case(2, classes, np.float32)
    weights, order = draw_weights(2, labels, "multiplicities"), np.random.default_rng(0).permutation(len(labels))
    for array in (labels, probabilities, weights):
        array.setflags(write=False)
    values, metric = keep(name, labels, probabilities), METRICS[name]
    values.setflags(write=False)
    moved = keep(name, labels[order], probabilities[:, order])
    assert np.array_equal(moved, values[:, order])
    there = metric.resampled(values, labels, classes, weights)
    assert metric.resampled(moved, labels[order], classes, weights[:, order]) == pytest.approx(there, rel=1e-12)
    assert metric.score(labels[order], probabilities[0][order], classes) == pytest.approx(
        metric.score(labels, probabilities[0], classes), rel=1e-12
    )


@each_metric
@each_number_of_classes
@each_number_type
def test_what_is_kept_is_small(name: str, classes: int, dtype: Any) -> None:
    labels, probabilities = case(0, classes, dtype)
    values = METRICS[name].row_values(labels, probabilities[0])
    rest, kind = KEPT[name](classes)
    assert values.shape == (len(labels), *rest)
    assert values.dtype == kind


@pytest.mark.parametrize(("classes", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_predicted_labels_are_kept_in_the_smallest_type_that_holds_them(classes: int, dtype: Any) -> None:
    labels = np.arange(classes)
    for name in ("balanced_accuracy", "macro_f1"):
        values = METRICS[name].row_values(labels, np.eye(classes, dtype=np.float32))
        assert values.dtype == dtype
        assert np.array_equal(values, labels)
        assert METRICS[name].resampled(values[np.newaxis], labels, classes, np.ones((1, classes))) == 1


@each_metric
@pytest.mark.parametrize("block", [1, 57 * 2, 57 * 4 + 3])
def test_blocks_of_any_size_give_the_same(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, probabilities = case(0, 3)
    values, weights = keep(name, labels, probabilities), draw_weights(0, labels, "any")
    whole = METRICS[name].resampled(values, labels, 3, weights)
    monkeypatch.setattr(module, "_BLOCK", block)
    assert METRICS[name].resampled(values, labels, 3, weights) == pytest.approx(whole, rel=1e-12)


@each_metric
def test_many_classes_in_float32_are_no_reason_for_a_warning(name: str) -> None:
    """Rows of float32 sum to 1 only to their own rounding. (Warnings are errors here.)"""
    draw = np.random.default_rng(0)
    labels = draw_labels(draw, 900, 60)
    p = draw_probabilities(draw, labels, 60, np.float32)
    assert not np.all(p.astype(np.float64).sum(axis=1) == 1)
    values = METRICS[name].row_values(labels, p)
    ours = METRICS[name].resampled(values[np.newaxis], labels, 60, np.ones((1, 900)))
    assert METRICS[name].score(labels, p, 60) == pytest.approx(float(ours[0, 0]), rel=1e-6)


# --- undefined


@each_metric
@pytest.mark.parametrize("classes", [2, 3])
def test_rows_without_a_class_leave_some_metrics_undefined(name: str, classes: int) -> None:
    """Told before and nan after, in all three ways of having no row: none there, weight 0, not in the resample."""
    all_labels, probabilities = case(0, classes, np.float32)
    names, metric = ("a", "b", "c")[:classes], METRICS[name]
    rows = all_labels != 1
    labels, p, weights = all_labels[rows], probabilities[:, rows], rows.astype(float)
    expected = "no row of class 'b'" if name in OF_ALL_CLASSES else None
    assert metric.undefined(all_labels, names) is None
    assert metric.undefined(all_labels, names, np.ones(len(all_labels))) is None
    assert metric.undefined(labels, names) == metric.undefined(all_labels, names, weights) == expected
    predictions = [
        metric.score(labels, p[0], classes),
        metric.score(all_labels, probabilities[0], classes, weights),
        *metric.resampled(keep(name, labels, p[:1]), labels, classes, np.ones((1, len(labels))))[0],
        *metric.resampled(keep(name, all_labels, probabilities[:1]), all_labels, classes, weights[np.newaxis])[0],
    ]
    if expected:
        assert all(math.isnan(answer) for answer in predictions)
    else:
        assert predictions == pytest.approx([predictions[0]] * 4, rel=1e-6)
    # The other resamples beside it are none the worse.
    both = np.stack([weights, np.ones(len(rows))])
    beside = metric.resampled(keep(name, all_labels, probabilities[:1]), all_labels, classes, both)
    assert beside[1, 0] == pytest.approx(metric.score(all_labels, probabilities[0], classes), rel=1e-6)


@each_metric
def test_no_row_at_all_leaves_every_metric_undefined(name: str) -> None:
    labels, probabilities = case(0, 3, np.float32)
    metric, none = METRICS[name], np.zeros(len(labels))
    empty, nothing = labels[:0], probabilities[:, :0]
    assert metric.undefined(empty, ("a", "b", "c")) == metric.undefined(labels, ("a", "b", "c"), none) == "no row"
    assert math.isnan(metric.score(empty, nothing[0], 3))
    assert math.isnan(metric.score(labels, probabilities[0], 3, none))
    assert np.isnan(metric.resampled(keep(name, labels, probabilities), labels, 3, none[np.newaxis])).all()
    assert np.isnan(metric.resampled(keep(name, empty, nothing), empty, 3, np.ones((2, 0)))).all()


def test_a_class_that_is_never_predicted_has_an_f1_of_0() -> None:
    """That is the model's doing, not the rows': no reason to be undefined, and none to warn."""
    labels, p = np.array([0, 0, 1, 2]), np.tile(np.array([0.8, 0.1, 0.1], np.float32), (4, 1))
    values = keep("macro_f1", labels, p[np.newaxis])
    assert METRICS["macro_f1"].score(labels, p, 3) == pytest.approx(2 / 9)
    assert METRICS["macro_f1"].resampled(values, labels, 3, np.ones((1, 4))) == pytest.approx(2 / 9)
    assert METRICS["balanced_accuracy"].score(labels, p, 3) == pytest.approx(1 / 3)


def test_of_equally_probable_classes_the_first_is_predicted() -> None:
    p = np.full((2, 3), 1 / 3, np.float32)
    for name in ("balanced_accuracy", "macro_f1"):
        assert METRICS[name].row_values(np.array([0, 2]), p).tolist() == [0, 0]
    assert METRICS["accuracy"].row_values(np.array([0, 2]), p).tolist() == [1, 0]
