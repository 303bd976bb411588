"""Known configurations first, one training for two equal trials, an end by time or by lack of gain, live values."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_coordinator import assert_same, at, tables

import hpsearch
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DefinitionError
from hpsearch.search.coordinator import Progress, trials_wanted
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import best_result
from hpsearch.validation.metrics import METRICS


def with_search(path: Path, search: str, space: str | None = None) -> Path:
    """The small study with another ``[search]``, and perhaps another space."""
    head, _, rest = path.read_text(encoding="utf-8").partition("[space]")
    space_text = rest.partition("[search]")[0] if space is None else f"\n{space}\n"
    path.write_text(f"{head}[space]{space_text}[search]\n{search}\n", encoding="utf-8")
    return path


# ---------------------------------------------------------------- enqueue


def test_known_configurations_are_run_first_and_as_given(small: Path) -> None:
    with_search(
        small,
        'trials = 5\nenqueue = [{ learning_rate = 0.02, optimizer = "adam", hidden_layers = 1 }, '
        "{ learning_rate = 0.5 }]",
    )
    trials = hpsearch.run(small).trials
    assert trials["learning_rate"][:2].tolist() == [0.02, 0.5]
    assert trials["optimizer"][0] == "adam"
    assert trials["hidden_layers"][0] == 1
    assert trials["layer1.neurons"].notna().all(), "what is not given is proposed"


def test_known_configurations_survive_a_stop(small: Path) -> None:
    with_search(small, "trials = 5\nin_flight = 2\nenqueue = [{ learning_rate = 0.02 }, { learning_rate = 0.5 }]")
    hpsearch.run(small, storage=at(small.parent, "one"))
    hpsearch.run(small, trials=1, storage=at(small.parent, "two"))
    hpsearch.run(small, storage=at(small.parent, "two"))
    assert_same(tables(at(small.parent, "one")), tables(at(small.parent, "two")))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{ learning_rat = 0.1 }", "Did you mean 'learning_rate'"),
        ("{ learning_rate = 2.0 }", "learning_rate must be in its range, 0.001 to 1.0 (log), but is 2.0"),
        ('{ optimizer = "rmsprop" }', "optimizer must be in its range, adam or sgd, but is 'rmsprop'"),
        ("{ hidden_layers = true }", "hidden_layers must be in its range"),
        ("{ hidden_layers = 1.5 }", "hidden_layers must be in its range"),
    ],
)
def test_what_the_search_could_not_choose_is_refused(small: Path, given: str, message: str) -> None:
    with_search(small, f"trials = 5\nenqueue = [{given}]")
    with pytest.raises(DefinitionError) as refused:
        StudyDefinition.from_file(small)
    assert message in str(refused.value)


# ---------------------------------------------------------------- grid and quasi-random points


def test_a_grid_has_every_configuration_once_and_ends(small: Path) -> None:
    space = (
        'hidden_layers = { int = [1, 2] }\noptimizer = { choice = ["adam", "sgd"] }\n'
        "momentum = { float = [0.0, 0.5], step = 0.25 }\n[space.layer2]\nneurons = { choice = [4, 6] }"
    )
    with_search(small, 'trials = 99\nsampler = "grid"\npruner = "none"', space)
    trials = hpsearch.run(small).trials
    points = trials[["hidden_layers", "optimizer", "momentum", "layer2.neurons"]]
    # Depth 1 or 2 (with 4 or 6 neurons there), and adam, or sgd with three momenta.
    assert len(trials) == 3 * 4
    assert not points.duplicated().any()
    assert trials["momentum"].dropna().isin([0.0, 0.25, 0.5]).all()


def test_a_grid_of_what_has_no_steps_is_refused(small: Path) -> None:
    with_search(small, 'sampler = "grid"')
    with pytest.raises(DefinitionError, match=r"\[space\] learning_rate must be a choice"):
        StudyDefinition.from_file(small)


@pytest.mark.parametrize("seed", range(2))
def test_quasi_random_points_fill_the_range_evenly(small: Path, seed: int) -> None:
    """Of the first 2^k points of a Sobol sequence, one lies in each of 2^k equal parts of every dimension."""
    with_search(small, 'trials = 16\nsampler = "qmc"', "learning_rate = { float = [1e-4, 1.0], log = true }")
    text = small.read_text().replace("seed = 3", f"seed = {seed}").replace("epochs = 40", "epochs = 1")
    small.write_text(text.replace("evaluate_every = 8\n", ""))
    rates = hpsearch.run(small).trials["learning_rate"]
    parts = np.floor((np.log10(rates) + 4) / 4 * 16).astype(int)
    assert sorted(parts) == list(range(16))


# ---------------------------------------------------------------- reuse

FEW = 'learning_rate = { choice = [0.003, 0.03, 0.3] }\noptimizer = { choice = ["adam", "sgd"] }'


@pytest.mark.parametrize(
    ("pruner", "workers"),
    [
        ("none", "one"),
        ("median", "three"),
        pytest.param("successive_halving", "one", marks=pytest.mark.campaign),
        pytest.param("hyperband", "three", marks=pytest.mark.campaign),
        pytest.param("none", "three", marks=pytest.mark.campaign),
        pytest.param("median", "one", marks=pytest.mark.campaign),
        pytest.param("successive_halving", "three", marks=pytest.mark.campaign),
        pytest.param("hyperband", "one", marks=pytest.mark.campaign),
    ],
)
def test_equal_trials_are_trained_once_and_the_tables_say_nothing_else(small: Path, pruner: str, workers: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with_search(small, f'trials = 24\nin_flight = 3\nsampler = "random"\npruner = "{pruner}"', FEW)
    hpsearch.run(small, storage=at(small.parent, "off"), reuse=False)
    if workers == "one":
        hpsearch.run(small, storage=at(small.parent, "on"))
    else:
        with ThreadPoolExecutor(3) as pool:
            hpsearch.run(small, storage=at(small.parent, "on"), executor=pool)
    assert_same(tables(at(small.parent, "off")), tables(at(small.parent, "on")))
    off, on = (hpsearch.load_trials("small", at(small.parent, name)) for name in ("off", "on"))
    assert off["same_as"].isna().all()
    repeated = on[["learning_rate", "optimizer"]].duplicated()
    assert repeated.sum() >= 18
    # An equal trial is trained again only where its earlier one was pruned too early to tell.
    firsts = on["same_as"].dropna()
    assert (on.loc[firsts.index, "learning_rate"].to_numpy() == on.loc[firsts, "learning_rate"].to_numpy()).all()
    trained_again = on[repeated & on["same_as"].isna()]
    for trial in trained_again.itertuples():
        earlier = on[(on["learning_rate"] == trial.learning_rate) & (on["optimizer"] == trial.optimizer)].iloc[0]
        assert earlier["state"] == "PRUNED"
    assert (on["seconds"][firsts.index] == 0).all()


# ---------------------------------------------------------------- stop and timeout


def test_a_study_ends_when_trials_bring_no_gain(small: Path) -> None:
    with_search(small, 'trials = 60\nin_flight = 3\nstop = 6\nsampler = "random"\npruner = "none"', FEW)
    trials = hpsearch.run(small).trials
    assert len(trials) < 60
    assert "RUNNING" not in set(trials["state"])
    with StoredStudy.open("sqlite:///hpsearch.db", "small") as stored:
        results = [stored_result(trial) for trial in stored.trials()]
    # It ends as soon as it may and no sooner: three in flight are finished after the decision.
    decided = len(trials) - 3
    for told in range(7, len(results) + 1):
        before, now = (best_result(some, METRICS["loss"]) for some in (results[: told - 6], results[:told]))
        assert before is not None
        assert now is not None
        losses = [fold["validation_loss"] for fold in before.folds]
        gained = before.value - now.value > np.std(losses, ddof=1) / np.sqrt(len(losses))  # type: ignore[operator]
        if told <= decided:
            assert gained
        elif told == decided + 1:
            assert not gained


def test_a_study_that_ends_by_itself_ends_the_same_when_cut_up(small: Path) -> None:
    with_search(small, 'trials = 60\nin_flight = 3\nstop = 6\nsampler = "random"\npruner = "none"', FEW)
    hpsearch.run(small, storage=at(small.parent, "one"))
    for trials in (3, 8, 60, 60):
        hpsearch.run(small, trials=trials, storage=at(small.parent, "two"))
    assert_same(tables(at(small.parent, "one")), tables(at(small.parent, "two")))


def test_without_stop_nothing_ends_early(small: Path) -> None:
    definition = StudyDefinition.from_file(small)
    assert trials_wanted(definition, [], definition.limit) == 16


def test_a_timeout_stops_in_time_and_changes_nothing(small: Path) -> None:
    text = (
        small.read_text().replace("epochs = 40", "epochs = 3000").replace("evaluate_every = 8", "evaluate_every = 100")
    )
    small.write_text(text.replace("trials = 16", "trials = 4"))
    hpsearch.run(small, storage=at(small.parent, "through"))
    begun = time.monotonic()
    hpsearch.run(small, storage=at(small.parent, "timed"), timeout=0.3)
    assert time.monotonic() - begun < 10
    states = hpsearch.load_trials("small", at(small.parent, "timed"))["state"]
    assert "RUNNING" in set(states)
    for _ in range(60):
        hpsearch.run(small, storage=at(small.parent, "timed"), timeout=3)
        if "RUNNING" not in set(hpsearch.load_trials("small", at(small.parent, "timed"))["state"]):
            break
    assert_same(tables(at(small.parent, "through")), tables(at(small.parent, "timed")))


# ---------------------------------------------------------------- live values


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.campaign), 2])
def test_a_running_trial_s_values_reach_watchers_and_storage_while_it_runs(small: Path, workers: int) -> None:
    text = (
        small.read_text().replace("epochs = 40", "epochs = 60000").replace("evaluate_every = 8", "evaluate_every = 50")
    )
    small.write_text(text)
    shown: list[dict[int, float]] = []

    def watch(progress: Progress) -> None:
        if progress.running and not progress.results:
            with StoredStudy.open("sqlite:///hpsearch.db", "small") as stored:
                values = dict(stored.trials()[0].intermediate_values)
            if values:
                shown.append(values)
            if len(shown) >= 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hpsearch.run(small, workers=workers, watch=watch)
    assert 0 < len(shown[-2]) < len(shown[-1])
    assert pd.Series(shown[-1]).index.is_monotonic_increasing
    assert all(shown[-1][epoch] == value for epoch, value in shown[-2].items())
