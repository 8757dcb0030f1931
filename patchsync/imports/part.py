"""One project's mbox in an archive: what of it is to be stored, and what must not be."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

from patchsync.archive.plan import Plan, PlannedMail
from patchsync.archive.spool import Spool
from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.imports.listed import Comparison, hold_against
from patchsync.patchwork.download import too_large
from patchsync.store.container import MboxPatchwork
from patchsync.sync.compare import Remote
from patchsync.sync.projects import Project

# In the store; cannot be stored; in doubt, and Patchwork does not list such a patch; in doubt, and
# to be had from Patchwork; to be stored
Verdict = Literal["known", "quarantined", "not listed", "in doubt", "new"]

Tell = Callable[[int, int], object]

# A body that imitates a patch which came after the archive was made has an id above all in it.
NEWEST = 4
_BLOCK = 4096  # bytes that a file takes at least
_LINE = 512  # bytes that a mail takes in the index and its cache


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many mails of an mbox are what."""

    mails: int = 0
    known: int = 0
    quarantined: int = 0
    not_listed: int = 0
    in_doubt: int = 0
    new: int = 0
    # Of those that are new: in the mbox, and on the store's disk
    new_bytes: int = 0
    disk_bytes: int = 0


class Reason(NamedTuple):
    """Why a mail is not stored from here."""

    patch_id: int
    verdict: Verdict
    text: str


def _nobody(seen: int, pages: int) -> None:
    """Tell nobody."""


class Part:
    """An mbox, and the project that it is of; its mails are in `plan` once that is complete."""

    def __init__(self, config: Config, site: Project, plan: Plan, spool: Spool) -> None:
        self.site = site
        self.plan = plan
        self.spool = spool
        self._config = config
        # Mails in doubt that Patchwork does not list, so that nobody can fetch them; ascending
        self.absent = array("q")

    def judge(self, remote: Remote | None, *, bare: bool, tell: Tell = _nobody) -> None:
        """Find out which mails are in doubt; without `remote` only by what the archive says.

        Args:
            remote: the project's list in Patchwork.
            bare: nothing tells where the mbox should end.
            tell: is told how many pages of the list were seen, and of how many.

        Raises:
            GiveUp: it is another project's archive.
            UnknownProject: the server does not have the project.
        """
        plan = self.plan
        plan.forget_doubts()
        plan.doubt_what_contradicts_itself()
        with self.site.open() as box:
            renamed, same = self._compare_here(box)
            held = box.count - len(box.gone())
        plan.doubt_ids(renamed, "the store has another message-id for its patchwork id")
        told = Comparison()
        if remote is None:
            # A dumparchive holds the whole project.
            foreign = 2 * same < min(held, len(plan))
            foreign = foreign or (len(renamed) > same and 2 * len(renamed) > len(plan))
            why = (
                f"of the {len(plan)} patches in it {same} are in the store under the same "
                f"message-id, where {held} are; if it is, let Patchwork be asked"
            )
        else:
            at_once = self._config.fleet.downloads
            for seen, pages in hold_against(remote, plan.ids(), plan.claims, told, at_once):
                tell(seen, pages)
            plan.doubt_ids(told.absent, "Patchwork does not list it")
            plan.doubt_ids(told.renamed, "Patchwork has another message-id for its patchwork id")
            plan.doubt_the_newest(NEWEST, "it may be of a patch that came after the archive")
            if bare:
                plan.doubt_the_end("it is the last one, and may be cut off")
            foreign = not told.confirmed and len(plan) > 0
            why = f"none of the {len(plan)} patches in it is there under the same message-id"
        self.absent = told.absent
        if foreign:
            raise GiveUp(
                f"this is not the archive of {self.site.name} at {self._config.base_url}: {why}"
            )

    def verdicts(self, aside: Collection[int] = ()) -> Iterator[tuple[PlannedMail, Verdict]]:
        """What is to become of each mail, in the order of the mbox.

        `aside`: patchwork ids that the store has quarantined.
        """
        with self.site.open() as box:
            held = box.ids()
        for mail in self.plan.mails():
            if _holds(held, mail.patch_id):
                yield mail, "known"
            elif mail.patch_id in aside:
                yield mail, "quarantined"
            elif mail.doubt is not None:
                yield mail, "not listed" if _holds(self.absent, mail.patch_id) else "in doubt"
            elif self.fault(mail) is not None:
                yield mail, "quarantined"
            else:
                yield mail, "new"

    def fault(self, mail: PlannedMail) -> str | None:
        """Why a mail cannot be stored, None if it can."""
        if mail.fault is not None:
            return f"what the archive holds is not its mail: {mail.fault}"
        limit = self._config.patchwork.max_mail_bytes
        # The server serves it without the newline of the dump.
        return too_large(limit) if mail.length - 1 > limit else None

    def tally(self) -> Tally:
        """Count what is so now."""
        with self.site.open() as box:
            aside = box.quarantined()
        counts: Counter[Verdict] = Counter()
        new_bytes = disk_bytes = 0
        for mail, verdict in self.verdicts(aside):
            counts[verdict] += 1
            if verdict == "new":
                new_bytes += mail.length
                disk_bytes += -(-mail.length // _BLOCK) * _BLOCK + _LINE
        return Tally(
            mails=counts.total(),
            known=counts["known"],
            quarantined=counts["quarantined"],
            not_listed=counts["not listed"],
            in_doubt=counts["in doubt"],
            new=counts["new"],
            new_bytes=new_bytes,
            disk_bytes=disk_bytes,
        )

    def reasons(self) -> Iterator[Reason]:
        """The patches that are not in the store and cannot be stored from here, and why."""
        with self.site.open() as box:
            aside = box.quarantined()
        for mail, verdict in self.verdicts(aside):
            if verdict == "quarantined":
                there = aside.get(mail.patch_id)
                text = there.reason if there else self.fault(mail)
            elif verdict in ("not listed", "in doubt"):
                text = mail.doubt
            else:
                continue
            yield Reason(mail.patch_id, verdict, text or "")

    def to_fetch(self) -> list[int]:
        """The patches that are in doubt here, are not stored, and may be had from Patchwork."""
        return sorted({mail.patch_id for mail, verdict in self.verdicts() if verdict == "in doubt"})

    def _compare_here(self, box: MboxPatchwork) -> tuple[set[int], int]:
        """The claimed ids that the store has under another message-id, and how many under this."""
        ids = iter(self.plan.ids())
        renamed, same = set[int](), 0
        while some := list(islice(ids, 10_000)):
            ours, claimed = box.message_ids(some), self.plan.claims(some)
            other = {each for each in ours if claimed[each] not in (ours[each], None)}
            renamed |= other
            same += len(ours) - len(other)
        return renamed, same


def _holds(ids: array[int], patch_id: int) -> bool:
    place = bisect_left(ids, patch_id)
    return place < len(ids) and ids[place] == patch_id
