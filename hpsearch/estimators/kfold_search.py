"""The whole search as a scikit-learn estimator: a study of its own behind every ``fit``."""

from __future__ import annotations

import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from hpsearch.api import StudyResult
from hpsearch.data.dataset import Dataset
from hpsearch.data.sources import Memory
from hpsearch.data.splits import SPLITTERS
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DefinitionError, Setting, as_argument, located
from hpsearch.estimators.arguments import checked_rows, class_names, classes_of, config_of, dataset, plain, seed_of
from hpsearch.estimators.base import NetworkEstimator, assign
from hpsearch.estimators.callbacks import CallbackSupportMixin, TrialTasks, with_callbacks
from hpsearch.estimators.classifier import MLPClassifier
from hpsearch.estimators.cv_results import cv_results, greater_is_better, parameters
from hpsearch.estimators.regressor import MLPRegressor
from hpsearch.results.best import find_best
from hpsearch.results.tables import trials_table
from hpsearch.search.coordinator import Progress
from hpsearch.search.objective import divide
from hpsearch.search.run import executor_for, owned
from hpsearch.search.run import search as run_search
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.validation.metrics import shown

# The constructor's parameters that are called otherwise in a study file; of whole sections there are none.
_PARAMETERS = {"trials": "n_trials"} | dict.fromkeys(
    ("study", "data", "holdout", "validation", "search", "retrain"), "KFoldSearchCV:"
)
# What a splitter splits by that rows in memory have; folds of one's own are for study files.
_SPLITTERS = sorted(name for name, kind in SPLITTERS.items() if kind.needs != "folds")


def _as_parameter(setting: Setting) -> str:
    """How the search's caller writes a setting of its study."""
    section, _, name = setting.name.rpartition(".")
    if section == "space":
        name = "space" + "".join(f"[{key!r}]" for key in name.split())
    return as_argument(replace(setting, name=_PARAMETERS.get(name, name)))


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
    is that of the study file with this seed and these rows. (With the pruner ``hyperband``, whose brackets follow from
    the study's name, it is that of the study ``memory``.)

    Args:
        estimator: an :class:`hpsearch.MLPClassifier` or :class:`hpsearch.MLPRegressor`, whose parameters every trial
            shares: ``[train]``.
        space: what the search chooses, by parameter, as ``[space]`` of a study file:
            ``{"learning_rate": {"float": [1e-3, 1e-1], "log": True}, "optimizer": {"choice": ["adam", "sgd"]}}``; one
            layer's own values under ``"layer1": {"neurons": {"int": [8, 64]}}``.
        n_trials: how many.
        n_splits: folds; of ``shuffle``, draws.
        repeats: times that the rows are dealt into folds.
        splitter: ``kfold``, ``stratified``, ``group``, ``stratified-group``, ``shuffle``, or ``timeseries`` for rows in
            the order of time. (For scikit-learn's ``cv=5`` on classes it is ``stratified``.)
        sampler: who proposes: ``tpe``, ``random``, ``qmc``, ``grid``, ``cmaes``, ``gp``, or a dict with its options.
        pruner: who stops trials: ``median``, ``percentile``, ``successive_halving``, ``hyperband``, ``none``; likewise.
        initial_design: where the search begins: ``sampler`` or ``portfolio``, configurations that did well on other
            tables; likewise.
        patience: share of its epochs after which a trial is complete if none of them was better; None trains each trial
            that is not pruned to its last epoch.
        objective: what a trial's value is the mean over splits of: ``loss``, ``accuracy`` or ``r2`` and others of
            :data:`hpsearch.validation.metrics.METRICS`.
        checkpoint: ``best``, a trial's value is its mean curve at the best point, or ``last``.
        in_flight: trials proposed before the oldest is told; part of what the search is.
        finalists: best trials that are compared again on fresh splits before one is chosen; 0 for none, None for the
            default of study files.
        finalist_repeats: times that the rows are dealt into folds anew for them.
        workers: processes that train; the tables do not depend on them.
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
        estimator: NetworkEstimator,
        space: Mapping[str, Any],
        *,
        n_trials: int = 100,
        n_splits: int = 5,
        repeats: int = 1,
        splitter: str = "kfold",
        sampler: Any = "tpe",
        pruner: Any = "median",
        initial_design: Any = "sampler",
        patience: float | None = None,
        objective: str = "loss",
        checkpoint: str = "best",
        in_flight: int = 8,
        finalists: int | None = None,
        finalist_repeats: int = 4,
        workers: int = 1,
        refit: bool = True,
        members: int | None = None,
        random_state: Any = None,
        storage: str | None = None,
        verbose: int = 0,
    ) -> None:
        assign(self, locals())

    estimator: NetworkEstimator
    space: Mapping[str, Any]
    splitter: str
    workers: int
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
            X: (N, D) finite numbers, an array or a DataFrame; a DataFrame if the estimator has ``columns``.
            y: (N,) classes, or numbers.
            groups: (N,), equal for rows that belong together: on one side of each split with ``splitter="group"``.
            sample_weight: (N,), how many rows each row counts as, in scaling, training and every score; 0 is none.
                (Rows are dealt into folds one by one, whatever they count.)

        Raises:
            ValueError: rows or parameters that cannot be, some of them as :class:`~hpsearch.DataError` and
                :class:`~hpsearch.DefinitionError`.
            HpsearchError: no trial was completed; a storage that cannot be used.
        """
        data, classes = self._dataset(X, y, groups, sample_weight)
        seed = seed_of(self.random_state)
        with located(wording=_as_parameter):
            prepared = divide(self._definition(data, classes, seed), data, None)
        findings = prepared.audit(_as_parameter)
        for finding in findings:
            if finding.level == "error":
                warnings.warn(str(finding), UserWarning, stacklevel=2)
        with (
            located(wording=_as_parameter),
            _storage(self.storage) as url,
            executor_for(min(self.workers, prepared.definition.search.in_flight)) as executor,
            owned(prepared, url, findings) as stored,
        ):
            rows = {"X": X, "y": y, "metadata": None if sample_weight is None else {"sample_weight": sample_weight}}
            tasks = TrialTasks(self, rows, prepared.definition.limit)
            printed = _PrintTrials() if self.verbose else None

            def on_progress(progress: Progress) -> None:
                if printed is not None:
                    printed(progress)
                tasks(progress)

            run_search(prepared, stored, executor, on_progress=on_progress)
            self._read(stored)
        self.study_ = None if self.storage is None else StudyResult(prepared.definition.name, self.storage)
        self.findings_, self.n_splits_, self.multimetric_ = findings, len(prepared.splits), False
        if classes is not None:
            self.classes_ = classes
        if self.refit:
            self._refit(X, y, sample_weight, seed, prepared.definition.retrain.members)
        tasks.end()
        return self

    def _read(self, stored: StoredStudy) -> None:
        """What the search has found, from its storage."""
        best = find_best(stored)
        metric = best.definition.metric
        self.trials_, self.cv_results_ = trials_table(stored), cv_results(stored, best.definition)
        self.best_index_ = best.result.number
        self.best_params_ = parameters(best.definition, best.chosen, best.config.epochs)
        # As scikit-learn has it; the epochs are those that the finals chose.
        self.cv_results_["params"][self.best_index_] = self.best_params_
        self.best_score_ = float(self.cv_results_["mean_test_score"][self.best_index_])
        self.corrected_score_ = greater_is_better(best.corrected, metric)

    def _dataset(self, X: Any, y: Any, groups: Any, sample_weight: Any) -> tuple[Dataset, NDArray[Any] | None]:
        """The rows that count, and the classes as they were given; None for a regression."""
        self._check_parameters()
        regression, classes = isinstance(self.estimator, MLPRegressor), None
        columns = self.estimator.columns
        needs = SPLITTERS[self.splitter].needs
        if needs == "groups" and groups is None:
            must = "fit must be given ", Setting("groups"), " with ", Setting("splitter", self.splitter)
            raise DefinitionError(must, "was not")
        X, y, weights, groups = checked_rows(
            self, X, y, sample_weight, groups, regression=regression, fewest=2, columns=columns
        )
        if not regression:
            classes, y = classes_of(y)
        data = dataset(self, X, y, {} if classes is None else class_names(classes), weights, groups, columns)
        return replace(data, times=np.arange(float(data.rows))) if needs == "times" else data, classes

    def _check_parameters(self) -> None:
        """What a study file has no word for."""
        if not isinstance(self.estimator, MLPClassifier | MLPRegressor):
            raise DefinitionError(
                "must be an hpsearch.MLPClassifier or MLPRegressor, whose networks the search trains",
                f"is {type(self.estimator).__name__}",
                where=Setting("estimator"),
            )
        if self.estimator.early_stopping:
            raise DefinitionError(
                (
                    "must have ",
                    Setting("early_stopping", False),
                    ": the search itself looks at every checkpoint, and refits for the epochs of the best one",
                ),
                where=Setting("estimator"),
            )
        workers = self.workers
        checks = {
            "splitter": (self.splitter in _SPLITTERS, f"one of {', '.join(_SPLITTERS)}"),
            "space": (isinstance(self.space, Mapping), "a dict of ranges by parameter"),
            "workers": (isinstance(workers, int | np.integer) and workers >= 1, "an integer of at least 1"),
        }
        for name, (holds, what) in checks.items():
            if not holds:
                raise DefinitionError(f"must be {what}", f"is {getattr(self, name)!r}", where=Setting(name))

    def _definition(self, data: Dataset, classes: NDArray[Any] | None, seed: int) -> StudyDefinition:
        """The study file that this is."""
        own = self.get_params(deep=False)
        train = config_of(self.estimator, {} if classes is None else class_names(classes))
        raw = {
            "study": {"name": f"search-{uuid.uuid4().hex[:12]}", "seed": seed},
            "data": {"source": Memory.NAME, "task": data.task},
            "validation": {name: own[name] for name in ("splitter", "n_splits", "repeats", "checkpoint")},
            "train": train.model_dump(mode="json", exclude_unset=True),
            "space": own["space"],
            "search": {name: own[name] for name in ("sampler", "pruner", "initial_design", "objective", "in_flight")}
            | {"trials": own["n_trials"], "finalist_repeats": own["finalist_repeats"]}
            | {name: own[name] for name in ("patience", "finalists") if own[name] is not None},
            "retrain": self._retrain(),
        }
        return StudyDefinition.from_mapping(plain(raw), Path.cwd())

    def _retrain(self) -> dict[str, Any]:
        """``[retrain]``, with the members that are asked for, if any are."""
        asked = self.estimator.members if self.members is None else self.members
        return {} if self.members is None and asked == 1 else {"members": asked}

    def _refit(self, X: Any, y: Any, sample_weight: Any, seed: int, members: int) -> None:
        begun = time.perf_counter()
        best = clone(self.estimator).set_params(**deepcopy(self.best_params_), members=members)
        if best.random_state is None:  # of the search's own seed, or it could not be repeated
            best.set_params(random_state=seed)
        self.best_estimator_ = best.fit(X, y, sample_weight=sample_weight)
        self.refit_time_ = time.perf_counter() - begun

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags, tags.regressor_tags = deepcopy(inner.classifier_tags), deepcopy(inner.regressor_tags)
        tags.target_tags.required = True
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
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as folder:
        yield f"sqlite:///{folder}/hpsearch.db"
