"""Reads what is stored of studies: strictly, so that what is damaged is named, and hides nothing that is whole.

Optuna's own readers decode all studies, or all trials, in one go, and raise whatever their decoding raises. Here every
cell is looked at where it stands: a JSON text that is none, a number that is text, a state that does not exist. What
hpsearch's own records must hold is in :mod:`hpsearch.storage.records`. Nothing that is stored is ever executed.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpsearch.errors import DamagedStudyError, one_line

Value = TypeVar("Value")

_STUDIES = sa.table("studies", *map(sa.column, ("study_id", "study_name")))
_DIRECTIONS = sa.table("study_directions", *map(sa.column, ("study_id", "direction", "objective")))
_OF_STUDY = ("study_id", "key", "value_json")
_STUDY_USER = sa.table("study_user_attributes", *map(sa.column, _OF_STUDY))
_STUDY_SYSTEM = sa.table("study_system_attributes", *map(sa.column, _OF_STUDY))
_TRIALS = sa.table(
    "trials",
    *map(sa.column, ("trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete")),
)
_PARAMS = sa.table(
    "trial_params", *map(sa.column, ("param_id", "trial_id", "param_name", "param_value", "distribution_json"))
)
_VALUES = sa.table("trial_values", *map(sa.column, ("trial_id", "objective", "value", "value_type")))
_INTERMEDIATE = sa.table(
    "trial_intermediate_values",
    *map(sa.column, ("trial_id", "step", "intermediate_value", "intermediate_value_type")),
)
_OF_TRIAL = ("trial_id", "key", "value_json")
_TRIAL_USER = sa.table("trial_user_attributes", *map(sa.column, _OF_TRIAL))
_TRIAL_SYSTEM = sa.table("trial_system_attributes", *map(sa.column, _OF_TRIAL))
_NOT_FINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
_MOST = 2**53  # of whole numbers that every part of the house can hold, as pandas' columns
# What Optuna's reading of a distribution raises where the text is not what it writes.
_NO_DISTRIBUTION = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, Warning)


_RESTORE = "put back a copy of the database, or delete the study and run it again."


def damaged(what: str, got: str) -> DamagedStudyError:
    """Of a study that is not as it was stored.

    Args:
        what: of the study, as ``its attribute 'finals'``.
        got: what is wrong with it.
    """
    return DamagedStudyError(f"{what} must be as stored", got, _RESTORE.capitalize())


def unaccepted(what: str, got: str) -> DamagedStudyError:
    """Of a part of a study that this version would not have stored: another version may have.

    Args:
        what: of the study, as ``its definition``.
        got: what is wrong with it.
    """
    do = f"If another version of hpsearch made it, read it with that one. Otherwise {_RESTORE}"
    return DamagedStudyError(f"{what} must be one that this version of hpsearch accepts", got, do)


@contextmanager
def of(place: str) -> Iterator[None]:
    """What is damaged is there within the study."""
    try:
        yield
    except DamagedStudyError as error:
        error.at(place)
        raise


# ------------------------------------------------------------ studies


@dataclass(frozen=True)
class StudyRow:
    """What is stored of a study, but for its trials. Each cell as it was found.

    Attributes:
        study_id: its number in the storage.
        found_name: its name.
        found_directions: of its objectives, (objective, direction).
        found_user_attributes, found_system_attributes: keys and JSON texts.
    """

    study_id: int
    found_name: Any
    found_directions: Sequence[tuple[Any, Any]]
    found_user_attributes: Sequence[tuple[Any, Any]]
    found_system_attributes: Sequence[tuple[Any, Any]]

    @property
    def name(self) -> str:
        """Its name, as far as it can be shown."""
        name = self.found_name
        return name if isinstance(name, str) and name.isprintable() and len(name) <= 255 else shown(name)

    @property
    def keys(self) -> list[str]:
        """Of its user attributes, those that are text."""
        return [key for key, _ in self.found_user_attributes if isinstance(key, str)]

    def directions(self) -> list[StudyDirection]:
        """
        Raises:
            DamagedStudyError: they cannot be read.
        """
        found = dict(self.found_directions)
        if not found or {*found} != {*range(len(found))} or len(found) < len(self.found_directions):
            raise damaged("the directions of its objectives", f"are numbered {one_line(sorted(found, key=str))}")
        return [member(StudyDirection, found[objective], "a direction") for objective in range(len(found))]

    def attributes(self) -> dict[str, Any]:
        """Its user attributes.

        Raises:
            DamagedStudyError: they cannot be read.
        """
        return _attributes(self.found_user_attributes)

    def system_attributes(self) -> dict[str, Any]:
        """Its system attributes.

        Raises:
            DamagedStudyError: they cannot be read.
        """
        return _attributes(self.found_system_attributes)


def read_studies(connection: sa.Connection, study_id: int | None = None) -> list[StudyRow]:
    """All studies of a storage, or one, by their numbers."""

    def rows(table: sa.TableClause, *columns: str) -> Any:
        chosen = _of_studies(table, columns, study_id is None)
        return connection.execute(chosen, {} if study_id is None else {"study": study_id})

    parts: list[dict[Any, list[tuple[Any, Any]]]] = []
    for table, *columns in (
        (_DIRECTIONS, "objective", "direction"),
        (_STUDY_USER, "key", "value_json"),
        (_STUDY_SYSTEM, "key", "value_json"),
    ):
        of_study: dict[Any, list[tuple[Any, Any]]] = defaultdict(list)
        for number, *cells in rows(table, *columns):
            of_study[number].append(tuple(cells))
        parts.append(of_study)
    studies = sorted(map(tuple, rows(_STUDIES, "study_name")))
    return [StudyRow(number, name, *(part.get(number, []) for part in parts)) for number, name in studies]


@cache  # SQLAlchemy takes longer to put a statement together than SQLite to answer it
def _of_studies(table: sa.TableClause, columns: tuple[str, ...], of_all: bool) -> sa.Select[Any]:
    chosen = sa.select(table.c.study_id, *(table.c[name] for name in columns))
    return chosen if of_all else chosen.where(table.c.study_id == sa.bindparam("study"))


@cache
def _of_trials(table: sa.TableClause, columns: tuple[str, ...], order: str | None) -> sa.Select[Any]:
    chosen = sa.select(table.c.trial_id, *(table.c[name] for name in columns))
    if table is not _TRIALS:
        chosen = chosen.join(_TRIALS, _TRIALS.c.trial_id == table.c.trial_id)
    chosen = chosen.where(_TRIALS.c.study_id == sa.bindparam("study"))
    return chosen if order is None else chosen.order_by(table.c[order])


# ------------------------------------------------------------ trials


def read_trials(connection: sa.Connection, study_id: int) -> list[FrozenTrial]:
    """All trials of a study, in the order in which they were made.

    Raises:
        DamagedStudyError: with the trial and what of it cannot be read.
    """

    def children(table: sa.TableClause, *columns: str, order: str | None = None) -> dict[Any, list[Any]]:
        found: dict[Any, list[Any]] = defaultdict(list)
        for trial, *cells in connection.execute(_of_trials(table, columns, order), {"study": study_id}):
            found[trial].append(cells)
        return found

    columns = ("number", "state", "datetime_start", "datetime_complete")
    trials = connection.execute(_of_trials(_TRIALS, columns, "trial_id"), {"study": study_id}).all()
    params = children(_PARAMS, "param_name", "param_value", "distribution_json", order="param_id")
    values = children(_VALUES, "objective", "value", "value_type")
    intermediate = children(_INTERMEDIATE, "step", "intermediate_value", "intermediate_value_type")
    user, system = children(_TRIAL_USER, "key", "value_json"), children(_TRIAL_SYSTEM, "key", "value_json")
    read, distributions = [], _Distributions()
    for trial_id, number, state, start, complete in trials:
        with of(f"trial {shown(number)}"):
            chosen = distributions.of(params.get(trial_id, ()))
            found_values = _numbers(values.get(trial_id, ()), "an objective value")
            read.append(
                FrozenTrial(
                    number=whole(number, "its number"),
                    state=member(TrialState, state, "its state"),
                    value=None,
                    values=[found_values[key] for key in sorted(found_values)] or None,
                    datetime_start=local_time(start),
                    datetime_complete=local_time(complete),
                    params={name: value for name, (value, _) in chosen.items()},
                    distributions={name: kind for name, (_, kind) in chosen.items()},
                    user_attrs=_attributes(user.get(trial_id, ())),
                    system_attrs=_attributes(system.get(trial_id, ())),
                    intermediate_values=_numbers(intermediate.get(trial_id, ()), "an intermediate value"),
                    trial_id=trial_id,
                )
            )
    return read


def read_choices(
    connection: sa.Connection, study_id: int
) -> list[tuple[int, dict[str, Any], dict[str, BaseDistribution]]]:
    """What each trial of a study chose, and from what: (number, values by name, distributions by name).

    Raises:
        DamagedStudyError: with the trial and what of it cannot be read.
    """
    columns = (_TRIALS.c.number, *(_PARAMS.c[name] for name in ("param_name", "param_value", "distribution_json")))
    joined = _TRIALS.outerjoin(_PARAMS, _PARAMS.c.trial_id == _TRIALS.c.trial_id)
    chosen = sa.select(_TRIALS.c.trial_id, *columns).select_from(joined).where(_TRIALS.c.study_id == study_id)
    of_trial: dict[Any, tuple[Any, list[Any]]] = {}
    for trial_id, number, *cells in connection.execute(chosen.order_by(_TRIALS.c.trial_id, _PARAMS.c.param_id)):
        _, rows = of_trial.setdefault(trial_id, (number, []))
        if cells != [None] * len(cells):  # of a trial that chose nothing
            rows.append(cells)
    read, distributions = [], _Distributions()
    for number, rows in of_trial.values():
        with of(f"trial {shown(number)}"):
            found = distributions.of(rows)
            values, kinds = ({name: pair[at] for name, pair in found.items()} for at in (0, 1))
            read.append((whole(number, "its number"), values, kinds))
    return read


class _Distributions:
    """Reads hyperparameters; a distribution that many trials have is read once."""

    def __init__(self) -> None:
        self._read: dict[str, BaseDistribution] = {}

    def of(self, rows: Sequence[Sequence[Any]]) -> dict[str, tuple[Any, BaseDistribution]]:
        """A trial's values and their distributions, by name."""
        found: dict[str, tuple[Any, BaseDistribution]] = {}
        for name, value, text in rows:
            what = f"the hyperparameter {shown(name)!r}"
            kind = self._read.get(text) if isinstance(text, str) else None
            if kind is None:
                kind = self._read[text] = self._distribution(text, what)
            stored = finite(value, what)
            if not kind._contains(stored):
                raise damaged(what, f"is {one_line(stored)}, which is outside its range")
            if name in found:
                raise damaged(what, "is stored twice")
            found[text_of(name, what)] = kind.to_external_repr(stored), kind
        return found

    def _distribution(self, text: Any, what: str) -> BaseDistribution:
        json_of(text, f"the range of {what}")
        try:
            return json_to_distribution(text)
        except _NO_DISTRIBUTION as error:
            raise damaged(f"the range of {what}", f"cannot be read ({one_line(error)})") from error


def _numbers(rows: Sequence[Sequence[Any]], what: str) -> dict[int, float]:
    """Numbers as Optuna stores them, with a word for those that are not finite; by objective or epoch."""
    found: dict[int, float] = {}
    for at, value, kind in rows:
        key = whole(at, f"the place of {what}")
        if kind == "FINITE":
            number = finite(value, what)
        elif kind in _NOT_FINITE and value is None:
            number = _NOT_FINITE[kind]
        else:
            raise damaged(what, f"is {one_line(value)} and said to be {shown(kind)!r}")
        if key in found:
            raise damaged(what, "is stored twice")
        found[key] = number
    return found


def _attributes(rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, text in rows:
        what = f"its attribute {shown(key)!r}"
        if key in found:
            raise damaged(what, "is stored twice")
        found[text_of(key, what)] = json_of(text, what)
    return found


def local_time(value: Any) -> datetime | None:
    """A time as Optuna's trials have it: stored in UTC, shown in the local time, both without a word of it."""
    if value is None:
        return None
    try:
        stored = value if isinstance(value, datetime) else datetime.fromisoformat(text_of(value, "a time"))
        return stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
    except (ValueError, OverflowError, OSError) as error:
        raise damaged("a time", f"is {shown(value)!r}") from error


# ------------------------------------------------------------ cells


def shown(value: Any) -> str:
    """A cell in a message."""
    text = value if isinstance(value, str) else repr(value)
    return one_line(text if text.isprintable() else repr(text)[1:-1], 80)


def text_of(value: Any, what: str) -> str:
    """A cell that must be text."""
    if not isinstance(value, str):
        raise damaged(what, "is missing" if value is None else f"is {shown(value)}, which is no text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise damaged(what, "is no UTF-8 text") from error
    return value


def json_of(value: Any, what: str) -> Any:
    """A cell that must be JSON."""
    text = text_of(value, what)
    try:
        read = json.loads(text)
        if "\\u" in text:  # half a character, which no file and no screen can have
            json.dumps(read, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise damaged(what, f"is no JSON ({one_line(error)})") from error
    return read


def finite(value: Any, what: str) -> float:
    """A cell that must be a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise damaged(what, "is missing" if value is None else f"is {shown(value)}, which is no finite number")
    return float(value)


def whole(value: Any, what: str) -> int:
    """A cell that must be a whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise damaged(what, "is missing" if value is None else f"is {shown(value)}, which is no whole number from 0")
    return value


def member(kind: type[Value], value: Any, what: str) -> Value:
    """A cell that must be one of the words of an enumeration, by name."""
    found = kind.__members__.get(value) if isinstance(value, str) else None  # type: ignore[attr-defined]
    if found is None:
        raise damaged(what, f"is {shown(value)!r}")
    return found  # type: ignore[no-any-return]
