"""The passes over arrays between the matrix products, each in NumPy and as a loop that Numba compiles.

NumPy goes through memory once an operation, a compiled loop once a kernel. It rounds the same operations in the same
order, so both have the same bits, and which of them computes is no part of a study's identity.

What would not keep the bits is NumPy's in either case: matrix products, whose sums are the BLAS's, and exponentials,
which NumPy computes in a way of its own. So are the passes that gain nothing, such as gathering a batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import FloatArray, IntArray

BitArray = NDArray[np.signedinteger[Any]]  # floats, seen as integers of their size


@dataclass(frozen=True)
class Kernels:
    """One implementation of every kernel. All work in place; what is in a ``scratch`` does not matter.

    Attributes:
        relu: (values, zeros), of one shape: ``values`` ← max(0, ``values``).
        relu_gradient: (outputs, grad, scratch), as bits: ``grad`` (L, width, B) ← 0 where ``outputs``
            (L, width + 1, B) is 0; the last row of outputs is no unit's.
        shift: (logits): from ``logits`` (L, C, B) the largest of the C is subtracted.
        share: (values): ``values`` (L, C, B) are divided by the sum over the C.
        error: (probabilities, targets, weights): p ← (p - y) · w, of (L, C, B) twice and (L, 1, B).
        add_l1: (grads, params, lambdas, scratch): g ← g + λ · sign(w), the sign of 0 being +.
        add_l2: (grads, params, lambdas, scratch): g ← g + λ · w.
        take: (source, rows, out): out (S, L, B, W) ← the ``rows`` (S, L, B) of ``source`` (L, N, W), or of (1, N, W) for
            every lane.
        one_hot: (labels, rows, out): out (S, L, C, B) ← 1 where the class is the one in ``labels`` (N,) of ``rows``
            (S, L, B), else 0.
        adam: (params, grads, mean, cache, scratch, learning_rate, beta1, beta2, epsilon, factor): m ← β₁·m + (1 - β₁)·g;
            c ← β₂·c + (1 - β₂)·g²; w ← w - (lr · factor) · m / (√c + ε), of (L, P); ``learning_rate`` is (L, 1) or
            (1, 1), and ``grads`` is scratch afterwards.
    """

    relu: Callable[[FloatArray, FloatArray], None]
    relu_gradient: Callable[[BitArray, BitArray, BitArray], None]
    shift: Callable[[FloatArray], None]
    share: Callable[[FloatArray], None]
    error: Callable[[FloatArray, FloatArray, FloatArray], None]
    add_l1: Callable[[FloatArray, FloatArray, FloatArray, FloatArray], None]
    add_l2: Callable[[FloatArray, FloatArray, FloatArray, FloatArray], None]
    take: Callable[[FloatArray, IntArray, FloatArray], None]
    one_hot: Callable[[NDArray[np.integer[Any]], IntArray, FloatArray], None]
    adam: Callable[..., None]


# ---------------------------------------------------------------- NumPy


def _relu(values: FloatArray, zeros: FloatArray) -> None:
    np.maximum(values, zeros, out=values)  # four times faster on two arrays than on an array and the number 0


def _relu_gradient(outputs: BitArray, grad: BitArray, scratch: BitArray) -> None:
    # As integers, outputs are 0 or positive like the numbers they encode. The sign of minus them, spread over all
    # bits, keeps or clears the gradient: a third less time than a comparison and a product with its truth values.
    np.negative(outputs[:, :-1], out=scratch)
    np.right_shift(scratch, 8 * scratch.itemsize - 1, out=scratch)
    np.bitwise_and(grad, scratch, out=grad)


# Features-first: max and sum over the few classes run along contiguous rows. Reductions called as such save the
# methods' way there, some 2 µs of the 10 that a small batch takes.


def _shift(logits: FloatArray) -> None:
    logits -= np.maximum.reduce(logits, axis=1, keepdims=True)


def _share(values: FloatArray) -> None:
    values /= np.add.reduce(values, axis=1, keepdims=True)


def _error(probabilities: FloatArray, targets: FloatArray, weights: FloatArray) -> None:
    np.subtract(probabilities, targets, out=probabilities)
    np.multiply(probabilities, weights, out=probabilities)


def _add_l1(grads: FloatArray, params: FloatArray, lambdas: FloatArray, scratch: FloatArray) -> None:
    np.add(params, 0.0, out=scratch)  # -0.0 becomes +0.0, whose sign copysign takes as +
    np.copysign(lambdas, scratch, out=scratch)
    np.add(grads, scratch, out=grads)


def _add_l2(grads: FloatArray, params: FloatArray, lambdas: FloatArray, scratch: FloatArray) -> None:
    np.multiply(params, lambdas, out=scratch)
    np.add(grads, scratch, out=grads)


def _take(source: FloatArray, rows: IntArray, out: FloatArray) -> None:
    kept, count, width = source.shape
    # mode="clip" writes straight to `out`; by default take writes to a buffer first.
    flat = source.reshape(-1, width)
    np.take(flat, rows + count * np.arange(kept)[:, np.newaxis], axis=0, out=out, mode="clip")


def _one_hot(labels: NDArray[np.integer[Any]], rows: IntArray, out: FloatArray) -> None:
    classes = np.arange(out.shape[-2], dtype=labels.dtype)[:, np.newaxis]
    np.equal(labels[rows][..., np.newaxis, :], classes, out=out)


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


NUMPY = Kernels(_relu, _relu_gradient, _shift, _share, _error, _add_l1, _add_l2, _take, _one_hot, _adam)


# ---------------------------------------------------------------- loops, to be compiled
# Python numbers are 64 bits wide: those that meet an array's are rounded to its type first, as NumPy does.


def _relu_loop(values: FloatArray, zeros: FloatArray) -> None:
    flat = values.reshape(-1)
    zero = values.dtype.type(0)
    for i in range(flat.size):
        value = flat[i]
        flat[i] = value if value > 0 or np.isnan(value) else zero


def _relu_gradient_loop(outputs: BitArray, grad: BitArray, scratch: BitArray) -> None:
    lanes, width, rows = grad.shape
    for lane in range(lanes):
        of_lane = outputs[lane].reshape(-1)
        flat = grad[lane].reshape(-1)
        for i in range(width * rows):
            flat[i] = flat[i] if of_lane[i] > 0 else 0


def _shift_loop(logits: FloatArray) -> None:
    lanes, classes, rows = logits.shape
    largest = np.empty(rows, logits.dtype)
    for lane in range(lanes):
        for row in range(rows):
            largest[row] = logits[lane, 0, row]
        for number in range(1, classes):
            for row in range(rows):
                value = logits[lane, number, row]
                most = largest[row]
                largest[row] = most if most >= value or np.isnan(most) else value
        for number in range(classes):
            for row in range(rows):
                logits[lane, number, row] -= largest[row]


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


def _error_loop(probabilities: FloatArray, targets: FloatArray, weights: FloatArray) -> None:
    lanes, classes, rows = probabilities.shape
    for lane in range(lanes):
        for number in range(classes):
            for row in range(rows):
                difference = probabilities[lane, number, row] - targets[lane, number, row]
                probabilities[lane, number, row] = difference * weights[lane, 0, row]


def _add_l1_loop(grads: FloatArray, params: FloatArray, lambdas: FloatArray, scratch: FloatArray) -> None:
    zero = params.dtype.type(0)
    for lane in range(len(params)):
        for i in range(params.shape[1]):
            grads[lane, i] += np.copysign(lambdas[lane, i], params[lane, i] + zero)


def _add_l2_loop(grads: FloatArray, params: FloatArray, lambdas: FloatArray, scratch: FloatArray) -> None:
    for lane in range(len(params)):
        for i in range(params.shape[1]):
            grads[lane, i] += params[lane, i] * lambdas[lane, i]


def _take_loop(source: FloatArray, rows: IntArray, out: FloatArray) -> None:
    steps, lanes, count, width = out.shape
    for step in range(steps):
        for lane in range(lanes):
            seen = source[lane if len(source) > 1 else 0]
            for row in range(count):
                values, place = seen[rows[step, lane, row]], out[step, lane, row]
                for i in range(width):
                    place[i] = values[i]


def _one_hot_loop(labels: NDArray[np.integer[Any]], rows: IntArray, out: FloatArray) -> None:
    steps, lanes, classes, count = out.shape
    seen = np.empty(count, labels.dtype)
    for step in range(steps):
        for lane in range(lanes):
            for row in range(count):
                seen[row] = labels[rows[step, lane, row]]
            for number in range(classes):
                for row in range(count):
                    out[step, lane, number, row] = seen[row] == number


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
    keep1, add1, keep2, add2 = kind(beta1), kind(1 - beta1), kind(beta2), kind(1 - beta2)
    least, times = kind(epsilon), kind(factor)
    for lane in range(len(params)):
        rate = learning_rate[lane if len(learning_rate) > 1 else 0, 0] * times
        for i in range(params.shape[1]):
            grad = grads[lane, i]
            m = mean[lane, i] * keep1 + grad * add1
            c = cache[lane, i] * keep2 + (grad * grad) * add2
            mean[lane, i], cache[lane, i] = m, c
            params[lane, i] -= m / (np.sqrt(c) + least) * rate


LOOPS = Kernels(
    _relu_loop,
    _relu_gradient_loop,
    _shift_loop,
    _share_loop,
    _error_loop,
    _add_l1_loop,
    _add_l2_loop,
    _take_loop,
    _one_hot_loop,
    _adam_loop,
)


def compiled() -> Kernels:
    from numba import njit

    jit = njit(cache=True, error_model="numpy")
    made = {field.name: jit(getattr(LOOPS, field.name)) for field in fields(LOOPS)}
    share = made["share"]
    made["share"] = lambda values: (share if values.shape[2] > 1 else _share)(values)
    return Kernels(**made)


@cache
def kernels() -> Kernels:
    return compiled() if os.environ.get("HPSEARCH_KERNELS") == "compiled" and find_spec("numba") else NUMPY
