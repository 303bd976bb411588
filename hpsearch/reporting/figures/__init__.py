"""The figures of a study: one registry, from which the report, the public names and the tests are derived."""

from __future__ import annotations

from typing import Any

from hpsearch.reporting.figures.columns import Columns, Effects
from hpsearch.reporting.figures.predictions import Calibration, Confusion, Regions
from hpsearch.reporting.figures.regression import Agreement
from hpsearch.reporting.figures.search import History, PruningFigure
from hpsearch.reporting.figures.search_space import Importance, Parallel, Slices
from hpsearch.reporting.figures.study_figure import StudyFigure
from hpsearch.reporting.figures.trials import Curves, Folds, Gap, Size

OF_COLUMNS = "What the columns do"  # networks are trained again for it
GROUPS: dict[str, dict[str, StudyFigure[Any]]] = {
    "What the best configuration predicts": {
        "regions": Regions(),
        "confusion": Confusion(),
        "calibration": Calibration(),
        "agreement": Agreement(),
    },
    OF_COLUMNS: {
        "columns": Columns(),
        "effects": Effects(),
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
