"""An error carries where, what must hold, what was got and what to do; who shows it chooses the words for settings."""

from __future__ import annotations

import copy
import pickle

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch import errors
from hpsearch.errors import (
    MOST_SHOWN,
    DataError,
    DefinitionError,
    HpsearchError,
    Setting,
    as_argument,
    did_you_mean,
    located,
    quoted,
)

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HpsearchError)]


def option(setting: Setting) -> str:
    return f"--{setting.name}" + (f" {setting.value}" if setting.has_value else "")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            DataError("must be a number", "is 'a'", "Correct it.", ("rows.csv", "row 3", "column 'x'")),
            "rows.csv, row 3, column 'x': must be a number, but is 'a'. Correct it.",
        ),
        (DataError("must be a number"), "must be a number."),
        (DataError(got="There is no study 'x'", do="Run one first."), "There is no study 'x'. Run one first."),
        (
            DefinitionError("must be at least 1", "is 0", where=("f.toml", Setting("search.trials"))),
            "f.toml: trials must be at least 1, but is 0.",
        ),
        (
            DataError("must be few", do=("Leave it out: ", Setting("drop", ["x"]), ".")),
            "must be few. Leave it out: drop=['x'].",
        ),
    ],
)
def test_the_fields_become_a_line(error: HpsearchError, text: str) -> None:
    assert str(error) == text


@given(st.text() | st.integers() | st.floats() | st.binary() | st.lists(st.text() | st.integers() | st.none()))
def test_a_value_is_shown_as_python_writes_it_or_cut_in_one_line(value: object) -> None:
    text = quoted(value)
    assert text.isprintable()
    assert len(text) <= MOST_SHOWN + 2  # quotes
    if len(repr(value)) <= MOST_SHOWN:
        assert text == repr(value)
    elif not isinstance(value, int):
        assert "…" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10**5000, "an integer of about 5,001 digits"),
        (-(16**9000), "an integer of about 10,838 digits"),
        ([10**5000], "of type list"),
        ("a\nb\x1b[31m\u202e\ud800", r"'a\nb\x1b[31m\u202e\ud800'"),
        ("x" * 5000, f"'{'x' * 79}…'"),
        (pd.DataFrame({"a": [1, 2]}), "a 0 1 1 2"),
    ],
    ids=["digits", "negative", "list", "escapes", "long", "table"],
)
def test_a_hostile_value_is_shown_in_one_short_line(value: object, text: str) -> None:
    assert quoted(value) == text


def test_an_error_is_one_line_whatever_its_parts_are() -> None:
    error = DataError("must be\nfew", "are \x1b[31mred", "Try\tit.", ("a\nb", "x" * 5000, Setting("y" * 5000)))
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    assert len(did_you_mean("x" * 5000, [f"{'y' * 5000}{n}" for n in range(10_000)])) < 5000


@pytest.mark.parametrize(("name", "valid"), [("y", " y "), ("Y", "y"), ("specie", "species")])
def test_a_name_is_meant_that_is_written_almost_so(name: str, valid: str) -> None:
    assert did_you_mean(name, ["a", valid, "b"]).endswith(f" Did you mean {valid!r}?")


def test_a_caller_adds_the_place_and_the_words() -> None:
    error = DataError("must be few", "are 7", ("Try ", Setting("top", 5), "."), Setting("top"))
    with pytest.raises(DataError) as caught, located("rows.csv", wording=option), located("row 1"):
        raise error
    assert caught.value is error
    assert error.where == ("rows.csv", "row 1", Setting("top"))
    assert str(error) == "rows.csv, row 1: --top must be few, but are 7. Try --top 5."
    assert error.text(as_argument) == "rows.csv, row 1: top must be few, but are 7. Try top=5."


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_from_a_worker(kind: type[HpsearchError]) -> None:
    error = kind("must be one", "is two", ("Use ", Setting("drop"), "."), ("file", Setting("drop", [1]))).at("folder")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is kind
        assert (other.must, other.got, other.do, other.where) == (error.must, error.got, error.do, error.where)
        assert str(other) == str(error) == "folder, file: drop=[1] must be one, but is two. Use drop."
