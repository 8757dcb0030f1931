"""The services that a command needs and that nobody runs: it starts them while it needs them."""

from __future__ import annotations

import os
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
        """Start Redis and the first of what is missing; `ensure` starts the rest.

        `needed`: in the order in which they are. A core is left for the caller, and no two load at
        once on one: all of them would be there later than the first one has to be.

        Raises:
            GiveUp: Redis does not answer, or cannot be started.
        """
        self._config = config
        self._supervisor = supervisor
        self._needed = tuple(needed)
        self._ours: set[str] = set()
        first = self._needed[: max(1, _cores() - 1)]
        started = supervisor.ensure_redis(first)
        with suppress(redis.RedisError):
            self._ours = set(self._needed) - (set() if started else self._running())
        supervisor.ensure(service for service in first if service in self._ours)
        self._look_at = 0.0
        self._look_again_at = time.monotonic() + LOOK_AGAIN_SECONDS

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
                self._ours |= set(self._needed) - self._running()
        self._supervisor.ensure(service for service in self._needed if service in self._ours)

    def _running(self) -> set[str]:
        client = redis.Redis.from_url(self._config.redis_url)
        return {member.service for member in Heartbeats(client, self._config.namespace).alive()}


def _cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
