"""A network that classifies, as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from hpsearch.arrays import FloatArray
from hpsearch.errors import DefinitionError, Setting, quoted
from hpsearch.estimators.arguments import checked_rows, class_names, classes_of, config_of, dataset
from hpsearch.estimators.base import NetworkEstimator, assign, trains_on_all_rows


class MLPClassifier(ClassifierMixin, NetworkEstimator):
    """A fully connected network that classifies, or the average of several, trained as lanes of the core.

    The parameters up to ``class_weight`` are the hyperparameters of ``[train]`` in a study file, with its names, bounds
    and defaults (:class:`hpsearch.validation.config.Config`), but for five: ``batch_size``, ``epochs``,
    ``learning_rate`` and ``weight_l2`` are such that one network without a search does not overfit, and ``dtype``
    follows the rows. Then comes ``members``, as in ``[retrain]``; those after it are scikit-learn's. With one seed and
    these hyperparameters, ``dtype`` among them, it computes what ``hpsearch retrain`` computes on these rows, bit for
    bit. Features
    are finite numbers, or with ``columns`` whatever a study file's columns may be. They are scaled inside, by
    ``scaling``.

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
        scaling: of the features, learnt from the training rows: ``standard``, ``minmax``, ``none``, or ``power``,
            Yeo and Johnson's transformation before ``standard``.
        evaluate_every: epochs between checkpoints; by default a twentieth of ``epochs``.
        dtype: number type of the training, ``float32`` or ``float64``. None follows the rows, as scikit-learn does:
            rows of ``float32`` train in ``float32``, all others, and a DataFrame with ``columns``, in ``float64``.
            ``float32``, as in study files, is up to twice as fast.
        class_weight: what rows of each class count in training: ``balanced``, or a dict by class.
        members: networks that differ in everything random, whose probabilities are averaged. The default, 1, is a plain
            network, as users of scikit-learn expect; ``hpsearch retrain`` and :class:`hpsearch.KFoldSearchCV` fit 8.
        random_state: an integer is the seed of a study file; of a ``RandomState``, or None for NumPy's global one, a
            seed is drawn.
        early_stopping: carve out ``validation_fraction`` of the rows, the same share of each class if there are enough
            of them, train on the others, and keep the parameters of the checkpoint with the lowest validation loss; of
            several members, of the one checkpoint where that of their averaged probabilities is lowest.
        validation_fraction: above 0 and below 1.
        n_iter_no_change: checkpoints in a row (scikit-learn counts epochs) without an improvement that end it.
        tol: what an improvement of the validation loss is more than.
        columns: what the columns of a DataFrame are: a dict of the keys of ``[data]`` in a study file that say so, as
            ``{"order": {"size": ["S", "M", "L"]}, "encode": {"city": "target"}, "missing": ["?"]}``; ``{}`` for one
            whose dtypes say it. Then X may hold text, categories, booleans, dates and missing values. By default X is
            finite numbers.

    Attributes:
        classes_: (C,), the sorted classes.
        n_features_in_, feature_names_in_: of the features; names if the rows came with them.
        n_iter_: epochs done.
        best_epoch_: epochs of the parameters that it has.
        loss_curve_, loss_: data loss + penalty on the training rows at every checkpoint, and at the last; the mean over
            the members.
        best_loss_: the lowest of them; None with ``early_stopping``.
        validation_scores_, best_validation_score_: minus the validation loss at every checkpoint, in nats
            (scikit-learn's is the accuracy), and the highest; None without ``early_stopping``.
        coefs_, intercepts_, n_layers_: weights and biases of each layer, for scaled features, with a first axis of the
            members if there are several; layers with the inputs'.
        bundle_: the network as ``hpsearch retrain`` has it: ``bundle_.save("model")`` is for ``hpsearch predict``.

    Unlike scikit-learn's: a network that diverges is trained again from the next seed, twice at most (not in
    ``partial_fit``); then :class:`hpsearch.DivergedError` is raised; without ``early_stopping`` all epochs are done.

    >>> import hpsearch
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
        learning_rate: float = 0.001,
        decay: float = 0.0,
        momentum: float = 0.0,
        rho: float = 0.9,
        epsilon: float = 1e-7,
        beta1: float = 0.9,
        beta2: float = 0.999,
        weight_l1: Any = 0.0,
        weight_l2: Any = 0.001,
        bias_l1: Any = 0.0,
        bias_l2: Any = 0.0,
        epochs: int = 100,
        batch_size: int | str = 32,
        scaling: str = "standard",
        evaluate_every: int | None = None,
        dtype: str | None = None,
        class_weight: Any = None,
        members: int = 1,
        random_state: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        columns: Mapping[str, Any] | None = None,
    ) -> None:
        assign(self, locals())

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train from new initial weights.

        Args:
            X: (N, D) finite numbers, an array or a DataFrame; with ``columns`` a DataFrame.
            y: (N,) classes of any one kind.
            sample_weight: (N,), how many rows each row counts as, in scaling, training and validation; 0 is none.

        Raises:
            ValueError: rows, targets, weights or parameters that cannot be, some of them as
                :class:`~hpsearch.DataError` and :class:`~hpsearch.DefinitionError`.
            DivergedError: a loss that is no longer finite.
        """
        X, y, weights, _ = checked_rows(self, X, y, sample_weight, columns=self.columns)
        classes, labels = classes_of(y)
        names = class_names(classes)
        data = dataset(self, X, labels, names, weights, columns=self.columns)
        self._fit_network(data, config_of(self, names, data.features.dtype))
        self.classes_ = classes
        return self

    @available_if(trains_on_all_rows)
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
            raise DefinitionError(("The first call of partial_fit must be given ", Setting("classes")), "was not")
        every = self.classes_ if classes is None else np.unique(column_or_1d(classes))
        if not first and not np.array_equal(every, self.classes_):
            must, got = f"must be those of the first call, {self.classes_.tolist()}", f"are {every.tolist()}"
            raise DefinitionError(must, got, where=Setting("classes"))
        if isinstance(self.class_weight, str):
            raise DefinitionError(
                "partial_fit must be told what each class counts",
                (Setting("class_weight"), f" is {quoted(self.class_weight)}"),
                "Use a dict.",
            )
        X, y, weights, _ = checked_rows(self, X, y, sample_weight, first=first)
        if unknown := sorted(set(np.unique(y).tolist()) - set(every.tolist())):
            must, got = f"must hold the classes {quoted(every.tolist())}", f"holds {quoted(unknown[0])}"
            raise DefinitionError(must, got, where=Setting("y"))
        names = class_names(every)
        labels = np.searchsorted(every, y).astype(np.intp)
        self._train_one_epoch(dataset(self, X, labels, names, weights), names)
        self.classes_ = every
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row, (N,)."""
        probabilities = self._predictions(X)
        most: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return most

    def predict_proba(self, X: Any) -> FloatArray:
        """The probability of each class, (N, C), in the order of ``classes_`` and the number type of the training."""
        return self._predictions(X)

    def predict_log_proba(self, X: Any) -> FloatArray:
        """The natural logarithm of :meth:`predict_proba`."""
        with np.errstate(divide="ignore"):
            logarithms: FloatArray = np.log(self._predictions(X))
        return logarithms
