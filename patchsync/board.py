"""What the processes of a fleet tell each other through Redis: all of it disposable.

A page in flight is leased so that the next round does not ask for it again. A lease runs out some
time after the last sign of work on its project, so that pages which wait their turn behind others
keep theirs. What many ask for and is done once for all has a lease of its own (`Errand`). One that
is lost or left behind costs requests or time, never a patch.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import cast

import redis

from patchsync.clock import redis_now
from patchsync.errors import GiveUp

TROUBLE_KEPT_SECONDS = 86400


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What last went wrong with a project: when (seconds since 1970), in which task, and what."""

    at: float
    task: str
    message: str
    # Whether somebody has to change something before it can go on
    lasting: bool


class Board:
    """What is in flight for one project, and what last went wrong with it."""

    def __init__(
        self, client: redis.Redis, namespace: str, project: str, *, lease_seconds: float
    ) -> None:
        """`namespace`: the configuration's; `lease_seconds`: how long leases last without work."""
        self._redis = client
        self._leases = f"patchsync:{namespace}:{project}:leases"
        self._trouble = f"patchsync:{namespace}:{project}:trouble"
        self._seconds = lease_seconds

    def take(self, lease: str) -> bool:
        """Take a lease by its name; False where it is taken already."""
        now = redis_now(self._redis)
        pipe = self._redis.pipeline()
        pipe.zremrangebyscore(self._leases, "-inf", now)
        pipe.zadd(self._leases, {lease: now + self._seconds}, nx=True)
        pipe.expire(self._leases, int(self._seconds) + 1)
        return bool(pipe.execute()[1])

    def is_out(self, lease: str) -> bool:
        """Whether somebody still waits for what the lease is for."""
        until = self._redis.zscore(self._leases, lease)
        return until is not None and until > redis_now(self._redis)

    def keep(self, lease: str) -> None:
        """Extend a lease, for it is worked on, and with it all that wait their turn."""
        self._redis.zadd(self._leases, {lease: redis_now(self._redis) + self._seconds})
        self.keep_all()

    def keep_all(self) -> None:
        """Extend the leases that are out: there is work on the project."""
        now = redis_now(self._redis)
        out = cast("list[bytes]", self._redis.zrangebyscore(self._leases, now, "+inf"))
        if out:
            pipe = self._redis.pipeline()
            # Those that were given back meanwhile stay so.
            pipe.zadd(self._leases, dict.fromkeys(out, now + self._seconds), xx=True)
            pipe.expire(self._leases, int(self._seconds) + 1)
            pipe.execute()

    def release(self, lease: str) -> int:
        """Give a lease back. Returns how many are still out; only one caller sees 0."""
        pipe = self._redis.pipeline()
        pipe.zremrangebyscore(self._leases, "-inf", redis_now(self._redis))
        pipe.zrem(self._leases, lease)
        pipe.zcard(self._leases)
        return int(pipe.execute()[2])

    def in_flight(self) -> int:
        """How many leases are out."""
        return self._redis.zcount(self._leases, redis_now(self._redis), "+inf")

    def report(self, task: str, error: Exception) -> None:
        """Note what went wrong, for `patchsync status`."""
        trouble = Trouble(
            at=time.time(), task=task, message=str(error), lasting=isinstance(error, GiveUp)
        )
        self._redis.set(self._trouble, json.dumps(asdict(trouble)), ex=TROUBLE_KEPT_SECONDS)

    def trouble(self) -> Trouble | None:
        """The last thing that went wrong within a day."""
        text = cast("bytes | None", self._redis.get(self._trouble))
        return Trouble(**json.loads(text)) if text else None


class Errand:
    """Something that many ask for, of which one message at a time is on its way.

    Who takes the message in hand calls `begin` before he looks at anything: he then sees all that
    was so when somebody was told that it is on its way, and who comes later asks anew.
    """

    def __init__(self, client: redis.Redis, namespace: str, name: str, *, seconds: float) -> None:
        """`namespace`: the configuration's; `seconds`: after that a message is taken for lost."""
        self._redis = client
        self._key = f"patchsync:{namespace}:errand:{name}"
        self._milliseconds = max(1, round(1000 * seconds))

    def ask(self) -> bool:
        """Whether a message is to be sent; False where one is on its way."""
        return bool(self._redis.set(self._key, b"", nx=True, px=self._milliseconds))

    def begin(self) -> None:
        """The message has arrived."""
        self._redis.delete(self._key)
