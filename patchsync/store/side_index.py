"""A cache of PaStA's index in SQLite, so that nobody has to read a million lines to look up one.

It may be deleted at any time. It follows the index by reading only what was appended, and is built
anew when the index was truncated, replaced or edited. Of several lines with one patchwork id the
first counts, whatever the others say.

One object serves one thread of one process: do not carry it across a fork.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Self
from uuid import uuid4

from patchsync.errors import StoreDamaged, StoreUnavailable
from patchsync.store.files import may_write, storing
from patchsync.store.layout import IndexEntry, parse_line, parse_plain_lines
from patchsync.store.sqlite_file import CacheRemoved, Schema, SqliteFile

_TAIL = 4096  # bytes before the offset that show whether the index still is the one that was read
_CHUNK = 1 << 20  # bytes read at a time, which bounds the memory
_SLOTS = 500  # ids looked up by one statement

_SCHEMA = Schema(
    version=2,
    tables="""
CREATE TABLE IF NOT EXISTS patch (
    id INTEGER PRIMARY KEY, date TEXT NOT NULL, message_id TEXT NOT NULL, md5 TEXT NOT NULL,
    line INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS state (
    inode TEXT NOT NULL, offset INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, tail TEXT NOT NULL,
    lines INTEGER NOT NULL, patches INTEGER NOT NULL, built TEXT NOT NULL
);
""",
)
_INDEXES = ("message_id", "line")


@dataclass(frozen=True)
class _State:
    """How far the index was read, and how to recognise it."""

    inode: str = ""  # as text: an inode may exceed SQLite's signed integers
    offset: int = 0  # bytes, always behind a newline
    mtime_ns: int = 0
    tail: str = ""  # hash of the bytes before the offset
    lines: int = 0
    patches: int = 0  # different patchwork ids
    built: str = ""  # tells this cache from one that was built anew

    def is_of(self, stat: os.stat_result) -> bool:
        """Tell whether a file that looks like `stat` has been read to its end and not changed."""
        return (self.inode, self.offset, self.mtime_ns) == (
            str(stat.st_ino),
            stat.st_size,
            stat.st_mtime_ns,
        )


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
        self._cache = SqliteFile(database, _SCHEMA)
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
            return stat is None or self._state().is_of(stat)

    def _opens_current(self, index: os.stat_result) -> bool:
        """Open what another process has brought up to date; else nothing is open."""
        # Who opens it under the lock finds what is wrong with it.
        with suppress(StoreUnavailable), self._reporting():
            if self._cache.open_to_read() and self._state().is_of(index):
                self._cache.open()  # as who may write it: what is found to be damaged is removed
                return True
        self._cache.close()
        return False

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
                stat = os.fstat(file.fileno())
                state = self._state()
                if state.is_of(stat):
                    return 0
                if self._cache.read_only:
                    # Its writer is about to catch up, or will never: who only looks reads it all.
                    self._cache.open_in_memory()
                    state = self._state()
                with self._cache.transaction():
                    return self._take_over(file, stat, state, synced)

    def _open(self, index: os.stat_result | None) -> None:
        if index is None or not (self._database.exists() or may_write(self._database.parent)):
            self._cache.open_in_memory()
        else:
            self._cache.open()

    def _take_over(
        self, file: BufferedReader, stat: os.stat_result, state: _State, synced: bool
    ) -> int:
        if not _continues(file, stat, state):
            self._sql.execute("DELETE FROM patch")
            for name in _INDEXES:  # made once all lines are in
                self._sql.execute(f"DROP INDEX IF EXISTS patch_{name}")
            state = _State(built=uuid4().hex)
        lines, offset = state.lines, state.offset
        before = self._sql.total_changes
        for chunk in _whole_lines(file, offset, stat.st_size):
            rows = self._rows(chunk, lines)
            self._sql.executemany("INSERT OR IGNORE INTO patch VALUES (?, ?, ?, ?, ?)", rows)
            lines += chunk.count(b"\n")
            offset += len(chunk)
        patches = state.patches + self._sql.total_changes - before
        for name in _INDEXES:
            self._sql.execute(f"CREATE INDEX IF NOT EXISTS patch_{name} ON patch ({name})")
        if not synced:
            os.fsync(file.fileno())  # the cache must not know lines that a power loss takes away
        tail = _tail(file, offset)
        now = (str(stat.st_ino), offset, stat.st_mtime_ns, tail, lines, patches, state.built)
        self._sql.execute("DELETE FROM state")
        self._sql.execute("INSERT INTO state VALUES (?, ?, ?, ?, ?, ?, ?)", now)
        return lines - state.lines

    def _rows(self, chunk: bytes, lines: int) -> Iterator[tuple[int, str, str, str, int]]:
        entries = parse_plain_lines(chunk)
        if entries is not None:
            for number, entry in enumerate(entries, start=lines + 1):
                yield (*entry, number)
            return
        for number, line in enumerate(chunk[:-1].split(b"\n"), start=lines + 1):
            try:
                yield (*parse_line(line), number)
            except ValueError as error:
                raise StoreDamaged(
                    f"{self._index}, line {number}: {error}; correct or remove the line"
                ) from error

    @property
    def position(self) -> tuple[int, int]:
        """How far the index was read: bytes, and the file's time of change then in nanoseconds."""
        with self._reporting():
            state = self._state()
            return state.offset, state.mtime_ns

    # Looking up

    @property
    def count(self) -> int:
        """Number of patches, that is of different patchwork ids."""
        with self._reporting():
            return self._state().patches

    @property
    def highest(self) -> int | None:
        """The highest patchwork id, None when there are none."""
        with self._reporting():
            highest: int | None = self._sql.execute("SELECT max(id) FROM patch").fetchone()[0]
            return highest

    def ids(self) -> array[int]:
        """All patchwork ids, ascending, as array('q')."""
        with self._reporting():
            rows = self._sql.execute("SELECT id FROM patch ORDER BY id")
            return array("q", (row[0] for row in rows))

    def entry(self, patch_id: int) -> IndexEntry | None:
        """The entry of a patchwork id, None when there is none."""
        with self._reporting():
            rows = self._sql.execute(
                "SELECT id, date, message_id, md5 FROM patch WHERE id = ?", (patch_id,)
            )
            return next(map(IndexEntry._make, rows), None)

    def entries_of(self, message_id: str) -> list[IndexEntry]:
        """All entries with this message-id, in the order of the index."""
        with self._reporting(), suppress(UnicodeEncodeError):  # no line can hold such a message-id
            rows = self._sql.execute(
                "SELECT id, date, message_id, md5 FROM patch WHERE message_id = ? ORDER BY line",
                (message_id,),
            )
            return list(map(IndexEntry._make, rows))
        return []

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
        """Which reading of the index this is, and how many lines of it were read."""
        with self._reporting():
            state = self._state()
            return state.built, state.lines

    def entries_after(self, line: int) -> Iterator[IndexEntry]:
        """The entries behind a line, in the order of the index."""
        with self._reporting():
            rows = self._sql.execute(
                "SELECT id, date, message_id, md5 FROM patch WHERE line > ? ORDER BY line", (line,)
            )
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

    def _state(self) -> _State:
        row = self._sql.execute("SELECT * FROM state").fetchone()
        return _State() if row is None else _State(*row)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _continues(file: BufferedReader, stat: os.stat_result, state: _State) -> bool:
    """Tell whether the index only grew since `state`: same file, same bytes before the offset.

    One that changed without growing was edited.
    """
    return (
        str(stat.st_ino) == state.inode
        and stat.st_size > state.offset
        and _tail(file, state.offset) == state.tail
    )


def _tail(file: BufferedReader, offset: int) -> str:
    start = max(0, offset - _TAIL)
    file.seek(start)
    return hashlib.sha256(file.read(offset - start)).hexdigest()


def _whole_lines(file: BufferedReader, offset: int, end: int) -> Iterator[bytes]:
    """Yield the whole lines between two offsets, in pieces of about _CHUNK bytes."""
    file.seek(offset)
    rest = b""
    while offset < end and (piece := file.read(min(_CHUNK, end - offset))):
        offset += len(piece)
        whole, newline, rest_of_piece = piece.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = rest_of_piece
        else:
            rest += piece
