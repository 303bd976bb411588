"""The keys that say what the columns of a table are, alike for files, functions and estimators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Self

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hpsearch.data.cells import Types
from hpsearch.data.columns import Impute, Kind, Plan, Raw
from hpsearch.data.dates import is_form
from hpsearch.data.encodings import ENCODINGS
from hpsearch.data.frames import frame_columns
from hpsearch.errors import DataError, DefinitionError, HpsearchError, Setting, cut, did_you_mean, quoted
from hpsearch.one_of import one_of
from hpsearch.refusals import refusal

# What a value must be, in Python's words.
_KINDS = {
    "dict_type": "a dict",
    "mapping_type": "a dict",
    "model_type": "a dict of keys, as {'categorical': ['city']}",
}

Names = Annotated[tuple[str, ...], Field(strict=False, fail_fast=True)]


class ColumnKeys(BaseModel):
    """What the columns of a table are, where their values do not say it, and what becomes of them."""

    numeric: Annotated[Names, Field(description="columns that hold numbers, whatever they look like")] = ()
    categorical: Annotated[Names, Field(description="columns that hold categories, whatever they look like")] = ()
    boolean: Annotated[Names, Field(description="columns that hold booleans, whatever they look like")] = ()
    date: Annotated[Names, Field(description="columns that hold dates, with a time of day or without")] = ()
    date_format: Annotated[
        Mapping[str, str],
        Field(description="how dates are written that can be read in several ways, by column, as %d/%m/%Y"),
    ] = {}
    order: Annotated[
        Mapping[str, Annotated[Names, Field(min_length=2)]],
        Field(description="columns whose categories have an order, and all of them in that order"),
    ] = {}
    encode: Annotated[
        Mapping[str, Annotated[str, one_of(ENCODINGS, "encoding")]],
        Field(description="columns of many categories, and what stands for these: frequent or target"),
    ] = {}
    most_categories: Annotated[
        int, Field(ge=1, le=1000, description="of frequent: categories with a feature of their own")
    ] = 50
    missing: Annotated[Names, Field(description="texts that mean no value, beside NA, N/A, NaN, null, None")] = ()
    impute: Annotated[Impute, Field(description="what fills a missing number")] = "median"

    def check_kinds(self, also_date: str | None = None) -> None:
        """Refuse columns that are said to be two things, and forms, orders and encodings that cannot be.

        Args:
            also_date: a column whose dates may have a form too.

        Raises:
            DefinitionError: with the first.
        """
        for name, form in self.date_format.items():
            where = Setting(f"date_format {name}")
            if name not in (*self.date, also_date):
                must, belongs = "must be of a column of dates", ("It belongs to columns of ", Setting("date"), ".")
                raise DefinitionError(must, f"{quoted(name)} is none", belongs, where)
            if not is_form(form):
                do = "Write day, month and year as %d, %m and %Y, a time of day as %H:%M or %H:%M:%S."
                raise DefinitionError("must say how a date is written, to the day", f"is {quoted(form)}", do, where)
        for name, order in self.order.items():
            where, types = Setting(f"order {name}"), Types(missing=self.missing)
            for text in repeated(order):
                raise DefinitionError("must name each category once", f"{quoted(text)} stands twice", where=where)
            if unmeant := types.no_categories(order):
                must = "must name categories without blanks around them that do not mean no value"
                raise DefinitionError(must, f"{quoted(unmeant[0])} is none", where=where)
        if "most_categories" in self.model_fields_set and "frequent" not in self.encode.values():
            belongs = ("It belongs to columns of ", Setting("encode"), ".")
            raise DefinitionError(
                'must go with a column that is "frequent"', "none is", belongs, Setting("most_categories")
            )

    @property
    def said(self) -> list[str]:
        """The columns whose kind is said."""
        return [name for names in self._by_kind.values() for name in names]

    @property
    def _by_kind(self) -> dict[Kind, Iterable[str]]:
        return {
            "boolean": self.boolean,
            "categorical": (*self.categorical, *self.encode),
            "date": self.date,
            "numeric": self.numeric,
            "ordered": self.order,
        }

    @property
    def types(self) -> Types:
        """How cells are understood."""
        kinds: dict[str, Kind] = {name: kind for kind, names in self._by_kind.items() for name in names}
        return Types(kinds, self.missing, orders=self.order, forms=self.date_format, encoded=self.encode)

    def plan(self, raws: Sequence[Raw], classes: int) -> Plan:
        """What becomes of columns.

        Args:
            raws: as they were read.
            classes: C; 0 in a regression.
        """
        plan = Plan.declare(raws, self.impute, self.missing)
        return plan.encoded(self.encode, self.most_categories, classes if classes > 2 else 1)


class FrameColumns(ColumnKeys):
    """The keys for a pandas table."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        for name in repeated(self.said):
            raise DefinitionError("must use each column once", f"{quoted(name)} is named twice")
        self.check_kinds()
        return self


def repeated(names: Sequence[str]) -> list[str]:
    """Those that stand more than once, in order."""
    counts = Counter(names)
    return [name for name, count in counts.items() if count > 1]


def expand_declared(frame: Any, keys: Mapping[str, Any], classes: int) -> tuple[NDArray[Any], Plan]:
    """The features of a pandas table, and what they are made of.

    Args:
        frame: the table.
        keys: of :class:`FrameColumns`.
        classes: C; 0 in a regression.

    Raises:
        DataError: a key that cannot be, or a column that cannot be as it says.
    """
    columns = _checked(keys)
    names = [*map(str, frame.columns)]
    for name in columns.said:
        if name not in names:
            raise DataError(f"must have a column {quoted(name)}", "has not", did_you_mean(name, names))
    raws = frame_columns(frame, columns.types)
    plan = columns.plan(raws, classes)
    return plan.expand(raws)[0], plan


def _checked(keys: Mapping[str, Any]) -> FrameColumns:
    try:
        return FrameColumns.model_validate(keys)
    except ValidationError as error:
        raise _refusal(error.errors()[0]) from error


def _refusal(problem: Any) -> DataError:
    """What pydantic found wrong, in the words for settings."""
    keys = [*map(cut, map(str, problem["loc"]))]
    found = refusal(problem, str(problem["loc"][-1]) if keys else "", FrameColumns.model_fields, _KINDS)
    own = isinstance(problem.get("ctx", {}).get("error"), HpsearchError)
    unknown = problem["type"] == "extra_forbidden"
    name = " ".join(["columns", *(keys[:-1] if unknown else keys)])
    # An error of ours without ``must`` is a sentence of its own.
    where = name if own and not found.must else Setting(name)
    return DataError(found.must, found.got, found.do, (where, *found.where))
