"""Bringing the file patch-groups up to date: only the lines of groups that changed."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from patchsync.analysis.builtin.kept import KeptPatches
from patchsync.analysis.group_file import format_group, read_content, write_content
from patchsync.analysis.own_groups import OwnGroups, fingerprint
from patchsync.errors import GiveUp, TryAgainLater
from patchsync.store.files import replace_file

_GROUPS = """
SELECT grp, name, is_commit FROM patch WHERE grp IN
    (SELECT grp FROM unwritten CROSS JOIN patch USING (name)) ORDER BY grp
"""
_ALL_GROUPS = "SELECT grp, name, is_commit FROM patch WHERE grp IS NOT NULL ORDER BY grp"
# The fingerprint of the file as it was when all of it was written: what is not since is noted.
_WRITTEN = "written"
# Lines of commits alone stand last.
_ALONE = b"=> "


class Written(NamedTuple):
    """What became of the file."""

    # Lines that are new or other ones; where there are none, those that are gone
    changed: int
    # Lines of it
    groups: int


def write_groups(kept: KeptPatches, path: Path, own: OwnGroups, *, overwrite: bool) -> Written:
    """Replace what changed in the file `path`, or all of it where it is not what we wrote last.

    Raises:
        GiveUp: somebody else wrote it, and `overwrite` is not given.
        TryAgainLater: somebody else writes it right now.
    """
    there = read_content(path)
    found = None if there is None else fingerprint(there)
    ours = found is not None and own.wrote(found)
    lines = (there or b"").splitlines(keepends=True)
    with kept.reporting():
        if ours and kept.note(_WRITTEN) == found:
            names = {name.encode() for (name,) in kept.sql.execute("SELECT name FROM unwritten")}
            if not names:
                return Written(0, len(lines))
            fresh = [line for line in lines if names.isdisjoint(line.split())]
            for line in _lines(kept.sql.execute(_GROUPS)):
                insort(fresh, line, key=_place)
        else:
            fresh = sorted(_lines(kept.sql.execute(_ALL_GROUPS)), key=_place)
    content = b"".join(fresh)
    now = fingerprint(content)
    changed = len(set(fresh).difference(lines)) or len(set(lines).difference(fresh))
    if now != found and (fresh or lines):
        if there is not None and not ours:
            _give_way(path, there, changed, overwrite=overwrite)
        if read_content(path) != there:
            raise TryAgainLater(f"{path} was written by somebody else at this moment")
        with own.writing(now):
            write_content(path, content)
    elif found and not ours:
        own.note(now)
    with kept.transaction():
        kept.sql.execute("DELETE FROM unwritten")
        kept.set_note(_WRITTEN, now)
    return Written(changed, len(fresh))


def _lines(rows: Iterable[tuple[int, str, int]]) -> Iterator[bytes]:
    for _, members in groupby(rows, key=lambda row: row[0]):
        named = list(members)
        yield format_group(
            [name for _, name, is_commit in named if not is_commit],
            [name for _, name, is_commit in named if is_commit],
        )


def _place(line: bytes) -> tuple[bool, bytes]:
    return line.startswith(_ALONE), line


def _give_way(path: Path, there: bytes, changed: int, *, overwrite: bool) -> None:
    if not overwrite:
        raise GiveUp(
            f"{path} was written by somebody else, and {changed} lines of it would change; to have"
            " it written by patchsync from now on, run `patchsync analyse --overwrite` (which keeps"
            ' it beside), or set [analysis] engine = "none"'
        )
    replace_file(path.with_name(path.name + ".before"), there)
