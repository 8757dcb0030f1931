"""The Redis lock of a project's writer. It only saves work: `lock.Fence` decides who writes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from redis.exceptions import LockError, OutOfMemoryError, RedisError

from patchsync.config import Config
from patchsync.errors import LockHeld

if TYPE_CHECKING:
    from redis import Redis
    from redis.lock import Lock

log = logging.getLogger(__name__)

_POLL = 0.05  # seconds between two tries
_WANTED_SECONDS = 1.0  # so long after its last try somebody counts as waiting


@contextmanager
def redis_lock(client: Redis, name: str, *, ttl: float, wait: float) -> Iterator[None]:
    """Hold the lock `name` in Redis for at most `ttl` seconds; wait for it at most `wait` seconds.

    Raises LockHeld when it is not to be had. It only saves work: a lock that was lost meanwhile,
    or that a full Redis has no room for, is no error here, since the fencing token decides who
    writes. Were that one, a Redis that is full of mails would never be emptied.
    """
    lock = client.lock(name, timeout=ttl, thread_local=False)
    try:
        _acquire(client, lock, name, ttl, wait)
    except OutOfMemoryError:
        log.warning("Redis is full: goes on without the lock %s", name)
        yield
        return
    try:
        yield
    finally:
        try:
            lock.release()
        except LockError:
            log.info("Redis lock %s was lost before its release", name)
        except RedisError as error:
            # It runs out by itself; the work under it is done, or its own error matters more.
            log.warning("Redis lock %s could not be released: %s", name, error)


def _acquire(client: Redis, lock: Lock, name: str, ttl: float, wait: float) -> None:
    waited = False
    deadline = time.monotonic() + wait
    while not lock.acquire(blocking=False):
        if client.pttl(name) > 1000 * ttl:  # Redis' clock was set back: no lock lasts so long.
            client.pexpire(name, round(1000 * ttl))
        if time.monotonic() >= deadline:
            raise LockHeld(f"Redis lock {name}: another worker has held it for {wait:g} s")
        client.set(_wanted(name), b"", px=round(1000 * _WANTED_SECONDS))
        waited = True
        time.sleep(_POLL)
    if waited:
        client.delete(_wanted(name))


def give_way(client: Redis, name: str) -> None:
    """Let who waits for the Redis lock `name` have it before us; for who takes it again and again.

    Without that a lock which is free for an instant now and then is never met so.
    """
    deadline = time.monotonic() + 2 * _WANTED_SECONDS
    # One that lasts longer was set before Redis' clock was set back.
    while 0 <= client.pttl(_wanted(name)) <= 1000 * _WANTED_SECONDS:
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL)


def _wanted(name: str) -> str:
    return f"{name}:wanted"


def lock_name(config: Config, key: str) -> str:
    """The Redis lock of who writes the store of the project that the configuration spells `key`."""
    return f"patchsync:{config.namespace}:{key}:lock"


def project_lock(
    client: Redis, config: Config, key: str, *, wait: float
) -> AbstractContextManager[None]:
    """Hold the Redis lock of the project that the configuration spells `key`, as `redis_lock`."""
    return redis_lock(client, lock_name(config, key), ttl=config.fleet.lock_seconds, wait=wait)
