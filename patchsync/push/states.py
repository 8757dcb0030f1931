"""Sets the states of patches, only from those that the configuration lists, never twice."""

from __future__ import annotations

import json

from patchsync.errors import NotWritten
from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.schemas import PatchView
from patchsync.push.entries import Entry, Sink, Trouble
from patchsync.push.ledger import Ledger
from patchsync.push.sending import Outcome, trouble_of

# A state has no number in Patchwork; this tells one that we set from one that was found.
SET_BY_US = 0


class States:
    """Brings the states of patches to what is wanted, where no person chose another."""

    def __init__(self, ledger: Ledger, annotator: Annotator, only_from: tuple[str, ...]) -> None:
        self._ledger = ledger
        self._annotator = annotator
        self._only_from = only_from

    def send(self, key: str, entry: Entry, now: float, *, dry_run: bool = False) -> Outcome | None:
        """Set the state that is wanted of a patch; None where it is so already.

        A patch whose state is not the one that we set, or not one of those that we may change, is
        left alone: somebody chose it.

        Raises:
            AnswerLost, ServerUnavailable: the next round reads what came of it.
        """
        patch_id, value = entry.patch_id, entry.wanted
        view = self._annotator.view(key, patch_id)
        if view is None:
            return self._left(entry, Trouble.GONE, "it is gone from Patchwork", now, dry_run)
        wanted = json.loads(value) if value else None
        if wanted is None or _is_so(view, wanted):
            if not dry_run:
                # Whose it is does not change by that.
                self._ledger.show(patch_id, Sink.STATE, value, now, remote_id=entry.remote_id)
            return None
        shown = json.loads(entry.shown) if entry.shown else None
        # What we set ourselves we may change; what somebody set after us we may not. What a rebuilt
        # ledger takes for ours somebody may have set with the same account.
        ours = shown is not None and entry.remote_id is not None and view.state == shown["state"]
        if not ours and (
            view.state not in self._only_from
            or (shown is not None and view.state != shown["state"])
        ):
            return self._left(
                entry, Trouble.REPORT, f"somebody set it to {view.state}: it stays so", now, dry_run
            )
        text = f"{view.state} -> {wanted['state']}"
        if not dry_run:
            try:
                commit = wanted["commit_ref"] if self._may_name(view, shown) else None
                self._annotator.set_state(key, patch_id, wanted["state"], commit)
            except NotWritten as error:
                return self._left(entry, trouble_of(error), str(error), now, dry_run)
            self._ledger.show(patch_id, Sink.STATE, value, now, remote_id=SET_BY_US)
        return Outcome(patch_id=patch_id, sink=Sink.STATE, text=text, written=True)

    def _may_name(self, view: PatchView, shown: dict[str, str | None] | None) -> bool:
        """Whether the commit there is none, or ours: a person's stays."""
        return not view.commit_ref or (shown is not None and view.commit_ref == shown["commit_ref"])

    def _left(self, entry: Entry, kind: Trouble, text: str, now: float, dry_run: bool) -> Outcome:
        if not dry_run:
            self._ledger.trouble(entry.patch_id, Sink.STATE, kind, text, entry.wanted, now)
        return Outcome(patch_id=entry.patch_id, sink=Sink.STATE, text=text, trouble=True)


def _is_so(view: PatchView, wanted: dict[str, str | None]) -> bool:
    commit = wanted["commit_ref"]
    return view.state == wanted["state"] and (commit is None or bool(view.commit_ref))
