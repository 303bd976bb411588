"""A saved model's predictions for the rows of a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from hpsearch.data.cells import Types
from hpsearch.data.table_file import Table, Wanted
from hpsearch.data.table_reader import read_table
from hpsearch.errors import DataError, listed
from hpsearch.model.bundle import Bundle
from hpsearch.nn.passes import averaged


def predict_file(
    bundle: Bundle,
    path: Path,
    notice: Callable[[str], None] = warnings.warn,
    *,
    spread: bool = False,
    keep: Sequence[str] = (),
) -> pd.DataFrame:
    """The prediction for each row of a CSV or Parquet file, one row each.

    Of classes: the predicted one in ``class``, and a column with the probability of every one; of a
    regression: ``prediction``, in the target's own unit.

    The file must have the model's columns, in any order, and their values are taken for what they were in training.
    Other columns are ignored; ``notice`` is told of those that the model's study did not know.

    Args:
        bundle: the model.
        path: the file; ``-`` is a CSV file at the standard input.
        notice: told a line on each thing that training did not meet: a column, a category, a missing value in a column
            that had none, a number far outside the training rows'.
        spread: add a column ``spread``: how far the members disagree; see :meth:`hpsearch.Bundle.spread`.
        keep: columns of the file to begin with, as they stand there.

    Raises:
        DataError: a column missing, or a value that is not of its column's kind; one to keep that is called as a
            predicted one.
        BundleError: a spread of a model of one member.
    """
    if spread:
        bundle.require_several()
    table = read_rows(bundle, path, keep)
    features, notices = bundle.plan.expand(table.columns)
    left_out = bundle.about.get("not_features", ())  # None: all that are not its features
    known = {*bundle.plan.names, bundle.target_name, *(left_out or ()), *keep}
    others = [name for name in table.names if name not in known]
    if others and left_out is not None:
        notice(f"Ignored, as the model does not know them: {listed([*map(repr, others)])}.")
    for line in [*notices, *bundle.far_outside(features)]:
        notice(line)
    of_members = bundle.member_predictions(features)
    predictions = averaged(of_members)
    predicted = bundle.targets_of(predictions)
    if bundle.class_names:
        columns = {"class": pd.array(predicted.tolist(), dtype="str")}
        columns |= {f"probability_{name}": predictions[:, i] for i, name in enumerate(bundle.class_names)}
    else:
        columns = {"prediction": predicted}
    columns |= {"spread": bundle.spread_of(of_members)} if spread else {}
    for name in keep:
        if name in columns:
            raise DataError(f"{name!r} must not be kept", "a predicted column is called so", "Rename it in the file.")
    return pd.DataFrame({**{name: table.texts[name] for name in keep}, **columns})


def read_rows(bundle: Bundle, path: Path, keep: Sequence[str] = ()) -> Table:
    """A model's columns, in its order, of a CSV or Parquet file.

    Raises:
        DataError: as :func:`predict_file`.
    """
    plan = bundle.plan
    table = read_table(path, Wanted(kept=tuple(dict.fromkeys(keep)), features=plan.names, types=Types.of(plan)))
    columns = {raw.name: raw for raw in table.columns}
    return replace(table, columns=[columns[name] for name in plan.names])
