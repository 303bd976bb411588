"""A lane does not know its company: alone or among others, the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import assert_same_bits, scene

from hpsearch.nn import rows, trainer
from hpsearch.nn.layers import ACTIVATIONS
from hpsearch.nn.losses import LOSSES
from hpsearch.nn.network import INITIALISATIONS
from hpsearch.nn.optimizers import OPTIMIZERS, SGD
from hpsearch.nn.passes import Evaluator
from hpsearch.nn.rows import PaddedRows

pytestmark = pytest.mark.usefixtures("each_kernels")


@st.composite
def scenes(draw: st.DrawFn) -> Any:
    """A training of any small shape; its lanes have different rows, learning rates, decays and lambdas."""
    counts = draw(st.lists(st.integers(1, 60), min_size=2, max_size=5))
    length = max(counts) + draw(st.integers(0, 6))
    number = st.floats(0, 1, allow_subnormal=False)
    of_lanes = st.lists(number, min_size=len(counts), max_size=len(counts))
    neurons = tuple(draw(st.lists(st.integers(1, 40), max_size=3)))
    rates = st.tuples(*[st.sampled_from([0.0, 0.3, 0.9]) for _ in neurons])
    return scene(
        lanes=len(counts),
        neurons=neurons,
        loss=draw(st.sampled_from(sorted(LOSSES))),
        target=draw(st.sampled_from(["standard", "log", "power"])),
        dropout=draw(rates),
        counts=counts,
        length=length,
        batch_size=draw(st.none() | st.integers(-(-length // min(counts)), length)),
        optimizer=OPTIMIZERS[draw(st.sampled_from(sorted(OPTIMIZERS)))](),
        rates=draw(of_lanes),
        decays=draw(of_lanes),
        strengths=draw(of_lanes),
        activation=draw(st.sampled_from(sorted(ACTIVATIONS))),
        initialisation=draw(st.sampled_from(sorted(INITIALISATIONS))),
        dtype=draw(st.sampled_from([np.float32, np.float64])),
        epochs=3,
        evaluate_every=2,
        seed=draw(st.integers(0, 1000)),
    )


@settings(derandomize=True, deadline=None, max_examples=80)
@given(scenes())
def test_a_lane_alone_or_among_others_has_the_same_bits_whatever_the_shape(one: Any) -> None:
    for lane in range(len(one.params)):
        assert_same_bits(one.lane(lane), one, lane)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 2, 33])
def test_a_lanes_evaluation_alone_or_among_others_has_the_same_bits(rows: int, dtype: Any) -> None:
    one = scene(dtype=dtype, neurons=(16, 5))
    index = np.random.default_rng(0).integers(0, 60, (3, rows))
    counts = np.array([rows, max(1, rows - 1), max(1, rows // 2)])
    architecture = one.trainer.architecture
    together = Evaluator(architecture, one.trainer.data, PaddedRows(index, counts)).evaluate(one.params)
    for lane in range(3):
        own = PaddedRows(index[lane : lane + 1], counts[lane : lane + 1])
        alone = Evaluator(architecture, one.lane(lane).trainer.data, own).evaluate(one.params[lane : lane + 1])
        for name in ("row_losses", "predictions", "loss"):
            assert getattr(alone, name)[0].tobytes() == getattr(together, name)[lane].tobytes(), name


# --- what is done for speed changes no bit


def trained(batch_size: int | None, dtype: Any, **more: Any) -> tuple[bytes, list[bytes]]:
    momentum = np.array([[0.9], [0.5], [0.0], [0.7]], dtype)
    one = scene(
        lanes=4, optimizer=SGD(momentum), batch_size=batch_size, dtype=dtype, epochs=6, evaluate_every=2, **more
    )
    params, points = one.run()
    return params.tobytes(), [point.total_loss.tobytes() + point.learning_rate.tobytes() for point in points]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [None, 7], ids=["full batch", "mini-batches"])
@pytest.mark.parametrize(
    ("module", "limit", "value"),
    [
        (trainer, "CACHE_BYTES", 1),  # each lane by itself
        (trainer, "CACHE_BYTES", 40_000),  # lanes in twos and ones
        (rows, "BLOCK_BYTES", 1),  # each batch gathered by itself
        (rows, "SCALED_BYTES", 0),  # nothing scaled beforehand
    ],
)
def test_neither_groups_nor_blocks_nor_what_is_kept_changes_a_bit(
    module: Any, limit: str, value: int, batch_size: int | None, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"loss": "squared_error", "dropout": (0.2, 0.5), "rates": 0.01}
    kinds: list[dict[str, Any]] = [{}, others, {**others, "target": "power"}]
    expected = [trained(batch_size, dtype, **kind) for kind in kinds]
    assert len({params for params, _ in expected}) == 3
    monkeypatch.setattr(module, limit, value)
    assert [trained(batch_size, dtype, **kind) for kind in kinds] == expected
