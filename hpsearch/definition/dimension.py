"""The range or the choices of one hyperparameter."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from hpsearch.errors import DefinitionError, quoted
from hpsearch.limits import MOST_CHOICES, MOST_STEPS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial


def _low_and_high(value: Any) -> Any:
    if value is not None and (not isinstance(value, list | tuple) or len(value) != 2):
        raise DefinitionError("must be [low, high]", f"is {quoted(value)}")
    return value if value is None else tuple(value)


def _fits(number: float) -> bool:
    """Whether there is room for a number in 64 bits."""
    return -(2**63) <= number < 2**63 if isinstance(number, int) else isfinite(number)


def _choices(value: Any) -> Any:
    plain = isinstance(value, list | tuple) and all(isinstance(item, bool | int | float | str) for item in value)
    if value is not None and (not plain or any(isinstance(item, int | float) and not _fits(item) for item in value)):
        raise DefinitionError("must be a list of finite numbers, text, true or false", f"is {quoted(value)}")
    return value if value is None else tuple(value)


def _divides(step: float, low: float, high: float) -> bool:
    """As Optuna sees it, which otherwise warns at every proposal and lowers the high end."""
    try:
        return (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)) == 0
    except InvalidOperation:  # more steps than can be counted
        return False


_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Dimension(BaseModel):
    """The range of one hyperparameter: exactly one of ``int``, ``float`` or ``choice``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True, allow_inf_nan=False)

    int_: Annotated[tuple[_Int64, _Int64] | None, BeforeValidator(_low_and_high)] = Field(
        None, alias="int", description="[lowest, highest], whole numbers"
    )
    float_: Annotated[tuple[float, float] | None, BeforeValidator(_low_and_high)] = Field(
        None, alias="float", description="[lowest, highest]"
    )
    choice: Annotated[tuple[bool | _Int64 | float | str, ...] | None, BeforeValidator(_choices)] = Field(
        None, description="the values to try"
    )
    log: bool = Field(False, description="on a logarithmic axis; the low end is above 0")
    step: float | _Int64 | None = Field(
        None, description="from value to value; it divides the range", json_schema_extra={"exclusiveMinimum": 0}
    )

    @field_validator("step")
    @classmethod
    def _forward(cls, step: float | int | None) -> float | int | None:
        if step is not None and step <= 0:
            raise DefinitionError("must be above 0", f"is {quoted(step)}")
        return step

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kinds: list[tuple[Any, ...]] = [k for k in (self.int_, self.float_, self.choice) if k is not None]
        must, got = "", ""
        if len(kinds) != 1:
            must = "must have exactly one of int and float, each [low, high], and choice, a list"
        elif self.choice is not None:
            if len(self.choice) > MOST_CHOICES:
                must, got = f"must offer at most {MOST_CHOICES:,} choices", f"has {len(self.choice):,}"
            elif not self.choice or len(set(self.choice)) < len(self.choice):
                must = "must offer at least one choice, and none of them twice"
            elif self.log or self.step is not None:
                must = "must have neither log nor step beside choice"
        elif kinds[0][0] > kinds[0][1]:
            must, got = "must have its low end first", f"is {quoted(list(kinds[0]))}"
        elif self.log and (kinds[0][0] <= 0 or self.step is not None):
            must = "must have a low end above 0 and no step where log is true"
        elif self.int_ is not None and self.step is not None and self.step != int(self.step):
            must, got = "must have a whole step", f"it is {quoted(self.step)}"
        elif self.step is not None and (kinds[0][1] - kinds[0][0]) / self.step > MOST_STEPS:
            must, got = f"must have at most {MOST_STEPS:,} steps", f"steps of {quoted(self.step)} are more"
        elif self.step is not None and not _divides(self.step, *kinds[0]):
            must = "must have a step that divides its range"
            got = f"{quoted(self.step)} does not divide {quoted(list(kinds[0]))}"
        if must:
            raise DefinitionError(must, got)
        return self

    @property
    def extremes(self) -> tuple[Any, ...]:
        """The ends of a range, or every choice: what must be valid for all to be."""
        return self.int_ or self.float_ or self.choice or ()

    @property
    def _ends(self) -> tuple[float, float]:
        ends = self.int_ or self.float_
        assert ends is not None  # a choice has none
        return ends

    def describe(self) -> str:
        """As ``8 to 256 (log)``, or the choices."""
        if self.choice is not None:
            return " or ".join(map(str, self.choice))
        notes = (["log"] if self.log else []) + ([f"steps of {self.step}"] if self.step else [])
        return " to ".join(map(str, self.extremes)) + (f" ({', '.join(notes)})" if notes else "")

    @property
    def dtype(self) -> str:
        """The pandas dtype of its column."""
        if self.int_ is not None:
            return "Int64"
        kinds = {type(value) for value in self.extremes}
        if kinds == {int}:
            return "Int64"
        return "float64" if kinds <= {int, float} else "str"

    def at(self, unit: float) -> Any:
        """The value at ``unit`` of the way through the range, 0 ≤ ``unit`` < 1; every step and choice is as wide."""
        if self.choice is not None:
            return self.choice[int(unit * len(self.choice))]
        low, high = self._ends
        step = self.step or (1 if self.int_ is not None else None)
        if self.log:
            # Whole numbers get the width that they have on the logarithmic axis, each half a step either way.
            half = 0.5 if self.int_ is not None else 0.0
            value = float(np.exp(np.log(low - half) + unit * (np.log(high + half) - np.log(low - half))))
            return min(max(round(value), int(low)), int(high)) if self.int_ is not None else min(max(value, low), high)
        if step is None:
            return low + unit * (high - low)
        value = low + step * int(unit * (int((high - low) / step + 1e-9) + 1))
        return int(value) if self.int_ is not None else value

    def place(self, value: float) -> float | None:
        """How far a value is from the low end (0) to the high one (1), on the axis of the search; None of a choice."""
        if self.choice is not None or self._ends[0] == self._ends[1]:
            return None
        low, high, at = (np.log(x) if self.log else x for x in (*self._ends, value))
        return float((at - low) / (high - low))

    def contains(self, value: Any) -> bool:
        """Whether the search could choose ``value``."""
        if self.choice is not None:
            return any(value == choice and type(value) is type(choice) for choice in self.choice)
        low, high = self._ends
        if not isinstance(value, int if self.int_ is not None else int | float) or isinstance(value, bool):
            return False
        if not low <= value <= high:
            return False
        steps = (value - low) / self.step if self.step else 0.0
        return abs(steps - round(steps)) < 1e-9

    def all(self) -> Iterator[Any] | None:
        """Every value, if they can be counted; None for a range of floats without step, or one on a log scale."""
        if self.choice is not None:
            return iter(self.choice)
        low, high = self._ends
        if self.log or (self.float_ is not None and self.step is None):
            return None
        step = self.step or 1
        values = (low + step * i for i in range(int((high - low) / step + 1e-9) + 1))
        return map(int, values) if self.int_ is not None else values

    def whole_numbers(self) -> tuple[int, ...]:
        """Every value of a range or of choices of whole numbers, on whatever axis."""
        if self.int_ is None:
            return tuple(int(value) for value in self.choice or ())
        return tuple(range(self.int_[0], self.int_[1] + 1, int(self.step or 1)))

    def at_most(self, value: float) -> int:
        """The largest whole number of it that is no larger than ``value``, or its smallest."""
        if self.int_ is None:
            return max(
                (choice for choice in self.whole_numbers() if choice <= value), default=min(self.whole_numbers())
            )
        low, step = self.int_[0], int(self.step or 1)
        return low + step * max(0, (min(int(value), self.int_[1]) - low) // step)

    @property
    def distribution(self) -> BaseDistribution:
        """What a trial that :meth:`suggest` let choose has in Optuna."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.int_ is not None:
            return IntDistribution(*self.int_, log=self.log, step=int(self.step or 1))
        if self.float_ is not None:
            return FloatDistribution(*self.float_, log=self.log, step=self.step)
        return CategoricalDistribution(self.choice or ())

    def suggest(self, trial: Trial, name: str) -> Any:
        """Let ``trial`` choose a value."""
        if self.int_ is not None:
            return trial.suggest_int(name, *self.int_, log=self.log, step=int(self.step or 1))
        if self.float_ is not None:
            return trial.suggest_float(name, *self.float_, log=self.log, step=self.step)
        return trial.suggest_categorical(name, self.choice or ())
