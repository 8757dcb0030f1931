"""Bringing the file patch-groups up to date, unless somebody else wrote it: only what changed."""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from patchsync.analysis.builtin.cache import PatchCache
from patchsync.analysis.groups import format_group, read_content, write_content
from patchsync.config import Config
from patchsync.errors import GiveUp, TryAgainLater
from patchsync.store.files import replace_file
from patchsync.store.json_file import read_record
from patchsync.store.layout import OWN_FOLDER

_UNWRITTEN_GROUPS = """
SELECT grp, name, is_commit FROM patch WHERE grp IN
    (SELECT grp FROM unwritten CROSS JOIN patch USING (name)) ORDER BY grp
"""
_ALL_GROUPS = "SELECT grp, name, is_commit FROM patch WHERE grp IS NOT NULL ORDER BY grp"
# Key of a note: the fingerprint of the file as the table `unwritten` takes it to be
_WRITTEN = "written"
# Lines of commits alone stand last.
_COMMITS_ALONE = b"=> "


class FileOwnership:
    """Whether patch-groups is ours: the record `groups.json` of the fingerprints that we wrote."""

    def __init__(self, config: Config) -> None:
        self._file = config.d_mbox / OWN_FOLDER / "groups.json"

    def is_ours(self, written: str) -> bool:
        """Whether we wrote what has this fingerprint last, or began to and were stopped."""
        return written in self._fingerprints()

    @property
    def ever_wrote(self) -> bool:
        """Whether we wrote any."""
        return bool(self._fingerprints())

    def claim(self, written: str) -> None:
        """Record that what has this fingerprint, and is there already, is ours."""
        self._record(written)

    @contextmanager
    def writing(self, written: str) -> Iterator[None]:
        """Write it within: whatever stops us, the one of before and this one are ours."""
        self._record(*self._fingerprints(), written)
        yield
        self._record(written)

    def _fingerprints(self) -> list[str]:
        fingerprints: list[str] = (read_record(self._file) or {}).get("hashes", [])
        return fingerprints

    def _record(self, *fingerprints: str) -> None:
        replace_file(self._file, json.dumps({"hashes": fingerprints}).encode() + b"\n")


def fingerprint(content: bytes) -> str:
    """What tells one content of patch-groups from another."""
    return blake2b(content, digest_size=20).hexdigest()


class WrittenGroups(NamedTuple):
    """What became of the file."""

    # Lines that are new or other ones; where there are none, those that are gone
    changed: int
    # Lines of it
    groups: int


def write_groups(
    cache: PatchCache, path: Path, ownership: FileOwnership, *, overwrite: bool
) -> WrittenGroups:
    """Replace what changed in the file `path`, or all of it where it is not what we wrote last.

    Raises:
        GiveUp: somebody else wrote it, and `overwrite` is not given.
        TryAgainLater: somebody else writes it right now.
    """
    before = read_content(path)
    written = None if before is None else fingerprint(before)
    is_ours = written is not None and ownership.is_ours(written)
    lines_before = (before or b"").splitlines(keepends=True)
    if is_ours and cache.note(_WRITTEN) == written:
        names = {name.encode() for (name,) in cache.rows("SELECT name FROM unwritten")}
        if not names:
            return WrittenGroups(0, len(lines_before))
        lines = [line for line in lines_before if names.isdisjoint(line.split())]
        for line in _lines(cache, _UNWRITTEN_GROUPS):
            insort(lines, line, key=_place)
    else:
        lines = sorted(_lines(cache, _ALL_GROUPS), key=_place)
    content = b"".join(lines)
    to_write = fingerprint(content)
    changed = len(set(lines).difference(lines_before)) or len(set(lines_before).difference(lines))
    if to_write != written and (lines or lines_before):
        if before is not None and not is_ours:
            _demand_overwrite(path, before, changed, overwrite=overwrite)
        if read_content(path) != before:
            raise TryAgainLater(f"{path} was written by somebody else at this moment")
        with ownership.writing(to_write):
            write_content(path, content)
    elif written and not is_ours:
        ownership.claim(to_write)
    with cache.transaction() as sql:
        sql.execute("DELETE FROM unwritten")
        cache.set_note(_WRITTEN, to_write)
    return WrittenGroups(changed, len(lines))


def _lines(cache: PatchCache, query: str) -> Iterator[bytes]:
    """The lines of the groups that a query finds, as rows of group, name, is_commit."""
    with cache.reporting():
        for _, rows in groupby(cache.sql.execute(query), key=lambda row: row[0]):
            members = [(name, is_commit) for _, name, is_commit in rows]
            yield format_group(
                [name for name, is_commit in members if not is_commit],
                [name for name, is_commit in members if is_commit],
            )


def _place(line: bytes) -> tuple[bool, bytes]:
    return line.startswith(_COMMITS_ALONE), line


def _demand_overwrite(path: Path, before: bytes, changed: int, *, overwrite: bool) -> None:
    """Refuse what somebody else wrote, or with `overwrite` keep it beside ours."""
    if not overwrite:
        raise GiveUp(
            f"{path} was written by somebody else, and {changed} lines of it would change; to have"
            " it written by patchsync from now on, run `patchsync analyse --overwrite` (which keeps"
            ' it beside), or set [analysis] engine = "none"'
        )
    replace_file(path.with_name(path.name + ".before"), before)
