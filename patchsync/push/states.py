"""Sets the states of patches, only from those that the configuration lists, never twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from patchsync.errors import AnswerLost, NotWritten, PatchsyncError
from patchsync.patchwork.schemas import PatchView, User
from patchsync.push.entries import Claimed, Entry, Sink, StateValue, TroubleKind, Unsure, Wait
from patchsync.push.sending import Outcome, PatchSender


@dataclass(kw_only=True)
class StateSender(PatchSender[StateValue]):
    """Brings the states of patches to what is desired, where no person chose another."""

    sink: ClassVar[Sink] = Sink.STATE
    user: User
    only_from: tuple[str, ...]

    def send_one(self, key: str, entry: Entry[StateValue]) -> Outcome | None:
        """Set the state; None also where it is so already.

        A patch whose state is not the one that we set, or not one of those that we may change, is
        left alone: somebody chose it. After a lost answer, or a kill, it is first looked up.
        """
        if self.dry_run:
            return self._send(key, entry, None)
        claim = self.ledger.claim(entry, self.clock(), self.answer_seconds)
        if isinstance(claim, Unsure):
            self._look_up(key, entry, claim)
            entry = self.ledger.entries(self.sink, [entry.patch_id])[entry.patch_id]
            # Reading may have taken long, and a claim counts from when something is sent.
            claim = self.ledger.claim(entry, self.clock(), self.answer_seconds)
        if isinstance(claim, Wait):
            text = f"somebody is at it, or an answer was lost: looked up in {claim.seconds:.0f} s"
            return self.outcome(entry, text)
        return self._send(key, entry, claim.claim) if isinstance(claim, Claimed) else None

    def _look_up(self, key: str, entry: Entry[StateValue], claim: Unsure[StateValue]) -> None:
        """End a claim by what the server has."""
        view = self.annotator.view(key, entry.patch_id)
        sent = claim.value
        if (
            view
            and sent
            and (_is_as(view, sent) or self._was_changed_since(key, entry.patch_id, sent))
        ):
            self.ledger.arrived(entry, claim.claim, sent, self.clock())
        else:
            self.ledger.release(entry, claim.claim)

    def _was_changed_since(self, key: str, patch_id: int, sent: StateValue) -> bool:
        """Whether our last change was to set it so, and somebody changed it after that."""
        events = self.annotator.state_events(key, patch_id)
        ours = [event for event in events if event.actor_id == self.user.id]
        return bool(ours) and ours[-1].state == sent.state and events[-1] is not ours[-1]

    def _send(self, key: str, entry: Entry[StateValue], claim: int | None) -> Outcome | None:
        """Set what may be set; `claim`: None for a dry run."""
        desired, before = entry.desired, entry.observed
        if desired is None:
            if claim is not None:
                self.ledger.leave(entry, claim)
            return None
        view = self.annotator.view(key, entry.patch_id)
        if view is None:
            return self.note_trouble(entry, TroubleKind.GONE, "it is gone from Patchwork")
        if _is_as(view, desired):
            # Whose it is does not change by that.
            self._observe(entry, claim, sent_by_us=entry.sent_by_us)
            return None
        unchanged = before is None or view.state == before.state
        # What we set ourselves we may change; what somebody set after us we may not. What a rebuilt
        # ledger takes for ours somebody may have set with the same account.
        ours = before is not None and unchanged and entry.sent_by_us
        if not ours and not (unchanged and view.state in self.only_from):
            text = f"somebody set it to {view.state}: it stays so"
            return self.note_trouble(entry, TroubleKind.REPORT, text, claim)
        # A commit that a person named stays.
        named_by_us = before is not None and view.commit_ref == before.commit_ref
        commit_ref = desired.commit_ref if not view.commit_ref or named_by_us else None
        if claim is not None:
            try:
                self.annotator.set_state(key, entry.patch_id, desired.state, commit_ref)
            except AnswerLost:
                raise
            except NotWritten as error:
                return self.note_trouble(entry, TroubleKind.of(error), str(error), claim)
            except PatchsyncError:
                self.ledger.release(entry, claim)
                raise
        self._observe(entry, claim, sent_by_us=True)
        return self.outcome(entry, f"{view.state} -> {desired.state}", written=True)

    def _observe(self, entry: Entry[StateValue], claim: int | None, *, sent_by_us: bool) -> None:
        """Note that it is as desired, unless somebody else looked since; nothing for a dry run."""
        if claim is None:
            return
        with self.ledger.noting():
            if self.ledger.release(entry, claim):
                patch_id, now = entry.patch_id, self.clock()
                self.ledger.observe(self.sink, patch_id, entry.desired, now, sent_by_us=sent_by_us)


def _is_as(view: PatchView, desired: StateValue) -> bool:
    named = desired.commit_ref is None or bool(view.commit_ref)
    return view.state == desired.state and named
