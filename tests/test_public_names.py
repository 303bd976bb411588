"""What the package shows to the outside."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

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
