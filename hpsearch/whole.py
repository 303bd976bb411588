"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from hpsearch.errors import HpsearchError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then give it its own; a file that is there is replaced.

    Raises:
        HpsearchError: the file cannot be written.
    """
    whole = path.absolute()
    partial = whole.with_name(f".{whole.name}.{os.getpid()}.part")
    try:
        try:
            partial.write_bytes(content)
            os.replace(partial, whole)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise HpsearchError(f"{path}: must be a file that can be written, but {reason}.") from error
