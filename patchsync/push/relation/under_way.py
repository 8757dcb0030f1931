"""The requests about relations of which nobody knows yet what came of them.

The ledger notes before a request what it makes of each patch: killed, or without an answer, the
next round waits until it has arrived or never will, and then tells by what is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from patchsync.push.ledger import Ledger
from patchsync.push.relation.people import Relations

# Names of notes: what is made of each patch; when it was asked for, in seconds since 1970
UNDER_WAY = "relations under way"
_SENT_AT = "relations under way since"


class UnderWay:
    """What the ledger has of them; raises as the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def relations(self) -> Relations:
        """By patch, the relation that a request makes, if it arrives.

        Empty: which one is not known, as in a ledger of an earlier version.
        """
        noted = json.loads(self._ledger.note(UNDER_WAY) or "{}")
        if isinstance(noted, list):
            return dict.fromkeys(noted, frozenset())
        return {int(patch_id): frozenset(members) for patch_id, members in noted.items()}

    def begin(self, becomes: Relations, now: float) -> None:
        """Note, before it is sent, what a request makes of each patch."""
        sent_at = self._sent_at() | dict.fromkeys(becomes, now)
        self._write(self.relations() | becomes, sent_at)

    def end(self, patch_ids: Iterable[int]) -> None:
        """Note that it is known what came of the requests about these patches."""
        over = set(patch_ids)
        if over & (noted := self.relations()).keys():
            kept = {each: noted[each] for each in noted if each not in over}
            self._write(kept, self._sent_at())

    def seconds_left(self, patch_ids: Iterable[int], now: float, answer_seconds: float) -> float:
        """How long a request about some of these patches may still arrive; 0 where none may."""
        noted = self._sent_at()
        # Where a clock was set back the time begins anew, once.
        sent_at = {each: min(at, now) for each, at in noted.items()}
        if sent_at != noted:
            self._write(self.relations(), sent_at)
        waiting = (sent_at[each] + answer_seconds - now for each in patch_ids if each in sent_at)
        return max(0.0, *waiting, 0.0)

    def _sent_at(self) -> dict[int, float]:
        noted = json.loads(self._ledger.note(_SENT_AT) or "{}")
        return {int(patch_id): at for patch_id, at in noted.items()}

    def _write(self, becomes: Relations, sent_at: dict[int, float]) -> None:
        values = {patch_id: sorted(members) for patch_id, members in becomes.items()}
        times = {patch_id: at for patch_id, at in sent_at.items() if patch_id in becomes}
        self._ledger.write_notes(
            {
                UNDER_WAY: json.dumps(values) if values else None,
                _SENT_AT: json.dumps(times) if times else None,
            }
        )
