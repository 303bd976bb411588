"""Signals that end a command: the first gracefully, the second at once."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from contextlib import suppress
from functools import cache
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130  # the exit status
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_TELLING = threading.RLock()  # the handler and the thread tell of signals, each in a whole line and in their order
_PATIENCE = 1.0  # seconds that the end at once waits for a line that a stopped terminal or a full pipe does not take


class Interrupts:
    """From its making on, SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt; a second one, of the first two,
    ends the process.

    What is ignored when the process starts stays so: SIGHUP under ``nohup``, SIGINT of a script's background job.

    Attributes:
        came: whether there was one.
        ends: whether the process ends for it.
    """

    def __init__(self) -> None:
        self.came = self.ends = False
        atexit.register(self._end)  # the first that is registered is the last that is called
        if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
            return
        numbers = [getattr(signal, name) for name in _ENDING]
        before = {number: signal.getsignal(number) for number in numbers}
        self._before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
        for number in self._before:
            signal.signal(number, self._interrupt)
        self._unraisable_before = sys.unraisablehook
        sys.unraisablehook = self._unraisable
        # The main thread hears of a signal between two steps of Python only, not while a library waits for a lock of
        # the database or computes. A second one must not wait for that.
        listening, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(listening,), daemon=True).start()
        os.register_at_fork(after_in_child=self._give_back)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            if _counts(number):
                end_at_once()
            return
        self.came = True
        with _TELLING, suppress(RuntimeError):  # the signal came while something else was being printed
            sys.stderr.write("hpsearch: ending; a second Ctrl-C or signal ends it at once.\n")
            sys.stderr.flush()
        raise KeyboardInterrupt

    def _listen(self, listening: int) -> None:
        heard = 0
        while heard < 2:
            for number in os.read(listening, 64):
                heard += number in self._before and (not heard or _counts(number))
        end_at_once()

    def _end(self) -> None:
        """What Python takes down from here on takes half a second, in which signals do what they did before."""
        if self.ends:
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(INTERRUPTED)

    def _unraisable(self, lost: Any) -> None:
        if lost.exc_type is not None and issubclass(lost.exc_type, KeyboardInterrupt):  # it could not be raised there
            end_at_once()
        self._unraisable_before(lost)

    def _give_back(self) -> None:
        """A forked child's signals are its own, and no news for its parent."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _counts(second: int) -> bool:
    """Whether a signal that follows another asks for the end at once: of a terminal that is closed, the shell and the
    system each send a SIGHUP."""
    return second != getattr(signal, "SIGHUP", None)


@cache
def interrupts() -> Interrupts:
    """Those of this process."""
    return Interrupts()


def end_at_once() -> NoReturn:
    """End this process without any clearing up; workers see that, and the next run removes what is left."""
    _TELLING.acquire(timeout=_PATIENCE)  # for good: whoever else comes here waits for the end
    show_cursor = b"\x1b[?25h" if os.isatty(2) else b""  # which a progress bar has hidden
    with suppress(OSError):
        os.write(2, show_cursor + b"hpsearch: ended at once. Nothing that was finished is lost.\n")
    os._exit(INTERRUPTED)
