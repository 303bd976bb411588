"""A model's word on where its study's rows are, and those rows again; the word is checked, never trusted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.columns import Raw
from hpsearch.data.frame_source import Frame
from hpsearch.data.sources import PythonFunction
from hpsearch.data.table_sources import TableFile
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import DataError, quoted
from hpsearch.model.bundle import Bundle
from hpsearch.regular_file import real_path
from hpsearch.search.objective import load_rows

MOST_GENERATED = 10**6  # rows: whoever wrote a model could ask for any number


def recipe(definition: StudyDefinition, folder: Path | None) -> dict[str, Any] | None:
    """The sections of a study file in the model's folder that would give the same rows and the same hold-out.

    Returns:
        In plain values; None where no such file could be: rows made by a module, given from Python or on another drive,
        or a model without a folder.
    """
    if folder is None or isinstance(definition.data, PythonFunction | Frame):
        return None
    sections = {name: definition.raw[name] for name in ("study", "holdout") if name in definition.raw}
    sections["validation"] = {"splitter": definition.validation.splitter}  # which says how rows are held out
    try:
        moved = definition.data.moved(definition.folder, real_path(folder))
    except ValueError:
        return None
    plain: dict[str, Any] = json.loads(json.dumps({**sections, "data": moved}, default=str))
    return plain


def study_rows(bundle: Bundle, folder: Path) -> list[Raw]:
    """All rows of the study that a model came from, those held out too, if they are still what they were.

    Args:
        bundle: the model.
        folder: where it is saved.

    Raises:
        HpsearchError: with the reason why not.
    """
    rows = bundle.about.get("rows")
    if rows is None:
        raise DataError("the model must say where they are", "does not")
    definition = StudyDefinition.from_mapping(rows, real_path(folder))
    _require_harmless(definition)
    return rows_of(bundle, definition)


def rows_of(bundle: Bundle, definition: StudyDefinition) -> list[Raw]:
    """All rows of a study, those held out too, if a model came from them.

    Raises:
        DataError: rows that cannot be used, or others than the model's.
    """
    parts = [part for part in load_rows(definition) if part is not None]
    known = [bundle.about.get("data_fingerprint"), bundle.about.get("holdout_fingerprint")]
    if [part.fingerprint for part in parts] != known[: len(parts)] or parts[0].columns != bundle.plan:
        raise DataError(f"The rows of the study {definition.name!r} must be those that the model knows", "are others")
    return bundle.plan.raws(np.concatenate([part.features for part in parts]))


def _require_harmless(definition: StudyDefinition) -> None:
    """Refuse to run what a model names, to wait for a pipe that it names, or to draw as many rows as it likes.

    Raises:
        DataError: it would be so.
    """
    source = definition.data
    if isinstance(source, PythonFunction):
        raise DataError("they must not be made by Python code", "are, and it is not run because a model says so")
    if isinstance(source, TableFile) and not os.path.isfile(definition.folder / source.path):
        raise DataError("they must be where the model says", f"there is no file {quoted(source.path)} beside it")
    if getattr(source, "samples", 0) * getattr(source, "classes", 1) > MOST_GENERATED:
        raise DataError(f"they must be at most {MOST_GENERATED:,}", "would be more than that")
