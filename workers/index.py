"""Tasks that write PaStA's store, one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from celery import Task

from patchsync import rounds
from patchsync.archive.spool import Piece
from patchsync.delivery import Delivery
from patchsync.errors import LockHeld, StaleWriter
from patchsync.imports.storing import store_piece
from patchsync.store.lock import redis_lock
from workers import context, messages
from workers.celery import app
from workers.tasks import OPTIONS, told

log = logging.getLogger(__name__)
_Done = TypeVar("_Done")

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
        stored = _under_lock(
            self,
            key,
            lambda: rounds.store(config, key, found, context.gate(has_store=True)),
            argsrepr=messages.index_story(key, found),
            compression="zlib",
        )
        if stored:
            log.info("%s: %s", key, stored)
        if found.lease and board.release(found.lease) == 0:
            messages.probe(key)
        if stored.stored:
            messages.analyse(key)


@app.task(name="workers.index.import_archive", bind=True, **(OPTIONS | {"max_retries": 20}))
def import_archive(
    self: Task[..., None], project: str, archive: str, offset: int, length: int
) -> None:
    """Store a piece of an archive that `patchsync import` laid ready; offset, length in bytes."""
    config = context.config()
    with told("import_archive", project):
        key = config.project(project).id
        piece = Piece(int(offset), int(length))
        stored = _under_lock(self, key, lambda: store_piece(config, key, archive, piece))
        what = stored or "nothing: this piece is done already"
        log.info("%s: %d bytes of the archive from %d: %s", key, piece.length, piece.start, what)
        if stored and stored.stored:
            messages.analyse(key)


def _under_lock(
    task: Task[..., None], key: str, work: Callable[[], _Done], **options: Any
) -> _Done:
    """Do what only one writer at a time may do; while another one is busy the task waits.

    `options` of its message, which Celery's retry forgets.
    """
    config = context.config()
    lock = f"patchsync:{config.namespace}:{key}:lock"
    try:
        with redis_lock(
            context.redis_client(), lock, ttl=config.fleet.lock_seconds, wait=LOCK_WAIT_SECONDS
        ):
            return work()
    except (LockHeld, StaleWriter) as busy:
        log.info("%s: %s; again in %g s", key, busy, BUSY_AGAIN_SECONDS)
        raise task.retry(exc=busy, countdown=BUSY_AGAIN_SECONDS, **options) from busy
