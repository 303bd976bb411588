"""What is timed side by side is the same work: its predictions agree."""

from __future__ import annotations

import json
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import budget
import comparing
import curves
import honesty
import importance
import league
import numpy as np
import pandas as pd
import pytest
import replays
import rows
import size
import start
from curve_strategies import STRATEGIES, Curves, by_optuna, never, stopping
from league_tools import Ours, Problem, loss, searched_network
from peers import PEERS, LockStep, Peer, TextbookLoop
from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error
from works import WORKS, Work

import hpsearch
from hpsearch.model.retrain import fit_prepared
from hpsearch.search.objective import TrialTask, evaluate

SMALL = {
    "full batch": Work("a", "", "nnfs:spiral", (16,), l2=5e-2, learning_rate=0.03),
    "mini-batches": Work("b", "", "made", (16,), 40, inputs=5, rows=500, l2=1e-2),
    "deep": Work("c", "", "made", (9, 8), inputs=5, rows=200, classes=4, l2=1e-2),
}
PRECISE = type("PreciseLockStep", (LockStep,), {"dtype": "float64"})


@pytest.mark.parametrize("work", ["full batch", "deep"])
def test_the_textbook_loop_and_the_core_compute_the_same(work: str) -> None:
    plain, ours = TextbookLoop(SMALL[work]), PRECISE(SMALL[work])
    for epochs in (1, 40):
        # 40 updates in float64, in other orders of the same sums.
        assert ours.loss(ours.train(epochs)) == pytest.approx(plain.loss(plain.train(epochs)), rel=1e-9)


@pytest.mark.parametrize("kind", PEERS, ids=lambda kind: kind.title)
@pytest.mark.parametrize(
    "work", ["full batch", *(pytest.param(of, marks=pytest.mark.campaign) for of in ("mini-batches", "deep"))]
)
def test_every_peer_learns_what_the_textbook_loop_learns(work: str, kind: type[Peer]) -> None:
    if not kind.is_installed():
        pytest.skip(f"{kind.package} is not installed (extra bench)")
    plain, peer = TextbookLoop(SMALL[work]), kind(SMALL[work])
    if kind.same_start and SMALL[work].batch_size is None:
        # float32, 40 updates; a penalty left out or halved would show in the second digit.
        assert peer.loss(peer.train(40)) == pytest.approx(plain.loss(plain.train(40)), rel=1e-3)
        without = TextbookLoop(replace(SMALL[work], l2=0.0))
        assert without.loss(without.train(40)) < 0.99 * plain.loss(plain.train(40))
    elif not kind.penalised:  # Adam divides the gradient of a penalty, so it holds weights more than AdamW's decay
        without = TextbookLoop(replace(SMALL[work], l2=0.0))
        between = without.loss(without.train(150)), plain.loss(plain.train(150))
        assert 0.85 * between[0] < peer.loss(peer.train(150)) < 1.15 * between[1]
    else:  # other batches or other initial weights: the same level where the penalty holds it
        assert peer.loss(peer.train(150)) == pytest.approx(plain.loss(plain.train(150)), rel=0.15)


def test_every_work_has_equal_folds_and_even_batches() -> None:
    for work in WORKS.values():
        sizes = {len(split.training) for split in work.splits}
        assert len(sizes) == 1
        assert work.batch_size is None or work.training_rows % work.batch_size == 0
        assert np.isfinite(work.data.features).all()


@pytest.mark.parametrize(
    "name", ["blobs", *(pytest.param(of, marks=pytest.mark.campaign) for of in ("groups", "heavy"))]
)
def test_honesty_s_studies_are_those_of_the_command_line_and_its_truth_is_what_new_rows_lose(
    name: str, tmp_path: Path
) -> None:
    case, seen = replace(honesty.CASES[name], rows=60), 0
    for study in honesty.studies(case, 3, tmp_path, (1, 3)):
        best, seen = study.best(), seen + 1
        straight = hpsearch.run(study.prepared.definition, storage=f"sqlite:///{tmp_path}/{seen}.db").best.summary()
        assert straight | {"baselines": None, "findings": None} == best.summary() | {"findings": None}
        model, table = fit_prepared(study.prepared, best.config), honesty.as_frame(study.truth.rows)
        if case.noise:
            expected = study.truth.rows.expected
            assert expected is not None
            assert np.corrcoef(expected, table["y"])[0, 1] > 0.5
            lost = np.mean((model.predict(table) - expected) ** 2) + case.noise
        else:
            lost = log_loss(table["y"], model.probabilities(table), labels=list(model.class_names))
        assert study.shipped(best) == pytest.approx(lost, rel=1e-5)
        assert study.shipped(best, members=1) != study.shipped(best)
    assert seen == 2


def test_honesty_s_table_counts_what_its_records_say() -> None:
    records = [
        {
            "case": "blobs",
            "seed": seed,
            "also": [],
            "truth_first": 2.0,
            **{f"{kind}_{trials}": 1.0 for kind in ("truth", "search") for trials in honesty.STAGES},
            "one_network": 1.5,
            "naive": [0.75, 0.5, 0.75],
            "out_of_fold": 0.875,
            "before": [1.0, 0.75, 1.25, 1.125],
            "corrected": [1.0 + 0.125 * (-1) ** seed, 0.5, 1.25 if seed else 0.75, 1.125 if seed < 2 else 0.875],
        }
        for seed in range(4)
    ]
    shown = honesty.report(records)
    assert "| −0.25 ± 0; 0.0%; 0.50 | −0.125 ± 0 | +0 ± 0; 100.0%; 1.00; 100.0% |" in shown
    assert "| +0 ± 0.072; 75.0%; 1.25; 50.0% |" in shown  # 1/8 · √(4/3) / √4; widths of 1/4 and thrice 3/4 over 1/2
    assert "| three classes, labels flipped (4) |" in shown
    assert "| 4, 0 | 2 | 1 / 1 | 1 / 1 | – | 0% / 0% | 0% / 0% | – / – |" in shown


def test_comparing_counts_what_its_records_say() -> None:
    """A difference that is told, one told the wrong way round, a tie that is called different, one that is not told."""
    intervals = [(0.5, 0.25, 0.75), (0.5, 0.25, 0.75), (0.5, 0.25, 0.75), (0.0, -0.25, 0.25)]
    truths = [0.5, -0.5, 0.0, 0.5]
    records = [
        {"truth": truth, "error": 0.01, "level": 1.0, "compare": interval}
        for truth, interval in zip(truths, intervals, strict=True)
    ]
    found = comparing.tally(records, "compare")
    assert found["called different"] == "75.0% (3)"
    assert found["of those falsely"] == "50.0% (2)"
    assert found["interval misses the truth"] == "75.0%"
    assert found["real differences told"] == "33% of 3"


@pytest.mark.campaign
def test_comparing_makes_studies_of_one_table_and_its_truth_is_what_fresh_rows_lose(tmp_path: Path) -> None:
    comparing.make_all(tmp_path, ["blobs"], [3])
    ((case, folder, fresh),) = comparing.tables(tmp_path, ["blobs"])
    shapes = {name: losses.shape for name, losses in fresh.items()}
    assert shapes == dict.fromkeys(comparing.STUDIES, (honesty.FRESH_ROWS,))
    study = hpsearch.StudyResult("few", comparing.storage(folder))
    truth = honesty.Truth(honesty.CASES["blobs"], 3)
    assert fresh["few"].mean() == pytest.approx(truth.loss(study.retrain()), rel=1e-4)
    assert len(comparing.measure(case, folder, fresh)) == sum(map(len, comparing.PAIRS.values()))


def league_problem(folder: Path, classifies: bool, seed: int) -> tuple[Problem, np.ndarray]:
    """Rows with a category and missing values, whose target follows from them but for noise; and the locked targets."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": draw.standard_normal(160), "kind": draw.choice(["a", "b", "c"], 160)})
    signal = 2 * frame["x"] + 3 * (frame["kind"] == "b") + 0.3 * draw.standard_normal(160)
    frame["y"] = np.where(signal > 0, "high", "low") if classifies else 100 + 10 * signal
    for column in ("x", "kind"):
        frame.loc[draw.random(160) < 0.05, column] = np.nan
    locked = league.locked_rows(frame["y"], classifies, seed)
    return Problem.lay(folder, frame, "y", locked, classifies, seed), frame["y"].to_numpy()[locked]


@pytest.mark.campaign
@pytest.mark.parametrize(("classifies", "seed"), [(True, 0), (False, 1)])
def test_the_tools_of_the_league_that_search_predict_locked_rows(tmp_path: Path, classifies: bool, seed: int) -> None:
    problem, labels = league_problem(tmp_path, classifies, seed)
    shares = pd.Series(labels).value_counts(normalize=True)
    without_features = -(shares * np.log(shares)).sum() if classifies else labels.std()

    settings = {"search.trials": 3, "train.epochs": 60, "retrain.unheard_of": 1}
    predictions, details = Ours(settings)(problem)
    assert loss(predictions, labels, problem.classes) < without_features
    assert details["settings"].keys() == {"search.trials", "train.epochs"}
    assert details["trials"] == 3
    assert "holdout" not in tomllib.loads((tmp_path / "best.toml").read_text(encoding="utf-8"))

    predictions, details = searched_network(replace(problem, deadline=time.time() + 1))
    assert loss(predictions, labels, problem.classes) < without_features
    assert details["trials"] >= 1


@pytest.mark.parametrize("seed", [0, 1])
def test_the_league_s_losses_are_scikit_learn_s(seed: int) -> None:
    draw = np.random.default_rng(seed)
    labels, probabilities = draw.choice(["a", "b", "c"], 50), draw.dirichlet([1, 1, 1], 50)
    found = league.scores(probabilities, labels, ("a", "b", "c"))
    assert found["loss"] == pytest.approx(log_loss(labels, probabilities), rel=1e-12)
    assert found["score"] == accuracy_score(labels, np.array(["a", "b", "c"])[probabilities.argmax(axis=1)])
    numbers, predictions = draw.standard_normal((2, 50))
    found = league.scores(predictions, numbers, None)
    assert found["loss"] == pytest.approx(root_mean_squared_error(numbers, predictions), rel=1e-12)
    assert found["score"] == pytest.approx(r2_score(numbers, predictions), rel=1e-12)


@pytest.mark.campaign
def test_the_league_goes_on_where_it_stopped_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "league.jsonl"
    league.run(results, ["wine"], [0], ["linear"])
    first = results.read_text(encoding="utf-8")
    league.run(results, ["wine"], [0], ["hgb-stop", "linear", "mlp"])
    assert results.read_text(encoding="utf-8").startswith(first)
    records = league.read(results)
    assert [(record["tool"], record["rows"]) for record in records] == [("linear", [133, 45]), ("hgb-stop", [133, 45])]
    assert all(record["loss"] < 0.5 and record["score"] > 0.8 for record in records)  # of three classes
    assert "mlp: left out, as the seconds of ours are not known yet" in capsys.readouterr().out
    # As if ours had half the loss of one and twice that of the other.
    linear, boosting = records
    ours = {**linear, "tool": "ours", "loss": linear["loss"] / 2}
    boosting |= {"loss": linear["loss"] / 4}
    standings = league.standings(pd.DataFrame([linear, boosting, ours]))
    assert [*standings["mean rank"]] == ["2.00", "3.00", "1.00"]
    assert [*standings["mean ratio"]] == ["–", "0.500", "2.000"]
    assert [*standings["ours ahead"]] == ["–", "1 of 1", "0 of 1"]
    assert "| wine |" in league.report(records)


@pytest.mark.campaign  # whole commands, and they are slow
def test_a_start_is_timed_beside_the_bare_import_of_its_packages() -> None:
    found = start.measured(["`check`", "first trial of `run`", "a worker"], repetitions=1)
    for times in found.values():
        assert len(times) == 2
        assert all(seconds > 0 for pair in times for seconds in pair)
    assert start.table(found).count("\n") == 4


@pytest.mark.campaign
def test_the_cost_of_rows_is_that_of_a_trial_of_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows.costs([300, 600], ["power"], 1, 1)
    assert [(entry["rows"], entry["scaling"]) for entry in found] == [(300, "power"), (600, "power")]
    assert all(entry["microseconds"] > 0 and 0 < entry["value"] < 10 for entry in found)
    rows.print_costs([{**entry, "microseconds": 2.0 * place + 2} for place, entry in enumerate(found)])
    assert "| power | 600 | 4.00 | 2.00 |" in capsys.readouterr().out


@pytest.mark.campaign
def test_the_searches_with_a_limit_are_run_once_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "TRIALS", 4)
    monkeypatch.setattr(budget, "TABLES", {"diabetes": budget.TABLES["diabetes"]})
    budget.run(tmp_path / "found.jsonl", range(2))
    before = (tmp_path / "found.jsonl").read_text()
    budget.run(tmp_path / "found.jsonl", range(2))
    assert (tmp_path / "found.jsonl").read_text() == before
    found = [json.loads(line) for line in before.splitlines()]
    assert len(found) == 2 * len(budget.SAMPLERS) * len(budget.KINDS)
    assert all(max(one["parameters"]) <= 300 for one in found if one["of"][2] != "free")
    budget.report(tmp_path / "found.jsonl")
    assert capsys.readouterr().out.count("| limited |") == len(budget.SAMPLERS)


@pytest.mark.campaign  # whole commands, and they are slow
def test_a_study_s_memory_is_that_of_all_its_processes(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("only Linux tells it")
    rows.make(tmp_path / "rows.parquet", 200)
    shape = pd.read_parquet(tmp_path / "rows.parquet").shape
    assert shape == (200, rows.COLUMNS + 1)
    found = rows.study(tmp_path / "rows.parquet", 2, 2, ["train.epochs=2", "search.finalists=0"])
    assert found["matrix_megabytes"] == pytest.approx(200 * rows.COLUMNS * 4 / 1e6)
    # Two workers that have imported what they need, and their owner: what they share counts once.
    assert found["run"]["peak_megabytes"] > 1.5 * found["imports_megabytes"] > 50
    holder = "import subprocess, sys, time; held = b'x' * 10**8; subprocess.run([sys.executable, '-c', 'held = '"
    holder += "'bytes([1]) * 10**8; import time; time.sleep(1.5)'])"
    assert 200 < rows.watched([sys.executable, "-c", holder], str(tmp_path))["peak_megabytes"] < 300


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve configurations of one table."""
    folder = tmp_path_factory.mktemp("curves")
    curves.make(folder, ["hard-spiral"], 12)
    return folder / "hard-spiral"


def test_curves_hold_what_the_study_s_trials_have_and_are_not_trained_twice(made: Path, tmp_path: Path) -> None:
    files = {file: file.stat().st_mtime_ns for file in made.glob("*.npz")}
    curves.make(made.parent, ["hard-spiral"], 12)
    assert {file: file.stat().st_mtime_ns for file in made.glob("*.npz")} == files
    prepared, true_loss = curves.SOURCES["hard-spiral"].prepare(tmp_path)
    shares = prepared.layout().shares
    for number in (0, 7):
        kept = np.load(made / f"{number:04d}.npz")
        result = evaluate(prepared, TrialTask(0, curves.chosen(prepared.definition, number)))
        assert kept["epochs"][kept["of_study"]].tolist() == result.epochs
        assert kept["objective"][kept["of_study"]].tolist() == result.validation_loss
        assert (kept["value"], kept["best_epoch"]) == (result.value, result.best_epoch)
        # Those before are of a training that is as long, but for its checkpoints; rows are float32.
        early = kept["epochs"][~kept["of_study"]]
        definition = prepared.definition.model_copy(
            update={"train": prepared.definition.train.replaced({"evaluate_every": int(np.gcd.reduce(early))})}
        )
        finer = evaluate(replace(prepared, definition=definition), TrialTask(0, curves.chosen(definition, number)))
        assert kept["objective"][: len(early)].tolist() == finer.validation_loss[: len(early)]
        assert kept["losses"] @ shares == pytest.approx(kept["objective"].mean(axis=1), rel=1e-5)
        config = prepared.definition.config(curves.chosen(prepared.definition, number))
        shipped = fit_prepared(prepared, config.replaced({"epochs": result.best_epoch}))
        assert kept["truth"] == true_loss(shipped)


@pytest.mark.parametrize(
    ("pruner", "window", "patience"),
    [("median", 3, 1.0), ("median", 3, 0.25), ("successive_halving", 2, 1.0)],
)
def test_a_replayed_strategy_ends_the_trials_where_a_real_study_does(
    made: Path, tmp_path: Path, pruner: str, window: int, patience: float
) -> None:
    prepared, _ = curves.SOURCES["hard-spiral"].prepare(tmp_path)
    order = np.random.default_rng(5).permutation(12).tolist()
    raw = tomllib.loads(honesty.draft(tmp_path / "rows.csv", "y", "rows.csv", "study.toml", "hard-spiral").text)
    raw["study"]["seed"] = curves.SEED
    raw["holdout"] = {}
    raw["search"] |= {"pruner": pruner, "in_flight": window, "patience": patience, "trials": 12, "finalists": 0}
    raw["search"]["enqueue"] = [curves.chosen(prepared.definition, number) for number in order]
    study = hpsearch.run(honesty.StudyDefinition.from_mapping(raw, tmp_path), storage=f"sqlite:///{tmp_path}/a.db")
    table = Curves.load(made)
    work = replays.search(table, np.array(order), by_optuna(pruner, window, patience=patience), 12)
    ended = study.curves.groupby("trial")["epoch"].max()
    assert [int(table.epochs[piece.at]) for piece in work] == ended.tolist()
    assert [not np.isnan(piece.value) for piece in work] == [*(study.trials["state"] == "COMPLETE")]
    early = study.trials.loc[ended < ended.max(), "state"]
    assert (patience < 1) == (early == "COMPLETE").any()
    assert len(set(ended)) > 1


@pytest.mark.campaign
def test_every_strategy_is_replayed_and_none_beats_the_oracle(made: Path) -> None:
    table = Curves.load(made)
    frame = replays.replay([replays.taught(table, [table])], STRATEGIES, 3, [0.01], 10)
    assert {*STRATEGIES} < {*frame["strategy"]}
    summary = replays.summary(frame)
    plain = summary.loc["none"]
    assert plain[["ratio, 1", "of medians, 2", "total, 1"]].tolist() == [1, 1, 1]
    assert plain[["misses %", "true loss %"]].tolist() == [0, 0]
    in_order = frame[frame["strategy"].str.match("Optuna(?!.*prior)")]
    oracle = frame[frame["strategy"] == "oracle, first checkpoint of the study"].set_index("seed")
    assert (in_order["time_1"] >= in_order["seed"].map(oracle["time_1"]) - 1e-9).all()
    assert (frame["time_2"] <= frame["time_1"] + 1e-9).all()


def test_a_portfolio_has_the_best_configuration_of_a_table_first(made: Path, tmp_path: Path) -> None:
    prepared, _ = curves.SOURCES["hard-spiral"].prepare(tmp_path)
    table, dimensions = Curves.load(made), prepared.definition.space.dimensions
    found = curves.portfolio(made.parent, [made.name], 12)
    assert len(found) == 12
    best = curves.chosen(prepared.definition, int(np.nanargmin(table.value)))
    assert found[0].keys() == best.keys()
    for name, value in found[0].items():
        if name in ("hidden_layers", "scaling"):
            assert value == best[name]
        else:
            assert dimensions[name].at(value) == pytest.approx(best[name], rel=0.1)


def test_a_study_that_begins_with_its_own_best_needs_one_trial(made: Path) -> None:
    table = Curves.load(made)
    found = replays.transfer([table, replace(table, name="the same")], 1, 3, 12)
    assert found["begun"].tolist() == [1, 1]
    assert (found["alone"] >= 1).all()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_of_a_replay_take_turns(made: Path, workers: int) -> None:
    table = Curves.load(made)
    work = replays.search(table, np.arange(12), stopping(never, workers), 12)
    ends = replays.ends(work, workers, 0.5)
    seconds = table.seconds[:, -1] + 0.5
    if workers == 1:
        assert ends == pytest.approx(seconds.cumsum())
    # At any time as many are at work as there are workers, until the last has begun.
    assert sum((ends - seconds < at) & (at < ends) for at in (ends - seconds) + 1e-6).max() <= 12
    assert max(((ends - seconds <= at) & (at < ends)).sum() for at in ends - seconds + 1e-6) <= workers
    assert ends.max() >= seconds.sum() / workers - 1e-9


def test_importances_are_judged_by_the_truth_of_new_rows() -> None:
    (found,) = importance.measure(["one network a split"], 0, 1).to_dict("records")
    assert found["columns of noise"] == 9
    assert all(0 <= found[name] <= 1 for name in ("said to matter", "said to harm", "truth held", "found"))
    assert abs(found["bias / truth"]) < 0.5


@pytest.mark.campaign
def test_noise_is_seldom_said_to_matter_and_truths_are_held() -> None:
    found = importance.measure(["classes", "numbers", "groups"], 5000, 30)
    columns = found["columns of noise"].sum()
    share = (found["said to matter"] * found["columns of noise"]).sum() / columns
    assert share < 0.05 + 3 * np.sqrt(0.05 * 0.95 / columns)
    held, columns = found["truth held"].mean(), 3 * 3 * 30
    assert held > 0.95 - 3 * np.sqrt(0.05 * 0.95 / columns) - 0.03  # columns of a table are not independent
    assert (found["found"] > 1 / 4).all()


@pytest.mark.campaign
def test_size_measures_storages_as_a_run_writes_them(tmp_path: Path) -> None:
    """What is filled in reads as a study that was run, and copies of it as studies."""
    filler, url = size.Filler(), f"sqlite:///{tmp_path}/size.db"
    filler.fill(url, "size", 30)
    found = size.reading(url, "size", tmp_path)
    assert all(seconds >= 0 for seconds in found.values())
    trials = hpsearch.load_trials("size", url)
    assert (trials["state"] == "COMPLETE").all()
    assert len(trials) == len(trials["learning_rate"].unique()) == 30
    assert hpsearch.load_best("size", url).corrected is not None
    assert size.commits(filler, url, "size", 30, count=2) > 0
    size.copy_studies(tmp_path / "size.db", 2)
    listed = hpsearch.load_studies(url).set_index("study")
    assert listed.index.tolist() == ["size", "size-1", "size-2"]
    pd.testing.assert_series_equal(listed.loc["size"], listed.loc["size-2"], check_names=False)
    pd.testing.assert_frame_equal(hpsearch.load_trials("size-2", url), hpsearch.load_trials("size", url))
