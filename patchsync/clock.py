"""The time that all machines of a fleet agree on: that of Redis."""

from __future__ import annotations

import redis


def redis_now(client: redis.Redis) -> float:
    """Seconds since 1970. Raises redis.RedisError."""
    seconds, microseconds = client.time()
    return seconds + microseconds / 1_000_000
