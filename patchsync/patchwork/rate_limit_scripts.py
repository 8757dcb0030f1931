"""What the rate limiter of a fleet keeps in Redis, and the scripts that change it, each atomic.

All times are microseconds of Redis' clock. Under one prefix for each Patchwork there are

- `bucket`: the next free slot, which may lie in the past by as much as the burst allows, and the
  time of the bucket's making, which tells it from a lost one;
- `hold`: until when nobody may ask, and why;
- `requests`: the requests of a day, one hash with the day since 1970, the total, and a number for
  each `namespace/project`;
- `restored`: the namespaces whose requests of the day came back from the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from typing import Any, NamedTuple

import redis
from redis.commands.core import Script

from patchsync.errors import ServerUnavailable

_MICROSECONDS = 1_000_000
# A bucket that nobody asks is forgotten after that.
_BUCKET_KEPT_MS = 24 * 3600 * 1000
_EPOCH = date(1970, 1, 1)

_CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local day = math.floor(time[1] / 86400)
local function begin_day(counts)
  if redis.call('HGET', counts, 'day') ~= tostring(day) then
    redis.call('DEL', counts)
    redis.call('HSET', counts, 'day', day)
  end
end
"""

# Keys: bucket, hold, requests, restored. Arguments: the field to count, a slot and the making of
# its bucket (0: none), interval, burst, patience, milliseconds that a bucket is kept, namespace,
# budget (0: none), whether the namespace's count must be there. Answers a verdict, how long to
# wait, the slot reserved, the making of its bucket, and the reason of a hold.
_RESERVE = (
    _CLOCK
    + """
local bucket, hold, counts, restored = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local field, slot, from = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local interval, burst, patience = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local namespace, budget, counted = ARGV[8], tonumber(ARGV[9]), ARGV[10] == '1'
local held = tonumber(redis.call('HGET', hold, 'till') or '0')
local why = held > now and redis.call('HGET', hold, 'why') or ''
local function keep(free, made)
  redis.call('HSET', bucket, 'free', string.format('%.0f', free),
             'made', string.format('%.0f', made))
  redis.call('PEXPIRE', bucket, ARGV[7])
end

if counted and redis.call('SISMEMBER', restored, namespace) == 0 then return {4, 0, 0, 0, ''} end
begin_day(counts)
if budget > 0 and tonumber(redis.call('HGET', counts, 'total') or '0') >= budget then
  return {3, (day + 1) * 86400000000 - now, 0, 0, ''}
end

if interval == 0 then
  slot = math.max(now, held)
  if slot - now > patience then return {2, slot - now, 0, 0, why} end
else
  local free = tonumber(redis.call('HGET', bucket, 'free') or '')
  local made = tonumber(redis.call('HGET', bucket, 'made') or '')
  if not free then
    free, made = now + interval, now
    keep(free, made)
  end
  -- A slot from before is void if a hold came since, or if the bucket that gave it is lost.
  if slot < held or from ~= made then
    slot = math.max(free, now - (burst - 1) * interval, held)
    from = made
    if slot - now > patience then return {2, slot - now, 0, 0, why} end
    keep(slot + interval, made)
  end
end
if slot > now then return {1, slot - now, slot, from, ''} end
redis.call('HINCRBY', counts, field, 1)
redis.call('HINCRBY', counts, 'total', 1)
return {0, 0, 0, 0, ''}
"""
)

# Keys: hold, bucket. Arguments: how long, milliseconds that a bucket is kept, why.
_HOLD = (
    _CLOCK
    + """
local till = now + ARGV[1]
if till <= tonumber(redis.call('HGET', KEYS[1], 'till') or '0') then return end
redis.call('HSET', KEYS[1], 'till', string.format('%.0f', till), 'why', ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.floor(ARGV[1] / 1000) + 1)
-- No burst either when it is over. A bucket that is not there is empty anyway.
local free = tonumber(redis.call('HGET', KEYS[2], 'free') or '')
if free and free < till then
  redis.call('HSET', KEYS[2], 'free', string.format('%.0f', till))
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
"""
)

# Keys: requests, restored. Arguments: namespace, the day of what the store kept (-1: no store), and
# of each project its name and number. The first time these come on top of what was counted since
# Redis lost its data; later on, at least so many were sent. Answers the day and the counts.
_COUNT = (
    _CLOCK
    + """
begin_day(KEYS[1])
local kept = tonumber(ARGV[2])
if kept >= 0 then
  local first = redis.call('SADD', KEYS[2], ARGV[1]) == 1
  for i = 3, kept == day and #ARGV or 0, 2 do
    local field = ARGV[1] .. '/' .. ARGV[i]
    local more = tonumber(ARGV[i + 1])
    if not first then more = more - tonumber(redis.call('HGET', KEYS[1], field) or '0') end
    if more > 0 then
      redis.call('HINCRBY', KEYS[1], field, more)
      redis.call('HINCRBY', KEYS[1], 'total', more)
    end
  end
end
return {day, redis.call('HGETALL', KEYS[1])}
"""
)


class Verdict(IntEnum):
    """What `_RESERVE` says of a request."""

    # It is counted.
    SEND = 0
    WAIT = 1
    # No slot is reserved.
    TOO_LONG = 2
    BUDGET_SPENT = 3
    COUNT_LOST = 4


class Slot(NamedTuple):
    """When a request may be sent, and when the bucket was made that it was taken from."""

    time: int
    bucket_made: int


NO_SLOT = Slot(0, 0)


@dataclass(frozen=True)
class Decision:
    """Whether a request may be sent."""

    verdict: Verdict
    # Seconds until it may be.
    delay: float
    # With `WAIT`, to be shown when asking again.
    slot: Slot
    # Of a hold, "" without one.
    reason: str


class RateLimitScripts:
    """The scripts, on the keys of one Patchwork, for any number of threads.

    Raise ServerUnavailable where Redis does not answer: no request without it.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        """Sends nothing yet. `prefix`: of the keys."""
        self._client = client
        self._prefix = prefix
        self._reserve = client.register_script(_RESERVE)
        self._hold = client.register_script(_HOLD)
        self._count = client.register_script(_COUNT)

    def reserve(
        self,
        namespace: str,
        project: str,
        slot: Slot,
        *,
        rate: float | None,
        burst: int,
        patience: float,
        budget: int | None,
        needs_count: bool,
    ) -> Decision:
        """Let a request be sent, and count it; or reserve a slot for it.

        Args:
            namespace: whose request it is.
            project: what it is counted for.
            slot: the one reserved for it before, if it is still good.
            rate: requests a second; None: no limit.
            burst: so many after a pause at once.
            patience: seconds that the request may wait.
            budget: requests a day; None: no limit.
            needs_count: nothing is sent before the namespace's count is restored.
        """
        verdict, delay, time, made, reason = self._run(
            self._reserve,
            ("bucket", "hold", "requests", "restored"),
            f"{namespace}/{project}",
            *slot,
            round(_MICROSECONDS / rate) if rate else 0,
            burst,
            round(max(patience, 0) * _MICROSECONDS),
            _BUCKET_KEPT_MS,
            namespace,
            budget or 0,
            int(needs_count),
        )
        return Decision(
            Verdict(verdict),
            int(delay) / _MICROSECONDS,
            Slot(int(time), int(made)),
            _text(reason),
        )

    def hold(self, seconds: float, reason: str) -> None:
        """Have nobody ask for so long, unless a hold ends later already."""
        self._run(
            self._hold, ("hold", "bucket"), round(seconds * _MICROSECONDS), _BUCKET_KEPT_MS, reason
        )

    def held(self) -> tuple[float, str] | None:
        """Until when (seconds since 1970) and why nobody may ask now; None where they may.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        until, reason = self._client.hmget(f"{self._prefix}:hold", ["till", "why"])
        return (int(until) / _MICROSECONDS, _text(reason)) if until and reason else None

    def count(
        self, namespace: str, day: date | None, stored: Mapping[str, int]
    ) -> tuple[date, dict[str, int]]:
        """The day (UTC), and its requests by `namespace/project`, with their `total`.

        Args:
            namespace: whose requests the store kept.
            day: the day of these; None: there is no store.
            stored: these, by project; they come back where Redis lost them.
        """
        days, pairs = self._run(
            self._count,
            ("requests", "restored"),
            namespace,
            -1 if day is None else (day - _EPOCH).days,
            *(part for pair in stored.items() for part in pair),
        )
        fields = map(_text, pairs[::2])
        return _EPOCH + timedelta(days=days), dict(zip(fields, map(int, pairs[1::2]), strict=True))

    def _run(self, script: Script, keys: tuple[str, ...], *args: str | int) -> Any:
        try:
            return script(keys=[f"{self._prefix}:{key}" for key in keys], args=args)
        except redis.RedisError as error:
            raise ServerUnavailable(
                f"no request without Redis, which keeps the pace: {type(error).__name__}: {error}"
            ) from error


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
