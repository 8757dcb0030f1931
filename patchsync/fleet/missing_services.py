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
    """Keeps the services that a command needs filled, by a fleet of its own where need be."""

    def __init__(self, config: Config, fleet: Supervisor, needed: Iterable[str]) -> None:
        """Start Redis and what is missing.

        Raises:
            GiveUp: Redis does not answer, or cannot be started.
        """
        self._config = config
        self._fleet = fleet
        self._needed = list(needed)
        self._ours: set[str] = set()
        self._look_at = self._look_again_at = 0.0
        fleet.ensure_redis()
        self.fill()

    def fill(self, *, moving: bool = False) -> None:
        """Start what has ended; to be called often.

        `moving`: there is progress, so that all that is needed must be there.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        with suppress(GiveUp):  # Redis may come back; else the caller's patience runs out.
            self._fleet.ensure_redis()
        if moving:
            self._look_again_at = max(self._look_again_at, now + LOOK_AGAIN_SECONDS)
        if now > self._look_again_at:
            # The fleet that we use may have ended.
            self._look_again_at = now + LOOK_AGAIN_SECONDS
            with suppress(redis.RedisError):
                self._ours |= self._not_served()
        self._fleet.ensure(sorted(self._ours))

    def _not_served(self) -> set[str]:
        client = redis.Redis.from_url(self._config.redis_url)
        served = {member.service for member in Heartbeats(client, self._config.namespace).alive()}
        return {service for service in self._needed if service not in served}
