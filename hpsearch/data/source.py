"""What every source of rows is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hpsearch.data.dataset import Dataset, Task


class Source(BaseModel, ABC):
    """A source with its options, as ``[data]`` of a study file gives them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Annotated[str, Field(description="where the rows come from")]

    @property
    @abstractmethod
    def predicts(self) -> Task:
        """Whether its target is a class or a number."""

    @property
    @abstractmethod
    def redrawable(self) -> bool:
        """Whether another seed gives other rows of the same kind."""

    @property
    @abstractmethod
    def not_features(self) -> tuple[str, ...] | None:
        """Columns that rows come with beside features and target: left out, or saying how to split; None: any."""

    @abstractmethod
    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        """``[data]`` of a study file in folder ``to`` that means the same as this one's in ``folder``.

        Raises:
            DataError: it can only be used from ``folder``.
        """

    @abstractmethod
    def load(self, folder: Path, seed: int) -> Dataset:
        """The rows. ``folder`` is where relative paths start; ``seed`` (32 bits) matters if :attr:`redrawable`."""
