"""The columns of a table and the numbers that they become, declared once for a study.

What is declared (kinds, categories, which columns have missing values) decides how wide the rows are, so it is the same
in every split; what is learnt from values (fill, centre, scale) is :mod:`hpsearch.data.preprocess`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hpsearch.arrays import IntArray
from hpsearch.data.dates import PARTS, calendar
from hpsearch.data.matrix import table_of
from hpsearch.errors import DataError, Setting, Text, listed, quoted
from hpsearch.numbers import plural

Kind = Literal["boolean", "categorical", "date", "numeric", "ordered"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Impute = Literal["mean", "median", "most-frequent"]
_NONE = "none of its categories"
MOST_NAMED = 10  # columns of a kind, in a line that describes them
FeatureKind = Literal["boolean", "indicator", "numeric", "one-hot"]


def column_error(name: str, must: Text, got: Text = "", do: Text = "", row: int | None = None) -> DataError:
    """The refusal of a column, or of its value in a row."""
    column = f"column {quoted(name)}"
    return DataError(must, got, do, where=column if row is None else (f"row {row}", column))


@dataclass(frozen=True)
class Raw:
    """One column as it was read.

    Attributes:
        name: its header.
        kind: what its values are.
        values: (N,) floats, nan where missing, 0 and 1 of a boolean, days since 1970-01-01 of a date, places in
            ``categories`` of an ordered column; of a categorical column integers, places in ``categories``, -1 where
            missing.
        categories: of a categorical column, those found; of an ordered one, all in their order.
        form: of dates in text, how they are written; see :func:`hpsearch.data.dates.parse`.
    """

    name: str
    kind: Kind
    values: NDArray[Any]
    categories: tuple[str, ...] = ()
    form: str = ""

    @property
    def missing(self) -> NDArray[np.bool_]:
        """(N,): where it has no value."""
        return np.asarray(self.values < 0 if self.kind == "categorical" else np.isnan(self.values))

    def take(self, rows: IntArray) -> Raw:
        """Some of its rows, with the categories that are found in them."""
        values = self.values[rows]
        if self.kind != "categorical":
            return replace(self, values=values)
        found, places = np.unique(values[values >= 0], return_inverse=True)
        codes = np.full(len(values), -1, np.intp)
        codes[values >= 0] = places
        return replace(self, values=codes, categories=tuple(self.categories[code] for code in found))

    def narrowed(self) -> Raw:
        """The same values in as few bytes as hold them: single precision where that is exact, small integers."""
        if self.kind == "categorical":
            return replace(self, values=self.values.astype(np.min_scalar_type(-len(self.categories) - 1)))
        with np.errstate(over="ignore"):
            narrow = self.values.astype(np.float32)
        return replace(self, values=narrow) if np.array_equal(narrow, self.values, equal_nan=True) else self


@dataclass(frozen=True)
class Column:
    """What a column becomes: one 0/1 feature a category, or its values; then a 0/1 feature for a missing value.

    A missing category is 1 in that last feature and 0 in all others; so it is a category of its own. A date becomes its
    day and what a calendar says of it, see :func:`hpsearch.data.dates.calendar`. The feature of an ordered column is
    the place of its category, from 0.

    Attributes:
        name: its header.
        kind: what its values are.
        indicator: whether there is a feature for missing values.
        categories: of a categorical column, in the order of its features; of an ordered one, in their order.
        form: of dates in text, how they are written; see :func:`hpsearch.data.dates.parse`.
        clock: of dates, whether there is a feature for the hour.
        frequent: of a categorical column, how many of its most frequent categories have a feature of their own, and
            all others one; 0 if each has one.
        targets: of a categorical column, how many features stand for the mean target of its category; 0 if none do.

    Which categories are frequent and what is their mean target is learnt; the first feature of such a column is the
    number of its category, see :mod:`hpsearch.data.encodings`.
    """

    name: str
    kind: Kind = "numeric"
    indicator: bool = False
    categories: tuple[str, ...] = ()
    form: str = ""
    clock: bool = False
    frequent: int = 0
    targets: int = 0

    @property
    def encoding(self) -> str | None:
        """What is learnt of its categories, one of :data:`hpsearch.data.encodings.ENCODINGS`; None if nothing is."""
        return "frequent" if self.frequent else "target" if self.targets else None

    @property
    def features(self) -> dict[str, FeatureKind]:
        """Its features by name."""
        features: dict[str, FeatureKind] = {}
        if self.frequent:
            most = min(self.frequent, len(self.categories))
            features |= {f"{self.name}=frequent {place + 1}": "one-hot" for place in range(most)}
            features[f"{self.name}=other"] = "one-hot"
        elif self.targets:
            numbers = [f" {place + 1}" for place in range(self.targets)] if self.targets > 1 else [""]
            features |= {f"{self.name}=target{number}": "numeric" for number in numbers}
        elif self.kind == "categorical":
            features |= {f"{self.name}={category}": "one-hot" for category in self.categories}
        else:
            features[self.name] = "boolean" if self.kind == "boolean" else "numeric"
        if self.kind == "date":
            parts = PARTS if self.clock else PARTS[:-1]
            features |= {f"{self.name}={part}": "numeric" for part in parts}
        if self.indicator:
            features[f"{self.name}=missing"] = "indicator"
        return features

    @property
    def width(self) -> int:
        """How many features there are beside that for missing values."""
        if self.encoding is not None:
            return self.targets or min(self.frequent, len(self.categories)) + 1
        return len(self.features) - self.indicator

    def to_plain(self) -> dict[str, Any]:
        """In values that JSON has. What only dates have is left out of other columns."""
        plain = asdict(self)
        return {name: value for name, value in plain.items() if name not in _OF_SOME or value}


_OF_SOME = ("form", "clock", "frequent", "targets")  # attributes of a column that many have not


@dataclass(frozen=True)
class Plan:
    """The columns of a study.

    Attributes:
        columns: in the order of their features.
        impute: what fills a missing number: the training rows' median, mean or most frequent value.
        missing: texts that mean no value, beside those that always do.

    Raises:
        DataError: two features of one name.
    """

    columns: tuple[Column, ...]
    impute: Impute = "median"
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for column in self.columns:
            if column.indicator and "missing" in column.categories and column.encoding is None:
                do = ("If they mean the same: ", Setting("missing", ["missing"]), ".")
                must = "must not have both missing values and a category called 'missing'"
                raise column_error(column.name, must, do=do)
        names = self.feature_names
        if len(set(names)) < len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise DataError("features must have different names", f"{quoted(twice)} stands twice", "Rename a column.")

    @classmethod
    def declare(cls, raws: Sequence[Raw], impute: Impute = "median", missing: tuple[str, ...] = ()) -> Plan:
        """What these columns become. A column has an indicator if a value of it is missing here."""
        return cls(tuple(map(_declared, raws)), impute, missing)

    def encoded(self, encodings: Mapping[str, str], most: int, targets: int) -> Plan:
        """The same plan, with some categorical columns encoded.

        Args:
            encodings: one of :data:`hpsearch.data.encodings.ENCODINGS` by column.
            most: of ``frequent``: categories with a feature of their own.
            targets: of ``target``: 1, or of more than two classes their number.
        """
        own: dict[str, dict[str, Any]] = {"frequent": {"frequent": most}, "target": {"targets": targets}}
        columns = (
            replace(column, **own[encodings[column.name]]) if column.name in encodings else column
            for column in self.columns
        )
        return replace(self, columns=tuple(columns))

    @classmethod
    def numeric(cls, names: Sequence[str]) -> Plan:
        """Numbers without missing values."""
        return cls(tuple(map(Column, names)))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Plan:
        """From what :meth:`to_plain` gave."""
        columns = tuple(Column(**{**column, "categories": tuple(column["categories"])}) for column in plain["columns"])
        if any(column.kind not in KINDS for column in columns):
            raise ValueError(f"every column must be one of {', '.join(KINDS)}")
        if plain["impute"] not in get_args(Impute):
            raise ValueError(f"impute must be one of {', '.join(get_args(Impute))}")
        return cls(columns, plain["impute"], tuple(plain["missing"]))

    def to_plain(self) -> dict[str, Any]:
        """In values that JSON has."""
        columns = [column.to_plain() for column in self.columns]
        return {"impute": self.impute, "missing": [*self.missing], "columns": columns}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """D names."""
        return tuple(name for column in self.columns for name in column.features)

    @cached_property
    def feature_kinds(self) -> tuple[FeatureKind, ...]:
        """D kinds."""
        return tuple(kind for column in self.columns for kind in column.features.values())

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where the features of each column stand."""
        ends = np.cumsum([len(column.features) for column in self.columns]).tolist()
        return {name: slice(begin, end) for name, begin, end in zip(self.names, [0, *ends], ends, strict=False)}

    @property
    def plain(self) -> bool:
        """Whether all columns are numbers and none is ever missing: their features are their values."""
        return all(column.kind == "numeric" and not column.indicator for column in self.columns)

    @property
    def may_miss(self) -> bool:
        """Whether a feature is nan in some of the rows that this was declared on."""
        return any(column.indicator and column.kind != "categorical" for column in self.columns)

    def expand(self, raws: Sequence[Raw]) -> tuple[NDArray[Any], list[str]]:
        """The features of rows.

        Args:
            raws: the plan's columns, in its order.

        Returns:
            (features (N, D) with nan where a number is missing, in single precision where all numbers are; a line on
            each thing that the plan did not foresee: a category that it has not is all zeros, so is a missing one where
            none was missing; a missing number is nan).
        """
        count, width, notices = len(raws[0].values), len(self.feature_names), list[str]()
        for column, raw in zip(self.columns, raws, strict=True):
            missing = raw.missing
            if column.kind == "categorical":
                unseen = (_places(column, raw)[raw.values] < 0) & ~missing
                if unseen.any():
                    names = [raw.categories[code] for code in np.unique(raw.values[unseen])]
                    how = {"frequent": "one of the others", "target": "one of which nothing is known"}
                    notices.append(
                        f"Column {quoted(column.name)}: {_rows(unseen)} a category that training had not "
                        f"({listed([*map(quoted, names)])}), taken as {how.get(column.encoding or '', _NONE)}."
                    )
            if not column.indicator and missing.any():
                what = f"taken as {_NONE}" if column.kind == "categorical" else "filled as training would"
                notices.append(
                    f"Column {quoted(column.name)}: {_rows(missing)} no value, where training always had: {what}."
                )
        numbers = [raw.values.dtype for raw in raws if raw.kind != "categorical"]
        narrow = bool(numbers) and all(dtype == np.float32 for dtype in numbers)

        def some(part: slice) -> NDArray[Any]:
            features = np.zeros((part.stop - part.start, width))
            for column, raw in zip(self.columns, raws, strict=True):
                block, values = features[:, self.places[column.name]], raw.values[part]
                if column.encoding is not None:
                    block[:, 0] = _codes(column, raw)[values]
                elif column.kind == "categorical":
                    place = _places(column, raw)[values]
                    rows = np.flatnonzero(place >= 0)
                    block[rows, place[rows]] = 1
                elif column.kind == "date":
                    block[:, : column.width] = calendar(values, column.clock)
                else:
                    block[:, 0] = values
                if column.indicator:
                    block[:, -1] = values < 0 if column.kind == "categorical" else np.isnan(values)
            return features

        return table_of((count, width), np.float32 if narrow else np.float64, some), notices

    def raws(self, features: NDArray[Any]) -> list[Raw]:
        """The columns that this plan expands to these features (N, D); a category that it has not is none."""
        raws = []
        for column in self.columns:
            block = features[:, self.places[column.name]]
            if column.encoding is not None:
                values = np.where(block[:, 0] < len(column.categories), block[:, 0], -1).astype(np.intp)
            elif column.kind == "categorical":
                ones = block[:, : len(column.categories)]
                values = np.where(ones.any(axis=1), ones.argmax(axis=1) if ones.shape[1] else -1, -1)
            else:
                values = block[:, 0]
            raws.append(Raw(column.name, column.kind, values, column.categories, column.form))
        return raws

    def declared_on(self, features: NDArray[Any]) -> Plan:
        """What these of its rows would have declared alone, if there were no others.

        Args:
            features: (N, D), as this plan gives them.

        Raises:
            DataError: a column without any value in these rows.
        """
        columns = []
        for column in self.columns:
            if column.kind != "categorical" and not column.indicator and not column.clock:
                columns.append(column)
                continue
            block = features[:, self.places[column.name]]
            ones = block == 1
            if column.indicator and ones[:, -1].all():
                raise column_error(
                    column.name,
                    "must have a value among the rows that are not held out",
                    f"is empty in all {len(features)}",
                    ("Leave it out", (": ", Setting("drop", [column.name])), ", or use a seed that deals its values."),
                )
            found = ones.any(axis=0)
            if column.encoding is not None:
                indicator = column.indicator and bool(found[-1])
                found = np.isin(np.arange(len(column.categories)), block[:, 0])
                found = np.append(found, indicator)
            column = replace(column, indicator=column.indicator and bool(found[-1]))
            if column.kind == "categorical":
                names = (name for place, name in enumerate(column.categories) if found[place])
                column = replace(column, categories=tuple(names))
            columns.append(replace(column, clock=column.clock and _has_clock(block[:, 0])))
        return replace(self, columns=tuple(columns))

    def describe(self, features: NDArray[Any]) -> list[dict[str, Any]]:
        """One entry a column: name, kind, how many values are missing in these rows, its categories."""
        described = []
        for column in self.columns:
            block = features[:, self.places[column.name]]
            missing = int(np.count_nonzero(block[:, -1])) if column.indicator else 0
            entry = {"name": column.name, "kind": column.kind, "missing": missing, "categories": [*column.categories]}
            if column.encoding is not None:
                entry["encoding"] = column.encoding
            described.append(entry)
        return described


def summary(described: Sequence[Mapping[str, Any]]) -> str:
    """What :meth:`Plan.describe` gave, in one line; of numbers only columns with missing values are named."""
    parts = []
    for kind in reversed(KINDS):
        columns = [entry for entry in described if entry["kind"] == kind]
        notes = []
        for entry in columns:
            count = len(entry["categories"])
            note = [plural(count, "category", "categories")] if count or kind == "categorical" else []
            note += [f"encoded as {entry['encoding']}"] if "encoding" in entry else []
            note += [f"{entry['missing']} missing"] if entry["missing"] else []
            if note or kind != "numeric":
                notes.append(": ".join([entry["name"], *([", ".join(note)] if note else [])]))
        if columns:
            more = f"; and {len(notes) - MOST_NAMED} more" if len(notes) > MOST_NAMED else ""
            parts.append(f"{len(columns)} {kind}" + (f" ({'; '.join(notes[:MOST_NAMED])}{more})" if notes else ""))
    return ", ".join(parts)


def _declared(raw: Raw) -> Column:
    categories = raw.categories if raw.kind == "ordered" else tuple(sorted(raw.categories))
    clock = raw.kind == "date" and _has_clock(raw.values)
    return Column(raw.name, raw.kind, bool(raw.missing.any()), categories, raw.form, clock)


def _has_clock(days: NDArray[Any]) -> bool:
    """Whether some of these dates (N,) have a time of day."""
    there = days[~np.isnan(days)]
    return not np.array_equal(there, np.floor(there))


def _places(column: Column, raw: Raw) -> IntArray:
    """Where the features of a column's categories stand; -1 of those that were not declared, and of -1 itself."""
    known = {category: place for place, category in enumerate(column.categories)}
    return np.array([*(known.get(category, -1) for category in raw.categories), -1], np.intp)


def _codes(column: Column, raw: Raw) -> IntArray:
    """The numbers of categories: K is that of -1, a missing one, K + 1 of those that were not declared."""
    places, count = _places(column, raw), len(column.categories)
    codes = np.where(places < 0, count + 1, places)
    codes[-1] = count
    return codes


def _rows(chosen: NDArray[np.bool_]) -> str:
    return plural(int(np.count_nonzero(chosen)), "row has", "rows have")
