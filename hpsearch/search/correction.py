"""The corrected score of a stored study: what its best value is without the luck of having been the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch import seeds
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import StorageError
from hpsearch.storage.stored_study import StoredStudy, stored_result
from hpsearch.storage.trial_result import TrialResult
from hpsearch.validation.metric import AdditiveMetric
from hpsearch.validation.selection import FEWEST_UNITS, MOST_WORK, Corrected, corrected

_ATTRIBUTE = "corrected"  # of the study


@dataclass(frozen=True)
class Correction:
    """The corrected score of a study's best value, or why there is none.

    Attributes:
        score: the corrected score.
        candidates: what the best value was chosen among, complete trials and checkpoints; None where not counted.
        missing: why there is no score, as the end of a sentence.
    """

    score: Corrected | None = None
    candidates: int | None = None
    missing: str | None = None


def definition_of(stored: StoredStudy) -> StudyDefinition:
    """The definition that a stored study was begun with."""
    attributes = stored.attributes
    return StudyDefinition.from_mapping(attributes["definition"], Path(attributes["folder"]))


def correct(stored: StoredStudy, definition: StudyDefinition, results: Sequence[TrialResult]) -> Correction:
    """The best value corrected for having been chosen.

    Args:
        stored: the study.
        definition: its definition.
        results: of the trials that ended, at least one of them complete.
    """
    if (known := stored_score(stored.attributes, len(results))) is not None:
        return Correction(known)
    try:
        whole = stored.row_results.layout()
        layout = whole.take(whole.counted())
        if layout.units is None:
            return Correction(missing="rows that follow each other in time cannot be drawn independently")
        if len(np.unique(layout.units)) < FEWEST_UNITS:
            return Correction(missing=f"that takes at least {FEWEST_UNITS} independent rows or groups")
        classes = np.unique(np.stack([layout.labels, layout.units]), axis=1)[0]  # of each unit, those it has
        if definition.metric.needs_every_class and np.bincount(classes).min() < FEWEST_UNITS:
            return Correction(missing=f"that takes at least {FEWEST_UNITS} independent rows or groups of each class")
        complete = [result for result in results if result.value is not None]
        last_only = definition.validation.checkpoint == "last"
        candidates = len(complete) * (1 if last_only else len(complete[0].epochs))
        if candidates == 1:
            return Correction(candidates=1, missing="nothing was chosen: there is one candidate")
        work = len(layout.rows) * max(1, layout.classes) * candidates
        if not isinstance(definition.metric, AdditiveMetric) and work > MOST_WORK:
            title = definition.metric.title
            return Correction(missing=f"with {title} it would take long for so many rows, classes and trials")
        values = (stored.row_results.of(result).of_objective[-1 if last_only else 0 :] for result in complete)
        score = corrected(values, whole, definition.metric, seeds.integer_seed(definition.seed, "resamples"))
        return Correction(score, candidates)
    except StorageError as error:
        return Correction(missing=str(error).rstrip("."))


def store_score(stored: StoredStudy) -> None:
    """Store a study's corrected score with it, for tables and for readers who do not have its per-row results."""
    results = [stored_result(trial) for trial in stored.trials() if trial.state.is_finished()]
    if any(result.value is not None for result in results):
        score = correct(stored, definition_of(stored), results).score
        if score is None and stored.attributes.get(_ATTRIBUTE):
            return  # one of fewer trials is better than none
        stored.refresh({_ATTRIBUTE: {"told": len(results), "corrected": score and asdict(score)}})


def stored_score(attributes: Mapping[str, Any], told: int) -> Corrected | None:
    """The corrected score that is stored with a study, if it is of so many trials."""
    known = attributes.get(_ATTRIBUTE)
    return Corrected(**known["corrected"]) if known and known["told"] == told and known["corrected"] else None
