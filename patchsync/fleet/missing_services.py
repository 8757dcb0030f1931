"""The services that a command needs and that nobody runs: it starts them while it needs them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

import redis

from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.supervisor import Supervisor

LOOK_SECONDS = 0.2
LOOK_AGAIN_SECONDS = 5.0


class MissingServices:
    """Has the services run that a command needs: starts those that no other fleet runs."""

    def __init__(self, config: Config, supervisor: Supervisor, needed: Iterable[str]) -> None:
        """Start Redis and what is missing.

        Raises:
            GiveUp: Redis does not answer, or cannot be started.
        """
        self._config = config
        self._supervisor = supervisor
        self._needed = frozenset(needed)
        self._ours: set[str] = set()
        self._look_at = self._look_again_at = 0.0
        supervisor.ensure_redis()
        self.ensure()

    def ensure(self, *, moving: bool = False) -> None:
        """Start what is missing or has ended; to be called often.

        `moving`: there is progress, so that somebody must be running all of them.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        with suppress(GiveUp):  # Redis may come back; else the caller's patience runs out.
            self._supervisor.ensure_redis()
        if moving:
            self._look_again_at = max(self._look_again_at, now + LOOK_AGAIN_SECONDS)
        if now > self._look_again_at:
            # The fleet that we use may have ended.
            self._look_again_at = now + LOOK_AGAIN_SECONDS
            with suppress(redis.RedisError):
                self._ours |= self._not_running()
        self._supervisor.ensure(sorted(self._ours))

    def _not_running(self) -> set[str]:
        client = redis.Redis.from_url(self._config.redis_url)
        running = {member.service for member in Heartbeats(client, self._config.namespace).alive()}
        return set(self._needed - running)
