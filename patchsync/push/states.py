"""Sets the states of patches, only from those that the configuration lists, never twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from patchsync.errors import NotWritten
from patchsync.patchwork.schemas import PatchView
from patchsync.push.entries import Entry, Sink, StateValue, TroubleKind
from patchsync.push.sending import Outcome, PatchSender


@dataclass(kw_only=True)
class StateSender(PatchSender[StateValue]):
    """Brings the states of patches to what is desired, where no person chose another."""

    sink: ClassVar[Sink] = Sink.STATE
    only_from: tuple[str, ...]

    def send_one(self, key: str, entry: Entry[StateValue]) -> Outcome | None:
        """Set the state; None also where it is so already.

        A patch whose state is not the one that we set, or not one of those that we may change, is
        left alone: somebody chose it. What came of a lost answer the next round reads.
        """
        desired, before = entry.desired, entry.observed
        if desired == before:
            return None
        view = self.annotator.view(key, entry.patch_id)
        if view is None:
            return self.note_trouble(entry, TroubleKind.GONE, "it is gone from Patchwork")
        if desired is None or _is_as(view, desired):
            # Whose it is does not change by that.
            self._observe(entry, sent_by_us=entry.sent_by_us)
            return None
        unchanged = before is None or view.state == before.state
        # What we set ourselves we may change; what somebody set after us we may not. What a rebuilt
        # ledger takes for ours somebody may have set with the same account.
        ours = before is not None and unchanged and entry.sent_by_us
        if not ours and not (unchanged and view.state in self.only_from):
            text = f"somebody set it to {view.state}: it stays so"
            return self.note_trouble(entry, TroubleKind.REPORT, text)
        # A commit that a person named stays.
        named_by_us = before is not None and view.commit_ref == before.commit_ref
        commit_ref = desired.commit_ref if not view.commit_ref or named_by_us else None
        if not self.dry_run:
            try:
                self.annotator.set_state(key, entry.patch_id, desired.state, commit_ref)
            except NotWritten as error:
                return self.note_trouble(entry, TroubleKind.of(error), str(error))
        self._observe(entry, sent_by_us=True)
        return self.outcome(entry, f"{view.state} -> {desired.state}", written=True)

    def _observe(self, entry: Entry[StateValue], *, sent_by_us: bool) -> None:
        if not self.dry_run:
            self.ledger.observe(
                self.sink, entry.patch_id, entry.desired, self.clock(), sent_by_us=sent_by_us
            )


def _is_as(view: PatchView, desired: StateValue) -> bool:
    named = desired.commit_ref is None or bool(view.commit_ref)
    return view.state == desired.state and named
