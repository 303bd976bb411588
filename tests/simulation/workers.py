"""Who evaluates tasks in a simulated world: workers of an executor of ours, or of a Dask scheduler.

What a task comes to is what ``evaluate`` says. The simulation hands in a function that remembers it, which is exact
because a task's result is a pure function of the task. When workers finish, what they say late or twice, and what
becomes of them, is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import distributed
from distributed.comm import CommClosedError
from world import Failed, World

from hpsearch.errors import HpsearchError
from hpsearch.search.dask_executor import DaskExecutor
from hpsearch.search.executors import STARTED, OnMessage, TrialExecutor
from hpsearch.search.objective import Prepared, TrialTask
from hpsearch.storage.trial_result import TrialResult


@dataclass(frozen=True)
class Evaluated:
    """What a task comes to: its result with the messages on the way, or its worker's death."""

    result: TrialResult
    messages: Sequence[tuple[int, float]]
    dies: bool = False


@dataclass
class _Pending:
    number: int
    evaluated: Evaluated
    future: Future[TrialResult] = field(default_factory=Future)
    said: int = 0

    @property
    def messages(self) -> Sequence[tuple[int, float]]:
        return [(STARTED, 0.0), *self.evaluated.messages]


class Workers:
    """Tasks under way, and tasks that were finished or given up, of which something may come all the same."""

    def __init__(self, world: World, evaluated: Callable[[TrialTask], Evaluated], death: BaseException) -> None:
        """
        Args:
            world: the machine.
            evaluated: what a task comes to.
            death: what the future of a task raises whose worker it killed.
        """
        self._world, self._evaluated, self._death = world, evaluated, death
        self.pending: list[_Pending] = []
        self._old: list[_Pending] = []

    def take(self, task: TrialTask) -> Future[TrialResult]:
        pending = _Pending(task.number, self._evaluated(task))
        self.pending.append(pending)
        return pending.future

    def speak(self, say: OnMessage) -> None:
        draw = self._world.draw
        for pending in list(self.pending):
            left = len(pending.messages) - pending.said
            for epoch, mean in pending.messages[pending.said : pending.said + draw.randint(0, left)]:
                pending.said += 1
                say(pending.number, epoch, mean)
                if draw.random() < 0.05:  # said twice
                    say(pending.number, epoch, mean)
        if self._old and draw.random() < 0.2:  # a worker that nobody waits for any more
            old = draw.choice(self._old)
            for epoch, mean in old.messages:
                say(old.number, epoch, mean)

    def finish(self) -> None:
        for pending in list(self.pending):
            if pending.evaluated.dies:
                self.pending.remove(pending)
                pending.future.set_exception(self._death)
            elif self._world.draw.random() < 0.6:
                self.pending.remove(pending)
                self._old.append(pending)
                pending.future.set_result(pending.evaluated.result)

    def give_up(self) -> None:
        """Nobody waits for them any more; some answer nevertheless."""
        for pending in self.pending:
            if self._world.draw.random() < 0.5:
                pending.future.set_result(pending.evaluated.result)
        self._old.extend(self.pending)
        self.pending.clear()


class SimulatedExecutor(TrialExecutor):
    """Workers that finish in any order, say things late and twice, and die."""

    worker_errors = (BrokenExecutor, MemoryError)

    def __init__(self, world: World, evaluated: Callable[[TrialTask], Evaluated], capacity: int | None) -> None:
        world.workers = self
        self._world, self.capacity = world, capacity
        self._workers = Workers(world, evaluated, BrokenExecutor("a worker died"))

    def start(self, prepared: Prepared, on_message: OnMessage) -> None:
        self._on_message = on_message

    def submit(self, task: TrialTask) -> Future[TrialResult]:
        self._world.operation("submit")
        return self._workers.take(task)

    def poll(self) -> None:
        self._workers.speak(self._on_message)
        self._world.operation("poll")
        self._workers.finish()

    def forget(self, number: int) -> None:
        pass  # messages go on coming

    def restart(self) -> bool:
        self._world.operation("restart")
        self._workers.give_up()
        return True

    def close(self) -> None:
        pass

    # ------------------------------------------------------------ what the world does to it

    def go_on(self) -> None:
        pass

    def die(self) -> None:
        raise BrokenExecutor("a worker died")

    def lose(self, at_a_call: bool) -> None:
        self._world.lost = "scheduler"
        raise HpsearchError("The scheduler is gone")


class SimulatedCluster:
    """A Dask scheduler and its workers: what ``distributed.Client`` is to the executor for Dask, which is the real one.

    When the scheduler is lost, every future of its client is cancelled and every call of it raises, as Dask's do. It
    may come back, and then knows neither the rows nor who listens. A worker that leaves is one whose tasks are run
    again elsewhere, or that a task killed. Workers come and go, and some train otherwise than this machine.
    """

    def __init__(self, world: World, evaluated: Callable[[TrialTask], Evaluated]) -> None:
        world.workers = self
        self._world, self._draw = world, world.draw
        self._life = 0  # which scheduler it is since the process began
        self._workers = Workers(world, evaluated, _killed_worker())
        self._present, self._named = ["tcp://worker-0", "tcp://worker-1"], 2
        self._handler: Callable[[Any], None] | None = None

    # ------------------------------------------------------------ what a client is asked

    status = "running"

    def connect(self, address: str, timeout: float, set_as_default: bool) -> SimulatedCluster:
        try:
            self._world.operation("connect")
        except RuntimeError as error:  # a new client says so in other words
            raise OSError from error
        return self

    def wait_for_workers(self, n_workers: int, timeout: float) -> None:
        self._world.operation("connect")

    def subscribe_topic(self, topic: str, handler: Callable[[Any], None]) -> None:
        self._handler = handler

    def scatter(self, data: Mapping[str, Prepared], broadcast: bool) -> Mapping[str, int]:
        life = self._life  # rows that are under way when the scheduler is lost do not reach the next one
        self._world.operation("scatter")
        return dict.fromkeys(data, life)

    def scheduler_info(self, n_workers: int) -> Mapping[str, Any]:
        self._world.operation("inquire")
        if self._draw.random() < 0.1:
            self._present.append(f"tcp://worker-{self._named}")
            self._named += 1
        if len(self._present) > 1 and self._draw.random() < 0.1:
            self._present.remove(self._draw.choice(self._present))
        return {"id": f"Scheduler-{self._life}", "workers": dict.fromkeys(self._present)}

    def run(self, function: Callable[[], str], workers: Collection[str], on_error: str) -> Mapping[str, str]:
        self._world.operation("inquire")
        there = [worker for worker in workers if self._draw.random() < 0.95]  # or it left meanwhile
        return {worker: function() if self._draw.random() < 0.9 else "another" for worker in there}

    def get_executor(self, pure: bool, workers: Collection[str] | None) -> SimulatedCluster:
        return self

    def submit(
        self, function: Callable[..., TrialResult], data: int, task: TrialTask, topic: str, expected: str
    ) -> Future[TrialResult]:
        self._world.operation("submit")
        future = self._workers.take(task)
        if data != self._life:  # its rows went with the scheduler before
            self._cancel()
        return future

    def close(self) -> None:
        pass

    # ------------------------------------------------------------ what the world does to it

    def go_on(self) -> None:
        if self._workers.pending and self._handler is None:
            raise Failed("tasks are under way, and nobody listens to what they report")
        self._workers.speak(lambda *message: self._handler and self._handler((0.0, message)))
        self._world.operation("answer")
        self._workers.finish()

    def die(self) -> None:
        if self._workers.pending and self._draw.random() < 0.5:
            pending = self._workers.pending.pop(self._draw.randrange(len(self._workers.pending)))
            pending.future.set_exception(_killed_worker())
        for pending in self._workers.pending:  # which another worker begins anew
            pending.said = 0

    def lose(self, at_a_call: bool) -> None:
        was_lost = self._world.lost == "scheduler"
        if not was_lost:
            self.begin_anew()
            if self._draw.random() < 0.5:
                self._world.lost = "scheduler"
        if at_a_call and (was_lost or self._draw.random() < 0.5):  # else the futures tell
            error = self._draw.choice([CommClosedError, OSError, TimeoutError, RuntimeError])
            if error is RuntimeError:  # what the client does once it has closed itself
                self.status = "closed"
            raise error("the connection was lost")

    def begin_anew(self) -> None:
        """The scheduler ends, and another is there in its place."""
        self._cancel()
        self._life, self._handler = self._life + 1, None

    def _cancel(self) -> None:
        for pending in self._workers.pending:
            pending.future.cancel()
            pending.future.set_running_or_notify_cancel()
        self._workers.pending.clear()


def _killed_worker() -> BaseException:
    return distributed.KilledWorker("evaluate_on_worker", SimpleNamespace(address="tcp://worker"), 3)


@contextmanager
def on_dask(world: World, evaluated: Callable[[TrialTask], Evaluated]) -> Iterator[TrialExecutor]:
    """The executor for a Dask cluster, connected to a simulated one."""
    cluster = SimulatedCluster(world, evaluated)
    with patch.object(distributed, "Client", cluster.connect):
        yield DaskExecutor("tcp://scheduler", allow_mixed=False)
