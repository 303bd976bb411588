"""Hashes of what users get, to see that a change of the code leaves every bit of it where it was.

    python tests/fingerprints.py -o before.json           # in a checkout of the code before
    python tests/fingerprints.py --against before.json    # in one of the code after; exit status 1 if anything differs

It runs the shipped studies, shortened, small studies that together use everything, and the estimators, by the command
line and the public names alone, so that it runs on any version of the code: the one that ``import hpsearch`` finds, or
with PYTHONPATH=CHECKOUT the one there. Hashes are for one machine and one set of versions. It takes two minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import runpy
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomlkit
from sklearn import datasets
from sklearn.model_selection import KFold

import hpsearch

CHECKOUT = Path(hpsearch.__file__).resolve().parent.parent
UNREPEATABLE = ("seconds", "machine")  # columns of the trials table
SHORTER = {"spiral": (12, 200), "digits": (6, 6), "wine": (20, 60), "diabetes": (12, 60), "flowers": (10, 100)}
FIGURES = ("agreement", "calibration", "confusion", "curves", "folds", "gap", "history", "importance", "parallel")
FIGURES += ("pruning", "regions", "size", "slices")
Hashes = dict[str, str]
SETTINGS: list[str] = []  # of every study, as --set has them

SMALL = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
MAKE_ROWS = """
import numpy as np

def load(seed, count):
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(count, 3))
    return features, np.where(features.sum(axis=1) > 0, "above", "below"), {"weight": draw.integers(0, 3, count)}
"""


def table() -> pd.DataFrame:
    """Rows of all kinds of columns, some with missing values, and targets that depend on them."""
    count, draw = 160, np.random.default_rng(5)
    age, size = draw.normal(40, 12, count).round(1), draw.normal(70, 9, count).round(2)
    port, member = draw.choice(["Oslo", "Rome", "Åbo"], count), draw.random(count) < 0.4
    amount = (age - 40) / 12 + (port == "Rome") + member + draw.normal(0, 0.4, count)
    days = pd.date_range("2026-01-01", periods=count).strftime("%Y-%m-%d")
    return pd.DataFrame(
        {
            "age": np.where(draw.random(count) < 0.1, np.nan, age),
            "size": size,
            "port": pd.Series(np.where(draw.random(count) < 0.1, None, port), dtype="str"),
            "member": pd.Series(np.where(draw.random(count) < 0.1, None, member), dtype="boolean"),
            "floor": draw.integers(0, 4, count),
            "group": [f"g{number}" for number in draw.integers(0, 24, count)],
            "day": draw.permutation(days.to_numpy()),
            "fold": np.arange(count) % 5 - 1,
            "count": draw.integers(0, 4, count),
            "kind": pd.Series(np.select([amount < 0, amount < 1], ["low", "mid"], "high"), dtype="str"),
            "amount": (10 * amount + 100).round(3),
            "twice": pd.Series(np.where(amount > 0.5, "yes", "no"), dtype="str"),
        }
    )


def call(*arguments: str | Path) -> str:
    """What ``python -m hpsearch`` with these arguments prints, in this process: its imports take seconds."""
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["hpsearch", *map(str, arguments)]
    with redirect_stdout(out), redirect_stderr(err):
        try:
            runpy.run_module("hpsearch", run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"{' '.join(sys.argv)}: {err.getvalue()}") from ended
    return out.getvalue()


def hashed(*parts: Any) -> str:
    """SHA-256 of arrays and tables (types, shapes, values), bytes, and what JSON can say."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, pd.DataFrame):
            text = json.dumps([list(part.columns), list(map(str, part.dtypes))]) + part.to_csv(index=False)
            digest.update(text.encode())
        elif isinstance(part, np.ndarray) and part.dtype != object:
            digest.update(f"{part.dtype} {part.shape} ".encode() + np.ascontiguousarray(part).tobytes())
        elif isinstance(part, bytes):
            digest.update(part)
        else:
            plain = part.tolist() if isinstance(part, np.ndarray) else part
            digest.update(json.dumps(plain, sort_keys=True, default=str).encode())
    return digest.hexdigest()


# ---------------------------------------------------------------- studies


def of_tables(name: str) -> Iterator[tuple[str, str]]:
    """A stored study: its tables, its identity, what is kept of every validation row."""
    trials = hpsearch.load_trials(name).drop(columns=list(UNREPEATABLE))
    yield "trials", hashed(trials.drop(columns="reason"))
    yield "reasons", hashed(trials[["reason"]])
    yield "folds", hashed(hpsearch.load_folds(name))
    yield "curves", hashed(hpsearch.load_curves(name))
    listed = hpsearch.load_studies()
    yield "studies", hashed(listed[listed["study"] == name])
    yield "metrics", hashed(hpsearch.load_metrics(name))
    with closing(sqlite3.connect("hpsearch.db")) as database:
        query = "select key, value_json from study_user_attributes join studies using (study_id) where study_name = ?"
        attributes = {key: json.loads(value) for key, value in database.execute(query, [name])}
    yield "identity", hashed({key: value for key, value in attributes["identity"].items() if key != "version.hpsearch"})
    yield "audit", hashed(attributes["audit"])
    files = sorted(Path("hpsearch.db.rows", f"study-{name}").glob("*.npz"))
    arrays = [np.load(file) for file in files]  # whatever the arrays are called
    yield "validation rows", hashed([file.name for file in files], *(a[key] for a in arrays for key in a.files))


def of_best(name: str) -> Iterator[tuple[str, str]]:
    """The best configuration, its corrected score, and the model retrained with it."""
    summary = json.loads(call("best", name, "-o", "best.toml", "--json"))
    yield "corrected", hashed(summary.pop("corrected"), summary.pop("uncorrected"))
    yield "best", hashed(summary)
    yield "one-se", hashed(json.loads(call("best", name, "--rule", "one-se", "--json"))["trial"])
    yield "best.toml", hashed(Path("best.toml").read_bytes())
    yield from of_model("best.toml", hpsearch.StudyDefinition.from_file("best.toml").raw["data"])


def of_model(file: str, data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The network that a file without a search space gives, its scores, and what it predicts of the study's rows."""
    about = json.loads(call("retrain", file, "-o", "model", "--force", "--json"))
    for place in ("model", "hpsearch", "rows", "not_recorded"):  # folders and the version
        about.pop(place, None)
    yield "scores", hashed(about)
    yield "model", hashed(Path("model", "model.safetensors").read_bytes())
    if "path" in data:
        call("predict", "model", data["path"], "-o", "predicted.csv")
        yield "predictions", hashed(Path("predicted.csv").read_bytes())
    else:
        model, rows = hpsearch.Bundle.load("model"), rows_of(data["source"])
        more = [model.probabilities(rows)] if model.class_names else []
        yield "predictions", hashed(model.predict(rows), *more)


def rows_of(source: str) -> np.ndarray:
    """Rows of a source that is no file: scikit-learn's own, or of the shape of those that are drawn."""
    kind, _, name = source.partition(":")
    if kind == "sklearn":
        return np.asarray(getattr(datasets, f"load_{name}")(return_X_y=True)[0])
    columns = {"nnfs:sine": 1, "python:make_rows:load": 3}.get(source, 2)
    return np.random.default_rng(0).uniform(-1, 1, (200, columns))


def of_study(file: Path, *settings: str) -> Hashes:
    """All that there is to know of one study."""
    name, shorter = file.stem, [word for setting in [*settings, *SETTINGS] for word in ("--set", setting)]
    checked = json.loads(call("check", file, "--json", *shorter))
    checked.pop("time_needed", None)  # as measured
    hashes = {"check": hashed(checked), "cv": hashed(json.loads(call("cv", file, "--json", *shorter)))}
    call("run", file, "--json", *shorter)
    return hashes | dict(of_tables(name)) | dict(of_best(name))


def shipped(file: Path) -> Hashes:
    """A study of ``studies/``, shortened; where nothing is searched, what it retrains to."""
    definition = hpsearch.StudyDefinition.from_file(file)
    if not definition.raw.get("space"):
        short = file.with_name(f"short-{file.name}")
        short.write_text(file.read_text().replace("epochs = 10001", "epochs = 500").replace("1000\n", "100\n"))
        cv = json.loads(call("cv", short, "--json"))
        return {"cv": hashed(cv), **dict(of_model(str(short), definition.raw["data"]))}
    trials, epochs = SHORTER.get(file.stem, (12, 60))
    return of_study(file, f"search.trials={trials}", f"train.epochs={epochs}", "train.evaluate_every=5")


def small_file(name: str) -> Path:
    file = Path(f"{name}.toml")
    raw = {"study": {"name": name, "seed": 11}, **SMALL[name]}
    file.write_text(tomlkit.dumps(raw), encoding="utf-8")
    if SETTINGS:
        raw = dict(hpsearch.StudyDefinition.from_file(file, SETTINGS).raw)
        file.write_text(tomlkit.dumps(raw), encoding="utf-8")
    return file


def nested(name: str) -> Hashes:
    """Nested cross-validation of a small study."""
    found = json.loads(call("nested", small_file(name), "--outer", "2", "--set", "search.trials=4", "--json"))
    return {"nested": hashed(found), "trials of split 1": hashed(dict(of_tables(f"{name}.outer-1-of-2")))}


def confirmed(name: str) -> Hashes:
    """The best trials of a small study on fresh splits."""
    call("run", small_file(name), "--json")  # comes back at once if it was run before
    return {"confirm": hashed(json.loads(call("confirm", name, "--top", "3", "--repeats", "1", "--json")))}


def workers() -> Hashes:
    """Two processes, and a second run that raises the number of trials: the table of one run in this process."""
    small_file("weights")
    for trials in ("5", "12"):
        call("run", "weights.toml", "--workers", "2", "--trials", trials, "--set", "study.name=workers", "--json")
    return dict(of_tables("workers"))


def written() -> Hashes:
    """What ``init`` makes of files, and the schema of study files."""
    drafts = [call("init", file, "--target", "kind", "-o", "-") for file in ("rows.csv", "rows.parquet")]
    return {"init": hashed(drafts), "schema": hashed(call("schema"))}


def drawn(name: str) -> Hashes:
    """Every figure of a small study that has something to draw."""
    call("run", small_file(name), "--json")
    hashes = {}
    for figure in FIGURES:
        try:
            hashes[figure] = hashed(getattr(hpsearch.figures, figure)(name).to_json())
        except hpsearch.HpsearchError:
            hashes[figure] = "nothing to draw"
    return hashes


# ---------------------------------------------------------------- estimators


def features() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, classes and quantities that depend on them, and weights."""
    draw = np.random.default_rng(8)
    X = draw.normal([0, 5, -3, 0], [1, 3, 0.1, 10], (120, 4))
    signal = X[:, 0] + (X[:, 1] - 5) / 3
    return X, np.select([signal < -0.5, signal < 0.7], ["a", "b"], "c"), 7 * signal + 40, draw.integers(0, 4, 120)


def fitted(estimator: Any, regression: bool, weighted: bool) -> Hashes:
    X, classes, quantities, weights = features()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, quantities if regression else classes, sample_weight=weights if weighted else None)
    network = getattr(estimator, "best_estimator_", estimator)
    network.bundle_.save("estimated", force=True)
    answers = [estimator.predict(X), *([] if regression else [estimator.predict_proba(X)])]
    hashes = {
        "model": hashed(Path("estimated", "model.safetensors").read_bytes()),
        "predictions": hashed(*answers),
        "loss curve": hashed(network.loss_curve_),
    }
    if network is not estimator:
        scores = {key: value for key, value in estimator.cv_results_.items() if "time" not in key}
        found = [estimator.best_params_, estimator.best_score_, str(estimator.corrected_score_)]
        hashes |= {"search": hashed(found), "cv_results_": hashed(list(scores), *scores.values())}
        hashes["trials"] = hashed(estimator.trials_.drop(columns=list(UNREPEATABLE)))
    return hashes


def estimators() -> Iterator[tuple[str, Callable[[], Hashes]]]:
    common: dict[str, Any] = {"epochs": 60, "batch_size": 32, "random_state": 3, "dtype": "float32"}
    space = {"learning_rate": {"float": [1e-3, 1e-1], "log": True}, "neurons": {"int": [4, 16]}}
    makers: dict[str, Callable[[Any], Any]] = {
        "": lambda network: network(12, dropout=0.1, weight_l2=1e-3, **common),
        " stopped early": lambda network: network(12, early_stopping=True, **common),
        " searched": lambda network: hpsearch.KFoldSearchCV(
            network(**common), space, n_trials=8, cv=KFold(3, shuffle=True), random_state=5
        ),
    }
    for how, make in makers.items():
        for network in (hpsearch.MLPClassifier, hpsearch.MLPRegressor):
            for weighted in (False, True):
                name = f"{network.__name__}{how}{' weighted' if weighted else ''}"
                yield name, lambda n=network, m=make, w=weighted: fitted(m(n), n is hpsearch.MLPRegressor, w)


# ---------------------------------------------------------------- all of it


def cases() -> dict[str, Callable[[], Hashes]]:
    """Everything that is hashed, by name."""
    own = {f"shipped {file.stem}": lambda f=file: shipped(f) for file in sorted(Path("studies").glob("*.toml"))}
    own |= {f"small {name}": lambda n=name: of_study(small_file(n)) for name in SMALL}
    own |= {f"nested {name}": lambda n=name: nested(n) for name in ("weights", "quantity")}
    own |= {f"confirm {name}": lambda n=name: confirmed(n) for name in ("weights", "quantity", "layers", "sine")}
    own |= {f"figures {name}": lambda n=name: drawn(n) for name in ("weights", "quantity")}
    return own | {"workers": workers, "written": written} | dict(estimators())


def compared(before: dict[str, Hashes], after: dict[str, Hashes]) -> list[str]:
    """One line on each case that differs, and in what."""
    lines = []
    for case in sorted({*before, *after}):
        old, new = before.get(case, {}), after.get(case, {})
        if different := [what for what in sorted({*old, *new}) if old.get(what) != new.get(what)]:
            lines.append(f"{case}: {', '.join(different)}")
    return lines


def prepare_folder() -> None:
    """Put into the working directory what the cases read, and see that other processes import the same package."""
    shutil.copytree(CHECKOUT / "studies", "studies")
    Path("make_rows.py").write_text(MAKE_ROWS, encoding="utf-8")
    table().to_csv("rows.csv", index=False)
    table().to_parquet("rows.parquet", index=False)
    program = "import hpsearch; print(hpsearch.__file__)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    if found != hpsearch.__file__:
        raise RuntimeError(f"other processes must import {hpsearch.__file__} too, but import {found}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="write the hashes to this file instead of the terminal")
    parser.add_argument("--against", type=Path, help="an earlier output: say what differs")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of every study, as search.finalists=0"
    )
    options = parser.parse_args()
    SETTINGS.extend(options.set)
    before = None if options.against is None else json.loads(options.against.read_text(encoding="utf-8"))
    output = options.output and options.output.resolve()
    print(f"hpsearch of {CHECKOUT}", file=sys.stderr)
    os.environ |= {"HPSEARCH_WORKERS": "1", "PYTHONPATH": str(CHECKOUT), "HPSEARCH_STORAGE": "sqlite:///hpsearch.db"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare_folder()
        hashes = {name: case() for name, case in cases().items() if options.only in name}
        os.chdir(CHECKOUT)
    text = json.dumps(hashes, indent=1, sort_keys=True) + "\n"
    if output is not None:
        output.write_text(text, encoding="utf-8")
    if before is None:
        print("" if output else text, end="")
        return 0
    before = {name: found for name, found in before.items() if options.only in name}
    print(*(lines := compared(before, hashes)) or ["nothing differs"], sep="\n")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
