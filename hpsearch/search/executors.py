"""Who evaluates trials: this process, local worker processes, any executor, a Dask cluster.

All submit the same pure function, so the results are the same; they differ in speed and in what can break.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
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
from hpsearch.data.matrix import file_of
from hpsearch.errors import HpsearchError, Setting, reason
from hpsearch.search.objective import Prepared, TrialTask, evaluate
from hpsearch.search.pruning import PriorTrial
from hpsearch.storage.trial_result import TrialResult
from hpsearch.temporary import TemporaryFolder, remove_left

STARTED = 0  # the epoch of a message that says only that a trial has begun
OnMessage = Callable[[int, int, float], None]  # trial number, epoch, mean objective


class TrialExecutor(ABC):
    """Evaluates tasks. Used from one thread, as a context manager; leaving it abandons what still runs.

    Attributes:
        capacity: how many tasks to submit at a time; None for as many as there are.
        worker_errors: what a future raises when a worker died, whichever task killed it.
    """

    capacity: int | None
    worker_errors: tuple[type[BaseException], ...]

    @abstractmethod
    def start(self, prepared: Prepared, on_message: OnMessage) -> None:
        """Take the study; ``on_message`` takes the messages of running trials."""

    @abstractmethod
    def submit(self, task: TrialTask) -> Future[TrialResult]:
        """Have a task evaluated; may raise what :attr:`worker_errors` names."""

    @abstractmethod
    def poll(self) -> None:
        """Pass on the messages that have come."""

    @abstractmethod
    def forget(self, number: int) -> None:
        """Pass on no more messages of a trial: it has ended."""

    @abstractmethod
    def restart(self) -> bool:
        """Be ready again after a worker died; tasks not finished are gone.

        Returns:
            Whether a task may have killed the worker. Not where all were lost with what distributes them.
        """

    @abstractmethod
    def close(self) -> None:
        """Abandon what runs and give everything back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class InProcessExecutor(TrialExecutor):
    """Evaluates each task in this process, when it is submitted."""

    capacity = 1
    worker_errors = (MemoryError,)

    def start(self, prepared: Prepared, on_message: OnMessage) -> None:
        self._prepared, self._on_message = prepared, on_message

    def submit(self, task: TrialTask) -> Future[TrialResult]:
        future: Future[TrialResult] = Future()
        try:
            future.set_result(
                evaluate(self._prepared, task, lambda epoch, mean: self._on_message(task.number, epoch, mean))
            )
        except MemoryError as error:  # as if a worker had died of it
            future.set_exception(error)
        return future

    def poll(self) -> None:
        pass

    def forget(self, number: int) -> None:
        pass

    def restart(self) -> bool:
        return True

    def close(self) -> None:
        pass


# ---------------------------------------------------------------- processes of this machine


def _temporary_folder() -> TemporaryFolder:
    """
    Raises:
        HpsearchError: it cannot be made.
    """
    try:
        return TemporaryFolder()
    except OSError as error:
        raise _no_room("A temporary folder must be one that can be written, with room", error) from error


def _no_room(must: str, error: OSError, *where: Path) -> HpsearchError:
    do = "Set TMPDIR to a folder with more room, or train in one process: ", Setting("workers", 1), "."
    return HpsearchError(must, reason(error), do, tuple(map(str, where)))


@dataclass(frozen=True)
class Dump:
    """A prepared study in a folder of this machine: each process loads it once and maps the file of its features."""

    folder: Path
    features: Path

    @classmethod
    def write(cls, prepared: Prepared, folder: Path) -> Dump:
        try:
            return cls._written(prepared, folder)
        except OSError as error:
            raise _no_room("must have room for the rows", error, folder.parent) from error

    @classmethod
    def _written(cls, prepared: Prepared, folder: Path) -> Dump:
        features = file_of(prepared.search.features)  # of a large table, which the owner has mapped too
        if features is None:
            features = folder / "features.npy"
            np.save(features, prepared.search.features)
        np.save(folder / "labels.npy", prepared.search.labels)
        (folder / "prior_trials.pickles").touch()
        # Workers need no held-out row, so they get none.
        bare = replace(prepared, search=_without_rows(prepared.search), held_out=None)
        (folder / "study.pickle").write_bytes(_pickled(bare))
        return cls(folder, features)

    def load(self) -> Prepared:
        bare: Prepared = pickle.loads((self.folder / "study.pickle").read_bytes())
        features, labels = (np.load(path, mmap_mode="r") for path in (self.features, self.folder / "labels.npy"))
        return replace(bare, search=replace(bare.search, features=features, labels=labels))

    @property
    def prior_trials(self) -> Path:
        """What pruners may know, one trial after the other: written once by the owner, read once by each worker."""
        return self.folder / "prior_trials.pickles"

    def messages(self, number: int) -> Path:
        """The file that a running trial appends its messages to: no lock that a killed worker could keep."""
        return self.folder / f"trial-{number}.messages"


def _pickled(bare: Prepared) -> bytes:
    """With the functions and classes of the caller's own module that a pipeline's steps may be made of."""
    if bare.search.preprocessing is None and bare.search.given_splits is None:
        return pickle.dumps(bare)
    from loky.backend.reduction import dumps

    return bytes(dumps(bare))


def _without_rows(data: Dataset) -> Dataset:
    return replace(data, features=np.empty((0, data.features.shape[1])), labels=np.empty(0, np.intp))


class PriorTrialsFile:
    """The told trials of a dumped study, as far as this process has read them. (Threads may share it.)"""

    def __init__(self, path: Path) -> None:
        self._path, self._place, self._trials, self._lock = path, 0, list[PriorTrial](), threading.Lock()

    def first(self, count: int) -> Sequence[PriorTrial]:
        with self._lock:
            if len(self._trials) < count:
                with self._path.open("rb") as file:
                    file.seek(self._place)
                    while len(self._trials) < count:
                        self._trials.append(pickle.load(file))
                    self._place = file.tell()
            return self._trials[:count]


@lru_cache(maxsize=2)
def _loaded(dump: Dump) -> tuple[Prepared, PriorTrialsFile]:
    return dump.load(), PriorTrialsFile(dump.prior_trials)


def evaluate_dumped(dump: Dump, task: TrialTask, told: int) -> TrialResult:
    """Evaluate a task in a worker process of this machine; its prior trials are the dump's first ``told``."""
    prepared, prior_trials = _loaded(dump)
    task = replace(task, prior_trials=prior_trials.first(told))
    with dump.messages(task.number).open("a", buffering=1) as file:

        def report(epoch: int, mean: float) -> None:
            file.write(f"{epoch} {mean!r}\n")

        report(STARTED, 0.0)
        return evaluate(prepared, task, report)


def begin_worker(owner: int) -> None:
    """Make a worker leave to its owner what a terminal tells both, and end when its owner is gone, whatever ended it.

    Args:
        owner: its process number, from itself: who is started while its owner dies has another parent already.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":  # also when it is stopped
        ctypes.CDLL(None).prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGKILL)

    def end_with_owner() -> None:
        while os.getppid() == owner:
            time.sleep(0.3)
        os._exit(1)

    threading.Thread(target=end_with_owner, daemon=True).start()


_SIGNAL_AT_PARENTS_DEATH = 1  # of prctl's options, as sys/prctl.h has them


def warm_up() -> None:
    """Nothing: by unpickling this function, a worker has imported what it needs."""


ShutDown = Callable[[], None]


def local_pool(workers: int) -> tuple[Executor, ShutDown]:
    """Fresh worker processes with one BLAS thread each. (loky's need no ``__main__`` guard in a user's script.)"""
    from loky import ProcessPoolExecutor

    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # Arrays of a megabyte and more go back to the system when they are freed, so that workers stay small (glibc).
    memory = {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    ours = _temporary_folder()  # its name says whose semaphores these are, should this process be killed
    _start_trackers()
    pool = ProcessPoolExecutor(workers, initializer=begin_worker, initargs=(os.getpid(),), env={**one, **memory})
    for _ in range(workers):  # they import while the owner prepares
        pool.submit(warm_up)

    def shut_down() -> None:
        pool.shutdown(wait=True, kill_workers=True)
        ours.remove()
        remove_left()  # by the workers, which were killed

    return pool, shut_down


def _start_trackers() -> None:
    """Start the library's processes that remove what a killed owner leaves: silent, and deaf to a closed terminal."""
    from multiprocessing import resource_tracker

    from loky.backend.resource_tracker import ensure_running

    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # which a new process inherits
    try:
        ensure_running()
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


class LocalPoolExecutor(TrialExecutor):
    """Evaluates tasks on an executor whose workers share this machine's files."""

    capacity = None
    worker_errors = (BrokenExecutor, MemoryError)

    def __init__(self, make: Callable[[], tuple[Executor, ShutDown]]) -> None:
        """
        Args:
            make: makes an executor, and what stops it at once; called again when its workers died.
        """
        self._make = make
        self._dump: Dump | None = None
        self._temporary: TemporaryFolder | None = None
        self._read: dict[int, int] = {}
        self._pool, self._shut_down = make()

    def start(self, prepared: Prepared, on_message: OnMessage) -> None:
        self._temporary = _temporary_folder()
        self._on_message, self._dump, self._told = on_message, Dump.write(prepared, self._temporary.path), 0

    def submit(self, task: TrialTask) -> Future[TrialResult]:
        assert self._dump is not None  # started
        self._dump.messages(task.number).unlink(missing_ok=True)
        self._read[task.number] = 0
        # Prior trials go with no task: after a thousand trials they would take longer to send than some take to train.
        with self._dump.prior_trials.open("ab") as file:
            for trial in task.prior_trials[self._told :]:
                pickle.dump(trial, file)
        self._told = max(self._told, len(task.prior_trials))
        return self._pool.submit(evaluate_dumped, self._dump, replace(task, prior_trials=()), len(task.prior_trials))

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
                self._on_message(number, int(epoch), float(mean))

    def forget(self, number: int) -> None:
        assert self._dump is not None
        self._read.pop(number, None)
        self._dump.messages(number).unlink(missing_ok=True)

    def restart(self) -> bool:
        self._shut_down()
        self._pool, self._shut_down = self._make()
        return True

    def close(self) -> None:
        self._shut_down()
        if self._temporary is not None:
            self._temporary.remove()
