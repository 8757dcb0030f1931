"""Whose turn it is, where there may be time for some of many only: each in order, round and round.

Messages that name one each, and expire while they wait, would have the first of each interval taken
and the last ones never.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis


def next_in_turn(client: redis.Redis, namespace: str, names: Sequence[str]) -> str:
    """Which of `names` follows the one that was answered before, to whichever process.

    It is no promise: one whose process is killed is come to again in the next round, and a Redis
    that was flushed begins with the first. `namespace`: the configuration's. Raises
    redis.RedisError.
    """
    return names[client.incr(f"patchsync:{namespace}:turn") % len(names)]
