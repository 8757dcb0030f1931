"""Tasks that write PaStA's store, one at a time for a project."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from patchsync.errors import LockHeld, StaleWriter
from patchsync.fleet.backpressure import LATER
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.redis_lock import project_lock
from patchsync.sync.projects import name_of, synced_project
from patchsync.sync.store_result import store_result
from workers import catalog, context, enqueue
from workers.broker import borne_when_full
from workers.celery import app
from workers.task_base import ProjectTask

log = logging.getLogger(__name__)
_Done = TypeVar("_Done")

# Another writer is busy: long enough for it to finish a batch, short enough to keep mails moving.
LOCK_WAIT_SECONDS = 5.0
BUSY_AGAIN_SECONDS = 2.0
# For the catalog, where no analysis follows which brings it up to date
CATALOG_SECONDS = 1.0


@app.task(
    name="workers.index.index_mails",
    base=ProjectTask,
    bind=True,
    max_retries=20,
    compression="zlib",
)
def index_mails(self: ProjectTask, project: str, result: dict[str, Any]) -> None:
    """Store what a fetch task brings, under the lock; the last of a round enqueues the next one."""
    config, limiter = context.config(), context.limiter(has_store=True)
    fetched = FetchResult.from_message(result)
    # Pages that are delivered, and wait here for their turn, are still in flight.
    leases = context.leases(project)
    with borne_when_full():
        leases.keep_all()
    stored = _under_lock(
        self, project, lambda: store_result(synced_project(config, project), fetched, limiter)
    )
    if stored:
        log.info("%s: %s", name_of(config, project), stored)
    with borne_when_full():  # Leases run out then, and beat enqueues what follows.
        # Where half of a window is left, a backlog goes on: see `sync.probe.may_begin`.
        if fetched.lease and leases.release(fetched.lease) in (0, config.fleet.window // 2):
            enqueue.probe(project)
        if stored.stored:
            backlog = (self.request.delivery_info or {}).get("priority") == LATER
            enqueue.analyse(project, later=backlog)
    if stored.stored and config.analysis.engine == "none":
        catalog.follow(CATALOG_SECONDS)


def _under_lock(task: ProjectTask, key: str, work: Callable[[], _Done]) -> _Done:
    """Do what only one writer at a time may do; while another one is busy the task waits."""
    try:
        with project_lock(context.redis_client(), context.config(), key, wait=LOCK_WAIT_SECONDS):
            return work()
    except (LockHeld, StaleWriter) as busy:
        name = name_of(context.config(), key)
        log.info("%s: %s; again in %g s", name, busy, BUSY_AGAIN_SECONDS)
        task.come_again(busy, BUSY_AGAIN_SECONDS)
