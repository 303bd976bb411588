"""What the package shows to the outside."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FINALS, SMALL

import hpsearch
from hpsearch import errors


def test_all_is_sorted_and_every_name_exists() -> None:
    assert hpsearch.__all__ == sorted(hpsearch.__all__)
    for name in hpsearch.__all__:
        assert getattr(hpsearch, name).__name__.removeprefix("hpsearch.") == name


def test_every_public_name_is_documented() -> None:
    for name in hpsearch.__all__:
        assert inspect.getdoc(getattr(hpsearch, name))


def test_every_error_is_public_and_stands_in_the_drawn_tree() -> None:
    tree = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert set(tree) == {name for name in hpsearch.__all__ if name.endswith("Error")}
    for name in tree:
        assert name in (errors.__doc__ or "")
        assert issubclass(getattr(errors, name), errors.HpsearchError)


def test_an_absent_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = hpsearch.absent


def test_importing_the_package_loads_nothing() -> None:
    heavy = ("numpy", "pandas", "optuna", "plotly", "pydantic")
    program = f"import sys, hpsearch; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small study, of which three trials ran, and its finals."""
    folder = tmp_path_factory.mktemp("ended")
    (folder / "small.toml").write_text(SMALL.replace("finalists = 0", FINALS), encoding="utf-8")
    hpsearch.run(folder / "small.toml", trials=3, storage=f"sqlite:///{folder}/hpsearch.db")
    return folder


# What takes long to import, scikit-learn first of all; it needs pandas and all of SciPy.
SLOW = {"pandas", "plotly", "scipy", "sklearn", "sqlalchemy", "tomlkit"}
COMMAND = "from hpsearch.cli import main; sys.argv = {arguments}; main()"


@pytest.mark.parametrize(
    ("program", "allowed"),
    [
        (COMMAND.format(arguments=["hpsearch", "--help"]), set()),
        # A Mann-Whitney test, of a best value at an end of its range, is SciPy's, which then imports pandas.
        (COMMAND.format(arguments=["hpsearch", "best", "small"]), {"scipy", "sqlalchemy", "pandas"}),
        (COMMAND.format(arguments=["hpsearch", "trials", "small"]), {"pandas", "sqlalchemy"}),
        pytest.param(
            *(COMMAND.format(arguments=["hpsearch", "studies"]), {"pandas", "sqlalchemy"}), marks=pytest.mark.campaign
        ),
        ("import hpsearch.search.executors", set()),  # what a worker has imported when it is ready
    ],
    ids=["help", "best", "trials", "studies", "a worker"],
)
def test_what_starts_loads_what_it_needs(program: str, allowed: set[str], ended: Path) -> None:
    shown = f"import atexit, sys\natexit.register(lambda: print('\\n', *sys.modules))\n{program}"
    out = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True, cwd=ended)
    loaded = set(out.stdout.splitlines()[-1].split())
    assert loaded & SLOW <= allowed


def test_numpy_is_left_as_it_was() -> None:
    """nnfs.init() would replace these for the whole process; and no import of ours draws from the global generator."""
    program = (
        "import numpy as np; before = [np.dot, np.zeros, np.eye, np.random.randn]\n"
        "state = np.random.get_state()[1].copy()\n"
        "import hpsearch; from pathlib import Path\n"
        "from hpsearch.data.sources import Toy\n"
        "Toy(source='nnfs:spiral').load(Path('.'), 1)\n"
        "assert before == [np.dot, np.zeros, np.eye, np.random.randn]\n"
        "assert (np.random.get_state()[1] == state).all()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
