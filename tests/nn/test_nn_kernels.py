"""The compiled kernels have the bits of NumPy's, for any shape and any values."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scenes import scene

from hpsearch.errors import HpsearchError
from hpsearch.nn import kernels
from hpsearch.nn.kernels import NUMPY, Kernels
from hpsearch.nn.losses import LOSSES
from hpsearch.nn.optimizers import OPTIMIZERS

Array = NDArray[Any]
KINDS = st.sampled_from([np.float32, np.float64])
SEEDS = st.integers(0, 2**32 - 1)
LANES = st.integers(1, 4)
# Around the widths of vector registers, whose remainders are computed by other instructions.
LENGTHS = st.integers(1, 70)


@pytest.fixture(scope="module")
def fast() -> Kernels:
    pytest.importorskip("numba")
    assert kernels.compiled() is not NUMPY
    return kernels.compiled()


def numbers(draw: np.random.Generator, shape: tuple[int, ...], kind: type, special: bool) -> Array:
    """Normal numbers of all magnitudes; if ``special``, with some of what is no ordinary number among them."""
    values = (draw.standard_normal(shape) * 10.0 ** draw.integers(-4, 4, shape)).astype(kind)
    if special:
        limits = np.finfo(kind)
        least, tiny, most = limits.smallest_subnormal, limits.tiny, limits.max
        others = np.array([0, -0.0, np.inf, -np.inf, np.nan, least, -least, tiny, -tiny / 2, most, -most], kind)
        places = draw.random(shape) < 0.3
        values[places] = draw.choice(others, int(places.sum()))
    return values


def bits(array: Array) -> bytes:
    """All bits, but for which nan a nan is: that depends on the order of the two summands."""
    return np.where(np.isnan(array), np.nan, array).astype(array.dtype).tobytes()


def assert_same(
    kernel: str, fast: Kernels, arrays: list[Array], *numbers: float, written: tuple[int, ...] = (0,)
) -> None:
    """Both write the same bits to the arrays that are ``written``; what the others hold does not matter."""
    outcomes = []
    for one in (NUMPY, fast):
        mine = [array.copy() for array in arrays]
        with np.errstate(all="ignore"):
            getattr(one, kernel)(*mine, *numbers)
        outcomes.append([bits(mine[number]) for number in written])
    assert outcomes[0] == outcomes[1], kernel


@settings(derandomize=True, deadline=None)
@given(seed=SEEDS, kind=KINDS, lanes=LANES, width=st.integers(1, 9), rows=LENGTHS, special=st.booleans())
def test_relu_and_its_gradient(
    seed: int, kind: Any, lanes: int, width: int, rows: int, special: bool, fast: Kernels
) -> None:
    draw = np.random.default_rng(seed)
    values = numbers(draw, (lanes, width + 1, rows), kind, special)
    assert_same("relu", fast, [values, np.zeros_like(values)])
    NUMPY.relu(values, np.zeros_like(values))
    grad, integer = numbers(draw, (lanes, width, rows), kind, special), f"i{values.itemsize}"
    assert_same("relu_gradient", fast, [values.view(integer), grad.view(integer), grad.view(integer)], written=(1,))


@settings(derandomize=True, deadline=None)
@given(seed=SEEDS, kind=KINDS, lanes=LANES, classes=st.integers(1, 40), rows=LENGTHS, special=st.booleans())
def test_the_softmax_and_its_gradient(
    seed: int, kind: Any, lanes: int, classes: int, rows: int, special: bool, fast: Kernels
) -> None:
    draw = np.random.default_rng(seed)
    shape = (lanes, classes, rows)
    values, targets = numbers(draw, shape, kind, special), numbers(draw, shape, kind, special)
    with np.errstate(all="ignore"):
        shifted = [values.copy(), values.copy()]
        for one, array in zip((NUMPY, fast), shifted, strict=True):
            one.shift(array)
            np.exp(array, out=array)  # of 0 and of -0 the same: which of the two is the largest does not matter
    assert bits(shifted[0]) == bits(shifted[1])
    assert_same("share", fast, [values])
    assert_same("error", fast, [values, targets, numbers(draw, (lanes, 1, rows), kind, special)])


@settings(derandomize=True, deadline=None)
@given(seed=SEEDS, kind=KINDS, lanes=LANES, size=LENGTHS, special=st.booleans())
def test_the_gradients_of_the_penalties(
    seed: int, kind: Any, lanes: int, size: int, special: bool, fast: Kernels
) -> None:
    draw = np.random.default_rng(seed)
    grads, params, lambdas = (numbers(draw, (lanes, size), kind, special) for _ in range(3))
    for kernel in ("add_l1", "add_l2"):
        assert_same(kernel, fast, [grads, params, lambdas, np.empty_like(grads)])


@settings(derandomize=True, deadline=None)
@given(seed=SEEDS, kind=KINDS, lanes=LANES, size=LENGTHS, special=st.booleans(), alike=st.booleans())
def test_an_update_of_adam(
    seed: int, kind: Any, lanes: int, size: int, special: bool, alike: bool, fast: Kernels
) -> None:
    draw = np.random.default_rng(seed)
    params, grads, mean, cache, scratch = (numbers(draw, (lanes, size), kind, special) for _ in range(5))
    rates = numbers(draw, (1 if alike else lanes, 1), kind, special)
    constants = [*draw.uniform(0, 1, 2).tolist(), *(10 ** draw.uniform(-9, 0, 2)).tolist()]  # β₁, β₂, ε, factor
    assert_same("adam", fast, [params, grads, mean, cache, scratch, rates], *constants, written=(0, 2, 3))


@settings(derandomize=True, deadline=None)
@given(seed=SEEDS, kind=KINDS, lanes=LANES, steps=st.integers(1, 3), rows=LENGTHS, alike=st.booleans())
def test_the_gather_of_a_batch(
    seed: int, kind: Any, lanes: int, steps: int, rows: int, alike: bool, fast: Kernels
) -> None:
    draw = np.random.default_rng(seed)
    source = numbers(draw, (1 if alike else lanes, 50, int(draw.integers(1, 40))), kind, True)
    places = draw.integers(0, 50, (steps, lanes, rows))
    assert_same("take", fast, [source, places, np.ones((*places.shape, source.shape[2]), kind)], written=(2,))
    classes = int(draw.integers(1, 20))
    labels = draw.integers(0, classes, 50).astype(np.uint8)
    assert_same("one_hot", fast, [labels, places, np.empty((steps, lanes, classes, rows), kind)], written=(2,))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [None, 7], ids=["full batch", "mini-batches"])
@pytest.mark.parametrize("rates", [0.05, 1e30], ids=["learning", "diverging"])
def test_a_training_has_the_same_bits_with_either_kind(dtype: Any, batch_size: int | None, rates: float) -> None:
    pytest.importorskip("numba")

    def trained(which: str, loss: str, optimizer: str, **more: Any) -> list[bytes]:
        one = scene(
            loss=loss, optimizer=OPTIMIZERS[optimizer](), dtype=dtype, batch_size=batch_size, rates=rates, **more
        )
        with pytest.MonkeyPatch.context() as environment, np.errstate(all="ignore"):
            environment.setenv("HPSEARCH_KERNELS", which)
            params, points = one.run()
        assert (kernels.active() is NUMPY) == (which == "numpy")
        return [bits(params), *(bits(point.total_loss) for point in points)]

    for loss in LOSSES:
        for optimizer in OPTIMIZERS:
            for more in ({}, {"dropout": (0.2, 0.5)}):
                assert trained("numpy", loss, optimizer, **more) == trained("compiled", loss, optimizer, **more)


# ---------------------------------------------------------------- which are used


def test_the_compiled_ones_are_used_once_there_is_enough_to_train(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.delenv("HPSEARCH_KERNELS", raising=False)
    monkeypatch.setattr(kernels, "_work", 0.0)
    for work, expected in [(1.0, NUMPY), (kernels.WORTHWHILE, kernels.compiled()), (0.0, kernels.compiled())]:
        kernels.begin(work)
        assert kernels.active() is expected
    monkeypatch.setenv("HPSEARCH_KERNELS", "numpy")
    kernels.begin(0.0)
    assert kernels.active() is NUMPY


def test_what_cannot_be_kept_on_disk_computes_all_the_same(tmp_path: Path) -> None:
    """In a process of its own, which may write no more than a few bytes to a file."""
    pytest.importorskip("numba")
    program = """
import resource
import numpy as np
from hpsearch.nn import kernels
made = kernels.compiled()
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
values, zeros = np.array([-1.0, 2.0], np.float32), np.zeros(2, np.float32)
made.relu(values, zeros)
assert values.tolist() == [0, 2]
assert made is not kernels.NUMPY
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert not [*tmp_path.rglob("*.nbc")]


def test_other_kernels_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_KERNELS", "fastest")
    with pytest.raises(HpsearchError, match="HPSEARCH_KERNELS must be numpy or compiled, but is 'fastest'"):
        kernels.begin(0)
