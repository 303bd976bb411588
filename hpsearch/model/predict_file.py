"""A saved model's predictions for the rows of a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from hpsearch.data.cells import Types
from hpsearch.data.columns import Raw
from hpsearch.data.table_file import Wanted
from hpsearch.data.table_reader import read_table
from hpsearch.model.bundle import Bundle
from hpsearch.nn.passes import averaged


def predict_file(
    bundle: Bundle, path: Path, notice: Callable[[str], None] = warnings.warn, *, spread: bool = False
) -> pd.DataFrame:
    """The prediction for each row of a CSV or Parquet file, one row each.

    Of classes: the predicted one in ``class``, and a column with the probability of every one; of a
    regression: ``prediction``, in the target's own unit.

    The file must have the model's columns, in any order, and their values are taken for what they were in training; its
    target column is ignored if there, as are columns that the model was not trained on because the study file said so.

    Args:
        bundle: the model.
        path: the file.
        notice: told a line on each thing that training did not meet: a category, or a missing value in a column that
            had none.
        spread: add a column ``spread``: how far the members disagree; see :meth:`hpsearch.Bundle.spread`.

    Raises:
        DataError: a column missing or unknown, or a value that is not of its column's kind.
        BundleError: a spread of a model of one member.
    """
    if spread:
        bundle.require_several()
    features, notices = bundle.plan.expand(read_rows(bundle, path))
    for line in notices:
        notice(line)
    of_members = bundle.member_predictions(features)
    predictions = averaged(of_members)
    predicted = bundle.targets_of(predictions)
    disagreement = {"spread": bundle.spread_of(of_members)} if spread else {}
    if not bundle.class_names:
        return pd.DataFrame({"prediction": predicted, **disagreement})
    probabilities = {f"probability_{name}": predictions[:, i] for i, name in enumerate(bundle.class_names)}
    return pd.DataFrame({"class": pd.array(predicted.tolist(), dtype="str"), **probabilities, **disagreement})


def read_rows(bundle: Bundle, path: Path) -> list[Raw]:
    """A model's columns, in its order, of a CSV or Parquet file.

    Raises:
        DataError: as :func:`predict_file`.
    """
    plan, others = bundle.plan, bundle.about.get("not_features", ())
    wanted = Wanted(
        features=plan.names,
        ignored=(bundle.target_name, *(others or ())),
        only=others is not None,
        types=Types.of(plan),
    )
    columns = {raw.name: raw for raw in read_table(path, wanted).columns}
    return [columns[name] for name in plan.names]
