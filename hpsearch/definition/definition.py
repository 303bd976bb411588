"""A study file, typed: validated once, then frozen."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pydantic import BaseModel, ValidationError

from hpsearch.data.source import Source
from hpsearch.data.sources import source_class
from hpsearch.data.splits import SPLITTERS
from hpsearch.data.table_sources import TableFile
from hpsearch.definition.problems import first_problem, train_key
from hpsearch.definition.sections import HoldoutSection, OriginSection, SearchSection, StudySection, ValidationSection
from hpsearch.definition.space import Space, configure
from hpsearch.definition.strategies import PRUNERS, SAMPLERS, Pruner, Sampler
from hpsearch.errors import DefinitionError, did_you_mean, located
from hpsearch.validation.config import ADDED, Config
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import metrics_of, objective_metric

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

Model = TypeVar("Model", bound=BaseModel)

# Keys of the identity that studies stored before them do not have: left out where they say what was always so.
_LATER = {
    "search.objective": "loss",
    "data.weight": None,
    "data.task": "classification",
    "data.duplicates": "keep",
    **{f"train.{name}": value for name, value in ADDED.items()},
}


@dataclass(frozen=True)
class StudyDefinition:
    """All that a study is. Its relative paths start in ``folder``; errors name ``file``, if there is one.

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
    """

    study: StudySection
    data: Source
    holdout: HoldoutSection
    validation: ValidationSection
    train: Config
    space: Space
    trials: int
    sampler: Sampler
    pruner: Pruner
    objective: str
    in_flight: int
    enqueue: tuple[Mapping[str, Any], ...]
    stop: int | None
    origin: OriginSection | None
    raw: Mapping[str, Any]
    folder: Path
    file: Path | None = field(default=None, compare=False)

    @classmethod
    def from_file(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Read a study file.

        Args:
            path: a TOML file.
            overrides: ``section.key=value`` with TOML values, which take precedence over the file.

        Raises:
            DefinitionError: the file cannot be read or defines no valid study; the message begins with its path.
        """
        path = Path(path)
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise DefinitionError(
                f"{path}: must be a study file that can be read, but {(error.strerror or str(error)).lower()}."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DefinitionError(f"{path}: must be valid TOML, but {error}.") from error
        for override in overrides:
            _override(raw, override)
        try:
            return replace(cls.from_mapping(raw, path.resolve().parent), file=path)
        except DefinitionError as error:
            raise DefinitionError(f"{path}: {error}") from error

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any], folder: Path | None = None) -> Self:
        """From the tables of a study file, as ``tomllib`` gives them, or as code writes them.

        Args:
            raw: sections, each a mapping of its keys.
            folder: where relative paths start; the working directory if None.

        Raises:
            DefinitionError: an unknown section or key, a value out of range, a contradiction.
        """
        sections = ("study", "data", "holdout", "validation", "train", "space", "search", "origin")
        for name, table in raw.items():
            if name not in sections:
                raise DefinitionError(f"There is no section [{name}]. {did_you_mean(name, sections)}")
            if not isinstance(table, Mapping):
                raise DefinitionError(f"[{name}] must be a table, but is {table!r}.")
        for name in ("study", "data"):
            if name not in raw:
                raise DefinitionError(f"The section [{name}] is missing. Every study needs [study] and [data].")
        search = _section(SearchSection, raw, "search")
        train = _section(Config, raw, "train")
        definition = cls(
            study=_section(StudySection, raw, "study"),
            data=_source(raw["data"]),
            holdout=_section(HoldoutSection, raw, "holdout"),
            validation=_section(ValidationSection, raw, "validation"),
            train=train,
            space=(space := Space.parse(raw.get("space", {}), train)),
            trials=search.trials or (100 if space.dimensions else 1),
            sampler=_strategy(SAMPLERS, search.sampler, "sampler"),
            pruner=_strategy(PRUNERS, search.pruner, "pruner"),
            objective=search.objective,
            in_flight=search.in_flight,
            enqueue=tuple(search.enqueue),
            stop=search.stop,
            origin=_section(OriginSection, raw, "origin") if "origin" in raw else None,
            raw=deepcopy(dict(raw)),
            folder=Path.cwd() if folder is None else folder,
        )
        definition._check_task()
        definition.build_sampler(
            0
        )  # a missing package or a space that it cannot search is refused before anything runs
        if not space.dimensions and definition.trials > 1:
            raise DefinitionError(
                f"[search] trials must be 1 where [space] is empty, but is {search.trials}: "
                "every trial would be the same."
            )
        for known in definition.enqueue:
            space.check_chosen(known, train)
        if definition.holdout.fresh and not definition.data.redrawable:
            raise DefinitionError(
                f"[holdout] fresh must go with generated data, but {definition.data.source!r} cannot be drawn again. "
                "Use fraction = 0.2."
            )
        return definition

    @property
    def name(self) -> str:
        return self.study.name

    @property
    def seed(self) -> int:
        return self.study.seed

    @property
    def metric(self) -> Metric:
        """The objective: its mean over the splits is a trial's value."""
        return objective_metric(self.objective, self.loss)

    @property
    def loss(self) -> str:
        """The name of what training descends."""
        with located(wording=train_key):
            return self.train.loss_name(self.data.predicts)

    def _check_task(self) -> None:
        """Refuse what does not go with what is predicted, a class or a quantity.

        Raises:
            DefinitionError: a loss, an objective or a splitter of the other task.
        """
        task, loss = self.data.predicts, self.loss
        fitting = metrics_of(loss)
        if self.objective not in fitting:
            raise DefinitionError(
                f"[search] objective must be a metric of a {task}, but is {self.objective!r}. Choose one of: "
                f"{', '.join(fitting)}."
            )
        if SPLITTERS[self.validation.splitter].stratifies and task == "regression":
            raise DefinitionError(
                f"[validation] splitter must not need classes where a quantity is predicted, but is "
                f'{self.validation.splitter!r}. Use "{"group" if "group" in self.validation.splitter else "kfold"}".'
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
        searched = self.space.dimensions.get("scaling")
        choices = searched.choice or () if searched is not None else ()
        return tuple(sorted({self.train.scaling, *map(str, choices)}))

    def build_pruner(self) -> BasePruner | None:
        """Optuna's pruner with the study's resources; None if it never prunes."""
        return self.pruner.build(min(self.evaluate_every, self.most_epochs), self.most_epochs)

    def build_sampler(self, number: int) -> BaseSampler:
        """What proposes trial ``number``."""
        return self.sampler.for_trial(self.space, self.train, self.seed, number)

    @cached_property
    def limit(self) -> int:
        """How many trials there shall be: a grid ends at its size."""
        size = self.sampler.size(self.space, self.train)
        return self.trials if size is None else min(self.trials, size)

    def with_trials(self, trials: int) -> StudyDefinition:
        """The same study with another number of trials in all.

        Raises:
            DefinitionError: fewer than 1, or more than one where nothing is searched.
        """
        raw = {**self.raw, "search": {**self.raw.get("search", {}), "trials": trials}}
        return replace(StudyDefinition.from_mapping(raw, self.folder), file=self.file)

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
        """What makes two studies the same study, as one flat table: all but the number of trials and file paths."""
        data = self.data.model_dump(exclude={"path"} if isinstance(self.data, TableFile) else None)
        sections = {
            "study": self.study.model_dump(),
            "data": data,
            "holdout": self.holdout.model_dump(),
            "validation": self.validation.model_dump(exclude={"allow"}),
            "train": self.train.model_dump() | {"evaluate_every": self.evaluate_every},
            "space": {
                name: d.model_dump(by_alias=True, exclude_defaults=True) for name, d in self.space.dimensions.items()
            },
            "search.sampler": self.sampler.model_dump(),
            "search.pruner": self.pruner.model_dump(),
            "search": {
                "in_flight": self.in_flight,
                "enqueue": list(self.enqueue),
                "stop": self.stop,
                "objective": self.objective,
            },
        }
        flat = {f"{section}.{key}": value for section, table in sections.items() for key, value in table.items()}
        flat["space.order"] = list(self.space.names)
        flat = {key: value for key, value in flat.items() if key not in _LATER or value != _LATER[key]}
        plain: dict[str, Any] = json.loads(json.dumps(flat, default=str))
        return plain


def _section(model: type[Model], raw: Mapping[str, Any], name: str) -> Model:
    try:
        return model.model_validate(dict(raw.get(name, {})))
    except ValidationError as error:
        raise DefinitionError(f"[{name}] {first_problem(error, model)}") from error


def _source(table: Mapping[str, Any]) -> Source:
    if not isinstance(table.get("source"), str):
        raise DefinitionError(
            f"[data] source must be text that names where the rows come from, but is {table.get('source')!r}."
        )
    kind = source_class(table["source"])
    return _section(kind, {"data": table}, "data")


def _strategy(registry: Mapping[str, type[Model]], given: Any, what: str) -> Model:
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise DefinitionError(f"[search] {what} must be a name or a table with a name, but is {given!r}.")
    if table["name"] not in registry:
        raise DefinitionError(f"[search] Unknown {what} {table['name']!r}. {did_you_mean(table['name'], registry)}")
    try:
        return registry[table["name"]].model_validate(dict(table))
    except ValidationError as error:
        problem = first_problem(error, registry[table["name"]])
        raise DefinitionError(f"[search] {what} {table['name']!r}: {problem}") from error


def _override(raw: dict[str, Any], text: str) -> None:
    """Set one ``section.key=value`` in a study file's tables; a value that is no TOML is taken as text."""
    name, equals, value = text.partition("=")
    *path, key = name.strip().split(".")
    if not equals or not path or not key:
        raise DefinitionError(f"--set must read section.key=value, as in search.trials=20, but is {text!r}.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    table = raw
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise DefinitionError(f"--set {text!r} must name a key in a table, but {part!r} is {table!r}.")
    table[key] = parsed
