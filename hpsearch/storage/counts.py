"""How far the studies of a storage are, in a query or two: for a list that is looked at again every few seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from optuna.storages import RDBStorage

from hpsearch.storage.database import clear_errors, close, closed_on_error, one_moment, open_storage
from hpsearch.storage.trials import local_time

_TRIALS = sa.table(
    "trials",
    *map(sa.column, ("trial_id", "number", "study_id", "state")),
    sa.column("datetime_complete", sa.DateTime),
)
_VALUES = sa.table("trial_values", *map(sa.column, ("trial_id", "objective", "value")))
_WITH_VALUES = _TRIALS.outerjoin(_VALUES, sa.and_(_VALUES.c.trial_id == _TRIALS.c.trial_id, _VALUES.c.objective == 0))
_COUNTED = (
    sa.select(
        _TRIALS.c.study_id,
        _TRIALS.c.state,
        sa.func.count(),
        sa.func.max(_TRIALS.c.datetime_complete, type_=sa.DateTime),
        sa.func.min(_VALUES.c.value).label("lowest"),
        sa.func.max(_VALUES.c.value).label("highest"),
    )
    .select_from(_WITH_VALUES)
    .group_by(_TRIALS.c.study_id, _TRIALS.c.state)
)
_IS_COMPLETE = sa.cast(_TRIALS.c.state, sa.String) == "COMPLETE"  # a server has a type of its own for states
_ENDS = _COUNTED.where(_IS_COMPLETE).subquery()
_FIRST = (
    sa.select(_TRIALS.c.study_id, _VALUES.c.value, sa.func.min(_TRIALS.c.number))
    .select_from(_WITH_VALUES.join(_ENDS, _ENDS.c.study_id == _TRIALS.c.study_id))
    .where(_IS_COMPLETE, _VALUES.c.value.in_([_ENDS.c.lowest, _ENDS.c.highest]))
    .group_by(_TRIALS.c.study_id, _VALUES.c.value)
)


@dataclass
class TrialCounts:
    """The trials of one study.

    Attributes:
        states: how many are in each of Optuna's states, by its name; none that is 0.
        last: when the last one ended, in the local time of this process; None before.
        lowest: the lowest value of the complete ones, of the first objective; None if none is complete.
        highest: and the highest.
        lowest_trial: the number of the first trial with the lowest value; None where nobody asked.
        highest_trial: and of the first with the highest.
    """

    states: dict[str, int] = field(default_factory=dict)
    last: datetime | None = None
    lowest: float | None = None
    highest: float | None = None
    lowest_trial: int | None = None
    highest_trial: int | None = None

    @property
    def ended(self) -> int:
        """How many have ended, whatever became of them."""
        return sum(self.states.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))


def trial_counts(storage: RDBStorage, study_id: int | None = None) -> dict[int, TrialCounts]:
    """By study, those that have trials.

    Args:
        storage: as it was at one moment.
        study_id: only this one; None for all.
    """
    found: dict[int, TrialCounts] = {}
    query = _COUNTED if study_id is None else _COUNTED.where(_TRIALS.c.study_id == study_id)
    for study, state, count, last, lowest, highest in storage.scoped_session().execute(query):
        counts = found.setdefault(study, TrialCounts())
        counts.states[state] = count
        counts.last = max(filter(None, (counts.last, local_time(last))), default=None)
        if state == "COMPLETE":
            counts.lowest, counts.highest = lowest, highest
    return found


def listed(url: str) -> list[tuple[str, dict[str, Any], TrialCounts]]:
    """Of every study its name, its attributes and its trials with the best ones, as they were at one moment.

    Raises:
        StorageError: a database that cannot be opened or read.
    """
    with closed_on_error(open_storage(url)) as storage, clear_errors(url), one_moment(storage) as then:
        studies, counts = then.get_all_studies(), trial_counts(then)
        for study, value, number in then.scoped_session().execute(_FIRST):
            if value == counts[study].lowest:
                counts[study].lowest_trial = number
            if value == counts[study].highest:
                counts[study].highest_trial = number
    close(storage)
    return [(study.study_name, study.user_attrs, counts.get(study._study_id, TrialCounts())) for study in studies]
