"""A saved model's predictions for the rows of a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.cells import Types
from hpsearch.data.frame_table import read_frame, require_frame
from hpsearch.data.table_file import Table, Wanted
from hpsearch.data.table_reader import format_of, read_table
from hpsearch.errors import DataError, Setting, listed, quoted
from hpsearch.model.bundle import Bundle
from hpsearch.model.threshold import Cost, OutOfFold, Threshold, choose_threshold
from hpsearch.nn.passes import averaged


def predict_file(
    bundle: Bundle,
    path: Path,
    notice: Callable[[str], None] = warnings.warn,
    *,
    spread: bool = False,
    keep: Sequence[str] = (),
    threshold: Mapping[str, float] | None = None,
    cost: Mapping[str, float] | None = None,
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
        threshold: of two classes, ``{"yes": 0.09}`` predicts "yes" where its probability is at least that.
        cost: of two classes, ``{"yes": 10}`` has the threshold chosen for a missed "yes" that costs 10 times a false
            one, see :func:`~hpsearch.model.threshold.choose_threshold`; ``notice`` is told which it is.

    Raises:
        DataError: a column missing, or a value that is not of its column's kind; one to keep that is called as a
            predicted one; a threshold or a cost of other than two classes, or both.
        BundleError: a spread of a model of one member; a cost with a model that has no out-of-fold predictions.
    """
    if spread:
        bundle.require_several()
    decided = _threshold(bundle, threshold, cost, notice)
    table = read_rows(bundle, path, Wanted(kept=tuple(dict.fromkeys(keep))))
    features = features_of(bundle, table, notice, keep)
    of_members = bundle.member_predictions(features)
    predictions = averaged(of_members)
    predicted = bundle.targets_of(predictions, decided)
    if bundle.class_names:
        columns = {"class": pd.array(predicted.tolist(), dtype="str")}
        columns |= {f"probability_{name}": predictions[:, i] for i, name in enumerate(bundle.class_names)}
    else:
        columns = {"prediction": predicted}
    columns |= {"spread": bundle.spread_of(of_members)} if spread else {}
    for name in keep:
        if name in columns:
            raise DataError(
                f"{quoted(name)} must not be kept", "a predicted column is called so", "Rename it in the file."
            )
    return pd.DataFrame({**{name: table.texts[name] for name in keep}, **columns})


def _threshold(
    bundle: Bundle,
    threshold: Mapping[str, float] | None,
    cost: Mapping[str, float] | None,
    notice: Callable[[str], None],
) -> Threshold | None:
    if threshold is not None and cost is not None:
        must = "must not go with ", Setting("cost"), ", from which it would follow"
        raise DataError(must, "both are given", "Leave one out.", where=Setting("threshold"))
    if threshold is not None:
        return Threshold.of(bundle.class_names, threshold)
    if cost is None:
        return None
    of_errors = Cost.of(bundle.class_names, cost)
    chosen = choose_threshold(OutOfFold.of_model(bundle.about), bundle.class_names, of_errors)[0].threshold
    notice(f"{quoted(chosen.class_name)} is predicted where its probability is at least {chosen.value:.4g}.")
    return chosen


def features_of(bundle: Bundle, table: Table, notice: Callable[[str], None], known: Sequence[str] = ()) -> NDArray[Any]:
    """The features, (N, D), of what :func:`read_rows` gave.

    Args:
        bundle: the model.
        table: its columns.
        notice: told what training did not meet.
        known: columns beside those that the model's study knew.
    """
    features, notices = bundle.plan.expand(table.columns)
    left_out = bundle.about.get("not_features", ())  # None: all that are not its features
    expected = {*bundle.plan.names, bundle.target_name, *(left_out or ()), *known}
    others = [name for name in table.names if name not in expected]
    if others and left_out is not None:
        notice(f"Ignored, as the model does not know them: {listed([*map(quoted, others)])}.")
    for line in [*notices, *bundle.far_outside(features)]:
        notice(line)
    return features


def types_of(bundle: Bundle, rows: Path | pd.DataFrame) -> Types:
    """How the cells of a file or DataFrame are understood: those of a CSV file as they are written in the study's.

    A number that means no value there does so in every file.
    """
    types, plan = bundle.types, bundle.plan
    as_csv = isinstance(rows, Path) and format_of(rows) == "csv"
    return types if as_csv else Types.of(replace(plan, missing=tuple(map(types.plain, plan.missing))))


def read_rows(bundle: Bundle, rows: Path | pd.DataFrame, wanted: Wanted | None = None) -> Table:
    """A model's columns, in its order, of a CSV or Parquet file or a DataFrame, and what else is wanted of it.

    Raises:
        DataError: as :func:`predict_file`.
    """
    plan = bundle.plan
    wanted = replace(wanted or Wanted(), features=plan.names, types=types_of(bundle, rows))
    table = read_table(rows, wanted) if isinstance(rows, Path) else read_frame(require_frame(rows), wanted)
    columns = {raw.name: raw for raw in table.columns}
    return replace(table, columns=[columns[name] for name in plan.names])
