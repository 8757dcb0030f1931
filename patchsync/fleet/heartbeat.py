"""Who is alive: each process of a fleet notes its heartbeat in Redis, every few seconds.

Redis' own clock counts, so that machines whose clocks differ agree on who is alive. Where it was
set back, heartbeats of before lie ahead: they tell nothing.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, field

from patchsync.fleet.redis_client import RedisClient, redis_now

HEARTBEAT_SECONDS = 5.0
# So long after its last heartbeat a process is still taken to be alive.
ALIVE_SECONDS = 20.0
FORGOTTEN_SECONDS = 200
# So long after beat was killed its fleet counts as one that should run.
EXPECTED_SECONDS = 7 * 86400


@dataclass(frozen=True, kw_only=True)
class Member:
    """A process of the fleet."""

    # A queue that it takes tasks from, or "beat"
    service: str
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)


class Heartbeats:
    """The heartbeats of one configuration's fleet. All methods raise what `client` does."""

    def __init__(self, client: RedisClient, namespace: str) -> None:
        """`namespace`: the configuration's."""
        self._client = client
        self._key = f"patchsync:{namespace}:roster"
        self._expected = f"patchsync:{namespace}:expected"

    def note(self, member: Member) -> None:
        """Say that `member` is alive."""
        now = redis_now(self._client)
        self._client.execute_command("ZADD", self._key, now, _text(member))
        for least, most in (("-inf", now - FORGOTTEN_SECONDS), (now + ALIVE_SECONDS, "+inf")):
            self._client.execute_command("ZREMRANGEBYSCORE", self._key, least, most)
        self._client.execute_command("EXPIRE", self._key, FORGOTTEN_SECONDS)
        if member.service == "beat":
            self._client.execute_command("SET", self._expected, b"", "EX", EXPECTED_SECONDS)

    def end(self, member: Member) -> None:
        """Say that `member` ends as it should."""
        self._client.execute_command("ZREM", self._key, _text(member))
        if member.service == "beat":
            self._client.execute_command("DEL", self._expected)

    def are_expected(self) -> bool:
        """Whether a fleet should run: beat does, or ended otherwise than by being told to.

        Other services also run for single commands, such as `patchsync sync`.
        """
        return bool(self._client.execute_command("EXISTS", self._expected))

    def alive(self) -> list[Member]:
        """Who had a heartbeat lately, by service, host and pid."""
        now = redis_now(self._client)
        texts = self._client.execute_command(
            "ZRANGEBYSCORE", self._key, now - ALIVE_SECONDS, now + ALIVE_SECONDS
        )
        members = [Member(**json.loads(text)) for text in texts]
        return sorted(members, key=lambda member: (member.service, member.host, member.pid))


def _text(member: Member) -> str:
    return json.dumps(asdict(member), sort_keys=True)
