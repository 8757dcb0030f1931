"""The pace of the fleet, its not-before and its counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from patchwork_fakes import in_two_processes, meet
from redis.backoff import NoBackoff
from redis.retry import Retry

from patchsync.errors import ServerUnavailable
from patchsync.patchwork.rate_limit import LocalRateLimiter, RedisRateLimiter
from patchsync.patchwork.rate_limit_state import read_hold, read_total
from tests.support.installation import wait_until

# redis-py itself tries for seconds.
ONCE = Retry(NoBackoff(), 0)

MakeLimiter = Callable[..., LocalRateLimiter | RedisRateLimiter]


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


@pytest.fixture(params=["local", "redis"])
def make_limiter(request: pytest.FixtureRequest) -> MakeLimiter:
    """Limiters of either kind; what holds for one holds for the other."""
    if request.param == "local":
        return LocalRateLimiter
    client = request.getfixturevalue("redis_client")
    return lambda rate=None, burst=1, **how: RedisRateLimiter(client, "pw", rate, burst, **how)


def refill(limiter: LocalRateLimiter | RedisRateLimiter) -> None:
    """Until a request passes that may not wait."""
    deadline = time.monotonic() + 60
    while not passes(limiter):
        assert time.monotonic() < deadline, "the bucket never fills"
        time.sleep(0.002)


def test_without_a_rate_nobody_waits(make_limiter: MakeLimiter) -> None:
    """A Patchwork of one's own needs no pace."""
    limiter = make_limiter(None, patience=0)
    for _ in range(100):
        limiter.wait("p")


def test_a_bucket_starts_empty(make_limiter: MakeLimiter) -> None:
    """Else each start, and each loss of Redis' data, would let a burst through."""
    with pytest.raises(ServerUnavailable) as refused:
        make_limiter(0.1, burst=10, patience=0).wait("p")
    assert refused.value.retry_after == pytest.approx(10, abs=1)


def test_after_a_pause_so_many_may_ask_at_once_as_the_burst_says(make_limiter: MakeLimiter) -> None:
    """And no more, however long the pause was."""
    limiter = make_limiter(100, burst=3, patience=0)
    refill(limiter)
    time.sleep(0.1)
    started = time.monotonic()
    passed = 0
    with pytest.raises(ServerUnavailable):
        while True:
            limiter.wait("p")
            passed += 1
    assert 3 <= passed <= 3 + (time.monotonic() - started) * 100


def test_the_pace_is_kept_by_threads_together(make_limiter: MakeLimiter) -> None:
    """Forty requests at 400 a second take a tenth of a second, however many ask."""
    limiter = make_limiter(400)
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(limiter.wait, ["p"] * 40))
    assert time.monotonic() - started >= 40 / 400


def test_a_slow_pace_comes_round_all_the_same(make_limiter: MakeLimiter) -> None:
    """One that is slower than the limiter is patient: refused for a while, not for ever."""
    refill(make_limiter(10, patience=0))


def test_who_would_wait_too_long_is_sent_away(make_limiter: MakeLimiter) -> None:
    """And takes no slot that another could use."""
    limiter = make_limiter(10, patience=0.25)
    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(lambda _: passes(limiter), range(20)))
    assert 1 <= sum(outcomes) < 20
    assert passes(limiter)


def passes(limiter: LocalRateLimiter | RedisRateLimiter) -> bool:
    try:
        limiter.wait("p")
    except ServerUnavailable:
        return False
    return True


@pytest.mark.parametrize("rate", [None, 1000.0])
def test_nobody_asks_during_a_hold(make_limiter: MakeLimiter, rate: float | None) -> None:
    """The server said when it wants to be asked again."""
    limiter = make_limiter(rate, patience=1)
    limiter.hold(1000, "why")
    limiter.hold(1, "why")
    with pytest.raises(ServerUnavailable) as refused:
        limiter.wait("p")
    assert refused.value.retry_after == pytest.approx(1000, abs=60)


def test_a_short_hold_is_waited_for(make_limiter: MakeLimiter) -> None:
    """A Retry-After within the patience delays the request, no more."""
    limiter = make_limiter(None, patience=5)
    started = time.monotonic()
    limiter.hold(0.1, "why")
    limiter.wait("p")
    assert time.monotonic() - started >= 0.1


def test_a_hold_reaches_those_who_wait_already(make_limiter: MakeLimiter) -> None:
    """They took their slot before the server said no."""

    def held_meanwhile(seconds: float) -> None:
        limiter.hold(100, "why")
        time.sleep(seconds)

    limiter = make_limiter(20, patience=1, sleep=held_meanwhile)
    with pytest.raises(ServerUnavailable):
        limiter.wait("p")


def test_no_burst_follows_a_hold(make_limiter: MakeLimiter) -> None:
    """What was not asked meanwhile is not caught up with at once."""
    limiter = make_limiter(100, burst=100, patience=0)
    refill(limiter)
    time.sleep(0.1)
    started = time.monotonic()
    limiter.hold(0.01, "why")
    time.sleep(0.02)
    passed = 0
    while passes(limiter):
        passed += 1
    assert passed <= 1 + (time.monotonic() - started) * 100


def test_a_mistaken_hold_ends_after_an_hour(make_limiter: MakeLimiter) -> None:
    """A Retry-After of a century would be nobody's intention."""
    limiter = make_limiter(None, patience=0)
    limiter.hold(1e9, "why")
    with pytest.raises(ServerUnavailable) as refused:
        limiter.wait("p")
    assert refused.value.retry_after == pytest.approx(3600, abs=60)


def ask_in_a_process(socket: Path, requests: int) -> None:
    """Beside another one, once both are there."""
    with redis.Redis(unix_socket_path=str(socket)) as client:
        limiter = RedisRateLimiter(client, "pw", 100)
        meet(client)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(limiter.wait, ["p"] * requests))


def test_the_pace_is_kept_by_processes_together(
    redis_socket: Path, redis_client: redis.Redis
) -> None:
    """By Redis' own clock, from the making of the bucket to the last of forty requests."""
    in_two_processes(ask_in_a_process, redis_socket, 20)
    seconds, microseconds = redis_client.time()
    made = int(redis_client.hget("pw:bucket", "made"))
    assert RedisRateLimiter(redis_client, "pw", 100).requests_today().requests == {"p": 40}
    assert seconds * 1_000_000 + microseconds - made >= 40 * 10_000


def test_losing_redis_data_lets_no_burst_through(redis_client: redis.Redis) -> None:
    """The bucket was full; after the flush it is empty."""
    limiter = RedisRateLimiter(redis_client, "pw", 100, burst=100, patience=0)
    refill(limiter)
    time.sleep(0.1)
    assert passes(limiter)
    redis_client.flushall()
    assert not passes(limiter)


def test_slots_from_a_lost_bucket_are_taken_anew(redis_client: redis.Redis) -> None:
    """Else those who wait would come on top of those who ask after the flush."""
    slept = []

    def flushed_meanwhile(seconds: float) -> None:
        if not slept:
            redis_client.flushall()
        slept.append(seconds)
        time.sleep(seconds)

    RedisRateLimiter(redis_client, "pw", 20, sleep=flushed_meanwhile).wait("p")
    assert sum(slept) >= 2 * 1 / 20 * 0.99


def test_a_hold_outlives_the_loss_of_redis_data(redis_client: redis.Redis) -> None:
    """Each process that saw the Retry-After keeps to it."""
    limiter = RedisRateLimiter(redis_client, "pw", None, patience=0)
    limiter.hold(100, "why")
    redis_client.flushall()
    assert not passes(limiter)


def test_a_hold_reaches_those_in_other_processes_who_wait(redis_client: redis.Redis) -> None:
    """They took their slot before another one was told."""

    def held_meanwhile(seconds: float) -> None:
        RedisRateLimiter(redis_client, "pw", 20).hold(100, "why")
        time.sleep(seconds)

    with pytest.raises(ServerUnavailable):
        RedisRateLimiter(redis_client, "pw", 20, patience=1, sleep=held_meanwhile).wait("p")


def test_a_hold_is_the_whole_fleets(redis_client: redis.Redis) -> None:
    """One process was told, all keep to it; another Patchwork's limiter is none of it."""
    RedisRateLimiter(redis_client, "pw", None).hold(1000, "why")
    RedisRateLimiter(redis_client, "pw", None).hold(1, "why")
    with pytest.raises(ServerUnavailable) as refused:
        RedisRateLimiter(redis_client, "pw", None).wait("p")
    assert refused.value.retry_after == pytest.approx(1000, abs=60)
    assert passes(RedisRateLimiter(redis_client, "other", None, patience=0))


def test_a_hold_says_why(make_limiter: MakeLimiter) -> None:
    """What is told is what the server did, not only that nobody may ask."""
    limiter = make_limiter(None, patience=0)
    limiter.hold(100, "the breaker is open: http://pw: ConnectionError")
    limiter.hold(1, "something that is over sooner")
    with pytest.raises(ServerUnavailable, match="the breaker is open: http://pw: ConnectionError"):
        limiter.wait("p")


def test_a_hold_of_another_process_says_why(redis_client: redis.Redis) -> None:
    """To those who are refused by it, and to `patchsync status`."""
    limiter = RedisRateLimiter(redis_client, "pw", None, patience=0)
    assert read_hold(redis_client.execute_command, "pw") is None
    RedisRateLimiter(redis_client, "pw", None).hold(1000, "a dead server")
    hold = read_hold(redis_client.execute_command, "pw")
    assert hold is not None
    assert hold.why == "a dead server"
    assert hold.until == pytest.approx(time.time() + 1000, abs=60)
    with pytest.raises(ServerUnavailable, match="a dead server"):
        limiter.wait("p")


def test_what_is_over_is_held_by_nobody(redis_client: redis.Redis) -> None:
    """Redis forgets a hold when it ends."""
    limiter = RedisRateLimiter(redis_client, "pw", None, patience=0)
    RedisRateLimiter(redis_client, "pw", None).hold(0.05, "a dead server")
    wait_until(lambda: read_hold(redis_client.execute_command, "pw") is None, "it is over")
    limiter.wait("p")


@pytest.fixture
def dead_redis(tmp_path: Path) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(tmp_path / "nobody"), retry=ONCE) as client:
        yield client


def test_without_redis_no_request_is_sent(dead_redis: redis.Redis) -> None:
    """Nobody would keep the pace."""
    limiter = RedisRateLimiter(dead_redis, "pw", None)
    with pytest.raises(ServerUnavailable, match="Redis"):
        limiter.wait("p")


def test_a_hold_without_redis_is_kept_by_this_process(redis_socket: Path) -> None:
    """The server asked this process, so this process knows."""
    path = str(redis_socket)
    with redis.Redis(unix_socket_path=path, retry=ONCE) as client:
        limiter = RedisRateLimiter(client, "pw", None, patience=0)
        client.connection_pool.connection_kwargs["path"] = f"{path}.gone"
        client.connection_pool.disconnect()
        with pytest.raises(ServerUnavailable, match="Redis"):
            limiter.hold(100, "why")
        client.connection_pool.connection_kwargs["path"] = path
        assert not passes(limiter)


def test_requests_are_counted_by_project(redis_client: redis.Redis) -> None:
    """Those without a project too; those that were refused not."""
    limiter = RedisRateLimiter(redis_client, "pw", None, patience=0)
    for project in ("linux", "qemu", "linux", ""):
        limiter.wait(project)
    limiter.hold(100, "why")
    assert not passes(limiter)
    spent = limiter.requests_today()
    assert spent.requests == {"linux": 2, "qemu": 1, "-": 1}
    assert (spent.total, spent.day) == (4, today())


def test_no_request_of_many_threads_is_lost_from_the_count(redis_client: redis.Redis) -> None:
    """Each is counted as it passes."""
    limiter = RedisRateLimiter(redis_client, "pw", None)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(limiter.wait, ["p"] * 200))
    assert limiter.requests_today().requests == {"p": 200}


YEAR = 365 * 86400
DAYS = [86400, YEAR]


def ahead(client: redis.Redis, seconds: float) -> str:
    """So many seconds after now, as the scripts keep it: as if Redis' clock was set back since."""
    return f"{int((client.time()[0] + seconds) * 1e6)}"


@pytest.mark.parametrize("seconds", DAYS)
def test_a_bucket_is_made_anew_where_the_clock_was_set_back(
    redis_client: redis.Redis, seconds: int
) -> None:
    """Its next free slot lies a day ahead, or a year: nobody waits for that."""
    limiter = RedisRateLimiter(redis_client, "pw", 1000, patience=1)
    limiter.wait("p")
    redis_client.hset("pw:bucket", "free", ahead(redis_client, seconds))
    limiter.wait("p")


def test_a_slot_is_taken_anew_where_the_clock_was_set_back(redis_client: redis.Redis) -> None:
    """While somebody slept until it."""
    slept = []

    def set_back_meanwhile(seconds: float) -> None:
        if not slept:
            # All that is stored lies as much further ahead.
            for field in ("free", "made"):
                redis_client.hincrby("pw:bucket", field, YEAR * 10**6)
        slept.append(seconds)
        time.sleep(seconds)

    RedisRateLimiter(redis_client, "pw", 20, patience=30, sleep=set_back_meanwhile).wait("p")
    assert sum(slept) < 30


@pytest.mark.parametrize("rate", [None, 1000.0])
@pytest.mark.parametrize("seconds", DAYS)
def test_a_hold_lasts_no_longer_where_the_clock_was_set_back(
    redis_client: redis.Redis, seconds: int, rate: float | None
) -> None:
    """It begins anew, for the time that was asked for, and not until that clock is there again."""
    RedisRateLimiter(redis_client, "pw", rate).hold(100, "why")
    redis_client.hset("pw:hold", "till", ahead(redis_client, seconds))
    told = read_hold(redis_client.execute_command, "pw")
    assert told is not None
    assert told.until == pytest.approx(redis_client.time()[0] + 100, abs=60)
    limiter = RedisRateLimiter(redis_client, "pw", rate, patience=0)
    with pytest.raises(ServerUnavailable, match="why") as refused:
        limiter.wait("p")
    assert refused.value.retry_after == pytest.approx(100, abs=1)
    assert 0 < redis_client.ttl("pw:hold") <= 101
    # A new one is not taken for a shorter one.
    redis_client.hset("pw:hold", "till", ahead(redis_client, seconds))
    RedisRateLimiter(redis_client, "pw", rate).hold(200, "another")
    assert (told := read_hold(redis_client.execute_command, "pw"))
    assert told.why == "another"


@pytest.mark.parametrize("days", [1, 365])
def test_requests_of_a_day_to_come_count_today(redis_client: redis.Redis, days: int) -> None:
    """They were sent, whatever the clock said then; a budget is not spent twice."""
    limiter = RedisRateLimiter(
        redis_client, "pw", None, budget=3, patience=0, stored_requests=lambda _: {}
    )
    limiter.wait("p")
    limiter.wait("p")
    redis_client.hincrby("pw:requests", "day", days)
    assert read_total(redis_client.execute_command, "pw") == 2
    assert limiter.requests_of("p").requests == 2
    redis_client.hincrby("pw:requests", "day", days)
    assert passes(limiter)
    assert not passes(limiter)
    assert (limiter.requests_today().total, limiter.requests_today().day) == (3, today())


def test_a_hold_is_told_once_when_it_begins(
    redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """With its reason and its end, in a line of the log; several threads are told at a time."""
    for _ in range(4):
        RedisRateLimiter(redis_client, "pw", None).hold(100, "asks to be left alone")
    (line,) = caplog.messages
    assert "asks to be left alone" in line
    hold = read_hold(redis_client.execute_command, "pw")
    assert hold is not None
    assert hold.by_server
    assert f"{datetime.fromtimestamp(hold.until, UTC):%Y-%m-%d %H:}" in line
    RedisRateLimiter(redis_client, "pw", None).hold(200, "again", by_server=False)
    assert len(caplog.messages) == 2


def test_whose_word_a_hold_is(redis_client: redis.Redis) -> None:
    """The server's, also where a breaker opens meanwhile; else ours."""
    limiter = RedisRateLimiter(redis_client, "pw", None)
    limiter.hold(50, "the breaker is open", by_server=False)
    assert (hold := read_hold(redis_client.execute_command, "pw"))
    assert not hold.by_server
    limiter.hold(100, "Retry-After")
    limiter.hold(200, "the breaker is open", by_server=False)
    assert (hold := read_hold(redis_client.execute_command, "pw"))
    assert hold.by_server


def test_a_lifted_hold_is_lifted_for_all(redis_client: redis.Redis) -> None:
    """Also for the process that was told of it, which keeps to it by itself; the next one holds."""
    told = RedisRateLimiter(redis_client, "pw", 1000, patience=1)
    elsewhere = RedisRateLimiter(redis_client, "pw", 1000, patience=1)
    for _ in range(2):
        told.hold(1000, "why")
        assert not passes(told)
        assert not passes(elsewhere)
        RedisRateLimiter(redis_client, "pw", None).lift()
        assert passes(told)
        assert passes(elsewhere)
        assert read_hold(redis_client.execute_command, "pw") is None


def test_no_burst_follows_a_lifted_hold(redis_client: redis.Redis) -> None:
    """The bucket is empty then, however long nobody asked."""
    limiter = RedisRateLimiter(redis_client, "pw", 0.01, burst=100, patience=0)
    limiter.hold(1000, "why")
    limiter.lift()
    assert not passes(limiter)


def test_what_was_lifted_before_lifts_no_later_hold(redis_client: redis.Redis) -> None:
    """Of a process that could not tell Redis of its own, and knows of no lifting."""
    limiter = RedisRateLimiter(redis_client, "pw", None, patience=0)
    limiter.lift()
    path = redis_client.connection_pool.connection_kwargs["path"]
    with redis.Redis(unix_socket_path=path, retry=ONCE) as client:
        limiter = RedisRateLimiter(client, "pw", None, patience=0)
        client.connection_pool.connection_kwargs["path"] = f"{path}.gone"
        client.connection_pool.disconnect()
        with pytest.raises(ServerUnavailable, match="Redis"):
            limiter.hold(100, "why")
        assert not passes(limiter)
        client.connection_pool.connection_kwargs["path"] = path
        client.connection_pool.reset()
        assert not passes(limiter)
        assert not passes(limiter)
        RedisRateLimiter(redis_client, "pw", None).lift()
        assert passes(limiter)
