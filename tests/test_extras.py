"""What pyproject.toml declares is what the package imports, and what an extra brings is missed in one clear line."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from conftest import SMALL, TOP, Outcome
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from readmes import table

PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIRED = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
TOOLS = ("bench", "dev", "test")  # for those who work on hpsearch, not for those who use it
EXTRAS = [
    (extra, Requirement(line).name)
    for extra, lines in PROJECT["optional-dependencies"].items()
    if extra not in TOOLS
    for line in lines
]
# What is used where it is installed, and asked for by nothing: without it the same takes longer.
UNASKED = ("fast",)
ASKED = [(extra, package) for extra, package in EXTRAS if extra not in UNASKED]

# Comes with pydantic, which pins it: its errors are part of what pydantic documents.
PARTS = {"pydantic-core": "pydantic"}
# What is imported only where it is already: by a notebook.
HOSTS = {"ipython"}
# What is imported by another name than that of its distribution.
MODULES = {"mlflow-skinny": "mlflow"}

# What needs each package: a command line, or lines of Python. A new package of an extra must have its own here.
NEEDS: dict[str, list[list[str] | str]] = {
    "cmaes": [["check", "small.toml", "--set", "search.sampler=cmaes"]],
    "distributed": [["run", "small.toml", "--scheduler", "tcp://127.0.0.1:1"]],
    "kaleido": [
        f"hpsearch.figures.save(hpsearch.figures.curves('small'), Path('curves.{kind}'))"
        for kind in ("pdf", "png", "svg")
    ],
    "mlflow-skinny": [["export-mlflow", "small"], "hpsearch.export_mlflow('small')"],
    "onnx": [["export", "model"]],
    "onnxruntime": [["export", "model"]],
    "psycopg": [
        ["studies", "--storage", "postgresql+psycopg://me:secret@127.0.0.1:1/base"],
        ["run", "small.toml", "--storage", "postgresql+psycopg://me:secret@127.0.0.1:1/base"],
    ],
    "pyarrow": [
        ["check", "rows.toml"],
        ["predict", "model", "rows.parquet"],
        ["trials", "small", "-o", "trials.parquet"],
        ["folds", "small", "-o", "folds", "--format", "parquet"],
    ],
    "torch": [["check", "small.toml", "--set", "search.sampler=gp"]],
}

# Runs command lines and lines of Python where some packages are not installed: Python's finder does not find them.
PROGRAM = """
import json, sys, warnings
from importlib.machinery import PathFinder
from pathlib import Path

warnings.simplefilter("error")
absent, steps = json.loads(sys.argv[1])

class Installed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Installed

import hpsearch
from hpsearch.cli import main

for step in steps:
    if isinstance(step, str):
        try:
            exec(step)
        except hpsearch.HpsearchError as error:
            sys.exit(f"{error.exit_status} {error}")
    else:
        sys.argv = ["hpsearch", *step]
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                raise
"""

# All that a plain installation does, each command once.
PLAIN: list[list[str] | str] = [
    ["--help"],
    ["--version"],
    ["check", "small.toml"],
    ["cv", "small.toml"],
    ["run", "small.toml", "--trials", "6"],
    ["studies"],
    ["trials", "small", "-o", "trials.csv"],
    ["folds", "small", "--json"],
    ["curves", "small", "-o", "curves.json"],
    ["metrics", "small"],
    ["confirm", "small", "--top", "2", "--repeats", "1"],
    ["best", "small", "-o", "best.toml"],
    ["retrain", "best.toml", "-o", "model"],
    ["predict", "model", "rows.csv"],
    ["report", "small", "-o", "report.html"],
    "hpsearch.figures.save(hpsearch.figures.curves('small'), Path('curves.html'))",
]


def carry_out(folder: Path, absent: set[str], steps: list[list[str] | str]) -> Outcome:
    """Take steps in a process in which the packages ``absent`` are not there."""
    environment = {k: v for k, v in os.environ.items() if k != "HPSEARCH_STORAGE"} | {"HPSEARCH_WORKERS": "1"}
    command = [sys.executable, "-c", PROGRAM, json.dumps([sorted(absent), steps])]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def needed_by(names: set[str]) -> set[str]:
    """The distributions that come with those named, themselves included."""
    found: set[str] = set()
    left = {(name, "") for name in names}
    while left:
        name, extra = left.pop()
        found.add(name)
        try:
            lines = requires(name) or ()
        except PackageNotFoundError:
            continue
        for line in map(Requirement, lines):
            if line.marker is None or line.marker.evaluate({"extra": extra}):
                more = canonicalize_name(line.name)
                left |= {(more, of) for of in ("", *line.extras) if more not in found}
    return found


def more_than_required() -> set[str]:
    """What is installed here and a plain installation lacks, by the names it is imported by."""
    plain = needed_by(REQUIRED) | {"hpsearch"}
    found = packages_distributions().items()
    return {module for module, owners in found if not plain & {canonicalize_name(owner) for owner in owners}}


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The folder in which everything of PLAIN was done with the required packages alone, and what came of it."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    (folder / "rows.csv").write_text("x1,x2\n0.5,0.5\n", encoding="utf-8")
    (folder / "rows.parquet").write_bytes(b"PAR1")
    data = '[data]\nsource = "parquet"\npath = "rows.parquet"\ntarget = "kind"\n'
    (folder / "rows.toml").write_text(f'[study]\nname = "rows"\n{data}', encoding="utf-8")
    return folder, carry_out(
        folder, more_than_required() | {MODULES.get(package, package) for _, package in EXTRAS}, PLAIN
    )


@pytest.mark.campaign  # a tour of all commands
def test_a_plain_installation_does_everything_that_names_no_extra(plain: tuple[Path, Outcome]) -> None:
    folder, done = plain
    assert done.status == 0, done.err
    assert {"best.toml", "curves.html", "curves.json", "hpsearch.db", "model", "report.html", "trials.csv"} <= {
        path.name for path in folder.iterdir()
    }


@pytest.mark.campaign
def test_every_module_is_importable_with_the_required_packages_alone(tmp_path: Path) -> None:
    absent = more_than_required()
    assert {"pyarrow", "pytest"} <= absent  # or nothing is shown
    assert not {"numpy", "sklearn", "pandas", "sqlalchemy", "waitress"} & absent
    program = (
        "import pkgutil; from importlib import import_module\n"
        "for found in pkgutil.walk_packages(hpsearch.__path__, 'hpsearch.'):\n"
        "    found.name == 'hpsearch.__main__' or import_module(found.name)\n"
        "import nnfs.datasets, optuna_dashboard, waitress, loky, safetensors.numpy"
    )
    done = carry_out(tmp_path, absent, [program])
    assert done.status == 0, done.err


@pytest.mark.campaign  # as many tours as extras
@pytest.mark.parametrize(("extra", "package"), ASKED, ids=[f"{extra}-{package}" for extra, package in ASKED])
def test_what_an_extra_brings_is_missed_in_one_line(
    extra: str, package: str, plain: tuple[Path, Outcome], commands: set[str]
) -> None:
    (folder, _), module = plain, MODULES.get(package, package)
    before = sorted(folder.rglob("*"))
    for step in NEEDS[package]:
        if isinstance(step, list) and step[0] not in commands:
            pytest.skip(f"there is no command {step[0]!r} yet")
        done = carry_out(folder, {module}, [step])
        *waited, said = done.err.splitlines(keepends=True)
        assert all(line.startswith("reading and checking") for line in waited)  # on a busy machine
        assert done.status == (2 if isinstance(step, list) else 1), done.err
        assert said.endswith(
            f" needs the package {module!r}, but it is not installed. Install it: pip install 'hpsearch[{extra}]'.\n"
        )
        assert "secret" not in said
    assert sorted(folder.rglob("*")) == before


@pytest.fixture(scope="session")
def commands() -> set[str]:
    import typer.main

    from hpsearch.cli.app import app

    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


# ---------------------------------------------------------------- what is declared


def imported() -> set[str]:
    """The top-level modules, other than our own and Python's, that the package imports anywhere."""
    found = set()
    for path in (TOP / "hpsearch").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
    return found - sys.stdlib_module_names - {"hpsearch"}


def test_every_package_that_is_imported_is_declared_and_every_required_one_is_imported() -> None:
    owners = packages_distributions()
    used = {canonicalize_name(owners.get(module, [module])[0]) for module in imported()}
    names = PARTS | {module: package for package, module in MODULES.items()}
    used = {names.get(name, name) for name in used}
    assert used - {canonicalize_name(package) for _, package in EXTRAS} - HOSTS == REQUIRED


def test_every_requirement_has_a_lowest_version() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for line in (Requirement(line) for group in groups for line in group):
        assert line.name == "hpsearch" or any(part.operator == ">=" for part in line.specifier), str(line)


def test_the_readme_names_every_extra() -> None:
    cells = [row[0] for row in table("hpsearch/README.md", "extra | brings | for")]
    assert sorted(re.findall(r"`([a-z]+)`", " ".join(cells))) == sorted(PROJECT["optional-dependencies"])
