"""Per-row results, in files beside the storage: for honest estimates and for figures.

A study has a folder, with ``layout.npz`` (which row stands where, see :class:`Layout`) and one ``trial-N.npz`` a
complete trial (see :class:`~hpsearch.validation.cross_validate.RowResults`). A trial's file is whole before the trial
is told, so whatever stops a run, every complete trial has its file, and no other file is looked at. Its folder
``finals`` has the same of the finalists' out-of-fold ensembles, and ``finals/fewer`` of the chosen one's where a
further fold was left out.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import make_url

from hpsearch.atomic_write import write_atomically
from hpsearch.errors import StorageError, StorageLostError, one_line, reason
from hpsearch.regular_file import open_regular, real_path
from hpsearch.storage.trial_result import TrialResult
from hpsearch.temporary import remove_left_beside
from hpsearch.validation.cross_validate import RowResults
from hpsearch.validation.layout import Layout

Content = TypeVar("Content", Layout, RowResults)
# What files written when there were only classes call it.
_NAMED = {"probabilities": "predictions", "answers": "predictions"}
# What a file that is gone, cut off or damaged can raise.
_UNREADABLE = (
    *(OSError, ValueError, TypeError, EOFError, NotImplementedError, MemoryError, zipfile.BadZipFile, zlib.error),
)


def _check(content: Layout | RowResults) -> None:
    """
    Raises:
        ValueError: arrays that are not of the kinds and shapes that are written.
    """
    if isinstance(content, RowResults):
        arrays = [content.losses, content.predictions, content.of_objective]
        good = content.losses.ndim == content.predictions.ndim == 2 and content.of_objective.ndim >= 2
        if not good or any(array.dtype.kind not in "fiub" for array in arrays):
            raise ValueError("losses and predictions must be tables of numbers")
        if not np.isfinite(content.predictions).all():
            raise ValueError("predictions must be finite")
        return
    counts = [content.rows, content.splits, *([] if content.units is None else [content.units])]
    counts += [] if content.labels.dtype.kind == "f" else [content.labels]
    if any(array.dtype.kind not in "iu" or array.ndim != 1 or (array < 0).any() for array in counts):
        raise ValueError("rows, splits, units and classes must be numbered from 0")
    weights = [] if content.weights is None else [content.weights]
    size, shapes = len(content.rows), {array.shape for array in (*counts, content.labels, *weights)}
    if shapes != {(size,)} or size == 0:
        raise ValueError("rows, splits and labels must be as many")
    if not all(np.isfinite(array).all() and array.dtype.kind in "fiu" for array in (content.labels, *weights)):
        raise ValueError("labels and weights must be finite")
    if content.splits.max() >= size or not (np.bincount(content.splits, *weights) > 0).all():
        raise ValueError("every split must have rows")


@dataclass(frozen=True)
class RowResultFiles:
    """The files of one study."""

    folder: Path

    @classmethod
    def beside(cls, database: Path | None, url: str, study: str) -> RowResultFiles:
        """Those of a study: beside its SQLite file, or in the working directory for a storage without a file."""
        if database is None:  # whoever connects, and however: it is the same database
            place = make_url(url)
            key = f"{place.host}:{place.port}/{place.database}"
            database = Path(f"hpsearch-{hashlib.sha256(key.encode()).hexdigest()[:8]}")
        return cls(database.with_name(f"{database.name}.rows") / f"study-{study}")

    def _file(self, number: int) -> Path:
        return self.folder / f"trial-{number}.npz"

    def begin(self, layout: Layout) -> None:
        """Write the study's layout; for the study's one owner, which also removes what a killed one left half written.

        Raises:
            StorageLostError: a folder that cannot be written.
        """
        remove_left_beside(self.folder)
        self._write(self.folder / "layout.npz", vars(layout))

    def write(self, number: int, rows: RowResults) -> None:
        """Write a trial's per-row results.

        Raises:
            StorageLostError: a folder that cannot be written.
        """
        self._write(self._file(number), vars(rows))

    def layout(self) -> Layout:
        """The study's layout.

        Raises:
            StorageError: its file is not there, or not readable.
        """
        return self._read(Layout, self.folder / "layout.npz")

    def of(self, result: TrialResult) -> RowResults:
        """The per-row results of a complete trial.

        Raises:
            StorageError: its file is not there, not readable, or of another trial.
        """
        path = self._file(result.number if result.same_as is None else result.same_as)
        rows, layout = self._read(RowResults, path), self.layout()
        shares = layout.shares
        means = np.mean(result.validation_loss, axis=1) if result.ensemble is None else np.array(result.ensemble.loss)
        # What was told with the trial must come out of its rows, which are stored in float32.
        fits = rows.losses.shape == (len(means), len(shares)) and rows.predictions.shape[0] == len(shares)
        fits = fits and rows.of_objective.shape[:2] == rows.losses.shape
        fits = fits and layout.classes <= max(2, rows.predictions.shape[1])
        if not fits or not np.allclose(rows.losses @ shares, means, rtol=1e-4, atol=1e-6):
            raise StorageError(f"must be of trial {result.number}", "is of another study", where=str(real_path(path)))
        return rows

    def _write(self, path: Path, arrays: Mapping[str, NDArray[Any] | None]) -> None:
        present: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageLostError(
                "must be a folder that can be written", reason(error), where=str(path.parent)
            ) from error
        write_atomically(path, lambda file: np.savez_compressed(file, **present), StorageLostError)

    def _read(self, content: type[Content], path: Path) -> Content:
        try:
            with open_regular(path) as file, np.load(io.BytesIO(file.read()), allow_pickle=False) as arrays:
                read = content(**{_NAMED.get(name, name): array for name, array in arrays.items()})
                _check(read)
                return read
        except _UNREADABLE as error:
            got = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read ({one_line(error)})"
            raise StorageError("must be kept with the storage", got, where=str(real_path(path))) from error
