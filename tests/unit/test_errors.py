"""What a library says of a connection is told in few words of ours, whatever it was wrapped in."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from smtplib import SMTP

import pytest
import redis
import requests

from patchsync.errors import in_words

JARGON = re.compile(
    r"Pool|Max retries|HELLO|Errno|Error|Caused by|NOAUTH|WRONGPASS|object at|_ssl|url:|Invalid|OOM"
)


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A server's port that says so much to each client, and ends; None: nothing, and it goes on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                    kept.append(client)
                    if answer:
                        client.recv(4096)
                        client.sendall(answer)
                    if answer is not None:
                        client.close()
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for client in kept:
            client.close()


def failure(ask: Callable[[], object]) -> str:
    """What is said of how it fails."""
    with pytest.raises((OSError, redis.RedisError)) as raised:
        ask()
    return in_words(raised.value)


def get(url: str, proxy: str = "") -> str:
    """What is said of a request that fails."""
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": proxy} if proxy else {}
        return failure(lambda: session.get(url, timeout=0.2))


@pytest.mark.parametrize(
    ("answer", "scheme", "expected"),
    [
        (b"", "http", "the connection was cut"),
        (b"hello\r\n\r\n", "http", "what answers speaks no HTTP"),
        (None, "http", "no answer in time"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "https", "no TLS is spoken there"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "http", "the answer was cut"),
    ],
)
def test_http(answer: bytes | None, scheme: str, expected: str) -> None:
    """What requests and urllib3 wrap."""
    with answering(answer) as port:
        assert get(f"{scheme}://127.0.0.1:{port}/") == expected


def test_nobody_there() -> None:
    """A port where nothing listens, a name of no host, a proxy that is away; by HTTP and SMTP."""
    assert get("http://127.0.0.1:1/") == "nothing listens there: connection refused"
    assert "name" in get("http://nosuch.invalid/")
    assert get("http://p.example.org/", "http://127.0.0.1:1").startswith("the proxy that")
    assert (
        failure(lambda: SMTP("127.0.0.1", 1, timeout=9))
        == "nothing listens there: connection refused"
    )
    with answering(b"") as port:
        assert failure(lambda: SMTP("127.0.0.1", port, timeout=9)) == "the connection was cut"


def test_a_certificate() -> None:
    """What is wrong with it."""
    error = ssl.SSLCertVerificationError(
        1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: it is old (_ssl.c:1006)"
    )
    assert in_words(requests.exceptions.SSLError(error)) == "its certificate: it is old"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"NOAUTH HELLO must be called with the client already authenticated", "wants a password"),
        (b"NOAUTH Authentication required.", "it wants a password: set [redis] password_file"),
        (b"WRONGPASS invalid username-password pair or user is disabled.", "refuses the password"),
        (b"ERR invalid password", "it refuses the password of [redis] password_file"),
        (b"ERR AUTH <password> called without any password configured for", "has no password"),
        (b"ERR DB index is out of range", "it has no database of the number in [redis] url"),
        (b"NOPERM this user has no permissions to run the 'ping' command", "lacks a permission"),
        (b"LOADING Redis is loading the dataset in memory", "it still loads its data"),
        (b"MISCONF Redis is configured to save RDB snapshots, but", "it cannot save to its disk"),
        (b"READONLY You can't write against a read only replica.", "it is a replica"),
        (b"ERR max number of clients reached", "it has too many clients"),
    ],
)
def test_what_redis_refuses(answer: bytes, expected: str) -> None:
    """With the setting to change, where it is one."""
    with answering(b"-" + answer + b"\r\n") as port:
        words = ask_redis(f"redis://:secret@127.0.0.1:{port}/0")
    assert expected in words
    assert not JARGON.search(words)


def test_no_redis() -> None:
    """Nobody, somebody else, nothing to be heard."""
    assert ask_redis("redis://127.0.0.1:1") == "nothing listens there: connection refused"
    assert ask_redis("unix:///nosuch") == "there is no such socket"
    for answer, expected in (
        (b"HTTP/1.1 400 Bad Request\r\n", "what listens there is no Redis"),
        (b"", "the connection was cut"),
        (None, "no answer in time"),
    ):
        with answering(answer) as port:
            assert ask_redis(f"redis://127.0.0.1:{port}") == expected


def ask_redis(url: str) -> str:
    """What is said of a Redis that does not answer."""
    with closing(redis.Redis.from_url(url, socket_timeout=0.2)) as client:
        return failure(client.ping)


def test_what_nobody_thought_of() -> None:
    """The innermost error's own words, and not many."""
    try:
        try:
            raise OSError(99, "Cannot assign requested address")
        except OSError as error:
            raise redis.ConnectionError("Error 99 connecting to x:1") from error
    except redis.ConnectionError as error:
        assert in_words(error) == "Cannot assign requested address"
    full = redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
    assert in_words(full) == "its memory is full (maxmemory)"
    assert in_words(ValueError("x" * 999)) == "x" * 200
    assert in_words(ValueError()) == "ValueError"
