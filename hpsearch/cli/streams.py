"""Standard streams that are closed, full, or lost with their terminal."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, TextIO

READER_GONE = (errno.EPIPE, errno.EIO)


class Stream(io.RawIOBase):
    """Standard output or standard error.

    Attributes:
        lost: why something could not be written.
    """

    def __init__(self, number: int, must_be_written: bool) -> None:
        """
        Args:
            number: of its file.
            must_be_written: raise where something is lost; else drop it.
        """
        super().__init__()
        self.lost: OSError | None = None
        self._number, self._must_be_written = number, must_be_written

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, content: Any) -> int:
        """Write all of it: a stream of text lies right on this one, as a buffer between would write twice what a signal
        interrupts, and refuse what its handler has to say."""
        rest = memoryview(content).cast("B")
        size = len(rest)
        while len(rest) and self.lost is None:  # which is raised once
            try:
                rest = rest[os.write(self._number, rest) :]
            except BlockingIOError:  # what started this process reads it without waiting, and is slower
                select.select([], [self._number], [], 1)
            except OSError as error:
                self.lost = error
                if self._must_be_written:
                    raise
        return size


def open_streams() -> Stream:
    """Have all three standard streams, and standard error as one that never fails: a run goes on without it.

    A file that is opened while one of them is closed would take its place, and what is printed would go there: into a
    database, say.

    Returns:
        Standard output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(nowhere, True)
    output = Stream(1, must_be_written=True)
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _text(output, sys.stdout)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _text(Stream(2, must_be_written=False), sys.stderr)
    return output


def _text(stream: Stream, before: TextIO | None) -> io.TextIOWrapper:
    """A stream of text that writes as the one before."""
    buffer: Any = stream
    if not isinstance(before, io.TextIOWrapper):
        return io.TextIOWrapper(buffer, "utf-8", "backslashreplace")
    return io.TextIOWrapper(
        buffer,
        before.encoding,
        before.errors,
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )
