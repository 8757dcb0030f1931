"""Leases, troubles and debounced work, in a real Redis."""

from __future__ import annotations

import time

import pytest
import redis

from patchsync.errors import GiveUp, ServerUnavailable, StoreNotWritable, Unreachable
from patchsync.fleet import leases as module
from patchsync.fleet.debounce import Debounce
from patchsync.fleet.heartbeat import Heartbeats, Member
from patchsync.fleet.leases import Leases
from patchsync.fleet.redis_client import redis_now
from patchsync.fleet.trouble import last_trouble, note_trouble
from tests.support.installation import wait_until


@pytest.fixture
def client(redis_client: redis.Redis) -> redis.Redis:
    """An empty Redis."""
    return redis_client


class Clock:
    """Redis' clock as the leases read it, put forward."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self, client: redis.Redis) -> float:
        return redis_now(client) + self.passed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time passes for who adds to it."""
    clock = Clock()
    monkeypatch.setattr(module, "redis_now", clock)
    return clock


@pytest.fixture
def leases(client: redis.Redis) -> Leases:
    """Leases that last for a minute."""
    return Leases(client, "n", "project", lease_seconds=60)


def test_a_lease_is_taken_once(leases: Leases) -> None:
    """What is in flight is not handed out again, until it is given back."""
    assert leases.take("page 1")
    assert not leases.take("page 1")
    assert leases.take("page 2")
    assert leases.in_flight() == 2
    assert leases.release("page 1") == 1
    assert leases.release("page 2") == 0
    assert leases.take("page 1")


def test_a_lost_lease_runs_out(leases: Leases, clock: Clock) -> None:
    """A page whose message was lost is asked for again, once nobody works on the project."""
    assert leases.take("lost")
    assert leases.take("worked on")
    clock.passed += 61
    leases.keep("worked on")
    assert leases.in_flight() == 1
    assert leases.take("lost")
    assert not leases.take("worked on")


def test_work_on_one_page_keeps_those_that_wait_their_turn(leases: Leases, clock: Clock) -> None:
    """A slow round is not asked for again while it goes on; what was given back stays so."""
    assert leases.take("in hand")
    assert leases.take("waits")
    assert leases.take("done")
    leases.release("done")
    for _ in range(4):
        clock.passed += 45
        leases.keep("in hand")
    assert leases.is_out("waits")
    assert not leases.is_out("done")
    assert leases.in_flight() == 2
    clock.passed += 61
    assert not leases.is_out("waits"), "nobody works on the project any more"
    leases.keep_all()
    assert leases.in_flight() == 0, "what ran out is not brought back"


def test_redis_forgets_what_ran_out(client: redis.Redis) -> None:
    """By itself, also of a project that nobody looks at any more; what is worked on is kept."""
    leases = Leases(client, "n", "project", lease_seconds=600)
    leases.take("page")
    (key,) = client.keys()
    assert 500 < client.ttl(key) <= 601
    client.expire(key, 400)
    leases.keep("page")
    assert 500 < client.ttl(key) <= 601


def test_a_machine_whose_clock_is_off(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases go by Redis' clock: a machine two minutes ahead drops no page and ends no lease."""
    assert leases.take("page")
    ahead = time.time() + 120
    monkeypatch.setattr(time, "time", lambda: ahead)
    assert leases.is_out("page")
    assert leases.in_flight() == 1
    assert not leases.take("page")


def test_projects_and_configurations_are_apart(client: redis.Redis) -> None:
    """The same page of another project, or of another configuration, is another lease."""
    assert Leases(client, "n", "one", lease_seconds=60).take("page 1")
    assert Leases(client, "n", "two", lease_seconds=60).take("page 1")
    assert Leases(client, "nx", "one", lease_seconds=60).take("page 1")


def test_trouble_is_told_with_its_kind(client: redis.Redis) -> None:
    """The last error is kept, and whether somebody must do something about it."""
    assert last_trouble(client, "n", "project") is None
    note_trouble(client, "n", "project", "probe", ServerUnavailable("away"))
    trouble = last_trouble(client, "n", "project")
    assert trouble is not None
    assert (trouble.task, trouble.message, trouble.lasting) == ("probe", "away", False)
    note_trouble(client, "n", "project", "index", GiveUp("mend it"))
    trouble = last_trouble(client, "n", "project")
    assert trouble is not None
    assert trouble.lasting
    note_trouble(client, "n", "project", "probe", StoreNotWritable("no room"))
    trouble = last_trouble(client, "n", "project")
    assert trouble is not None
    assert (trouble.lasting, trouble.unreachable) == (True, False)
    note_trouble(client, "n", "project", "probe", Unreachable("nobody"))
    trouble = last_trouble(client, "n", "project")
    assert trouble is not None
    assert (trouble.lasting, trouble.unreachable) == (False, True)


def test_what_many_ask_for_is_sent_once_until_it_begins(client: redis.Redis) -> None:
    """Who asks while the message is on its way sends none; who asks once it was taken up does."""
    debounces = [Debounce(client, "n", "analysis", seconds=60) for _ in range(2)]
    assert [debounce.ask() for debounce in debounces] == [True, False]
    assert Debounce(client, "n", "another", seconds=60).ask()
    debounces[1].begin()
    assert [debounce.ask() for debounce in debounces] == [True, False]


def test_one_whose_message_was_lost(client: redis.Redis) -> None:
    """After its time the next one who asks sends another."""
    debounce = Debounce(client, "n", "analysis", seconds=0.05)
    assert debounce.ask()
    wait_until(debounce.ask, "it is taken for lost")


DAYS = [86400, 365 * 86400]


@pytest.mark.parametrize("seconds", DAYS)
def test_leases_of_a_clock_that_was_set_back(
    leases: Leases, client: redis.Redis, clock: Clock, seconds: int
) -> None:
    """Redis' clock was ahead by a day, or a year: what was taken then counts as run out."""
    clock.passed += seconds
    assert leases.take("page")
    assert leases.take("another")
    clock.passed -= seconds
    assert leases.in_flight() == 0
    assert not leases.is_out("page")
    leases.keep_all()
    assert leases.in_flight() == 0, "none is brought back"
    assert leases.take("page")
    assert leases.in_flight() == 1
    assert leases.release("page") == 0


def test_leases_of_a_machine_with_longer_ones(leases: Leases, client: redis.Redis) -> None:
    """They are out, too."""
    assert Leases(client, "n", "project", lease_seconds=100).take("page")
    assert leases.in_flight() == 1
    assert leases.is_out("page")
    assert not leases.take("page")


@pytest.mark.parametrize("seconds", DAYS)
def test_debounced_work_of_a_clock_that_was_set_back(client: redis.Redis, seconds: int) -> None:
    """It was asked for long ago; that lasts as long as the clock was ahead."""
    debounce = Debounce(client, "n", "analysis", seconds=60)
    assert debounce.ask()
    (key,) = client.keys()
    client.expire(key, seconds + 60)
    assert debounce.ask()
    assert not debounce.ask()


@pytest.mark.parametrize("seconds", DAYS)
def test_heartbeats_of_a_clock_that_was_set_back(client: redis.Redis, seconds: int) -> None:
    """Who ended since is not alive for as long as the clock was ahead; who lives tells so anew."""
    heartbeats = Heartbeats(client, "n")
    dead, alive = Member(service="probe", pid=1), Member(service="probe", pid=2)
    heartbeats.note(dead)
    heartbeats.note(alive)
    (key,) = client.keys()
    for member in client.zrange(key, 0, -1):
        client.zincrby(key, seconds, member)
    assert heartbeats.alive() == []
    heartbeats.note(alive)
    assert heartbeats.alive() == [alive]
    assert client.zcard(key) == 1, "forgotten"
