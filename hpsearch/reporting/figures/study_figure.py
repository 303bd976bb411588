"""What a figure is: facts in plain tables, a sentence that says them, and a drawing of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

import plotly.graph_objects as go

from hpsearch.data.dataset import Task
from hpsearch.errors import HpsearchError
from hpsearch.reporting.snapshot import Snapshot

Facts = TypeVar("Facts")


class StudyFigure(ABC, Generic[Facts]):
    """One kind of figure.

    Attributes:
        title: what it shows.
        how: how to read it, in plain words.
        wide: whether it needs more width than a phone has.
        task: what it is of, if not of both.
    """

    title: ClassVar[str]
    how: ClassVar[str]
    wide: ClassVar[bool] = False
    task: ClassVar[Task | None] = None

    def is_of(self, study: Snapshot) -> bool:
        """Whether it is of what the study predicts."""
        return self.task in (None, study.metric.task)

    def require_task(self, study: Snapshot) -> None:
        """Refuse a study of the other task.

        Raises:
            HpsearchError: always then.
        """
        if not self.is_of(study):
            raise HpsearchError(
                f"The figure {self.title!r} is of a {self.task}", f"{study.stored.name!r} is a {study.metric.task}"
            )

    @abstractmethod
    def facts(self, study: Snapshot) -> Facts:
        """What is drawn.

        Raises:
            HpsearchError: the study has nothing to draw; the message says why.
        """

    @abstractmethod
    def say(self, facts: Facts) -> str:
        """What there is to see, in words: for those who cannot look."""

    @abstractmethod
    def draw(self, facts: Facts) -> go.Figure:
        """The figure, without a title."""

    def make(self, study: Snapshot) -> go.Figure:
        """The figure with its title, as it stands alone."""
        made = self.draw(self.facts(study))
        return made.update_layout(title={"text": self.title, "x": 0, "xref": "paper", "y": 0.97}, margin={"t": 90})
