"""A saved model in a format of others, checked before it is written: it predicts every row as the model does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hpsearch.atomic_write import require_replaceable, write_atomically
from hpsearch.data.columns import Column, Raw
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import BundleError, ExportError, HpsearchError, Setting, did_you_mean, quoted
from hpsearch.model.bundle import Bundle
from hpsearch.model.onnx import OnnxModel, require_packages, to_onnx
from hpsearch.model.predict_file import read_rows
from hpsearch.model.study_rows import rows_of, study_rows
from hpsearch.regular_file import real_path
from hpsearch.transform import inverse_yeo_johnson

# Of a probability, or of a regression's prediction over the target's scale. Where the target is transformed, the
# transforms of two predictions are compared: it is they that the network tells apart.
TOLERANCE = 1e-5
MADE_ROWS = 1000
_MADE_DAYS = -700_000, 2_900_000  # the first and the last of four-digit years, about
CHECKED_ROWS = 4096  # at once


class RunnableExport(Protocol):
    """An exported model that runs, as its users would run it."""

    @property
    def inputs(self) -> list[dict[str, Any]]: ...

    @property
    def outputs(self) -> list[dict[str, Any]]: ...

    def predict(self, raws: Sequence[Raw]) -> tuple[NDArray[Any] | None, NDArray[Any]]: ...


@dataclass(frozen=True)
class ExportFormat:
    """A format: what refuses without its packages, what writes a model, and what runs what was written."""

    require: Callable[[], None]
    write: Callable[[Bundle], bytes]
    run: Callable[[bytes], RunnableExport]


# By the name that is a file's ending too.
EXPORTS: dict[str, ExportFormat] = {
    "onnx": ExportFormat(require_packages, lambda bundle: to_onnx(bundle).SerializeToString(), OnnxModel)
}


@dataclass(frozen=True)
class Exported:
    """What was written, and what it was checked on.

    Attributes:
        file: the file.
        format: one of :data:`EXPORTS`.
        bytes: its size.
        rows: how many rows it was checked on.
        checked_on: all rows of the study's data, hold-out included; of a file; or rows made for the check.
        not_study: why not the study's rows, where they were looked for: a sentence.
        largest_difference: of a probability, or of a regression's prediction over the target's scale.
        inputs: name, type and shape of each.
        outputs: likewise.
    """

    file: str
    format: str
    bytes: int
    rows: int
    checked_on: Literal["study", "file", "made"]
    not_study: str | None
    largest_difference: float
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


def export(
    folder: Path, path: Path | None = None, kind: str = "onnx", rows: Path | None = None, force: bool = False
) -> Exported:
    """Write a saved model in another format, once it has been checked.

    Args:
        folder: the model's.
        path: the file; by default the folder's name with the format's ending, in the working directory.
        kind: one of :data:`EXPORTS`.
        rows: a CSV or Parquet file to check every row of, or the study file that says where the study's are. By default
            the study's, if they are still where and what they were; otherwise rows made from the preprocessing table,
            some with missing values and with categories that training had not.
        force: replace a file that is there.

    Raises:
        BundleError: no saved model; a file that is there; a model that the format cannot hold.
        DataError: rows that do not fit the model.
        ExportError: a prediction that is not the model's; nothing is written.
        HpsearchError: an unknown format; packages that are not installed; a file that cannot be written.
    """
    if kind not in EXPORTS:
        raise HpsearchError(f"Unknown format {quoted(kind)}", do=did_you_mean(kind, EXPORTS))
    form = EXPORTS[kind]
    form.require()
    target = Path(f"{real_path(folder).name}.{kind}") if path is None else path
    require_replaceable(target, force, failure=BundleError)
    bundle = Bundle.load(folder)
    content = form.write(bundle)
    exported = form.run(content)
    chosen, checked_on, not_study = _rows_to_check(bundle, folder, rows)
    largest = check(bundle, exported, chosen)
    write_atomically(target, content)
    count = len(chosen[0].values)
    return Exported(
        str(target), kind, len(content), count, checked_on, not_study, largest, exported.inputs, exported.outputs
    )


def _rows_to_check(
    bundle: Bundle, folder: Path, rows: Path | None
) -> tuple[list[Raw], Literal["study", "file", "made"], str | None]:
    """Raw columns, where they are from, and why not from the study."""
    if rows is not None and rows.suffix.lower() == ".toml":
        return rows_of(bundle, StudyDefinition.from_file(rows)), "study", None
    if rows is not None:
        return read_rows(bundle, rows).columns, "file", None
    try:
        return study_rows(bundle, folder), "study", None
    except HpsearchError as error:
        return made_rows(bundle, MADE_ROWS), "made", str(error)


def check(bundle: Bundle, exported: RunnableExport, raws: Sequence[Raw]) -> float:
    """Compare the predictions of every row, and the classes where two are not as probable as each other.

    Returns:
        The largest difference of a probability, or of a regression's prediction over the target's scale.

    Raises:
        ExportError: it is more than :data:`TOLERANCE`, or a class is another.
    """
    largest, rows = 0.0, len(raws[0].values)
    for start in range(0, rows, CHECKED_ROWS):
        part = [replace(raw, values=raw.values[start : start + CHECKED_ROWS]) for raw in raws]
        features, _ = bundle.plan.expand(part)
        expected = bundle.predictions(features).astype(np.float64)
        labels, predictions = exported.predict(part)
        differences = _differences(bundle, predictions, expected)
        wrong = ~(differences <= TOLERANCE)  # nan is wrong too
        if labels is not None:
            second, first = np.sort(expected, axis=1)[:, -2:].T
            wrong |= (labels != bundle.targets_of(expected)) & (first - second > TOLERANCE)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ExportError(
                f"The exported model must predict every row within {TOLERANCE:g} as the saved one does",
                f"row {start + row} differs by {differences[row]:.2g}",
                (
                    "Nothing was written. Retrain with ",
                    Setting("dtype", "float64"),
                    ", or with ",
                    Setting("scaling", "standard"),
                    " if it has none.",
                ),
            )
        largest = max(largest, float(differences.max()))
    return largest


def _differences(bundle: Bundle, predictions: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """How far predictions (N, A) are from those expected, (N,), in what :data:`TOLERANCE` is in; nan is far."""
    if (transform := bundle.target_transform) is not None:
        inside, expected = (np.clip(values, transform.low, transform.high) for values in (predictions, expected))
        # Beyond the bounds there is at most the rounding of a mean over members.
        within = np.isclose(predictions, inside, rtol=1e-9, atol=0)
        predictions = transform.forward(np.where(within, inside, np.nan)[np.newaxis])[0]
        expected = transform.forward(expected[np.newaxis])[0]
    differences: NDArray[np.float64] = np.abs(predictions - expected).max(axis=1) / bundle.target_scale
    return differences


def made_rows(bundle: Bundle, rows: int) -> list[Raw]:
    """Rows that look like those of training as far as the preprocessing table knows them, a tenth of values missing.

    Numbers lie around what fills a missing one, by twice what they are scaled by; those that are transformed first lie
    so around what is subtracted from them then. Categories are any of a column's, or one that it has not.
    """
    draw, raws = np.random.default_rng(0), []
    for column, entry in zip(bundle.plan.columns, bundle.preprocessing, strict=True):
        missing = draw.random(rows) < 0.1
        if column.kind == "categorical":
            unseen = "other"
            while unseen in column.categories:
                unseen += "_"
            words = (*column.categories, unseen)
            raws.append(
                Raw(column.name, column.kind, np.where(missing, -1, draw.integers(len(words), size=rows)), words)
            )
        else:
            values = _made_numbers(column, entry, draw, rows)
            raws.append(Raw(column.name, column.kind, np.where(missing, np.nan, values), column.categories))
    return raws


def _made_numbers(
    column: Column, entry: Mapping[str, Any], draw: np.random.Generator, rows: int
) -> NDArray[np.float64]:
    """Values of a column that is not categorical."""
    # Of a date's features the first is its day.
    learnt: dict[str, Any] = {name: entry.get(name) for name in ("fill", "centre", "scale", "lambda")}
    learnt = {name: value[0] if isinstance(value, list) else value for name, value in learnt.items()}
    fill, power = learnt["fill"] or 0.0, learnt["lambda"]
    numbers = 2 * (learnt["scale"] or 1.0) * draw.standard_normal(rows)
    if power is None:
        numbers = fill + numbers
    else:  # back to the column's own unit, where that is possible
        numbers = inverse_yeo_johnson(learnt["centre"] + numbers, np.array(power))
        numbers = np.where(np.isfinite(numbers), numbers, fill)
    if column.kind == "boolean":
        return draw.integers(2, size=rows).astype(np.float64)
    if column.kind == "ordered":
        return draw.integers(len(column.categories), size=rows).astype(np.float64)
    if column.kind == "date":
        numbers = np.clip(numbers, *_MADE_DAYS)
        return numbers if column.clock else np.floor(numbers)
    return numbers
