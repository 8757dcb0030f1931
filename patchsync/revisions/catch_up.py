"""Bringing the catalog up to date with the store and PaStA's groups: only what is new is read.

It may be stopped or killed anywhere: what it had done is kept, and the next one goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from uuid import uuid4

from patchsync.analysis.engine import OnProgress
from patchsync.analysis.groups import Changes
from patchsync.analysis.groups_record import GroupsRecord
from patchsync.analysis.settings import read_settings
from patchsync.config import Config
from patchsync.errors import LockHeld, PatchsyncError, StoreUnavailable, TryAgainLater
from patchsync.revisions.catalog_file import catalog_file, catalog_lock, catalog_path
from patchsync.revisions.catalog_groups import (
    lines_done,
    note_version,
    take_changes,
    take_commits,
    take_groups,
    version_taken,
)
from patchsync.revisions.catalog_mails import BATCH, MailRows
from patchsync.revisions.linking import link
from patchsync.store.container import MboxPatchwork
from patchsync.store.files import may_write
from patchsync.store.identity import list_containers
from patchsync.store.layout import ContainerPaths
from patchsync.store.lock import LOCK_WAIT, store_lock
from patchsync.store.sqlite_file import CacheRemoved, SqliteFile

# What `note` says of the files that were read: what else could change what is in the catalog
_GROUPS = "groups"


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A project of the store."""

    name: str
    paths: ContainerPaths
    # How its files look, to be told from how they looked
    files: str


@dataclass(frozen=True, kw_only=True)
class _Sources:
    """All that a catalog is made of."""

    projects: dict[int, _Source]
    # How patch-groups looks, and which repository there is
    groups: str
    has_groups: bool


def catch_up(
    config: Config, on_progress: OnProgress | None = None, *, wait: float = LOCK_WAIT
) -> bool:
    """Bring the catalog up to date; returns whether it is.

    It is not where this user may not write it, or where another process has been at it for longer
    than `wait` seconds: who reads has what is there. Of the projects in the store all of this
    Patchwork are taken in, whatever is configured.

    Raises:
        PatchsyncError: a project's files cannot be read, or patch-groups is damaged; all else is
            up to date, and this is as it was.
        Stopped: by `on_progress`; what was done is kept.
    """
    sources = _sources(config)
    file = catalog_file(config)
    if _is_current(file, sources):
        return True
    path = catalog_path(config)
    if not may_write(path.parent):
        return False
    try:
        with store_lock(catalog_lock(path), wait):
            try:
                return _catch_up(config, file, on_progress or _no_progress)
            except CacheRemoved:
                return _catch_up(config, file, on_progress or _no_progress)
    except LockHeld:
        return False


def _no_progress(what: str, done: int, of: int) -> None:
    """For who does not look."""


def _sources(config: Config) -> _Sources:
    projects = {}
    for container in list_containers(config.d_mbox):
        origin, paths = container.origin, container.paths
        if origin and origin.is_at(config.base_url) and paths.layout == config.store.layout:
            projects[paths.project_id] = _Source(
                name=origin.link_name, paths=paths, files=_look([paths.index, paths.gone])
            )
    groups = config.patch_groups
    parts = sorted(groups.parent.glob(escape(groups.name) + ".[0-9][0-9][0-9]"))
    looks = _look([groups, *parts]) + str(config.absolute(config.analysis.repo) or "")
    return _Sources(projects=projects, groups=looks, has_groups=bool(parts) or groups.exists())


def _look(paths: list[Path]) -> str:
    """How files look without being read: another one, or another content, looks otherwise."""
    looks: list[tuple[str, int, int] | None] = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            looks.append(None)
        else:
            looks.append((str(stat.st_ino), stat.st_size, stat.st_mtime_ns))
    return json.dumps(looks)


def _is_current(file: SqliteFile, sources: _Sources) -> bool:
    try:
        if not file.open_to_read():
            return not sources.projects
    except StoreUnavailable:
        return False  # Who opens it to write finds what is wrong with it.
    with file:
        if not file.value("SELECT value FROM note WHERE name = 'complete'"):
            return False
        known = dict(file.rows("SELECT id, files || name || listaddr FROM project"))
        groups = file.value("SELECT value FROM note WHERE name = ?", _GROUPS)
    seen = {
        number: source.files + source.name + source.paths.listaddr
        for number, source in sources.projects.items()
    }
    return known == seen and groups == sources.groups


def _catch_up(config: Config, file: SqliteFile, on_progress: OnProgress) -> bool:
    # Looked at before they are read: what changes meanwhile is read again.
    sources = _sources(config)
    troubles: list[PatchsyncError] = []
    with file, _counted(file):
        _begin(file, sources)
        for number, source in sources.projects.items():
            try:
                _take_project(config, file, number, source, on_progress)
            except PatchsyncError as trouble:
                if isinstance(trouble, CacheRemoved):
                    raise
                troubles.append(trouble)
        linked, of = 0, file.value("SELECT count(*) FROM unlinked")
        while some := link(file, BATCH):
            linked += some
            on_progress("finding series", min(linked, of), of)
        try:
            _take_groups(config, file, sources, on_progress)
        except PatchsyncError as trouble:
            if isinstance(trouble, CacheRemoved):
                raise
            troubles.append(trouble)
        with file.transaction() as sql:
            sql.execute("INSERT OR IGNORE INTO note VALUES ('complete', 1)")
    if troubles:
        raise troubles[0]
    return True


@contextmanager
def _counted(file: SqliteFile) -> Iterator[None]:
    """Note that something changed, where it did, also where it was stopped."""
    before = file.sql.total_changes
    try:
        yield
    finally:
        if file.is_open and file.sql.total_changes > before:
            with file.transaction() as sql:
                sql.execute("INSERT OR IGNORE INTO note VALUES ('made', ?)", (uuid4().hex,))
                sql.execute("INSERT OR IGNORE INTO note VALUES ('changes', 0)")
                sql.execute("UPDATE note SET value = value + 1 WHERE name = 'changes'")
                sql.execute("INSERT OR REPLACE INTO note VALUES ('changed_at', ?)", (time.time(),))


def _begin(file: SqliteFile, sources: _Sources) -> None:
    """Have the projects that there are, and no others."""
    gone = {number for (number,) in file.rows("SELECT id FROM project")} - sources.projects.keys()
    with file.transaction() as sql:
        for number, source in sources.projects.items():
            sql.execute(
                "INSERT INTO project (id, name, listaddr) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE"
                " SET name = ?2, listaddr = ?3 WHERE (name, listaddr) != (?2, ?3)",
                (number, source.name, source.paths.listaddr),
            )
    for number in gone:
        MailRows(file, Path()).keep_only(number, ())
        with file.transaction() as sql:
            sql.execute("DELETE FROM project WHERE id = ?", (number,))


def _take_project(
    config: Config, file: SqliteFile, number: int, source: _Source, on_progress: OnProgress
) -> None:
    known = file.rows("SELECT mark, files FROM project WHERE id = ?", number)[0]
    if known[1] == source.files:
        return
    paths = source.paths
    rows = MailRows(file, paths.mails)
    with MboxPatchwork(paths.listaddr, paths.d_mbox, paths.project_id, paths.layout) as container:
        gone = container.gone()
        news = container.news(known[0])
        done, of = 0, container.count
        for taken in rows.take_in(number, news.entries, gone):
            done += taken
            on_progress(f"reading mails of {source.name}", done, of)
        if news.complete:
            rows.keep_only(number, container.ids())
        rows.set_gone(number, gone)
        with file.transaction() as sql:
            sql.execute(
                "UPDATE project SET mark = ?, files = ? WHERE id = ?",
                (news.mark, source.files, number),
            )


def _take_groups(
    config: Config, file: SqliteFile, sources: _Sources, on_progress: OnProgress
) -> None:
    if file.value("SELECT value FROM note WHERE name = ?", _GROUPS) == sources.groups:
        return
    on_progress("reading groups", 0, 1)
    record = GroupsRecord(config)
    changed = record.changed_since(version_taken(file))
    if changed is not None:
        take_changes(file, changed, record.version)
    elif not _take_all_groups(config, file, sources):
        return
    take_commits(file, read_settings(config))
    with file.transaction() as sql:
        sql.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (_GROUPS, sources.groups))


def _take_all_groups(config: Config, file: SqliteFile, sources: _Sources) -> bool:
    """Have the groups as reading all of patch-groups finds them; returns whether they are."""
    before = GroupsRecord(config).version
    done = lines_done(file)
    try:
        take_groups(file, Changes(config.patch_groups, done), done)
    except TryAgainLater:
        if sources.has_groups:
            return False  # It is being written.
        take_groups(file, None, done)
    if before and GroupsRecord(config).version == before:
        note_version(file, before)
    return True
