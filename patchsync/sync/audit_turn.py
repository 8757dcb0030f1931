"""One audit at a time in a probe worker, so that its other process is free for probes.

What comes meanwhile waits in Redis rather than in a process; it is taken up when the turn ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from patchsync.errors import LockHeld
from patchsync.store.lock import store_lock

if TYPE_CHECKING:
    import redis

# A project, since when it is to be audited to the end, and since when what was listed counts; see
# `audit.audit`.
Audit = tuple[str, float | None, float | None]
# What nobody took up by then was enqueued anew by beat.
_KEPT_SECONDS = 86400


class AuditTurn:
    """The turn of this machine's audits. All methods raise redis.RedisError."""

    def __init__(self, client: redis.Redis, namespace: str, lock: Path) -> None:
        """`namespace`: the configuration's; `lock`: a file that ends with its process."""
        self._redis = client
        self._waiting = f"patchsync:{namespace}:audits"
        self._lock = lock

    @contextmanager
    def take(self, audit: Audit) -> Iterator[bool]:
        """Whether it is the turn of `audit`; if not, it waits for `next`."""
        entry = json.dumps(audit)
        # First: so who has the turn sees it, or has ended it.
        self._redis.sadd(self._waiting, entry)
        self._redis.expire(self._waiting, _KEPT_SECONDS)
        with ExitStack() as stack:
            try:
                stack.enter_context(store_lock(self._lock, wait=0))
            except LockHeld:
                yield False
                return
            self._redis.srem(self._waiting, entry)
            yield True

    def next(self) -> Audit | None:
        """An audit that waited, which is to be enqueued; None if none did."""
        entry = cast("bytes | None", self._redis.spop(self._waiting))
        if entry is None:
            return None
        # An older patchsync knew only the first two.
        project, since, *listed_since = json.loads(entry)
        return project, since, listed_since[0] if listed_since else None
