"""A worker that takes a message: runs one task, and what that sends is recorded only."""

from __future__ import annotations

from typing import Any

from celery import Task
from kombu.utils import json

from patchsync.fleet.backpressure import FIRST
from patchsync.fleet.trouble import Trouble, last_trouble

LEASE_SECONDS, PUSH_SECONDS = 321, 1234
TABLES = f"""
[fleet]
lease_seconds = {LEASE_SECONDS}
[schedule]
push_seconds = {PUSH_SECONDS}
"""


def noted_trouble() -> Trouble | None:
    """What `patchsync status` would say is wrong with the project `sample`."""
    from workers import context

    return last_trouble(context.redis_client(), context.config().namespace, "sample")


def deliver(
    name: str, *args: Any, retries: int = 0, priority: int = FIRST, argsrepr: str | None = None
) -> None:
    """Have a task run with these arguments, and raise what it raises, Celery's Retry for one."""
    from workers.celery import app

    task: Task[..., None] = app.tasks[f"workers.{name}"]
    arguments = json.loads(json.dumps(args))
    task.push_request(
        id="1",
        args=arguments,
        kwargs={},
        retries=retries,
        delivery_info={"priority": priority},
        called_directly=False,
        is_eager=False,
        argsrepr=argsrepr,
    )
    try:
        task(*arguments)
    finally:
        task.pop_request()
