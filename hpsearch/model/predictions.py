"""A saved model's answers for the rows of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hpsearch.data.table_file import read_csv
from hpsearch.errors import DataError
from hpsearch.model.bundle import Bundle


def predict_csv(bundle: Bundle, path: Path) -> pd.DataFrame:
    """The predicted class and the probability of every class, one row a row of the file.

    The file must have the model's feature columns, in any order; its target column is ignored if
    there, as are columns that the model was not trained on because the study file said so.

    Raises:
        DataError: a column missing or unknown, or a value that is no finite number.
    """
    others = [bundle.target_name, *bundle.about.get("not_features", ())]
    values, names, _ = read_csv(path, text_columns=others, required=bundle.feature_names)
    for name in names:
        if name not in bundle.feature_names:
            raise DataError(
                f"{path}: must have the model's {len(bundle.feature_names)} columns only, but has {name!r} too. "
                "Leave it out."
            )
    answers = bundle.probabilities(values[:, [names.index(name) for name in bundle.feature_names]])
    classes = np.array(bundle.class_names)[answers.argmax(axis=1)]
    columns = {f"probability_{name}": answers[:, i] for i, name in enumerate(bundle.class_names)}
    return pd.DataFrame({"class": pd.array(classes.tolist(), dtype="str"), **columns})
