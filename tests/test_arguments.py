"""Wrong arguments of public functions: each is refused in one line that names it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hpsearch
from hpsearch import api
from hpsearch.errors import HpsearchError

FUNCTIONS = {name: getattr(api, name) for name in hpsearch.__all__ if inspect.isfunction(vars(api).get(name))}
WRONG = (b"x", 1.5, -1, [3], "x", object(), print, pd.DataFrame({"a": [1]}), {"a": "b"}, True, None)
FEW = {
    "rows": "rows.csv",
    "study": "s.toml",
    "model": "model",
    "first": "a",
    "second": "b",
    "name": "n",
    "path": "p.html",
}
DEFINITION = {"study": {"name": "a"}, "data": {"source": "sklearn:iris"}, "search": {"trials": 1}}
DEFINITION |= {"space": {"weight_l2": {"float": [0.1, 0.2]}}}


def fits(value: Any, annotation: str) -> bool:
    """Whether the type is one that the annotation has; read apart from what checks it."""
    kinds = {bytes: (), float: ("float",), int: ("int", "float"), list: ("Sequence[",), str: ("str",), bool: ("bool",)}
    kinds |= {object: (), pd.DataFrame: ("pd.DataFrame",), dict: ("Mapping[",), type(print): ("Callable[",)}
    kinds |= {type(None): ("None",)}
    return any(kind in annotation for kind in kinds[type(value)])


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_value_of_another_type_is_refused_in_a_line_that_names_the_argument(name: str) -> None:
    function = FUNCTIONS[name]
    signature = inspect.signature(function)
    needed = {key: FEW[key] for key, one in signature.parameters.items() if one.default is one.empty}
    for argument, parameter in signature.parameters.items():
        for value in WRONG:
            if fits(value, parameter.annotation):
                continue
            with pytest.raises(HpsearchError) as caught:
                function(**{**needed, argument: value})
            said = str(caught.value)
            assert "\n" not in said
            assert argument in said or "the rows must be" in said, (name, argument, value, said)
            assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"workers": "2"}, "^workers must be a whole number from 1 to 1,000, but is '2'\\.$"),
        ({"workers": 0}, "^workers must be a whole number from 1 to 1,000, but is 0\\.$"),
        ({"timeout": "x"}, "^timeout must be a number of seconds from 0 to 1,000,000,000, but is 'x'\\.$"),
        ({"timeout": -1}, "but is -1"),
        ({"timeout": float("nan")}, "but is nan"),
        ({"progress": "yes"}, "^progress must be True or False, but is 'yes'\\.$"),
        ({"watch": 3}, "^watch must be a function, but is 3\\.$"),
        ({"overrides": ["a.b=1", 3]}, "overrides must be a list of texts, but is of type list"),
        ({"trials": 2.0}, "^trials must be a whole number, of at most 18 digits, but is 2.0\\.$"),
        ({"storage": Path("x.db")}, "^storage must be text, but is PosixPath"),
    ],
)
def test_a_run_says_what_an_argument_must_be(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(HpsearchError, match=why):
        hpsearch.run("absent.toml", **arguments)


def test_names_and_numbers_of_arguments_are_python_s_own_to_refuse() -> None:
    calls: tuple[Callable[[], object], ...] = (lambda: api.run(), lambda: api.load_best("a", at_mots=3))  # type: ignore[call-arg]
    for call, why in zip(calls, ("run\\(\\) missing 1 required", "load_best\\(\\) got an unexpected"), strict=True):
        with pytest.raises(TypeError, match=why):
            call()


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: hpsearch.Bundle.load(3), "folder must be the folder that a model was saved in, but is 3"),
        (lambda: hpsearch.StudyDefinition.from_file(3), "path must be a study file's name, but is 3"),
        (lambda: hpsearch.figures.curves(3), "study must be a study's name, its file, or what run returned, but is 3"),
        (lambda: hpsearch.StudyResult("a", "sqlite:///a.db").best_at_most("x"), "at_most must be a whole number"),
        (lambda: hpsearch.load_best(hpsearch.StudyDefinition.from_mapping(DEFINITION)), "of type StudyDefinition"),
        (lambda: hpsearch.nested("a.toml", outer=1), "outer must be a whole number from 2 to 1,000, but is 1"),
        (lambda: hpsearch.cross_validate(hpsearch.StudyResult("a", "b")), "but is of type StudyResult"),
    ],
)
def test_other_public_things_say_so_too(call: Callable[[], object], why: str) -> None:
    with pytest.raises(HpsearchError, match=why):
        call()
