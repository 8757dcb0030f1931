"""The catalog read: mails as patches, their series and groups, pages and search.

What it says is as of the last `catch_up`. Where there is none yet, it is empty. One object serves
one thread of one process. All methods raise StoreUnavailable where disk or SQLite do not let them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from patchsync.analysis.groups import Group
from patchsync.config import Config
from patchsync.errors import StoreUnavailable
from patchsync.revisions.catalog_file import (
    LAST_DATE,
    bounded,
    catalog_file,
    first_number,
    hashed,
    number_of,
    pieces,
    remove_damaged,
    slots,
)
from patchsync.revisions.catalog_groups import not_named
from patchsync.revisions.catalog_search import find_listed
from patchsync.revisions.catalog_sums import CatalogSums
from patchsync.revisions.model import PatchInProject, PatchMail, Series, SubjectPrefix
from patchsync.revisions.subject import read_subject
from patchsync.store.layout import ContainerPaths, Layout
from patchsync.store.patch_views import PatchViews, StoredView
from patchsync.store.sqlite_file import SqliteFile

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
# Above the number of each mail
_LAST = first_number(LAST_DATE)
_MAIL = """
    id, message_id, date, author_name, author_address, subject, version, part, total, series, files
"""


class CatalogProject(NamedTuple):
    """A project that the catalog has."""

    project_id: int
    # Patchwork's link name
    name: str


class CommitTimes(NamedTuple):
    """When a commit was written, and when it was committed: seconds since 1970."""

    authored: float
    committed: float


class Catalog:
    """The catalog of a configuration; a context."""

    def __init__(self, file: SqliteFile, d_mbox: Path, layout: Layout) -> None:
        """`file` is open."""
        self._file = file
        self.sums = CatalogSums(file)
        self._d_mbox = d_mbox
        self._layout = layout
        # What Patchwork was seen to show, by project
        self._views: dict[int, PatchViews] = {}
        self._archive_formats: dict[int, str | None] = {}

    @classmethod
    def open(cls, config: Config) -> Self:
        """Open it to read; nothing is made, and nobody asked."""
        file = catalog_file(config)
        if not file.open_to_read():
            file.open_in_memory()
        return cls(file, config.d_mbox, config.store.layout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; what was found to be damaged is removed, so that `catch_up` makes it anew."""
        remove_damaged(self._file)
        self._file.close()
        for views in self._views.values():
            views.close()

    # What there is

    @property
    def version(self) -> str:
        """Changes whenever anything in it did: for what is kept of its answers."""
        rows = self._file.rows("SELECT value FROM note WHERE name IN ('made', 'changes')")
        return "-".join(str(value) for (value,) in rows)

    @property
    def changed_at(self) -> float | None:
        """When anything in it changed, in seconds since 1970; None where it is empty."""
        at: float | None = self._file.value("SELECT value FROM note WHERE name = 'changed_at'")
        return at

    @property
    def is_complete(self) -> bool:
        """Whether the last `catch_up` came to its end; it is not while the first is under way."""
        return bool(self._file.value("SELECT value FROM note WHERE name = 'complete'"))

    def projects(self) -> list[CatalogProject]:
        """The projects, by their number."""
        rows = self._file.rows("SELECT id, name FROM project ORDER BY id")
        return [CatalogProject(*row) for row in rows]

    # Mails

    def mail(self, message_id: str) -> PatchMail | None:
        """The mail with this message-id, brackets included; None where there is none."""
        return self.mails([message_id]).get(message_id)

    def mails(self, message_ids: Iterable[str]) -> dict[str, PatchMail]:
        """Those of the mails that there are, by message-id."""
        names = [name for name in message_ids if _is_text(name)]
        mails = self._mails_where("message_id", names)
        return {mail.message_id: mail for mail in mails}

    def mails_of_patch(self, patch_id: int) -> list[PatchMail]:
        """The mails that have this patchwork id: one, but for what is of no Patchwork's making."""
        rows = self._file.rows(
            "SELECT mail FROM patch WHERE id = ? AND project IN (SELECT id FROM project)",
            bounded(patch_id),
        )
        return self._mails_where("id", [number for (number,) in rows])

    def raws(self, message_id: str) -> list[bytes]:
        """The bytes of a mail, as each project has it; none where its files are missing."""
        rows = self._file.rows(
            """
            SELECT day, lower(hex(md5)) FROM patch WHERE mail = (
                SELECT id FROM mail WHERE message_id = ?
            ) ORDER BY project, id
            """,
            message_id if _is_text(message_id) else None,
        )
        raws = []
        for day, md5 in rows:
            with suppress(OSError):
                raws.append((self._d_mbox / self._layout / day / md5).read_bytes())
        return raws

    def answered_by(self, message_ids: Iterable[str]) -> dict[str, set[str]]:
        """Of those of the mails that others in the store answer: the addresses of their authors.

        In reply to it itself, not elsewhere in its thread. What is no patch is in no store.
        """
        by_hash = {hashed(name): name for name in message_ids}
        found: dict[str, set[str]] = defaultdict(set)
        for some in pieces(by_hash):
            query = f"SELECT answers, author_address FROM mail WHERE answers IN {slots(some)}"  # noqa: S608
            for target, address in self._file.rows(query, *some):
                found[by_hash[target]].add(address)
        return dict(found)

    # Groups

    def group_of(self, name: str) -> Group:
        """The group of a mail (by message-id) or commit (by whole hash); of one alone, that one."""
        return self.groups_of([name])[name]

    def groups_of(self, names: Iterable[str]) -> dict[str, Group]:
        """The group of each of these mails or commits."""
        wanted = list(dict.fromkeys(names))
        lines: dict[str, int] = {}
        for some in pieces([name for name in wanted if _is_text(name)]):
            query = f"SELECT name, line FROM member WHERE name IN {slots(some)}"  # noqa: S608
            lines.update(self._file.rows(query, *some))
        members: dict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for those in pieces(sorted(set(lines.values()))):
            query = f"SELECT line, is_commit, name FROM member WHERE line IN {slots(those)}"  # noqa: S608
            for line, is_commit, name in self._file.rows(query, *those):
                members[line][is_commit].append(name)
        # Once each: a group may have thousands, all of which are asked for.
        groups = {line: Group(*map(tuple, map(sorted, both))) for line, both in members.items()}
        return {name: groups[lines[name]] if name in lines else _alone(name) for name in wanted}

    def not_grouped(self, message_ids: Iterable[str]) -> set[str]:
        """Those of the mails that patch-groups did not name: nobody looked for their revisions yet.

        Of one alone it says that there are none.
        """
        names = [name for name in message_ids if _is_text(name)]
        return not_named(
            self._file,
            (name for name, group in self.groups_of(names).items() if group == _alone(name)),
        )

    def commits_named(self, beginning: str) -> list[str]:
        """Hashes of commits in groups that begin so, at most two; `beginning`: from 7 digits."""
        if not _COMMIT.fullmatch(beginning):
            return []
        rows = self._file.rows(
            "SELECT name FROM member WHERE name BETWEEN ? AND ? AND is_commit LIMIT 2",
            beginning,
            f"{beginning}g",
        )
        return [name for (name,) in rows]

    def commit_times(self, commit_hash: str) -> CommitTimes | None:
        """When a commit that a group names was made; None where no repository says so."""
        rows = self._file.rows(
            "SELECT authored, committed FROM upstream WHERE hash = ? AND committed IS NOT NULL",
            commit_hash if _is_text(commit_hash) else None,
        )
        return CommitTimes(*rows[0]) if rows else None

    # Series

    def series(self, key: str) -> Series | None:
        """The series of this key, or that this mail is a part of; None where there is none.

        A cover letter that several series answer, as where a second version has none of its own,
        is that of the first of them.
        """
        if not _is_text(key):
            return None
        number = self._file.value("SELECT coalesce(series, -1) FROM mail WHERE message_id = ?", key)
        if number == -1:
            mail = self.mail(key)
            return _series_of([mail]) if mail else None
        if number is None:
            number = self._file.value("SELECT min(id) FROM series WHERE cover = ?", key)
        if number is None:
            return None
        return _series_of(self._mails_where("series", [number]))

    def mails_of_same_change(self, message_ids: Iterable[str]) -> list[PatchMail]:
        """The mails with a change-id (b4's) that one of these has, these too; the last 1000."""
        changes: set[str] = set()
        for some in pieces([name for name in message_ids if _is_text(name)]):
            query = f"""
                SELECT change_id FROM mail
                WHERE message_id IN {slots(some)} AND change_id IS NOT NULL
            """  # noqa: S608
            changes.update(change for (change,) in self._file.rows(query, *some))
        numbers: list[int] = []
        for those in pieces(sorted(changes)):
            query = f"""
                SELECT id FROM mail WHERE change_id IN {slots(those)} ORDER BY id DESC LIMIT 1000
            """  # noqa: S608
            numbers += [number for (number,) in self._file.rows(query, *those)]
        return self._mails_where("id", sorted(numbers)[-1000:])

    # Pages

    def page(
        self,
        project_id: int,
        *,
        search: str = "",
        before: tuple[float, str] | None = None,
        limit: int = 50,
    ) -> list[PatchMail]:
        """The patches that Patchwork lists in a project, by their date, the newest first.

        `search`: words that subject, author or names of files have, all of them. `before`: date and
        message-id of the last one on the page before this one.
        """
        until = _LAST if before is None else self._number_before(*before)
        numbers = find_listed(self._file, bounded(project_id), search, until, limit)
        return self._mails_where("id", numbers)[::-1]

    def message_ids(self, project_id: int, patch_ids: Iterable[int]) -> dict[int, str]:
        """Those of a project's patches that there are, with their message-ids."""
        found: dict[int, str] = {}
        for some in pieces([bounded(patch_id) for patch_id in patch_ids]):
            query = f"""
                SELECT p.id, message_id FROM patch p JOIN mail ON mail.id = p.mail
                WHERE p.project = ? AND p.id IN {slots(some)}
            """  # noqa: S608
            found.update(self._file.rows(query, bounded(project_id), *some))
        return found

    # How it is read

    def _mails_where(self, column: str, values: Sequence[object]) -> list[PatchMail]:
        rows: list[tuple[Any, ...]] = []
        for some in pieces(values):
            query = f"SELECT {_MAIL} FROM mail WHERE {column} IN {slots(some)}"  # noqa: S608
            rows += self._file.rows(query, *some)
        patches = self._patches([row[0] for row in rows])
        keys = self._series_keys({row[9] for row in rows if row[9] is not None})
        # By their numbers they are in order of time, the oldest first.
        return [_mail(row, patches[row[0]], keys) for row in sorted(rows)]

    def _patches(self, numbers: Sequence[int]) -> dict[int, tuple[PatchInProject, ...]]:
        rows: list[tuple[Any, ...]] = []
        for some in pieces(numbers):
            query = f"""
                SELECT p.mail, p.project, p.id, p.gone, project.name, project.listaddr
                FROM patch p JOIN project ON project.id = p.project
                WHERE p.mail IN {slots(some)} ORDER BY p.project, p.id
            """  # noqa: S608
            rows += self._file.rows(query, *some)
        views = self._shown(rows)
        found: dict[int, list[PatchInProject]] = defaultdict(list)
        for mail, project, patch_id, gone, name, _ in rows:
            view = views.get((project, patch_id))
            patch = PatchInProject(
                project_id=project,
                project_name=name,
                patch_id=patch_id,
                gone=bool(gone),
                archive_format=self._archive_formats.get(project),
            )
            found[mail].append(_as_shown(patch, view) if view else patch)
        return {number: tuple(found[number]) for number in numbers}

    def _shown(self, rows: list[tuple[Any, ...]]) -> dict[tuple[int, int], StoredView]:
        """What Patchwork was seen to show of these patches."""
        wanted: dict[tuple[int, str], list[int]] = defaultdict(list)
        for _, project, patch_id, _, _, listaddr in rows:
            wanted[project, listaddr].append(patch_id)
        shown = {}
        for (project, listaddr), patch_ids in wanted.items():
            if project not in self._views:
                paths = ContainerPaths(
                    d_mbox=self._d_mbox, listaddr=listaddr, project_id=project, layout=self._layout
                )
                self._views[project] = PatchViews(paths)
            with suppress(StoreUnavailable):  # Then it is not known, as before any list was seen.
                for patch_id, view in self._views[project].of(patch_ids).items():
                    shown[project, patch_id] = view
                if project not in self._archive_formats:
                    self._archive_formats[project] = self._views[project].archive_format
        return shown

    def _series_keys(self, numbers: set[int]) -> dict[int, str]:
        """The keys of these series."""
        keys: dict[int, str] = {}
        for some in pieces(sorted(numbers)):
            query = f"""
                SELECT series.id, coalesce(cover, message_id) FROM series
                JOIN mail ON mail.id = series.id WHERE series.id IN {slots(some)}
            """  # noqa: S608
            keys.update(self._file.rows(query, *some))
        return keys

    def _number_before(self, date: float, message_id: str) -> int:
        number = None
        if _is_text(message_id):
            number = self._file.value("SELECT id FROM mail WHERE message_id = ?", message_id)
        return number_of(message_id, date) if number is None else number


def _as_shown(patch: PatchInProject, view: StoredView) -> PatchInProject:
    return replace(
        patch,
        state=view.state,
        archived=view.archived,
        check=view.check,
        series_id=view.series_id,
        delegate=view.delegate,
        seen_at=view.seen_at,
    )


def _mail(
    row: tuple[Any, ...], patches: tuple[PatchInProject, ...], keys: dict[int, str]
) -> PatchMail:
    _, message_id, date, name, address, subject, version, part, total, series, files = row
    return PatchMail(
        message_id=message_id,
        date=date,
        author_name=name,
        author_address=address,
        subject=subject,
        title=read_subject(subject).title,
        prefix=SubjectPrefix(version=version, part=part, total=total),
        series_key=keys.get(series, message_id),
        files=tuple(files.split("\n")) if files else (),
        patches=patches,
    )


def _series_of(mails: list[PatchMail]) -> Series | None:
    if not mails:
        return None
    # Of a part that came twice, the later one first
    mails.sort(key=lambda mail: (-mail.date, mail.message_id))
    mails.sort(key=lambda mail: mail.prefix.part)
    first = mails[0]
    return Series(
        key=first.series_key,
        title=first.title,
        author_name=first.author_name,
        version=first.prefix.version,
        total=first.prefix.total,
        mails=tuple(mails),
    )


def _alone(name: str) -> Group:
    return Group((), (name,)) if _COMMIT.fullmatch(name) else Group((name,), ())


def _is_text(name: str) -> bool:
    """Whether SQLite takes it; the catalog has no other."""
    with suppress(UnicodeEncodeError):
        name.encode()
        return True
    return False
