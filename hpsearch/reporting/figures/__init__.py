"""The figures of a study: one registry, from which the report, the public names and the tests are derived."""

from __future__ import annotations

from typing import Any

from hpsearch.reporting.figures.predictions import Calibration, Confusion, Regions
from hpsearch.reporting.figures.regression import Agreement
from hpsearch.reporting.figures.search import History, PruningFigure
from hpsearch.reporting.figures.search_space import Importance, Parallel, Slices
from hpsearch.reporting.figures.study_figure import StudyFigure
from hpsearch.reporting.figures.trials import Curves, Folds, Gap, Size

GROUPS: dict[str, dict[str, StudyFigure[Any]]] = {
    "What the best configuration predicts": {
        "regions": Regions(),
        "confusion": Confusion(),
        "calibration": Calibration(),
        "agreement": Agreement(),
    },
    "The search": {
        "history": History(),
        "pruning": PruningFigure(),
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
FIGURES: dict[str, StudyFigure[Any]] = {name: kind for group in GROUPS.values() for name, kind in group.items()}
