"""Help texts: whole sentences on terminals of any width."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Outcome
from typer.main import get_command

from hpsearch.cli.app import app

ALL: Any = get_command(app)


def words(text: str) -> str:
    """A text without blanks: lines also end after a hyphen."""
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_help_is_cut(width: int) -> None:
    listed = ALL.get_help(ALL.context_class(ALL, info_name="hpsearch", terminal_width=width))
    texts = {
        name: command.get_help(command.context_class(command, info_name=name, terminal_width=width))
        for name, command in ALL.commands.items()
    }
    assert len(texts) > 20
    for name, command in ALL.commands.items():
        told = words(command.help)
        assert f"{name}{told}" in words(listed)
        assert told in words(texts[name])
        for option in command.params:
            assert words(getattr(option, "help", None) or "") in words(texts[name])
    for text in (listed, *texts.values()):
        assert not re.search(r"…|\.\.\.", text.partition("\n\n")[2])  # before, a usage line says what may be repeated
        assert max(map(len, text.splitlines())) <= width


def test_the_command_shows_it(hpsearch: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert words(ALL.commands["check"].help) in words(hpsearch("--help").out)
