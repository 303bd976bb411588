"""Optuna without its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import optuna


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its notes to stderr, which would break a progress display."""
    before = optuna.logging.get_verbosity()
    if before >= optuna.logging.WARNING:  # to set it again would have all of Python's loggers forget what they know
        yield
        return
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
