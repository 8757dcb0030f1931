"""Pieces go to the index workers, a few at a time, until the spool says that they are stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from import_fakes import mails_of, rendered

from patchsync.archive.spool import Contents, Piece, Spool
from patchsync.errors import GiveUp, TryAgainLater
from patchsync.fleet.trouble import Trouble
from patchsync.imports import feed as feeding
from patchsync.imports.feed import Feed, Progress


class Clock:
    """Time that passes only where something sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeBoard:
    """Tells what went wrong, if anything."""

    def __init__(self) -> None:
        self.said: Trouble | None = None
        self.gone = False

    def trouble(self) -> Trouble | None:
        if self.gone:
            raise redis.ConnectionError
        return self.said


class Queue:
    """The messages, and a worker that takes one when it is told to."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.asked: list[Piece] = []
        self.on_ask: Callable[[Piece], None] = lambda piece: None

    def enqueue(self, task: str, project: str, archive: str, start: int, length: int) -> None:
        assert (task, project, archive) == ("index.import_archive", "1", "digest")
        self.asked.append(Piece(start, length))
        self.on_ask(self.asked[-1])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(feeding, "time", clock)
    monkeypatch.setattr(feeding, "LOOK_SECONDS", 0.1)
    return clock


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool")
    spool.clear()
    return spool


@pytest.fixture
def board() -> FakeBoard:
    return FakeBoard()


@pytest.fixture
def queue(spool: Spool) -> Queue:
    return Queue(spool)


@pytest.fixture
def feed(clock: Clock, spool: Spool, queue: Queue, board: FakeBoard) -> Feed:
    untyped: Any = board.trouble
    options: dict[str, Any] = {"archive": "digest", "project": "1"}
    return Feed(spool, queue.enqueue, untyped, **options, spool_bytes=250, patience=100)


def pieces(count: int) -> list[tuple[Piece, Contents]]:
    """Of 100 bytes and one mail each."""
    return [(Piece(100 * n, 100), contents(100)) for n in range(count)]


def contents(size: int) -> Contents:
    """One mail of so many bytes."""
    content = rendered(1, size - 1) + b"\n"
    assert len(content) == size
    return Contents(mails=mails_of(content))


def test_each_piece_is_asked_for_once(feed: Feed, queue: Queue, spool: Spool) -> None:
    """And counts when it is stored."""
    queue.on_ask = spool.remove
    *_, last = feed.run(pieces(5))
    assert queue.asked == [piece for piece, _ in pieces(5)]
    assert last == Progress(5, 500)


def test_the_spool_is_bounded(feed: Feed, queue: Queue, spool: Spool) -> None:
    """No piece is written while as much waits as is allowed; a larger one goes alone."""
    run = feed.run([*pieces(4), (Piece(400, 900), contents(900))])
    most = []
    for _ in run:
        most.append(sum(piece.length for piece in spool.waiting()))
        if len(most) % 3 == 0 and spool.waiting():
            spool.remove(min(spool.waiting(), key=lambda piece: piece.start))
    assert max(each for each in most if each < 900) == 200
    assert max(most) == 900


def test_a_lost_message_is_sent_again(feed: Feed, queue: Queue, clock: Clock, spool: Spool) -> None:
    """After a while, then less often; stored while it waits, it is not."""
    run = feed.run(pieces(1))
    times = []
    queue.on_ask = lambda piece: times.append(clock.now - 1000)
    while len(times) < 4:
        next(run)
    assert times == pytest.approx([0, 10, 20, 40], abs=0.5)
    spool.remove(Piece(0, 100))
    assert [*run][-1] == Progress(1, 100)
    assert len(times) == 4


def test_without_progress_it_is_given_up(feed: Feed, clock: Clock) -> None:
    """After its patience; each piece that is stored renews that."""
    with pytest.raises(TryAgainLater, match="nothing was stored for 100 s: no index worker"):
        for _ in feed.run(pieces(1)):
            assert clock.now < 1101


def test_progress_renews_its_patience(feed: Feed, clock: Clock, queue: Queue, spool: Spool) -> None:
    """However long it takes in all."""
    began = clock.now
    for _ in feed.run(pieces(9)):
        if spool.waiting() and int(clock.now - began) % 90 == 89:
            spool.remove(min(spool.waiting(), key=lambda piece: piece.start))
            clock.now += 1
    assert clock.now - began > 400


def trouble(at: float, *, task: str = "import_archive", lasting: bool = True) -> Trouble:
    return Trouble(at=at, task=task, message="the disk is red", lasting=lasting)


def test_a_worker_that_cannot_go_on_ends_it(feed: Feed, board: FakeBoard) -> None:
    """At once, with what the worker says."""
    board.said = trouble(1001)
    with pytest.raises(GiveUp, match="the disk is red"):
        list(feed.run(pieces(1)))


def test_trouble_that_may_pass_is_waited_for(feed: Feed, board: FakeBoard) -> None:
    """It is told when patience runs out."""
    board.said = trouble(1001, lasting=False)
    with pytest.raises(TryAgainLater, match="nothing was stored for 100 s: the disk is red"):
        list(feed.run(pieces(1)))


@pytest.mark.parametrize("said", [trouble(999), trouble(1001, task="index_mails")])
def test_other_trouble_is_none_of_ours(
    feed: Feed, board: FakeBoard, queue: Queue, spool: Spool, said: Trouble
) -> None:
    """An earlier import's, or another task's."""
    board.said = said
    queue.on_ask = spool.remove
    assert [*feed.run(pieces(2))][-1] == Progress(2, 200)


def test_redis_may_go_and_come(
    feed: Feed, board: FakeBoard, queue: Queue, clock: Clock, spool: Spool
) -> None:
    """What could not be asked for is asked for again."""
    board.gone = True

    def enqueue_when_it_is_there(piece: Piece) -> None:
        if clock.now < 1030:
            raise TryAgainLater("Redis does not answer")
        spool.remove(piece)

    queue.on_ask = enqueue_when_it_is_there
    assert [*feed.run(pieces(1))][-1] == Progress(1, 100)
