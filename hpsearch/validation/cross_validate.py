"""Cross-validation of one configuration, all splits in lock-step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset
from hpsearch.data.matrix import is_large
from hpsearch.data.preprocess import Scaling
from hpsearch.data.splits import Split
from hpsearch.markup import learning_curve, text
from hpsearch.nn.passes import Evaluation, Evaluator
from hpsearch.nn.rows import PaddedRows
from hpsearch.nn.trainer import Checkpoint
from hpsearch.numbers import score_text
from hpsearch.validation.config import Config
from hpsearch.validation.estimates import Estimate, estimate
from hpsearch.validation.lanes import (
    SplitTraining,
    architecture_of,
    fit_scalings,
    repeats_of,
    validation_weights,
)
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import METRICS, objective_metric, shown
from hpsearch.validation.out_of_fold import OutOfFoldEnsemble
from hpsearch.validation.score import SCORE_NAMES, Scored, as_plain

Outcome = Literal["complete", "pruned", "diverged"]
CheckpointRule = Literal["best", "last"]
_Point = tuple[Checkpoint, Evaluation]
# Where repeats are trained one after the other, the predictions of all checkpoints are kept until the last has ended:
# of each row at most so many numbers, or the memory that is saved would go to them.
MOST_KEPT = 64


@dataclass(frozen=True)
class FoldResult(Scored):
    """One split at the chosen checkpoint; losses as of :class:`Checkpoint`, ``validation_loss`` without penalty.

    ``objective`` is None where that is the validation loss.
    """

    repeat: int
    fold: int
    training_rows: int
    validation_rows: int
    training_loss: float
    penalty: float
    validation_loss: float
    objective: float | None = None

    @property
    def value(self) -> float:
        """The objective."""
        return self.validation_loss if self.objective is None else self.objective

    def row(self) -> dict[str, Any]:
        """A row of a table."""
        values = as_plain(self)
        values["objective"] = values.pop("objective")  # the last column
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Curve:
    """What happened at every checkpoint: one list an epoch, one value a lane in it."""

    epochs: list[int] = field(default_factory=list)
    training_loss: list[list[float]] = field(default_factory=list)
    validation_loss: list[list[float]] = field(default_factory=list)
    objective: list[list[float]] = field(default_factory=list)

    def mean(self, place: int) -> float:
        """The mean objective over folds and repeats at a checkpoint."""
        return float(np.mean(self.objective[place]))

    @property
    def means(self) -> list[float]:
        """That of every checkpoint: the intermediate values."""
        return [self.mean(place) for place in range(len(self.objective))]


@dataclass(frozen=True)
class RowResults:
    """What became of every validation row: M in all, those of split 0 first, then those of split 1, and so on.

    Attributes:
        losses: (T, M) at each of T checkpoints: float32, but float64 of a regression, whose unit may be of any size.
        predictions: at the chosen checkpoint (M, C) float32, the probability of each class, or (M, 1) float64.
        values: (T, M, …), what the objective is computed from, see :meth:`Metric.row_values`; None where that is the
            losses.
    """

    losses: NDArray[Any]
    predictions: NDArray[Any]
    values: NDArray[Any] | None = None

    @property
    def of_objective(self) -> NDArray[Any]:
        """What the objective is computed from, at each checkpoint."""
        return self.losses if self.values is None else self.values


@dataclass(frozen=True, kw_only=True)
class EnsembleCurve(Scored):
    """The out-of-fold ensemble of a cross-validation, see :class:`OutOfFoldEnsemble`.

    Attributes:
        objective: over all rows together, at every checkpoint.
        loss: the mean loss over rows, likewise.
        score: accuracy or R² at the checkpoint that the ensemble's objective chooses.
    """

    objective: list[float]
    loss: list[float]


@dataclass(frozen=True)
class CrossValidation(Scored):
    """The outcome of cross-validating one configuration.

    Attributes:
        outcome: ``complete``, ``pruned`` or ``diverged``.
        value: the mean over splits of the objective, at the chosen checkpoint; None unless complete.
        score: the mean over splits of the accuracy or of R²; likewise, and None where a split has none.
        best_epoch: the epoch of the chosen checkpoint, one for all folds; likewise.
        folds: one a split, at the chosen checkpoint; empty unless complete.
        curve: every checkpoint up to the end.
        parameters: weights and biases of one network.
        reason: why it did not complete.
        rows: what became of every validation row; None unless complete. With ``ensemble``, of each row by the
            ensemble.
        ensemble: the out-of-fold ensemble, where it chose the checkpoint.
        objective: the name of the objective, of ``METRICS``.
        loss_name: of what the networks' training descends.
    """

    outcome: Outcome
    value: float | None
    best_epoch: int | None
    folds: tuple[FoldResult, ...]
    curve: Curve
    parameters: int
    reason: str | None = None
    rows: RowResults | None = field(default=None, repr=False, compare=False)
    ensemble: EnsembleCurve | None = None
    objective: str = "loss"
    loss_name: str = "cross_entropy"

    def __repr__(self) -> str:
        over = f"Cross-validation on {len(self.curve.training_loss[0]) if self.curve.epochs else 0} splits"
        if self.value is None:
            return f"{over}: {self.reason}"
        sure, metric = self.estimate, self.metric
        between = ""
        if sure is not None and sure.low is not None and sure.high is not None:
            between = f", 95 % interval {shown(sure.low, metric)} to {shown(sure.high, metric)}"
        score = (
            ""
            if self.score is None or self.objective == self.score_name
            else f", {METRICS[self.score_name].title} {score_text(self.score)}"
        )
        value = f"{metric.title_of_mean} {shown(self.value, metric)}{between}"
        return f"{over}: {value}{score}, at epoch {self.best_epoch}"

    def _repr_html_(self) -> str:
        losses = self.curve.training_loss, self.curve.validation_loss
        curve = learning_curve("the configuration", self.curve.epochs, *losses, self.best_epoch)
        return f"<p>{text(repr(self))}</p>{curve}"

    @property
    def metric(self) -> Metric:
        """The objective."""
        return objective_metric(self.objective, self.loss_name)

    @property
    def estimate(self) -> Estimate | None:
        """How sure the mean objective is; None unless complete.

        It holds for a configuration that was not selected by this very objective. What it leaves out: that the epoch
        was.
        """
        return self._estimate("value", self.metric)

    @property
    def estimate_of_loss(self) -> Estimate | None:
        """The same of the mean validation loss."""
        return self._estimate("validation_loss", METRICS["loss"])  # whichever: no loss is below 0

    def _estimate(self, column: str, metric: Metric) -> Estimate | None:
        if self.outcome != "complete":
            return None
        columns = (column, "training_rows", "validation_rows")
        sure = estimate(*([getattr(fold, name) for fold in self.folds] for name in columns))
        if sure.low is None or sure.high is None:
            return sure
        low, high = metric.bounded(sure.low, sure.high)
        return replace(sure, low=low, high=high)


def cross_validate(
    data: Dataset,
    splits: Sequence[Split],
    config: Config,
    study_seed: int,
    *,
    scalings: Sequence[Scaling] | None = None,
    evaluate_every: int | None = None,
    rule: CheckpointRule = "best",
    objective: str = "loss",
    by_ensemble: bool = False,
    should_stop: Callable[[int, float], bool] = lambda epoch, mean: False,
    patience: float | None = None,
    stops: bool = True,
    keep_losses: bool = True,
) -> CrossValidation:
    """Train one network a split, all in lock-step, and validate them at every checkpoint.

    Args:
        data: the rows that the splits index.
        splits: the lanes, in this order.
        config: shared by all lanes.
        study_seed: initial weights and batch order follow from it, the repeat and the split; not from ``config``.
        scalings: what ``config.scaling`` learns from each split's training rows, if that is known already.
        evaluate_every: epochs between checkpoints; ``config``'s own if None.
        rule: the chosen checkpoint: ``best``, where the mean objective is, or ``last``.
        objective: of ``METRICS``; it must be defined on the validation rows of each split.
        by_ensemble: let the objective of the out-of-fold ensemble choose the checkpoint, not the mean over splits.
        should_stop: told every checkpoint's epoch and mean objective; True prunes.
        patience: share of the epochs after which the training is complete if none of them was better than the chosen
            checkpoint so far; None if it goes on to the last epoch.
        stops: False where it never does. Then repeats of many rows are trained one after the other, in a fraction of
            the memory, and it is told of each by itself.
        keep_losses: keep every row's loss at each checkpoint; without, ``rows`` has none.
    """
    loss_name = config.loss_name(data.task)
    metric = objective_metric(objective, loss_name)
    training = [split.training for split in splits]
    scalings = scalings or fit_scalings(data, training, config.scaling, study_seed=study_seed)
    architecture = architecture_of(config, len(scalings[0].centre), len(data.class_names))
    every = evaluate_every or config.checkpoint_epochs
    longest = max(len(split.validation) for split in splits)
    counted = validation_weights(data, len(splits))
    validation = PaddedRows.pad([split.validation for split in splits], longest, counted)
    of_objective = None if objective == "loss" else _SplitMetric(metric, validation, data)
    ensemble = OutOfFoldEnsemble(data, splits, architecture.head, metric) if by_ensemble else None

    def points(lanes: slice) -> Iterator[_Point]:
        """The checkpoints of some lanes, as they are trained."""
        sizes = [*map(len, training)]
        networks = SplitTraining.of(data, splits[lanes], config, study_seed, scalings[lanes], every, sizes)
        evaluator = Evaluator(architecture, networks.lanes, validation.only(lanes))
        for checkpoint in networks.run():
            yield checkpoint, evaluator.evaluate(networks.parameters)

    whole, in_turns = slice(0, len(splits)), False
    if not stops and is_large(*data.features.shape):
        in_turns = -(-config.epochs // every) * max(1, len(data.class_names)) <= MOST_KEPT
    trained = _in_turns(points, repeats_of(splits), should_stop, keep_losses) if in_turns else points(whole)
    curve, parameters = Curve(), architecture.network.size
    which: dict[str, Any] = {"objective": objective, "loss_name": loss_name, "score_name": SCORE_NAMES[data.task]}
    # Of classes float32 holds all there can be; a regression target may need its digits, and squares of any size.
    kept_type = np.float32 if data.task == "classification" else np.float64
    row_losses: list[NDArray[Any]] = []
    row_values: list[NDArray[Any]] = []
    chosen: tuple[float, Checkpoint, Evaluation] | None = None  # of the objective that chooses, the best so far
    for checkpoint, evaluation in trained:
        curve.epochs.append(checkpoint.epoch)
        curve.training_loss.append(checkpoint.training_loss.tolist())
        curve.validation_loss.append(evaluation.loss.tolist())
        if of_objective is None:
            curve.objective.append(curve.validation_loss[-1])
        elif np.isfinite(evaluation.loss).all():
            row_values.append(of_objective.row_values(evaluation))
            curve.objective.append(of_objective.of_splits(row_values[-1]))
        else:  # of the predictions of a network that diverged nothing can be computed
            curve.objective.append([float("nan")] * len(splits))
        if ensemble is None and keep_losses:
            row_losses.append(validation.flat(evaluation.row_losses.astype(kept_type)))
        reason = _divergence(splits, checkpoint, evaluation, config, metric.title, curve.objective[-1])
        if reason:
            return CrossValidation("diverged", None, None, (), curve, parameters, reason, **which)
        mean = curve.mean(-1)
        value = mean if ensemble is None else ensemble.add(_flat_predictions(validation, evaluation))
        if chosen is None or rule == "last" or metric.sign * value < metric.sign * chosen[0]:
            chosen = value, checkpoint, evaluation
        idle = (checkpoint.epoch - chosen[1].epoch) / config.epochs
        ended = checkpoint.epoch == config.epochs or (patience is not None and idle >= patience)
        if not in_turns and should_stop(checkpoint.epoch, mean) and not ended:
            reason = pruned_reason(checkpoint.epoch, mean, metric)
            return CrossValidation("pruned", None, None, (), curve, parameters, reason, **which)
        if ended:
            break
    del trained  # of a training that has not come to its last epoch all arrays would stay
    assert chosen is not None  # the last epoch is always a checkpoint
    _, checkpoint, evaluation = chosen
    at = curve.epochs.index(checkpoint.epoch)
    objectives = None if of_objective is None else curve.objective[at]
    scored = _SplitMetric(METRICS[which["score_name"]], validation, data)
    scores = scored.of_splits(scored.row_values(evaluation))
    folds = _fold_results(splits, checkpoint, evaluation, scores, objectives, which["score_name"])
    score = float(np.mean(scores)) if np.isfinite(scores).all() else None
    predictions, of_ensemble = _flat_predictions(validation, evaluation), None
    del evaluation, chosen  # of many rows and lanes they take as much memory again
    if ensemble is not None:
        predictions = ensemble.average(predictions)
        row_losses = [losses.astype(kept_type) for losses in ensemble.row_losses]
        row_values = [] if objective == "loss" else ensemble.row_values
        ensemble_score = ensemble.score(predictions, METRICS[which["score_name"]])
        of_ensemble = EnsembleCurve(
            objective=ensemble.objective,
            loss=ensemble.loss,
            score=ensemble_score if np.isfinite(ensemble_score) else None,
            score_name=which["score_name"],
        )
    values = np.stack(row_values) if row_values else None
    losses = np.stack(row_losses) if row_losses else np.empty((0, len(predictions)), kept_type)
    rows = RowResults(losses, predictions.astype(kept_type, copy=False), values)
    complete = (curve.mean(at), checkpoint.epoch, folds, curve, parameters)
    return CrossValidation("complete", *complete, rows=rows, ensemble=of_ensemble, score=score, **which)


def _in_turns(
    points: Callable[[slice], Iterator[_Point]],
    groups: Sequence[slice],
    told: Callable[[int, float], object],
    keep_losses: bool,
) -> Iterator[_Point]:
    """The checkpoints of all lanes, which are trained one group after the other; ``told`` is told their mean losses."""
    trained: list[list[_Point]] = []
    for lanes in groups:
        trained.append([])
        for checkpoint, evaluation in points(lanes):
            losses = evaluation.row_losses if keep_losses else evaluation.row_losses[:, :0].copy()
            trained[-1].append((checkpoint, replace(evaluation, row_losses=losses)))
            told(checkpoint.epoch, float(np.mean(evaluation.loss)))
    while trained[0]:
        yield _joined([of_group.pop(0) for of_group in trained])


def _joined(points: Sequence[_Point]) -> _Point:
    """A checkpoint of several groups of lanes, as that of all."""

    def all_of(parts: Sequence[object], *names: str) -> dict[str, Any]:
        return {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}

    checkpoints, evaluations = zip(*points, strict=True)
    return (
        replace(checkpoints[0], **all_of(checkpoints, "learning_rate", "training_loss", "penalty")),
        Evaluation(**all_of(evaluations, "row_losses", "predictions", "loss")),
    )


def _flat_predictions(validation: PaddedRows, evaluation: Evaluation) -> NDArray[Any]:
    """(M, A), the validation rows of split 0 first."""
    return validation.flat(evaluation.predictions.swapaxes(1, 2))


class _SplitMetric:
    """A metric of every split, computed from what is stored of every row, as the correction does."""

    def __init__(self, metric: Metric, validation: PaddedRows, data: Dataset) -> None:
        self._metric, self._validation, self._classes = metric, validation, len(data.class_names)
        rows = validation.flat(validation.index)
        self._labels = data.labels[rows]
        self._weights = np.broadcast_to(1.0, len(rows)) if data.weights is None else data.weights[rows]
        self._ends = np.cumsum(validation.counts)

    def row_values(self, evaluation: Evaluation) -> NDArray[Any]:
        """What is stored of every validation row, (M, …)."""
        return self._metric.row_values(self._labels, _flat_predictions(self._validation, evaluation))

    def of_splits(self, values: NDArray[Any]) -> list[float]:
        """One value a split; nan where it is undefined."""
        return [
            self._metric.resampled(
                values[np.newaxis, end - count : end],
                self._labels[end - count : end],
                self._classes,
                self._weights[np.newaxis, end - count : end],
            ).item()
            for end, count in zip(self._ends, self._validation.counts, strict=True)
        ]


def pruned_reason(epoch: int, mean: float, metric: Metric) -> str:
    """Why a trial was pruned, in words."""
    return f"pruned at epoch {epoch}, mean {metric.title} {mean:.4g}"


def _divergence(
    splits: Sequence[Split],
    checkpoint: Checkpoint,
    evaluation: Evaluation,
    config: Config,
    title: str,
    objective: Sequence[float],
) -> str | None:
    """The first split and the first number of it that is no longer finite: a loss, or the objective of this title."""
    watched: dict[str, Any] = {
        "validation loss": evaluation.loss,
        "training loss": checkpoint.training_loss,
        "penalty": checkpoint.penalty,
        title: np.asarray(objective),
    }
    for what, values in watched.items():
        for lane in np.flatnonzero(~np.isfinite(values))[:1]:
            repeated = f" of repeat {splits[lane].repeat}" if splits[-1].repeat else ""
            return (
                f"the {what} of fold {splits[lane].fold}{repeated} became {values[lane]} at epoch {checkpoint.epoch} "
                f"(optimizer={config.optimizer!r}, learning_rate={config.learning_rate:.3g})"
            )
    return None


def _fold_results(
    splits: Sequence[Split],
    checkpoint: Checkpoint,
    evaluation: Evaluation,
    scores: Sequence[float],
    objectives: Sequence[float] | None,
    score_name: str,
) -> tuple[FoldResult, ...]:
    return tuple(
        FoldResult(
            split.repeat,
            split.fold,
            len(split.training),
            len(split.validation),
            float(checkpoint.training_loss[lane]),
            float(checkpoint.penalty[lane]),
            float(evaluation.loss[lane]),
            None if objectives is None else objectives[lane],
            score=scores[lane] if np.isfinite(scores[lane]) else None,
            score_name=score_name,
        )
        for lane, split in enumerate(splits)
    )
