"""The finals: the best few trials of a search again, on splits and with seeds that no choice was made with.

The lowest of a hundred noisy means is low by luck as well: of the splits and of the networks' seeds. So the best
complete trials, each of another configuration, are cross-validated again on fresh repeats of the splits with fresh
seeds, all repeats of a configuration as lanes of one call, and configuration and epoch are chosen on all these repeats
together. What is shipped is an ensemble, so the choice is made by the out-of-fold ensemble: the average of the networks
that never saw a row, one a repeat (:mod:`hpsearch.validation.out_of_fold`).

Networks of K - 1 of K folds are judged, but what is shipped trains on all rows. So the chosen finalist is trained once
more with a further fold left out, which tells how its loss falls with the rows
(:mod:`hpsearch.validation.learning_curve`). No choice is made by that.

A finalist is trained for half as many epochs again as its trial's chosen checkpoint had, at most for those of the
trial: an ensemble may gain from a few more. Its result depends on the definition and its configuration alone. It is
stored under its trial's number, and used again where more trials leave it a finalist.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from optuna.trial import FrozenTrial

from hpsearch.definition.study import StudyDefinition
from hpsearch.search.coordinator import LIVE_SECONDS, Progress
from hpsearch.search.objective import Prepared, TrialTask
from hpsearch.search.supervisor import Supervisor, Work
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult, ranked
from hpsearch.validation.layout import Layout
from hpsearch.validation.out_of_fold import ensemble_layout


def best_of_each(
    definition: StudyDefinition, results: Sequence[TrialResult], chosen: Sequence[Mapping[str, object]], count: int
) -> list[TrialResult]:
    """The best complete trials, each of another configuration, from the best on.

    Args:
        definition: the study's.
        results: of the trials that ended.
        chosen: the hyperparameters of every trial, by number.
        count: how many at most.
    """
    distinct: dict[str, TrialResult] = {}
    for result in ranked(results, definition.metric):
        if len(distinct) == count:
            break
        distinct.setdefault(definition.config(chosen[result.number]).fingerprint, result)
    return list(distinct.values())


def finals(
    stored: StoredStudy, definition: StudyDefinition, trials: Sequence[FrozenTrial] | None = None
) -> list[TrialResult]:
    """What became of those finalists that were evaluated, from the best of the search on.

    Args:
        stored: the study.
        definition: its definition.
        trials: of the study, where they have been read.
    """
    known = stored.finals() if definition.finalists else {}
    if not known:
        return []
    trials = stored.trials() if trials is None else trials
    results = [stored_result(trial) for trial in trials if trial.state.is_finished()]
    finalists = best_of_each(definition, results, [trial.params for trial in trials], definition.finalists)
    return [known[result.number] for result in finalists if result.number in known]


@dataclass(frozen=True)
class Choice:
    """What the finals chose.

    Attributes:
        final: the finalist's result.
        epoch: the chosen checkpoint's.
        value: the objective there, of what was to be chosen.
        of_ensemble: whether that is the out-of-fold ensemble, or single networks on average.
    """

    final: TrialResult
    epoch: int
    value: float
    of_ensemble: bool


def choose(finals: Sequence[TrialResult], definition: StudyDefinition, ensemble: bool) -> Choice | None:
    """The finalist and the epoch with the best objective, of equal ones the earlier; None if none is complete.

    Args:
        finals: from the best of the search on.
        definition: the study's.
        ensemble: choose for an ensemble, by the out-of-fold ensemble; otherwise for one network, by the mean over all
            splits and repeats.
    """
    sign, last = definition.metric.sign, definition.validation.checkpoint == "last"
    choices = []
    for final in finals:
        if final.ensemble is None:
            continue
        curve = final.ensemble.objective if ensemble else final.intermediate
        place = len(curve) - 1 if last else min(range(len(curve)), key=lambda at: sign * curve[at])
        choices.append(Choice(final, final.epochs[place], curve[place], ensemble))
    return min(choices, key=lambda choice: sign * choice.value, default=None)


def is_of(result: TrialResult | None, choice: Choice) -> bool:
    """Whether this is what became of the chosen finalist, up to the chosen epoch, with fewer rows."""
    return result is not None and (result.number, result.best_epoch) == (choice.final.number, choice.epoch)


class Finals(Work):
    """Evaluates the finalists of a stored study whose trials are told; this process is its sole owner."""

    def __init__(
        self,
        prepared: Prepared,
        stored: StoredStudy,
        supervisor: Supervisor,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        """
        Args:
            prepared: the study with its data.
            stored: the same in its storage.
            supervisor: has finalists evaluated, and attends to no other work meanwhile.
            on_progress: called after each finalist, and when running ones have news.
        """
        self._prepared, self._stored, self._supervisor = prepared, stored, supervisor
        self._on_progress = on_progress
        begun = stored.at_one_moment()
        trials, known = begun.trials(), begun.finals()
        self._chosen = [trial.params for trial in trials]
        self._results = [stored_result(trial) for trial in trials if trial.state.is_finished()]
        definition = prepared.definition
        self._finalists = best_of_each(definition, self._results, self._chosen, definition.finalists)
        self._finals = {r.number: known[r.number] for r in self._finalists if r.number in known}
        self._fewer_rows: Choice | None = None  # what is being trained on fewer rows
        self._reported_at = time.monotonic()

    def run(self) -> None:
        """Evaluate those finalists that were not evaluated before, then the chosen one with fewer rows.

        Raises:
            TimeUpError: the supervisor's time is up.
        """
        wanted = [result.number for result in self._finalists if result.number not in self._finals]
        if wanted:
            self._stored.final_row_results.begin(self._layout())
        for number in wanted:
            self._report()
            result = self._supervisor.result(number)
            self._stored.write_final(result)
            self._finals[number] = replace(result, rows=None)
        self._report()
        self._fewer_rows = self._to_train_on_fewer_rows()
        if self._fewer_rows is not None:
            number, epoch = self._fewer_rows.final.number, self._fewer_rows.epoch
            if self._prepared.final_pairs is None:
                why = "there is too little to train on, or the splits are no folds"
                result = TrialResult(number, "FAIL", None, parameters=0, seconds=0.0, reason=why)
            else:
                result = self._supervisor.result(number)
            # Whatever became of it, it is known by the epoch that it was to be trained to.
            self._stored.write_fewer_rows(replace(result, best_epoch=epoch), self._layout())
            self._report()

    def _to_train_on_fewer_rows(self) -> Choice | None:
        """The choice, where its ensemble is shipped and it was not trained on fewer rows before."""
        definition = self._prepared.definition
        if definition.retrain.members == 1:
            return None
        evaluated = [self._finals[result.number] for result in self._finalists]
        choice = choose(evaluated, definition, ensemble=True)
        return None if choice is None or is_of(self._stored.fewer_rows(), choice) else choice

    def _layout(self) -> Layout:
        """Which row every per-row result of a finalist belongs to."""
        prepared = self._prepared
        return ensemble_layout(prepared.search, prepared.final_splits, prepared.definition.validation.splitter)

    def _report(self) -> None:
        self._reported_at = time.monotonic()
        told, metric = len(self._results), self._prepared.definition.metric
        finals = [self._finals[result.number] for result in self._finalists if result.number in self._finals]
        results, running = tuple(self._results), self._supervisor.running
        self._on_progress(Progress(results, told, told, metric, running, len(self._finalists), tuple(finals)))

    # ------------------------------------------------------------ what the supervisor asks

    def waiting(self) -> Iterator[int]:
        if self._fewer_rows is not None:
            return iter([self._fewer_rows.final.number])
        return (result.number for result in self._finalists if result.number not in self._finals)

    def task(self, number: int) -> TrialTask:
        if self._fewer_rows is not None:
            return TrialTask(number, self._chosen[number], final_epochs=self._fewer_rows.epoch, fewer_rows=True)
        return TrialTask(number, self._chosen[number], final_epochs=self._epochs(number))

    def _epochs(self, number: int) -> int:
        """Half as many again as the trial's chosen checkpoint had, up to a checkpoint: beyond it nothing was better."""
        definition, best_epoch = self._prepared.definition, self._results[number].best_epoch
        assert best_epoch is not None  # a finalist is complete
        every, most = definition.evaluate_every, definition.config(self._chosen[number]).epochs
        return min(most, math.ceil(1.5 * best_epoch / every) * every)

    def news(self) -> None:
        if time.monotonic() - self._reported_at >= LIVE_SECONDS:
            self._report()
