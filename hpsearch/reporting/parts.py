"""The stylesheets, scripts and pictures that lie beside this package's modules."""

from __future__ import annotations

from importlib.resources import files


def part(name: str) -> str:
    """The text of one of them."""
    return files("hpsearch.reporting").joinpath(name).read_text(encoding="utf-8")
