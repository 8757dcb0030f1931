"""What all tasks share: their options, and how their errors are told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from kombu.exceptions import OperationalError

from patchsync.errors import PatchsyncError, TryAgainLater
from workers import context

log = logging.getLogger(__name__)

# Errors of the family are told in one line. What a task leaves undone the next round meets again,
# so Celery does not run it again; `max_retries` bounds what follows a lost worker.
OPTIONS: dict[str, Any] = {
    "throws": (PatchsyncError,),
    "max_retries": 3,
    "Request": "workers.shown:ShownRequest",
}


@contextmanager
def told(task: str, project: str, *, on_board: bool = True) -> Iterator[None]:
    """Let an error of the family show in the log and in `patchsync status`, and end the task.

    `on_board`: with the project there; else the task sees to it that it shows.
    """
    try:
        try:
            yield
        except (redis.RedisError, OperationalError) as error:
            # Not from: dozens of lines of two libraries say no more.
            raise TryAgainLater(f"Redis does not answer: {error}") from None
    except PatchsyncError as error:
        log.error("%s of %s: %s", task, project, error)
        if on_board:
            with suppress(redis.RedisError):
                context.board(project).report(task, error)
        raise
