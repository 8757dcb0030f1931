"""Leases on work that is in flight, in Redis: pages that are being fetched, and the like.

A page in flight is leased so that the next round does not ask for it again. A lease runs out some
time after the last sign of work on its project, so that pages which wait their turn behind others
keep theirs. One that is lost or left behind costs requests or time, never a patch. One that lasts
far longer than any can was taken before Redis' clock was set back, and counts as run out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from patchsync.fleet.redis_client import RedisClient, redis_now

if TYPE_CHECKING:
    import redis


# No lease lies further ahead than so many times what leases last: another machine may be set to
# longer ones, and a clock may be set back a little.
_MOST = 2


def count_in_flight(
    client: RedisClient, namespace: str, project: str, *, lease_seconds: float
) -> int:
    """How many leases of a project are out; raises what `client` does."""
    now = redis_now(client)
    furthest = now + _MOST * lease_seconds
    return int(client.execute_command("ZCOUNT", _key(namespace, project), now, furthest))


class Leases:
    """The leases of one project. All methods raise redis.RedisError."""

    def __init__(
        self, client: redis.Redis, namespace: str, project: str, *, lease_seconds: float
    ) -> None:
        """`namespace`: the configuration's; `lease_seconds`: how long leases last without work."""
        self._redis = client
        self._place = namespace, project
        self._leases = _key(namespace, project)
        self._seconds = lease_seconds

    def take(self, lease: str) -> bool:
        """Take a lease by its name; False where it is taken already."""
        now = redis_now(self._redis)
        pipe = self._redis.pipeline()
        self._forget_what_ran_out(pipe, now)
        pipe.zadd(self._leases, {lease: now + self._seconds}, nx=True)
        pipe.expire(self._leases, int(self._seconds) + 1)
        return bool(pipe.execute()[-2])

    def is_out(self, lease: str) -> bool:
        """Whether somebody still waits for what the lease is for."""
        until = self._redis.zscore(self._leases, lease)
        now = redis_now(self._redis)
        return until is not None and now < until <= self._furthest(now)

    def keep(self, lease: str) -> None:
        """Extend a lease, for it is worked on, and with it all that wait their turn."""
        self._redis.zadd(self._leases, {lease: redis_now(self._redis) + self._seconds})
        self.keep_all()

    def names(self) -> list[str]:
        """Those that are out."""
        now = redis_now(self._redis)
        out = cast("list[bytes]", self._redis.zrangebyscore(self._leases, now, self._furthest(now)))
        return [name.decode() for name in out]

    def keep_all(self) -> None:
        """Extend the leases that are out: there is work on the project."""
        out = self.names()
        if out:
            now = redis_now(self._redis)
            pipe = self._redis.pipeline()
            # Those that were given back meanwhile stay so.
            pipe.zadd(self._leases, dict.fromkeys(out, now + self._seconds), xx=True)
            pipe.expire(self._leases, int(self._seconds) + 1)
            pipe.execute()

    def release(self, lease: str) -> int:
        """Give a lease back. Returns how many are still out; only one caller sees 0."""
        pipe = self._redis.pipeline()
        self._forget_what_ran_out(pipe, redis_now(self._redis))
        pipe.zrem(self._leases, lease)
        pipe.zcard(self._leases)
        return int(pipe.execute()[-1])

    def in_flight(self) -> int:
        """How many leases are out."""
        return count_in_flight(self._redis, *self._place, lease_seconds=self._seconds)

    def _furthest(self, now: float) -> float:
        return now + _MOST * self._seconds

    def _forget_what_ran_out(self, pipe: redis.client.Pipeline, now: float) -> None:
        pipe.zremrangebyscore(self._leases, "-inf", now)
        pipe.zremrangebyscore(self._leases, f"({self._furthest(now)}", "+inf")


def _key(namespace: str, project: str) -> str:
    return f"patchsync:{namespace}:{project}:leases"
