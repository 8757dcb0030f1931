"""Who is alive: each process of a fleet notes its heartbeat in Redis, every few seconds.

Redis' own clock counts, so that machines whose clocks differ agree on who is there.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, field
from typing import cast

import redis

from patchsync.fleet.redis_server import redis_now

HEARTBEAT_SECONDS = 5.0
# So long after its last heartbeat a process is still taken to be alive.
ALIVE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Member:
    """A process of the fleet."""

    # A queue that it takes tasks from, or "beat"
    service: str
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)


class Heartbeats:
    """The heartbeats of one configuration's fleet. All methods raise redis.RedisError."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        """`namespace`: the configuration's."""
        self._redis = client
        self._key = f"patchsync:{namespace}:roster"

    def note(self, member: Member) -> None:
        """Say that `member` is alive."""
        now = redis_now(self._redis)
        pipe = self._redis.pipeline()
        pipe.zadd(self._key, {_text(member): now})
        pipe.zremrangebyscore(self._key, "-inf", now - 10 * ALIVE_SECONDS)
        pipe.expire(self._key, int(10 * ALIVE_SECONDS))
        pipe.execute()

    def end(self, member: Member) -> None:
        """Say that `member` ends."""
        self._redis.zrem(self._key, _text(member))

    def alive(self) -> list[Member]:
        """Who had a heartbeat lately, by service, host and pid."""
        found = self._redis.zrangebyscore(self._key, redis_now(self._redis) - ALIVE_SECONDS, "+inf")
        members = [Member(**json.loads(text)) for text in cast("list[bytes]", found)]
        return sorted(members, key=lambda each: (each.service, each.host, each.pid))


def _text(member: Member) -> str:
    return json.dumps(asdict(member), sort_keys=True)
