"""The finals: the best trials again on fresh splits, the same however their running was cut up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomlkit

import hpsearch
from hpsearch import seeds
from hpsearch.data.dataset import Dataset
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, DefinitionError
from hpsearch.search.coordinator import Progress
from hpsearch.search.correction import definition_of
from hpsearch.search.finals import choose, finals
from hpsearch.search.objective import TrialTask, evaluate, fresh_splits, prepare
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult
from hpsearch.validation.cross_validate import cross_validate
from hpsearch.validation.learning_curve import Pairs, with_fewer_rows
from hpsearch.validation.selection import corrected

# A study whose networks learn, so that finalists differ.
LEARNS: dict[str, Any] = {
    "study": {"name": "learns", "seed": 1},
    "data": {"source": "sklearn:wine"},
    "validation": {"n_splits": 3},
    "train": {"epochs": 24, "evaluate_every": 4, "init": "he", "neurons": 8},
    "space": {"learning_rate": {"float": [1e-3, 0.3], "log": True}, "neurons": {"int": [2, 12]}},
    "search": {"trials": 12, "finalists": 3, "finalist_repeats": 2, "in_flight": 3},
}


WILD = {**LEARNS["train"], "optimizer": "sgd"}


def learns(**search: Any) -> StudyDefinition:
    return StudyDefinition.from_mapping({**LEARNS, "search": {**LEARNS["search"], **search}})


def table(storage: str, study: str = "learns") -> pd.DataFrame:
    return hpsearch.load_finals(study, storage).drop(columns=["seconds"])


def evaluated(storage: str, study: str = "learns") -> list[TrialResult]:
    with hpsearch.api.open_study(study, storage) as stored:
        return finals(stored, definition_of(stored))


def on_fewer_rows(storage: str, study: str = "learns") -> TrialResult | None:
    with hpsearch.api.open_study(study, storage) as stored:
        found = stored.fewer_rows()
        return found and replace(found, seconds=0)


@pytest.fixture(autouse=True)
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.chdir(tmp_path)
    return lambda name: f"sqlite:///{tmp_path / name}.db"


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The storage of the study, run straight through."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('through') / 'a.db'}"
    hpsearch.run(learns(), storage=storage)
    return storage


def test_a_finalist_is_its_configuration_on_splits_and_seeds_that_the_search_did_not_have(through: str) -> None:
    definition = learns()
    prepared, seed = prepare(definition), seeds.integer_seed(1, "finals")
    splits = fresh_splits(definition, prepared.search, "finals", 2)
    of_search = {split.validation.tobytes() for split in prepared.splits}
    assert not of_search & {split.validation.tobytes() for split in splits}
    trials = hpsearch.load_trials("learns", through).set_index("number")
    best = trials[trials["same_as"].isna()].sort_values("value").index[:3].tolist()
    found = evaluated(through)
    assert [final.number for final in found] == best
    for final in found:
        row = trials.loc[final.number]
        chosen = {"learning_rate": float(row["learning_rate"]), "neurons": int(row["neurons"])}
        alone = cross_validate(
            prepared.search,
            splits,
            definition.config(chosen).replaced({"epochs": min(24, -(-int(row["best_epoch"]) * 3 // 8) * 4)}),
            seed,
            evaluate_every=4,
            by_ensemble=True,
        )
        assert (final.ensemble, final.intermediate) == (alone.ensemble, alone.curve.means)
        assert (final.best_epoch, final.value, final.score) == (alone.best_epoch, alone.value, alone.score)
        assert final.folds == [fold.row() for fold in alone.folds]


def test_the_table_has_a_row_a_finalist_and_repeat_and_the_means_of_its_splits(through: str) -> None:
    frame = hpsearch.load_finals("learns", through)
    assert [*frame["repeat"]] == [0, 1] * 3
    assert frame["trial"].nunique() == 3
    for final in evaluated(through):
        for repeat, row in frame[frame["trial"] == final.number].set_index("repeat").iterrows():
            folds = [fold for fold in final.folds if fold["repeat"] == repeat]
            assert len(folds) == 3
            assert row["validation_loss"] == pytest.approx(np.mean([fold["validation_loss"] for fold in folds]))
            assert row["accuracy"] == pytest.approx(np.mean([fold["accuracy"] for fold in folds]))
            assert row["best_epoch"] == final.best_epoch
    lowest = frame["trial"][frame["ensemble"].idxmin()]
    assert set(frame["trial"][frame["chosen"]]) == {lowest}


def test_the_best_is_the_finals_choice_and_the_search_s_own_can_be_had_by_its_rule(through: str) -> None:
    best, lowest = hpsearch.load_best("learns", through), hpsearch.load_best("learns", through, "lowest")
    chosen = min(evaluated(through), key=lambda final: final.ensemble_value or np.inf)
    assert (best.rule, best.result.number, best.config.epochs) == ("finals", chosen.number, chosen.best_epoch)
    assert lowest.rule == "lowest"
    assert lowest.config.epochs == lowest.result.best_epoch
    assert lowest.result.number == evaluated(through)[0].number
    assert best.corrected is not None
    assert best.corrected.low < best.corrected.value < best.corrected.high
    assert best.about == "8 networks averaged, trained on all rows"
    assert "8 networks averaged" in best.belief()
    assert lowest.about == "these networks, one a split"
    assert "averaged" not in lowest.belief()


def test_for_one_network_the_choice_is_made_by_networks_alone(through: str) -> None:
    found, definition = evaluated(through), learns()
    single, ensemble = choose(found, definition, False), choose(found, definition, True)
    assert single is not None
    assert ensemble is not None
    means = {(f.number, epoch): m for f in found for epoch, m in zip(f.epochs, f.intermediate, strict=True)}
    assert means[single.final.number, single.epoch] == single.value == min(means.values())
    averages = [value for f in found if f.ensemble for value in f.ensemble.objective]
    assert ensemble.value == min(averages) < single.value


@pytest.mark.parametrize("seed", range(3))
def test_a_finalist_does_not_depend_on_the_others(seed: int) -> None:
    prepared = prepare(StudyDefinition.from_mapping({**LEARNS, "study": {"name": "learns", "seed": seed}}))
    chosen = {"learning_rate": 0.05, "neurons": 5}
    one, other = (evaluate(prepared, TrialTask(number, chosen, final_epochs=12)) for number in (4, 9))
    assert replace(one, seconds=0, number=0) == replace(other, seconds=0, number=0)


@pytest.mark.campaign
def test_two_workers_find_what_one_does(through: str, at: Callable[[str], str]) -> None:
    hpsearch.run(learns(), storage=at("two"), workers=2)
    pd.testing.assert_frame_equal(table(at("two")), table(through), check_exact=True)
    assert on_fewer_rows(at("two")) == on_fewer_rows(through)
    scores = [hpsearch.load_best("learns", storage).corrected for storage in (at("two"), through)]
    assert scores[0] == scores[1] is not None


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_an_interrupt_in_the_finals_loses_nothing(through: str, at: Callable[[str], str], done: int) -> None:
    def watch(progress: Progress) -> None:
        if progress.finalists and len(progress.finals) == done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hpsearch.run(learns(), storage=at("cut"), watch=watch)
    assert len(evaluated(at("cut"))) == done
    before = {final.number: final.seconds for final in evaluated(at("cut"))}
    hpsearch.run(learns(), storage=at("cut"))
    pd.testing.assert_frame_equal(table(at("cut")), table(through), check_exact=True)
    after = {final.number: final.seconds for final in evaluated(at("cut"))}
    assert before.items() <= after.items()  # those are not trained again
    assert on_fewer_rows(at("cut")) == on_fewer_rows(through) is not None


def test_more_trials_evaluate_only_new_finalists(through: str, at: Callable[[str], str]) -> None:
    hpsearch.run(learns(), storage=at("raised"), trials=6)
    before = {final.number: final.seconds for final in evaluated(at("raised"))}
    evaluations: set[int] = set()
    hpsearch.run(
        learns(),
        storage=at("raised"),
        watch=lambda progress: evaluations.update(final.number for final in progress.finals),
    )
    pd.testing.assert_frame_equal(table(at("raised")), table(through), check_exact=True)
    after = {final.number: final.seconds for final in evaluated(at("raised"))}
    kept = before.keys() & after.keys()
    assert kept
    assert all(before[number] == after[number] for number in kept)


def test_the_chosen_finalist_is_trained_once_more_with_a_further_fold_left_out(through: str) -> None:
    definition, best = learns(), hpsearch.load_best("learns", through)
    prepared, found = prepare(definition), on_fewer_rows(through)
    assert best.final is not None
    assert found is not None
    config = definition.config(best.chosen).replaced({"epochs": best.final.epoch})
    pairs = Pairs.of(prepared.final_splits, prepared.search)
    assert pairs is not None
    seed = seeds.integer_seed(1, "learning-curve")
    alone = with_fewer_rows(prepared.search, pairs, config, seed, 4, "loss")
    assert (found.number, found.best_epoch, found.ensemble) == (best.result.number, best.final.epoch, alone.ensemble)
    assert alone.rows is not None
    with hpsearch.api.open_study("learns", through) as stored:
        rows = stored.fewer_row_results.of(found)
    assert np.array_equal(rows.losses, alone.rows.losses)
    fixed = best.corrected
    assert fixed is not None
    assert fixed.more_rows is not None
    # Of three folds: the score is a third of the step from 1/3 to 2/3 of the rows further on, in their ratio.
    more = best.final.value
    expected = fixed.of_splits / (1 + (np.mean(found.ensemble.loss) / more - 1) / 3) if found.ensemble else np.nan
    assert fixed.value == pytest.approx(expected, rel=1e-3)  # 178 rows are no three equal folds


def test_another_choice_is_trained_on_fewer_rows_anew_and_the_same_one_is_not(at: Callable[[str], str]) -> None:
    hpsearch.run(learns(), storage=at("a"), trials=3)
    first = on_fewer_rows(at("a"))
    hpsearch.run(learns(), storage=at("a"), trials=3)
    assert on_fewer_rows(at("a")) == first is not None
    hpsearch.run(learns(), storage=at("a"))
    again, best = on_fewer_rows(at("a")), hpsearch.load_best("learns", at("a"))
    assert again is not None
    assert best.final is not None
    assert (again.number, again.best_epoch) == (best.result.number, best.final.epoch)


def test_where_there_is_no_learning_curve_the_score_says_so(at: Callable[[str], str]) -> None:
    raw = {**LEARNS, "validation": {"splitter": "shuffle", "n_splits": 3}}
    hpsearch.run(StudyDefinition.from_mapping(raw), storage=at("drawn"))
    drawn = on_fewer_rows(at("drawn"))
    assert drawn is not None
    assert drawn.state == "FAIL"
    best = hpsearch.load_best("learns", at("drawn"))
    assert best.corrected is not None
    assert best.corrected.more_rows is None
    assert str(best.about).startswith(
        "8 networks averaged, trained on the rows of a split, as with a further fold left out"
    )
    raw = {**LEARNS, "retrain": {"members": 1}}
    hpsearch.run(StudyDefinition.from_mapping(raw), storage=at("one"))
    assert on_fewer_rows(at("one")) is None
    assert hpsearch.load_best("learns", at("one")).about == "the search's best trial, one a split"


def test_what_became_of_the_further_training_is_said_and_it_is_not_tried_again(at: Callable[[str], str]) -> None:
    hpsearch.run(learns(), storage=at("a"), trials=3)
    with StoredStudy.open(at("a"), "learns", owner=True) as stored:
        found = stored.fewer_rows()
        assert found is not None
        layout = stored.fewer_row_results.layout()
        failed = TrialResult(found.number, "FAIL", None, 0, 0.0, best_epoch=found.best_epoch, reason="its worker died")
        stored.write_fewer_rows(failed, layout)
        hpsearch.run(learns(), storage=at("a"), trials=3)
        assert stored.fewer_rows() == failed
        about = hpsearch.load_best("learns", at("a")).about
        assert about is not None
        assert about.endswith("trained on the rows of a split, as with a further fold left out its worker died")
        stored.storage.set_study_user_attr(stored.study_id, "fewer_rows", None)  # as a study that was stored before
        assert "run the study again" in str(hpsearch.load_best("learns", at("a")).about)
        hpsearch.run(learns(), storage=at("a"), trials=3)
        assert stored.fewer_rows() == replace(found, seconds=stored.fewer_rows().seconds)  # type: ignore[union-attr]


def test_a_corrected_score_that_was_stored_before_is_made_anew(at: Callable[[str], str]) -> None:
    single = learns(finalists=0)
    hpsearch.run(single, storage=at("a"))
    now = hpsearch.load_best("learns", at("a")).corrected
    assert now is not None
    later = ("bound", "more_rows", "equal_shares", "standard_error")
    old = {name: value for name, value in vars(now).items() if name not in later}
    with hpsearch.api.open_study("learns", at("a")) as stored:
        stored.refresh({"corrected": {"told": 12, "corrected": {**old, "value": 9.0}}})
        assert hpsearch.load_studies(at("a"))["corrected"].isna().all()
        assert hpsearch.load_best("learns", at("a")).corrected == now
        hpsearch.run(single, storage=at("a"))
        assert hpsearch.load_studies(at("a"))["corrected"].tolist() == [now.value]


@pytest.mark.parametrize("seed", range(4))
def test_a_column_with_few_values_ends_no_study(seed: int, at: Callable[[str], str], tmp_path: Path) -> None:
    known = ["" if row % 20 else str(row) for row in range(60)]
    Path("rows.csv").write_text(
        "x,rare,y\n" + "".join(f"{row % 7},{known[row]},{'ab'[row % 2]}\n" for row in range(60))
    )
    raw = {
        "study": {"name": "few", "seed": seed},
        "data": {"source": "csv", "path": "rows.csv", "target": "y"},
        "validation": {"splitter": "stratified", "allow": ["duplicates"]},
        "train": {"epochs": 4, "evaluate_every": 2, "neurons": 2},
        "space": {"learning_rate": {"float": [1e-3, 0.3], "log": True}},
        "search": {"trials": 2, "finalists": 1},
    }
    study = hpsearch.run(StudyDefinition.from_mapping(raw, tmp_path), storage=at("few"))
    assert on_fewer_rows(at("few"), "few") is not None
    assert study.best.about is not None


@pytest.mark.parametrize(
    ("source", "more"),
    [
        ("sklearn:wine", {"search": {"objective": "accuracy"}}),
        ("sklearn:wine", {"search": {"objective": "balanced_accuracy"}}),
        ("sklearn:diabetes", {"train": {"target_scaling": "log"}}),
        ("sklearn:diabetes", {"search": {"objective": "r2"}}),
    ],
)
def test_any_objective_is_extrapolated_towards_the_perfect_score(
    source: str, more: dict[str, Any], at: Callable[[str], str]
) -> None:
    raw: dict[str, Any] = {**LEARNS, "data": {"source": source}}
    for section, values in more.items():
        raw[section] = {**raw[section], **values}
    raw["search"] = {**raw["search"], "trials": 4}
    best = hpsearch.run(StudyDefinition.from_mapping(raw), storage=at("any")).best
    fixed, found = best.corrected, on_fewer_rows(at("any"))
    assert fixed is not None
    assert fixed.more_rows is not None
    assert fixed.bound is not None
    assert found is not None
    assert found.ensemble is not None
    assert best.final is not None
    sign = best.definition.metric.sign
    assert sign * (np.mean(found.ensemble.objective) - best.final.value) * sign * fixed.more_rows <= 0
    assert sign * fixed.value < sign * fixed.bound
    assert fixed.low < fixed.value < fixed.high


def test_one_candidate_of_the_finals_was_still_chosen_by_the_search(at: Callable[[str], str]) -> None:
    raw = {
        **LEARNS,
        "validation": {"n_splits": 3, "checkpoint": "last"},
        "search": {**LEARNS["search"], "finalists": 1},
    }
    best = hpsearch.run(StudyDefinition.from_mapping(raw), storage=at("one")).best
    assert best.choice == f"optimistic: a finalist among {best.complete} complete trials"
    assert best.corrected is not None


def test_a_score_of_more_networks_than_are_shipped_says_so(at: Callable[[str], str]) -> None:
    raw = {**LEARNS, "retrain": {"members": 2}, "search": {**LEARNS["search"], "trials": 3, "finalist_repeats": 3}}
    best = hpsearch.run(StudyDefinition.from_mapping(raw), storage=at("two")).best
    assert best.about == "3 networks averaged, of which 2 are shipped, trained on all rows"


@pytest.mark.parametrize(
    ("validation", "train", "data", "expected"),
    [
        ("stratified", {}, {}, True),
        pytest.param("stratified", {"loss": "binary_cross_entropy"}, {}, True, marks=pytest.mark.campaign),
        ("kfold", {}, {}, False),
        pytest.param("stratified", {"class_weight": "balanced"}, {}, False, marks=pytest.mark.campaign),
        pytest.param("stratified", {}, {"weight": "w"}, False, marks=pytest.mark.campaign),
        pytest.param("stratified-group", {}, {"group": "g"}, False, marks=pytest.mark.campaign),
    ],
)
def test_equal_shares_are_allowed_for_where_all_folds_have_them(
    validation: str,
    train: dict[str, Any],
    data: dict[str, Any],
    expected: bool,
    at: Callable[[str], str],
    tmp_path: Path,
) -> None:
    draw = np.random.default_rng(0)
    rows = [f"{x:.4f},{1 + row % 3},{row % 20},{'ab'[int(x > 0)]}\n" for row, x in enumerate(draw.normal(size=60))]
    Path("rows.csv").write_text("x,w,g,y\n" + "".join(rows))
    left_out = [name for name in "wg" if name not in data.values()]
    raw = {
        "study": {"name": "shares", "seed": 0},
        "data": {"source": "csv", "path": "rows.csv", "target": "y", "drop": left_out, **data},
        "validation": {"splitter": validation, "n_splits": 3},
        "train": {"epochs": 4, "evaluate_every": 2, "neurons": 2, **train},
        "space": {"learning_rate": {"float": [1e-3, 0.3], "log": True}},
        "search": {"trials": 3, "finalists": 1, "finalist_repeats": 2},
    }
    for objective in ("loss", "log_loss", "accuracy"):
        named = {**raw, "search": {**raw["search"], "objective": objective}}  # type: ignore[dict-item]
        study = hpsearch.run(StudyDefinition.from_mapping(named, tmp_path), storage=at(objective))
        assert study.best.corrected is not None
        assert (study.best.corrected.equal_shares > 0) == (expected and objective != "accuracy")
        assert study.best.corrected.equal_shares < 1 / 60


def test_half_of_what_the_search_s_corrected_score_is_above_the_finals_is_added(through: str) -> None:
    best, lowest = hpsearch.load_best("learns", through), hpsearch.load_best("learns", through, "lowest")
    assert best.final is not None
    assert best.corrected is not None
    assert lowest.corrected is not None
    with hpsearch.api.open_study("learns", through) as stored:
        files, evaluated_ = stored.final_row_results, finals(stored, learns())
        rows = [files.of(final).of_objective for final in evaluated_]
        seed = seeds.integer_seed(1, "resamples")
        plain = corrected(rows, files.layout(), learns().metric, seed, stored.attributes["n_splits"])
    single = best.final.final.intermediate[best.final.final.epochs.index(best.final.epoch)]
    above = max(0.0, lowest.corrected.value - single)
    assert best.corrected.of_splits == pytest.approx(plain.value + above / 2, rel=1e-9)


def test_without_finalists_nothing_of_them_is_there(at: Callable[[str], str], tmp_path: Path) -> None:
    definition = learns(finalists=0)
    assert not {"search.finalists", "search.finalist_repeats"} & definition.identity().keys()
    hpsearch.run(definition, storage=at("none"))
    with hpsearch.api.open_study("learns", at("none")) as stored:
        assert not [name for name in stored.attributes if "final" in name or "ensemble" in name]
    assert not [*tmp_path.rglob("finals")]
    assert hpsearch.load_finals("learns", at("none")).empty
    best = hpsearch.load_best("learns", at("none"))
    assert (best.rule, best.final, best.about) == ("lowest", None, "these networks, one a split")


def test_the_search_is_the_same_with_and_without_finals(through: str, at: Callable[[str], str]) -> None:
    hpsearch.run(learns(finalists=0), storage=at("none"))
    one, other = (hpsearch.load_trials("learns", s).drop(columns="seconds") for s in (through, at("none")))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_finals_are_part_of_what_makes_a_study_the_same() -> None:
    identities = [learns(finalists=3), learns(finalists=2), learns(finalist_repeats=3), learns(finalists=0)]
    assert len({json.dumps(definition.identity(), sort_keys=True) for definition in identities}) == 4
    assert learns(finalists=0).identity() == learns(finalists=0, finalist_repeats=7).identity()
    searched = {name: value for name, value in LEARNS.items() if name != "search"}
    assert StudyDefinition.from_mapping(searched).finalists == 3
    assert StudyDefinition.from_mapping({**searched, "space": {}}).finalists == 0


def test_a_finalist_that_diverges_is_recorded_and_not_chosen(at: Callable[[str], str]) -> None:
    """Fresh splits and seeds may find what the search's did not."""
    hpsearch.run(learns(), storage=at("a"))
    with hpsearch.api.open_study("learns", at("a")) as stored:
        first, *others = finals(stored, definition_of(stored))
        wild = prepare(StudyDefinition.from_mapping({**LEARNS, "train": WILD}))
        lost = evaluate(wild, TrialTask(first.number, {"learning_rate": 1e30, "neurons": 5}, final_epochs=8))
        assert (lost.state, lost.ensemble, lost.rows) == ("FAIL", None, None)
        stored.write_final(lost)
        best = hpsearch.load_best("learns", at("a"))
        assert best.result.number in {final.number for final in others}
        frame = hpsearch.load_finals("learns", at("a"))
        (reason,) = set(frame["reason"][frame["trial"] == first.number])
        assert "of repeat" in reason
        assert "became" in reason
        assert frame["ensemble"][frame["trial"] == first.number].isna().all()
        for final in others:
            stored.write_final(replace(lost, number=final.number))
    best = hpsearch.load_best("learns", at("a"))
    assert (best.rule, best.final) == ("lowest", None)


def test_a_trial_that_diverges_in_the_search_is_no_finalist(at: Callable[[str], str]) -> None:
    wild = {"learning_rate": {"choice": [0.05, 1e30]}}
    raw = {**LEARNS, "train": WILD, "space": wild}
    raw["search"] = {"trials": 2, "sampler": "grid", "finalists": 2, "finalist_repeats": 1}
    hpsearch.run(StudyDefinition.from_mapping(raw), storage=at("wild"))
    assert len(evaluated(at("wild"))) == 1


@pytest.mark.parametrize("splitter", ["timeseries", "predefined"])
def test_where_splits_cannot_be_dealt_anew_networks_are(splitter: str) -> None:
    raw = {**LEARNS, "validation": {"splitter": splitter}}
    rows = np.random.default_rng(0).permutation(178)
    column = {"timeseries": "times", "predefined": "folds"}[splitter]
    definition = StudyDefinition.from_mapping(raw)
    data = replace(definition.data.load(Path(), 0), **{column: rows.astype(float) if column == "times" else rows % 3})
    splits = fresh_splits(definition, data, "finals", 2)
    half = len(splits) // 2
    for one, other in zip(splits[:half], splits[half:], strict=True):
        assert np.array_equal(one.validation, other.validation)
    alone = cross_validate(data, splits, definition.train, 5, by_ensemble=True)
    assert alone.ensemble is not None
    first, second = (np.array(alone.curve.validation_loss)[:, part] for part in (slice(half), slice(half, None)))
    assert (first != second).all()


@pytest.mark.campaign
def test_when_the_time_is_up_the_finals_are_those_of_the_trials_told(at: Callable[[str], str]) -> None:
    told: list[int] = []

    def watch(progress: Progress) -> None:
        if not progress.finalists:
            told.append(len(progress.results))

    hpsearch.run(learns(trials=2000), storage=at("short"), timeout=4.0, watch=watch)
    trials = hpsearch.load_trials("learns", at("short"))
    assert 0 < told[-1] < 2000
    assert (trials["state"] != "RUNNING").sum() == told[-1]
    assert len(evaluated(at("short"))) == 3
    assert hpsearch.load_best("learns", at("short")).rule == "finals"


@pytest.mark.parametrize(("key", "value"), [("finalists", -1), ("finalists", 1000), ("finalist_repeats", 0)])
def test_numbers_out_of_range_are_refused(key: str, value: int) -> None:
    with pytest.raises(DefinitionError, match=rf"\[search\] {key} must be"):
        learns(**{key: value})


@pytest.mark.parametrize("objective", ["loss", "macro_f1"])
def test_rows_of_a_rare_class_are_dealt_anew_until_every_split_can_be_used(objective: str) -> None:
    """Of three rows in three folds, each fold must have one, or not all of them: hardly any dealing does at once."""
    draw = np.random.default_rng(1)
    rare = draw.permutation(60) < 3
    data = Dataset.of(draw.standard_normal((60, 3)), np.where(rare, 1, 0))
    definition = learns(objective=objective, finalist_repeats=40)
    splits = fresh_splits(definition, data, "finals", 40)
    assert len(splits) == 120
    for split in splits:
        assert data.labels[split.training].any()
        assert objective == "loss" or data.labels[split.validation].any()
    assert len({split.validation.tobytes() for split in splits}) == 120


def test_fresh_splits_that_no_dealing_gives_are_refused_before_anything_runs() -> None:
    """Two rows of a class cannot stand in all of three folds."""
    draw = np.random.default_rng(1)
    data = Dataset.of(draw.standard_normal((60, 3)), np.where(np.arange(60) < 2, 1, 0))
    with pytest.raises(DataError, match=r"must be defined on the validation rows|must hold every class"):
        fresh_splits(learns(objective="macro_f1"), data, "finals", 1)


def test_the_command_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hpsearch: Callable[..., Any]) -> None:
    """A line each while they run, a table afterwards, and JSON that says the same."""
    text = tomlkit.dumps(LEARNS)
    Path("learns.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("HPSEARCH_WORKERS", "1")
    done = hpsearch("run", "learns.toml")
    assert done.status == 0
    assert "comparing the best 3 again, on fresh splits" in done.err
    assert [line.split()[0] for line in done.err.splitlines() if line.endswith("as an ensemble")] == [
        "1/3",
        "2/3",
        "3/3",
    ]
    frame = table("sqlite:///hpsearch.db")
    rows = json.loads(hpsearch("finals", "learns", "--json").out)
    assert [(row["trial"], row["repeat"], row["ensemble"]) for row in rows] == [
        *zip(frame["trial"], frame["repeat"], frame["ensemble"], strict=True)
    ]
    best = json.loads(hpsearch("best", "learns", "--json").out)
    assert best["final"] == {"value": frame["ensemble"].min(), "of_ensemble": True}
    assert hpsearch("finals", "learns").out.count("\n") >= 7
    again = hpsearch("run", "learns.toml")
    assert "comparing" not in again.err
