"""What scikit-learn hands over, as the rest of the house has it: rows, weights, seeds, hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import column_or_1d, validate_data

from hpsearch.data.dataset import Dataset
from hpsearch.definition.problems import first_problem
from hpsearch.errors import DataError
from hpsearch.validation.config import Config


def seed_of(random_state: Any) -> int:
    """The study seed: an integer as it is, so that an estimator repeats a study file of that seed; else a number drawn
    from the generator, for None NumPy's global one, as scikit-learn does."""
    generator = check_random_state(random_state)
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(generator.randint(2**31 - 1))


def plain(value: Any) -> Any:
    """A parameter as Python's own numbers, lists and tables: scikit-learn's searches set NumPy's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    return value


def config_of(estimator: Any, class_names: Mapping[Any, str]) -> Config:
    """The configuration that an estimator's parameters are; those that have their default count as not given.

    Args:
        estimator: its parameters.
        class_names: the name of each class, by its label, for ``class_weight``.

    Raises:
        DefinitionError: a value that cannot be.
    """
    given: dict[str, Any] = {}
    for name, value in estimator.get_params(deep=False).items():
        if name in Config.model_fields:
            value = plain(value)
            if name == "class_weight" and isinstance(value, dict):
                value = {class_names.get(label, str(label)): weight for label, weight in value.items()}
            if type(value) is not type(default := Config.model_fields[name].default) or value != default:
                given[name] = value
    try:
        return Config.model_validate(given)
    except ValidationError as error:
        raise first_problem(error, Config).at(type(estimator).__name__) from error


def checked(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, first: bool = True, numbers: bool = False, fewest: int = 1
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64] | None]:
    """Features (N, D), targets (N,) and weights (N,) or None, as an estimator was given them.

    Args:
        estimator: gets ``n_features_in_`` and ``feature_names_in_``, or is asked whether these rows have them.
        X: finite numbers, (N, D), float32 or else made float64.
        y: (N,).
        sample_weight: (N,), at least 0 and not all 0, or None.
        first: whether these rows say what the features are.
        numbers: whether the targets are a quantity: finite numbers, made float64.
        fewest: rows that there must be.

    Raises:
        ValueError: other rows than that, mostly in scikit-learn's words.
    """
    must = {"dtype": [np.float64, np.float32], "order": "C", "y_numeric": numbers, "ensure_min_samples": fewest}
    X, y = validate_data(estimator, X, y, reset=first, **must)
    if numbers:
        y = y.astype(np.float64)
    if sample_weight is None:
        return X, y, None
    weights = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (len(X),):
        raise DataError(f"sample_weight must have one number a row, {len(X)}, but has shape {weights.shape}.")
    if weights.min() < 0 or not weights.any():
        what = "all are zero" if weights.min() == 0 else f"one is {weights.min()}"
        raise DataError(f"sample_weight must hold weights of at least 0, some of them above, but {what}.")
    return X, y, None if np.all(weights == weights[0]) else weights


def counted(
    X: NDArray[Any], y: NDArray[Any], weights: NDArray[np.float64] | None, groups: ArrayLike | None = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64] | None, NDArray[Any] | None]:
    """The rows that count, a row of weight 0 being none."""
    together = None if groups is None else column_or_1d(groups)
    if together is not None and len(together) != len(X):
        raise DataError(f"groups must have a value for each of the {len(X)} rows, but has {len(together)}.")
    if weights is None or weights.all():
        return X, y, weights, together
    there = weights > 0
    return X[there], y[there], weights[there], None if together is None else together[there]


def classes_of(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The sorted classes (C,), and each row's place among them (N,).

    Raises:
        DataError: fewer than two classes among the rows that count.
    """
    classes, labels = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise DataError(
            f"A classifier needs rows of at least two classes, but all {len(y)} that count are of one class, "
            f"{classes.tolist()[0]!r}. Add rows of another."
        )
    return classes, labels.astype(np.intp)


def dataset(
    estimator: Any,
    X: NDArray[Any],
    labels: NDArray[Any],
    class_names: Mapping[Any, str],
    weights: NDArray[np.float64] | None,
    groups: NDArray[Any] | None = None,
) -> Dataset:
    """Checked rows, of a quantity if there are no class names. The features stay the caller's own: only a view of them
    is made read-only."""
    names = getattr(estimator, "feature_names_in_", [f"x{number + 1}" for number in range(X.shape[1])])
    return Dataset(
        X.view(),
        labels,
        tuple(map(str, names)),
        tuple(class_names.values()),
        groups=None if groups is None else np.unique(groups, return_inverse=True)[1].astype(np.intp),
        weights=None if weights is None else weights.view(),
    )


def named(classes: NDArray[Any]) -> dict[Any, str]:
    """The name of each class by its label, in order."""
    return {label: str(label) for label in classes.tolist()}
