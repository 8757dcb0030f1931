"""The SQLite file that the ledger lies in: how it is opened and written, and what can go wrong.

Several processes of one machine use it at once, and each may be killed at any moment. What is
committed survives a power loss.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from patchsync.errors import GiveUp, StoreDamaged, StoreUnavailable
from patchsync.store.files import make_folder, storing

SLOTS = 500  # ids looked up by one statement
_BUSY = 60.0  # seconds to wait for another process' transaction: a first plan takes its time
_WAL_SIZE = 16 << 20  # bytes to which the write-ahead log shrinks again after a plan

# ERROR: a table or column is not there
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
# A use across threads or after close, a value that no column takes: faults of the caller
_OUR_FAULTS = (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.DataError)


class LedgerFile:
    """The connection to the SQLite file `path`, which is opened, and made, when it is needed."""

    def __init__(self, path: Path, tables: str, version: int) -> None:
        self._path = path
        self._tables = tables
        self._version = version
        self._connection: sqlite3.Connection | None = None
        self._opened: os.stat_result | None = None

    def close(self) -> None:
        """Close the file; a later use opens it again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @contextmanager
    def using(self) -> Iterator[sqlite3.Connection]:
        """The connection, with its errors reported.

        Raises StoreUnavailable for what passes; GiveUp, naming the file, when it is damaged or of
        another version.
        """
        try:
            with storing(self._path):
                sql = self._current()
            yield sql
        except _OUR_FAULTS:
            raise
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
            if code & 0xFF not in _DAMAGE:
                raise StoreUnavailable(f"{self._path}: {error}") from error
            raise StoreDamaged(f"{self._path} is damaged ({error}); {self._remedy}") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection; what is done with it is kept whole and durably, or not at all.

        Nobody else writes meanwhile. Within another transaction this is a part of it. Raises as
        `using` does.
        """
        with self.using() as sql:
            if sql.in_transaction:
                yield sql
                return
            sql.execute("BEGIN IMMEDIATE")
            try:
                yield sql
                sql.execute("COMMIT")
            except BaseException:
                if sql.in_transaction:
                    sql.execute("ROLLBACK")
                raise

    def _current(self) -> sqlite3.Connection:
        if self._connection is None:
            return self._open()
        if not self._connection.in_transaction and not self._is_there():
            self.close()
            return self._open()
        return self._connection

    def _is_there(self) -> bool:
        """Tell whether the file is still the one that was opened: a deleted one is nobody's."""
        try:
            return self._opened is not None and os.path.samestat(self._path.stat(), self._opened)
        except FileNotFoundError:
            return False

    def _open(self) -> sqlite3.Connection:
        make_folder(self._path.parent)
        self._path.touch()  # SQLite itself would ignore a umask that lets a group write
        opened = self._path.stat()
        sql = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None)
        try:
            version = sql.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, self._version):
                raise GiveUp(
                    f"{self._path} is of version {version}, not {self._version}; {self._remedy}"
                )
            sql.execute("PRAGMA journal_mode = WAL")
            sql.execute("PRAGMA synchronous = FULL")  # a claim must not be lost once it was sent
            sql.execute(f"PRAGMA journal_size_limit = {_WAL_SIZE}")
            if version == 0:
                sql.executescript(self._tables)
        except BaseException:
            sql.close()
            raise
        self._connection, self._opened = sql, opened
        return sql

    @property
    def _remedy(self) -> str:
        return (
            f"stop patchsync and delete it, with {self._path.name}-wal and {self._path.name}-shm: "
            "it is rebuilt from Patchwork"
        )


def slots(patch_ids: Iterable[int]) -> Iterator[tuple[str, list[int]]]:
    """The ids in pieces that one statement takes, each with its placeholders."""
    rest = iter(patch_ids)
    while some := list(islice(rest, SLOTS)):
        yield ",".join("?" * len(some)), some
