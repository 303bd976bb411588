"""The scikit-learn face: networks and the whole search as estimators."""

from hpsearch.estimators.mlp import MLPClassifier, MLPRegressor
from hpsearch.estimators.search import KFoldSearchCV

__all__ = ["KFoldSearchCV", "MLPClassifier", "MLPRegressor"]
