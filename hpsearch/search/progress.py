"""What has become of trials, in words: for whoever shows a run, and as records of the logger ``hpsearch.search``."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hpsearch.numbers import plural
from hpsearch.search.coordinator import Progress
from hpsearch.storage.trial_result import TrialResult, best_result
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import shown

_LOGGER = logging.getLogger(__name__.rpartition(".")[0])


def outcome(result: TrialResult, metric: Metric) -> str:
    """As ``complete, 0.4990``, or why it is not."""
    if result.value is not None:
        return f"complete, {shown(result.value, metric)}"
    return f"failed: {result.reason}" if result.state == "FAIL" else str(result.reason)


def final_outcome(final: TrialResult, metric: Metric) -> str:
    """As ``0.4821 as an ensemble``, or why it is not."""
    value = final.ensemble_value
    return f"failed: {final.reason}" if value is None else f"{shown(value, metric)} as an ensemble"


class Logged:
    """A progress callback that logs what is new, at level INFO, and tells another one.

    Args:
        name: the study's.
        on_progress: the other one.
    """

    def __init__(self, name: str, on_progress: Callable[[Progress], None]) -> None:
        self._name, self._on_progress = name, on_progress
        self._told: int | None = None  # trials; None before the first progress
        self._finals: set[int] | None = None  # likewise, of finalists

    def __call__(self, progress: Progress) -> None:
        if _LOGGER.isEnabledFor(logging.INFO):
            self._log(progress)
        self._on_progress(progress)

    def ended(self, in_time: bool) -> None:
        """The study has come to its end, or its time is up."""
        _LOGGER.info("study %r: %s", self._name, "ended" if in_time else "stopped, as its time is up")

    def _log(self, progress: Progress) -> None:
        results, metric, name = progress.results, progress.metric, self._name
        if self._told is None:
            self._told = progress.resumed
            trials = plural(progress.trials, "trial")
            _LOGGER.info("study %r: begun, %d of %s done before", name, progress.resumed, trials)
        for result in results[self._told :]:
            self._told += 1
            best = best_result(results[: self._told], metric)
            record = "none yet" if best is None else f"{shown(best.value or 0, metric)} (trial {best.number})"
            args = (name, self._told, progress.trials, result.number, outcome(result, metric), record)
            _LOGGER.info("study %r: %d/%d, trial %d %s; best %s", *args)
        if progress.finalists:
            if self._finals is None:
                self._finals = {final.number for final in progress.finals}
                if len(self._finals) < progress.finalists:
                    _LOGGER.info("study %r: finals of %s", name, plural(progress.finalists, "trial"))
            for final in progress.finals:
                if final.number not in self._finals:
                    self._finals.add(final.number)
                    _LOGGER.info("study %r: finalist %d %s", name, final.number, final_outcome(final, metric))
