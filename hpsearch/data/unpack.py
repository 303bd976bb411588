"""The text of a compressed file as a stream: nothing is unpacked to disk, and its reader stops where it is too long."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Collection
from io import BufferedReader
from typing import Any

from hpsearch.errors import DataError, one_line
from hpsearch.numbers import plural

UNPACKING_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError)  # of a damaged file, beside errors of the system
MOST_LISTED = 2**20  # bytes: of the list of an archive's files, which is held in memory

_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = 1
# Files that tell what an archive is.
_SPREADSHEETS = {
    "[Content_Types].xml": "an Excel file (.xlsx)",
    "content.xml": "an OpenDocument spreadsheet (.ods)",
    "Index/Document.iwa": "a Numbers file",
}


def unpacked(file: BufferedReader) -> BufferedReader:
    """What is in a gzip file or in a zip archive of one file; any other file as it is.

    Raises:
        DataError: an archive of no file or of several, an encrypted one, a spreadsheet.
        OSError: a damaged file, or one of :data:`UNPACKING_ERRORS`; also later, when it is read.
    """
    head = file.peek(len(_OLE2))
    if head.startswith(_OLE2):
        raise _spreadsheet("an Excel file (.xls)")
    if head.startswith(b"\x1f\x8b"):
        return BufferedReader(gzip.GzipFile(fileobj=file))
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):  # the latter of no file
        return BufferedReader(_only_file(file))
    return file


def _only_file(file: BufferedReader) -> Any:
    """The one file of a zip archive."""
    if not file.seekable():
        do = "Pipe what is in it: unzip -p FILE."
        raise DataError("must be a file on disk if it is a zip file, whose end says what is in it", "is a pipe", do)
    try:
        archive = zipfile.ZipFile(_InPieces(file))
    except (NotImplementedError, struct.error) as error:
        raise DataError("must be a readable zip file", one_line(error), "Unpack it first.") from error
    members = {member.filename: member for member in archive.infolist() if not member.is_dir()}
    for name, what in _SPREADSHEETS.items():
        if name in members:
            raise _spreadsheet(what)
    named = [name for name in members if not name.startswith("__MACOSX/")]  # what macOS adds to its archives
    if len(named) != 1:
        must = "must hold one file and nothing else"
        raise DataError(must, f"is a zip file of {_counted(named)}", "Unpack it, and name the file of the rows.")
    (member,) = (members[name] for name in named)
    if member.flag_bits & _ENCRYPTED:
        raise DataError("must not be encrypted", "is a zip file with a password", "Unpack it first.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError("must be packed by the usual method", "is a zip file by another", "Unpack it first.")
    try:
        return archive.open(member)
    except (NotImplementedError, RuntimeError) as error:
        raise DataError("must be a readable zip file", one_line(error), "Unpack it first.") from error


def _counted(names: Collection[str]) -> str:
    return plural(len(names), "file") if names else "no file"


def _spreadsheet(what: str) -> DataError:
    do = 'Save its sheet as "CSV UTF-8" in the spreadsheet program, and name that file.'
    return DataError("must be a CSV or Parquet file", f"is {what}", do)


class _InPieces:
    """A file from which an archive's reader gets little at once, whatever sizes the archive claims."""

    def __init__(self, file: BufferedReader) -> None:
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._read = file.read

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, all that are left if it is negative.

        Raises:
            DataError: that is too much.
        """
        if size < 0 or size > MOST_LISTED:
            content = self._read(MOST_LISTED + 1)
            if len(content) > MOST_LISTED:
                must = f"must have a list of files of at most {MOST_LISTED / 2**20:g} MiB"
                raise DataError(must, "is a zip file with a longer one", "Unpack it first.")
            return content
        return self._read(size)
