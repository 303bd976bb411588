"""The sections of a study file, each checked by itself, but for ``[train]`` and ``[space]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticKnownError

from hpsearch.data.audit import CHECKS
from hpsearch.data.frame_source import Frame
from hpsearch.data.sources import SOURCES, Memory, source_class
from hpsearch.data.splits import SPLITTERS, SplitOptions
from hpsearch.definition.initial_design import INITIAL_DESIGNS, BySampler, InitialDesign
from hpsearch.definition.pruners import PRUNERS, Median, Pruner
from hpsearch.definition.registered import Registered, Section, by_name
from hpsearch.definition.samplers import SAMPLERS, TPE, Sampler
from hpsearch.errors import DefinitionError, Setting, quoted
from hpsearch.limits import MOST_KNOWN, MOST_PARAMETERS, MOST_REPEATS, MOST_ROWS, MOST_SPLITS, MOST_TRIALS
from hpsearch.one_of import one_of
from hpsearch.validation.costs import COSTS
from hpsearch.validation.metrics import METRICS


def _unlike_a_file(name: str) -> str:
    """Commands take a study by its name, or by its file."""
    if name.endswith(".toml") or name.startswith("-") or not name.strip("."):
        must = "must not end in .toml, as files do, begin with -, as options do, or be dots alone"
        raise DefinitionError(must, f"is {quoted(name)}")
    return name


class StudySection(Section):
    """``[study]``: what it is called, and the seed that everything random follows from."""

    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9._-]{1,100}$", description="the study's name in its storage"),
        AfterValidator(_unlike_a_file),
    ]
    seed: Annotated[int, Field(ge=0, lt=2**63, description="the one seed of the study")] = 0


def _with_a_source(given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise DefinitionError("must be a table", f"is {quoted(given)}")
    if not isinstance(name := given.get("source"), str):
        raise DefinitionError(
            "must be text that names where the rows come from", f"is {quoted(name)}", where=Setting("source")
        )
    return given


# ``[data]``: a source of rows with its options.
SOURCE = Registered(
    SOURCES,
    "source",
    _with_a_source,
    source_class,
    patterns={"python:module:function": "^python:[^:]+:[^:]+$"},
    unlisted=(Memory, Frame),
)


class HoldoutSection(Section):
    """``[holdout]``: rows set aside before anything else, scored once by ``retrain``."""

    fraction: Annotated[float | None, Field(gt=0, lt=1, description="share of the rows")] = None
    fresh: Annotated[bool, Field(description="a new draw of the same size, for generated data")] = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.fresh and self.fraction is not None:
            raise DefinitionError("must have either fraction or fresh = true", "has both")
        return self


class ValidationSection(Section):
    """``[validation]``: how the rows that are not held out are split."""

    splitter: Annotated[str, one_of(SPLITTERS, "splitter"), Field(description="how rows are split")] = "kfold"
    n_splits: Annotated[int, Field(ge=1, le=MOST_SPLITS, description="folds; of shuffle, draws")] = 5
    repeats: Annotated[int, Field(ge=1, le=MOST_REPEATS, description="times the rows are dealt into folds")] = 1
    shuffle: Annotated[bool, Field(description="deal the rows in random order")] = True
    gap: Annotated[
        int, Field(ge=0, le=MOST_ROWS, description="of timeseries: rows left out before each validation part")
    ] = 0
    fraction: Annotated[float, Field(gt=0, lt=1, description="of shuffle: share of the rows that validates")] = 0.2
    checkpoint: Annotated[
        Literal["best", "last"], Field(description="the point of the mean curve that is a trial's value")
    ] = "best"

    allow: Annotated[
        tuple[Annotated[str, one_of(CHECKS, "check")], ...],
        Field(strict=False, fail_fast=True, description="errors of the leakage audit to overrule, by name"),
    ] = ()

    @field_validator("n_splits")
    @classmethod
    def _enough_splits(cls, value: int, info: ValidationInfo) -> int:
        fewest = SPLITTERS[info.data["splitter"]].fewest if "splitter" in info.data else 2
        if value < fewest:
            raise PydanticKnownError("greater_than_equal", {"ge": fewest})
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        kind, given, must = SPLITTERS[self.splitter], self.model_fields_set, ""
        named = f"splitter = {quoted(self.splitter)}"
        if self.repeats > 1 and not kind.shuffles:
            must = f"must have repeats = 1 with {named}: its repeats are all the same"
        elif self.repeats > 1 and not self.shuffle:
            must = "must have shuffle = true where repeats is above 1: unshuffled repeats are all the same"
        elif kind.make is None and "n_splits" in given:
            must = f"must have no n_splits with {named}: the rows say how many folds there are"
        elif "gap" in given and self.splitter != "timeseries":
            must = f'must have no gap with {named}: it belongs to "timeseries"'
        elif "fraction" in given and self.splitter != "shuffle":
            must = f'must have no fraction with {named}: it belongs to "shuffle"'
        elif self.splitter == "shuffle" and not self.shuffle:
            must = 'must have shuffle = true with splitter = "shuffle"'
        if must:
            raise DefinitionError(must)
        if self.n_splits * self.repeats > MOST_SPLITS:
            must = f"must have at most {MOST_SPLITS:,} splits in all"
            raise DefinitionError(must, f"{self.repeats:,} repeats of {self.n_splits:,} are more")
        return self

    @property
    def split_options(self) -> SplitOptions:
        """What :func:`hpsearch.data.splits.make_splits` takes."""
        return SplitOptions(self.n_splits, self.repeats, self.shuffle, self.gap, self.fraction)


def _named(about: str, default: str) -> Any:
    """A field whose default the JSON schema shows as a study file has it: by its name."""
    return Field(
        description=f"{about}: a name, or a table of it and its options", json_schema_extra={"default": default}
    )


class SearchSection(Section):
    """``[search]``: what is searched for, how many trials, and who proposes and stops them.

    With ``patience`` a trial ends at the first checkpoint where the epochs since its best checkpoint, the earliest with
    the best mean objective so far, are at least that share of all its epochs. It is complete then, as one that was
    trained to the end: its value is that of its best checkpoint. At 1 no trial ends early. The pruner is told of that
    checkpoint as of every other; what it says there does not count, as at the last epoch.
    """

    trials: Annotated[
        int | None, Field(ge=1, le=MOST_TRIALS, description="trials in all; 100 by default, 1 without a space")
    ] = None
    sampler: Annotated[Sampler, by_name(SAMPLERS, "sampler"), _named("what proposes trials", "tpe")] = TPE(name="tpe")
    pruner: Annotated[Pruner, by_name(PRUNERS, "pruner"), _named("what stops trials early", "median")] = Median(
        name="median"
    )
    patience: Annotated[
        float | None,
        Field(gt=0, le=1, description="share of its epochs after which a trial is complete if none was better"),
    ] = None
    objective: Annotated[
        str,
        one_of(METRICS, "objective"),
        Field(description=f"what a trial's value is the mean over splits of: {', '.join(METRICS)}"),
    ] = "loss"
    objectives: Annotated[
        tuple[Annotated[str, one_of((*METRICS, *COSTS), "objective")], ...] | None,
        Field(strict=False, fail_fast=True, description="the objective, and what is to be small as well: parameters"),
    ] = None
    max_parameters: Annotated[
        int | None,
        Field(
            ge=1,
            le=MOST_PARAMETERS,
            description="weights and biases that a network may have; larger choices are narrowed",
        ),
    ] = None
    in_flight: Annotated[int, Field(ge=1, le=1000, description="trials asked before the oldest is told")] = 8
    enqueue: Annotated[
        tuple[dict[str, bool | int | float | str], ...],
        Field(strict=False, max_length=MOST_KNOWN, fail_fast=True, description="known configurations to begin with"),
    ] = ()
    initial_design: Annotated[
        InitialDesign,
        by_name(INITIAL_DESIGNS, "initial design"),
        _named("where the search begins, after enqueue", "sampler"),
    ] = BySampler(name="sampler")
    stop: Annotated[
        int | None,
        Field(ge=1, le=MOST_TRIALS, description="end when so many trials told brought no gain above a standard error"),
    ] = None
    finalists: Annotated[
        int | None,
        Field(ge=0, le=100, description="best trials that are compared again on fresh splits; 0 for none"),
    ] = None
    finalist_repeats: Annotated[
        int, Field(ge=1, le=100, description="times that the rows are dealt into folds anew for the finalists")
    ] = 4

    @model_validator(mode="before")
    @classmethod
    def _one_objective_in_two_keys(cls, given: Any) -> Any:
        """``objective`` is the first of ``objectives``; one alone is as ``objective`` has it."""
        named = given.get("objectives") if isinstance(given, Mapping) else None
        if not isinstance(named, list | tuple) or not named or not all(isinstance(name, str) for name in named):
            return given
        table = {"objective": named[0], **given}
        if named[0] in COSTS:
            raise DefinitionError(
                "must begin with what is predicted well, such as loss",
                f"is {quoted(list(named))}",
                where=Setting("objectives"),
            )
        alone = [*named] == [table["objective"]]
        return {key: value for key, value in table.items() if key != "objectives"} if alone else table

    @model_validator(mode="after")
    def _objectives_go_together(self) -> Self:
        if self.objectives is None:
            return self
        must, got = "", f"is {list(self.objectives)}"
        if not self.objectives:
            must = "must name an objective"
        elif self.objectives[0] != self.objective:
            must, got = "must begin with objective where both are given", f"that is {quoted(self.objective)}"
        elif len(set(self.objectives)) < len(self.objectives) or not set(self.objectives[1:]) <= set(COSTS):
            must = f"must have behind its first one only {', '.join(COSTS)}, and none twice"
        if must:
            raise DefinitionError(must, got, where=Setting("objectives"))
        if not self.sampler.several:
            able = ", ".join(name for name, kind in SAMPLERS.items() if kind.several)
            raise DefinitionError(
                "must be a sampler for several objectives",
                f"is {quoted(self.sampler.name)}",
                f"Use one of: {able}.",
                where=Setting("sampler"),
            )
        if self.stop is not None:
            raise DefinitionError(
                "must be left out with several objectives",
                "it looks at one",
                where=Setting("stop"),
            )
        return self

    @property
    def costs(self) -> tuple[str, ...]:
        """The objectives behind the first, of :data:`hpsearch.validation.costs.COSTS`."""
        return (self.objectives or ())[1:]


class RetrainSection(Section):
    """``[retrain]``: what is fitted for good, of whatever configuration the search has found."""

    members: Annotated[
        int,
        Field(ge=1, le=64, description="networks that differ in everything random, whose predictions are averaged"),
    ] = 8


_FIRST = {"study", "trial", "trials", "objective_value"}  # keys that every version wrote
# Keys that earlier versions wrote: of an ensemble there was another score than the corrected one.
_NO_LONGER = ("ensemble_value", "ensemble_low", "ensemble_high")


class OriginSection(Section):
    """``[origin]``: where an exported configuration came from; written by ``best``."""

    study: Annotated[str, Field(description="the study's name")]
    trial: Annotated[int, Field(ge=0, le=MOST_TRIALS, description="the trial's number")]
    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS, description="trials that the study had told by then")]
    objective: Annotated[str, one_of(METRICS, "objective"), Field(description="what the study searched for")] = "loss"
    objective_value: Annotated[float, Field(description="its mean over splits, the best of them: optimistic")]
    accuracy: Annotated[float | None, Field(description="mean over splits of the trial's accuracy; of classes")] = None
    r2: Annotated[float | None, Field(description="mean over splits of the trial's R²; of a regression target")] = None
    rule: Annotated[str, Field(description="how it was chosen among the trials")] = "lowest"
    corrected_value: Annotated[float | None, Field(description="corrected score: what is expected on new rows")] = None
    corrected_low: Annotated[float | None, Field(description="low end of its interval")] = None
    corrected_high: Annotated[float | None, Field(description="high end of its interval")] = None
    corrected_is_about: Annotated[str | None, Field(description="which networks that is about")] = None
    configuration: Annotated[str, Field(description="fingerprint of the configuration that was exported")]
    data_fingerprint: Annotated[str, Field(description="of the rows searched with and those held out")]

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        lacking = [key for key in ("configuration", "data_fingerprint") if key not in given]
        if lacking and given.keys() >= _FIRST:
            raise DefinitionError(
                "must be what `hpsearch best` writes",
                f"has no {' and no '.join(lacking)}, as the first versions wrote it",
                "Export the configuration again: `hpsearch best STUDY -o FILE`.",
            )
        return {key: value for key, value in given.items() if key not in _NO_LONGER}
