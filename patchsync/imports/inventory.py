"""The inventory of an import: each mail that was found in one mbox, and what is in doubt.

It lies in a SQLite file, so that memory stays flat whatever the archive's size, and stays until the
import is through: started again, the archive need not be searched again. What is in doubt is judged
anew each time.

A body that imitates the beginning of a mail is found as one. So a beginning that something speaks
against is in doubt, and with it the mail before it, which it may have cut short.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

from patchsync.errors import StoreUnavailable
from patchsync.imports.scan import ScannedMail
from patchsync.store.files import storing

_COMPLETE = 1  # as user_version: the tables below, with all mails of the mbox
_ROWS = 1000  # taken over at a time
_SLOTS = 500  # ids looked up by one statement

_TABLES = """
BEGIN IMMEDIATE;
DROP TABLE IF EXISTS mail;
DROP TABLE IF EXISTS doubt;
CREATE TABLE mail (
    number INTEGER PRIMARY KEY, start INTEGER NOT NULL, length INTEGER NOT NULL,
    patch_id INTEGER NOT NULL, seconds INTEGER NOT NULL, message_id TEXT, date TEXT,
    fault TEXT
);
CREATE TABLE doubt (number INTEGER PRIMARY KEY, reason TEXT NOT NULL);
"""

_CLAIMED_TWICE = """
SELECT number FROM mail WHERE {field} IN (
    SELECT {field} FROM mail WHERE {field} IS NOT NULL GROUP BY {field} HAVING count(*) > 1
)
"""
_OUT_OF_ORDER = """
SELECT {side}.number FROM mail later JOIN mail earlier ON earlier.number = later.number - 1
WHERE later.seconds < earlier.seconds
"""


class InventoryMail(NamedTuple):
    """A mail in the mbox: its bytes are those from `start`, `length` of them."""

    number: int
    start: int
    length: int
    patch_id: int
    # Both None only where there is a fault; the date as the store has it.
    message_id: str | None
    date: str | None
    # Why it cannot be stored as a mail
    fault: str | None
    # Why it is not certain that this is the mail, and all of it
    doubt: str | None


class Inventory:
    """The mails of one mbox, in the SQLite file `file`. All methods may raise StoreUnavailable.

    Threads may use it one after the other.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        with storing(file), self._reporting():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._sql = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            # What a power loss takes is found again in the archive.
            try:
                self._sql.execute("PRAGMA synchronous = OFF")
            except BaseException:
                self._sql.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sql.close()

    def remove(self) -> None:
        """Remove the file, for it is not needed any more."""
        with storing(self._file):
            for suffix in ("", "-journal"):
                self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)

    @property
    def complete(self) -> bool:
        """Whether it holds all mails of its mbox."""
        with self._reporting():
            version: int = self._sql.execute("PRAGMA user_version").fetchone()[0]
            return version == _COMPLETE

    def fill(self, scanned: Iterable[ScannedMail]) -> Iterator[int]:
        """Take over the mails of the mbox, all or none; yields now and then how many it has."""
        with self._reporting():
            self._sql.executescript(_TABLES)
            mails, number = iter(scanned), 0
            while some := list(islice(mails, _ROWS)):
                rows = ((number + n, *mail) for n, mail in enumerate(some))
                self._sql.executemany("INSERT INTO mail VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
                number += len(some)
                yield number
            self._sql.execute("CREATE INDEX mail_patch_id ON mail (patch_id)")
            self._sql.execute(f"PRAGMA user_version = {_COMPLETE}")
            self._sql.execute("COMMIT")

    def __len__(self) -> int:
        with self._reporting():
            count: int = self._sql.execute("SELECT count(*) FROM mail").fetchone()[0]
            return count

    def ids(self) -> array[int]:
        """The patchwork ids that are claimed, ascending, each once."""
        with self._reporting():
            rows = self._sql.execute("SELECT DISTINCT patch_id FROM mail ORDER BY patch_id")
            return array("q", (row[0] for row in rows))

    def certain_ids(self) -> array[int]:
        """As `ids`, without the mails that are in doubt."""
        query = (
            "SELECT DISTINCT patch_id FROM mail WHERE number NOT IN (SELECT number FROM doubt)"
            " ORDER BY patch_id"
        )
        with self._reporting():
            return array("q", (row[0] for row in self._sql.execute(query)))

    def claims(self, patch_ids: Iterable[int]) -> dict[int, str | None]:
        """Those of `patch_ids` that are claimed, with a message-id that is claimed for it."""
        claimed: dict[int, str | None] = {}
        wanted = iter(patch_ids)
        with self._reporting():
            while some := list(islice(wanted, _SLOTS)):
                marks = ",".join("?" * len(some))
                query = f"SELECT patch_id, message_id FROM mail WHERE patch_id IN ({marks})"  # noqa: S608
                claimed.update(self._sql.execute(query, some))
        return claimed

    def mails(self) -> Iterator[InventoryMail]:
        """All of them, in the order of the mbox."""
        query = (
            "SELECT number, start, length, patch_id, message_id, date, fault, reason"
            " FROM mail LEFT JOIN doubt USING (number) ORDER BY number"
        )
        with self._reporting():
            yield from map(InventoryMail._make, self._sql.execute(query))

    # What speaks against a beginning

    def forget_doubts(self) -> None:
        """Begin to judge anew."""
        with self._reporting():
            self._sql.execute("DELETE FROM doubt")

    def doubt_contradictions(self) -> None:
        """Doubt what is claimed twice, and what breaks the order of date of a dumparchive."""
        twice = "another mail in the archive has the same {}"
        self._doubt(_CLAIMED_TWICE.format(field="patch_id"), twice.format("patchwork id"))
        self._doubt(_CLAIMED_TWICE.format(field="message_id"), twice.format("message-id"))
        reason = "it is not in the archive's order of date"
        self._doubt(_OUT_OF_ORDER.format(side="later"), reason)
        # Either of the two may be the one that is out of place.
        self._doubt(_OUT_OF_ORDER.format(side="earlier"), reason)

    def doubt_ids(self, patch_ids: Iterable[int], reason: str) -> None:
        """Doubt the mails with these patchwork ids."""
        with self._reporting():
            self._sql.execute("CREATE TEMP TABLE IF NOT EXISTS doubtful (patch_id INTEGER)")
            self._sql.execute("DELETE FROM doubtful")
            rows = ((patch_id,) for patch_id in patch_ids)
            self._sql.executemany("INSERT INTO doubtful VALUES (?)", rows)
        self._doubt("SELECT number FROM mail WHERE patch_id IN doubtful", reason)

    def doubt_newest(self, count: int, reason: str) -> None:
        """Doubt the `count` mails with the highest patchwork ids."""
        self._doubt(
            f"SELECT number FROM mail ORDER BY patch_id DESC LIMIT {int(count)}",  # noqa: S608
            reason,
        )

    def doubt_end(self, reason: str) -> None:
        """Doubt the last mail: what follows it may be missing."""
        with self._reporting():
            query = "INSERT OR IGNORE INTO doubt SELECT max(number), ? FROM mail HAVING count(*)"
            self._sql.execute(query, (reason,))

    def _doubt(self, numbers: str, reason: str) -> None:
        """Doubt the mails that the query `numbers` selects, and those before them."""
        before = f"a mail may begin in it that is none: {reason}"
        with self._reporting():
            for back, why in ((0, reason), (1, before)):
                query = f"SELECT number - ?, ? FROM ({numbers}) WHERE number >= ?"  # noqa: S608
                self._sql.execute(f"INSERT OR IGNORE INTO doubt {query}", (back, why, back))

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreUnavailable(
                f"{self._file}: {error}; if this stays, remove the file"
            ) from error
