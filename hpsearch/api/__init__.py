"""What the command line does, from Python."""

from hpsearch.api.manage import copy_study, delete_study, rename_study
from hpsearch.api.models import evaluate, export, retrain
from hpsearch.api.results import (
    column_importance,
    compare,
    export_mlflow,
    load_best,
    load_curves,
    load_finals,
    load_folds,
    load_importance,
    load_metrics,
    load_studies,
    load_trials,
    report,
    snapshot,
)
from hpsearch.api.stored import DEFAULT_STORAGE, StudyResult, open_study, storage_url, study_name
from hpsearch.api.studies import confirm, cross_validate, init, nested, run

__all__ = [
    "DEFAULT_STORAGE",
    "StudyResult",
    "column_importance",
    "compare",
    "confirm",
    "copy_study",
    "cross_validate",
    "delete_study",
    "evaluate",
    "export",
    "export_mlflow",
    "init",
    "load_best",
    "load_curves",
    "load_finals",
    "load_folds",
    "load_importance",
    "load_metrics",
    "load_studies",
    "load_trials",
    "nested",
    "open_study",
    "rename_study",
    "report",
    "retrain",
    "run",
    "snapshot",
    "storage_url",
    "study_name",
]
