"""A study file from a definition: for studies whose own file is elsewhere, or gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from hpsearch.atomic_write import require_replaceable, write_atomically
from hpsearch.data.frame_source import FrameRows
from hpsearch.definition.study import StudyDefinition, parsed_override
from hpsearch.regular_file import real_path


def inline(table: Mapping[str, Any]) -> Any:
    """A table on one line: a section of its own would take in the keys after it."""
    made = tomlkit.inline_table()
    made.update({key: inline(value) if isinstance(value, Mapping) else value for key, value in table.items()})
    return made


def study_file(definition: StudyDefinition, folder: Path, comment: str) -> str:
    """The text of a study file that means the same in a folder as the definition does in its own.

    Args:
        definition: of rows that a file can name.
        folder: where the file will lie.
        comment: its first line.

    Raises:
        DataError: rows that can only be read from elsewhere, or are in memory.
    """
    sections = {**definition.raw, "data": definition.data.moved(definition.folder, folder)}
    return f"# {comment}\n{plain_text(sections)}"


def plain_text(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a study file of these tables; of rows given from Python it says nothing."""
    document = tomlkit.document()
    for name, section in sections.items():
        table = tomlkit.table()
        for key, value in section.items():
            if not isinstance(value, FrameRows):
                table.add(key, _item(value))
        document[name] = table
    return tomlkit.dumps(document)


def with_overrides(text: str, overrides: Sequence[str]) -> str:
    """The text of a study file with other values of some keys, and its comments as they are."""
    if not overrides:
        return text
    document = tomlkit.parse(text)
    for override in overrides:
        path, key, value = parsed_override(override)
        table: Any = document
        for part in path:
            table = table.setdefault(part, tomlkit.table())
        table[key] = _item(value)
    return tomlkit.dumps(document)


def _item(value: Any) -> Any:
    return inline(value) if isinstance(value, Mapping) else value


def save(definition: StudyDefinition, path: Path, force: bool = False) -> None:
    """Write a definition's text, whole or not at all; where the file will lie elsewhere, with its paths from there.

    Raises:
        HpsearchError: a file that cannot be written, or is there and ``force`` is not set; rows that can only be read
            from elsewhere.
    """
    require_replaceable(path, force)
    folder = real_path(path.parent)
    text = definition.text
    if folder != real_path(definition.folder):
        text = study_file(definition, folder, f"The study {definition.name!r}.")
    write_atomically(path, text.encode())
