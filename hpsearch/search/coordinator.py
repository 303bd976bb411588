"""The one owner of a study: it asks, waits and tells, strictly in order, and is the only one that writes.

With W = ``in_flight``: trials 0 … W - 1 are asked; then, for k = 0, 1, 2, …, the result of k is awaited, and in one
database transaction k is told and k + W is asked. So trial t is proposed knowing exactly the results of the trials up
to t - W, whoever evaluates them and in whatever order they finish.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hpsearch.definition.study import StudyDefinition
from hpsearch.search.objective import Prepared, TrialTask
from hpsearch.search.proposer import Proposer
from hpsearch.search.pruning import PriorTrial
from hpsearch.search.reuse import replayed
from hpsearch.search.supervisor import Supervisor, Work
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import Proposal, StoredStudy
from hpsearch.storage.trial_result import TrialResult, best_result, minimised, standard_error
from hpsearch.validation.metric import Metric

LIVE_SECONDS = 1.0  # between writes of running trials' values


@dataclass(frozen=True, repr=False)
class Progress:
    """What a progress callback is told.

    Attributes:
        results: of the trials told so far.
        trials: how many there shall be.
        resumed: how many were told before this run.
        metric: the objective.
        running: the last (epoch, mean objective) of trials under way, by number.
        finalists: how many trials are compared again once all are told; 0 until then.
        finals: of the finalists evaluated so far.
    """

    results: Sequence[TrialResult]
    trials: int
    resumed: int
    metric: Metric
    running: Mapping[int, tuple[int, float]] = field(default_factory=dict)
    finalists: int = 0
    finals: Sequence[TrialResult] = ()

    @property
    def best(self) -> TrialResult | None:
        return best_result(self.results, self.metric)

    def __repr__(self) -> str:
        best = self.best
        record = "none yet" if best is None else repr(best)
        finals = f"; finals {len(self.finals)} of {self.finalists}" if self.finalists else ""
        return f"<Progress: {len(self.results)} of {self.trials} trials; best {record}{finals}>"


def trials_wanted(definition: StudyDefinition, results: Sequence[TrialResult], limit: int) -> int:
    """How many trials there shall be, given those told: ``limit``, or fewer by ``stop``.

    With ``stop`` = n the study ends once n trials told in a row have not improved the best value by more than its
    standard error over the folds; trials that were asked by then are finished.
    """
    stop, metric = definition.search.stop, definition.metric
    if stop is None:
        return limit
    bests: list[TrialResult | None] = []
    for result in results:
        bests.append(best_result([*bests[-1:], result], metric))
        before = bests[-1 - stop] if len(bests) > stop else None
        now = bests[-1]
        if before is None or now is None:
            continue
        if minimised(before, metric) - minimised(now, metric) <= (standard_error(before) or 0):
            return min(limit, result.number + definition.search.in_flight)  # those asked before this one was told
    return limit


class Coordinator(Work):
    """Runs or resumes one stored study, of which it must be the sole owner."""

    def __init__(
        self,
        prepared: Prepared,
        stored: StoredStudy,
        supervisor: Supervisor,
        *,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        reuse: bool = True,
    ) -> None:
        """
        Args:
            prepared: the study with its data.
            stored: the same in its storage.
            supervisor: has trials evaluated, and attends to no other work meanwhile.
            on_progress: called after each trial that is told, and when running trials have news.
            reuse: train two trials of one configuration once.
        """
        self._stored, self._supervisor, self._on_progress, self._reuse = stored, supervisor, on_progress, reuse
        self._prepared, self._definition = prepared, prepared.definition
        self._proposer = Proposer(self._definition, prepared.sizes)
        self._proposals: list[Proposal] = []
        self._results: list[TrialResult] = []
        self._prunes = self._definition.build_pruner() is not None
        self._prior_trials: list[PriorTrial] = []  # the results, as pruners may know them
        self._resumed = 0
        self._saved_at = time.monotonic()
        self._wanted_when: dict[int, int] = {}
        # The first trial of every configuration, and of every trial the one that it duplicates.
        self._first: dict[str, int] = {}
        self._duplicate_of: list[int | None] = []

    def run(self) -> Sequence[TrialResult]:
        """Run until all trials are told; those already told are not run again. Returns all results.

        Raises:
            TimeUpError: the supervisor's time is up.
        """
        self._load()
        self._resumed = len(self._results)
        with self._stored.transaction():
            self._ask()
        self._on_progress(self._progress())
        if len(self._results) >= self._wanted():
            return self._results
        self._stored.row_results.begin(self._prepared.layout())
        while len(self._results) < self._wanted():
            self._tell(self._supervisor.result(len(self._results)))
        return self._results

    def _wanted(self) -> int:
        told = len(self._results)
        if told not in self._wanted_when:
            self._wanted_when[told] = trials_wanted(self._definition, self._results, self._prepared.limit)
        return self._wanted_when[told]

    def _progress(self) -> Progress:
        running = self._supervisor.running
        results = tuple(self._results)
        return Progress(results, self._wanted(), self._resumed, self._definition.metric, running)

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
        for proposal in self._propose():
            self._stored.add(proposal)

    def _propose(self) -> Sequence[Proposal]:
        """The trials that are to be under way now and are not yet: to be stored before anything else is done."""
        end, before = min(self._wanted(), len(self._results) + self._definition.search.in_flight), len(self._proposals)
        while len(self._proposals) < end:
            self._add_proposal(self._proposer.propose(self._results))
        return self._proposals[before:]

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
            known = result.pruner_attributes, result.parameters
            self._prior_trials.append(PriorTrial(result.number, result.state, values, final, *known))

    def _tell(self, result: TrialResult) -> None:
        self._stored.write_row_results(result)
        result = replace(result, rows=None)
        self._add_result(result)
        # Before the transaction: while one is open, no other study of an SQLite file can be written.
        asked = self._propose()
        with self._stored.transaction():
            self._stored.tell(result)
            for proposal in asked:
                self._stored.add(proposal)
        self._on_progress(self._progress())

    # ------------------------------------------------------------ what the supervisor asks

    def waiting(self) -> Iterator[int]:
        told = len(self._results)
        for number in range(told, min(self._wanted(), len(self._proposals))):
            first = self._duplicate_of[number] if self._reuse else None
            if first is None or first < told:  # else that one will be told before this one is needed
                yield number

    def task(self, number: int) -> TrialTask:
        """A trial's pruner sees what was told before the trial was asked."""
        prior_trials = self._prior_trials[: max(0, number - self._definition.search.in_flight + 1)]
        return TrialTask(number, self._proposals[number].chosen, prior_trials)

    def known(self, number: int) -> TrialResult | None:
        first = self._duplicate_of[number] if self._reuse else None
        if first is None or first >= len(self._results):
            return None
        return replayed(self._definition, self.task(number), self._results[first])

    def news(self) -> None:
        """Store running trials' values, about once a second; at the tell they are overwritten by the same."""
        if time.monotonic() - self._saved_at < LIVE_SECONDS:
            return
        self._saved_at = time.monotonic()
        if values := self._supervisor.take_values():
            with self._stored.transaction():
                for number, of_trial in values.items():
                    self._stored.report(number, of_trial)
        self._on_progress(self._progress())
