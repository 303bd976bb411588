"""What hpsearch stores of a study and of its trials in their attributes: the shapes, and what must go together.

Whoever changes a database can store anything there. What is read is held against these models once, where it is read
(:class:`~hpsearch.storage.stored_study.StoredStudy`); what comes after takes it as it is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, cast

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from hpsearch.errors import HpsearchError, one_line
from hpsearch.storage.reading import damaged, json_of, of
from hpsearch.validation.costs import COSTS
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import objective_metric

Value = TypeVar("Value")
Count = Annotated[int, Field(ge=0, le=2**53)]
Number = FiniteFloat | None
Scalar = bool | int | FiniteFloat | str

# What Optuna's samplers note with a trial that they propose, in parts that are numbered: the values that they sampled
# together. Nothing else is stored: CMA-ES's notes are pickles, and are made anew by proposing again.
_NOTES = {"tpe": "tpe:relative_params:", "gp": "gp:relative_params:"}
_GIVEN = "fixed_params"  # the configurations that a search begins with
# What optuna-dashboard and the like store for people; it is left where it is and not looked at.
_OF_OTHERS = ("dashboard:", "artifacts:")


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class Fold(_Record):
    """A row of the folds table."""

    model_config = ConfigDict(extra="forbid")

    repeat: Count
    fold: Count
    training_rows: Count
    validation_rows: Count
    training_loss: Number
    penalty: Number
    validation_loss: Number
    accuracy: Number = None
    r2: Number = None
    objective: Number = None


class TrialRecord(_Record):
    """All of a result that is not shown by itself."""

    epochs: list[Count]
    training_loss: list[list[Number]] = []
    validation_loss: list[list[Number]] = []
    folds: list[Fold] = []
    pruner_marks: dict[str, Number] = {}


class TrialAttributes(_Record):
    """A trial's user attributes, once it has ended."""

    best_epoch: Count | None = None
    machine: str | None = None
    parameters: Count | None = None
    reason: str | None = None
    same_as: Count | None = None
    seconds: Number = None
    accuracy: Number = None
    r2: Number = None
    record: TrialRecord | None = None


class Ensemble(_Record):
    """A finalist's out-of-fold ensemble."""

    objective: list[FiniteFloat]
    loss: list[FiniteFloat]
    accuracy: Number = None
    r2: Number = None


class Final(_Record):
    """What became of a finalist."""

    state: Literal["COMPLETE", "PRUNED", "FAIL"]
    value: Number
    parameters: Count
    seconds: FiniteFloat
    best_epoch: Count | None
    reason: str | None
    epochs: list[Count]
    intermediate: list[Number]
    folds: list[Fold]
    machine: str | None
    accuracy: Number = None
    r2: Number = None
    ensemble: Ensemble | None


class FewerRows(Final):
    """What became of the chosen one on fewer rows."""

    trial: Count


class Identity(_Record):
    """What makes it the same study; its settings are compared, and not looked into."""

    data: str = Field(alias="data.fingerprint")
    held_out: str | None = Field(alias="holdout.fingerprint")


class AuditFinding(_Record):
    """What the leakage audit found."""

    name: str
    level: str
    what: str


class StudyAttributes(_Record):
    """A study's user attributes, but for those that the search decodes itself (:func:`decoded`)."""

    identity: Identity
    definition: dict[str, dict[str, Any]]
    folder: str
    hyperparameters: dict[str, Literal["Int64", "float64", "str"]]
    n_splits: Annotated[Count, Field(ge=1)]
    limit: Count | None = None
    loss: str = ""
    audit: list[AuditFinding] | None = None
    finals: dict[Annotated[str, Field(pattern=r"^\d{1,15}$")], Final] = {}
    fewer_rows: FewerRows | None = None
    holdout_scorings: list[dict[str, Any]] = []


def is_ours(keys: Collection[str]) -> bool:
    """Whether hpsearch made the study that has these attributes."""
    return not {"definition", "identity", "hyperparameters"}.isdisjoint(keys)


def check_study(attributes: Mapping[str, Any]) -> None:
    """Refuse attributes of a study that hpsearch does not store.

    Raises:
        DamagedStudyError: with the first that is wrong, and how.
    """
    found = _validated(StudyAttributes, attributes, "its attribute ")
    if not isinstance(found.definition.get("data", {}).get("source"), str):
        raise damaged("its attribute 'definition'", "does not say what its rows are")
    names = objective_names(attributes)
    if not all(isinstance(name, str) for name in names) or not set(names[1:]) <= set(COSTS):
        raise damaged("its attribute 'definition'", f"has the objectives {one_line(list(names), 80)}")
    try:
        objective_metric(names[0], attributes.get("loss", "cross_entropy"))
    except (HpsearchError, KeyError) as error:
        raise damaged("its objective or its loss", f"is unknown ({one_line(error, 80)})") from error
    for number, final in found.finals.items():
        with of(f"finalist {number}"):
            _check_final(final)
    if found.fewer_rows is not None:
        with of("the chosen finalist on fewer rows"):
            _check_final(found.fewer_rows)


def objective_names(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """The names of a study's objectives, the first of which is a metric, from its attributes."""
    search = attributes["definition"].get("search", {}) if "definition" in attributes else {}
    several = search.get("objectives")
    return tuple(several) if isinstance(several, list | tuple) and several else (search.get("objective", "loss"),)


def objective_of(attributes: Mapping[str, Any]) -> Metric:
    """A study's objective, from its attributes."""
    return objective_metric(objective_name(attributes), loss_name(attributes))


def objective_name(attributes: Mapping[str, Any]) -> str:
    """The name of a study's objective, from its attributes."""
    name: str = objective_names(attributes)[0]
    return name


def costs_of(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a study's further objectives, from its attributes."""
    return objective_names(attributes)[1:]


def objective_titles(attributes: Mapping[str, Any]) -> list[str]:
    """How people read a study's objectives, one a direction that it has in its storage."""
    return [f"mean {objective_of(attributes).title}", *(COSTS[name].title for name in costs_of(attributes))]


def loss_name(attributes: Mapping[str, Any]) -> str:
    """The name of what training descends, from a study's attributes."""
    name: str = attributes.get("loss", "cross_entropy")  # studies stored before there were others do not say
    return name


def check_directions(directions: Sequence[StudyDirection], attributes: Mapping[str, Any]) -> None:
    """Refuse directions that are not those of the study's objectives.

    Raises:
        DamagedStudyError: they are others.
    """
    names = objective_names(attributes)
    metric = objective_metric(names[0], attributes.get("loss", "cross_entropy"))
    expected = [StudyDirection[metric.direction.upper()], *[StudyDirection.MINIMIZE] * (len(names) - 1)]
    if list(directions) != expected:
        raise damaged("the directions of its objectives", f"are {', '.join(one.name.lower() for one in directions)}")


def checked_trials(found: Sequence[FrozenTrial], attributes: Mapping[str, Any]) -> list[FrozenTrial]:
    """The trials of a study: without what others stored with them, and without those that others put in a queue.

    Args:
        found: trials, in the order in which they were made.
        attributes: the study's, as :func:`check_study` accepts them.

    Raises:
        DamagedStudyError: hpsearch does not store such trials; with the first that is wrong, and how.
    """
    trials = list(found)
    while trials and trials[-1].state is TrialState.WAITING:
        trials.pop()
    searched, objectives = attributes["hyperparameters"], len(objective_names(attributes))
    sampler = _sampler(attributes)
    running = False
    for place, trial in enumerate(trials):
        with of(f"trial {trial.number}"):
            if trial.number != place:
                raise damaged("the numbers of the trials", f"this one stands where {place} should")
            if trial.state is TrialState.WAITING:
                raise damaged("its state", "is 'WAITING'")
            if trial.state.is_finished() and running:
                raise damaged("its state", f"is {trial.state.name!r}, though an earlier trial still runs")
            running = running or not trial.state.is_finished()
            unknown = sorted(set(trial.params) - set(searched))
            if unknown:
                raise damaged(f"the hyperparameter {one_line(unknown[0], 80)!r}", "is none that the study searches")
            trial.system_attrs = _checked_notes(trial.system_attrs, sampler, searched)
            if trial.state.is_finished():
                _check_ended(trial, _validated(TrialAttributes, trial.user_attrs, "its attribute "), objectives)
    return trials


def _sampler(attributes: Mapping[str, Any]) -> Any:
    sampler = attributes["definition"].get("search", {}).get("sampler", "tpe")
    return sampler.get("name") if isinstance(sampler, Mapping) else sampler


def _checked_notes(stored: Mapping[str, Any], sampler: Any, searched: Collection[str]) -> dict[str, Any]:
    """The system attributes that a study of this sampler can have; those of other programs are left out."""
    notes = {key: value for key, value in stored.items() if not key.startswith(_OF_OTHERS)}
    prefix = _NOTES.get(sampler) if isinstance(sampler, str) else None
    parts = [] if prefix is None else [f"{prefix}{number}" for number in range(len(notes))]
    unknown = sorted(set(notes) - {_GIVEN, *parts})
    if unknown:
        what = f"its system attributes, those of the sampler {one_line(sampler, 80)!r},"
        raise damaged(what, f"there is {one_line(unknown[0], 80)!r}")
    sampled = [notes[part] for part in parts if part in notes]
    for key, values in ((_GIVEN, notes.get(_GIVEN)), (prefix, sampled or None)):
        if values is None:
            continue
        named = f"its system attribute {key!r}"
        if key == prefix:
            values = json_of("".join(_validated_as(list[str], sampled, named)), named)
        chosen = _validated_as(dict[str, Scalar], values, named)
        if not set(chosen) <= set(searched):
            raise damaged(named, "has a hyperparameter that the study does not search")
    return notes


def sampled_together(notes: Mapping[str, Any]) -> dict[str, Any]:
    """What a sampler noted of a trial, from system attributes that were accepted; nothing where it noted nothing."""
    for prefix in _NOTES.values():
        parts = [notes[f"{prefix}{number}"] for number in range(len(notes)) if f"{prefix}{number}" in notes]
        if parts:
            values: dict[str, Any] = json.loads("".join(parts))
            return values
    return {}


def _check_ended(trial: FrozenTrial, stored: TrialAttributes, objectives: int) -> None:
    complete = trial.state is TrialState.COMPLETE
    if complete and (trial.values is None or len(trial.values) != objectives):
        raise damaged("its values", f"are {len(trial.values or ())} of {objectives}")
    record = stored.record
    if record is None:  # another program ended it
        if complete:
            raise damaged("its attribute 'record'", "is missing")
        return
    if stored.parameters is None or stored.seconds is None:
        raise damaged(f"its attribute {'seconds' if stored.parameters is not None else 'parameters'!r}", "is missing")
    missing = sorted(set(record.epochs) - set(trial.intermediate_values))
    if missing:
        raise damaged(f"its intermediate value at epoch {missing[0]}", "is missing")
    _check_curves(record.epochs, record.training_loss, record.validation_loss)
    if stored.same_as is not None and stored.same_as >= trial.number:
        raise damaged("its attribute 'same_as'", f"is {stored.same_as}, which is no earlier trial")
    if trial.state is TrialState.PRUNED and not record.epochs:
        raise damaged("its attribute 'record'", "has no epochs, though it was pruned")
    if complete:
        _check_epoch(stored.best_epoch, record.epochs)
        splits = _check_folds(record.folds)
        if any(len(losses) != splits or None in losses for losses in record.validation_loss):
            raise damaged("its attribute 'record'", f"has not {splits} validation losses at each epoch")


def _check_final(final: Final) -> None:
    """Refuse what became of no finalist."""
    if (final.state == "COMPLETE") != (final.value is not None) or (final.value is None) != (final.ensemble is None):
        raise damaged("what became of it", f"is {final.state!r} and has {'no' if final.value is None else 'a'} value")
    if final.ensemble is None:
        return
    _check_epoch(final.best_epoch, final.epochs)
    _check_folds(final.folds)
    if isinstance(final, FewerRows):  # has one of each ensemble of its own
        if not final.ensemble.loss:
            raise damaged("its curves", "are empty")
        return
    curves = (final.intermediate, final.ensemble.objective, final.ensemble.loss)
    if None in final.intermediate or any(len(curve) != len(final.epochs) for curve in curves):
        raise damaged("its curves", f"have not a value at each of {len(final.epochs)} epochs")


def _check_epoch(epoch: int | None, epochs: Sequence[int]) -> None:
    if epoch not in epochs or list(epochs) != sorted(set(epochs)):
        raise damaged("its best epoch", f"is {epoch}, of {len(epochs)} epochs")


def _check_curves(epochs: Sequence[int], *curves: Sequence[Sequence[Number]]) -> None:
    widths = {len(losses) for curve in curves for losses in curve}
    if len(widths) > 1 or any(len(curve) != len(epochs) for curve in curves):
        raise damaged("its attribute 'record'", f"has not a loss of each split at each of {len(epochs)} epochs")


_MAY_BE_UNDEFINED = {"accuracy", "r2"}  # scores, which a split without two different targets may lack


def _check_folds(folds: Sequence[Fold]) -> int:
    """How many splits there are."""
    columns = {frozenset(fold.model_fields_set - _MAY_BE_UNDEFINED) for fold in folds}
    objectives = [fold.objective if "objective" in fold.model_fields_set else fold.validation_loss for fold in folds]
    if len(columns) != 1 or None in objectives:
        raise damaged("its folds", "are not whole" if folds else "are missing")
    return len(folds)


# ------------------------------------------------------------ decoding


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))


def decoded(kind: type[Value], stored: Any, what: str) -> Value:
    """A stored value as one of the house's frozen dataclasses.

    Args:
        kind: the dataclass.
        stored: in plain values.
        what: it is of the study, as ``its attribute 'baselines'``.

    Raises:
        DamagedStudyError: it is no such thing.
    """
    try:
        value: Value = _adapter(cast(Hashable, kind)).validate_json(json.dumps(stored), strict=True)
    except ValidationError as error:
        raise damaged(what, _first(error)) from error
    return value


Model = TypeVar("Model", bound=BaseModel)


def _validated(kind: type[Model], stored: Mapping[str, Any], what: str) -> Model:
    try:
        return kind.model_validate(stored)
    except ValidationError as error:
        key, *inner = map(str, error.errors(include_url=False, include_input=False)[0]["loc"])
        raise damaged(f"{what}{one_line(key, 80)!r}", _first(error, inner)) from error


def _validated_as(kind: Any, stored: Any, what: str) -> Any:
    try:
        return _adapter(kind).validate_python(stored, strict=True)
    except ValidationError as error:
        raise damaged(what, _first(error)) from error


def _first(error: ValidationError, loc: Iterable[str] | None = None) -> str:
    """The first thing that is wrong, in a few words."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"] if loc is None else loc))
    words = first["msg"][:1].lower() + first["msg"][1:]
    return one_line(f"at {place!r} {words}" if place else words, 120)
