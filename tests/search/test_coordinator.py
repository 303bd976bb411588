"""The same study file gives the same tables, however its running was cut up."""

from __future__ import annotations

import importlib.util
from collections.abc import Container, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from conftest import FINALS, SMALL

import hpsearch
from hpsearch.definition.pruners import PRUNERS
from hpsearch.definition.samplers import SAMPLERS
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import HpsearchError, MissingExtraError, StudyChangedError
from hpsearch.search.coordinator import Progress
from hpsearch.search.executors import InProcessExecutor
from hpsearch.search.objective import TrialTask, prepare
from hpsearch.search.run import owned, search
from hpsearch.search.supervisor import MAX_FAILURES, MAX_LOSSES
from hpsearch.storage.database import close
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import FUNCTIONS, TrialResult


def tables(storage: str, study: str = "small") -> tuple[pd.DataFrame, ...]:
    """All a study found, but for the one column that differs from run to run."""
    trials = hpsearch.load_trials(study, storage).drop(columns=["seconds", "same_as"])
    finals = hpsearch.load_finals(study, storage).drop(columns=["seconds"])
    return trials, hpsearch.load_folds(study, storage), hpsearch.load_curves(study, storage), finals


def assert_same(one: tuple[pd.DataFrame, ...], other: tuple[pd.DataFrame, ...]) -> None:
    for left, right in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(left, right, check_exact=True)


def at(folder: Path, name: str) -> str:
    return f"sqlite:///{folder / name}.db"


@pytest.fixture
def small(small: Path) -> Path:
    """The small study, with finals."""
    small.write_text(small.read_text().replace("finalists = 0", FINALS), encoding="utf-8")
    return small


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The storage of the small study, run straight through: to be read only."""
    folder = tmp_path_factory.mktemp("through")
    (folder / "small.toml").write_text(SMALL.replace("finalists = 0", FINALS), encoding="utf-8")
    hpsearch.run(folder / "small.toml", storage=at(folder, "a"))
    return at(folder, "a")


@pytest.fixture(scope="module")
def through(ran: str) -> tuple[pd.DataFrame, ...]:
    """The small study, run straight through."""
    return tables(ran)


def some(values: Iterable[int], plain: Container[int]) -> list[Any]:
    """Values of a parameter, of which all but a few are of the campaign."""
    return [value if value in plain else pytest.param(value, marks=pytest.mark.campaign) for value in values]


def test_the_small_study_has_what_these_tests_need(through: tuple[pd.DataFrame, ...]) -> None:
    trials, folds, curves, finals = through
    assert len(finals) == 3 * 2
    assert set(trials["state"]) >= {"COMPLETE", "PRUNED"}
    assert trials["layer2.neurons"].isna().any()
    assert trials["momentum"].isna().any()
    assert len(folds) == 3 * (trials["state"] == "COMPLETE").sum()
    assert set(curves["trial"]) == set(range(16))


def test_two_runs_of_one_study_give_the_same_tables(small: Path, through: tuple[pd.DataFrame, ...]) -> None:
    hpsearch.run(small, storage=at(small.parent, "again"))
    assert_same(tables(at(small.parent, "again")), through)


@pytest.mark.parametrize("first", some([1, 2, 3, 7, 15], plain=[1, 7, 15]))
def test_raising_the_number_of_trials_later_changes_nothing(
    small: Path, through: tuple[pd.DataFrame, ...], first: int
) -> None:
    storage = at(small.parent, "raised")
    hpsearch.run(small, trials=first, storage=storage)
    trials = hpsearch.load_trials("small", storage)
    assert len(trials) == first, "trials beyond the limit must not be left behind"
    assert "RUNNING" not in set(trials["state"])
    hpsearch.run(small, storage=storage)
    assert_same(tables(storage), through)


def test_a_search_of_conditional_hyperparameters_goes_on_as_if_never_stopped(small: Path) -> None:
    """What TPE notes with a trial that it only asked for steers the next proposals, so it must be stored too."""
    head = small.read_text().partition("[space]")[0].replace("epochs = 40", "epochs = 8")
    space = (
        "[space]\nhidden_layers = { int = [0, 2] }\nneurons = { int = [4, 16], log = true }\n"
        'activation = { choice = ["relu", "tanh", "leaky_relu"] }\nleaky_slope = { float = [0.0, 0.5] }\n'
        'optimizer = { choice = ["adagrad", "adam", "rmsprop", "sgd"] }\n'
        "learning_rate = { float = [1e-3, 0.3], log = true }\n"
        "momentum = { float = [0.0, 0.9] }\nrho = { float = [0.5, 0.99] }\n"
        "[space.layer1]\nweight_l1 = { float = [0.0, 0.1] }\n"
    )
    search = '[search]\ntrials = 21\nin_flight = 4\nsampler = { name = "tpe", n_startup_trials = 5 }\n'
    small.write_text(head + space + search)
    hpsearch.run(small, storage=at(small.parent, "one"))
    for trials in (9, 13, 14, 21):
        hpsearch.run(small, trials=trials, storage=at(small.parent, "two"))
    assert_same(tables(at(small.parent, "one")), tables(at(small.parent, "two")))


def test_fewer_trials_than_are_stored_runs_and_changes_nothing(small: Path) -> None:
    storage = at(small.parent, "fewer")
    hpsearch.run(small, trials=5, storage=storage)
    before = tables(storage)
    hpsearch.run(small, trials=2, storage=storage)
    assert_same(tables(storage), before)


class Interrupted(InProcessExecutor):
    """An executor whose user presses Ctrl-C in the k-th call."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def submit(self, task: TrialTask) -> Future[TrialResult]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().submit(task)


@pytest.mark.parametrize("calls", some([1, 2, 4, 7, 10, 13], plain=[2, 7]))
def test_an_interrupt_at_any_trial_changes_nothing(small: Path, through: tuple[pd.DataFrame, ...], calls: int) -> None:
    storage, prepared = at(small.parent, "cut"), prepare(StudyDefinition.from_file(small))
    done = False
    while not done:  # interrupted again and again, until one stretch reaches the end
        attributes = {"identity": prepared.identity(), **prepared.attributes()}
        with StoredStudy.create_or_open(storage, "small", attributes) as stored:
            try:
                search(prepared, stored, Interrupted(calls))
                done = True
            except KeyboardInterrupt:
                told = hpsearch.load_trials("small", storage)
                unfinished = len(hpsearch.load_finals("small", storage)) < 3 * 2 or stored.fewer_rows() is None
                assert "RUNNING" in set(told["state"]) or unfinished
    assert_same(tables(storage), through)


class Losing(InProcessExecutor):
    """An executor that loses its first tasks, each of them alone, and no task is to blame."""

    worker_errors = (CancelledError,)

    def __init__(self, tasks: int) -> None:
        self.left = tasks

    def submit(self, task: TrialTask) -> Future[TrialResult]:
        if self.left == 0:
            return super().submit(task)
        self.left -= 1
        future = Future[TrialResult]()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future

    def restart(self) -> bool:
        return False


@pytest.mark.parametrize("tasks", [MAX_FAILURES, MAX_LOSSES - 1])
def test_what_is_lost_by_no_tasks_fault_is_evaluated_again(
    small: Path, through: tuple[pd.DataFrame, ...], tasks: int
) -> None:
    storage, prepared = at(small.parent, "lost"), prepare(StudyDefinition.from_file(small))
    with owned(prepared, storage, []) as stored:
        search(prepared, stored, Losing(tasks))
    assert_same(tables(storage), through)


def test_what_is_lost_again_and_again_ends_the_run_and_the_next_goes_on(
    small: Path, through: tuple[pd.DataFrame, ...]
) -> None:
    storage, prepared = at(small.parent, "lost"), prepare(StudyDefinition.from_file(small))
    with owned(prepared, storage, []) as stored:
        with pytest.raises(HpsearchError, match=f"were lost {MAX_LOSSES} times in a row"):
            search(prepared, stored, Losing(MAX_LOSSES))
        search(prepared, stored, InProcessExecutor())
    assert_same(tables(storage), through)


def test_a_watcher_that_raises_loses_nothing_that_was_told(small: Path, through: tuple[pd.DataFrame, ...]) -> None:
    storage = at(small.parent, "watched")

    def watch(progress: Progress) -> None:
        if len(progress.results) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hpsearch.run(small, storage=storage, watch=watch)
    assert (hpsearch.load_trials("small", storage)["state"] != "RUNNING").sum() == 6
    hpsearch.run(small, storage=storage)
    assert_same(tables(storage), through)


def test_the_window_and_not_the_executor_decides_what_is_known(small: Path, through: tuple[pd.DataFrame, ...]) -> None:
    """Any concurrent.futures executor, trials finishing out of order: the same tables."""
    storage = at(small.parent, "threads")
    with ThreadPoolExecutor(3) as pool:
        hpsearch.run(small, storage=storage, executor=pool)
    assert_same(tables(storage), through)


@pytest.mark.parametrize("workers", some([2, 4], plain=[2]))
def test_worker_processes_give_the_same_tables(small: Path, through: tuple[pd.DataFrame, ...], workers: int) -> None:
    storage = at(small.parent, "workers")
    hpsearch.run(small, storage=storage, workers=workers)
    assert_same(tables(storage), through)


def strategy_study(path: Path, sampler: str, pruner: str) -> None:
    """A study with these; on a grid its space is one of choices."""
    text = path.read_text(encoding="utf-8").split("[search]")[0]
    if sampler == "grid":
        text = text.replace("float = [1e-3, 1.0], log = true", "choice = [0.01, 0.1]").replace(
            "[4, 16], log = true", "[4, 5]"
        )
        text = text.replace("float = [0.0, 0.9]", "float = [0.0, 0.5], step = 0.5")
    search = f'[search]\ntrials = 9\nin_flight = 2\nsampler = "{sampler}"\npruner = "{pruner}"\nfinalists = 0\n'
    path.write_text(text + search)


def goes_on(small: Path, sampler: str, pruner: str) -> None:
    """A study run through, and one that goes on from four trials, with trials that finish out of order."""
    strategy_study(small, sampler, pruner)
    hpsearch.run(small, storage=at(small.parent, "one"))
    hpsearch.run(small, trials=4, storage=at(small.parent, "two"))
    with ThreadPoolExecutor(2) as pool:
        hpsearch.run(small, storage=at(small.parent, "two"), executor=pool)
    assert_same(tables(at(small.parent, "one")), tables(at(small.parent, "two")))


OFFERED, BY_NAME = sorted(set(SAMPLERS) - {"gp"}), sorted(PRUNERS)
# Each at least once, and no sampler with the pruner that it has in the test of a cluster.
PAIRS = list(zip(OFFERED, cycle(BY_NAME[1:] + BY_NAME[:1]), strict=False))


@pytest.mark.parametrize(("sampler", "pruner"), PAIRS)
def test_every_sampler_and_every_pruner_goes_on_as_if_never_stopped(small: Path, sampler: str, pruner: str) -> None:
    goes_on(small, sampler, pruner)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_a_sampler_whose_package_is_missing_names_its_extra(small: Path) -> None:
    strategy_study(small, "gp", "median")
    with pytest.raises(MissingExtraError, match=r"pip install 'hpsearch\[samplers\]'"):
        hpsearch.run(small)


@pytest.mark.campaign
@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_with_every_pruner_goes_on_as_if_never_stopped(small: Path, sampler: str, pruner: str) -> None:
    if sampler == "gp":
        pytest.importorskip("torch", reason="its size is out of proportion here")
    goes_on(small, sampler, pruner)


def test_a_study_stored_before_elementary_functions_were_probed_goes_on_and_one_of_others_does_not(small: Path) -> None:
    storage = at(small.parent, "a")
    hpsearch.run(small, trials=1, storage=storage)
    with StoredStudy.open(storage, "small", owner=True) as stored:
        identity = stored.attributes["identity"]
        stored.refresh({"identity": {**identity, FUNCTIONS: "0123456789ab"}})
        with pytest.raises(StudyChangedError, match=r"machine\.functions was '0123456789ab'"):
            hpsearch.run(small, trials=2, storage=storage)
        stored.refresh({"identity": {key: value for key, value in identity.items() if key != FUNCTIONS}})
    assert len(hpsearch.run(small, trials=2, storage=storage).trials) == 2


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, tuple[pd.DataFrame, ...]]:
    """The storage of a small study that has begun, and its tables."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    hpsearch.run(folder / "small.toml", trials=1, storage=at(folder, "a"))
    return at(folder, "a"), tables(at(folder, "a"))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("samples = 20", "samples = 21", "data.samples"),
        ("n_splits = 3", "n_splits = 4", "validation.n_splits"),
        ("[4, 16]", "[4, 17]", "layer1.neurons"),
        ("epochs = 40", "epochs = 48", "train.epochs"),
        ("seed = 3", "seed = 4", "study.seed"),
        ("in_flight = 3", "in_flight = 4", r"search\.in_flight was 3 and is 4"),
    ],
)
def test_a_changed_study_is_refused_with_what_changed(
    small: Path, begun: tuple[str, tuple[pd.DataFrame, ...]], old: str, new: str, key: str
) -> None:
    storage, before = begun
    assert SMALL.count(old) >= 1
    small.write_text(SMALL.replace(old, new))
    with pytest.raises(StudyChangedError, match=key):
        hpsearch.run(small, storage=storage)
    assert_same(tables(storage), before)


def test_changed_data_is_refused(small: Path) -> None:
    rows = "\n".join(f"{i % 7},{i % 11},{'ab'[i % 2]}" for i in range(40))
    (small.parent / "rows.csv").write_text(f"u,v,w\n{rows}\n")
    text = small.read_text().replace(
        'source = "nnfs:spiral"\nsamples = 20', 'source = "csv"\npath = "rows.csv"\ntarget = "w"'
    )
    small.write_text(text)
    hpsearch.run(small, trials=1)
    (small.parent / "rows.csv").write_text(f"u,v,w\n{rows}\n1,1,a\n")
    with pytest.raises(StudyChangedError, match=r"the rows of rows\.csv, or how they are read, are not"):
        hpsearch.run(small)
    small.write_text(text.replace("seed = 3", "seed = 4"))
    with pytest.raises(StudyChangedError, match=r"but study\.seed was 3 and is 4\. Change it back, or begin another"):
        hpsearch.run(small)


def test_a_diverging_trial_is_recorded_with_its_reason_and_the_study_goes_on(small: Path) -> None:
    text = small.read_text().replace(
        "learning_rate = { float = [1e-3, 1.0], log = true }", "learning_rate = { choice = [0.01, 1e30] }"
    )
    small.write_text(text.replace('choice = ["adam", "sgd"]', 'choice = ["sgd"]'))
    trials = hpsearch.run(small, trials=8).trials
    failed = trials[trials["state"] == "FAIL"]
    assert set(failed["learning_rate"]) == {1e30}
    assert failed["reason"].str.contains(r"of fold \d became (?:nan|inf) at epoch 8 \(optimizer='sgd'").all()
    assert (trials["state"] == "COMPLETE").any()
    assert failed["value"].isna().all()


def test_the_storage_is_one_that_optuna_reads(ran: str) -> None:
    storage = optuna.storages.RDBStorage(ran)
    study = optuna.load_study(study_name="small", storage=storage)
    trials = hpsearch.load_trials("small", ran)
    complete = trials[trials["state"] == "COMPLETE"]
    assert study.best_value == complete["value"].min()
    assert study.best_trial.number == complete["number"][complete["value"].idxmin()]
    assert [trial.state.name for trial in study.trials] == trials["state"].tolist()
    close(storage)


def test_a_trial_s_value_is_the_lowest_mean_over_folds_of_its_curve(through: tuple[pd.DataFrame, ...]) -> None:
    trials, folds, curves, _ = through
    means = curves.groupby(["trial", "epoch"])["validation_loss"].mean().reset_index()
    for trial in trials[trials["state"] == "COMPLETE"].itertuples():
        curve = means[means["trial"] == trial.number]
        lowest = curve.loc[curve["validation_loss"].idxmin()]
        # The mean of three float64 numbers, summed in another order at most.
        assert trial.value == pytest.approx(lowest["validation_loss"], rel=1e-15)
        assert trial.best_epoch == lowest["epoch"]
        of_folds = folds[folds["trial"] == trial.number]
        assert trial.value == pytest.approx(of_folds["validation_loss"].mean(), rel=1e-15)
        assert trial.accuracy == pytest.approx(of_folds["accuracy"].mean(), rel=1e-15)
