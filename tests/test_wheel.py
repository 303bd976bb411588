"""The wheel, installed without an extra and far from the checkout, does what the checkout does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import TOP

import hpsearch as package

pytestmark = pytest.mark.campaign  # it builds and installs: minutes, and the network

PROGRAM = f"""
import hpsearch
from hpsearch.model.bundle import Bundle

study: hpsearch.StudyResult = hpsearch.run("spiral.toml", trials=6)
value: float | None = study.best.result.value
model: Bundle = hpsearch.retrain("best.toml")
hpsearch.report(study, "report.html")
hpsearch.run("spiral.toml", trials="6")
{"".join(f"reveal_type(hpsearch.{name}){chr(10)}" for name in package.__all__)}
"""


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and an empty folder to use it in."""

    programs: Path
    folder: Path
    wheel: Path

    def run(self, *command: str, status: int = 0) -> str:
        """What a command of the environment prints."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("HPSEARCH_", "PYTHON", "VIRTUAL_ENV"))}
        environment["PATH"] = f"{self.programs}{os.pathsep}{environment['PATH']}"
        program, *arguments = command
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of this checkout, built and installed in a new virtual environment with mypy beside it."""
    top = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", str(top / "dist"), str(TOP)], check=True)
    (wheel,) = (top / "dist").iterdir()
    subprocess.run([sys.executable, "-m", "venv", str(top / "venv")], check=True)
    (top / "empty").mkdir()
    installed = Installed(top / "venv" / "bin", top / "empty", wheel)
    installed.run("pip", "install", "-q", str(wheel), "mypy")
    return installed


def test_it_holds_the_package_and_nothing_else(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
    files = (path for path in (TOP / "hpsearch").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {path.relative_to(TOP).as_posix() for path in files} <= names
    assert {"hpsearch/py.typed", "hpsearch/reporting/report.css", "hpsearch/reporting/report.js"} <= names
    others = {name for name in names if not name.startswith("hpsearch/")}
    assert all(re.fullmatch(r"hpsearch-[\d.]+\.dist-info/.*", name) for name in others)
    assert not any(name.endswith((".pyc", ".db", ".toml.lock")) for name in names)


def test_it_is_used_from_an_empty_directory(installed: Installed) -> None:
    run, folder = installed.run, installed.folder
    assert list(folder.iterdir()) == []
    assert str(folder.parent / "venv") in run("python", "-c", "import hpsearch; print(hpsearch.__file__)")
    (version,) = re.findall(r'^version = "(.*)"$', (TOP / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert run("hpsearch", "--version") == f"hpsearch {version}\n"
    run("hpsearch", "init", "--example", "spiral")
    assert "Best configuration of 'spiral'" in run("hpsearch", "run", "spiral.toml", "--trials", "6")
    assert "Written to best.toml." in run("hpsearch", "best", "spiral", "-o", "best.toml")
    assert "Saved in model." in run("hpsearch", "retrain", "best.toml", "-o", "model")
    (folder / "points.csv").write_text("x1,x2\n0.5,0.5\n-0.3,0.4\n", encoding="utf-8")
    predicted = run("hpsearch", "predict", "model", "points.csv").splitlines()
    assert len(predicted) == 3
    assert predicted[0].split() == ["class", "probability_0", "probability_1", "probability_2"]
    run("hpsearch", "report", "spiral", "-o", "report.html")
    page = (folder / "report.html").read_text(encoding="utf-8")
    for part in ("report.css", "report.js"):
        assert (TOP / "hpsearch" / "reporting" / part).read_text(encoding="utf-8").strip()[:200] in page


def test_a_users_program_is_type_checked_against_it(installed: Installed) -> None:
    """Every public name has a type of its own through the lazy loading; a wrong call is found, and it alone."""
    (installed.folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    said = installed.run("python", "-m", "mypy", "--strict", "program.py", status=1)
    errors = [line for line in said.splitlines() if ": error: " in line]
    assert len(errors) == 1, said
    assert 'Argument "trials" to "run" has incompatible type "str"' in errors[0]
    revealed = re.findall(r'Revealed type is "(.*)"$', said, re.M)
    assert len(revealed) == len(package.__all__)
    assert not {"Any", "object", "builtins.object"} & set(revealed)
