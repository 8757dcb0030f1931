"""Taking a project's index into the catalog: its mails, read, and which patches they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from patchsync.revisions.catalog_file import has_full_text_search, hashed, number_of, pieces, slots
from patchsync.revisions.linking import references_of, unlink, unlink_around
from patchsync.revisions.mail_head import LONGEST_MAIL, MailHead, read_head
from patchsync.revisions.subject import read_subject
from patchsync.store.layout import IndexEntry
from patchsync.store.sqlite_file import SqliteFile

# Of what is read in one transaction: so much is lost at most when it is killed.
BATCH = 500


class PatchRow(NamedTuple):
    """A row of `patch`, without its mail."""

    project: int
    patch_id: int
    gone: bool
    day: str
    md5: bytes


class MailRow(NamedTuple):
    """A row of `mail`, behind its number and its message-id."""

    source: bytes
    date: float
    author_name: str
    author_address: str
    subject: str
    version: int
    part: int
    total: int
    change_id: str | None
    refs: str | None
    answers: int | None
    files: str


class _Stored(NamedTuple):
    """A mail as it is in the catalog."""

    number: int
    row: MailRow
    # As the search has them
    projects: str

    @property
    def source(self) -> bytes:
        """The md5 of the bytes that were read."""
        return self.row.source


_COLUMNS = ", ".join(MailRow._fields)
_SLOTS = slots([*MailRow._fields, "id", "message_id"])
_INSERT = f"INSERT INTO mail (id, message_id, {_COLUMNS}) VALUES {_SLOTS}"  # noqa: S608
# Number, subject, author, files, projects
_Searched = tuple[int, str, str, str, str]
_ENTER_SEARCH = "INSERT INTO search (rowid, subject, author, file, project) VALUES (?, ?, ?, ?, ?)"
_LEAVE_SEARCH = (
    "INSERT INTO search (search, rowid, subject, author, file, project)"
    " VALUES ('delete', ?, ?, ?, ?, ?)"
)
# Of the line of this number: how many of its mails are stored, and the date of the first.
SUM_UP_MAILS = """
UPDATE line SET (mails, posted) = (
    SELECT count(*), min(date) FROM member JOIN mail ON mail.message_id = member.name
    WHERE member.line = ?1 AND NOT is_commit
) WHERE id = ?1
"""


class MailRows:
    """The mails of all projects as rows of the catalog; those of one project are taken in."""

    def __init__(self, file: SqliteFile, mails: Path) -> None:
        """`mails`: the folder of the mails."""
        self._file = file
        self._mails = mails

    def take_in(
        self, project: int, entries: Iterable[IndexEntry], gone: frozenset[int]
    ) -> Iterator[int]:
        """Have these entries of a project's index as they are now.

        Yields, after each transaction, how many entries it had; what is as it was costs little.
        """
        rest = iter(entries)
        while some := list(islice(rest, BATCH)):
            with self._file.transaction():
                self._take_in(project, some, gone)
            yield len(some)

    def keep_only(self, project: int, patch_ids: Iterable[int]) -> None:
        """Drop the patches of a project that are not among these; `patch_ids` ascend."""
        wanted = iter(patch_ids)
        at = next(wanted, None)
        lost = []
        query = "SELECT id FROM patch WHERE project = ? ORDER BY id"
        with self._file.reporting():
            for (patch_id,) in self._file.sql.execute(query, (project,)):
                while at is not None and at < patch_id:
                    at = next(wanted, None)
                if at != patch_id:
                    lost.append(patch_id)
        for some in pieces(lost):
            with self._file.transaction():
                self._change({}, [(project, patch_id) for patch_id in some])

    def set_gone(self, project: int, gone: frozenset[int]) -> None:
        """Note which patches of a project Patchwork does not list any more."""
        query = "SELECT id FROM patch WHERE project = ? AND gone"
        known = {patch_id for (patch_id,) in self._file.rows(query, project)}
        changed = [(True, project, patch_id) for patch_id in sorted(gone - known)]
        changed += [(False, project, patch_id) for patch_id in sorted(known - gone)]
        with self._file.transaction() as sql:
            sql.executemany("UPDATE patch SET gone = ? WHERE project = ? AND id = ?", changed)

    def _take_in(self, project: int, entries: list[IndexEntry], gone: frozenset[int]) -> None:
        ids = [entry.patch_id for entry in entries]
        query = f"""
            SELECT p.id, message_id, day, md5 FROM patch p JOIN mail ON mail.id = p.mail
            WHERE project = ? AND p.id IN {slots(ids)}
        """  # noqa: S608
        known = {row[0]: row[1:] for row in self._file.rows(query, project, *ids)}
        new: dict[str, list[PatchRow]] = defaultdict(list)
        moved = []
        for patch_id, day, message_id, md5 in entries:
            row = known.get(patch_id)
            if row != (message_id, day, bytes.fromhex(md5)):
                patch = PatchRow(project, patch_id, patch_id in gone, day, bytes.fromhex(md5))
                new[message_id].append(patch)
                if row:
                    moved.append((project, patch_id))
        if new:
            self._change(new, moved)

    def _change(self, new: dict[str, list[PatchRow]], lost: list[tuple[int, int]]) -> None:
        """Have the mails as they are once some patches came and others left."""
        with self._file.transaction() as sql:
            names = dict.fromkeys(new)
            for key in lost:
                query = "SELECT message_id FROM mail JOIN patch p ON mail.id = p.mail"
                rows = self._file.rows(f"{query} WHERE p.project = ? AND p.id = ?", *key)
                names.update((name, None) for (name,) in rows)
            before = {name: self._stored(name) for name in names}
            sql.executemany("DELETE FROM patch WHERE project = ? AND id = ?", lost)
            left: list[_Searched] = []
            came: list[_Searched] = []
            for name, old in before.items():
                patches = sorted([*self._patches_of(old), *new.get(name, ())])
                row = self._replaced(name, old, patches)
                if old and (row is None or _searched(old) != _searched(row)):
                    left.append(_searched(old))
                if row and (old is None or _searched(old) != _searched(row)):
                    came.append(_searched(row))
            unlink(self._file, names)
            self._sum_up(names)
            if has_full_text_search():
                # In ascending order: in any other the index is written once for each.
                sql.executemany(_LEAVE_SEARCH, sorted(left))
                sql.executemany(_ENTER_SEARCH, sorted(came))

    def _replaced(self, name: str, old: _Stored | None, patches: list[PatchRow]) -> _Stored | None:
        """Have a mail be that of these patches; returns what is stored now.

        Where projects have other bytes of it, those of the first count, whatever came first.
        """
        with self._file.transaction() as sql:
            row = self._row(old, patches)
            if old and row is old.row:
                number = old.number
            else:
                if old:
                    unlink(self._file, [name])
                    unlink_around(self._file, old.number, (old.row.refs or "").split())
                    sql.execute("DELETE FROM mail WHERE id = ?", (old.number,))
                if row is None:
                    return None
                number = self._free_number(name, row.date)
                sql.execute(_INSERT, (number, name, *row))
                if row.refs:
                    references = references_of(row.refs.split(), number)
                    sql.executemany("INSERT OR IGNORE INTO reference VALUES (?, ?)", references)
            sql.executemany(
                "INSERT INTO patch (project, id, gone, day, md5, mail) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET gone = excluded.gone, day = excluded.day,"
                " md5 = excluded.md5, mail = excluded.mail",
                ((*patch, number) for patch in patches),
            )
            return _Stored(
                number, row, " ".join(sorted({f"p{patch.project}" for patch in patches}))
            )

    def _stored(self, name: str) -> _Stored | None:
        rows = self._file.rows(f"SELECT id, {_COLUMNS} FROM mail WHERE message_id = ?", name)  # noqa: S608
        if not rows:
            return None
        number, *row = rows[0]
        query = "SELECT DISTINCT project FROM patch WHERE mail = ?"
        projects = sorted(f"p{project}" for (project,) in self._file.rows(query, number))
        return _Stored(number, MailRow(*row), " ".join(projects))

    def _patches_of(self, mail: _Stored | None) -> list[PatchRow]:
        if mail is None:
            return []
        query = "SELECT project, id, gone, day, md5 FROM patch WHERE mail = ?"
        return [PatchRow(*row) for row in self._file.rows(query, mail.number)]

    def _row(self, old: _Stored | None, patches: list[PatchRow]) -> MailRow | None:
        """What is kept of a mail that is these patches; nothing of one that is none."""
        if not patches:
            return None
        if old and old.source == patches[0].md5:
            return old.row
        return self._read(patches[0])

    def _read(self, patch: PatchRow) -> MailRow:
        """What is kept of a mail; where its file cannot be read, its day."""
        path = self._mails / patch.day / patch.md5.hex()
        source = patch.md5
        try:
            with path.open("rb") as mail:
                head = read_head(mail.read(LONGEST_MAIL))
        except OSError:
            # It is read when anything brings it here again.
            head, source = MailHead(), b""
        return row_of(head, source, _midnight(patch.day))

    def _free_number(self, name: str, date: float) -> int:
        number = number_of(name, date)
        while self._file.value("SELECT 1 FROM mail WHERE id = ?", number):
            number += 1
        return number

    def _sum_up(self, names: Iterable[str]) -> None:
        """Sum up anew the lines of patch-groups that name these mails."""
        lines: set[int] = set()
        for some in pieces(list(names)):
            query = f"SELECT line FROM member WHERE name IN {slots(some)}"  # noqa: S608
            lines.update(line for (line,) in self._file.rows(query, *some))
        with self._file.transaction() as sql:
            sql.executemany(SUM_UP_MAILS, ((line,) for line in sorted(lines)))


def row_of(head: MailHead, source: bytes, day: float) -> MailRow:
    """What is kept of a mail; `source`: md5 of its bytes, `day`: its date where it has none."""
    subject = read_subject(head.subject)
    is_numbered = subject.is_numbered and subject.prefix.total > 1
    return MailRow(
        source,
        day if head.date is None else head.date,
        head.author_name,
        head.author_address,
        head.subject,
        *subject.prefix,
        head.change_id,
        " ".join(head.references) if is_numbered else None,
        hashed(head.references[0]) if head.references else None,
        "\n".join(head.files),
    )


def _searched(mail: _Stored) -> _Searched:
    row = mail.row
    author = f"{row.author_name} {row.author_address}"
    return mail.number, row.subject, author, row.files, mail.projects


def _midnight(day: str) -> float:
    return datetime.strptime(day, "%Y/%m/%d").replace(tzinfo=UTC).timestamp()
