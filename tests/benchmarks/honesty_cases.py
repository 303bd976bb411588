"""The kinds of rows that the honesty of every number is measured on, as many as one likes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Rows as they are drawn.

    Attributes:
        features: (n, D).
        target: (n,) classes from 0, or numbers.
        expected: (n,) of numbers, their mean given the features.
        groups: (n,) which rows belong together; None if none do.
    """

    features: Floats
    target: NDArray[np.int64] | Floats
    expected: Floats | None = None
    groups: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Case:
    """A kind of study.

    Attributes:
        title: in tables.
        rows: to search with.
        draw: so many rows, from a generator.
        noise: of numbers, the variance about what is expected.
        independent: whether rows, or groups, are drawn independently.
    """

    title: str
    rows: int
    draw: Callable[[np.random.Generator, int], Rows]
    noise: float = 0.0
    independent: bool = True


def _spiral(draw: np.random.Generator, n: int, turn: float, flipped: float = 0.0, noise: int = 0) -> Rows:
    """Three arms with nnfs's noise of the angle, whose radius is uniform; some labels drawn anew, features of noise."""
    labels, radius = draw.integers(3, size=n), draw.random(n)
    return _arms(draw, labels, radius, turn, flipped, noise)


def _arms(
    draw: np.random.Generator, labels: NDArray[np.int64], radius: Floats, turn: float, flipped: float, noise: int
) -> Rows:
    n = len(labels)
    angle = 10 * labels + turn * radius + 0.5 * draw.standard_normal(n)
    features = [radius * np.sin(angle), radius * np.cos(angle), *draw.standard_normal((noise, n))]
    return Rows(np.column_stack(features), np.where(draw.random(n) < flipped, draw.integers(3, size=n), labels))


def _grid(draw: np.random.Generator, n: int) -> Rows:
    """The spiral as nnfs has it: the radii of each arm lie on a grid of 100, the same in every draw."""
    places = np.concatenate([draw.permutation(300) for _ in range(-(-n // 300))])[:n]
    return _arms(draw, places // 100, places % 100 / 99, 10.0, 0.0, 0)


def _blobs(draw: np.random.Generator, n: int) -> Rows:
    """Three normal classes in five dimensions; one label in six is drawn anew."""
    labels = draw.integers(3, size=n)
    centres = 1.5 * np.eye(3, 5)
    features = centres[labels] + draw.standard_normal((n, 5))
    return Rows(features, np.where(draw.random(n) < 1 / 6, draw.integers(3, size=n), labels))


def _rare(draw: np.random.Generator, n: int) -> Rows:
    """Two classes, one row in ten of the second: a bent boundary in six features of which two help."""
    features = draw.standard_normal((n, 6))
    score = 1.5 * features[:, 0] + features[:, 1] ** 2 - 1 + 1.2 * draw.standard_normal(n)
    return Rows(features, (score > 2.9).astype(np.int64))  # Q(0.9) of the score, about


def _groups(draw: np.random.Generator, n: int) -> Rows:
    """Groups of four to eight rows, whose features and labels share what is the group's own."""
    sizes: list[int] = []
    while sum(sizes) < n:
        sizes.append(int(draw.integers(4, 9)))
    groups = np.repeat(np.arange(len(sizes)), sizes)[:n]
    centre, tilt = draw.standard_normal((len(sizes), 4)), draw.standard_normal(len(sizes))
    features = centre[groups] + 0.7 * draw.standard_normal((n, 4))
    score = features[:, 0] - np.sin(2 * features[:, 1]) + 0.8 * tilt[groups] + 0.5 * draw.standard_normal(n)
    return Rows(features, (score > 0).astype(np.int64), groups=groups)


def _friedman(draw: np.random.Generator, n: int) -> Rows:
    """Friedman's first function (1991) of ten uniform features, five of which help, with normal noise of 1."""
    x = draw.random((n, 10))
    mean = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return Rows(x, mean + draw.standard_normal(n), mean)


def _heavy(draw: np.random.Generator, n: int) -> Rows:
    """A bent function of five normal features, with noise of Student's t of 3 degrees of freedom."""
    x = draw.standard_normal((n, 5))
    mean = 2 * x[:, 0] + np.abs(x[:, 1]) * x[:, 2]
    return Rows(x, mean + draw.standard_t(3, n), mean)


def _three_help(draw: np.random.Generator, n: int) -> Rows:
    """Two classes, ten features of which three help."""
    x = draw.standard_normal((n, 10))
    score = x[:, 0] + x[:, 1] * x[:, 2]
    return Rows(x, (draw.random(n) < 1 / (1 + np.exp(-2 * score))).astype(np.int64))


CASES = {
    "hard-spiral": Case("hard spiral", 90, lambda draw, n: _spiral(draw, n, 3.0, 0.2, 4)),
    "easy-spiral": Case("easy spiral", 300, lambda draw, n: _spiral(draw, n, 10.0)),
    "blobs": Case("three classes, labels flipped", 150, _blobs),
    "rare": Case("one class in ten", 300, _rare),
    "groups": Case("groups", 240, _groups),
    "friedman": Case("Friedman, normal noise", 200, _friedman, noise=1.0),
    "heavy": Case("numbers, t(3) noise", 200, _heavy, noise=3.0),
    "three-help": Case("3 of 10 features help", 200, _three_help),
    "grid": Case("the grid of nnfs", 300, _grid, independent=False),
}
