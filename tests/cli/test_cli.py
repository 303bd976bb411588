"""The commands, used well and used wrongly."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import SMALL, TOP, Outcome

import hpsearch as package

Call = Callable[..., Outcome]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small study, of which six trials ran."""
    folder = tmp_path_factory.mktemp("ended")
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    package.run(folder / "small.toml", trials=6, storage=f"sqlite:///{folder}/hpsearch.db")
    return folder


@pytest.fixture
def finished(small: Path, ended: Path) -> Path:
    shutil.copytree(ended, small.parent, dirs_exist_ok=True)
    return small


def test_the_main_job_end_to_end(small: Path, hpsearch: Call) -> None:
    """Search, export, retrain, predict: each command takes what the one before it made."""
    ran = hpsearch("run", small)
    assert ran.status == 0
    assert "16 trials:" in ran.out
    assert "Best configuration of 'small'" in ran.out
    assert "16/16" in ran.err
    exported = hpsearch("best", "small", "-o", "best.toml")
    assert exported.status == 0
    retrained = hpsearch("retrain", "best.toml", "-o", "model")
    assert retrained.status == 0, retrained.err
    assert re.search(r"hold-out +15 +\d\.\d{4} +[01]\.\d{3}", retrained.out)
    Path("rows.csv").write_text("x1,x2\n0.1,0.2\n-0.5,0.5\n")
    predicted = hpsearch("predict", "model", "rows.csv", "--format", "csv")
    assert predicted.status == 0
    rows = list(csv.DictReader(io.StringIO(predicted.out)))
    assert [row["class"] in "012" for row in rows] == [True, True]
    assert sorted(p.name for p in Path("model").iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "small.toml", "--trials", "7"),
        ("check", "small.toml"),
        ("cv", "small.toml"),
        ("studies",),
        ("trials", "small"),
        ("folds", "small"),
        ("curves", "small.toml"),
        ("best", "small"),
        ("confirm", "small"),
        ("metrics", "small"),
        ("nested", "small.toml", "--outer", "2", "--set", "search.trials=2"),
        ("retrain", "best.toml"),
        ("predict", "model", "rows.csv"),
        ("export", "model"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_json_is_one_json_value_and_nothing_else(finished: Path, hpsearch: Call, arguments: tuple[str, ...]) -> None:
    if arguments[0] in ("retrain", "predict", "export"):
        assert hpsearch("best", "small", "-o", "best.toml").status == 0
    if arguments[0] in ("predict", "export"):
        hpsearch("retrain", "best.toml")
        Path("rows.csv").write_text("x1,x2\n0.1,0.2\n")
    outcome = hpsearch(*arguments, "--json")
    assert outcome.status == 0
    assert json.loads(outcome.out)
    assert outcome.err == ""


def test_tables_come_as_text_csv_json_and_parquet(finished: Path, hpsearch: Call) -> None:
    trials = package.load_trials("small")
    assert len(hpsearch("trials", "small").out.splitlines()) == 7
    assert pd.read_csv(io.StringIO(hpsearch("trials", "small", "--format", "csv").out)).shape == trials.shape
    assert len(json.loads(hpsearch("trials", "small", "--format", "json").out)) == 6
    assert hpsearch("trials", "small", "-o", "t.parquet").status == 0
    pd.testing.assert_frame_equal(pd.read_parquet("t.parquet"), trials)
    assert hpsearch("trials", "small", "--format", "parquet").status == 2


def test_piped_lines_have_no_trailing_spaces_colours_or_cut_cells(finished: Path, hpsearch: Call) -> None:
    for command in (("trials", "small"), ("best", "small"), ("check", finished), ("studies",)):
        for line in hpsearch(*command).out.splitlines():
            assert line == line.rstrip()
            assert "\x1b" not in line
            assert "…" not in line


def test_a_study_is_found_by_its_file_as_well_as_by_its_name(finished: Path, hpsearch: Call) -> None:
    assert hpsearch("trials", "small").out == hpsearch("trials", finished).out


def test_the_storage_comes_from_the_option_the_environment_or_the_working_directory(
    finished: Path, hpsearch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hpsearch("run", finished, "--trials", "1", "--storage", "sqlite:///kept.db").status == 0
    Path("hpsearch.db").unlink()
    assert hpsearch("trials", "small").status == 2
    assert hpsearch("trials", "small", "--storage", "sqlite:///kept.db").status == 0
    monkeypatch.setenv("HPSEARCH_STORAGE", "sqlite:///kept.db")
    assert hpsearch("trials", "small").status == 0


def test_set_overrides_the_file(small: Path, hpsearch: Call) -> None:
    outcome = hpsearch("check", small, "--set", "search.trials=5", "--set", "data.samples=30", "--json")
    facts = json.loads(outcome.out)
    assert (facts["trials"], facts["rows_to_search_with"]) == (5, 67)


def test_check_shows_what_the_columns_are_and_notes_which_run_does_not(
    small: Path, hpsearch: Call, mixed: Callable[..., pd.DataFrame]
) -> None:
    mixed().assign(one=1, two="x").to_csv("rows.csv", index=False)
    write("mixed.toml", CSV.format(target="kind") + "[train]\nepochs = 10\n")
    checked = hpsearch("check", "mixed.toml")
    assert checked.status == 0
    assert re.search(
        r"^columns +3 numeric \(age: \d+ missing\), 3 categorical \(port: 3 categories, \d+ missing; sex: "
        r"2 categories; two: 1 category\), 2 boolean \(member: \d+ missing; paid\)$",
        checked.out,
        re.MULTILINE,
    )
    assert checked.err.startswith("note (constant): 2 columns have one value in all rows: 'one', 'two'.")
    types = {
        entry["name"]: entry for entry in json.loads(hpsearch("check", "mixed.toml", "--json").out)["column_types"]
    }
    assert types["sex"] == {"name": "sex", "kind": "categorical", "missing": 0, "categories": ["f", "m"]}
    assert "note" not in hpsearch("run", "mixed.toml").err


def test_predictions_say_what_training_did_not_meet_beside_the_result(
    small: Path, hpsearch: Call, mixed: Callable[..., pd.DataFrame]
) -> None:
    mixed().to_csv("rows.csv", index=False)
    write("mixed.toml", CSV.format(target="kind") + "[train]\nepochs = 10\n")
    assert hpsearch("retrain", "mixed.toml", "-o", "model").status == 0
    mixed(5).assign(port="Paris").to_csv("new.csv", index=False)
    outcome = hpsearch("predict", "model", "new.csv", "--json")
    assert len(json.loads(outcome.out)) == 5
    assert outcome.err == (
        "Column 'port': 5 rows have a category that training had not ('Paris'), taken as none of its categories.\n"
    )
    before = Path("new.csv").read_bytes()
    refused = hpsearch("predict", "model", "new.csv", "-o", "./new.csv")
    assert (refused.status, refused.err) == (
        2,
        "hpsearch: new.csv: must not be the file of the rows, but is. Name another.\n",
    )
    assert Path("new.csv").read_bytes() == before


def test_cv_takes_train_as_it_stands_and_stores_nothing(small: Path, hpsearch: Call) -> None:
    outcome = json.loads(hpsearch("cv", small, "--json").out)
    assert len(outcome["folds"]) == 3
    assert outcome["parameters"] == 3 * 64 + 65 * 3
    assert not Path("hpsearch.db").exists()


def test_check_trains_and_stores_nothing(small: Path, hpsearch: Call) -> None:
    before = sorted(small.parent.iterdir())
    assert hpsearch("check", small).status == 0
    assert sorted(small.parent.iterdir()) == before


COMMANDS = (
    *("best", "check", "compare", "confirm", "copy", "curves", "cv", "dashboard", "delete", "evaluate", "export"),
    *(
        "export-mlflow",
        "finals",
        "folds",
        "importance",
        "init",
        "metrics",
        "nested",
        "predict",
        "rename",
        "report",
        "retrain",
        "run",
        "schema",
        "studies",
        "trials",
    ),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_says_what_its_options_do(hpsearch: Call, command: str) -> None:
    outcome = hpsearch(command, "--help")
    assert outcome.status == 0
    options = re.findall(r"^  (?:-\w, )?--[\w-]+(?: [\[A-Z].*?)?(?:  +(.*))?$", outcome.out, re.M)
    assert options
    assert f"Usage: hpsearch {command}" in outcome.out


def test_every_command_that_takes_a_study_file_can_override_its_keys() -> None:
    import typer.main

    from hpsearch.cli.app import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    takers = {
        name: command for name, command in commands.items() if {p.name for p in command.params} & {"file", "study"}
    }
    others = {"compare", "dashboard", "delete", "evaluate", "export", "init", "predict", "schema", "studies"}
    assert set(takers) == set(COMMANDS) - others
    for name, command in takers.items():
        assert any("--set" in parameter.opts for parameter in command.params), name


def test_where_a_file_only_names_a_study_overrides_say_which(finished: Path, hpsearch: Call) -> None:
    assert hpsearch("run", finished, "--trials", "2", "--set", "study.name=other").status == 0
    assert len(json.loads(hpsearch("trials", finished, "--set", "study.name=other", "--json").out)) == 2
    assert len(json.loads(hpsearch("trials", finished, "--set", "train.epochs=9", "--json").out)) == 6
    for command in ("trials", "folds", "curves", "finals", "metrics", "best"):
        by_file = hpsearch(command, finished, "--set", "study.name=other")
        assert by_file == hpsearch(command, "other")
        assert by_file.status == 0
    for command in ("trials", "folds", "curves", "finals", "metrics", "best", "confirm", "report"):
        refused = hpsearch(command, "small", "--set", "study.name=other")
        assert refused.status == 2
        assert refused.err == (
            "hpsearch: --set must go with a study's file, but 'small' is a name, which has no keys. Leave it out.\n"
        )
        assert hpsearch(command, finished, "--set", "study.name=absent").status == 2
    assert not Path("report.html").exists()


def test_the_help_lists_every_command(hpsearch: Call) -> None:
    out = hpsearch("--help").out
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\w", out, re.M)
    assert hpsearch().out.startswith("Usage")
    assert hpsearch("--version").out.startswith("hpsearch ")


# ---------------------------------------------------------------- used wrongly


def write(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


CSV = '[study]\nname = "c"\n[data]\nsource = "csv"\npath = "rows.csv"\ntarget = "{target}"\n'
WRONG: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "a missing file": (lambda f: ["run", "absent.toml"], "absent.toml: must be a study file that can be read"),
    "a folder": (lambda f: ["run", "."], "must be a study file that can be read"),
    "no TOML": (lambda f: ["run", write("x.toml", "[study\nname=")], "x.toml: must be valid TOML"),
    "an unknown key": (lambda f: ["run", str(f), "--set", "train.nuerons=3"], "Did you mean 'neurons'"),
    "an unknown section": (lambda f: ["run", str(f), "--set", "serach.trials=3"], "Did you mean 'search'"),
    "a value out of range": (
        lambda f: ["run", str(f), "--set", "validation.n_splits=1"],
        "must be at least 2, but is 1",
    ),
    "an unknown optimizer": (lambda f: ["run", str(f), "--set", "train.optimizer=adm"], "Did you mean 'adam'"),
    "more folds than rows": (
        lambda f: ["run", str(f), "--set", "validation.n_splits=99"],
        "small.toml: [validation] n_splits must be at most the number of rows, 45",
    ),
    "rows in class order": (lambda f: ["run", str(f), "--set", "validation.shuffle=false"], "shuffle = true"),
    "no trials": (lambda f: ["run", str(f), "--trials", "0"], "--trials must be at least 1, but is '0'. See"),
    "a bad override": (lambda f: ["run", str(f), "--set", "trials"], "section.key=value"),
    "no such target": (
        lambda f: [write("rows.csv", "a,b\n1,x\n2,y\n") and "run", write("c.toml", CSV.format(target="c"))],
        "rows.csv: must have a column 'c', but has not",
    ),
    "nan in the data": (
        lambda f: [write("rows.csv", "a,b\n1,x\ninf,y\n") and "run", write("c.toml", CSV.format(target="b"))],
        "rows.csv, row 3, column 'a': must be a finite number, but is 'inf'",
    ),
    "one class only": (
        lambda f: [write("rows.csv", "a,b\n1,x\n2,x\n") and "run", write("c.toml", CSV.format(target="b"))],
        "at least two classes",
    ),
    "a storage in no folder": (lambda f: ["run", str(f), "--storage", "sqlite:///no/x.db"], "folder that exists"),
    "an existing model": (
        lambda f: [Path("model").mkdir() or "retrain", str(f)],
        "model: must not exist yet, but does",
    ),
    "a space to retrain": (lambda f: ["retrain", str(f)], "[space] must be empty to retrain"),
    "no model": (lambda f: ["predict", "absent", "rows.csv"], "absent: must be a saved model"),
    "no model to export": (lambda f: ["export", "absent"], "absent: must be a saved model"),
    "an unknown format": (lambda f: ["export", "absent", "--format", "onyx"], "Did you mean 'onnx'"),
    "no storage": (lambda f: ["trials", "small"], "There is no storage hpsearch.db"),
    "an unknown command": (
        lambda f: ["rnu", str(f)],
        "No such command 'rnu'. Did you mean 'run'? See `hpsearch --help`.",
    ),
    "no argument": (lambda f: ["best"], "Missing argument 'study'. See `hpsearch best --help`."),
    "too few": (lambda f: ["best", "f", "--at-most", "-1"], "--at-most must be at least 1, but is '-1'. See"),
    "no number": (lambda f: ["run", str(f), "--workers", "1e3"], "--workers must be an integer, but is '1e3'. See"),
    "no integer of Python's": (lambda f: ["run", str(f), "--trials", "9" * 5000], "--trials must be an integer, but"),
    "none of the choices": (lambda f: ["trials", "f", "--format", "xx"], "'xx' is not one of 'table', 'csv', 'json'"),
    "an unknown option": (lambda f: ["run", str(f), "--wrokers", "2"], "No such option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_clear_line_and_nothing_is_written(small: Path, hpsearch: Call, case: str) -> None:
    make, message = WRONG[case]
    arguments = make(small)
    before = {path: path.stat().st_mtime_ns for path in small.parent.rglob("*")}
    outcome = hpsearch(*arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert outcome.err.startswith("hpsearch: ")
    assert outcome.err.count("\n") == 1
    assert len(outcome.err) < 1_000
    assert {path: path.stat().st_mtime_ns for path in small.parent.rglob("*")} == before


def test_a_storage_that_cannot_be_written_is_status_1_in_one_line(small: Path, hpsearch: Call) -> None:
    """No mistake of the caller's, perhaps: a folder that is read-only today."""
    outcome = hpsearch("run", small, "--storage", "sqlite:////proc/x.db")
    assert outcome.status == 1
    assert outcome.err.startswith("hpsearch: storage sqlite:////proc/x.db: must be usable, but unable to open")
    assert outcome.err.count("\n") == 1


def test_debug_shows_the_traceback(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpsearch.cli import main

    monkeypatch.setattr(sys, "argv", ["hpsearch", "--debug", "trials", "small"])
    with pytest.raises(package.StorageError):
        main()


def test_when_no_trial_completes_the_reason_is_said(small: Path, hpsearch: Call) -> None:
    small.write_text(
        small.read_text()
        .replace("float = [1e-3, 1.0], log = true", "choice = [1e30, 5e29]")
        .replace('adam", "sgd', "sgd")
    )
    outcome = hpsearch("run", small)
    assert outcome.status == 1
    assert "No trial of 'small' is complete among 16" in outcome.err
    assert "became" in outcome.err
    assert len(json.loads(hpsearch("run", small, "--json").out)["trials"]) == 16


# ---------------------------------------------------------------- in a process of its own


def command(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hpsearch", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path.cwd(),
        **options,  # type: ignore[call-overload]
    )


def test_ctrl_c_ends_with_130_and_the_study_goes_on_later(small: Path) -> None:
    process = command("run", small, "--set", "train.epochs=5000", "--set", "train.evaluate_every=1000")
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip().startswith("1/16"):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip().endswith("hpsearch: interrupted. Nothing that was finished is lost.")
    states = package.load_trials("small")["state"]
    assert (states != "RUNNING").sum() >= 1


@pytest.mark.campaign
def test_the_dashboard_serves_the_study_on_loopback(finished: Path) -> None:
    process = command("dashboard", "--port", "0", env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert address
        with urllib.request.urlopen(f"{address[0]}/api/studies", timeout=20) as answer:
            studies = json.load(answer)["study_summaries"]
        assert [study["study_name"] for study in studies] == ["small"]
        with urllib.request.urlopen(f"{address[0]}/api/studies/{studies[0]['study_id']}?after=0", timeout=20) as answer:
            detail = json.load(answer)
        assert len(detail["trials"]) == 6
        with urllib.request.urlopen(f"{address[0]}/dashboard/", timeout=20) as answer:
            assert b"<html" in answer.read().lower()
        other = command("dashboard", "--port", address[0].rpartition(":")[2])
        _, err = other.communicate(timeout=30)
        assert other.returncode == 2
        assert "must be free" in err
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_terminal_gets_a_progress_bar_and_tables_that_fit(small: Path) -> None:
    """In a real pseudo-terminal of 100 columns."""
    import pty

    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "hpsearch", "run", str(small)], stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(leader)
    assert process.wait(timeout=60) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert "16/16" in text
    assert "━" in text
    assert max(len(line.rstrip()) for line in re.split(r"[\r\n]+", text)) <= 130  # only sentences wrap by themselves


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    program = (
        "import sys, hpsearch.cli.app; "
        "heavy = ('numpy', 'pandas', 'sklearn', 'optuna', 'plotly', 'pydantic', 'sqlalchemy'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    begun = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=TOP)
    assert out.stdout.strip() == "[]", time.perf_counter() - begun


def test_an_error_of_the_audit_is_said_once_and_overruled_by_name(small: Path, hpsearch: Call) -> None:
    rows = "".join(f"{i * 37 % 101},{i * 53 % 103},{'ab'[i % 2]}\n" for i in range(126)) * 2
    write("rows.csv", "x,y,kind\n" + rows)
    study = write("twice.toml", CSV.format(target="kind") + "[train]\nepochs = 2\n")
    checked = hpsearch("check", study)
    assert checked.status == 2
    (finding,) = [line for line in checked.err.splitlines() if line.startswith("error")]
    refusal = checked.err.splitlines()[-1]
    assert finding.startswith("error (duplicates): ")
    assert refusal == (
        'hpsearch: twice.toml is not fit to run as it is. To overrule: [validation] allow = ["duplicates"].'
    )
    ran = hpsearch("run", study)
    assert ran.status == 2
    assert ran.err.startswith("hpsearch: twice.toml: ")
    assert not Path("hpsearch.db").exists()
    assert hpsearch("check", study, "--set", 'validation.allow=["duplicates"]').status == 0
    assert hpsearch("run", study, "--set", 'validation.allow=["duplicates"]').status == 0


@pytest.mark.parametrize(
    "call",
    [
        ["run", "x.toml", f"--{'A' * 5000}"],
        ["A" * 5000],
        ["run", "x.toml", "A" * 5000],
        ["trials", "a", "--format", "A" * 5000],
        ["run", "A" * 5000],
        ["run", "a\x1b[31m\n.toml"],
        ["run", "x.toml", "--timeout", f"{'9' * 5000}h"],
        ["best", "a", "--storage", f"sqlite:///{'A' * 5000}"],
        ["compare", "A" * 5000, f"a:{'9' * 5000}"],
    ],
    ids=["option", "command", "argument", "choice", "path", "escapes", "time", "storage", "trial"],
)
def test_what_was_given_is_cut_in_messages(call: list[str], hpsearch: Callable[..., Outcome], small: Path) -> None:
    done = hpsearch(*call)
    assert done.status == 2
    *usage, line = done.err.splitlines()
    assert line.isprintable()
    assert len(line) < 700
    assert all(len(other) < 200 for other in usage)


def test_a_number_beyond_its_bound_is_refused_by_its_option(hpsearch: Callable[..., Outcome], small: Path) -> None:
    for option in ("--trials", "--workers"):
        done = hpsearch("run", small, option, 2**63 - 1)
        assert done.status == 2
        assert option in done.err
        assert re.search("1000|1,000", done.err)
