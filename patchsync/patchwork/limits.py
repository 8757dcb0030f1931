"""How often the fleet may ask a Patchwork: one pace, one not-before, one budget a day.

Every request passes a `Gate` first. The workers share theirs in Redis (`RedisGate`); a command that
runs alone has its own (`LocalGate`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

import redis

from patchsync.config import Config
from patchsync.errors import ServerUnavailable
from patchsync.patchwork import gate_scripts

# Longer than that nobody is told to wait, by a mistaken or a hostile Retry-After.
LONGEST_HOLD = 24 * 3600.0
# Seconds that a request waits at the gate; if it had to longer, it is left to the next round.
PATIENCE = 30.0
# What requests without a project, like the search for the API's version, are counted under.
NO_PROJECT = "-"

_MICROSECONDS = 1_000_000
# A bucket that nobody asks is forgotten after that.
_KEPT_BUCKET_MS = 24 * 3600 * 1000
# Of a reason, in Redis and in messages; it may quote an answer.
_REASON_CHARACTERS = 500

# The requests of a day (`YYYY-MM-DD`, UTC) that the store kept, by project.
Recall = Callable[[str], Mapping[str, int]]


@dataclass(frozen=True)
class Hold:
    """Nobody may ask until then (seconds since 1970), and why."""

    until: float
    why: str


@dataclass(frozen=True, kw_only=True)
class Spent:
    """The requests of a day, in UTC."""

    day: str
    # Of this configuration, by project
    requests: dict[str, int]
    # Of all configurations that share Redis and ask this Patchwork: what the budget is for
    total: int


class Gate(Protocol):
    """Says when a request may be sent."""

    def wait(self, project: str) -> None:
        """Blocks until one request may be sent, and counts it for `project`.

        Raises:
            ServerUnavailable: that would take longer than the gate's patience, or cannot be known.
        """

    def hold(self, seconds: float, why: str) -> None:
        """Nobody asks for so long: the server said so, or does not answer; `why` is told."""


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
        self._why = ""
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

    def hold(self, seconds: float, why: str) -> None:
        """See `Gate.hold`."""
        with self._lock:
            until = self._clock() + min(seconds, LONGEST_HOLD)
            if until > self._not_before:
                self._not_before, self._why = until, why

    def spent(self) -> dict[str, int]:
        """Requests sent so far, by project."""
        with self._lock:
            return dict(self._counts)

    def _reserve(self, now: float, patience: float) -> float:
        slot = max(self._next, now - (self._burst - 1) * self._interval, self._not_before)
        if slot - now > patience:
            raise _too_long(slot - now, self._why if self._not_before > now else "")
        self._next = slot + self._interval
        return slot


class RedisGate:
    """The gate of a whole fleet, in Redis, whose clock counts.

    A request takes the next free slot and sleeps until then, so the pace is kept without anybody
    polling. Losing Redis' data never lets more through: a bucket that is not there counts as empty,
    slots handed out before are taken anew, each process keeps its own not-before as well, and where
    there is a budget nobody asks until the day's count came back from the store.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        rate: float | None,
        burst: int = 1,
        *,
        namespace: str = "",
        budget: int | None = None,
        recall: Recall | None = None,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Makes a gate; sends nothing yet.

        Args:
            client: for any number of threads.
            prefix: of the keys, one for each Patchwork instance.
            rate: requests a second over the whole fleet; None: no limit, but counted and held.
            burst: so many after a pause at once.
            namespace: the configuration's, which its requests are counted under.
            budget: requests a day of all namespaces together; None: no limit.
            recall: what the store kept of a day; only a process that has the store has it.
            patience: seconds that `wait` waits at most.
        """
        self._client = client
        self._prefix = prefix
        self._interval = round(_MICROSECONDS / rate) if rate else 0
        self._burst = burst
        self._namespace = namespace
        self._budget = budget
        self._recall = recall
        self._patience = patience
        self._sleep = sleep
        self._own_not_before = time.monotonic()
        self._own_why = ""
        self._lock = threading.Lock()
        self._ask = client.register_script(gate_scripts.ASK)
        self._hold = client.register_script(gate_scripts.HOLD)
        self._settle = client.register_script(gate_scripts.SETTLE)

    def wait(self, project: str) -> None:
        """See `Gate.wait`.

        Raises:
            ServerUnavailable: also where the day's budget is spent, or the day's count is lost and
                this process cannot bring it back, or Redis does not answer: no request without it.
            StoreUnavailable, StoreDamaged: the count that the store kept cannot be read.
        """
        waited = 0.0
        slot = _NO_SLOT
        while True:
            own = self._own_not_before - time.monotonic()
            if own > 0:
                slot = _NO_SLOT
                if own > self._patience - waited:
                    raise _too_long(own, self._own_why)
                delay = own
            else:
                answer, delay, slot, why = self._take(project, slot, self._patience - waited)
                if answer == gate_scripts.GO:
                    return
                if answer == gate_scripts.TOO_LONG:
                    raise _too_long(delay, why)
                if answer == gate_scripts.BUDGET_SPENT:
                    raise _spent(self._budget, delay)
                if answer == gate_scripts.COUNT_LOST:
                    if self._recall is None:
                        raise _count_lost()
                    self.spent()
                    continue
            self._sleep(delay)
            waited += delay

    def hold(self, seconds: float, why: str) -> None:
        """See `Gate.hold`; this process keeps to it even where Redis forgets or is not there."""
        seconds = min(seconds, LONGEST_HOLD)
        why = why[:_REASON_CHARACTERS]
        with self._lock:
            until = time.monotonic() + seconds
            if until > self._own_not_before:
                self._own_not_before, self._own_why = until, why
        with _without_redis_no_request():
            self._hold(
                keys=[self._key("hold"), self._key("bucket")],
                args=[round(seconds * _MICROSECONDS), _KEPT_BUCKET_MS, why],
            )

    def held(self) -> Hold | None:
        """What keeps the whole fleet from asking now; None if nothing does.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        until, why = self._client.hmget(self._key("hold"), ["till", "why"])
        return Hold(int(until) / _MICROSECONDS, _text(why)) if until and why else None

    def spent(self) -> Spent:
        """The requests of this day.

        In a process that has the store it is at least what the store kept: the first call after
        Redis lost its data brings that back, once for each namespace.

        Raises:
            ServerUnavailable: Redis does not answer.
            StoreUnavailable, StoreDamaged: the count that the store kept cannot be read.
        """
        day = f"{datetime.now(UTC):%Y-%m-%d}" if self._recall else ""
        kept = self._recall(day) if self._recall else {}
        with _without_redis_no_request():
            days, pairs = self._settle(
                keys=[self._key("requests"), self._key("restored")],
                args=[
                    self._namespace,
                    _day_number(day),
                    *(each for pair in kept.items() for each in pair),
                ],
            )
        fields = [_text(field) for field in pairs[::2]]
        counts = dict(zip(fields, map(int, pairs[1::2]), strict=True))
        own = f"{self._namespace}/"
        return Spent(
            day=f"{datetime.fromtimestamp(days * 86400, UTC):%Y-%m-%d}",
            requests={
                field.removeprefix(own): count
                for field, count in counts.items()
                if field.startswith(own)
            },
            total=counts.get("total", 0),
        )

    def _take(self, project: str, slot: _Slot, patience: float) -> tuple[int, float, _Slot, str]:
        """What Redis says: one of its answers; seconds to wait; the slot reserved; why not now."""
        with _without_redis_no_request():
            answer, delay, free, made, why = self._ask(
                keys=[self._key(name) for name in ("bucket", "hold", "requests", "restored")],
                args=[
                    f"{self._namespace}/{project or NO_PROJECT}",
                    *slot,
                    self._interval,
                    self._burst,
                    round(max(patience, 0) * _MICROSECONDS),
                    _KEPT_BUCKET_MS,
                    self._namespace,
                    self._budget or 0,
                    int(self._budget is not None or self._recall is not None),
                ],
            )
        return int(answer), int(delay) / _MICROSECONDS, (int(free), int(made)), _text(why)

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{name}"


def fleet_gate(config: Config, client: redis.Redis, recall: Recall | None = None) -> RedisGate:
    """The gate of the fleet that has this configuration; `recall` where the store is at hand."""
    return RedisGate(
        client,
        f"patchsync-rate:{config.instance}",
        config.rate,
        config.patchwork.burst,
        namespace=config.namespace,
        budget=config.daily_budget,
        recall=recall,
    )


# When it is, and when the bucket that it was taken from was made.
_Slot = tuple[int, int]
_NO_SLOT: _Slot = (0, 0)


@contextmanager
def _without_redis_no_request() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise ServerUnavailable(
            f"no request without Redis, which keeps the pace: {error.__class__.__name__}: {error}"
        ) from error


def _too_long(delay: float, why: str) -> ServerUnavailable:
    told = f"{why}; " if why else ""
    return ServerUnavailable(
        f"{told}the next request may be sent in {delay:.0f} s only; left to the next round",
        retry_after=delay,
    )


def _spent(budget: int | None, delay: float) -> ServerUnavailable:
    return ServerUnavailable(
        f"the day's budget of {budget} requests, which is [patchwork] requests_per_day, is spent; "
        f"the next request may be sent at 00:00 UTC, in {delay / 3600:.1f} h",
        retry_after=delay,
    )


def _count_lost() -> ServerUnavailable:
    return ServerUnavailable(
        "Redis lost the day's count of requests, and [patchwork] requests_per_day limits them; no "
        "request until a task that has the store (probe, audit, index) brought the count back"
    )


def _day_number(day: str) -> int:
    """Days since 1970; -1 for none."""
    return (date.fromisoformat(day) - date(1970, 1, 1)).days if day else -1


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
