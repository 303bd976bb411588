"""How every study of a storage is getting on, cheaply enough to be asked every few seconds."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import HpsearchError, StorageError
from hpsearch.search.coordinator import trials_wanted
from hpsearch.search.correction import is_scored, stored_score
from hpsearch.storage.counts import TrialCounts, trial_counts
from hpsearch.storage.database import one_moment
from hpsearch.storage.lock import is_owned
from hpsearch.storage.reading import StudyRow, read_studies
from hpsearch.storage.records import is_ours
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy, checked_attributes
from hpsearch.validation.metric import Metric
from hpsearch.validation.selection import Corrected

State = Literal["running", "finished", "interrupted", "not begun", "unknown", "damaged"]


@dataclass(frozen=True)
class Standing:
    """How one study is getting on.

    Attributes:
        study_id: its number in the storage.
        name: the study's.
        ours: whether hpsearch made it.
        state: ``unknown`` of studies that hpsearch did not make.
        counts: its trials.
        wanted: how many trials there shall be; None where that is not known.
        best: the best value of the first objective; None if no trial is complete.
        metric: what the value is of; None where that is not known.
        corrected: the corrected score; None until a run ends.
        version: how many trials ended, and a checksum of all that is stored beside them.
    """

    study_id: int
    name: str
    ours: bool
    state: State
    counts: TrialCounts
    wanted: int | None
    best: float | None
    metric: Metric | None
    corrected: Corrected | None
    version: str


@dataclass
class Overview:
    """The studies of a storage; what is costly to know of one is known until it changes."""

    storage: RDBStorage
    url: str
    _definitions: dict[int, tuple[Any, StudyDefinition | None]] = field(default_factory=dict)
    _wanted: dict[int, tuple[int, int]] = field(default_factory=dict)

    def studies(self) -> list[Standing]:
        """Of every study, the newest first.

        Raises:
            StorageError: a database that cannot be read.
        """
        return self._standings()

    def study(self, study_id: int) -> Standing | None:
        """Of one study; None if there is none of this number.

        Raises:
            StorageError: a database that cannot be read.
        """
        return next(iter(self._standings(study_id)), None)

    def _standings(self, study_id: int | None = None) -> list[Standing]:
        with one_moment(self.storage, self.url) as connection:
            rows, counts = read_studies(connection, study_id), trial_counts(connection, study_id)
        found = []
        for row in sorted(rows, key=lambda row: -row.study_id):
            of_study = counts.get(row.study_id, TrialCounts())
            try:
                found.append(self._standing(row, of_study))
            except StorageError:  # it is damaged, or of a later format: whoever opens it is told what is wrong
                found.append(_damaged(row, of_study))
        return found

    def stored(self, study: Standing) -> StoredStudy:
        """The study itself, as it is now.

        Raises:
            StorageError: a database that cannot be read.
            DamagedStudyError: the study is not as it was stored.
        """
        return StoredStudy(self.storage, self.url, study.name, study.study_id).at_one_moment()

    def _standing(self, row: StudyRow, counts: TrialCounts) -> Standing:
        """
        Raises:
            DamagedStudyError: it is not as it was stored.
        """
        if counts.damage is not None:
            raise counts.damage
        ours, study_id = is_ours(row.keys), row.study_id
        attributes = checked_attributes(row) if ours else row.attributes()
        best = counts.highest if row.directions()[0] is StudyDirection.MAXIMIZE else counts.lowest
        definition = self._definition(study_id, attributes) if ours else None
        state: State = "unknown"
        wanted = corrected = None
        if ours:
            stored = StoredStudy(self.storage, self.url, row.name, study_id)
            corrected = stored_score(stored, attributes, counts.ended)
            wanted = None if definition is None else self._trials_wanted(stored, definition, attributes, counts.ended)
            state = _state(is_owned(stored), counts, wanted, definition, attributes)
        return Standing(
            study_id=study_id,
            name=row.name,
            ours=ours,
            state=state,
            counts=counts,
            wanted=wanted,
            best=best,
            metric=None if definition is None else definition.metric,
            corrected=corrected,
            version=f"{counts.ended}-{crc32(json.dumps(attributes, sort_keys=True).encode()):08x}",
        )

    def _definition(self, study_id: int, attributes: dict[str, Any]) -> StudyDefinition | None:
        """The study's definition, if this version of hpsearch can read it."""
        raw = (attributes["definition"], attributes.get("folder", "."))
        known = self._definitions.get(study_id)
        if known is None or known[0] != raw:
            try:
                definition = StudyDefinition.from_mapping(raw[0], Path(raw[1]))
            except HpsearchError:
                definition = None
            known = self._definitions[study_id] = (raw, definition)
        return known[1]

    def _trials_wanted(
        self, stored: StoredStudy, definition: StudyDefinition, attributes: dict[str, Any], ended: int
    ) -> int:
        limit: int = attributes.get("limit") or definition.limit  # studies stored before do not say
        if definition.search.stop is None:
            return limit
        known = self._wanted.get(stored.study_id)
        if known is None or known[0] != ended:
            results = [stored_result(trial) for trial in stored.trials() if trial.state.is_finished()]
            known = self._wanted[stored.study_id] = (ended, trials_wanted(definition, results, limit))
        return known[1]


def _damaged(row: StudyRow, counts: TrialCounts) -> Standing:
    """A study that is not as it was stored."""
    return Standing(
        study_id=row.study_id,
        name=row.name,
        ours=True,
        state="damaged",
        counts=replace(counts, lowest=None, highest=None),
        wanted=None,
        best=None,
        metric=None,
        corrected=None,
        version=f"{counts.ended}-{crc32(repr(row).encode('utf-8', 'backslashreplace')):08x}",
    )


def _state(
    owned: bool,
    counts: TrialCounts,
    wanted: int | None,
    definition: StudyDefinition | None,
    attributes: dict[str, Any],
) -> State:
    if owned:
        return "running"
    if definition is None or wanted is None:
        return "unknown"
    if counts.ended < wanted:
        return "interrupted" if counts.states else "not begun"
    with_finals = bool(definition.finalists) and counts.lowest is not None and math.isfinite(counts.lowest)
    return "interrupted" if with_finals and not is_scored(attributes, counts.ended) else "finished"
