"""A Dask cluster of real processes on loopback: the same tables, also when a worker is killed."""

from __future__ import annotations

import gc
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import distributed
import pytest
from conftest import commands
from readmes import TEXTS
from test_coordinator import assert_same, at, tables

import hpsearch
from hpsearch.definition.pruners import PRUNERS
from hpsearch.definition.samplers import SAMPLERS
from hpsearch.errors import HpsearchError, StudyChangedError
from hpsearch.search import coordinator, dask_executor
from hpsearch.search.coordinator import Progress
from hpsearch.search.probe import probe

# Dask leaves sockets to the garbage collector; what it finds is Dask's and belongs to the test that made it.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    yield
    gc.collect()


# Another kernel of the same BLAS, as another processor would choose.
OTHER = {"OPENBLAS_CORETYPE": "Nehalem"}
# Prints the kernels of OpenBLAS and the targets of NumPy's loops that a process computes with.
CHOSEN = """
import json, threadpoolctl
import numpy.lib.introspect as introspect
loops = introspect.opt_func_info().values()
print(json.dumps({
    "kernels": [library["architecture"] for library in threadpoolctl.threadpool_info() if "architecture" in library],
    "loops": sorted({types["current"] for loop in loops for types in loop.values()}),
}))
"""


@contextmanager
def dask(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """``dask scheduler`` or ``dask worker`` in a process of its own, ended with what it started."""
    command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env={**os.environ, **environment}, **quiet)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def running_scheduler(folder: Path) -> Iterator[str]:
    """The address of a scheduler without workers."""
    with killable_scheduler(folder) as (address, _):
        yield address


@contextmanager
def killable_scheduler(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """The same, with what kills it."""
    file = folder / "scheduler.json"
    with dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)) as process:
        while not file.exists() or not file.read_text().endswith("}"):  # it may be half written
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"], process.kill


@pytest.fixture
def scheduler(small: Path) -> Iterator[str]:
    with running_scheduler(small.parent) as address:
        yield address


def worker(address: str, **environment: str):  # type: ignore[no-untyped-def]
    return dask("worker", address, "--nthreads", "1", "--no-nanny", **environment)


@pytest.mark.campaign
def test_two_workers_one_of_them_killed_give_the_same_tables(
    small: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "LIVE_SECONDS", 0.1)
    # Long enough for messages of running trials to come before their ends, on a busy machine too.
    small.write_text(small.read_text().replace("epochs = 40", "epochs = 2000"))
    hpsearch.run(small, storage=at(small.parent, "here"))
    heard: set[int] = set()
    with worker(scheduler) as first, worker(scheduler):

        def watch(progress: Progress) -> None:
            heard.update(number for number, (epoch, _) in progress.running.items() if epoch)
            if len(progress.results) >= 4 and first.poll() is None:
                first.kill()

        hpsearch.run(small, storage=at(small.parent, "there"), scheduler=scheduler, watch=watch)
        assert first.poll() is not None
    assert heard, "running trials must be heard of"
    assert_same(tables(at(small.parent, "here")), tables(at(small.parent, "there")))


@contextmanager
def two_workers(folder: Path) -> Iterator[str]:
    """The address of a scheduler with two workers."""
    with running_scheduler(folder) as address, worker(address), worker(address):
        yield address


def assert_the_cluster_agrees(path: Path, address: str, sampler: str, pruner: str) -> None:
    name, text = f"{sampler}-{pruner}", path.read_text()
    text = text.partition("[search]")[0] + f'[search]\ntrials = 12\nin_flight = 4\nfinalists = 0\npruner = "{pruner}"\n'
    start = ", n_startup_trials = 4" if sampler in ("tpe", "cmaes") else ""
    text += f'sampler = {{ name = "{sampler}"{start} }}\n'
    if sampler == "grid":
        head, _, rest = text.partition("[space]")
        text = (
            f"{head}[space]\nneurons = {{ int = [4, 7] }}\nactivation = {{ choice = ['relu', 'tanh', 'leaky_relu'] }}\n"
        )
        text += f"[search]{rest.partition('[search]')[2]}"
    path.write_text(text)
    hpsearch.run(path, storage=at(path.parent, f"{name}-here"))
    hpsearch.run(path, storage=at(path.parent, f"{name}-there"), scheduler=address)
    assert_same(tables(at(path.parent, f"{name}-here")), tables(at(path.parent, f"{name}-there")))


# gp needs torch, which the tests do without.
PAIRS = [(sampler, pruner) for sampler in sorted(set(SAMPLERS) - {"gp"}) for pruner in sorted(PRUNERS)]


@pytest.mark.campaign
def test_a_cluster_gives_the_same_table_with_every_sampler_and_pruner(small: Path) -> None:
    text = small.read_text()
    with two_workers(small.parent) as address:
        for sampler, pruner in PAIRS:
            small.write_text(text)
            assert_the_cluster_agrees(small, address, sampler, pruner)


@pytest.mark.campaign
def test_a_worker_of_another_kind_is_refused_or_marked_and_one_of_this_kind_gives_the_same_tables(
    small: Path, scheduler: str
) -> None:
    program = "from hpsearch.search.probe import probe; print(probe())"
    there = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **OTHER}, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert there != probe(), "this BLAS has one kernel only: the test needs another"
    with worker(scheduler, **OTHER):
        with pytest.raises(HpsearchError, match=f"probe {probe()} here, {there} on tcp://"):
            hpsearch.run(small, trials=2, scheduler=scheduler)
        trials = hpsearch.run(small, trials=2, scheduler=scheduler, allow_mixed=True).trials
        assert set(trials["machine"]) == {there}
        with worker(scheduler):
            with distributed.Client(scheduler, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=30)
            assert_the_cluster_agrees(small, scheduler, "tpe", "successive_halving")
        trials = hpsearch.load_trials("small", at(small.parent, "tpe-successive_halving-there"))
    assert trials["machine"].isna().all(), "beside a worker of the right kind the other is left alone"


def test_a_study_goes_on_only_on_the_kind_of_machine_that_began_it(small: Path) -> None:
    hpsearch.run(small, trials=1)
    line = ["run", str(small), "--trials", "2", "--workers", "1"]
    refused, mixed = commands(line, [*line, "--allow-mixed"], **OTHER)
    assert refused.status == 2
    assert "machine.probe was" in refused.err
    assert mixed.status == 0, mixed.err
    assert len(hpsearch.load_trials("small")) == 2
    with pytest.raises(StudyChangedError, match=r"study\.seed"):
        hpsearch.run(hpsearch.StudyDefinition.from_file(small, ["study.seed=9"]), allow_mixed=True)


def test_a_scheduler_that_is_not_there_or_has_no_workers_is_named(
    small: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_executor, "CONNECT_SECONDS", 1)
    with pytest.raises(HpsearchError, match="must be the address of a running Dask scheduler"):
        hpsearch.run(small, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(HpsearchError, match="must have a worker, but has none"):
        hpsearch.run(small, scheduler=scheduler)


@pytest.mark.campaign
def test_a_scheduler_that_is_lost_ends_the_run_in_one_line_and_nothing_that_was_told_is_lost(
    small: Path,
) -> None:
    told: list[int] = []
    with killable_scheduler(small.parent) as (address, kill), worker(address):

        def watch(progress: Progress) -> None:
            told.append(len(progress.results))
            if told[-1] == 2:
                kill()

        with pytest.raises(HpsearchError, match=f"{address}: must be reachable until the study has ended"):
            hpsearch.run(small, storage=at(small.parent, "there"), scheduler=address, watch=watch)
    hpsearch.run(small, storage=at(small.parent, "there"))
    hpsearch.run(small, storage=at(small.parent, "here"))
    assert_same(tables(at(small.parent, "here")), tables(at(small.parent, "there")))


def test_the_probe_is_the_same_in_every_process_of_this_machine() -> None:
    program = "from hpsearch.search.probe import probe; print(probe())"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.strip() == probe()


@pytest.mark.campaign
@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or " fma " not in Path("/proc/cpuinfo").read_text(encoding="utf-8"),
    reason="glibc has other functions for processors with FMA",
)
def test_the_probe_tells_c_libraries_apart() -> None:
    program = "from hpsearch.search.probe import probe; print(probe())"
    other = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2"}
    command = [sys.executable, "-c", program]
    out = subprocess.run(command, env={**os.environ, **other}, capture_output=True, text=True, check=True).stdout
    assert out.strip() != probe()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="is about x86-64")
def test_the_variables_that_make_one_kind_of_machine_choose_code_that_every_avx2_processor_has() -> None:
    """NumPy names its features anew now and then, and leaves out in silence what it does not know."""
    found = dict(re.findall(r'^- `(\w+)="?([^"`]+)"?`$', TEXTS["hpsearch/search/README.md"], re.M))
    assert set(found) == {"OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES"}
    out = subprocess.run(
        [sys.executable, "-c", CHOSEN], env={**os.environ, **found}, capture_output=True, text=True, check=True
    ).stdout
    chosen = json.loads(out)
    assert set(chosen["kernels"]) == {"Haswell"}
    assert not [target for target in chosen["loops"] if "AVX512" in target or "X86_V4" in target]
