"""The READMEs say nothing that does not run."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
from conftest import TOP, Outcome
from distributed import Client
from readmes import TEXTS, all_blocks, anchors, blocks, prose, table, tables_under

from hpsearch import StudyDefinition
from hpsearch.cli.app import app
from hpsearch.data.audit import CHECKS
from hpsearch.data.sources import SOURCES
from hpsearch.definition import examples
from hpsearch.definition.initial_design import INITIAL_DESIGNS
from hpsearch.definition.pruners import PRUNERS
from hpsearch.definition.samplers import SAMPLERS

CI = "".join((TOP / ".ci" / name).read_text(encoding="utf-8") for name in ("run", "check"))
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCHEMA = json.loads((TOP / "studies" / "hpsearch.schema.json").read_text(encoding="utf-8"))
STUDY_FILE = "studies/README.md"
KEYS = "key | default | what it is"
FEW = "--trials 6"  # of the session: enough for a best trial with a corrected score
FEWER = ["--trials", "3", "--set", "train.epochs=40"]  # where nothing that is printed is looked at
SHELL, SESSIONS = all_blocks("sh"), all_blocks("console")


def masked(line: str) -> str:
    """A line without its numbers, which hold for one machine and for the full number of trials."""
    return re.sub(r"-?\d(?:[\d.e+-]|,(?=\d{3}))*", "#", re.sub(r"\s+", " ", line)).strip()


def checkout(folder: Path, epochs: int = 40) -> Path:
    """What the examples find: the studies in their folder, some with fewer epochs, and rows beside it."""
    shutil.copytree(TOP / "studies", folder / "studies", dirs_exist_ok=True)
    for name in ("spiral", "wine"):
        path = folder / "studies" / f"{name}.toml"
        path.write_text(re.sub(r"^epochs = \d+", f"epochs = {epochs}", path.read_text("utf-8"), flags=re.M), "utf-8")
    shutil.copy(TOP / "studies" / "flowers.csv", folder)
    return folder


def environment() -> dict[str, str]:
    """With this environment's commands, and without the user's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HPSEARCH_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "HPSEARCH_WORKERS": "1"}  # worker processes take seconds to start


def shell(command: str, folder: Path) -> str:
    """What a command prints."""
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment(), text=True, check=False, **both)
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPSEARCH_STORAGE", raising=False)
    monkeypatch.setenv("HPSEARCH_WORKERS", "1")
    return checkout(tmp_path)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the session's study ran, and what that printed."""
    made = checkout(tmp_path_factory.mktemp("session"), epochs=300)
    return made, shell(f"hpsearch run studies/spiral.toml {FEW}", made)


def test_the_readme_is_short_and_begins_with_the_two_commands_that_ci_calls() -> None:
    assert len(TEXTS["README.md"].encode()) <= 8_000
    first, second = blocks("README.md", "sh")[0].splitlines()
    assert first == "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/hpsearch run studies/spiral.toml"
    assert second == "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
    assert TEXTS["README.md"].index(first) < 100
    assert first in CI
    assert second in CI


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_runs_and_prints_what_it_shows(
    name: str, ran: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hpsearch: Callable[..., Outcome]
) -> None:
    """With fewer trials and epochs, so numbers are masked; every other word must come, and in this order."""
    folder, out = ran
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPSEARCH_STORAGE", raising=False)

    def typed(command: str) -> str:
        """What a line prints; where it is one command and nothing else, without starting a shell and Python for it."""
        if re.search("[&|>;]", command):
            return shell(command, tmp_path)
        done = hpsearch(*shlex.split(command)[1:])
        assert done.status == 0, done.err
        return done.err + done.out

    parts = re.split(r"^\$ (.*)\n", SESSIONS[name], flags=re.M)[1:]
    for command, shown in zip(parts[::2], parts[1::2], strict=True):
        printed = out if command == "hpsearch run studies/spiral.toml" else typed(command)
        lines = iter([masked(line) for line in printed.splitlines()])
        for line in shown.splitlines():
            assert line == "…" or masked(line) in lines, line


def of_the_machine(line: str) -> bool:
    """Whether a command is of the environment and the checks, which a test does not make anew."""
    return line.startswith((".venv/bin/", ".ci/", "python3 -m venv"))


LINES = [line for block in SHELL.values() for line in block.splitlines()]


@pytest.mark.parametrize("line", sorted({line for line in LINES if of_the_machine(line)}))
def test_commands_of_the_environment_are_those_of_ci_and_name_what_there_is(line: str) -> None:
    for extra in re.findall(r"\.\[(\w+)\]", line):
        assert extra in PROJECT["optional-dependencies"]
    for path in re.findall(r"(?:tests|studies|\.ci)/[\w/.-]+", line):
        assert (TOP / path).exists(), path
    for program in re.findall(r"\.venv/bin/(ruff \w+|mypy|lint-imports|pytest)", line):
        assert program in CI


CLUSTER = pytest.mark.campaign  # its scheduler and its worker are in test_dask_executor.py too


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=CLUSTER) if "dask" in block else name
        for name, block in SHELL.items()
        if not of_the_machine(block)
    ],
)
def test_the_commands_run(name: str, folder: Path, hpsearch: Callable[..., Outcome]) -> None:
    """As they stand, with fewer trials and epochs; a cluster's on a free port, with one worker."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    background = []
    try:
        for line in SHELL[name].splitlines():
            program, *arguments = shlex.split(line.replace("8786", port).replace("HOST", "127.0.0.1"), comments=True)
            if program == "dask":
                arguments = ["1" if word == "4" else word for word in arguments]
                command = [program, *arguments, "--no-dashboard"]
                background.append(subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL))
            else:
                assert program == "hpsearch", line
                if "--scheduler" in arguments:  # which waits for a worker, but not as long as a busy machine may take
                    with Client(f"tcp://127.0.0.1:{port}", timeout=120) as client:
                        client.wait_for_workers(1, timeout=120)
                done = hpsearch(*arguments, *(FEWER if arguments[0] == "run" else []))
                assert done.status == 0, done.err
    finally:
        for process in reversed(background):
            process.terminate()
            process.wait()


@pytest.mark.parametrize("name", all_blocks("toml"))
def test_a_study_file_is_one(name: str, folder: Path) -> None:
    definition = StudyDefinition.from_mapping(tomllib.loads(all_blocks("toml")[name]), folder / "studies")
    assert definition.data.load(definition.folder, 0).rows > 0


@pytest.mark.parametrize("name", all_blocks("python"))
def test_the_python_examples_run(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With fewer trials and epochs."""
    code = re.sub(r"trials=\d+", "trials=3", re.sub(r"epochs=200", "epochs=20", all_blocks("python")[name]))
    exec(compile(code, name, "exec"), {})
    assert re.search(r"epochs|accuracy|weight_l2", capsys.readouterr().out)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that another names, or this one."""
    return SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def properties_of(section: str) -> dict[str, Any]:
    """The keys of a section with their schemas; of all sources, for ``data``."""
    schema = SCHEMA["properties"][section]
    parts = [resolved(part) for part in schema.get("oneOf", [schema])]
    return {key: value for part in parts for key, value in part["properties"].items()}


@pytest.mark.parametrize("section", ["study", "data", "holdout", "validation", "train", "search"])
def test_every_key_is_explained_with_its_default(section: str) -> None:
    found = properties_of(section)
    explained = {"source"} if section == "data" else set()  # which has a table of its own
    for names, default, _ in tables_under(STUDY_FILE, section, KEYS):
        keys, values = re.findall(r"`(\w+)`", names), re.findall(r"`(.*?)`", default) if default[0] == "`" else []
        explained |= set(keys)
        for key, value in zip(keys, values * len(keys) if len(values) < 2 else values, strict=bool(values)):
            assert found[key].get("default") == tomllib.loads(f"x = {value}")["x"], key
        for key in keys if not values else ():  # the default is told in words
            assert key in ("samples", "classes") or "default" not in found[key], key
    assert explained == set(found)


def test_every_choice_is_named() -> None:
    for section in ("data", "validation", "train", "search"):
        rows = tables_under(STUDY_FILE, section, KEYS)
        texts = {key: " ".join(row) for row in rows for key in re.findall(r"`(\w+)`", row[0])}
        for key, schema in properties_of(section).items():
            for choice in schema.get("enum", []) if key != "source" else ():
                assert f'"{choice}"' in texts[key], f"{section} {key} {choice}"
    for key, registry in {"sampler": SAMPLERS, "pruner": PRUNERS, "initial_design": INITIAL_DESIGNS}.items():
        for name in registry:
            assert f'"{name}"' in texts[key], name
    for source in SOURCES:
        assert f"`{source.removesuffix('module:function')}" in TEXTS[STUDY_FILE], source


def test_the_options_of_what_has_a_name_are_its_own() -> None:
    options = {}
    for names, text in table(STUDY_FILE, "name | options"):
        options[names.strip("`")] = tomllib.loads("\n".join(re.findall(r"`(.*?)`", text)))
    for name, kind in {**SAMPLERS, **PRUNERS, **INITIAL_DESIGNS}.items():
        fields = {key: field.default for key, field in kind.model_fields.items() if key != "name"}
        assert options.get(name, {}) == fields, name


def test_every_check_of_the_audit_is_explained() -> None:
    assert sorted(row[0].strip("`") for row in table(STUDY_FILE, "check | finds")) == sorted(CHECKS)


@cache
def command_line() -> dict[str, click.Command]:
    return typer.main.get_command(app).commands  # type: ignore[attr-defined]


def options_of(command: click.Command) -> set[str]:
    return {text for each in command.params for text in (*each.opts, *each.secondary_opts)} | {"--help"}


def test_every_command_stands_in_the_table() -> None:
    cells = [row[0] for row in table("README.md", "command | does")]
    named = {code.removeprefix("hpsearch ").split()[0] for cell in cells for code in re.findall(r"`(.*?)`", cell)}
    assert named == set(command_line())


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_and_option_that_is_named_exists(name: str) -> None:
    codes = re.findall(r"`([^`]+)`", prose(name))
    shown = "".join([*blocks(name, "sh"), *blocks(name, "console")]).replace("$ ", "").splitlines()
    anywhere = {"--install-completion"}.union(*map(options_of, command_line().values()))
    for part in (part for line in [*codes, *shown] for part in line.split(" && ")):
        words = part.split("#")[0].removeprefix("hpsearch ").split()
        if part.startswith("hpsearch ") and not words[0].startswith("-"):
            known = options_of(command_line()[words[0]])
        elif part.startswith(("hpsearch ", "--")):
            known = anywhere
        elif part in codes and words and words[0] in command_line():
            known = options_of(command_line()[words[0]])
        else:
            continue
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= known, part


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_leads_somewhere(name: str) -> None:
    here = TOP / name
    for link in re.findall(r"\]\((?!http)(.*?)\)", prose(name)):
        path, _, anchor = link.partition("#")
        target = here.parent / path if path else here
        assert target.exists(), link
        assert TOP in target.resolve().parents, link
        assert not anchor or anchor in anchors(target), link


def test_whats_where_names_the_registries() -> None:
    for _, link, registry in table("hpsearch/README.md", "to add | go to | registry"):
        match = re.match(r"\[([\w/]+)(?:\.py)?\]", link)
        assert match
        module = importlib.import_module(f"hpsearch.{match[1].replace('/', '.')}")
        for name in re.findall(r"`([A-Z]+|[A-Z]\w+)`", registry):
            assert hasattr(module, name), f"{link} {name}"


def test_every_room_stands_in_its_table() -> None:
    rooms = {path.parent.name for path in (TOP / "hpsearch").glob("*/__init__.py")}
    rows = table("hpsearch/README.md", "room | knows | does not know")
    assert {row[0].split("]")[0].strip("[") for row in rows} == rooms


def test_every_module_of_the_search_stands_in_its_table() -> None:
    modules = {path.name for path in (TOP / "hpsearch" / "search").glob("*.py")} - {"__init__.py"}
    assert {row[0].split("]")[0].strip("[") for row in table("hpsearch/search/README.md", "file | holds")} == modules


def test_a_readme_among_the_studies_is_no_example() -> None:
    assert examples.names() == sorted(path.stem for path in (TOP / "studies").glob("*.toml"))
