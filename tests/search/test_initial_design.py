"""Where a search begins: the portfolio, and what was best in earlier studies."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_coordinator import assert_same, at, tables
from test_search_options import with_search

import hpsearch
from hpsearch.definition.initial_design import INITIAL_DESIGNS, Portfolio
from hpsearch.definition.space import Space
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DefinitionError, HpsearchError, StudyChangedError
from hpsearch.validation.config import Config

SPACE: dict[str, Any] = {
    "hidden_layers": {"int": [0, 2]},
    "neurons": {"int": [4, 32], "log": True},
    "learning_rate": {"float": [1e-3, 1e-1], "log": True},
    "weight_l2": {"float": [1e-6, 1e-1], "log": True},
    "scaling": {"choice": ["standard", "power"]},
}


def portfolio(space: dict[str, Any], train: Config | None = None, **options: Any) -> list[dict[str, Any]]:
    found = Portfolio(name="portfolio", **options).configurations(Space.model_validate(space), train or Config())
    return [dict(chosen) for chosen in found]


# ---------------------------------------------------------------- the portfolio


def test_every_depth_of_the_portfolio_has_its_turn() -> None:
    found = portfolio(SPACE, size=15)
    assert len(found) == 15
    for three in range(0, 15, 3):
        assert {chosen["hidden_layers"] for chosen in found[three : three + 3]} == {0, 1, 2}
    assert all(("neurons" in chosen) == (chosen["hidden_layers"] > 0) for chosen in found)
    assert portfolio(SPACE, size=4) == found[:4]
    assert portfolio(SPACE) == found


ranges = st.sampled_from(
    [
        {},
        {"hidden_layers": {"int": [1, 3]}},
        {"hidden_layers": {"choice": [0, 1]}},
        {"neurons": {"choice": [4, 8]}},
        {"neurons": {"int": [2, 10], "step": 4}},
        {"learning_rate": {"float": [0.1, 0.5], "step": 0.1}},
        {"learning_rate": {"float": [1e-4, 1.0], "log": True}},
        {"weight_l2": {"float": [0.0, 0.1]}},
        {"scaling": {"choice": ["standard", "minmax"]}},
        {"dropout": {"float": [0.0, 0.5]}},
    ]
)


@given(st.sets(st.sampled_from(sorted(SPACE)), min_size=1), ranges, st.integers(0, 3))
def test_whatever_is_searched_the_portfolio_can_be_chosen_and_is_all_different(
    names: set[str], other: dict[str, Any], depth: int
) -> None:
    raw, train = {name: SPACE[name] for name in sorted(names)} | other, Config(hidden_layers=depth)
    space, found = Space.model_validate(raw), portfolio(raw, train)
    for place, chosen in enumerate(found):
        space.check_chosen(chosen)
        assert chosen not in found[:place]
        assert chosen.get("hidden_layers", depth) in (0, 1, 2)
    if "hidden_layers" not in space.dimensions and depth == 3:
        assert not found


@pytest.mark.campaign  # all of its trials are trained
def test_the_portfolio_is_run_first_and_the_rest_is_proposed(small: Path) -> None:
    space = "neurons = { int = [4, 9] }\nlearning_rate = { float = [1e-3, 1.0], log = true }"
    search = 'trials = 6\ninitial_design = { name = "portfolio", size = 4 }\nenqueue = [{ neurons = 5 }]'
    with_search(small, search, f"hidden_layers = {{ int = [1, 2] }}\n{space}")
    definition = StudyDefinition.from_file(small)
    trials = hpsearch.run(small, storage=at(small.parent, "one")).trials
    assert trials["neurons"][0] == 5
    wanted = portfolio(definition.raw["space"], size=4)
    assert len(wanted) == 4
    for number, chosen in enumerate(wanted, start=1):
        for name, value in chosen.items():
            assert trials[name][number] == value
    hpsearch.run(small, trials=2, storage=at(small.parent, "two"))
    hpsearch.run(small, workers=2, storage=at(small.parent, "two"))
    assert_same(tables(at(small.parent, "one")), tables(at(small.parent, "two")))


def test_a_grid_has_no_initial_design(small: Path) -> None:
    with_search(small, 'sampler = "grid"\ninitial_design = "portfolio"', "neurons = { int = [4, 9] }")
    with pytest.raises(DefinitionError, match=r"\[search\] initial_design must be .* every configuration once"):
        StudyDefinition.from_file(small)


def test_an_initial_design_is_part_of_a_study_and_the_sampler_s_own_is_what_always_was(small: Path) -> None:
    plain = StudyDefinition.from_file(small).identity()
    assert not any("initial_design" in key for key in plain)
    assert StudyDefinition.from_file(small, ['search.initial_design="sampler"']).identity() == plain
    others = [
        StudyDefinition.from_file(small, [f'search.initial_design="{name}"']).identity()
        for name in sorted(set(INITIAL_DESIGNS) - {"sampler"})
    ]
    assert all(other != plain for other in others)


# ---------------------------------------------------------------- earlier studies


@pytest.fixture
def earlier(small: Path) -> tuple[Path, str]:
    """The small study run in a storage, and the same of another seed that is not run yet."""
    url = at(small.parent, "all")
    hpsearch.run(small, trials=5, storage=url)
    return small, url


def other(small: Path, *overrides: str) -> StudyDefinition:
    return StudyDefinition.from_file(small, ["study.name=other", "study.seed=8", *overrides])


def test_a_study_begins_with_what_was_best_in_another(earlier: tuple[Path, str]) -> None:
    small, url = earlier
    before = hpsearch.load_trials(StudyDefinition.from_file(small).name, url)
    study = hpsearch.run(other(small), trials=4, storage=url, from_study=small)
    first = study.trials
    best = before.loc[before["value"].idxmin()]
    assert first["learning_rate"][0] == best["learning_rate"]
    complete = set(before["learning_rate"][before["state"] == "COMPLETE"])
    assert set(first["learning_rate"][: min(len(complete), 4)]) <= complete
    again = hpsearch.run(
        other(small), trials=4, storage=url, from_study=url, fresh="again"
    )  # of a storage with two studies
    assert again.trials["learning_rate"][0] in set(before["learning_rate"]) | set(first["learning_rate"])


def test_it_goes_on_as_it_began_whatever_became_of_the_other(earlier: tuple[Path, str]) -> None:
    small, url = earlier
    name = StudyDefinition.from_file(small).name
    hpsearch.run(other(small), trials=6, storage=url, from_study=name, fresh="straight")
    hpsearch.run(other(small), trials=3, storage=url, from_study=name)
    hpsearch.delete_study(name, url)
    hpsearch.run(other(small), trials=6, storage=url, from_study=name)
    assert_same(tables(url, "straight"), tables(url, "other"))
    with pytest.raises(StudyChangedError, match=r"search.enqueue was .* and is .*from_study"):
        hpsearch.run(other(small), trials=6, storage=url)


@pytest.mark.parametrize(
    ("overrides", "source", "message"),
    [
        (["space.weight_l2.choice=[0.0, 0.1]"], None, "must search .*weight_l2.* but searches"),
        ([], "no such", "There is no study 'no such'"),
        (
            [],
            "sqlite:///none.db",
            r"There is no storage sqlite:///none.db. Name a study, or the URL of another storage: from_study",
        ),
        (["space.weight_l2.choice=[0.0, 0.1]"], "its storage", "must have a study that searches .*weight_l2"),
    ],
)
def test_no_earlier_study_is_refused_and_nothing_is_stored(
    earlier: tuple[Path, str], overrides: list[str], source: str | None, message: str
) -> None:
    small, url = earlier
    given = {None: StudyDefinition.from_file(small).name, "its storage": url}.get(source, source)
    with pytest.raises(HpsearchError, match=message) as refused:
        hpsearch.run(other(small, *overrides), storage=url, from_study=given)
    assert "\n" not in str(refused.value)
    assert "other" not in set(hpsearch.load_studies(url)["study"])


def test_earlier_studies_that_bring_nothing_new_are_refused(earlier: tuple[Path, str]) -> None:
    small, url = earlier
    known = hpsearch.run(other(small), trials=1, storage=url, from_study=small, fresh="one")
    with hpsearch.api.open_study(known.name, url) as stored:
        first = stored.attributes["definition"]["search"]["enqueue"]
    again = other(small).with_enqueue(first)
    with pytest.raises(HpsearchError, match="must bring a configuration that the study does not begin with anyhow"):
        hpsearch.run(again, trials=1, storage=url, from_study=small, fresh="two")


def test_a_study_that_began_alone_does_not_get_earlier_ones_later(earlier: tuple[Path, str]) -> None:
    small, url = earlier
    hpsearch.run(other(small), trials=1, storage=url)
    with pytest.raises(HpsearchError, match="must be continued as it was begun, but it did not begin with earlier"):
        hpsearch.run(other(small), trials=2, storage=url, from_study=small)


def test_values_that_the_new_space_does_not_have_are_proposed(earlier: tuple[Path, str]) -> None:
    small, url = earlier
    narrow = other(small, "space.learning_rate.float=[0.9, 1.0]")
    study = hpsearch.run(narrow, trials=3, storage=url, from_study=small)
    assert study.trials["learning_rate"].between(0.9, 1.0).all()
    assert all(math.isfinite(value) for value in study.trials["learning_rate"])
