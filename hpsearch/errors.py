"""The error tree, and what an error carries.

::

    HpsearchError            the caller's mistake: one line, exit status 2
    ├── DefinitionError      a study file or setting that cannot be (also a ValueError)
    ├── DataError            rows, targets or splits that cannot be used (also a ValueError)
    ├── StorageError         a storage that cannot be opened, read or written
    │   ├── StorageLostError     a storage that fails, as on a full disk: exit status 1
    │   ├── DamagedStudyError    a stored study of which something was changed or lost
    │   ├── StudyOwnedError      another live process runs this study
    │   └── UnknownStudyError    no study of that name there (also a LookupError)
    ├── StudyChangedError    a stored study whose definition or data is now another
    ├── DivergedError        a retraining whose loss is no longer finite: exit status 1
    ├── MissingExtraError    a package that is not installed, and the extra that brings it (also an ImportError)
    └── BundleError          a saved model that cannot be written, read or applied (also a ValueError)
        └── ExportError          an export whose predictions are not the model's: exit status 1

A trial's bad luck (a diverging lane) is no error: it is recorded with the trial and the study goes on.
Whatever else is raised is a bug of ours and keeps its traceback.

An error is a value: it says where, what must hold, what was got and what to do in fields of their own, and becomes a
line of text when it is shown. The code that raises one often cannot know how a setting is written where its caller
sits, as a key of a study file, an option of a command or an argument in Python. It names a :class:`Setting`, and the
caller that knows says how it is written (:attr:`HpsearchError.wording`) and adds the place (:meth:`HpsearchError.at`).
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

_NAME_ALONE: Any = object()
MOST_SHOWN = 80  # characters of a value in a message
MOST_TO_COPY = 400  # of a file's path, and of what to set a setting to: a person needs them whole
_MOST_LISTED = 40  # names that may be meant


@dataclass(frozen=True)
class Setting:
    """A setting that an error speaks of.

    Attributes:
        name: its name, as ``drop``; after its section where two have it, as ``search.objective``.
        value: what to set it to; left out where only the name is meant.
    """

    name: str
    value: Any = _NAME_ALONE

    @property
    def has_value(self) -> bool:
        return self.value is not _NAME_ALONE

    def __reduce__(self) -> tuple[Any, ...]:  # the mark of no value is one object in each process
        return Setting, (self.name, self.value) if self.has_value else (self.name,)


Part = str | Setting
Aside = tuple[Part, ...]
Text = Part | tuple[Part | Aside, ...]
Wording = Callable[[Setting], str]


def as_argument(setting: Setting) -> str:
    """How Python writes a setting: ``drop`` or ``drop=['name']``."""
    name = setting.name.rpartition(".")[2]
    return f"{name}={quoted(setting.value, MOST_TO_COPY)}" if setting.has_value else name


def worded(text: Text, wording: Wording) -> str:
    """A text with its settings in these words.

    An aside, a tuple within the text, is left out where this wording has no words for one of its settings.
    """

    def said(part: Part | Aside) -> str:
        if isinstance(part, tuple):
            return worded(part, wording) if all(said(of) for of in part if isinstance(of, Setting)) else ""
        return wording(part) if isinstance(part, Setting) else part

    return "".join(map(said, text if isinstance(text, tuple) else (text,)))


class HpsearchError(Exception):
    """The caller's mistake.

    Shown as ``{where}: {must}, but {got}. {do}``, without the parts that are empty. Texts have no full stop at their
    end, but ``do``, which is whole sentences. A text is a string, a :class:`Setting`, or a tuple of both, in which a
    tuple is an aside: it is left out where the caller's user has none of the settings in it.

    Attributes:
        must: what must hold, as ``must be a finite number``.
        got: what was got instead, as ``is 'seven'``.
        do: what to do, as ``Correct it or leave the row out.``
        where: from the outside in: a file, a row, a column; where it ends with a setting, that is the subject of
            ``must``.
        wording: how settings are written.
    """

    exit_status: int = 2

    def __init__(self, must: Text = "", got: Text = "", do: Text = "", where: Part | Aside = ()) -> None:
        super().__init__(must, got, do, where)
        self.must, self.got, self.do = must, got, do
        self.where: Aside = where if isinstance(where, tuple) else (where,)
        self.wording: Wording = as_argument

    def at(self, *places: Part) -> Self:
        """The same error, of a caller that knows more of the place: a file, or what is read from it."""
        self.where = (*places, *self.where)
        return self

    def worded(self, wording: Wording) -> Self:
        """The same error, of a caller that knows how its user writes settings."""
        self.wording = wording
        return self

    def text(self, wording: Wording) -> str:
        """The error in one line, with settings in these words."""

        def said(text: Text) -> str:
            return worded(text, wording)

        places = list(self.where)
        subject = f"{cut(said(places.pop()), MOST_TO_COPY)} " if places and isinstance(places[-1], Setting) else ""
        place = ", ".join(cut(said(of), MOST_TO_COPY) for of in places)
        sentence = ", but ".join(filter(None, map(said, (self.must, self.got))))
        line = " ".join(filter(None, (f"{place}:" if place else "", f"{subject}{sentence}.", said(self.do))))
        return printable(line)

    def __str__(self) -> str:
        return self.text(self.wording)


@contextmanager
def located(*places: Part, wording: Wording | None = None) -> Iterator[None]:
    """What is raised inside happened here: errors get these places in front, and this wording."""
    try:
        yield
    except HpsearchError as error:
        error.at(*places)
        if wording is not None:
            error.worded(wording)
        raise


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


class DamagedStudyError(StorageError):
    """A stored study that is not as hpsearch writes it: what is stored of it was changed, cut off or lost.

    Nothing of it is used or executed, and nothing is written. Other studies of the storage can be read."""


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
    """A package that what was asked needs and that is not installed. ``do`` names the extra that brings it."""


class BundleError(HpsearchError, ValueError):
    """A saved model that cannot be written, read or applied."""


class ExportError(BundleError):
    """An exported model whose predictions are not the saved one's. It was not written."""

    exit_status = 1


def did_you_mean(name: object, valid: Iterable[str]) -> str:
    """The valid names, and the nearest one if there is one: what to do about an unknown name.

    Of very many names the nearest few; long ones are cut.
    """
    names, asked = sorted(map(str, valid)), str(name)[:MOST_SHOWN]
    alike = [other for other in names if other.strip().lower() == asked.strip().lower()]  # but for blanks
    near = alike or difflib.get_close_matches(asked, [other for other in names if len(other) <= MOST_SHOWN], n=1)
    listed_names = ", ".join(cut(other) for other in names[:_MOST_LISTED])
    more = f" and {len(names) - _MOST_LISTED:,} more" if len(names) > _MOST_LISTED else ""
    return f"Choose one of: {listed_names}{more}." + (f" Did you mean {quoted(near[0])}?" if near else "")


def quoted(value: object, most: int = MOST_SHOWN) -> str:
    """A value that somebody gave, as a message shows it: as Python writes it, in one line, cut where it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**most:
        count = int(abs(value).bit_length() * math.log10(2)) + 1  # Python itself refuses to write thousands of digits
        return f"an integer of about {count:,} digits"
    if isinstance(value, str):
        text = repr(cut(value, most))
        return text if len(text) <= most + 2 else f"{cut(text, most + 1)}{text[-1]}"  # escapes are longer
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits in it; a list in a list in a list …
        return f"of type {type(value).__name__}"
    return cut(printable(" ".join(text.split())) if "\n" in text else printable(text), most)


def cut(text: str, most: int = MOST_SHOWN) -> str:
    """A text, or its beginning and … where it is longer."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    """A text in one line that does nothing to a terminal: what is no character to be printed is escaped."""
    if text.isprintable():
        return text
    return "".join(of if of.isprintable() else repr(of)[1:-1] for of in text)


def one_line(error: object, most: int = 200) -> str:
    """What another program's error, or another text, says, in one line that is not long; without a full stop."""
    text = " ".join((reason(error) if isinstance(error, OSError) else str(error)).split()).rstrip(".")
    return printable(text if len(text) <= most else f"{text[:most]} …")


def listed(names: Sequence[object], most: int = 5) -> str:
    """The first few of some names, and how many more there are."""
    return ", ".join(cut(str(name)) for name in names[:most]) + (
        f" and {len(names) - most} more" if len(names) > most else ""
    )


def reason(error: OSError) -> str:
    """What the system says of a failure, to stand within a sentence: ``no space left on device``."""
    return (error.strerror or (os.strerror(error.errno) if error.errno else str(error))).lower()
