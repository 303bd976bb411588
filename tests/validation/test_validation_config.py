"""A configuration: what it accepts, what it refuses, and what a list of values means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from hpsearch.data.dataset import Task
from hpsearch.data.preprocess import SCALINGS
from hpsearch.data.target_scaling import TARGET_SCALINGS
from hpsearch.errors import DefinitionError
from hpsearch.nn.layers import ACTIVATION_SETTINGS, ACTIVATIONS
from hpsearch.nn.losses import LOSSES
from hpsearch.nn.network import INITIALISATIONS
from hpsearch.nn.optimizers import OPTIMIZER_SETTINGS, OPTIMIZERS
from hpsearch.validation.config import PER_HIDDEN_LAYER, PER_LAYER, SHARED, TASK_LOSSES, Config, used_by

NAMED = {
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "activation": ACTIVATIONS,
    "init": INITIALISATIONS,
    "scaling": SCALINGS,
    "target_scaling": TARGET_SCALINGS,
}
LAMBDAS = [name for name in PER_LAYER if name not in PER_HIDDEN_LAYER]

each_field = pytest.mark.parametrize("name", Config.model_fields)


def refused(**settings: Any) -> str:
    """The text of the refusal."""
    with pytest.raises(ValidationError) as caught:
        Config(**settings)
    return str(caught.value)


# --- what is accepted and what is not


@pytest.mark.parametrize(("key", "name"), [(key, name) for key, registry in NAMED.items() for name in registry])
def test_every_registered_name_is_accepted_and_a_misspelt_one_gets_the_nearest(key: str, name: str) -> None:
    assert getattr(Config(**{key: name}), key) == name
    assert f"Did you mean '{name}'?" in refused(**{key: f"{name}x"})


@each_field
@pytest.mark.parametrize(
    "value", [True, float("nan"), float("inf"), -1, "nonsense", {"a": 1}, [[1]], ["x"], [True], b"x"]
)
def test_no_field_takes_what_is_no_value_of_it(name: str, value: Any) -> None:
    if name == "class_weight" and value == {"a": 1}:
        value = {"a": "heavy"}
    assert name in refused(**{name: value})


@pytest.mark.parametrize("name", ["hidden_layers", "epochs", "evaluate_every", "batch_size", "neurons"])
@pytest.mark.parametrize("value", [2.0, 2.5, "2"])
def test_counts_are_integers(name: str, value: Any) -> None:
    refused(**{name: value})
    assert getattr(Config(**{name: 2}), name) == 2


@pytest.mark.parametrize(
    ("name", "least", "below"),
    [
        ("hidden_layers", 0, -1),
        ("neurons", 1, 0),
        ("epochs", 1, 0),
        ("evaluate_every", 1, 0),
        ("batch_size", 1, 0),
        ("decay", 0.0, -1e-9),
        *((name, 0.0, -1e-9) for name in LAMBDAS),
        *((name, 0.0, -1e-9) for name in ("momentum", "rho", "beta1", "beta2", "leaky_slope")),
        ("learning_rate", 1e-30, 0.0),
        ("epsilon", 1e-30, 0.0),
    ],
)
def test_lower_bounds_hold(name: str, least: float, below: float) -> None:
    assert getattr(Config(**{name: least}), name) == least
    refused(**{name: below})


@pytest.mark.parametrize("name", ["momentum", "rho", "beta1", "beta2", "leaky_slope"])
def test_shares_stay_below_one(name: str) -> None:
    largest = 0.999999  # float32 has numbers between it and 1
    assert np.float32(largest) < np.nextafter(np.float32(1), np.float32(0))
    assert getattr(Config(**{name: largest}), name) == largest
    refused(**{name: 1.0})


def test_integers_do_for_numbers_and_full_for_a_batch_size() -> None:
    config = Config(learning_rate=1, weight_l2=[1, 0], batch_size="full")
    assert (config.learning_rate, config.weight_l2, config.batch_size) == (1.0, (1.0, 0.0), "full")
    assert type(config.learning_rate) is float


def test_an_unknown_setting_is_refused() -> None:
    assert "lr" in refused(lr=0.1)


@each_field
def test_a_configuration_is_frozen(name: str) -> None:
    config = Config()
    with pytest.raises(ValidationError):
        setattr(config, name, getattr(config, name))


@pytest.mark.parametrize(
    "settings", [{}, {"neurons": [64, 32], "weight_l2": [5e-4, 0, 0]}, {"hidden_layers": 0}, {"batch_size": 7}], ids=str
)
def test_a_configuration_comes_back_from_its_plain_values(settings: dict[str, Any]) -> None:
    config = Config(**settings)
    assert Config(**config.model_dump()) == config
    assert Config(**config.model_dump(mode="json")) == config


# --- lists, one value a layer


@pytest.mark.parametrize(
    ("settings", "depth", "neurons"),
    [
        ({}, 1, (64,)),
        ({"neurons": 7}, 1, (7,)),
        ({"neurons": 7, "hidden_layers": 3}, 3, (7, 7, 7)),
        ({"neurons": [64, 32]}, 2, (64, 32)),
        ({"neurons": [64, 32], "hidden_layers": 2}, 2, (64, 32)),
        ({"neurons": [7]}, 1, (7,)),
        ({"neurons": 7, "hidden_layers": 0}, 0, ()),
        ({"neurons": []}, 0, ()),
    ],
    ids=str,
)
def test_neurons_and_hidden_layers_agree_on_the_depth(settings: Any, depth: int, neurons: tuple[int, ...]) -> None:
    config = Config(**settings)
    assert (config.depth, config.by_layer("neurons")) == (depth, neurons)
    for name in LAMBDAS:
        assert config.by_layer(name) == (0.0,) * (depth + 1)


@pytest.mark.parametrize("name", LAMBDAS)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_lambdas_have_one_value_a_dense_layer_the_output_layer_last(name: str, depth: int) -> None:
    values = tuple(0.1 * (i + 1) for i in range(depth + 1))
    assert Config(hidden_layers=depth, **{name: list(values)}).by_layer(name) == values
    assert Config(hidden_layers=depth, **{name: 0.5}).by_layer(name) == (0.5,) * (depth + 1)
    for wrong in (depth, depth + 2):
        text = refused(hidden_layers=depth, **{name: [0.1] * wrong})
        assert f"{name} must have one value a layer" in text
        assert f"{depth + 1}, but has {wrong}" in text


def test_a_list_of_neurons_must_fit_hidden_layers() -> None:
    assert "2, but has 3" in refused(neurons=[8, 8, 8], hidden_layers=2)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_dropout_has_one_rate_a_hidden_layer(depth: int) -> None:
    rates = tuple(0.1 * (i + 1) for i in range(depth))
    assert Config(hidden_layers=depth, dropout=list(rates)).by_layer("dropout") == rates
    assert Config(hidden_layers=depth, dropout=0.5).by_layer("dropout") == (0.5,) * depth
    assert f"{depth}, but has {depth + 1}" in refused(hidden_layers=depth, dropout=[0.1] * (depth + 1))


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan"), "0.5", True, [0.5, 1.0]], ids=str)
def test_a_rate_that_drops_everything_or_is_none_is_refused(rate: Any) -> None:
    assert "must be a number from 0 to 0.999" in refused(dropout=rate)


# --- what is trained for


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_for_classes_or_for_a_quantity(name: str) -> None:
    tasks: list[Task] = ["classification", "regression"]
    fits, other = reversed(tasks) if "error" in name else tasks
    assert Config(loss=name).loss_name(fits) == name
    with pytest.raises(DefinitionError, match=rf"loss must be for .* but is {name!r}") as caught:
        Config(loss=name).loss_name(other)
    assert TASK_LOSSES[other] in str(caught.value)


def test_without_a_loss_the_task_decides() -> None:
    assert Config().loss_name("classification") == "cross_entropy"
    assert Config().loss_name("regression") == "squared_error"
    with pytest.raises(DefinitionError, match="class_weight must go with classes"):
        Config(class_weight="balanced").loss_name("regression")


def test_what_was_added_later_and_says_what_was_always_so_changes_no_fingerprint() -> None:
    """Configurations exported before there were such settings know nothing of them."""
    known = "ca667e1352e38731"
    assert Config().fingerprint[:16] == Config(loss=None, dropout=0.0, class_weight=None).fingerprint[:16] == known
    others = [Config(dropout=0.1), Config(loss="cross_entropy"), Config(class_weight="balanced")]
    assert len({config.fingerprint for config in others} | {Config().fingerprint}) == 4


# --- which settings matter


def test_settings_belong_to_the_optimizers_that_take_them() -> None:
    for optimizer, kind in OPTIMIZERS.items():
        for name in Config.model_fields:
            of_some_optimizer = any(name in settings for settings in OPTIMIZER_SETTINGS.values())
            assert used_by(name, [optimizer], list(ACTIVATIONS)) == (not of_some_optimizer or hasattr(kind(), name))
    assert [o for o in OPTIMIZERS if used_by("momentum", [o], ["relu"])] == ["sgd"]
    assert used_by("momentum", ["adam", "sgd"], ["relu"])
    assert not used_by("momentum", [], [])


def test_the_slope_belongs_to_leaky_relu_and_all_else_to_every_activation() -> None:
    for activation in ACTIVATIONS:
        assert used_by("leaky_slope", list(OPTIMIZERS), [activation]) == (activation == "leaky_relu")
        assert used_by("learning_rate", ["adam"], [activation])
    assert {name for names in ACTIVATION_SETTINGS.values() for name in names} <= set(Config.model_fields)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_gets_every_setting_that_it_has(optimizer: str) -> None:
    values = {name: 0.25 + 0.1 * i for i, name in enumerate(sorted(OPTIMIZER_SETTINGS[optimizer]))}
    built = OPTIMIZERS[optimizer](**Config(optimizer=optimizer, **values).optimizer_settings())
    assert {name: getattr(built, name) for name in values} == values
    plain = OPTIMIZERS[optimizer](**Config(optimizer=optimizer).optimizer_settings())
    assert vars(plain) == vars(OPTIMIZERS[optimizer]())


@pytest.mark.parametrize("name", SHARED)
def test_what_trials_share_is_a_setting(name: str) -> None:
    assert name in Config.model_fields


def test_a_setting_that_came_later_leaves_the_fingerprint_of_those_who_do_not_use_it() -> None:
    """Exports and stored scorings name configurations by it: this is what it was before class_weight."""
    assert Config().fingerprint == "ca667e1352e38731fbb534c1b42203904d457e8a99d2604e8b1666972f49e45d"
    assert Config(class_weight="balanced").fingerprint != Config().fingerprint


@pytest.mark.parametrize("value", [{"a": -1.0}, {"a": float("inf")}, {"a": True}, "balance", [1.0], 2.0])
def test_a_class_weight_is_balanced_or_a_table_of_numbers(value: Any) -> None:
    assert "must be 'balanced', or by class 0 or a number from 1e-12 to 1e+12" in refused(class_weight=value)


# --- the rest


def test_replaced_keeps_all_else_and_checks_again() -> None:
    config = Config(neurons=[8, 4], learning_rate=0.5)
    other = config.replaced({"learning_rate": 0.25, "optimizer": "sgd"})
    assert other.model_dump() == config.model_dump() | {"learning_rate": 0.25, "optimizer": "sgd"}
    assert other.model_fields_set == {"neurons", "learning_rate", "optimizer"}
    assert config.learning_rate == 0.5
    with pytest.raises(ValidationError):
        config.replaced({"hidden_layers": 1})


@pytest.mark.parametrize(
    ("settings", "every"),
    [({}, 50), ({"epochs": 100}, 5), ({"epochs": 7}, 1), ({"epochs": 1}, 1), ({"epochs": 7, "evaluate_every": 3}, 3)],
    ids=str,
)
def test_checkpoints_are_a_twentieth_of_the_epochs_apart_unless_set(settings: dict[str, Any], every: int) -> None:
    assert Config(**settings).checkpoint_epochs == every


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_number_type_is_numpys_of_that_name(dtype: Any) -> None:
    assert Config(dtype=dtype).number_type == np.dtype(dtype)
