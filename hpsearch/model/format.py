"""The format of a saved model, and its strict reader and writer.

A bundle is a folder with two files, read in this order; other files in it mean nothing. Both are data alone: nothing in
them is ever executed. Integers are JSON numbers without a point, other numbers are finite.

``model.json``: one JSON object in UTF-8, at most 16 MiB, nested at most 32 deep, with exactly these keys, none twice.

==================  ====================================================================================================
key                 value
==================  ====================================================================================================
format              ``"hpsearch-bundle"``
version             4
sha256              64 lower-case hexadecimal digits: the SHA-256 of this file with the first occurrence of these digits
                    replaced by 64 times ``0``
arrays.sha256       the SHA-256 of ``model.safetensors``
arrays.tensors      of each array by name: ``shape``, a list of integers, and ``dtype``, ``"float32"`` or ``"float64"``
network.members     M, the number of networks that predict together, at most 1,000
network.inputs      D, the number of features
network.neurons     a list of the hidden layers' widths, at most 1,000; may be empty; the same of all members
network.outputs     C with ``cross_entropy``, otherwise 1
network.loss        ``cross_entropy``, ``binary_cross_entropy`` (C = 2), ``squared_error`` or ``absolute_error``
network.activation  ``relu``, ``leaky_relu`` or ``tanh``, of the hidden layers
network.leaky_slope of ``leaky_relu``: at least 0, below 1
network.dtype       ``"float32"`` or ``"float64"``: what the network computes in
preprocessing       ``impute`` (``mean``, ``median`` or ``most-frequent``: how ``fill`` was found), ``missing`` (texts
                    that mean no value beside nothing, na, n/a, nan, none and null in small or capital letters; one that
                    is a number does so however it is written) and ``columns``
csv                 an object, see below: how CSV files of new rows are written; left out if as plain ones are
target.name         text
target.classes      C different texts, at least 2, in the order of their probabilities; none of a
                    regression
target.centre,      a regression prediction is the output times ``scale``, plus ``centre``, in the target's own unit; 0
target.scale        and 1 of classes; ``scale`` is above 0
target.transform    an object, see below, in a regression whose target is transformed too; else null or left out
about               how the model came to be, for people: any keys. Of those that are read again ``not_features`` is
                    null or a list of texts, ``ranges`` an object of pairs of numbers by the names of columns,
                    ``scorings`` an integer of at least 0, ``rows`` null or an object, ``evaluation``, ``origin``,
                    ``holdout`` and ``learning_curve`` null or objects, see below, ``as_exported`` true or false
==================  ====================================================================================================

Each of ``preprocessing.columns`` is an object with ``name`` (text, no two the same), ``kind`` (``numeric``,
``boolean``, ``categorical``, ``date`` or ``ordered``), ``indicator`` (true or false) and ``categories`` (different
texts, none empty; only of ``categorical`` and ``ordered``). They become D features, in order: of a categorical column
one that is 1 for each category and else 0, of another its value, a boolean's being 0 or 1, that of an ordered one the
place of its category, from 0; then, with an indicator, one that is 1 where the value is missing and else 0. A category
that is not among them gives zeros. No two features may have one name: those of column x are called x=category, x and
x=missing.

The value of a date is the days since 1970-01-01, with the time of day as a fraction, in UTC where it says how far it is
from it. Behind it stand its year, its month from 1, its day of the week from 0, which is Monday, and, if ``clock`` is
true, the hours since midnight: x=year, x=month, x=day of week and x=hour. ``form`` is how dates are written in text, as
C's ``strptime`` has it; ISO or any other that can be read one way only if it is empty. Both are left out otherwise.

A categorical column may be encoded: the object has ``frequent``, a number n of categories, or ``targets``, a number of
features; 0 or left out otherwise. Instead of one for each of its K categories it has the features of its row of the
array ``encodingN``, N = 1 for the first such column: row k of the k-th category, from 0, row K of a missing one, row K
+ 1 of any other. There are as many as the smaller of n and K, and one more, called x=frequent 1 and so on and x=other;
or as many as ``targets``, called x=target, or x=target 1 and so on.

``csv`` has what is not as in a plain CSV file: ``separator``, the character between values, else ``,``; ``decimal``,
what stands before decimals, ``.`` or ``,``, else ``.``; ``thousands``, what stands between groups of three digits,
``.``, ``,``, a space (for blanks of all kinds) or ``'`` (also for the typographic one), else nothing; ``units``, texts
beside numbers that change nothing, else none; ``encoding``, as Python calls it, else ``utf-8``.

``model.safetensors``: at most 2 GiB, with exactly these arrays, all finite, in row-major order; its own header has at
most 1 MiB.

=====================  ===================  ====================================================================
array                  shape, dtype         meaning
=====================  ===================  ====================================================================
``layerN.weights``     (M, fan_in,          of dense layer N = 1, 2, …, the output layer last, one matrix a member:
                       fan_out),            outputs are inputs times weights, plus biases
                       ``network.dtype``
``layerN.biases``      (M, fan_out),
                       likewise
``fill``               (D,), float64        what stands in for a feature that has no value
``encodingN``          (K + 2, features),   what stands for the categories of the N-th encoded column
                       float64
``lambdas``            (D,), float64        of ψ below; only where some feature is transformed
``centre``, ``scale``  (D,), float64        a feature x becomes (x - centre) / scale in float64, and is then cast to
                                            ``network.dtype``; ``scale`` is above 0
=====================  ===================  ====================================================================

With ``lambdas`` a feature x whose lambda λ is not 1 becomes (ψ(x) - centre) / scale instead, cut off at ±1000. ψ is the
power transformation of Yeo & Johnson (A new family of power transformations to improve normality or symmetry,
Biometrika 87, 2000, equation 2.1), p being λ where x is at least 0 and 2 - λ elsewhere:

    ψ(x) = sign(x) · ((1 + |x|)^p - 1) / p, or its limit, sign(x) · ln(1 + |x|), where p is 0

It is computed as sign(x) · expm1(p · log1p(|x|)) / p, in which p · log1p(|x|) is taken to be at most 700.

A member's probabilities are the softmax of its outputs; with ``binary_cross_entropy`` 1 / (1 + exp(-output)) is that of
the second class; of a regression see ``target``. What the model predicts is the mean of its members' predictions.

With ``target.transform``, the output times ``scale``, plus ``centre``, is not a prediction t but f(t). The object has
``scaling``, which names f, and f's constants, all numbers in the target's own unit but ``power``.

=========  =============================================================================================================
scaling    f
=========  =============================================================================================================
``log``    ln(t)
``power``  ψ((t - ``mean``) / ``deviation``), ψ(x) = sign(x) · ((1 + |x|)^p - 1) / p, or sign(x) · ln(1 + |x|) if p = 0;
           p is ``power`` where x is at least 0 and 2 - ``power`` elsewhere
=========  =============================================================================================================

Both have ``deviation``, above 0, the standard deviation of the training targets, and ``low`` and ``high``: a prediction
below ``low`` or above ``high`` is that instead. ``power`` is from 0 to 2, so that f reaches every number.

``about.evaluation`` has exactly the keys ``group`` and ``weight`` (text or null: the columns of files of rows that say
which rows belong together and how many each counts as), ``rare_classes`` (``"keep"``, ``"drop"`` or ``"other"``: what
became of rows of classes that the model does not have; with the last, they are of its class ``other``), ``in_time``
(true or false: rows follow each other in time) and ``out_of_fold``. That is null, or of two classes an object: what the
study's networks predicted for rows that they did not train on. It has lists of one length, ``probabilities`` (of the
second class), ``labels`` (0 or 1), ``units`` (integers below 2³¹, equal for rows that are one, or null) and ``weights``
(at least 0, or null); and ``folds`` (an integer of at least 1) and ``averaged`` (true or false: whether they are
averages of several networks).

``about.origin`` and ``about.holdout`` say what the model is expected to score, beside any other keys. Those of the
first may all be left out: ``objective`` (a metric that goes with the loss; ``loss`` if left out), ``corrected_value``,
``corrected_low`` and ``corrected_high`` (numbers or null) and ``corrected_is_about`` (text or null). The second has
``rows`` (an integer of at least 1) and ``loss`` (a number), and may have ``low`` and ``high`` (numbers or null).

``about.learning_curve`` has exactly two lists of one length: ``epochs`` (integers of at least 0) and ``training_loss``
(numbers), the mean of the members' data losses on the training rows at each checkpoint.

Version 3 is read too. It is a model of one member: it has no ``network.members``, and its arrays no axis of members.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import BundleError, one_line, reason
from hpsearch.model.manifest import (
    ARRAYS,
    FORMAT,
    MOST_REST_BYTES,
    REST,
    UNSIGNED,
    VERSION,
    Manifest,
    data_bytes,
    parse,
)
from hpsearch.regular_file import open_regular

MOST_HEADER_BYTES = 2**20  # of a safetensors file
_TYPES = {"F32": "float32", "F64": "float64"}  # as safetensors calls them


def encode(parts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> tuple[bytes, bytes]:
    """The two files, ``model.json`` and ``model.safetensors``.

    Args:
        parts: ``network``, ``preprocessing``, ``target`` and ``about``, as the format has them.
        arrays: by name.

    Raises:
        BundleError: what could not be read again.
    """
    packed = pack(arrays)
    listed = {name: {"shape": list(array.shape), "dtype": array.dtype.name} for name, array in arrays.items()}
    described = {"sha256": hashlib.sha256(packed).hexdigest(), "tensors": listed}
    head = {"format": FORMAT, "version": VERSION, "sha256": UNSIGNED, "arrays": described}
    try:
        rest = sign(json.dumps({**head, **parts}, indent=2, allow_nan=False).encode() + b"\n")
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError("The model must be plain JSON but for its arrays", one_line(error)) from error
    decode(rest, packed, "The model")
    return rest, packed


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """``model.safetensors``."""
    import safetensors.numpy

    return safetensors.numpy.save(dict(arrays))


def sign(unsigned: bytes) -> bytes:
    """``model.json`` with its checksum where the first 64 zeros stand."""
    return unsigned.replace(UNSIGNED.encode(), hashlib.sha256(unsigned).hexdigest().encode(), 1)


def read(folder: Path) -> tuple[Manifest, dict[str, NDArray[Any]]]:
    """A bundle's two files, checked.

    Raises:
        BundleError: as :func:`decode`, or a file that is not there, cannot be read, is no regular file or too large.
    """
    rest = _read(folder / REST, MOST_REST_BYTES)
    manifest = parse(rest, str(folder / REST))
    packed = _read(folder / ARRAYS, 8 + MOST_HEADER_BYTES + data_bytes(manifest.arrays.tensors))
    return manifest, unpack(packed, manifest, str(folder / ARRAYS))


def decode(rest: bytes, packed: bytes, origin: str) -> tuple[Manifest, dict[str, NDArray[Any]]]:
    """What the two files hold; ``origin`` is how to name them in errors.

    Raises:
        BundleError: anything that is not as the format says.
    """
    manifest = parse(rest, origin)
    return manifest, unpack(packed, manifest, origin)


def unpack(packed: bytes, manifest: Manifest, origin: str) -> dict[str, NDArray[Any]]:
    """``model.safetensors``, checked against ``model.json``.

    Raises:
        BundleError: anything that is not as the format says.
    """
    import safetensors

    deserialize: Any = safetensors.deserialize  # its types differ from version to version
    if hashlib.sha256(packed).hexdigest() != manifest.arrays.sha256:
        raise BundleError(f"must have the SHA-256 that {REST} names", "was changed since it was saved", where=origin)
    if int.from_bytes(packed[:8], "little") > MOST_HEADER_BYTES:
        raise BundleError(f"must have a header of at most {MOST_HEADER_BYTES / 2**20:g} MiB", "has more", where=origin)
    try:
        found = dict(deserialize(packed))
    except (safetensors.SafetensorError, ValueError) as error:
        raise BundleError("must be a safetensors file", one_line(error), where=origin) from error
    expected = manifest.arrays.tensors
    if set(found) != set(expected):
        name = min(set(found) ^ set(expected))
        only = f"{one_line(repr(name))} is in one only"
        raise BundleError(f"must have the arrays that {REST} names", only, where=origin)
    arrays = {}
    for name, tensor in expected.items():
        got = found[name]["shape"], _TYPES.get(found[name]["dtype"])
        if got != (tensor.shape, tensor.dtype):
            raise BundleError(
                f"{name} must be {tensor.dtype} of shape {tensor.shape}, as {REST} says",
                f"is {one_line(repr(found[name]['dtype']))} of shape {one_line(repr(got[0]))}",
                where=origin,
            )
        little = np.dtype(tensor.dtype).newbyteorder("<")
        arrays[name] = np.frombuffer(found[name]["data"], little).astype(tensor.dtype).reshape(tensor.shape)
        if not np.isfinite(arrays[name]).all() or (name == "scale" and arrays[name].min() <= 0):
            what = "finite and above 0" if name == "scale" else "finite"
            raise BundleError(f"{name} must be {what}", "is not everywhere", "Retrain the model.", where=origin)
    return arrays


def _read(path: Path, most: int) -> bytes:
    """A regular file of limited size."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            content = b"" if size > most else file.read(most + 1)
    except OSError as error:
        got = "is no folder" if isinstance(error, NotADirectoryError) else f"{path.name}: {reason(error)}"
        raise BundleError(f"must be a saved model with {REST} and {ARRAYS}", got, where=str(path.parent)) from error
    if size > most or len(content) > most:
        raise BundleError(f"must have at most {most:,} bytes", f"has {size:,}", where=str(path))
    return content
