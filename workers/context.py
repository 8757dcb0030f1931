"""What a worker process opens once: the configuration, Redis, the rate limit, the client."""

from __future__ import annotations

from functools import cache

import redis

from patchsync.board import Board
from patchsync.config import Config, load, make_run_dir
from patchsync.patchwork.client import Client
from patchsync.patchwork.limits import RedisGate


@cache
def config() -> Config:
    """The configuration that `PATCHSYNC_CONFIG` names."""
    loaded = load()
    make_run_dir(loaded)
    return loaded


@cache
def redis_client() -> redis.Redis:
    """Redis, for locks, leases and the rate limit."""
    return redis.Redis.from_url(
        config().redis_url, socket_connect_timeout=5, socket_timeout=10, health_check_interval=30
    )


@cache
def gate() -> RedisGate:
    """The one rate limit of the whole fleet."""
    return RedisGate(
        redis_client(),
        f"patchsync-rate:{config().instance}",
        rate=config().rate,
        burst=config().patchwork.burst,
    )


@cache
def client() -> Client:
    """The Patchwork. It has no token: what these workers do needs none."""
    ask = config().patchwork
    return Client(
        config().url,
        gate(),
        contact=ask.contact,
        timeout=(ask.connect_timeout, ask.read_timeout),
    )


def board(project: str) -> Board:
    """The leases and troubles of the project with this link name."""
    return Board(
        redis_client(), config().namespace, project, lease_seconds=config().fleet.lease_seconds
    )
