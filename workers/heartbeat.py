"""Each worker and beat signs in to the fleet's roster, from the loop that does its work.

So a process that hangs, or lost its Redis, is not taken to be alive.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import redis
from celery.signals import heartbeat_sent, worker_ready, worker_shutting_down

from patchsync.fleet.heartbeat import HEARTBEAT_SECONDS, Heartbeats, Member
from workers.context import config


class Heartbeat:
    """What this process says of itself, at most every few seconds."""

    def __init__(self, services: Iterable[str]) -> None:
        # A connection of its own, and one that does not hold up the loop for long.
        client = redis.Redis.from_url(
            config().redis_url, socket_connect_timeout=2, socket_timeout=2
        )
        self._roster = Heartbeats(client, config().namespace)
        self._members = [Member(service=service) for service in services]
        self._due = 0.0

    def now_and_then(self) -> None:
        """Sign in if it is time."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + HEARTBEAT_SECONDS
            with suppress(redis.RedisError):
                for member in self._members:
                    self._roster.note(member)

    def out(self) -> None:
        """Sign out: this process ends."""
        self._due = float("inf")
        with suppress(redis.RedisError):
            for member in self._members:
                self._roster.end(member)


_worker: Heartbeat | None = None


@worker_ready.connect
def _ready(sender: Any, **_: object) -> None:
    global _worker
    _worker = Heartbeat(sorted(sender.app.amqp.queues.consume_from))
    _worker.now_and_then()


# Only what has a receiver when the worker starts is sent.
@heartbeat_sent.connect
def _heartbeat(**_: object) -> None:
    if _worker:
        _worker.now_and_then()


@worker_shutting_down.connect
def _ends(**_: object) -> None:
    if _worker:
        _worker.out()
