"""Configurations fitted for good: saved models, their scores, other formats."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.api.stored import given_definition, storage_url
from hpsearch.arguments import checked, require_kind
from hpsearch.numbers import plural

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.definition.study import StudyDefinition
    from hpsearch.model.bundle import Bundle
    from hpsearch.model.evaluate import Evaluated
    from hpsearch.model.export import Exported


@checked
def retrain(
    study: str | Path | StudyDefinition,
    storage: str | None = None,
    folder: str | Path | None = None,
    *,
    members: int | None = None,
    progress: bool = False,
) -> Bundle:
    """Fit ``[train]`` on all rows that are not held out and score the hold-out; see :mod:`hpsearch.model.retrain`.

    >>> model = retrain(StudyDefinition.from_file("studies/tutorial-a.toml", ["train.epochs=200"]))
    >>> model.probabilities([[0.0, 0.5]]).shape
    (1, 3)

    Args:
        study: a study file without a search space, such as an export of ``best``, or a definition.
        storage: where the study is kept that the configuration came from: each scoring of its hold-out is recorded.
        folder: where the model will be saved.
        members: networks whose predictions are averaged; those of the study's ``[retrain]`` if None.
        progress: show that it goes on, on a terminal or in a notebook.

    Raises:
        HpsearchError: a definition or data that cannot be used.
        DivergedError: a training that diverges with every seed.
    """
    from hpsearch.model.retrain import retrain as fit_and_score
    from hpsearch.reporting.progress import shown_steps

    definition = given_definition(study)
    if members is not None:
        definition = definition.with_members(int(members))
    count = definition.retrain.members
    with shown_steps(f"retraining as {plural(count, 'network')}", quiet=not progress) as on_done:
        model = fit_and_score(definition, storage_url(storage), None if folder is None else Path(folder))
        on_done(1, 1)
    return model


def loaded(model: str | Path | Bundle) -> Bundle:
    from hpsearch.model.bundle import Bundle

    if isinstance(model, Bundle):
        return model
    require_kind("model", model, "a Bundle, or the folder that one was saved in", str, Path)
    return Bundle.load(model)


@checked
def evaluate(
    model: str | Path | Bundle,
    rows: str | Path | pd.DataFrame,
    *,
    cost: Mapping[str, float] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Evaluated:
    """Score a saved model on labelled rows, beside what it was expected to score; see :mod:`hpsearch.model.evaluate`.

    >>> definition = StudyDefinition.from_file("studies/flowers.toml", ["train.epochs=40"])
    >>> run(definition, trials=2).retrain().save("flowers-model", force=True)
    >>> found = evaluate("flowers-model", "studies/flowers.csv")
    >>> found.rows, sorted(found.metrics)[:2]
    (180, ['accuracy', 'balanced_accuracy'])
    >>> found.metrics["accuracy"].low < found.metrics["accuracy"].value
    True

    Args:
        model: a folder that a bundle was saved in, or a bundle.
        rows: a CSV or Parquet file, or a DataFrame, with the model's columns and its target.
        cost: of two classes, ``{"yes": 10}``: missing a "yes" costs 10 times a false "yes". What threshold that makes
            is chosen on out-of-fold predictions of the study, and judged on these rows.
        notice: told a line on each thing that training did not meet; by default it is a warning.

    Raises:
        HpsearchError: no such model; rows that do not fit it, or of which none has a target; a cost of other than two
            classes, or with a model that has no out-of-fold predictions.
    """
    from hpsearch.data.frame_table import require_frame
    from hpsearch.model.evaluate import evaluate as score

    table = Path(rows) if isinstance(rows, str | Path) else require_frame(rows)
    return score(loaded(model), table, notice or warnings.warn, cost=cost)


@checked
def export(
    model: str | Path,
    path: str | Path | None = None,
    *,
    format: str = "onnx",
    data: str | Path | None = None,
    force: bool = False,
) -> Exported:
    """Write a saved model in another format, checked on every row of the study's data; see :mod:`hpsearch.model.onnx`.

    >>> model = retrain(StudyDefinition.from_file("studies/tutorial-a.toml", ["train.epochs=200"]), folder="tutorial")
    >>> model.save("tutorial", force=True)
    >>> found = export("tutorial", force=True)
    >>> found.rows, found.largest_difference <= 1e-5  # held-out rows included
    (600, True)

    Args:
        model: a folder that a bundle was saved in.
        path: the file; by default the folder's name with the format's ending, in the working directory.
        format: one of :data:`hpsearch.model.export.EXPORTS`.
        data: a CSV or Parquet file to check it on instead, or the study file, where the model no longer finds its rows.
        force: replace a file that is there.

    Raises:
        HpsearchError: no such model or format, rows that do not fit it, a file that is there, packages that are not.
        ExportError: a prediction that is not the model's; nothing is written.
    """
    from hpsearch.model.export import export as write

    require_kind("model", model, "the folder that a model was saved in", str, Path)
    rows = None if data is None else Path(data)
    return write(Path(model), None if path is None else Path(path), format, rows, force)
