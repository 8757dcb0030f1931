"""Leases and troubles, in a real Redis."""

from __future__ import annotations

import time

import pytest
import redis

from patchsync import board as module
from patchsync.board import Board, Errand
from patchsync.clock import redis_now
from patchsync.errors import GiveUp, ServerUnavailable
from tests.support.installation import wait_until


@pytest.fixture
def client(redis_client: redis.Redis) -> redis.Redis:
    """An empty Redis."""
    return redis_client


class Clock:
    """Redis' clock as the board reads it, put forward."""

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
def board(client: redis.Redis) -> Board:
    """A board whose leases last for a minute."""
    return Board(client, "n", "project", lease_seconds=60)


def test_a_lease_is_taken_once(board: Board) -> None:
    """What is in flight is not handed out again, until it is given back."""
    assert board.take("page 1")
    assert not board.take("page 1")
    assert board.take("page 2")
    assert board.in_flight() == 2
    assert board.release("page 1") == 1
    assert board.release("page 2") == 0
    assert board.take("page 1")


def test_a_lost_lease_runs_out(board: Board, clock: Clock) -> None:
    """A page whose message was lost is asked for again, once nobody works on the project."""
    assert board.take("lost")
    assert board.take("worked on")
    clock.passed += 61
    board.keep("worked on")
    assert board.in_flight() == 1
    assert board.take("lost")
    assert not board.take("worked on")


def test_work_on_one_page_keeps_those_that_wait_their_turn(board: Board, clock: Clock) -> None:
    """A slow round is not asked for again while it goes on; what was given back stays so."""
    assert board.take("in hand")
    assert board.take("waits")
    assert board.take("done")
    board.release("done")
    for _ in range(4):
        clock.passed += 45
        board.keep("in hand")
    assert board.is_out("waits")
    assert not board.is_out("done")
    assert board.in_flight() == 2
    clock.passed += 61
    assert not board.is_out("waits"), "nobody works on the project any more"
    board.keep_all()
    assert board.in_flight() == 0, "what ran out is not brought back"


def test_redis_forgets_what_ran_out(client: redis.Redis) -> None:
    """By itself, also of a project that nobody looks at any more; what is worked on is kept."""
    board = Board(client, "n", "project", lease_seconds=600)
    board.take("page")
    (key,) = client.keys()
    assert 500 < client.ttl(key) <= 601
    client.expire(key, 400)
    board.keep("page")
    assert 500 < client.ttl(key) <= 601


def test_a_machine_whose_clock_is_off(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases go by Redis' clock: a machine two minutes ahead drops no page and ends no lease."""
    assert board.take("page")
    ahead = time.time() + 120
    monkeypatch.setattr(time, "time", lambda: ahead)
    assert board.is_out("page")
    assert board.in_flight() == 1
    assert not board.take("page")


def test_projects_and_configurations_are_apart(client: redis.Redis) -> None:
    """The same page of another project, or of another configuration, is another lease."""
    assert Board(client, "n", "one", lease_seconds=60).take("page 1")
    assert Board(client, "n", "two", lease_seconds=60).take("page 1")
    assert Board(client, "nx", "one", lease_seconds=60).take("page 1")


def test_trouble_is_told_with_its_kind(board: Board) -> None:
    """The last error is kept, and whether somebody must do something about it."""
    assert board.trouble() is None
    board.report("probe", ServerUnavailable("away"))
    trouble = board.trouble()
    assert trouble is not None
    assert (trouble.task, trouble.message, trouble.lasting) == ("probe", "away", False)
    board.report("index", GiveUp("mend it"))
    trouble = board.trouble()
    assert trouble is not None
    assert trouble.lasting


def test_an_errand_is_sent_once_until_it_begins(client: redis.Redis) -> None:
    """Who asks while the message is on its way sends none; who asks once it was taken up does."""
    errands = [Errand(client, "n", "analysis", seconds=60) for _ in range(2)]
    assert [each.ask() for each in errands] == [True, False]
    assert Errand(client, "n", "another", seconds=60).ask()
    errands[1].begin()
    assert [each.ask() for each in errands] == [True, False]


def test_an_errand_whose_message_was_lost(client: redis.Redis) -> None:
    """After its time the next one who asks sends another."""
    errand = Errand(client, "n", "analysis", seconds=0.05)
    assert errand.ask()
    wait_until(errand.ask, "it is taken for lost")
