"""How honest are the intervals of permutation importance? How often is noise said to matter, and the truth held?

Each study is a fresh table and one configuration: networks of repeated folds, as those of the finals, and their
importances. A column of noise is drawn independently of everything else, so its true importance is 0, whatever the
networks made of it. That of a column which helps is what the same networks lose without it on 20,000 new rows.

    python tests/benchmarks/importance.py 1000 200  # the first seed, and how many studies of each kind
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hpsearch.data.columns import Plan, Raw
from hpsearch.data.dataset import Dataset, Task
from hpsearch.data.splits import SplitOptions, make_splits
from hpsearch.validation.config import Config
from hpsearch.validation.fold_networks import FoldNetworks
from hpsearch.validation.inspection import Inspected
from hpsearch.validation.lanes import fit_scalings
from hpsearch.validation.metrics import objective_metric

NEW_ROWS = 20_000
FOLDS = 5
_SOME = Config(neurons=16, epochs=60, batch_size=32, learning_rate=0.01)
_MANY = Config(neurons=32, epochs=300, batch_size=16, learning_rate=0.01)  # epochs: no loss falls any more


@dataclass(frozen=True)
class Case:
    """A kind of table and of networks.

    Attributes:
        rows: of a table.
        noise: columns of numbers that are noise, and as many of two and of six categories.
        repeats: of the splits; with one, networks are judged by themselves.
        objective: by its name.
        task: what is predicted.
        size: of groups; rows are alone if 1.
        weighted: whether rows count by weights.
        config: what is trained.
    """

    rows: int = 300
    noise: int = 3
    repeats: int = 3
    objective: str = "loss"
    task: Task = "classification"
    size: int = 1
    weighted: bool = False
    config: Config = _SOME


CASES: dict[str, Case] = {
    "classes": Case(),
    "numbers": Case(task="regression"),
    "groups": Case(size=5, rows=400),
    "weights": Case(weighted=True),
    "ROC AUC": Case(objective="roc_auc"),
    "one network a split": Case(repeats=1),
    "overfitted": Case(rows=150, noise=8, config=_MANY),
    "numbers, overfitted": Case(rows=150, noise=8, task="regression", config=_MANY),
}


def table(case: Case, draw: np.random.Generator, rows: int) -> Dataset:
    """Rows: three columns help, all others are noise; of a group all rows share what they have beside noise."""
    groups = np.arange(rows) // case.size
    own = draw.normal(size=(groups[-1] + 1, 3))[groups]
    signal = 1.5 * own[:, 0] + np.sin(2 * own[:, 1]) + 0.7 * own[:, 0] * (own[:, 2] > 0)
    raws = [Raw(f"x{place}", "numeric", own[:, place]) for place in range(3)]
    for place in range(case.noise):
        of_groups = draw.normal(size=groups[-1] + 1)[groups]  # the same for all rows of a group
        raws.append(Raw(f"noise{place}", "numeric", of_groups if place % 2 else draw.normal(size=rows)))
        for count in (2, 6):
            names = tuple(f"c{number}" for number in range(count))
            raws.append(Raw(f"noise{place} of {count}", "categorical", draw.integers(0, count, rows), names))
    plan = Plan.declare(raws)
    features, _ = plan.expand(raws)
    noise = draw.logistic(size=groups[-1] + 1)[groups] if case.size > 1 else draw.logistic(size=rows)
    targets = signal + noise if case.task == "regression" else (signal + noise > 0).astype(int)
    data = Dataset.of(features, targets, plan=plan, task=case.task)
    weights = draw.integers(0, 4, rows).astype(float) if case.weighted else None
    return replace(data, groups=groups if case.size > 1 else None, weights=weights)


def study(case: Case, seed: int) -> pd.DataFrame:
    """A row a column: importance, low, high and the truth."""
    draw = np.random.default_rng(seed)
    data, new = table(case, draw, case.rows), table(case, draw, NEW_ROWS)
    splitter = "group" if case.size > 1 else "kfold"
    splits = make_splits(data, splitter, SplitOptions(FOLDS, repeats=case.repeats), seed)
    scalings = fit_scalings(data, [split.training for split in splits], case.config.scaling)
    networks = FoldNetworks.train(data, splits, case.config, seed, scalings)
    metric = objective_metric(case.objective, case.config.loss_name(case.task))
    ensemble = case.repeats > 1
    inspected = Inspected.of(networks, metric, splitter, ensemble)
    _, found = inspected.importance(10, draw)
    truth = _truth(networks, new, inspected, draw)
    rows = [(one.column, one.value, one.low, one.high, truth[one.column]) for one in found]
    return pd.DataFrame(rows, columns=["column", "value", "low", "high", "truth"])


def _truth(networks: FoldNetworks, new: Dataset, inspected: Inspected, draw: np.random.Generator) -> dict[str, float]:
    """What the networks lose on new rows without each column, on average over which of them predict together."""
    everything, nothing = np.arange(new.rows), np.empty(0, np.intp)
    lanes = networks.lanes.of(new.features, new.labels)
    splits = tuple(replace(split, training=nothing, validation=everything) for split in networks.splits)
    on_new = replace(networks, data=new, splits=splits, lanes=lanes)
    metric, classes, repeats = inspected.metric, len(new.class_names), len(splits) // FOLDS

    def score(predictions: np.ndarray) -> float:
        of_networks = predictions.reshape(repeats, FOLDS, new.rows, -1).astype(np.float64)
        if not inspected.of_ensemble:
            of_networks = of_networks.reshape(1, -1, new.rows, predictions.shape[1])
        scores = [metric.score(new.labels, of, classes, new.weights) for of in of_networks.mean(axis=0)]
        return float(metric.in_headline(float(np.mean(scores))))

    base, dealt = score(on_new.predictions), draw.permutation(new.rows)
    truth = {}
    for name, places in new.columns.places.items():
        truth[name] = 0.0
        if not name.startswith("noise"):
            truth[name] = metric.sign * (score(on_new.replaced(places)(dealt)) - base)
    return truth


def judged(found: pd.DataFrame) -> dict[str, float]:
    """The shares of noise that is said to matter or to harm, and of the truths that are held."""
    noise = found[found["column"].str.startswith("noise")]
    helps = found[~found["column"].str.startswith("noise")]
    half = (helps["high"] - helps["low"]) / 2
    return {
        "columns of noise": len(noise),
        "said to matter": (noise["low"] > 0).mean(),
        "said to harm": (noise["high"] < 0).mean(),
        "truth held": ((helps["truth"] - helps["value"]).abs() <= half).mean(),
        "bias / truth": (helps["value"] - helps["truth"]).mean() / helps["truth"].mean(),
        "found": (helps["low"] > 0).mean(),
    }


def measure(names: Sequence[str], first: int, count: int) -> pd.DataFrame:
    """A row a case: what :func:`judged` says of so many studies, from this seed on."""
    rows = []
    for name in names:
        begun = time.process_time()
        found = pd.concat([study(CASES[name], seed) for seed in range(first, first + count)])
        rows.append({"case": name, **judged(found), "seconds": time.process_time() - begun})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    first, count, *names = sys.argv[1:]
    for name in names or CASES:
        print(measure([name], int(first), int(count)).to_csv(index=False, float_format="%.4g"), end="")
