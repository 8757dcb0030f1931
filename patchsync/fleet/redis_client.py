"""Clients of Redis: what they have in common, and one for commands that ask little and end.

redis-py takes longer to load than all else that `patchsync health` does, which each container runs
each half minute. So `RedisReader` does without it where all is as usual.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self, cast
from urllib.parse import SplitResult, unquote, urlsplit

from patchsync.errors import RedisUnavailable, in_words

if TYPE_CHECKING:
    import redis

    from patchsync.config import Config


class RedisClient(Protocol):
    """What redis-py's client and `RedisReader` have in common."""

    def execute_command(self, *words: Any) -> Any:
        """Send a command and return Redis' answer: bytes, int, None, or a list of these."""


def redis_now(client: RedisClient) -> float:
    """The time that all machines of a fleet agree on, in seconds since 1970.

    Raises what `client` does.
    """
    seconds, microseconds = client.execute_command("TIME")
    return int(seconds) + int(microseconds) / 1_000_000


@dataclass(frozen=True)
class Memory:
    """What a Redis uses of what it may, in bytes."""

    used: int
    # None: as much as its machine has
    limit: int | None

    @property
    def share(self) -> float:
        """What is used of the limit; 0 where there is none."""
        return self.used / self.limit if self.limit else 0.0

    def __str__(self) -> str:
        limit = f" of {self.limit / 2**20:.1f} MiB (maxmemory)" if self.limit else ""
        return f"{self.used / 2**20:.1f} MiB{limit}"


def redis_memory(client: RedisClient) -> Memory:
    """How full Redis is; raises what `client` does."""
    answer = client.execute_command("INFO", "memory")
    if isinstance(answer, bytes):  # redis-py has parsed it.
        lines = (line.partition(":") for line in answer.decode().splitlines())
        answer = {key: value for key, _, value in lines}
    return Memory(int(answer["used_memory"]), int(answer["maxmemory"]) or None)


def is_full(error: Exception) -> bool:
    """Whether Redis refused a command because it is full: as such, or from within a script."""
    return "used memory > 'maxmemory'" in str(error)


def plain_words(error: Exception, config: Config) -> str:
    """What is wrong with Redis and what to do, from what a client of it raised."""
    text = str(error)
    place = _place(urlsplit(config.redis_url))
    if is_full(error):
        return (
            f"the Redis at {place} is full (maxmemory) and refuses writes: see that `index` runs, "
            "which empties it, or give it more memory"
        )
    if "read only replica" in text:
        return (
            f"the Redis at {place} is a replica and refuses writes; [redis] url wants its primary"
        )
    if "no permissions" in text:
        return f"the Redis at {place} refuses: {text}; docs/deploy.md has the user's rights"
    reason = in_words(error)
    if " connecting to " not in text:
        return f"the Redis at {place} does not serve us: {reason}"
    if not config.embedded_redis:
        return f"no Redis answers at {place} ({reason}): does it run, and is [redis] url right?"
    if was_killed(config):
        return "the fleet that ran here was killed, its Redis too; `patchsync up` starts it again"
    return "no fleet of this user runs here, and so no Redis; `patchsync up` starts it"


def was_killed(config: Config) -> bool:
    """Whether an embedded Redis that does not answer left its socket, which it does not if it ends
    as it should."""
    return config.embedded_redis and (config.run_dir / "redis.sock").exists()


class RedisReader:
    """A connection for commands that only read, made by the first one; a context that closes it.

    TLS, options in the url, and what Redis refuses are left to redis-py, and what is out of reach
    is told in its words: `plain_words` has better ones.
    """

    def __init__(self, url: str, *, seconds: float = 5.0) -> None:
        """`url`: as redis-py takes it; `seconds`: to wait for the connection, and for an answer."""
        self._url = url
        self._seconds = seconds
        self._stream: BinaryIO | None = None
        self._client: redis.Redis | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._client is not None:
            self._client.close()

    def execute_command(self, *words: Any) -> Any:
        """See `RedisClient`.

        Raises:
            RedisUnavailable: it does not answer, or refuses.
        """
        parts = urlsplit(self._url)
        usual = parts.scheme in ("redis", "unix") and not parts.query
        if self._client is None and usual and not (parts.username and not parts.password):
            try:
                if self._stream is None:
                    self._stream = _connect(parts, self._seconds)
                return _ask(self._stream, words)
            except TimeoutError as error:
                raise RedisUnavailable(f"Timeout reading from {_place(parts)}") from error
            except (OSError, ValueError):
                pass
        return self._by_redis_py(words)

    def _by_redis_py(self, words: tuple[Any, ...]) -> Any:
        import redis

        if self._client is None:  # From now on it serves all commands.
            self._client = redis.Redis.from_url(
                self._url, socket_connect_timeout=self._seconds, socket_timeout=self._seconds
            )
        client: RedisClient = self._client
        try:
            return client.execute_command(*words)
        except redis.RedisError as error:
            raise RedisUnavailable(str(error)) from error


def _connect(parts: SplitResult, seconds: float) -> BinaryIO:
    """A connection that is logged in, to the database that the url names."""
    try:
        connection = _connected_socket(parts, seconds)
    except TimeoutError as error:
        raise RedisUnavailable("Timeout connecting to server") from error
    except OSError as error:
        if error.strerror is None:
            raise
        raise RedisUnavailable(
            f"Error {error.errno} connecting to {_place(parts)}. {error.strerror}."
        ) from error
    with connection:  # The stream keeps it open.
        stream = cast(BinaryIO, connection.makefile("rwb"))
    try:
        if parts.password:
            user = [unquote(parts.username)] if parts.username else []
            _ask(stream, ("AUTH", *user, unquote(parts.password)))
        database = unquote(parts.path).replace("/", "")
        if parts.scheme == "redis" and database.isdecimal():
            _ask(stream, ("SELECT", database))
    except BaseException:
        stream.close()
        raise
    return stream


def _connected_socket(parts: SplitResult, seconds: float) -> socket.socket:
    if parts.scheme != "unix":
        return socket.create_connection(_address(parts), seconds)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(seconds)
    try:
        connection.connect(unquote(parts.path))
    except BaseException:
        connection.close()
        raise
    return connection


def _address(parts: SplitResult) -> tuple[str, int]:
    return unquote(parts.hostname or "localhost"), parts.port or 6379


def _place(parts: SplitResult) -> str:
    return unquote(parts.path) if parts.scheme == "unix" else "{}:{}".format(*_address(parts))


def _ask(stream: BinaryIO, words: tuple[Any, ...]) -> Any:
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    stream.write(b"*%d\r\n" % len(encoded))
    stream.writelines(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
    stream.flush()
    return _answer(stream)


def _answer(stream: BinaryIO) -> Any:
    """Read one answer (RESP 2); ValueError where it is an error, or the end."""
    line = stream.readline()
    kind, text = line[:1], line[1:-2]
    match kind:
        case b"+":
            return text
        case b":":
            return int(text)
        case b"$" if text == b"-1":
            return None
        case b"$":
            value = stream.read(int(text) + 2)
            if value.endswith(b"\r\n"):
                return value[:-2]
        case b"*":
            return [_answer(stream) for _ in range(int(text))]
    raise ValueError(line)
