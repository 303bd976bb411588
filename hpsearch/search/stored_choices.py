"""Whether the trials of a stored study chose what its definition searches; whoever changed a database may differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution

from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import located, one_line
from hpsearch.storage.database import place
from hpsearch.storage.reading import damaged, of
from hpsearch.storage.records import sampled_together
from hpsearch.storage.stored_study import StoredStudy


def require_of_space(stored: StoredStudy, definition: StudyDefinition) -> None:
    """Refuse trials that the search could not have proposed: a configuration of theirs could not be built.

    Args:
        stored: the study.
        definition: its definition.

    Raises:
        DamagedStudyError: with the first such trial and the hyperparameter.
    """
    ranges = {name: dimension.distribution for name, dimension in definition.space.dimensions.items()}
    with located(*place(stored.url, stored.name)):
        if {*stored.attributes["hyperparameters"]} != {*ranges}:
            raise damaged("its attribute 'hyperparameters'", "names others than its definition")
    existing: dict[tuple[Any, ...], set[str]] = {}  # many trials choose the same of what decides about the others
    with located(*place(stored.url, stored.name)):
        for number, chosen, distributions in stored.choices():
            with of(f"trial {number}"):
                _require_ranges(distributions, ranges)
                first = tuple((name, chosen[name]) for name in definition.space.deciding if name in chosen)
                if first not in existing:
                    existing[first] = _existing(definition, chosen)
                _require_names(chosen, existing[first])


def require_notes(stored: StoredStudy, definition: StudyDefinition) -> None:
    """Refuse what is noted with trials for the sampler where it could not have sampled that.

    Args:
        stored: the study.
        definition: its definition.

    Raises:
        DamagedStudyError: with the first such trial.
    """
    with located(*place(stored.url, stored.name)):
        for trial in stored.trials():
            for name, value in sampled_together(trial.system_attrs).items():
                dimension = definition.space.dimensions[name]
                with of(f"trial {trial.number}"):
                    if not (dimension.contains(value) if dimension.choice else _is_near(value, dimension.extremes)):
                        raise damaged(f"what the sampler noted of {name!r}", f"is {one_line(value, 80)}")


def _is_near(value: Any, ends: Sequence[float]) -> bool:
    """Whether a number is in its range, but for rounding."""
    slack = 1e-9 * max(map(abs, ends))
    return isinstance(value, int | float) and ends[0] - slack <= value <= ends[1] + slack


def _require_ranges(found: Mapping[str, BaseDistribution], ranges: Mapping[str, BaseDistribution]) -> None:
    for name, kind in found.items():
        if name not in ranges:
            raise damaged(f"the hyperparameter {one_line(name, 80)!r}", "is none that the study searches")
        if kind is not ranges[name] and kind != ranges[name]:
            raise damaged(f"the range of the hyperparameter {name!r}", f"is {one_line(kind, 80)}")


def _existing(definition: StudyDefinition, chosen: Mapping[str, Any]) -> set[str]:
    """The hyperparameters that exist where these are chosen."""
    so_far: dict[str, Any] = {}
    for name in definition.space.names:
        if definition.space.exists(name, so_far, definition.train):
            so_far[name] = chosen.get(name)
            if name in definition.space.deciding and name not in chosen:
                raise damaged(f"the hyperparameter {name!r}", "is missing")
    return set(so_far)


def _require_names(chosen: Mapping[str, Any], existing: set[str]) -> None:
    wrong: Sequence[str] = sorted(existing.symmetric_difference(chosen))
    if wrong:
        got = "is missing" if wrong[0] in existing else "does not exist in its configuration"
        raise damaged(f"the hyperparameter {wrong[0]!r}", got)
