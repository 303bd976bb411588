"""How far the studies of a storage are, in a query or two: for a list that is looked at again every few seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from optuna.trial import TrialState

from hpsearch.errors import DamagedStudyError
from hpsearch.storage.reading import finite, local_time, member, whole

_TRIALS = sa.table(
    "trials",
    *map(sa.column, ("trial_id", "number", "study_id", "state", "datetime_complete")),
)
_VALUES = sa.table("trial_values", *map(sa.column, ("trial_id", "objective", "value")))
_WITH_VALUES = _TRIALS.outerjoin(_VALUES, sa.and_(_VALUES.c.trial_id == _TRIALS.c.trial_id, _VALUES.c.objective == 0))
_COUNTED = (
    sa.select(
        _TRIALS.c.study_id,
        _TRIALS.c.state,
        sa.func.count(),
        sa.func.max(_TRIALS.c.datetime_complete),
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
        count: how many there are.
        states: how many are in each of Optuna's states, by its name; none that is 0.
        last: when the last one ended, in the local time of this process; None before.
        lowest: the lowest value of the complete ones, of the first objective; None if none is complete.
        highest: and the highest.
        lowest_trial: the number of the first trial with the lowest value; None where nobody asked.
        highest_trial: and of the first with the highest.
        damage: why these cannot be told; None where they can.
    """

    count: int = 0
    states: dict[str, int] = field(default_factory=dict)
    last: datetime | None = None
    lowest: float | None = None
    highest: float | None = None
    lowest_trial: int | None = None
    highest_trial: int | None = None
    damage: DamagedStudyError | None = None

    @property
    def ended(self) -> int:
        """How many have ended, whatever became of them."""
        return sum(self.states.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))


def trial_counts(
    connection: sa.Connection, study_id: int | None = None, best_trials: bool = False
) -> dict[int, TrialCounts]:
    """By study, those that have trials.

    Args:
        connection: to a moment of a storage.
        study_id: only this one; None for all.
        best_trials: also look for the trials with the lowest and the highest values.
    """
    found: dict[int, TrialCounts] = {}
    query = _COUNTED if study_id is None else _COUNTED.where(_TRIALS.c.study_id == study_id)
    for study, state, count, last, lowest, highest in connection.execute(query):
        counts = found.setdefault(study, TrialCounts())
        counts.count += count
        with _noted(counts):
            counts.states[member(TrialState, state, "the state of a trial").name] = count
            counts.last = max(filter(None, (counts.last, local_time(last))), default=None)
            if state == "COMPLETE" and lowest is not None:
                counts.lowest, counts.highest = (finite(end, "an objective value") for end in (lowest, highest))
    for study, value, number in connection.execute(_FIRST) if best_trials else ():
        counts = found[study]
        with _noted(counts):
            if value == counts.lowest:
                counts.lowest_trial = whole(number, "the number of a trial")
            if value == counts.highest:
                counts.highest_trial = whole(number, "the number of a trial")
    return found


@contextmanager
def _noted(counts: TrialCounts) -> Iterator[None]:
    """A study that is damaged keeps nobody from the others."""
    try:
        yield
    except DamagedStudyError as error:
        counts.damage = error
