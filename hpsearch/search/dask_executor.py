"""Trials on a Dask cluster: the same pure function, on workers that train as the study's own machine does."""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

from hpsearch.errors import HpsearchError, Setting, one_line, quoted
from hpsearch.search.executors import STARTED, OnMessage, TrialExecutor
from hpsearch.search.objective import Prepared, TrialTask, evaluate
from hpsearch.search.probe import probe
from hpsearch.storage.trial_result import TrialResult
from hpsearch.threads import one_thread

CONNECT_SECONDS = 20  # to reach the scheduler, and for a first worker to be there
_one_at_a_time = threading.Lock()


def evaluate_on_worker(prepared: Prepared, task: TrialTask, topic: str, expected: str) -> TrialResult:
    """Evaluate a task in a Dask worker: one at a time in a process, with one BLAS thread from now on."""
    from distributed import get_worker

    worker = get_worker()

    def report(epoch: int, mean: float) -> None:
        worker.log_event(topic, (task.number, epoch, mean))

    with _one_at_a_time:
        one_thread()  # for good: this context is never left
        report(STARTED, 0.0)
        result = evaluate(prepared, task, report)
        return result if probe() == expected else replace(result, machine=probe())


class DaskExecutor(TrialExecutor):
    """Evaluates tasks on the workers of a Dask scheduler; the rows reach each of them once, by content hash."""

    capacity = None

    def __init__(self, address: str, allow_mixed: bool) -> None:
        """
        Args:
            address: the scheduler's, as ``tcp://host:8786``.
            allow_mixed: use workers that do not train to the last bit as this machine does; their trials are marked.
        """
        import distributed

        self.worker_errors = (distributed.KilledWorker, distributed.CancelledError, CancelledError, MemoryError)
        self._address, self._allow_mixed, self._expected = address, allow_mixed, probe()
        self._topic = f"hpsearch-{uuid.uuid4().hex}"
        self._messages: SimpleQueue[tuple[int, int, float]] = SimpleQueue()
        self._probes: dict[str, str] = {}
        self._client: Any = None

    def start(self, prepared: Prepared, on_message: OnMessage) -> None:
        import distributed

        self._on_message = on_message
        self._content = hashlib.sha256(json.dumps(prepared.identity()).encode()).hexdigest()[:32]
        self._prepared = replace(prepared, held_out=None)  # workers need no held-out row, so they get none
        try:
            connect: Any = distributed.Client
            self._client = connect(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise HpsearchError(
                "must be the address of a running Dask scheduler, as tcp://host:8786",
                f"{quoted(self._address)} cannot be reached: {one_line(error, 120)}",
                where=Setting("scheduler"),
            ) from error
        with self._reached():
            self._wait_for_a_worker()
            self._prepare_scheduler()

    def _wait_for_a_worker(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            self._client.close()
            raise HpsearchError(
                "must have a worker",
                "has none",
                f"Start some with `dask worker {self._address} --nthreads 1`.",
                where=f"Dask scheduler {self._address}",
            ) from error

    def _prepare_scheduler(self) -> None:
        """Have it know who listens, and its workers the rows; of one that was started anew, again."""
        self._scheduler = str(self._client.scheduler_info(n_workers=-1)["id"])  # another each time that one is started
        self._client.subscribe_topic(self._topic, lambda event: self._messages.put(event[1]))
        key = f"hpsearch-{self._content}"
        self._data = self._client.scatter({key: self._prepared}, broadcast=True)[key]

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """
        Raises:
            HpsearchError: the scheduler cannot be reached any more.
        """
        try:
            yield
        except Exception as error:
            closed = self._client.status != "running"
            if isinstance(error, HpsearchError) or not (closed or isinstance(error, OSError)):
                raise
            raise HpsearchError(
                "must be reachable until the study has ended",
                f"is not any more: {one_line(error, 120)}",
                "All results that were told are stored: start it again, and run the study again.",
                where=f"Dask scheduler {self._address}",
            ) from error

    def _workers(self) -> list[str]:
        """The workers that may train; those that joined since are probed first."""
        present = list(self._client.scheduler_info(n_workers=-1)["workers"])
        strangers = [address for address in present if address not in self._probes]
        if strangers:
            self._probes |= self._client.run(probe, workers=strangers, on_error="ignore")
        good = [w for w in present if self._allow_mixed or self._probes.get(w) == self._expected]
        refused = [w for w in present if w in self._probes and w not in good]
        if refused and not good:
            raise HpsearchError(
                "Workers must train to the last bit as the study's machine does",
                "other processors or BLAS builds do not: "
                f"probe {self._expected} here, {self._probes[refused[0]]} on {refused[0]}",
                ("Use workers of one kind, or ", Setting("allow_mixed", True), ", which marks their trials."),
            )
        return good

    def submit(self, task: TrialTask) -> Future[TrialResult]:
        with self._reached():
            executor = self._client.get_executor(pure=False, workers=self._workers() or None)
            rest = self._data, task, self._topic, self._expected
            future: Future[TrialResult] = executor.submit(evaluate_on_worker, *rest)
            return future

    def poll(self) -> None:
        while True:
            try:
                self._on_message(*self._messages.get_nowait())
            except Empty:
                return

    def forget(self, number: int) -> None:
        pass

    def restart(self) -> bool:
        before = self._scheduler
        with self._reached():
            self._wait_for_a_worker()
            self._prepare_scheduler()
        return self._scheduler == before

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
