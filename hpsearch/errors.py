"""The error tree.

::

    HpsearchError            the caller's mistake: one line, exit status 2
    ├── DefinitionError      a study file or setting that cannot be (also a ValueError)
    ├── DataError            rows, targets or splits that cannot be used (also a ValueError)
    ├── StorageError         a storage that cannot be opened, read or written
    │   ├── StorageLostError     a storage that fails, as on a full disk: exit status 1
    │   ├── StudyOwnedError      another live process runs this study
    │   └── UnknownStudyError    no study of that name there (also a LookupError)
    ├── StudyChangedError    a stored study whose definition or data is now another
    ├── DivergedError        a retraining whose loss is no longer finite: exit status 1
    ├── MissingExtraError    a package that is not installed, and the extra that brings it (also an ImportError)
    └── BundleError          a saved model that cannot be written, read or applied (also a ValueError)
        └── ExportError          an export whose answers are not the model's: exit status 1

A trial's bad luck (a diverging lane) is no error: it is recorded with the trial and the study goes on.
Whatever else is raised is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HpsearchError(Exception):
    """The caller's mistake. The message says what must hold, what was got and what to do."""

    exit_status: int = 2


class DefinitionError(HpsearchError, ValueError):
    """A study file or a setting that cannot be."""


class DataError(HpsearchError, ValueError):
    """Rows, targets or splits that cannot be used."""


class StorageError(HpsearchError):
    """A storage that cannot be opened, read or written."""


class StorageLostError(StorageError):
    """A storage that fails: a full disk, a folder that cannot be written, a deleted file, a server that is gone.

    What was told before is still there."""

    exit_status = 1


class StudyOwnedError(StorageError):
    """Another live process runs this study."""


class UnknownStudyError(StorageError, LookupError):
    """No study of that name in the storage."""


class StudyChangedError(HpsearchError):
    """A stored study whose definition, data or library versions are now others."""


class DivergedError(HpsearchError):
    """A retraining whose loss is no longer a finite number."""

    exit_status = 1


class MissingExtraError(HpsearchError, ImportError):
    """A package that what was asked needs and that is not installed. The message names the extra that brings it."""


class BundleError(HpsearchError, ValueError):
    """A saved model that cannot be written, read or applied."""


class ExportError(BundleError):
    """An exported model whose answers are not the saved one's. It was not written."""

    exit_status = 1


def did_you_mean(name: object, valid: Iterable[str]) -> str:
    """The valid names, and the nearest one if there is one: the end of every "unknown name" message."""
    names = sorted(valid)
    near = difflib.get_close_matches(str(name), names, n=1)
    return f"Choose one of: {', '.join(names)}." + (f" Did you mean {near[0]!r}?" if near else "")
