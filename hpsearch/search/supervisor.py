"""Has tasks evaluated: submits them to an executor, takes their messages, and tries again what a worker died of."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait

from hpsearch.errors import HpsearchError, one_line
from hpsearch.search.executors import STARTED, TrialExecutor
from hpsearch.search.objective import Prepared, TrialTask, failed
from hpsearch.storage.trial_result import TrialResult

POLL_SECONDS = 0.1  # between looks at messages, the clock and finished tasks
MAX_FAILURES = 3  # deaths of a worker that had nothing else to do, before its task is given up
MAX_LOSSES = 10  # of all tasks under way by no task's fault, without a result in between, before the run ends


class TimeUpError(Exception):
    """The time that was given is up. What was told is stored; the rest will be run again."""


class Work(ABC):
    """Tasks to be evaluated, each known by its trial's number."""

    @abstractmethod
    def waiting(self) -> Iterable[int]:
        """The tasks without a result that may be evaluated now, those first that are needed first."""

    @abstractmethod
    def task(self, number: int) -> TrialTask:
        """A task to submit."""

    def known(self, number: int) -> TrialResult | None:
        """Its result, if that can be had without an evaluation."""
        return None

    @abstractmethod
    def news(self) -> None:
        """Called after every message, and some ten times a second."""


class Supervisor:
    """Evaluates one kind of work after another on one executor, until the time is up."""

    def __init__(self, prepared: Prepared, executor: TrialExecutor, timeout: float | None = None) -> None:
        """
        Args:
            prepared: the study with its rows.
            executor: who evaluates tasks; the caller closes it.
            timeout: seconds after which no result is given any more.
        """
        self._prepared, self._executor = prepared, executor
        self._begun = time.monotonic()
        self._whole = math.inf if timeout is None else timeout
        self._started = False
        self._losses = 0

    def attend(self, work: Work, share: float = 1.0) -> None:
        """Turn to some work, for at most this share of the time; what was under way is no longer waited for."""
        self._work, self._deadline = work, self._begun + share * self._whole
        # Tasks that have no result yet: submitted, or suspected of having killed a worker; and those that have one.
        self._futures: dict[int, Future[TrialResult]] = {}
        self._under_way: set[int] = set()
        self._suspects: list[int] = []
        self._failures: dict[int, int] = {}
        self._finished: dict[int, TrialResult] = {}
        # The last (epoch, mean objective) of tasks under way, and all of it that was not taken yet.
        self._running: dict[int, tuple[int, float]] = {}
        self._values: dict[int, dict[int, float]] = {}

    @property
    def running(self) -> Mapping[int, tuple[int, float]]:
        """The last (epoch, mean objective) of tasks under way, by number."""
        return dict(self._running)

    def take_values(self) -> Mapping[int, Mapping[int, float]]:
        """The mean objectives by epoch of tasks under way that came since they were taken last, by number."""
        values, self._values = self._values, {}
        return values

    def result(self, number: int) -> TrialResult:
        """Wait for the result of a task.

        Raises:
            TimeUpError: the time is up.
            HpsearchError: those who evaluate tasks lose them again and again.
        """
        if not self._started:
            self._started = True
            self._executor.start(self._prepared, self._on_message)
        while number not in self._finished:
            self.check_clock()
            try:
                self._submit()
                wait(self._futures.values(), timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                self._executor.poll()
                self._collect()
            except self._executor.worker_errors as error:
                self._after_worker_death(error)
            self._work.news()
        self._values.pop(number, None)
        return self._finished.pop(number)

    def _submit(self) -> None:
        capacity = 1 if self._suspects else self._executor.capacity or self._prepared.definition.search.in_flight
        # After a worker's death the suspects run alone, one after the other, until each is cleared or given up.
        for number in self._suspects or self._work.waiting():
            if len(self._futures) >= capacity:
                return
            if number in self._futures or number in self._finished:
                continue
            if (result := self._work.known(number)) is not None:
                self._finished[number] = result
            else:
                self._under_way.add(number)  # before: an executor may evaluate at once
                self._futures[number] = self._executor.submit(self._work.task(number))

    def _collect(self) -> None:
        for number in [number for number, future in self._futures.items() if future.done()]:
            self._finish(number)

    def _finish(self, number: int) -> None:
        self._finished[number] = self._futures[number].result()  # where that raises, the task is still under way
        del self._futures[number]
        self._clear(number)
        self._losses = 0

    def _clear(self, number: int) -> None:
        self._executor.forget(number)
        self._under_way.discard(number)
        self._running.pop(number, None)
        if number in self._suspects:
            self._suspects.remove(number)

    def _after_worker_death(self, error: BaseException) -> None:
        """A worker died, and with it every task under way. Only a task that was alone is to blame.

        Raises:
            HpsearchError: all was lost with no task to blame, again and again.
        """
        for number, future in list(self._futures.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                self._finish(number)
        lost, running = sorted(self._futures), set(self._running)
        self._futures.clear()
        self._under_way.clear()
        self._running.clear()
        if not self._executor.restart():
            self._losses += 1
            if self._losses == MAX_LOSSES:
                raise HpsearchError(
                    "Those who evaluate trials must end them",
                    f"all that were under way were lost {MAX_LOSSES} times in a row: {type(error).__name__}",
                    "All results that were told are stored: run the study again when the cause is found.",
                )
            return
        if len(lost) == 1:
            (number,) = lost
            self._failures[number] = self._failures.get(number, 0) + 1
            if self._failures[number] >= MAX_FAILURES:
                last = ": ".join(filter(None, (type(error).__name__, one_line(error, 120))))
                reason = f"its worker died {MAX_FAILURES} times with nothing else to do, the last time: {last}"
                self._finished[number] = failed(self._work.task(number), reason)
                self._clear(number)
        self._suspects = [
            number for number in lost if number not in self._finished and (number in running or len(lost) == 1)
        ]

    def _on_message(self, number: int, epoch: int, mean: float) -> None:
        self.check_clock()
        if number not in self._under_way:
            return
        self._running[number] = epoch, mean
        if epoch != STARTED:
            self._values.setdefault(number, {})[epoch] = mean
        self._work.news()

    def check_clock(self) -> None:
        """Go on only while there is time.

        Raises:
            TimeUpError: it is up.
        """
        if time.monotonic() > self._deadline:
            raise TimeUpError
