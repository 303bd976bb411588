"""Increasing functions of a regression target, in whose values a network is trained, and the way back to its own unit.

Of a target t a lane sees z = (f(t) - centre) / scale, and of its output z the prediction is f⁻¹(z · scale + centre).
With no function at all, f(t) = t.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import FloatArray
from hpsearch.errors import DataError, Setting
from hpsearch.transform import inverse_yeo_johnson, yeo_johnson


@dataclass(frozen=True)
class TargetTransform(ABC):
    """An increasing function f of the regression target, with constants learnt by each of L lanes; all (L,).

    Where f is flat, a small step of the output is a large one of the prediction. So predictions are kept from ``low``
    to ``high``: they are finite for all finite outputs.

    Attributes:
        low, high: the least and the greatest prediction, in the target's own unit.
        deviation: the standard deviation of the training targets, likewise; 1 if they are all alike.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    deviation: NDArray[np.float64]

    above: ClassVar[float] = -np.inf  # what targets must be above

    @abstractmethod
    def forward(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        """f of targets, (L, …) or (1, …) for all lanes; as many rows as lanes.

        Raises:
            DataError: a target that f is not defined of.
        """

    @abstractmethod
    def _unbounded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """f⁻¹ of values (L, …); infinite where that is too large for a double."""

    def inverse(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """f⁻¹ of values (L, …), from ``low`` to ``high``."""
        with np.errstate(all="ignore"):
            targets: NDArray[np.float64] = np.clip(
                self._unbounded(values), self._column(self.low, values), self._column(self.high, values)
            )
        return targets

    def each(self, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Self:
        """Of other lanes, given what to do with a constant of all."""
        return type(self)(**{field.name: change(getattr(self, field.name)) for field in fields(self)})

    @classmethod
    def stack(cls, transforms: Sequence[Self]) -> Self:
        """Of the lanes of several, one after the other."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(one, name) for one in transforms]) for name in names})

    @staticmethod
    def _column(of_lanes: NDArray[np.float64], values: NDArray[Any]) -> NDArray[np.float64]:
        """(L,) to (L, 1, …), to go with values (L, …)."""
        return of_lanes.reshape(-1, *[1] * (values.ndim - 1))


@dataclass(frozen=True)
class LogTransform(TargetTransform):
    """f(t) = ln(t), of targets above 0. In another unit the network learns the same."""

    above = 0.0

    def forward(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        require_above(self.above, targets, "log")
        logs: NDArray[np.float64] = np.log(np.asarray(targets, np.float64))
        return np.broadcast_to(logs, (len(self.low), *logs.shape[1:]))

    def _unbounded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(values)


@dataclass(frozen=True)
class PowerTransform(TargetTransform):
    """f(t) = ψ((t - mean) / deviation), ψ Yeo and Johnson's; see :func:`hpsearch.transform.yeo_johnson`.

    Of standardised targets, since ψ alone depends on the unit and loses all digits of values far from 0.

    Attributes:
        mean: of the training targets, in their own unit.
        power: ψ's lambda, from 0 to 2: there ψ reaches every number.
    """

    mean: NDArray[np.float64]
    power: NDArray[np.float64]

    def forward(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        mean, deviation, power = (self._column(of, targets) for of in (self.mean, self.deviation, self.power))
        return yeo_johnson((np.asarray(targets, np.float64) - mean) / deviation, power)

    def _unbounded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        mean, deviation, power = (self._column(of, values) for of in (self.mean, self.deviation, self.power))
        return inverse_yeo_johnson(values, power) * deviation + mean


def require_above(least: float, targets: NDArray[Any], scaling: str) -> None:
    """Refuse targets that a scaling of this name is not for.

    Raises:
        DataError: one that is not above ``least``.
    """
    lowest = float(np.min(targets))
    if lowest <= least:
        raise DataError(
            f"needs targets that are all above {least:g}",
            f"one is {lowest:g}",
            ("Use ", Setting("target_scaling", "power"), ", which takes any number."),
            where=Setting("target_scaling", scaling),
        )


def in_own_unit(
    outputs: FloatArray,
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    transform: TargetTransform | None,
) -> NDArray[np.float64]:
    """Predictions in the target's own unit, of outputs (L, …); nan where an output is not finite.

    Args:
        outputs: of networks; their first axis may be longer than that of one lane's constants, which then go for all.
        centre: (L,), of the transformed target.
        scale: (L,), likewise.
        transform: None if the target is only centred and scaled; then an infinite output stays so.
    """
    column = (-1, *[1] * (outputs.ndim - 1))
    with np.errstate(over="ignore"):
        values: NDArray[np.float64] = outputs * scale.reshape(column) + centre.reshape(column)
    if transform is None:
        return values
    return np.where(np.isfinite(outputs), transform.inverse(values), np.nan)
