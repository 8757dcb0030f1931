"""How annotations are sent: the protocol that each sink fulfils, and what most of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Protocol

from patchsync.errors import AnswerLost
from patchsync.patchwork.annotator import Annotator
from patchsync.push.entries import Entry, Sink, TroubleKind, V
from patchsync.push.jobs import Job
from patchsync.push.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """For people: what was done with a patch in a sink, or would be."""

    patch_id: int
    sink: Sink
    # What was written, or what is in the way
    text: str
    # Whether something was written
    written: bool = False
    # Whether somebody should know of it
    trouble: bool = False
    # Whether a person decided otherwise, and that stays
    respected: bool = False


class Sender(Protocol):
    """Has Patchwork show what is desired in one sink; for a dry run, only says what it would do."""

    def send(self, job: Job) -> Iterator[Outcome]:
        """Do a job; yields what came of each patch.

        Raises:
            AnswerLost, ServerUnavailable: the next round goes on.
            Refused, NotPatchwork, ConfigError: nothing can be written at all.
        """


@dataclass(kw_only=True)
class PatchSender(ABC, Generic[V]):
    """A sender that goes patch by patch."""

    sink: ClassVar[Sink]
    # So many lost answers in one job: then the server is in trouble, not a patch.
    most_lost: ClassVar[int] = 3

    ledger: Ledger
    annotator: Annotator
    # Seconds since 1970
    clock: Callable[[], float]
    # From a claim on: by then the answer is there, or never comes.
    answer_seconds: float
    dry_run: bool = False

    def send(self, job: Job) -> Iterator[Outcome]:
        """See `Sender`."""
        lost = 0
        for entry in self.ledger.entries(self.sink, job.patch_ids).values():
            if self.dry_run and entry.desired == entry.observed:
                continue
            try:
                outcome = self.send_one(job.key, entry)
            except AnswerLost as error:
                # One patch that the server fails at does not hold up those behind it.
                lost += 1
                if lost == self.most_lost:
                    raise
                outcome = self.outcome(entry, str(error), trouble=True)
            if outcome:
                yield outcome

    @abstractmethod
    def send_one(self, key: str, entry: Entry[V]) -> Outcome | None:
        """Send what is desired of a patch; None where that is needless by now.

        `key`: the patch's project, as the configuration spells it. Raises as `send`.
        """

    def outcome(
        self, entry: Entry[Any], text: str, *, written: bool = False, trouble: bool = False
    ) -> Outcome:
        """What came of an entry."""
        return Outcome(
            patch_id=entry.patch_id, sink=self.sink, text=text, written=written, trouble=trouble
        )

    def note_trouble(
        self, entry: Entry[V], kind: TroubleKind, text: str, claim: int | None = None
    ) -> Outcome:
        """Note why an entry's value cannot be shown; ends `claim`.

        Of a patch that is gone all is forgotten: nothing is left to be mended.
        """
        if not self.dry_run:
            if kind is TroubleKind.GONE:
                self.ledger.forget([entry.patch_id])
            else:
                self.ledger.set_trouble(entry, kind, text, self.clock(), claim=claim)
        outcome = self.outcome(entry, text)
        if kind is TroubleKind.REPORT:
            return replace(outcome, respected=True)
        return replace(outcome, trouble=kind is not TroubleKind.GONE)
