"""The client that does without redis-py: it answers as that one, and tells the same troubles."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from patchsync.errors import RedisUnavailable
from patchsync.fleet.parent_death import die_with_parent
from patchsync.fleet.redis_client import RedisClient, RedisReader, redis_now
from patchsync.fleet.redis_server import embedded_redis_server
from tests.support.installation import free_port, wait_until


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a Redis on TCP, whose password is `p@ss`."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [embedded_redis_server(), "--port", str(port), "--save", "", "--dir", folder]
        with subprocess.Popen(
            die_with_parent([*command, "--requirepass", "p@ss"]), stdout=subprocess.DEVNULL
        ) as server:

            def answers() -> bool:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    return True
                return False

            wait_until(answers, "Redis listens")
            yield port
            server.kill()


def said(client: RedisClient, *words: object) -> object:
    """What a command brings: its answer, or the text of an error."""
    try:
        return client.execute_command(*words)
    except (redis.RedisError, RedisUnavailable) as error:
        return str(error)


@pytest.mark.parametrize(
    "words",
    [
        ("GET", "text"),
        ("GET", "nothing"),
        ("HMGET", "hash", "one", "nothing"),
        ("LLEN", "list"),
        ("LRANGE", "list", 0, -1),
        ("LRANGE", "nothing", 0, -1),
        ("ZRANGEBYSCORE", "sorted", 0.5, "+inf"),
        ("ZCOUNT", "sorted", "-inf", 1.5),
        ("MEMORY", "USAGE", "text", "SAMPLES", 0),
        ("LLEN", "text"),
        ("NOSUCH",),
    ],
)
def test_it_answers_as_redis_py(
    redis_client: redis.Redis, redis_socket: Path, words: tuple[object, ...]
) -> None:
    """Whatever type an answer has, and where Redis refuses."""
    redis_client.set("text", b"line\r\nline")
    redis_client.hset("hash", "one", "1")
    redis_client.rpush("list", "ä", b"\xff", "")
    redis_client.zadd("sorted", {"one": 1, "two": 2})
    with RedisReader(f"unix://{redis_socket}") as reader:
        assert said(reader, *words) == said(redis_client, *words)


def test_it_goes_on_after_an_error(redis_client: redis.Redis, redis_socket: Path) -> None:
    """One connection serves many commands."""
    redis_client.set("text", "t")
    with RedisReader(f"unix://{redis_socket}") as reader:
        with pytest.raises(RedisUnavailable):
            reader.execute_command("LLEN", "text")
        assert reader.execute_command("GET", "text") == b"t"
        assert redis_now(reader) == pytest.approx(redis_now(redis_client), abs=60)


@pytest.mark.parametrize("options", ["", "?socket_timeout=3"])
def test_it_logs_in_and_selects(port: int, options: str) -> None:
    """By the url's password, user and database; with options by redis-py."""
    url = f"redis://:p%40ss@127.0.0.1:{port}/3"
    with redis.Redis.from_url(url) as client:
        client.set("text", "third")
    for user in ("", "default"):
        with RedisReader(url.replace("//:", f"//{user}:") + options) as reader:
            assert reader.execute_command("GET", "text") == b"third"
    with RedisReader(url.removesuffix("/3") + options) as reader:
        assert reader.execute_command("GET", "text") is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1",
        "redis://nosuch.invalid:6379",
        "unix:///nowhere",
        f"unix:///{'long' * 50}",
        "redis://:wrong@127.0.0.1:{port}",
        "redis://127.0.0.1:{port}",
    ],
)
def test_what_is_wrong_is_told_as_by_redis_py(port: int, url: str) -> None:
    """Out of reach, a wrong password, none."""
    url = url.format(port=port)
    with RedisReader(url) as reader, redis.Redis.from_url(url) as client:
        trouble = said(reader, "GET", "text")
        assert isinstance(trouble, str)
        assert trouble == said(client, "GET", "text")


def test_one_that_hangs() -> None:
    """It is not waited for again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        with RedisReader(f"redis://{place}", seconds=0.1) as reader:
            assert said(reader, "PING") == f"Timeout reading from {place}"


def test_half_an_answer_is_none() -> None:
    """Redis ends while it answers."""

    def serve(server: socket.socket) -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"$10\r\nhalf")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        port = server.getsockname()[1]
        with RedisReader(f"redis://127.0.0.1:{port}") as reader, pytest.raises(RedisUnavailable):
            reader.execute_command("GET", "text")
