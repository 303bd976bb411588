"""Random streams: all distinct, all from one seed, and the same in every version."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hpsearch.seeds import _STREAMS, generator, integer_seed, keyed_seed, seed_sequence


@pytest.mark.parametrize(
    ("stream", "plain", "of_repeat_1_split_2"),
    [
        ("data", 1235843224, 2074486755),
        ("fresh", 357565251, 2874538319),
        ("holdout", 405438120, 649211733),
        ("splits", 758978182, 3130218263),
        ("weights", 4245276688, 3205753664),
        ("batches", 2038608330, 4126907299),
        ("retrain-weights", 3838447298, 4233359204),
        ("retrain-batches", 3589308080, 450880911),
    ],
)
def test_streams_are_what_they_were_in_the_first_version(stream: str, plain: int, of_repeat_1_split_2: int) -> None:
    """Another number here changes every study that was ever run."""
    assert (integer_seed(7, stream), integer_seed(7, stream, 1, 2)) == (plain, of_repeat_1_split_2)


def test_keyed_seeds_are_what_they_were_in_the_first_version() -> None:
    assert keyed_seed(7, 0, "learning_rate") == 1706676279
    assert keyed_seed(7, 3, "<joint>") == 895109453


def test_no_two_streams_share_their_numbers() -> None:
    keys = list(itertools.product((0, 1, 7, 2**63 - 1), _STREAMS, range(4), range(11)))
    states = {seed_sequence(*key).generate_state(4).tobytes() for key in keys}
    assert len(states) == len(keys)


@pytest.mark.parametrize("study_seed", range(5))
def test_neighbouring_streams_are_uncorrelated(study_seed: int) -> None:
    keys = itertools.product(("weights", "batches", "retrain-weights"), range(2), range(3))
    draws = [generator(study_seed, *key).standard_normal(10_000) for key in keys]
    correlations = np.corrcoef(draws)[np.triu_indices(len(draws), k=1)]
    assert np.abs(correlations).max() < 0.06  # six standard deviations of a chance correlation


def test_a_stream_begins_anew_each_time_it_is_asked_for() -> None:
    first, second = generator(7, "weights", 1, 2), generator(7, "weights", 1, 2)
    assert first.random(5).tolist() == second.random(5).tolist()


def test_integer_seeds_fit_scikit_learn() -> None:
    for seed, stream in itertools.product(range(50), _STREAMS):
        assert 0 <= integer_seed(seed, stream) < 2**32


def test_every_part_of_a_key_counts() -> None:
    keys = [(7, 0, "a"), (8, 0, "a"), (7, 1, "a"), (7, 0, "b"), (70, "a"), (7, "0", "a"), (7, 0, "a", None)]
    assert len({keyed_seed(*key) for key in keys}) == len(keys)


def test_numpys_global_generator_is_not_touched() -> None:
    def state() -> str:
        return repr(np.random.get_state())  # noqa: NPY002 - this is the state that must stay as it is

    before = state()
    generator(7, "weights").random(5)
    integer_seed(7, "data")
    keyed_seed(7, 0)
    assert state() == before
