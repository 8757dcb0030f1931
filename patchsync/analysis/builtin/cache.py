"""What the builtin engine keeps between its runs: the patches, which are alike, and the groups.

All of it follows from the store, the repository and the thresholds: the SQLite file may be deleted
at any time, and is made anew when it is damaged, or when this version reads or compares in another
way. Whoever writes it holds the analysis' lock.

Mails go by their message-id, commits by their hash: both are names here. Numbers ascend in the
order in which patches came, and are never used again.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from patchsync.analysis.builtin.cache_tables import SCHEMA
from patchsync.analysis.builtin.kept import KeptPatch, decoded, unpacked
from patchsync.analysis.groups import format_group
from patchsync.analysis.rating import Shape
from patchsync.analysis.upper_bound import SharedPart
from patchsync.config import Config
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.sqlite_file import SqliteFile

_PATCH = "SELECT number, name, is_commit, date, is_revert FROM patch"
_IN = "WHERE number IN (SELECT value FROM json_each(?))"

_Text = TypeVar("_Text")

# The source of a mail that could not be read: it is tried again each time.
UNREAD = ""
# So often a long update is to commit what it did: whatever ends it, the next one goes on from there
COMMIT_SECONDS = 2.0


class CachedPatch(NamedTuple):
    """What is known of a patch without its texts."""

    number: int
    name: str
    is_commit: bool
    date: float  # the author date, in seconds since 1970
    is_revert: bool


class Best(NamedTuple):
    """The best candidate of a mail, beside those that it is linked with."""

    alike: float = 0.0  # `Rating.order`
    candidate: int = 0  # its number; 0: none
    # It is the best of those up to this number; None: of all.
    reached: int | None = 0


class Counts(NamedTuple):
    """How much there is."""

    # Mails that are patches, and mails that are none
    mails: int
    not_patches: int
    # Pairs that are left to a person
    undecided: int


class PatchCache(SqliteFile):
    """The SQLite file of a configuration's analysis; a context."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)

    def clear(self) -> None:
        """Begin with nothing."""
        self.delete()
        self.open()

    # Notes: how far each step of an update is

    def note(self, key: str) -> str | None:
        """What was noted under this key."""
        value: str | None = self.value("SELECT value FROM note WHERE key = ?", key)
        return value

    def set_note(self, key: str, value: str | None) -> None:
        """Note a value, or with None forget what was noted."""
        with self.transaction() as sql:
            sql.execute("DELETE FROM note WHERE key = ?", (key,))
            if value is not None:
                sql.execute("INSERT INTO note VALUES (?, ?)", (key, value))

    # Adding and removing

    def add(self, name: str, source: str, patch: KeptPatch, *, is_commit: bool = False) -> int:
        """Add a patch and return its number.

        `source` is what changes when it has to be read anew; see `source_of`.
        """
        with self.transaction() as sql:
            number = self._add(
                name, source, patch.date, is_revert=patch.is_revert, is_commit=is_commit
            )
            sql.execute("INSERT INTO shape VALUES (?, ?, ?)", (number, patch.message, patch.files))
            sql.executemany(
                "INSERT OR IGNORE INTO file (name) VALUES (?)", [(file,) for file in patch.names]
            )
            sql.executemany(
                "INSERT INTO touch SELECT id, ?, ?, ? FROM file WHERE name = ?",
                [(number, is_commit, patch.lines, file) for file in patch.names],
            )
            sql.executemany(
                "INSERT OR IGNORE INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (part, number, is_commit, patch.lines, patch.message_length, *others)
                    for part, *others in patch.parts
                ],
            )
            sql.executemany(
                "INSERT OR IGNORE INTO picked VALUES (?, ?)",
                [(commit_hash, number) for commit_hash in patch.picked],
            )
        return number

    def add_empty_commit(self, name: str) -> None:
        """Add a commit that nothing can be compared with."""
        self._add(name, "", 0.0, is_revert=False, is_commit=True)

    def add_not_a_patch(self, name: str, source: str, reason: str) -> None:
        """Add a mail that is no patch, or that cannot be read now (`source` is UNREAD)."""
        with self.transaction() as sql:
            sql.execute("INSERT INTO other VALUES (?, ?, ?)", (name, source, reason))

    def _add(self, name: str, source: str, date: float, *, is_revert: bool, is_commit: bool) -> int:
        with self.transaction() as sql:
            number = sql.execute(
                "INSERT INTO patch (name, is_commit, date, is_revert, source)"
                " VALUES (?, ?, ?, ?, ?)",
                (name, is_commit, date, is_revert, source),
            ).lastrowid
            assert number is not None
            sql.execute("INSERT INTO regroup VALUES (?)", (number,))
        return number

    def remove(self, names: Iterable[str]) -> None:
        """Remove patches, and have what they connected grouped anew."""
        with self.transaction() as sql:
            for name in names:
                sql.execute("DELETE FROM other WHERE name = ?", (name,))
                row = sql.execute(
                    "SELECT number, component, grp FROM patch WHERE name = ?", (name,)
                ).fetchone()
                if row is None:
                    continue
                number, component, group = row
                sql.execute(
                    "INSERT OR IGNORE INTO regroup SELECT number FROM best WHERE candidate = ?",
                    (number,),
                )
                sql.execute("DELETE FROM best WHERE candidate = ? OR number = ?", (number, number))
                self.set_outdated(group)
                # The others of its line, too: they may stay the group that they are without it.
                sql.execute(
                    "INSERT OR IGNORE INTO unwritten SELECT name FROM patch"
                    " WHERE grp = ? OR number = ?",
                    (group, number),
                )
                sql.execute(
                    "INSERT OR IGNORE INTO regroup SELECT number FROM patch"
                    " WHERE component = ? AND number != ?",
                    (component, number),
                )
                for table in ("patch", "shape", "touch", "part", "picked", "regroup"):
                    sql.execute(f"DELETE FROM {table} WHERE number = ?", (number,))  # noqa: S608
                for table in ("link", "undecided"):
                    sql.execute(
                        f"DELETE FROM {table} WHERE low = ? OR high = ?",  # noqa: S608
                        (number, number),
                    )

    def set_outdated(self, group: int | None) -> None:
        """Note that a group's line has to go, as the group is now."""
        rows = self.rows("SELECT name, is_commit FROM patch WHERE grp = ?", group)
        if rows:
            names = ([name for name, each in rows if each == commit] for commit in (False, True))
            self.sql.execute("INSERT OR IGNORE INTO outdated VALUES (?)", (format_group(*names),))

    # Where patches come from

    def source_of(self, name: str) -> str | None:
        """What a mail or commit was read from, whether it is a patch or not; None: not read."""
        source: str | None = self.value(
            "SELECT source FROM patch WHERE name = ? UNION ALL"
            " SELECT source FROM other WHERE name = ?",
            name,
            name,
        )
        return source

    def mail_sources(self) -> dict[str, str]:
        """The source of each mail, patch or not, by message-id."""
        return self._by_first(
            "SELECT name, source FROM patch WHERE NOT is_commit"
            " UNION ALL SELECT name, source FROM other"
        )

    def unread(self) -> set[str]:
        """The message-ids of mails that could not be read."""
        # As the index has it
        return {name for (name,) in self.rows("SELECT name FROM other WHERE source = ''")}

    def commit_hashes(self) -> set[str]:
        """The hashes of all commits."""
        return {name for (name,) in self.rows("SELECT name FROM patch WHERE is_commit")}

    def counts(self) -> Counts:
        """How much there is."""
        number = dict(self.rows("SELECT what, number FROM tally"))
        return Counts(number["mails"], number["not patches"], number["undecided"])

    # Patches

    def find(self, name: str) -> CachedPatch | None:
        """The patch of this name."""
        rows = self.rows(f"{_PATCH} WHERE name = ?", name)
        return _cached(*rows[0]) if rows else None

    def patches(self, numbers: Iterable[int]) -> list[CachedPatch]:
        """The patches with these numbers."""
        return [_cached(*row) for row in self.rows(f"{_PATCH} {_IN}", _json(numbers))]

    def after(self, number: int, most: int) -> list[CachedPatch]:
        """The next patches behind a number, in order, at most so many."""
        query = f"{_PATCH} WHERE number > ? ORDER BY number LIMIT ?"
        return [_cached(*row) for row in self.rows(query, number, most)]

    def highest_number(self) -> int:
        """The number of the patch that came last; 0: there is none."""
        return int(self.value("SELECT max(number) FROM patch") or 0)

    def count_after(self, number: int) -> int:
        """How many patches come behind a number."""
        return int(self.value("SELECT count(*) FROM patch WHERE number > ?", number))

    def file_names(self) -> list[tuple[int, str]]:
        """Id and name of each file that a patch touches."""
        rows = self.rows("SELECT id, name FROM file ORDER BY id")
        return [(file, decoded(name)) for file, name in rows]

    def files_of(self, number: int) -> list[int]:
        """The ids of the files that a patch touches."""
        return [file for (file,) in self.rows("SELECT file FROM touch WHERE number = ?", number)]

    def touching(self, files: Iterable[int], patch: CachedPatch) -> dict[int, int]:
        """The patches that touch one of these files, each with the number of lines of its diff.

        All of them for a mail, for a commit mails and itself.
        """
        query = "SELECT t.number, t.lines FROM json_each(?) f JOIN touch t ON t.file = f.value"
        values: list[object] = [_json(files)]
        if patch.is_commit:
            query += " WHERE NOT t.is_commit OR t.number = ?"
            values.append(patch.number)
        return self._by_first(query, *values)

    def sharing(
        self, patch: CachedPatch, least: float
    ) -> dict[int, tuple[int, int, list[SharedPart]]]:
        """The patches of before that share parts with one, by number.

        Each with the lengths of the two normalised messages and the parts; their diffs have a
        `lines_ratio` of at least `least`. For a commit mails only.
        """
        query = (
            "SELECT o.number, p.message, o.message,"
            " p.file, p.deletions, p.insertions, o.deletions, o.insertions"
            " FROM part p CROSS JOIN part o ON o.part = p.part AND o.number < p.number"
            " WHERE p.number = ?"
            " AND coalesce(CAST(min(o.lines, p.lines) AS REAL) / max(o.lines, p.lines), 1.0) >= ?"
        )
        if patch.is_commit:
            query += " AND NOT o.is_commit"
        found: dict[int, tuple[int, int, list[SharedPart]]] = {}
        with self.reporting():
            for number, message, other, *part in self.sql.execute(query, (patch.number, least)):
                found.setdefault(number, (message, other, []))[2].append(SharedPart(*part))
        return found

    def messages(self, numbers: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Number and normalised message of each of these patches."""
        return self._texts("message", decoded, numbers)

    def shapes(self, numbers: Iterable[int]) -> Iterator[tuple[int, Shape]]:
        """Number and shape of each of these patches."""
        return self._texts("message, files", unpacked, numbers)

    def _texts(
        self, columns: str, decode: Callable[..., _Text], numbers: Iterable[int]
    ) -> Iterator[tuple[int, _Text]]:
        query = f"SELECT number, {columns} FROM shape"  # noqa: S608
        with self.reporting():
            rows = self.sql.execute(f"{query} {_IN}", (_json(numbers),))
            for number, *texts in rows:
                try:
                    text = decode(*texts)
                except (ValueError, zlib.error) as error:
                    # SQLite does not see this damage; it is to be treated as what it sees.
                    raise sqlite3.DatabaseError(f"patch {number}: {error}") from error
                yield number, text

    # Picks: mails that say which commit they were picked from

    def pickers_of(self, commit: CachedPatch) -> list[int]:
        """The numbers of the mails that were picked from this commit."""
        rows = self.rows("SELECT number FROM picked WHERE hash = ?", commit.name)
        return [number for (number,) in rows]

    def commits_picked_by(self, mail: CachedPatch) -> list[int]:
        """The numbers of the commits that a mail was picked from."""
        rows = self.rows(
            "SELECT patch.number FROM picked JOIN patch ON name = hash"
            " WHERE picked.number = ? AND is_commit",
            mail.number,
        )
        return [number for (number,) in rows]

    # Groups

    def group_of(self, name: str) -> list[str]:
        """The names of all patches of its group; none where it is not known or not grouped yet."""
        rows = self.rows(
            "SELECT name FROM patch WHERE grp = (SELECT grp FROM patch WHERE name = ?)", name
        )
        return [member for (member,) in rows]

    def chain(self, left: str, right: str) -> list[str]:
        """The names of patches from one to the other, each alike with the next; [] for no such."""
        start, end = self.find(left), self.find(right)
        if start is None or end is None:
            return []
        came_from = {start.number: start.number}
        queue = deque([start.number])
        while queue and end.number not in came_from:
            number = queue.popleft()
            for other in self._linked(number):
                if other not in came_from:
                    came_from[other] = number
                    queue.append(other)
        if end.number not in came_from:
            return []
        numbers = [end.number]
        while numbers[-1] != start.number:
            numbers.append(came_from[numbers[-1]])
        names = {patch.number: patch.name for patch in self.patches(numbers)}
        return [names[number] for number in reversed(numbers)]

    def _linked(self, number: int) -> list[int]:
        rows = self.rows(
            "SELECT high FROM link WHERE low = ? UNION SELECT low FROM link WHERE high = ?",
            number,
            number,
        )
        return [other for (other,) in rows]

    def best_ratings(self, numbers: Iterable[int], *, upstream: bool) -> dict[int, float]:
        """How alike (`Rating.order`) the best candidate of each of these mails is, where noted.

        Of those whose candidates were all looked at. `upstream`: the best commit, else the best
        mail.
        """
        query = f"SELECT number, alike FROM best {_IN} AND upstream = ? AND reached IS NULL"  # noqa: S608
        return self._by_first(query, _json(numbers), upstream)

    def has_best_ratings(self, *, upstream: bool) -> bool:
        """Whether `best_ratings` may find any."""
        query = "SELECT 1 FROM best WHERE upstream = ? AND reached IS NULL LIMIT 1"
        return self.value(query, upstream) is not None

    def best(self, number: int, *, upstream: bool) -> Best:
        """The best candidate of a mail, as far as it was looked for; see `best_ratings`."""
        query = "SELECT alike, candidate, reached FROM best WHERE number = ? AND upstream = ?"
        rows = self.rows(query, number, upstream)
        return Best(*rows[0]) if rows else Best()

    def set_best(self, number: int, best: Best, *, upstream: bool) -> None:
        """Note the best candidate of a mail; see `best_ratings`."""
        with self.transaction() as sql:
            sql.execute(
                "INSERT OR REPLACE INTO best VALUES (?, ?, ?, ?, ?)", (number, upstream, *best)
            )

    def link_ratings(self, number: int) -> dict[int, float]:
        """How alike (`Rating.order`) a mail and those are that it is linked with, where noted."""
        return self._by_first(
            "SELECT high, alike FROM link WHERE low = ? AND alike NOT NULL"
            " UNION ALL SELECT low, alike FROM link WHERE high = ? AND alike NOT NULL",
            number,
            number,
        )

    def set_link_rating(self, left: int, right: int, alike: float) -> None:
        """Note how alike two are that are linked; whichever comes first, it is the same."""
        with self.transaction() as sql:
            sql.execute(
                "UPDATE link SET alike = ? WHERE low = ? AND high = ?",
                (alike, min(left, right), max(left, right)),
            )

    def _by_first(self, query: str, *values: object) -> dict[Any, Any]:
        """The second column of all rows that a query finds, by the first."""
        with self.reporting():
            return dict(self.sql.execute(query, values))


def cache_path(config: Config) -> Path:
    """Where the cache of a configuration's analysis lies."""
    return config.d_mbox / OWN_FOLDER / "analysis.sqlite"


def _cached(number: int, name: str, is_commit: int, date: float, is_revert: int) -> CachedPatch:
    return CachedPatch(number, name, bool(is_commit), date, bool(is_revert))


def _json(numbers: Iterable[int]) -> str:
    return json.dumps(list(numbers))
