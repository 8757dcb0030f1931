"""What a worker process opens once: the configuration, Redis, the rate limit, the client."""

from __future__ import annotations

import tempfile
from functools import cache, partial
from typing import TYPE_CHECKING

import redis

from patchsync.config import Config, load, make_run_dir
from patchsync.fleet.backpressure import IndexQueue
from patchsync.fleet.debounce import Debounce
from patchsync.fleet.leases import Leases
from patchsync.fleet.turn import next_in_turn
from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.client import Client
from patchsync.patchwork.rate_limit import RedisRateLimiter, fleet_rate_limiter
from patchsync.sync.audit_turn import AuditTurn
from patchsync.sync.connect import connect, connect_annotator
from patchsync.sync.request_count import kept_requests

if TYPE_CHECKING:
    from patchsync.push.service import PushService


@cache
def config() -> Config:
    """The configuration that `PATCHSYNC_CONFIG` names."""
    loaded = load()
    # What a killed worker leaves behind is removed with this folder.
    tempfile.tempdir = str(make_run_dir(loaded))
    return loaded


@cache
def redis_client() -> redis.Redis:
    """Redis, for locks, leases and the rate limit."""
    return redis.Redis.from_url(
        config().redis_url, socket_connect_timeout=5, socket_timeout=10, health_check_interval=30
    )


@cache
def signing_key() -> bytes | None:
    """What messages are signed with; None where they are not."""
    key = config().signing_key()
    return key.get_secret_value().encode() if key else None


@cache
def limiter(*, has_store: bool = False, is_push: bool = False) -> RedisRateLimiter:
    """The one limit of the whole fleet.

    `has_store`: in a task that runs where the store is, which brings the day's count back.
    `is_push`: in one that annotates, which has a share of the day's budget.
    """
    stored_requests = partial(kept_requests, config()) if has_store else None
    return fleet_rate_limiter(config(), redis_client(), stored_requests, is_push=is_push)


@cache
def client(*, has_store: bool = False) -> Client:
    """The Patchwork, by that limiter. It has no token: what these workers do needs none."""
    return connect(config(), limiter=limiter(has_store=has_store), has_store=has_store)


@cache
def index_queue() -> IndexQueue:
    """What waits for the index worker."""
    return IndexQueue(redis_client(), config().namespace)


@cache
def annotator() -> Annotator:
    """The Patchwork with the token, for what is written there; opened where `push` runs only."""
    return connect_annotator(config(), limiter(has_store=True, is_push=True))


def push() -> PushService:
    """Plans and sends what is to be pushed; a context."""
    from patchsync.push.service import PushService  # No other service needs it.

    return PushService(config(), annotator())


def leases(project: str) -> Leases:
    """The leases of the project that the configuration spells so."""
    return Leases(
        redis_client(), config().namespace, project, lease_seconds=config().fleet.lease_seconds
    )


def project_in_turn() -> str:
    """The configured project that is to be compared next."""
    names = [table.id for table in config().projects]
    return next_in_turn(redis_client(), config().namespace, names)


def audit_turn() -> AuditTurn:
    """Whose turn it is to be audited by this machine."""
    lock = make_run_dir(config()) / "audit.lock"
    return AuditTurn(redis_client(), config().namespace, lock)


def debounce(name: str, seconds: float | None = None) -> Debounce:
    """Has one message sent for all who ask for the same work, by its name.

    `seconds`: when it expires; without, as leases do.
    """
    seconds = seconds or config().fleet.lease_seconds
    return Debounce(redis_client(), config().namespace, name, seconds=seconds)
