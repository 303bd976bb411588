"""A network for regression, as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from hpsearch.estimators.arguments import checked_rows, config_of, dataset
from hpsearch.estimators.base import NetworkEstimator, assign, trains_on_all_rows


class MLPRegressor(RegressorMixin, NetworkEstimator):
    """A fully connected network for regression, or the average of several, trained as lanes of the core.

    It is :class:`hpsearch.MLPClassifier` in all that is not said here. The target is scaled inside, by what is learnt
    from the training rows; losses and predictions have its own unit.

    Args:
        neurons, hidden_layers, activation, leaky_slope, dropout, init: see :class:`hpsearch.MLPClassifier`.
        loss: what training descends: ``squared_error``, the default, or ``absolute_error``.
        optimizer, learning_rate, decay, momentum, rho, epsilon, beta1, beta2: see :class:`hpsearch.MLPClassifier`.
        weight_l1, weight_l2, bias_l1, bias_l2, epochs, batch_size, scaling, evaluate_every, dtype: likewise.
        target_scaling: ``standard``, by mean and standard deviation; or before that the logarithm (``log``, of targets
            above 0) or Yeo and Johnson's power transformation (``power``).
        members: networks that differ in everything random, whose predictions are averaged; see there.
        random_state, early_stopping, validation_fraction, n_iter_no_change: likewise; rows are carved at random.
        tol: what an improvement of the validation loss is more than, in its unit.

    Attributes:
        n_features_in_, feature_names_in_, n_iter_, best_epoch_, loss_curve_, loss_, best_loss_: as there.
        validation_scores_, best_validation_score_: minus the validation loss (scikit-learn's is R²).
        coefs_, intercepts_, n_layers_, bundle_: as there; weights are for scaled features and a scaled target.

    >>> import hpsearch
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
        target_scaling: str = "standard",
        evaluate_every: int | None = None,
        dtype: str | None = None,
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
            X: (N, D) finite numbers, an array or a DataFrame.
            y: (N,) finite numbers.
            sample_weight: (N,), how many rows each row counts as, in scaling, training and validation; 0 is none.

        Raises:
            ValueError: as :meth:`hpsearch.MLPClassifier.fit`.
            DivergedError: a loss that is no longer finite.
        """
        X, y, weights, _ = checked_rows(self, X, y, sample_weight, regression=True, columns=self.columns)
        data = dataset(self, X, y, {}, weights, columns=self.columns)
        self._fit_network(data, config_of(self, {}, data.features.dtype))
        return self

    @available_if(trains_on_all_rows)
    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one epoch more on these rows; see :meth:`hpsearch.MLPClassifier.partial_fit`.

        The target's scaling, too, stays as the first call's rows had it.

        Args:
            X: (N, D) finite numbers.
            y: (N,) finite numbers.
            sample_weight: as in :meth:`fit`.

        Raises:
            ValueError: as :meth:`fit`.
        """
        first = not hasattr(self, "bundle_")
        X, y, weights, _ = checked_rows(self, X, y, sample_weight, first=first, regression=True)
        self._train_one_epoch(dataset(self, X, y, {}, weights), {})
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The predicted targets, (N,), in their own unit."""
        return self._predictions(X)[:, 0]
