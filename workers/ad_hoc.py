"""Enqueues a task by its name, for commands: `patchsync enqueue` and `sync`."""

from __future__ import annotations

import inspect
from typing import Any

from kombu.exceptions import OperationalError

from patchsync.errors import GiveUp, TryAgainLater, in_words
from workers.celery import app

PUBLISH_RETRIES = {"max_retries": 3, "interval_start": 0.2, "interval_step": 0.5}


def tasks() -> dict[str, str]:
    """The tasks that can be enqueued: name without the `workers.` before it, and what it does."""
    app.loader.import_default_modules()
    return {
        name.removeprefix("workers."): (inspect.getdoc(task) or "").splitlines()[0]
        for name, task in sorted(app.tasks.items())
        if name.startswith("workers.")
    }


def enqueue(name: str, *args: Any, **options: Any) -> str:
    """Enqueue the task `workers.<name>`; its first argument is a project. Returns the task's id.

    Raises:
        ConfigError: the project is not in the configuration.
        GiveUp: there is no such task, or it wants other arguments.
        TryAgainLater: Redis does not answer.
    """
    known = tasks()
    if name not in known:
        raise GiveUp(f"there is no task {name!r}; there are: {', '.join(known)}")
    task = app.tasks[f"workers.{name}"]
    try:
        inspect.signature(task.run).bind(*args)
    except TypeError as error:
        raise GiveUp(f"{name}{inspect.signature(task.run)}: {error}") from None
    try:
        return str(task.apply_async(args, retry_policy=PUBLISH_RETRIES, **options).id)
    except OperationalError as error:
        raise TryAgainLater(f"[redis] url: Redis does not answer: {in_words(error)}") from error
