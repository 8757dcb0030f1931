"""The SQLite file of what the builtin engine keeps between its runs: opened, made anew, reported.

All of it follows from the store, the repository and the thresholds: it may be deleted at any time,
and is made anew when it is damaged, or when this version reads or compares in another way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from patchsync.errors import StoreUnavailable
from patchsync.store.files import make_folder, storing

# Of the tables, and of how mails are read and compared: raised whenever either changes.
VERSION = 1
_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL);
-- A mail by its message-id, or a commit by its hash. Numbers are never used again.
CREATE TABLE patch (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
    is_commit INTEGER NOT NULL, date REAL NOT NULL, is_revert INTEGER NOT NULL,
    source TEXT NOT NULL, component INTEGER, grp INTEGER
);
CREATE INDEX patch_component ON patch (component);
CREATE INDEX patch_grp ON patch (grp);
CREATE INDEX patch_is_commit ON patch (is_commit);
-- Mails that are no patch, and why
CREATE TABLE other (name TEXT PRIMARY KEY, source TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE shape (number INTEGER PRIMARY KEY, message BLOB NOT NULL, files BLOB NOT NULL);
CREATE TABLE file (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
CREATE TABLE touch (
    file INTEGER NOT NULL, number INTEGER NOT NULL, is_commit INTEGER NOT NULL,
    lines INTEGER NOT NULL, PRIMARY KEY (file, number)
) WITHOUT ROWID;
CREATE INDEX touch_number ON touch (number);
-- Hashes that mails say they were picked from
CREATE TABLE picked (hash TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (hash, number))
    WITHOUT ROWID;
-- Pairs that are alike enough
CREATE TABLE link (low INTEGER NOT NULL, high INTEGER NOT NULL, PRIMARY KEY (low, high))
    WITHOUT ROWID;
CREATE INDEX link_high ON link (high);
-- Pairs of which only a person could tell
CREATE TABLE undecided (low INTEGER NOT NULL, high INTEGER NOT NULL, PRIMARY KEY (low, high))
    WITHOUT ROWID;
-- False positives, as they were when the groups were made
CREATE TABLE mark (origin TEXT NOT NULL, destination TEXT NOT NULL, upstream INTEGER NOT NULL,
    PRIMARY KEY (upstream, origin, destination)) WITHOUT ROWID;
-- Of mails in components with false positives: how alike the best candidate is, upstream or not
CREATE TABLE best (number INTEGER NOT NULL, upstream INTEGER NOT NULL, alike REAL NOT NULL,
    PRIMARY KEY (number, upstream)) WITHOUT ROWID;
-- Whose component is to be grouped anew, and whose line in patch-groups is not written yet
CREATE TABLE regroup (number INTEGER PRIMARY KEY);
CREATE TABLE unwritten (name TEXT PRIMARY KEY) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
COMMIT;
"""
_BUSY = 30.0  # seconds to wait for a reader or writer
_CACHE = 64 * 1024  # KiB of pages in memory
_WAL_SIZE = 16 << 20  # bytes to which the write-ahead log shrinks again
_PASSING = frozenset(
    {
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL),
        *(sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED),
        *(sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL),
        sqlite3.SQLITE_READONLY,
    }
)


class KeptFile:
    """The open file; a context. One object serves one thread."""

    def __init__(self, path: Path) -> None:
        """Open it, and make it where it is not; to be called under the analysis' lock."""
        self._path = path
        self._writes = True
        with self.reporting(), storing(path):
            make_folder(path.parent)
            self._open()
            with self._closed_on_error():
                if self._version() != VERSION:
                    self.forget()

    @classmethod
    def to_read(cls, path: Path) -> Self | None:
        """Open it to look up; None where there is none that this version understands."""
        kept = cls.__new__(cls)
        kept._path = path
        kept._writes = False
        with kept.reporting(), storing(path):
            if not path.exists():
                return None
            kept.sql = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY, isolation_level=None
            )
            with kept._closed_on_error():
                if kept._version() == VERSION:
                    return kept
            kept.close()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.sql.close()

    def forget(self) -> None:
        """Begin with nothing kept."""
        with self.reporting(), storing(self._path):
            self.close()
            self._remove()
            self._open()
            self.sql.executescript(_TABLES)

    def _version(self) -> int:
        return int(self.sql.execute("PRAGMA user_version").fetchone()[0])

    def _open(self) -> None:
        self.sql = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None)
        with self._closed_on_error():
            self.sql.execute("PRAGMA journal_mode = WAL")
            self.sql.execute("PRAGMA synchronous = NORMAL")
            self.sql.execute(f"PRAGMA journal_size_limit = {_WAL_SIZE}")
            self.sql.execute(f"PRAGMA cache_size = -{_CACHE}")

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _remove(self) -> None:
        # The database last: without its log it is at worst damaged again, and found to be so.
        for suffix in ("-wal", "-shm", ""):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is done within is kept whole or not at all; within another one it is part of that.

        Raises:
            StoreUnavailable: the disk does not let it, or the file was damaged, and is removed.
        """
        with self.reporting():
            if self.sql.in_transaction:
                yield
                return
            self.sql.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.sql.execute("COMMIT")
            except BaseException:
                if self.sql.in_transaction:
                    self.sql.execute("ROLLBACK")
                raise

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Tell SQLite's errors as ours."""
        try:
            yield
        except (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.InterfaceError):
            raise  # a fault of the caller
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
            if code & 0xFF in _PASSING:
                raise StoreUnavailable(f"{self._path}: {error}") from error
            told = f"{self._path} is damaged ({error}); the next update makes it anew"
            if self._writes:
                with storing(self._path):
                    self._remove()
            raise StoreUnavailable(told) from error
