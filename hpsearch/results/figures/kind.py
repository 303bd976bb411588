"""What a figure is: facts in plain tables, a sentence that says them, and a drawing of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

import plotly.graph_objects as go

from hpsearch.results.snapshot import Snapshot

Facts = TypeVar("Facts")


class Kind(ABC, Generic[Facts]):
    """One kind of figure.

    Attributes:
        title: what it shows.
        how: how to read it, in plain words.
        wide: whether it needs more width than a phone has.
    """

    title: ClassVar[str]
    how: ClassVar[str]
    wide: ClassVar[bool] = False

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
