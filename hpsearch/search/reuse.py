"""Two trials of one configuration are trained once: they share all randomness, so their curves are the same."""

from __future__ import annotations

from dataclasses import replace

from hpsearch.definition.study import StudyDefinition
from hpsearch.search.objective import TrialTask
from hpsearch.search.pruning import Pruning
from hpsearch.storage.quiet import quiet
from hpsearch.storage.trial_result import TrialResult
from hpsearch.validation.cross_validate import pruned_reason


def replayed(definition: StudyDefinition, task: TrialTask, earlier: TrialResult) -> TrialResult | None:
    """The result of ``task`` from the curve of an earlier trial of the same configuration.

    The curve goes through the task's own pruner. None where the earlier trial's curve ends too early to tell.
    """
    last = len(earlier.epochs) if earlier.state == "COMPLETE" else None  # where it is complete, nothing stops it
    with quiet():
        pruning = Pruning(definition, task.number, task.prior_trials, earlier.parameters)
        for place, (epoch, mean) in enumerate(zip(earlier.epochs, earlier.intermediate, strict=True), start=1):
            if earlier.state == "FAIL" and place == len(earlier.epochs):
                break  # where it diverged, no pruner was asked
            if pruning.should_stop(epoch, mean) and place != last:
                return TrialResult(
                    number=task.number,
                    state="PRUNED",
                    value=None,
                    parameters=earlier.parameters,
                    seconds=0.0,
                    reason=pruned_reason(epoch, mean, definition.metric),
                    epochs=earlier.epochs[:place],
                    intermediate=earlier.intermediate[:place],
                    training_loss=earlier.training_loss[:place],
                    validation_loss=earlier.validation_loss[:place],
                    pruner_attributes=pruning.attributes,
                    same_as=earlier.number,
                )
    if earlier.state == "PRUNED" or not earlier.epochs:
        return None
    return replace(
        earlier, number=task.number, seconds=0.0, pruner_attributes=pruning.attributes, same_as=earlier.number
    )
