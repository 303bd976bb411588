"""A study's baselines: what simple models score on its splits, beside the networks that are shipped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpsearch.arrays import Array
from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import Split
from hpsearch.errors import StorageError
from hpsearch.search.finals import Choice, choose, finals
from hpsearch.search.objective import Prepared
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult, best_result
from hpsearch.threads import one_thread
from hpsearch.validation.baselines import BASELINES, Baseline, predict_out_of_fold
from hpsearch.validation.layout import Layout
from hpsearch.validation.metric import Metric
from hpsearch.validation.paired import Scores, paired_difference

_ATTRIBUTE = "baselines"  # of the study
# A baseline is left out where its fits would take longer than this share of the search, by what both have to compute,
# but not while they take less than so many seconds.
SHARE, _TOO_LONG = 0.25, "its fits would take longer than a quarter of the search"
ALWAYS_SECONDS = 0.3
# Numbers that a baseline may be fitted to: 256 MiB, of which its package makes copies.
MOST_NUMBERS, _TOO_MANY = 2**25, "its fits would take several times the memory of the rows"
# What a search takes on one core, as measured: a step, and its multiplications.
_SECONDS_OF_A_STEP, _SECONDS_OF_A_PRODUCT = 1.5e-4, 2.5e-10


@dataclass(frozen=True)
class Compared:
    """A baseline beside the networks that are shipped.

    Attributes:
        name: of ``BASELINES``.
        title: what it is called.
        value: its objective, out of fold; None where it was left out.
        difference: the networks' objective minus its, on the same rows.
        half: half of the interval of that; None where it cannot be told.
        missing: why it was left out; None where it was not.
    """

    name: str
    title: str
    value: float | None = None
    difference: float | None = None
    half: float | None = None
    missing: str | None = None

    @property
    def phrase(self) -> str:
        """What it is called within a sentence."""
        return f"the {self.title}" if self.name == "constant" else self.title

    def verdict(self, metric: Metric) -> str | None:
        """Of the networks: ``better``, ``worse``, or ``alike`` where rows cannot tell; None where nothing is known."""
        if self.difference is None or self.half is None:
            return None
        gain = -metric.sign * self.difference
        return "alike" if abs(gain) <= self.half else "better" if gain > 0 else "worse"


@dataclass(frozen=True)
class Comparison:
    """The networks that are shipped beside all baselines.

    Attributes:
        trial: whose configuration is shipped.
        epoch: the chosen checkpoint's.
        of_ensemble: whether the networks are the finals' out-of-fold ensemble, or one a split.
        value: their objective, out of fold.
        units: independent rows or groups; None where rows follow each other in time.
        rows: that were predicted.
        class_names: of the data; none of a regression.
        told: how many trials had ended; of more, more baselines may be worth their time.
        baselines: in the order of ``BASELINES``.
    """

    trial: int
    epoch: int
    of_ensemble: bool
    value: float
    units: int | None
    rows: int
    class_names: tuple[str, ...]
    told: int
    baselines: tuple[Compared, ...]

    def shifted(self, value: float) -> Comparison:
        """The same with another objective of the networks, such as one without the luck of having been chosen."""
        by = value - self.value
        moved = [
            one if one.difference is None else replace(one, difference=one.difference + by) for one in self.baselines
        ]
        return replace(self, value=value, baselines=tuple(moved))

    def plain(self) -> dict[str, Any]:
        """As it is stored."""
        return {**vars(self), "class_names": list(self.class_names), "baselines": [vars(one) for one in self.baselines]}


def stored_comparison(stored: StoredStudy, trial: int, epoch: int, of_ensemble: bool) -> Comparison | None:
    """The comparison that is stored with a study, if it is of these networks.

    Raises:
        DamagedStudyError: it is not as it was stored.
    """
    known = stored.decoded(_ATTRIBUTE, Comparison)
    return known if known and (known.trial, known.epoch, known.of_ensemble) == (trial, epoch, of_ensemble) else None


def require_comparison(stored: StoredStudy) -> None:
    """
    Raises:
        DamagedStudyError: the comparison that is stored with the study is not as it was stored.
    """
    stored.decoded(_ATTRIBUTE, Comparison)


@dataclass(frozen=True)
class Shipped:
    """The out-of-fold predictions of the networks whose configuration is shipped.

    Attributes:
        trial, epoch, of_ensemble: see :class:`Comparison`.
        epochs: of every checkpoint.
        values: at each (T, M, …), what the objective is computed from.
        predictions: (M, C) or (M, 1), of the chosen checkpoint.
        layout: of the M positions.
    """

    trial: int
    epoch: int
    of_ensemble: bool
    epochs: Sequence[int]
    values: Array
    predictions: Array
    layout: Layout

    def scores(self, epoch: int) -> Scores:
        """What became of their rows at a checkpoint."""
        return Scores(self.values[list(self.epochs).index(epoch)], self.layout)


def shipped_predictions(stored: StoredStudy, result: TrialResult, final: Choice | None) -> Shipped:
    """What is known, row by row, of the networks that are shipped.

    Args:
        stored: the study.
        result: the chosen trial's.
        final: what the finals chose, if they did.

    Raises:
        StorageError: the per-row results are not there, or the trial is not complete.
    """
    ensemble = final is not None and final.of_ensemble
    if final is not None and ensemble:
        files, evaluated, epoch = stored.final_row_results, final.final, final.epoch
    else:
        if result.best_epoch is None:
            raise StorageError(
                f"trial {result.number} must be complete to have per-row results", "was pruned or failed"
            )
        files, evaluated, epoch = stored.row_results, result, result.best_epoch
    rows = files.of(evaluated)
    values, predictions = rows.of_objective, rows.predictions
    return Shipped(result.number, epoch, ensemble, evaluated.epochs, values, predictions, files.layout())


def store_comparison(prepared: Prepared, stored: StoredStudy, check_clock: Callable[[], None] = lambda: None) -> None:
    """Compare what is shipped with the baselines, and store it with the study; at once where that is done already.

    Args:
        prepared: the study with its rows.
        stored: the same in its storage, searched to its end; this process is its owner.
        check_clock: called before each fit; what it raises is raised, and then nothing is stored.
    """
    definition = prepared.definition
    trials = stored.trials()
    results = [stored_result(trial) for trial in trials if trial.state.is_finished()]
    final = choose(finals(stored, definition, trials), definition, definition.retrain.members > 1)
    best = best_result(results, definition.metric) if final is None else results[final.final.number]
    if best is None:
        return
    try:
        shipped = shipped_predictions(stored, best, final)
    except StorageError:
        return
    known = stored_comparison(stored, shipped.trial, shipped.epoch, shipped.of_ensemble)
    if known is None or known.told != len(results):
        chosen = [trial.params for trial in trials]
        limit = max(ALWAYS_SECONDS, SHARE * _seconds_of_search(prepared, results, chosen))
        found = compare(prepared, shipped, chosen[best.number], len(results), limit, check_clock)
        stored.refresh({_ATTRIBUTE: found.plain()})


def compare(
    prepared: Prepared,
    shipped: Shipped,
    chosen: Mapping[str, Any],
    told: int,
    limit: float = math.inf,
    check_clock: Callable[[], None] = lambda: None,
) -> Comparison:
    """What is shipped beside each baseline, on the same rows.

    The baselines have the study's splits, of the first repeat where there are several. An ensemble is judged on all
    rows together, and then so are they; else both are judged split by split.

    Args:
        prepared: the study with its rows.
        shipped: the networks.
        chosen: their trial's hyperparameters.
        told: how many trials have ended.
        limit: seconds of one core that the fits of a baseline may take, by what they have to compute.
        check_clock: called before each fit.
    """
    definition, data = prepared.definition, prepared.search
    metric, classes, loss = definition.metric, len(data.class_names), definition.loss
    splits = [split for split in prepared.splits if split.repeat == 0]
    layout = Layout.of(data, splits, definition.validation.splitter)
    if shipped.of_ensemble:
        layout = replace(layout, splits=np.zeros_like(layout.splits))
    own = shipped.scores(shipped.epoch)
    found = []
    for name, baseline in BASELINES.items():
        title = baseline.title(data.task, loss)
        missing, _ = _left_out(baseline, data, splits, limit)
        if missing is not None:
            found.append(Compared(name, title, missing=missing))
            continue
        try:
            with one_thread(), np.errstate(all="ignore"):
                predictions = predict_out_of_fold(
                    baseline, data, splits, definition.config(chosen), check_clock, definition.seed
                )
                scores = Scores(metric.row_values(layout.labels, predictions), layout)
                value = scores.whole(metric, classes)
                difference = paired_difference(own, scores, metric, classes, len(splits))
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):
            found.append(Compared(name, title, missing="it cannot be fitted to these rows"))
            continue
        if not math.isfinite(value) or not math.isfinite(difference.value):
            found.append(Compared(name, title, missing=f"its {metric.title} is undefined"))
            continue
        found.append(Compared(name, title, value, difference.value, difference.half))
    counted = shipped.layout.take(shipped.layout.counted())
    units = None if counted.units is None else len(np.unique(counted.units))
    return Comparison(
        shipped.trial,
        shipped.epoch,
        shipped.of_ensemble,
        own.whole(metric, classes),
        units,
        len(np.unique(counted.rows)),
        data.class_names,
        told,
        tuple(found),
    )


def _left_out(baseline: Baseline, data: Dataset, splits: Sequence[Split], limit: float) -> tuple[str | None, float]:
    """Why a baseline is left out, if it is, and what its fits take, by what they have to compute."""
    most, features = max(len(split.training) for split in splits), data.features.shape[1]
    seconds = len(splits) * baseline.seconds(most, features, len(data.class_names))
    if baseline.sees_features and most * features > MOST_NUMBERS:
        return _TOO_MANY, seconds
    return (_TOO_LONG if seconds > limit else None), seconds


def seconds_of_baselines(prepared: Prepared, of_search: float) -> float:
    """What the baselines take on one core, about, after trials of so many seconds."""
    limit = max(ALWAYS_SECONDS, SHARE * of_search)
    splits = [split for split in prepared.splits if split.repeat == 0]
    of_each = [_left_out(baseline, prepared.search, splits, limit) for baseline in BASELINES.values()]
    return sum(seconds for missing, seconds in of_each if missing is None)


def seconds_of_training(epochs: int, splits: Sequence[Split], batch_size: int | str, parameters: int) -> float:
    """What training one network a split takes on one core, about, by what it has to compute."""
    rows, most = sum(len(split.training) for split in splits), max(len(split.training) for split in splits)
    steps = 1 if isinstance(batch_size, str) else -(-most // batch_size)
    return epochs * (steps * _SECONDS_OF_A_STEP + rows * parameters * _SECONDS_OF_A_PRODUCT)


def _seconds_of_search(
    prepared: Prepared, results: Sequence[TrialResult], chosen: Sequence[Mapping[str, Any]]
) -> float:
    """What the trials took on one core, about, by what they had to compute, so that it is the same on every machine."""
    total = 0.0
    for result in results:
        size = prepared.definition.config(chosen[result.number]).batch_size
        epochs = result.epochs[-1] if result.epochs else 0
        total += seconds_of_training(epochs, prepared.splits, size, result.parameters)
    return total
