"""Figures as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import plotly.graph_objects as go

from hpsearch.atomic_write import write_atomically
from hpsearch.errors import HpsearchError, did_you_mean, quoted
from hpsearch.extras import require


def _page(figure: go.Figure) -> bytes:
    page: str = figure.to_html(include_plotlyjs=True, div_id="figure", config={"displaylogo": False})
    return page.encode()


def _image(kind: str) -> Callable[[go.Figure], bytes]:
    def draw(figure: go.Figure) -> bytes:
        require("kaleido", "png", f"A figure as {kind}")
        try:
            image: bytes = figure.to_image(format=kind, scale=2 if kind == "png" else 1)
        except RuntimeError as error:  # what Plotly makes of Kaleido's finding no browser, or none that starts
            got = str(error).strip().splitlines()[0].rstrip(".")
            raise HpsearchError(
                f"A figure as {kind} needs Chrome or Chromium", got, "Install one, or write .html."
            ) from error
        return image

    return draw


IMAGE_FORMATS: dict[str, Callable[[go.Figure], bytes]] = {
    "html": _page,
    **{kind: _image(kind) for kind in ("pdf", "png", "svg")},
}


def save(figure: go.Figure, path: Path) -> None:
    """Write a figure to a file of the kind that its name ends in, whole or not at all.

    Raises:
        HpsearchError: an unknown kind, no browser for a picture, or a file that cannot be written.
        MissingExtraError: a picture without Kaleido.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in IMAGE_FORMATS:
        raise HpsearchError(
            "must end in a kind of file", f"ends in {quoted(kind)}", did_you_mean(kind, IMAGE_FORMATS), where=str(path)
        )
    write_atomically(path, IMAGE_FORMATS[kind](figure))
