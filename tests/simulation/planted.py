"""Bugs that a coordinator could have: the simulation must find each.

A planted bug is a context in which one piece of the product is another. Each would pass a run in which nothing fails,
or most of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import hpsearch.search.coordinator
import hpsearch.search.correction
import hpsearch.search.finals
import hpsearch.search.run
import hpsearch.storage.database
import hpsearch.storage.row_results
import hpsearch.storage.stored_study
from hpsearch.errors import StorageLostError
from hpsearch.search.coordinator import Coordinator
from hpsearch.search.dask_executor import DaskExecutor
from hpsearch.search.finals import Finals
from hpsearch.search.objective import TrialTask, failed
from hpsearch.search.proposer import Proposer
from hpsearch.search.supervisor import Supervisor, TimeUpError
from hpsearch.storage.row_results import RowResultFiles
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import Proposal, StoredStudy
from hpsearch.storage.trial_result import TrialResult


def _tell_before_keep(self: Coordinator, result: TrialResult) -> None:
    with self._stored.transaction():
        self._stored.tell(result)
        self._add_result(replace(result, rows=None))
        self._ask()
    self._stored.write_row_results(result)
    self._on_progress(self._progress())


def _acknowledged_first(self: Coordinator, result: TrialResult) -> None:
    self._stored.write_row_results(result)
    self._add_result(replace(result, rows=None))
    self._on_progress(self._progress())
    with self._stored.transaction():
        self._stored.tell(result)
        self._ask()


def _tried_again(self: Coordinator, result: TrialResult) -> None:
    self._stored.write_row_results(result)
    result = replace(result, rows=None)
    for last in (False, True):
        try:
            with self._stored.transaction():
                self._stored.tell(result)
                self._add_result(result)
                self._ask()
            break
        except StorageLostError:
            if last:
                raise
    self._on_progress(self._progress())


_write_final = StoredStudy.write_final
_write_fewer_rows = StoredStudy.write_fewer_rows
_result = Supervisor.result
_after_worker_death = Supervisor._after_worker_death
_restart = DaskExecutor.restart
_begin = RowResultFiles.begin


def _final_before_rows(self: StoredStudy, result: TrialResult) -> None:
    _write_final(self, replace(result, rows=None))
    if result.rows is not None:
        self.final_row_results.write(result.number, result.rows)


def _fewer_before_rows(self: StoredStudy, result: TrialResult, layout: Any) -> None:
    _write_fewer_rows(self, replace(result, rows=None), layout)
    if result.rows is not None:
        self.fewer_row_results.begin(layout)
        self.fewer_row_results.write(result.number, result.rows)


def _finals_of_this_run(self: StoredStudy, result: TrialResult) -> None:
    record = self.attributes.get("finals", {})
    with self.transaction():
        self.storage.set_study_user_attr(self.study_id, "finals", {})
    _write_final(self, result)
    with self.transaction():
        now = self.attributes["finals"]
        self.storage.set_study_user_attr(self.study_id, "finals", {**record, **now})


def _not_atomic(path: Any, content: Any, failure: type[Exception] = StorageLostError) -> None:
    try:
        with path.open("wb") as file:
            file.write(content) if isinstance(content, bytes) else content(file)
    except OSError as error:
        raise failure("must be a file that can be written") from error


def _proposed_anew(self: Coordinator) -> None:
    for trial in self._stored.trials():
        if trial.state.is_finished():
            self._add_result(stored_result(trial))
            self._add_proposal(Proposal.of(trial))
    for proposal in self._proposals:
        self._proposer.add(proposal, self._results)


def _knows_all_told(self: Coordinator, number: int) -> TrialTask:
    return TrialTask(number, self._proposals[number].chosen, list(self._prior_trials[:number]))


def _added_without_results(self: Proposer, proposal: Any, results: Any) -> None:
    self._study.add_trial(proposal.running())
    self._asked += 1


def _lost_tasks_forgotten(self: Supervisor, error: BaseException) -> None:
    futures = dict(self._futures)
    _after_worker_death(self, error)
    self._futures.update({number: future for number, future in futures.items() if not future.done()})


def _given_up_at_once(self: Supervisor, error: BaseException) -> None:
    lost = [number for number, future in self._futures.items() if not future.done()]
    _after_worker_death(self, error)
    for number in lost:
        self._finished[number] = failed(self._work.task(number), "its worker died")
        self._clear(number)


def _scheduler_blamed_on_tasks(self: DaskExecutor) -> bool:
    _restart(self)
    return True


def _late_messages(self: Supervisor, number: int, epoch: int, mean: float) -> None:
    self.check_clock()
    self._values.setdefault(number, {})[max(1, epoch)] = mean
    self._work.news()


def _duplicates_not_waited_for(self: Coordinator) -> Iterator[int]:
    return iter(range(len(self._results), min(self._wanted(), len(self._proposals))))


@contextmanager
def _commits_whatever_happens(storage: Any) -> Iterator[None]:
    with storage.engine.connect() as connection:
        storage.scoped_session.remove()
        storage.scoped_session.configure(bind=connection)
        try:
            yield
        finally:
            try:
                connection.commit()
            finally:
                storage.scoped_session.remove()
                storage.scoped_session.configure(bind=storage.engine)


def _time_up_is_a_failure(self: Supervisor, number: int) -> TrialResult:
    try:
        return _result(self, number)
    except TimeUpError:
        self._deadline = float("inf")
        return failed(self._work.task(number), "the time was up")


def _rows_removed(self: RowResultFiles, layout: Any) -> None:
    for path in self.folder.glob("trial-*.npz"):
        path.unlink()
    _begin(self, layout)


def _fewer_rows_once(result: TrialResult | None, choice: Any) -> bool:
    return result is not None


def _last_told_again(self: Coordinator) -> None:
    trials = self._stored.trials()
    told = [trial for trial in trials if trial.state.is_finished()]
    for trial in told if len(told) == len(trials) else told[:-1]:
        self._add_result(stored_result(trial))
    for trial in trials:
        self._add_proposal(Proposal.of(trial))
    for proposal in self._proposals:
        self._proposer.add(proposal, self._results)


def _created_in_steps(url: str, name: str, attributes: Mapping[str, Any], new: bool = False) -> StoredStudy:
    with patch.object(hpsearch.storage.stored_study, "one_transaction", lambda storage: nullcontext()):
        return _create_or_open(url, name, attributes, new)


_create_or_open = StoredStudy.create_or_open


def _asked_after_the_tell(self: Coordinator, result: TrialResult) -> None:
    self._stored.write_row_results(result)
    result = replace(result, rows=None)
    with self._stored.transaction():
        self._stored.tell(result)
        self._add_result(result)
    with self._stored.transaction():
        self._ask()
    self._on_progress(self._progress())


def _finals_begun_again(self: Finals, *rest: Any) -> None:
    _finals(self, *rest)
    self._finals = {}


def _told_as_they_end(self: Supervisor, number: int) -> TrialResult:
    result = _result(self, number)
    for other in sorted(self._finished):
        self._finished[number] = result
        return self._finished.pop(other)
    return result


def _finals_of_all_runs(stored: StoredStudy, *rest: Any) -> list[TrialResult]:
    return list(stored.finals().values())


def _score_stored_once(stored: StoredStudy) -> None:
    if "corrected" not in stored.attributes:
        _store_score(stored)


def _pruner_attributes_lost(trial: Any) -> TrialResult:
    return replace(stored_result(trial), pruner_attributes={})


@contextmanager
def _lock_that_is_removed(stored: StoredStudy) -> Iterator[None]:
    try:
        with _sole_owner(stored):
            yield
    finally:
        stored.file.with_name(f"{stored.file.name}.{stored.name}.lock").unlink(missing_ok=True)  # type: ignore[union-attr]


def _any_file_will_do(self: StoredStudy) -> None:
    pass


def _values_of_the_dead_stay(storage: Any, table: str, trial_id: int, key: str, rows: Any, whole: bool = False) -> None:
    _replace_rows(storage, table, trial_id, key, rows)


def _restarted_without_rows(self: DaskExecutor) -> bool:
    self._client.subscribe_topic(self._topic, lambda event: self._messages.put(event[1]))
    return True


def _restarted_unheard(self: DaskExecutor) -> bool:
    key = f"hpsearch-{self._content}"
    self._data = self._client.scatter({key: self._prepared}, broadcast=True)[key]
    return True


_finals = Finals.__init__
_store_score = hpsearch.search.run.store_score
_sole_owner = hpsearch.search.run.sole_owner
_replace_rows = hpsearch.storage.stored_study.replace_rows


def _method(owner: Any, name: str, other: Callable[..., Any]) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch.object(owner, name, other)


PLANTED: Mapping[str, Callable[[], AbstractContextManager[Any]]] = {
    "a trial is told before its rows are kept": _method(Coordinator, "_tell", _tell_before_keep),
    "progress is told before the storage is": _method(Coordinator, "_tell", _acknowledged_first),
    "a transaction that failed is tried again": _method(Coordinator, "_tell", _tried_again),
    "a finalist is stored before its rows": _method(StoredStudy, "write_final", _final_before_rows),
    "the learning curve is stored before its rows": _method(StoredStudy, "write_fewer_rows", _fewer_before_rows),
    "finals are replaced in two transactions": _method(StoredStudy, "write_final", _finals_of_this_run),
    "files are written in place": _method(hpsearch.storage.row_results, "write_atomically", _not_atomic),
    "running trials are proposed anew": _method(Coordinator, "_load", _proposed_anew),
    "a pruner knows all that was told by then": _method(Coordinator, "task", _knows_all_told),
    "a resumed sampler does not know the results": _method(Proposer, "add", _added_without_results),
    "tasks of a dead worker are waited for": _method(Supervisor, "_after_worker_death", _lost_tasks_forgotten),
    "every task is given up with its first worker": _method(Supervisor, "_after_worker_death", _given_up_at_once),
    "messages of trials that ended are taken": _method(Supervisor, "_on_message", _late_messages),
    "duplicates are trained if there is room": _method(Coordinator, "waiting", _duplicates_not_waited_for),
    "nobody locks": _method(hpsearch.search.run, "sole_owner", lambda stored: nullcontext()),
    "what failed is committed": _method(hpsearch.storage.stored_study, "one_transaction", _commits_whatever_happens),
    "a study is made in steps": _method(StoredStudy, "create_or_open", _created_in_steps),
    "a trial fails when the time is up": _method(Supervisor, "result", _time_up_is_a_failure),
    "who resumes removes the rows": _method(RowResultFiles, "begin", _rows_removed),
    "the learning curve of an earlier choice stays": _method(hpsearch.search.finals, "is_of", _fewer_rows_once),
    "the last trial told is run again": _method(Coordinator, "_load", _last_told_again),
    "the next trial is asked after the tell": _method(Coordinator, "_tell", _asked_after_the_tell),
    "each run begins the finals again": _method(Finals, "__init__", _finals_begun_again),
    "trials are told as they end": _method(Supervisor, "result", _told_as_they_end),
    "finalists of a shorter run count": _method(hpsearch.search.correction, "finals", _finals_of_all_runs),
    "the corrected score of a shorter run stays": _method(hpsearch.search.run, "store_score", _score_stored_once),
    "a resumed pruner has forgotten its notes": _method(
        hpsearch.search.coordinator, "stored_result", _pruner_attributes_lost
    ),
    "who is refused removes the lock": _method(hpsearch.search.run, "sole_owner", _lock_that_is_removed),
    "nobody sees that the database was deleted": _method(StoredStudy, "_check_file", _any_file_will_do),
    "values of a worker that died stay": _method(
        hpsearch.storage.stored_study, "replace_rows", _values_of_the_dead_stay
    ),
    "a Dask scheduler that came back has no rows": _method(DaskExecutor, "restart", _restarted_without_rows),
    "a Dask scheduler's end is blamed on tasks": _method(DaskExecutor, "restart", _scheduler_blamed_on_tasks),
    "nobody listens to a Dask scheduler that came back": _method(DaskExecutor, "restart", _restarted_unheard),
}
