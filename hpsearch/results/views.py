"""The tables as people read them: what says most comes first, and scores are in the unit of what is predicted.

The columns of files keep their order (:mod:`hpsearch.results.tables`); here the last ones may not fit. Where the
objective or the loss is a mean of squares, its root stands before it, under the root's own name.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from hpsearch.results.metrics_table import metrics_table
from hpsearch.results.tables import curves_table, finals_table, folds_table, studies_and_objectives, trials_table
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import objective_metric
from hpsearch.validation.score import SCORE_NAMES

FIRST_METRICS = ("rmse", "mae", "r2")  # in the unit of what is predicted, or in none


def trials_view(stored: StoredStudy, front_only: bool = False) -> pd.DataFrame:
    """The trials, or only their front: their value (there with their size), what was searched, what is derived."""
    first = ["parameters"] if front_only else []
    searched = [*first, *stored.attributes["hyperparameters"]]
    return arranged_trials(trials_table(stored, front_only), stored.metric, searched)


def arranged_trials(table: pd.DataFrame, metric: Metric, searched: Sequence[str]) -> pd.DataFrame:
    """A trials table, or some rows or columns of one, in the order of :func:`trials_view`."""
    score = SCORE_NAMES[metric.task]
    if metric.root is None:
        return _ordered(table, ["number", "state", "value", *searched, score])
    with_root = _with_root(table, "rmse", "value", metric)
    return _ordered(with_root, ["number", "state", "rmse", *searched, score, "best_epoch", "value"])


def folds_view(stored: StoredStudy) -> pd.DataFrame:
    """The folds: the objective, the score, then the losses."""
    return arranged_folds(folds_table(stored), _loss(stored))


def arranged_folds(table: pd.DataFrame, loss: Metric) -> pd.DataFrame:
    """A folds table, of one trial or of many, in the order of :func:`folds_view`."""
    table = _with_root(table, "rmse", "validation_loss", loss)
    first = ["trial", "repeat", "fold", "objective", "rmse", *SCORE_NAMES.values()]
    first.insert(len(first) if loss.root is not None else 4, "validation_loss")
    return _ordered(table, [*first, "training_loss"])


def curves_view(stored: StoredStudy) -> pd.DataFrame:
    """The curves, with the roots of their losses."""
    table = curves_table(stored)
    for part in ("validation", "training"):
        table = _with_root(table, f"{part}_rmse", f"{part}_loss", _loss(stored))
    first = ["trial", "epoch", "repeat", "fold", "validation_rmse", "training_rmse", "validation_loss"]
    return _ordered(table, first)


def finals_view(stored: StoredStudy) -> pd.DataFrame:
    """The finals: which was chosen, and by what."""
    table = _with_root(finals_table(stored), "ensemble_rmse", "ensemble", stored.metric)
    table = _with_root(table, "rmse", "validation_loss", _loss(stored))
    score = SCORE_NAMES[stored.metric.task]
    first = ["trial", "repeat", "chosen", "ensemble_rmse"] if stored.metric.root else ["trial", "repeat", "chosen"]
    first += (
        ["rmse", score, "best_epoch"] if stored.metric.root else ["ensemble", "objective", "validation_loss", score]
    )
    return _ordered(table, first)


def metrics_view(stored: StoredStudy, trial: int | None = None) -> pd.DataFrame:
    """The metrics: those in the unit of what is predicted first."""
    return _ordered(metrics_table(stored, trial), ["rows_of", "repeat", "fold", "rows", *FIRST_METRICS])


def studies_view(url: str) -> pd.DataFrame:
    """The studies: what they found, then how their trials ended; scores as headlines show them."""
    table, metrics = studies_and_objectives(url)
    for name in ("best_value", "corrected", "corrected_low", "corrected_high"):
        pairs = zip(table["study"].tolist(), table[name].tolist(), strict=True)
        values = [metrics[study].in_headline(value) if study in metrics else None for study, value in pairs]
        table[name] = pd.Series(values, dtype="float64")
    titles = [metrics[study].headline.title if study in metrics else None for study in table["study"]]
    table.insert(1, "score", pd.Series(titles, dtype="str"))
    first = ["study", "score", "corrected", "corrected_low", "corrected_high", "best_value", "best_trial", "trials"]
    return _ordered(table, first)


def _loss(stored: StoredStudy) -> Metric:
    return objective_metric("loss", stored.loss)


def _with_root(table: pd.DataFrame, name: str, of: str, metric: Metric) -> pd.DataFrame:
    """A table with the root of a column, where that is a mean of squares."""
    if metric.root is None:
        return table
    return table.assign(**{name: pd.Series(map(metric.in_headline, table[of]), table.index, dtype="float64")})


def _ordered(table: pd.DataFrame, first: Sequence[str]) -> pd.DataFrame:
    """A table with these of its columns first, and the others as they were."""
    known = [name for name in first if name in table.columns]
    return table[[*known, *(name for name in table.columns if name not in known)]]
