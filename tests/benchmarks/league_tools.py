"""The tools of the league: each is given labelled rows and predicts others.

    python league_tools.py TOOL FOLDER

is one tool at work on one problem, in a process of its own.

* ours: what a user of the command line gets: `init` on a CSV file, `run` with one worker, `best`, `retrain`, `predict`,
  all at their defaults. One thing is changed: the draft's hold-out is left out, as every other tool trains on all
  unlocked rows too, and the locked rows are the hold-out here.
* ours-single: the same without finals and with one network, as far as this version has these settings.
* mlp: scikit-learn's MLP, its hyperparameters searched by Optuna's TPE in as many seconds as ours took.
* linear: logistic regression with C, or ridge regression with alpha, chosen by cross-validation.
* hgb, hgb-stop: HistGradientBoosting at its defaults; with early stopping.
* realmlp: RealMLP (Holzmüller, Grinsztajn & Steinwart 2024) with its tuned defaults, an ensemble of five folds'
  networks. Needs pytabkit, which brings PyTorch with some gigabytes and so belongs to no extra: `pip install pytabkit`.

Apart from ours, each tool is a pipeline that its user would write. Where a tool cannot do it itself, missing numbers
are the column's median, missing categories one of their own, categories one-hot and numbers standardised. RealMLP is
told to go by log loss, as its documentation advises where that counts.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# What lies in a problem's folder: what a tool is given, and what it leaves.
UNLOCKED, LOCKED, PROBLEM = "unlocked.csv", "locked.csv", "problem.json"
PREDICTIONS, DONE = "predictions.npy", "done.json"
FOLDS = 5

Details = dict[str, Any]
Predicted = tuple[NDArray[np.float64], Details]


@dataclass(frozen=True)
class Problem:
    """Labelled rows, and rows to predict, as CSV files in a folder.

    Attributes:
        folder: with the files, and for whatever a tool writes.
        target: the column to predict; the locked rows have none.
        classes: in the order of the columns of what is predicted; None of a regression.
        seed: of everything random.
        deadline: when a tool with a budget has to be done, in seconds since 1970.
    """

    folder: Path
    target: str
    classes: tuple[str, ...] | None
    seed: int
    deadline: float | None = None

    @classmethod
    def lay(
        cls, folder: Path, frame: pd.DataFrame, target: str, locked: NDArray[np.intp], classifies: bool, seed: int
    ) -> Problem:
        """Write the files: the ``locked`` rows of a table without their target, and the others with it."""
        of_locked = np.zeros(len(frame), dtype=bool)
        of_locked[locked] = True
        frame[~of_locked].to_csv(folder / UNLOCKED, index=False)
        frame.iloc[locked].drop(columns=target).to_csv(folder / LOCKED, index=False)
        classes = tuple(sorted(frame[target].astype(str).unique())) if classifies else None
        return cls(folder, target, classes, seed)

    def save(self, deadline: float | None = None) -> None:
        values = {**asdict(self), "folder": str(self.folder), "deadline": deadline}
        (self.folder / PROBLEM).write_text(json.dumps(values), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Problem:
        values = json.loads((folder / PROBLEM).read_text(encoding="utf-8"))
        classes = values["classes"]
        return cls(**{**values, "folder": folder, "classes": None if classes is None else tuple(classes)})

    def _read(self, name: str) -> pd.DataFrame:
        # Only an empty cell is missing: pandas would take more for it.
        return pd.read_csv(self.folder / name, keep_default_na=False, na_values=[""], dtype={self.target: str})

    @cached_property
    def features(self) -> pd.DataFrame:
        """Of the unlocked rows: numbers as floats, anything else as text or NaN."""
        frame = self._read(UNLOCKED).drop(columns=self.target)
        return frame.astype({name: float if kind.kind in "iuf" else object for name, kind in frame.dtypes.items()})

    @cached_property
    def labels(self) -> NDArray[Any]:
        """Of the unlocked rows: classes as text, or regression targets."""
        return self._read(UNLOCKED)[self.target].to_numpy(dtype=object if self.classes else np.float64)

    @cached_property
    def locked(self) -> pd.DataFrame:
        """The features of the locked rows."""
        return self._read(LOCKED)[[*self.features]].astype(self.features.dtypes)

    @property
    def numeric(self) -> list[str]:
        return [*self.features.select_dtypes("number")]

    @property
    def categorical(self) -> list[str]:
        return [*self.features.select_dtypes(exclude="number")]

    def of_classes(self, probabilities: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.float64]:
        """Columns in the order of ``self.classes``; one that a tool does not know has probability 0."""
        assert self.classes is not None
        ordered = np.zeros((len(probabilities), len(self.classes)))
        ordered[:, [self.classes.index(str(label)) for label in classes]] = probabilities
        return ordered

    def predicted_by(self, model: Any, features: Any) -> NDArray[np.float64]:
        """By a fitted model with scikit-learn's methods: (M, C) probabilities or (M,) predictions."""
        if self.classes is None:
            return np.asarray(model.predict(features), dtype=np.float64).ravel()
        return self.of_classes(model.predict_proba(features), model.classes_)


@dataclass(frozen=True)
class Ours:
    """The command line.

    Attributes:
        settings: keys of the study file with their values, as ``{"search.trials": 3}``. Those that this version does
            not know are left out.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, problem: Problem) -> Predicted:
        import tomlkit

        storage = ("--storage", "sqlite:///league.db")
        with chdir(problem.folder):
            _command("init", UNLOCKED, "--target", problem.target, "-o", "study.toml")
            study = tomlkit.parse(Path("study.toml").read_text(encoding="utf-8"))
            study.pop("holdout", None)
            known = {key: value for key, value in self.settings.items() if _is_known(key)}
            for key, value in known.items():
                section, name = key.split(".")
                study.setdefault(section, tomlkit.table())[name] = value
            Path("study.toml").write_text(tomlkit.dumps(study), encoding="utf-8")
            _command("run", "study.toml", "--workers", "1", *storage)
            _command("best", "study.toml", "-o", "best.toml", *storage)
            # How to retrain is no part of what was searched: it is said again.
            again = [f"--set={key}={json.dumps(value)}" for key, value in known.items() if key.startswith("retrain.")]
            _command("retrain", "best.toml", "-o", "model", *again, *storage)
            _command("predict", "model", LOCKED, "-o", "predictions.csv")
            predictions = pd.read_csv("predictions.csv", keep_default_na=False)
            best = tomlkit.parse(Path("best.toml").read_text(encoding="utf-8")).unwrap()
        details = {"chosen": best["train"], "trials": best["origin"]["trials"], "settings": known}
        if problem.classes is None:
            return predictions["prediction"].to_numpy(dtype=np.float64), details
        columns = [f"probability_{label}" for label in problem.classes]
        return predictions[columns].to_numpy(dtype=np.float64), details


def _command(*words: str) -> None:
    """A command of hpsearch, in this process.

    Raises:
        HpsearchError: what it refuses.
        RuntimeError: it says that it did not do what it should.
    """
    from hpsearch.cli.app import app

    status = app(list(words), prog_name="hpsearch", standalone_mode=False)
    if status:
        raise RuntimeError(f"hpsearch {' '.join(words)} ended with status {status}")


def _is_known(key: str) -> bool:
    """Whether a study file may have this key."""
    from hpsearch.definition.schema import study_schema

    schema = study_schema()
    section, name = key.split(".")
    kind = schema["properties"].get(section, {}).get("$ref", "").rpartition("/")[2]
    return name in schema["$defs"].get(kind, {}).get("properties", {})


def _preprocess(problem: Problem) -> Any:
    """Columns as a network or a linear model takes them."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    categories = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="ignore", drop="if_binary", sparse_output=False),
    )
    return ColumnTransformer([("numbers", numbers, problem.numeric), ("categories", categories, problem.categorical)])


def _splits(problem: Problem) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = KFold if problem.classes is None else StratifiedKFold
    return list(kind(FOLDS, shuffle=True, random_state=problem.seed).split(problem.features, problem.labels))


def linear(problem: Problem) -> Predicted:
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    if problem.classes is None:
        model = make_pipeline(_preprocess(problem), RidgeCV(np.logspace(-4, 4, 33)))
        model.fit(problem.features, problem.labels)
        return problem.predicted_by(model, problem.locked), {"alpha": float(model[-1].alpha_)}
    pipeline = make_pipeline(_preprocess(problem), LogisticRegression(max_iter=10_000))
    grid = {"logisticregression__C": np.logspace(-4, 4, 17)}
    search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=_splits(problem))
    search.fit(problem.features, problem.labels)
    return problem.predicted_by(search, problem.locked), {"C": float(search.best_params_["logisticregression__C"])}


def gradient_boosting(problem: Problem, **options: Any) -> Predicted:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if problem.classes is None else HistGradientBoostingClassifier
    # Columns of pandas' own kind are taken as categories; one that the unlocked rows have not is missing.
    seen = {name: problem.features[name].dropna().unique() for name in problem.categorical}
    kinds = {name: pd.CategoricalDtype(sorted(values)) for name, values in seen.items()}
    model = kind(categorical_features="from_dtype", random_state=problem.seed, **options)
    model.fit(problem.features.astype(kinds), problem.labels)
    return problem.predicted_by(model, problem.locked.astype(kinds)), {"iterations": int(model.n_iter_)}


def realmlp(problem: Problem) -> Predicted:
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    # Its README: missing numbers are the caller's; for log loss no label smoothing, and the epoch chosen by log loss.
    medians = problem.features[problem.numeric].median().fillna(0.0)
    options: dict[str, Any] = {"n_cv": FOLDS, "device": "cpu", "n_threads": 1, "random_state": problem.seed}
    if problem.classes is None:
        model = RealMLP_TD_Regressor(**options)
    else:
        model = RealMLP_TD_Classifier(**options, val_metric_name="cross_entropy", use_ls=False)
    model.fit(problem.features.fillna(medians), problem.labels, cat_col_names=problem.categorical)
    return problem.predicted_by(model, problem.locked.fillna(medians)), {}


class Network:
    """scikit-learn's MLP with chosen hyperparameters; regression targets are standardised."""

    def __init__(self, problem: Problem, chosen: Mapping[str, Any]) -> None:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        self.kind = MLPRegressor if problem.classes is None else MLPClassifier
        self.classifies = problem.classes is not None
        self.seed, self.chosen = problem.seed, dict(chosen)
        self.centre, self.scale = 0.0, 1.0

    def fit(self, features: NDArray[np.float32], labels: NDArray[Any]) -> Network:
        chosen = self.chosen
        model = self.kind(
            hidden_layer_sizes=(chosen["neurons"],) * chosen["hidden_layers"],
            activation=chosen["activation"],
            alpha=chosen["alpha"],
            batch_size=min(chosen["batch_size"], len(labels)),
            learning_rate_init=chosen["learning_rate"],
            early_stopping=chosen["early_stopping"],
            # Where a tenth of the rows says when to stop, so many epochs at most.
            max_iter=500 if chosen["early_stopping"] else chosen["epochs"],
            random_state=self.seed,
        )
        if self.classifies:  # by number, since early stopping in scikit-learn 1.8.0 cannot read text
            self.names, labels = np.unique(labels, return_inverse=True)
        else:
            self.centre, self.scale = float(labels.mean()), float(labels.std()) or 1.0
            labels = (labels - self.centre) / self.scale
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # all epochs done, or weights that overflow: the loss will say it
            self.model = model.fit(features, labels)
        return self

    @property
    def classes_(self) -> NDArray[Any]:
        classes: NDArray[Any] = self.names[self.model.classes_]
        return classes

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.centre + self.scale * np.asarray(self.model.predict(features), dtype=np.float64)

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(self.model.predict_proba(features), dtype=np.float64)


# scikit-learn's own, as near as the space has them: the first trial.
_MLP_DEFAULTS = {
    "hidden_layers": 1,
    "neurons": 100,
    "activation": "relu",
    "alpha": 1e-4,
    "learning_rate": 1e-3,
    "batch_size": 128,
    "early_stopping": False,
    "epochs": 200,
}


def searched_network(problem: Problem) -> Predicted:
    """Trials until a network fitted on all unlocked rows would not be done by the deadline; at least one.

    The first has the defaults. The objective is the mean of five folds' log loss or mean squared error.
    """
    import optuna

    assert problem.deadline is not None
    deadline = problem.deadline
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folds = []
    for training, validation in _splits(problem):  # preprocessed once: every trial has the same splits
        transform = _preprocess(problem).fit(problem.features.iloc[training])
        inputs = [
            transform.transform(problem.features.iloc[rows]).astype(np.float32) for rows in (training, validation)
        ]
        folds.append((inputs[0], problem.labels[training], inputs[1], problem.labels[validation]))
    times: dict[int, float] = {}  # seconds for one network of a complete trial

    def objective(trial: optuna.Trial) -> float:
        chosen: Details = {
            "hidden_layers": trial.suggest_int("hidden_layers", 1, 3),
            "neurons": trial.suggest_int("neurons", 8, 256, log=True),
            "activation": trial.suggest_categorical("activation", ["relu", "tanh"]),
            "alpha": trial.suggest_float("alpha", 1e-6, 10.0, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-2, log=True),
            "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128, 256]),
            "early_stopping": trial.suggest_categorical("early_stopping", [True, False]),
        }
        if not chosen["early_stopping"]:
            chosen["epochs"] = trial.suggest_int("epochs", 10, 500, log=True)
        trial.set_user_attr("chosen", chosen)
        began, losses = time.time(), []
        for x, y, validation_x, validation_y in folds:
            if times and time.time() > deadline:
                raise optuna.TrialPruned
            model = Network(problem, chosen).fit(x, y)
            value = loss(problem.predicted_by(model, validation_x), validation_y, problem.classes)
            losses.append(value if problem.classes else value**2)
        if not np.isfinite(losses).all():
            raise ValueError("the network diverged")
        times[trial.number] = (time.time() - began) / FOLDS
        return float(np.mean(losses))

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=problem.seed))
    study.enqueue_trial(_MLP_DEFAULTS)
    # A fit on all rows takes 5 / 4 of one on four fifths. Weights that become infinite are a ValueError.
    while not study.trials or time.time() + 1.25 * times.get(_best(study), 0.0) < deadline:
        study.optimize(objective, n_trials=1, catch=ValueError)
    transform = _preprocess(problem).fit(problem.features)
    chosen = study.best_trial.user_attrs["chosen"]
    model = Network(problem, chosen).fit(transform.transform(problem.features).astype(np.float32), problem.labels)
    predictions = problem.predicted_by(model, transform.transform(problem.locked).astype(np.float32))
    return predictions, {"chosen": chosen, "trials": len(times), "value": study.best_value}


def _best(study: Any) -> int | None:
    """The number of the best trial; None as long as none is complete."""
    done = [trial for trial in study.trials if trial.value is not None]
    return min(done, key=lambda trial: trial.value).number if done else None


def loss(predictions: NDArray[np.float64], labels: NDArray[Any], classes: tuple[str, ...] | None) -> float:
    """Log loss in nats, or the root mean squared error.

    Args:
        predictions: (M, C) probabilities, kept from log(0) only; or (M,).
        labels: (M,) classes or regression targets.
        classes: of the columns; None of a regression.
    """
    if classes is None:
        return float(np.sqrt(np.mean((predictions - labels) ** 2)))
    places = [classes.index(label) for label in labels]
    return float(-np.log(np.clip(predictions[np.arange(len(labels)), places], 1e-15, 1.0)).mean())


@dataclass(frozen=True)
class Tool:
    """Who takes part.

    Attributes:
        title: how tables name it.
        package: that it needs.
        predict: the predictions for a problem's locked rows, and what is worth knowing about how they came to be.
        imports: modules that it needs; loading them is timed apart.
        timed: whether it is given as many seconds as ours took.
    """

    title: str
    package: str
    predict: Callable[[Problem], Predicted]
    imports: tuple[str, ...]
    timed: bool = False

    @property
    def is_installed(self) -> bool:
        return find_spec(self.package) is not None


_OURS = ("hpsearch.cli.app", "hpsearch.estimators")
_PIPELINE = ("sklearn.compose", "sklearn.impute", "sklearn.model_selection", "sklearn.pipeline")
TOOLS: dict[str, Tool] = {
    "ours": Tool("hpsearch", "hpsearch", Ours(), _OURS),
    "ours-single": Tool(
        "hpsearch, one network", "hpsearch", Ours({"search.finalists": 0, "retrain.members": 1}), _OURS
    ),
    "mlp": Tool("MLP + Optuna", "optuna", searched_network, (*_PIPELINE, "optuna", "sklearn.neural_network"), True),
    "linear": Tool("logistic or ridge", "sklearn", linear, (*_PIPELINE, "sklearn.linear_model")),
    "hgb": Tool("HistGradientBoosting", "sklearn", gradient_boosting, ("sklearn.ensemble",)),
    "hgb-stop": Tool(
        "the same, stopped early", "sklearn", partial(gradient_boosting, early_stopping=True), ("sklearn.ensemble",)
    ),
    "realmlp": Tool("RealMLP × 5", "pytabkit", realmlp, ("pytabkit",)),
}


def main(key: str, folder: Path) -> None:
    """Solve the problem that lies in a folder: predictions and how they came to be are left there."""
    from threadpoolctl import threadpool_limits

    tool = TOOLS[key]
    for module in tool.imports:
        import_module(module)
    started = time.time()
    with threadpool_limits(1):
        predictions, details = tool.predict(Problem.load(folder))
    np.save(folder / PREDICTIONS, predictions)
    (folder / DONE).write_text(json.dumps({"started": started, "details": details}), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
