"""What is learnt from the features' values, by scikit-learn, on the training rows of a split and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import IntArray
from hpsearch.data.columns import Impute, Plan, column_error
from hpsearch.data.matrix import BLOCK_VALUES
from hpsearch.data.power import fit_lambda
from hpsearch.errors import DataError, Setting
from hpsearch.transform import Encoding, encode, transform, yeo_johnson

BATCH_ROWS = 1024  # of the rows that a scaling is fitted on
# The most likely lambda is searched for on so many of them, evenly spaced: the search would take as long as all else
# together. Drawn anew, 20,000 normal, lognormal, exponential or gamma numbers give one that varies by 0.009 to 0.016,
# which moves no number within two standard deviations by more than a hundredth of one.
LAMBDA_ROWS = 20_000

# What fills a missing number, in the words of a study file and of scikit-learn's SimpleImputer.
IMPUTERS: dict[Impute, str] = {"mean": "mean", "median": "median", "most-frequent": "most_frequent"}


@dataclass(frozen=True)
class Scaling:
    """x ← (ψ(x) - centre) / scale, feature by feature, after ``fill`` stood in for nan; all (D,).

    Only numbers are transformed, centred and scaled: of other features lambda is 1, centre 0 and scale 1. One-hot
    features and indicators are never nan. ``fill`` is None where no feature can be, and ``lambdas`` where ψ, which is
    :func:`hpsearch.transform.yeo_johnson`, is the identity of all features. Before all that ``encodings`` put what
    stands for a category in the place of its number.

    ``features`` (N, D) are the data's rows as they are in the split that this was learnt in, where a preprocessing was
    learnt there too (:class:`hpsearch.data.given.Preprocessing`).
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    fill: NDArray[np.float64] | None = None
    lambdas: NDArray[np.float64] | None = None
    encodings: tuple[Encoding, ...] = ()
    features: NDArray[Any] | None = field(default=None, repr=False, compare=False)

    def apply(self, features: NDArray[Any], rows: IntArray | None = None) -> NDArray[Any]:
        """Encoded, filled, transformed and scaled features, (N, D), of ``rows`` (N,) of the data that this was learnt
        from some of, or of new ones."""
        features = encode(features, self.encodings, rows)
        return transform(features, self.centre, self.scale, self.fill, lambdas=self.lambdas)

    def of_new_rows(self) -> Scaling:
        """Without what is only for the rows that it was learnt from."""
        return replace(self, encodings=tuple(encoding.of_new_rows() for encoding in self.encodings))

    def table(self, plan: Plan) -> list[dict[str, Any]]:
        """All that was declared and learnt, one entry a column; None for what a column has not, a list for what each of
        several features has.

        ``lambda`` is there if any column is transformed.
        """
        rows: list[dict[str, Any]] = []
        for column in plan.columns:
            first = plan.places[column.name].start
            values = slice(first, first + column.width)

            def of_features(learnt: NDArray[np.float64] | None, there: bool, values: slice = values) -> Any:
                if learnt is None or not there:
                    return None
                found = learnt[values].tolist()
                return found[0] if len(found) == 1 else found

            number = column.kind not in ("boolean", "categorical") or column.encoding == "target"
            value = column.kind != "categorical"
            rows.append(
                {
                    "column": column.name,
                    "kind": column.kind,
                    "fill": of_features(self.fill, value),
                    "indicator": column.indicator,
                    "centre": of_features(self.centre, number),
                    "scale": of_features(self.scale, number),
                    "categories": list(column.categories),
                }
            )
            if column.encoding is not None:
                rows[-1]["encoding"] = column.encoding
            if self.lambdas is not None:
                rows[-1]["lambda"] = of_features(self.lambdas, number and bool((self.lambdas[values] != 1).any()))
        return rows


@dataclass(frozen=True)
class TrainingRows:
    """What a scaling learns from: some rows of ``features`` (N, D), filled as they are read.

    Attributes:
        features: nan where a value is missing.
        rows: to learn from.
        numeric: (D,), which features are numbers.
        fill: (D,), or None.
        encodings: of columns whose categories have numbers in the features.
        shares: (N,), what each row counts, 1 in the mean of ``rows``; None if all count alike.
    """

    features: NDArray[Any]
    rows: NDArray[np.intp]
    numeric: NDArray[np.bool_]
    fill: NDArray[np.float64] | None = None
    shares: NDArray[np.float64] | None = None
    encodings: tuple[Encoding, ...] = ()

    # In batches: a copy of all training rows, in float64 inside scikit-learn, would be several times the data.
    def batches(self) -> Iterator[tuple[NDArray[Any], NDArray[np.float64] | None]]:
        """Rows (n, D), and what each counts, (n,); None if all count alike."""
        for start in range(0, len(self.rows), BATCH_ROWS):
            some = self.rows[start : start + BATCH_ROWS]
            batch = encode(self.features[some], self.encodings, some)
            if self.fill is not None:
                batch = np.where(np.isnan(batch), self.fill, batch)
            yield batch, None if self.shares is None else self.shares[some]

    def column(self, feature: int) -> NDArray[np.float64]:
        """All values of one feature, (n,)."""
        for encoding in self.encodings:
            if (place := feature - encoding.first) in range(encoding.tables.shape[-1]):
                found = encoding.look_up(self.features[self.rows, encoding.first], self.rows)
                return np.asarray(found[:, place], np.float64)
        values: NDArray[np.float64] = self.features[self.rows, feature].astype(np.float64)
        return values if self.fill is None else np.where(np.isnan(values), self.fill[feature], values)


def _none(training: TrainingRows) -> Scaling:
    width = training.features.shape[1]
    return Scaling(np.zeros(width), np.ones(width))


def _standard(training: TrainingRows) -> Scaling:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for batch, weights in training.batches():
        scaler.partial_fit(batch, sample_weight=weights)
    return Scaling(scaler.mean_.astype(np.float64), scaler.scale_.astype(np.float64))


def _minmax(training: TrainingRows) -> Scaling:
    from sklearn.preprocessing import MinMaxScaler

    scaler = MinMaxScaler()
    for batch, _ in training.batches():
        scaler.partial_fit(batch)
    scale = 1 / scaler.scale_  # scikit-learn's own word for the range, 1 where a column is constant
    return Scaling(scaler.data_min_.astype(np.float64), scale.astype(np.float64))


def _power(training: TrainingRows) -> Scaling:
    from sklearn.preprocessing import StandardScaler

    width = training.features.shape[1]
    centre, scale, lambdas = np.zeros(width), np.ones(width), np.ones(width)
    shares = None if training.shares is None else training.shares[training.rows]
    count = len(training.rows)
    places = np.arange(min(count, LAMBDA_ROWS)) * count // min(count, LAMBDA_ROWS)  # evenly, whatever orders the rows
    numbers = np.flatnonzero(training.numeric)
    # A few columns' copies at a time, each column's values beside each other, so that sums are those of one column
    # alone. Weighted sums are not: they are matrix products.
    at_once = max(1, BLOCK_VALUES // count) if shares is None else 1
    for some in (numbers[start : start + at_once] for start in range(0, len(numbers), at_once)):
        transformed, units = np.empty((count, len(some)), order="F"), np.ones(len(some))
        for place, feature in enumerate(some.tolist()):
            values = training.column(feature)
            lambdas[feature] = fit_lambda(values[places], None if shares is None else shares[places])
            transformed[:, place] = yeo_johnson(values, lambdas[feature])
            units[place] = _unit(transformed[:, place])
        transformed /= units
        with np.errstate(invalid="ignore"):  # the weighted variance of what is constant may round below 0
            scaler = StandardScaler().fit(transformed, sample_weight=shares)
        centre[some], scale[some] = scaler.mean_ * units, scaler.scale_ * units
    return Scaling(centre, scale, lambdas=None if (lambdas == 1).all() else lambdas)


def _unit(values: NDArray[np.float64]) -> float:
    """A power of 2 by which values can be divided before they are squared; 1 but for very large ones."""
    _, exponent = np.frexp(np.abs(values).max())
    return 2.0 ** min(int(exponent), 1023) if exponent > 500 else 1.0


# What is learnt from the training rows.
SCALINGS: dict[str, Callable[[TrainingRows], Scaling]] = {
    "minmax": _minmax,
    "none": _none,
    "power": _power,
    "standard": _standard,
}


def fit_scaling(
    name: str,
    features: NDArray[Any],
    rows: NDArray[np.intp],
    plan: Plan | None = None,
    fill_all: bool = False,
    weights: NDArray[np.float64] | None = None,
    encodings: tuple[Encoding, ...] = (),
) -> Scaling:
    """What the named scaling learns from these rows of ``features`` (N, D) and no others.

    A row of weight 2 counts as two rows and one of weight 0 as none, in all that is learnt: means and deviations, the
    least and the greatest value, and what fills a missing one.

    Args:
        name: one of :data:`SCALINGS`, for the numbers among the features.
        features: nan where a value is missing.
        rows: to learn from.
        plan: what the features are made of; numbers if None.
        fill_all: learn what would fill a missing value of every column, and not only of those that have one.
        weights: (N,), at least 0, some of ``rows`` above: how many rows each counts as; None if each counts as one.
        encodings: learnt from the same rows.

    Raises:
        DataError: a column without any value in these rows.
    """
    if weights is not None:
        rows = rows[weights[rows] > 0]
    fill = None if plan is None else _fit_fill(plan, features, rows, fill_all, weights)
    # Their sum is what scikit-learn takes for the number of rows where it tells what is constant.
    shares = None if weights is None else weights / weights[rows].mean()

    plain = plan is None or plan.plain
    kinds = ["numeric"] * features.shape[1] if plan is None else plan.feature_kinds
    numeric = np.array([kind == "numeric" for kind in kinds])
    training = TrainingRows(features, rows, numeric, fill, shares, encodings)
    learnt = replace(SCALINGS[name](training), fill=fill, encodings=encodings)
    if plain:
        return learnt
    return replace(learnt, centre=np.where(numeric, learnt.centre, 0.0), scale=np.where(numeric, learnt.scale, 1.0))


def column_without_values(
    plan: Plan, features: NDArray[Any], rows: NDArray[np.intp], weights: NDArray[np.float64] | None = None
) -> str | None:
    """The first column whose missing values cannot be filled, as these rows have no value of it; None if all can be."""
    counted = rows if weights is None else rows[weights[rows] > 0]
    for column in plan.columns:
        if column.kind != "categorical" and column.indicator:
            feature = plan.places[column.name].start
            if np.isnan(features[counted, feature].astype(np.float64)).all():
                return column.name
    return None


def without_values(name: str, rows: int) -> DataError:
    """Of a column that is empty in all these training rows of a split."""
    return column_error(
        name,
        "must have a value among the training rows of every split",
        f"is empty in all {rows} of one",
        ("Leave it out", (": ", Setting("drop", [name])), ", or use a splitter or seed that deals its values."),
    )


def _fit_fill(
    plan: Plan,
    features: NDArray[Any],
    rows: NDArray[np.intp],
    fill_all: bool,
    weights: NDArray[np.float64] | None,
) -> NDArray[np.float64] | None:
    if not fill_all and not plan.may_miss:
        return None
    from sklearn.impute import SimpleImputer

    fill = np.zeros(features.shape[1])
    for column in plan.columns:
        if column.kind == "categorical" or not (fill_all or column.indicator):
            continue
        first = plan.places[column.name].start
        for feature in range(first, first + column.width):
            values = features[rows, feature].astype(np.float64)[:, np.newaxis]  # one feature's copy at a time
            if np.isnan(values).all():
                raise without_values(column.name, len(rows))
            strategy = "most_frequent" if column.kind == "boolean" else IMPUTERS[plan.impute]
            if weights is None:
                fill[feature] = SimpleImputer(strategy=strategy).fit(values).statistics_[0]
            else:
                fill[feature] = _weighted_statistic(strategy, values[:, 0], weights[rows])
    return fill


def _weighted_statistic(strategy: str, values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """What ``SimpleImputer`` learns from values (n,), some of them nan, that stand there so many times (n,)."""
    there = ~np.isnan(values)
    values, weights = values[there], weights[there]
    if strategy == "mean":
        return float(np.average(values, weights=weights))
    values, places = np.unique(values, return_inverse=True)
    counts = np.bincount(places, weights)
    if strategy == "most_frequent":
        return float(values[counts.argmax()])  # of several the least
    up_to = counts.cumsum()
    lower, upper = (values[np.searchsorted(up_to, up_to[-1] / 2, side)] for side in ("left", "right"))
    return float((lower + upper) / 2)
