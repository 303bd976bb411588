"""A saved model as MLflow loads it: ``mlflow.pyfunc.load_model(…).predict(rows)`` is :meth:`Bundle.predict`.

MLflow is told the name of this module and calls ``_load_pyfunc``. Nothing is pickled: the model's files are its data,
and hpsearch must be installed where it predicts.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from hpsearch.model.bundle import Bundle


class BundlePredictor:
    """What MLflow wraps: it predicts as the bundle does, in the same types."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, rows: Any, params: dict[str, Any] | None = None) -> NDArray[Any]:
        """The class of each row, by name, or the predicted target: (N,).

        Args:
            rows: a DataFrame or an array, as :meth:`Bundle.predict` takes it.
            params: MLflow's; there are none.
        """
        return self.bundle.predict(rows)


def _load_pyfunc(path: str) -> BundlePredictor:
    return BundlePredictor(Bundle.load(path))
