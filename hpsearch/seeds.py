"""Every random stream of a study, spawned from its one seed.

A stream is named by what it is for, and by the repeat and the split it belongs to; never by the trial, so that all
trials of a study are compared under common random numbers. NumPy's global generator is never touched.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

# Positions are part of every study's identity: append, never reorder.
_STREAMS = (
    *("data", "fresh", "holdout", "splits", "weights", "batches", "retrain-weights", "retrain-batches"),
    *("resamples", "confirm", "outer"),
    *("dropout", "retrain-dropout"),
    "finals",
    "learning-curve",
    "encoding",
    "importance",
)


def seed_sequence(study_seed: int, stream: str, repeat: int = 0, split: int = 0) -> np.random.SeedSequence:
    """The seed sequence of one stream (``numpy.random.SeedSequence`` with a spawn key of its own)."""
    return np.random.SeedSequence(study_seed, spawn_key=(_STREAMS.index(stream), repeat, split))


def generator(study_seed: int, stream: str, repeat: int = 0, split: int = 0) -> np.random.Generator:
    """A fresh generator at the beginning of one stream."""
    return np.random.default_rng(seed_sequence(study_seed, stream, repeat, split))


def integer_seed(study_seed: int, stream: str, repeat: int = 0, split: int = 0) -> int:
    """A 32-bit seed, for libraries that take an integer (scikit-learn's ``random_state``)."""
    return int(seed_sequence(study_seed, stream, repeat, split).generate_state(1)[0])


def keyed_seed(*key: object) -> int:
    """A 32-bit seed from any JSON values (a sampler's: study seed, trial number, hyperparameter)."""
    digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
