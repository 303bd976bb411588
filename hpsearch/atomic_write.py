"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hpsearch.errors import HpsearchError, Setting, Text, reason


def write_atomically(
    path: Path, content: bytes | Callable[[BinaryIO], object], failure: type[HpsearchError] = HpsearchError
) -> None:
    """Write a file under a temporary name beside it, then give it its own; a file that is there is replaced.

    The file's mode is what the process's umask makes of 0666. A process that is killed meanwhile leaves the temporary
    file, ``.NAME.PID.part``.

    Args:
        path: the file; its folder must exist.
        content: what it holds, or what writes that to an open file.
        failure: the kind of error to raise.

    Raises:
        HpsearchError: the file cannot be written, as a ``failure``.
    """
    whole = path.absolute()
    partial = whole.with_name(f".{whole.name}.{os.getpid()}.part")
    try:
        try:
            with partial.open("wb") as file:
                file.write(content) if isinstance(content, bytes) else content(file)
            os.replace(partial, whole)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise failure("must be a file that can be written", reason(error), where=str(path)) from error


def require_replaceable(
    path: Path,
    force: bool,
    earlier: str = "",
    is_earlier: Callable[[Path], bool] = lambda path: False,
    failure: type[HpsearchError] = HpsearchError,
) -> None:
    """Refuse to write over what somebody else has made.

    Args:
        path: the file to write.
        force: whether anything may be replaced.
        earlier: what may be replaced without, as ``an earlier report``; nothing by default.
        is_earlier: whether the file that is there is one.
        failure: the kind of error to raise.

    Raises:
        HpsearchError: the file is there and may not be replaced, or is a folder, as a ``failure``.
    """
    if path.is_dir():
        raise failure("must be a file that can be written", "is a folder", "Name another.", where=str(path))
    if not path.exists() or force or is_earlier(path):
        return
    must = f"must not exist yet or be {earlier}" if earlier else "must not exist yet"
    do: Text = ("Name another, or replace it with ", Setting("force", True), ".")
    raise failure(must, "is neither" if earlier else "does", do, where=str(path))
