"""What is no whole, unchanged, sensible bundle is refused, with one line."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from random_bundles import random_bundle, random_raws

from hpsearch import Bundle, BundleError
from hpsearch.data.columns import Column
from hpsearch.model import format as bundle_format
from hpsearch.model.format import decode, sign
from hpsearch.model.manifest import ARRAYS, MOST_REST_BYTES, REST, UNSIGNED, Manifest
from hpsearch.nn.layers import ACTIVATIONS
from hpsearch.nn.losses import LOSSES

MEMBERS = ("network", "members")


def files(bundle: Bundle, folder: Path) -> tuple[bytes, bytes]:
    bundle.save(folder, force=True)
    return (folder / REST).read_bytes(), (folder / ARRAYS).read_bytes()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    return files(random_bundle(), tmp_path_factory.mktemp("saved") / "model")


def signed(plain: Any, packed: bytes | None = None) -> bytes:
    """``model.json`` of these values, with checksums that fit: what a hostile author writes."""
    plain = {**plain, "sha256": UNSIGNED}
    if packed is not None:
        plain["arrays"] = {**plain["arrays"], "sha256": hashlib.sha256(packed).hexdigest()}
    # The checksum's key first, so that no other 64 zeros stand before it.
    return sign(json.dumps({"sha256": plain.pop("sha256"), **plain}).encode())


def refuse(rest: bytes, packed: bytes) -> str:
    with pytest.raises(BundleError) as refused:
        decode(rest, packed, "model")
    line = str(refused.value)
    assert "\n" not in line
    assert len(line) < 700
    return line


def attempt(rest: bytes, packed: bytes) -> tuple[Manifest, dict[str, Any]] | None:
    """What is read; None where it is refused in one line. Anything else that is raised fails the test."""
    try:
        return decode(rest, packed, "model")
    except BundleError as error:
        refused = str(error)
    assert "\n" not in refused
    assert len(refused) < 700
    return None


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("neurons", "members", "power"), [((), 3, None), ((4,), 1, 0.3), ((7, 5, 3), 2, None), ((5,), 3, -0.5)]
)
def test_what_is_saved_is_loaded_as_it_was(
    tmp_path: Path,
    loss: str,
    activation: str,
    dtype: str,
    neurons: tuple[int, ...],
    members: int,
    power: float | None,
) -> None:
    bundle = random_bundle(loss, activation, dtype, neurons=neurons, members=members, power=power)
    first = files(bundle, tmp_path / "model")
    loaded = Bundle.load(tmp_path / "model")
    features, _ = bundle.plan.expand(random_raws(bundle, 300))
    assert loaded.predictions(features).tobytes() == bundle.predictions(features).tobytes()
    assert loaded.parameters.tobytes() == bundle.parameters.tobytes()
    assert (loaded.plan, loaded.class_names, loaded.about) == (bundle.plan, bundle.class_names, bundle.about)
    assert (loaded.target_centre, loaded.target_scale) == (bundle.target_centre, bundle.target_scale)
    assert (loaded.scaling.lambdas is None) == (power is None)
    assert loaded.preprocessing == bundle.preprocessing
    assert files(loaded, tmp_path / "again") == first


@pytest.mark.parametrize(("members", "power"), [(1, None), (3, None), (3, -0.5), (1, 0.0), (2, 2.0)])
def test_a_reader_that_knows_the_format_alone_gets_the_same_predictions(
    tmp_path: Path, members: int, power: float | None
) -> None:
    """From the specification: nothing of ours is used but the files."""
    options: dict[str, Any] = {"members": members, "power": power, "offset": 1.0, "spread": 2.0}
    bundle = random_bundle("binary_cross_entropy", "leaky_relu", "float64", **options)
    rest, packed = files(bundle, tmp_path / "model")
    plain, arrays = json.loads(rest), safetensors.numpy.load(packed)
    digits = plain["sha256"].encode()
    assert hashlib.sha256(rest.replace(digits, b"0" * 64, 1)).hexdigest().encode() == digits
    assert hashlib.sha256(packed).hexdigest() == plain["arrays"]["sha256"]
    assert {name: (list(a.shape), a.dtype.name) for name, a in arrays.items()} == {
        name: (tensor["shape"], tensor["dtype"]) for name, tensor in plain["arrays"]["tensors"].items()
    }
    raws, columns = random_raws(bundle, 50), plain["preprocessing"]["columns"]
    blocks = []
    for column, raw in zip(columns, raws, strict=True):
        texts = [None if i < 0 else raw.categories[i] for i in raw.values] if raw.categories else raw.values
        if column["kind"] == "categorical":
            blocks += [[float(text == category) for text in texts] for category in column["categories"]]
            gaps = [float(text is None) for text in texts]
        else:
            blocks.append(list(texts))
            gaps = [float(value != value) for value in texts]
        blocks += [gaps] if column["indicator"] else []
    values = np.array(blocks).T
    values = np.where(np.isnan(values), arrays["fill"], values)
    assert ("lambdas" in arrays) == (power is not None)
    if power is not None:
        assert values.min() < -1
        p = np.where(values >= 0, arrays["lambdas"], 2 - arrays["lambdas"])
        with np.errstate(invalid="ignore"):
            raised = ((1 + np.abs(values)) ** p - 1) / p
        values = np.sign(values) * np.where(p == 0, np.log(1 + np.abs(values)), raised)
    values = (values - arrays["centre"]) / arrays["scale"]
    assert np.abs(values).max() < 1000
    layers = len(plain["network"]["neurons"]) + 1
    for layer in range(1, layers + 1):
        values = values @ arrays[f"layer{layer}.weights"] + arrays[f"layer{layer}.biases"][:, np.newaxis]
        if layer < layers:
            values = np.where(values > 0, values, plain["network"]["leaky_slope"] * values)
    features, _ = bundle.plan.expand(raws)
    assert plain["network"]["members"] == len(values) == members
    expected = (1 / (1 + np.exp(-values[:, :, 0]))).mean(axis=0)
    np.testing.assert_allclose(bundle.predictions(features)[:, 1], expected, rtol=1e-12)


def single(plain: dict[str, Any], packed: bytes) -> tuple[dict[str, Any], bytes]:
    """The first member of a model as version 3 of the format has it, from its specification."""
    arrays = safetensors.numpy.load(packed)
    arrays = {name: values[0] if name.startswith("layer") else values for name, values in arrays.items()}
    plain = copy.deepcopy(plain)
    del plain["network"]["members"]
    for name, values in arrays.items():
        plain["arrays"]["tensors"][name]["shape"] = list(values.shape)
    return {**plain, "version": 3}, safetensors.numpy.save(arrays)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_version_3_is_read_as_one_member(loss: str, dtype: str, tmp_path: Path) -> None:
    bundle = random_bundle(loss, dtype=dtype)
    rest, packed = files(bundle, tmp_path / "model")
    plain, older = single(json.loads(rest), packed)
    (tmp_path / "model" / REST).write_bytes(signed(plain, older))
    (tmp_path / "model" / ARRAYS).write_bytes(older)
    loaded = Bundle.load(tmp_path / "model")
    assert (loaded.members, loaded.parameters.shape) == (1, bundle.parameters.shape)
    features, _ = bundle.plan.expand(random_raws(bundle, 100))
    assert loaded.predictions(features).tobytes() == bundle.predictions(features).tobytes()
    assert files(loaded, tmp_path / "again") == (rest, packed), "it is saved as the current version has it"


def test_a_model_that_version_3_wrote_predicts_what_it_did() -> None:
    """Saved, and its predictions printed, by the code before there were members."""
    loaded = Bundle.load(Path(__file__).parent / "format3")
    features = np.zeros((2, 8))
    features[0, 0], features[1, [1, 5]] = 26.068402754166147, 1.0
    features[1, 0] = np.nan
    expected = [
        [0.29203590750694275, 0.4544987082481384, 0.2534653842449188],
        [0.30151185393333435, 0.0929921492934227, 0.6054959893226624],
    ]
    np.testing.assert_allclose(loaded.predictions(features), expected, rtol=1e-6)


def test_a_signed_lie_about_members_is_refused(tmp_path: Path) -> None:
    rest, packed = files(random_bundle(members=3), tmp_path / "model")
    plain = json.loads(rest)
    for members in (2, 4, 1000):
        assert "tensors must be those of the network" in refuse(signed(put(plain, MEMBERS, members)), packed)
    for members in (0, -1, 1001, 10**400, True, 3.0, None, [3]):
        assert "network.members" in refuse(signed(put(plain, MEMBERS, members)), packed)
    older, older_packed = single(plain, packed)
    refuse(signed({**plain, "version": 3}, packed), packed)
    refuse(signed({**older, "version": 4}, older_packed), older_packed)
    for members in (1, None):
        lie = put(older, ("network",), {**older["network"], "members": members})
        assert "no network.members in version 3" in refuse(signed(lie, older_packed), older_packed)
    refuse(signed(older, packed), packed)
    arrays = safetensors.numpy.load(packed)
    for name in ("layer1.weights", "layer2.biases"):  # of which one has fewer members than the others
        fewer = safetensors.numpy.save({**arrays, name: arrays[name][:2].copy()})
        assert f"{name} must be float32 of shape" in refuse(signed(plain, fewer), fewer)
        shape = ("arrays", "tensors", name, "shape", 0)
        assert "tensors must be those of the network" in refuse(signed(put(plain, shape, 2), fewer), fewer)


# --- accidents


def test_cut_short_anywhere_it_is_refused(saved: tuple[bytes, bytes]) -> None:
    rest, packed = saved
    for end in range(len(rest) - 1):
        refuse(rest[:end], packed)
    for end in range(len(packed)):
        refuse(rest, packed[:end])


def test_any_flipped_bit_is_refused(saved: tuple[bytes, bytes]) -> None:
    rest, packed = saved
    for place in range(len(rest)):
        refuse(rest[:place] + bytes([rest[place] ^ 1 << place % 8]) + rest[place + 1 :], packed)
    for place in range(len(packed)):
        refuse(rest, packed[:place] + bytes([packed[place] ^ 1 << place % 8]) + packed[place + 1 :])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_bytes_put_in_taken_out_or_replaced_are_refused(saved: tuple[bytes, bytes], data: st.DataObject) -> None:
    which = data.draw(st.sampled_from([0, 1]))
    old = saved[which]
    start = data.draw(st.integers(0, len(old)))
    stop = data.draw(st.integers(start, min(len(old), start + 200)))
    new = old[:start] + data.draw(st.binary(max_size=50)) + old[stop:]
    if new != old:
        refuse(*((new, saved[1]) if which == 0 else (saved[0], new)))


# --- hostile authors, whose checksums fit


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where each value of a JSON document is."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in leaves(item, (*path, key)))]


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value there."""
    changed = copy.deepcopy(document)
    if not path:
        return value
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "float32", "float64", "tanh", "x", "\ud800", "a\nb", "x" * 5000, 10**300, 2**63]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(st.data())
def test_a_signed_document_is_refused_or_predicts_what_it_says(saved: tuple[bytes, bytes], data: st.DataObject) -> None:
    """Any value put anywhere: an error of one line, or a model that says the same again when it is saved."""
    rest, packed = saved
    plain = json.loads(rest)
    changed = put(plain, data.draw(st.sampled_from(leaves(plain)[1:])), data.draw(JSON))
    if (read := attempt(signed(changed), packed)) is not None:
        manifest, arrays = read
        kept = {key: changed[key] for key in ("network", "preprocessing", "target", "about")}
        assert manifest.model_dump(include=set(kept), exclude_unset=True) == kept
        assert sum(array.nbytes for array in arrays.values()) < len(packed)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_a_signed_document_without_a_key_or_with_one_more_is_refused(
    saved: tuple[bytes, bytes], data: st.DataObject
) -> None:
    rest, packed = saved
    plain = json.loads(rest)
    inside = [path for path in leaves(plain) if path[:1] != ("about",)]
    path = data.draw(st.sampled_from([path for path in inside if isinstance(path and path[-1], str)]))
    changed = copy.deepcopy(plain)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if data.draw(st.booleans()):
        del inner[path[-1]]
    else:
        inner["further"] = 1
    if path != ("sha256",) or "further" in changed:
        refuse(signed(changed), packed)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_signed_arrays_of_any_bytes_are_refused_or_read(saved: tuple[bytes, bytes], data: st.DataObject) -> None:
    """Headers that lie, values that are no numbers: an error of one line, never another."""
    rest, packed = saved
    start = data.draw(st.integers(0, len(packed)))
    stop = data.draw(st.integers(start, min(len(packed), start + 100)))
    changed = packed[:start] + data.draw(st.binary(max_size=50)) + packed[stop:]
    if (read := attempt(signed(json.loads(rest), changed), changed)) is not None:
        arrays = read[1]
        assert all(np.isfinite(array).all() for array in arrays.values())
        assert arrays["scale"].min() > 0


OUT_OF_FOLD = {"probabilities": [0.5, 0.5], "labels": [0, 1], "folds": 5, "averaged": True, "units": None}
OF_TWO = {
    "group": None,
    "weight": None,
    "rare_classes": "keep",
    "in_time": False,
    "out_of_fold": {**OUT_OF_FOLD, "weights": None},
}
A_ROW_SHORT = {**OF_TWO, "out_of_fold": {**OUT_OF_FOLD, "weights": [1.0]}}
HOSTILE: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "a billion neurons": (("network", "neurons"), [10**9], "tensors must be those of the network"),
    "more neurons than numbers": (("network", "neurons", 0), 10**400, "network.neurons.0"),
    "many layers": (("network", "neurons"), [1] * 1001, "network.neurons"),
    "no neuron": (("network", "neurons"), [0], "network.neurons.0"),
    "a truth for a number": (("network", "inputs"), True, "network.inputs"),
    "a fraction for a number": (("network", "inputs"), 15.0, "network.inputs"),
    "an unknown loss": (("network", "loss"), "hinge", "Unknown loss 'hinge'"),
    "an endless loss": (("network", "loss"), "x" * 10**6, "network.loss"),
    "a loss of a regression target": (("network", "loss"), "squared_error", "classes must be none"),
    "a loss of two classes": (("network", "loss"), "binary_cross_entropy", "must have two classes"),
    "an unknown activation": (("network", "activation"), "swish", "Unknown activation 'swish'"),
    "a steep slope": (("network", "leaky_slope"), 1, "network.leaky_slope"),
    "half precision": (("network", "dtype"), "float16", "network.dtype"),
    "other precision": (("network", "dtype"), "float64", "tensors must be those of the network"),
    "a class twice": (("target", "classes"), ["a", "a", "b"], "at least two different texts"),
    "a class that is a number": (("target", "classes"), ["a", "b", 3], "target.classes.2"),
    "a class too few": (("target", "classes"), ["a", "b"], "network.outputs must be 2 here, but is 3"),
    "a scaled class": (("target", "scale"), 2.0, "must be 0 and 1 of classes"),
    "a scale of nothing": (("target", "scale"), 0, "target.scale"),
    "a column too few": (("preprocessing", "columns", 0, "indicator"), False, "features of different names"),
    "a column twice": (("preprocessing", "columns", 0, "name"), "weight", "columns must have different names"),
    "an unknown kind": (("preprocessing", "columns", 0, "kind"), "moment", "preprocessing.columns.0.kind"),
    "categories of numbers": (("preprocessing", "columns", 0, "categories"), ["a"], "only columns of categories"),
    "an order of nothing": (("preprocessing", "columns", 0, "kind"), "ordered", "columns of an order must have categ"),
    "a category twice": (("preprocessing", "columns", 4, "categories"), ["f", "f"], "must be different texts"),
    "a category without name": (("preprocessing", "columns", 4, "categories"), ["f", ""], "none of them empty"),
    "no separator": (("csv",), {"separator": ""}, "must be one character"),
    "another decimal mark": (("csv",), {"decimal": "'"}, "csv.decimal"),
    "one mark for two": (("csv",), {"thousands": "."}, "must not be the decimal mark"),
    "a unit of digits": (("csv",), {"units": ["1"]}, "must be signs"),
    "an encoding that runs code": (("csv",), {"encoding": "unicode_escape"}, "csv.encoding"),
    "a format of nothing": (("csv",), None, "csv"),
    "half a character": (("target", "name"), "\ud800", "surrogates not allowed"),
    "columns to ignore that are none": (("about", "not_features"), 5, "not_features"),
    "a range of one number": (("about", "ranges"), {"age": [1.0]}, "ranges"),
    "fewer than no scorings": (("about", "scorings"), -1, "scorings"),
    "fewer labels than probabilities": (
        ("about", "evaluation"),
        A_ROW_SHORT,
        "one value a row",
    ),
    "out-of-fold predictions of three classes": (("about", "evaluation"), OF_TWO, "null but with two classes"),
    "an origin that is text": (("about", "origin"), "x", "origin"),
    "an origin of an unknown objective": (("about", "origin"), {"objective": "zzz"}, "Unknown objective 'zzz'"),
    "an origin of another task": (("about", "origin"), {"objective": "r2"}, "must be a metric that goes with"),
    "a corrected score that is text": (("about", "origin"), {"corrected_low": "low"}, "origin.corrected_low"),
    "a hold-out that is a number": (("about", "holdout"), 5, "holdout"),
    "a hold-out without a loss": (("about", "holdout"), {"rows": 5}, "holdout.loss"),
    "a curve of nothing": (("about", "learning_curve"), {"epochs": [1], "training_loss": []}, "one loss an epoch"),
    "a curve of text": (("about", "learning_curve"), {"epochs": [1], "training_loss": ["x"]}, "learning_curve"),
    "version of another type": (("version",), True, "is of version True"),
    "a fraction of a version": (("version",), 3.0, "is of version 3.0"),
    "an earlier version": (("version",), 2, "is of version 2. Retrain it"),
    "another format": (("format",), "safetensors", "must be a hpsearch-bundle"),
}


@pytest.mark.parametrize(("change", "message"), [("shape", "must be those of the network"), ("nan", "finite")])
def test_lambdas_that_are_none_are_refused(tmp_path: Path, change: str, message: str) -> None:
    rest, packed = files(random_bundle(power=0.3), tmp_path / "model")
    plain, arrays = json.loads(rest), safetensors.numpy.load(packed)
    if change == "shape":
        plain["arrays"]["tensors"]["lambdas"]["shape"] = [1]
        arrays["lambdas"] = arrays["lambdas"][:1]
    else:
        arrays["lambdas"] = np.full_like(arrays["lambdas"], np.nan)
    packed = safetensors.numpy.save(arrays)
    assert message in refuse(signed(plain, packed), packed)


@pytest.mark.parametrize("case", HOSTILE)
def test_a_signed_lie_is_refused_saying_which(saved: tuple[bytes, bytes], case: str) -> None:
    path, value, message = HOSTILE[case]
    assert message in refuse(signed(put(json.loads(saved[0]), path, value)), saved[1])


# --- columns of every kind

EVERY = (
    Column("size", "ordered", True, ("S", "M", "L")),
    Column("when", "date", True, form="%d/%m/%Y", clock=True),
    Column("day", "date"),
    Column("city", "categorical", True, ("Oslo", "Rome", "Åbo"), frequent=2),
    Column("street", "categorical", False, ("a", "b", "c", "d"), targets=3),
    Column("zip", "categorical", False, (), targets=1),
)


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    return files(random_bundle(columns=EVERY), tmp_path_factory.mktemp("every") / "model")


def test_columns_of_every_kind_are_saved_and_read(every: tuple[bytes, bytes], tmp_path: Path) -> None:
    bundle = random_bundle(columns=EVERY)
    for name, content in zip((REST, ARRAYS), every, strict=True):
        (tmp_path / name).write_bytes(content)
    again = Bundle.load(tmp_path)
    assert again.plan == bundle.plan
    features, _ = bundle.plan.expand(random_raws(bundle, 50))
    np.testing.assert_array_equal(again.predictions(features), bundle.predictions(features))


LIES: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "an order of numbers": (("preprocessing", "columns", 0, "kind"), "numeric", "only columns of categories"),
    "a form that is none": (("preprocessing", "columns", 1, "form"), "%d", "must say how a date is written"),
    "a form of an order": (("preprocessing", "columns", 1, "kind"), "ordered", "only dates must have a form"),
    "no clock": (("preprocessing", "columns", 1, "clock"), False, "features of different names"),
    "fewer frequent ones": (("preprocessing", "columns", 3, "frequent"), 1, "tensors must be those"),
    "as many as there are, and more": (("preprocessing", "columns", 3, "frequent"), 10**9, "tensors must be those"),
    "two encodings": (("preprocessing", "columns", 3, "targets"), 1, "must be encoded in one way"),
    "a billion targets": (("preprocessing", "columns", 4, "targets"), 10**9, "must be 1 or the number of classes"),
    "an encoded number": (("preprocessing", "columns", 5, "kind"), "numeric", "must be encoded in one way"),
    "another category": (("preprocessing", "columns", 5, "categories"), ["x"], "tensors must be those"),
}


@pytest.mark.parametrize("case", LIES)
def test_a_signed_lie_of_a_column_is_refused_saying_which(every: tuple[bytes, bytes], case: str) -> None:
    path, value, message = LIES[case]
    assert message in refuse(signed(put(json.loads(every[0]), path, value)), every[1])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_a_signed_document_of_every_kind_is_refused_or_read(every: tuple[bytes, bytes], data: st.DataObject) -> None:
    rest, packed = every
    plain = json.loads(rest)
    columns = [path for path in leaves(plain) if path[:2] == ("preprocessing", "columns")]
    changed = put(plain, data.draw(st.sampled_from(columns)), data.draw(JSON))
    if (read := attempt(signed(changed), packed)) is not None:
        assert (
            read[0].model_dump(include={"preprocessing"}, exclude_unset=True)["preprocessing"]
            == changed["preprocessing"]
        )


def test_a_billion_neurons_with_arrays_to_match_are_refused_without_allocating(saved: tuple[bytes, bytes]) -> None:
    plain = json.loads(saved[0])
    plain["network"]["neurons"] = [2**31, 2**31]
    expected = {"layer1.biases": [1, 2**31], "layer2.weights": [1, 2**31, 2**31]}
    expected |= {"layer2.biases": [1, 2**31], "layer3.weights": [1, 2**31, 3], "layer3.biases": [1, 3]}
    for name, shape in expected.items():
        plain["arrays"]["tensors"][name] = {"shape": shape, "dtype": "float32"}
    inputs = plain["network"]["inputs"]
    plain["arrays"]["tensors"]["layer1.weights"]["shape"] = [1, inputs, 2**31]
    text = signed(plain)
    tracemalloc.start()
    try:
        assert "at most 2 GiB, but claim more" in refuse(text, saved[1])
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_of_a_hundred_thousand_mistakes_one_line_is_said(saved: tuple[bytes, bytes]) -> None:
    plain = json.loads(saved[0])
    message = refuse(signed(put(plain, ("preprocessing", "columns"), [1] * 100_000)), saved[1])
    assert "preprocessing.columns.0: " in message
    strange = {f"key {i}": 1 for i in range(100_000)}
    message = refuse(signed(put(plain, ("network",), {**plain["network"], **strange})), saved[1])
    assert "in 100,000 places is not" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": 1, "a": 1}', "a key stands twice"),
        (b"[" * 100_000, "must be plain JSON"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested more than 32 deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "must be plain JSON"),
        (b"\xff\xfe{\x00}\x00", "must be plain JSON"),
        (b"\xef\xbb\xbf{}", "must be plain JSON"),
        (b" " * (MOST_REST_BYTES + 1), "at most 16 MiB"),
        (b"", "must be plain JSON"),
        (b"null", "must be a hpsearch-bundle"),
    ],
)
def test_json_that_is_no_plain_object_is_refused(saved: tuple[bytes, bytes], text: bytes, message: str) -> None:
    assert message in refuse(text, saved[1])


CHANGED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no array": (lambda a: a.pop("centre"), "'centre' is in one only"),
    "one more": (lambda a: a.update(more=np.zeros(3)), "'more' is in one only"),
    "another shape": (lambda a: a.update(centre=np.zeros(3)), "centre must be float64 of shape"),
    "another type": (lambda a: a.update(scale=a["scale"].astype(np.float32)), "scale must be float64"),
    "integers": (lambda a: a.update(scale=np.ones(len(a["scale"]), np.int64)), "scale must be float64"),
    "nan": (lambda a: a["layer1.biases"].fill(np.nan), "layer1.biases must be finite"),
    "infinity": (lambda a: a["fill"].fill(np.inf), "fill must be finite"),
    "no scale": (lambda a: a["scale"].fill(0), "scale must be finite and above 0"),
    "a negative scale": (lambda a: a["scale"].fill(-1), "scale must be finite and above 0"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_signed_arrays_that_do_not_fit_are_refused(saved: tuple[bytes, bytes], case: str) -> None:
    change, message = CHANGED[case]
    arrays = {name: array.copy() for name, array in safetensors.numpy.load(saved[1]).items()}
    change(arrays)
    packed = safetensors.numpy.save(arrays)
    assert message in refuse(signed(json.loads(saved[0]), packed), packed)


def test_a_header_that_claims_more_than_there_is_is_refused(saved: tuple[bytes, bytes]) -> None:
    rest = json.loads(saved[0])
    for size in (2**20 + 1, 2**63, 2**64 - 1):
        packed = size.to_bytes(8, "little") + saved[1][8:]
        assert "header of at most 1 MiB" in refuse(signed(rest, packed), packed)
    header = json.dumps({"centre": {"dtype": "F64", "shape": [2**62, 0], "data_offsets": [0, 0]}}).encode()
    deep = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    for text in (header, deep, b"{}", b"null", b""):
        packed = len(text).to_bytes(8, "little") + text
        refuse(signed(rest, packed), packed)


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    bundle = random_bundle()
    bundle.parameters[0, 0] = np.nan
    with pytest.raises(BundleError, match=r"layer1\.weights must be finite"):
        bundle.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


# --- on disk


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("name", [REST, ARRAYS])
def test_a_pipe_or_folder_in_place_of_a_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    for place in (os.mkfifo, Path.mkdir):
        folder = tmp_path / place.__name__
        random_bundle().save(folder)
        (folder / name).unlink()
        place(folder / name)
        with pytest.raises(BundleError, match=name):
            Bundle.load(folder)


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    for name, size in ((REST, MOST_REST_BYTES + 1), (ARRAYS, 2**40)):
        random_bundle().save(tmp_path / name)
        os.truncate(tmp_path / name / name, size)  # a hole: it takes no room
        with pytest.raises(BundleError, match=r"must have at most [\d,]+ bytes"):
            Bundle.load(tmp_path / name)


def test_nothing_is_unpickled_executed_or_imported_by_name(tmp_path: Path) -> None:
    """Python itself tells of each attempt."""
    random_bundle().save(tmp_path / "model")
    program = (
        "import sys\n"
        "from hpsearch import Bundle\n"
        f"Bundle.load({str(tmp_path / 'model')!r})  # whatever is imported late is imported now\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, arguments: seen.append(event))\n"
        f"Bundle.load({str(tmp_path / 'model')!r})\n"
        "print(sorted(set(seen)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    events = json.loads(done.stdout.replace("'", '"'))
    assert "open" in events, "the hook hears nothing"
    assert not {"pickle.find_class", "exec", "compile", "import", "marshal.loads", "os.system"} & set(events)


def test_the_specification_names_every_key_and_array(saved: tuple[bytes, bytes]) -> None:
    text, plain = bundle_format.__doc__ or "", json.loads(saved[0])
    keys = {path[-1] for path in leaves(plain) if path and path[0] != "about" and isinstance(path[-1], str)}
    arrays = {"layerN.weights", "layerN.biases", "fill", "centre", "scale"}
    for key in (keys - set(plain["arrays"]["tensors"])) | arrays:
        assert key in text, key
