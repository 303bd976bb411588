"""What was best in earlier studies of the same space, as the configurations that a new one begins with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from typing import Any

from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import HpsearchError, Setting, listed
from hpsearch.search.correction import definition_of
from hpsearch.search.finals import best_of_each
from hpsearch.storage.database import close, is_there, open_storage, place, shown_url, study_names
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy, study_rows

# More of one that misleads cost more trials than more of one that helps saved (tests/README.md).
MOST = 12


def begun_with(definition: StudyDefinition, url: str, earlier: str) -> StudyDefinition:
    """The study with the best of earlier ones behind its own ``enqueue``: part of what makes it the same study.

    One that is stored already keeps those that it was begun with, whatever has become of the earlier studies.

    Args:
        definition: the study.
        url: where it is, or is to be, kept.
        earlier: a study there, by its name; or the URL of a storage, for all its studies.

    Raises:
        HpsearchError: no earlier study with a complete trial and the same hyperparameters; a stored study that was not
            begun so.
    """
    own = definition.search.enqueue
    stored = _stored_enqueue(definition.name, url)
    if stored is not None:
        if len(stored) <= len(own):
            raise HpsearchError(
                "must be continued as it was begun",
                "it did not begin with earlier studies",
                ("Leave ", Setting("from_study"), " out, or begin another study: ", Setting("study.name", "NAME"), "."),
                where=place(url, definition.name),
            )
        return definition.with_enqueue([*own, *stored[len(own) :]])
    found = [chosen for chosen in best_in_turn(definition, _earlier(definition, url, earlier)) if chosen not in own]
    if not found:
        raise HpsearchError(
            "must bring a configuration that the study does not begin with anyhow",
            "brings none",
            ("Leave ", Setting("from_study"), " out."),
            where=Setting("from_study", earlier),
        )
    return definition.with_enqueue([*own, *found])


def best_in_turn(definition: StudyDefinition, studies: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The first configurations of each earlier study, then their second ones and so on; at most ``MOST``.

    A value that the new space does not have is left to the sampler.
    """
    found: list[dict[str, Any]] = []
    for values in chain.from_iterable(zip_longest(*studies, fillvalue={})):
        chosen = {name: value for name, value in values.items() if definition.space.dimensions[name].contains(value)}
        if chosen and chosen not in found:
            found.append(chosen)
    return found[:MOST]


def _best(stored: StoredStudy) -> list[Mapping[str, Any]]:
    """What a study's complete trials chose, from the best on, but of each number of hidden layers in turn.

    What is best elsewhere is best with another depth as often as not, so the first places are not all one depth's.
    """
    definition = definition_of(stored)
    trials = [trial for trial in stored.trials() if trial.state.is_finished()]
    chosen = [trial.params for trial in trials]
    by_depth: dict[int, list[Mapping[str, Any]]] = {}
    for result in best_of_each(definition, [stored_result(trial) for trial in trials], chosen, len(trials)):
        values = chosen[result.number]
        by_depth.setdefault(definition.config(values).depth, []).append(values)
    in_turn = chain.from_iterable(zip_longest(*by_depth.values()))
    return [values for values in in_turn if values is not None]


def _stored_enqueue(name: str, url: str) -> list[dict[str, Any]] | None:
    """What a study that is stored begins with; None if it is not stored."""
    if not is_there(url):
        return None
    with _storage(url) as storage:
        if name not in study_names(storage, url):
            return None
    with StoredStudy.open(url, name) as stored:
        enqueued: list[dict[str, Any]] = stored.attributes["definition"].get("search", {}).get("enqueue", [])
    return enqueued


def _earlier(definition: StudyDefinition, url: str, earlier: str) -> list[list[Mapping[str, Any]]]:
    """The best configurations of each earlier study with the same hyperparameters and a complete trial."""
    if "://" not in earlier:
        with StoredStudy.open(url, earlier) as stored:
            if not _same_space(stored, definition):
                names = (definition.space.names, stored.attributes["hyperparameters"])
                searched, others = (listed(sorted(of), 20) or "nothing" for of in names)
                raise HpsearchError(
                    f"must search {searched}, as {definition.name!r} does",
                    f"searches {others}",
                    "Name another study.",
                    where=place(url, earlier),
                )
            if not (best := _best(stored)):
                raise HpsearchError("must have a complete trial", "has none", where=place(url, earlier))
            return [best]
    if not is_there(earlier):
        do = ("Name a study, or the URL of another storage: ", Setting("from_study"), ".")
        raise HpsearchError(f"There is no storage {shown_url(earlier)}", do=do)
    with _storage(earlier) as storage:
        kept = study_rows(storage, earlier)
        studies = [StoredStudy(storage, earlier, row.name, row.study_id) for row in kept]
        found = [best for stored in studies if _same_space(stored, definition) and (best := _best(stored))]
    if not found:
        raise HpsearchError(
            f"must have a study that searches {listed(sorted(definition.space.names), 20)}, with a complete trial",
            f"none of its {len(studies)} is one",
            where=f"storage {shown_url(earlier)}",
        )
    return found


@contextmanager
def _storage(url: str) -> Iterator[Any]:
    storage = open_storage(url)
    try:
        yield storage
    finally:
        close(storage)


def _same_space(stored: StoredStudy, definition: StudyDefinition) -> bool:
    return set(stored.attributes["hyperparameters"]) == set(definition.space.names)
