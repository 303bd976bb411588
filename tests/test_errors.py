"""An error carries where, what must hold, what was got and what to do; who shows it chooses the words for settings."""

from __future__ import annotations

import copy
import pickle

import pytest

from hpsearch import errors
from hpsearch.errors import DataError, DefinitionError, HpsearchError, Setting, as_argument, did_you_mean, located

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
