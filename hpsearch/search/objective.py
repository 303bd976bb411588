"""One trial: a pure function of the study, the hyperparameters, the trial's number and what its pruner may see."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch import seeds
from hpsearch.data.audit import Finding, audit
from hpsearch.data.columns import summary
from hpsearch.data.dataset import Dataset
from hpsearch.data.given import features_of_splits
from hpsearch.data.matrix import is_large
from hpsearch.data.preprocess import Scaling, column_without_values, without_values
from hpsearch.data.splits import Split, hold_out, make_splits
from hpsearch.data.target_scaling import require_scalable
from hpsearch.definition.network_sizes import NetworkSizes
from hpsearch.definition.study import StudyDefinition, as_key
from hpsearch.errors import DataError, HpsearchError, Setting, Wording, located, quoted
from hpsearch.numbers import plural
from hpsearch.search.probe import functions_probe, training_probe
from hpsearch.search.pruning import PriorTrial, Pruning
from hpsearch.storage.quiet import quiet
from hpsearch.storage.trial_result import FUNCTIONS, MACHINE, TrialResult, TrialState
from hpsearch.threads import one_thread
from hpsearch.validation.config import Config
from hpsearch.validation.costs import COSTS
from hpsearch.validation.cross_validate import CrossValidation, Outcome, cross_validate
from hpsearch.validation.fold_networks import FoldNetworks
from hpsearch.validation.lanes import architecture_of, fit_scalings, training_weights
from hpsearch.validation.layout import Layout
from hpsearch.validation.learning_curve import Pairs, with_fewer_rows

_STATES: dict[Outcome, TrialState] = {"complete": "COMPLETE", "pruned": "PRUNED", "diverged": "FAIL"}
MOST_DEALS = 100  # of fresh splits, where a rare class may be missing by chance
_version = cache(version)  # each reading parses a file
# Another version of these may give other bits.
_VERSIONED = ("hpsearch", "numpy", "nnfs", "optuna", "scikit-learn")


@dataclass(frozen=True)
class Prepared:
    """A study's data, loaded once: the rows to search with, the rows held out, and the splits of the former.

    ``scalings`` holds what each scaling that a trial may use learns from the training rows of each split: the same for
    all trials, so it is learnt once, by the owner.
    """

    definition: StudyDefinition
    search: Dataset
    held_out: Dataset | None
    splits: tuple[Split, ...]
    scalings: Mapping[str, Sequence[Scaling]]
    _of_finals: dict[str, Sequence[Scaling]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def final_splits(self) -> tuple[Split, ...]:
        """The fresh splits of the finals; of many rows they take more memory than the search has to spare."""
        return self._fresh_splits()

    def _fresh_splits(self) -> tuple[Split, ...]:
        return fresh_splits(self.definition, self.search, "finals", self.definition.search.finalist_repeats)

    @cached_property
    def final_pairs(self) -> Pairs | None:
        """The same with a further fold left out; None where that cannot be."""
        return Pairs.of(self.final_splits, self.search)

    @cached_property
    def sizes(self) -> NetworkSizes:
        """How large the networks are that the search can choose, for these rows."""
        return _sizes(self.definition, self.search, self.scalings)

    @property
    def limit(self) -> int:
        """How many trials there shall be."""
        return self.definition.limit_of(self.sizes)

    @cached_property
    def _final_features(self) -> list[NDArray[Any]] | None:
        """What the rows' preprocessing makes of them in each of these splits, if they have one."""
        if self.search.preprocessing is None:
            return None
        return features_of_splits(self.search.preprocessing, [split.training for split in self.final_splits])

    def final_scalings(self, name: str) -> Sequence[Scaling]:
        """What a scaling learns from the training rows of each of them: once a process, for all finalists."""
        if name not in self._of_finals:
            training, seed = [split.training for split in self.final_splits], self.definition.seed
            features = self._final_features
            self._of_finals[name] = fit_scalings(self.search, training, name, study_seed=seed, features=features)
        return self._of_finals[name]

    def identity(self) -> dict[str, Any]:
        """The definition's identity, with the data's fingerprint, and the versions and machine that compute."""
        versions = {f"version.{package}": _version(package) for package in _VERSIONED}
        held_out = None if self.held_out is None else self.held_out.fingerprint
        data: dict[str, Any] = {"data.fingerprint": self.search.fingerprint, "holdout.fingerprint": held_out}
        if self.search.weights is not None:  # studies stored before have learnt scalings of the rows as they are
            data["scaling.weighted"] = True
        machine = {MACHINE: training_probe(), FUNCTIONS: functions_probe()}
        return {**self.definition.identity(), **data, **versions, **machine}

    def audit(self, wording: Wording = as_key) -> list[Finding]:
        """What the leakage audit finds in these rows and splits. (A fresh hold-out was checked when it was drawn.)

        Args:
            wording: how settings are written in what to do.
        """
        held_out = None if self.definition.holdout.fresh else self.held_out
        found = audit(self.search, held_out, self.splits, self.definition.validation.splitter)
        return [finding.worded(wording) for finding in found]

    def layout(self) -> Layout:
        """Which row every validation result belongs to."""
        return Layout.of(self.search, self.splits, self.definition.validation.splitter)

    def _target(self) -> dict[str, Any]:
        """The classes with their rows; or how a regression target is spread."""
        data = self.search
        if data.task == "classification":
            counts = np.bincount(data.labels, minlength=len(data.class_names)).tolist()
            return {"classes": dict(zip(data.class_names, counts, strict=True))}
        targets = data.labels
        of = {"mean": targets.mean(), "standard_deviation": targets.std()}
        of |= {"lowest": targets.min(), "highest": targets.max()}
        return {"target": {name: float(f"{value:.6g}") for name, value in of.items()}}

    def _index(self, name: str) -> str:
        used = "a feature" if name in self.search.columns.names else "left out"
        return f"{quoted(name)}, the first column, which has no name in the file; {used}"

    def columns(self) -> list[dict[str, Any]]:
        """One entry a column: its name, kind, missing values among the rows to search with, and categories."""
        return self.search.columns.describe(self.search.features)

    def attributes(self) -> dict[str, Any]:
        """What is stored with the study, in plain values: enough to read its tables without file and data."""
        n_splits = len(self.splits) // self.definition.validation.repeats
        return {**self.definition.attributes(), "n_splits": n_splits, "limit": self.limit}

    @property
    def data_fingerprint(self) -> str:
        """Of the rows searched with and those held out."""
        return data_fingerprint(self.search.fingerprint, self.held_out.fingerprint if self.held_out else None)

    def facts(self) -> dict[str, Any]:
        """What a person wants to see before running it, in plain values."""
        definition, data = self.definition, self.search
        space = definition.space.dimensions
        return {
            "study": definition.name,
            "source": definition.data.source,
            "rows_to_search_with": data.rows,
            "rows_held_out": 0 if self.held_out is None else self.held_out.rows,
            "columns": summary(self.columns()),
            **({} if data.index is None else {"index": self._index(data.index)}),
            "features": data.features.shape[1],
            **self._target(),
            "splits": len(self.splits),
            "training_rows_of_a_split": min(len(split.training) for split in self.splits),
            "searched": {name: dimension.describe() for name, dimension in space.items()},
            "objective": ", ".join(
                [f"{definition.metric.title} ({definition.metric.direction})"]
                + [f"{COSTS[name].title} (minimize)" for name in definition.search.costs]
            ),
            **({} if (most := self.sizes.most) is None else {"max_parameters": most}),
            "trials": self.limit,
            "sampler": definition.search.sampler.name,
            "pruner": definition.search.pruner.name,
            "patience": definition.search.patience,
            "data_fingerprint": data.fingerprint,
        }


def prepare(definition: StudyDefinition) -> Prepared:
    """Load the data, set the hold-out aside, and split the rest.

    Raises:
        DataError: data or splits that cannot be used.
    """
    try:
        return divide(definition, *load_rows(definition))
    except HpsearchError as error:
        if definition.file is not None and all(isinstance(place, Setting) for place in error.where):
            error.at(str(definition.file))  # others name the file of the rows
        error.worded(as_key)
        raise


def load_rows(definition: StudyDefinition) -> tuple[Dataset, Dataset | None]:
    """The rows to search with, and those held out, if there are any.

    Raises:
        DataError: data that cannot be used.
    """
    seed = definition.seed
    data = definition.load(seeds.integer_seed(seed, "data"))
    held_out: Dataset | None = None
    if definition.holdout.fresh:
        held_out = _fresh(definition, data)
    elif definition.holdout.fraction is not None:
        data, held_out = hold_out(data, definition.holdout.fraction, definition.validation.splitter, seed)
    return data, held_out


@located(wording=as_key)
def divide(definition: StudyDefinition, data: Dataset, held_out: Dataset | None) -> Prepared:
    """Split rows to search with, and learn from the training rows of each split what its scaling needs.

    Raises:
        DataError: splits that cannot be used, or on which the objective is undefined; targets that cannot be scaled.
    """
    seed, validation = definition.seed, definition.validation
    splits = make_splits(data, validation.splitter, validation.split_options, seed)
    require_defined(definition, data, splits)
    if definition.search.stop is not None and len(splits) == 1:
        raise DataError(
            "compares a gain with its standard error over the splits",
            "there is a single split",
            "Leave it out, or use more splits.",
            where=Setting("search.stop"),
        )
    training = [split.training for split in splits]
    # Classes that there are not, a loss for others than there are, and targets that a scaling is not for are refused
    # before anything runs.
    training_weights(definition.train, data, training)
    for name in definition.target_scalings:
        require_scalable(name, data.labels)
    features = None if data.preprocessing is None else features_of_splits(data.preprocessing, training)
    scalings = {
        name: fit_scalings(data, training, name, study_seed=seed, features=features) for name in definition.scalings
    }
    prepared = Prepared(definition, data, held_out, splits, scalings)
    require_small_enough(prepared.sizes)
    if definition.finalists:  # refused before anything runs, if there are no fresh splits
        _ = prepared._fresh_splits() if is_large(*data.features.shape) else prepared.final_splits
    return prepared


def fresh_splits(
    definition: StudyDefinition, data: Dataset, stream: str, repeats: int, shuffle: bool | None = None
) -> tuple[Split, ...]:
    """Splits of the rows to search with that no trial was validated on, dealt so many times.

    Where the rows or ``shuffle = false`` say how they are split, the splits are the study's own, once more: then the
    networks alone are fresh. Their seed is that of the same stream. Rows that are dealt so that a split cannot be used,
    or the objective is undefined on it, are dealt anew, up to ``MOST_DEALS`` times.

    Args:
        definition: the study's.
        data: its rows to search with.
        stream: of the study's seed.
        repeats: at least 1.
        shuffle: the study's if None.

    Raises:
        DataError: splits that cannot be used, however they are dealt.
    """

    def usable(splits: Sequence[Split]) -> None:
        require_defined(definition, data, splits)
        for split in splits:
            lacking = column_without_values(data.columns, data.features, split.training, data.weights)
            if lacking is not None:
                raise without_values(lacking, len(split.training))

    validation = definition.validation
    options = replace(validation.split_options, repeats=repeats)
    if data.given_splits is not None:  # those of the search may have been dealt by a seed of its own
        options = replace(options, shuffle=True)
    if shuffle is not None:
        options = replace(options, shuffle=shuffle)
    return make_splits(
        data,
        validation.splitter,
        options,
        seeds.integer_seed(definition.seed, stream),
        usable,
        MOST_DEALS,
    )


def require_defined(definition: StudyDefinition, data: Dataset, splits: Sequence[Split]) -> None:
    """Refuse splits on whose validation rows the objective has no value.

    Raises:
        DataError: with the first such split, and what its validation rows lack.
    """
    for split in splits:
        weights = None if data.weights is None else data.weights[split.validation]
        lacking = definition.metric.undefined(data.labels[split.validation], data.class_names, weights)
        if lacking:
            repeat = f" of repeat {split.repeat}" if splits[-1].repeat else ""
            raise DataError(
                "must be defined on the validation rows of each split",
                f"those of fold {split.fold}{repeat} have {lacking}",
                "Use a stratified splitter, fewer folds, or another objective, such as 'loss'.",
                where=Setting("search.objective", definition.search.objective),
            )


def _sizes(definition: StudyDefinition, data: Dataset, scalings: Mapping[str, Sequence[Scaling]]) -> NetworkSizes:
    """How large the networks are, with as many inputs as the rows' preprocessing makes of them at most."""
    inputs = max(len(scaling.centre) for of_one in scalings.values() for scaling in of_one)
    if data.preprocessing is not None and definition.search.max_parameters is not None:
        # What is refitted to all rows must be small enough too, and may have more inputs.
        inputs = max(inputs, data.preprocessing.features(np.arange(data.rows)).shape[1])
    return definition.sizes(inputs, len(data.class_names))


def require_small_enough(sizes: NetworkSizes) -> None:
    """Refuse a study of which not even the smallest network may be trained.

    Raises:
        DataError: with how many parameters it has.
    """
    if sizes.most is not None and sizes.smallest > sizes.most:
        raise DataError(
            f"must be at least {sizes.smallest}, the parameters of the smallest network that can be chosen, with "
            f"{plural(sizes.inputs, 'input')} and {plural(sizes.outputs, 'output')}",
            f"is {sizes.most}",
            "Raise it, or allow fewer neurons.",
            where=Setting("search.max_parameters"),
        )


def data_fingerprint(search: str, held_out: str | None) -> str:
    """One fingerprint of the rows searched with and those held out, from theirs."""
    return hashlib.sha256(f"{search} {held_out}".encode()).hexdigest()


def _fresh(definition: StudyDefinition, data: Dataset) -> Dataset:
    """A fresh draw, read as new rows are. It must be of the same kind as the study's rows, and of other rows."""
    drawn = definition.load(seeds.integer_seed(definition.seed, "fresh"))

    def columns(of: Dataset) -> tuple[tuple[str, str], ...]:
        return tuple((column.name, column.kind) for column in of.columns.columns)

    for what, ours, others in (
        ("columns", columns(data), columns(drawn)),
        ("class names", data.class_names, drawn.class_names),
    ):
        if ours != others:
            raise DataError(
                f"must give the study's {what}, {ours}",
                f"{quoted(definition.data.source)} gave {others}",
                "Draw more rows, or use fraction.",
                where=Setting("holdout.fresh"),
            )
    fresh = drawn.read_by(data.columns)
    known = {row.tobytes() for row in data.features}
    repeated = sum(row.tobytes() in known for row in fresh.features)
    if repeated > fresh.rows / 10:  # a few may agree by chance: the arms of the spiral all begin at its centre
        raise DataError(
            "must give other rows than the study's",
            f"{repeated} of the {fresh.rows} that {quoted(definition.data.source)} gave are the same",
            "Its function needs an argument `seed`, or use fraction.",
            where=Setting("holdout.fresh"),
        )
    return fresh


@dataclass(frozen=True)
class TrialTask:
    """A trial to evaluate.

    Attributes:
        number: the trial's.
        chosen: its hyperparameters.
        prior_trials: those that were told before it was asked, from the first on.
        final_epochs: evaluate it again, as a finalist, for so many epochs; None if it is no finalist.
        fewer_rows: leave a further fold out, as a second point of the finalist's learning curve.
    """

    number: int
    chosen: Mapping[str, Any]
    prior_trials: Sequence[PriorTrial] = field(default_factory=tuple)
    final_epochs: int | None = None
    fewer_rows: bool = False


def evaluate(
    prepared: Prepared, task: TrialTask, report: Callable[[int, float], None] = lambda epoch, mean: None
) -> TrialResult:
    """Cross-validate the task's configuration. Pure: no storage, no clock but for ``seconds``.

    A trial is validated on the study's splits; its pruner may stop it, and the study's patience may end it. A finalist
    is validated on fresh splits with networks of fresh seeds, all repeats as lanes of one call; it is not stopped, and
    the out-of-fold ensemble of all repeats chooses its epoch. With ``fewer_rows`` it trains on what two folds leave, up
    to the last epoch (:mod:`hpsearch.validation.learning_curve`).

    Args:
        prepared: the study.
        task: the trial.
        report: told every checkpoint's epoch and mean objective; what it does has no influence.
    """
    definition, data = prepared.definition, prepared.search
    begun = time.perf_counter()
    config = _config(definition, task)

    def validate(
        splits: Sequence[Split],
        seed: int,
        scalings: Sequence[Scaling],
        stop: Callable[[int, float], bool],
        patience: float | None = None,
    ) -> CrossValidation:
        def should_stop(epoch: int, mean: float) -> bool:
            report(epoch, mean)
            return stop(epoch, mean)

        return cross_validate(
            data,
            splits,
            config,
            seed,
            scalings=scalings,
            evaluate_every=definition.evaluate_every,
            rule=definition.validation.checkpoint,
            objective=definition.search.objective,
            by_ensemble=task.final_epochs is not None,
            should_stop=should_stop,
            patience=patience,
            stops=task.final_epochs is None,
            keep_losses=task.final_epochs is None,
        )

    attributes: dict[str, Any] = {}
    with quiet(), one_thread():
        if task.fewer_rows:
            assert prepared.final_pairs is not None  # who asks for it has looked
            seed = seeds.integer_seed(definition.seed, "learning-curve")
            objective = definition.search.objective
            every = definition.evaluate_every
            outcome = with_fewer_rows(data, prepared.final_pairs, config, seed, every, objective, report)
        elif task.final_epochs is not None:
            outcome = validate(*_trained_on(prepared, task, config), lambda epoch, mean: False)
        else:
            splits, seed, scalings = _trained_on(prepared, task, config)
            network = architecture_of(config, len(scalings[0].centre), len(data.class_names)).network
            pruning = Pruning(definition, task.number, task.prior_trials, network.size)
            outcome = validate(splits, seed, scalings, pruning.should_stop, definition.search.patience)
            attributes = pruning.attributes
    return _result(task.number, outcome, time.perf_counter() - begun, attributes)


def _config(definition: StudyDefinition, task: TrialTask) -> Config:
    """What a task trains."""
    config = definition.config(task.chosen)
    return config if task.final_epochs is None else config.replaced({"epochs": task.final_epochs})


def _trained_on(prepared: Prepared, task: TrialTask, config: Config) -> tuple[Sequence[Split], int, Sequence[Scaling]]:
    """The splits of a trial, or of a finalist, the seed of their networks, and the scalings learnt from them."""
    if task.final_epochs is None:
        return prepared.splits, prepared.definition.seed, prepared.scalings[config.scaling]
    seed = seeds.integer_seed(prepared.definition.seed, "finals")
    return prepared.final_splits, seed, prepared.final_scalings(config.scaling)


def networks_of(prepared: Prepared, task: TrialTask, epoch: int) -> FoldNetworks:
    """The networks that a task had at a checkpoint, trained again, to the same bits.

    Args:
        prepared: the study.
        task: of a trial or a finalist.
        epoch: of the checkpoint.
    """
    config = _config(prepared.definition, task)
    splits, seed, scalings = _trained_on(prepared, task, config)
    with quiet(), one_thread():
        return FoldNetworks.train(prepared.search, splits, config.replaced({"epochs": epoch}), seed, scalings)


def failed(task: TrialTask, reason: str) -> TrialResult:
    """The result of a trial that could not be evaluated at all."""
    return TrialResult(task.number, "FAIL", None, parameters=0, seconds=0.0, reason=reason)


def _result(number: int, outcome: CrossValidation, seconds: float, pruner_attributes: dict[str, Any]) -> TrialResult:
    return TrialResult(
        number=number,
        state=_STATES[outcome.outcome],
        value=outcome.value,
        parameters=outcome.parameters,
        seconds=round(seconds, 4),
        score=outcome.score,
        score_name=outcome.score_name,
        best_epoch=outcome.best_epoch,
        reason=outcome.reason,
        epochs=outcome.curve.epochs,
        intermediate=outcome.curve.means,
        training_loss=outcome.curve.training_loss,
        validation_loss=outcome.curve.validation_loss,
        folds=[fold.row() for fold in outcome.folds],
        pruner_attributes=pruner_attributes,
        rows=outcome.rows,
        ensemble=outcome.ensemble,
    )
