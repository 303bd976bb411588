"""The scikit-learn face: networks and the whole search as estimators."""

from hpsearch.estimators.classifier import MLPClassifier
from hpsearch.estimators.kfold_search import KFoldSearchCV
from hpsearch.estimators.regressor import MLPRegressor

__all__ = ["KFoldSearchCV", "MLPClassifier", "MLPRegressor"]
