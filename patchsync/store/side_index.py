"""A cache of PaStA's index in SQLite, so that nobody has to read a million lines to look up one.

It may be deleted at any time. It follows the index by reading only what was appended, and is built
anew when the index was truncated, replaced or edited. Of several lines with one patchwork id the
first counts, whatever the others say.

One object serves one thread of one process: do not carry it across a fork.
"""

from __future__ import annotations

import json
import os
import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Self

from patchsync.errors import StoreUnavailable
from patchsync.store.files import may_write, storing
from patchsync.store.layout import IndexEntry
from patchsync.store.lock import LOCK_WAIT, store_lock
from patchsync.store.side_index_tables import SCHEMA, UNSHARED_SCHEMA, State, read_lines, read_state
from patchsync.store.sqlite_file import CacheRemoved, SqliteFile

_LONG = 1 << 20  # bytes of the index: what takes longer to read is not read under the store's lock
_SHARE = 4  # but for less than a quarter of it: all would be read anew for that
_SLOTS = 500  # ids looked up by one statement
_IDS = 20_000  # ids read by one statement

_ENTRY = "SELECT id, date, message_id, lower(hex(md5)) FROM patch"


class SideIndex:
    """The entries of the index file `index`, cached in the SQLite file `database`.

    All methods raise StoreUnavailable when the disk or SQLite does not let them; what they return
    is as of the last `catch_up` of any process.
    """

    def __init__(self, index: Path, database: Path) -> None:
        self._index = index
        # In memory while there is no index: to look at a store that is not there leaves nothing
        # behind.
        self._database = database
        self._cache = SqliteFile(database, SCHEMA)
        self._reporting = self._cache.reporting

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the cache; a later `catch_up` opens it again."""
        self._cache.close()

    # Following the index

    def is_current(self) -> bool:
        """Tell whether there is nothing to catch up with; needs no lock."""
        with self._reporting(), storing(self._index):
            stat = _stat(self._index)
            if not self._is_open(stat):
                return stat is not None and self._opens_current(stat)
            return stat is None or read_state(self._sql).is_of(stat)

    def _opens_current(self, index: os.stat_result) -> bool:
        """Open what another process has brought up to date; else nothing is open."""
        # Who opens it under the lock finds what is wrong with it.
        with suppress(StoreUnavailable), self._reporting():
            if self._cache.open_to_read() and read_state(self._sql).is_of(index):
                self._cache.open()  # as who may write it: what is found to be damaged is removed
                return True
        self._cache.close()
        return False

    def prepare(self, wait: float = LOCK_WAIT) -> None:
        """Read what would take long beside what is there, so that `catch_up` has little to do.

        To be called before the store's lock is taken. That the index changes meanwhile does no
        harm: `catch_up` reads what was appended, and all of it where it did not only grow. Raises
        what `catch_up` does, and LockHeld: another process has been at it for `wait` seconds.
        """
        if self._is_short() or not may_write(self._database.parent) or not self._lags():
            return
        # Several workers that start would take longer, each for itself.
        with store_lock(self._beside("lock"), wait):
            if self._lags():
                self._build()

    def _is_short(self) -> bool:
        with storing(self._index):
            stat = _stat(self._index)
            return stat is None or stat.st_size < _LONG

    def _lags(self) -> bool:
        """Tell whether `catch_up` would read much of the index."""
        if self.is_current():
            return False
        state = State()
        with suppress(StoreUnavailable), self._reporting():
            if self._cache.open_to_read():
                state = read_state(self._sql)
        self._cache.close()
        with storing(self._index), self._index.open("rb") as file:
            stat = os.fstat(file.fileno())
            read = state.offset if state.is_continued(file, stat) else 0
            return stat.st_size - read >= max(_LONG, stat.st_size // _SHARE)

    def _build(self) -> None:
        """Make the cache anew in a file of its own, and have that take the place of what is there.

        Who has the former one open sees so before it writes again.
        """
        fresh = SqliteFile(self._beside("new"), UNSHARED_SCHEMA)
        fresh.delete()  # of one who was killed
        try:
            fresh.open()
            with storing(self._index), self._index.open("rb") as file, fresh.transaction() as sql:
                read_lines(sql, self._index, file, synced=False)
            with fresh.reporting():
                # Who opens it finds it so, and need not change it.
                fresh.sql.execute("PRAGMA journal_mode = WAL")
            fresh.close()
            self._cache.replace_by(fresh.path)
        except BaseException:
            fresh.delete()
            raise

    def _beside(self, suffix: str) -> Path:
        return self._database.with_name(f"{self._database.name}.{suffix}")

    def catch_up(self, *, synced: bool = False) -> int:
        """Read what was appended to the index since, or all of it when it is not the same any more.

        To be called under the store's lock, so that no line is seen that its writer takes back. A
        line without its newline is left alone. `synced`: the caller has just made the index
        durable, so that need not be done here. Returns the number of lines read.

        Raises StoreDamaged naming file and line when a line is not PaStA's; nothing is taken over
        then.
        """
        try:
            return self._catch_up(synced)
        except CacheRemoved:
            return self._catch_up(synced)

    def _catch_up(self, synced: bool) -> int:
        with self._reporting(), storing(self._index):
            found = _stat(self._index)
            if not self._is_open(found):
                self._open(found)
            if found is None:
                return 0
            with self._index.open("rb") as file:
                if read_state(self._sql).is_of(os.fstat(file.fileno())):
                    return 0
                if self._cache.read_only:
                    # Its writer is about to catch up, or will never: who only looks reads it all.
                    self._cache.open_in_memory()
                with self._cache.transaction() as sql:
                    return read_lines(sql, self._index, file, synced=synced)

    def _open(self, index: os.stat_result | None) -> None:
        if index is None or not (self._database.exists() or may_write(self._database.parent)):
            self._cache.open_in_memory()
        else:
            self._cache.open()

    @property
    def position(self) -> tuple[int, int]:
        """How far the index was read: bytes, and the file's time of change then in nanoseconds."""
        with self._reporting():
            state = read_state(self._sql)
            return state.offset, state.mtime_ns

    # Looking up

    @property
    def count(self) -> int:
        """Number of patches, that is of different patchwork ids."""
        with self._reporting():
            return read_state(self._sql).patches

    @property
    def highest(self) -> int | None:
        """The highest patchwork id, None when there are none."""
        with self._reporting():
            highest: int | None = self._sql.execute("SELECT max(id) FROM patch").fetchone()[0]
            return highest

    def ids(self) -> array[int]:
        """All patchwork ids, ascending, as array('q')."""
        # As JSON, of many rows each: a row for each id takes twice the time.
        query = """
SELECT json_group_array(id) FROM (SELECT id FROM patch WHERE id > ? ORDER BY id LIMIT ?)
"""
        ids = array("q")
        with self._reporting():
            self._sql.execute("BEGIN")  # so that all are of one moment
            try:
                last = 0
                while some := json.loads(self._sql.execute(query, (last, _IDS)).fetchone()[0]):
                    ids.fromlist(some)
                    last = some[-1]
            finally:
                self._sql.execute("COMMIT")
        return ids

    def entry(self, patch_id: int) -> IndexEntry | None:
        """The entry of a patchwork id, None when there is none."""
        with self._reporting():
            rows = self._sql.execute(f"{_ENTRY} WHERE id = ?", (patch_id,))
            return next(map(IndexEntry._make, rows), None)

    def entries_of(self, message_id: str) -> list[IndexEntry]:
        """All entries with this message-id, in the order of the index."""
        with self._reporting(), suppress(UnicodeEncodeError):  # no line can hold such a message-id
            rows = self._sql.execute(f"{_ENTRY} WHERE message_id = ? ORDER BY place", (message_id,))
            return list(map(IndexEntry._make, rows))
        return []

    def entries_of_all(self, message_ids: Iterable[str]) -> Iterator[IndexEntry]:
        """As `entries_of`, of many message-ids that a line can hold, several times faster."""
        wanted = iter(message_ids)
        with self._reporting():
            while some := list(islice(wanted, _SLOTS)):
                marks = ",".join("?" * len(some))
                query = f"{_ENTRY} WHERE message_id IN ({marks}) ORDER BY message_id, place"
                yield from map(IndexEntry._make, self._sql.execute(query, some))

    def message_ids(self, patch_ids: Iterable[int]) -> dict[int, str]:
        """Those of `patch_ids` that are in the index, with their message-ids."""
        found: dict[int, str] = {}
        wanted = iter(patch_ids)
        with self._reporting():
            while some := list(islice(wanted, _SLOTS)):
                marks = ",".join("?" * len(some))
                query = f"SELECT id, message_id FROM patch WHERE id IN ({marks})"  # noqa: S608
                found.update(self._sql.execute(query, some))
        return found

    def reading(self) -> tuple[str, int]:
        """Which reading of the index this is, and the place of its last entry."""
        with self._reporting():
            (last,) = self._sql.execute("SELECT max(place) FROM patch").fetchone()
            return read_state(self._sql).built, last or 0

    def entries_after(self, place: int) -> Iterator[IndexEntry]:
        """The entries behind a place, in the order of the index."""
        with self._reporting():
            rows = self._sql.execute(f"{_ENTRY} WHERE place > ? ORDER BY place", (place,))
            yield from map(IndexEntry._make, rows)

    def dated_message_ids(self) -> Iterator[tuple[str, str]]:
        """Date (YYYY/MM/DD) and message-id of each patch, in no order."""
        with self._reporting():
            yield from self._sql.execute("SELECT date, message_id FROM patch")

    @property
    def _sql(self) -> sqlite3.Connection:
        return self._cache.sql

    def _is_open(self, index: os.stat_result | None) -> bool:
        """Tell whether what is open is what should be, as `index` is there or not."""
        if index is not None and self._cache.in_memory:
            return not may_write(self._database.parent)
        return self._cache.is_open and self._cache.in_memory == (index is None)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
