"""Packages that only a part of hpsearch needs: each comes with an extra, ``pip install 'hpsearch[extra]'``."""

from __future__ import annotations

from importlib.util import find_spec

from hpsearch.errors import MissingExtraError


def require(package: str, extra: str, purpose: str) -> None:
    """Make sure that a package is there, without the seconds that importing it may take.

    Args:
        package: the name it is imported by.
        extra: the extra of ``pyproject.toml`` that brings it.
        purpose: what needs it, in the singular: ``"The sampler 'gp'"``.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec(package) is None:
        install = f"Install it: pip install 'hpsearch[{extra}]'."
        raise MissingExtraError(f"{purpose} needs the package {package!r}", "it is not installed", install)
