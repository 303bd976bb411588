"""The definition that ``init`` drafts, without a file of its own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from hpsearch.data.csv_format import SETTABLE
from hpsearch.data.dataset import Task
from hpsearch.data.frame_source import FrameRows
from hpsearch.definition.draft import draft, draft_frame
from hpsearch.definition.study import StudyDefinition, as_key, tables
from hpsearch.errors import DefinitionError, Setting, as_argument, located, quoted


def _as_argument(setting: Setting) -> str:
    return as_argument(setting) if setting.name in ("target", "task", "name") else as_key(setting)


def drafted(
    rows: Any,
    target: str | None,
    name: str | None = None,
    task: Task | None = None,
    overrides: Sequence[str] = (),
    stacklevel: int = 2,
) -> StudyDefinition:
    """The definition of the study file that ``hpsearch init`` writes, with a warning of what it leaves out unasked.

    Args:
        rows: a DataFrame, or a CSV or Parquet file.
        target: its column to predict.
        name: the study's; made from the file's if None, or from the target's.
        task: what the target is; found out if None.
        overrides: ``section.key=value``, which take precedence. Those that say how a file is written, or what becomes
            of rare classes, are known before anything else is found out.
        stacklevel: whose line the warning names, as ``warnings.warn`` counts.

    Raises:
        DataError: rows that cannot be used.
        DefinitionError: a name that a study cannot have; a key or a value that it cannot have.
    """
    in_file = isinstance(rows, str | Path)
    keys = {f"data.{key}" for key in (SETTABLE if in_file else ("rare_classes",))}
    if task not in (None, *get_args(Task)):
        raise DefinitionError(
            f"must be one of {', '.join(get_args(Task))}", f"is {quoted(task)}", where=Setting("task")
        )
    asked = tables(overrides).get("data", {})  # refuses what is no such text
    told = [override for override in overrides if override.partition("=")[0].strip() in keys]
    given = tables(told).get("data", {})
    with located(wording=_as_argument):
        if in_file:
            path = Path(rows)
            made, of_frame = draft(path, target, path.as_posix(), "FILE", name, task, given), None
        else:
            of_frame = FrameRows.of(rows)
            made = draft_frame(of_frame, target, name, task, given)
    definition = StudyDefinition.from_text(made.text, of_frame, [one for one in overrides if one not in told])
    lines = {key: found for key, found in made.left_out.items() if key not in asked}
    if lines:
        example = f'overrides=["data.{next(iter(lines))}=..."]'
        said = " ".join(line for found in lines.values() for line in found)
        warnings.warn(f"{said} To decide yourself, without a warning: {example}.", UserWarning, stacklevel)
    return definition
