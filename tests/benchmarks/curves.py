"""Whole curves of many configurations, on which searches are replayed in seconds: which trials are best stopped, when?

    python curves.py make FOLDER [--tables NAME …] [--configs N]
    python curves.py replay FOLDER [--tables NAME …] [--strategies NAME …] [--seeds N] [--trials N] [--workers N]
                                   [--overhead SECONDS]
    python curves.py portfolio FOLDER [--size N]
    python curves.py transfer FOLDER [--seeds N]

``make`` trains each configuration of each table as a trial that nothing stops, and ships it. Configuration i is the
same place in the space of every table, drawn from the seed, i and the hyperparameter's name. The spaces are those that
`init` writes, but for the studies that are shipped, which have their own. ``replay`` compares the strategies of
curve_strategies.py on it, see replays.py. ``portfolio`` shows those that did best on the tables ``develop``, as the
initial design of that name has them. ``transfer`` compares studies that begin with what was best in those of other
tables, as `run --from` has it, with studies that begin by themselves; on tables whose ranges are the same.

Strategies are chosen on the tables ``develop``: the kinds of rows of honesty_cases.py and R's tables whose names begin
with a letter from n on, none of which the league has. They are judged on the tables ``judge``: shipped studies and
tables of the league. Either word stands for all of its tables.

FOLDER lies outside the repository. What is there is not trained again, so a run that was stopped goes on. It has one
folder a table, with

* about.json: the study; ``layout``, of each validation row the split.
* 0000.npz and so on, one a configuration, of T checkpoints, L splits (with repeats) and M validation rows:
    * chosen: the hyperparameters, as JSON.
    * epochs (T,): of the checkpoints. ``of_study`` (T,) tells those that the study has; the others lie before its
      first, and come from a shorter training of the same bits.
    * objective (T, L): the validation loss.
    * losses (T, M): of each row, float32; none if the training diverged.
    * seconds (T,): of CPU, from the trial's beginning; before the study's first checkpoint in proportion to epochs.
    * value, best_epoch: the lowest mean of the study's checkpoints; not a number, and 0, if it diverged.
    * truth: the loss of the ensemble that `retrain` ships of this configuration and epoch, on rows that the study has
      not: 20,000 fresh ones, or those held out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import honesty
import numpy as np
import pandas as pd
import replays
import tomlkit
from curve_strategies import STRATEGIES, Curves, Strategy
from league_tables import TABLES, Table, r_table
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hpsearch.definition.draft import draft
from hpsearch.definition.study import StudyDefinition
from hpsearch.model.bundle import Bundle
from hpsearch.model.retrain import fit_prepared
from hpsearch.search.objective import Prepared, TrialTask, evaluate, prepare
from hpsearch.seeds import keyed_seed
from hpsearch.validation.config import Config
from hpsearch.validation.cross_validate import cross_validate

SEED = 1
CONFIGS = 300
LOCKED_SHARE = 0.25
TO_THE_END = ["search.patience=1"]  # what a replay ends, the table has whole
SHIPPED = Path(__file__).parents[2] / "studies"

TrueLoss = Callable[[Bundle], float]


def _of_case(name: str, folder: Path, seed: int, overrides: Sequence[str]) -> tuple[Prepared, TrueLoss]:
    definition = honesty.define(honesty.CASES[name], seed, folder).with_overrides(overrides)
    return prepare(definition), honesty.Truth(honesty.CASES[name], seed).loss


def _of_table(table: Table, folder: Path, seed: int, overrides: Sequence[str]) -> tuple[Prepared, TrueLoss]:
    path = folder / "rows.csv"
    table.load().to_csv(path, index=False)
    raw: dict[str, Any] = tomlkit.parse(draft(path, table.target, path.name, "study.toml", "curves").text).unwrap()
    raw["study"]["seed"] = seed
    raw["holdout"] = {"fraction": LOCKED_SHARE}
    return _locked(prepare(StudyDefinition.from_mapping(raw, folder).with_overrides(overrides)))


def _of_shipped(name: str, folder: Path, seed: int, overrides: Sequence[str]) -> tuple[Prepared, TrueLoss]:
    settings = [f"study.seed={seed}", *overrides] if seed != SEED else overrides  # theirs is as they are shipped
    return _locked(prepare(StudyDefinition.from_file(SHIPPED / f"{name}.toml", settings)))


def _locked(prepared: Prepared) -> tuple[Prepared, TrueLoss]:
    held_out = prepared.held_out
    assert held_out is not None  # all of these studies have some
    return prepared, lambda model: float(model.row_losses(held_out).mean())


@dataclass(frozen=True)
class Source:
    """Where a table's study comes from.

    Attributes:
        role: what the table is for.
        of_seed: the study of a seed, in a folder for its rows, with keys of its file that are other ones; and what the
            model that it ships truly loses.
    """

    role: Literal["develop", "judge"]
    of_seed: Callable[[Path, int, Sequence[str]], tuple[Prepared, TrueLoss]]

    def prepare(self, folder: Path) -> tuple[Prepared, TrueLoss]:
        """The study whose configurations are trained."""
        return self.of_seed(folder, SEED, TO_THE_END)


_R = {
    "olive": r_table("dslabs", "olive", "area", True),
    "solder": r_table("rpart", "solder", "skips", False),
    "OJ": r_table("ISLR", "OJ", "Purchase", True),
    "SaratogaHouses": r_table("mosaicData", "SaratogaHouses", "price", False),
    "WVS": r_table("carData", "WVS", "poverty", True),
    "spam7": r_table("DAAG", "spam7", "yesno", True),
    "twoyear": r_table("wooldridge", "twoyear", "lwage", False),
}
_CASES = ("hard-spiral", "easy-spiral", "blobs", "rare", "groups", "friedman", "heavy", "three-help")
_LEAGUE = ("fgl", "Hitters", "penguins", "Carseats", "breast_cancer", "concrete", "attrition")
_SHIPPED = ("spiral", "vertical", "digits", "wine", "diabetes")
SOURCES: dict[str, Source] = {
    **{name: Source("develop", partial(_of_case, name)) for name in _CASES},
    **{name: Source("develop", partial(_of_table, table)) for name, table in _R.items()},
    **{name: Source("judge", partial(_of_shipped, name)) for name in _SHIPPED},
    **{name: Source("judge", partial(_of_table, TABLES[name])) for name in _LEAGUE},
}


# ---------------------------------------------------------------- training


def make(folder: Path, tables: list[str], configs: int) -> None:
    """Train what is not in the folder yet."""
    for table in tables:
        place = folder / table
        wanted = [number for number in range(configs) if not _file(place, number).exists()]
        if not wanted:
            continue
        place.mkdir(parents=True, exist_ok=True)
        began = time.process_time()
        with TemporaryDirectory() as rows, threadpool_limits(1):
            prepared, true_loss = SOURCES[table].prepare(Path(rows))
            (place / "about.json").write_text(json.dumps(about(prepared)), encoding="utf-8")
            measure(prepared, chosen(prepared.definition, 0), true_loss)  # the first has what is done once
            for number in wanted:
                values = measure(prepared, chosen(prepared.definition, number), true_loss)
                unfinished = place / "unfinished.npz"
                np.savez_compressed(unfinished, **values)
                unfinished.replace(_file(place, number))
        seconds = time.process_time() - began
        print(f"{table}: {len(wanted)} configurations in {seconds:.0f} s of CPU", file=sys.stderr, flush=True)


def _file(place: Path, number: int) -> Path:
    return place / f"{number:04d}.npz"


def about(prepared: Prepared) -> dict[str, Any]:
    """What a replay needs of a study."""
    definition = prepared.definition
    return {
        "epochs": definition.most_epochs,
        "evaluate_every": definition.evaluate_every,
        "rows": prepared.search.rows,
        "features": prepared.search.features.shape[1],
        "space": {name: dimension.describe() for name, dimension in definition.space.dimensions.items()},
        "layout": prepared.layout().splits.tolist(),
    }


def chosen(definition: StudyDefinition, number: int) -> dict[str, Any]:
    """The hyperparameters of a configuration."""
    values: dict[str, Any] = {}
    for name in definition.space.names:
        if definition.space.exists(name, values, definition.train):
            values[name] = definition.space.dimensions[name].at(_unit(number, name))
    return values


def _unit(number: int, name: str) -> float:
    """Where in a hyperparameter's range a configuration is, from 0 to 1."""
    return float(np.random.default_rng(keyed_seed(SEED, number, name)).random())


def portfolio(folder: Path, tables: Sequence[str], size: int) -> list[dict[str, Any]]:
    """The configurations that did best on tables whose spaces are alike but for their ranges.

    Values of hidden layers and of choices; of ranges, how far up they are.
    """
    developed = [Curves.load(folder / name) for name in tables if (folder / name / "0000.npz").exists()]
    found = []
    for number in map(int, replays.taught(developed[0], developed).portfolio[:size]):
        with np.load(_file(folder / developed[0].name, number)) as arrays:
            values = json.loads(str(arrays["chosen"]))
        named = {name: value for name, value in values.items() if isinstance(value, str) or name == "hidden_layers"}
        found.append(named | {name: round(_unit(number, name), 2) for name in values if name not in named})
    return found


def measure(prepared: Prepared, values: dict[str, Any], true_loss: TrueLoss) -> dict[str, Any]:
    """What is kept of a configuration."""
    config, clock = prepared.definition.config(values), [time.process_time()]
    # A trial that knows of no other is stopped by no pruner.
    result = evaluate(prepared, TrialTask(0, values), lambda epoch, mean: clock.append(time.process_time()))
    seconds = np.diff(clock).cumsum()
    early = _early(prepared, config)
    complete = result.rows is not None
    epochs = np.array([*(epoch for epoch, *_ in early), *result.epochs])
    kept = {
        "chosen": json.dumps(values),
        "epochs": epochs,
        "of_study": np.arange(len(epochs)) >= len(early),
        "objective": np.array([*(objective for _, objective, _ in early), *result.validation_loss]),
        "losses": np.zeros((0, 0), np.float32),
        "seconds": np.concatenate([seconds[0] * epochs[: len(early)] / result.epochs[0], seconds]),
        "value": np.nan if result.value is None else result.value,
        "best_epoch": result.best_epoch or 0,
        "truth": np.nan,
    }
    if complete and result.rows is not None:
        rows = [*(losses for *_, losses in early), *result.rows.losses]
        kept["losses"] = np.array(rows, dtype=np.float32)
        kept["truth"] = true_loss(fit_prepared(prepared, config.replaced({"epochs": result.best_epoch})))
    return kept


def _early(prepared: Prepared, config: Config) -> list[tuple[int, list[float], NDArray[Any]]]:
    """Epoch, losses of the splits and of the rows, at checkpoints before the study's first; none if it diverges."""
    first = min(prepared.definition.evaluate_every, config.epochs)
    every = max(1, first // 10)
    last = (first - 1) // every * every
    if not last:
        return []
    short, scalings = config.replaced({"epochs": last}), prepared.scalings[config.scaling]
    seed = prepared.definition.seed
    found = cross_validate(prepared.search, prepared.splits, short, seed, scalings=scalings, evaluate_every=every)
    if found.rows is None:
        return []
    return [*zip(found.curve.epochs, found.curve.objective, found.rows.losses, strict=True)]


def _names(given: list[str]) -> Iterator[str]:
    """Tables by their own names or those of their roles."""
    for name in given:
        yield from (table for table, source in SOURCES.items() if name in (table, source.role))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    making = commands.add_parser("make", help="train what is not there yet")
    replaying = commands.add_parser("replay", help="compare strategies on what is there")
    showing = commands.add_parser("portfolio", help="show what did best")
    showing.add_argument("folder", type=Path)
    showing.add_argument("--size", type=int, default=15, metavar="N")
    transferring = commands.add_parser("transfer", help="begin with what was best elsewhere")
    transferring.add_argument("folder", type=Path)
    transferring.add_argument("--seeds", type=int, default=20, metavar="N", help="orders of each table")
    for command in (making, replaying):
        command.add_argument("folder", type=Path)
        about_tables = ", ".join(["develop", "judge", *SOURCES])
        command.add_argument("--tables", nargs="+", default=["develop"], metavar="NAME", help=about_tables)
    making.add_argument("--configs", type=int, default=CONFIGS, metavar="N")
    replaying.add_argument("--strategies", nargs="+", default=[""], metavar="TEXT", help="those whose names have it")
    replaying.add_argument("--seeds", type=int, default=20, metavar="N", help="orders of each table")
    replaying.add_argument("--trials", type=int, default=60, metavar="N", help="of a search")
    replaying.add_argument(
        "--overhead", type=float, nargs="+", default=[0.0, 0.02], metavar="SECONDS", help="of each configuration begun"
    )
    replaying.add_argument("--each", action="store_true", help="each table's ratios too")
    given = parser.parse_args()
    if given.what == "portfolio":
        for line in portfolio(given.folder, [*_names(["develop"])], given.size):
            print(line)
        return
    if given.what == "transfer":
        print(transferred(given.folder, given.seeds))
        return
    tables = [*dict.fromkeys(_names(given.tables))]
    if given.what == "make":
        make(given.folder, tables, given.configs)
        return
    chosen = {name: of for name, of in STRATEGIES.items() if any(text in name for text in given.strategies)}
    print(replayed(given.folder, tables, chosen, given.seeds, given.trials, given.overhead, given.each))


def replayed(
    folder: Path,
    names: Sequence[str],
    strategies: Mapping[str, Strategy],
    seeds: int,
    trials: int,
    overheads: Sequence[float],
    each: bool,
) -> str:
    """The tables of a replay, in Markdown. What other tables tell is told by those to develop with, without the one
    that is searched; so there must be two of them."""
    there = [name for name, source in SOURCES.items() if name in names or source.role == "develop"]
    loaded = {name: Curves.load(folder / name) for name in there if (folder / name / "0000.npz").exists()}
    developed = [of for name, of in loaded.items() if SOURCES[name].role == "develop"]
    mine = [
        replays.taught(curves, [of for of in developed if of is not curves])
        for name, curves in loaded.items()
        if name in names
    ]
    frame = replays.replay(
        mine, strategies, seeds, overheads, trials, lambda name: print(name, file=sys.stderr, flush=True)
    )
    parts = []
    for overhead, of in frame.groupby("overhead"):
        tables = {"strategies": replays.summary(of)} | ({"by table": replays.by_table(of)} if each else {})
        parts += [
            honesty.markdown(table.map("{:.3g}".format), f"{title}, {overhead:g} s") for title, table in tables.items()
        ]
    return "\n\n".join(parts)


def transferred(folder: Path, seeds: int) -> str:
    """The summary of `transfer`, in Markdown: a row for each number of earlier studies."""
    spaces: dict[str, list[Curves]] = {}
    for name in SOURCES:
        if (folder / name / "0000.npz").exists():
            space = json.dumps(json.loads((folder / name / "about.json").read_text(encoding="utf-8"))["space"])
            spaces.setdefault(space, []).append(Curves.load(folder / name))
    tables = max(spaces.values(), key=len)
    rows = {}
    for sources in dict.fromkeys([1, 3, len(tables) - 1]):
        found = replays.transfer(tables, sources, seeds)
        ratios = found["begun"] / found["alone"]
        rows[f"{sources} of {len(tables)} tables"] = {
            "at most half the trials": float((ratios <= 0.5).mean()),
            "at most 1.1 times": float((ratios <= 1.1).mean()),
            "worst": float(ratios.max()),
            "geometric mean": float(np.exp(np.log(ratios).mean())),
            "missed": float(found["misses"].mean()),
        }
    return honesty.markdown(pd.DataFrame.from_dict(rows, orient="index").map("{:.2f}".format), "begun with")


if __name__ == "__main__":
    main()
