"""The one owner of a study: it asks, waits and tells, strictly in order, and is the only one that writes.

With W = ``in_flight``: trials 0 … W - 1 are asked; then, for k = 0, 1, 2, …, the result of k is awaited, and in one
database transaction k is told and k + W is asked. So trial t is proposed knowing exactly the results of the trials up
to t - W, whoever evaluates them and in whatever order they finish.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import one_line
from hpsearch.search.executors import STARTED, TrialExecutor
from hpsearch.search.objective import Prepared, TrialTask, failed
from hpsearch.search.proposer import Proposer
from hpsearch.search.pruning import PriorTrial
from hpsearch.search.reuse import replayed
from hpsearch.storage.stored_study import Proposal, StoredStudy, stored_result
from hpsearch.storage.trial_result import TrialResult, best_result, minimised, standard_error
from hpsearch.validation.metric import Metric

POLL_SECONDS = 0.1  # between looks at messages, the clock and finished trials
LIVE_SECONDS = 1.0  # between writes of running trials' values
MAX_FAILURES = 3  # deaths of a worker that had nothing else to do, before its trial is given up


class TimeUpError(Exception):
    """The time that was given is up. Told trials are stored; the others will be run again."""


@dataclass(frozen=True)
class Progress:
    """What a progress callback is told.

    Attributes:
        results: of the trials told so far.
        trials: how many there shall be.
        resumed: how many were told before this run.
        metric: the objective.
        running: the last (epoch, mean objective) of trials under way, by number.
    """

    results: Sequence[TrialResult]
    trials: int
    resumed: int
    metric: Metric
    running: Mapping[int, tuple[int, float]] = field(default_factory=dict)

    @property
    def best(self) -> TrialResult | None:
        return best_result(self.results, self.metric)


def trials_wanted(definition: StudyDefinition, results: Sequence[TrialResult]) -> int:
    """How many trials there shall be, given those told: ``trials``, a grid's size, or fewer by ``stop``.

    With ``stop`` = n the study ends once n trials told in a row have not improved the best value by more than its
    standard error over the folds; trials that were asked by then are finished.
    """
    limit, patience, metric = definition.limit, definition.search.stop, definition.metric
    if patience is None:
        return limit
    bests: list[TrialResult | None] = []
    for result in results:
        bests.append(best_result([*bests[-1:], result], metric))
        before = bests[-1 - patience] if len(bests) > patience else None
        now = bests[-1]
        if before is None or now is None:
            continue
        if minimised(before, metric) - minimised(now, metric) <= (standard_error(before) or 0):
            return min(limit, result.number + definition.search.in_flight)  # those asked before this one was told
    return limit


class Coordinator:
    """Runs or resumes one stored study, of which it must be the sole owner."""

    def __init__(
        self,
        prepared: Prepared,
        stored: StoredStudy,
        executor: TrialExecutor,
        *,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        timeout: float | None = None,
        reuse: bool = True,
    ) -> None:
        """
        Args:
            prepared: the study with its data.
            stored: the same in its storage.
            executor: who evaluates trials; the caller closes it.
            on_progress: called after each trial that is told, and when running trials have news.
            timeout: seconds after which no more is told.
            reuse: train two trials of one configuration once.
        """
        self._stored, self._executor, self._on_progress, self._reuse = stored, executor, on_progress, reuse
        self._prepared, self._definition = prepared, prepared.definition
        self._deadline = math.inf if timeout is None else time.monotonic() + timeout
        self._proposer = Proposer(self._definition)
        self._proposals: list[Proposal] = []
        self._results: list[TrialResult] = []
        self._prunes = self._definition.build_pruner() is not None
        self._prior_trials: list[PriorTrial] = []  # the results, as pruners may know them
        self._resumed = 0
        # Trials asked and not told: submitted, finished, or suspected of having killed a worker.
        self._futures: dict[int, Future[TrialResult]] = {}
        self._finished: dict[int, TrialResult] = {}
        self._suspects: list[int] = []
        self._failures: dict[int, int] = {}
        # What running trials said last, and what of it is not stored yet.
        self._running: dict[int, tuple[int, float]] = {}
        self._unsaved: dict[int, dict[int, float]] = {}
        self._saved_at = time.monotonic()
        self._wanted_when: dict[int, int] = {}
        # The first trial of every configuration, and of every trial the one that it duplicates.
        self._first: dict[str, int] = {}
        self._duplicate_of: list[int | None] = []

    def run(self) -> Sequence[TrialResult]:
        """Run until all trials are told; those already told are not run again. Returns all results.

        Raises:
            TimeUpError: after ``timeout`` seconds.
        """
        self._load()
        self._resumed = len(self._results)
        with self._stored.transaction():
            self._ask()
        self._on_progress(self._progress())
        if len(self._results) >= self._wanted():
            return self._results
        self._stored.row_results.begin(self._prepared.layout())
        self._executor.start(self._prepared, self._on_message)
        while len(self._results) < self._wanted():
            self._tell(self._await(len(self._results)))
        return self._results

    def _wanted(self) -> int:
        told = len(self._results)
        if told not in self._wanted_when:
            self._wanted_when[told] = trials_wanted(self._definition, self._results)
        return self._wanted_when[told]

    def _progress(self) -> Progress:
        return Progress(self._results, self._wanted(), self._resumed, self._definition.metric, dict(self._running))

    # ------------------------------------------------------------ ask and tell

    def _load(self) -> None:
        """Replay what is stored: results in order, then trials that were running, to be run again as they were."""
        for trial in self._stored.trials():
            if trial.state.is_finished():
                self._add_result(stored_result(trial))
            self._add_proposal(Proposal.of(trial))
        for proposal in self._proposals:
            self._proposer.add(proposal, self._results)

    def _ask(self) -> None:
        end = min(self._wanted(), len(self._results) + self._definition.search.in_flight)
        while len(self._proposals) < end:
            proposal = self._proposer.propose(self._results)
            self._stored.add(proposal)
            self._add_proposal(proposal)

    def _add_proposal(self, proposal: Proposal) -> None:
        configuration = self._definition.config(proposal.chosen).model_dump_json()
        first = self._first.setdefault(configuration, proposal.number)
        self._proposals.append(proposal)
        self._duplicate_of.append(first if first != proposal.number else None)

    def _add_result(self, result: TrialResult) -> None:
        self._results.append(result)
        if self._prunes:
            values = dict(zip(result.epochs, result.intermediate, strict=True))
            final = result.intermediate[-1] if result.state == "PRUNED" else result.value
            self._prior_trials.append(PriorTrial(result.number, result.state, values, final, result.pruner_attributes))

    def _tell(self, result: TrialResult) -> None:
        self._unsaved.pop(result.number, None)
        self._stored.write_row_results(result)
        result = replace(result, rows=None)
        with self._stored.transaction():
            self._stored.tell(result)
            self._add_result(result)
            self._ask()
        self._on_progress(self._progress())

    # ------------------------------------------------------------ wait

    def _await(self, number: int) -> TrialResult:
        """The result of the oldest trial that is not told."""
        while number not in self._finished:
            self._check_clock()
            try:
                self._submit()
                wait(self._futures.values(), timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                self._executor.poll()
                self._collect()
            except self._executor.worker_errors as error:
                self._after_worker_death(error)
            self._save_live()
        return self._finished.pop(number)

    def _submit(self) -> None:
        capacity = 1 if self._suspects else self._executor.capacity or self._definition.search.in_flight
        told = len(self._results)
        # After a worker's death the suspects run alone, one after the other, until each is cleared or given up.
        for number in self._suspects or range(told, min(self._wanted(), len(self._proposals))):
            if len(self._futures) >= capacity:
                return
            if number not in self._futures and number not in self._finished:
                self._begin(number)

    def _begin(self, number: int) -> None:
        task, first = self._task(number), self._duplicate_of[number] if self._reuse else None
        if first is not None:
            if first >= len(self._results):
                return  # it will be told before this one is needed
            result = replayed(self._definition, task, self._results[first])
            if result is not None:
                self._finished[number] = result
                return
        self._futures[number] = self._executor.submit(task)

    def _task(self, number: int) -> TrialTask:
        """A trial's pruner sees what was told before the trial was asked."""
        prior_trials = self._prior_trials[: max(0, number - self._definition.search.in_flight + 1)]
        return TrialTask(number, self._proposals[number].chosen, prior_trials)

    def _collect(self) -> None:
        for number in [number for number, future in self._futures.items() if future.done()]:
            self._finish(number)

    def _finish(self, number: int) -> None:
        self._finished[number] = self._futures[number].result()  # where that raises, the trial is still in flight
        del self._futures[number]
        self._clear(number)

    def _clear(self, number: int) -> None:
        self._executor.forget(number)
        self._running.pop(number, None)
        if number in self._suspects:
            self._suspects.remove(number)

    def _after_worker_death(self, error: BaseException) -> None:
        """A worker died, and with it every trial in flight. Only a trial that was alone is to blame."""
        for number, future in list(self._futures.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                self._finish(number)
        lost = sorted(self._futures)
        self._futures.clear()
        if len(lost) == 1:
            (number,) = lost
            self._failures[number] = self._failures.get(number, 0) + 1
            if self._failures[number] >= MAX_FAILURES:
                last = f"{type(error).__name__}: {one_line(error, 120)}"
                reason = f"its worker died {MAX_FAILURES} times with nothing else to do, the last time: {last}"
                self._finished[number] = failed(self._definition, self._task(number), reason)
                self._clear(number)
        self._suspects = [
            number for number in lost if number not in self._finished and (number in self._running or len(lost) == 1)
        ]
        self._running.clear()
        self._executor.restart()

    # ------------------------------------------------------------ live

    def _on_message(self, number: int, epoch: int, mean: float) -> None:
        """A message of a running trial."""
        self._check_clock()
        if number < len(self._results) or number in self._finished:
            return
        self._running[number] = epoch, mean
        if epoch != STARTED:
            self._unsaved.setdefault(number, {})[epoch] = mean
        self._save_live()

    def _save_live(self) -> None:
        """Store running trials' values, about once a second; at the tell they are overwritten by the same."""
        if time.monotonic() - self._saved_at < LIVE_SECONDS:
            return
        self._saved_at = time.monotonic()
        if self._unsaved:
            with self._stored.transaction():
                for number, values in self._unsaved.items():
                    self._stored.report(number, values)
            self._unsaved.clear()
        self._on_progress(self._progress())

    def _check_clock(self) -> None:
        if time.monotonic() > self._deadline:
            raise TimeUpError
