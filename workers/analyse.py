"""The task that brings patch-groups up to date with the store."""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from typing import Any

import redis
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import worker_ready
from kombu.exceptions import OperationalError

from patchsync.analysis.engine import Stopped
from patchsync.analysis.update import update_groups
from patchsync.errors import LockHeld
from patchsync.sync.projects import name_of
from workers import catalog, context, enqueue
from workers.celery import app
from workers.task_base import ProjectTask

log = logging.getLogger(__name__)

# Another update is under way, in `patchsync analyse` say.
BUSY_AGAIN_SECONDS = 5.0
LOG_SECONDS = 15.0
LONG_SECONDS = 30.0
# Well before Celery's own limit, which would cut it off anywhere.
MOST_SECONDS = 300.0
# Of what is left then
CATALOG_SECONDS = 180.0


@worker_ready.connect
def _catch_up(sender: Any, **_: object) -> None:
    """Enqueue an update: one that was killed with its worker would not come again by itself."""
    if "analyse" in sender.app.amqp.queues.consume_from:
        with suppress(redis.RedisError, OperationalError):
            context.debounce(enqueue.ANALYSIS).begin()
            enqueue.analyse(context.config().projects[0].id)


@app.task(
    name="workers.analyse.update",
    base=ProjectTask,
    bind=True,
    max_retries=20,
    # Not with a project: that one may be in step all the same. `update_groups` keeps a record.
    notes_trouble=False,
)
def update(self: ProjectTask, project: str) -> None:
    """Bring patch-groups up to date, for all projects, and enqueue a push of what changed.

    What it sees is in the store: a message that is lost, comes twice or late does no harm.
    """
    config = context.config()
    debounce = context.debounce(enqueue.ANALYSIS)
    # What comes in from now on may not be seen, and asks for another one.
    debounce.begin()
    on_progress = _ProgressLog()
    try:
        updated = update_groups(config, on_progress)
    except LockHeld as busy:
        name = name_of(config, project)
        if self.request.retries >= (self.max_retries or 0) or not debounce.ask():
            log.info("%s: %s; beat asks again", name, busy)
            return
        log.info("%s: %s; again in %g s", name, busy, BUSY_AGAIN_SECONDS)
        self.come_again(busy, BUSY_AGAIN_SECONDS)
    except (Stopped, SoftTimeLimitExceeded):
        log.warning("analysis: not through in its time; goes on from what is done")
        enqueue.analyse(project)
        return
    if updated is None:
        return  # The engine is "none" now.
    log.info("analysis: %s", updated.summary)
    if updated.trouble:
        log.error("analysis: %s", updated.trouble)
    if on_progress.seconds > LONG_SECONDS:
        enqueue.analyse(project)  # What was enqueued meanwhile may have expired.
    if updated.groups and config.push.sinks:
        for table in config.projects:
            enqueue.plan(table.id)
    if not catalog.follow(CATALOG_SECONDS):
        log.info("catalog: not through in its time; goes on from what is done")
        enqueue.analyse(project)


class _ProgressLog:
    """Logs now and then how far an update is, and ends one that took its time."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._due = self._began + LOG_SECONDS
        # PaStA has a limit of its own, and begins from nothing if it is stopped.
        self._most = MOST_SECONDS if context.config().analysis.engine == "builtin" else math.inf

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self._began

    def __call__(self, what: str, done: int, of: int) -> None:
        if self.seconds > self._most:
            raise Stopped
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + LOG_SECONDS
            log.info("analysis: %s: %d of %d", what, done, of)
