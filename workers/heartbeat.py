"""Each worker and beat notes its heartbeat in Redis, from the loop that does its work.

So a process that hangs, or lost its Redis, is not taken to be alive; nor is a worker that takes
nothing of what waits for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import redis
from celery.signals import heartbeat_sent, worker_ready, worker_shutting_down
from celery.worker import state

from patchsync.fleet.backpressure import queue_keys
from patchsync.fleet.heartbeat import HEARTBEAT_SECONDS, Heartbeats, Member
from workers.context import config

log = logging.getLogger(__name__)

# A worker that has nothing in hand takes what waits at once.
IDLE_SECONDS = 60.0


class ProcessHeartbeat:
    """Notes that this process is alive, for each service that it is of."""

    def __init__(self, services: Iterable[str]) -> None:
        # A connection of its own, and one that does not hold up the loop for long.
        client = redis.Redis.from_url(
            config().redis_url, socket_connect_timeout=2, socket_timeout=2
        )
        self._client = client
        self._heartbeats = Heartbeats(client, config().namespace)
        self._members = [Member(service=service) for service in services]
        self._due = 0.0
        # Since when it takes nothing although something waits, and what it had begun until then
        self._idle_since: float | None = None
        self._begun = 0

    def note_if_due(self) -> None:
        """Note it if it is time; to be called often."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + HEARTBEAT_SECONDS
            with suppress(redis.RedisError):
                if self._takes_nothing():
                    return
                for member in self._members:
                    self._heartbeats.note(member)

    def _takes_nothing(self) -> bool:
        """Whether messages have waited for long while this worker began no task and has none.

        Its loop turns all the same. A task that takes too long is ended by its limit of time.
        """
        queues = [m.service for m in self._members if m.service != "beat"]
        keys = [key for queue in queues for key in queue_keys(config().namespace, queue)]
        waiting = sum(self._client.llen(key) for key in keys)
        begun = state.all_total_count[0]
        if not waiting or state.active_requests or begun != self._begun:
            self._idle_since, self._begun = None, begun
            return False
        if self._idle_since is None:
            self._idle_since = time.monotonic()
        seconds = time.monotonic() - self._idle_since
        if seconds < IDLE_SECONDS:
            return False
        if seconds < IDLE_SECONDS + HEARTBEAT_SECONDS:  # Once.
            log.error("took nothing for a minute, though %d messages wait: restart it", waiting)
        return True

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
