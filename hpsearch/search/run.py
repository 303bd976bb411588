"""Running a study: its audit, its one owner, its search, its corrected score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict

from hpsearch.data.audit import Finding, refusal
from hpsearch.definition.study import as_key
from hpsearch.errors import DefinitionError, Setting
from hpsearch.extras import require
from hpsearch.search.coordinator import Coordinator, Progress, TimeUpError
from hpsearch.search.correction import store_score
from hpsearch.search.executors import InProcessExecutor, LocalPoolExecutor, TrialExecutor, local_pool
from hpsearch.search.objective import Prepared
from hpsearch.storage.lock import sole_owner
from hpsearch.storage.stored_study import StoredStudy


def audited(prepared: Prepared) -> Sequence[Finding]:
    """What the leakage audit found and does not stop the study.

    Raises:
        DataError: what does.
    """
    findings = prepared.audit()
    if (error := refusal(findings, prepared.definition.validation.allow)) is not None:
        file = prepared.definition.file
        raise error.worded(as_key).at(*([] if file is None else [str(file)]))
    return findings


def executor_for(
    workers: int = 1, executor: Executor | None = None, scheduler: str | None = None, allow_mixed: bool = False
) -> TrialExecutor:
    """Who evaluates trials: this process, ``workers`` local ones, an executor, or a Dask scheduler's workers.

    Raises:
        DefinitionError: fewer than one worker.
        MissingExtraError: a scheduler without the extra ``distributed``.
    """
    if scheduler is not None:
        require("distributed", "distributed", "A Dask scheduler")
        from hpsearch.search.dask_executor import DaskExecutor

        return DaskExecutor(scheduler, allow_mixed)
    if workers < 1:
        raise DefinitionError("must be at least 1", f"is {workers}", where=Setting("workers"))
    if executor is not None:
        return LocalPoolExecutor(lambda: (executor, lambda: None))
    return InProcessExecutor() if workers == 1 else LocalPoolExecutor(lambda: local_pool(workers))


@contextmanager
def owned(
    prepared: Prepared, url: str, findings: Sequence[Finding], allow_mixed: bool = False
) -> Iterator[StoredStudy]:
    """The stored study of a prepared one, made if it is new, with this process as its one owner.

    Args:
        prepared: the study with its rows.
        url: where it is kept.
        findings: of its leakage audit, stored with it.
        allow_mixed: go on with a study that another kind of machine began.

    Raises:
        StorageError: a storage that cannot be used.
        StudyOwnedError: another process runs it.
        StudyChangedError: it was begun as another study.
    """
    identity = prepared.identity()
    attributes = {"identity": identity, **prepared.attributes(), "audit": [asdict(finding) for finding in findings]}
    with StoredStudy.create_or_open(url, prepared.definition.name, attributes) as stored, sole_owner(stored):
        stored.require_identity(identity, allow_mixed)
        stored.refresh(attributes)
        yield stored


def search(
    prepared: Prepared,
    stored: StoredStudy,
    executor: TrialExecutor,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    timeout: float | None = None,
    reuse: bool = True,
) -> bool:
    """Run all trials of an owned study that are not told yet, and store its corrected score.

    Args:
        prepared: the study with its rows.
        stored: where it is kept; this process is its owner.
        executor: who evaluates trials.
        on_progress: called after each trial that is told, and about once a second.
        timeout: seconds after which the search stops, to be gone on with later.
        reuse: train two trials of one configuration once.

    Returns:
        Whether it came to its end before the time was up.
    """
    try:
        Coordinator(prepared, stored, executor, on_progress=on_progress, timeout=timeout, reuse=reuse).run()
    except TimeUpError:
        return False
    store_score(stored)
    return True
