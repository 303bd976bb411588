"""A study file, typed: validated once, then frozen."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from html import escape
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from hpsearch.arguments import require_kind
from hpsearch.data import csv_format
from hpsearch.data.frame_source import Frame, FrameRows
from hpsearch.data.source import Source
from hpsearch.data.sources import Memory, PythonFunction
from hpsearch.data.splits import SPLITTERS
from hpsearch.data.table_sources import TableFile
from hpsearch.definition.network_sizes import NetworkSizes
from hpsearch.definition.problems import first_problem
from hpsearch.definition.registered import Section
from hpsearch.definition.sections import (
    SOURCE,
    HoldoutSection,
    OriginSection,
    RetrainSection,
    SearchSection,
    StudySection,
    ValidationSection,
)
from hpsearch.definition.space import Space, configure
from hpsearch.definition.wording import key_of, keys_by_section
from hpsearch.errors import DefinitionError, Setting, cut, did_you_mean, located, one_line, quoted, reason
from hpsearch.limits import MOST_CHECKPOINTS, MOST_PARAMETERS, MOST_SPLITS, MOST_STUDY_EPOCHS
from hpsearch.nn.losses import LOSSES
from hpsearch.numbers import plural
from hpsearch.regular_file import open_regular, real_path
from hpsearch.validation.config import ADDED, Config
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import metrics_of, objective_metric

if TYPE_CHECKING:
    import pandas as pd
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from hpsearch.data.dataset import Dataset

MOST_CHARACTERS = 2**22  # of a study file

# Keys of the identity that studies stored before them do not have: left out where they say what was always so.
_LATER = {
    "search.objective": "loss",
    "search.finalists": 0,
    "search.initial_design": {"name": "sampler"},
    "search.patience": None,
    "search.max_parameters": None,
    "search.objectives": None,
    "data.weight": None,
    "data.task": "classification",
    "data.duplicates": "keep",
    "data.rare_classes": "keep",
    "data.smallest_class": 10,
    "data.date": (),
    "data.date_format": {},
    "data.order": {},
    "data.encode": {},
    "data.most_categories": 50,
    "data.drop_missing_target": False,
    **{f"train.{name}": value for name, value in ADDED.items()},
}
UNNAMED: dict[str, Any] = json.loads(json.dumps(_LATER))  # as an identity would have them


_TOML = "must be valid TOML"


@dataclass(frozen=True)
class _Location:
    """Where a definition comes from: its folder, and its file, by which two that are equal may differ.

    ``text`` is that of the file, and what overrides it; None if it was made in code. ``stored`` says that a storage
    said so, which others may have written.
    """

    folder: Path
    file: Path | None = field(default=None, compare=False)
    text: tuple[str, tuple[str, ...]] | None = field(default=None, compare=False)
    stored: bool = field(default=False, compare=False)


class StudyDefinition(Section):
    """All that a study is: its fields are the sections of a study file.

    It is read from a study file, or built from the same tables in code; both are checked alike:

    >>> definition = StudyDefinition.from_mapping(
    ...     {
    ...         "study": {"name": "iris", "seed": 7},
    ...         "data": {"source": "sklearn:iris"},
    ...         "train": {"epochs": 40, "init": "he"},
    ...         "space": {"learning_rate": {"float": [1e-3, 1e-1], "log": True}},
    ...         "search": {"trials": 4},
    ...     }
    ... )
    >>> definition.limit, definition.loss
    (4, 'cross_entropy')
    >>> StudyDefinition.from_file("studies/wine.toml", ["search.trials=3"]).limit
    3

    Attributes:
        raw: the tables that it was made of.
        folder: where its relative paths start.
        file: the study file, if there is one.
    """

    study: Annotated[StudySection, Field(description="What the study is called, and its seed.")]
    data: Annotated[Source, SOURCE, Field(description="Where the rows come from.")]
    holdout: Annotated[
        HoldoutSection, Field(description="Rows set aside before anything else and scored once, by retrain.")
    ] = HoldoutSection()
    validation: Annotated[ValidationSection, Field(description="How the rows that are not held out are split.")] = (
        ValidationSection()
    )
    train: Annotated[Config, Field(description="What every trial shares, and what cv and retrain use.")] = Config()
    space: Annotated[
        Space, Field(description="What the search chooses, and from what; it overrides [train] by name.")
    ] = Space({})
    search: Annotated[
        SearchSection, Field(description="What is searched for, how many trials, who proposes and stops them.")
    ] = SearchSection()
    retrain: Annotated[RetrainSection, Field(description="What retrain fits for good; no part of the search.")] = (
        RetrainSection()
    )
    origin: Annotated[
        OriginSection | None, Field(description="Where an exported configuration came from; written by best.")
    ] = None

    _raw: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    _location: _Location = PrivateAttr(default_factory=lambda: _Location(Path.cwd()))

    @classmethod
    def from_file(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Read a study file.

        Args:
            path: a TOML file.
            overrides: ``section.key=value`` with TOML values, which take precedence over the file.

        Raises:
            DefinitionError: the file cannot be read or defines no valid study; the message begins with its path.
        """
        require_kind("path", path, "a study file's name", str, Path)
        path = Path(path)
        with located(str(path)):
            text = _text_of(path)
            raw = _parsed(text)
        _override(raw, overrides)
        with located(str(path)):
            definition = cls.from_mapping(raw, real_path(path).parent)
        definition._location = _Location(definition.folder, path, (text, tuple(overrides)))
        return definition

    @classmethod
    def from_text(cls, text: str, rows: FrameRows | None = None, overrides: Sequence[str] = ()) -> Self:
        """From the text of a study file in the working directory.

        Args:
            text: TOML that is valid.
            rows: those of the source ``frame``.
            overrides: as in :meth:`from_file`.

        Raises:
            DefinitionError: a definition that cannot be.
        """
        raw = tomllib.loads(text)
        if rows is not None:
            raw["data"]["rows"] = rows
        _override(raw, overrides)
        definition = cls.from_mapping(raw)
        definition._location = _Location(definition.folder, text=(text, tuple(overrides)))
        return definition

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any], folder: Path | None = None) -> Self:
        """From the tables of a study file, as ``tomllib`` gives them, or as code writes them.

        Args:
            raw: sections, each a mapping of its keys.
            folder: where relative paths start; the working directory if None.

        Raises:
            DefinitionError: an unknown section or key, a value out of range, a contradiction.
        """
        with located(wording=as_key):
            try:
                definition = cls.model_validate(dict(raw))
            except ValidationError as error:
                raise _problem(error) from error
        definition._raw = deepcopy(dict(raw))
        definition._location = _Location(Path.cwd() if folder is None else folder)
        return definition

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        self._check_task()
        self.space.check(self.train)
        # A missing package, or a space that it cannot search, is refused before anything runs.
        self.build_sampler(0, self.sizes())
        if not self.space.dimensions and self.trials > 1:
            raise DefinitionError(
                ("must be 1 where ", Setting("space"), " is empty"),
                f"is {self.trials}: every trial would be the same",
                where=Setting("search.trials"),
            )
        for known in self.search.enqueue:
            self.space.check_chosen(known)
        self._check_sizes()
        if self.search.sampler.finite and self.search.initial_design.name != "sampler":
            raise DefinitionError(
                "must be 'sampler' where the sampler proposes every configuration once",
                f"is {quoted(self.search.initial_design.name)}",
                "Leave it out.",
                where=Setting("search.initial_design"),
            )
        if self.search.patience is not None and self.validation.checkpoint == "last":
            raise DefinitionError(
                "must go with the best checkpoint",
                "that of the last epoch is to be each trial's value",
                ("Leave it out, or set ", Setting("validation.checkpoint", "best"), "."),
                where=Setting("search.patience", self.search.patience),
            )
        if self.holdout.fresh and not self.data.redrawable:
            raise DefinitionError(
                "must go with generated data",
                f"{quoted(self.data.source)} cannot be drawn again",
                "Use fraction = 0.2.",
                where=Setting("holdout.fresh"),
            )
        return self

    def __repr__(self) -> str:
        return f"<StudyDefinition {self.name!r}: {self._facts}>"

    @property
    def _facts(self) -> str:
        of = self.data.source if self.given_rows is None else repr(self.given_rows)
        searched = f"{plural(len(self.space.dimensions), 'hyperparameter')} to search"
        return f"{of}, {self.data.predicts}, {searched}, {plural(self.trials, 'trial')}"

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return (
            f"<p><b>Study definition {escape(self.name)}</b>: {escape(self._facts)}</p><details><summary>the study file"
            f"</summary><pre>{escape(self.text)}</pre></details>"
        )

    @property
    def text(self) -> str:
        """The study file: as it was read or drafted, with its comments; else made from the tables."""
        from hpsearch.definition.study_file import plain_text, with_overrides

        known = self._location.text
        return plain_text(self.raw) if known is None else with_overrides(*known)

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write the study file, whole or not at all.

        Rows that were given from Python are not written: they are to be given again (:meth:`with_rows`).

        Args:
            path: the file.
            force: replace one that is there.

        Raises:
            HpsearchError: a file that cannot be written, or is there; rows that no file elsewhere can name.
        """
        from hpsearch.definition.study_file import save

        save(self, Path(path), force)

    @property
    def raw(self) -> Mapping[str, Any]:
        return self._raw

    @property
    def given_rows(self) -> FrameRows | None:
        """The rows that were given from Python; None where there are none, or the source says where they are."""
        return self.data.rows if isinstance(self.data, Frame) and isinstance(self.data.rows, FrameRows) else None

    @property
    def folder(self) -> Path:
        return self._location.folder

    @property
    def file(self) -> Path | None:
        return self._location.file

    @property
    def name(self) -> str:
        return self.study.name

    @property
    def bracket_name(self) -> str:
        """What hyperband's brackets follow from, beside a trial's number: the study's name. Studies of rows in memory
        are named at random, and repeat each other all the same."""
        return Memory.NAME if isinstance(self.data, Memory) else self.name

    @property
    def seed(self) -> int:
        return self.study.seed

    @property
    def trials(self) -> int:
        """How many trials are asked for: by default 100, or 1 where nothing is searched."""
        return self.search.trials or (100 if self.space.dimensions else 1)

    @property
    def finalists(self) -> int:
        """How many trials are compared again in the finals: by default 3, or none where nothing is searched."""
        given = self.search.finalists
        return given if given is not None else 3 if self.space.dimensions else 0

    @property
    def metric(self) -> Metric:
        """The objective: its mean over the splits is a trial's value."""
        return objective_metric(self.search.objective, self.loss)

    @property
    def loss(self) -> str:
        """The name of what training descends."""
        return self.train.loss_name(self.data.predicts)

    def _check_task(self) -> None:
        """Refuse what does not go with what is predicted, a class or a regression target.

        Raises:
            DefinitionError: a loss, a target scaling, an objective or a splitter of the other task.
        """
        task, loss = self.data.predicts, self.loss
        fitting = metrics_of(loss)
        if self.search.objective not in fitting:
            raise DefinitionError(
                f"must be a metric of a {task}",
                f"is {quoted(self.search.objective)}",
                f"Choose one of: {', '.join(fitting)}.",
                where=Setting("search.objective"),
            )
        if task == "classification" and "target_scaling" in self.space.dimensions:
            raise DefinitionError(
                "must go with a regression target",
                "classes are predicted",
                "Leave it out.",
                where=Setting("space.target_scaling"),
            )
        splitter = self.validation.splitter
        if SPLITTERS[splitter].stratifies and task == "regression":
            raise DefinitionError(
                "must not need classes where a regression target is predicted",
                f"is {quoted(splitter)}",
                ("Use ", Setting("splitter", "group" if SPLITTERS[splitter].needs == "groups" else "kfold"), "."),
                where=Setting("validation.splitter"),
            )

    def _check_sizes(self) -> None:
        """Refuse numbers that are each within their bounds and together ask for more than a machine has.

        Raises:
            DefinitionError: networks of too many parameters, too many checkpoints, splits or epochs.
        """
        most = self.sizes().largest
        if self.search.max_parameters is None and most > MOST_PARAMETERS:
            raise DefinitionError(
                f"must choose networks of at most {MOST_PARAMETERS:,} weights and biases",
                f"can choose some of {most:,}",
                ("Narrow it, or set ", Setting("search.max_parameters"), "."),
                where=Setting("space"),
            )
        checkpoints = self.most_epochs // self.evaluate_every
        if checkpoints > MOST_CHECKPOINTS:
            raise DefinitionError(
                f"must give at most {MOST_CHECKPOINTS:,} checkpoints",
                f"{self.most_epochs:,} epochs have {checkpoints:,}",
                where=Setting("train.evaluate_every"),
            )
        finals = self.validation.n_splits * self.search.finalist_repeats if self.finalists else 0
        if finals > 10 * MOST_SPLITS:
            raise DefinitionError(
                f"must give at most {10 * MOST_SPLITS:,} splits",
                f"of {self.validation.n_splits:,} splits they are {finals:,}",
                where=Setting("search.finalist_repeats"),
            )
        epochs = self.trials * self.validation.n_splits * self.validation.repeats * self.most_epochs
        if epochs > MOST_STUDY_EPOCHS:
            raise DefinitionError(
                f"must have at most {MOST_STUDY_EPOCHS:,} epochs in all: trials × splits × repeats × epochs",
                f"has {epochs:,}",
                where=Setting("search"),
            )

    @property
    def evaluate_every(self) -> int:
        """Epochs between checkpoints, the same for every trial."""
        return self.train.evaluate_every or max(1, self.most_epochs // 20)

    @property
    def most_epochs(self) -> int:
        """The most epochs that a trial can run."""
        return int(self.space.largest("epochs", self.train))

    @property
    def scalings(self) -> tuple[str, ...]:
        """The names of the scalings that a trial may use."""
        return self._names("scaling")

    @property
    def target_scalings(self) -> tuple[str, ...]:
        """The names of the target scalings that a trial may use."""
        return self._names("target_scaling")

    def _names(self, setting: str) -> tuple[str, ...]:
        searched = self.space.dimensions.get(setting)
        choices = searched.choice or () if searched is not None else ()
        return tuple(sorted({getattr(self.train, setting), *map(str, choices)}))

    def build_pruner(self) -> BasePruner | None:
        """Optuna's pruner with the study's resources; None if it never prunes."""
        return self.search.pruner.build(min(self.evaluate_every, self.most_epochs), self.most_epochs)

    def build_sampler(self, number: int, sizes: NetworkSizes) -> BaseSampler:
        """What proposes trial ``number``."""
        return self.search.sampler.for_trial(sizes, self.seed, number)

    def sizes(self, inputs: int | None = None, classes: int = 0) -> NetworkSizes:
        """How large the networks are that the search can choose.

        Args:
            inputs: features of the data; None where they are not known, and any size fits.
            classes: 0 in a regression.

        Raises:
            HpsearchError: a loss that is not for so many classes.
        """
        if inputs is None:
            return NetworkSizes(self.space, self.train, 1, 1)
        outputs = LOSSES[self.loss].outputs(classes)
        return NetworkSizes(self.space, self.train, inputs, outputs, self.search.max_parameters)

    @cached_property
    def first_configurations(self) -> tuple[Mapping[str, Any], ...]:
        """What the search begins with: ``enqueue``, then those of its initial design that are not among them."""
        known = self.search.enqueue
        designed = self.search.initial_design.configurations(self.space, self.train)
        return (*known, *(chosen for chosen in designed if chosen not in known))

    @cached_property
    def limit(self) -> int:
        """How many trials there shall be, networks of any size allowed: a grid ends at its size."""
        return self.limit_of(self.sizes())

    def limit_of(self, sizes: NetworkSizes) -> int:
        """How many trials there shall be: a grid ends with its last configuration that is small enough."""
        return min(self.trials, len(sizes.grid)) if self.search.sampler.finite else self.trials

    def with_trials(self, trials: int) -> StudyDefinition:
        """The same study with another number of trials in all.

        Raises:
            DefinitionError: fewer than 1, or more than one where nothing is searched.
        """
        return self._with("search", {"trials": trials})

    def with_members(self, members: int) -> StudyDefinition:
        """The same study, whose configuration is fitted as so many networks.

        Raises:
            DefinitionError: fewer than 1, or too many.
        """
        return self._with("retrain", {"members": members})

    def with_enqueue(self, configurations: Sequence[Mapping[str, Any]]) -> StudyDefinition:
        """The same study, begun with these configurations.

        Raises:
            DefinitionError: what the search could not choose.
        """
        return self._with("search", {"enqueue": [dict(chosen) for chosen in configurations]})

    def as_stored(self) -> StudyDefinition:
        """The same study, of which a storage says that it is: code that it names is run only if it is the user's own
        (:meth:`~hpsearch.data.sources.PythonFunction.require_own`)."""
        self._location = replace(self._location, stored=True)
        return self

    def load(self, seed: int) -> Dataset:
        """The rows, drawn with this seed where they are drawn.

        Raises:
            DataError: rows that cannot be used, or that code of others would make.
        """
        if isinstance(self.data, PythonFunction):
            return self.data.load(self.folder, seed, own=self._location.stored)
        return self.data.load(self.folder, seed)

    def with_name(self, name: str) -> StudyDefinition:
        """The same study by another name.

        Raises:
            DefinitionError: no name that a study may have.
        """
        return self._with("study", {"name": name})

    def with_rows(self, rows: pd.DataFrame) -> StudyDefinition:
        """The same study on the rows of a DataFrame, where ``[data] source`` is ``frame``.

        Raises:
            DataError: no DataFrame, or one whose columns cannot be told apart by name.
            DefinitionError: the rows of this study come from elsewhere.
        """
        if not isinstance(self.data, Frame):
            must = f"must be {quoted(Frame.NAME)} where the rows are given from Python"
            raise DefinitionError(must, f"is {quoted(self.data.source)}", where=Setting("data.source")).worded(as_key)
        changed = self._with("data", {"rows": FrameRows.of(rows)})
        changed._location = self._location
        return changed

    def with_overrides(self, overrides: Sequence[str]) -> StudyDefinition:
        """The same study but for keys of its file, as ``train.epochs=200``.

        Raises:
            DefinitionError: a key or a value that it cannot have.
        """
        raw = deepcopy(dict(self.raw))
        _override(raw, overrides)
        changed = StudyDefinition.from_mapping(raw, self.folder)
        known = self._location.text
        text = None if known is None else (known[0], (*known[1], *overrides))
        changed._location = replace(self._location, text=text)
        return changed

    def _with(self, section: str, values: Mapping[str, Any]) -> StudyDefinition:
        raw = {**self.raw, section: {**self.raw.get(section, {}), **values}}
        changed = StudyDefinition.from_mapping(raw, self.folder)
        changed._location = replace(self._location, text=None)
        return changed

    def attributes(self) -> dict[str, Any]:
        """What a storage keeps with the study, in plain values: enough to read its tables without its file."""
        kinds = {name: dimension.dtype for name, dimension in self.space.dimensions.items()}
        return {
            "definition": json.loads(json.dumps(self.raw, default=str)),
            "folder": str(self.folder),
            "hyperparameters": kinds,
            "loss": self.loss,
        }

    def config(self, chosen: Mapping[str, Any]) -> Config:
        """The configuration of a trial that chose these values."""
        return configure(self.train, chosen)

    def identity(self) -> dict[str, Any]:
        """What makes two studies the same study, as one flat table: all but the number of trials, where and how the
        file of the rows is written, and what is fitted afterwards."""
        file = {"path", *csv_format.KEYS} if isinstance(self.data, TableFile) else set()
        beside: Any = {"data": file, "validation": {"allow"}, "search": {"trials"}, "space": True, "origin": True}
        beside["retrain"] = True
        sections = self.model_dump(exclude=beside)
        sections["train"]["evaluate_every"] = self.evaluate_every
        sections["search"]["finalists"] = self.finalists
        if not self.finalists:
            del sections["search"]["finalist_repeats"]
        for name, dimension in self.space.dimensions.items():
            sections.setdefault("space", {})[name] = dimension.model_dump(by_alias=True, exclude_defaults=True)
        for name in ("sampler", "pruner"):
            sections[f"search.{name}"] = sections["search"].pop(name)
        flat = {f"{section}.{key}": value for section, table in sections.items() for key, value in table.items()}
        flat["space.order"] = list(self.space.names)
        flat = {key: value for key, value in flat.items() if key not in _LATER or value != _LATER[key]}
        plain: dict[str, Any] = json.loads(json.dumps(flat, default=str))
        return plain


def as_key(setting: Setting) -> str:
    """How a study file writes a setting: the wording of errors for who has written one."""
    return key_of(setting, _keys())


@cache
def _keys() -> dict[str, set[str]]:
    return keys_by_section(StudyDefinition)


def _problem(error: ValidationError) -> DefinitionError:
    """What is wrong with the sections, or else with the first key of one that is."""
    sections = StudyDefinition.model_fields
    problems = {problem["loc"]: problem["type"] for problem in error.errors() if len(problem["loc"]) == 1}
    for (name,), kind in problems.items():
        if kind == "extra_forbidden":
            return DefinitionError(f"There is no section [{cut(str(name))}]", do=did_you_mean(name, sections))
    for (name,), kind in problems.items():
        if kind == "missing":
            return DefinitionError(f"The section [{name}] is missing", do="Every study needs [study] and [data].")
    return first_problem(error, StudyDefinition)


def _text_of(path: Path) -> str:
    """The text of a study file.

    Raises:
        DefinitionError: it cannot be read.
    """
    try:
        with TextIOWrapper(open_regular(path), "utf-8-sig") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except OSError as error:
        raise DefinitionError("must be a study file that can be read", reason(error)) from error
    except UnicodeDecodeError as error:
        raise DefinitionError(_TOML, str(error)) from error
    if len(text) > MOST_CHARACTERS:
        raise DefinitionError(f"must have at most {MOST_CHARACTERS:,} characters", "has more")
    return text


def _parsed(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        DefinitionError: it is none.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(_TOML, one_line(error)) from error
    except ValueError as error:  # Python reads no integer of more digits
        raise DefinitionError(_TOML, "an integer in it has thousands of digits") from error
    except RecursionError as error:
        raise DefinitionError(_TOML, "it has too many lists or tables inside each other") from error


def tables(overrides: Sequence[str]) -> dict[str, Any]:
    """The tables of a study file that ``section.key=value`` alone say.

    Raises:
        DefinitionError: what is no such text.
    """
    raw: dict[str, Any] = {}
    _override(raw, overrides)
    return raw


def parsed_override(text: str) -> tuple[list[str], str, Any]:
    """The tables, the key and the value of one ``section.key=value``; a value that is no TOML is taken as text.

    Raises:
        DefinitionError: what is no such text.
    """
    name, equals, value = text.partition("=") if isinstance(text, str) else ("", "", "")
    *path, key = name.strip().split(".")
    if not equals or not path or not key:
        raise DefinitionError(
            "must read section.key=value, as in search.trials=20", f"is {quoted(text)}", where=Setting("overrides")
        )
    try:
        return path, key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return path, key, value.strip()
    except (ValueError, RecursionError) as error:
        must = "must have a value that TOML can have"
        raise DefinitionError(must, f"is {quoted(text)}", where=Setting("overrides")) from error


def _override(raw: dict[str, Any], overrides: Sequence[str]) -> None:
    """Set each ``section.key=value`` in a study file's tables."""
    if isinstance(overrides, str):
        raise DefinitionError("must be a list of texts", f"is {quoted(overrides)}", where=Setting("overrides"))
    for text in overrides:
        _override_one(raw, text)


def _override_one(raw: dict[str, Any], text: str) -> None:
    path, key, value = parsed_override(text)
    table = raw
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise DefinitionError(
                "must name a key in a table",
                f"of {quoted(text)} {quoted(part)} is {quoted(table)}",
                where=Setting("overrides"),
            )
    table[key] = value
