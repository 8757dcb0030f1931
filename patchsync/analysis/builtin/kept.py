"""The patches that the builtin engine has read: mails by message-id, commits by hash."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from patchsync.analysis.builtin.kept_file import SCHEMA
from patchsync.analysis.patch import Patch
from patchsync.analysis.rating import FileShape, Shape, Sides, shape_of
from patchsync.store.sqlite_file import SqliteFile


class Kept(NamedTuple):
    """What is known of a patch without its texts."""

    number: int
    name: str
    is_commit: bool
    date: float  # the author date, in seconds since 1970
    is_revert: bool


class Source(NamedTuple):
    """What tells whether a mail or commit is to be read anew, and whether it is a patch."""

    source: str
    is_patch: bool


class Counts(NamedTuple):
    """How much is kept: mails that are patches, that are none, and pairs that nobody decided."""

    mails: int
    others: int
    undecided: int


class KeptPatches(SqliteFile):
    """What was read. Numbers ascend in the order in which patches came."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)

    def forget(self) -> None:
        """Begin with nothing kept."""
        self.delete()
        self.open()

    # Notes

    def note(self, key: str) -> str | None:
        """What was noted under this key."""
        with self.reporting():
            row = self.sql.execute("SELECT value FROM note WHERE key = ?", (key,)).fetchone()
            return None if row is None else str(row[0])

    def set_note(self, key: str, value: str | None) -> None:
        """Note it, or forget what was noted."""
        with self.transaction():
            self.sql.execute("DELETE FROM note WHERE key = ?", (key,))
            if value is not None:
                self.sql.execute("INSERT INTO note VALUES (?, ?)", (key, value))

    # Taking in

    def add(self, name: str, source: str, patch: Patch, *, is_commit: bool = False) -> int:
        """Keep a patch; returns its number. `source`: what tells whether it is to be read anew."""
        shape = shape_of(patch)
        with self.transaction():
            number = self._number(
                name, source, patch.author_date.timestamp(), patch.is_revert, is_commit
            )
            self.sql.execute(
                "INSERT INTO shape VALUES (?, ?, ?)",
                (number, _encoded(shape.message), _packed(shape)),
            )
            names = [(_encoded(name),) for name in sorted(patch.affected)]
            self.sql.executemany("INSERT OR IGNORE INTO file (name) VALUES (?)", names)
            self.sql.executemany(
                "INSERT INTO touch SELECT id, ?, ?, ? FROM file WHERE name = ?",
                [(number, is_commit, patch.lines, name) for (name,) in names],
            )
            self.sql.executemany(
                "INSERT OR IGNORE INTO picked VALUES (?, ?)",
                [(each, number) for each in patch.picked],
            )
        return number

    def add_empty_commit(self, name: str) -> None:
        """Keep a commit that nothing can be compared with."""
        with self.transaction():
            self._number(name, "", 0, False, True)

    def add_other(self, name: str, source: str, reason: str) -> None:
        """Keep that a mail is no patch."""
        with self.transaction():
            self.sql.execute("INSERT INTO other VALUES (?, ?, ?)", (name, source, reason))

    def _number(self, name: str, source: str, date: float, is_revert: bool, is_commit: bool) -> int:
        number = self.sql.execute(
            "INSERT INTO patch (name, is_commit, date, is_revert, source) VALUES (?, ?, ?, ?, ?)",
            (name, is_commit, date, is_revert, source),
        ).lastrowid
        assert number is not None
        self.sql.execute("INSERT INTO regroup VALUES (?)", (number,))
        return number

    def remove(self, names: Iterable[str]) -> None:
        """Forget patches, and have what they connected grouped anew."""
        with self.transaction():
            for name in names:
                self.sql.execute("DELETE FROM other WHERE name = ?", (name,))
                row = self.sql.execute(
                    "SELECT number, component, grp FROM patch WHERE name = ?", (name,)
                ).fetchone()
                if row is None:
                    continue
                number, component, grp = row
                # It may have been somebody's best candidate.
                self.sql.execute("INSERT OR IGNORE INTO regroup SELECT number FROM best")
                self.sql.execute("DELETE FROM best")
                # The others of its line, too: they may stay the group that they are without it.
                self.sql.execute(
                    "INSERT OR IGNORE INTO unwritten SELECT name FROM patch"
                    " WHERE grp = ? OR number = ?",
                    (grp, number),
                )
                self.sql.execute(
                    "INSERT OR IGNORE INTO regroup SELECT number FROM patch"
                    " WHERE component = ? AND number != ?",
                    (component, number),
                )
                for table in ("patch", "shape", "touch", "picked", "regroup"):
                    self.sql.execute(f"DELETE FROM {table} WHERE number = ?", (number,))  # noqa: S608
                for table in ("link", "undecided"):
                    self.sql.execute(
                        f"DELETE FROM {table} WHERE low = ? OR high = ?",  # noqa: S608
                        (number, number),
                    )

    # Looking up

    def source_of(self, name: str) -> Source | None:
        """Where it comes from; None where it is not known."""
        with self.reporting():
            row = self.sql.execute(
                "SELECT source, 1 FROM patch WHERE name = ?"
                " UNION ALL SELECT source, 0 FROM other WHERE name = ?",
                (name, name),
            ).fetchone()
            return None if row is None else Source(row[0], bool(row[1]))

    def mail_sources(self) -> dict[str, str]:
        """The source of each mail, patch or not."""
        with self.reporting():
            return dict(
                self.sql.execute(
                    "SELECT name, source FROM patch WHERE NOT is_commit"
                    " UNION ALL SELECT name, source FROM other"
                )
            )

    def with_source(self, source: str) -> set[str]:
        """The message-ids of mails that are no patch and have this source."""
        with self.reporting():
            rows = self.sql.execute("SELECT name FROM other WHERE source = ?", (source,))
            return {name for (name,) in rows}

    def others(self) -> list[tuple[str, str]]:
        """Message-id and reason of each mail that is no patch."""
        with self.reporting():
            return list(self.sql.execute("SELECT name, reason FROM other ORDER BY name"))

    def commit_names(self) -> set[str]:
        """The hashes of all commits."""
        with self.reporting():
            return {name for (name,) in self.sql.execute("SELECT name FROM patch WHERE is_commit")}

    def find(self, name: str) -> Kept | None:
        """The patch of this name."""
        with self.reporting():
            row = self.sql.execute(f"{_KEPT} WHERE name = ?", (name,)).fetchone()
            return None if row is None else _kept(row)

    def kept(self, numbers: Iterable[int]) -> list[Kept]:
        """The patches of these numbers."""
        with self.reporting():
            where = "WHERE number IN (SELECT value FROM json_each(?))"
            return list(map(_kept, self.sql.execute(f"{_KEPT} {where}", (_list(numbers),))))

    def after(self, number: int, most: int) -> list[Kept]:
        """The next patches behind a number, in order."""
        with self.reporting():
            rows = self.sql.execute(
                f"{_KEPT} WHERE number > ? ORDER BY number LIMIT ?", (number, most)
            )
            return list(map(_kept, rows))

    def count_after(self, number: int) -> int:
        """How many patches come behind a number."""
        with self.reporting():
            query = "SELECT count(*) FROM patch WHERE number > ?"
            return int(self.sql.execute(query, (number,)).fetchone()[0])

    def counts(self) -> Counts:
        """How much is kept."""
        with self.reporting():
            row = self.sql.execute(
                "SELECT (SELECT count(*) FROM patch WHERE NOT is_commit),"
                " (SELECT count(*) FROM other), (SELECT count(*) FROM undecided)"
            ).fetchone()
            return Counts(*row)

    def file_names(self) -> list[tuple[int, str]]:
        """Id and name of each file that a patch touches."""
        with self.reporting():
            return [
                (number, _decoded(name))
                for number, name in self.sql.execute("SELECT id, name FROM file ORDER BY id")
            ]

    def files_of(self, number: int) -> list[int]:
        """The ids of the files that a patch touches."""
        with self.reporting():
            rows = self.sql.execute("SELECT file FROM touch WHERE number = ?", (number,))
            return [file for (file,) in rows]

    def touching(self, files: Iterable[int], patch: Kept) -> dict[int, int]:
        """The patches that touch one of these files, each with the number of lines of its diff.

        All of them for a mail, for a commit mails and itself.
        """
        query = "SELECT t.number, t.lines FROM json_each(?) f JOIN touch t ON t.file = f.value"
        values: list[object] = [_list(files)]
        if patch.is_commit:
            query += " WHERE NOT t.is_commit OR t.number = ?"
            values.append(patch.number)
        with self.reporting():
            return dict(self.sql.execute(query, values))

    def pickers_of(self, commit: Kept) -> list[int]:
        """The mails that say they were picked from this commit."""
        with self.reporting():
            query = "SELECT number FROM picked WHERE hash = ?"
            return [number for (number,) in self.sql.execute(query, (commit.name,))]

    def commits_picked_by(self, mail: Kept) -> list[int]:
        """The commits that a mail says it was picked from."""
        with self.reporting():
            rows = self.sql.execute(
                "SELECT patch.number FROM picked JOIN patch ON name = hash"
                " WHERE picked.number = ? AND is_commit",
                (mail.number,),
            )
            return [commit for (commit,) in rows]

    def group_of(self, name: str) -> list[str]:
        """The names of all patches of its group; none where it is not known or not grouped yet."""
        with self.reporting():
            rows = self.sql.execute(
                "SELECT name FROM patch WHERE grp = (SELECT grp FROM patch WHERE name = ?)", (name,)
            )
            return [name for (name,) in rows]

    def way(self, left: str, right: str) -> list[str]:
        """The names of patches, from one to the other, of which each is alike with the next one."""
        start, end = self.find(left), self.find(right)
        if start is None or end is None:
            return []
        came_from = {start.number: start.number}
        waiting = deque([start.number])
        while waiting and end.number not in came_from:
            number = waiting.popleft()
            for other in self._linked(number):
                if other not in came_from:
                    came_from[other] = number
                    waiting.append(other)
        if end.number not in came_from:
            return []
        way = [end.number]
        while way[-1] != start.number:
            way.append(came_from[way[-1]])
        names = {patch.number: patch.name for patch in self.kept(way)}
        return [names[number] for number in reversed(way)]

    def _linked(self, number: int) -> list[int]:
        with self.reporting():
            rows = self.sql.execute(
                "SELECT high FROM link WHERE low = ? UNION SELECT low FROM link WHERE high = ?",
                (number, number),
            )
            return [other for (other,) in rows]

    # How alike the best candidates are, where false positives are

    def best(self, patch: Kept, *, upstream: bool) -> float | None:
        """Of all mails, or commits, that a mail was compared with; None where it is not noted."""
        return self.bests([patch.number], upstream=upstream).get(patch.number)

    def bests(self, numbers: Iterable[int], *, upstream: bool) -> dict[int, float]:
        """Those that are noted."""
        with self.reporting():
            query = (
                "SELECT number, alike FROM best WHERE upstream = ?"
                " AND number IN (SELECT value FROM json_each(?))"
            )
            return dict(self.sql.execute(query, (upstream, _list(numbers))))

    def set_best(self, number: int, alike: float, *, upstream: bool) -> None:
        """Note it."""
        with self.transaction():
            values = (number, upstream, alike)
            self.sql.execute("INSERT OR REPLACE INTO best VALUES (?, ?, ?)", values)

    # Texts

    def messages(self, numbers: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Number and normalised message of each."""
        with self.reporting():
            rows = self.sql.execute(
                "SELECT number, message FROM shape"
                " WHERE number IN (SELECT value FROM json_each(?))",
                (_list(numbers),),
            )
            for number, message in rows:
                with _readable(number):
                    text = _decoded(message)
                yield number, text

    def shapes(self, numbers: Iterable[int]) -> Iterator[tuple[int, Shape]]:
        """Number and shape of each."""
        with self.reporting():
            rows = self.sql.execute(
                "SELECT number, message, files FROM shape"
                " WHERE number IN (SELECT value FROM json_each(?))",
                (_list(numbers),),
            )
            for number, message, files in rows:
                with _readable(number):
                    shape = _unpacked(message, files)
                yield number, shape


_KEPT = "SELECT number, name, is_commit, date, is_revert FROM patch"


def _kept(row: tuple[int, str, int, float, int]) -> Kept:
    number, name, is_commit, date, is_revert = row
    return Kept(number, name, bool(is_commit), date, bool(is_revert))


@contextmanager
def _readable(number: int) -> Iterator[None]:
    """Tell a damaged text of a patch as SQLite tells what it finds itself."""
    try:
        yield
    except (ValueError, zlib.error) as error:
        raise sqlite3.DatabaseError(f"patch {number}: {error}") from error


def _list(numbers: Iterable[int]) -> str:
    return json.dumps(list(numbers))


def _encoded(text: str) -> bytes:
    """Mails can hold what is no character; it stays."""
    return text.encode("utf-8", "surrogatepass")


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogatepass")


def _packed(shape: Shape) -> bytes:
    files = [[key, *file] for key, file in shape.files.items()]
    return zlib.compress(json.dumps([shape.lines, files]).encode(), 1)


def _unpacked(message: bytes, packed: bytes) -> Shape:
    lines, files = json.loads(zlib.decompress(packed))
    return Shape(
        _decoded(message),
        lines,
        {
            tuple(key): FileShape(
                similarity, {heading: Sides(*sides) for heading, sides in hunks.items()}
            )
            for key, similarity, hunks in files
        },
    )
