"""How long a study will take: what the estimate depends on, what it costs, and that nothing depends on it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from conftest import TOP, Outcome

import hpsearch
from hpsearch.search.coordinator import Progress
from hpsearch.search.objective import Prepared, TrialTask, evaluate, prepare
from hpsearch.search.time_needed import SOON, TimeNeeded, _Costs, _of_study, _spread, time_needed, time_of_run

LONG = ["train.epochs=200000", "search.trials=40"]


@cache
def spiral() -> Prepared:
    return prepare(hpsearch.StudyDefinition.from_file(TOP / "studies" / "spiral.toml", ["search.finalists=1"]))


def prepared(*overrides: str) -> Prepared:
    """The spiral with other settings, but for those that change its rows or splits."""
    return replace(spiral(), definition=spiral().definition.with_overrides(["search.finalists=3", *overrides]))


def needed(*overrides: str, workers: int = 1, told: int = 0) -> TimeNeeded:
    """By what there is to compute alone, which is the same on every machine."""
    of = prepared(*overrides)
    return _of_study(of, _Costs.computed(of), workers, told)


def test_it_grows_with_what_there_is_to_do() -> None:
    once = needed()
    assert needed("search.trials=120").about > 1.5 * once.about
    assert needed("train.epochs=2000").about > 1.5 * once.about
    twice = replace(prepared(), splits=spiral().splits + tuple(replace(one, repeat=1) for one in spiral().splits))
    assert _of_study(twice, _Costs.computed(twice), 1, 0).about > 1.2 * once.about
    assert needed("search.finalists=0").about < once.about
    assert needed("search.finalist_repeats=8").about > once.about
    assert needed("space.neurons={int=[64, 256]}").about > 2 * once.about
    assert needed(workers=4).about < once.about / 2
    assert (needed(workers=64).workers, needed(workers=4, told=58).workers) == (8, 2)
    assert needed(told=40).about < once.about / 1.5
    assert (needed(told=40).trials, needed(told=70).trials) == (20, 0)


def test_what_ends_trials_early_makes_it_less_and_the_most_stays() -> None:
    never, pruned = needed("search.pruner='none'"), needed()
    patient = needed("search.patience=0.25")
    assert patient.about < pruned.about < never.about
    assert pruned.at_most == pytest.approx(never.at_most, rel=0.2)
    for of in (never, pruned, patient, needed("search.sampler='random'")):
        assert of.at_most >= of.about


def test_configurations_are_spread_over_the_space() -> None:
    definition = hpsearch.StudyDefinition.from_file(TOP / "studies" / "wine.toml")
    chosen = _spread(definition)
    for one in chosen:
        definition.space.check_chosen(one)
    neurons = sorted(one["neurons"] for one in chosen if "neurons" in one)
    assert (neurons[0], neurons[-1]) == (4, 32)
    assert {one["optimizer"] for one in chosen} == {"adagrad", "adam", "rmsprop", "sgd"}
    assert len(_spread(hpsearch.StudyDefinition.from_file(TOP / "studies" / "tutorial-a.toml"))) == 1


@pytest.mark.parametrize(
    ("seconds", "workers", "text"),
    [
        ((4.4, 4.4), 1, "About 4 seconds with 1 worker: 60 trials"),
        ((47.0, 71.0), 2, "About 45 seconds with 2 workers, at most 70: 60 trials"),
        ((47.0, 200.0), 2, "About 45 seconds with 2 workers, at most 3 minutes: 60 trials"),
        ((260.0, 560.0), 1, "About 4 minutes with 1 worker, at most 9: 60 trials"),
        ((4000.0, 9000.0), 1, "About 65 minutes with 1 worker, at most 2 hours: 60 trials"),
        ((9e5, 1e6), 1, "About 10 days with 1 worker: 60 trials"),
    ],
)
def test_it_is_said_in_round_numbers(seconds: tuple[float, float], workers: int, text: str) -> None:
    said = str(TimeNeeded(*seconds, workers, 60, 400, 5, 3))
    assert said.startswith(text)
    assert said.endswith("trials of up to 400 epochs on 5 splits, then the finals of 3.")


def test_measuring_takes_no_longer_than_it_may() -> None:
    """Of many rows and epochs too: here a trial takes minutes."""
    of = prepare(prepared("data.samples=2000", "search.finalists=0", *LONG).definition)
    time_needed(of, seconds=0.1)  # which loads compiled kernels
    begun = time.process_time()
    found = time_needed(of, seconds=0.3)
    assert time.process_time() - begun < 2
    assert found.about > 600


@pytest.mark.parametrize("batch_size", ["'full'", "32"])
@pytest.mark.campaign  # on a machine that is busy, it may be off
def test_it_is_what_trials_take(batch_size: str) -> None:
    of = prepared("train.epochs=300", f"train.batch_size={batch_size}")
    time_needed(of)
    costs, chosen = _Costs.computed(of).measured(of, 1.0), _spread(of.definition)
    places = range(0, len(chosen), 12)
    true = sum(evaluate(of, TrialTask(0, chosen[place])).seconds for place in places)
    estimated = sum(costs.trials[place] + costs.setup for place in places)
    assert 1 / 1.5 < estimated / true < 1.5


def test_a_run_is_told_before_its_first_trial_and_comes_out_the_same(small: Path) -> None:
    seen: list[tuple[str, int]] = []
    definition = hpsearch.StudyDefinition.from_file(small, LONG[:1])

    def expect(of: TimeNeeded) -> None:
        seen.append(("expected", of.trials))

    def stop(progress: Progress) -> None:
        seen.append(("progress", progress.trials))
        raise TimeoutError

    with pytest.raises(TimeoutError):
        hpsearch.run(definition, expect=expect, watch=stop)
    assert seen == [("expected", 16), ("progress", 16)]
    first = hpsearch.run(small, trials=2, fresh="told", expect=expect)
    second = hpsearch.run(small, trials=2, fresh="untold")
    assert len(seen) == 2, "what takes seconds is not measured"
    pd.testing.assert_frame_equal(*(of.trials.drop(columns="seconds") for of in (first, second)))


def test_what_is_done_or_soon_done_is_not_measured() -> None:
    of = prepared(*LONG)
    found = time_of_run(of, 1, 39)
    assert found is not None
    assert (found.trials, found.about > SOON) == (1, True)
    assert time_of_run(of, 1, 40) is None
    assert time_of_run(replace(of, definition=of.definition.with_overrides(["train.epochs=10"])), 1, 0) is None


def test_check_says_it_and_refuses_first(small: Path, hpsearch: Callable[..., Outcome]) -> None:
    said = hpsearch("check", small, "--workers", "2").out.splitlines()[-1]
    assert "is fit to run. About " in said
    assert "seconds with 2 workers" in said
    assert "16 trials of up to 40 epochs on 3 splits." in said
    found = json.loads(hpsearch("check", small, "--json").out)["time_needed"]
    assert (found["trials"], found["workers"], found["finalists"]) == (16, 1, 0)
    assert 0 < found["about"] <= found["at_most"]
    assert not Path("hpsearch.db").exists()


def test_run_says_it_aside(small: Path, hpsearch: Callable[..., Outcome]) -> None:
    done = hpsearch("run", small, "--timeout", "0.2s", "--set", LONG[0])
    assert "About " in done.err
    assert "16 trials of up to 200,000 epochs" in done.err
    assert "About " not in hpsearch("run", small, "--timeout", "0.2s", "--set", LONG[0], "--json").err
