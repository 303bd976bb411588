"""Networks as scikit-learn estimators: one lane of the core behind ``fit``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from hpsearch.data.dataset import Dataset
from hpsearch.errors import DefinitionError
from hpsearch.estimators.lane import History, Lane, carve, train_until_no_better
from hpsearch.estimators.rows import checked, classes_of, config_of, counted, dataset, seed_of
from hpsearch.model.bundle import Bundle
from hpsearch.nn.network import FloatArray
from hpsearch.validation.config import Config


class Network(BaseEstimator):
    """What a classifier and a regressor share: how they are trained, and what is known of it afterwards."""

    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    random_state: Any
    bundle_: Bundle
    loss_curve_: list[float]
    n_iter_: int
    _lane: Lane | None

    @property
    def coefs_(self) -> list[FloatArray]:
        """The weights of each layer, (fan_in, fan_out), applied to scaled features."""
        return self._layers("weights")

    @property
    def intercepts_(self) -> list[FloatArray]:
        """The biases of each layer, (fan_out,)."""
        return self._layers("biases")

    @property
    def n_layers_(self) -> int:
        """Layers, inputs and outputs counted."""
        return len(self.bundle_.architecture.network.widths)

    @property
    def loss_(self) -> float:
        """Data loss + penalty on the training rows at the last checkpoint."""
        return self.loss_curve_[-1]

    def _layers(self, what: str) -> list[FloatArray]:
        views = self.bundle_.architecture.network.named(self.bundle_.parameters)
        return [values[0] for name, values in views.items() if name.endswith(what)]

    def _train(self, data: Dataset, config: Config) -> None:
        """From initial parameters to the end."""
        seed, rows = seed_of(self.random_state), np.arange(data.rows)
        if not self.early_stopping:
            lane, history = Lane.begin(config, data, rows, seed), History()
            for checkpoint in lane.train(config, data, rows):
                history.add(checkpoint)
        else:
            self._check_stopping()
            rows, validation = carve(data, self.validation_fraction, seed)
            lane = Lane.begin(config, data, rows, seed)
            patience, tol = self.n_iter_no_change, self.tol
            history = train_until_no_better(lane, config, data, rows, validation, patience, tol)
        scores = [-loss for loss in history.validation_loss]
        self.validation_scores_ = scores if self.early_stopping else None
        self.best_validation_score_ = max(scores) if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else min(history.total_loss)
        self.best_epoch_ = history.epochs[int(np.argmax(scores))] if self.early_stopping else history.epochs[-1]
        self.loss_curve_, self.n_iter_ = history.total_loss, history.epochs[-1]
        self._keep(lane, data, config, seed)
        if self.early_stopping:  # the optimizer is further than the parameters
            self._lane = None

    def _train_on(self, data: Dataset, config: Config) -> None:
        """One epoch more."""
        rows, seed = np.arange(data.rows), 0
        lane: Lane | None = getattr(self, "_lane", None)
        if lane is None:
            seed = seed_of(self.random_state)
            lane = Lane.begin(config, data, rows, seed)
            self.loss_curve_, self.n_iter_ = [], 0
        for checkpoint in lane.train(config.replaced({"epochs": 1}), data, rows):
            self.loss_curve_ = [*self.loss_curve_, float(checkpoint.total_loss[0])]
        self.n_iter_ += 1
        self.best_loss_, self.best_epoch_ = min(self.loss_curve_), self.n_iter_
        self.validation_scores_ = self.best_validation_score_ = None
        self._keep(lane, data, config, seed)

    def _keep(self, lane: Lane, data: Dataset, config: Config, seed: int) -> None:
        about = {"hpsearch": version("hpsearch"), "seed": seed, "train": config.model_dump(mode="json")}
        self._lane, self.bundle_ = lane, lane.bundle(data, about)

    def _check_stopping(self) -> None:
        must = {
            "validation_fraction": (0 < self.validation_fraction < 1, "above 0 and below 1"),
            "n_iter_no_change": (self.n_iter_no_change >= 1, "at least 1"),
            "tol": (self.tol >= 0, "at least 0"),
        }
        for name, (holds, what) in must.items():
            if not holds:
                raise DefinitionError(f"{type(self).__name__}: {name} must be {what}, but is {getattr(self, name)!r}.")

    def _answers(self, X: Any) -> FloatArray:
        check_is_fitted(self, "bundle_")
        rows = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], order="C")
        return self.bundle_.answers(rows)


def in_one_go(network: Network) -> bool:
    """Whether a network trains on all rows that it is given, as ``partial_fit`` must."""
    if network.early_stopping:
        raise AttributeError("partial_fit needs early_stopping=False: of a part of the rows none can be set aside.")
    return True


class MLPClassifier(ClassifierMixin, Network):
    """A fully connected network that classifies, trained by one lane of the core.

    The parameters up to ``class_weight`` are the hyperparameters of ``[train]`` in a study file, with its names, bounds
    and defaults (:class:`hpsearch.validation.config.Config`); those after it are scikit-learn's. With one seed it
    computes what ``hpsearch retrain`` computes on these rows, bit for bit. Features are finite numbers: put text and
    missing values through a ``ColumnTransformer`` first. They are scaled inside, by ``scaling``.

    Args:
        neurons: neurons of the hidden layers: one number for all, or a list.
        hidden_layers: number of hidden layers; by default the length of the list ``neurons``, or 1.
        activation: of the hidden layers: ``relu``, ``leaky_relu``, ``tanh``.
        leaky_slope: slope of ``leaky_relu`` below 0.
        dropout: share of each hidden layer's values that training drops: one for all, or a list.
        init: distribution of the initial weights: ``nnfs``, ``he``, ``glorot``.
        loss: what training descends: ``cross_entropy``, the default, or ``binary_cross_entropy`` of two classes.
        optimizer: ``adam``, ``sgd``, ``rmsprop``, ``adagrad``.
        learning_rate: of the first update.
        decay: the learning rate of update t is learning_rate / (1 + decay · t).
        momentum: of ``sgd``.
        rho: memory of ``rmsprop``'s cache.
        epsilon: added to the root of the cache by ``adagrad``, ``rmsprop`` and ``adam``.
        beta1: memory of ``adam``'s mean gradient.
        beta2: memory of ``adam``'s mean squared gradient.
        weight_l1, weight_l2, bias_l1, bias_l2: lambda of each penalty: one for all layers, or a list.
        epochs: passes over the training rows, the most of them with ``early_stopping``.
        batch_size: rows of an update, or ``full``.
        scaling: of the features, learnt from the training rows: ``standard``, ``minmax``, ``none``.
        evaluate_every: epochs between checkpoints; by default a twentieth of ``epochs``.
        dtype: number type of the training, ``float32`` or ``float64``.
        class_weight: what rows of each class count in training: ``balanced``, or a dict by class.
        random_state: an integer is the seed of a study file; of a ``RandomState``, or None for NumPy's global one, a
            seed is drawn.
        early_stopping: carve out ``validation_fraction`` of the rows, the same share of each class, train on the
            others, and keep the parameters of the checkpoint with the lowest validation loss.
        validation_fraction: above 0 and below 1.
        n_iter_no_change: checkpoints in a row (scikit-learn counts epochs) without an improvement that end it.
        tol: what an improvement of the validation loss is more than.

    Attributes:
        classes_: (C,), the sorted classes.
        n_features_in_, feature_names_in_: of the features; names if the rows came with them.
        n_iter_: epochs done.
        best_epoch_: epochs of the parameters that were kept.
        loss_curve_, loss_: data loss + penalty on the training rows at every checkpoint, and at the last.
        best_loss_: the lowest of them; None with ``early_stopping``.
        validation_scores_, best_validation_score_: minus the validation loss at every checkpoint, in nats
            (scikit-learn's is the accuracy), and the highest; None without ``early_stopping``.
        coefs_, intercepts_, n_layers_: weights and biases of each layer, for scaled features; layers with the inputs'.
        bundle_: the network as ``hpsearch retrain`` has it: ``bundle_.save("model")`` is for ``hpsearch predict``.

    Unlike scikit-learn's: a training that diverges raises :class:`hpsearch.DivergedError`; without ``early_stopping``
    all epochs are done.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> X, y = load_iris(return_X_y=True)
    >>> network = hpsearch.MLPClassifier(16, epochs=100, learning_rate=0.05, random_state=0)
    >>> bool(cross_val_score(network, X, y).mean() > 0.9)
    True
    """

    def __init__(
        self,
        neurons: Any = 64,
        *,
        hidden_layers: int | None = None,
        activation: str = "relu",
        leaky_slope: float = 0.01,
        dropout: Any = 0.0,
        init: str = "nnfs",
        loss: str | None = None,
        optimizer: str = "adam",
        learning_rate: float = 0.01,
        decay: float = 0.0,
        momentum: float = 0.0,
        rho: float = 0.9,
        epsilon: float = 1e-7,
        beta1: float = 0.9,
        beta2: float = 0.999,
        weight_l1: Any = 0.0,
        weight_l2: Any = 0.0,
        bias_l1: Any = 0.0,
        bias_l2: Any = 0.0,
        epochs: int = 1000,
        batch_size: int | str = "full",
        scaling: str = "standard",
        evaluate_every: int | None = None,
        dtype: str = "float32",
        class_weight: Any = None,
        random_state: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
    ) -> None:
        assign(self, locals())

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train from new initial weights.

        Args:
            X: (N, D) finite numbers, an array or a DataFrame.
            y: (N,) classes of any one kind.
            sample_weight: (N,), how many rows each row counts as, in scaling, training and validation; 0 is none.

        Raises:
            ValueError: rows, targets, weights or parameters that cannot be, some of them as
                :class:`~hpsearch.DataError` and :class:`~hpsearch.DefinitionError`.
            DivergedError: a loss that is no longer finite.
        """
        X, y, weights = checked(self, X, y, sample_weight)
        check_classification_targets(y)
        X, y, weights, _ = counted(X, y, weights)
        classes, labels = classes_of(y)
        names = named(classes)
        self._train(dataset(self, X, labels, names, weights), config_of(self, names))
        self.classes_ = classes
        return self

    @available_if(in_one_go)
    def partial_fit(
        self, X: Any, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one epoch more on these rows, from where the last call, or ``fit``, ended.

        Parameters, the optimizer's state, the learning rate's decay and the order of mini-batches all go on, so k calls
        with the same rows give the bits of a ``fit`` of k epochs. The scaling stays as the first call's rows had it:
        let them be typical, or scale outside.

        Args:
            X: (N, D) finite numbers.
            y: (N,) classes.
            classes: all there will ever be; needed in the first call.
            sample_weight: as in :meth:`fit`.

        Raises:
            ValueError: as :meth:`fit`; no ``classes`` in the first call, others later, or a class that is not among
                them; ``class_weight="balanced"``, for which all rows must be known.
        """
        first = not hasattr(self, "bundle_")
        if first and classes is None:
            raise DefinitionError("The first call of partial_fit must be given classes, but was not.")
        every = self.classes_ if classes is None else np.unique(column_or_1d(classes))
        if not first and not np.array_equal(every, self.classes_):
            raise DefinitionError(
                f"classes must be those of the first call, {self.classes_.tolist()}, but are {every.tolist()}."
            )
        if isinstance(self.class_weight, str):
            raise DefinitionError(
                f"partial_fit must be told what each class counts, but class_weight is {self.class_weight!r}. "
                "Use a dict."
            )
        X, y, weights = checked(self, X, y, sample_weight, first=first)
        check_classification_targets(y)
        if unknown := sorted(set(np.unique(y).tolist()) - set(every.tolist())):
            raise DefinitionError(f"y must hold the classes {every.tolist()}, but holds {unknown[0]!r}.")
        X, y, weights, _ = counted(X, y, weights)
        names = named(every)
        labels = np.searchsorted(every, y).astype(np.intp)
        self._train_on(dataset(self, X, labels, names, weights), config_of(self, names))
        self.classes_ = every
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row, (N,)."""
        probabilities = self._answers(X)
        most: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return most

    def predict_proba(self, X: Any) -> FloatArray:
        """The probability of each class, (N, C), in the order of ``classes_`` and the number type of the training."""
        return self._answers(X)

    def predict_log_proba(self, X: Any) -> FloatArray:
        """The natural logarithm of :meth:`predict_proba`."""
        with np.errstate(divide="ignore"):
            logarithms: FloatArray = np.log(self._answers(X))
        return logarithms


class MLPRegressor(RegressorMixin, Network):
    """A fully connected network that predicts a quantity, trained by one lane of the core.

    It is :class:`MLPClassifier` in all that is not said here. The target is scaled inside, by mean and standard
    deviation of the training rows; losses and predictions have its own unit.

    Args:
        neurons, hidden_layers, activation, leaky_slope, dropout, init: see :class:`MLPClassifier`.
        loss: what training descends: ``squared_error``, the default, or ``absolute_error``.
        optimizer, learning_rate, decay, momentum, rho, epsilon, beta1, beta2: see :class:`MLPClassifier`.
        weight_l1, weight_l2, bias_l1, bias_l2, epochs, batch_size, scaling, evaluate_every, dtype: likewise.
        random_state, early_stopping, validation_fraction, n_iter_no_change: likewise; rows are carved at random.
        tol: what an improvement of the validation loss is more than, in its unit.

    Attributes:
        n_features_in_, feature_names_in_, n_iter_, best_epoch_, loss_curve_, loss_, best_loss_: as there.
        validation_scores_, best_validation_score_: minus the validation loss (scikit-learn's is R²).
        coefs_, intercepts_, n_layers_, bundle_: as there; weights are for scaled features and a scaled target.

    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import cross_val_score
    >>> X, y = load_diabetes(return_X_y=True)
    >>> network = hpsearch.MLPRegressor(16, epochs=60, weight_l2=1e-2, random_state=0)
    >>> bool(cross_val_score(network, X, y).mean() > 0.4)
    True
    """

    def __init__(
        self,
        neurons: Any = 64,
        *,
        hidden_layers: int | None = None,
        activation: str = "relu",
        leaky_slope: float = 0.01,
        dropout: Any = 0.0,
        init: str = "nnfs",
        loss: str | None = None,
        optimizer: str = "adam",
        learning_rate: float = 0.01,
        decay: float = 0.0,
        momentum: float = 0.0,
        rho: float = 0.9,
        epsilon: float = 1e-7,
        beta1: float = 0.9,
        beta2: float = 0.999,
        weight_l1: Any = 0.0,
        weight_l2: Any = 0.0,
        bias_l1: Any = 0.0,
        bias_l2: Any = 0.0,
        epochs: int = 1000,
        batch_size: int | str = "full",
        scaling: str = "standard",
        evaluate_every: int | None = None,
        dtype: str = "float32",
        random_state: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
    ) -> None:
        assign(self, locals())

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train from new initial weights.

        Args:
            X: (N, D) finite numbers, an array or a DataFrame.
            y: (N,) finite numbers.
            sample_weight: (N,), how many rows each row counts as, in scaling, training and validation; 0 is none.

        Raises:
            ValueError: as :meth:`MLPClassifier.fit`.
            DivergedError: a loss that is no longer finite.
        """
        X, y, weights = checked(self, X, y, sample_weight, numbers=True)
        X, y, weights, _ = counted(X, y, weights)
        self._train(dataset(self, X, y, {}, weights), config_of(self, {}))
        return self

    @available_if(in_one_go)
    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one epoch more on these rows; see :meth:`MLPClassifier.partial_fit`.

        The target's centre and scale, too, stay as the first call's rows had them.

        Args:
            X: (N, D) finite numbers.
            y: (N,) finite numbers.
            sample_weight: as in :meth:`fit`.

        Raises:
            ValueError: as :meth:`fit`.
        """
        first = not hasattr(self, "bundle_")
        X, y, weights = checked(self, X, y, sample_weight, first=first, numbers=True)
        X, y, weights, _ = counted(X, y, weights)
        self._train_on(dataset(self, X, y, {}, weights), config_of(self, {}))
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The quantity, (N,), in its own unit."""
        return self._answers(X)[:, 0]


def assign(estimator: BaseEstimator, given: Mapping[str, Any]) -> None:
    """Keep constructor arguments under their names, which is all that scikit-learn lets a constructor do."""
    for name, value in given.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)


def named(classes: NDArray[Any]) -> dict[Any, str]:
    """The name of each class by its label, in order."""
    return {label: str(label) for label in classes.tolist()}
