"""The whole search as a scikit-learn estimator: a study of its own behind every ``fit``."""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from loky import cpu_count
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from hpsearch.api import StudyResult
from hpsearch.data.dataset import Dataset
from hpsearch.data.sources import Memory
from hpsearch.data.splits import SPLITTERS
from hpsearch.definition.sections import SearchSection
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DefinitionError, HpsearchError, Setting, located, quoted
from hpsearch.estimators.arguments import (
    checked_rows,
    class_names,
    classes_of,
    config_of,
    dataset,
    members_of,
    plain,
    seed_of,
)
from hpsearch.estimators.base import assign
from hpsearch.estimators.callbacks import CallbackSupportMixin, TrialTasks, with_callbacks
from hpsearch.estimators.classifier import MLPClassifier
from hpsearch.estimators.cv_results import cv_results, greater_is_better, parameters
from hpsearch.estimators.pipelines import Parts, PipelinePreprocessing
from hpsearch.estimators.regressor import MLPRegressor
from hpsearch.estimators.spaces import by_own_name, ranges
from hpsearch.estimators.splitting import validation_of
from hpsearch.estimators.wording import wording_of
from hpsearch.limits import MOST_WORKERS
from hpsearch.results.best import find_best
from hpsearch.results.tables import trials_table
from hpsearch.search.coordinator import Progress
from hpsearch.search.objective import divide
from hpsearch.search.run import executor_for, owned
from hpsearch.search.run import search as run_search
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.temporary import TemporaryFolder
from hpsearch.validation.metrics import shown

# The audit's checks that look at rows; what it says of columns is about those that a network sees.
_OF_ROWS = ("duplicates", "groups", "time")


def _of_best(name: str) -> Callable[[KFoldSearchCV], bool]:
    """Whether a search has a method: if it refits, and its estimator has it."""

    def there(search: KFoldSearchCV) -> bool:
        if not search.refit:
            raise AttributeError(f"{name} needs a search with refit=True: there is no best_estimator_ without.")
        getattr(getattr(search, "best_estimator_", search.estimator), name)
        return True

    return there


class KFoldSearchCV(CallbackSupportMixin, MetaEstimatorMixin, BaseEstimator):
    """Search hyperparameters by K-fold cross-validation and refit the best, as ``hpsearch run`` and ``retrain`` do.

    Every ``fit`` makes a study of its own, also inside an outer cross-validation, and runs it as the command line
    would: all folds of a trial in lock-step, pruned on their mean. With an integer ``random_state`` its table of trials
    is that of the study file with this seed, these rows, the same number type and the same splits: ``dtype="float32"``
    and ``cv=KFold(5, shuffle=True)`` are what a study file has unless it says otherwise. (With the pruner
    ``hyperband``, whose brackets follow from the study's name, it is that of the study ``memory``.)

    Args:
        estimator: an :class:`hpsearch.MLPClassifier` or :class:`hpsearch.MLPRegressor`, whose parameters every trial
            shares, or a ``Pipeline`` whose last step is one. The steps before it are fitted anew to the training rows
            of each split. (What is random in them needs a ``random_state`` of its own to be repeated.)
        space: what the search chooses, by parameter: a list of choices, ``randint``, ``uniform`` or ``loguniform`` of
            ``scipy.stats``, or a range as in a study file, ``{"int": [4, 64], "log": True}``. One layer's own values
            stand under its name, ``"layer1": {"neurons": [8, 16]}``. Of a pipeline they are parameters of the last
            step, as ``mlpclassifier__neurons``, or ``neurons`` alone.
        n_trials: how many.
        cv: how the rows are split. A number of folds, which are dealt from ``random_state``, stratified of classes; a
            splitter of scikit-learn, as ``GroupKFold(5)``; or a list of (training rows, validation rows). A splitter
            that shuffles and has no ``random_state`` is dealt from the search's. The finalists are compared on splits
            that are dealt anew, where ``cv`` can deal others.
        objective: what a trial's value is the mean over splits of: ``loss``, ``accuracy`` or ``r2`` and others of
            :data:`hpsearch.validation.metrics.METRICS`.
        checkpoint: ``best``, a trial's value is its mean curve at the best point, or ``last``.
        sampler: who proposes: ``tpe``, ``random``, ``qmc``, ``grid``, ``cmaes``, ``gp``, or a dict with its options.
        pruner: who stops trials: ``median``, ``percentile``, ``successive_halving``, ``hyperband``, ``none``; likewise.
        initial_design: where the search begins: ``sampler`` or ``portfolio``, configurations that did well on other
            tables; likewise.
        enqueue: configurations to begin with: a list of dicts by parameter, one layer's under ``"layer1.neurons"``.
        patience: share of its epochs after which a trial is complete if none of them was better; None trains each trial
            that is not pruned to its last epoch.
        stop: trials in a row without a gain above a standard error that end the search; None for none.
        max_parameters: weights and biases that a network may have; larger choices are narrowed. None for any number.
        objectives: None, or that and what is to be small as well, ``["loss", "parameters"]``: ``best_params_`` are
            those of the best value all the same; ``trials_`` has the parameters of each trial's network.
        in_flight: trials proposed before the oldest is told; part of what the search is.
        finalists: best trials that are compared again on fresh splits before one is chosen; 0 for none, None for the
            default of study files.
        finalist_repeats: times that the rows are dealt into folds anew for them.
        workers: processes that train; the tables do not depend on them.
        n_jobs: the same in scikit-learn's word; -1 for all processors. Give one of the two.
        refit: train the best configuration on all rows, for the epochs of its best checkpoint.
        members: networks of the best configuration that ``refit`` trains and whose predictions are averaged. By default
            the ``estimator``'s own ``members`` if it has more than one; otherwise 8, as ``hpsearch retrain`` does. 1
            refits a single network.
        random_state: an integer is the study's seed; else a seed is drawn, as in :class:`hpsearch.MLPClassifier`. An
            ``estimator`` without one is refitted from this seed too.
        storage: a URL such as ``sqlite:///hpsearch.db``, where each fit leaves a study under a fresh name, for
            ``hpsearch trials``, ``dashboard`` and the like (what needs the rows again, such as ``confirm``, is
            refused); None keeps nothing.
        verbose: 1 prints a line a trial.

    Attributes:
        best_params_: for ``estimator.set_params``; ``epochs`` are those of the best checkpoint.
        best_score_: its value in the search, negated where lower is better, so that greater is better: optimistic.
        corrected_score_: what the refitted estimator scores on new rows, with an interval and the same sign
            (:class:`~hpsearch.validation.selection.Corrected`); None where it cannot be told. Without finals, or where
            one network is refitted, it is of networks that trained on the rows of a split.
        best_index_: the best trial's number.
        best_estimator_, refit_time_: refitted, and the seconds that took; with ``refit``.
        cv_results_: dict of arrays for a DataFrame, a place a trial: ``params``, ``param_*`` (masked where a trial has
            none), ``split0_test_score`` …, ``mean_test_score``, ``std_test_score``, ``rank_test_score``,
            ``mean_fit_time`` (a split's share of the seconds of all, which train together), ``state``, ``best_epoch``.
            Scores of pruned and failed trials are nan.
        trials_: the trials table of :mod:`hpsearch.results.tables`.
        study_: the stored study, :class:`hpsearch.StudyResult`; None without ``storage``.
        findings_: what the leakage audit found in the rows; what would stop ``hpsearch run`` is warned of.
        n_splits_: splits of all repeats.
        classes_, n_features_in_, feature_names_in_: as in the estimator.
        multimetric_: False.

    ``score`` is the refitted estimator's own (accuracy, R²), ``best_score_`` the objective's. With scikit-learn 1.9 or
    newer it has ``set_callbacks``: each trial is a task. A callback cannot stop the search.

    >>> import hpsearch
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> search = hpsearch.KFoldSearchCV(
    ...     hpsearch.MLPClassifier(epochs=60),
    ...     {"neurons": {"int": [4, 32], "log": True}, "learning_rate": {"float": [1e-2, 1e-1], "log": True}},
    ...     n_trials=5,
    ...     random_state=0,
    ... )
    >>> bool(search.fit(X, y).score(X, y) > 0.9)
    True
    >>> sorted(search.best_params_)
    ['epochs', 'learning_rate', 'neurons']
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        space: Mapping[str, Any],
        *,
        n_trials: int = 100,
        cv: Any = 5,
        objective: str = "loss",
        checkpoint: str = "best",
        sampler: Any = "tpe",
        pruner: Any = "median",
        initial_design: Any = "sampler",
        enqueue: Any = None,
        patience: float | None = None,
        stop: int | None = None,
        max_parameters: int | None = None,
        objectives: Any = None,
        in_flight: int = 8,
        finalists: int | None = None,
        finalist_repeats: int = 4,
        workers: int = 1,
        n_jobs: int | None = None,
        refit: bool = True,
        members: int | None = None,
        random_state: Any = None,
        storage: str | None = None,
        verbose: int = 0,
    ) -> None:
        assign(self, locals())

    estimator: BaseEstimator
    space: Mapping[str, Any]
    cv: Any
    enqueue: Any
    workers: int
    n_jobs: int | None
    refit: bool
    members: int | None
    random_state: Any
    storage: str | None
    verbose: int
    best_estimator_: Any

    @with_callbacks
    def fit(
        self, X: Any, y: ArrayLike, groups: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Search, and refit the best configuration on all rows.

        Args:
            X: (N, D) finite numbers, an array or a DataFrame; a DataFrame if the network has ``columns``; N rows of
                whatever the first step of a pipeline takes.
            y: (N,) classes, or numbers.
            groups: (N,), equal for rows that belong together: for ``cv=GroupKFold(5)`` and the like.
            sample_weight: (N,), how many rows each row counts as, in scaling, training and every score; 0 is none.
                (Rows are dealt into folds one by one, whatever they count. The steps of a pipeline before its network
                do not learn of weights.)

        Raises:
            ValueError: rows or parameters that cannot be, some of them as :class:`~hpsearch.DataError` and
                :class:`~hpsearch.DefinitionError`.
            HpsearchError: no trial was completed; a storage that cannot be used.
        """
        parts = self._parts()
        wording = wording_of(self.space, parts.prefix)
        with located(wording=wording):
            workers = self._workers()
            rows = self._rows(parts, X, y, groups, sample_weight)
            prepared = divide(rows.definition, rows.data, None)
        found = prepared.audit(wording)
        findings = found if parts.steps is None else [finding for finding in found if finding.name in _OF_ROWS]
        for finding in findings:
            if finding.level == "error":
                warnings.warn(str(finding), UserWarning, stacklevel=2)
        with (
            located(wording=wording),
            _storage(self.storage) as url,
            executor_for(min(workers, prepared.definition.search.in_flight)) as executor,
            owned(prepared, url, findings) as stored,
        ):
            given = {"X": X, "y": y, "metadata": None if sample_weight is None else {"sample_weight": sample_weight}}
            tasks = TrialTasks(self, given, prepared.limit)
            printed = _PrintTrials() if self.verbose else None

            def on_progress(progress: Progress) -> None:
                if printed is not None:
                    printed(progress)
                tasks(progress)

            run_search(prepared, stored, executor, on_progress=on_progress)
            self._read(stored, parts.prefix)
        self.study_ = None if self.storage is None else StudyResult(prepared.definition.name, self.storage)
        self.findings_, self.n_splits_, self.multimetric_ = findings, len(prepared.splits), False
        if rows.classes is not None:
            self.classes_ = rows.classes
        if self.refit:
            counting = (X, y, sample_weight) if parts.steps is None else (rows.X, rows.y, rows.data.weights)
            self._refit(parts, prepared.definition, *counting)
        tasks.end()
        return self

    def _read(self, stored: StoredStudy, prefix: str) -> None:
        """What the search has found, from its storage."""
        results = [stored_result(trial) for trial in stored.trials()]
        if not any(result.state == "COMPLETE" for result in results):
            why = next((result.reason for result in results if result.reason), None)
            raise HpsearchError(
                "The search must complete a trial",
                f"none of {len(results)} is complete" + (f": {why}" if why else ""),
                "Search other ranges.",
            )
        best = find_best(stored)
        metric = best.definition.metric
        self.trials_, self.cv_results_ = trials_table(stored), cv_results(stored, best.definition, prefix)
        self.best_index_ = best.result.number
        self.best_params_ = parameters(best.definition, best.chosen, best.config.epochs, prefix)
        # As scikit-learn has it; the epochs are those that the finals chose.
        self.cv_results_["params"][self.best_index_] = self.best_params_
        self.best_score_ = float(self.cv_results_["mean_test_score"][self.best_index_])
        self.corrected_score_ = greater_is_better(best.corrected, metric)

    def _parts(self) -> Parts:
        """The estimator, if it is one that can be searched."""
        parts = Parts.of(self.estimator)
        if not isinstance(parts.network, MLPClassifier | MLPRegressor):
            last = f" with {type(parts.network).__name__} as its last step" if parts.prefix else ""
            raise DefinitionError(
                "must be an hpsearch.MLPClassifier or MLPRegressor, or a pipeline whose last step is one",
                f"is {type(self.estimator).__name__}{last}",
                where=Setting("estimator"),
            )
        if parts.network.early_stopping:
            raise DefinitionError(
                (
                    "must have ",
                    Setting(f"{parts.prefix}early_stopping", False),
                    ": the search itself looks at every checkpoint, and refits for the epochs of the best one",
                ),
                where=Setting("estimator"),
            )
        if parts.prefix and parts.network.columns is not None:
            raise DefinitionError(
                ("must have ", Setting(f"{parts.prefix}columns", None), ": the steps before it make its features"),
                where=Setting("estimator"),
            )
        return parts

    def _workers(self) -> int:
        """How many processes train."""
        for name, least in (("workers", 1), ("n_jobs", -MOST_WORKERS)):
            value, fits = getattr(self, name), name == "n_jobs" and self.n_jobs is None
            if isinstance(value, int | np.integer) and not isinstance(value, bool):
                fits = least <= int(value) <= MOST_WORKERS and value != 0
            if not fits:
                what = f"from 1 to {MOST_WORKERS:,}{', or -1 for all processors' if least < 0 else ''}"
                raise DefinitionError(f"must be an integer {what}", f"is {quoted(value)}", where=Setting(name))
        if self.n_jobs is None:
            return int(self.workers)
        asked = int(self.n_jobs) if self.n_jobs > 0 else max(1, cpu_count() + 1 + int(self.n_jobs))  # as joblib counts
        if self.workers not in (1, asked):
            must = "must be left out where ", Setting("workers"), " says how many processes train"
            raise DefinitionError(
                must, f"is {quoted(self.n_jobs)} beside {quoted(self.workers)}", where=Setting("n_jobs")
            )
        return asked

    def _rows(self, parts: Parts, X: Any, y: Any, groups: Any, sample_weight: Any) -> _Rows:
        """The rows that count, and the study that they are searched with."""
        regression, network = isinstance(parts.network, MLPRegressor), parts.network
        piped = parts.steps is not None
        X, y, weights, groups = checked_rows(
            *(self, X, y, sample_weight, groups),
            regression=regression,
            fewest=2,
            columns=network.columns,
            raw=piped,
        )
        counting = None if weights is None or sample_weight is None else np.asarray(sample_weight) > 0
        classes, labels = (None, y) if regression else classes_of(y)
        names = {} if classes is None else class_names(classes)
        validation, splits = validation_of(self.cv, X, y, groups, classes=not regression, counting=counting)
        needs = SPLITTERS[validation["splitter"]].needs
        if needs == "groups" and groups is None:
            must = "fit must be given ", Setting("groups"), " with ", Setting("splitter", validation["splitter"])
            raise DefinitionError(must, "was not")
        data = dataset(self, X, labels, names, weights, groups, network.columns, raw=piped)
        if parts.steps is not None:
            data = replace(data, preprocessing=PipelinePreprocessing(parts.steps, X, y))
        data = replace(data, given_splits=splits, times=np.arange(float(data.rows)) if needs == "times" else None)
        return _Rows(X, y, data, classes, self._definition(parts, data, names, validation))

    def _definition(
        self, parts: Parts, data: Dataset, names: Mapping[Any, str], validation: Mapping[str, Any]
    ) -> StudyDefinition:
        """The study file that this is."""
        own = self.get_params(deep=False)
        own["enqueue"] = None if self.enqueue is None else self._enqueued(parts.prefix)
        train = config_of(parts.network, names, data.features.dtype)
        raw = {
            "study": {"name": f"search-{uuid.uuid4().hex[:12]}", "seed": seed_of(self.random_state)},
            "data": {"source": Memory.NAME, "task": data.task},
            "validation": {**validation, "checkpoint": own["checkpoint"]},
            "train": train.model_dump(mode="json", exclude_unset=True),
            "space": ranges(self.space, parts.prefix),
            "search": {"trials": own["n_trials"]}
            | {
                name: own[name]
                for name, field in SearchSection.model_fields.items()
                if own.get(name) is not None and not _is(own[name], field.default)
            },
            "retrain": self._retrain(parts),
        }
        return StudyDefinition.from_mapping(plain(raw), Path.cwd())

    def _enqueued(self, prefix: str) -> list[dict[str, Any]]:
        known = self.enqueue
        if not isinstance(known, list | tuple) or not all(isinstance(chosen, Mapping) for chosen in known):
            must = "must be a list of dicts, a value by parameter"
            raise DefinitionError(must, f"is {quoted(known)}", where=Setting("enqueue"))
        return [by_own_name(chosen, prefix, "enqueue") for chosen in known]

    def _retrain(self, parts: Parts) -> dict[str, Any]:
        """``[retrain]``, with the members that are asked for, if any are."""
        asked = members_of(parts.network) if self.members is None else self.members
        return {} if self.members is None and asked == 1 else {"members": asked}

    def _refit(self, parts: Parts, definition: StudyDefinition, X: Any, y: Any, sample_weight: Any) -> None:
        begun = time.perf_counter()
        own: dict[str, Any] = {"members": definition.retrain.members}
        if parts.network.random_state is None:  # of the search's own seed, or it could not be repeated
            own["random_state"] = definition.seed
        if parts.steps is not None:  # whatever its steps make of the rows
            own["dtype"] = definition.train.dtype
        best = clone(self.estimator).set_params(**deepcopy(self.best_params_))
        best.set_params(**{f"{parts.prefix}{name}": value for name, value in own.items()})
        routed = get_config()["enable_metadata_routing"]  # then a pipeline asks its steps whether they want weights
        name = "sample_weight" if routed else f"{parts.prefix}sample_weight"
        self.best_estimator_ = best.fit(X, y, **({} if sample_weight is None else {name: sample_weight}))
        self.refit_time_ = time.perf_counter() - begun

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags, tags.regressor_tags = deepcopy(inner.classifier_tags), deepcopy(inner.regressor_tags)
        tags.input_tags, tags.target_tags.required = deepcopy(inner.input_tags), True
        return tags

    @available_if(_of_best("predict"))
    def predict(self, X: Any) -> Any:
        """``best_estimator_.predict``."""
        return self._best().predict(X)

    @available_if(_of_best("predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        """``best_estimator_.predict_proba``."""
        return self._best().predict_proba(X)

    @available_if(_of_best("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> Any:
        """``best_estimator_.predict_log_proba``."""
        return self._best().predict_log_proba(X)

    @available_if(_of_best("score"))
    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """``best_estimator_.score``: the accuracy of a classifier, R² of a regressor."""
        return float(self._best().score(X, y, sample_weight=sample_weight))

    def _best(self) -> Any:
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_


def _is(value: Any, default: Any) -> bool:
    """Whether a value is a key's default, which a study file does not say."""
    return type(value) is type(default) and bool(value == default)


@dataclass(frozen=True)
class _Rows:
    """What a search works on.

    Attributes:
        X, y: the rows that count, as they were given.
        data: the same, checked.
        classes: as they were given; None of a regression.
        definition: of the study.
    """

    X: Any
    y: NDArray[Any]
    data: Dataset
    classes: NDArray[Any] | None
    definition: StudyDefinition


class _PrintTrials:
    """Prints a line a trial that was told."""

    def __init__(self) -> None:
        self._shown = 0

    def __call__(self, progress: Progress) -> None:
        for done, result in enumerate(progress.results[self._shown :], start=self._shown + 1):
            value = "" if result.value is None else f", {shown(result.value, progress.metric)}"
            print(f"{done}/{progress.trials}  trial {result.number} {result.state.lower()}{value}")
        self._shown = len(progress.results)


@contextmanager
def _storage(given: str | None) -> Iterator[str]:
    """The storage given, or one that is gone afterwards."""
    if given is not None:
        yield given
        return
    with TemporaryFolder() as folder:
        inside = folder.path / "storage"  # who makes an SQLite file locks its folder, and this one is locked already
        inside.mkdir()
        yield f"sqlite:///{inside}/hpsearch.db"
