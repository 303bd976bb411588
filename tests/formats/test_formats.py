"""What earlier versions wrote opens with what they said of it, or is refused in one line that says what to do.

A set of files for each version that changed a format, made by that version: see :mod:`make`.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Outcome

import hpsearch
from hpsearch.model.manifest import VERSION
from hpsearch.results.tables import records
from hpsearch.search.objective import prepare
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.study_format import FORMAT, KEY

HERE = Path(__file__).parent
SETS = sorted(path.name.split(".")[0] for path in HERE.glob("*.tar.xz"))
NEWEST = SETS[-1]
# What can no longer be read, and what is said then.
REFUSED = {
    ("2026-11-22", "best.toml"): "Export the configuration again: `hpsearch best STUDY -o FILE`.",
    ("2026-11-22", "models/classes"): "which hpsearch 0.1.0 wrote. Retrain it with this version of hpsearch.",
    ("2026-11-22", "done"): "or begin another study",  # to go on with it; to look at it is another thing
    ("2026-11-24", "done"): "search.finalists was 0 and is 3",
    ("2026-11-24", "half"): "search.finalists was 0 and is 3",
}
NOW_CALLED = {"epochs": "epochs_trained"}  # columns of tables
# Networks compute in float32, whose last bits differ between machines: 2⁻²³ relative, times some hundred additions.
CLOSE = {"rel": 1e-4, "abs": 1e-5}
# Of what is trained here: such differences grow over some hundred updates.
TRAINED = {"rel": 1e-2, "abs": 1e-2}


@dataclass(frozen=True)
class Files:
    """The files of a set, in a folder of their own."""

    name: str
    folder: Path
    expected: Mapping[str, Any]

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/hpsearch.db"

    @property
    def models(self) -> list[str]:
        return [name for name in self.expected if name.startswith("models/")]

    @property
    def studies(self) -> list[str]:
        return [name for name in ("done", "half") if name in self.expected]

    def copy(self, folder: Path) -> Files:
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        copied = Files(self.name, folder, self.expected)
        copied.adapt(folder=str(folder))
        return copied

    def adapt(self, **attributes: Any) -> None:
        """Change attributes of its studies."""
        for name in self.studies:
            with StoredStudy.open(self.url, name, owner=True) as stored:
                stored.refresh(attributes)

    def identity(self, study: str) -> dict[str, Any]:
        with StoredStudy.open(self.url, study) as stored:
            return dict(stored.attributes["identity"])

    def as_if_here(self, study: str) -> None:
        """Have a study's versions and machine be those of here, which are no matter of formats."""
        now = prepare(hpsearch.StudyDefinition.from_file(self.folder / f"{study}.toml")).identity()
        here = {key: value for key, value in now.items() if key.startswith(("version.", "machine."))}
        with StoredStudy.open(self.url, study, owner=True) as stored:
            stored.refresh({"identity": {**stored.attributes["identity"], **here}})

    def refused(self, name: str) -> bool:
        return (self.name, name) in REFUSED

    def require_refused(self, name: str, error: pytest.ExceptionInfo[hpsearch.HpsearchError]) -> None:
        said = str(error.value)
        assert REFUSED[self.name, name] in said
        assert "\n" not in said


# The version before and this one; all others in the campaign.
@pytest.fixture(
    scope="module", params=[*(pytest.param(name, marks=pytest.mark.campaign) for name in SETS[:-2]), *SETS[-2:]]
)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("set")
    with tarfile.open(HERE / f"{request.param}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    folder /= request.param
    found = Files(request.param, folder, json.loads((folder / "expected.json").read_text(encoding="utf-8")))
    found.adapt(folder=str(folder))  # as running it there would
    return found


def same(found: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]) -> None:
    """To the bit, in all columns that there were."""
    now = [
        {key: row.get(key, row.get(NOW_CALLED.get(key))) for key in was}
        for row, was in zip(found, expected, strict=True)
    ]
    assert now == expected


def test_study_files_open(files: Files) -> None:
    for path in sorted([*files.folder.glob("*.toml"), *files.folder.glob("studies/*.toml")]):
        if files.refused(path.name):
            with pytest.raises(hpsearch.DefinitionError) as refused:
                hpsearch.StudyDefinition.from_file(path)
            files.require_refused(path.name, refused)
        else:
            assert hpsearch.StudyDefinition.from_file(path).trials >= 1


def test_tables_say_what_they_said(files: Files) -> None:
    loaders = {"trials": hpsearch.load_trials, "folds": hpsearch.load_folds, "curves": hpsearch.load_curves}
    for study in files.studies:
        for kind, load in loaders.items():
            same(records(load(study, files.url)), files.expected[study][kind])
    counted = ("study", "trials", "complete", "pruned", "failed", "running", "best_trial", "best_value")
    studies = [{key: row[key] for key in counted} for row in files.expected["studies"]]
    same(records(hpsearch.load_studies(files.url)), studies)


def test_the_best_is_what_it_was(files: Files) -> None:
    expected, best = files.expected["best"], hpsearch.load_best("done", files.url)
    found = json.loads(json.dumps(best.summary()))
    known = ("trial", "trials_told", "value", "accuracy", "best_epoch", "parameters")
    same([found], [{key: expected[key] for key in known}])
    settings = {name: value for name, value in expected["config"].items() if name != "evaluate_every"}
    same([found["config"]], [settings])
    if files.name == NEWEST:
        assert found["corrected"] == pytest.approx(expected["corrected"])


def test_a_report_is_written(files: Files, tmp_path: Path) -> None:
    hpsearch.report("done", tmp_path / "done.html", files.url, importance=False)
    assert f"trial {files.expected['best']['trial']}" in (tmp_path / "done.html").read_text(encoding="utf-8")


def test_a_finished_study_has_nothing_left_to_do(files: Files, tmp_path: Path) -> None:
    copied = files.copy(tmp_path)
    copied.as_if_here("done")
    if files.refused("done"):
        with pytest.raises(hpsearch.StudyChangedError) as refused:
            hpsearch.run(tmp_path / "done.toml", storage=copied.url)
        files.require_refused("done", refused)
    else:
        hpsearch.run(tmp_path / "done.toml", storage=copied.url)
        same(records(hpsearch.load_trials("done", copied.url)), files.expected["done"]["trials"])


def test_an_interrupted_study_goes_on(files: Files, tmp_path: Path) -> None:
    if "half" not in files.studies:
        pytest.skip("that version had no regression")
    copied, settings = files.copy(tmp_path), []
    copied.as_if_here("half")
    if files.refused("half"):
        with pytest.raises(hpsearch.StudyChangedError) as refused:
            hpsearch.run(tmp_path / "half.toml", storage=copied.url)
        files.require_refused("half", refused)
        settings = ["search.finalists=0"]  # as the message says
    hpsearch.run(tmp_path / "half.toml", storage=copied.url, overrides=settings)
    found, expected = records(hpsearch.load_trials("half", copied.url)), files.expected["finished"]
    begun = len([trial for trial in files.expected["half"]["trials"] if trial["state"] == "COMPLETE"])
    same(found[:begun], expected[:begun])
    chosen = ("number", "state", "learning_rate", "layer1.neurons", "parameters")
    same(found, [{key: trial[key] for key in chosen} for trial in expected])
    assert [trial["value"] for trial in found] == [pytest.approx(trial["value"], **TRAINED) for trial in expected]


def predicted(hpsearch_command: Callable[..., Outcome], files: Files, model: str) -> list[dict[str, str]]:
    done = hpsearch_command("predict", files.folder / model, files.folder / "rows.csv", "--format", "csv")
    assert done.status == 0
    return list(csv.DictReader(io.StringIO(done.out)))


def require_close(found: list[dict[str, str]], expected: list[dict[str, str]], tolerance: dict[str, float]) -> None:
    numbers = [name for name in expected[0] if name != "class"]
    for row, before in zip(found, expected, strict=True):
        assert row.keys() == before.keys()
        values = [float(before[name]) for name in numbers]
        assert [float(row[name]) for name in numbers] == pytest.approx(values, **tolerance)


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_models_predict_what_they_predicted(files: Files, hpsearch: Callable[..., Outcome]) -> None:
    for model in files.models:
        if files.refused(model):
            done = hpsearch("predict", files.folder / model, files.folder / "rows.csv")
            assert (done.status, done.err.count("\n")) == (2, 1)
            assert REFUSED[files.name, model] in done.err
        else:
            require_close(predicted(hpsearch, files, model), read(files.expected[model]), CLOSE)


def test_models_are_evaluated_and_shown(files: Files) -> None:
    rows = pd.read_csv(files.folder / "rows.csv")
    for model in files.models:
        if files.refused(model):
            continue
        loaded, before = hpsearch.Bundle.load(files.folder / model), read(files.expected[model])
        target = "kind" if "class" in before[0] else "price"
        pairs = list(zip(before, rows[target], strict=True))
        if target == "kind":
            loss = -np.mean([np.log(float(row[f"probability_{kind}"])) for row, kind in pairs])
        else:
            loss = np.mean([(float(row["prediction"]) - price) ** 2 for row, price in pairs])
        found = hpsearch.evaluate(loaded, files.folder / "rows.csv")
        assert found.metrics["loss"].value == pytest.approx(loss, rel=1e-4)
        assert f"predicts '{target}'" in repr(loaded)
        assert target in loaded._repr_html_()


def test_what_was_exported_is_fitted_again(files: Files, tmp_path: Path, hpsearch: Callable[..., Outcome]) -> None:
    if files.refused("best.toml"):
        return
    copied = files.copy(tmp_path)
    storage = ("--storage", copied.url)
    done = hpsearch("retrain", tmp_path / "best.toml", "-o", tmp_path / "again", "--set", "retrain.members=1", *storage)
    assert done.status == 0
    require_close(predicted(hpsearch, copied, "again"), read(files.expected["models/classes"]), TRAINED)
    with StoredStudy.open(files.url, "done") as before, StoredStudy.open(copied.url, "done") as after:
        scorings = [len(stored.attributes["holdout_scorings"]) for stored in (before, after)]
    assert scorings[1] == scorings[0] + 1


def test_a_study_of_another_kind_of_machine_is_read_and_goes_on_only_if_that_is_asked_for(
    newest: Files, tmp_path: Path
) -> None:
    copied = newest.copy(tmp_path)
    copied.as_if_here("done")
    copied.adapt(identity={**copied.identity("done"), "machine.probe": "0123456789ab"})
    same(records(hpsearch.load_trials("done", copied.url)), newest.expected["done"]["trials"])
    with pytest.raises(hpsearch.StudyChangedError, match=r"machine\.probe was '0123456789ab' and is '[0-9a-f]{12}'"):
        hpsearch.run(tmp_path / "done.toml", storage=copied.url)
    assert hpsearch.run(tmp_path / "done.toml", storage=copied.url, allow_mixed=True).best.complete == 5


def test_a_study_of_another_version_goes_on_with_that(newest: Files, tmp_path: Path) -> None:
    copied = newest.copy(tmp_path)
    copied.as_if_here("done")
    copied.adapt(identity={**copied.identity("done"), "version.hpsearch": "0.0.9"})
    same(records(hpsearch.load_trials("done", copied.url)), newest.expected["done"]["trials"])
    with pytest.raises(hpsearch.StudyChangedError, match=r"version\.hpsearch was '0\.0\.9' .* Use those versions, or"):
        hpsearch.run(tmp_path / "done.toml", storage=copied.url)


def test_a_study_of_a_later_format_is_refused(newest: Files, tmp_path: Path, hpsearch: Callable[..., Outcome]) -> None:
    copied = newest.copy(tmp_path)
    identity = {**copied.identity("done"), "version.hpsearch": "7.1.0"}
    copied.adapt(**{KEY: FORMAT + 1}, identity=identity)
    said = f"is in format {FORMAT + 1}, which hpsearch 7.1.0 wrote. Use that version of hpsearch, or a later one."
    for command in ("trials done", f"run {tmp_path / 'done.toml'}"):
        done = hpsearch(*command.split(), "--storage", copied.url)
        assert (done.status, said in done.err.splitlines()[-1]) == (2, True), command
    assert "running 5 trials" not in done.err
    listed = hpsearch("studies", "--storage", copied.url)
    assert (listed.status, listed.out.count(said)) == (0, len(newest.studies)), "each is said, and none hides another"


def test_the_newest_set_has_the_formats_of_now(newest: Files) -> None:
    """Whoever changes a format adds a set: ``python tests/formats/make.py tests/formats/DATE.tar.xz``."""
    for study in newest.studies:
        with StoredStudy.open(newest.url, study) as stored:
            assert stored.attributes[KEY] == FORMAT
    for model in newest.models:
        assert json.loads((newest.folder / model / "model.json").read_text(encoding="utf-8"))["version"] == VERSION


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("newest")
    with tarfile.open(HERE / f"{NEWEST}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    folder /= NEWEST
    return Files(NEWEST, folder, json.loads((folder / "expected.json").read_text(encoding="utf-8")))
