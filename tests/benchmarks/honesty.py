"""How far each number that hpsearch prints is from the truth: the table that stands in tests/README.md.

    python tests/benchmarks/honesty.py [STUDIES] [--nested STUDIES] [--cases NAME …] [--workers N]

Every study draws its own rows, searches as `hpsearch run` does (its own proposals, its own splits, all of hpsearch's
code but for the coordinator and the storage), and then the loss of every network that it chose is measured on
21,000 rows more. Many studies train side by side as lanes of the core. The estimates, beside each other:

* naive: the lowest mean validation loss, with Nadeau & Bengio's interval, which is not meant for a winner;
* corrected: what `hpsearch best` shows;
* nested: what `hpsearch nested` shows, the whole search inside each of five outer splits;
* hold-out: what `hpsearch retrain` shows, on a quarter as many rows again.

The truth is taken both ways: of the chosen configuration's fold networks, and of the network retrained on all rows.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hpsearch import StudyDefinition, seeds
from hpsearch.data.dataset import Dataset
from hpsearch.data.preprocess import Scaling, fit_scaling
from hpsearch.data.splits import Split, SplitOptions, make_splits
from hpsearch.nn.network import initial_parameters
from hpsearch.nn.passes import Architecture, Evaluator, predict
from hpsearch.nn.penalties import Penalties, expand_lambdas
from hpsearch.nn.rows import LaneData, PaddedRows
from hpsearch.search.proposer import Proposer
from hpsearch.storage.trial_result import TrialResult
from hpsearch.validation.config import Config
from hpsearch.validation.estimates import estimate, mean_of_rows
from hpsearch.validation.lanes import make_trainer
from hpsearch.validation.layout import Layout
from hpsearch.validation.metrics import METRICS
from hpsearch.validation.selection import corrected

FRESH_ROWS = 21_000  # of which those on the grid are 70 whole draws
OUTER = 5
CHUNK = 20  # studies side by side
FIRST_SEED = 20_000  # the methods were chosen with studies of seeds below
ORDER = ("naive", "corrected", "nested", "hold-out")


@dataclass(frozen=True)
class Case:
    """A kind of study.

    Attributes:
        rows: to search with.
        trials, sampler: of the search.
        epochs: of every trial, with 20 checkpoints.
        turn: radians that an arm of the spiral goes through.
        flipped: share of the labels that are drawn anew.
        extra: features of noise.
        grid: radii on a grid, the same in every draw, as nnfs has them; otherwise drawn uniformly.
        nested: whether nested cross-validation is run too.
    """

    rows: int
    trials: int
    sampler: str
    epochs: int
    turn: float = 10.0
    flipped: float = 0.0
    extra: int = 0
    grid: bool = False
    nested: bool = True

    def definition(self) -> StudyDefinition:
        raw = {
            "study": {"name": "honesty", "seed": 0},
            "data": {"source": "nnfs:spiral"},  # a study file needs one; rows are drawn below
            "train": {"epochs": self.epochs, "evaluate_every": self.epochs // 20, "init": "he"},
            "space": {
                "neurons": {"choice": [4, 16, 64]},
                "learning_rate": {"float": [1e-3, 1e-1], "log": True},
                "decay": {"float": [1e-5, 1e-1], "log": True},
                "weight_l2": {"float": [1e-6, 1e-1], "log": True},
                "weight_l1": {"float": [1e-6, 1e-2], "log": True},
            },
            "search": {"trials": self.trials, "sampler": self.sampler, "pruner": "none"},
        }
        return StudyDefinition.from_mapping(raw, Path())

    def draw(self, seed: int, rows: int) -> Dataset:
        """Rows of a spiral of three arms, whose angles have nnfs's noise."""
        draw = np.random.default_rng(seed)
        if self.grid:
            each = self.rows // 3
            places = draw.permutation(self.rows)[:rows] if rows < self.rows else np.arange(rows)
            labels, radius = places // each % 3, places % each / (each - 1)
        else:
            labels, radius = draw.integers(3, size=rows), draw.random(rows)
        angle = 10 * labels + self.turn * radius + 0.5 * draw.standard_normal(rows)
        features = [radius * np.sin(angle), radius * np.cos(angle), *draw.standard_normal((self.extra, rows))]
        labels = np.where(draw.random(rows) < self.flipped, draw.integers(3, size=rows), labels)
        names = tuple(f"x{i + 1}" for i in range(2 + self.extra))
        return Dataset(np.column_stack(features), labels, names, ("0", "1", "2"))


HARD = Case(rows=60, trials=100, sampler="random", epochs=100, turn=3.0, flipped=0.2, extra=4)
EASY = Case(rows=300, trials=30, sampler="random", epochs=300)
CASES = {
    "hard, random": HARD,
    "hard, tpe": replace(HARD, sampler="tpe"),
    "easy, random": EASY,
    "easy, tpe": replace(EASY, sampler="tpe"),
    "grid, random": replace(EASY, grid=True, nested=False),
}


@dataclass(frozen=True)
class Lane:
    """One network to train: rows of a dataset, a configuration, the streams of its randomness."""

    data: Dataset
    training: np.ndarray
    validation: np.ndarray
    config: Config
    streams: tuple[np.random.SeedSequence, np.random.SeedSequence]

    @classmethod
    def of_split(cls, data: Dataset, split: Split, config: Config, seed: int) -> Lane:
        key = (split.repeat, split.fold)
        streams = (seeds.seed_sequence(seed, "weights", *key), seeds.seed_sequence(seed, "batches", *key))
        return cls(data, split.training, split.validation, config, streams)

    @classmethod
    def of_all(cls, data: Dataset, config: Config, seed: int) -> Lane:
        rows = np.arange(data.rows)
        streams = (seeds.seed_sequence(seed, "retrain-weights"), seeds.seed_sequence(seed, "retrain-batches"))
        return cls(data, rows, rows[:1], config, streams)


@dataclass(frozen=True)
class Trained:
    """Lanes of one shape at a checkpoint."""

    epoch: int
    architecture: Architecture
    params: np.ndarray
    scalings: Sequence[Scaling]
    losses: list[np.ndarray]  # of each lane's validation rows

    def loss(self, lane: int, data: Dataset) -> np.ndarray:
        """The losses of other rows, in nats."""
        inputs = self.scalings[lane].apply(data.features)
        predictions = predict(self.architecture, self.params[lane : lane + 1], inputs)[0]
        true = predictions[np.arange(data.rows), data.labels].astype(np.float64)
        return -np.log(np.clip(true, 1e-7, 1 - 1e-7))


def train(lanes: Sequence[Lane]) -> Iterator[Trained]:
    """Train lanes of the same widths, epochs and kind side by side, each with its own rates and lambdas."""
    datasets = {id(lane.data): lane.data for lane in lanes}
    sizes = np.cumsum([0, *(data.rows for data in datasets.values())])
    offsets = dict(zip(datasets, sizes[:-1].tolist(), strict=True))
    features = np.concatenate([data.features for data in datasets.values()])
    labels = np.concatenate([data.labels for data in datasets.values()])
    training = [lane.training + offsets[id(lane.data)] for lane in lanes]
    validation = [lane.validation + offsets[id(lane.data)] for lane in lanes]
    config = lanes[0].config
    scalings = [fit_scaling(config.scaling, features, rows) for rows in training]
    centre, scale = (np.stack([getattr(scaling, part) for scaling in scalings]) for part in ("centre", "scale"))
    rows = LaneData(features, labels, 3, centre, scale)
    every = config.checkpoint_epochs
    one = make_trainer(config, rows, training, every)
    network, dtype = one.architecture.network, one.architecture.dtype
    lambdas = {
        norm: np.stack(
            [
                expand_lambdas(
                    network, lane.config.by_layer(f"weight_{norm}"), lane.config.by_layer(f"bias_{norm}"), dtype
                )
                for lane in lanes
            ]
        )
        for norm in ("l1", "l2")
    }
    trainer = replace(
        one,
        penalties=Penalties(**lambdas),
        learning_rate=np.array([[lane.config.learning_rate] for lane in lanes]),
        decay=np.array([[lane.config.decay] for lane in lanes]),
    )
    generators = [[np.random.default_rng(lane.streams[i]) for lane in lanes] for i in range(2)]
    params = initial_parameters(network, config.init, generators[0], dtype)
    padded = PaddedRows.pad(validation, max(map(len, validation)))
    evaluator = Evaluator(trainer.architecture, rows, padded)
    for checkpoint in trainer.run(params, generators[1]):
        losses = evaluator.evaluate(params).row_losses
        each = [of_lane[:count] for of_lane, count in zip(losses, padded.counts, strict=True)]
        yield Trained(checkpoint.epoch, trainer.architecture, params, scalings, each)


def by_width(lanes: Sequence[Lane]) -> Iterator[list[int]]:
    """The places of lanes that can train side by side."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for place, lane in enumerate(lanes):
        groups[lane.config.neurons].append(place)
    yield from groups.values()


@dataclass
class Search:
    """One study under way."""

    data: Dataset
    seed: int
    definition: StudyDefinition
    splits: Sequence[Split] = ()
    chosen: list[dict[str, Any]] = field(default_factory=list)
    losses: list[np.ndarray] = field(default_factory=list)  # one (T, M) a trial
    results: list[TrialResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        raw = {**self.definition.raw, "study": {"name": "honesty", "seed": self.seed}}
        self.definition = StudyDefinition.from_mapping(raw, Path())
        self.splits = make_splits(self.data, "kfold", SplitOptions(), self.seed)
        self.proposer = Proposer(self.definition)
        self.layout = Layout.of(self.data, self.splits, "kfold")

    def propose(self) -> Config:
        self.chosen.append(self.proposer.propose(self.results).chosen)
        return self.definition.config(self.chosen[-1])

    def tell(self, losses: np.ndarray, epochs: list[int]) -> None:
        means = (losses @ self.layout.shares).tolist()
        value, number = min(means), len(self.results)
        self.losses.append(losses)
        self.results.append(
            TrialResult(
                number, "COMPLETE", value, 0, 0.0, best_epoch=epochs[means.index(value)], epochs=epochs,
                intermediate=means,
            )
        )  # fmt: skip

    @property
    def best(self) -> TrialResult:
        return min(self.results, key=lambda result: (result.value, result.number))

    @property
    def best_config(self) -> Config:
        """Of all epochs: where it stops, the decay is what it was at that checkpoint."""
        return self.definition.config(self.chosen[self.best.number])


def search(searches: Sequence[Search], trials: int) -> None:
    """Run studies side by side, trial by trial."""
    for _ in range(trials):
        configs = [study.propose() for study in searches]
        lanes = [
            Lane.of_split(study.data, split, config, study.seed)
            for study, config in zip(searches, configs, strict=True)
            for split in study.splits
        ]
        history: list[list[np.ndarray]] = [[] for _ in lanes]
        epochs: list[int] = []
        for places in by_width(lanes):
            epochs = []
            for point in train([lanes[place] for place in places]):
                epochs.append(point.epoch)
                for place, losses in zip(places, point.losses, strict=True):
                    history[place].append(losses.astype(np.float32))
        first = 0
        for study in searches:
            last = first + len(study.splits)
            study.tell(np.concatenate([np.stack(lane) for lane in history[first:last]], axis=1), epochs)
            first = last


def losses_of(lanes: Sequence[Lane], epochs: Sequence[int], data: Sequence[Dataset]) -> list[np.ndarray]:
    """What each lane, stopped at its epoch, loses on other rows."""
    predictions: list[np.ndarray] = [np.empty(0)] * len(lanes)
    for places in by_width(lanes):
        for point in train([lanes[place] for place in places]):
            for number, place in enumerate(places):
                if epochs[place] == point.epoch:
                    predictions[place] = point.loss(number, data[place])
    return predictions


def chunk(case: Case, first: int, count: int) -> pd.DataFrame:
    """The numbers of ``count`` studies: one row each."""
    fresh = case.draw(10**9 + first, FRESH_ROWS)
    definition = case.definition()
    studies = [Search(case.draw(2 * seed, case.rows), seed, definition) for seed in range(first, first + count)]
    outer = [make_splits(study.data, "kfold", SplitOptions(OUTER), 10**6 + study.seed) for study in studies]
    inner = [
        Search(study.data.take(split.training), study.seed, definition)
        for study, splits in zip(studies, outer, strict=True)
        for split in splits
        if case.nested
    ]
    with threadpool_limits(1):
        search(studies, case.trials)
        search(inner, case.trials)
        folds = [
            Lane.of_split(study.data, split, study.best_config, study.seed)
            for study in studies
            for split in study.splits
        ]
        epochs = [study.best.best_epoch for study in studies]
        of_folds = losses_of(folds, np.repeat(epochs, len(studies[0].splits)).tolist(), [fresh] * len(folds))
        whole = [Lane.of_all(study.data, study.best_config, study.seed) for study in studies]
        held = [case.draw(2 * study.seed + 1, case.rows // 4) for study in studies]
        of_whole = losses_of(whole, epochs, [fresh] * len(whole))
        of_held = losses_of(whole, epochs, held)
        again = [Lane.of_all(study.data, study.best_config, study.seed) for study in inner]
        left_out = [
            study.data.take(split.validation)
            for study, splits in zip(studies, outer, strict=True)
            for split in splits
            if case.nested
        ]
        of_outer = losses_of(again, [study.best.best_epoch for study in inner], left_out)
    table = []
    for number, study in enumerate(studies):
        row: dict[str, Any] = {"study": study.seed}
        row["truth_folds"] = np.mean([losses.mean() for losses in of_folds[5 * number : 5 * number + 5]])
        row["truth_retrained"] = of_whole[number].mean()
        best = study.losses[study.best.number][study.best.epochs.index(study.best.best_epoch)]
        per_split = [best[study.layout.splits == split].mean() for split in range(len(study.splits))]
        sizes = [[len(getattr(split, part)) for split in study.splits] for part in ("training", "validation")]
        found = {
            "naive": estimate(per_split, *sizes),
            "corrected": corrected(
                study.losses, study.layout, METRICS["loss"], seeds.integer_seed(study.seed, "resamples")
            ),
            "hold-out": mean_of_rows(of_held[number]),
        }
        if case.nested:
            found["nested"] = mean_of_rows(
                np.concatenate(of_outer[OUTER * number : OUTER * (number + 1)]), networks=OUTER
            )
        for name, one in found.items():
            row |= {name: getattr(one, "mean", None) or one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        table.append(row)
    return pd.DataFrame(table)


def summary(studies: pd.DataFrame) -> pd.DataFrame:
    """One row an estimate and truth: bias with its standard error, spread, coverage of the 95 % interval."""
    rows = []
    for truth in ("folds", "retrained"):
        for name in [name for name in ORDER if name in studies]:
            have = studies.dropna(subset=name)
            error = have[name] - have[f"truth_{truth}"]
            inside = have[f"truth_{truth}"].between(have[f"{name}_low"], have[f"{name}_high"])
            rows.append(
                {
                    "truth": truth,
                    "estimate": name,
                    "studies": len(have),
                    "bias": error.mean(),
                    "its_error": error.std() / np.sqrt(len(error)),
                    "spread": error.std(),
                    "coverage": inside.mean(),
                    "width": (have[f"{name}_high"] - have[f"{name}_low"]).mean(),
                }
            )
    return pd.DataFrame(rows)


def run(case: Case, studies: int, nested: int, workers: int) -> pd.DataFrame:
    """The numbers of all studies of a case, those of nested cross-validation for the first ``nested``."""
    firsts = range(FIRST_SEED, FIRST_SEED + studies, CHUNK)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        cases = [replace(case, nested=case.nested and first - FIRST_SEED < nested) for first in firsts]
        counts = [min(CHUNK, FIRST_SEED + studies - first) for first in firsts]
        parts = pool.map(chunk, cases, firsts, counts)
        return pd.concat(parts, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("studies", type=int, nargs="?", default=400)
    parser.add_argument("--nested", type=int, default=100, help="how many of them are cross-validated nested as well")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, help="keep every study's numbers as CSV files here")
    given = parser.parse_args()
    for name in given.cases:
        table = run(CASES[name], given.studies, given.nested, given.workers)
        if given.output is not None:
            table.to_csv(given.output / f"{name.replace(', ', '-')}.csv", index=False)
        print(f"\n{name}: {len(table)} studies, {CASES[name]}")
        print(summary(table).to_string(index=False, float_format="{:.4f}".format))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
