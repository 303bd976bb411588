"""Tables of numbers: small ones in memory, large ones in a temporary file that all processes map.

Whoever maps a file has its rows once in memory, however many processes look at them, and the system may give that
memory back whenever it needs it. A large table is written block by block, so it is never in memory twice.
"""

from __future__ import annotations

import ctypes
import mmap
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hpsearch.temporary import TemporaryFolder

MOST_IN_MEMORY = 2**24  # values: 64 MiB in single precision
BLOCK_VALUES = 2**20  # written, looked at or taken at once

_files: weakref.WeakKeyDictionary[mmap.mmap, Path] = weakref.WeakKeyDictionary()


def is_large(rows: int, columns: int) -> bool:
    """Whether a table of this shape is kept in a file."""
    return rows * columns > MOST_IN_MEMORY


def index_type(rows: int, columns: int) -> np.dtype[Any]:
    """The type of indices of rows: half as wide for a large table, whose rows stand in many splits."""
    return np.dtype(np.int32 if is_large(rows, columns) and rows < 2**31 else np.intp)


def give_memory_back() -> None:
    """Have arrays of a megabyte and more go back to the system as soon as they are freed.

    glibc raises that size with every such array that is freed, and keeps what is smaller. Other libraries do as they
    do.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 10**6)


_MMAP_THRESHOLD = -3  # of mallopt's parameters, as malloc.h has it


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """The rows of a table of this shape, some at a time."""
    count = max(1, BLOCK_VALUES // max(1, columns))
    return (slice(start, min(start + count, rows)) for start in range(0, rows, count))


def table_of(shape: tuple[int, int], dtype: DTypeLike, some: Callable[[slice], NDArray[Any]]) -> NDArray[Any]:
    """A table of its own, C-contiguous; one that is large and in a file cannot be written to.

    Args:
        shape: (N, D).
        dtype: of its numbers.
        some: gives those of its rows that a slice names, (n, D).
    """
    if is_large(*shape):
        with suppress(OSError):  # no space left, or no temporary folder: then in memory
            return _in_file(shape, np.dtype(dtype), some)
    table = np.empty(shape, dtype)
    for part in blocks(*shape):
        table[part] = some(part)
    return table


def _in_file(shape: tuple[int, int], dtype: np.dtype[Any], some: Callable[[slice], NDArray[Any]]) -> NDArray[Any]:
    folder = TemporaryFolder()
    path = folder.path / "table.npy"
    try:
        with path.open("w+b") as file:
            header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            offset = file.tell()
            for part in blocks(*shape):
                file.write(np.ascontiguousarray(some(part), dtype).data)
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except BaseException:
        folder.remove()
        raise
    _files[mapped] = path
    weakref.finalize(mapped, folder.remove)
    return np.ndarray(shape, dtype, buffer=mapped, offset=offset)


def let_go(table: NDArray[Any]) -> None:
    """Give back the memory of a table in a file. Whoever looks at its rows again has them read again."""
    if isinstance(table.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        table.base.madvise(mmap.MADV_DONTNEED)


def file_of(table: NDArray[Any]) -> Path | None:
    """The ``.npy`` file that holds just this table, as long as it is in use; None if it is in memory."""
    return _files.get(table.base) if isinstance(table.base, mmap.mmap) else None
