"""How far the studies of a storage are, in one query: for a list that is looked at again every few seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from hpsearch.errors import DamagedStudyError
from hpsearch.storage.database import snapshot
from hpsearch.storage.reading import finite, local_time, member

_TRIALS = sa.table(
    "trials",
    *map(sa.column, ("trial_id", "study_id", "state", "datetime_complete")),
)
_VALUES = sa.table("trial_values", *map(sa.column, ("trial_id", "objective", "value")))
_QUERY = (
    sa.select(
        _TRIALS.c.study_id,
        _TRIALS.c.state,
        sa.func.count(),
        sa.func.max(_TRIALS.c.datetime_complete),
        sa.func.min(_VALUES.c.value),
        sa.func.max(_VALUES.c.value),
    )
    .select_from(
        _TRIALS.outerjoin(_VALUES, sa.and_(_VALUES.c.trial_id == _TRIALS.c.trial_id, _VALUES.c.objective == 0))
    )
    .group_by(_TRIALS.c.study_id, _TRIALS.c.state)
)


@dataclass
class TrialCounts:
    """The trials of one study.

    Attributes:
        states: how many are in each of Optuna's states, by its name; none that is 0.
        last: when the last one ended, in the local time of the process that ran it; None before.
        lowest: the lowest value of the complete ones, of the first objective; None if none is complete.
        highest: and the highest.
        damage: why these cannot be told; None where they can.
    """

    states: dict[str, int] = field(default_factory=dict)
    last: datetime | None = None
    lowest: float | None = None
    highest: float | None = None
    damage: DamagedStudyError | None = None

    @property
    def ended(self) -> int:
        """How many have ended, whatever became of them."""
        return sum(self.states.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))


def trial_counts(storage: RDBStorage, url: str) -> dict[int, TrialCounts]:
    """By study, those that have trials.

    Raises:
        StorageError: a database that cannot be read.
    """
    found: dict[int, TrialCounts] = {}
    with snapshot(storage, url) as connection:
        for study, state, count, last, lowest, highest in connection.execute(_QUERY):
            counts = found.setdefault(study, TrialCounts())
            try:
                counts.states[member(TrialState, state, "the state of a trial").name] = count
                counts.last = max(filter(None, (counts.last, local_time(last))), default=None)
                if state == "COMPLETE" and lowest is not None:
                    counts.lowest, counts.highest = (finite(end, "an objective value") for end in (lowest, highest))
            except DamagedStudyError as error:
                counts.damage = error
    return found
