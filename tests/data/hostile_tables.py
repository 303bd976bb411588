"""Tables that nobody would send who meant well: extreme values, odd types, broken headers, as CSV and as Parquet."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Draw = np.random.Generator
Column = Callable[[Draw, int], Any]

NUMBERS = (1e308, -1e308, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324, -5e-324, -0.0, 0.0, 1.0, 1e-300)
ODD = (float("inf"), float("-inf"), float("nan"))
TEXTS = ("", " ", "a", "b", "é", "\u202e", "a\nb", 'say "a"', "1e400", "0x10", "1_000", "nan", "None", "-", "x" * 5000)
CELLS = (
    *map(repr, NUMBERS),
    *("1e309", "-1e400", "inf", "nan", "NaN", "", "-0", "9" * 400, "9223372036854775808", "-18446744073709551616"),
    *("1e-400", "0." + "0" * 400 + "1", "true", "2026-02-30", "9999-12-31", "0001-01-01", "1,5", "1.000,5", "12:00"),
    *("\u0661\u0662", "1e5000000", "--1", "=1+1", '"open', "\ufeff"),
)


def _of(values: tuple[Any, ...], kind: Any = None) -> Column:
    return lambda draw, rows: pa.array([values[place] for place in draw.integers(0, len(values), rows)], kind)


def _integers(low: int, high: int, kind: Any) -> Column:
    return _of((low, high, 0, 1, high - 1), kind)


_MOMENTS = (0, 1, -1, 2**62, -(2**62), 253402300800, -62135596801)

# What a column of a Parquet file may hold, by name.
COLUMNS: dict[str, Column] = {
    "normal": lambda draw, rows: pa.array(draw.normal(size=rows)),
    "few": lambda draw, rows: pa.array(draw.choice(["a", "b", "c"], rows)),
    "extreme": _of(NUMBERS),
    "far apart": lambda draw, rows: pa.array(draw.uniform(-4e307, 4e307, rows)),
    "large": lambda draw, rows: pa.array(draw.uniform(1e308, 1.7e308, rows)),
    "tiny": lambda draw, rows: pa.array(draw.uniform(0, 1e-310, rows)),
    "not finite": _of((*ODD, 1.0)),
    "mostly missing": _of((*[None] * 9, 1e308)),
    "half": _of((np.float16(65504), np.float16(6e-8), np.float16(0)), pa.float16()),
    "single": _of((3.4e38, -3.4e38, 1e-45, 0.0), pa.float32()),
    "int8": _integers(-128, 127, pa.int8()),
    "int64": _integers(-(2**63), 2**63 - 1, pa.int64()),
    "uint64": _integers(2**63, 2**64 - 1, pa.uint64()),
    "some uint64": _of((2**64 - 1, None, 7), pa.uint64()),
    "decimal": _of((Decimal("1.50"), Decimal("-0.01"), Decimal("7")), pa.decimal128(10, 2)),
    "long decimal": _of((Decimal(10**37), Decimal(-(10**37)), Decimal(1), None), pa.decimal128(38, 0)),
    "fine decimal": _of((Decimal(1).scaleb(-37), Decimal(0), None), pa.decimal128(38, 37)),
    "decimal256": _of((Decimal(10**75), Decimal(-3), Decimal(5)), pa.decimal256(76, 0)),
    "boolean": _of((True, False, None)),
    "null": lambda draw, rows: pa.nulls(rows),
    "timestamp ns": _of(_MOMENTS, pa.timestamp("ns")),
    "timestamp s": _of((*_MOMENTS[:3], 2**52, -(2**52)), pa.timestamp("s")),
    "timestamp zone": _of((*_MOMENTS[:3], None), pa.timestamp("us", "Asia/Tokyo")),
    "timestamp far zone": _of(_MOMENTS, pa.timestamp("us", "Asia/Tokyo")),
    "date32": _of((0, 2**31 - 1, -(2**31), None), pa.date32()),
    "date64": _of((0, 86_400_000 * 2**31, None), pa.date64()),
    "time": _of((datetime.time(1), datetime.time(23, 59), None), pa.time64("us")),
    "duration": _of((0, 2**62, -(2**62), None), pa.duration("ns")),
    "text": _of(TEXTS),
    "large text": _of((*TEXTS, None), pa.large_string()),
    "NUL": _of(("a\0b", "c")),
    "binary": _of((b"a", b"\xff"), pa.binary()),
    "fixed binary": _of((b"ab", b"\xff\0"), pa.binary(2)),
    "list": _of(([1], [], None)),
    "struct": _of(({"p": 1}, {"p": None})),
    "map": _of(([("k", 1)], []), pa.map_(pa.string(), pa.int64())),
    "dictionary": lambda draw, rows: _of(("a", "b", None))(draw, rows).dictionary_encode(),
    "dictionary of numbers": lambda draw, rows: _of((1, 2**40, None))(draw, rows).dictionary_encode(),
    "dictionary of extremes": lambda draw, rows: _of((*NUMBERS, None))(draw, rows).dictionary_encode(),
    "dictionary of decimals": lambda draw, rows: _of((Decimal(1), Decimal(2)))(draw, rows).dictionary_encode(),
    "dictionary of dates": lambda draw, rows: _of((datetime.date(2026, 1, 1), None))(draw, rows).dictionary_encode(),
}


def parquet(path: Path, draw: Draw, *columns: str) -> None:
    """Write a table of a few columns, ``y`` the last of them, usually a class; the first are of these kinds, if any
    are named."""
    rows = int(draw.choice([0, 1, 2, 30, 60, 60, 60, 60]) if not columns else 60)
    chosen = [*columns, *draw.choice([*COLUMNS], 0 if columns else draw.integers(0, 5))]
    names = [f"x{place}" for place in range(len(chosen))]
    arrays = [COLUMNS[name](draw, rows) for name in chosen]
    target = draw.choice(["few", "few", "normal", *COLUMNS]) if not columns else "few"
    names, arrays = [*names, "y"], [*arrays, COLUMNS[target](draw, rows)]
    if len(names) > 1 and not columns and draw.random() < 0.2:
        names[0] = str(draw.choice(["", " ", "x1", "y", "a,b", "é", "x" * 3000, "line\nend", "\0"]))
    table = pa.table(arrays, names=names)
    if draw.random() < 0.05:
        table = table.select([])
    pq.write_table(table, path, compression=str(draw.choice(["none", "snappy", "zstd"])))


def csv(path: Path, draw: Draw) -> None:
    """Write a few columns, each of some few of :data:`CELLS`, or of numbers; sometimes damaged."""
    rows, columns = int(draw.choice([0, 1, 2, 30, 60, 60, 60])), int(draw.integers(0, 5))
    cells = [[*map(repr, draw.normal(size=rows).tolist())] for _ in range(columns)]
    for place in range(columns):
        if draw.random() < 0.7:
            some = draw.choice(CELLS, draw.integers(1, 6))
            cells[place] = draw.choice(some, rows).tolist()
            if draw.random() < 0.5:
                cells[place] = [cell if draw.random() < 0.1 else repr(float(draw.normal())) for cell in cells[place]]
    cells.append(draw.choice(["a", "b"] if draw.random() < 0.7 else draw.choice(CELLS, 4), rows).tolist())
    names = [*(f"x{place}" for place in range(columns)), "y"]
    if draw.random() < 0.1:
        names[0] = str(draw.choice(["", " ", "y", "x1", "é", '"', "x" * 3000]))
    separator = str(draw.choice([",", ",", ",", ";", "\t"]))
    end = str(draw.choice(["\n", "\n", "\r\n", "\r"]))
    lines = [separator.join(names), *(separator.join(row) for row in zip(*cells, strict=True))]
    content = (end.join(lines) + end).encode(str(draw.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])))
    if draw.random() < 0.1:
        place = int(draw.integers(0, len(content)))
        damage = bytes(draw.integers(0, 256, 3, np.uint8).tolist())
        content = content[:place] + damage + content[place + int(draw.integers(0, 5)) :]
    path.write_bytes(content)
