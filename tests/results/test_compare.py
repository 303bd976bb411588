"""Two studies, trials or models on the same rows: the luck of a choice is no difference, and a real one is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from conftest import Outcome
from scipy.stats import studentized_range

import hpsearch
from hpsearch.errors import DataError, HpsearchError, UnknownStudyError
from hpsearch.results.verdict import factor_of_any_pair
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.validation.estimates import student
from hpsearch.validation.layout import Layout
from hpsearch.validation.metrics import METRICS
from hpsearch.validation.selection import chosen_again

STUDY = """
[study]
name = "{name}"
seed = {seed}

[data]
source = "csv"
path = "rows.csv"
target = "kind"

[validation]
n_splits = 3

[train]
epochs = 12
evaluate_every = 4
batch_size = 16
learning_rate = 0.02

[space]
neurons = {{ int = [2, 12] }}

[search]
pruner = "none"
finalist_repeats = 2
{more}
"""
STUDIES = {
    "few": (1, "trials = 2\nfinalists = 2"),
    "more": (2, "trials = 6\nfinalists = 2"),
    "alone": (3, "trials = 2\nfinalists = 0\n[retrain]\nmembers = 1"),
    # What learns, and what does not; of one candidate each.
    "learnt": (4, 'trials = 1\nfinalists = 1\nenqueue = [{ neurons = 8 }]\n[validation]\ncheckpoint = "last"'),
    "idle": (5, "trials = 1\nfinalists = 1\nenqueue = [{ neurons = 8 }]\n[train]\nlearning_rate = 1e-6"),
    "held": (6, "trials = 2\nfinalists = 2\n[holdout]\nfraction = 0.25"),
    "held-again": (6, "trials = 2\nfinalists = 2\n[space]\nweight_l2 = [1e-4, 1e-3]\n[holdout]\nfraction = 0.25"),
}


def definition(name: str, folder: Path) -> hpsearch.StudyDefinition:
    import tomlkit

    seed, more = STUDIES[name]
    raw = tomlkit.parse(STUDY.format(name=name, seed=seed, more="")).unwrap()
    for section, keys in tomlkit.parse(f"[search]\n{more}").unwrap().items():
        raw.setdefault(section, {}).update(keys)
    if name == "idle":
        raw["validation"]["checkpoint"] = "last"
    if name == "held-again":
        raw["space"]["weight_l2"] = {"float": [1e-4, 1e-3]}
    return hpsearch.StudyDefinition.from_mapping(raw, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of two classes, and the studies."""
    place, draw = tmp_path_factory.mktemp("compared"), np.random.default_rng(0)
    features = draw.standard_normal((90, 3))
    kind = np.where(features[:, 0] + 0.5 * draw.standard_normal(90) > 0, "yes", "no")
    pd.DataFrame(features, columns=["a", "b", "c"]).assign(kind=kind).to_csv(place / "rows.csv", index=False)
    for name in STUDIES:
        hpsearch.run(definition(name, place), storage=f"sqlite:///{place}/hpsearch.db")
    return place


@pytest.fixture
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("HPSEARCH_STORAGE", raising=False)
    return folder


PAIRS = [("few", "more"), ("few", "alone"), ("more:1", "more:4"), ("few:0", "more:2")]
PLAIN = [(PAIRS[0], None), (PAIRS[2], "accuracy"), (PAIRS[1], "roc_auc")]
ALL = [(pair, metric) for pair in PAIRS for metric in (None, "accuracy", "roc_auc")]


@pytest.mark.parametrize(
    ("pair", "metric"),
    [*PLAIN, *(pytest.param(*one, marks=pytest.mark.campaign) for one in ALL if one not in PLAIN)],
)
def test_the_other_way_round_it_is_the_same_the_other_way_round(
    pair: tuple[str, str], metric: str | None, there: Path
) -> None:
    found, turned = hpsearch.compare(*pair, metric=metric), hpsearch.compare(*pair[::-1], metric=metric)
    assert found.rows == found.units == 90
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.difference < found.high
    assert turned.difference == pytest.approx(-found.difference)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert (found.first, found.second) == (turned.second, turned.first)


def test_without_a_choice_it_is_the_mean_difference_of_the_rows_and_its_error_that_of_rows_and_networks(
    there: Path,
) -> None:
    found = hpsearch.compare("learnt", "idle")
    losses, luck = [], 0.0
    for name in ("learnt", "idle"):
        with StoredStudy.open("sqlite:///hpsearch.db", name) as stored:
            final = stored.finals()[0]
            losses.append(stored.final_row_results.of(final).losses[-1].astype(np.float64))
            means = pd.DataFrame(final.folds).groupby("repeat")["validation_loss"].mean()
            luck += means.var(ddof=1) / len(means)
    rows = losses[0] - losses[1]
    assert found.difference == pytest.approx(rows.mean(), rel=1e-5)
    variance = (2 - 1 / 3) * rows.var(ddof=1) / len(rows) + luck
    assert found.high is not None
    half = student(0.95, len(rows) - 1) * np.sqrt(variance)
    assert found.high - found.difference == pytest.approx(half, rel=0.15)  # of 500 resamples: 3 % and what is left
    assert found.verdict == "better"
    assert found.sentence.startswith("learnt is better than idle by ")


def test_of_candidates_that_are_all_alike_the_most_are_not_the_best() -> None:
    """Two studies of noise: one chose among 40 candidates, one among 2. Without the luck of it they are alike."""
    metric, rows = METRICS["mae"], np.arange(80)
    layout = Layout(rows, np.zeros_like(rows), np.zeros(80), rows)
    naive, fair = [], []
    for seed in range(30):
        draw = np.random.default_rng(seed)
        common = draw.gamma(2, size=80)
        sides = []
        for count in (40, 2):
            values = common + 0.5 * draw.standard_normal((count, 1, 80))
            again = chosen_again(((one, one) for one in values), layout, metric, metric, 0)
            sides.append((values.mean(axis=2).min(), again))
        naive.append(sides[0][0] - sides[1][0])
        fair.append(sides[0][1].minus(sides[1][1]).value)
    naive_error, error = (np.std(of, ddof=1) / np.sqrt(len(of)) for of in (naive, fair))
    assert abs(np.mean(fair)) < 4 * error
    assert np.mean(naive) < -4 * naive_error


@pytest.mark.parametrize("count", [2, 6, 30])
def test_the_factor_of_any_pair_is_that_of_the_studentised_range(count: int) -> None:
    scores = np.random.default_rng(count).standard_normal((20_000, count))
    expected = studentized_range.ppf(0.95, count, np.inf) / np.sqrt(2)
    assert factor_of_any_pair(scores) == pytest.approx(expected, rel=0.03)
    assert factor_of_any_pair(np.repeat(scores[:500], 2, axis=1)) == factor_of_any_pair(scores[:500])


def test_an_interval_of_two_trials_allows_for_their_having_been_picked(there: Path) -> None:
    found = hpsearch.compare("more:1", "more:4")
    assert found.notes[1:] == ("The interval allows for their having been picked among 6 trials.",)
    alone, more = hpsearch.compare("few:0", "few:1"), hpsearch.compare("few:0", "more:1")
    assert alone.notes != more.notes


def test_a_model_is_judged_by_the_study_that_it_came_from(there: Path) -> None:
    model = hpsearch.StudyResult("few", "sqlite:///hpsearch.db").retrain()
    model.save(there / "few-model", force=True)
    found, studies = hpsearch.compare("more", "few-model"), hpsearch.compare("more", "few")
    assert (found.difference, found.low, found.high) == (studies.difference, studies.low, studies.high)
    assert found.second.name == "few-model"
    in_memory = hpsearch.compare("more", model)
    assert replace(in_memory, second=found.second, notes=found.notes) == found
    assert in_memory.second.name == "few-best"
    html = found._repr_html_()
    assert found.sentence in unescape(html)
    ElementTree.fromstring(f"<div>{html}</div>")
    with pytest.raises(HpsearchError, match="'few-model' is what 'few' ships"):
        hpsearch.compare("few", "few-model")
    with pytest.raises(DataError, match="must have trained on the rows"):
        hpsearch.compare("held", "few-model")


def test_a_model_and_a_study_with_one_hold_out_are_compared_on_it(there: Path) -> None:
    study = hpsearch.StudyResult("held-again", "sqlite:///hpsearch.db")
    model = study.retrain()
    with pytest.raises(HpsearchError, match="is what 'held-again' ships"):
        hpsearch.compare("held-again", model)
    assert study.best.scorings == 1  # that opens nothing
    model = replace(model, about={**model.about, "as_exported": False})  # as if the study no longer shipped it
    model.save(there / "held-model", force=True)
    found = hpsearch.compare("held-again", there / "held-model")  # what it ships, once more
    assert found.on == "hold-out"
    assert (found.rows, found.difference, found.verdict) == (23, 0.0, "alike")
    assert found.notes == ("The hold-out was scored 2 times: it is no longer untouched.",)
    assert study.best.scorings == 2
    assert found.second.value == pytest.approx(model.about["holdout"]["loss"])
    turned = hpsearch.compare("./held-model", "held-again")
    assert turned.first.name == "./held-model"
    assert turned.notes == ("The hold-out was scored 3 times: it is no longer untouched.",)


def test_that_the_difference_is_not_of_the_scores_is_said_where_something_was_chosen(there: Path) -> None:
    chosen, single = hpsearch.compare("few", "more"), hpsearch.compare("learnt", "idle")
    assert chosen.difference != pytest.approx(chosen.first.value - chosen.second.value)
    assert any(note.endswith("is corrected for that.") for note in chosen.notes)
    assert single.notes == ()


def test_networks_of_more_rows_are_extrapolated_like_those_of_fewer(there: Path) -> None:
    raw = {**definition("few", there).raw, "study": {"name": "fives", "seed": 9}, "validation": {"n_splits": 6}}
    hpsearch.run(hpsearch.StudyDefinition.from_mapping(raw, there))
    note = "Their networks trained on 60 and 75 rows a split: both are extrapolated to all rows."
    assert hpsearch.compare("few", "fives").notes[0] == note
    other, _ = hpsearch.compare("few", "fives", metric="accuracy").notes
    assert other == "Their networks trained on 60 and 75 rows a split, which favours those that had more."


@pytest.mark.parametrize(
    ("first", "second", "kind", "said"),
    [
        ("few", "few", HpsearchError, "Two must be given to be compared"),
        ("few:1", "few:1", HpsearchError, "Two must be given"),
        ("few", "few:1", HpsearchError, "Both must be studies, or both trials"),
        (
            "few",
            "held",
            DataError,
            "search on other rows and hold out other rows: study.seed is 1 and 6, holdout.fraction",
        ),
        ("few:1", "few:9", HpsearchError, "there is no trial 9"),
        ("few", "absent", UnknownStudyError, "absent"),
    ],
)
def test_what_cannot_be_compared_is_refused(first: str, second: str, kind: type, said: str, there: Path) -> None:
    with pytest.raises(kind, match=said):
        hpsearch.compare(first, second)


def test_what_scores_the_same_is_neither_better_nor_worse(there: Path) -> None:
    found = replace(hpsearch.compare("few", "more"), difference=0.0, low=-0.1, high=0.2, verdict="alike")
    assert found.sentence == "The 90 rows cannot tell few and more apart: few is as good, 95 % interval -0.2 to 0.1."
    unsure = replace(found, low=None, high=None, verdict=None)
    assert unsure.sentence == "few is as good as more; how sure that is cannot be told."


def test_a_name_of_two_things_is_not_guessed(there: Path) -> None:
    (there / "more").mkdir()
    try:
        with pytest.raises(HpsearchError, match="is a study and a folder"):
            hpsearch.compare("few", "more")
    finally:
        (there / "more").rmdir()


def test_the_command_says_the_verdict_and_json_has_it(there: Path, hpsearch: Callable[..., Outcome]) -> None:
    done = hpsearch("compare", "learnt", "idle")
    assert done.status == 0
    assert "\nlearnt is better than idle by " in done.out
    plain = json.loads(hpsearch("compare", "learnt", "idle", "--json").out)
    assert plain["verdict"] == "better"
    assert plain["sentence"] in done.out
    refused = hpsearch("compare", "learnt", "idle", "--metric", "rmse")
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert refused.err.startswith("hpsearch: --metric must be a metric of classification")
