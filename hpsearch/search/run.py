"""Running a study: its audit, its one owner, its search, its finals, its corrected score, its baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import asdict

from hpsearch.data.audit import Finding, refusal
from hpsearch.definition.study import UNNAMED, as_key
from hpsearch.errors import DefinitionError, Setting
from hpsearch.extras import require
from hpsearch.search.baselines import require_comparison, store_comparison
from hpsearch.search.coordinator import Coordinator, Progress
from hpsearch.search.correction import require_scores, store_score
from hpsearch.search.executors import InProcessExecutor, LocalPoolExecutor, TrialExecutor, local_pool
from hpsearch.search.finals import Finals
from hpsearch.search.objective import Prepared
from hpsearch.search.progress import Logged
from hpsearch.search.stored_choices import require_notes, require_of_space
from hpsearch.search.supervisor import Supervisor, TimeUpError
from hpsearch.storage.lock import sole_owner
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.study_format import FORMAT, KEY
from hpsearch.temporary import remove_left

# Of the time that is given, for the trials; the finalists of those told by then take what they need of the rest.
SEARCH_SHARE = 0.7


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
    prepared: Prepared, url: str, findings: Sequence[Finding], allow_mixed: bool = False, new: bool = False
) -> Iterator[StoredStudy]:
    """The stored study of a prepared one, made if it is new, with this process as its one owner.

    Args:
        prepared: the study with its rows.
        url: where it is kept.
        findings: of its leakage audit, stored with it.
        allow_mixed: go on with a study that another kind of machine began.
        new: it must not be stored yet.

    Raises:
        StorageError: a storage that cannot be used; a study of that name that must not be there.
        StudyOwnedError: another process runs it.
        StudyChangedError: it was begun as another study.
    """
    audit = [asdict(finding) for finding in findings]
    attributes = {KEY: FORMAT, "identity": prepared.identity(), **prepared.attributes(), "audit": audit}
    with StoredStudy.create_or_open(url, prepared.definition.name, attributes, new) as stored, sole_owner(stored):
        stored.require_same(attributes, UNNAMED, allow_mixed)
        begun = stored.at_one_moment()  # looked at before anything is written
        begun.require_no_queue()
        require_of_space(begun, prepared.definition)
        require_notes(begun, prepared.definition)
        require_scores(begun)
        require_comparison(begun)
        begun.refresh(attributes)
        yield stored


def search(
    prepared: Prepared,
    stored: StoredStudy,
    executor: TrialExecutor,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    timeout: float | None = None,
    reuse: bool = True,
    baselines: bool = False,
) -> bool:
    """Run all trials of an owned study that are not told yet, and its finals, and store its corrected score.

    Where the time is up before all trials are told, the finals are those of the trials told so far: what is best then
    was chosen as well as it could be, and a later run goes on with the trials.

    Args:
        prepared: the study with its rows.
        stored: where it is kept; this process is its owner.
        executor: who evaluates trials.
        on_progress: called after each trial that is told, and about once a second.
        timeout: seconds after which the search stops, to be gone on with later.
        reuse: train two trials of one configuration once.
        baselines: compare what was found with models without a search, as far as the time allows.

    Returns:
        Whether it came to its end before the time was up.
    """
    remove_left()
    supervisor = Supervisor(prepared, executor, timeout)
    ended, logged = True, Logged(prepared.definition.name, on_progress)
    try:
        coordinator = Coordinator(prepared, stored, supervisor, on_progress=logged, reuse=reuse)
        supervisor.attend(coordinator, share=SEARCH_SHARE if prepared.definition.finalists else 1.0)
        coordinator.run()
    except TimeUpError:
        ended = False
    if prepared.definition.finalists:
        try:
            finals = Finals(prepared, stored, supervisor, logged)
            supervisor.attend(finals)
            finals.run()
        except TimeUpError:
            ended = False
    if ended:
        whole = stored.at_one_moment()  # read once: nobody else writes what is looked at from here on
        store_score(whole)
        if baselines:
            with suppress(TimeUpError):  # the next run does it
                store_comparison(prepared, whole, supervisor.check_clock)
    logged.ended(ended)
    return ended
