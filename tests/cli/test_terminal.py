"""Tables on terminals of any width: no value is cut, and what does not fit is said."""

from __future__ import annotations

import re
import shutil
import sys
from os import terminal_size

import pandas as pd
import pytest

from hpsearch.cli import terminal

FRAME = pd.DataFrame(
    {
        "study": pd.Series(["a-name-of-a-study-that-is-longer-than-half-a-narrow-terminal", "short"], dtype="str"),
        "best_value": [0.25, 123_456_789.0],
        "number_of_trials": [1, 1000],
        "nothing": [None, None],
        "reason": pd.Series(["the loss became nan in the third fold of the second repeat", ""], dtype="str"),
    }
)


def test_names_of_others_do_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    nasty, shown = "a\x1b[2J\x9b31m\u202e", r"a\x1b[2J\x9b31m\u202e"
    terminal.say(f"{nasty}\nb")
    terminal.say_rows([(nasty, nasty)])
    terminal.table(pd.DataFrame({nasty: [nasty]}))
    assert capsys.readouterr().out == f"{shown}\nb\n{shown}  {shown}\n{shown}\n{shown}\n"


@pytest.mark.parametrize("width", [30, 45, 60, 80, 120, 200])
def test_every_value_is_whole_or_its_column_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: terminal_size((width, 40)))
    terminal.table(FRAME, "--format csv")
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    shown, _, note = out.partition("(Left out")
    named = re.sub(r"\s+", " ", note).removeprefix(", as they do not fit: ")
    assert not note or named.endswith(" A wider terminal or --format csv shows all.) ")
    left_out = re.split(", ", named.partition(". ")[0]) if note else []
    columns = ["study", "best_value", "number_of_trials", "reason"]
    assert left_out == columns[len(columns) - len(left_out) :]  # from the right
    begins = ["a-name", "123,500,000", "1000", "the loss"]
    for column, text in zip(columns, begins, strict=True):
        assert (text in shown) == (column not in left_out)
    if width == 200:
        assert not note
        assert "nothing" not in out


@pytest.mark.parametrize("width", range(20, 70, 7))
def test_an_interval_is_shown_with_both_ends_or_not_at_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: terminal_size((width, 40)))
    names = ("column_of_the_table", "importance", "value_low", "value_high", "low", "high")
    terminal.table(pd.DataFrame({name: [0.123456789] for name in names}))
    heads, _, note = capsys.readouterr().out.partition("(Left out")
    left_out = re.findall(r"[a-z_]+", re.sub(r"\s+", " ", note).partition(". ")[0].partition(": ")[2])
    assert left_out == [*names][len(names) - len(left_out) :]
    assert ("low" in left_out) == ("high" in left_out)
    assert ("value_low" in left_out) == ("value_high" in left_out)
    assert heads.count("0.1235") == len(names) - len(left_out)
