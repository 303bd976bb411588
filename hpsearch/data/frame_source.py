"""A pandas DataFrame as a source: rows that are given from Python and kept nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field

from hpsearch.data.csv_format import CsvFormat
from hpsearch.data.frame_table import PLACE, read_frame, require_frame
from hpsearch.data.table_file import Table, Wanted
from hpsearch.data.table_sources import LabelledTable
from hpsearch.errors import DataError, Setting
from hpsearch.numbers import plural

if TYPE_CHECKING:
    import pandas as pd


class FrameRows:
    """A DataFrame in the tables of a definition: it is handed on as it is, and neither copied, stored nor pickled.

    Args:
        frame: the rows; None where only their description is left.
        description: what is stored in their place.
    """

    def __init__(self, frame: pd.DataFrame | None, description: str) -> None:
        self.frame, self._description = frame, description

    @classmethod
    def of(cls, rows: Any) -> Self:
        """The rows of a DataFrame.

        Raises:
            DataError: it is none, or one whose columns cannot be told apart by name.
        """
        frame = require_frame(rows)
        return cls(frame, f"a DataFrame of {plural(len(frame), 'row')} and {plural(frame.shape[1], 'column')}")

    def __repr__(self) -> str:
        return self._description

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:  # workers get the dataset
        return FrameRows, (None, self._description)


class Frame(LabelledTable):
    """``frame``: a DataFrame, with the keys that say what the columns of a file are.

    A stored study says how large it was, and cannot load it again.
    """

    NAME: ClassVar = "frame"
    csv: ClassVar[CsvFormat] = CsvFormat()

    rows: Annotated[Any, Field(exclude=True, repr=False, description="the DataFrame")] = None

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        return self.model_dump(exclude_defaults=True)

    def _read(self, folder: Path, wanted: Wanted) -> tuple[Table, str]:
        if not isinstance(self.rows, FrameRows) or self.rows.frame is None:
            raise gone("In Python, give them again (with_rows, or run with the same DataFrame); or name a file.")
        return read_frame(self.rows.frame, wanted), PLACE


def gone(do: str) -> DataError:
    """The refusal of rows that are no longer there."""
    return DataError(
        "must say where the rows come from",
        "those of this study were given from Python and are kept nowhere",
        do,
        where=Setting("source"),
    )
