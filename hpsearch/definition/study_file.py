"""A study file from a definition: for studies whose own file is elsewhere, or gone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from hpsearch.definition.study import StudyDefinition


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
    document = tomlkit.document()
    document.add(tomlkit.comment(comment))
    sections = {**definition.raw, "data": definition.data.moved(definition.folder, folder)}
    for name, section in sections.items():
        table = tomlkit.table()
        for key, value in section.items():
            table.add(key, inline(value) if isinstance(value, Mapping) else value)
        document[name] = table
    return tomlkit.dumps(document)
