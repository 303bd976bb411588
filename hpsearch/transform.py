"""The one function that turns features into what a network sees; the core and saved models both apply it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_EXPONENT = 700.0  # exp of it is a double with room to be centred
MOST_EXPONENT_OF_SINGLE = 80.0  # likewise in single precision
NEARLY_ZERO = 2.0**-100  # a power that gives every bit of its limit, 0
# Transformed numbers end so many standard deviations from the mean. Of n training rows none is more than √n away.
FURTHEST = 1000.0
BLOCK_NUMBERS = 2**16  # transformed at once: what they need meanwhile stays in the cache


@dataclass(frozen=True)
class Encoding:
    """What stands for the categories of a column whose first feature holds their numbers, in one lane.

    Attributes:
        first: the place of that feature, the first of T that are looked up.
        tables: (F + 1, K + 2, T), by the number of one of K categories; K is that of a missing one, K + 1 of any other.
            The last is for rows that it was not learnt from, the others for those that it was.
        folds: (N,), which of the tables is for which row of the data; None if the last is for all.
    """

    first: int
    tables: NDArray[Any]
    folds: NDArray[np.uint8] | None = None

    @property
    def places(self) -> slice:
        """Of the T features."""
        return slice(self.first, self.first + self.tables.shape[-1])

    def look_up(self, codes: NDArray[Any], rows: NDArray[np.intp] | slice | None) -> NDArray[Any]:
        """(…, T), for the numbers (…) of the categories of ``rows`` (…) of the data, or of new ones."""
        numbers = codes.astype(np.intp)
        if rows is None or self.folds is None:
            return np.asarray(self.tables[-1][numbers])
        return np.asarray(self.tables[self.folds[rows], numbers])

    def of_new_rows(self) -> Encoding:
        """Without what is for the rows that it was learnt from."""
        return replace(self, tables=self.tables[-1:], folds=None)


def encode(
    features: NDArray[Any], encodings: Sequence[Encoding], rows: NDArray[np.intp] | slice | None = None
) -> NDArray[Any]:
    """Features (…, D) with what stands for categories in the place of their numbers, a copy if there are any.

    Args:
        features: of rows.
        encodings: of columns.
        rows: which of the data's they are, (…); None if they are new.
    """
    if not encodings:
        return features
    encoded = features.copy()
    for encoding in encodings:
        encoded[..., encoding.places] = encoding.look_up(features[..., encoding.first], rows)
    return encoded


def transform(
    features: NDArray[Any],
    centre: NDArray[Any],
    scale: NDArray[Any],
    fill: NDArray[Any] | None = None,
    out: NDArray[Any] | None = None,
    lambdas: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """x ← (ψ(x) - centre) / scale, feature by feature, after ``fill`` stood in for nan; see :func:`yeo_johnson`.

    Where ψ is not the identity the result ends at ±:data:`FURTHEST`: a power may carry a row not far outside the
    training rows beyond all numbers.

    Args:
        features: (…, D), nan where a value is missing.
        centre: (D,), as the next two and ``lambdas``.
        scale: not 0.
        fill: None where no value can be missing.
        out: (…, D) to write to, in its own number type.
        lambdas: of ψ, which is the identity where they are 1; None if it is of all features.

    Returns:
        (…, D): ``out``, or a new array.
    """
    if lambdas is not None:
        return _transform_powers(
            features, centre, scale, fill, np.empty(features.shape) if out is None else out, lambdas
        )
    if fill is not None:
        features = np.where(np.isnan(features), fill, features)
    transformed: NDArray[Any] = np.divide(features - centre, scale, out=out)
    return transformed


def _transform_powers(
    features: NDArray[Any],
    centre: NDArray[Any],
    scale: NDArray[Any],
    fill: NDArray[Any] | None,
    out: NDArray[Any],
    lambdas: NDArray[Any],
) -> NDArray[Any]:
    changed = lambdas != 1
    limits = np.where(changed, FURTHEST, np.inf).astype(out.dtype)
    # Where some features are left alone, which is quick, the others are taken out: powers are slow.
    places = slice(None) if changed.all() else np.flatnonzero(changed)
    powers = lambdas[places]
    count = max(1, len(features) * BLOCK_NUMBERS // max(1, features.size))
    kind = np.result_type(features, lambdas)
    for start in range(0, len(features), count):
        block = features[start : start + count].astype(kind)
        if fill is not None:
            block = np.where(np.isnan(block), fill, block)
        block[..., places] = yeo_johnson(block[..., places], powers)
        with np.errstate(over="ignore"):
            block -= centre
            part = np.divide(block, scale, out=out[start : start + count])
        np.maximum(np.minimum(part, limits, out=part), -limits, out=part)
    return out


def yeo_johnson(values: NDArray[Any], lambdas: NDArray[Any]) -> NDArray[Any]:
    """ψ(x) = sign(x) · ((1 + |x|)^p - 1) / p, p being λ where x ≥ 0 and 2 - λ elsewhere; its limit where p is 0.

    The power transformation of Yeo & Johnson, "A new family of power transformations to improve normality or symmetry",
    Biometrika 87 (2000), equation 2.1. It increases. Where λ is 1 the values are given back bit for bit. No finite
    value becomes infinite: (1 + |x|)^p grows no further than e^700, or e^80 in single precision.

    Args:
        values: (…, D).
        lambdas: (D,), or whatever goes with ``values``.

    Returns:
        As ``values``, in double precision unless both are in single precision.
    """
    up, down = powers_of(lambdas)
    powers = np.where(values < 0, down, up)
    raised: NDArray[Any] = np.abs(values, dtype=np.result_type(values, lambdas))
    np.log1p(raised, out=raised)
    with np.errstate(over="ignore"):
        raised *= powers
    np.minimum(raised, MOST_EXPONENT if raised.itemsize == 8 else MOST_EXPONENT_OF_SINGLE, out=raised)
    np.expm1(raised, out=raised)
    raised /= powers
    np.copysign(raised, values, out=raised)
    np.copyto(raised, values, where=np.equal(lambdas, 1))
    return raised


def inverse_yeo_johnson(values: NDArray[Any], lambdas: NDArray[Any]) -> NDArray[np.float64]:
    """x of which ψ(x), see :func:`yeo_johnson`, is ``values``: sign(y) · ((1 + p·|y|)^(1 / p) - 1).

    Where p is below 0, ψ stays within 1 / |p| of 0: from there on the answer is infinite.

    Args:
        values: (…, D).
        lambdas: (D,), or whatever goes with ``values``.

    Returns:
        As ``values``, in double precision.
    """
    up, down = powers_of(lambdas)
    powers = np.where(values < 0, down, up)
    with np.errstate(divide="ignore", over="ignore"):
        logs = np.log1p(np.maximum(powers * np.abs(values, dtype=np.float64), -1)) / powers
        found: NDArray[np.float64] = np.copysign(np.expm1(logs), values)
    np.copyto(found, values, where=np.equal(lambdas, 1))
    return found


def powers_of(lambdas: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """p of :func:`yeo_johnson` where values are at least 0, and below; never quite 0, since it divides."""
    up, down = (np.where(powers == 0, NEARLY_ZERO, powers) for powers in (lambdas, 2.0 - lambdas))
    return up, down
