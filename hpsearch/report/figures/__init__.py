"""The figures of a study: one registry, from which the report, the public names and the tests are derived."""

from __future__ import annotations

from typing import Any

from hpsearch.report.figures.kind import Kind
from hpsearch.report.figures.predictions import Calibration, Confusion, Regions
from hpsearch.report.figures.quantities import Agreement
from hpsearch.report.figures.search import History, Pruning
from hpsearch.report.figures.space import Importance, Parallel, Slices
from hpsearch.report.figures.trials import Curves, Folds, Gap, Size

GROUPS: dict[str, dict[str, Kind[Any]]] = {
    "What the best configuration predicts": {
        "regions": Regions(),
        "confusion": Confusion(),
        "calibration": Calibration(),
        "agreement": Agreement(),
    },
    "The search": {
        "history": History(),
        "pruning": Pruning(),
        "importance": Importance(),
        "slices": Slices(),
        "parallel": Parallel(),
    },
    "The trials": {
        "curves": Curves(),
        "folds": Folds(),
        "size": Size(),
        "gap": Gap(),
    },
}
FIGURES: dict[str, Kind[Any]] = {name: kind for group in GROUPS.values() for name, kind in group.items()}
