"""Proposes trials, from what they may know and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpsearch.definition.network_sizes import NetworkSizes
from hpsearch.definition.study import StudyDefinition
from hpsearch.storage.quiet import quiet
from hpsearch.storage.stored_study import Proposal
from hpsearch.storage.trial_result import TrialResult
from hpsearch.validation.costs import COSTS


class Proposer:
    """Proposes trial t from an in-memory study that holds the results up to t - W, and those after as running.

    What it proposes is a function of the definition, how large networks may be, t and those results alone: the storage
    is not looked at.
    """

    def __init__(self, definition: StudyDefinition, sizes: NetworkSizes) -> None:
        self._definition, self._sizes = definition, sizes
        with quiet():
            directions = [StudyDirection[definition.metric.direction.upper()]]
            directions += [StudyDirection.MINIMIZE] * len(definition.search.costs)
            self._study = optuna.create_study(directions=directions, pruner=optuna.pruners.NopPruner())
        self._asked = 0

    def add(self, proposal: Proposal, results: Sequence[TrialResult]) -> None:
        """Take a trial that was proposed before, in this process's past or another's."""
        if self._definition.search.sampler.stateful:
            self.propose(results)  # what a proposal leaves in the study cannot be had otherwise
            return
        self._tell_window(results)
        self._study.add_trial(proposal.running())
        self._asked += 1

    def propose(self, results: Sequence[TrialResult]) -> Proposal:
        """Propose the next trial; ``results`` are those told, by number."""
        self._tell_window(results)
        number, definition = self._asked, self._definition
        self._study.sampler = definition.build_sampler(number, self._sizes)
        if number < len(definition.first_configurations):
            self._study.enqueue_trial(dict(definition.first_configurations[number]))
        trial = self._study.ask()
        chosen = definition.space.suggest(trial, definition.train, self._sizes)
        self._correct(trial, chosen)
        self._asked += 1
        # A stateful sampler's attributes are rebuilt by proposing again, and too large to store.
        attributes = {} if definition.search.sampler.stateful else dict(self._trial(number).system_attrs)
        return Proposal(number, chosen, dict(trial.distributions), attributes)

    def _correct(self, trial: optuna.Trial, chosen: Mapping[str, Any]) -> None:
        """Have the study hold what is trained, where that is a smaller network than the sampler proposed."""
        proposed, distributions = trial.params, trial.distributions
        for name, value in chosen.items():
            if value != proposed[name]:
                kind = distributions[name]
                self._study._storage.set_trial_param(trial._trial_id, name, kind.to_internal_repr(value), kind)

    def _tell_window(self, results: Sequence[TrialResult]) -> None:
        """Before trial t is asked, tell t - W."""
        number = self._asked - self._definition.search.in_flight
        if number < 0:
            return
        result = results[number]
        trial = optuna.trial.Trial(self._study, self._trial(number)._trial_id)
        costs = [COSTS[name] for name in self._definition.search.costs]
        if not costs:  # of one objective alone Optuna takes values in between
            for epoch, value in zip(result.epochs, result.intermediate, strict=True):
                trial.report(value, epoch)
        values = None
        if result.value is not None:
            values = [result.value, *(cost.scaled(getattr(result, cost.field)) for cost in costs)]
        self._study.tell(trial, values, TrialState[result.state])

    def _trial(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]
