"""How many patches of a project its server and we had over time: a year, a row for ten minutes.

It may be deleted at any time; what was before is forgotten then. Not under the store's lock.
"""

from __future__ import annotations

from typing import NamedTuple

from patchsync.store.layout import ContainerPaths
from patchsync.store.sqlite_file import CacheRemoved, Schema, SqliteFile

SLOT_SECONDS = 600
KEPT_SECONDS = 366 * 86400

_SCHEMA = Schema(
    version=1,
    tables="""
CREATE TABLE IF NOT EXISTS counts (
    slot INTEGER PRIMARY KEY, at REAL NOT NULL, server INTEGER NOT NULL, ours INTEGER NOT NULL
);
""",
)


class Counts(NamedTuple):
    """What a round found."""

    # Seconds since 1970
    at: float
    server: int
    # Stored or quarantined, and not gone
    ours: int


class CountHistory:
    """The counts of one project. All methods raise StoreUnavailable."""

    def __init__(self, paths: ContainerPaths) -> None:
        """Nothing is opened yet."""
        self._path = paths.counts

    def record(self, counts: Counts) -> None:
        """Keep the counts of now; of ten minutes the last that differ."""
        try:
            self._record(counts)
        except CacheRemoved:
            self._record(counts)

    def since(self, at: float, every: float = SLOT_SECONDS) -> list[Counts]:
        """The counts since a time, oldest first; of so many seconds those that differ most."""
        file = SqliteFile(self._path, _SCHEMA)
        if not file.open_to_read():
            return []
        with file:
            rows = file.rows(
                "SELECT at, server, ours, max(abs(server - ours)) FROM counts WHERE slot >= ?"
                " GROUP BY CAST(at / ? AS INTEGER) ORDER BY at",
                int(at // SLOT_SECONDS),
                every,
            )
        return [Counts(*row[:3]) for row in rows if row[0] >= at]

    def _record(self, counts: Counts) -> None:
        slot = int(counts.at // SLOT_SECONDS)
        with SqliteFile(self._path, _SCHEMA) as file, file.transaction() as sql:
            sql.execute(
                "INSERT INTO counts VALUES (?, ?, ?, ?) ON CONFLICT (slot) DO UPDATE SET"
                " at = excluded.at, server = excluded.server, ours = excluded.ours"
                " WHERE server != excluded.server OR ours != excluded.ours",
                (slot, *counts),
            )
            # What lies ahead is of a clock that was set back since.
            oldest = slot - KEPT_SECONDS // SLOT_SECONDS
            sql.execute("DELETE FROM counts WHERE slot < ? OR slot > ?", (oldest, slot))
