"""Makes a set of files for :mod:`test_formats` with the program that is on the path, as its users would.

    PYTHONPATH=CHECKOUT .venv/bin/python tests/formats/make.py tests/formats/2026-11-30.tar.xz

A set has, of one version: study files, a database with a finished study and one whose process was killed, with their
per-row results, saved models, and in ``expected.json`` what that version itself said of them. A program that does not
know a key or a model yet is told so: ``--without finalists --without members``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import hpsearch

FOLDER = Path("/tmp/hpsearch-formats")  # always the same: what is stored of a study names its folder
DONE = """
[study]
name = "done"
seed = 5

[data]
source = "csv"
path = "rows.csv"
target = "kind"

[holdout]
fraction = 0.25

[validation]
n_splits = 3
splitter = "stratified"

[train]
epochs = 24
evaluate_every = 12
batch_size = 8
optimizer = "adam"

[space]
learning_rate = { float = [1e-2, 1e-1], log = true }
weight_l2 = { float = [1e-5, 1e-2], log = true }
activation = { choice = ["relu", "tanh"] }

[space.layer1]
neurons = { int = [3, 8] }

[search]
trials = 5
sampler = { name = "tpe", n_startup_trials = 3 }
pruner = { name = "median", n_startup_trials = 2 }
finalists = 2
finalist_repeats = 2

[retrain]
members = 3
"""
# Random proposals and no pruner: on another machine the same trials, with other last bits.
HALF = """
[study]
name = "half"
seed = 11

[data]
source = "csv"
path = "rows.csv"
target = "price"
drop = ["kind"]
task = "regression"

[validation]
n_splits = 3

[train]
epochs = 40
evaluate_every = 20
batch_size = 4

[space]
learning_rate = { float = [1e-3, 1e-2], log = true }

[space.layer1]
neurons = { int = [3, 8] }

[search]
trials = 4
sampler = "random"
pruner = "none"
finalists = 0
"""
# What a study's best configuration is exported as, written by hand: nothing is left to search.
FIXED = HALF[: HALF.index("[space]")].replace('"half"', '"fixed"') + "neurons = 5\n"
MODELS = {  # of a study file, and of how many members
    "classes": ("best.toml", 1),
    "number": ("fixed.toml", 1),
    "classes-ensemble": ("best.toml", 3),
    "number-ensemble": ("fixed.toml", 2),
}
TABLES = ("trials", "folds", "curves")


def rows() -> str:
    """60 rows of all kinds of columns, some without a value; drawn without a generator, whose stream may change."""
    lines = ["age,weight,port,member,kind,price"]
    for number in range(60):
        a, b = (number * 37 % 61) / 61, (number * 53 % 67) / 67
        kind = ("low", "mid", "high")[min(2, int((a + b) * 1.5))]
        age = "" if number % 11 == 3 else f"{20 + 50 * a:.1f}"
        port = ("Oslo", "Rome", "Åbo")[number * 7 % 5 % 3] if number % 13 else ""
        member = "true" if number * 5 % 7 > 2 else "false"
        lines.append(f"{age},{55 + 40 * b:.2f},{port},{member},{kind},{100 * a * a + 30 * b + number % 3:.2f}")
    return "\n".join(lines) + "\n"


def call(folder: Path, *arguments: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "hpsearch", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "HPSEARCH_STORAGE": "sqlite:///hpsearch.db", "HPSEARCH_WORKERS": "1"}


def kill_in_the_middle(folder: Path) -> None:
    """Run ``half``, and kill it while its third or a later trial is in training."""
    call(folder, "run", "half.toml", "--trials", "2")
    command = [sys.executable, "-m", "hpsearch", "run", "half.toml"]
    ready = "SELECT count(*) FROM trials JOIN studies USING (study_id) WHERE study_name = 'half' AND state = 'RUNNING'"
    with subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with closing(sqlite3.connect(folder / "hpsearch.db")) as database:
                if database.execute(ready).fetchone()[0]:
                    process.send_signal(signal.SIGKILL)
                    return
            time.sleep(0.002)
    raise SystemExit("half: it came to its end before it was killed")


def add_study_files(folder: Path) -> None:
    """Those that come with this version, and what it drafts."""
    (folder / "studies").mkdir()
    for path in (Path(hpsearch.__file__).parent.parent / "studies").glob("*.toml"):
        shutil.copy(path, folder / "studies")
    call(folder, "init", "rows.csv", "--target", "kind", "-o", "studies/drafted.toml")
    (folder / "studies" / "hpsearch.schema.json").unlink()


def finished(folder: Path) -> object:
    """The trials of ``half`` after its end, in a copy."""
    with TemporaryDirectory() as parent:
        copy = Path(parent) / "copy"
        shutil.copytree(folder, copy)
        call(copy, "run", "half.toml")
        return json.loads(call(copy, "trials", "half", "--format", "json"))


def make(folder: Path, without: list[str]) -> None:
    """All files of a set."""
    (folder / "rows.csv").write_text(rows(), encoding="utf-8")
    for name, text in (("done", DONE), ("half", HALF), ("fixed", FIXED)):
        lines = [line for line in text.strip().splitlines() if line.split(" = ")[0] not in without]
        if lines[-1] == "[retrain]":
            lines.pop()
        (folder / f"{name}.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    add_study_files(folder)
    call(folder, "run", "done.toml")
    kill_in_the_middle(folder)
    expected: dict[str, object] = {}
    for study in ("done", "half"):
        expected[study] = {kind: json.loads(call(folder, kind, study, "--format", "json")) for kind in TABLES}
    expected["best"] = json.loads(call(folder, "best", "done", "--json"))
    expected["studies"] = json.loads(call(folder, "studies", "--format", "json"))
    call(folder, "best", "done", "-o", "best.toml")
    for name, (study, members) in MODELS.items():
        if members == 1 or "members" not in without:
            some = [] if "members" in without else ["--set", f"retrain.members={members}"]
            call(folder, "retrain", study, "-o", f"models/{name}", *some)
            expected[f"models/{name}"] = call(folder, "predict", f"models/{name}", "rows.csv", "--format", "csv")
    expected["finished"] = finished(folder)
    with closing(sqlite3.connect(folder / "hpsearch.db", isolation_level=None)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("VACUUM")
    for lock in folder.glob("*.lock"):  # they name a machine
        lock.unlink()
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--without", action="append", default=[], metavar="KEY")
    given = parser.parse_args()
    (FOLDER / "models").mkdir(parents=True)
    try:
        make(FOLDER, given.without)
        with tarfile.open(given.output, "w:xz", preset=9) as archive:
            archive.add(FOLDER, given.output.name.split(".")[0])
    finally:
        shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
