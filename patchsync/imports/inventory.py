"""The inventory of an import: each mail that was found in one mbox, and what is in doubt.

It lies in a SQLite file, so that memory stays flat whatever the archive's size, and stays until the
import is through: started again, the archive need not be searched again. What is in doubt is judged
anew each time.

A body that imitates the beginning of a mail is found as one. So a beginning that something speaks
against is in doubt, and with it the mail before it, which it may have cut short.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

from patchsync.imports.scan import ScannedMail
from patchsync.store.sqlite_file import CacheRemoved, Schema, SqliteFile

_ROWS = 1000  # taken over at a time
_SLOTS = 500  # ids looked up by one statement

_SCHEMA = Schema(
    version=2,
    tables="""
CREATE TABLE IF NOT EXISTS mail (
    number INTEGER PRIMARY KEY, start INTEGER NOT NULL, length INTEGER NOT NULL,
    patch_id INTEGER NOT NULL, seconds INTEGER NOT NULL, message_id TEXT, date TEXT,
    fault TEXT
);
CREATE TABLE IF NOT EXISTS doubt (number INTEGER PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS complete (mails INTEGER NOT NULL);
""",
    # It is written once, by one process. What a power loss takes is found again in the archive.
    pragmas={"journal_mode": "DELETE", "synchronous": "OFF"},
)

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
    """The mails of one mbox, in the file `path`; a context.

    All methods may raise StoreUnavailable: damaged, it is removed, and made anew by the next try.
    """

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, _SCHEMA)

    def __enter__(self) -> Self:
        try:
            self._file.open()
        except CacheRemoved:
            self._file.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def remove(self) -> None:
        """Close and remove the file, for it is not needed any more."""
        self._file.delete()

    @property
    def complete(self) -> bool:
        """Whether it holds all mails of its mbox."""
        return self._file.value("SELECT 1 FROM complete") is not None

    def fill(self, scanned: Iterable[ScannedMail]) -> Iterator[int]:
        """Take over the mails of the mbox, all or none; yields now and then how many it has."""
        mails, number = iter(scanned), 0
        with self._file.transaction() as sql:
            for table in ("mail", "doubt", "complete"):
                sql.execute(f"DELETE FROM {table}")  # noqa: S608
            while some := list(islice(mails, _ROWS)):
                rows = ((number + n, *mail) for n, mail in enumerate(some))
                sql.executemany("INSERT INTO mail VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
                number += len(some)
                yield number
            sql.execute("CREATE INDEX IF NOT EXISTS mail_patch_id ON mail (patch_id)")
            sql.execute("INSERT INTO complete VALUES (?)", (number,))

    def __len__(self) -> int:
        count: int = self._file.value("SELECT count(*) FROM mail")
        return count

    def ids(self) -> array[int]:
        """The patchwork ids that are claimed, ascending, each once."""
        return self._ids("SELECT DISTINCT patch_id FROM mail ORDER BY patch_id")

    def certain_ids(self) -> array[int]:
        """As `ids`, without the mails that are in doubt."""
        return self._ids(
            "SELECT DISTINCT patch_id FROM mail WHERE number NOT IN (SELECT number FROM doubt)"
            " ORDER BY patch_id"
        )

    def _ids(self, query: str) -> array[int]:
        with self._file.reporting():
            return array("q", (row[0] for row in self._file.sql.execute(query)))

    def claims(self, patch_ids: Iterable[int]) -> dict[int, str | None]:
        """Those of `patch_ids` that are claimed, with a message-id that is claimed for it."""
        claimed: dict[int, str | None] = {}
        wanted = iter(patch_ids)
        while some := list(islice(wanted, _SLOTS)):
            marks = ",".join("?" * len(some))
            query = f"SELECT patch_id, message_id FROM mail WHERE patch_id IN ({marks})"  # noqa: S608
            claimed.update(self._file.rows(query, *some))
        return claimed

    def mails(self) -> Iterator[InventoryMail]:
        """All of them, in the order of the mbox."""
        query = (
            "SELECT number, start, length, patch_id, message_id, date, fault, reason"
            " FROM mail LEFT JOIN doubt USING (number) ORDER BY number"
        )
        with self._file.reporting():
            yield from map(InventoryMail._make, self._file.sql.execute(query))

    # What speaks against a beginning

    def forget_doubts(self) -> None:
        """Begin to judge anew."""
        with self._file.transaction() as sql:
            sql.execute("DELETE FROM doubt")

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
        with self._file.transaction() as sql:
            sql.execute("CREATE TEMP TABLE IF NOT EXISTS doubtful (patch_id INTEGER)")
            sql.execute("DELETE FROM doubtful")
            rows = ((patch_id,) for patch_id in patch_ids)
            sql.executemany("INSERT INTO doubtful VALUES (?)", rows)
            self._doubt("SELECT number FROM mail WHERE patch_id IN doubtful", reason)

    def doubt_newest(self, count: int, reason: str) -> None:
        """Doubt the `count` mails with the highest patchwork ids."""
        self._doubt(
            f"SELECT number FROM mail ORDER BY patch_id DESC LIMIT {int(count)}",  # noqa: S608
            reason,
        )

    def doubt_end(self, reason: str) -> None:
        """Doubt the last mail: what follows it may be missing."""
        query = "INSERT OR IGNORE INTO doubt SELECT max(number), ? FROM mail HAVING count(*)"
        with self._file.transaction() as sql:
            sql.execute(query, (reason,))

    def _doubt(self, numbers: str, reason: str) -> None:
        """Doubt the mails that the query `numbers` selects, and those before them."""
        before = f"a mail may begin in it that is none: {reason}"
        with self._file.transaction() as sql:
            for back, why in ((0, reason), (1, before)):
                query = f"SELECT number - ?, ? FROM ({numbers}) WHERE number >= ?"  # noqa: S608
                sql.execute(f"INSERT OR IGNORE INTO doubt {query}", (back, why, back))
