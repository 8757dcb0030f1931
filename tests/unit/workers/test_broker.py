"""Our changes to kombu's Redis transport: what comes of a message while Redis is full."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection, Exchange, Queue, compression

from workers import context
from workers.broker import use

PREFIX = "patchsync:n:"
INDEX = Queue("index", Exchange("index"), routing_key="index")


@pytest.fixture
def client(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    """An empty Redis, which a test may fill."""
    yield redis_client
    redis_client.config_set("maxmemory", 0)


@pytest.fixture
def channel(
    redis_socket: Path, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """As a worker's; one message waits, and commands have a queue."""
    monkeypatch.setattr(context, "signing_key", lambda: None)
    url = f"redis+socket://{redis_socket}"
    options = {"global_keyprefix": PREFIX}
    use()
    with Connection(url, transport_options=options) as connection:
        channel = connection.default_channel
        INDEX(channel).declare()
        producer = connection.Producer()
        producer.publish("mail", exchange="index", routing_key="index")
        yield channel


def unacked(client: redis.Redis) -> tuple[Any, ...]:
    """What is noted as taken and not acknowledged."""
    return client.hlen(f"{PREFIX}unacked"), client.zcard(f"{PREFIX}unacked_index")


def test_what_was_taken_before_is_acknowledged(client: redis.Redis, channel: Any) -> None:
    """Else nothing would ever make room."""
    message = INDEX(channel).get()
    assert message is not None
    assert unacked(client) == (1, 1)
    client.config_set("maxmemory", 1)
    message.ack()
    assert unacked(client) == (0, 0)


def test_what_waits_is_taken_without_a_note(client: redis.Redis, channel: Any) -> None:
    """It is handed out, and may be acknowledged like any other."""
    client.config_set("maxmemory", 1)
    message = INDEX(channel).get()
    assert message is not None
    assert message.payload == "mail"
    assert unacked(client) == (0, 0)
    message.ack()


def test_queues_are_declared(client: redis.Redis, channel: Any) -> None:
    """Also one that ends with its worker, as that for commands; and nothing is brought back."""
    client.config_set("maxmemory", 1)
    INDEX(channel).declare()
    Queue("control", Exchange("control"), expires=10)(channel).declare()
    channel.qos.restore_visible(interval=1)


def test_what_is_published_is_refused(client: redis.Redis, channel: Any) -> None:
    """And the one who sends it is told."""
    client.config_set("maxmemory", 1)
    producer = channel.connection.client.Producer(channel)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        producer.publish("more", exchange="index", routing_key="index")


def test_mails_are_packed_as_zlib_would() -> None:
    """A fleet that is updated machine by machine reads what the other half wrote."""
    use()
    text = json.dumps(["\udcff mail\n" * 1000]).encode()
    packed, kind = compression.compress(text, "zlib")
    assert kind == "application/x-gzip"
    assert zlib.decompress(packed) == text
    assert compression.decompress(zlib.compress(text), kind) == text
    assert len(packed) < len(text) / 10
