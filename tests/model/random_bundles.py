"""Models that were never trained: random parameters, columns of all kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hpsearch.data.columns import Column, Plan, Raw
from hpsearch.data.preprocess import Scaling
from hpsearch.model.bundle import Bundle
from hpsearch.nn.losses import LOSSES
from hpsearch.nn.network import NetworkShape
from hpsearch.nn.passes import Architecture
from hpsearch.transform import Encoding, inverse_yeo_johnson, yeo_johnson

MIXED = (
    Column("age", "numeric", indicator=True),
    Column("port", "categorical", indicator=True, categories=("Oslo", "Rome", "Åbo", "東京", "a b, 'c'")),
    Column("weight"),
    Column("member", "boolean", indicator=True),
    Column("sex", "categorical", categories=("f", "m")),
    Column("paid", "boolean"),
)
# Of the features of a date: about where they lie, and how far they spread.
_CALENDAR = [(0.0, 200_000.0), (1970.0, 500.0), (6.5, 3.5), (3.0, 2.0), (12.0, 7.0)]


def random_bundle(
    loss: str = "cross_entropy",
    activation: str = "relu",
    dtype: str = "float32",
    columns: Sequence[Column] = MIXED,
    *,
    seed: int = 0,
    neurons: tuple[int, ...] = (7, 5),
    classes: Sequence[str] = ("once", "yes, twice", "Ångström"),
    offset: float = 40.0,
    spread: float = 12.0,
    members: int = 1,
    power: float | None = None,
) -> Bundle:
    """A model of a loss, its weights by He; the numbers of its columns lie around ``offset`` by ``spread``.

    With ``power`` they are transformed with that lambda, and then centred and scaled.
    """
    draw, plan = np.random.default_rng(seed), Plan(tuple(columns), missing=("?",))
    quantity = LOSSES[loss].regression
    names = () if quantity else tuple(classes[:2] if loss == "binary_cross_entropy" else classes)
    network = NetworkShape(len(plan.feature_names), neurons, LOSSES[loss].outputs(len(names)))
    parameters = draw.normal(0, 0.3, (members, network.size))
    for block in network.layers:
        shape = (members, block.fan_in * block.fan_out)
        parameters[:, block.weights] = draw.normal(0, np.sqrt(2 / block.fan_in), shape)
    numeric = np.array([kind == "numeric" for kind in plan.feature_kinds])
    boolean = np.array([kind == "boolean" for kind in plan.feature_kinds])
    centre = np.where(numeric, offset + draw.normal(0, spread, len(numeric)), 0.0)
    scaling = Scaling(
        centre,
        np.where(numeric, spread * draw.uniform(0.5, 2, len(numeric)), 1.0),
        np.where(numeric, centre + spread, np.where(boolean, 1.0, 0.0)),
    )
    for column in columns:  # those whose values are not of that offset and spread
        if column.kind in ("date", "ordered"):
            first = plan.places[column.name].start
            usual = _CALENDAR if column.kind == "date" else [(1.0, 1.0)]
            for place, (middle, deviation) in enumerate(usual[: column.width], first):
                scaling.centre[place], scaling.scale[place] = middle, deviation
                scaling.fill[place] = middle + deviation  # type: ignore[index]
    encodings = []
    for column in columns:
        if column.encoding is not None:
            shape = (1, len(column.categories) + 2, column.width)
            tables = draw.integers(2, size=shape) if column.frequent else offset + spread * draw.normal(size=shape)
            encodings.append(Encoding(plan.places[column.name].start, tables))
    scaling = replace(scaling, encodings=tuple(encodings))
    if power is not None:
        lambdas = np.where(numeric, power, 1.0)
        seen = yeo_johnson(scaling.centre + scaling.scale * draw.standard_normal((500, len(numeric))), lambdas)
        centre, scale = np.where(numeric, seen.mean(axis=0), 0.0), np.where(numeric, seen.std(axis=0), 1.0)
        scaling = Scaling(centre, scale, scaling.fill, lambdas, scaling.encodings)
    unit = (1500.0, 250.0) if quantity else (0.0, 1.0)
    kind = Architecture(network, activation, 0.03, np.dtype(dtype), loss)
    return Bundle(kind, parameters.astype(dtype), scaling, plan, names, "target", {"study": "none"}, *unit)


def random_raws(bundle: Bundle, rows: int, seed: int = 0, missing: float = 0.2) -> list[Raw]:
    """Rows for a model: its own categories and one that it has not, and missing values in every column."""
    draw, raws = np.random.default_rng(seed), []
    for column in bundle.plan.columns:
        gap = draw.random(rows) < missing
        if column.kind == "categorical":
            categories = (*column.categories, "never seen")
            raws.append(
                Raw(column.name, column.kind, np.where(gap, -1, draw.integers(len(categories), size=rows)), categories)
            )
            continue
        place = bundle.plan.places[column.name].start
        centre, scale = bundle.scaling.centre[place], bundle.scaling.scale[place]
        numbers = centre + 1.5 * scale * draw.standard_normal(rows)
        if bundle.scaling.lambdas is not None and bundle.scaling.fill is not None:
            numbers = inverse_yeo_johnson(numbers, bundle.scaling.lambdas[place])
            numbers = np.where(np.isfinite(numbers), numbers, bundle.scaling.fill[place])
        if column.kind == "date":
            numbers = np.floor(draw.uniform(-300_000, 300_000, rows)) + column.clock * draw.random(rows)
        elif column.kind != "numeric":
            numbers = draw.integers(len(column.categories) or 2, size=rows).astype(np.float64)
        raws.append(Raw(column.name, column.kind, np.where(gap, np.nan, numbers), column.categories))
    return raws
