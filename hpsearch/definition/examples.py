"""The study files that come with the package.

They are the files of ``studies/``: a wheel carries them as ``hpsearch/examples``, a checkout has them beside the
package, and nothing is kept twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import HpsearchError, did_you_mean, quoted

_PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Example:
    """A study file that comes with the package.

    Attributes:
        text: the file's.
        rows: the name and the content of the file of rows beside it, if it has one.
    """

    text: str
    rows: tuple[str, bytes] | None


def names() -> list[str]:
    """Of all examples, sorted."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def load(name: str) -> Example:
    """An example by its name.

    Raises:
        HpsearchError: there is none of that name.
    """
    import tomllib

    known = names()
    if name not in known:
        raise HpsearchError(got=f"Unknown example {quoted(name)}", do=did_you_mean(name, known))
    text = (_folder() / f"{name}.toml").read_text(encoding="utf-8")
    path = tomllib.loads(text)["data"].get("path")
    return Example(text, None if path is None else (path, (_folder() / path).read_bytes()))


def _folder() -> Path:
    packaged = _PACKAGE / "examples"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "studies"
