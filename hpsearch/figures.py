"""The figures of a stored study, as Plotly figures.

>>> import hpsearch
>>> study = hpsearch.run("studies/wine.toml", trials=3)
>>> figure = hpsearch.figures.curves(study)
>>> hpsearch.figures.save(figure, "curves.html")

Each function takes a study (what ``run`` returned, a name, or a study file) and the storage that it is kept in, and
raises :class:`~hpsearch.errors.HpsearchError` where the study has nothing to draw. The registry
:data:`hpsearch.reporting.figures.FIGURES` says how to read each. :func:`save` writes one to a file; Plotly's own
``write_html`` and ``write_image`` do too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch import api

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

StudyLike = str | Path | api.StudyResult


def _make(name: str, study: StudyLike, storage: str | None) -> Figure:
    from hpsearch.reporting.figures import FIGURES

    with api.snapshot(study, storage) as stored:
        return FIGURES[name].make(stored)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure to a file: ``.html``, which needs nothing else, or ``.png``, ``.svg``, ``.pdf`` (extra ``png``).

    Raises:
        HpsearchError: another kind of file, a missing package or browser, a file that cannot be written.
    """
    from hpsearch.reporting.figures.save import save as write

    write(figure, Path(path))


def agreement(study: StudyLike, storage: str | None = None) -> Figure:
    """What the best configuration predicts of a regression target against the truth, from validation predictions."""
    return _make("agreement", study, storage)


def calibration(study: StudyLike, storage: str | None = None) -> Figure:
    """How often the best configuration is right, against how sure it is, from its validation predictions."""
    return _make("calibration", study, storage)


def columns(study: StudyLike, storage: str | None = None) -> Figure:
    """How much worse the best configuration predicts without each column of the table, out of fold."""
    return _make("columns", study, storage)


def confusion(study: StudyLike, storage: str | None = None) -> Figure:
    """Which classes the best configuration takes for which, from its validation predictions."""
    return _make("confusion", study, storage)


def curves(study: StudyLike, storage: str | None = None) -> Figure:
    """The learning curves of the best trials, with the spread over the splits."""
    return _make("curves", study, storage)


def effects(study: StudyLike, storage: str | None = None) -> Figure:
    """What the best configuration predicts on average for each value of the most important columns, out of fold."""
    return _make("effects", study, storage)


def folds(study: StudyLike, storage: str | None = None) -> Figure:
    """The loss on each split, trial by trial from the best to the worst."""
    return _make("folds", study, storage)


def gap(study: StudyLike, storage: str | None = None) -> Figure:
    """The training loss against the validation loss of each complete trial."""
    return _make("gap", study, storage)


def history(study: StudyLike, storage: str | None = None) -> Figure:
    """Every trial in the order of asking, the best so far, and the corrected score."""
    return _make("history", study, storage)


def importance(study: StudyLike, storage: str | None = None) -> Figure:
    """How much each searched hyperparameter mattered."""
    return _make("importance", study, storage)


def parallel(study: StudyLike, storage: str | None = None) -> Figure:
    """The configurations of all complete trials as lines across one axis a hyperparameter."""
    return _make("parallel", study, storage)


def pruning(study: StudyLike, storage: str | None = None) -> Figure:
    """The mean curve of every trial, up to where it was pruned."""
    return _make("pruning", study, storage)


def regions(study: StudyLike, storage: str | None = None) -> Figure:
    """What the best configuration, retrained, predicts for any two numeric inputs; no held-out row is used."""
    return _make("regions", study, storage)


def size(study: StudyLike, storage: str | None = None) -> Figure:
    """The validation loss against the number of parameters, with the one-standard-error rule."""
    return _make("size", study, storage)


def slices(study: StudyLike, storage: str | None = None) -> Figure:
    """The loss of the complete trials against each searched hyperparameter."""
    return _make("slices", study, storage)


def __dir__() -> list[str]:
    return sorted(
        name
        for name, thing in globals().items()
        if getattr(thing, "__module__", None) == __name__ and not name.startswith("_") and callable(thing)
    )
