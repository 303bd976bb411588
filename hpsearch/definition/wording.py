"""How a study file writes a setting that an error speaks of."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydantic import RootModel

from hpsearch.definition.registered import Registered
from hpsearch.errors import Setting, as_argument

# Names of settings whose keys have others: two sections have a `fraction`.
_KEYS = {"holdout_fraction": "holdout.fraction", "fraction": "validation.fraction"}
_TABLE = r"space\.layer\d+|[^.]+"


def as_key(setting: Setting) -> str:
    """``[data] drop = ["x"]`` for ``drop`` or ``data.drop``; what is no key of a study file as Python has it."""
    sections = _sections()
    name = setting.name
    if "." not in name and name not in sections:
        name = _KEYS.get(name) or next(
            (f"{section}.{name}" for section, keys in sections.items() if name in keys), name
        )
    found = re.fullmatch(rf"({_TABLE})(\.(?P<key>.+))?", name)
    if found is None or name.partition(".")[0] not in sections:
        return as_argument(setting)
    value = f" = {as_toml(setting.value)}" if setting.has_value else ""
    return f"[{found[1]}]" + (f" {found['key']}{value}" if found["key"] else "")


def as_toml(value: Any) -> str:
    """A value as a TOML file writes it."""
    import tomlkit

    return str(tomlkit.item(value).as_string())


@cache
def _sections() -> dict[str, set[str]]:
    """The keys of each section; none of ``[origin]``, which nobody sets."""
    from hpsearch.definition.study import StudyDefinition

    keys: dict[str, set[str]] = {}
    for name, section in StudyDefinition.model_fields.items():
        unions = [mark for mark in section.metadata if isinstance(mark, Registered)]
        kinds = unions[0].registry.values() if unions else [section.annotation]
        models = [kind for kind in kinds if isinstance(kind, type) and not issubclass(kind, RootModel)]
        keys[name] = {key for model in models for key in getattr(model, "model_fields", ())}
    return keys
