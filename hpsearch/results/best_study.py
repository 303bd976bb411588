"""The complete study file that a best configuration exports to."""

from __future__ import annotations

import tomllib
from pathlib import Path

import tomlkit

from hpsearch.atomic_write import require_replaceable, write_atomically
from hpsearch.definition.study import StudyDefinition
from hpsearch.definition.study_file import inline
from hpsearch.numbers import plural
from hpsearch.regular_file import open_regular, real_path
from hpsearch.results.best import Best


def export(best: Best, path: Path, force: bool = False) -> None:
    """Write :func:`to_toml` to a file, whole or not at all; an earlier export may be replaced.

    Raises:
        HpsearchError: the file cannot be written, or is there and no export, and ``force`` is not set.
    """
    text = to_toml(best, real_path(path.parent))
    require_replaceable(path, force, "an earlier export", _is_export)
    write_atomically(path, text.encode())


def exported(best: Best) -> StudyDefinition:
    """The definition that an export of the best configuration reads as, without a file."""
    folder, rows = best.definition.folder, best.definition.given_rows
    definition = StudyDefinition.from_mapping(tomllib.loads(to_toml(best, folder)), folder).as_stored()
    return definition if rows is None or rows.frame is None else definition.with_rows(rows.frame)


def _is_export(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            return "origin" in tomllib.load(file)
    except (OSError, ValueError):
        return False


def to_toml(best: Best, folder: Path) -> str:
    """A complete study file of the best configuration, without a search space; paths are relative to ``folder``."""
    raw, result = best.definition.raw, best.result
    document = tomlkit.document()
    small = "" if best.at_most is None else f" with at most {plural(best.at_most, 'parameter')}"
    among = plural(best.trials, "trial")
    document.add(tomlkit.comment(f"The best{small} of {among} of the study {best.definition.name!r}."))
    document.add(tomlkit.comment("`hpsearch retrain` fits it on all rows that are not held out."))
    name = f"{best.definition.name[:95]}-best"
    document["study"] = {"name": name, "seed": best.definition.seed}
    document["data"] = best.definition.data.moved(best.definition.folder, folder)
    for section in ("holdout", "validation"):
        if section in raw:
            document[section] = dict(raw[section])
    if best.definition.search.objective != "loss":
        document["search"] = {"objective": best.definition.search.objective}
    train = tomlkit.table()
    for key, (value, origin) in best.settings().items():
        train.add(key, inline(value) if isinstance(value, dict) else value)
        train[key].comment(origin)
    document["train"] = train
    if "retrain" in raw:
        document["retrain"] = dict(raw["retrain"])
    origins = tomlkit.table()
    origins["study"], origins["trial"], origins["trials"] = best.definition.name, result.number, best.trials
    origins["objective"] = best.definition.search.objective
    origins["objective_value"] = result.value
    if result.score is not None:
        origins[best.score_name] = result.score
    origins["configuration"] = best.config.fingerprint
    origins["data_fingerprint"] = best.data_fingerprint
    origins["rule"] = best.rule if best.at_most is None else f"{best.rule}, of at most {best.at_most} parameters"
    origins["objective_value"].comment(
        f"mean {best.definition.metric.title}, chosen among {plural(best.trials, 'trial')}: optimistic"
    )
    if best.corrected is not None:
        for key in ("value", "low", "high"):
            origins[f"corrected_{key}"] = getattr(best.corrected, key)
        origins["corrected_value"].comment("without the luck of the choice, and its interval")
        origins["corrected_is_about"] = best.about
    document["origin"] = origins
    return tomlkit.dumps(document)
