"""How a regression target is scaled for training, learnt from the training rows of a split and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.power import fit_lambda
from hpsearch.errors import quoted
from hpsearch.target_transform import LogTransform, PowerTransform, TargetTransform, require_above

# Predictions leave the range of the training targets by at most its width, where the way back is not a straight line.
MARGIN = 1.0
# Outside of these, Yeo and Johnson's transformation does not reach every number: it nears a bound, and where it is flat
# the smallest error of an output is a prediction that may be anything.
LAMBDAS = (0.0, 2.0)


class Spread(NamedTuple):
    """Mean and standard deviation."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, targets: NDArray[np.float64], weights: NDArray[np.float64] | None) -> Spread:
        """Of targets (n,); a row of weight 2 is two rows, one of weight 0 none."""
        if weights is None:
            mean, deviation = np.mean(targets), np.std(targets)
        else:
            targets, weights = targets[weights > 0], weights[weights > 0]
            mean = np.average(targets, weights=weights)
            deviation = np.sqrt(np.average((targets - mean) ** 2, weights=weights))
        # Training rows that are all alike are left in their own unit, as scikit-learn's StandardScaler leaves them.
        # (Their standard deviation may be the rounding of their mean. That of others may be 0: their squares vanish.)
        return cls(float(mean), float(deviation) if np.ptp(targets) > 0 and deviation > 0 else 1.0)


@dataclass(frozen=True)
class TargetScaling:
    """A way to scale a regression target.

    Attributes:
        transform: the function before centre and scale; None if there is none.
        learn: what that has beside ``low``, ``high`` and ``deviation``, from targets (n,), their weights (n,) or None,
            and their spread.
    """

    transform: type[TargetTransform] | None = None
    learn: Callable[[NDArray[np.float64], NDArray[np.float64] | None, Spread], Mapping[str, float]] = (
        lambda targets, weights, spread: {}
    )


def _power(targets: NDArray[np.float64], weights: NDArray[np.float64] | None, spread: Spread) -> Mapping[str, float]:
    likeliest = fit_lambda((targets - spread.mean) / spread.deviation, weights)
    return {"mean": spread.mean, "power": min(max(likeliest, LAMBDAS[0]), LAMBDAS[1])}


TARGET_SCALINGS: dict[str, TargetScaling] = {
    "log": TargetScaling(LogTransform),
    "power": TargetScaling(PowerTransform, _power),
    "standard": TargetScaling(),
}


class FittedTarget(NamedTuple):
    """What a lane has learnt of its target: it sees (f(t) - centre) / scale, f being ``transform``'s (of one lane)."""

    centre: float
    scale: float
    transform: TargetTransform | None


def fit_target(name: str, targets: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> FittedTarget:
    """What the named scaling learns from training targets (n,): a function of them, then its mean and deviation.

    ``power`` takes the most likely lambda of the standardised targets, see :func:`fit_lambda`, or the nearest one from
    0 to 2. Its function and that of ``log`` grow faster than any straight line on the way back, so their predictions
    are kept within the range of the training targets, extended by its own width, times :data:`MARGIN`, on either side;
    with ``log`` they stay above 0.

    Args:
        name: one of :data:`TARGET_SCALINGS`.
        targets: finite.
        weights: (n,), how many rows each counts as, at least 0, some above; None if each counts as one.

    Raises:
        DataError: targets that the scaling is not for.
    """
    scaling = TARGET_SCALINGS[name]
    if scaling.transform is None:
        return FittedTarget(*Spread.of(targets, weights), None)
    if weights is not None:
        targets, weights = targets[weights > 0], weights[weights > 0]
    spread, width = Spread.of(targets, weights), MARGIN * np.ptp(targets)
    constants = {
        "low": max(targets.min() - width, np.nextafter(scaling.transform.above, np.inf)),
        "high": min(targets.max() + width, np.finfo(np.float64).max),
        "deviation": spread.deviation,
        **scaling.learn(targets, weights, spread),
    }
    transform = scaling.transform(**{key: np.array([value], np.float64) for key, value in constants.items()})
    return FittedTarget(*Spread.of(transform.forward(targets[np.newaxis])[0], weights), transform)


def to_plain(transform: TargetTransform) -> dict[str, Any]:
    """A transform of one lane in values that JSON has: ``scaling``, of :data:`TARGET_SCALINGS`, and its constants."""
    (name,) = (name for name, scaling in TARGET_SCALINGS.items() if scaling.transform is type(transform))
    return {"scaling": name, **{field.name: float(getattr(transform, field.name)[0]) for field in fields(transform)}}


def from_plain(plain: Mapping[str, Any]) -> TargetTransform:
    """From what :func:`to_plain` gave.

    Raises:
        ValueError: a scaling without a transform, or other constants than it has.
    """
    constants = {name: np.array([value], np.float64) for name, value in plain.items() if name != "scaling"}
    kind = TARGET_SCALINGS[plain["scaling"]].transform
    if kind is None or {field.name for field in fields(kind)} != set(constants):
        raise ValueError(f"are not those of {quoted(plain['scaling'])}")
    return kind(**constants)


def require_scalable(name: str, targets: NDArray[np.float64]) -> None:
    """Refuse targets that the named scaling is not for.

    Raises:
        DataError: with the first reason.
    """
    transform = TARGET_SCALINGS[name].transform
    if transform is not None:
        require_above(transform.above, targets, name)
