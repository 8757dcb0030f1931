"""How often the fleet may ask a Patchwork: one pace, one not-before, one count a day.

Every request passes a `Gate` first. The workers share theirs in Redis (`RedisGate`); a command that
runs alone has its own (`LocalGate`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import redis

from patchsync.errors import ServerUnavailable

# Longer than that nobody is told to wait, by a mistaken or a hostile Retry-After.
LONGEST_HOLD = 24 * 3600.0
# Seconds that a request waits at the gate; if it had to longer, it is left to the next round.
PATIENCE = 30.0
# What requests without a project, like the search for the API's version, are counted under.
NO_PROJECT = "-"

_MICROSECONDS = 1_000_000
# A bucket that nobody asks is forgotten after that, and the counts of a day.
_KEPT_BUCKET_MS = 24 * 3600 * 1000
_KEPT_COUNTS_S = 8 * 24 * 3600


class Gate(Protocol):
    """Says when a request may be sent."""

    def wait(self, project: str) -> None:
        """Blocks until one request may be sent, and counts it for `project`.

        Raises:
            ServerUnavailable: that would take longer than the gate's patience, or cannot be known.
        """

    def hold(self, seconds: float) -> None:
        """Nobody asks for so long: the server said so, or does not answer."""


class LocalGate:
    """A gate of this process alone: a token bucket that starts empty."""

    def __init__(
        self,
        rate: float | None = None,
        burst: int = 1,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`rate`: requests a second, None without limit; `burst`: so many after a pause at once."""
        self._interval = 1 / rate if rate else 0.0
        self._burst = burst
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._next = clock() + self._interval
        self._not_before = clock()
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def wait(self, project: str) -> None:
        """See `Gate.wait`."""
        waited = 0.0
        reserved: float | None = None
        while True:
            with self._lock:
                now = self._clock()
                # A hold that came while we slept makes the reservation void.
                if reserved is None or reserved < self._not_before:
                    reserved = self._reserve(now, self._patience - waited)
                delay = reserved - now
                if delay <= 0:
                    self._counts[project or NO_PROJECT] += 1
                    return
            self._sleep(delay)
            waited += delay

    def hold(self, seconds: float) -> None:
        """See `Gate.hold`."""
        with self._lock:
            until = self._clock() + min(seconds, LONGEST_HOLD)
            self._not_before = max(self._not_before, until)

    def spent(self) -> dict[str, int]:
        """Requests sent so far, by project."""
        with self._lock:
            return dict(self._counts)

    def _reserve(self, now: float, patience: float) -> float:
        slot = max(self._next, now - (self._burst - 1) * self._interval, self._not_before)
        if slot - now > patience:
            raise _too_long(slot - now)
        self._next = slot + self._interval
        return slot


class RedisGate:
    """The gate of a whole fleet, in Redis, whose clock counts.

    A request takes the next free slot and sleeps until then, so the pace is kept without anybody
    polling. Losing Redis' data never lets more through: a bucket that is not there counts as empty,
    slots handed out before are taken anew, and each process keeps its own not-before as well.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        rate: float | None,
        burst: int = 1,
        *,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Makes a gate; sends nothing yet.

        Args:
            client: for any number of threads.
            prefix: of the keys, one for each Patchwork instance.
            rate: requests a second over the whole fleet; None: no limit, but counted and held.
            burst: so many after a pause at once.
            patience: seconds that `wait` waits at most.
        """
        self._client = client
        self._prefix = prefix
        self._interval = round(_MICROSECONDS / rate) if rate else 0
        self._burst = burst
        self._patience = patience
        self._sleep = sleep
        self._own_not_before = time.monotonic()
        self._lock = threading.Lock()
        self._ask = client.register_script(_ASK)
        self._hold = client.register_script(_HOLD)
        self._restore = client.register_script(_RESTORE)

    def wait(self, project: str) -> None:
        """See `Gate.wait`.

        Raises:
            ServerUnavailable: also where Redis does not answer; no request is sent without it.
        """
        waited = 0.0
        slot = _NO_SLOT
        while True:
            own = self._own_not_before - time.monotonic()
            if own > 0:
                slot = _NO_SLOT
                if own > self._patience - waited:
                    raise _too_long(own)
                delay = own
            else:
                answer, delay, slot = self._take(project, slot, self._patience - waited)
                if answer == _GO:
                    return
                if answer == _TOO_LONG:
                    raise _too_long(delay)
            self._sleep(delay)
            waited += delay

    def hold(self, seconds: float) -> None:
        """See `Gate.hold`; this process keeps to it even where Redis forgets or is not there."""
        seconds = min(seconds, LONGEST_HOLD)
        with self._lock:
            self._own_not_before = max(self._own_not_before, time.monotonic() + seconds)
        with _without_redis_no_request():
            self._hold(
                keys=[self._key("not-before"), self._key("bucket")],
                args=[round(seconds * _MICROSECONDS), _KEPT_BUCKET_MS],
            )

    def spent(self, day: str) -> dict[str, int]:
        """Requests sent on a day, by project.

        Args:
            day: `YYYY-MM-DD`, UTC.
        """
        with _without_redis_no_request():
            counts: Any = self._client.hgetall(self._key(f"requests:{day}"))
        return {_text(project): int(count) for project, count in counts.items()}

    def restore(self, day: str, counts: Mapping[str, int]) -> bool:
        """Adds the counts of a day that the store kept, once after Redis lost what it had.

        Call it before the store's counts are written from `spent`, in every process that does so.
        Further calls change nothing, until Redis loses its data again.

        Returns:
            Whether the counts were added.
        """
        pairs = [item for pair in counts.items() for item in pair]
        with _without_redis_no_request():
            added = self._restore(
                keys=[self._key("restored"), self._key(f"requests:{day}")],
                args=[_KEPT_COUNTS_S, *pairs],
            )
        return bool(added)

    def _take(self, project: str, slot: _Slot, patience: float) -> tuple[int, float, _Slot]:
        """What Redis says: go, wait or too long; the seconds until then; the slot reserved."""
        with _without_redis_no_request():
            answer, delay, *reserved = self._ask(
                keys=[
                    self._key("bucket"),
                    self._key("not-before"),
                    self._key(f"requests:{datetime.now(UTC):%Y-%m-%d}"),
                ],
                args=[
                    project or NO_PROJECT,
                    *slot,
                    self._interval,
                    self._burst,
                    round(max(patience, 0) * _MICROSECONDS),
                    _KEPT_BUCKET_MS,
                    _KEPT_COUNTS_S,
                ],
            )
        return int(answer), int(delay) / _MICROSECONDS, (int(reserved[0]), int(reserved[1]))

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{name}"


# When it is, and when the bucket that it was taken from was made.
_Slot = tuple[int, int]
_NO_SLOT: _Slot = (0, 0)

# The first number that the script answers; 1: wait.
_GO, _TOO_LONG = 0, 2

# All times are microseconds of Redis' clock. A bucket is the next free slot, which may lie in the
# past by as much as the burst allows, and the time of its making, which tells it from a lost one.
_ASK = """
local bucket, not_before, counts = KEYS[1], KEYS[2], KEYS[3]
local project, slot, from = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local interval, burst, patience = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = tonumber(redis.call('GET', not_before) or '0')
local function keep(free, made)
  redis.call('HSET', bucket, 'free', string.format('%.0f', free),
             'made', string.format('%.0f', made))
  redis.call('PEXPIRE', bucket, ARGV[7])
end

if interval == 0 then
  slot = math.max(now, held)
  if slot - now > patience then return {2, slot - now, 0, 0} end
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
    if slot - now > patience then return {2, slot - now, 0, 0} end
    keep(slot + interval, made)
  end
end
if slot > now then return {1, slot - now, slot, from} end
redis.call('HINCRBY', counts, project, 1)
redis.call('EXPIRE', counts, ARGV[8])
return {0, 0, 0, 0}
"""

_HOLD = """
local time = redis.call('TIME')
local till = time[1] * 1000000 + time[2] + ARGV[1]
if till <= tonumber(redis.call('GET', KEYS[1]) or '0') then return end
redis.call('SET', KEYS[1], string.format('%.0f', till), 'PX', math.floor(ARGV[1] / 1000) + 1)
-- No burst either when it is over. A bucket that is not there is empty anyway.
local free = tonumber(redis.call('HGET', KEYS[2], 'free') or '')
if free and free < till then
  redis.call('HSET', KEYS[2], 'free', string.format('%.0f', till))
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
"""

_RESTORE = """
if not redis.call('SET', KEYS[1], '1', 'NX') then return 0 end
for i = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 1
"""


@contextmanager
def _without_redis_no_request() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise ServerUnavailable(
            f"no request without Redis, which keeps the pace: {error.__class__.__name__}: {error}"
        ) from error


def _too_long(delay: float) -> ServerUnavailable:
    return ServerUnavailable(
        f"the next request may be sent in {delay:.0f} s only; left to the next round",
        retry_after=delay,
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
