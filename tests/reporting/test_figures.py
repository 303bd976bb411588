"""Figures show what the tables say, for every kind of study."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored import CLASS, FAILS, make

import hpsearch
from hpsearch.api import snapshot
from hpsearch.errors import HpsearchError
from hpsearch.reporting.figures import FIGURES, style
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.results.best_study import export
from hpsearch.storage.stored_study import SCORINGS

# What each study has nothing to draw for.
OF_SPACE, OF_TRIALS = {"importance", "parallel", "slices"}, set(FIGURES) - {"pruning"}
OF_CLASSES, OF_QUANTITIES = {"regions", "confusion", "calibration"}, {"agreement"}
ABSENT: dict[str, set[str]] = {
    "full": OF_QUANTITIES,
    "failing": {"importance"} | OF_QUANTITIES,
    "names": {"regions"} | OF_QUANTITIES,
    "fixed": OF_SPACE | OF_QUANTITIES,
    "single": {"importance"} | OF_QUANTITIES,
    "one": {"importance"} | OF_QUANTITIES,
    "quantity": OF_CLASSES,
    "none": OF_TRIALS | {"pruning"},
}


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, hpsearch.StudyResult]:
    return make(tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def seen(studies: dict[str, hpsearch.StudyResult]) -> Iterator[dict[str, Snapshot]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(snapshot(study)) for name, study in studies.items()}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("study", ABSENT)
def test_every_figure_is_drawn_or_says_why_not(seen: dict[str, Snapshot], study: str, name: str) -> None:
    kind = FIGURES[name]
    if name in ABSENT[study]:
        with pytest.raises(HpsearchError, match=r"^[A-Z].*\.$"):
            kind.facts(seen[study])
        return
    facts = kind.facts(seen[study])
    drawn = kind.draw(facts)
    assert len(drawn.data) >= 1
    assert json.loads(drawn.to_json())["layout"]["height"] > 100
    assert drawn.to_json() == kind.draw(kind.facts(seen[study])).to_json()
    said = kind.say(facts)
    assert said.endswith(".")
    assert "nan" not in said


def test_the_other_tasks_figures_are_refused_by_name(seen: dict[str, Snapshot]) -> None:
    for name, kind in FIGURES.items():
        assert kind.task == {**dict.fromkeys(OF_CLASSES, "classification"), "agreement": "regression"}.get(name)
    with pytest.raises(HpsearchError, match=r"is of a classification, but 'quantity' is a regression\.$"):
        FIGURES["confusion"].facts(seen["quantity"])


def test_the_agreement_holds_every_prediction_of_a_quantity(seen: dict[str, Snapshot]) -> None:
    facts, study = FIGURES["agreement"].facts(seen["quantity"]), seen["quantity"]
    assert facts.count == len(facts.rows) == len(study.layout.rows) == study.data.rows
    np.testing.assert_array_equal(np.sort(facts.rows["true"]), np.sort(study.data.labels))
    errors = study.rows.predictions[:, 0] - study.data.labels[study.layout.rows]
    assert facts.bias == pytest.approx(errors.mean())
    assert np.mean(np.abs(errors) <= facts.within) == pytest.approx(0.9, abs=0.03)
    assert (errors**2).mean() == pytest.approx(study.complete[0].value, rel=0.05)  # folds differ by a row at most
    drawn = FIGURES["agreement"].draw(facts)
    assert "&lt;img" in drawn.layout.xaxis.title.text


def test_losses_have_their_unit_on_the_axes(seen: dict[str, Snapshot]) -> None:
    for study, unit in (("full", "(nats"), ("quantity", "(units of the target")):
        for name in ("curves", "gap", "history"):
            drawn = FIGURES[name].draw(FIGURES[name].facts(seen[study]))
            assert unit in drawn.layout.yaxis.title.text


def test_each_kind_says_how_to_read_it_and_has_a_function_of_its_name(studies: dict[str, hpsearch.StudyResult]) -> None:
    public = {
        name for name, value in vars(hpsearch.figures).items() if inspect.isfunction(value) and not name.startswith("_")
    }
    assert public == {*FIGURES, "save"}
    for name, kind in FIGURES.items():
        assert kind.title
        assert kind.how.count(".") >= 2
        assert "test row" not in kind.how
        assert inspect.getdoc(getattr(hpsearch.figures, name))
    made = hpsearch.figures.curves(studies["full"])
    assert made.layout.title.text == FIGURES["curves"].title
    again = hpsearch.figures.curves("full", studies["full"].storage)
    assert again.to_json() == made.to_json()


# ---------------------------------------------------------------- facts against the tables


@pytest.mark.parametrize("name", ["full", "failing"])
def test_history_is_the_trials_table(
    seen: dict[str, Snapshot], studies: dict[str, hpsearch.StudyResult], name: str
) -> None:
    facts, table = FIGURES["history"].facts(seen[name]), studies[name].trials
    assert facts.trials["state"].tolist() == table["state"].tolist()
    complete = table["state"] == "COMPLETE"
    assert facts.trials.loc[complete.tolist(), "value"].tolist() == table.loc[complete, "value"].tolist()
    lowest = np.fmin.accumulate(table["value"].to_numpy())
    np.testing.assert_array_equal(facts.trials["best_so_far"], lowest)
    means = studies[name].curves.groupby(["trial", "epoch"])["validation_loss"].mean()
    for row in facts.trials[facts.trials["state"] == "PRUNED"].itertuples():
        assert row.value == pytest.approx(means[row.number].iloc[-1])
    assert facts.corrected == studies[name].best.corrected


def test_the_star_and_the_words_are_of_the_chosen_trial(
    seen: dict[str, Snapshot], studies: dict[str, hpsearch.StudyResult]
) -> None:
    lowest, chosen = seen["full"].complete[0].number, studies["full"].best.result.number
    other = next(one.number for one in seen["full"].complete if one.number != lowest)
    for name in ("history", "gap", "size", "slices", "parallel", "folds"):
        facts = FIGURES[name].facts(seen["full"])
        frame = getattr(facts, "trials", facts)
        assert frame.attrs["chosen"] == chosen
        frame.attrs["chosen"] = other  # as finals choose
        assert f"rial {other}" in FIGURES[name].say(facts)
        assert "lowest" in FIGURES[name].say(facts) or name == "gap"
        stars = [trace for trace in FIGURES[name].draw(facts).data if trace.marker.symbol == "star"]
        places = [one for trace in stars for one in (trace.x if trace.customdata is None else trace.customdata)]
        told = {float(np.ravel(one)[0]) for one in places}
        assert told == (set() if name in ("parallel", "folds") else {other})


def test_pruning_and_curves_are_the_curves_table(
    seen: dict[str, Snapshot], studies: dict[str, hpsearch.StudyResult]
) -> None:
    table, trials = studies["full"].curves, studies["full"].trials.set_index("number")
    by_epoch = table.groupby(["trial", "epoch"])
    pruning = FIGURES["pruning"].facts(seen["full"]).set_index(["trial", "epoch"])
    pd.testing.assert_series_equal(pruning["value"], by_epoch["validation_loss"].mean(), check_names=False)
    assert (trials["state"] == "PRUNED").any()
    curves = FIGURES["curves"].facts(seen["full"])
    distinct = trials[trials["same_as"].isna()].sort_values("value", kind="stable").index[:3]
    assert curves["trial"].unique().tolist() == distinct.tolist()
    indexed = curves.set_index(["trial", "epoch"])
    for column, spread in (("validation", "mean"), ("low", "min"), ("high", "max")):
        expected = by_epoch["validation_loss"].agg(spread).loc[indexed.index]
        np.testing.assert_allclose(indexed[column], expected, rtol=1e-12)
    np.testing.assert_allclose(indexed["training"], by_epoch["training_loss"].mean().loc[indexed.index], rtol=1e-12)
    chosen = curves[curves["chosen"]].set_index("trial")["epoch"]
    assert chosen.to_dict() == trials.loc[distinct, "best_epoch"].to_dict()


@pytest.mark.parametrize("name", ["names", "quantity", "single"])
def test_columns_are_the_importance_table_and_effects_those_of_its_first(
    seen: dict[str, Snapshot], studies: dict[str, hpsearch.StudyResult], name: str
) -> None:
    facts, table = FIGURES["columns"].facts(seen[name]), studies[name].importance
    assert [(one.column, one.value, one.low) for one in facts.columns] == [
        *zip(table["column"], table["importance"], table["low"], strict=True)
    ]
    drawn = FIGURES["columns"].draw(facts)
    assert list(drawn.data[0].x) == table["importance"].tolist()
    effects = FIGURES["effects"].facts(seen[name])
    assert [effect.column for effect in effects.effects] == table["column"].tolist()[:5]
    (place, *_), *_ = effects.outputs
    # Of the first column's first class: its curve, and where values are missing one more point.
    traces = [trace for trace in FIGURES["effects"].draw(effects).data if trace.xaxis == "x" and trace.name]
    shown = [value for trace in traces if trace.legendgroup == f"class {place}" for value in trace.y]
    np.testing.assert_allclose(np.asarray(shown, float), effects.effects[0].mean[:, place])
    # A panel on paper is no longer than its title's lines.
    long = replace(effects, title="mean prediction of a_target_whose_name_is_longer_than_any_panel")
    for facts in (effects, long):
        lines = FIGURES["effects"].draw(facts).layout.yaxis.title.text.split("<br>")
        assert max(len(unescape(line)) for line in lines) <= 22
        assert len(lines) <= 3


def test_what_would_take_long_is_left_to_who_asks_for_it(studies: dict[str, hpsearch.StudyResult]) -> None:
    with snapshot(studies["full"], most_seconds=1e-6) as stored:
        for name in ("columns", "effects"):
            with pytest.raises(HpsearchError, match=r"^It would take about 1 seconds.* `hpsearch report --importance`"):
                FIGURES[name].facts(stored)


def test_folds_size_and_gap_are_the_tables(seen: dict[str, Snapshot], studies: dict[str, hpsearch.StudyResult]) -> None:
    folds, trials = studies["full"].folds, studies["full"].trials
    ranked = trials.dropna(subset=["value"]).sort_values(["value", "number"])
    facts = FIGURES["folds"].facts(seen["full"])
    assert facts["trial"].drop_duplicates().tolist() == ranked["number"].tolist()
    merged = facts.merge(folds, on=["trial", "repeat", "fold"], validate="one_to_one")
    assert len(merged) == len(folds)
    assert (merged["value"] == merged["validation_loss"]).all()
    size = FIGURES["size"].facts(seen["full"])
    assert size.trials["parameters"].tolist() == ranked["parameters"].tolist()
    error = folds.loc[folds["trial"] == ranked["number"].iloc[0], "validation_loss"].sem()
    assert size.threshold == pytest.approx(ranked["value"].iloc[0] + error)
    assert size.chosen == hpsearch.load_best("full", studies["full"].storage, rule="one-se").result.number
    gap = FIGURES["gap"].facts(seen["full"]).set_index("number")
    means = folds.groupby("trial")[["training_loss", "validation_loss"]].mean().loc[gap.index]
    np.testing.assert_allclose(gap.to_numpy(), means.to_numpy(), rtol=1e-12)


def test_confusion_and_calibration_agree_with_the_accuracy_of_the_trial(
    seen: dict[str, Snapshot], studies: dict[str, hpsearch.StudyResult]
) -> None:
    """Each of three folds validates 15 of 45 rows, so the mean over folds is the mean over rows."""
    accuracy = studies["full"].best.result.accuracy
    confusion = FIGURES["confusion"].facts(seen["full"])
    assert confusion.counts.sum() == 45
    assert np.trace(confusion.counts) / 45 == pytest.approx(accuracy)
    rows, layout = seen["full"].rows, seen["full"].layout
    for true in range(3):
        own = rows.predictions[layout.labels == true].argmax(axis=1)
        assert confusion.counts[true].tolist() == [int((own == predicted).sum()) for predicted in range(3)]
    calibration = FIGURES["calibration"].facts(seen["full"])
    bins = calibration.bins
    assert bins["count"].sum() == 45
    assert (bins["accuracy"] * bins["count"]).sum() / 45 == pytest.approx(accuracy)
    sure = rows.predictions.max(axis=1).astype(float)
    right = rows.predictions.argmax(axis=1) == layout.labels
    expected = 0.0
    for low in np.arange(10) / 10:
        some = (sure > low) & (sure <= low + 0.1)
        expected += abs(right[some].sum() - sure[some].sum()) / 45
    assert calibration.error == pytest.approx(expected)
    assert ((bins["lowest"] <= bins["accuracy"]) & (bins["accuracy"] <= bins["highest"])).all()


def test_regions_are_what_retraining_the_export_predicts_and_no_hold_out_is_opened(
    seen: dict[str, Snapshot], studies: dict[str, hpsearch.StudyResult], tmp_path: Path
) -> None:
    facts = FIGURES["regions"].facts(seen["full"])
    assert SCORINGS not in seen["full"].stored.attributes
    export(studies["full"].best, tmp_path / "best.toml")
    model = hpsearch.retrain(tmp_path / "best.toml", f"sqlite:///{tmp_path}/other.db")
    some = [(3, 5), (80, 90), (159, 0)]
    for row, column in some:
        answer = model.probabilities(np.array([[facts.x[column], facts.y[row]]]))[0]
        assert facts.classes[row, column] == answer.argmax()
        assert facts.confidence[row, column] == pytest.approx(answer.max(), abs=1e-5)
    assert facts.accuracy == model.about["training"]["accuracy"]
    confusion = FIGURES["confusion"].facts(seen["full"]).counts
    assert facts.rows["wrong"].sum() == confusion.sum() - np.trace(confusion)


def test_the_hyperparameter_that_decides_is_the_important_one(seen: dict[str, Snapshot]) -> None:
    facts = FIGURES["importance"].facts(seen["names"])
    assert facts["hyperparameter"].iloc[0] == "learning_rate"
    assert facts["importance"].sum() == pytest.approx(1)
    assert facts["importance"].is_monotonic_decreasing


def test_slices_and_parallel_hold_the_complete_trials_best_first(
    seen: dict[str, Snapshot], studies: dict[str, hpsearch.StudyResult]
) -> None:
    trials = studies["full"].trials.dropna(subset=["value"]).sort_values(["value", "number"])
    facts = FIGURES["slices"].facts(seen["full"])
    pd.testing.assert_frame_equal(
        facts.trials, trials[["number", "value", *facts.dimensions]].reset_index(drop=True), check_dtype=False
    )
    drawn = FIGURES["slices"].draw(facts)
    assert sum(len(trace.x) for trace in drawn.data) == int(trials[list(facts.dimensions)].notna().sum().sum())


def test_trials_that_failed_are_marked_and_have_no_value(seen: dict[str, Snapshot]) -> None:
    facts = FIGURES["history"].facts(seen["failing"])
    failed = facts.trials["state"] == "FAIL"
    assert 0 < failed.sum() < len(failed)
    drawn = FIGURES["history"].draw(facts)
    (trace,) = [trace for trace in drawn.data if trace.name == "failed (no value)"]
    assert list(trace.x) == facts.trials.loc[failed, "number"].tolist()
    assert max(facts.trials["value"].dropna()) < FAILS


# ---------------------------------------------------------------- drawing


def test_names_from_the_data_are_no_markup_in_a_figure(seen: dict[str, Snapshot]) -> None:
    drawn = FIGURES["confusion"].draw(FIGURES["confusion"].facts(seen["names"]))
    shown = [*drawn.layout.xaxis.ticktext, *drawn.layout.yaxis.ticktext]
    assert len(shown) == 4
    for name in shown:
        assert "<" not in name
    assert style.plain(CLASS).startswith("&lt;/script&gt;")


@pytest.mark.parametrize(("low", "high"), [(0.01, 1.0), (1e-7, 1e-2), (8, 128), (0.05, 0.3), (1e-9, 1e9)])
def test_a_wide_axis_is_logarithmic_with_a_few_round_ticks(low: float, high: float) -> None:
    axis = style.axis("x", [low, high])
    assert axis["type"] == "log"
    assert axis["range"][0] < np.log10(low) < np.log10(high) < axis["range"][1]
    assert 2 <= len(axis["tickvals"]) <= 8
    assert [float(text.replace(",", "")) for text in axis["ticktext"]] == pytest.approx(axis["tickvals"])


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.0, 100.0], [-1.0, 5.0], [], [float("nan"), 3.0]])
def test_other_axes_are_linear(values: list[float]) -> None:
    assert "type" not in style.axis("x", values)


def test_every_colour_of_trials_has_a_brighter_one_for_dark_pages() -> None:
    swapped = {old for old, _ in style.swaps()}
    for colour in (style.COMPLETE, style.BEST, style.PRUNED, style.FAILED, style.CORRECTED):
        assert colour in swapped
        assert style.faint(colour, 0.5).startswith(tuple(swapped))


# ---------------------------------------------------------------- files


def test_a_figure_is_saved_as_a_page_of_its_own(studies: dict[str, hpsearch.StudyResult], tmp_path: Path) -> None:
    figure = hpsearch.figures.gap(studies["full"])
    hpsearch.figures.save(figure, tmp_path / "gap.html")
    page = (tmp_path / "gap.html").read_bytes()
    hpsearch.figures.save(figure, tmp_path / "gap.html")
    assert (tmp_path / "gap.html").read_bytes() == page
    assert b"<script src" not in page
    assert [path.name for path in tmp_path.iterdir()] == ["gap.html"]


def test_what_cannot_be_saved_is_said_in_one_line(studies: dict[str, hpsearch.StudyResult], tmp_path: Path) -> None:
    figure = hpsearch.figures.gap(studies["full"])
    with pytest.raises(HpsearchError, match=r"ends in 'htm'\. .*Did you mean 'html'\?"):
        hpsearch.figures.save(figure, tmp_path / "gap.htm")
    with pytest.raises(HpsearchError, match="must be a file that can be written"):
        hpsearch.figures.save(figure, tmp_path / "absent" / "gap.html")
    assert list(tmp_path.iterdir()) == []
