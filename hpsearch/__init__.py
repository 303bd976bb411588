"""Hyperparameter search and K-fold validation for small neural networks: honest, repeatable, fast.

The public names are loaded when first used: importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch import figures
    from hpsearch.api import (
        StudyResult,
        compare,
        confirm,
        copy_study,
        cross_validate,
        delete_study,
        evaluate,
        export,
        export_mlflow,
        init,
        load_best,
        load_curves,
        load_finals,
        load_folds,
        load_importance,
        load_metrics,
        load_studies,
        load_trials,
        nested,
        rename_study,
        report,
        retrain,
        run,
    )
    from hpsearch.definition.study import StudyDefinition
    from hpsearch.errors import (
        BundleError,
        DamagedStudyError,
        DataError,
        DefinitionError,
        DivergedError,
        ExportError,
        HpsearchError,
        MissingExtraError,
        StorageError,
        StorageLostError,
        StudyChangedError,
        StudyOwnedError,
        UnknownStudyError,
    )
    from hpsearch.estimators import KFoldSearchCV, MLPClassifier, MLPRegressor
    from hpsearch.model.bundle import Bundle

__all__ = [
    "Bundle",
    "BundleError",
    "DamagedStudyError",
    "DataError",
    "DefinitionError",
    "DivergedError",
    "ExportError",
    "HpsearchError",
    "KFoldSearchCV",
    "MLPClassifier",
    "MLPRegressor",
    "MissingExtraError",
    "StorageError",
    "StorageLostError",
    "StudyChangedError",
    "StudyDefinition",
    "StudyOwnedError",
    "StudyResult",
    "UnknownStudyError",
    "compare",
    "confirm",
    "copy_study",
    "cross_validate",
    "delete_study",
    "evaluate",
    "export",
    "export_mlflow",
    "figures",
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
    "rename_study",
    "report",
    "retrain",
    "run",
]

_HOMES = {
    "Bundle": "hpsearch.model.bundle",
    "KFoldSearchCV": "hpsearch.estimators",
    "MLPClassifier": "hpsearch.estimators",
    "MLPRegressor": "hpsearch.estimators",
    "StudyDefinition": "hpsearch.definition.study",
    **dict.fromkeys((name for name in __all__ if name.endswith("Error")), "hpsearch.errors"),
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'hpsearch' has no attribute {name!r}")
    if name == "figures":
        return import_module("hpsearch.figures")
    return getattr(import_module(_HOMES.get(name, "hpsearch.api")), name)
