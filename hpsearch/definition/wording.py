"""How a study file writes a setting that an error speaks of."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, RootModel

from hpsearch.definition.registered import Registered
from hpsearch.errors import Setting, as_argument

# Names of settings whose keys have others: two sections have a `fraction`.
_KEYS = {"holdout_fraction": "holdout.fraction", "fraction": "validation.fraction"}
_TABLE = r"space\.layer\d+|[^.]+"


def key_of(setting: Setting, sections: Mapping[str, Collection[str]]) -> str:
    """``[data] drop = ["x"]`` for ``drop`` or ``data.drop``; what is no key of a study file as Python has it.

    Args:
        setting: by its name, after its section or alone.
        sections: the keys of each section, as :func:`keys_by_section` gives them.
    """
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

    if isinstance(value, Mapping):  # on one line
        inline = tomlkit.inline_table()
        inline.update(value)
        return str(inline.as_string())
    return str(tomlkit.item(value).as_string())


def keys_by_section(model: type[BaseModel]) -> dict[str, set[str]]:
    """The keys of each section of a study file's model; none of a section that may be missing, which nobody sets."""
    keys: dict[str, set[str]] = {}
    for name, section in model.model_fields.items():
        unions = [mark for mark in section.metadata if isinstance(mark, Registered)]
        kinds = unions[0].registry.values() if unions else [section.annotation]
        models = [kind for kind in kinds if isinstance(kind, type) and not issubclass(kind, RootModel)]
        keys[name] = {key for kind in models for key in getattr(kind, "model_fields", ())}
    return keys
