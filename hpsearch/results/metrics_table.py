"""Every metric of one trial's out-of-fold predictions.

==============  =======  ==========================================================================================
column          dtype    meaning
==============  =======  ==========================================================================================
rows_of         str      ``fold``: the validation rows of one split; ``all``: those of all splits together (pooled)
repeat, fold    Int64    from 0; missing for all
rows            int64    how many; where the rows are dealt into folds several times, each counts once a repeat
*metrics*       float64  one column each of the task's; missing where undefined, as for rows that lack a class
==============  =======  ==========================================================================================

Rows count by their weights, if the data have any. The predictions are those of the trial's chosen checkpoint, each
row's by the network that was not trained on it. A metric of all rows together is not the mean over folds where it ranks
rows, as ROC AUC does, or counts classes: then it also compares predictions of different networks (Forman & Scholz
2010).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hpsearch.errors import HpsearchError
from hpsearch.results.best import find_best
from hpsearch.results.tables import frame_of
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult
from hpsearch.validation.metrics import metrics_of

_TYPES = {"rows_of": "str", "repeat": "Int64", "fold": "Int64", "rows": "int64"}


def metrics_table(stored: StoredStudy, trial: int | None = None) -> pd.DataFrame:
    """One row a split and one for all; the columns are described in :mod:`hpsearch.results.metrics_table`.

    Args:
        stored: the study.
        trial: the number of a complete trial; the best one's if None.

    Raises:
        HpsearchError: no such trial, or one that is not complete.
        StorageError: its predictions are not there any more.
    """
    result = _complete(stored, trial)
    layout, given = stored.row_results.layout(), stored.row_results.of(result).predictions
    classes, metrics = given.shape[1], metrics_of(stored.loss)

    def row(rows_of: str, places: np.ndarray[Any, Any], **which: int) -> dict[str, Any]:
        labels, predictions = layout.labels[places], given[places]
        weights = None if layout.weights is None else layout.weights[places]
        values = {name: metric.score(labels, predictions, classes, weights) for name, metric in metrics.items()}
        return {"rows_of": rows_of, **which, "rows": len(labels), **values}

    rows = [
        row("fold", np.flatnonzero(layout.splits == number), repeat=fold["repeat"], fold=fold["fold"])
        for number, fold in enumerate(result.folds)
    ]
    types = _TYPES | dict.fromkeys(metrics, "float64")
    return frame_of([*rows, row("all", np.arange(len(layout.labels)))], types)


def _complete(stored: StoredStudy, trial: int | None) -> TrialResult:
    if trial is None:
        return find_best(stored).result
    trials = stored.trials()
    found = trials[trial] if 0 <= trial < len(trials) else None
    if found is None or found.state.name != "COMPLETE":
        got = f"there is no trial {trial}" if found is None else f"trial {trial} is {found.state.name}"
        raise HpsearchError(f"Metrics need a complete trial of {stored.name!r}", got, "Choose one that is COMPLETE.")
    return stored_result(found)
