"""How a saved model does on labelled rows of a file, beside what it was expected to."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import Array, Floats, IntArray
from hpsearch.data.cells import LARGEST, Types, is_number, too_large
from hpsearch.data.dataset import Dataset
from hpsearch.data.frame_table import PLACE
from hpsearch.data.rare_classes import OTHER
from hpsearch.data.table_file import STDIN, Table, Wanted
from hpsearch.data.table_sources import with_metadata
from hpsearch.data.units import independent_units
from hpsearch.errors import DataError, listed, located, quoted
from hpsearch.markup import table
from hpsearch.model.bundle import Bundle
from hpsearch.model.predict_file import features_of, read_rows, types_of
from hpsearch.model.threshold import Chosen, Cost, OutOfFold, choose_threshold, mean_cost
from hpsearch.numbers import plural, readable
from hpsearch.validation.estimates import (
    LEVEL,
    interval_of_metric,
    least_variance_of_share,
    mean_of_rows,
    student,
)
from hpsearch.validation.layout import Layout
from hpsearch.validation.metric import AdditiveMetric, Metric
from hpsearch.validation.metrics import METRICS, metrics_of, objective_metric
from hpsearch.validation.paired import Scores, error_of_score

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_WORST = 5  # rows of a regression that are named


@dataclass(frozen=True)
class Interval:
    """A number of some rows, and its interval at 95 %.

    Attributes:
        value: None where it is undefined.
        low, high: None where there is no telling: rows that follow each other in time, or too few.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Expected:
    """What the model was expected to score, beside what it scores.

    Attributes:
        name: ``corrected score`` or ``hold-out``.
        about: what that is about.
        metric: the metric's name, of ``METRICS``; the root of a mean squared error.
        score: what was expected.
        difference: the score on these rows minus that; an interval that holds 0 says that they agree.
        verdict: ``agree``, ``better`` or ``worse`` of these rows; None where there is no telling.
    """

    name: str
    about: str
    metric: str
    score: Interval
    difference: Interval
    verdict: str | None


@dataclass(frozen=True)
class Confusion:
    """Which classes were predicted for which.

    Attributes:
        classes: C names.
        counts: (C, C) rows by their weights: the true class down, the predicted one across.
        recall: (C,) the share of a class's rows that was predicted as it; None where it has no row.
        precision: (C,) the share of the rows predicted as a class that it is; None where none was.
    """

    classes: tuple[str, ...]
    counts: list[list[float]]
    recall: list[float | None]
    precision: list[float | None]

    @classmethod
    def of(cls, classes: tuple[str, ...], labels: IntArray, predicted: IntArray, weights: Floats | None) -> Confusion:
        """From labels (N,), predicted ones (N,), and how many rows each counts as (N,)."""
        count = len(classes)
        table = np.bincount(labels * count + predicted, weights, minlength=count**2).reshape(count, count).astype(float)

        def shares(sums: Floats) -> list[float | None]:
            pairs = zip(np.diag(table).tolist(), sums.tolist(), strict=True)
            return [right / whole if whole else None for right, whole in pairs]

        return cls(classes, table.tolist(), shares(table.sum(axis=1)), shares(table.sum(axis=0)))

    def largest(self, most: int) -> list[tuple[str, str, float]]:
        """The largest confusions: (true class, predicted class, rows), the largest first."""
        counts = np.array(self.counts)
        np.fill_diagonal(counts, 0)
        order = np.argsort(-counts, axis=None, kind="stable")[:most]
        places = [divmod(place, len(self.classes)) for place in order.tolist() if counts.flat[place]]
        return [(self.classes[true], self.classes[other], float(counts[true, other])) for true, other in places]


@dataclass(frozen=True)
class Residuals:
    """Predictions minus targets, in the target's own unit.

    Attributes:
        bias: their mean.
        quantiles: by their shares, ``QUANTILES``.
        worst: the largest: ``row`` (its number in the file), ``target``, ``prediction`` and ``residual``.
    """

    bias: Interval
    quantiles: dict[float, float]
    worst: list[dict[str, float]]


@dataclass(frozen=True)
class Decision:
    """A threshold, and what it costs a row.

    Attributes:
        name: ``chosen``, ``one half`` or ``in theory``.
        threshold: the probability of the class from which on it is predicted.
        expected: the cost of a row in the study's out-of-fold predictions. For the chosen threshold, of rows that it
            was not chosen on.
        realised: the cost of one of these rows.
    """

    name: str
    threshold: float
    expected: Interval
    realised: Interval


@dataclass(frozen=True)
class Decisions:
    """What errors cost, and the thresholds.

    Attributes:
        class_name: the class whose missing costs ``ratio`` times a false prediction of it.
        ratio: see there.
        of: the thresholds, the chosen one first.
        averaged: whether the out-of-fold predictions are averages of several networks.
    """

    class_name: str
    ratio: float
    of: tuple[Decision, ...]
    averaged: bool

    @property
    def chosen(self) -> Decision:
        """The one to use."""
        return self.of[0]


@dataclass(frozen=True)
class Evaluated:
    """How a model does on labelled rows.

    Attributes:
        rows: how many have a target and count.
        left_out: how many have no target.
        units: independent rows, or groups of rows; None where rows follow each other in time.
        grouped: whether a column of the file says which rows belong together.
        weighted: whether one says how many rows each counts as.
        metrics: every metric of the task by name; of predicted classes, the most probable one.
        expected: what the model was expected to score.
        confusion: of classes, at the chosen threshold if a cost was given.
        residuals: of a regression.
        decisions: for a cost.
    """

    rows: int
    left_out: int
    units: int | None
    grouped: bool
    weighted: bool
    metrics: dict[str, Interval]
    expected: tuple[Expected, ...]
    confusion: Confusion | None
    residuals: Residuals | None
    decisions: Decisions | None

    def __repr__(self) -> str:
        lines = [f"Evaluated on {self.rows} rows", *(f"  {name}: {value}" for name, value in self._shown())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return table(["metric", "value"], self._shown(), f"Evaluated on {self.rows} rows")

    def _shown(self) -> list[tuple[str, str]]:
        """Every metric with its interval, for reading."""
        rows = []
        for name, one in self.metrics.items():
            value = "undefined" if one.value is None else readable(one.value)
            if one.low is not None and one.high is not None:
                value += f", 95 % interval {readable(one.low)} to {readable(one.high)}"
            rows.append(("loss" if name == "loss" else METRICS[name].title, value))
        return rows

    @property
    def threshold(self) -> dict[str, float] | None:
        """The chosen threshold, as :meth:`hpsearch.Bundle.predict` takes it; None without a cost."""
        found = self.decisions
        return None if found is None else {found.class_name: found.chosen.threshold}

    def summary(self) -> dict[str, Any]:
        """In plain values."""
        plain = asdict(self)
        if self.residuals is not None:
            named = {f"{share:g}": value for share, value in self.residuals.quantiles.items()}
            plain["residuals"]["quantiles"] = named
        return plain


def evaluate(
    bundle: Bundle,
    rows: Path | pd.DataFrame,
    notice: Callable[[str], None] = warnings.warn,
    *,
    cost: Mapping[str, float] | None = None,
) -> Evaluated:
    """Predict the labelled rows of a file or a DataFrame and score the predictions.

    The file is read as :func:`~hpsearch.model.predict_file.predict_file` reads it, and must have the target column too.
    Where it has the columns of the study that say which rows belong together and how many each counts as, they are
    taken so. Rows without a target are counted and left out.

    Args:
        bundle: the model.
        rows: a CSV or Parquet file, of which ``-`` is a CSV file at the standard input; or a DataFrame.
        notice: told a line on each thing that training did not meet.
        cost: of two classes, ``{"yes": 10}``: missing a "yes" costs 10 times a false "yes". The threshold is chosen on
            the study's out-of-fold predictions, which the model carries, not on these rows.

    Raises:
        DataError: a column that is missing, a value that is not of its column's kind, a class that the model does not
            know (unless its study made one class of all rare ones, or left them out), no row with a target; a cost of
            other than two classes.
        BundleError: a cost with a model that has no out-of-fold predictions.
    """
    of_errors = None if cost is None else Cost.of(bundle.class_names, cost)
    out_of_fold = None if cost is None else OutOfFold.of_model(bundle.about)
    labelled = _read(bundle, rows, notice)
    data, units = labelled.data, labelled.units
    predictions = bundle.predictions(data.features)
    metrics = _measured(bundle, data, predictions, units)
    decisions = confusion = residuals = None
    if of_errors is not None and out_of_fold is not None:
        chosen = choose_threshold(out_of_fold, bundle.class_names, of_errors)
        found = tuple(_decision(one, of_errors, bundle.class_names, labelled, predictions) for one in chosen)
        decisions = Decisions(of_errors.class_name, of_errors.ratio, found, out_of_fold.averaged)
    if bundle.class_names:
        decided = predictions.argmax(axis=1)
        if decisions is not None:
            decided = chosen[0].threshold.labels(bundle.class_names, predictions)
        confusion = Confusion.of(bundle.class_names, data.labels, decided, data.weights)
    else:
        residuals = _residuals(labelled, predictions[:, 0])
    return Evaluated(
        data.rows,
        labelled.left_out,
        None if units is None else int(units.max()) + 1,
        data.groups is not None,
        data.weights is not None,
        metrics,
        tuple(_expected(bundle, metrics)),
        confusion,
        residuals,
        decisions,
    )


@dataclass(frozen=True)
class _Labelled:
    """Rows with targets, their numbers in the file, their units as far as they are independent, and how many have no
    target."""

    data: Dataset
    numbers: IntArray
    units: IntArray | None
    left_out: int


def _read(bundle: Bundle, rows: Path | pd.DataFrame, notice: Callable[[str], None]) -> _Labelled:
    known = bundle.about.get("evaluation") or {}
    columns = {kind: column for kind in ("group", "weight") if (column := known.get(kind)) is not None}
    table = read_rows(bundle, rows, Wanted(kept=(bundle.target_name,), optional=tuple(columns.values())))
    with located((str(rows) if rows != STDIN else "standard input") if isinstance(rows, Path) else PLACE):
        there = {kind: column for kind, column in columns.items() if column in table.texts}
        for kind in columns.keys() - there.keys():
            as_it_is = "rows are taken as independent" if kind == "group" else "each row counts as one"
            notice(
                f"There is no column {quoted(columns[kind])}, by which the study had the {kind} of rows: {as_it_is}."
            )
        types = types_of(bundle, rows)
        labels, places = _targets(bundle, table, types, notice)
        names = bundle.plan.feature_names, bundle.class_names, bundle.target_name
        features = features_of(bundle, table, notice, tuple(columns.values()))
        data = with_metadata(Dataset(features, labels, *names, plan=bundle.plan), table.texts, there)
        if data.weights is not None:
            places = places[data.weights[places] > 0]
        if not len(places):
            must = f"must have a row with a target in {quoted(bundle.target_name)} to be evaluated"
            raise DataError(must, "has none", "To predict its rows: `hpsearch predict`.")
        data = data.take(places)
    units = None if known.get("in_time") else independent_units(data)
    left_out = sum(map(_is_missing(bundle, types), table.texts[bundle.target_name]))
    return _Labelled(data, np.asarray(table.rows)[places], units, left_out)


def _is_missing(bundle: Bundle, types: Types) -> Callable[[str], bool]:
    """Whether a cell of the target means that there is none; what is a class's name is one."""
    return lambda cell: cell.strip() not in bundle.class_names and types.is_missing(cell.strip())


def _targets(
    bundle: Bundle, table: Table, types: Types, notice: Callable[[str], None]
) -> tuple[NDArray[Any], IntArray]:
    """The label or the target of every row, 0 of those without one; and the places of the others.

    Where the study left out rare classes, rows of unknown ones are left out too, and ``notice`` says so.

    Raises:
        DataError: a class that the model does not know; a target that is no number.
    """
    given, is_missing = [cell.strip() for cell in table.texts[bundle.target_name]], _is_missing(bundle, types)
    places = np.array([place for place, cell in enumerate(given) if not is_missing(cell)], np.intp)
    cells = [*map(types.plain, given)]
    column = f"column {quoted(bundle.target_name)}"
    if not bundle.class_names:
        targets = np.zeros(len(cells))
        for place in places.tolist():
            if not is_number(cells[place]):
                got = f"is {quoted(cells[place])}"
                row = f"row {table.rows[place]}"
                raise DataError("must be a finite number", got, "Correct it or leave the row out.", (row, column))
            targets[place] = float(cells[place])
            if abs(targets[place]) > LARGEST:
                raise too_large(bundle.target_name, targets[place], table.rows[place])
        return targets, places
    label_of = {name: label for label, name in enumerate(bundle.class_names)}
    if all(name.lstrip("-").isdecimal() for name in label_of):  # with a row without a target, pandas writes 1 as 1.0
        whole = {cells[place] for place in places.tolist() if is_number(cells[place])}
        numbers = {cell: float(cell) for cell in whole - label_of.keys()}
        as_name = {cell: f"{number:.0f}" for cell, number in numbers.items() if number.is_integer()}
        label_of |= {cell: label_of[name] for cell, name in as_name.items() if name in label_of}
    unknown = [place for place in places.tolist() if cells[place] not in label_of]
    rare_classes = (bundle.about.get("evaluation") or {}).get("rare_classes")
    names = list(dict.fromkeys(quoted(cells[place]) for place in unknown))
    rows = plural(len(unknown), "row has", "rows have")
    if unknown and OTHER in label_of and rare_classes == "other":
        label_of |= {cells[place]: label_of[OTHER] for place in unknown}
    elif unknown and rare_classes == "drop":
        places = np.setdiff1d(places, unknown)
        notice(f"Left out, as the study left out rare classes: {rows} {listed(names)}, which the model does not know.")
    elif unknown:
        raise DataError(
            f"must hold classes that the model knows, {listed([*map(quoted, bundle.class_names)])}",
            f"{rows} {listed(names)}, the first row {table.rows[unknown[0]]}",
            "Leave such rows out, or retrain the model with rows of each class.",
            column,
        )
    labels = np.zeros(len(cells), np.intp)
    labels[places] = [label_of[cells[place]] for place in places.tolist()]
    return labels, places


def _measured(bundle: Bundle, data: Dataset, predictions: Array, units: IntArray | None) -> dict[str, Interval]:
    """Every metric of the task by name."""
    metrics = metrics_of(bundle.architecture.loss)
    layout = Layout(np.arange(data.rows), np.zeros(data.rows, np.intp), data.labels, units, data.weights)
    found = {name: _interval(metric, layout, predictions, len(bundle.class_names)) for name, metric in metrics.items()}
    for name, metric in metrics.items():
        if metric.root is not None:  # of one and the same rows, it has the interval of the other
            root, squares = _root_of(metric, metrics), found[name]
            low, high = (None if end is None else metric.in_headline(end) for end in (squares.low, squares.high))
            found[root] = Interval(found[root].value, low, high)
    return found


def _root_of(metric: Metric, metrics: Mapping[str, Metric]) -> str:
    return next(name for name, other in metrics.items() if other is metric.root)


def _interval(metric: Metric, layout: Layout, predictions: Array, classes: int) -> Interval:
    """A metric of some rows. Its standard error is that of a mean over units, or the jackknife's over them."""
    value = metric.score(layout.labels, predictions, classes, layout.weights)
    if not math.isfinite(value):
        return Interval(None)
    values = metric.row_values(layout.labels, predictions)
    error: float | None
    if isinstance(metric, AdditiveMetric):
        sure = mean_of_rows(values, layout.units, 1, layout.weights, layout.units is not None)
        error, count = sure.standard_error, sure.splits
    else:
        error, count = error_of_score(Scores(values, layout), metric, classes) or (None, 0)
    if error is None or layout.units is None:
        return Interval(value)
    if metric.is_share:
        error = max(error, _least_error(metric, layout.labels, layout.units, classes))
    return Interval(value, *interval_of_metric(value, error, count, metric))


def _least_error(metric: Metric, labels: NDArray[Any], units: IntArray, classes: int) -> float:
    """Of a share whose rows are all answered right, of the rarest class where all count alike."""
    if not metric.needs_every_class:
        return math.sqrt(least_variance_of_share(1.0, int(units.max()) + 1))
    rarest = min(len(np.unique(units[labels == label])) for label in range(classes))
    return math.sqrt(least_variance_of_share(1.0, rarest)) / classes


def _expected(bundle: Bundle, metrics: Mapping[str, Interval]) -> Iterator[Expected]:
    """What the model was expected to score, where it says so."""
    about = bundle.about
    origin, held_out = about.get("origin"), about.get("holdout")
    if origin and about.get("as_exported") and origin.get("corrected_value") is not None:
        score = Interval(*(origin.get(f"corrected_{key}") for key in ("value", "low", "high")))
        whose = origin.get("corrected_is_about") or "of the study"
        yield _compared("corrected score", whose, origin.get("objective", "loss"), score, bundle, metrics)
    if held_out:
        score = Interval(*(held_out.get(key) for key in ("loss", "low", "high")))
        yield _compared("hold-out", plural(held_out["rows"], "row"), "loss", score, bundle, metrics)


def _compared(
    name: str, about: str, metric: str, score: Interval, bundle: Bundle, metrics: Mapping[str, Interval]
) -> Expected:
    """The difference's interval has the variances of both, taken from the ends of their intervals on the side where the
    other lies (Zou & Donner 2008, "Construction of confidence limits about effect measures")."""
    kind = objective_metric(metric, bundle.architecture.loss)
    if kind.root is not None:
        metric = _root_of(kind, metrics_of(bundle.architecture.loss))
        ends = (score.value, score.low, score.high)
        score = Interval(*(None if end is None else kind.in_headline(max(end, 0.0)) for end in ends))
    here = metrics[metric]
    if here.value is None or score.value is None:
        return Expected(name, about, metric, score, Interval(None), None)
    difference = here.value - score.value
    if here.low is None or here.high is None or score.low is None or score.high is None:
        return Expected(name, about, metric, score, Interval(difference), None)
    low = difference - math.hypot(here.value - here.low, score.high - score.value)
    high = difference + math.hypot(here.high - here.value, score.value - score.low)
    verdict = "agree"
    if not low <= 0 <= high:
        verdict = "worse" if kind.sign * difference > 0 else "better"
    return Expected(name, about, metric, score, Interval(difference, low, high), verdict)


def _decision(
    chosen: Chosen, cost: Cost, class_names: tuple[str, ...], labelled: _Labelled, predictions: Array
) -> Decision:
    place, data = class_names.index(cost.class_name), labelled.data
    costs = cost.of_rows(predictions[:, place], data.labels == place, chosen.threshold.value)
    sure = mean_cost(costs, labelled.units, data.weights, labelled.units is not None)
    expected, realised = (Interval(of.mean, of.low, of.high) for of in (chosen.expected, sure))
    return Decision(chosen.name, chosen.threshold.value, expected, realised)


def _residuals(labelled: _Labelled, predictions: Array) -> Residuals:
    data, units = labelled.data, labelled.units
    residuals = predictions.astype(np.float64) - data.labels
    sure = mean_of_rows(residuals, units, 1, data.weights, units is not None)
    bias = Interval(sure.mean)
    if sure.standard_error is not None:
        half = student(LEVEL, sure.splits - 1) * sure.standard_error
        bias = Interval(sure.mean, sure.mean - half, sure.mean + half)
    weights = np.ones(data.rows) if data.weights is None else data.weights
    values = np.quantile(residuals, QUANTILES, weights=weights, method="inverted_cdf").tolist()
    worst = [
        {
            "row": int(labelled.numbers[place]),
            "target": float(data.labels[place]),
            "prediction": float(predictions[place]),
            "residual": float(residuals[place]),
        }
        for place in np.argsort(-np.abs(residuals), kind="stable")[:MOST_WORST].tolist()
    ]
    return Residuals(bias, dict(zip(QUANTILES, values, strict=True)), worst)
