"""What a look at a project's list found, and what a round and an audit share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from patchsync.errors import ServerRestored
from patchsync.patchwork.client import Client, ProjectRemote
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.paging import Answer, Page
from patchsync.store.container import MboxPatchwork
from patchsync.store.expected import expected
from patchsync.store.halt import halt
from patchsync.sync.compare import PageToFetch
from patchsync.sync.id_set import IdSet
from patchsync.sync.projects import Project


@dataclass(frozen=True, kw_only=True)
class Differences:
    """In what a project's list and the store differ, as far as it was looked at."""

    # Pages to fetch
    want: tuple[PageToFetch, ...] = ()
    # For the store: what is gone, and what is back; None if nothing
    seen: FetchResult | None = None
    # Quarantined patches that are due for another try
    due: tuple[int, ...] = ()
    # Of an audit: whether that was its last page
    ended: bool = False
    # What was compared and what came of it, for the log
    summary: str = ""


class RememberingRemote(ProjectRemote):
    """A project on its server; keeps the message-ids that were listed, by patchwork id."""

    def __init__(self, client: Client, key: str) -> None:
        super().__init__(client, key)
        self.listed: dict[int, str] = {}

    def list_page(self, page: Page) -> Answer | None:
        """As `ProjectRemote`."""
        answer = super().list_page(page)
        if answer is not None:
            self.listed.update(answer.entries)
        return answer

    def evidence(self, gone: Iterable[int], back: Iterable[int]) -> FetchResult | None:
        """What the store is to note of patches seen to be gone, or back; None if nothing."""
        listed = tuple((patch_id, self.listed[patch_id]) for patch_id in sorted(back))
        result = FetchResult(gone=tuple(sorted(gone)), listed=listed)
        return result if result != FetchResult() else None


def known_ids(project: Project, container: MboxPatchwork) -> tuple[IdSet, int]:
    """What need not be fetched: what is held and not gone, and what an import will bring.

    Returns also how many of it are still to come.
    """
    coming = expected(project.paths)  # First: what arrives meanwhile is held by then.
    known = IdSet(container.held(), container.gone())
    held = len(known)
    gone = known.gone
    known.add(patch_id for patch_id in coming if patch_id not in gone)
    return known, len(known) - held


def demand_same_messages(
    project: Project, container: MboxPatchwork, remote: RememberingRemote
) -> None:
    """Halt the project where its server lists another message-id than the store has for a patch.

    Raises:
        ServerRestored: it does.
    """
    for patch_id, message_id in remote.listed.items():
        ours = container.message_id_of(patch_id)
        if ours is not None and ours != message_id:
            error = ServerRestored(
                f"{project.paths.index}: patch {patch_id} is {ours} here, but {message_id!r} at the"
                " server; was its database restored from a backup?"
            )
            halt(project.paths, str(error))
            raise error
