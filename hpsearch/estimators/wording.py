"""How the caller of a search writes the settings of its study: as parameters of the search and of its network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hpsearch.data.column_keys import FrameColumns
from hpsearch.errors import Setting, Wording
from hpsearch.estimators.splitting import NAMES

# The search's parameters that are called otherwise in a study file.
_OF_CV = ("splitter", "n_splits", "shuffle", "repeats", "gap", "fraction")
_PARAMETERS = {"trials": "n_trials"} | dict.fromkeys(_OF_CV, "cv")
_SECTIONS = ("study", "data", "holdout", "validation", "search", "retrain")
_SPLITTERS = {name: f"{kind.__name__}()" for kind, name in NAMES.items()} | {"timeseries": "TimeSeriesSplit()"}
# What a table of columns can be told and rows in memory cannot.
_NONE = (
    *("separator", "decimal", "thousands", "units", "encoding", "drop", "duplicates", "rare_classes"),
    *("smallest_class", "group", "time", "fold", "weight", "allow"),
)


def wording_of(space: Any = (), prefix: str = "") -> Wording:
    """How an estimator writes settings.

    Args:
        space: of a search, as it was given.
        prefix: what parameters may begin with: the name of the network's step.
    """
    given: Mapping[Any, Any] = space if isinstance(space, Mapping) else {}

    def of_space(name: str) -> str:
        first, *others = re.split("[. ]", name)
        first = f"{prefix}{first}" if f"{prefix}{first}" in given else first
        if not isinstance(given.get(first), Mapping):  # a list of choices has no keys
            others = []
        return "space" + "".join(f"[{key!r}]" for key in (first, *others))

    def write(setting: Setting) -> str:
        section, _, name = setting.name.partition(".")
        if not name:
            name = "KFoldSearchCV:" if section in _SECTIONS else section
        elif section == "space":
            return of_space(name)
        value = f"={setting.value!r}" if setting.has_value else ""
        if name in _NONE:
            return ""
        if (keys := name.removeprefix("columns").split())[:1] and keys[0] in FrameColumns.model_fields:
            return "columns" + "".join(f"[{key!r}]" for key in keys) + value
        if name == "splitter" and value:
            return f"cv={_SPLITTERS.get(setting.value, setting.value)}"
        if name == "shuffle" and value:
            return f"cv=KFold(shuffle={setting.value})"
        return _PARAMETERS.get(name, name) + value

    return write
