"""One whole study with one way to train, in a process of its own: ``python study_f.py WHO SEED``.

Prints one JSON object: the best value, and for each trial in the order of its end the seconds since the process began
and its value; for ``hpsearch`` also when everything was imported and the first trial could start.

The study: the spiral, 5 folds × 1,000 full-batch epochs a trial, TPE over neurons, learning rate, decay and L2.
``hpsearch`` is the command's own path with a file database; the others are what a user would write around Optuna, with
a study in memory.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TRIALS, EPOCHS, EVERY = 60, 1000, 50
DEFINITION = f"""
[study]
name = "f"
seed = SEED

[data]
source = "nnfs:spiral"

[train]
epochs = {EPOCHS}
evaluate_every = {EVERY}

[space]
neurons = {{ int = [8, 256], log = true }}
learning_rate = {{ float = [1e-3, 1e-1], log = true }}
decay = {{ float = [1e-7, 1e-2], log = true }}
weight_l2 = {{ float = [1e-7, 1e-2], log = true }}

[search]
trials = {TRIALS}
pruner = "PRUNER"
"""


@dataclass
class Clock:
    """When trials ended; ``begun`` is the start of the process, so imports count."""

    begun: float
    started: float | None = None
    ends: list[tuple[float, float | None]] = field(default_factory=list)

    def tell(self, value: float | None) -> None:
        self.ends.append((time.time() - self.begun, value))

    def answer(self) -> dict[str, Any]:
        return {
            "seconds": time.time() - self.begun,
            "started": self.started,
            "best": min(value for _, value in self.ends if value is not None),
            "ends": self.ends,
        }


def ours(clock: Clock, seed: int, pruner: str = "none", workers: int = 1) -> None:
    import hpsearch

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.toml"
        path.write_text(DEFINITION.replace("SEED", str(seed)).replace("PRUNER", pruner), encoding="utf-8")

        def watch(progress: Any) -> None:
            clock.started = clock.started or time.time() - clock.begun
            for result in progress.results[len(clock.ends) :]:
                clock.tell(result.value)

        hpsearch.run(path, storage=f"sqlite:///{folder}/f.db", workers=workers, watch=watch)


@dataclass(frozen=True)
class Rows:
    """The same rows and splits for everyone: standardised features and labels, (training, validation) of each fold."""

    folds: list[tuple[Any, Any, Any, Any]]
    inputs: int = 2
    classes: int = 3

    @classmethod
    def load(cls, seed: int) -> Rows:
        from hpsearch import StudyDefinition
        from hpsearch.search.objective import prepare
        from hpsearch.validation.lanes import fit_scalings

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "f.toml"
            path.write_text(DEFINITION.replace("SEED", str(seed)).replace("PRUNER", "none"), encoding="utf-8")
            prepared = prepare(StudyDefinition.from_file(path))
        data, splits = prepared.search, prepared.splits
        scalings = fit_scalings(data, [split.training for split in splits], "standard")
        return cls(
            [
                (
                    scaling.apply(data.features[split.training]),
                    data.labels[split.training],
                    scaling.apply(data.features[split.validation]),
                    data.labels[split.validation],
                )
                for scaling, split in zip(scalings, splits, strict=True)
            ]
        )

    def initial(self, neurons: int, fold: int) -> list[Any]:
        """Weights above biases of both layers: N(0, 1) · 0.01 and 0."""
        import numpy as np

        draw = np.random.default_rng([neurons, fold])
        shapes = [(self.inputs, neurons), (neurons, self.classes)]
        return [np.vstack([0.01 * draw.standard_normal(shape), np.zeros(shape[1])]) for shape in shapes]


def with_optuna(clock: Clock, seed: int, objective: Callable[[dict[str, Any]], float]) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def of_trial(trial: optuna.Trial) -> float:
        value = objective(
            {
                "neurons": trial.suggest_int("neurons", 8, 256, log=True),
                "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True),
                "decay": trial.suggest_float("decay", 1e-7, 1e-2, log=True),
                "l2": trial.suggest_float("weight_l2", 1e-7, 1e-2, log=True),
            }
        )
        clock.tell(value)
        return value

    optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed)).optimize(of_trial, n_trials=TRIALS)


def textbook(clock: Clock, seed: int) -> None:
    import numpy as np
    from textbook import Adam, Textbook

    rows = Rows.load(seed)

    def objective(chosen: dict[str, Any]) -> float:
        curves = []
        for fold, (x, y, validation_x, validation_y) in enumerate(rows.folds):
            optimizer = Adam(chosen["learning_rate"], chosen["decay"])
            network, draw = Textbook(rows.initial(chosen["neurons"], fold), chosen["l2"], optimizer), None
            curve = []
            for _ in range(EPOCHS // EVERY):
                network.train(x, y, EVERY, None, draw)  # type: ignore[arg-type]
                curve.append(network.loss(validation_x, validation_y))
            curves.append(curve)
        return float(np.mean(curves, axis=0).min())

    with_optuna(clock, seed, objective)


def scikit_learn(clock: Clock, seed: int) -> None:
    """Less work than the others: scored after the last epoch only, and without decay, which its Adam has not."""
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = Rows.load(seed)

    def objective(chosen: dict[str, Any]) -> float:
        losses = []
        for x, y, validation_x, validation_y in rows.folds:
            network = MLPClassifier(
                (chosen["neurons"],),
                alpha=2 * chosen["l2"] * len(y),
                batch_size=len(y),
                learning_rate_init=chosen["learning_rate"],
                max_iter=EPOCHS,
                n_iter_no_change=EPOCHS + 1,
                tol=0,
                random_state=seed,
            )
            network.fit(x.astype(np.float32), y)
            losses.append(log_loss(validation_y, network.predict_proba(validation_x.astype(np.float32))))
        return float(np.mean(losses))

    with_optuna(clock, seed, objective)


def jax(clock: Clock, seed: int) -> None:
    import jax as library
    import jax.numpy as jnp
    import numpy as np
    from peers import jax_loss, jax_program, jax_start

    rows = Rows.load(seed)
    x, y, validation_x, validation_y = (
        jnp.asarray(np.stack([fold[part] for fold in rows.folds]), jnp.int32 if part % 2 else jnp.float32)
        for part in range(4)
    )
    train, score = jax_program(None), library.jit(library.vmap(jax_loss))

    def objective(chosen: dict[str, Any]) -> float:
        initial = [rows.initial(chosen["neurons"], fold) for fold in range(len(rows.folds))]
        matrices = [jnp.asarray(np.stack(layer), jnp.float32) for layer in zip(*initial, strict=True)]
        state, curve = jax_start(matrices), []
        for _ in range(EPOCHS // EVERY):
            state = train(state, x, y, chosen["learning_rate"], EVERY, chosen["decay"], chosen["l2"])
            curve.append(float(score(state[0], validation_x, validation_y).mean()))
        return min(curve)

    with_optuna(clock, seed, objective)


WHO: dict[str, tuple[str, str, Callable[[Clock, int], None]]] = {
    "hpsearch": ("hpsearch", "numpy", ours),
    "textbook": ("textbook loop + Optuna", "numpy", textbook),
    "scikit-learn": ("MLPClassifier + Optuna", "sklearn", scikit_learn),
    "jax": ("JAX + Optuna", "jax", jax),
    "hpsearch-fast": (
        "hpsearch, percentile pruner, 2 workers",
        "numpy",
        lambda clock, seed: ours(clock, seed, "percentile", 2),
    ),
}

if __name__ == "__main__":
    began = time.time()
    with open("/proc/self/stat") as file, open("/proc/uptime") as up:  # the start of the process, not of this line
        import os

        ticks = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        began -= float(up.read().split()[0]) - ticks
    the_clock = Clock(began)
    WHO[sys.argv[1]][2](the_clock, int(sys.argv[2]))
    print(json.dumps(the_clock.answer()))
