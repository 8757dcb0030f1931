"""What a plan wants, beside the ledger until all of it is known.

A first plan looks at all groups, and nobody is to wait for that: what it finds is kept in tables of
its own connection, on disk, which end with it. Then all of it is taken over, or nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple, Self

from patchsync.errors import StoreUnavailable
from patchsync.push.ownership import SET, as_set
from patchsync.store.sqlite_file import SqliteFile

_TABLES = """
CREATE TEMP TABLE draft (
    sink TEXT, patch_id INTEGER, project_id INTEGER, wanted TEXT, coming TEXT, wanted_then TEXT
);
CREATE TEMP TABLE looked_at (patch_id INTEGER PRIMARY KEY, line INTEGER);
"""
# Most patches are alone: an entry that says nothing is not made for each.
_TAKE_OVER = """
INSERT INTO entry (sink, patch_id, project_id, wanted)
SELECT sink, patch_id, project_id, coalesce(
    CASE WHEN coming IS NOT NULL AND coming = (SELECT shown FROM entry AS e
            WHERE e.sink = draft.sink AND e.patch_id = draft.patch_id)
        THEN wanted_then ELSE wanted END,
    (SELECT shown FROM entry AS e
        WHERE draft.sink = 'state' AND e.sink = draft.sink AND e.patch_id = draft.patch_id
            AND claim IS NULL)
) FROM draft
WHERE wanted IS NOT NULL OR EXISTS (
    SELECT * FROM entry AS e WHERE e.sink = draft.sink AND e.patch_id = draft.patch_id)
ORDER BY sink, patch_id
ON CONFLICT DO UPDATE SET project_id = excluded.project_id,
    wanted = excluded.wanted,
    trouble = CASE WHEN wanted IS excluded.wanted THEN trouble END
WHERE (wanted, project_id) IS NOT (excluded.wanted, excluded.project_id)
"""
_NAME_LINES = """
INSERT INTO named SELECT patch_id, line FROM looked_at WHERE line IS NOT NULL
ON CONFLICT DO UPDATE SET line = excluded.line WHERE line != excluded.line
"""
_NOT_LOOKED_AT = "patch_id NOT IN (SELECT patch_id FROM looked_at)"


class DraftRow(NamedTuple):
    """What is wanted of a patch in a sink, as `encode` spells it."""

    sink: str
    patch_id: int
    project_id: int
    wanted: str | None
    # What Patchwork may show by the time that it is taken over, being sent; and what then is wanted
    coming: str | None = None
    wanted_then: str | None = None


class Draft:
    """One plan's part of a ledger's file; a context. Raises as the ledger."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        with self._file.reporting():
            self._connection = self._file.sql
            # Not `executescript`, which would end a transaction that this is a part of.
            for table in filter(str.strip, _TABLES.split(";")):
                self._connection.execute(table)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file.is_open and self._file.sql is self._connection:
            for table in ("draft", "looked_at"):
                self._connection.execute(f"DROP TABLE IF EXISTS temp.{table}")

    def add(self, rows: Iterable[DraftRow], line_of: Iterable[tuple[int, int | None]] = ()) -> None:
        """Note what is wanted, and which patches were looked at.

        `line_of`: each with the line of patch-groups, as its hash, that annotates it, if one does.
        """
        # It keeps nobody from writing the ledger: these tables are of this connection alone.
        with self._file.transaction("DEFERRED"):
            sql = self._sql
            sql.executemany("INSERT INTO draft VALUES (?, ?, ?, ?, ?, ?)", rows)
            sql.executemany("INSERT OR REPLACE INTO looked_at VALUES (?, ?)", line_of)

    def take_over(self, gone_lines: Iterable[int] = ()) -> int:
        """Have the ledger want all of it, in its transaction; returns how many entries changed.

        `gone_lines`: those that are in patch-groups no more.
        """
        with self._file.transaction():
            sql = self._sql
            before = sql.total_changes
            sql.execute(_TAKE_OVER)
            changed = sql.total_changes - before
            sql.execute(_NAME_LINES)
            delete = f"DELETE FROM named WHERE line IN {SET}"  # noqa: S608
            sql.execute(delete, (as_set(gone_lines),))
            return changed

    def without_looked_at(self, patch_ids: Iterable[int]) -> set[int]:
        """Those of the patches that are in no group that was looked at."""
        query = "SELECT patch_id FROM (SELECT value AS patch_id FROM json_each(?))"
        return self._ids(f"{query} WHERE {_NOT_LOOKED_AT}", as_set(patch_ids))

    def vanished_with(self, lines: Iterable[int]) -> set[int]:
        """The patches that these lines annotated, and that are in no group that was looked at."""
        query = f"SELECT patch_id FROM named WHERE line IN {SET} AND {_NOT_LOOKED_AT}"  # noqa: S608
        return self._ids(query, as_set(lines))

    def annotated_elsewhere(self, sinks: Iterable[str]) -> set[int]:
        """The patches with annotations in these sinks that are in no group that was looked at."""
        query = f"""
            SELECT patch_id FROM entry
            WHERE wanted IS NOT NULL AND sink IN {SET} AND {_NOT_LOOKED_AT}
        """  # noqa: S608
        return self._ids(query, as_set(sinks))

    def _ids(self, query: str, value: str) -> set[int]:
        with self._file.reporting():
            return {row[0] for row in self._sql.execute(query, (value,))}

    @property
    def _sql(self) -> sqlite3.Connection:
        sql = self._file.sql
        if sql is not self._connection:
            raise StoreUnavailable(f"{self._file.path} was deleted while it was planned")
        return sql
