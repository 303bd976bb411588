"""The corrected score of a stored study: what it ships scores on new rows, without the luck of the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch import seeds
from hpsearch.arrays import Array
from hpsearch.data.splits import SPLITTERS
from hpsearch.definition.sections import RetrainSection
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import StorageError, StorageLostError
from hpsearch.search.finals import Choice, choose, finals, is_of
from hpsearch.search.stored_choices import require_of_space
from hpsearch.storage.row_results import RowResultFiles
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult, best_result
from hpsearch.validation.learning_curve import LearningCurve, Point, reach
from hpsearch.validation.metric import AdditiveMetric
from hpsearch.validation.selection import FEWEST_UNITS, MOST_WORK, Corrected, corrected
from hpsearch.validation.stratification import stratified_optimism

_SEARCH, _SHIPPED = "corrected", "corrected_shipped"  # attributes of the study


@dataclass(frozen=True)
class Correction:
    """A corrected score, or why there is none.

    Attributes:
        score: the corrected score.
        candidates: what was chosen among, complete trials and checkpoints; None where not counted.
        missing: why there is no score, as the end of a sentence.
        no_curve: of an ensemble, why it is about networks that trained on the rows of a split, likewise; None where it
            is about networks that train on all rows.
    """

    score: Corrected | None = None
    candidates: int | None = None
    missing: str | None = None
    no_curve: str | None = None


@dataclass(frozen=True)
class _OfSearch:
    """The corrected score of the search as it is stored: of so many trials; None where that could not be told."""

    told: int
    corrected: Corrected | None


@dataclass(frozen=True)
class _OfShipped:
    """That of what is shipped as it is stored, and what it is made of."""

    told: int
    of: list[Any]
    corrected: Corrected
    no_curve: str | None


def definition_of(stored: StoredStudy) -> StudyDefinition:
    """The definition that a stored study was begun with, on the rows that it was opened with, if there are any.

    Raises:
        DamagedStudyError: it cannot be, or trials chose what it does not search.
    """
    attributes = stored.attributes
    with stored.reading("its definition"):
        definition = StudyDefinition.from_mapping(attributes["definition"], Path(attributes["folder"])).as_stored()
        require_of_space(stored, definition)
    return definition if stored.rows is None else definition.with_rows(stored.rows)


def correct(
    stored: StoredStudy, definition: StudyDefinition, results: Sequence[TrialResult], *, all_of_them: bool = True
) -> Correction:
    """The search's best value corrected for having been chosen; it is of single networks, one a split.

    Args:
        stored: the study.
        definition: its definition.
        results: of the trials that ended, at least one of them complete.
        all_of_them: whether they are all that ended; otherwise those that a choice was made among.
    """
    known = stored.decoded(_SEARCH, _OfSearch) if all_of_them else None
    if known is not None and known.told == len(results) and _is_current(known.corrected):
        return Correction(known.corrected)
    try:
        return _correct(selection_of_search(stored, definition, results), definition)
    except StorageLostError:  # that is no lack of per-row results
        raise
    except StorageError as error:
        return Correction(missing=str(error).rstrip("."))


def correct_shipped(
    stored: StoredStudy,
    definition: StudyDefinition,
    evaluated: Sequence[TrialResult],
    of_search: Correction,
    *,
    all_of_them: bool = True,
) -> Correction:
    """What the ensemble that is shipped loses on new rows: the finals' number, corrected.

    It begins with the out-of-fold ensemble of the finals, which :func:`~hpsearch.validation.selection.corrected`
    corrects for the choice among finalists and epochs. And:

    1. In stratified folds a log loss is too low (:mod:`hpsearch.validation.stratification`).
    2. The finalists are themselves the best of a search on the same rows, and its proposals have followed their luck.
       The search's own corrected score is about such a choice, but of a poorer one, made on some of the rows. Single
       networks of the chosen finalist tell by how much, on the finals' fresh splits: the truth lies between the two,
       and half of the difference is added, if there is one. Why half has no theory; it was chosen on studies of its own
       and measured on others (tests/benchmarks/honesty.py).
    3. The learning curve is extrapolated from K - 1 folds to all rows (:mod:`hpsearch.validation.learning_curve`).

    The networks averaged are as many as there are repeats in the finals. Where more are shipped, they lose no more on
    average, for a convex loss.

    Args:
        stored: the study.
        definition: its definition.
        evaluated: what became of the finalists, at least one of them complete.
        of_search: the corrected score of the search, with the same trials.
        all_of_them: whether those are all finalists; otherwise those that a choice was made among.
    """
    fewer = _chosen(stored, definition, evaluated)[1]
    known = stored.decoded(_SHIPPED, _OfShipped)
    if known is not None and known.of == _key(evaluated, fewer, of_search) and _is_current(known.corrected):
        return Correction(known.corrected, no_curve=known.no_curve)
    try:
        selection = selection_of_finals(stored, definition, evaluated, of_search)
        one_had = all_of_them or fewer is not None
        no_curve = selection.no_curve if one_had else "only the best of all was trained with fewer rows"
        return replace(_correct(selection, definition), no_curve=no_curve)
    except StorageLostError:  # that is no lack of per-row results
        raise
    except StorageError as error:
        return Correction(missing=str(error).rstrip("."))


@dataclass(frozen=True)
class Selection:
    """What a study chose among, and what a corrected score is made of beside that.

    Attributes:
        files: per-row results of the candidates.
        results: the trials or finalists that ended.
        chosen: one of them.
        last_only: whether only last checkpoints could be chosen.
        equal_shares, optimism, folds, curve: see :func:`~hpsearch.validation.selection.corrected`.
        no_curve: why there is no learning curve, as the end of a sentence; None where there is one.
    """

    files: RowResultFiles
    results: Sequence[TrialResult]
    chosen: TrialResult
    last_only: bool
    equal_shares: float
    optimism: float = 0.0
    folds: int | None = None
    curve: LearningCurve | None = None
    no_curve: str | None = None

    @property
    def complete(self) -> list[TrialResult]:
        """The candidates."""
        return [result for result in self.results if result.value is not None]

    @property
    def candidates(self) -> int:
        """Trials × checkpoints that could be chosen."""
        return sum(1 if self.last_only else len(result.epochs) for result in self.complete)

    def choosable(self, values: Array) -> Array:
        """Of values at all checkpoints (T, …) those at the ones that could be chosen."""
        return values[-1 if self.last_only else 0 :]


def selection_of_search(
    stored: StoredStudy, definition: StudyDefinition, results: Sequence[TrialResult], number: int | None = None
) -> Selection:
    """The choice of a trial and a checkpoint, by the search alone; with a number, of a checkpoint of that trial.

    Raises:
        StorageError: the per-row results are not there.
    """
    if number is not None:
        results = [result for result in results if result.number == number]
    best, files = best_result(results, definition.metric), stored.row_results
    assert best is not None
    last_only = definition.validation.checkpoint == "last"
    return Selection(files, results, best, last_only, equal_shares_of(files, definition, best))


def selection_of_finals(
    stored: StoredStudy, definition: StudyDefinition, evaluated: Sequence[TrialResult], of_search: Correction
) -> Selection:
    """The choice of a finalist and an epoch for an ensemble; see :func:`correct_shipped`.

    Raises:
        StorageError: the per-row results are not there.
    """
    choice, fewer = _chosen(stored, definition, evaluated)
    curve, no_curve = _learning_curve(stored, choice, fewer)
    files, sign = stored.final_row_results, definition.metric.sign
    shares, optimism = equal_shares_of(files, definition, choice.final), 0.0
    if of_search.score is not None:
        single = choice.final.intermediate[choice.final.epochs.index(choice.epoch)]
        optimism = max(0.0, sign * (of_search.score.value - single) - shares) / 2
    last_only, folds = definition.validation.checkpoint == "last", stored.attributes["n_splits"]
    return Selection(files, evaluated, choice.final, last_only, shares, optimism, folds, curve, no_curve)


def loss_with_rows(stored: StoredStudy, choice: Choice) -> tuple[Point, Point] | None:
    """The mean losses of the chosen finalist's out-of-fold ensembles: with fewer rows, and with those of a split.

    None where it was not trained on fewer rows.
    """
    fewer, more = stored.fewer_rows(), choice.final
    if fewer is None or fewer.ensemble is None or more.ensemble is None or not is_of(fewer, choice):
        return None
    at = more.epochs.index(choice.epoch)
    return Point(_rows(fewer), float(np.mean(fewer.ensemble.loss))), Point(_rows(more), more.ensemble.loss[at])


def _rows(result: TrialResult) -> float:
    """How many rows a network trained on, on average over the splits."""
    return float(np.mean([fold["training_rows"] for fold in result.folds]))


def _chosen(
    stored: StoredStudy, definition: StudyDefinition, evaluated: Sequence[TrialResult]
) -> tuple[Choice, TrialResult | None]:
    """What the finals chose for an ensemble, and what became of it with fewer rows, if that is known."""
    choice, fewer = choose(evaluated, definition, ensemble=True), stored.fewer_rows()
    assert choice is not None
    return choice, fewer if is_of(fewer, choice) else None


def _key(evaluated: Sequence[TrialResult], fewer: TrialResult | None, of_search: Correction) -> list[Any]:
    """What the corrected score of what is shipped is made of, in plain values."""
    curve = None if fewer is None else [fewer.number, *fewer.epochs, fewer.state]
    return [[result.number for result in evaluated], curve, of_search.score and of_search.score.value]


def _learning_curve(
    stored: StoredStudy, choice: Choice, fewer: TrialResult | None
) -> tuple[LearningCurve | None, str | None]:
    """Of the chosen finalist, or why there is none."""
    if fewer is None:
        return None, "the finals have not come to their end: run the study again"
    if fewer.ensemble is None:
        return None, f"with a further fold left out {fewer.reason}"
    try:
        more = stored.final_row_results.of(choice.final).of_objective
        rows = stored.fewer_row_results.of(fewer)
    except StorageError as error:
        return None, str(error).rstrip(".")
    place = choice.final.epochs.index(choice.epoch)
    whole = float(np.mean([fold["training_rows"] + fold["validation_rows"] for fold in choice.final.folds]))
    how_far = reach(_rows(fewer), _rows(choice.final), whole)
    return LearningCurve(more[place : place + 1], rows.of_objective, how_far), None


LOG_LOSSES = ("cross_entropy", "binary_cross_entropy")


def has_equal_shares(definition: StudyDefinition, weights: Array | None) -> bool:
    """Whether a log loss is trained, and training and validation rows of a split have the same shares of the classes.

    Rows or classes that count by weights have other shares in the training.
    """
    kind = SPLITTERS[definition.validation.splitter]
    unweighted = weights is None and definition.train.class_weight is None
    return kind.stratifies and kind.needs is None and unweighted and definition.loss in LOG_LOSSES


def equal_shares_of(files: RowResultFiles, definition: StudyDefinition, result: TrialResult) -> float:
    """By how much the objective is too low because all folds have the same shares of the classes.

    Raises:
        StorageError: the per-row results are not there.
    """
    layout = files.layout()
    if definition.search.objective not in ("loss", "log_loss") or not has_equal_shares(definition, layout.weights):
        return 0.0
    return stratified_optimism(layout.labels, files.of(result).predictions, len(np.unique(layout.rows)))


def _correct(selection: Selection, definition: StudyDefinition) -> Correction:
    """
    Raises:
        StorageError: the per-row results are not there.
    """
    files, candidates = selection.files, selection.candidates
    whole = files.layout()
    layout = whole.take(whole.counted())
    if layout.units is None:
        return Correction(missing="rows that follow each other in time cannot be drawn independently")
    if len(np.unique(layout.units)) < FEWEST_UNITS:
        return Correction(missing=f"that takes at least {FEWEST_UNITS} independent rows or groups")
    classes = np.unique(np.stack([layout.labels, layout.units]), axis=1)[0]  # of each unit, those it has
    if definition.metric.needs_every_class and np.bincount(classes).min() < FEWEST_UNITS:
        return Correction(missing=f"that takes at least {FEWEST_UNITS} independent rows or groups of each class")
    if candidates == 1 and selection.folds is None:  # that of the finals was judged on fresh splits
        return Correction(candidates=1, missing="nothing was chosen: there is one candidate")
    work = len(layout.rows) * max(1, layout.classes) * candidates
    if not isinstance(definition.metric, AdditiveMetric) and work > MOST_WORK:
        title = definition.metric.title
        return Correction(missing=f"with {title} it would take long for so many rows, classes and trials")
    values = (selection.choosable(files.of(result).of_objective) for result in selection.complete)
    seed = seeds.integer_seed(definition.seed, "resamples")
    score = corrected(
        values,
        whole,
        definition.metric,
        seed,
        selection.folds,
        selection.curve,
        selection.optimism,
        selection.equal_shares,
    )
    return Correction(score, candidates)


def store_score(stored: StoredStudy) -> None:
    """Store a study's corrected scores with it, for tables and for readers who do not have its per-row results."""
    trials = stored.trials()
    results = [stored_result(trial) for trial in trials if trial.state.is_finished()]
    if all(result.value is None for result in results):
        return
    definition = definition_of(stored)
    of_search = correct(stored, definition, results)
    score = of_search.score
    earlier = stored.decoded(_SEARCH, _OfSearch)
    if score is not None or earlier is None or earlier.corrected is None:  # one of fewer trials is better than none
        stored.refresh({_SEARCH: {"told": len(results), "corrected": score and asdict(score)}})
    evaluated = finals(stored, definition, trials)
    if definition.retrain.members > 1 and any(result.ensemble is not None for result in evaluated):
        found = correct_shipped(stored, definition, evaluated, of_search)
        if found.score is not None:
            key = _key(evaluated, _chosen(stored, definition, evaluated)[1], of_search)
            record = {"told": len(results), "of": key, "corrected": asdict(found.score), "no_curve": found.no_curve}
            stored.refresh({_SHIPPED: record})


def stored_score(stored: StoredStudy, attributes: Mapping[str, Any], told: int) -> Corrected | None:
    """The corrected score that is stored with a study of so many trials: of what it ships, where that is known.

    Args:
        stored: the study.
        attributes: what is stored of it.
        told: how many trials have ended.

    Raises:
        DamagedStudyError: it is not as it was stored.
    """
    of_search = stored.decoded(_SEARCH, _OfSearch, attributes)
    shipped = stored.decoded(_SHIPPED, _OfShipped, attributes)
    with stored.reading("its definition"):
        members = RetrainSection(**attributes["definition"].get("retrain", {})).members
    if shipped is not None and members > 1 and shipped.told == told:
        return shipped.corrected
    if of_search is None or of_search.told != told or not _is_current(of_search.corrected):
        return None
    return of_search.corrected


def require_scores(stored: StoredStudy) -> None:
    """
    Raises:
        DamagedStudyError: the corrected scores that are stored with the study are not as they were stored.
    """
    stored_score(stored, stored.attributes, 0)


def is_scored(attributes: Mapping[str, Any], told: int) -> bool:
    """Whether a run came to its end when so many trials had been told, with a score or without one."""
    return any(record and record["told"] == told for record in map(attributes.get, (_SEARCH, _SHIPPED)))


def _is_current(stored_before: Corrected | None) -> bool:
    """Whether a stored corrected score is made as they are now: earlier ones have no error."""
    return stored_before is not None and stored_before.standard_error is not None
