"""One thread for what NumPy and SciPy compute."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import get_cached_controller


def one_thread() -> AbstractContextManager[Any]:
    """From the call on, until the context is left, the libraries that are loaded by then compute with one thread.

    On matrices as small as ours more threads cost more than they save, and sums would depend on their number. The
    libraries are looked for anew where modules have been imported since the last call, which takes 2 ms.
    """
    limited: AbstractContextManager[Any] = get_cached_controller().limit(limits=1)
    return limited
