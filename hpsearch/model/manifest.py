"""What ``model.json`` of a saved model holds, checked by itself; the format is :mod:`hpsearch.model.format`'s."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hpsearch.data.columns import Column, Impute, Kind
from hpsearch.data.csv_format import CsvFormat, Decimal, Encoding, Thousands
from hpsearch.data.dates import is_form
from hpsearch.data.rare_classes import RARE_CLASSES
from hpsearch.data.target_scaling import LAMBDAS, TARGET_SCALINGS, from_plain
from hpsearch.errors import BundleError, DataError, located, one_line
from hpsearch.nn.layers import ACTIVATIONS
from hpsearch.nn.losses import LOSSES
from hpsearch.one_of import one_of
from hpsearch.target_transform import TargetTransform
from hpsearch.validation.metrics import METRICS, metrics_of

FORMAT, VERSION = "hpsearch-bundle", 4
SINGLE_VERSION = 3  # still read: one network, whose arrays have no axis of members
ARRAYS, REST = "model.safetensors", "model.json"
MOST_REST_BYTES, MOST_ARRAY_BYTES = 2**24, 2**31
DEEPEST = 32
MOST_PROBLEMS = 1000
UNSIGNED = "0" * 64  # stands for the checksum in what it is made of

Dtype = Literal["float32", "float64"]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Width = Annotated[int, Field(ge=1, le=MOST_ARRAY_BYTES)]
Name = Annotated[str, Field(max_length=50)]  # before it is looked up
# Of a list with millions of wrong values, one is complained of.
Texts = Annotated[list[str], Field(fail_fast=True)]
Widths = Annotated[list[Width], Field(fail_fast=True)]


class ManifestPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Tensor(ManifestPart):
    shape: Widths
    dtype: Dtype


class Arrays(ManifestPart):
    sha256: Digest
    tensors: dict[str, Tensor]


class NetworkPart(ManifestPart):
    members: Annotated[int, Field(ge=1, le=1000)]
    inputs: Width
    neurons: Annotated[Widths, Field(max_length=1000)]
    outputs: Width
    loss: Annotated[Name, one_of(LOSSES, "loss")]
    activation: Annotated[Name, one_of(ACTIVATIONS, "activation")]
    leaky_slope: Annotated[float, Field(ge=0, lt=1)]
    dtype: Dtype


class ColumnPart(ManifestPart):
    name: str
    kind: Kind
    indicator: bool
    categories: Texts
    form: str = ""
    clock: bool = False
    frequent: Annotated[int, Field(ge=0, le=MOST_ARRAY_BYTES)] = 0
    targets: Annotated[int, Field(ge=0, le=MOST_ARRAY_BYTES)] = 0

    @property
    def column(self) -> Column:
        """The column."""
        return Column(**{**self.model_dump(), "categories": tuple(self.categories)})


class Preprocessing(ManifestPart):
    impute: Impute
    missing: Texts
    columns: Annotated[list[ColumnPart], Field(fail_fast=True)]


class CsvPart(ManifestPart):
    separator: str = ","
    decimal: Decimal = "."
    thousands: Thousands | None = None
    units: Texts = Field(default_factory=list)
    encoding: Encoding = "utf-8"

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        self.read()
        return self

    def read(self) -> CsvFormat:
        return CsvFormat(self.separator, self.decimal, self.thousands, tuple(self.units), self.encoding)


class TransformPart(ManifestPart):
    scaling: Annotated[Name, one_of(TARGET_SCALINGS, "target scaling")]
    low: float
    high: float
    deviation: Annotated[float, Field(gt=0)]
    mean: float = 0.0  # of those that have it, as the next one
    power: Annotated[float, Field(ge=LAMBDAS[0], le=LAMBDAS[1])] = 1.0


class Target(ManifestPart):
    name: str
    classes: Texts
    centre: float
    scale: Annotated[float, Field(gt=0)]
    transform: TransformPart | None = None

    def read_transform(self) -> TargetTransform | None:
        """The target's transform, of one lane.

        Raises:
            ValueError: other constants than it has.
        """
        return None if self.transform is None else from_plain(self.transform.model_dump(exclude_unset=True))


class OutOfFoldPart(ManifestPart):
    probabilities: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(fail_fast=True)]
    labels: Annotated[list[Literal[0, 1]], Field(fail_fast=True)]
    folds: Annotated[int, Field(ge=1)]
    averaged: bool
    units: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(fail_fast=True)] | None
    weights: Annotated[list[Annotated[float, Field(ge=0)]], Field(fail_fast=True)] | None

    @model_validator(mode="after")
    def _one_a_row(self) -> Self:
        lists = (self.labels, self.units, self.weights)
        if any(of is not None and len(of) != len(self.probabilities) for of in lists):
            raise ValueError("one value a row")
        return self


class EvaluationPart(ManifestPart):
    group: str | None
    weight: str | None
    rare_classes: Annotated[Name, one_of(RARE_CLASSES, "way to take rare classes")]
    in_time: bool
    out_of_fold: OutOfFoldPart | None


class OriginPart(ManifestPart):
    model_config = ConfigDict(extra="allow")

    objective: Annotated[Name, one_of(METRICS, "objective")] = "loss"
    corrected_value: float | None = None
    corrected_low: float | None = None
    corrected_high: float | None = None
    corrected_is_about: str | None = None


class HoldOutPart(ManifestPart):
    model_config = ConfigDict(extra="allow")

    rows: Annotated[int, Field(ge=1)]
    loss: float
    low: float | None = None
    high: float | None = None


class CurvePart(ManifestPart):
    epochs: Annotated[list[Annotated[int, Field(ge=0)]], Field(fail_fast=True)]
    training_loss: Annotated[list[float], Field(fail_fast=True)]

    @model_validator(mode="after")
    def _one_an_epoch(self) -> Self:
        if len(self.training_loss) != len(self.epochs):
            raise ValueError("one loss an epoch")
        return self


class About(ManifestPart):
    model_config = ConfigDict(extra="allow")

    not_features: list[str] | None = None
    ranges: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(default_factory=dict)
    scorings: Annotated[int, Field(ge=0)] = 0
    rows: dict[str, Any] | None = None
    evaluation: EvaluationPart | None = None
    origin: OriginPart | None = None
    as_exported: bool = False
    holdout: HoldOutPart | None = None
    learning_curve: CurvePart | None = None


class Manifest(ManifestPart):
    """``model.json``, but for its checksum; of :data:`SINGLE_VERSION` with the one member that it has."""

    version: Literal[3, 4]
    arrays: Arrays
    network: NetworkPart
    preprocessing: Preprocessing
    csv: CsvPart = CsvPart()
    target: Target
    about: dict[str, Any]


def tensors(network: NetworkPart, version: int, transformed: bool = False) -> dict[str, Tensor]:
    """The arrays that a bundle of such a network has, ``transformed`` if features are before they are scaled."""
    widths = [network.inputs, *network.neurons, network.outputs]
    members = [] if version == SINGLE_VERSION else [network.members]
    expected = {}
    for number, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
        expected[f"layer{number}.weights"] = Tensor(shape=[*members, fan_in, fan_out], dtype=network.dtype)
        expected[f"layer{number}.biases"] = Tensor(shape=[*members, fan_out], dtype=network.dtype)
    learnt = ("centre", "fill", "scale", *(["lambdas"] if transformed else []))
    return expected | {name: Tensor(shape=[network.inputs], dtype="float64") for name in learnt}


def _encoding_tensors(columns: Sequence[ColumnPart]) -> dict[str, Tensor]:
    """The arrays of what stands for categories."""
    encoded = [part for part in columns if part.frequent or part.targets]
    return {
        f"encoding{number}": Tensor(shape=[len(part.categories) + 2, part.column.width], dtype="float64")
        for number, part in enumerate(encoded, start=1)
    }


def parse(rest: bytes, origin: str) -> Manifest:
    """``model.json``, checked by itself; nothing of a size that it claims is allocated.

    Raises:
        BundleError: anything that is not as the format says.
    """
    if len(rest) > MOST_REST_BYTES:
        raise BundleError(f"must have at most {MOST_REST_BYTES / 2**20:g} MiB of JSON", "has more", where=origin)
    try:
        plain = json.loads(
            rest.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
        )
        _check_plain(plain)
    except BundleError as error:
        raise error.at(origin) from None
    except (ValueError, RecursionError) as error:
        raise _not_plain(one_line(error)).at(origin) from error
    if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
        raise BundleError(f"must be a {FORMAT}", "is not", where=origin)
    version, signature = plain.get("version"), plain.pop("sha256", None)
    if type(version) is not int or version not in (SINGLE_VERSION, VERSION):
        raise BundleError(
            f"must be a {FORMAT} of version {SINGLE_VERSION} or {VERSION}",
            f"is of version {one_line(repr(version))}{_writer(plain)}",
            "Retrain it with this version of hpsearch" + (", or use a later one." if _is_later(version) else "."),
            where=origin,
        )
    if not isinstance(signature, str) or not _signed(rest, signature):
        raise BundleError("must have the SHA-256 that it names", "was changed since it was saved", where=origin)
    if version == SINGLE_VERSION and isinstance(network := plain.get("network"), dict):
        if "members" in network:
            raise BundleError("must have no network.members in version 3", "has", where=origin)
        network["members"] = 1
    try:
        manifest = Manifest.model_validate(plain)
        About.model_validate(manifest.about)
    except ValidationError as error:
        raise BundleError("must be as the format says", _first(error), where=origin) from error
    with located(origin):
        _check_whole(manifest)
    return manifest


def _is_later(version: object) -> bool:
    return type(version) is int and version > VERSION


def _writer(plain: Mapping[str, Any]) -> str:
    """Which hpsearch wrote a model, if it says so."""
    about = plain.get("about")
    version = about.get("hpsearch") if isinstance(about, Mapping) else None
    return f", which hpsearch {one_line(version)} wrote" if isinstance(version, str) else ""


def _first(error: ValidationError) -> str:
    """The first of its problems, if they are few enough to be listed."""
    if error.error_count() > MOST_PROBLEMS:
        return f"in {error.error_count():,} places is not"
    problem = error.errors(include_url=False, include_input=False)[0]
    return f"{one_line('.'.join(map(str, problem['loc'])))}: {one_line(problem['msg'])}"


def _check_whole(manifest: Manifest) -> None:
    """Refuse parts that do not fit each other.

    Raises:
        BundleError: with what does not.
    """
    network, target = manifest.network, manifest.target
    columns = manifest.preprocessing.columns
    for part in columns:
        if (part.frequent or part.targets) and (part.kind != "categorical" or (part.frequent and part.targets)):
            got = f"those of the {part.kind} {one_line(repr(part.name))} are not"
            raise BundleError("categories must be encoded in one way, and no others", got)
        if part.targets not in (0, 1, len(target.classes)):
            raise BundleError("targets must be 1 or the number of classes", f"is {part.targets}")
    expected = tensors(network, manifest.version, "lambdas" in manifest.arrays.tensors) | _encoding_tensors(columns)
    if manifest.arrays.tensors != expected:
        raise BundleError("arrays.tensors must be those of the network", "are others")
    if data_bytes(manifest.arrays.tensors) > MOST_ARRAY_BYTES:
        raise BundleError(f"the arrays must have at most {MOST_ARRAY_BYTES / 2**30:g} GiB", "claim more")
    for column in columns:
        if column.categories and column.kind not in ("categorical", "ordered"):
            got = f"the {column.kind} {one_line(repr(column.name))} has"
            raise BundleError("only columns of categories must have categories", got)
        if "" in column.categories or len(set(column.categories)) < len(column.categories):
            got = f"not those of {one_line(repr(column.name))}"
            raise BundleError("categories must be different texts, none of them empty", got)
    if len({column.name for column in columns}) < len(columns):
        raise BundleError("columns must have different names", "two have one name")
    for column in columns:
        if (column.form or column.clock) and column.kind != "date":
            got = f"the {column.kind} {one_line(repr(column.name))} has"
            raise BundleError("only dates must have a form or a clock", got)
        if column.form and not is_form(column.form):
            raise BundleError("a form must say how a date is written", f"is {one_line(repr(column.form))}")
        if column.kind == "ordered" and not column.categories:
            got = f"{one_line(repr(column.name))} has none"
            raise BundleError("columns of an order must have categories", got)
    features = [name for part in columns for name in part.column.features]
    if len(features) != network.inputs or len(set(features)) < len(features):
        raise BundleError(
            f"the columns must become network.inputs = {network.inputs} features of different names",
            f"become {len(features)}, {len(set(features))} of them different",
        )
    regression = LOSSES[network.loss].regression
    if regression and target.classes:
        raise BundleError(f"target.classes must be none with {network.loss}", f"there are {len(target.classes)}")
    if not regression and (len(target.classes) < 2 or len(set(target.classes)) < len(target.classes)):
        raise BundleError(
            "target.classes must be at least two different texts", f"are {one_line(repr(target.classes))}"
        )
    if not regression and (target.centre, target.scale) != (0, 1):
        raise BundleError("target.centre and target.scale must be 0 and 1 of classes", "are not")
    if not regression and target.transform is not None:
        raise BundleError("target.transform must be left out with classes", "is not")
    try:
        target.read_transform()
    except ValueError as error:
        raise BundleError("the constants of target.transform must be those of its scaling", str(error)) from error
    if len(target.classes) != 2 and (manifest.about.get("evaluation") or {}).get("out_of_fold") is not None:
        got = f"there are {len(target.classes)}"
        raise BundleError("about.evaluation.out_of_fold must be null but with two classes", got)
    if target.transform is not None and target.transform.low > target.transform.high:
        raise BundleError("target.transform.low must be at most target.transform.high", "is more")
    objective = (manifest.about.get("origin") or {}).get("objective", "loss")
    if objective not in metrics_of(network.loss):
        raise BundleError(f"about.origin.objective must be a metric that goes with {network.loss}", f"is {objective}")
    try:
        outputs = LOSSES[network.loss].outputs(len(target.classes))
    except DataError as error:
        raise BundleError(error.must, error.got, where=f"network.loss {network.loss}") from error
    if outputs != network.outputs:
        raise BundleError(f"network.outputs must be {outputs} here", f"is {network.outputs}")


def data_bytes(expected: Mapping[str, Tensor]) -> int:
    """What arrays take, without the safetensors file's own header."""
    return sum(math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize for tensor in expected.values())


def _signed(rest: bytes, signature: str) -> bool:
    digits = signature.encode()
    return len(digits) == 64 and hashlib.sha256(rest.replace(digits, UNSIGNED.encode(), 1)).hexdigest() == signature


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _not_plain("a key stands twice in an object")
    return found


def _refuse_constant(text: str) -> Any:
    raise _not_plain(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _not_plain(f"{text[:20]} is too large a number")
    return value


def _check_plain(value: Any) -> None:
    """Refuse deep nesting, and text that is none: half a character outside the basic plane cannot be printed.

    Raises:
        ValueError: with the reason, ours or Python's.
    """
    level = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                item.encode()
            elif isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
    raise _not_plain(f"it is nested more than {DEEPEST} deep")


def _not_plain(got: str) -> BundleError:
    return BundleError("must be plain JSON", got)
