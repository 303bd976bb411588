"""A study as pandas tables, with the same columns and types whatever its trials became.

============================  =======  =================================================================
``trials``: a row a trial     dtype    meaning
============================  =======  =================================================================
number                        int64    from 0, in the order of asking
state                         str      COMPLETE, PRUNED, FAIL, or RUNNING where a run was interrupted
value                         float64  objective value, by default mean validation loss; missing unless complete
standard_error                float64  of the value, over the splits; missing with a single split
best_epoch                    Int64    epoch of the chosen checkpoint
accuracy                      float64  mean over splits of the share of rows whose class was predicted, 0 to 1
r2                            float64  instead, of a regression: mean over splits of R²; missing where one has none
*hyperparameters*             by kind  one column each, as ``layer1.neurons``; missing where it does not exist
parameters                    Int64    weights and biases of one network
epochs_trained                Int64    when it ended: pruned, failed, by ``[search] patience``, or at its last epoch
seconds                       float64  training time; the one column that differs from run to run
reason                        str      why it was pruned or failed
same_as                       Int64    the earlier trial of the same configuration whose curve was used again
machine                       str      the probe of the machine that trained it, where that is not the study's
============================  =======  =================================================================

==============================  =======  ===========================================
``folds``: a row a trial, fold  dtype    at the chosen checkpoint of complete trials
==============================  =======  ===========================================
trial, repeat, fold             int64    all from 0
training_rows, validation_rows  int64    how many
training_loss, penalty          float64  their sum is what the training minimised
validation_loss                 float64  without penalty
accuracy                        float64  0 to 1
r2                              float64  instead, of a regression, at most 1
objective                       float64  only where the study's objective is not the validation loss
==============================  =======  ===========================================

==============================  =======  =======================================
``curves``: a row a checkpoint  dtype    of every trial that ended
==============================  =======  =======================================
trial, epoch, repeat, fold      int64
training_loss, validation_loss  float64  missing where it was not finite
==============================  =======  =======================================

===========================  =======  =============================================================================
``finals``: a row a finalist  dtype    the trials compared again on fresh splits, from the best of the search on
and repeat
===========================  =======  =============================================================================
trial, repeat                int64    the finalist's number; the repeat from 0
best_epoch                   Int64    of the checkpoint that the ensemble chose, one for all repeats
validation_loss              float64  there, one network: mean over the splits of this repeat
accuracy, r2                 float64  likewise, one of the two; missing where a split has none
objective                    float64  likewise, only where the study's objective is not the validation loss
ensemble                     float64  objective of the networks of all repeats averaged, the same in each row of a trial
chosen                       bool     whether the finals chose it for what ``[retrain] members`` says is shipped
seconds                      float64  training time of all repeats together
reason                       str      why it failed
===========================  =======  =============================================================================

Losses of classes are in nats, those of a regression in the target's unit, or in its square with ``squared_error``.

``studies`` has one row a study: how its trials ended, the best value of the search and its trial, which finals need not
have chosen, and the corrected score of what is shipped with its interval at 95 %
(:func:`hpsearch.search.correction.correct_shipped`; missing until a run ends). Of a damaged study, ``damage`` says what
is wrong with it, and only the number of its trials is known; it is missing for all others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hpsearch.atomic_write import write_atomically
from hpsearch.errors import HpsearchError, StorageError, did_you_mean, located, quoted
from hpsearch.extras import require
from hpsearch.storage.counts import TrialCounts, trial_counts
from hpsearch.storage.database import close, one_moment, open_storage, place
from hpsearch.storage.reading import read_studies
from hpsearch.storage.records import is_ours, objective_of
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy, checked_attributes
from hpsearch.storage.trial_result import TrialResult, front, standard_error
from hpsearch.validation.metric import Metric
from hpsearch.validation.score import SCORE_NAMES

_FOLD_TYPES = {
    **dict.fromkeys(("trial", "repeat", "fold", "training_rows", "validation_rows"), "int64"),
    **dict.fromkeys(("training_loss", "penalty", "validation_loss"), "float64"),
}
_CURVE_TYPES = {
    **dict.fromkeys(("trial", "epoch", "repeat", "fold"), "int64"),
    **dict.fromkeys(("training_loss", "validation_loss"), "float64"),
}
_STUDY_TYPES = {
    "study": "str",
    "source": "str",
    **dict.fromkeys(("trials", "complete", "pruned", "failed", "running"), "int64"),
    "best_trial": "Int64",
    **dict.fromkeys(("best_value", "corrected", "corrected_low", "corrected_high"), "float64"),
    "damage": "str",
}
FORMATS = ("csv", "json", "parquet", "table")


def trials_table(stored: StoredStudy, front_only: bool = False) -> pd.DataFrame:
    """One row a trial; the columns are described in :mod:`hpsearch.results.tables`.

    Args:
        stored: the study.
        front_only: only complete trials than which no other is better and as small, or smaller and as good; the
            smallest networks first.
    """
    kinds = stored.attributes["hyperparameters"]
    head = {"number": "int64", "state": "str", "value": "float64", "standard_error": "float64"}
    score_name = SCORE_NAMES[stored.metric.task]
    head |= {"best_epoch": "Int64", score_name: "float64"}
    tail = {"parameters": "Int64", "epochs_trained": "Int64", "seconds": "float64"}
    tail |= {"reason": "str", "same_as": "Int64", "machine": "str"}
    rows: list[dict[str, Any]] = []
    for trial in stored.trials():
        row: dict[str, Any] = {"number": trial.number, "state": trial.state.name}
        row |= {name: str(v) if kinds[name] == "str" else v for name, v in trial.params.items()}
        if trial.state.is_finished():
            result = stored_result(trial)
            row |= {key: getattr(result, key) for key in ("value", "best_epoch", "parameters", "seconds")}
            row[score_name] = result.score
            row |= {"epochs_trained": max(result.epochs, default=0), "reason": result.reason, "same_as": result.same_as}
            row |= {"machine": result.machine, "standard_error": standard_error(result)}
        rows.append(row)
    if front_only:
        rows = [rows[result.number] for result in front(_results(stored), stored.metric)]
    return frame_of(rows, {**head, **kinds, **tail})


def folds_table(stored: StoredStudy) -> pd.DataFrame:
    """One row a complete trial and fold."""
    types = {**_FOLD_TYPES, SCORE_NAMES[stored.metric.task]: "float64"}
    if stored.objective != "loss":
        types["objective"] = "float64"
    return frame_of([{"trial": r.number, **fold} for r in _results(stored) for fold in r.folds], types)


def curves_table(stored: StoredStudy) -> pd.DataFrame:
    """One row a trial, checkpoint and fold."""
    n_splits = stored.attributes["n_splits"]
    rows = []
    for result in _results(stored):
        points = zip(result.epochs, result.training_loss, result.validation_loss, strict=True)
        for epoch, training, validation in points:
            for lane, losses in enumerate(zip(training, validation, strict=True)):
                rows.append((result.number, epoch, lane // n_splits, lane % n_splits, *losses))
    return frame_of([dict(zip(_CURVE_TYPES, row, strict=True)) for row in rows], _CURVE_TYPES)


def finals_table(stored: StoredStudy) -> pd.DataFrame:
    """One row a finalist and repeat."""
    from hpsearch.search.correction import definition_of  # what other tables need not wait for
    from hpsearch.search.finals import choose, finals

    definition, score_name = definition_of(stored), SCORE_NAMES[stored.metric.task]
    evaluated = finals(stored, definition)
    choice = choose(evaluated, definition, definition.retrain.members > 1)
    head = {
        "trial": "int64",
        "repeat": "int64",
        "best_epoch": "Int64",
        "validation_loss": "float64",
        score_name: "float64",
    }
    if stored.objective != "loss":
        head["objective"] = "float64"
    tail = {"ensemble": "float64", "chosen": "bool", "seconds": "float64", "reason": "str"}
    rows = []
    for final in evaluated:
        of_trial = {
            "trial": final.number,
            "best_epoch": final.best_epoch,
            "seconds": final.seconds,
            "reason": final.reason,
        }
        of_trial |= {"ensemble": final.ensemble_value, "chosen": choice is not None and final is choice.final}
        for repeat in range(definition.search.finalist_repeats):
            folds = [fold for fold in final.folds if fold["repeat"] == repeat]
            rows.append({**of_trial, "repeat": repeat, **_means(folds, head)})
    return frame_of(rows, {**head, **tail})


def _means(folds: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, float | None]:
    """The mean over splits of those values that each of them has."""
    there = [name for name in names if folds and all(name in fold for fold in folds)]
    return {name: sum(fold[name] for fold in folds) / len(folds) for name in there if name not in ("repeat", "trial")}


def studies_table(url: str) -> pd.DataFrame:
    """One row a study of a storage; studies that are not ours are left out."""
    return studies_and_objectives(url)[0]


def studies_and_objectives(url: str) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """One row a study, and the objective of each that is whole, by its name, as they were at one moment."""
    storage = open_storage(url)
    try:
        with one_moment(storage, url) as connection:
            studies, counts = read_studies(connection), trial_counts(connection, best_trials=True)
        rows: list[dict[str, Any]] = []
        metrics: dict[str, Metric] = {}
        for study in studies:
            if not is_ours(study.keys):
                continue
            of_study = counts.get(study.study_id, TrialCounts())
            stored = StoredStudy(storage, url, study.name, study.study_id)
            try:
                with located(*place(url, study.name)):
                    attributes = checked_attributes(study)
                    if of_study.damage is not None:
                        raise of_study.damage
                metrics[study.name] = objective_of(attributes)
                rows.append(_study_row(stored, attributes, of_study, metrics[study.name]))
            except StorageError as error:  # it is damaged, or of a later format
                metrics.pop(study.name, None)
                none = dict.fromkeys(("complete", "pruned", "failed", "running"), 0)
                rows.append({"study": study.name, "trials": of_study.count, **none, "damage": str(error)})
    finally:
        close(storage)
    return frame_of(rows, _STUDY_TYPES), metrics


def _study_row(
    stored: StoredStudy, attributes: Mapping[str, Any], counts: TrialCounts, metric: Metric
) -> dict[str, Any]:
    from hpsearch.search.correction import stored_score

    fixed, states = stored_score(stored, attributes, counts.ended), counts.states
    highest = metric.direction == "maximize"
    return {
        "study": stored.name,
        "source": attributes["definition"]["data"]["source"],
        "trials": sum(states.values()),
        **{key.lower(): states.get(key, 0) for key in ("COMPLETE", "PRUNED", "RUNNING")},
        "failed": states.get("FAIL", 0),
        "best_trial": counts.highest_trial if highest else counts.lowest_trial,
        "best_value": counts.highest if highest else counts.lowest,
        "corrected": fixed and fixed.value,
        "corrected_low": fixed and fixed.low,
        "corrected_high": fixed and fixed.high,
    }


def _results(stored: StoredStudy) -> list[TrialResult]:
    return [stored_result(trial) for trial in stored.trials() if trial.state.is_finished()]


def frame_of(rows: list[dict[str, Any]], types: dict[str, str]) -> pd.DataFrame:
    """A frame with exactly these columns and types, also where there are no rows."""
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=kind) for name, kind in types.items()})


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain values, missing ones as None."""
    columns = {name: frame[name].tolist() for name in frame.columns}
    rows = zip(*columns.values(), strict=True)
    return [{n: None if pd.isna(v) else v for n, v in zip(columns, row, strict=True)} for row in rows]


def render(frame: pd.DataFrame, kind: str) -> str:
    """A table as CSV or JSON text; every float with as many digits as it takes to read it back unchanged."""
    if kind == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    return json.dumps(records(frame), indent=1) + "\n"


def write(frame: pd.DataFrame, path: Path, kind: str | None = None) -> None:
    """Write a table to a file.

    Args:
        frame: the table.
        path: the file; it is replaced.
        kind: ``csv``, ``json`` or ``parquet``; by default what the file's name ends in.

    Raises:
        HpsearchError: an unknown kind, or a file that cannot be written.
        MissingExtraError: a Parquet file without pyarrow.
    """
    kind = kind or path.suffix.removeprefix(".").lower()
    valid = [name for name in FORMATS if name != "table"]
    if kind not in valid:
        raise HpsearchError(
            f"A table can be written as {', '.join(valid)}", f"not as {quoted(kind)}", did_you_mean(kind, valid)
        )
    if kind == "parquet":
        require("pyarrow", "parquet", f"The Parquet file {path}")
    if kind == "parquet":
        write_atomically(path, lambda file: frame.to_parquet(file, index=False))
    else:
        write_atomically(path, render(frame, kind).encode())
