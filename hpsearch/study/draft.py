"""A study file for a table of rows: inferred from them, explained in comments, with a budget of minutes."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from pydantic import ValidationError

from hpsearch.data.audit import CHECKS, Audited, Finding
from hpsearch.data.cells import is_number
from hpsearch.data.columns import Raw
from hpsearch.data.sources import SOURCES
from hpsearch.data.splits import Dealing, hold_out, make_splits
from hpsearch.data.survey import Surveyed, survey
from hpsearch.errors import DataError, DefinitionError
from hpsearch.study.definition import StudySection
from hpsearch.study.problems import first_problem

SEED = 0
FEWEST_HELD_OUT_FROM = 50  # fewer rows are all needed for the search
MOST_COLUMNS_SHOWN = 40
LINE = 120
MOST_CLASSES_SHOWN = 8
# The checks of the audit that can refuse rows without groups and times; the others take longer, and `run` makes them.
_REFUSING = ("duplicates", "hold-out")
# Columns whose names say that rows belong together, or follow each other.
_GROUPS = re.compile(
    r"(patient|subject|person|participant|user|customer|client|household|family|site|hospital|school|group|session"
    r"|batch|device)(_?id)?",
    re.IGNORECASE,
)
_TIMES = re.compile(r"(.*[_ ])?(date|time|datetime|timestamp|year|month|day|week)([_ ].*)?", re.IGNORECASE)


# Epochs and trials for so many rows of 30 inputs at most, or for as much work: minutes on two cores.
_BUDGETS = ((1_000, (400, 60)), (10_000, (100, 40)), (30_000, (30, 30)), (300_000, (10, 25)), (inf, (4, 15)))


@dataclass(frozen=True)
class Draft:
    """A study file that was written for a table of rows, not yet saved.

    Attributes:
        text: the file's.
        found: what the rows were taken for.
        findings: of the leakage audit, those that ``run`` refuses.
    """

    text: str
    found: Surveyed
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Dealt:
    """How rows are held out and split."""

    fraction: float | None
    splitter: str
    n_splits: int
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class _Budget:
    """What is searched, and for how long: a minute or so on two cores."""

    batch_size: int | None  # None: full
    epochs: int
    trials: int
    neurons: tuple[int, int]
    hidden_layers: tuple[int, int]
    learning_rate: tuple[str, str]


def draft(rows: Path, target: str | None, path: str, file_name: str, name: str | None = None) -> Draft:
    """Write a study file for a table of rows.

    Args:
        rows: a CSV or Parquet file.
        target: its column to predict.
        path: that file as the study file is to name it.
        file_name: the study file's, for the commands in its comments.
        name: the study's; made from the rows' if None.

    Raises:
        DataError: rows that cannot be used.
        DefinitionError: a name that a study cannot have.
    """
    name = study_name(rows) if name is None else checked_name(name)
    found = survey(rows, target)
    dealt = _dealt(found, rows)
    budget = _budget(found.rows, len(found.plan.feature_names))
    command = file_name if file_name.isprintable() else "FILE"
    kept = f"{len(found.columns)} of {len(found.columns) + len(found.left_out)} columns"
    head = [
        f"# Which small network predicts {_shown(found.target)} best? Written by `hpsearch init` for "
        f"{_shown(rows.name)}: {found.rows} rows,",
        f"# {kept} to predict from. Change what you like: `hpsearch check {command}` says whether it is fit to run,",
        f"# `hpsearch run {command}` runs it, and `hpsearch schema` lists all that can be set.",
    ]
    sections = [
        ["[study]", f"name = {_toml(name)}", f"seed = {SEED} # everything random follows from it"],
        _data(found, path),
        _holdout(dealt),
        _validation(found, dealt),
        _train(found, budget),
        _space(found, budget),
        _search(budget),
    ]
    return Draft("\n\n".join("\n".join(lines) for lines in [head, *sections]) + "\n", found, dealt.findings)


def study_name(rows: Path) -> str:
    """A name that a study may have, from a file's."""
    plain = unicodedata.normalize("NFKD", rows.stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-")[:100] or "study"


def checked_name(name: str) -> str:
    """The name, if a study may have it.

    Raises:
        DefinitionError: it may not.
    """
    try:
        return StudySection(name=name).name
    except ValidationError as error:
        raise DefinitionError(f"The study's {first_problem(error, StudySection)}") from error


def _dealt(found: Surveyed, rows: Path) -> _Dealt:
    """The first way to hold out and to split, of the more usual ones, that these rows allow."""
    some = 0.2 if found.rows >= FEWEST_HELD_OUT_FROM else None
    if found.classes is None:
        if found.rows < 4:
            raise DataError(f"{rows}: must have at least 4 rows to be split, but has {found.rows}. Add rows.")
        return _Dealt(some, "kfold", min(5, found.rows // 2))
    single = [name for name, count in found.classes.items() if count == 1]
    if single:
        some_have = "1 has" if len(single) == 1 else f"{len(single)} have"
        raise DataError(
            f"{rows}: the target must hold numbers, or classes with at least 2 rows each, but of the "
            f"{len(found.classes)} classes of {found.target!r} {some_have} one, as "
            f"{single[0]!r}. Leave such rows out, or name another target."
        )
    options = {"source": found.source, "path": str(rows), "target": found.target, "drop": [*found.left_out]}
    data = SOURCES[found.source].model_validate(options).load(Path(), SEED)
    ways = [
        _Dealt(fraction, splitter, n_splits)
        for n_splits in (5, 3, 2)
        for fraction in dict.fromkeys((some, None))
        for splitter in ("stratified", "kfold")
    ]
    refusal: DataError | None = None
    for way in ways:
        try:
            fraction, held_out = way.fraction, None
            search = data
            if fraction is not None:
                search, held_out = hold_out(data, fraction, way.splitter, SEED)
            splits = make_splits(search, way.splitter, Dealing(way.n_splits), SEED)
        except DataError as error:
            refusal = refusal or error
            continue
        seen = Audited(search, held_out, splits, way.splitter)
        leaks = [one for check in _REFUSING for one in CHECKS[check](seen)]
        return _Dealt(fraction, way.splitter, way.n_splits, tuple(one for one in leaks if one.level == "error"))
    raise DataError(f"{rows}: {refusal}")


def _budget(rows: int, inputs: int) -> _Budget:
    work = rows * max(1.0, inputs / 30)
    batch_size = None if rows <= 1_000 else 64 if rows <= 10_000 else 128 if rows <= 50_000 else 256
    epochs, trials = next(budget for most, budget in _BUDGETS if work <= most)
    low = 4 if inputs < 16 else 8 if inputs < 64 else 16
    high = 32 if rows < 500 else 64 if rows < 5_000 or work > 300_000 else 128
    return _Budget(
        batch_size=batch_size,
        epochs=epochs,
        trials=trials,
        neurons=(low, max(high, 2 * low)),
        hidden_layers=(0, 2) if rows < 500 else (1, 2),
        learning_rate=("1e-3", "1e-1") if batch_size is None else ("3e-4", "3e-2"),
    )


# ---------------------------------------------------------------- the sections


def _data(found: Surveyed, path: str) -> list[str]:
    lines = ["[data]", f"source = {_toml(found.source)}", f"path = {_toml(path)} # relative to this file"]
    if found.classes is None:
        lines += [
            f"target = {_toml(found.target)} # a quantity, {found.low:g} to {found.high:g}",
            'task = "regression" # "classification" if its numbers are names of classes',
        ]
    else:
        lines += _noted(f"target = {_toml(found.target)}", _classes(found.classes))
    if found.left_out:
        lines += _noted(f"drop = {_toml([*found.left_out])}", "for the reasons below")
    lines.append(
        "# What each column was taken for. One that is something else: numeric, categorical or boolean = [...]."
    )
    kept = {raw.name: _described(raw) for raw in found.columns[:MOST_COLUMNS_SHOWN]}
    left_out = {name: f"left out: it {found.left_out[name]}" for name in [*found.left_out][:MOST_COLUMNS_SHOWN]}
    width = max(len(_shown(name)) for name in [*kept, *left_out])
    for described, every in ((kept, len(found.columns)), (left_out, len(found.left_out))):
        for name, what in described.items():
            lines += _comment(what, " " * (width + 4), f"#   {_shown(name):{width}}  ")
        if every > len(described):
            lines.append(f"#   and {every - len(described)} more like these")
    lines += _hints(found)
    return lines


def _hints(found: Surveyed) -> Iterator[str]:
    """Lines to uncomment where a column's name says that rows are not independent."""
    names = [*(raw.name for raw in found.columns), *found.left_out]
    kinds = (
        (_GROUPS, "group", "rows of one {} are alike", "group" if found.classes is None else "stratified-group"),
        (_TIMES, "time", "rows follow each other by {} and later ones are to be predicted", "timeseries"),
    )
    for pattern, key, condition, splitter in kinds:
        for name in [name for name in names if pattern.fullmatch(name)][:1]:
            also = ", not in drop" if name in found.left_out else ""
            yield from _comment(
                f'If {condition.format(_shown(name))}: [validation] splitter = "{splitter}", and here{also}:'
            )
            yield f"# {key} = {_toml(name)}"


def _holdout(dealt: _Dealt) -> list[str]:
    if dealt.fraction is None:
        return [
            "# [holdout]",
            "# fraction = 0.2 # rows to set aside and score once; these are few, so all are searched with",
        ]
    return [
        "[holdout]",
        f"fraction = {dealt.fraction} # rows set aside before anything else, scored once by `hpsearch retrain`",
    ]


def _validation(found: Surveyed, dealt: _Dealt) -> list[str]:
    about = (
        "each fold has every class's share of the rows"
        if dealt.splitter == "stratified"
        else "rows in random order"
        if found.classes is None
        else "rows in random order: some class has too few for each fold to have its share"
    )
    lines = [
        "[validation]",
        f"splitter = {_toml(dealt.splitter)} # {about}",
        f"n_splits = {dealt.n_splits}",
        "# repeats = 3 # deals the rows so many times: a steadier score, for so many times the work",
    ]
    if dealt.findings:
        lines.append("# `hpsearch run` refuses these rows as they are:")
        lines += [line for finding in dealt.findings for line in _comment(f"- {finding.what}", "  ")]
        lines += [line for advice in dict.fromkeys(one.do for one in dealt.findings) for line in _comment(advice)]
        lines += ["# To run them all the same:", f"# allow = {_toml([finding.name for finding in dealt.findings])}"]
    return lines


def _train(found: Surveyed, budget: _Budget) -> list[str]:
    batch = (
        'batch_size = "full" # all rows in each update, as they are few'
        if budget.batch_size is None
        else f"batch_size = {budget.batch_size} # rows of an update"
    )
    lines = [
        "[train]",
        f"epochs = {budget.epochs} # at most: what counts is each trial's best checkpoint",
        batch,
        'scaling = "standard" # features to mean 0 and deviation 1, learnt from training rows',
        'init = "he" # initial weights to go with relu',
        'activation = "relu" # or tanh, leaky_relu',
        'optimizer = "adam" # or sgd, rmsprop, adagrad',
    ]
    if found.classes is None:
        lines.append('loss = "squared_error" # or absolute_error, which minds outliers less')
    elif len(found.classes) == 2:
        lines.append('loss = "binary_cross_entropy" # of two classes: one output, the probability of the second')
    if found.classes is not None and min(found.classes.values()) < 0.1 * found.rows:
        rarest = min(found.classes, key=lambda name: found.classes[name] if found.classes else 0)
        lines.append(f'# class_weight = "balanced" # if the rare class {_shown(rarest)} matters as much as the others')
    return lines


def _space(found: Surveyed, budget: _Budget) -> list[str]:
    low, high = budget.learning_rate
    plain = "linear" if found.classes is None else "logistic"
    return [
        "[space] # what the search chooses, from what",
        f"hidden_layers = {{ int = {[*budget.hidden_layers]} }}"
        + (f" # 0 is plain {plain} regression" if budget.hidden_layers[0] == 0 else ""),
        f"neurons = {{ int = {[*budget.neurons]}, log = true }} # of each hidden layer",
        f"learning_rate = {{ float = [{low}, {high}], log = true }}",
        "weight_l2 = { float = [1e-6, 1e-1], log = true } # the penalty on large weights",
        "# dropout = { float = [0.0, 0.5] } # share of the hidden neurons left out of each update",
    ]


def _search(budget: _Budget) -> list[str]:
    return [
        "[search]",
        f"trials = {budget.trials} # raise it later, and `hpsearch run` goes on",
        'sampler = "tpe" # learns from earlier trials where to look',
        'pruner = "median" # stops trials that fall behind',
    ]


# ---------------------------------------------------------------- words


def _classes(classes: Mapping[str, int]) -> str:
    ordered = sorted(classes.items())
    if all(map(is_number, classes)):
        ordered.sort(key=lambda item: float(item[0]))
    shown = [f"{_shown(name)} ({count})" for name, count in ordered[:MOST_CLASSES_SHOWN]]
    more = f" and {len(classes) - len(shown)} more" if len(classes) > len(shown) else ""
    return f"{len(classes)} classes with their rows: {', '.join(shown)}{more}"


def _described(raw: Raw) -> str:
    missing = int(np.count_nonzero(raw.missing))
    notes = [f"{missing} missing"] if missing else []
    if raw.kind == "categorical":
        names = sorted(raw.categories)
        shown = ", ".join(_shown(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
        return (
            ", ".join([f"categorical, {len(names)} {'values' if len(names) > 1 else 'value'}", *notes]) + f": {shown}"
        )
    if raw.kind == "boolean":
        return ", ".join(["boolean", *notes])
    values = raw.values[~raw.missing]
    different = np.unique(values)
    if len(different) == 1:
        return ", ".join([f"numeric, {different[0]:g} in every row", *notes])
    codes = 2 < len(different) <= 10 and bool((different == np.round(different)).all())
    notes += [f"{len(different)} different whole numbers: are they codes of categories?"] if codes else []
    return ", ".join([f"numeric, {different[0]:g} to {different[-1]:g}", *notes])


def _toml(value: Any) -> str:
    """A value as a TOML file writes it."""
    return str(tomlkit.item(value).as_string())


def _shown(text: str) -> str:
    """Text in a comment: short, on one line, quoted unless it is a word."""
    short = text if len(text) <= 40 else f"{text[:39]}…"
    return short if re.fullmatch(r"[\w.+-]+", short) else _toml(short)


def _noted(line: str, comment: str) -> list[str]:
    """A line with its comment behind it, or above it if both are long."""
    return [f"{line} # {comment}"] if len(line) + len(comment) + 3 <= LINE else [*_comment(comment), line]


def _comment(text: str, indent: str = "", first: str = "# ") -> list[str]:
    """Lines of a comment, no longer than a person wants them."""
    printable = "".join(character if character.isprintable() else "\ufffd" for character in text)  # TOML refuses others
    return textwrap.wrap(printable, LINE, initial_indent=first, subsequent_indent=f"# {indent}", break_long_words=False)
