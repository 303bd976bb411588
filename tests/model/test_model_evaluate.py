"""A saved model on labelled rows, and the threshold of two classes: against scikit-learn, and by properties."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Outcome
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

import hpsearch
from hpsearch.api import open_study
from hpsearch.errors import BundleError, DataError
from hpsearch.model.evaluate import Evaluated
from hpsearch.model.predict_file import predict_file
from hpsearch.model.threshold import Cost, OutOfFold, choose_threshold
from hpsearch.search.objective import prepare


def table(count: int = 150, seed: int = 0) -> pd.DataFrame:
    """Rows of two classes, with groups and weights, and a number that depends on them."""
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=(2, count)).round(4)
    bought = np.where(draw.random(count) < 1 / (1 + np.exp(1 - 2 * a)), "yes", "no")
    price = (10 * a + 3 * b**2 + draw.normal(size=count)).round(3)
    who, times = draw.integers(0, count // 3, count), draw.integers(1, 4, count)
    return pd.DataFrame({"a": a, "b": b, "who": who, "times": times, "bought": bought, "price": price})


def study(name: str, searched: bool = True, **data: Any) -> hpsearch.StudyDefinition:
    search = {"space": {"neurons": {"int": [2, 6]}}, "search": {"trials": 2, "finalists": 1, "finalist_repeats": 2}}
    splitter = "group" if "group" in data else "kfold"
    return hpsearch.StudyDefinition.from_mapping(
        {
            "study": {"name": name},
            "data": {"source": "csv", "path": "rows.csv", **data},
            "holdout": {"fraction": 0.3},
            "validation": {"n_splits": 3, "splitter": splitter},
            "train": {"epochs": 40, "evaluate_every": 10, "learning_rate": 0.1},
            "retrain": {"members": 3},
            **(search if searched else {}),
        }
    )


CLASSES = {"target": "bought", "drop": ["price", "who", "times"]}
NUMBERS = {"target": "price", "task": "regression", "drop": ["bought"], "group": "who", "weight": "times"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of two classes and the model that it shipped, and with a regression's."""
    folder = tmp_path_factory.mktemp("evaluate")
    table().to_csv(folder / "rows.csv", index=False)
    with pytest.MonkeyPatch.context() as context:
        context.chdir(folder)
        for name, data in (("classes", CLASSES), ("numbers", NUMBERS)):
            hpsearch.run(study(name, **data)).retrain().save(name)
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(folder)
    return tmp_path / "new.csv"


def evaluated(frame: pd.DataFrame, path: Path, model: Any = "classes", **more: Any) -> Evaluated:
    frame.to_csv(path, index=False)
    return hpsearch.evaluate(model, path, notice=more.pop("notice", lambda line: None), **more)


def test_metrics_and_confusions_are_scikit_learn_s(here: Path) -> None:
    frame = table(200, 1)
    found = evaluated(frame, here)
    model = hpsearch.Bundle.load("classes")
    probabilities, predicted = model.probabilities(frame[["a", "b"]]), model.predict(frame[["a", "b"]])
    true = frame["bought"]
    expected = {
        "accuracy": metrics.accuracy_score(true, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(true, predicted),
        "log_loss": metrics.log_loss(true, probabilities),
        "macro_f1": metrics.f1_score(true, predicted, average="macro"),
        "roc_auc": metrics.roc_auc_score(true == "yes", probabilities[:, 1]),
    }
    assert {name: found.metrics[name].value for name in expected} == pytest.approx(expected, rel=1e-6)
    for of in found.metrics.values():
        assert of.low is not None
        assert of.value is not None
        assert of.high is not None
        assert of.low < of.value < of.high
    confusion = found.confusion
    assert confusion is not None
    assert confusion.counts == metrics.confusion_matrix(true, predicted, labels=["no", "yes"]).tolist()
    precision, recall, _, _ = metrics.precision_recall_fscore_support(true, predicted, labels=["no", "yes"])
    assert (confusion.recall, confusion.precision) == (
        pytest.approx(recall.tolist()),
        pytest.approx(precision.tolist()),
    )
    assert sorted(confusion.largest(9), key=str) == sorted(
        (("no", "yes", confusion.counts[0][1]), ("yes", "no", confusion.counts[1][0])), key=str
    )


def test_a_share_s_interval_is_the_binomial_s_where_all_rows_are_independent(here: Path) -> None:
    found = evaluated(table(400, 2), here).metrics["accuracy"]
    assert found.value is not None
    assert found.low is not None
    half = 1.96 * np.sqrt(found.value * (1 - found.value) / 400)
    assert found.value - found.low == pytest.approx(half, rel=0.02)


def test_the_held_out_rows_have_the_score_and_the_interval_that_retrain_printed(here: Path) -> None:
    prepared = prepare(study("numbers", **NUMBERS))
    held = prepared.held_out
    assert held is not None
    assert held.weights is not None
    assert held.groups is not None
    frame = pd.DataFrame(held.features, columns=["a", "b"]).assign(price=held.labels)
    frame = frame.assign(who=held.groups, times=held.weights)
    found = evaluated(frame, here, "numbers")
    scored = hpsearch.Bundle.load("numbers").about["holdout"]
    loss, root = found.metrics["loss"], found.metrics["rmse"]
    assert [loss.value, loss.low, loss.high] == pytest.approx([scored[key] for key in ("loss", "low", "high")])
    assert [root.value, root.low, root.high] == pytest.approx(np.sqrt([scored[k] for k in ("loss", "low", "high")]))
    assert (found.metrics["r2"].value, found.rows) == (pytest.approx(scored["r2"]), scored["rows"])
    of_holdout = found.expected[-1]
    assert (of_holdout.name, of_holdout.difference.value) == ("hold-out", pytest.approx(0))
    assert of_holdout.verdict == "agree"


def test_rows_without_a_target_are_counted_and_left_out(here: Path) -> None:
    frame = table(60, 3)
    gaps = frame.assign(bought=frame["bought"].where(frame.index % 4 > 0, ["", "n/a", " "] * 20))
    found, without = evaluated(gaps, here), evaluated(frame[frame.index % 4 > 0], here)
    assert (found.rows, found.left_out, without.left_out) == (45, 15, 0)
    assert found.metrics == without.metrics
    assert found.confusion == without.confusion
    with pytest.raises(DataError, match="must have a row with a target in 'bought'"):
        evaluated(frame.assign(bought=""), here)


def test_a_class_that_the_model_does_not_know_is_refused(here: Path) -> None:
    frame = table(20, 3)
    frame.loc[[4, 9], "bought"] = "perhaps"
    with pytest.raises(DataError, match=r"new.csv, column 'bought'.*2 rows have 'perhaps', the first row 6. Leave"):
        evaluated(frame, here)
    with pytest.raises(DataError, match="must have a column 'bought'"):
        evaluated(frame.drop(columns="bought"), here)


def test_classes_that_are_numbers_are_known_as_pandas_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = table(90).assign(bought=lambda rows: (rows["bought"] == "yes").astype(int))
    frame.to_csv("rows.csv", index=False)
    model = hpsearch.retrain(study("ones", False, **CLASSES))
    whole = evaluated(frame.drop(index=5), tmp_path / "new.csv", model)
    gaps = evaluated(frame.assign(bought=frame["bought"].where(frame.index != 5)), tmp_path / "new.csv", model)
    assert "1.0" in (tmp_path / "new.csv").read_text()
    assert (gaps.left_out, gaps.metrics) == (1, whole.metrics)


def test_a_parquet_file_s_targets_are_no_text_of_the_study_s_csv_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = table(90).assign(times=lambda rows: rows["times"] + 0.125)  # 1.125 would be 1125 between thousands
    plain.loc[::9, "a"] = -999.5
    written = plain.assign(price=[f"{price:.3f} €".replace(".", ",") for price in plain["price"]])
    written.to_csv("rows.csv", index=False, sep=";", decimal=",")
    csv = {"separator": ";", "decimal": ",", "thousands": ".", "units": ["€"], "missing": ["-999,5"]}
    model = hpsearch.retrain(study("written", False, **NUMBERS, **csv))
    plain.to_parquet("rows.parquet")
    of_csv, of_parquet = (hpsearch.evaluate(model, f"rows.{kind}") for kind in ("csv", "parquet"))
    assert of_csv.metrics == of_parquet.metrics
    assert of_csv.residuals is not None
    assert of_parquet.residuals is not None
    assert of_csv.residuals.quantiles == of_parquet.residuals.quantiles


def test_large_numbers_are_classes_as_pandas_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = table(90).assign(bought=lambda rows: rows["bought"].map({"yes": 1234567, "no": 1234568}))
    frame.to_csv("rows.csv", index=False)
    model = hpsearch.retrain(study("large", False, **CLASSES))
    found = evaluated(frame.assign(bought=frame["bought"].astype(float)), tmp_path / "new.csv", model)
    assert "1234567.0" in (tmp_path / "new.csv").read_text()
    assert found == evaluated(frame, tmp_path / "new.csv", model)


@pytest.mark.parametrize("model", ["classes", "numbers"])
def test_an_expected_score_without_an_interval_is_compared_without_one(here: Path, model: str) -> None:
    full = hpsearch.Bundle.load(model)
    about = {**full.about, "origin": {"corrected_value": 0.5}, "holdout": {"rows": 9, "loss": 0.5}}
    hpsearch.Bundle(**{**vars(full), "about": about}).save(here.parent / "old")
    found = evaluated(table(40), here, hpsearch.Bundle.load(here.parent / "old")).expected
    assert [(one.verdict, one.difference.low) for one in found] == [(None, None)] * 2


def test_a_row_counts_as_often_as_its_weight_says(here: Path) -> None:
    frame = table(40, 4)
    frame.loc[::5, "times"] = 0
    repeated = frame.loc[frame.index.repeat(frame["times"])].assign(times=1)
    weighted, plain = evaluated(frame, here, "numbers"), evaluated(repeated, here, "numbers")
    assert (weighted.rows, plain.rows, weighted.units) == (32, len(repeated), plain.units)
    for name, of in weighted.metrics.items():
        assert of.value == pytest.approx(plain.metrics[name].value)
    assert weighted.residuals is not None
    assert plain.residuals is not None
    assert weighted.residuals.bias.value == pytest.approx(plain.residuals.bias.value)
    assert weighted.residuals.quantiles == pytest.approx(plain.residuals.quantiles)


def test_rows_of_a_group_are_one(here: Path) -> None:
    frame = table(120, 5)
    grouped = evaluated(frame, here, "numbers")
    assert grouped.units == frame["who"].nunique()
    lines: list[str] = []
    alone = evaluated(frame.drop(columns=["who", "times"]), here, "numbers", notice=lines.append)
    assert (alone.units, alone.grouped, alone.weighted) == (120, False, False)
    assert [line.split(":")[1].strip() for line in sorted(lines)] == [
        "each row counts as one.",
        "rows are taken as independent.",
    ]


def test_residuals_are_in_the_target_s_unit_with_the_worst_rows_of_the_file(here: Path) -> None:
    frame = table(80, 6).assign(times=1)
    frame.loc[7, "price"] = 1000.0
    found = evaluated(frame, here, "numbers").residuals
    assert found is not None
    residuals = hpsearch.Bundle.load("numbers").predict(frame[["a", "b"]]) - frame["price"].to_numpy()
    assert found.bias.value == pytest.approx(residuals.mean())
    assert found.quantiles[0.5] == pytest.approx(np.quantile(residuals, 0.5, method="inverted_cdf"))
    assert (found.worst[0]["row"], found.worst[0]["target"]) == (9, 1000)  # below the header, counted from 1
    assert found.worst[0]["residual"] == pytest.approx(residuals[7])
    order = np.argsort(-np.abs(residuals))[:5]
    assert [one["row"] for one in found.worst] == (order + 2).tolist()


def test_rows_of_another_kind_are_worse_and_those_like_the_trained_ones_agree(here: Path) -> None:
    frame = table(400, 7)
    verdicts = [one.verdict for one in evaluated(frame, here).expected]
    assert verdicts == ["agree", "agree"]
    other = frame.assign(bought=np.where(frame["bought"] == "yes", "no", "yes"))
    assert {one.verdict for one in evaluated(other, here).expected} == {"worse"}


def test_the_model_carries_the_study_s_out_of_fold_predictions(here: Path) -> None:
    best = hpsearch.load_best("classes")
    assert best.final is not None
    with open_study("classes") as stored:
        rows, layout = stored.final_row_results.of(best.final.final), stored.final_row_results.layout()
    carried = OutOfFold.of_model(hpsearch.Bundle.load("classes").about)
    np.testing.assert_allclose(carried.probabilities, rows.predictions[:, 1], rtol=1e-6)
    np.testing.assert_array_equal(carried.labels, layout.labels)
    assert (carried.folds, carried.averaged, carried.weights) == (3, True, None)


def calibrated(count: int, bias: float, slope: float) -> OutOfFold:
    """Probabilities whose logits, times ``slope`` plus ``bias``, are those of the truth."""
    draw = np.random.default_rng(count)
    logits = draw.normal(-1, 1.5, count)
    labels = (draw.random(count) < 1 / (1 + np.exp(-(slope * logits + bias)))).astype(int)
    return OutOfFold(1 / (1 + np.exp(-logits)), labels, 5, True)


def test_the_threshold_of_right_probabilities_is_that_of_the_theory() -> None:
    for ratio in (0.2, 3.0, 20.0):
        chosen, _, in_theory = choose_threshold(calibrated(30_000, 0, 1), ("no", "yes"), Cost("yes", ratio))
        assert in_theory.threshold.value == pytest.approx(1 / (1 + ratio))
        assert chosen.threshold.value == pytest.approx(in_theory.threshold.value, rel=0.1)
        assert chosen.expected.mean == pytest.approx(in_theory.expected.mean, rel=0.01)


@pytest.mark.parametrize("name", ["yes", "no"])
def test_the_threshold_sets_the_probabilities_right_as_a_logistic_regression_does(name: str) -> None:
    rows, cost = calibrated(3000, 0.8, 0.5), Cost(name, 6.0)
    chosen, half, in_theory = choose_threshold(rows, ("no", "yes"), cost)
    probabilities, own = rows.of_class(int(name == "yes"))
    logits = np.log(probabilities / (1 - probabilities))[:, np.newaxis]
    fitted = LogisticRegression(C=1e6, tol=1e-10).fit(logits, own)
    sought = (-np.log(6) - fitted.intercept_[0]) / fitted.coef_[0, 0]
    assert chosen.threshold.value == pytest.approx(
        1 / (1 + np.exp(-sought)), rel=0.01
    )  # Platt's targets are not 0 and 1
    assert chosen.expected.mean < in_theory.expected.mean < half.expected.mean


@pytest.mark.parametrize("slope", [0.2, 0.4, 1.0])
@pytest.mark.parametrize("deviation", [2.5, 4.0, 6.0])
def test_the_threshold_of_networks_that_are_too_sure_is_the_one_of_least_loss(slope: float, deviation: float) -> None:
    for seed in range(4):
        draw = np.random.default_rng(seed)
        logits = draw.normal(0, deviation, 400)
        labels = (draw.random(400) < expit(slope * logits)).astype(int)
        rows = OutOfFold(expit(logits), labels, 5, True)
        counts = np.bincount(labels)
        targets = np.where(labels == 1, (counts[1] + 1) / (counts[1] + 2), 1 / (counts[0] + 2))
        limited = logit(np.clip(rows.probabilities, 1e-7, 1 - 1e-7))

        def loss(line: Any, limited: Any = limited, targets: Any = targets) -> float:
            outputs = line[0] + line[1] * limited
            return float(np.mean(np.logaddexp(0, outputs) - targets * outputs))

        intercept, fitted = minimize(loss, [0.0, 0.1], method="BFGS", options={"gtol": 1e-7}).x
        chosen = choose_threshold(rows, ("no", "yes"), Cost("yes", 10.0))[0]
        assert logit(chosen.threshold.value) == pytest.approx((-np.log(10) - intercept) / fitted, rel=1e-3, abs=1e-3)


def test_a_calibration_that_does_not_converge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpsearch.model.threshold._STEPS", 1)
    with pytest.raises(BundleError, match=r"must have a calibration, but none was found in 1 steps"):
        choose_threshold(calibrated(3000, 0.8, 0.5), ("no", "yes"), Cost("yes", 6.0))


def test_probabilities_that_tell_nothing_give_the_cheaper_class_always() -> None:
    draw = np.random.default_rng(0)
    labels = (draw.random(400) < 0.3).astype(int)
    rows = OutOfFold(1 - (0.2 + 0.5 * labels + 0.1 * draw.random(400)), labels, 5, True)  # the wrong way round
    for ratio, threshold in ((10.0, 0.0), (0.1, 1.0)):
        assert choose_threshold(rows, ("no", "yes"), Cost("yes", ratio))[0].threshold.value == threshold


def test_classes_that_lie_apart_have_a_threshold_between_them() -> None:
    labels = np.arange(100) % 2
    rows = OutOfFold(np.where(labels == 1, 0.9, 0.1) + np.linspace(-0.05, 0.05, 100), labels, 5, True)
    chosen = choose_threshold(rows, ("no", "yes"), Cost("yes", 3.0))[0]
    assert 0.15 < chosen.threshold.value < 0.85
    assert (chosen.expected.mean, chosen.expected.high) == (0, None)


def test_a_cost_is_realised_on_the_rows_and_the_threshold_predicts_as_predict_does(here: Path) -> None:
    frame = table(200, 8)
    found = evaluated(frame, here, cost={"yes": 5})
    assert found.decisions is not None
    assert found.confusion is not None
    assert found.threshold is not None
    for one in found.decisions.of:
        predicted = hpsearch.Bundle.load("classes").predict(frame[["a", "b"]], threshold={"yes": one.threshold})
        missed = ((frame["bought"] == "yes") & (predicted == "no")).sum()
        false = ((frame["bought"] == "no") & (predicted == "yes")).sum()
        assert one.realised.value == pytest.approx((5 * missed + false) / 200)
    assert found.decisions.of[1].threshold == 0.5
    lines: list[str] = []
    model = hpsearch.Bundle.load("classes")
    by_cost = predict_file(model, here, lines.append, cost={"yes": 5})
    by_threshold = predict_file(model, here, lambda line: None, threshold=found.threshold)
    pd.testing.assert_frame_equal(by_cost, by_threshold)
    expected = metrics.confusion_matrix(frame["bought"], by_cost["class"], labels=["no", "yes"])
    assert found.confusion.counts == expected.tolist()
    assert f"at least {found.threshold['yes']:.4g}." in lines[0]
    assert found.metrics == evaluated(frame, here).metrics


def test_a_model_without_out_of_fold_predictions_is_evaluated_but_has_no_cost(here: Path) -> None:
    model = hpsearch.Bundle.load("classes")
    for about in ({}, {"evaluation": None}, {"evaluation": {**model.about["evaluation"], "out_of_fold": None}}):
        bare = hpsearch.Bundle(**{**vars(model), "about": about})
        frame = table(50, 9)
        assert evaluated(frame, here, bare).metrics == evaluated(frame, here).metrics
        with pytest.raises(BundleError, match=r"must carry out-of-fold predictions .* Retrain"):
            evaluated(frame, here, bare, cost={"yes": 5})


def test_a_configuration_that_is_not_the_study_s_carries_none(here: Path) -> None:
    exported = hpsearch.run(study("classes", **CLASSES)).best
    from hpsearch.results.best_study import exported as definition_of

    definition = definition_of(exported)
    assert hpsearch.retrain(definition).about["evaluation"]["out_of_fold"] is not None
    for change in ("train.neurons=3", "train.epochs=7"):
        other = hpsearch.retrain(definition.with_overrides([change]))
        assert other.about["evaluation"]["out_of_fold"] is None
    elsewhere = hpsearch.retrain(definition, storage="sqlite:///elsewhere.db")
    assert elsewhere.about["evaluation"]["out_of_fold"] is None


@pytest.mark.parametrize(
    ("model", "option", "message"),
    [
        ("classes", ["--cost", "10"], "--cost must read CLASS=NUMBER, as in yes=10, but is '10'."),
        ("classes", ["--cost", "perhaps=10"], "--cost must name a class of the model, but names 'perhaps'."),
        ("classes", ["--cost", "yes=0"], "--cost must be a number from 1e-12 to 1e+12, but is 0.0."),
        ("numbers", ["--cost", "yes=10"], "--cost must go with a model of two classes, but this one predicts a"),
        ("classes", ["--threshold", "2"], "--threshold must read CLASS=NUMBER, as in yes=0.1, but is '2'."),
        ("classes", ["--threshold", "yes=2"], "--threshold must be a probability, from 0 to 1, but is 2."),
        ("numbers", ["--threshold", "yes=1"], "--threshold must go with a model of two classes"),
        ("classes", ["--threshold", "no=1", "--cost", "no=1"], "--threshold must not go with --cost, from which"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    here: Path, hpsearch: Callable[..., Outcome], model: str, option: list[str], message: str
) -> None:
    table(20, 1).to_csv(here, index=False)
    command = "predict" if "--threshold" in option else "evaluate"
    outcome = hpsearch(command, model, here, *option)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert outcome.err.startswith(f"hpsearch: {message}")


def test_the_command_line_prints_what_the_function_gives(here: Path, hpsearch: Callable[..., Outcome]) -> None:
    table(100, 1).to_csv(here, index=False)
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    shown = json.loads(hpsearch("evaluate", "classes", here, "--cost", "yes=5", "--json").out)
    assert shown["model"] == "classes"
    assert shown["confusion"]["classes"] == ["no", "yes"]
    assert len(shown["decisions"]["of"]) == 3
    printed = hpsearch("evaluate", "classes", here, "--cost", "yes=5").out
    chosen = shown["decisions"]["of"][0]
    assert f"--threshold yes={chosen['threshold']:.4g}" in printed
    assert f"{chosen['realised']['value']:.4f}" in printed
    of_numbers = json.loads(hpsearch("evaluate", "numbers", here, "--json").out)
    assert list(of_numbers["residuals"]["quantiles"]) == ["0.05", "0.25", "0.5", "0.75", "0.95"]
    assert "The largest:" in hpsearch("evaluate", "numbers", here).out
    assert "evaluation" not in json.loads(hpsearch("best", "classes", "-o", "best.toml", "--json").out)
    Path("best.toml").unlink()
    assert before == {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}


def test_of_many_classes_the_largest_confusions_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hpsearch: Callable[..., Outcome]
) -> None:
    import hpsearch as package

    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    label = draw.integers(0, 12, 240)
    frame = pd.DataFrame({"a": label + draw.normal(0, 1, 240), "b": draw.normal(size=240), "letter": label})
    frame.assign(letter=[f"k{k:02}" for k in label]).to_csv("rows.csv", index=False)
    definition = study("many", False, target="letter").with_overrides(["train.neurons=8"])
    package.retrain(definition).save("model")
    found = package.evaluate("model", "rows.csv").confusion
    assert found is not None
    counts = np.array(found.counts)
    true, other, count = found.largest(1)[0]
    assert counts[found.classes.index(true), found.classes.index(other)] == count
    assert count == (counts - np.diag(np.diag(counts))).max()
    shown = hpsearch("evaluate", "model", "rows.csv").out
    assert "The largest confusions:" in shown
    assert f"{true}         {other}" in shown


def test_rare_classes_are_one_where_the_study_made_them_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = table(120)
    frame.loc[:4, "bought"], frame.loc[5:9, "bought"] = "seldom", "hardly"
    frame.to_csv("rows.csv", index=False)
    model = hpsearch.retrain(study("rare", False, **CLASSES, rare_classes="other", smallest_class=8))
    assert model.class_names == ("no", "other", "yes")
    new = frame.assign(bought=frame["bought"].replace("hardly", "never"))
    found, known = (evaluated(of, tmp_path / "new.csv", model) for of in (new, frame.replace("hardly", "other")))
    assert found == known


def test_rows_of_unknown_classes_are_left_out_where_the_study_left_out_rare_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = table(120)
    frame.loc[:4, "bought"] = "seldom"
    frame.to_csv("rows.csv", index=False)
    model = hpsearch.retrain(study("rare", False, **CLASSES, rare_classes="drop", smallest_class=8))
    assert model.class_names == ("no", "yes")
    lines: list[str] = []
    found = evaluated(frame, tmp_path / "new.csv", model, notice=lines.append)
    assert found == evaluated(frame[5:], tmp_path / "new.csv", model)
    assert [line for line in lines if "rare" in line] == [
        "Left out, as the study left out rare classes: 5 rows have 'seldom', which the model does not know."
    ]
