"""The patches of all configured projects, by message-id, and which of them changed since a plan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from patchsync.push.annotations import PatchRef, Revision
from patchsync.store.container import MboxPatchwork
from patchsync.store.layout import parse_line
from patchsync.sync.projects import Project


@dataclass(frozen=True)
class _Project:
    site: Project
    box: MboxPatchwork
    gone: frozenset[int]


class Patches:
    """A view of the stores of some projects; a context."""

    def __init__(self, sites: Iterable[Project]) -> None:
        self._stack = ExitStack()
        self._projects: list[_Project] = []
        for site in sites:
            box = self._stack.enter_context(site.open())
            self._projects.append(_Project(site, box, box.gone()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def revision(self, message_id: str) -> Revision:
        """A mail, and the patches that Patchwork has of it in these projects."""
        date = ""
        patches = []
        for project in self._projects:
            for entry in project.box.entries_of(message_id):
                if entry.patch_id not in project.gone:
                    date = min(filter(None, (date, entry.date)))
                    patches.append(
                        PatchRef(
                            patch_id=entry.patch_id,
                            project_id=project.site.paths.project_id,
                            link_name=project.site.name,
                        )
                    )
        return Revision(message_id=message_id, date=date, patches=tuple(patches))

    def positions(self) -> dict[str, str]:
        """How far each index goes, and what is gone: notes for `moved_since`."""
        notes = {}
        for project in self._projects:
            number = project.site.paths.project_id
            notes[f"index {number}"] = json.dumps(_end_of(project.site))
            notes[f"gone {number}"] = json.dumps(sorted(project.gone))
        return notes

    def moved_since(self, notes: Mapping[str, str | None]) -> set[str] | None:
        """Message-ids whose patches are not those that they were when `notes` were taken.

        None where that cannot be told, so that all are to be looked at.
        """
        moved: set[str] = set()
        for project in self._projects:
            number = project.site.paths.project_id
            position, gone = notes.get(f"index {number}"), notes.get(f"gone {number}")
            if position is None or gone is None:
                return None
            changed = project.gone.symmetric_difference(json.loads(gone))
            moved |= set(project.box.message_ids(changed).values())
            inode, offset = json.loads(position)
            now = _end_of(project.site)
            if now[0] != inode or now[1] < offset:
                return None
            moved.update(_message_ids(project.site, offset, now[1]))
        return moved


def _end_of(site: Project) -> tuple[int, int]:
    try:
        stat = site.paths.index.stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_ino, stat.st_size


def _message_ids(site: Project, start: int, end: int) -> Iterator[str]:
    """Those in the index between two offsets."""
    if start >= end:
        return
    with site.paths.index.open("rb") as index:
        index.seek(start)
        for line in index.read(end - start).split(b"\n"):
            if line:
                yield parse_line(line).message_id
