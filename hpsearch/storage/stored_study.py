"""Stored studies: what a study, a proposal and a result are in Optuna's storage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import ValidationError

from hpsearch.errors import (
    DefinitionError,
    Setting,
    StorageError,
    StorageLostError,
    StudyChangedError,
    UnknownStudyError,
    did_you_mean,
    located,
    one_line,
    quoted,
)
from hpsearch.storage.counts import TrialCounts, trial_counts
from hpsearch.storage.database import (
    clear_errors,
    close,
    closed_on_error,
    lock_study,
    one_moment,
    one_transaction,
    open_storage,
    place,
    replace_rows,
    shown_url,
    study_names,
)
from hpsearch.storage.quiet import quiet
from hpsearch.storage.reading import StudyRow, damaged, read_choices, read_studies, read_trials, unaccepted
from hpsearch.storage.records import (
    check_directions,
    check_study,
    checked_trials,
    costs_of,
    decoded,
    is_ours,
    loss_name,
    objective_name,
    objective_of,
)
from hpsearch.storage.row_results import RowResultFiles
from hpsearch.storage.stored_results import attribute_rows, final_record, final_result, intermediate_rows
from hpsearch.storage.study_format import require_known_format
from hpsearch.storage.trial_result import FUNCTIONS, MACHINE, TrialResult
from hpsearch.validation.costs import COSTS
from hpsearch.validation.layout import Layout
from hpsearch.validation.metric import Metric

Value = TypeVar("Value")


@dataclass(frozen=True)
class Proposal:
    """What the sampler chose for a trial, and its system attributes, which later proposals may look at."""

    number: int
    chosen: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    system_attributes: dict[str, Any] = field(default_factory=dict)

    def running(self) -> FrozenTrial:
        """The trial as Optuna has it while it runs."""
        return create_trial(
            state=TrialState.RUNNING,
            params=self.chosen,
            distributions=self.distributions,
            system_attrs=self.system_attributes,
        )

    @classmethod
    def of(cls, trial: FrozenTrial) -> Proposal:
        """What a stored trial was proposed as."""
        return cls(trial.number, trial.params, trial.distributions, trial.system_attrs)


MOST_CHANGES = 5  # in one message
_OURS, _NOT_OURS = "must be a study of hpsearch", "was not made by hpsearch"
_INTERMEDIATE = "trial_intermediate_values"  # a table of Optuna's
_FINALS = "finals"  # an attribute of the study: of each finalist, by its trial's number, what became of it
_FEWER_ROWS = "fewer_rows"  # likewise: the chosen finalist again, trained on fewer rows
_FINGERPRINTS = ("data.fingerprint", "holdout.fingerprint")  # keys of the identity, and what else may change them
_DEALING = ("data.", "holdout.", "study.seed")
SCORINGS = "holdout_scorings"  # an attribute of the study: one entry a time that its hold-out was scored


@dataclass(frozen=True)
class Moment:
    """What a storage held of a study at one moment: its attributes, and its trials by number."""

    attributes: dict[str, Any]
    trials: list[FrozenTrial]


@dataclass(frozen=True)
class StoredStudy:
    """One study in a storage: what its coordinator writes and everyone reads. A context manager: leaving it closes.

    ``rows`` are those that it was run on, where they are given from Python: nothing of them is stored. With a
    ``moment`` all that is read is of then, whatever a run has written since; without, each reading is of its own time.
    """

    storage: RDBStorage
    url: str
    name: str
    study_id: int
    rows: Any = field(default=None, repr=False, compare=False)
    moment: Moment | None = field(default=None, repr=False, compare=False)
    _trial_ids: dict[int, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    _opened: os.stat_result | None = field(default=None, init=False, repr=False, compare=False)  # its file, as it was

    def __post_init__(self) -> None:
        object.__setattr__(self, "_opened", _status(self.file))

    @classmethod
    def create_or_open(cls, url: str, name: str, attributes: Mapping[str, Any], new: bool = False) -> StoredStudy:
        """The study of this name, made with these attributes if it is new.

        Raises:
            StorageError: a storage that cannot be opened or written; a study that is there, if it must be ``new``, or
                that a later version wrote.
        """
        directions = [StudyDirection[objective_of(attributes).direction.upper()]]
        directions += [StudyDirection.MINIMIZE] * len(costs_of(attributes))
        with closed_on_error(open_storage(url, create=True)) as storage, quiet(), clear_errors(url):
            made = False
            if name not in study_names(storage, url):
                with suppress(optuna.exceptions.DuplicatedStudyError), one_transaction(storage):
                    study_id = storage.create_new_study(directions, name)
                    for key, value in attributes.items():
                        storage.set_study_user_attr(study_id, key, value)
                    made = True
            if new and not made:
                raise name_taken(url, name)
            return cls(storage, url, name, storage.get_study_id_from_name(name))

    @classmethod
    def open(cls, url: str, name: str, owner: bool = False, rows: Any = None) -> StoredStudy:
        """The study of this name.

        Args:
            url: of its storage.
            name: the study's.
            owner: to write as well: for who then takes its lock.
            rows: a DataFrame that it was run on.

        Raises:
            UnknownStudyError: there is none, or it is not one of ours.
            DamagedStudyError: it is not as it was stored. (Of its trials :meth:`trials` knows.)
            StorageError: a later version wrote it.
        """
        study, row = cls._found(url, name, owner, rows)
        with closed_on_error(study.storage), located(*place(url, name)):
            checked_attributes(row)
        return study

    @classmethod
    def found(cls, url: str, name: str, owner: bool = False) -> StoredStudy:
        """The study of this name, whether or not it is whole: for who deletes it.

        Raises:
            UnknownStudyError: there is none, or it is not one of ours.
        """
        return cls._found(url, name, owner)[0]

    @classmethod
    def _found(cls, url: str, name: str, owner: bool, rows: Any = None) -> tuple[StoredStudy, StudyRow]:
        """That study, and what is stored of it."""
        with closed_on_error(open_storage(url, owner=owner)) as storage, clear_errors(url):
            names = study_names(storage, url)
            if name not in names:
                hint = did_you_mean(name, names) if names else "It holds no study yet."
                raise UnknownStudyError(f"There is no study {quoted(name)} in {shown_url(url)}", do=hint)
            if names.count(name) > 1:
                raise damaged("its name", f"is that of {names.count(name)} studies").at(*place(url, name))
            with located(*place(url, name)):
                _require_file_name(name)
            study = cls(storage, url, name, storage.get_study_id_from_name(name), rows)
            row = study._row()
            if not is_ours(row.keys):
                raise UnknownStudyError(_OURS, _NOT_OURS, where=place(url, name))
        return study, row

    def __enter__(self) -> StoredStudy:
        return self

    def __exit__(self, *_: object) -> None:
        close(self.storage)

    def at_one_moment(self) -> StoredStudy:
        """The study as it is now, read once: for whatever shows several things that must agree.

        Raises:
            StorageError: a database that cannot be read.
            DamagedStudyError: the study is not as it was stored.
        """
        found = copy(self)  # not another: it was opened when this one was
        object.__setattr__(found, "moment", Moment(*self.whole()))
        return found

    def _row(self) -> StudyRow:
        with one_moment(self.storage, self.url) as connection:
            return self._row_of(connection)

    def _row_of(self, connection: sa.Connection) -> StudyRow:
        rows = read_studies(connection, self.study_id)
        if not rows:  # it was deleted meanwhile
            raise UnknownStudyError(f"There is no study {quoted(self.name)} in {shown_url(self.url)}")
        return rows[0]

    @property
    def attributes(self) -> dict[str, Any]:
        """What is stored of the study beside its trials.

        Raises:
            DamagedStudyError: it is not as it was stored.
        """
        if self.moment is not None:
            return self.moment.attributes
        with located(*place(self.url, self.name)):
            return checked_attributes(self._row())

    def decoded(self, key: str, kind: type[Value], attributes: Mapping[str, Any] | None = None) -> Value | None:
        """One of its attributes as a frozen dataclass; None if it is not stored.

        Args:
            key: the attribute's.
            kind: the dataclass.
            attributes: those of the study, where they have been read.

        Raises:
            DamagedStudyError: it is not as it was stored.
        """
        stored = (self.attributes if attributes is None else attributes).get(key)
        with located(*place(self.url, self.name)):
            return None if stored is None else decoded(kind, stored, f"its attribute {key!r}")

    def choices(self) -> list[tuple[int, dict[str, Any], dict[str, BaseDistribution]]]:
        """What each trial chose, and from what: (number, values by name, distributions by name).

        Raises:
            DamagedStudyError: that is not as it was stored.
        """
        if self.moment is not None:
            return [(trial.number, trial.params, trial.distributions) for trial in self.moment.trials]
        with located(*place(self.url, self.name)), one_moment(self.storage, self.url) as connection:
            return read_choices(connection, self.study_id)

    def require_no_queue(self) -> None:
        """
        Raises:
            StorageError: another program put trials in a queue.
        """
        waiting = self.count() - len(self.trials())
        if waiting > 0:
            raise StorageError(
                "must have no trials that its own run did not propose",
                f"{waiting} wait, which another program put in a queue",
                "Have that program tell them as failed.",
                where=place(self.url, self.name),
            )

    def count(self) -> int:
        """How many trials are stored, damaged ones too."""
        with one_moment(self.storage, self.url) as connection:
            return trial_counts(connection, self.study_id).get(self.study_id, TrialCounts()).count

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """What is raised inside is about what is stored: of a definition, that it cannot be. Bounds of settings differ
        between versions, so the study may be whole all the same.

        Args:
            what: is read, as ``its definition``.

        Raises:
            DamagedStudyError: instead of the error of a definition.
        """
        try:
            yield
        except (DefinitionError, ValidationError) as error:
            raise unaccepted(what, one_line(error)).at(*place(self.url, self.name)) from error

    @property
    def metric(self) -> Metric:
        """The study's objective."""
        return objective_of(self.attributes)

    @property
    def objective(self) -> str:
        """Its name."""
        return objective_name(self.attributes)

    @cached_property
    def _costs(self) -> tuple[str, ...]:
        """The names of its further objectives."""
        return costs_of(self.attributes)

    @property
    def loss(self) -> str:
        """The name of what its networks' training descends."""
        return loss_name(self.attributes)

    def refresh(self, attributes: Mapping[str, Any]) -> None:
        """Bring up to date what is stored of the study: where its file lies may have changed, and how many trials.

        Of attributes that its owner alone writes, so that what has been read of them is still so.
        """
        stored = self.attributes
        changed = {key: value for key, value in attributes.items() if stored.get(key) != value}
        if changed:
            with self.transaction():
                for key, value in changed.items():
                    self.storage.set_study_user_attr(self.study_id, key, value)

    def require_same(
        self, attributes: Mapping[str, Any], unnamed: Mapping[str, Any], allow_mixed: bool = False
    ) -> None:
        """Refuse to go on with a study whose ``identity`` is now another.

        Args:
            attributes: what would be stored of it now.
            unnamed: what settings are that an identity does not name.
            allow_mixed: only the machine may be another.

        Raises:
            StudyChangedError: with what was stored and what is now.
        """
        row = self._row()
        if not is_ours(row.keys):
            raise StudyChangedError(
                _OURS, _NOT_OURS, "Choose another name or storage.", where=place(self.url, self.name)
            )
        with located(*place(self.url, self.name)):
            begun = checked_attributes(row)
        stored, identity = begun["identity"], attributes["identity"]
        keys = [*stored, *(key for key in identity if key not in stored)]
        stored, identity = {**unnamed, **stored}, {**unnamed, **identity}
        of_another = {MACHINE, FUNCTIONS} if allow_mixed else set() if FUNCTIONS in stored else {FUNCTIONS}
        keys = [key for key in keys if stored.get(key) != identity.get(key) and key not in of_another]
        if not keys:
            return
        settings = [key for key in keys if key not in _FINGERPRINTS]
        changes = [f"{key} was {_setting(stored, key)} and is {_setting(identity, key)}" for key in settings]
        if keys != settings and not any(key.startswith(_DEALING) for key in settings):  # which make other rows of them
            before, now = (_rows_of(of["definition"]["data"]) for of in (begun, attributes))
            those = "those that it was begun with" + (f", of {before}" if before != now else "")
            changes.insert(0, f"the rows of {now}, or how they are read, are not {those}")
        if len(changes) > MOST_CHANGES:
            changes = [*changes[:MOST_CHANGES], f"and {len(changes) - MOST_CHANGES} more"]
        back = "Use those versions" if all(key.startswith("version.") for key in keys) else "Change it back"
        more = len(stored.get("search.enqueue", ())) > len(identity.get("search.enqueue", ()))
        raise StudyChangedError(
            "must be continued as it was begun",
            "; ".join(changes),
            (
                back,
                *((" (if it began with earlier studies: ", Setting("from_study", "STUDY"), ")") if more else ()),
                ", or begin another study: ",
                Setting("study.name", "NAME"),
                ".",
            ),
            where=place(self.url, self.name),
        )

    def record_scoring(self, entry: Mapping[str, Any]) -> int:
        """Store that the hold-out was scored; returns how often it had been before."""
        earlier: list[Any] = self._change(SCORINGS, lambda known: [*(known or ()), dict(entry)]) or []
        return len(earlier)

    def _change(self, key: str, change: Callable[[Any], Any]) -> Any:
        """Make another value of an attribute's, None where it has none, in one transaction: of several processes that
        do so at once none loses what another wrote. Returns the value before."""
        with self.transaction():
            lock_study(self.storage, self.study_id)
            before = self.storage.get_study_user_attrs(self.study_id).get(key)
            self.storage.set_study_user_attr(self.study_id, key, change(before))
        return before

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number.

        Raises:
            DamagedStudyError: they, or what is stored beside them, are not as they were stored.
        """
        return self.whole()[1]

    def whole(self) -> tuple[dict[str, Any], list[FrozenTrial]]:
        """Its attributes and its trials, of one moment.

        Raises:
            DamagedStudyError: they are not as they were stored.
        """
        if self.moment is not None:
            return self.moment.attributes, self.moment.trials
        with located(*place(self.url, self.name)):
            with one_moment(self.storage, self.url) as connection:
                row, trials = self._row_of(connection), read_trials(connection, self.study_id)
            if not is_ours(row.keys):  # another program's, which pages show as far as they can
                return row.attributes(), trials
            attributes = checked_attributes(row)
            return attributes, checked_trials(trials, attributes)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._check_file()
        with clear_errors(self.url, StorageLostError), one_transaction(self.storage):
            yield

    def _check_file(self) -> None:
        """SQLite would go on writing to a file that was deleted underneath it, and all would be lost."""
        now = _status(self.file)
        if self._opened is not None and (now is None or not os.path.samestat(now, self._opened)):
            raise StorageLostError(
                "must stay where it is",
                "was deleted or moved" if now is None else "was replaced by another file",
                "Nothing more is written; put it back to go on.",
                where=place(self.url),
            )

    @property
    def row_results(self) -> RowResultFiles:
        """Per-row results, in files beside the storage."""
        return RowResultFiles.beside(self.file, self.url, self.name)

    @property
    def final_row_results(self) -> RowResultFiles:
        """Per-row results of the finalists' ensembles, in files beside those of the trials."""
        return RowResultFiles(self.row_results.folder / "finals")

    @property
    def fewer_row_results(self) -> RowResultFiles:
        """The same of the chosen finalist where it trained on fewer rows, one ensemble in the place of a checkpoint."""
        return RowResultFiles(self.final_row_results.folder / "fewer")

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for a database server."""
        url = self.storage.engine.url
        if url.get_backend_name() != "sqlite":
            return None
        name = str(url.database)
        # Readers of a folder that cannot be written have a URL of SQLite's own.
        return Path(unquote(name.removeprefix("file:")) if name.startswith("file:") else name)

    def add(self, proposal: Proposal) -> None:
        """Store a trial as RUNNING, all its hyperparameters at once."""
        self._trial_ids[proposal.number] = self.storage.create_new_trial(self.study_id, proposal.running())

    def _trial_id(self, number: int) -> int:
        if number not in self._trial_ids:
            self._trial_ids[number] = self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)
        return self._trial_ids[number]

    def report(self, number: int, values: Mapping[int, float]) -> None:
        """Store intermediate values, by epoch, of a trial that is running: for dashboards; nothing else reads them."""
        replace_rows(self.storage, _INTERMEDIATE, self._trial_id(number), "step", intermediate_rows(values))

    def write_row_results(self, result: TrialResult) -> None:
        """Write a complete trial's per-row results: before it is told, so that no told one lacks them."""
        self._check_file()
        if result.rows is not None:
            self.row_results.write(result.number, result.rows)

    def tell(self, result: TrialResult) -> None:
        """Store what became of a trial."""
        trial_id = self._trial_id(result.number)
        # What a trial reported before its worker died for good is no part of its result.
        values = dict(zip(result.epochs, result.intermediate, strict=True))
        replace_rows(self.storage, _INTERMEDIATE, trial_id, "step", intermediate_rows(values), whole=True)
        replace_rows(self.storage, "trial_user_attributes", trial_id, "key", attribute_rows(result))
        # Like Optuna's own loop, a pruned trial's value in the storage is its last intermediate value.
        final = result.intermediate[-1] if result.state == "PRUNED" else result.value
        costs = [float(getattr(result, COSTS[name].field)) for name in self._costs]
        objectives = None if final is None else [final, *costs]
        self.storage.set_trial_state_values(trial_id, TrialState[result.state], objectives)

    def finals(self) -> dict[int, TrialResult]:
        """What became of finalists, by their trials' numbers, of earlier finals too."""
        records: Mapping[str, Any] = self.attributes.get(_FINALS, {})
        return {int(number): final_result(int(number), record) for number, record in records.items()}

    def write_final(self, result: TrialResult) -> None:
        """Store what became of a finalist: first its per-row results, then that it was evaluated."""
        self._check_file()
        if result.rows is not None:
            self.final_row_results.write(result.number, result.rows)
        self._change(_FINALS, lambda earlier: {**(earlier or {}), str(result.number): final_record(result)})

    def fewer_rows(self) -> TrialResult | None:
        """What became of the chosen finalist where it trained on fewer rows; None where that was not evaluated."""
        record = self.attributes.get(_FEWER_ROWS)
        return None if record is None else final_result(record["trial"], record)

    def write_fewer_rows(self, result: TrialResult, layout: Layout) -> None:
        """Store that, in the place of what was known: first its per-row results, then that it was evaluated."""
        self._check_file()
        if result.rows is not None:
            self.fewer_row_results.begin(layout)
            self.fewer_row_results.write(result.number, result.rows)
        with self.transaction():
            record = {"trial": result.number, **final_record(result)}
            self.storage.set_study_user_attr(self.study_id, _FEWER_ROWS, record)


def _status(path: Path | None) -> os.stat_result | None:
    """Which file has a name; None if none has."""
    with suppress(FileNotFoundError):
        return None if path is None else path.stat()
    return None


def study_rows(storage: RDBStorage, url: str) -> list[StudyRow]:
    """The studies of a storage that hpsearch made, damaged ones too, by their numbers."""
    with one_moment(storage, url) as connection:
        return [row for row in read_studies(connection) if is_ours(row.keys)]


def checked_attributes(row: StudyRow) -> dict[str, Any]:
    """What is stored of a study of ours beside its trials.

    Raises:
        DamagedStudyError: it is not as it was stored.
        StorageError: a later version wrote it.
    """
    attributes = row.attributes()
    require_known_format(attributes)
    check_study(attributes)
    if attributes["definition"].get("study", {}).get("name") != row.found_name:
        raise damaged("its name", "is not that of its definition")
    _require_file_name(row.found_name)
    check_directions(row.directions(), attributes)
    return attributes


def _require_file_name(name: str) -> None:
    """Files beside the storage have the study's name.

    Raises:
        DamagedStudyError: it is that of a path.
    """
    if Path(name).name != name:
        raise damaged("its name", "is that of a path")


def name_taken(url: str, name: str) -> StorageError:
    """Of a name that a study of the storage has."""
    return StorageError("must be a new name", "is that of a study", "Choose another.", where=place(url, name))


def _rows_of(source: Mapping[str, Any]) -> str:
    """What the rows of a stored ``[data]`` are, or where."""
    return str(source.get("path", source.get("rows", source["source"])))


def _setting(identity: Mapping[str, Any], key: str) -> str:
    return quoted(identity[key]) if key in identity else "not set"
