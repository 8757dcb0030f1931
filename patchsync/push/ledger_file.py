"""The SQLite file of the ledger: its tables, and where it lies."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patchsync.config import Config
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.sqlite_file import Schema, SqliteFile

# What is to be sent, or to be read back: another value is desired than was observed, and no trouble
# but a 409 is in the way; or a claim has no outcome. A query must repeat it to use the index.
UNSETTLED = """
project_id IS NOT NULL AND (claim IS NOT NULL
    OR (wanted IS NOT shown AND (trouble IS NULL OR trouble = 'changed')))
"""

# A claim must not be lost once it was sent.
_DURABLY = "FULL"

# Those that a file of an earlier version may lack
_LATER_TABLES = {
    "parted": "(low INTEGER, high INTEGER, PRIMARY KEY (low, high)) WITHOUT ROWID",
    "named": "(patch_id INTEGER PRIMARY KEY, line INTEGER NOT NULL)",
    "daily_check": "(patch_id INTEGER PRIMARY KEY, day INTEGER NOT NULL, checks INTEGER NOT NULL)",
}
_LATER = ";\n".join(
    f"CREATE TABLE IF NOT EXISTS {each}" for each in map(" ".join, _LATER_TABLES.items())
)

# `wanted` is what is desired and `shown` what was observed; `remote_id` is not null where we know
# that we sent it; `made`, `hands_off` and `parted` are those of `Ownership`; `named` is
# by which line of patch-groups, as its hash, a patch is annotated; `daily_check` is that of
# `DailyChecks`, of the last day (since 1970, UTC) on which a patch got a check.
_TABLES = f"""
CREATE TABLE IF NOT EXISTS entry (
    sink TEXT NOT NULL, patch_id INTEGER NOT NULL, project_id INTEGER,
    wanted TEXT,
    shown TEXT, remote_id INTEGER, shown_at REAL,
    claim INTEGER, claimed TEXT, claimed_at REAL,
    trouble TEXT, trouble_text TEXT, trouble_at REAL,
    PRIMARY KEY (sink, patch_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unsettled ON entry (sink, project_id, patch_id) WHERE {UNSETTLED};
CREATE INDEX IF NOT EXISTS troubled ON entry (trouble_at, trouble) WHERE trouble IS NOT NULL;
CREATE TABLE IF NOT EXISTS made (patch_id INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS hands_off (
    sink TEXT NOT NULL, patch_id INTEGER NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (sink, patch_id)
) WITHOUT ROWID;
{_LATER};
CREATE INDEX IF NOT EXISTS parted_high ON parted (high);
CREATE INDEX IF NOT EXISTS named_line ON named (line);
CREATE INDEX IF NOT EXISTS daily_checks ON daily_check (day);
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS planned (complete INTEGER NOT NULL, lines BLOB NOT NULL);
INSERT INTO planned SELECT 0, x'' WHERE NOT EXISTS (SELECT * FROM planned)
"""  # noqa: S608


def ledger_path(config: Config) -> Path:
    """Where the ledger of a configuration lies: beside the stores, one for each Patchwork."""
    return config.d_mbox / OWN_FOLDER / f"push.{config.instance}.sqlite"


class LedgerFile(SqliteFile):
    """A file that is opened, and made, when it is used; and anew where it was deleted meanwhile."""

    def __init__(self, path: Path) -> None:
        remedy = (
            f"stop patchsync and delete it, with {path.name}-wal and {path.name}-shm: "
            "it is rebuilt from Patchwork"
        )
        pragmas = {"synchronous": _DURABLY}
        super().__init__(path, Schema(version=1, tables=_TABLES, remedy=remedy, pragmas=pragmas))

    def open(self) -> None:
        """See `SqliteFile`; in a file of an earlier version the tables that it lacks are made.

        Where it is opened to read, this connection has them, and they are empty.
        """
        super().open()
        names = {row[0] for row in self.rows("SELECT name FROM sqlite_master")}
        lacking = _LATER_TABLES.keys() - names
        if self.read_only:
            with self.reporting():
                for name in lacking:
                    self.sql.execute(f"CREATE TEMP TABLE {name} {_LATER_TABLES[name]}")
        elif lacking:
            self._make_tables()

    @contextmanager
    def noting(self) -> Iterator[sqlite3.Connection]:
        """A transaction that does not wait for the disk: a power loss may undo it, nothing else.

        It undoes none that is followed by another kind, nor one out of order.
        """
        with self.reporting():
            if not self.sql.in_transaction:
                self.sql.execute("PRAGMA synchronous = NORMAL")
        try:
            with self.transaction() as sql:
                yield sql
        finally:
            with self.reporting():
                # Within a transaction SQLite leaves it as it is: that one's end sets it.
                if self.is_open and not self.sql.in_transaction:
                    self.sql.execute(f"PRAGMA synchronous = {_DURABLY}")

    @property
    def sql(self) -> sqlite3.Connection:
        """The connection, to be used within `reporting` or `transaction`."""
        if not (self._connection and self._connection.in_transaction) and not self.is_open:
            self.open()
        return super().sql
