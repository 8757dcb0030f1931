"""Leases and troubles, in a real Redis."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from patchsync.board import Board, Errand
from patchsync.errors import GiveUp, ServerUnavailable
from patchsync.services import redis_command


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """A Redis of our own."""
    folder = tmp_path_factory.mktemp("r")
    command = redis_command(folder)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        client = redis.Redis(unix_socket_path=str(folder / "redis.sock"))
        deadline = time.monotonic() + 10
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield client
        client.close()
        server.terminate()


@pytest.fixture
def board(client: redis.Redis, tmp_path: Path) -> Board:
    """A board that no other test has."""
    return Board(client, str(tmp_path), "project", lease_seconds=60)


def test_a_lease_is_taken_once(board: Board) -> None:
    """What is in flight is not handed out again, until it is given back."""
    assert board.take("page 1")
    assert not board.take("page 1")
    assert board.take("page 2")
    assert board.in_flight() == 2
    assert board.release("page 1") == 1
    assert board.release("page 2") == 0
    assert board.take("page 1")


def test_a_lost_lease_runs_out(client: redis.Redis, tmp_path: Path) -> None:
    """A page whose message was lost is asked for again, once nobody works on the project."""
    board = Board(client, str(tmp_path), "project", lease_seconds=0.05)
    assert board.take("lost")
    assert board.take("worked on")
    time.sleep(0.1)
    board.keep("worked on")
    assert board.in_flight() == 1
    assert board.take("lost")
    assert not board.take("worked on")


def test_work_on_one_page_keeps_those_that_wait_their_turn(
    client: redis.Redis, tmp_path: Path
) -> None:
    """A slow round is not asked for again while it goes on; what was given back stays so."""
    board = Board(client, str(tmp_path), "project", lease_seconds=0.5)
    assert board.take("in hand")
    assert board.take("waits")
    assert board.take("done")
    board.release("done")
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        board.keep("in hand")
        time.sleep(0.1)
    assert board.is_out("waits")
    assert not board.is_out("done")
    assert board.in_flight() == 2
    time.sleep(0.6)
    assert not board.is_out("waits"), "nobody works on the project any more"
    board.keep_all()
    assert board.in_flight() == 0, "what ran out is not brought back"


def test_a_machine_whose_clock_is_off(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases go by Redis' clock: a machine two minutes ahead drops no page and ends no lease."""
    assert board.take("page")
    ahead = time.time() + 120
    monkeypatch.setattr(time, "time", lambda: ahead)
    assert board.is_out("page")
    assert board.in_flight() == 1
    assert not board.take("page")


def test_projects_and_configurations_are_apart(client: redis.Redis, tmp_path: Path) -> None:
    """The same page of another project, or of another configuration, is another lease."""
    name = str(tmp_path)
    assert Board(client, name, "one", lease_seconds=60).take("page 1")
    assert Board(client, name, "two", lease_seconds=60).take("page 1")
    assert Board(client, name + "x", "one", lease_seconds=60).take("page 1")


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


def test_an_errand_is_sent_once_until_it_begins(client: redis.Redis, tmp_path: Path) -> None:
    """Who asks while the message is on its way sends none; who asks once it was taken up does."""
    errands = [Errand(client, str(tmp_path), "analysis", seconds=60) for _ in range(2)]
    assert [each.ask() for each in errands] == [True, False]
    assert Errand(client, str(tmp_path), "another", seconds=60).ask()
    errands[1].begin()
    assert [each.ask() for each in errands] == [True, False]


def test_an_errand_whose_message_was_lost(client: redis.Redis, tmp_path: Path) -> None:
    """After its time the next one who asks sends another."""
    errand = Errand(client, str(tmp_path), "analysis", seconds=0.05)
    assert errand.ask()
    time.sleep(0.1)
    assert errand.ask()
