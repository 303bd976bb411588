"""What a pruner is shown: a study that holds the trial itself and those told before it was asked, and nothing else."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from typing import Any, NoReturn

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from hpsearch.definition.study import StudyDefinition

_NO_TIME = datetime(2000, 1, 1)  # pruners do not look at the clock


@dataclass(frozen=True)
class PriorTrial:
    """What a pruner may know of an earlier trial: its end, its mean objective by epoch, what its pruner noted, and how
    many parameters its networks have."""

    number: int
    state: str
    intermediate: Mapping[int, float]
    value: float | None = None
    pruner_attributes: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0

    @cached_property
    def frozen(self) -> FrozenTrial:
        """The trial as Optuna has it; made once, since each later trial looks at it at each checkpoint."""
        if self.state == "FAIL":  # no pruner considers it
            return _blank(self.number)
        return _trial(self.number, TrialState[self.state], self.value, self.intermediate, self.pruner_attributes)


class Pruning:
    """Asks the study's pruner about one trial.

    Where few parameters are an objective as well, it sees trials that have no more: a small network is not stopped
    because larger ones are better.

    Args:
        definition: the study's.
        number: the trial's.
        prior_trials: those that were told before it was asked.
        parameters: of its networks.
    """

    def __init__(
        self, definition: StudyDefinition, number: int, prior_trials: Sequence[PriorTrial], parameters: int
    ) -> None:
        pruner = definition.build_pruner()
        if "parameters" in definition.search.costs:
            prior_trials = [trial for trial in prior_trials if trial.parameters <= parameters]
        self._mirror = None if pruner is None else _Mirror(definition, number, prior_trials)
        if self._mirror is not None:
            # Hyperband's brackets follow from the study's name and the trial's number. The sampler is never asked.
            name, sampler = definition.bracket_name, optuna.samplers.RandomSampler(seed=0)
            study = optuna.load_study(study_name=name, storage=self._mirror, sampler=sampler, pruner=pruner)
            self._trial = Trial(study, number)

    def should_stop(self, epoch: int, mean: float) -> bool:
        """Whether to stop, given the mean objective at one more checkpoint."""
        if self._mirror is None:
            return False
        self._trial.report(mean, epoch)
        return self._trial.should_prune()

    @property
    def attributes(self) -> dict[str, Any]:
        """What the pruner noted with the trial, for those that look at it later."""
        return {} if self._mirror is None else dict(self._mirror.own.system_attrs)


def _trial(
    number: int,
    state: TrialState,
    value: float | None = None,
    intermediate: Mapping[int, float] | None = None,
    system_attributes: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=value,
        datetime_start=_NO_TIME,
        datetime_complete=_NO_TIME if state.is_finished() else None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs=dict(system_attributes or {}),
        intermediate_values=dict(intermediate or {}),
    )


@cache
def _blank(number: int) -> FrozenTrial:
    """Stands where a trial may not be known: trials are told apart by their position, and failed ones considered by no
    pruner."""
    return _trial(number, TrialState.FAIL)


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError("A pruner looks at trials and writes attributes of its own; it does nothing else.")


class _Mirror(BaseStorage):
    """One trial of one study, with what it may see of the others: the part of a storage that pruners use.

    Optuna's own storage in memory would copy every earlier trial for every new one.
    """

    def __init__(self, definition: StudyDefinition, number: int, prior_trials: Sequence[PriorTrial]) -> None:
        self._name, self.own = definition.bracket_name, _trial(number, TrialState.RUNNING)
        self._direction = StudyDirection[definition.metric.direction.upper()]
        known = {trial.number: trial for trial in prior_trials}
        self._others = [known[n].frozen if n in known else _blank(n) for n in range(number)]

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [self._direction]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = [*self._others, self.get_trial(self.own.number)]
        return [trial for trial in trials if states is None or trial.state in states]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        own = self.own  # a copy of it: what a pruner notes now must not appear in what it looked up before
        return _trial(own.number, own.state, None, own.intermediate_values, own.system_attrs)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self.own.intermediate_values[step] = intermediate_value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.own.system_attrs[key] = value

    create_new_study = delete_study = get_all_studies = create_new_trial = _refuse
    set_study_user_attr = set_study_system_attr = get_study_user_attrs = get_study_system_attrs = _refuse
    set_trial_param = set_trial_state_values = set_trial_user_attr = _refuse
