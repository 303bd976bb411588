"""A study's trials as scikit-learn's searches tell theirs: scores of which greater is better, in a dict of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from hpsearch.definition.space import split_name
from hpsearch.definition.study import StudyDefinition
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import fold_value
from hpsearch.validation.metric import Metric
from hpsearch.validation.selection import Corrected


def parameters(
    definition: StudyDefinition, chosen: Mapping[str, Any], best_epoch: int | None, prefix: str = ""
) -> dict[str, Any]:
    """What ``set_params`` makes the trial's configuration of the estimator with; its best epoch, if it has one.

    What is searched for one layer becomes the list of all layers. ``prefix`` is what names begin with.
    """
    config, names = definition.config(chosen), [split_name(name) for name in chosen]
    keys = {key for _, key in names}
    if any(layer is not None for layer, _ in names):
        keys.add("hidden_layers")  # the length of the lists
    values = {key: config.depth if key == "hidden_layers" else getattr(config, key) for key in sorted(keys)}
    values |= {} if best_epoch is None else {"epochs": best_epoch}
    return {f"{prefix}{name}": value for name, value in values.items()}


def cv_results(stored: StoredStudy, definition: StudyDefinition, prefix: str = "") -> dict[str, Any]:
    """``cv_results_``, a place a trial; ``prefix`` is what names of parameters begin with."""
    trials = stored.trials()
    results = [stored_result(trial) for trial in trials]
    metric, splits = definition.metric, stored.attributes["n_splits"] * definition.validation.repeats
    params = [
        parameters(definition, trial.params, result.best_epoch, prefix)
        for trial, result in zip(trials, results, strict=True)
    ]
    scores = np.full((len(results), splits), np.nan)
    means = np.full(len(results), np.nan)
    for number, result in enumerate(results):
        if result.value is not None:
            scores[number] = [-metric.sign * fold_value(fold) for fold in result.folds]
            means[number] = -metric.sign * result.value
    lowest = np.nanmin(means) - 1  # below every score, so that trials without one share the last rank
    return {
        "mean_fit_time": np.array([result.seconds / splits for result in results]),
        **{f"param_{name}": column for name, column in _columns(params).items()},
        "params": params,
        **{f"split{split}_test_score": scores[:, split] for split in range(splits)},
        "mean_test_score": means,
        "std_test_score": np.std(scores, axis=1),
        "rank_test_score": rankdata(-np.where(np.isnan(means), lowest, means), method="min").astype(np.int32),
        "state": np.array([result.state for result in results], dtype=object),
        "best_epoch": _masked([result.best_epoch for result in results]),
    }


def _columns(params: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    names = dict.fromkeys(name for some in params for name in some)
    return {name: _masked([some.get(name) for some in params]) for name in names}


def _masked(values: Sequence[Any]) -> NDArray[Any]:
    """A masked array, numbers as numbers and all else as objects; None is masked."""
    there = [value for value in values if value is not None]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in there)
    column = np.empty(len(values), dtype=np.array(there).dtype if numbers and there else object)
    for number, value in enumerate(values):
        column[number] = there[0] if value is None else value  # what is masked is looked at by no one
    return np.ma.MaskedArray(column, [value is None for value in values])


_SIGNED = ("value", "bound", "more_rows", "equal_shares")


def greater_is_better(corrected: Corrected | None, metric: Metric) -> Corrected | None:
    """A corrected score with the sign of ``best_score_``."""
    if corrected is None or metric.sign < 0:
        return corrected
    negated = {name: value and -value for name, value in vars(corrected).items() if name in _SIGNED}
    return replace(corrected, **negated, low=-corrected.high, high=-corrected.low)
