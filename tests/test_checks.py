"""The scripts that check a change leave the folder that they stand in as it was, and stop at the first failure."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import TOP

SCRIPTS = [TOP / ".ci" / name for name in ("check", "run")]
# What `.ci/run` would install.
INSTALLED = all(map(shutil.which, ("git", "chromium"))) and any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_scripts_are_programs_that_refuse_what_they_do_not_know(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    done = subprocess.run([script, "everything"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f".ci/{script.name} " in done.stderr


def test_hooks_and_workflow_call_the_scripts() -> None:
    hooks = re.findall(r"entry: (.*)", (TOP / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert hooks == [".ci/check style", ".ci/check below"]  # of which `.ci/check quick` consists
    commands = re.findall(r"run: (bash.*)", (TOP / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert commands == ["bash .ci/run", "bash .ci/run prerelease"]


@pytest.mark.campaign  # it makes environments
@pytest.mark.skipif(not INSTALLED, reason="`.ci/run` would install packages")
def test_a_red_step_ends_the_run_and_the_folder_stays_as_it_is(tmp_path: Path) -> None:
    """In a folder whose project cannot be installed, so that the README's first command fails."""
    folder, temporary = tmp_path / "folder", tmp_path / "temporary"
    (folder / ".ci").mkdir(parents=True)
    temporary.mkdir()
    for script in SCRIPTS:
        shutil.copy2(script, folder / ".ci")
    (folder / "pyproject.toml").write_text("this is no TOML", encoding="utf-8")
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    (folder / ".venv").mkdir()
    for name in (".venv/mine", "hpsearch.db", "hpsearch.db-wal"):
        (folder / name).write_text("mine", encoding="utf-8")
    before = sorted(folder.rglob("*"))
    environment = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run(
        ["bash", ".ci/run"], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "first command" in done.stdout
    assert "second command" not in done.stdout
    assert [path for path in sorted(folder.rglob("*")) if ".git/" not in str(path)] == [
        path for path in before if ".git/" not in str(path)
    ]
    assert (folder / ".venv" / "mine").read_text(encoding="utf-8") == "mine"
    assert not list(temporary.iterdir())
