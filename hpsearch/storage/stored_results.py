"""Results of trials and finalists as they are stored and read again: user attributes, and rows of Optuna's tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpsearch.storage.trial_result import TrialResult
from hpsearch.validation.cross_validate import EnsembleCurve
from hpsearch.validation.score import as_plain, named_score

# One attribute each, because dashboards show attributes; all else of a result is in the one named _RECORD.
_SHOWN = ("best_epoch", "machine", "parameters", "reason", "same_as", "seconds")  # and the score, by its name
_RECORD = "record"
# Fields of a result, and their keys there.
_IN_RECORD = {name: name for name in ("epochs", "training_loss", "validation_loss", "folds")}
_IN_RECORD["pruner_attributes"] = "pruner_marks"


def intermediate_rows(values: Mapping[int, float]) -> list[dict[str, Any]]:
    """Values by epoch as rows of Optuna's table."""
    return [{"step": epoch, **_stored(value)} for epoch, value in values.items()]


def _stored(value: float) -> dict[str, Any]:
    """A number as Optuna's tables have it: databases differ in what they make of inf and nan."""
    if math.isnan(value):
        return {"intermediate_value": None, "intermediate_value_type": "NAN"}
    if math.isinf(value):
        return {"intermediate_value": None, "intermediate_value_type": "INF_POS" if value > 0 else "INF_NEG"}
    return {"intermediate_value": value, "intermediate_value_type": "FINITE"}


def attribute_rows(result: TrialResult) -> list[dict[str, Any]]:
    """A result's user attributes as rows of Optuna's table."""
    attributes = {key: getattr(result, key) for key in _SHOWN} | {result.score_name: result.score}
    shown = {key: value for key, value in sorted(attributes.items()) if value is not None}
    record = {_RECORD: {key: _without_nan(getattr(result, name)) for name, key in _IN_RECORD.items()}}
    return [{"key": key, "value_json": json.dumps(value)} for key, value in {**shown, **record}.items()]


def stored_result(trial: FrozenTrial) -> TrialResult:
    """A finished trial as its coordinator told it."""
    attributes = trial.user_attrs
    score_name, score = named_score(attributes)
    record = attributes.get(_RECORD) or {"epochs": sorted(trial.intermediate_values)}  # ended by another program
    return TrialResult(
        number=trial.number,
        state=trial.state.name,  # type: ignore[arg-type]
        value=trial.values[0] if trial.state is TrialState.COMPLETE else None,  # the others are the result's own
        intermediate=[trial.intermediate_values[epoch] for epoch in record["epochs"]],
        score=score,
        score_name=score_name,
        # What another program ended has no numbers of ours.
        **{"parameters": 0, "seconds": 0.0, **{key: attributes[key] for key in _SHOWN if key in attributes}},
        **{name: record[key] for name, key in _IN_RECORD.items() if key in record},
    )


def _without_nan(value: Any) -> Any:
    """JSON has no nan and no inf: they are stored as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    return value


# What is stored of a finalist beside its score and its ensemble. Not the curves of each split: the attributes of a
# study are read whole, and often.
_OF_FINAL = (
    *("state", "value", "parameters", "seconds", "best_epoch", "reason", "epochs", "intermediate", "folds", "machine"),
)


def final_record(result: TrialResult) -> dict[str, Any]:
    """What is stored of a finalist's result."""
    record = {name: _without_nan(getattr(result, name)) for name in _OF_FINAL}
    return {**record, result.score_name: result.score, "ensemble": result.ensemble and as_plain(result.ensemble)}


def final_result(number: int, record: Mapping[str, Any]) -> TrialResult:
    """A finalist's result, from what is stored of it.

    Args:
        number: of its trial.
        record: as :func:`final_record` makes it.
    """
    score_name, score = named_score(record)
    ensemble = record["ensemble"]
    return TrialResult(
        number=number,
        score=score,
        score_name=score_name,
        ensemble=None
        if ensemble is None
        else EnsembleCurve(
            objective=ensemble["objective"],
            loss=ensemble["loss"],
            score=ensemble[score_name],
            score_name=score_name,
        ),
        **{name: record[name] for name in _OF_FINAL},
    )
