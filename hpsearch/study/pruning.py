"""What a pruner is shown: an in-memory study that holds the trial itself and those told before it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpsearch.study.definition import StudyDefinition

if TYPE_CHECKING:
    from optuna.trial import Trial


@dataclass(frozen=True)
class Seen:
    """What a pruner may know of an earlier trial: its end, its mean validation losses by epoch, its rung marks."""

    number: int
    state: str
    intermediate: Mapping[int, float]
    value: float | None = None
    marks: Mapping[str, Any] = field(default_factory=dict)


class Pruning:
    """Asks the study's pruner about one trial."""

    def __init__(self, definition: StudyDefinition, number: int, history: Sequence[Seen]) -> None:
        self._number = number
        pruner = definition.build_pruner()
        self._trial = None if pruner is None else _mirrored(definition.name, pruner, number, history)

    def should_stop(self, epoch: int, mean: float) -> bool:
        """Whether to stop, given the mean validation loss at one more checkpoint."""
        if self._trial is None:
            return False
        self._trial.report(mean, epoch)
        return self._trial.should_prune()

    @property
    def marks(self) -> dict[str, Any]:
        """What the pruner noted with the trial, for those that look at it later."""
        if self._trial is None:
            return {}
        return dict(self._trial.study.get_trials(deepcopy=False)[self._number].system_attrs)


def _mirrored(name: str, pruner: Any, number: int, history: Sequence[Seen]) -> Trial:
    """The trial under its own number. (Hyperband's brackets follow from the study's name and the trial's number.)"""
    import optuna
    from optuna.trial import TrialState, create_trial

    sampler = optuna.samplers.RandomSampler(seed=0)  # never asked for anything
    study = optuna.create_study(study_name=name, direction="minimize", sampler=sampler, pruner=pruner)
    known = {trial.number: trial for trial in history}
    unknown = create_trial(state=TrialState.FAIL)
    for earlier in range(number):
        seen = known.get(earlier)
        # Trials are told apart by their position: one that may not be seen stands there as failed, which no pruner
        # considers.
        study.add_trial(
            unknown
            if seen is None or seen.state == "FAIL"
            else create_trial(
                state=TrialState[seen.state],
                value=seen.value,
                intermediate_values=dict(seen.intermediate),
                system_attrs=dict(seen.marks),
            )
        )
    return study.ask()
