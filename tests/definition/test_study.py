"""A study file: what it means, and that whatever is wrong with it is said in one line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel, ValidationError

from hpsearch.data.preprocess import SCALINGS
from hpsearch.data.sources import SOURCES, Toy
from hpsearch.data.splits import SPLITTERS
from hpsearch.data.target_scaling import TARGET_SCALINGS
from hpsearch.definition.initial_design import INITIAL_DESIGNS
from hpsearch.definition.pruners import PRUNERS
from hpsearch.definition.samplers import SAMPLERS
from hpsearch.definition.sections import HoldoutSection, OriginSection, SearchSection, StudySection, ValidationSection
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DefinitionError
from hpsearch.nn.layers import ACTIVATIONS
from hpsearch.nn.network import INITIALISATIONS
from hpsearch.nn.optimizers import OPTIMIZERS
from hpsearch.search.objective import prepare
from hpsearch.validation.config import Config

STUDIES = sorted((Path(__file__).parent.parent.parent / "studies").glob("*.toml"))
HEAD = '[study]\nname = "a"\n'
DATA = '[data]\nsource = "nnfs:spiral"\n'
SPACE = "[space]\nlearning_rate = { float = [1e-3, 1e-1], log = true }\n"

BY_NAME = {"sampler": SAMPLERS, "pruner": PRUNERS, "initial_design": INITIAL_DESIGNS}

# What a sampler needs that a plain installation lacks.
OPTIONAL_PACKAGES = {"cmaes": "cmaes", "gp": "torch"}

Read = Callable[..., StudyDefinition]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads ``studies/a.toml``, made of the given text."""
    monkeypatch.chdir(tmp_path)
    Path("studies").mkdir()

    def write_and_read(text: str | bytes = HEAD + DATA, *overrides: str) -> StudyDefinition:
        Path("studies/a.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return StudyDefinition.from_file("studies/a.toml", overrides)

    return write_and_read


def refusal(read: Read, text: str | bytes, *overrides: str) -> str:
    """What is said after the file's name: one line, one sentence or more."""
    with pytest.raises(DefinitionError) as caught:
        read(text, *overrides)
    line = str(caught.value)
    assert line.startswith("studies/a.toml: ")
    assert "\n" not in line
    assert re.search(r"[.?)]$", line)
    return line.removeprefix("studies/a.toml: ")


# --- what a file means


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_can_be_run(path: Path) -> None:
    definition = StudyDefinition.from_file(path)
    assert definition.name == path.stem
    assert definition.raw == tomllib.loads(path.read_text(encoding="utf-8"))
    assert len(prepare(definition).splits) == definition.validation.n_splits * definition.validation.repeats


def test_a_file_of_two_sections_has_the_documented_defaults(read: Read) -> None:
    definition = read()
    assert (definition.name, definition.seed) == ("a", 0)
    assert (definition.holdout.fresh, definition.holdout.fraction) == (False, None)
    validation = definition.validation
    assert (validation.splitter, validation.n_splits, validation.repeats) == ("kfold", 5, 1)
    assert (validation.shuffle, validation.checkpoint) == (True, "best")
    assert definition.train == Config()
    assert (definition.trials, dict(definition.space.dimensions)) == (1, {})
    search = definition.search
    assert (search.sampler.name, search.pruner.name, search.in_flight) == ("tpe", "median", 8)
    assert read(HEAD + DATA + SPACE).trials == 100
    assert definition.folder == Path("studies").resolve()


def test_every_value_of_a_file_arrives(read: Read) -> None:
    definition = read("""
[study]
name = "All-of_it.1"
seed = 9223372036854775807
[data]
source = "nnfs:vertical"
samples = 7
classes = 4
[holdout]
fraction = 0.25
[validation]
splitter = "stratified"
n_splits = 3
repeats = 2
checkpoint = "last"
[train]
neurons = [8, 4]
weight_l2 = [5e-4, 0, 1]
batch_size = 16
evaluate_every = 7
[space.layer2]
neurons = { int = [2, 8], log = true }
[search]
trials = 7
sampler = { name = "tpe", n_startup_trials = 3 }
pruner = { name = "median", n_warmup_steps = 50 }
in_flight = 2
""")
    assert (definition.name, definition.seed) == ("All-of_it.1", 2**63 - 1)
    assert definition.data.model_dump() == {"source": "nnfs:vertical", "samples": 7, "classes": 4}
    assert definition.holdout.fraction == 0.25
    assert definition.validation.model_dump() == {
        "splitter": "stratified", "n_splits": 3, "repeats": 2, "shuffle": True, "checkpoint": "last",
        "gap": 0, "fraction": 0.2, "allow": (),
    }  # fmt: skip
    assert definition.train == Config(neurons=[8, 4], weight_l2=[5e-4, 0, 1], batch_size=16, evaluate_every=7)
    assert list(definition.space.dimensions) == ["layer2.neurons"]
    assert (definition.trials, definition.search.in_flight, definition.evaluate_every) == (7, 2, 7)
    assert definition.search.sampler.model_dump() == {"name": "tpe", "n_startup_trials": 3, "n_ei_candidates": 24}
    assert definition.search.pruner.model_dump()["n_warmup_steps"] == 50


@pytest.mark.parametrize(
    ("what", "name", "kind"),
    [(what, *item) for what, registry in BY_NAME.items() for item in registry.items()],
)
def test_a_name_and_a_table_with_that_name_are_the_same(what: str, name: str, kind: type, read: Read) -> None:
    if name in OPTIONAL_PACKAGES:
        pytest.importorskip(OPTIONAL_PACKAGES[name])
    text = f"{HEAD}{DATA}[space]\ndecay = {{ choice = [0.0, 0.1] }}\n[search]\ntrials = 2\n{what} = "
    plain, table = (read(text + value) for value in (f'"{name}"', f'{{ name = "{name}" }}'))
    assert type(getattr(plain.search, what)) is kind
    assert getattr(plain.search, what) == getattr(table.search, what)
    assert plain.identity() == table.identity()


def test_checkpoints_are_a_twentieth_of_the_most_epochs_apart_for_all_trials(read: Read) -> None:
    assert read(f"{HEAD}{DATA}[train]\nepochs = 200\n").evaluate_every == 10
    assert read(f"{HEAD}{DATA}[train]\nepochs = 200\n[space]\nepochs = {{ int = [10, 400] }}\n").evaluate_every == 20
    assert read(f"{HEAD}{DATA}[train]\nepochs = 7\n").evaluate_every == 1


def test_a_mapping_means_what_its_file_means(read: Read, tmp_path: Path) -> None:
    text = HEAD + DATA + SPACE
    from_file, from_mapping = read(text), StudyDefinition.from_mapping(tomllib.loads(text), tmp_path / "studies")
    assert from_file == from_mapping
    with pytest.raises(DefinitionError, match=r"^\[validation\] n_splits must be at least 2, but is 1\.$"):
        StudyDefinition.from_mapping(tomllib.loads(f"{text}[validation]\nn_splits = 1\n"), tmp_path)


def test_a_definition_is_frozen(read: Read) -> None:
    definition = read(
        f'{HEAD}{DATA}{SPACE}[origin]\nstudy = "x"\ntrial = 0\ntrials = 1\nobjective_value = 1.0\naccuracy = 1.0\n'
        'configuration = "c"\ndata_fingerprint = "d"\n'
    )
    for name in ("raw", "folder", "file"):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(definition, name, None)
    sections = [getattr(definition, name) for name in type(definition).model_fields]
    for section in [definition, *sections, definition.search.sampler, definition.search.pruner]:
        for key in type(section).model_fields:
            with pytest.raises(ValidationError, match="frozen"):
                setattr(section, key, getattr(section, key))


def test_a_definition_does_not_change_with_the_mapping_it_was_made_of(tmp_path: Path) -> None:
    raw = tomllib.loads(HEAD + DATA + SPACE)
    definition = StudyDefinition.from_mapping(raw, tmp_path)
    before = definition.attributes()
    raw["study"]["name"] = "b"
    raw["space"].clear()
    assert definition.attributes() == before
    assert definition.with_trials(3).name == "a"


def test_another_number_of_trials_changes_nothing_else(read: Read) -> None:
    definition = read(HEAD + DATA + SPACE)
    more = definition.with_trials(7)
    assert (more.trials, definition.trials) == (7, 100)
    assert more.identity() == definition.identity()
    with pytest.raises(DefinitionError, match="trials must be at least 1, but is 0"):
        definition.with_trials(0)
    with pytest.raises(DefinitionError, match="every trial would be the same"):
        read().with_trials(2)


# --- what is refused


def test_the_wording_of_the_design(read: Read) -> None:
    with pytest.raises(DefinitionError) as caught:
        read(f"{HEAD}{DATA}[validation]\nn_splits = 1\n")
    assert str(caught.value) == "studies/a.toml: [validation] n_splits must be at least 2, but is 1."
    line = refusal(read, f'{HEAD}{DATA}[train]\noptimizer = "adm"\n')
    assert line.endswith("Unknown optimizer 'adm'. Choose one of: adagrad, adam, rmsprop, sgd. Did you mean 'adam'?")


# Section, a line of it, and what its refusal must say beside the section.
BAD_VALUES = [
    ("validation", "n_splits = true", "n_splits must be an integer, but is True."),
    ("validation", "n_splits = 5.0", "n_splits must be an integer, but is 5.0."),
    ("validation", 'n_splits = "5"', "n_splits must be an integer, but is '5'."),
    ("validation", "repeats = 0", "repeats must be at least 1, but is 0."),
    ("validation", "shuffle = 1", "shuffle must be true or false, but is 1."),
    ("validation", 'checkpoint = "bst"', "checkpoint must be 'best' or 'last', but is 'bst'."),
    ("validation", "splitter = 5", "splitter must be text, but is 5."),
    ("holdout", "fraction = 0", "fraction must be above 0"),
    ("holdout", "fraction = 1.0", "fraction must be below 1"),
    ("holdout", "fraction = nan", "fraction must be a finite number, but is nan."),
    ("holdout", "fraction = true", "fraction must be a number, but is True."),
    ("holdout", 'fraction = "0.2"', "fraction must be a number, but is '0.2'."),
    ("holdout", "fresh = 1", "fresh must be true or false, but is 1."),
    ("train", "learning_rate = 0", "learning_rate must be at least 1e-30"),
    ("train", "learning_rate = inf", "learning_rate must be a finite number, but is inf."),
    ("train", "learning_rate = nan", "learning_rate must be a finite number, but is nan."),
    ("train", "learning_rate = true", "learning_rate must be a number, but is True."),
    ("train", "momentum = 1.0", "momentum must be at most 0.999999"),
    ("train", "epochs = 0", "epochs must be at least 1, but is 0."),
    ("train", "epochs = 1e3", "epochs must be an integer, but is 1000.0."),
    ("train", "epochs = 2026-01-01", "epochs must be an integer, but is "),
    ("train", "neurons = 0", "neurons must be an integer from 1 to 1,000,000, or a list of them, but is 0."),
    ("train", "neurons = [8, 0]", "neurons must be an integer from 1 to 1,000,000, or a list of them, but is [8, 0]."),
    ("train", "neurons = true", "neurons must be an integer from 1 to 1,000,000, or a list of them, but is True."),
    (
        "train",
        "weight_l2 = -1",
        "weight_l2 must be 0, or a number from 1e-30 to 1,000,000, or a list of them, but is -1.",
    ),
    ("train", "weight_l2 = [nan, 0]", "weight_l2 must be 0, or a number from 1e-30 to 1,000,000, or a list of them"),
    (
        "train",
        "weight_l2 = [1, 2, 3]",
        "weight_l2 must have one value a layer, the output layer included: 2, but has 3.",
    ),
    ("train", "neurons = [8, 8]\nhidden_layers = 1", "neurons must have one value a hidden layer: 1, but has 2."),
    ("train", "batch_size = 0", "batch_size must be an integer from 1 to 1,000,000,000 or 'full', but is 0."),
    ("train", 'batch_size = "half"', "batch_size must be an integer from 1 to 1,000,000,000 or 'full', but is 'half'."),
    ("train", "batch_size = true", "batch_size must be an integer from 1 to 1,000,000,000 or 'full', but is True."),
    ("train", 'dtype = "float16"', "dtype must be 'float32' or 'float64', but is 'float16'."),
    ("search", "trials = 0", "trials must be at least 1, but is 0."),
    ("search", "trials = true", "trials must be an integer, but is True."),
    ("search", "in_flight = 0", "in_flight must be at least 1, but is 0."),
    ("search", "patience = 0", "patience must be above 0, but is 0."),
    ("search", "patience = 1.01", "patience must be at most 1, but is 1.01."),
    ("search", "patience = nan", "patience must be "),
    ("search", 'patience = "long"', "patience must be a number, but is 'long'."),
    ("search", "patience = true", "patience must be a number, but is True."),
    ("search", "sampler = 3", "sampler must be a name, alone or as 'name' with its options, but is 3."),
    (
        "search",
        "sampler = { n_startup_trials = 3 }",
        "sampler must be a name, alone or as 'name' with",
    ),
    ("search", "pruner = []", "pruner must be a name, alone or as 'name' with its options, but is []."),
    ("search", 'sampler = { name = "tpe", n_startup_trials = 0 }', "n_startup_trials must be at least 1, but is 0."),
    (
        "search",
        'sampler = { name = "tpe", n_startup_trials = true }',
        "n_startup_trials must be an integer, but is True.",
    ),
    ("search", 'pruner = { name = "median", n_min_trials = 1.5 }', "n_min_trials must be an integer, but is 1.5."),
    ("origin", 'study = "a"', "trial is missing."),
]


@pytest.mark.parametrize(("section", "lines", "said"), BAD_VALUES, ids=[f"{s} {line}" for s, line, _ in BAD_VALUES])
def test_a_value_that_cannot_be_is_refused_with_section_key_value_and_what_must_hold(
    section: str, lines: str, said: str, read: Read
) -> None:
    line = refusal(read, f"{HEAD}{DATA}[{section}]\n{lines}\n")
    assert line.startswith(f"[{section}] ")
    assert said in line


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ('name = ""', "must match"),
        ('name = "a b"', "must match"),
        ('name = "a/b"', "must match"),
        ('name = "a\\n"', "must match"),
        ('name = "é"', "must match"),
        ('name = "a.toml"', "must not end in .toml, as files do"),
        ('name = "-a"', "begin with -, as options do"),
        ('name = ".."', "be dots alone"),
        (f'name = "{"a" * 101}"', "must match"),
        ("name = 3", "must be text, but is 3."),
        ("", "name is missing."),
        ('name = "a"\nseed = -1', "seed must be at least 0, but is -1."),
        ('name = "a"\nseed = 9223372036854775808', "seed must be below 9,223,372,036,854,775,808"),
        ('name = "a"\nseed = 1.0', "seed must be an integer, but is 1.0."),
        ('name = "a"\nseed = true', "seed must be an integer, but is True."),
    ],
)
def test_a_name_or_seed_that_cannot_be_is_refused(name: str, said: str, read: Read) -> None:
    line = refusal(read, f"[study]\n{name}\n{DATA}")
    assert line.startswith("[study] ")
    assert said in line


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "source must be text that names where the rows come from"),
        ("source = 3", "source must be text that names where the rows come from, but is 3."),
        ('source = "nnfs:spiral"\nsamples = 0', "samples must be at least 1, but is 0."),
        ('source = "nnfs:spiral"\nsamples = true', "samples must be an integer, but is True."),
        ('source = "nnfs:spiral"\nclasses = 1', "classes must be at least 2, but is 1."),
        ('source = "nnfs:spiral"\nsample = 5', "has no key 'sample'. Choose one of: classes, samples, source."),
        ('source = "sklearn:iris"\nsamples = 5', "has no key 'samples'."),
        ('source = "csv"', "path is missing."),
        ('source = "csv"\npath = "rows.csv"', "target is missing."),
        ('source = "csv"\npath = 3\ntarget = "y"', "path must be text, but is 3."),
    ],
)
def test_data_that_cannot_be_are_refused(data: str, said: str, read: Read) -> None:
    line = refusal(read, f"{HEAD}[data]\n{data}\n")
    assert line.startswith("[data] ")
    assert said in line


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "[holdout]\nfraction = 0.2\nfresh = true\n",
            "[holdout] must have either fraction or fresh = true, but has both.",
        ),
        (
            "[validation]\nrepeats = 2\nshuffle = false\n",
            "[validation] must have shuffle = true where repeats is above 1",
        ),
        ("[search]\ntrials = 5\n", "[search] trials must be 1 where [space] is empty, but is 5"),
        ("[space]\n[search]\ntrials = 2\n", "[search] trials must be 1 where [space] is empty, but is 2"),
        (
            '[validation]\ncheckpoint = "last"\n[search]\npatience = 0.25\n',
            "[search] patience = 0.25 must go with the best checkpoint, but that of the last epoch is to be each "
            'trial\'s value. Leave it out, or set [validation] checkpoint = "best".',
        ),
    ],
)
def test_contradictions_are_refused(body: str, said: str, read: Read) -> None:
    assert refusal(read, HEAD + DATA + body).startswith(said)


@pytest.mark.parametrize("source", [name for name in SOURCES if not name.startswith(("nnfs:", "python:"))])
def test_a_fresh_hold_out_needs_rows_that_can_be_drawn_again(source: str, read: Read) -> None:
    options = 'path = "rows.csv"\ntarget = "y"\n' if source in ("csv", "parquet") else ""
    line = refusal(read, f'{HEAD}[data]\nsource = "{source}"\n{options}[holdout]\nfresh = true\n')
    assert line.startswith(f"[holdout] fresh must go with generated data, but {source!r} cannot be drawn again. Use ")


def test_every_key_of_every_section_has_a_near_name(read: Read) -> None:
    """A key with one letter too many is refused with the key it was meant to be."""
    sections: dict[str, type[BaseModel]] = {
        "study": StudySection,
        "data": Toy,
        "holdout": HoldoutSection,
        "validation": ValidationSection,
        "train": Config,
        "search": SearchSection,
        "origin": OriginSection,
    }
    origin = {"study": "x", "trial": 1, "trials": 2, "objective_value": 0.5, "accuracy": 0.5}
    origin |= {"configuration": "c", "data_fingerprint": "d"}
    for section, model in sections.items():
        for key in model.model_fields:
            raw: dict[str, Any] = tomllib.loads(HEAD + DATA)
            raw.setdefault(section, dict(origin) if section == "origin" else {})[f"{key}x"] = 1
            with pytest.raises(DefinitionError) as caught:
                StudyDefinition.from_mapping(raw, Path())
            line = str(caught.value)
            assert line.startswith(f"[{section}] has no key '{key}x'. Choose one of: ")
            assert line.endswith(f"Did you mean {key!r}?")
            assert all(other in line for other in model.model_fields)


@pytest.mark.parametrize(
    ("where", "registry"),
    [
        ("validation.splitter", SPLITTERS),
        ("train.optimizer", OPTIMIZERS),
        ("train.activation", ACTIVATIONS),
        ("train.init", INITIALISATIONS),
        ("train.scaling", SCALINGS),
        ("train.target_scaling", TARGET_SCALINGS),
        ("search.sampler", SAMPLERS),
        ("search.pruner", PRUNERS),
        ("search.initial_design", INITIAL_DESIGNS),
        ("search.sampler.name", SAMPLERS),
        ("data.source", [name for name in SOURCES if not name.startswith("python:")]),
    ],
)
def test_a_misspelt_name_is_refused_with_all_names_and_the_nearest(where: str, registry: Any, read: Read) -> None:
    for name in registry:
        line = refusal(read, HEAD + DATA, f'{where}="{name}x"')
        assert line.startswith(f"[{where.split('.')[0]}] ")
        assert f"'{name}x'. Choose one of: " in line
        assert line.endswith(f"Did you mean {name!r}?")
        assert all(other in line for other in registry)


@pytest.mark.parametrize(("what", "registry"), BY_NAME.items())
def test_an_unknown_option_of_what_has_a_name_is_refused_naming_both(what: str, registry: Any, read: Read) -> None:
    for name, kind in registry.items():
        line = refusal(read, f'{HEAD}{DATA}[search]\n{what} = {{ name = "{name}", nam = 1 }}\n')
        assert line.startswith(f"[search] {what} {name!r}: has no key 'nam'. Choose one of: ")
        assert all(option in line for option in kind.model_fields)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The section [study] is missing."),
        (DATA, "The section [study] is missing."),
        (HEAD, "The section [data] is missing."),
        (f"{HEAD}{DATA}[validaton]\n", "There is no section [validaton]. Choose one of: data, "),
        (f"trials = 3\n{HEAD}{DATA}", "There is no section [trials]. Choose one of: data, "),
        (f"train = 3\n{HEAD}{DATA}", "[train] must be a table, but is 3."),
        (f"{HEAD}{DATA}[[train]]\nepochs = 3\n", "[train] must be a table, but is [{"),
        (f"{HEAD}{DATA}[train\n", "must be valid TOML, but "),
        (f"{HEAD}{DATA}[train]\nepochs = 1\nepochs = 2\n", "must be valid TOML, but "),
        (b"\xff\xfe\x00", "must be valid TOML, but "),
        ("\0", "must be valid TOML, but "),
    ],
)
def test_a_file_that_is_no_study_is_refused(text: str | bytes, said: str, read: Read) -> None:
    assert refusal(read, text).startswith(said)
    assert "validation'?" in refusal(read, f"{HEAD}{DATA}[validaton]\n")


@pytest.mark.parametrize("path", ["absent.toml", ".", "no/such/folder.toml"])
def test_a_file_that_cannot_be_read_is_refused_by_its_path(path: str, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r": must be a study file that can be read, but .*\.$") as caught:
        StudyDefinition.from_file(tmp_path / path)
    assert str(caught.value).startswith(str(tmp_path / path))


def test_of_several_problems_the_first_is_said_and_the_others_counted(read: Read) -> None:
    line = refusal(read, f"{HEAD}{DATA}[validation]\nn_splits = 1\nrepeats = 0\nfoo = 1\n")
    assert line == "[validation] n_splits must be at least 2, but is 1. (2 more after this.)"
    line = refusal(read, f"{HEAD}{DATA}[validation]\nn_splits = true\nrepeats = 0\n")
    assert line == "[validation] n_splits must be an integer, but is True. (1 more after this.)"
    line = refusal(read, f"{HEAD}{DATA}[space]\nneurons = {{ int = [1, 9], step = nan }}\n")
    assert line == "[space] neurons step must be a finite number, but is nan."


# --- overrides


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.epochs=7", "epochs", 7),
        (" train.epochs = 7 ", "epochs", 7),
        ("train.learning_rate=1e-3", "learning_rate", 0.001),
        ("train.neurons=[8, 4]", "neurons", (8, 4)),
        ('train.optimizer="sgd"', "optimizer", "sgd"),
        ("train.optimizer=sgd", "optimizer", "sgd"),
        ("train.batch_size=full", "batch_size", "full"),
        ("train.batch_size=0x10", "batch_size", 16),
    ],
)
def test_an_override_is_a_toml_value_or_else_text(override: str, key: str, value: Any, read: Read) -> None:
    definition = read(f"{HEAD}{DATA}[train]\nepochs = 3\nbatch_size = 5\n", override)
    assert getattr(definition.train, key) == value
    assert definition.raw["train"][key] == (list(value) if isinstance(value, tuple) else value)


def test_overrides_reach_sections_and_tables_that_are_not_there_and_the_last_one_counts(read: Read) -> None:
    overrides = ["space.layer1.neurons={ int = [4, 8] }", "search.trials=5", "search.trials=6", "validation.n_splits=3"]
    definition = read(HEAD + DATA, *overrides, "search.sampler.name=random")
    assert list(definition.space.dimensions) == ["layer1.neurons"]
    assert (definition.trials, definition.validation.n_splits, definition.search.sampler.name) == (6, 3, "random")


def test_an_override_is_checked_like_the_file(read: Read) -> None:
    assert refusal(read, HEAD + DATA, "validation.n_splits=1") == "[validation] n_splits must be at least 2, but is 1."
    assert refusal(read, HEAD + DATA, "train.epochs=many") == "[train] epochs must be an integer, but is 'many'."
    assert refusal(read, HEAD + DATA, "trin.epochs=1").endswith("Did you mean 'train'?")


@pytest.mark.parametrize(
    "override", ["", "=", "epochs", "epochs=3", "=3", "train.=3", "train.epochs", "data.samples.x=3"]
)
def test_a_malformed_override_is_refused_as_it_was_written(override: str, read: Read) -> None:
    with pytest.raises(DefinitionError, match=r"^overrides must ") as caught:
        read(f"{HEAD}{DATA}samples = 3\n", override)
    assert repr(override) in str(caught.value)
    assert "\n" not in str(caught.value)


# --- identity


def another(name: str) -> Any:
    """A valid value of a hyperparameter other than its default."""
    candidates = [
        0.5,
        7,
        *OPTIMIZERS,
        *ACTIVATIONS,
        *INITIALISATIONS,
        *SCALINGS,
        *TARGET_SCALINGS,
        "float64",
        "balanced",
        "binary_cross_entropy",
    ]
    for value in candidates:
        try:
            if getattr(Config(**{name: value}), name) != getattr(Config(), name):
                return value
        except ValidationError:
            continue
    raise AssertionError(f"no other value of {name} is known here")


FULL = f"""{HEAD}seed = 1
{DATA}
[holdout]
fraction = 0.2
[space]
neurons = {{ int = [4, 8] }}
learning_rate = {{ float = [1e-3, 1e-1], log = true }}
optimizer = {{ choice = ["adam", "rmsprop", "sgd"] }}
activation = {{ choice = ["leaky_relu", "relu"] }}
[search]
sampler = "tpe"
pruner = "median"
"""


@pytest.mark.parametrize(
    "override",
    [
        "study.name=b",
        "study.seed=2",
        "data.samples=99",
        "data.classes=4",
        "data.source=nnfs:vertical",
        "holdout.fraction=0.3",
        "validation.splitter=stratified",
        "validation.n_splits=4",
        "validation.repeats=2",
        "validation.shuffle=false",
        "validation.checkpoint=last",
        *(f"train.{name}={another(name)}" for name in Config.model_fields if name != "target_scaling"),
        "space.neurons={ int = [4, 9] }",
        "space.neurons={ int = [4, 8], log = true }",
        "space.neurons={ int = [4, 8], step = 2 }",
        "space.learning_rate={ float = [1e-3, 1e-1] }",
        "space.neurons={ choice = [4, 8] }",
        "space.decay={ float = [0, 1] }",
        'space.optimizer={ choice = ["sgd", "adam"] }',
        "search.in_flight=7",
        "search.objective=accuracy",
        "search.patience=1",
        "search.max_parameters=500",
        'search.objectives=["loss", "parameters"]',
        "search.sampler=random",
        'search.sampler={ name = "tpe", n_startup_trials = 11 }',
        'search.sampler={ name = "tpe", n_ei_candidates = 25 }',
        "search.pruner=none",
        'search.pruner={ name = "median", n_startup_trials = 6 }',
        'search.pruner={ name = "median", n_warmup_steps = 1 }',
        'search.pruner={ name = "median", n_min_trials = 2 }',
    ],
)
def test_the_identity_changes_with_whatever_changes_a_trial(override: str, read: Read) -> None:
    one, other = read(FULL).identity(), read(FULL, override).identity()
    changed = {key for key in {*one, *other} if one.get(key) != other.get(key)}
    assert {key.split(".")[0] for key in changed} == {override.split(".")[0]}


@pytest.mark.parametrize("name", TARGET_SCALINGS)
def test_the_identity_has_a_target_scaling_where_it_is_not_what_it_always_was(name: str, read: Read) -> None:
    text = f'{HEAD}[data]\nsource = "sklearn:diabetes"\n[space]\nepochs = {{ int = [4, 8] }}\n'
    without, identity = read(text).identity(), read(text, f"train.target_scaling={name}").identity()
    assert identity == (without if name == "standard" else {**without, "train.target_scaling": name})


def test_a_target_scaling_needs_a_regression_target(read: Read) -> None:
    for name in ("log", "power"):
        line = refusal(read, FULL, f"train.target_scaling={name}")
        assert line.startswith("[train] target_scaling must go with a regression target, but ")
        line = refusal(read, FULL, f'space.target_scaling={{ choice = ["standard", "{name}"] }}')
        assert line.startswith("[space] target_scaling must go with a regression target, but ")


def test_the_target_scalings_of_a_study_are_those_that_a_trial_may_use(read: Read) -> None:
    text = f'{HEAD}[data]\nsource = "sklearn:diabetes"\n[space]\nepochs = {{ int = [4, 8] }}\n'
    assert read(text).target_scalings == ("standard",)
    assert read(text, "train.target_scaling=log").target_scalings == ("log",)
    chosen = read(text, 'space.target_scaling={ choice = ["power", "log"] }')
    assert chosen.target_scalings == ("log", "power", "standard")
    assert chosen.config({"target_scaling": "power"}).target_scaling == "power"
    assert "Did you mean 'log'?" in refusal(read, text, 'space.target_scaling={ choice = ["logg", "power"] }')


def test_a_fresh_hold_out_is_another_study_than_a_fraction_or_none(read: Read) -> None:
    lines = ("fraction = 0.2", "fresh = true", "")
    identities = [str(read(FULL.replace("fraction = 0.2", line)).identity()) for line in lines]
    assert len(set(identities)) == 3


def test_the_order_of_the_space_is_part_of_the_identity(read: Read) -> None:
    lines = ["neurons = { int = [4, 8] }", "decay = { float = [0, 1] }"]
    one, other = (read(f"{HEAD}{DATA}[space]\n" + "\n".join(order)).identity() for order in (lines, lines[::-1]))
    assert one != other
    assert {key for key in one if one[key] != other[key]} == {"space.order"}


def test_the_identity_does_not_change_with_what_changes_no_trial(read: Read, tmp_path: Path) -> None:
    before = read(FULL).identity()
    assert "search.patience" not in before  # as of studies stored before there was one
    for override in ("search.trials=7", "validation.n_splits=5", "train.optimizer=adam", "study.seed=1"):
        assert read(FULL, override).identity() == before
    assert read(FULL.replace("\n", "\r\n") + "# a comment\n").identity() == before
    assert read(b"\xef\xbb\xbf" + FULL.encode()).identity() == before
    assert StudyDefinition.from_mapping(read(FULL).raw, tmp_path / "elsewhere").identity() == before


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_identity_does_not_change_where_a_file_lies_but_with_what_is_in_it(kind: str, tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    rows = pd.read_csv(STUDIES[0].parent / "flowers.csv")
    for name, part in (("one", rows), ("two/other", rows), ("less", rows[:-1])):
        if kind == "csv":
            part.to_csv(tmp_path / f"{name}.csv", index=False)
        else:
            part.to_parquet(tmp_path / f"{name}.parquet")
    identities = [
        prepare(StudyDefinition.from_mapping({**tomllib.loads(HEAD), "data": data}, tmp_path)).identity()
        for name in ("one", "two/other", "less")
        for data in [{"source": kind, "path": f"{name}.{kind}", "target": "species"}]
    ]
    assert identities[0] == identities[1]
    assert {key for key in identities[0] if identities[0][key] != identities[2][key]} == {"data.fingerprint"}


def test_the_options_of_a_function_are_part_of_the_identity(read: Read) -> None:
    source = f'{HEAD}[data]\nsource = "python:rows:load"\npath = "x"\n'
    one, other, third = (read(source + line).identity() for line in ("n = 1\n", "n = 2\n", ""))
    assert one["data.n"] == 1
    assert one["data.path"] == "x"
    assert one != other != third
