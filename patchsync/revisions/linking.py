"""Finding the series of the mails that came or changed, in the catalog's file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from patchsync.revisions.catalog_file import hashed, pieces, slots
from patchsync.revisions.series import WINDOW_SECONDS, NumberedMail, find_series
from patchsync.store.sqlite_file import SqliteFile

# Mails that are looked at together: a thread with its versions, and what was posted at that time.
# The largest series that was ever posted had some 1300; who posts more like it than that
# has no series of it, and cannot have each of them cost more.
MOST_TOGETHER = 2000
_AT_ONCE = 500
_COLUMNS = "id, message_id, author_address, date, version, part, total, refs, change_id"


def references_of(message_ids: Iterable[str], number: int) -> list[tuple[int, int]]:
    """Rows of `reference` for a mail of this number."""
    return [(hashed(name), number) for name in message_ids]


def unlink(file: SqliteFile, message_ids: Iterable[str]) -> None:
    """Note that the series of these mails, and of those that answer them, are to be found anew.

    To be called, in a transaction, when they are in the file, and before they leave it.
    """
    names = list(message_ids)
    with file.transaction() as sql:
        for some in pieces(names):
            sql.execute(
                "INSERT OR IGNORE INTO unlinked SELECT id FROM mail"  # noqa: S608
                f" WHERE refs IS NOT NULL AND message_id IN {slots(some)}",
                some,
            )
            sql.execute(
                "INSERT OR IGNORE INTO unlinked SELECT mail FROM reference"  # noqa: S608
                f" WHERE target IN {slots(some)}",
                [hashed(name) for name in some],
            )


def unlink_around(file: SqliteFile, number: int, message_ids: Iterable[str]) -> None:
    """Note the same of what is one series with a mail that is about to leave the file.

    `message_ids`: what it answers.
    """
    with file.transaction() as sql:
        sql.execute(
            "INSERT OR IGNORE INTO unlinked SELECT id FROM mail WHERE series ="
            " (SELECT series FROM mail WHERE id = ?)",
            (number,),
        )
        sql.execute(
            "DELETE FROM series WHERE id = (SELECT series FROM mail WHERE id = ?)", (number,)
        )
        for target, _ in references_of(message_ids, number):
            sql.execute("DELETE FROM reference WHERE target = ? AND mail = ?", (target, number))
            # What answers the same may have it as its cover letter now.
            sql.execute(
                "INSERT OR IGNORE INTO unlinked SELECT mail FROM reference WHERE target = ?",
                (target,),
            )
        sql.execute("DELETE FROM unlinked WHERE mail = ?", (number,))


def link(file: SqliteFile, at_most: int) -> int:
    """Find the series of some `at_most` of those that were unlinked; returns of how many."""
    with file.transaction() as sql:
        done = 0
        while done < at_most:
            row = sql.execute("SELECT mail FROM unlinked LIMIT 1").fetchone()
            if row is None:
                break
            mails = _together(file, row[0])
            _keep(file, mails)
            numbers = [(mail.number,) for mail in mails] or [row]
            sql.executemany("DELETE FROM unlinked WHERE mail = ?", numbers)
            done += len(numbers)
        return done


def _keep(file: SqliteFile, mails: list[NumberedMail]) -> None:
    names = {name for mail in mails for name in mail.references}
    stored: set[str] = set()
    for some in pieces(sorted(names)):
        query = f"SELECT message_id FROM mail WHERE message_id IN {slots(some)}"  # noqa: S608
        stored.update(name for (name,) in file.rows(query, *some))
    with file.transaction() as sql:
        numbers = [(mail.number,) for mail in mails]
        sql.executemany(
            "DELETE FROM series WHERE id = (SELECT series FROM mail WHERE id = ?)", numbers
        )
        for series in find_series(mails, stored):
            first = series.numbers[0]
            sql.execute("INSERT OR REPLACE INTO series VALUES (?, ?)", (first, series.cover))
            sql.executemany(
                "UPDATE mail SET series = ? WHERE id = ?",
                ((first, number) for number in series.numbers),
            )


def _together(file: SqliteFile, number: int) -> list[NumberedMail]:
    """The numbered mails that may be of one series with a mail, and with any of these.

    What too many answer counts for none of them. Where all together are too many, it is that mail
    alone.
    """
    found: dict[int, NumberedMail] = {}
    waiting = [number]
    crowded: dict[str, bool] = {}
    while waiting:
        some, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
        query = f"SELECT {_COLUMNS} FROM mail WHERE refs IS NOT NULL AND id IN {slots(some)}"  # noqa: S608
        near: set[int] = set()
        for mail in map(_numbered, file.rows(query, *some)):
            for name in (mail.message_id, *mail.references):
                if name not in crowded:
                    beside = _few(file, "mail FROM reference WHERE target = ?", hashed(name))
                    crowded[name] = beside is None
                    near |= beside or set()
            kept = tuple(name for name in mail.references if not crowded[name])
            found[mail.number] = mail._replace(references=kept)
            near |= _near(file, found[mail.number])
        waiting += sorted(near - found.keys() - set(waiting))
        if len(found) + len(waiting) > MOST_TOGETHER:
            return [found[number]._replace(references=())]
    return list(found.values())


def _near(file: SqliteFile, mail: NumberedMail) -> set[int]:
    """The numbered mails that this one answers, that have its change-id, or its shape and time."""
    query = f"id FROM mail WHERE message_id IN {slots(mail.references)} AND refs IS NOT NULL"
    near = _few(file, query, *mail.references) or set()
    if mail.change_id:
        near |= (
            _few(file, "id FROM mail WHERE change_id = ? AND refs IS NOT NULL", mail.change_id)
            or set()
        )
    query = """
        id FROM mail WHERE author_address = ? AND version = ? AND total = ? AND date BETWEEN ? AND ?
        AND refs IS NOT NULL
    """
    shape = mail.author, mail.version, mail.total
    times = mail.date - WINDOW_SECONDS, mail.date + WINDOW_SECONDS
    return near | (_few(file, query, *shape, *times) or set())


def _few(file: SqliteFile, query: str, *values: object) -> set[int] | None:
    """The numbers that a query finds; None where they are too many to be one series."""
    rows = file.rows(f"SELECT {query} LIMIT {MOST_TOGETHER + 1}", *values)
    return {number for (number,) in rows} if len(rows) <= MOST_TOGETHER else None


def _numbered(row: tuple[Any, ...]) -> NumberedMail:
    number, message_id, author, date, version, part, total, refs, change_id = row
    return NumberedMail(
        number, message_id, author, date, version, part, total, tuple(refs.split()), change_id
    )
