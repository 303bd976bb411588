"""scikit-learn's callbacks, where its version has them (1.9): a search is a task, and each trial a task of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpsearch.search.coordinator import Progress

__all__ = ["CallbackSupportMixin", "TrialTasks", "with_callbacks"]

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing, with earlier versions."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """The method as it is, with earlier versions."""
        return method


class TrialTasks:
    """A progress callback that tells an estimator's callbacks of the search and of each trial that is told.

    Args:
        estimator: whose callbacks they are; it fits.
        rows: ``X`` and ``y``, and ``metadata`` where rows have weights.
        trials: how many there shall be.
    """

    def __init__(self, estimator: Any, rows: dict[str, Any], trials: int) -> None:
        self._estimator, self._rows, self._told = estimator, rows, 0
        begin = getattr(estimator, "_init_callback_context", None)
        self._fit: Any = None if begin is None else begin(max_subtasks=trials)
        if self._fit is not None:
            self._fit.call_on_fit_task_begin(estimator=estimator, **rows)

    def __call__(self, progress: Progress) -> None:
        """Tell of the trials that were told since. None can stop the search, which is part of what it is."""
        for _ in progress.results[self._told :] if self._fit is not None else ():
            self._told += 1
            trial = self._fit.subcontext(task_name="trial")
            trial.call_on_fit_task_begin(estimator=self._estimator, **self._rows)
            trial.call_on_fit_task_end(estimator=self._estimator, **self._rows)

    def end(self) -> None:
        """The estimator is fitted."""
        if self._fit is not None:
            self._fit.call_on_fit_task_end(
                estimator=self._estimator, **self._rows, reconstruction_attributes=lambda: self._fitted
            )

    @property
    def _fitted(self) -> dict[str, Any]:
        """What ``fit`` has set."""
        return {name: value for name, value in vars(self._estimator).items() if name.endswith("_") and name[0] != "_"}
