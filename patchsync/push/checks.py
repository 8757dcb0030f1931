"""Posts checks, each once: Patchwork keeps each that it is sent, and none can be taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from patchsync.errors import AnswerLost, GoneThere, NotWritten, PatchsyncError
from patchsync.patchwork.schemas import Check, User
from patchsync.push.daily_checks import until_tomorrow
from patchsync.push.entries import (
    CheckValue,
    Claimed,
    Entry,
    Needless,
    Sink,
    TroubleKind,
    Unsure,
    Wait,
)
from patchsync.push.sending import Outcome, PatchSender

# What stands where nothing is to be said any more.
WITHDRAWN = CheckValue(state="pending", description="withdrawn", target_url="")


@dataclass(kw_only=True)
class CheckSender(PatchSender[CheckValue]):
    """Brings the checks of patches to what is desired."""

    sink: ClassVar[Sink] = Sink.CHECK
    user: User
    context: str
    # Checks on the patches of one group in a day
    per_group_and_day: int

    def send_one(self, key: str, entry: Entry[CheckValue]) -> Outcome | None:
        """Post the check; one whose answer was lost is looked up when it is sent next."""
        if self.dry_run:
            return self.outcome(entry, _text(entry), written=True)
        claim = self._claim(entry)
        if isinstance(claim, Unsure):
            self._look_up(key, entry, claim)
            # Reading may have taken long, and a claim counts from when something is sent.
            claim = self._claim(entry)
        if isinstance(claim, Wait):
            text = f"somebody is at it, or an answer was lost: looked up in {claim.seconds:.0f} s"
            return self.outcome(entry, text)
        if isinstance(claim, Outcome):
            return claim
        return self._post(key, entry, claim.claim) if isinstance(claim, Claimed) else None

    def _claim(
        self, entry: Entry[CheckValue]
    ) -> Claimed | Unsure[CheckValue] | Wait | Needless | Outcome:
        """As the ledger's, with the check counted for the day; why it must wait where it must."""
        now = self.clock()
        with self.ledger.transaction():
            claim = self.ledger.claim(entry, now, self.answer_seconds)
            if not isinstance(claim, Claimed) or entry.desired is None:
                return claim
            if self.ledger.daily_checks.take(entry.patch_id, now, self.per_group_and_day):
                return claim
            self.ledger.release(entry, claim.claim)
        return self.outcome(entry, f"waits {until_tomorrow(self.per_group_and_day)}")

    def _release(self, entry: Entry[CheckValue], claim: int, value: CheckValue | None) -> None:
        """End a claim of which nothing came; `value`: what was claimed."""
        with self.ledger.transaction():
            if self.ledger.release(entry, claim) and value is not None:
                self.ledger.daily_checks.give_back(entry.patch_id, self.clock())

    def _look_up(self, key: str, entry: Entry[CheckValue], claim: Unsure[CheckValue]) -> None:
        """End a claim by what the server has."""
        try:
            check = self.annotator.newest_check(key, entry.patch_id, self.user.id, self.context)
        except GoneThere:
            check = None
        if check is not None and observed_value(check) == claim.value:
            self.ledger.arrived(entry, claim.claim, claim.value, self.clock())
        else:
            self._release(entry, claim.claim, claim.value)

    def _post(self, key: str, entry: Entry[CheckValue], claim: int) -> Outcome:
        content = vars(entry.desired or WITHDRAWN)
        try:
            self.annotator.post_check(key, entry.patch_id, context=self.context, **content)
        except AnswerLost:
            raise
        except NotWritten as error:
            if entry.desired is None and isinstance(error, GoneThere):
                self.ledger.arrived(entry, claim, None, self.clock())
                return self.outcome(entry, "it is gone from Patchwork: nothing to withdraw")
            self._release(entry, claim, entry.desired)
            return self.note_trouble(entry, TroubleKind.of(error), str(error))
        except PatchsyncError:
            self._release(entry, claim, entry.desired)
            raise
        self.ledger.arrived(entry, claim, entry.desired, self.clock())
        return self.outcome(entry, _text(entry), written=True)


def observed_value(check: Check) -> CheckValue | None:
    """The value that a check shows; None for one that is withdrawn."""
    value = CheckValue(
        state=check.state, description=check.description, target_url=check.target_url
    )
    return None if value == WITHDRAWN else value


def _text(entry: Entry[CheckValue]) -> str:
    value = entry.desired or WITHDRAWN
    return f"{value.state}: {value.description}"
