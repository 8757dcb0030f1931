"""The catalog's SQLite file: a cache of what mails, indexes and patch-groups say of the patches.

It may be deleted at any time; `catch_up` makes it anew. There is one for each Patchwork whose
patches are in a store.

A mail's number holds its date, so that rows, and what the full text search finds, lie in order of
time: newest first costs no sorting.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TypeVar

from patchsync.config import Config
from patchsync.errors import LockHeld, StoreUnavailable
from patchsync.store.files import may_write
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.lock import store_lock
from patchsync.store.sqlite_file import Schema, SqliteFile

# A number of a mail is its date in seconds, and behind it what tells those of one second apart.
DATE_SHIFT = 24
LAST_DATE = 2**38  # seconds; of what is no date of this millennium, too

# `project.mark` is how far its index was taken in (`News.mark`), `project.files` how index and list
# of gone patches looked then. `mail.source` tells the bytes that were read; `refs` are the
# message-ids that a numbered mail answers, the nearest first, `reference` the same by hash, to be
# looked up; `answers` is the nearest one of any mail, by hash. `series` NULL: a mail that is one by
# itself. `unlinked`: those whose series is to be found (anew). A series' number is that of its
# first mail. `member` has the groups of more than one mail or with a commit, by the hash of their
# line; `line` sums them up: the mails that are stored, the date of the first, the time of the first
# commit. `named` has the hashes of all lines. `upstream` has the times of commits, NULL where no
# repository that was asked says so. `tally` has counts for charts. `search` keeps no text, so what
# leaves it has to be said again.
_TABLES = """
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS project (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, listaddr TEXT NOT NULL, mark TEXT, files TEXT
);
CREATE TABLE IF NOT EXISTS mail (
    id INTEGER PRIMARY KEY, message_id TEXT NOT NULL, source BLOB NOT NULL,
    date REAL NOT NULL, author_name TEXT NOT NULL, author_address TEXT NOT NULL,
    subject TEXT NOT NULL, version INTEGER NOT NULL, part INTEGER NOT NULL, total INTEGER NOT NULL,
    change_id TEXT, refs TEXT, answers INTEGER, series INTEGER, files TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS mail_name ON mail (message_id);
CREATE INDEX IF NOT EXISTS mail_series ON mail (series) WHERE series IS NOT NULL;
CREATE INDEX IF NOT EXISTS mail_shape ON mail (author_address, version, total, date)
    WHERE refs IS NOT NULL;
CREATE INDEX IF NOT EXISTS mail_answers ON mail (answers) WHERE answers IS NOT NULL;
CREATE INDEX IF NOT EXISTS mail_change ON mail (change_id) WHERE change_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS patch (
    project INTEGER NOT NULL, id INTEGER NOT NULL, mail INTEGER NOT NULL, gone INTEGER NOT NULL,
    day TEXT NOT NULL, md5 BLOB NOT NULL, PRIMARY KEY (project, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS patch_mail ON patch (mail);
CREATE INDEX IF NOT EXISTS patch_listed ON patch (project, mail) WHERE NOT gone;
CREATE TABLE IF NOT EXISTS reference (
    target INTEGER NOT NULL, mail INTEGER NOT NULL, PRIMARY KEY (target, mail)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unlinked (mail INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, cover TEXT);
CREATE INDEX IF NOT EXISTS series_cover ON series (cover) WHERE cover IS NOT NULL;
CREATE TABLE IF NOT EXISTS member (
    name TEXT PRIMARY KEY, line INTEGER NOT NULL, is_commit INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS member_line ON member (line);
CREATE TABLE IF NOT EXISTS line (
    id INTEGER PRIMARY KEY, mails INTEGER NOT NULL, posted REAL, landed REAL
);
CREATE TABLE IF NOT EXISTS named (line INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS upstream (
    hash TEXT PRIMARY KEY, authored REAL, committed REAL, asked INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS upstream_asked ON upstream (hash) WHERE NOT asked;
CREATE TABLE IF NOT EXISTS tally (
    sort TEXT NOT NULL, project INTEGER NOT NULL, value INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (sort, project, value)
) WITHOUT ROWID
"""
DAY = 86400  # seconds
# What is counted for charts: of which table, when, of which project, as what. To count a million
# rows for each chart takes long. A row that takes another's place has to be an update of that.
_TALLIES = {
    "mail": ("mail", "1", "0", "0"),
    "day": ("patch", "NOT {row}.gone", "{row}.project", f"({{row}}.mail >> {DATE_SHIFT}) / {DAY}"),
    "revisions": ("line", "{row}.mails", "0", "{row}.mails"),
    "upstream": (
        "line",
        "{row}.landed - {row}.posted IS NOT NULL",
        "0",
        f"cast(max({{row}}.landed - {{row}}.posted, 0) / {DAY} AS INTEGER)",
    ),
}


def _triggers() -> str:
    """The statements that make the triggers by which `tally` is kept."""
    count = {
        "new": "INSERT INTO tally SELECT '{sort}', {project}, {value}, 1 WHERE {when}"
        " ON CONFLICT DO UPDATE SET number = number + 1",
        "old": "UPDATE tally SET number = number - 1 WHERE {when}"
        " AND (sort, project, value) = ('{sort}', {project}, {value})",
    }
    events = {"INSERT": ("new",), "DELETE": ("old",), "UPDATE": ("old", "new")}
    statements = []
    for sort, (table, *columns) in _TALLIES.items():
        for event, rows in events.items():
            if sort == "mail" and event == "UPDATE":
                continue  # It counts as before.
            steps = ""
            for row in rows:
                when, project, value = (column.format(row=row) for column in columns)
                step = count[row].format(sort=sort, when=when, project=project, value=value)
                steps += f" {step};"
            statements.append(
                f"CREATE TRIGGER IF NOT EXISTS tally_{sort}_{event} AFTER {event} ON {table}"
                f" BEGIN{steps} END"
            )
    return ";\n" + ";\n".join(statements)


_SEARCH = """;
CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5 (
    subject, author, file, project, content = '', detail = 'column',
    tokenize = "unicode61 remove_diacritics 2 tokenchars '_'"
)
"""
_VERSION = 3
_SLOTS = 500
T = TypeVar("T")


@cache
def has_full_text_search() -> bool:
    """Whether this SQLite has FTS5; else a search looks at each patch."""
    with closing(sqlite3.connect(":memory:")) as connection:
        query = "SELECT sqlite_compileoption_used('ENABLE_FTS5')"
        return bool(connection.execute(query).fetchone()[0])


def catalog_path(config: Config) -> Path:
    """Where the catalog of a configuration lies: beside the stores, one for each Patchwork."""
    return config.d_mbox / OWN_FOLDER / f"catalog.{config.instance}.sqlite"


def catalog_file(config: Config) -> SqliteFile:
    """The file, not yet open."""
    # Made without it, it would lack what a search looks at.
    if has_full_text_search():
        schema = Schema(version=2 * _VERSION, tables=_TABLES + _triggers() + _SEARCH)
    else:
        schema = Schema(version=2 * _VERSION + 1, tables=_TABLES + _triggers())
    return SqliteFile(catalog_path(config), schema)


def catalog_lock(path: Path) -> Path:
    """What whoever writes or removes the catalog at `path` locks."""
    return path.with_name(f"{path.name}.lock")


def remove_damaged(file: SqliteFile) -> None:
    """Remove a catalog that who only read found damaged: `catch_up` does not look at all of it.

    Where this user may write it, and nobody is at it.
    """
    if file.is_damaged and may_write(file.path.parent):
        with suppress(LockHeld, StoreUnavailable), store_lock(catalog_lock(file.path), 0):
            if file.is_damaged:
                file.delete()


def hashed(message_id: str) -> int:
    """What a message-id is looked up by: 63 bits."""
    digest = blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def first_number(date: float) -> int:
    """The smallest number that a mail of this date, or a later one, may have."""
    return int(min(max(date, 0.0), LAST_DATE)) << DATE_SHIFT


def number_of(message_id: str, date: float) -> int:
    """The number of a mail; another one of that second may have it already."""
    return first_number(date) | hashed(message_id) & (1 << DATE_SHIFT) - 1


def slots(values: Sequence[object]) -> str:
    """Places for so many values in a statement."""
    return f"({','.join('?' * len(values))})"


def pieces(values: Iterable[T]) -> Iterator[list[T]]:
    """The values, as many at a time as one statement takes."""
    rest = iter(values)
    while some := list(islice(rest, _SLOTS)):
        yield some


def bounded(number: int) -> int:
    """The number; one that SQLite does not take becomes one that no patch has."""
    return number if 0 < number < 2**63 else 0
