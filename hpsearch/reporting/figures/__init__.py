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

# What the report adds to beside figures; and what networks are trained again for.
FOUND, BELIEF = "What to expect", "Can I believe it?"
OF_COLUMNS = "What the columns do"

# In the order of a reader's questions.
GROUPS: dict[str, dict[str, StudyFigure[Any]]] = {
    FOUND: {
        "history": History(),
    },
    BELIEF: {
        "folds": Folds(),
    },
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
    "What mattered": {
        "importance": Importance(),
        "slices": Slices(),
        "parallel": Parallel(),
    },
    "How the trials learnt": {
        "pruning": PruningFigure(),
        "curves": Curves(),
        "gap": Gap(),
        "size": Size(),
    },
}
FIGURES: dict[str, StudyFigure[Any]] = {name: kind for group in GROUPS.values() for name, kind in group.items()}
