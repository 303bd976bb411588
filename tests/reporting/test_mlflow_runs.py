"""A study in a real MLflow: its runs, their metrics by epoch, and a model that predicts as the bundle does.

MLflow is no part of the extra ``test``: it brings thirty packages, and takes four seconds to import.
"""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import FINALS, SMALL, Outcome

import hpsearch

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(find_spec("mlflow") is None, reason="needs the extra mlflow"),
    pytest.mark.filterwarnings("default"),  # MLflow's own, which are not ours to mend
]
URI = "sqlite:///mlflow.db"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of pruned and complete trials."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.toml").write_text(SMALL.replace("finalists = 0", FINALS), encoding="utf-8")
    hpsearch.run(folder / "small.toml", trials=12, storage=f"sqlite:///{folder}/hpsearch.db")
    return folder


@pytest.fixture
def client(place: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(place)
    monkeypatch.delenv("HPSEARCH_STORAGE", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
    mlflow.set_tracking_uri(URI)
    return mlflow.MlflowClient(URI)


def test_every_trial_is_a_run_under_the_study_s_with_its_curve_by_epoch(client: Any) -> None:
    found = hpsearch.export_mlflow("small", tracking_uri=URI)
    place = client.get_experiment_by_name("small").experiment_id
    under = f"tags.`mlflow.parentRunId` = '{found.run}'"
    runs = {run.info.run_name: run for run in client.search_runs([place], under)}
    trials, curves = hpsearch.load_trials("small"), hpsearch.load_curves("small")
    assert len(runs) == found.trials == len(trials) == 12
    status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
    assert set(trials["state"]) >= {"COMPLETE", "PRUNED"}
    for trial in trials.to_dict("records"):
        run = runs[f"small:{trial['number']}"]
        assert run.info.status == status[trial["state"]]
        assert float(run.data.params["learning_rate"]) == trial["learning_rate"]
        history = client.get_metric_history(run.info.run_id, "validation_loss")
        means = curves[curves["trial"] == trial["number"]].groupby("epoch")["validation_loss"].mean()
        assert {one.step: one.value for one in history} == pytest.approx(means.to_dict())
        assert run.data.metrics.get("value", np.nan) == pytest.approx(trial["value"], nan_ok=True)
    study, best = client.get_run(found.run), hpsearch.load_best("small")
    assert best.has_holdout
    assert best.scorings == 0
    assert not [name for name in study.data.metrics if name.startswith("holdout")]
    assert study.info.status == "FINISHED"
    assert study.data.metrics["value"] == best.result.value
    assert best.corrected is not None
    assert study.data.metrics["corrected"] == best.corrected.value
    assert study.data.params["train.epochs"] == "40"


def test_artifacts_are_the_report_the_tables_and_a_model_that_predicts_as_the_bundle_does(client: Any) -> None:
    import mlflow

    model = hpsearch.StudyResult("small", "sqlite:///hpsearch.db").retrain()
    model.save("small-model", force=True)
    found = hpsearch.export_mlflow("small", "small-model", tracking_uri=URI, experiment="with a model")
    assert {one.path for one in client.list_artifacts(found.run)} == {"best.toml", "model", "report.html", "tables"}
    table = pd.read_csv(client.download_artifacts(found.run, "tables/trials.csv"))
    assert table["number"].tolist() == hpsearch.load_trials("small")["number"].tolist()
    loaded = mlflow.pyfunc.load_model(found.model_uri)
    rows = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    frame = pd.DataFrame(rows, columns=["x1", "x2"])
    np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
    np.testing.assert_array_equal(loaded.predict(rows), model.predict(rows))


def test_a_mean_of_squares_has_its_root_beside_it(client: Any, place: Path) -> None:
    sine = SMALL.replace('"small"', '"sine"').replace("nnfs:spiral", "nnfs:sine")
    (place / "sine.toml").write_text(sine, encoding="utf-8")
    study = hpsearch.run(place / "sine.toml", trials=2)
    found = hpsearch.export_mlflow(study, study.retrain(members=1), tracking_uri=URI)
    experiment = client.get_experiment_by_name("sine").experiment_id
    for run in client.search_runs([experiment]):
        assert run.data.metrics["rmse"] == pytest.approx(run.data.metrics["value"] ** 0.5)
    metrics = client.get_run(found.run).data.metrics
    for name in ("corrected", "corrected_low", "corrected_high"):
        assert metrics[f"{name}_rmse"] == pytest.approx(metrics[name] ** 0.5)


def test_what_would_take_long_is_left_out_of_the_report(
    client: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpsearch.reporting.mlflow_runs.SECONDS", 1e-6)
    found = hpsearch.export_mlflow("small", "small-model", tracking_uri=URI, experiment="short")
    page = Path(client.download_artifacts(found.run, "report.html")).read_text(encoding="utf-8")
    assert "hpsearch report --importance" in page


def test_a_study_is_exported_once_and_again_when_it_has_gone_on(client: Any, place: Path) -> None:
    hpsearch.export_mlflow("small", "small-model", tracking_uri=URI, experiment="once")
    with pytest.raises(hpsearch.HpsearchError, match="was exported there"):
        hpsearch.export_mlflow("small", "small-model", tracking_uri=URI, experiment="once")
    runs = client.search_runs([client.get_experiment_by_name("once").experiment_id])
    assert len(runs) == 13


def test_what_an_interrupted_export_left_is_deleted(client: Any) -> None:
    first = hpsearch.export_mlflow("small", "small-model", tracking_uri=URI, experiment="twice")
    client.delete_tag(first.run, "hpsearch.complete")  # as it is until all is written
    second = hpsearch.export_mlflow("small", "small-model", tracking_uri=URI, experiment="twice")
    runs = client.search_runs([client.get_experiment_by_name("twice").experiment_id])
    assert len(runs) == 13
    assert first.run not in {run.info.run_id for run in runs}
    assert second.run in {run.info.run_id for run in runs}


def test_what_is_refused_makes_no_database(client: Any, place: Path) -> None:
    (place / "other.toml").write_text(SMALL.replace('"small"', '"other"'), encoding="utf-8")
    other = hpsearch.run(place / "other.toml", trials=1).retrain(members=1)
    for model in ("absent", other):
        with pytest.raises(hpsearch.HpsearchError):
            hpsearch.export_mlflow("small", model, tracking_uri="sqlite:///new.db")
    assert not (place / "new.db").exists()


def test_a_server_that_is_not_there_is_refused_soon(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    before = dict(os.environ)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the call, and says nothing
        begun = time.monotonic()
        with pytest.raises(hpsearch.StorageError, match="must be a tracking server"):
            hpsearch.export_mlflow("small", tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert time.monotonic() - begun < 30
    assert dict(os.environ) == before


def test_mistakes_are_told_in_one_line(client: Any, place: Path, hpsearch: Callable[..., Outcome]) -> None:
    for arguments, said in (
        (("--tracking-uri", "nonsense:///x"), "must be a tracking server or database of MLflow"),
        (("--tracking-uri", "sqlite:///small.toml/x.db"), "must be a tracking server or database of MLflow"),
        (("--tracking-uri", URI, "--model", "absent", "--experiment", "three"), "absent: must be a saved model"),
    ):
        done = hpsearch("export-mlflow", "small", *arguments)
        assert (done.status, done.err.count("\n")) == (2, 1), done.err
        assert said in done.err
