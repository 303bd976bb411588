"""Per-row results are there for every complete trial, whatever happened to the run."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import hpsearch
from hpsearch.api import open_study
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import StorageError
from hpsearch.search.objective import prepare
from hpsearch.storage.row_results import RowResultFiles
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult


def at(folder: Path, name: str) -> str:
    return f"sqlite:///{folder / name}.db"


def complete(stored: StoredStudy) -> list[TrialResult]:
    results = [stored_result(trial) for trial in stored.trials() if trial.state.is_finished()]
    return [result for result in results if result.value is not None]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("overrides", [[], ["validation.repeats=2"], ["validation.splitter=shuffle"]])
def test_the_stored_losses_and_probabilities_are_those_of_the_tables(small: Path, overrides: list[str]) -> None:
    definition = StudyDefinition.from_file(small, overrides)
    hpsearch.run(definition)
    data = prepare(definition).search
    with open_study("small") as stored:
        layout, results = stored.row_results.layout(), complete(stored)
        assert results
        for result in results:
            rows = stored.row_results.of(result)
            # float32 keeps seven digits of each row's loss.
            assert rows.losses @ layout.shares == pytest.approx(result.intermediate, rel=1e-6)
            right = rows.predictions.argmax(axis=1) == data.labels[layout.rows]
            shares = [fold["accuracy"] for fold in result.folds]
            assert [right[layout.splits == s].mean() for s in range(len(shares))] == pytest.approx(shares)
            chosen = rows.losses[result.epochs.index(result.best_epoch or 0)]
            true = rows.predictions[np.arange(len(right)), layout.labels]
            assert np.exp(-chosen) == pytest.approx(np.clip(true, 1e-7, 1 - 1e-7), rel=1e-5)
            assert rows.predictions.sum(axis=1) == pytest.approx(1, abs=1e-6)
        assert layout.labels.tolist() == data.labels[layout.rows].tolist()


def test_who_trains_and_how_often_it_stopped_changes_no_byte(small: Path) -> None:
    hpsearch.run(small, storage=at(small.parent, "through"))
    with ThreadPoolExecutor(2) as pool:
        hpsearch.run(small, storage=at(small.parent, "workers"), executor=pool)
    for trials in (3, 9, None):
        hpsearch.run(small, storage=at(small.parent, "raised"), trials=trials)
    through, *others = (
        files(small.parent / f"{name}.db.rows/study-small") for name in ("through", "workers", "raised")
    )
    assert len(through) > 5
    for other in others:
        assert other == through


def test_only_complete_trials_have_a_file_and_a_trial_of_the_same_configuration_uses_that_of_the_first(
    small: Path,
) -> None:
    text = small.read_text().replace("[search]", "[search]\nenqueue = [{ENQUEUED}, {ENQUEUED}]")
    known = '{ hidden_layers = 1, optimizer = "adam", learning_rate = 0.02, "layer1.neurons" = 8 }'
    small.write_text(text.replace("{ENQUEUED}", known))
    hpsearch.run(small)
    with open_study("small") as stored:
        results = complete(stored)
        assert results[1].same_as == 0
        own = {f"trial-{result.number}.npz" for result in results if result.same_as is None}
        assert set(files(stored.row_results.folder)) == {"layout.npz", *own}
        assert np.array_equal(stored.row_results.of(results[1]).losses, stored.row_results.of(results[0]).losses)


def test_a_folder_that_cannot_be_written_is_read_with_its_rows(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs this may write everywhere, so only the answer is that of a user who may not."""
    folder = small.parent / "a b"
    folder.mkdir()
    study = hpsearch.run(small, trials=3, storage=at(folder, "one"))
    found = hpsearch.load_metrics(study)
    monkeypatch.setattr("os.access", lambda *arguments: False)
    read = hpsearch.load_metrics("small", at(folder, "one"))
    assert read.equals(found)


def test_a_pipe_or_a_loop_of_links_in_the_place_of_rows_is_refused(small: Path) -> None:
    study = hpsearch.run(small, trials=1)
    for put in (os.mkfifo, lambda path: path.symlink_to(path.name)):
        (path,) = Path("hpsearch.db.rows").rglob("trial-0.npz")
        path.unlink()
        put(path)
        with pytest.raises(StorageError, match="must be kept with the storage, but cannot be read"):
            hpsearch.load_metrics(study)


def test_a_name_of_dots_leads_to_no_other_folder() -> None:
    assert RowResultFiles.beside(Path("a/x.db"), "sqlite:///a/x.db", "..").folder == Path("a/x.db.rows/study-..")
    assert RowResultFiles.beside(None, "postgresql://h/b", "s").folder.parent.suffix == ".rows"


def test_files_that_are_gone_or_of_another_study_are_named_and_all_else_goes_on(small: Path) -> None:
    best = hpsearch.run(small).best
    assert best.corrected is not None
    with open_study("small") as stored:
        stored.refresh({"corrected": None})  # what a run keeps at its end
    folder = small.parent / "hpsearch.db.rows/study-small"
    file = folder / f"trial-{best.result.number}.npz"
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[100] ^= 0x55  # within the compressed bytes
    damaged = (b"PK", whole[:100], bytes(flipped), b"\x93NUMPY no array")
    for content, words in ((None, "is not there"), *((content, "cannot be read") for content in damaged)):
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        found = hpsearch.load_best("small")
        assert found.corrected is None
        assert found.correction.missing is not None
        assert file.name in found.correction.missing
        assert words in found.correction.missing
        assert found.result.value == best.result.value
        file.write_bytes(whole)
    with np.load(file) as arrays:
        np.savez(file, losses=arrays["losses"][1:], predictions=arrays["predictions"])
    with open_study("small") as stored, pytest.raises(StorageError, match="but is of another study"):
        stored.row_results.of(best.result)


def test_the_rows_of_another_study_are_refused(small: Path) -> None:
    """As when a database was restored without its folder: same shapes, other numbers; and other shapes."""
    best = hpsearch.run(small).best
    for override in ("study.seed=4", "validation.n_splits=4", "data.samples=30"):
        other = StudyDefinition.from_file(small, [override])
        hpsearch.run(other, storage=at(small.parent, "other"))
        theirs, ours = (small.parent / f"{name}.db.rows" / "study-small" for name in ("other", "hpsearch"))
        whole = {path.name: path.read_bytes() for path in ours.iterdir()}
        for path in theirs.iterdir():
            (ours / path.name).write_bytes(path.read_bytes())
        with open_study("small") as stored, pytest.raises(StorageError, match=r"is of another study|is not there"):
            stored.row_results.of(best.result)
        for name, content in whole.items():
            (ours / name).write_bytes(content)
        for path in [*theirs.parent.parent.glob("other.db*")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with open_study("small") as stored:
        stored.row_results.of(best.result)


def test_one_database_has_one_folder_however_it_is_reached() -> None:
    urls = ("postgresql://me:secret@host/base", "postgresql+psycopg://you@host/base")
    assert len({RowResultFiles.beside(None, url, "s").folder for url in urls}) == 1
    assert RowResultFiles.beside(None, "postgresql://me@host/other", "s") != RowResultFiles.beside(None, urls[0], "s")
