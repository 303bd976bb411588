"""The examples in the documentation run, and say what they say."""

from __future__ import annotations

import doctest
import inspect
import re
import shutil
from pathlib import Path

import pytest
from conftest import TOP
from readmes import table

import hpsearch

PUBLIC = [name for name in hpsearch.__all__ if not name.endswith("Error")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: a study that an example has run is there for the next."""
    made = tmp_path_factory.mktemp("examples")
    shutil.copytree(TOP / "studies", made / "studies")
    return made


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_an_example_that_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("HPSEARCH_STORAGE", raising=False)
    thing = getattr(hpsearch, name)
    names = {public: getattr(hpsearch, public) for public in PUBLIC}
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(thing) or "", names, name, None, None)
    assert test.examples, f"{name} has no example"
    told: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=told.append)
    assert not told, "".join(told)


def test_the_readme_lists_every_public_name_and_no_other() -> None:
    cells = [row[0] for row in table("hpsearch/README.md", "`hpsearch.…` | is")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(cells))) == hpsearch.__all__
