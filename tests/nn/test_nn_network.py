"""The flat buffer, its named views, and initial parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scenes import scene

from hpsearch.nn.network import INITIALISATIONS, NetworkShape, initial_parameters
from hpsearch.nn.optimizers import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("each_kernels")

NETWORKS = [NetworkShape(2, (), 3), NetworkShape(1, (1,), 1), NetworkShape(4, (7,), 3), NetworkShape(3, (5, 2, 6), 4)]
each_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: str(network.widths))
each_initialisation = pytest.mark.parametrize("initialisation", INITIALISATIONS)

# Standard deviations for (fan_in, fan_out) = (200, 50) and (50, 72), worked out by hand from the papers: 2 / 200 is
# 0.1², 2 / 50 is 0.2², 2 / 250 is 0.008, 2 / 122 is 0.016393. A new initialisation needs its own.
DEVIATIONS = {"nnfs": (0.01, 0.01), "he": (0.1, 0.2), "glorot": (0.0894427, 0.1280369)}


def generators(lanes: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, lane]) for lane in range(lanes)]


@each_network
@pytest.mark.parametrize("lanes", [1, 3])
def test_named_views_cover_every_parameter_exactly_once(network: NetworkShape, lanes: int) -> None:
    flat = np.arange(lanes * network.size, dtype=np.float64).reshape(lanes, -1)
    views = network.named(flat)
    layers = range(1, len(network.widths))
    assert set(views) == {f"layer{layer}.{part}" for layer in layers for part in ("weights", "biases")}
    for layer in layers:
        fan_in, fan_out = network.widths[layer - 1 : layer + 1]
        assert views[f"layer{layer}.weights"].shape == (lanes, fan_in, fan_out)
        assert views[f"layer{layer}.biases"].shape == (lanes, fan_out)
    for lane in range(lanes):
        seen = np.concatenate([view[lane].ravel() for view in views.values()])
        assert sorted(seen) == flat[lane].tolist()


@each_network
def test_named_views_share_memory_with_the_buffer(network: NetworkShape) -> None:
    flat = np.zeros((3, network.size))
    for number, view in enumerate(network.named(flat).values(), start=1):
        assert np.shares_memory(view, flat)
        view[:] = number
    assert np.all(flat > 0)
    flat[:] = -1
    assert all(np.all(view == -1) for view in network.named(flat).values())


@each_network
def test_the_slices_of_weights_and_biases_are_those_of_the_named_views(network: NetworkShape) -> None:
    flat = np.random.default_rng(0).standard_normal((2, network.size))
    views = network.named(flat)
    for number, block in enumerate(network.layers, start=1):
        assert np.array_equal(flat[:, block.weights], views[f"layer{number}.weights"].reshape(2, -1))
        assert np.array_equal(flat[:, block.biases], views[f"layer{number}.biases"])


@pytest.mark.parametrize(
    "widths", [(0, (3,), 2), (2, (0,), 2), (2, (3, -1), 2), (2, (3,), 0), (2, (), 0), (-1, (), 2)], ids=str
)
def test_a_width_below_1_is_refused(widths: tuple[int, tuple[int, ...], int]) -> None:
    with pytest.raises(ValueError, match="width must be at least 1"):
        NetworkShape(*widths)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_network_without_hidden_layers_trains_as_softmax_regression(name: str) -> None:
    one = scene(neurons=(), optimizer=OPTIMIZERS[name](), rates=0.1, epochs=60, strengths=[1, 1, 1])
    params, points = one.run()
    assert np.all(points[-1].total_loss < points[0].total_loss)
    for lane in range(3):
        plain = one.reference(lane)
        for rows in one.batches():
            plain.step(*one.rows(lane, rows[lane]))
        np.testing.assert_allclose(params[lane], plain.flat(), rtol=0, atol=1e-10)  # no kinks: rounding stays small


# --- initial parameters


@each_initialisation
@pytest.mark.parametrize("seed", range(5))
def test_initial_weights_are_normal_with_the_papers_deviation(initialisation: str, seed: int) -> None:
    network = NetworkShape(200, (50,), 72)
    views = network.named(initial_parameters(network, initialisation, generators(1, seed), np.dtype(np.float64)))
    for layer, deviation in enumerate(DEVIATIONS[initialisation], start=1):
        weights = views[f"layer{layer}.weights"].ravel() / deviation
        # Five standard errors of the mean, the deviation and the kurtosis of n normal numbers (uniform ones have 1.8).
        assert abs(weights.mean()) < 5 / np.sqrt(weights.size)
        assert abs(weights.std() - 1) < 5 / np.sqrt(2 * weights.size)
        assert abs((weights**4).mean() - 3) < 5 * np.sqrt(96 / weights.size)


@each_initialisation
@each_network
def test_initial_biases_are_0_and_weights_are_not(initialisation: str, network: NetworkShape) -> None:
    views = network.named(initial_parameters(network, initialisation, generators(2), np.dtype(np.float64)))
    for name, view in views.items():
        assert np.all((view == 0) == name.endswith("biases"))


@each_initialisation
@each_network
def test_float32_parameters_are_the_float64_ones_cast(initialisation: str, network: NetworkShape) -> None:
    narrow, wide = (initial_parameters(network, initialisation, generators(3), np.dtype(t)) for t in ("f4", "f8"))
    assert narrow.dtype == np.float32
    assert wide.dtype == np.float64
    assert narrow.tobytes() == wide.astype(np.float32).tobytes()


@each_initialisation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_lanes_parameters_depend_on_its_generator_only(initialisation: str, dtype: Any) -> None:
    network, kind = NETWORKS[-1], np.dtype(dtype)
    together = initial_parameters(network, initialisation, generators(3), kind)
    for lane in range(3):
        alone = initial_parameters(network, initialisation, generators(3)[lane : lane + 1], kind)
        assert alone[0].tobytes() == together[lane].tobytes()
    assert len({lane.tobytes() for lane in together}) == 3
    reverse = initial_parameters(network, initialisation, generators(3)[::-1], kind)
    assert reverse[::-1].tobytes() == together.tobytes()
