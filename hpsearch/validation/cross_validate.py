"""Cross-validation of one configuration, all splits in lock-step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch import seeds
from hpsearch.data.dataset import Dataset
from hpsearch.data.preprocess import Scaling
from hpsearch.data.splits import Split
from hpsearch.nn.network import initial_parameters
from hpsearch.nn.passes import Evaluation, Evaluator
from hpsearch.nn.rows import PaddedRows
from hpsearch.nn.trainer import Checkpoint
from hpsearch.validation.config import Config
from hpsearch.validation.estimates import Estimate, estimate
from hpsearch.validation.lanes import fit_scalings, lane_data, make_trainer

Outcome = Literal["complete", "pruned", "diverged"]
CheckpointRule = Literal["best", "last"]


@dataclass(frozen=True)
class FoldResult:
    """One split at the chosen checkpoint; losses in nats, ``validation_loss`` without penalty."""

    repeat: int
    fold: int
    training_rows: int
    validation_rows: int
    training_loss: float
    penalty: float
    validation_loss: float
    accuracy: float


@dataclass(frozen=True)
class Curve:
    """What happened at every checkpoint: one list an epoch, one value a lane in it."""

    epochs: list[int] = field(default_factory=list)
    training_loss: list[list[float]] = field(default_factory=list)
    validation_loss: list[list[float]] = field(default_factory=list)

    @property
    def means(self) -> list[float]:
        """The mean validation loss over folds and repeats at every checkpoint: the intermediate values."""
        return [float(np.mean(values)) for values in self.validation_loss]


@dataclass(frozen=True)
class RowResults:
    """What became of every validation row: M in all, those of split 0 first, then those of split 1, and so on.

    Attributes:
        losses: (T, M) float32, nats, at each of T checkpoints.
        probabilities: (M, C) float32, of each class, at the chosen checkpoint.
    """

    losses: NDArray[np.float32]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class CrossValidation:
    """The outcome of cross-validating one configuration.

    Attributes:
        outcome: ``complete``, ``pruned`` or ``diverged``.
        value: the mean validation loss at the chosen checkpoint; None unless complete.
        accuracy: the mean over splits of the share of validation rows whose class was predicted; likewise.
        best_epoch: the epoch of the chosen checkpoint, one for all folds; likewise.
        folds: one a split, at the chosen checkpoint; empty unless complete.
        curve: every checkpoint up to the end.
        parameters: weights and biases of one network.
        reason: why it did not complete.
        rows: what became of every validation row; None unless complete.
    """

    outcome: Outcome
    value: float | None
    accuracy: float | None
    best_epoch: int | None
    folds: tuple[FoldResult, ...]
    curve: Curve
    parameters: int
    reason: str | None = None
    rows: RowResults | None = field(default=None, repr=False, compare=False)

    @property
    def estimate(self) -> Estimate | None:
        """How sure the mean validation loss is; None unless complete.

        It holds for a configuration that was not selected by this very loss. What it leaves out: that the epoch was.
        """
        if self.outcome != "complete":
            return None
        columns = ("validation_loss", "training_rows", "validation_rows")
        sure = estimate(*([getattr(fold, name) for fold in self.folds] for name in columns))
        return sure if sure.low is None else replace(sure, low=max(0.0, sure.low))  # no loss is negative


def cross_validate(
    data: Dataset,
    splits: Sequence[Split],
    config: Config,
    study_seed: int,
    *,
    scalings: Sequence[Scaling] | None = None,
    evaluate_every: int | None = None,
    rule: CheckpointRule = "best",
    should_stop: Callable[[int, float], bool] = lambda epoch, mean: False,
) -> CrossValidation:
    """Train one network a split, all in lock-step, and validate them at every checkpoint.

    Args:
        data: the rows that the splits index.
        splits: the lanes, in this order.
        config: shared by all lanes.
        study_seed: initial weights and batch order follow from it, the repeat and the split; not from ``config``.
        scalings: what ``config.scaling`` learns from each split's training rows, if that is known already.
        evaluate_every: epochs between checkpoints; ``config``'s own if None.
        rule: the chosen checkpoint: ``best``, where the mean validation loss is lowest, or ``last``.
        should_stop: told every checkpoint's epoch and mean validation loss; True prunes.
    """
    training = [split.training for split in splits]
    lanes = lane_data(data, scalings or fit_scalings(data, training, config.scaling))
    trainer = make_trainer(config, lanes, training, evaluate_every or config.checkpoint_epochs)
    architecture = trainer.architecture
    longest = max(len(split.validation) for split in splits)
    validation = PaddedRows.pad([split.validation for split in splits], longest)
    evaluator = Evaluator(architecture, lanes, validation)

    def streams(stream: str) -> list[np.random.Generator]:
        return [seeds.generator(study_seed, stream, split.repeat, split.fold) for split in splits]

    params = initial_parameters(architecture.network, config.init, streams("weights"), architecture.dtype)
    curve, parameters = Curve(), architecture.network.size
    row_losses: list[NDArray[np.float32]] = []
    chosen: tuple[float, Checkpoint, Evaluation] | None = None
    for checkpoint in trainer.run(params, streams("batches")):
        evaluation = evaluator.evaluate(params)
        curve.epochs.append(checkpoint.epoch)
        curve.training_loss.append(checkpoint.training_loss.tolist())
        curve.validation_loss.append(evaluation.loss.tolist())
        row_losses.append(validation.flat(evaluation.row_losses.astype(np.float32)))
        reason = _divergence(splits, checkpoint, evaluation, config)
        if reason:
            return CrossValidation("diverged", None, None, None, (), curve, parameters, reason)
        mean = curve.means[-1]
        if chosen is None or rule == "last" or mean < chosen[0]:
            chosen = mean, checkpoint, evaluation
        if should_stop(checkpoint.epoch, mean) and checkpoint.epoch < config.epochs:
            reason = pruned_reason(checkpoint.epoch, mean)
            return CrossValidation("pruned", None, None, None, (), curve, parameters, reason)
    assert chosen is not None  # the last epoch is always a checkpoint
    value, checkpoint, evaluation = chosen
    folds = _fold_results(splits, data, validation, checkpoint, evaluation)
    accuracy = float(np.mean([fold.accuracy for fold in folds]))
    probabilities = validation.flat(evaluation.probabilities.swapaxes(1, 2).astype(np.float32))
    rows = RowResults(np.stack(row_losses), probabilities)
    return CrossValidation("complete", value, accuracy, checkpoint.epoch, folds, curve, parameters, rows=rows)


def pruned_reason(epoch: int, mean: float) -> str:
    """Why a trial was pruned, in words."""
    return f"pruned at epoch {epoch}, mean validation loss {mean:.4g}"


def _divergence(splits: Sequence[Split], checkpoint: Checkpoint, evaluation: Evaluation, config: Config) -> str | None:
    """The first split and the first loss of it that is no longer a finite number."""
    watched: dict[str, Any] = {
        "validation loss": evaluation.loss,
        "training loss": checkpoint.training_loss,
        "penalty": checkpoint.penalty,
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
    splits: Sequence[Split], data: Dataset, validation: PaddedRows, checkpoint: Checkpoint, evaluation: Evaluation
) -> tuple[FoldResult, ...]:
    correct = evaluation.probabilities.argmax(axis=1) == data.labels[validation.index]
    return tuple(
        FoldResult(
            split.repeat,
            split.fold,
            len(split.training),
            len(split.validation),
            float(checkpoint.training_loss[lane]),
            float(checkpoint.penalty[lane]),
            float(evaluation.loss[lane]),
            float(correct[lane, : len(split.validation)].mean()),
        )
        for lane, split in enumerate(splits)
    )
