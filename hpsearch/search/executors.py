"""Who evaluates trials: this process, local worker processes, any executor, a Dask cluster.

All submit the same pure function, so the answers are the same; they differ in speed and in what can break.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np

from hpsearch.data.dataset import Dataset
from hpsearch.errors import DefinitionError, Setting
from hpsearch.search.objective import Prepared, TrialTask, evaluate
from hpsearch.search.pruning import Seen
from hpsearch.storage.trials import TrialResult

STARTED = 0  # the epoch of a message that says only that a trial has begun
Deliver = Callable[[int, int, float], None]  # trial number, epoch, mean objective


class Crew(ABC):
    """Evaluates tasks. Used from one thread, as a context manager; leaving it abandons what still runs."""

    @property
    @abstractmethod
    def slots(self) -> int | None:
        """How many tasks to submit at a time; None for as many as there are."""

    @property
    @abstractmethod
    def broken(self) -> tuple[type[BaseException], ...]:
        """What a future raises when a worker died, whichever task killed it."""

    @abstractmethod
    def start(self, prepared: Prepared, deliver: Deliver) -> None:
        """Take the study; ``deliver`` takes the messages of running trials."""

    @abstractmethod
    def submit(self, task: TrialTask) -> Future[TrialResult]:
        """Have a task evaluated; may raise what :attr:`broken` names."""

    @abstractmethod
    def poll(self) -> None:
        """Deliver the messages that have come."""

    @abstractmethod
    def forget(self, number: int) -> None:
        """Deliver no more messages of a trial: it has ended."""

    @abstractmethod
    def mend(self) -> None:
        """Be ready again after a worker died; tasks not finished are gone."""

    @abstractmethod
    def close(self) -> None:
        """Abandon what runs and give everything back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class InProcess(Crew):
    """Evaluates each task in this process, when it is submitted."""

    @property
    def slots(self) -> int | None:
        return 1

    @property
    def broken(self) -> tuple[type[BaseException], ...]:
        return (MemoryError,)

    def start(self, prepared: Prepared, deliver: Deliver) -> None:
        self._prepared, self._deliver = prepared, deliver

    def submit(self, task: TrialTask) -> Future[TrialResult]:
        future: Future[TrialResult] = Future()
        try:
            future.set_result(
                evaluate(self._prepared, task, lambda epoch, mean: self._deliver(task.number, epoch, mean))
            )
        except MemoryError as error:  # as if a worker had died of it
            future.set_exception(error)
        return future

    def poll(self) -> None:
        pass

    def forget(self, number: int) -> None:
        pass

    def mend(self) -> None:
        pass

    def close(self) -> None:
        pass


# ---------------------------------------------------------------- processes of this machine


@dataclass(frozen=True)
class Dump:
    """A prepared study in a folder of this machine: each process loads it once, its rows memory-mapped."""

    folder: Path

    @classmethod
    def write(cls, prepared: Prepared) -> Dump:
        folder = Path(tempfile.mkdtemp(prefix="hpsearch-"))
        np.save(folder / "features.npy", prepared.search.features)
        np.save(folder / "labels.npy", prepared.search.labels)
        (folder / "history.pickles").touch()
        # Workers need no held-out row, so they get none.
        bare = replace(prepared, search=_without_rows(prepared.search), held_out=None)
        (folder / "study.pickle").write_bytes(pickle.dumps(bare))
        return cls(folder)

    def load(self) -> Prepared:
        bare: Prepared = pickle.loads((self.folder / "study.pickle").read_bytes())
        features, labels = (np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in ("features", "labels"))
        return replace(bare, search=replace(bare.search, features=features, labels=labels))

    @property
    def history(self) -> Path:
        """What pruners may know, one trial after the other: written once by the owner, read once by each worker."""
        return self.folder / "history.pickles"

    def messages(self, number: int) -> Path:
        """The file that a running trial appends its messages to: no lock that a killed worker could keep."""
        return self.folder / f"trial-{number}.messages"

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _without_rows(data: Dataset) -> Dataset:
    return replace(data, features=np.empty((0, data.features.shape[1])), labels=np.empty(0, np.intp))


class History:
    """The told trials of a dumped study, as far as this process has read them. (Threads may share it.)"""

    def __init__(self, path: Path) -> None:
        self._path, self._place, self._seen, self._lock = path, 0, list[Seen](), threading.Lock()

    def first(self, count: int) -> Sequence[Seen]:
        with self._lock:
            if len(self._seen) < count:
                with self._path.open("rb") as file:
                    file.seek(self._place)
                    while len(self._seen) < count:
                        self._seen.append(pickle.load(file))
                    self._place = file.tell()
            return self._seen[:count]


@lru_cache(maxsize=2)
def _loaded(dump: Dump) -> tuple[Prepared, History]:
    return dump.load(), History(dump.history)


def evaluate_dumped(dump: Dump, task: TrialTask, told: int) -> TrialResult:
    """Evaluate a task in a worker process of this machine; its history is the first ``told`` trials of the dump's."""
    prepared, history = _loaded(dump)
    task = replace(task, history=history.first(told))
    with dump.messages(task.number).open("a", buffering=1) as file:

        def report(epoch: int, mean: float) -> None:
            file.write(f"{epoch} {mean!r}\n")

        report(STARTED, 0.0)
        return evaluate(prepared, task, report)


def begin_worker() -> None:
    """Make a worker leave Ctrl-C to its owner, and end when its owner is gone, whatever ended it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    owner = os.getppid()

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(0.3)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def warm_up() -> None:
    """Nothing: by unpickling this function, a worker has imported what it needs."""


Stop = Callable[[], None]


def local_pool(workers: int) -> tuple[Executor, Stop]:
    """Fresh worker processes with one BLAS thread each. (loky's need no ``__main__`` guard in a user's script.)"""
    from loky import ProcessPoolExecutor

    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # Arrays of a megabyte and more go back to the system when they are freed, so that workers stay small (glibc).
    memory = {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    pool = ProcessPoolExecutor(workers, initializer=begin_worker, env={**one, **memory})
    for _ in range(workers):  # they import while the owner prepares
        pool.submit(warm_up)
    return pool, lambda: pool.shutdown(wait=True, kill_workers=True)


class OnThisMachine(Crew):
    """Evaluates tasks on an executor whose workers share this machine's files."""

    def __init__(self, make: Callable[[], tuple[Executor, Stop]]) -> None:
        """
        Args:
            make: makes an executor, and what stops it at once; called again when its workers died.
        """
        self._make = make
        self._dump: Dump | None = None
        self._read: dict[int, int] = {}
        self._executor, self._stop = make()

    @property
    def slots(self) -> int | None:
        return None

    @property
    def broken(self) -> tuple[type[BaseException], ...]:
        return (BrokenExecutor, MemoryError)

    def start(self, prepared: Prepared, deliver: Deliver) -> None:
        self._deliver, self._dump, self._told = deliver, Dump.write(prepared), 0

    def submit(self, task: TrialTask) -> Future[TrialResult]:
        assert self._dump is not None  # started
        self._dump.messages(task.number).unlink(missing_ok=True)
        self._read[task.number] = 0
        # A history goes with no task: after a thousand trials it would take longer to send than some take to train.
        with self._dump.history.open("ab") as file:
            for seen in task.history[self._told :]:
                pickle.dump(seen, file)
        self._told = max(self._told, len(task.history))
        return self._executor.submit(evaluate_dumped, self._dump, replace(task, history=()), len(task.history))

    def poll(self) -> None:
        assert self._dump is not None
        for number, place in list(self._read.items()):
            try:
                with self._dump.messages(number).open() as file:
                    file.seek(place)
                    text = file.read()
            except FileNotFoundError:  # not begun yet
                continue
            whole = text[: text.rfind("\n") + 1]
            self._read[number] = place + len(whole)
            for line in whole.splitlines():
                epoch, mean = line.split()
                self._deliver(number, int(epoch), float(mean))

    def forget(self, number: int) -> None:
        assert self._dump is not None
        self._read.pop(number, None)
        self._dump.messages(number).unlink(missing_ok=True)

    def mend(self) -> None:
        self._stop()
        self._executor, self._stop = self._make()

    def close(self) -> None:
        self._stop()
        if self._dump is not None:
            self._dump.remove()


def make_crew(workers: int = 1, executor: Executor | None = None) -> Crew:
    """The crew that was asked for, its workers starting.

    Raises:
        DefinitionError: fewer than one worker.
    """
    if workers < 1:
        raise DefinitionError("must be at least 1", f"is {workers}", where=Setting("workers"))
    if executor is not None:
        return OnThisMachine(lambda: (executor, lambda: None))
    return InProcess() if workers == 1 else OnThisMachine(lambda: local_pool(workers))
