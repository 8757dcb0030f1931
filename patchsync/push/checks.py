"""Posts checks, each once: Patchwork keeps each that it is sent, and none can be taken back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from patchsync.errors import AnswerLost, GoneThere, NotWritten, PatchsyncError
from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.schemas import Check, User
from patchsync.push.entries import Claimed, Entry, Needless, Sink, Unsure, Wait
from patchsync.push.ledger import Ledger
from patchsync.push.sending import Outcome, trouble_of

# What stands where nothing is to be said any more.
WITHDRAWN: dict[str, str] = {"state": "pending", "description": "withdrawn", "target_url": ""}


class Checks:
    """Brings the checks of patches to what is wanted."""

    def __init__(
        self,
        ledger: Ledger,
        annotator: Annotator,
        user: User,
        *,
        context: str,
        answer_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`answer_seconds`: after so long no answer comes any more."""
        self._clock = clock
        self._ledger = ledger
        self._annotator = annotator
        self._user = user
        self._context = context
        self._answer_seconds = answer_seconds

    def send(self, key: str, entry: Entry) -> Outcome | None:
        """Post the check that is wanted of a patch; None where that is needless by now.

        `key`: the project, for the request.

        Raises:
            AnswerLost: it may have been posted; that is looked up when it is sent next.
            ServerUnavailable: it was not.
            Refused, NotPatchwork: nothing can be posted at all.
        """
        value, now = entry.wanted, self._clock()
        claim = self._claim(entry, now)
        if isinstance(claim, Unsure):
            shown = self._shown(key, entry.patch_id)
            if shown is not None and _same(shown, claim.value):
                self._ledger.show(
                    entry.patch_id,
                    Sink.CHECK,
                    claim.value,
                    now,
                    remote_id=shown.id,
                    claim=claim.claim,
                )
            else:
                self._ledger.release(entry.patch_id, Sink.CHECK, claim.claim)
            # Reading may have taken long, and a claim counts from when something is sent.
            now = self._clock()
            claim = self._claim(entry, now)
        if isinstance(claim, Wait):
            text = f"somebody is at it, or an answer was lost: looked up in {claim.seconds:.0f} s"
            return Outcome(patch_id=entry.patch_id, sink=Sink.CHECK, text=text)
        if not isinstance(claim, Claimed):
            return None
        return self._post(key, entry.patch_id, value, claim.claim, now)

    def would_send(self, entry: Entry) -> Outcome:
        """What `send` would do."""
        return Outcome(
            patch_id=entry.patch_id, sink=Sink.CHECK, text=_text(entry.wanted), written=True
        )

    def _claim(self, entry: Entry, now: float) -> Claimed | Unsure | Wait | Needless:
        return self._ledger.claim(
            entry.patch_id, Sink.CHECK, entry.wanted, now, self._answer_seconds
        )

    def _post(self, key: str, patch_id: int, value: str | None, claim: int, now: float) -> Outcome:
        content = content_of(value)
        try:
            check = self._annotator.post_check(key, patch_id, context=self._context, **content)
        except AnswerLost:
            raise
        except NotWritten as error:
            kind = trouble_of(error)
            self._ledger.trouble(patch_id, Sink.CHECK, kind, str(error), value, now, claim=claim)
            return Outcome(patch_id=patch_id, sink=Sink.CHECK, text=str(error), trouble=True)
        except PatchsyncError:
            self._ledger.release(patch_id, Sink.CHECK, claim)
            raise
        self._ledger.show(patch_id, Sink.CHECK, value, now, remote_id=check.id, claim=claim)
        return Outcome(patch_id=patch_id, sink=Sink.CHECK, text=_text(value), written=True)

    def _shown(self, key: str, patch_id: int) -> Check | None:
        try:
            return self._annotator.newest_check(key, patch_id, self._user.id, self._context)
        except GoneThere:
            return None


def content_of(value: str | None) -> dict[str, Any]:
    """State, description and target_url of a ledger's value."""
    return WITHDRAWN if value is None else dict(json.loads(value))


def value_of(check: Check) -> str | None:
    """The ledger's value of a check that is shown."""
    content = {
        "state": check.state,
        "description": check.description,
        "target_url": check.target_url,
    }
    return None if content == WITHDRAWN else json.dumps(content, sort_keys=True)


def _text(value: str | None) -> str:
    content = content_of(value)
    return f"{content['state']}: {content['description']}"


def canonical(value: str | None) -> str | None:
    """The same value, spelt so that equal ones are equal texts."""
    return None if value is None else json.dumps(json.loads(value), sort_keys=True)


def _same(check: Check, value: str | None) -> bool:
    return value_of(check) == canonical(value)
