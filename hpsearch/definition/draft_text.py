"""The text of a drafted study file: one section after the other, with what each key is for."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hpsearch.data.cells import is_number
from hpsearch.data.columns import Raw
from hpsearch.data.rare_classes import OTHER
from hpsearch.data.survey import NAMES_ROWS, LeftOut, Surveyed, as_date
from hpsearch.definition.wording import as_toml
from hpsearch.errors import listed
from hpsearch.numbers import plural

SEED = 0
MOST_COLUMNS_SHOWN = 40
LINE = 120
MOST_CLASSES_SHOWN = 8
FEWEST_HELD_OUT_FROM = 50  # fewer rows are all needed for the search
# Columns whose names say that rows belong together, or follow each other.
_GROUPS = re.compile(
    r"(patient|subject|person|participant|user|customer|client|household|family|site|hospital|school|group|session"
    r"|batch|device)(_?id)?",
    re.IGNORECASE,
)
_TIMES = re.compile(r"(.*[_ ])?(date|time|datetime|timestamp|year|month|day|week)([_ ].*)?", re.IGNORECASE)


# What the keys say that tell how a CSV file is written.
_WRITTEN = {
    "separator": "between the values of a row",
    "decimal": "before the decimals of a number",
    "thousands": "between the groups of three digits of a number",
    "units": "beside numbers, which are taken as they stand: 12 % is 12",
    "encoding": "of the text",
}


@dataclass(frozen=True)
class SplitPlan:
    """Which rows are used, and how they are held out and split."""

    fraction: float | None
    splitter: str
    n_splits: int
    rows: int
    duplicates: int = 0  # left out: they repeat another, and would stand on both sides
    single: tuple[str, ...] = ()  # classes of one row each
    rare_classes: str = "drop"  # what becomes of these; or "other"


@dataclass(frozen=True)
class Budget:
    """What is searched, and for how long: a minute or so on two cores."""

    batch_size: int | None  # None: full
    epochs: int
    trials: int
    neurons: tuple[int, int]
    hidden_layers: tuple[int, int]
    learning_rate: tuple[str, str]


@dataclass(frozen=True)
class Titles:
    """What a study file calls its rows and itself.

    Attributes:
        rows: as ``flowers.csv``.
        path: the rows' file, from the study file's folder; None of rows that are in none.
        file: the study file, for the commands in its comments.
    """

    rows: str
    path: str | None = None
    file: str = "FILE"


def described(found: Surveyed) -> dict[str, str]:
    """What the first columns hold, by name."""
    return {raw.name: _described(raw) for raw in found.columns[:MOST_COLUMNS_SHOWN]}


def write(
    found: Surveyed,
    used: Mapping[str, str],
    plan: SplitPlan,
    budget: Budget,
    name: str,
    titles: Titles,
) -> str:
    """The file.

    Args:
        found: what the rows were taken for.
        used: what the first columns hold, as :func:`described` says.
        plan: how they are held out and split.
        budget: what is searched, and for how long.
        name: the study's.
        titles: how it calls the rows and itself.
    """
    command = titles.file if titles.file.isprintable() else "FILE"
    by = "hpsearch init" if titles.path is not None else "hpsearch.init"
    change = [
        f"Change what you like: `hpsearch check {command}` says whether it is fit to run,",
        f"# `hpsearch run {command}` runs it, and `hpsearch schema` lists all that can be set.",
    ]
    if titles.path is None:
        change = [
            "Change what you like by overrides,",
            '# as overrides=["train.epochs=50"]; hpsearch.run(definition) runs it.',
        ]
    count = f"{len(found.columns)} of {plural(len(found.columns) + len(found.left_out), 'column')}"
    head = [
        f"# Which small network predicts {_shown(found.target)} best? Written by `{by}` for "
        f"{titles.rows if titles.path is None else _shown(titles.rows)}: {plural(found.rows, 'row')},",
        f"# {count} to predict from. {change[0]}",
        change[1],
    ]
    learnt = found
    if found.classes is not None:
        classes = {name: rows for name, rows in found.classes.items() if name not in plan.single}
        if plan.single and plan.rare_classes == "other":
            classes[OTHER] = classes.get(OTHER, 0) + len(plan.single)
        learnt = replace(found, classes=classes)
    sections = [
        ["[study]", f"name = {as_toml(name)}", f"seed = {SEED} # everything random follows from it"],
        _data(found, used, plan, titles.path),
        _holdout(plan),
        _validation(learnt, plan),
        _train(learnt, budget),
        _space(learnt, budget),
        _search(budget),
    ]
    return "\n\n".join("\n".join(lines) for lines in [head, *sections]) + "\n"


def _data(found: Surveyed, used: Mapping[str, str], plan: SplitPlan, path: str | None) -> list[str]:
    lines = ["[data]", f"source = {as_toml(found.source)}"]
    if path is None:
        lines[-1] += " # rows that are given from Python"
    else:
        lines.append(f"path = {as_toml(path)} # relative to this file")
    lines += [f"{key} = {as_toml(value)} # {_WRITTEN[key]}" for key, value in found.csv.changes().items()]
    if found.classes is None:
        lines += [
            f"target = {as_toml(found.target)} # a regression target, {found.low:g} to {found.high:g}",
            'task = "regression" # "classification" if its numbers are names of classes',
        ]
    else:
        lines += _noted(f"target = {as_toml(found.target)}", _classes(found.classes))
    if found.without_target:
        of_all = f"{found.without_target} of {found.rows + found.without_target}"
        lines.append(f"drop_missing_target = true # rows without a target are left out: {of_all}")
    if plan.single:
        drop = plan.rare_classes == "drop"
        lines += _comment(
            f"{plural(len(plan.single), 'of the classes has', 'of the classes have')} one row, too few to learn "
            f"and to validate: {listed([*map(_shown, plan.single)])}. "
            + ('"other" makes one class of them.' if drop else 'They are made one class; "drop" leaves them out.')
        )
        become = "left out" if drop else f"one class, called {OTHER}"
        lines += [
            f"rare_classes = {as_toml(plan.rare_classes)}",
            f"smallest_class = 2 # classes of fewer rows are {become}",
        ]
    if found.missing:
        lines += _comment(
            "There are texts, taken for no value: "
            + "; ".join(
                " ".join([_shown(name), *(["in", odd.where] if odd.where else []), odd.why])
                for name, odd in found.odd.items()
            )
            + "."
        )
        lines.append(f"missing = {as_toml([*found.missing])}")
    if dates := [raw for raw in found.columns if raw.kind == "date"]:
        lines += _noted(
            f"date = {as_toml([raw.name for raw in dates])}",
            "their days since 1970, years, months, days of the week, and hours if they have a time of day",
        )
        if forms := found.said.get("date_format"):
            lines.append(f"date_format = {as_toml(forms)} # as a day above 12 tells")
    if order := found.said.get("order"):
        lines += _noted(f"order = {as_toml(order)}", "as the file has it")
    if encoding := found.said.get("encode"):
        means = "the mean target" if found.classes is None else "the share of each class"
        lines += _comment(
            f"Of many categories: {means} among the training rows that have it, where each row is told by the others. "
            '"frequent" has a feature for each of the most_categories = 50 most frequent, and one for the others.'
        )
        lines.append(f"encode = {as_toml(encoding)}")
    if found.left_out:
        lines += _noted(f"drop = {as_toml([*found.left_out])}", "for the reasons below")
    if plan.duplicates:
        lines += _comment(
            f"{plan.duplicates:,} of {plural(found.rows, 'row')} repeat another in all features and the target, and "
            'would be validated where they were trained. "keep" takes them too; `hpsearch run` refuses that, unless '
            'they have a group column that tells which belong together, and splitter = "group".'
        )
        lines.append('duplicates = "drop" # the first of each is kept')
    lines.append(
        "# What each column was taken for. One that is something else: numeric, categorical, boolean or date = [...]."
    )
    left_out = {
        name: f"left out: it {left_out_because(name, found.left_out[name])}"
        for name in [*found.left_out][:MOST_COLUMNS_SHOWN]
    }
    width = max(len(_shown(name)) for name in [*used, *left_out])
    for shown, every in ((used, len(found.columns)), (left_out, len(found.left_out))):
        for name, what in shown.items():
            lines += _comment(what, " " * (width + 4), f"#   {_shown(name):{width}}  ")
        if every > len(shown):
            lines.append(f"#   and {every - len(shown)} more like these")
    lines += _hints(found, plan)
    return lines


def _hints(found: Surveyed, plan: SplitPlan) -> Iterator[str]:
    """Lines to uncomment where a column's name says that rows are not independent, and its values that they may be."""
    names = [*(raw.name for raw in found.columns), *found.left_out]
    dates = found.said.get("date", ())
    names.sort(key=lambda name: name not in dates)
    kinds = (
        (_GROUPS, "group", "rows of one {} are alike", "group" if found.classes is None else "stratified-group"),
        (_TIMES, "time", "rows follow each other by {} and later ones are to be predicted", "timeseries"),
    )
    for pattern, key, condition, splitter in kinds:
        fitting = [name for name in names if pattern.fullmatch(name) or (key == "time" and name in dates)]
        counts = found.groups if key == "group" else found.times
        fitting = [name for name in fitting if counts.get(name, 0) >= (plan.n_splits + (key == "time"))]
        for name in fitting[:1]:
            also = ", not in drop" if name in found.left_out else ""
            yield from _comment(
                f'If {condition.format(_shown(name))}: [validation] splitter = "{splitter}", and here{also}:'
            )
            yield f"# {key} = {as_toml(name)}"


def _holdout(plan: SplitPlan) -> list[str]:
    if plan.fraction is None:
        why = "these are few" if plan.rows < FEWEST_HELD_OUT_FROM else "some class has too few for that"
        return [
            "# [holdout]",
            f"# fraction = 0.2 # rows to set aside and score once; {why}, so all are searched with",
        ]
    return [
        "[holdout]",
        f"fraction = {plan.fraction} # rows set aside before anything else, scored once by `hpsearch retrain`",
    ]


def _validation(found: Surveyed, plan: SplitPlan) -> list[str]:
    about = (
        "each fold has every class's share of the rows"
        if plan.splitter == "stratified"
        else "rows in random order"
        if found.classes is None
        else "rows in random order: some class has too few for each fold to have its share"
    )
    return [
        "[validation]",
        f"splitter = {as_toml(plan.splitter)} # {about}",
        f"n_splits = {plan.n_splits}",
        "# repeats = 3 # deals the rows so many times: a steadier score, for so many times the work",
    ]


def _train(found: Surveyed, budget: Budget) -> list[str]:
    batch = (
        'batch_size = "full" # all rows in each update, as they are few'
        if budget.batch_size is None
        else f"batch_size = {budget.batch_size} # rows of an update"
    )
    lines = [
        "[train]",
        f"epochs = {budget.epochs} # at most: what counts is each trial's best checkpoint",
        batch,
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


def _space(found: Surveyed, budget: Budget) -> list[str]:
    low, high = budget.learning_rate
    plain = "linear" if found.classes is None else "logistic"
    numbers = any(raw.kind == "numeric" for raw in found.columns)
    return [
        "[space] # what the search chooses, from what",
        f"hidden_layers = {{ int = {[*budget.hidden_layers]} }} # 0 is plain {plain} regression",
        f"neurons = {{ int = {[*budget.neurons]}, log = true }} # of each hidden layer",
        f"learning_rate = {{ float = [{low}, {high}], log = true }}",
        "weight_l2 = { float = [1e-6, 1e-1], log = true } # the penalty on large weights",
        *(
            ['scaling = { choice = ["standard", "power"] } # of numeric columns; power takes away skewness']
            if numbers
            else []
        ),
        "# dropout = { float = [0.0, 0.5] } # share of the hidden neurons left out of each update",
    ]


def _search(budget: Budget) -> list[str]:
    return [
        "[search]",
        f"trials = {budget.trials} # raise it later, and `hpsearch run` goes on",
        'initial_design = "portfolio" # begins with configurations that did well on other tables',
        'sampler = "tpe" # learns from earlier trials where to look',
        f'pruner = {{ name = "median", n_warmup_steps = {budget.epochs // 4} }} # stops trials that fall behind',
        "patience = 0.25 # a trial ends when so large a share of its epochs brought nothing better",
        "finalists = 3 # the best so many once more, on fresh splits, before one is chosen",
        "",
        "[retrain]",
        "members = 8 # networks that retrain fits; their predictions are averaged",
    ]


# ---------------------------------------------------------------- words


def _classes(classes: Mapping[str, int]) -> str:
    ordered = sorted(classes.items())
    if all(map(is_number, classes)):
        ordered.sort(key=lambda item: float(item[0]))
    shown = [f"{_shown(name)} ({count})" for name, count in ordered[:MOST_CLASSES_SHOWN]]
    more = f" and {len(classes) - len(shown)} more" if len(classes) > len(shown) else ""
    return f"{plural(len(classes), 'class', 'classes')} with their rows: {', '.join(shown)}{more}"


def _described(raw: Raw) -> str:
    missing = int(np.count_nonzero(raw.missing))
    notes = [f"{missing} missing"] if missing else []
    if raw.kind == "categorical":
        names = sorted(raw.categories)
        shown = ", ".join(_shown(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
        return ", ".join([f"categorical, {plural(len(names), 'value')}", *notes]) + f": {shown}"
    if raw.kind == "ordered":
        return ", ".join([f"ordered, {plural(len(raw.categories), 'value')}", *notes])
    if raw.kind == "boolean":
        return ", ".join(["boolean", *notes])
    values = raw.values[~raw.missing]
    if raw.kind == "date":
        return ", ".join([f"dates, {as_date(values.min())} to {as_date(values.max())}", *notes])
    different = np.unique(values)
    if len(different) == 1:
        return ", ".join([f"numeric, {different[0]:g} in every row", *notes])
    whole = bool((different == np.round(different)).all())
    if whole and 2 < len(different) <= 10:
        notes.append(f"{len(different)} different whole numbers: are they codes of categories?")
    elif whole and NAMES_ROWS.fullmatch(raw.name):
        notes.append(f"{len(different)} different whole numbers: do they name something? Then drop them")
    return ", ".join([f"numeric, {different[0]:g} to {different[-1]:g}", *notes])


def left_out_because(name: str, left_out: LeftOut) -> str:
    """Why a column is left out, with the key that would let it in, if there is one."""
    why = f"{left_out.why}, in {left_out.where}" if left_out.where else left_out.why
    if left_out.forms:
        ways = " or ".join(f"date_format = {as_toml({name: form})}" for form in left_out.forms)
        return f"{why} (date = {as_toml([name])} with {ways} says it, and not in drop)"
    if not left_out.values:
        return why
    return f"{why} (if that means no value: missing = {as_toml([*left_out.values])}, and not in drop)"


def _shown(text: str) -> str:
    """Text in a comment: short, on one line, quoted unless it is a word."""
    short = text if len(text) <= 40 else f"{text[:39]}…"
    return short if re.fullmatch(r"[\w.+-]+", short) else as_toml(short)


def _noted(line: str, comment: str) -> list[str]:
    """A line with its comment behind it, or above it if both are long."""
    return [f"{line} # {comment}"] if len(line) + len(comment) + 3 <= LINE else [*_comment(comment), line]


def _comment(text: str, indent: str = "", first: str = "# ") -> list[str]:
    """Lines of a comment, no longer than a person wants them."""
    printable = "".join(character if character.isprintable() else "\ufffd" for character in text)  # TOML refuses others
    return textwrap.wrap(printable, LINE, initial_indent=first, subsequent_indent=f"# {indent}", break_long_words=False)
