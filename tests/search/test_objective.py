"""One trial is a pure function of the study, its hyperparameters, its number and the prior trials of its pruner."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from threadpoolctl import threadpool_limits

from hpsearch.data.splits import SplitOptions, make_splits
from hpsearch.definition.pruners import PRUNERS
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, HpsearchError
from hpsearch.search.executors import Dump, local_pool
from hpsearch.search.objective import Prepared, TrialTask, evaluate, prepare
from hpsearch.search.pruning import PriorTrial
from hpsearch.storage.trial_result import TrialResult
from hpsearch.temporary import TemporaryFolder
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import cross_validate

STUDY = """
[study]
name = "a"
seed = 3
[data]
source = "nnfs:spiral"
samples = 16
[validation]
n_splits = 3
[train]
neurons = 6
epochs = 20
evaluate_every = 4
batch_size = 8
init = "he"
[space]
learning_rate = { float = [1e-9, 1e30], log = true }
[search]
in_flight = 1
pruner = "none"
"""
# Optuna's own pruners with the options that the study file below them has.
OPTUNAS = {
    "hyperband": lambda: optuna.pruners.HyperbandPruner(4, 20, 2),
    "median": lambda: optuna.pruners.MedianPruner(2, 5),
    "none": optuna.pruners.NopPruner,
    "percentile": lambda: optuna.pruners.PercentilePruner(50.0, 2, 5),
    "successive_halving": lambda: optuna.pruners.SuccessiveHalvingPruner(4, 2),
}
OPTIONS = {
    "hyperband": "reduction_factor = 2",
    "median": "n_startup_trials = 2, n_warmup_steps = 5",
    "percentile": "percentile = 50.0, n_startup_trials = 2, n_warmup_steps = 5",
    "successive_halving": "reduction_factor = 2",
}
GOOD, BAD, DIVERGING = 0.03, 1e-9, 1e29
# Good and bad trials in an order that gives every pruner something to stop and something to leave.
RATES = (0.01, BAD, GOOD, 0.02, DIVERGING, BAD, 0.05, 1e-6, 0.001, GOOD, 1e-4, 0.04)


@pytest.fixture(autouse=True)
def _one_thread_and_quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with threadpool_limits(1):
        yield
    optuna.logging.set_verbosity(before)


def definition(folder: Path, *overrides: str) -> StudyDefinition:
    (folder / "a.toml").write_text(STUDY, encoding="utf-8")
    return StudyDefinition.from_file(folder / "a.toml", overrides)


def prepared(folder: Path, *overrides: str) -> Prepared:
    return prepare(definition(folder, *overrides))


def timeless(result: TrialResult) -> str:
    """All of a result but the one thing that may differ, as text: nan equals nan there."""
    return repr(replace(result, seconds=0.0))


def task(number: int, rate: float, prior_trials: Sequence[TrialResult] = ()) -> TrialTask:
    """A trial with this learning rate, whose pruner may see these results."""
    known = [
        PriorTrial(r.number, r.state, dict(zip(r.epochs, r.intermediate, strict=True)), r.value, r.pruner_attributes)
        for r in prior_trials
    ]
    return TrialTask(number, {"learning_rate": rate}, known)


def in_order(study: Prepared, rates: Sequence[float] = RATES) -> list[TrialResult]:
    """Trials one after another, each seeing all before it."""
    results: list[TrialResult] = []
    for number, rate in enumerate(rates):
        results.append(evaluate(study, task(number, rate, results)))
    return results


# --- a pure function


def test_a_trial_has_the_same_bits_again_and_in_another_process(tmp_path: Path) -> None:
    overrides = ['search.pruner={ name = "median", n_startup_trials = 2 }', "holdout.fraction=0.2"]
    study = prepared(tmp_path, *overrides)
    results = in_order(study)
    assert {result.state for result in results} == {"COMPLETE", "PRUNED", "FAIL"}
    code = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import test_objective as here
print(json.dumps([here.timeless(result) for result in here.in_order(here.prepared(Path(sys.argv[1]), *{overrides}))]))
"""
    again = [evaluate(study, task(n, r, results[:n])) for n, r in enumerate(RATES)]
    assert [*map(timeless, again)] == [*map(timeless, results)]
    (tmp_path / "elsewhere").mkdir()
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "elsewhere")]
    there = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(there.stdout.splitlines()[-1]) == [*map(timeless, results)]


def test_evaluating_touches_nothing_outside(tmp_path: Path) -> None:
    def state() -> str:
        return repr(np.random.get_state())  # noqa: NPY002 - this is the state that must stay as it is

    study = prepared(tmp_path, 'search.pruner={ name = "median", n_startup_trials = 0 }')
    before, fingerprint, errors = state(), study.search.fingerprint, np.geterr()
    prior_trials = in_order(study, (GOOD, DIVERGING))
    last = task(2, BAD, prior_trials)
    repr_before = repr(last)
    evaluate(study, last)
    assert repr(last) == repr_before
    assert (state(), study.search.fingerprint, np.geterr()) == (before, fingerprint, errors)
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


def test_a_trials_number_changes_nothing_but_the_number(tmp_path: Path) -> None:
    study = prepared(tmp_path)
    first, later = (evaluate(study, task(number, GOOD)) for number in (0, 17))
    assert timeless(replace(later, number=0)) == timeless(first)


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_a_result_is_the_cross_validation_of_the_chosen_configuration(checkpoint: Any, tmp_path: Path) -> None:
    study = prepared(tmp_path, f"validation.checkpoint={checkpoint}", "space.neurons={ int = [4, 8] }")
    result = evaluate(study, TrialTask(0, {"learning_rate": 0.5, "neurons": 8}))
    data = study.search
    config = Config(neurons=8, learning_rate=0.5, epochs=20, evaluate_every=4, batch_size=8, init="he")
    theirs = cross_validate(data, make_splits(data, "kfold", SplitOptions(3), 3), config, 3, rule=checkpoint)
    assert (result.state, result.value, result.accuracy) == ("COMPLETE", theirs.value, theirs.accuracy)
    assert (result.best_epoch, result.parameters) == (theirs.best_epoch, (2 + 1) * 8 + (8 + 1) * 3)
    assert (result.epochs, result.intermediate) == ([4, 8, 12, 16, 20], theirs.curve.means)
    assert result.folds == [fold.row() for fold in theirs.folds]
    assert (result.training_loss, result.validation_loss) == (theirs.curve.training_loss, theirs.curve.validation_loss)
    assert result.seconds > 0


def test_a_diverging_trial_fails_with_its_reason(tmp_path: Path) -> None:
    result = evaluate(prepared(tmp_path), task(5, DIVERGING))
    assert (result.number, result.state, result.value, result.folds) == (5, "FAIL", None, [])
    for words in ("fold 0", "epoch 4", "learning_rate=1e+29"):
        assert words in str(result.reason)


# --- the pruner sees the prior trials, and nothing else


def of_optuna(study: Prepared, pruner: optuna.pruners.BasePruner) -> list[tuple[str, list[int]]]:
    """State and epochs of the same trials, run the plain way: one live Optuna study, in order, with its pruner."""
    live = optuna.create_study(study_name=study.definition.name, pruner=pruner)
    answer = []
    for rate in RATES:
        trial = live.ask()

        def should_stop(epoch: int, mean: float, trial: optuna.Trial = trial) -> bool:
            trial.report(mean, epoch)
            return trial.should_prune()

        outcome = cross_validate(
            study.search,
            study.splits,
            study.definition.config({"learning_rate": rate}),
            study.definition.seed,
            evaluate_every=study.definition.evaluate_every,
            should_stop=should_stop,
        )
        state = {"complete": "COMPLETE", "pruned": "PRUNED", "diverged": "FAIL"}[outcome.outcome]
        live.tell(trial, outcome.value, optuna.trial.TrialState[state])
        answer.append((state, outcome.curve.epochs))
    return answer


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_pruner_stops_the_trials_that_it_stops_in_a_live_study_of_optuna(pruner: str, tmp_path: Path) -> None:
    options = f", {OPTIONS[pruner]}" if pruner in OPTIONS else ""
    study = prepared(tmp_path, f'search.pruner={{ name = "{pruner}"{options} }}')
    ours = [(result.state, result.epochs) for result in in_order(study)]
    assert ours == of_optuna(study, OPTUNAS[pruner]())
    assert ours[RATES.index(DIVERGING)] == ("FAIL", [4])
    assert (pruner == "none") == ("PRUNED" not in {state for state, _ in ours})


def test_a_bad_trial_is_pruned_given_good_ones_and_not_without_them(tmp_path: Path) -> None:
    study = prepared(tmp_path, 'search.pruner={ name = "median", n_startup_trials = 3 }')
    good = in_order(study, (0.02, GOOD, 0.04))
    assert {result.state for result in good} == {"COMPLETE"}
    whole, few, pruned = (evaluate(study, task(3, BAD, good[:count])) for count in (0, 2, 3))
    assert whole.state == "COMPLETE"
    assert timeless(few) == timeless(whole)
    assert (pruned.state, pruned.value, pruned.best_epoch) == ("PRUNED", None, None)
    done = len(pruned.epochs)
    assert 0 < done < 5
    assert pruned.epochs == whole.epochs[:done]
    assert pruned.validation_loss == whole.validation_loss[:done]
    assert f"epoch {pruned.epochs[-1]}" in str(pruned.reason)
    assert evaluate(study, task(3, GOOD, good)).state == "COMPLETE"


def test_failed_trials_are_no_startup_trials(tmp_path: Path) -> None:
    study = prepared(tmp_path, 'search.pruner={ name = "median", n_startup_trials = 3 }')
    prior_trials = in_order(study, (0.02, DIVERGING, 0.04))
    assert [result.state for result in prior_trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert evaluate(study, task(3, BAD, prior_trials)).state == "COMPLETE"


def test_gaps_in_a_history_are_trials_that_may_not_be_seen(tmp_path: Path) -> None:
    study = prepared(tmp_path, 'search.pruner={ name = "median", n_startup_trials = 2 }')
    good = in_order(study, (0.02, GOOD))
    near, far = evaluate(study, task(2, BAD, good)), evaluate(study, task(9, BAD, good))
    assert near.state == far.state == "PRUNED"
    assert near.epochs == far.epochs


# --- preparing


def test_a_fresh_hold_out_is_another_draw_of_the_same_size(tmp_path: Path) -> None:
    plain, fresh = prepared(tmp_path), prepared(tmp_path, "holdout.fresh=true")
    assert plain.held_out is None
    assert fresh.held_out is not None
    assert fresh.search.fingerprint == plain.search.fingerprint
    assert fresh.held_out.rows == fresh.search.rows == 48
    np.testing.assert_array_equal(np.bincount(fresh.held_out.labels), [16] * 3)
    # Each arm begins in the origin, whatever the draw: all other rows differ.
    search, held_out = ({tuple(row) for row in data.features} for data in (fresh.search, fresh.held_out))
    assert search & held_out == {(0.0, 0.0)}


@pytest.mark.parametrize("splitter", ["kfold", "stratified"])
def test_a_fraction_is_set_aside_before_the_splits_are_made(splitter: str, tmp_path: Path) -> None:
    raw = {**tomllib.loads(STUDY), "data": {"source": "sklearn:iris"}, "validation": {"splitter": splitter}}
    whole = prepare(StudyDefinition.from_mapping(raw, tmp_path)).search
    study = prepare(StudyDefinition.from_mapping({**raw, "holdout": {"fraction": 0.2}}, tmp_path))
    assert study.held_out is not None
    assert (study.search.rows, study.held_out.rows) == (120, 30)
    both = np.concatenate([study.search.features, study.held_out.features])
    assert sorted(map(tuple, both)) == sorted(map(tuple, whole.features))
    if splitter == "stratified":
        np.testing.assert_array_equal(np.bincount(study.held_out.labels), [10] * 3)
    for split in study.splits:
        assert sorted([*split.training, *split.validation]) == list(range(120))


def test_everything_follows_the_study_seed(tmp_path: Path) -> None:
    first, again, other = (prepared(tmp_path, f"study.seed={seed}", "holdout.fraction=0.25") for seed in (3, 3, 4))
    assert first.identity() == again.identity()
    assert first.search.fingerprint != other.search.fingerprint
    one, two = ([split.validation.tolist() for split in study.splits] for study in (first, other))
    assert one != two


def test_a_function_without_a_seed_cannot_be_drawn_afresh(tmp_path: Path) -> None:
    (tmp_path / "rows_without_a_seed.py").write_text("def rows():\n    return [[1], [2], [3], [4]], [0, 1, 0, 1]\n")
    data = {"source": "python:rows_without_a_seed:rows"}
    raw = {**tomllib.loads(STUDY), "data": data, "holdout": {"fresh": True}}
    with pytest.raises(DataError, match=r"^\[holdout\] fresh must give other rows .* `seed`, or use fraction\.$"):
        prepare(StudyDefinition.from_mapping(raw, tmp_path))
    sys.modules.pop("rows_without_a_seed", None)


def test_the_identity_holds_the_definition_the_data_and_the_versions(tmp_path: Path) -> None:
    study = prepared(tmp_path, "holdout.fresh=true")
    identity = study.identity()
    assert study.definition.identity().items() <= identity.items()
    assert identity["data.fingerprint"] == study.search.fingerprint
    assert study.held_out is not None
    assert identity["holdout.fingerprint"] == study.held_out.fingerprint
    for package in ("hpsearch", "numpy", "nnfs", "optuna", "scikit-learn"):
        assert identity[f"version.{package}"] == version(package)
    assert json.loads(json.dumps(identity)) == identity
    assert prepared(tmp_path).identity()["holdout.fingerprint"] is None


def test_the_facts_of_a_study_are_those_of_its_data_and_space(tmp_path: Path) -> None:
    facts = prepared(tmp_path, "holdout.fraction=0.25", "validation.repeats=2").facts()
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["rows_to_search_with"], facts["rows_held_out"], facts["features"]) == (36, 12, 2)
    assert sum(facts["classes"].values()) == 36
    assert list(facts["classes"]) == ["0", "1", "2"]
    assert (facts["splits"], facts["training_rows_of_a_split"], facts["trials"]) == (6, 24, 100)
    assert facts["searched"] == {"learning_rate": "1e-09 to 1e+30 (log)"}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.samples=1", "validation.n_splits=4"], ["[validation] n_splits must be at most the number of rows"]),
        (
            ["data.samples=2", 'validation.splitter="stratified"'],
            ['[validation] splitter = "stratified" needs at least'],
        ),
        (["validation.shuffle=false"], ["split 0", "class '0'"]),
        (["data.samples=1", "holdout.fraction=0.9"], ["[holdout]"]),
    ],
)
def test_data_that_cannot_be_split_are_refused_before_any_training(
    overrides: list[str], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, *overrides)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_without_a_folder_for_temporary_files_workers_are_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(HpsearchError, match=r"A temporary folder must be .*, but no such file .*Set TMPDIR to"):
        local_pool(1)


def test_rows_that_find_no_room_for_workers_are_refused_with_what_to_do(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    prepared = prepare(StudyDefinition.from_file(small))
    Path("temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", "temporary")
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, most))  # as on a full disk
    try:
        with (
            TemporaryFolder() as folder,
            pytest.raises(HpsearchError, match=r"must have room for the rows, but .*Set TMPDIR to a folder with more"),
        ):
            Dump.write(prepared, folder.path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert not [*Path("temporary").iterdir()]
