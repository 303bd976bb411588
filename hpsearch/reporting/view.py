"""A storage as the dashboard sees it: what is stored, with notes and figures that are made here and stored nowhere."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from hpsearch.errors import DamagedStudyError
from hpsearch.storage.counts import TrialCounts, trial_counts
from hpsearch.storage.database import one_moment
from hpsearch.storage.reading import StudyRow, read_studies, read_trials
from hpsearch.storage.records import checked_trials, is_ours
from hpsearch.storage.stored_study import checked_attributes

REFRESH_SECONDS = 2.0  # between two looks at one study for news
MOST_SHARE = 0.2  # of the time that may be spent on making notes and figures of a study that is running


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise PermissionError("The dashboard shows a storage and changes nothing in it.")


def _readable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that a person can read: a record of many numbers, shown whole, would hide all else."""
    return {key: value for key, value in attributes.items() if not isinstance(value, list | dict)}


def _short(trial: FrozenTrial) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.user_attrs = _readable(trial.user_attrs)
    return shown


def _frozen(row: StudyRow) -> FrozenStudy:
    """
    Raises:
        DamagedStudyError: it cannot be read.
    """
    user, directions = row.attributes(), row.directions()
    return FrozenStudy(row.name, None, user, row.system_attributes(), row.study_id, directions=directions)


@dataclass
class Annotations:
    """What is shown beside a stored study.

    Attributes:
        attributes: of the study, as the dashboard's own functions write them.
        notes: of trials, by Optuna's number of the trial. As attributes, all of them would be gone through for each.
        trials: as they were when those were written: a trial is shown with its note, or as running.
        counts: of those trials.
        ended: how many of them had ended; -1 before the first look.
        stored: the study's own attributes then, which say what its finals found.
        due: when to look again, on the monotonic clock.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    trials: list[FrozenTrial] = field(default_factory=list)
    counts: TrialCounts = field(default_factory=TrialCounts)
    ended: int = -1
    stored: Mapping[str, Any] = field(default_factory=dict)
    due: float = 0.0


# Writes notes and figures of a study to the view, by the dashboard's own functions: (view, study, trials told before).
Annotate = Callable[["View", FrozenStudy, int], None]


class View(BaseStorage):
    """Reads go to a storage; what the dashboard's functions write about a study stays in this process.

    So nothing is written to a storage that is only looked at: a run is not slowed, a storage may be read-only, and what
    is shown is of the trials that are there now. It is looked at anew, and notes and figures are made anew when trials
    have ended, at most every ``REFRESH_SECONDS``, and so seldom that it takes at most ``MOST_SHARE`` of the time.
    """

    def __init__(self, storage: RDBStorage, annotate: Annotate) -> None:
        self.storage, self._annotate = storage, annotate
        self._annotations: dict[int, Annotations] = {}
        self._lock = threading.RLock()

    def look(self, study_id: int) -> None:
        """Bring what is shown of a study up to date, if that is due and nobody is at it already.

        Only what is asked about: of a storage with many studies the first look would take as many seconds.
        """
        known = self._annotations.setdefault(study_id, Annotations())
        if time.monotonic() < known.due or not self._lock.acquire(blocking=known.ended < 0):
            return
        try:
            begun = time.monotonic()
            if begun < known.due:  # somebody else looked while this one waited
                return
            with one_moment(self.storage, self.storage.url) as connection:
                row = next(iter(read_studies(connection, study_id)), None)
                if row is None:
                    return
                study = _frozen(row)
                counts = trial_counts(connection, study_id).get(study_id, TrialCounts())
                # Of a trial that runs there may be news which are not counted.
                if known.ended < 0 or counts != known.counts or "RUNNING" in counts.states:
                    known.trials, known.counts = read_trials(connection, study_id), counts
            if is_ours(row.keys):
                known.trials = checked_trials(known.trials, checked_attributes(row))
            ended = sum(trial.state.is_finished() for trial in known.trials)
            if ended != known.ended or study.user_attrs != known.stored:
                self._annotate(self, study, max(0, known.ended))
                known.ended, known.stored = ended, study.user_attrs
            known.due = time.monotonic() + max(REFRESH_SECONDS, (time.monotonic() - begun) / MOST_SHARE)
        finally:
            self._lock.release()

    def get_all_studies(self) -> list[FrozenStudy]:
        with one_moment(self.storage, self.storage.url) as connection:
            rows = read_studies(connection)
        studies = []
        for row in rows:
            with suppress(DamagedStudyError):
                studies.append(_frozen(row))
        for study in studies:
            known = self._annotations.get(study._study_id, Annotations())
            study.system_attrs = {**study.system_attrs, **known.attributes}
            study.user_attrs = _readable(study.user_attrs)
        return studies

    def trials(self, study_id: int) -> list[FrozenTrial]:
        """A study's trials with all that is stored of them."""
        return self._annotations.setdefault(study_id, Annotations()).trials

    def notes(self, study_id: int) -> dict[int, str]:
        """The notes of a study's trials, by Optuna's number of the trial; for who writes them too."""
        return self._annotations.setdefault(study_id, Annotations()).notes

    def study(self, name: str) -> optuna.Study:
        """The study for the dashboard's functions to write about."""
        return optuna.load_study(study_name=name, storage=self)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._annotations.setdefault(study_id, Annotations()).attributes[key] = value

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        own = self._annotations.get(study_id, Annotations()).attributes
        return {**self._row(study_id).system_attributes(), **own}

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._row(study_id).attributes()

    def _row(self, study_id: int) -> StudyRow:
        with one_moment(self.storage, self.storage.url) as connection:
            rows = read_studies(connection, study_id)
        if not rows:
            raise KeyError(f"There is no study {study_id}.")  # as storages of Optuna do
        return rows[0]

    def get_study_id_from_name(self, study_name: str) -> int:
        return self.storage.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self.storage.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._row(study_id).directions()

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return [_short(trial) for trial in self.trials(study_id) if states is None or trial.state in states]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self.storage.get_trial(trial_id)

    create_new_study = delete_study = create_new_trial = set_study_user_attr = _refuse
    set_trial_param = set_trial_state_values = set_trial_user_attr = set_trial_system_attr = _refuse
    set_trial_intermediate_value = _refuse
