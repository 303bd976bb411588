"""The one owner of a study: it asks, waits and tells, strictly in order, and is the only one that writes.

With W = ``in_flight``: trials 0 … W - 1 are asked; then, for k = 0, 1, 2, …, the result of k is awaited, and in one
database transaction k is told and k + W is asked. So trial t is proposed knowing exactly the results of the trials up
to t - W, whoever evaluates them and in whatever order they finish.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial
from threadpoolctl import threadpool_limits

from hpsearch.study.definition import StudyDefinition
from hpsearch.study.executors import InProcess
from hpsearch.study.objective import Prepared, TrialTask, evaluate
from hpsearch.study.storage import Proposal, StoredStudy, TrialResult, quiet, result_of
from hpsearch.study.strategies import NoPruner, keyed


@dataclass(frozen=True)
class Progress:
    """What a watcher is told after each trial: the results so far, how many there shall be, how many were found."""

    results: Sequence[TrialResult]
    trials: int
    resumed: int

    @property
    def best(self) -> TrialResult | None:
        return best_of(self.results)


def best_of(results: Sequence[TrialResult]) -> TrialResult | None:
    """The complete trial with the lowest objective value, the earliest among equals; None if none is complete."""
    complete = [result for result in results if result.value is not None]
    return min(complete, key=lambda result: (result.value, result.number), default=None)


class Proposer:
    """Proposes trial t from an in-memory study that holds the results up to t - W, and those after as running.

    What it proposes is a function of the definition, t and those results alone: the storage is not looked at.
    """

    def __init__(self, definition: StudyDefinition) -> None:
        self._definition = definition
        with quiet():
            self._study = optuna.create_study(direction="minimize", pruner=optuna.pruners.NopPruner())
        self._asked = 0

    def add(self, proposal: Proposal, results: Sequence[TrialResult]) -> None:
        """Take a trial that was proposed before, in this process's past or another's."""
        self._tell_window(results)
        self._study.add_trial(
            create_trial(state=TrialState.RUNNING, params=proposal.chosen, distributions=proposal.distributions)
        )
        self._asked += 1

    def propose(self, results: Sequence[TrialResult]) -> Proposal:
        """Propose the next trial; ``results`` are those told, by number."""
        self._tell_window(results)
        self._study.sampler = keyed(self._definition.sampler, self._definition.seed, self._asked)
        trial = self._study.ask()
        chosen = self._definition.space.suggest(trial, self._definition.train)
        self._asked += 1
        return Proposal(trial.number, chosen, dict(trial.distributions))

    def _tell_window(self, results: Sequence[TrialResult]) -> None:
        """Before trial t is asked, tell t - W."""
        number = self._asked - self._definition.in_flight
        if number < 0:
            return
        result = results[number]
        trial = optuna.trial.Trial(self._study, self._study.get_trials(deepcopy=False)[number]._trial_id)
        for epoch, value in zip(result.epochs, result.intermediate, strict=True):
            trial.report(value, epoch)
        self._study.tell(trial, result.value, TrialState[result.state])


class Coordinator:
    """Runs or resumes one stored study."""

    def __init__(
        self,
        prepared: Prepared,
        stored: StoredStudy,
        executor: Executor | None = None,
        slots: int = 1,
        watch: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        """
        Args:
            prepared: the study with its data.
            stored: where it is kept; only this coordinator may write there.
            executor: who evaluates trials; this process by default.
            slots: trials submitted at a time, at most ``in_flight``.
            watch: called after each trial that is told.
        """
        self._prepared, self._stored, self._watch = prepared, stored, watch
        self._definition = prepared.definition
        self._executor = executor or InProcess()
        self._slots = min(slots, self._definition.in_flight)
        self._proposer = Proposer(self._definition)
        self._proposals: list[Proposal] = []
        self._results: list[TrialResult] = []
        self._futures: dict[int, Future[TrialResult]] = {}

    def run(self) -> Sequence[TrialResult]:
        """Run until ``trials`` trials are told; those already told are not run again. Returns all results."""
        self._load()
        resumed, trials = len(self._results), self._definition.trials
        # Two BLAS threads on such small matrices cost more than they save, and sums would depend on their number.
        with threadpool_limits(1):
            with self._stored.transaction():
                self._ask()
            self._watch(Progress(self._results, trials, resumed))
            while len(self._results) < trials:
                result = self._wait()
                with self._stored.transaction():
                    self._stored.tell(result)
                    self._results.append(result)
                    self._ask()
                self._watch(Progress(self._results, trials, resumed))
        return self._results

    def _load(self) -> None:
        """Replay what is stored: results in order, then trials that were running, to be run again as they were."""
        for trial in self._stored.trials():
            if trial.state.is_finished():
                self._results.append(result_of(trial))
            self._proposals.append(Proposal(trial.number, trial.params, trial.distributions))
        for proposal in self._proposals:
            self._proposer.add(proposal, self._results)

    def _ask(self) -> None:
        end = min(self._definition.trials, len(self._results) + self._definition.in_flight)
        while len(self._proposals) < end:
            proposal = self._proposer.propose(self._results)
            self._stored.add(proposal)
            self._proposals.append(proposal)

    def _wait(self) -> TrialResult:
        """The result of the oldest trial that is not told."""
        first = len(self._results)
        for number in range(first, min(first + self._slots, len(self._proposals))):
            if number not in self._futures:
                self._futures[number] = self._executor.submit(evaluate, self._prepared, self._task(number))
        return self._futures.pop(first).result()

    def _task(self, number: int) -> TrialTask:
        """A trial's pruner sees what was told before the trial was asked."""
        seen: Any = ()
        if not isinstance(self._definition.pruner, NoPruner):
            seen = tuple(self._results[: max(0, number - self._definition.in_flight + 1)])
        return TrialTask(number, self._proposals[number].chosen, seen)
