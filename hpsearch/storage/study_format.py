"""How studies lie in their storage, by number: one that a later version wrote is refused, not misread.

Studies without a number are older than the numbers, and read like those of format 1. Whoever changes what is stored so
that the code before would misread it raises :data:`FORMAT`, and adds what it writes to ``tests/formats``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.errors import StorageError, one_line
from hpsearch.storage.reading import whole

FORMAT = 1
KEY = "format"  # an attribute of the study


def require_known_format(attributes: Mapping[str, Any]) -> None:
    """Refuse a study of a format that this version does not know.

    Args:
        attributes: those of the study.

    Raises:
        DamagedStudyError: its format is no whole number.
        StorageError: with the version that wrote it.
    """
    number = whole(attributes.get(KEY, FORMAT), f"its attribute {KEY!r}")
    if 1 <= number <= FORMAT:
        return
    identity = attributes.get("identity")
    version = identity.get("version.hpsearch") if isinstance(identity, Mapping) else None
    writer = "" if version is None else f", which hpsearch {one_line(str(version))} wrote"
    raise StorageError(
        f"must be stored in format {FORMAT}" + (" or an earlier one" if FORMAT > 1 else ""),
        f"is in format {number}{writer}",
        "Use that version of hpsearch, or a later one.",
    )
