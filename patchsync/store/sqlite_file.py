"""SQLite files of ours: how they are opened, written and closed, and what can go wrong.

Several processes of one machine may use a file at once, and each may be killed at any moment.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from patchsync.errors import GiveUp, StoreDamaged, StoreNotWritable, StoreUnavailable
from patchsync.store.files import REMEDY, make_folder, may_write, storing, sync_folder

BUSY_SECONDS = 60.0  # to wait for another process' transaction: a first plan takes its time

_PRAGMAS: dict[str, str | int] = {
    "journal_mode": "WAL",
    "synchronous": "NORMAL",
    "journal_size_limit": 16 << 20,  # bytes to which the write-ahead log shrinks again
}
# A use across threads, a value that no column takes: faults of the caller
_CALLERS_FAULTS = (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.DataError)
# What SQLite says where the disk has no room for its log, too
_WITHOUT_ROOM = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_ROOM = 1 << 20  # bytes
_PASSING = frozenset(
    {
        sqlite3.SQLITE_ABORT,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_SCHEMA,
    }
)


class CacheRemoved(StoreUnavailable):
    """A cache was damaged and has been removed; opened again, it is empty."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What one kind of file holds, and how it is treated."""

    # Of the tables, and of what their content means; kept in `user_version`, from 1 on
    version: int
    # The statements that make the tables. Two processes may both come to make them: IF NOT EXISTS
    # where they do not hold a lock.
    tables: str
    # What somebody is to do with a damaged file, or one of another version. None: it is a cache,
    # which is removed and made anew.
    remedy: str | None = None
    # Beside those that all files have, or instead of them
    pragmas: Mapping[str, str | int] = field(default_factory=dict)


class SqliteFile:
    """One SQLite file; a context that opens and closes it. It serves one thread of one process.

    Whatever meets a file that cannot be used raises StoreUnavailable where that passes by itself
    (another process writes, the disk is full); where it is damaged, CacheRemoved for a cache and
    StoreDamaged, with the remedy, for another.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        """Nothing is opened yet."""
        self._path = path
        self._schema = schema
        self._connection: sqlite3.Connection | None = None
        self._opened: os.stat_result | None = None  # None where it is in memory
        self._read_only = False
        # SQLite was told that nobody writes it.
        self._immutable = False
        # It is a cache, and what is open, to read, was found to be damaged.
        self._damaged = False

    def __enter__(self) -> Self:
        if self._connection is None:
            self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self._path

    @property
    def is_open(self) -> bool:
        """Whether it is open, and still the file of this name: a deleted one is nobody's.

        Nor is one that nobody was to write, and somebody did.
        """
        if self._connection is None or self._opened is None:
            return self._connection is not None
        with storing(self._path):
            try:
                now = self._path.stat()
            except FileNotFoundError:
                return False
            if self._immutable and (now.st_mtime_ns != self._opened.st_mtime_ns or self._has_log()):
                return False
            return os.path.samestat(now, self._opened)

    @property
    def read_only(self) -> bool:
        """Whether what is open can only be read."""
        return self._connection is not None and self._read_only

    @property
    def is_damaged(self) -> bool:
        """Whether who only read found what is open, and still the file of this name, damaged."""
        return self._damaged and self.is_open

    @property
    def in_memory(self) -> bool:
        """Whether what is open is no file at all."""
        return self._connection is not None and self._opened is None

    def open(self) -> None:
        """Open the file, and make it where there is none; what was open is closed.

        Where this user may only read, a file that is there is opened to read. Raises GiveUp, with
        the remedy, where it is of another version and no cache.
        """
        if self._path.exists() and not may_write(self._path.parent) and self.open_to_read():
            return
        self.close()
        self._read_only = False
        with self._closed_on_error(), self.reporting(), storing(self._path):
            make_folder(self._path.parent)
            while not self._open_to_write():
                self.delete()

    def open_in_memory(self) -> None:
        """Have an empty one that leaves nothing behind; what was open is closed."""
        self.close()
        self._read_only = False
        self._connection, self._opened = sqlite3.connect(":memory:", isolation_level=None), None
        self._make_tables()

    def open_to_read(self) -> bool:
        """Open the file if it is there and of this version; returns whether it is.

        Nothing is made, and nothing removed.
        """
        self.close()
        self._read_only = True
        with self._closed_on_error(), self.reporting(), storing(self._path):
            if not self._path.exists():
                return False
            with self._name_kept():
                version = self._connect()
            if version == self._schema.version:
                return True
        self.close()
        return False

    def close(self) -> None:
        """Close it; it can be opened again."""
        if self._connection is not None:
            with self._name_kept():
                self._connection.close()
        self._connection = None

    def delete(self) -> None:
        """Close it, and delete it with its log. Raises StoreUnavailable."""
        self.close()
        with storing(self._path), self._name_kept(fcntl.LOCK_EX):
            # The file itself last: without its log it is at worst damaged, and found to be so.
            self._delete_logs()
            self._path.unlink(missing_ok=True)

    def replace_by(self, fresh: Path) -> None:
        """Close it, and have the whole file `fresh`, which nobody has open, take its place.

        Who has the former one open keeps that until `is_open` is asked. Raises StoreUnavailable.
        """
        self.close()
        with storing(self._path):
            fd = os.open(fresh, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            with self._name_kept(fcntl.LOCK_EX):
                self._delete_logs()
                fresh.replace(self._path)
            sync_folder(self._path.parent)

    @property
    def sql(self) -> sqlite3.Connection:
        """The connection, to be used within `reporting` or `transaction`."""
        if self._connection is None:
            raise StoreUnavailable(f"{self._path} is not open")
        return self._connection

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows that a query finds."""
        with self.reporting():
            return self.sql.execute(query, values).fetchall()

    def value(self, query: str, *values: object) -> Any:
        """The first column of the first row that a query finds; None where it finds none."""
        with self.reporting():
            row = self.sql.execute(query, values).fetchone()
            return None if row is None else row[0]

    @contextmanager
    def transaction(
        self, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
    ) -> Iterator[sqlite3.Connection]:
        """The connection; what is done with it is kept whole, or not at all.

        Nobody else writes meanwhile; with DEFERRED only from the first statement on that writes
        what others see. Within another transaction this is a part of that.
        """
        with self.reporting():
            if self.sql.in_transaction:
                yield self.sql
                return
            self.sql.execute(f"BEGIN {kind}")
            try:
                yield self.sql
                self.sql.execute("COMMIT")
            except BaseException:
                # A damaged cache was closed, and that rolled it back.
                if self._connection is not None and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Raise what SQLite finds wrong as one of our errors: see the class."""
        try:
            yield
        except _CALLERS_FAULTS:
            raise
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if code == sqlite3.SQLITE_FULL or (code in _WITHOUT_ROOM and self._has_no_room()):
                raise StoreNotWritable(f"{self._path}: {REMEDY[errno.ENOSPC]}") from error
            if code in _PASSING:
                raise StoreUnavailable(f"{self._path}: {error}") from error
            if self._schema.remedy is not None:
                raise StoreDamaged(
                    f"{self._path} is damaged ({error}); {self._schema.remedy}"
                ) from error
            if self._read_only:
                self._damaged = True
                raise StoreUnavailable(
                    f"{self._path} is damaged ({error}); the next update makes it anew"
                ) from error
            if self._connection is None or self.is_open:
                self.delete()
            else:  # it has been made anew already
                self.close()
            raise CacheRemoved(
                f"{self._path} was damaged ({error}) and has been removed; the next update makes"
                " it anew"
            ) from error

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _name_kept(self, how: int = fcntl.LOCK_SH) -> Iterator[None]:
        """Within it no other file takes this name; with LOCK_EX nobody opens or closes it either.

        SQLite finds a file's log by its name: who still opened the former file would take the log
        of the new one for his, or delete it when he closes that. It is held for moments, and ends
        with the process.
        """
        try:
            fd = os.open(self._path.parent, os.O_RDONLY)
        except OSError:  # the folder is deleted, or it may not be read
            yield
            return
        try:
            fcntl.flock(fd, how)
            yield
        finally:
            os.close(fd)

    def _open_to_write(self) -> bool:
        """Open the file, or make it; tells whether it is of this version."""
        with self._name_kept():
            version = self._connect()
            if version not in (0, self._schema.version):
                if self._schema.remedy is None:
                    return False
                raise GiveUp(
                    f"{self._path} is of version {version}, not {self._schema.version}; "
                    f"{self._schema.remedy}"
                )
            self._spill_beside()
            for name, value in (_PRAGMAS | dict(self._schema.pragmas)).items():
                self.sql.execute(f"PRAGMA {name} = {value}")
        if version == 0:
            self._make_tables()
        return True

    def _delete_logs(self) -> None:
        for suffix in ("-wal", "-shm", "-journal"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _connect(self) -> int:
        """Connect to the file and return its version, 0 where it is new."""
        self._damaged = False
        if self._read_only:
            target = f"{self._path.absolute().as_uri()}?mode=ro"
            self._immutable = not may_write(self._path.parent) and not self._has_log()
            if self._immutable:
                # SQLite would make a log to read it. Nobody has it open, or there would be one.
                target += "&immutable=1"
        else:
            self._immutable = False
            if not self._path.exists():  # else nothing changes, and who looks at its time sees so
                self._path.touch()  # SQLite itself would ignore a umask that lets a group write
            target = str(self._path)
        opened = self._path.stat()
        self._connection = sqlite3.connect(
            target, uri=self._read_only, timeout=BUSY_SECONDS, isolation_level=None
        )
        self._opened = opened
        return int(self.sql.execute("PRAGMA user_version").fetchone()[0])

    def _has_log(self) -> bool:
        return self._path.with_name(f"{self._path.name}-wal").exists()

    def _has_no_room(self) -> bool:
        with suppress(OSError):
            return shutil.disk_usage(self._path.parent).free < _ROOM
        return False

    def _spill_beside(self) -> None:
        """Have what a sort of many rows spills lie beside the file: /tmp may be small, in memory.

        That is of the process, not of the connection: SQLite has no other word for it once loaded.
        """
        folder = self._path.parent.absolute()
        if os.access(folder, os.W_OK):  # else SQLite's word for it would be taken for damage
            with suppress(UnicodeEncodeError):  # a name that is no text
                quoted = str(folder).replace("'", "''")
                self.sql.execute(f"PRAGMA temp_store_directory = '{quoted}'")

    def _make_tables(self) -> None:
        self.sql.executescript(
            f"BEGIN IMMEDIATE; {self._schema.tables};"
            f"PRAGMA user_version = {self._schema.version}; COMMIT;"
        )
