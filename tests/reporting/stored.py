"""Stored studies of many kinds, for the tests of figures and reports."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from conftest import SMALL

import hpsearch

# A column, a class and a choice of names that a page must not take for more than names.
COLUMN, CLASS = '<img src="x" onerror="alert(1)">', "</script><script>alert('class')</script>"
FAILS = 5e29  # a learning rate


def variant(name: str, **sections: dict[str, Any]) -> dict[str, Any]:
    """The small study under another name, with some sections replaced and some of [train] and [search] overridden."""
    raw = tomllib.loads(SMALL)
    merged = {key: {**raw[key], **sections.pop(key, {})} for key in ("train", "search", "study")}
    merged["study"]["name"] = name
    return {**raw, **merged, **sections}


def make(folder: Path) -> dict[str, hpsearch.StudyResult]:
    """Run them all, in one storage in ``folder``."""
    draw = np.random.default_rng(0)
    lines = [f'"{COLUMN.replace(chr(34), chr(34) * 2)}",port,kind']
    for _ in range(60):
        x, port = draw.normal(), draw.choice(["Oslo", "Rome", ""])
        lines.append(f"{x:.3f},{port},{CLASS if x + draw.normal(0, 0.7) > 0 else '<b>other</b>'}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    quantities = [f"x,z,{lines[0].rpartition(',port')[0]}"]
    for x, z in draw.normal(size=(80, 2)):
        quantities.append(f"{x:.3f},{z:.3f},{500 + 40 * x * z + draw.normal(0, 5):.2f}")
    (folder / "quantities.csv").write_text("\n".join(quantities) + "\n", encoding="utf-8")
    rate = {"float": [1e-3, 1e-1], "log": True}
    few = {"trials": 3, "pruner": "none"}
    raws = [
        variant("full"),
        variant(
            "failing",
            space={"learning_rate": {"choice": [0.01, 0.05, FAILS]}, "momentum": {"float": [0.0, 0.9]}},
            train={"optimizer": "sgd"},
            search={"trials": 12, "sampler": "random", "pruner": {"name": "median", "n_startup_trials": 1}},
        ),
        variant(
            "names",
            data={"source": "csv", "path": "rows.csv", "target": "kind"},
            space={"learning_rate": rate, "activation": {"choice": ["relu", "tanh"]}},
            search={"trials": 12, "sampler": "random", "pruner": "none", "finalists": 2, "finalist_repeats": 2},
        ),
        variant("fixed", space={}, search={"trials": 1, "sampler": "random"}, train={"neurons": 8}),
        variant("single", validation={"splitter": "shuffle", "n_splits": 1}, space={"learning_rate": rate}, search=few),
        variant("one", space={"learning_rate": rate}, search={**few, "trials": 1}),
        variant(
            "quantity",
            data={"source": "csv", "path": "quantities.csv", "target": COLUMN, "task": "regression"},
            space={"learning_rate": rate, "dropout": {"float": [0.0, 0.5]}},
            search={"trials": 14, "sampler": "random", "pruner": "none", "patience": 0.2},
        ),
        variant(
            "none", space={"learning_rate": {"choice": [FAILS, 2 * FAILS]}}, train={"optimizer": "sgd"}, search=few
        ),
    ]
    url = f"sqlite:///{folder / 'studies.db'}"
    return {
        raw["study"]["name"]: hpsearch.run(hpsearch.StudyDefinition.from_mapping(raw, folder), storage=url)
        for raw in raws
    }
