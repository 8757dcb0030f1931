"""Bringing the file patch-groups up to date, unless somebody else wrote it: only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from patchsync.analysis.builtin.cache import PatchCache
from patchsync.analysis.group_file import Edit, Looks, looks_of, place, write_content
from patchsync.analysis.groups import format_group, read_content
from patchsync.analysis.groups_record import (
    GroupsRecord,
    fingerprint,
    fingerprint_after,
    settled,
)
from patchsync.errors import GiveUp, TryAgainLater
from patchsync.store.files import replace_file

_CHANGED_GROUPS = """
SELECT grp, name, is_commit FROM patch WHERE grp IN
    (SELECT grp FROM unwritten CROSS JOIN patch USING (name)) ORDER BY grp
"""
_ALL_GROUPS = "SELECT grp, name, is_commit FROM patch WHERE grp IS NOT NULL ORDER BY grp"
# Key of a note: the version of the file that the tables `unwritten` and `outdated` set out from
_WRITTEN = "written"
# Of names and lines; where more changed, all is written.
_FEW = 10_000


class WrittenGroups(NamedTuple):
    """What became of the file."""

    # Lines that are new or other ones; where there are none, those that are gone
    changed: int
    # Lines of it
    groups: int


def write_groups(
    cache: PatchCache, path: Path, record: GroupsRecord, *, overwrite: bool
) -> WrittenGroups:
    """Replace what changed in the file `path`, or all of it where it is not what we wrote last.

    Raises:
        GiveUp: somebody else wrote it, and `overwrite` is not given.
        TryAgainLater: somebody else writes it right now.
    """
    version = record.version
    if version is None or version != cache.note(_WRITTEN):
        return _write_all(cache, path, record, overwrite=overwrite)
    changes = cache.value(
        "SELECT (SELECT count(*) FROM unwritten) + (SELECT count(*) FROM outdated)"
    )
    if not changes:
        return WrittenGroups(0, record.lines)
    if changes > _FEW:
        return _write_all(cache, path, record, overwrite=overwrite)
    return _write_changes(cache, path, record, version)


def _write_changes(
    cache: PatchCache, path: Path, record: GroupsRecord, version: str
) -> WrittenGroups:
    """Write what changed since this version, which the file has."""
    assert record.looks is not None
    outdated = {line for (line,) in cache.rows("SELECT line FROM outdated")}
    new = set(_lines(cache, _CHANGED_GROUPS))
    edit = Edit(path, record.looks, outdated - new, new)
    lines = record.lines + len(edit.new) - len(edit.gone)
    if edit.new or edit.gone:
        version = fingerprint_after(version, edit.gone, edit.new)
        with record.writing(version):
            looks = edit.write()
        record.wrote(version, looks, lines, (edit.gone, edit.new))
    _note_written(cache, version)
    return WrittenGroups(len(edit.new) or len(edit.gone), lines)


def _write_all(
    cache: PatchCache, path: Path, record: GroupsRecord, *, overwrite: bool
) -> WrittenGroups:
    looks: Looks | None = settled(looks_of(path))
    before = read_content(path)
    lines = sorted(_lines(cache, _ALL_GROUPS), key=place)
    lines_before = (before or b"").splitlines(keepends=True)
    changed = len(set(lines).difference(lines_before)) or len(set(lines_before).difference(lines))
    content = b"".join(lines)
    version = fingerprint(lines)
    if content != before and (lines or lines_before):
        if before is not None and not record.is_ours(before):
            _demand_overwrite(path, before, changed, overwrite=overwrite)
        if read_content(path) != before:
            raise TryAgainLater(f"{path} was written by somebody else at this moment")
        with record.writing(version):
            looks = write_content(path, content)
        record.wrote(version, looks, len(lines))
    elif before is not None:
        record.wrote(version, looks, len(lines))
    _note_written(cache, version)
    return WrittenGroups(changed, len(lines))


def _note_written(cache: PatchCache, version: str) -> None:
    with cache.transaction() as sql:
        sql.execute("DELETE FROM unwritten")
        sql.execute("DELETE FROM outdated")
        cache.set_note(_WRITTEN, version)


def _lines(cache: PatchCache, query: str) -> Iterator[bytes]:
    """The lines of the groups that a query finds, as rows of group, name, is_commit."""
    with cache.reporting():
        for _, rows in groupby(cache.sql.execute(query), key=lambda row: row[0]):
            members = [(name, is_commit) for _, name, is_commit in rows]
            yield format_group(
                [name for name, is_commit in members if not is_commit],
                [name for name, is_commit in members if is_commit],
            )


def _demand_overwrite(path: Path, before: bytes, changed: int, *, overwrite: bool) -> None:
    """Refuse what somebody else wrote, or with `overwrite` keep it beside ours."""
    if not overwrite:
        raise GiveUp(
            f"{path} was written by somebody else, and {changed} lines of it would change; to have"
            " it written by patchsync from now on, run `patchsync analyse --overwrite` (which keeps"
            ' it beside), or set [analysis] engine = "none"'
        )
    replace_file(path.with_name(path.name + ".before"), before)
