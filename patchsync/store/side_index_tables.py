"""The tables of the side index, and how the lines of PaStA's index come into them."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Any
from uuid import uuid4

from patchsync.errors import StoreDamaged
from patchsync.store.layout import parse_line, parse_plain_lines
from patchsync.store.sqlite_file import Schema

_TAIL = 4096  # bytes before the offset that show whether the index still is the one that was read
_CHUNK = 1 << 18  # bytes read at a time: what is made of them fits into a processor's cache
_ROWS = 50  # written by one statement, which takes half the time of one each

SCHEMA = Schema(
    version=3,
    # `place` is the order of the index, so that new lines come behind all others, whatever their
    # patchwork ids are.
    tables="""
CREATE TABLE IF NOT EXISTS patch (
    place INTEGER PRIMARY KEY, date TEXT NOT NULL, message_id TEXT NOT NULL, md5 BLOB NOT NULL,
    id INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS state (
    inode TEXT NOT NULL, offset INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, tail TEXT NOT NULL,
    lines INTEGER NOT NULL, patches INTEGER NOT NULL, built TEXT NOT NULL
);
""",
)
# Of a file that nobody else has, and that is deleted when it does not become whole
UNSHARED_SCHEMA = replace(SCHEMA, pragmas={"journal_mode": "MEMORY", "synchronous": "OFF"})

_INDEXES = {
    "patch_id": "UNIQUE INDEX IF NOT EXISTS patch_id ON patch (id)",
    "patch_message_id": "INDEX IF NOT EXISTS patch_message_id ON patch (message_id)",
}
_DELETE_DOUBLES = """
DELETE FROM patch WHERE place IN (
    SELECT place FROM (
        SELECT place, row_number() OVER (PARTITION BY id ORDER BY place) AS nth FROM patch
    ) WHERE nth > 1
)
"""


@dataclass(frozen=True)
class State:
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

    def is_continued(self, file: BufferedReader, stat: os.stat_result) -> bool:
        """Tell whether the index only grew since: same file, same bytes before the offset.

        One that changed without growing was edited.
        """
        return (
            str(stat.st_ino) == self.inode
            and stat.st_size > self.offset
            and _tail(file, self.offset) == self.tail
        )


def read_state(sql: sqlite3.Connection) -> State:
    """How far the tables are; the empty state where nothing was read."""
    row = sql.execute("SELECT * FROM state").fetchone()
    return State() if row is None else State(*row)


def read_lines(sql: sqlite3.Connection, index: Path, file: BufferedReader, *, synced: bool) -> int:
    """Take in the lines of `file`, the open `index`, that are new; all where it did not only grow.

    A line without its newline is left alone. `synced`: the index is known to be durable. To be
    called in a transaction, as what is there already may be deleted for it. Returns the number of
    lines that were read. Raises StoreDamaged naming file and line when one is not PaStA's; OSError.
    """
    stat = os.fstat(file.fileno())
    state = read_state(sql)
    if not state.is_continued(file, stat):
        sql.execute("DELETE FROM patch")
        for name in _INDEXES:  # made once all lines are in
            sql.execute(f"DROP INDEX IF EXISTS {name}")
        state = State(built=uuid4().hex)
    lines, offset = state.lines, state.offset
    before = sql.total_changes
    for chunk in _whole_lines(file, offset, stat.st_size):
        _insert(sql, _fields(index, chunk, lines))
        lines += chunk.count(b"\n")
        offset += len(chunk)
    patches = state.patches + sql.total_changes - before - _make_indexes(sql)
    if not synced:
        os.fsync(file.fileno())  # the cache must not know lines that a power loss takes away
    tail = _tail(file, offset)
    now = State(str(stat.st_ino), offset, stat.st_mtime_ns, tail, lines, patches, state.built)
    sql.execute("DELETE FROM state")
    sql.execute("INSERT INTO state VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(now))
    return lines - state.lines


def _fields(index: Path, chunk: bytes, lines: int) -> list[Any]:
    """The columns of whole lines, all in a row; `lines`: how many lines there are before them."""
    fields = parse_plain_lines(chunk)
    if fields is None:
        fields = []
        for number, line in enumerate(chunk[:-1].split(b"\n"), start=lines + 1):
            try:
                patch_id, *texts = parse_line(line)
            except ValueError as error:
                raise StoreDamaged(
                    f"{index}, line {number}: {error}; correct or remove the line"
                ) from error
            fields += (*texts, patch_id)
    fields[2::4] = map(bytes.fromhex, fields[2::4])
    return fields


def _insert(sql: sqlite3.Connection, fields: list[Any]) -> None:
    """Of two rows with one patchwork id the first counts, once there is the index of them."""

    def statement(rows: int) -> str:
        slots = ", ".join(["(?, ?, ?, ?)"] * rows)
        return f"INSERT OR IGNORE INTO patch (date, message_id, md5, id) VALUES {slots}"  # noqa: S608

    step = 4 * _ROWS
    end = len(fields) // step * step
    sql.executemany(statement(_ROWS), (fields[at : at + step] for at in range(0, end, step)))
    if rest := fields[end:]:
        sql.execute(statement(len(rest) // 4), rest)


def _make_indexes(sql: sqlite3.Connection) -> int:
    """Make those that are not there; returns how many rows fell to one before them."""
    deleted = 0
    for index in _INDEXES.values():
        try:
            sql.execute(f"CREATE {index}")
        except sqlite3.IntegrityError:
            deleted = sql.execute(_DELETE_DOUBLES).rowcount
            sql.execute(f"CREATE {index}")
    return deleted


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
