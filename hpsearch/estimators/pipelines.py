"""A pipeline of scikit-learn's whose last step is a network of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import _num_samples

from hpsearch.arrays import IntArray
from hpsearch.data.given import Preprocessing
from hpsearch.errors import DataError, Setting


@dataclass(frozen=True)
class Parts:
    """An estimator, taken apart.

    Attributes:
        network: what the search trains.
        prefix: what its parameters begin with in the whole estimator.
        steps: what comes before it, unfitted; None if the estimator is the network itself.
    """

    network: Any
    prefix: str = ""
    steps: Pipeline | None = None

    @classmethod
    def of(cls, estimator: Any) -> Parts:
        if not isinstance(estimator, Pipeline) or not estimator.steps:
            return cls(estimator)
        name, network = estimator.steps[-1]
        return cls(network, f"{name}__", Pipeline([*estimator.steps[:-1], (name, "passthrough")]))


class PipelinePreprocessing(Preprocessing):
    """The steps before a network, fitted to the training rows of each split and nothing else.

    Training rows are what ``fit_transform`` makes of them, as in ``Pipeline.fit``, and others what ``transform`` does.
    """

    def __init__(self, steps: Pipeline, X: Any, y: NDArray[Any]) -> None:
        self._steps, self._X, self._y = steps, X, y

    def features(self, rows: IntArray) -> NDArray[Any]:
        steps, count = clone(self._steps), _num_samples(self._X)
        others = np.setdiff1d(np.arange(count), rows)
        trained = _numbers(steps.fit_transform(_safe_indexing(self._X, rows), self._y[rows]))
        made = np.empty((count, trained.shape[1]), trained.dtype)
        made[rows] = trained
        if len(others):
            made[others] = _numbers(steps.transform(_safe_indexing(self._X, others)))
        return made


def _numbers(made: Any) -> NDArray[Any]:
    """What the steps make of rows, as features.

    Raises:
        DataError: a sparse matrix.
        ValueError: anything else but finite numbers, in scikit-learn's words.
    """
    if issparse(made):
        raise DataError(
            "must have steps that make dense rows for the network",
            "they make a sparse matrix",
            "Set sparse_output=False of a OneHotEncoder, and sparse_threshold=0 of a ColumnTransformer.",
            where=Setting("estimator"),
        )
    numbers: NDArray[Any] = check_array(made, dtype=[np.float64, np.float32], input_name="of the steps")
    return numbers


def number_type_of(X: Any) -> np.dtype[Any]:
    """What rows of any kind are trained on in: ``float32`` if all of them is, else ``float64``."""
    types = {*map(str, X.dtypes)} if hasattr(X, "dtypes") else {str(getattr(X, "dtype", None))}
    return np.dtype(np.float32 if types == {"float32"} else np.float64)


def told_apart(X: Any) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Numbers (N, D) that are equal where rows of any kind are, and the names of the columns."""
    if issparse(X):
        X = [(row.indices.tobytes(), row.data.tobytes()) for row in X.tocsr()]
    if not hasattr(X, "columns"):
        if not isinstance(X, np.ndarray) or X.ndim != 2:  # each row is one thing
            rows = X
            X = np.empty((len(rows), 1), object)
            X[:, 0] = [*map(_known_by, rows)]
        X = pd.DataFrame(X)
    columns = []
    for place in range(X.shape[1]):
        values = X.iloc[:, place]
        if values.dtype.kind in "biuf" and not values.isna().any():
            columns.append(values.to_numpy(np.float64))
        else:
            columns.append(pd.factorize(values.map(_known_by))[0].astype(np.float64))
    return np.column_stack(columns), tuple(map(str, X.columns))


def _known_by(value: Any) -> str | bytes:
    """What is equal for equal values."""
    return value.tobytes() if isinstance(value, np.ndarray) else repr(value)
