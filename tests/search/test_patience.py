"""A trial that patience ends is the beginning of the whole one, and complete."""

from __future__ import annotations

import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from conftest import SMALL
from test_coordinator import assert_same, at, tables
from test_objective import OPTIONS, OPTUNAS, RATES, STUDY, in_order, task, timeless

import hpsearch
from hpsearch.definition.pruners import PRUNERS
from hpsearch.definition.study import StudyDefinition
from hpsearch.reporting.figures import FIGURES
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.search.coordinator import Progress
from hpsearch.search.objective import Prepared, TrialTask, evaluate, prepare
from hpsearch.search.reuse import replayed
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult

# Of 20 epochs, a checkpoint after each: 0.3 and 0.15 are no binary fractions, and are met exactly.
PATIENCES = ("0.05", "0.3", "0.5", "1")


@cache
def whole(objective: str) -> tuple[Prepared, tuple[TrialResult, ...]]:
    """A study without patience or pruner, and what becomes of trials with the learning rates."""
    raw = tomllib.loads(STUDY)
    raw["train"]["evaluate_every"], raw["search"]["objective"] = 1, objective
    study = prepare(StudyDefinition.from_mapping(raw))
    return study, tuple(evaluate(study, task(number, rate)) for number, rate in enumerate(RATES))


def with_search(study: Prepared, **search: Any) -> Prepared:
    raw = study.definition.raw
    return replace(study, definition=StudyDefinition.from_mapping({**raw, "search": {**raw["search"], **search}}))


def ended(result: TrialResult, patience: str, sign: int, epochs: int) -> int:
    """How many checkpoints there are, by the rule in fractions."""
    best = 0
    for place, mean in enumerate(result.intermediate):
        if sign * mean < sign * result.intermediate[best]:
            best = place
        if Fraction(result.epochs[place] - result.epochs[best], epochs) >= Fraction(patience):
            return place + 1
    return len(result.epochs)


def beginning(result: TrialResult, count: int) -> list[Any]:
    """The first checkpoints of its curves, and of what became of each row."""
    assert result.rows is not None
    curves = (result.epochs, result.intermediate, result.training_loss, result.validation_loss)
    return [*(curve[:count] for curve in curves), result.rows.of_objective[:count].tolist()]


@pytest.mark.parametrize(("objective", "sign"), [("loss", 1), ("accuracy", -1)])  # the latter has many ties
def test_a_curve_is_the_beginning_of_the_whole_one_and_the_value_the_best_of_it(objective: str, sign: int) -> None:
    plain, results = whole(objective)
    early = set()
    for patience in PATIENCES:
        study = with_search(plain, patience=float(patience))
        for number, full in enumerate(results[:5]):
            short = evaluate(study, task(number, RATES[number]))
            if full.state == "FAIL":
                assert timeless(short) == timeless(full)
                continue
            count = ended(full, patience, sign, 20)
            early.add((patience, count < len(full.epochs)))
            assert len(short.epochs) == count
            assert beginning(short, count) == beginning(full, count)
            place = min(range(count), key=lambda at: sign * full.intermediate[at])
            assert (short.state, short.reason) == ("COMPLETE", None)
            assert (short.value, short.best_epoch) == (full.intermediate[place], full.epochs[place])
            assert np.mean([fold.get("objective", fold["validation_loss"]) for fold in short.folds]) == short.value
            if short.best_epoch == full.best_epoch:
                assert (short.folds, short.score) == (full.folds, full.score)
                assert short.rows is not None
                assert full.rows is not None
                np.testing.assert_array_equal(short.rows.predictions, full.rows.predictions)
    assert {short for _, short in early} == {True, False}
    assert ("0.3", True) in early
    assert ("1", True) not in early


def test_it_is_a_share_of_the_epochs_that_the_trial_has() -> None:
    raw = tomllib.loads(STUDY)
    raw["train"]["evaluate_every"] = 1
    raw["space"] = {"epochs": {"int": [8, 20]}, "learning_rate": {"float": [1e-9, 1e30], "log": True}}
    without = prepare(StudyDefinition.from_mapping(raw))
    study, short = with_search(without, patience=0.25), 0
    for epochs in (8, 20):
        for rate in (0.05, 0.3, 1.0):
            chosen = {"epochs": epochs, "learning_rate": rate}
            count = ended(evaluate(without, TrialTask(0, chosen)), "0.25", 1, epochs)
            assert len(evaluate(study, TrialTask(0, chosen)).epochs) == count
            short += count < epochs
    assert short > 2


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("pruner", PRUNERS)
def test_the_pruner_is_told_of_each_checkpoint_and_decides_until_patience_has_ended_it(pruner: str) -> None:
    """As in a live study of Optuna that gets the whole curves; and an equal trial later is what its training would be.

    Where both would end a trial it is complete.
    """
    plain, results = whole("loss")
    name = f'{{ name = "{pruner}"{f", {OPTIONS[pruner]}" if pruner in OPTIONS else ""} }}'
    study = with_search(plain, patience=0.15, pruner=tomllib.loads(f"p = {name}")["p"])
    optunas = OPTUNAS[pruner]()
    if pruner in ("hyperband", "successive_halving"):  # there the first checkpoint is after 4 epochs
        optunas = study.definition.build_pruner()
    live, expected = optuna.create_study(study_name="a", pruner=optunas), []
    for full in results:
        trial, state, count = live.ask(), "COMPLETE", ended(full, "0.15", 1, 20)
        for place in range(count):
            if full.state == "FAIL" and place == count - 1:
                state = "FAIL"
                break
            trial.report(full.intermediate[place], full.epochs[place])
            if trial.should_prune() and place < count - 1:
                state, count = "PRUNED", place + 1
                break
        value = min(full.intermediate[:count]) if state == "COMPLETE" else None
        live.tell(trial, value, optuna.trial.TrialState[state])
        expected.append((state, full.epochs[:count], value))
    ours = in_order(study)
    assert [(result.state, result.epochs, result.value) for result in ours] == expected
    assert {"COMPLETE"} < {state for state, *_ in expected}
    assert any(state == "COMPLETE" and len(epochs) < 20 for state, epochs, _ in expected)
    assert (pruner == "none") == all(state != "PRUNED" for state, *_ in expected)

    later = len(ours)
    for earlier, rate in zip(ours, RATES, strict=True):
        again = task(later, rate, ours)
        found = replayed(study.definition, again, earlier)
        if found is None:
            assert earlier.state == "PRUNED"
            continue
        trained = replace(evaluate(study, again), rows=None)
        assert timeless(replace(found, rows=None, same_as=None)) == timeless(trained)


def test_a_finalist_is_trained_as_without() -> None:
    raw = tomllib.loads(STUDY)
    raw["train"]["evaluate_every"], raw["search"]["finalist_repeats"] = 1, 1
    without = prepare(StudyDefinition.from_mapping(raw))
    finalist = TrialTask(0, {"learning_rate": 0.3}, final_epochs=20)
    one, other = (evaluate(study, finalist) for study in (without, with_search(without, patience=0.05)))
    assert timeless(one) == timeless(other)
    assert one.epochs[-1] == 20
    assert one.ensemble is not None
    assert any(later >= before for before, later in pairwise(one.ensemble.objective))  # it would have ended a trial


# ---------------------------------------------------------------- whole studies

PATIENT = SMALL.replace("evaluate_every = 8", "evaluate_every = 2") + "patience = 0.1\n"


def written(folder: Path, text: str = PATIENT) -> Path:
    (folder / "small.toml").write_text(text, encoding="utf-8")
    return folder / "small.toml"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The storage of a study with patience and a pruner, run straight through: to be read only."""
    folder = tmp_path_factory.mktemp("patient")
    hpsearch.run(written(folder), storage=at(folder, "a"))
    return at(folder, "a")


@pytest.fixture(scope="module")
def through(ran: str) -> tuple[pd.DataFrame, ...]:
    trials, *others = tables(ran)
    complete = trials[trials["state"] == "COMPLETE"]
    assert {*trials["state"]} == {"COMPLETE", "PRUNED"}
    assert complete["epochs_trained"].nunique() > 1
    assert (complete["epochs_trained"] < 40).any()
    assert complete["reason"].isna().all()
    return trials, *others


def test_an_interrupt_changes_nothing(tmp_path: Path, through: tuple[pd.DataFrame, ...]) -> None:
    path, storage = written(tmp_path), at(tmp_path, "cut")
    for told in (1, 4, 9):

        def watch(progress: Progress, told: int = told) -> None:
            if len(progress.results) >= told:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            hpsearch.run(path, storage=storage, watch=watch)
    with ThreadPoolExecutor(3) as pool:  # trials finish out of order
        hpsearch.run(path, storage=storage, executor=pool)
    assert_same(tables(storage), through)


@pytest.mark.campaign  # workers start for seconds
def test_worker_processes_change_nothing(tmp_path: Path, through: tuple[pd.DataFrame, ...]) -> None:
    hpsearch.run(written(tmp_path), storage=at(tmp_path, "workers"), workers=2)
    assert_same(tables(at(tmp_path, "workers")), through)


@pytest.mark.campaign  # the plain one is above, trial by trial
def test_equal_trials_are_trained_once_and_are_the_same(tmp_path: Path) -> None:
    few = 'learning_rate = { choice = [0.003, 0.03, 0.3] }\noptimizer = { choice = ["adam", "sgd"] }\n'
    head, _, rest = PATIENT.partition("[space]")
    path = written(tmp_path, f"{head}[space]\n{few}[search]{rest.partition('[search]')[2]}")
    for name, reuse in (("off", False), ("on", True)):
        hpsearch.run(path, storage=at(tmp_path, name), reuse=reuse)
    assert_same(tables(at(tmp_path, "off")), tables(at(tmp_path, "on")))
    again = hpsearch.load_trials("small", at(tmp_path, "on")).dropna(subset=["same_as"])
    assert ((again["state"] == "COMPLETE") & (again["epochs_trained"] < 40)).any()


def test_all_that_a_study_shows_counts_the_checkpoints_there_are(ran: str) -> None:
    with StoredStudy.open(ran, "small") as stored:
        results = [stored_result(trial) for trial in stored.trials()]
    complete = [result for result in results if result.value is not None]
    study = hpsearch.StudyResult("small", ran)
    best = study.best
    assert best.corrected is not None
    assert best.corrected.candidates == sum(len(result.epochs) for result in complete)
    assert (study.trials["epochs_trained"] == study.curves.groupby("trial")["epoch"].max()).all()
    early = sum(result.epochs[-1] < 40 for result in complete)
    with StoredStudy.open(ran, "small") as stored:
        figure = FIGURES["pruning"]
        said = figure.say(figure.facts(Snapshot(stored)))
    assert said.endswith(f" Patience ended {early} of the complete ones.")


def test_the_estimator_s_search_is_that_of_the_study_file(tmp_path: Path) -> None:
    from sklearn.datasets import load_iris
    from sklearn.model_selection import KFold

    rate = {"learning_rate": {"float": [1e-2, 1.0], "log": True}}
    train = {"epochs": 20, "evaluate_every": 1, "batch_size": 30, "learning_rate": 0.01, "weight_l2": 0.0}
    raw = {
        "study": {"name": "file", "seed": 5},
        "data": {"source": "sklearn:iris"},
        "train": train,
        "space": rate,
        "search": {"trials": 6, "patience": 0.2, "finalists": 0, "pruner": "none"},
    }
    study = hpsearch.run(StudyDefinition.from_mapping(raw), storage=at(tmp_path, "a"))
    options: dict[str, Any] = {"n_trials": 6, "finalists": 0, "pruner": "none", "random_state": 5, "refit": False}
    network = hpsearch.MLPClassifier(**train, dtype="float32")
    options["cv"] = KFold(5, shuffle=True)
    search = hpsearch.KFoldSearchCV(network, rate, patience=np.float64(0.2), **options)
    search.fit(*load_iris(return_X_y=True))
    pd.testing.assert_frame_equal(search.trials_.drop(columns="seconds"), study.trials.drop(columns="seconds"))
    assert (search.trials_["epochs_trained"] < 20).any()
    with pytest.raises(hpsearch.DefinitionError, match=r"^patience=0\.2 must go with .* or set checkpoint='best'\.$"):
        search.set_params(checkpoint="last").fit(*load_iris(return_X_y=True))
    with pytest.raises(hpsearch.DefinitionError, match=r"^patience must be at most 1, but is 2\.$"):
        search.set_params(checkpoint="best", patience=2).fit(*load_iris(return_X_y=True))
