"""The names of the studies in an SQLite file, fast and without a trace: for a shell that waits at a key press."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote


def stored_names(url: str) -> list[str]:
    """The studies of a storage, sorted; none of a server's, which may take its time, nor of a file that is none.

    Optuna would be right about more databases, and takes half a second to be imported.
    """
    scheme, found, database = url.partition(":///")
    if not found or scheme.partition("+")[0] != "sqlite" or not Path(database).is_file():
        return []
    # Immutable: SQLite would otherwise make files beside one in WAL mode. While another process writes they are there.
    being_written = Path(f"{database}-wal").exists()
    options = "mode=ro" if being_written else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"file:{quote(database)}?{options}", uri=True, timeout=0.5)) as connection:
            names = [name for (name,) in connection.execute("SELECT study_name FROM studies")]
            return sorted(name for name in names if isinstance(name, str))
    except sqlite3.Error:
        return []
