"""Tasks that write PaStA's store, one at a time."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task

from patchsync import rounds
from patchsync.delivery import Delivery
from patchsync.errors import LockHeld, StaleWriter
from patchsync.store.lock import redis_lock
from workers import context, messages
from workers.celery import app
from workers.tasks import OPTIONS, told

log = logging.getLogger(__name__)

# Another writer is busy: long enough for it to finish a batch, short enough to keep mails moving.
LOCK_WAIT_SECONDS = 5.0
BUSY_AGAIN_SECONDS = 2.0


@app.task(name="workers.index.index_mails", bind=True, **(OPTIONS | {"max_retries": 20}))
def index_mails(self: Task[..., None], project: str, delivery: dict[str, Any]) -> None:
    """Store what a fetch task found, under the lock; the last of a round enqueues the next one."""
    config = context.config()
    with told("index_mails", project):
        key = config.project(project).id
        found = Delivery.from_message(delivery)
        # Pages that are delivered, and wait here for their turn, are still in flight.
        board = context.board(key)
        board.keep_all()
        lock = f"patchsync:{config.namespace}:{key}:lock"
        try:
            with redis_lock(
                context.redis_client(), lock, ttl=config.fleet.lock_seconds, wait=LOCK_WAIT_SECONDS
            ):
                stored = rounds.store(config, key, found, context.gate(has_store=True))
        except (LockHeld, StaleWriter) as busy:
            log.info("%s: %s; again in %g s", key, busy, BUSY_AGAIN_SECONDS)
            # Celery's retry forgets how the message was sent.
            raise self.retry(  # type: ignore[call-arg]  # the stubs lack the options
                exc=busy,
                countdown=BUSY_AGAIN_SECONDS,
                argsrepr=messages.index_story(key, found),
                compression="zlib",
            ) from busy
        if stored:
            log.info("%s: %s", key, stored)
        if found.lease and board.release(found.lease) == 0:
            messages.probe(key)
