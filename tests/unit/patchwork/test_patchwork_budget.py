"""The budget of a day, and the count that comes back after Redis lost its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from patchwork_fakes import in_two_processes, meet

from patchsync.errors import PushShareSpent, ServerUnavailable, StoreUnavailable
from patchsync.patchwork.rate_limit import RedisRateLimiter

MakeLimiter = Callable[..., RedisRateLimiter]


@pytest.fixture
def make_limiter(redis_client: redis.Redis) -> MakeLimiter:
    """Limiters of one Patchwork, without a pace."""
    return lambda **how: RedisRateLimiter(redis_client, "pw", None, patience=0, **how)


class Store:
    """What a store kept of today, and how often it was asked."""

    def __init__(self, kept: Mapping[str, int] | None = None) -> None:
        self.kept = dict(kept or {})
        self.asked = 0

    def __call__(self, day: str) -> Mapping[str, int]:
        assert day == f"{datetime.now(UTC):%Y-%m-%d}"
        self.asked += 1
        return self.kept


def passed(limiter: RedisRateLimiter, tries: int) -> int:
    """How many of so many requests are let through."""
    count = 0
    for _ in range(tries):
        try:
            limiter.wait("p")
        except ServerUnavailable:
            continue
        count += 1
    return count


def test_the_budget_refuses(make_limiter: MakeLimiter) -> None:
    """Until midnight, and it says which setting it is."""
    limiter = make_limiter(budget=3, stored_requests=Store())
    assert passed(limiter, 10) == 3
    with pytest.raises(ServerUnavailable, match=r"\[patchwork\] requests_per_day") as refused:
        limiter.wait("p")
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert refused.value.retry_after == pytest.approx((midnight - now).total_seconds(), abs=60)
    assert limiter.requests_today().total == 3


def test_who_only_looks_brings_nothing_back(
    make_limiter: MakeLimiter, redis_client: redis.Redis
) -> None:
    """`status` on a machine without the store does not let others past a count that is lost."""
    redis_client.flushall()
    assert make_limiter(budget=3).requests_today().total == 0
    with pytest.raises(ServerUnavailable, match="lost the day's count"):
        make_limiter(budget=3).wait("p")


def test_one_over_the_budget_takes_no_slot(redis_client: redis.Redis) -> None:
    """What is refused does not delay what the next day brings."""
    limiter = RedisRateLimiter(redis_client, "pw", 10, budget=1, stored_requests=Store())
    limiter.wait("p")
    bucket = redis_client.hgetall("pw:bucket")
    assert passed(limiter, 5) == 0
    assert redis_client.hgetall("pw:bucket") == bucket


def ask_in_a_process(socket: Path, tries: int) -> None:
    """Beside another one, once both are there."""
    with redis.Redis(unix_socket_path=str(socket)) as client:
        limiter = RedisRateLimiter(client, "pw", None, budget=50, stored_requests=lambda _: {})
        meet(client)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: passed(limiter, tries), range(4)))


def test_not_one_too_many_from_many_processes(
    redis_socket: Path, redis_client: redis.Redis
) -> None:
    """The budget is checked and counted at one stroke."""
    in_two_processes(ask_in_a_process, redis_socket, 20)
    assert RedisRateLimiter(redis_client, "pw", None).requests_today().total == 50


def test_a_new_day_has_its_budget(make_limiter: MakeLimiter, redis_client: redis.Redis) -> None:
    """And begins to count at zero; nothing has to be brought back for it."""
    limiter = make_limiter(budget=2, stored_requests=Store())
    assert passed(limiter, 5) == 2
    redis_client.hincrby("pw:requests", "day", -1)
    fetch = make_limiter(budget=2)
    assert passed(fetch, 5) == 2
    assert fetch.requests_today().requests == {"p": 2}


def test_nobody_asks_until_the_count_is_back(
    make_limiter: MakeLimiter, redis_client: redis.Redis
) -> None:
    """A worker without the store waits for one that has it: a flush does not double the budget."""
    fetch, probe = make_limiter(budget=5), make_limiter(budget=5, stored_requests=Store({"p": 3}))
    redis_client.flushall()
    with pytest.raises(ServerUnavailable, match="probe, audit, index"):
        fetch.wait("p")
    assert passed(probe, 1) == 1
    assert passed(fetch, 5) == 1
    assert probe.requests_today().total == 5


def test_without_a_budget_nobody_waits_for_the_count(make_limiter: MakeLimiter) -> None:
    """It is shown only."""
    assert passed(make_limiter(), 3) == 3


def test_the_count_comes_back_once(make_limiter: MakeLimiter, redis_client: redis.Redis) -> None:
    """On top of what was asked since, a single time, from all workers that have the store."""
    fetch, store = make_limiter(), Store({"p": 70, "q": 3})
    probe = make_limiter(stored_requests=store)
    assert passed(probe, 1) == 1
    assert store.asked == 1
    redis_client.flushall()
    assert passed(fetch, 2) == 2
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: probe.requests_today(), range(8)))
    assert probe.requests_today().requests == {"p": 72, "q": 3}
    assert probe.requests_today().total == 75


def test_a_redis_that_went_back_in_time_is_set_right(make_limiter: MakeLimiter) -> None:
    """Restored from an old snapshot, it knows of fewer requests than the store kept."""
    store = Store()
    limiter = make_limiter(stored_requests=store)
    assert passed(limiter, 4) == 4
    store.kept = {"p": 10}
    assert limiter.requests_today().requests == {"p": 10}
    store.kept = {"p": 7}
    assert limiter.requests_today().requests == {"p": 10}
    assert limiter.requests_today().total == 10


def test_one_project_is_counted_beside_many(
    make_limiter: MakeLimiter, redis_client: redis.Redis
) -> None:
    """What the store kept of all is read only where Redis lost it."""
    store = Store({"p": 3, "q": 70, "-": 1})
    limiter = make_limiter(stored_requests=store)
    assert passed(limiter, 2) == 2
    assert store.asked == 1
    for _ in range(3):
        counted = limiter.requests_of("p")
        assert (counted.requests, counted.others) == (5, 1)
    assert counted.day == f"{datetime.now(UTC):%Y-%m-%d}"
    assert store.asked == 1
    redis_client.flushall()
    assert limiter.requests_of("p").requests == 3
    assert limiter.requests_of("r").requests == 0
    assert store.asked == 2
    redis_client.hincrby("pw:requests", "day", -1)
    assert limiter.requests_of("p").requests == 0


def test_configurations_share_the_budget_and_not_the_count(
    make_limiter: MakeLimiter, redis_client: redis.Redis
) -> None:
    """Two that ask one Patchwork each bring back their own, also for projects of one name."""
    one = make_limiter(namespace="one", budget=10, stored_requests=Store({"p": 3}))
    two = make_limiter(namespace="two", budget=10, stored_requests=Store({"p": 4}))
    redis_client.flushall()
    assert passed(two, 1) == 1
    assert passed(one, 1) == 1
    assert one.requests_today().requests == {"p": 4}
    assert two.requests_today().requests == {"p": 5}
    assert one.requests_today().total == two.requests_today().total == 9
    assert passed(one, 5) == 1
    assert passed(two, 5) == 0


def test_a_count_that_cannot_be_read_lets_nothing_through(make_limiter: MakeLimiter) -> None:
    """Better no request than one too many."""

    def unreadable(day: str) -> Mapping[str, int]:
        raise StoreUnavailable("no disk")

    with pytest.raises(StoreUnavailable, match="no disk"):
        make_limiter(budget=5, stored_requests=unreadable).wait("p")


def test_a_flush_between_two_requests_is_met(
    make_limiter: MakeLimiter, redis_client: redis.Redis
) -> None:
    """A probe goes on after it, with the count that it brought back itself."""
    store = Store()
    limiter = make_limiter(budget=6, stored_requests=store)
    sent = 0
    while passed(limiter, 1):
        sent += 1
        store.kept = limiter.requests_today().requests
        redis_client.flushall()
        assert sent <= 6
    assert sent == 6


@pytest.mark.parametrize("greedy", ["push", "sync"])
def test_neither_push_nor_sync_takes_the_other_s_share(
    make_limiter: MakeLimiter, greedy: str
) -> None:
    """Each goes on to the end of its own, whoever asked first, and says whose is spent."""
    how = {"budget": 10, "push_share": 4, "stored_requests": Store()}
    limiters = {"sync": make_limiter(**how), "push": make_limiter(**how, is_push=True)}
    other = "sync" if greedy == "push" else "push"
    share = {"push": 4, "sync": 6}
    assert passed(limiters[greedy], 20) == share[greedy]
    with pytest.raises(ServerUnavailable, match=f"{greedy}'s share .* {share[greedy]} of 10") as e:
        limiters[greedy].wait("p")
    assert isinstance(e.value, PushShareSpent) is (greedy == "push")
    assert passed(limiters[other], 20) == share[other]
    assert passed(limiters[greedy], 1) == 0
    assert limiters["sync"].requests_today().total == 10
    assert limiters["sync"].requests_of("p").push == 4


def test_the_shares_come_back_after_a_flush(
    make_limiter: MakeLimiter, redis_client: redis.Redis
) -> None:
    """What push had spent is not taken for sync's, nor spent again."""
    how = {"budget": 10, "push_share": 4, "stored_requests": Store({"p": 7, "-push": 3})}
    sync, push = make_limiter(**how), make_limiter(**how, is_push=True)
    for _ in range(2):
        redis_client.flushall()
        assert passed(push, 20) == 1
        assert passed(sync, 20) == 2
        assert sync.requests_today().total == 10
    assert sync.requests_today().requests == {"p": 10}


def test_where_nothing_is_pushed_sync_has_all(make_limiter: MakeLimiter) -> None:
    """A share of nothing."""
    assert passed(make_limiter(budget=3, stored_requests=Store()), 9) == 3
