"""Damages a database of studies, in one way or another, drawn from a seed.

The database has a study ``whole``, of which no row is touched, and studies that are. Bits, pages and the file's length
are no study's, so there ``whole`` may be damaged as well.
"""

from __future__ import annotations

import json
import pickle
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

WHOLE = "whole"
# Tables of Optuna, and how each row is of a study.
_TRIALS_OF = "trial_id IN (SELECT trial_id FROM trials WHERE study_id = :study)"
TABLES = {
    "studies": "study_id = :study",
    "study_directions": "study_id = :study",
    "study_user_attributes": "study_id = :study",
    "trials": "study_id = :study",
    "trial_user_attributes": _TRIALS_OF,
    "trial_system_attributes": _TRIALS_OF,
    "trial_params": _TRIALS_OF,
    "trial_values": _TRIALS_OF,
    "trial_intermediate_values": _TRIALS_OF,
}
OF_JSON = ("study_user_attributes", "trial_user_attributes", "trial_system_attributes")
LONG = "9" * 5_000
CELLS: tuple[Any, ...] = (
    *(None, "", " ", "nan", "NaN", "null", "[]", "{}", "0", "true", '"', "\\", LONG, "COMPLETE", "RUNNING", "WAITING"),
    *(b"", b"\xff\xfe", b"\x80\x04.", 0, 1, -1, 3, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 0.5, 1e308, 9e999, -9e999),
    *("\x1b[31m", "Åbo", "a\nb", '"\\ud800"', "[" * 3_000, "2026-13-45 99:99:99", "0001-01-01 00:00:00", "1e999"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10**6, 2**64, 10**400, 0.5, -0.5, 1e308, float("nan"), float("inf"), "", "x", "1"),
    *([], [[]], [None], {}, {"a": None}, LONG, "\ud800", "<script>alert(1)</script>", "__import__('os')", "../../etc"),
)


class Canary:
    """What writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def tamper(database: Path, seed: int) -> tuple[str, bool]:
    """Damage a database in place; everything follows from the seed.

    Returns:
        What was done, and whether the study ``whole`` is untouched by it.
    """
    draw = random.Random(seed)
    if draw.random() < 0.2:
        return draw.choice(_OF_FILE)(database, draw), False
    with closing(sqlite3.connect(database)) as connection:
        connection.text_factory = bytes
        done = draw.choice(_OF_ROWS)(connection, draw)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return done, True


# ------------------------------------------------------------ the file


def _truncate(database: Path, draw: random.Random) -> str:
    data = database.read_bytes()
    size = draw.choice([0, 1, 15, 16, 99, 100, 4096, 8192, draw.randrange(len(data)), len(data) - 1])
    database.write_bytes(data[:size])
    return f"the file is cut to {size} bytes"


def _flip(database: Path, draw: random.Random) -> str:
    data = bytearray(database.read_bytes())
    end = draw.choice([100, 4096, len(data)])
    places = [draw.randrange(end) for _ in range(draw.choice([1, 3, 30, 300]))]
    for place in places:
        data[place] ^= 1 << draw.randrange(8)
    database.write_bytes(data)
    return f"{len(places)} bits of the first {end} bytes are flipped"


def _zero(database: Path, draw: random.Random) -> str:
    data = bytearray(database.read_bytes())
    page = draw.randrange(len(data) // 4096)
    data[page * 4096 : (page + 1) * 4096] = draw.choice([bytes(4096), b"\xff" * 4096, draw.randbytes(4096)])
    database.write_bytes(data)
    return f"page {page} is overwritten"


def _replace(database: Path, draw: random.Random) -> str:
    database.write_bytes(draw.choice([b"", b"no database", draw.randbytes(8192), b"SQLite format 3\0" + bytes(4080)]))
    return "the file is another"


_OF_FILE = (_truncate, _flip, _flip, _zero, _zero, _replace)

# ------------------------------------------------------------ rows


def _study(connection: sqlite3.Connection, draw: random.Random) -> dict[str, int]:
    others = connection.execute("SELECT study_id FROM studies WHERE study_name != ?", (WHOLE,)).fetchall()
    return {"study": draw.choice(others)[0]}


def _row(connection: sqlite3.Connection, draw: random.Random, tables: Any = tuple(TABLES)) -> tuple[str, int]:
    while True:
        table = draw.choice(tables)
        query = f"SELECT rowid FROM {table} WHERE {TABLES[table]}"
        if rows := connection.execute(query, _study(connection, draw)).fetchall():
            return table, draw.choice(rows)[0]


def _delete(connection: sqlite3.Connection, draw: random.Random) -> str:
    table, row = _row(connection, draw)
    if draw.random() < 0.3:
        deleted = connection.execute(f"DELETE FROM {table} WHERE {TABLES[table]}", _study(connection, draw))
        return f"{deleted.rowcount} rows of {table} are gone"
    connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
    return f"row {row} of {table} is gone"


def _set(connection: sqlite3.Connection, draw: random.Random, table: str, row: int, column: str, value: Any) -> str:
    connection.execute("PRAGMA ignore_check_constraints = ON")
    try:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row))
    except (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError) as error:  # the table does not take it
        return f"{table}.{column} of row {row} stays ({error})"
    return f"{table}.{column} of row {row} is {value!r:.100}"


def _cell(connection: sqlite3.Connection, draw: random.Random) -> str:
    table, row = _row(connection, draw)
    columns = [name.decode() for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    # Whose row it is may not become `whole`.
    column = draw.choice([name for name in columns[1:] if name not in ("study_id", "trial_id")] or columns)
    if column in ("study_id", "trial_id"):
        return _set(connection, draw, table, row, column, 10**6)
    old = connection.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)).fetchone()[0]
    value = draw.choice(CELLS)
    if isinstance(old, bytes) and draw.random() < 0.5:  # text: cut, doubled, with a letter of its own, not UTF-8
        text, at = old, draw.randrange(len(old) + 1)
        value = draw.choice([text[:at].decode(), (text + text).decode(), (text[:at] + b"\xc3\x28" + text[at:])])
        if isinstance(value, bytes):
            connection.execute(f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE rowid = ?", (value, row))
            return f"{table}.{column} of row {row} is no UTF-8"
    return _set(connection, draw, table, row, column, value)


def _within(value: Any, draw: random.Random) -> Any:
    """JSON with one of its parts changed, gone or new."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(sorted(value))
        how = draw.random()
        if how < 0.1:
            return {other: of for other, of in value.items() if other != key}
        if how < 0.2:
            return {**value, draw.choice(["", "x", "trial", "number", "layer9.neurons"]): draw.choice(VALUES)}
        return {**value, key: _within(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        if draw.random() < 0.25:
            return draw.choice([value[:at], value + value[:1]])
        return [*value[:at], _within(value[at], draw), *value[at + 1 :]]
    if isinstance(value, str) and value[:1] == "{" and draw.random() < 0.8:  # JSON in JSON
        return json.dumps(_within(json.loads(value), draw))
    return draw.choice(VALUES)


def _json(connection: sqlite3.Connection, draw: random.Random) -> str:
    table, row = _row(connection, draw, OF_JSON)
    text, key = connection.execute(f"SELECT value_json, key FROM {table} WHERE rowid = ?", (row,)).fetchone()
    changed = json.dumps(_within(json.loads(text), draw))
    connection.execute(f"UPDATE {table} SET value_json = ? WHERE rowid = ?", (changed, row))
    return f"{table} row {row}: {key.decode()} is {changed[:300]}"


def _distribution(connection: sqlite3.Connection, draw: random.Random) -> str:
    _, row = _row(connection, draw, ("trial_params",))
    text = connection.execute("SELECT distribution_json FROM trial_params WHERE rowid = ?", (row,)).fetchone()[0]
    changed = json.loads(text)
    if draw.random() < 0.3:
        names = ("UniformDistribution", "LogUniformDistribution", "CategoricalDistribution", "eval", "IntDistribution")
        changed["name"] = draw.choice(names)
    else:
        changed = _within(changed, draw)
    connection.execute("UPDATE trial_params SET distribution_json = ? WHERE rowid = ?", (json.dumps(changed), row))
    return f"a distribution is {json.dumps(changed)[:200]}"


def _number(connection: sqlite3.Connection, draw: random.Random) -> str:
    _, row = _row(connection, draw, ("trials",))
    return _set(connection, draw, "trials", row, "number", draw.choice([0, 1, 2, 99, -1, None, "x", 2**40]))


def _state(connection: sqlite3.Connection, draw: random.Random) -> str:
    _, row = _row(connection, draw, ("trials",))
    state = draw.choice(["COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING", "DONE", "", 7])
    return _set(connection, draw, "trials", row, "state", state)


def _orphan(connection: sqlite3.Connection, draw: random.Random) -> str:
    table, row = _row(connection, draw, tuple(TABLES)[1:])
    column = "trial_id" if table.startswith("trial_") else "study_id"
    return _set(connection, draw, table, row, column, draw.choice([10**6, None, "x", -1]))


def _attribute(connection: sqlite3.Connection, draw: random.Random) -> str:
    """An attribute that no sampler of the study stores, with what would write a file."""
    _, row = _row(connection, draw, ("trials",))
    file = connection.execute("PRAGMA database_list").fetchone()[2].decode()
    payload = pickle.dumps(Canary(Path(f"{file}.canary"))).hex()
    key = draw.choice(["cma:optimizer:0", "cma:0", "cma:generation", "cmawarm:0", "gp:relative_params:0", "x", "nsga"])
    insert = "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (?, ?, ?)"
    connection.execute(insert, (row, key, json.dumps(draw.choice([payload, 0, {}, LONG]))))
    return f"trial {row} has the system attribute {key}"


def _schema(connection: sqlite3.Connection, draw: random.Random) -> str:
    statement = draw.choice(
        [
            "UPDATE alembic_version SET version_num = 'v9.9.9.z'",
            "UPDATE alembic_version SET version_num = ''",
            "INSERT INTO alembic_version VALUES ('another')",
            "DELETE FROM alembic_version",
            "DELETE FROM version_info",
            "UPDATE version_info SET library_version = x'ff'",
            *(f"DROP TABLE {table}" for table in (*TABLES, "alembic_version", "version_info")),
        ]
    )
    connection.execute(statement)
    return statement


def _several(connection: sqlite3.Connection, draw: random.Random) -> str:
    return "; ".join(draw.choice((_cell, _json, _delete))(connection, draw) for _ in range(draw.randint(2, 6)))


Tamperer = Callable[[sqlite3.Connection, random.Random], str]
_OF_ROWS: tuple[Tamperer, ...] = (
    *(_delete, _cell, _cell, _cell, _json, _json, _json, _json, _distribution, _distribution),
    *(_number, _state, _orphan, _attribute, _several),
)


def tamper_schema(database: Path, seed: int) -> str:
    """Damage what says which tables there are: of that all studies are."""
    draw = random.Random(seed)
    with closing(sqlite3.connect(database)) as connection:
        done = _schema(connection, draw)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return done
