"""Each worker and beat notes its heartbeat in Redis, from the loop that does its work.

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


class ProcessHeartbeat:
    """Notes that this process is alive, for each service that it is of."""

    def __init__(self, services: Iterable[str]) -> None:
        # A connection of its own, and one that does not hold up the loop for long.
        client = redis.Redis.from_url(
            config().redis_url, socket_connect_timeout=2, socket_timeout=2
        )
        self._heartbeats = Heartbeats(client, config().namespace)
        self._members = [Member(service=service) for service in services]
        self._due = 0.0

    def note_if_due(self) -> None:
        """Note it if it is time; to be called often."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + HEARTBEAT_SECONDS
            with suppress(redis.RedisError):
                for member in self._members:
                    self._heartbeats.note(member)

    def end(self) -> None:
        """Note that this process ends."""
        self._due = float("inf")
        with suppress(redis.RedisError):
            for member in self._members:
                self._heartbeats.end(member)


_worker: ProcessHeartbeat | None = None


@worker_ready.connect
def _ready(sender: Any, **_: object) -> None:
    global _worker
    _worker = ProcessHeartbeat(sorted(sender.app.amqp.queues.consume_from))
    _worker.note_if_due()


# Only what has a receiver when the worker starts is sent.
@heartbeat_sent.connect
def _heartbeat(**_: object) -> None:
    if _worker:
        _worker.note_if_due()


@worker_shutting_down.connect
def _ends(**_: object) -> None:
    if _worker:
        _worker.end()
