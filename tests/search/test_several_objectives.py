"""``[search] objectives``: a low loss and few parameters; the front; the best with at most so many parameters."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from conftest import FINALS, SMALL
from hypothesis import given, settings
from hypothesis import strategies as st
from test_coordinator import assert_same, at, tables
from test_max_parameters import definition, result
from test_search_options import with_search

import hpsearch
from hpsearch.definition.network_sizes import NetworkSizes
from hpsearch.definition.samplers import SAMPLERS
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DefinitionError, HpsearchError
from hpsearch.search.proposer import Proposer
from hpsearch.storage.database import close
from hpsearch.storage.records import objective_titles
from hpsearch.storage.trial_result import TrialResult, front
from hpsearch.validation.metrics import objective_metric

SEVERAL = sorted(name for name, kind in SAMPLERS.items() if kind.several)
BOTH = {"objectives": ["loss", "parameters"]}
SPACE = "hidden_layers = { int = [0, 2] }\nneurons = { int = [1, 16], log = true }\nlearning_rate = { choice = [0.03] }"
SEARCH = f"""objectives = ["loss", "parameters"]
trials = 12
sampler = {{ name = "tpe", n_startup_trials = 4 }}
pruner = {{ name = "median", n_startup_trials = 1 }}
in_flight = 3
{FINALS}"""


# ---------------------------------------------------------------- the front


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from([0.1, 0.2, 0.25, 0.3, None])), max_size=12),
    st.sampled_from([("loss", "minimize"), ("accuracy", "maximize")]),
)
def test_the_front_is_that_of_optuna_and_of_its_definition(
    given_trials: list[tuple[int, float | None]], objective: tuple[str, Any]
) -> None:
    metric = objective_metric(objective[0], "cross_entropy")
    results = [
        TrialResult(number, "FAIL" if value is None else "COMPLETE", value, size, 0.0)
        for number, (size, value) in enumerate(given_trials)
    ]
    study = optuna.create_study(directions=[objective[1], "minimize"])
    for each in results:
        values = None if each.value is None else [each.value, each.parameters]
        study.add_trial(optuna.trial.create_trial(values=values, state=optuna.trial.TrialState[each.state]))
    found = front(results, metric)
    assert sorted(each.number for each in found) == sorted(trial.number for trial in study.best_trials)
    assert [each.parameters for each in found] == sorted(each.parameters for each in found)
    complete = [(each.parameters, metric.sign * each.value, each.number) for each in results if each.value is not None]
    undominated = {
        number
        for size, value, number in complete
        if not any(s <= size and v <= value and (s, v) != (size, value) for s, v, _ in complete)
    }
    assert {each.number for each in found} == undominated


# ---------------------------------------------------------------- a study


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two objectives, run straight through, in its storage ``one``: to be read only."""
    path = tmp_path_factory.mktemp("several") / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    hpsearch.run(with_search(path, SEARCH, SPACE), storage=at(path.parent, "one"))
    return path


def test_the_stored_study_has_both_objectives_as_other_programs_read_them(ran: Path) -> None:
    url = at(ran.parent, "one")
    storage = optuna.storages.RDBStorage(url)
    study, trials = optuna.load_study(study_name="small", storage=storage), hpsearch.load_trials("small", url)
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert objective_titles(study.user_attrs) == ["mean validation loss", "parameters"]
    for trial, row in zip(study.trials, trials.to_dict("records"), strict=True):
        assert trial.state.name == row["state"]
        assert trial.values[1] == row["parameters"]
        assert math.isnan(row["value"]) or trial.values[0] == row["value"]
    found, best_trials = hpsearch.load_trials("small", url, front=True), study.best_trials
    close(storage)
    assert sorted(found["number"]) == sorted(trial.number for trial in best_trials)
    assert found["parameters"].is_monotonic_increasing
    assert found["value"].is_monotonic_decreasing
    assert len(found) < (trials["state"] == "COMPLETE").sum()


def test_what_is_shipped_has_the_best_loss(ran: Path) -> None:
    best, finals = (load("small", at(ran.parent, "one")) for load in (hpsearch.load_best, hpsearch.load_finals))
    assert best.result.number == finals["trial"][finals["chosen"]].iloc[0]
    assert best.definition.search.objective == "loss"
    assert best.corrected is not None


@pytest.mark.campaign
@pytest.mark.parametrize("sampler", SEVERAL)
def test_with_every_sampler_a_stop_and_two_workers_change_nothing(small: Path, sampler: str) -> None:
    space = "hidden_layers = { int = [0, 2] }\nneurons = { choice = [1, 4, 16] }\nactivation = { choice = ['tanh'] }"
    if sampler == "gp":
        pytest.importorskip("torch", reason="its size is out of proportion here")
    few = {"gp": ", n_startup_trials = 4", "nsga2": ", population_size = 3"}.get(sampler, "")
    named = f'{{ name = "{sampler}"{few} }}'
    with_search(small, SEARCH.replace('{ name = "tpe", n_startup_trials = 4 }', named), space)
    hpsearch.run(small, storage=at(small.parent, "one"))
    hpsearch.run(small, trials=5, storage=at(small.parent, "two"))
    hpsearch.run(small, workers=2, storage=at(small.parent, "two"))
    assert_same(tables(at(small.parent, "one")), tables(at(small.parent, "two")))


def test_a_pruner_knows_the_same_trials_in_every_process(tmp_path: Path) -> None:
    """Workers read prior trials from a file; a pruner may look at some of them."""
    raw = {
        "study": {"name": "both"},
        "data": {"source": "sklearn:wine"},
        "train": {"epochs": 10, "learning_rate": 0.02, "batch_size": 32, "init": "he"},
        "space": {"neurons": {"int": [1, 64]}},
        "search": {
            **BOTH,
            "trials": 12,
            "in_flight": 3,
            "finalists": 0,
            "sampler": "random",
            "pruner": {"name": "median", "n_startup_trials": 1},
        },
    }
    of = StudyDefinition.from_mapping(raw)
    for workers in (1, 2):
        hpsearch.run(of, storage=at(tmp_path, str(workers)), workers=workers)
    one, two = (hpsearch.load_trials("both", at(tmp_path, name))["state"].tolist() for name in ("1", "2"))
    assert one == two
    assert "PRUNED" in one


@pytest.mark.campaign
def test_report_and_what_is_said_of_other_studies(ran: Path) -> None:
    url = at(ran.parent, "one")
    hpsearch.report("small", ran.parent / "report.html", url)
    assert hpsearch.load_studies(url)["best_value"].iloc[0] == hpsearch.load_trials("small", url)["value"].min()
    assert len(hpsearch.confirm("small", top=2, repeats=1, storage=url).trials) == 2
    copied = hpsearch.copy_study("small", "next", storage=url)
    assert hpsearch.run(copied, from_study="small", storage=url, trials=2).trials["number"].tolist() == [0, 1]


@pytest.mark.parametrize("sampler", ["tpe", {"name": "nsga2", "population_size": 4}], ids=["tpe", "nsga2"])
@pytest.mark.parametrize("known", [0, 7, 14, 18])
def test_proposals_follow_from_the_results_however_they_are_known(known: int, sampler: Any) -> None:
    """Parents of a generation are those that were complete when it began, though more of theirs are by now."""
    of = definition({"hidden_layers": {"int": [1, 3]}, "neurons": {"int": [4, 256]}}, **BOTH, sampler=sampler)
    sizes = NetworkSizes(of.space, of.train, 10, 3)
    whole, results, found = Proposer(of, sizes), [], []
    for number in range(24):
        found.append(whole.propose(results))
        results.append(result(number, found[-1].chosen))
    again = Proposer(of, sizes)
    for proposal in found[:known]:
        again.add(proposal, results)
    assert [again.propose(results).chosen for _ in range(known, 24)] == [proposal.chosen for proposal in found[known:]]
    told = [trial.values for trial in whole._study.trials if trial.state.name == "COMPLETE"]
    assert told == [[each.value, math.log(each.parameters)] for each in results[: 24 - 8] if each.value is not None]


def test_a_small_network_is_not_stopped_because_large_ones_are_better(tmp_path: Path) -> None:
    """The small one comes last, and it is worse than the others at a checkpoint."""
    raw = {
        "study": {"name": "one"},
        "data": {"source": "sklearn:wine"},
        "train": {"epochs": 10, "learning_rate": 0.02, "batch_size": 32, "init": "he"},
        "space": {"neurons": {"int": [1, 64]}},
        "search": {
            "trials": 4,
            "in_flight": 1,
            "finalists": 0,
            "pruner": {"name": "median", "n_startup_trials": 1},
            "enqueue": [{"neurons": 62}, {"neurons": 63}, {"neurons": 64}, {"neurons": 1}],
        },
    }
    one = StudyDefinition.from_mapping(raw)
    both = one.with_overrides(['search.objectives=["loss", "parameters"]', "study.name=both"])
    states = [hpsearch.run(of, storage=at(tmp_path, "a")).trials["state"].iloc[3] for of in (one, both)]
    assert states == ["PRUNED", "COMPLETE"]


# ---------------------------------------------------------------- the best with at most so many parameters


def test_the_best_of_few_parameters_is_chosen_among_those_trials(ran: Path) -> None:
    url = at(ran.parent, "one")
    trials, whole = hpsearch.load_trials("small", url), hpsearch.load_best("small", url)
    complete = trials[trials["state"] == "COMPLETE"]
    finalists = set(hpsearch.load_finals("small", url)["trial"])
    for most in sorted(set(complete["parameters"])):
        best = hpsearch.load_best("small", url, at_most=int(most))
        allowed = complete[complete["parameters"] <= most]
        assert best.result.parameters <= most
        assert best.complete == len(allowed)
        if finalists & set(allowed["number"]):
            assert best.rule == "finals"
            assert best.result.number in finalists
        else:
            assert best.rule == "lowest"
            assert best.result.value == allowed["value"].min()
            assert best.correction.candidates == allowed["epochs_trained"].sum() / 8, "checkpoints, every 8 epochs"
        assert f"of at most {most} parameters" in best.choice or best.correction.candidates == 1
    everything = hpsearch.load_best("small", url, at_most=10**9)
    assert everything.settings() == whole.settings()
    assert everything.corrected == whole.corrected
    lowest = hpsearch.load_best("small", url, "lowest", at_most=int(complete["parameters"].min()))
    assert lowest.result.parameters == complete["parameters"].min()
    with pytest.raises(HpsearchError) as refused:
        hpsearch.StudyResult("small", url).best_at_most(2)
    least = int(complete["parameters"].min())
    assert str(refused.value) == (
        f"at_most must be at least {least}, the fewest parameters of a complete trial of 'small', but is 2."
    )


def test_the_commands(ran: Path, hpsearch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ran.parent)
    storage = ("--storage", at(ran.parent, "one"))
    shown = hpsearch("trials", "small", "--front", *storage, "--format", "csv")
    assert (shown.status, shown.err) == (0, "")
    sizes = [int(line.split(",")[-6]) for line in shown.out.splitlines()[1:]]
    assert sizes == sorted(sizes)
    done = hpsearch("best", "small", "--at-most", str(sizes[0]), "-o", "few.toml", *storage)
    assert (done.status, done.err) == (0, "")
    few = StudyDefinition.from_file("few.toml")
    assert few.origin is not None
    assert few.origin.rule.endswith(f", of at most {sizes[0]} parameters")
    assert few.sizes(2, 3).smallest == sizes[0]
    refused = hpsearch("best", "small", "--at-most", "1", *storage)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith("hpsearch: --at-most must be at least ")


# ---------------------------------------------------------------- the key


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"objectives": []}, "[search] objectives must name an objective, but is []."),
        ({"objectives": ["parameters", "loss"]}, "[search] objectives must begin with what is predicted well"),
        ({"objectives": ["parameters"]}, "[search] objectives must begin with what is predicted well"),
        ({"objectives": ["loss", "accuracy"]}, "[search] objectives must have behind its first one only parameters"),
        ({"objectives": ["loss", "parameters", "parameters"]}, "and none twice"),
        ({"objectives": ["loss", "params"]}, "Unknown objective 'params'. Choose one of: accuracy, "),
        ({"objectives": "loss"}, "[search] objectives must be"),
        ({"objectives": ["loss", 3]}, "[search] objectives"),
        (
            {"objectives": ["loss"], "objective": "accuracy"},
            "objectives must begin with objective where both are given",
        ),
        ({**BOTH, "objective": "accuracy"}, "objectives must begin with objective where both are given"),
        ({**BOTH, "sampler": "cmaes"}, "[search] sampler must be a sampler for several objectives, but is 'cmaes'."),
        ({**BOTH, "stop": 5}, "[search] stop must be left out with several objectives"),
        ({"objectives": ["r2", "parameters"]}, "must be a metric of a classification, but is 'r2'"),
    ],
)
def test_other_objectives_are_refused(search: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        definition({"neurons": {"int": [4, 8]}}, **search)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_objective_in_a_list_is_that_objective() -> None:
    space = {"neurons": {"int": [4, 8]}}
    assert "search.objectives" not in definition(space).identity()
    assert definition(space, objectives=["loss"]).identity() == definition(space).identity()
    alone, listed = ({"objective": "accuracy"}, {"objectives": ["accuracy"]})
    assert definition(space, **listed).identity() == definition(space, **alone).identity()
    both = definition(space, objectives=["accuracy", "parameters"])
    assert (both.search.objective, both.search.costs) == ("accuracy", ("parameters",))
    assert both.identity() == both.with_overrides(["search.objective=accuracy"]).identity()
    assert both.identity() != definition(space, **alone).identity()


def test_the_estimator_has_several_objectives_too() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.tile([0, 1, 2], 20)
    search = hpsearch.KFoldSearchCV(
        hpsearch.MLPClassifier(epochs=5),
        {"neurons": {"int": [2, 64]}},
        n_trials=4,
        cv=2,
        finalists=0,
        objectives=["accuracy", "parameters"],
        members=1,
        random_state=0,
    ).fit(X, y)
    assert search.best_score_ == search.trials_["value"].max()
    with pytest.raises(ValueError, match="objectives must begin with"):
        search.set_params(objectives=["parameters"]).fit(X, y)
