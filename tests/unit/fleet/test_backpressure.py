"""What waits in Redis, measured there, and what it holds back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kombu import Connection, Exchange, Producer, Queue

from patchsync.errors import TryAgainLater
from patchsync.fleet.backpressure import (
    FIRST,
    LATER,
    PRIORITY_SEPARATOR,
    PRIORITY_STEPS,
    Backpressure,
    IndexQueue,
    queue_keys,
)
from patchsync.fleet.redis_client import Memory
from workers import context
from workers.broker import use

NAMESPACE = "n"
MAIL = 200_000


@pytest.fixture
def client(redis_client: redis.Redis) -> redis.Redis:
    """An empty Redis."""
    return redis_client


@pytest.fixture
def broker(redis_socket: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """As the workers are connected, by the transport that they use."""
    monkeypatch.setattr(context, "signing_key", lambda: None)
    use()
    options = {
        "global_keyprefix": f"patchsync:{NAMESPACE}:",
        "priority_steps": list(PRIORITY_STEPS),
        "sep": PRIORITY_SEPARATOR,
    }
    with Connection(f"redis+socket://{redis_socket}", transport_options=options) as connection:
        yield connection


INDEX = Queue("index", Exchange("index"), routing_key="index")


def publish(broker: Connection, name: str, priority: int) -> None:
    """One message with a mail."""
    Producer(broker).publish(
        {"name": name, "mail": "x" * MAIL},
        exchange=INDEX.exchange,
        routing_key="index",
        declare=[INDEX],
        priority=priority,
    )


def test_all_that_waits_is_measured(broker: Connection, client: redis.Redis) -> None:
    """In either list of the queue, and what a worker took and did not acknowledge."""
    index_queue = IndexQueue(client, NAMESPACE)
    assert (index_queue.bytes(), index_queue.messages()) == (0, 0)
    for number in range(4):
        publish(broker, str(number), FIRST if number % 2 else LATER)
    # A message's body is base64.
    assert index_queue.bytes() == pytest.approx(4 * MAIL * 4 / 3, rel=0.5)
    assert index_queue.messages() == 4
    before = index_queue.bytes()
    with broker.channel() as channel:
        taken = INDEX(channel).get()
        assert taken is not None
        assert index_queue.messages() == 3
        assert index_queue.bytes() == pytest.approx(before, rel=0.2)
        taken.ack()
    assert index_queue.bytes() == pytest.approx(before * 3 / 4, rel=0.2)
    client.flushall()
    assert index_queue.bytes() == 0


def test_the_lists_are_named_as_the_transport_names_them(
    broker: Connection, client: redis.Redis
) -> None:
    """What may wait has a list of its own, and comes after all that may not."""
    for name, priority in (("backlog", LATER), ("new", FIRST)):
        publish(broker, name, priority)
    keys = queue_keys(NAMESPACE, "index")
    assert [client.llen(key) for key in keys] == [1, 1]
    with broker.channel() as channel:
        taken = [INDEX(channel).get() for _ in keys]
        for message in taken:
            assert message is not None
            message.ack()  # Else kombu opens a connection as the channel is closed, and leaves it.
    names = [json.loads(message.body or "")["name"] for message in taken if message]
    assert names == ["new", "backlog"]


class Measured(IndexQueue):
    """So many bytes at each look, the last number for ever, in a Redis that is so full."""

    def __init__(self, *sizes: int, used: int = 0, messages: int = 1) -> None:
        self._sizes = list(sizes)
        self._used, self._messages = used, messages

    def memory(self) -> Memory:
        return Memory(self._used, 1000)

    def messages(self) -> int:
        return self._messages

    def bytes(self) -> int:
        return self._sizes.pop(0) if len(self._sizes) > 1 else self._sizes[0]


class Clock:
    """Time passes only while one sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def backpressure(*sizes: int, later: bool = False, clock: Clock | None = None) -> Backpressure:
    """With a bound of 100 bytes."""
    return measured(Measured(*sizes), later=later, clock=clock)


def measured(queue: IndexQueue, *, later: bool, clock: Clock | None = None) -> Backpressure:
    """The same for another queue."""
    clock = clock or Clock()
    return Backpressure(queue, 100, later=later, sleep=clock.sleep, clock=clock)


def test_who_finds_room_does_not_wait() -> None:
    """Up to the bound."""
    clock = Clock()
    backpressure(100, clock=clock).wait(lambda: None)
    assert clock.now == 0


def test_who_finds_none_waits_and_says_so() -> None:
    """So that the lease of the page is kept alive."""
    signs: list[None] = []
    backpressure(300, 200, 101, 100).wait(lambda: signs.append(None))
    assert len(signs) == 3


def test_what_may_wait_leaves_room_for_what_may_not() -> None:
    """A backlog does not fill the queue to its bound."""
    clock = Clock()
    backpressure(90, clock=clock).wait(lambda: None)
    assert clock.now == 0
    with pytest.raises(TryAgainLater):
        backpressure(90, later=True, clock=clock).wait(lambda: None)


def test_a_task_waits_so_long_in_all() -> None:
    """Then it asks for the one who should make room, before its own time is over."""
    clock = Clock()
    pressed = backpressure(*[300] * 300, 100, 300, clock=clock)
    pressed.wait(lambda: None)
    assert clock.now == 150
    with pytest.raises(TryAgainLater, match="is an index worker running"):
        pressed.wait(lambda: None)
    assert clock.now == pytest.approx(300, abs=1)


@pytest.mark.parametrize(("used", "later"), [(801, False), (601, True)])
def test_a_redis_that_is_nearly_full_is_not_filled(used: int, later: bool) -> None:
    """However little of it is ours; there is room for what empties it."""
    measured(Measured(1, used=used - 1), later=later).wait(lambda: None)
    with pytest.raises(TryAgainLater, match=r"^Redis uses 0\.0 MiB of"):
        measured(Measured(1, used=used), later=later).wait(lambda: None)


def test_what_others_fill_is_not_waited_for() -> None:
    """With nothing of ours in it, waiting would make no room."""
    measured(Measured(1, used=999, messages=0), later=False).wait(lambda: None)
