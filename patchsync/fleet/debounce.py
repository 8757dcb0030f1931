"""Enqueues once what many ask for while one message for it is on its way."""

from __future__ import annotations

from typing import cast

import redis

_DEFERRED = b"deferred"


class Debounce:
    """Work that is done once for all who ask for it until it begins.

    Who takes the message in hand calls `begin` before looking at anything: so it sees all that was
    there when somebody was answered that it is on its way, and who comes later asks anew. One that
    is lost costs time: `seconds` later it may be asked for again. All methods raise
    redis.RedisError.
    """

    def __init__(self, client: redis.Redis, namespace: str, name: str, *, seconds: float) -> None:
        """`namespace`: the configuration's; `name`: tells this work from other work."""
        self._redis = client
        self._key = f"patchsync:{namespace}:debounce:{name}"
        self._milliseconds = max(1, round(1000 * seconds))

    def ask(self) -> bool:
        """Whether a message is to be sent; False where one is on its way."""
        if self._redis.pttl(self._key) > self._milliseconds:
            self.begin()  # Redis' clock was set back: it was asked for long ago.
        return bool(self._redis.set(self._key, b"", nx=True, px=self._milliseconds))

    def begin(self) -> bool:
        """The message has arrived. Returns whether it is to be sent anew instead: see `defer`."""
        return cast("bytes | None", self._redis.getdel(self._key)) == _DEFERRED

    def defer(self) -> None:
        """Let a message that is on its way go behind what was sent since: once, when it arrives."""
        self._redis.set(self._key, _DEFERRED, xx=True, keepttl=True)
