"""The tutorial's own experiment, over many seeds: prints the table that stands in tests/README.md.

    python tests/benchmarks/tutorial.py [SEEDS]

Every seed is a lane of the core: its own draw of the spiral to train on, its own initial weights, and a fresh draw of
300 rows to be scored on. The settings are those of studies/tutorial-a.toml and studies/tutorial-b.toml.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from hpsearch import StudyDefinition, seeds
from hpsearch.data.preprocess import fit_scaling
from hpsearch.nn.network import initial_parameters
from hpsearch.nn.passes import Evaluator
from hpsearch.nn.rows import LaneData, PaddedRows
from hpsearch.validation.lanes import make_trainer

STUDIES = Path(__file__).parents[2] / "studies"
# Kinsley & Kukiela, Neural Networks from Scratch in Python (2020): one draw each. In (b) the reported training loss
# contains a penalty that is computed wrongly there, so it is not compared.
PUBLISHED = pd.DataFrame(
    {
        "training accuracy": {"a": 0.883, "b": 0.913},
        "training loss": {"a": 0.230, "b": np.nan},
        "final learning rate": {"a": 0.018182, "b": 0.01998002},
        "validation accuracy": {"a": 0.797, "b": 0.820},
        "validation loss": {"a": 0.672, "b": 0.694},
    }
)


def experiment(which: str, count: int) -> pd.DataFrame:
    """One row a seed: what training ends with and what a fresh draw gives; ``which`` is ``a`` or ``b``."""
    definition = StudyDefinition.from_file(STUDIES / f"tutorial-{which}.toml")
    config = definition.train
    draws = [
        [definition.data.load(STUDIES, seeds.integer_seed(seed, stream)) for stream in ("data", "fresh")]
        for seed in range(count)
    ]
    each = draws[0][0].rows
    features = np.concatenate([data.features for pair in draws for data in pair])
    labels = np.concatenate([data.labels for pair in draws for data in pair])
    training = [np.arange(each) + 2 * each * lane for lane in range(count)]
    fresh = [rows + each for rows in training]
    scalings = [fit_scaling(config.scaling, features, rows) for rows in training]
    centre, scale = np.stack([s.centre for s in scalings]), np.stack([s.scale for s in scalings])
    lanes = LaneData(features, labels, 3, centre, scale)
    trainer = make_trainer(config, lanes, training, definition.evaluate_every)
    generators = [seeds.generator(seed, "weights") for seed in range(count)]
    parameters = initial_parameters(trainer.architecture.network, config.init, generators, trainer.architecture.dtype)
    *_, last = trainer.run(parameters, [seeds.generator(seed, "batches") for seed in range(count)])
    table = {"final learning rate": last.learning_rate}
    for name, rows in (("training", training), ("validation", fresh)):
        answer = Evaluator(trainer.architecture, lanes, PaddedRows.pad(rows, each)).evaluate(parameters)
        table[f"{name} accuracy"] = (answer.predictions.argmax(axis=1) == labels[np.stack(rows)]).mean(axis=1)
        table[f"{name} loss"] = answer.loss
    return pd.DataFrame(table)[list(PUBLISHED.columns)]


def main(count: int) -> None:
    print(f"| | {' | '.join(PUBLISHED.columns)} |")
    print("|---|" + "---|" * len(PUBLISHED.columns))
    for which in ("a", "b"):
        ours = experiment(which, count)
        cells = [f"{ours[name].mean():.3f} ± {ours[name].std():.3f}" for name in ours]
        cells[2] = f"{ours['final learning rate'].mean():.8f}"
        print(f"| ({which}) ours, {count} seeds | {' | '.join(cells)} |")
        published = ["–" if np.isnan(value) else f"{value:.8g}" for value in PUBLISHED.loc[which]]
        print(f"| ({which}) published, one draw | {' | '.join(published)} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
