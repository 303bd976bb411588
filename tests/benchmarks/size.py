"""How the time of what reads a storage grows by its trials and by its studies, and that of a commit by its trials.

The databases hold real rows: some trials of a tiny study, trained, and told again under other numbers and with other
learning rates by what a run stores trials with, per-row results included. Then a real run comes to the study's end,
with its finals and its corrected score. Seconds are those of the processor, so that what else a machine does tells
little; of studies that run together they are the wall clock's, so there it must do nothing else.

    python tests/benchmarks/size.py trials 500 1000 2500 5000
    python tests/benchmarks/size.py studies 50 500
    python tests/benchmarks/size.py together 1 4
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

FEW = 20  # trials of each of many studies
TRAINED = 24  # trials that are trained; all others have the result of one of these
TOLD_AT_ONCE = 250
COMMITS = 40
TOGETHER = 200  # trials of each of the studies that run at once
READERS, READ = 20, 10  # processes, and commits beside them

DEFINITION: dict[str, Any] = {
    "study": {"name": "size", "seed": 3},
    "data": {"source": "nnfs:spiral", "samples": 20},
    "holdout": {"fraction": 0.25},
    "validation": {"n_splits": 3},
    "train": {"epochs": 20, "evaluate_every": 2, "batch_size": 16},
    "space": {
        "neurons": {"int": [4, 8]},
        "learning_rate": {"float": [1e-3, 1.0], "log": True},
        "momentum": {"float": [0.0, 0.9]},
        "optimizer": {"choice": ["adam", "sgd"]},
    },
    "search": {"sampler": "random", "finalists": 3, "finalist_repeats": 2},
}


def definition(name: str, trials: int) -> Any:
    import hpsearch

    raw = {**DEFINITION, "study": {**DEFINITION["study"], "name": name}}
    return hpsearch.StudyDefinition.from_mapping({**raw, "search": {**DEFINITION["search"], "trials": trials}})


class Filler:
    """Fills storages with studies of any number of trials."""

    def __init__(self) -> None:
        from hpsearch.search.objective import TrialTask, evaluate, prepare
        from hpsearch.search.proposer import Proposer

        few = definition("size", TRAINED)
        self.prepared = prepare(few)
        proposer = Proposer(few, self.prepared.sizes)
        self.results: list[Any] = []
        self.proposals: list[Any] = []
        for number in range(TRAINED):
            self.proposals.append(proposer.propose(self.results))
            self.results.append(evaluate(self.prepared, TrialTask(number, self.proposals[-1].chosen)))

    def fill(self, url: str, name: str, told: int) -> None:
        """A study so many trials of which are told, run to its end."""
        import hpsearch

        with self.owned(url, name, told) as stored:
            stored.row_results.begin(self.prepared.layout())
            for first in range(0, told, TOLD_AT_ONCE):
                with stored.transaction():
                    for number in range(first, min(first + TOLD_AT_ONCE, told)):
                        self.tell(stored, number)
        hpsearch.run(definition(name, told), storage=url)

    def owned(self, url: str, name: str, trials: int) -> Any:
        """The stored study of this name, for who writes."""
        from hpsearch.search.run import owned

        return owned(replace(self.prepared, definition=definition(name, trials)), url, [])

    def tell(self, stored: Any, number: int) -> None:
        """Store a trial: another configuration each, with what became of one that was trained."""
        proposal, result = self.proposals[number % TRAINED], self.results[number % TRAINED]
        rate = max(proposal.chosen["learning_rate"] * (1 - 1e-9 * number), 1e-3)
        proposal = replace(proposal, number=number, chosen={**proposal.chosen, "learning_rate": rate})
        result = replace(result, number=number)
        stored.write_row_results(result)
        stored.add(proposal)
        stored.tell(result)


def commits(filler: Filler, url: str, name: str, told: int, count: int = COMMITS) -> float:
    """Milliseconds of telling a trial and asking the next, with their commit, after so many; they stay there."""
    with filler.owned(url, name, told) as stored:
        begun = time.process_time()
        for number in range(told, told + count):
            with stored.transaction():
                filler.tell(stored, number)
        return 1e3 * (time.process_time() - begun) / count


def reading(url: str, name: str, folder: Path) -> dict[str, float]:
    """Seconds of commands, and of pages of a dashboard that has just begun; again is the second time."""
    import optuna_dashboard

    import hpsearch
    from hpsearch.reporting.dashboard import annotate
    from hpsearch.reporting.overview import Overview
    from hpsearch.reporting.site import Site
    from hpsearch.reporting.view import View
    from hpsearch.storage.database import close, open_storage

    warnings.simplefilter("ignore")  # what figures say of few values
    seconds = {
        "studies": timed(lambda: hpsearch.load_studies(url)),
        "trials": timed(lambda: hpsearch.load_trials(name, url)),
        "best": timed(lambda: hpsearch.load_best(name, url)),
        "report": timed(lambda: hpsearch.report(name, folder / "report.html", url, force=True, importance=False)),
    }
    storage = open_storage(url)
    try:
        view, overview = View(storage, annotate), Overview(storage, url)
        site = Site(overview, optuna_dashboard.wsgi(view), view.look, view.notes)
        number = storage.get_study_id_from_name(name)
        standing = overview.study(number)
        assert standing is not None
        pages = {
            "/": "/",
            "/ again": "/",
            "/studies/N": f"/studies/{number}",
            "/studies/N again": f"/studies/{number}",
            "/studies/N/trials": f"/studies/{number}/trials",
            "/studies/N/bar": f"/studies/{number}/bar?page=report&version={standing.version}",
            "/api/studies/N": f"/api/studies/{number}",
            "/api/studies/N again": f"/api/studies/{number}",
        }
        for title, address in pages.items():
            seconds[title] = timed(lambda address=address: get(site, address))  # type: ignore[misc]
    finally:
        close(storage)
    return seconds


def get(site: Any, address: str) -> bytes:
    """What a site answers."""
    path, _, query = address.partition("?")
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "HTTP_ACCEPT_ENCODING": "identity"}
    got: list[str] = []
    body = b"".join(site(environ, lambda status, headers, *rest: got.append(status)))
    if got != ["200 OK"]:
        raise RuntimeError(f"{address}: {got[0]}")
    return body


def timed(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def by_trials(counts: list[int]) -> dict[str, dict[str, float]]:
    """Of studies of so many trials each."""
    filler, found = Filler(), {}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            url = f"sqlite:///{folder}/{count}.db"
            filler.fill(url, "size", count)
            if not found:
                reading(url, "size", Path(folder))  # what is imported late
            found[str(count)] = {
                **reading(url, "size", Path(folder)),
                "commit, ms": commits(filler, url, "size", count),
            }
            found[str(count)]["with readers, ms"] = with_readers(filler, url, count + COMMITS)
    return found


def with_readers(filler: Filler, url: str, told: int) -> float:
    """As :func:`commits`, while 20 other processes read trials over and over."""
    read = f"import hpsearch\nwhile True:\n    hpsearch.load_trials('size', {url!r})\n    print(flush=True)"
    command = [sys.executable, "-c", read]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(READERS)]
    try:
        for reader in readers:
            assert reader.stdout is not None
            reader.stdout.readline()  # it has begun
        return commits(filler, url, "size", told, count=READ)
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
            assert reader.stdout is not None
            reader.stdout.close()


def by_studies(counts: list[int]) -> dict[str, dict[str, float]]:
    """Of storages of so many studies each."""
    filler, found = Filler(), {}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            url = f"sqlite:///{folder}/{count}.db"
            filler.fill(url, "size", FEW)
            copy_studies(Path(folder) / f"{count}.db", count - 1)
            if not found:
                reading(url, "size", Path(folder))
            found[str(count)] = reading(url, "size", Path(folder))
    return found


def together(counts: list[int]) -> dict[str, dict[str, float]]:
    """Of so many studies that run at once, one process each: the slowest, with an SQLite file each and in one."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            names = [f"study-{number}" for number in range(count)]
            found[str(count)] = {
                "a file each": max(at_once([f"sqlite:///{folder}/{count}-{name}.db" for name in names], names)),
                "one file": max(at_once([f"sqlite:///{folder}/{count}.db"] * count, names)),
            }
    return found


def at_once(urls: list[str], names: list[str]) -> list[float]:
    """Seconds that each study takes, all of them begun when every process is ready."""
    code = (
        "import sys, time; sys.path[:0] = [sys.argv[1]]; import hpsearch, size, hpsearch.search.run\n"
        "study = size.definition(sys.argv[2], size.TOGETHER); print(flush=True); input(); begun = time.perf_counter()\n"
        "hpsearch.run(study, storage=sys.argv[3], workers=1); print(time.perf_counter() - begun)"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command, *study], **pipes) for study in zip(names, urls, strict=True)]
    for process in processes:
        process.stdout.readline()  # type: ignore[union-attr]
    for process in processes:
        process.stdin.write("\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    return [float(process.communicate()[0]) for process in processes]


def copy_studies(database: Path, copies: int) -> None:
    """The one study of a database so many times more, row by row, under other names."""
    named = "json_set(value_json, '$.study.name', json_extract(value_json, '$.study.name') || '-' || (study_id - 1))"
    import sqlite3

    with closing(sqlite3.connect(database)) as connection, connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [(row[1], bool(row[5])) for row in connection.execute(f"PRAGMA table_info({table})")]
            names, keys = [name for name, _ in columns], [name for name, is_key in columns if is_key]
            if table != "studies" and not {"study_id", "trial_id"} & set(names):
                continue
            (rows,) = connection.execute(f"SELECT max({keys[0]}) FROM {table}").fetchone()
            (trials,) = connection.execute("SELECT max(trial_id) FROM trials WHERE study_id = 1").fetchone()
            for copy in range(1, copies + 1):
                shifts = {"study_name": f" || '-{copy}'", "trial_id": f" + {copy * trials}", "study_id": f" + {copy}"}
                if keys[0] not in ("trial_id", "study_id"):
                    shifts[keys[0]] = f" + {copy * (rows or 0)}"
                values = ", ".join(f"{name}{shifts.get(name, '')}" for name in names)
                own = "study_id = 1" if "study_id" in names else f"trial_id <= {trials}"
                connection.execute(f"INSERT INTO {table} SELECT {values} FROM {table} WHERE {own}")
        connection.execute(
            f"UPDATE study_user_attributes SET value_json = {named} WHERE key = 'definition' AND study_id > 1"
        )


def table(found: dict[str, dict[str, float]], unit: str) -> str:
    """As Markdown: a row a command or page, a column a size."""
    sizes = list(found)
    lines = [f"| seconds | {' | '.join(f'{size} {unit}' for size in sizes)} |", "|---" * (len(sizes) + 1) + "|"]
    lines += [f"| {what} | {' | '.join(f'{found[size][what]:.3g}' for size in sizes)} |" for what in found[sizes[0]]]
    return "\n".join(lines)


PARTS: dict[str, Callable[[list[int]], dict[str, dict[str, float]]]] = {
    "trials": by_trials,
    "studies": by_studies,
    "together": together,
}

if __name__ == "__main__":
    measured = PARTS[sys.argv[1]]([int(count) for count in sys.argv[2:]])
    print(json.dumps(measured))
    print(table(measured, sys.argv[1]))
