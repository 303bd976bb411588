"""What the tests share: small study files, and the command line called in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    import pandas as pd

TOP = Path(__file__).parent.parent

# Small enough to run in a second; conditional and layered hyperparameters, both prunings, mini-batches; what has finals
# has FINALS in place of the last line.
SMALL = """
[study]
name = "small"
seed = 3

[data]
source = "nnfs:spiral"
samples = 20

[holdout]
fraction = 0.25

[validation]
n_splits = 3

[train]
epochs = 40
evaluate_every = 8
batch_size = 16

[space]
hidden_layers = { int = [1, 2] }
optimizer = { choice = ["adam", "sgd"] }
learning_rate = { float = [1e-3, 1.0], log = true }
momentum = { float = [0.0, 0.9] }

[space.layer1]
neurons = { int = [4, 16], log = true }

[space.layer2]
neurons = { int = [4, 16], log = true }

[search]
trials = 16
sampler = { name = "tpe", n_startup_trials = 5 }
pruner = { name = "median", n_startup_trials = 2 }
in_flight = 3
finalists = 0
"""
FINALS = "finalists = 3\nfinalist_repeats = 2"


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str


# Runs one command line after the other, and prints the status, the output and the errors of each.
COMMANDS = """
import contextlib, io, json, sys
from hpsearch.cli import main
done = []
for arguments in json.loads(sys.argv[1]):
    sys.argv, out, err = ["hpsearch", *arguments], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            done.append((ended.code or 0, out.getvalue(), err.getvalue()))
print(json.dumps(done))
"""


def commands(*lines: list[str], before: Sequence[str] = (), **environment: str) -> list[Outcome]:
    """What command lines do one after the other, in one process of their own: each has to start and import."""
    process = [*before, sys.executable, "-c", COMMANDS, json.dumps(lines)]
    done = subprocess.run(process, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True)
    return [Outcome(*one) for one in json.loads(done.stdout)]


def read_exactly(path: Path | str, kinds: dict[str, str] | None = None) -> pd.DataFrame:
    """A CSV file's rows, with every number exactly as it is written; pandas before 3.1 rounds some by itself."""
    import pandas as pd

    table, text = pd.read_csv(path, dtype=kinds), pd.read_csv(path, dtype="str")
    floats = table.columns[[pd.api.types.is_float_dtype(kind) for kind in table.dtypes]]
    return table.assign(**{name: text[name].astype(table[name].dtype) for name in floats})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The simulation takes longest, in one process: it begins first, so that no other process waits for its end."""
    items.sort(key=lambda item: item.path.parent.name != "simulation")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small study file, in an empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPSEARCH_STORAGE", raising=False)
    monkeypatch.setenv("HPSEARCH_WORKERS", "1")  # worker processes take a second to start, and have tests of their own
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture
def hpsearch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Call the command line: ``hpsearch("trials", "small")``."""
    from hpsearch.cli import main

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["hpsearch", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="module", params=["numpy", pytest.param("compiled", marks=pytest.mark.campaign)])
def each_kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """Trains with NumPy's kernels; in the campaign once more with the compiled ones, which plain tests know to have the
    same bits."""
    from hpsearch.nn import kernels

    if request.param == "compiled":
        pytest.importorskip("numba")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HPSEARCH_KERNELS", request.param)
        kernels.begin(0)
        yield request.param
    kernels.begin(0)


@pytest.fixture(scope="session")
def mixed() -> Callable[..., pd.DataFrame]:
    """Makes rows of all kinds of columns, some with missing values, and a target that depends on them."""
    import pandas as pd

    def make(count: int = 120, seed: int = 0) -> pd.DataFrame:
        draw = np.random.default_rng(seed)

        def gaps(values: np.ndarray, share: float = 0.2) -> np.ndarray:
            return np.where(draw.random(count) < share, None, values.astype(object))

        age, weight = draw.normal(40, 12, count).round(1), draw.normal(70, 9, count).round(2)
        port, sex = draw.choice(["Oslo", "Rome", "Åbo"], count), draw.choice(["f", "m"], count)
        member = draw.random(count) < 0.4
        score = (age - 40) / 12 + (port == "Rome") + member + draw.normal(0, 0.5, count)
        return pd.DataFrame(
            {
                "age": pd.array(gaps(age), dtype="Float64").astype("float64"),
                "port": pd.Series(gaps(port), dtype="str"),
                "member": pd.array(gaps(member), dtype="boolean"),
                "weight": weight,
                "sex": pd.Series(sex, dtype="str"),
                "paid": draw.random(count) < 0.5,
                "kind": pd.Series(np.where(score > 0.6, "yes, twice", "once"), dtype="str"),
            }
        )

    return make
