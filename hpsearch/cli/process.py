"""What a command takes from the machine it runs on."""

from __future__ import annotations

import os
import re
import sys

from hpsearch.errors import HpsearchError, Setting, quoted
from hpsearch.limits import MOST_SECONDS

_UNITS = {"s": 1, "m": 60, "h": 3600}


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_screen() -> bool:
    """Whether a person sits at a screen of this machine: elsewhere a browser would open in the terminal, or nowhere."""
    if not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def duration(text: str) -> float:
    """Seconds from ``90s``, ``10m``, ``2h`` or a plain number of seconds.

    Raises:
        HpsearchError: anything else, or nothing.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    if not 0 < seconds <= MOST_SECONDS:
        raise HpsearchError("must be a time like 90s, 10m or 2h", f"is {quoted(text)}", where=Setting("timeout"))
    return seconds
