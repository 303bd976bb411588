"""The passes over arrays between the matrix products, each in NumPy and as a loop that Numba compiles.

NumPy goes through memory once an operation, a compiled loop once a kernel. Both round the same operations in the same
order, so they have the same bits, and which of them computes is no part of a study's identity: :func:`begin` chooses.
(Of two nans in one sum, either may be the one that comes out, with its sign; no number ever depends on that.)

What would not keep the bits is left to NumPy: matrix products, whose sums are the BLAS's, and exponentials, which NumPy
computes in a way of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import FloatArray, IntArray
from hpsearch.errors import HpsearchError, quoted

BitArray = NDArray[np.signedinteger[Any]]  # floats seen as integers of their size
LabelArray = NDArray[np.integer[Any]]

# Importing Numba and loading what it once compiled take half a second. A process that has less to train, in parameters
# times rows over all updates, is done sooner without: it is the work of about a second.
WORTHWHILE = 4e9


@dataclass(frozen=True)
class Kernels:
    """One implementation of each kernel. They work in place; ``scratch`` has the shape of what it is scratch for.

    Attributes:
        relu: (values, zeros): v ← max(0, v), of arrays of one shape.
        relu_gradient: (outputs, grad, scratch), as bits: ``grad`` (L, width, B) ← 0 where ``outputs``
            (L, width + 1, B), whose last row belongs to no unit, are 0.
        shift: (logits): the largest of the C is subtracted from ``logits`` (L, C, B).
        share: (values): ``values`` (L, C, B) are divided by the sum of the C.
        error: (probabilities, targets, weights): p ← (p - y) · w, of (L, C, B), (L, C, B) and (L, 1, B).
        add_l1: (grads, params, lambdas, scratch): g ← g + λ · sign(w), the sign of 0 being 1.
        add_l2: (grads, params, lambdas, scratch): g ← g + λ · w.
        adam: (params, grads, mean, cache, scratch, learning_rate, beta1, beta2, epsilon, factor), the arrays (L, P):
            m ← β₁·m + (1 - β₁)·g; c ← β₂·c + (1 - β₂)·g²; w ← w - (lr · factor) · m / (√c + ε). ``learning_rate`` is
            (L, 1), or (1, 1) for all lanes; ``grads`` is scratch, too.
        take: (source, rows, out): ``out`` (S, L, B, W) ← the ``rows`` (S, L, B) of ``source``, (L, N, W) or, for all
            lanes, (1, N, W).
        one_hot: (labels, rows, out): ``out`` (S, L, C, B) ← 1 for the class that ``labels`` (N,) have for ``rows``
            (S, L, B), 0 for the others.
    """

    relu: Callable[[FloatArray, FloatArray], None]
    relu_gradient: Callable[[BitArray, BitArray, BitArray], None]
    shift: Callable[[FloatArray], None]
    share: Callable[[FloatArray], None]
    error: Callable[[FloatArray, FloatArray, FloatArray], None]
    add_l1: Callable[[FloatArray, FloatArray, FloatArray, FloatArray], None]
    add_l2: Callable[[FloatArray, FloatArray, FloatArray, FloatArray], None]
    adam: Callable[..., None]
    take: Callable[[FloatArray, IntArray, FloatArray], None]
    one_hot: Callable[[LabelArray, IntArray, FloatArray], None]


# Each kernel in NumPy, and below it its loop. In a loop, a Python number is 64 bits wide: one that meets an array's is
# rounded to the array's type first, as NumPy does. Sums start with the first value: 0 + -0 is not -0.


def _relu(values: FloatArray, zeros: FloatArray) -> None:
    # An array of zeros instead of the scalar 0: np.maximum is four times faster on two arrays.
    np.maximum(values, zeros, out=values)


def _relu_loop(values: FloatArray, zeros: FloatArray) -> None:
    flat, zero = values.reshape(-1), values.dtype.type(0)
    for i in range(flat.size):
        value = flat[i]
        flat[i] = value if value > 0 or np.isnan(value) else zero


def _relu_gradient(outputs: BitArray, grad: BitArray, scratch: BitArray) -> None:
    # As integers, outputs are 0 or positive like the numbers they encode. The sign of minus them, spread over all
    # bits, keeps or clears the gradient: a third less time than a comparison and a product with its truth values.
    np.negative(outputs[:, :-1], out=scratch)
    np.right_shift(scratch, 8 * scratch.itemsize - 1, out=scratch)
    np.bitwise_and(grad, scratch, out=grad)


def _relu_gradient_loop(outputs: BitArray, grad: BitArray, scratch: BitArray) -> None:
    for lane in range(len(grad)):
        of_lane, seen = grad[lane].reshape(-1), outputs[lane].reshape(-1)
        for i in range(of_lane.size):
            of_lane[i] = of_lane[i] if seen[i] > 0 else 0


# Features-first: max and sum over the few classes run along contiguous rows. Reductions called as such save the
# methods' way there, some 2 µs of the 10 that a small batch takes.


def _shift(logits: FloatArray) -> None:
    logits -= np.maximum.reduce(logits, axis=1, keepdims=True)


def _shift_loop(logits: FloatArray) -> None:
    lanes, classes, rows = logits.shape
    largest = np.empty(rows, logits.dtype)
    for lane in range(lanes):
        for row in range(rows):
            largest[row] = logits[lane, 0, row]
        for number in range(1, classes):
            for row in range(rows):
                most, value = largest[row], logits[lane, number, row]
                largest[row] = most if most > value or np.isnan(most) else value
        for number in range(classes):
            for row in range(rows):
                logits[lane, number, row] -= largest[row]


def _share(values: FloatArray) -> None:
    values /= np.add.reduce(values, axis=1, keepdims=True)


def _share_loop(values: FloatArray) -> None:
    lanes, classes, rows = values.shape
    sums = np.empty(rows, values.dtype)
    for lane in range(lanes):
        for row in range(rows):
            sums[row] = values[lane, 0, row]
        for number in range(1, classes):
            for row in range(rows):
                sums[row] += values[lane, number, row]
        for number in range(classes):
            for row in range(rows):
                values[lane, number, row] /= sums[row]


def _error(probabilities: FloatArray, targets: FloatArray, weights: FloatArray) -> None:
    np.subtract(probabilities, targets, out=probabilities)
    np.multiply(probabilities, weights, out=probabilities)


def _error_loop(probabilities: FloatArray, targets: FloatArray, weights: FloatArray) -> None:
    lanes, classes, rows = probabilities.shape
    for lane in range(lanes):
        for number in range(classes):
            for row in range(rows):
                difference = probabilities[lane, number, row] - targets[lane, number, row]
                probabilities[lane, number, row] = difference * weights[lane, 0, row]


def _add_l1(grads: FloatArray, params: FloatArray, lambdas: FloatArray, scratch: FloatArray) -> None:
    np.add(params, 0.0, out=scratch)  # -0.0 becomes +0.0, whose sign copysign takes as +
    np.copysign(lambdas, scratch, out=scratch)
    np.add(grads, scratch, out=grads)


def _add_l1_loop(grads: FloatArray, params: FloatArray, lambdas: FloatArray, scratch: FloatArray) -> None:
    zero = params.dtype.type(0)
    for lane in range(len(params)):
        for i in range(params.shape[1]):
            grads[lane, i] += np.copysign(lambdas[lane, i], params[lane, i] + zero)


def _add_l2(grads: FloatArray, params: FloatArray, lambdas: FloatArray, scratch: FloatArray) -> None:
    np.multiply(params, lambdas, out=scratch)
    np.add(grads, scratch, out=grads)


def _add_l2_loop(grads: FloatArray, params: FloatArray, lambdas: FloatArray, scratch: FloatArray) -> None:
    for lane in range(len(params)):
        for i in range(params.shape[1]):
            grads[lane, i] += params[lane, i] * lambdas[lane, i]


def _adam(
    params: FloatArray,
    grads: FloatArray,
    mean: FloatArray,
    cache: FloatArray,
    scratch: FloatArray,
    learning_rate: FloatArray,
    beta1: float,
    beta2: float,
    epsilon: float,
    factor: float,
) -> None:
    np.multiply(mean, beta1, out=mean)
    np.multiply(grads, 1 - beta1, out=scratch)
    np.add(mean, scratch, out=mean)
    np.multiply(grads, grads, out=grads)
    np.multiply(grads, 1 - beta2, out=grads)
    np.multiply(cache, beta2, out=cache)
    np.add(cache, grads, out=cache)
    np.sqrt(cache, out=scratch)
    np.add(scratch, epsilon, out=scratch)
    np.divide(mean, scratch, out=scratch)
    np.multiply(scratch, learning_rate * factor, out=scratch)
    np.subtract(params, scratch, out=params)


def _adam_loop(
    params: FloatArray,
    grads: FloatArray,
    mean: FloatArray,
    cache: FloatArray,
    scratch: FloatArray,
    learning_rate: FloatArray,
    beta1: float,
    beta2: float,
    epsilon: float,
    factor: float,
) -> None:
    kind = params.dtype.type
    old1, new1, old2, new2 = kind(beta1), kind(1 - beta1), kind(beta2), kind(1 - beta2)
    least, times = kind(epsilon), kind(factor)
    for lane in range(len(params)):
        rate = learning_rate[lane if len(learning_rate) > 1 else 0, 0] * times
        for i in range(params.shape[1]):
            grad = grads[lane, i]
            m = mean[lane, i] * old1 + grad * new1
            c = cache[lane, i] * old2 + (grad * grad) * new2
            mean[lane, i], cache[lane, i] = m, c
            params[lane, i] -= m / (np.sqrt(c) + least) * rate


def _take(source: FloatArray, rows: IntArray, out: FloatArray) -> None:
    kept, count, width = source.shape
    places = rows + count * np.arange(kept)[:, np.newaxis]
    # mode="clip" writes straight to `out`; by default take writes to a buffer first.
    np.take(source.reshape(-1, width), places, axis=0, out=out, mode="clip")


def _take_loop(source: FloatArray, rows: IntArray, out: FloatArray) -> None:
    steps, lanes, count, width = out.shape
    for step in range(steps):
        for lane in range(lanes):
            seen = source[lane if len(source) > 1 else 0]
            for row in range(count):
                values, place = seen[rows[step, lane, row]], out[step, lane, row]
                for i in range(width):
                    place[i] = values[i]


def _one_hot(labels: LabelArray, rows: IntArray, out: FloatArray) -> None:
    classes = np.arange(out.shape[2], dtype=labels.dtype)[:, np.newaxis]
    np.equal(labels[rows][:, :, np.newaxis], classes, out=out)


def _one_hot_loop(labels: LabelArray, rows: IntArray, out: FloatArray) -> None:
    steps, lanes, classes, count = out.shape
    seen = np.empty(count, labels.dtype)
    for step in range(steps):
        for lane in range(lanes):
            for row in range(count):
                seen[row] = labels[rows[step, lane, row]]
            for number in range(classes):
                for row in range(count):
                    out[step, lane, number, row] = seen[row] == number


NUMPY = Kernels(
    relu=_relu,
    relu_gradient=_relu_gradient,
    shift=_shift,
    share=_share,
    error=_error,
    add_l1=_add_l1,
    add_l2=_add_l2,
    adam=_adam,
    take=_take,
    one_hot=_one_hot,
)
LOOPS = Kernels(
    relu=_relu_loop,
    relu_gradient=_relu_gradient_loop,
    shift=_shift_loop,
    share=_share_loop,
    error=_error_loop,
    add_l1=_add_l1_loop,
    add_l2=_add_l2_loop,
    adam=_adam_loop,
    take=_take_loop,
    one_hot=_one_hot_loop,
)


@cache
def compiled() -> Kernels:
    """The loops, each to be compiled at its first call with arrays of a type, or loaded if that was done before.

    Without the package Numba (the extra ``fast``), or with one that does not go with this NumPy, NumPy's kernels.
    """
    try:
        from numba import njit
    except ImportError:
        return NUMPY
    loops = {field.name: getattr(LOOPS, field.name) for field in fields(LOOPS)}
    made: dict[str, Callable[..., None]]
    try:
        made = {name: _kept(njit(loop, cache=True, error_model="numpy")) for name, loop in loops.items()}
    except RuntimeError:  # no folder may be written to, neither the one beside this file nor one in the user's home
        made = {name: njit(loop, error_model="numpy") for name, loop in loops.items()}
    share = made["share"]
    # Of a single row NumPy adds up the classes in another order.
    made["share"] = lambda values: (share if values.shape[2] > 1 else _share)(values)
    return Kernels(**made)


def _kept(loop: Callable[..., None]) -> Callable[..., None]:
    """A loop that computes even if what was compiled cannot be kept: a full disk is no reason to stop."""

    def computed(*arguments: Any) -> None:
        try:
            loop(*arguments)
        except OSError:  # it was compiled, and has computed nothing yet
            loop(*arguments)

    return computed


_active, _work = NUMPY, 0.0


def active() -> Kernels:
    """The kernels to compute with now."""
    return _active


def begin(work: float) -> None:
    """Choose the kernels for a training that is about to begin, and for whatever is computed until the next one.

    They are the compiled ones once a process has enough to train. The environment variable ``HPSEARCH_KERNELS``
    chooses instead if it is ``numpy`` or ``compiled``.

    Args:
        work: parameters times rows, over all updates of all lanes.

    Raises:
        HpsearchError: the environment variable is something else.
    """
    global _active, _work
    _work += work
    wanted = os.environ.get("HPSEARCH_KERNELS")
    if wanted not in (None, "", "numpy", "compiled"):
        raise HpsearchError("HPSEARCH_KERNELS must be numpy or compiled", f"is {quoted(wanted)}", "Leave it out.")
    _active = compiled() if wanted == "compiled" or (wanted != "numpy" and _work > WORTHWHILE) else NUMPY
