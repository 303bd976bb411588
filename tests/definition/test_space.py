"""The search space: which values can be chosen, when a hyperparameter exists, and what a choice makes of [train]."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from hpsearch.definition.dimension import Dimension
from hpsearch.definition.space import Space, configure
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DefinitionError
from hpsearch.nn.optimizers import OPTIMIZERS
from hpsearch.validation.config import PER_HIDDEN_LAYER, PER_LAYER, SHARED, Config

STUDIES = sorted((Path(__file__).parent.parent.parent / "studies").glob("*.toml"))
SEARCHABLE = [name for name in Config.model_fields if name not in SHARED]

EVERYTHING = """
learning_rate = { float = [1e-3, 1e-1], log = true }
momentum = { float = [0.0, 0.9], step = 0.1 }
rho = { float = [0.5, 0.99] }
beta1 = { choice = [0.8, 0.9] }
epsilon = { float = [1e-9, 1e-5], log = true }
leaky_slope = { float = [0.0, 0.3] }
neurons = { int = [4, 16], step = 4 }
scaling = { choice = ["none", "minmax", "power", "standard"] }
init = { choice = ["he", "glorot"] }
batch_size = { choice = [8, 16, "full"] }
epochs = { int = [5, 50], log = true }
decay = { choice = [0, 0.1] }
weight_l1 = { float = [0.0, 1e-2] }
bias_l2 = { float = [1e-6, 1e-2], log = true }
activation = { choice = ["relu", "leaky_relu", "tanh"] }
optimizer = { choice = ["adagrad", "adam", "rmsprop", "sgd"] }
hidden_layers = { int = [0, 3] }
layer1 = { neurons = { int = [20, 30] }, weight_l2 = { float = [0.5, 1.0] } }
layer3 = { neurons = { int = [40, 50] } }
layer4.bias_l1 = { float = [2.0, 3.0] }
"""


def space_of(text: str, **train: Any) -> Space:
    """The space of some lines of ``[space]``, beside some keys of ``[train]``."""
    head = {"study": {"name": "a"}, "data": {"source": "sklearn:diabetes" if "target" in text else "nnfs:spiral"}}
    return StudyDefinition.from_mapping({**head, "train": train, "space": tomllib.loads(text)}, Path()).space


def refusal(text: str, **train: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        space_of(text, **train)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def choices(space: Space, train: Config, count: int = 60, seed: int = 0) -> list[tuple[dict[str, Any], Any]]:
    """What a random sampler of a real study proposes, with the trials that hold it."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trials = [study.ask() for _ in range(count)]
    return [(space.suggest(trial, train), trial) for trial in trials]


# --- ranges


@pytest.mark.parametrize(
    ("dimension", "words"),
    [
        ("{}", ["exactly one of int and float, each [low, high], and choice, a list"]),
        ("{ int = [1, 2], choice = [1] }", ["exactly one of"]),
        ("{ log = true }", ["exactly one of"]),
        ("3", ["must be a table, but is 3."]),
        ('"x"', ["must be a table, but is 'x'."]),
        ("[1, 2]", ["must be a table, but is [1, 2]."]),
        ("{ int = 3 }", ["int", "3"]),
        ("{ int = [3] }", ["[low, high]", "[3]"]),
        ("{ int = [1, 2, 3] }", ["[low, high]", "[1, 2, 3]"]),
        ("{ int = [9, 3] }", ["low end first", "[9, 3]"]),
        ("{ int = [1.0, 3] }", ["an integer", "1.0"]),
        ("{ int = [true, 3] }", ["an integer", "True"]),
        ('{ int = ["1", 3] }', ["an integer", "'1'"]),
        ("{ int = [1, 9], log = 1 }", ["log must be true or false, but is 1."]),
        ("{ int = [1, 9], log = true, step = 2 }", ["no step where log is true"]),
        ("{ int = [0, 9], log = true }", ["low end above 0"]),
        ("{ int = [1, 9], step = 0 }", ["step must be above 0, but is 0."]),
        ("{ int = [1, 9], step = -1 }", ["step must be above 0, but is -1."]),
        ("{ int = [1, 9], step = 1.5 }", ["whole step", "1.5"]),
        ("{ int = [1, 9], step = nan }", ["step", "nan"]),
        ("{ int = [1, 9], step = 3 }", ["step", "3"]),
        ("{ int = [1, 9], step = 100 }", ["step", "100"]),
        ("{ choice = [] }", ["at least one choice"]),
        ("{ choice = [3, 3] }", ["none of them twice"]),
        ("{ choice = [3, 3.0] }", ["none of them twice"]),
        ("{ choice = [3], log = true }", ["neither log nor step"]),
        ("{ choice = [3], step = 1 }", ["neither log nor step"]),
        ("{ choice = 3 }", ["choice must be a list", "but is 3."]),
        ("{ choice = [[3, 3], [4, 4]] }", ["choice", "[3, 3]"]),
        ("{ int = [1, 9], lg = true }", ["has no key 'lg'", "Did you mean 'log'?"]),
        ("{ ints = [1, 9] }", ["has no key 'ints'", "Did you mean 'int'?"]),
    ],
)
def test_a_range_that_cannot_be_is_refused_naming_its_hyperparameter(dimension: str, words: list[str]) -> None:
    line = refusal(f"neurons = {dimension}")
    assert line.startswith("[space] neurons ")
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("dimension", "words"),
    [
        ("{ float = [1e-3, nan] }", ["a finite number", "nan"]),
        ("{ float = [1e-3, inf] }", ["a finite number", "inf"]),
        ("{ float = [0.0, 1.0], log = true }", ["low end above 0"]),
        ("{ float = [-1.0, 1.0], log = true }", ["low end above 0"]),
        ("{ float = [1.0, 0.1] }", ["low end first"]),
        ('{ float = [0.1, "x"] }', ["a number", "'x'"]),
        ("{ float = [true, 1.0] }", ["a number", "True"]),
        ("{ float = [0.1, 1.0], step = 0.4 }", ["step", "0.4"]),
        ("{ choice = [nan] }", ["choice", "nan"]),
        ("{ choice = [nan, nan] }", ["choice", "nan"]),
    ],
)
def test_a_float_range_that_cannot_be_is_refused(dimension: str, words: list[str]) -> None:
    line = refusal(f"learning_rate = {dimension}")
    assert line.startswith("[space] learning_rate ")
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("dimension", "dtype", "text"),
    [
        ({"int": [8, 256], "log": True}, "Int64", "8 to 256 (log)"),
        ({"int": [8, 8]}, "Int64", "8 to 8"),
        ({"int": [8, 16], "step": 4}, "Int64", "8 to 16 (steps of 4)"),
        ({"int": [8, 16], "step": 4.0}, "Int64", None),
        ({"float": [0, 1]}, "float64", "0.0 to 1.0"),
        ({"float": [0.1, 0.9], "step": 0.2}, "float64", "0.1 to 0.9 (steps of 0.2)"),
        ({"float": [0, 1e-300]}, "float64", None),
        ({"choice": ["adam", "sgd"]}, "str", "adam or sgd"),
        ({"choice": [8, 16]}, "Int64", "8 or 16"),
        ({"choice": [0, 0.1]}, "float64", "0 or 0.1"),
        ({"choice": ["full", 8]}, "str", "full or 8"),
    ],
    ids=str,
)
def test_a_range_knows_its_column_type_and_its_words(dimension: dict[str, Any], dtype: str, text: str | None) -> None:
    parsed = Dimension.model_validate(dimension)
    assert parsed.dtype == dtype
    assert text is None or parsed.describe() == text
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        value, (low, *_, high) = parsed.suggest(study.ask(), "x"), (*parsed.extremes, *parsed.extremes)
        if parsed.choice is not None:
            assert value in parsed.choice
        else:
            assert low <= value <= high
            assert type(value) is (int if dtype == "Int64" else float)


# --- names and values


@pytest.mark.parametrize("name", SEARCHABLE)
def test_every_hyperparameter_but_the_shared_ones_can_be_searched(name: str) -> None:
    value = getattr(Config(hidden_layers=1), name)
    text = f"{name} = {{ choice = [{value!r}] }}"
    all_kinds = (
        'optimizer = { choice = ["adagrad", "adam", "rmsprop", "sgd"] }\nactivation = { choice = ["leaky_relu"] }\n'
    )
    space = space_of(text if name in ("optimizer", "activation") else all_kinds + text)
    assert name in space.dimensions
    assert any(chosen.get(name) == value for chosen, _ in choices(space, Config()))


@pytest.mark.parametrize(
    ("name", "near"),
    [("learningrate", "learning_rate"), ("neuron", "neurons"), ("weight_l3", "weight_l1"), ("layers", None)],
)
def test_an_unknown_hyperparameter_is_refused_with_all_names_and_the_nearest(name: str, near: str | None) -> None:
    line = refusal(f"{name} = {{ int = [1, 2] }}")
    assert line.startswith(f"[space] has no hyperparameter {name!r}. Choose one of: ")
    assert all(other in line for other in SEARCHABLE)
    assert near is None or "Did you mean " in line


@pytest.mark.parametrize("name", SHARED)
def test_what_all_trials_share_cannot_be_searched(name: str) -> None:
    assert refusal(f"{name} = {{ choice = [1] }}").startswith(f"[space] has no hyperparameter {name!r}.")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("neurons = { int = [0, 8] }", ["neurons must be an integer from 1 to 1,000,000", "0"]),
        ("neurons = { float = [8, 9] }", ["neurons must be an integer", "8.0"]),
        ("neurons = { choice = [8, 8.5] }", ["neurons must be an integer", "8.5"]),
        ("learning_rate = { float = [0.0, 1.0] }", ["learning_rate must be at least 1e-30"]),
        ('learning_rate = { choice = [0.1, "x"] }', ["learning_rate must be a number, but is 'x'."]),
        ("hidden_layers = { int = [-1, 2] }", ["hidden_layers must be at least 0, but is -1."]),
        ("epochs = { int = [0, 9] }", ["epochs must be at least 1, but is 0."]),
        (
            'batch_size = { choice = ["full", 0] }',
            ["batch_size must be an integer from 1 to 1,000,000,000 or 'full', but is 0."],
        ),
        ("weight_l2 = { float = [-1.0, 1.0] }", ["weight_l2 must be 0, or a number from 1e-30 to 1,000,000", "-1.0"]),
        ('optimizer = { choice = ["adam", "sdg"] }', ["Unknown optimizer 'sdg'.", "Did you mean 'sgd'?"]),
        ("optimizer = { int = [1, 2] }", ["optimizer must be text, but is 1."]),
        ('scaling = { choice = ["non"] }', ["Unknown scaling 'non'.", "Did you mean 'none'?"]),
        ("layer1.neurons = { int = [0, 8] }", ["[space.layer1] neurons must be an integer from 1 to 1,000,000", "0"]),
        ("beta2 = { float = [0.9, 1.0] }", ["beta2 must be at most 0.999999"]),
        ('optimizer = { choice = ["sgd"] }\nmomentum = { float = [0.0, 1.0] }', ["momentum must be at most 0.999999"]),
    ],
)
def test_a_range_that_reaches_beyond_its_hyperparameters_bounds_is_refused(text: str, words: list[str]) -> None:
    line = refusal(text)
    assert line.startswith("[space")
    for word in words:
        assert word in line


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["momentum", "rho", "beta1", "beta2", "epsilon"])
def test_a_setting_that_no_chosen_optimizer_has_is_refused(name: str, optimizer: str) -> None:
    text = f"{name} = {{ float = [0.1, 0.5] }}"
    others = ", ".join(f'"{other}"' for other in OPTIMIZERS)
    if hasattr(OPTIMIZERS[optimizer](), name):
        assert name in space_of(text, optimizer=optimizer).dimensions
    else:
        assert refusal(text, optimizer=optimizer).startswith(f"[space] {name} must belong to a chosen optimizer")
        assert refusal(f'{text}\noptimizer = {{ choice = ["{optimizer}"] }}')
    assert name in space_of(f"{text}\noptimizer = {{ choice = [{others}] }}", optimizer=optimizer).dimensions


def test_the_slope_can_be_searched_only_with_an_activation_that_has_one() -> None:
    text = "leaky_slope = { float = [0.0, 0.5] }"
    assert refusal(text).startswith("[space] leaky_slope must belong to a chosen optimizer or activation")
    assert space_of(text, activation="leaky_relu").names == ("leaky_slope",)
    assert len(space_of(f'{text}\nactivation = {{ choice = ["relu", "leaky_relu"] }}').names) == 2


# --- layers


@pytest.mark.parametrize(
    ("text", "train", "words"),
    [
        ("layer2.neurons = { int = [4, 8] }", {}, ["[space.layer2] neurons", "at most 1 hidden layer"]),
        ("layer3.weight_l2 = { float = [0.0, 1.0] }", {}, ["[space.layer3] weight_l2", "output layer"]),
        ("layer1.neurons = { int = [4, 8] }", {"hidden_layers": 0}, ["[space.layer1]", "0 hidden layers"]),
        ("neurons = { int = [4, 8] }", {"hidden_layers": 0}, ["neurons", "0 hidden layers"]),
        ('activation = { choice = ["relu", "tanh"] }', {"hidden_layers": 0}, ["activation", "0 hidden layers"]),
        ("layer3.neurons = { int = [4, 8] }\nhidden_layers = { int = [1, 2] }", {}, ["[space.layer3]", "at most 2"]),
        ("layer3.neurons = { int = [4, 8] }\nhidden_layers = { choice = [0, 2] }", {}, ["[space.layer3]", "at most 2"]),
        ("layer1.learning_rate = { float = [0.1, 1.0] }", {}, ["[space.layer1] has no hyperparameter 'learning_rate'"]),
        ("layer1.neuron = { int = [4, 8] }", {}, ["[space.layer1] has no hyperparameter 'neuron'", "mean 'neurons'?"]),
        ("layer1.neurons = 4", {}, ["[space.layer1] neurons must be a table, but is 4."]),
        ("layer0.neurons = { int = [4, 8] }", {}, ["'layer0'"]),
        ("layer01.neurons = { int = [4, 8] }", {}, ["'layer01'"]),
        ("layer.neurons = { int = [4, 8] }", {}, ["'layer'"]),
        ("hidden_layers = { int = [1, 2] }", {"neurons": [8, 8]}, ["[train] neurons must be one number", "[8, 8]"]),
        (
            "hidden_layers = { int = [0, 2] }\nneurons = { int = [4, 8] }",
            {"neurons": [8, 8]},
            ["[train] neurons must be one number", "[8, 8]"],
        ),
        ("hidden_layers = { int = [1, 2] }", {"bias_l1": [1, 0]}, ["[train] bias_l1 must be one number", "[1.0, 0.0]"]),
    ],
)  # fmt: skip
def test_what_can_never_exist_is_refused(text: str, train: dict[str, Any], words: list[str]) -> None:
    line = refusal(text, **train)
    assert line.startswith("[")
    for word in words:
        assert word in line


@pytest.mark.parametrize("key", PER_LAYER)
@pytest.mark.parametrize("depth", range(4))
def test_a_layer_has_its_settings_where_it_exists_the_output_layer_only_lambdas(depth: int, key: str) -> None:
    hidden = "hidden_layers = { int = [0, 3] }\n"
    kind, unit, more = ("float", 0.01, 0) if key == "dropout" else ("int", 1, key not in PER_HIDDEN_LAYER)
    lines = "".join(
        f"layer{n}.{key} = {{ {kind} = [{10 * n * unit:g}, {(10 * n + 5) * unit:g}] }}\n" for n in range(1, 4 + more)
    )
    space = space_of(hidden + lines)
    for chosen, _ in choices(space, Config()):
        if chosen["hidden_layers"] == depth:
            layers = depth + more
            assert list(chosen) == ["hidden_layers", *(f"layer{n}.{key}" for n in range(1, layers + 1))]
            values = configure(Config(), chosen).by_layer(key)
            assert [value / unit // 10 for value in values] == [*range(1, layers + 1)]
            return
    raise AssertionError(f"no network of depth {depth} among the choices")


def test_a_table_a_dotted_key_and_a_quoted_one_search_the_same_layer() -> None:
    spaces = [
        space_of(text)
        for text in (
            "[layer1]\nneurons = { int = [4, 8] }",
            "layer1.neurons = { int = [4, 8] }",
            '"layer1.neurons" = { int = [4, 8] }',
            "layer1 = { neurons = { int = [4, 8] } }",
        )
    ]
    assert all(space == spaces[0] for space in spaces)
    assert spaces[0].names == ("layer1.neurons",)
    assert space_of("[layer1]\n").names == ()


# --- choosing


def test_what_decides_whether_others_exist_is_chosen_first_and_the_rest_in_the_files_order() -> None:
    names = space_of(EVERYTHING).names
    assert set(names[:3]) == {"hidden_layers", "optimizer", "activation"}
    rest = [name for name in tomllib.loads(EVERYTHING) if name not in names[:3]]
    assert [name.split(".")[0] for name in names[3:] if not name.startswith("layer1.weight")] == rest


@pytest.mark.parametrize("seed", range(3))
def test_every_proposal_is_a_valid_configuration_of_what_exists(seed: int) -> None:
    space, train = space_of(EVERYTHING), Config(weight_l2=0.25)
    always = {"learning_rate", "scaling", "init", "batch_size", "epochs", "decay", "weight_l1", "bias_l2"}
    least_depth = {"layer1.neurons": 1, "layer3.neurons": 3, "layer1.weight_l2": 0, "layer4.bias_l1": 3}
    least_depth |= {"neurons": 1, "activation": 1, "hidden_layers": 0, "optimizer": 0, **dict.fromkeys(always, 0)}
    seen = set()
    for chosen, trial in choices(space, train, 200, seed):
        assert chosen == trial.params
        config, depth = configure(train, chosen), chosen["hidden_layers"]
        seen.add((depth, config.optimizer))
        expected = {name for name, hidden_layers in least_depth.items() if depth >= hidden_layers}
        optimizer = OPTIMIZERS[chosen["optimizer"]]()
        expected |= {name for name in ("momentum", "rho", "beta1", "epsilon") if hasattr(optimizer, name)}
        expected |= {"leaky_slope"} if chosen.get("activation") == "leaky_relu" else set()
        assert set(chosen) == expected
        for name, value in chosen.items():
            layer, dot, key = name.removeprefix("layer").partition(".")
            if dot:
                assert config.by_layer(key)[int(layer) - 1] == value
            elif name == "neurons":
                assert config.by_layer(name)[1:2] in ((), (value,))  # the first and third layer have their own
            else:
                assert getattr(config, name) == value
        assert config.depth == depth
        assert config.by_layer("weight_l2")[1:] == (0.25,) * depth
    assert seen == {(depth, optimizer) for depth in range(4) for optimizer in OPTIMIZERS}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_proposal_for_a_shipped_study_is_a_valid_configuration(path: Path) -> None:
    definition = StudyDefinition.from_file(path)
    for chosen, _ in choices(definition.space, definition.train):
        config = definition.config(chosen)
        assert Config(**config.model_dump()) == config
        for name, value in chosen.items():
            extremes = definition.space.dimensions[name].extremes
            assert value in extremes or extremes[0] <= value <= extremes[-1]


def test_an_empty_space_chooses_nothing() -> None:
    space = space_of("")
    assert space.names == ()
    assert choices(space, Config(), 1)[0][0] == {}


def test_the_largest_value_is_that_of_the_range_or_of_the_configuration() -> None:
    space = space_of("epochs = { int = [5, 50] }\nbatch_size = { choice = [64, 8, 32] }")
    assert space.largest("epochs", Config()) == 50
    assert space.largest("batch_size", Config()) == 64
    assert space.largest("hidden_layers", Config(hidden_layers=2)) == 2


# --- what a choice makes of [train]


@pytest.mark.parametrize(
    ("train", "chosen", "neurons", "weight_l2"),
    [
        ({}, {}, (64,), (0, 0)),
        ({}, {"neurons": 8}, (8,), (0, 0)),
        ({"neurons": [32, 16]}, {}, (32, 16), (0, 0, 0)),
        ({"neurons": [32, 16]}, {"neurons": 8}, (8, 8), (0, 0, 0)),
        ({"neurons": [32, 16]}, {"layer1.neurons": 8}, (8, 16), (0, 0, 0)),
        ({"neurons": [32, 16]}, {"layer2.neurons": 8}, (32, 8), (0, 0, 0)),
        ({"neurons": [32, 16]}, {"neurons": 8, "layer2.neurons": 4}, (8, 4), (0, 0, 0)),
        ({"neurons": 32}, {"hidden_layers": 3}, (32, 32, 32), (0, 0, 0, 0)),
        ({"neurons": 32}, {"hidden_layers": 3, "layer2.neurons": 4}, (32, 4, 32), (0, 0, 0, 0)),
        ({"neurons": 32}, {"hidden_layers": 2, "neurons": 8, "layer1.neurons": 4}, (4, 8), (0, 0, 0)),
        ({"hidden_layers": 2}, {"hidden_layers": 0, "layer1.weight_l2": 0.5}, (), (0.5,)),
        ({"hidden_layers": 2, "weight_l2": 1}, {"layer3.weight_l2": 0.5}, (64, 64), (1, 1, 0.5)),
        ({"neurons": [8, 4], "weight_l2": [1, 2, 3]}, {"layer2.weight_l2": 0.5}, (8, 4), (1, 0.5, 3)),
        ({"neurons": [8, 4], "weight_l2": [1, 2, 3]}, {"weight_l2": 0.5}, (8, 4), (0.5, 0.5, 0.5)),
        ({"weight_l2": [1, 0]}, {"neurons": 8}, (8,), (1, 0)),
    ],
    ids=str,
)
def test_chosen_values_replace_those_of_train_for_all_layers_or_for_one(
    train: dict[str, Any], chosen: dict[str, Any], neurons: tuple[int, ...], weight_l2: tuple[float, ...]
) -> None:
    config = configure(Config(**train), chosen)
    assert (config.by_layer("neurons"), config.by_layer("weight_l2")) == (neurons, weight_l2)
    assert config.depth == len(neurons)


def test_what_is_not_chosen_stays_as_it_is() -> None:
    train = Config(neurons=[8, 4], learning_rate=0.5, weight_l1=[1, 0, 0], optimizer="sgd", momentum=0.5)
    config = configure(train, {"learning_rate": 0.25, "layer1.bias_l1": 0.1})
    before, after = train.model_dump(), config.model_dump()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"learning_rate", "bias_l1", "hidden_layers"}
    assert (config.depth, config.bias_l1) == (train.depth, (0.1, 0.0, 0.0))
