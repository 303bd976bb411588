"""Which rows each lane sees: dealing, padding, scaling, evaluating in chunks."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scenes import scene

from hpsearch.nn import passes
from hpsearch.nn import rows as rows_module
from hpsearch.nn.optimizers import SGD
from hpsearch.nn.passes import Evaluation, Evaluator
from hpsearch.nn.rows import Batching, LaneData, PaddedRows
from hpsearch.transform import transform

pytestmark = pytest.mark.usefixtures("each_kernels")


def row_sets(counts: list[int], seed: int = 0) -> list[Any]:
    """Rows whose numbers say whose they are: lane l has 1000 · l and up, in some order."""
    draw = np.random.default_rng(seed)
    return [1000 * lane + draw.permutation(count) for lane, count in enumerate(counts)]


def generators(lanes: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, lane]) for lane in range(lanes)]


# --- batches


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data(), st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(0, 5))
def test_every_row_is_dealt_exactly_once_an_epoch(data: st.DataObject, counts: list[int], spare: int) -> None:
    length = max(counts) + spare
    smallest_batch = -(-length // min(counts))
    batch_size = data.draw(st.none() | st.integers(smallest_batch, length + 3))
    batching, sets = Batching.of(length, batch_size), row_sets(counts)
    for rows, weights in islice(batching.epochs(PaddedRows.pad(sets, length), generators(len(counts))), 3):
        assert rows.shape == weights.shape == (batching.steps, len(counts), batching.rows)
        np.testing.assert_allclose(weights.sum(axis=2), 1, rtol=1e-14)
        for lane, own in enumerate(sets):
            real = weights[:, lane] > 0
            sizes = real.sum(axis=1)
            assert sorted(rows[:, lane][real]) == sorted(own)
            assert sizes.min() >= 1
            assert sizes.max() - sizes.min() <= 1
            assert sizes.max() <= (length if batch_size is None else batch_size)
            assert set(rows[:, lane][~real]) <= set(own)  # padding is of the lane's own rows
            for shares, size in zip(weights[:, lane], sizes, strict=True):
                assert set(shares[shares > 0]) == {1 / size}


@pytest.mark.parametrize(
    ("most_rows", "batch_size", "steps", "rows"),
    [
        (10, None, 1, 10),
        (10, 10, 1, 10),
        (10, 11, 1, 10),
        (10, 9, 2, 5),
        (10, 3, 4, 3),
        (10, 1, 10, 1),
        (240, 32, 8, 30),
    ],
)
def test_batches_are_as_few_and_as_even_as_their_size_allows(
    most_rows: int, batch_size: int | None, steps: int, rows: int
) -> None:
    assert Batching.of(most_rows, batch_size) == Batching(steps, rows)


def test_a_lane_with_fewer_rows_than_steps_is_refused() -> None:
    batching = Batching.of(12, 3)
    next(batching.epochs(PaddedRows.pad(row_sets([12, 4]), 12), generators(2)))
    with pytest.raises(ValueError, match=r"3 rows.*4 batches"):
        next(batching.epochs(PaddedRows.pad(row_sets([12, 3]), 12), generators(2)))


@pytest.mark.parametrize("seed", range(3))
def test_the_order_changes_every_epoch_and_comes_again_with_the_same_generator(seed: int) -> None:
    batching, training = Batching.of(20, 6), PaddedRows.pad(row_sets([20, 17]), 20)

    def first_epochs(seed: int) -> list[Any]:
        return [rows for rows, _ in islice(batching.epochs(training, generators(2, seed)), 5)]

    epochs, again, other = first_epochs(seed), first_epochs(seed), first_epochs(seed + 100)
    for lane in range(2):
        assert len({rows[:, lane].tobytes() for rows in [*epochs, *other]}) == 10
    assert all(np.array_equal(rows, same) for rows, same in zip(epochs, again, strict=True))


def test_a_lanes_batches_are_drawn_from_its_own_generator_alone() -> None:
    batching, training = Batching.of(20, 6), PaddedRows.pad(row_sets([20, 17, 19]), 20)
    for lane in range(3):
        one = PaddedRows(training.index[lane : lane + 1], training.counts[lane : lane + 1])
        alone = batching.epochs(one, [np.random.default_rng([0, lane])])
        together = batching.epochs(training, generators(3))
        for (mine, my_weights), (theirs, their_weights) in islice(zip(alone, together, strict=False), 4):
            assert np.array_equal(mine[:, 0], theirs[:, lane])
            assert np.array_equal(my_weights[:, 0], their_weights[:, lane])


@pytest.mark.parametrize("batch_size", [None, 6])
def test_dealing_leaves_the_row_sets_alone(batch_size: int | None) -> None:
    training = PaddedRows.pad(row_sets([20, 17]), 20)
    before = training.index.copy()
    for rows, weights in islice(Batching.of(20, batch_size).epochs(training, generators(2)), 3):
        assert rows.size == weights.size
    assert np.array_equal(training.index, before)


def test_a_full_batch_does_not_depend_on_the_generators() -> None:
    one = scene(optimizer=SGD(0.9))
    params, _ = one.run()
    other, _ = replace(one, seeds=((9, 9),) * 3).run()
    assert params.tobytes() == other.tobytes()


# --- padding


def test_padded_rows_are_the_rows_in_order_with_equal_weights_and_then_weight_0() -> None:
    sets = row_sets([5, 3, 1])
    padded = PaddedRows.pad(sets, 7)
    assert padded.index.shape == padded.weights.shape == (3, 7)
    for lane, own in enumerate(sets):
        assert np.array_equal(padded.index[lane, : len(own)], own)
        assert set(padded.index[lane]) == set(own)
        assert padded.weights[lane].tolist() == [1 / len(own)] * len(own) + [0] * (7 - len(own))


def test_rows_that_do_not_fit_the_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"negative|length|rows"):
        PaddedRows.pad(row_sets([5, 8]), 7)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("batch_size", [None, 10], ids=["full batch", "mini-batches"])
def test_a_padded_run_equals_an_unpadded_one_to_rounding(batch_size: int | None, seed: int) -> None:
    plain = scene(lanes=1, counts=[47], length=47, batch_size=batch_size, strengths=[1], epochs=40, seed=seed)
    batching = plain.trainer.batching
    padded = plain.change(
        training=PaddedRows.pad([plain.training_rows(0)], 60), batching=Batching(batching.steps, batching.rows + 7)
    )
    (params, points), (other_params, other_points) = plain.run(), padded.run()
    # Padding changes the order of a product's sums: roundings of 1e-16 of numbers near 1, over 40 to 200 updates.
    np.testing.assert_allclose(other_params, params, rtol=0, atol=1e-12)
    for mine, theirs in zip(points, other_points, strict=True):
        np.testing.assert_allclose(theirs.training_loss, mine.training_loss, rtol=1e-12)


# --- gathering


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_lane_sees_rows_through_its_own_centre_and_scale(dtype: Any) -> None:
    draw = np.random.default_rng(0)
    data = LaneData(
        draw.standard_normal((30, 4)),
        draw.integers(0, 3, 30),
        3,
        draw.standard_normal((2, 4)),
        draw.uniform(0.5, 2, (2, 4)),
    )
    before = [array.copy() for array in (data.features, data.labels, data.centre, data.scale)]
    rows = draw.integers(0, 30, (2, 9))
    inputs, targets = np.full((2, 9, 5), 1, dtype), np.full((2, 3, 9), np.nan, dtype)
    data.gather(rows, inputs, targets)
    for lane in range(2):
        for place, row in enumerate(rows[lane]):
            expected = [
                (x - centre) / scale
                for x, centre, scale in zip(data.features[row], data.centre[lane], data.scale[lane], strict=True)
            ]
            assert inputs[lane, place].tolist() == [*np.array(expected, dtype).tolist(), 1]
            assert targets[lane, :, place].tolist() == [float(data.labels[row] == label) for label in range(3)]
    for array, copy in zip((data.features, data.labels, data.centre, data.scale), before, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize("lane", [0, 1])
@pytest.mark.parametrize("rows_kept", [True, False])
def test_each_lane_fills_what_is_missing_with_its_own_fill(
    rows_kept: bool, lane: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the values had been there; also when rows are scaled a batch at a time, or for some of the lanes only."""
    draw = np.random.default_rng(0)
    features, missing = draw.standard_normal((30, 4)), draw.random((30, 4)) < 0.3
    centre, scale, fill = draw.standard_normal((2, 4)), draw.uniform(0.5, 2, (2, 4)), draw.standard_normal((2, 4))
    if not rows_kept:
        monkeypatch.setattr(rows_module, "SCALED_BYTES", 0)
    labels, rows, dtype = draw.integers(0, 3, 30), draw.integers(0, 30, (2, 9)), np.dtype(np.float32)

    def seen(features: Any, fill: Any) -> bytes:
        data = LaneData(features, labels, 3, centre, scale, fill).only(slice(lane, lane + 1), dtype)
        inputs = np.ones((1, 9, 5), dtype)
        data.gather(rows[[lane]], inputs, np.empty((1, 3, 9), dtype))
        return inputs.tobytes()

    filled = np.where(missing, fill[lane], features)
    assert seen(np.where(missing, np.nan, features), fill) == seen(filled, None) == seen(filled, fill)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_each_lane_transforms_rows_by_its_own_lambdas(dtype: Any, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a model with that scaling does, to the bit: rows kept or not, alone or among lanes with and without."""
    draw = np.random.default_rng(seed)
    features, labels = draw.gumbel(0, 3, (30, 4)), draw.integers(0, 3, 30)
    features[draw.random((30, 4)) < 0.2] = np.nan
    centre, scale, fill = draw.standard_normal((3, 4)), draw.uniform(0.5, 2, (3, 4)), draw.standard_normal((3, 4))
    lambdas = np.array([[0.2, 1.0, -1.0, 3.0], [1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 1.0, 1.0]])
    rows = draw.integers(0, 30, (3, 9))

    def seen(lanes: slice) -> NDArray[Any]:
        data = LaneData(features, labels, 3, centre, scale, fill, lambdas=lambdas).only(lanes, np.dtype(dtype))
        inputs = np.ones((data.lanes, 9, 5), dtype)
        data.gather(rows[lanes], inputs, np.empty((data.lanes, 3, 9), dtype))
        return inputs[..., :-1]

    expected = [
        transform(features[rows[n]], centre[n], scale[n], fill[n], lambdas=None if n == 1 else lambdas[n])
        for n in range(3)
    ]
    kept = seen(slice(3))
    assert kept.tobytes() == np.array(expected).astype(dtype).tobytes()
    monkeypatch.setattr(rows_module, "TRANSFORMED_BYTES", 0)
    assert seen(slice(3)).tobytes() == kept.tobytes()
    for lane in range(3):
        assert seen(slice(lane, lane + 1)).tobytes() == kept[lane].tobytes()


def test_training_leaves_features_labels_and_row_sets_alone() -> None:
    one = scene(batch_size=7)
    data, training = one.trainer.data, one.trainer.training
    arrays = (data.features, data.labels, data.centre, data.scale, training.index, training.counts)
    for array in arrays:
        array.setflags(write=False)
    before = [array.tobytes() for array in arrays]
    one.run()
    assert [array.tobytes() for array in arrays] == before


# --- evaluating


def evaluated(seed: int = 0, **changes: Any) -> tuple[Evaluator, Any, Any]:
    one = scene(seed=seed, activation="tanh", **changes)
    evaluator = Evaluator(one.trainer.architecture, one.trainer.data, one.trainer.training)
    return evaluator, one.params, one


def assert_close(one: Evaluation, other: Evaluation) -> None:
    # A product of another width may sum its few terms in another order: roundings of 1e-16.
    for name in ("row_losses", "predictions", "loss"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-13)


@pytest.mark.parametrize("chunk", [1, 7, 16, 24, 47])
def test_an_evaluation_in_chunks_equals_one_in_one_go(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, params, _ = evaluated()
    monkeypatch.setattr(passes, "EVALUATION_ROWS", chunk)
    chunked, _, _ = evaluated()
    assert_close(chunked.evaluate(params), whole.evaluate(params))


def test_more_rows_than_fit_an_evaluation_are_evaluated_all(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [passes.EVALUATION_ROWS + 500, passes.EVALUATION_ROWS + 3]
    chunked, params, one = evaluated(lanes=2, samples=2000, counts=counts)
    prediction = chunked.evaluate(params)
    monkeypatch.setattr(passes, "EVALUATION_ROWS", 10**6)
    whole, _, _ = evaluated(lanes=2, samples=2000, counts=counts)
    assert_close(prediction, whole.evaluate(params))
    for lane in range(2):
        plain = one.reference(lane).data_loss(*one.rows(lane, one.training_rows(lane)))
        np.testing.assert_allclose(prediction.loss[lane], plain, rtol=1e-12)  # a sum of 4,500 numbers in another order


@pytest.mark.parametrize("chunk", [7, 4096])
def test_an_evaluation_depends_on_the_parameters_alone_and_is_kept(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "EVALUATION_ROWS", chunk)
    evaluator, params, one = evaluated()
    first = evaluator.evaluate(params)
    kept = [array.copy() for array in (first.row_losses, first.predictions, first.loss)]
    other = evaluator.evaluate(params + 1)
    assert not np.array_equal(other.predictions, first.predictions)
    again, fresh = evaluator.evaluate(params), evaluated()[0].evaluate(params)
    for prediction in (first, again, fresh):
        for array, before in zip((prediction.row_losses, prediction.predictions, prediction.loss), kept, strict=True):
            assert np.array_equal(array, before)
    assert params.tobytes() == one.params.tobytes()


def test_an_evaluation_gives_the_probabilities_and_losses_of_the_reference() -> None:
    evaluator, params, one = evaluated()
    prediction = evaluator.evaluate(params)
    for lane in range(3):
        features, labels = one.rows(lane, one.training_rows(lane))
        plain = one.reference(lane).probabilities(features)
        # Some roundings of 1e-16 on the way through three layers.
        np.testing.assert_allclose(prediction.predictions[lane, :, : len(labels)].T, plain, rtol=1e-13)
        losses = -np.log(plain[np.arange(len(labels)), labels])
        np.testing.assert_allclose(prediction.row_losses[lane, : len(labels)], losses, rtol=1e-12)


def test_rows_may_be_evaluated_that_were_not_trained_on() -> None:
    one = scene(epochs=5)
    params, _ = one.run()
    data = one.trainer.data
    rest = [np.setdiff1d(np.arange(len(data.labels)), one.training_rows(lane)) for lane in range(3)]
    prediction = Evaluator(one.trainer.architecture, data, PaddedRows.pad(rest, 30)).evaluate(params)
    for lane in range(3):
        plain = one.reference(lane, params).data_loss(*one.rows(lane, rest[lane]))
        np.testing.assert_allclose(prediction.loss[lane], plain, rtol=1e-12)
