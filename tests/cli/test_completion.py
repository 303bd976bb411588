"""What a shell offers at a press of Tab, asked as shells ask: by the environment, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TOP

import hpsearch
from hpsearch.cli import completion
from hpsearch.definition import examples
from hpsearch.results.best import RULES
from hpsearch.storage.names import stored_names

SHELLS = ("bash", "zsh", "fish")


def ask(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpsearch"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
        timeout=60,
    )


def offered(line: str, shell: str = "bash") -> list[str]:
    """What is offered for a command line that ends where the cursor is."""
    if shell == "bash":
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - (not line.endswith(" ")))}
    else:
        words = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = ask(_HPSEARCH_COMPLETE=f"complete_{shell}", **words)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@pytest.fixture
def stored(small: Path) -> Path:
    """A storage with two studies, in an otherwise empty folder."""
    for name in ("alpha", "albatross"):
        definition = hpsearch.StudyDefinition.from_file(small, [f"study.name={name}", "train.epochs=8"])
        hpsearch.run(definition, trials=1)
    return small.parent


def state(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script_and_answers(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = ask(_HPSEARCH_COMPLETE=f"source_{shell}")
    assert (script.returncode, script.stderr) == (0, "")
    assert "_HPSEARCH_COMPLETE" in script.stdout
    assert any("retrain" in line for line in offered("hpsearch ret", shell))
    assert any("vertical" in line for line in offered("hpsearch init --example v", shell))
    assert list(tmp_path.iterdir()) == []


def test_bash_takes_the_script() -> None:
    script = ask(_HPSEARCH_COMPLETE="source_bash").stdout
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_itself_completes(stored: Path) -> None:
    """With a command on the path, and bash's own arrays and function."""
    command = stored / "bin" / "hpsearch"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hpsearch "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    script = ask(_HPSEARCH_COMPLETE="source_bash").stdout
    program = f"{script}\nCOMP_WORDS=(hpsearch trials al)\nCOMP_CWORD=2\n_hpsearch_completion hpsearch\n"
    done = subprocess.run(
        ["bash"],
        input=f"{program}printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"},
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["albatross", "alpha"], "")


def test_values_are_offered_where_they_are_known(stored: Path) -> None:
    assert offered("hpsearch trials al") == ["albatross", "alpha"]
    assert offered("hpsearch best ") == ["albatross", "alpha", "small.toml"]
    assert offered("hpsearch best alpha --rule ") == sorted(RULES)
    assert offered("hpsearch trials alpha --format ") == ["table", "csv", "json", "parquet"]
    assert offered("hpsearch init --example ") == examples.names()
    assert offered("hpsearch init --example w") == ["wine"]


def test_the_rules_are_those_of_best() -> None:
    assert set(completion.RULE_NAMES) == set(RULES)


def test_studies_come_from_the_storage_that_is_named(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.rename("hpsearch.db", "kept.db")
    assert offered("hpsearch trials al") == []
    assert offered("hpsearch trials --storage sqlite:///kept.db al") == ["albatross", "alpha"]
    monkeypatch.setenv("HPSEARCH_STORAGE", "sqlite:///kept.db")
    assert offered("hpsearch trials al") == ["albatross", "alpha"]


def test_asking_changes_nothing_and_takes_no_second(stored: Path) -> None:
    before = state(stored)
    assert offered("hpsearch trials al") == ["albatross", "alpha"]
    assert state(stored) == before
    begun = time.perf_counter()
    stored_names("sqlite:///hpsearch.db")
    assert time.perf_counter() - begun < 0.5
    program = (
        "import sys; from hpsearch.cli import completion; import hpsearch.storage.names, hpsearch.definition.examples; "
        "print([m for m in ('numpy', 'pydantic', 'optuna', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=TOP)
    assert done.stdout.strip() == "[]"


def test_a_study_that_another_process_writes_is_offered(stored: Path) -> None:
    import sqlite3

    writer = sqlite3.connect("hpsearch.db")
    writer.execute("INSERT INTO studies (study_name) VALUES ('almost')")
    writer.commit()
    try:
        assert Path("hpsearch.db-wal").exists()
        assert stored_names("sqlite:///hpsearch.db") == ["albatross", "almost", "alpha"]
    finally:
        writer.close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///absent.db",
        "sqlite:///text.db",
        "sqlite:///empty.db",
        "sqlite:///.",
        "sqlite:///",
        "sqlite://",
        "postgresql+psycopg://user:secret@127.0.0.1:1/none",
        "nonsense",
        "",
    ],
)
def test_a_storage_that_cannot_be_read_offers_nothing_and_is_not_made(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPSEARCH_STORAGE", url)
    Path("text.db").write_text("no database at all", encoding="utf-8")
    Path("empty.db").touch()
    assert stored_names(url) == []
    assert offered("hpsearch trials ") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.db", "text.db"]


@pytest.mark.parametrize(
    "line",
    [
        "hpsearch run --nosuch ",
        *(
            pytest.param(line, marks=pytest.mark.campaign)
            for line in ("hpsearch nosuch ", "hpsearch trials a b c ", "hpsearch best --rule", "hpsearch 'un")
        ),
    ],
)
def test_a_line_that_makes_no_sense_gets_no_traceback(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for shell in SHELLS:
        assert not any("Error" in answer for answer in offered(line, shell))
    assert list(tmp_path.iterdir()) == []
