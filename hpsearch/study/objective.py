"""One trial: a pure function of the study, the hyperparameters, the trial's number and what its pruner may see."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch import seeds
from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import Split, hold_out, make_splits
from hpsearch.errors import DataError
from hpsearch.study.definition import StudyDefinition
from hpsearch.study.storage import State, TrialResult
from hpsearch.study.strategies import NoPruner
from hpsearch.validation.cross_validate import CrossValidation, Outcome, cross_validate

if TYPE_CHECKING:
    from optuna.trial import Trial

_STATES: dict[Outcome, State] = {"complete": "COMPLETE", "pruned": "PRUNED", "diverged": "FAIL"}
# Another version of these may give other bits.
_VERSIONED = ("hpsearch", "numpy", "nnfs", "optuna", "scikit-learn")


@dataclass(frozen=True)
class Prepared:
    """A study's data, loaded once: the rows to search with, the rows held out, and the splits of the former."""

    definition: StudyDefinition
    search: Dataset
    held_out: Dataset | None
    splits: tuple[Split, ...]

    def identity(self) -> dict[str, Any]:
        """The definition's identity, with the data's fingerprint and the versions of what computes."""
        versions = {f"version.{package}": version(package) for package in _VERSIONED}
        held_out = None if self.held_out is None else self.held_out.fingerprint
        data = {"data.fingerprint": self.search.fingerprint, "holdout.fingerprint": held_out}
        return {**self.definition.identity(), **data, **versions}

    def facts(self) -> dict[str, Any]:
        """What a person wants to see before running it, in plain values."""
        definition, data = self.definition, self.search
        counts = np.bincount(data.labels, minlength=len(data.class_names)).tolist()
        space = definition.space.dimensions
        return {
            "study": definition.name,
            "source": definition.data.source,
            "rows_to_search_with": data.rows,
            "rows_held_out": 0 if self.held_out is None else self.held_out.rows,
            "features": data.features.shape[1],
            "classes": dict(zip(data.class_names, counts, strict=True)),
            "splits": len(self.splits),
            "training_rows_of_a_split": min(len(split.training) for split in self.splits),
            "searched": {name: dimension.describe() for name, dimension in space.items()},
            "trials": definition.trials,
            "sampler": definition.sampler.name,
            "pruner": definition.pruner.name,
            "data_fingerprint": data.fingerprint,
        }


def prepare(definition: StudyDefinition) -> Prepared:
    """Load the data, set the hold-out aside, and split the rest.

    Raises:
        DataError: data or splits that cannot be used.
    """
    seed, validation = definition.seed, definition.validation
    data = definition.data.load(definition.folder, seeds.integer_seed(seed, "data"))
    held_out: Dataset | None = None
    if definition.holdout.fresh:
        held_out = definition.data.load(definition.folder, seeds.integer_seed(seed, "fresh"))
        if held_out.fingerprint == data.fingerprint:
            raise DataError(
                f"[holdout] fresh must give other rows than the study's, but {definition.data.source!r} gave the same. "
                "Its function needs an argument `seed`."
            )
    elif definition.holdout.fraction is not None:
        stratify = validation.splitter == "stratified"
        data, held_out = hold_out(data, definition.holdout.fraction, stratify, seed)
    splits = make_splits(data, validation.splitter, validation.n_splits, validation.repeats, validation.shuffle, seed)
    return Prepared(definition, data, held_out, splits)


@dataclass(frozen=True)
class TrialTask:
    """A trial to evaluate: ``history`` holds the trials that its pruner may see."""

    number: int
    chosen: Mapping[str, Any]
    history: Sequence[TrialResult] = field(default_factory=tuple)


def evaluate(prepared: Prepared, task: TrialTask) -> TrialResult:
    """Cross-validate the task's configuration. Pure: no storage, no clock but for ``seconds``."""
    definition = prepared.definition
    begun = time.perf_counter()
    should_stop, marks = _pruning(definition, task)
    outcome = cross_validate(
        prepared.search,
        prepared.splits,
        definition.config(task.chosen),
        definition.seed,
        evaluate_every=definition.evaluate_every,
        rule=definition.validation.checkpoint,
        should_stop=should_stop,
    )
    return _result(task.number, outcome, time.perf_counter() - begun, marks())


def _result(number: int, outcome: CrossValidation, seconds: float, marks: dict[str, Any]) -> TrialResult:
    return TrialResult(
        number=number,
        state=_STATES[outcome.outcome],
        value=outcome.value,
        parameters=outcome.parameters,
        seconds=round(seconds, 4),
        accuracy=outcome.accuracy,
        best_epoch=outcome.best_epoch,
        reason=outcome.reason,
        epochs=outcome.curve.epochs,
        intermediate=outcome.curve.means,
        training_loss=outcome.curve.training_loss,
        validation_loss=outcome.curve.validation_loss,
        folds=[asdict(fold) for fold in outcome.folds],
        pruner_marks=marks,
    )


def _pruning(
    definition: StudyDefinition, task: TrialTask
) -> tuple[Callable[[int, float], bool], Callable[[], dict[str, Any]]]:
    """Ask the study's pruner, and collect what it noted with the trial."""
    if isinstance(definition.pruner, NoPruner):
        return lambda epoch, mean: False, dict
    trial = _mirrored_trial(definition, task)

    def should_stop(epoch: int, mean: float) -> bool:
        trial.report(mean, epoch)
        return trial.should_prune()

    return should_stop, lambda: dict(trial.study.get_trials(deepcopy=False)[task.number].system_attrs)


def _mirrored_trial(definition: StudyDefinition, task: TrialTask) -> Trial:
    """The trial under its own number, in an in-memory study that holds exactly what its pruner may see."""
    import optuna
    from optuna.trial import TrialState, create_trial

    from hpsearch.study.storage import quiet

    known = {result.number: result for result in task.history}
    with quiet():
        study = optuna.create_study(
            study_name=definition.name,
            direction="minimize",
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=definition.pruner.build(),
        )
    for number in range(task.number):
        result = known.get(number)
        # Trials are told apart by their position: one that may not be seen is there as a failed one, which no pruner
        # considers.
        study.add_trial(
            create_trial(state=TrialState.FAIL)
            if result is None or result.state == "FAIL"
            else create_trial(
                state=TrialState[result.state],
                value=result.value if result.state == "COMPLETE" else result.intermediate[-1],
                intermediate_values=dict(zip(result.epochs, result.intermediate, strict=True)),
                system_attrs=result.pruner_marks,
            )
        )
    return study.ask()
