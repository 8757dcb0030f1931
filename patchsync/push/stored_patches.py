"""The patches of all configured projects, by message-id, and which of them changed since a plan."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple, Self

from patchsync.push.annotations import PatchRef, Revision
from patchsync.push.authorship import LONGEST_HEAD, UNKNOWN_ORIGIN, Origin, read_origin
from patchsync.store.container import MboxPatchwork
from patchsync.store.files import storing
from patchsync.store.layout import IndexEntry, parse_line
from patchsync.sync.projects import Project


@dataclass(frozen=True)
class _OpenStore:
    project: Project
    container: MboxPatchwork
    gone: frozenset[int]
    # The project's
    number: int


class StoredPatch(NamedTuple):
    """A patch, and where its mail is."""

    entry: IndexEntry
    store: _OpenStore


class StoredPatches:
    """A view of the stores of some projects; a context."""

    def __init__(self, projects: Iterable[Project]) -> None:
        self._stack = ExitStack()
        self._stores: list[_OpenStore] = []
        for project in projects:
            container = self._stack.enter_context(project.open())
            number = project.paths.project_id
            self._stores.append(_OpenStore(project, container, container.gone(), number))
        self._list_addresses = {store.project.paths.listaddr.lower() for store in self._stores}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def find(self, message_ids: Collection[str]) -> dict[str, list[StoredPatch]]:
        """The patches that Patchwork has of some mails in these projects, by message-id.

        Raises StoreUnavailable.
        """
        found: dict[str, list[StoredPatch]] = {}
        for store in self._stores:
            for entry in store.container.entries_of_all(message_ids):
                if entry.patch_id not in store.gone:
                    found.setdefault(entry.message_id, []).append(StoredPatch(entry, store))
        return found

    def revision(
        self, message_id: str, patches: Collection[StoredPatch], with_origin: bool = False
    ) -> Revision:
        """A mail, and what `find` found of it.

        `with_origin`: read where it comes from, too. Raises StoreUnavailable.
        """
        if len(patches) == 1 and not with_origin:
            [(entry, store)] = patches
            ref = PatchRef(entry.patch_id, store.number)
            return Revision(message_id=message_id, date=entry.date, patches=(ref,))
        origin = UNKNOWN_ORIGIN
        if with_origin:
            for patch in patches:
                origin = origin.merged(self._origin(patch.store, patch.entry))
        return Revision(
            message_id=message_id,
            date=min([entry.date for entry, _ in patches], default=""),
            patches=tuple([PatchRef(entry.patch_id, store.number) for entry, store in patches]),
            origin=origin,
        )

    def present(self, patch_ids: Collection[int]) -> set[int]:
        """Those of the patches that are in these stores, and not gone from Patchwork."""
        return {
            patch_id
            for store in self._stores
            for patch_id in store.container.message_ids(patch_ids).keys() - store.gone
        }

    def _origin(self, store: _OpenStore, entry: IndexEntry) -> Origin:
        """Unknown where the mail is missing."""
        path = store.project.paths.mail(entry.date, entry.md5)
        with storing(path):
            try:
                with path.open("rb") as mail:
                    head = mail.read(LONGEST_HEAD)
            except FileNotFoundError:
                return UNKNOWN_ORIGIN
        return read_origin(head, entry.message_id, self._list_addresses)

    def positions(self) -> dict[str, str]:
        """How far each index goes, and what is gone: notes for `moved_since`."""
        notes = {}
        for store in self._stores:
            notes[f"index {store.number}"] = json.dumps(_end_of(store.project))
            notes[f"gone {store.number}"] = json.dumps(sorted(store.gone))
        return notes

    def moved_since(self, notes: Mapping[str, str | None]) -> set[str] | None:
        """Message-ids whose patches are not those that they were when `notes` were taken.

        None where that cannot be told, so that all are to be looked at.
        """
        moved: set[str] = set()
        for store in self._stores:
            position, gone = notes.get(f"index {store.number}"), notes.get(f"gone {store.number}")
            if position is None or gone is None:
                return None
            changed = store.gone.symmetric_difference(json.loads(gone))
            moved |= set(store.container.message_ids(changed).values())
            inode, offset = json.loads(position)
            now = _end_of(store.project)
            if now[0] != inode or now[1] < offset:
                return None
            moved.update(_message_ids(store.project, offset, now[1]))
        return moved


def _end_of(project: Project) -> tuple[int, int]:
    """Inode and size of a project's index; zeros where there is none."""
    try:
        stat = project.paths.index.stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_ino, stat.st_size


def _message_ids(project: Project, start: int, end: int) -> Iterator[str]:
    """Those in a project's index between two offsets."""
    if start >= end:
        return
    with project.paths.index.open("rb") as index:
        index.seek(start)
        for line in index.read(end - start).split(b"\n"):
            if line:
                yield parse_line(line).message_id
