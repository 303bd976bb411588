"""The README says nothing that does not run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import TOP

from hpsearch import StudyDefinition
from hpsearch.validation.config import Config

README = (TOP / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


def masked(line: str) -> str:
    """A line without its numbers, which hold for one machine and for the full number of trials."""
    return re.sub(r"-?\d[\d.e+-]*", "#", re.sub(r"\s+", " ", line)).strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(TOP / "studies", tmp_path / "studies")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPSEARCH_STORAGE", raising=False)
    return tmp_path


def test_the_two_commands_stand_at_the_top_and_ci_calls_the_second() -> None:
    first, second = blocks("sh")[0].splitlines()
    assert first == "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/hpsearch run studies/spiral.toml"
    assert second == "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
    assert README.index(first) < 100
    assert second in (TOP / ".ci" / "run").read_text()
    assert first in (TOP / ".ci" / "run").read_text()


def test_the_session_runs_and_prints_what_it_shows(checkout: Path) -> None:
    """With fewer trials, so numbers are masked; every other word must come."""
    (session,) = blocks("console")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    parts = re.split(r"^\$ (.*)\n", session, flags=re.M)[1:]
    for command, shown in zip(parts[::2], parts[1::2], strict=True):
        runnable = f"{command} --trials 12" if command.startswith("hpsearch run") else command
        done = subprocess.run(runnable, shell=True, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        printed = {masked(line) for line in (done.stdout + done.stderr).splitlines()}
        for line in shown.splitlines():
            if line != "…" and "pruned" not in line:  # whether twelve trials see a pruning is no matter of words
                assert masked(line) in printed, line


def test_the_study_file_explained_is_a_study_file(checkout: Path) -> None:
    (text,) = blocks("toml")
    definition = StudyDefinition.from_mapping(tomllib.loads(text), checkout / "studies")
    assert definition.data.load(definition.folder, 0).rows == 180
    for name in Config.model_fields:
        assert name in text, f"[train] {name} is not explained"


@pytest.mark.parametrize("program", blocks("python"), ids=["functions", "estimators"])
def test_the_python_examples_run(program: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(program, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "accuracy" in out or "epochs" in out


def test_every_command_and_link_exists() -> None:
    import typer.main

    from hpsearch.cli.app import app

    cells = re.findall(r"^\| (`.*?) \|", README.split("| command | does |")[1].split("\n\n")[0], re.M)
    named = {code.removeprefix("hpsearch ").split()[0] for cell in cells for code in re.findall(r"`(.*?)`", cell)}
    assert named == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for link in re.findall(r"\]\((?!http)(.*?)\)", README):
        assert (TOP / link).exists()
