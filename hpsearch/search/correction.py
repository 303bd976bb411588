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
from hpsearch.search.finals import finals
from hpsearch.storage.row_results import RowResultFiles
from hpsearch.storage.stored_study import StoredStudy, stored_result
from hpsearch.storage.trial_result import TrialResult
from hpsearch.validation.metric import AdditiveMetric
from hpsearch.validation.selection import FEWEST_UNITS, MOST_WORK, Corrected, corrected

# Of the study: the corrected score of the search's best value, and that of the finals' ensemble.
_ATTRIBUTE, _ENSEMBLE = "corrected", "corrected_ensemble"


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
    return _correct(stored.row_results, definition, results)


def correct_ensemble(stored: StoredStudy, definition: StudyDefinition, finals: Sequence[TrialResult]) -> Correction:
    """The out-of-fold ensemble's value corrected for the choice among finalists and epochs.

    It is of an ensemble of as many networks as there are repeats, each trained on the training rows of a split. That
    the finalists were the best of the search on the same rows is not in it.

    Args:
        stored: the study.
        definition: its definition.
        finals: what became of the finalists, at least one of them complete.
    """
    known = stored.attributes.get(_ENSEMBLE)
    if known and known["finalists"] == [result.number for result in finals]:
        return Correction(Corrected(**known["corrected"]))
    return _correct(stored.final_row_results, definition, finals, stored.attributes["n_splits"])


def _correct(
    files: RowResultFiles, definition: StudyDefinition, results: Sequence[TrialResult], folds: int | None = None
) -> Correction:
    try:
        whole = files.layout()
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
        values = (files.of(result).of_objective[-1 if last_only else 0 :] for result in complete)
        score = corrected(values, whole, definition.metric, seeds.integer_seed(definition.seed, "resamples"), folds)
        return Correction(score, candidates)
    except StorageError as error:
        return Correction(missing=str(error).rstrip("."))


def store_score(stored: StoredStudy) -> None:
    """Store a study's corrected scores with it, for tables and for readers who do not have its per-row results."""
    results = [stored_result(trial) for trial in stored.trials() if trial.state.is_finished()]
    if all(result.value is None for result in results):
        return
    definition = definition_of(stored)
    score = correct(stored, definition, results).score
    if score is not None or not stored.attributes.get(_ATTRIBUTE):  # one of fewer trials is better than none
        stored.refresh({_ATTRIBUTE: {"told": len(results), "corrected": score and asdict(score)}})
    evaluated = finals(stored, definition)
    if any(result.ensemble is not None for result in evaluated):
        score = correct_ensemble(stored, definition, evaluated).score
        if score is not None:
            numbers = [result.number for result in evaluated]
            stored.refresh({_ENSEMBLE: {"finalists": numbers, "corrected": asdict(score)}})


def stored_score(attributes: Mapping[str, Any], told: int) -> Corrected | None:
    """The corrected score that is stored with a study, if it is of so many trials."""
    known = attributes.get(_ATTRIBUTE)
    return Corrected(**known["corrected"]) if known and known["told"] == told and known["corrected"] else None
