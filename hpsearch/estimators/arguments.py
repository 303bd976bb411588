"""What scikit-learn hands over, in this package's own types: rows, weights, seeds, hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from sklearn.utils import _safe_indexing, check_array, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, check_X_y, column_or_1d, validate_data

from hpsearch.data.cells import require_moderate
from hpsearch.data.column_keys import expand_declared
from hpsearch.data.dataset import Dataset
from hpsearch.data.frames import as_text
from hpsearch.data.table_sources import as_groups
from hpsearch.definition.problems import first_problem
from hpsearch.definition.sections import RetrainSection
from hpsearch.errors import DataError, Setting, located, quoted
from hpsearch.estimators.pipelines import number_type_of, told_apart
from hpsearch.estimators.wording import wording_of
from hpsearch.numbers import plural
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


def config_of(estimator: Any, names_by_label: Mapping[Any, str], of_rows: np.dtype[Any]) -> Config:
    """The configuration that an estimator's parameters are; those that have their default count as not given.

    Args:
        estimator: its parameters.
        names_by_label: the name of each class, for ``class_weight``.
        of_rows: the rows' number type, which the training has where ``dtype`` is None.

    Raises:
        DefinitionError: a value that cannot be.
    """
    given: dict[str, Any] = {}
    for name, value in estimator.get_params(deep=False).items():
        if name in Config.model_fields:
            value = of_rows.name if name == "dtype" and value is None else plain(value)
            if name == "class_weight" and isinstance(value, dict):
                value = {names_by_label.get(label, str(label)): weight for label, weight in value.items()}
            if type(value) is not type(default := Config.model_fields[name].default) or value != default:
                given[name] = value
    try:
        return Config.model_validate(given)
    except ValidationError as error:
        raise first_problem(error, Config).at(type(estimator).__name__) from error


def members_of(estimator: Any) -> int:
    """How many networks an estimator's ``members`` says.

    Raises:
        DefinitionError: no integer, or one out of range.
    """
    try:
        return RetrainSection.model_validate({"members": plain(estimator.members)}).members
    except ValidationError as error:
        raise first_problem(error, RetrainSection).at(type(estimator).__name__) from error


def checked_rows(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: ArrayLike | None = None,
    *,
    regression: bool = False,
    first: bool = True,
    fewest: int = 1,
    columns: Mapping[str, Any] | None = None,
    raw: bool = False,
) -> tuple[Any[Any], NDArray[Any], NDArray[np.float64] | None, NDArray[Any] | None]:
    """Features (n, D), or a table, targets (n,), weights (n,) or None, and groups (n,) or None of the rows that count.

    A row of weight 0 is none; weights that are all alike are None.

    Args:
        estimator: gets ``n_features_in_`` and ``feature_names_in_``, or is asked whether these rows have them.
        X: finite numbers, (N, D), float32 or else made float64; a DataFrame if there are ``columns``.
        y: (N,) classes, or with ``regression`` finite numbers, made float64.
        sample_weight: (N,), at least 0 and not all 0, or None.
        groups: (N,), or None.
        regression: what the targets are.
        first: whether these rows say what the features are.
        fewest: rows that there must be.
        columns: what the columns of a DataFrame are, or None; see :func:`dataset`.
        raw: X is rows of any kind, which others check.

    Raises:
        ValueError: other rows than that, mostly in scikit-learn's words.
    """
    must = {"dtype": [np.float64, np.float32], "order": "C", "y_numeric": regression, "ensure_min_samples": fewest}
    if columns is None and not raw:
        X, y = validate_data(estimator, X, y, reset=first, **must)
        require_moderate(X, "X")
    else:
        if not raw:
            require_frame(X)
        validate_data(estimator, X, reset=first, skip_check_array=True)
        # Its rows are checked when their columns are known.
        _, y = check_X_y(np.zeros((_num_samples(X), 1)), y, y_numeric=regression, ensure_min_samples=fewest)
    if regression:
        y = y.astype(np.float64)
        require_moderate(y, "y")
    weights = None if sample_weight is None else _weights(sample_weight, len(y))
    if not regression:
        check_classification_targets(y)
    together = None if groups is None else column_or_1d(groups)
    if together is not None and len(together) != len(y):
        must_hold, got = f"must have a value for each of {plural(len(y), 'row')}", f"has {len(together)}"
        raise DataError(must_hold, got, where=Setting("groups"))
    if weights is None or weights.all():
        return X, y, weights, together
    counting = weights > 0
    X = _safe_indexing(X, np.flatnonzero(counting))
    return X, y[counting], weights[counting], None if together is None else together[counting]


def _weights(sample_weight: Any, rows: int) -> NDArray[np.float64] | None:
    weights: NDArray[np.float64] = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    where = Setting("sample_weight")
    if weights.shape != (rows,):
        raise DataError(f"must have one number a row, {rows}", f"has shape {weights.shape}", where=where)
    if weights.min() < 0 or not weights.any():
        got = "all are zero" if weights.min() == 0 else f"one is {weights.min()}"
        raise DataError("must hold weights of at least 0, some of them above", got, where=where)
    return None if np.all(weights == weights[0]) else weights


def classes_of(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The sorted classes (C,), and each row's place among them (N,).

    Raises:
        DataError: fewer than two classes among the rows that count.
    """
    classes, labels = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise DataError(
            "A classifier needs rows of at least two classes",
            f"all {len(y)} that count are of one class, {quoted(classes.tolist()[0])}",
            "Add rows of another.",
        )
    return classes, labels.astype(np.intp)


def dataset(
    estimator: Any,
    X: NDArray[Any],
    labels: NDArray[Any],
    names_by_label: Mapping[Any, str],
    weights: NDArray[np.float64] | None,
    groups: NDArray[Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    raw: bool = False,
) -> Dataset:
    """Checked rows, of a regression if there are no class names. The features stay the caller's own: only a view of
    them is made read-only.

    With ``columns``, keys of :class:`hpsearch.data.column_keys.FrameColumns`, they are a DataFrame's. Of ``raw`` rows,
    which may be of any kind, the features only tell them apart; they are of the type that is trained in.

    Raises:
        DataError: a key that cannot be, or a column that cannot be as it says.
    """
    of_groups = None if groups is None else as_groups([*map(as_text, groups)])
    own_weights = None if weights is None else weights.view()
    if columns is not None:
        with located(type(estimator).__name__, wording=wording_of()):
            features, plan = expand_declared(X, plain(columns), len(names_by_label))
        classes = tuple(names_by_label.values())
        return Dataset(
            *(features, labels, plan.feature_names, classes), groups=of_groups, weights=own_weights, plan=plan
        )
    if raw:
        numbers, raw_names = told_apart(X)
        features = numbers.astype(number_type_of(X))
        return Dataset(
            features, labels, raw_names, tuple(names_by_label.values()), groups=of_groups, weights=own_weights
        )
    names = getattr(estimator, "feature_names_in_", [f"x{number + 1}" for number in range(X.shape[1])])
    return Dataset(
        X.view(),
        labels,
        tuple(map(str, names)),
        tuple(names_by_label.values()),
        groups=of_groups,
        weights=own_weights,
    )


def require_frame(X: Any) -> None:
    """Refuse rows of which it is said what their columns are, if they are no pandas table.

    Raises:
        DataError: they are none.
    """
    if not hasattr(X, "columns") or not hasattr(X, "iloc"):
        must = ("must be a pandas DataFrame with ", Setting("columns"))
        raise DataError(must, f"is of type {type(X).__name__}", where=Setting("X"))


def class_names(classes: NDArray[Any]) -> dict[Any, str]:
    """The name of each class by its label, in order."""
    return {label: str(label) for label in classes.tolist()}
