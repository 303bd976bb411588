"""What the tests share: small study files, and the command line called in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent

# Small enough to run in a second; conditional and layered hyperparameters, both prunings, mini-batches.
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
"""


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str


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
