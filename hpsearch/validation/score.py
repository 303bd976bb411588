"""The score that people read beside the loss: the accuracy of classes, R² of a regression target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.data.dataset import Task

# Of each task, by its name in METRICS.
SCORE_NAMES: dict[Task, str] = {"classification": "accuracy", "regression": "r2"}


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What has a score.

    Attributes:
        score: None where it is undefined, as R² of rows with one and the same target, or where nothing was scored.
        score_name: one of ``SCORE_NAMES``; what a result without a score says is not part of any comparison.
    """

    score: float | None = None
    score_name: str = field(default=SCORE_NAMES["classification"], compare=False)

    @property
    def accuracy(self) -> float | None:
        """The score of classes; None of a regression target."""
        return self.named_scores["accuracy"]

    @property
    def r2(self) -> float | None:
        """The score of a regression target; None of classes."""
        return self.named_scores["r2"]

    @property
    def named_scores(self) -> dict[str, float | None]:
        """The score under its own name, and None under the others'."""
        return {name: self.score if name == self.score_name else None for name in SCORE_NAMES.values()}


def named_score(values: Mapping[str, Any]) -> tuple[str, Any]:
    """The name and the value of the score among values that hold one under its own name; its value is None if none."""
    names: Sequence[str] = list(SCORE_NAMES.values())
    name = next((name for name in names if name in values), names[0])
    return name, values.get(name)


def as_plain(result: Any) -> dict[str, Any]:
    """A result in plain values, as JSON shows it: every :class:`Scored` in it with its score under its own name."""

    def plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if "score_name" in values:
            score, name = values.pop("score"), values.pop("score_name")
            values |= Scored(score=score, score_name=name).named_scores
        return values

    return asdict(result, dict_factory=plain)
