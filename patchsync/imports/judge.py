"""One project's mbox in an archive: which of its mails are to be stored, and which must not be."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.imports.inventory import Inventory, InventoryMail
from patchsync.imports.list_comparison import OnPage, compare_with_list
from patchsync.patchwork.download import too_large
from patchsync.sync.compare import Remote
from patchsync.sync.projects import Project

# In the store; cannot be stored; in doubt, and Patchwork does not list such a patch; in doubt, and
# to be had from Patchwork; to be stored
Verdict = Literal["stored", "quarantined", "not listed", "in doubt", "new"]

# A body that imitates a patch which came after the archive was made has an id above all in it.
NEWEST = 4
_BLOCK = 4096  # bytes that a file takes at least
_LINE = 512  # bytes that a mail takes in the index and its cache
_IDS = 10_000  # compared with the store at a time


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many mails of an mbox have which verdict."""

    mails: int = 0
    stored: int = 0
    quarantined: int = 0
    not_listed: int = 0
    in_doubt: int = 0
    new: int = 0
    # Of those that are new: in the mbox, and on the store's disk
    new_bytes: int = 0
    disk_bytes: int = 0


class Refusal(NamedTuple):
    """Why a mail is not stored from here."""

    patch_id: int
    verdict: Verdict
    text: str


def _ignore(seen: int, pages: int) -> None:
    """Nobody wants to know."""


class ProjectMbox:
    """An mbox, and the project that it is of; its mails are in `inventory` once that is complete.

    A mail in doubt may be another text than the project's patch: it is not stored from here.
    """

    def __init__(self, config: Config, project: Project, inventory: Inventory) -> None:
        self.project = project
        self.inventory = inventory
        self._config = config
        # Mails in doubt that Patchwork does not list, so that nobody can fetch them; ascending
        self._not_listed = array("q")

    def judge(self, remote: Remote | None, *, bare: bool, on_page: OnPage = _ignore) -> None:
        """Find out which mails are in doubt; without `remote` only the archive and the store tell.

        Args:
            remote: the project's list in Patchwork.
            bare: nothing tells where the mbox should end.
            on_page: is told of each page of the list.

        Raises:
            GiveUp: it is another project's archive.
            UnknownProject: the server does not have the project.
        """
        self.inventory.forget_doubts()
        self.inventory.doubt_contradictions()
        confirmed, renamed = self._compare_with_store()
        self.inventory.doubt_ids(renamed, "the store has another message-id for its patchwork id")
        if remote is None:
            self._demand_own_by_store(confirmed, len(renamed))
        else:
            self._judge_by_list(remote, bare, on_page)

    def _compare_with_store(self) -> tuple[int, set[int]]:
        """How many claimed ids the store has under the same message-id; which under another."""
        confirmed, renamed = 0, set[int]()
        ids = iter(self.inventory.ids())
        with self.project.open() as container:
            while some := list(islice(ids, _IDS)):
                stored, claimed = container.message_ids(some), self.inventory.claims(some)
                other = {n for n in stored if claimed[n] not in (stored[n], None)}
                renamed |= other
                confirmed += len(stored) - len(other)
        return confirmed, renamed

    def _demand_own_by_store(self, confirmed: int, renamed: int) -> None:
        """Refuse an archive that cannot be of this project, as far as the store tells.

        A dumparchive holds the whole project. So most of what the store has is in it, or most of
        it in the store, whichever is less; and where both have an id, it means the same message.
        """
        claimed = len(self.inventory)
        with self.project.open() as container:
            held = container.count - len(container.gone())
        too_few = 2 * confirmed < min(held, claimed)
        contradicted = renamed > confirmed and 2 * renamed > claimed
        if too_few or contradicted:
            raise self._another_projects(
                f"of the {claimed} patches in it {confirmed} are in the store under the same "
                f"message-id, where {held} are; if it is, let Patchwork be asked"
            )

    def _judge_by_list(self, remote: Remote, bare: bool, on_page: OnPage) -> None:
        """Doubt what Patchwork does not list so, and what came too late for its list to tell."""
        inventory = self.inventory
        comparison = compare_with_list(
            remote, inventory.ids(), inventory.claims, on_page, self._config.fleet.downloads
        )
        self._not_listed = comparison.absent
        if not comparison.confirmed and len(inventory):
            raise self._another_projects(
                f"none of the {len(inventory)} patches in it is there under the same message-id"
            )
        inventory.doubt_ids(comparison.absent, "Patchwork does not list it")
        inventory.doubt_ids(
            comparison.renamed, "Patchwork has another message-id for its patchwork id"
        )
        inventory.doubt_newest(NEWEST, "it may be of a patch that came after the archive")
        if bare:
            inventory.doubt_end("it is the last one, and may be cut off")

    def _another_projects(self, why: str) -> GiveUp:
        return GiveUp(
            f"this is not the archive of {self.project.name} at {self._config.base_url}: {why}"
        )

    def verdicts(
        self, quarantined: Collection[int] = ()
    ) -> Iterator[tuple[InventoryMail, Verdict]]:
        """What is to become of each mail, in the order of the mbox.

        `quarantined`: patchwork ids that the store has in quarantine, so that they are not new.
        """
        with self.project.open() as container:
            stored = container.ids()
        for mail in self.inventory.mails():
            if _contains(stored, mail.patch_id):
                yield mail, "stored"
            elif mail.patch_id in quarantined:
                yield mail, "quarantined"
            elif mail.doubt is not None:
                not_listed = _contains(self._not_listed, mail.patch_id)
                yield mail, "not listed" if not_listed else "in doubt"
            elif self.fault(mail) is not None:
                yield mail, "quarantined"
            else:
                yield mail, "new"

    def fault(self, mail: InventoryMail) -> str | None:
        """Why a mail cannot be stored, None if it can."""
        if mail.fault is not None:
            return f"what the archive holds is not its mail: {mail.fault}"
        limit = self._config.patchwork.max_mail_bytes
        # The server serves it without the newline of the dump.
        return too_large(limit) if mail.length - 1 > limit else None

    def tally(self) -> Tally:
        """Count the verdicts as they are now."""
        with self.project.open() as container:
            quarantined = container.quarantined()
        counts: Counter[Verdict] = Counter()
        new_bytes = disk_bytes = 0
        for mail, verdict in self.verdicts(quarantined):
            counts[verdict] += 1
            if verdict == "new":
                new_bytes += mail.length
                disk_bytes += -(-mail.length // _BLOCK) * _BLOCK + _LINE
        return Tally(
            mails=counts.total(),
            stored=counts["stored"],
            quarantined=counts["quarantined"],
            not_listed=counts["not listed"],
            in_doubt=counts["in doubt"],
            new=counts["new"],
            new_bytes=new_bytes,
            disk_bytes=disk_bytes,
        )

    def reasons(self) -> Iterator[Refusal]:
        """The patches that are not in the store and cannot be stored from here, and why."""
        with self.project.open() as container:
            quarantined = container.quarantined()
        for mail, verdict in self.verdicts(quarantined):
            if verdict == "quarantined":
                entry = quarantined.get(mail.patch_id)
                text = entry.reason if entry else self.fault(mail)
            elif verdict in ("not listed", "in doubt"):
                text = mail.doubt
            else:
                continue
            yield Refusal(mail.patch_id, verdict, text or "")

    def ids_to_fetch(self) -> list[int]:
        """The patches that are in doubt here, are not stored, and may be had from Patchwork."""
        return sorted({mail.patch_id for mail, verdict in self.verdicts() if verdict == "in doubt"})


def _contains(ids: array[int], patch_id: int) -> bool:
    """`ids` are ascending."""
    place = bisect_left(ids, patch_id)
    return place < len(ids) and ids[place] == patch_id
