"""A pandas DataFrame read as a file of rows is: the types of the columns are the frame's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hpsearch.data.columns import Raw, column_error
from hpsearch.data.frames import as_texts, ordered_as, series_column
from hpsearch.data.matrix import is_large
from hpsearch.data.table_file import Table, Wanted, check_values
from hpsearch.errors import DataError, Setting, located, quoted

if TYPE_CHECKING:
    import pandas as pd

PLACE = "the DataFrame"  # how errors call it


def require_frame(rows: Any) -> pd.DataFrame:
    """The rows, if they are a DataFrame whose columns can be told apart by name.

    Raises:
        DataError: they are not.
    """
    import pandas as pd

    if not isinstance(rows, pd.DataFrame):
        kind = type(rows)
        name = (
            kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        )
        do = "Name its columns: pd.DataFrame(rows, columns=[...])." if hasattr(rows, "__array__") else ""
        if hasattr(rows, "to_pandas"):
            do = "Give rows.to_pandas()."
        elif isinstance(rows, pd.Series):
            do = "It needs the columns to predict from, too."
        elif isinstance(rows, dict | list):
            do = "Give pd.DataFrame(rows)."
        raise DataError("the rows must be a pandas DataFrame or a file of rows", f"are of type {name}", do)
    if rows.columns.nlevels > 1:
        do = 'Join their levels: frame.columns = ["_".join(map(str, name)) for name in frame.columns].'
        raise DataError("columns must have names of one level", f"have {rows.columns.nlevels}", do, PLACE)
    if not len(rows.columns):
        raise DataError("must have columns", "has none", where=PLACE)
    for place, name in enumerate(rows.columns):
        if not isinstance(name, str) or not name.strip():
            do = "Rename them: frame.columns = frame.columns.astype(str)." if not isinstance(name, str) else ""
            raise DataError(
                "columns must have names that are text", f"column {place} is called {quoted(name)}", do, PLACE
            )
    for name in rows.columns[rows.columns.duplicated()]:
        raise DataError("column names must differ", f"{quoted(name)} stands twice", where=PLACE)
    return rows


def read_frame(frame: pd.DataFrame, wanted: Wanted) -> Table:
    """The table of a DataFrame. Rows are counted from 0, as ``iloc`` does, and its index is not looked at.

    Raises:
        DataError: no rows; columns that are not as they must be, or hold what is no number, boolean, text or date.
    """
    with located(PLACE):
        return _read(frame, wanted)


def _read(frame: pd.DataFrame, wanted: Wanted) -> Table:
    names = [*frame.columns]
    indices = [name for name in frame.index.names if name is not None and name not in names]
    if wanted.target in indices:
        do = "Make a column of it: frame.reset_index()."
        raise DataError(f"must have a column {quoted(wanted.target)}", "has an index of that name", do)
    features = wanted.among(names)
    if not len(frame):
        raise DataError("must have rows", "has none")
    check_values(len(frame), len(names))
    without = 0
    if wanted.drop_missing_target and wanted.target is not None:
        labelled = [wanted.has_target(cell) for cell in _cells(frame, wanted.target)]
        without = labelled.count(False)
        wanted.require_targets(len(labelled) - without, without)
        frame = frame[labelled] if without else frame
    rows = range(len(frame))
    large = is_large(len(frame), len(features))

    def feature(name: str) -> Callable[[], Raw]:
        def read() -> Raw:
            values = frame[name]
            _require_scalars(name, values)
            types = ordered_as(name, values.dtype, wanted.types)
            raw = series_column(name, values, types, rows)
            return raw.narrowed() if large else raw

        return read

    def texts(name: str) -> Callable[[], list[str]]:
        def read() -> list[str]:
            taken = wanted.as_text(name)
            taken.add(_cells(frame, name), rows)
            return taken.finish()

        return read

    return Table.of(
        wanted,
        names,
        {name: feature(name) for name in features},
        {name: texts(name) for name in wanted.texts_among(names)},
        rows,
        without_target=without,
    )


def _cells(frame: pd.DataFrame, name: str) -> list[str]:
    """How a CSV file would show a column."""
    _require_scalars(name, frame[name])
    return as_texts(frame[name])


def _require_scalars(name: str, values: pd.Series[Any]) -> None:
    """Refuse a column of lists and the like."""
    if values.dtype.kind != "O":
        return
    for value in values:
        if isinstance(value, bytes) or (hasattr(value, "__len__") and not isinstance(value, str)):
            do = "Leave it out: ", Setting("drop", [name]), "."
            raise column_error(
                name, "must hold one number, boolean, text or date a row", f"holds {type(value).__name__}", do
            )
