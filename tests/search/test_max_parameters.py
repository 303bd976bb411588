"""``[search] max_parameters``: no network over it is trained, whoever proposes it; depths are proposed as before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_coordinator import assert_same, at, tables
from test_search_options import with_search

import hpsearch
from hpsearch.definition.network_sizes import NetworkSizes
from hpsearch.definition.samplers import SAMPLERS
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, DefinitionError
from hpsearch.search.objective import prepare
from hpsearch.search.proposer import Proposer
from hpsearch.search.time_needed import _spread
from hpsearch.storage.stored_study import Proposal
from hpsearch.storage.trial_result import TrialResult
from hpsearch.validation.lanes import architecture_of

AVAILABLE = [name for name in SAMPLERS if name != "gp"]  # which proposes slowly, and is in the campaign


def definition(space: Mapping[str, Any], train: Mapping[str, Any] = {}, **search: Any) -> StudyDefinition:
    return StudyDefinition.from_mapping(
        {
            "study": {"name": "budget", "seed": 5},
            "data": {"source": "nnfs:spiral"},
            "train": dict(train),
            "space": dict(space),
            "search": {"trials": 40, **search},
        }
    )


def parameters(of: StudyDefinition, chosen: Mapping[str, Any], inputs: int, classes: int) -> int:
    """As training has it."""
    return architecture_of(of.config(chosen), inputs, classes).network.size


def result(number: int, chosen: Mapping[str, Any]) -> TrialResult:
    """Of a made-up objective that likes wide networks, but not all of them; some trials are pruned, some fail."""
    state = ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE", "COMPLETE", "FAIL"][number % 6]
    wide = sum(value for name, value in chosen.items() if name.endswith("neurons"))
    value = abs(math.log(1 + wide) - 3) + 0.1 * chosen.get("hidden_layers", 1)
    epochs = [] if state == "FAIL" else [10, 20]
    means = [value + 1, value][: len(epochs)]
    return TrialResult(number, state, value if state == "COMPLETE" else None, 1, 0.0, epochs=epochs, intermediate=means)


def proposals(of: StudyDefinition, sizes: NetworkSizes, count: int, known: int = 0) -> list[Proposal]:
    """The first proposals, the first ``known`` of which were proposed by another process."""
    found: list[Proposal] = [] if not known else proposals(of, sizes, known)
    results = [result(proposal.number, proposal.chosen) for proposal in found]
    proposer = Proposer(of, sizes)
    for proposal in found:
        proposer.add(proposal, results)
    while len(found) < count:
        found.append(proposer.propose(results))
        results.append(result(found[-1].number, found[-1].chosen))
    return found


widths = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(0, 200), st.booleans()).map(
        lambda of: {"int": [of[0], of[0] + of[1]], "log": of[2]}
    ),
    st.tuples(st.integers(1, 20), st.integers(1, 9), st.integers(0, 9)).map(
        lambda of: {"int": [of[0], of[0] + of[1] * of[2]], "step": of[1]}
    ),
    st.lists(st.integers(1, 150), min_size=1, max_size=5, unique=True).map(lambda of: {"choice": of}),
)
depths = st.one_of(
    st.none(),
    st.tuples(st.integers(0, 2), st.integers(0, 3)).map(lambda of: {"int": [of[0], of[0] + of[1]]}),
    st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True).map(lambda of: {"choice": of}),
)


@st.composite
def spaces(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A space of widths and depths, and what it overrides."""
    space: dict[str, Any] = {"learning_rate": {"choice": [0.01, 0.1, 1.0]}}
    train: dict[str, Any] = {"neurons": draw(st.integers(1, 64))}
    if (depth := draw(depths)) is None:
        train["hidden_layers"] = deepest = draw(st.integers(1, 3))
    else:
        space["hidden_layers"] = depth
        deepest = max(depth.get("choice") or depth["int"])
    if not deepest:
        return space, train
    own = [layer for layer in range(1, deepest + 1) if draw(st.booleans())]
    space |= {f"layer{layer}": {"neurons": draw(widths)} for layer in own}
    if len(own) < deepest and draw(st.booleans()):
        space["neurons"] = draw(widths)
    return space, train


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[dict[str, Any], dict[str, Any]], str, float, int, int]:
    """A space, a sampler, how tight the limit is, inputs and classes."""
    sampler, tight = draw(st.sampled_from(AVAILABLE)), draw(st.floats(0, 1))
    return draw(spaces()), sampler, tight, draw(st.integers(1, 60)), draw(st.integers(0, 4))


BOTTLENECK = ({"hidden_layers": {"int": [0, 3]}, "neurons": {"int": [2, 64]}}, {}), "tpe", 0.0, 50, 10
ONE_NUMBER = (
    ({"learning_rate": {"choice": [0.01, 0.1, 1.0]}, "layer1": {"neurons": {"int": [1, 2]}}}, {"hidden_layers": 1}),
    "cmaes",
    0.0,
    1,
    0,
)


@settings(max_examples=5, deadline=None)
@given(cases())
@example(BOTTLENECK)
@example(ONE_NUMBER)
def test_whatever_is_searched_by_whatever_sampler_nothing_is_too_large(case: Any) -> None:
    require_small_enough(*case)


@pytest.mark.campaign
@settings(max_examples=60, deadline=None)
@given(cases())
def test_of_many_spaces_nothing_is_too_large(case: Any) -> None:
    require_small_enough(*case)


def require_small_enough(
    given_space: tuple[dict[str, Any], dict[str, Any]], sampler: str, tight: float, inputs: int, classes: int
) -> None:
    """A depth of 0 may have more parameters than one with a narrow layer: depths are not always shallow to deep."""
    classes = 0 if classes < 2 else classes
    of = definition(*given_space, sampler=sampler if sampler != "grid" else "random")
    if sampler == "grid" and all(dimension.all() is not None for dimension in of.space.dimensions.values()):
        of = definition(*given_space, sampler="grid")
    anything = NetworkSizes(of.space, of.train, inputs, max(classes, 1))
    largest = max(anything.of(chosen) for chosen in [p.chosen for p in proposals(of, anything, min(12, of.limit))])
    most = round(anything.smallest + tight * (largest - anything.smallest))
    sizes = NetworkSizes(of.space, of.train, inputs, max(classes, 1), most)
    train_as = of if classes else StudyDefinition.from_mapping({**of.raw, "data": {"source": "nnfs:sine"}})
    count = min(14, of.limit_of(sizes))
    found = proposals(of, sizes, count)
    for proposal in found:
        assert parameters(train_as, proposal.chosen, inputs, classes) == sizes.of(proposal.chosen) <= most
        of.space.check_chosen(proposal.chosen)
        assert set(proposal.chosen) == set(proposal.distributions)
        expected = [name for name in of.space.names if of.space.exists(name, proposal.chosen, of.train)]
        assert list(proposal.chosen) == expected
    for known in (count // 2, count):
        again = proposals(of, sizes, count, known)
        assert [p.chosen for p in again] == [p.chosen for p in found], "as if it had never been stopped"


@pytest.mark.parametrize("sampler", AVAILABLE)
def test_the_sampler_is_told_what_was_trained(sampler: str) -> None:
    of = definition({"hidden_layers": {"int": [1, 3]}, "neurons": {"int": [4, 256]}}, sampler=sampler)
    sizes = NetworkSizes(of.space, of.train, 10, 3, 600)
    proposer, results, found = Proposer(of, sizes), [], []
    for number in range(30):
        found.append(proposer.propose(results))
        results.append(result(number, found[-1].chosen))
    assert [trial.params for trial in proposer._study.trials] == [proposal.chosen for proposal in found]


@given(st.sampled_from(["random", "qmc"]), st.integers(0, 100), st.integers(100, 3000))
@settings(max_examples=6, deadline=None)
def test_depths_are_proposed_as_often_as_without_a_limit(sampler: str, seed: int, most: int) -> None:
    """Of samplers that learn nothing, trial by trial; and what fits is left as it is."""
    space = {"hidden_layers": {"int": [0, 3]}, "neurons": {"int": [4, 256], "log": True}}
    of = definition(space | {"learning_rate": {"float": [0.01, 0.1]}}, sampler=sampler)
    of = of.with_overrides([f"study.seed={seed}"])
    free, limited = (NetworkSizes(of.space, of.train, 8, 3, m) for m in (None, most))
    for before, after in zip(proposals(of, free, 15), proposals(of, limited, 15), strict=True):
        assert before.chosen["hidden_layers"] == after.chosen["hidden_layers"]
        assert before.chosen["learning_rate"] == after.chosen["learning_rate"]
        if free.of(before.chosen) <= most:
            assert before.chosen == after.chosen


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=4), st.integers(1, 40), st.integers(1, 5), st.floats(0, 1))
def test_widths_shrink_by_one_factor_and_no_more_than_they_must(
    wide: list[int], inputs: int, outputs: int, share: float
) -> None:
    of = definition(
        {f"layer{n}": {"neurons": {"int": [1, 300]}} for n in range(1, len(wide) + 1)}, {"hidden_layers": len(wide)}
    )
    chosen = {f"layer{n}.neurons": width for n, width in enumerate(wide, start=1)}
    free = NetworkSizes(of.space, of.train, inputs, outputs)
    most = max(free.smallest, round(share * free.of(chosen)))
    narrow = NetworkSizes(of.space, of.train, inputs, outputs, most).narrowed(chosen)
    # By brute force: of all factors at which some width changes, the largest that fits.
    factors = sorted({part / width for width in wide for part in range(1, width + 1)} | {0.0}, reverse=True)
    tried = ({name: max(1, math.floor(f * w + 1e-9)) for name, w in chosen.items()} for f in factors)
    assert narrow == next(one for one in tried if free.of(one) <= most)


def test_a_grid_leaves_out_what_is_too_large(small: Path) -> None:
    space = "hidden_layers = { int = [1, 2] }\nneurons = { choice = [2, 8, 32] }"
    with_search(small, 'trials = 99\nsampler = "grid"\npruner = "none"\nmax_parameters = 150', space)
    prepared = prepare(StudyDefinition.from_file(small))
    assert (prepared.limit, prepared.facts()["trials"]) == (4, 4)
    found = proposals(prepared.definition, prepared.sizes, 4)
    sizes = [prepared.sizes.of(proposal.chosen) for proposal in found]
    assert sorted(sizes) == [(2 + 1) * 2 + (2 + 1) * 3, 6 + 6 + 9, 24 + 27, 24 + 72 + 27]


LIMITED = """trials = 10
in_flight = 3
sampler = { name = "tpe", n_startup_trials = 4 }
pruner = { name = "median", n_startup_trials = 2 }
initial_design = { name = "portfolio", size = 2 }
finalists = 2
finalist_repeats = 2
max_parameters = 40
enqueue = [{ hidden_layers = 2, neurons = 16 }]"""
SPACE = "hidden_layers = { int = [0, 4] }\nneurons = { int = [2, 16] }\nlearning_rate = { float = [0.01, 0.1] }"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a limit, run straight through, in its storage ``one``: to be read only."""
    from conftest import SMALL

    path = tmp_path_factory.mktemp("limited") / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    hpsearch.run(with_search(path, LIMITED, SPACE), storage=at(path.parent, "one"))
    return path


def test_trials_finals_and_what_they_begin_with_are_small_enough(limited: Path) -> None:
    """(2 + 1)·n + (n + 1)·3 parameters with one layer; with four layers of 2 neurons there are 6 + 3·6 + 9 = 33."""
    trials = hpsearch.load_trials("small", at(limited.parent, "one"))
    assert trials["parameters"].max() <= 40
    assert trials.loc[0, ["hidden_layers", "neurons", "parameters"]].tolist() == [2, 3, 9 + 12 + 12]
    assert trials["hidden_layers"].nunique() >= 3
    with hpsearch.api.open_study("small", at(limited.parent, "one")) as stored:
        assert {final.state for final in stored.finals().values()} == {"COMPLETE"}
        assert all(final.parameters <= 40 for final in stored.finals().values())
    assert hpsearch.load_best("small", at(limited.parent, "one")).result.parameters <= 40


@pytest.mark.campaign
@pytest.mark.parametrize("told", [1, 6])
def test_a_stop_changes_nothing(limited: Path, told: int) -> None:
    other = at(limited.parent, f"stopped-{told}")
    hpsearch.run(limited, trials=told, storage=other)
    hpsearch.run(limited, storage=other)
    assert_same(tables(at(limited.parent, "one")), tables(other))


@pytest.mark.campaign
def test_two_workers_change_nothing(limited: Path) -> None:
    hpsearch.run(limited, workers=2, storage=at(limited.parent, "two"))
    assert_same(tables(at(limited.parent, "one")), tables(at(limited.parent, "two")))


@pytest.mark.campaign
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_with_every_sampler_a_stop_and_two_workers_change_nothing(small: Path, sampler: str) -> None:
    if sampler == "gp":
        pytest.importorskip("torch")
    space = (
        "hidden_layers = { int = [0, 3] }\nneurons = { choice = [2, 4, 16, 64] }\nactivation = { choice = ['tanh'] }"
    )
    with_search(small, f'trials = 14\nin_flight = 3\nsampler = "{sampler}"\nmax_parameters = 60\nfinalists = 2', space)
    hpsearch.run(small, storage=at(small.parent, "one"))
    hpsearch.run(small, trials=5, storage=at(small.parent, "two"))
    hpsearch.run(small, workers=2, storage=at(small.parent, "two"))
    assert_same(tables(at(small.parent, "one")), tables(at(small.parent, "two")))
    assert hpsearch.load_trials("small", at(small.parent, "one"))["parameters"].max() <= 60


@pytest.mark.campaign
def test_earlier_studies_too_are_narrowed(small: Path) -> None:
    search = "trials = 3\nin_flight = 1\nfinalists = 0\n"
    space = "hidden_layers = { int = [1, 2] }\nneurons = { int = [2, 16] }"
    hpsearch.run(with_search(small, search, space))
    small.write_text(small.read_text().replace('"small"', '"next"') + "max_parameters = 45\n", encoding="utf-8")
    trials = hpsearch.run(small, from_study="small").trials
    assert trials["parameters"].max() <= 45
    hpsearch.run(small, trials=4, from_study="small")


def test_the_time_needed_is_that_of_networks_that_fit(small: Path) -> None:
    prepared = prepare(StudyDefinition.from_file(with_search(small, "max_parameters = 60", SPACE)))
    chosen = _spread(prepared.definition, prepared.sizes)
    assert all(prepared.sizes.of(one) <= 60 for one in chosen)
    assert {one["hidden_layers"] for one in chosen} == {0, 1, 2, 3, 4}


def test_the_widths_after_encoding_count(tmp_path: Path) -> None:
    """Two columns, of which one has three categories, are four features."""
    rows = [f"{'abc'[n % 3]},{n % 7},{'xy'[n % 2]}" for n in range(60)]
    (tmp_path / "rows.csv").write_text("colour,size,kind\n" + "\n".join(rows) + "\n", encoding="utf-8")
    raw = {
        "study": {"name": "encoded"},
        "data": {"source": "csv", "path": "rows.csv", "target": "kind"},
        "space": {"neurons": {"int": [3, 99]}},
        "search": {"max_parameters": (4 + 1) * 3 + (3 + 1) * 2},
    }
    prepared = prepare(StudyDefinition.from_mapping(raw, tmp_path))
    assert prepared.sizes.narrowed({"neurons": 50}) == {"neurons": 3}
    raw["search"] = {"max_parameters": 22}
    with pytest.raises(DataError) as refused:
        prepare(StudyDefinition.from_mapping(raw, tmp_path))
    assert str(refused.value) == (
        "[search] max_parameters must be at least 23, the parameters of the smallest network that can be chosen, with "
        "4 inputs and 2 outputs, but is 22. Raise it, or allow fewer neurons."
    )


@pytest.mark.parametrize("value", [0, -5, 2.5, "many", True])
def test_a_limit_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(DefinitionError, match=r"\[search\] max_parameters must be"):
        definition({"neurons": {"int": [4, 8]}}, max_parameters=value)


def test_without_a_limit_a_study_is_what_it_was_and_with_one_another() -> None:
    space = {"neurons": {"int": [4, 8]}}
    assert "search.max_parameters" not in definition(space).identity()
    assert definition(space, max_parameters=9).identity()["search.max_parameters"] == 9


def test_the_estimator_has_the_limit_too() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.tile([0, 1, 2], 20)
    search = hpsearch.KFoldSearchCV(
        hpsearch.MLPClassifier(epochs=5),
        {"neurons": {"int": [2, 64]}, "hidden_layers": {"int": [1, 3]}},
        n_trials=6,
        cv=2,
        finalists=0,
        max_parameters=50,
        members=1,
        random_state=0,
    ).fit(X, y)
    assert search.trials_["parameters"].max() <= 50
    with pytest.raises(ValueError, match="max_parameters must be at least 17"):
        search.set_params(max_parameters=16).fit(X, y)
