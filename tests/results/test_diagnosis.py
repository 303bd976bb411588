"""Each finding where it must be, and none where there is nothing but noise."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import SMALL

from hpsearch import StudyDefinition
from hpsearch.results.diagnosis import CHECKS, Observed, diagnose
from hpsearch.search.baselines import Compared, Comparison, Shipped
from hpsearch.storage.trial_result import TrialResult
from hpsearch.validation.layout import Layout
from hpsearch.validation.metrics import METRICS

SEEDS = range(3)
RATE: dict[str, Any] = {"learning_rate": {"float": [1e-3, 1e-1], "log": True}}
CHOICES: dict[str, Any] = {"activation": {"choice": ["relu", "tanh"]}, "optimizer": {"choice": ["adam", "adagrad"]}}


def definition_of(space: Mapping[str, Any] = RATE, **sections: dict[str, Any]) -> StudyDefinition:
    raw = tomllib.loads(SMALL)
    raw["space"] = dict(space)
    for name, values in sections.items():
        raw[name] = {**raw.get(name, {}), **values}
    return StudyDefinition.from_mapping(raw)


def observed(
    definition: StudyDefinition, chosen: Sequence[Mapping[str, Any]], values: Sequence[float], **more: Any
) -> Observed:
    """A study of complete trials with these hyperparameters and these values."""
    folds = [{"fold": fold, "validation_loss": 1.0} for fold in range(3)]
    results = [
        TrialResult(number, "COMPLETE", float(value), 10, 1.0, 40, folds=folds) for number, value in enumerate(values)
    ]
    best = min(results, key=lambda result: definition.metric.sign * (result.value or 0.0))
    return Observed(definition, results, chosen, best, **more)


def names(seen: Observed) -> list[str]:
    return [finding.name for finding in diagnose(seen)]


def rates(draw: np.random.Generator, count: int) -> list[float]:
    return (10 ** draw.uniform(-3, -1, count)).tolist()


# ------------------------------------------------------------ hyperparameters


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_range_whose_end_is_best_is_to_be_widened(seed: int, sign: int) -> None:
    draw = np.random.default_rng(seed)
    chosen = [*rates(draw, 38), 1e-3, 1e-1]
    values = 1 - sign * 0.2 * np.log10(chosen) + draw.normal(0, 0.01, 40)
    seen = observed(definition_of(), [{"learning_rate": rate} for rate in chosen], values)
    (finding,) = diagnose(seen)
    assert finding.name == "edge"
    assert ("upper" if sign > 0 else "lower") in finding.what
    wider = "[0.001, 1.0]" if sign > 0 else "[0.0001, 0.1]"
    assert str(finding).endswith(f"Widen it: [space] learning_rate = {{float = {wider}, log = true}}.")


@pytest.mark.parametrize(
    ("dimension", "key", "line"),
    [
        ({"int": [4, 64], "log": True}, "neurons", "neurons = {int = [4, 256], log = true}"),
        ({"int": [1, 2]}, "hidden_layers", "hidden_layers = {int = [1, 3]}"),
        ({"float": [0.0, 0.5], "step": 0.1}, "dropout", "dropout = {float = [0.0, 0.7], step = 0.1}"),
    ],
)
def test_what_to_write_is_a_range_of_the_same_kind(dimension: dict[str, Any], key: str, line: str) -> None:
    definition = definition_of({key: dimension})
    of = definition.space.dimensions[key]
    chosen = [of.at(place) for place in np.linspace(0, 0.999, 40)]
    values = [-(of.place(value) or 0.0) for value in chosen]
    (finding,) = diagnose(observed(definition, [{key: value} for value in chosen], values))
    assert line in str(finding)


def test_where_nothing_can_lie_beyond_there_is_nothing_to_widen() -> None:
    definition = definition_of({"dropout": {"float": [0.0, 0.5]}})
    chosen = np.linspace(0, 0.5, 40)  # the least is best, and less there is not
    assert names(observed(definition, [{"dropout": float(value)} for value in chosen], chosen)) == []


@pytest.mark.parametrize("kind", ["none", "inside"])
def test_noise_and_an_optimum_inside_find_no_edge(kind: str) -> None:
    """200 studies of a hyperparameter that does nothing, or whose best value is inside the range."""
    definition, found = definition_of(), 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        chosen = rates(draw, 40)
        values = draw.normal(0, 0.01, 40) + (0 if kind == "none" else 0.2 * (np.log10(chosen) + 2) ** 2)
        found += bool(names(observed(definition, [{"learning_rate": rate} for rate in chosen], values)))
    assert found <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_choice_on_which_all_leading_trials_agree_need_not_be_made(seed: int) -> None:
    draw = np.random.default_rng(seed)
    chosen = [{name: str(draw.choice(of["choice"])) for name, of in CHOICES.items()} for _ in range(60)]
    values = [(one["activation"] == "relu") + draw.normal(0, 0.1) for one in chosen]
    (finding,) = diagnose(observed(definition_of(CHOICES), chosen, values))
    assert finding.name == "agreement"
    assert 'Set [train] activation = "tanh" and leave it out of [space].' in str(finding)


def test_noise_finds_no_agreement_and_few_trials_find_nothing() -> None:
    found = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        chosen = [{name: str(draw.choice(of["choice"])) for name, of in CHOICES.items()} for _ in range(40)]
        found += bool(names(observed(definition_of(CHOICES), chosen, draw.normal(size=40))))
    assert found <= 6
    few = [{"activation": "relu", "optimizer": "adam"}] * 9 + [{"activation": "tanh", "optimizer": "adagrad"}] * 10
    assert names(observed(definition_of(CHOICES), few, np.arange(19))) == []


# ------------------------------------------------------------ baselines


def compared(difference: float, half: float | None, name: str = "linear") -> Comparison:
    one = Compared(name, "logistic regression", 0.5, difference, half)
    return Comparison(0, 40, True, 0.5 + difference, 100, 100, ("a", "b"), 1, (one,))


@pytest.mark.parametrize(
    ("difference", "half", "name", "objective", "finds"),
    [
        (0.20, 0.10, "linear", "loss", True),  # the network loses more, for certain
        (0.12, 0.10, "linear", "loss", False),  # by what chance alone does once in forty
        (-0.20, 0.10, "linear", "loss", False),
        (-0.20, 0.10, "linear", "accuracy", True),
        (0.05, 0.10, "linear", "loss", False),  # as good as it
        (-0.05, 0.10, "constant", "loss", True),  # as good as no column at all
        (-0.20, 0.10, "constant", "loss", False),
        (-0.005, 0.001, "constant", "loss", True),  # better for certain, and hardly
        (-0.05, 0.001, "constant", "loss", False),
        (0.20, None, "linear", "loss", False),
    ],
)
def test_a_baseline_that_is_better_is_told(
    difference: float, half: float | None, name: str, objective: str, finds: bool
) -> None:
    definition = definition_of(search={"objective": objective})
    seen = observed(definition, [{"learning_rate": 0.01}], [0.4], comparison=compared(difference, half, name))
    assert names(seen) == (["baseline"] if finds else [])


# ------------------------------------------------------------ out-of-fold predictions


def shipped(labels: np.ndarray, predictions: np.ndarray, values: np.ndarray | None = None, epoch: int = 40) -> Shipped:
    rows = np.arange(len(labels))
    layout = Layout(rows, np.zeros_like(rows), labels, rows)
    epochs = [8, 16, 24, 32, 40]
    if values is None:
        metric = METRICS["loss" if predictions.shape[1] > 1 else "mse"]
        values = np.tile(metric.row_values(labels, predictions), (5, 1))
    return Shipped(0, epoch, True, epochs, values, predictions, layout)


def seen_with(of_rows: Shipped, **sections: dict[str, Any]) -> Observed:
    return observed(definition_of(**sections), [{"learning_rate": 0.01}], [0.4], shipped=of_rows)


def calibrated(seed: int, count: int = 400, offset: float = 0.0, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Labels of two classes and the logits that they were drawn by."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(offset, spread, count)
    return (draw.random(count) < 1 / (1 + np.exp(-logits))).astype(np.intp), logits


def both(logits: np.ndarray) -> np.ndarray:
    high = 1 / (1 + np.exp(-logits))
    return np.stack([1 - high, high], axis=1).astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("factor", "word"), [(4.0, "sure"), (0.25, "cautious")])
def test_probabilities_that_claim_another_loss_are_told(seed: int, factor: float, word: str) -> None:
    labels, logits = calibrated(seed, spread=4.0 if factor < 1 else 1.5)
    (finding,) = diagnose(seen_with(shipped(labels, both(factor * logits))))
    assert finding.name == "calibration"
    assert f"too {word}" in finding.what


def test_right_probabilities_are_not_told() -> None:
    """100 studies: three and more standard errors by chance would be seldom."""
    found = [name for seed in range(100) for name in names(seen_with(shipped(*_right(seed))))]
    assert found == []


def _right(seed: int) -> tuple[np.ndarray, np.ndarray]:
    labels, logits = calibrated(seed, 200)
    return labels, both(logits)


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"search": {"objective": "accuracy"}}, '[search] objective = "loss"'),
        ({"retrain": {"members": 1}}, "[retrain] members = 8"),
        ({}, "[space] dropout = {float = [0.0, 0.5]}"),
    ],
)
def test_what_to_do_about_it_depends_on_the_study(sections: dict[str, Any], line: str) -> None:
    labels, logits = calibrated(0)
    (finding,) = diagnose(seen_with(shipped(labels, both(5 * logits)), **sections))
    assert line in str(finding)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("slope", "finds"), [(0.6, "far apart"), (1.0, ""), (1.6, "close together")])
def test_predictions_of_a_target_that_spread_too_far_or_too_little(seed: int, slope: float, finds: str) -> None:
    draw = np.random.default_rng(seed)
    predictions = draw.normal(50, 10, 300)
    targets = 50 + slope * (predictions - 50) + draw.normal(0, 6, 300)
    definition = StudyDefinition.from_mapping({**definition_of().raw, "data": {"source": "sklearn:diabetes"}})
    of_rows = shipped(targets, predictions[:, np.newaxis])
    found = diagnose(observed(definition, [{"learning_rate": 0.01}], [0.4], shipped=of_rows))
    assert [finding.name for finding in found] == (["calibration"] if finds else [])
    if finds:
        assert finds in found[0].what


# What the errors of a regression are drawn from, and whether a few rows carry their squares.
ERRORS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], bool]] = {
    "normal": (lambda draw, count: draw.normal(size=count), False),
    "t(10)": (lambda draw, count: draw.standard_t(10, count), False),
    "t(2.1)": (lambda draw, count: draw.standard_t(2.1, count), True),
    "lognormal": (lambda draw, count: draw.lognormal(0, 1.5, count), True),
}


def of_errors(errors: np.ndarray, objective: str = "loss", loss: str = "squared_error", **layout: Any) -> Observed:
    """A regression whose networks predict 0."""
    raw = dict(definition_of().raw)
    raw["data"], raw["train"] = {"source": "sklearn:diabetes"}, {**raw["train"], "loss": loss}
    definition = StudyDefinition.from_mapping({**raw, "search": {**raw["search"], "objective": objective}})
    predictions = np.zeros((len(errors), 1))
    of_rows = shipped(errors, predictions, np.tile(definition.metric.row_values(errors, predictions), (5, 1)))
    of_rows = replace(of_rows, layout=replace(of_rows.layout, **layout))
    return observed(definition, [{"learning_rate": 0.01}], [0.4], shipped=of_rows)


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("count", [pytest.param(60, marks=pytest.mark.campaign), 300])
def test_a_tail_is_told_where_it_is_long_and_seldom_by_chance(name: str, count: int) -> None:
    """Of 200 studies: with normal errors in none, and of long tails mostly where there are rows to show them."""
    draw, (errors, long) = np.random.default_rng(0), ERRORS[name]
    found = sum("tail" in names(of_errors(errors(draw, count))) for _ in range(200))
    assert found >= (180 if count == 300 else 80) if long else found <= 14


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("objective", ["loss", "mse", "rmse"])
def test_a_tail_is_told_with_its_rows_and_its_heaviest_row(seed: int, objective: str) -> None:
    """Three rows of 100, alike but for a little, carry nearly everything: it takes two for most of it."""
    errors = np.random.default_rng(seed).normal(size=100)
    errors[[13, 57, 80]] = 40, -41, 39.5
    squares = errors**2 / (errors**2).sum()
    (finding,) = diagnose(of_errors(errors, objective))
    assert finding.name == "tail"
    told = f"Of 100 rows 2 carry {squares[[13, 57]].sum():.0%} of the loss, row 57 alone {squares[57]:.0%}: "
    assert finding.what.startswith(told)
    line = '[train] loss = "absolute_error"' + ("" if objective == "loss" else ' and [search] objective = "mae"')
    assert finding.do == f"If a few rows must not decide: {line}; the networks then predict medians."


def test_a_tail_of_absolute_errors_takes_more_rows() -> None:
    errors = np.random.default_rng(0).normal(size=100)
    errors[57] = 400
    (finding,) = diagnose(of_errors(errors, loss="absolute_error"))
    assert finding.name == "tail"
    assert "[" not in finding.do


def test_a_tail_is_of_the_independent_units_and_of_what_counts() -> None:
    """Rows that are one unit count once; a row of weight 0 not at all; of rows in time there is no interval."""
    errors = np.random.default_rng(0).normal(size=200)
    errors[57] = 40
    (finding,) = diagnose(of_errors(errors))
    assert "Of 200 rows 1 carries" in finding.what
    assert "of the loss, row 57: " in finding.what
    (finding,) = diagnose(of_errors(errors, units=np.arange(200) // 2))
    assert "Of 100 independent groups of rows 1 carries" in finding.what
    assert "of the loss, that of row 57: " in finding.what
    assert names(of_errors(errors, units=np.arange(200) % 10)) == []  # one of ten units is more than a few
    weights = np.ones(200)
    weights[57] = 0
    assert names(of_errors(errors, weights=weights)) == []
    assert names(of_errors(errors, units=None)) == []
    assert names(of_errors(errors, objective="r2")) == []


@pytest.mark.parametrize(("count", "finds"), [(100, ["tail"]), (2000, [])])
def test_enough_rows_silence_a_tail(count: int, finds: list[str]) -> None:
    """Three of a hundred rows carry 53 % of the loss. Its mean has the skewness (1 - 2p) / √(p (1 - p) n), p = 0.03."""
    errors = np.where(np.arange(count) % 100 < 3, 6.0, 1.0)
    assert names(of_errors(errors)) == finds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_class_that_is_hardly_ever_predicted_is_told(seed: int) -> None:
    labels, logits = calibrated(seed, 400, offset=-3)
    (finding,) = diagnose(seen_with(shipped(labels, both(np.minimum(logits, -0.1 + 0 * logits)))))
    assert finding.name == "rare-class"
    assert "'1'" in finding.what
    assert '[train] class_weight = "balanced" and [search] objective = "balanced_accuracy"' in str(finding)
    labels, logits = calibrated(seed, 400, offset=-1)
    assert names(seen_with(shipped(labels, both(logits)))) == []


# ------------------------------------------------------------ checkpoints


def curve(falls: Callable[[int], float], seed: int, count: int = 200) -> np.ndarray:
    """(5, count) losses: each row's own, much alike at every checkpoint."""
    draw = np.random.default_rng(seed)
    own = draw.gamma(2, 0.3, count)
    return np.stack([own + falls(place) + draw.normal(0, 0.05, count) for place in range(5)])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("falls", "epoch", "finds"),
    [
        (lambda place: -0.05 * place, 40, "last-checkpoint"),
        (lambda place: 0.0, 40, None),  # last by chance alone
        (lambda place: 0.05 * place, 8, "first-checkpoint"),
        (lambda place: 0.0, 8, None),
        (lambda place: 0.05 * (place - 2) ** 2, 24, None),
    ],
)
def test_a_best_checkpoint_at_an_end_is_told_where_the_rows_prove_it(
    seed: int, falls: Callable[[int], float], epoch: int, finds: str | None
) -> None:
    labels, predictions = _right(seed)
    of_rows = shipped(labels, predictions, curve(falls, seed), epoch)
    found = diagnose(seen_with(of_rows))
    assert [finding.name for finding in found] == ([finds] if finds else [])
    if finds == "last-checkpoint":
        assert str(found[0]).endswith("Train longer: [train] epochs = 80.")
    if finds == "first-checkpoint":
        assert str(found[0]).endswith("Look more often: [train] evaluate_every = 1.")


def test_every_check_has_its_tests_here() -> None:
    assert list(CHECKS) == ["baseline", "edge", "checkpoint", "agreement", "rare-class", "calibration", "tail"]
