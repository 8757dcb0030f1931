"""How often the fleet may ask a Patchwork: one pace, one not-before, one budget a day.

Every request passes a `RateLimiter` first. The workers share theirs in Redis (`RedisRateLimiter`);
a command that runs alone has its own (`LocalRateLimiter`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol, cast

import redis
from redis.commands.core import Script

from patchsync.config import Config
from patchsync.errors import PushShareSpent, ServerUnavailable, in_words
from patchsync.patchwork import rate_limit_scripts as scripts
from patchsync.patchwork.rate_limit_state import LONGEST_HOLD, NO_PROJECT, PUSH, key_prefix

log = logging.getLogger(__name__)

# Seconds that a request waits for its turn; if it had to longer, it is left to the next round.
PATIENCE = 30.0
_EPOCH = date(1970, 1, 1)
_MICROSECONDS = 1_000_000
# A bucket that nobody asks is forgotten after that.
_BUCKET_KEPT_MS = 24 * 3600 * 1000
# Of a reason, in Redis and in messages; it may quote an answer.
_REASON_CHARACTERS = 500

# The requests of a day (`YYYY-MM-DD`, UTC) that the store kept, by project.
StoredRequests = Callable[[str], Mapping[str, int]]
# In Redis: when it is, and when the bucket was made that it was taken from.
_Slot = tuple[int, int]
_NO_SLOT: _Slot = (0, 0)


@dataclass(frozen=True, kw_only=True)
class DailyRequests:
    """The requests of a day, in UTC."""

    day: str
    # Of this configuration, by project
    requests: dict[str, int]
    # Of all configurations that share Redis and ask this Patchwork: what the budget is for
    total: int


@dataclass(frozen=True, kw_only=True)
class ProjectRequests:
    """The requests of a day (UTC) of a project; of none, as for the API's version; and of push."""

    day: str
    requests: int
    others: int
    # Of all projects: those of push, which are among the others
    push: int


class RateLimiter(Protocol):
    """Says when a request may be sent."""

    def wait(self, project: str) -> None:
        """Blocks until one request may be sent, and counts it for `project`.

        Raises:
            ServerUnavailable: that would take longer than its patience, or cannot be known.
        """

    def hold(self, seconds: float, why: str, *, by_server: bool = True) -> None:
        """Nobody asks for so long, at most `LONGEST_HOLD`; `why` is told.

        `by_server`: it said so. Else it only does not answer.
        """


class LocalRateLimiter:
    """A limit of this process alone: a token bucket that starts empty."""

    def __init__(
        self,
        rate: float | None = None,
        burst: int = 1,
        *,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`rate`: requests a second, None without limit; `burst`: so many after a pause at once."""
        self._interval = 1 / rate if rate else 0.0
        self._burst = burst
        self._patience = patience
        self._sleep = sleep
        self._next_slot = time.monotonic() + self._interval
        self._not_before = time.monotonic()
        self._why = ""
        self._lock = threading.Lock()

    def wait(self, project: str) -> None:
        """See `RateLimiter.wait`; nothing is counted."""
        waited = 0.0
        slot: float | None = None
        while True:
            with self._lock:
                now = time.monotonic()
                # A hold that came while we slept makes the reservation void.
                if slot is None or slot < self._not_before:
                    slot = self._reserve(now, self._patience - waited)
            if slot <= now:
                return
            self._sleep(slot - now)
            waited += slot - now

    def hold(self, seconds: float, why: str, *, by_server: bool = True) -> None:
        """See `RateLimiter.hold`."""
        with self._lock:
            until = time.monotonic() + min(seconds, LONGEST_HOLD)
            if until > self._not_before:
                self._not_before, self._why = until, why

    def _reserve(self, now: float, patience: float) -> float:
        slot = max(self._next_slot, now - (self._burst - 1) * self._interval, self._not_before)
        if slot - now > patience:
            raise _too_long(slot - now, self._why if self._not_before > now else "")
        self._next_slot = slot + self._interval
        return slot


class RedisRateLimiter:
    """The limit of a whole fleet, in Redis, whose clock counts.

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
        push_share: int = 0,
        is_push: bool = False,
        stored_requests: StoredRequests | None = None,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Sends nothing yet.

        Args:
            client: for any number of threads.
            prefix: of the keys, one for each Patchwork instance.
            rate: requests a second over the whole fleet; None: no limit, but counted and held.
            burst: so many after a pause at once.
            namespace: the configuration's, which its requests are counted under.
            budget: requests a day of all namespaces together; None: no limit.
            push_share: how many of these are push's, and for nothing else.
            is_push: whether these are push's.
            stored_requests: what the store kept; only a process that has the store has it.
            patience: seconds that `wait` waits at most.
            sleep: between two looks at the limit.
        """
        self._client = client
        self._prefix = prefix
        self._interval = round(_MICROSECONDS / rate) if rate else 0
        self._burst = burst
        self._namespace = namespace
        self._budget = budget
        self._push_share = push_share
        self._is_push = is_push
        self._stored_requests = stored_requests
        self._patience = patience
        self._sleep = sleep
        self._own_not_before = time.monotonic()
        self._own_why = ""
        # When a hold had last been lifted as ours began; None: not known
        self._own_lifted: bytes | None = None
        self._lock = threading.Lock()
        self._reserve_script = client.register_script(scripts.RESERVE)
        self._hold_script = client.register_script(scripts.HOLD)
        self._lift_script = client.register_script(scripts.LIFT)
        self._count_script = client.register_script(scripts.COUNT)
        self._count_of_script = client.register_script(scripts.COUNT_OF)

    def wait(self, project: str) -> None:
        """See `RateLimiter.wait`.

        Raises:
            PushShareSpent: push's share of the day's budget is.
            ServerUnavailable: also where the day's budget is spent, or the day's count is lost and
                this process cannot bring it back, or Redis does not answer: no request without it.
            StoreUnavailable, StoreDamaged: the count that the store kept cannot be read.
        """
        waited = 0.0
        slot = _NO_SLOT
        while True:
            patience = max(self._patience - waited, 0.0)
            delay = self._own_delay()
            if delay > patience:
                raise _too_long(delay, self._own_why)
            if delay > 0:
                # A slot that was reserved before lies within the hold.
                slot = _NO_SLOT
            else:
                reserved = self._reserve(project, slot, patience)
                if reserved is None:
                    return
                delay, slot = reserved
            self._sleep(delay)
            waited += delay

    def hold(self, seconds: float, why: str, *, by_server: bool = True) -> None:
        """See `RateLimiter.hold`; this process keeps to it also where Redis forgets or is away."""
        seconds = min(seconds, LONGEST_HOLD)
        why = why[:_REASON_CHARACTERS]
        with self._lock:
            until = time.monotonic() + seconds
            own = until > self._own_not_before
            if own:
                self._own_not_before, self._own_why, self._own_lifted = until, why, None
        longer, lifted = self._run(
            self._hold_script,
            ("hold", "bucket", "lifted"),
            round(seconds * _MICROSECONDS),
            _BUCKET_KEPT_MS,
            why,
            int(by_server),
        )
        if own:
            self._own_lifted = lifted
        if longer > _MICROSECONDS:  # Once for all who are told the same at a time.
            end = datetime.now(UTC) + timedelta(seconds=seconds)
            log.warning(
                "nobody asks the Patchwork until %s UTC: %s; see `patchsync resume --help`",
                f"{end:%Y-%m-%d %H:%M:%S}",
                why,
            )

    def lift(self) -> None:
        """End the hold of the whole fleet, whatever it is for.

        Raises:
            ServerUnavailable: Redis does not answer.
        """
        self._run(self._lift_script, ("hold", "bucket", "lifted"))

    def _own_delay(self) -> float:
        """Seconds of a hold that this process was told of, and that nobody lifted since."""
        delay = self._own_not_before - time.monotonic()
        if delay <= 0:
            return 0.0
        try:
            lifted = cast(bytes, self._client.get(self._key("lifted")) or b"")
        except redis.RedisError:
            return delay
        with self._lock:
            if self._own_lifted is None:
                self._own_lifted = lifted
            elif lifted and lifted != self._own_lifted:
                self._own_not_before = time.monotonic()
                return 0.0
        return delay

    def requests_today(self) -> DailyRequests:
        """The requests of this day.

        In a process that has the store it is at least what the store kept: the first call after
        Redis lost its data brings that back, once for each namespace.

        Raises:
            ServerUnavailable: Redis does not answer.
            StoreUnavailable, StoreDamaged: the count that the store kept cannot be read.
        """
        stored_day, stored = -1, list[str | int]()
        if self._stored_requests is not None:
            today = datetime.now(UTC).date()
            stored_day = (today - _EPOCH).days
            for project, count in self._stored_requests(today.isoformat()).items():
                stored += [project, count]
        day, pairs = self._run(
            self._count_script, ("requests", "restored"), self._namespace, stored_day, *stored
        )
        fields = map(_text, pairs[::2])
        counts = dict(zip(fields, map(int, pairs[1::2]), strict=True))
        own = f"{self._namespace}/"
        return DailyRequests(
            day=_date(day),
            requests={
                field.removeprefix(own): count
                for field, count in counts.items()
                if field.startswith(own) and field != own + PUSH
            },
            total=counts.get("total", 0),
        )

    def requests_of(self, project: str) -> ProjectRequests:
        """The requests of this day for one project, whatever others there are.

        As `requests_today`, it brings back what Redis lost. Raises the same.
        """
        day, restored, requests, others, push = self._run(
            self._count_of_script,
            ("requests", "restored"),
            self._namespace,
            project,
            NO_PROJECT,
            PUSH,
        )
        if not restored and self._stored_requests is not None:
            self.requests_today()
            return self.requests_of(project)
        return ProjectRequests(day=_date(day), requests=requests, others=others, push=push)

    def _reserve(self, project: str, slot: _Slot, patience: float) -> tuple[float, _Slot] | None:
        """Have a request counted, to be sent now; or reserve a slot for it, and wait so long.

        `slot`: the one that was reserved for it before.
        """
        verdict, microseconds, slot_time, bucket_made, why = self._run(
            self._reserve_script,
            ("bucket", "hold", "requests", "restored"),
            f"{self._namespace}/{project or NO_PROJECT}",
            *slot,
            self._interval,
            self._burst,
            round(patience * _MICROSECONDS),
            _BUCKET_KEPT_MS,
            self._namespace,
            self._budget or 0,
            int(self._budget is not None or self._stored_requests is not None),
            round(max(self._patience, PATIENCE) * _MICROSECONDS),
            self._push_share,
            int(self._is_push),
        )
        if verdict == scripts.SEND:
            return None
        delay = int(microseconds) / _MICROSECONDS
        if verdict == scripts.TOO_LONG:
            raise _too_long(delay, _text(why))
        if verdict == scripts.BUDGET_SPENT:
            raise _budget_spent(self._budget, delay)
        if verdict == scripts.SHARE_SPENT:
            raise self._share_spent(delay)
        if verdict == scripts.COUNT_LOST:
            if self._stored_requests is None:
                raise _count_lost()
            self.requests_today()
            return self._reserve(project, slot, patience)
        return delay, (int(slot_time), int(bucket_made))

    def _share_spent(self, delay: float) -> ServerUnavailable:
        kind, whose, share = ServerUnavailable, "sync", (self._budget or 0) - self._push_share
        if self._is_push:
            kind, whose, share = PushShareSpent, "push", self._push_share
        return kind(
            f"{whose}'s share of the day's requests, {share} of {self._budget}, is spent, which"
            " [patchwork] requests_per_day and [push] requests_share say; the next may be sent at"
            f" 00:00 UTC, in {delay / 3600:.1f} h",
            retry_after=delay,
        )

    def _run(self, script: Script, keys: tuple[str, ...], *args: str | int) -> Any:
        try:
            return script(keys=[self._key(name) for name in keys], args=args)
        except redis.RedisError as error:
            raise ServerUnavailable(
                f"no request without Redis, which keeps the pace: {in_words(error)}"
            ) from error

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{name}"


def fleet_rate_limiter(
    config: Config,
    client: redis.Redis,
    stored_requests: StoredRequests | None = None,
    *,
    is_push: bool = False,
) -> RedisRateLimiter:
    """The limit of the fleet with this configuration.

    `stored_requests`: where the store is at hand. `is_push`: it is push that asks.
    """
    return RedisRateLimiter(
        client,
        key_prefix(config),
        config.rate,
        config.patchwork.burst,
        namespace=config.namespace,
        budget=config.daily_budget,
        push_share=config.push_budget or 0,
        is_push=is_push,
        stored_requests=stored_requests,
    )


def _date(day: int) -> str:
    """`YYYY-MM-DD` of a day since 1970."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def _too_long(delay: float, why: str) -> ServerUnavailable:
    cause = f"{why}; " if why else ""
    return ServerUnavailable(
        f"{cause}the next request may be sent in {delay:.0f} s only; left to the next round",
        retry_after=delay,
    )


def _budget_spent(budget: int | None, delay: float) -> ServerUnavailable:
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


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
