"""A stored study as runs of MLflow: one for the study, with the tables, the report and the model, and one a trial.

============  =====================================================================================================
of MLflow     holds
============  =====================================================================================================
the study     params: its identity, key by key; metrics: the best value, the corrected score and its interval, of a
              mean squared error their roots too (``rmse``, ``corrected_rmse``), a retrained model's hold-out scores;
              artifacts: ``report.html``, ``best.toml``, ``tables/*.csv`` and ``model``
a trial       params: its hyperparameters; metrics: the objective, the training and the validation loss of every
              checkpoint by epoch, and the trial's value and score; tags: its state, why it was pruned or failed
============  =====================================================================================================

The model is a pyfunc without a pickle (:mod:`hpsearch.model.pyfunc`).
"""

from __future__ import annotations

import math
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy.exc import SQLAlchemyError

from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import BundleError, HpsearchError, Setting, StorageError, one_line
from hpsearch.extras import require
from hpsearch.model.bundle import Bundle
from hpsearch.reporting.report import SECONDS, write_report
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.results.best import Best, find_best
from hpsearch.results.best_study import to_toml
from hpsearch.results.tables import curves_table, finals_table, folds_table, trials_table
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult
from hpsearch.temporary import TemporaryFolder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from optuna.trial import FrozenTrial

TABLES = {"trials": trials_table, "folds": folds_table, "curves": curves_table, "finals": finals_table}
MODEL = "model"  # the artifact's path
_STUDY, _EXPORT, _DONE = "hpsearch.study", "hpsearch.export", "hpsearch.complete"  # tags
_PARENT, _NAME = "mlflow.parentRunId", "mlflow.runName"  # MLflow's own
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED", "RUNNING": "KILLED"}
_WITH_ROOTS = ("value", "corrected", "corrected_low", "corrected_high")  # where they are means of squares
_SQLITE = "sqlite:///"
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}  # of MLflow; seconds
_MOST_PARAMS, _MOST_METRICS, _MOST_TEXT = 100, 1000, 500  # of one call, and characters of a value


@dataclass(frozen=True)
class ExportedRuns:
    """What was written to MLflow.

    Attributes:
        tracking_uri: of the server or database.
        experiment: its name.
        run: the id of the study's run.
        trials: how many runs of trials lie under it.
        model_uri: what ``mlflow.pyfunc.load_model`` takes.
    """

    tracking_uri: str
    experiment: str
    run: str
    trials: int
    model_uri: str


def require_mlflow() -> None:
    """
    Raises:
        MissingExtraError: MLflow is not installed.
    """
    require("mlflow", "mlflow", "Exporting to MLflow")


def require_model_of(stored: StoredStudy, bundle: Bundle, where: str) -> None:
    """Refuse a model that is not of the study.

    Raises:
        BundleError: it was fitted to other rows, or is the export of another study.
    """
    about = bundle.about
    origin = about.get("origin") or {}
    known = stored.attributes["identity"]["data.fingerprint"]
    if about.get("data_fingerprint") != known or origin.get("study", stored.name) != stored.name:
        whose = f"is of the study {origin['study']!r}" if origin else "was fitted to other rows"
        raise BundleError(
            f"must be a model of the study {stored.name!r}",
            whose,
            "Leave it out, and the study's best is fitted.",
            where=where,
        )


def export_runs(
    stored: StoredStudy, bundle: Bundle, tracking_uri: str | None = None, experiment: str | None = None
) -> ExportedRuns:
    """Write a study, its trials and a model of it to MLflow.

    What an earlier export left unfinished is deleted first.

    Args:
        stored: the study, of which a trial is complete.
        bundle: the model.
        tracking_uri: of a server or a database, as ``http://host:5000`` or ``sqlite:///mlflow.db``; MLflow's own choice
            if None.
        experiment: its name; the study's if None. It is made if there is none.

    Raises:
        MissingExtraError: MLflow is not installed.
        HpsearchError: the study, with as many trials, was exported before; no such server.
        StorageError: MLflow failed in the middle; what was written is deleted, as far as that can be.
    """
    require_mlflow()
    experiment = stored.name if experiment is None else experiment
    with _client(tracking_uri) as client:
        best = find_best(stored)
        return _Export(client, stored, best, bundle, experiment).write()


def require_new(stored: StoredStudy, tracking_uri: str | None = None, experiment: str | None = None) -> None:
    """Refuse what was exported before, ahead of all work; raises as :func:`export_runs` does."""
    require_mlflow()
    with _quietly():
        where = _uri(tracking_uri)
        if _will_be_made(where):  # by whoever looks into it: not before there is something to write
            return
        with _client(where) as client:
            _require_new(client, stored, stored.name if experiment is None else experiment)


def _require_new(client: MlflowClient, stored: StoredStudy, experiment: str) -> str | None:
    """Refuse what was exported before; returns the id of the experiment if there is one."""
    with _first_contact():
        found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    for run in _earlier(client, found.experiment_id, _key(stored)):
        if run.data.tags.get(_DONE):
            raise HpsearchError(
                f"The study {stored.name!r} must not be in the experiment {experiment!r} yet",
                f"was exported there, as the run {run.info.run_id}",
                ("Delete that run, or choose another ", Setting("experiment"), "."),
            )
    place: str = found.experiment_id
    return place


@contextmanager
def _first_contact() -> Iterator[None]:
    """Wait for a server that does not answer for some seconds, where MLflow does for minutes, unless the user says."""
    ours = {key: value for key, value in _PATIENCE.items() if key not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for key in ours:
            os.environ.pop(key, None)


@contextmanager
def _quietly() -> Iterator[None]:
    """MLflow's import warns of its own type hints, and where each run is to be seen it prints among our own output."""
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield


def _uri(given: str | None) -> str:
    import mlflow

    return given or str(mlflow.get_tracking_uri())


def _will_be_made(uri: str) -> bool:
    """Whether it is an SQLite file that is not there yet."""
    return uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists()


@contextmanager
def _client(tracking_uri: str | None) -> Iterator[MlflowClient]:
    """A client, whose failures are told in one line."""
    with _quietly():
        import mlflow
        from mlflow.exceptions import MlflowException

        where = _uri(tracking_uri)
        must = "must be a tracking server or database of MLflow"
        try:
            client = mlflow.MlflowClient(tracking_uri=where)
        except (MlflowException, OSError, SQLAlchemyError) as error:
            raise StorageError(must, one_line(error), where=_without_password(where)) from error
        try:
            yield client
        except MlflowException as error:
            raise StorageError(must, one_line(error), where=_without_password(where)) from error


def _without_password(uri: str) -> str:
    return re.sub(r"(?<=//)[^/@]*@", "", uri)


def _key(stored: StoredStudy) -> str:
    """What an export is known by: a study that goes on is another one."""
    told = sum(trial.state.is_finished() for trial in stored.trials())
    return f"{stored.name}, {told} trials, {stored.attributes['identity']['data.fingerprint'][:16]}"


def _earlier(client: MlflowClient, experiment: str, key: str) -> Sequence[Any]:
    found: Sequence[Any] = client.search_runs([experiment], f"tags.`{_EXPORT}` = '{key}'")
    return found


class _Export:
    def __init__(self, client: MlflowClient, stored: StoredStudy, best: Best, bundle: Bundle, experiment: str) -> None:
        self._client, self._stored, self._best, self._bundle = client, stored, best, bundle
        self._experiment, self._key = experiment, _key(stored)
        self._runs: list[str] = []

    def write(self) -> ExportedRuns:
        client = self._client
        found = _require_new(client, self._stored, self._experiment)
        place = client.create_experiment(self._experiment) if found is None else found
        for run in _earlier(client, place, self._key):
            self._delete(place, run.info.run_id)
        trials = self._stored.trials()
        begun = min((_milliseconds(trial.datetime_start) or 0 for trial in trials), default=0)
        tags = {_STUDY: self._stored.name, _EXPORT: self._key, "hpsearch.version": version("hpsearch")}
        study = client.create_run(place, start_time=begun or None, tags=tags, run_name=self._stored.name).info.run_id
        try:
            for trial in trials:
                self._trial(place, study, trial)
            self._study(study)
            client.set_tag(study, _DONE, "yes")
            client.set_terminated(study, "FINISHED")
        except BaseException:
            self._delete(place, study)
            raise
        uri = f"runs:/{study}/{MODEL}"
        return ExportedRuns(_without_password(client.tracking_uri), self._experiment, study, len(trials), uri)

    def _delete(self, place: str, study: str) -> None:
        for run in self._client.search_runs([place], f"tags.`{_PARENT}` = '{study}'"):
            self._client.delete_run(run.info.run_id)
        self._client.delete_run(study)

    def _study(self, run: str) -> None:
        best, stored = self._best, self._stored
        self._params(run, stored.attributes["identity"])
        metrics = {"value": best.result.value, best.score_name: best.result.score}
        if (corrected := best.corrected) is not None:
            metrics |= {"corrected": corrected.value, "corrected_low": corrected.low, "corrected_high": corrected.high}
        if (metric := best.definition.metric).root is not None:
            roots = {"rmse" if name == "value" else f"{name}_rmse": metrics.get(name) for name in _WITH_ROOTS}
            metrics |= {name: None if value is None else metric.in_headline(value) for name, value in roots.items()}
        held_out = self._bundle.about.get("holdout") or {}
        metrics |= {f"holdout_{name}": value for name, value in held_out.items()}
        self._metrics(run, [(name, value, 0) for name, value in metrics.items()])
        with TemporaryFolder() as folder:
            place = folder.path
            write_report(Snapshot(stored, SECONDS), place / "report.html")
            (place / "best.toml").write_text(to_toml(best, best.definition.folder), encoding="utf-8")
            (place / "tables").mkdir()
            for name, table in TABLES.items():
                table(stored).to_csv(place / "tables" / f"{name}.csv", index=False)
            self._model(place)
            self._client.log_artifacts(run, str(place))

    def _model(self, place: Path) -> None:
        """Write the model as MLflow has one."""
        from mlflow import pyfunc

        with TemporaryFolder() as folder:
            saved = folder.path / "bundle"
            self._bundle.save(saved)
            pyfunc.save_model(
                place / MODEL,
                loader_module="hpsearch.model.pyfunc",
                data_path=str(saved),
                pip_requirements=[f"hpsearch=={version('hpsearch')}"],
                metadata={"study": self._stored.name, "trial": self._best.result.number},
            )

    def _trial(self, place: str, study: str, trial: FrozenTrial) -> None:
        result, ended = stored_result(trial) if trial.state.is_finished() else None, trial.datetime_complete
        name = f"{self._stored.name}:{trial.number}"
        tags = {_PARENT: study, _STUDY: self._stored.name, "hpsearch.state": trial.state.name}
        if result is not None:
            facts: dict[str, Any] = {
                "reason": result.reason,
                "same_as": result.same_as,
                "best_epoch": result.best_epoch,
            }
            facts |= {"parameters": result.parameters, "seconds": result.seconds}
            tags |= {f"hpsearch.{key}": str(value) for key, value in facts.items() if value is not None}
        begun = _milliseconds(trial.datetime_start)
        run = self._client.create_run(place, start_time=begun, tags=tags, run_name=name).info.run_id
        self._params(run, trial.params)
        if result is not None:
            self._metrics(run, list(_metrics_of(result, self._best.definition)))
        self._client.set_terminated(run, _STATUS[trial.state.name], _milliseconds(ended))

    def _params(self, run: str, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        params = [Param(key, str(value)[:_MOST_TEXT]) for key, value in values.items()]
        for start in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(run, params=params[start : start + _MOST_PARAMS])

    def _metrics(self, run: str, values: Sequence[tuple[str, float | None, int]]) -> None:
        from mlflow.entities import Metric

        now = _milliseconds(datetime.now())
        metrics = [
            Metric(name, float(value), now, step)
            for name, value, step in values
            if value is not None and math.isfinite(value)
        ]
        for start in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(run, metrics=metrics[start : start + _MOST_METRICS])


def _metrics_of(result: TrialResult, definition: StudyDefinition) -> Iterator[tuple[str, float | None, int]]:
    """Name, value and step."""
    objective, metric = definition.search.objective, definition.metric
    losses = {"training_loss": result.training_loss, "validation_loss": result.validation_loss}
    for place, epoch in enumerate(result.epochs):
        if objective != "loss":
            yield objective, result.intermediate[place], epoch
        for name, of in losses.items():
            if place < len(of):
                yield name, _mean(of[place]), epoch
    yield "value", result.value, result.best_epoch or 0
    if metric.root is not None and result.value is not None:
        yield "rmse", metric.in_headline(result.value), result.best_epoch or 0
    yield result.score_name, result.score, result.best_epoch or 0


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if len(numbers) == len(values) else None


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp() * 1000)
