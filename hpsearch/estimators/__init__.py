"""The scikit-learn face: networks and the whole search as estimators."""

from hpsearch.estimators.classifier import MLPClassifier
from hpsearch.estimators.regressor import MLPRegressor
from hpsearch.estimators.search import KFoldSearchCV

__all__ = ["KFoldSearchCV", "MLPClassifier", "MLPRegressor"]
